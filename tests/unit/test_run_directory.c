/* The directory: names, views, addresses, and readers beside a writer. */
#include "run/directory.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct group_view view_of(const char *ip, uint16_t port, uint64_t epoch)
{
    struct group_view v = {.config_epoch = epoch, .quorum = 2};
    assert_true(address_set(&v.master, ip, strlen(ip), port));
    v.current = v.master;
    return v;
}

static void names_are_found_and_kept(void **state)
{
    struct directory *d = directory_new(3);
    char name[32];
    (void)state;
    assert_int_equal(directory_find(d, "m0", 2), DIRECTORY_NONE);
    for (unsigned i = 0; i < 5000; i++) { /* several chunks */
        (void)snprintf(name, sizeof name, "m%u", i);
        assert_int_equal(directory_add(d, name), i);
    }
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "m%u", i);
        assert_int_equal(directory_find(d, name, strlen(name)), i);
        assert_int_equal(directory_add(d, name), i); /* not again */
        assert_string_equal(directory_name(d, i), name);
        assert_true(directory_owner(d, i) < 3);
    }
    assert_int_equal(directory_count(d), 5000);
    assert_int_equal(directory_find(d, "m50", 2), 5); /* as many bytes as given */
    assert_int_equal(directory_find(d, "", 0), DIRECTORY_NONE);
    directory_free(d);
}

static void owners_are_spread(void **state)
{
    struct directory *d = directory_new(4);
    unsigned owned[4] = {0};
    char name[32];
    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        (void)snprintf(name, sizeof name, "shop-%u", i);
        owned[directory_owner(d, directory_add(d, name))]++;
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(owned[i], 800, 1200);
    }
    directory_free(d);
}

static void a_group_lives_dies_and_is_revived(void **state)
{
    struct directory *d = directory_new(1);
    struct group_view in = view_of("127.0.0.1", 7000, 3), out;
    struct address current;
    (void)state;
    uint32_t gid = directory_add(d, "m");
    assert_false(directory_read(d, gid, &out));
    assert_false(directory_current(d, gid, &current));
    assert_true(address_set(&in.current, "127.0.0.9", 9, 7009));
    assert_int_equal(directory_alive_count(d), 0);
    directory_publish(d, gid, &in);
    assert_true(directory_read(d, gid, &out));
    assert_int_equal(out.config_epoch, 3);
    assert_true(directory_current(d, gid, &current));
    assert_true(address_same(&current, &in.current));
    assert_int_equal(directory_alive_count(d), 1);
    assert_int_equal(directory_find_address(d, &in.master), gid);
    directory_remove(d, gid);
    directory_remove(d, gid); /* twice does no harm */
    assert_false(directory_read(d, gid, &out));
    assert_false(directory_current(d, gid, &current));
    assert_int_equal(directory_alive_count(d), 0);
    assert_int_equal(directory_find_address(d, &in.master), DIRECTORY_NONE);
    in = view_of("127.0.0.1", 7001, 4);
    directory_publish(d, gid, &in);
    assert_int_equal(directory_find_address(d, &in.master), gid);
    assert_int_equal(directory_alive_count(d), 1);
    directory_free(d);
}

static void addresses_follow_switches(void **state)
{
    struct directory *d = directory_new(1);
    (void)state;
    uint32_t a = directory_add(d, "a"), b = directory_add(d, "b");
    struct group_view one = view_of("127.0.0.1", 7000, 1), two = view_of("127.0.0.1", 7001, 2);
    directory_publish(d, b, &one);
    assert_int_equal(directory_find_address(d, &one.master), b);
    directory_publish(d, a, &one); /* two groups with one address: the first monitored */
    assert_int_equal(directory_find_address(d, &one.master), a);
    for (unsigned i = 0; i < 1000; i++) { /* there and back: no place is used up */
        directory_publish(d, a, i % 2 == 0 ? &two : &one);
        const struct address *at = i % 2 == 0 ? &two.master : &one.master;
        assert_int_equal(directory_find_address(d, at), a);
    }
    directory_publish(d, a, &two);
    assert_int_equal(directory_find_address(d, &one.master), b);
    directory_free(d);
}

/* Far more switches than the table has places: it fills, and look-ups walk instead. */
static void a_full_table_still_answers(void **state)
{
    struct directory *d = directory_new(1);
    struct group_view v = {0};
    char ip[32];
    (void)state;
    uint32_t gids[16];
    for (unsigned i = 0; i < 16; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%u", i);
        gids[i] = directory_add(d, name);
    }
    for (unsigned i = 0; i < 6 * LIMIT_GROUPS; i++) {
        (void)snprintf(ip, sizeof ip, "127.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
        v = view_of(ip, 7000, i);
        directory_publish(d, gids[i % 16], &v);
    }
    assert_int_equal(directory_find_address(d, &v.master), gids[15]);
    v = view_of("127.0.0.1", 7999, 1);
    assert_int_equal(directory_find_address(d, &v.master), DIRECTORY_NONE);
    directory_free(d);
}

struct race {
    struct directory *d;
    uint32_t gid;
    atomic_bool started, stop;
    unsigned long reads;
};

static void *reader(void *arg)
{
    struct race *race = arg;
    struct group_view v;
    while (!atomic_load(&race->stop)) {
        assert_true(directory_read(race->d, race->gid, &v));
        /* The writer keeps these equal: a torn copy would not. */
        assert_int_equal(v.config_epoch, v.leader_epoch);
        assert_int_equal(v.config_epoch, v.replicas);
        race->reads++;
    }
    return NULL;
}

static void readers_never_see_half_a_view(void **state)
{
    struct race race = {.d = directory_new(1)};
    struct group_view v = view_of("127.0.0.1", 7000, 0);
    pthread_t threads[2];
    (void)state;
    race.gid = directory_add(race.d, "m");
    directory_publish(race.d, race.gid, &v);
    struct race races[2] = {race, race};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &races[i]), 0);
    }
    for (uint32_t i = 1; i < 300000; i++) {
        v.config_epoch = v.leader_epoch = v.replicas = i;
        directory_publish(race.d, race.gid, &v);
    }
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&races[i].stop, true);
        pthread_join(threads[i], NULL);
        assert_true(races[i].reads > 0);
    }
    directory_free(race.d);
}

static void *waiter(void *arg)
{
    struct race *race = arg;
    struct group_view v;
    atomic_store(&race->started, true);
    while (!directory_read(race->d, race->gid, &v)) {
    }
    assert_int_equal(v.config_epoch, 7);
    return NULL;
}

/* Whoever finds the entry alive finds what made it so. */
static void a_first_view_is_whole(void **state)
{
    struct group_view v = view_of("127.0.0.1", 7000, 7);
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct race race = {.d = directory_new(1)};
        pthread_t thread;
        race.gid = directory_add(race.d, "m");
        assert_int_equal(pthread_create(&thread, NULL, waiter, &race), 0);
        while (!atomic_load(&race.started)) {
            sched_yield();
        }
        directory_publish(race.d, race.gid, &v);
        pthread_join(thread, NULL);
        directory_free(race.d);
    }
}

static void *finder(void *arg)
{
    struct race *race = arg;
    struct group_view v = view_of("127.0.0.1", 7000, 0);
    while (!atomic_load(&race->stop)) {
        assert_int_equal(directory_find(race->d, "m0", 2), race->gid);
        assert_int_equal(directory_find_address(race->d, &v.master), race->gid);
        race->reads++;
    }
    return NULL;
}

/* Tables grow many times, under a reader; none of the groups gets lost. */
static void many_are_found_while_tables_grow(void **state)
{
    enum { GROUPS = 20000 };
    struct race race = {.d = directory_new(1)};
    pthread_t thread;
    char text[32];
    (void)state;
    for (unsigned i = 0; i < GROUPS; i++) {
        (void)snprintf(text, sizeof text, "m%u", i);
        assert_int_equal(directory_add(race.d, text), i);
        (void)snprintf(text, sizeof text, "127.0.%u.%u", i >> 8, i & 255);
        struct group_view v = view_of(i == 0 ? "127.0.0.1" : text, i == 0 ? 7000 : 7001, 0);
        directory_publish(race.d, i, &v);
        if (i == 0) {
            assert_int_equal(pthread_create(&thread, NULL, finder, &race), 0);
        }
    }
    atomic_store(&race.stop, true);
    pthread_join(thread, NULL);
    for (unsigned i = 1; i < GROUPS; i++) {
        (void)snprintf(text, sizeof text, "127.0.%u.%u", i >> 8, i & 255);
        struct group_view v = view_of(text, 7001, 0);
        assert_int_equal(directory_find_address(race.d, &v.master), i);
    }
    directory_free(race.d);
}

#define STARTERS 2
#define STARTED  160 /* each makes the table of addresses grow once on its own */

struct start {
    struct directory *d;
    unsigned index;
    atomic_uint *ready;
};

static void *starter(void *arg)
{
    struct start *s = arg;
    atomic_fetch_add(s->ready, 1);
    while (atomic_load(s->ready) < STARTERS) {
        sched_yield();
    }
    for (unsigned gid = s->index; gid < STARTED; gid += STARTERS) {
        struct group_view v = view_of("127.0.0.1", (uint16_t)(1000 + gid), 1);
        directory_publish(s->d, gid, &v);
    }
    return NULL;
}

/* Shards that start publish their groups at once: whichever makes the table grow must not leave out
 * the one that another is just putting in. */
static void none_is_lost_when_owners_make_the_table_grow(void **state)
{
    (void)state;
    for (int round = 0; round < 400; round++) {
        struct directory *d = directory_new(STARTERS);
        struct start starts[STARTERS];
        pthread_t threads[STARTERS];
        atomic_uint ready = 0;
        char name[32];
        for (unsigned i = 0; i < STARTED; i++) {
            (void)snprintf(name, sizeof name, "m%u", i);
            assert_int_equal(directory_add(d, name), i);
        }
        for (unsigned i = 0; i < STARTERS; i++) {
            starts[i] = (struct start){.d = d, .index = i, .ready = &ready};
            assert_int_equal(pthread_create(&threads[i], NULL, starter, &starts[i]), 0);
        }
        for (unsigned i = 0; i < STARTERS; i++) {
            pthread_join(threads[i], NULL);
        }
        for (unsigned gid = 0; gid < STARTED; gid++) {
            struct group_view v = view_of("127.0.0.1", (uint16_t)(1000 + gid), 1);
            assert_int_equal(directory_find_address(d, &v.master), gid);
        }
        directory_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_and_kept),
        cmocka_unit_test(owners_are_spread),
        cmocka_unit_test(a_group_lives_dies_and_is_revived),
        cmocka_unit_test(addresses_follow_switches),
        cmocka_unit_test(a_full_table_still_answers),
        cmocka_unit_test(readers_never_see_half_a_view),
        cmocka_unit_test(many_are_found_while_tables_grow),
        cmocka_unit_test(a_first_view_is_whole),
        cmocka_unit_test(none_is_lost_when_owners_make_the_table_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
