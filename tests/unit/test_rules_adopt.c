/* Configurations of others, quarrels about them, and RESET (protocol.md §4, 9; design.md §4.10). */
#include "group_world.h"

#define ID_B   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C   "cccccccccccccccccccccccccccccccccccccccc"
#define FROM_B "sentinel " ID_B " 127.0.0.1 26380 @ mymaster 127.0.0.1 7000"
#define FROM_C "sentinel " ID_C " 127.0.0.1 26381 @ mymaster 127.0.0.1 7000"

/* peer says: the master is server `server`, with config epoch `epoch`. */
static void says(struct world *w, uint32_t peer, uint32_t server, uint64_t epoch)
{
    struct hello hello = hello_of(w, peer);
    hello.master = w->servers[server].addr;
    hello.config_epoch = epoch;
    if (hello.current_epoch < epoch)
        hello.current_epoch = epoch;
    give_hello(w, &hello);
}

/* A group whose configuration has been decided once: epoch 1. */
static void world_decided(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    world_settled(w, replicas, peers, quorum);
    says(w, 0, 0, 1);
    assert_int_equal(w->g->config_epoch, 1);
    forget_lines(w);
}

static void durable(struct world *w, uint64_t epoch)
{
    outcome(w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = epoch, .addr = w->g->commit.addr});
}

/* --- adoption ---------------------------------------------------------------------------- */

static void an_observer(void **state)
{
    struct world w;
    world_settled(&w, 2, 2, 2);
    w.auto_config = false;
    for (int i = 0; i < 2; i++)
        w.peers[i].says_down = true;
    kill_server(&w, 0);
    run_until(&w, 23900);
    forget_lines(&w);
    outcome(&w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 1, .leader = id_of('b')});
    w.env.muted = true; /* our own wish is no matter here */
    run_until(&w, 26000);
    w.env.muted = false;
    EXPECT(&w, "+new-epoch 1", "+vote-for-leader " ID_B " 1",
           "+sdown master mymaster 127.0.0.1 7000",
           "+odown master mymaster 127.0.0.1 7000 #quorum 2/2");
    w.servers[1].role = ROLE_MASTER;
    w.servers[2].master = w.servers[1].addr;
    w.env.muted = true;
    says(&w, 0, 1, 1);
    EXPECT(&w, "ballot config 1 7001");
    /* Nothing shows before it is durable; it is said once. */
    says(&w, 0, 1, 1);
    run_for(&w, 500);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->config_epoch, 0);
    assert_int_equal(w.g->master->addr.port, 7000);
    durable(&w, 1);
    EXPECT(&w, "+config-update-from " FROM_B,
           "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
           "script observer 7000 7001", "ballot end");
    assert_int_equal(w.g->config_epoch, 1);
    assert_int_equal(w.g->fo.started, 0);
    assert_int_equal(w.g->sentinel_count, 2);
    assert_false(sent_of(&w, 0)->flags & FLAG_MASTER_DOWN);
    assert_true(runid_known(&w.g->leader)); /* our vote remains what it was */
    durable(&w, 1);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void says_hello_at_once(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.show = SHOW_SEND | SHOW_LINK;
    w.servers[1].role = ROLE_MASTER;
    w.servers[0].role = ROLE_REPLICA;
    says(&w, 0, 1, 1);
    EXPECT(&w, "send 7001 info hello", "send 7002 info hello", "send 7000 info hello",
           "send b hello");
    world_end(&w);
}

static void an_unknown_master(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.server_count = 3;
    w.servers[2] = w.servers[1];
    w.servers[2].addr = addr_of("127.0.0.1", 7002);
    w.servers[2].role = ROLE_MASTER;
    w.show |= SHOW_LINK;
    says(&w, 0, 2, 4);
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7002"));
    assert_true(seen(&w, "open 7002 cmd"));
    assert_int_equal(w.g->replica_count, 2);
    assert_non_null(group_find_replica(w.g, &w.servers[0].addr));
    world_end(&w);
}

static void a_full_list_of_replicas(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.show = SHOW_LINK;
    for (int i = 0; w.g->replica_count < LIMIT_REPLICAS; i++) {
        const struct address addr = addr_of("10.0.0.1", 1 + i);
        assert_true(group_add_known_replica(w.g, &addr, w.now));
    }
    const struct address addr = addr_of("10.0.0.2", 1);
    assert_false(group_add_known_replica(w.g, &addr, w.now));
    w.server_count = 3;
    w.servers[2] = w.servers[1];
    w.servers[2].addr = addr_of("127.0.0.1", 7002);
    const uint64_t dropped = w.g->dropped;
    says(&w, 0, 2, 4);
    assert_true(seen(&w, "forget 7000"));
    assert_int_equal(w.g->replica_count, LIMIT_REPLICAS);
    assert_int_equal(w.g->dropped, dropped + 1);
    world_end(&w);
}

static void a_still_greater_one(void **state)
{
    struct world w;
    world_settled(&w, 2, 2, 2);
    w.auto_config = false;
    w.servers[0].deaf = w.servers[2].deaf = true;
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot epoch 3 b", "ballot config 3 7001", "+new-epoch 3");
    says(&w, 1, 2, 5);
    EXPECT(&w, "ballot epoch 5 c", "ballot config 5 7002", "+new-epoch 5");
    says(&w, 0, 1, 4); /* greater than ours, but older than what is on its way */
    EXPECT_NOTHING(&w);
    durable(&w, 3);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->config_epoch, 0);
    durable(&w, 5);
    EXPECT(&w, "+config-update-from " FROM_C,
           "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7002",
           "+slave slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7002",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7002",
           "script observer 7000 7002", "ballot end");
    world_end(&w);
}

static void the_same_master_with_a_greater_epoch(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    says(&w, 0, 0, 3);
    EXPECT(&w, "ballot epoch 3 b", "ballot config 3 7000", "+new-epoch 3", "ballot end");
    assert_int_equal(w.g->config_epoch, 3);
    says(&w, 0, 1, 2); /* an old one */
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void a_wish_is_taken_back(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.peers[0].says_down = true;
    w.auto_config = false;
    kill_server(&w, 0);
    run_until(&w, 27000);
    assert_true(w.g->fo.wished);
    forget_lines(&w);
    says(&w, 0, 1, 1);
    EXPECT(&w, "ballot epoch 1 b", "ballot cancel", "ballot config 1 7001", "+new-epoch 1");
    /* It was begun already. */
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 2, .round = 1});
    EXPECT(&w, "ballot cancel");
    durable(&w, 1);
    assert_true(seen(&w, "+switch-master"));
    assert_false(seen(&w, "ballot want"));
    world_end(&w);
}

/* Wherever our failover is: a newer configuration ends it (design.md §4.10). */
static void cancels_a_failover(void **state)
{
    for (enum failover_state at = FAILOVER_WAIT_START; at <= FAILOVER_RECONF_SLAVES; at++) {
        if (at == FAILOVER_SEND_SLAVEOF_NOONE)
            continue; /* no time passes there */
        struct world w;
        world_settled(&w, 3, 1, 2);
        w.peers[0].says_down = true;
        kill_server(&w, 0);
        run_until(&w, 27000);
        outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
        w.servers[1].deaf = at == FAILOVER_SELECT_SLAVE;
        w.servers[1].no_promote = true;
        w.servers[2].no_exec = true;
        if (at >= FAILOVER_SELECT_SLAVE)
            outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
        if (at >= FAILOVER_RECONF_SLAVES) {
            w.servers[1].role = ROLE_MASTER;
            give_info(&w, inst_of(&w, 1));
        }
        assert_int_equal(w.g->fo.state, at);
        forget_lines(&w);
        says(&w, 0, 3, 2);
        assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7003"));
        assert_true(seen(&w, "ballot cancel"));
        assert_true(seen(&w, "ballot end"));
        assert_int_equal(w.g->fo.state, FAILOVER_NONE);
        assert_null(w.g->fo.promoted);
        for (int i = 0; i < 3; i++)
            assert_int_equal(inst_of(&w, (uint32_t)i)->flags & ~(unsigned)FLAG_S_DOWN, 0);
        forget_lines(&w);
        run_for(&w, 2000);
        assert_false(seen(&w, "slaveof"));
        world_end(&w);
    }
}

static void a_greater_epoch_without_another_address(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.peers[0].says_down = true;
    kill_server(&w, 0);
    run_until(&w, 27000);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 5, .round = 1});
    /* Below our attempt's epoch: it goes on. */
    forget_lines(&w);
    says(&w, 0, 0, 4);
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_START);
    assert_int_equal(w.g->config_epoch, 4);
    assert_false(seen(&w, "ballot end")); /* the elector goes on too */
    assert_false(seen(&w, "ballot cancel"));
    says(&w, 0, 0, 5);
    assert_int_equal(w.g->fo.state, FAILOVER_NONE);
    assert_int_equal(w.g->config_epoch, 5);
    world_end(&w);
}

static void own_promotion_overtaken(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.peers[0].says_down = true;
    w.auto_config = false;
    kill_server(&w, 0);
    run_until(&w, 27000);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_true(seen(&w, "ballot config 1 7001"));
    forget_lines(&w);
    says(&w, 0, 2, 2);
    assert_true(seen(&w, "ballot config 2 7002"));
    durable(&w, 1);
    assert_false(seen(&w, "+promoted-slave"));
    durable(&w, 2);
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7002"));
    assert_false(seen(&w, "+promoted-slave"));
    world_end(&w);
}

/* --- quarrels ---------------------------------------------------------------------------- */

static void quarrel_smaller_id(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    says(&w, 0, 1, 3); /* we are a, the smaller */
    EXPECT(&w, "ballot fresh");
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    w.auto_config = false;
    outcome(&w, (struct outcome){.kind = OUTCOME_FRESH, .epoch = 8});
    EXPECT(&w, "ballot config 8 7000");
    assert_int_equal(w.g->config_epoch, 3);
    durable(&w, 8);
    assert_int_equal(w.g->config_epoch, 8);
    assert_int_equal(w.g->master->addr.port, 7000);
    assert_int_equal(w.g->quarrel_since, 0);
    forget_lines(&w);
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

/* Nothing was ever decided: one of the files is wrong, which is the operator's to find. */
static void no_quarrel_at_epoch_0(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    says(&w, 0, 1, 0);
    run_for(&w, 60000);
    says(&w, 0, 1, 0);
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->master->addr.port, 7000);
    world_end(&w);
}

/* At epoch 0 nothing was ever decided: one of the two was configured wrongly. */
static void no_quarrel_before_any_decision(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    says(&w, 0, 1, 0);
    run_for(&w, 60000);
    says(&w, 0, 1, 0);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void quarrel_greater_id(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    w.peers[0].runid = id_of('0'); /* a newcomer that is smaller */
    w.peers[0].addr = addr_of("127.0.0.1", 26999);
    meet(&w, 0);
    forget_lines(&w);
    says(&w, 0, 1, 3);
    run_for(&w, 5999);
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot fresh");
    world_end(&w);
}

static void a_view_that_is_not_sane_waits(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    w.servers[0].role = ROLE_REPLICA; /* our master says that it is none */
    give_info(&w, w.g->master);
    forget_lines(&w);
    says(&w, 0, 1, 3);
    run_for(&w, 19999);
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot fresh");
    world_end(&w);
}

static void no_quarrel(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    w.env.muted = true;
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    w.env.muted = false;
    /* A leader on its way has a greater one coming. */
    w.auto_elect = true;
    w.servers[1].no_promote = true;
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_PROMOTION);
    forget_lines(&w);
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void quarrel_about_a_new_master(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.auto_elect = true;
    w.servers[2].no_exec = true;
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_int_equal(w.g->fo.state, FAILOVER_RECONF_SLAVES);
    forget_lines(&w);
    /* b agrees with what we announce, although it is not our flagged master yet. */
    says(&w, 0, 1, 1);
    EXPECT_NOTHING(&w);
    says(&w, 0, 2, 1);
    EXPECT(&w, "ballot fresh");
    outcome(&w, (struct outcome){.kind = OUTCOME_FRESH, .epoch = 9});
    EXPECT(&w, "ballot config 9 7001",
           "log Configuration of 'mymaster' gets epoch 9: another sentinel had the same epoch and "
           "another master");
    assert_int_equal(w.g->config_epoch, 9);
    assert_int_equal(w.g->fo.state, FAILOVER_RECONF_SLAVES);
    run_for(&w, 10001);
    assert_true(seen(&w, "+switch-master"));
    world_end(&w);
}

static void a_fresh_epoch_that_comes_too_late(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot fresh");
    says(&w, 0, 1, 9);
    assert_int_equal(w.g->config_epoch, 9);
    forget_lines(&w);
    outcome(&w, (struct outcome){.kind = OUTCOME_FRESH, .epoch = 8});
    EXPECT_NOTHING(&w);
    assert_int_equal(w.g->config_epoch, 9);
    world_end(&w);
}

/* --- RESET ------------------------------------------------------------------------------- */

static void reset(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    says(&w, 0, 0, 3);
    w.g->leader_epoch = 2;
    forget_lines(&w);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_RECORD | SHOW_LINK;
    step(&w, (struct group_event){.kind = GROUP_RESET});
    EXPECT(&w, "record reset 0", "ballot member-drop b", "forget b", "forget 7001",
           "close 7000 cmd", "close 7000 pubsub", "+reset-master master mymaster 127.0.0.1 7000",
           "open 7000 cmd", "open 7000 pubsub",
           "+slave slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
           "record replica 7001", "open 7001 cmd", "open 7001 pubsub");
    assert_int_equal(w.g->config_epoch, 3);
    assert_int_equal(w.g->leader_epoch, 2);
    assert_int_equal(w.g->sentinel_count, 0);
    world_end(&w);
}

static void reset_of_a_dead_master(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.peers[0].says_down = true;
    kill_server(&w, 0);
    run_until(&w, 27000);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    forget_lines(&w);
    step(&w, (struct group_event){.kind = GROUP_RESET});
    EXPECT(&w, "ballot cancel", "ballot member-drop b",
           "+reset-master master mymaster 127.0.0.1 7000");
    assert_int_equal(w.g->master->flags, 0);
    assert_int_equal(w.g->fo.state, FAILOVER_NONE);
    assert_int_equal(w.g->fo.started, 0);
    /* Not found again while the master is down. */
    run_for(&w, 6000);
    EXPECT(&w, "+sdown master mymaster 127.0.0.1 7000");
    assert_int_equal(w.g->replica_count, 0);
    world_end(&w);
}

static void reset_behind_the_promotion(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.auto_elect = true;
    w.servers[2].no_exec = true;
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_int_equal(w.g->fo.state, FAILOVER_RECONF_SLAVES);
    forget_lines(&w);
    w.show = SHOW_EVENT;
    w.servers[2].listed = false;
    step(&w, (struct group_event){.kind = GROUP_RESET});
    EXPECT(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
           "+reset-master master mymaster 127.0.0.1 7001");
    assert_int_equal(w.g->config_epoch, 1);
    world_end(&w);
}

static void reset_while_the_disk_writes(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.auto_elect = true;
    w.auto_config = false;
    assert_int_equal(command_failover(&w), GROUP_OK);
    assert_true(w.g->commit.pending);
    step(&w, (struct group_event){.kind = GROUP_RESET});
    forget_lines(&w);
    w.servers[0].deaf = true;
    w.show |= SHOW_RECORD;
    /* It cannot be called back: it is true now, also after a restart. */
    durable(&w, 1);
    EXPECT(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001", "record replica 70000",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
           "script observer 7000 7001", "ballot end");
    assert_int_equal(w.g->config_epoch, 1);
    world_end(&w);
}

/* RESET ends the delay of an attempt that failed. */
static void reset_ends_the_delay(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 1);
    kill_server(&w, 0);
    run_until(&w, 27000);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_TIMEOUT});
    forget_lines(&w);
    step(&w, (struct group_event){.kind = GROUP_RESET});
    run_for(&w, 6000);
    assert_true(seen(&w, "+odown"));
    assert_true(seen(&w, "ballot want"));
    assert_false(seen(&w, "log Next"));
    world_end(&w);
}

static void reset_while_connecting(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.servers[0].vague = true;
    kill_server(&w, 0);
    w.show = SHOW_LINK;
    step(&w, (struct group_event){.kind = GROUP_RESET});
    EXPECT(&w, "forget b", "close 7000 cmd", "close 7000 pubsub", "open 7000 cmd",
           "open 7000 pubsub");
    world_end(&w);
}

static void switch_while_connecting(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.servers[0].vague = true;
    kill_server(&w, 0);
    w.show = SHOW_LINK;
    says(&w, 0, 1, 1);
    EXPECT_NOTHING(&w); /* what is opening goes on opening */
    assert_true(inst_of(&w, 0)->live.cmd_opening);
    world_end(&w);
}

/* Asked for and not answered (the journal refused): asked for again. */
static void a_fresh_epoch_that_never_comes(void **state)
{
    struct world w;
    world_decided(&w, 1, 1, 2);
    w.g->config_epoch = w.env.current_epoch = 3;
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot fresh");
    run_for(&w, 9999);
    says(&w, 0, 1, 3);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    says(&w, 0, 1, 3);
    EXPECT(&w, "ballot fresh");
    world_end(&w);
}

/* Sane is what is announced: the promoted replica, not the master that died. */
static void the_announced_view_is_the_sane_one(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.peers[0].says_down = true;
    w.auto_elect = true;
    w.servers[2].no_exec = true;
    kill_server(&w, 0);
    run_until(&w, 27000);
    assert_int_equal(w.g->fo.state, FAILOVER_RECONF_SLAVES);
    forget_lines(&w);
    says(&w, 0, 2, 1);
    assert_true(seen(&w, "ballot fresh"));
    world_end(&w);
}

static void a_fresh_epoch_overtaken_on_its_way_to_the_disk(void **state)
{
    struct world w;
    world_decided(&w, 2, 1, 2);
    says(&w, 0, 1, 1);
    w.auto_config = false;
    outcome(&w, (struct outcome){.kind = OUTCOME_FRESH, .epoch = 8});
    says(&w, 0, 2, 9);
    durable(&w, 8);
    assert_int_equal(w.g->config_epoch, 1);
    durable(&w, 9);
    assert_int_equal(w.g->config_epoch, 9);
    assert_int_equal(w.g->master->addr.port, 7002);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_observer),
        cmocka_unit_test(says_hello_at_once),
        cmocka_unit_test(an_unknown_master),
        cmocka_unit_test(a_full_list_of_replicas),
        cmocka_unit_test(a_still_greater_one),
        cmocka_unit_test(the_same_master_with_a_greater_epoch),
        cmocka_unit_test(a_wish_is_taken_back),
        cmocka_unit_test(cancels_a_failover),
        cmocka_unit_test(a_greater_epoch_without_another_address),
        cmocka_unit_test(own_promotion_overtaken),
        cmocka_unit_test(quarrel_smaller_id),
        cmocka_unit_test(no_quarrel_at_epoch_0),
        cmocka_unit_test(no_quarrel_before_any_decision),
        cmocka_unit_test(quarrel_greater_id),
        cmocka_unit_test(a_view_that_is_not_sane_waits),
        cmocka_unit_test(no_quarrel),
        cmocka_unit_test(quarrel_about_a_new_master),
        cmocka_unit_test(a_fresh_epoch_that_comes_too_late),
        cmocka_unit_test(reset),
        cmocka_unit_test(reset_of_a_dead_master),
        cmocka_unit_test(reset_behind_the_promotion),
        cmocka_unit_test(reset_while_the_disk_writes),
        cmocka_unit_test(reset_ends_the_delay),
        cmocka_unit_test(reset_while_connecting),
        cmocka_unit_test(switch_while_connecting),
        cmocka_unit_test(a_fresh_epoch_that_never_comes),
        cmocka_unit_test(the_announced_view_is_the_sane_one),
        cmocka_unit_test(a_fresh_epoch_overtaken_on_its_way_to_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
