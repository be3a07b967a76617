/* SENTINEL FAILOVER … COORDINATED: the master itself hands over to the selected replica, with
 * FAILOVER TO, so that no write it has acknowledged is lost. Valkey 9 has it; every server since
 * Redis 6.2 knows FAILOVER.
 *
 * It is an attempt like any other up to the selection and from the promotion on; this is what lies
 * between. The master stops writes, waits until the replica has everything, becomes its replica and
 * tells it to be master; INFO of both tells how far they are. Whatever goes wrong before the
 * replica is a master leaves everything as it was, but for one thing: when the master is o_down the
 * attempt, which has its majority, goes on as an ordinary failover. */
#include "rules/group_inner.h"

/* The writes of a master must not stand still so long that another sentinel, whose PUBLISH stands
 * still with them, takes it for dead: half of down-after, in these bounds. */
#define HANDOVER_LEAST 500
/* The master ends it by itself after the time it was given; this much later we do. */
#define HANDOVER_SLACK 300

static ms_t handover_time(const struct group *g)
{
    ms_t time = g->set.down_after / 2;
    if (time < HANDOVER_LEAST)
        time = HANDOVER_LEAST;
    return time < g->set.failover_timeout ? time : g->set.failover_timeout;
}

bool coordinated_possible(const struct group *g)
{
    return !(g->master->flags & (FLAG_S_DOWN | FLAG_O_DOWN)) && g->master->live.cmd_up &&
           g->master->server->role == ROLE_MASTER && g->master->server->failing_since == 0;
}

bool coordinated_on(const struct group *g)
{
    return g->fo.coordinated && !(g->master->flags & FLAG_O_DOWN);
}

/* The master has been asked, and its answer is not known to be the end of it. */
static bool handing_over(const struct group *g)
{
    return g->fo.coordinated && g->fo.state == FAILOVER_WAIT_PROMOTION;
}

bool coordinated_pauses(const struct group *g, const struct instance *inst)
{
    return handing_over(g) && inst == g->master;
}

void coordinated_undo(struct step *s)
{
    struct group *g = s->g;
    if (!handing_over(g) || !g->master->live.cmd_up)
        return;
    update_add(s->up, ACTION_HANDOVER_ABORT)->inst = g->master;
}

/* An operator wished for it: should the master die now, no delay must stand in the way of what is
 * needed then. */
static void give_up(struct step *s, enum event_type type)
{
    failover_give_up(s, type);
    s->g->fo.started = 0;
    s->g->fo.own = false;
}

/* --- asking ------------------------------------------------------------------------------ */

/* The master is o_down: what it was asked for, others must do, and perhaps with another replica. */
static void go_on_without(struct step *s)
{
    struct group *g = s->g;
    update_log(s->up, EVENT_WARNING,
               "The master of '%s' is down and cannot hand over: the failover goes on without it",
               g->name);
    g->fo.coordinated = false;
    g->master->flags &= ~(unsigned)FLAG_COORDINATED_FAILOVER;
    g->fo.promoted->flags &= ~(unsigned)FLAG_PROMOTED;
    g->fo.promoted = NULL;
    failover_begin_select(s);
}

bool coordinated_send(struct step *s)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (!fo->coordinated)
        return false;
    if (!coordinated_on(g)) {
        go_on_without(s);
        return true; /* select_slave is next */
    }
    if (!g->master->live.cmd_up) {
        if (s->now - fo->changed > handover_time(g))
            give_up(s, EVENT_ABORT_MASTER_TIMEOUT);
        return true;
    }
    struct action *a = update_add(s->up, ACTION_HANDOVER);
    a->inst = g->master;
    a->addr = fo->promoted->addr;
    /* The master looks for it among its replicas, by what it calls them. */
    if (!fo->promoted->server->listed_by_name && a->addr.ip[0] != '\0')
        a->addr.host = NULL;
    a->timeout = handover_time(g);
    update_event_instance(s->up, EVENT_STATE_WAIT_PROMOTION, g, fo->promoted, NULL);
    fo->exec_ok = fo->lost_exec = fo->undoing = false;
    fo->handover_end = s->now + a->timeout + HANDOVER_SLACK;
    fo->next_poll = s->now + POLL_FIRST;
    failover_enter(s, FAILOVER_WAIT_PROMOTION);
    return true;
}

void coordinated_answer(struct step *s, struct instance *inst, bool ok)
{
    struct group *g = s->g;
    inst->live.link_activity = s->now;
    if (!coordinated_pauses(g, inst))
        return;
    if (!ok && g->commit.pending)
        return; /* another has made the replica a master, and that is on its way to the journal */
    if (!ok) {
        g->fo.coordinated = false; /* it has begun nothing that must be taken back */
        give_up(s, EVENT_ABORT_MASTER_TIMEOUT);
        return;
    }
    g->fo.exec_ok = true;
    group_send(s, g->fo.promoted, SEND_INFO); /* one with nothing to catch up is promoted at once */
    g->fo.next_poll = s->now + POLL_FIRST;
}

void coordinated_link_cut(struct step *s, const struct instance *inst)
{
    struct failover *fo = &s->g->fo;
    if (inst != s->g->master)
        return;
    fo->lost_exec = !fo->exec_ok;
    fo->undoing = false; /* it may not have arrived */
}

/* --- waiting ----------------------------------------------------------------------------- */

/* The state of the hand-over shows in INFO, once the request is behind us. */
static bool asked(const struct failover *fo)
{
    return fo->exec_ok || fo->lost_exec || fo->undoing;
}

static bool polls(const struct group *g, const struct instance *inst)
{
    return asked(&g->fo) && inst->live.cmd_up && !inst->server->info_pending;
}

void coordinated_info(struct step *s)
{
    struct group *g = s->g;
    const struct failover *fo = &g->fo;
    if (!handing_over(g) || !asked(fo) || g->env->tilt || g->commit.pending)
        return;
    if (g->master->server->role != ROLE_MASTER || g->master->server->failing_since != 0)
        return;
    /* It is a master and hands over no more, so the replica has not become one. */
    give_up(s, fo->exec_ok ? EVENT_ABORT_SLAVE_TIMEOUT : EVENT_ABORT_MASTER_TIMEOUT);
}

static void take_back(struct step *s)
{
    struct group *g = s->g;
    update_log(s->up, EVENT_WARNING,
               "The master of '%s' does not come to an end of handing over: it is told to stay",
               g->name);
    g->fo.undoing = true;
    coordinated_undo(s);
    group_send(s, g->master, SEND_INFO);
}

void coordinated_wait(struct step *s)
{
    struct group *g = s->g;
    struct failover *fo = &g->fo;
    if (!coordinated_on(g)) {
        go_on_without(s);
        return;
    }
    if (failover_timed_out(s)) {
        give_up(s, EVENT_ABORT_SLAVE_TIMEOUT);
        return;
    }
    if (s->now >= fo->handover_end && !fo->undoing && g->master->live.cmd_up)
        take_back(s);
    if (s->now < fo->next_poll)
        return;
    fo->next_poll = s->now + failover_poll_gap(fo->changed, s->now);
    if (polls(g, fo->promoted))
        group_poll(s, fo->promoted);
    if (polls(g, g->master))
        group_poll(s, g->master);
}

/* --- done -------------------------------------------------------------------------------- */

void coordinated_settle(struct step *s)
{
    struct instance *const both[] = {s->g->master, s->g->fo.promoted};
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        if (both[i]->live.cmd_up)
            update_add(s->up, ACTION_SETTLE)->inst = both[i];
    }
}

ms_t coordinated_deadline(const struct group *g)
{
    const struct failover *fo = &g->fo;
    if (fo->state == FAILOVER_SEND_SLAVEOF_NOONE)
        return fo->changed + handover_time(g) + 1;
    ms_t at = fo->changed + g->set.failover_timeout + 1;
    if (!fo->undoing && g->master->live.cmd_up && fo->handover_end < at)
        at = fo->handover_end;
    if ((polls(g, fo->promoted) || polls(g, g->master)) && fo->next_poll < at)
        at = fo->next_poll;
    return at;
}
