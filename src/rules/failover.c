/* Attempts and the failover's state machine (protocol.md §6, 7; design.md §4.3-4.10). Elections
 * themselves are the elector's: this side wishes, asks, and acts on outcomes. */
#include "rules/group_inner.h"
#include "rules/select.h"

#include <string.h>

void failover_enter(struct step *s, enum failover_state state)
{
    s->g->fo.state = state;
    s->g->fo.changed = s->now;
}

/* --- ends -------------------------------------------------------------------------------- */

void failover_clear(struct group *g, ms_t now)
{
    struct failover *fo = &g->fo;
    if (g->master != NULL)
        g->master->flags &= ~(unsigned)(FLAG_FAILOVER_IN_PROGRESS | FLAG_FORCE_FAILOVER |
                                        FLAG_COORDINATED_FAILOVER);
    for (uint32_t i = 0; i < g->replica_count; i++)
        g->replicas[i]->flags &=
            ~(unsigned)(FLAG_PROMOTED | FLAG_RECONF_SENT | FLAG_RECONF_INPROG | FLAG_RECONF_DONE);
    if (!fo->wished)
        fo->forced = fo->coordinated = false;
    fo->undoing = false;
    fo->state = FAILOVER_NONE;
    fo->changed = now;
    fo->epoch = 0;
    fo->elected = fo->paused = fo->exec_ok = fo->lost_exec = false;
    fo->promoted = NULL;
}

void failover_abort(struct step *s)
{
    assert(s->g->fo.state != FAILOVER_NONE);
    coordinated_undo(s);
    group_ballot(s, s->g->fo.elected ? BALLOT_END : BALLOT_CANCEL, 0, NULL);
    failover_clear(s->g, s->now);
}

void failover_cancel(struct step *s)
{
    struct group *g = s->g;
    coordinated_undo(s);
    if (g->fo.wished || g->fo.state != FAILOVER_NONE)
        group_ballot(s, BALLOT_CANCEL, 0, NULL);
    g->fo.wished = false;
    failover_clear(g, s->now);
}

/* --- beginnings -------------------------------------------------------------------------- */

/* Since when its replicas have no master: one that became a replica itself is s_down only much
 * later (protocol.md §3), and their broken links would look too old for ever. */
static ms_t gone_since(const struct instance *master)
{
    const bool demoted =
        master->server->role == ROLE_REPLICA && master->server->role_since < master->sdown_since;
    return demoted ? master->server->role_since : master->sdown_since;
}

struct instance *failover_select(const struct group *g, ms_t now, bool linked)
{
    const struct select_input in = {
        .replicas = g->replicas,
        .count = g->replica_count,
        .periods = &g->env->periods,
        .now = now,
        .master_sdown_since = gone_since(g->master),
        .down_after = g->set.down_after,
        /* A replica that turned master after a vote was promoted by a leader that did not come to
         * its end (design.md §4.8). */
        .outage_since = g->fo.vote_since,
        .linked = linked,
    };
    return select_replica(&in);
}

static void wish(struct step *s, bool forced, bool coordinated)
{
    struct failover *fo = &s->g->fo;
    group_ballot(s, BALLOT_WANT, 0, NULL);
    s->up->actions[s->up->count - 1].u.ballot.u.want.forced = forced;
    s->up->actions[s->up->count - 1].u.ballot.u.want.majority = coordinated;
    fo->wished = true;
    fo->forced = forced;
    fo->coordinated = coordinated;
}

void failover_command(struct step *s, bool coordinated)
{
    struct group *g = s->g;
    if (g->env->muted) {
        s->up->reply = GROUP_TWIN;
    } else if (coordinated && !g->master->server->failover_known) {
        s->up->reply = GROUP_NOGOODPRIMARY;
    } else if (g->fo.state != FAILOVER_NONE || (g->fo.wished && g->fo.forced) ||
               g->commit.pending) {
        s->up->reply = GROUP_INPROG;
    } else if (coordinated && !coordinated_possible(g)) {
        s->up->reply = GROUP_PRIMARY_DOWN;
    } else if (failover_select(g, s->now, coordinated) == NULL) {
        s->up->reply = GROUP_NOGOODSLAVE;
    } else {
        update_log(s->up, EVENT_NOTICE, "Executing user requested FAILOVER of '%s'", g->name);
        wish(s, true, coordinated);
    }
}

/* End of the delay that the last attempt imposes; 0: none. */
static ms_t delay_end(const struct group *g)
{
    return g->fo.started == 0 ? 0 : g->fo.started + 2 * g->set.failover_timeout;
}

/* When failover_want() may wish. */
static ms_t want_time(const struct group *g)
{
    ms_t at = g->fo.own ? delay_end(g) : 0;
    /* The majority must be counted with those who have just come (design.md §4.3). */
    const ms_t settled = g->member_added == 0 ? 0 : g->member_added + 2 * g->env->periods.publish;
    if (settled > at)
        at = settled;
    return g->fo.want_at > at ? g->fo.want_at : at;
}

/* We led, and there was no replica to promote. To vote for the next who will find none does not end
 * our delay, or the sentinels would lead in turns, an epoch every other second, for ever. A replica
 * that is fit ends it, but one that is so for a moment only shall not bring the turns back. */
static bool barren(const struct group *g, ms_t now)
{
    const ms_t since = g->fo.barren_since;
    if (since == 0 || now >= since + 2 * g->set.failover_timeout)
        return false;
    return now < since + g->env->periods.election_timeout || failover_select(g, now, false) == NULL;
}

static bool want_open(const struct group *g)
{
    return (g->master->flags & FLAG_O_DOWN) && !g->env->tilt && !g->env->muted &&
           g->fo.state == FAILOVER_NONE && !g->commit.pending;
}

void failover_want(struct step *s)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (!want_open(g))
        return;
    const ms_t end = delay_end(g);
    if (s->now < end && fo->delay_logged != fo->started) {
        fo->delay_logged = fo->started;
        update_log(s->up, EVENT_WARNING,
                   "Next failover delay: I will not start a failover before %%T%lld%%",
                   (long long)(end - s->now));
    }
    if (fo->wished || s->now < want_time(g))
        return;
    if (barren(g, s->now))
        return;
    wish(s, false, false);
}

void failover_sentinel_up(struct step *s)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (!(g->master->flags & FLAG_O_DOWN) || !fo->deaf || !fo->own || fo->state != FAILOVER_NONE)
        return;
    fo->started = 0;
    fo->own = fo->deaf = false;
}

/* --- outcomes ---------------------------------------------------------------------------- */

/* A vote was given, by us for whomever. */
static void note_vote(struct step *s, const struct runid *leader, uint64_t epoch)
{
    struct group *g = s->g;
    if (epoch >= g->leader_epoch) {
        g->leader = *leader;
        g->leader_epoch = epoch;
    }
    if (g->fo.vote_since == 0 || !(g->master->flags & FLAG_S_DOWN))
        g->fo.vote_since = s->now;
    update_event(s->up, EVENT_VOTE_FOR_LEADER, "%s %llu", leader->hex, (unsigned long long)epoch);
}

static void started(struct step *s, const struct outcome *o)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    const bool wanted = fo->wished || (g->master->flags & FLAG_O_DOWN);
    if (fo->state > FAILOVER_WAIT_START || fo->elected)
        return;
    if (fo->state == FAILOVER_NONE) {
        if (!wanted || g->commit.pending) {
            group_ballot(s, BALLOT_CANCEL, 0, NULL);
            fo->wished = fo->forced = false; /* wished again when it is time for it */
            return;
        }
        const bool forced = fo->wished && fo->forced;
        const bool coordinated = forced && fo->coordinated;
        fo->wished = false;
        failover_clear(g, s->now);
        failover_enter(s, FAILOVER_WAIT_START);
        fo->forced = forced;
        fo->coordinated = coordinated;
        fo->started = s->now;
        fo->deaf = false;
        g->master->flags |= FLAG_FAILOVER_IN_PROGRESS | (coordinated ? FLAG_COORDINATED_FAILOVER
                                                         : forced    ? FLAG_FORCE_FAILOVER
                                                                     : 0u);
        update_event_instance(s->up, EVENT_TRY_FAILOVER, g, g->master, NULL);
    }
    fo->epoch = o->epoch;
    fo->own = true; /* also after a vote between two rounds */
    fo->paused = false;
    note_vote(s, &g->env->myid, o->epoch);
    group_ask_all(s);
}

static void elected(struct step *s, const struct outcome *o)
{
    struct failover *fo = &s->g->fo;
    if (fo->state == FAILOVER_NONE) {
        group_ballot(s, BALLOT_END, 0, NULL); /* it was cancelled meanwhile */
        return;
    }
    if (fo->state != FAILOVER_WAIT_START || o->epoch < fo->epoch)
        return;
    fo->epoch = o->epoch;
    fo->paused = false;
    fo->elected = true; /* failover_run() goes on from here, in TILT not yet */
}

static void lost(struct step *s, const struct outcome *o)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (o->reason == LOST_JOURNAL)
        fo->want_at = s->now + g->env->periods.ask;
    if (fo->state == FAILOVER_NONE) {
        if (o->reason != LOST_CANCELLED && fo->wished) {
            fo->wished = fo->forced = false;
            fo->want_at = s->now + g->env->periods.ask;
        }
        return;
    }
    if (fo->state != FAILOVER_WAIT_START || fo->elected || o->epoch < fo->epoch)
        return;
    if (o->reason != LOST_CANCELLED)
        update_event_instance(s->up, EVENT_ABORT_NOT_ELECTED, g, g->master, NULL);
    const bool wanted = fo->coordinated; /* by an operator: it imposes no delay on what is needed */
    failover_clear(g, s->now);
    fo->deaf = o->unreachable;
    if (o->reason != LOST_TIMEOUT || wanted)
        fo->started = 0; /* it was not the others who refused: as soon as it can be */
}

static void voted(struct step *s, const struct outcome *o)
{
    struct failover *fo = &s->g->fo;
    note_vote(s, &o->leader, o->epoch);
    if (runid_equal(&o->leader, &s->g->env->myid))
        return;
    if (fo->state == FAILOVER_WAIT_START && !fo->elected) {
        fo->paused = true;
        fo->own = false; /* should the attempt end so, his lease is waited for, not our delay */
    }
    if (fo->state != FAILOVER_NONE)
        return;
    fo->started = s->now + (ms_t)prng_below(&s->g->prng, 1000);
    fo->own = fo->deaf = false;
}

void failover_outcome(struct step *s, const struct outcome *o)
{
    switch (o->kind) {
    case OUTCOME_NEW_EPOCH:
        update_event(s->up, EVENT_NEW_EPOCH, "%llu", (unsigned long long)o->epoch);
        return;
    case OUTCOME_STARTED:
        started(s, o);
        return;
    case OUTCOME_ELECTED:
        elected(s, o);
        return;
    case OUTCOME_LOST:
        lost(s, o);
        return;
    case OUTCOME_VOTED:
        voted(s, o);
        return;
    case OUTCOME_CONFIG:
    case OUTCOME_FRESH:
        break;
    }
    assert(false && "the others are adopt.c's");
}

/* --- the steps of a leader --------------------------------------------------------------- */

static void slaveof(struct step *s, struct instance *replica, const struct address *master)
{
    struct action *a = update_add(s->up, ACTION_SLAVEOF);
    a->inst = replica;
    if (master != NULL)
        a->addr = *master;
    a->failing = replica->server->failing_since != 0;
    replica->server->reconf_sent_at = s->now;
}

/* Distance of the next look at something that began then: close first. */
ms_t failover_poll_gap(ms_t since, ms_t now)
{
    const ms_t gap = (now - since) / 4;
    return gap < POLL_FIRST ? POLL_FIRST : gap > POLL_LAST ? POLL_LAST : gap;
}

bool failover_timed_out(const struct step *s)
{
    return s->now - s->g->fo.changed > s->g->set.failover_timeout;
}

void failover_give_up(struct step *s, enum event_type type)
{
    update_event_instance(s->up, type, s->g, s->g->master, NULL);
    failover_abort(s);
}

void failover_begin_select(struct step *s)
{
    struct group *g = s->g;
    failover_enter(s, FAILOVER_SELECT_SLAVE);
    update_event_instance(s->up, EVENT_STATE_SELECT_SLAVE, g, g->master, NULL);
    /* What they said up to a second ago may be old: how far they are decides. */
    g->fo.next_poll = s->now + REFRESH_WAIT;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        if (!(g->replicas[i]->flags & FLAG_S_DOWN))
            group_send(s, g->replicas[i], SEND_INFO);
    }
}

static void run_wait_start(struct step *s)
{
    struct group *g = s->g;
    if (!g->fo.elected)
        return;
    update_event_instance(s->up, EVENT_ELECTED_LEADER, g, g->master, NULL);
    update_add(s->up, ACTION_CRASH_POINT)->leader = true;
    failover_begin_select(s);
}

static bool refreshing(const struct group *g)
{
    for (uint32_t i = 0; i < g->replica_count; i++) {
        const struct instance *replica = g->replicas[i];
        if (replica->server->info_pending && replica->live.cmd_up &&
            !(replica->flags & FLAG_S_DOWN))
            return true;
    }
    return false;
}

static void run_select(struct step *s)
{
    struct group *g = s->g;
    if (s->now < g->fo.next_poll && refreshing(g))
        return;
    struct instance *replica = failover_select(g, s->now, coordinated_on(g));
    if (replica == NULL) {
        g->fo.barren_since = s->now;
        failover_give_up(s, EVENT_ABORT_NO_GOOD_SLAVE);
        return;
    }
    update_event_instance(s->up, EVENT_SELECTED_SLAVE, g, replica, NULL);
    replica->flags |= FLAG_PROMOTED;
    g->fo.promoted = replica;
    failover_enter(s, FAILOVER_SEND_SLAVEOF_NOONE);
    update_event_instance(s->up, EVENT_STATE_SEND_SLAVEOF_NOONE, g, replica, NULL);
}

static void run_send_noone(struct step *s)
{
    struct group *g = s->g;
    struct instance *promoted = g->fo.promoted;
    if (coordinated_send(s))
        return;
    if (!promoted->live.cmd_up) {
        if (failover_timed_out(s))
            failover_give_up(s, EVENT_ABORT_SLAVE_TIMEOUT);
        return;
    }
    slaveof(s, promoted, NULL);
    update_event_instance(s->up, EVENT_STATE_WAIT_PROMOTION, g, promoted, NULL);
    g->fo.exec_ok = g->fo.lost_exec = false;
    g->fo.next_poll = s->now + POLL_FIRST;
    failover_enter(s, FAILOVER_WAIT_PROMOTION);
}

/* Whether INFO of the promoted replica is asked for more often than periodically. */
static bool polls_promoted(const struct group *g)
{
    const struct failover *fo = &g->fo;
    return (fo->exec_ok || fo->lost_exec) && fo->promoted->live.cmd_up &&
           !fo->promoted->server->info_pending;
}

static void run_wait_promotion(struct step *s)
{
    struct failover *fo = &s->g->fo;
    if (fo->coordinated) {
        coordinated_wait(s);
        return;
    }
    if (failover_timed_out(s)) {
        failover_give_up(s, EVENT_ABORT_SLAVE_TIMEOUT);
        return;
    }
    if (polls_promoted(s->g) && s->now >= fo->next_poll) {
        fo->next_poll = s->now + failover_poll_gap(fo->changed, s->now);
        group_poll(s, fo->promoted);
    }
}

void failover_promoted(struct step *s)
{
    struct group *g = s->g;
    update_event_instance(s->up, EVENT_PROMOTED_SLAVE, g, g->fo.promoted, NULL);
    update_add(s->up, ACTION_CRASH_POINT)->leader = false;
    if (g->fo.coordinated)
        coordinated_settle(s);
    failover_enter(s, FAILOVER_RECONF_SLAVES);
    update_event_instance(s->up, EVENT_STATE_RECONF_SLAVES, g, g->master, NULL);
}

/* --- reconfiguring the others ------------------------------------------------------------ */

static bool reconf_running(const struct instance *replica)
{
    return (replica->flags & (FLAG_RECONF_SENT | FLAG_RECONF_INPROG)) &&
           !(replica->flags & FLAG_S_DOWN);
}

static void reconf_timeouts(struct step *s)
{
    struct group *g = s->g;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        struct instance *replica = g->replicas[i];
        if (!(replica->flags & FLAG_RECONF_SENT) ||
            s->now - replica->server->reconf_sent_at <= g->env->periods.replica_reconf_timeout)
            continue;
        update_event_instance(s->up, EVENT_SLAVE_RECONF_SENT_TIMEOUT, g, replica, NULL);
        replica->flags &= ~(unsigned)FLAG_RECONF_SENT;
        replica->flags |= FLAG_RECONF_DONE;
        if (!replica->live.cmd_up)
            continue;
        slaveof(s, replica, &g->fo.promoted->addr);
        update_event_instance(s->up, EVENT_SLAVE_RECONF_SENT, g, replica, NULL);
    }
}

static void reconf_send(struct step *s)
{
    struct group *g = s->g;
    const unsigned touched =
        FLAG_PROMOTED | FLAG_RECONF_SENT | FLAG_RECONF_INPROG | FLAG_RECONF_DONE;
    uint32_t running = 0;
    for (uint32_t i = 0; i < g->replica_count; i++)
        running += reconf_running(g->replicas[i]) ? 1 : 0;
    for (uint32_t i = 0; i < g->replica_count && running < g->set.parallel_syncs; i++) {
        struct instance *replica = g->replicas[i];
        if ((replica->flags & touched) || !replica->live.cmd_up)
            continue;
        slaveof(s, replica, &g->fo.promoted->addr);
        replica->flags |= FLAG_RECONF_SENT;
        update_event_instance(s->up, EVENT_SLAVE_RECONF_SENT, g, replica, NULL);
        g->fo.next_poll = s->now + POLL_FIRST;
        running++;
    }
}

static bool polls_replica(const struct instance *replica)
{
    return reconf_running(replica) && replica->live.cmd_up && !replica->server->info_pending;
}

static void reconf_poll(struct step *s)
{
    struct group *g = s->g;
    if (s->now < g->fo.next_poll)
        return;
    ms_t gap = POLL_LAST;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        struct instance *replica = g->replicas[i];
        if (!polls_replica(replica))
            continue;
        group_poll(s, replica);
        const ms_t own = failover_poll_gap(replica->server->reconf_sent_at, s->now);
        gap = own < gap ? own : gap;
    }
    g->fo.next_poll = s->now + gap;
}

/* The time is over: those not reached yet are told without waiting for them. */
static void reconf_best_effort(struct step *s)
{
    struct group *g = s->g;
    const unsigned told = FLAG_PROMOTED | FLAG_RECONF_SENT | FLAG_RECONF_INPROG | FLAG_RECONF_DONE;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        struct instance *replica = g->replicas[i];
        if ((replica->flags & told) || !replica->live.cmd_up)
            continue;
        slaveof(s, replica, &g->fo.promoted->addr);
        replica->flags |= FLAG_RECONF_SENT;
        update_event_instance(s->up, EVENT_SLAVE_RECONF_SENT_BE, g, replica, NULL);
    }
}

/* A leader we followed closely took our new master for one of his replicas before he heard of us
 * (among stock voters, who know no lease). Our configuration is the newer one. */
static void reconf_keep(struct step *s)
{
    struct group *g = s->g;
    struct instance *promoted = g->fo.promoted;
    if (promoted->server->role != ROLE_REPLICA ||
        promoted->server->info_at <= promoted->server->reconf_sent_at ||
        s->now - promoted->server->reconf_sent_at < g->env->periods.ask || !promoted->live.cmd_up)
        return;
    update_log(s->up, EVENT_NOTICE,
               "The new master of '%s' was made a replica: it is promoted once more", g->name);
    slaveof(s, promoted, NULL);
}

static void run_reconf(struct step *s)
{
    struct group *g = s->g;
    reconf_keep(s);
    reconf_timeouts(s);
    reconf_send(s);
    reconf_poll(s);
    if (g->fo.promoted->flags & FLAG_S_DOWN)
        return; /* nothing ends while the new master is down (protocol.md §7) */
    bool left = false;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        if (!(g->replicas[i]->flags & (FLAG_PROMOTED | FLAG_RECONF_DONE | FLAG_S_DOWN)))
            left = true;
    }
    const bool timeout = failover_timed_out(s);
    if (left && !timeout)
        return;
    if (timeout)
        update_event_instance(s->up, EVENT_FAILOVER_END_FOR_TIMEOUT, g, g->master, NULL);
    update_event_instance(s->up, EVENT_FAILOVER_END, g, g->master, NULL);
    if (timeout)
        reconf_best_effort(s);
    failover_enter(s, FAILOVER_UPDATE_CONFIG);
}

static void run_update_config(struct step *s)
{
    struct group *g = s->g;
    const struct address from = g->master->addr, to = g->fo.promoted->addr;
    adopt_announce(s, &from, &to);
    adopt_switch(s, &to);
    group_ballot(s, BALLOT_END, 0, NULL);
}

/* --- running ----------------------------------------------------------------------------- */

/* A leader whom a newer configuration has overtaken stops, wherever it is (design.md §4.10). After
 * its promotion took effect adopt.c sees to that. */
static bool overtaken(const struct group *g)
{
    return g->fo.state <= FAILOVER_WAIT_PROMOTION && g->config_epoch >= g->fo.epoch &&
           !MUTANT(MUTANT_LEADER_GOES_ON);
}

static void run_once(struct step *s)
{
    switch (s->g->fo.state) {
    case FAILOVER_NONE:
        return;
    case FAILOVER_WAIT_START:
        run_wait_start(s);
        return;
    case FAILOVER_SELECT_SLAVE:
        run_select(s);
        return;
    case FAILOVER_SEND_SLAVEOF_NOONE:
        run_send_noone(s);
        return;
    case FAILOVER_WAIT_PROMOTION:
        run_wait_promotion(s);
        return;
    case FAILOVER_RECONF_SLAVES:
        run_reconf(s);
        return;
    case FAILOVER_UPDATE_CONFIG:
        run_update_config(s);
        return;
    }
    assert(false && "a failover is in one of seven states");
}

void failover_run(struct step *s)
{
    struct group *g = s->g;
    if (g->env->tilt || g->commit.pending || g->fo.state == FAILOVER_NONE)
        return;
    if (overtaken(g)) {
        update_log(s->up, EVENT_NOTICE,
                   "Failover of '%s' (epoch %llu) given up: configuration epoch %llu is newer",
                   g->name, (unsigned long long)g->fo.epoch, (unsigned long long)g->config_epoch);
        failover_abort(s);
        return;
    }
    enum failover_state before;
    do {
        before = g->fo.state;
        run_once(s);
    } while (g->fo.state != before && g->fo.state != FAILOVER_NONE);
}

/* --- what comes in between --------------------------------------------------------------- */

void failover_exec(struct step *s, struct instance *inst, bool ok)
{
    struct failover *fo = &s->g->fo;
    inst->live.link_activity = s->now;
    if (inst == fo->promoted && fo->state == FAILOVER_WAIT_PROMOTION && !fo->coordinated) {
        fo->exec_ok = fo->exec_ok || ok;
        fo->lost_exec = !fo->exec_ok;
        fo->next_poll = s->now + POLL_FIRST;
    }
    if (ok)
        group_send(s, inst, SEND_INFO);
}

void failover_link_cut(struct step *s, const struct instance *inst)
{
    struct failover *fo = &s->g->fo;
    if (fo->state != FAILOVER_WAIT_PROMOTION)
        return;
    if (fo->coordinated)
        coordinated_link_cut(s, inst);
    else if (inst == fo->promoted && !fo->exec_ok)
        fo->lost_exec = true;
}

static void promotion_info(struct step *s, struct instance *promoted)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (promoted->server->role == ROLE_MASTER) {
        if (g->config_epoch < fo->epoch || MUTANT(MUTANT_LEADER_GOES_ON))
            adopt_propose(s, fo->epoch, &promoted->addr, NULL);
        return;
    }
    if (!fo->coordinated && fo->lost_exec && promoted->live.cmd_up &&
        s->now - promoted->server->reconf_sent_at >= POLL_LAST) {
        fo->lost_exec = false;
        slaveof(s, promoted, NULL);
    }
}

void failover_info(struct step *s, struct instance *replica)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (g->env->tilt || fo->promoted == NULL)
        return;
    if (replica == fo->promoted) {
        if (fo->state == FAILOVER_WAIT_PROMOTION && !g->commit.pending)
            promotion_info(s, replica);
        return;
    }
    if ((replica->flags & FLAG_RECONF_SENT) && replica->server->role == ROLE_REPLICA &&
        address_equal(&replica->server->master, &fo->promoted->addr)) {
        replica->flags &= ~(unsigned)FLAG_RECONF_SENT;
        replica->flags |= FLAG_RECONF_INPROG;
        update_event_instance(s->up, EVENT_SLAVE_RECONF_INPROG, g, replica, NULL);
    }
    if ((replica->flags & FLAG_RECONF_INPROG) && replica->server->role == ROLE_REPLICA &&
        replica->server->master_link_up) {
        replica->flags &= ~(unsigned)FLAG_RECONF_INPROG;
        replica->flags |= FLAG_RECONF_DONE;
        update_event_instance(s->up, EVENT_SLAVE_RECONF_DONE, g, replica, NULL);
    }
}

/* --- deadline ---------------------------------------------------------------------------- */

static ms_t reconf_deadline(const struct group *g)
{
    ms_t at = MS_NEVER;
    for (uint32_t i = 0; i < g->replica_count; i++) {
        const struct instance *replica = g->replicas[i];
        if (replica->flags & FLAG_RECONF_SENT) {
            const ms_t end =
                replica->server->reconf_sent_at + g->env->periods.replica_reconf_timeout + 1;
            at = end < at ? end : at;
        }
        if (polls_replica(replica) && g->fo.next_poll < at)
            at = g->fo.next_poll;
    }
    return at;
}

/* When barren() is to be looked at again, if nothing comes. */
static ms_t barren_end(const struct group *g, ms_t now)
{
    if (g->fo.barren_since == 0)
        return 0;
    const ms_t soon = g->fo.barren_since + g->env->periods.election_timeout;
    return now < soon ? soon : g->fo.barren_since + 2 * g->set.failover_timeout;
}

ms_t failover_deadline(const struct group *g, ms_t now)
{
    const struct failover *fo = &g->fo;
    const ms_t timeout = fo->changed + g->set.failover_timeout + 1;
    if (g->env->tilt || g->commit.pending)
        return MS_NEVER;
    ms_t at = MS_NEVER;
    switch (fo->state) {
    case FAILOVER_NONE:
        if (want_open(g) && !fo->wished)
            at = want_time(g) > barren_end(g, now) ? want_time(g) : barren_end(g, now);
        return at > now ? at : now + 1;
    case FAILOVER_WAIT_START:
    case FAILOVER_UPDATE_CONFIG:
        return MS_NEVER;
    case FAILOVER_SELECT_SLAVE:
        return fo->next_poll;
    case FAILOVER_SEND_SLAVEOF_NOONE:
        return fo->coordinated ? coordinated_deadline(g) : timeout;
    case FAILOVER_WAIT_PROMOTION:
        if (fo->coordinated)
            return coordinated_deadline(g);
        return polls_promoted(g) && fo->next_poll < timeout ? fo->next_poll : timeout;
    case FAILOVER_RECONF_SLAVES:
        at = reconf_deadline(g);
        if (!(fo->promoted->flags & FLAG_S_DOWN) && timeout < at)
            at = timeout;
        return at;
    }
    assert(false && "a failover is in one of seven states");
    return MS_NEVER;
}
