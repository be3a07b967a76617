/* Liveness: what everybody must agree on once all faults are healed. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

static bool not_yet(char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool not_yet(char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, size, format, args);
    va_end(args);
    return false;
}

static bool servers_agree(struct world *w, uint32_t gid, const struct address *addr, char *why,
                          size_t size)
{
    const struct server *master = server_at(w, addr);
    if (master == NULL || !master->alive || !master->is_master)
        return not_yet(why, size, "m%u: %s:%u is %s", gid, addr->ip, addr->port,
                       master == NULL || !master->alive ? "dead" : "a replica");
    for (uint32_t i = 0; i < w->servers_of[gid]; i++) {
        const struct server *v = &w->servers[gid * SIM_SERVERS_A_GROUP + i];
        if (v == master || !v->alive)
            continue;
        if (v->is_master || v->master != master->index || !v->link_up)
            return not_yet(why, size, "m%u: server %u %s %u, link %d; master is %u", gid, v->index,
                           v->is_master ? "is a master, before" : "follows", v->master, v->link_up,
                           master->index);
    }
    return true;
}

static bool sentinel_settled(struct world *w, const struct sentinel *s, uint32_t gid, char *why,
                             size_t size)
{
    const struct group *g = s->groups[gid];
    if (g == NULL)
        return not_yet(why, size, "s%u does not monitor m%u", s->index, gid);
    const struct group_view *v = &s->views[gid];
    if (v->s_down || v->o_down)
        return not_yet(why, size, "s%u: m%u is down", s->index, gid);
    if (g->fo.state != FAILOVER_NONE || g->commit.pending)
        return not_yet(why, size, "s%u: m%u in failover state %s%s", s->index, gid,
                       failover_state_name(g->fo.state),
                       g->commit.pending ? ", a commit pending" : "");
    if (g->fo.wished)
        return not_yet(why, size, "s%u: m%u has a wish", s->index, gid);
    if (!address_equal(&v->master, &v->current))
        return not_yet(why, size, "s%u: m%u has two addresses", s->index, gid);
    if (g->sentinel_count + 1 != w->p.sentinels)
        return not_yet(why, size, "s%u: knows %u sentinels of m%u", s->index, g->sentinel_count,
                       gid);
    return true;
}

bool converged(struct world *w, char *why, size_t size)
{
    for (uint32_t i = 0; i < w->p.sentinels; i++)
        if (!w->sentinels[i].alive || w->sentinels[i].tilt)
            return not_yet(why, size, "s%u is %s", i, w->sentinels[i].alive ? "tilted" : "dead");
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        const struct group_view *first = &w->sentinels[0].views[gid];
        for (uint32_t i = 0; i < w->p.sentinels; i++) {
            const struct sentinel *s = &w->sentinels[i];
            if (!sentinel_settled(w, s, gid, why, size))
                return false;
            if (!address_equal(&s->views[gid].master, &first->master) ||
                s->views[gid].config_epoch != first->config_epoch)
                return not_yet(why, size, "m%u: s0 has %s:%u at %llu, s%u has %s:%u at %llu", gid,
                               first->master.ip, first->master.port,
                               (unsigned long long)first->config_epoch, i, s->views[gid].master.ip,
                               s->views[gid].master.port,
                               (unsigned long long)s->views[gid].config_epoch);
        }
        if (!servers_agree(w, gid, &first->master, why, size))
            return false;
    }
    return true;
}
