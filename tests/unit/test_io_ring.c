/* Rings: waiting, waking, watches, and the paths that a calm day never takes: full queues, no
 * buffers, signals, floods. */
#include "io_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>

static struct ring_counters counted(const struct ring *ring)
{
    struct ring_counters counters;
    ring_counters(ring, &counters);
    return counters;
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void waits_as_long_as_told(void **state)
{
    struct ring *ring = open_ring(NULL);
    int64_t start = now_us();
    assert_int_equal(ring_wait(ring, 50), 0);
    int64_t took = now_us() - start;
    assert_true(took >= 49000 && took < 1000000);
    start = now_us();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ring_wait_ns(ring, 300000), 0);
    }
    took = now_us() - start;
    assert_true(took >= 20 * 290 && took < 1000000);
    start = now_us();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ring_wait(ring, 0), 0);
        assert_int_equal(ring_wait(ring, -5), 0);
        assert_int_equal(ring_gather(ring), 0);
    }
    assert_true(now_us() - start < 1000000);
    assert_true(ring_next_deadline(ring) == MS_NEVER);
    print_message("%s\n", ring_backend(ring));
    assert_int_equal(strncmp(ring_backend(ring), ring_chosen(), strlen(ring_chosen())), 0);
    ring_close(ring);
    ring_close(NULL);
}

/* --- watches ------------------------------------------------------------------------------------
 */
struct watcher {
    struct ring_watch *watch;
    unsigned called, woken, woken_at_call;
    bool unwatch;
};

static void on_watch(void *ctx)
{
    struct watcher *w = ctx;
    w->called++;
    w->woken_at_call = w->woken;
    if (w->unwatch) {
        ring_unwatch(w->watch);
        w->watch = NULL;
    }
}

static void on_woken(void *ctx)
{
    ((struct watcher *)ctx)->woken++;
}

static void *write_later(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000000}, NULL);
    assert_int_equal(eventfd_write(*(int *)arg, 1), 0);
    return NULL;
}

static void watches(void **state)
{
    struct watcher w = {0};
    struct ring_options options = {.woken = on_woken, .woken_ctx = &w};
    struct ring *ring = open_ring(&options);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w.watch = ring_watch(ring, fd, on_watch, &w);
    ring_wait(ring, 0);
    assert_int_equal(w.called, 0);
    assert_int_equal(w.woken, 1); /* told even when nothing had happened */
    for (unsigned round = 1; round <= 5; round++) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_later, &fd);
        unsigned woken = w.woken;
        int64_t start = now_us();
        assert_true(ring_wait(ring, MS_NEVER) > 0);
        assert_true(now_us() - start < 5000000);
        pthread_join(thread, NULL);
        assert_int_equal(w.called, round);
        assert_int_equal(w.woken, woken + 1);
        assert_int_equal(w.woken_at_call, w.woken); /* the clock is read before the callback */
        eventfd_t value;
        assert_int_equal(eventfd_read(fd, &value), -1); /* it was read */
    }
    /* Written many times between two turns: not called as many times as written. */
    for (int i = 0; i < 100; i++) {
        eventfd_write(fd, 1);
    }
    unsigned before = w.called;
    ring_gather(ring);
    assert_true(w.called > before && w.called < before + 100);
    /* Unwatched in the callback, and with news on its way. */
    w.unwatch = true;
    before = w.called;
    eventfd_write(fd, 1);
    ring_gather(ring);
    assert_int_equal(w.called, before + 1);
    assert_null(w.watch);
    eventfd_write(fd, 1);
    ring_gather(ring);
    assert_int_equal(w.called, before + 1);
    w.watch = ring_watch(ring, fd, on_watch, &w);
    eventfd_write(fd, 1);
    ring_unwatch(w.watch);
    close(fd);
    ring_wait(ring, 10);
    assert_int_equal(w.called, before + 1);
    assert_int_equal(counted(ring).objects, 0);
    ring_close(ring);
}

static void on_alarm(int signal) {}

static void signals_end_the_wait(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    int64_t start = now_us();
    assert_int_equal(ring_wait(ring, 5000), 0);
    assert_true(now_us() - start < 4000000);
    assert_int_equal(counted(ring).interrupted, 1);
    sigaction(SIGALRM, &old, NULL);
    ring_close(ring);
}

/* --- a crowd of echoing streams on one small ring ------------------------------------------------
 */
#define CROWD 150

struct member {
    struct crowd *crowd;
    struct stream *stream;
    size_t got;
    uint8_t next; /* value of the byte to come */
    bool wrong;
};

struct crowd {
    struct ring *ring;
    struct member clients[CROWD], served[CROWD];
    unsigned ups, accepted, downs;
    struct listener *listener;
};

static void client_up(void *owner)
{
    ((struct member *)owner)->crowd->ups++;
}

static void client_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct member *m = owner;
    for (size_t i = 0; i < len; i++) {
        m->wrong = m->wrong || bytes[i] != m->next++;
    }
    m->got += len;
}

static void server_data(void *owner, const uint8_t *bytes, size_t len)
{
    stream_write(((struct member *)owner)->stream, bytes, len);
}

static void member_down(void *owner, int error)
{
    struct member *m = owner;
    m->crowd->downs++;
    m->stream = NULL;
}

static const struct stream_ops client_ops = {
    .up = client_up, .data = client_data, .down = member_down};
static const struct stream_ops server_ops = {.data = server_data, .down = member_down};

static void crowd_accept(void *ctx, int fd)
{
    struct crowd *crowd = ctx;
    assert_true(crowd->accepted < CROWD);
    struct member *m = &crowd->served[crowd->accepted++];
    m->crowd = crowd;
    m->stream = stream_adopt(crowd->ring, fd, 0, &server_ops, m);
}

static struct crowd *crowd_new(const struct ring_options *options)
{
    char error[200];
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct address at = address_of("127.0.0.1", free_port());
    crowd->ring = open_ring(options);
    crowd->listener =
        listener_open(crowd->ring, &at, CROWD, crowd_accept, crowd, error, sizeof error);
    assert_non_null(crowd->listener);
    for (int i = 0; i < CROWD; i++) {
        crowd->clients[i].crowd = crowd;
        crowd->clients[i].stream =
            stream_connect(crowd->ring, &at, NULL, &client_ops, &crowd->clients[i]);
    }
    turn_until(crowd->ring, crowd->ups == CROWD && crowd->accepted == CROWD);
    return crowd;
}

static bool crowd_has(const struct crowd *crowd, size_t bytes)
{
    for (int i = 0; i < CROWD; i++) {
        if (crowd->clients[i].got < bytes) {
            return false;
        }
    }
    return true;
}

/* Everybody sends `bytes` bytes, `rounds` times; all must come back, in order. Once a crowd. */
static void crowd_echo(struct crowd *crowd, size_t bytes, size_t rounds)
{
    uint8_t *pattern = malloc(bytes + 256);
    for (size_t i = 0; i < bytes + 256; i++) {
        pattern[i] = (uint8_t)i;
    }
    for (size_t round = 0; round < rounds; round++) {
        for (int i = 0; i < CROWD; i++) {
            stream_write(crowd->clients[i].stream, pattern + (round * bytes) % 256, bytes);
        }
        turn_until(crowd->ring, crowd_has(crowd, (round + 1) * bytes));
    }
    for (int i = 0; i < CROWD; i++) {
        assert_false(crowd->clients[i].wrong);
        assert_int_equal(crowd->clients[i].got, rounds * bytes);
    }
    assert_int_equal(crowd->downs, 0);
    free(pattern);
}

static struct ring_counters crowd_free(struct crowd *crowd)
{
    struct ring_counters counters = counted(crowd->ring);
    ring_close(crowd->ring);
    free(crowd);
    return counters;
}

/* More than one receive takes, and many small ones. */
static void a_crowd_echoes(void **state)
{
    struct crowd *crowd = crowd_new(NULL);
    crowd_echo(crowd, 100000, 3);
    crowd_free(crowd);
    struct ring_options options = {.buffers = 4, .buffers_first = 1, .buffer_size = 128};
    crowd = crowd_new(&options);
    crowd_echo(crowd, 2000, 10);
    crowd_free(crowd);
}

static void submissions_do_not_fit(void **state)
{
    for (int plain = 0; plain <= 1; plain++) {
        struct ring_options options = {.submissions = 8, .plain = plain};
        struct crowd *crowd = crowd_new(&options);
        crowd_echo(crowd, 300, 10);
        struct ring_counters counters = crowd_free(crowd);
        assert_true(counters.sq_full > 0);
    }
}

static void completions_do_not_fit(void **state)
{
    for (int plain = 0; plain <= 1; plain++) {
        struct ring_options options = {.submissions = 8, .completions = 16, .plain = plain};
        struct crowd *crowd = crowd_new(&options);
        crowd_echo(crowd, 2000, 20);
        struct ring_counters counters = crowd_free(crowd);
        assert_true(counters.cq_overflows > 0);
        assert_true(counters.rearmed > 0);
    }
}

static void buffers_run_out(void **state)
{
    for (int plain = 0; plain <= 1; plain++) {
        struct ring_options options = {
            .buffers = 4, .buffers_first = 1, .buffer_size = 128, .plain = plain};
        struct crowd *crowd = crowd_new(&options);
        crowd_echo(crowd, 2000, 10);
        struct ring_counters counters = crowd_free(crowd);
        assert_true(counters.no_buffers > 0);
        assert_int_equal(counters.buffers, 4);
    }
}

static void buffers_grow(void **state)
{
    struct crowd *crowd = crowd_new(NULL);
    assert_int_equal(counted(crowd->ring).buffers, LIMIT_BUFFERS_FIRST);
    crowd_echo(crowd, 5000, 10);
    struct ring_counters counters = crowd_free(crowd);
    assert_true(counters.buffers >= LIMIT_BUFFERS_FIRST && counters.buffers <= LIMIT_BUFFERS);
    struct ring_options options = {.buffers_first = 2, .plain = true};
    crowd = crowd_new(&options);
    crowd_echo(crowd, 5000, 10);
    counters = crowd_free(crowd);
    assert_true(counters.buffers > 2);
}

static void send_more(struct member *m, size_t bytes)
{
    uint8_t *more = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        more[i] = (uint8_t)(m->next + i);
    }
    stream_write(m->stream, more, bytes);
    free(more);
}

/* What a burst took goes when the need is over, and the next burst gets it again. */
static void buffers_go_again(void **state)
{
    for (int plain = 0; plain <= 1; plain++) {
        struct ring_options options = {
            .buffers = 64, .buffers_first = 2, .buffer_size = 128, .plain = plain};
        struct crowd *crowd = crowd_new(&options);
        struct member *one = &crowd->clients[0];
        crowd_echo(crowd, 2000, 2);
        assert_int_equal(counted(crowd->ring).buffers, 64);
        for (int i = 0; i < 5000 && counted(crowd->ring).buffers > 4; i++) {
            size_t got = one->got;
            send_more(one, 1);
            turn_until(crowd->ring, one->got == got + 1);
        }
        assert_in_range(counted(crowd->ring).buffers, 2, 4);
        for (int i = 0; i < CROWD; i++) {
            crowd->clients[i].got = 0;
            send_more(&crowd->clients[i], 2000);
        }
        turn_until(crowd->ring, crowd_has(crowd, 2000));
        for (int i = 0; i < CROWD; i++) {
            assert_false(crowd->clients[i].wrong);
        }
        assert_int_equal(crowd->downs, 0);
        assert_int_equal(crowd_free(crowd).buffers, 64);
    }
}

/* What arrives between two gathers is one turn's, and a gather takes all of it. */
static void gathers_all(void **state)
{
    struct crowd *crowd = crowd_new(NULL);
    turn_for(crowd->ring, 20);
    for (int i = 0; i < CROWD; i++) {
        stream_write(crowd->clients[i].stream, "\0\1\2", 3);
    }
    ring_flush(crowd->ring); /* loopback: it has arrived when this returns */
    uint64_t enters = counted(crowd->ring).enters;
    int done = ring_gather(crowd->ring); /* the sends and the receives */
    assert_int_equal(done, 2 * CROWD);
    assert_true(counted(crowd->ring).enters - enters <= 2 * CROWD / 16 + 2);
    ring_flush(crowd->ring); /* the echoes */
    assert_int_equal(ring_gather(crowd->ring), 2 * CROWD);
    assert_true(crowd_has(crowd, 3));
    assert_int_equal(ring_gather(crowd->ring), 0);
    crowd_free(crowd);
}

/* However often a turn writes to a stream, it is one send. */
static void one_send_a_turn(void **state)
{
    struct crowd *crowd = crowd_new(NULL);
    uint64_t before = counted(crowd->ring).sends;
    for (int k = 0; k < 50; k++) {
        uint8_t byte = (uint8_t)k;
        stream_write(crowd->clients[0].stream, &byte, 1);
    }
    ring_flush(crowd->ring);
    ring_flush(crowd->ring);
    assert_int_equal(counted(crowd->ring).sends, before + 1);
    turn_until(crowd->ring, crowd->clients[0].got == 50);
    assert_int_equal(counted(crowd->ring).sends, before + 2);
    assert_false(crowd->clients[0].wrong);
    crowd_free(crowd);
}

/* A send that goes through is nobody's news: it does not end the wait. */
static void sends_do_not_wake(void **state)
{
    struct crowd crowd = {0};
    struct member m = {.crowd = &crowd};
    struct address at = address_of("127.0.0.1", free_port());
    int listener = plain_listen(at.port, 8);
    struct ring *ring = open_ring(NULL);
    m.stream = stream_connect(ring, &at, NULL, &client_ops, &m);
    turn_until(ring, crowd.ups == 1);
    for (int i = 0; i < 5; i++) {
        stream_write(m.stream, "x", 1);
        ring_flush(ring);
        int64_t start = now_us();
        ring_wait(ring, 20);
        assert_true(now_us() - start >= 19000);
    }
    assert_int_equal(counted(ring).send_bytes, 5);
    close(listener);
    ring_close(ring);
}

/* --- floods, and what must not spin --------------------------------------------------------------
 */
struct pipe_end {
    struct stream *stream;
    int other; /* the far end */
    size_t got;
    unsigned ups, downs;
    bool feed;                       /* whatever arrives is followed by as much */
    struct pipe_end *closes, *opens; /* when something arrives, or the end */
    struct member *connects;
    const struct address *connects_to;
};

static void pipe_open(struct ring *ring, struct pipe_end *end);

static void pipe_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct pipe_end *end = owner;
    end->got += len;
    if (end->feed) {
        assert_int_equal(write(end->other, bytes, len), (ssize_t)len);
    }
    if (end->closes != NULL) {
        struct ring *ring = stream_ring(end->stream);
        stream_close(end->closes->stream);
        ring_flush(ring);
        pipe_open(ring, end->opens);
    }
}

static void pipe_down(void *owner, int error)
{
    struct pipe_end *end = owner;
    struct ring *ring = stream_ring(end->stream);
    end->stream = NULL;
    end->downs++;
    if (end->connects != NULL) {
        stream_close(end->closes->stream);
        ring_flush(ring);
        end->connects->stream =
            stream_connect(ring, end->connects_to, NULL, &client_ops, end->connects);
    }
}

static void pipe_up(void *owner)
{
    ((struct pipe_end *)owner)->ups++;
}

static const struct stream_ops pipe_ops = {.up = pipe_up, .data = pipe_data, .down = pipe_down};

static void pipe_open(struct ring *ring, struct pipe_end *end)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *end = (struct pipe_end){.other = fds[1]};
    end->stream = stream_adopt(ring, fds[0], 0, &pipe_ops, end);
}

/* The same, but we are who connects: a link. */
static void pipe_connect(struct ring *ring, struct pipe_end *end)
{
    const struct address at = address_of("127.0.0.1", free_port());
    int listening = plain_listen(at.port, 1);
    *end = (struct pipe_end){.other = -1};
    end->stream = stream_connect(ring, &at, NULL, &pipe_ops, end);
    ring_flush(ring);
    end->other = accept(listening, NULL, NULL);
    assert_true(end->other >= 0);
    close(listening);
    turn_until(ring, end->ups == 1);
}

/* One who is never silent does not keep the turn from ending, nor the others from being heard. */
static void floods_end_the_turn(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct pipe_end flood, quiet;
    char much[100000] = "";
    pipe_open(ring, &flood);
    flood.feed = true;
    assert_int_equal(write(flood.other, much, sizeof much), sizeof much);
    pipe_open(ring, &quiet);
    ring_wait(ring, 0);
    size_t before = flood.got;
    for (unsigned turn = 1; turn <= 3; turn++) {
        assert_int_equal(write(quiet.other, "!", 1), 1);
        ring_gather(ring); /* comes back */
        ring_wait(ring, 1000);
        assert_int_equal(quiet.got, turn);
    }
    assert_true(flood.got > before);
    close(flood.other);
    close(quiet.other);
    ring_close(ring);
}

/* A gather takes all that has arrived: of one link more than a buffer, and the end behind it. */
static void gathers_to_the_end(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct pipe_end large, brief;
    char much[40000] = ""; /* less than a receiver has room for at first */
    pipe_connect(ring, &large);
    pipe_open(ring, &brief);
    ring_wait(ring, 0);
    assert_int_equal(write(large.other, much, sizeof much), sizeof much);
    assert_int_equal(write(brief.other, "bye", 3), 3);
    close(brief.other);
    ring_gather(ring);
    assert_int_equal(large.got, sizeof much);
    assert_int_equal(brief.got, 3);
    assert_int_equal(brief.downs, 1);
    assert_int_equal(write(large.other, much, 5000), 5000);
    assert_int_equal(shutdown(large.other, SHUT_WR), 0);
    ring_gather(ring);
    assert_int_equal(large.got, sizeof much + 5000);
    assert_int_equal(large.downs, 1);
    close(large.other);
    ring_close(ring);
}

/* A turn that sends is one system call, which waits for what comes next, not for what it sent. */
static void sends_and_waits_at_once(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct pipe_end ends[20];
    char bytes[16];
    for (size_t i = 0; i < 20; i++) {
        pipe_open(ring, &ends[i]);
    }
    ring_wait(ring, 0);
    for (size_t sending = 1; sending <= 20; sending += 19) {
        for (size_t i = 0; i < sending; i++) {
            stream_write(ends[i].stream, "hello", 5);
        }
        uint64_t enters = counted(ring).enters;
        int64_t start = now_us();
        ring_prepare(ring);
        (void)ring_wait(ring, 50);
        assert_true(now_us() - start >= 49000);
        assert_int_equal(counted(ring).enters - enters, 1);
        for (size_t i = 0; i < sending; i++) {
            assert_int_equal(read(ends[i].other, bytes, sizeof bytes), 5);
            stream_write(ends[i].stream, "again", 5);
        }
        /* What arrives meanwhile ends it. */
        assert_int_equal(write(ends[0].other, "x", 1), 1);
        start = now_us();
        ring_prepare(ring);
        size_t had = ends[0].got;
        assert_int_equal(ring_wait(ring, 5000), sending + 1);
        assert_int_equal(ends[0].got, had + 1);
        assert_true(now_us() - start < 4000000);
        for (size_t i = 0; i < sending; i++) {
            assert_int_equal(read(ends[i].other, bytes, sizeof bytes), 5);
        }
    }
    for (size_t i = 0; i < 20; i++) {
        stream_close(ends[i].stream);
        close(ends[i].other);
    }
    ring_close(ring);
}

/* Nothing happens for this long but what the ring cannot help seeing. */
static void stays_asleep(struct ring *ring)
{
    uint64_t enters = counted(ring).enters;
    ms_t until = clock_now() + 100;
    while (clock_now() < until) {
        ring_wait(ring, until - clock_now());
    }
    if (counted(ring).enters - enters > 5) {
        fail_msg("%llu system calls while nothing happens",
                 (unsigned long long)(counted(ring).enters - enters));
    }
}

static void ends_do_not_spin(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct pipe_end paused, closed;
    struct crowd crowd = {0};
    struct member m = {.crowd = &crowd};
    struct address at = address_of("127.0.0.1", free_port());
    int listener = plain_listen(at.port, 8);
    m.stream = stream_connect(ring, &at, NULL, &client_ops, &m);
    turn_until(ring, crowd.ups == 1);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(peer >= 0);
    /* Paused, and the peer writes, and resets. */
    stream_pause(m.stream);
    turn_for(ring, 10);
    assert_int_equal(write(peer, "news", 4), 4);
    stays_asleep(ring);
    plain_reset(peer);
    stays_asleep(ring);
    assert_int_equal(crowd.downs, 0);
    stream_resume(m.stream);
    turn_until(ring, crowd.downs == 1);
    /* Paused, and the peer is gone entirely, with words of ours on their way. */
    pipe_open(ring, &paused);
    stream_pause(paused.stream);
    ring_wait(ring, 0);
    close(paused.other);
    turn_for(ring, 10);
    stays_asleep(ring);
    stream_resume(paused.stream);
    turn_until(ring, paused.downs == 1);
    /* A peer that closed its sending half only, and is slow to read what he gets. */
    pipe_open(ring, &closed);
    char *much = calloc(1, 4 << 20);
    stream_write(closed.stream, much, 4 << 20);
    ring_flush(ring);
    assert_int_equal(shutdown(closed.other, SHUT_WR), 0);
    turn_until(ring, closed.downs == 1);
    stays_asleep(ring);
    for (size_t got = 0; got < 4 << 20;) {
        ssize_t len = recv(closed.other, much, 4 << 20, MSG_DONTWAIT);
        got += len > 0 ? (size_t)len : 0;
        assert_true(len > 0 || (len < 0 && errno == EAGAIN));
        ring_wait(ring, 5);
    }
    turn_until(ring, recv(closed.other, much, 1, MSG_DONTWAIT) == 0);
    stays_asleep(ring);
    free(much);
    close(closed.other);
    close(listener);
    turn_until(ring, counted(ring).objects == 0);
    ring_close(ring);
}

/* A stream closed by the callback of another while its news is already in hand, and the number of
 * its descriptor in use again at once. */
static void news_of_the_closed_is_dropped(void **state)
{
    struct ring *ring = open_ring(NULL);
    for (int round = 0; round < 10; round++) {
        struct pipe_end one, two, next = {0};
        pipe_open(ring, &one);
        pipe_open(ring, &two);
        ring_wait(ring, 0);
        one.closes = &two;
        two.closes = &one;
        one.opens = two.opens = &next;
        assert_int_equal(write(one.other, "x", 1), 1);
        assert_int_equal(write(two.other, "y", 1), 1);
        turn_until(ring, next.stream != NULL);
        turn_for(ring, 5);
        assert_int_equal(one.got + two.got, 1);
        assert_int_equal(next.got, 0);
        assert_int_equal(write(next.other, "zz", 2), 2);
        turn_until(ring, next.got == 2);
        stream_close(one.got > 0 ? one.stream : two.stream);
        stream_close(next.stream);
        close(one.other);
        close(two.other);
        close(next.other);
        turn_until(ring, counted(ring).objects == 0);
        assert_int_equal(one.downs + two.downs + next.downs, 0);
    }
    ring_close(ring);
}

/* The end of a stream that is closed meanwhile, in the hand of a turn, says nothing about the
 * connection attempt that has its slot now. */
static void news_of_the_closed_connects_nobody(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct crowd crowd = {0};
    struct member m = {.crowd = &crowd};
    struct address at = address_of("127.0.0.1", free_port());
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(at.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = plain_listen(at.port, 0), filler[4];
    for (int i = 0; i < 4; i++) { /* a full queue: later attempts hang */
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(filler[i], (struct sockaddr *)&to, sizeof to);
    }
    turn_for(ring, 20);
    struct pipe_end ends[2];
    pipe_open(ring, &ends[0]);
    pipe_open(ring, &ends[1]);
    ring_wait(ring, 0);
    for (int i = 0; i < 2; i++) { /* whichever is told first closes the other, and connects */
        ends[i].closes = &ends[1 - i];
        ends[i].connects = &m;
        ends[i].connects_to = &at;
        close(ends[i].other);
    }
    turn_until(ring, ends[0].downs + ends[1].downs == 1);
    assert_non_null(m.stream);
    turn_for(ring, 50);
    assert_int_equal(crowd.ups + crowd.downs, 0);
    for (int i = 0; i < 4; i++) {
        close(filler[i]);
    }
    close(listener);
    ring_close(ring);
}

/* A connection that somebody else holds open, as a child does between fork and exec, is forgotten
 * when it is closed here. */
static void closed_here_is_forgotten(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct pipe_end end;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int held = dup(fds[0]);
    end = (struct pipe_end){.other = fds[1]};
    end.stream = stream_adopt(ring, fds[0], 0, &pipe_ops, &end);
    turn_for(ring, 5);
    stream_close(end.stream);
    turn_until(ring, counted(ring).objects == 0);
    assert_int_equal(write(end.other, "news", 4), 4);
    stays_asleep(ring);
    close(end.other);
    stays_asleep(ring);
    assert_int_equal(end.got + end.downs, 0);
    close(held);
    ring_close(ring);
}

int main(void)
{
    const struct CMUnitTest both[] = {
        cmocka_unit_test(waits_as_long_as_told),
        cmocka_unit_test(watches),
        cmocka_unit_test(signals_end_the_wait),
        cmocka_unit_test(a_crowd_echoes),
        cmocka_unit_test(gathers_all),
        cmocka_unit_test(sends_and_waits_at_once),
        cmocka_unit_test(one_send_a_turn),
        cmocka_unit_test(sends_do_not_wake),
        cmocka_unit_test(gathers_to_the_end),
        cmocka_unit_test(floods_end_the_turn),
        cmocka_unit_test(ends_do_not_spin),
        cmocka_unit_test(news_of_the_closed_is_dropped),
        cmocka_unit_test(news_of_the_closed_connects_nobody),
        cmocka_unit_test(closed_here_is_forgotten),
    };
    const struct CMUnitTest uring[] = {
        cmocka_unit_test(submissions_do_not_fit), cmocka_unit_test(completions_do_not_fit),
        cmocka_unit_test(buffers_run_out),        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(buffers_go_again),
    };
    int failed = run_on_both(both);
    if (uring_here()) {
        failed += cmocka_run_group_tests_name("io_uring alone", uring, choose_uring, NULL);
    }
    return failed;
}
