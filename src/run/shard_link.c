/* Links to masters and replicas: opening, commands, replies (protocol.md §2, §3, §5, §7). */
#include "run/shard_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFO_ROOM         64 /* bytes; a packed INFO's memory is a multiple of it */
#define HELLO_CHANNEL     "__sentinel__:hello"
#define DESCRIPTORS_AGAIN 60000 /* ms between complaints */

static void server_event(struct server *sv, struct group_event *ev)
{
    struct shard *s = sv->shard;
    ev->inst = sv->inst;
    ev->now = s->now;
    shard_step(s, sv->gh, ev);
}

static bool command(struct server *sv, uint8_t tag, int argc, const char **argv)
{
    struct shard *s = sv->shard;
    if (sv->cmd == NULL) {
        return false;
    }
    argv[0] = group_texts_command(&sv->gh->sg.texts, argv[0]);
    s->counters.link_commands++;
    return link_command(sv->cmd, tag, 0, argc, argv, NULL);
}

/* --- what came back -------------------------------------------------------------------------- */

/* How a reply to PING counts (protocol.md §3). */
enum ping_reply ping_reply_of(const struct redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STATUS && strncasecmp(reply->str, "PONG", 4) == 0) {
        return PING_PONG;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        if (strncmp(reply->str, "LOADING", 7) == 0) {
            return PING_LOADING;
        }
        if (strncmp(reply->str, "MASTERDOWN", 10) == 0) {
            return PING_MASTERDOWN;
        }
        if (strncmp(reply->str, "BUSY", 4) == 0) {
            return PING_BUSY;
        }
    }
    return PING_ERROR;
}

/* For INFO-CACHE, packed: a thousand masters' texts would be ten megabytes. The first one of the
 * shard is the template of all. */
static void keep_info(struct server *sv, const char *text, size_t len)
{
    struct shard *s = sv->shard;
    if (s->info_template.text == NULL) {
        text_template_init(&s->info_template, text, len);
    }
    s->packing.len = 0;
    text_pack(&s->info_template, text, len, &s->packing);
    size_t room = s->packing.len / INFO_ROOM + 1;
    if (sv->info == NULL || room != sv->info_len / INFO_ROOM + 1) {
        uint8_t *kept = realloc(sv->info, room * INFO_ROOM);
        if (kept == NULL) {
            abort();
        }
        sv->info = kept;
    }
    sv->info_len = s->packing.len;
    if (sv->info_len > 0) {
        memcpy(sv->info, s->packing.data, sv->info_len);
    }
}

static void info_arrived(struct server *sv, const redisReply *reply)
{
    struct shard *s = sv->shard;
    if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len > LIMIT_INFO_TEXT) {
        if (reply->type != REDIS_REPLY_ERROR) {
            s->counters.infos_refused++;
        }
        struct group_event ev = {.kind = GROUP_REPLY};
        server_event(sv, &ev);
        return;
    }
    size_t len = (size_t)reply->len;
    keep_info(sv, reply->str, len);
    s->counters.infos++;
    info_parse(s->info, reply->str, len, s->tunables->resolve_hostnames);
    names_info(s, sv->gh->sg.group, s->info);
    struct group_event ev = {.kind = GROUP_INFO, .info = s->info};
    server_event(sv, &ev);
}

/* Why a master does not hand over: the operator who asked for it must know. */
static void tell_refusal(struct server *sv, const redisReply *reply)
{
    char why[200];
    size_t len = 0;
    if (reply->type != REDIS_REPLY_ERROR) {
        return;
    }
    for (; len < (size_t)reply->len && len < sizeof why - 1; len++) {
        char c = reply->str[len];
        why[len] = (char)(c >= ' ' && c <= '~' ? c : '.');
    }
    why[len] = '\0';
    shard_log(sv->shard, EVENT_WARNING, "The master of '%s' refuses to hand over: %s",
              sv->gh->sg.group->name, why);
}

/* EXEC of CLIENT PAUSE and FAILOVER was answered. */
static bool handover_taken(struct server *sv, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return false; /* what was wrong came with the command itself */
    }
    tell_refusal(sv, reply->element[0]);
    tell_refusal(sv, reply->element[1]);
    if (reply->element[1]->type != REDIS_REPLY_ERROR) {
        return true;
    }
    if (reply->element[0]->type != REDIS_REPLY_ERROR) {
        (void)command(sv, TAG_IGNORE, 2, (const char *[]){"CLIENT", "UNPAUSE"});
    }
    return false;
}

static void cmd_reply(void *owner, uint8_t tag, uint64_t arg, const redisReply *reply)
{
    struct server *sv = owner;
    struct group_event ev = {.kind = GROUP_REPLY};
    (void)arg;
    sv->shard->counters.link_replies++;
    switch (tag) {
    case LINK_TAG_GREETING_PING:
    case TAG_PING:
        ev.kind = GROUP_PONG;
        ev.ping = ping_reply_of(reply);
        break;
    case TAG_INFO:
        info_arrived(sv, reply);
        return;
    case TAG_HANDOVER:
        tell_refusal(sv, reply);
        break;
    case TAG_HANDOVER_EXEC:
        ev.kind = GROUP_HANDOVER;
        ev.ok = handover_taken(sv, reply);
        break;
    case TAG_EXEC:
        ev.kind = GROUP_EXEC;
        ev.ok = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                reply->element[0]->type != REDIS_REPLY_ERROR;
        break;
    default:
        break;
    }
    server_event(sv, &ev);
}

static void cmd_up(void *owner)
{
    struct server *sv = owner;
    struct group_event ev = {.kind = GROUP_LINK_UP, .link = LINK_CMD};
    server_event(sv, &ev);
}

/* A link that fails for want of descriptors says nothing about the other side, and would look just
 * like it: the log tells the difference. */
void link_failed(struct shard *s, const char *why)
{
    if ((strcmp(why, strerror(EMFILE)) == 0 || strcmp(why, strerror(ENFILE)) == 0) &&
        (s->descriptors_told == 0 || s->now - s->descriptors_told > DESCRIPTORS_AGAIN)) {
        s->descriptors_told = s->now;
        shard_log(s, EVENT_WARNING,
                  "No file descriptors are left for links: what cannot be reached for that reason "
                  "will be taken for down. Raise the limit of open files ('ulimit -n')");
    }
    /* So does one whose certificate is refused, on either side. */
    if (strncmp(why, "error:", 6) == 0 &&
        (s->tls_told == 0 || s->now - s->tls_told > DESCRIPTORS_AGAIN)) {
        s->tls_told = s->now;
        shard_log(s, EVENT_WARNING, "A link with tls-replication cannot be made: %s", why);
    }
}

struct link *shard_link_open(struct shard *s, struct link_options *options,
                             const struct link_ops *ops, void *owner)
{
    atomic_fetch_add_explicit(&s->process->counters.links, 1, memory_order_relaxed);
    s->counters.links++;
    return link_open(s->link_ring, options, ops, owner, s->now);
}

void shard_link_gone(struct shard *s)
{
    atomic_fetch_sub_explicit(&s->process->counters.links, 1, memory_order_relaxed);
    s->counters.links--;
}

/* Errors that connect() gives before a packet is sent. Stock logs these; of what comes back later,
 * such as a refusal, it says nothing. */
int link_stillborn(const char *why)
{
    static const int errors[] = {ENETUNREACH, EINVAL, EADDRNOTAVAIL, EAFNOSUPPORT, EACCES,
                                 EPERM,       EMFILE, ENFILE,        ENETDOWN,     EAGAIN};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(why, strerror(errors[i])) == 0) {
            return errors[i];
        }
    }
    return 0;
}

void link_stillborn_event(struct shard *s, const struct group_host *gh, const struct instance *inst,
                          enum link_kind kind, int error)
{
    const struct address *at = &inst->addr, *master = &gh->sg.group->master->addr;
    enum event_type type =
        kind == LINK_CMD ? EVENT_CMD_LINK_RECONNECTION : EVENT_PUBSUB_LINK_RECONNECTION;
    const char *name = gh->sg.group->name, *why = strerror(error);
    const bool names = s->env.names;
    const char *host = address_host(at, names);
    char text[ADDRESS_TEXT];

    if (inst->kind == INSTANCE_MASTER) {
        shard_group_event(s, &gh->sg, type, "master %s %s %u #%s", name, host, (unsigned)at->port,
                          why);
        return;
    }
    address_format_as(at, names, text);
    shard_group_event(s, &gh->sg, type, "%s %s %s %u @ %s %s %u #%s",
                      inst->kind == INSTANCE_REPLICA ? "slave" : "sentinel",
                      inst->kind == INSTANCE_REPLICA ? text : inst->runid.hex, host,
                      (unsigned)at->port, name, address_host(master, names), (unsigned)master->port,
                      why);
}

/* Before the rules hear of it. For debugging only: once a second for each server that is away. */
static void tell_stillborn(struct server *sv, enum link_kind kind, const char *why)
{
    const struct liveness *live = &sv->inst->live;
    int error = sv->shard->tunables->loglevel == EVENT_DEBUG ? link_stillborn(why) : 0;
    if (error != 0 && !(kind == LINK_CMD ? live->cmd_up : live->pubsub_up)) {
        link_stillborn_event(sv->shard, sv->gh, sv->inst, kind, error);
    }
}

static void cmd_down(void *owner, const char *why)
{
    struct server *sv = owner;
    struct group_event ev = {.kind = GROUP_LINK_DOWN, .link = LINK_CMD};
    link_failed(sv->shard, why);
    tell_stillborn(sv, LINK_CMD, why);
    sv->cmd = NULL;
    shard_link_gone(sv->shard);
    server_event(sv, &ev);
}

/* Where a hello to this server says that we listen. False: the link is not connected. */
static bool own_address(struct shard *s, const struct link *link, struct address *own)
{
    struct process *p = s->process;
    if (!link_local(link, own)) {
        return false;
    }
    if (s->tunables->announce.ip[0] != '\0' || s->tunables->announce.host != NULL) {
        *own = s->tunables->announce;
    }
    own->port = s->tunables->announce_port != 0 ? (uint16_t)s->tunables->announce_port
                                                : process_announced_port(p);
    process_note_own(p, own);
    return true;
}

/* Before anything is heard on it: a hello of our former life can still come, before we have said
 * one. */
static void pubsub_up(void *owner)
{
    struct server *sv = owner;
    struct address own;
    (void)own_address(sv->shard, sv->pubsub, &own);
    struct group_event ev = {.kind = GROUP_LINK_UP, .link = LINK_PUBSUB};
    server_event(sv, &ev);
}

static void pubsub_down(void *owner, const char *why)
{
    struct server *sv = owner;
    struct group_event ev = {.kind = GROUP_LINK_DOWN, .link = LINK_PUBSUB};
    link_failed(sv->shard, why);
    tell_stillborn(sv, LINK_PUBSUB, why);
    sv->pubsub = NULL;
    shard_link_gone(sv->shard);
    server_event(sv, &ev);
}

static void pubsub_reply(void *owner, uint8_t tag, uint64_t arg, const redisReply *reply)
{
    struct server *sv = owner;
    struct group_event ev = {.kind = GROUP_PUBSUB};
    (void)tag;
    (void)arg;
    (void)reply;
    server_event(sv, &ev);
}

static uint64_t text_hash(uint64_t key, const char *text, size_t len)
{
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t hash = key ^ len * factor, word;
    for (; len > sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, len);
    hash = (hash ^ word) * factor;
    return hash ^ hash >> 29;
}

/* Whether this very hello was taken a moment ago, and the group is as it was then: to take it again
 * would change nothing. Sets *hash. */
static bool heard(const struct shard *s, const struct group_host *gh, const redisReply *text,
                  uint64_t *hash)
{
    *hash = text_hash(s->hash_key, text->str, (size_t)text->len);
    const struct heard *place = &gh->heard[*hash % HEARD];
    return place->hash == *hash && s->now - place->at < s->env.periods.publish / 2;
}

static void pubsub_push(void *owner, const redisReply *message)
{
    struct server *sv = owner;
    struct shard *s = sv->shard;
    struct group_host *gh = sv->gh;
    const redisReply *text = message->element[message->elements - 1];
    struct hello hello;
    uint64_t hash;

    if (sv->inst->live.pubsub_activity != s->now) {
        struct group_event ev = {.kind = GROUP_PUBSUB};
        server_event(sv, &ev); /* never removes the instance */
    }
    s->counters.hellos++;
    if (s->own_prefix_len > 0 && (size_t)text->len > s->own_prefix_len &&
        memcmp(text->str, s->own_prefix, s->own_prefix_len) == 0) {
        return; /* our own, come back */
    }
    if (heard(s, gh, text, &hash)) {
        return;
    }
    if (!hello_parse(&hello, text->str, (size_t)text->len,
                     s->tunables->resolve_hostnames ? HOST_HEARD : HOST_NONE)) {
        atomic_fetch_add_explicit(&s->process->counters.hellos_ignored, 1, memory_order_relaxed);
        return;
    }
    const bool ours = strcmp(hello.name, gh->sg.group->name) == 0;
    route_hello(s, &hello, gh); /* never removes the group */
    if (ours) {
        gh->heard[hash % HEARD] = (struct heard){hash, s->now};
    }
}

static const struct link_ops cmd_ops = {.up = cmd_up, .reply = cmd_reply, .down = cmd_down};
static const struct link_ops pubsub_ops = {
    .up = pubsub_up, .reply = pubsub_reply, .push = pubsub_push, .down = pubsub_down};

/* --- opening and closing --------------------------------------------------------------------- */

void link_options_fill(struct shard *s, struct link_options *options, const struct address *to,
                       enum link_kind kind)
{
    const struct process *p = s->process;
    *options = (struct link_options){.to = *to, .kind = kind};
    options->tls = p->options.tls_replication ? p->tls : NULL;
    /* A source of the other family would make the target unreachable: the kernel chooses one. */
    const char *source = p->options.bind_source.ip;
    if (source[0] != '\0' && (strchr(source, ':') != NULL) == (strchr(to->ip, ':') != NULL)) {
        options->bind = &p->options.bind_source;
    }
    (void)snprintf(options->name, sizeof options->name, "sentinel-%.8s-%s", p->myid.hex,
                   kind == LINK_CMD ? "cmd" : "pubsub");
}

static const char *rename_for(void *ctx, const char *command)
{
    return group_texts_command(ctx, command);
}

static struct server *server_of(struct shard *s, struct group_host *gh, struct instance *inst)
{
    if (inst->host == NULL) {
        struct server *sv = calloc(1, sizeof *sv);
        if (sv == NULL) {
            abort();
        }
        sv->shard = s;
        sv->gh = gh;
        sv->inst = inst;
        inst->host = sv;
    }
    return inst->host;
}

void server_open(struct shard *s, struct group_host *gh, struct instance *inst, enum link_kind kind)
{
    struct server *sv = server_of(s, gh, inst);
    struct link **place = kind == LINK_CMD ? &sv->cmd : &sv->pubsub;
    struct link_options options;

    assert(*place == NULL);
    names_open(s, gh, sv);
    link_options_fill(s, &options, &inst->addr, kind);
    options.auth_user = gh->sg.texts.auth_user;
    options.auth_pass = gh->sg.texts.auth_pass;
    options.rename = rename_for;
    options.rename_ctx = &gh->sg.texts;
    *place = shard_link_open(s, &options, kind == LINK_CMD ? &cmd_ops : &pubsub_ops, sv);
}

void server_close(struct instance *inst, enum link_kind kind)
{
    struct server *sv = inst->host;
    if (sv == NULL) {
        return;
    }
    struct link **place = kind == LINK_CMD ? &sv->cmd : &sv->pubsub;
    if (*place != NULL) {
        link_close(*place);
        *place = NULL;
        shard_link_gone(sv->shard);
    }
}

void server_forget(struct instance *inst)
{
    struct server *sv = inst->host;
    if (sv == NULL) {
        return;
    }
    server_close(inst, LINK_CMD);
    server_close(inst, LINK_PUBSUB);
    free(sv->info);
    free(sv);
    inst->host = NULL;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Remembers how our hellos begin: address, port, id. A third of all that arrive begin so. */
static void note_prefix(struct shard *s, const char *text)
{
    const char *end = text;
    for (int commas = 0; commas < 3; end++) {
        commas += *end == ',';
    }
    size_t len = (size_t)(end - text);
    assert(len <= sizeof s->own_prefix);
    s->own_prefix_len = len;
    memcpy(s->own_prefix, text, len);
}

size_t hello_render(struct shard *s, uint32_t gid, const struct link *link,
                    char out[LIMIT_HELLO + 1])
{
    struct process *p = s->process;
    struct hello hello = {.runid = p->myid};
    struct group_view view;

    if (!directory_read(p->directory, gid, &view) || !own_address(s, link, &hello.sentinel)) {
        return 0;
    }
    hello.current_epoch = atomic_load_explicit(&p->current_epoch, memory_order_acquire);
    hello.master = view.current;
    if (!s->tunables->announce_hostnames && hello.master.ip[0] != '\0') {
        hello.master.host = NULL;
    }
    hello.config_epoch = view.config_epoch;
    (void)snprintf(hello.name, sizeof hello.name, "%s", directory_name(p->directory, gid));
    size_t len = hello_format(&hello, out);
    note_prefix(s, out);
    return len;
}

void server_send(struct shard *s, struct group_host *gh, struct instance *inst, unsigned what)
{
    struct server *sv = server_of(s, gh, inst);
    if ((what & SEND_PING) != 0) {
        (void)command(sv, TAG_PING, 1, (const char *[]){"PING"});
    }
    if ((what & SEND_HELLO) != 0 && sv->cmd != NULL) {
        char text[LIMIT_HELLO + 1];
        if (hello_render(s, gh->sg.group->gid, sv->cmd, text) > 0) {
            (void)command(sv, TAG_PUBLISH, 3, (const char *[]){"PUBLISH", HELLO_CHANNEL, text});
        }
    }
    if ((what & SEND_INFO) != 0) {
        (void)command(sv, TAG_INFO, 1, (const char *[]){"INFO"});
    }
}

/* All of a transaction or nothing: half of one would leave the link inside MULTI. */
static bool transaction(struct shard *s, struct group_host *gh, struct instance *inst,
                        uint32_t commands)
{
    struct server *sv = server_of(s, gh, inst);
    if (sv->cmd != NULL && link_pending(sv->cmd) + commands <= LIMIT_LINK_PENDING) {
        return true;
    }
    struct letter letter = {.kind = LETTER_LINK_LOST, .gid = gh->sg.group->gid};
    letter.u.lost = inst->addr;
    server_close(inst, LINK_CMD);
    /* By mail: a step is being carried out. */
    letter_send(s->process, s->index, s->index, &letter, POST_MUST);
    return false;
}

/* So that its clients ask a sentinel who is master, and the server remembers its role. */
static void rewrite_and_kill(struct server *sv)
{
    (void)command(sv, TAG_IGNORE, 2, (const char *[]){"CONFIG", "REWRITE"});
    (void)command(sv, TAG_IGNORE, 4, (const char *[]){"CLIENT", "KILL", "TYPE", "normal"});
    (void)command(sv, TAG_IGNORE, 4, (const char *[]){"CLIENT", "KILL", "TYPE", "pubsub"});
}

void server_slaveof(struct shard *s, struct group_host *gh, struct instance *inst,
                    const struct address *to, bool failing)
{
    char port[8];
    const char *host = to->port != 0 ? address_host(to, s->env.names) : "NO";

    (void)snprintf(port, sizeof port, "%u", (unsigned)to->port);
    if (!transaction(s, gh, inst, failing ? 7 : 6)) {
        return;
    }
    struct server *sv = inst->host;
    (void)command(sv, TAG_IGNORE, 1, (const char *[]){"MULTI"});
    if (failing) { /* a server that hands over takes no SLAVEOF */
        (void)command(sv, TAG_IGNORE, 2, (const char *[]){"FAILOVER", "ABORT"});
    }
    (void)command(sv, TAG_IGNORE, 3,
                  (const char *[]){"SLAVEOF", host, to->port != 0 ? port : "ONE"});
    rewrite_and_kill(sv);
    (void)command(sv, TAG_EXEC, 1, (const char *[]){"EXEC"});
}

void server_handover(struct shard *s, struct group_host *gh, struct instance *inst,
                     const struct address *to, ms_t timeout)
{
    char port[8], time[24];

    (void)snprintf(port, sizeof port, "%u", (unsigned)to->port);
    (void)snprintf(time, sizeof time, "%lld", (long long)timeout);
    if (!transaction(s, gh, inst, 4)) {
        return;
    }
    struct server *sv = inst->host;
    (void)command(sv, TAG_IGNORE, 1, (const char *[]){"MULTI"});
    /* Writes wait on after the hand-over too, until their connections are closed: clients see a
     * connection that ends, as in any failover, and no replica that refuses them. */
    (void)command(sv, TAG_HANDOVER, 4, (const char *[]){"CLIENT", "PAUSE", time, "WRITE"});
    (void)command(
        sv, TAG_HANDOVER, 6,
        (const char *[]){"FAILOVER", "TO", address_host(to, true), port, "TIMEOUT", time});
    (void)command(sv, TAG_HANDOVER_EXEC, 1, (const char *[]){"EXEC"});
}

void server_handover_abort(struct shard *s, struct group_host *gh, struct instance *inst)
{
    struct server *sv = server_of(s, gh, inst);

    (void)command(sv, TAG_IGNORE, 2, (const char *[]){"FAILOVER", "ABORT"});
    (void)command(sv, TAG_IGNORE, 2, (const char *[]){"CLIENT", "UNPAUSE"});
}

void server_settle(struct shard *s, struct group_host *gh, struct instance *inst)
{
    if (!transaction(s, gh, inst, 6)) {
        return;
    }
    struct server *sv = inst->host;
    (void)command(sv, TAG_IGNORE, 1, (const char *[]){"MULTI"});
    rewrite_and_kill(sv);
    (void)command(sv, TAG_IGNORE, 2, (const char *[]){"CLIENT", "UNPAUSE"});
    (void)command(sv, TAG_EXEC, 1, (const char *[]){"EXEC"});
}

void server_lost(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh == NULL) {
        return;
    }
    const struct group *g = gh->sg.group;
    struct instance *inst = address_equal(&g->master->addr, &letter->u.lost)
                                ? g->master
                                : group_find_replica(g, &letter->u.lost);
    const struct server *sv = inst != NULL ? inst->host : NULL;
    if (sv != NULL && sv->cmd == NULL && inst->live.cmd_up) {
        struct group_event ev = {
            .kind = GROUP_LINK_DOWN, .now = s->now, .inst = inst, .link = LINK_CMD};
        shard_step(s, gh, &ev);
    }
}

void server_script_kill(struct group_host *gh, struct instance *inst)
{
    struct server *sv = inst->host;
    (void)gh;
    if (sv != NULL) {
        (void)command(sv, TAG_IGNORE, 2, (const char *[]){"SCRIPT", "KILL"});
    }
}

/* --- what admin/ shows ----------------------------------------------------------------------- */

bool shard_info_text(const struct shard *s, const struct instance *inst, struct buffer *out)
{
    const struct server *sv = inst->host;
    if (inst->kind == INSTANCE_SENTINEL || sv == NULL || sv->info == NULL) {
        return false;
    }
    bool whole = text_unpack(&s->info_template, sv->info, sv->info_len, out);
    assert(whole);
    (void)whole;
    return true;
}

void shard_instance_view(const struct shard *s, const struct instance *inst,
                         struct instance_host_view *view)
{
    (void)s;
    *view = (struct instance_host_view){.live = inst->live, .refcount = 1};
    if (inst->host == NULL) {
        return;
    }
    if (inst->kind == INSTANCE_SENTINEL) {
        const struct member *member = inst->host;
        view->live = member->peer->live;
        view->pending = member->peer->pending;
        view->refcount = member->peer->refcount;
    } else {
        const struct server *sv = inst->host;
        view->pending = sv->cmd != NULL ? link_pending(sv->cmd) : 0;
    }
}
