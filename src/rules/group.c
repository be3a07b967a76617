#include "rules/group_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PHASES 60000 /* ms over which groups are spread: a multiple of every usual period */

/* --- actions of every file --------------------------------------------------------------- */

void group_ballot(struct step *s, enum ballot_kind kind, uint64_t epoch, const struct runid *id)
{
    struct ballot *b = &update_add(s->up, ACTION_BALLOT)->u.ballot;
    b->kind = kind;
    b->gid = s->g->gid;
    b->epoch = epoch;
    if (id != NULL)
        b->runid = *id;
}

void group_record(struct step *s, enum record_kind kind, const struct instance *inst)
{
    struct record *r = &update_add(s->up, ACTION_RECORD)->u.record;
    r->kind = kind;
    r->gid = s->g->gid;
    if (inst != NULL) {
        r->addr = inst->addr;
        r->runid = inst->runid;
    }
}

void group_forget(struct step *s, struct instance *inst)
{
    update_add(s->up, ACTION_FORGET)->inst = inst;
}

/* --- members ----------------------------------------------------------------------------- */

struct instance *group_make_instance(struct group *g, enum instance_kind kind,
                                     const struct address *addr, ms_t now)
{
    struct instance *inst = instance_new(kind, addr, now);
    if (inst == NULL)
        abort();
    inst->owner = g;
    inst->next_hello = group_hello_after(g, now);
    return inst;
}

/* Room for one more. */
static void list_grow(struct instance ***list, uint32_t count, uint32_t *cap)
{
    if (count < *cap)
        return;
    const uint32_t grown = *cap == 0 ? 4 : 2 * *cap;
    struct instance **items = realloc(*list, grown * sizeof(struct instance *));
    if (items == NULL)
        abort();
    *list = items;
    *cap = grown;
}

static void list_take(struct instance **list, uint32_t *count, const struct instance *inst)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (list[i] == inst) {
            /* The order stays: events that name all of them come in one familiar order. */
            memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof(struct instance *));
            (*count)--;
            return;
        }
    }
    assert(false && "the instance is on its list");
}

bool group_put_replica(struct group *g, struct instance *inst)
{
    assert(inst->kind == INSTANCE_REPLICA);
    if (g->replica_count >= LIMIT_REPLICAS)
        return false;
    list_grow(&g->replicas, g->replica_count, &g->replica_cap);
    g->replicas[g->replica_count++] = inst;
    return true;
}

struct instance *group_add_replica(struct group *g, const struct address *addr, ms_t now)
{
    if (g->replica_count >= LIMIT_REPLICAS) {
        g->dropped++;
        return NULL;
    }
    struct instance *inst = group_make_instance(g, INSTANCE_REPLICA, addr, now);
    const bool put = group_put_replica(g, inst);
    assert(put);
    (void)put;
    return inst;
}

struct instance *group_add_sentinel(struct group *g, const struct address *addr,
                                    const struct runid *id, ms_t now)
{
    assert(runid_known(id));
    if (g->sentinel_count >= LIMIT_SENTINELS) {
        g->dropped++;
        return NULL;
    }
    struct instance *inst = group_make_instance(g, INSTANCE_SENTINEL, addr, now);
    inst->runid = *id;
    list_grow(&g->sentinels, g->sentinel_count, &g->sentinel_cap);
    g->sentinels[g->sentinel_count++] = inst;
    return inst;
}

void group_take_replica(struct group *g, const struct instance *inst)
{
    list_take(g->replicas, &g->replica_count, inst);
}

void group_take_sentinel(struct group *g, const struct instance *inst)
{
    list_take(g->sentinels, &g->sentinel_count, inst);
}

struct instance *group_find_replica(const struct group *g, const struct address *addr)
{
    for (uint32_t i = 0; i < g->replica_count; i++) {
        if (address_equal(&g->replicas[i]->addr, addr))
            return g->replicas[i];
    }
    return NULL;
}

struct instance *group_find_sentinel(const struct group *g, const struct runid *id)
{
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        if (runid_equal(&g->sentinels[i]->runid, id))
            return g->sentinels[i];
    }
    return NULL;
}

struct instance *group_find_sentinel_at(const struct group *g, const struct address *addr)
{
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        if (address_equal(&g->sentinels[i]->addr, addr))
            return g->sentinels[i];
    }
    return NULL;
}

/* --- life -------------------------------------------------------------------------------- */

/* Groups differ in their phase, so that the work of thousands is spread; sentinels do not. */
static uint64_t name_hash(const char *name, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    hash = (hash ^ hash >> 31) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

struct group *group_new(uint32_t gid, const char *name, const struct address *addr,
                        const struct group_settings *set, const struct group_saved *saved,
                        const struct group_env *env, uint64_t seed, ms_t now)
{
    const size_t len = strlen(name);
    assert(len > 0 && len <= LIMIT_NAME);
    assert(now > 0 && address_known(addr));
    struct group *g = calloc(1, sizeof(*g) + len + 1);
    if (g == NULL)
        abort();
    g->gid = gid;
    memcpy(g->name, name, len + 1);
    g->env = env;
    g->set = *set;
    g->config_epoch = saved->config_epoch;
    /* Without a saved one the elector starts at its current epoch (design.md §4.1). */
    g->has_votes = saved->has_leader_epoch;
    g->leader_epoch = saved->has_leader_epoch ? saved->leader_epoch : env->current_epoch;
    if (saved->has_leader_epoch)
        g->leader = saved->leader;
    prng_seed(&g->prng, seed);
    g->phase = (ms_t)(name_hash(name, len) % PHASES) - env->common;
    g->master = group_make_instance(g, INSTANCE_MASTER, addr, now);
    g->deadline = now;
    return g;
}

bool group_add_known_replica(struct group *g, const struct address *addr, ms_t now)
{
    if (!address_known(addr) || address_equal(addr, &g->master->addr) ||
        group_find_replica(g, addr) != NULL)
        return false;
    return group_add_replica(g, addr, now) != NULL;
}

bool group_add_known_sentinel(struct group *g, const struct address *addr, const struct runid *id,
                              ms_t now)
{
    if (!runid_known(id) || runid_equal(id, &g->env->myid) || group_find_sentinel(g, id) != NULL)
        return false;
    /* Port 0 is an address that became invalid: the sentinel counts all the same. */
    if (address_known(addr) && group_find_sentinel_at(g, addr) != NULL)
        return false;
    return group_add_sentinel(g, addr, id, now) != NULL;
}

static void ballot_terms(struct step *s, enum ballot_kind kind)
{
    const struct group *g = s->g;
    struct ballot *b = &update_add(s->up, ACTION_BALLOT)->u.ballot;
    b->kind = kind;
    b->gid = g->gid;
    b->u.terms.quorum = g->set.quorum;
    b->u.terms.failover_timeout = g->set.failover_timeout;
    b->u.terms.config_epoch = g->config_epoch;
    if (kind == BALLOT_ADD && g->has_votes) {
        b->u.terms.has_votes = true;
        b->epoch = g->leader_epoch;
        b->leader = g->leader;
    }
}

void group_start(struct group *g, bool announce, ms_t now, struct update *up)
{
    struct step s = {.g = g, .now = now, .up = up};
    up->view_changed = true;
    ballot_terms(&s, BALLOT_ADD);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        group_ballot(&s, BALLOT_MEMBER_ADD, 0, &g->sentinels[i]->runid);
    if (announce) {
        char quorum[32];
        snprintf(quorum, sizeof(quorum), "quorum %u", g->set.quorum);
        update_event_instance(up, EVENT_MONITOR, g, g->master, quorum);
    }
    group_open_links(&s, g->master);
    for (uint32_t i = 0; i < g->replica_count; i++)
        group_open_links(&s, g->replicas[i]);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        group_open_links(&s, g->sentinels[i]);
    g->deadline = down_deadline(g, now);
}

void group_stop(struct group *g, ms_t now, struct update *up)
{
    struct step s = {.g = g, .now = now, .up = up};
    up->view_changed = true;
    group_ballot(&s, BALLOT_REMOVE, 0, NULL);
    update_event_instance(up, EVENT_UNMONITOR, g, g->master, NULL);
    coordinated_undo(&s);
    failover_clear(g, now);
    g->fo.wished = false;
    g->commit = (struct group_commit){0};
    for (uint32_t i = 0; i < g->replica_count; i++)
        group_forget(&s, g->replicas[i]);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        group_forget(&s, g->sentinels[i]);
    group_forget(&s, g->master);
    g->replica_count = g->sentinel_count = 0;
    g->master = NULL;
    g->deadline = MS_NEVER;
}

void group_free(struct group *g)
{
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->replica_count; i++)
        instance_free(g->replicas[i]);
    for (uint32_t i = 0; i < g->sentinel_count; i++)
        instance_free(g->sentinels[i]);
    instance_free(g->master);
    free(g->replicas);
    free(g->sentinels);
    free(g);
}

/* --- one event --------------------------------------------------------------------------- */

static void reconnect(struct step *s)
{
    struct group *g = s->g;
    group_close_links(s, g->master);
    group_open_links(s, g->master);
    for (uint32_t i = 0; i < g->replica_count; i++) {
        group_close_links(s, g->replicas[i]);
        group_open_links(s, g->replicas[i]);
    }
}

static void outcome(struct step *s, const struct outcome *o)
{
    assert(o->gid == s->g->gid);
    switch (o->kind) {
    case OUTCOME_NEW_EPOCH:
    case OUTCOME_STARTED:
    case OUTCOME_ELECTED:
    case OUTCOME_LOST:
    case OUTCOME_VOTED:
        failover_outcome(s, o);
        return;
    case OUTCOME_CONFIG:
        adopt_config(s, o);
        return;
    case OUTCOME_FRESH:
        adopt_fresh(s, o);
        return;
    }
    assert(false && "an outcome is of one of seven kinds");
}

static void change_settings(struct step *s, const struct group_settings *set)
{
    s->g->set = *set;
    ballot_terms(s, BALLOT_SET);
    /* Verdicts that depend on them are passed at once. */
    down_tick(s);
}

static bool is_light(enum group_event_kind kind)
{
    return kind == GROUP_PONG || kind == GROUP_REPLY || kind == GROUP_PUBSUB || kind == GROUP_HELLO;
}

/* Events that touch one instance's heartbeat and usually nothing else: no loop over the group, and
 * the deadline may stay, as it only becomes early. Returns whether more has changed. */
static bool step_light(struct step *s, const struct group_event *ev)
{
    switch (ev->kind) {
    case GROUP_PONG:
        return down_pong(s, ev->inst, ev->ping);
    case GROUP_REPLY:
        ev->inst->live.link_activity = ev->now;
        return false;
    case GROUP_PUBSUB:
        ev->inst->live.pubsub_activity = ev->now;
        return false;
    case GROUP_HELLO:
        return discovery_hello(s, ev->hello);
    default:
        return true;
    }
}

static void step_heavy(struct step *s, const struct group_event *ev)
{
    switch (ev->kind) {
    case GROUP_PONG:
    case GROUP_REPLY:
    case GROUP_PUBSUB:
    case GROUP_HELLO:
        return; /* step_light has done them */
    case GROUP_TICK:
        down_tick(s);
        return;
    case GROUP_LINK_UP:
        down_link_up(s, ev->inst, ev->link);
        return;
    case GROUP_LINK_DOWN:
        down_link_down(s, ev->inst, ev->link);
        return;
    case GROUP_INFO:
        discovery_info(s, ev->inst, ev->info);
        return;
    case GROUP_EXEC:
        failover_exec(s, ev->inst, ev->ok);
        return;
    case GROUP_HANDOVER:
        coordinated_answer(s, ev->inst, ev->ok);
        return;
    case GROUP_PEER:
        down_peer(s, ev->inst, ev->live);
        return;
    case GROUP_ANSWER:
        down_answer(s, ev);
        return;
    case GROUP_ASKED:
        down_asked(s, ev->inst);
        return;
    case GROUP_OUTCOME:
        outcome(s, ev->outcome);
        return;
    case GROUP_FAILOVER:
        failover_command(s, ev->coordinated);
        return;
    case GROUP_RESET:
        adopt_reset(s);
        return;
    case GROUP_SET:
        change_settings(s, ev->settings);
        return;
    case GROUP_RECONNECT:
        reconnect(s);
        return;
    case GROUP_SENTINEL_MOVED:
        discovery_moved(s, &ev->runid, &ev->addr);
        return;
    case GROUP_RESOLVED:
        discovery_resolved(s, ev->inst, &ev->addr);
        return;
    case GROUP_SENTINEL_INVALID:
        discovery_invalid(s, &ev->runid, &ev->addr);
        return;
    }
    assert(false && "an event is of one of the kinds");
}

void group_step(struct group *g, const struct group_event *ev, struct update *up)
{
    assert(g->master != NULL && ev->now > 0);
    assert(ev->inst == NULL || ev->inst->owner == g);
    struct step s = {.g = g, .now = ev->now, .up = up};

    struct group_view before, after;
    const bool light = is_light(ev->kind);
    if (light) {
        if (!step_light(&s, ev))
            return;
        up->view_changed = true; /* it may have: that is rare */
    }
    group_view(g, &before);
    if (!light)
        step_heavy(&s, ev);

    /* What follows from what has just changed, until nothing more does. */
    down_judge_quorum(&s);
    failover_want(&s);
    failover_run(&s);
    failover_want(&s); /* the failover may have ended */
    down_ask(&s);

    group_view(g, &after);
    if (memcmp(&before, &after, sizeof(before)) != 0)
        up->view_changed = true;
    const ms_t least = ev->kind == GROUP_TICK ? ev->now + 1 : ev->now;
    g->deadline = down_deadline(g, ev->now);
    if (g->deadline < least)
        g->deadline = least;
}

ms_t group_next_deadline(const struct group *g)
{
    return g->deadline;
}

ms_t group_verdict_at(const struct group *g)
{
    return g->master != NULL ? down_verdict_at(g) : MS_NEVER;
}

bool group_urgent(const struct group *g)
{
    return g->master != NULL && ((g->master->flags & FLAG_S_DOWN) || g->fo.state != FAILOVER_NONE ||
                                 g->fo.wished || g->commit.pending);
}

/* --- what others see --------------------------------------------------------------------- */

const char *failover_state_name(enum failover_state state)
{
    switch (state) {
    case FAILOVER_NONE:
        return "none";
    case FAILOVER_WAIT_START:
        return "wait_start";
    case FAILOVER_SELECT_SLAVE:
        return "select_slave";
    case FAILOVER_SEND_SLAVEOF_NOONE:
        return "send_slaveof_noone";
    case FAILOVER_WAIT_PROMOTION:
        return "wait_promotion";
    case FAILOVER_RECONF_SLAVES:
        return "reconf_slaves";
    case FAILOVER_UPDATE_CONFIG:
        return "update_config";
    }
    assert(false && "a failover is in one of seven states");
    return "unknown";
}

const struct address *group_current(const struct group *g)
{
    if (g->fo.promoted != NULL && g->fo.state >= FAILOVER_RECONF_SLAVES)
        return &g->fo.promoted->addr;
    return &g->master->addr;
}

void group_view(const struct group *g, struct group_view *view)
{
    memset(view, 0, sizeof(*view)); /* compared as bytes, padding too */
    view->config_epoch = g->config_epoch;
    view->leader_epoch = g->leader_epoch;
    memcpy(&view->leader, &g->leader, sizeof(view->leader));
    view->replicas = g->replica_count;
    view->sentinels = g->sentinel_count;
    view->quorum = g->set.quorum;
    if (g->master == NULL)
        return;
    memcpy(&view->master, &g->master->addr, sizeof(view->master));
    memcpy(&view->current, group_current(g), sizeof(view->current));
    view->s_down = (g->master->flags & FLAG_S_DOWN) != 0;
    view->o_down = (g->master->flags & FLAG_O_DOWN) != 0;
    view->failover = g->fo.state != FAILOVER_NONE;
}

uint32_t group_usable(const struct group *g, bool *quorum, bool *majority)
{
    uint32_t usable = 1; /* ourselves */
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        if (!(g->sentinels[i]->flags & FLAG_S_DOWN))
            usable++;
    }
    const uint32_t voters = g->sentinel_count + 1;
    *quorum = usable >= g->set.quorum;
    *majority = usable >= voters / 2 + 1;
    return usable;
}

struct instance *group_best_replica(const struct group *g, ms_t now)
{
    return failover_select(g, now, false);
}
