#include "descriptors.h"

#include "log.h"

#include <stdio.h>
#include <sys/resource.h>

/* Clients that must find a place even where descriptors are scarce: the peers' links and an
 * operator. */
#define CLIENTS_LEAST 32

/* Links that the configuration asks for. */
static unsigned long long links_needed(const struct config *config)
{
    unsigned long long servers = 0, peers = 0;
    for (size_t i = 0; i < config->group_count; i++) {
        servers += 1 + config->groups[i]->replica_count;
        if (config->groups[i]->sentinel_count > peers) {
            peers = config->groups[i]->sentinel_count; /* nearly always the same ones */
        }
    }
    return 2 * servers + peers;
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

bool descriptors_take(struct process_options *o, const struct config *config, char *error,
                      size_t error_len)
{
    unsigned long long links = links_needed(config);
    unsigned long long shard = 8 + 2 * (o->bind_count > 2 ? o->bind_count : 2);
    unsigned long long house = shard * o->shards + 24, growth = links + LIMIT_LINGERERS;
    unsigned long long have = raise_descriptors();
    if (have < house + links + CLIENTS_LEAST) {
        (void)snprintf(
            error, error_len,
            "The limit of open files (RLIMIT_NOFILE, 'ulimit -n') is %llu, and %zu "
            "masters with what is known of their replicas and sentinels need %llu: raise "
            "it (LimitNOFILE= of a systemd unit, --ulimit nofile= of a container)",
            have, config->group_count, house + links + CLIENTS_LEAST);
        return false;
    }
    unsigned long long rest = have - house - links;
    unsigned long long most = rest - (growth < rest / 2 ? growth : rest / 2);
    most = most < CLIENTS_LEAST ? CLIENTS_LEAST : most;
    if (most < o->maxclients) {
        log_printf(EVENT_WARNING,
                   "The limit of open files is %llu, of which links need %llu: maxclients has been "
                   "reduced from %u to %llu. If you need higher maxclients increase 'ulimit -n'.",
                   have, house + links, (unsigned)o->maxclients, most);
        o->maxclients = (uint32_t)most;
    }
    rest = have - house - o->maxclients;
    o->links_most = rest < UINT32_MAX ? (uint32_t)rest : UINT32_MAX;
    return true;
}
