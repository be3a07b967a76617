/* Names in the model: what sentinel.conf shows of them, and what the journal keeps. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct config_error err;

static struct config *must_load(const char *text)
{
    struct config *cfg = config_load_text("/x/s.conf", text, strlen(text), 0, NULL, true, &err);
    if (cfg == NULL) {
        fail_msg("line %u, '%s': %s", err.line, err.text, err.reason);
    }
    return cfg;
}

static void apply(struct config *cfg, const char *line)
{
    if (!config_apply_line(cfg, line, strlen(line), &err)) {
        fail_msg("'%s': %s", line, err.reason);
    }
}

static char *render(struct config *cfg)
{
    struct config_text out = {0};
    config_render(cfg, &out);
    return out.data;
}

static struct config_group *group(const struct config *cfg, const char *name)
{
    struct config_group *g = config_find(cfg, name, strlen(name));
    assert_non_null(g);
    return g;
}

static void names_and_what_they_stood_for(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("sentinel resolve-hostnames yes\n"
                                   "sentinel monitor m1 db1.x 6379 2\n");
    struct config_group *g = group(cfg, "m1");
    char *text = render(cfg);
    assert_non_null(strstr(text, "sentinel monitor m1 db1.x 6379 2\n")); /* no ip to show yet */
    free(text);
    apply(cfg, "sentinel config-epoch m1 0 10.0.0.1 6379 @db1.x"); /* resolved: no switch */
    assert_int_equal(g->replica_count, 0);
    assert_string_equal(g->addr.ip, "10.0.0.1");
    apply(cfg, "sentinel known-replica m1 10.0.0.2 6379 @db2.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.3 6379 @db2.x"); /* it moved */
    assert_int_equal(g->replica_count, 1);
    apply(cfg, "sentinel known-sentinel m1 10.0.0.4 26379 " ID_A " @s1.x");
    text = render(cfg);
    assert_non_null(strstr(text, "sentinel monitor m1 10.0.0.1 6379 2\n"));
    assert_non_null(strstr(text, "sentinel known-replica m1 10.0.0.3 6379\n"));
    assert_non_null(strstr(text, "sentinel known-sentinel m1 10.0.0.4 26379 " ID_A "\n"));
    free(text);
    struct config_text state = {0};
    config_render_state(cfg, &state);
    assert_non_null(strstr(state.data, "sentinel monitor m1 10.0.0.1 6379 2 @db1.x\n"));
    assert_non_null(strstr(state.data, "sentinel known-replica m1 10.0.0.3 6379 @db2.x\n"));
    assert_non_null(
        strstr(state.data, "sentinel known-sentinel m1 10.0.0.4 26379 " ID_A " @s1.x\n"));
    free(state.data);
    apply(cfg, "sentinel auth-pass m1 @db1.x"); /* no address, no name */
    assert_string_equal(g->auth_pass, "@db1.x");
    apply(cfg, "sentinel auth-pass m1 \"\"");
    apply(cfg, "sentinel announce-hostnames yes");
    apply(cfg, "sentinel config-epoch m1 1 10.0.0.3 6379 @db2.x"); /* a switch */
    text = render(cfg);
    assert_non_null(strstr(text, "sentinel monitor m1 db2.x 6379 2\n"));
    assert_non_null(strstr(text, "sentinel known-replica m1 db1.x 6379\n"));
    assert_non_null(strstr(text, "sentinel known-sentinel m1 s1.x 26379 " ID_A "\n"));
    assert_null(strstr(text, " @"));
    free(text);
    apply(cfg, "sentinel forget-replica m1 db1.x 6379");
    assert_int_equal(g->replica_count, 0);
    config_free(cfg);
}

/* A name that comes to stand for an address that is known in another place leaves one of the two.
 */
static void names_that_meet(void **ctx)
{
    struct config *cfg = must_load("sentinel resolve-hostnames yes\n"
                                   "sentinel monitor m1 db1.x 6379 2\n");
    struct config_group *g = group(cfg, "m1");
    apply(cfg, "sentinel config-epoch m1 0 10.0.0.1 6379 @db1.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.2 6379 @db2.x");
    apply(cfg, "sentinel config-epoch m1 0 10.0.0.2 6379 @db1.x"); /* the master is there now */
    assert_string_equal(g->addr.ip, "10.0.0.2");
    assert_int_equal(g->replica_count, 0);
    apply(cfg, "sentinel known-replica m1 10.0.0.3 6379 @db3.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.2 6379 @db3.x"); /* the replica is the master */
    assert_int_equal(g->replica_count, 0);
    apply(cfg, "sentinel known-replica m1 10.0.0.4 6379 @db4.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.5 6379 @db5.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.5 6379 @db4.x"); /* one replica with two names */
    assert_int_equal(g->replica_count, 1);
    assert_string_equal(g->replicas[0].ip, "10.0.0.5");
    config_free(cfg);
}

/* With names resolved no more, none is written: the next start could not read its own file. */
static void resolving_is_turned_off(void **ctx)
{
    struct config *cfg = must_load("sentinel resolve-hostnames yes\n"
                                   "sentinel announce-hostnames yes\n"
                                   "sentinel monitor m1 db1.x 6379 2\n");
    apply(cfg, "sentinel config-epoch m1 0 10.0.0.1 6379 @db1.x");
    apply(cfg, "sentinel known-replica m1 10.0.0.2 6379 @db2.x");
    char *text = render(cfg);
    assert_non_null(strstr(text, "sentinel monitor m1 db1.x 6379 2\n"));
    assert_non_null(strstr(text, "sentinel known-replica m1 db2.x 6379\n"));
    free(text);
    apply(cfg, "sentinel resolve-hostnames no");
    text = render(cfg);
    assert_non_null(strstr(text, "sentinel monitor m1 10.0.0.1 6379 2\n"));
    assert_non_null(strstr(text, "sentinel known-replica m1 10.0.0.2 6379\n"));
    config_free(must_load(text));
    free(text);
    config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_what_they_stood_for),
        cmocka_unit_test(names_that_meet),
        cmocka_unit_test(resolving_is_turned_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
