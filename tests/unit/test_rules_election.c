/* Epochs, votes, leases, durability of promises (rules/election.h; design.md §4.1, 4.6, 4.10, 4.11,
 * 4.13, §5). Attempts are in test_rules_election_attempt.c. */
#include "election_scenarios.h"

#define SCENARIO(name)                                                                             \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        const char *wrong = scenario_##name();                                                     \
        if (wrong)                                                                                 \
            fail_msg("%s", wrong);                                                                 \
    }
SCENARIO(one_vote)
SCENARIO(remove)
SCENARIO(lease)
SCENARIO(self_vote)

/* --- votes ----------------------------------------------------------------------------------- */

static void test_grant_table(void **state)
{
    static const struct {
        uint64_t voted, config, epoch;
        char leader, asks, answer;
        uint64_t answered;
        bool granted;
    } table[] = {
        {0, 0, 1, '*', 'b', 'b', 1, true},
        {5, 0, 5, 'b', 'b', 'b', 5, false}, /* repeats the vote, which is no new grant */
        {5, 0, 5, 'c', 'b', 'c', 5, false},
        {5, 0, 4, 'c', 'b', 'c', 5, false},
        {5, 0, 6, 'c', 'b', 'b', 6, true},
        {5, 0, 5, '*', 'b', '*', 5, false}, /* to whom is not known */
        {5, 0, 6, '*', 'b', 'b', 6, true},
        {5, 8, 8, 'c', 'b', 'c', 5, false}, /* not above the config epoch */
        {5, 8, 9, 'c', 'b', 'b', 9, true},
        {5, 0, 9, 'c', 'a', '*', 0, false}, /* our own id from the net */
        {5, 0, 9, 'c', 'x', 'x', 9, true},  /* a stranger may lead, as with stock */
        {5, 0, 0, 'c', 'b', 'c', 5, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bench b;
        bench_open(&b);
        struct runid leader = {{0}};
        if (table[i].leader != '*')
            leader = id_of(table[i].leader);
        add_saved(&b, 3, table[i].voted, leader, table[i].config);
        member(&b, BALLOT_MEMBER_ADD, 3, 'b');
        clear(&b);
        struct vote_reply reply = ask(&b, 3, table[i].asks, table[i].epoch);
        if (!names(reply, table[i].answer, table[i].answered) || reply.promise != table[i].granted)
            fail_msg("row %zu: %c %llu", i, reply.leader.hex[0], (unsigned long long)reply.epoch);
        assert_int_equal(count_records(&b, RECORD_VOTE), table[i].granted);
        assert_int_equal(count_outcomes(&b, OUTCOME_VOTED), table[i].granted);
        if (table[i].granted) {
            assert_true(b.up.promises);
            assert_true(
                names((struct vote_reply){.leader = reply.earlier, .epoch = reply.earlier_epoch},
                      table[i].leader, table[i].voted));
        }
        bench_close(&b);
    }
}

static void test_votes_are_per_master(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    add_group(&b, 2, "bc");
    assert_true(grants(&b, 1, 'b', 9));
    assert_true(grants(&b, 2, 'c', 4)); /* below current_epoch, new for this master */
    assert_int_equal(election_current_epoch(b.election), 9);
    bench_close(&b);
}

static void test_unknown_group(void **state)
{
    struct bench b;
    bench_open(&b);
    assert_true(names(ask(&b, 77, 'b', 9), '*', 0));
    assert_int_equal(election_current_epoch(b.election), 0);
    struct election_view view;
    assert_false(election_view(b.election, 77, &view));
    /* Nothing for a group that is not there does harm. */
    for (int kind = BALLOT_REMOVE; kind <= BALLOT_CONFIG; kind++) {
        if (kind != BALLOT_REQUEST)
            put(&b,
                (struct ballot){.kind = (enum ballot_kind)kind, .gid = 77, .runid = id_of('b')});
    }
    settle(&b);
    bench_close(&b);
}

static void test_repeated_request_in_a_pass(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    assert_true(ask(&b, 1, 'b', 3).promise);
    struct vote_reply again = ask(&b, 1, 'b', 3);
    assert_true(names(again, 'b', 3) && again.promise);
    struct vote_reply rival = ask(&b, 1, 'c', 3); /* tells a vote that is not durable yet */
    assert_true(names(rival, 'b', 3) && rival.promise);
    assert_true(names((struct vote_reply){.leader = rival.earlier}, '*', 0));
    assert_int_equal(count_records(&b, RECORD_VOTE), 1);
    settle(&b);
    assert_false(ask(&b, 1, 'b', 3).promise);
    bench_close(&b);
}

static void test_counters(void **state)
{
    struct bench b;
    struct election_counters n;
    bench_open(&b);
    add_group(&b, 1, "bc");
    ask(&b, 1, 'b', 3);
    ask(&b, 1, 'b', 3);
    ask(&b, 1, 'c', 3);
    ask(&b, 1, 'c', LIMIT_EPOCH + 1);
    election_counters(b.election, &n);
    assert_int_equal(n.votes_given, 1);
    assert_int_equal(n.votes_refused, 2);
    assert_int_equal(n.epochs_refused, 1);
    bench_close(&b);
}

/* --- epochs ---------------------------------------------------------------------------------- */

static void test_epoch_bounds(void **state)
{
    static const struct {
        uint64_t ours, heard;
        bool taken;
    } table[] = {
        {5, 4, false},
        {5, 5, false},
        {5, 6, true},
        {5, 5 + LIMIT_EPOCH_JUMP, true},
        {5, 6 + LIMIT_EPOCH_JUMP, false},
        {LIMIT_EPOCH - 1, LIMIT_EPOCH, true},
        {LIMIT_EPOCH - 1, LIMIT_EPOCH + 1, false},
        {5, UINT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int way = 0; way < 3; way++) {
            struct bench b;
            bench_open_with(&b, table[i].ours, false, 7);
            add_group(&b, 1, "bc");
            clear(&b);
            if (way == 0)
                hear(&b, 1, 'b', table[i].heard);
            else if (way == 1)
                ask(&b, 1, 'b', table[i].heard);
            else
                config(&b, 1, table[i].heard, "10.0.0.1");
            uint64_t expected = table[i].taken ? table[i].heard : table[i].ours;
            assert_true(election_current_epoch(b.election) == expected);
            assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), table[i].taken);
            assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), table[i].taken);
            if (table[i].taken)
                assert_true(outcome(&b, OUTCOME_NEW_EPOCH, 1)->epoch == expected);
            settle(&b);
            bench_close(&b);
        }
    }
}

static void test_request_raises_without_a_vote(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    assert_true(grants(&b, 1, 'b', 5));
    struct vote_reply reply = ask(&b, 1, 'c', 8); /* refused by the lease */
    assert_true(names(reply, 'b', 5) && !reply.promise);
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
    assert_int_equal(count_records(&b, RECORD_VOTE), 0);
    assert_int_equal(outcome(&b, OUTCOME_NEW_EPOCH, 1)->epoch, 8);
    assert_true(b.up.promises);
    assert_int_equal(election_current_epoch(b.election), 8);
    bench_close(&b);
}

static void test_saved_epochs_raise(void **state)
{
    struct bench b;
    bench_open_with(&b, 3, false, 7);
    add_saved(&b, 1, 8394, (struct runid){{0}}, 15);
    assert_int_equal(election_current_epoch(b.election), 8394);
    add_saved(&b, 2, 7, id_of('b'), 9000);
    assert_int_equal(election_current_epoch(b.election), 9000);
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 3);
    add_saved(&b, 3, LIMIT_EPOCH + 1, id_of('b'), 0); /* as if it were not saved */
    assert_int_equal(view_of(&b, 3).voted_epoch, 9000);
    assert_int_equal(view_of(&b, 2).voted_epoch, 7);
    bench_close(&b);
}

static void test_config_epochs(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    config(&b, 1, 4, "10.0.0.1");
    const struct outcome *o = outcome(&b, OUTCOME_CONFIG, 1);
    assert_non_null(o);
    assert_int_equal(o->epoch, 4);
    assert_string_equal(o->addr.ip, "10.0.0.1");
    assert_int_equal(count_records(&b, RECORD_CONFIG), 1);
    assert_string_equal(b.up.records[b.up.record_count - 1].addr.ip, "10.0.0.1");
    settle(&b);
    config(&b, 1, 3, "10.0.0.2"); /* never back */
    assert_int_equal(count_records(&b, RECORD_CONFIG), 0);
    assert_int_equal(view_of(&b, 1).config_epoch, 4);
    config(&b, 1, 4, "10.0.0.2");
    assert_int_equal(count_records(&b, RECORD_CONFIG), 1);
    assert_false(grants(&b, 1, 'b', 4));
    assert_true(grants(&b, 1, 'b', 5));
    bench_close(&b);
}

static void test_fresh_epochs(void **state)
{
    struct bench b;
    bench_open_with(&b, 4, false, 7);
    add_group(&b, 1, "bc");
    add_group(&b, 2, "bc");
    clear(&b);
    say(&b, BALLOT_FRESH, 1);
    say(&b, BALLOT_FRESH, 2);
    pass(&b);
    assert_int_equal(outcome(&b, OUTCOME_FRESH, 1)->epoch, 5);
    assert_int_equal(outcome(&b, OUTCOME_FRESH, 2)->epoch, 5);
    assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), 1);
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
    durable(&b, false);
    assert_int_equal(count_outcomes(&b, OUTCOME_FRESH), 0);
    clear(&b);
    say(&b, BALLOT_FRESH, 1); /* not while the journal is refused */
    pass(&b);
    assert_int_equal(b.up.outcome_count, 0);
    bench_close(&b);
}

/* --- leases ---------------------------------------------------------------------------------- */

enum ending { NOTHING, HOLDER_DOWN, ENDED, LATER_EPOCH, SILENT, LONG_AGO, OTHER_DOWN };

static void test_lease_endings(void **state)
{
    static const struct {
        enum ending ending;
        bool ends;
    } table[] = {{NOTHING, false}, {HOLDER_DOWN, true}, {ENDED, true},      {LATER_EPOCH, false},
                 {SILENT, true},   {LONG_AGO, true},    {OTHER_DOWN, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct bench b;
        bench_open(&b);
        add_group(&b, 1, "bc");
        assert_true(grants(&b, 1, 'b', 5));
        uint64_t epoch = 6;
        ms_t steps = table[i].ending == LONG_AGO ? 10 : table[i].ending == SILENT ? 0 : 3;
        for (ms_t step = 0; step < steps; step++) { /* b keeps asking */
            b.now += b.env.periods.ask;
            assert_false(grants(&b, 1, 'c', 5));
            assert_true(grants(&b, 1, 'b', 5));
        }
        if (table[i].ending == HOLDER_DOWN)
            member(&b, BALLOT_MEMBER_DOWN, 1, 'b');
        else if (table[i].ending == OTHER_DOWN)
            member(&b, BALLOT_MEMBER_DOWN, 1, 'c');
        else if (table[i].ending == ENDED)
            say(&b, BALLOT_END, 1);
        else if (table[i].ending == LATER_EPOCH)
            assert_true(grants(&b, 1, 'b', epoch++)); /* and is bound again */
        else if (table[i].ending == SILENT)
            b.now += 2 * b.env.periods.ask;
        if (grants(&b, 1, 'c', epoch) != table[i].ends)
            fail_msg("row %zu", i);
        bench_close(&b);
    }
}

/* The holder's later epoch ends its lease even where it cannot be granted. */
static void test_lease_ends_with_a_refused_later_epoch(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    assert_true(grants(&b, 1, 'b', 5));
    config(&b, 1, 7, "10.0.0.1");
    settle(&b);
    assert_false(grants(&b, 1, 'b', 6));
    assert_true(grants(&b, 1, 'c', 8));
    bench_close(&b);
}

/* --- fresh start, twin ------------------------------------------------------------------------ */

static void test_fresh_start_is_silent(void **state)
{
    struct bench b;
    bench_open_with(&b, 0, true, 7);
    add_group(&b, 1, "bc");
    ms_t end = b.now + b.env.periods.election_timeout;
    assert_true(names(ask(&b, 1, 'b', 3), '*', 0));
    hear(&b, 1, 'c', 9);
    want(&b, 1, false);
    run_until(&b, end - 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    clear(&b);
    assert_false(grants(&b, 1, 'b', 12)); /* the last thing heard in silence */
    b.now = end;
    assert_false(grants(&b, 1, 'b', 8));
    assert_false(grants(&b, 1, 'b', 12));
    assert_true(grants(&b, 1, 'b', 13));
    bench_close(&b);
}

static void test_fresh_start_then_leads(void **state)
{
    struct bench b;
    bench_open_with(&b, 0, true, 7);
    add_group(&b, 1, "bc");
    hear(&b, 1, 'c', 9);
    want(&b, 1, false);
    ms_t end = b.now + b.env.periods.election_timeout;
    run_until(&b, end - 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    run_until(&b, end + LIMIT_BATCH_DELAY);
    assert_int_equal(outcome(&b, OUTCOME_STARTED, 1)->epoch, 10);
    bench_close(&b);
}

static void test_muted(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    assert_true(grants(&b, 1, 'b', 2));
    b.env.muted = true;
    b.now += 60000;
    assert_true(names(ask(&b, 1, 'c', 3), 'b', 2));
    want(&b, 1, false);
    run_until(&b, b.now + 1000);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    b.env.muted = false;
    run_until(&b, b.now + LIMIT_BATCH_DELAY);
    assert_int_equal(outcome(&b, OUTCOME_STARTED, 1)->epoch, 4);
    b.env.muted = true; /* its votes could be the other's */
    pass(&b);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_CANCELLED);
    bench_close(&b);
}

static void test_tilt_votes_but_does_not_start(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    b.env.tilt = true;
    want(&b, 1, false);
    run_until(&b, b.now + 5000);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    clear(&b);
    assert_true(grants(&b, 1, 'b', 3));
    b.env.tilt = false;
    run_until(&b, b.now + 1000); /* b's lease */
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 0);
    run_until(&b, b.now + 1000 + LIMIT_BATCH_DELAY);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 1);
    bench_close(&b);
}

/* --- a journal that cannot be written ----------------------------------------------------------
 */

static void test_grant_not_durable(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    assert_true(grants(&b, 1, 'c', 2));
    b.now += 60000;
    assert_true(ask(&b, 1, 'b', 3).promise);
    pass(&b);
    durable(&b, false);
    assert_true(names(b.up.replies[0], 'c', 2)); /* turned in place */
    assert_false(b.up.replies[0].promise);
    assert_int_equal(b.up.outcome_count, 0);
    assert_false(b.up.promises);
    clear(&b);

    /* While it is refused: the earlier vote, at once, to everybody. */
    struct vote_reply reply = ask(&b, 1, 'b', 3);
    assert_true(names(reply, 'c', 2) && !reply.promise);
    reply = ask(&b, 1, 'c', 9);
    assert_true(names(reply, 'c', 2) && !reply.promise);
    assert_int_equal(count_records(&b, RECORD_VOTE), 0);
    durable(&b, false);
    clear(&b);

    /* Durable again: the grant was never another's, and goes to the repeated request. */
    durable(&b, true);
    b.now += 60000;
    reply = ask(&b, 1, 'c', 3);
    assert_true(names(reply, 'b', 3) && reply.promise);
    assert_int_equal(count_records(&b, RECORD_VOTE), 1);
    reply = ask(&b, 1, 'b', 3);
    assert_true(names(reply, 'b', 3) && reply.promise);
    assert_int_equal(count_records(&b, RECORD_VOTE), 1);
    settle(&b);
    assert_false(ask(&b, 1, 'b', 3).promise);
    bench_close(&b);
}

static void test_what_failed_is_written_again(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    add_group(&b, 2, "bc");
    settle(&b);
    ask(&b, 1, 'b', 3);
    ask(&b, 2, 'c', 3);
    pass(&b);
    durable(&b, false);
    clear(&b);
    assert_true(election_next_deadline(b.election) > b.now);
    durable(&b, true);
    assert_true(election_next_deadline(b.election) <= b.now);
    pass(&b);
    assert_int_equal(count_records(&b, RECORD_CURRENT_EPOCH), 1);
    assert_int_equal(count_records(&b, RECORD_VOTE), 2);
    assert_int_equal(count_outcomes(&b, OUTCOME_NEW_EPOCH), 1);
    assert_int_equal(count_outcomes(&b, OUTCOME_VOTED), 2);
    durable(&b, false); /* and again */
    clear(&b);
    durable(&b, true);
    pass(&b);
    assert_int_equal(count_records(&b, RECORD_VOTE), 2);
    durable(&b, true);
    clear(&b);
    pass(&b);
    assert_int_equal(b.up.record_count, 0);
    bench_close(&b);
}

static void test_attempt_not_durable(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group_with(&b, 1, 1, ""); /* alone: started and elected in one pass */
    add_group(&b, 2, "bc");
    settle(&b);
    want(&b, 1, false);
    want(&b, 2, false);
    settle(&b);
    b.now += LIMIT_BATCH_DELAY;
    pass(&b);
    assert_int_equal(count_outcomes(&b, OUTCOME_STARTED), 2);
    assert_int_equal(count_outcomes(&b, OUTCOME_ELECTED), 1);
    durable(&b, false);
    assert_int_equal(b.up.outcome_count, 2);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 1)->reason, LOST_JOURNAL);
    assert_int_equal(outcome(&b, OUTCOME_LOST, 2)->reason, LOST_JOURNAL);
    assert_false(view_of(&b, 1).attempt);
    clear(&b);
    want(&b, 2, false);
    run_until(&b, b.now); /* durable again here */
    assert_int_equal(count_records(&b, RECORD_VOTE), 2);
    run_until(&b, b.now + LIMIT_BATCH_DELAY);
    assert_int_equal(outcome(&b, OUTCOME_STARTED, 2)->epoch, 2); /* 1 is used up */
    bench_close(&b);
}

static void test_config_goes_on_without_journal(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    config(&b, 1, 4, "10.0.0.1");
    pass(&b);
    durable(&b, false);
    assert_int_equal(b.up.outcome_count, 1);
    assert_int_equal(b.up.outcomes[0].kind, OUTCOME_CONFIG);
    clear(&b);
    config(&b, 1, 5, "10.0.0.2");
    pass(&b);
    durable(&b, false);
    assert_int_equal(count_outcomes(&b, OUTCOME_CONFIG), 1);
    bench_close(&b);
}

/* A removed group's vote that never became durable is not told before it is. */
static void test_remove_before_durable(void **state)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    settle(&b);
    ask(&b, 1, 'b', 3);
    say(&b, BALLOT_REMOVE, 1);
    add_group(&b, 1, "bc");
    struct vote_reply reply = ask(&b, 1, 'b', 3);
    assert_true(names(reply, 'b', 3) && reply.promise);
    settle(&b);
    assert_false(ask(&b, 1, 'b', 3).promise);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_vote),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_self_vote),
        cmocka_unit_test(test_grant_table),
        cmocka_unit_test(test_votes_are_per_master),
        cmocka_unit_test(test_unknown_group),
        cmocka_unit_test(test_repeated_request_in_a_pass),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_epoch_bounds),
        cmocka_unit_test(test_request_raises_without_a_vote),
        cmocka_unit_test(test_saved_epochs_raise),
        cmocka_unit_test(test_config_epochs),
        cmocka_unit_test(test_fresh_epochs),
        cmocka_unit_test(test_lease_endings),
        cmocka_unit_test(test_lease_ends_with_a_refused_later_epoch),
        cmocka_unit_test(test_fresh_start_is_silent),
        cmocka_unit_test(test_fresh_start_then_leads),
        cmocka_unit_test(test_muted),
        cmocka_unit_test(test_tilt_votes_but_does_not_start),
        cmocka_unit_test(test_grant_not_durable),
        cmocka_unit_test(test_what_failed_is_written_again),
        cmocka_unit_test(test_attempt_not_durable),
        cmocka_unit_test(test_config_goes_on_without_journal),
        cmocka_unit_test(test_remove_before_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
