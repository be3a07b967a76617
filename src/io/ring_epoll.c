/* The epoll backend. It promises what ring_port.h says, with requests that are tried at once or
 * when epoll says that they can go on:
 *
 * - A send is tried in the call; nearly always all of it fits, and epoll never hears of it. What
 *   the call finds out waits in a queue, for callbacks run in enter only.
 * - What must wait is a bit in the interest of its object, and at any moment epoll watches a
 *   descriptor for exactly those bits, and not at all when there are none. So level-triggered
 * events cannot spin: whatever is reported, the end (EPOLLHUP) and errors (EPOLLERR, which cannot
 * be switched off) included, somebody wants, and he is told, which ends his want, or takes bytes.
 *   Edges would save the calls that change interest (two a connection, none in its life unless a
 *   send does not fit) and would need every stream to be read until it is empty: a flood of one
 *   could not be left for the next turn.
 * - Events carry the object's handle, not the descriptor: an event of one that was closed earlier
 * in the same batch finds another generation, though its number is in use again. And before a
 *   descriptor is closed epoll has been told to forget it: a child between fork and exec may hold
 *   the connection open, and nobody could take it out of the set then.
 * - Sockets come in blocking mode (io_uring waits by itself, and takes O_NONBLOCK for "do not
 *   wait"): receives and sends say MSG_DONTWAIT; listeners, and sockets that connect, are made
 *   non-blocking here. accept4 gives a blocking socket all the same.
 */
#include "io/ring_epoll.h"

#include "io/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BATCH     1024              /* events taken by one call */
#define ACCEPTS   64                /* connections taken from one listener by one event */
#define SEND_MOST ((size_t)1 << 30) /* bytes of one request: its result is an int */
#define NS_PER_MS 1000000

#define WANT(op) (1u << (op))
#define WANT_IN  (WANT(RING_OP_RECV) | WANT(RING_OP_ACCEPT) | WANT(RING_OP_POLL))
#define WANT_OUT (WANT(RING_OP_SEND) | WANT(RING_OP_CONNECT))

/* What an object waits for; one for each slot of the ring. */
struct interest {
    uint64_t handle;
    int fd;
    uint32_t wants;  /* bits WANT(op) */
    uint32_t events; /* what epoll watches fd for: always those of `wants` */
    bool stranger;   /* one receive a turn, however much there is: a flood waits */
    const uint8_t *bytes;
    size_t len, sent; /* of bytes; with WANT(SEND) */
};

struct completion {
    uint64_t handle;
    enum ring_op op;
    int result;
};

struct poller {
    struct ring base; /* first */
    int fd;
    bool whole_ms; /* no epoll_pwait2 here */
    struct interest *interests;
    uint32_t interest_count;
    /* Completions that calls found out, not yet dispatched: from first on. */
    struct completion *queue;
    size_t queue_first, queue_count, queue_cap;
    uint8_t *buffer; /* of the receive that is being dispatched */
    size_t buffer_size;
    uint64_t received; /* bytes in this turn */
    bool more;         /* than was taken of what is there */
    struct epoll_event events[BATCH];
};

static struct poller *poller_of(struct ring *ring)
{
    return (struct poller *)ring;
}

static void *grown(void *memory, size_t bytes)
{
    void *larger = realloc(memory, bytes);
    if (larger == NULL) {
        abort();
    }
    return larger;
}

/* --- the queue of completions -------------------------------------------------------------------
 */
static void completed(struct poller *p, uint64_t handle, enum ring_op op, int result)
{
    if (p->queue_first + p->queue_count == p->queue_cap) {
        if (p->queue_first > p->queue_count) { /* rather move a few than grow */
            memcpy(p->queue, p->queue + p->queue_first, p->queue_count * sizeof *p->queue);
            p->queue_first = 0;
        } else {
            p->queue_cap = p->queue_cap > 0 ? 2 * p->queue_cap : 64;
            p->queue = grown(p->queue, p->queue_cap * sizeof *p->queue);
        }
    }
    p->queue[p->queue_first + p->queue_count++] = (struct completion){handle, op, result};
}

static void dispatch(struct poller *p, uint64_t handle, enum ring_op op, bool more, int result)
{
    struct ring_event event = {
        .op = op,
        .more = more,
        .result = result,
        .bytes = op == RING_OP_RECV && result > 0 ? p->buffer : NULL,
    };
    ring_dispatch(&p->base, handle, &event);
}

/* Callbacks add to it. Whoever keeps it full waits for the next turn. */
static void dispatch_queue(struct poller *p)
{
    for (unsigned i = 0; i < LIMIT_CQ && p->queue_count > 0; i++) {
        struct completion c = p->queue[p->queue_first++];
        p->queue_count--;
        if (p->queue_count == 0) {
            p->queue_first = 0;
        }
        dispatch(p, c.handle, c.op, false, c.result);
    }
}

/* --- interests ----------------------------------------------------------------------------------
 */
/* NULL: the object wants nothing of the kind (any more). */
static struct interest *wanting(struct poller *p, uint64_t handle, enum ring_op op)
{
    uint32_t slot = HANDLE_SLOT(handle);
    if (slot >= p->interest_count || p->interests[slot].handle != handle ||
        (p->interests[slot].wants & WANT(op)) == 0) {
        return NULL;
    }
    return &p->interests[slot];
}

/* The object's, for a new request. */
static struct interest *interest_of(struct poller *p, uint64_t handle, int fd)
{
    uint32_t slot = HANDLE_SLOT(handle);
    assert(slot < p->base.slot_count);
    if (slot >= p->interest_count) {
        p->interests = grown(p->interests, p->base.slot_cap * sizeof *p->interests);
        memset(p->interests + p->interest_count, 0,
               (p->base.slot_cap - p->interest_count) * sizeof *p->interests);
        p->interest_count = p->base.slot_cap;
    }
    struct interest *i = &p->interests[slot];
    if (i->handle != handle || i->fd != fd) {
        assert(i->wants == 0 && i->events == 0); /* whoever had the slot has cancelled */
        *i = (struct interest){.handle = handle, .fd = fd};
    }
    return i;
}

/* Tells epoll what is wanted now. Returns 0 or an errno value: only a descriptor that epoll does
 * not know yet can be refused, for want of memory or of watches (fs.epoll.max_user_watches). */
static int settle(struct poller *p, struct interest *i)
{
    uint32_t events = ((i->wants & WANT_IN) != 0 ? (uint32_t)(EPOLLIN | EPOLLRDHUP) : 0) |
                      ((i->wants & WANT_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    if (events == i->events) {
        return 0;
    }
    int how = i->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = events, .data.u64 = i->handle};
    if (epoll_ctl(p->fd, how, i->fd, &event) != 0) {
        assert(how == EPOLL_CTL_ADD); /* else: closed behind our back */
        return errno;
    }
    i->events = events;
    return 0;
}

static void want(struct poller *p, struct interest *i, enum ring_op op)
{
    assert((i->wants & WANT(op)) == 0);
    i->wants |= WANT(op);
    int error = settle(p, i);
    if (error != 0) {
        i->wants &= ~WANT(op);
        completed(p, i->handle, op, -error);
    }
}

static void want_no_more(struct poller *p, struct interest *i, enum ring_op op)
{
    i->wants &= ~WANT(op);
    (void)settle(p, i);
}

/* --- requests -----------------------------------------------------------------------------------
 */
static void poller_recv(struct ring *ring, uint64_t handle, int fd)
{
    struct poller *p = poller_of(ring);
    want(p, interest_of(p, handle, fd), RING_OP_RECV);
}

static void poller_recv_once(struct ring *ring, uint64_t handle, int fd)
{
    poller_recv(ring, handle, fd);
    interest_of(poller_of(ring), handle, fd)->stranger = true;
}

static bool set_nonblocking(int fd)
{
    int yes = 1;
    return ioctl(fd, FIONBIO, &yes) == 0;
}

static void poller_accept(struct ring *ring, uint64_t handle, int fd)
{
    struct poller *p = poller_of(ring);
    if (!set_nonblocking(fd)) {
        completed(p, handle, RING_OP_ACCEPT, -errno);
        return;
    }
    want(p, interest_of(p, handle, fd), RING_OP_ACCEPT);
}

static void poller_poll(struct ring *ring, uint64_t handle, int fd)
{
    struct poller *p = poller_of(ring);
    struct interest *i = interest_of(p, handle, fd);
    want(p, i, RING_OP_POLL);
    if (i->wants == 0) {
        abort(); /* no memory for a doorbell, of which a thread has one, at its start */
    }
}

/* Sends what fits. True: that was all, or it failed, and *result is the request's. */
static bool push(struct interest *i, int *result)
{
    ssize_t sent = send(i->fd, i->bytes + i->sent, i->len - i->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        i->sent += (size_t)sent;
        *result = (int)i->sent;
        return i->sent == i->len;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return false;
    }
    *result = i->sent > 0 ? (int)i->sent : -errno; /* the rest will fail again */
    return true;
}

static void poller_send(struct ring *ring, uint64_t handle, int fd, const uint8_t *bytes,
                        size_t len, bool patient)
{
    struct poller *p = poller_of(ring);
    struct interest *i = interest_of(p, handle, fd);
    int result;
    i->bytes = bytes;
    i->len = len < SEND_MOST ? len : SEND_MOST;
    i->sent = 0;
    if (push(i, &result)) {
        completed(p, handle, RING_OP_SEND, result);
    } else {
        want(p, i, RING_OP_SEND);
    }
}

static void poller_connect(struct ring *ring, uint64_t handle, int fd,
                           const struct sockaddr *address, socklen_t len)
{
    struct poller *p = poller_of(ring);
    if (set_nonblocking(fd) && connect(fd, address, len) == 0) {
        completed(p, handle, RING_OP_CONNECT, 0);
    } else if (errno == EINPROGRESS || errno == EINTR) {
        want(p, interest_of(p, handle, fd), RING_OP_CONNECT);
    } else {
        completed(p, handle, RING_OP_CONNECT, -errno);
    }
}

static void poller_cancel(struct ring *ring, uint64_t handle, enum ring_op op)
{
    struct poller *p = poller_of(ring);
    struct interest *i = wanting(p, handle, op);
    if (i != NULL) { /* else it has completed: that is in the queue or was told */
        int sent = op == RING_OP_SEND && i->sent > 0 ? (int)i->sent : -ECANCELED;
        want_no_more(p, i, op);
        completed(p, handle, op, sent);
    }
}

static void poller_close(struct ring *ring, int fd)
{
    close(fd); /* nobody wants anything of it any more: epoll has forgotten it */
}

static void poller_shutdown(struct ring *ring, int fd)
{
    (void)shutdown(fd, SHUT_WR);
}

static int poller_direct(struct ring *ring, int fd)
{
    return fd; /* io_uring alone has such a thing */
}

static void poller_submit(struct ring *ring)
{
    /* Every request left when it was made. */
}

/* --- events -------------------------------------------------------------------------------------
 */
static void connected(struct poller *p, struct interest *i)
{
    int error = 0;
    socklen_t len = sizeof error;
    uint64_t handle = i->handle;
    if (getsockopt(i->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    want_no_more(p, i, RING_OP_CONNECT);
    dispatch(p, handle, RING_OP_CONNECT, false, -error);
}

static void acceptable(struct poller *p, uint64_t handle)
{
    struct interest *i;
    for (int n = 0; n < ACCEPTS && (i = wanting(p, handle, RING_OP_ACCEPT)) != NULL; n++) {
        int fd = accept4(i->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            dispatch(p, handle, RING_OP_ACCEPT, true, fd);
        } else if (errno == EAGAIN || errno == EINTR) {
            return;
        } else {
            int error = errno;
            want_no_more(p, i, RING_OP_ACCEPT);
            dispatch(p, handle, RING_OP_ACCEPT, false, -error);
            return;
        }
    }
    p->more = true;
}

/* One receive: what it leaves is reported again. A turn takes all that has arrived, and so comes
 * back at once when the buffer was filled, or when the end stands behind the bytes. */
static void readable(struct poller *p, struct interest *i, uint32_t events)
{
    uint64_t handle = i->handle;
    ssize_t got = recv(i->fd, p->buffer, p->buffer_size, MSG_DONTWAIT);
    if (got > 0) {
        p->received += (uint64_t)got;
        p->more = p->more || ((size_t)got == p->buffer_size && !i->stranger) ||
                  (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        dispatch(p, handle, RING_OP_RECV, true, (int)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        int result = got == 0 ? 0 : -errno;
        want_no_more(p, i, RING_OP_RECV);
        dispatch(p, handle, RING_OP_RECV, false, result);
    }
}

static void writable(struct poller *p, struct interest *i)
{
    uint64_t handle = i->handle;
    int result;
    if (push(i, &result)) {
        want_no_more(p, i, RING_OP_SEND);
        dispatch(p, handle, RING_OP_SEND, false, result);
    }
}

/* Errors and the end (EPOLLERR, EPOLLHUP) are for everybody: the call that he waits for tells him.
 * Each callback may end the object or change its wants, so they are looked up anew. */
static void serve(struct poller *p, const struct epoll_event *event)
{
    uint64_t handle = event->data.u64;
    struct interest *i;
    if ((event->events & ~(uint32_t)EPOLLOUT) != 0) {
        if ((i = wanting(p, handle, RING_OP_RECV)) != NULL) {
            readable(p, i, event->events);
        } else if (wanting(p, handle, RING_OP_ACCEPT) != NULL) {
            acceptable(p, handle);
        } else if (wanting(p, handle, RING_OP_POLL) != NULL) {
            dispatch(p, handle, RING_OP_POLL, true, EPOLLIN);
        }
    }
    if ((event->events & ~(uint32_t)(EPOLLIN | EPOLLRDHUP)) != 0) {
        if ((i = wanting(p, handle, RING_OP_SEND)) != NULL) {
            writable(p, i);
        } else if ((i = wanting(p, handle, RING_OP_CONNECT)) != NULL) {
            connected(p, i);
        }
    }
}

/* --- turns --------------------------------------------------------------------------------------
 */
static int wait_ns(struct poller *p, int64_t timeout_ns)
{
    if (timeout_ns > 0 && !p->whole_ms) {
        struct timespec ts = {.tv_sec = timeout_ns / 1000000000,
                              .tv_nsec = timeout_ns % 1000000000};
        int count = epoll_pwait2(p->fd, p->events, BATCH, &ts, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return count;
        }
        p->whole_ms = true; /* before Linux 5.11, or the profile does not know it */
    }
    int64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS > 0); /* never early: no spin */
    return epoll_wait(p->fd, p->events, BATCH,
                      timeout_ns < 0   ? -1
                      : ms < INT32_MAX ? (int)ms
                                       : INT32_MAX);
}

/* Returns how many events there are. */
static int wait_for_events(struct poller *p, int64_t timeout_ns)
{
    int count = wait_ns(p, timeout_ns);
    p->base.counters.enters++;
    if (count < 0) {
        assert(errno == EINTR);
        p->base.counters.interrupted++;
        return 0;
    }
    return count;
}

static int poller_enter(struct ring *ring, int64_t timeout_ns)
{
    struct poller *p = poller_of(ring);
    uint64_t before = ring->counters.completions;
    if (timeout_ns != 0 && p->queue_count > 0) {
        uint64_t silent = ring->silent;
        ring_came_back(ring);
        dispatch_queue(p);
        if (ring->counters.completions - before != ring->silent - silent || p->queue_count > 0 ||
            ring->later.count > 0) {
            timeout_ns = 0; /* something has happened; what else there is comes along */
        }
    }
    int count = wait_for_events(p, timeout_ns);
    ring_came_back(ring);
    p->received = 0;
    for (;;) {
        p->more = false;
        for (int n = 0; n < count; n++) {
            serve(p, &p->events[n]);
        }
        dispatch_queue(p);
        /* Until nothing is left, or for as much as the io_uring backend takes at once: whoever
         * floods us waits for the next turn. */
        const bool rest = count == BATCH || p->more;
        ring->behind = rest && (p->received >= (uint64_t)LIMIT_CQ * LIMIT_BUFFER ||
                                ring->counters.completions - before >= LIMIT_CQ);
        if (!rest || ring->behind) {
            break;
        }
        count = wait_for_events(p, 0);
    }
    return (int)(ring->counters.completions - before);
}

static const char *poller_describe(const struct ring *ring)
{
    return "epoll";
}

static void poller_free(struct ring *ring)
{
    struct poller *p = poller_of(ring);
    if (p->fd >= 0) {
        close(p->fd);
    }
    free(p->interests);
    free(p->queue);
    free(p->buffer);
    free(p);
}

static const struct ring_backend epoll_backend = {
    .describe = poller_describe,
    .recv = poller_recv,
    .recv_once = poller_recv_once,
    .accept = poller_accept,
    .poll = poller_poll,
    .send = poller_send,
    .connect = poller_connect,
    .cancel = poller_cancel,
    .close = poller_close,
    .shutdown = poller_shutdown,
    .direct = poller_direct,
    .enter = poller_enter,
    .submit = poller_submit,
    .free = poller_free,
};

struct ring *epoll_ring_open(const struct ring_options *options, char *error, size_t error_len)
{
    struct poller *p = calloc(1, sizeof *p);
    if (p == NULL) {
        abort();
    }
    ring_init(&p->base, &epoll_backend, options);
    p->buffer_size = options->buffer_size > 0 ? options->buffer_size : LIMIT_READ;
    p->buffer = grown(NULL, p->buffer_size);
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0) {
        snprintf(error, error_len, "epoll cannot be set up: %s%s", strerror(errno),
                 errno == EMFILE ? "; raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)" : "");
        poller_free(&p->base);
        return NULL;
    }
    return &p->base;
}
