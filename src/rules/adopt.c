/* Configurations: from "somebody says so" to "it is durable and shows" (design.md §4.10). */
#include "rules/group_inner.h"

#include <stdlib.h>

/* Without a sane view of its own a peer leaves it to the other to end a quarrel; this long, in
 * publish-periods: two views may both be of dead masters. */
#define QUARREL_INSANE 10
#define QUARREL_OTHER  3

/* --- proposing --------------------------------------------------------------------------- */

void adopt_propose(struct step *s, uint64_t epoch, const struct address *addr,
                   const struct instance *sentinel)
{
    struct group *g = s->g;
    assert(address_known(addr));
    assert(epoch > g->config_epoch || MUTANT(MUTANT_LEADER_GOES_ON));
    assert(!g->commit.pending || epoch > g->commit.epoch);
    g->commit = (struct group_commit){
        .pending = true, .own = sentinel == NULL, .epoch = epoch, .addr = *addr};
    if (sentinel != NULL) {
        g->commit.from = sentinel->runid;
        g->commit.from_addr = sentinel->addr;
        if (g->fo.wished) {
            /* Somebody else has done it. */
            g->fo.wished = g->fo.forced = false;
            group_ballot(s, BALLOT_CANCEL, 0, NULL);
        }
    }
    group_ballot(s, BALLOT_CONFIG, epoch, NULL);
    s->up->actions[s->up->count - 1].u.ballot.u.addr = *addr;
}

/* --- taking effect ----------------------------------------------------------------------- */

/* As new, but for its links, which may go on. */
static void renew(struct instance *inst, enum instance_kind kind, ms_t now)
{
    struct instance *blank = instance_new(kind, &inst->addr, now);
    if (blank == NULL)
        abort();
    blank->live.cmd_up = inst->live.cmd_up;
    blank->live.cmd_opening = inst->live.cmd_opening;
    blank->live.cmd_since = inst->live.cmd_since;
    blank->live.cmd_tried = inst->live.cmd_tried;
    blank->live.pubsub_up = inst->live.pubsub_up;
    blank->live.pubsub_opening = inst->live.pubsub_opening;
    blank->live.pubsub_since = inst->live.pubsub_since;
    blank->live.pubsub_tried = inst->live.pubsub_tried;
    blank->live.ping_sent = inst->live.ping_sent;
    blank->live.ping_pending = inst->live.cmd_up && inst->live.ping_pending != 0 ? now : 0;
    blank->next_ping = inst->next_ping;
    blank->next_hello = inst->next_hello;
    blank->server->failover_known = inst->server->failover_known;
    blank->host = inst->host;
    blank->owner = inst->owner;
    instance_become(inst, blank);
}

void adopt_switch(struct step *s, const struct address *addr)
{
    struct group *g = s->g;
    struct instance *old = g->master, *next = group_find_replica(g, addr);
    assert(!address_equal(&old->addr, addr));
    failover_clear(g, s->now);
    g->fo.started = g->fo.vote_since = g->fo.barren_since = 0; /* no history: it is new */
    g->fo.own = g->fo.deaf = false;
    g->outage_since = g->quarrel_since = 0;
    if (next != NULL) {
        if (addr->host != NULL)
            next->addr.host = addr->host; /* who told of it knows it by a name */
        group_take_replica(g, next);
        renew(next, INSTANCE_MASTER, s->now);
    } else {
        next = group_make_instance(g, INSTANCE_MASTER, addr, s->now);
    }
    g->master = next;
    for (uint32_t i = 0; i < g->replica_count; i++)
        renew(g->replicas[i], INSTANCE_REPLICA, s->now);
    renew(old, INSTANCE_REPLICA, s->now);
    if (!group_put_replica(g, old)) {
        g->dropped++;
        group_forget(s, old);
    }
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        g->sentinels[i]->flags &= ~(unsigned)FLAG_MASTER_DOWN; /* it was said of the old one */
        g->sentinels[i]->peer->down_reply_at = 0;
    }
    for (uint32_t i = 0; i < g->replica_count; i++)
        update_event_instance(s->up, EVENT_SLAVE, g, g->replicas[i], NULL);
    group_open_links(s, g->master);
    for (uint32_t i = 0; i < g->replica_count; i++)
        group_open_links(s, g->replicas[i]);
    group_send_all(s, SEND_INFO | SEND_HELLO);
}

void adopt_announce(struct step *s, const struct address *from, const struct address *to)
{
    const bool names = s->g->env->names;
    update_event(s->up, EVENT_SWITCH_MASTER, "%s %s %u %s %u", s->g->name,
                 address_host(from, names), from->port, address_host(to, names), to->port);
}

static void script(struct step *s, bool leader, const struct address *from,
                   const struct address *to)
{
    struct action *a = update_add(s->up, ACTION_SCRIPT);
    a->leader = leader;
    a->addr = *from;
    a->addr2 = *to;
}

static void take_own(struct step *s, const struct group_commit *c)
{
    struct group *g = s->g;
    assert(g->fo.state == FAILOVER_WAIT_PROMOTION && g->fo.promoted != NULL);
    assert(address_equal(&g->fo.promoted->addr, &c->addr));
    g->config_epoch = c->epoch;
    failover_promoted(s);
    script(s, true, &g->master->addr, &c->addr);
    group_send_all(s, SEND_HELLO);
}

static void take_other(struct step *s, const struct group_commit *c)
{
    struct group *g = s->g;
    const bool running = g->fo.state != FAILOVER_NONE;
    g->config_epoch = c->epoch;
    g->quarrel_since = 0;
    if (MUTANT(MUTANT_LEADER_GOES_ON) && running)
        return;
    if (address_equal(&c->addr, &g->master->addr)) {
        group_send_all(s, SEND_HELLO);
        if (running && c->epoch < g->fo.epoch)
            return; /* our attempt is for a later configuration and goes on, here and there */
        if (running) {
            update_log(s->up, EVENT_NOTICE,
                       "Failover of '%s' (epoch %llu) given up: %s keeps its master with "
                       "configuration epoch %llu",
                       g->name, (unsigned long long)g->fo.epoch, c->from.hex,
                       (unsigned long long)c->epoch);
            failover_abort(s);
        }
    } else {
        const struct address from = g->master->addr;
        if (runid_known(&c->from))
            update_event(s->up, EVENT_CONFIG_UPDATE_FROM, "sentinel %s %s %u @ %s %s %u",
                         c->from.hex, address_host(&c->from_addr, g->env->names), c->from_addr.port,
                         g->name, address_host(&from, g->env->names), from.port);
        adopt_announce(s, &from, &c->addr);
        failover_cancel(s);
        if (!runid_known(&c->from)) /* RESET came between: the journal has forgotten the old one */
            group_record(s, RECORD_REPLICA, g->master);
        adopt_switch(s, &c->addr);
        script(s, false, &from, &c->addr);
    }
    group_ballot(s, BALLOT_END, 0, NULL);
}

/* --- quarrels ---------------------------------------------------------------------------- */

/* Whether what we tell the others is true as far as we can see. */
static bool view_sane(const struct group *g)
{
    const struct instance *current = g->master;
    if (g->fo.promoted != NULL && g->fo.state >= FAILOVER_RECONF_SLAVES)
        current = g->fo.promoted;
    return current->server->role == ROLE_MASTER && !(current->flags & FLAG_S_DOWN) &&
           current->server->info_at != 0;
}

void adopt_quarrel(struct step *s, const struct instance *sentinel)
{
    struct group *g = s->g;
    if (MUTANT(MUTANT_QUARREL) || g->env->muted || g->commit.pending)
        return;
    /* At epoch 0 nothing was ever decided: one of the two files is wrong, and whoever imposed his
     * could drag replicas of one fleet to a master of another. The operator must look. */
    if (g->config_epoch == 0)
        return;
    /* A leader half-way has a greater epoch coming. */
    if (g->fo.state != FAILOVER_NONE && g->fo.state != FAILOVER_RECONF_SLAVES)
        return;
    if (g->quarrel_since == 0)
        g->quarrel_since = s->now;
    ms_t wait = 0;
    if (runid_compare(&g->env->myid, &sentinel->runid) > 0)
        wait += QUARREL_OTHER * g->env->periods.publish;
    /* Two names of one place, or a name that has just moved, look like two masters for a while. */
    if (!view_sane(g) || group_current(g)->host != NULL)
        wait += QUARREL_INSANE * g->env->periods.publish;
    if (s->now - g->quarrel_since < wait)
        return;
    if (g->fresh_asked != 0 && s->now - g->fresh_asked < g->env->periods.election_timeout)
        return;
    g->fresh_asked = s->now;
    group_ballot(s, BALLOT_FRESH, 0, NULL);
}

void adopt_fresh(struct step *s, const struct outcome *o)
{
    struct group *g = s->g;
    g->fresh_asked = 0;
    if (o->epoch <= g->config_epoch || g->commit.pending)
        return; /* the quarrel ends otherwise */
    if (g->fo.state != FAILOVER_NONE && g->fo.state != FAILOVER_RECONF_SLAVES)
        return; /* an attempt of ours ends it */
    const struct address current = *group_current(g);
    adopt_propose(s, o->epoch, &current, NULL);
    g->commit.own = false;
    g->commit.fresh = true;
}

static void take_fresh(struct step *s, const struct group_commit *c)
{
    struct group *g = s->g;
    g->config_epoch = c->epoch;
    g->quarrel_since = 0;
    update_log(s->up, EVENT_NOTICE,
               "Configuration of '%s' gets epoch %llu: another sentinel had the same epoch and "
               "another master",
               g->name, (unsigned long long)c->epoch);
    group_send_all(s, SEND_HELLO);
}

void adopt_config(struct step *s, const struct outcome *o)
{
    struct group *g = s->g;
    if (!g->commit.pending || o->epoch != g->commit.epoch)
        return; /* a greater one has taken its place */
    const struct group_commit c = g->commit;
    g->commit = (struct group_commit){0};
    if (c.epoch <= g->config_epoch && !MUTANT(MUTANT_LEADER_GOES_ON))
        return;
    if (c.own)
        take_own(s, &c);
    else if (c.fresh)
        take_fresh(s, &c);
    else
        take_other(s, &c);
}

/* --- RESET ------------------------------------------------------------------------------- */

void adopt_reset(struct step *s)
{
    struct group *g = s->g;
    if (g->fo.state >= FAILOVER_RECONF_SLAVES) {
        /* The promotion is durable and told to everybody: there is no way back behind it. */
        const struct address from = g->master->addr, to = g->fo.promoted->addr;
        adopt_announce(s, &from, &to);
        failover_cancel(s);
        adopt_switch(s, &to);
    } else {
        failover_cancel(s);
    }
    /* What is on its way to the disk takes effect when it is there, but the failover it came from
     * is over. */
    g->commit.own = false;
    group_record(s, RECORD_RESET, NULL);
    while (g->sentinel_count > 0) {
        struct instance *sentinel = g->sentinels[g->sentinel_count - 1];
        group_ballot(s, BALLOT_MEMBER_DROP, 0, &sentinel->runid);
        group_take_sentinel(g, sentinel);
        group_forget(s, sentinel);
    }
    while (g->replica_count > 0) {
        struct instance *replica = g->replicas[g->replica_count - 1];
        group_take_replica(g, replica);
        group_forget(s, replica);
    }
    group_close_links(s, g->master);
    renew(g->master, INSTANCE_MASTER, s->now);
    g->outage_since = g->quarrel_since = 0;
    g->member_added = s->now; /* those who are still there are heard again first */
    g->fo.started = g->fo.delay_logged = g->fo.vote_since = g->fo.want_at = 0;
    g->fo.barren_since = 0;
    g->fo.own = g->fo.deaf = false;
    update_event_instance(s->up, EVENT_RESET_MASTER, g, g->master, NULL);
    group_open_links(s, g->master);
}
