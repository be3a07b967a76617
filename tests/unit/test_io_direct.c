/* Direct descriptors: more streams than RLIMIT_NOFILE, places that are used again at once, full
 * tables, hosts that hang. The other side is a process of its own, with descriptors of its own. */
#include "io_test.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* --- the other side: sends back whatever it gets -------------------------------------------------
 */
struct echoer {
    pid_t pid;
    struct address at;
};

static void echo_for_ever(int listener)
{
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        char bytes[4096];
        if (epoll_wait(poller, &event, 1, -1) != 1) {
            continue;
        }
        if (event.data.fd == listener) {
            event.data.fd = accept(listener, NULL, NULL);
            if (event.data.fd >= 0) {
                epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
            }
            continue;
        }
        ssize_t got = recv(event.data.fd, bytes, sizeof bytes, 0);
        if (got <= 0 || send(event.data.fd, bytes, (size_t)got, MSG_NOSIGNAL) != got) {
            close(event.data.fd);
        }
    }
}

static struct echoer echoer_start(void)
{
    struct echoer echoer = {.at = address_of("127.0.0.1", free_port())};
    int listener = plain_listen(echoer.at.port, 4096);
    echoer.pid = fork();
    assert_true(echoer.pid >= 0);
    if (echoer.pid == 0) {
        struct rlimit limit;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        echo_for_ever(listener);
    }
    close(listener);
    return echoer;
}

static void echoer_stop(const struct echoer *echoer)
{
    kill(echoer->pid, SIGKILL);
    assert_int_equal(waitpid(echoer->pid, NULL, 0), echoer->pid);
}

/* --- this side ----------------------------------------------------------------------------------
 */
struct end {
    struct stream *stream; /* NULL: gone */
    uint64_t id;           /* what it says; never said by another */
    uint64_t bytes;        /* that came back */
    bool up;
    int error;
};

static void on_up(void *owner)
{
    struct end *e = owner;
    struct address local;
    e->up = true;
    assert_true(stream_local(e->stream, &local));
    assert_string_equal(local.ip, "127.0.0.1");
    assert_int_not_equal(local.port, 0);
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct end *e = owner;
    assert_non_null(e->stream);
    for (size_t i = 0; i < len; i++, e->bytes++) {
        assert_int_equal(bytes[i], ((const uint8_t *)&e->id)[e->bytes % sizeof e->id]);
    }
}

static void on_down(void *owner, int error)
{
    struct end *e = owner;
    e->stream = NULL;
    e->error = error;
}

static const struct stream_ops ops = {.up = on_up, .data = on_data, .down = on_down};

static void say(struct end *e)
{
    stream_write(e->stream, &e->id, sizeof e->id);
}

static void begin(struct end *e, struct ring *ring, const struct address *to)
{
    static uint64_t ids;
    *e = (struct end){.id = ++ids * 0x9e3779b97f4a7c15u};
    e->stream = stream_connect(ring, to, NULL, &ops, e);
}

static void end_close(struct end *e)
{
    if (e->stream != NULL) {
        stream_close(e->stream);
        e->stream = NULL;
    }
}

static struct ring *open_direct(unsigned places, struct ring_budget *budget)
{
    struct ring_options options = {.direct = places, .budget = budget};
    return open_ring(&options);
}

static struct ring_counters counted(const struct ring *ring)
{
    struct ring_counters counters;
    ring_counters(ring, &counters);
    return counters;
}

static void limit_files(rlim_t most, struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    struct rlimit limit = {.rlim_cur = most, .rlim_max = before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* --- tests --------------------------------------------------------------------------------------
 */
#define RINGS  4
#define EACH   250
#define ROUNDS 5

static void more_than_descriptors(void **state)
{
    struct echoer echoer = echoer_start();
    struct rlimit before;
    limit_files(256, &before);
    struct ring *rings[RINGS];
    struct end(*ends)[EACH] = calloc(RINGS, sizeof *ends);
    for (unsigned r = 0; r < RINGS; r++) {
        rings[r] = open_direct(EACH, NULL);
        assert_int_equal(counted(rings[r]).direct_most, EACH);
    }
    unsigned files = open_descriptors();
    for (unsigned r = 0; r < RINGS; r++) {
        for (unsigned i = 0; i < EACH; i++) {
            begin(&ends[r][i], rings[r], &echoer.at);
        }
    }
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (unsigned r = 0; r < RINGS; r++) {
            for (unsigned i = 0; i < EACH; i++) {
                say(&ends[r][i]);
            }
            ring_flush(rings[r]);
        }
        for (unsigned r = 0; r < RINGS; r++) {
            for (unsigned i = 0; i < EACH; i++) {
                turn_until(rings[r], ends[r][i].bytes == round * sizeof ends[r][i].id);
            }
        }
    }
    assert_int_equal(open_descriptors(), files);
    for (unsigned r = 0; r < RINGS; r++) {
        assert_int_equal(counted(rings[r]).direct, EACH);
        assert_int_equal(counted(rings[r]).direct_full, 0);
        ring_close(rings[r]);
    }
    free(ends);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    echoer_stop(&echoer);
}

#define CROWD  64
#define STORMS 600

/* Places change hands while requests of the former holders are under way: nobody ever hears what
 * was meant for another, or is closed in his stead. */
static void places_change_hands(void **state)
{
    struct echoer echoer = echoer_start();
    struct ring *ring = open_direct(CROWD, NULL);
    struct end ends[CROWD] = {0};
    unsigned seed = 1;
    for (unsigned storm = 0; storm < STORMS; storm++) {
        for (unsigned i = 0; i < CROWD; i++) {
            switch (rand_r(&seed) % 4) {
            case 0: /* whatever is under way: a connect, a send, echoes */
                end_close(&ends[i]);
                break;
            case 1:
                end_close(&ends[i]);
                begin(&ends[i], ring, &echoer.at);
                break;
            default:
                if (ends[i].stream != NULL) {
                    say(&ends[i]);
                }
            }
        }
        ring_flush(ring);
        if (storm % 3 == 0) {
            ring_wait(ring, 1);
        }
    }
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(ends[i].error, 0);
        if (ends[i].stream == NULL) {
            begin(&ends[i], ring, &echoer.at);
        }
        uint64_t heard = ends[i].bytes;
        say(&ends[i]);
        turn_until(ring, ends[i].bytes >= heard + sizeof ends[i].id && ends[i].up);
    }
    assert_true(counted(ring).late > 0);
    for (unsigned i = 0; i < CROWD; i++) {
        end_close(&ends[i]);
    }
    turn_until(ring, counted(ring).direct == 0 && counted(ring).objects == 0);
    ring_close(ring);
    echoer_stop(&echoer);
}

static unsigned count(const struct end *ends, unsigned n, int error)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++) {
        found += error == 0 ? ends[i].up && ends[i].stream != NULL : ends[i].error == error;
    }
    return found;
}

static void full_table(void **state)
{
    struct echoer echoer = echoer_start();
    struct ring_budget budget = {.most = 4};
    struct ring *ring = open_direct(8, &budget);
    struct end ends[20] = {0};
    unsigned places = counted(ring).direct_most; /* none on epoll */
    for (unsigned i = 0; i < 20; i++) {
        begin(&ends[i], ring, &echoer.at);
    }
    assert_int_equal(counted(ring).direct, places);
    assert_int_equal(atomic_load(&budget.used), 4);
    turn_until(ring, count(ends, 20, 0) == places + 4 && count(ends, 20, EMFILE) == 16 - places);
    assert_int_equal(counted(ring).refused, 16 - places);
    assert_int_equal(counted(ring).direct_full, places > 0 ? 12 : 0);
    /* What ends makes room, for one of its kind. */
    end_close(&ends[0]);
    end_close(&ends[places]);
    turn_until(ring, counted(ring).direct == (places > 0 ? places - 1 : 0));
    assert_int_equal(atomic_load(&budget.used), 3);
    begin(&ends[0], ring, &echoer.at);
    if (places > 0) {
        begin(&ends[places], ring, &echoer.at);
    }
    turn_until(ring, count(ends, 20, 0) == places + 4);
    for (unsigned i = 0; i < 20; i++) {
        end_close(&ends[i]);
    }
    turn_until(ring, counted(ring).objects == 0 && counted(ring).direct == 0);
    assert_int_equal(atomic_load(&budget.used), 0);
    ring_close(ring);
    echoer_stop(&echoer);
}

#define HANGING 200

/* Connections under way hold no descriptor, so those that hang keep nobody waiting. */
static void hosts_hang(void **state)
{
    struct echoer echoer = echoer_start();
    uint16_t port = free_port();
    int listener = plain_listen(port, 0);
    struct address nowhere = address_of("127.0.0.1", port);
    struct ring *ring = open_direct(HANGING + 1, NULL);
    struct end *ends = calloc(HANGING, sizeof *ends), healthy;
    unsigned files = open_descriptors();
    for (unsigned i = 0; i < HANGING; i++) {
        begin(&ends[i], ring, &nowhere);
    }
    begin(&healthy, ring, &echoer.at);
    assert_int_equal(open_descriptors(), files);
    turn_until(ring, healthy.up);
    assert_true(count(ends, HANGING, 0) < 10); /* so many the queue takes */
    end_close(&healthy);
    for (unsigned i = 0; i < HANGING; i++) {
        end_close(&ends[i]);
    }
    turn_until(ring, counted(ring).objects == 0 && counted(ring).direct == 0);
    ring_close(ring);
    free(ends);
    close(listener);
    echoer_stop(&echoer);
}

/* A table is bounded by the limit, which nobody raises behind our back. */
static void no_more_than_the_limit(void **state)
{
    struct rlimit before, after;
    limit_files(100, &before);
    struct ring *ring = open_direct(1000, NULL);
    assert_int_equal(counted(ring).direct_most, 100);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, 100);
    ring_close(ring);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Its owner gone, a stream says its last and closes its half, though no shutdown() reaches it. */
static void last_words(void **state)
{
    uint16_t port = free_port();
    int listener = plain_listen(port, 5);
    struct address at = address_of("127.0.0.1", port);
    struct ring *ring = open_direct(8, NULL);
    struct end end;
    char bytes[16];
    begin(&end, ring, &at);
    int other = accept(listener, NULL, NULL);
    struct timeval patience = {.tv_sec = PATIENCE / 1000};
    setsockopt(other, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    turn_until(ring, end.up);
    say(&end);
    stream_close_after_flush(end.stream);
    end.stream = NULL;
    turn_for(ring, 50);
    assert_int_equal(recv(other, bytes, sizeof bytes, 0), sizeof end.id);
    assert_int_equal(recv(other, bytes, sizeof bytes, 0), 0); /* while this side still reads */
    assert_int_equal(counted(ring).objects, 1);
    close(other);
    turn_until(ring, counted(ring).objects == 0 && counted(ring).direct == 0);
    ring_close(ring);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest both[] = {
        cmocka_unit_test(places_change_hands),
        cmocka_unit_test(full_table),
        cmocka_unit_test(last_words),
    };
    const struct CMUnitTest direct[] = {
        cmocka_unit_test(more_than_descriptors),
        cmocka_unit_test(hosts_hang),
        cmocka_unit_test(no_more_than_the_limit),
    };
    int failed = run_on_both(both);
    if (uring_here()) {
        failed += cmocka_run_group_tests_name("direct", direct, choose_uring, NULL);
    }
    return failed;
}
