#include "config/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- by name ------------------------------------------------------------------------------------
 */

static size_t name_hash(const char *name, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    }
    return (size_t)(hash ^ (hash >> 29));
}

static void table_put(struct config_layout *layout, struct config_group *group)
{
    size_t mask = layout->table_size - 1;
    size_t slot = name_hash(group->name, strlen(group->name)) & mask;
    while (layout->table[slot] != NULL) {
        slot = (slot + 1) & mask;
    }
    layout->table[slot] = group;
}

/* Keeps the table at most half full. */
static void table_room(struct config *cfg)
{
    struct config_layout *layout = cfg->layout;
    if (layout->table_size > 2 * cfg->group_count) {
        return;
    }
    layout->table_size = layout->table_size > 0 ? layout->table_size * 2 : 64;
    free(layout->table);
    layout->table = config_alloc(layout->table_size * sizeof(struct config_group *));
    for (size_t i = 0; i < cfg->group_count; i++) {
        table_put(layout, cfg->groups[i]);
    }
    assert(layout->table_size > cfg->group_count);
}

/* Takes a group out and puts the ones behind it, up to the next gap, where they are now found. */
static void table_take(struct config_layout *layout, const struct config_group *group)
{
    size_t mask = layout->table_size - 1;
    size_t slot = name_hash(group->name, strlen(group->name)) & mask;
    while (layout->table[slot] != group) {
        assert(layout->table[slot] != NULL);
        slot = (slot + 1) & mask;
    }
    layout->table[slot] = NULL;
    for (slot = (slot + 1) & mask; layout->table[slot] != NULL; slot = (slot + 1) & mask) {
        struct config_group *moved = layout->table[slot];
        layout->table[slot] = NULL;
        table_put(layout, moved);
    }
}

struct config_group *config_find(const struct config *cfg, const char *name, size_t len)
{
    const struct config_layout *layout = cfg->layout;
    if (layout->table_size == 0 || len > LIMIT_NAME) {
        return NULL;
    }
    size_t mask = layout->table_size - 1;
    for (size_t slot = name_hash(name, len) & mask; layout->table[slot] != NULL;
         slot = (slot + 1) & mask) {
        struct config_group *group = layout->table[slot];
        if (strlen(group->name) == len && memcmp(group->name, name, len) == 0) {
            return group;
        }
    }
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------------
 */

static void renames_free(struct config_rename *renames, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(renames[i].from);
        free(renames[i].to);
    }
    free(renames);
}

static void discard(struct config_group *group)
{
    free(group->auth_user);
    free(group->auth_pass);
    free(group->notification_script);
    free(group->client_reconfig_script);
    renames_free(group->renames, group->rename_count);
    free(group->replicas);
    free(group->sentinels);
    free(group);
}

struct config_group *config_add(struct config *cfg, const char *name)
{
    struct periods periods;
    periods_default(&periods);
    size_t len = strlen(name);
    assert(len <= LIMIT_NAME && config_find(cfg, name, len) == NULL);

    struct config_group *group = config_alloc(sizeof(*group) + len + 1);
    memcpy(group->name, name, len + 1);
    group->set.quorum = 1;
    group->set.parallel_syncs = 1;
    group->set.down_after = periods.default_down_after;
    group->set.failover_timeout = periods.default_failover_timeout;
    group->leader_epoch = cfg->current_epoch; /* design.md §4.1 */

    cfg->groups =
        config_grow(cfg->groups, &cfg->group_cap, cfg->group_count + 1, sizeof(*cfg->groups));
    cfg->groups[cfg->group_count++] = group;
    table_room(cfg);
    if (config_find(cfg, name, len) == NULL) {
        table_put(cfg->layout, group);
    }
    return group;
}

void config_remove(struct config *cfg, struct config_group *group)
{
    size_t i = 0;
    while (i < cfg->group_count && cfg->groups[i] != group) {
        i++;
    }
    assert(i < cfg->group_count);
    table_take(cfg->layout, group);
    memmove(cfg->groups + i, cfg->groups + i + 1, (cfg->group_count - i - 1) * sizeof(group));
    cfg->group_count--;
    discard(group);
}

void config_groups_free(struct config *cfg)
{
    for (size_t i = 0; i < cfg->group_count; i++) {
        discard(cfg->groups[i]);
    }
    free(cfg->groups);
    free(cfg->layout->table);
    cfg->groups = NULL;
    cfg->group_count = cfg->group_cap = 0;
    cfg->layout->table = NULL;
    cfg->layout->table_size = 0;
}

void config_group_reset(struct config_group *group)
{
    group->replica_count = 0;
    group->sentinel_count = 0;
    group->leader = (struct runid){0};
}

/* --- members
 * -------------------------------------------------------------------------------------- */

static size_t replica_index(const struct config_group *group, const struct address *addr)
{
    size_t i = 0;
    while (i < group->replica_count && !address_equal(&group->replicas[i], addr)) {
        i++;
    }
    return i;
}

bool config_replica_known(const struct config_group *group, const struct address *addr)
{
    return replica_index(group, addr) < group->replica_count;
}

/* What is known of a replica has changed: its name, or what that stands for. Whoever comes to stand
 * for the master, or for another replica, is one with it. */
static void renew_replica(struct config_group *group, size_t index, const struct address *addr)
{
    struct address now = group->replicas[index];
    if (addr->ip[0] != '\0' && (addr->host != NULL || now.host == NULL)) {
        now = *addr;
    }
    size_t kept = 0;
    for (size_t i = 0; i < group->replica_count; i++) {
        if (i == index ? !address_equal(&group->addr, &now)
                       : !address_equal(&group->replicas[i], &now)) {
            group->replicas[kept++] = i == index ? now : group->replicas[i];
        }
    }
    group->replica_count = kept;
}

bool config_replica_add(struct config_group *group, const struct address *addr)
{
    size_t known = replica_index(group, addr);
    if (known < group->replica_count) {
        renew_replica(group, known, addr);
        return false;
    }
    if (group->replica_count >= LIMIT_REPLICAS || address_equal(&group->addr, addr)) {
        return false;
    }
    group->replicas = config_grow(group->replicas, &group->replica_cap, group->replica_count + 1,
                                  sizeof(*group->replicas));
    group->replicas[group->replica_count++] = *addr;
    return true;
}

bool config_replica_drop(struct config_group *group, const struct address *addr)
{
    size_t i = replica_index(group, addr);
    if (i == group->replica_count) {
        return false;
    }
    memmove(group->replicas + i, group->replicas + i + 1,
            (group->replica_count - i - 1) * sizeof(*group->replicas));
    group->replica_count--;
    return true;
}

struct config_peer *config_peer_find(const struct config_group *group, const struct runid *runid)
{
    for (size_t i = 0; i < group->sentinel_count; i++) {
        if (runid_equal(&group->sentinels[i].runid, runid)) {
            return &group->sentinels[i];
        }
    }
    return NULL;
}

bool config_peer_put(struct config_group *group, const struct address *addr,
                     const struct runid *runid)
{
    struct config_peer *peer = config_peer_find(group, runid);
    if (peer != NULL) {
        peer->addr = *addr;
        return true;
    }
    if (group->sentinel_count >= LIMIT_SENTINELS) {
        return false;
    }
    group->sentinels = config_grow(group->sentinels, &group->sentinel_cap,
                                   group->sentinel_count + 1, sizeof(*group->sentinels));
    group->sentinels[group->sentinel_count++] = (struct config_peer){*addr, *runid};
    return true;
}

bool config_peer_drop(struct config_group *group, const struct runid *runid)
{
    struct config_peer *peer = config_peer_find(group, runid);
    if (peer == NULL) {
        return false;
    }
    size_t i = (size_t)(peer - group->sentinels);
    memmove(peer, peer + 1, (group->sentinel_count - i - 1) * sizeof(*peer));
    group->sentinel_count--;
    return true;
}

/* --- renames and texts
 * ---------------------------------------------------------------------------- */

struct config_rename *rename_find(struct config_rename *renames, size_t count, const char *from)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(renames[i].from, from) == 0) {
            return &renames[i];
        }
    }
    return NULL;
}

void rename_put(struct config_rename **renames, size_t *count, const char *from, const char *to)
{
    rename_drop(renames, count, from);
    size_t cap = *count;
    *renames = config_grow(*renames, &cap, *count + 1, sizeof(**renames));
    (*renames)[(*count)++] = (struct config_rename){
        .from = config_copy(from, strlen(from)),
        .to = config_copy(to, strlen(to)),
    };
}

void rename_drop(struct config_rename **renames, size_t *count, const char *from)
{
    struct config_rename *rename = rename_find(*renames, *count, from);
    if (rename != NULL) {
        size_t i = (size_t)(rename - *renames);
        free(rename->from);
        free(rename->to);
        memmove(rename, rename + 1, (*count - i - 1) * sizeof(*rename));
        (*count)--;
    }
}

void config_text_set(char **text, const char *value)
{
    char *copy = *value != '\0' ? config_copy(value, strlen(value)) : NULL;
    free(*text);
    *text = copy;
}
