/* What all threads share: our own addresses, TILT, and the directory's bound. */
#include "run/mail.h"
#include "run/process.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* after what it needs */
#include <cmocka.h>

static struct address numbered(unsigned n)
{
    struct address a = {.port = 26379};
    snprintf(a.ip, sizeof a.ip, "10.0.%u.%u", n / 256, n % 256);
    return a;
}

static void our_own_address_is_no_twins(void **ctx)
{
    struct process p = {.pid = 1};
    struct address ours = numbered(1), other = numbered(2);
    pthread_mutex_init(&p.twin_lock, NULL);
    process_note_own(&p, &ours);
    process_note_own(&p, &ours);
    assert_int_equal(atomic_load(&p.own_count), 1);
    assert_true(process_is_own(&p, &ours));
    assert_false(process_is_own(&p, &other));
    pthread_mutex_destroy(&p.twin_lock);
}

/* A host of many bridges: a hello of ours from the 65th address must not silence us. */
static void more_addresses_than_can_be_noted_are_no_twin(void **ctx)
{
    struct process p = {.pid = 1};
    pthread_mutex_init(&p.twin_lock, NULL);
    for (unsigned i = 0; i < 100; i++) {
        struct address a = numbered(i);
        process_note_own(&p, &a);
    }
    for (unsigned i = 0; i < 100; i++) {
        struct address a = numbered(i);
        assert_true(process_is_own(&p, &a));
    }
    pthread_mutex_destroy(&p.twin_lock);
}

#define NOTERS 4

struct noter {
    struct process *p;
    atomic_uint *ready;
};

static void *noter(void *arg)
{
    struct noter *n = arg;
    atomic_fetch_add(n->ready, 1);
    while (atomic_load(n->ready) < NOTERS) {
        sched_yield();
    }
    for (unsigned i = 0; i < 10; i++) {
        struct address a = numbered(i);
        process_note_own(n->p, &a);
    }
    return NULL;
}

/* The shards' links come up together, all at the same address: it takes one place. */
static void each_address_is_noted_once(void **ctx)
{
    for (int round = 0; round < 500; round++) {
        struct process p = {.pid = 1};
        atomic_uint ready = 0;
        struct noter arg = {.p = &p, .ready = &ready};
        pthread_t threads[NOTERS];
        pthread_mutex_init(&p.twin_lock, NULL);
        for (unsigned i = 0; i < NOTERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, noter, &arg), 0);
        }
        for (unsigned i = 0; i < NOTERS; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(atomic_load(&p.own_count), 10);
        pthread_mutex_destroy(&p.twin_lock);
    }
}

static void tilt_is_announced_by_one(void **ctx)
{
    struct process p = {.pid = 1};
    assert_true(process_tilt(&p, 1000));
    assert_false(process_tilt(&p, 2000)); /* a later gap: it lasts longer */
    assert_int_equal(atomic_load(&p.tilt_since), 2000);
    assert_int_equal(atomic_load(&p.tilts), 1);
    assert_true(atomic_load(&p.tilt));
}

/* Main writes the log more slowly than a flood makes lines: they wait up to a bound. */
static void notes_behind_a_reader_that_is_stuck_are_dropped(void **ctx)
{
    struct process p = {.pid = 1};
    const unsigned most = LIMIT_LANE + LIMIT_LANE_SPILL;
    p.options.shards = 1;
    p.post = post_new(3);
    for (unsigned i = 0; i < most + 1000; i++) {
        note_send(&p, 0, false, EVENT_COUNT, EVENT_WARNING, "line", 4);
    }
    unsigned long long dropped = atomic_load(&p.counters.events_dropped);
    assert_in_range(dropped, 1000, 1001 + LIMIT_LANE);

    struct mail mail;
    struct letter letter;
    unsigned arrived = 0;
    post_flush(p.post, 0);
    while (post_receive(p.post, 2, &mail)) { /* and then all goes on */
        letter_open(&mail, &letter);
        assert_string_equal(letter.u.note->text, "line");
        note_release(letter.u.note);
        arrived++;
        post_flush(p.post, 0);
    }
    assert_int_equal(arrived + dropped, most + 1000);
    note_send(&p, 0, false, EVENT_COUNT, EVENT_WARNING, "line", 4);
    assert_int_equal(atomic_load(&p.counters.events_dropped), dropped);
    letters_drop(&p);
    post_free(p.post);
}

static void names_end_at_the_bound(void **ctx)
{
    struct directory *d = directory_new(3);
    char name[16];
    for (uint32_t i = 0; i < LIMIT_GROUPS; i++) {
        snprintf(name, sizeof name, "m%u", i);
        assert_int_equal(directory_add(d, name), i);
    }
    assert_int_equal(directory_add(d, "one more"), DIRECTORY_NONE);
    assert_int_equal(directory_find(d, "one more", 8), DIRECTORY_NONE);
    assert_int_equal(directory_add(d, "m77"), 77); /* known ones come back */
    assert_int_equal(directory_find(d, "m65535", 6), LIMIT_GROUPS - 1);
    assert_int_equal(directory_count(d), LIMIT_GROUPS);
    directory_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_address_is_no_twins),
        cmocka_unit_test(more_addresses_than_can_be_noted_are_no_twin),
        cmocka_unit_test(each_address_is_noted_once),
        cmocka_unit_test(tilt_is_announced_by_one),
        cmocka_unit_test(notes_behind_a_reader_that_is_stuck_are_dropped),
        cmocka_unit_test(names_end_at_the_bound),
    };
    return cmocka_run_group_tests_name("run_process", tests, NULL, NULL);
}
