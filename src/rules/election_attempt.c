#include "rules/election_internal.h"

#include <stdlib.h>

static ms_t sooner_of(ms_t a, ms_t b)
{
    return a < b ? a : b;
}

static ms_t later_of(ms_t a, ms_t b)
{
    return a > b ? a : b;
}

/* No round may begin now (design.md §4.1, 4.11, 4.12, §5). */
static bool blocked(const struct election *e)
{
    return election_silent(e) || e->refused || e->env->muted || e->env->tilt;
}

void attempt_touch(struct election *e, uint32_t gid, ms_t now)
{
    const struct seat *s = &e->seats[gid];
    if (s->phase != PHASE_NONE && s->phase != PHASE_LEADING)
        agenda_set(e, gid, now);
}

static void list_ready(struct election *e, uint32_t gid)
{
    struct seat *s = &e->seats[gid];
    s->phase = PHASE_READY;
    agenda_set(e, gid, MS_NEVER);
    if (!s->listed) {
        s->listed = true;
        gid_list_add(&e->ready, gid);
    }
    if (s->attempt->forced)
        e->forced_ready++;
}

void attempt_want(struct election *e, const struct ballot *b, ms_t now, struct election_update *up)
{
    struct seat *s = seat_find(e, b->gid);
    if (!s)
        return;
    bool forced = b->u.want.forced;
    bool begun = s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF || s->phase == PHASE_LEADING;
    if (forced && e->refused && !begun) { /* an operator waits: better no than some day */
        update_outcome(up, OUTCOME_LOST, b->gid, 0)->reason = LOST_JOURNAL;
        attempt_clear(e, b->gid);
        return;
    }
    if (s->phase == PHASE_NONE) {
        s->attempt = calloc(1, sizeof *s->attempt);
        if (!s->attempt)
            abort();
        s->attempt->since = now;
        s->attempt->forced_at = MS_NEVER;
        s->phase = PHASE_WAIT;
    }
    if (forced && !s->attempt->forced && s->phase != PHASE_LEADING) {
        s->attempt->forced = true;
        s->attempt->majority = b->u.want.majority;
        if (begun && !s->attempt->majority)
            s->attempt->forced_at = now + LIMIT_FORCED_WAIT;
        else
            list_ready(e, b->gid);
    }
    if (s->phase != PHASE_READY)
        attempt_touch(e, b->gid, now);
}

void attempt_clear(struct election *e, uint32_t gid)
{
    struct seat *s = &e->seats[gid];
    agenda_set(e, gid, MS_NEVER);
    free(s->attempt);
    s->attempt = NULL;
    s->phase = PHASE_NONE;
}

/* --- tally (design.md §4.3) ----------------------------------------------------------------- */

static uint32_t majority(const struct seat *s)
{
    uint32_t members = s->member_count;
    if (s->attempt->members_at_start > members)
        members = s->attempt->members_at_start;
    return (members + 1) / 2 + 1;
}

void attempt_tally(const struct election *e, const struct seat *s, uint32_t *votes,
                   uint32_t *needed)
{
    (void)e;
    *votes = 1;
    for (uint32_t i = 0; i < s->member_count; i++)
        *votes += s->members[i].answer == ANSWER_GRANT;
    if (MUTANT(MUTANT_COUNT_REMOVED))
        *votes += s->attempt->ghosts;
    *needed = majority(s);
    if (s->quorum > *needed)
        *needed = s->quorum;
}

static void elect(struct election *e, uint32_t gid, struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    s->phase = PHASE_LEADING;
    agenda_set(e, gid, MS_NEVER);
    update_outcome(up, OUTCOME_ELECTED, gid, s->attempt->epoch)->leader = e->env->myid;
    e->counters.elected++;
}

void attempt_answer(struct election *e, const struct ballot *b, ms_t now,
                    struct election_update *up)
{
    struct seat *s = seat_find(e, b->gid);
    bool epoch_ok = epoch_see(e, b->epoch);
    bool heard_ok = epoch_see(e, b->u.heard);
    if (!s || s->phase != PHASE_ROUND || !epoch_ok)
        return;
    struct member *m = seat_member(s, names_find(&e->names, &b->runid));
    if (!m)
        return; /* only the group's sentinels count */
    struct attempt *a = s->attempt;
    bool for_us = runid_equal(&b->leader, &e->env->myid);
    m->heard = true;
    if (m->answer == ANSWER_GRANT || m->answer == ANSWER_OTHER)
        return; /* final for this round */
    if (for_us && (b->epoch == a->epoch || MUTANT(MUTANT_COUNT_ANY_EPOCH))) {
        m->answer = ANSWER_GRANT;
        /* At once: a rival's request later in this pass must find a leader, not a candidate. */
        uint32_t votes, needed;
        attempt_tally(e, s, &votes, &needed);
        if (votes >= needed && !e->env->muted) {
            elect(e, b->gid, up);
            return;
        }
    } else if (b->epoch >= a->epoch) {
        m->answer = ANSWER_OTHER;
        a->rival = true;
    } else {
        m->answer = ANSWER_UNKNOWN;
        if (heard_ok && b->u.heard > a->epoch)
            a->higher = true;
    }
    attempt_touch(e, b->gid, now);
}

/* --- ends ----------------------------------------------------------------------------------- */

void attempt_lose(struct election *e, uint32_t gid, enum lost_reason reason,
                  struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    assert(s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF || s->phase == PHASE_LEADING);
    uint32_t heard = 1;
    for (uint32_t i = 0; i < s->member_count; i++)
        heard += s->members[i].heard;
    struct outcome *lost = update_outcome(up, OUTCOME_LOST, gid, s->attempt->epoch);
    lost->reason = reason;
    lost->unreachable = heard < majority(s);
    e->counters.lost++;
    attempt_clear(e, gid);
}

/* Losers of the same round in one pass draw one delay, so that their next round shares one epoch
 * as well (design.md §4.2, 4.5). */
static ms_t draw_backoff(struct election *e, uint32_t round)
{
    assert(round >= 1 && round <= LIMIT_ROUNDS);
    if (e->backoff[round] == 0)
        e->backoff[round] = 1 + (ms_t)prng_below(&e->prng, (uint64_t)LIMIT_BACKOFF << (round - 1));
    return e->backoff[round];
}

static void drop_round(struct election *e, uint32_t gid, ms_t now)
{
    struct seat *s = &e->seats[gid];
    assert(s->phase == PHASE_ROUND);
    s->phase = PHASE_BACKOFF;
    s->attempt->next_at = now + draw_backoff(e, s->attempt->round);
    s->attempt->leased = false;
    agenda_set(e, gid, now);
}

void attempt_voted_for_other(struct election *e, uint32_t gid, ms_t now)
{
    struct seat *s = &e->seats[gid];
    if (s->phase == PHASE_ROUND) {
        s->attempt->rival = true;
        drop_round(e, gid, now); /* who helps another to lead does not go on against him */
    } else {
        attempt_touch(e, gid, now);
    }
}

/* --- one group at its time ------------------------------------------------------------------- */

/* A wish: may it start with the next batch? (design.md §4.3, 4.6) */
static void look_at_wish(struct election *e, uint32_t gid, ms_t now)
{
    struct seat *s = &e->seats[gid];
    struct attempt *a = s->attempt;
    ms_t due = now;
    if (!a->forced) {
        ms_t bound = a->since + 2 * s->failover_timeout;
        due = sooner_of(start_after_others(e, s, now), bound);
        due = later_of(due, a->not_before);
    }
    if (due > now) {
        s->phase = PHASE_WAIT;
        agenda_set(e, gid, due);
    } else {
        list_ready(e, gid);
    }
}

/* The round cannot be won any more; else *due is when to look again (design.md §4.5). */
static bool round_is_lost(const struct election *e, const struct seat *s, uint32_t votes,
                          uint32_t needed, ms_t now, ms_t *due)
{
    const struct attempt *a = s->attempt;
    uint32_t silent = 0, unknown = 0, other = 0;
    ms_t patience = a->round_at + e->env->periods.ask;
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct member *m = &s->members[i];
        silent += m->answer == ANSWER_NONE && !m->down;
        unknown += m->answer == ANSWER_UNKNOWN;
        other += m->answer == ANSWER_OTHER;
    }
    if (unknown + other == 0)
        return false; /* nobody competes: a new epoch would bring nothing */
    if (now >= patience)
        silent = 0;
    if (votes + silent >= needed) {
        *due = sooner_of(*due, patience);
        return false;
    }
    if (votes + silent + unknown < needed || a->higher)
        return true;
    /* Those who refused for reasons of their own may still grant this epoch (a lease that ends, a
     * slow disk); a stock voter that is ahead of us says so in its next hello. */
    ms_t again = a->round_at + e->env->periods.publish;
    if (now >= again)
        return true;
    *due = sooner_of(*due, again);
    return false;
}

/* SENTINEL FAILOVER does not wait for a majority for ever (design.md §4.9). */
static void go_on_forced(struct election *e, uint32_t gid, ms_t now, struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    struct attempt *a = s->attempt;
    if (s->phase == PHASE_ROUND && !a->rival && e->seen_epoch == a->epoch) {
        elect(e, gid, up);
    } else if (e->refused) {
        attempt_lose(e, gid, LOST_JOURNAL, up);
    } else if (blocked(e)) {
        agenda_set(e, gid, now + LIMIT_BATCH_DELAY);
    } else {
        a->go_on = true;
        agenda_set(e, gid, MS_NEVER);
        gid_list_add(&e->starters, gid);
    }
}

static void look_at_round(struct election *e, uint32_t gid, ms_t now, struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    struct attempt *a = s->attempt;
    uint32_t votes, needed;
    attempt_tally(e, s, &votes, &needed);
    if (votes >= needed) {
        elect(e, gid, up);
        return;
    }
    if (now >= a->forced_at) {
        go_on_forced(e, gid, now, up);
        return;
    }
    if (now >= a->deadline) {
        attempt_lose(e, gid, LOST_TIMEOUT, up);
        return;
    }
    ms_t due = sooner_of(a->deadline, a->forced_at);
    if (!round_is_lost(e, s, votes, needed, now, &due))
        agenda_set(e, gid, due);
    else if (a->round >= LIMIT_ROUNDS && (!a->forced || a->majority))
        attempt_lose(e, gid, LOST_TIMEOUT, up);
    else
        drop_round(e, gid, now);
}

static void look_at_backoff(struct election *e, uint32_t gid, ms_t now, struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    struct attempt *a = s->attempt;
    if (now >= a->forced_at) {
        go_on_forced(e, gid, now, up);
        return;
    }
    if (now >= a->deadline) {
        attempt_lose(e, gid, LOST_TIMEOUT, up);
        return;
    }
    ms_t due = a->next_at;
    if (a->round >= LIMIT_ROUNDS) { /* forced, or dropped for another: only time is left */
        due = MS_NEVER;
    } else if (start_after_others(e, s, now) > now) {
        a->leased = true;
        due = later_of(due, start_after_others(e, s, now));
    } else if (a->leased) { /* everybody's lease ends at about this time */
        a->leased = false;
        due = a->next_at = later_of(a->next_at, now + draw_backoff(e, a->round));
    }
    if (due <= now && blocked(e))
        due = now + LIMIT_BATCH_DELAY;
    if (due <= now) {
        agenda_set(e, gid, MS_NEVER);
        gid_list_add(&e->starters, gid);
        return;
    }
    agenda_set(e, gid, sooner_of(due, sooner_of(a->deadline, a->forced_at)));
}

static void look_at(struct election *e, uint32_t gid, ms_t now, struct election_update *up)
{
    switch (e->seats[gid].phase) {
    case PHASE_WAIT:
    case PHASE_READY:
        look_at_wish(e, gid, now);
        break;
    case PHASE_ROUND:
        look_at_round(e, gid, now, up);
        break;
    case PHASE_BACKOFF:
        look_at_backoff(e, gid, now, up);
        break;
    case PHASE_NONE:
    case PHASE_LEADING:
        assert(false && "such a group is not in the heap");
    }
}

/* --- batches (design.md §4.2, 4.4) ------------------------------------------------------------ */

static void begin_attempt(struct election *e, struct seat *s, ms_t now)
{
    struct attempt *a = s->attempt;
    a->members_at_start = s->member_count;
    a->deadline = now + sooner_of(e->env->periods.election_timeout, s->failover_timeout);
    a->forced_at = a->forced && !a->majority ? now + LIMIT_FORCED_WAIT : MS_NEVER;
    for (uint32_t i = 0; i < s->member_count; i++)
        s->members[i].heard = false;
    e->counters.attempts++;
}

static void begin_round(struct election *e, uint32_t gid, uint64_t epoch, ms_t now,
                        struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    struct attempt *a = s->attempt;
    if (a->round == 0)
        begin_attempt(e, s, now);
    a->round++;
    a->epoch = epoch;
    a->round_at = now;
    a->ghosts = 0;
    a->higher = a->rival = a->leased = false;
    for (uint32_t i = 0; i < s->member_count; i++)
        s->members[i].answer = ANSWER_NONE;
    s->phase = PHASE_ROUND;
    e->counters.rounds++;
    seat_vote(e, gid, e->me, epoch, now, up);
    struct outcome *started = update_outcome(up, OUTCOME_STARTED, gid, epoch);
    started->round = a->round;
    started->leader = e->env->myid;
    if (a->go_on)
        elect(e, gid, up);
    else
        look_at_round(e, gid, now, up); /* alone, we are elected at once */
}

/* The ready wishes whose time has come join the starters. */
static void gather_ready(struct election *e, ms_t now)
{
    if (e->ready.count == 0) {
        e->batch_at = 0;
        e->forced_ready = 0;
        return;
    }
    if (e->batch_at == 0)
        e->batch_at =
            later_of(now, e->silent_until) + (ms_t)prng_below(&e->prng, LIMIT_BATCH_DELAY + 1);
    bool fired = now >= e->batch_at;
    if (blocked(e)) {
        if (fired)
            e->batch_at = now + LIMIT_BATCH_DELAY;
        return;
    }
    if (!fired && e->forced_ready == 0)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < e->ready.count; i++) {
        uint32_t gid = e->ready.gids[i];
        struct seat *s = &e->seats[gid];
        if (s->phase == PHASE_READY && !fired && !s->attempt->forced) {
            e->ready.gids[kept++] = gid;
            continue;
        }
        s->listed = false;
        if (s->phase == PHASE_READY)
            gid_list_add(&e->starters, gid);
    }
    e->ready.count = kept;
    e->forced_ready = 0;
    if (kept == 0)
        e->batch_at = 0;
}

static void start_batch(struct election *e, ms_t now, struct election_update *up)
{
    if (e->refused || e->seen_epoch >= LIMIT_EPOCH)
        e->fresh.count = 0;
    if (e->seen_epoch >= LIMIT_EPOCH) {
        for (size_t i = 0; i < e->starters.count; i++) {
            e->seats[e->starters.gids[i]].phase = PHASE_ROUND;
            attempt_lose(e, e->starters.gids[i], LOST_TIMEOUT, up);
        }
        e->starters.count = 0;
    }
    if (e->starters.count + e->fresh.count == 0)
        return;
    assert(!e->refused);
    uint64_t epoch = e->seen_epoch + 1;
    if (epoch - e->current_epoch > LIMIT_EPOCH_JUMP)
        epoch = e->current_epoch + LIMIT_EPOCH_JUMP; /* or nobody would listen */
    epoch_raise(e, e->starters.count > 0 ? e->starters.gids[0] : e->fresh.gids[0], epoch, up);
    for (size_t i = 0; i < e->starters.count; i++)
        begin_round(e, e->starters.gids[i], epoch, now, up);
    for (size_t i = 0; i < e->fresh.count; i++)
        update_outcome(up, OUTCOME_FRESH, e->fresh.gids[i], epoch);
    e->starters.count = e->fresh.count = 0;
}

/* What a failed batch held and is still true goes into the next one that can be made durable. */
static void record_unsure(struct election *e, struct election_update *up)
{
    if (e->refused)
        return;
    if (e->epoch_unsure) {
        e->epoch_unsure = false;
        update_record(up, RECORD_CURRENT_EPOCH, e->epoch_gid, e->current_epoch);
        update_outcome(up, OUTCOME_NEW_EPOCH, e->epoch_gid, e->current_epoch);
    }
    for (size_t i = 0; i < e->unsure.count; i++) {
        uint32_t gid = e->unsure.gids[i];
        struct seat *s = &e->seats[gid];
        if (!s->unsure || !s->present)
            continue;
        s->unsure = false;
        const struct runid *voted = names_id(&e->names, s->voted);
        update_record(up, RECORD_VOTE, gid, s->voted_epoch)->runid = *voted;
        if (s->voted != e->me)
            update_outcome(up, OUTCOME_VOTED, gid, s->voted_epoch)->leader = *voted;
    }
    e->unsure.count = 0;
}

/* Another process has our runid: votes for it would count as ours (design.md §4.11). */
static void lose_all(struct election *e, struct election_update *up)
{
    for (size_t i = 0; i < e->heap.count; i++) {
        uint32_t gid = e->heap.gids[i];
        if (e->seats[gid].phase == PHASE_ROUND || e->seats[gid].phase == PHASE_BACKOFF)
            gid_list_add(&e->starters, gid);
    }
    for (size_t i = 0; i < e->starters.count; i++)
        attempt_lose(e, e->starters.gids[i], LOST_CANCELLED, up);
    e->starters.count = 0;
}

void election_pass(struct election *e, ms_t now, struct election_update *up)
{
    assert(e->starters.count == 0);
    e->now = now;
    election_advance(e, now);
    for (size_t i = 0; i <= LIMIT_ROUNDS; i++)
        e->backoff[i] = 0;
    record_unsure(e, up);
    if (e->env->muted)
        lose_all(e, up);
    while (agenda_next(e) <= now)
        look_at(e, e->heap.gids[0], now, up);
    gather_ready(e, now);
    start_batch(e, now, up);
    while (agenda_next(e) <= now) /* rounds that were lost at once */
        look_at(e, e->heap.gids[0], now, up);
    assert(e->starters.count == 0);
}

ms_t election_next_deadline(const struct election *e)
{
    if (e->fresh.count > 0 || (!e->refused && (e->epoch_unsure || e->unsure.count > 0)))
        return e->now;
    if (e->forced_ready > 0 && !blocked(e))
        return e->now;
    ms_t next = agenda_next(e);
    if (e->ready.count > 0)
        next = sooner_of(next, e->batch_at);
    return next;
}
