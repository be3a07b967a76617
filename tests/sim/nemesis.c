/* Faults and operators: random ones, ones aimed at the moment after a vote or an election, and the
 * healing of all. */
#include "sim.h"

#include <assert.h>
#include <string.h>

#define REBORN_MAX 3 /* of a run */

static struct sentinel *random_sentinel(struct world *w)
{
    return &w->sentinels[draw(w, w->p.sentinels)];
}

static uint32_t random_group(struct world *w)
{
    return (uint32_t)draw(w, w->p.groups);
}

static struct server *random_server(struct world *w, uint32_t gid)
{
    return &w->servers[gid * SIM_SERVERS_A_GROUP + draw(w, w->servers_of[gid])];
}

/* The server most sentinels' views call master; any, where they differ. */
static struct server *present_master(struct world *w, uint32_t gid)
{
    const uint32_t from = (uint32_t)draw(w, w->p.sentinels);
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *s = &w->sentinels[(from + i) % w->p.sentinels];
        if (s->alive && s->groups[gid] != NULL)
            return server_at(w, &s->views[gid].current);
    }
    return NULL;
}

static void plan(struct world *w, ms_t in, enum plan_kind kind, uint32_t a, uint32_t b)
{
    event_push(w, w->now + in, EV_PLAN, a, b, kind, NULL);
}

/* --- the acts ------------------------------------------------------------------------------------
 */
static void cut_network(struct world *w, bool one_way, int lonely)
{
    for (uint32_t i = 0; i < SIM_PARTITIONS; i++) {
        struct partition *p = &w->partitions[i];
        if (p->on)
            continue;
        memset(p, 0, sizeof(*p));
        p->on = true;
        p->one_way = one_way;
        const uint64_t shape = draw(w, 3); /* sentinels only, all nodes, one node alone */
        const bool turned = draw(w, 2) == 0;
        for (uint32_t n = 0; n < SIM_SENTINELS + w->server_count; n++) {
            if (lonely >= 0 || shape == 2)
                p->side[n] = false;
            else
                p->side[n] = (n < SIM_SENTINELS || shape == 1) && draw(w, 2) == 0;
        }
        if (lonely >= 0)
            p->side[lonely] = true;
        else if (shape == 2)
            p->side[draw(w, w->p.sentinels)] = true;
        for (uint32_t n = 0; turned && n < SIM_NODES; n++)
            p->side[n] = !p->side[n];
        trace(w, -1, "partition %u%s begins", i, one_way ? ", one way," : "");
        plan(w, draw_between(w, 500, 15000), PLAN_PARTITION_END, i, 0);
        return;
    }
}

static void crash(struct world *w, struct sentinel *s, ms_t in)
{
    if (!s->alive)
        return;
    plan(w, in, PLAN_SENTINEL_CRASH, s->index, draw(w, 3) != 0);
    plan(w, in + draw_between(w, 20, chance(w, 300) ? 20000 : 4000), PLAN_SENTINEL_START, s->index,
         0);
}

static void freeze(struct world *w, bool whole)
{
    struct sentinel *s = random_sentinel(w);
    const ms_t until = w->now + draw_between(w, 200, 5000);
    const uint32_t one = (uint32_t)draw(w, s->shard_count);
    trace(w, (int)s->index, "%s frozen for %lld ms", whole ? "all" : "a shard",
          (long long)(until - w->now));
    for (uint32_t i = 0; i < s->shard_count; i++)
        if (whole || i == one)
            s->shards[i].frozen_until = until;
    if (whole)
        s->elector.frozen_until = until;
}

static void kill_server(struct world *w, uint32_t gid, bool master)
{
    struct server *v = master ? present_master(w, gid) : random_server(w, gid);
    if (v == NULL || !v->alive)
        return;
    server_kill(w, v, draw(w, 3) != 0);
    if (draw(w, 4) != 0)
        plan(w, draw_between(w, 500, 30000), PLAN_SERVER_START, v->index, 0);
}

static void hang_server(struct world *w, uint32_t gid)
{
    struct server *v = draw(w, 2) == 0 ? present_master(w, gid) : random_server(w, gid);
    if (v == NULL || !v->alive || v->hung)
        return;
    trace(w, -1, "server %u (m%u) hangs", v->index, gid);
    v->hung = true;
    plan(w, draw_between(w, 500, 15000), PLAN_SERVER_RESUME, v->index, 0);
}

/* Two at the same moment make equal config epochs: both go on without a majority. */
static void operator_failover(struct world *w)
{
    const uint32_t gid = random_group(w);
    const uint32_t first = (uint32_t)draw(w, w->p.sentinels);
    plan(w, 0, PLAN_FAILOVER, first, gid);
    if (draw(w, 2) == 0)
        plan(w, draw_between(w, 0, 30), PLAN_FAILOVER,
             (first + 1 + (uint32_t)draw(w, w->p.sentinels - 1)) % w->p.sentinels, gid);
}

static void operator_coordinated(struct world *w)
{
    const uint32_t gid = random_group(w);
    plan(w, 0, PLAN_COORDINATED, (uint32_t)draw(w, w->p.sentinels), gid);
    /* What may happen meanwhile to those who take part in it. */
    struct server *v = draw(w, 2) == 0 ? present_master(w, gid) : random_server(w, gid);
    const ms_t in = draw_between(w, 0, chance(w, 500) ? 300 : 1500);
    const uint64_t fate = draw(w, 4);
    if (v == NULL || fate > 1)
        return;
    if (fate == 0)
        plan(w, in, PLAN_SERVER_KILL, v->index, 0);
    else
        plan(w, in, PLAN_SERVER_HANG, v->index, 0);
    plan(w, in + draw_between(w, 500, 15000), fate == 0 ? PLAN_SERVER_START : PLAN_SERVER_RESUME,
         v->index, 0);
}

static void operator_remove(struct world *w, struct sentinel *s, uint32_t gid, ms_t in)
{
    if (s->stock) /* its votes after REMOVE are not ours to judge */
        return;
    plan(w, in, PLAN_REMOVE, s->index, gid);
    plan(w, in + draw_between(w, 0, chance(w, 300) ? 3000 : 20), PLAN_MONITOR, s->index, gid);
}

static void operator_set(struct world *w)
{
    struct sentinel *s = random_sentinel(w);
    const uint32_t gid = random_group(w);
    if (draw(w, 2) == 0)
        sentinel_command(w, s, gid, COMMAND_QUORUM, 1 + (ms_t)draw(w, w->p.sentinels));
    else
        sentinel_command(w, s, gid, COMMAND_DOWN_AFTER,
                         w->p.down_after + (ms_t)draw(w, (uint64_t)w->p.down_after));
}

/* A disk is lost while the network is whole: the new process must be able to hear how far the
 * epochs are (design.md §4.1), or nobody could keep one vote per epoch. */
static bool network_whole(const struct world *w)
{
    for (unsigned i = 0; i < SIM_PARTITIONS; i++)
        if (w->partitions[i].on)
            return false;
    return true;
}

/* All the others live, and remember: what everybody forgot, nobody can hear. */
static bool others_remember(const struct world *w, const struct sentinel *s)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *o = &w->sentinels[i];
        if (o == s)
            continue;
        if (!o->alive ||
            (w->now - o->booted < 2 * w->p.periods.election_timeout && o->incarnation > i + 1))
            return false;
    }
    return true;
}

static void reborn(struct world *w, struct sentinel *s, ms_t in)
{
    if (w->identity_count - w->p.sentinels >= REBORN_MAX || !network_whole(w) || s->stock)
        return;
    plan(w, in, PLAN_SENTINEL_REBORN, s->index, 0);
}

/* Two processes change places: addresses are given out anew, as container networks do. */
static void move(struct world *w)
{
    const uint32_t a = (uint32_t)draw(w, w->p.sentinels);
    const uint32_t b = (a + 1 + (uint32_t)draw(w, w->p.sentinels - 1)) % w->p.sentinels;
    plan(w, 0, PLAN_SENTINEL_SWAP, a, b);
    plan(w, draw_between(w, 20, 3000), PLAN_SENTINEL_START, a, 0);
    plan(w, draw_between(w, 20, 3000), PLAN_SENTINEL_START, b, 0);
}

static void drill_begin(struct world *w)
{
    const uint32_t n = w->p.sentinels;
    struct drill *d = &w->drill;
    if (n < 4 || w->drill.on || !network_whole(w)) {
        move(w);
        return;
    }
    const uint32_t from = (uint32_t)draw(w, n);
    *d = (struct drill){
        .gid = random_group(w), .candidate = from, .voter = (from + 1) % n, .heir = (from + 2) % n};
    for (uint32_t i = 0; i < 3; i++)
        if (w->sentinels[(from + i) % n].stock || !w->sentinels[(from + i) % n].alive)
            return;
    d->on = true;
    for (uint32_t i = 0; i < n; i++) {
        if (i == d->candidate || i == d->voter) {
            sentinel_command(w, &w->sentinels[i], d->gid, COMMAND_QUORUM, 2);
        } else if (w->sentinels[i].alive) {
            plan(w, 0, PLAN_SENTINEL_CRASH, i, 1);
            plan(w, draw_between(w, 15000, 25000), PLAN_SENTINEL_START, i, 0);
        }
    }
    kill_server(w, d->gid, true);
}

static void drill_voted(struct world *w, const struct sentinel *s, uint32_t gid)
{
    struct drill *d = &w->drill;
    if (!d->on || gid != d->gid || (s->index != d->voter && s->index != d->candidate))
        return;
    d->on = false;
    plan(w, draw_between(w, 5, 40), PLAN_SENTINEL_SWAP, s->index, d->heir);
    plan(w, draw_between(w, 50, 300), PLAN_SENTINEL_START, d->heir, 0);
    plan(w, draw_between(w, 8000, 12000), PLAN_SENTINEL_START, s->index, 0);
}

/* An operator on each side of a partition orders a failover: each side makes its own master in the
 * same epoch. */
static void split(struct world *w)
{
    const uint32_t gid = random_group(w), n = w->p.sentinels;
    struct partition *p = &w->partitions[0];
    if (p->on || !network_whole(w) || w->servers_of[gid] < 3)
        return;
    memset(p, 0, sizeof(*p));
    p->on = true;
    const uint32_t left = (uint32_t)draw(w, n), right = (left + 1) % n;
    for (uint32_t i = 0; i < SIM_SENTINELS + w->server_count; i++)
        p->side[i] = draw(w, 2) == 0;
    for (uint32_t i = 0; i < w->servers_of[gid]; i++)
        p->side[SIM_SENTINELS + gid * SIM_SERVERS_A_GROUP + i] = i % 2 == 0;
    p->side[left] = true;
    p->side[right] = false;
    trace(w, -1, "partition with a failover of m%u on each side", gid);
    const ms_t at = draw_between(w, 500, 3000);
    plan(w, at, PLAN_FAILOVER, left, gid);
    plan(w, at + draw_between(w, 0, 20), PLAN_FAILOVER, right, gid);
    plan(w, at + draw_between(w, 3000, 8000), PLAN_PARTITION_END, 0, 0);
}

static void mass_kill(struct world *w)
{
    for (uint32_t gid = 0; gid < w->p.groups; gid++)
        if (draw(w, 5) != 0)
            kill_server(w, gid, true);
}

static void act(struct world *w, enum fault f)
{
    w->count.faults++;
    w->count.by_fault[f]++;
    switch (f) {
    case FAULT_PARTITION:
        cut_network(w, false, -1);
        break;
    case FAULT_ONE_WAY:
        cut_network(w, true, -1);
        break;
    case FAULT_CRASH:
        crash(w, random_sentinel(w), 0);
        for (uint32_t i = 0; draw(w, 10) == 0 && i < w->p.sentinels; i++)
            crash(w, &w->sentinels[i], 0);
        break;
    case FAULT_FREEZE_SHARD:
    case FAULT_FREEZE_PROCESS:
        freeze(w, f == FAULT_FREEZE_PROCESS);
        break;
    case FAULT_KILL_SERVER:
        kill_server(w, random_group(w), draw(w, 3) != 0);
        break;
    case FAULT_HANG_SERVER:
        hang_server(w, random_group(w));
        break;
    case FAULT_MASS_KILL:
        mass_kill(w);
        break;
    case FAULT_FAILOVER:
        operator_failover(w);
        break;
    case FAULT_COORDINATED:
        operator_coordinated(w);
        break;
    case FAULT_RESET:
        plan(w, 0, PLAN_RESET, (uint32_t)draw(w, w->p.sentinels), random_group(w));
        break;
    case FAULT_REMOVE:
        operator_remove(w, random_sentinel(w), random_group(w), 0);
        break;
    case FAULT_SET:
        operator_set(w);
        break;
    case FAULT_REBORN:
        reborn(w, random_sentinel(w), 0);
        break;
    case FAULT_MOVE:
        drill_begin(w);
        break;
    case FAULT_SPLIT:
        split(w);
        break;
    case FAULT_DELAY:
    case FAULT_CUT:
    case FAULT_DUPLICATE:
    case FAULT_SLOW_DISK:
    case FAULT_BAD_DISK:
    case FAULT_STOCK:
    case FAULT_AIMED:
    case FAULT_COUNT:
        break;
    }
}

void nemesis_act(struct world *w)
{
    const enum fault f = (enum fault)draw(w, FAULT_COUNT);
    if (fault_on(&w->p, f))
        act(w, f);
}

/* --- aimed
 * ---------------------------------------------------------------------------------------- */
static bool aims(struct world *w)
{
    return w->phase == PHASE_TROUBLE && draw(w, 100) < w->p.aimed_percent;
}

void nemesis_voted(struct world *w, struct sentinel *s, uint32_t gid)
{
    if (w->phase == PHASE_TROUBLE)
        drill_voted(w, s, gid);
    if (!aims(w))
        return;
    w->count.by_fault[FAULT_AIMED]++;
    const ms_t in = draw_between(w, 0, 60);
    switch (draw(w, 5)) {
    case 0:
        if (fault_on(&w->p, FAULT_CRASH))
            crash(w, s, in);
        break;
    case 1:
        if (fault_on(&w->p, FAULT_REMOVE))
            operator_remove(w, s, gid, in);
        break;
    case 2:
        if (fault_on(&w->p, FAULT_REBORN))
            reborn(w, s, in);
        break;
    case 3:
        if (fault_on(&w->p, FAULT_RESET))
            plan(w, in, PLAN_RESET, s->index, gid);
        break;
    default:
        if (fault_on(&w->p, FAULT_PARTITION))
            cut_network(w, false, (int)s->index);
    }
}

void nemesis_elected(struct world *w, struct sentinel *s, uint32_t gid)
{
    if (!aims(w))
        return;
    w->count.by_fault[FAULT_AIMED]++;
    const ms_t in = draw_between(w, 0, chance(w, 500) ? 50 : 1500);
    switch (draw(w, 4)) {
    case 0:
        if (fault_on(&w->p, FAULT_CRASH))
            crash(w, s, in);
        break;
    case 1:
        if (fault_on(&w->p, FAULT_FAILOVER))
            plan(w, in, draw(w, 2) == 0 ? PLAN_FAILOVER : PLAN_COORDINATED,
                 (uint32_t)draw(w, w->p.sentinels), gid);
        break;
    case 2:
        if (fault_on(&w->p, FAULT_KILL_SERVER))
            plan(w, in, PLAN_SERVER_KILL, random_server(w, gid)->index, 0);
        break;
    default:
        if (fault_on(&w->p, FAULT_PARTITION))
            cut_network(w, false, (int)s->index);
    }
}

/* --- what was planned
 * ------------------------------------------------------------------------------ */
static void plan_on_sentinel(struct world *w, enum plan_kind kind, struct sentinel *s, uint32_t b)
{
    const bool trouble = w->phase == PHASE_TROUBLE;
    if (kind == PLAN_SENTINEL_START) {
        if (!s->alive)
            sentinel_boot(w, s);
    } else if (kind == PLAN_MONITOR) {
        sentinel_command(w, s, b, COMMAND_MONITOR, 0);
    } else if (!trouble) {
        return;
    } else if (kind == PLAN_SENTINEL_CRASH) {
        sentinel_crash(w, s, b != 0);
    } else if (kind == PLAN_SENTINEL_REBORN) {
        if (!s->alive || !network_whole(w) || !others_remember(w, s))
            return;
        sentinel_crash(w, s, true);
        sentinel_reborn(w, s);
    } else if (kind == PLAN_SENTINEL_SWAP) {
        struct sentinel *other = &w->sentinels[b];
        const struct address addr = s->addr;
        sentinel_crash(w, s, true);
        sentinel_crash(w, other, true);
        s->addr = other->addr;
        other->addr = addr;
        trace(w, (int)s->index, "changes places with s%u", b);
    } else if (kind == PLAN_FAILOVER) {
        sentinel_command(w, s, b, COMMAND_FAILOVER, 0);
    } else if (kind == PLAN_COORDINATED) {
        sentinel_command(w, s, b, COMMAND_COORDINATED, 0);
    } else if (kind == PLAN_RESET) {
        sentinel_command(w, s, b, COMMAND_RESET, 0);
    } else if (kind == PLAN_REMOVE) {
        sentinel_command(w, s, b, COMMAND_REMOVE, 0);
    }
}

void nemesis_plan(struct world *w, const struct event *ev)
{
    const enum plan_kind kind = (enum plan_kind)ev->stamp;
    switch (kind) {
    case PLAN_SERVER_START:
        if (w->phase != PHASE_EXAM) /* who was killed for the exam stays dead */
            server_start(w, &w->servers[ev->a]);
        break;
    case PLAN_SERVER_RESUME:
        w->servers[ev->a].hung = false;
        break;
    case PLAN_SERVER_HANG:
        if (w->phase == PHASE_TROUBLE)
            w->servers[ev->a].hung = w->servers[ev->a].alive;
        break;
    case PLAN_SERVER_KILL:
        if (w->phase == PHASE_TROUBLE)
            server_kill(w, &w->servers[ev->a], true);
        break;
    case PLAN_PARTITION_END:
        if (w->partitions[ev->a].on)
            trace(w, -1, "partition %u ends", ev->a);
        w->partitions[ev->a].on = false;
        break;
    case PLAN_SENTINEL_START:
    case PLAN_SENTINEL_CRASH:
    case PLAN_SENTINEL_REBORN:
    case PLAN_SENTINEL_SWAP:
    case PLAN_MONITOR:
    case PLAN_REMOVE:
    case PLAN_RESET:
    case PLAN_FAILOVER:
    case PLAN_COORDINATED:
        plan_on_sentinel(w, kind, &w->sentinels[ev->a], ev->b);
        break;
    }
}

/* --- the end of trouble
 * ----------------------------------------------------------------------------- */
void nemesis_heal(struct world *w)
{
    trace(w, -1, "everything heals");
    for (unsigned i = 0; i < SIM_PARTITIONS; i++)
        w->partitions[i].on = false;
    if (w->p.delay_max > 20)
        w->p.delay_max = 20;
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        struct sentinel *s = &w->sentinels[i];
        if (!s->alive)
            plan(w, draw_between(w, 0, 3000), PLAN_SENTINEL_START, i, 0);
        for (uint32_t k = 0; k < s->shard_count; k++)
            s->shards[k].frozen_until = w->now;
        s->elector.frozen_until = w->now;
        for (uint32_t gid = 0; gid < w->p.groups; gid++) { /* an operator puts the terms right */
            sentinel_command(w, s, gid, COMMAND_QUORUM, w->p.quorum);
            sentinel_command(w, s, gid, COMMAND_DOWN_AFTER, w->p.down_after);
        }
    }
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        for (uint32_t i = 0; i < w->servers_of[gid]; i++) {
            struct server *v = &w->servers[gid * SIM_SERVERS_A_GROUP + i];
            v->hung = false;
            if (!v->alive)
                plan(w, draw_between(w, 0, 10000), PLAN_SERVER_START, v->index, 0);
        }
    }
}

/* How much an operator trusts a view: above all the newest configuration, of those who are not
 * alone, and then the one whose master is a master. */
static uint64_t trust(struct world *w, const struct sentinel *s, uint32_t gid)
{
    const struct group_view *v = &s->views[gid];
    const struct server *master = server_at(w, &v->current);
    const bool lonely = s->groups[gid]->sentinel_count == 0;
    const bool real = master != NULL && master->alive && master->is_master;
    return 1 + ((uint64_t)!lonely << 62) + v->config_epoch * 2 + real;
}

static const struct group_view *newest_view(struct world *w, uint32_t gid)
{
    const struct group_view *best = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *s = &w->sentinels[i];
        if (!s->alive || s->groups[gid] == NULL || trust(w, s, gid) <= most)
            continue;
        best = &s->views[gid];
        most = trust(w, s, gid);
    }
    return best;
}

static bool known_there(struct world *w, const struct server *v, const struct address *master)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *s = &w->sentinels[i];
        const struct group *g = s->alive ? s->groups[v->gid] : NULL;
        if (g != NULL && address_equal(&s->views[v->gid].current, master) &&
            group_find_replica(g, &v->addr) != NULL)
            return true;
    }
    return false;
}

/* A sentinel that watches another master than everybody else and hears of nobody (RESET, or a
 * birth from an old file), or where nothing was ever decided (epoch 0), can only be told. One that
 * keeps an id which died without its disk is reset. */
static void tend_strays(struct world *w, uint32_t gid, const struct group_view *newest)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        struct sentinel *s = &w->sentinels[i];
        const struct group *g = s->alive ? s->groups[gid] : NULL;
        if (g == NULL)
            continue;
        if (g->sentinel_count >= w->p.sentinels && w->now - w->phase_since > 60000)
            sentinel_command(w, s, gid, COMMAND_RESET, 0);
        if (address_equal(&s->views[gid].current, &newest->current) ||
            (g->sentinel_count > 0 && newest->config_epoch > 0))
            continue;
        sentinel_command(w, s, gid, COMMAND_REMOVE, 0);
        sentinel_command(w, s, gid, COMMAND_MONITOR,
                         1 + (ms_t)server_at(w, &newest->current)->index);
    }
}

/* Nobody has a replica that could be promoted (RESET forgot them, or all lost their master long
 * ago), and the master thinks it is a replica itself: "no good slave" is the right answer. */
static void tend_masterless(struct world *w, uint32_t gid, struct server *master)
{
    const struct address no_one = {0};
    if (!master->alive || master->is_master || w->now - w->phase_since < 60000)
        return;
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *s = &w->sentinels[i];
        if (s->alive && s->groups[gid] != NULL &&
            group_best_replica(s->groups[gid], w->now) != NULL)
            return;
    }
    (void)server_slaveof(w, master, &no_one);
}

/* What no sentinel can know, an operator must do: monitor again what is not monitored, put right
 * who watches the wrong master alone, and attach a server that RESET made everybody forget. */
void nemesis_tend(struct world *w)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        for (uint32_t gid = 0; w->sentinels[i].alive && gid < w->p.groups; gid++)
            if (w->sentinels[i].groups[gid] == NULL)
                sentinel_command(w, &w->sentinels[i], gid, COMMAND_MONITOR, 0);
    if (w->now - w->phase_since < 20000 || w->now - w->tended < 10000)
        return; /* most puts itself right */
    w->tended = w->now;
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        const struct group_view *newest = newest_view(w, gid);
        if (newest == NULL)
            continue;
        struct server *master = server_at(w, &newest->current);
        assert(master != NULL);
        tend_strays(w, gid, newest);
        tend_masterless(w, gid, master);
        for (uint32_t i = 0; i < w->servers_of[gid]; i++) {
            struct server *v = &w->servers[gid * SIM_SERVERS_A_GROUP + i];
            if (v == master || !v->alive || known_there(w, v, &newest->current))
                continue;
            if (v->is_master || v->master != master->index)
                (void)server_slaveof(w, v, &master->addr);
        }
    }
}

/* A data centre goes dark in an otherwise healthy world. */
void nemesis_exam(struct world *w)
{
    trace(w, -1, "exam: masters die");
    const bool all = draw(w, 2) == 0;
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        struct server *v = present_master(w, gid);
        if (v != NULL && v->alive && (all || gid == 0 || draw(w, 2) == 0))
            server_kill(w, v, draw(w, 3) != 0);
    }
}
