/* A link: an outgoing RESP2 connection to an instance (protocol.md §2).
 *
 * On connect it sends, in one write: AUTH (if there is a password), CLIENT SETNAME, then PING
 * (command links) or SUBSCRIBE __sentinel__:hello (pub/sub links). Commands of a turn leave in one
 * write with the ring's ring_flush. Everything received is hostile until it has been checked
 * against the bounds of limits.h (LIMIT_REPLY_*): whatever breaks RESP2 or a bound closes the link.
 * Memory: well below 1 KiB a link when idle; a reply that is incomplete is kept by the link, whole
 * ones are parsed (hiredis) out of the ring's buffer.
 *
 * Thread: its ring's. Callbacks: from ring_wait/ring_gather only.
 */
#pragma once

#include "io/ring.h"
#include "rules/types.h"

#include <hiredis/hiredis.h>

struct link;

/* Tags of the greeting's commands; an owner's own tags are below LINK_TAG_RESERVED. The replies to
 * all of them are passed to reply(), so that a refused AUTH can be seen; most owners need only
 * LINK_TAG_GREETING_PING. */
#define LINK_TAG_RESERVED           0xf0
#define LINK_TAG_GREETING_AUTH      0xf0
#define LINK_TAG_GREETING_SETNAME   0xf1
#define LINK_TAG_GREETING_PING      0xf2
#define LINK_TAG_GREETING_SUBSCRIBE 0xf3 /* the confirmation (an array), or an error */

/* All borrowed until link_open returns. */
struct link_options {
    struct address to;
    const struct address *bind; /* source address; NULL: any */
    const char *auth_user;      /* NULL or "": AUTH with the password alone */
    const char *auth_pass;      /* NULL or "": no AUTH */
    char name[64];              /* "sentinel-<8 hex>-cmd" or "-pubsub" */
    enum link_kind kind;
    bool peer;            /* to a sentinel: for counting only */
    struct tls *tls;      /* NULL: plain; borrowed as long as the ring lives */
    unsigned pending_max; /* unanswered commands; 0: LIMIT_LINK_PENDING. A link shared by groups
                             may have that many for each (protocol.md §1) */
    /* The name to send for AUTH, CLIENT, PING, SUBSCRIBE (rename-command); NULL: as they are. */
    const char *(*rename)(void *rename_ctx, const char *command);
    void *rename_ctx;
};

/* The owner's side; static. All of these may close the link. Replies are borrowed until return. */
struct link_ops {
    /* TCP is connected; the greeting is in the output. */
    void (*up)(void *owner);
    /* The reply to a command, in the order of the commands. A bulk string that is no part of an
     * array ends where len says, not with a NUL. */
    void (*reply)(void *owner, uint8_t tag, uint64_t arg, const redisReply *reply);
    /* A pub/sub message: an array of 3 or 4 whose first element is the string "message" or
     * "pmessage", all elements strings. May be NULL for LINK_CMD. */
    void (*push)(void *owner, const redisReply *message);
    /* The last callback; unanswered commands get no reply. why: a short text, borrowed until
     * return. The link is freed after return; link_close in here is allowed and does nothing. */
    void (*down)(void *owner, const char *why);
};

/* Starts connecting. Never fails in the call: down() tells later. now: for link_age. */
struct link *link_open(struct ring *ring, const struct link_options *options,
                       const struct link_ops *ops, void *owner, ms_t now);

/* Queues a command (copied), also before up(). lens NULL: argv are C strings. False: nothing was
 * queued, because LIMIT_LINK_PENDING commands are unanswered (protocol.md §1), the unsent output
 * is beyond LIMIT_LINK_OUTPUT, or the link is a LINK_PUBSUB one (it takes none but its greeting).
 * tag < LINK_TAG_RESERVED and arg come back with the reply. */
bool link_command(struct link *l, uint8_t tag, uint64_t arg, int argc, const char **argv,
                  const size_t *lens);

/* Closes; no callback afterwards. Safe in every callback. Takes the link. */
void link_close(struct link *l);

bool link_is_up(const struct link *l);
/* Commands unanswered, those of the greeting included. */
unsigned link_pending(const struct link *l);
/* Changes link_options.pending_max of an open link. */
void link_set_pending_max(struct link *l, unsigned max);
/* Milliseconds since link_open. */
ms_t link_age(const struct link *l, ms_t now);
/* Our address on it, for hellos (protocol.md §4). False: not connected yet. */
bool link_local(const struct link *l, struct address *out);
