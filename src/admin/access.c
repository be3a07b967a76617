#include "admin/access.h"

#include "acl/log.h"
#include "admin/async.h"
#include "io/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- the shard's set of users ---------------------------------------------------------------- */

void access_start(struct admin *a)
{
    a->users = a->process->users ? acl_users_ref(a->process->users) : acl_users_new(false);
}

void access_stop(struct admin *a)
{
    acl_users_release(a->users);
    a->users = NULL;
}

static bool hears_too_much(const struct client *c, const struct acl_user *user)
{
    for (int kind = 0; kind < 2; kind++) {
        const struct subscriptions *list = &c->subscriptions[kind];
        for (uint32_t i = 0; i < list->count; i++) {
            const char *name;
            size_t len;
            subscription_name(&list->items[i], &name, &len);
            if (!acl_channel_allowed(user, name, len, kind == TOPIC_PATTERN)) {
                return true;
            }
        }
    }
    return false;
}

void access_install(struct admin *a, struct acl_users *users, const struct client *me)
{
    struct acl_users *old = a->users;

    if (users->version <= old->version) {
        acl_users_release(users); /* a later change has been here already */
        return;
    }
    a->users = users;
    for (uint32_t i = 0; i < a->client_cap; i++) {
        struct client *c = a->clients[i];
        if (!c) {
            continue;
        }
        const struct acl_user *was = c->user;
        c->user = acl_users_find(users, was->name, strlen(was->name));
        bool gone = !c->user;
        c->user = gone ? acl_users_default(users) : c->user;
        if (gone || (c->user != was && hears_too_much(c, c->user))) {
            if (c == me) {
                client_goodbye(c);
            } else {
                client_close(c);
            }
        }
    }
    acl_users_release(old);
    admin_settle(a);
}

/* --- coming in ------------------------------------------------------------------------------- */

static bool is_free(const struct acl_user *u)
{
    return u->on && u->nopass;
}

bool access_is_free(const struct admin *a)
{
    return acl_users_default(a->users)->nopass;
}

void access_greet(struct client *c)
{
    c->user = acl_users_default(c->admin->users);
    c->authenticated = is_free(c->user);
}

bool access_open(const struct client *c)
{
    return c->authenticated || is_free(acl_users_default(c->admin->users));
}

/* --- what is refused ------------------------------------------------------------------------- */

struct denial {
    struct request base; /* first */
    struct process *process;
    struct acl_log_entry entry;
};

static void denial_free(struct request *request)
{
    struct denial *d = (struct denial *)(void *)request;

    atomic_fetch_sub_explicit(&d->process->counters.denials_mailed, 1, memory_order_relaxed);
    free(d->entry.client);
    free(d);
}

static void denial_main(struct request *request, void *here)
{
    struct denial *d = (struct denial *)(void *)request;

    acl_log_add(mainloop_acl_log(here), &d->entry, clock_wall_ms());
    d->entry.client = NULL; /* the log's now */
    denial_free(request);
}

static void copy_cut(char out[LIMIT_ACL_OBJECT + 1], const char *text, size_t len)
{
    len = len < LIMIT_ACL_OBJECT ? len : LIMIT_ACL_OBJECT;
    memcpy(out, text, len);
    out[len] = '\0';
}

/* Mails it to main, who keeps the log. A flood of them is counted only: neither main nor the lane
 * to it is held up by clients that guess. */
static void log_denial(struct call *call, enum acl_reason reason, const char *object, size_t len,
                       const char *user, size_t user_len)
{
    struct process *p = call->admin->process;
    struct process_counters *count = &p->counters;
    atomic_ullong *total = reason == ACL_LOG_AUTH      ? &count->denied_auth
                           : reason == ACL_LOG_COMMAND ? &count->denied_command
                                                       : &count->denied_channel;
    struct buffer client = {0};

    atomic_fetch_add_explicit(total, 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&count->denials_mailed, 1, memory_order_relaxed) >=
        LIMIT_ACL_MAIL) {
        atomic_fetch_sub_explicit(&count->denials_mailed, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&count->denials_unlogged, 1, memory_order_relaxed);
        return;
    }
    struct denial *d = calloc(1, sizeof *d);
    if (!d) {
        abort();
    }
    call->client->last = call->command;
    client_describe(call->client, &client);
    client.data[client.len - 1] = '\0'; /* instead of its newline */
    d->base.step = denial_main;
    d->base.drop = denial_free;
    d->process = p;
    d->entry.reason = reason;
    d->entry.client = (char *)client.data;
    copy_cut(d->entry.object, object, len);
    copy_cut(d->entry.username, user, user_len);
    request_send(p, call->admin->index, process_main(p), &d->base);
}

bool access_login(struct call *call, const struct resp_arg *name, const struct resp_arg *password)
{
    static const struct resp_arg fallback = {"default", 7};
    struct client *c = call->client;

    name = name ? name : &fallback;
    const struct acl_user *user = acl_users_find(call->admin->users, name->text, name->len);
    if (!acl_authenticate(user, password->text, password->len)) {
        log_denial(call, ACL_LOG_AUTH, call->args[0].text, call->args[0].len, name->text,
                   name->len);
        reply_error(&call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    c->user = user;
    c->authenticated = true;
    return true;
}

/* --- asking ---------------------------------------------------------------------------------- */

static void channel_at(const void *context, size_t i, const char **text, size_t *len)
{
    const struct resp_arg *channels = context;

    *text = channels[i].text;
    *len = channels[i].len;
}

enum acl_verdict access_verdict(const struct acl_user *user, const struct command *command,
                                uint16_t place, const struct resp_arg *args, size_t count,
                                size_t *channel)
{
    bool every = command->flags & (COMMAND_CHANNELS | COMMAND_PATTERNS);
    struct acl_request request = {
        .command = place,
        .first = count > 1 ? args[1].text : NULL,
        .first_len = count > 1 ? args[1].len : 0,
        .channels = every                              ? count - 1
                    : command->flags & COMMAND_CHANNEL ? 1
                                                       : 0,
        .patterns = command->flags & COMMAND_PATTERNS,
        .channel = channel_at,
        .context = args + 1,
    };
    enum acl_verdict verdict = acl_check(user, &request, channel);

    *channel += 1;
    return verdict;
}

bool access_check(struct call *call)
{
    const struct acl_user *user = call->client->user;
    const struct command *command = call->command;
    size_t at;

    switch (access_verdict(user, command, call->place, call->args, call->count, &at)) {
    case ACL_GRANTED:
        return true;
    case ACL_NO_COMMAND_RIGHT:
        log_denial(call, ACL_LOG_COMMAND, command->name, strlen(command->name), user->name,
                   strlen(user->name));
        reply_error(&call->reply, "NOPERM User %s has no permissions to run the '%s' command",
                    user->name, command->name);
        return false;
    case ACL_NO_CHANNEL_RIGHT:
        log_denial(call, ACL_LOG_CHANNEL, call->args[at].text, call->args[at].len, user->name,
                   strlen(user->name));
        reply_error(&call->reply, "NOPERM No permissions to access a channel");
        return false;
    }
    abort();
}
