/* Host of the elector (design.md §3): drains its lanes, decides for all, appends one batch, syncs,
 * and only then releases what waited. While a sync runs it is blocked, as the daemon's thread is.
 */
#include "sim.h"

#include <assert.h>
#include <string.h>

void elector_wake(struct world *w, struct sentinel *s, ms_t at)
{
    struct elector *l = &s->elector;
    if (l->busy || !s->alive)
        return;
    if (at < w->now)
        at = w->now;
    if (at < l->frozen_until)
        at = l->frozen_until;
    if (at >= l->wake)
        return;
    l->wake = at;
    event_push(w, at, EV_PASS, s->index, 0, ++l->stamp, NULL);
}

/* The election's records so far go to the batch: they keep their order among the shards' own. */
static void take_records(struct sentinel *s)
{
    struct elector *l = &s->elector;
    for (; l->recorded < l->update.record_count; l->recorded++) {
        const struct entry e = {.record = l->update.records[l->recorded]};
        journal_append(&s->journal, &e);
    }
}

static void feed(struct world *w, struct sentinel *s, const struct parcel *p)
{
    struct elector *l = &s->elector;
    if (p->kind == PARCEL_RECORD) {
        take_records(s);
        journal_append(&s->journal, &p->u.entry);
        return;
    }
    assert(p->kind == PARCEL_BALLOT);
    trace(w, (int)s->index, "elector: ballot %d m%u epoch %llu runid %.6s leader %.6s",
          (int)p->u.ballot.kind, p->u.ballot.gid, (unsigned long long)p->u.ballot.epoch,
          p->u.ballot.runid.hex, p->u.ballot.leader.hex);
    const size_t first = l->update.outcome_count;
    if (l->stock != NULL)
        stock_ballot(w, s, &p->u.ballot, &l->update);
    else
        election_ballot(l->election, &p->u.ballot, w->now, &l->update);
    check_ballot(w, s, &p->u.ballot, first);
}

static void release_outcome(struct world *w, struct sentinel *s, const struct outcome *o)
{
    check_outcome(w, s, o);
    trace(w, (int)s->index, "elector: outcome %d m%u epoch %llu leader %.6s round %u reason %d",
          (int)o->kind, o->gid, (unsigned long long)o->epoch, o->leader.hex, o->round,
          (int)o->reason);
    struct parcel *p = parcel_new(w, s, shard_of(s, o->gid), PARCEL_OUTCOME);
    p->gid = o->gid;
    p->u.outcome = *o;
    parcel_lane(w, s, SIM_SHARDS, p);
    if (o->kind == OUTCOME_VOTED)
        nemesis_voted(w, s, o->gid);
    if (o->kind == OUTCOME_ELECTED)
        nemesis_elected(w, s, o->gid);
}

static uint64_t elector_epoch(const struct elector *l)
{
    return l->stock != NULL ? stock_current_epoch(l->stock) : election_current_epoch(l->election);
}

static void release(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    const uint64_t durable = s->journal.durable.current_epoch;
    const uint64_t decided = elector_epoch(l);
    s->published_epoch = s->journal.failed ? durable : decided;
    for (size_t i = 0; i < l->update.outcome_count; i++)
        release_outcome(w, s, &l->update.outcomes[i]);
    for (size_t i = 0; i < l->update.reply_count; i++) {
        const struct vote_reply *v = &l->update.replies[i];
        struct conn *c = net_find(w, v->to.host[0] & UINT32_MAX, v->to.host[1]);
        if (c == NULL)
            continue;
        struct parcel *p = parcel_new(w, s, c->accept_shard, PARCEL_VOTE);
        p->u.vote = *v;
        parcel_lane(w, s, SIM_SHARDS, p);
    }
    election_update_clear(&l->update);
    l->recorded = 0;
}

static void start_sync(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    ms_t takes = draw_between(w, w->p.disk_min, w->p.disk_max);
    if (!calm(w) && chance(w, w->p.slow_permille)) {
        w->count.by_fault[FAULT_SLOW_DISK]++;
        takes += draw_between(w, 100, chance(w, 200) ? 4000 : 900);
    }
    l->busy = true;
    l->wake = MS_NEVER;
    s->journal.tail_synced = s->journal.tail_count;
    w->count.syncs++;
    event_push(w, w->now + takes, EV_SYNCED, s->index, 0, s->incarnation, NULL);
}

static void next_pass(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    l->wake = MS_NEVER;
    ms_t at =
        l->stock != NULL ? stock_next_deadline(l->stock) : election_next_deadline(l->election);
    if (s->journal.failed && l->disk_retry < at)
        at = l->disk_retry;
    if (l->inbox.head != NULL)
        at = w->now;
    if (at != MS_NEVER)
        elector_wake(w, s, at <= w->now ? w->now + (l->inbox.head == NULL) : at);
}

void elector_pass(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    assert(!l->busy);
    l->wake = MS_NEVER;
    l->env.tilt = s->tilt;
    struct parcel *p;
    while ((p = inbox_take(&l->inbox)) != NULL) {
        feed(w, s, p);
        parcel_free(w, p);
    }
    const size_t first = l->update.outcome_count;
    if (l->stock != NULL)
        stock_pass(w, s, &l->update);
    else
        election_pass(l->election, w->now, &l->update);
    take_records(s);
    check_pass(w, s, first);
    if (s->journal.failed && w->now < l->disk_retry) { /* nothing may be promised now */
        if (l->stock == NULL)
            election_durable(l->election, false, w->now, &l->update);
        release(w, s);
        next_pass(w, s);
        return;
    }
    if (s->journal.tail_count > 0 || s->journal.failed) {
        if (MUTANT(MUTANT_REPLY_EARLY))
            release(w, s);
        start_sync(w, s);
        return;
    }
    assert(!l->update.promises || l->stock != NULL);
    release(w, s);
    next_pass(w, s);
}

void elector_synced(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    struct journal *j = &s->journal;
    assert(l->busy);
    l->busy = false;
    if (!calm(w) && chance(w, w->p.fail_permille) && l->stock == NULL) {
        /* Which of the records reached the disk, nobody knows; a whole snapshot must follow. */
        w->count.by_fault[FAULT_BAD_DISK]++;
        trace(w, (int)s->index, "elector: the disk failed");
        j->failed = true;
        l->disk_retry = w->now + draw_between(w, 10, 1500);
        election_durable(l->election, false, w->now, &l->update);
    } else {
        journal_settle(w, s, j->tail_synced);
        j->failed = false;
        if (l->stock == NULL)
            election_durable(l->election, true, w->now, &l->update);
    }
    release(w, s);
    next_pass(w, s);
}
