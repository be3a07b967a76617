#include "rules/instance.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- liveness -------------------------------------------------------------------------------- */

/* Since when nothing proves it alive; 0: it is alive as far as we know. A PING sent on a link that
 * broke afterwards stays unanswered: reconnecting proves nothing. */
static ms_t silent_since(const struct liveness *live)
{
    if (live->ping_pending != 0)
        return live->ping_pending;
    return live->cmd_up ? 0 : live->reply_ok;
}

ms_t liveness_silence(const struct liveness *live, ms_t now)
{
    const ms_t since = silent_since(live);
    return since == 0 || since > now ? 0 : now - since;
}

ms_t liveness_deadline(const struct liveness *live, ms_t down_after)
{
    assert(down_after >= 0);
    const ms_t since = silent_since(live);
    if (since == 0 || down_after >= MS_NEVER - since)
        return MS_NEVER;
    return since + down_after + 1; /* exactly down_after is not yet more than down_after */
}

bool liveness_pong(struct liveness *live, enum ping_reply reply, ms_t now)
{
    live->reply_any = now;
    live->link_activity = now;
    switch (reply) {
    case PING_PONG:
    case PING_LOADING:
    case PING_MASTERDOWN:
        live->reply_ok = now;
        live->ping_pending = 0;
        return true;
    case PING_BUSY:
    case PING_ERROR:
        return false;
    }
    assert(false && "a reply to PING is one of five");
    return false;
}

bool liveness_cmd_stale(const struct liveness *live, const struct periods *p, ms_t down_after,
                        ms_t now)
{
    const ms_t patience = down_after / 2;
    if (!live->cmd_up || live->ping_pending == 0)
        return false;
    if (now - live->cmd_since <= p->min_link_reconnect || now - live->ping_pending <= patience)
        return false;
    return now - live->reply_any > patience && now - live->link_activity > patience;
}

bool liveness_pubsub_stale(const struct liveness *live, const struct periods *p, ms_t now)
{
    return live->pubsub_up && now - live->pubsub_since > p->min_link_reconnect &&
           now - live->pubsub_activity > 3 * p->publish;
}

/* --- life ------------------------------------------------------------------------------------ */

/* One piece of memory each, without what the other kind needs: of every master there are several.
 */
struct server_instance {
    struct instance inst; /* first */
    struct server_state server;
};

struct sentinel_instance {
    struct instance inst; /* first */
    struct sentinel_state sentinel;
};

static struct instance *new_server(enum role role, ms_t now)
{
    struct server_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->inst.server = &made->server;
    made->server = (struct server_state){
        .next_info = now,
        .role = role,
        .role_since = now,
        .master_name = "?",
        .master_since = now,
        .announced = true,
        .priority = 100,
    };
    return &made->inst;
}

static struct instance *new_sentinel(ms_t now)
{
    struct sentinel_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->inst.peer = &made->sentinel;
    made->sentinel.hello_at = now; /* shown as an age: that of the entry, until a hello comes */
    return &made->inst;
}

struct instance *instance_new(enum instance_kind kind, const struct address *addr, ms_t now)
{
    assert(addr != NULL && now > 0);
    struct instance *inst = kind == INSTANCE_SENTINEL  ? new_sentinel(now)
                            : kind == INSTANCE_REPLICA ? new_server(ROLE_REPLICA, now)
                                                       : new_server(ROLE_MASTER, now);
    if (inst == NULL)
        return NULL;
    inst->kind = kind;
    inst->addr = *addr;
    inst->live = (struct liveness){
        .reply_ok = now, .reply_any = now, .link_activity = now, .pubsub_activity = now};
    inst->next_ping = inst->next_hello = now;
    return inst;
}

void instance_become(struct instance *inst, struct instance *from)
{
    struct server_state *server = inst->server;
    struct sentinel_state *peer = inst->peer;
    assert((server != NULL) == (from->server != NULL));
    if (server != NULL)
        *server = *from->server;
    else
        *peer = *from->peer;
    *inst = *from;
    inst->server = server;
    inst->peer = peer;
    instance_free(from);
}

void instance_free(struct instance *inst)
{
    free(inst);
}

/* --- flags ----------------------------------------------------------------------------------- */

/* Appends ",name" (the comma but for the first) and returns the new length. */
static size_t append_flag(char out[INSTANCE_FLAGS_TEXT], size_t len, const char *name)
{
    const size_t name_len = strlen(name);
    assert(len + 1 + name_len < INSTANCE_FLAGS_TEXT);
    if (len > 0)
        out[len++] = ',';
    memcpy(out + len, name, name_len + 1);
    return len + name_len;
}

static const char *kind_name(enum instance_kind kind)
{
    switch (kind) {
    case INSTANCE_MASTER:
        return "master";
    case INSTANCE_REPLICA:
        return "slave";
    case INSTANCE_SENTINEL:
        return "sentinel";
    }
    assert(false && "an instance is of one of three kinds");
    return "";
}

void instance_flags(const struct instance *inst, char out[INSTANCE_FLAGS_TEXT])
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {
        {FLAG_MASTER_DOWN, "master_down"},
        {FLAG_FAILOVER_IN_PROGRESS, "failover_in_progress"},
        {FLAG_PROMOTED, "promoted"},
        {FLAG_RECONF_SENT, "reconf_sent"},
        {FLAG_RECONF_INPROG, "reconf_inprog"},
        {FLAG_RECONF_DONE, "reconf_done"},
        {FLAG_FORCE_FAILOVER, "force_failover"},
        {FLAG_COORDINATED_FAILOVER, "coordinated_failover"},
        {FLAG_SCRIPT_KILL_SENT, "script_kill_sent"},
        {FLAG_MASTER_REBOOT, "master_reboot"},
    };
    size_t len = 0;
    if (inst->flags & FLAG_S_DOWN)
        len = append_flag(out, len, "s_down");
    if (inst->flags & FLAG_O_DOWN)
        len = append_flag(out, len, "o_down");
    len = append_flag(out, len, kind_name(inst->kind));
    /* A sentinel has no pub/sub link (protocol.md §2). */
    if (!inst->live.cmd_up || (inst->kind != INSTANCE_SENTINEL && !inst->live.pubsub_up))
        len = append_flag(out, len, "disconnected");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (inst->flags & names[i].flag)
            len = append_flag(out, len, names[i].name);
    }
}
