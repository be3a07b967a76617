/* The inside of a shard, shared by shard*.c and peer.c.
 *
 * Thread: the shard's own.
 */
#pragma once

#include "io/heap.h"
#include "io/link.h"
#include "io/listener.h"
#include "io/text_pack.h"
#include "run/mail.h"
#include "run/shard.h"

#define PEER_BUCKETS 64
/* A PING to a peer unanswered this long is told to the groups, which judge it by their own
 * down-after (protocol.md §3). */
#define PEER_SUSPECT 250

struct timer {
    struct heap_node node;
    enum { TIMER_GROUP, TIMER_PEER } kind;
};

#define HEARD 4 /* hellos of a group remembered, a power of two */

/* What the shard keeps beside a group: shard_group.host. */
struct group_host {
    struct timer timer; /* first */
    struct shard_group sg;
    bool urgent;
    ms_t settled; /* the deadline its timer was set for */
    /* Hellos heard lately, since when nothing has happened to the group: each comes about three
     * times within milliseconds, from the master, its replicas and the sentinel itself. */
    struct heard {
        uint64_t hash; /* of the text */
        ms_t at;
    } heard[HEARD];
};

/* What it keeps beside a master or replica: instance.host. */
struct server {
    struct shard *shard;
    struct group_host *gh;
    struct instance *inst;
    struct link *cmd, *pubsub;
    bool told_name; /* the log was told that its name cannot be resolved */
    uint8_t *info;  /* the last INFO, packed, for INFO-CACHE */
    size_t info_len;
};

/* What it keeps beside a sentinel: instance.host. Also a place in its peer's list. */
struct member {
    struct group_host *gh;
    struct instance *inst;
    struct peer_view *peer;
    uint32_t index; /* in peer->members */
};

/* A peer as this shard's groups see it; its link may be another shard's. */
struct peer_view {
    struct peer_view *next; /* in the bucket */
    struct runid runid;
    struct address addr;
    unsigned owner; /* shard of the link */
    struct liveness live;
    uint32_t pending, refcount;
    struct member **members; /* owned array */
    uint32_t member_count, member_cap;
};

/* A peer's one link, on the shard that owns it. */
struct peer_link {
    struct timer timer; /* first */
    struct peer_link *next;
    struct shard *shard;
    struct runid runid;
    struct address addr;
    uint64_t joined;               /* bit per shard whose groups know the peer */
    uint32_t groups[LIMIT_SHARDS]; /* how many of them, by shard */
    struct link *link;
    struct liveness live;
    ms_t next_ping;
    bool told_ours;    /* the log was told that it announces our own address */
    bool told_suspect; /* the groups were told of a pending PING: its answer matters to them */
};
_Static_assert(LIMIT_SHARDS <= 64, "a bit per shard in peer_link.joined");

/* Tags of commands on links (link.h): what a reply answers. */
enum link_tag {
    TAG_PING = 1,
    TAG_INFO,
    TAG_PUBLISH,
    TAG_IGNORE, /* inside a transaction, SCRIPT KILL */
    TAG_EXEC,
    TAG_HANDOVER, /* inside its transaction: an error is told */
    TAG_HANDOVER_EXEC,
    TAG_ASK,
    TAG_MYID,
};

struct shard {
    struct process *process;
    unsigned index;
    pthread_t thread;
    bool stopping;
    atomic_bool ended;
    ms_t now, last_turn;
    struct ring *client_ring; /* clients, doorbell: waited on */
    struct ring *link_ring;   /* masters, replicas, peers: gathered */
    struct listener *listeners[2 * 16 + 2];
    unsigned listener_count;
    unsigned steered_count; /* of them, the first ones: it may take all new clients alone; 0: it is
                               not for this shard to say */
    bool leads, lead_busy;  /* it does; it had much to do when it looked last */
    ms_t lead_looked;       /* when that was ... */
    int64_t lead_used;      /* ... and ns of CPU of its thread by then */
    struct tunables *tunables; /* owned */
    struct group_env env;
    void *admin;
    ms_t admin_deadline, next_gather;
    ms_t grid;   /* turns in calm are at grid + n x TURN_CALM: each shard's at another time, so that
                    what they tell each other is there when they wake */
    bool late;   /* this turn comes so late that what arrived goes before what is due */
    bool behind; /* more had arrived on the links than a turn takes: no deadline runs yet */
    uint64_t behind_taken;      /* completions taken since then */
    bool caught_up;             /* the links were looked at for a request of this turn */
    struct group_host **groups; /* by gid, owned array with holes */
    uint32_t group_cap, group_count;
    uint32_t urgent;     /* groups that must not wait for a turn */
    uint64_t epoch_told; /* the last epoch of a hello that the elector was told, and when */
    ms_t epoch_told_at;
    ms_t descriptors_told; /* last complaint that there are none left, 0: never */
    ms_t tls_told;         /* the same, about a handshake that failed */
    uint64_t hash_key;     /* random, so that nobody outside can make two hellos look the same */
    char own_prefix[LIMIT_HOST + LIMIT_RUNID + 9]; /* our last hello up to its third comma */
    size_t own_prefix_len;
    struct heap heap;
    struct peer_view *peers[PEER_BUCKETS];
    struct peer_link *peer_links[PEER_BUCKETS];
    uint32_t peer_count;                /* in peers */
    struct update update;               /* scratch of a step */
    bool stepping;                      /* an update is being carried out */
    struct info *info;                  /* scratch */
    struct text_template info_template; /* of the INFO texts that servers keep */
    struct buffer packing;              /* scratch */
    struct prng prng;
    struct shard_counters counters;
    /* start-up handshake */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    int started; /* 0: not yet, 1: stands, -1: failed */
    char error[512];
};

/* shard_listen.c */
/* Opens the listeners. False: reason in s->error. */
bool shard_listen(struct shard *s);
/* Once a turn: decides whether this shard takes all new clients or each shard its share. */
void shard_steer(struct shard *s);

/* shard_group.c */
void shard_step(struct shard *s, struct group_host *gh, const struct group_event *ev);
void shard_act(struct shard *s, struct group_host *gh, struct update *up);
ms_t shard_on_grid(const struct shard *s,
                   ms_t deadline); /* the next turn in calm, at or after it */
void shard_timer_set(struct shard *s, struct timer *timer, ms_t deadline);
struct group_host *shard_group_host(const struct shard *s, uint32_t gid);
void shard_groups_start(struct shard *s);
void shard_groups_free(struct shard *s);

/* shard_link.c: links to masters and replicas */
void server_open(struct shard *s, struct group_host *gh, struct instance *inst,
                 enum link_kind kind);
void server_close(struct instance *inst, enum link_kind kind);
void server_forget(struct instance *inst);
void server_send(struct shard *s, struct group_host *gh, struct instance *inst, unsigned what);
void server_slaveof(struct shard *s, struct group_host *gh, struct instance *inst,
                    const struct address *to, bool failing);
/* The transactions of ACTION_HANDOVER, ACTION_HANDOVER_ABORT and ACTION_SETTLE. */
void server_handover(struct shard *s, struct group_host *gh, struct instance *inst,
                     const struct address *to, ms_t timeout);
void server_handover_abort(struct shard *s, struct group_host *gh, struct instance *inst);
void server_settle(struct shard *s, struct group_host *gh, struct instance *inst);
void server_script_kill(struct group_host *gh, struct instance *inst);
/* LETTER_LINK_LOST: tells the group, unless the link has been opened anew. */
void server_lost(struct shard *s, const struct letter *letter);
/* Renders a group's hello as its link at `local` sends it. Returns its length, 0: not now. */
size_t hello_render(struct shard *s, uint32_t gid, const struct link *link,
                    char out[LIMIT_HELLO + 1]);
void link_failed(struct shard *s, const char *why); /* of any link that went down */
/* link_open on the links' ring, counted. Whatever way it ends, shard_link_gone. */
struct link *shard_link_open(struct shard *s, struct link_options *options,
                             const struct link_ops *ops, void *owner);
void shard_link_gone(struct shard *s);
/* The error of a connection that never left this machine; 0: another cause. */
int link_stillborn(const char *why);
/* -cmd-link-reconnection, -pubsub-link-reconnection. */
void link_stillborn_event(struct shard *s, const struct group_host *gh, const struct instance *inst,
                          enum link_kind kind, int error);
void link_options_fill(struct shard *s, struct link_options *options, const struct address *to,
                       enum link_kind kind);
enum ping_reply ping_reply_of(const struct redisReply *reply);

/* shard_names.c */
/* Fills in the ips of the names that a hello, or an INFO of a server of g, holds. hello: false
 * while one of them is being looked up; the next hello comes soon. INFO: lines of replicas whose
 * names cannot be resolved are taken out. */
bool names_hello(struct shard *s, const struct group *g, struct hello *hello);
void names_info(struct shard *s, const struct group *g, struct info *info);
void names_asked(struct shard *s, struct address *addr); /* of a request; may stay unresolved */
/* A link to a server that goes by a name is about to be opened: when the name points elsewhere now,
 * the group is told by mail (LETTER_RESOLVED), and opens it there. */
void names_open(struct shard *s, struct group_host *gh, struct server *sv);
void names_letter(struct shard *s, const struct letter *letter);

/* peer.c */
void peer_join(struct shard *s, struct group_host *gh, struct instance *inst);
void peer_leave(struct shard *s, struct instance *inst);
void peer_hello(struct shard *s, struct group_host *gh, struct instance *inst);
void peer_ask(struct shard *s, struct group_host *gh, const struct action *action);
void peer_tick(struct shard *s, struct peer_link *peer);
void peer_reconnect_all(struct shard *s); /* sentinel-user or sentinel-pass changed */
void peers_free(struct shard *s);
bool peer_letter(struct shard *s, const struct letter *letter); /* true: it was one of ours */
/* Whether a sentinel heard of in a hello can be taken in (LIMIT_PEERS). */
bool peer_has_room(struct shard *s, const struct runid *id);
/* MOVED, INVALID: tells this shard's groups but the one it comes from. Returns how many it
 * concerned. */
uint32_t peer_moved(struct shard *s, const struct letter *letter);

/* shard_route.c: what arrives for groups of other shards, and from the elector */
void shard_letter(struct shard *s, const struct letter *letter);
void route_hello(struct shard *s, const struct hello *hello, struct group_host *from);
void route_moved(struct shard *s, struct group_host *gh, const struct action *action);
