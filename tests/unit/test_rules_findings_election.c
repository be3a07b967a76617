/* What the simulator found wrong in the election, one test each (rules/election.h; design.md §4).
 */
#include "election_fixture.h"

/* Our address was a peer's before: over his link we ask ourselves. */
static void test_own_vote_is_not_anothers(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    assert_non_null(outcome(&b, OUTCOME_STARTED, 1));
    clear(&b);
    assert_true(names(ask(&b, 1, 'a', 1), '*', 0));
    settle(&b);
    assert_true(names(ask(&b, 1, 'b', 1), 'a', 1)); /* others are told of it */
    bench_close(&b);
}

/* A late candidate must not become leader by the vote of the leader. */
static void test_leader_gives_no_vote(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    assert_non_null(outcome(&b, OUTCOME_ELECTED, 1));
    settle(&b);
    assert_false(grants(&b, 1, 'c', 2));
    say(&b, BALLOT_END, 1);
    settle(&b);
    assert_true(grants(&b, 1, 'c', 3));
    bench_close(&b);
}

/* ... but is bound no longer than by a vote for another. */
static void test_leader_is_bound_for_election_timeout(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    settle(&b);
    b.now += b.env.periods.election_timeout - LIMIT_BATCH_DELAY - 1;
    assert_false(grants(&b, 1, 'c', 2));
    b.now += LIMIT_BATCH_DELAY + 1;
    assert_true(grants(&b, 1, 'c', 3));
    bench_close(&b);
}

/* A leader by SENTINEL FAILOVER alone, without a majority, votes like anybody. */
static void test_forced_leader_votes(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    want(&b, 1, true);
    settle(&b);
    run_until(&b, b.now + LIMIT_FORCED_WAIT);
    assert_non_null(outcome(&b, OUTCOME_ELECTED, 1));
    clear(&b);
    assert_true(grants(&b, 1, 'c', 5));
    bench_close(&b);
}

/* The answer that completes the majority and a rival's request in one pass: the round is won. */
static void test_majority_counts_at_once(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    assert_true(names(ask(&b, 1, 'c', 2), 'a', 1));
    pass(&b);
    assert_non_null(outcome(&b, OUTCOME_ELECTED, 1));
    assert_null(outcome(&b, OUTCOME_VOTED, 1));
    bench_close(&b);
}

/* REMOVE and MONITOR in one pass: the new group must not take the old one's answer for its own. */
static void test_removed_groups_outcomes_vanish(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    add_group(&b, 2, "bc");
    settle(&b);
    config(&b, 1, 6, "10.0.0.9");
    config(&b, 2, 6, "10.0.0.9");
    say(&b, BALLOT_REMOVE, 1);
    add_group(&b, 1, "");
    pass(&b);
    assert_null(outcome(&b, OUTCOME_CONFIG, 1));
    assert_non_null(outcome(&b, OUTCOME_CONFIG, 2));
    assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), 1);
    bench_close(&b);
}

/* REMOVE while STARTED is still on its way: a group that takes the name hears the end as well. */
static void test_removed_attempt_is_lost_aloud(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    assert_non_null(outcome(&b, OUTCOME_STARTED, 1));
    clear(&b); /* it left */
    say(&b, BALLOT_REMOVE, 1);
    add_group(&b, 1, "");
    pass(&b);
    assert_non_null(outcome(&b, OUTCOME_LOST, 1));
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_CANCELLED);
    assert_false(view_of(&b, 1).attempt);
    bench_close(&b);
}

/* An END that is not about our attempt leaves it alone: the group waits for its outcome. */
static void test_end_does_not_lose_an_attempt(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    clear(&b);
    say(&b, BALLOT_END, 1);
    settle(&b);
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    assert_non_null(outcome(&b, OUTCOME_ELECTED, 1));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_vote_is_not_anothers),
        cmocka_unit_test(test_leader_gives_no_vote),
        cmocka_unit_test(test_leader_is_bound_for_election_timeout),
        cmocka_unit_test(test_forced_leader_votes),
        cmocka_unit_test(test_majority_counts_at_once),
        cmocka_unit_test(test_removed_groups_outcomes_vanish),
        cmocka_unit_test(test_removed_attempt_is_lost_aloud),
        cmocka_unit_test(test_end_does_not_lose_an_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
