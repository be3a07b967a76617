#include "io/stream.h"

#include "io/clock.h"
#include "io/stream_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEPALIVE_IDLE 300 /* seconds, of outgoing connections */

static struct stream *stream_of(struct ring_object *object)
{
    return (struct stream *)object;
}

static struct ring_counters *counters(struct stream *s)
{
    return &s->object.ring->counters;
}

static const struct ring_object_ops object_ops;

/* --- the end ------------------------------------------------------------------------------------
 */
/* Frees a closed stream unless the kernel or a caller up the stack still needs it. A receive needs
 * nothing of ours: should it complete later, nobody is found. */
static void reap(struct stream *s)
{
    if (s->state == STREAM_CLOSED && s->depth == 0 && !s->sends && !s->connects) {
        ring_unregister(&s->object);
        buffer_free(&s->sending);
        stream_tls_free(s);
        free(s->target);
        free(s);
    }
}

void stream_enter(struct stream *s)
{
    assert(s->depth < UINT8_MAX);
    s->depth++;
}

void stream_leave(struct stream *s)
{
    assert(s->depth > 0);
    s->depth--;
    reap(s);
}

static void drop_held(struct stream *s)
{
    if (s->held != NULL) {
        buffer_free(s->held);
        free(s->held);
        s->held = NULL;
    }
}

/* Lets go of the connection. May free s, unless the caller is between enter and leave. */
static void shut(struct stream *s)
{
    struct ring *ring = s->object.ring;
    if (s->state != STREAM_CLOSED) {
        ring->lingering -= s->state == STREAM_LINGERING;
        s->state = STREAM_CLOSED;
        ring_set_timer(&s->object, MS_NEVER);
        if (s->receives) {
            ring->backend->cancel(ring, s->object.handle, RING_OP_RECV);
        }
        if (s->sends) {
            ring->backend->cancel(ring, s->object.handle, RING_OP_SEND);
        }
        if (s->connects) {
            ring->backend->cancel(ring, s->object.handle, RING_OP_CONNECT);
        }
        if (s->fd >= 0) {
            ring->backend->close(ring, s->fd); /* in this order: they name the descriptor */
            s->fd = -1;
        }
        if (s->counted) {
            s->counted = false;
            atomic_fetch_sub_explicit(&ring->budget->used, 1, memory_order_relaxed);
        }
        buffer_free(&s->output);
        stream_tls_shut(s);
        drop_held(s);
    }
    reap(s);
}

/* Whether there is output that no send has taken yet. */
static bool has_output(const struct stream *s)
{
    return s->output.len > 0 || stream_tls_unsent(s) > 0;
}

/* The owner is gone or about to go, and all output was sent: tells the peer so, and waits for its
 * end. */
static void linger_on(struct stream *s)
{
    assert(s->state == STREAM_LINGERING);
    if (s->sends || has_output(s)) {
        return;
    }
    if (!s->half_closed && stream_tls_farewell(s)) {
        stream_mark_dirty(s);
        return;
    }
    if (!s->half_closed) {
        s->half_closed = true;
        s->object.ring->backend->shutdown(s->object.ring, s->fd);
    }
    if (s->peer_ended || s->object.ring->lingering > LIMIT_LINGERERS) {
        shut(s);
    }
}

void stream_mark_dirty(struct stream *s)
{
    if (!s->dirty) {
        s->dirty = true;
        ring_call_flush(&s->object);
    }
}

void stream_mark_later(struct stream *s)
{
    if (!s->later) {
        s->later = true;
        ring_call_later(&s->object);
    }
}

static void receive(struct stream *s)
{
    struct ring *ring = s->object.ring;
    assert(!s->receives);
    s->receives = true;
    s->cancelled = false;
    if (s->stranger) {
        ring->backend->recv_once(ring, s->object.handle, s->fd);
    } else {
        ring->backend->recv(ring, s->object.handle, s->fd);
    }
}

/* Whether bytes of the peer are of use now. */
static bool wants_bytes(const struct stream *s)
{
    switch (s->state) {
    case STREAM_SHAKING:
        return !s->ended && stream_tls_takes_more(s);
    case STREAM_UP:
        /* What is held goes first: until then more would only be held with it. */
        return !s->paused && !s->ended && s->held == NULL && s->moves_to == NULL;
    case STREAM_LINGERING:
        return !s->peer_ended;
    default:
        return false;
    }
}

void stream_receive_on(struct stream *s)
{
    if (!s->receives && wants_bytes(s)) {
        receive(s);
    }
}

void stream_cancel_receive(struct stream *s)
{
    struct ring *ring = s->object.ring;
    if (s->receives && !s->cancelled) {
        s->cancelled = true;
        ring->backend->cancel(ring, s->object.handle, RING_OP_RECV);
    }
}

static void start_lingering(struct stream *s, ms_t patience)
{
    s->moves_to = NULL;
    s->object.ring->lingering += s->state != STREAM_LINGERING;
    s->state = STREAM_LINGERING;
    s->paused = false;
    drop_held(s);
    ring_set_timer(&s->object, clock_now() + patience);
    stream_receive_on(s);
    linger_on(s);
}

/* Tells the owner that it is over. Between enter and leave. */
void stream_end(struct stream *s, int error)
{
    if (s->state == STREAM_LINGERING) {
        shut(s);
        return;
    }
    if (s->state == STREAM_CLOSED) {
        return;
    }
    bool was_up = s->state == STREAM_UP;
    s->object.ring->lingering++;
    s->state = STREAM_LINGERING; /* no callback comes after this one */
    ring_set_timer(&s->object, MS_NEVER);
    bool alert = error != 0 && stream_tls_has_alert(s);
    s->peer_ended = !alert;
    s->ops->down(s->owner, error);
    if (s->state == STREAM_CLOSED) {
        return;
    }
    if (was_up && error == 0 && (s->sends || has_output(s))) {
        start_lingering(s, LIMIT_LINGER);
    } else if (alert) {
        buffer_free(&s->output);
        stream_mark_dirty(s);
        start_lingering(s, LIMIT_TLS_LINGER);
    } else {
        shut(s);
    }
}

/* --- completions --------------------------------------------------------------------------------
 */
static void hold(struct stream *s, const uint8_t *bytes, size_t len)
{
    if (s->held == NULL) {
        s->held = calloc(1, sizeof *s->held);
        if (s->held == NULL) {
            abort();
        }
    }
    buffer_append(s->held, bytes, len);
}

void stream_deliver(struct stream *s, const uint8_t *bytes, size_t len)
{
    assert(s->state == STREAM_UP);
    if (s->paused || s->held != NULL) {
        hold(s, bytes, len);
    } else {
        s->ops->data(s->owner, bytes, len);
    }
}

static void arrived(struct stream *s, const uint8_t *bytes, size_t len)
{
    counters(s)->receives++;
    counters(s)->receive_bytes += len;
    if (s->state == STREAM_LINGERING) {
        return; /* nobody wants it */
    }
    if (s->tls != NULL) {
        stream_tls_arrived(s, bytes, len);
    } else if (s->state == STREAM_UP) {
        stream_deliver(s, bytes, len);
    }
}

void stream_receive_ended(struct stream *s, int error)
{
    if (s->state == STREAM_SHAKING) {
        stream_tls_receive_ended(s, error);
    } else if (s->state == STREAM_LINGERING) {
        s->peer_ended = true;
        if (error != 0) {
            shut(s);
        } else {
            linger_on(s);
        }
    } else if (s->state == STREAM_UP && error == 0 && (s->paused || s->held != NULL)) {
        s->ended = true; /* what is held comes first */
        s->error = error;
    } else {
        stream_end(s, error);
    }
}

static void complete_receive(struct stream *s, const struct ring_event *event)
{
    if (!event->more) {
        s->receives = false;
    }
    if (event->result > 0) {
        arrived(s, event->bytes, (size_t)event->result);
    } else if (event->result == 0) {
        stream_receive_ended(s, 0);
    } else if (event->result != -ENOBUFS && event->result != -ECANCELED &&
               event->result != -EINTR && event->result != -EAGAIN) {
        stream_receive_ended(s, -event->result);
    }
    if (wants_bytes(s) && !s->receives) {
        counters(s)->rearmed++;
        receive(s);
    }
}

static void send_rest(struct stream *s, bool patient)
{
    struct ring *ring = s->object.ring;
    assert(!s->sends && s->sent < s->sending.len && s->fd >= 0);
    s->sends = true;
    ring->counters.sends++;
    ring->backend->send(ring, s->object.handle, s->fd, s->sending.data + s->sent,
                        s->sending.len - s->sent, patient);
}

/* The memory of what was sent serves the next output of any stream: an allocation and a release
 * for each send otherwise. */
void stream_keep_buffer(struct stream *s, struct buffer *b)
{
    struct ring *ring = s->object.ring;
    if (b->data != NULL && b->cap <= RING_SPARE_BYTES && ring->spare_count < RING_SPARES) {
        b->len = 0;
        ring->spare[ring->spare_count++] = *b;
        *b = (struct buffer){0};
    } else {
        buffer_free(b);
    }
}

static void complete_send(struct stream *s, int result)
{
    s->sends = false;
    if (s->state == STREAM_CLOSED) {
        return;
    }
    if (result <= 0 && result != -EINTR && result != -EAGAIN) {
        stream_end(s, result < 0 ? -result : EPIPE);
        return;
    }
    if (result > 0) {
        counters(s)->send_bytes += (uint64_t)result;
        s->sent += (size_t)result;
    }
    assert(s->sent <= s->sending.len);
    if (s->sent < s->sending.len) {
        send_rest(s, true);
        return;
    }
    stream_keep_buffer(s, &s->sending);
    s->sent = 0;
    if (has_output(s)) {
        stream_mark_dirty(s); /* gathered while this one was on its way */
    } else if (s->state == STREAM_LINGERING) {
        linger_on(s);
    } else if (s->state == STREAM_UP && s->paused && s->ops->drained != NULL) {
        s->ops->drained(s->owner);
    } else {
        s->object.ring->silent++;
    }
}

static void read_addresses(struct stream *s, int fd, bool peer_too)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        (void)sockaddr_read(&address, &s->local);
    }
    len = sizeof address;
    if (peer_too && getpeername(fd, (struct sockaddr *)&address, &len) == 0) {
        (void)sockaddr_read(&address, &s->peer);
    }
}

void stream_is_up(struct stream *s, bool tell)
{
    assert(s->state == STREAM_CONNECTING || s->state == STREAM_SHAKING);
    s->state = STREAM_UP;
    ring_set_timer(&s->object, MS_NEVER);
    if (s->paused) {
        stream_cancel_receive(s);
    }
    stream_receive_on(s);
    if (s->output.len > 0) {
        stream_mark_dirty(s);
    }
    if (tell) {
        s->ops->up(s->owner);
    }
}

static void complete_connect(struct stream *s, int result)
{
    s->connects = false;
    free(s->target);
    s->target = NULL;
    if (s->state == STREAM_CLOSED) {
        return;
    }
    if (result < 0) {
        counters(s)->connect_failures++;
        stream_end(s, -result);
        return;
    }
    ring_set_timer(&s->object, MS_NEVER);
    if ((s->fd & RING_DIRECT) == 0) {
        read_addresses(s, s->fd, false); /* of others: by start_connecting */
    }
    if (s->tls != NULL) {
        stream_tls_begin(s);
    } else {
        stream_is_up(s, true);
    }
}

/* Changes the ring once the kernel is done with the stream on the old one. */
static void move_on(struct stream *s)
{
    struct ring *ring = s->moves_to;
    if (ring == NULL || s->state != STREAM_UP || s->receives || s->sends) {
        return;
    }
    s->moves_to = NULL;
    if (s->ended) {
        return; /* only what is held is left */
    }
    ring_unregister(&s->object);
    ring_register(ring, &s->object, &object_ops);
    if (s->dirty) {
        ring_call_flush(&s->object);
    }
    if (s->later) {
        ring_call_later(&s->object);
    }
    stream_receive_on(s);
}

static void on_complete(struct ring_object *object, const struct ring_event *event)
{
    struct stream *s = stream_of(object);
    stream_enter(s);
    switch (event->op) {
    case RING_OP_RECV:
        if (s->state == STREAM_CLOSED) {
            s->receives = s->receives && event->more;
            counters(s)->late++;
        } else {
            complete_receive(s, event);
        }
        break;
    case RING_OP_SEND:
        complete_send(s, event->result);
        break;
    case RING_OP_CONNECT:
        complete_connect(s, event->result);
        break;
    default:
        assert(false);
    }
    move_on(s);
    stream_leave(s);
}

static void on_expired(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    stream_enter(s);
    if (s->state == STREAM_CONNECTING) {
        counters(s)->connect_timeouts++;
        stream_end(s, ETIMEDOUT);
    } else if (s->state == STREAM_SHAKING) {
        counters(s)->handshake_failures++;
        stream_end(s, ETIMEDOUT);
    } else {
        shut(s); /* lingered long enough */
    }
    stream_leave(s);
}

/* A failure of stream_connect, or what was held while paused. */
static void on_later(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    s->later = false;
    stream_enter(s);
    if (s->held != NULL && !s->paused && s->state == STREAM_UP) {
        struct buffer *held = s->held;
        s->held = NULL;
        s->ops->data(s->owner, held->data, held->len);
        buffer_free(held);
        free(held);
        stream_receive_on(s);
    }
    bool open = s->state == STREAM_UP || s->state == STREAM_CONNECTING;
    if (s->ended && open && !s->paused) {
        stream_end(s, s->error);
    }
    stream_leave(s);
}

static void on_flush(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    s->dirty = false;
    bool open = s->state != STREAM_CLOSED && s->state != STREAM_CONNECTING;
    if (!open || s->sends || !has_output(s)) {
        return;
    }
    assert(s->sending.data == NULL && s->sent == 0);
    if (s->tls != NULL) {
        stream_tls_flush(s);
    } else {
        s->sending = s->output;
        s->output = (struct buffer){0};
    }
    if (s->sending.len > 0) {
        send_rest(s, false);
    }
}

static void on_abandon(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    bool owned =
        s->state == STREAM_UP || s->state == STREAM_CONNECTING || s->state == STREAM_SHAKING;
    if (owned && s->ops->abandoned != NULL) {
        s->ops->abandoned(s->owner);
    }
    shut(s);
}

static const struct ring_object_ops object_ops = {
    .complete = on_complete,
    .expired = on_expired,
    .later = on_later,
    .flush = on_flush,
    .work = stream_tls_work,
    .abandon = on_abandon,
};

/* --- the owner's calls --------------------------------------------------------------------------
 */
static struct stream *stream_new(struct ring *ring, const struct stream_ops *ops, void *owner)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    s->ops = ops;
    s->owner = owner;
    s->fd = -1;
    ring_register(ring, &s->object, &object_ops);
    return s;
}

static void set_option(int fd, int level, int option, int value)
{
    /* Best effort: a socket without it still works. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static void set_tcp_options(int fd, unsigned keepalive)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (keepalive > 0) {
        int idle = keepalive < 32767 ? (int)keepalive : 32767; /* the kernel's bound */
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle / 3 > 0 ? idle / 3 : 1);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    }
}

/* Makes the socket and its target. Returns 0 or an errno value. */
static int prepare(struct stream *s, const struct address *to, const struct address *from,
                   socklen_t *len)
{
    struct sockaddr_storage source;
    socklen_t source_len;
    s->target = calloc(1, sizeof *s->target);
    if (s->target == NULL) {
        abort();
    }
    if (to->port == 0 || !sockaddr_make(to, s->target, len) ||
        (from != NULL && !sockaddr_make(from, &source, &source_len))) {
        return EINVAL;
    }
    /* In blocking mode: the ring waits by itself, and takes O_NONBLOCK for "do not wait". */
    s->fd = socket(s->target->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        int error = errno;
        s->object.ring->counters.refused += error == EMFILE || error == ENFILE;
        return error;
    }
    set_tcp_options(s->fd, KEEPALIVE_IDLE);
    if (from != NULL) {
        /* The port is chosen with the target known: the same one can serve for many targets. */
        set_option(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        if (bind(s->fd, (struct sockaddr *)&source, source_len) != 0) {
            return errno;
        }
    }
    return 0;
}

/* A direct descriptor where the ring has one to give, else a normal one within the budget. Returns
 * 0 or an errno value; the normal descriptor stays open. */
static int take_place(struct stream *s)
{
    struct ring *ring = s->object.ring;
    int normal = s->fd;
    s->fd = ring->backend->direct(ring, normal);
    if (s->fd != normal || ring->budget == NULL) {
        return 0;
    }
    if (atomic_fetch_add_explicit(&ring->budget->used, 1, memory_order_relaxed) >=
        ring->budget->most) {
        atomic_fetch_sub_explicit(&ring->budget->used, 1, memory_order_relaxed);
        ring->counters.refused++;
        close(normal); /* now, not with the next turn: it is not ours to have */
        s->fd = -1;
        return EMFILE;
    }
    s->counted = true;
    return 0;
}

static void start_connecting(struct stream *s, socklen_t len, int normal)
{
    struct ring *ring = s->object.ring;
    s->connects = true;
    ring_set_timer(&s->object, clock_now() + LIMIT_CONNECT);
    ring->backend->connect(ring, s->object.handle, s->fd, (struct sockaddr *)s->target, len);
    if (s->fd == normal) {
        return;
    }
    /* A direct descriptor cannot be asked for its address (before Linux 6.19), so the normal one is
     * asked before it goes. The kernel chooses the address as the connect begins, which it has once
     * it is submitted. So no connection holds a normal descriptor while it waits for the other
     * side, and any number of hosts may hang. */
    ring->backend->submit(ring);
    read_addresses(s, normal, false);
    if (strcmp(s->local.ip, "0.0.0.0") == 0 || strcmp(s->local.ip, "::") == 0) {
        s->local = (struct address){0}; /* it has failed already */
    }
    close(normal);
}

struct stream *stream_connect_tls(struct ring *ring, const struct address *to,
                                  const struct address *bind_or_null, struct tls *tls,
                                  const struct stream_ops *ops, void *owner)
{
    struct stream *s = stream_new(ring, ops, owner);
    socklen_t len = 0;
    stream_tls_attach(s, tls, TLS_CLIENT);
    s->state = STREAM_CONNECTING;
    s->peer = *to;
    ring->counters.connects++;
    s->error = prepare(s, to, bind_or_null, &len);
    int normal = s->fd;
    if (s->error == 0) {
        s->error = take_place(s);
    }
    if (s->error != 0) {
        ring->counters.connect_failures++;
        s->ended = true;
        stream_mark_later(s);
        return s;
    }
    start_connecting(s, len, normal);
    return s;
}

struct stream *stream_connect(struct ring *ring, const struct address *to,
                              const struct address *bind_or_null, const struct stream_ops *ops,
                              void *owner)
{
    return stream_connect_tls(ring, to, bind_or_null, NULL, ops, owner);
}

struct stream *stream_adopt_tls(struct ring *ring, int fd, unsigned keepalive, struct tls *tls,
                                const struct stream_ops *ops, void *owner)
{
    struct stream *s = stream_new(ring, ops, owner);
    assert(fd >= 0);
    s->state = STREAM_UP;
    s->stranger = true;
    s->fd = fd;
    set_tcp_options(fd, keepalive);
    read_addresses(s, fd, true);
    stream_tls_attach(s, tls, TLS_SERVER);
    if (tls != NULL && ring->shaking >= LIMIT_TLS_PENDING) {
        ring->counters.handshakes_refused++;
        s->state = STREAM_CONNECTING; /* and never arrives */
        s->error = ECONNREFUSED;
        s->ended = true;
        stream_mark_later(s);
    } else if (tls != NULL) {
        stream_tls_begin(s);
    } else {
        receive(s);
    }
    return s;
}

struct stream *stream_adopt(struct ring *ring, int fd, unsigned keepalive,
                            const struct stream_ops *ops, void *owner)
{
    return stream_adopt_tls(ring, fd, keepalive, NULL, ops, owner);
}

struct buffer *stream_output(struct stream *s)
{
    struct ring *ring = s->object.ring;
    stream_mark_dirty(s);
    if (s->output.data == NULL && ring->spare_count > 0) {
        s->output = ring->spare[--ring->spare_count];
    }
    return &s->output;
}

void stream_write(struct stream *s, const void *bytes, size_t len)
{
    buffer_append(stream_output(s), bytes, len);
}

size_t stream_unsent(const struct stream *s)
{
    return s->output.len + stream_tls_unsent(s) + (s->sending.len - s->sent);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    if (s->state != STREAM_SHAKING) {
        stream_cancel_receive(s);
    }
}

void stream_resume(struct stream *s)
{
    if (!s->paused) {
        return;
    }
    s->paused = false;
    if (s->held != NULL || s->ended) {
        stream_mark_later(s);
    }
    /* A receive that was told to end and has not: started again when it has. */
    stream_receive_on(s);
}

void stream_move(struct stream *s, struct ring *ring)
{
    assert((s->fd & RING_DIRECT) == 0 || s->fd < 0);
    if (s->state == STREAM_UP && !s->ended && ring != s->object.ring) {
        s->moves_to = ring;
        stream_cancel_receive(s);
        move_on(s);
    }
}

bool stream_paused(const struct stream *s)
{
    return s->paused;
}

void stream_close(struct stream *s)
{
    shut(s);
}

void stream_close_after_flush(struct stream *s)
{
    if (s->state == STREAM_UP) {
        s->peer_ended = s->ended;
        stream_enter(s);
        start_lingering(s, LIMIT_LINGER);
        stream_leave(s);
    } else if (s->state == STREAM_CONNECTING || s->state == STREAM_SHAKING) {
        shut(s); /* nobody would read it */
    }
}

bool stream_local(const struct stream *s, struct address *out)
{
    *out = s->local;
    return s->local.ip[0] != '\0' && s->state != STREAM_CONNECTING;
}

bool stream_peer(const struct stream *s, struct address *out)
{
    *out = s->peer;
    return s->peer.ip[0] != '\0' && s->state != STREAM_CONNECTING;
}

struct ring *stream_ring(const struct stream *s)
{
    return s->object.ring;
}
