/* A bench to put one election on: ballots in, everything that came out of a pass kept to look at.
 * Included by the election's unit tests only. */
#pragma once

#include "rules/election.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* after what it needs */
#include <cmocka.h>

/* A scenario returns NULL, or what is wrong: the same scenarios must complain under a mutant. */
#define TEXT_OF(x) #x
#define LINE_OF(x) TEXT_OF(x)
#define EXPECT(what)                                                                               \
    do {                                                                                           \
        if (!(what))                                                                               \
            return __FILE__ ":" LINE_OF(__LINE__) ": " #what;                                      \
    } while (0)

#define QUORUM           2
#define FAILOVER_TIMEOUT 60000
#define START            1000000 /* the bench's clock begins here */

struct bench {
    struct election_env env;
    struct election *election;
    struct election_update up;
    ms_t now;
};

static inline struct runid id_of(char c)
{
    struct runid id = {{0}};
    memset(id.hex, c, LIMIT_RUNID);
    return id;
}

static inline void bench_open_with(struct bench *b, uint64_t epoch, bool fresh, uint64_t seed)
{
    *b = (struct bench){.now = START};
    periods_default(&b->env.periods);
    b->env.myid = id_of('a');
    b->election = election_new(&b->env, epoch, fresh, seed, b->now);
    election_update_init(&b->up);
}

static inline void bench_open(struct bench *b)
{
    bench_open_with(b, 0, false, 7);
}

static inline void bench_close(struct bench *b)
{
    election_free(b->election);
    election_update_free(&b->up);
}

static inline void put(struct bench *b, struct ballot ballot)
{
    election_ballot(b->election, &ballot, b->now, &b->up);
}

/* Ends the pass; what it said stays in b->up until clear(). */
static inline void pass(struct bench *b)
{
    election_pass(b->election, b->now, &b->up);
}

static inline void durable(struct bench *b, bool ok)
{
    election_durable(b->election, ok, b->now, &b->up);
}

static inline void clear(struct bench *b)
{
    election_update_clear(&b->up);
}

static inline void settle(struct bench *b)
{
    pass(b);
    durable(b, true);
    clear(b);
}

/* Passes, each made durable, as the deadlines ask for them, until `until`; outcomes accumulate. */
static inline void run_until(struct bench *b, ms_t until)
{
    for (int turns = 0;; turns++) {
        ms_t next = election_next_deadline(b->election);
        if (next > until)
            break;
        if (next > b->now) {
            b->now = next;
            turns = 0;
        }
        assert_true(turns < 4); /* else the host would spin */
        pass(b);
        durable(b, true);
    }
    b->now = until;
    pass(b);
    durable(b, true);
}

static inline void add_group_with(struct bench *b, uint32_t gid, uint32_t quorum,
                                  const char *members)
{
    put(b, (struct ballot){.kind = BALLOT_ADD,
                           .gid = gid,
                           .u.terms = {.quorum = quorum, .failover_timeout = FAILOVER_TIMEOUT}});
    for (const char *m = members; *m; m++)
        put(b, (struct ballot){.kind = BALLOT_MEMBER_ADD, .gid = gid, .runid = id_of(*m)});
}

static inline void add_group(struct bench *b, uint32_t gid, const char *members)
{
    add_group_with(b, gid, QUORUM, members);
}

static inline void add_saved(struct bench *b, uint32_t gid, uint64_t voted, struct runid leader,
                             uint64_t config_epoch)
{
    put(b, (struct ballot){.kind = BALLOT_ADD,
                           .gid = gid,
                           .epoch = voted,
                           .leader = leader,
                           .u.terms = {.quorum = QUORUM,
                                       .has_votes = true,
                                       .failover_timeout = FAILOVER_TIMEOUT,
                                       .config_epoch = config_epoch}});
}

static inline void say(struct bench *b, enum ballot_kind kind, uint32_t gid)
{
    put(b, (struct ballot){.kind = kind, .gid = gid});
}

static inline void member(struct bench *b, enum ballot_kind kind, uint32_t gid, char who)
{
    put(b, (struct ballot){.kind = kind, .gid = gid, .runid = id_of(who)});
}

static inline void want(struct bench *b, uint32_t gid, bool forced)
{
    put(b, (struct ballot){.kind = BALLOT_WANT, .gid = gid, .u.want.forced = forced});
}

static inline void hear(struct bench *b, uint32_t gid, char who, uint64_t epoch)
{
    put(b, (struct ballot){.kind = BALLOT_EPOCH, .gid = gid, .runid = id_of(who), .epoch = epoch});
}

static inline void config(struct bench *b, uint32_t gid, uint64_t epoch, const char *ip)
{
    struct ballot ballot = {.kind = BALLOT_CONFIG, .gid = gid, .epoch = epoch};
    assert_true(address_set(&ballot.u.addr, ip, strlen(ip), 6379));
    put(b, ballot);
}

/* Asks for a vote, and returns the reply, which stays in b->up. */
static inline struct vote_reply ask(struct bench *b, uint32_t gid, char who, uint64_t epoch)
{
    size_t before = b->up.reply_count;
    put(b, (struct ballot){.kind = BALLOT_REQUEST,
                           .gid = gid,
                           .runid = id_of(who),
                           .epoch = epoch,
                           .u.reply_to = {.host = {before + 1, gid}}});
    assert_int_equal(b->up.reply_count, before + 1);
    struct vote_reply reply = b->up.replies[before];
    assert_int_equal(reply.to.host[0], before + 1);
    assert_int_equal(reply.to.host[1], gid);
    assert_int_equal(reply.gid, gid);
    return reply;
}

/* True when the reply names who ('*': nobody) and epoch. */
static inline bool names(struct vote_reply reply, char who, uint64_t epoch)
{
    struct runid id = who == '*' ? (struct runid){{0}} : id_of(who);
    return runid_equal(&reply.leader, &id) && reply.epoch == epoch;
}

static inline bool grants(struct bench *b, uint32_t gid, char who, uint64_t epoch)
{
    bool granted = names(ask(b, gid, who, epoch), who, epoch);
    settle(b);
    return granted;
}

static inline void answer_heard(struct bench *b, uint32_t gid, char voter, char leader,
                                uint64_t epoch, uint64_t heard)
{
    put(b, (struct ballot){.kind = BALLOT_ANSWER,
                           .gid = gid,
                           .runid = id_of(voter),
                           .leader = leader == '*' ? (struct runid){{0}} : id_of(leader),
                           .epoch = epoch,
                           .u.heard = heard});
}

static inline void answer(struct bench *b, uint32_t gid, char voter, char leader, uint64_t epoch)
{
    answer_heard(b, gid, voter, leader, epoch, 0);
}

static inline size_t count_outcomes(const struct bench *b, enum outcome_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < b->up.outcome_count; i++)
        n += b->up.outcomes[i].kind == kind;
    return n;
}

static inline size_t count_records(const struct bench *b, enum record_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < b->up.record_count; i++)
        n += b->up.records[i].kind == kind;
    return n;
}

/* The last outcome of that kind for gid, or NULL. */
static inline const struct outcome *outcome(const struct bench *b, enum outcome_kind kind,
                                            uint32_t gid)
{
    const struct outcome *found = NULL;
    for (size_t i = 0; i < b->up.outcome_count; i++) {
        if (b->up.outcomes[i].kind == kind && b->up.outcomes[i].gid == gid)
            found = &b->up.outcomes[i];
    }
    return found;
}

static inline struct election_view view_of(const struct bench *b, uint32_t gid)
{
    struct election_view view;
    assert_true(election_view(b->election, gid, &view));
    return view;
}

/* A wish, and the time its batch delay takes; outcomes stay in b->up. */
static inline void start(struct bench *b, uint32_t gid)
{
    want(b, gid, false);
    pass(b);
    durable(b, true);
    run_until(b, b->now + LIMIT_BATCH_DELAY);
}
