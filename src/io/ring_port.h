/* The seam between what lives on a ring (stream, listener, watch) and the backend that talks to
 * the kernel. Private to src/io.
 *
 * Every such thing is a struct ring_object, registered in the ring's table of slots. A request to
 * the kernel carries the object's handle (slot and generation): what completes after the object
 * left its slot finds another generation there and is dropped; its provided buffer goes back, its
 * accepted descriptor is closed.
 *
 * Thread: the ring's.
 */
#pragma once

#include "io/buffer.h"
#include "io/heap.h"
#include "io/ring.h"

#include <sys/socket.h>

enum ring_op {
    RING_OP_IGNORE, /* nobody waits for it */
    RING_OP_RECV,   /* goes on until told otherwise (event.more) */
    RING_OP_SEND,
    RING_OP_CONNECT,
    RING_OP_ACCEPT, /* goes on */
    RING_OP_POLL,   /* goes on */
    RING_OP_FREED,  /* the backend's own: a direct descriptor is free again (handle: which) */
};

struct ring_event {
    enum ring_op op;
    bool more;            /* the request goes on by itself */
    int result;           /* bytes, descriptor, or a negative errno */
    const uint8_t *bytes; /* RECV with result > 0: borrowed until return */
};

struct ring_object;

struct ring_object_ops {
    /* A request of the object completed, wholly or (more) in part. */
    void (*complete)(struct ring_object *object, const struct ring_event *event);
    /* Its timer has run out. NULL: never set. */
    void (*expired)(struct ring_object *object);
    /* ring_call_later was called: now is later. */
    void (*later)(struct ring_object *object);
    /* ring_call_flush was called: ring_flush runs. */
    void (*flush)(struct ring_object *object);
    /* ring_call_work was called, and its turn has come. NULL: never called. */
    void (*work)(struct ring_object *object);
    /* ring_close: go as if closed by the owner. */
    void (*abandon)(struct ring_object *object);
};

struct ring_object { /* first member of stream, listener, watch */
    const struct ring_object_ops *ops;
    struct ring *ring;
    struct heap_node timer;
    uint64_t handle;
};

/* Names the object and one life of its slot. */
#define HANDLE_SLOT(handle)       ((uint32_t)(handle))
#define HANDLE_GENERATION(handle) ((uint32_t)((handle) >> 32))
#define GENERATION_MASK           0xffffffu /* 24 bits, the rest of a request's tag is its op */

struct ring_slot {
    struct ring_object *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* slot + 1; 0: end of the list */
};

struct handle_list {
    uint64_t *handles;
    size_t count, cap;
};

/* A descriptor with this bit is a direct one: the rest is its place in the table of its ring, the
 * only one where it means anything. Normal descriptors never come near it. */
#define RING_DIRECT 0x40000000

struct ring_backend {
    const char *(*describe)(const struct ring *ring);
    /* Requests. They leave with the next enter or submit at the latest, in the order they were made
     * (so a close comes after what still names the descriptor: whoever closes has cancelled what
     * he waits for). Descriptors are in blocking mode at first. Cannot fail: what the kernel
     * refuses completes with an error. */
    void (*recv)(struct ring *ring, uint64_t handle, int fd);
    /* From somebody who may send without a pause: of one buffer's bytes, or while it goes on of one
     * buffer's bytes a turn. */
    void (*recv_once)(struct ring *ring, uint64_t handle, int fd);
    void (*accept)(struct ring *ring, uint64_t handle, int fd);
    void (*poll)(struct ring *ring, uint64_t handle, int fd);
    /* bytes are lent until completion; as much is sent as can be without an error. Not patient: as
     * much as the socket takes at once, where waiting for it costs; what is left, all of it with
     * -EAGAIN, asks for a patient one. */
    void (*send)(struct ring *ring, uint64_t handle, int fd, const uint8_t *bytes, size_t len,
                 bool patient);
    /* address is lent until completion. */
    void (*connect)(struct ring *ring, uint64_t handle, int fd, const struct sockaddr *address,
                    socklen_t len);
    /* The request still completes, with whatever comes first. */
    void (*cancel)(struct ring *ring, uint64_t handle, enum ring_op op);
    void (*close)(struct ring *ring, int fd);
    /* Closes the sending half. */
    void (*shutdown)(struct ring *ring, int fd);
    /* Takes the socket behind fd into the ring's table: returns its direct descriptor, for the
     * requests above to name; fd stays the caller's. Where the backend has no table, it is full or
     * the kernel refuses: fd, unchanged. */
    int (*direct)(struct ring *ring, int fd);
    /* Submits, waits for a completion for at most timeout_ns (0: no waiting; negative: for good),
     * calls ring_came_back, then ring_dispatch for each. Silent ones that were there before, and
     * sends that were not patient, do not end the wait. Returns how many were dispatched. */
    int (*enter)(struct ring *ring, int64_t timeout_ns);
    void (*submit)(struct ring *ring);
    void (*free)(struct ring *ring);
};

#define RING_SPARES      64
#define RING_SPARE_BYTES 1024 /* the largest that is kept */

struct ring { /* first member of the backend's */
    const struct ring_backend *backend;
    struct ring_slot *slots;
    uint32_t slot_count, slot_cap, slot_free;
    struct heap timers;
    struct handle_list later, dirty, work;
    size_t work_done;   /* of work: those before it have had their turn */
    bool inside;        /* callbacks are running */
    bool behind;        /* ring_behind */
    uint32_t lingering; /* streams whose owner is gone, not yet closed */
    /* Completions so far that no owner needs to hear of, such as a send that went through: they do
     * not end a wait. */
    uint64_t silent;
    void (*woken)(void *ctx);
    void *woken_ctx;
    void *reader; /* of link.c: one redisReader for all links */
    void (*reader_free)(void *reader);
    struct ring_budget *budget; /* NULL: none */
    struct ring_counters counters;
    struct buffer spare[RING_SPARES]; /* empty ones with memory, for streams' output */
    unsigned spare_count;
    uint32_t shaking; /* incoming TLS handshakes under way, or failed and not closed yet:
                         LIMIT_TLS_PENDING */
};

/* --- for backends ------------------------------------------------------------------------------
 */
void ring_init(struct ring *ring, const struct ring_backend *backend,
               const struct ring_options *options);
/* The kernel came back: tells the owner (ring_options.woken). */
void ring_came_back(struct ring *ring);
/* Asks for the memory of what is dispatched soon: first of its slot, later of the object itself. */
static inline void ring_prefetch(const struct ring *ring, uint32_t slot, bool slot_only)
{
    if (slot >= ring->slot_count) {
        return;
    }
    if (slot_only) {
        __builtin_prefetch(&ring->slots[slot]);
    } else {
        const char *object = (const char *)ring->slots[slot].object;
        __builtin_prefetch(object);
        __builtin_prefetch(object + 64);
    }
}
/* Hands an event to its object, if that is still there. */
void ring_dispatch(struct ring *ring, uint64_t handle, const struct ring_event *event);
/* The io_uring backend: NULL and a sentence in error on failure. */
struct ring *uring_open(const struct ring_options *options, char *error, size_t error_len);

/* --- for objects -------------------------------------------------------------------------------
 */
/* Enters object into the table; sets its handle. Aborts beyond LIMIT_SLOTS. */
void ring_register(struct ring *ring, struct ring_object *object,
                   const struct ring_object_ops *ops);
/* Takes it out of the table, the timers and the lists. */
void ring_unregister(struct ring_object *object);
/* ops->later runs in the next ring_wait or ring_gather, which does not wait. */
void ring_call_later(struct ring_object *object);
/* ops->work runs in a ring_wait or ring_gather to come, which does not wait: in the order of the
 * calls, at least one and LIMIT_TLS_WORK ms worth of them a turn. For what costs milliseconds.
 * Call once per run. */
void ring_call_work(struct ring_object *object);
/* ops->flush runs in the next ring_flush. Call once per flush. */
void ring_call_flush(struct ring_object *object);
/* ops->expired runs at `deadline` or soon after; MS_NEVER: not. */
void ring_set_timer(struct ring_object *object, ms_t deadline);

/* --- addresses --------------------------------------------------------------------------------
 */
/* False: not an IP address. */
bool sockaddr_make(const struct address *address, struct sockaddr_storage *out, socklen_t *len);
/* False: neither IPv4 nor IPv6. IPv4-mapped addresses become IPv4. */
bool sockaddr_read(const struct sockaddr_storage *from, struct address *out);
