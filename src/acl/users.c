/* Sets of users, sorted by name. */
#include "acl/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct acl_users *acl_users_new(bool open_channels)
{
    static const char *const rules[] = {"on", "nopass", "+@all", "~*", "&*"};
    struct acl_users *users = acl_alloc(sizeof *users);
    struct acl_user *u = acl_user_new("default", 7, open_channels);

    atomic_init(&users->refs, 1);
    users->open_channels = open_channels;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const char *why = acl_user_apply(u, rules[i], strlen(rules[i]));
        assert(!why);
    }
    const char *why = acl_users_put(users, u);
    assert(!why);
    return users;
}

static struct acl_user *user_ref(struct acl_user *u)
{
    atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

struct acl_users *acl_users_copy(const struct acl_users *from)
{
    struct acl_users *users = acl_alloc(sizeof *users);

    atomic_init(&users->refs, 1);
    users->version = from->version;
    users->open_channels = from->open_channels;
    users->user = acl_grow(NULL, &users->cap, from->count + 1, sizeof *users->user);
    for (size_t i = 0; i < from->count; i++) {
        users->user[users->count++] = user_ref(from->user[i]);
    }
    return users;
}

struct acl_users *acl_users_ref(struct acl_users *users)
{
    atomic_fetch_add_explicit(&users->refs, 1, memory_order_relaxed);
    return users;
}

void acl_users_release(struct acl_users *users)
{
    if (!users || atomic_fetch_sub_explicit(&users->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (size_t i = 0; i < users->count; i++) {
        acl_user_release(users->user[i]);
    }
    free(users->user);
    free(users);
}

/* Where the name is, or would be. */
static bool locate(const struct acl_users *users, const char *name, size_t len, size_t *place)
{
    size_t low = 0, high = users->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = users->user[middle]->name;
        size_t other_len = strlen(other), common = len < other_len ? len : other_len;
        int order = memcmp(name, other, common);
        order = order != 0 ? order : len < other_len ? -1 : len > other_len;
        if (order == 0) {
            *place = middle;
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *place = low;
    return false;
}

struct acl_user *acl_users_find(const struct acl_users *users, const char *name, size_t len)
{
    size_t place;

    return locate(users, name, len, &place) ? users->user[place] : NULL;
}

struct acl_user *acl_users_default(const struct acl_users *users)
{
    struct acl_user *u = acl_users_find(users, "default", 7);

    assert(u);
    return u;
}

/* As a line of a file, every byte of the name may need four to be quoted. */
static bool user_fits(const struct acl_user *u)
{
    struct acl_text line = {0};

    acl_user_line(u, &line);
    size_t len = line.len + 3 * strlen(u->name);
    for (size_t i = 0; i < line.len; i++) {
        len += line.data[i] < ' ' || line.data[i] > '~' || strchr("\"\\'", line.data[i]) ? 5 : 0;
    }
    acl_text_free(&line);
    return len <= LIMIT_ACL_USER;
}

const char *acl_users_put(struct acl_users *users, struct acl_user *u)
{
    size_t place;
    bool there = locate(users, u->name, strlen(u->name), &place);
    const char *why = !user_fits(u)                               ? ACL_TOO_MANY
                      : !there && users->count >= LIMIT_ACL_USERS ? "There are too many users"
                                                                  : NULL;

    if (why) {
        acl_user_release(u);
        return why;
    }
    if (there) {
        acl_user_release(users->user[place]);
        users->user[place] = u;
        return NULL;
    }
    users->user = acl_grow(users->user, &users->cap, users->count + 1, sizeof *users->user);
    memmove(users->user + place + 1, users->user + place,
            (users->count - place) * sizeof *users->user);
    users->user[place] = u;
    users->count++;
    return NULL;
}

bool acl_users_drop(struct acl_users *users, const char *name, size_t len)
{
    size_t place;

    if ((len == 7 && memcmp(name, "default", 7) == 0) || !locate(users, name, len, &place)) {
        return false;
    }
    acl_user_release(users->user[place]);
    users->count--;
    memmove(users->user + place, users->user + place + 1,
            (users->count - place) * sizeof *users->user);
    return true;
}
