/* The one link of a process to each other sentinel, shared by all groups, owned by one shard. */
#include "sim.h"

#include <assert.h>
#include <string.h>

struct peer *peer_find(struct sentinel *s, const struct runid *id)
{
    for (unsigned i = 0; i < SIM_PEERS; i++)
        if (s->peers[i].used && runid_equal(&s->peers[i].runid, id))
            return &s->peers[i];
    return NULL;
}

static void tell_groups(struct world *w, struct sentinel *s, struct peer *q)
{
    q->told_pending = q->live.ping_pending != 0;
    for (uint32_t i = 0; i < s->shard_count; i++) {
        struct parcel *p = parcel_new(w, s, i, PARCEL_PEER);
        p->runid = q->runid;
        p->u.live = q->live;
        parcel_lane(w, s, q->shard, p);
    }
}

static void peer_open(struct world *w, struct sentinel *s, struct peer *q)
{
    struct sentinel *to = sentinel_at(w, &q->addr);
    if (to == NULL || q->conn != NULL)
        return;
    q->live.cmd_opening = true;
    q->live.cmd_tried = w->now;
    q->conn = net_open(w, s, q->shard, to->index, LINK_CMD);
    q->conn->peer = q;
}

static void peer_close(struct world *w, struct peer *q)
{
    if (q->conn != NULL)
        net_close(w, q->conn);
    q->conn = NULL;
    q->live.cmd_up = q->live.cmd_opening = false;
}

void peer_join(struct world *w, struct sentinel *s, struct shard *h, const struct parcel *p)
{
    struct peer *q = peer_find(s, &p->runid);
    if (q == NULL) {
        for (unsigned i = 0; i < SIM_PEERS && q == NULL; i++)
            if (!s->peers[i].used)
                q = &s->peers[i];
        assert(q != NULL);
        *q = (struct peer){.used = true,
                           .runid = p->runid,
                           .addr = p->addr,
                           .shard = h->index,
                           .live = {.reply_ok = w->now,
                                    .reply_any = w->now,
                                    .link_activity = w->now,
                                    .pubsub_activity = w->now}};
    }
    assert(q->shard == h->index);
    if (!q->member[p->gid]) {
        q->member[p->gid] = true;
        q->member_count++;
    }
    if (!address_equal(&q->addr, &p->addr)) {
        peer_close(w, q);
        q->addr = p->addr;
    }
    peer_open(w, s, q);
    struct parcel *news = parcel_new(w, s, shard_of(s, p->gid), PARCEL_PEER);
    news->runid = q->runid;
    news->u.live = q->live;
    q->told_pending |= q->live.ping_pending != 0; /* so the answer must be told, too */
    parcel_lane(w, s, q->shard, news);
}

void peer_leave(struct world *w, struct sentinel *s, struct shard *h, const struct parcel *p)
{
    struct peer *q = peer_find(s, &p->runid);
    if (q == NULL || !q->member[p->gid])
        return;
    q->member[p->gid] = false;
    if (--q->member_count > 0)
        return;
    peer_close(w, q);
    q->used = false;
}

void peer_send(struct world *w, struct sentinel *s, struct parcel *p)
{
    struct peer *q = peer_find(s, &p->runid);
    if (q == NULL || q->conn == NULL || !q->live.cmd_up)
        return;
    struct msg *m = p->msg;
    p->msg = NULL;
    net_send(w, q->conn, TO_SERVER, m);
}

void peer_up(struct world *w, struct sentinel *s, struct conn *c)
{
    struct peer *q = c->peer;
    q->live.cmd_up = true;
    q->live.cmd_opening = false;
    q->live.cmd_since = w->now;
    q->live.link_activity = w->now;
    q->next_ping = w->now;
    net_send(w, c, TO_SERVER, msg_new(w, MSG_MYID));
    tell_groups(w, s, q);
}

void peer_down(struct world *w, struct sentinel *s, struct conn *c)
{
    struct peer *q = c->peer;
    c->client_gone = true;
    c->peer = NULL;
    q->conn = NULL;
    q->live.cmd_up = q->live.cmd_opening = false;
    tell_groups(w, s, q);
}

void peer_reply(struct world *w, struct sentinel *s, struct conn *c, struct msg *m)
{
    struct peer *q = c->peer;
    q->live.link_activity = w->now;
    if (m->kind == MSG_PONG) {
        liveness_pong(&q->live, m->ping, w->now);
        if (q->told_pending)
            tell_groups(w, s, q);
    } else if (m->kind == MSG_MYID_REPLY) {
        /* Addresses change hands. Who lives there now must not answer in this peer's name: one
         * process could give two votes, or we one to ourselves. */
        if (!runid_equal(&m->runid, &q->runid)) {
            trace(w, (int)s->index, "peer %.6s: %.6s answers there", q->runid.hex, m->runid.hex);
            peer_close(w, q);
            q->live.cmd_tried = w->now;
            tell_groups(w, s, q);
        }
    } else if (m->kind == MSG_ANSWER) {
        struct parcel *p = parcel_new(w, s, shard_of(s, m->gid), PARCEL_ANSWER);
        p->gid = m->gid;
        p->runid = q->runid;
        p->msg = msg_new(w, MSG_ANSWER);
        p->msg->down = m->down;
        p->msg->runid = m->runid;
        p->msg->epoch = m->epoch;
        check_answered(s, m->gid, &q->runid, c->server);
        parcel_lane(w, s, q->shard, p);
    } else {
        assert(m->kind == MSG_PUBLISHED);
    }
}

static ms_t ping_period(const struct world *w)
{
    return w->p.down_after < w->p.periods.ping ? w->p.down_after : w->p.periods.ping;
}

/* An unanswered PING is told to the groups when it is this old: sooner than any of them judges. */
static ms_t tell_after(const struct world *w)
{
    return w->p.down_after / 4;
}

void peer_tick(struct world *w, struct sentinel *s, struct shard *h)
{
    for (unsigned i = 0; i < SIM_PEERS; i++) {
        struct peer *q = &s->peers[i];
        if (!q->used || q->shard != h->index)
            continue;
        if (liveness_cmd_stale(&q->live, &w->p.periods, w->p.down_after, w->now)) {
            peer_close(w, q);
            tell_groups(w, s, q);
        }
        if (q->conn == NULL && w->now - q->live.cmd_tried >= ping_period(w))
            peer_open(w, s, q);
        if (q->live.cmd_up && w->now >= q->next_ping) {
            q->next_ping = w->now + ping_period(w);
            q->live.ping_sent = w->now;
            if (q->live.ping_pending == 0)
                q->live.ping_pending = w->now;
            net_send(w, q->conn, TO_SERVER, msg_new(w, MSG_PING));
        }
        if (q->live.ping_pending != 0 && !q->told_pending &&
            w->now - q->live.ping_pending >= tell_after(w)) {
            tell_groups(w, s, q);
        }
    }
}

ms_t peer_deadline(const struct world *w, const struct sentinel *s, const struct shard *h)
{
    ms_t at = MS_NEVER;
    for (unsigned i = 0; i < SIM_PEERS; i++) {
        const struct peer *q = &s->peers[i];
        if (!q->used || q->shard != h->index)
            continue;
        const ms_t due = q->live.cmd_up ? q->next_ping : q->live.cmd_tried + ping_period(w);
        if (due > w->now && due < at)
            at = due;
        if (q->live.ping_pending != 0 && !q->told_pending &&
            q->live.ping_pending + tell_after(w) < at)
            at = q->live.ping_pending + tell_after(w);
    }
    return at;
}
