/* Streams on real sockets: echo, many of them, slow readers, closing from everywhere, pausing. */
#include "io_test.h"

/* --- one end of a stream, recording --------------------------------------------------------------
 */
struct end {
    struct stream *stream; /* NULL: gone */
    unsigned ups, downs, drains, datas;
    int error;
    struct buffer got;
    size_t bytes;
    bool echo, keep_no_data;
    unsigned close_at_data; /* close in that call of data(); 0: never */
    bool close_in_up, close_in_down, close_in_drained, pause_in_data, flush_close_in_data;
    struct end *close_other; /* closed in data() */
};

static void end_close(struct end *e)
{
    if (e->stream != NULL) {
        stream_close(e->stream);
        e->stream = NULL;
    }
}

static void on_up(void *owner)
{
    struct end *e = owner;
    e->ups++;
    if (e->close_in_up) {
        end_close(e);
    }
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct end *e = owner;
    assert_non_null(e->stream); /* no callback after close */
    assert_true(len > 0);
    e->datas++;
    e->bytes += len;
    if (!e->keep_no_data) {
        buffer_append(&e->got, bytes, len);
    }
    if (e->echo) {
        stream_write(e->stream, bytes, len);
    }
    if (e->close_other != NULL) {
        end_close(e->close_other);
    }
    if (e->pause_in_data) {
        stream_pause(e->stream);
    }
    if (e->flush_close_in_data) {
        stream_close_after_flush(e->stream);
        e->stream = NULL;
    }
    if (e->datas == e->close_at_data) {
        end_close(e);
    }
}

static void on_drained(void *owner)
{
    struct end *e = owner;
    assert_non_null(e->stream);
    assert_int_equal(stream_unsent(e->stream), 0);
    e->drains++;
    if (e->close_in_drained) {
        end_close(e);
    }
}

static void on_down(void *owner, int error)
{
    struct end *e = owner;
    assert_non_null(e->stream);
    e->downs++;
    e->error = error;
    if (e->close_in_down) {
        stream_close(e->stream);
    }
    e->stream = NULL;
}

static const struct stream_ops ops = {
    .up = on_up, .data = on_data, .drained = on_drained, .down = on_down};

/* --- a server that adopts what it accepts -------------------------------------------------------
 */
#define SERVED 512
struct server {
    struct ring *ring;
    struct listener *listener;
    struct address at;
    struct end ends[SERVED];
    unsigned count;
    struct end like; /* what new ends are copies of */
};

static void on_accept(void *ctx, int fd)
{
    struct server *server = ctx;
    assert_true(server->count < SERVED);
    struct end *e = &server->ends[server->count++];
    *e = server->like;
    e->stream = stream_adopt(server->ring, fd, 60, &ops, e);
}

static struct server *server_new(struct ring *ring)
{
    char error[200];
    struct server *server = calloc(1, sizeof *server);
    server->ring = ring;
    server->at = address_of("127.0.0.1", free_port());
    server->listener =
        listener_open(ring, &server->at, 511, on_accept, server, error, sizeof error);
    if (server->listener == NULL) {
        fail_msg("%s", error);
    }
    return server;
}

static void server_free(struct server *server)
{
    for (unsigned i = 0; i < server->count; i++) {
        end_close(&server->ends[i]);
        buffer_free(&server->ends[i].got);
    }
    listener_close(server->listener);
    free(server);
}

static void connect_to(struct end *e, struct server *server)
{
    e->stream = stream_connect(server->ring, &server->at, NULL, &ops, e);
}

static struct ring_counters counted(const struct ring *ring)
{
    struct ring_counters counters;
    ring_counters(ring, &counters);
    return counters;
}

/* Everything that was asked for must be gone when all is closed. */
static void finish(struct ring *ring, struct server *server)
{
    server_free(server);
    turn_until(ring, counted(ring).objects == 0);
    ring_close(ring);
}

static void echo(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    struct end client = {0};
    struct address local, peer;
    server->like.echo = true;
    connect_to(&client, server);
    assert_int_equal(client.ups + client.downs, 0); /* never inside the call */
    assert_false(stream_local(client.stream, &local));
    stream_write(client.stream, "hello ", 6); /* before it is connected */
    buffer_append(stream_output(client.stream), "world", 5);
    assert_int_equal(stream_unsent(client.stream), 11);
    turn_until(ring, client.got.len == 11);
    assert_memory_equal(client.got.data, "hello world", 11);
    assert_int_equal(client.ups, 1);
    assert_int_equal(client.drains, 0);
    assert_int_equal(stream_unsent(client.stream), 0);
    assert_true(stream_peer(client.stream, &peer));
    assert_string_equal(peer.ip, "127.0.0.1");
    assert_int_equal(peer.port, server->at.port);
    assert_true(stream_local(client.stream, &local));
    assert_true(stream_peer(server->ends[0].stream, &peer));
    assert_string_equal(local.ip, peer.ip);
    assert_int_equal(local.port, peer.port);
    assert_ptr_equal(stream_ring(client.stream), ring);
    /* Two sends in all: one each way, whatever was appended. */
    assert_int_equal(counted(ring).sends, 2);
    stream_close(client.stream);
    turn_until(ring, server->ends[0].downs == 1);
    assert_int_equal(server->ends[0].error, 0);
    buffer_free(&client.got);
    finish(ring, server);
}

static void source_address(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    struct end client = {0};
    struct address source = address_of("127.0.0.77", 0), seen;
    client.stream = stream_connect(ring, &server->at, &source, &ops, &client);
    turn_until(ring, client.ups == 1 && server->count == 1);
    assert_true(stream_local(client.stream, &seen));
    assert_string_equal(seen.ip, "127.0.0.77");
    assert_true(stream_peer(server->ends[0].stream, &seen));
    assert_string_equal(seen.ip, "127.0.0.77");
    end_close(&client);
    finish(ring, server);
}

static void over_ipv6(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server server = {.ring = ring, .at = address_of("::1", 0)};
    struct end client = {0};
    char error[200];
    struct address seen;
    server.at.port = free_port();
    server.like.echo = true;
    server.listener = listener_open(ring, &server.at, 16, on_accept, &server, error, sizeof error);
    if (server.listener == NULL) {
        print_message("skipped, no IPv6 here: %s\n", error);
        ring_close(ring);
        return;
    }
    connect_to(&client, &server);
    stream_write(client.stream, "six", 3);
    turn_until(ring, client.got.len == 3);
    assert_true(stream_local(client.stream, &seen));
    assert_string_equal(seen.ip, "::1");
    buffer_free(&client.got);
    buffer_free(&server.ends[0].got);
    ring_close(ring); /* with everything open */
}

static void many(void **state)
{
    enum { MANY = 400, ROUNDS = 20 };
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    struct end *clients = calloc(MANY, sizeof *clients);
    server->like.echo = true;
    server->like.keep_no_data = true;
    for (int i = 0; i < MANY; i++) {
        connect_to(&clients[i], server);
    }
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < MANY; i++) {
            stream_write(clients[i].stream, &i, sizeof i);
        }
        for (int i = 0; i < MANY; i++) {
            turn_until(ring, clients[i].got.len == (size_t)round * sizeof i);
        }
    }
    for (int i = 0; i < MANY; i++) {
        for (int round = 0; round < ROUNDS; round++) {
            assert_memory_equal(clients[i].got.data + (size_t)round * sizeof i, &i, sizeof i);
        }
        end_close(&clients[i]);
        buffer_free(&clients[i].got);
    }
    free(clients);
    finish(ring, server);
}

static void refused_and_malformed(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct end refused = {0}, zero = {0}, garbage = {0}, closed = {0}, bad_source = {0};
    struct address nobody = address_of("127.0.0.1", free_port());
    struct address port_zero = address_of("127.0.0.1", 0);
    struct address no_ip = address_of("not an address", 6379);
    struct address not_ours = address_of("203.0.113.9", 0);
    refused.stream = stream_connect(ring, &nobody, NULL, &ops, &refused);
    zero.stream = stream_connect(ring, &port_zero, NULL, &ops, &zero);
    garbage.stream = stream_connect(ring, &no_ip, NULL, &ops, &garbage);
    bad_source.stream = stream_connect(ring, &nobody, &not_ours, &ops, &bad_source);
    closed.stream = stream_connect(ring, &port_zero, NULL, &ops, &closed);
    stream_write(refused.stream, "x", 1);
    end_close(&closed);
    assert_int_equal(refused.downs + zero.downs + garbage.downs + bad_source.downs, 0);
    turn_until(ring, refused.downs && zero.downs && garbage.downs && bad_source.downs);
    assert_int_equal(refused.error, ECONNREFUSED);
    assert_int_equal(zero.error, EINVAL);
    assert_int_equal(garbage.error, EINVAL);
    assert_int_equal(bad_source.error, EADDRNOTAVAIL);
    assert_int_equal(closed.downs, 0);
    assert_int_equal(counted(ring).connect_failures, 5);
    assert_int_equal(counted(ring).objects, 0);
    ring_close(ring);
}

/* A listener whose queue is full drops connection attempts, as a dead host does. */
static void connect_time_out(void **state)
{
    struct ring *ring = open_ring(NULL);
    uint16_t port = free_port();
    int listener = plain_listen(port, 0);
    int filler[4];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 4; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&to, sizeof to);
    }
    turn_for(ring, 50);
    struct end client = {0}, abandoned = {0};
    struct address at = address_of("127.0.0.1", port);
    ms_t start = clock_now();
    client.stream = stream_connect(ring, &at, NULL, &ops, &client);
    abandoned.stream = stream_connect(ring, &at, NULL, &ops, &abandoned);
    assert_true(ring_next_deadline(ring) <= clock_now() + LIMIT_CONNECT);
    turn_for(ring, 50);
    assert_int_equal(client.ups + client.downs, 0);
    end_close(&abandoned); /* while connecting */
    turn_until(ring, client.downs == 1);
    assert_int_equal(client.error, ETIMEDOUT);
    assert_int_equal(abandoned.downs, 0);
    ms_t took = clock_now() - start;
    assert_true(took >= LIMIT_CONNECT && took < LIMIT_CONNECT + 1000);
    assert_int_equal(counted(ring).connect_timeouts, 1);
    turn_until(ring, counted(ring).objects == 0);
    assert_true(ring_next_deadline(ring) == MS_NEVER);
    for (int i = 0; i < 4; i++) {
        close(filler[i]);
    }
    close(listener);
    ring_close(ring);
}

/* More output than the sockets hold, to a peer that does not read for a while. */
static void slow_reader(void **state)
{
    enum { TOTAL = 24 * 1024 * 1024, PIECE = 64 * 1024 };
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    uint8_t *piece = malloc(PIECE);
    int fd = plain_connect(server->at.port);
    turn_until(ring, server->count == 1);
    struct end *e = &server->ends[0];
    for (size_t i = 0; i < TOTAL; i += PIECE) {
        for (size_t k = 0; k < PIECE; k++) {
            piece[k] = (uint8_t)((i + k) * 2654435761u >> 16);
        }
        stream_write(e->stream, piece, PIECE);
        if (i % (16 * PIECE) == 0) { /* output gathers behind a send in flight */
            ring_flush(ring);
            ring_wait(ring, 0);
        }
    }
    turn_for(ring, 50);
    assert_true(stream_unsent(e->stream) > TOTAL / 4);
    assert_int_equal(e->drains, 0); /* of the first ones, which the sockets held, nobody is told */
    stream_pause(e->stream);
    size_t got = 0;
    while (got < TOTAL) {
        ring_flush(ring);
        ring_wait(ring, 0);
        ssize_t n = recv(fd, piece, PIECE, MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            continue;
        }
        for (ssize_t k = 0; k < n; k++) {
            if (piece[k] != (uint8_t)((got + (size_t)k) * 2654435761u >> 16)) {
                fail_msg("byte %zu is wrong", got + (size_t)k);
            }
        }
        got += (size_t)n;
    }
    turn_until(ring, e->drains == 1);
    assert_int_equal(stream_unsent(e->stream), 0);
    stream_resume(e->stream);
    close(fd);
    turn_until(ring, e->downs == 1);
    free(piece);
    finish(ring, server);
}

static void closing_in_callbacks(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    struct end in_up = {.close_in_up = true};
    struct end in_data = {.close_at_data = 1};
    struct end in_drained = {.close_in_drained = true};
    struct end in_down = {.close_in_down = true};
    struct end other = {0}, closer = {.close_other = &other};
    struct end flushing = {.flush_close_in_data = true, .echo = true};
    server->like.echo = true;
    connect_to(&in_up, server);
    turn_until(ring, in_up.ups == 1);
    connect_to(&in_data, server);
    stream_write(in_data.stream, "x", 1);
    turn_until(ring, in_data.datas == 1);
    connect_to(&in_drained, server);
    stream_pause(in_drained.stream); /* else nobody is told */
    stream_write(in_drained.stream, "x", 1);
    turn_until(ring, in_drained.drains == 1);
    connect_to(&in_down, server);
    turn_until(ring, in_down.ups == 1 && server->count == 4);
    end_close(&server->ends[3]);
    turn_until(ring, in_down.downs == 1);
    connect_to(&other, server);
    turn_until(ring, other.ups == 1);
    connect_to(&closer, server);
    stream_write(other.stream, "y", 1); /* its echo comes for a stream that is gone */
    stream_write(closer.stream, "x", 1);
    turn_until(ring, closer.datas == 1);
    turn_for(ring, 20);
    assert_true(other.datas <= 1);
    connect_to(&flushing, server);
    stream_write(flushing.stream, "x", 1);
    turn_until(ring, flushing.datas == 1);
    turn_for(ring, 20);
    assert_int_equal(in_up.downs + in_data.downs + in_drained.downs + other.downs + flushing.downs,
                     0);
    end_close(&closer);
    struct end *all[] = {&in_up, &in_data, &in_drained, &in_down, &other, &closer, &flushing};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        buffer_free(&all[i]->got);
    }
    finish(ring, server);
}

static void peer_resets(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    int fd = plain_connect(server->at.port);
    turn_until(ring, server->count == 1);
    plain_reset(fd);
    turn_until(ring, server->ends[0].downs == 1);
    assert_int_equal(server->ends[0].error, ECONNRESET);
    finish(ring, server);
}

/* A peer that says all it has to say and closes its sending half still gets its answers. */
static void half_closed_peer_is_answered(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    char answer[64];
    server->like.echo = true;
    int fd = plain_connect(server->at.port);
    assert_int_equal(write(fd, "PING\r\n", 6), 6);
    shutdown(fd, SHUT_WR);
    turn_for(ring, 50);
    assert_int_equal(read(fd, answer, sizeof answer), 6);
    assert_int_equal(read(fd, answer, sizeof answer), 0);
    assert_int_equal(server->ends[0].downs, 1);
    close(fd);
    turn_until(ring, counted(ring).objects == 1);
    finish(ring, server);
}

/* close_after_flush: the last output arrives though the peer sent what nobody read. */
static void close_after_flush(void **state)
{
    enum { LAST = 1024 * 1024 };
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    uint8_t *bytes = calloc(1, LAST);
    int fd = plain_connect(server->at.port);
    turn_until(ring, server->count == 1);
    struct end *e = &server->ends[0];
    stream_write(e->stream, bytes, LAST);
    stream_close_after_flush(e->stream);
    e->stream = NULL;
    assert_int_equal(write(fd, "more that nobody reads", 22), 22);
    turn_for(ring, 20);
    size_t got = 0;
    ssize_t n;
    do {
        ring_flush(ring);
        ring_wait(ring, 0);
        n = recv(fd, bytes, LAST, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EAGAIN));
    assert_int_equal(n, 0); /* an orderly end, no reset */
    assert_int_equal(got, LAST);
    assert_int_equal(counted(ring).objects, 2); /* it waits for our end */
    close(fd);
    turn_until(ring, counted(ring).objects == 1);
    assert_int_equal(e->downs + e->datas, 0);
    /* With nothing to send, and while connecting. */
    struct end early = {0};
    connect_to(&early, server);
    stream_close_after_flush(early.stream);
    fd = plain_connect(server->at.port);
    turn_until(ring, server->count >= 2);
    for (unsigned i = 1; i < server->count; i++) {
        if (server->ends[i].stream != NULL) {
            stream_close_after_flush(server->ends[i].stream);
            server->ends[i].stream = NULL;
        }
    }
    turn_for(ring, 20);
    assert_int_equal(read(fd, bytes, 1), 0);
    close(fd);
    free(bytes);
    turn_until(ring, counted(ring).objects == 1);
    finish(ring, server);
}

/* A peer that never closes does not keep a lingering stream for ever. */
static void lingering_ends(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    int fd = plain_connect(server->at.port);
    turn_until(ring, server->count == 1);
    stream_write(server->ends[0].stream, "bye", 3);
    ms_t start = clock_now();
    stream_close_after_flush(server->ends[0].stream);
    server->ends[0].stream = NULL;
    turn_until(ring, counted(ring).objects == 1);
    assert_true(clock_now() - start >= LIMIT_LINGER);
    close(fd);
    finish(ring, server);
}

static void pausing(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    uint8_t *bytes = malloc(100000);
    for (size_t i = 0; i < 100000; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    int fd = plain_connect(server->at.port);
    server->like.pause_in_data = true; /* one data() for each resume */
    turn_until(ring, server->count == 1);
    struct end *e = &server->ends[0];
    size_t sent = 0;
    for (int round = 0; e->got.len < 100000; round++) {
        assert_true(round < 100000);
        if (sent < 100000) {
            size_t piece = 100000 - sent < 9000 ? 100000 - sent : 9000;
            assert_int_equal(write(fd, bytes + sent, piece), piece);
            sent += piece;
        }
        unsigned before = e->datas;
        stream_resume(e->stream);
        assert_int_equal(e->datas, before); /* not inside the call */
        turn_until(ring, e->datas > before);
        assert_true(stream_paused(e->stream));
        assert_int_equal(e->datas, before + 1);
        turn_for(ring, 1);
        assert_int_equal(e->datas, before + 1);
        /* Quick changes of mind must not lose or double anything. */
        stream_resume(e->stream);
        stream_pause(e->stream);
        stream_resume(e->stream);
        stream_pause(e->stream);
    }
    assert_memory_equal(e->got.data, bytes, 100000);
    /* The end comes after what is held, and only after resume. */
    assert_int_equal(write(fd, "last", 4), 4);
    close(fd);
    turn_for(ring, 20);
    assert_int_equal(e->downs, 0);
    e->pause_in_data = false;
    stream_resume(e->stream);
    turn_until(ring, e->downs == 1);
    assert_int_equal(e->got.len, 100004);
    free(bytes);
    finish(ring, server);
}

/* The sender's bytes pile up in the kernel, not here. */
static void pause_is_back_pressure(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    uint8_t *piece = calloc(1, 65536);
    int fd = plain_connect(server->at.port);
    server->like.keep_no_data = true;
    turn_until(ring, server->count == 1);
    struct end *e = &server->ends[0];
    stream_pause(e->stream);
    turn_for(ring, 10);
    size_t sent = 0;
    for (int full = 0; full < 20;) {
        ssize_t n = send(fd, piece, 65536, MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
            assert_true(sent < (size_t)64 * 1024 * 1024);
        } else {
            full++;
            turn_for(ring, 5);
        }
    }
    assert_int_equal(e->bytes, 0);
    stream_resume(e->stream);
    turn_until(ring, e->bytes == sent);
    close(fd);
    free(piece);
    turn_until(ring, e->downs == 1);
    finish(ring, server);
}

/* A slot that is used again at once must not get what was meant for its last user. */
/* Who sends without a pause has a part of a turn, whatever he has sent already. */
static void a_flood_is_taken_in_parts(void **state)
{
    (void)state;
    static const uint8_t bytes[65536];
    struct ring *ring = open_ring(NULL);
    struct end e = {.keep_no_data = true};
    int pair[2];
    size_t sent = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    for (ssize_t n; (n = send(pair[1], bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) {
        sent += (size_t)n;
    }
    assert_true(sent > (size_t)4 * LIMIT_READ);
    e.stream = stream_adopt(ring, pair[0], 0, &ops, &e);
    size_t before = 0;
    for (ms_t until = clock_now() + PATIENCE; e.bytes < sent && clock_now() < until;) {
        ring_flush(ring);
        ring_wait(ring, 20);
        assert_true(e.bytes - before <= LIMIT_READ);
        before = e.bytes;
    }
    assert_int_equal(e.bytes, sent);
    end_close(&e);
    close(pair[1]);
    ring_close(ring);
}

static void late_completions(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    int old[50];
    for (int i = 0; i < 50; i++) {
        old[i] = plain_connect(server->at.port);
    }
    turn_until(ring, server->count == 50);
    /* All have data on its way, not yet taken from the kernel, when they are closed. */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(write(old[i], "old", 3), 3);
    }
    for (int i = 0; i < 50; i++) {
        end_close(&server->ends[i]);
    }
    struct end fresh[50] = {0};
    for (int i = 0; i < 50; i++) {
        connect_to(&fresh[i], server); /* these take the slots */
    }
    server->like.echo = true;
    for (int i = 0; i < 50; i++) {
        stream_write(fresh[i].stream, "new", 3);
    }
    for (int i = 0; i < 50; i++) {
        turn_until(ring, fresh[i].got.len == 3);
        assert_memory_equal(fresh[i].got.data, "new", 3);
    }
    assert_true(counted(ring).late > 0);
    for (int i = 0; i < 50; i++) {
        close(old[i]);
        end_close(&fresh[i]);
        buffer_free(&fresh[i].got);
    }
    finish(ring, server);
}

static void nothing_leaks(void **state)
{
    unsigned before = open_descriptors();
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    for (int round = 0; round < 10; round++) {
        struct end clients[20] = {0};
        for (int i = 0; i < 20; i++) {
            connect_to(&clients[i], server);
            stream_write(clients[i].stream, "x", 1);
            if (i % 3 == 0) { /* at every stage of its life */
                end_close(&clients[i]);
            }
        }
        turn_for(ring, round);
        for (int i = 0; i < 20; i++) {
            end_close(&clients[i]);
            buffer_free(&clients[i].got);
        }
        turn_until(ring, counted(ring).objects <= 1 + server->count);
    }
    finish(ring, server);
    assert_int_equal(open_descriptors(), before);
}

/* ring_close with everything in flight: no callback, no leak (ASan looks), no descriptor. */
static void abandoned_count(void *owner)
{
    ++*(unsigned *)owner;
}
static void never_down(void *owner, int error)
{
    fail();
}
static void never_data(void *owner, const uint8_t *bytes, size_t len)
{
    fail();
}
static void never_up(void *owner) {}

static void ring_closes_over_open_streams(void **state)
{
    static const struct stream_ops silent = {
        .up = never_up, .data = never_data, .down = never_down, .abandoned = abandoned_count};
    unsigned before = open_descriptors(), abandoned = 0;
    struct ring *ring = open_ring(NULL);
    struct server *server = server_new(ring);
    int fd = plain_connect(server->at.port);
    turn_until(ring, server->count == 1);
    uint8_t *much = calloc(1, 8 << 20);
    stream_write(server->ends[0].stream, much, 8 << 20); /* a send in flight that cannot end */
    free(much);
    ring_flush(ring);
    for (int i = 0; i < 10; i++) {
        stream_connect(ring, &server->at, NULL, &silent, &abandoned);
    }
    struct address nowhere = address_of("127.0.0.1", 0);
    stream_connect(ring, &nowhere, NULL, &silent, &abandoned);
    ring_close(ring);
    assert_int_equal(abandoned, 11);
    close(fd);
    free(server);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo),
        cmocka_unit_test(source_address),
        cmocka_unit_test(over_ipv6),
        cmocka_unit_test(many),
        cmocka_unit_test(refused_and_malformed),
        cmocka_unit_test(connect_time_out),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(closing_in_callbacks),
        cmocka_unit_test(peer_resets),
        cmocka_unit_test(half_closed_peer_is_answered),
        cmocka_unit_test(close_after_flush),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(pausing),
        cmocka_unit_test(pause_is_back_pressure),
        cmocka_unit_test(a_flood_is_taken_in_parts),
        cmocka_unit_test(late_completions),
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(ring_closes_over_open_streams),
    };
    return run_on_both(tests) + run_on_direct(tests);
}
