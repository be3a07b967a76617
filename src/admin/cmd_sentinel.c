/* SENTINEL: what reads, and its table. */
#include "admin/cmd_sentinel.h"

#include "admin/render.h"
#include "io/clock.h"
#include "rules/glob.h"
#include "rules/host.h"

#include <stdlib.h>
#include <string.h>

static void reply_no_master(struct reply *r)
{
    reply_error(r, "ERR No such master with that name");
}

uint32_t sentinel_group(struct call *call, const struct resp_arg *name)
{
    const struct directory *d = call->admin->process->directory;
    uint32_t gid = directory_find(d, name->text, name->len);

    if (gid == DIRECTORY_NONE || !directory_alive(d, gid)) {
        reply_no_master(&call->reply);
        return DIRECTORY_NONE;
    }
    return gid;
}

struct shard_group *sentinel_owned(struct admin_request *r, struct shard *shard)
{
    struct shard_group *sg = shard_group(shard, r->gid);
    struct reply reply = async_reply(r);

    if (!sg) { /* it was removed meanwhile */
        reply_no_master(&reply);
    }
    return sg;
}

/* --- one group, rendered by its owner -------------------------------------------------------- */

typedef void (*group_renderer)(const struct shard *s, const struct shard_group *sg,
                               struct reply *r);

struct read_request {
    struct admin_request r;
    group_renderer render;
};

static void read_visit(struct admin_request *r, struct shard *shard)
{
    struct shard_group *sg = sentinel_owned(r, shard);
    struct reply reply = async_reply(r);

    if (sg) {
        ((struct read_request *)(void *)r)->render(shard, sg, &reply);
    }
    async_home(r);
}

static void read_group(struct call *call, group_renderer render)
{
    uint32_t gid = sentinel_group(call, &call->args[2]);

    if (gid == DIRECTORY_NONE) {
        return;
    }
    /* By mail also to this very shard: the links are looked at first, which a client's callback
     * cannot do. */
    struct read_request *read = async_new(call, sizeof *read, false);
    read->render = render;
    read->r.visit = read_visit;
    async_owner(&read->r, gid);
}

static void sentinel_master(struct call *call)
{
    read_group(call, render_master);
}

static void sentinel_replicas(struct call *call)
{
    read_group(call, render_replicas);
}

static void sentinel_sentinels(struct call *call)
{
    read_group(call, render_sentinels);
}

static void sentinel_ckquorum(struct call *call)
{
    read_group(call, render_ckquorum);
}

/* --- MASTERS: all groups, shard after shard -------------------------------------------------- */

struct masters_part {
    uint32_t gid;
    size_t offset, len;
};

struct masters_request {
    struct admin_request r;
    struct buffer text;
    struct masters_part *parts;
    size_t count, cap;
};

static void masters_visit(struct admin_request *r, struct shard *shard)
{
    struct masters_request *m = (struct masters_request *)(void *)r;
    struct reply reply = {&m->text, r->proto};
    uint32_t cursor = 0;
    struct shard_group *sg;

    while ((sg = shard_group_next(shard, &cursor))) {
        if (m->count == m->cap) {
            m->cap = m->cap ? m->cap * 2 : 64;
            m->parts = realloc(m->parts, m->cap * sizeof *m->parts);
            if (!m->parts) {
                abort();
            }
        }
        size_t offset = m->text.len;
        render_master(shard, sg, &reply);
        m->parts[m->count++] = (struct masters_part){sg->group->gid, offset, m->text.len - offset};
    }
}

static int compare_parts(const void *a, const void *b)
{
    uint32_t x = ((const struct masters_part *)a)->gid, y = ((const struct masters_part *)b)->gid;

    return (x > y) - (x < y);
}

static void masters_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct masters_request *m = (struct masters_request *)(void *)r;
    struct reply reply = async_reply(r);

    /* In the order of their first MONITOR, whatever the number of shards. */
    if (m->count > 0) {
        qsort(m->parts, m->count, sizeof *m->parts, compare_parts);
    }
    reply_array(&reply, m->count);
    buffer_reserve(&r->out, m->text.len);
    for (size_t i = 0; i < m->count; i++) {
        buffer_append(&r->out, m->text.data + m->parts[i].offset, m->parts[i].len);
    }
}

static void masters_dispose(struct admin_request *r)
{
    struct masters_request *m = (struct masters_request *)(void *)r;

    buffer_free(&m->text);
    free(m->parts);
}

static void sentinel_masters(struct call *call)
{
    struct masters_request *m = async_new(call, sizeof *m, false);

    m->r.visit = masters_visit;
    m->r.finish = masters_finish;
    m->r.dispose = masters_dispose;
    async_chain(&m->r);
}

/* --- INFO-CACHE: the named groups, owner after owner ----------------------------------------- */

struct cache_request {
    struct admin_request r;
    struct buffer text;
    uint32_t *gids;
    size_t count, done, found;
};

static void cache_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct cache_request *cache = (struct cache_request *)(void *)r;
    struct reply reply = async_reply(r);

    reply_array(&reply, cache->found * 2);
    buffer_append(&r->out, cache->text.data, cache->text.len);
}

static void cache_dispose(struct admin_request *r)
{
    struct cache_request *cache = (struct cache_request *)(void *)r;

    buffer_free(&cache->text);
    free(cache->gids);
}

static void cache_visit(struct admin_request *r, struct shard *shard)
{
    struct cache_request *cache = (struct cache_request *)(void *)r;
    const struct directory *d = r->process->directory;
    struct reply reply = {&cache->text, r->proto};

    for (; cache->done < cache->count; cache->done++) {
        uint32_t gid = cache->gids[cache->done];
        if (directory_owner(d, gid) != shard_index(shard)) {
            async_owner(r, gid);
            return;
        }
        const struct shard_group *sg = shard_group(shard, gid);
        if (sg) {
            render_info_cache(shard, sg, &reply);
            cache->found++;
        }
    }
    async_home(r);
}

/* The live groups that are named, each once. */
static size_t named_groups(struct call *call, uint32_t *gids)
{
    const struct directory *d = call->admin->process->directory;
    size_t count = 0;

    for (size_t i = 2; i < call->count; i++) {
        uint32_t gid = directory_find(d, call->args[i].text, call->args[i].len);
        bool twice = gid == DIRECTORY_NONE || !directory_alive(d, gid);
        for (size_t j = 0; j < count && !twice; j++) {
            twice = gids[j] == gid;
        }
        if (!twice) {
            gids[count++] = gid;
        }
    }
    return count;
}

static void sentinel_info_cache(struct call *call)
{
    /* A client that names more masters than this asks for them in parts. */
    if (call->count > 2 + 4096) {
        reply_error(&call->reply, "ERR too many master names");
        return;
    }
    uint32_t *gids = calloc(call->count, sizeof *gids);
    if (!gids) {
        abort();
    }
    size_t count = named_groups(call, gids);
    if (count == 0) {
        reply_array(&call->reply, 0);
        free(gids);
        return;
    }
    struct cache_request *cache = async_new(call, sizeof *cache, false);
    cache->gids = gids;
    cache->count = count;
    cache->r.visit = cache_visit;
    cache->r.finish = cache_finish;
    cache->r.dispose = cache_dispose;
    async_owner(&cache->r, gids[0]);
}

/* --- answered where the client is ------------------------------------------------------------ */

static void sentinel_get_master_addr(struct call *call)
{
    const struct directory *d = call->admin->process->directory;
    const struct resp_arg *name = &call->args[2];
    uint32_t gid = directory_find(d, name->text, name->len);
    struct address current;

    if (gid == DIRECTORY_NONE || !directory_current(d, gid, &current)) {
        reply_null_array(&call->reply);
        return;
    }
    reply_array(&call->reply, 2);
    reply_text(&call->reply,
               address_host(&current, shard_tunables(call->admin->shard)->announce_hostnames));
    reply_number(&call->reply, current.port);
}

static void reply_vote(struct reply *r, bool down, const struct runid *leader, uint64_t epoch)
{
    reply_array(r, 3);
    reply_integer(r, down);
    reply_text(r, runid_known(leader) ? leader->hex : "*");
    reply_integer(r, (int64_t)epoch);
}

/* Asks for a vote: the elector answers, or, if it takes too long, the earlier vote is repeated
 * (design.md §4.13). Other requests of the connection do not wait for it. */
static void ask_vote(struct call *call, const struct address *addr, uint64_t epoch,
                     const struct runid *candidate)
{
    struct admin *a = call->admin;
    struct client *c = call->client;
    struct vote_wait wait = {.deadline = shard_now(a->shard) + LIMIT_VOTE_PATIENCE};
    bool down;

    wait.ticket = client_await(c);
    struct reply_to to = {
        {(uint64_t)wait.ticket.index << 32 | wait.ticket.generation, wait.ticket.sequence}};
    bool asked = shard_asked(a->shard, addr, epoch, candidate, c->name ? c->name : "", &c->peer, to,
                             &down, &wait.leader, &wait.epoch);
    c->slots[wait.ticket.sequence & (c->slot_cap - 1)].down = down;
    /* Nothing can be made durable, or there is nobody to vote about: no need to wait. */
    if (!asked || atomic_load_explicit(&a->process->journal_refused, memory_order_acquire)) {
        wait.deadline = 0;
    }
    if (wait.deadline > 0) {
        admin_await_vote(a, &wait);
        return;
    }
    struct buffer text = {0};
    struct reply r = {&text, c->proto};
    reply_vote(&r, down, &wait.leader, wait.epoch);
    client_answer(a, &wait.ticket, text.data, text.len);
    buffer_free(&text);
}

static void sentinel_is_master_down(struct call *call)
{
    const struct resp_arg *ip = &call->args[2], *who = &call->args[5];
    bool vote = who->len != 1 || who->text[0] != '*';
    int64_t port, epoch;
    struct address addr;
    struct runid candidate, leader = {0};
    uint64_t leader_epoch = 0;
    bool down = false;

    if (!arg_integer(&call->args[3], &port) || !arg_integer(&call->args[4], &epoch) ||
        (vote && epoch < 0)) {
        reply_error(&call->reply, "ERR value is not an integer or out of range");
        return;
    }
    if (vote && !runid_parse(&candidate, who->text, who->len)) {
        reply_error(&call->reply, "ERR Invalid runid '%.*s'", ARG_SHOWN(who));
        return;
    }
    if (!address_set_host(&addr, ip->text, ip->len, port,
                          shard_tunables(call->admin->shard)->resolve_hostnames ? HOST_ASKED
                                                                                : HOST_NONE)) {
        reply_vote(&call->reply, false, &leader, 0);
        return;
    }
    if (vote) {
        ask_vote(call, &addr, (uint64_t)epoch, &candidate);
        return;
    }
    struct client *c = call->client;
    (void)shard_asked(call->admin->shard, &addr, epoch < 0 ? 0 : (uint64_t)epoch, NULL,
                      c->name ? c->name : "", &c->peer, (struct reply_to){0}, &down, &leader,
                      &leader_epoch);
    reply_vote(&call->reply, down, &leader, leader_epoch);
}

static void sentinel_myid(struct call *call)
{
    reply_text(&call->reply, call->admin->process->myid.hex);
}

static void pending_main(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;
    const struct scripts *scripts = mainloop_scripts(here);
    struct reply reply = async_reply(r);
    struct scripts_counts counts;
    struct script_view view;
    ms_t now = clock_now();

    scripts_counts(scripts, &counts);
    reply_array(&reply, counts.queued);
    for (size_t i = 0; scripts_view(scripts, i, now, &view); i++) {
        reply_map(&reply, 5);
        reply_text(&reply, "argv");
        reply_array(&reply, view.argc);
        for (size_t j = 0; j < view.argc; j++) {
            reply_text(&reply, view.argv[j]);
        }
        reply_text(&reply, "flags");
        reply_text(&reply, view.running ? "running" : "scheduled");
        reply_text(&reply, "pid");
        reply_number(&reply, view.pid);
        reply_text(&reply, view.running ? "run-time" : "run-delay");
        reply_number(&reply, view.time);
        reply_text(&reply, "retry-num");
        reply_number(&reply, view.retries);
    }
    async_home(r);
}

static void sentinel_pending_scripts(struct call *call)
{
    async_main(async_new(call, sizeof(struct admin_request), false), pending_main);
}

static void sentinel_help(struct call *call)
{
    static const char *const lines[] = {
        "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CKQUORUM <master-name>",
        "    Whether enough sentinels are in reach for the quorum and for the majority that",
        "    must agree on a failover.",
        "CONFIG SET <param> <value> [<param> <value> ...]",
        "    Changes global settings, all or none.",
        "CONFIG GET <param> [<param> <param> ...]",
        "    Global settings whose names match the patterns.",
        "DEBUG [<param> <value> ...]",
        "    Shows the periods, in milliseconds, or changes some of them until the next start.",
        "GET-MASTER-ADDR-BY-NAME <master-name>",
        "    Address and port of the master of that name.",
        "FAILOVER <master-name> [COORDINATED]",
        "    Promotes a replica now, without waiting for the other sentinels to agree.",
        "    Coordinated: they agree, and the master itself hands over: no write is lost.",
        "FLUSHCONFIG",
        "    Writes sentinel.conf anew.",
        "INFO-CACHE <master-name>",
        "    The last INFO replies of masters and their replicas.",
        "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
        "    Whether the master there is down as seen from here; with a runid, asks for a vote.",
        "MASTER <master-name>",
        "    State and settings of a master.",
        "MASTERS",
        "    The same of all masters.",
        "MONITOR <name> <ip> <port> <quorum>",
        "    Watches another master.",
        "MYID",
        "    The id of this sentinel.",
        "PENDING-SCRIPTS",
        "    Scripts that run or wait.",
        "REMOVE <master-name>",
        "    Watches a master no longer.",
        "REPLICAS <master-name>",
        "    State of a master's replicas.",
        "RESET <pattern>",
        "    Forgets replicas, sentinels and failover of the masters that match.",
        "SENTINELS <master-name>",
        "    State of the other sentinels of a master.",
        "SET <master-name> <option> <value> [<option> <value> ...]",
        "    Changes a master's settings.",
        "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
        "    Ends this process at the next such moment, for tests.",
        "HELP",
        "    This text.",
    };
    reply_lines(call, lines, sizeof lines / sizeof lines[0]);
}

/* --- the table ------------------------------------------------------------------------------- */

#define SENTINEL(sub, count, what, version)                                                        \
    {                                                                                              \
        .name = "sentinel|" sub, .arity = count, .flags = COMMAND_ADMIN | COMMAND_DANGEROUS,       \
        .run = what, .since = version, .group = "sentinel"                                         \
    }
/* Valkey's name of one of them. */
#define VALKEY(sub, count, what, as)                                                               \
    {                                                                                              \
        .name = "sentinel|" sub, .arity = count,                                                   \
        .flags = COMMAND_ADMIN | COMMAND_DANGEROUS | COMMAND_HIDDEN, .run = what,                  \
        .since = "8.0.0", .group = "sentinel", .same = "sentinel|" as                              \
    }
const struct command sentinel_subcommands[] = {
    SENTINEL("ckquorum", 3, sentinel_ckquorum, "2.8.4"),
    SENTINEL("config", -3, sentinel_config, "6.2.0"),
    SENTINEL("debug", -2, sentinel_debug, "7.0.0"),
    SENTINEL("failover", -3, sentinel_failover, "2.8.4"),
    SENTINEL("flushconfig", 2, sentinel_flushconfig, "2.8.4"),
    SENTINEL("get-master-addr-by-name", 3, sentinel_get_master_addr, "2.8.4"),
    VALKEY("get-primary-addr-by-name", 3, sentinel_get_master_addr, "get-master-addr-by-name"),
    {.name = "sentinel|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .run = sentinel_help,
     .since = "6.2.0",
     .group = "sentinel"},
    SENTINEL("info-cache", -3, sentinel_info_cache, "3.2.0"),
    SENTINEL("is-master-down-by-addr", 6, sentinel_is_master_down, "2.8.4"),
    VALKEY("is-primary-down-by-addr", 6, sentinel_is_master_down, "is-master-down-by-addr"),
    SENTINEL("master", 3, sentinel_master, "2.8.4"),
    SENTINEL("masters", 2, sentinel_masters, "2.8.4"),
    SENTINEL("monitor", 6, sentinel_monitor, "2.8.4"),
    SENTINEL("myid", 2, sentinel_myid, "6.2.0"),
    SENTINEL("pending-scripts", 2, sentinel_pending_scripts, "2.8.4"),
    VALKEY("primaries", 2, sentinel_masters, "masters"),
    VALKEY("primary", 3, sentinel_master, "master"),
    SENTINEL("remove", 3, sentinel_remove, "2.8.4"),
    SENTINEL("replicas", 3, sentinel_replicas, "5.0.0"),
    SENTINEL("reset", 3, sentinel_reset, "2.8.4"),
    SENTINEL("sentinels", 3, sentinel_sentinels, "2.8.4"),
    SENTINEL("set", -5, sentinel_set, "2.8.4"),
    SENTINEL("simulate-failure", -3, sentinel_simulate_failure, "3.2.0"),
    SENTINEL("slaves", 3, sentinel_replicas, "2.8.0"),
};
const size_t sentinel_subcommand_count =
    sizeof sentinel_subcommands / sizeof sentinel_subcommands[0];
