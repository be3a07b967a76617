#include "io/ring.h"

#include "io/clock.h"
#include "io/ring_epoll.h"
#include "io/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOSE_PATIENCE 1000 /* ms ring_close waits for the kernel to let go of lent memory */
#define NS_PER_MS      1000000

/* --- slots --------------------------------------------------------------------------------------
 */
static struct ring_object *find(const struct ring *ring, uint64_t handle)
{
    uint32_t slot = HANDLE_SLOT(handle);
    if (slot >= ring->slot_count || ring->slots[slot].generation != HANDLE_GENERATION(handle)) {
        return NULL;
    }
    return ring->slots[slot].object;
}

void ring_register(struct ring *ring, struct ring_object *object, const struct ring_object_ops *ops)
{
    uint32_t slot;
    if (ring->slot_free != 0) {
        slot = ring->slot_free - 1;
        ring->slot_free = ring->slots[slot].next_free;
    } else {
        assert(ring->slot_count < LIMIT_SLOTS);
        if (ring->slot_count == ring->slot_cap) {
            uint32_t cap = ring->slot_cap > 0 ? 2 * ring->slot_cap : 64;
            struct ring_slot *slots = realloc(ring->slots, cap * sizeof *slots);
            if (slots == NULL) {
                abort();
            }
            ring->slots = slots;
            ring->slot_cap = cap;
        }
        slot = ring->slot_count++;
        ring->slots[slot].generation = 1;
    }
    ring->slots[slot].object = object;
    object->ops = ops;
    object->ring = ring;
    object->timer = (struct heap_node){0};
    object->handle = (uint64_t)ring->slots[slot].generation << 32 | slot;
    ring->counters.objects++;
}

void ring_unregister(struct ring_object *object)
{
    struct ring *ring = object->ring;
    uint32_t slot = HANDLE_SLOT(object->handle);
    assert(find(ring, object->handle) == object);
    heap_remove(&ring->timers, &object->timer);
    struct ring_slot *s = &ring->slots[slot];
    s->object = NULL;
    s->generation = (s->generation + 1) & GENERATION_MASK;
    s->next_free = ring->slot_free;
    ring->slot_free = slot + 1;
    ring->counters.objects--;
    /* Handles left in the lists and in the kernel name a generation that is over. */
}

/* --- lists --------------------------------------------------------------------------------------
 */
static void list_add(struct handle_list *list, uint64_t handle)
{
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? 2 * list->cap : 64;
        uint64_t *handles = realloc(list->handles, cap * sizeof *handles);
        if (handles == NULL) {
            abort();
        }
        list->handles = handles;
        list->cap = cap;
    }
    list->handles[list->count++] = handle;
}

void ring_call_later(struct ring_object *object)
{
    list_add(&object->ring->later, object->handle);
}

void ring_call_flush(struct ring_object *object)
{
    list_add(&object->ring->dirty, object->handle);
}

void ring_set_timer(struct ring_object *object, ms_t deadline)
{
    heap_set(&object->ring->timers, &object->timer, deadline);
}

/* Runs what is in the list now; what is added meanwhile waits for the next time. */
static int run_list(struct ring *ring, struct handle_list *list,
                    void (*run)(struct ring_object *object))
{
    struct handle_list now = *list;
    *list = (struct handle_list){0};
    int ran = 0;
    for (size_t i = 0; i < now.count; i++) {
        struct ring_object *object = find(ring, now.handles[i]);
        if (object != NULL) {
            run(object);
            ran++;
        }
    }
    if (list->cap == 0) { /* keep the memory for the next turn */
        now.count = 0;
        *list = now;
    } else {
        free(now.handles);
    }
    return ran;
}

static void run_later(struct ring_object *object)
{
    object->ops->later(object);
}

static void run_flush(struct ring_object *object)
{
    object->ops->flush(object);
}

static int run_timers(struct ring *ring)
{
    int ran = 0;
    if (heap_next(&ring->timers) == MS_NEVER) {
        return 0;
    }
    ms_t now = clock_now();
    while (heap_next(&ring->timers) <= now) {
        struct heap_node *node = heap_min(&ring->timers);
        struct ring_object *object =
            (struct ring_object *)((char *)node - offsetof(struct ring_object, timer));
        heap_remove(&ring->timers, node);
        object->ops->expired(object);
        ran++;
    }
    return ran;
}

/* --- work ---------------------------------------------------------------------------------------
 */
void ring_call_work(struct ring_object *object)
{
    struct ring *ring = object->ring;
    /* A queue that never runs empty must not grow for ever. */
    if (ring->work.count == ring->work.cap && ring->work_done >= ring->work.count / 2) {
        ring->work.count -= ring->work_done;
        if (ring->work.count > 0) {
            memmove(ring->work.handles, ring->work.handles + ring->work_done,
                    ring->work.count * sizeof *ring->work.handles);
        }
        ring->work_done = 0;
    }
    list_add(&ring->work, object->handle);
}

static bool has_work(const struct ring *ring)
{
    return ring->work.count > ring->work_done;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int run_work(struct ring *ring)
{
    int ran = 0;
    if (!has_work(ring)) {
        return 0;
    }
    ring_came_back(ring); /* its callbacks, too, see the present time */
    int64_t until = now_ns() + (int64_t)LIMIT_TLS_WORK * NS_PER_MS;
    do {
        struct ring_object *object = find(ring, ring->work.handles[ring->work_done++]);
        if (object != NULL) {
            object->ops->work(object); /* may add to the list */
            ran++;
        }
    } while (has_work(ring) && now_ns() < until);
    if (!has_work(ring)) {
        ring->work.count = ring->work_done = 0;
    }
    return ran;
}

/* --- turns --------------------------------------------------------------------------------------
 */
void ring_init(struct ring *ring, const struct ring_backend *backend,
               const struct ring_options *options)
{
    ring->backend = backend;
    ring->woken = options->woken;
    ring->woken_ctx = options->woken_ctx;
    ring->budget = options->budget;
    heap_init(&ring->timers);
}

void ring_came_back(struct ring *ring)
{
    if (ring->woken != NULL) {
        ring->woken(ring->woken_ctx);
    }
}

void ring_dispatch(struct ring *ring, uint64_t handle, const struct ring_event *event)
{
    ring->counters.completions++;
    if (event->op == RING_OP_IGNORE) {
        ring->silent++;
        return;
    }
    struct ring_object *object = find(ring, handle);
    if (object == NULL) {
        ring->counters.late++;
        ring->silent++;
        if (event->op == RING_OP_ACCEPT && event->result >= 0) {
            close(event->result);
        }
        return;
    }
    object->ops->complete(object, event);
}

static int turn(struct ring *ring, int64_t timeout_ns)
{
    assert(!ring->inside);
    ring->inside = true;
    /* First: what arrives meanwhile is taken and answered right after it. */
    int done = run_work(ring);
    done += ring->backend->enter(ring, timeout_ns);
    done += run_list(ring, &ring->later, run_later);
    done += run_timers(ring);
    ring->inside = false;
    return done;
}

int ring_wait_ns(struct ring *ring, int64_t timeout_ns)
{
    if (timeout_ns != 0) {
        ms_t next = heap_next(&ring->timers);
        if (ring->later.count > 0 || has_work(ring)) {
            timeout_ns = 0;
        } else if (next != MS_NEVER) {
            ms_t left = next - clock_now();
            int64_t left_ns = left > 0 ? left * NS_PER_MS : 0;
            if (timeout_ns < 0 || left_ns < timeout_ns) {
                timeout_ns = left_ns;
            }
        }
    }
    return turn(ring, timeout_ns);
}

int ring_wait(struct ring *ring, ms_t timeout)
{
    if (timeout >= INT64_MAX / NS_PER_MS) {
        return ring_wait_ns(ring, -1);
    }
    return ring_wait_ns(ring, timeout > 0 ? timeout * NS_PER_MS : 0);
}

int ring_gather(struct ring *ring)
{
    return turn(ring, 0);
}

bool ring_behind(const struct ring *ring)
{
    return ring->behind;
}

void ring_prepare(struct ring *ring)
{
    run_list(ring, &ring->dirty, run_flush);
}

void ring_flush(struct ring *ring)
{
    ring_prepare(ring);
    ring->backend->submit(ring);
}

ms_t ring_next_deadline(const struct ring *ring)
{
    /* 1 lies in the past of every clock. */
    return ring->later.count > 0 || has_work(ring) ? 1 : heap_next(&ring->timers);
}

static enum ring_kind chosen; /* before there are threads */

void ring_choose(enum ring_kind kind)
{
    chosen = kind;
}

const char *ring_chosen(void)
{
    return chosen == RING_EPOLL ? "epoll" : "io_uring";
}

struct ring *ring_open(const struct ring_options *options, char *error, size_t error_len)
{
    static const struct ring_options defaults;
    const struct ring_options *o = options != NULL ? options : &defaults;
    return chosen == RING_EPOLL ? epoll_ring_open(o, error, error_len)
                                : uring_open(o, error, error_len);
}

void ring_close(struct ring *ring)
{
    if (ring == NULL) {
        return;
    }
    assert(!ring->inside);
    for (uint32_t slot = 0; slot < ring->slot_count; slot++) {
        struct ring_object *object = ring->slots[slot].object;
        if (object != NULL) {
            object->ops->abandon(object);
        }
    }
    ring->woken = NULL;
    ms_t until = clock_now() + CLOSE_PATIENCE;
    ring_wait(ring, 0); /* the cancellations and closes leave */
    while (ring->counters.objects > 0 && clock_now() < until) {
        ring_wait(ring, 10);
    }
    /* Objects that are left are leaked: the kernel may still read what they lent to it. */
    if (ring->reader != NULL) {
        ring->reader_free(ring->reader);
    }
    while (ring->spare_count > 0) {
        buffer_free(&ring->spare[--ring->spare_count]);
    }
    free(ring->slots);
    free(ring->later.handles);
    free(ring->dirty.handles);
    free(ring->work.handles);
    heap_free(&ring->timers);
    ring->backend->free(ring);
}

void ring_counters(const struct ring *ring, struct ring_counters *out)
{
    *out = ring->counters;
}

const char *ring_backend(const struct ring *ring)
{
    return ring->backend->describe(ring);
}

/* --- watches ------------------------------------------------------------------------------------
 */
struct ring_watch {
    struct ring_object object; /* first */
    int fd;
    void (*callback)(void *ctx);
    void *ctx;
};

static void watch_complete(struct ring_object *object, const struct ring_event *event)
{
    struct ring_watch *watch = (struct ring_watch *)object;
    struct ring *ring = object->ring;
    assert(event->result != -EBADF); /* the owner closed fd without ring_unwatch */
    if (!event->more) {
        ring->counters.rearmed++;
        ring->backend->poll(ring, object->handle, watch->fd);
    }
    uint64_t count;
    ssize_t got = read(watch->fd, &count, sizeof count);
    assert(got == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
    watch->callback(watch->ctx); /* may unwatch */
}

static void watch_abandon(struct ring_object *object)
{
    ring_unwatch((struct ring_watch *)object);
}

static const struct ring_object_ops watch_ops = {
    .complete = watch_complete,
    .abandon = watch_abandon,
};

struct ring_watch *ring_watch(struct ring *ring, int fd, void (*callback)(void *ctx), void *ctx)
{
    struct ring_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        abort();
    }
    ring_register(ring, &watch->object, &watch_ops);
    watch->fd = fd;
    watch->callback = callback;
    watch->ctx = ctx;
    ring->backend->poll(ring, watch->object.handle, fd);
    return watch;
}

void ring_unwatch(struct ring_watch *watch)
{
    struct ring *ring = watch->object.ring;
    ring->backend->cancel(ring, watch->object.handle, RING_OP_POLL);
    /* The caller may close fd now: what is pending must not name it any more. */
    ring->backend->submit(ring);
    ring_unregister(&watch->object);
    free(watch);
}
