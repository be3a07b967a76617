/* INFO and hellos: replicas, roles, corrections, sentinels (protocol.md §4, 5). */
#include "group_world.h"

/* --- INFO -------------------------------------------------------------------------------- */

static void start_discovers_replicas(void **state)
{
    struct world w;
    world_init(&w, 2, 0, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK | SHOW_SEND;
    world_start(&w, NULL);
    EXPECT(&w, "ballot add quorum 2 config-epoch 0",
           "+monitor master mymaster 127.0.0.1 7000 quorum 2", "open 7000 cmd", "open 7000 pubsub",
           "send 7000 ping info",
           "+slave slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
           "record replica 7001", "open 7001 cmd", "open 7001 pubsub",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7000",
           "record replica 7002", "open 7002 cmd", "open 7002 pubsub", "send 7001 ping info",
           "send 7002 ping info");
    /* Later INFO brings nothing new. */
    w.show = SHOW_EVENT | SHOW_RECORD;
    run_until(&w, 30000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void known_instances_are_silent(void **state)
{
    struct world w;
    world_init(&w, 1, 1, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD;
    const struct group_saved saved = {
        .config_epoch = 15, .leader_epoch = 8394, .has_leader_epoch = true, .leader = id_of('c')};
    w.env.current_epoch = 8394;
    w.g = group_new(7, "mymaster", &w.servers[0].addr, &w.set, &saved, &w.env, 42, w.now);
    assert_true(group_add_known_replica(w.g, &w.servers[1].addr, w.now));
    assert_false(group_add_known_replica(w.g, &w.servers[1].addr, w.now));
    assert_false(group_add_known_replica(w.g, &w.servers[0].addr, w.now));
    assert_true(group_add_known_sentinel(w.g, &w.peers[0].addr, &w.peers[0].runid, w.now));
    assert_false(group_add_known_sentinel(w.g, &w.peers[0].addr, &w.peers[0].runid, w.now));
    struct address other = addr_of("127.0.0.1", 30000);
    assert_false(group_add_known_sentinel(w.g, &other, &w.env.myid, w.now));
    struct runid id = id_of('e');
    assert_false(group_add_known_sentinel(w.g, &w.peers[0].addr, &id, w.now));
    group_start(w.g, true, w.now, &w.up);
    carry_out(&w);
    EXPECT(&w, "ballot add quorum 2 config-epoch 15 votes", "ballot member-add b",
           "+monitor master mymaster 127.0.0.1 7000 quorum 2");
    struct group_view view;
    group_view(w.g, &view);
    assert_int_equal(view.config_epoch, 15);
    assert_int_equal(view.leader_epoch, 8394);
    assert_true(runid_equal(&view.leader, &saved.leader));
    assert_int_equal(view.replicas, 1);
    assert_int_equal(view.sentinels, 1);
    /* A known sentinel's hello is nothing new, nor is a known replica in INFO. */
    meet(&w, 0);
    run_until(&w, 11000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void no_saved_vote_starts_at_current_epoch(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 1);
    w.env.current_epoch = 77;
    world_start(&w, NULL);
    assert_int_equal(w.g->leader_epoch, 77);
    assert_false(runid_known(&w.g->leader));
    world_end(&w);
}

static void role_changes_and_conversion(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.show |= SHOW_TIME;
    /* A replica that says master: reported at once, converted after 4 publish-periods. */
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "[20000] -role-change slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000 "
               "new reported role is master");
    run_until(&w, 27999);
    EXPECT_NOTHING(&w);
    give_info(&w, inst_of(&w, 1));
    w.now += 1; /* 28000: exactly 4 publish-periods, not yet more */
    give_info(&w, inst_of(&w, 1));
    EXPECT_NOTHING(&w);
    w.now += 1;
    give_info(&w, inst_of(&w, 1));
    EXPECT(
        &w, "[28001] slaveof 7001 7000",
        "[28001] +convert-to-slave slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
        "[28001] +role-change slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000 new "
        "reported role is slave");
    world_end(&w);
}

/* Whoever still knows it writes to it meanwhile: it is asked as soon as the time is over. */
static void conversion_comes_on_time(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.now += 137; /* between two beats */
    w.show |= SHOW_TIME;
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    forget_lines(&w);
    run_until(&w, 28137);
    EXPECT_NOTHING(&w);
    run_until(&w, 28138);
    EXPECT(
        &w, "[28138] slaveof 7001 7000",
        "[28138] +convert-to-slave slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
        "[28138] +role-change slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000 new "
        "reported role is slave");
    world_end(&w);
}

/* A master's INFO has no priority: that of a replica which was promoted stays known. */
static void priority_is_a_replicas_word(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.servers[1].priority = 10;
    give_info(&w, inst_of(&w, 1));
    assert_int_equal(inst_of(&w, 1)->server->priority, 10);
    w.servers[1].role = ROLE_MASTER;
    w.servers[1].priority = 100;
    give_info(&w, inst_of(&w, 1));
    assert_int_equal(inst_of(&w, 1)->server->priority, 10);
    world_end(&w);
}

static void no_conversion_without_a_sane_master(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 2);
    w.servers[1].role = ROLE_MASTER;
    kill_server(&w, 0);
    run_until(&w, 60000);
    assert_false(seen(&w, "slaveof"));
    forget_lines(&w);
    /* Down itself until a moment ago: the time begins anew. */
    w.servers[0].alive = true;
    run_until(&w, 62000);
    assert_true(seen(&w, "-sdown master"));
    run_until(&w, 75000);
    assert_true(seen(&w, "slaveof 7001 7000"));
    world_end(&w);
}

static void no_conversion_after_its_own_outage(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 2);
    w.show = SHOW_EVENT | SHOW_SLAVEOF | SHOW_TIME;
    kill_server(&w, 1);
    run_until(&w, 40000);
    w.servers[1].alive = true;
    w.servers[1].role = ROLE_MASTER;
    forget_lines(&w);
    run_until(&w, 60000);
    const ms_t up = inst_of(&w, 1)->down_until - w.start;
    assert_in_range(up, 40000, 41001);
    assert_true(seen(&w, "[4"));
    /* The first INFO later than 8 s after -sdown. */
    size_t i = 0;
    while (i < w.line_count && strstr(w.lines[i], "slaveof") == NULL)
        i++;
    assert_true(i < w.line_count);
    assert_true(atol(w.lines[i] + 1) > up + 8000);
    world_end(&w);
}

static void no_conversion_in_tilt(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 2);
    w.servers[1].role = ROLE_MASTER;
    w.env.tilt = true;
    run_until(&w, 60000);
    assert_false(seen(&w, "slaveof"));
    w.env.tilt = false;
    run_until(&w, 72000);
    assert_true(seen(&w, "slaveof 7001 7000"));
    world_end(&w);
}

static void foreign_master_is_fixed(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.show |= SHOW_TIME;
    w.servers[1].master = addr_of("127.0.0.9", 9999);
    give_info(&w, inst_of(&w, 1));
    assert_string_equal(inst_of(&w, 1)->server->master_name, "127.0.0.9");
    run_until(&w, 80000);
    EXPECT_NOTHING(&w);
    w.now += 1; /* failover-timeout and 1 ms */
    give_info(&w, inst_of(&w, 1));
    EXPECT(
        &w, "[80001] slaveof 7001 7000",
        "[80001] +fix-slave-config slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000");
    run_until(&w, 200000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void a_correction_gets_time(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.servers[1].role = ROLE_MASTER;
    w.servers[1].no_exec = true;
    give_info(&w, inst_of(&w, 1));
    w.now += 9000;
    give_info(&w, inst_of(&w, 1));
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "-role-change"));
    size_t sent = 0;
    for (size_t i = 0; i < w.line_count; i++)
        sent += strncmp(w.lines[i], "slaveof", 7) == 0;
    assert_int_equal(sent, 1);
    world_end(&w);
}

static void reboot_is_told(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.servers[0].runid = id_of('f');
    give_info(&w, w.g->master);
    w.servers[1].runid = id_of('e');
    w.servers[1].role = ROLE_MASTER; /* came back empty */
    give_info(&w, inst_of(&w, 1));
    EXPECT(
        &w, "+reboot master mymaster 127.0.0.1 7000",
        "+reboot slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
        "-role-change slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000 new reported "
        "role is master");
    assert_int_equal(inst_of(&w, 1)->server->turned_master_at, 0);
    assert_false(w.g->master->flags &
                 FLAG_MASTER_REBOOT); /* master-reboot-down-after-period: off */
    world_end(&w);
}

static void hostile_info(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    static struct info info;
    memset(&info, 0, sizeof(info));
    info.role = ROLE_UNKNOWN;
    const uint64_t dropped = w.g->dropped;
    step(&w, (struct group_event){.kind = GROUP_INFO, .inst = w.g->master, .info = &info});
    assert_int_equal(w.g->dropped, dropped + 1);
    assert_int_equal(w.g->master->server->role, ROLE_MASTER);
    /* The master names itself, and more replicas than there is room for. */
    info = info_of(&w, &w.servers[0]);
    info.replica_count = 0;
    info.replicas[info.replica_count++] = w.servers[0].addr;
    while (info.replica_count < LIMIT_REPLICAS) {
        info.replicas[info.replica_count] = addr_of("10.0.0.1", 1 + (int)info.replica_count);
        info.replica_count++;
    }
    step(&w, (struct group_event){.kind = GROUP_INFO, .inst = w.g->master, .info = &info});
    assert_int_equal(w.g->replica_count, LIMIT_REPLICAS);
    info.replicas[1] = addr_of("10.0.0.2", 1);
    step(&w, (struct group_event){.kind = GROUP_INFO, .inst = w.g->master, .info = &info});
    assert_int_equal(w.g->replica_count, LIMIT_REPLICAS);
    assert_int_equal(w.g->dropped, dropped + 2);
    world_end(&w);
}

/* --- hellos ------------------------------------------------------------------------------ */

static void sentinels_meet(void **state)
{
    struct world w;
    world_init(&w, 0, 2, 2);
    world_start(&w, NULL);
    forget_lines(&w);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK;
    meet(&w, 0);
    EXPECT(&w,
           "+sentinel sentinel bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 127.0.0.1 26380 @ mymaster "
           "127.0.0.1 7000",
           "ballot member-add b", "record sentinel 26380b", "open b cmd");
    meet(&w, 0);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->member_added, w.now);
    /* Our own that came back. */
    struct hello hello = hello_of(&w, 0);
    hello.runid = w.env.myid;
    give_hello(&w, &hello);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->sentinel_count, 1);
    assert_ptr_equal(group_find_sentinel_at(w.g, &w.peers[0].addr), sent_of(&w, 0));
    world_end(&w);
}

static void unchanged_hello_costs_nothing(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    const ms_t deadline = group_next_deadline(w.g);
    struct hello hello = hello_of(&w, 0);
    struct group_event ev = {.kind = GROUP_HELLO, .now = w.now + 5, .hello = &hello};
    update_clear(&w.up);
    group_step(w.g, &ev, &w.up);
    assert_int_equal(w.up.count, 0);
    assert_false(w.up.view_changed);
    assert_int_equal(group_next_deadline(w.g), deadline);
    assert_int_equal(sent_of(&w, 0)->peer->hello_at, w.now + 5);
    world_end(&w);
}

static void sentinel_moves(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK | SHOW_OTHER;
    struct hello hello = hello_of(&w, 0);
    hello.sentinel = addr_of("127.0.0.5", 26999);
    w.peers[0].addr = hello.sentinel;
    give_hello(&w, &hello);
    EXPECT(&w,
           "+sentinel-address-switch master mymaster 127.0.0.1 7000 ip 127.0.0.5 port 26999 for "
           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
           "close b cmd", "record sentinel 26999b", "open b cmd", "moved b 26999");
    /* To the address of another, who is gone then: never one process counted twice. */
    hello.sentinel = w.peers[1].addr;
    give_hello(&w, &hello);
    EXPECT(&w,
           "+sentinel-invalid-addr sentinel cccccccccccccccccccccccccccccccccccccccc 127.0.0.1 "
           "26381 @ mymaster 127.0.0.1 7000",
           "ballot member-drop c", "record no-sentinel 26381c", "forget c", "invalid b 26381",
           "+sentinel-address-switch master mymaster 127.0.0.1 7000 ip 127.0.0.1 port 26381 for "
           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
           "close b cmd", "record sentinel 26381b", "open b cmd", "moved b 26381");
    assert_int_equal(w.g->sentinel_count, 1);
    world_end(&w);
}

static void sentinel_reborn_with_a_new_id(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK | SHOW_OTHER;
    struct hello hello = hello_of(&w, 0);
    hello.runid = w.peers[0].runid = id_of('e');
    give_hello(&w, &hello);
    EXPECT(&w,
           "+sentinel-invalid-addr sentinel bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 127.0.0.1 "
           "26380 @ mymaster 127.0.0.1 7000",
           "ballot member-drop b", "record no-sentinel 26380b", "forget b", "invalid e 26380",
           "+sentinel sentinel eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee 127.0.0.1 26380 @ mymaster "
           "127.0.0.1 7000",
           "ballot member-add e", "record sentinel 26380e", "open e cmd");
    assert_int_equal(w.g->sentinel_count, 2);
    world_end(&w);
}

static void news_from_other_groups(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK | SHOW_OTHER;
    struct group_event ev = {
        .kind = GROUP_SENTINEL_MOVED, .runid = id_of('b'), .addr = addr_of("127.0.0.5", 26999)};
    w.peers[0].addr = ev.addr;
    step(&w, ev);
    EXPECT(&w, "close b cmd", "record sentinel 26999b", "open b cmd");
    step(&w, ev);
    EXPECT_NOTHING(&w);
    ev.runid = id_of('e'); /* not known here */
    step(&w, ev);
    EXPECT_NOTHING(&w);
    ev.kind = GROUP_SENTINEL_INVALID; /* e is at b's address now */
    step(&w, ev);
    EXPECT(&w, "ballot member-drop b", "record no-sentinel 26999b", "forget b");
    ev.runid = id_of('c');
    ev.addr = w.peers[1].addr; /* c is where it is */
    step(&w, ev);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void epochs_of_hellos(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.peers[0].epoch = 5;
    meet(&w, 0);
    EXPECT(&w, "ballot epoch 5 b", "+new-epoch 5");
    assert_int_equal(sent_of(&w, 0)->peer->heard_epoch, 5);
    meet(&w, 0);
    EXPECT_NOTHING(&w);
    /* Too far away, or out of range: ignored and counted; nothing of such a hello is used. */
    const uint64_t dropped = w.g->dropped;
    struct hello hello = hello_of(&w, 0);
    hello.runid = id_of('e');
    hello.current_epoch = 5 + LIMIT_EPOCH_JUMP + 1;
    give_hello(&w, &hello);
    hello.current_epoch = LIMIT_EPOCH + 1;
    give_hello(&w, &hello);
    hello.current_epoch = 5;
    hello.config_epoch = 5 + LIMIT_EPOCH_JUMP + 1;
    give_hello(&w, &hello);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->dropped, dropped + 3);
    assert_int_equal(w.g->sentinel_count, 1);
    /* At the very edge. */
    w.peers[0].epoch = 5 + LIMIT_EPOCH_JUMP;
    meet(&w, 0);
    assert_true(seen(&w, "ballot epoch 4294967301 b"));
    world_end(&w);
}

static void no_more_than_there_is_room_for(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.show = 0;
    struct hello hello = {.master = w.g->master->addr};
    strcpy(hello.name, "mymaster");
    for (int i = 0; i < LIMIT_SENTINELS + 2; i++) {
        hello.sentinel = addr_of("10.1.0.1", 1000 + i);
        hello.runid = id_of('b');
        char tail[8];
        snprintf(tail, sizeof(tail), "%04x", (unsigned)i);
        memcpy(hello.runid.hex, tail, 4);
        give_hello(&w, &hello);
    }
    assert_int_equal(w.g->sentinel_count, LIMIT_SENTINELS);
    assert_int_equal(w.g->dropped, 2);
    world_end(&w);
}

static void a_correction_without_effect_is_repeated(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.show = SHOW_SLAVEOF | SHOW_TIME;
    w.servers[1].role = ROLE_MASTER;
    w.servers[1].no_promote = true;
    give_info(&w, inst_of(&w, 1));
    w.now += 8001;
    give_info(&w, inst_of(&w, 1));
    w.now += 2000;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "[28001] slaveof 7001 7000");
    w.now += 1;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "[30002] slaveof 7001 7000");
    world_end(&w);
}

/* A replica that was master meanwhile and then follows another: the wait begins at that change. */
static void a_foreign_master_since_the_role_changed(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.servers[1].no_promote = true;
    w.servers[1].master = addr_of("127.0.0.9", 9999);
    give_info(&w, inst_of(&w, 1));
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    run_for(&w, 5000);
    w.servers[1].role = ROLE_REPLICA;
    give_info(&w, inst_of(&w, 1));
    forget_lines(&w);
    w.now += 60000;
    give_info(&w, w.g->master);
    give_info(&w, inst_of(&w, 1));
    assert_false(seen(&w, "+fix-slave-config"));
    w.now += 1;
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "+fix-slave-config"));
    world_end(&w);
}

static void a_dead_sentinel_moves(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.peers[0].alive = false;
    give_peer(&w, 0);
    run_for(&w, 6000);
    struct instance *b = sent_of(&w, 0);
    assert_true(b->flags & FLAG_S_DOWN);
    b->flags |= FLAG_MASTER_DOWN;
    b->peer->down_reply_at = w.now;
    forget_lines(&w);
    w.peers[0].addr = addr_of("127.0.0.5", 26999);
    meet(&w, 0);
    EXPECT(&w,
           "+sentinel-address-switch master mymaster 127.0.0.1 7000 ip 127.0.0.5 port 26999 for "
           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
           "ballot member-up b", "moved b 26999");
    assert_int_equal(b->flags, 0);
    assert_int_equal(b->peer->down_reply_at, 0);
    assert_int_equal(b->sdown_since, 0);
    world_end(&w);
}

static void news_evict_silently(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    const struct group_event ev = {
        .kind = GROUP_SENTINEL_MOVED, .runid = id_of('b'), .addr = w.peers[1].addr};
    step(&w, ev);
    EXPECT(&w, "ballot member-drop c");
    assert_int_equal(w.g->sentinel_count, 1);
    world_end(&w);
}

static void a_config_epoch_raises_the_current_one(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    struct hello hello = hello_of(&w, 0);
    hello.current_epoch = 3;
    hello.config_epoch = 4; /* it cannot be, but it may be said */
    give_hello(&w, &hello);
    EXPECT(&w, "ballot epoch 4 b", "ballot config 4 7000", "+new-epoch 4", "ballot end");
    world_end(&w);
}

static void a_master_by_name(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 2);
    static struct info info;
    info = info_of(&w, &w.servers[1]);
    memset(&info.master, 0, sizeof(info.master));
    strcpy(info.master_host, "redis-0.example");
    step(&w, (struct group_event){.kind = GROUP_INFO, .inst = inst_of(&w, 1), .info = &info});
    assert_string_equal(inst_of(&w, 1)->server->master_name, "redis-0.example");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_discovers_replicas),
        cmocka_unit_test(known_instances_are_silent),
        cmocka_unit_test(no_saved_vote_starts_at_current_epoch),
        cmocka_unit_test(role_changes_and_conversion),
        cmocka_unit_test(conversion_comes_on_time),
        cmocka_unit_test(priority_is_a_replicas_word),
        cmocka_unit_test(no_conversion_without_a_sane_master),
        cmocka_unit_test(no_conversion_after_its_own_outage),
        cmocka_unit_test(no_conversion_in_tilt),
        cmocka_unit_test(foreign_master_is_fixed),
        cmocka_unit_test(a_correction_gets_time),
        cmocka_unit_test(reboot_is_told),
        cmocka_unit_test(hostile_info),
        cmocka_unit_test(sentinels_meet),
        cmocka_unit_test(unchanged_hello_costs_nothing),
        cmocka_unit_test(sentinel_moves),
        cmocka_unit_test(sentinel_reborn_with_a_new_id),
        cmocka_unit_test(news_from_other_groups),
        cmocka_unit_test(epochs_of_hellos),
        cmocka_unit_test(no_more_than_there_is_room_for),
        cmocka_unit_test(a_correction_without_effect_is_repeated),
        cmocka_unit_test(a_foreign_master_since_the_role_changed),
        cmocka_unit_test(a_dead_sentinel_moves),
        cmocka_unit_test(news_evict_silently),
        cmocka_unit_test(a_config_epoch_raises_the_current_one),
        cmocka_unit_test(a_master_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
