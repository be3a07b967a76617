/* What the simulator found wrong in groups, one test each (rules/group.h; design.md §4). */
#include "group_outage.h"

/* Adopting a configuration older than our attempt, for the master we have, leaves the attempt
 * alone: END would make the elector drop what the group goes on waiting for. */
static void older_configuration_leaves_the_attempt(void **state)
{
    struct world w;
    wished(&w, 1, 2, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 13, .round = 1});
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_START);
    forget_lines(&w);
    w.auto_config = true;
    struct hello hello = hello_of(&w, 0);
    hello.current_epoch = 13;
    hello.config_epoch = 8;
    give_hello(&w, &hello);
    assert_int_equal(w.g->config_epoch, 8);
    assert_int_equal(w.g->fo.state, FAILOVER_WAIT_START);
    assert_false(seen(&w, "ballot end"));
    assert_false(seen(&w, "ballot cancel"));
    world_end(&w);
}

/* One that has reached our attempt's epoch ends it, and says so to the elector. */
static void newer_configuration_ends_the_attempt(void **state)
{
    struct world w;
    wished(&w, 1, 2, 2);
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 13, .round = 1});
    forget_lines(&w);
    w.auto_config = true;
    struct hello hello = hello_of(&w, 0);
    hello.current_epoch = 14;
    hello.config_epoch = 14;
    give_hello(&w, &hello);
    assert_int_equal(w.g->fo.state, FAILOVER_NONE);
    assert_true(seen(&w, "ballot cancel"));
    world_end(&w);
}

/* Our attempt, ended for want of a replica to promote. */
static void barren(struct world *w)
{
    attempting(w, 1, 1, 2);
    w->servers[1].priority = 0;
    give_info(w, inst_of(w, 1));
    outcome(w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_true(seen(w, "-failover-abort-no-good-slave"));
    /* Then the other tries, with our vote, and finds nothing either. */
    run_for(w, 2000);
    outcome(w, (struct outcome){.kind = OUTCOME_VOTED, .epoch = 2, .leader = w->peers[0].runid});
    forget_lines(w);
}

static void no_turns_while_no_replica_is_fit(void **state)
{
    struct world w;
    barren(&w);
    w.show = SHOW_BALLOT;
    run_for(&w, 100000); /* the delay is 2 x 60 s */
    assert_false(seen(&w, "ballot want"));
    run_for(&w, 20000);
    assert_true(seen(&w, "ballot want"));
    world_end(&w);
}

static void fit_replica_ends_the_wait(void **state)
{
    struct world w;
    barren(&w);
    w.show = SHOW_BALLOT;
    run_for(&w, 10000);
    assert_false(seen(&w, "ballot want"));
    w.servers[1].priority = 100;
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "ballot want"));
    world_end(&w);
}

/* The master became a replica: s_down for that comes down-after + 2 info-periods later, longer than
 * 10 x down-after where that is short, and its replicas' links are broken all the while. */
static void demoted_master_has_heirs(void **state)
{
    struct world w;
    world_settled(&w, 2, 1, 2);
    w.auto_elect = true;
    w.peers[0].says_down = true;
    w.g->set.down_after = 1000;
    w.servers[0].role = ROLE_REPLICA;
    w.servers[0].master = w.servers[2].addr;
    give_info(&w, inst_of(&w, 0));
    for (int second = 0; second < 40 && !seen(&w, "+switch-master"); second++) {
        w.servers[1].link_up = false;
        w.servers[1].link_down = (second + 1) * 1000;
        w.servers[2].alive = false;
        run_for(&w, 1000);
    }
    assert_true(seen(&w, "+switch-master"));
    assert_false(seen(&w, "-failover-abort-no-good-slave"));
    world_end(&w);
}

/* A leader of before us took our new master for a replica of his: it is promoted again. */
static void new_master_is_kept(void **state)
{
    struct world w;
    reconfiguring(&w, 2);
    run_for(&w, 2000);
    assert_false(seen(&w, "slaveof 7001 no one"));
    w.servers[1].role = ROLE_REPLICA;
    w.servers[1].master = w.servers[2].addr;
    give_info(&w, inst_of(&w, 1));
    assert_true(seen(&w, "slaveof 7001 no one"));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_configuration_leaves_the_attempt),
        cmocka_unit_test(newer_configuration_ends_the_attempt),
        cmocka_unit_test(no_turns_while_no_replica_is_fit),
        cmocka_unit_test(fit_replica_ends_the_wait),
        cmocka_unit_test(demoted_master_has_heirs),
        cmocka_unit_test(new_master_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
