/* The state machine of a failover, step by step (protocol.md §7; design.md §4.8). */
#include "group_outage.h"

/* --- a leader's way ---------------------------------------------------------------------- */

/* scenarios.md C: the order of the log that operators know. */
static void the_fourteen_steps(void **state)
{
    struct world w;
    outage(&w, 1, 1, 2);
    w.auto_elect = true;
    run_until(&w, 27000);
    EXPECT(&w, "+sdown " MASTER, "+odown " MASTER " #quorum 2/2", "ballot want", "+new-epoch 1",
           "+try-failover " MASTER, "+vote-for-leader " ID_A " 1",
           "log " ID_B " voted for " ID_A " 1", "ballot answer b votes a 1 heard 0",
           "+elected-leader " MASTER, "crash-point election",
           "+failover-state-select-slave " MASTER, "+selected-slave " REPLICA1,
           "+failover-state-send-slaveof-noone " REPLICA1, "slaveof 7001 no one",
           "+failover-state-wait-promotion " REPLICA1,
           "-role-change " REPLICA1 " new reported role is master", "ballot config 1 7001",
           "+promoted-slave " REPLICA1, "crash-point promotion",
           "+failover-state-reconf-slaves " MASTER, "script leader 7000 7001",
           "+failover-end " MASTER, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001", "ballot end");
    assert_int_equal(w.g->config_epoch, 1);
    assert_int_equal(w.g->master->addr.port, 7001);
    assert_int_equal(w.g->fo.state, FAILOVER_NONE);
    assert_false(group_urgent(w.g));
    /* The old master is judged anew, as a replica. */
    run_for(&w, 10000);
    EXPECT(&w, "+sdown slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001");
    /* It comes back as master, and is converted within 10 s: it is asked for INFO more often. */
    w.servers[0].alive = true;
    run_for(&w, 10000);
    EXPECT(
        &w, "-sdown slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
        "-role-change slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001 new reported "
        "role is master",
        "slaveof 7000 7001",
        "+convert-to-slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
        "+role-change slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001 new reported "
        "role is slave");
    /* And back again. */
    kill_server(&w, 1);
    run_for(&w, 10000);
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7001 127.0.0.1 7000"));
    assert_int_equal(w.g->config_epoch, 2);
    world_end(&w);
}

static void links_survive_the_switch(void **state)
{
    struct world w;
    outage(&w, 2, 1, 2);
    w.show = SHOW_LINK | SHOW_SEND | SHOW_EVENT;
    w.auto_elect = true;
    run_until(&w, 27000);
    assert_true(seen(&w, "+switch-master"));
    assert_false(seen(&w, "close 7001"));
    assert_false(seen(&w, "open 7001"));
    assert_false(seen(&w, "forget"));
    /* Hello at once to everybody, when it is durable and at the switch. */
    assert_true(count(&w, "send b hello") >= 2);
    assert_true(seen(&w, "send 7001 info hello"));
    assert_true(seen(&w, "send 7002 info hello"));
    world_end(&w);
}

static void replicas_one_after_the_other(void **state)
{
    struct world w;
    promoting(&w, 3);
    w.peers[0].silent = true;
    for (int i = 1; i <= 3; i++) {
        w.servers[i].no_promote = false;
        w.servers[i].sync_slow = true;
    }
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "-role-change " REPLICA1 " new reported role is master", "ballot config 1 7001",
           "+promoted-slave " REPLICA1, "crash-point promotion",
           "+failover-state-reconf-slaves " MASTER, "script leader 7000 7001", "slaveof 7002 7001",
           "+slave-reconf-sent " REPLICA2, "+slave-reconf-inprog " REPLICA2);
    run_for(&w, 3000);
    assert_false(seen(&w, "slaveof"));
    forget_lines(&w);
    w.servers[2].link_up = true;
    run_for(&w, 1000);
    EXPECT(&w, "+slave-reconf-done " REPLICA2, "slaveof 7003 7001", "+slave-reconf-sent " REPLICA3,
           "+slave-reconf-inprog " REPLICA3);
    w.servers[3].link_up = true;
    run_for(&w, 1000);
    EXPECT(&w, "+slave-reconf-done " REPLICA3, "+failover-end " MASTER,
           "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7003 127.0.0.1 7003 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001", "ballot end");
    world_end(&w);
}

static void parallel_syncs(void **state)
{
    struct world w;
    promoting(&w, 4);
    w.g->set.parallel_syncs = 2;
    for (int i = 1; i <= 4; i++) {
        w.servers[i].no_promote = false;
        w.servers[i].sync_slow = true;
    }
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    assert_int_equal(count(&w, "slaveof"), 2);
    world_end(&w);
}

static void the_current_address_changes_first(void **state)
{
    struct world w;
    struct group_view view;
    promoting(&w, 2);
    w.auto_config = false;
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "-role-change " REPLICA1 " new reported role is master", "ballot config 1 7001");
    /* Nothing shows before it is durable, and nothing times out. */
    group_view(w.g, &view);
    assert_int_equal(view.current.port, 7000);
    assert_int_equal(view.config_epoch, 0);
    run_for(&w, 70000);
    assert_false(seen(&w, "-failover-abort"));
    assert_false(seen(&w, "+promoted"));
    assert_int_equal(count(&w, "ballot config"), 0);
    w.servers[2].no_exec = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = 1, .addr = w.servers[1].addr});
    group_view(w.g, &view);
    assert_int_equal(view.current.port, 7001);
    assert_int_equal(view.master.port, 7000);
    assert_int_equal(view.config_epoch, 1);
    assert_true(view.failover);
    world_end(&w);
}

static void looks_again_soon(void **state)
{
    struct world w;
    promoting(&w, 1);
    w.show = SHOW_SEND;
    run_for(&w, 1000);
    /* 50 ms apart at first, then less often. */
    assert_in_range(count(&w, "send 7001"), 8, 20);
    run_for(&w, 20000);
    forget_lines(&w);
    run_for(&w, 10000);
    assert_in_range(count(&w, "send 7001"), 10, 25);
    world_end(&w);
}

static void cut_links_are_reopened_at_once(void **state)
{
    struct world w;
    promoting(&w, 1);
    run_for(&w, 100);
    forget_lines(&w);
    w.show = SHOW_LINK;
    struct instance *promoted = inst_of(&w, 1);
    promoted->live.pubsub_tried = w.now - 10;
    link_down(&w, promoted, LINK_PUBSUB);
    EXPECT(&w, "open 7001 pubsub"); /* although it was tried 10 ms ago */
    assert_true(promoted->live.pubsub_up);
    /* But not in a circle. */
    link_down(&w, promoted, LINK_PUBSUB);
    EXPECT_NOTHING(&w);
    run_for(&w, 900);
    assert_false(seen(&w, "open 7001 pubsub"));
    run_for(&w, 100);
    assert_true(seen(&w, "open 7001 pubsub"));
    world_end(&w);
}

static void a_lost_transaction_is_sent_again(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    w.servers[1].no_exec = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_true(seen(&w, "slaveof 7001 no one"));
    forget_lines(&w);
    run_for(&w, 5000);
    assert_false(seen(&w, "slaveof"));
    w.servers[1].no_exec = false;
    link_down(&w, inst_of(&w, 1), LINK_CMD);
    run_for(&w, 2000);
    assert_int_equal(count(&w, "slaveof 7001 no one"), 1);
    assert_true(seen(&w, "+promoted-slave"));
    world_end(&w);
}

static void a_refused_transaction_is_tried_again(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    w.servers[1].fail_exec = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    forget_lines(&w);
    run_for(&w, 5000);
    assert_in_range(count(&w, "slaveof 7001 no one"), 2, 5);
    w.servers[1].fail_exec = false;
    run_for(&w, 2000);
    assert_true(seen(&w, "+switch-master"));
    world_end(&w);
}

static void fresh_info_before_selection(void **state)
{
    struct world w;
    attempting(&w, 2, 1, 2);
    w.show |= SHOW_SEND;
    /* 2 has got further than its last INFO said; 1 does not answer. */
    w.servers[2].offset = 5000;
    w.servers[1].deaf = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    EXPECT(&w, "+elected-leader " MASTER, "crash-point election",
           "+failover-state-select-slave " MASTER, "send 7001 info", "send 7002 info");
    run_for(&w, 999);
    assert_int_equal(w.g->fo.state, FAILOVER_SELECT_SLAVE);
    run_for(&w, 1);
    assert_true(seen(&w, "+selected-slave " REPLICA2));
    world_end(&w);
}

static void a_half_promoted_replica_goes_first(void **state)
{
    struct world w;
    outage(&w, 2, 1, 2);
    run_until(&w, 26000);
    /* b leads with our vote, promotes replica 2, which is behind, and dies. */
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 1, .leader = id_of('b')});
    w.now += 100;
    w.servers[2].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 2));
    w.auto_elect = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .reason = LOST_JOURNAL});
    run_for(&w, 5000);
    assert_true(seen(&w, "+selected-slave " REPLICA2));
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7002"));
    world_end(&w);
}

static void not_one_that_turned_master_before_any_vote(void **state)
{
    struct world w;
    outage(&w, 2, 1, 2);
    run_until(&w, 26000);
    w.servers[2].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 2));
    run_for(&w, 100);
    w.auto_elect = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .reason = LOST_JOURNAL});
    run_for(&w, 5000);
    assert_true(seen(&w, "+selected-slave " REPLICA1));
    world_end(&w);
}

static void command_links_are_reopened_at_once_too(void **state)
{
    struct world w;
    promoting(&w, 2);
    run_for(&w, 100);
    forget_lines(&w);
    w.show = SHOW_LINK;
    struct instance *other = inst_of(&w, 2);
    other->live.cmd_tried = w.now - 10;
    link_down(&w, other, LINK_CMD);
    EXPECT(&w, "open 7002 cmd");
    link_down(&w, other, LINK_CMD);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

/* A vote of an outage that is over says nothing about the next one. */
static void everybody_hears_of_the_promotion_at_once(void **state)
{
    struct world w;
    promoting(&w, 2);
    w.servers[2].no_exec = true;
    w.servers[1].role = ROLE_MASTER;
    w.show = SHOW_SEND | SHOW_EVENT;
    give_info(&w, inst_of(&w, 1));
    EXPECT(&w, "-role-change " REPLICA1 " new reported role is master", "+promoted-slave " REPLICA1,
           "+failover-state-reconf-slaves " MASTER, "send 7001 hello", "send 7002 hello",
           "send b hello", "+slave-reconf-sent " REPLICA2);
    world_end(&w);
}

static void a_hung_old_master_gets_its_time(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.peers[0].says_down = true;
    w.auto_elect = true;
    w.servers[0].deaf = true; /* connected, silent */
    run_until(&w, 27000);
    assert_true(seen(&w, "+switch-master"));
    const ms_t since = w.g->replicas[0]->server->role_since;
    forget_lines(&w);
    w.show = SHOW_EVENT | SHOW_TIME;
    run_until(&w, since + 10000 - w.start);
    char text[120];
    snprintf(text, sizeof(text),
             "[%lld] +sdown slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
             (long long)(since + 5001 - w.start));
    EXPECT(&w, text);
    world_end(&w);
}

static void hosts_keep_their_links(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    int data[3];
    for (uint32_t i = 0; i < 3; i++)
        inst_of(&w, i)->host = &data[i];
    w.auto_elect = true;
    assert_int_equal(command_failover(&w), GROUP_OK);
    run_for(&w, 1000);
    assert_int_equal(w.g->master->addr.port, 7001);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(inst_of(&w, i)->host, &data[i]);
        assert_true(inst_of(&w, i)->live.cmd_up);
        assert_true(inst_of(&w, i)->live.pubsub_up);
        assert_int_not_equal(inst_of(&w, i)->live.pubsub_since, 0);
        assert_int_not_equal(inst_of(&w, i)->live.cmd_since, 0);
    }
    world_end(&w);
}

/* --- reconfiguration's troubles ---------------------------------------------------------- */

static void reconf_times_out(void **state)
{
    struct world w;
    reconfiguring(&w, 3);
    const ms_t sent = inst_of(&w, 2)->server->reconf_sent_at;
    run_until(&w, sent + 10000 - w.start);
    assert_false(seen(&w, "-slave-reconf-sent-timeout"));
    forget_lines(&w);
    run_for(&w, 1);
    EXPECT(&w, "-slave-reconf-sent-timeout " REPLICA2, "slaveof 7002 7001",
           "+slave-reconf-sent " REPLICA2, "slaveof 7003 7001", "+slave-reconf-sent " REPLICA3);
    run_for(&w, 10001);
    assert_true(seen(&w, "-slave-reconf-sent-timeout " REPLICA3));
    assert_true(seen(&w, "+failover-end " MASTER));
    assert_false(seen(&w, "+failover-end-for-timeout"));
    assert_true(seen(&w, "+switch-master"));
    world_end(&w);
}

static void failover_ends_for_timeout(void **state)
{
    struct world w;
    promoting(&w, 3);
    w.servers[1].no_promote = w.servers[2].no_promote = w.servers[3].no_promote = false;
    w.servers[2].sync_slow = true; /* it follows, and its link never comes up */
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    const ms_t changed = w.g->fo.changed;
    run_until(&w, changed + 60000 - w.start);
    assert_false(seen(&w, "+failover-end"));
    assert_false(seen(&w, "slaveof 7003"));
    forget_lines(&w);
    run_for(&w, 1);
    EXPECT(&w, "+failover-end-for-timeout " MASTER, "+failover-end " MASTER, "slaveof 7003 7001",
           "+slave-reconf-sent-be " REPLICA3,
           "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7003 127.0.0.1 7003 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001", "ballot end");
    world_end(&w);
}

static void nothing_ends_while_the_new_master_is_down(void **state)
{
    struct world w;
    reconfiguring(&w, 2);
    kill_server(&w, 1);
    run_for(&w, 100000);
    assert_true(seen(&w, "+sdown " REPLICA1));
    assert_false(seen(&w, "+failover-end"));
    forget_lines(&w);
    w.servers[1].alive = true;
    run_for(&w, 1000);
    assert_true(seen(&w, "-sdown " REPLICA1));
    assert_true(seen(&w, "+failover-end-for-timeout"));
    world_end(&w);
}

static void replicas_that_are_down_are_left_out(void **state)
{
    struct world w;
    promoting(&w, 2);
    kill_server(&w, 2);
    run_for(&w, 10000);
    assert_true(seen(&w, "+sdown " REPLICA2));
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "+failover-end " MASTER));
    assert_false(seen(&w, "slaveof 7002"));
    /* Back again, following nobody's: it is told after failover-timeout. */
    forget_lines(&w);
    w.servers[2].alive = true;
    run_for(&w, 90000);
    assert_true(seen(&w, "slaveof 7002 7001"));
    assert_true(seen(&w, "+fix-slave-config"));
    world_end(&w);
}

/* --- TILT -------------------------------------------------------------------------------- */

static void tilt_stops_every_step(void **state)
{
    struct world w;
    attempting(&w, 2, 1, 2);
    w.env.tilt = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    run_for(&w, 30000);
    EXPECT_NOTHING(&w);
    w.servers[1].no_promote = true;
    w.env.tilt = false;
    run_for(&w, 1000);
    assert_true(seen(&w, "+elected-leader"));
    assert_true(seen(&w, "+failover-state-wait-promotion"));
    forget_lines(&w);
    w.env.tilt = true;
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    run_for(&w, 100000); /* far beyond failover-timeout */
    EXPECT(&w, "-role-change " REPLICA1 " new reported role is master");
    w.env.tilt = false;
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "ballot config 1 7001"));
    world_end(&w);
}

static void reconfigured_replicas_are_looked_at_soon(void **state)
{
    struct world w;
    reconfiguring(&w, 2);
    w.show = SHOW_SEND;
    run_for(&w, 1000);
    assert_in_range(count(&w, "send 7002 info"), 8, 20);
    run_for(&w, 4000);
    forget_lines(&w);
    run_for(&w, 3000);
    assert_in_range(count(&w, "send 7002"), 3, 12);
    world_end(&w);
}

/* The answer of another transaction is not that of the promotion. */
static void another_transaction_is_answered(void **state)
{
    struct world w;
    attempting(&w, 2, 1, 2);
    w.servers[1].no_exec = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_PROMOTION);
    step(&w, (struct group_event){.kind = GROUP_EXEC, .inst = inst_of(&w, 2), .ok = true});
    assert_false(w.g->fo.exec_ok);
    step(&w, (struct group_event){.kind = GROUP_EXEC, .inst = inst_of(&w, 2), .ok = false});
    assert_false(w.g->fo.lost_exec);
    step(&w, (struct group_event){.kind = GROUP_EXEC, .inst = inst_of(&w, 1), .ok = true});
    assert_true(w.g->fo.exec_ok);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fourteen_steps),
        cmocka_unit_test(links_survive_the_switch),
        cmocka_unit_test(replicas_one_after_the_other),
        cmocka_unit_test(parallel_syncs),
        cmocka_unit_test(the_current_address_changes_first),
        cmocka_unit_test(looks_again_soon),
        cmocka_unit_test(cut_links_are_reopened_at_once),
        cmocka_unit_test(a_lost_transaction_is_sent_again),
        cmocka_unit_test(a_refused_transaction_is_tried_again),
        cmocka_unit_test(fresh_info_before_selection),
        cmocka_unit_test(a_half_promoted_replica_goes_first),
        cmocka_unit_test(not_one_that_turned_master_before_any_vote),
        cmocka_unit_test(command_links_are_reopened_at_once_too),
        cmocka_unit_test(everybody_hears_of_the_promotion_at_once),
        cmocka_unit_test(a_hung_old_master_gets_its_time),
        cmocka_unit_test(hosts_keep_their_links),
        cmocka_unit_test(reconf_times_out),
        cmocka_unit_test(failover_ends_for_timeout),
        cmocka_unit_test(nothing_ends_while_the_new_master_is_down),
        cmocka_unit_test(replicas_that_are_down_are_left_out),
        cmocka_unit_test(tilt_stops_every_step),
        cmocka_unit_test(reconfigured_replicas_are_looked_at_soon),
        cmocka_unit_test(another_transaction_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
