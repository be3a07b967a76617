/* The disk of a sentinel: the state a restart replays (durable), and what is written but not yet
 * synced (tail). The daemon's journal and sentinel.conf together hold exactly this. */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void journal_append(struct journal *j, const struct entry *e)
{
    if (j->tail_count == j->tail_cap) {
        j->tail_cap = j->tail_cap == 0 ? 64 : j->tail_cap * 2;
        j->tail = realloc(j->tail, j->tail_cap * sizeof(*j->tail));
        assert(j->tail != NULL);
    }
    j->tail[j->tail_count++] = *e;
}

static void replica_add(struct saved_group *g, const struct address *addr)
{
    if (address_equal(&g->addr, addr))
        return;
    for (uint32_t i = 0; i < g->replica_count; i++)
        if (address_equal(&g->replicas[i], addr))
            return;
    if (g->replica_count < SIM_KNOWN)
        g->replicas[g->replica_count++] = *addr;
}

static void replica_drop(struct saved_group *g, const struct address *addr)
{
    for (uint32_t i = 0; i < g->replica_count; i++) {
        if (address_equal(&g->replicas[i], addr)) {
            g->replicas[i] = g->replicas[--g->replica_count];
            return;
        }
    }
}

static void sentinel_drop(struct saved_group *g, const struct runid *id)
{
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        if (runid_equal(&g->sentinels[i].runid, id)) {
            g->sentinels[i] = g->sentinels[--g->sentinel_count];
            return;
        }
    }
}

static void sentinel_put(struct saved_group *g, const struct runid *id, const struct address *addr)
{
    sentinel_drop(g, id);
    if (g->sentinel_count < SIM_KNOWN) {
        g->sentinels[g->sentinel_count].runid = *id;
        g->sentinels[g->sentinel_count++].addr = *addr;
    }
}

static void config_apply(struct saved_group *g, const struct record *r)
{
    g->config_epoch = r->epoch;
    if (!address_known(&r->addr) || address_equal(&g->addr, &r->addr))
        return;
    const struct address old = g->addr;
    replica_drop(g, &r->addr);
    g->addr = r->addr;
    replica_add(g, &old);
}

static void monitor_apply(struct saved_group *g, const struct entry *e)
{
    memset(g, 0, sizeof(*g));
    g->monitored = true;
    g->addr = e->record.addr;
    g->quorum = e->record.quorum;
    g->down_after = e->down_after;
}

static void apply(struct saved *d, const struct entry *e)
{
    const struct record *r = &e->record;
    struct saved_group *g = &d->groups[r->gid];
    switch (r->kind) {
    case RECORD_CURRENT_EPOCH:
        d->current_epoch = r->epoch;
        break;
    case RECORD_VOTE:
        g->has_vote = true;
        g->vote_epoch = r->epoch;
        g->voted = r->runid;
        break;
    case RECORD_CONFIG:
        config_apply(g, r);
        break;
    case RECORD_REPLICA:
        replica_add(g, &r->addr);
        break;
    case RECORD_NO_REPLICA:
        replica_drop(g, &r->addr);
        break;
    case RECORD_SENTINEL:
        sentinel_put(g, &r->runid, &r->addr);
        break;
    case RECORD_NO_SENTINEL:
        sentinel_drop(g, &r->runid);
        break;
    case RECORD_RESET:
        g->replica_count = g->sentinel_count = 0;
        break;
    case RECORD_MONITOR:
        monitor_apply(g, e);
        break;
    case RECORD_REMOVE:
        memset(g, 0, sizeof(*g));
        break;
    case RECORD_TEXT: /* SET */
        if (r->quorum != 0)
            g->quorum = r->quorum;
        if (e->down_after != 0)
            g->down_after = e->down_after;
        break;
    }
}

void journal_settle(struct world *w, struct sentinel *s, uint32_t n)
{
    struct journal *j = &s->journal;
    assert(n <= j->tail_count);
    for (uint32_t i = 0; i < n; i++) {
        check_durable(w, s, &j->tail[i]);
        apply(&j->durable, &j->tail[i]);
    }
    j->tail_count -= n;
    if (j->tail_count > 0)
        memmove(j->tail, j->tail + n, j->tail_count * sizeof(*j->tail));
    j->tail_synced = 0;
}

void journal_crash(struct world *w, struct sentinel *s)
{
    struct journal *j = &s->journal;
    const uint32_t kept = (uint32_t)draw(w, j->tail_count + 1);
    if (j->tail_count > 0)
        trace(w, (int)s->index, "crash: %u of %u unsynced records survive", kept, j->tail_count);
    journal_settle(w, s, kept);
    j->tail_count = 0;
    j->failed = false;
}

void journal_free(struct journal *j)
{
    free(j->tail);
}
