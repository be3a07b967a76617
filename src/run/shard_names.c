/* Names (resolve-hostnames): what INFO, hellos and requests call others is looked up before the
 * rules see it, and links go where a name points now. Nothing here waits for a lookup. */
#include "run/shard_internal.h"

#include <string.h>

static enum resolver_answer ask(struct shard *s, const struct host *host, char ip[LIMIT_IP + 1])
{
    return resolver_ask(s->process->resolver, host, s->now, ip);
}

/* The group's own master or replica of that name and port. NULL: none. */
static const struct address *known(const struct group *g, const struct address *a)
{
    struct address named = *a;
    named.ip[0] = '\0'; /* equal by name only */
    if (address_equal(&g->master->addr, &named)) {
        return &g->master->addr;
    }
    const struct instance *replica = group_find_replica(g, &named);
    return replica != NULL ? &replica->addr : NULL;
}

/* Fills in the ip of a server's address. PENDING, FAILED: it has none. */
static enum resolver_answer fill(struct shard *s, const struct group *g, struct address *a)
{
    if (a->host == NULL) {
        return RESOLVER_KNOWN;
    }
    const struct address *same = known(g, a);
    if (same != NULL) {
        *a = *same;
        return RESOLVER_KNOWN; /* its own links follow the name */
    }
    return ask(s, a->host, a->ip);
}

bool names_hello(struct shard *s, const struct group *g, struct hello *hello)
{
    bool whole = true;
    if (hello->sentinel.host != NULL) {
        whole = ask(s, hello->sentinel.host, hello->sentinel.ip) != RESOLVER_PENDING;
    }
    return fill(s, g, &hello->master) != RESOLVER_PENDING && whole;
}

void names_info(struct shard *s, const struct group *g, struct info *info)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < info->replica_count; i++) {
        enum resolver_answer answer = fill(s, g, &info->replicas[i]);
        info->names_pending |= answer == RESOLVER_PENDING;
        /* One that cannot be reached, and may be another that is known by its ip, is of no use. */
        if (answer != RESOLVER_PENDING && answer != RESOLVER_FAILED) {
            info->replicas[kept++] = info->replicas[i];
        }
    }
    info->replica_count = kept;
    info->names_pending |= fill(s, g, &info->master) == RESOLVER_PENDING;
}

void names_asked(struct shard *s, struct address *addr)
{
    if (addr->host != NULL && addr->ip[0] == '\0') {
        (void)ask(s, addr->host, addr->ip);
    }
}

void names_open(struct shard *s, struct group_host *gh, struct server *sv)
{
    const struct address *addr = &sv->inst->addr;
    struct letter letter = {.kind = LETTER_RESOLVED, .gid = gh->sg.group->gid};
    letter.u.resolved = *addr;
    if (addr->host == NULL || !s->tunables->resolve_hostnames) {
        return;
    }
    enum resolver_answer answer = ask(s, addr->host, letter.u.resolved.ip);
    bool failing = answer == RESOLVER_FAILED || answer == RESOLVER_STALE;
    if (failing && !sv->told_name) {
        shard_log(s, EVENT_WARNING, "Failed to resolve hostname '%s'", addr->host->text);
    }
    sv->told_name = failing || (sv->told_name && answer == RESOLVER_PENDING);
    if (!address_same(&letter.u.resolved, addr)) {
        /* By mail: a step is being carried out. */
        letter_send(s->process, s->index, s->index, &letter, POST_MUST);
    }
}

void names_letter(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh == NULL) {
        return;
    }
    const struct group *g = gh->sg.group;
    struct address named = letter->u.resolved;
    named.ip[0] = '\0';
    struct instance *inst =
        address_equal(&g->master->addr, &named) ? g->master : group_find_replica(g, &named);
    if (inst != NULL) {
        struct group_event ev = {
            .kind = GROUP_RESOLVED, .now = s->now, .inst = inst, .addr = letter->u.resolved};
        shard_step(s, gh, &ev);
    }
}
