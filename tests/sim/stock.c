/* Elector of a stock-like voter (protocol.md §6): one global current epoch, requests below it are
 * refused, one vote per master and epoch, whom it voted for is forgotten at restart. It starts no
 * attempt of its own. Its shards judge liveness by the rules of the others, which are stock's. */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct stock {
    uint64_t current_epoch;
    struct {
        bool exists;
        uint64_t leader_epoch, config_epoch;
        struct runid leader;
        ms_t wish_ends; /* a wish is answered with a loss then, 0: none */
    } groups[SIM_GROUPS];
    uint32_t wishes;
};

struct stock *stock_new(const struct saved *saved)
{
    struct stock *k = calloc(1, sizeof(*k));
    assert(k != NULL);
    k->current_epoch = saved->current_epoch;
    for (uint32_t g = 0; g < SIM_GROUPS; g++) {
        k->groups[g].leader_epoch = saved->groups[g].vote_epoch;
        k->groups[g].config_epoch = saved->groups[g].config_epoch;
    }
    return k;
}

void stock_free(struct stock *k)
{
    free(k);
}

uint64_t stock_current_epoch(const struct stock *k)
{
    return k->current_epoch;
}

/* The arrays of an update belong to the rules; this host appends to them by the same layout. */
static void add_record(struct election_update *up, const struct record *r)
{
    if (up->record_count == up->record_cap) {
        up->record_cap = up->record_cap == 0 ? 8 : up->record_cap * 2;
        up->records = realloc(up->records, up->record_cap * sizeof(*r));
        assert(up->records != NULL);
    }
    up->records[up->record_count++] = *r;
}

static void add_outcome(struct election_update *up, const struct outcome *o)
{
    if (up->outcome_count == up->outcome_cap) {
        up->outcome_cap = up->outcome_cap == 0 ? 8 : up->outcome_cap * 2;
        up->outcomes = realloc(up->outcomes, up->outcome_cap * sizeof(*o));
        assert(up->outcomes != NULL);
    }
    up->outcomes[up->outcome_count++] = *o;
}

static void add_reply(struct election_update *up, const struct vote_reply *v)
{
    if (up->reply_count == up->reply_cap) {
        up->reply_cap = up->reply_cap == 0 ? 8 : up->reply_cap * 2;
        up->replies = realloc(up->replies, up->reply_cap * sizeof(*v));
        assert(up->replies != NULL);
    }
    up->replies[up->reply_count++] = *v;
}

static void adopt_epoch(struct stock *k, uint32_t gid, uint64_t epoch, struct election_update *up)
{
    if (epoch <= k->current_epoch)
        return;
    k->current_epoch = epoch;
    const struct record r = {.kind = RECORD_CURRENT_EPOCH, .epoch = epoch};
    add_record(up, &r);
    const struct outcome o = {.kind = OUTCOME_NEW_EPOCH, .gid = gid, .epoch = epoch};
    add_outcome(up, &o);
}

static void request(struct stock *k, const struct ballot *b, struct election_update *up)
{
    const uint32_t gid = b->gid;
    adopt_epoch(k, gid, b->epoch, up);
    if (k->groups[gid].leader_epoch < b->epoch && k->current_epoch <= b->epoch) {
        k->groups[gid].leader_epoch = b->epoch;
        k->groups[gid].leader = b->runid;
        const struct record r = {
            .kind = RECORD_VOTE, .gid = gid, .epoch = b->epoch, .runid = b->runid};
        add_record(up, &r);
        const struct outcome o = {
            .kind = OUTCOME_VOTED, .gid = gid, .epoch = b->epoch, .leader = b->runid};
        add_outcome(up, &o);
    }
    const struct vote_reply v = {.to = b->u.reply_to,
                                 .gid = gid,
                                 .leader = k->groups[gid].leader,
                                 .epoch = k->groups[gid].leader_epoch};
    add_reply(up, &v);
}

void stock_ballot(struct world *w, struct sentinel *s, const struct ballot *b,
                  struct election_update *up)
{
    struct stock *k = s->elector.stock;
    const uint32_t gid = b->gid;
    struct record r = {.gid = gid, .epoch = b->epoch};
    struct outcome o = {.gid = gid, .epoch = b->epoch};
    switch (b->kind) {
    case BALLOT_ADD:
        k->groups[gid].exists = true;
        break;
    case BALLOT_REMOVE:
    case BALLOT_CANCEL:
        k->wishes -= k->groups[gid].wish_ends != 0;
        k->groups[gid].wish_ends = 0;
        if (b->kind == BALLOT_REMOVE)
            k->groups[gid].exists = false;
        break;
    case BALLOT_WANT:
        k->wishes += k->groups[gid].wish_ends == 0;
        k->groups[gid].wish_ends = w->now + 1000;
        break;
    case BALLOT_REQUEST:
        request(k, b, up);
        break;
    case BALLOT_EPOCH:
        adopt_epoch(k, gid, b->epoch, up);
        break;
    case BALLOT_CONFIG:
        r.kind = RECORD_CONFIG;
        r.addr = b->u.addr;
        add_record(up, &r);
        o.kind = OUTCOME_CONFIG;
        o.addr = b->u.addr;
        add_outcome(up, &o);
        break;
    case BALLOT_SET:
    case BALLOT_MEMBER_ADD:
    case BALLOT_MEMBER_DROP:
    case BALLOT_MEMBER_DOWN:
    case BALLOT_MEMBER_UP:
    case BALLOT_END:
    case BALLOT_ANSWER:
    case BALLOT_FRESH: /* stock lets a quarrel be */
        break;
    }
}

void stock_pass(struct world *w, struct sentinel *s, struct election_update *up)
{
    struct stock *k = s->elector.stock;
    for (uint32_t gid = 0; k->wishes > 0 && gid < w->p.groups; gid++) {
        if (k->groups[gid].wish_ends == 0 || k->groups[gid].wish_ends > w->now)
            continue;
        k->groups[gid].wish_ends = 0;
        k->wishes--;
        const struct outcome o = {.kind = OUTCOME_LOST, .gid = gid, .reason = LOST_TIMEOUT};
        add_outcome(up, &o);
    }
}

ms_t stock_next_deadline(const struct stock *k)
{
    ms_t at = MS_NEVER;
    for (uint32_t gid = 0; k->wishes > 0 && gid < SIM_GROUPS; gid++)
        if (k->groups[gid].wish_ends != 0 && k->groups[gid].wish_ends < at)
            at = k->groups[gid].wish_ends;
    return at;
}
