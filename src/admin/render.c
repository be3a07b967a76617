#include "admin/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A map whose number of fields is known only when it is written. */
struct fields {
    struct buffer text;
    struct reply out; /* into text */
    size_t count;
    ms_t now;
};

static void begin(struct fields *f, const struct shard *s, const struct reply *r)
{
    memset(f, 0, sizeof *f);
    f->out = (struct reply){&f->text, r->proto};
    f->now = shard_now(s);
}

static void end(struct fields *f, struct reply *r)
{
    reply_map(r, f->count);
    buffer_append(r->out, f->text.data, f->text.len);
    buffer_free(&f->text);
}

static void put_text(struct fields *f, const char *name, const char *value)
{
    reply_text(&f->out, name);
    reply_text(&f->out, value);
    f->count++;
}

static void put_number(struct fields *f, const char *name, int64_t value)
{
    reply_text(&f->out, name);
    reply_number(&f->out, value);
    f->count++;
}

/* Milliseconds since then; 0 when it never was. */
static void put_age(struct fields *f, const char *name, ms_t when)
{
    put_number(f, name, when ? f->now - when : 0);
}

/* What all three kinds begin with. */
static void put_common(struct fields *f, const struct shard *s, const struct group *g,
                       const struct instance *inst)
{
    struct instance_host_view view;
    struct instance shown = *inst;
    char flags[INSTANCE_FLAGS_TEXT], name[ADDRESS_TEXT];

    shard_instance_view(s, inst, &view);
    shown.live = view.live;
    instance_flags(&shown, flags);
    bool names = shard_tunables(s)->announce_hostnames;
    address_format_as(&inst->addr, names, name);
    put_text(f, "name",
             inst->kind == INSTANCE_MASTER    ? g->name
             : inst->kind == INSTANCE_REPLICA ? name
                                              : inst->runid.hex);
    put_text(f, "ip", address_host(&inst->addr, names));
    put_number(f, "port", inst->addr.port);
    put_text(f, "runid", inst->runid.hex);
    put_text(f, "flags", flags);
    put_number(f, "link-pending-commands", view.pending);
    put_number(f, "link-refcount", view.refcount);
    if (inst->flags & FLAG_FAILOVER_IN_PROGRESS) {
        put_text(f, "failover-state", failover_state_name(g->fo.state));
    }
    put_age(f, "last-ping-sent", view.live.ping_pending);
    put_age(f, "last-ok-ping-reply", view.live.reply_ok);
    put_age(f, "last-ping-reply", view.live.reply_any);
    if (inst->flags & FLAG_S_DOWN) {
        put_age(f, "s-down-time", inst->sdown_since);
    }
    if (inst->flags & FLAG_O_DOWN) {
        put_age(f, "o-down-time", inst->server->odown_since);
    }
    put_number(f, "down-after-milliseconds", g->set.down_after);
}

static void put_role(struct fields *f, const struct instance *inst)
{
    put_age(f, "info-refresh", inst->server->info_at);
    put_text(f, "role-reported", inst->server->role == ROLE_MASTER ? "master" : "slave");
    put_age(f, "role-reported-time", inst->server->role_since);
}

void render_master(const struct shard *s, const struct shard_group *sg, struct reply *r)
{
    const struct group *g = sg->group;
    struct fields f;

    begin(&f, s, r);
    put_common(&f, s, g, g->master);
    put_role(&f, g->master);
    put_number(&f, "config-epoch", (int64_t)g->config_epoch);
    put_number(&f, "num-slaves", g->replica_count);
    put_number(&f, "num-other-sentinels", g->sentinel_count);
    put_number(&f, "quorum", g->set.quorum);
    put_number(&f, "failover-timeout", g->set.failover_timeout);
    put_number(&f, "parallel-syncs", g->set.parallel_syncs);
    if (sg->texts.notification_script) {
        put_text(&f, "notification-script", sg->texts.notification_script);
    }
    if (sg->texts.reconfig_script) {
        put_text(&f, "client-reconfig-script", sg->texts.reconfig_script);
    }
    end(&f, r);
}

static void render_replica(const struct shard *s, const struct group *g,
                           const struct instance *inst, struct reply *r)
{
    struct fields f;

    begin(&f, s, r);
    put_common(&f, s, g, inst);
    put_role(&f, inst);
    put_number(&f, "master-link-down-time", inst->server->master_link_down);
    put_text(&f, "master-link-status", inst->server->master_link_up ? "ok" : "err");
    put_text(&f, "master-host",
             inst->server->master.host      ? address_host(&inst->server->master, true)
             : inst->server->master_name[0] ? inst->server->master_name
                                            : "?");
    put_number(&f, "master-port", inst->server->master.port);
    put_number(&f, "slave-priority", inst->server->priority);
    put_number(&f, "slave-repl-offset", (int64_t)inst->server->repl_offset);
    put_number(&f, "replica-announced", inst->server->announced);
    end(&f, r);
}

void render_replicas(const struct shard *s, const struct shard_group *sg, struct reply *r)
{
    const struct group *g = sg->group;
    uint32_t announced = 0;

    for (uint32_t i = 0; i < g->replica_count; i++) {
        announced += g->replicas[i]->server->announced;
    }
    reply_array(r, announced);
    for (uint32_t i = 0; i < g->replica_count; i++) {
        if (g->replicas[i]->server->announced) {
            render_replica(s, g, g->replicas[i], r);
        }
    }
}

void render_sentinels(const struct shard *s, const struct shard_group *sg, struct reply *r)
{
    const struct group *g = sg->group;

    reply_array(r, g->sentinel_count);
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        const struct instance *inst = g->sentinels[i];
        struct fields f;
        begin(&f, s, r);
        put_common(&f, s, g, inst);
        put_age(&f, "last-hello-message", inst->peer->hello_at);
        put_text(&f, "voted-leader",
                 runid_known(&inst->peer->leader) ? inst->peer->leader.hex : "?");
        put_number(&f, "voted-leader-epoch", (int64_t)inst->peer->leader_epoch);
        end(&f, r);
    }
}

static void render_cached(const struct shard *s, const struct instance *inst, struct reply *r)
{
    struct buffer text = {0};

    reply_array(r, 2);
    reply_integer(r, inst->server->info_at ? shard_now(s) - inst->server->info_at : 0);
    if (shard_info_text(s, inst, &text)) {
        reply_bulk(r, text.data, text.len);
    } else {
        reply_null(r);
    }
    buffer_free(&text);
}

void render_info_cache(const struct shard *s, const struct shard_group *sg, struct reply *r)
{
    const struct group *g = sg->group;

    reply_text(r, g->name);
    reply_array(r, 1 + (size_t)g->replica_count);
    render_cached(s, g->master, r);
    for (uint32_t i = 0; i < g->replica_count; i++) {
        render_cached(s, g->replicas[i], r);
    }
}

void render_ckquorum(const struct shard *s, const struct shard_group *sg, struct reply *r)
{
    bool quorum, majority;
    unsigned usable = group_usable(sg->group, &quorum, &majority);
    char text[160];

    if (quorum && majority) {
        snprintf(text, sizeof text,
                 "OK %u usable Sentinels. Quorum and failover authorization can be reached",
                 usable);
        reply_simple(r, text);
        return;
    }
    reply_error(r, "NOQUORUM %u usable Sentinels. %s%s%s", usable,
                quorum ? ""
                       : "Not enough available Sentinels to reach the specified quorum for this "
                         "master",
                quorum || majority ? "" : ". ",
                majority ? ""
                         : "Not enough available Sentinels to reach the majority and authorize a "
                           "failover");
}
