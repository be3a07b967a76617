#include "descriptors.h"

#include "log.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Clients that must find a place even where descriptors are scarce: the peers' links and an
 * operator. */
#define CLIENTS_LEAST 32
/* A shard's table is that many times what it is known to need: replicas are found, groups are
 * added, and a table cannot grow (8 to 16 bytes of the kernel's memory a place). */
#define ROOM 4

/* Links that the configuration asks for, shard by shard: the very split that the hash of the names
 * will make. */
struct need {
    unsigned long long links, largest;
    unsigned long long of[LIMIT_SHARDS];
};

static struct need links_needed(const struct config *config, unsigned shards)
{
    struct need need = {0};
    unsigned long long peers = 0;
    for (size_t i = 0; i < config->group_count; i++) {
        const struct config_group *group = config->groups[i];
        unsigned long long servers = 1 + group->replica_count;
        need.of[directory_owner_of(group->name, shards)] += 2 * servers;
        need.links += 2 * servers;
        if (group->sentinel_count > peers) {
            peers = group->sentinel_count; /* nearly always the same ones */
        }
    }
    need.links += peers;
    for (unsigned i = 0; i < shards; i++) {
        need.of[i] += peers; /* any shard may have drawn them all */
        need.largest = need.of[i] > need.largest ? need.of[i] : need.largest;
    }
    return need;
}

/* All that the system allows: masters may be added by the thousand later. (The C library's
 * setrlimit is the system call prlimit64, which no service filter of systemd's takes away.) */
static unsigned long long raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

static unsigned long long lesser(unsigned long long a, unsigned long long b)
{
    return a < b ? a : b;
}

/* What the tables do not hold, and, in *room, what they hold beyond. */
static unsigned long long beyond_tables(const struct need *need, unsigned shards,
                                        unsigned long long table, unsigned long long *room)
{
    unsigned long long beyond = 0;
    *room = 0;
    for (unsigned i = 0; i < shards; i++) {
        if (need->of[i] > table) {
            beyond += need->of[i] - table;
        } else {
            *room += table - need->of[i];
        }
    }
    return beyond;
}

static void refuse(const struct config *config, const struct need *need, unsigned shards,
                   unsigned long long table, unsigned long long have, unsigned long long needed,
                   char *error, size_t len)
{
    if (table == 0) {
        (void)snprintf(
            error, len,
            "The limit of open files (RLIMIT_NOFILE, 'ulimit -n') is %llu, and %zu "
            "masters with what is known of their replicas and sentinels need %llu: raise "
            "it (LimitNOFILE= of a systemd unit, --ulimit nofile= of a container)",
            have, config->group_count, needed);
        return;
    }
    (void)snprintf(error, len,
                   "%zu masters with what is known of their replicas and sentinels make %llu "
                   "links, and %u shards hold %llu each as direct descriptors: the rest and the "
                   "house need %llu open files, and their limit (RLIMIT_NOFILE, 'ulimit -n') is "
                   "%llu. Use more --shards, or raise the limit, which bounds both (LimitNOFILE= "
                   "of a systemd unit, --ulimit nofile= of a container)",
                   config->group_count, need->links, shards, table, needed, have);
}

bool descriptors_take(struct process *p, const struct config *config, char *error, size_t error_len)
{
    struct process_options *o = &p->options;
    const struct need need = links_needed(config, o->shards);
    bool direct = strcmp(ring_chosen(), "io_uring") == 0;
    unsigned long long have = raise_descriptors(), table = 0, room;
    if (direct) {
        table = ROOM * need.largest;
        table = table > LIMIT_DIRECT_FIRST ? table : LIMIT_DIRECT_FIRST;
        table = lesser(lesser(table, LIMIT_DIRECT), have);
    }
    unsigned long long links = beyond_tables(&need, o->shards, table, &room);
    /* Of a shard: rings, doorbell, listeners, and the socket that is on its way into the table. */
    unsigned long long shard = 9 + 2 * (o->bind_count > 2 ? o->bind_count : 2);
    unsigned long long house = shard * o->shards + 24;
    /* Replicas that are not known yet, as many as links are. */
    unsigned long long growth = need.links - lesser(need.links, room) + LIMIT_LINGERERS;
    if (have < house + links + CLIENTS_LEAST) {
        refuse(config, &need, o->shards, table, have, house + links + CLIENTS_LEAST, error,
               error_len);
        return false;
    }
    unsigned long long rest = have - house - links;
    unsigned long long most = rest - lesser(growth, rest / 2);
    most = most < CLIENTS_LEAST ? CLIENTS_LEAST : most;
    if (most < o->maxclients) {
        log_printf(EVENT_WARNING,
                   "The limit of open files is %llu, of which links need %llu: maxclients has been "
                   "reduced from %u to %llu. If you need higher maxclients increase 'ulimit -n'.",
                   have, house + links, (unsigned)o->maxclients, most);
        o->maxclients = (uint32_t)most;
    }
    o->links_direct = (uint32_t)table;
    p->links_normal.most = (unsigned)lesser(have - house - o->maxclients, UINT32_MAX);
    return true;
}
