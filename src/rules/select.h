/* Which replica becomes master (protocol.md §7.2, design.md §4.8). Pure.
 *
 * Thread: the shard that owns the group.
 */
#pragma once

#include "rules/instance.h"

struct select_input {
    struct instance *const *replicas;
    size_t count;
    const struct periods *periods;
    ms_t now;
    ms_t master_sdown_since; /* 0 while the master is not s_down (manual failover) */
    ms_t down_after;
    bool linked;       /* only replicas whose link to the master is up */
    ms_t outage_since; /* start of this outage: a replica that turned master after it is first */
};

/* The replica to promote, or NULL when none is fit. A replica that already turned master in this
 * outage, with fresh INFO, goes before every other. */
struct instance *select_replica(const struct select_input *in);
/* Whether this replica passes every condition but order. */
bool select_fit(const struct select_input *in, const struct instance *replica);
