/* Attempts as the group sees them: wishes, asking, rounds, their ends, SENTINEL FAILOVER
 * (protocol.md §6, 7; design.md §4.3-4.9). */
#include "group_outage.h"

/* --- asking and rounds ------------------------------------------------------------------- */

static void asks_with_its_own_epoch(void **state)
{
    struct world w;
    wished(&w, 1, 2, 2);
    w.show = SHOW_ASK | SHOW_TIME;
    w.peers[0].silent = w.peers[1].silent = true;
    w.env.current_epoch = 9; /* grows on for other masters */
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 7, .round = 1});
    EXPECT(&w, "[27000] ask b 7000 7 vote", "[27000] ask c 7000 7 vote");
    run_for(&w, 1999);
    EXPECT(&w, "[28000] ask b 7000 7 vote", "[28000] ask c 7000 7 vote");
    /* A sentinel that comes up is asked at once. */
    w.peers[0].alive = false;
    give_peer(&w, 0);
    w.peers[0].alive = true;
    give_peer(&w, 0);
    EXPECT(&w, "[28999] ask b 7000 7 vote");
    world_end(&w);
}

static void asks_on_while_it_leads(void **state)
{
    struct world w;
    promoting(&w, 1);
    w.show = SHOW_ASK;
    run_for(&w, 2000);
    EXPECT(&w, "ask b 7000 1 vote", "ask b 7000 1 vote");
    world_end(&w);
}

static void answers_go_to_the_elector(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    sent_of(&w, 0)->peer->heard_epoch = 33;
    const struct group_event refused = {.kind = GROUP_ANSWER, .inst = sent_of(&w, 0), .down = true};
    step(&w, refused);
    EXPECT(&w, "ballot answer b votes * 0 heard 33");
    struct group_event other = refused;
    other.runid = id_of('c');
    other.epoch = 5;
    step(&w, other);
    step(&w, other);
    EXPECT(&w, "log " ID_B " voted for " ID_C " 5", "ballot answer b votes c 5 heard 33",
           "ballot answer b votes c 5 heard 33");
    assert_int_equal(sent_of(&w, 0)->peer->leader_epoch, 5);
    other.epoch = LIMIT_EPOCH + 1;
    const uint64_t dropped = w.g->dropped;
    step(&w, other);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->dropped, dropped + 1);
    world_end(&w);
}

static void no_votes_while_the_round_is_dropped(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    w.show = SHOW_ASK;
    w.peers[0].silent = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 2, .leader = id_of('b')});
    assert_int_equal(w.g->fo.started, w.now); /* still ours */
    run_for(&w, 1000);
    EXPECT(&w, "ask b 7000 2");
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 3, .round = 2});
    EXPECT(&w, "ask b 7000 3 vote");
    /* Lost by itself, it imposes its own delay again. */
    w.show = SHOW_BALLOT;
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 3, .reason = LOST_TIMEOUT});
    run_for(&w, 1000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void later_rounds(void **state)
{
    struct world w;
    wished(&w, 1, 1, 2);
    w.peers[0].silent = true;
    outcome(&w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    EXPECT(&w, "+new-epoch 1", "+try-failover " MASTER, "+vote-for-leader " ID_A " 1");
    outcome(&w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = 2});
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 2, .round = 2});
    EXPECT(&w, "+new-epoch 2", "+vote-for-leader " ID_A " 2");
    /* The election of the round that is over is none. */
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->leader_epoch, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 2});
    assert_true(seen(&w, "+elected-leader"));
    assert_int_equal(w.g->config_epoch, 2);
    world_end(&w);
}

/* --- beginnings that are not ------------------------------------------------------------- */

static void not_soon_after_a_new_member(void **state)
{
    struct world w;
    outage(&w, 1, 2, 2);
    w.peer_count = 3;
    w.peers[2] =
        (struct peer){.addr = addr_of("127.0.0.1", 26390), .runid = id_of('e'), .alive = true};
    run_until(&w, 24000);
    meet(&w, 2);
    forget_lines(&w);
    run_until(&w, 27999);
    assert_true(seen(&w, "+odown"));
    assert_false(seen(&w, "ballot want"));
    run_for(&w, 1);
    assert_true(seen(&w, "ballot want"));
    world_end(&w);
}

static void not_in_tilt_nor_muted(void **state)
{
    struct world w;
    outage(&w, 1, 1, 2);
    w.env.muted = true;
    run_until(&w, 40000);
    assert_true(seen(&w, "+odown"));
    assert_false(seen(&w, "ballot want"));
    assert_int_equal(command_failover(&w), GROUP_TWIN);
    w.env.muted = false;
    w.env.tilt = true;
    run_until(&w, 50000);
    assert_false(seen(&w, "ballot want"));
    w.env.tilt = false;
    run_until(&w, 51000);
    assert_true(seen(&w, "ballot want"));
    assert_int_equal(count(&w, "ballot want"), 1);
    world_end(&w);
}

/* --- ends of attempts -------------------------------------------------------------------- */

static void not_elected(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    run_until(&w, 37000);
    forget_lines(&w);
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_TIMEOUT});
    EXPECT(&w, "-failover-abort-not-elected " MASTER,
           "log Next failover delay: I will not start a failover before %T110000%");
    assert_false(w.g->master->flags & FLAG_FAILOVER_IN_PROGRESS);
    /* A sentinel that comes up is no reason: there was a majority to ask. */
    w.peers[0].alive = false;
    give_peer(&w, 0);
    w.peers[0].alive = true;
    give_peer(&w, 0);
    run_until(&w, 146999);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    EXPECT(&w, "ballot want");
    world_end(&w);
}

/* scenarios.md A, the trap: quorum 1, the other of two sentinels dead. */
static void nobody_to_elect(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 1);
    w.peers[0].alive = false;
    give_peer(&w, 0);
    kill_server(&w, 0);
    run_until(&w, 27000);
    assert_true(seen(&w, "ballot want"));
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    run_until(&w, 37000);
    forget_lines(&w);
    outcome(&w, (struct outcome){
                    .kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_TIMEOUT, .unreachable = true});
    assert_int_equal(count(&w, "log Next failover delay"), 1);
    run_until(&w, 50000);
    assert_int_equal(count(&w, "log Next failover delay"), 1);
    assert_false(seen(&w, "ballot want"));
    forget_lines(&w);
    w.auto_elect = true;
    w.peers[0].alive = true;
    give_peer(&w, 0);
    assert_true(seen(&w, "ballot member-up b") || seen(&w, "ballot want"));
    assert_true(seen(&w, "+switch-master"));
    world_end(&w);
}

static void no_good_replica(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    w.servers[1].priority = 0;
    give_info(&w, inst_of(&w, 1));
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    EXPECT(&w, "+elected-leader " MASTER, "crash-point election",
           "+failover-state-select-slave " MASTER, "-failover-abort-no-good-slave " MASTER,
           "ballot end", "log Next failover delay: I will not start a failover before %T120000%");
    world_end(&w);
}

static void promotion_times_out(void **state)
{
    struct world w;
    promoting(&w, 1);
    const ms_t begin = w.g->fo.changed - w.start;
    w.show = SHOW_EVENT | SHOW_LOG;
    run_until(&w, begin + 60000);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    EXPECT(&w, "-failover-abort-slave-timeout " MASTER,
           "log Next failover delay: I will not start a failover before %T59999%");
    assert_false(inst_of(&w, 1)->flags & FLAG_PROMOTED);
    world_end(&w);
}

static void cancelled_or_refused_by_the_journal(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_JOURNAL});
    EXPECT(&w, "-failover-abort-not-elected " MASTER);
    run_for(&w, 999);
    EXPECT_NOTHING(&w);
    run_for(&w, 1); /* an ask-period later, and not before */
    EXPECT(&w, "ballot want");
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .reason = LOST_JOURNAL});
    run_for(&w, 999);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    EXPECT(&w, "ballot want");
    world_end(&w);
}

static void a_vote_for_another(void **state)
{
    struct world w;
    outage(&w, 1, 2, 2);
    /* Voted before we know of the outage ourselves. */
    outcome(&w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 1, .leader = id_of('b')});
    EXPECT(&w, "+new-epoch 1", "+vote-for-leader " ID_B " 1");
    assert_in_range(w.g->fo.started, w.now, w.now + 999);
    assert_true(runid_equal(&w.g->leader, &w.peers[0].runid));
    run_until(&w, 27000);
    /* The wish goes out all the same: how long to wait for b is the elector's business. */
    assert_int_equal(w.line_count, 4);
    assert_true(seen(&w, "+sdown"));
    assert_true(seen(&w, "+odown"));
    assert_true(seen(&w, "log Next failover delay: I will not start a failover before %T11"));
    assert_true(seen(&w, "ballot want"));
    forget_lines(&w);
    run_until(&w, 40000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void votes_of_an_earlier_outage(void **state)
{
    struct world w;
    outage(&w, 2, 1, 2);
    run_until(&w, 26000);
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 1, .leader = id_of('b')});
    assert_int_not_equal(w.g->fo.vote_since, 0);
    w.servers[0].alive = true;
    run_for(&w, 2000);
    assert_true(seen(&w, "-sdown master"));
    assert_int_equal(w.g->fo.vote_since, 0);
    /* One that comes just before our own verdict belongs to the next. */
    kill_server(&w, 0);
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 2, .leader = id_of('b')});
    const ms_t vote = w.now;
    run_for(&w, 7000);
    assert_true(w.g->master->flags & FLAG_S_DOWN);
    assert_int_equal(w.g->fo.vote_since, vote);
    world_end(&w);
}

static void an_old_vote_is_forgotten_when_the_outage_begins(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 1, .leader = id_of('b')});
    run_for(&w, 60000);
    kill_server(&w, 0);
    run_for(&w, 7000);
    assert_true(w.g->master->flags & FLAG_S_DOWN);
    assert_int_equal(w.g->fo.vote_since, 0);
    world_end(&w);
}

static void a_late_round_changes_nothing(void **state)
{
    struct world w;
    promoting(&w, 1);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 9, .round = 2});
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 9});
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 9, .reason = LOST_TIMEOUT});
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->fo.epoch, 1);
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_PROMOTION);
    world_end(&w);
}

/* --- SENTINEL FAILOVER ------------------------------------------------------------------- */

static void forced(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.auto_elect = true;
    assert_int_equal(command_failover(&w), GROUP_OK);
    EXPECT(
        &w, "log Executing user requested FAILOVER of 'mymaster'", "ballot want forced",
        "+new-epoch 1", "+try-failover " MASTER, "+vote-for-leader " ID_A " 1",
        "log " ID_B " voted for " ID_A " 1", "ballot answer b votes a 1 heard 0",
        "+elected-leader " MASTER, "crash-point election", "+failover-state-select-slave " MASTER,
        "+selected-slave " REPLICA1, "+failover-state-send-slaveof-noone " REPLICA1,
        "slaveof 7001 no one", "+failover-state-wait-promotion " REPLICA1,
        "-role-change " REPLICA1 " new reported role is master", "ballot config 1 7001",
        "+promoted-slave " REPLICA1, "crash-point promotion",
        "+failover-state-reconf-slaves " MASTER, "script leader 7000 7001", "+failover-end " MASTER,
        "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
        "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001", "ballot end",
        "-role-change slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001 new reported "
        "role is master");
    /* The old master lives: converted after 4 publish-periods. */
    run_for(&w, 7000);
    EXPECT_NOTHING(&w);
    run_for(&w, 12000);
    assert_true(seen(&w, "slaveof 7000 7001"));
    assert_true(seen(&w, "+convert-to-slave"));
    world_end(&w);
}

static void forced_refusals(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.servers[1].priority = 0;
    give_info(&w, inst_of(&w, 1));
    assert_int_equal(command_failover(&w), GROUP_NOGOODSLAVE);
    EXPECT_NOTHING(&w);
    w.servers[1].priority = 100;
    give_info(&w, inst_of(&w, 1));
    assert_ptr_equal(group_best_replica(w.g, w.now), inst_of(&w, 1));
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_int_equal(command_failover(&w), GROUP_INPROG);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    char flags[INSTANCE_FLAGS_TEXT];
    instance_flags(w.g->master, flags);
    assert_string_equal(flags, "master,failover_in_progress,force_failover");
    assert_int_equal(command_failover(&w), GROUP_INPROG);
    /* The elector could not: everything as before. */
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_JOURNAL});
    instance_flags(w.g->master, flags);
    assert_string_equal(flags, "master");
    assert_int_equal(command_failover(&w), GROUP_OK);
    world_end(&w);
}

static void forced_while_a_wish_waits(void **state)
{
    struct world w;
    wished(&w, 1, 1, 2);
    assert_int_equal(command_failover(&w), GROUP_OK);
    EXPECT(&w, "log Executing user requested FAILOVER of 'mymaster'", "ballot want forced");
    /* The operator's wish outlives o_down. */
    w.peers[0].says_down = false;
    run_for(&w, 2000);
    EXPECT(&w, "-odown " MASTER);
    assert_true(w.g->fo.wished);
    /* The elector went on without a majority, with a fresh epoch. */
    w.peers[0].grants = false;
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 4, .round = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 6, .round = 2});
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 6});
    assert_true(seen(&w, "ballot config 6 7001"));
    assert_int_equal(w.g->config_epoch, 6);
    world_end(&w);
}

static void the_host_hurries(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    assert_false(group_urgent(w.g));
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_true(group_urgent(w.g)); /* a wish is out */
    w.auto_config = false;
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    assert_true(group_urgent(w.g));
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_CANCELLED});
    assert_false(group_urgent(w.g));
    struct hello hello = hello_of(&w, 0);
    hello.config_epoch = hello.current_epoch = 3;
    give_hello(&w, &hello);
    assert_true(group_urgent(w.g)); /* a configuration is on its way to the disk */
    outcome(&w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = 3, .addr = w.g->commit.addr});
    assert_false(group_urgent(w.g));
    world_end(&w);
}

static void answers_are_kept_to_be_shown(void **state)
{
    struct world w;
    wished(&w, 1, 1, 2);
    step(&w, (struct group_event){.kind = GROUP_ANSWER,
                                  .inst = sent_of(&w, 0),
                                  .down = true,
                                  .runid = id_of('c'),
                                  .epoch = 5});
    assert_string_equal(sent_of(&w, 0)->peer->leader.hex, ID_C);
    assert_int_equal(sent_of(&w, 0)->peer->leader_epoch, 5);
    assert_int_equal(sent_of(&w, 0)->peer->down_reply_at, w.now);
    world_end(&w);
}

static void a_round_lost_to_another_waits_for_him_only(void **state)
{
    struct world w;
    attempting(&w, 1, 1, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 2, .leader = id_of('b')});
    forget_lines(&w);
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_TIMEOUT});
    assert_true(seen(&w, "-failover-abort-not-elected"));
    assert_true(seen(&w, "ballot want")); /* the elector keeps it until b's lease ends */
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_with_its_own_epoch),
        cmocka_unit_test(asks_on_while_it_leads),
        cmocka_unit_test(answers_go_to_the_elector),
        cmocka_unit_test(no_votes_while_the_round_is_dropped),
        cmocka_unit_test(later_rounds),
        cmocka_unit_test(not_soon_after_a_new_member),
        cmocka_unit_test(not_in_tilt_nor_muted),
        cmocka_unit_test(not_elected),
        cmocka_unit_test(nobody_to_elect),
        cmocka_unit_test(no_good_replica),
        cmocka_unit_test(promotion_times_out),
        cmocka_unit_test(cancelled_or_refused_by_the_journal),
        cmocka_unit_test(a_vote_for_another),
        cmocka_unit_test(votes_of_an_earlier_outage),
        cmocka_unit_test(an_old_vote_is_forgotten_when_the_outage_begins),
        cmocka_unit_test(a_late_round_changes_nothing),
        cmocka_unit_test(forced),
        cmocka_unit_test(forced_refusals),
        cmocka_unit_test(forced_while_a_wish_waits),
        cmocka_unit_test(the_host_hurries),
        cmocka_unit_test(answers_are_kept_to_be_shown),
        cmocka_unit_test(a_round_lost_to_another_waits_for_him_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
