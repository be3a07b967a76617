/* Simulated Redis servers: what a sentinel sees of them. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void new_runid(struct world *w, struct runid *id)
{
    for (unsigned i = 0; i < LIMIT_RUNID; i++)
        id->hex[i] = "0123456789abcdef"[draw(w, 16)];
    id->hex[LIMIT_RUNID] = '\0';
}

void server_init(struct world *w, uint32_t index, uint32_t gid, bool is_master, uint32_t master)
{
    static const uint32_t priorities[] = {100, 100, 100, 100, 100, 100, 50, 10};
    struct server *v = &w->servers[index];
    char ip[32];
    memset(v, 0, sizeof(*v));
    v->index = index;
    v->gid = gid;
    const int len = snprintf(ip, sizeof(ip), "10.1.%u.%u", index / 256, index % 256);
    const bool ok = address_set(&v->addr, ip, (size_t)len, 6379);
    assert(ok);
    (void)ok;
    new_runid(w, &v->runid);
    v->alive = true;
    v->is_master = v->saved_is_master = is_master;
    v->master = v->saved_master = master;
    v->link_up = !is_master;
    v->offset = 1000;
    v->priority = priorities[draw(w, 8)];
}

struct server *server_at(struct world *w, const struct address *addr)
{
    unsigned high = 0, low = 0;
    if (addr->port != 6379 || sscanf(addr->ip, "10.1.%u.%u", &high, &low) != 2)
        return NULL;
    const uint32_t index = high * 256 + low;
    return index < w->server_count ? &w->servers[index] : NULL;
}

void server_kill(struct world *w, struct server *v, bool reset)
{
    if (!v->alive)
        return;
    trace(w, -1, "server %u (m%u) dies%s", v->index, v->gid, reset ? "" : " without a word");
    v->alive = false;
    v->hung = false;
    net_node_gone(w, SIM_SENTINELS + v->index, reset);
}

void server_start(struct world *w, struct server *v)
{
    if (v->alive)
        return;
    trace(w, -1, "server %u (m%u) starts", v->index, v->gid);
    new_runid(w, &v->runid);
    v->alive = true;
    v->boots++;
    v->is_master = v->saved_is_master;
    v->master = v->saved_master;
    v->link_up = false;
    v->link_down_since = w->now;
    v->link_next = w->now;
    v->handing = v->handed = false;
    v->loading_until = w->now + draw_between(w, 0, 1500);
}

bool server_slaveof(struct world *w, struct server *v, const struct address *addr)
{
    if (v->handing)
        return false;
    struct server *to = addr->port == 0 ? NULL : server_at(w, addr);
    trace(w, -1, "server %u (m%u) becomes %s %d", v->index, v->gid,
          to == NULL ? "master" : "replica of", to == NULL ? -1 : (int)to->index);
    if (to == NULL) {
        v->is_master = true;
    } else if (v->is_master || v->master != to->index) {
        v->is_master = false;
        v->master = to->index;
        v->link_up = false;
        v->link_down_since = w->now;
        v->link_next = w->now + draw_between(w, 0, 500);
    }
    v->saved_is_master = v->is_master;
    v->saved_master = v->master;
    return true;
}

/* --- FAILOVER ------------------------------------------------------------------------------------
 */
static void follow(struct world *w, struct server *v, uint32_t master)
{
    v->is_master = false;
    v->master = master;
    v->link_up = false;
    v->link_down_since = w->now;
    v->link_next = w->now;
}

static bool server_handover(struct world *w, struct server *v, const struct address *addr,
                            ms_t time)
{
    const struct server *to = server_at(w, addr);
    if (!v->is_master || v->handing || to == NULL || !to->alive || to->is_master ||
        to->master != v->index || !to->link_up)
        return false;
    trace(w, -1, "server %u (m%u) hands over to %u", v->index, v->gid, to->index);
    v->handing = true;
    v->handed = false;
    v->handing_to = to->index;
    v->handing_until = w->now + time;
    return true;
}

void server_handover_abort(struct world *w, struct server *v)
{
    if (!v->handing)
        return;
    trace(w, -1, "server %u (m%u) hands over no more", v->index, v->gid);
    v->handing = false;
    v->is_master = v->is_master || v->handed;
}

static bool reaches(struct world *w, const struct server *a, const struct server *b)
{
    return b->alive && !b->hung && b->loading_until <= w->now &&
           !net_blocked(w, SIM_SENTINELS + a->index, SIM_SENTINELS + b->index) &&
           !net_blocked(w, SIM_SENTINELS + b->index, SIM_SENTINELS + a->index);
}

/* First it waits for the replica, then it is one itself, until the other has agreed to be master:
 * for that there is no time limit. */
static void hand_over(struct world *w, struct server *v)
{
    struct server *to = &w->servers[v->handing_to];
    const bool here = reaches(w, v, to);
    if (!v->handed) {
        if (here && !to->is_master && to->master == v->index && to->link_up) {
            to->offset = v->offset;
            v->handed = true;
            follow(w, v, to->index);
        } else if (w->now >= v->handing_until) {
            server_handover_abort(w, v);
        }
        return;
    }
    if (!here)
        return;
    if (to->is_master || to->master != v->index) { /* it has another master, or is one: no */
        server_handover_abort(w, v);
        return;
    }
    trace(w, -1, "server %u (m%u) is master in place of %u", to->index, v->gid, v->index);
    to->is_master = true;
    v->handing = false;
}

/* --- replication -------------------------------------------------------------------------------
 */
static bool link_possible(struct world *w, const struct server *v)
{
    const struct server *m = &w->servers[v->master];
    const uint32_t a = SIM_SENTINELS + v->index, b = SIM_SENTINELS + m->index;
    if (v == m || !m->alive || m->hung || m->loading_until > w->now)
        return false;
    if (net_blocked(w, a, b) || net_blocked(w, b, a))
        return false;
    return m->is_master || m->link_up; /* a chain works while its upper end does */
}

void server_replicate(struct world *w)
{
    for (uint32_t i = 0; i < w->server_count; i++) {
        struct server *v = &w->servers[i];
        if (v->alive && !v->hung && v->handing)
            hand_over(w, v);
        if (!v->alive || v->hung || v->is_master)
            continue;
        const bool possible = link_possible(w, v);
        if (v->link_up && !possible) {
            v->link_up = false;
            v->link_down_since = w->now;
            v->link_next = w->now + 1000;
        } else if (!v->link_up && possible && w->now >= v->link_next &&
                   w->now >= v->loading_until) {
            v->link_up = true;
        }
        if (v->link_up)
            v->offset = w->servers[v->master].offset;
    }
    for (uint32_t i = 0; i < w->server_count; i++)
        if (w->servers[i].alive && w->servers[i].is_master)
            w->servers[i].offset += 10;
}

/* --- clients ------------------------------------------------------------------------------------
 */
void server_subscribe(struct server *v, struct conn *c)
{
    if (v->subscriber_count == SIM_SUBSCRIBERS) { /* those whose client is gone go first */
        uint32_t kept = 0;
        for (uint32_t i = 0; i < v->subscriber_count; i++)
            if (!v->subscribers[i]->client_gone && !v->subscribers[i]->server_gone)
                v->subscribers[kept++] = v->subscribers[i];
        v->subscriber_count = kept;
    }
    assert(v->subscriber_count < SIM_SUBSCRIBERS);
    v->subscribers[v->subscriber_count++] = c;
}

void server_unsubscribe(struct server *v, const struct conn *c)
{
    for (uint32_t i = 0; i < v->subscriber_count; i++) {
        if (v->subscribers[i] == c) {
            v->subscribers[i] = v->subscribers[--v->subscriber_count];
            return;
        }
    }
}

static void push_hello(struct world *w, struct server *v, struct hello_box *box)
{
    for (uint32_t i = 0; i < v->subscriber_count; i++) {
        struct conn *c = v->subscribers[i];
        if (c->server_gone || c->client_gone || !c->up)
            continue;
        struct msg *m = msg_new(w, MSG_HELLO);
        m->hello = box;
        box->refs++;
        net_send(w, c, TO_CLIENT, m);
    }
}

/* PUBLISH reaches the subscribers here and, through replication, those at the replicas. */
static void publish(struct world *w, struct server *v, struct hello_box *box)
{
    push_hello(w, v, box);
    for (uint32_t i = v->gid * SIM_SERVERS_A_GROUP; i < (v->gid + 1) * SIM_SERVERS_A_GROUP; i++) {
        struct server *r = &w->servers[i];
        if (r != v && r->alive && !r->hung && !r->is_master && r->link_up && r->master == v->index)
            push_hello(w, r, box);
    }
}

static struct info_box *info_make(struct world *w, const struct server *v)
{
    struct info_box *b = calloc(1, sizeof(*b));
    assert(b != NULL);
    b->runid = v->runid;
    b->role = v->is_master ? ROLE_MASTER : ROLE_REPLICA;
    b->priority = v->priority;
    b->offset = v->offset;
    b->failing_over = v->handing;
    if (!v->is_master) {
        b->master = w->servers[v->master].addr;
        b->link_up = v->link_up;
        b->link_down = v->link_up ? 0 : (w->now - v->link_down_since) / 1000 * 1000;
    }
    for (uint32_t i = v->gid * SIM_SERVERS_A_GROUP; i < (v->gid + 1) * SIM_SERVERS_A_GROUP; i++) {
        const struct server *r = &w->servers[i];
        if (r != v && r->alive && !r->is_master && r->link_up && r->master == v->index)
            b->replicas[b->replica_count++] = r->addr;
    }
    return b;
}

static void answer(struct world *w, struct conn *c, struct msg *reply)
{
    net_send(w, c, TO_CLIENT, reply);
}

void server_request(struct world *w, struct conn *c, struct msg *m)
{
    struct server *v = &w->servers[c->server - SIM_SENTINELS];
    struct msg *reply = NULL;
    assert(v->alive && !v->hung);
    const bool unwanted = m->slot == UINT64_MAX;
    switch (m->kind) {
    case MSG_PING:
        reply = msg_new(w, MSG_PONG);
        reply->ping = v->loading_until > w->now ? PING_LOADING : PING_PONG;
        break;
    case MSG_INFO:
        reply = msg_new(w, MSG_INFO_REPLY);
        reply->info = info_make(w, v);
        break;
    case MSG_HELLO:
        publish(w, v, m->hello);
        reply = msg_new(w, MSG_PUBLISHED);
        break;
    case MSG_SLAVEOF:
        if (m->failing)
            server_handover_abort(w, v);
        reply = msg_new(w, MSG_EXEC);
        reply->ok = server_slaveof(w, v, &m->addr);
        net_kill_clients(w, c->server, c);
        break;
    case MSG_HANDOVER:
        reply = msg_new(w, MSG_HANDOVER_TAKEN);
        reply->ok = server_handover(w, v, &m->addr, (ms_t)m->epoch);
        break;
    case MSG_HANDOVER_ABORT:
        server_handover_abort(w, v);
        reply = msg_new(w, MSG_PUBLISHED);
        break;
    case MSG_SETTLE:
        v->saved_is_master = v->is_master;
        v->saved_master = v->master;
        net_kill_clients(w, c->server, c);
        reply = msg_new(w, MSG_EXEC);
        reply->ok = true;
        break;
    default:
        assert(false && "a server is not asked that");
    }
    if (unwanted)
        msg_free(w, reply);
    else
        answer(w, c, reply);
    msg_free(w, m);
}
