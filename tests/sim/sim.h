/* The deterministic simulator (design.md §4 end, §7): the rules of src/rules, the very objects of
 * the daemon, in a world whose time, network, disks, servers and operators come out of one seed.
 *
 * One struct world is one run. world_run() fires one event at a time, the earliest first; events of
 * the same millisecond fire in the order they were scheduled. Nothing else orders anything, so a
 * seed reproduces exactly. Per simulated sentinel, S shards and one elector are step functions that
 * exchange parcels through FIFO lanes which the world owns and delays.
 *
 * Files: params.c (what a seed draws), event.c (time, trace), net.c (connections), redis.c
 * (servers), journal.c (the disk), elector.c and stock.c (elector hosts), shard.c and action.c
 * (shard host), peer.c (links between sentinels), sentinel.c (processes, commands), nemesis.c
 * (faults), check.c (safety), converge.c (liveness), world.c (a run), main.c (command line).
 *
 * Thread: one world, one thread; main.c runs several processes.
 */
#pragma once

#include "rules/election.h"
#include "rules/group.h"
#include "rules/mutant.h"

#include <setjmp.h>

#define SIM_SENTINELS       7
#define SIM_SHARDS          3
#define SIM_GROUPS          200
#define SIM_SERVERS         (SIM_GROUPS * SIM_SERVERS_A_GROUP)
#define SIM_SERVERS_A_GROUP 4
#define SIM_NODES           (SIM_SENTINELS + SIM_SERVERS)
#define SIM_PEERS           32 /* peers one process knows at a time */
#define SIM_PARTITIONS      3  /* at a time */
#define SIM_IDENTITIES      64 /* sentinel ids in the life of a world */
#define SIM_BACKLOG         400 /* messages waiting in one direction of a connection; then it is cut */
#define SIM_TURN_MAX        500 /* ms a shard sleeps at most */
#define SIM_BATCH           256 /* parcels a shard dispatches in a turn */
#define SIM_KNOWN           24  /* replicas or sentinels the saved model of a group holds */
#define SIM_SUBSCRIBERS     24  /* of one server: dead connections of crashed clients included */
#define SIM_START           100000

/* --- parameters ----------------------------------------------------------------------------- */
/* Swarm testing: a seed enables a subset of these. X(identifier, name) */
#define FAULT_TABLE(X)                                                                             \
    X(DELAY, "delay")                                                                              \
    X(CUT, "cut")                                                                                  \
    X(DUPLICATE, "duplicate")                                                                      \
    X(PARTITION, "partition")                                                                      \
    X(ONE_WAY, "one-way")                                                                          \
    X(CRASH, "crash")                                                                              \
    X(SLOW_DISK, "slow-disk")                                                                      \
    X(BAD_DISK, "bad-disk")                                                                        \
    X(FREEZE_SHARD, "freeze-shard")                                                                \
    X(FREEZE_PROCESS, "freeze-process")                                                            \
    X(KILL_SERVER, "kill-server")                                                                  \
    X(HANG_SERVER, "hang-server")                                                                  \
    X(MASS_KILL, "mass-kill")                                                                      \
    X(FAILOVER, "op-failover")                                                                     \
    X(RESET, "op-reset")                                                                           \
    X(REMOVE, "op-remove")                                                                         \
    X(SET, "op-set")                                                                               \
    X(REBORN, "reborn")                                                                            \
    X(MOVE, "move")                                                                                \
    X(SPLIT, "split-failover")                                                                     \
    X(STOCK, "stock-voter")                                                                        \
    X(AIMED, "aimed")                                                                              \
    X(COORDINATED, "op-coordinated")

#define FAULT_ENUM(id, name) FAULT_##id,
enum fault { FAULT_TABLE(FAULT_ENUM) FAULT_COUNT };
#undef FAULT_ENUM

struct params {
    uint64_t seed;
    unsigned faults; /* bit per enum fault */
    uint32_t sentinels, groups, replicas_min, replicas_max, quorum, parallel_syncs;
    uint32_t shards[SIM_SENTINELS];
    uint32_t stock; /* index of the stock-like sentinel, or SIM_SENTINELS */
    bool preloaded; /* sentinels know each other and the replicas at the start */
    bool exam;      /* after convergence: kill masters in a calm network, with a tight bound */
    struct periods periods;
    ms_t down_after, failover_timeout;
    ms_t delay_min, delay_max; /* of a message */
    ms_t lane_max;             /* of a parcel */
    ms_t disk_min, disk_max;   /* of an fsync */
    ms_t trouble;              /* length of the phase with faults */
    ms_t fault_mean;           /* between faults */
    uint32_t cut_permille, duplicate_permille, slow_permille, fail_permille, aimed_percent;
};
void params_draw(struct params *p, uint64_t seed);
void params_print(const struct params *p);
static inline bool fault_on(const struct params *p, enum fault f)
{
    return (p->faults >> f & 1) != 0;
}

/* --- time ----------------------------------------------------------------------------------- */
struct world;
struct conn;
struct sentinel;

enum event_kind {
    EV_DELIVER,     /* conn, a = direction */
    EV_CONNECT,     /* conn: the connect attempt comes to its result */
    EV_PARCEL,      /* parcel: reaches the inbox of its shard or elector */
    EV_TURN,        /* a = sentinel, b = shard, stamp */
    EV_PASS,        /* a = sentinel, stamp */
    EV_SYNCED,      /* a = sentinel, stamp = incarnation */
    EV_REPLICATION, /* all servers: offsets, replication links */
    EV_NEMESIS,     /* next fault */
    EV_PLAN,        /* stamp indexes struct plan */
    EV_SECOND,      /* phase changes, convergence */
};

struct event {
    ms_t at;
    uint64_t sequence;
    enum event_kind kind;
    uint32_t a, b;
    uint64_t stamp;
    void *ptr;
};

void event_push(struct world *w, ms_t at, enum event_kind kind, uint32_t a, uint32_t b,
                uint64_t stamp, void *ptr);
bool event_pop(struct world *w, struct event *ev);
/* Adds to the trace's hash and, with --trace, prints a line. who: sentinel index or -1. */
void trace(struct world *w, int who, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Trace that costs no formatting unless printed: hashes the numbers. */
void trace_number(struct world *w, uint64_t number);

uint64_t draw(struct world *w, uint64_t bound);            /* [0, bound), 0 for bound 0 */
ms_t draw_between(struct world *w, ms_t least, ms_t most); /* [least, most] */
bool chance(struct world *w, uint32_t permille);

/* --- network -------------------------------------------------------------------------------- */
enum msg_kind {
    MSG_PING,
    MSG_PONG, /* ping */
    MSG_INFO,
    MSG_INFO_REPLY, /* info */
    MSG_HELLO,      /* hello: PUBLISH, or a message on a pub/sub link */
    MSG_PUBLISHED,
    MSG_SLAVEOF,        /* addr */
    MSG_EXEC,           /* ok */
    MSG_HANDOVER,       /* addr, epoch = ms it may take */
    MSG_HANDOVER_TAKEN, /* ok */
    MSG_HANDOVER_ABORT,
    MSG_SETTLE,     /* CONFIG REWRITE, CLIENT KILL, CLIENT UNPAUSE */
    MSG_ASK,        /* addr, epoch, runid (empty: "*") */
    MSG_ANSWER,     /* down, runid, epoch */
    MSG_MYID,       /* SENTINEL MYID, at the start of a link to a sentinel */
    MSG_MYID_REPLY, /* runid */
    MSG_RESET,      /* the connection is gone */
};

struct hello_box { /* shared by a fan-out */
    uint32_t refs;
    struct hello hello;
};

struct info_box {
    struct runid runid;
    enum role role;
    struct address master;
    bool link_up;
    ms_t link_down;
    uint64_t offset;
    bool failing_over;
    uint32_t priority, replica_count;
    struct address replicas[SIM_SERVERS_A_GROUP];
};

struct msg {
    struct msg *next;
    enum msg_kind kind;
    ms_t due;
    uint32_t gid; /* of requests to sentinels: what the requester's group is */
    bool ok, down, failing;
    enum ping_reply ping;
    uint64_t epoch, slot;
    struct runid runid;
    struct address addr;
    struct hello_box *hello;
    struct info_box *info;
};

enum { TO_SERVER, TO_CLIENT };

struct lane_queue { /* one direction */
    struct msg *head, *tail;
    uint32_t count;
    bool scheduled;
    ms_t last;
};

struct slot { /* an answer a sentinel owes, in order */
    struct slot *next;
    uint64_t id;
    bool ready;
    ms_t since;
    uint32_t gid;
    struct msg *reply;
};

struct peer;
struct conn {
    uint64_t uid;
    uint32_t index, refs; /* refs: events and parcels that name it */
    enum link_kind link;
    uint32_t client, server; /* nodes */
    uint64_t incarnation;    /* of the client process */
    uint32_t shard;          /* of the client */
    struct instance *inst;   /* a link of a group, else NULL */
    uint32_t gid;
    struct peer *peer;
    bool up, client_gone, server_gone;
    ms_t opened;
    uint32_t accept_shard; /* where the server is a sentinel */
    struct lane_queue way[2];
    struct slot *slots, *slots_tail;
    uint64_t next_slot;
};

struct partition {
    bool on, one_way;
    bool side[SIM_NODES];
};

struct conn *net_open(struct world *w, struct sentinel *s, uint32_t shard, uint32_t server,
                      enum link_kind link);
/* The client closes; nothing more reaches it. */
void net_close(struct world *w, struct conn *c);
struct msg *msg_new(struct world *w, enum msg_kind kind);
void msg_free(struct world *w, struct msg *m);
struct hello_box *hello_box_new(const struct hello *hello);
/* Takes m. */
void net_send(struct world *w, struct conn *c, int way, struct msg *m);
void net_deliver(struct world *w, struct conn *c, int way);
void net_connected(struct world *w, struct conn *c);
/* Both ends learn, each in its time; what is under way is lost. */
void net_cut(struct world *w, struct conn *c);
/* All connections of a process end with it. reset: the others are told (else: power loss). */
void net_node_gone(struct world *w, uint32_t node, bool reset);
bool net_blocked(const struct world *w, uint32_t from, uint32_t to);
void net_unref(struct world *w, struct conn *c);
/* Closes server-side what CLIENT KILL closes; keep: the requester's connection. */
void net_kill_clients(struct world *w, uint32_t server, struct conn *keep);
struct conn *net_find(struct world *w, uint64_t index, uint64_t uid);
void net_free(struct world *w);

/* --- servers -------------------------------------------------------------------------------- */
struct server {
    uint32_t index, gid;
    struct address addr;
    struct runid runid;
    bool alive, hung;
    ms_t loading_until;
    bool is_master, saved_is_master;
    uint32_t master, saved_master; /* server index */
    bool link_up;
    ms_t link_down_since, link_next;
    uint64_t offset;
    uint32_t priority;
    uint32_t boots;
    bool handing, handed; /* FAILOVER is on; it has made itself a replica of the target */
    uint32_t handing_to;
    ms_t handing_until;
    struct conn *subscribers[SIM_SUBSCRIBERS];
    uint32_t subscriber_count;
};

void server_init(struct world *w, uint32_t index, uint32_t gid, bool is_master, uint32_t master);
void server_request(struct world *w, struct conn *c, struct msg *m); /* takes m */
void server_kill(struct world *w, struct server *v, bool reset);
void server_start(struct world *w, struct server *v);
/* False: it hands over, which takes no SLAVEOF. */
bool server_slaveof(struct world *w, struct server *v, const struct address *addr);
void server_handover_abort(struct world *w, struct server *v);
void server_subscribe(struct server *v, struct conn *c);
void server_unsubscribe(struct server *v, const struct conn *c);
void server_replicate(struct world *w); /* once every 250 ms */
struct server *server_at(struct world *w, const struct address *addr);

/* --- the disk: what sentinel.conf and the journal hold --------------------------------------- */
struct saved_group {
    bool monitored;
    struct address addr;
    uint32_t quorum;
    ms_t down_after;
    uint64_t config_epoch, vote_epoch;
    bool has_vote;
    struct runid voted;
    uint32_t replica_count, sentinel_count;
    struct address replicas[SIM_KNOWN];
    struct {
        struct address addr;
        struct runid runid;
    } sentinels[SIM_KNOWN];
};

struct saved {
    uint64_t current_epoch;
    struct runid myid;
    struct saved_group groups[SIM_GROUPS];
};

/* A record of the rules, or of the operator's: SET and MONITOR carry the terms as numbers here. */
struct entry {
    struct record record;
    ms_t down_after; /* RECORD_TEXT: SET down-after, quorum (record.quorum) */
};

struct journal {
    struct saved durable;                       /* what a crash cannot take */
    struct entry *tail;                         /* written, not durable */
    uint32_t tail_count, tail_cap, tail_synced; /* of the running fsync */
    bool failed;                                /* until a whole snapshot is durable */
};
void journal_append(struct journal *j, const struct entry *e);
/* The first n of the tail are durable now. */
void journal_settle(struct world *w, struct sentinel *s, uint32_t n);
/* Crash: a random prefix of the tail survives. */
void journal_crash(struct world *w, struct sentinel *s);
void journal_free(struct journal *j);

/* --- parcels: what goes through lanes --------------------------------------------------------- */
enum parcel_kind {
    /* network to a shard */
    PARCEL_CONN_UP,   /* conn */
    PARCEL_CONN_DOWN, /* conn */
    PARCEL_MSG,       /* conn, msg, way */
    /* shard to shard */
    PARCEL_HELLO,      /* msg */
    PARCEL_ASKED,      /* gid, runid, source, prefix */
    PARCEL_ANSWER,     /* gid, runid = voter, msg */
    PARCEL_PEER,       /* runid, live, gone */
    PARCEL_PEER_JOIN,  /* gid, runid, addr */
    PARCEL_PEER_LEAVE, /* gid, runid */
    PARCEL_PEER_SEND,  /* gid, runid, msg */
    PARCEL_MOVED,      /* runid, addr */
    PARCEL_INVALID,    /* runid, addr */
    PARCEL_PATIENCE,   /* conn, slot */
    /* elector to shard */
    PARCEL_OUTCOME, /* outcome */
    PARCEL_VOTE,    /* vote */
    /* to the elector */
    PARCEL_BALLOT, /* ballot */
    PARCEL_RECORD, /* entry */
    /* operator to a shard */
    PARCEL_COMMAND, /* command, gid, amount */
};

enum command {
    COMMAND_FAILOVER,
    COMMAND_COORDINATED,
    COMMAND_RESET,
    COMMAND_REMOVE,
    COMMAND_MONITOR,
    COMMAND_QUORUM,
    COMMAND_DOWN_AFTER
};

struct parcel {
    struct parcel *next;
    enum parcel_kind kind;
    uint64_t incarnation;      /* of the process; an older one's parcels vanish */
    uint32_t sentinel, target; /* shard, or SIM_SHARDS: the elector */
    uint32_t gid;
    int way;
    bool gone;
    uint64_t slot;
    struct conn *conn; /* one ref */
    struct msg *msg;   /* owned */
    struct runid runid;
    struct address addr;
    enum command command;
    ms_t amount;
    union {
        struct liveness live;
        struct outcome outcome;
        struct vote_reply vote;
        struct ballot ballot;
        struct entry entry;
    } u;
};

struct inbox {
    struct parcel *head, *tail;
    uint32_t count;
};

/* --- processes ------------------------------------------------------------------------------- */
struct peer { /* the one link to another sentinel process */
    bool used;
    struct runid runid;
    struct address addr;
    struct conn *conn;
    struct liveness live;
    bool told_pending; /* the groups have been told of an unanswered PING */
    ms_t next_ping;
    uint32_t shard;
    bool member[SIM_GROUPS];
    uint32_t member_count;
};

struct shard {
    uint32_t index;
    struct inbox inbox;
    ms_t last_turn, wake, frozen_until;
    uint64_t stamp; /* of the valid EV_TURN */
    struct group_env env;
    struct update update;
    ms_t lane_last[SIM_SHARDS + 1]; /* FIFO per target */
};

struct stock; /* stock.c */

struct elector {
    struct inbox inbox;
    struct election *election; /* NULL in the stock-like voter */
    struct stock *stock;
    struct election_env env;
    struct election_update update;
    size_t recorded; /* of the update's records, in the journal's tail already */
    bool busy;
    ms_t wake, frozen_until, disk_retry;
    uint64_t stamp;
    ms_t lane_last[SIM_SHARDS];
};

/* What the elector was told and what it did, kept by the checks (check.c). */
struct mirror {
    uint32_t member_count;
    struct runid members[SIM_KNOWN];
    bool down[SIM_KNOWN]; /* s_down here */
    uint32_t quorum;
    bool forced;  /* the attempt under way is by SENTINEL FAILOVER */
    bool elected; /* and by COORDINATED: it needs a majority */
    /* lease */
    struct runid voted;
    uint64_t voted_epoch, asked_epoch;  /* last vote; greatest epoch its holder asked with */
    ms_t voted_at, asked_at, wished_at; /* wished_at: 0 while there is no wish */
    bool ended, holder_down;
    uint64_t floor_epoch;
    /* Which process last answered over the link to a member: addresses change hands. */
    struct {
        struct runid member;
        uint32_t process;
    } answered[SIM_SENTINELS];
    uint32_t answered_count;
};

struct sentinel {
    uint32_t index;
    bool alive, stock;
    bool fresh; /* started without saved state, and has not yet lived through its silence */
    ms_t booted;
    uint64_t incarnation;
    struct address addr;
    struct runid myid;
    uint32_t identity;
    uint32_t shard_count;
    struct shard shards[SIM_SHARDS];
    struct elector elector;
    struct journal journal;
    uint64_t published_epoch; /* durable current_epoch as shards see it */
    bool tilt;
    ms_t tilt_until;
    struct group *groups[SIM_GROUPS];
    struct group_view views[SIM_GROUPS]; /* the directory */
    struct peer peers[SIM_PEERS];
    struct mirror mirrors[SIM_GROUPS];
    /* never goes back, across restarts; reset only for an id born anew or by REMOVE */
    uint64_t seen_epoch, seen_config[SIM_GROUPS];
    struct address seen_addr[SIM_GROUPS]; /* what MONITOR names after REMOVE */
};

uint32_t shard_of(const struct sentinel *s, uint32_t gid);
void sentinel_boot(struct world *w, struct sentinel *s);
void sentinel_crash(struct world *w, struct sentinel *s, bool reset);
/* Restarts with a new id and an empty disk, at the same address. */
void sentinel_reborn(struct world *w, struct sentinel *s);
void sentinel_command(struct world *w, struct sentinel *s, uint32_t gid, enum command command,
                      ms_t amount);
void sentinel_free(struct world *w, struct sentinel *s);
struct sentinel *sentinel_at(struct world *w, const struct address *addr);
void sentinel_tilt(struct world *w, struct sentinel *s);

/* Takes the parcel; delay: of the lane. from: shard, SIM_SHARDS = elector, else the network. */
struct parcel *parcel_new(struct world *w, struct sentinel *s, uint32_t target,
                          enum parcel_kind kind);
void parcel_lane(struct world *w, struct sentinel *s, uint32_t from, struct parcel *p);
void parcel_arrive(struct world *w, struct parcel *p);
void parcel_free(struct world *w, struct parcel *p);
struct parcel *inbox_take(struct inbox *in);

void shard_turn(struct world *w, struct sentinel *s, struct shard *h);
void shard_wake(struct world *w, struct sentinel *s, struct shard *h, ms_t at);
/* Steps a group and does what it wants. */
void shard_step(struct world *w, struct sentinel *s, struct group *g, struct group_event *ev);
void shard_apply(struct world *w, struct sentinel *s, struct group *g, struct update *up);
void shard_publish(struct world *w, struct sentinel *s, struct group *g);
void shard_command(struct world *w, struct sentinel *s, struct shard *h, struct parcel *p);
struct hello_box *shard_hello(struct sentinel *s, const struct group *g);

/* Requests that reach a sentinel's port, and the answers it owes in order. */
void port_request(struct world *w, struct sentinel *s, struct shard *h, struct conn *c,
                  struct msg *m);
void port_vote(struct world *w, struct sentinel *s, const struct vote_reply *v);
void port_patience(struct world *w, struct sentinel *s, struct conn *c, uint64_t slot);
void port_free_slots(struct world *w, struct conn *c);

struct peer *peer_find(struct sentinel *s, const struct runid *id);
void peer_join(struct world *w, struct sentinel *s, struct shard *h, const struct parcel *p);
void peer_leave(struct world *w, struct sentinel *s, struct shard *h, const struct parcel *p);
void peer_send(struct world *w, struct sentinel *s, struct parcel *p);
void peer_up(struct world *w, struct sentinel *s, struct conn *c);
void peer_down(struct world *w, struct sentinel *s, struct conn *c);
void peer_reply(struct world *w, struct sentinel *s, struct conn *c, struct msg *m);
void peer_tick(struct world *w, struct sentinel *s, struct shard *h);
ms_t peer_deadline(const struct world *w, const struct sentinel *s, const struct shard *h);

void elector_pass(struct world *w, struct sentinel *s);
void elector_synced(struct world *w, struct sentinel *s);
void elector_wake(struct world *w, struct sentinel *s, ms_t at);

struct stock *stock_new(const struct saved *saved);
void stock_free(struct stock *k);
void stock_ballot(struct world *w, struct sentinel *s, const struct ballot *b,
                  struct election_update *up);
void stock_pass(struct world *w, struct sentinel *s, struct election_update *up);
ms_t stock_next_deadline(const struct stock *k);
uint64_t stock_current_epoch(const struct stock *k);

/* --- checks ----------------------------------------------------------------------------------- */
enum verdict { VERDICT_CLEAN, VERDICT_SAFETY, VERDICT_LIVENESS, VERDICT_CRASH };

struct vote_known {
    uint32_t gid;
    uint64_t epoch;
    struct runid whom;
};

struct identity { /* a sentinel id and all its durable votes */
    struct runid runid;
    uint32_t sentinel;
    struct vote_known *votes;
    uint32_t vote_count, vote_cap;
};

struct leader_known {
    uint32_t gid;
    uint64_t epoch;
    struct runid runid;
    uint32_t members;
};

/* Does not return: the run is over. */
void check_fail(struct world *w, enum verdict verdict, const char *invariant, const char *format,
                ...) __attribute__((format(printf, 4, 5), noreturn));
uint32_t check_identity(struct world *w, const struct sentinel *s);
void check_durable(struct world *w, struct sentinel *s, const struct entry *e);
void check_booted(struct world *w, struct sentinel *s);
/* After the elector took the ballot; the outcomes from index `first` are its. */
void check_ballot(struct world *w, struct sentinel *s, const struct ballot *b, size_t first);
/* An answer of the member to s about gid came from that process. */
void check_answered(struct sentinel *s, uint32_t gid, const struct runid *member, uint32_t process);
void check_outcome(struct world *w, struct sentinel *s, const struct outcome *o);
void check_pass(struct world *w, struct sentinel *s, size_t first);
void check_vote_sent(struct world *w, struct sentinel *s, uint32_t gid, const struct runid *leader,
                     uint64_t epoch);
void check_ask_sent(struct world *w, struct sentinel *s, uint32_t gid, uint64_t epoch);
void check_hello_sent(struct world *w, struct sentinel *s, const struct group *g,
                      const struct hello *hello);
void check_view(struct world *w, struct sentinel *s, const struct group *g);
void check_step(struct world *w, struct sentinel *s, const struct group *g);
void check_action(struct world *w, struct sentinel *s, const struct group *g,
                  const struct action *a);
void check_removed(struct sentinel *s, uint32_t gid);

/* Whether everybody agrees; else why not, in text. */
bool converged(struct world *w, char *why, size_t size);

/* --- faults ------------------------------------------------------------------------------------
 */
enum plan_kind {
    PLAN_SERVER_START,
    PLAN_SERVER_RESUME,
    PLAN_SERVER_KILL,
    PLAN_SERVER_HANG,
    PLAN_SENTINEL_START,
    PLAN_SENTINEL_CRASH,
    PLAN_SENTINEL_REBORN,
    PLAN_SENTINEL_SWAP,
    PLAN_PARTITION_END,
    PLAN_MONITOR,
    PLAN_REMOVE,
    PLAN_RESET,
    PLAN_FAILOVER,
    PLAN_COORDINATED,
};

void nemesis_act(struct world *w); /* one random fault */
void nemesis_plan(struct world *w, const struct event *ev);
void nemesis_voted(struct world *w, struct sentinel *s, uint32_t gid); /* aimed faults */
void nemesis_elected(struct world *w, struct sentinel *s, uint32_t gid);
void nemesis_heal(struct world *w);
void nemesis_tend(struct world *w); /* what an operator does by hand once all is healed */
void nemesis_exam(struct world *w);

/* One sentinel dies after its vote, and another comes up at its address while the candidate's round
 * is still open: the vote of who is no member any more. */
struct drill {
    bool on;
    uint32_t gid, candidate, voter, heir;
};

/* --- world --------------------------------------------------------------------------------------
 */
struct counters {
    uint64_t steps, parcels, messages, elections, failovers, promotions, votes, faults, excused;
    uint64_t by_fault[FAULT_COUNT], crashes, gossip_dropped, syncs, tilts;
    uint64_t virtual_ms;
};

enum phase { PHASE_WARM, PHASE_TROUBLE, PHASE_HEALED, PHASE_EXAM, PHASE_DONE };

struct world {
    struct params p;
    struct prng prng;
    bool trace_on;
    uint64_t hash;
    ms_t now;
    struct event *heap;
    uint32_t heap_count, heap_cap;
    uint64_t sequence;
    struct sentinel *sentinels; /* SIM_SENTINELS */
    struct server *servers;
    uint32_t server_count;           /* SIM_SERVERS_A_GROUP for each group, some unused */
    uint32_t servers_of[SIM_GROUPS]; /* in use */
    struct conn **conns;
    uint32_t conn_count, conn_cap, conn_hint; /* no free place below the hint */
    uint64_t conn_uid;
    struct msg *msg_pool;
    struct parcel *parcel_pool;
    struct partition partitions[SIM_PARTITIONS];
    struct drill drill;
    struct identity identities[SIM_IDENTITIES];
    uint32_t identity_count;
    struct leader_known *leaders;
    uint32_t leader_count, leader_cap;
    struct info *scratch_info;
    enum phase phase;
    ms_t phase_since, calm_since, tended;
    uint32_t elections_of[SIM_GROUPS]; /* since the phase began */
    uint64_t incarnations;
    struct counters count;
    enum verdict verdict;
    char invariant[64], message[1024], unsettled[512];
    jmp_buf *end;
};

/* Runs a seed to its end; the world is zeroed here and freed with world_free. */
enum verdict world_run(struct world *w, uint64_t seed, bool trace_on);
void world_free(struct world *w);
bool calm(const struct world *w); /* no faults any more */
extern const char *const fault_names[FAULT_COUNT];
