/* Safety (design.md §4, end): checked at every step, from what is durable and what is on the wire.
 */
#include "sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_fail(struct world *w, enum verdict verdict, const char *invariant, const char *format,
                ...)
{
    va_list args;
    w->verdict = verdict;
    (void)snprintf(w->invariant, sizeof(w->invariant), "%s", invariant);
    va_start(args, format);
    (void)vsnprintf(w->message, sizeof(w->message), format, args);
    va_end(args);
    trace(w, -1, "VIOLATION %s: %s", w->invariant, w->message);
    longjmp(*w->end, 1);
}

static unsigned long long number(uint64_t n)
{
    return (unsigned long long)n;
}

/* --- votes that are durable ------------------------------------------------------------------- */
uint32_t check_identity(struct world *w, const struct sentinel *s)
{
    for (uint32_t i = 0; i < w->identity_count; i++)
        if (runid_equal(&w->identities[i].runid, &s->myid))
            return i;
    assert(w->identity_count < SIM_IDENTITIES);
    w->identities[w->identity_count] = (struct identity){.runid = s->myid, .sentinel = s->index};
    return w->identity_count++;
}

static const struct runid *vote_find(const struct identity *id, uint32_t gid, uint64_t epoch)
{
    for (uint32_t i = id->vote_count; i-- > 0;)
        if (id->votes[i].gid == gid && id->votes[i].epoch == epoch)
            return &id->votes[i].whom;
    return NULL;
}

static void vote_durable(struct world *w, struct sentinel *s, const struct record *r)
{
    struct identity *id = &w->identities[s->identity];
    const struct runid *whom = vote_find(id, r->gid, r->epoch);
    if (whom != NULL && !runid_equal(whom, &r->runid))
        check_fail(w, VERDICT_SAFETY, "one-vote-per-epoch",
                   "s%u voted for %.6s and then for %.6s in epoch %llu of m%u", s->index, whom->hex,
                   r->runid.hex, number(r->epoch), r->gid);
    if (whom != NULL)
        return;
    w->count.votes++;
    if (id->vote_count == id->vote_cap) {
        id->vote_cap = id->vote_cap == 0 ? 32 : id->vote_cap * 2;
        id->votes = realloc(id->votes, id->vote_cap * sizeof(*id->votes));
        assert(id->votes != NULL);
    }
    id->votes[id->vote_count++] =
        (struct vote_known){.gid = r->gid, .epoch = r->epoch, .whom = r->runid};
}

void check_durable(struct world *w, struct sentinel *s, const struct entry *e)
{
    const struct record *r = &e->record;
    const struct saved *d = &s->journal.durable;
    if (r->kind == RECORD_VOTE) {
        vote_durable(w, s, r);
    } else if (r->kind == RECORD_CURRENT_EPOCH && r->epoch < d->current_epoch) {
        check_fail(w, VERDICT_SAFETY, "epoch-goes-back", "s%u: durable epoch from %llu to %llu",
                   s->index, number(d->current_epoch), number(r->epoch));
    } else if (r->kind == RECORD_CONFIG) {
        const struct saved_group *g = &d->groups[r->gid];
        if (g->monitored && r->epoch < g->config_epoch)
            check_fail(w, VERDICT_SAFETY, "config-epoch-goes-back",
                       "s%u: durable config epoch of m%u from %llu to %llu", s->index, r->gid,
                       number(g->config_epoch), number(r->epoch));
    }
}

void check_booted(struct world *w, struct sentinel *s)
{
    if (s->published_epoch < s->seen_epoch)
        check_fail(w, VERDICT_SAFETY, "epoch-goes-back",
                   "s%u starts with epoch %llu after it was at %llu", s->index,
                   number(s->published_epoch), number(s->seen_epoch));
}

/* --- the elector's decisions -------------------------------------------------------------------
 */
static void mirror_drop(struct mirror *m, const struct runid *id)
{
    for (uint32_t i = 0; i < m->member_count; i++) {
        if (runid_equal(&m->members[i], id)) {
            m->members[i] = m->members[--m->member_count];
            m->down[i] = m->down[m->member_count];
            return;
        }
    }
}

static bool *mirror_down(struct mirror *m, const struct runid *id)
{
    for (uint32_t i = 0; i < m->member_count; i++)
        if (runid_equal(&m->members[i], id))
            return &m->down[i];
    return NULL;
}

static void mirror_request(struct world *w, struct mirror *m, const struct ballot *b)
{
    if (!runid_equal(&m->voted, &b->runid))
        return;
    if (w->now - m->asked_at >= 2 * w->p.periods.ask)
        m->ended = true; /* it had lapsed, and an attempt of ours may be about to start */
    if (b->epoch == m->voted_epoch)
        m->asked_at = w->now;
    if (b->epoch > m->asked_epoch)
        m->asked_epoch = b->epoch;
}

static void mirror_ballot(struct world *w, struct mirror *m, const struct ballot *b)
{
    switch (b->kind) {
    case BALLOT_ADD:
    case BALLOT_REMOVE:
        m->member_count = 0;
        m->forced = m->elected = false;
        m->ended = true;
        m->wished_at = 0;
        if (b->kind == BALLOT_ADD)
            m->quorum = b->u.terms.quorum;
        break;
    case BALLOT_SET:
        m->quorum = b->u.terms.quorum;
        break;
    case BALLOT_MEMBER_ADD:
        mirror_drop(m, &b->runid);
        assert(m->member_count < SIM_KNOWN);
        m->down[m->member_count] = false;
        m->members[m->member_count++] = b->runid;
        break;
    case BALLOT_MEMBER_DROP:
        mirror_drop(m, &b->runid);
        m->holder_down |= runid_equal(&m->voted, &b->runid);
        break;
    case BALLOT_MEMBER_DOWN:
    case BALLOT_MEMBER_UP: {
        bool *down = mirror_down(m, &b->runid);
        if (down != NULL)
            *down = b->kind == BALLOT_MEMBER_DOWN;
        m->holder_down |= down != NULL && *down && runid_equal(&m->voted, &b->runid);
        break;
    }
    case BALLOT_WANT:
        m->forced |= b->u.want.forced;
        if (b->u.want.forced)
            m->elected = b->u.want.majority;
        if (m->wished_at == 0)
            m->wished_at = w->now;
        break;
    case BALLOT_END:
    case BALLOT_CANCEL:
        m->ended = true;
        m->wished_at = 0;
        break;
    case BALLOT_REQUEST:
        mirror_request(w, m, b);
        break;
    case BALLOT_ANSWER:
    case BALLOT_EPOCH:
    case BALLOT_FRESH:
    case BALLOT_CONFIG:
        break;
    }
}

/* A given vote is a short lease (design.md §4.6). */
static void grant(struct world *w, struct sentinel *s, const struct outcome *o)
{
    struct mirror *m = &s->mirrors[o->gid];
    const ms_t lease = 2 * w->p.periods.ask;
    if (m->voted_epoch == o->epoch && runid_equal(&m->voted, &o->leader))
        return; /* told again: the disk refused it before */
    /* An operator's attempt does not wait, nor does a wish for more than twice the timeout. */
    const bool free = o->kind == OUTCOME_STARTED &&
                      (m->forced || w->now - m->wished_at >= 2 * w->p.failover_timeout);
    if (!s->stock && !free && runid_known(&m->voted) && !runid_equal(&m->voted, &o->leader) &&
        !runid_equal(&m->voted, &s->myid) && !m->ended && !m->holder_down &&
        m->asked_epoch <= m->voted_epoch && w->now - m->asked_at < lease &&
        w->now - m->voted_at < w->p.periods.election_timeout)
        check_fail(w, VERDICT_SAFETY, "lease",
                   "s%u voted for %.6s of m%u in epoch %llu, who asked %lld ms ago, and now for "
                   "%.6s in %llu",
                   s->index, m->voted.hex, o->gid, number(m->voted_epoch),
                   (long long)(w->now - m->asked_at), o->leader.hex, number(o->epoch));
    m->voted = o->leader;
    m->voted_epoch = m->asked_epoch = o->epoch;
    m->voted_at = m->asked_at = w->now;
    m->ended = false;
    const bool *down = mirror_down(m, &o->leader);
    m->holder_down = down != NULL && *down;
}

void check_answered(struct sentinel *s, uint32_t gid, const struct runid *member, uint32_t process)
{
    struct mirror *m = &s->mirrors[gid];
    uint32_t i = 0;
    while (i < m->answered_count && !runid_equal(&m->answered[i].member, member))
        i++;
    if (i == SIM_SENTINELS)
        i = 0;
    if (i == m->answered_count)
        m->answered_count++;
    m->answered[i].member = *member;
    m->answered[i].process = process;
}

static bool process_voted(const struct world *w, const struct sentinel *s, uint32_t process,
                          const struct outcome *o)
{
    for (uint32_t k = 0; k < w->identity_count; k++) {
        if (w->identities[k].sentinel != process)
            continue;
        const struct runid *whom = vote_find(&w->identities[k], o->gid, o->epoch);
        if (whom != NULL && runid_equal(whom, &s->myid))
            return true;
    }
    return false;
}

/* Processes that hold a durable vote for s and answered, or could have, for one of its members. A
 * link leads to an address: whoever lives there now, or was born anew there, answers for the
 * member, and the answer does not say who it is. */
static uint32_t true_votes(const struct world *w, const struct sentinel *s, const struct outcome *o)
{
    const struct mirror *m = &s->mirrors[o->gid];
    bool member[SIM_SENTINELS] = {false};
    uint32_t votes = 1;
    for (uint32_t i = 0; i < m->member_count; i++) {
        for (uint32_t k = 0; k < w->identity_count; k++)
            if (runid_equal(&w->identities[k].runid, &m->members[i]))
                member[w->identities[k].sentinel] = true;
        for (uint32_t k = 0; k < m->answered_count; k++)
            if (runid_equal(&m->answered[k].member, &m->members[i]))
                member[m->answered[k].process] = true;
    }
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        votes += member[i] && i != s->index && process_voted(w, s, i, o);
    return votes;
}

static void leader_add(struct world *w, const struct leader_known *l)
{
    if (w->leader_count == w->leader_cap) {
        w->leader_cap = w->leader_cap == 0 ? 32 : w->leader_cap * 2;
        w->leaders = realloc(w->leaders, w->leader_cap * sizeof(*w->leaders));
        assert(w->leaders != NULL);
    }
    w->leaders[w->leader_count++] = *l;
}

/* Elected by majority: the votes must exist, and nobody else may have won this epoch. */
static void elected(struct world *w, struct sentinel *s, const struct outcome *o)
{
    struct mirror *m = &s->mirrors[o->gid];
    const uint32_t votes = true_votes(w, s, o);
    uint32_t needed = (m->member_count + 1) / 2 + 1;
    if (m->quorum > needed)
        needed = m->quorum;
    w->count.elections++;
    /* Leaders who find nothing to promote must not follow each other for ever. */
    if (calm(w) && w->phase != PHASE_WARM) {
        const uint64_t turns =
            1 + (uint64_t)((w->now - w->phase_since) / w->p.periods.election_timeout);
        if (++w->elections_of[o->gid] > 3 + w->p.sentinels * turns)
            check_fail(w, VERDICT_LIVENESS, "election-storm", "%u elections of m%u in %lld ms",
                       w->elections_of[o->gid], o->gid, (long long)(w->now - w->phase_since));
    }
    const bool forced = m->forced && !m->elected;
    m->forced = m->elected = false;
    if (votes < needed) {
        if (!forced)
            check_fail(w, VERDICT_SAFETY, "leader-without-majority",
                       "s%u leads m%u in epoch %llu with %u votes of %u needed", s->index, o->gid,
                       number(o->epoch), votes, needed);
        return;
    }
    for (uint32_t i = 0; i < w->leader_count; i++) {
        const struct leader_known *l = &w->leaders[i];
        if (l->gid != o->gid || l->epoch != o->epoch || runid_equal(&l->runid, &s->myid))
            continue;
        if (l->members + 1 >= w->p.sentinels && m->member_count + 1 >= w->p.sentinels)
            check_fail(w, VERDICT_SAFETY, "one-leader-per-epoch",
                       "%.6s and %.6s both lead m%u in epoch %llu", l->runid.hex, s->myid.hex,
                       o->gid, number(o->epoch));
        w->count.excused++; /* the operator made them forget sentinels */
    }
    leader_add(w,
               &(struct leader_known){
                   .gid = o->gid, .epoch = o->epoch, .runid = s->myid, .members = m->member_count});
}

static void decided(struct world *w, struct sentinel *s, size_t first)
{
    for (size_t i = first; i < s->elector.update.outcome_count; i++) {
        const struct outcome *o = &s->elector.update.outcomes[i];
        if (o->kind == OUTCOME_VOTED || o->kind == OUTCOME_STARTED)
            grant(w, s, o);
        else if (o->kind == OUTCOME_ELECTED)
            elected(w, s, o);
        else if (o->kind == OUTCOME_LOST) {
            s->mirrors[o->gid].forced = s->mirrors[o->gid].elected = false;
            s->mirrors[o->gid].wished_at = 0;
        }
    }
}

void check_ballot(struct world *w, struct sentinel *s, const struct ballot *b, size_t first)
{
    decided(w, s, first);
    mirror_ballot(w, &s->mirrors[b->gid], b);
}

void check_pass(struct world *w, struct sentinel *s, size_t first)
{
    decided(w, s, first);
    if (s->stock)
        return;
    const struct election *e = s->elector.election;
    if (election_current_epoch(e) < s->seen_epoch)
        check_fail(w, VERDICT_SAFETY, "epoch-goes-back", "s%u: epoch from %llu to %llu", s->index,
                   number(s->seen_epoch), number(election_current_epoch(e)));
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        struct mirror *m = &s->mirrors[gid];
        struct election_view view;
        if (!election_view(e, gid, &view))
            continue;
        if (view.voted_epoch < m->floor_epoch)
            check_fail(w, VERDICT_SAFETY, "last-vote-goes-back",
                       "s%u: last voted epoch of m%u from %llu to %llu", s->index, gid,
                       number(m->floor_epoch), number(view.voted_epoch));
        m->floor_epoch = view.voted_epoch;
        if (view.votes > m->member_count + 1)
            check_fail(w, VERDICT_SAFETY, "too-many-votes", "s%u: %u votes of %u sentinels of m%u",
                       s->index, view.votes, m->member_count + 1, gid);
    }
}

/* At release: all of it must be durable now. */
void check_outcome(struct world *w, struct sentinel *s, const struct outcome *o)
{
    if (o->kind != OUTCOME_STARTED && o->kind != OUTCOME_VOTED && o->kind != OUTCOME_ELECTED)
        return;
    const struct runid *whom = vote_find(&w->identities[s->identity], o->gid, o->epoch);
    const struct runid *meant = o->kind == OUTCOME_VOTED ? &o->leader : &s->myid;
    if (whom == NULL || !runid_equal(whom, meant))
        check_fail(w, VERDICT_SAFETY, "visible-before-durable",
                   "s%u tells its shard of a vote for %.6s (m%u, epoch %llu) that is not durable",
                   s->index, meant->hex, o->gid, number(o->epoch));
}

/* --- the wire ------------------------------------------------------------------------------------
 */
void check_vote_sent(struct world *w, struct sentinel *s, uint32_t gid, const struct runid *leader,
                     uint64_t epoch)
{
    const struct runid *whom = vote_find(&w->identities[s->identity], gid, epoch);
    if (whom == NULL || !runid_equal(whom, leader))
        check_fail(w, VERDICT_SAFETY, "visible-before-durable",
                   "s%u answers a vote for %.6s (m%u, epoch %llu) that is not durable", s->index,
                   leader->hex, gid, number(epoch));
}

void check_ask_sent(struct world *w, struct sentinel *s, uint32_t gid, uint64_t epoch)
{
    const struct runid *whom = vote_find(&w->identities[s->identity], gid, epoch);
    if (!s->stock && (whom == NULL || !runid_equal(whom, &s->myid)))
        check_fail(w, VERDICT_SAFETY, "visible-before-durable",
                   "s%u asks for votes for m%u in epoch %llu without a durable vote of its own",
                   s->index, gid, number(epoch));
}

void check_hello_sent(struct world *w, struct sentinel *s, const struct group *g,
                      const struct hello *hello)
{
    const struct saved *d = &s->journal.durable;
    if (hello->current_epoch > d->current_epoch)
        check_fail(w, VERDICT_SAFETY, "visible-before-durable",
                   "s%u says epoch %llu in a hello, durable is %llu", s->index,
                   number(hello->current_epoch), number(d->current_epoch));
    /* With a disk that refuses, configurations go on in memory (design.md §5). */
    if (!fault_on(&w->p, FAULT_BAD_DISK) && d->groups[g->gid].monitored &&
        hello->config_epoch > d->groups[g->gid].config_epoch)
        check_fail(w, VERDICT_SAFETY, "visible-before-durable",
                   "s%u says config epoch %llu of m%u, durable is %llu", s->index,
                   number(hello->config_epoch), g->gid, number(d->groups[g->gid].config_epoch));
    if (hello->current_epoch > s->seen_epoch)
        s->seen_epoch = hello->current_epoch;
}

/* --- groups ----------------------------------------------------------------------------------- */
void check_view(struct world *w, struct sentinel *s, const struct group *g)
{
    const struct group_view *v = &s->views[g->gid];
    if (v->config_epoch < s->seen_config[g->gid])
        check_fail(w, VERDICT_SAFETY, "config-epoch-goes-back",
                   "s%u: config epoch of m%u from %llu to %llu", s->index, g->gid,
                   number(s->seen_config[g->gid]), number(v->config_epoch));
    if (!fault_on(&w->p, FAULT_BAD_DISK))
        s->seen_config[g->gid] = v->config_epoch;
    if (v->o_down && !v->s_down)
        check_fail(w, VERDICT_SAFETY, "o-down-without-s-down", "s%u: m%u", s->index, g->gid);
}

void check_removed(struct sentinel *s, uint32_t gid)
{
    s->seen_config[gid] = 0;
}

void check_step(struct world *w, struct sentinel *s, const struct group *g)
{
    const struct failover *fo = &g->fo;
    if (fo->state >= FAILOVER_SELECT_SLAVE && fo->state <= FAILOVER_WAIT_PROMOTION &&
        g->config_epoch >= fo->epoch)
        check_fail(w, VERDICT_SAFETY, "leader-past-newer-config",
                   "s%u: failover of m%u in %s with epoch %llu, config epoch is %llu", s->index,
                   g->gid, failover_state_name(fo->state), number(fo->epoch),
                   number(g->config_epoch));
    /* Later it may take a fresh epoch for its own view, to end a quarrel, but not another's. */
    const struct saved_group *saved = &s->journal.durable.groups[g->gid];
    if (fo->state >= FAILOVER_RECONF_SLAVES && g->config_epoch > fo->epoch &&
        saved->config_epoch == g->config_epoch && !address_equal(&saved->addr, &fo->promoted->addr))
        check_fail(w, VERDICT_SAFETY, "leader-past-newer-config",
                   "s%u: failover of m%u in %s with epoch %llu, config epoch is %llu", s->index,
                   g->gid, failover_state_name(fo->state), number(fo->epoch),
                   number(g->config_epoch));
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        if (runid_equal(&g->sentinels[i]->runid, &s->myid))
            check_fail(w, VERDICT_SAFETY, "knows-itself", "s%u is its own peer in m%u", s->index,
                       g->gid);
}

void check_action(struct world *w, struct sentinel *s, const struct group *g,
                  const struct action *a)
{
    if ((a->kind == ACTION_SLAVEOF || a->kind == ACTION_HANDOVER) && g->env->tilt)
        check_fail(w, VERDICT_SAFETY, "acts-in-tilt", "s%u acts for m%u in TILT", s->index, g->gid);
    if (a->kind != ACTION_EVENT || a->type != EVENT_ODOWN)
        return;
    unsigned down = 0, quorum = 0;
    const char *at = strstr(a->u.text, "#quorum ");
    if (at == NULL || sscanf(at, "#quorum %u/%u", &down, &quorum) != 2 || down < quorum ||
        down > g->sentinel_count + 1)
        check_fail(w, VERDICT_SAFETY, "quorum-count", "s%u, %u sentinels known: %s", s->index,
                   g->sentinel_count + 1, a->u.text);
}
