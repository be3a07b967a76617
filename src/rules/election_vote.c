#include "rules/election_internal.h"

/* --- epochs --------------------------------------------------------------------------------- */

bool epoch_see(struct election *e, uint64_t epoch)
{
    if (epoch > LIMIT_EPOCH ||
        (epoch > e->current_epoch && epoch - e->current_epoch > LIMIT_EPOCH_JUMP)) {
        e->counters.epochs_refused++;
        return false;
    }
    if (epoch > e->seen_epoch)
        e->seen_epoch = epoch;
    return true;
}

void epoch_raise(struct election *e, uint32_t gid, uint64_t epoch, struct election_update *up)
{
    if (epoch <= e->current_epoch)
        return;
    assert(epoch <= LIMIT_EPOCH);
    e->current_epoch = epoch;
    e->epoch_gid = gid;
    if (epoch > e->seen_epoch)
        e->seen_epoch = epoch;
    e->epoch_unsure = false; /* this batch holds it */
    update_record(up, RECORD_CURRENT_EPOCH, gid, epoch);
    update_outcome(up, OUTCOME_NEW_EPOCH, gid, epoch);
}

bool election_silent(const struct election *e)
{
    return e->silent_until != 0;
}

/* --- votes and leases ----------------------------------------------------------------------- */

bool seat_vote_durable(const struct seat *s)
{
    return s->durable_epoch == s->voted_epoch && s->durable == s->voted;
}

void seat_vote(struct election *e, uint32_t gid, uint32_t name, uint64_t epoch, ms_t now,
               struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    assert(name != NOBODY);
    assert(epoch <= e->current_epoch);
    assert(epoch > s->voted_epoch || MUTANT(MUTANT_VOTE_TWICE));
    assert(!e->refused);

    names_hold(&e->names, name);
    names_drop(&e->names, s->voted);
    s->voted = name;
    s->voted_epoch = epoch;
    s->voted_at = s->asked_at = now;
    s->lease = name != e->me || MUTANT(MUTANT_SELF_LEASE);
    s->suitor_at = 0;
    s->unsure = false;
    update_record(up, RECORD_VOTE, gid, epoch)->runid = *names_id(&e->names, name);
}

/* When time alone ends the lease. */
static ms_t lease_until(const struct election *e, const struct seat *s)
{
    ms_t silence = s->asked_at + 2 * e->env->periods.ask;
    ms_t vote = s->voted_at + e->env->periods.election_timeout;
    return silence < vote ? silence : vote;
}

bool lease_holds(const struct election *e, const struct seat *s, ms_t now)
{
    if (MUTANT(MUTANT_NO_LEASE) || !s->lease)
        return false;
    if (s->voted == e->me) /* MUTANT_SELF_LEASE only */
        return now < s->voted_at + e->env->periods.election_timeout;
    const struct member *holder = seat_member(s, s->voted);
    return now < lease_until(e, s) && !(holder && holder->down);
}

ms_t start_after_others(const struct election *e, const struct seat *s, ms_t now)
{
    if (s->voted != e->me && lease_holds(e, s, now))
        return lease_until(e, s);
    /* Whom only the lease refused asks again within an ask-period, and gets the vote then. To start
     * against him just before would leave everybody with half the votes, in turns. */
    return s->suitor_at == 0 ? now : s->suitor_at + e->env->periods.ask * 5 / 4;
}

/* A majority made us the leader and our failover runs: to help another to lead now would promote
 * two replicas. As a vote for another it binds us no longer than election-timeout. */
static bool leads(const struct election *e, const struct seat *s, ms_t now)
{
    uint32_t votes, needed;
    if (MUTANT(MUTANT_NO_LEASE) || s->phase != PHASE_LEADING ||
        now >= s->voted_at + e->env->periods.election_timeout)
        return false;
    attempt_tally(e, s, &votes, &needed);
    return votes >= needed;
}

/* design.md §4.1 and §4.6: may our vote for this master and epoch go to candidate? */
static bool may_grant(const struct election *e, struct seat *s, const struct ballot *b,
                      uint32_t candidate, ms_t now)
{
    if (runid_equal(&b->runid, &e->env->myid))
        return false; /* our vote for ourselves is never taken from the net */
    if (e->env->muted || election_silent(e) || e->refused || leads(e, s, now))
        return false;
    bool later = b->epoch > s->voted_epoch;
    if (MUTANT(MUTANT_VOTE_TWICE) && b->epoch == s->voted_epoch && candidate != s->voted)
        later = true;
    if (!later || b->epoch <= s->config_epoch || b->epoch <= e->floor_epoch)
        return false;
    if (candidate == s->voted || !lease_holds(e, s, now))
        return true;
    s->suitor_at = now;
    return false;
}

/* The candidate we voted for asks: for the same epoch, its round or failover is alive and so is its
 * lease; for a later one, its round is lost. */
static void holder_asks(struct election *e, const struct ballot *b, ms_t now)
{
    struct seat *s = &e->seats[b->gid];
    if (b->epoch == s->voted_epoch) {
        s->asked_at = now;
    } else if (b->epoch > s->voted_epoch && s->lease) {
        s->lease = false;
        attempt_touch(e, b->gid, now);
    }
}

static void grant(struct election *e, const struct ballot *b, ms_t now, struct election_update *up)
{
    uint32_t candidate = names_take(&e->names, &b->runid);
    seat_vote(e, b->gid, candidate, b->epoch, now, up);
    names_drop(&e->names, candidate); /* the seat holds it now */
    update_outcome(up, OUTCOME_VOTED, b->gid, b->epoch)->leader = b->runid;
    e->counters.votes_given++;
    attempt_voted_for_other(e, b->gid, now);
}

/* The last vote for this master, as far as it may be told (design.md §4.4 of principles, §4.13). */
static void reply_last_vote(struct election *e, uint32_t gid, const struct reply_to *to,
                            struct election_update *up)
{
    struct seat *s = &e->seats[gid];
    struct vote_reply *reply = update_reply(up, gid, to);
    if (seat_vote_durable(s) || e->refused) {
        reply->leader = *names_id(&e->names, s->durable);
        reply->epoch = s->durable_epoch;
        return;
    }
    if (s->unsure) { /* granted when the disk failed: what was given then is given now */
        s->unsure = false;
        update_record(up, RECORD_VOTE, gid, s->voted_epoch)->runid = *names_id(&e->names, s->voted);
        if (s->voted != e->me)
            update_outcome(up, OUTCOME_VOTED, gid, s->voted_epoch)->leader =
                *names_id(&e->names, s->voted);
    }
    reply->leader = *names_id(&e->names, s->voted);
    reply->epoch = s->voted_epoch;
    reply->earlier = *names_id(&e->names, s->durable);
    reply->earlier_epoch = s->durable_epoch;
    reply->promise = true;
    up->promises = true;
}

void election_request(struct election *e, const struct ballot *b, ms_t now,
                      struct election_update *up)
{
    struct seat *s = seat_find(e, b->gid);
    if (!s || !runid_known(&b->runid)) {
        update_reply(up, b->gid, &b->u.reply_to); /* "*" and 0, as stock */
        return;
    }
    if (runid_equal(&b->runid, &e->env->myid)) {
        /* We ask ourselves: our address was a peer's before, and is still known as his. Our own
         * vote must not come back as his. */
        update_reply(up, b->gid, &b->u.reply_to);
        return;
    }
    bool granted = false;
    if (epoch_see(e, b->epoch)) {
        epoch_raise(e, b->gid, b->epoch, up);
        uint32_t candidate = names_find(&e->names, &b->runid);
        if (candidate != NOBODY && candidate == s->voted)
            holder_asks(e, b, now);
        granted = may_grant(e, s, b, candidate, now);
        if (granted)
            grant(e, b, now, up);
    }
    reply_last_vote(e, b->gid, &b->u.reply_to, up);
    const struct vote_reply *reply = &up->replies[up->reply_count - 1];
    if (!granted && !(reply->epoch == b->epoch && runid_equal(&reply->leader, &b->runid)))
        e->counters.votes_refused++;
}
