/* One monitored master with its replicas and sentinels: discovery, liveness, s_down and o_down,
 * the failover state machine (protocol.md §3-7, design.md §4). Pure: an event and a time go in,
 * actions come out, group_next_deadline() tells how long the host may sleep.
 *
 * Thread: the shard that owns the group. In the simulator: a simulated shard's step.
 * Files: group.c (life, members, dispatch), down.c (links, schedule, s_down, o_down, asks,
 * deadline), discovery.c (INFO, hello, sentinels), failover.c (attempts, state machine),
 * coordinated.c (its hand-over by FAILOVER), adopt.c
 * (configurations that take effect, RESET, quarrels), update.c (actions); group_inner.h is theirs.
 */
#pragma once

#include "rules/event.h"
#include "rules/hello.h"
#include "rules/info.h"
#include "rules/instance.h"
#include "rules/message.h"

/* What every group of a shard shares. The shard owns it, refreshes it at the start of each turn,
 * and outlives its groups. */
struct group_env {
    struct periods periods;
    struct runid myid;
    uint64_t current_epoch; /* durable, as last published by the elector */
    bool tilt;              /* design.md §4.12 */
    bool muted;             /* another process uses our runid (design.md §4.11) */
    bool names;             /* announce-hostnames: texts show names where there are any */
    ms_t common;            /* added to `now` it is a time that the other sentinels share, about:
                               the wall clock at our start. For beats only, never for verdicts */
    bool after_gap;         /* first turn after a gap longer than ask-period: no evidence (§4.7) */
};

struct group_settings {
    uint32_t quorum, parallel_syncs;
    ms_t down_after, failover_timeout;
    ms_t reboot_down_after; /* master-reboot-down-after-period, 0: off */
};

enum failover_state { /* names as in protocol.md §7 */
                      FAILOVER_NONE,
                      FAILOVER_WAIT_START,
                      FAILOVER_SELECT_SLAVE,
                      FAILOVER_SEND_SLAVEOF_NOONE,
                      FAILOVER_WAIT_PROMOTION,
                      FAILOVER_RECONF_SLAVES,
                      FAILOVER_UPDATE_CONFIG,
};
/* "wait_start" …; "none". */
const char *failover_state_name(enum failover_state state);

struct failover {
    enum failover_state state;
    bool wished;       /* BALLOT_WANT is out, no OUTCOME_STARTED yet */
    bool forced;       /* by SENTINEL FAILOVER */
    bool coordinated;  /* with COORDINATED: the master is asked to hand over */
    bool undoing;      /* and now to take it back */
    ms_t handover_end; /* then it is asked to take it back */
    bool deaf;         /* the last attempt was lost because no majority could be reached */
    uint64_t epoch;    /* of the attempt, 0: none */
    ms_t started;      /* of the last attempt, ours or one we voted for (protocol.md §6) */
    ms_t changed;      /* last change of state */
    ms_t delay_logged; /* the `started` for which "Next failover delay" was logged */
    ms_t next_poll;    /* of the replicas we wait for (design.md §4.8) */
    bool exec_ok;      /* the promotion's EXEC was answered */
    bool elected;      /* OUTCOME_ELECTED came */
    bool paused;       /* our round was dropped for another's: no votes are asked for meanwhile */
    bool own;       /* `started` is of our own attempt: 2 x failover-timeout wait for it. The wait
                       after a vote for another is the elector's (design.md §4.6) */
    bool lost_exec; /* the promotion's transaction failed or its link broke: send it again */
    ms_t want_at;   /* no BALLOT_WANT before (the journal refused), 0: any time */
    ms_t barren_since; /* our last attempt found no replica to promote then; 0: none did */
    ms_t vote_since;   /* first vote of this outage, ours or another's; 0: none */
    struct instance *promoted;
};

/* A configuration the elector was asked to make durable; nothing of it shows before. */
struct group_commit {
    bool pending;
    bool own;   /* our promotion; else adopted from `from` */
    bool fresh; /* only a new epoch for our own view (design.md §4.10) */
    uint64_t epoch;
    struct address addr;
    struct runid from; /* the sentinel whose hello carried it, empty: none */
    struct address from_addr;
};

struct group {
    uint32_t gid;
    const struct group_env *env; /* lent by the host for the life of the group */
    struct group_settings set;
    struct instance *master;
    struct instance **replicas, **sentinels; /* owned, unordered */
    uint32_t replica_count, replica_cap, sentinel_count, sentinel_cap;
    uint64_t config_epoch;
    uint64_t leader_epoch; /* last vote given for this master, as the elector told */
    struct runid leader;   /* whom; empty: not known */
    struct failover fo;
    struct group_commit commit;
    ms_t outage_since;  /* start of the present s_down of the master, 0: none */
    ms_t member_added;  /* last time a sentinel was added (design.md §4.3) */
    ms_t quarrel_since; /* a peer has our config epoch and another address (§4.10), 0: no */
    ms_t fresh_asked;   /* BALLOT_FRESH is out since, 0: no */
    ms_t next_ask;
    ms_t phase;     /* of the group's beat: what is periodic happens at phase + n x beat */
    bool has_votes; /* the configuration file knew a leader-epoch */
    ms_t deadline;  /* see group_next_deadline */
    struct prng prng;
    uint64_t dropped; /* replicas, sentinels, hellos ignored at a bound or as hostile */
    void *host;       /* the host's; rules never look at it */
    char name[];      /* at most LIMIT_NAME bytes; as long as it needs to be: there are thousands */
};

/* --- actions -------------------------------------------------------------------------------- */
enum send_flag { SEND_PING = 1 << 0, SEND_INFO = 1 << 1, SEND_HELLO = 1 << 2 };

enum action_kind {
    /* Links of masters and replicas: open is answered by GROUP_LINK_UP or GROUP_LINK_DOWN. Closing
     * is at once and unanswered. Of a sentinel: open = take part in the shared peer link to
     * inst->runid at inst->addr; close = leave it. */
    ACTION_LINK_OPEN,  /* inst, link. Where the address has a name the host looks what it stands for
                          now, and sends GROUP_RESOLVED when that is another ip */
    ACTION_LINK_CLOSE, /* inst, link */
    ACTION_FORGET,     /* inst: not in the group any more and its links close; the host owns it now
                          and frees it with instance_free(). Last action that names it. */
    ACTION_SEND,       /* inst, send: commands due together, on cmd link, in one write. A hello to a
                          sentinel is a PUBLISH through its peer link. The hello's text is the
                          published view's (struct group_view), rendered when sent. */
    ACTION_SLAVEOF,    /* inst, addr (port 0: NO ONE): the transaction of protocol.md §7.3;
                          answered by GROUP_EXEC. failing: FAILOVER ABORT goes before it */
    ACTION_HANDOVER,   /* master inst, addr (by name if it has one), timeout: MULTI, CLIENT PAUSE
                          timeout WRITE, FAILOVER TO   addr TIMEOUT timeout, EXEC; answered by
                          GROUP_HANDOVER. Where the master   takes the pause but not the rest the host
                          ends the pause */
    ACTION_HANDOVER_ABORT, /* inst: FAILOVER ABORT, CLIENT UNPAUSE; what comes of it INFO tells */
    ACTION_SETTLE, /* inst: its role has changed by FAILOVER: MULTI, CONFIG REWRITE, CLIENT KILL
                      TYPE normal and pubsub, CLIENT UNPAUSE, EXEC; answered by GROUP_EXEC */
    ACTION_SCRIPT_KILL, /* inst */
    ACTION_ASK,         /* sentinel inst: IS-MASTER-DOWN-BY-ADDR addr epoch, with our runid when
                           vote, else "*"; answered by GROUP_ANSWER */
    ACTION_EVENT,   /* type, text: log and publish, in this order, after the view is published */
    ACTION_LOG,     /* level, text: log only. Rules have no wall clock: where the text holds the
                       marker %T<n>% the host puts the ctime of n milliseconds from now */
    ACTION_BALLOT,  /* ballot: to the elector */
    ACTION_RECORD,  /* record: to the elector, journalled without waiting */
    ACTION_MOVED,   /* runid, addr: that sentinel moved; tell every other group of the process
                       (GROUP_SENTINEL_MOVED), then emit +sentinel-address-update with the count
                       in this group's name */
    ACTION_INVALID, /* runid, addr: whoever else is known at addr is gone; tell every other
                       group (GROUP_SENTINEL_INVALID) */
    ACTION_SCRIPT,  /* client-reconfig-script: leader, addr = from, addr2 = to */
    ACTION_CRASH_POINT, /* leader: after election, else after promotion (SIMULATE-FAILURE) */
};

struct action {
    enum action_kind kind;
    struct instance *inst; /* valid until the ACTION_FORGET that names it has been handled */
    enum link_kind link;
    unsigned send;
    bool vote, leader, failing;
    ms_t timeout;
    enum event_type type;
    enum event_level level;
    uint64_t epoch;
    struct address addr, addr2;
    union {
        struct ballot ballot;
        struct record record;
        struct runid runid;
        char *text; /* EVENT, LOG: owned by the update, valid until update_clear() */
    } u;
};

/* What a step wants done, in order. The host keeps one and clears it before each step. */
struct update {
    struct action *actions; /* owned */
    size_t count, cap;
    bool view_changed; /* publish group_view() before anything else is done */
    enum group_reply { /* of GROUP_FAILOVER */
                       GROUP_OK,
                       GROUP_INPROG,        /* -INPROG Failover already in progress */
                       GROUP_NOGOODSLAVE,   /* -NOGOODSLAVE No suitable replica to promote */
                       GROUP_TWIN,          /* design.md §4.11 */
                       GROUP_NOGOODPRIMARY, /* COORDINATED: the master does not know FAILOVER */
                       GROUP_PRIMARY_DOWN,  /* COORDINATED: it is down, or no master */
    } reply;
};
void update_init(struct update *up);
/* Empties it for the next step, keeping its memory. */
void update_clear(struct update *up);
void update_free(struct update *up);
/* Appends an action, all zero but its kind, and returns it; valid until the next append. */
struct action *update_add(struct update *up, enum action_kind kind);
/* Appends an EVENT or a LOG with a printf-made text. */
void update_event(struct update *up, enum event_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void update_log(struct update *up, enum event_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends an EVENT with the usual text of an instance (protocol.md §8), and a suffix where extra is
 * not NULL. */
void update_event_instance(struct update *up, enum event_type type, const struct group *g,
                           const struct instance *inst, const char *extra);

/* --- events --------------------------------------------------------------------------------- */
enum group_event_kind {
    GROUP_TICK,             /* time has passed */
    GROUP_LINK_UP,          /* inst, link: connected (and, pub/sub, SUBSCRIBE sent) */
    GROUP_LINK_DOWN,        /* inst, link: refused, timed out, reset */
    GROUP_PONG,             /* inst, ping */
    GROUP_REPLY,            /* inst: some other reply on the command link: the link works */
    GROUP_PUBSUB,           /* inst: something came on the pub/sub link */
    GROUP_INFO,             /* inst, info */
    GROUP_HELLO,            /* hello, of this group's name */
    GROUP_EXEC,             /* inst, ok: the transaction of ACTION_SLAVEOF was answered */
    GROUP_HANDOVER,         /* master inst, ok: ACTION_HANDOVER was answered */
    GROUP_PEER,             /* sentinel inst, live: its shared link's liveness changed */
    GROUP_ANSWER,           /* sentinel inst, down, leader, epoch: it answered an ASK */
    GROUP_ASKED,            /* sentinel inst, or NULL where it is doubtful who asks: a stock peer
                               asked about our master's address: evidence (design.md §4.7) */
    GROUP_OUTCOME,          /* outcome */
    GROUP_FAILOVER,         /* SENTINEL FAILOVER, coordinated; see update.reply */
    GROUP_RESET,            /* SENTINEL RESET matched */
    GROUP_SET,              /* settings */
    GROUP_RECONNECT,        /* auth changed: reopen the links to master and replicas */
    GROUP_SENTINEL_MOVED,   /* runid, addr: heard in another group */
    GROUP_RESOLVED,         /* inst, addr: its name stands for this ip now */
    GROUP_SENTINEL_INVALID, /* runid, addr: whoever is known at addr with another runid goes */
};

struct group_event {
    enum group_event_kind kind;
    ms_t now;
    struct instance *inst;
    enum link_kind link;
    enum ping_reply ping;
    bool ok, down, coordinated;
    uint64_t epoch;
    struct runid runid; /* or the leader of an ANSWER, empty for "*" */
    struct address addr;
    const struct info *info; /* borrowed until return, as all pointers here */
    const struct hello *hello;
    const struct liveness *live;
    const struct outcome *outcome;
    const struct group_settings *settings;
};

/* --- life ------------------------------------------------------------------------------------ */
struct group_saved { /* what the configuration file says of a group */
    uint64_t config_epoch, leader_epoch;
    bool has_leader_epoch;
    struct runid leader;
};

/* A group with a master at addr and nothing else known. env is borrowed for its life. Owned by the
 * caller. */
struct group *group_new(uint32_t gid, const char *name, const struct address *addr,
                        const struct group_settings *set, const struct group_saved *saved,
                        const struct group_env *env, uint64_t seed, ms_t now);
/* Adds what the configuration file knows, silently, before group_start. False at a bound, for a
 * duplicate, or for our own runid. */
bool group_add_known_replica(struct group *g, const struct address *addr, ms_t now);
bool group_add_known_sentinel(struct group *g, const struct address *addr, const struct runid *id,
                              ms_t now);
/* Begins: BALLOT_ADD and its members, links, and +monitor when announce (start and MONITOR). */
void group_start(struct group *g, bool announce, ms_t now, struct update *up);
/* Ends (REMOVE): BALLOT_REMOVE, -monitor, ACTION_FORGET for every instance. Then group_free(). */
void group_stop(struct group *g, ms_t now, struct update *up);
void group_free(struct group *g);

/* One event, its actions into up (which the caller cleared). Asserts that ev->inst belongs to g. */
void group_step(struct group *g, const struct group_event *ev, struct update *up);
/* When GROUP_TICK must come at the latest. May be earlier than needed, never later. */
ms_t group_next_deadline(const struct group *g);
/* When the master is judged to be down if nothing is heard of it; MS_NEVER: it is, or in TILT. For
 * a host that rounds deadlines up: this one it should not. */
ms_t group_verdict_at(const struct group *g);
/* True while the host must not gather (design.md §3): s_down, or an attempt is on. */
bool group_urgent(const struct group *g);

/* --- what others see ------------------------------------------------------------------------- */
struct group_view {
    struct address master;  /* the flagged master: asked about, in events and INFO */
    struct address current; /* announced: the promoted replica's once its promotion is confirmed */
    uint64_t config_epoch;
    uint64_t leader_epoch; /* last durable vote */
    struct runid leader;
    bool s_down, o_down, failover;
    uint32_t replicas, sentinels, quorum; /* sentinels without self */
};
void group_view(const struct group *g, struct group_view *view);

struct instance *group_find_replica(const struct group *g, const struct address *addr);
struct instance *group_find_sentinel(const struct group *g, const struct runid *id);
struct instance *group_find_sentinel_at(const struct group *g, const struct address *addr);
/* SENTINEL CKQUORUM: usable sentinels, self included, and whether quorum and majority are in
 * reach. */
uint32_t group_usable(const struct group *g, bool *quorum, bool *majority);
/* The replica SENTINEL FAILOVER would take now, or NULL. */
struct instance *group_best_replica(const struct group *g, ms_t now);
