#include "rules/election_internal.h"

#include <stdlib.h>

/* --- life ----------------------------------------------------------------------------------- */

struct election *election_new(const struct election_env *env, uint64_t current_epoch, bool fresh,
                              uint64_t seed, ms_t now)
{
    assert(runid_known(&env->myid));
    assert(current_epoch <= LIMIT_EPOCH);
    struct election *e = calloc(1, sizeof *e);
    if (!e)
        abort();
    e->env = env;
    e->now = now;
    e->current_epoch = e->seen_epoch = current_epoch;
    prng_seed(&e->prng, seed);
    names_init(&e->names, prng_next(&e->prng));
    e->me = names_take(&e->names, &env->myid);
    if (fresh)
        e->silent_until = now + env->periods.election_timeout;
    return e;
}

void election_free(struct election *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->seat_count; i++) {
        free(e->seats[i].attempt);
        free(e->seats[i].members);
    }
    free(e->seats);
    free(e->heap.gids);
    free(e->ready.gids);
    free(e->starters.gids);
    free(e->fresh.gids);
    free(e->unsure.gids);
    names_free(&e->names);
    free(e);
}

void election_advance(struct election *e, ms_t now)
{
    assert(now >= e->now);
    e->now = now;
    if (e->silent_until != 0 && now >= e->silent_until) {
        e->silent_until = 0;
        e->floor_epoch = e->seen_epoch;
    }
}

/* --- groups --------------------------------------------------------------------------------- */

/* An epoch that our own configuration saved: within bounds it raises current_epoch, silently. */
static bool adopt_saved(struct election *e, uint32_t gid, uint64_t epoch,
                        struct election_update *up)
{
    if (epoch > LIMIT_EPOCH) {
        e->counters.epochs_refused++;
        return false;
    }
    if (epoch > e->current_epoch) {
        e->current_epoch = epoch;
        if (epoch > e->seen_epoch)
            e->seen_epoch = epoch;
        e->epoch_gid = gid;
        update_record(up, RECORD_CURRENT_EPOCH, gid, epoch);
    }
    return true;
}

static void set_terms(struct seat *s, const struct ballot *b)
{
    s->quorum = b->u.terms.quorum;
    s->failover_timeout = b->u.terms.failover_timeout;
}

/* The last vote of a group that appears: what was saved, what we remember of a removed group of
 * this name, or else everything up to current_epoch counts as given away (design.md §4.1). */
static void add_votes(struct election *e, struct seat *s, const struct ballot *b,
                      struct election_update *up)
{
    uint64_t epoch = e->current_epoch;
    bool saved = b->u.terms.has_votes && adopt_saved(e, b->gid, b->epoch, up);
    if (saved)
        epoch = b->epoch;
    if (MUTANT(MUTANT_FORGET_ON_REMOVE) && !saved)
        epoch = s->voted_epoch; /* which REMOVE has forgotten */
    s->lease = false;
    s->suitor_at = 0;
    if (epoch > s->voted_epoch) {
        names_drop(&e->names, s->voted);
        names_drop(&e->names, s->durable);
        s->voted = s->durable = saved ? names_take(&e->names, &b->leader) : NOBODY;
        names_hold(&e->names, s->durable);
        s->voted_epoch = s->durable_epoch = epoch;
        s->unsure = false;
    } else if (s->unsure) { /* the vote of a removed group was not written again */
        gid_list_add(&e->unsure, b->gid);
    }
}

static void group_add(struct election *e, const struct ballot *b, struct election_update *up)
{
    struct seat *s = seat_make(e, b->gid);
    attempt_clear(e, b->gid);
    seat_clear_members(e, s);
    s->present = true;
    s->config_epoch = 0;
    if (adopt_saved(e, b->gid, b->u.terms.config_epoch, up))
        s->config_epoch = b->u.terms.config_epoch;
    set_terms(s, b);
    add_votes(e, s, b, up);
}

/* What was decided for a group in the batch that also removes it must not reach a group that takes
 * its name at once: that would take the answers for its own. */
static void drop_outcomes(struct election_update *up, uint32_t gid)
{
    size_t kept = 0;
    for (size_t i = 0; i < up->outcome_count; i++) {
        const struct outcome *o = &up->outcomes[i];
        if (o->gid != gid || o->kind == OUTCOME_NEW_EPOCH || o->kind == OUTCOME_VOTED)
            up->outcomes[kept++] = *o;
    }
    up->outcome_count = kept;
}

static void group_remove(struct election *e, uint32_t gid, struct election_update *up)
{
    struct seat *s = seat_find(e, gid);
    if (!s)
        return;
    drop_outcomes(up, gid);
    if (s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF)
        attempt_lose(e, gid, LOST_CANCELLED, up); /* whoever hears STARTED hears of its end */
    else
        attempt_clear(e, gid);
    seat_clear_members(e, s);
    s->present = s->lease = false;
    if (MUTANT(MUTANT_FORGET_ON_REMOVE)) {
        names_drop(&e->names, s->voted);
        names_drop(&e->names, s->durable);
        s->voted = s->durable = NOBODY;
        s->voted_epoch = s->durable_epoch = 0;
    }
}

/* --- members -------------------------------------------------------------------------------- */

static void member_ballot(struct election *e, const struct ballot *b, ms_t now)
{
    struct seat *s = seat_find(e, b->gid);
    if (!s)
        return;
    struct member *m = seat_member(s, names_find(&e->names, &b->runid));
    if (b->kind == BALLOT_MEMBER_ADD) {
        if (m)
            return;
        seat_member_add(e, s, &b->runid);
        /* The owner starts nothing soon after a sentinel was added; this holds back a wish that
         * was already on its way. */
        if (s->phase == PHASE_WAIT || s->phase == PHASE_READY)
            s->attempt->not_before = now + 2 * e->env->periods.publish;
    } else if (!m) {
        return;
    } else if (b->kind == BALLOT_MEMBER_DROP) {
        if (s->attempt && m->answer == ANSWER_GRANT)
            s->attempt->ghosts++;
        seat_member_drop(e, s, m);
    } else {
        m->down = b->kind == BALLOT_MEMBER_DOWN;
    }
    attempt_touch(e, b->gid, now);
}

/* --- wishes, ends, configurations ------------------------------------------------------------ */

static void group_cancel(struct election *e, uint32_t gid, struct election_update *up)
{
    const struct seat *s = seat_find(e, gid);
    if (!s)
        return;
    if (s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF)
        attempt_lose(e, gid, LOST_CANCELLED, up);
    else
        attempt_clear(e, gid);
}

static void group_end(struct election *e, uint32_t gid, ms_t now)
{
    struct seat *s = seat_find(e, gid);
    if (!s)
        return;
    s->lease = false;
    s->suitor_at = 0;
    if (s->phase == PHASE_LEADING)
        attempt_clear(e, gid);
    else
        attempt_touch(e, gid, now); /* an attempt that still runs is ended by CANCEL only */
}

static void group_config(struct election *e, const struct ballot *b, struct election_update *up)
{
    struct seat *s = seat_find(e, b->gid);
    if (!s || b->epoch < s->config_epoch)
        return; /* a newer one overtook it; config epochs never go back */
    if (!epoch_see(e, b->epoch))
        return;
    epoch_raise(e, b->gid, b->epoch, up);
    s->config_epoch = b->epoch;
    if ((s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF) && b->epoch >= s->attempt->epoch)
        attempt_lose(e, b->gid, LOST_CANCELLED, up); /* design.md §4.10 */
    update_record(up, RECORD_CONFIG, b->gid, b->epoch)->addr = b->u.addr;
    update_outcome(up, OUTCOME_CONFIG, b->gid, b->epoch)->addr = b->u.addr;
}

void election_ballot(struct election *e, const struct ballot *b, ms_t now,
                     struct election_update *up)
{
    election_advance(e, now);
    struct seat *s;
    switch (b->kind) {
    case BALLOT_ADD:
        group_add(e, b, up);
        break;
    case BALLOT_REMOVE:
        group_remove(e, b->gid, up);
        break;
    case BALLOT_SET:
        if ((s = seat_find(e, b->gid)) != NULL) {
            set_terms(s, b);
            attempt_touch(e, b->gid, now);
        }
        break;
    case BALLOT_MEMBER_ADD:
    case BALLOT_MEMBER_DROP:
    case BALLOT_MEMBER_DOWN:
    case BALLOT_MEMBER_UP:
        member_ballot(e, b, now);
        break;
    case BALLOT_WANT:
        attempt_want(e, b, now, up);
        break;
    case BALLOT_CANCEL:
        group_cancel(e, b->gid, up);
        break;
    case BALLOT_END:
        group_end(e, b->gid, now);
        break;
    case BALLOT_REQUEST:
        election_request(e, b, now, up);
        break;
    case BALLOT_ANSWER:
        attempt_answer(e, b, now, up);
        break;
    case BALLOT_EPOCH:
        if (epoch_see(e, b->epoch))
            epoch_raise(e, b->gid, b->epoch, up);
        break;
    case BALLOT_FRESH:
        if (seat_find(e, b->gid) && !e->refused)
            gid_list_add(&e->fresh, b->gid);
        break;
    case BALLOT_CONFIG:
        group_config(e, b, up);
        break;
    }
}

/* --- durability (design.md §4.13, §5) --------------------------------------------------------- */

static void votes_durable(struct election *e, const struct election_update *up)
{
    for (size_t i = 0; i < up->record_count; i++) {
        const struct record *r = &up->records[i];
        if (r->kind != RECORD_VOTE)
            continue;
        struct seat *s = &e->seats[r->gid];
        uint32_t name = names_take(&e->names, &r->runid);
        if (r->epoch >= s->durable_epoch) {
            names_hold(&e->names, name);
            names_drop(&e->names, s->durable);
            s->durable = name;
            s->durable_epoch = r->epoch;
        }
        names_drop(&e->names, name);
    }
}

/* What the batch held is still true here, and must be in a later one. */
static void votes_unsure(struct election *e, const struct election_update *up)
{
    for (size_t i = 0; i < up->record_count; i++) {
        const struct record *r = &up->records[i];
        struct seat *s = r->kind == RECORD_VOTE ? &e->seats[r->gid] : NULL;
        if (r->kind == RECORD_CURRENT_EPOCH)
            e->epoch_unsure = true;
        if (s && !s->unsure && !seat_vote_durable(s)) {
            s->unsure = true;
            gid_list_add(&e->unsure, r->gid);
        }
    }
}

/* True when the outcome may be released although the batch is not durable. */
static bool outcome_survives(struct election *e, struct outcome *o)
{
    struct seat *s = seat_find(e, o->gid);
    switch (o->kind) {
    case OUTCOME_LOST:
    case OUTCOME_CONFIG:
        return true;
    case OUTCOME_STARTED:
        if (!s || !s->attempt || s->attempt->epoch != o->epoch)
            return false; /* over already: a LOST follows, or the owner ended it */
        *o = (struct outcome){
            .kind = OUTCOME_LOST, .gid = o->gid, .epoch = o->epoch, .reason = LOST_JOURNAL};
        e->counters.lost++;
        attempt_clear(e, o->gid);
        return true;
    case OUTCOME_ELECTED: /* in an earlier round: what that round needed is durable */
        return s && s->phase == PHASE_LEADING && s->attempt->epoch == o->epoch;
    case OUTCOME_NEW_EPOCH:
    case OUTCOME_VOTED:
    case OUTCOME_FRESH:
        break;
    }
    return false;
}

void election_durable(struct election *e, bool ok, ms_t now, struct election_update *up)
{
    election_advance(e, now);
    e->refused = !ok;
    if (ok) {
        votes_durable(e, up);
        return;
    }
    votes_unsure(e, up);
    size_t kept = 0;
    for (size_t i = 0; i < up->outcome_count; i++) {
        if (outcome_survives(e, &up->outcomes[i]))
            up->outcomes[kept++] = up->outcomes[i];
    }
    up->outcome_count = kept;
    for (size_t i = 0; i < up->reply_count; i++) {
        struct vote_reply *r = &up->replies[i];
        if (!r->promise)
            continue;
        r->leader = r->earlier;
        r->epoch = r->earlier_epoch;
        r->promise = false;
    }
    up->promises = false;
}

/* --- views ---------------------------------------------------------------------------------- */

uint64_t election_current_epoch(const struct election *e)
{
    return e->current_epoch;
}

bool election_view(const struct election *e, uint32_t gid, struct election_view *view)
{
    *view = (struct election_view){0};
    const struct seat *s = seat_find(e, gid);
    if (!s)
        return false;
    view->voted_epoch = s->voted_epoch;
    view->voted = *names_id(&e->names, s->voted);
    view->config_epoch = s->config_epoch;
    view->leading = s->phase == PHASE_LEADING;
    view->attempt = view->leading || s->phase == PHASE_ROUND || s->phase == PHASE_BACKOFF;
    if (view->attempt) {
        view->attempt_epoch = s->attempt->epoch;
        view->round = s->attempt->round;
        attempt_tally(e, s, &view->votes, &view->needed);
    }
    return true;
}

void election_counters(const struct election *e, struct election_counters *out)
{
    *out = e->counters;
}
