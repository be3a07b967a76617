/* A simulated instance: its role, the link to its master, its offset, its life and death. */
#include "fleet.h"

#include <assert.h>
#include <stdio.h>

static int32_t master_of(const struct worker *worker, uint32_t index)
{
    return atomic_load_explicit(&worker->shared->instances[index].master, memory_order_relaxed);
}

static int mode_of(const struct worker *worker, uint32_t index)
{
    return atomic_load_explicit(&worker->shared->instances[index].mode, memory_order_relaxed);
}

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* 40 hex digits that depend on everything given. */
static void digits(uint64_t seed, uint64_t kind, uint64_t index, uint64_t generation,
                   char out[FLEET_RUN_ID + 1])
{
    uint64_t state = mix(mix(mix(mix(seed) ^ kind) ^ index) ^ generation);
    uint64_t second = mix(state), third = mix(second);
    snprintf(out, FLEET_RUN_ID + 1, "%016llx%016llx%08llx", (unsigned long long)state,
             (unsigned long long)second, (unsigned long long)(third & 0xffffffffu));
}

void instance_run_id(const struct worker *worker, uint32_t index, char out[FLEET_RUN_ID + 1])
{
    digits(worker->options->seed, 1, index, worker->instances[index].incarnation, out);
}

void instance_replication_id(const struct worker *worker, uint32_t index, uint32_t identity,
                             char out[FLEET_RUN_ID + 1])
{
    digits(worker->options->seed, 2, index, identity, out);
}

bool instance_is_master(const struct worker *worker, uint32_t index)
{
    return master_of(worker, index) == MASTER_NONE;
}

void instance_setup(struct worker *worker, uint32_t index)
{
    struct instance *instance = &worker->instances[index];
    int32_t master = master_of(worker, index);
    instance->saved_master = master;
    instance->started_at = instance->offset_at = worker->now;
    instance->offset = 1 + (int64_t)(mix(index / fleet_group_size(worker->options)) % 100000);
    if (master >= 0) {
        instance->master_ip = instance->saved_ip = fleet_address((uint32_t)master);
        instance->master_port = instance->saved_port =
            fleet_port(worker->options, (uint32_t)master);
        atomic_store(&worker->shared->instances[index].link_up, true);
    }
}

/* The link went down now: the offset stays where it is. */
static void link_breaks(struct worker *worker, uint32_t index, int64_t offset)
{
    struct instance *instance = &worker->instances[index];
    instance->offset = offset;
    instance->offset_at = worker->now;
    instance->link_down_since = worker->now;
    instance->link_ready_at = INT64_MAX;
    atomic_store_explicit(&worker->shared->instances[index].link_up, false, memory_order_relaxed);
}

bool instance_link_up(struct worker *worker, uint32_t index)
{
    struct instance *instance = &worker->instances[index];
    int32_t master = master_of(worker, index);
    if (master == MASTER_NONE)
        return false;
    int mode = master >= 0 ? mode_of(worker, (uint32_t)master) : MODE_KILLED;
    bool reachable = mode == MODE_ALIVE || mode == MODE_HUNG;
    bool up = reachable && worker->now >= instance->link_ready_at;
    if (up)
        instance->link_down_since = 0;
    else if (instance->link_down_since == 0)
        instance->link_down_since = worker->now;
    atomic_store_explicit(&worker->shared->instances[index].link_up, up, memory_order_relaxed);
    return up;
}

/* Of a master, or where a replica whose link is down stopped. */
static int64_t own_offset(struct worker *worker, uint32_t index)
{
    struct instance *instance = &worker->instances[index];
    if (!instance_is_master(worker, index) || mode_of(worker, index) != MODE_ALIVE)
        return instance->offset;
    return instance->offset +
           (worker->now - instance->offset_at) * worker->options->offset_rate / 1000;
}

int64_t instance_offset(struct worker *worker, uint32_t index)
{
    /* Chains of replicas are short; a ring of them must end too. */
    for (int depth = 0; depth < 8; depth++) {
        int32_t master = master_of(worker, index);
        bool here = master >= 0 && (uint32_t)master / fleet_group_size(worker->options) %
                                           worker->options->workers ==
                                       worker->number;
        if (!here || !instance_link_up(worker, index))
            return own_offset(worker, index);
        index = (uint32_t)master;
    }
    return worker->instances[index].offset;
}

/* Calls link_breaks for every member of the group that follows this instance; `offset` is where
 * the stream ended. */
static void followers_lose(struct worker *worker, uint32_t index, int64_t offset, int64_t ready_at)
{
    uint32_t size = fleet_group_size(worker->options);
    uint32_t first = index - index % size;
    for (uint32_t member = first; member < first + size; member++) {
        if (master_of(worker, member) != (int32_t)index)
            continue;
        if (instance_link_up(worker, member))
            link_breaks(worker, member, offset);
        worker->instances[member].link_ready_at = ready_at;
    }
}

static void set_master(struct worker *worker, uint32_t index, int32_t master, in_addr_t ip,
                       uint16_t port)
{
    struct instance *instance = &worker->instances[index];
    instance->master_ip = ip;
    instance->master_port = port;
    atomic_store(&worker->shared->instances[index].master, master);
}

void instance_follow(struct worker *worker, uint32_t index, in_addr_t ip, uint16_t port)
{
    struct instance *instance = &worker->instances[index];
    if (!instance_is_master(worker, index) && instance->master_ip == ip &&
        instance->master_port == port)
        return;
    int64_t offset = instance_offset(worker, index);
    int32_t master = fleet_find(worker->options, ip, port);
    link_breaks(worker, index, offset);
    set_master(worker, index, master >= 0 ? master : MASTER_ELSEWHERE, ip, port);
    instance->link_ready_at = worker->now + worker->options->sync_delay;
    /* Redis drops its own replicas then, and they come back after their master's sync. */
    followers_lose(worker, index, offset, instance->link_ready_at + worker->options->sync_delay);
}

void instance_promote(struct worker *worker, uint32_t index)
{
    if (instance_is_master(worker, index))
        return;
    struct instance *instance = &worker->instances[index];
    int64_t offset = instance_offset(worker, index);
    link_breaks(worker, index, offset);
    set_master(worker, index, MASTER_NONE, 0, 0);
    instance->identity++;
    followers_lose(worker, index, offset, worker->now + worker->options->sync_delay);
    struct group_record *record =
        &worker->shared->groups[index / fleet_group_size(worker->options)];
    atomic_store(&record->promoted, (int32_t)index);
    atomic_fetch_add(&record->promotions, 1);
    if (atomic_load(&record->killed_at) != 0 && atomic_load(&record->promoted_at) == 0)
        atomic_store(&record->promoted_at, fleet_now());
}

void instance_save(struct worker *worker, uint32_t index)
{
    struct instance *instance = &worker->instances[index];
    instance->saved_master = master_of(worker, index);
    instance->saved_ip = instance->master_ip;
    instance->saved_port = instance->master_port;
}

/* A new process: other run id, the role that was saved. */
static void restart(struct worker *worker, uint32_t index)
{
    struct instance *instance = &worker->instances[index];
    instance->incarnation++;
    instance->identity++;
    instance->started_at = worker->now;
    instance->commands = 0;
    set_master(worker, index, instance->saved_master, instance->saved_ip, instance->saved_port);
    instance->offset_at = worker->now;
    instance->link_down_since = worker->now;
    instance->link_ready_at = worker->now + worker->options->sync_delay;
    followers_lose(worker, index, instance->offset, worker->now + worker->options->retry_delay);
}

void instance_set_mode(struct worker *worker, uint32_t index, enum instance_mode mode)
{
    int before = mode_of(worker, index);
    assert(before != (int)mode);
    struct instance *instance = &worker->instances[index];
    int64_t offset = instance_offset(worker, index);
    if (mode != MODE_ALIVE && instance_is_master(worker, index)) {
        instance->offset = offset;
        instance->offset_at = worker->now;
    }
    if (mode == MODE_KILLED) {
        followers_lose(worker, index, offset, INT64_MAX);
        while (instance->connections)
            connection_close(worker, instance->connections, true);
    }
    if (before == MODE_KILLED)
        restart(worker, index);
    instance->offset_at = worker->now;
    atomic_store(&worker->shared->instances[index].mode, (int)mode);
}
