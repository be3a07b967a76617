/* The post office: order, spilling, dropping, waking; and a stress of threads that really sleep. */
#include "io/clock.h"
#include "io/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct mail mail_of(uint64_t a, uint64_t b)
{
    struct mail mail;
    for (size_t i = 0; i < sizeof mail.words / sizeof *mail.words; i++) {
        mail.words[i] = a * 31 + i;
    }
    mail.words[0] = a;
    mail.words[1] = b;
    return mail;
}

static bool rings(const struct post *p, unsigned self)
{
    struct pollfd fd = {.fd = post_doorbell(p, self), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static void hush(const struct post *p, unsigned self)
{
    uint64_t count;
    ssize_t got = read(post_doorbell(p, self), &count, sizeof count);
    assert_true(got == 8 || got < 0);
}

static void in_order_and_whole(void **state)
{
    struct post *p = post_new(3);
    struct mail out;
    assert_false(post_receive(p, 1, &out));
    for (uint64_t i = 0; i < 100; i++) {
        struct mail mail = mail_of(i, 0);
        assert_true(post_send(p, 0, 1, &mail, i % 2 ? POST_MUST : POST_GOSSIP));
    }
    for (uint64_t i = 0; i < 100; i++) {
        struct mail expected = mail_of(i, 0);
        assert_true(post_receive(p, 1, &out));
        assert_memory_equal(&out, &expected, sizeof out);
    }
    assert_false(post_receive(p, 1, &out));
    assert_false(post_receive(p, 2, &out)); /* and nobody else got it */
    post_free(p);
}

static void to_oneself(void **state)
{
    struct post *p = post_new(1);
    struct mail out;
    for (uint64_t i = 0; i < 3 * LIMIT_LANE; i++) {
        struct mail mail = mail_of(i, 0);
        assert_true(post_send(p, 0, 0, &mail, POST_MUST));
    }
    assert_false(post_sleep(p, 0)); /* it has mail */
    uint64_t expected = 0;
    while (expected < 3 * LIMIT_LANE) {
        while (post_receive(p, 0, &out)) {
            assert_int_equal(out.words[0], expected++);
        }
        post_flush(p, 0);
    }
    assert_true(post_sleep(p, 0));
    assert_false(rings(p, 0));
    post_free(p);
}

static void spills_and_keeps_order(void **state)
{
    struct post *p = post_new(2);
    struct mail out;
    struct post_counters counters;
    uint64_t total = 10 * LIMIT_LANE, expected = 0;
    for (uint64_t i = 0; i < total; i++) {
        struct mail mail = mail_of(i, 0);
        assert_true(post_send(p, 0, 1, &mail, i % 3 ? POST_MUST : POST_GOSSIP));
    }
    assert_true(post_spilling(p, 0));
    post_counters(p, 0, &counters);
    assert_int_equal(counters.sent, total);
    assert_int_equal(counters.spilled, total - (LIMIT_LANE - 1));
    for (int rounds = 0; expected < total; rounds++) {
        assert_true(rounds < 20);
        while (post_receive(p, 1, &out)) {
            assert_int_equal(out.words[0], expected++);
        }
        post_flush(p, 0);
    }
    assert_false(post_spilling(p, 0));
    post_counters(p, 1, &counters);
    assert_int_equal(counters.received, total);
    post_free(p);
}

static void gossip_drops_promises_do_not(void **state)
{
    struct post *p = post_new(2);
    struct mail out, mail = mail_of(1, 0);
    struct post_counters counters;
    uint64_t sent = 0;
    while (post_send(p, 0, 1, &mail, POST_GOSSIP)) {
        sent++;
        assert_true(sent <= LIMIT_LANE + LIMIT_LANE_SPILL);
    }
    assert_int_equal(sent, LIMIT_LANE - 1 + LIMIT_LANE_SPILL);
    assert_false(post_send(p, 0, 1, &mail, POST_GOSSIP));
    mail = mail_of(2, 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(post_send(p, 0, 1, &mail, POST_MUST));
    }
    post_counters(p, 0, &counters);
    assert_int_equal(counters.dropped, 2);
    uint64_t got[3] = {0};
    for (int i = 0; i < 3 * LIMIT_LANE_SPILL / LIMIT_LANE && post_spilling(p, 0); i++) {
        while (post_receive(p, 1, &out)) {
            got[out.words[0]]++;
        }
        post_flush(p, 0);
    }
    while (post_receive(p, 1, &out)) {
        got[out.words[0]]++;
    }
    assert_int_equal(got[1], sent);
    assert_int_equal(got[2], 1000);
    post_free(p);
}

static void one_doorbell_for_a_sleeper(void **state)
{
    struct post *p = post_new(3);
    struct mail mail = mail_of(1, 0), out;
    struct post_counters counters;
    assert_true(post_send(p, 0, 2, &mail, POST_MUST));
    post_flush(p, 0);
    assert_false(rings(p, 2)); /* it is awake */
    assert_false(post_sleep(p, 2));
    assert_true(post_receive(p, 2, &out));
    assert_true(post_sleep(p, 2));
    for (int i = 0; i < 10; i++) {
        assert_true(post_send(p, 0, 2, &mail, POST_MUST));
        assert_true(post_send(p, 1, 2, &mail, POST_GOSSIP));
        assert_false(i == 0 && rings(p, 2)); /* nothing before the flush */
        post_flush(p, 0);
        post_flush(p, 1);
    }
    assert_true(rings(p, 2));
    post_counters(p, 0, &counters);
    assert_int_equal(counters.doorbells, 1);
    post_counters(p, 1, &counters);
    assert_int_equal(counters.doorbells, 0);
    hush(p, 2);
    post_awake(p, 2);
    post_flush(p, 0); /* nothing new: nothing rings */
    assert_false(rings(p, 2));
    post_free(p);
}

/* Who sleeps with a full spill is woken when there is room. */
static void room_wakes_the_sender(void **state)
{
    struct post *p = post_new(2);
    struct mail mail = mail_of(1, 0), out;
    for (int i = 0; i < 2 * LIMIT_LANE; i++) {
        assert_true(post_send(p, 0, 1, &mail, POST_MUST));
    }
    post_flush(p, 0);
    assert_true(post_sleep(p, 0));
    assert_true(post_receive(p, 1, &out));
    assert_false(rings(p, 0));
    while (post_receive(p, 1, &out)) {
    }
    assert_true(rings(p, 0));
    post_awake(p, 0);
    assert_false(post_sleep(p, 0)); /* it has work: room for the spilled ones */
    post_flush(p, 0);
    assert_true(post_receive(p, 1, &out));
    post_free(p);
}

/* No lane is starved by a busy one. */
static void lanes_in_turn(void **state)
{
    struct post *p = post_new(3);
    struct mail out, busy = mail_of(1, 0), rare = mail_of(2, 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(post_send(p, 0, 1, &busy, POST_MUST));
    }
    assert_true(post_send(p, 2, 1, &rare, POST_MUST));
    bool seen = false;
    for (int i = 0; i < 200 && !seen; i++) {
        assert_true(post_receive(p, 1, &out));
        seen = out.words[0] == 2;
    }
    assert_true(seen);
    post_free(p);
}

/* --- stress -------------------------------------------------------------------------------------
 * Each thread sends numbered mail to everybody in bursts, checks that what arrives is whole and in
 * order, and blocks on its doorbell whenever post_sleep lets it: a lost wake-up hangs the test. */
#define THREADS 4
#define EACH    30000 /* to each target */

struct stress {
    struct post *post;
    unsigned self;
    uint64_t slept, stuck;
};

static void *stress_run(void *arg)
{
    struct stress *s = arg;
    uint64_t sent = 0, expected[THREADS] = {0}, received = 0, random = s->self + 1;
    while (sent < EACH || received < (uint64_t)THREADS * EACH || post_spilling(s->post, s->self)) {
        struct mail mail, out;
        random = random * 6364136223846793005u + 1442695040888963407u;
        /* Bursts beyond a lane now and then, so that it spills. */
        uint64_t burst = (random >> 60) == 0 ? 2 * LIMIT_LANE : (random >> 33) % 40;
        for (; burst > 0 && sent < EACH; burst--, sent++) {
            for (unsigned to = 0; to < THREADS; to++) {
                mail = mail_of(sent, s->self);
                if (!post_send(s->post, s->self, to, &mail, POST_MUST)) {
                    s->stuck++;
                }
            }
        }
        post_flush(s->post, s->self);
        while (post_receive(s->post, s->self, &out)) {
            uint64_t from = out.words[1];
            mail = mail_of(expected[from]++, from);
            if (memcmp(&mail, &out, sizeof mail) != 0) {
                s->stuck++;
            }
            received++;
        }
        if (sent == EACH && post_sleep(s->post, s->self)) {
            bool done = received == (uint64_t)THREADS * EACH && !post_spilling(s->post, s->self);
            struct pollfd fd = {.fd = post_doorbell(s->post, s->self), .events = POLLIN};
            s->slept++;
            if (!done && poll(&fd, 1, 30000) == 0) {
                s->stuck += 1000000; /* a lost wake-up */
                break;
            }
            uint64_t count;
            (void)!read(fd.fd, &count, sizeof count);
            post_awake(s->post, s->self);
        }
    }
    return NULL;
}

static void stress(void **state)
{
    struct post *p = post_new(THREADS);
    struct stress all[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        all[i] = (struct stress){.post = p, .self = i};
        assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &all[i]), 0);
    }
    struct post_counters sum = {0}, one;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(all[i].stuck, 0);
        post_counters(p, i, &one);
        sum.sent += one.sent;
        sum.received += one.received;
        sum.spilled += one.spilled;
        sum.dropped += one.dropped;
    }
    assert_int_equal(sum.sent, (uint64_t)THREADS * THREADS * EACH);
    assert_int_equal(sum.received, sum.sent);
    assert_int_equal(sum.dropped, 0);
    assert_true(sum.spilled > 0);
    post_free(p);
}

/* Two threads that hand one mail to and fro and sleep in between: each hop needs its wake-up. */
#define HOPS 20000

static void *ping_pong(void *arg)
{
    struct stress *s = arg;
    struct mail mail = mail_of(0, 0);
    for (int hop = 0; hop < HOPS;) {
        if (post_receive(s->post, s->self, &mail)) {
            hop++;
            mail.words[0]++;
            post_send(s->post, s->self, 1 - s->self, &mail, POST_MUST);
        }
        post_flush(s->post, s->self);
        if (hop < HOPS && post_sleep(s->post, s->self)) {
            struct pollfd fd = {.fd = post_doorbell(s->post, s->self), .events = POLLIN};
            if (poll(&fd, 1, 30000) == 0) {
                s->stuck = 1;
                return NULL;
            }
            uint64_t count;
            (void)!read(fd.fd, &count, sizeof count);
            post_awake(s->post, s->self);
        }
    }
    return NULL;
}

static void no_wake_up_is_lost(void **state)
{
    struct post *p = post_new(2);
    struct stress all[2] = {{.post = p, .self = 0}, {.post = p, .self = 1}};
    struct mail first = mail_of(0, 0);
    pthread_t threads[2];
    assert_true(post_send(p, 0, 1, &first, POST_MUST));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ping_pong, &all[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(all[i].stuck, 0);
    }
    post_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_whole),
        cmocka_unit_test(to_oneself),
        cmocka_unit_test(spills_and_keeps_order),
        cmocka_unit_test(gossip_drops_promises_do_not),
        cmocka_unit_test(one_doorbell_for_a_sleeper),
        cmocka_unit_test(room_wakes_the_sender),
        cmocka_unit_test(lanes_in_turn),
        cmocka_unit_test(stress),
        cmocka_unit_test(no_wake_up_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
