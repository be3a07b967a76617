#include "io/listener.h"

#include "io/clock.h"
#include "io/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct listener {
    struct ring_object object; /* first */
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
    int fd;
    int spare;      /* given up for a moment to turn a connection away; -1: none */
    bool accepting; /* an accept is with the kernel */
    bool closed, inside;
    const char *refusal; /* NULL: nothing is said */
    struct address at;
};

static int failed(const struct address *at, const char *what, int fd, char *error, size_t error_len)
{
    int saved = errno;
    snprintf(error, error_len, "%s %s:%u: %s", what, at->ip, at->port, strerror(saved));
    if (fd >= 0) {
        close(fd);
    }
    errno = saved;
    return -1;
}

/* A listening socket, with SO_REUSEPORT or without; -1 with errno and a sentence. */
static int listen_at(const struct address *at, bool shared, int backlog, char *error,
                     size_t error_len)
{
    struct sockaddr_storage address;
    socklen_t len;
    int one = 1;
    if (!sockaddr_make(at, &address, &len)) {
        errno = EINVAL;
        return failed(at, "not an address:", -1, error, error_len);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed(at, "socket for", -1, error, error_len);
    }
    /* Connections of an earlier process in TIME_WAIT do not count as "in use". */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
        (address.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)) {
        return failed(at, "setsockopt for", fd, error, error_len);
    }
    if (bind(fd, (struct sockaddr *)&address, len) != 0) {
        return failed(at, "bind", fd, error, error_len);
    }
    if (listen(fd, backlog) != 0) {
        return failed(at, "listen", fd, error, error_len);
    }
    return fd;
}

static void take_spare(struct listener *l)
{
    if (l->spare < 0) {
        l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static void start(struct listener *l)
{
    assert(!l->accepting);
    l->accepting = true;
    l->object.ring->backend->accept(l->object.ring, l->object.handle, l->fd);
}

/* No descriptor is left: without this the connection at the head of the queue would neither be
 * served nor refused, and its client would wait for its own time-out. */
static void turn_one_away(struct listener *l)
{
    struct pollfd waiting = {.fd = l->fd, .events = POLLIN};
    if (l->spare < 0 || poll(&waiting, 1, 0) != 1) {
        return;
    }
    close(l->spare);
    l->spare = -1;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        if (l->refusal != NULL) {
            (void)!send(fd, l->refusal, strlen(l->refusal), MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        close(fd);
        l->object.ring->counters.refused++;
    }
    take_spare(l);
}

/* Whether to wait a while before accepting again. */
static bool accept_failed(struct listener *l, int error)
{
    l->object.ring->counters.accept_failures++;
    switch (error) {
    case EMFILE:
    case ENFILE:
        turn_one_away(l);
        return true;
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case ECANCELED:
        return false;
    default: /* out of memory, or nothing known: do not spin */
        return true;
    }
}

static void on_complete(struct ring_object *object, const struct ring_event *event)
{
    struct listener *l = (struct listener *)object;
    struct ring *ring = object->ring;
    bool wait = false;
    assert(event->op == RING_OP_ACCEPT);
    if (!event->more) {
        l->accepting = false;
    }
    if (event->result >= 0) {
        ring->counters.accepts++;
        l->inside = true;
        l->on_accept(l->ctx, event->result);
        l->inside = false;
        if (l->closed) {
            free(l);
            return;
        }
    } else {
        wait = accept_failed(l, -event->result);
    }
    if (!l->accepting) {
        ring->counters.rearmed++;
        if (wait) {
            ring_set_timer(&l->object, clock_now() + LIMIT_ACCEPT_PAUSE);
        } else {
            start(l);
        }
    }
}

static void on_expired(struct ring_object *object)
{
    struct listener *l = (struct listener *)object;
    take_spare(l);
    start(l);
}

static void on_abandon(struct ring_object *object)
{
    listener_close((struct listener *)object);
}

static const struct ring_object_ops object_ops = {
    .complete = on_complete,
    .expired = on_expired,
    .abandon = on_abandon,
};

struct listener *listener_adopt(struct ring *ring, int fd, void (*on_accept)(void *ctx, int fd),
                                void *ctx)
{
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        abort();
    }
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->fd = fd;
    l->spare = -1;
    take_spare(l);
    ring_register(ring, &l->object, &object_ops);
    start(l);
    return l;
}

struct listener *listener_open(struct ring *ring, const struct address *at, int backlog,
                               void (*on_accept)(void *ctx, int fd), void *ctx, char *error,
                               size_t error_len)
{
    int fd = listen_at(at, true, backlog, error, error_len);
    if (fd < 0) {
        return NULL;
    }
    struct listener *l = listener_adopt(ring, fd, on_accept, ctx);
    l->at = *at;
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        (void)sockaddr_read(&address, &l->at);
    }
    return l;
}

/* What of making it failed; NULL: nothing did. */
static const char *make_unix(int fd, const char *path, unsigned mode, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat old;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return "bind";
    }
    memcpy(address.sun_path, path, strlen(path));
    if (lstat(path, &old) == 0 && S_ISSOCK(old.st_mode)) {
        (void)unlink(path); /* of a process that was killed */
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        return "bind";
    }
    if (mode != 0 && chmod(path, mode) != 0) {
        return "chmod";
    }
    return listen(fd, backlog) == 0 ? NULL : "listen";
}

int listener_unix(const char *path, unsigned mode, int backlog, char *error, size_t error_len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *what = fd >= 0 ? make_unix(fd, path, mode, backlog) : "creating socket";
    if (what == NULL) {
        return fd;
    }
    int saved = errno;
    (void)snprintf(error, error_len, "%s: %s", what, strerror(saved));
    if (fd >= 0) {
        close(fd);
    }
    errno = saved;
    return -1;
}

void listener_set_refusal(struct listener *l, const char *text)
{
    l->refusal = text;
}

void listener_close(struct listener *l)
{
    struct ring *ring = l->object.ring;
    assert(!l->closed);
    if (l->accepting) {
        ring->backend->cancel(ring, l->object.handle, RING_OP_ACCEPT);
    }
    ring->backend->close(ring, l->fd);
    if (l->spare >= 0) {
        close(l->spare);
    }
    ring_unregister(&l->object);
    l->closed = true;
    if (!l->inside) {
        free(l);
    }
}

void listener_address(const struct listener *l, struct address *out)
{
    *out = l->at;
}

bool listener_steer(struct listener *l, uint32_t place)
{
    /* The filter's result is a place among the sockets that share the address, in the order of
     * their listen(); for one that does not exist the kernel goes by its hash. */
    struct sock_filter answer = BPF_STMT(BPF_RET | BPF_K, place);
    struct sock_fprog filter = {.len = 1, .filter = &answer};
    return setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) == 0;
}

bool listener_prove_free(const struct address *at, char *error, size_t error_len)
{
    int fd = listen_at(at, false, 1, error, error_len);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}
