/* What the files of SENTINEL share.
 *
 * Thread: the client's shard's, but for visits.
 */
#pragma once

#include "admin/async.h"

/* The live group of that name; DIRECTORY_NONE: answered with the error. */
uint32_t sentinel_group(struct call *call, const struct resp_arg *name);
/* On its owner: the request's group. NULL: it is gone, the error is in the reply. */
struct shard_group *sentinel_owned(struct admin_request *r, struct shard *shard);

/* Appends text as a word of sentinel.conf, quoted where it must be. */
void sentinel_quote(struct buffer *out, const char *text);

/* cmd_set.c */
void sentinel_set(struct call *call);
/* cmd_change.c */
void sentinel_failover(struct call *call);
void sentinel_flushconfig(struct call *call);
void sentinel_monitor(struct call *call);
void sentinel_remove(struct call *call);
void sentinel_reset(struct call *call);
/* cmd_config.c */
void sentinel_config(struct call *call);
void sentinel_debug(struct call *call);
void sentinel_simulate_failure(struct call *call);
