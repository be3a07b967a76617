/* The "sentinel …" lines (protocol.md §10), from sentinel.conf and from the journal. */
#include "config/internal.h"
#include "rules/host.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The longest time that may be configured: far from overflow when it is doubled and added. */
#define TIME_MAX ((int64_t)1 << 52)

struct call {
    struct config *cfg;
    struct config_group *group; /* of argument 0; NULL for global options */
    char **arg;                 /* what follows the option's name */
    size_t count;
    const struct host *host; /* the journal's: the name of the address in this line, or NULL */
    enum apply_mode mode;
    struct config_error *err;
};

struct entry {
    const char *name, *alias;
    enum option option;
    enum phase phase;
    size_t least, most; /* arguments */
    bool grouped;       /* argument 0 names a group that must exist */
    bool journal;       /* not known in sentinel.conf */
    bool maxima;        /* acts on a changed sentinel.conf as well */
    bool (*apply)(struct call *call);
};

static bool loading(const struct call *call)
{
    return call->mode == APPLY_LOAD || call->mode == APPLY_AGAIN;
}

/* --- values
 * --------------------------------------------------------------------------------------- */

/* Names stay unresolved here: whoever loads the file looks them up, all at once. */
static bool parse_address(struct call *call, const char *host, const char *port_text,
                          struct address *addr)
{
    int64_t port;
    if (!words_number(port_text, &port) || port < 0 || port > UINT16_MAX) {
        return fail(call->err, "Invalid port number.");
    }
    bool names = call->cfg->resolve_hostnames || !loading(call);
    if (!address_set_host(addr, host, strlen(host), port, names ? HOST_CONFIGURED : HOST_NONE)) {
        return fail(call->err, "Can't resolve instance hostname.");
    }
    if (call->host != NULL && addr->host == NULL) {
        addr->host = call->host;
    }
    return true;
}

static bool parse_time(struct call *call, ms_t *time)
{
    int64_t value;
    if (!words_number(call->arg[1], &value) || value <= 0 || value > TIME_MAX) {
        return fail(call->err, "negative or zero time parameter.");
    }
    *time = value;
    return true;
}

static bool parse_epoch(struct call *call, const char *text, uint64_t *epoch)
{
    return words_epoch(text, epoch) || fail(call->err, "Invalid epoch.");
}

static void raise_epoch(struct config *cfg, uint64_t epoch)
{
    if (epoch > cfg->current_epoch) {
        cfg->current_epoch = epoch;
    }
}

/* --- global options
 * -------------------------------------------------------------------------------- */

static bool apply_myid(struct call *call)
{
    struct runid id;
    if (!runid_parse(&id, call->arg[0], strlen(call->arg[0]))) {
        return fail(call->err, "Malformed Sentinel id in myid option.");
    }
    call->cfg->myid = id;
    return true;
}

static bool apply_current_epoch(struct call *call)
{
    uint64_t epoch;
    if (!parse_epoch(call, call->arg[0], &epoch)) {
        return false;
    }
    call->cfg->has_state = true;
    raise_epoch(call->cfg, epoch);
    return true;
}

static bool apply_yes_no(struct call *call, const char *name, const char *options, bool *value)
{
    return words_yes_no(call->arg[0], value) ||
           fail(call->err, "Please specify yes or no for the %s %s.", name, options);
}

static bool apply_deny_scripts(struct call *call)
{
    return apply_yes_no(call, "deny-scripts-reconfig", "options",
                        &call->cfg->deny_scripts_reconfig);
}

static bool apply_resolve_hostnames(struct call *call)
{
    return apply_yes_no(call, "resolve-hostnames", "option", &call->cfg->resolve_hostnames);
}

static bool apply_announce_hostnames(struct call *call)
{
    return apply_yes_no(call, "announce-hostnames", "option", &call->cfg->announce_hostnames);
}

static bool apply_announce_ip(struct call *call)
{
    if (strlen(call->arg[0]) > LIMIT_HOST) {
        return fail(call->err, "announce-ip is too long.");
    }
    config_text_set(&call->cfg->announce_ip, call->arg[0]);
    return true;
}

static bool apply_announce_port(struct call *call)
{
    int64_t port;
    if (!words_number(call->arg[0], &port) || port < 0 || port > UINT16_MAX) {
        return fail(call->err, "Invalid port number.");
    }
    call->cfg->announce_port = (uint16_t)port;
    return true;
}

static bool apply_sentinel_user(struct call *call)
{
    config_text_set(&call->cfg->sentinel_user, call->arg[0]);
    return true;
}

static bool apply_sentinel_pass(struct call *call)
{
    config_text_set(&call->cfg->sentinel_pass, call->arg[0]);
    return true;
}

static bool apply_forget_all(struct call *call)
{
    struct config *cfg = call->cfg;
    config_groups_free(cfg);
    config_text_set(&cfg->announce_ip, "");
    config_text_set(&cfg->sentinel_user, "");
    config_text_set(&cfg->sentinel_pass, "");
    cfg->announce_port = 0;
    cfg->resolve_hostnames = cfg->announce_hostnames = false;
    cfg->deny_scripts_reconfig = true;
    return true;
}

/* --- a group and its settings
 * ------------------------------------------------------------------------ */

static bool parse_quorum(struct call *call, const char *text, uint32_t *quorum)
{
    int64_t value;
    if (!words_number(text, &value) || value < 1 || value > INT32_MAX) {
        return fail(call->err, "Quorum must be 1 or greater.");
    }
    *quorum = (uint32_t)value;
    return true;
}

static bool apply_monitor(struct call *call)
{
    const char *name = call->arg[0], *host = call->arg[1];
    struct address addr;
    uint32_t quorum = 0;

    if (!parse_quorum(call, call->arg[3], &quorum)) {
        return false;
    }
    if (*name == '\0' || strlen(name) > LIMIT_NAME) {
        return fail(call->err, "Invalid master name.");
    }
    struct config_group *group = config_find(call->cfg, name, strlen(name));
    if (group != NULL && call->mode == APPLY_LOAD) {
        return fail(call->err, "Duplicate master name.");
    }
    if (!parse_address(call, host, call->arg[2], &addr)) {
        return false;
    }
    if (group != NULL) {
        group->set.quorum = quorum;
        return true;
    }
    if (call->cfg->group_count >= LIMIT_GROUPS) {
        return fail(call->err, "Too many masters.");
    }
    if (loading(call) && strchr(name, ',') != NULL) {
        config_note(call->cfg,
                    "The name '%s' holds a comma, which ends a field of the hello: other "
                    "sentinels will not hear of us from it",
                    name);
    }
    group = config_add(call->cfg, name);
    group->addr = addr;
    group->set.quorum = quorum;
    return true;
}

static bool apply_quorum(struct call *call)
{
    return parse_quorum(call, call->arg[1], &call->group->set.quorum);
}

static bool apply_remove(struct call *call)
{
    config_remove(call->cfg, call->group);
    return true;
}

static bool apply_down_after(struct call *call)
{
    return parse_time(call, &call->group->set.down_after);
}

static bool apply_failover_timeout(struct call *call)
{
    return parse_time(call, &call->group->set.failover_timeout);
}

static bool apply_parallel_syncs(struct call *call)
{
    int64_t value;
    if (!words_number(call->arg[1], &value) || value < 0 || value > INT32_MAX) {
        return fail(call->err, "Invalid number of parallel syncs.");
    }
    call->group->set.parallel_syncs = (uint32_t)value;
    return true;
}

static bool apply_reboot_down_after(struct call *call)
{
    int64_t value;
    if (!words_number(call->arg[1], &value) || value < 0 || value > TIME_MAX) {
        return fail(call->err, "negative time parameter.");
    }
    call->group->set.reboot_down_after = value;
    return true;
}

/* Of a line that was checked when it was set, nobody asks again: the script may be gone since. */
static bool apply_script(struct call *call, const char *what, char **script)
{
    if (call->mode != APPLY_REPLAY && access(call->arg[1], X_OK) != 0) {
        return fail(call->err, "%s script seems non existing or non executable.", what);
    }
    config_text_set(script, call->arg[1]);
    return true;
}

static bool apply_notification_script(struct call *call)
{
    return apply_script(call, "Notification", &call->group->notification_script);
}

static bool apply_reconfig_script(struct call *call)
{
    return apply_script(call, "Client reconfiguration", &call->group->client_reconfig_script);
}

static bool apply_auth_pass(struct call *call)
{
    config_text_set(&call->group->auth_pass, call->arg[1]);
    return true;
}

static bool apply_auth_user(struct call *call)
{
    config_text_set(&call->group->auth_user, call->arg[1]);
    return true;
}

static bool apply_rename_command(struct call *call)
{
    struct config_group *group = call->group;
    const char *from = call->arg[1], *to = call->arg[2];
    if (call->mode == APPLY_LOAD && rename_find(group->renames, group->rename_count, from)) {
        return fail(call->err, "Same command renamed multiple times with rename-command.");
    }
    if (strcasecmp(from, to) == 0) {
        rename_drop(&group->renames, &group->rename_count, from);
    } else {
        rename_put(&group->renames, &group->rename_count, from, to);
    }
    return true;
}

/* --- a group's state
 * ---------------------------------------------------------------------------------- */

/* The master is now at addr: the old master and the promoted replica change places. */
static void switch_master(struct config_group *group, const struct address *addr)
{
    struct address old = group->addr;
    if (address_equal(&old, addr)) {
        /* Its name may stand for another ip now. */
        if (addr->ip[0] != '\0' && (addr->host != NULL || old.host == NULL)) {
            group->addr = *addr;
            config_replica_drop(group, addr); /* that was known as a replica's */
        }
        return;
    }
    config_replica_drop(group, addr);
    group->addr = *addr;
    if (address_known(&old)) {
        config_replica_add(group, &old);
    }
}

static bool apply_config_epoch(struct call *call)
{
    struct config_group *group = call->group;
    struct address addr;
    uint64_t epoch;

    if (!parse_epoch(call, call->arg[1], &epoch)) {
        return false;
    }
    if (call->count == 3) {
        return fail(call->err, "Unrecognized sentinel configuration statement.");
    }
    if (call->count == 4 && !parse_address(call, call->arg[2], call->arg[3], &addr)) {
        return false;
    }
    bool maxima = call->mode == APPLY_MAXIMA;
    if (epoch < group->config_epoch || (maxima && epoch == group->config_epoch)) {
        return true;
    }
    group->config_epoch = epoch;
    if (call->count == 4) {
        switch_master(group, &addr);
    }
    raise_epoch(call->cfg, epoch);
    return true;
}

static bool apply_leader_epoch(struct call *call)
{
    struct config_group *group = call->group;
    struct runid leader = {0};
    uint64_t epoch;

    if (!parse_epoch(call, call->arg[1], &epoch)) {
        return false;
    }
    if (call->count == 3 && !runid_parse(&leader, call->arg[2], strlen(call->arg[2]))) {
        return fail(call->err, "Malformed Sentinel id in leader-epoch option.");
    }
    if (group->has_leader_epoch && epoch < group->leader_epoch) {
        return true;
    }
    if (!group->has_leader_epoch && call->mode == APPLY_MAXIMA && epoch < group->leader_epoch) {
        return true;
    }
    if (epoch > group->leader_epoch || runid_known(&leader) || !group->has_leader_epoch) {
        group->leader = leader;
    }
    group->leader_epoch = epoch;
    group->has_leader_epoch = true;
    raise_epoch(call->cfg, epoch);
    return true;
}

static bool apply_known_replica(struct call *call)
{
    struct address addr;
    if (!parse_address(call, call->arg[1], call->arg[2], &addr)) {
        return false;
    }
    if (call->mode == APPLY_LOAD && config_replica_known(call->group, &addr)) {
        return fail(call->err, "Duplicate hostname and port for replica.");
    }
    if (call->mode == APPLY_LOAD && call->group->replica_count >= LIMIT_REPLICAS) {
        return fail(call->err, "Too many replicas.");
    }
    config_replica_add(call->group, &addr);
    return true;
}

static bool apply_forget_replica(struct call *call)
{
    struct address addr;
    if (!parse_address(call, call->arg[1], call->arg[2], &addr)) {
        return false;
    }
    config_replica_drop(call->group, &addr);
    return true;
}

static bool apply_known_sentinel(struct call *call)
{
    struct address addr;
    struct runid id;

    if (call->count == 3) { /* a form of earlier years, without the id: of no use */
        return true;
    }
    if (!parse_address(call, call->arg[1], call->arg[2], &addr)) {
        return false;
    }
    if (!runid_parse(&id, call->arg[3], strlen(call->arg[3]))) {
        return fail(call->err, "Malformed Sentinel id in known-sentinel option.");
    }
    if (call->mode == APPLY_LOAD && config_peer_find(call->group, &id) != NULL) {
        return fail(call->err, "Duplicate runid for sentinel.");
    }
    if (runid_equal(&id, &call->cfg->myid)) {
        return true; /* a copy of this sentinel's own file: never a peer of itself */
    }
    return config_peer_put(call->group, &addr, &id) || call->mode != APPLY_LOAD ||
           fail(call->err, "Too many sentinels.");
}

static bool apply_forget_sentinel(struct call *call)
{
    struct runid id;
    if (!runid_parse(&id, call->arg[1], strlen(call->arg[1]))) {
        return fail(call->err, "Malformed Sentinel id in forget-sentinel.");
    }
    config_peer_drop(call->group, &id);
    return true;
}

static bool apply_reset(struct call *call)
{
    config_group_reset(call->group);
    return true;
}

/* --- the table
 * ------------------------------------------------------------------------------------------ */

#define GLOBAL(name, option, apply)                                                                \
    {                                                                                              \
        name, NULL, option, PHASE_GLOBAL, 1, 1, false, false, false, apply                         \
    }
#define GROUP(name, alias, option, least, most, apply)                                             \
    {                                                                                              \
        name, alias, option, PHASE_REST, least, most, true, false, false, apply                    \
    }
#define MAXIMA(name, option, least, most, apply)                                                   \
    {                                                                                              \
        name, NULL, option, PHASE_REST, least, most, true, false, true, apply                      \
    }
#define JOURNAL(name, count, grouped, apply)                                                       \
    {                                                                                              \
        name, NULL, OPTION_NONE, PHASE_REST, count, count, grouped, true, false, apply             \
    }

static const struct entry entries[] = {
    GLOBAL("myid", OPTION_MYID, apply_myid),
    {"current-epoch", NULL, OPTION_CURRENT_EPOCH, PHASE_GLOBAL, 1, 1, false, false, true,
     apply_current_epoch},
    GLOBAL("deny-scripts-reconfig", OPTION_DENY_SCRIPTS, apply_deny_scripts),
    GLOBAL("resolve-hostnames", OPTION_RESOLVE_HOSTNAMES, apply_resolve_hostnames),
    GLOBAL("announce-hostnames", OPTION_ANNOUNCE_HOSTNAMES, apply_announce_hostnames),
    GLOBAL("announce-ip", OPTION_ANNOUNCE_IP, apply_announce_ip),
    GLOBAL("announce-port", OPTION_ANNOUNCE_PORT, apply_announce_port),
    GLOBAL("sentinel-user", OPTION_SENTINEL_USER, apply_sentinel_user),
    GLOBAL("sentinel-pass", OPTION_SENTINEL_PASS, apply_sentinel_pass),
    {"monitor", NULL, OPTION_MONITOR, PHASE_MONITOR, 4, 4, false, false, false, apply_monitor},
    GROUP("down-after-milliseconds", NULL, OPTION_DOWN_AFTER, 2, 2, apply_down_after),
    GROUP("failover-timeout", NULL, OPTION_FAILOVER_TIMEOUT, 2, 2, apply_failover_timeout),
    GROUP("parallel-syncs", NULL, OPTION_PARALLEL_SYNCS, 2, 2, apply_parallel_syncs),
    GROUP("notification-script", NULL, OPTION_NOTIFICATION_SCRIPT, 2, 2, apply_notification_script),
    GROUP("client-reconfig-script", NULL, OPTION_RECONFIG_SCRIPT, 2, 2, apply_reconfig_script),
    GROUP("auth-pass", NULL, OPTION_AUTH_PASS, 2, 2, apply_auth_pass),
    GROUP("auth-user", NULL, OPTION_AUTH_USER, 2, 2, apply_auth_user),
    GROUP("master-reboot-down-after-period", "primary-reboot-down-after-period",
          OPTION_REBOOT_DOWN_AFTER, 2, 2, apply_reboot_down_after),
    MAXIMA("config-epoch", OPTION_CONFIG_EPOCH, 2, 4, apply_config_epoch),
    MAXIMA("leader-epoch", OPTION_LEADER_EPOCH, 2, 3, apply_leader_epoch),
    GROUP("known-replica", "known-slave", OPTION_KNOWN_REPLICA, 3, 3, apply_known_replica),
    GROUP("known-sentinel", NULL, OPTION_KNOWN_SENTINEL, 3, 4, apply_known_sentinel),
    GROUP("rename-command", NULL, OPTION_RENAME_COMMAND, 3, 3, apply_rename_command),
    JOURNAL("quorum", 2, true, apply_quorum),
    JOURNAL("remove", 1, true, apply_remove),
    JOURNAL("reset", 1, true, apply_reset),
    JOURNAL("forget-replica", 3, true, apply_forget_replica),
    JOURNAL("forget-sentinel", 2, true, apply_forget_sentinel),
    JOURNAL("forget-all", 0, false, apply_forget_all),
};

static const struct entry *entry_find(const struct words *w, bool journal)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        const struct entry *entry = &entries[i];
        bool named =
            w->count >= 2 && (strcasecmp(entry->name, w->item[1]) == 0 ||
                              (entry->alias != NULL && strcasecmp(entry->alias, w->item[1]) == 0));
        if (named && (journal || !entry->journal) && w->count - 2 >= entry->least &&
            w->count - 2 <= entry->most) {
            return entry;
        }
    }
    return NULL;
}

/* In sentinel.conf, leader-epoch and config-epoch have stock's number of words only. */
static bool stock_form(const struct entry *entry, const struct words *w)
{
    return !entry->maxima || !entry->grouped || w->count == 4;
}

bool sentinel_phase(const struct words *w, enum phase *phase, struct config_error *err)
{
    const struct entry *entry = entry_find(w, false);
    if (entry == NULL || !stock_form(entry, w)) {
        return fail(err, "Unrecognized sentinel configuration statement.");
    }
    *phase = entry->phase;
    return true;
}

/* Takes the " @name" that ends a line of the journal off it. */
static const struct host *take_host(struct words *w)
{
    static const char *const with[] = {"monitor", "config-epoch", "known-replica", "known-sentinel",
                                       "forget-replica"};
    const char *option = w->count > 2 ? w->item[1] : "", *last = w->item[w->count - 1];
    bool has_address = false;
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        has_address = has_address || strcmp(option, with[i]) == 0;
    }
    const struct host *host = has_address && *last == '@'
                                  ? host_intern(last + 1, strlen(last + 1), HOST_CONFIGURED)
                                  : NULL;
    w->count -= host != NULL ? 1 : 0;
    return host;
}

bool sentinel_apply(struct config *cfg, const struct words *words, enum apply_mode mode,
                    struct config_error *err)
{
    bool journal = mode == APPLY_REPLAY || mode == APPLY_MAXIMA;
    struct words copy = *words, *w = &copy;
    const struct host *host = journal ? take_host(w) : NULL;
    const struct entry *entry = entry_find(w, journal);

    assert(w->count >= 1);
    if (entry == NULL) {
        return fail(err, "Unrecognized sentinel configuration statement.");
    }
    if (mode == APPLY_MAXIMA && !entry->maxima) {
        return true;
    }
    struct call call = {cfg, NULL, w->item + 2, w->count - 2, host, mode, err};
    if (entry->grouped) {
        call.group = config_find(cfg, call.arg[0], strlen(call.arg[0]));
        if (call.group == NULL) {
            return journal || fail(err, "No such master with specified name.");
        }
    }
    return entry->apply(&call);
}

/* Which of several items the line is about. */
static void classify_item(struct config_layout *layout, const struct words *w, struct line *line)
{
    int64_t port;
    const char *extra = NULL;
    if (line->option == OPTION_KNOWN_REPLICA && words_number(w->item[4], &port) && port >= 0 &&
        port <= UINT16_MAX) {
        line->port = (uint16_t)port;
        extra = w->item[3];
    } else if (line->option == OPTION_KNOWN_SENTINEL) {
        extra = w->item[5];
    } else if (line->option == OPTION_RENAME_COMMAND) {
        extra = w->item[3];
    }
    if (extra != NULL) {
        line->extra = layout_keep(layout, extra, strlen(extra));
    }
}

void sentinel_classify(struct config_layout *layout, const struct words *w, struct line *line)
{
    const struct entry *entry = entry_find(w, false);
    if (entry == NULL) {
        line->kind = LINE_VERBATIM; /* "sentinel" alone */
        return;
    }
    line->option = (uint8_t)entry->option;
    if (entry->option == OPTION_KNOWN_SENTINEL && w->count < 6) {
        line->kind = LINE_DROPPED;
        return;
    }
    bool of_group = entry->phase != PHASE_GLOBAL;
    line->kind = of_group ? LINE_GROUP : LINE_SENTINEL;
    if (of_group) {
        line->name = layout_keep_name(layout, w->item[2]);
        classify_item(layout, w, line);
    }
}

void sentinel_raise(struct config *cfg)
{
    for (size_t i = 0; i < cfg->group_count; i++) {
        raise_epoch(cfg, cfg->groups[i]->config_epoch);
        if (cfg->groups[i]->has_leader_epoch) {
            raise_epoch(cfg, cfg->groups[i]->leader_epoch);
        }
    }
    for (size_t i = 0; i < cfg->group_count; i++) {
        if (!cfg->groups[i]->has_leader_epoch) {
            cfg->groups[i]->leader_epoch = cfg->current_epoch;
        }
    }
}
