/* What a group sends when, and its links (protocol.md §1, 2). */
#include "group_world.h"
#include "rules/group_inner.h"

/* --- schedule ---------------------------------------------------------------------------- */

struct sends {
    uint32_t actions, ping, info, hello;
};

static struct sends count_sends(const struct world *w, const char *name)
{
    struct sends n = {0};
    char start[40];
    snprintf(start, sizeof(start), "send %s", name);
    for (size_t i = 0; i < w->line_count; i++) {
        if (strncmp(w->lines[i], start, strlen(start)) != 0)
            continue;
        n.actions++;
        n.ping += strstr(w->lines[i], " ping") != NULL;
        n.info += strstr(w->lines[i], " info") != NULL;
        n.hello += strstr(w->lines[i], " hello") != NULL;
    }
    return n;
}

static void one_write_a_beat(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.show = SHOW_SEND;
    w.steps = 0;
    const ms_t begin = w.now;
    uint32_t ticks = 0;
    while (w.now < begin + 60000) {
        w.now = group_next_deadline(w.g);
        if (w.now >= begin + 60000)
            break;
        tick(&w);
        ticks++;
    }
    assert_int_equal(ticks, 60);
    for (int i = 0; i < 2; i++) {
        const struct sends n = count_sends(&w, i == 0 ? "7000" : "7001");
        assert_int_equal(n.actions, 60);
        assert_int_equal(n.ping, 60);
        assert_int_equal(n.info, 6);
        assert_int_equal(n.hello, 30);
    }
    const struct sends b = count_sends(&w, "b");
    assert_int_equal(b.actions, 30);
    assert_int_equal(b.hello, 30);
    assert_int_equal(b.ping + b.info, 0);
    world_end(&w);
}

static void late_ticks_do_not_shift_the_beat(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.show = SHOW_SEND;
    prng_seed(&w.g->prng, 7);
    struct prng late;
    prng_seed(&late, 3);
    const ms_t begin = w.now;
    while (w.now < begin + 60000) {
        w.now = group_next_deadline(w.g) + (ms_t)prng_below(&late, 300);
        tick(&w);
    }
    const struct sends n = count_sends(&w, "7000");
    assert_in_range(n.ping, 59, 61);
    assert_in_range(n.hello, 29, 31);
    assert_in_range(n.info, 6, 7);
    world_end(&w);
}

static void small_down_after_pings_more(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    w.set.down_after = 200;
    world_start(&w, NULL);
    run_until(&w, 20000);
    forget_lines(&w);
    w.show = SHOW_SEND;
    run_for(&w, 10000);
    assert_int_equal(count_sends(&w, "7000").ping, 50);
    world_end(&w);
}

static void groups_are_spread(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    static const struct group_saved none;
    uint32_t tenth[10] = {0};
    for (int n = 1; n <= 1000; n++) {
        char name[16];
        (void)snprintf(name, sizeof name, "cache-%d", n);
        struct group *g = group_new(1, name, &w.servers[0].addr, &w.set, &none, &w.env, 1, w.now);
        group_start(g, false, w.now, &w.up);
        update_clear(&w.up);
        tenth[group_next_deadline(g) % 1000 / 100]++;
        group_free(g);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenth[i], 60, 140);
    w.g = NULL;
    update_free(&w.up);
}

/* The hellos of all sentinels to all instances of a group meet, whenever each was started and
 * whatever its clock counts from; one that could not wait does not put it out of step. */
static void hellos_meet(void **state)
{
    static const struct group_saved none;
    struct world w;
    world_init(&w, 0, 0, 2);
    const ms_t publish = w.env.periods.publish;
    struct address replica = w.servers[0].addr;
    replica.port++;
    ms_t moment = -1;
    for (ms_t i = 0; i < 200; i++) {
        struct group_env env = w.env;
        env.common = 1700000000000 + 7919 * i;
        const ms_t now = w.now + 31 * i;
        struct group *g =
            group_new(1, "cache-1", &w.servers[0].addr, &w.set, &none, &env, 1 + (uint64_t)i, now);
        assert_true(group_add_known_replica(g, &replica, now));
        const ms_t first = g->master->next_hello;
        assert_in_range(first - now, 1, 3 * publish / 2);
        assert_int_equal(g->replicas[0]->next_hello, first);
        const ms_t again = group_hello_after(g, first + i * 9);
        assert_in_range(again - (first + i * 9), publish / 2, 3 * publish / 2);
        moment = moment < 0 ? (first + env.common) % publish : moment;
        assert_int_equal((first + env.common) % publish, moment);
        assert_int_equal((again + env.common) % publish, moment);
        group_free(g);
    }
    w.g = NULL;
    update_free(&w.up);
}

static void info_of_replicas_in_trouble(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.show = SHOW_SEND;
    w.env.muted = true;
    kill_server(&w, 0);
    w.peers[0].says_down = true;
    run_until(&w, 30000);
    forget_lines(&w);
    run_for(&w, 10000);
    assert_int_equal(count_sends(&w, "7001").info, 10);
    /* Its own link down is trouble enough. */
    w.servers[0].alive = true;
    w.peers[0].says_down = false;
    w.servers[1].link_down = 4000;
    run_for(&w, 12000);
    forget_lines(&w);
    run_for(&w, 10000);
    assert_int_equal(count_sends(&w, "7001").info, 10);
    w.servers[1].link_down = 0;
    run_for(&w, 12000);
    forget_lines(&w);
    run_for(&w, 20000);
    assert_int_equal(count_sends(&w, "7001").info, 2);
    world_end(&w);
}

/* --- links ------------------------------------------------------------------------------- */

static void links_are_tried_once_a_period(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.show = SHOW_LINK;
    kill_server(&w, 0);
    forget_lines(&w);
    run_for(&w, 10000);
    assert_int_equal(w.line_count, 20); /* 10 of each link */
    world_end(&w);
}

static void silent_links_are_reopened(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    w.set.down_after = 20000;
    world_start(&w, NULL);
    run_until(&w, 30000);
    forget_lines(&w);
    w.show = SHOW_LINK | SHOW_TIME;
    w.servers[0].deaf = true;
    run_for(&w, 1100);
    const ms_t pending = w.g->master->live.ping_pending;
    run_for(&w, 20000);
    assert_true(seen(&w, "[3"));
    bool cmd = false, pubsub = false;
    for (size_t i = 0; i + 1 < w.line_count; i++) {
        const ms_t at = atol(w.lines[i] + 1) + w.start;
        if (strstr(w.lines[i], "close 7000 cmd") != NULL) {
            cmd = true;
            assert_in_range(at - pending, 10001, 11001);
        }
        if (strstr(w.lines[i], "close 7000 pubsub") != NULL && !pubsub) {
            pubsub = true;
            assert_true(at - (30000 + w.start) <= 8001);
        }
    }
    assert_true(cmd);
    assert_true(pubsub);
    /* A new link proves nothing: the time goes on. */
    assert_int_equal(w.g->master->live.ping_pending, pending);
    assert_true(w.g->master->flags & FLAG_S_DOWN);
    world_end(&w);
}

static void reconnect(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.show = SHOW_LINK;
    step(&w, (struct group_event){.kind = GROUP_RECONNECT});
    EXPECT(&w, "close 7000 cmd", "close 7000 pubsub", "open 7000 cmd", "open 7000 pubsub",
           "close 7001 cmd", "close 7001 pubsub", "open 7001 cmd", "open 7001 pubsub");
    world_end(&w);
}

static void a_link_is_opened_once(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.servers[0].vague = true;
    w.show = SHOW_LINK;
    kill_server(&w, 0);
    EXPECT(&w, "open 7000 cmd", "open 7000 pubsub");
    run_for(&w, 10000);
    EXPECT_NOTHING(&w);
    step(&w, (struct group_event){.kind = GROUP_LINK_UP, .inst = w.g->master, .link = LINK_CMD});
    step(&w, (struct group_event){.kind = GROUP_LINK_UP, .inst = w.g->master, .link = LINK_PUBSUB});
    assert_false(w.g->master->live.cmd_opening);
    assert_false(w.g->master->live.pubsub_opening);
    /* Neither is it given up while it is opening. */
    link_down(&w, w.g->master, LINK_CMD);
    step(&w, (struct group_event){.kind = GROUP_RECONNECT});
    EXPECT(&w, "open 7000 cmd", "close 7000 cmd", "close 7000 pubsub", "open 7000 cmd",
           "open 7000 pubsub");
    world_end(&w);
}

static void info_is_spread(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    static const struct group_saved none;
    uint32_t seconds[11] = {0};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        w.g = group_new(7, "g", &w.servers[0].addr, &w.set, &none, &w.env, seed, w.now);
        update_clear(&w.up);
        group_start(w.g, false, w.now, &w.up);
        carry_out(&w);
        const ms_t after = w.g->master->server->next_info - w.now;
        assert_in_range(after, 1, 11000);
        seconds[after / 1000]++;
        group_free(w.g);
    }
    for (int i = 1; i < 10; i++)
        assert_in_range(seconds[i], 60, 140);
    update_free(&w.up);
    forget_lines(&w);
}

static void short_periods(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    w.env.periods.info = 100;
    w.env.periods.publish = 250;
    world_start(&w, NULL);
    run_until(&w, 20000);
    forget_lines(&w);
    w.show = SHOW_SEND;
    run_for(&w, 10000);
    const struct sends n = count_sends(&w, "7000");
    assert_int_equal(n.info, 100);
    assert_int_equal(n.ping, 10);
    assert_in_range(n.hello, 40, 50);
    world_end(&w);
}

static void links_that_speak_stay(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    world_start(&w, NULL);
    run_until(&w, 30000);
    forget_lines(&w);
    w.show = SHOW_LINK;
    w.servers[0].deaf = true; /* our own hello does not come back, but others' do */
    for (int i = 0; i < 10; i++) {
        run_for(&w, 2000);
        step(&w, (struct group_event){.kind = GROUP_PUBSUB, .inst = w.g->master});
        step(&w, (struct group_event){.kind = GROUP_REPLY, .inst = w.g->master});
    }
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void a_sentinel_that_comes_up_hears_what_is_due(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.show = SHOW_SEND;
    w.peers[0].alive = false;
    give_peer(&w, 0);
    run_for(&w, 4000);
    assert_false(seen(&w, "send b"));
    w.peers[0].alive = true;
    forget_lines(&w);
    give_peer(&w, 0);
    EXPECT(&w, "send b hello");
    give_peer(&w, 0);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_write_a_beat),
        cmocka_unit_test(late_ticks_do_not_shift_the_beat),
        cmocka_unit_test(small_down_after_pings_more),
        cmocka_unit_test(groups_are_spread),
        cmocka_unit_test(hellos_meet),
        cmocka_unit_test(info_of_replicas_in_trouble),
        cmocka_unit_test(links_are_tried_once_a_period),
        cmocka_unit_test(silent_links_are_reopened),
        cmocka_unit_test(reconnect),
        cmocka_unit_test(a_link_is_opened_once),
        cmocka_unit_test(info_is_spread),
        cmocka_unit_test(short_periods),
        cmocka_unit_test(links_that_speak_stay),
        cmocka_unit_test(a_sentinel_that_comes_up_hears_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
