/* SENTINEL FAILOVER … COORDINATED: the master hands over (coordinated.c). */
#include "group_outage.h"
#include "rules/host.h"

/* One master, two replicas of which 7001 is ahead, two peers that vote for us. */
static void settled(struct world *w)
{
    world_settled(w, 2, 2, 2);
    w->auto_elect = true;
}

/* Up to the master's taking the request, which then gets nowhere. */
static void hanging(struct world *w)
{
    settled(w);
    w->servers[0].hung_handover = true;
    assert_int_equal(command_coordinated(w), GROUP_OK);
    assert_int_equal(w->g->fo.state, FAILOVER_WAIT_PROMOTION);
    assert_true(seen(w, "handover 7000 7001 in 2500"));
    forget_lines(w);
}

static void as_before(struct world *w)
{
    char flags[INSTANCE_FLAGS_TEXT];
    instance_flags(w->g->master, flags);
    assert_string_equal(flags, "master");
    assert_int_equal(w->g->fo.state, FAILOVER_NONE);
    assert_int_equal(w->g->fo.started, 0); /* no delay for what may be needed next */
    assert_int_equal(w->g->config_epoch, 0);
    assert_int_equal(w->g->master->addr.port, 7000);
}

/* --- the whole of it --------------------------------------------------------------------- */

static void hands_over(void **state)
{
    struct world w;
    settled(&w);
    w.show &= ~(unsigned)SHOW_BALLOT;
    assert_int_equal(command_coordinated(&w), GROUP_OK);
    EXPECT(&w, "log Executing user requested FAILOVER of 'mymaster'", "+new-epoch 1",
           "+try-failover " MASTER, "+vote-for-leader " ID_A " 1",
           "log " ID_B " voted for " ID_A " 1", "+elected-leader " MASTER, "crash-point election",
           "+failover-state-select-slave " MASTER, "+selected-slave " REPLICA1,
           "+failover-state-send-slaveof-noone " REPLICA1, "handover 7000 7001 in 2500",
           "+failover-state-wait-promotion " REPLICA1,
           "-role-change " REPLICA1 " new reported role is master", "+promoted-slave " REPLICA1,
           "crash-point promotion", "settle 7000", "settle 7001",
           "+failover-state-reconf-slaves " MASTER, "script leader 7000 7001", "slaveof 7002 7001",
           "+slave-reconf-sent " REPLICA2, "-role-change " MASTER " new reported role is slave",
           "+slave-reconf-inprog " REPLICA2, "+slave-reconf-done " REPLICA2,
           "+failover-end " MASTER, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001",
           "+slave slave 127.0.0.1:7000 127.0.0.1 7000 @ mymaster 127.0.0.1 7001",
           "log " ID_C " voted for " ID_A " 1");
    assert_int_equal(w.g->config_epoch, 1);
    /* The old master follows already: nobody has to convert it. */
    run_for(&w, 60000);
    assert_false(seen(&w, "slaveof"));
    world_end(&w);
}

/* It takes its time, and INFO is looked at every 50 ms and then less often. */
static void waits_for_the_replica(void **state)
{
    struct world w;
    hanging(&w);
    w.show = SHOW_SEND;
    run_for(&w, 160);
    assert_true(seen(&w, "send 7000 info"));
    assert_true(seen(&w, "send 7001 info"));
    /* Writes are held back, PUBLISH among them: no hello goes there. */
    forget_lines(&w);
    run_for(&w, 1300);
    assert_false(seen(&w, "send 7000 ping hello"));
    assert_false(seen(&w, "send 7000 hello"));
    assert_false(seen(&w, "send 7000 ping info hello"));
    w.show = SHOW_DECISIONS;
    forget_lines(&w);
    w.servers[0].handing = false;
    w.servers[0].role = ROLE_REPLICA;
    w.servers[0].master = w.servers[1].addr;
    w.servers[1].role = ROLE_MASTER;
    run_for(&w, 1000);
    assert_true(seen(&w, "+promoted-slave"));
    assert_true(seen(&w, "+switch-master"));
    assert_false(seen(&w, "handover"));
    world_end(&w);
}

static void flags_show_it(void **state)
{
    struct world w;
    char flags[INSTANCE_FLAGS_TEXT];
    hanging(&w);
    instance_flags(w.g->master, flags);
    assert_string_equal(flags, "master,failover_in_progress,coordinated_failover");
    assert_int_equal(command_coordinated(&w), GROUP_INPROG);
    assert_int_equal(command_failover(&w), GROUP_INPROG);
    world_end(&w);
}

/* --- refused at once --------------------------------------------------------------------- */

static void refusals(void **state)
{
    struct world w;
    settled(&w);
    w.auto_elect = false;
    w.servers[0].no_failover = true;
    give_info(&w, w.g->master);
    assert_int_equal(command_coordinated(&w), GROUP_NOGOODPRIMARY);
    w.servers[0].no_failover = false;
    give_info(&w, w.g->master);
    /* A replica whose link is down would be refused by the master. */
    for (uint32_t i = 1; i <= 2; i++) {
        w.servers[i].link_up = false;
        give_info(&w, inst_of(&w, i));
    }
    assert_int_equal(command_coordinated(&w), GROUP_NOGOODSLAVE);
    w.servers[2].link_up = true;
    give_info(&w, inst_of(&w, 2));
    w.env.muted = true;
    assert_int_equal(command_coordinated(&w), GROUP_TWIN);
    w.env.muted = false;
    EXPECT_NOTHING(&w);
    assert_int_equal(command_coordinated(&w), GROUP_OK);
    assert_int_equal(command_coordinated(&w), GROUP_INPROG);
    assert_true(seen(&w, "ballot want forced majority"));
    world_end(&w);
}

static void refused_while_the_master_is_down(void **state)
{
    struct world w;
    settled(&w);
    w.auto_elect = false;
    w.servers[0].handing = true; /* somebody else has told it to hand over */
    give_info(&w, w.g->master);
    assert_int_equal(command_coordinated(&w), GROUP_PRIMARY_DOWN);
    w.servers[0].handing = false;
    give_info(&w, w.g->master);
    kill_server(&w, 0);
    assert_int_equal(command_coordinated(&w), GROUP_PRIMARY_DOWN);
    run_for(&w, 6000);
    assert_true(seen(&w, "+sdown"));
    assert_int_equal(command_coordinated(&w), GROUP_PRIMARY_DOWN);
    world_end(&w);
}

static void no_majority(void **state)
{
    struct world w;
    settled(&w);
    w.peers[0].grants = w.peers[1].grants = false;
    assert_int_equal(command_coordinated(&w), GROUP_OK);
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_START);
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_TIMEOUT});
    assert_true(seen(&w, "-failover-abort-not-elected " MASTER));
    assert_false(seen(&w, "handover"));
    as_before(&w);
    world_end(&w);
}

/* --- the master cannot ------------------------------------------------------------------- */

static void the_master_refuses(void **state)
{
    struct world w;
    settled(&w);
    w.servers[0].no_handover = true;
    assert_int_equal(command_coordinated(&w), GROUP_OK);
    assert_true(seen(&w, "-failover-abort-master-timeout " MASTER));
    /* Perhaps another hand-over is on: that is not ours to end. */
    assert_false(seen(&w, "handover 7000 abort"));
    as_before(&w);
    world_end(&w);
}

/* Another sentinel, or an operator, was faster: the replica is a master, which is not durable yet,
 * when the master's refusal arrives. */
static void a_refusal_when_it_is_done(void **state)
{
    struct world w;
    hanging(&w);
    w.auto_config = false;
    w.servers[1].role = ROLE_MASTER;
    give_info(&w, inst_of(&w, 1));
    assert_true(w.g->commit.pending);
    step(&w, (struct group_event){.kind = GROUP_HANDOVER, .inst = w.g->master, .ok = false});
    assert_false(seen(&w, "-failover-abort"));
    const uint64_t epoch = w.g->commit.epoch;
    outcome(&w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = epoch, .addr = w.g->commit.addr});
    assert_true(seen(&w, "+promoted-slave"));
    assert_int_equal(w.g->config_epoch, epoch);
    world_end(&w);
}

/* Nor may its address change then: what is on its way to the journal is what takes effect. */
static void a_name_that_moves_when_it_is_done(void **state)
{
    struct world w;
    hanging(&w);
    w.auto_config = false;
    w.servers[1].role = ROLE_MASTER;
    struct instance *promoted = inst_of(&w, 1);
    give_info(&w, promoted);
    const struct address sure = w.g->commit.addr;
    promoted->addr.host = host_intern("r.x", 3, HOST_HEARD); /* as the master's INFO calls it now */
    struct address moved = addr_of("127.0.0.9", 7001);
    moved.host = promoted->addr.host;
    step(&w, (struct group_event){.kind = GROUP_RESOLVED, .inst = promoted, .addr = moved});
    outcome(&w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = w.g->commit.epoch, .addr = sure});
    assert_true(seen(&w, "+promoted-slave"));
    assert_string_equal(w.g->master->addr.ip, sure.ip);
    world_end(&w);
}

static void too_slow(void **state)
{
    struct world w;
    hanging(&w);
    w.show = SHOW_EVENT | SHOW_LOG | SHOW_SLAVEOF;
    w.servers[0].role = ROLE_REPLICA; /* it has made itself one, and waits for the other's word */
    w.servers[0].master = w.servers[1].addr;
    run_for(&w, 2799);
    assert_false(seen(&w, "abort"));
    run_for(&w, 1);
    EXPECT(&w, "-role-change " MASTER " new reported role is slave",
           "log The master of 'mymaster' does not come to an end of handing over: it is told to "
           "stay",
           "handover 7000 abort", "+role-change " MASTER " new reported role is master",
           "-failover-abort-slave-timeout " MASTER, "handover 7000 abort");
    as_before(&w);
    run_for(&w, 60000);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

/* The master has given up by itself. */
static void the_master_gives_up(void **state)
{
    struct world w;
    hanging(&w);
    w.show = SHOW_EVENT | SHOW_LOG | SHOW_SLAVEOF;
    run_for(&w, 1000);
    EXPECT_NOTHING(&w);
    w.servers[0].handing = false;
    run_for(&w, 1000);
    /* Its writes may still be held back. */
    EXPECT(&w, "-failover-abort-slave-timeout " MASTER, "handover 7000 abort");
    as_before(&w);
    world_end(&w);
}

static void no_end_of_it(void **state)
{
    struct world w;
    hanging(&w);
    w.set.down_after = 200000;
    step(&w, (struct group_event){.kind = GROUP_SET, .settings = &w.set});
    w.servers[0].deaf = true;
    run_for(&w, 59000);
    assert_false(seen(&w, "-failover-abort"));
    run_for(&w, 2000);
    assert_true(seen(&w, "-failover-abort-slave-timeout"));
    world_end(&w);
}

/* The link is cut with the request under way: what became of it INFO tells. */
static void link_cut_before_the_answer(void **state)
{
    for (int came = 0; came < 2; came++) {
        struct world w;
        settled(&w);
        w.servers[0].deaf = true;
        assert_int_equal(command_coordinated(&w), GROUP_OK);
        assert_int_equal(w.g->fo.state, FAILOVER_WAIT_PROMOTION);
        assert_false(w.g->fo.exec_ok);
        forget_lines(&w);
        w.servers[0].deaf = false;
        if (came) {
            w.servers[0].role = ROLE_REPLICA;
            w.servers[0].master = w.servers[1].addr;
            w.servers[1].role = ROLE_MASTER;
        }
        link_down(&w, w.g->master, LINK_CMD);
        run_for(&w, 1500);
        if (came) {
            assert_true(seen(&w, "+switch-master"));
        } else {
            assert_true(seen(&w, "-failover-abort-master-timeout " MASTER));
            as_before(&w);
        }
        world_end(&w);
    }
}

/* --- the master dies --------------------------------------------------------------------- */

static void others_say_down(struct world *w)
{
    kill_server(w, 0);
    w->peers[0].says_down = w->peers[1].says_down = true;
}

static void the_master_dies_meanwhile(void **state)
{
    struct world w;
    hanging(&w);
    others_say_down(&w);
    kill_server(&w, 1); /* and the one that was selected with it */
    run_for(&w, 7000);
    assert_true(seen(&w, "+odown"));
    assert_true(seen(&w, "log The master of 'mymaster' is down and cannot hand over: the failover "
                         "goes on without it"));
    assert_true(seen(&w, "+selected-slave " REPLICA2));
    assert_true(seen(&w, "slaveof 7002 no one"));
    assert_false(seen(&w, "slaveof 7001 no one"));
    assert_true(seen(&w, "+promoted-slave " REPLICA2));
    assert_false(seen(&w, "settle"));
    assert_int_equal(w.g->config_epoch, 1); /* one attempt, one epoch */
    world_end(&w);
}

/* It dies before it is asked: the link is waited for, and then it is left in peace. */
static void the_master_dies_before(void **state)
{
    for (int down = 0; down < 2; down++) {
        struct world w;
        settled(&w);
        w.auto_elect = false;
        assert_int_equal(command_coordinated(&w), GROUP_OK);
        outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
        if (down)
            others_say_down(&w);
        else
            kill_server(&w, 0);
        outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
        assert_int_equal(w.g->fo.state, FAILOVER_SEND_SLAVEOF_NOONE);
        run_for(&w, 2501);
        assert_false(seen(&w, "slaveof"));
        if (!down) {
            assert_true(seen(&w, "-failover-abort-master-timeout " MASTER));
            assert_int_equal(w.g->fo.state, FAILOVER_NONE);
            assert_int_equal(w.g->fo.started, 0);
        }
        world_end(&w);
    }
}

static void o_down_before_it_is_asked(void **state)
{
    struct world w;
    settled(&w);
    w.auto_elect = false;
    assert_int_equal(command_coordinated(&w), GROUP_OK);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    others_say_down(&w);
    run_for(&w, 7000);
    assert_true(seen(&w, "+odown"));
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_true(seen(&w, "slaveof 7001 no one"));
    assert_false(seen(&w, "handover"));
    assert_true(seen(&w, "+promoted-slave " REPLICA1));
    world_end(&w);
}

/* --- others come between ------------------------------------------------------------------ */

static void a_reset_takes_it_back(void **state)
{
    struct world w;
    hanging(&w);
    step(&w, (struct group_event){.kind = GROUP_RESET});
    assert_true(seen(&w, "handover 7000 abort"));
    world_end(&w);
}

static void a_newer_configuration_takes_it_back(void **state)
{
    struct world w;
    hanging(&w);
    struct hello hello = hello_of(&w, 0);
    hello.config_epoch = hello.current_epoch = 9;
    hello.master = w.servers[2].addr;
    give_hello(&w, &hello);
    assert_true(seen(&w, "handover 7000 abort"));
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7002"));
    world_end(&w);
}

/* What a server knows it knows in either role: the order may follow a switch at once. */
static void a_new_master_is_known_to_know_it(void **state)
{
    struct world w;
    settled(&w);
    struct hello hello = hello_of(&w, 0);
    hello.config_epoch = hello.current_epoch = 9;
    hello.master = w.servers[1].addr;
    w.servers[1].deaf = true; /* its next INFO is not there yet */
    give_hello(&w, &hello);
    assert_true(seen(&w, "+switch-master mymaster 127.0.0.1 7000 127.0.0.1 7001"));
    assert_int_not_equal(command_coordinated(&w), GROUP_NOGOODPRIMARY);
    world_end(&w);
}

static void tilt_holds_it(void **state)
{
    struct world w;
    hanging(&w);
    w.env.tilt = true;
    run_for(&w, 10000);
    EXPECT_NOTHING(&w);
    w.env.tilt = false;
    run_for(&w, 2000);
    assert_true(seen(&w, "handover 7000 abort"));
    as_before(&w);
    world_end(&w);
}

/* --- servers that are left in the middle of it --------------------------------------------- */

static void slaveof_ends_what_is_left(void **state)
{
    struct world w;
    settled(&w);
    w.servers[1].handing = true; /* a replica that still wants to hand over, nobody knows to whom */
    run_for(&w, 59000);
    assert_false(seen(&w, "slaveof"));
    run_for(&w, 22000);
    assert_true(seen(&w, "slaveof 7001 7000 failing"));
    assert_true(seen(&w, "+fix-slave-config " REPLICA1));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_over),
        cmocka_unit_test(waits_for_the_replica),
        cmocka_unit_test(flags_show_it),
        cmocka_unit_test(refusals),
        cmocka_unit_test(refused_while_the_master_is_down),
        cmocka_unit_test(no_majority),
        cmocka_unit_test(the_master_refuses),
        cmocka_unit_test(a_refusal_when_it_is_done),
        cmocka_unit_test(a_name_that_moves_when_it_is_done),
        cmocka_unit_test(too_slow),
        cmocka_unit_test(the_master_gives_up),
        cmocka_unit_test(no_end_of_it),
        cmocka_unit_test(link_cut_before_the_answer),
        cmocka_unit_test(the_master_dies_meanwhile),
        cmocka_unit_test(the_master_dies_before),
        cmocka_unit_test(o_down_before_it_is_asked),
        cmocka_unit_test(a_reset_takes_it_back),
        cmocka_unit_test(a_newer_configuration_takes_it_back),
        cmocka_unit_test(a_new_master_is_known_to_know_it),
        cmocka_unit_test(tilt_holds_it),
        cmocka_unit_test(slaveof_ends_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
