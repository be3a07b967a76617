/* Links, what is sent when, and the verdicts: s_down, o_down (protocol.md §2, 3). */
#include "rules/group_inner.h"

#include <stdio.h>

/* --- the group's beat ------------------------------------------------------------------------
 * What is periodic happens at phase + n x beat: everything that is due to one instance leaves in
 * one write, groups that started together are spread, and a late tick does not shift the next ones.
 * The phase comes from the group's name and the time that sentinels share, so that the hellos of
 * all of them meet: whoever listens takes them in one piece, which is a fifth of all cost.
 */

ms_t group_ping_period(const struct group *g)
{
    const ms_t period =
        g->env->periods.ping < g->set.down_after ? g->env->periods.ping : g->set.down_after;
    return period > 0 ? period : 1;
}

static ms_t beat_period(const struct group *g)
{
    const struct periods *p = &g->env->periods;
    ms_t beat = group_ping_period(g);
    if (p->publish < beat)
        beat = p->publish;
    if (p->info < beat)
        beat = p->info;
    return beat > 0 ? beat : 1;
}

/* The last beat at or before t. */
static ms_t beat_before(const struct group *g, ms_t t)
{
    const ms_t beat = beat_period(g), since = t - g->phase;
    return g->phase + (since >= 0 ? since / beat : -((beat - 1 - since) / beat)) * beat;
}

static ms_t next_beat(const struct group *g, ms_t now)
{
    return beat_before(g, now) + beat_period(g);
}

ms_t group_due_after(const struct group *g, ms_t now, ms_t period)
{
    const ms_t due = beat_before(g, now + period);
    return due > now ? due : next_beat(g, now);
}

ms_t group_hello_after(const struct group *g, ms_t now)
{
    /* Out of step, after a hello that could not wait, the period is once shorter or longer. */
    const ms_t period = g->env->periods.publish > 0 ? g->env->periods.publish : 1;
    const ms_t since = now + period / 2 - g->phase;
    const ms_t slots = since >= 0 ? since / period : -((period - 1 - since) / period);
    const ms_t due = g->phase + (slots + 1) * period;
    return due > now ? due : now + 1;
}

static ms_t info_period(const struct group *g, const struct instance *inst)
{
    const ms_t period = g->env->periods.info;
    /* A replica that says master is an old one come back: it is waited for. */
    const bool trouble = (g->master->flags & (FLAG_O_DOWN | FLAG_FAILOVER_IN_PROGRESS)) ||
                         inst->server->master_link_down > 0 || inst->server->role == ROLE_MASTER;
    return inst->kind == INSTANCE_REPLICA && trouble && period > INFO_FAST ? INFO_FAST : period;
}

/* --- sending ----------------------------------------------------------------------------- */

void group_send(struct step *s, struct instance *inst, unsigned send)
{
    if (inst->kind == INSTANCE_SENTINEL)
        send &= SEND_HELLO;
    if ((send & SEND_HELLO) && coordinated_pauses(s->g, inst)) {
        send &= ~(unsigned)SEND_HELLO;
        inst->next_hello = group_hello_after(s->g, s->now);
    }
    if (send == 0 || !inst->live.cmd_up)
        return;
    if (send & SEND_PING) {
        inst->live.ping_sent = s->now;
        if (inst->live.ping_pending == 0)
            inst->live.ping_pending = s->now;
        inst->next_ping = group_due_after(s->g, s->now, group_ping_period(s->g));
    }
    if (send & SEND_INFO) {
        inst->server->info_pending = true;
        inst->server->next_info = group_due_after(s->g, s->now, info_period(s->g, inst));
    }
    if (send & SEND_HELLO)
        inst->next_hello = group_hello_after(s->g, s->now);
    struct action *a = update_add(s->up, ACTION_SEND);
    a->inst = inst;
    a->send = send;
}

void group_send_all(struct step *s, unsigned send)
{
    struct group *g = s->g;
    group_send(s, g->master, send);
    for (uint32_t i = 0; i < g->replica_count; i++)
        group_send(s, g->replicas[i], send);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        group_send(s, g->sentinels[i], send);
}

void group_poll(struct step *s, struct instance *inst)
{
    if (!inst->server->info_pending)
        group_send(s, inst, SEND_INFO);
}

static void send_due(struct step *s, struct instance *inst)
{
    unsigned send = 0;
    if (inst->kind != INSTANCE_SENTINEL) {
        if (s->now >= inst->next_ping)
            send |= SEND_PING;
        /* The period may have become shorter since the time was set. */
        const ms_t latest = group_due_after(s->g, s->now, info_period(s->g, inst));
        if (inst->server->next_info > latest)
            inst->server->next_info = latest;
        if (s->now >= inst->server->next_info)
            send |= SEND_INFO;
    }
    if (s->now >= inst->next_hello)
        send |= SEND_HELLO;
    group_send(s, inst, send);
}

/* --- links ------------------------------------------------------------------------------- */

static void open_link(struct step *s, struct instance *inst, enum link_kind link)
{
    if (link == LINK_CMD) {
        inst->live.cmd_opening = true;
        inst->live.cmd_tried = s->now;
    } else {
        inst->live.pubsub_opening = true;
        inst->live.pubsub_tried = s->now;
    }
    struct action *a = update_add(s->up, ACTION_LINK_OPEN);
    a->inst = inst;
    a->link = link;
}

static void close_link(struct step *s, struct instance *inst, enum link_kind link)
{
    if (link == LINK_CMD) {
        inst->live.cmd_up = inst->live.cmd_opening = false;
        if (inst->server != NULL)
            inst->server->info_pending = false;
    } else {
        inst->live.pubsub_up = inst->live.pubsub_opening = false;
    }
    struct action *a = update_add(s->up, ACTION_LINK_CLOSE);
    a->inst = inst;
    a->link = link;
}

void group_open_links(struct step *s, struct instance *inst)
{
    if (!address_known(&inst->addr))
        return;
    if (!inst->live.cmd_up && !inst->live.cmd_opening)
        open_link(s, inst, LINK_CMD);
    if (inst->kind != INSTANCE_SENTINEL && !inst->live.pubsub_up && !inst->live.pubsub_opening)
        open_link(s, inst, LINK_PUBSUB);
}

void group_close_links(struct step *s, struct instance *inst)
{
    if (inst->live.cmd_up || inst->live.cmd_opening)
        close_link(s, inst, LINK_CMD);
    if (inst->live.pubsub_up || inst->live.pubsub_opening)
        close_link(s, inst, LINK_PUBSUB);
}

static ms_t retry_at(const struct group *g, ms_t tried)
{
    return tried == 0 ? 0 : tried + group_ping_period(g);
}

/* Closes what is silent, opens what is closed. A sentinel's link looks after itself. */
static void serve_links(struct step *s, struct instance *inst)
{
    const struct group *g = s->g;
    const struct periods *p = &g->env->periods;
    struct liveness *live = &inst->live;
    if (inst->kind == INSTANCE_SENTINEL || !address_known(&inst->addr))
        return;
    if (liveness_cmd_stale(live, p, g->set.down_after, s->now))
        close_link(s, inst, LINK_CMD);
    if (liveness_pubsub_stale(live, p, s->now))
        close_link(s, inst, LINK_PUBSUB);
    if (!live->cmd_up && !live->cmd_opening && s->now >= retry_at(g, live->cmd_tried))
        open_link(s, inst, LINK_CMD);
    if (!live->pubsub_up && !live->pubsub_opening && s->now >= retry_at(g, live->pubsub_tried))
        open_link(s, inst, LINK_PUBSUB);
}

void down_link_up(struct step *s, struct instance *inst, enum link_kind link)
{
    struct group *g = s->g;
    struct liveness *live = &inst->live;
    assert(inst->kind != INSTANCE_SENTINEL);
    if (link == LINK_PUBSUB) {
        live->pubsub_up = true;
        live->pubsub_opening = false;
        live->pubsub_since = live->pubsub_activity = s->now;
        return;
    }
    live->cmd_up = true;
    live->cmd_opening = false;
    live->cmd_since = live->link_activity = s->now;
    inst->server->info_pending = false;
    /* Silence goes on from the last valid reply: a server that accepts and resets, over and over,
     * must not look younger with every connection. */
    if (live->ping_pending == 0)
        live->ping_pending = live->reply_ok;
    group_send(s, inst, SEND_PING | SEND_INFO | (s->now >= inst->next_hello ? SEND_HELLO : 0));
    /* Spread what would otherwise come to all groups in the same second for ever. */
    const ms_t period = info_period(g, inst);
    if (period > 0)
        inst->server->next_info =
            next_beat(g, s->now + (ms_t)prng_below(&g->prng, (uint64_t)period));
}

void down_link_down(struct step *s, struct instance *inst, enum link_kind link)
{
    struct liveness *live = &inst->live;
    assert(inst->kind != INSTANCE_SENTINEL);
    /* The transaction of a failover cuts links that were fine: those are reopened at once. */
    const bool failover = s->g->fo.state != FAILOVER_NONE;
    if (link == LINK_CMD) {
        if (failover && live->cmd_up && s->now - live->cmd_since >= RECONNECT)
            live->cmd_tried = 0;
        live->cmd_up = live->cmd_opening = false;
        inst->server->info_pending = false;
        failover_link_cut(s, inst);
    } else {
        if (failover && live->pubsub_up && s->now - live->pubsub_since >= RECONNECT)
            live->pubsub_tried = 0;
        live->pubsub_up = live->pubsub_opening = false;
    }
    serve_links(s, inst);
}

/* --- s_down ------------------------------------------------------------------------------ */

static bool is_down(const struct group *g, const struct instance *inst, ms_t now)
{
    if (liveness_silence(&inst->live, now) > g->set.down_after)
        return true;
    if (inst->kind != INSTANCE_MASTER)
        return false;
    if (inst->server->role == ROLE_REPLICA &&
        now - inst->server->role_since > g->set.down_after + 2 * g->env->periods.info)
        return true;
    return g->set.reboot_down_after > 0 && (inst->flags & FLAG_MASTER_REBOOT) &&
           now - inst->server->reboot_at > g->set.reboot_down_after;
}

/* When is_down() becomes true if nothing comes. */
static ms_t down_at(const struct group *g, const struct instance *inst)
{
    ms_t at = liveness_deadline(&inst->live, g->set.down_after);
    if (inst->kind != INSTANCE_MASTER)
        return at;
    if (inst->server->role == ROLE_REPLICA) {
        const ms_t role =
            inst->server->role_since + g->set.down_after + 2 * g->env->periods.info + 1;
        at = role < at ? role : at;
    }
    if (g->set.reboot_down_after > 0 && (inst->flags & FLAG_MASTER_REBOOT)) {
        const ms_t reboot = inst->server->reboot_at + g->set.reboot_down_after + 1;
        at = reboot < at ? reboot : at;
    }
    return at;
}

ms_t down_verdict_at(const struct group *g)
{
    return g->env->tilt || (g->master->flags & FLAG_S_DOWN) ? MS_NEVER : down_at(g, g->master);
}

void down_judge(struct step *s, struct instance *inst)
{
    struct group *g = s->g;
    if (g->env->tilt)
        return;
    const bool was = (inst->flags & FLAG_S_DOWN) != 0;
    const bool down = is_down(g, inst, s->now);
    if (was == down)
        return;
    if (down) {
        inst->flags |= FLAG_S_DOWN;
        inst->sdown_since = s->now;
    } else {
        inst->flags &= ~(unsigned)(FLAG_S_DOWN | FLAG_SCRIPT_KILL_SENT);
        inst->sdown_since = 0;
        inst->down_until = s->now;
    }
    update_event_instance(s->up, down ? EVENT_SDOWN : EVENT_SDOWN_END, g, inst, NULL);
    if (inst->kind == INSTANCE_MASTER) {
        g->outage_since = down ? s->now : 0;
        /* A vote may come just before our own verdict: it belongs to this outage. */
        if (!down || s->now - g->fo.vote_since > g->set.failover_timeout)
            g->fo.vote_since = 0;
        if (down)
            g->next_ask = s->now;
    }
    if (inst->kind == INSTANCE_SENTINEL) {
        group_ballot(s, down ? BALLOT_MEMBER_DOWN : BALLOT_MEMBER_UP, 0, &inst->runid);
        if (!down)
            failover_sentinel_up(s);
    }
}

/* --- o_down ------------------------------------------------------------------------------ */

static ms_t evidence_ends(const struct group *g, const struct instance *sentinel)
{
    return sentinel->peer->down_reply_at + 5 * g->env->periods.ask;
}

/* What a sentinel said is forgotten after a while. */
static void forget_evidence(struct step *s)
{
    struct group *g = s->g;
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        struct instance *sentinel = g->sentinels[i];
        if (sentinel->peer->down_reply_at != 0 && s->now > evidence_ends(g, sentinel)) {
            sentinel->flags &= ~(unsigned)FLAG_MASTER_DOWN;
            sentinel->peer->down_reply_at = 0;
            sentinel->peer->leader = (struct runid){0};
        }
    }
}

void down_judge_quorum(struct step *s)
{
    struct group *g = s->g;
    struct instance *master = g->master;
    if (g->env->tilt)
        return;
    forget_evidence(s);
    uint32_t count = 1;
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        if (g->sentinels[i]->flags & FLAG_MASTER_DOWN)
            count++;
    }
    const bool was = (master->flags & FLAG_O_DOWN) != 0;
    const bool down = (master->flags & FLAG_S_DOWN) && count >= g->set.quorum;
    if (was == down)
        return;
    if (down) {
        char quorum[40];
        snprintf(quorum, sizeof(quorum), "#quorum %u/%u", count, g->set.quorum);
        update_event_instance(s->up, EVENT_ODOWN, g, master, quorum);
        master->flags |= FLAG_O_DOWN;
        master->server->odown_since = s->now;
        return;
    }
    update_event_instance(s->up, EVENT_ODOWN_END, g, master, NULL);
    master->flags &= ~(unsigned)FLAG_O_DOWN;
    master->server->odown_since = 0;
    if (!(master->flags & FLAG_S_DOWN))
        master->down_until = s->now;
    if (g->fo.wished && !g->fo.forced) {
        g->fo.wished = false;
        group_ballot(s, BALLOT_CANCEL, 0, NULL);
    }
}

/* --- asking and being asked -------------------------------------------------------------- */

static bool attempt_on(const struct group *g)
{
    return g->fo.state != FAILOVER_NONE;
}

/* Whether votes are asked for. Whoever gave us one is asked on while the failover runs: that keeps
 * him from starting his own; but not once our round is dropped (design.md §4.6). */
static bool voting(const struct group *g)
{
    return attempt_on(g) && !g->fo.paused;
}

void group_ask(struct step *s, struct instance *sentinel)
{
    const struct group *g = s->g;
    if (!sentinel->live.cmd_up)
        return;
    struct action *a = update_add(s->up, ACTION_ASK);
    a->inst = sentinel;
    a->addr = g->master->addr;
    a->vote = voting(g);
    a->epoch = a->vote ? g->fo.epoch : g->env->current_epoch;
}

void group_ask_all(struct step *s)
{
    struct group *g = s->g;
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        group_ask(s, g->sentinels[i]);
    g->next_ask = s->now + (g->env->periods.ask > 0 ? g->env->periods.ask : 1);
}

/* Whether there is anything to ask. Whoever gave us a vote is asked on while the failover runs:
 * that keeps him from starting his own (design.md §4.6). */
static bool asking(const struct group *g)
{
    return !g->env->tilt && ((g->master->flags & FLAG_S_DOWN) || attempt_on(g));
}

void down_ask(struct step *s)
{
    if (asking(s->g) && s->now >= s->g->next_ask)
        group_ask_all(s);
}

void down_answer(struct step *s, const struct group_event *ev)
{
    struct group *g = s->g;
    struct instance *sentinel = ev->inst;
    assert(sentinel->kind == INSTANCE_SENTINEL);
    if (ev->epoch > LIMIT_EPOCH) {
        g->dropped++;
        return;
    }
    sentinel->peer->down_reply_at = s->now;
    if (ev->down)
        sentinel->flags |= FLAG_MASTER_DOWN;
    else
        sentinel->flags &= ~(unsigned)FLAG_MASTER_DOWN;
    const bool named = runid_known(&ev->runid);
    if (named) {
        if (sentinel->peer->leader_epoch != ev->epoch)
            update_log(s->up, EVENT_WARNING, "%s voted for %s %llu", sentinel->runid.hex,
                       ev->runid.hex, (unsigned long long)ev->epoch);
        sentinel->peer->leader = ev->runid;
        sentinel->peer->leader_epoch = ev->epoch;
    }
    if (!named && !attempt_on(g))
        return;
    struct ballot *b = &update_add(s->up, ACTION_BALLOT)->u.ballot;
    b->kind = BALLOT_ANSWER;
    b->gid = g->gid;
    b->epoch = ev->epoch;
    b->runid = sentinel->runid;
    b->leader = ev->runid;
    b->u.heard = sentinel->peer->heard_epoch;
}

void down_asked(struct step *s, struct instance *sentinel)
{
    struct group *g = s->g;
    struct instance *master = g->master;
    if (g->env->tilt || g->env->after_gap)
        return;
    if (sentinel != NULL) {
        assert(sentinel->kind == INSTANCE_SENTINEL);
        sentinel->flags |= FLAG_MASTER_DOWN;
        sentinel->peer->down_reply_at = s->now;
    }
    if (master->live.ping_pending == 0 && s->now - master->live.ping_sent >= PROBE_GAP)
        group_send(s, master, SEND_PING);
}

/* --- heartbeats -------------------------------------------------------------------------- */

bool down_pong(struct step *s, struct instance *inst, enum ping_reply reply)
{
    const bool valid = liveness_pong(&inst->live, reply, s->now);
    if (reply == PING_PONG && (inst->flags & FLAG_MASTER_REBOOT)) {
        inst->flags &= ~(unsigned)FLAG_MASTER_REBOOT;
        inst->server->reboot_at = 0;
    }
    if (!(inst->flags & FLAG_S_DOWN))
        return false;
    if (reply == PING_BUSY && !(inst->flags & FLAG_SCRIPT_KILL_SENT) && inst->live.cmd_up) {
        inst->flags |= FLAG_SCRIPT_KILL_SENT;
        update_add(s->up, ACTION_SCRIPT_KILL)->inst = inst;
    }
    if (valid)
        down_judge(s, inst);
    return !(inst->flags & FLAG_S_DOWN);
}

void down_peer(struct step *s, struct instance *sentinel, const struct liveness *live)
{
    assert(sentinel->kind == INSTANCE_SENTINEL);
    const bool was_up = sentinel->live.cmd_up;
    sentinel->live = *live;
    down_judge(s, sentinel);
    if (was_up || !live->cmd_up)
        return;
    failover_sentinel_up(s);
    if (asking(s->g))
        group_ask(s, sentinel);
    if (s->now >= sentinel->next_hello)
        group_send(s, sentinel, SEND_HELLO);
}

/* --- the tick ---------------------------------------------------------------------------- */

void down_tick(struct step *s)
{
    struct group *g = s->g;
    serve_links(s, g->master);
    send_due(s, g->master);
    for (uint32_t i = 0; i < g->replica_count; i++) {
        serve_links(s, g->replicas[i]);
        send_due(s, g->replicas[i]);
    }
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        send_due(s, g->sentinels[i]);

    down_judge(s, g->master);
    down_judge_quorum(s);
    for (uint32_t i = 0; i < g->replica_count; i++)
        down_judge(s, g->replicas[i]);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        down_judge(s, g->sentinels[i]);
}

static void earlier(ms_t *deadline, ms_t t)
{
    if (t < *deadline)
        *deadline = t;
}

static ms_t instance_deadline(const struct group *g, const struct instance *inst)
{
    const struct liveness *live = &inst->live;
    ms_t at = MS_NEVER;
    const bool server = inst->kind != INSTANCE_SENTINEL;
    if (live->cmd_up) {
        earlier(&at, inst->next_hello);
        if (server) {
            earlier(&at, inst->next_ping);
            earlier(&at, inst->server->next_info);
        }
    } else if (server && !live->cmd_opening && address_known(&inst->addr)) {
        earlier(&at, retry_at(g, live->cmd_tried));
    }
    if (server && !live->pubsub_up && !live->pubsub_opening && address_known(&inst->addr))
        earlier(&at, retry_at(g, live->pubsub_tried));
    if (!g->env->tilt && !(inst->flags & FLAG_S_DOWN))
        earlier(&at, down_at(g, inst));
    return at;
}

ms_t down_deadline(const struct group *g, ms_t now)
{
    /* Every group looks around once a beat: what becomes true without an event (the end of TILT, a
     * silent link) is seen then. */
    ms_t at = next_beat(g, now);
    earlier(&at, instance_deadline(g, g->master));
    for (uint32_t i = 0; i < g->replica_count; i++)
        earlier(&at, instance_deadline(g, g->replicas[i]));
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        earlier(&at, instance_deadline(g, g->sentinels[i]));
        if (!g->env->tilt && (g->sentinels[i]->flags & FLAG_MASTER_DOWN))
            earlier(&at, evidence_ends(g, g->sentinels[i]) + 1);
    }
    if (asking(g))
        earlier(&at, g->next_ask);
    earlier(&at, failover_deadline(g, now));
    return at;
}
