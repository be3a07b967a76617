/* From the model to the text of sentinel.conf (protocol.md §10, Rewriting). */
#include "config/internal.h"
#include "rules/host.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has been written, so that nothing is written twice and nothing is forgotten. */
struct written {
    uint32_t globals, *groups; /* a bit per option */
    uint8_t **members;         /* per group: replicas, then sentinels, then renames */
};

_Static_assert(OPTION_COUNT <= 32, "an option is a bit");

static uint32_t bit(enum option option)
{
    return (uint32_t)1 << option;
}

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

/* --- one item
 * ------------------------------------------------------------------------------------------ */

static void two_words(struct config_text *out, const char *option, const char *value)
{
    config_text_printf(out, "sentinel %s ", option);
    words_quote(out, value);
}

/* The line of a global option. False: there is nothing to write. */
static bool global_line(const struct config *cfg, enum option option, struct config_text *out)
{
    switch (option) {
    case OPTION_MYID:
        config_text_printf(out, "sentinel myid %s", cfg->myid.hex);
        return runid_known(&cfg->myid);
    case OPTION_DENY_SCRIPTS:
        two_words(out, "deny-scripts-reconfig", yes_no(cfg->deny_scripts_reconfig));
        return true;
    case OPTION_RESOLVE_HOSTNAMES:
        two_words(out, "resolve-hostnames", yes_no(cfg->resolve_hostnames));
        return true;
    case OPTION_ANNOUNCE_HOSTNAMES:
        two_words(out, "announce-hostnames", yes_no(cfg->announce_hostnames));
        return true;
    case OPTION_CURRENT_EPOCH:
        config_text_printf(out, "sentinel current-epoch %" PRIu64, cfg->current_epoch);
        return true;
    case OPTION_ANNOUNCE_IP:
        two_words(out, "announce-ip", cfg->announce_ip != NULL ? cfg->announce_ip : "");
        return cfg->announce_ip != NULL;
    case OPTION_ANNOUNCE_PORT:
        config_text_printf(out, "sentinel announce-port %u", (unsigned)cfg->announce_port);
        return true;
    case OPTION_SENTINEL_USER:
        two_words(out, "sentinel-user", cfg->sentinel_user != NULL ? cfg->sentinel_user : "");
        return cfg->sentinel_user != NULL;
    case OPTION_SENTINEL_PASS:
        two_words(out, "sentinel-pass", cfg->sentinel_pass != NULL ? cfg->sentinel_pass : "");
        return cfg->sentinel_pass != NULL;
    default:
        abort();
    }
}

static bool global_default(const struct config *cfg, enum option option)
{
    switch (option) {
    case OPTION_DENY_SCRIPTS:
        return cfg->deny_scripts_reconfig;
    case OPTION_RESOLVE_HOSTNAMES:
        return !cfg->resolve_hostnames;
    case OPTION_ANNOUNCE_HOSTNAMES:
        return !cfg->announce_hostnames;
    case OPTION_ANNOUNCE_PORT:
        return cfg->announce_port == 0;
    default:
        return false;
    }
}

static void start(struct config_text *out, const char *option, const struct config_group *group)
{
    config_text_printf(out, "sentinel %s ", option);
    words_quote(out, group->name);
    config_text_append(out, " ", 1);
}

static bool text_line(const struct config_group *group, const char *option, const char *value,
                      struct config_text *out)
{
    start(out, option, group);
    words_quote(out, value != NULL ? value : "");
    return value != NULL;
}

static bool number_line(const struct config_group *group, const char *option, uint64_t value,
                        struct config_text *out)
{
    start(out, option, group);
    config_text_printf(out, "%" PRIu64, value);
    return true;
}

/* As stock: the name only where names are announced. Not before it is resolved, though, nor where
 * names are not resolved (any more): stock writes nothing in the place of the one and the name of
 * the other, and cannot load its own file. */
static const char *shown_host(const struct config *cfg, const struct address *addr)
{
    return address_host(addr, cfg->announce_hostnames && cfg->resolve_hostnames);
}

static void put_address(const struct config *cfg, const struct address *addr,
                        struct config_text *out)
{
    config_text_printf(out, "%s %u", shown_host(cfg, addr), (unsigned)addr->port);
}

static bool monitor_line(const struct config *cfg, const struct config_group *group,
                         struct config_text *out)
{
    start(out, "monitor", group);
    put_address(cfg, &group->addr, out);
    config_text_printf(out, " %u", (unsigned)group->set.quorum);
    return true;
}

static bool leader_line(const struct config_group *group, struct config_text *out)
{
    config_text_add(out, "# vedette: leader ");
    words_quote(out, group->name);
    config_text_printf(out, " %" PRIu64 " %s", group->leader_epoch, group->leader.hex);
    return group->has_leader_epoch && runid_known(&group->leader);
}

/* The line of a group's option; index: which, where there are several. False: nothing to write. */
static bool group_line(const struct config *cfg, const struct config_group *group,
                       enum option option, size_t index, struct config_text *out)
{
    switch (option) {
    case OPTION_MONITOR:
        return monitor_line(cfg, group, out);
    case OPTION_DOWN_AFTER:
        return number_line(group, "down-after-milliseconds", (uint64_t)group->set.down_after, out);
    case OPTION_FAILOVER_TIMEOUT:
        return number_line(group, "failover-timeout", (uint64_t)group->set.failover_timeout, out);
    case OPTION_PARALLEL_SYNCS:
        return number_line(group, "parallel-syncs", group->set.parallel_syncs, out);
    case OPTION_NOTIFICATION_SCRIPT:
        return text_line(group, "notification-script", group->notification_script, out);
    case OPTION_RECONFIG_SCRIPT:
        return text_line(group, "client-reconfig-script", group->client_reconfig_script, out);
    case OPTION_AUTH_PASS:
        return text_line(group, "auth-pass", group->auth_pass, out);
    case OPTION_AUTH_USER:
        return text_line(group, "auth-user", group->auth_user, out);
    case OPTION_REBOOT_DOWN_AFTER:
        return number_line(group, "master-reboot-down-after-period",
                           (uint64_t)group->set.reboot_down_after, out);
    case OPTION_CONFIG_EPOCH:
        return number_line(group, "config-epoch", group->config_epoch, out);
    case OPTION_LEADER_EPOCH:
        return number_line(group, "leader-epoch", group->leader_epoch, out);
    case OPTION_LEADER:
        return leader_line(group, out);
    case OPTION_KNOWN_REPLICA:
        start(out, "known-replica", group);
        put_address(cfg, &group->replicas[index], out);
        return true;
    case OPTION_KNOWN_SENTINEL:
        start(out, "known-sentinel", group);
        put_address(cfg, &group->sentinels[index].addr, out);
        config_text_printf(out, " %s", group->sentinels[index].runid.hex);
        return true;
    case OPTION_RENAME_COMMAND:
        start(out, "rename-command", group);
        words_quote(out, group->renames[index].from);
        config_text_append(out, " ", 1);
        words_quote(out, group->renames[index].to);
        return true;
    default:
        abort();
    }
}

static bool group_default(const struct config_group *group, enum option option)
{
    struct periods periods;
    switch (option) {
    case OPTION_DOWN_AFTER:
        periods_default(&periods);
        return group->set.down_after == periods.default_down_after;
    case OPTION_FAILOVER_TIMEOUT:
        periods_default(&periods);
        return group->set.failover_timeout == periods.default_failover_timeout;
    case OPTION_PARALLEL_SYNCS:
        return group->set.parallel_syncs == 1;
    case OPTION_REBOOT_DOWN_AFTER:
        return group->set.reboot_down_after == 0;
    default:
        return false;
    }
}

/* How many lines an option of a group has. */
static size_t group_items(const struct config_group *group, enum option option)
{
    switch (option) {
    case OPTION_KNOWN_REPLICA:
        return group->replica_count;
    case OPTION_KNOWN_SENTINEL:
        return group->sentinel_count;
    case OPTION_RENAME_COMMAND:
        return group->rename_count;
    default:
        return 1;
    }
}

static bool several(enum option option)
{
    return option == OPTION_KNOWN_REPLICA || option == OPTION_KNOWN_SENTINEL ||
           option == OPTION_RENAME_COMMAND;
}

/* --- marks
 * ------------------------------------------------------------------------------------------------
 */

static void written_init(struct written *w, struct config *cfg)
{
    w->globals = 0;
    w->groups = config_alloc(cfg->group_count * sizeof(*w->groups));
    w->members = config_alloc(cfg->group_count * sizeof(*w->members));
    for (size_t i = 0; i < cfg->group_count; i++) {
        struct config_group *group = cfg->groups[i];
        group->mark = (unsigned)i;
        w->members[i] =
            config_alloc(group->replica_count + group->sentinel_count + group->rename_count);
    }
}

static void written_free(struct written *w, const struct config *cfg)
{
    for (size_t i = 0; i < cfg->group_count; i++) {
        free(w->members[i]);
    }
    free(w->members);
    free(w->groups);
}

/* Marks an item. Returns whether it was not marked before. */
static bool take(struct written *w, const struct config_group *group, enum option option,
                 size_t index)
{
    if (several(option)) {
        size_t base = option == OPTION_KNOWN_REPLICA ? 0
                      : option == OPTION_KNOWN_SENTINEL
                          ? group->replica_count
                          : group->replica_count + group->sentinel_count;
        bool first = w->members[group->mark][base + index] == 0;
        w->members[group->mark][base + index] = 1;
        return first;
    }
    uint32_t *bits = group != NULL ? &w->groups[group->mark] : &w->globals;
    bool first = (*bits & bit(option)) == 0;
    *bits |= bit(option);
    return first;
}

/* Which item of the group a line of the file is about. False: it is gone. */
static bool locate(const struct config *cfg, const struct config_group *group,
                   const struct line *line, size_t *index)
{
    const char *extra = layout_chars(cfg->layout, line->extra);
    *index = 0;
    if (line->option == OPTION_KNOWN_REPLICA) {
        struct address addr;
        if (!address_set_host(&addr, extra, strlen(extra), line->port, HOST_CONFIGURED)) {
            return false;
        }
        while (*index < group->replica_count && !address_equal(&group->replicas[*index], &addr)) {
            (*index)++;
        }
        return *index < group->replica_count;
    }
    if (line->option == OPTION_KNOWN_SENTINEL) {
        struct runid runid;
        (void)runid_parse(&runid, extra, strlen(extra));
        struct config_peer *peer = config_peer_find(group, &runid);
        *index = peer != NULL ? (size_t)(peer - group->sentinels) : 0;
        return peer != NULL;
    }
    if (line->option == OPTION_RENAME_COMMAND) {
        struct config_rename *rename = rename_find(group->renames, group->rename_count, extra);
        *index = rename != NULL ? (size_t)(rename - group->renames) : 0;
        return rename != NULL;
    }
    return true;
}

/* The text that the model gives for a line of the file; false: the line is dropped. Marks it. */
static bool line_text(struct config *cfg, const struct line *line, struct written *w,
                      struct config_text *out)
{
    if (line->kind == LINE_SENTINEL) {
        return take(w, NULL, line->option, 0) && global_line(cfg, line->option, out);
    }
    assert(line->kind == LINE_GROUP);
    const char *name = layout_chars(cfg->layout, line->name);
    struct config_group *group = config_find(cfg, name, strlen(name));
    size_t index;
    return group != NULL && locate(cfg, group, line, &index) &&
           take(w, group, line->option, index) && group_line(cfg, group, line->option, index, out);
}

/* --- what was read
 * ----------------------------------------------------------------------------------------- */

/* Whether two lines say the same: all words but the first two, which may differ in case or be the
 * option's other name. Comments are compared as they are. */
static bool same_words(const char *a, const char *b)
{
    struct words x, y;
    if (*a == '#' || *b == '#') {
        return strcmp(a, b) == 0;
    }
    if (!words_split(&x, a, strlen(a))) {
        return false;
    }
    if (!words_split(&y, b, strlen(b))) {
        words_free(&x);
        return false;
    }
    bool same = x.count == y.count;
    for (size_t i = 2; i < x.count && same; i++) {
        same = strcmp(x.item[i], y.item[i]) == 0;
    }
    words_free(&x);
    words_free(&y);
    return same;
}

void layout_settle(struct config *cfg)
{
    struct config_layout *layout = cfg->layout;
    struct config_text canon = {0};
    struct written w;
    written_init(&w, cfg);
    for (size_t i = 0; i < layout->count; i++) {
        struct line *line = &layout->lines[i];
        const char *text = layout_chars(layout, line->text);
        canon.len = 0;
        if ((line->kind == LINE_SENTINEL || line->kind == LINE_GROUP) &&
            line_text(cfg, line, &w, &canon) && strcmp(canon.data, text) != 0 &&
            same_words(canon.data, text)) {
            line->canon = layout_keep(layout, canon.data, canon.len);
        }
    }
    free(canon.data);
    written_free(&w, cfg);
}

/* --- directives
 * ---------------------------------------------------------------------------------------------- */

struct directives { /* which of those that are always written have been, and are in the file */
    bool protected_mode, port, dir;
    bool *users;      /* written, by index */
    bool *overrides;  /* written, by index */
    size_t dir_lines; /* of the file */
};

static void put(struct config_text *out, const char *text)
{
    config_text_add(out, text);
    config_text_append(out, "\n", 1);
}

static void put_dir(const struct config *cfg, struct config_text *out)
{
    config_text_add(out, "dir ");
    words_quote_always(out, cfg->cwd != NULL ? cfg->cwd : ".");
    config_text_append(out, "\n", 1);
}

/* A directive of the file. */
static void put_directive(const struct config *cfg, const struct line *line, struct directives *d,
                          struct config_text *out)
{
    const struct config_layout *layout = cfg->layout;
    const char *name = layout_chars(layout, line->name), *text = layout_chars(layout, line->text);
    d->protected_mode = d->protected_mode || strcmp(name, "protected-mode") == 0;
    d->port = d->port || strcmp(name, "port") == 0;
    if (strcmp(name, "user") == 0) {
        users_render_line(cfg, line, d->users, out);
        return;
    }
    if (strcmp(name, "dir") == 0) {
        const char *dir = cfg->server.dir; /* NULL: `dir ""`, which chdir() takes for no folder */
        bool keep = d->dir_lines == 1 && dir != NULL && dir[0] == '/' && strstr(text, dir) != NULL;
        if (!d->dir && keep) {
            put(out, text);
        } else if (!d->dir) {
            put_dir(cfg, out);
        }
        d->dir = true;
        return;
    }
    for (size_t i = 0; i < layout->override_count; i++) {
        const struct override *o = &layout->overrides[i];
        if (strcmp(o->name, name) == 0 && !o->many) {
            if (!d->overrides[i]) {
                put(out, o->text);
            }
            d->overrides[i] = true;
            return;
        }
        if (strcmp(o->name, name) == 0 && same_words(o->text, text)) {
            d->overrides[i] = true;
        }
    }
    put(out, text);
}

static void put_new_directives(const struct config *cfg, struct directives *d,
                               struct config_text *out)
{
    const struct config_layout *layout = cfg->layout;
    for (size_t i = 0; i < layout->override_count; i++) {
        const struct override *o = &layout->overrides[i];
        bool special = strcmp(o->name, "user") == 0 || strcmp(o->name, "dir") == 0;
        if (!d->overrides[i] && !special) {
            put(out, o->text);
        }
        d->protected_mode = d->protected_mode || strcmp(o->name, "protected-mode") == 0;
        d->port = d->port || strcmp(o->name, "port") == 0;
    }
    if (!d->protected_mode) {
        put(out, "protected-mode no");
    }
    if (!d->port) {
        config_text_printf(out, "port %u\n", (unsigned)cfg->server.port);
    }
    users_render_new(cfg, d->users, out);
    if (!d->dir) {
        put_dir(cfg, out);
    }
}

/* --- the whole
 * -------------------------------------------------------------------------------------------------
 */

static void put_group(const struct config *cfg, const struct config_group *group, struct written *w,
                      struct config_text *out)
{
    for (enum option option = OPTION_MONITOR; option <= OPTION_RENAME_COMMAND; option++) {
        for (size_t i = 0; i < group_items(group, option); i++) {
            size_t before = out->len;
            if (!take(w, group, option, i) || group_default(group, option)) {
                continue;
            }
            if (group_line(cfg, group, option, i, out)) {
                config_text_append(out, "\n", 1);
            } else {
                out->len = before;
            }
        }
    }
}

static void put_globals(const struct config *cfg, struct written *w, enum option first,
                        enum option last, struct config_text *out)
{
    for (enum option option = first; option <= last; option++) {
        size_t before = out->len;
        if (!take(w, NULL, option, 0) || global_default(cfg, option)) {
            continue;
        }
        if (global_line(cfg, option, out)) {
            config_text_append(out, "\n", 1);
        } else {
            out->len = before;
        }
    }
}

static void put_new_state(const struct config *cfg, struct written *w, struct config_text *out)
{
    put_globals(cfg, w, OPTION_MYID, OPTION_ANNOUNCE_HOSTNAMES, out);
    for (size_t i = 0; i < cfg->group_count; i++) {
        put_group(cfg, cfg->groups[i], w, out);
    }
    put_globals(cfg, w, OPTION_CURRENT_EPOCH, OPTION_SENTINEL_PASS, out);
}

/* A line of the file whose text may have changed. */
static void put_line(struct config *cfg, const struct line *line, struct written *w,
                     struct config_text *out)
{
    size_t before = out->len;
    if (!line_text(cfg, line, w, out)) {
        out->len = before;
        return;
    }
    if (line->canon != 0 &&
        strcmp(out->data + before, layout_chars(cfg->layout, line->canon)) == 0) {
        out->len = before;
        config_text_add(out, layout_chars(cfg->layout, line->text));
    }
    config_text_append(out, "\n", 1);
}

static bool ends_blank(const struct config_text *out, size_t from)
{
    return out->len == from || (out->len == from + 1 && out->data[from] == '\n') ||
           (out->len >= from + 2 && out->data[out->len - 2] == '\n');
}

void config_render(struct config *cfg, struct config_text *out)
{
    const struct config_layout *layout = cfg->layout;
    struct directives d = {.overrides = config_alloc(layout->override_count * sizeof(bool)),
                           .users = config_alloc(cfg->users->count * sizeof(bool))};
    struct config_text tail = {0};
    struct written w;
    bool signature = false;
    size_t from = out->len;

    for (size_t i = 0; i < layout->count; i++) {
        const struct line *line = &layout->lines[i];
        bool dir =
            line->kind == LINE_SERVER && strcmp(layout_chars(layout, line->name), "dir") == 0;
        d.dir_lines += dir ? 1 : 0;
    }
    written_init(&w, cfg);
    for (size_t i = 0; i < layout->count; i++) {
        const struct line *line = &layout->lines[i];
        if (line->kind == LINE_VERBATIM || (line->kind == LINE_SIGNATURE && !signature)) {
            put(out, layout_chars(layout, line->text));
            signature = signature || line->kind == LINE_SIGNATURE;
        } else if (line->kind == LINE_SERVER) {
            put_directive(cfg, line, &d, out);
        } else if (line->kind == LINE_SENTINEL || line->kind == LINE_GROUP) {
            put_line(cfg, line, &w, out);
        }
    }
    put_new_directives(cfg, &d, &tail);
    put_new_state(cfg, &w, &tail);
    if (tail.len > 0 && !signature) {
        config_text_add(out, ends_blank(out, from) ? "" : "\n");
        put(out, "# Generated by CONFIG REWRITE");
    }
    config_text_append(out, tail.data != NULL ? tail.data : "", tail.len);
    free(tail.data);
    free(d.overrides);
    free(d.users);
    written_free(&w, cfg);
}

/* The name that a line shows the ip of: the journal keeps both (rules/record.h). */
static void put_host(const struct config *cfg, const struct config_group *group, enum option option,
                     size_t index, struct config_text *out)
{
    const struct address *addr = option == OPTION_MONITOR          ? &group->addr
                                 : option == OPTION_KNOWN_REPLICA  ? &group->replicas[index]
                                 : option == OPTION_KNOWN_SENTINEL ? &group->sentinels[index].addr
                                                                   : NULL;
    if (addr != NULL && addr->host != NULL && shown_host(cfg, addr) == addr->ip) {
        config_text_printf(out, " @%s", addr->host->text);
    }
}

void config_render_state(const struct config *cfg, struct config_text *out)
{
    struct written w = {0};

    put(out, "sentinel forget-all");
    users_render_state(cfg, out);
    config_text_printf(out, "loglevel %s\n", config_loglevel_name(cfg->server.loglevel));
    put_globals(cfg, &w, OPTION_MYID, OPTION_ANNOUNCE_HOSTNAMES, out);
    put_globals(cfg, &w, OPTION_CURRENT_EPOCH, OPTION_SENTINEL_PASS, out);
    for (size_t i = 0; i < cfg->group_count; i++) {
        const struct config_group *group = cfg->groups[i];
        for (enum option option = OPTION_MONITOR; option <= OPTION_RENAME_COMMAND; option++) {
            size_t items = group_default(group, option) || option == OPTION_LEADER ||
                                   (option == OPTION_LEADER_EPOCH && !group->has_leader_epoch)
                               ? 0
                               : group_items(group, option);
            for (size_t k = 0; k < items; k++) {
                size_t before = out->len;
                if (!group_line(cfg, group, option, k, out)) {
                    out->len = before;
                    continue;
                }
                if (option == OPTION_LEADER_EPOCH && runid_known(&group->leader)) {
                    config_text_printf(out, " %s", group->leader.hex);
                }
                put_host(cfg, group, option, k, out);
                config_text_append(out, "\n", 1);
            }
        }
    }
}
