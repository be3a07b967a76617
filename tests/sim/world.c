/* One run: set up, fire events in order, phases, and the end. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLED 5000 /* ms that agreement must last */

/* --- set-up
 * ---------------------------------------------------------------------------------------- */
static void make_servers(struct world *w)
{
    w->server_count = w->p.groups * SIM_SERVERS_A_GROUP;
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        const uint32_t first = gid * SIM_SERVERS_A_GROUP;
        w->servers_of[gid] =
            1 + w->p.replicas_min + (uint32_t)draw(w, w->p.replicas_max - w->p.replicas_min + 1);
        for (uint32_t i = 0; i < SIM_SERVERS_A_GROUP; i++) {
            server_init(w, first + i, gid, i == 0, first);
            w->servers[first + i].alive = i < w->servers_of[gid];
        }
    }
}

static void make_sentinel(struct world *w, uint32_t index)
{
    struct sentinel *s = &w->sentinels[index];
    char ip[32];
    s->index = index;
    s->stock = index == w->p.stock;
    s->shard_count = w->p.shards[index];
    s->fresh = !w->p.preloaded;
    const int len = snprintf(ip, sizeof(ip), "10.9.0.%u", index + 1);
    const bool ok = address_set(&s->addr, ip, (size_t)len, 26379);
    assert(ok);
    (void)ok;
    for (unsigned i = 0; i < LIMIT_RUNID; i++)
        s->myid.hex[i] = "0123456789abcdef"[draw(w, 16)];
    s->journal.durable.myid = s->myid;
}

static void write_config(struct world *w, struct sentinel *s)
{
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        struct saved_group *g = &s->journal.durable.groups[gid];
        const uint32_t first = gid * SIM_SERVERS_A_GROUP;
        g->monitored = true;
        g->addr = w->servers[first].addr;
        g->quorum = w->p.quorum;
        g->down_after = w->p.down_after;
        for (uint32_t i = 1; w->p.preloaded && i < w->servers_of[gid]; i++)
            g->replicas[g->replica_count++] = w->servers[first + i].addr;
        for (uint32_t i = 0; w->p.preloaded && i < w->p.sentinels; i++) {
            if (i == s->index)
                continue;
            g->sentinels[g->sentinel_count].addr = w->sentinels[i].addr;
            g->sentinels[g->sentinel_count++].runid = w->sentinels[i].myid;
        }
    }
}

static void make_world(struct world *w, uint64_t seed, bool trace_on)
{
    memset(w, 0, sizeof(*w));
    params_draw(&w->p, seed);
    prng_seed(&w->prng, seed ^ 0xD1B54A32D192ED03ULL);
    for (int i = 0; i < 8; i++)
        (void)prng_next(&w->prng);
    w->trace_on = trace_on;
    w->hash = 0xCBF29CE484222325ULL;
    w->now = SIM_START;
    w->sentinels = calloc(SIM_SENTINELS, sizeof(struct sentinel));
    w->servers = calloc(w->p.groups * SIM_SERVERS_A_GROUP, sizeof(struct server));
    w->scratch_info = calloc(1, sizeof(struct info));
    assert(w->sentinels != NULL && w->servers != NULL && w->scratch_info != NULL);
    make_servers(w);
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        make_sentinel(w, i);
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        write_config(w, &w->sentinels[i]);
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < SIM_SENTINELS; i++)
        sentinel_free(w, &w->sentinels[i]);
    for (uint32_t i = 0; i < w->heap_count; i++)
        if (w->heap[i].kind == EV_PARCEL) {
            struct parcel *p = w->heap[i].ptr;
            p->conn = NULL; /* net_free takes all connections */
            parcel_free(w, p);
        }
    net_free(w);
    while (w->parcel_pool != NULL) {
        struct parcel *p = w->parcel_pool;
        w->parcel_pool = p->next;
        free(p);
    }
    for (uint32_t i = 0; i < w->identity_count; i++)
        free(w->identities[i].votes);
    free(w->leaders);
    free(w->heap);
    free(w->sentinels);
    free(w->servers);
    free(w->scratch_info);
}

/* --- phases
 * ----------------------------------------------------------------------------------------- */
static void enter(struct world *w, enum phase phase)
{
    w->phase = phase;
    w->phase_since = w->now;
    w->calm_since = 0;
    memset(w->elections_of, 0, sizeof(w->elections_of));
}

static ms_t warm_length(const struct world *w)
{
    return w->p.preloaded ? 3000 : w->p.periods.election_timeout + 3000;
}

/* Two whole attempts after another, with the waits of stock Sentinel between them. */
static ms_t heal_bound(const struct world *w)
{
    return 120000 + 8 * w->p.failover_timeout + w->p.periods.tilt_period;
}

/* In a healthy world an election takes milliseconds and a failover little more (design.md §4.8). A
 * stock-like voter knows no lease: two leaders may follow each other so closely that each makes the
 * other's replica its own, and the master is seen to be none for down-after + 2 info-periods. */
static ms_t exam_bound(const struct world *w)
{
    const ms_t stock =
        w->p.stock < w->p.sentinels ? 2 * w->p.periods.info + 2 * w->p.down_after + 10000 : 0;
    return 2 * w->p.down_after + 8000 + stock;
}

static void settle(struct world *w)
{
    char why[sizeof(w->unsettled)];
    if (!converged(w, why, sizeof(why))) {
        if (strcmp(why, w->unsettled) != 0)
            trace(w, -1, "not yet: %s", why);
        memcpy(w->unsettled, why, sizeof(why));
        w->calm_since = 0;
        const ms_t bound = w->phase == PHASE_EXAM ? exam_bound(w) : heal_bound(w);
        if (w->now - w->phase_since > bound)
            check_fail(w, VERDICT_LIVENESS, w->phase == PHASE_EXAM ? "slow-failover" : "converge",
                       "%lld ms after %s: %s", (long long)(w->now - w->phase_since),
                       w->phase == PHASE_EXAM ? "masters died in a healthy world" : "all healed",
                       why);
        return;
    }
    if (w->calm_since == 0)
        w->calm_since = w->now;
    /* The owner of an attempt starts no other for twice the failover timeout. */
    const ms_t rest = w->phase == PHASE_HEALED && w->p.exam
                          ? 2 * w->p.failover_timeout + 2 * w->p.periods.publish + 2000
                          : SETTLED;
    if (w->now - w->calm_since < rest)
        return;
    if (w->phase == PHASE_HEALED && w->p.exam) {
        nemesis_exam(w);
        enter(w, PHASE_EXAM);
    } else {
        enter(w, PHASE_DONE);
    }
}

static void every_second(struct world *w)
{
    switch (w->phase) {
    case PHASE_WARM:
        if (w->now - w->phase_since >= warm_length(w)) {
            enter(w, PHASE_TROUBLE);
            event_push(w, w->now + 1, EV_NEMESIS, 0, 0, 0, NULL);
        }
        break;
    case PHASE_TROUBLE:
        if (w->now - w->phase_since >= w->p.trouble) {
            nemesis_heal(w);
            enter(w, PHASE_HEALED);
        }
        break;
    case PHASE_HEALED:
        nemesis_tend(w);
        settle(w);
        break;
    case PHASE_EXAM:
        settle(w);
        break;
    case PHASE_DONE:
        break;
    }
    event_push(w, w->now + 500, EV_SECOND, 0, 0, 0, NULL);
}

/* --- events
 * ------------------------------------------------------------------------------------------ */
static void fire_turn(struct world *w, const struct event *ev)
{
    struct sentinel *s = &w->sentinels[ev->a];
    struct shard *h = &s->shards[ev->b];
    if (!s->alive || ev->stamp != h->stamp)
        return;
    if (w->now < h->frozen_until) {
        h->wake = MS_NEVER;
        shard_wake(w, s, h, h->frozen_until);
        return;
    }
    shard_turn(w, s, h);
}

static void fire_pass(struct world *w, const struct event *ev)
{
    struct sentinel *s = &w->sentinels[ev->a];
    struct elector *l = &s->elector;
    if (!s->alive || ev->stamp != l->stamp || l->busy)
        return;
    if (w->now < l->frozen_until) {
        l->wake = MS_NEVER;
        elector_wake(w, s, l->frozen_until);
        return;
    }
    elector_pass(w, s);
}

static void fire(struct world *w, const struct event *ev)
{
    trace_number(w, (uint64_t)ev->kind << 56 ^ (uint64_t)ev->at << 16 ^ ev->a << 8 ^ ev->b);
    switch (ev->kind) {
    case EV_DELIVER:
        net_deliver(w, ev->ptr, (int)ev->a);
        break;
    case EV_CONNECT:
        net_connected(w, ev->ptr);
        break;
    case EV_PARCEL:
        parcel_arrive(w, ev->ptr);
        break;
    case EV_TURN:
        fire_turn(w, ev);
        break;
    case EV_PASS:
        fire_pass(w, ev);
        break;
    case EV_SYNCED:
        if (w->sentinels[ev->a].alive && w->sentinels[ev->a].incarnation == ev->stamp)
            elector_synced(w, &w->sentinels[ev->a]);
        break;
    case EV_REPLICATION:
        server_replicate(w);
        event_push(w, w->now + 250, EV_REPLICATION, 0, 0, 0, NULL);
        break;
    case EV_NEMESIS:
        if (w->phase == PHASE_TROUBLE) {
            nemesis_act(w);
            /* Only some of the fault types exist in this seed: draw often, act seldom. */
            event_push(w, w->now + 1 + (ms_t)draw(w, (uint64_t)w->p.fault_mean / 2), EV_NEMESIS, 0,
                       0, 0, NULL);
        }
        break;
    case EV_PLAN:
        nemesis_plan(w, ev);
        break;
    case EV_SECOND:
        every_second(w);
        break;
    }
}

static void run(struct world *w)
{
    struct event ev;
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        sentinel_boot(w, &w->sentinels[i]);
    w->phase_since = w->now;
    event_push(w, w->now + 250, EV_REPLICATION, 0, 0, 0, NULL);
    event_push(w, w->now + 500, EV_SECOND, 0, 0, 0, NULL);
    while (w->phase != PHASE_DONE && event_pop(w, &ev)) {
        assert(ev.at >= w->now);
        w->now = ev.at;
        w->count.steps++;
        fire(w, &ev);
    }
}

enum verdict world_run(struct world *w, uint64_t seed, bool trace_on)
{
    jmp_buf end;
    make_world(w, seed, trace_on);
    w->end = &end;
    if (setjmp(end) == 0)
        run(w);
    w->end = NULL;
    w->count.virtual_ms = (uint64_t)(w->now - SIM_START);
    return w->verdict;
}
