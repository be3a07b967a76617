/* What INFO and hellos teach: replicas, roles, sentinels (protocol.md §4, 5). */
#include "rules/group_inner.h"

#include <stdio.h>
#include <string.h>

/* --- sentinels --------------------------------------------------------------------------- */

void discovery_drop(struct step *s, struct instance *sentinel)
{
    group_ballot(s, BALLOT_MEMBER_DROP, 0, &sentinel->runid);
    group_record(s, RECORD_NO_SENTINEL, sentinel);
    group_take_sentinel(s->g, sentinel);
    group_forget(s, sentinel);
}

/* The entry now means another process at another address: what the old one said is void. */
static void move_sentinel(struct step *s, struct instance *sentinel, const struct address *addr)
{
    group_close_links(s, sentinel);
    if (sentinel->flags & FLAG_S_DOWN)
        group_ballot(s, BALLOT_MEMBER_UP, 0, &sentinel->runid);
    sentinel->flags = 0;
    sentinel->sdown_since = 0;
    sentinel->peer->down_reply_at = 0;
    sentinel->peer->leader = (struct runid){0};
    sentinel->live = (struct liveness){.reply_ok = s->now,
                                       .reply_any = s->now,
                                       .link_activity = s->now,
                                       .pubsub_activity = s->now};
    sentinel->addr = *addr;
    group_record(s, RECORD_SENTINEL, sentinel);
    group_open_links(s, sentinel);
}

/* Whoever else is known at addr is gone, in every group. Never ourselves: see discovery_hello. */
static void evict_address(struct step *s, const struct runid *id, const struct address *addr)
{
    struct instance *other = group_find_sentinel_at(s->g, addr);
    if (other == NULL || runid_equal(&other->runid, id))
        return;
    update_event_instance(s->up, EVENT_SENTINEL_INVALID_ADDR, s->g, other, NULL);
    discovery_drop(s, other);
    struct action *a = update_add(s->up, ACTION_INVALID);
    a->u.runid = *id;
    a->addr = *addr;
}

static struct instance *new_sentinel(struct step *s, const struct hello *hello)
{
    struct group *g = s->g;
    evict_address(s, &hello->runid, &hello->sentinel);
    struct instance *sentinel = group_add_sentinel(g, &hello->sentinel, &hello->runid, s->now);
    if (sentinel == NULL)
        return NULL;
    g->member_added = s->now;
    update_event_instance(s->up, EVENT_SENTINEL, g, sentinel, NULL);
    group_ballot(s, BALLOT_MEMBER_ADD, 0, &sentinel->runid);
    group_record(s, RECORD_SENTINEL, sentinel);
    group_open_links(s, sentinel);
    return sentinel;
}

static void switch_address(struct step *s, struct instance *sentinel, const struct address *addr)
{
    char text[LIMIT_HOST + LIMIT_RUNID + 32];
    evict_address(s, &sentinel->runid, addr);
    snprintf(text, sizeof(text), "ip %s port %u for %s", address_host(addr, s->g->env->names),
             addr->port, sentinel->runid.hex);
    update_event_instance(s->up, EVENT_SENTINEL_ADDRESS_SWITCH, s->g, s->g->master, text);
    move_sentinel(s, sentinel, addr);
    struct action *a = update_add(s->up, ACTION_MOVED);
    a->inst = sentinel;
    a->u.runid = sentinel->runid;
    a->addr = *addr;
}

void discovery_moved(struct step *s, const struct runid *id, const struct address *addr)
{
    struct instance *sentinel = group_find_sentinel(s->g, id);
    if (sentinel == NULL || !address_known(addr) || address_equal(&sentinel->addr, addr))
        return;
    struct instance *other = group_find_sentinel_at(s->g, addr);
    if (other != NULL)
        discovery_drop(s, other);
    move_sentinel(s, sentinel, addr);
}

void discovery_invalid(struct step *s, const struct runid *id, const struct address *addr)
{
    struct instance *other = group_find_sentinel_at(s->g, addr);
    if (other != NULL && !runid_equal(&other->runid, id))
        discovery_drop(s, other);
}

/* --- names --------------------------------------------------------------------------------- */

void discovery_resolved(struct step *s, struct instance *inst, const struct address *addr)
{
    struct group *g = s->g;
    assert(inst->kind != INSTANCE_SENTINEL && addr->ip[0] != '\0');
    /* The answer is to an older question: the instance is another by now. */
    if (inst->addr.host == NULL || inst->addr.host != addr->host || inst->addr.port != addr->port ||
        address_same(&inst->addr, addr))
        return;
    if (g->commit.pending && inst == g->fo.promoted)
        return; /* its address is on its way to the journal; the next link asks again */
    struct address plain = *addr;
    plain.host = NULL; /* by ip alone: is somebody else there? */
    struct instance *other = group_find_replica(g, &plain);
    if (inst != g->master && (other != NULL || address_equal(&g->master->addr, &plain)))
        return;
    if (other != NULL) {
        /* The master's name points to one of its replicas, which is what we take the master to be
         * from here on; whoever made it a master, if anybody has. */
        if (g->fo.state != FAILOVER_NONE || g->fo.wished || g->commit.pending)
            return;
        group_record(s, RECORD_NO_REPLICA, other);
        group_take_replica(g, other);
        group_forget(s, other);
    }
    group_close_links(s, inst);
    inst->addr = *addr;
    group_record(s, inst == g->master ? RECORD_CONFIG : RECORD_REPLICA, inst);
    if (inst == g->master)
        s->up->actions[s->up->count - 1].u.record.epoch = g->config_epoch;
    group_open_links(s, inst);
}

/* A known sentinel is heard at its name, and the name stands for another ip: not a move, and the
 * link looks the name up by itself. */
static void follow_name(struct step *s, struct instance *sentinel, const struct address *addr)
{
    if (addr->host == NULL || sentinel->addr.host != addr->host || addr->ip[0] == '\0' ||
        address_same(&sentinel->addr, addr))
        return;
    sentinel->addr = *addr;
    group_record(s, RECORD_SENTINEL, sentinel);
}

/* --- hellos ------------------------------------------------------------------------------ */

static bool epoch_plausible(const struct group *g, uint64_t epoch)
{
    const uint64_t current = g->env->current_epoch;
    return epoch <= LIMIT_EPOCH && (epoch <= current || epoch - current <= LIMIT_EPOCH_JUMP);
}

/* Epochs and configuration of a known peer. Returns whether anything follows from them. */
static bool hello_epochs(struct step *s, const struct hello *hello, struct instance *sentinel)
{
    struct group *g = s->g;
    uint64_t epoch = hello->current_epoch;
    if (hello->config_epoch > epoch)
        epoch = hello->config_epoch;
    sentinel->peer->heard_epoch = hello->current_epoch;
    if (epoch > g->env->current_epoch)
        group_ballot(s, BALLOT_EPOCH, epoch, &hello->runid);

    const uint64_t known = g->commit.pending ? g->commit.epoch : g->config_epoch;
    if (hello->config_epoch > known && hello->config_epoch > g->config_epoch) {
        adopt_propose(s, hello->config_epoch, &hello->master, sentinel);
        return true;
    }
    if (hello->config_epoch == g->config_epoch && hello->master.ip[0] != '\0' &&
        group_current(g)->ip[0] != '\0' && !address_equal(&hello->master, group_current(g))) {
        adopt_quarrel(s, sentinel);
        return true;
    }
    return false;
}

bool discovery_hello(struct step *s, const struct hello *hello)
{
    struct group *g = s->g;
    if (runid_equal(&hello->runid, &g->env->myid))
        return false; /* our own that came back; or a twin, which is the host's matter */
    if (!epoch_plausible(g, hello->current_epoch) || !epoch_plausible(g, hello->config_epoch)) {
        g->dropped++;
        return false;
    }
    bool changed = false;
    struct instance *sentinel = group_find_sentinel(g, &hello->runid);
    if (sentinel == NULL) {
        sentinel = new_sentinel(s, hello);
        if (sentinel == NULL)
            return false;
        changed = true;
    } else if (!address_equal(&sentinel->addr, &hello->sentinel)) {
        switch_address(s, sentinel, &hello->sentinel);
        changed = true;
    } else {
        follow_name(s, sentinel, &hello->sentinel);
    }
    sentinel->peer->hello_at = s->now;
    return hello_epochs(s, hello, sentinel) || changed;
}

/* --- INFO -------------------------------------------------------------------------------- */

static void see_runid(struct step *s, struct instance *inst, const struct info *info)
{
    const struct group *g = s->g;
    if (!runid_known(&info->runid) || runid_equal(&inst->runid, &info->runid))
        return;
    if (runid_known(&inst->runid)) {
        update_event_instance(s->up, EVENT_REBOOT, g, inst, NULL);
        /* A server that came back empty is no heir, whatever role it took. */
        inst->server->turned_master_at = 0;
        if (inst->kind == INSTANCE_MASTER && g->set.reboot_down_after > 0) {
            inst->flags |= FLAG_MASTER_REBOOT;
            inst->server->reboot_at = s->now;
        }
    }
    inst->runid = info->runid;
}

static void see_replicas(struct step *s, const struct info *info)
{
    struct group *g = s->g;
    g->dropped += info->replicas_ignored;
    for (uint32_t i = 0; i < info->replica_count; i++) {
        const struct address *addr = &info->replicas[i];
        if (!address_known(addr) || address_equal(addr, &g->master->addr))
            continue;
        struct instance *replica = group_find_replica(g, addr);
        if (replica != NULL) {
            replica->server->listed_by_name = addr->host != NULL;
            if (addr->host != NULL && replica->addr.host == NULL) {
                replica->addr.host = addr->host; /* known by its ip so far */
                group_record(s, RECORD_REPLICA, replica);
            }
            continue;
        }
        replica = group_add_replica(g, addr, s->now);
        if (replica == NULL)
            return;
        replica->server->listed_by_name = addr->host != NULL;
        update_event_instance(s->up, EVENT_SLAVE, g, replica, NULL);
        group_record(s, RECORD_REPLICA, replica);
        group_open_links(s, replica);
    }
}

/* What a replica says of its master. */
static void see_master(struct step *s, struct instance *inst, const struct info *info)
{
    const bool moved = !address_equal(&inst->server->master, &info->master);
    if (moved)
        inst->server->master_since = s->now;
    inst->server->master = info->master;
    if (info->master.host == NULL && address_known(&info->master)) {
        memcpy(inst->server->master_name, info->master.ip, sizeof(inst->server->master_name));
    } else if (info->master_host[0] != '\0') {
        snprintf(inst->server->master_name, sizeof(inst->server->master_name), "%.*s", LIMIT_IP,
                 info->master_host);
    }
    inst->server->master_link_up = info->master_link_up;
    inst->server->master_link_down = info->master_link_down;
    inst->server->repl_offset = info->repl_offset;
}

static void see_role(struct step *s, struct instance *inst, const struct info *info, bool rebooted)
{
    if (info->role == inst->server->role)
        return;
    const enum role configured = inst->kind == INSTANCE_MASTER ? ROLE_MASTER : ROLE_REPLICA;
    inst->server->role = info->role;
    inst->server->role_since = s->now;
    if (info->role == ROLE_REPLICA)
        inst->server->master_since = s->now;
    if (inst->kind == INSTANCE_REPLICA)
        inst->server->turned_master_at = info->role == ROLE_MASTER && !rebooted ? s->now : 0;
    update_event_instance(
        s->up, info->role == configured ? EVENT_ROLE_CHANGE : EVENT_ROLE_CHANGE_BACK, s->g, inst,
        info->role == ROLE_MASTER ? "new reported role is master" : "new reported role is slave");
}

/* --- corrections ------------------------------------------------------------------------- */

/* The master is what we think it is, so that others may be told to follow it. */
static bool master_sane(const struct group *g, ms_t now)
{
    const struct instance *master = g->master;
    return master->server->role == ROLE_MASTER && !(master->flags & (FLAG_S_DOWN | FLAG_O_DOWN)) &&
           master->server->info_at != 0 && now - master->server->info_at < 2 * g->env->periods.info;
}

static bool not_down_for(const struct instance *inst, ms_t now, ms_t wait)
{
    return !(inst->flags & (FLAG_S_DOWN | FLAG_O_DOWN)) &&
           (inst->down_until == 0 || now - inst->down_until > wait);
}

/* Clients that still know it write to it: its INFO is not waited for longer than needed. */
static void ask_again_at(struct instance *replica, ms_t at)
{
    if (replica->server->next_info > at)
        replica->server->next_info = at;
}

/* A replica that is master, or follows another, is made to follow our master, after a time in which
 * a newer configuration may come. */
static void correct(struct step *s, struct instance *replica)
{
    struct group *g = s->g;
    if (g->env->tilt || g->fo.state != FAILOVER_NONE || g->commit.pending || g->fo.wished)
        return;
    const bool turned = replica->server->role == ROLE_MASTER;
    const bool astray = !address_equal(&replica->server->master, &g->master->addr);
    if (!turned &&
        (replica->server->role != ROLE_REPLICA || (!astray && replica->server->failing_since == 0)))
        return;
    const ms_t wait = turned ? 4 * g->env->periods.publish : g->set.failover_timeout;
    const ms_t since = turned   ? replica->server->role_since
                       : astray ? replica->server->master_since
                                : replica->server->failing_since; /* a hand-over that nobody ends */
    if (turned && s->now - since <= wait)
        ask_again_at(replica, since + wait + 1);
    if (!master_sane(g, s->now) || !not_down_for(replica, s->now, wait) || s->now - since <= wait)
        return;
    /* Once sent it gets the time to take effect. */
    if (replica->server->reconf_sent_at != 0 &&
        s->now - replica->server->reconf_sent_at <= g->env->periods.publish)
        return;
    if (!replica->live.cmd_up)
        return;
    replica->server->reconf_sent_at = s->now;
    struct action *a = update_add(s->up, ACTION_SLAVEOF);
    a->inst = replica;
    a->addr = g->master->addr;
    a->failing = replica->server->failing_since != 0;
    update_event_instance(s->up, turned ? EVENT_CONVERT_TO_SLAVE : EVENT_FIX_SLAVE_CONFIG, g,
                          replica, NULL);
}

void discovery_info(struct step *s, struct instance *inst, const struct info *info)
{
    struct group *g = s->g;
    assert(inst->kind != INSTANCE_SENTINEL);
    inst->live.link_activity = s->now;
    inst->server->info_pending = false;
    if (info->names_pending && inst->server->next_info > s->now + INFO_FAST)
        inst->server->next_info = s->now + INFO_FAST;
    if (info->role == ROLE_UNKNOWN) {
        g->dropped++;
        return;
    }
    const struct runid before = inst->runid;
    see_runid(s, inst, info);
    const bool rebooted = runid_known(&before) && !runid_equal(&before, &inst->runid);
    if (inst->kind == INSTANCE_MASTER)
        see_replicas(s, info);
    if (info->role == ROLE_REPLICA) {
        see_master(s, inst, info);
        inst->server->priority = info->priority;
        inst->server->announced = info->announced;
    } else { /* a master does not say these: what is known stays */
        inst->server->master_link_down = 0;
    }
    inst->server->failover_known = info->failover_known;
    if (!info->failing_over)
        inst->server->failing_since = 0;
    else if (inst->server->failing_since == 0)
        inst->server->failing_since = s->now;
    inst->server->info_at = s->now;
    see_role(s, inst, info, rebooted);
    if (inst->kind == INSTANCE_MASTER) {
        down_judge(s, inst);
        coordinated_info(s);
        return;
    }
    failover_info(s, inst);
    correct(s, inst);
}
