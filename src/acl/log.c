#include "acl/log.h"

#include "acl/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GROUPED     60000 /* ms in which what repeats is one entry */
#define GROUP_AMONG 10    /* newest entries that are looked through for it */

struct acl_log {
    struct acl_log_entry **entry; /* the oldest first; owned */
    size_t count, cap, max;
    uint64_t next_id;
};

struct acl_log *acl_log_new(uint64_t max)
{
    struct acl_log *log = acl_alloc(sizeof *log);

    log->max = max < LIMIT_ACL_LOG ? (size_t)max : LIMIT_ACL_LOG;
    return log;
}

static void free_entry(struct acl_log_entry *e)
{
    free(e->client);
    free(e);
}

void acl_log_reset(struct acl_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        free_entry(log->entry[i]);
    }
    log->count = 0;
}

void acl_log_free(struct acl_log *log)
{
    if (log) {
        acl_log_reset(log);
        free(log->entry);
        free(log);
    }
}

size_t acl_log_count(const struct acl_log *log)
{
    return log->count;
}

const struct acl_log_entry *acl_log_at(const struct acl_log *log, size_t i)
{
    assert(i < log->count);
    return log->entry[log->count - 1 - i];
}

static bool alike(const struct acl_log_entry *a, const struct acl_log_entry *b, int64_t now)
{
    return a->reason == b->reason && now - a->updated <= GROUPED &&
           strcmp(a->object, b->object) == 0 && strcmp(a->username, b->username) == 0;
}

/* Where the newest like it is; count: nowhere. */
static size_t find_alike(const struct acl_log *log, const struct acl_log_entry *entry, int64_t now)
{
    for (size_t back = 1; back <= GROUP_AMONG && back <= log->count; back++) {
        if (alike(log->entry[log->count - back], entry, now)) {
            return log->count - back;
        }
    }
    return log->count;
}

/* Takes it out of the list. */
static struct acl_log_entry *take(struct acl_log *log, size_t at)
{
    struct acl_log_entry *e = log->entry[at];

    log->count--;
    memmove(log->entry + at, log->entry + at + 1, (log->count - at) * sizeof(void *));
    return e;
}

void acl_log_add(struct acl_log *log, const struct acl_log_entry *entry, int64_t wall_ms)
{
    size_t at = find_alike(log, entry, wall_ms);
    struct acl_log_entry *e = acl_alloc(sizeof *e);

    *e = *entry;
    e->count = 1;
    e->created = e->updated = wall_ms;
    if (at < log->count) {
        struct acl_log_entry *old = take(log, at);
        e->count = old->count + 1;
        e->id = old->id;
        e->created = old->created;
        free_entry(old);
    } else {
        e->id = log->next_id++;
    }
    log->entry = acl_grow(log->entry, &log->cap, log->count + 1, sizeof(void *));
    log->entry[log->count++] = e;
    if (log->count > log->max) {
        free_entry(take(log, 0));
    }
}

const char *acl_reason_name(enum acl_reason reason)
{
    static const char *const names[] = {
        [ACL_LOG_COMMAND] = "command", [ACL_LOG_CHANNEL] = "channel", [ACL_LOG_AUTH] = "auth"};
    return names[reason];
}
