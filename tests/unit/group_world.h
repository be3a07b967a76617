/* A small world around one struct group for the tests of the rules: virtual time, servers and peers
 * that answer at once, and a trace of what the group decided, one text line an action.
 *
 * The lines of a trace: "+event text", "log text", "ballot ...", "record ...", "slaveof a to b",
 * "ask who epoch vote", "open/close who link", "send who ping+info+hello", "forget who", "moved",
 * "invalid", "script", "crash". show picks the kinds that a test wants to see.
 */
#pragma once

#include "rules/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SERVERS = 6, PEERS = 4, LINES = 4096 };

enum show {
    SHOW_EVENT = 1 << 0,
    SHOW_LOG = 1 << 1,
    SHOW_BALLOT = 1 << 2,
    SHOW_RECORD = 1 << 3,
    SHOW_SLAVEOF = 1 << 4,
    SHOW_ASK = 1 << 5,
    SHOW_LINK = 1 << 6,
    SHOW_SEND = 1 << 7,
    SHOW_OTHER = 1 << 8,
    SHOW_TIME = 1 << 9, /* each line begins with the milliseconds since the start */
    SHOW_DECISIONS = SHOW_EVENT | SHOW_LOG | SHOW_BALLOT | SHOW_SLAVEOF | SHOW_OTHER,
};

struct server { /* server i listens on 127.0.0.1:(7000 + i); 0 is the first master */
    struct address addr;
    struct runid runid;
    bool alive;         /* takes connections and answers */
    bool vague;         /* connections are neither made nor refused */
    bool deaf;          /* takes connections, answers nothing */
    bool no_exec;       /* the transaction gets no answer and no effect */
    bool fail_exec;     /* it is refused */
    bool no_promote;    /* it is answered, without effect */
    bool sync_slow;     /* the link to the new master does not come up */
    bool no_failover;   /* it does not know FAILOVER: an old server */
    bool no_handover;   /* it refuses FAILOVER TO */
    bool hung_handover; /* it takes it, and never comes to an end */
    bool handing;       /* it says so */
    enum role role;
    struct address master;
    bool link_up;
    ms_t link_down;
    uint32_t priority;
    uint64_t offset;
    bool listed; /* in its master's INFO */
};

struct peer {
    struct address addr;
    struct runid runid;
    bool alive;
    bool says_down; /* answers 1 */
    bool grants;    /* gives us its vote */
    bool silent;    /* does not answer an ASK */
    uint64_t epoch; /* current_epoch of its hellos */
};

struct world {
    struct group_env env;
    struct group_settings set;
    struct group *g;
    struct update up;
    ms_t start, now;
    unsigned show;
    bool auto_elect;  /* a wish starts at once, and is won with the votes of a majority */
    bool auto_config; /* BALLOT_CONFIG is durable at once */
    uint64_t epoch;   /* of the running attempt */
    uint32_t votes;
    bool leading;
    uint32_t steps; /* group_step calls */
    struct server servers[SERVERS];
    struct peer peers[PEERS];
    uint32_t server_count, peer_count;
    char *lines[LINES];
    size_t line_count;
};

/* --- names ------------------------------------------------------------------------------- */

static inline struct address addr_of(const char *ip, int port)
{
    struct address a;
    memset(&a, 0, sizeof(a));
    assert_true(address_set(&a, ip, strlen(ip), port));
    return a;
}

static inline struct runid id_of(char c)
{
    struct runid id;
    memset(&id, 0, sizeof(id));
    memset(id.hex, c, LIMIT_RUNID);
    return id;
}

static inline struct server *server_at(struct world *w, const struct address *addr)
{
    for (uint32_t i = 0; i < w->server_count; i++) {
        if (address_equal(&w->servers[i].addr, addr))
            return &w->servers[i];
    }
    return NULL;
}

static inline struct peer *peer_of(struct world *w, const struct runid *id)
{
    for (uint32_t i = 0; i < w->peer_count; i++) {
        if (runid_equal(&w->peers[i].runid, id))
            return &w->peers[i];
    }
    return NULL;
}

static inline struct instance *inst_of(struct world *w, uint32_t server)
{
    const struct address *addr = &w->servers[server].addr;
    if (address_equal(&w->g->master->addr, addr))
        return w->g->master;
    return group_find_replica(w->g, addr);
}

static inline struct instance *sent_of(struct world *w, uint32_t peer)
{
    return group_find_sentinel(w->g, &w->peers[peer].runid);
}

/* "6379" of a server, "b" of a sentinel. */
static inline const char *who(const struct instance *inst)
{
    static char names[4][48];
    static unsigned turn;
    char *name = names[turn++ % 4];
    if (inst->kind == INSTANCE_SENTINEL)
        snprintf(name, sizeof(names[0]), "%.1s", inst->runid.hex);
    else
        snprintf(name, sizeof(names[0]), "%u", inst->addr.port);
    return name;
}

/* --- trace ------------------------------------------------------------------------------- */

static inline void line(struct world *w, unsigned kind, const char *format, ...)
{
    if (!(w->show & kind))
        return;
    char text[LIMIT_EVENT_TEXT + 64];
    size_t len = 0;
    if (w->show & SHOW_TIME)
        len = (size_t)snprintf(text, sizeof(text), "[%lld] ", (long long)(w->now - w->start));
    va_list args;
    va_start(args, format);
    vsnprintf(text + len, sizeof(text) - len, format, args);
    va_end(args);
    assert_true(w->line_count < LINES);
    w->lines[w->line_count++] = strdup(text);
}

static inline void forget_lines(struct world *w)
{
    for (size_t i = 0; i < w->line_count; i++)
        free(w->lines[i]);
    w->line_count = 0;
}

/* The lines since the last call are exactly these (NULL ends them). */
static inline void expect_lines(struct world *w, int at, ...)
{
    va_list args;
    va_start(args, at);
    size_t i = 0;
    bool same = true;
    for (const char *want; (want = va_arg(args, const char *)) != NULL; i++) {
        if (i >= w->line_count || strcmp(w->lines[i], want) != 0) {
            same = false;
            print_error("line %d: expected [%zu] \"%s\"\n", at, i, want);
            break;
        }
    }
    va_end(args);
    if (same && i != w->line_count) {
        print_error("line %d: more than expected\n", at);
        same = false;
    }
    if (!same) {
        for (size_t j = 0; j < w->line_count; j++)
            print_error("   %c \"%s\",\n", j == i ? '>' : ' ', w->lines[j]);
        fail();
    }
    forget_lines(w);
}
#define EXPECT(w, ...)    expect_lines(w, __LINE__, __VA_ARGS__, (const char *)NULL)
#define EXPECT_NOTHING(w) expect_lines(w, __LINE__, (const char *)NULL)

static inline bool seen(const struct world *w, const char *start)
{
    for (size_t i = 0; i < w->line_count; i++) {
        if (strncmp(w->lines[i], start, strlen(start)) == 0)
            return true;
    }
    return false;
}

/* --- events ------------------------------------------------------------------------------ */

static inline void step(struct world *w, struct group_event ev);

static inline void tick(struct world *w)
{
    step(w, (struct group_event){.kind = GROUP_TICK});
    /* No busy loop: time must pass before the next. */
    assert_true(group_next_deadline(w->g) > w->now);
}

/* All ticks that are due until then. */
static inline void run_until(struct world *w, ms_t ms)
{
    const ms_t until = w->start + ms;
    assert_true(until >= w->now);
    for (;;) {
        const ms_t next = group_next_deadline(w->g);
        if (next > until)
            break;
        if (next > w->now)
            w->now = next;
        tick(w);
    }
    w->now = until;
}

static inline void run_for(struct world *w, ms_t ms)
{
    run_until(w, w->now - w->start + ms);
}

static inline void outcome(struct world *w, struct outcome o)
{
    o.gid = w->g->gid;
    if (o.epoch > w->env.current_epoch)
        w->env.current_epoch = o.epoch;
    step(w, (struct group_event){.kind = GROUP_OUTCOME, .outcome = &o});
}

static inline struct info info_of(struct world *w, const struct server *server)
{
    static struct info info;
    memset(&info, 0, sizeof(info));
    info.runid = server->runid;
    info.role = server->role;
    info.failover_known = !server->no_failover;
    info.failing_over = server->handing;
    info.announced = true;
    info.priority = server->priority;
    if (server->role == ROLE_REPLICA) {
        info.master = server->master;
        snprintf(info.master_host, sizeof(info.master_host), "%s", server->master.ip);
        info.master_link_up = server->link_up;
        info.master_link_down = server->link_down;
        info.repl_offset = server->offset;
        return info;
    }
    for (uint32_t i = 0; i < w->server_count; i++) {
        const struct server *other = &w->servers[i];
        if (other->listed && other->role == ROLE_REPLICA &&
            address_equal(&other->master, &server->addr))
            info.replicas[info.replica_count++] = other->addr;
    }
    return info;
}

static inline void give_info(struct world *w, struct instance *inst)
{
    static struct info info;
    info = info_of(w, server_at(w, &inst->addr));
    step(w, (struct group_event){.kind = GROUP_INFO, .inst = inst, .info = &info});
}

static inline void link_down(struct world *w, struct instance *inst, enum link_kind link)
{
    step(w, (struct group_event){.kind = GROUP_LINK_DOWN, .inst = inst, .link = link});
}

/* A process that ends: its connections end. */
static inline void kill_server(struct world *w, uint32_t server)
{
    w->servers[server].alive = false;
    struct instance *inst = inst_of(w, server);
    if (inst == NULL)
        return;
    if (inst->live.cmd_up)
        link_down(w, inst, LINK_CMD);
    if (inst->live.pubsub_up)
        link_down(w, inst, LINK_PUBSUB);
}

static inline struct hello hello_of(const struct world *w, uint32_t peer)
{
    struct hello hello;
    memset(&hello, 0, sizeof(hello));
    hello.sentinel = w->peers[peer].addr;
    hello.runid = w->peers[peer].runid;
    hello.current_epoch = w->peers[peer].epoch;
    hello.master = *(&w->g->master->addr);
    hello.config_epoch = w->g->config_epoch;
    strcpy(hello.name, w->g->name);
    return hello;
}

static inline void give_hello(struct world *w, const struct hello *hello)
{
    step(w, (struct group_event){.kind = GROUP_HELLO, .hello = hello});
}

static inline void meet(struct world *w, uint32_t peer)
{
    const struct hello hello = hello_of(w, peer);
    give_hello(w, &hello);
}

static inline void give_peer(struct world *w, uint32_t peer)
{
    struct instance *inst = sent_of(w, peer);
    struct liveness live = inst->live;
    const bool alive = w->peers[peer].alive;
    live.cmd_opening = !alive;
    live.cmd_up = alive;
    live.ping_pending = alive ? 0 : live.ping_pending;
    live.reply_ok = live.reply_any = w->now; /* or until now */
    step(w, (struct group_event){.kind = GROUP_PEER, .inst = inst, .live = &live});
}

static inline enum group_reply command_coordinated(struct world *w)
{
    step(w, (struct group_event){.kind = GROUP_FAILOVER, .coordinated = true});
    return w->up.reply;
}

static inline enum group_reply command_failover(struct world *w)
{
    struct group_event ev = {.kind = GROUP_FAILOVER, .now = w->now};
    step(w, ev);
    return w->up.reply;
}

/* --- the world's answers ---------------------------------------------------------------------
 * Actions are copied out of the update before they are answered: an answer is another step. */

struct todo {
    struct action a;
    struct runid id; /* of the instance, should it be gone */
};

static inline void show_ballot(struct world *w, const struct ballot *b)
{
    static const char *const names[] = {
        "add",         "remove",    "set",   "member-add", "member-drop",
        "member-down", "member-up", "want",  "cancel",     "end",
        "request",     "answer",    "epoch", "fresh",      "config",
    };
    assert_int_equal(b->gid, 7);
    const char *name = names[b->kind];
    switch (b->kind) {
    case BALLOT_ADD:
    case BALLOT_SET:
        assert_int_equal(b->u.terms.failover_timeout, w->g->set.failover_timeout);
        line(w, SHOW_BALLOT, "ballot %s quorum %u config-epoch %llu%s", name, b->u.terms.quorum,
             (unsigned long long)b->u.terms.config_epoch, b->u.terms.has_votes ? " votes" : "");
        if (b->u.terms.has_votes) {
            assert_int_equal(b->epoch, w->g->leader_epoch);
            assert_true(runid_equal(&b->leader, &w->g->leader));
        }
        break;
    case BALLOT_WANT:
        line(w, SHOW_BALLOT, "ballot %s%s%s", name, b->u.want.forced ? " forced" : "",
             b->u.want.majority ? " majority" : "");
        break;
    case BALLOT_CONFIG:
        line(w, SHOW_BALLOT, "ballot %s %llu %u", name, (unsigned long long)b->epoch,
             b->u.addr.port);
        break;
    case BALLOT_EPOCH:
        line(w, SHOW_BALLOT, "ballot %s %llu %.1s", name, (unsigned long long)b->epoch,
             b->runid.hex);
        break;
    case BALLOT_ANSWER:
        line(w, SHOW_BALLOT, "ballot %s %.1s votes %.1s %llu heard %llu", name, b->runid.hex,
             runid_known(&b->leader) ? b->leader.hex : "*", (unsigned long long)b->epoch,
             (unsigned long long)b->u.heard);
        break;
    case BALLOT_MEMBER_ADD:
    case BALLOT_MEMBER_DROP:
    case BALLOT_MEMBER_DOWN:
    case BALLOT_MEMBER_UP:
        line(w, SHOW_BALLOT, "ballot %s %.1s", name, b->runid.hex);
        break;
    default:
        line(w, SHOW_BALLOT, "ballot %s", name);
    }
}

static inline void show_transaction(struct world *w, const struct action *a)
{
    if (a->kind == ACTION_HANDOVER)
        line(w, SHOW_SLAVEOF, "handover %s %u in %lld", who(a->inst), a->addr.port,
             (long long)a->timeout);
    else if (a->kind == ACTION_HANDOVER_ABORT)
        line(w, SHOW_SLAVEOF, "handover %s abort", who(a->inst));
    else if (a->kind == ACTION_SETTLE)
        line(w, SHOW_SLAVEOF, "settle %s", who(a->inst));
    else if (a->addr.port == 0)
        line(w, SHOW_SLAVEOF, "slaveof %s no one", who(a->inst));
    else
        line(w, SHOW_SLAVEOF, "slaveof %s %u%s", who(a->inst), a->addr.port,
             a->failing ? " failing" : "");
}

static inline void show_action(struct world *w, const struct action *a)
{
    static const char *const links[] = {"cmd", "pubsub"};
    switch (a->kind) {
    case ACTION_LINK_OPEN:
    case ACTION_LINK_CLOSE:
        line(w, SHOW_LINK, "%s %s %s", a->kind == ACTION_LINK_OPEN ? "open" : "close", who(a->inst),
             links[a->link]);
        break;
    case ACTION_FORGET:
        line(w, SHOW_LINK, "forget %s", who(a->inst));
        break;
    case ACTION_SEND:
        line(w, SHOW_SEND, "send %s%s%s%s", who(a->inst), a->send & SEND_PING ? " ping" : "",
             a->send & SEND_INFO ? " info" : "", a->send & SEND_HELLO ? " hello" : "");
        break;
    case ACTION_SLAVEOF:
    case ACTION_HANDOVER:
    case ACTION_HANDOVER_ABORT:
    case ACTION_SETTLE:
        show_transaction(w, a);
        break;
    case ACTION_SCRIPT_KILL:
        line(w, SHOW_OTHER, "script-kill %s", who(a->inst));
        break;
    case ACTION_ASK:
        line(w, SHOW_ASK, "ask %s %u %llu%s", who(a->inst), a->addr.port,
             (unsigned long long)a->epoch, a->vote ? " vote" : "");
        break;
    case ACTION_EVENT:
        line(w, SHOW_EVENT, "%s %s", event_name(a->type), a->u.text);
        break;
    case ACTION_LOG:
        line(w, SHOW_LOG, "log %s", a->u.text);
        break;
    case ACTION_BALLOT:
        show_ballot(w, &a->u.ballot);
        break;
    case ACTION_RECORD: {
        static const char *const names[] = {"current-epoch", "vote",     "config",      "replica",
                                            "no-replica",    "sentinel", "no-sentinel", "reset"};
        const struct record *r = &a->u.record;
        assert_int_equal(r->gid, 7);
        line(w, SHOW_RECORD, "record %s %u%.1s", names[r->kind], r->addr.port, r->runid.hex);
        break;
    }
    case ACTION_MOVED:
    case ACTION_INVALID:
        line(w, SHOW_OTHER, "%s %.1s %u", a->kind == ACTION_MOVED ? "moved" : "invalid",
             a->u.runid.hex, a->addr.port);
        break;
    case ACTION_SCRIPT:
        line(w, SHOW_OTHER, "script %s %u %u", a->leader ? "leader" : "observer", a->addr.port,
             a->addr2.port);
        break;
    case ACTION_CRASH_POINT:
        line(w, SHOW_OTHER, "crash-point %s", a->leader ? "election" : "promotion");
        break;
    }
}

static inline bool still_here(const struct world *w, const struct instance *inst)
{
    if (inst == w->g->master)
        return true;
    for (uint32_t i = 0; i < w->g->replica_count; i++) {
        if (w->g->replicas[i] == inst)
            return true;
    }
    for (uint32_t i = 0; i < w->g->sentinel_count; i++) {
        if (w->g->sentinels[i] == inst)
            return true;
    }
    return false;
}

static inline void answer_open(struct world *w, struct instance *inst, enum link_kind link)
{
    if (inst->kind == INSTANCE_SENTINEL) {
        struct peer *peer = peer_of(w, &inst->runid);
        if (peer != NULL && peer->alive)
            give_peer(w, (uint32_t)(peer - w->peers));
        return;
    }
    const struct server *server = server_at(w, &inst->addr);
    const bool up = server != NULL && server->alive;
    if (server != NULL && server->vague)
        return;
    step(w, (struct group_event){
                .kind = up ? GROUP_LINK_UP : GROUP_LINK_DOWN, .inst = inst, .link = link});
}

static inline void answer_send(struct world *w, struct instance *inst, unsigned send)
{
    if (inst->kind == INSTANCE_SENTINEL)
        return;
    const struct server *server = server_at(w, &inst->addr);
    if (server == NULL || !server->alive || server->deaf)
        return;
    if (send & SEND_PING)
        step(w, (struct group_event){.kind = GROUP_PONG, .inst = inst, .ping = PING_PONG});
    if (send & SEND_INFO)
        give_info(w, inst);
    if (send & SEND_HELLO) {
        step(w, (struct group_event){.kind = GROUP_REPLY, .inst = inst});
        if (inst->live.pubsub_up)
            step(w, (struct group_event){.kind = GROUP_PUBSUB, .inst = inst});
    }
}

static inline void answer_slaveof(struct world *w, struct instance *inst, const struct address *to)
{
    struct server *server = server_at(w, &inst->addr);
    if (!server->alive || server->deaf || server->no_exec)
        return;
    if (!server->fail_exec && !server->no_promote) {
        server->role = to->port == 0 ? ROLE_MASTER : ROLE_REPLICA;
        server->master = *to;
        server->link_up = !server->sync_slow;
        server->link_down = 0;
    }
    step(w, (struct group_event){.kind = GROUP_EXEC, .inst = inst, .ok = !server->fail_exec});
}

static inline void answer_handover(struct world *w, const struct action *a)
{
    struct server *from = server_at(w, &a->inst->addr);
    if (!from->alive || from->deaf)
        return;
    if (a->kind == ACTION_SETTLE) {
        step(w, (struct group_event){.kind = GROUP_EXEC, .inst = a->inst, .ok = true});
        return;
    }
    if (a->kind == ACTION_HANDOVER_ABORT) {
        if (from->handing)
            from->role = ROLE_MASTER;
        from->handing = false;
        step(w, (struct group_event){.kind = GROUP_REPLY, .inst = a->inst});
        return;
    }
    if (!from->no_handover && from->hung_handover) {
        from->handing = true;
    } else if (!from->no_handover) {
        struct server *to = server_at(w, &a->addr);
        to->role = ROLE_MASTER;
        from->role = ROLE_REPLICA;
        from->master = to->addr;
    }
    step(w,
         (struct group_event){.kind = GROUP_HANDOVER, .inst = a->inst, .ok = !from->no_handover});
}

static inline void answer_ask(struct world *w, struct instance *inst, bool vote, uint64_t epoch)
{
    struct peer *peer = peer_of(w, &inst->runid);
    if (peer == NULL || !peer->alive || peer->silent)
        return;
    struct group_event ev = {.kind = GROUP_ANSWER, .inst = inst, .down = peer->says_down};
    if (vote && peer->grants) {
        ev.runid = w->env.myid;
        ev.epoch = epoch;
    }
    step(w, ev);
}

static inline void answer_ballot(struct world *w, const struct ballot *b)
{
    if (w->auto_config && b->kind == BALLOT_CONFIG)
        outcome(w, (struct outcome){.kind = OUTCOME_CONFIG, .epoch = b->epoch, .addr = b->u.addr});
    if (b->kind == BALLOT_EPOCH && b->epoch > w->env.current_epoch)
        outcome(w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = b->epoch});
    if (!w->auto_elect)
        return;
    if (b->kind == BALLOT_WANT) {
        w->epoch = w->env.current_epoch + 1;
        w->votes = 1;
        w->leading = false;
        outcome(w, (struct outcome){.kind = OUTCOME_NEW_EPOCH, .epoch = w->epoch});
        outcome(w,
                (struct outcome){
                    .kind = OUTCOME_STARTED, .epoch = w->epoch, .round = 1, .leader = w->env.myid});
        if (b->u.want.forced && !b->u.want.majority && !w->leading) {
            w->leading = true;
            outcome(w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = w->epoch});
        }
    }
    if (b->kind == BALLOT_ANSWER && !w->leading && b->epoch == w->epoch && w->epoch != 0 &&
        runid_equal(&b->leader, &w->env.myid)) {
        w->votes++;
        const uint32_t voters = w->g->sentinel_count + 1;
        const uint32_t majority = voters / 2 + 1;
        if (w->votes >= (majority > w->set.quorum ? majority : w->set.quorum)) {
            w->leading = true;
            outcome(w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = w->epoch});
        }
    }
}

static inline void answer(struct world *w, const struct action *a)
{
    if (a->inst != NULL && a->kind != ACTION_FORGET && !still_here(w, a->inst))
        return;
    switch (a->kind) {
    case ACTION_LINK_OPEN:
        answer_open(w, a->inst, a->link);
        break;
    case ACTION_SEND:
        answer_send(w, a->inst, a->send);
        break;
    case ACTION_SLAVEOF:
        answer_slaveof(w, a->inst, &a->addr);
        break;
    case ACTION_HANDOVER:
    case ACTION_HANDOVER_ABORT:
    case ACTION_SETTLE:
        answer_handover(w, a);
        break;
    case ACTION_ASK:
        answer_ask(w, a->inst, a->vote, a->epoch);
        break;
    case ACTION_BALLOT:
        answer_ballot(w, &a->u.ballot);
        break;
    default:
        break;
    }
}

/* Shows the update's actions, then answers them in order. */
static inline void carry_out(struct world *w)
{
    const size_t count = w->up.count;
    struct action *actions = malloc((count + 1) * sizeof(*actions));
    if (count > 0)
        memcpy(actions, w->up.actions, count * sizeof(*actions));
    for (size_t i = 0; i < count; i++)
        show_action(w, &actions[i]);
    struct update update = w->up;
    update_init(&w->up);
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind != ACTION_FORGET)
            answer(w, &actions[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind == ACTION_FORGET)
            instance_free(actions[i].inst);
    }
    update_free(&update);
    free(actions);
}

static inline void step(struct world *w, struct group_event ev)
{
    ev.now = w->now;
    update_clear(&w->up);
    struct group_view before, after;
    group_view(w->g, &before);
    group_step(w->g, &ev, &w->up);
    group_view(w->g, &after);
    if (memcmp(&before, &after, sizeof(before)) != 0)
        assert_true(w->up.view_changed);
    w->steps++;
    const enum group_reply reply = w->up.reply;
    carry_out(w);
    w->up.reply = reply;
}

/* --- a beginning -----------------------------------------------------------------------------
 * One master (7000) and `replicas` replicas, `peers` other sentinels b, c, d; we are a. */

static inline void world_init(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    memset(w, 0, sizeof(*w));
    periods_default(&w->env.periods);
    w->env.myid = id_of('a');
    w->set = (struct group_settings){
        .quorum = quorum, .parallel_syncs = 1, .down_after = 5000, .failover_timeout = 60000};
    w->start = w->now = 1000000;
    w->show = SHOW_DECISIONS;
    w->auto_config = true;
    w->server_count = replicas + 1;
    w->peer_count = peers;
    for (uint32_t i = 0; i < w->server_count; i++) {
        w->servers[i] = (struct server){.addr = addr_of("127.0.0.1", 7000 + (int)i),
                                        .runid = id_of((char)('0' + i)),
                                        .alive = true,
                                        .role = i == 0 ? ROLE_MASTER : ROLE_REPLICA,
                                        .link_up = true,
                                        .listed = true,
                                        .priority = 100,
                                        .offset = 1000 - i};
        if (i != 0)
            w->servers[i].master = w->servers[0].addr;
    }
    for (uint32_t i = 0; i < peers; i++) {
        w->peers[i] = (struct peer){.addr = addr_of("127.0.0.1", 26380 + (int)i),
                                    .runid = id_of((char)('b' + i)),
                                    .alive = true,
                                    .grants = true};
    }
    update_init(&w->up);
}

static inline void world_start(struct world *w, const struct group_saved *saved)
{
    static const struct group_saved none;
    w->g = group_new(7, "mymaster", &w->servers[0].addr, &w->set, saved != NULL ? saved : &none,
                     &w->env, 42, w->now);
    update_clear(&w->up);
    group_start(w->g, true, w->now, &w->up);
    assert_true(w->up.view_changed);
    carry_out(w);
}

/* Everybody known, two publish-periods gone, and the trace empty. */
static inline void world_settled(struct world *w, uint32_t replicas, uint32_t peers,
                                 uint32_t quorum)
{
    world_init(w, replicas, peers, quorum);
    world_start(w, NULL);
    for (uint32_t i = 0; i < peers; i++)
        meet(w, i);
    run_until(w, 20000);
    assert_int_equal(w->g->replica_count, replicas);
    assert_int_equal(w->g->sentinel_count, peers);
    forget_lines(w);
}

static inline void world_end(struct world *w)
{
    forget_lines(w);
    update_free(&w->up);
    group_free(w->g);
}
