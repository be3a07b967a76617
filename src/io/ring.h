/* A ring: the thread's way to the kernel, and its event loop (design.md §3, style.md §7).
 *
 * Everything asynchronous a thread does with sockets goes through a ring that the thread made
 * itself: streams (stream.h), links (link.h), listeners (listener.h), doorbells (ring_watch).
 * Nothing here shows what is behind it, io_uring or epoll (ring_choose; ring_port.h is the seam).
 *
 * A shard has two rings, so that clients and doorbells never wait for a gathering turn:
 *   clients' ring:  n = ring_wait(ring, timeout); ...; ring_prepare(ring);
 *   links' ring:    once a turn: ring_gather(ring); ...; ring_flush(ring);
 * Between two calls of ring_gather the kernel does not interrupt the thread for the links' ring:
 * what arrives gathers.
 *
 * Callbacks run inside ring_wait, ring_gather and ring_close only, never inside the call that
 * asked for something. In a callback every function of io/ may be called but ring_wait,
 * ring_gather and ring_close of the same ring.
 *
 * Thread: the one that opened it, for every function.
 */
#pragma once

#include "rules/types.h"

#include <stdatomic.h>

struct ring;

/* What is behind every ring that is opened from now on, in the whole process; RING_URING until the
 * first call. Thread: any, before others open rings. */
enum ring_kind { RING_URING, RING_EPOLL };
void ring_choose(enum ring_kind kind);
/* "io_uring" or "epoll". Static. */
const char *ring_chosen(void);

/* Normal descriptors that outgoing connections may take: beyond, stream_connect fails with EMFILE.
 * Shared by rings of any threads; outlives them. */
struct ring_budget {
    atomic_uint used;
    unsigned most; /* fixed before the first ring is opened */
};

/* Zeroed: the bounds of limits.h and the best setup the kernel takes. Tests make them small. epoll
 * knows buffer_size (0: LIMIT_READ), woken and budget only. */
struct ring_options {
    unsigned submissions;   /* entries, a power of two; 0: LIMIT_SQ */
    unsigned completions;   /* entries, a power of two; 0: LIMIT_CQ */
    unsigned buffers;       /* most provided buffers, a power of two; 0: LIMIT_BUFFERS. A ring
                               starts with few and doubles them when they run out */
    unsigned buffers_first; /* how many it starts with; 0: LIMIT_BUFFERS_FIRST */
    unsigned buffer_size;   /* bytes; 0: LIMIT_BUFFER */
    bool plain;             /* no SINGLE_ISSUER, no DEFER_TASKRUN */
    /* Places for direct descriptors, which outgoing connections take as long as there are some:
     * such a socket is known to this ring alone and counts in no RLIMIT_NOFILE. At most the soft
     * limit of RLIMIT_NOFILE is granted (ring_counters.direct_most); 0: none. */
    unsigned direct;
    struct ring_budget *budget; /* for the normal descriptors of the others; NULL: no bound */
    /* Called in ring_wait and ring_gather after the kernel came back and before any callback runs:
     * the owner reads its clock there, so that a gap is noticed before anything that arrived in it
     * is dispatched (design.md §4.12). NULL: nothing. */
    void (*woken)(void *ctx);
    void *woken_ctx;
};

/* Opens a ring for the calling thread. options may be NULL. NULL on failure, with a sentence for
 * the operator in error[0..error_len) (see ring_probe). */
struct ring *ring_open(const struct ring_options *options, char *error, size_t error_len);

/* Closes every stream, link, listener and watch that still lives, without their callbacks, waits
 * (at most about a second) until the kernel has let go of their memory, frees the ring. NULL is
 * fine. */
void ring_close(struct ring *ring);

/* Whether this kernel and container let us have io_uring with all that the streams need; tries it,
 * with a socket pair, whatever is chosen. False: reason says exactly why not (no such system call,
 * seccomp, the sysctl kernel.io_uring_disabled and its value, a resource limit, kernel too old) and
 * what to change. Thread: any, needs no ring. */
bool ring_probe(char *reason, size_t reason_len);
/* Whether so many rings of io_uring find room in the memory that we may lock, where the kernel
 * counts them (Linux 6.14 or later, unless privileged). False: with the reason. Thread: any. */
bool ring_fits(unsigned rings, char *reason, size_t reason_len);

/* Submits what is pending, waits until something has happened or `timeout` ms have passed (0: does
 * not wait; MS_NEVER: for good), runs the callbacks of all that is there. Returns how many
 * completions were dispatched. A signal ends the wait early. */
int ring_wait(struct ring *ring, ms_t timeout);
/* The same with a timeout in nanoseconds, for turns that end within a millisecond. */
int ring_wait_ns(struct ring *ring, int64_t timeout_ns);

/* Submits what is pending, lets the kernel finish what has arrived, without waiting, and runs the
 * callbacks of all of it. Returns how many completions were dispatched. */
int ring_gather(struct ring *ring);

/* Whether the last ring_wait or ring_gather stopped at what a turn takes at most (LIMIT_CQ
 * completions) and left the rest for the next. */
bool ring_behind(const struct ring *ring);

/* Gives every stream with new output one send for all that gathered in it, and submits. Once a
 * turn, after the work. */
void ring_flush(struct ring *ring);
/* The first half of ring_flush: prepares the sends, which leave with the next ring_gather or
 * ring_wait. For a caller that does that at once: it saves a system call. */
void ring_prepare(struct ring *ring);

/* The least time until this ring needs a ring_wait or ring_gather though nothing arrives (connect
 * time-outs and the like); MS_NEVER: none. */
ms_t ring_next_deadline(const struct ring *ring); /* a point in time, as clock_now() */

/* Watches an eventfd: whenever it is readable it is read (so it must be EFD_NONBLOCK) and
 * callback(ctx) runs; now and then also when there was nothing to read. Borrows fd until
 * ring_unwatch, or ring_close. */
struct ring_watch;
struct ring_watch *ring_watch(struct ring *ring, int fd, void (*callback)(void *ctx), void *ctx);
/* No callback afterwards; takes the watch. fd may be closed at once. */
void ring_unwatch(struct ring_watch *watch);

struct ring_counters {
    uint64_t enters;      /* system calls; of epoll, those that ask for events */
    uint64_t completions; /* taken from the kernel */
    uint64_t late;        /* of them: for something closed since, dropped */
    uint64_t sends, send_bytes;
    uint64_t receives, receive_bytes;
    uint64_t connects, connect_failures, connect_timeouts;
    uint64_t accepts, accept_failures;
    uint64_t refused;      /* connections turned away, or not made, for want of file descriptors */
    uint64_t rearmed;      /* multishot requests that ended and were started again */
    uint64_t no_buffers;   /* receives that found no provided buffer */
    uint64_t cq_overflows; /* times the kernel had to keep completions back */
    uint64_t sq_full;      /* times a submission needed another to go first */
    uint64_t interrupted, busy; /* EINTR; EAGAIN and EBUSY of the system call */
    uint64_t handshakes,
        handshake_failures;      /* TLS, incoming and outgoing; time-outs are failures */
    uint64_t handshakes_refused; /* beyond LIMIT_TLS_PENDING */
    uint64_t direct_full;        /* connections that found no place for a direct descriptor */
    uint32_t direct_most; /* places for direct descriptors; 0: the kernel refused, or epoll */
    uint32_t direct;      /* of them in use, or not known to be free yet */
    uint32_t buffers;     /* provided buffers now */
    uint32_t objects;     /* streams, listeners, watches alive, closing ones included */
};
void ring_counters(const struct ring *ring, struct ring_counters *out);
/* What the kernel granted, for INFO and the log: "io_uring (single issuer, deferred)", "epoll" or
 * the like. Static. */
const char *ring_backend(const struct ring *ring);
