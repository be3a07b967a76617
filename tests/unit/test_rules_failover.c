/* Attempts and the failover's state machine (protocol.md §6, 7; design.md §4). */
#include "group_world.h"

#define ID_A     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C     "cccccccccccccccccccccccccccccccccccccccc"
#define MASTER   "master mymaster 127.0.0.1 7000"
#define REPLICA1 "slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000"
#define REPLICA2 "slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7000"
#define REPLICA3 "slave 127.0.0.1:7003 127.0.0.1 7003 @ mymaster 127.0.0.1 7000"

/* Everybody says the master is down; the elector is the test's, unless auto_elect. */
static void outage(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    world_settled(w, replicas, peers, quorum);
    for (uint32_t i = 0; i < peers; i++)
        w->peers[i].says_down = true;
    kill_server(w, 0);
}

/* ... and the wish is out. */
static void wished(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    outage(w, replicas, peers, quorum);
    run_until(w, 27000);
    assert_true(w->g->fo.wished);
    forget_lines(w);
}

/* ... and we are asking for votes, with epoch 1. */
static void attempting(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    wished(w, replicas, peers, quorum);
    outcome(w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    assert_int_equal(w->g->fo.state, FAILOVER_WAIT_START);
    forget_lines(w);
}

/* ... and the promoted replica 1 or 2 has not become master yet. */
static void promoting(struct world *w, uint32_t replicas)
{
    attempting(w, replicas, 1, 2);
    for (uint32_t i = 1; i <= replicas; i++)
        w->servers[i].no_promote = true;
    outcome(w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_int_equal(w->g->fo.state, FAILOVER_WAIT_PROMOTION);
    assert_ptr_equal(w->g->fo.promoted, inst_of(w, 1));
    forget_lines(w);
}

/* ... and it is master, the others follow `slowly`. */
static void reconfiguring(struct world *w, uint32_t replicas)
{
    promoting(w, replicas);
    for (uint32_t i = 1; i <= replicas; i++) {
        w->servers[i].no_promote = false;
        w->servers[i].no_exec = i != 1;
    }
    w->servers[1].role = ROLE_MASTER;
    give_info(w, inst_of(w, 1));
    assert_int_equal(w->g->fo.state, FAILOVER_RECONF_SLAVES);
    forget_lines(w);
}

static uint32_t count(const struct world *w, const char *start)
{
    uint32_t n = 0;
    for (size_t i = 0; i < w->line_count; i++)
        n += strncmp(w->lines[i], start, strlen(start)) == 0;
    return n;
}

/* --- a leader's way ------------------------------------------------------------------------------
 */

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
    /* It comes back as master, and is converted. */
    w.servers[0].alive = true;
    run_for(&w, 30000);
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

/* --- asking and rounds ---------------------------------------------------------------------------
 */

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
    sent_of(&w, 0)->heard_epoch = 33;
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
    assert_int_equal(sent_of(&w, 0)->leader_epoch, 5);
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

/* --- beginnings that are not
 * ---------------------------------------------------------------------- */

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

/* --- ends of attempts
 * ----------------------------------------------------------------------------- */

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

/* --- reconfiguration's troubles
 * ------------------------------------------------------------------- */

static void reconf_times_out(void **state)
{
    struct world w;
    reconfiguring(&w, 3);
    const ms_t sent = inst_of(&w, 2)->reconf_sent_at;
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

/* --- TILT
 * ----------------------------------------------------------------------------------------- */

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

/* --- SENTINEL FAILOVER
 * ---------------------------------------------------------------------------- */

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
        cmocka_unit_test(reconf_times_out),
        cmocka_unit_test(failover_ends_for_timeout),
        cmocka_unit_test(nothing_ends_while_the_new_master_is_down),
        cmocka_unit_test(replicas_that_are_down_are_left_out),
        cmocka_unit_test(tilt_stops_every_step),
        cmocka_unit_test(forced),
        cmocka_unit_test(forced_refusals),
        cmocka_unit_test(forced_while_a_wish_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
