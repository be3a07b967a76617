/* One worker process: an epoll loop over its listening socket, its connections and the parent. */
#include "fleet.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_TURN  64 /* then replies leave: a real server answers without a long batch */
#define ACCEPTS_PER_TURN 256
#define OUTPUT_MAX       (32 * 1024 * 1024) /* unsent bytes; more: closed, as Redis does */
#define BUFFER_KEEP      512                /* capacity that stays with an idle connection */

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (buffer->length + length > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 256;
        while (capacity < buffer->length + length)
            capacity *= 2;
        buffer->data = realloc(buffer->data, capacity);
        if (!buffer->data)
            abort();
        buffer->capacity = capacity;
    }
    if (length)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

static void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->capacity > BUFFER_KEEP) {
        free(buffer->data);
        *buffer = (struct buffer){0};
    }
}

static int mode_of(const struct worker *worker, uint32_t instance)
{
    return atomic_load_explicit(&worker->shared->instances[instance].mode, memory_order_relaxed);
}

void connection_write(struct worker *worker, struct connection *connection, const void *data,
                      size_t length)
{
    if (connection->fd < 0)
        return;
    buffer_append(&connection->output, data, length);
    if (!connection->dirty) {
        connection->dirty = true;
        connection->next_dirty = worker->dirty;
        worker->dirty = connection;
    }
}

void connection_close(struct worker *worker, struct connection *connection, bool reset)
{
    if (connection->fd < 0)
        return;
    if (reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        atomic_fetch_add_explicit(&worker->counters->reset, 1, memory_order_relaxed);
    }
    close(connection->fd);
    connection->fd = -1;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->instances[connection->instance].connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    connection->next_dead = worker->dead;
    worker->dead = connection;
    atomic_fetch_sub_explicit(&worker->counters->connections, 1, memory_order_relaxed);
}

static void bury(struct worker *worker)
{
    while (worker->dead) {
        struct connection *connection = worker->dead;
        worker->dead = connection->next_dead;
        while (connection->subscriptions) {
            struct subscription *next = connection->subscriptions->next;
            free(connection->subscriptions);
            connection->subscriptions = next;
        }
        free(connection->input.data);
        free(connection->output.data);
        free(connection->queued.data);
        free(connection);
    }
}

/* What the loop wants to know of a connection now. */
static void watch(struct worker *worker, struct connection *connection, int operation)
{
    struct epoll_event event = {.data.ptr = connection};
    if (mode_of(worker, connection->instance) != MODE_HUNG)
        event.events = EPOLLIN | (connection->awaits_write ? EPOLLOUT : 0U);
    if (epoll_ctl(worker->epoll, operation, connection->fd, &event) != 0) {
        perror("fleet: epoll_ctl");
        abort();
    }
}

static void flush(struct worker *worker, struct connection *connection)
{
    struct buffer *output = &connection->output;
    while (connection->sent < output->length) {
        ssize_t sent = send(connection->fd, output->data + connection->sent,
                            output->length - connection->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            connection_close(worker, connection, false);
            return;
        }
        if (sent < 0)
            break;
        connection->sent += (size_t)sent;
    }
    bool waits = connection->sent < output->length;
    if (!waits) {
        buffer_clear(output);
        connection->sent = 0;
    }
    if (output->length - connection->sent > OUTPUT_MAX ||
        (connection->close_after_reply && !waits)) {
        connection_close(worker, connection, false);
        return;
    }
    if (waits != connection->awaits_write) {
        connection->awaits_write = waits;
        watch(worker, connection, EPOLL_CTL_MOD);
    }
}

static void flush_all(struct worker *worker)
{
    while (worker->dirty) {
        struct connection *connection = worker->dirty;
        worker->dirty = connection->next_dirty;
        connection->dirty = false;
        if (connection->fd >= 0)
            flush(worker, connection);
    }
}

/* Executes the whole requests in data; returns the bytes used. */
static size_t execute(struct worker *worker, struct connection *connection, const char *data,
                      size_t length)
{
    size_t at = 0, used = 0;
    struct request request;
    while (connection->fd >= 0 && !connection->close_after_reply) {
        enum parse_result result = request_parse(data + at, length - at, &request, &used);
        if (result == PARSE_MORE)
            return at;
        if (result == PARSE_ERROR) {
            static const char text[] = "-ERR Protocol error: too big or malformed request\r\n";
            connection_write(worker, connection, text, sizeof text - 1);
            connection->close_after_reply = true;
            return length;
        }
        if (request.count > 0)
            command_execute(worker, connection, &request, (struct slice){data + at, used});
        at += used;
    }
    return length;
}

static void receive(struct worker *worker, struct connection *connection)
{
    static char data[FLEET_REQUEST_MAX];
    ssize_t got = recv(connection->fd, data, sizeof data, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        connection_close(worker, connection, false);
        return;
    }
    struct buffer *input = &connection->input;
    if (input->length == 0) {
        size_t used = execute(worker, connection, data, (size_t)got);
        if (connection->fd >= 0)
            buffer_append(input, data + used, (size_t)got - used);
        return;
    }
    buffer_append(input, data, (size_t)got);
    size_t used = execute(worker, connection, input->data, input->length);
    if (connection->fd < 0)
        return;
    memmove(input->data, input->data + used, input->length - used);
    input->length -= used;
    if (input->length == 0)
        buffer_clear(input);
}

/* Refuses a connection that is no instance's, or a dead one's: it is reset at once. One socket
 * listens for many instances, so the kernel cannot refuse for the dead ones alone. */
static void refuse(struct worker *worker, int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    atomic_fetch_add_explicit(&worker->counters->reset, 1, memory_order_relaxed);
}

static void adopt(struct worker *worker, int fd, const struct sockaddr_in *peer)
{
    struct sockaddr_in local = {0};
    socklen_t size = sizeof local;
    int32_t index = -1;
    if (ntohl(peer->sin_addr.s_addr) >> 24 == 127 &&
        getsockname(fd, (struct sockaddr *)&local, &size) == 0)
        index = fleet_find(worker->options, local.sin_addr.s_addr, ntohs(local.sin_port));
    if (index < 0 || mode_of(worker, (uint32_t)index) == MODE_KILLED) {
        refuse(worker, fd);
        return;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        abort();
    connection->fd = fd;
    connection->instance = (uint32_t)index;
    connection->id = ++worker->next_id;
    struct instance *instance = &worker->instances[index];
    connection->next = instance->connections;
    if (connection->next)
        connection->next->previous = connection;
    instance->connections = connection;
    atomic_fetch_add_explicit(&worker->counters->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->counters->accepted, 1, memory_order_relaxed);
    watch(worker, connection, EPOLL_CTL_ADD);
}

static void accept_all(struct worker *worker)
{
    for (int k = 0; k < ACCEPTS_PER_TURN; k++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(worker->listener, (struct sockaddr *)&peer, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(worker, fd, &peer);
        } else if ((errno == EMFILE || errno == ENFILE) && worker->reserve >= 0) {
            if (atomic_fetch_add(&worker->counters->accept_failures, 1) == 0)
                fprintf(stderr, "fleet: worker %u has no file left; use more --workers\n",
                        worker->number);
            close(worker->reserve);
            fd = accept4(worker->listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                refuse(worker, fd);
            worker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void change_mode(struct worker *worker, uint32_t index, enum instance_mode mode)
{
    int before = mode_of(worker, index);
    instance_set_mode(worker, index, mode);
    if (before != MODE_HUNG && mode != MODE_HUNG)
        return;
    for (struct connection *one = worker->instances[index].connections; one; one = one->next)
        watch(worker, one, EPOLL_CTL_MOD);
}

/* The parent changed wanted modes: applies those of this worker and acknowledges. False when the
 * parent is gone. */
static bool obey(struct worker *worker)
{
    char bytes[64];
    ssize_t got = recv(worker->control, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    uint32_t size = fleet_group_size(worker->options);
    for (uint32_t group = worker->number; group < worker->options->masters;
         group += worker->options->workers) {
        for (uint32_t index = group * size; index < (group + 1) * size; index++) {
            int wanted = atomic_load(&worker->shared->instances[index].wanted);
            if (wanted != mode_of(worker, index))
                change_mode(worker, index, (enum instance_mode)wanted);
        }
    }
    return send(worker->control, bytes, (size_t)got, MSG_NOSIGNAL) == got;
}

static void serve(struct worker *worker, struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        connection_close(worker, connection, false);
        return;
    }
    if (events & EPOLLOUT)
        flush(worker, connection);
    if (connection->fd >= 0 && events & EPOLLIN)
        receive(worker, connection);
}

static void worker_setup(struct worker *worker)
{
    worker->now = fleet_now();
    uint32_t size = fleet_group_size(worker->options);
    for (uint32_t group = worker->number; group < worker->options->masters;
         group += worker->options->workers)
        for (uint32_t index = group * size; index < (group + 1) * size; index++)
            instance_setup(worker, index);
    worker->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &worker->listener};
    epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->listener, &event);
    event.data.ptr = &worker->control;
    epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->control, &event);
}

int worker_run(struct worker *worker)
{
    worker_setup(worker);
    for (;;) {
        struct epoll_event events[EVENTS_PER_TURN];
        int count = epoll_wait(worker->epoll, events, EVENTS_PER_TURN, -1);
        if (count < 0 && errno != EINTR)
            return 1;
        worker->now = fleet_now();
        for (int k = 0; k < count; k++) {
            if (events[k].data.ptr == &worker->listener)
                accept_all(worker);
            else if (events[k].data.ptr != &worker->control)
                serve(worker, events[k].data.ptr, events[k].events);
            else if (!obey(worker))
                return 0;
        }
        flush_all(worker);
        bury(worker);
    }
}
