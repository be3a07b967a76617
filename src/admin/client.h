/* One client connection, and the admin state of a shard that holds them.
 *
 * Replies leave in the order of their requests. What can be answered at once goes to the stream;
 * while an earlier answer is awaited from another thread, later ones wait in slots behind it. A
 * command that changes something stops the parsing of its client until it is done.
 *
 * Closing is never done on the way: client_close marks, admin_settle frees, once nobody up the
 * stack holds a pointer.
 *
 * Thread: its shard's, for everything here.
 */
#pragma once

#include "admin/pubsub.h"
#include "admin/reply.h"
#include "admin/resp.h"
#include "io/stream.h"
#include "run/shard.h"

struct command;
struct admin;

/* What CLIENT TRACKING said. */
struct tracking_prefix {
    char *text; /* owned, not NUL-terminated */
    size_t len;
};
struct tracking {
    bool on, bcast, optin, optout, noloop;
    bool caching;      /* CLIENT CACHING said so, for the next command that is not CLIENT */
    uint64_t redirect; /* a client's id; 0: none */
    struct tracking_prefix *prefixes;
    size_t prefix_count;
};

/* An answer that is awaited, or one that waits behind it. */
struct slot {
    struct buffer text;
    bool done;
    bool silent; /* CLIENT REPLY OFF or SKIP when it was asked */
    bool down;   /* a vote's: the first element of its answer */
};

/* Whom an answer belongs to, when it comes from another thread: the client may be gone. */
struct ticket {
    uint32_t index, generation; /* of the client */
    uint64_t sequence;          /* of the slot */
};

enum reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct client {
    struct admin *admin;
    struct stream *stream; /* NULL once the peer has closed */
    uint32_t index;        /* in admin->clients */
    int fd;                /* for CLIENT LIST only */
    uint64_t id;           /* process-wide, rising */
    struct address peer, local;
    bool unix_socket;                       /* through unixsocket: it has no addresses */
    char *name, *library, *library_version; /* owned or NULL */
    ms_t created, active;                   /* active: last bytes received */
    int proto;
    enum reply_mode mode;
    const struct acl_user *user; /* in admin->users; "default" before it said who it is */
    bool authenticated;          /* see access_open */
    bool waiting;                /* a changing command of it is on its way */
    bool goodbye;                /* reads no more; closes when its replies are out */
    bool doomed;                 /* to be freed by admin_settle */
    bool no_evict, no_touch;
    struct tracking tracking;
    const struct command *last; /* NULL before the first */

    struct resp_parser parser;
    struct buffer input; /* received, not yet executed but for its first input_used bytes */
    size_t input_used;

    struct slot *slots;    /* ring; a sequence's slot is at sequence % slot_cap */
    uint32_t slot_cap;     /* power of two */
    uint64_t first, after; /* sequences: first awaited, next to be given */
    size_t held;           /* bytes in slots */
    uint32_t asked;        /* requests of it that are on their way to other threads; not votes */

    ms_t long_since;                      /* its output is above the soft limit; 0: not */
    struct client *long_next, *long_back; /* those of the shard */

    struct subscriptions subscriptions[2]; /* channels, patterns */
    struct client *older, *newer;          /* by activity, for the idle timeout */
    struct client *next_doomed;
};

/* A vote request of a client that the elector has not answered yet (design.md §4.13). */
struct vote_wait {
    struct ticket ticket;
    ms_t deadline;
    struct runid leader; /* the earlier vote */
    uint64_t epoch;
};

struct admin {
    struct shard *shard;
    struct process *process;
    unsigned index; /* of the shard */

    struct client **clients; /* [client_cap]; NULL: free */
    uint32_t *generations;
    uint32_t *unused; /* stack of free indices */
    uint32_t client_cap, unused_count;
    struct client *oldest, *newest; /* by activity */
    struct client *doomed;
    struct client *long_first; /* whose output is above the soft limit */
    struct client *current;    /* whose requests are being executed */
    struct buffer scratch;     /* its replies of this go, not yet handed over */

    struct pubsub pubsub;
    struct acl_users *users; /* this shard's reference: who may do what (access.h) */

    struct vote_wait *votes; /* ring, in the order of their deadlines */
    uint32_t vote_cap;       /* power of two */
    uint64_t vote_first, vote_after;

    ms_t next_evict;
    ms_t pause_until; /* CLIENT PAUSE ALL; 0: not */
    ms_t tls_told;    /* last complaint about a client's handshake; 0: never */
    ms_t sampled;     /* since when the figures below count */
    uint64_t sample_commands, sample_input, sample_output;
    uint64_t rate_commands, rate_input, rate_output;  /* a second, of the last sample */
    uint64_t commands, errors, net_input, net_output; /* not yet in process.counters */
    uint64_t total_errors;
};

/* --- connections ----------------------------------------------------------------------------- */
/* Takes fd, a connection to the tls-port or the plain one. Refuses it, with the reason, beyond
 * maxclients and in protected mode. */
void client_accept(struct admin *a, int fd, bool tls);
/* Marks it for closing, its unsent replies lost. */
void client_close(struct client *c);
/* Marks it for closing behind its replies; nothing it sends is read any more. */
void client_goodbye(struct client *c);
/* Its name says who it is. Another sentinel is served in the shard's turns from now on: hundreds of
 * hellos a second would each wake the shard otherwise. */
void client_named(struct client *c);
/* Frees what was marked. To be called last by every entry from outside. */
void admin_settle(struct admin *a);
/* Goes on with the requests of a client that had to stop. */
void client_continue(struct client *c);
/* The client of a ticket, or NULL when it is gone. */
struct client *client_of(struct admin *a, const struct ticket *t);
/* All clients of the shard: *cursor starts at 0; NULL at the end. Doomed ones are left out. */
struct client *client_next(struct admin *a, uint32_t *cursor);
/* Those whose idle time has passed are closed; returns when to look again. */
ms_t client_timeouts(struct admin *a, ms_t now);
/* Those whose output has been above the soft limit of client-output-buffer-limit for too long are
 * closed; returns when to look again. */
ms_t client_outputs(struct admin *a, ms_t now);
/* Bytes that a client takes. */
size_t client_memory(const struct client *c);
/* Where all clients together take more than maxmemory-clients, closes the largest of this shard, as
 * long as it is the shard whose clients take most. Looks several times a second while there is a
 * limit: returns when again. */
ms_t client_evict(struct admin *a, ms_t now);
/* How many channels and patterns it is subscribed to. */
uint32_t client_subscribed(const struct client *c);

/* --- answers --------------------------------------------------------------------------------- */
/* Opens a slot for the request being executed: its answer comes later. */
struct ticket client_await(struct client *c);
/* The answer of a slot; nothing happens when it was answered or the client is gone. False then. */
bool client_answer(struct admin *a, const struct ticket *t, const void *text, size_t len);
/* A message out of turn (pub/sub): behind every reply given so far. */
void client_push(struct client *c, const void *text, size_t len);

/* --- admin.c --------------------------------------------------------------------------------- */
/* Notes that a vote is awaited; wait->deadline must not be before that of an earlier call. */
void admin_await_vote(struct admin *a, const struct vote_wait *wait);
/* Adds this shard's counts to the process'. */
void admin_count(struct admin *a, ms_t now);
