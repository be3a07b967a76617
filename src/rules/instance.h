/* One monitored process: a master, a replica, or another sentinel, and the liveness rules for it
 * (protocol.md §3). Pure.
 *
 * Thread: the shard that owns the group (or, for struct liveness of a peer link, the link's).
 */
#pragma once

#include "rules/info.h"
#include "rules/types.h"

enum instance_kind { INSTANCE_MASTER, INSTANCE_REPLICA, INSTANCE_SENTINEL };

/* Flags, in the order SENTINEL MASTER prints them (protocol.md §9). "disconnected" and the kind
 * are derived. */
enum instance_flag {
    FLAG_S_DOWN = 1 << 0,
    FLAG_O_DOWN = 1 << 1,
    FLAG_MASTER_DOWN = 1 << 2, /* a sentinel that says the master is down */
    FLAG_FAILOVER_IN_PROGRESS = 1 << 3,
    FLAG_PROMOTED = 1 << 4,
    FLAG_RECONF_SENT = 1 << 5,
    FLAG_RECONF_INPROG = 1 << 6,
    FLAG_RECONF_DONE = 1 << 7,
    FLAG_FORCE_FAILOVER = 1 << 8,
    FLAG_COORDINATED_FAILOVER = 1 << 9, /* Valkey 9 */
    FLAG_SCRIPT_KILL_SENT = 1 << 10,
    FLAG_MASTER_REBOOT = 1 << 11,
};

/* How a reply to PING counts (protocol.md §3). */
enum ping_reply {
    PING_PONG,
    PING_LOADING,
    PING_MASTERDOWN,
    PING_BUSY,
    PING_ERROR, /* -MISCONF, -NOAUTH, -NOPERM …: proves the link, not the instance */
};

/* Heartbeat of one instance over its command link, and the age of its links. Of a sentinel this is
 * a copy of the shared peer link's, brought by GROUP_PEER events. */
struct liveness {
    bool cmd_up, pubsub_up;           /* connected */
    bool cmd_opening, pubsub_opening; /* asked for, no answer yet */
    ms_t cmd_since, pubsub_since;     /* when it connected */
    ms_t cmd_tried, pubsub_tried;     /* last try, at most one a ping-period */
    ms_t ping_sent;                   /* last PING sent, 0: never */
    ms_t ping_pending;                /* oldest PING without a valid reply, 0: none */
    ms_t reply_ok;                    /* last valid reply to PING; creation time at first */
    ms_t reply_any;                   /* last reply of any kind to PING; creation time at first */
    ms_t link_activity;               /* last reply to any command */
    ms_t pubsub_activity;             /* last message on the pub/sub link */
};

/* Verdict by PING alone: milliseconds since the instance was last surely alive (protocol.md §3,
 * s_down): age of the oldest unanswered PING, or, while disconnected, of the last valid reply. */
ms_t liveness_silence(const struct liveness *live, ms_t now);
/* The time at which liveness_silence() exceeds down_after, if nothing comes: MS_NEVER when nothing
 * is pending and the link is up. */
ms_t liveness_deadline(const struct liveness *live, ms_t down_after);
/* A reply to PING arrived. Returns whether it was valid. */
bool liveness_pong(struct liveness *live, enum ping_reply reply, ms_t now);
/* Whether the command link must be closed for silence (protocol.md §2, last item). */
bool liveness_cmd_stale(const struct liveness *live, const struct periods *p, ms_t down_after,
                        ms_t now);
bool liveness_pubsub_stale(const struct liveness *live, const struct periods *p, ms_t now);

/* What is known of a master or replica only. */
struct server_state {
    ms_t next_info;
    ms_t odown_since; /* 0 while not; masters */

    /* From INFO. */
    ms_t info_at;        /* last INFO reply, 0: none yet */
    enum role role;      /* as reported; ROLE of its kind before the first INFO */
    bool info_pending;   /* an INFO is out on the present link, unanswered */
    bool failover_known; /* it knows FAILOVER */
    ms_t role_since;     /* when the reported role last changed */
    ms_t reboot_at;      /* run_id changed then (master-reboot-down-after-period), 0: no */
    ms_t failing_since;  /* it says it is handing over, by FAILOVER, since then; 0: it is not */

    /* From INFO; replicas. */
    struct address master;          /* reported master */
    char master_name[LIMIT_IP + 1]; /* reported master_host for display, "?" before */
    ms_t master_since;              /* when the reported master last changed */
    ms_t master_link_down;          /* ms */
    bool master_link_up;
    bool announced;
    bool listed_by_name; /* its master's INFO calls it by its name */
    uint32_t priority;
    uint64_t repl_offset;
    ms_t reconf_sent_at;   /* SLAVEOF of this failover, or of a correction, sent */
    ms_t turned_master_at; /* first INFO that said master where replica was expected, 0: no */
};

/* What is known of a sentinel only. */
struct sentinel_state {
    ms_t hello_at;       /* last hello heard */
    ms_t down_reply_at;  /* last answer, or accepted evidence, about the master; 0: none */
    struct runid leader; /* its vote as last told, empty: none */
    uint64_t leader_epoch;
    uint64_t heard_epoch; /* its current_epoch, from its last hello */
};

struct instance {
    enum instance_kind kind;
    unsigned flags; /* enum instance_flag */
    struct address addr;
    struct runid runid; /* of a server: from INFO, empty before; of a sentinel: always known */
    struct liveness live;
    void *host;        /* the host's link data; rules never look at it */
    const void *owner; /* the group it belongs to: set by the group, for assertions only */

    ms_t sdown_since; /* 0 while not */
    ms_t down_until;  /* when the last down flag was taken off, 0: never down */
    ms_t next_ping, next_hello;

    struct server_state *server; /* part of it; NULL: a sentinel */
    struct sentinel_state *peer; /* part of it; NULL: a master or replica */
};

/* A new instance at addr, never heard of: timers start at now. The caller owns it; NULL only when
 * memory is out. */
struct instance *instance_new(enum instance_kind kind, const struct address *addr, ms_t now);
/* Puts *from, of the same sort (server or sentinel), in the place of *inst, and frees it. What
 * points to inst still does. */
void instance_become(struct instance *inst, struct instance *from);
/* Frees *inst; NULL is allowed. Its host pointer must be dealt with before. */
void instance_free(struct instance *inst);

/* Writes the flags field of SENTINEL MASTER/REPLICAS/SENTINELS (protocol.md §9), NUL-terminated. */
#define INSTANCE_FLAGS_TEXT 256
void instance_flags(const struct instance *inst, char out[INSTANCE_FLAGS_TEXT]);
