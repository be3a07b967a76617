/* What a seed draws (swarm testing: also which faults exist at all). */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define FAULT_NAME(id, name) name,
const char *const fault_names[FAULT_COUNT] = {FAULT_TABLE(FAULT_NAME)};
#undef FAULT_NAME

static uint64_t between(struct prng *r, uint64_t least, uint64_t most)
{
    return least + prng_below(r, most - least + 1);
}

static void draw_size(struct params *p, struct prng *r)
{
    static const uint32_t sentinels[] = {3, 3, 3, 3, 4, 5, 5, 7, 2, 6};
    p->sentinels = sentinels[prng_below(r, 10)];
    for (uint32_t i = 0; i < SIM_SENTINELS; i++)
        p->shards[i] = (uint32_t)between(r, 1, SIM_SHARDS);
    const uint64_t size = prng_below(r, 1000);
    if (size < 800)
        p->groups = (uint32_t)between(r, 1, 3);
    else if (size < 980)
        p->groups = (uint32_t)between(r, 4, 10);
    else if (size < 997)
        p->groups = (uint32_t)between(r, 11, 40);
    else
        p->groups = (uint32_t)between(r, 100, SIM_GROUPS);
    if (p->groups > 10 && p->sentinels > 5)
        p->sentinels = 3;
    p->replicas_min = 1;
    p->replicas_max = (uint32_t)between(r, 1, SIM_SERVERS_A_GROUP - 1);
    p->quorum = p->sentinels / 2 + 1;
    if (prng_below(r, 4) == 0)
        p->quorum = (uint32_t)between(r, 1, p->sentinels);
    p->parallel_syncs = (uint32_t)between(r, 1, 2);
}

static void draw_periods(struct params *p, struct prng *r)
{
    static const ms_t down_after[] = {500, 1000, 1000, 2000, 5000};
    periods_default(&p->periods);
    if (prng_below(r, 4) != 0) { /* mostly quicker, so that more happens in a run */
        p->periods.info = (ms_t)between(r, 2000, 5000);
        p->periods.tilt_period = (ms_t)between(r, 3000, 10000);
        p->periods.min_link_reconnect = (ms_t)between(r, 2000, 15000);
        p->periods.election_timeout = (ms_t)between(r, 4000, 10000);
    }
    p->down_after = down_after[prng_below(r, 5)];
    p->failover_timeout = (ms_t)between(r, 5000, 20000);
}

/* Each fault type is on with one chance in three, the cheap everyday ones more often. */
static void draw_faults(struct params *p, struct prng *r)
{
    const uint64_t mood = prng_below(r, 20);
    p->faults = 0;
    if (mood == 0) { /* a quiet world: whatever fails here fails always */
        p->faults = 1U << FAULT_KILL_SERVER;
        return;
    }
    const uint64_t odds = between(r, 2, 5);
    for (unsigned f = 0; f < FAULT_COUNT; f++) {
        const bool everyday = f == FAULT_KILL_SERVER || f == FAULT_AIMED;
        if (prng_below(r, everyday ? 2 : odds) == 0)
            p->faults |= 1U << f;
    }
    if (mood == 1)
        p->faults |= 1U << FAULT_MASS_KILL | 1U << FAULT_KILL_SERVER;
    if (mood == 2)
        p->faults |= 1U << FAULT_REBORN | 1U << FAULT_KILL_SERVER | 1U << FAULT_AIMED;
    if (mood == 3)
        p->faults |= 1U << FAULT_FAILOVER | 1U << FAULT_PARTITION;
    if (mood == 4)
        p->faults |= 1U << FAULT_REMOVE | 1U << FAULT_AIMED | 1U << FAULT_KILL_SERVER;
}

void params_draw(struct params *p, uint64_t seed)
{
    struct prng r;
    memset(p, 0, sizeof(*p));
    p->seed = seed;
    prng_seed(&r, seed * 0x9E3779B97F4A7C15ULL + 0x7F4A7C15ULL);
    for (int i = 0; i < 8; i++)
        (void)prng_next(&r); /* near seeds differ little at first */
    draw_size(p, &r);
    draw_periods(p, &r);
    draw_faults(p, &r);
    p->stock = fault_on(p, FAULT_STOCK) && p->sentinels >= 3
                   ? (uint32_t)prng_below(&r, p->sentinels)
                   : SIM_SENTINELS;
    p->preloaded = prng_below(&r, 2) == 0;
    p->exam = prng_below(&r, 3) != 0;
    p->delay_min = 0;
    p->delay_max = (ms_t)between(&r, 1, 20);
    if (fault_on(p, FAULT_DELAY))
        p->delay_max = (ms_t)between(&r, 20, 400);
    p->lane_max = (ms_t)between(&r, 0, 5);
    p->disk_min = (ms_t)between(&r, 0, 3);
    p->disk_max = p->disk_min + (ms_t)between(&r, 1, 20);
    p->trouble = (ms_t)between(&r, 20000, p->groups > 10 ? 30000 : 60000);
    p->fault_mean = (ms_t)between(&r, 500, 6000);
    p->cut_permille = fault_on(p, FAULT_CUT) ? (uint32_t)between(&r, 1, 20) : 0;
    p->duplicate_permille = fault_on(p, FAULT_DUPLICATE) ? (uint32_t)between(&r, 5, 200) : 0;
    p->slow_permille = fault_on(p, FAULT_SLOW_DISK) ? (uint32_t)between(&r, 20, 300) : 0;
    p->fail_permille = fault_on(p, FAULT_BAD_DISK) ? (uint32_t)between(&r, 10, 200) : 0;
    p->aimed_percent = fault_on(p, FAULT_AIMED) ? (uint32_t)between(&r, 5, 60) : 0;
}

void params_print(const struct params *p)
{
    printf("  seed %llu: %u sentinels (shards", (unsigned long long)p->seed, p->sentinels);
    for (uint32_t i = 0; i < p->sentinels; i++)
        printf(" %u", p->shards[i]);
    printf("), stock-like %d, %u groups, %u-%u replicas, quorum %u, parallel-syncs %u, %s, %s\n",
           p->stock < p->sentinels ? (int)p->stock : -1, p->groups, p->replicas_min,
           p->replicas_max, p->quorum, p->parallel_syncs,
           p->preloaded ? "preloaded" : "discovering", p->exam ? "exam" : "no exam");
    printf("  down-after %lld, failover-timeout %lld, info %lld, tilt %lld, election %lld, "
           "min-link-reconnect %lld\n",
           (long long)p->down_after, (long long)p->failover_timeout, (long long)p->periods.info,
           (long long)p->periods.tilt_period, (long long)p->periods.election_timeout,
           (long long)p->periods.min_link_reconnect);
    printf("  message %lld-%lld ms, lane 0-%lld ms, disk %lld-%lld ms, trouble %lld ms, a fault "
           "every %lld ms\n",
           (long long)p->delay_min, (long long)p->delay_max, (long long)p->lane_max,
           (long long)p->disk_min, (long long)p->disk_max, (long long)p->trouble,
           (long long)p->fault_mean);
    printf("  per mille: cut %u, duplicate %u, slow disk %u, bad disk %u; aimed %u%%; faults:",
           p->cut_permille, p->duplicate_permille, p->slow_permille, p->fail_permille,
           p->aimed_percent);
    for (unsigned f = 0; f < FAULT_COUNT; f++)
        if (fault_on(p, (enum fault)f))
            printf(" %s", fault_names[f]);
    printf("\n");
}
