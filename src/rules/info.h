/* INFO of a master or replica, parsed (protocol.md §5). Pure.
 *
 * Thread: any; works on what it is given.
 */
#pragma once

#include "rules/types.h"

enum role { ROLE_UNKNOWN, ROLE_MASTER, ROLE_REPLICA };

/* What Sentinel reads out of an INFO reply. Large: keep one as scratch, not on small stacks. */
struct info {
    struct runid runid; /* empty when absent or malformed */
    enum role role;
    struct address master;            /* master_host, master_port; port 0 when absent */
    char master_host[LIMIT_HOST + 1]; /* master_host as given: it may be a name */
    bool master_link_up;              /* master_link_status:up */
    ms_t master_link_down;  /* master_link_down_since_seconds * 1000; 0 when absent or negative */
    uint64_t repl_offset;   /* slave_repl_offset */
    uint32_t priority;      /* slave_priority, 100 when absent */
    bool announced;         /* replica_announced, true when absent */
    bool failover_known;    /* master_failover_state is there: the server knows FAILOVER */
    bool failing_over;      /* and it says that one is going on */
    bool names_pending;     /* the host's: names in it are being looked up, ask again soon */
    uint32_t replica_count; /* slaveN lines with a usable address */
    uint32_t replicas_ignored; /* malformed, port 0, or beyond LIMIT_REPLICAS */
    struct address replicas[LIMIT_REPLICAS];
};

/* Parses text[0..len), any bytes, both forms of slaveN lines; unknown lines are skipped, a known
 * line with a malformed value counts as absent. Never fails: an unusable text gives role
 * ROLE_UNKNOWN. Lines end in \r\n or \n. names: host names count as addresses; they are interned,
 * their ip stays empty. */
void info_parse(struct info *info, const char *text, size_t len, bool names);
