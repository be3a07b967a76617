/* TLS under streams, on real sockets: the handshake's turns, ends of all kinds, hostile peers. */
#include "io/ring_port.h"
#include "tls_test.h"

#include <signal.h>
#include <sys/socket.h>
#include <time.h>

static struct pki pki;
static struct tls *ours;

/* --- one end of a stream, recording --------------------------------------------------------------
 */
struct end {
    struct stream *stream; /* NULL: gone */
    unsigned ups, downs, drains;
    int error;
    struct buffer got;
    char why[160];
    bool echo, close_in_data, pause_in_data, flush_close_in_data, close_in_up;
};

static void end_close(struct end *e)
{
    if (e->stream != NULL) {
        stream_close(e->stream);
        e->stream = NULL;
    }
    buffer_free(&e->got);
}

static void on_up(void *owner)
{
    struct end *e = owner;
    e->ups++;
    if (e->close_in_up) {
        stream_close(e->stream);
        e->stream = NULL;
    }
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct end *e = owner;
    assert_non_null(e->stream);
    buffer_append(&e->got, bytes, len);
    if (e->echo) {
        stream_write(e->stream, bytes, len);
    }
    if (e->pause_in_data) {
        stream_pause(e->stream);
    }
    if (e->flush_close_in_data) {
        stream_close_after_flush(e->stream);
        e->stream = NULL;
    } else if (e->close_in_data) {
        stream_close(e->stream);
        e->stream = NULL;
    }
}

static void on_drained(void *owner)
{
    struct end *e = owner;
    assert_int_equal(stream_unsent(e->stream), 0);
    e->drains++;
}

static void on_down(void *owner, int error)
{
    struct end *e = owner;
    assert_non_null(e->stream);
    const char *why = stream_why(e->stream);
    snprintf(e->why, sizeof e->why, "%s", why != NULL ? why : "");
    e->downs++;
    e->error = error;
    e->stream = NULL;
}

static const struct stream_ops ops = {
    .up = on_up, .data = on_data, .drained = on_drained, .down = on_down};

/* --- the other side: OpenSSL on a socket, or the bare socket ------------------------------------
 */
struct raw {
    struct ring *ring; /* turned while something is waited for */
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

/* e is the stream's end of a connection whose other end is r. */
static void raw_new(struct raw *r, struct ring *ring, struct end *e)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *r = (struct raw){.ring = ring, .fd = pair[0]};
    r->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate_chain_file(r->ctx, pki.other_cert);
    SSL_CTX_use_PrivateKey_file(r->ctx, pki.other_key, SSL_FILETYPE_PEM);
    assert_int_equal(fcntl(r->fd, F_SETFL, O_NONBLOCK), 0);
    e->stream = stream_adopt_tls(ring, pair[1], 0, ours, &ops, e);
}

static void raw_free(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    if (r->fd >= 0) {
        close(r->fd);
    }
    ERR_clear_error();
}

static void raw_turn(struct raw *r)
{
    ring_flush(r->ring);
    ring_wait(r->ring, 5);
}

/* Whether to try again. */
static bool raw_again(struct raw *r, int rc, ms_t until)
{
    int error = SSL_get_error(r->ssl, rc);
    raw_turn(r);
    assert_true(clock_now() < until);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool raw_shake(struct raw *r, int most)
{
    ms_t until = clock_now() + PATIENCE;
    int rc;
    r->ssl = SSL_new(r->ctx);
    SSL_set_max_proto_version(r->ssl, most);
    SSL_set_fd(r->ssl, r->fd);
    while ((rc = SSL_connect(r->ssl)) != 1) {
        if (!raw_again(r, rc, until)) {
            return false;
        }
    }
    return true;
}

/* Reads `len` bytes, or until the end; returns how many. */
static size_t raw_read(struct raw *r, char *out, size_t len)
{
    ms_t until = clock_now() + PATIENCE;
    size_t have = 0;
    while (have < len) {
        int rc = SSL_read(r->ssl, out + have, (int)(len - have));
        if (rc > 0) {
            have += (size_t)rc;
        } else if (!raw_again(r, rc, until)) {
            break;
        }
    }
    return have;
}

static void raw_write(struct raw *r, const char *text)
{
    ms_t until = clock_now() + PATIENCE;
    int rc;
    while ((rc = SSL_write(r->ssl, text, (int)strlen(text))) <= 0) {
        assert_true(raw_again(r, rc, until));
    }
}

/* --- the tests ----------------------------------------------------------------------------------
 */
static void echo_of_every_size(void **ctx)
{
    (void)ctx;
    static const int most[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct ring *ring = open_ring(NULL);
        struct end e = {.echo = true};
        struct raw r;
        char back[20000];
        raw_new(&r, ring, &e);
        stream_write(e.stream, "early ", 6); /* before the handshake: waits for it */
        assert_true(raw_shake(&r, most[i]));
        assert_int_equal(raw_read(&r, back, 6), 6);
        assert_memory_equal(back, "early ", 6);
        assert_int_equal(e.ups, 0); /* adopted */
        for (size_t len = 1; len < sizeof back; len = 3 * len + 1) {
            char *text = malloc(len + 1);
            memset(text, (int)('a' + len % 26), len);
            text[len] = '\0';
            raw_write(&r, text);
            assert_int_equal(raw_read(&r, back, len), len);
            assert_memory_equal(back, text, len);
            free(text);
        }
        assert_int_equal(e.drains, 0);
        stream_pause(e.stream); /* who waits for room is told of it */
        stream_write(e.stream, "late", 4);
        turn_until(ring, e.drains == 1);
        assert_int_equal(raw_read(&r, back, 4), 4);
        stream_resume(e.stream);
        assert_int_equal(ring->counters.handshakes, 1);
        assert_int_equal(ring->shaking, 0);
        end_close(&e);
        raw_free(&r);
        ring_close(ring);
    }
}

/* Two streams, over a listener; the ring is both's. */
struct meeting {
    struct ring *ring;
    struct end server, client;
};

static void on_accept(void *ctx, int fd)
{
    struct meeting *m = ctx;
    m->server.stream = stream_adopt_tls(m->ring, fd, 0, ours, &ops, &m->server);
}

static void streams_meet(void **ctx)
{
    (void)ctx;
    char error[200];
    struct address at = address_of("127.0.0.1", free_port());
    struct meeting m = {.ring = open_ring(NULL)};
    struct listener *l = listener_open(m.ring, &at, 8, on_accept, &m, error, sizeof error);
    assert_non_null(l);
    m.server.echo = true;
    m.client.stream = stream_connect_tls(m.ring, &at, NULL, ours, &ops, &m.client);
    stream_write(m.client.stream, "hello", 5);
    assert_true(stream_is_tls(m.client.stream));
    turn_until(m.ring, m.client.got.len == 5);
    assert_int_equal(m.client.ups, 1);
    assert_memory_equal(m.client.got.data, "hello", 5);

    /* To another ring and on. */
    struct ring *other = open_ring(NULL);
    struct ring *there = m.ring;
    stream_move(m.server.stream, other);
    stream_write(m.client.stream, " moving", 7);
    ms_t until = clock_now() + PATIENCE;
    while (m.client.got.len < 12 || stream_ring(m.server.stream) != other) {
        ring_flush(there);
        ring_wait(there, 2);
        ring_flush(other);
        ring_wait(other, 2);
        assert_true(clock_now() < until);
    }
    assert_memory_equal(m.client.got.data, "hello moving", 12);

    /* The end of one is the end of the other, with everything before it. */
    stream_write(m.client.stream, " last", 5);
    stream_close_after_flush(m.client.stream);
    m.client.stream = NULL;
    m.server.echo = false;
    while (m.server.downs == 0) {
        ring_flush(there);
        ring_wait(there, 2);
        ring_flush(other);
        ring_wait(other, 2);
        assert_true(clock_now() < until);
    }
    assert_int_equal(m.server.error, 0);
    assert_int_equal(m.server.got.len, 17);
    assert_memory_equal(m.server.got.data + 12, " last", 5);
    end_close(&m.server);
    end_close(&m.client);
    listener_close(l);
    ring_close(other);
    ring_close(there);
}

static void pausing_and_resuming(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end e = {.pause_in_data = true};
    struct raw r;
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    raw_write(&r, "one"); /* three records that arrive together */
    raw_write(&r, "two");
    raw_write(&r, "three");
    turn_until(ring, e.got.len > 0);
    turn_for(ring, 30);
    assert_int_equal(e.got.len, 3); /* the rest is held */
    e.pause_in_data = false;
    stream_resume(e.stream);
    turn_until(ring, e.got.len == 11);
    assert_memory_equal(e.got.data, "onetwothree", 11);
    /* Paused before the handshake: it goes on, data waits. */
    struct end late = {0};
    struct raw s;
    raw_new(&s, ring, &late);
    stream_pause(late.stream);
    assert_true(raw_shake(&s, TLS1_3_VERSION));
    raw_write(&s, "waits");
    turn_for(ring, 30);
    assert_int_equal(late.got.len, 0);
    stream_resume(late.stream);
    turn_until(ring, late.got.len == 5);
    end_close(&late);
    end_close(&e);
    raw_free(&s);
    raw_free(&r);
    ring_close(ring);
}

static void ends_of_all_kinds(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    char back[64];
    /* Ours: the last output, then the notice, then the end. */
    struct end e = {.echo = true, .flush_close_in_data = true};
    struct raw r;
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    raw_write(&r, "bye");
    assert_int_equal(raw_read(&r, back, sizeof back), 3);
    assert_int_equal(SSL_get_shutdown(r.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    raw_free(&r);
    end_close(&e);

    /* Theirs: the notice, while they still read. What they asked is answered. */
    e = (struct end){.echo = true};
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    raw_write(&r, "last");
    assert_int_equal(SSL_shutdown(r.ssl), 0);
    turn_until(ring, e.downs == 1);
    assert_int_equal(e.error, 0);
    assert_int_equal(raw_read(&r, back, sizeof back), 4);
    raw_free(&r);
    end_close(&e);

    /* Theirs, without a notice. */
    e = (struct end){0};
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_2_VERSION));
    raw_write(&r, "cut");
    close(r.fd);
    r.fd = -1;
    turn_until(ring, e.downs == 1);
    assert_int_equal(e.error, 0);
    assert_int_equal(e.got.len, 3);
    raw_free(&r);
    end_close(&e);

    /* In the middle of data(). */
    e = (struct end){.close_in_data = true};
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    raw_write(&r, "one");
    raw_write(&r, "two");
    turn_until(ring, e.stream == NULL);
    assert_int_equal(e.got.len, 3);
    assert_int_equal(e.downs, 0);
    raw_free(&r);
    end_close(&e);

    turn_until(ring, ring->counters.objects == 0);
    ring_close(ring);
}

static void handshakes_that_fail(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    char back[64];
    /* Another language. */
    struct end e = {0};
    struct raw r;
    raw_new(&r, ring, &e);
    assert_int_equal(write(r.fd, "PING\r\n", 6), 6);
    turn_until(ring, e.downs == 1);
    assert_int_equal(e.error, EPROTO);
    assert_int_equal(strncmp(e.why, "error:", 6), 0);
    turn_until(ring, read(r.fd, back, sizeof back) >= 0 || errno != EAGAIN);
    raw_free(&r);
    /* No certificate: the client is told, and what it sends behind reaches nobody. */
    e = (struct end){0};
    raw_new(&r, ring, &e);
    SSL_CTX_free(r.ctx);
    r.ctx = SSL_CTX_new(TLS_client_method());
    assert_false(raw_shake(&r, TLS1_2_VERSION));
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    turn_until(ring, e.downs == 1);
    assert_string_equal(e.why, "error:0A0000C7:SSL routines::peer did not return a certificate");
    /* It counts until it is closed: refusals without end do not use up the descriptors. */
    assert_true(ring->shaking == 1 || ring->counters.objects == 0);
    assert_int_equal(e.got.len, 0);
    raw_free(&r);
    /* Gone half-way. */
    e = (struct end){0};
    raw_new(&r, ring, &e);
    assert_int_equal(write(r.fd, "\x16\x03\x01", 3), 3);
    turn_for(ring, 20);
    close(r.fd);
    r.fd = -1;
    turn_until(ring, e.downs == 1);
    assert_int_equal(e.error, ECONNRESET);
    raw_free(&r);
    /* Closed by the owner while it is under way. */
    e = (struct end){0};
    raw_new(&r, ring, &e);
    assert_int_equal(write(r.fd, "\x16\x03\x01", 3), 3);
    turn_for(ring, 20);
    assert_int_equal(ring->shaking, 1);
    stream_close_after_flush(e.stream);
    assert_int_equal(ring->shaking, 0);
    raw_free(&r);

    assert_int_equal(ring->counters.handshake_failures, 3);
    turn_until(ring, ring->counters.objects == 0);
    ring_close(ring);
}

static void too_slow_and_too_many(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end slow = {0}, extra = {0};
    struct raw r, s;
    ms_t begun = clock_now();
    raw_new(&r, ring, &slow);
    /* One byte now and then does not buy more time. */
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for (size_t i = 0; i < sizeof hello - 1; i++) {
        assert_int_equal(write(r.fd, hello + i, 1), 1);
        turn_for(ring, 100);
    }
    turn_until(ring, slow.downs == 1);
    assert_int_equal(slow.error, ETIMEDOUT);
    assert_true(clock_now() - begun >= LIMIT_TLS_HANDSHAKE - 1000);
    raw_free(&r);

    ring->shaking = LIMIT_TLS_PENDING;
    raw_new(&s, ring, &extra);
    assert_int_equal(extra.downs, 0); /* never in the call */
    turn_until(ring, extra.downs == 1);
    assert_int_equal(extra.error, ECONNREFUSED);
    assert_int_equal(ring->counters.handshakes_refused, 1);
    assert_int_equal(ring->shaking, LIMIT_TLS_PENDING);
    raw_free(&s);
    ring->shaking = 0;
    turn_until(ring, ring->counters.objects == 0);
    ring_close(ring);
}

static void one_byte_at_a_time(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end e = {.echo = true};
    struct raw r;
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    /* The record goes through a memory BIO and leaves byte by byte. */
    BIO *held = BIO_new(BIO_s_mem());
    char *bytes, back[16];
    BIO_up_ref(SSL_get_wbio(r.ssl));
    BIO *wire = SSL_get_wbio(r.ssl);
    SSL_set0_wbio(r.ssl, held);
    assert_int_equal(SSL_write(r.ssl, "fragment", 8), 8);
    long len = BIO_get_mem_data(held, &bytes);
    for (long i = 0; i < len; i++) {
        assert_int_equal(e.got.len, 0);
        assert_int_equal(write(r.fd, bytes + i, 1), 1);
        turn_for(ring, 1);
    }
    SSL_set0_wbio(r.ssl, wire);
    turn_until(ring, e.got.len == 8);
    assert_int_equal(raw_read(&r, back, 8), 8);
    end_close(&e);
    raw_free(&r);
    ring_close(ring);
}

static void renegotiation_is_refused(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end e = {.echo = true};
    struct raw r;
    char back[8];
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_2_VERSION));
    assert_int_equal(SSL_renegotiate(r.ssl), 1);
    (void)SSL_do_handshake(r.ssl);
    turn_for(ring, 50);
    /* The refusal ends it, or is a warning that OpenSSL's client takes for an end. */
    (void)SSL_do_handshake(r.ssl);
    assert_int_equal(ring->counters.handshakes, 1);
    assert_true(SSL_read(r.ssl, back, sizeof back) <= 0);
    end_close(&e);
    raw_free(&r);
    ring_close(ring);
}

static void new_keys_on_demand(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end e = {.echo = true};
    struct raw r;
    char back[8];
    raw_new(&r, ring, &e);
    assert_true(raw_shake(&r, TLS1_3_VERSION));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        raw_write(&r, "ping");
        assert_int_equal(raw_read(&r, back, 4), 4);
    }
    /* Without end, and without reading the answers: memory stays bounded. */
    e.echo = false;
    unsigned updates = 0;
    for (ms_t until = clock_now() + 1500; clock_now() < until && e.downs == 0;) {
        int rc = SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED);
        rc = SSL_do_handshake(r.ssl) == 1 ? rc : 0;
        updates += rc == 1;
        if (rc != 1 || updates % 100 == 0) {
            ring_flush(ring);
            ring_wait(ring, 0);
        }
        if (e.stream != NULL) {
            assert_true(stream_unsent(e.stream) < 4 * LIMIT_TLS_CONTROL);
        }
    }
    assert_true(updates > 1000);
    print_message("    %u key updates, %s\n", updates, e.downs == 1 ? "then closed" : "bounded");
    end_close(&e);
    raw_free(&r);
    ring_close(ring);
}

/* --- the budget ---------------------------------------------------------------------------------
 */
static int64_t ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Two hundred say hello at once: a turn does its share, in the order in which they came. */
static void handshakes_take_turns(void **ctx)
{
    (void)ctx;
    enum { CROWD = 200 };
    struct ring *ring = open_ring(NULL);
    struct end *ends = calloc(CROWD, sizeof *ends);
    struct raw *raws = calloc(CROWD, sizeof *raws);
    for (int i = 0; i < CROWD; i++) {
        raw_new(&raws[i], ring, &ends[i]);
        raws[i].ssl = SSL_new(raws[i].ctx);
        SSL_set_fd(raws[i].ssl, raws[i].fd);
        (void)SSL_connect(raws[i].ssl); /* the hello is on its way */
    }
    /* All hellos are in the stream's hands before the first turn of work is over. */
    int served = 0, turns = 0, before = 0;
    int64_t longest = 0;
    ms_t until = clock_now() + PATIENCE;
    while (served < CROWD) {
        int64_t begun = ns();
        ring_gather(ring);
        ring_flush(ring);
        int64_t took = ns() - begun;
        longest = took > longest ? took : longest;
        bool gap = false;
        served = 0;
        for (int i = 0; i < CROWD; i++) {
            char byte;
            bool answered = recv(raws[i].fd, &byte, 1, MSG_PEEK) == 1;
            served += answered;
            gap |= !answered;
            assert_false(gap && answered); /* nobody overtakes */
        }
        turns += served > before;
        before = served;
        assert_true(clock_now() < until);
    }
    /* 200 certificates signed take more than one share; one step more than a share is done. */
    assert_true(turns > 2);
    print_message("    %d handshakes in %d turns, longest turn %.1f ms\n", CROWD, turns,
                  (double)longest / 1e6);
    for (int i = 0; i < CROWD; i++) {
        end_close(&ends[i]);
        raw_free(&raws[i]);
    }
    free(ends);
    free(raws);
    ring_close(ring);
}

static void a_ring_closes_over_handshakes(void **ctx)
{
    (void)ctx;
    struct ring *ring = open_ring(NULL);
    struct end e[3] = {{0}};
    struct raw r[3];
    for (int i = 0; i < 3; i++) {
        raw_new(&r[i], ring, &e[i]);
    }
    assert_true(raw_shake(&r[0], TLS1_3_VERSION));  /* one stands */
    assert_int_equal(write(r[1].fd, "\x16", 1), 1); /* one waits for its turn */
    ring_close(ring);
    for (int i = 0; i < 3; i++) {
        raw_free(&r[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_of_every_size),
        cmocka_unit_test(streams_meet),
        cmocka_unit_test(pausing_and_resuming),
        cmocka_unit_test(ends_of_all_kinds),
        cmocka_unit_test(handshakes_that_fail),
        cmocka_unit_test(too_slow_and_too_many),
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(new_keys_on_demand),
        cmocka_unit_test(handshakes_take_turns),
        cmocka_unit_test(a_ring_closes_over_handshakes),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL's writes on sockets the stream has closed */
    pki_new(&pki);
    struct tls_settings set = settings_of(&pki);
    ours = must_new(&set);
    int failed = run_on_both(tests);
    tls_free(ours);
    pki_remove(&pki);
    return failed;
}
