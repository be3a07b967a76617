/* A shard: a worker thread with its rings, a partition of the groups, their links, and a share of
 * the clients (design.md §3). This header is what admin/ may use, on the shard's own thread, and
 * what main needs to start and stop it.
 *
 * Thread: the shard's own for everything but shard_new/start/join.
 */
#pragma once

#include "io/buffer.h"
#include "io/ring.h"
#include "rules/election.h"
#include "rules/group.h"
#include "run/process.h"
#include "run/request.h"

struct shard;

/* Texts of a group's settings, which the rules do not need. All owned, malloc'd or NULL. */
struct group_rename {
    char *from, *to;
};
struct group_texts {
    char *auth_user, *auth_pass;
    char *notification_script, *reconfig_script;
    struct group_rename *renames;
    size_t rename_count;
};
void group_texts_free(struct group_texts *texts);
/* The name to send for a command (protocol.md §2): renamed or itself. */
const char *group_texts_command(const struct group_texts *texts, const char *command);

/* A group and what its owner shard keeps beside the rules. */
struct shard_group {
    struct group *group;
    struct group_texts texts;
    void *host; /* internal to run/ */
};

/* --- the interface main gives to run/: admin/ behind function pointers --------------------- */
struct event_note { /* an event on its way to subscribers; borrowed until return */
    const char *channel;
    const char *text;
    size_t text_len;
};
struct admin_ops {
    /* The shard's admin state, made on its thread before its first turn. */
    void *(*start)(struct shard *shard);
    /* A connection was accepted: takes fd. tls: on the tls-port, no handshake was made yet. */
    void (*accepted)(void *admin, int fd, bool tls);
    /* To be delivered to this shard's subscribers, in this order. */
    void (*event)(void *admin, const struct event_note *note);
    /* The elector's answer to a vote request of this shard's client (reply->to as given). */
    void (*vote)(void *admin, const struct vote_reply *reply);
    /* Called each turn; returns when it must be called again at the latest. */
    ms_t (*turn)(void *admin, ms_t now);
    /* Whether any client of this shard is subscribed to anything (others get no events mailed). */
    bool (*subscribed)(void *admin);
    void (*stop)(void *admin);
};

/* --- for admin/ ------------------------------------------------------------------------------ */
struct process *shard_process(const struct shard *s);
unsigned shard_index(const struct shard *s);
ms_t shard_now(const struct shard *s); /* of this turn */
/* The ring that clients live on: it is never made to wait for a gathering turn. */
struct ring *shard_client_ring(const struct shard *s);
/* For connections of other sentinels, which may wait for a turn. */
struct ring *shard_link_ring(const struct shard *s);
const struct tunables *shard_tunables(const struct shard *s);
void *shard_admin(const struct shard *s);

/* The group, if this shard owns it and it is monitored; else NULL. */
struct shard_group *shard_group(const struct shard *s, uint32_t gid);
/* Takes what has arrived on the links, at most once a turn: what happened to a server before a
 * request came is seen by its answer. Called in a request's step before groups are looked at, never
 * from a callback of a ring or while a group's actions are carried out: it runs callbacks. */
void shard_catch_up(struct shard *s);
/* Walks all groups of this shard in gid order: *cursor starts at 0; NULL at the end. */
struct shard_group *shard_group_next(const struct shard *s, uint32_t *cursor);

/* MONITOR: a new group at addr. Takes *texts. Publishes it, emits +monitor, sends its BALLOT_ADD
 * and records. False when it exists already. */
bool shard_group_add(struct shard *s, uint32_t gid, const struct address *addr,
                     const struct group_settings *set, struct group_texts *texts);
/* REMOVE: emits -monitor. False when it does not exist. */
bool shard_group_remove(struct shard *s, uint32_t gid);
/* Steps a group with an event made by a command (FAILOVER, RESET, SET, RECONNECT) and carries out
 * its actions; ev->now is filled in. */
enum group_reply shard_group_step(struct shard *s, struct shard_group *sg, struct group_event *ev);
/* Journals a line in sentinel.conf's grammar (RECORD_TEXT; copied). Ordered with the group's
 * other records. */
void shard_record_text(struct shard *s, uint32_t gid, const char *line);

/* What the host knows of an instance, for SENTINEL MASTER and the like. */
struct instance_host_view {
    unsigned pending;     /* link-pending-commands */
    unsigned refcount;    /* link-refcount: groups that share the link */
    struct liveness live; /* of a sentinel: the shared link's, fresh */
};
void shard_instance_view(const struct shard *s, const struct instance *inst,
                         struct instance_host_view *view);
/* The last INFO text of a master or replica: appended to out. False: none yet. */
bool shard_info_text(const struct shard *s, const struct instance *inst, struct buffer *out);

/* Emits an event in the process' name: logged, published to all shards' subscribers
 * behind everything this shard emitted before. */
void shard_event(struct shard *s, enum event_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same in the name of a group: an event of level warning runs its notification-script. */
void shard_group_event(struct shard *s, const struct shard_group *sg, enum event_type type,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
void shard_log(struct shard *s, enum event_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A hello that a client PUBLISHed here: routed to the group's owner. False: malformed (counted). */
bool shard_hello(struct shard *s, const char *text, size_t len);

/* IS-MASTER-DOWN-BY-ADDR came from a client. Fills in *down and the last durable vote for the
 * master at addr (0, empty, 0 when nobody watches it). runid NULL stands for "*". When a vote is
 * asked for, a BALLOT_REQUEST goes to the elector and true is returned: the answer comes through
 * admin_ops.vote with `to`; admin answers with *leader and *leader_epoch itself if that takes
 * longer than LIMIT_VOTE_PATIENCE. client_name is what CLIENT SETNAME said (or ""), from its
 * source: evidence (design.md §4.7). `to` is admin's own, but the top 16 bits of to.host[1] must be
 * 0. */
bool shard_asked(struct shard *s, const struct address *addr, uint64_t epoch,
                 const struct runid *runid, const char *client_name, const struct address *from,
                 struct reply_to to, bool *down, struct runid *leader, uint64_t *leader_epoch);

/* Statistics of the shard's links and lanes for INFO: summed over shards by a request that visits
 * each. */
struct shard_counters {
    uint64_t turns, link_commands, link_replies, hellos, infos, gossip_dropped, infos_refused;
    uint64_t handshakes, handshakes_failed, handshakes_refused; /* TLS, of clients and links */
    uint64_t links_refused;                                     /* for want of descriptors */
    uint64_t letters_spilled; /* found their lane full, and waited beside it */
    uint64_t receives_short, cqes_overflown, sqes_waited; /* ring_counters' no_buffers,
                                               cq_overflows, sq_full: slower, nothing is lost */
    uint32_t receive_buffers;                             /* now */
    uint32_t links, groups, replicas, sentinels;
    uint32_t links_direct, links_direct_most; /* ring_counters */
};
void shard_counters(const struct shard *s, struct shard_counters *out);

/* --- for main -------------------------------------------------------------------------------- */
/* A group known at start, handed over before the thread runs. */
struct shard_seed {
    uint32_t gid;
    struct address addr;
    struct group_settings set;
    struct group_texts texts; /* taken */
    struct group_saved saved;
    const struct address *replicas; /* borrowed until return */
    size_t replica_count;
    const struct address *sentinels;
    const struct runid *sentinel_ids;
    size_t sentinel_count;
};
struct shard *shard_new(struct process *p, unsigned index, const struct tunables *tunables);
void shard_seed(struct shard *s, struct shard_seed *seed); /* before shard_start */
/* Starts the thread. Returns when its rings and listeners stand, or false with the reason. */
bool shard_start(struct shard *s, char *error, size_t error_len);
/* Whether its loop has ended, after main told it to stop, and all its mail is in the lanes. */
bool shard_ended(const struct shard *s);
/* Waits for the thread's end. */
void shard_join(struct shard *s);
void shard_free(struct shard *s);
