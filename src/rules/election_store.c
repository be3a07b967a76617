#include "rules/election_internal.h"

#include <stdlib.h>
#include <string.h>

void *election_grow(void *list, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return list;
    size_t wider = *cap ? *cap * 2 : 8;
    void *grown = realloc(list, wider * size);
    if (!grown)
        abort(); /* a sentinel that forgets votes for want of memory must stop instead */
    *cap = wider;
    return grown;
}

void gid_list_add(struct gid_list *list, uint32_t gid)
{
    list->gids = election_grow(list->gids, list->count, &list->cap, sizeof *list->gids);
    list->gids[list->count++] = gid;
}

/* --- names ---------------------------------------------------------------------------------- */

static size_t names_bucket(const struct names *n, const struct runid *id)
{
    uint64_t hash = n->salt ^ 0xcbf29ce484222325u;
    for (const char *c = id->hex; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    hash ^= hash >> 29;
    return (size_t)hash & (n->bucket_count - 1);
}

static void names_rehash(struct names *n, size_t bucket_count)
{
    free(n->buckets);
    n->buckets = calloc(bucket_count, sizeof *n->buckets);
    if (!n->buckets)
        abort();
    n->bucket_count = bucket_count;
    for (uint32_t i = 1; i < n->count; i++) {
        if (n->list[i].refs == 0)
            continue;
        uint32_t *head = &n->buckets[names_bucket(n, &n->list[i].id)];
        n->list[i].next = *head;
        *head = i;
    }
}

void names_init(struct names *n, uint64_t salt)
{
    *n = (struct names){.salt = salt};
    n->list = election_grow(NULL, 0, &n->cap, sizeof *n->list);
    n->list[NOBODY] = (struct name){.refs = 1};
    n->count = 1;
    names_rehash(n, 16);
}

void names_free(struct names *n)
{
    free(n->list);
    free(n->buckets);
    *n = (struct names){0};
}

uint32_t names_find(const struct names *n, const struct runid *id)
{
    if (!runid_known(id))
        return NOBODY;
    uint32_t name = n->buckets[names_bucket(n, id)];
    while (name != NOBODY && !runid_equal(&n->list[name].id, id))
        name = n->list[name].next;
    return name;
}

uint32_t names_take(struct names *n, const struct runid *id)
{
    uint32_t name = names_find(n, id);
    if (name != NOBODY) {
        n->list[name].refs++;
        return name;
    }
    if (!runid_known(id))
        return NOBODY;
    if (n->free != NOBODY) {
        name = n->free;
        n->free = n->list[name].next;
    } else {
        n->list = election_grow(n->list, n->count, &n->cap, sizeof *n->list);
        assert(n->count < UINT32_MAX);
        name = (uint32_t)n->count++;
    }
    n->list[name] = (struct name){.id = *id, .refs = 1};
    if (n->count > n->bucket_count) {
        names_rehash(n, n->bucket_count * 2);
    } else {
        uint32_t *head = &n->buckets[names_bucket(n, id)];
        n->list[name].next = *head;
        *head = name;
    }
    return name;
}

void names_hold(struct names *n, uint32_t name)
{
    assert(name < n->count && n->list[name].refs > 0);
    if (name != NOBODY)
        n->list[name].refs++;
}

void names_drop(struct names *n, uint32_t name)
{
    assert(name < n->count && n->list[name].refs > 0);
    if (name == NOBODY || --n->list[name].refs > 0)
        return;
    uint32_t *at = &n->buckets[names_bucket(n, &n->list[name].id)];
    while (*at != name) {
        assert(*at != NOBODY);
        at = &n->list[*at].next;
    }
    *at = n->list[name].next;
    n->list[name] = (struct name){.next = n->free};
    n->free = name;
}

const struct runid *names_id(const struct names *n, uint32_t name)
{
    assert(name < n->count);
    return &n->list[name].id;
}

/* --- seats and members ---------------------------------------------------------------------- */

struct seat *seat_find(const struct election *e, uint32_t gid)
{
    return gid < e->seat_count && e->seats[gid].present ? &e->seats[gid] : NULL;
}

struct seat *seat_make(struct election *e, uint32_t gid)
{
    assert(gid < LIMIT_GROUPS);
    while (gid >= e->seat_count) {
        e->seats = election_grow(e->seats, e->seat_count, &e->seat_cap, sizeof *e->seats);
        e->seats[e->seat_count++] = (struct seat){0};
    }
    return &e->seats[gid];
}

struct member *seat_member(const struct seat *s, uint32_t name)
{
    if (name == NOBODY)
        return NULL;
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (s->members[i].name == name)
            return &s->members[i];
    }
    return NULL;
}

void seat_member_add(struct election *e, struct seat *s, const struct runid *id)
{
    uint32_t name = names_take(&e->names, id);
    if (name == NOBODY)
        return;
    if (name == e->me || seat_member(s, name)) {
        names_drop(&e->names, name);
        return;
    }
    size_t cap = s->member_cap;
    if (cap == 0) { /* two peers are the usual case, and there are thousands of groups */
        s->members = malloc(2 * sizeof *s->members);
        if (!s->members)
            abort();
        cap = 2;
    }
    s->members = election_grow(s->members, s->member_count, &cap, sizeof *s->members);
    s->member_cap = (uint32_t)cap;
    s->members[s->member_count++] = (struct member){.name = name};
}

void seat_member_drop(struct election *e, struct seat *s, struct member *m)
{
    assert(s->member_count > 0);
    names_drop(&e->names, m->name);
    *m = s->members[--s->member_count];
}

void seat_clear_members(struct election *e, struct seat *s)
{
    while (s->member_count > 0)
        seat_member_drop(e, s, &s->members[s->member_count - 1]);
    free(s->members);
    s->members = NULL;
    s->member_cap = 0;
}

/* --- heap ----------------------------------------------------------------------------------- */

/* Equal deadlines go by gid, so that a seed reproduces everything. */
static bool heap_before(const struct election *e, uint32_t a, uint32_t b)
{
    ms_t due_a = e->seats[a].due, due_b = e->seats[b].due;
    return due_a < due_b || (due_a == due_b && a < b);
}

static void heap_put(struct election *e, size_t at, uint32_t gid)
{
    e->heap.gids[at] = gid;
    e->seats[gid].heap_slot = (uint32_t)at + 1;
}

static void heap_sift(struct election *e, size_t at)
{
    uint32_t gid = e->heap.gids[at];
    while (at > 0 && heap_before(e, gid, e->heap.gids[(at - 1) / 2])) {
        heap_put(e, at, e->heap.gids[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->heap.count)
            break;
        if (child + 1 < e->heap.count &&
            heap_before(e, e->heap.gids[child + 1], e->heap.gids[child]))
            child++;
        if (!heap_before(e, e->heap.gids[child], gid))
            break;
        heap_put(e, at, e->heap.gids[child]);
        at = child;
    }
    heap_put(e, at, gid);
}

void agenda_set(struct election *e, uint32_t gid, ms_t due)
{
    struct seat *s = &e->seats[gid];
    s->due = due;
    if (due != MS_NEVER) {
        if (s->heap_slot == 0) {
            gid_list_add(&e->heap, gid);
            s->heap_slot = (uint32_t)e->heap.count;
        }
        heap_sift(e, s->heap_slot - 1);
    } else if (s->heap_slot != 0) {
        size_t at = s->heap_slot - 1;
        uint32_t last = e->heap.gids[--e->heap.count];
        s->heap_slot = 0;
        if (last != gid) {
            heap_put(e, at, last);
            heap_sift(e, at);
        }
    }
}

ms_t agenda_next(const struct election *e)
{
    return e->heap.count > 0 ? e->seats[e->heap.gids[0]].due : MS_NEVER;
}
