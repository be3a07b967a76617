/* SENTINEL CONFIG, DEBUG, SIMULATE-FAILURE: what changes the tunables, which are main's. */
#include "admin/cmd_sentinel.h"

#include "rules/glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- CONFIG ---------------------------------------------------------------------------------- */

enum config_kind {
    CONFIG_RESOLVE,
    CONFIG_ANNOUNCE_NAMES,
    CONFIG_ANNOUNCE_IP,
    CONFIG_ANNOUNCE_PORT,
    CONFIG_USER,
    CONFIG_PASS,
    CONFIG_LOGLEVEL,
    CONFIG_COUNT
};

static const char *const config_names[CONFIG_COUNT] = {
    [CONFIG_RESOLVE] = "resolve-hostnames", [CONFIG_ANNOUNCE_NAMES] = "announce-hostnames",
    [CONFIG_ANNOUNCE_IP] = "announce-ip",   [CONFIG_ANNOUNCE_PORT] = "announce-port",
    [CONFIG_USER] = "sentinel-user",        [CONFIG_PASS] = "sentinel-pass",
    [CONFIG_LOGLEVEL] = "loglevel",
};

static const char *const level_names[] = {[EVENT_DEBUG] = "debug",
                                          [EVENT_VERBOSE] = "verbose",
                                          [EVENT_NOTICE] = "notice",
                                          [EVENT_WARNING] = "warning"};

static void config_value(struct reply *r, const struct tunables *t, enum config_kind kind)
{
    switch (kind) {
    case CONFIG_RESOLVE:
        reply_text(r, t->resolve_hostnames ? "yes" : "no");
        break;
    case CONFIG_ANNOUNCE_NAMES:
        reply_text(r, t->announce_hostnames ? "yes" : "no");
        break;
    case CONFIG_ANNOUNCE_IP:
        reply_text(r, t->announce_ip);
        break;
    case CONFIG_ANNOUNCE_PORT:
        reply_number(r, t->announce_port);
        break;
    case CONFIG_USER:
        reply_text(r, t->sentinel_user);
        break;
    case CONFIG_PASS:
        reply_text(r, t->sentinel_pass);
        break;
    case CONFIG_LOGLEVEL:
        reply_text(r, t->log_nothing ? "nothing" : level_names[t->loglevel]);
        break;
    case CONFIG_COUNT:
        break;
    }
}

static void config_get(struct call *call)
{
    const struct tunables *t = shard_tunables(call->admin->shard);
    bool given[CONFIG_COUNT] = {false};
    enum config_kind order[CONFIG_COUNT];
    size_t count = 0;

    for (size_t i = 3; i < call->count && count < CONFIG_COUNT; i++) {
        const struct resp_arg *pattern = &call->args[i];
        for (int kind = 0; kind < CONFIG_COUNT; kind++) {
            const char *name = config_names[kind];
            if (!given[kind] && glob_match(pattern->text, pattern->len, name, strlen(name), true)) {
                given[kind] = true;
                order[count++] = (enum config_kind)kind;
            }
        }
    }
    reply_map(&call->reply, count);
    for (size_t i = 0; i < count; i++) {
        reply_text(&call->reply, config_names[order[i]]);
        config_value(&call->reply, t, order[i]);
    }
}

struct config_request {
    struct admin_request r;
    bool set[CONFIG_COUNT];
    struct tunables values; /* of those that are set */
};

static bool copy_value(char *to, size_t size, const struct resp_arg *value)
{
    if (value->len >= size || memchr(value->text, '\0', value->len)) {
        return false;
    }
    memcpy(to, value->text, value->len);
    to[value->len] = '\0';
    return true;
}

/* An address; a host name too, which is known to be wanted once all options are read. */
static bool parse_announce_ip(struct tunables *t, const struct resp_arg *value)
{
    for (size_t i = 0; i < value->len; i++) {
        if (value->text[i] <= ' ' || value->text[i] == ',' || value->text[i] >= 0x7f) {
            return false;
        }
    }
    return copy_value(t->announce_ip, sizeof t->announce_ip, value);
}

static bool parse_loglevel(struct tunables *t, const struct resp_arg *value)
{
    t->log_nothing = arg_is(value, "nothing");
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (arg_is(value, level_names[i])) {
            t->loglevel = (enum event_level)i;
            return true;
        }
    }
    return t->log_nothing;
}

static bool config_parse(struct tunables *t, enum config_kind kind, const struct resp_arg *value)
{
    int64_t port;

    switch (kind) {
    case CONFIG_RESOLVE:
        return arg_yes_no(value, &t->resolve_hostnames);
    case CONFIG_ANNOUNCE_NAMES:
        return arg_yes_no(value, &t->announce_hostnames);
    case CONFIG_ANNOUNCE_IP:
        return parse_announce_ip(t, value);
    case CONFIG_ANNOUNCE_PORT:
        if (!arg_integer(value, &port) || port < 0 || port > UINT16_MAX) {
            return false;
        }
        t->announce_port = (uint32_t)port;
        return true;
    case CONFIG_USER:
        return copy_value(t->sentinel_user, sizeof t->sentinel_user, value);
    case CONFIG_PASS:
        return copy_value(t->sentinel_pass, sizeof t->sentinel_pass, value);
    case CONFIG_LOGLEVEL:
        return parse_loglevel(t, value);
    case CONFIG_COUNT:
        break;
    }
    return false;
}

static void config_apply(struct tunables *t, const struct config_request *c)
{
    const struct tunables *from = &c->values;

    if (c->set[CONFIG_RESOLVE]) {
        t->resolve_hostnames = from->resolve_hostnames;
    }
    if (c->set[CONFIG_ANNOUNCE_NAMES]) {
        t->announce_hostnames = from->announce_hostnames;
    }
    if (c->set[CONFIG_ANNOUNCE_IP]) {
        memcpy(t->announce_ip, from->announce_ip, sizeof t->announce_ip);
    }
    if (c->set[CONFIG_ANNOUNCE_PORT]) {
        t->announce_port = from->announce_port;
    }
    if (c->set[CONFIG_USER]) {
        memcpy(t->sentinel_user, from->sentinel_user, sizeof t->sentinel_user);
    }
    if (c->set[CONFIG_PASS]) {
        memcpy(t->sentinel_pass, from->sentinel_pass, sizeof t->sentinel_pass);
    }
    if (c->set[CONFIG_LOGLEVEL]) {
        t->loglevel = from->log_nothing ? t->loglevel : from->loglevel;
        t->log_nothing = from->log_nothing;
    }
}

static void config_record(struct shard *s, enum config_kind kind, const struct resp_arg *value)
{
    char *text = arg_copy(value);
    struct buffer line = {0};

    buffer_printf(&line, "%s%s ", kind == CONFIG_LOGLEVEL ? "" : "sentinel ", config_names[kind]);
    sentinel_quote(&line, text);
    buffer_append(&line, "", 1);
    shard_record_text(s, DIRECTORY_NONE, (const char *)line.data);
    buffer_free(&line);
    free(text);
}

static void config_main(struct request *request, void *here)
{
    struct config_request *c = (struct config_request *)(void *)request;
    struct tunables t = *mainloop_tunables(here);

    config_apply(&t, c);
    mainloop_set_tunables(here, &t);
    async_save_here(&c->r, here);
}

static void config_elector(struct request *request, void *here)
{
    struct config_request *c = (struct config_request *)(void *)request;

    c->r.at = process_main(c->r.process);
    c->r.base.step = config_main;
    elector_record_then_main(here, NULL, request);
}

static int find_config(const struct resp_arg *name)
{
    for (int kind = 0; kind < CONFIG_COUNT; kind++) {
        if (arg_is(name, config_names[kind])) {
            return kind;
        }
    }
    return -1;
}

/* Checks all, before anything is changed. False: answered with an error. */
static bool config_read(struct call *call, struct config_request *c)
{
    for (size_t i = 3; i < call->count; i += 2) {
        const struct resp_arg *option = &call->args[i], *value = option + 1;
        int kind = find_config(option);
        if (kind < 0) {
            reply_error(&call->reply, "ERR Invalid argument '%.*s' to SENTINEL CONFIG SET",
                        ARG_WHOLE(option));
            return false;
        }
        if (c->set[kind]) {
            reply_error(&call->reply, "ERR Duplicate argument '%.*s' to SENTINEL CONFIG SET",
                        ARG_WHOLE(option));
            return false;
        }
        if (i + 1 == call->count) {
            reply_error(&call->reply, "ERR Missing argument '%.*s' value", ARG_WHOLE(option));
            return false;
        }
        if (!config_parse(&c->values, (enum config_kind)kind, value)) {
            reply_error(&call->reply, "ERR Invalid value '%.*s' to SENTINEL CONFIG SET '%.*s'",
                        ARG_WHOLE(value), ARG_WHOLE(option));
            return false;
        }
        c->set[kind] = true;
    }
    return true;
}

/* Names are announced only where they can be resolved. */
static bool announce_fits(struct call *call, const struct config_request *c)
{
    const char *ip = c->values.announce_ip;
    struct address a;
    bool names = c->set[CONFIG_RESOLVE] ? c->values.resolve_hostnames
                                        : shard_tunables(call->admin->shard)->resolve_hostnames;

    if (!c->set[CONFIG_ANNOUNCE_IP] || names || ip[0] == '\0' ||
        address_set(&a, ip, strlen(ip), 1)) {
        return true;
    }
    reply_error(&call->reply, "ERR Invalid value '%s' to SENTINEL CONFIG SET 'announce-ip'", ip);
    return false;
}

static void config_set(struct call *call)
{
    struct config_request parsed = {.values = {.log_nothing = false}};

    if (!config_read(call, &parsed) || !announce_fits(call, &parsed)) {
        return;
    }
    for (size_t i = 3; i < call->count; i += 2) {
        enum config_kind kind = (enum config_kind)find_config(&call->args[i]);
        /* Redis takes the level "nothing" from a file since 7.2 only: it is for this run. */
        if (kind != CONFIG_LOGLEVEL || !parsed.values.log_nothing) {
            config_record(call->admin->shard, kind, &call->args[i + 1]);
        }
    }
    struct config_request *c = async_new(call, sizeof *c, true);
    parsed.r = c->r;
    *c = parsed;
    async_elector(&c->r, config_elector);
}

void sentinel_config(struct call *call)
{
    if (arg_is(&call->args[2], "get") && call->count >= 4) {
        config_get(call);
    } else if (arg_is(&call->args[2], "set") && call->count >= 5) {
        config_set(call);
    } else {
        reply_error(&call->reply,
                    "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> "
                    "<value> [<param> <value> ...] are supported.");
    }
}

/* --- DEBUG ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} period_table[] = {
    {"INFO-PERIOD", offsetof(struct periods, info)},
    {"PING-PERIOD", offsetof(struct periods, ping)},
    {"ASK-PERIOD", offsetof(struct periods, ask)},
    {"PUBLISH-PERIOD", offsetof(struct periods, publish)},
    {"DEFAULT-DOWN-AFTER", offsetof(struct periods, default_down_after)},
    {"DEFAULT-FAILOVER-TIMEOUT", offsetof(struct periods, default_failover_timeout)},
    {"TILT-TRIGGER", offsetof(struct periods, tilt_trigger)},
    {"TILT-PERIOD", offsetof(struct periods, tilt_period)},
    {"SLAVE-RECONF-TIMEOUT", offsetof(struct periods, replica_reconf_timeout)},
    {"MIN-LINK-RECONNECT-PERIOD", offsetof(struct periods, min_link_reconnect)},
    {"ELECTION-TIMEOUT", offsetof(struct periods, election_timeout)},
    {"SCRIPT-MAX-RUNTIME", offsetof(struct periods, script_max_runtime)},
    {"SCRIPT-RETRY-DELAY", offsetof(struct periods, script_retry_delay)},
};
#define PERIODS (sizeof period_table / sizeof period_table[0])

struct debug_request {
    struct admin_request r;
    ms_t values[PERIODS]; /* 0: unchanged */
};

static ms_t *period(struct periods *p, size_t i)
{
    return (ms_t *)(void *)((char *)p + period_table[i].offset);
}

static void tunables_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct reply reply = async_reply(r);

    reply_simple(&reply, "OK");
}

static void debug_main(struct request *request, void *here)
{
    struct debug_request *d = (struct debug_request *)(void *)request;
    struct tunables t = *mainloop_tunables(here);

    for (size_t i = 0; i < PERIODS; i++) {
        if (d->values[i] > 0) {
            *period(&t.periods, i) = d->values[i];
        }
    }
    mainloop_set_tunables(here, &t);
    async_home(&d->r);
}

static void debug_show(struct call *call)
{
    struct periods p = shard_tunables(call->admin->shard)->periods;

    reply_map(&call->reply, PERIODS);
    for (size_t i = 0; i < PERIODS; i++) {
        reply_text(&call->reply, period_table[i].name);
        reply_number(&call->reply, *period(&p, i));
    }
}

static size_t find_period(const struct resp_arg *name)
{
    size_t i = 0;

    while (i < PERIODS && !arg_is(name, period_table[i].name)) {
        i++;
    }
    return i;
}

void sentinel_debug(struct call *call)
{
    ms_t values[PERIODS] = {0};

    if (call->count == 2) {
        debug_show(call);
        return;
    }
    for (size_t at = 2; at < call->count; at += 2) {
        const struct resp_arg *option = &call->args[at], *value = option + 1;
        size_t i = find_period(option);
        int64_t number;
        if (i == PERIODS || at + 1 == call->count) {
            reply_error(&call->reply,
                        "ERR Unknown option or number of arguments for SENTINEL DEBUG '%.*s'",
                        ARG_WHOLE(option));
            return;
        }
        if (!arg_integer(value, &number) || number <= 0 || number > INT32_MAX) {
            reply_error(&call->reply, "ERR Invalid argument '%.*s' for SENTINEL DEBUG '%.*s'",
                        ARG_WHOLE(value), ARG_WHOLE(option));
            return;
        }
        values[i] = number;
    }
    struct debug_request *d = async_new(call, sizeof *d, true);
    memcpy(d->values, values, sizeof values);
    d->r.finish = tunables_finish;
    async_main(&d->r, debug_main);
}

/* --- SIMULATE-FAILURE ------------------------------------------------------------------------ */

struct simulate_request {
    struct admin_request r;
    bool election, promotion, help;
};

static void simulate_main(struct request *request, void *here)
{
    struct simulate_request *s = (struct simulate_request *)(void *)request;
    struct tunables t = *mainloop_tunables(here);

    t.crash_after_election = s->election;
    t.crash_after_promotion = s->promotion;
    mainloop_set_tunables(here, &t);
    async_home(&s->r);
}

static void simulate_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    const struct simulate_request *s = (const struct simulate_request *)(const void *)r;
    struct reply reply = async_reply(r);

    if (!s->help) {
        reply_simple(&reply, "OK");
        return;
    }
    reply_array(&reply, 2);
    reply_text(&reply, "crash-after-election");
    reply_text(&reply, "crash-after-promotion");
}

void sentinel_simulate_failure(struct call *call)
{
    bool election = false, promotion = false, help = false;

    for (size_t i = 2; i < call->count && !help; i++) {
        if (arg_is(&call->args[i], "crash-after-election")) {
            election = true;
        } else if (arg_is(&call->args[i], "crash-after-promotion")) {
            promotion = true;
        } else if (arg_is(&call->args[i], "help")) {
            help = true;
        } else {
            reply_error(&call->reply, "ERR Unknown failure simulation specified");
            return;
        }
    }
    struct simulate_request *s = async_new(call, sizeof *s, true);
    s->election = election;
    s->promotion = promotion;
    s->help = help;
    s->r.finish = simulate_finish;
    async_main(&s->r, simulate_main);
}
