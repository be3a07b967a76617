/* The resolver: answers at once, one lookup a name, bounded threads, back-off, the last good answer
 * kept; and interning names from several threads. */
#include "io/clock.h"
#include "io/resolver.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A name server that says what the test wants. */
struct world {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool closed;                /* lookups hang until it opens */
    const char *answer;         /* NULL: no such name */
    unsigned asked, busy, most; /* lookups begun; at work now; at once at most */
    char last[64];
};

static bool lookup(void *ctx, const char *text, char ip[LIMIT_IP + 1])
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->asked++;
    w->busy++;
    w->most = w->busy > w->most ? w->busy : w->most;
    snprintf(w->last, sizeof w->last, "%s", text);
    pthread_cond_broadcast(&w->change);
    while (w->closed) {
        pthread_cond_wait(&w->change, &w->lock);
    }
    bool ok = w->answer != NULL;
    if (ok) {
        snprintf(ip, LIMIT_IP + 1, "%s", w->answer);
    }
    w->busy--;
    pthread_mutex_unlock(&w->lock);
    return ok;
}

static void set(struct world *w, bool closed, const char *answer)
{
    pthread_mutex_lock(&w->lock);
    w->closed = closed;
    w->answer = answer;
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->lock);
}

/* Waits until so many lookups have begun. */
static void wait_asked(struct world *w, unsigned count)
{
    pthread_mutex_lock(&w->lock);
    while (w->asked < count) {
        pthread_cond_wait(&w->change, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static struct world *open_world(void)
{
    static struct world w;
    w = (struct world){.answer = "10.0.0.1"};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.change, NULL);
    return &w;
}

static const struct host *name(const char *format, unsigned n)
{
    char text[64];
    int len = snprintf(text, sizeof text, format, n);
    const struct host *host = host_intern(text, (size_t)len, HOST_CONFIGURED);
    assert_non_null(host);
    return host;
}

static void an_answer_is_good_for_a_while(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 4);
    const struct host *host = name("good-%u", 1);
    char ip[LIMIT_IP + 1] = "";
    assert_int_equal(resolver_ask(r, host, 1000, ip), RESOLVER_PENDING);
    assert_string_equal(ip, "");
    assert_true(resolver_wait(r, 10000));
    uint64_t rung = 0;
    assert_int_equal(read(resolver_doorbell(r), &rung, sizeof rung), sizeof rung);
    assert_int_equal(resolver_ask(r, host, 1000 + LIMIT_RESOLVER_FRESH - 1, ip), RESOLVER_KNOWN);
    assert_string_equal(ip, "10.0.0.1");
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(w->asked, 1);
    /* Old: said all the same, and looked up behind our back. */
    set(w, false, "10.0.0.2");
    ms_t later = 1000 + 10 * LIMIT_RESOLVER_FRESH;
    assert_int_equal(resolver_ask(r, host, later, ip), RESOLVER_KNOWN);
    assert_string_equal(ip, "10.0.0.1");
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(resolver_ask(r, host, later, ip), RESOLVER_KNOWN);
    assert_string_equal(ip, "10.0.0.2");
    assert_int_equal(w->asked, 2);
    resolver_free(r);
}

static void a_failure_keeps_the_last_good_answer_and_backs_off(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 4);
    const struct host *good = name("kept-%u", 1), *never = name("never-%u", 1);
    char ip[LIMIT_IP + 1] = "";
    (void)resolver_ask(r, good, 1000, ip);
    assert_true(resolver_wait(r, 10000));
    set(w, false, NULL);
    ms_t now = 100000;
    (void)resolver_ask(r, good, now, ip);
    (void)resolver_ask(r, never, now, ip);
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(resolver_ask(r, good, now, ip), RESOLVER_STALE);
    assert_string_equal(ip, "10.0.0.1");
    strcpy(ip, "untouched");
    assert_int_equal(resolver_ask(r, never, now, ip), RESOLVER_FAILED);
    assert_string_equal(ip, "untouched");
    /* Asked a hundred times a second for ten minutes. */
    unsigned before = w->asked;
    for (ms_t t = 0; t < 600000; t += 10) {
        (void)resolver_ask(r, never, now + t, ip);
        assert_true(resolver_wait(r, 10000));
    }
    unsigned asked = w->asked - before;
    assert_in_range(asked, 600000 / LIMIT_RESOLVER_BACKOFF - 2,
                    600000 / LIMIT_RESOLVER_BACKOFF + 8);
    set(w, false, "10.0.0.9");
    now += 600000 + LIMIT_RESOLVER_BACKOFF;
    (void)resolver_ask(r, never, now, ip);
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(resolver_ask(r, never, now, ip), RESOLVER_KNOWN);
    assert_string_equal(ip, "10.0.0.9");
    struct resolver_counters counters;
    resolver_counters(r, &counters);
    assert_int_equal(counters.lookups, w->asked);
    assert_true(counters.failures >= asked);
    resolver_free(r);
}

static void one_lookup_a_name_and_bounded_threads(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 4);
    char ip[LIMIT_IP + 1] = "";
    set(w, true, "10.0.0.1");
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(resolver_ask(r, name("many-%u", i), 1000 + (ms_t)round * 60000, ip),
                             RESOLVER_PENDING);
        }
    }
    wait_asked(w, 4);
    assert_false(resolver_wait(r, 20));
    struct resolver_counters counters;
    resolver_counters(r, &counters);
    assert_int_equal(counters.threads, 4);
    assert_int_equal(counters.running, 4);
    assert_int_equal(counters.waiting, 96);
    set(w, false, "10.0.0.1");
    assert_true(resolver_wait(r, 20000));
    assert_int_equal(w->asked, 100);
    assert_int_equal(w->most, 4);
    resolver_free(r);
}

/* Names that hang or fail wait behind those that may be answered. */
static void who_has_failed_waits_behind(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 1);
    char ip[LIMIT_IP + 1] = "";
    set(w, false, NULL);
    for (unsigned i = 0; i < 10; i++) {
        (void)resolver_ask(r, name("bad-%u", i), 1000, ip);
    }
    assert_true(resolver_wait(r, 10000));
    set(w, true, "10.0.0.1");
    for (unsigned i = 0; i < 10; i++) {
        (void)resolver_ask(r, name("bad-%u", i), 1000000, ip);
    }
    wait_asked(w, 11);
    (void)resolver_ask(r, name("fresh-%u", 1), 1000000, ip);
    struct timespec brief = {.tv_nsec = 1000000};
    set(w, false, "10.0.0.1");
    while (resolver_ask(r, name("fresh-%u", 1), 1000000, ip) == RESOLVER_PENDING) {
        nanosleep(&brief, NULL);
    }
    assert_true(resolver_wait(r, 10000));
    resolver_free(r);
    assert_int_equal(w->asked, 21);
}

/* When thousands of links break at once. */
static void names_looked_up_before_wait_for_their_turn(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 4);
    enum { MANY = LIMIT_RESOLVER_RATE + 50 };
    char ip[LIMIT_IP + 1] = "";
    ms_t begun = clock_now();
    for (unsigned i = 0; i < MANY; i++) {
        (void)resolver_ask(r, name("storm-%u", i), 1000, ip);
    }
    assert_true(resolver_wait(r, 20000));
    assert_int_equal(w->asked, MANY); /* the first time at once */
    begun = clock_now();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            assert_int_equal(resolver_ask(r, name("storm-%u", i), 1000000, ip), RESOLVER_KNOWN);
        }
    }
    assert_true(resolver_wait(r, 20000));
    assert_int_equal(w->asked, 2 * MANY);
    assert_in_range(clock_now() - begun, 500, 20000);
    resolver_free(r);
}

static bool hangs_one(void *ctx, const char *text, char ip[LIMIT_IP + 1])
{
    if (strncmp(text, "hanging", 7) == 0) {
        return lookup(ctx, text, ip);
    }
    snprintf(ip, LIMIT_IP + 1, "10.0.0.3");
    return true;
}

/* A name whose lookup hangs keeps nobody waiting who asks while it does. */
static void one_that_hangs_holds_up_nobody(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(hangs_one, w, 4);
    char ip[LIMIT_IP + 1] = "";
    set(w, true, "10.0.0.1");
    (void)resolver_ask(r, name("hanging-%u", 1), 1000, ip);
    wait_asked(w, 1);
    ms_t until = clock_now() + 20000;
    enum resolver_answer answer = RESOLVER_PENDING;
    while (answer == RESOLVER_PENDING && clock_now() < until) {
        answer = resolver_ask(r, name("quick-%u", 1), 1000, ip);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(answer, RESOLVER_KNOWN);
    assert_string_equal(ip, "10.0.0.3");
    set(w, false, "10.0.0.1");
    assert_true(resolver_wait(r, 20000));
    resolver_free(r);
}

/* A lookup that never returns does not keep the process from ending. */
static void a_hanging_lookup_is_left_behind(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct resolver *r = resolver_new(lookup, w, 2);
    char ip[LIMIT_IP + 1] = "";
    set(w, true, NULL);
    (void)resolver_ask(r, name("hangs-%u", 1), 1000, ip);
    wait_asked(w, 1);
    ms_t begun = clock_now();
    resolver_free(r);
    assert_in_range(clock_now() - begun, 0, 10000);
    set(w, false, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); /* it comes back, and frees all */
}

static void addresses_are_looked_up_as_the_system_does(void **state)
{
    (void)state;
    struct resolver *r = resolver_new(NULL, NULL, 2);
    struct address a;
    assert_true(address_set_host(&a, "localhost", 9, 6379, HOST_CONFIGURED));
    (void)resolver_fill(r, &a, 1000);
    assert_true(resolver_wait(r, 20000));
    assert_true(resolver_fill(r, &a, 1000));
    assert_true(strcmp(a.ip, "127.0.0.1") == 0 || strcmp(a.ip, "::1") == 0);
    assert_int_equal(a.port, 6379);
    resolver_free(r);
}

/* --- names from many threads ------------------------------------------------------------------ */

enum { THREADS = 4, NAMES = 2000 };
static const struct host *seen[THREADS][NAMES];

static void *intern_all(void *arg)
{
    const struct host **out = arg;
    for (unsigned i = 0; i < NAMES; i++) {
        out[i] = name("race-%u", i);
    }
    return NULL;
}

static void threads_agree_on_names(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_create(&threads[t], NULL, intern_all, seen[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        for (unsigned t = 1; t < THREADS; t++) {
            assert_ptr_equal(seen[t][i], seen[0][i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_good_for_a_while),
        cmocka_unit_test(a_failure_keeps_the_last_good_answer_and_backs_off),
        cmocka_unit_test(one_lookup_a_name_and_bounded_threads),
        cmocka_unit_test(who_has_failed_waits_behind),
        cmocka_unit_test(names_looked_up_before_wait_for_their_turn),
        cmocka_unit_test(one_that_hangs_holds_up_nobody),
        cmocka_unit_test(a_hanging_lookup_is_left_behind),
        cmocka_unit_test(addresses_are_looked_up_as_the_system_does),
        cmocka_unit_test(threads_agree_on_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
