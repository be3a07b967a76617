/* Scenarios that hold for the real election and must fail under a mutant (rules/mutant.h). */
#pragma once

#include "election_fixture.h"

/* One vote per (master, epoch); the refusal names who has it. */
static inline const char *scenario_one_vote(void)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    EXPECT(grants(&b, 1, 'b', 5));
    b.now += 60000; /* no lease left */
    struct vote_reply reply = ask(&b, 1, 'c', 5);
    EXPECT(names(reply, 'b', 5));
    EXPECT(!reply.promise);
    settle(&b);
    EXPECT(names(ask(&b, 1, 'c', 4), 'b', 5));
    EXPECT(grants(&b, 1, 'c', 6));
    bench_close(&b);
    return NULL;
}

/* REMOVE and MONITOR leave nothing that could be voted a second time. */
static inline const char *scenario_remove(void)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    EXPECT(grants(&b, 1, 'b', 5));
    say(&b, BALLOT_REMOVE, 1);
    EXPECT(names(ask(&b, 1, 'c', 5), '*', 0));
    settle(&b);
    add_group(&b, 1, "bc");
    EXPECT(!grants(&b, 1, 'c', 5));
    EXPECT(grants(&b, 1, 'c', 6));
    say(&b, BALLOT_REMOVE, 1);
    hear(&b, 2, 'b', 9); /* epochs go on elsewhere */
    add_group(&b, 1, "bc");
    EXPECT(view_of(&b, 1).voted_epoch == 9);
    EXPECT(names(ask(&b, 1, 'b', 9), '*', 9));
    settle(&b);
    EXPECT(grants(&b, 1, 'b', 10));
    bench_close(&b);
    return NULL;
}

/* Votes of another epoch than the round's do not count. */
static inline const char *scenario_other_epoch(void)
{
    struct bench b;
    bench_open_with(&b, 10, false, 7);
    add_group(&b, 1, "bc");
    start(&b, 1);
    const struct outcome *started = outcome(&b, OUTCOME_STARTED, 1);
    EXPECT(started && started->epoch == 11);
    clear(&b);
    answer(&b, 1, 'b', 'a', 10);
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 0);
    answer(&b, 1, 'c', 'a', 12);
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 0);
    answer(&b, 1, 'b', 'a', 11); /* the refusal of unknown reason was not its last word */
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 1);
    bench_close(&b);
    return NULL;
}

/* The vote of a sentinel that was removed since does not count, and removing one does not make the
 * majority smaller. */
static inline const char *scenario_removed_member(void)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bcde");
    start(&b, 1);
    clear(&b);
    answer(&b, 1, 'b', 'a', 1);
    pass(&b);
    EXPECT(view_of(&b, 1).votes == 2 && view_of(&b, 1).needed == 3);
    member(&b, BALLOT_MEMBER_DROP, 1, 'b');
    member(&b, BALLOT_MEMBER_DROP, 1, 'e');
    answer(&b, 1, 'c', 'a', 1);
    pass(&b);
    EXPECT(view_of(&b, 1).votes == 2 && view_of(&b, 1).needed == 3);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 0);
    answer(&b, 1, 'b', 'a', 1); /* not a member any more */
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 0);
    answer(&b, 1, 'd', 'a', 1);
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 1);
    bench_close(&b);
    return NULL;
}

/* A vote for another binds for a while, both the next vote and our own start. */
static inline const char *scenario_lease(void)
{
    struct bench b;
    bench_open(&b);
    ms_t ask_period = b.env.periods.ask;
    add_group(&b, 1, "bcd");
    EXPECT(grants(&b, 1, 'b', 5));
    b.now += 2 * ask_period - 1;
    EXPECT(names(ask(&b, 1, 'c', 6), 'b', 5));
    EXPECT(names(ask(&b, 1, 'b', 5), 'b', 5)); /* still leading */
    settle(&b);
    b.now += 2 * ask_period - 1;
    EXPECT(!grants(&b, 1, 'c', 7));
    want(&b, 1, false);
    run_until(&b, b.now);
    EXPECT(count_outcomes(&b, OUTCOME_STARTED) == 0);
    clear(&b);
    run_until(&b, b.now + ask_period * 5 / 4 + LIMIT_BATCH_DELAY); /* c asked last */
    const struct outcome *started = outcome(&b, OUTCOME_STARTED, 1);
    EXPECT(started && started->epoch == 8); /* above what was asked for in vain */
    bench_close(&b);
    return NULL;
}

/* A vote for ourselves binds nobody, between rounds or within one. */
static inline const char *scenario_self_vote(void)
{
    struct bench b;
    bench_open(&b);
    add_group(&b, 1, "bc");
    start(&b, 1);
    EXPECT(view_of(&b, 1).attempt);
    clear(&b);
    EXPECT(grants(&b, 1, 'b', 2));
    EXPECT(view_of(&b, 1).attempt);
    answer(&b, 1, 'c', 'a', 1); /* that round was dropped with the vote for b */
    pass(&b);
    EXPECT(count_outcomes(&b, OUTCOME_ELECTED) == 0);
    bench_close(&b);
    return NULL;
}
