/* Wishes, batches, rounds, tally, SENTINEL FAILOVER (rules/election.h; design.md §4.2-4.6, 4.9). */
#include "election_scenarios.h"

#define SCENARIO(name)                                                                             \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        const char *wrong = scenario_##name();                                                     \
        if (wrong)                                                                                 \
            fail_msg("%s", wrong);                                                                 \
    }
SCENARIO(other_epoch)
SCENARIO(removed_member)

static uint64_t started_epoch(const struct bench *b, uint32_t gid)
{
    const struct outcome *o = outcome(b, OUTCOME_STARTED, gid);
    assert_non_null(o);
    return o->epoch;
}

/* --- the plain way ---------------------------------------------------------------------------- */

static void test_wish_to_leader(void **state)
{
    struct bench b;
    bench_open_with(&b, 41, false, 7);
    add_group(&b, 1, "bc");
    settle(&b);
    want(&b, 1, false);
    pass(&b);
    assert_int_equal(b.up.outcome_count, 0);
    ms_t wished = b.now;
    while (count_outcomes(&b, OUTCOME_STARTED) == 0) {
        assert_false(view_of(&b, 1).attempt);
        b.now = election_next_deadline(b.election);
        assert_in_range(b.now, wished, wished + LIMIT_BATCH_DELAY);
        clear(&b);
        pass(&b);
    }
    assert_int_equal(b.up.record_count, 2);
    assert_int_equal(b.up.records[0].kind, RECORD_CURRENT_EPOCH);
    assert_int_equal(b.up.records[0].epoch, 42);
    assert_int_equal(b.up.records[1].kind, RECORD_VOTE);
    assert_true(runid_equal(&b.up.records[1].runid, &b.env.myid));
    assert_int_equal(b.up.outcome_count, 2);
    assert_int_equal(b.up.outcomes[0].kind, OUTCOME_NEW_EPOCH);
    assert_int_equal(b.up.outcomes[1].round, 1);
    assert_true(b.up.promises);
    durable(&b, true);
    clear(&b);
    struct election_view view = view_of(&b, 1);
    assert_true(view.attempt && !view.leading);
    assert_int_equal(view.votes, 1);
    assert_int_equal(view.needed, 2);
    answer(&b, 1, 'c', 'a', 42);
    answer(&b, 1, 'c', 'a', 42); /* counts once */
    assert_int_equal(view_of(&b, 1).votes, 2);
    pass(&b);
    assert_int_equal(outcome(&b, OUTCOME_ELECTED, 1)->epoch, 42);
    assert_false(b.up.promises);
    assert_true(view_of(&b, 1).leading);
    assert_true(election_next_deadline(b.election) == MS_NEVER);
    want(&b, 1, false); /* on already */
    assert_true(view_of(&b, 1).leading);
    say(&b, BALLOT_END, 1);
    assert_false(view_of(&b, 1).attempt);
    bench_close(&b);
}

static void test_needed_table(void **state)
{
    static const struct {
        const char *members;
        uint32_t quorum, needed;
    } table[] = {
        {"", 1, 1},    {"", 2, 2},     {"b", 1, 2},     {"bc", 1, 2},    {"bc", 3, 3},
        {"bcd", 2, 3}, {"bcde", 2, 3}, {"bcdef", 2, 4}, {"bcdef", 5, 5}, {"aab", 1, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bench b;
        bench_open(&b);
        add_group_with(&b, 1, table[i].quorum, table[i].members);
        start(&b, 1);
        assert_int_equal(view_of(&b, 1).needed, table[i].needed);
        assert_int_equal(view_of(&b, 1).leading, table[i].needed == 1);
        bench_close(&b);
    }
}

static void test_growing_group_raises_the_majority(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    member(&b, BALLOT_MEMBER_ADD, 1, 'd');
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    assert_int_equal(view_of(&b, 1).needed, 3);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
    put(&b, (struct ballot){.kind = BALLOT_SET,
                            .gid = 1,
                            .u.terms = {.quorum = 4, .failover_timeout = FAILOVER_TIMEOUT}});
    answer(&b, 1, 'c', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0); /* 3 of quorum 4 */
    answer(&b, 1, 'd', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 1);
    bench_close(&b);
}

static void test_strangers_do_not_count(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    answer(&b, 1, 'x', 'a', 1);
    answer(&b, 1, 'a', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
    bench_close(&b);
}

/* --- batches ---------------------------------------------------------------------------------- */

static void test_a_thousand_wishes(void **state)
{
    enum { GROUPS = 1000 };
    struct bench b;
    bench_open(&b);
    for (uint32_t gid = 0; gid < GROUPS; gid++)
        add_group(&b, gid, "bc");
    settle(&b);
    for (uint32_t gid = 0; gid < GROUPS; gid++)
        want(&b, gid, false);
    pass(&b);
    run_until(&b, b.now + LIMIT_BATCH_DELAY);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), GROUPS);
    assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), 1);
    assert_int_equal(b.up.outcomes[0].gid, 0); /* in the name of the first */
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
    assert_int_equal(count_records(&b, RECORD_VOTE), GROUPS);
    for (uint32_t gid = 0; gid < GROUPS; gid++)
        assert_int_equal(started_epoch(&b, gid), 1);

    /* b had the same idea: all lose at once, and go on with one more epoch for all. */
    clear(&b);
    for (uint32_t gid = 0; gid < GROUPS; gid++) {
        answer(&b, gid, 'b', 'b', 1);
        answer(&b, gid, 'c', 'b', 1);
    }
    run_until(&b, b.now + LIMIT_BACKOFF + 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), GROUPS);
    assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), 1);
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
    for (uint32_t gid = 0; gid < GROUPS; gid++) {
        assert_int_equal(started_epoch(&b, gid), 2);
        assert_int_equal(outcome(&b, OUTCOME_STARTED, gid)->round, 2);
    }
    clear(&b);
    for (uint32_t gid = 0; gid < GROUPS; gid++)
        answer(&b, gid, 'b', 'a', 2);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), GROUPS);
    bench_close(&b);
}

/* Later wishes of the delay join the batch; those after it make one of their own. */
static void test_batch_delay_is_drawn_once(void **state)
{
    struct bench b;
    bench_open(&b);
    for (uint32_t gid = 1; gid <= 3; gid++)
        add_group(&b, gid, "bc");
    settle(&b);
    want(&b, 1, false);
    pass(&b);
    ms_t fires = election_next_deadline(b.election);
    b.now = fires - 1 > b.now ? fires - 1 : b.now;
    want(&b, 2, false);
    settle(&b);
    assert_true(election_next_deadline(b.election) == fires);
    b.now = fires;
    pass(&b);
    durable(&b, true);
    assert_int_equal(started_epoch(&b, 1), started_epoch(&b, 2));
    want(&b, 3, false);
    run_until(&b, b.now + LIMIT_BATCH_DELAY);
    assert_int_equal(started_epoch(&b, 3), started_epoch(&b, 1) + 1);
    bench_close(&b);
}

static void test_delays_spread(void **state)
{
    bool seen[LIMIT_BATCH_DELAY + 1] = {false};
    int distinct = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct bench b;
        bench_open_with(&b, 0, false, seed);
        add_group(&b, 1, "bc");
        want(&b, 1, false);
        settle(&b);
        ms_t delay = election_next_deadline(b.election) - b.now;
        if (election_next_deadline(b.election) == MS_NEVER ||
            view_of(&b, 1).attempt) /* a draw of 0 started at once */
            delay = 0;
        assert_in_range(delay, 0, LIMIT_BATCH_DELAY);
        distinct += !seen[delay];
        seen[delay] = true;
        bench_close(&b);
    }
    assert_true(distinct > 50);
}

/* Whoever asks first wins: our wish waits behind the vote we gave. */
static void test_vote_holds_back_a_wish(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    want(&b, 1, false);
    assert_true(grants(&b, 1, 'b', 1));
    run_until(&b, b.now + 2 * b.env.periods.ask - 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    run_until(&b, b.now + 1 + LIMIT_BATCH_DELAY);
    assert_int_equal(started_epoch(&b, 1), 2);
    bench_close(&b);
}

/* A candidate that only our lease refused asks again: it gets the vote before we compete with it.
 * Not for ever: it may have given up. */
static void test_refused_candidate_goes_first(void **state)
{
    for (int asks_again = 0; asks_again < 2; asks_again++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bcd");
        settle(&b);
        want(&b, 1, false);
        assert_true(grants(&b, 1, 'b', 1));
        run_until(&b, b.now + 2 * b.env.periods.ask - 100);
        assert_false(grants(&b, 1, 'c', 2));
        run_until(&b, b.now + b.env.periods.ask);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
        if (asks_again)
            assert_true(grants(&b, 1, 'c', 2));
        run_until(&b, b.now + b.env.periods.ask / 4 + LIMIT_BATCH_DELAY);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), !asks_again);
        bench_close(&b);
    }
}

static void test_wish_waits_at_most_two_failover_timeouts(void **state)
{
    struct bench b;
    bench_open(&b);
    b.env.periods.election_timeout = 10 * FAILOVER_TIMEOUT;
    add_group(&b, 1, "bc");
    settle(&b);
    ms_t wished = b.now;
    uint64_t epoch = 1;
    want(&b, 1, false);
    assert_true(grants(&b, 1, 'b', epoch));
    while (b.now < wished + 2 * FAILOVER_TIMEOUT - 1000) {
        run_until(&b, b.now + 1000);
        grants(&b, 1, 'b', epoch); /* alive, and getting nowhere */
    }
    assert_false(view_of(&b, 1).attempt);
    run_until(&b, wished + 2 * FAILOVER_TIMEOUT + LIMIT_BATCH_DELAY);
    assert_true(view_of(&b, 1).attempt);
    bench_close(&b);
}

static void test_events_end_the_wait(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bc");
        settle(&b);
        assert_true(grants(&b, 1, 'b', 1));
        want(&b, 1, false);
        settle(&b);
        if (way == 0) {
            member(&b, BALLOT_MEMBER_DOWN, 1, 'b');
        } else if (way == 1) {
            say(&b, BALLOT_END, 1);
        } else { /* b lost its round, and its next request is too old to grant */
            config(&b, 1, 4, "10.0.0.1");
            ask(&b, 1, 'b', 3);
        }
        run_until(&b, b.now + LIMIT_BATCH_DELAY);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 1);
        bench_close(&b);
    }
}

static void test_new_member_holds_back_a_wish(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    want(&b, 1, false);
    member(&b, BALLOT_MEMBER_ADD, 1, 'd');
    ms_t until = b.now + 2 * b.env.periods.publish;
    run_until(&b, until - 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    run_until(&b, until + LIMIT_BATCH_DELAY);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 1);
    bench_close(&b);
}

static void test_cancel(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    want(&b, 1, false);
    say(&b, BALLOT_CANCEL, 1);
    run_until(&b, b.now + 1000);
    assert_int_equal(b.up.outcome_count, 0);
    start(&b, 1);
    say(&b, BALLOT_CANCEL, 1);
    const struct outcome *lost = outcome(&b, OUTCOME_LOST, 1);
    assert_int_equal(lost->reason, LOST_CANCELLED);
    assert_int_equal(lost->epoch, 1);
    answer(&b, 1, 'b', 'a', 1);
    clear(&b);
    pass(&b);
    assert_int_equal(b.up.outcome_count, 0);
    start(&b, 1); /* wishes again, listed or not */
    assert_int_equal(started_epoch(&b, 1), 2);
    say(&b, BALLOT_REMOVE, 1);
    clear(&b);
    run_until(&b, b.now + 60000);
    assert_int_equal(b.up.outcome_count, 0);
    bench_close(&b);
}

/* END is about leases and leaders: the owner of a running attempt waits for ELECTED or LOST. */
static void test_end_does_not_swallow_an_attempt(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    say(&b, BALLOT_END, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 1);
    bench_close(&b);
}

static void test_newer_config_ends_an_attempt(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    clear(&b);
    config(&b, 1, 1, "10.0.0.1");
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_CANCELLED);
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
    bench_close(&b);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void test_split_vote_retries(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'b', 1);
    pass(&b);
    assert_int_equal(b.up.outcome_count, 0); /* c may still help */
    assert_int_equal(view_of(&b, 1).round, 1);
    answer(&b, 1, 'c', 'c', 7); /* even later elsewhere */
    pass(&b);
    ms_t lost = b.now;
    run_until(&b, lost + LIMIT_BACKOFF + 1);
    assert_int_equal(started_epoch(&b, 1), 8);
    assert_int_equal(outcome(&b, OUTCOME_STARTED, 1)->round, 2);
    assert_int_equal(view_of(&b, 1).votes, 1);
    answer(&b, 1, 'b', 'a', 1); /* late, for a round that is gone */
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
    answer(&b, 1, 'b', 'a', 8);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 1);
    bench_close(&b);
}

static void test_rounds_are_bounded(void **state)
{
    struct bench b;
    bench_open(&b);
    b.env.periods.election_timeout = 60000;
    add_group(&b, 1, "bc");
    settle(&b);
    start(&b, 1);
    for (uint32_t round = 1; round <= LIMIT_ROUNDS; round++) {
        const struct outcome *o = outcome(&b, OUTCOME_STARTED, 1);
        assert_int_equal(o->round, round);
        uint64_t epoch = o->epoch;
        clear(&b);
        answer(&b, 1, 'b', 'b', epoch);
        answer(&b, 1, 'c', 'b', epoch);
        pass(&b);
        durable(&b, true);
        if (round < LIMIT_ROUNDS) {
            assert_true(election_next_deadline(b.election) <=
                        b.now + ((ms_t)LIMIT_BACKOFF << (round - 1)));
            b.now = election_next_deadline(b.election);
            pass(&b);
            durable(&b, true);
        }
    }
    const struct outcome *lost = outcome(&b, OUTCOME_LOST, 1);
    assert_int_equal(lost->reason, LOST_TIMEOUT);
    assert_false(lost->unreachable);
    struct election_counters n;
    election_counters(b.election, &n);
    assert_int_equal(n.attempts, 1);
    assert_int_equal(n.rounds, LIMIT_ROUNDS);
    assert_int_equal(n.lost, 1);
    bench_close(&b);
}

/* A dead sentinel is not waited for where it is known to be, and not for ever where it is not. */
static void test_silent_member_is_not_waited_for(void **state)
{
    for (int known = 0; known < 2; known++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bc");
        if (known)
            member(&b, BALLOT_MEMBER_DOWN, 1, 'c');
        start(&b, 1);
        clear(&b);
        ms_t began = b.now;
        answer(&b, 1, 'b', 'b', 1);
        run_until(&b, began + b.env.periods.ask - LIMIT_BATCH_DELAY - 1);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), known);
        run_until(&b, began + b.env.periods.ask + LIMIT_BACKOFF + 1);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 1);
        bench_close(&b);
    }
}

static void test_refusal_of_unknown_reason(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    clear(&b);
    ms_t began = b.now;
    answer(&b, 1, 'b', '*', 0);
    answer(&b, 1, 'c', '*', 0);
    run_until(&b, began + 1500);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    answer(&b, 1, 'c', 'a', 1); /* it had its reasons, and has them no more */
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 1);

    /* Nobody comes round: one round per publish-period. */
    add_group(&b, 2, "bc");
    settle(&b);
    start(&b, 2);
    clear(&b);
    began = b.now;
    for (int i = 1; i <= 80; i++) {
        answer(&b, 2, 'b', '*', 0);
        answer(&b, 2, 'c', '*', 0);
        run_until(&b, began + 100 * i);
    }
    assert_in_range(count_outcomes(&b, OUTCOME_STARTED), 2, 8000 / b.env.periods.publish);

    /* A voter known to be ahead: at once, above it. */
    add_group(&b, 3, "bc");
    settle(&b);
    start(&b, 3);
    uint64_t epoch = started_epoch(&b, 3);
    clear(&b);
    answer_heard(&b, 3, 'b', '*', 0, epoch + 30);
    answer_heard(&b, 3, 'c', '*', 0, 0);
    run_until(&b, b.now + LIMIT_BACKOFF + 1);
    assert_int_equal(started_epoch(&b, 3), epoch + 31);
    bench_close(&b);
}

/* Between rounds we vote like anybody, and then do not compete with whom we voted for. */
static void test_backoff_grants_and_waits(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'b', 1);
    answer(&b, 1, 'c', 'c', 1);
    pass(&b);
    clear(&b);
    assert_true(grants(&b, 1, 'b', 2));
    run_until(&b, b.now + 2 * b.env.periods.ask - 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    run_until(&b, b.now + 1 + LIMIT_BACKOFF + 1);
    assert_int_equal(started_epoch(&b, 1), 3);
    bench_close(&b);
}

static void test_timeout(void **state)
{
    static const struct {
        const char *answers; /* who answers at all */
        ms_t election_timeout, after;
        bool unreachable;
    } table[] = {
        {"", 10000, 10000, true},
        {"b", 10000, 10000, true}, /* 2 of 5 */
        {"bc", 10000, 10000, false},
        {"", 90000, FAILOVER_TIMEOUT, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bench b;
        bench_open(&b);
        b.env.periods.election_timeout = table[i].election_timeout;
        add_group(&b, 1, "bcde");
        settle(&b);
        want(&b, 1, false);
        settle(&b);
        while (!view_of(&b, 1).attempt) {
            b.now = election_next_deadline(b.election);
            settle(&b);
        }
        ms_t began = b.now;
        for (const char *who = table[i].answers; *who; who++)
            answer(&b, 1, *who, '*', 0);
        run_until(&b, began + table[i].after - 1);
        assert_int_equal(count_outcomes(&b, OUTCOME_LOST), 0);
        run_until(&b, began + table[i].after);
        const struct outcome *lost = outcome(&b, OUTCOME_LOST, 1);
        assert_non_null(lost);
        assert_int_equal(lost->reason, LOST_TIMEOUT);
        assert_int_equal(lost->unreachable, table[i].unreachable);
        assert_false(view_of(&b, 1).attempt);
        bench_close(&b);
    }
}

/* The vote for a later epoch ends our own round: two leaders would only undo each other. */
static void test_vote_for_other_drops_the_round(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bcde");
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    assert_true(grants(&b, 1, 'e', 2));
    answer(&b, 1, 'c', 'a', 1);
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
    run_until(&b, b.now + 2 * b.env.periods.ask + LIMIT_BACKOFF + 1);
    assert_int_equal(started_epoch(&b, 1), 3);
    bench_close(&b);
}

static void test_epochs_exhausted(void **state)
{
    struct bench b;
    bench_open_with(&b, LIMIT_EPOCH, false, 7);
    add_group(&b, 1, "bc");
    start(&b, 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_TIMEOUT);
    assert_true(election_current_epoch(b.election) == LIMIT_EPOCH);
    bench_close(&b);
}

static void test_next_epoch_stays_within_what_peers_accept(void **state)
{
    struct bench b;
    bench_open_with(&b, 5, false, 7);
    add_group(&b, 1, "bc");
    answer(&b, 1, 'b', 'b', 5 + LIMIT_EPOCH_JUMP); /* hostile, and just within the bound */
    start(&b, 1);
    assert_true(started_epoch(&b, 1) == 5 + LIMIT_EPOCH_JUMP);
    bench_close(&b);
}

/* --- SENTINEL FAILOVER --------------------------------------------------------------------------
 */

static void test_forced_starts_at_once(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    add_group(&b, 2, "bc");
    settle(&b);
    assert_true(grants(&b, 1, 'b', 4)); /* no lease holds an operator back */
    want(&b, 2, false);
    settle(&b);
    assert_false(view_of(&b, 2).attempt); /* with this seed its batch is not due yet */
    want(&b, 1, true);
    pass(&b);
    assert_int_equal(started_epoch(&b, 1), 5);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 1); /* the batch waits on */
    bench_close(&b);
}

static void test_forced_with_a_majority(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    want(&b, 1, true);
    settle(&b);
    answer(&b, 1, 'c', 'a', 1);
    pass(&b);
    assert_int_equal(outcome(&b, OUTCOME_ELECTED, 1)->epoch, 1);
    assert_int_equal(b.up.outcome_count, 1);
    bench_close(&b);
}

static void test_forced_goes_on_without(void **state)
{
    enum { QUIET, HIGHER_SEEN, RIVAL, BETWEEN_ROUNDS, VOTED, WAYS };
    for (int way = QUIET; way < WAYS; way++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bc");
        want(&b, 1, true);
        settle(&b);
        ms_t began = b.now;
        if (way == HIGHER_SEEN)
            hear(&b, 1, 'b', 20);
        if (way == RIVAL || way == BETWEEN_ROUNDS)
            answer(&b, 1, 'b', 'b', 1);
        if (way == BETWEEN_ROUNDS)
            answer(&b, 1, 'c', 'b', 1);
        settle(&b);
        if (way == VOTED)
            assert_true(grants(&b, 1, 'b', 2));
        for (uint64_t epoch = 1; way == BETWEEN_ROUNDS && b.now < began + 900; b.now++) {
            pass(&b);
            if (outcome(&b, OUTCOME_STARTED, 1))
                epoch = started_epoch(&b, 1);
            settle(&b);
            answer(&b, 1, 'b', 'b', epoch);
            answer(&b, 1, 'c', 'b', epoch);
        }
        clear(&b);
        run_until(&b, began + LIMIT_FORCED_WAIT - 1);
        assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
        clear(&b);
        uint64_t highest = election_current_epoch(b.election);
        run_until(&b, began + LIMIT_FORCED_WAIT);
        const struct outcome *elected = outcome(&b, OUTCOME_ELECTED, 1);
        assert_non_null(elected);
        assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), way != QUIET);
        assert_int_equal(elected->epoch, way == QUIET ? 1 : highest + 1);
        if (way != QUIET) {
            assert_int_equal(started_epoch(&b, 1), elected->epoch);
            assert_int_equal(count_records(&b, RECORD_VOTE), 1);
            assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
            assert_true(outcome(&b, OUTCOME_STARTED, 1)->round > 1);
        }
        assert_true(view_of(&b, 1).leading);
        bench_close(&b);
    }
}

static void test_forced_joins_what_is_on(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    want(&b, 1, true);
    clear(&b);
    run_until(&b, b.now + LIMIT_FORCED_WAIT);
    assert_int_equal(outcome(&b, OUTCOME_ELECTED, 1)->epoch, 1);
    bench_close(&b);
}

/* COORDINATED: begun at once, but never without a majority. */
static void test_forced_needs_a_majority(void **state)
{
    for (int voted = 0; voted < 2; voted++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bc");
        settle(&b);
        assert_true(grants(&b, 1, 'b', 4)); /* no lease holds an operator back */
        clear(&b);
        put(&b, (struct ballot){
                    .kind = BALLOT_WANT, .gid = 1, .u.want = {.forced = true, .majority = true}});
        pass(&b);
        assert_int_equal(started_epoch(&b, 1), 5);
        settle(&b);
        const ms_t began = b.now;
        clear(&b);
        run_until(&b, began + 2 * LIMIT_FORCED_WAIT);
        assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
        if (voted) {
            answer(&b, 1, 'c', 'a', 5);
            pass(&b);
            assert_int_equal(outcome(&b, OUTCOME_ELECTED, 1)->epoch, 5);
        } else {
            run_until(&b, began + 60000);
            assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 0);
            assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_TIMEOUT);
            assert_false(view_of(&b, 1).attempt);
        }
        bench_close(&b);
    }
}

static void test_forced_without_journal(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    durable(&b, false);
    want(&b, 1, true);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_JOURNAL);
    clear(&b);
    pass(&b);
    assert_int_equal(b.up.outcome_count, 0);

    /* Begun before the disk failed, with a higher epoch seen: a fresh one cannot be had. */
    durable(&b, true);
    want(&b, 1, true);
    settle(&b);
    hear(&b, 1, 'b', 9);
    pass(&b);
    durable(&b, false);
    clear(&b);
    b.now += LIMIT_FORCED_WAIT;
    pass(&b);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_JOURNAL);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_epoch),
        cmocka_unit_test(test_removed_member),
        cmocka_unit_test(test_wish_to_leader),
        cmocka_unit_test(test_needed_table),
        cmocka_unit_test(test_growing_group_raises_the_majority),
        cmocka_unit_test(test_strangers_do_not_count),
        cmocka_unit_test(test_a_thousand_wishes),
        cmocka_unit_test(test_batch_delay_is_drawn_once),
        cmocka_unit_test(test_delays_spread),
        cmocka_unit_test(test_vote_holds_back_a_wish),
        cmocka_unit_test(test_refused_candidate_goes_first),
        cmocka_unit_test(test_wish_waits_at_most_two_failover_timeouts),
        cmocka_unit_test(test_events_end_the_wait),
        cmocka_unit_test(test_new_member_holds_back_a_wish),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_end_does_not_swallow_an_attempt),
        cmocka_unit_test(test_newer_config_ends_an_attempt),
        cmocka_unit_test(test_split_vote_retries),
        cmocka_unit_test(test_rounds_are_bounded),
        cmocka_unit_test(test_silent_member_is_not_waited_for),
        cmocka_unit_test(test_refusal_of_unknown_reason),
        cmocka_unit_test(test_backoff_grants_and_waits),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_vote_for_other_drops_the_round),
        cmocka_unit_test(test_epochs_exhausted),
        cmocka_unit_test(test_next_epoch_stays_within_what_peers_accept),
        cmocka_unit_test(test_forced_starts_at_once),
        cmocka_unit_test(test_forced_with_a_majority),
        cmocka_unit_test(test_forced_goes_on_without),
        cmocka_unit_test(test_forced_joins_what_is_on),
        cmocka_unit_test(test_forced_needs_a_majority),
        cmocka_unit_test(test_forced_without_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
