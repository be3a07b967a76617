/* sentinel.conf and the journal's lines, as anybody might have written them. Up to the first byte
 * 0xff the input is the file, behind it come lines for config_apply_line(). */
#include "acl/catalogue.h"
#include "config/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_group(const struct config *cfg, const struct config_group *g)
{
    assert(config_find(cfg, g->name, strlen(g->name)) == g);
    assert(g->replica_count <= LIMIT_REPLICAS && g->sentinel_count <= LIMIT_SENTINELS);
    assert(g->set.quorum >= 1 && g->set.down_after > 0 && g->set.failover_timeout > 0);
    assert(g->config_epoch <= cfg->current_epoch && g->leader_epoch <= cfg->current_epoch);
    for (size_t i = 0; i < g->replica_count; i++) {
        assert(!address_equal(&g->replicas[i], &g->addr));
    }
    for (size_t i = 0; i < g->sentinel_count; i++) {
        assert(runid_known(&g->sentinels[i].runid));
    }
}

/* What `user` lines may speak of. */
static const struct acl_command commands[] = {
    {"ping", (uint32_t)1 << ACL_FAST, ACL_NO_COMMAND, 0, false, false},
    {"info", (uint32_t)1 << ACL_DANGEROUS, ACL_NO_COMMAND, 1, false, false},
    {"sentinel", (uint32_t)1 << ACL_ADMIN, ACL_NO_COMMAND, 2, true, false},
    {"sentinel|master", (uint32_t)1 << ACL_ADMIN, 2, 3, false, false},
    {"sentinel|primary", (uint32_t)1 << ACL_ADMIN, 2, 3, false, false},
};

/* A user's line makes the same user again. */
static void check_user(const struct acl_user *user)
{
    struct acl_text line = {0}, again = {0};
    struct acl_user *twin = acl_user_new(user->name, strlen(user->name), user->open_channels);
    size_t at = strlen("user ") + strlen(user->name) + 1;

    acl_user_line(user, &line);
    assert(line.len <= LIMIT_ACL_USER);
    while (at < line.len) {
        bool selector = line.data[at] == '(';
        const char *end = strchr(line.data + at, selector ? ')' : ' ');
        while (selector && end[1] != ' ' && end[1] != '\0') {
            end = strchr(end + 1, ')'); /* within a word */
        }
        size_t len = end != NULL ? (size_t)(end - line.data) - at + selector : line.len - at;
        assert(acl_user_apply(twin, line.data + at, len) == NULL);
        at += len + 1;
    }
    acl_user_line(twin, &again);
    assert(strcmp(line.data, again.data) == 0);
    acl_text_free(&line);
    acl_text_free(&again);
    acl_user_release(twin);
}

static void check(const struct config *cfg)
{
    assert(cfg->users->count >= 1 && cfg->users->count <= LIMIT_ACL_USERS);
    for (size_t i = 0; i < cfg->users->count; i++) {
        check_user(cfg->users->user[i]);
    }
    assert(cfg->current_epoch <= LIMIT_EPOCH && cfg->group_count <= LIMIT_GROUPS);
    for (size_t i = 0; i < cfg->group_count; i++) {
        check_group(cfg, cfg->groups[i]);
    }
}

static void apply_lines(struct config *cfg, const char *text, size_t len, bool maxima)
{
    struct config_error err;
    while (len > 0) {
        const char *stop = memchr(text, '\n', len);
        size_t n = stop != NULL ? (size_t)(stop - text) : len;
        bool ok = maxima ? config_apply_maxima(cfg, text, n, &err)
                         : config_apply_line(cfg, text, n, &err);
        assert(ok || err.reason[0] != '\0');
        n += stop != NULL ? 1 : 0;
        text += n;
        len -= n;
    }
}

/* The file says requirepass and that the user default needs no password (ACL SETUSER while
 * running): the next start asks for it, and then says so. */
static bool asks_again(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->users->count; i++) {
        const struct acl_user *user = cfg->users->user[i];
        if (strcmp(user->name, "default") == 0) {
            return user->nopass && cfg->server.requirepass != NULL;
        }
    }
    return false;
}

/* What was rendered loads, and renders the same again. */
static void check_round_trip(struct config *cfg)
{
    struct config_text text = {0}, again = {0}, state = {0};
    struct config_error err;

    config_render(cfg, &text);
    struct config *loaded = config_load_text("/f", text.data, text.len, 0, NULL, true, &err);
    if (loaded == NULL) { /* only the bounds of a line may refuse it, or a name without an IP */
        assert(strcmp(err.reason, "The line is too long") == 0 ||
               (!cfg->resolve_hostnames &&
                strcmp(err.reason, "Can't resolve instance hostname.") == 0));
    } else {
        assert(loaded->group_count == cfg->group_count);
        assert(loaded->current_epoch == cfg->current_epoch);
        check(loaded);
        config_render(loaded, &again);
        assert(asks_again(cfg)
                   ? !asks_again(loaded)
                   : again.len == text.len && memcmp(again.data, text.data, text.len) == 0);
        config_render_state(cfg, &state);
        apply_lines(loaded, state.data, state.len, false);
        assert(loaded->group_count == cfg->group_count);
        check(loaded);
        config_free(loaded);
    }
    free(text.data);
    free(again.data);
    free(state.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *stop = size > 0 ? memchr(text, 0xff, size) : NULL;
    size_t len = stop != NULL ? (size_t)(stop - text) : size;
    struct config_error err;
    char block[2048];

    acl_catalogue_set(commands, sizeof(commands) / sizeof(commands[0]));
    struct config *cfg = config_load_text("/f", text, len, 0, NULL, true, &err);
    if (cfg == NULL) {
        assert(err.reason[0] != '\0');
        assert(config_error_format(&err, "8.0.0", block, sizeof(block)) == strlen(block));
        return 0;
    }
    check(cfg);
    if (stop != NULL) {
        apply_lines(cfg, stop + 1, size - len - 1, size % 2 == 0);
        check(cfg);
    }
    check_round_trip(cfg);
    config_free(cfg);
    return 0;
}
