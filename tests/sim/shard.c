/* Host of a shard (design.md §3): a turn tests its gap, refreshes what the groups share, dispatches
 * its inbox, ticks what is due, and says when it must run again. Also the lanes. */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GOSSIP_BOUND 300 /* hellos beyond this many waiting parcels are dropped and counted */

uint32_t shard_of(const struct sentinel *s, uint32_t gid)
{
    return (uint32_t)((gid * 2654435761U) >> 16) % s->shard_count;
}

/* --- lanes --------------------------------------------------------------------------------------
 */
struct parcel *parcel_new(struct world *w, struct sentinel *s, uint32_t target,
                          enum parcel_kind kind)
{
    struct parcel *p = w->parcel_pool;
    if (p != NULL)
        w->parcel_pool = p->next;
    else
        p = malloc(sizeof(*p));
    assert(p != NULL);
    memset(p, 0, sizeof(*p));
    p->kind = kind;
    p->sentinel = s->index;
    p->target = target;
    p->incarnation = s->incarnation;
    return p;
}

void parcel_free(struct world *w, struct parcel *p)
{
    if (p->conn != NULL)
        net_unref(w, p->conn);
    msg_free(w, p->msg);
    p->next = w->parcel_pool;
    w->parcel_pool = p;
}

struct parcel *inbox_take(struct inbox *in)
{
    struct parcel *p = in->head;
    if (p == NULL)
        return NULL;
    in->head = p->next;
    if (in->head == NULL)
        in->tail = NULL;
    in->count--;
    p->next = NULL;
    return p;
}

void parcel_lane(struct world *w, struct sentinel *s, uint32_t from, struct parcel *p)
{
    ms_t *last = from == SIM_SHARDS ? &s->elector.lane_last[p->target]
                                    : &s->shards[from].lane_last[p->target];
    ms_t at = w->now + draw_between(w, 0, w->p.lane_max);
    if (at < *last)
        at = *last; /* first in, first out */
    *last = at;
    event_push(w, at, EV_PARCEL, 0, 0, 0, p);
}

void parcel_arrive(struct world *w, struct parcel *p)
{
    struct sentinel *s = &w->sentinels[p->sentinel];
    if (!s->alive || p->incarnation != s->incarnation) {
        parcel_free(w, p);
        return;
    }
    w->count.parcels++;
    struct inbox *in = p->target == SIM_SHARDS ? &s->elector.inbox : &s->shards[p->target].inbox;
    if (p->kind == PARCEL_HELLO && in->count > GOSSIP_BOUND) {
        w->count.gossip_dropped++;
        parcel_free(w, p);
        return;
    }
    p->next = NULL;
    if (in->tail == NULL)
        in->head = p;
    else
        in->tail->next = p;
    in->tail = p;
    in->count++;
    if (p->target == SIM_SHARDS)
        elector_wake(w, s, w->now);
    else
        shard_wake(w, s, &s->shards[p->target], w->now + draw_between(w, 0, TURN_CALM));
}

/* --- turns ---------------------------------------------------------------------------------------
 */
void shard_wake(struct world *w, struct sentinel *s, struct shard *h, ms_t at)
{
    if (at < w->now)
        at = w->now;
    if (at < h->frozen_until)
        at = h->frozen_until;
    if (at >= h->wake)
        return;
    h->wake = at;
    event_push(w, at, EV_TURN, s->index, h->index, ++h->stamp, NULL);
}

static void group_of(struct sentinel *s, uint32_t gid, const struct runid *id, struct group **g,
                     struct instance **inst)
{
    *g = s->groups[gid];
    *inst = *g == NULL ? NULL : group_find_sentinel(*g, id);
}

static void on_hello(struct world *w, struct sentinel *s, struct group *g,
                     const struct hello *hello)
{
    /* Who else announces our own address is a former life of this process, from before its disk
     * was lost: a link to it would lead to ourselves, and our own vote would count twice. */
    if (address_equal(&hello->sentinel, &s->addr) && !runid_equal(&hello->runid, &s->myid))
        return;
    struct group_event ev = {.kind = GROUP_HELLO, .now = w->now, .hello = hello};
    shard_step(w, s, g, &ev);
}

static void on_server_message(struct world *w, struct sentinel *s, struct conn *c, struct msg *m)
{
    struct group *g = s->groups[c->gid];
    struct group_event ev = {.now = w->now, .inst = c->inst, .link = c->link};
    assert(g != NULL && c->inst != NULL);
    switch (m->kind) {
    case MSG_PONG:
        ev.kind = GROUP_PONG;
        ev.ping = m->ping;
        break;
    case MSG_PUBLISHED:
        ev.kind = GROUP_REPLY;
        break;
    case MSG_EXEC:
        ev.kind = GROUP_EXEC;
        ev.ok = m->ok;
        break;
    case MSG_HANDOVER_TAKEN:
        ev.kind = GROUP_HANDOVER;
        ev.ok = m->ok;
        break;
    case MSG_INFO_REPLY: {
        struct info *info = w->scratch_info;
        info->runid = m->info->runid;
        info->role = m->info->role;
        info->master = m->info->master;
        memcpy(info->master_host, m->info->master.ip, sizeof(m->info->master.ip));
        info->master_link_up = m->info->link_up;
        info->master_link_down = m->info->link_down;
        info->repl_offset = m->info->offset;
        info->priority = m->info->priority;
        info->announced = true;
        info->failover_known = true;
        info->failing_over = m->info->failing_over;
        info->replica_count = m->info->replica_count;
        memcpy(info->replicas, m->info->replicas, sizeof(m->info->replicas));
        ev.kind = GROUP_INFO;
        ev.info = info;
        break;
    }
    case MSG_HELLO:
        ev.kind = GROUP_PUBSUB;
        shard_step(w, s, g, &ev);
        on_hello(w, s, g, &m->hello->hello);
        return;
    default:
        assert(false && "a server does not send that");
    }
    shard_step(w, s, g, &ev);
}

static void on_conn(struct world *w, struct sentinel *s, struct conn *c, bool up)
{
    if (c->client_gone)
        return;
    if (c->peer != NULL) {
        if (up)
            peer_up(w, s, c);
        else
            peer_down(w, s, c);
        return;
    }
    struct instance *inst = c->inst;
    struct conn **links = inst->host;
    assert(links != NULL && links[c->link] == c);
    if (!up) {
        links[c->link] = NULL;
        c->client_gone = true;
        c->inst = NULL;
    }
    struct group_event ev = {
        .kind = up ? GROUP_LINK_UP : GROUP_LINK_DOWN, .now = w->now, .inst = inst, .link = c->link};
    shard_step(w, s, s->groups[c->gid], &ev);
}

static void on_peer_news(struct world *w, struct sentinel *s, struct shard *h,
                         const struct parcel *p)
{
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        struct group *g;
        struct instance *inst;
        group_of(s, gid, &p->runid, &g, &inst);
        if (g == NULL || shard_of(s, gid) != h->index)
            continue;
        struct group_event ev = {.now = w->now, .runid = p->runid, .addr = p->addr};
        if (p->kind == PARCEL_PEER && inst != NULL) {
            ev.kind = GROUP_PEER;
            ev.inst = inst;
            ev.live = &p->u.live;
        } else if (p->kind == PARCEL_MOVED && gid != p->gid && inst != NULL) {
            ev.kind = GROUP_SENTINEL_MOVED;
        } else if (p->kind == PARCEL_INVALID && gid != p->gid) {
            ev.kind = GROUP_SENTINEL_INVALID;
        } else {
            continue;
        }
        shard_step(w, s, g, &ev);
    }
}

static void on_answer(struct world *w, struct sentinel *s, const struct parcel *p)
{
    struct group *g;
    struct instance *inst;
    group_of(s, p->gid, &p->runid, &g, &inst);
    if (inst == NULL)
        return;
    struct group_event ev = {.kind = GROUP_ANSWER,
                             .now = w->now,
                             .inst = inst,
                             .down = p->msg->down,
                             .runid = p->msg->runid,
                             .epoch = p->msg->epoch};
    shard_step(w, s, g, &ev);
}

/* Who asks: the request's runid, or a sentinel known at the source whose name fits (design.md
 * §4.7). */
static void on_asked(struct world *w, struct sentinel *s, const struct parcel *p)
{
    struct group *g = s->groups[p->gid];
    if (g == NULL)
        return;
    struct instance *inst = NULL;
    if (runid_known(&p->runid)) {
        inst = group_find_sentinel(g, &p->runid);
    } else {
        struct instance *at = group_find_sentinel_at(g, &p->addr);
        const struct runid *real = &w->sentinels[p->slot].myid; /* its CLIENT SETNAME */
        if (at != NULL && memcmp(at->runid.hex, real->hex, 8) == 0)
            inst = at;
    }
    struct group_event ev = {.kind = GROUP_ASKED, .now = w->now, .inst = inst};
    shard_step(w, s, g, &ev);
}

static void on_message(struct world *w, struct sentinel *s, struct shard *h, struct parcel *p)
{
    struct conn *c = p->conn;
    struct msg *m = p->msg;
    if (p->way == TO_SERVER) {
        if (!c->server_gone)
            port_request(w, s, h, c, m);
        return;
    }
    if (c->client_gone)
        return;
    if (c->peer != NULL)
        peer_reply(w, s, c, m);
    else
        on_server_message(w, s, c, m);
}

static void dispatch(struct world *w, struct sentinel *s, struct shard *h, struct parcel *p)
{
    struct group *g = s->groups[p->gid];
    switch (p->kind) {
    case PARCEL_CONN_UP:
    case PARCEL_CONN_DOWN:
        on_conn(w, s, p->conn, p->kind == PARCEL_CONN_UP);
        break;
    case PARCEL_MSG:
        on_message(w, s, h, p);
        break;
    case PARCEL_HELLO:
        if (g != NULL)
            on_hello(w, s, g, &p->msg->hello->hello);
        break;
    case PARCEL_ASKED:
        on_asked(w, s, p);
        break;
    case PARCEL_ANSWER:
        on_answer(w, s, p);
        break;
    case PARCEL_PEER:
    case PARCEL_MOVED:
    case PARCEL_INVALID:
        on_peer_news(w, s, h, p);
        break;
    case PARCEL_PEER_JOIN:
        peer_join(w, s, h, p);
        break;
    case PARCEL_PEER_LEAVE:
        peer_leave(w, s, h, p);
        break;
    case PARCEL_PEER_SEND:
        peer_send(w, s, p);
        break;
    case PARCEL_PATIENCE:
        port_patience(w, s, p->conn, p->slot);
        break;
    case PARCEL_OUTCOME:
        if (g != NULL) {
            struct group_event ev = {
                .kind = GROUP_OUTCOME, .now = w->now, .outcome = &p->u.outcome};
            shard_step(w, s, g, &ev);
        }
        break;
    case PARCEL_VOTE:
        port_vote(w, s, &p->u.vote);
        break;
    case PARCEL_COMMAND:
        shard_command(w, s, h, p);
        break;
    case PARCEL_BALLOT:
    case PARCEL_RECORD:
        assert(false && "these are the elector's");
    }
}

static void turn_env(struct world *w, struct sentinel *s, struct shard *h)
{
    const ms_t gap = w->now - h->last_turn;
    if (gap > s->shards[0].env.periods.tilt_trigger)
        sentinel_tilt(w, s);
    if (s->tilt && w->now >= s->tilt_until) {
        s->tilt = false;
        trace(w, (int)s->index, "-tilt");
    }
    h->env.tilt = s->tilt;
    h->env.after_gap = gap > h->env.periods.ask;
    h->env.current_epoch = s->published_epoch;
    h->last_turn = w->now;
}

void shard_turn(struct world *w, struct sentinel *s, struct shard *h)
{
    const uint64_t incarnation = s->incarnation;
    h->wake = MS_NEVER;
    turn_env(w, s, h);
    struct parcel *p;
    for (unsigned n = 0; n < SIM_BATCH && (p = inbox_take(&h->inbox)) != NULL; n++) {
        dispatch(w, s, h, p);
        parcel_free(w, p);
        assert(s->incarnation == incarnation && s->alive);
    }
    peer_tick(w, s, h);
    ms_t next = peer_deadline(w, s, h);
    for (uint32_t gid = 0; gid < w->p.groups; gid++) {
        struct group *g = s->groups[gid];
        if (g == NULL || shard_of(s, gid) != h->index)
            continue;
        if (group_next_deadline(g) <= w->now) {
            struct group_event ev = {.kind = GROUP_TICK, .now = w->now};
            shard_step(w, s, g, &ev);
        }
        const ms_t due = group_next_deadline(g);
        if (due < next)
            next = due;
    }
    if (next > w->now + SIM_TURN_MAX)
        next = w->now + SIM_TURN_MAX;
    if (h->inbox.head != NULL)
        next = w->now + 1;
    if (next <= w->now)
        next = w->now + 1;
    if (w->p.groups > 20 && next < w->now + TURN_CALM && h->inbox.head == NULL)
        next = w->now + TURN_CALM; /* a turn gathers; it may be late by that much */
    shard_wake(w, s, h, next);
}

void shard_step(struct world *w, struct sentinel *s, struct group *g, struct group_event *ev)
{
    assert(g != NULL);
    struct update *up = &s->shards[shard_of(s, g->gid)].update;
    update_clear(up);
    group_step(g, ev, up);
    shard_apply(w, s, g, up);
}
