/* What a shard does with the update of a group: links, sends, ballots, records, events. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hello_box *shard_hello(struct sentinel *s, const struct group *g)
{
    const struct group_view *view = &s->views[g->gid];
    struct hello hello = {.sentinel = s->addr,
                          .runid = s->myid,
                          .current_epoch = s->published_epoch,
                          .master = view->current,
                          .config_epoch = view->config_epoch};
    memcpy(hello.name, g->name, strlen(g->name) + 1);
    return hello_box_new(&hello);
}

void shard_publish(struct world *w, struct sentinel *s, struct group *g)
{
    group_view(g, &s->views[g->gid]);
    check_view(w, s, g);
}

static void to_peer(struct world *w, struct sentinel *s, const struct group *g,
                    const struct instance *inst, enum parcel_kind kind, struct msg *m)
{
    const uint32_t owner = (uint32_t)(inst->runid.hex[0] + inst->runid.hex[7]) % s->shard_count;
    struct parcel *p = parcel_new(w, s, owner, kind);
    p->gid = g->gid;
    p->runid = inst->runid;
    p->addr = inst->addr;
    p->msg = m;
    parcel_lane(w, s, shard_of(s, g->gid), p);
}

static void link_open(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    struct instance *inst = a->inst;
    if (inst->kind == INSTANCE_SENTINEL) {
        to_peer(w, s, g, inst, PARCEL_PEER_JOIN, NULL);
        return;
    }
    struct server *v = server_at(w, &inst->addr);
    assert(v != NULL && "rules open links to servers that exist");
    struct conn **links = inst->host;
    if (links == NULL)
        inst->host = links = calloc(2, sizeof(struct conn *));
    assert(links != NULL && links[a->link] == NULL);
    struct conn *c = net_open(w, s, shard_of(s, g->gid), SIM_SENTINELS + v->index, a->link);
    c->inst = inst;
    c->gid = g->gid;
    links[a->link] = c;
}

static void link_close(struct world *w, struct sentinel *s, struct group *g, struct instance *inst,
                       enum link_kind link)
{
    if (inst->kind == INSTANCE_SENTINEL) {
        to_peer(w, s, g, inst, PARCEL_PEER_LEAVE, NULL);
        return;
    }
    struct conn **links = inst->host;
    if (links == NULL || links[link] == NULL)
        return;
    struct conn *c = links[link];
    links[link] = NULL;
    net_close(w, c);
}

static void forget(struct world *w, struct sentinel *s, struct group *g, struct instance *inst)
{
    link_close(w, s, g, inst, LINK_CMD);
    if (inst->kind != INSTANCE_SENTINEL)
        link_close(w, s, g, inst, LINK_PUBSUB);
    free(inst->host);
    inst->host = NULL;
    instance_free(inst);
}

static void send_commands(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    struct msg *hello = NULL;
    if ((a->send & SEND_HELLO) != 0) {
        hello = msg_new(w, MSG_HELLO);
        hello->gid = g->gid;
        hello->hello = shard_hello(s, g);
        check_hello_sent(w, s, g, &hello->hello->hello);
    }
    if (a->inst->kind == INSTANCE_SENTINEL) {
        if (hello != NULL)
            to_peer(w, s, g, a->inst, PARCEL_PEER_SEND, hello);
        return;
    }
    struct conn **links = a->inst->host;
    struct conn *c = links == NULL ? NULL : links[LINK_CMD];
    if (c == NULL || !c->up) {
        msg_free(w, hello);
        return;
    }
    if ((a->send & SEND_PING) != 0)
        net_send(w, c, TO_SERVER, msg_new(w, MSG_PING));
    if ((a->send & SEND_INFO) != 0)
        net_send(w, c, TO_SERVER, msg_new(w, MSG_INFO));
    if (hello != NULL)
        net_send(w, c, TO_SERVER, hello);
}

static void send_slaveof(struct world *w, struct group *g, struct action *a)
{
    struct conn **links = a->inst->host;
    struct conn *c = links == NULL ? NULL : links[LINK_CMD];
    if (c == NULL || !c->up)
        return;
    struct msg *m = msg_new(w, MSG_SLAVEOF);
    m->addr = a->addr;
    m->failing = a->failing;
    net_send(w, c, TO_SERVER, m);
    if (a->addr.port == 0)
        w->count.promotions++;
}

static void send_handover(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    static const enum msg_kind kinds[] = {MSG_HANDOVER, MSG_HANDOVER_ABORT, MSG_SETTLE};
    static const char *const names[] = {"FAILOVER TO", "FAILOVER ABORT", "settle"};
    const int i = a->kind == ACTION_HANDOVER ? 0 : a->kind == ACTION_HANDOVER_ABORT ? 1 : 2;
    struct conn **links = a->inst->host;
    struct conn *c = links == NULL ? NULL : links[LINK_CMD];
    trace(w, (int)s->index, "m%u %s %s %s", g->gid, a->inst->addr.ip, names[i], a->addr.ip);
    if (c == NULL || !c->up)
        return;
    struct msg *m = msg_new(w, kinds[i]);
    m->addr = a->addr;
    m->epoch = (uint64_t)a->timeout;
    net_send(w, c, TO_SERVER, m);
}

static void ask(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    struct msg *m = msg_new(w, MSG_ASK);
    m->gid = g->gid;
    m->addr = a->addr;
    m->epoch = a->epoch;
    if (a->vote) {
        m->runid = s->myid;
        check_ask_sent(w, s, g->gid, a->epoch);
    }
    to_peer(w, s, g, a->inst, PARCEL_PEER_SEND, m);
}

static void to_elector(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    struct parcel *p =
        parcel_new(w, s, SIM_SHARDS, a->kind == ACTION_BALLOT ? PARCEL_BALLOT : PARCEL_RECORD);
    if (a->kind == ACTION_BALLOT)
        p->u.ballot = a->u.ballot;
    else
        p->u.entry.record = a->u.record;
    parcel_lane(w, s, shard_of(s, g->gid), p);
}

static void tell_shards(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    for (uint32_t i = 0; i < s->shard_count; i++) {
        struct parcel *p =
            parcel_new(w, s, i, a->kind == ACTION_MOVED ? PARCEL_MOVED : PARCEL_INVALID);
        p->gid = g->gid;
        p->runid = a->u.runid;
        p->addr = a->addr;
        parcel_lane(w, s, shard_of(s, g->gid), p);
    }
}

static void act(struct world *w, struct sentinel *s, struct group *g, struct action *a)
{
    check_action(w, s, g, a);
    switch (a->kind) {
    case ACTION_LINK_OPEN:
        link_open(w, s, g, a);
        break;
    case ACTION_LINK_CLOSE:
        link_close(w, s, g, a->inst, a->link);
        break;
    case ACTION_FORGET:
        forget(w, s, g, a->inst);
        break;
    case ACTION_SEND:
        send_commands(w, s, g, a);
        break;
    case ACTION_SLAVEOF:
        trace(w, (int)s->index, "m%u SLAVEOF %s:%u -> %s:%u", g->gid, a->inst->addr.ip,
              a->inst->addr.port, a->addr.ip, a->addr.port);
        send_slaveof(w, g, a);
        break;
    case ACTION_HANDOVER:
    case ACTION_HANDOVER_ABORT:
    case ACTION_SETTLE:
        send_handover(w, s, g, a);
        break;
    case ACTION_SCRIPT_KILL:
        break;
    case ACTION_ASK:
        ask(w, s, g, a);
        break;
    case ACTION_EVENT:
        trace(w, (int)s->index, "%s %s", event_name(a->type), a->u.text);
        if (a->type == EVENT_SWITCH_MASTER)
            w->count.failovers++;
        break;
    case ACTION_LOG:
        trace(w, (int)s->index, "log m%u: %s", g->gid, a->u.text);
        break;
    case ACTION_BALLOT:
    case ACTION_RECORD:
        to_elector(w, s, g, a);
        break;
    case ACTION_MOVED:
    case ACTION_INVALID:
        tell_shards(w, s, g, a);
        break;
    case ACTION_SCRIPT:
    case ACTION_CRASH_POINT:
        break;
    }
}

void shard_apply(struct world *w, struct sentinel *s, struct group *g, struct update *up)
{
    if (up->view_changed)
        shard_publish(w, s, g);
    check_step(w, s, g);
    for (size_t i = 0; i < up->count; i++)
        act(w, s, g, &up->actions[i]);
}
