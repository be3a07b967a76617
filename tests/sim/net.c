/* Connections. Each direction is a FIFO with one scheduled delivery, for its head; directions and
 * connections are independent, so messages of different links overtake each other. A partition
 * holds messages back (TCP would retransmit) and delivers them late, or the connection is reset. */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool net_blocked(const struct world *w, uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < SIM_PARTITIONS; i++) {
        const struct partition *p = &w->partitions[i];
        if (p->on && p->side[from] != p->side[to] && (!p->one_way || p->side[from]))
            return true;
    }
    return false;
}

/* --- messages --------------------------------------------------------------------------------- */
struct msg *msg_new(struct world *w, enum msg_kind kind)
{
    struct msg *m = w->msg_pool;
    if (m != NULL)
        w->msg_pool = m->next;
    else
        m = malloc(sizeof(*m));
    assert(m != NULL);
    memset(m, 0, sizeof(*m));
    m->kind = kind;
    return m;
}

static void box_unref(struct hello_box *box)
{
    if (box != NULL && --box->refs == 0)
        free(box);
}

void msg_free(struct world *w, struct msg *m)
{
    if (m == NULL)
        return;
    box_unref(m->hello);
    free(m->info);
    m->next = w->msg_pool;
    w->msg_pool = m;
}

struct hello_box *hello_box_new(const struct hello *hello)
{
    struct hello_box *box = malloc(sizeof(*box));
    assert(box != NULL);
    box->refs = 1;
    box->hello = *hello;
    return box;
}

static struct msg *msg_copy(struct world *w, const struct msg *m)
{
    struct msg *copy = msg_new(w, m->kind);
    *copy = *m;
    copy->next = NULL;
    copy->info = NULL;
    if (copy->hello != NULL)
        copy->hello->refs++;
    return copy;
}

/* --- life of a connection --------------------------------------------------------------------- */
static void queue_clear(struct world *w, struct lane_queue *q)
{
    while (q->head != NULL) {
        struct msg *m = q->head;
        q->head = m->next;
        msg_free(w, m);
    }
    q->tail = NULL;
    q->count = 0;
}

void net_unref(struct world *w, struct conn *c)
{
    assert(c->refs > 0);
    if (--c->refs > 0 || !c->client_gone || !c->server_gone)
        return;
    queue_clear(w, &c->way[TO_SERVER]);
    queue_clear(w, &c->way[TO_CLIENT]);
    port_free_slots(w, c);
    if (c->server >= SIM_SENTINELS)
        server_unsubscribe(&w->servers[c->server - SIM_SENTINELS], c);
    w->conns[c->index] = NULL;
    if (c->index < w->conn_hint)
        w->conn_hint = c->index;
    free(c);
}

/* Lets a connection that both sides left vanish as soon as nothing names it. */
static void settle(struct world *w, struct conn *c)
{
    c->refs++;
    net_unref(w, c);
}

struct conn *net_find(struct world *w, uint64_t index, uint64_t uid)
{
    if (index >= w->conn_count)
        return NULL;
    struct conn *c = w->conns[index];
    return c != NULL && c->uid == uid ? c : NULL;
}

static uint32_t conn_place(struct world *w)
{
    for (uint32_t i = w->conn_hint; i < w->conn_count; i++) {
        if (w->conns[i] == NULL) {
            w->conn_hint = i + 1;
            return i;
        }
    }
    w->conn_hint = w->conn_count + 1;
    if (w->conn_count == w->conn_cap) {
        w->conn_cap = w->conn_cap == 0 ? 256 : w->conn_cap * 2;
        w->conns = realloc(w->conns, w->conn_cap * sizeof(struct conn *));
        assert(w->conns != NULL);
    }
    return w->conn_count++;
}

struct conn *net_open(struct world *w, struct sentinel *s, uint32_t shard, uint32_t server,
                      enum link_kind link)
{
    assert(server < SIM_NODES);
    struct conn *c = calloc(1, sizeof(*c));
    assert(c != NULL);
    c->index = conn_place(w);
    w->conns[c->index] = c;
    c->uid = ++w->conn_uid;
    c->link = link;
    c->client = s->index;
    c->server = server;
    c->incarnation = s->incarnation;
    c->shard = shard;
    c->opened = w->now;
    c->server_gone = true; /* until it is accepted */
    c->refs++;
    event_push(w, w->now + 1 + draw_between(w, w->p.delay_min, w->p.delay_max), EV_CONNECT, 0, 0, 0,
               c);
    return c;
}

static void tell_client(struct world *w, struct conn *c, enum parcel_kind kind)
{
    if (c->client_gone)
        return;
    struct parcel *p = parcel_new(w, &w->sentinels[c->client], c->shard, kind);
    p->conn = c;
    c->refs++;
    parcel_arrive(w, p);
}

/* Whether the process behind a node accepts connections, and whether its machine answers. */
static bool node_listens(struct world *w, uint32_t node)
{
    if (node < SIM_SENTINELS)
        return node < w->p.sentinels && w->sentinels[node].alive;
    return w->servers[node - SIM_SENTINELS].alive;
}

void net_connected(struct world *w, struct conn *c)
{
    const ms_t waited = w->now - c->opened;
    const bool blocked =
        net_blocked(w, c->client, c->server) || net_blocked(w, c->server, c->client);
    if (!c->client_gone && blocked && waited < 3000) {
        c->refs++;
        event_push(w, w->now + draw_between(w, 300, 1000), EV_CONNECT, 0, 0, 0, c);
    } else if (!c->client_gone && !blocked && node_listens(w, c->server)) {
        c->server_gone = false;
        c->up = true;
        if (c->server < SIM_SENTINELS)
            c->accept_shard = (uint32_t)draw(w, w->sentinels[c->server].shard_count);
        else if (c->link == LINK_PUBSUB)
            server_subscribe(&w->servers[c->server - SIM_SENTINELS], c);
        tell_client(w, c, PARCEL_CONN_UP);
    } else {
        tell_client(w, c, PARCEL_CONN_DOWN);
    }
    net_unref(w, c);
}

/* --- messages on their way ---------------------------------------------------------------------
 */
static void schedule(struct world *w, struct conn *c, int way)
{
    struct lane_queue *q = &c->way[way];
    if (q->scheduled || q->head == NULL)
        return;
    q->scheduled = true;
    c->refs++;
    event_push(w, q->head->due > w->now ? q->head->due : w->now, EV_DELIVER, (uint32_t)way, 0, 0,
               c);
}

static void enqueue(struct world *w, struct conn *c, int way, struct msg *m)
{
    struct lane_queue *q = &c->way[way];
    m->due = w->now + draw_between(w, w->p.delay_min, w->p.delay_max);
    if (m->due < q->last)
        m->due = q->last;
    q->last = m->due;
    m->next = NULL;
    if (q->tail == NULL)
        q->head = m;
    else
        q->tail->next = m;
    q->tail = m;
    q->count++;
    schedule(w, c, way);
}

void net_send(struct world *w, struct conn *c, int way, struct msg *m)
{
    const bool gone = way == TO_SERVER ? c->client_gone : c->server_gone;
    if (gone || !c->up || c->way[way].count >= SIM_BACKLOG) {
        msg_free(w, m);
        if (!gone && c->up)
            net_cut(w, c);
        return;
    }
    w->count.messages++;
    if (!calm(w) && chance(w, w->p.cut_permille)) {
        w->count.by_fault[FAULT_CUT]++;
        msg_free(w, m);
        net_cut(w, c);
        return;
    }
    const bool twice = (m->kind == MSG_HELLO || m->kind == MSG_ASK) && !calm(w) &&
                       chance(w, w->p.duplicate_permille);
    if (twice) { /* as after a reconnect, or by way of a second subscription; answered to nobody */
        struct msg *copy = msg_copy(w, m);
        copy->slot = UINT64_MAX;
        w->count.by_fault[FAULT_DUPLICATE]++;
        enqueue(w, c, way, m);
        enqueue(w, c, way, copy);
        return;
    }
    enqueue(w, c, way, m);
}

static void deliver_to_server(struct world *w, struct conn *c, struct msg *m)
{
    if (m->kind == MSG_RESET || c->server_gone) {
        /* A process that does not know the connection answers with a reset; a dead machine does
         * not. */
        const bool reset = m->kind != MSG_RESET && c->server_gone && node_listens(w, c->server);
        c->server_gone = true;
        msg_free(w, m);
        if (reset && !c->client_gone)
            enqueue(w, c, TO_CLIENT, msg_new(w, MSG_RESET));
        return;
    }
    if (c->server >= SIM_SENTINELS) {
        server_request(w, c, m);
        return;
    }
    struct parcel *p = parcel_new(w, &w->sentinels[c->server], c->accept_shard, PARCEL_MSG);
    p->conn = c;
    c->refs++;
    p->msg = m;
    p->way = TO_SERVER;
    parcel_arrive(w, p);
}

static void deliver_to_client(struct world *w, struct conn *c, struct msg *m)
{
    if (c->client_gone || m->kind == MSG_RESET) {
        if (!c->client_gone) {
            c->up = false;
            c->server_gone = true;
            tell_client(w, c, PARCEL_CONN_DOWN);
        }
        msg_free(w, m);
        return;
    }
    struct parcel *p = parcel_new(w, &w->sentinels[c->client], c->shard, PARCEL_MSG);
    p->conn = c;
    c->refs++;
    p->msg = m;
    p->way = TO_CLIENT;
    parcel_arrive(w, p);
}

/* A frozen server reads nothing; what was sent waits. */
static bool server_hung(const struct world *w, const struct conn *c)
{
    return c->server >= SIM_SENTINELS && w->servers[c->server - SIM_SENTINELS].hung;
}

void net_deliver(struct world *w, struct conn *c, int way)
{
    struct lane_queue *q = &c->way[way];
    q->scheduled = false;
    const uint32_t from = way == TO_SERVER ? c->client : c->server;
    const uint32_t to = way == TO_SERVER ? c->server : c->client;
    const bool blocked = net_blocked(w, from, to);
    if (q->head != NULL && (blocked || (way == TO_SERVER && server_hung(w, c)))) {
        if (blocked && chance(w, 30)) { /* something on the way lost its state */
            net_cut(w, c);
        } else {
            const ms_t retry = w->now + draw_between(w, 100, 700);
            for (struct msg *m = q->head; m != NULL; m = m->next)
                if (m->due < retry)
                    m->due = retry;
            if (q->last < retry)
                q->last = retry;
        }
        schedule(w, c, way);
    } else if (q->head != NULL) {
        struct msg *m = q->head;
        q->head = m->next;
        if (q->head == NULL)
            q->tail = NULL;
        q->count--;
        m->next = NULL;
        if (way == TO_SERVER)
            deliver_to_server(w, c, m);
        else
            deliver_to_client(w, c, m);
        schedule(w, c, way);
    }
    net_unref(w, c);
}

/* --- ends ----------------------------------------------------------------------------------- */
void net_close(struct world *w, struct conn *c)
{
    if (c->client_gone)
        return;
    c->client_gone = true;
    c->inst = NULL;
    c->peer = NULL;
    if (c->up && !c->server_gone) {
        if (draw(w, 2) == 0) /* what was written before still arrives, or not */
            queue_clear(w, &c->way[TO_SERVER]);
        enqueue(w, c, TO_SERVER, msg_new(w, MSG_RESET));
    }
    settle(w, c);
}

void net_cut(struct world *w, struct conn *c)
{
    queue_clear(w, &c->way[TO_SERVER]);
    queue_clear(w, &c->way[TO_CLIENT]);
    if (!c->server_gone)
        enqueue(w, c, TO_SERVER, msg_new(w, MSG_RESET));
    if (!c->client_gone)
        enqueue(w, c, TO_CLIENT, msg_new(w, MSG_RESET));
    c->refs++;
    net_unref(w, c);
}

static void server_side_gone(struct world *w, struct conn *c, bool reset)
{
    if (c->server_gone)
        return;
    c->server_gone = true;
    port_free_slots(w, c);
    if (reset && !c->client_gone)
        enqueue(w, c, TO_CLIENT, msg_new(w, MSG_RESET));
    settle(w, c);
}

static void client_side_gone(struct world *w, struct conn *c, bool reset)
{
    if (c->client_gone)
        return;
    c->client_gone = true;
    c->inst = NULL;
    c->peer = NULL;
    if (reset && !c->server_gone)
        enqueue(w, c, TO_SERVER, msg_new(w, MSG_RESET));
    else
        c->server_gone = true; /* a half-open connection on the server's side is no matter here */
    settle(w, c);
}

void net_node_gone(struct world *w, uint32_t node, bool reset)
{
    for (uint32_t i = 0; i < w->conn_count; i++) {
        struct conn *c = w->conns[i];
        if (c != NULL && c->server == node)
            server_side_gone(w, c, reset);
        c = w->conns[i];
        if (c != NULL && c->client == node)
            client_side_gone(w, c, reset);
    }
}

void net_kill_clients(struct world *w, uint32_t server, struct conn *keep)
{
    for (uint32_t i = 0; i < w->conn_count; i++) {
        struct conn *c = w->conns[i];
        if (c != NULL && c != keep && c->server == server)
            server_side_gone(w, c, true);
    }
}

void net_free(struct world *w)
{
    for (uint32_t i = 0; i < w->conn_count; i++) {
        struct conn *c = w->conns[i];
        if (c == NULL)
            continue;
        queue_clear(w, &c->way[TO_SERVER]);
        queue_clear(w, &c->way[TO_CLIENT]);
        port_free_slots(w, c);
        free(c);
    }
    free(w->conns);
    while (w->msg_pool != NULL) {
        struct msg *m = w->msg_pool;
        w->msg_pool = m->next;
        free(m);
    }
}
