/* ACL LOG: who was refused what, newest first, bounded. What repeats within a minute is one entry
 * with a count.
 *
 * Thread: its owner's (main).
 */
#pragma once

#include "rules/limits.h"

#include <stddef.h>
#include <stdint.h>

enum acl_reason { ACL_LOG_COMMAND, ACL_LOG_CHANNEL, ACL_LOG_AUTH };

struct acl_log_entry {
    enum acl_reason reason;
    char object[LIMIT_ACL_OBJECT + 1];   /* the command, the channel; of AUTH: what was sent */
    char username[LIMIT_ACL_OBJECT + 1]; /* of AUTH: who it wanted to be */
    char *client;                        /* as CLIENT INFO; owned */
    uint64_t count, id;
    int64_t created, updated; /* wall clock, ms */
};

struct acl_log;
/* max: acllog-max-len; LIMIT_ACL_LOG at most. */
struct acl_log *acl_log_new(uint64_t max);
void acl_log_free(struct acl_log *log);
/* Adds what entry says of reason, object, username and client (taken). */
void acl_log_add(struct acl_log *log, const struct acl_log_entry *entry, int64_t wall_ms);
void acl_log_reset(struct acl_log *log);
size_t acl_log_count(const struct acl_log *log);
const struct acl_log_entry *acl_log_at(const struct acl_log *log, size_t i); /* 0: the newest */
const char *acl_reason_name(enum acl_reason reason);
