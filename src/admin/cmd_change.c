/* SENTINEL MONITOR, REMOVE, RESET, FAILOVER, FLUSHCONFIG. */
#include "admin/cmd_sentinel.h"

#include "io/clock.h"
#include "rules/glob.h"
#include "rules/host.h"

#include <stdlib.h>
#include <string.h>

/* --- MONITOR --------------------------------------------------------------------------------- */

struct monitor_request {
    struct admin_request r;
    char name[LIMIT_NAME + 1];
    char host[LIMIT_HOST + 1];
    uint16_t port;
    struct address addr;
    ms_t until; /* for its name to be resolved, 0: not asked yet */
    struct group_settings set;
};

/* What names may hold: all but what breaks the hello (a comma) or a log line. */
static bool name_valid(const struct resp_arg *name)
{
    if (name->len == 0 || name->len > LIMIT_NAME) {
        return false;
    }
    for (size_t i = 0; i < name->len; i++) {
        unsigned char c = (unsigned char)name->text[i];
        if (c <= ' ' || c == 0x7f || c == ',') {
            return false;
        }
    }
    return true;
}

/* Sets a line of its own where the model's default is another. */
static void record_period(struct shard *s, const struct monitor_request *m, const char *option,
                          ms_t value, ms_t usual)
{
    struct buffer line = {0};

    if (value == usual) {
        return;
    }
    buffer_printf(&line, "sentinel %s ", option);
    sentinel_quote(&line, m->name);
    buffer_printf(&line, " %lld", (long long)value);
    buffer_append(&line, "", 1);
    shard_record_text(s, m->r.gid, (const char *)line.data);
    buffer_free(&line);
}

static void monitor_visit(struct admin_request *r, struct shard *shard)
{
    struct monitor_request *m = (struct monitor_request *)(void *)r;
    struct reply reply = async_reply(r);
    struct group_texts texts = {0};
    struct periods usual;

    if (!shard_group_add(shard, r->gid, &m->addr, &m->set, &texts)) {
        reply_error(&reply, "ERR Duplicate master name.");
        async_home(r);
        return;
    }
    periods_default(&usual);
    record_period(shard, m, "down-after-milliseconds", m->set.down_after, usual.default_down_after);
    record_period(shard, m, "failover-timeout", m->set.failover_timeout,
                  usual.default_failover_timeout);
    async_save(r);
}

/* Where the master is. PENDING: the answer comes with a doorbell. */
static enum resolver_answer monitor_address(struct monitor_request *m, bool names)
{
    if (!address_set_host(&m->addr, m->host, strlen(m->host), m->port,
                          names ? HOST_CONFIGURED : HOST_NONE)) {
        return RESOLVER_FAILED;
    }
    if (m->addr.host == NULL) {
        return RESOLVER_KNOWN;
    }
    ms_t now = clock_now();
    if (m->until == 0) {
        m->until = now + LIMIT_RESOLVER_REPLY;
    }
    enum resolver_answer answer =
        resolver_ask(m->r.process->resolver, m->addr.host, now, m->addr.ip);
    return answer == RESOLVER_PENDING && now >= m->until ? RESOLVER_FAILED : answer;
}

/* On main: gives the name its entry in the directory, which has main as its one writer. */
static void monitor_main(struct request *request, void *here)
{
    struct monitor_request *m = (struct monitor_request *)(void *)request;
    struct reply reply = async_reply(&m->r);

    enum resolver_answer answer = monitor_address(m, mainloop_tunables(here)->resolve_hostnames);
    if (answer == RESOLVER_PENDING) {
        mainloop_park(here, request);
        return;
    }
    if (answer == RESOLVER_FAILED) {
        reply_error(&reply, "ERR Invalid IP address or hostname specified");
        async_home(&m->r);
        return;
    }
    uint32_t gid = directory_add(m->r.process->directory, m->name);
    if (gid == DIRECTORY_NONE) {
        reply_error(&reply, "ERR Too many masters.");
        async_home(&m->r);
        return;
    }
    m->r.visit = monitor_visit;
    async_owner(&m->r, gid);
}

static bool host_valid(const struct resp_arg *host, bool names_too)
{
    struct address addr;

    return host->len > 0 && host->len <= LIMIT_HOST && !memchr(host->text, '\0', host->len) &&
           (names_too || address_set(&addr, host->text, host->len, 1));
}

void sentinel_monitor(struct call *call)
{
    const struct resp_arg *name = &call->args[2], *host = &call->args[3];
    const struct tunables *t = shard_tunables(call->admin->shard);
    const struct directory *d = call->admin->process->directory;
    int64_t port, quorum;

    if (!arg_integer(&call->args[5], &quorum)) {
        reply_error(&call->reply, "ERR Invalid quorum");
    } else if (!arg_integer(&call->args[4], &port)) {
        reply_error(&call->reply, "ERR Invalid port");
    } else if (quorum <= 0 || quorum > INT32_MAX) {
        reply_error(&call->reply, "ERR Quorum must be 1 or greater.");
    } else if (!host_valid(host, t->resolve_hostnames)) {
        reply_error(&call->reply, "ERR Invalid IP address or hostname specified");
    } else if (port <= 0 || port > UINT16_MAX) {
        reply_error(&call->reply, "ERR Invalid port number.");
    } else if (!name_valid(name)) {
        reply_error(&call->reply, "ERR Invalid master name.");
    } else if (directory_find(d, name->text, name->len) != DIRECTORY_NONE &&
               directory_alive(d, directory_find(d, name->text, name->len))) {
        reply_error(&call->reply, "ERR Duplicate master name.");
    } else {
        struct monitor_request *m = async_new(call, sizeof *m, true);
        memcpy(m->name, name->text, name->len);
        memcpy(m->host, host->text, host->len);
        m->port = (uint16_t)port;
        m->set = (struct group_settings){.quorum = (uint32_t)quorum,
                                         .parallel_syncs = 1,
                                         .down_after = t->periods.default_down_after,
                                         .failover_timeout = t->periods.default_failover_timeout};
        async_main(&m->r, monitor_main);
    }
}

/* --- REMOVE ---------------------------------------------------------------------------------- */

static void remove_visit(struct admin_request *r, struct shard *shard)
{
    if (sentinel_owned(r, shard) && shard_group_remove(shard, r->gid)) {
        async_save(r);
    } else {
        async_home(r);
    }
}

void sentinel_remove(struct call *call)
{
    uint32_t gid = sentinel_group(call, &call->args[2]);

    if (gid == DIRECTORY_NONE) {
        return;
    }
    struct admin_request *r = async_new(call, sizeof *r, true);
    r->visit = remove_visit;
    async_owner(r, gid);
}

/* --- RESET ----------------------------------------------------------------------------------- */

struct reset_request {
    struct admin_request r;
    char *pattern;
    size_t pattern_len;
    int64_t count;
};

static void reset_visit(struct admin_request *r, struct shard *shard)
{
    struct reset_request *reset = (struct reset_request *)(void *)r;
    uint32_t cursor = 0;
    struct shard_group *sg;

    while ((sg = shard_group_next(shard, &cursor))) {
        const char *name = sg->group->name;
        if (!glob_match(reset->pattern, reset->pattern_len, name, strlen(name), false)) {
            continue;
        }
        struct group_event ev = {.kind = GROUP_RESET};
        (void)shard_group_step(shard, sg, &ev);
        reset->count++;
    }
}

static void reset_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct reply reply = async_reply(r);

    reply_integer(&reply, ((struct reset_request *)(void *)r)->count);
}

static void reset_dispose(struct admin_request *r)
{
    free(((struct reset_request *)(void *)r)->pattern);
}

void sentinel_reset(struct call *call)
{
    struct reset_request *reset = async_new(call, sizeof *reset, true);

    reset->pattern = arg_copy(&call->args[2]);
    reset->pattern_len = call->args[2].len;
    reset->r.visit = reset_visit;
    reset->r.finish = reset_finish;
    reset->r.dispose = reset_dispose;
    async_chain(&reset->r);
}

/* --- FAILOVER -------------------------------------------------------------------------------- */

static void reply_twin(struct process *p, struct reply *r)
{
    char text[ADDRESS_TEXT];

    pthread_mutex_lock(&p->twin_lock);
    address_format(&p->twin_address, text);
    pthread_mutex_unlock(&p->twin_lock);
    reply_error(r, "ERR another sentinel uses my id, at %s", text);
}

struct failover_request {
    struct admin_request r;
    bool coordinated;
};

static void failover_visit(struct admin_request *r, struct shard *shard)
{
    struct shard_group *sg = sentinel_owned(r, shard);
    struct group_event ev = {.kind = GROUP_FAILOVER,
                             .coordinated = ((struct failover_request *)(void *)r)->coordinated};
    struct reply reply = async_reply(r);

    if (sg) {
        switch (shard_group_step(shard, sg, &ev)) {
        case GROUP_OK:
            reply_simple(&reply, "OK");
            break;
        case GROUP_INPROG:
            reply_error(&reply, "INPROG Failover already in progress");
            break;
        case GROUP_NOGOODSLAVE:
            reply_error(&reply, "NOGOODSLAVE No suitable replica to promote");
            break;
        case GROUP_TWIN:
            reply_twin(r->process, &reply);
            break;
        case GROUP_NOGOODPRIMARY:
            reply_error(&reply, "NOGOODPRIMARY Primary does not support FAILOVER command");
            break;
        case GROUP_PRIMARY_DOWN:
            reply_error(&reply, "NOGOODPRIMARY Primary cannot hand over: it is down, or no master");
            break;
        }
    }
    async_home(r);
}

void sentinel_failover(struct call *call)
{
    if (call->count > 4 || (call->count == 4 && !arg_is(&call->args[3], "coordinated"))) {
        reply_wrong_arity(call); /* as who does not know the word */
        return;
    }
    uint32_t gid = sentinel_group(call, &call->args[2]);

    if (gid == DIRECTORY_NONE) {
        return;
    }
    struct failover_request *f = async_new(call, sizeof *f, true);
    f->coordinated = call->count == 4;
    f->r.visit = failover_visit;
    async_owner(&f->r, gid);
}

/* --- FLUSHCONFIG ----------------------------------------------------------------------------- */

static void flush_main(struct request *request, void *here)
{
    async_save_here((struct admin_request *)(void *)request, here);
}

void sentinel_flushconfig(struct call *call)
{
    async_main(async_new(call, sizeof(struct admin_request), true), flush_main);
}
