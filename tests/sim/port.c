/* What a sentinel's own port answers: PING, PUBLISH of a hello, IS-MASTER-DOWN-BY-ADDR. Replies on
 * a connection keep their order, so a vote that waits for the disk holds up what follows, but not
 * longer than LIMIT_VOTE_PATIENCE (design.md §4.13). */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void port_free_slots(struct world *w, struct conn *c)
{
    while (c->slots != NULL) {
        struct slot *t = c->slots;
        c->slots = t->next;
        msg_free(w, t->reply);
        free(t);
    }
    c->slots_tail = NULL;
}

static struct slot *slot_add(struct world *w, struct conn *c, uint32_t gid, struct msg *reply)
{
    struct slot *t = calloc(1, sizeof(*t));
    assert(t != NULL);
    t->id = ++c->next_slot & 0xFFFFFFFFU;
    t->since = w->now;
    t->gid = gid;
    t->reply = reply;
    if (c->slots_tail == NULL)
        c->slots = t;
    else
        c->slots_tail->next = t;
    c->slots_tail = t;
    return t;
}

static struct slot *slot_find(struct conn *c, uint64_t id)
{
    struct slot *t = c->slots;
    while (t != NULL && t->id != id)
        t = t->next;
    return t;
}

static void flush(struct world *w, struct sentinel *s, struct conn *c)
{
    while (c->slots != NULL && c->slots->ready && !c->server_gone) {
        struct slot *t = c->slots;
        c->slots = t->next;
        if (c->slots == NULL)
            c->slots_tail = NULL;
        if (t->reply->kind == MSG_ANSWER && runid_known(&t->reply->runid))
            check_vote_sent(w, s, t->gid, &t->reply->runid, t->reply->epoch);
        net_send(w, c, TO_CLIENT, t->reply);
        free(t);
    }
}

static struct sentinel *source_of(struct world *w, const struct conn *c)
{
    return &w->sentinels[c->client];
}

/* The group whose master is at the address: of two that share it the first (protocol.md §6). */
static uint32_t group_at(const struct world *w, const struct sentinel *s,
                         const struct address *addr)
{
    for (uint32_t gid = 0; gid < w->p.groups; gid++)
        if (s->groups[gid] != NULL && address_equal(&s->views[gid].master, addr))
            return gid;
    return SIM_GROUPS;
}

static void evidence(struct world *w, struct sentinel *s, struct shard *h, struct conn *c,
                     uint32_t gid, const struct msg *m)
{
    struct parcel *p = parcel_new(w, s, shard_of(s, gid), PARCEL_ASKED);
    p->gid = gid;
    p->runid = m->runid;
    p->addr = source_of(w, c)->addr;
    p->slot = c->client;
    parcel_lane(w, s, h->index, p);
}

static void asked(struct world *w, struct sentinel *s, struct shard *h, struct conn *c,
                  const struct msg *m)
{
    const uint32_t gid = group_at(w, s, &m->addr);
    struct msg *reply = msg_new(w, MSG_ANSWER);
    reply->gid = m->gid;
    if (gid < SIM_GROUPS) {
        reply->down = s->views[gid].s_down && !s->tilt;
        evidence(w, s, h, c, gid, m);
    }
    const bool self = runid_equal(&m->runid, &s->myid); /* over a link to an old address */
    if (gid == SIM_GROUPS || self || !runid_known(&m->runid)) {
        if (m->slot == UINT64_MAX)
            msg_free(w, reply);
        else
            slot_add(w, c, 0, reply)->ready = true;
        return;
    }
    struct parcel *p = parcel_new(w, s, SIM_SHARDS, PARCEL_BALLOT);
    p->u.ballot =
        (struct ballot){.kind = BALLOT_REQUEST, .gid = gid, .epoch = m->epoch, .runid = m->runid};
    if (m->slot == UINT64_MAX) { /* the copy of a duplicate: nobody waits for the answer */
        msg_free(w, reply);
    } else {
        struct slot *t = slot_add(w, c, gid, reply);
        p->u.ballot.u.reply_to.host[0] = c->index | t->id << 32;
        p->u.ballot.u.reply_to.host[1] = c->uid;
        struct parcel *patience = parcel_new(w, s, h->index, PARCEL_PATIENCE);
        patience->conn = c;
        c->refs++;
        patience->slot = t->id;
        event_push(w, w->now + LIMIT_VOTE_PATIENCE, EV_PARCEL, 0, 0, 0, patience);
    }
    parcel_lane(w, s, h->index, p);
}

static void hello(struct world *w, struct sentinel *s, struct shard *h, struct conn *c,
                  struct msg *m)
{
    unsigned gid = 0;
    if (sscanf(m->hello->hello.name, "m%u", &gid) == 1 && gid < w->p.groups) {
        struct parcel *p = parcel_new(w, s, shard_of(s, gid), PARCEL_HELLO);
        p->gid = gid;
        p->msg = msg_new(w, MSG_HELLO);
        p->msg->hello = m->hello;
        m->hello->refs++;
        parcel_lane(w, s, h->index, p);
    }
    if (m->slot != UINT64_MAX)
        slot_add(w, c, 0, msg_new(w, MSG_PUBLISHED))->ready = true;
}

void port_request(struct world *w, struct sentinel *s, struct shard *h, struct conn *c,
                  struct msg *m)
{
    struct msg *pong;
    switch (m->kind) {
    case MSG_PING:
        pong = msg_new(w, MSG_PONG);
        pong->ping = PING_PONG;
        slot_add(w, c, 0, pong)->ready = true;
        break;
    case MSG_MYID: {
        struct msg *id = msg_new(w, MSG_MYID_REPLY);
        id->runid = s->myid;
        slot_add(w, c, 0, id)->ready = true;
        break;
    }
    case MSG_HELLO:
        hello(w, s, h, c, m);
        break;
    case MSG_ASK:
        asked(w, s, h, c, m);
        break;
    default:
        assert(false && "a sentinel is not asked that");
    }
    flush(w, s, c);
}

void port_vote(struct world *w, struct sentinel *s, const struct vote_reply *v)
{
    struct conn *c = net_find(w, v->to.host[0] & UINT32_MAX, v->to.host[1]);
    if (c == NULL || c->server_gone)
        return;
    struct slot *t = slot_find(c, v->to.host[0] >> 32);
    if (t == NULL || t->ready)
        return; /* patience was out */
    t->reply->runid = v->leader;
    t->reply->epoch = v->epoch;
    t->ready = true;
    flush(w, s, c);
}

void port_patience(struct world *w, struct sentinel *s, struct conn *c, uint64_t slot)
{
    struct slot *t = slot_find(c, slot);
    if (t == NULL || t->ready || c->server_gone)
        return;
    trace(w, (int)s->index, "port: a vote for m%u is late, the earlier one goes", t->gid);
    if (s->groups[t->gid] != NULL) {
        t->reply->runid = s->views[t->gid].leader;
        t->reply->epoch = s->views[t->gid].leader_epoch;
    }
    t->ready = true;
    flush(w, s, c);
}
