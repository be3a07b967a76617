/* The io_uring backend (style.md §7 has the facts). Linux 6.0 or later; from 6.1 on completions are
 * deferred to the thread's own enters (SINGLE_ISSUER, DEFER_TASKRUN), which is what lets a turn
 * gather. liburing 2.3 is enough. */
#include "io/ring_uring.h"
#include "io/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH        256 /* completions copied out before they are dispatched */
#define FEW_WORKS    16  /* completions of an enter below which nothing was left behind */
#define LOOKS        64  /* turns after which the buffers that none of them needed go */
#define BUFFER_GROUP 0
#define TAG_OP_SHIFT 56
#define TAG_PROMPT   ((uint64_t)1 << 63) /* a send that is not patient */
#define SEND_MOST    ((size_t)1 << 30)   /* bytes of one request: its result is an int */

struct completion {
    uint64_t tag;
    int32_t result;
    uint32_t flags;
};

struct uring {
    struct ring base; /* first */
    struct io_uring io;
    bool io_open;
    const char *name;
    /* Provided buffers: memory for buffers_max of them, touched as they are used. */
    struct io_uring_buf_ring *buf_ring;
    uint8_t *memory;
    size_t buf_ring_bytes, memory_bytes;
    unsigned buffers, buffers_first, buffers_max, buffer_size;
    /* Giving memory back after a burst: while `limit` is not 0, buffers from that one on stay here
     * as they come back, and when all have, they are buffers no more. */
    unsigned limit, withheld_count;
    unsigned used, most_used, looks; /* buffers held at once now; the most in the last turns */
    uint64_t grown;                  /* enters when there were made more */
    bool *withheld;                  /* [buffers_max] */
    /* The table of direct descriptors: places from `places_fresh` on were never used, those in
     * `places` are free again. */
    uint32_t *places; /* [base.counters.direct_most] */
    uint32_t places_count, places_fresh;
    /* Completions copied out and not yet dispatched: a FIFO that grows. */
    struct completion *copied;
    uint32_t copied_first, copied_count, copied_cap; /* cap: a power of two */
    /* Sends that complete while they are submitted and were not harvested yet: not what a wait is
     * for. */
    unsigned prompt;
};

static struct uring *uring_of(struct ring *ring)
{
    return (struct uring *)ring;
}

/* --- completions --------------------------------------------------------------------------------
 */
static struct completion *copied_slot(struct uring *u)
{
    if (u->copied_count == u->copied_cap) {
        uint32_t cap = u->copied_cap > 0 ? 2 * u->copied_cap : BATCH;
        struct completion *copied = malloc(cap * sizeof *copied);
        if (copied == NULL) {
            abort();
        }
        for (uint32_t i = 0; i < u->copied_count; i++) {
            copied[i] = u->copied[(u->copied_first + i) & (u->copied_cap - 1)];
        }
        free(u->copied);
        u->copied = copied;
        u->copied_first = 0;
        u->copied_cap = cap;
    }
    return &u->copied[(u->copied_first + u->copied_count++) & (u->copied_cap - 1)];
}

/* Copies up to `most` completions out, so that dispatching never holds a place in the kernel's
 * queue. Returns how many. */
static unsigned harvest(struct uring *u, unsigned most)
{
    unsigned head, taken = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->io, head, cqe)
    {
        if (taken == most) {
            break;
        }
        u->prompt -= (cqe->user_data & TAG_PROMPT) != 0;
        *copied_slot(u) = (struct completion){cqe->user_data & ~TAG_PROMPT, cqe->res, cqe->flags};
        taken++;
    }
    io_uring_cq_advance(&u->io, taken);
    return taken;
}

/* Whether the kernel has more than the `taken` it gave last: completions that did not fit, or
 * deferred work that it did not come to. (Since 6.13 it does about 20 at a time: after fewer, what
 * is pending has only just arrived, and gathers for the next turn.) */
static bool kernel_has_more(struct uring *u, unsigned taken)
{
    unsigned flags = __atomic_load_n(u->io.sq.kflags, __ATOMIC_ACQUIRE);
    if ((flags & IORING_SQ_CQ_OVERFLOW) != 0) {
        u->base.counters.cq_overflows++;
        return true;
    }
    return (flags & IORING_SQ_TASKRUN) != 0 && taken >= FEW_WORKS;
}

/* Counts what an enter returned. True: it is to be tried again at once. */
static bool entered(struct uring *u, int result)
{
    struct ring_counters *counters = &u->base.counters;
    counters->enters++;
    switch (result) {
    case -EINTR:
        counters->interrupted++;
        return true;
    case -EAGAIN:
    case -EBUSY:
    case -EBADR: /* completions were lost for want of memory: the objects' time-outs notice */
        counters->busy++;
        return true;
    case -ETIME:
        return false;
    default:
        assert(result >= 0); /* anything else is a mistake of ours */
        return false;
    }
}

static void give_buffers(struct uring *u, unsigned first, unsigned count)
{
    int mask = io_uring_buf_ring_mask(u->buffers_max);
    for (unsigned i = 0; i < count; i++) {
        unsigned id = first + i;
        io_uring_buf_ring_add(u->buf_ring, u->memory + (size_t)id * u->buffer_size, u->buffer_size,
                              (unsigned short)id, mask, (int)i);
    }
    io_uring_buf_ring_advance(u->buf_ring, (int)count);
}

static void take_back_withheld(struct uring *u)
{
    for (unsigned id = u->limit; u->withheld_count > 0; id++) {
        if (u->withheld[id]) {
            u->withheld[id] = false;
            u->withheld_count--;
            give_buffers(u, id, 1);
        }
    }
    u->limit = 0;
}

/* A buffer has been read. */
static void give_back(struct uring *u, unsigned id)
{
    if (u->limit == 0 || id < u->limit) {
        give_buffers(u, id, 1);
        return;
    }
    assert(!u->withheld[id]);
    u->withheld[id] = true;
    if (++u->withheld_count == u->buffers - u->limit) {
        (void)madvise(u->memory + (size_t)u->limit * u->buffer_size,
                      (size_t)u->withheld_count * u->buffer_size, MADV_DONTNEED);
        memset(u->withheld + u->limit, 0, u->withheld_count * sizeof *u->withheld);
        u->buffers = u->limit;
        u->base.counters.buffers = u->buffers;
        u->limit = u->withheld_count = 0;
    }
}

/* What the kernel had filled has been read. */
static void all_read(struct uring *u)
{
    u->most_used = u->used > u->most_used ? u->used : u->most_used;
    u->used = 0;
}

/* Once a turn: the start of thousands of links, or a failover, takes many buffers, and the kernel
 * goes through all of them for ever. */
static void fewer_buffers(struct uring *u)
{
    all_read(u);
    if (++u->looks < LOOKS) {
        return;
    }
    unsigned enough = u->buffers_first;
    while (enough * 3 / 4 <= u->most_used) { /* a third to spare */
        enough *= 2;
    }
    if (u->limit == 0 && enough < u->buffers) {
        u->limit = enough;
    }
    u->looks = u->most_used = 0;
}

/* They ran out: twice as many from now on. All that found none in one enter are one need. */
static void more_buffers(struct uring *u)
{
    u->base.counters.no_buffers++;
    if (u->limit != 0) {
        take_back_withheld(u);
        return;
    }
    if (u->buffers < u->buffers_max && u->grown != u->base.counters.enters) {
        u->grown = u->base.counters.enters;
        give_buffers(u, u->buffers, u->buffers);
        u->buffers *= 2;
        u->base.counters.buffers = u->buffers;
    }
}

static void place_closed(struct uring *u, uint32_t place, int result);

static void dispatch(struct uring *u, const struct completion *c)
{
    struct ring_event event = {
        .op = (enum ring_op)(c->tag >> TAG_OP_SHIFT),
        .more = (c->flags & IORING_CQE_F_MORE) != 0,
        .result = c->result,
    };
    bool has_buffer = (c->flags & IORING_CQE_F_BUFFER) != 0;
    unsigned id = c->flags >> IORING_CQE_BUFFER_SHIFT;
    if (has_buffer) {
        assert(id < u->buffers && c->result <= (int)u->buffer_size);
        event.bytes = u->memory + (size_t)id * u->buffer_size;
    }
    if (event.op == RING_OP_RECV && c->result == -ENOBUFS) {
        more_buffers(u);
    }
    if (event.op == RING_OP_FREED) {
        place_closed(u, HANDLE_SLOT(c->tag), c->result);
        event.op = RING_OP_IGNORE;
    }
    ring_dispatch(&u->base, c->tag & (((uint64_t)1 << TAG_OP_SHIFT) - 1), &event);
    if (has_buffer) {
        u->used++;
        give_back(u, id);
    }
}

/* Thousands of streams do not stay in the cache from one turn to the next. */
static void prefetch_ahead(const struct uring *u)
{
    for (unsigned ahead = 2; ahead <= 4; ahead += 2) {
        if (u->copied_count > ahead) {
            const uint64_t tag = u->copied[(u->copied_first + ahead) & (u->copied_cap - 1)].tag;
            ring_prefetch(&u->base, HANDLE_SLOT(tag), ahead > 2);
        }
    }
}

static int dispatch_copied(struct uring *u)
{
    int done = 0;
    while (u->copied_count > 0) {
        prefetch_ahead(u);
        struct completion c = u->copied[u->copied_first];
        u->copied_first = (u->copied_first + 1) & (u->copied_cap - 1);
        u->copied_count--;
        dispatch(u, &c);
        done++;
    }
    return done;
}

/* --- submissions --------------------------------------------------------------------------------
 */
static void uring_submit(struct ring *ring)
{
    struct uring *u = uring_of(ring);
    while (io_uring_sq_ready(&u->io) > 0) {
        int result = io_uring_submit(&u->io);
        if (entered(u, result) && result != -EINTR) {
            /* The kernel wants room for completions first. They are dispatched in order, by the
             * next enter. */
            io_uring_get_events(&u->io);
            harvest(u, UINT32_MAX);
        }
    }
}

static struct io_uring_sqe *sqe_get(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->io);
    while (sqe == NULL) {
        u->base.counters.sq_full++;
        uring_submit(&u->base);
        sqe = io_uring_get_sqe(&u->io);
    }
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, uint64_t handle, enum ring_op op)
{
    sqe->user_data = (uint64_t)op << TAG_OP_SHIFT | handle;
}

/* After io_uring_prep_*. */
static void name_fd(struct io_uring_sqe *sqe, int fd)
{
    if ((fd & RING_DIRECT) != 0) {
        sqe->fd = fd & ~RING_DIRECT;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

static void uring_recv(struct ring *ring, uint64_t handle, int fd)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    name_fd(sqe, fd);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    tag(sqe, handle, RING_OP_RECV);
}

/* A multishot receive from somebody who sends without a pause is never where a cancellation finds
 * it, while he sends: it would bring in all he has. Poll first: who waits for an answer has sent
 * nothing yet, and a receive tried in vain costs more than the question when he has. */
static void uring_recv_once(struct ring *ring, uint64_t handle, int fd)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_recv(sqe, fd, NULL, LIMIT_BUFFER, 0);
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    name_fd(sqe, fd);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    tag(sqe, handle, RING_OP_RECV);
}

static void uring_accept(struct ring *ring, uint64_t handle, int fd)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    tag(sqe, handle, RING_OP_ACCEPT);
}

static void uring_poll(struct ring *ring, uint64_t handle, int fd)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
    tag(sqe, handle, RING_OP_POLL);
}

/* With MSG_DONTWAIT the kernel never parks a send: its completion is there when the system call
 * that submits it goes on to wait, which therefore can wait for one more than those. */
static void uring_send(struct ring *ring, uint64_t handle, int fd, const uint8_t *bytes, size_t len,
                       bool patient)
{
    struct uring *u = uring_of(ring);
    struct io_uring_sqe *sqe = sqe_get(u);
    io_uring_prep_send(sqe, fd, bytes, len < SEND_MOST ? len : SEND_MOST,
                       MSG_NOSIGNAL | (patient ? MSG_WAITALL : MSG_DONTWAIT));
    name_fd(sqe, fd);
    tag(sqe, handle, RING_OP_SEND);
    if (!patient) {
        sqe->user_data |= TAG_PROMPT;
        u->prompt++;
    }
}

static void uring_connect(struct ring *ring, uint64_t handle, int fd,
                          const struct sockaddr *address, socklen_t len)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_connect(sqe, fd, address, len);
    name_fd(sqe, fd);
    tag(sqe, handle, RING_OP_CONNECT);
}

static void uring_cancel(struct ring *ring, uint64_t handle, enum ring_op op)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_cancel64(sqe, (uint64_t)op << TAG_OP_SHIFT | handle, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tag(sqe, 0, RING_OP_IGNORE);
}

static void uring_shutdown(struct ring *ring, int fd)
{
    if ((fd & RING_DIRECT) == 0) {
        (void)shutdown(fd, SHUT_WR);
        return;
    }
    /* The kernel hands it to a worker thread of its own: rare enough for links, which mostly just
     * close. A close behind it may come first; the worker still has the socket then. */
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_shutdown(sqe, fd, SHUT_WR);
    name_fd(sqe, fd);
    tag(sqe, 0, RING_OP_IGNORE);
}

/* --- direct descriptors -------------------------------------------------------------------------
 * A place is taken from here and given back when the kernel says that its close is done: by then it
 * has issued whatever was submitted before and named the place, so nothing that was meant for the
 * former socket reaches the next one. (What had begun goes on with the former socket, and completes
 * under the handle of its former owner.)
 */
static void place_close(struct uring *u, uint32_t place)
{
    struct io_uring_sqe *sqe = sqe_get(u);
    io_uring_prep_close_direct(sqe, place);
    tag(sqe, place, RING_OP_FREED);
}

static void place_closed(struct uring *u, uint32_t place, int result)
{
    if (result == -ENOMEM) {
        place_close(u, place); /* until Linux 6.12 even this needs memory */
        return;
    }
    assert(result == 0 && u->places_count < u->places_fresh);
    u->places[u->places_count++] = place;
    u->base.counters.direct--;
}

static int uring_direct(struct ring *ring, int fd)
{
    struct uring *u = uring_of(ring);
    struct ring_counters *counters = &ring->counters;
    uint32_t place;
    if (counters->direct == counters->direct_most) {
        counters->direct_full += counters->direct_most > 0;
        return fd;
    }
    place = u->places_count > 0 ? u->places[u->places_count - 1] : u->places_fresh;
    if (io_uring_register_files_update(&u->io, place, &fd, 1) != 1) {
        counters->direct_full++;
        return fd;
    }
    if (u->places_count > 0) {
        u->places_count--;
    } else {
        u->places_fresh++;
    }
    counters->direct++;
    return RING_DIRECT | (int)place;
}

/* Without a table all descriptors are normal ones: the owner's budget tells when they run out. */
static void setup_places(struct uring *u, unsigned wanted)
{
    struct rlimit limit;
    /* liburing raises the limit of the whole process where it is too low for the table. */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    unsigned most = wanted < limit.rlim_cur ? wanted : (unsigned)limit.rlim_cur;
    most = most < LIMIT_DIRECT ? most : LIMIT_DIRECT;
    if (most == 0 || io_uring_register_files_sparse(&u->io, most) != 0) {
        return;
    }
    u->places = malloc(most * sizeof *u->places); /* touched as it is used */
    if (u->places == NULL) {
        abort();
    }
    u->base.counters.direct_most = most;
}

static void uring_close_fd(struct ring *ring, int fd)
{
    if ((fd & RING_DIRECT) != 0) {
        place_close(uring_of(ring), (uint32_t)(fd & ~RING_DIRECT));
        return;
    }
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tag(sqe, 0, RING_OP_IGNORE);
}

/* --- turns --------------------------------------------------------------------------------------
 */
static void enter_once(struct uring *u, int64_t timeout_ns)
{
    int result;
    /* A turn that sends is one system call: the sends complete first, then it waits for more. */
    unsigned enough = u->prompt + 1;
    if (timeout_ns == 0 || u->copied_count > 0 || enough > u->io.cq.ring_entries) {
        result = io_uring_submit_and_get_events(&u->io);
    } else if (timeout_ns < 0) {
        result = io_uring_submit_and_wait(&u->io, enough);
    } else {
        struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000,
                                       .tv_nsec = timeout_ns % 1000000000};
        struct io_uring_cqe *ignored;
        result = io_uring_submit_and_wait_timeout(&u->io, &ignored, enough, &ts, NULL);
    }
    /* Interrupted or busy: the caller comes again, after it has looked at the clock and taken what
     * is there. */
    (void)entered(u, result);
}

/* Dispatches what the kernel has for us; to_end: and what it has once it is asked again, as a
 * stream is that received one buffer. Returns how many. */
static int take_all(struct uring *u, bool to_end)
{
    int done = 0;
    ring_came_back(&u->base);
    u->base.behind = false;
    for (;;) {
        unsigned taken = harvest(u, BATCH);
        done += dispatch_copied(u);
        if (taken < BATCH) {
            all_read(u);
        }
        bool asked = io_uring_sq_ready(&u->io) > 0;
        if (taken < BATCH && !kernel_has_more(u, taken) && !(to_end && asked && taken > 0)) {
            break;
        }
        if (done >= LIMIT_CQ) { /* whoever floods us waits for the next turn */
            u->base.behind = true;
            break;
        }
        /* With what the owners have asked for meanwhile: a stream that was paused must not go on to
         * bring as many bytes as this loop takes. */
        if (taken < BATCH || asked) {
            int result = io_uring_submit_and_get_events(&u->io);
            (void)entered(u, result);
        }
    }
    fewer_buffers(u);
    return done;
}

static int uring_enter(struct ring *ring, int64_t timeout_ns)
{
    struct uring *u = uring_of(ring);
    int done = 0;
    /* The sends of ring_flush complete while they are submitted. Taking these completions here
     * saves a turn for nothing after each turn that sent something. */
    if (timeout_ns != 0 && io_uring_sq_ready(&u->io) == 0 &&
        (u->copied_count > 0 || io_uring_cq_ready(&u->io) > 0)) {
        uint64_t silent = ring->silent;
        done = take_all(u, false);
        if ((uint64_t)done != ring->silent - silent || ring->later.count > 0) {
            return done;
        }
    }
    enter_once(u, timeout_ns);
    return done + take_all(u, timeout_ns == 0);
}

static const char *uring_describe(const struct ring *ring)
{
    return ((const struct uring *)ring)->name;
}

static void uring_free(struct ring *ring)
{
    struct uring *u = uring_of(ring);
    if (u->io_open) {
        io_uring_queue_exit(&u->io);
    }
    if (u->buf_ring != NULL) {
        munmap(u->buf_ring, u->buf_ring_bytes);
    }
    if (u->memory != NULL) {
        munmap(u->memory, u->memory_bytes);
    }
    free(u->copied);
    free(u->withheld);
    free(u->places);
    free(u);
}

static const struct ring_backend uring_backend = {
    .describe = uring_describe,
    .recv = uring_recv,
    .recv_once = uring_recv_once,
    .accept = uring_accept,
    .poll = uring_poll,
    .send = uring_send,
    .connect = uring_connect,
    .cancel = uring_cancel,
    .close = uring_close_fd,
    .shutdown = uring_shutdown,
    .direct = uring_direct,
    .enter = uring_enter,
    .submit = uring_submit,
    .free = uring_free,
};

/* --- opening ------------------------------------------------------------------------------------
 */
/* Since Linux 6.14 rings count as locked memory, per user, unless one has CAP_IPC_LOCK. Debian and
 * systemd allow 8 MiB, which two full-size rings a shard would use up with the seventh shard. */
static bool locked_memory_is_scarce(void)
{
    struct rlimit limit;
    if (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_IPC_LOCK) == 1) {
        return false;
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return false;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max; /* all that the system allows */
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    }
    return limit.rlim_cur != RLIM_INFINITY;
}

static int setup_sized(struct uring *u, bool plain, unsigned submissions, unsigned completions)
{
    static const struct {
        unsigned flags;
        const char *name;
    } ways[] = {
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
             IORING_SETUP_SUBMIT_ALL,
         "io_uring (single issuer, deferred)"},
        {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
         "io_uring (cooperative)"},
        {0, "io_uring (plain)"},
    };
    int result = -EINVAL;
    for (size_t i = plain ? 2 : 0; i < sizeof ways / sizeof *ways; i++) {
        struct io_uring_params params = {
            .flags = ways[i].flags | IORING_SETUP_CQSIZE,
            .cq_entries = completions,
        };
        result = io_uring_queue_init_params(submissions, &u->io, &params);
        if (result == 0) {
            u->io_open = true;
            u->name = ways[i].name;
            unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
            return (params.features & needed) == needed ? 0 : -EOPNOTSUPP;
        }
        if (result != -EINVAL) {
            break;
        }
    }
    return result;
}

/* Smaller rings where memory is short: full queues are slower, not wrong. */
static int setup(struct uring *u, const struct ring_options *options)
{
    unsigned scarce = options->submissions == 0 && locked_memory_is_scarce() ? 4 : 1;
    unsigned submissions = options->submissions > 0 ? options->submissions : LIMIT_SQ / scarce;
    unsigned completions = options->completions > 0 ? options->completions : LIMIT_CQ / scarce;
    int result = setup_sized(u, options->plain, submissions, completions);
    while (result == -ENOMEM && options->submissions == 0 && submissions > 32) {
        submissions /= 2;
        completions /= 2;
        result = setup_sized(u, options->plain, submissions, completions);
    }
    return result;
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int setup_buffers(struct uring *u, const struct ring_options *options)
{
    u->buffers_max = options->buffers > 0 ? options->buffers : LIMIT_BUFFERS;
    u->buffer_size = options->buffer_size > 0 ? options->buffer_size : LIMIT_BUFFER;
    u->buffers = options->buffers_first > 0 ? options->buffers_first : LIMIT_BUFFERS_FIRST;
    if (u->buffers > u->buffers_max) {
        u->buffers = u->buffers_max;
    }
    u->buffers_first = u->buffers;
    u->withheld = calloc(u->buffers_max, sizeof *u->withheld);
    if (u->withheld == NULL) {
        return -ENOMEM;
    }
    assert((u->buffers_max & (u->buffers_max - 1)) == 0 && (u->buffers & (u->buffers - 1)) == 0);
    u->buf_ring_bytes = u->buffers_max * sizeof(struct io_uring_buf);
    u->memory_bytes = (size_t)u->buffers_max * u->buffer_size;
    u->buf_ring = map(u->buf_ring_bytes); /* page-aligned, as the kernel wants it */
    u->memory = map(u->memory_bytes);
    if (u->buf_ring == NULL || u->memory == NULL) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)u->buf_ring,
        .ring_entries = u->buffers_max,
        .bgid = BUFFER_GROUP,
    };
    int result = io_uring_register_buf_ring(&u->io, &reg, 0);
    if (result < 0) {
        return result == -EINVAL ? -EOPNOTSUPP : result;
    }
    io_uring_buf_ring_init(u->buf_ring);
    give_buffers(u, 0, u->buffers);
    u->base.counters.buffers = u->buffers;
    return 0;
}

struct ring *uring_open(const struct ring_options *options, char *error, size_t error_len)
{
    struct uring *u = calloc(1, sizeof *u);
    if (u == NULL) {
        abort();
    }
    ring_init(&u->base, &uring_backend, options);
    int result = setup(u, options);
    if (result == 0) {
        result = setup_buffers(u, options);
    }
    if (result < 0) {
        uring_explain(-result, error, error_len);
        uring_free(&u->base);
        return NULL;
    }
    /* Saves a descriptor look-up in each enter; does no harm when refused. */
    (void)io_uring_register_ring_fd(&u->io);
    setup_places(u, options->direct);
    return &u->base;
}
