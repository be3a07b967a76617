/* A sentinel process: start from what its disk holds, crash, birth anew; the operator's commands.
 */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sentinel *sentinel_at(struct world *w, const struct address *addr)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        if (address_equal(&w->sentinels[i].addr, addr))
            return &w->sentinels[i];
    return NULL;
}

void sentinel_tilt(struct world *w, struct sentinel *s)
{
    if (!s->tilt) {
        trace(w, (int)s->index, "+tilt");
        w->count.tilts++;
    }
    s->tilt = true;
    s->tilt_until = w->now + w->p.periods.tilt_period;
}

/* --- start ---------------------------------------------------------------------------------------
 */
static void group_boot(struct world *w, struct sentinel *s, uint32_t gid, bool announce)
{
    const struct saved_group *saved = &s->journal.durable.groups[gid];
    struct shard *h = &s->shards[shard_of(s, gid)];
    const struct group_settings set = {.quorum = saved->quorum,
                                       .parallel_syncs = w->p.parallel_syncs,
                                       .down_after = saved->down_after,
                                       .failover_timeout = w->p.failover_timeout};
    struct group_saved known = {.config_epoch = saved->config_epoch,
                                .leader_epoch = saved->vote_epoch,
                                .has_leader_epoch = saved->has_vote};
    if (!s->stock)
        known.leader = saved->voted;
    char name[16];
    (void)snprintf(name, sizeof(name), "m%u", gid);
    struct group *g =
        group_new(gid, name, &saved->addr, &set, &known, &h->env, prng_next(&w->prng), w->now);
    assert(g != NULL);
    s->groups[gid] = g;
    for (uint32_t i = 0; i < saved->replica_count; i++)
        (void)group_add_known_replica(g, &saved->replicas[i], w->now);
    for (uint32_t i = 0; i < saved->sentinel_count; i++)
        (void)group_add_known_sentinel(g, &saved->sentinels[i].addr, &saved->sentinels[i].runid,
                                       w->now);
    update_clear(&h->update);
    group_start(g, announce, w->now, &h->update);
    shard_publish(w, s, g);
    shard_apply(w, s, g, &h->update);
}

static void elector_boot(struct world *w, struct sentinel *s)
{
    struct elector *l = &s->elector;
    const struct saved *d = &s->journal.durable;
    const uint64_t epoch = MUTANT(MUTANT_FORGET_EPOCH) ? 0 : d->current_epoch;
    memset(l, 0, sizeof(*l));
    l->wake = MS_NEVER;
    l->env = (struct election_env){.periods = w->p.periods, .myid = s->myid};
    election_update_init(&l->update);
    if (s->stock)
        l->stock = stock_new(d);
    else
        l->election = election_new(&l->env, epoch, s->fresh, prng_next(&w->prng), w->now);
    s->published_epoch = epoch;
}

void sentinel_boot(struct world *w, struct sentinel *s)
{
    assert(!s->alive);
    s->alive = true;
    s->booted = w->now;
    s->incarnation = ++w->incarnations;
    s->tilt = false;
    s->identity = check_identity(w, s);
    trace(w, (int)s->index, "starts as %.6s, epoch %llu%s", s->myid.hex,
          (unsigned long long)s->journal.durable.current_epoch, s->fresh ? ", fresh" : "");
    memset(s->mirrors, 0, sizeof(s->mirrors));
    memset(s->peers, 0, sizeof(s->peers));
    elector_boot(w, s);
    for (uint32_t i = 0; i < s->shard_count; i++) {
        struct shard *h = &s->shards[i];
        const uint64_t stamp = h->stamp;
        memset(h, 0, sizeof(*h));
        h->index = i;
        h->stamp = stamp + 1;
        h->wake = MS_NEVER;
        h->last_turn = w->now;
        h->env = (struct group_env){
            .periods = w->p.periods,
            .myid = s->myid,
            .current_epoch = s->published_epoch,
            /* With half of the seeds all sentinels act at one moment, with half they do not. */
            .common = w->p.seed % 2 == 0 ? 0 : (ms_t)(s - w->sentinels) * 7919};
        update_init(&h->update);
    }
    for (uint32_t gid = 0; gid < w->p.groups; gid++)
        if (s->journal.durable.groups[gid].monitored)
            group_boot(w, s, gid, true);
    for (uint32_t i = 0; i < s->shard_count; i++)
        shard_wake(w, s, &s->shards[i], w->now + 1);
    elector_wake(w, s, w->now + 1);
    check_booted(w, s);
}

/* --- end
 * ------------------------------------------------------------------------------------------ */
static void inbox_clear(struct world *w, struct inbox *in)
{
    struct parcel *p;
    while ((p = inbox_take(in)) != NULL)
        parcel_free(w, p);
}

static void group_drop(struct group *g)
{
    free(g->master->host);
    for (uint32_t i = 0; i < g->replica_count; i++)
        free(g->replicas[i]->host);
    group_free(g);
}

static void process_free(struct world *w, struct sentinel *s)
{
    for (uint32_t gid = 0; gid < SIM_GROUPS; gid++) {
        if (s->groups[gid] != NULL)
            group_drop(s->groups[gid]);
        s->groups[gid] = NULL;
    }
    for (uint32_t i = 0; i < s->shard_count; i++) {
        inbox_clear(w, &s->shards[i].inbox);
        update_free(&s->shards[i].update);
    }
    inbox_clear(w, &s->elector.inbox);
    election_update_free(&s->elector.update);
    election_free(s->elector.election);
    stock_free(s->elector.stock);
    s->elector.election = NULL;
    s->elector.stock = NULL;
    s->elector.stamp++; /* no event of the old process fires */
}

void sentinel_crash(struct world *w, struct sentinel *s, bool reset)
{
    if (!s->alive)
        return;
    trace(w, (int)s->index, "crashes%s", reset ? "" : " without a word");
    w->count.crashes++;
    if (s->fresh && w->now - s->booted >= w->p.periods.election_timeout)
        s->fresh = false;
    s->alive = false;
    net_node_gone(w, s->index, reset);
    process_free(w, s);
    journal_crash(w, s);
}

void sentinel_free(struct world *w, struct sentinel *s)
{
    if (s->alive)
        process_free(w, s);
    journal_free(&s->journal);
}

/* Where the others see the master now: what an operator writes into a new file. */
static struct address present_address(struct world *w, uint32_t gid)
{
    const struct group_view *best = NULL;
    for (uint32_t i = 0; i < w->p.sentinels; i++) {
        const struct sentinel *s = &w->sentinels[i];
        if (s->alive && s->groups[gid] != NULL &&
            (best == NULL || s->views[gid].config_epoch > best->config_epoch))
            best = &s->views[gid];
    }
    return best != NULL ? best->current : w->servers[gid * SIM_SERVERS_A_GROUP].addr;
}

void sentinel_reborn(struct world *w, struct sentinel *s)
{
    assert(!s->alive);
    struct saved *d = &s->journal.durable;
    memset(d, 0, sizeof(*d));
    memset(s->seen_config, 0, sizeof(s->seen_config));
    s->seen_epoch = 0;
    for (unsigned i = 0; i < LIMIT_RUNID; i++)
        s->myid.hex[i] = "0123456789abcdef"[draw(w, 16)];
    d->myid = s->myid;
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        d->groups[gid].monitored = true;
        d->groups[gid].addr = present_address(w, gid);
        d->groups[gid].quorum = w->p.quorum;
        d->groups[gid].down_after = w->p.down_after;
    }
    s->fresh = true;
    sentinel_boot(w, s);
}

/* --- commands --------------------------------------------------------------------------------- */
void sentinel_command(struct world *w, struct sentinel *s, uint32_t gid, enum command command,
                      ms_t amount)
{
    if (!s->alive)
        return;
    struct parcel *p = parcel_new(w, s, shard_of(s, gid), PARCEL_COMMAND);
    p->gid = gid;
    p->command = command;
    p->amount = amount;
    parcel_arrive(w, p);
}

static void record(struct world *w, struct sentinel *s, struct shard *h, const struct entry *e)
{
    struct parcel *p = parcel_new(w, s, SIM_SHARDS, PARCEL_RECORD);
    p->u.entry = *e;
    parcel_lane(w, s, h->index, p);
}

static void command_remove(struct world *w, struct sentinel *s, struct shard *h, struct group *g)
{
    const uint32_t gid = g->gid;
    const struct entry e = {.record = {.kind = RECORD_REMOVE, .gid = gid}};
    s->seen_addr[gid] = s->views[gid].current;
    update_clear(&h->update);
    group_stop(g, w->now, &h->update);
    h->update.view_changed = false; /* there is nothing to see any more */
    shard_apply(w, s, g, &h->update);
    record(w, s, h, &e);
    group_free(g);
    s->groups[gid] = NULL;
    memset(&s->views[gid], 0, sizeof(s->views[gid]));
    check_removed(s, gid);
}

/* told: server index + 1 that the operator names, 0: what was monitored before. */
static void command_monitor(struct world *w, struct sentinel *s, struct shard *h, uint32_t gid,
                            ms_t told)
{
    struct address addr = s->seen_addr[gid];
    if (told > 0)
        addr = w->servers[told - 1].addr;
    else if (addr.port == 0)
        addr = w->servers[gid * SIM_SERVERS_A_GROUP].addr;
    const struct entry e = {
        .record = {.kind = RECORD_MONITOR, .gid = gid, .addr = addr, .quorum = w->p.quorum},
        .down_after = w->p.down_after};
    const struct group_settings set = {.quorum = w->p.quorum,
                                       .parallel_syncs = w->p.parallel_syncs,
                                       .down_after = w->p.down_after,
                                       .failover_timeout = w->p.failover_timeout};
    const struct group_saved saved = {0};
    char name[16];
    (void)snprintf(name, sizeof(name), "m%u", gid);
    record(w, s, h, &e);
    struct group *g =
        group_new(gid, name, &addr, &set, &saved, &h->env, prng_next(&w->prng), w->now);
    assert(g != NULL);
    s->groups[gid] = g;
    update_clear(&h->update);
    group_start(g, true, w->now, &h->update);
    shard_publish(w, s, g);
    shard_apply(w, s, g, &h->update);
}

static void command_set(struct world *w, struct sentinel *s, struct shard *h, struct group *g,
                        const struct parcel *p)
{
    struct group_settings set = g->set;
    struct entry e = {.record = {.kind = RECORD_TEXT, .gid = g->gid}};
    if (p->command == COMMAND_QUORUM)
        e.record.quorum = set.quorum = (uint32_t)p->amount;
    else
        e.down_after = set.down_after = p->amount;
    record(w, s, h, &e);
    struct group_event ev = {.kind = GROUP_SET, .now = w->now, .settings = &set};
    shard_step(w, s, g, &ev);
}

void shard_command(struct world *w, struct sentinel *s, struct shard *h, struct parcel *p)
{
    struct group *g = s->groups[p->gid];
    trace(w, (int)s->index, "command %d m%u %lld", (int)p->command, p->gid, (long long)p->amount);
    if (p->command == COMMAND_MONITOR) {
        if (g == NULL)
            command_monitor(w, s, h, p->gid, p->amount);
        return;
    }
    if (g == NULL)
        return;
    struct group_event ev = {.now = w->now};
    switch (p->command) {
    case COMMAND_FAILOVER:
    case COMMAND_COORDINATED:
        ev.coordinated = p->command == COMMAND_COORDINATED;
        ev.kind = GROUP_FAILOVER;
        shard_step(w, s, g, &ev);
        break;
    case COMMAND_RESET:
        ev.kind = GROUP_RESET;
        shard_step(w, s, g, &ev);
        break;
    case COMMAND_REMOVE:
        command_remove(w, s, h, g);
        break;
    case COMMAND_QUORUM:
    case COMMAND_DOWN_AFTER:
        command_set(w, s, h, g, p);
        break;
    case COMMAND_MONITOR:
        break;
    }
}
