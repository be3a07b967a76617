/* SENTINEL SET. Everything is checked before anything is changed. */
#include "admin/cmd_sentinel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define VALUE_MAX  1024               /* bytes; quoted, a line of the journal holds it */
#define RENAME_MAX 256                /* bytes of each name of rename-command */
#define NUMBER_MAX ((int64_t)1 << 52) /* milliseconds; as sentinel.conf */

_Static_assert(4 * (LIMIT_NAME + VALUE_MAX) + 100 < LIMIT_LINE &&
                   4 * (LIMIT_NAME + 2 * RENAME_MAX) + 100 < LIMIT_LINE,
               "every byte quoted, a line still fits in the journal");

enum set_kind {
    SET_DOWN_AFTER,
    SET_FAILOVER_TIMEOUT,
    SET_PARALLEL_SYNCS,
    SET_QUORUM,
    SET_REBOOT_DOWN_AFTER,
    SET_NOTIFICATION_SCRIPT,
    SET_RECONFIG_SCRIPT,
    SET_AUTH_PASS,
    SET_AUTH_USER,
    SET_RENAME_COMMAND,
};

static const struct set_option {
    const char *name; /* as sentinel.conf and the journal have it */
    enum set_kind kind;
    int64_t min, max; /* 0, 0: a text */
} options[] = {
    {"down-after-milliseconds", SET_DOWN_AFTER, 1, NUMBER_MAX},
    {"failover-timeout", SET_FAILOVER_TIMEOUT, 1, NUMBER_MAX},
    {"parallel-syncs", SET_PARALLEL_SYNCS, 1, INT32_MAX},
    {"quorum", SET_QUORUM, 1, INT32_MAX},
    {"master-reboot-down-after-period", SET_REBOOT_DOWN_AFTER, 0, NUMBER_MAX},
    {"notification-script", SET_NOTIFICATION_SCRIPT, 0, 0},
    {"client-reconfig-script", SET_RECONFIG_SCRIPT, 0, 0},
    {"auth-pass", SET_AUTH_PASS, 0, 0},
    {"auth-user", SET_AUTH_USER, 0, 0},
    {"rename-command", SET_RENAME_COMMAND, 0, 0},
};

struct change {
    const struct set_option *option;
    char *shown;          /* the option as it was typed */
    char *value, *value2; /* value2: of rename-command */
    int64_t number;
};

struct set_request {
    struct admin_request r;
    struct change *changes;
    size_t count;
};

void sentinel_quote(struct buffer *out, const char *text)
{
    bool plain = *text != '\0';

    for (const char *p = text; *p && plain; p++) {
        plain = *p > ' ' && *p < 0x7f && !strchr("\"'\\", *p);
    }
    if (plain) {
        buffer_printf(out, "%s", text);
        return;
    }
    buffer_append(out, "\"", 1);
    for (; *text; text++) {
        if (*text >= ' ' && *text < 0x7f && *text != '"' && *text != '\\') {
            buffer_append(out, text, 1);
        } else {
            buffer_printf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        }
    }
    buffer_append(out, "\"", 1);
}

/* --- checking -------------------------------------------------------------------------------- */

static const struct set_option *find_option(const struct resp_arg *arg)
{
    /* Valkey's name. */
    if (arg_is(arg, "primary-reboot-down-after-period")) {
        return find_option(&(struct resp_arg){"master-reboot-down-after-period", 31});
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (arg_is(arg, options[i].name)) {
            return &options[i];
        }
    }
    return NULL;
}

static bool invalid(struct call *call, const struct resp_arg *value, const struct resp_arg *option)
{
    reply_error(&call->reply, "ERR Invalid argument '%.*s' for SENTINEL SET '%.*s'",
                ARG_WHOLE(value), ARG_WHOLE(option));
    return false;
}

static bool check_script(struct call *call, const struct change *change)
{
    bool notification = change->option->kind == SET_NOTIFICATION_SCRIPT;

    if (call->admin->process->options.deny_scripts_reconfig) {
        reply_error(&call->reply,
                    "ERR Reconfiguration of scripts path is denied for security reasons. Check the "
                    "deny-scripts-reconfig configuration directive in your Sentinel configuration");
        return false;
    }
    if (change->value[0] == '\0') {
        return true;
    }
    if (access(change->value, X_OK) != 0) {
        reply_error(&call->reply, "ERR %s script seems non existing or non executable",
                    notification ? "Notification" : "Client reconfiguration");
        return false;
    }
    return true;
}

/* One option with its value or values at args[at]. Returns how many arguments it took; 0: answered
 * with an error. */
static size_t parse_change(struct call *call, size_t at, struct change *change)
{
    const struct resp_arg *arg = &call->args[at];
    size_t more = call->count - at - 1;
    const struct set_option *option = find_option(arg);
    size_t values = option && option->kind == SET_RENAME_COMMAND ? 2 : 1;

    if (!option || more < values) {
        reply_error(&call->reply,
                    "ERR Unknown option or number of arguments for SENTINEL SET "
                    "'%.*s'",
                    ARG_WHOLE(arg));
        return 0;
    }
    for (size_t i = 1; i <= values; i++) {
        if (arg[i].len > (values == 2 ? RENAME_MAX : VALUE_MAX) ||
            memchr(arg[i].text, '\0', arg[i].len) || (values == 2 && arg[i].len == 0)) {
            return invalid(call, &arg[i], arg);
        }
    }
    *change = (struct change){.option = option,
                              .shown = arg_copy(arg),
                              .value = arg_copy(&arg[1]),
                              .value2 = values == 2 ? arg_copy(&arg[2]) : NULL};
    if (option->max > 0 && (!arg_integer(&arg[1], &change->number) ||
                            change->number < option->min || change->number > option->max)) {
        return invalid(call, &arg[1], arg);
    }
    if ((option->kind == SET_NOTIFICATION_SCRIPT || option->kind == SET_RECONFIG_SCRIPT) &&
        !check_script(call, change)) {
        return 0;
    }
    return 1 + values;
}

static void free_changes(struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(changes[i].shown);
        free(changes[i].value);
        free(changes[i].value2);
    }
    free(changes);
}

/* --- on the owner ---------------------------------------------------------------------------- */

static void set_text(char **field, const char *value)
{
    free(*field);
    *field = *value ? strdup(value) : NULL;
    if (*value && !*field) {
        abort();
    }
}

/* Renames a command, or with the same name takes the renaming away. */
static void rename_command(struct group_texts *texts, const char *from, const char *to)
{
    for (size_t i = 0; i < texts->rename_count; i++) {
        if (strcasecmp(texts->renames[i].from, from) == 0) {
            free(texts->renames[i].from);
            free(texts->renames[i].to);
            texts->renames[i] = texts->renames[--texts->rename_count];
            break;
        }
    }
    if (strcasecmp(from, to) == 0) {
        return;
    }
    texts->renames = realloc(texts->renames, (texts->rename_count + 1) * sizeof *texts->renames);
    if (!texts->renames) {
        abort();
    }
    struct group_rename *added = &texts->renames[texts->rename_count++];
    *added = (struct group_rename){0};
    set_text(&added->from, from);
    set_text(&added->to, to);
}

static void apply(struct group_settings *set, struct group_texts *texts, const struct change *c)
{
    switch (c->option->kind) {
    case SET_DOWN_AFTER:
        set->down_after = c->number;
        break;
    case SET_FAILOVER_TIMEOUT:
        set->failover_timeout = c->number;
        break;
    case SET_PARALLEL_SYNCS:
        set->parallel_syncs = (uint32_t)c->number;
        break;
    case SET_QUORUM:
        set->quorum = (uint32_t)c->number;
        break;
    case SET_REBOOT_DOWN_AFTER:
        set->reboot_down_after = c->number;
        break;
    case SET_NOTIFICATION_SCRIPT:
        set_text(&texts->notification_script, c->value);
        break;
    case SET_RECONFIG_SCRIPT:
        set_text(&texts->reconfig_script, c->value);
        break;
    case SET_AUTH_PASS:
        set_text(&texts->auth_pass, c->value);
        break;
    case SET_AUTH_USER:
        set_text(&texts->auth_user, c->value);
        break;
    case SET_RENAME_COMMAND:
        rename_command(texts, c->value, c->value2);
        break;
    }
}

static void record(struct shard *s, const struct group *g, const struct change *c)
{
    struct buffer line = {0};

    buffer_printf(&line, "sentinel %s ", c->option->name);
    sentinel_quote(&line, g->name);
    buffer_append(&line, " ", 1);
    if (c->option->max > 0) {
        buffer_printf(&line, "%lld", (long long)c->number);
    } else {
        sentinel_quote(&line, c->value);
    }
    if (c->value2) {
        buffer_append(&line, " ", 1);
        sentinel_quote(&line, c->value2);
    }
    buffer_append(&line, "", 1);
    assert(line.len <= LIMIT_LINE);
    shard_record_text(s, g->gid, (const char *)line.data);
    buffer_free(&line);
}

static void emit(struct shard *s, const struct shard_group *sg, const struct change *c)
{
    const struct group *g = sg->group;
    bool secret = c->option->kind == SET_AUTH_PASS;

    shard_group_event(s, sg, EVENT_SET, "master %s %s %u %s %s%s%s", g->name,
                      address_host(&g->master->addr, shard_tunables(s)->announce_hostnames),
                      (unsigned)g->master->addr.port, c->shown, secret ? "******" : c->value,
                      c->value2 ? " " : "", c->value2 ? c->value2 : "");
}

static void set_visit(struct admin_request *r, struct shard *shard)
{
    struct set_request *set = (struct set_request *)(void *)r;
    struct shard_group *sg = sentinel_owned(r, shard);
    bool reconnect = false;

    if (!sg) {
        async_home(r);
        return;
    }
    struct group_settings settings = sg->group->set;
    for (size_t i = 0; i < set->count; i++) {
        enum set_kind kind = set->changes[i].option->kind;
        apply(&settings, &sg->texts, &set->changes[i]);
        record(shard, sg->group, &set->changes[i]);
        reconnect |= kind == SET_AUTH_PASS || kind == SET_AUTH_USER;
    }
    /* Told before what follows from it: a quorum may bring +odown at once. */
    for (size_t i = 0; i < set->count; i++) {
        emit(shard, sg, &set->changes[i]);
    }
    struct group_event ev = {.kind = GROUP_SET, .settings = &settings};
    (void)shard_group_step(shard, sg, &ev);
    if (reconnect) {
        ev = (struct group_event){.kind = GROUP_RECONNECT};
        (void)shard_group_step(shard, sg, &ev);
    }
    async_save(r);
}

static void set_dispose(struct admin_request *r)
{
    struct set_request *set = (struct set_request *)(void *)r;

    free_changes(set->changes, set->count);
}

void sentinel_set(struct call *call)
{
    uint32_t gid = sentinel_group(call, &call->args[2]);

    if (gid == DIRECTORY_NONE) {
        return;
    }
    struct change *changes = calloc(call->count, sizeof *changes);
    if (!changes) {
        abort();
    }
    size_t count = 0;
    for (size_t at = 3; at < call->count; count++) {
        size_t took = parse_change(call, at, &changes[count]);
        if (took == 0) {
            free_changes(changes, count + 1);
            return;
        }
        at += took;
    }
    struct set_request *set = async_new(call, sizeof *set, true);
    set->changes = changes;
    set->count = count;
    set->r.visit = set_visit;
    set->r.dispose = set_dispose;
    async_owner(&set->r, gid);
}
