#include "io/stream.h"

#include "io/clock.h"
#include "io/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEPALIVE_IDLE 300 /* seconds, of outgoing connections */

enum stream_state {
    STREAM_CONNECTING,
    STREAM_UP,
    STREAM_LINGERING, /* the owner is gone; output, then the peer's end, are waited for */
    STREAM_CLOSED,    /* the kernel still holds what we lent it, or a callback is running */
};

struct stream {
    struct ring_object object; /* first */
    const struct stream_ops *ops;
    void *owner;
    struct buffer output;            /* gathers */
    struct buffer sending;           /* lent to the kernel while `sends` */
    size_t sent;                     /* of sending */
    struct buffer *held;             /* arrived while paused; NULL: nothing */
    struct sockaddr_storage *target; /* lent to the kernel while `connects` */
    struct ring *moves_to;           /* NULL: stays */
    int fd;
    int error;          /* with `ended` */
    uint8_t state;      /* enum stream_state */
    uint8_t depth;      /* running callbacks and handlers: not to be freed */
    bool receives : 1;  /* a receive is with the kernel */
    bool cancelled : 1; /* that one was told to end */
    bool sends : 1;     /* a send is with the kernel */
    bool connects : 1;  /* a connect is with the kernel */
    bool paused : 1;
    bool dirty : 1;             /* in the ring's flush list */
    bool later : 1;             /* in the ring's list for later */
    bool ended : 1;             /* down() is due, once what is held has been delivered */
    bool peer_ended : 1;        /* lingering: nothing more will arrive */
    bool half_closed : 1;       /* lingering: our sending half is closed */
    struct address local, peer; /* ip empty: unknown */
};

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
        free(s->target);
        free(s);
    }
}

static void enter(struct stream *s)
{
    assert(s->depth < UINT8_MAX);
    s->depth++;
}

static void leave(struct stream *s)
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
        buffer_free(&s->output);
        drop_held(s);
    }
    reap(s);
}

/* The owner is gone or about to go, and all output was sent: tells the peer so, and waits for its
 * end. */
static void linger_on(struct stream *s)
{
    assert(s->state == STREAM_LINGERING);
    if (s->sends || s->output.len > 0) {
        return;
    }
    if (!s->half_closed) {
        s->half_closed = true;
        (void)shutdown(s->fd, SHUT_WR);
    }
    if (s->peer_ended) {
        shut(s);
    }
}

static void mark_dirty(struct stream *s)
{
    if (!s->dirty) {
        s->dirty = true;
        ring_call_flush(&s->object);
    }
}

static void mark_later(struct stream *s)
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
    ring->backend->recv(ring, s->object.handle, s->fd);
}

static void cancel_receive(struct stream *s)
{
    struct ring *ring = s->object.ring;
    if (s->receives && !s->cancelled) {
        s->cancelled = true;
        ring->backend->cancel(ring, s->object.handle, RING_OP_RECV);
    }
}

static void start_lingering(struct stream *s)
{
    s->moves_to = NULL;
    s->state = STREAM_LINGERING;
    s->paused = false;
    drop_held(s);
    ring_set_timer(&s->object, clock_now() + LIMIT_LINGER);
    if (!s->receives && !s->peer_ended) {
        receive(s);
    }
    linger_on(s);
}

/* Tells the owner that it is over. Between enter and leave. */
static void end(struct stream *s, int error)
{
    if (s->state == STREAM_LINGERING) {
        shut(s);
        return;
    }
    if (s->state == STREAM_CLOSED) {
        return;
    }
    bool was_up = s->state == STREAM_UP;
    s->state = STREAM_LINGERING; /* no callback comes after this one */
    ring_set_timer(&s->object, MS_NEVER);
    s->peer_ended = true;
    s->ops->down(s->owner, error);
    if (s->state == STREAM_CLOSED) {
        return;
    }
    if (was_up && error == 0 && (s->sends || s->output.len > 0)) {
        start_lingering(s);
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

static void arrived(struct stream *s, const uint8_t *bytes, size_t len)
{
    counters(s)->receives++;
    counters(s)->receive_bytes += len;
    if (s->state != STREAM_UP) {
        return; /* lingering: nobody wants it */
    }
    if (s->paused || s->held != NULL) {
        hold(s, bytes, len);
    } else {
        s->ops->data(s->owner, bytes, len);
    }
}

/* The peer's end, or an error of the receiving side. */
static void receive_ended(struct stream *s, int error)
{
    if (s->state == STREAM_LINGERING) {
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
        end(s, error);
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
        receive_ended(s, 0);
    } else if (event->result != -ENOBUFS && event->result != -ECANCELED &&
               event->result != -EINTR && event->result != -EAGAIN) {
        receive_ended(s, -event->result);
    }
    bool wanted = (s->state == STREAM_UP && !s->paused && !s->ended && s->moves_to == NULL) ||
                  (s->state == STREAM_LINGERING && !s->peer_ended);
    if (wanted && !s->receives) {
        counters(s)->rearmed++;
        receive(s);
    }
}

static void send_rest(struct stream *s)
{
    struct ring *ring = s->object.ring;
    assert(!s->sends && s->sent < s->sending.len && s->fd >= 0);
    s->sends = true;
    ring->counters.sends++;
    ring->backend->send(ring, s->object.handle, s->fd, s->sending.data + s->sent,
                        s->sending.len - s->sent);
}

/* The memory of what was sent serves the next output of any stream: an allocation and a release
 * for each send otherwise. */
static void keep_buffer(struct stream *s)
{
    struct ring *ring = s->object.ring;
    if (s->sending.cap <= RING_SPARE_BYTES && ring->spare_count < RING_SPARES) {
        s->sending.len = 0;
        ring->spare[ring->spare_count++] = s->sending;
        s->sending = (struct buffer){0};
    } else {
        buffer_free(&s->sending);
    }
}

static void complete_send(struct stream *s, int result)
{
    s->sends = false;
    if (s->state == STREAM_CLOSED) {
        return;
    }
    if (result <= 0 && result != -EINTR && result != -EAGAIN) {
        end(s, result < 0 ? -result : EPIPE);
        return;
    }
    if (result > 0) {
        counters(s)->send_bytes += (uint64_t)result;
        s->sent += (size_t)result;
    }
    assert(s->sent <= s->sending.len);
    if (s->sent < s->sending.len) {
        send_rest(s);
        return;
    }
    keep_buffer(s);
    s->sent = 0;
    if (s->output.len > 0) {
        mark_dirty(s); /* gathered while this one was on its way */
    } else if (s->state == STREAM_LINGERING) {
        linger_on(s);
    } else if (s->ops->drained != NULL) {
        s->ops->drained(s->owner);
    } else {
        s->object.ring->silent++;
    }
}

static void read_addresses(struct stream *s, bool peer_too)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(s->fd, (struct sockaddr *)&address, &len) == 0) {
        (void)sockaddr_read(&address, &s->local);
    }
    len = sizeof address;
    if (peer_too && getpeername(s->fd, (struct sockaddr *)&address, &len) == 0) {
        (void)sockaddr_read(&address, &s->peer);
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
        end(s, -result);
        return;
    }
    if (s->state == STREAM_CONNECTING) {
        s->state = STREAM_UP;
        ring_set_timer(&s->object, MS_NEVER);
    }
    read_addresses(s, false);
    if (!s->paused) {
        receive(s);
    }
    if (s->output.len > 0) {
        mark_dirty(s);
    }
    if (s->state == STREAM_UP) {
        s->ops->up(s->owner);
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
    if (!s->paused) {
        receive(s);
    }
}

static void on_complete(struct ring_object *object, const struct ring_event *event)
{
    struct stream *s = stream_of(object);
    enter(s);
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
    leave(s);
}

static void on_expired(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    enter(s);
    if (s->state == STREAM_CONNECTING) {
        counters(s)->connect_timeouts++;
        end(s, ETIMEDOUT);
    } else {
        shut(s); /* lingered long enough */
    }
    leave(s);
}

/* A failure of stream_connect, or what was held while paused. */
static void on_later(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    s->later = false;
    enter(s);
    if (s->held != NULL && !s->paused && s->state == STREAM_UP) {
        struct buffer *held = s->held;
        s->held = NULL;
        s->ops->data(s->owner, held->data, held->len);
        buffer_free(held);
        free(held);
    }
    bool open = s->state == STREAM_UP || s->state == STREAM_CONNECTING;
    if (s->ended && open && !s->paused) {
        end(s, s->error);
    }
    leave(s);
}

static void on_flush(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    s->dirty = false;
    bool open = s->state == STREAM_UP || s->state == STREAM_LINGERING;
    if (open && !s->sends && !s->connects && s->output.len > 0) {
        assert(s->sending.data == NULL && s->sent == 0);
        s->sending = s->output;
        s->output = (struct buffer){0};
        send_rest(s);
    }
}

static void on_abandon(struct ring_object *object)
{
    struct stream *s = stream_of(object);
    bool owned = s->state == STREAM_UP || s->state == STREAM_CONNECTING;
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
        return errno;
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

struct stream *stream_connect(struct ring *ring, const struct address *to,
                              const struct address *bind_or_null, const struct stream_ops *ops,
                              void *owner)
{
    struct stream *s = stream_new(ring, ops, owner);
    socklen_t len = 0;
    s->state = STREAM_CONNECTING;
    s->peer = *to;
    ring->counters.connects++;
    s->error = prepare(s, to, bind_or_null, &len);
    if (s->error != 0) {
        ring->counters.connect_failures++;
        s->ended = true;
        mark_later(s);
        return s;
    }
    s->connects = true;
    ring_set_timer(&s->object, clock_now() + LIMIT_CONNECT);
    ring->backend->connect(ring, s->object.handle, s->fd, (struct sockaddr *)s->target, len);
    return s;
}

struct stream *stream_adopt(struct ring *ring, int fd, unsigned keepalive,
                            const struct stream_ops *ops, void *owner)
{
    struct stream *s = stream_new(ring, ops, owner);
    assert(fd >= 0);
    s->state = STREAM_UP;
    s->fd = fd;
    set_tcp_options(fd, keepalive);
    read_addresses(s, true);
    receive(s);
    return s;
}

struct buffer *stream_output(struct stream *s)
{
    struct ring *ring = s->object.ring;
    mark_dirty(s);
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
    return s->output.len + (s->sending.len - s->sent);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    cancel_receive(s);
}

void stream_resume(struct stream *s)
{
    if (!s->paused) {
        return;
    }
    s->paused = false;
    if (s->held != NULL || s->ended) {
        mark_later(s);
    }
    /* A receive that was told to end and has not: started again when it has. */
    if (s->state == STREAM_UP && !s->receives && !s->ended && s->moves_to == NULL) {
        receive(s);
    }
}

void stream_move(struct stream *s, struct ring *ring)
{
    if (s->state == STREAM_UP && !s->ended && ring != s->object.ring) {
        s->moves_to = ring;
        cancel_receive(s);
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
        enter(s);
        start_lingering(s);
        leave(s);
    } else if (s->state == STREAM_CONNECTING) {
        shut(s); /* nobody would read it */
    }
}

bool stream_local(const struct stream *s, struct address *out)
{
    *out = s->local;
    return s->local.ip[0] != '\0';
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
