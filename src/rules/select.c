#include "rules/select.h"

#include <assert.h>

/* INFO of a replica is asked for once a second while its master is down. */
#define INFO_FRESH_OUTAGE ((ms_t)5000)

/* How long the link between a fit replica and the master may have been down. */
static ms_t link_down_max(const struct select_input *in)
{
    const ms_t outage = in->master_sdown_since == 0 || in->master_sdown_since > in->now
                            ? 0
                            : in->now - in->master_sdown_since;
    assert(in->down_after >= 0);
    if (in->down_after > (MS_NEVER - outage) / 10)
        return MS_NEVER;
    return outage + 10 * in->down_after;
}

static bool info_fresh(const struct select_input *in, const struct instance *replica)
{
    const ms_t fresh = in->master_sdown_since != 0 ? INFO_FRESH_OUTAGE : 3 * in->periods->info;
    return replica->server->info_at != 0 && in->now - replica->server->info_at <= fresh;
}

bool select_fit(const struct select_input *in, const struct instance *replica)
{
    assert(replica->kind == INSTANCE_REPLICA);
    if (replica->flags & (FLAG_S_DOWN | FLAG_O_DOWN))
        return false;
    /* Only the command link counts: the transaction of another leader cuts the pub/sub link, and
     * nothing is asked of that one here. */
    if (!replica->live.cmd_up)
        return false;
    if (in->now - replica->live.reply_ok > 5 * in->periods->ping)
        return false;
    if (replica->server->priority == 0 || !info_fresh(in, replica))
        return false;
    if (in->linked && (replica->server->role != ROLE_REPLICA || !replica->server->master_link_up))
        return false;
    return replica->server->master_link_down <= link_down_max(in);
}

/* Its leader died half-way: it is a master already, taking it again loses nothing. */
static bool turned_master(const struct select_input *in, const struct instance *replica)
{
    return in->outage_since != 0 && replica->server->role == ROLE_MASTER &&
           replica->server->turned_master_at != 0 &&
           replica->server->turned_master_at >= in->outage_since;
}

/* Whether a goes before b; false when they are equal, so that the first one found stays. */
static bool goes_before(const struct select_input *in, const struct instance *a,
                        const struct instance *b)
{
    const bool a_turned = turned_master(in, a), b_turned = turned_master(in, b);
    if (a_turned != b_turned)
        return a_turned;
    if (a->server->priority != b->server->priority)
        return a->server->priority < b->server->priority;
    if (a->server->repl_offset != b->server->repl_offset)
        return a->server->repl_offset > b->server->repl_offset;
    if (runid_known(&a->runid) != runid_known(&b->runid))
        return runid_known(&a->runid);
    return runid_compare(&a->runid, &b->runid) < 0;
}

struct instance *select_replica(const struct select_input *in)
{
    assert(in->count == 0 || in->replicas != NULL);
    struct instance *best = NULL;
    for (size_t i = 0; i < in->count; i++) {
        struct instance *replica = in->replicas[i];
        if (select_fit(in, replica) && (best == NULL || goes_before(in, replica, best)))
            best = replica;
    }
    return best;
}
