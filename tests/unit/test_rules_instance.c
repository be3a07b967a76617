/* Liveness, fresh instances, the flags field. */
#include "rules/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0         ((ms_t)1000000)
#define DOWN_AFTER ((ms_t)5000)

/* Connected for a minute, everything answered just now. */
static struct liveness alive(ms_t now)
{
    return (struct liveness){.cmd_up = true,
                             .pubsub_up = true,
                             .cmd_since = now - 60000,
                             .pubsub_since = now - 60000,
                             .cmd_tried = now - 60000,
                             .pubsub_tried = now - 60000,
                             .ping_sent = now,
                             .reply_ok = now,
                             .reply_any = now,
                             .link_activity = now,
                             .pubsub_activity = now};
}

/* --- silence and its deadline ---------------------------------------------------------------- */

static void test_silence(void **state)
{
    struct liveness live = alive(T0);
    assert_int_equal(liveness_silence(&live, T0), 0);
    assert_int_equal(liveness_silence(&live, T0 + 100000), 0); /* nothing asked: no verdict */
    assert_true(liveness_deadline(&live, DOWN_AFTER) == MS_NEVER);

    live.ping_pending = T0 + 1;
    assert_int_equal(liveness_silence(&live, T0 + 1), 0);
    assert_int_equal(liveness_silence(&live, T0 + 4), 3);

    live.ping_pending = 0;
    live.cmd_up = false;
    assert_int_equal(liveness_silence(&live, T0 + 700), 700);

    /* The PING in flight when the link broke came after the last valid reply. */
    live.ping_pending = T0 + 500;
    assert_int_equal(liveness_silence(&live, T0 + 700), 200);
    live.cmd_up = true; /* to reconnect proves nothing */
    assert_int_equal(liveness_silence(&live, T0 + 700), 200);

    /* A lost pub/sub link says nothing about the instance. */
    live.ping_pending = 0;
    live.pubsub_up = false;
    assert_int_equal(liveness_silence(&live, T0 + 700), 0);

    /* A time before the last one known (another thread's clock reading) is no silence. */
    live.ping_pending = T0 + 500;
    assert_int_equal(liveness_silence(&live, T0 + 400), 0);
}

/* s_down is "older than down-after": not at exactly down-after, but one ms later; and the deadline
 * is that ms, no earlier and no later. */
static void test_boundary(void **state)
{
    static const ms_t periods[] = {0, 1, 2, 999, 1000, 30000, 86400000};
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
        const ms_t down_after = periods[i];
        for (int disconnected = 0; disconnected < 2; disconnected++) {
            struct liveness live = alive(T0);
            if (disconnected)
                live.cmd_up = false;
            else
                live.ping_pending = T0;
            assert_true(liveness_silence(&live, T0 + down_after) == down_after);
            assert_false(liveness_silence(&live, T0 + down_after) > down_after);
            const ms_t deadline = liveness_deadline(&live, down_after);
            assert_true(deadline == T0 + down_after + 1);
            assert_true(liveness_silence(&live, deadline) > down_after);
            assert_false(liveness_silence(&live, deadline - 1) > down_after);
        }
    }
}

static void test_deadline_does_not_overflow(void **state)
{
    struct liveness live = alive(T0);
    live.ping_pending = T0;
    assert_true(liveness_deadline(&live, MS_NEVER) == MS_NEVER);
    assert_true(liveness_deadline(&live, MS_NEVER - T0) == MS_NEVER);
    assert_true(liveness_deadline(&live, MS_NEVER - T0 - 1) == MS_NEVER);
    assert_true(liveness_deadline(&live, MS_NEVER - T0 - 2) == MS_NEVER - 1);
}

/* --- replies to PING ------------------------------------------------------------------------- */

static void test_pong(void **state)
{
    static const struct {
        enum ping_reply reply;
        bool valid;
    } cases[] = {
        {PING_PONG, true},  {PING_LOADING, true}, {PING_MASTERDOWN, true},
        {PING_BUSY, false}, {PING_ERROR, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct liveness live = alive(T0);
        live.ping_pending = T0 + 100;
        assert_int_equal(liveness_pong(&live, cases[i].reply, T0 + 150), cases[i].valid);
        assert_int_equal(live.reply_any, T0 + 150);
        assert_int_equal(live.link_activity, T0 + 150);
        assert_int_equal(live.reply_ok, cases[i].valid ? T0 + 150 : T0);
        assert_int_equal(live.ping_pending, cases[i].valid ? 0 : T0 + 100);
        assert_int_equal(live.pubsub_activity, T0); /* not its business */
        /* An error keeps the silence going, a valid reply ends it. */
        assert_int_equal(liveness_silence(&live, T0 + 200), cases[i].valid ? 0 : 100);
    }
}

/* Errors for ever: the link is fine, the instance is down. */
static void test_errors_are_silence(void **state)
{
    struct liveness live = alive(T0);
    struct periods p;
    periods_default(&p);
    live.ping_pending = T0;
    for (ms_t now = T0; now <= T0 + 60000; now += 1000) {
        assert_false(liveness_pong(&live, PING_ERROR, now + 1));
        assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now + 1));
    }
    assert_true(liveness_silence(&live, T0 + 60001) > DOWN_AFTER);
}

/* --- stale links ----------------------------------------------------------------------------- */

static void test_cmd_stale(void **state)
{
    struct periods p;
    periods_default(&p);
    const ms_t half = DOWN_AFTER / 2, now = T0;
    /* Everything about it is just beyond its limit. */
    const struct liveness stale = {.cmd_up = true,
                                   .cmd_since = now - p.min_link_reconnect - 1,
                                   .ping_pending = now - half - 1,
                                   .reply_ok = now - half - 1,
                                   .reply_any = now - half - 1,
                                   .link_activity = now - half - 1};
    assert_true(liveness_cmd_stale(&stale, &p, DOWN_AFTER, now));
    assert_false(liveness_cmd_stale(&stale, &p, DOWN_AFTER, now - 1));
    assert_false(liveness_cmd_stale(&stale, &p, DOWN_AFTER + 2, now));

    struct liveness live = stale;
    live.cmd_up = false; /* there is nothing to close */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));
    live = stale;
    live.cmd_since = now - p.min_link_reconnect; /* too young */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));
    live = stale;
    live.ping_pending = 0; /* nothing is asked of it */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));
    live.ping_pending = now - half; /* asked not long enough ago */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));
    live = stale;
    live.reply_any = now - half; /* an error came */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));
    live = stale;
    live.link_activity = now - half; /* something else was answered */
    assert_false(liveness_cmd_stale(&live, &p, DOWN_AFTER, now));

    p.min_link_reconnect = 60000; /* the period is the one that was set */
    assert_false(liveness_cmd_stale(&stale, &p, DOWN_AFTER, now));
}

static void test_pubsub_stale(void **state)
{
    struct periods p;
    periods_default(&p);
    const ms_t now = T0;
    const struct liveness stale = {.pubsub_up = true,
                                   .pubsub_since = now - p.min_link_reconnect - 1,
                                   .pubsub_activity = now - 3 * p.publish - 1};
    assert_true(liveness_pubsub_stale(&stale, &p, now));
    assert_false(liveness_pubsub_stale(&stale, &p, now - 1));
    struct liveness live = stale;
    live.pubsub_up = false;
    assert_false(liveness_pubsub_stale(&live, &p, now));
    live = stale;
    live.pubsub_since = now - p.min_link_reconnect;
    assert_false(liveness_pubsub_stale(&live, &p, now));
    live = stale;
    live.pubsub_activity = now - 3 * p.publish;
    assert_false(liveness_pubsub_stale(&live, &p, now));
    p.publish *= 2;
    assert_false(liveness_pubsub_stale(&stale, &p, now));
}

/* --- life ------------------------------------------------------------------------------------ */

static void new_server(const struct server_state *server, enum role role)
{
    assert_int_equal(server->role, role);
    assert_int_equal(server->role_since, T0);
    assert_string_equal(server->master_name, "?");
    assert_int_equal(server->master_since, T0);
    assert_false(address_known(&server->master));
    assert_true(server->announced);
    assert_false(server->master_link_up);
    assert_int_equal(server->priority, 100);
    assert_int_equal(server->next_info, T0);
    assert_int_equal(server->info_at, 0);
    assert_int_equal(server->odown_since, 0);
    assert_int_equal(server->reboot_at, 0);
    assert_int_equal(server->turned_master_at, 0);
}

static void new_peer(const struct sentinel_state *peer)
{
    assert_int_equal(peer->hello_at, T0);
    assert_int_equal(peer->down_reply_at, 0);
    assert_false(runid_known(&peer->leader));
}

static void test_new(void **state)
{
    static const struct {
        enum instance_kind kind;
        enum role role;
    } cases[] = {
        {INSTANCE_MASTER, ROLE_MASTER},
        {INSTANCE_REPLICA, ROLE_REPLICA},
        {INSTANCE_SENTINEL, ROLE_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct address addr = {.ip = "10.0.0.1", .port = 6379};
        struct instance *inst = instance_new(cases[i].kind, &addr, T0);
        assert_non_null(inst);
        assert_int_equal(inst->kind, cases[i].kind);
        assert_int_equal(inst->flags, 0);
        assert_true(address_equal(&inst->addr, &addr));
        assert_false(runid_known(&inst->runid));
        assert_null(inst->host);
        assert_int_equal(inst->next_ping, T0);
        assert_int_equal(inst->next_hello, T0);
        assert_int_equal(inst->sdown_since, 0);
        assert_true((inst->server == NULL) != (inst->peer == NULL));
        if (cases[i].kind == INSTANCE_SENTINEL)
            new_peer(inst->peer);
        else
            new_server(inst->server, cases[i].role);
        assert_false(inst->live.cmd_up || inst->live.pubsub_up);
        assert_int_equal(inst->live.cmd_tried, 0); /* may be tried at once */
        assert_int_equal(inst->live.ping_pending, 0);
        /* One that never connects goes down like any other, counted from its creation. */
        assert_int_equal(liveness_silence(&inst->live, T0 + DOWN_AFTER), DOWN_AFTER);
        assert_int_equal(liveness_deadline(&inst->live, DOWN_AFTER), T0 + DOWN_AFTER + 1);
        instance_free(inst);
    }
    instance_free(NULL);
}

/* --- flags ----------------------------------------------------------------------------------- */

static void test_flags(void **state)
{
    static const struct {
        enum instance_kind kind;
        unsigned flags;
        bool cmd_up, pubsub_up;
        const char *text;
    } cases[] = {
        {INSTANCE_MASTER, 0, true, true, "master"},
        {INSTANCE_REPLICA, 0, true, true, "slave"},
        {INSTANCE_SENTINEL, 0, true, false, "sentinel"}, /* has no pub/sub link */
        {INSTANCE_MASTER, 0, false, true, "master,disconnected"},
        {INSTANCE_MASTER, 0, true, false, "master,disconnected"},
        {INSTANCE_REPLICA, 0, false, false, "slave,disconnected"},
        {INSTANCE_SENTINEL, 0, false, false, "sentinel,disconnected"},
        {INSTANCE_MASTER, FLAG_S_DOWN, true, true, "s_down,master"},
        {INSTANCE_MASTER, FLAG_O_DOWN, true, true, "o_down,master"},
        {INSTANCE_MASTER, FLAG_S_DOWN | FLAG_O_DOWN | FLAG_FAILOVER_IN_PROGRESS, false, false,
         "s_down,o_down,master,disconnected,failover_in_progress"},
        {INSTANCE_SENTINEL, FLAG_S_DOWN | FLAG_MASTER_DOWN, true, false,
         "s_down,sentinel,master_down"},
        {INSTANCE_REPLICA, FLAG_PROMOTED, true, true, "slave,promoted"},
        {INSTANCE_REPLICA, FLAG_RECONF_SENT, true, true, "slave,reconf_sent"},
        {INSTANCE_REPLICA, FLAG_RECONF_INPROG, true, true, "slave,reconf_inprog"},
        {INSTANCE_REPLICA, FLAG_RECONF_DONE, true, true, "slave,reconf_done"},
        {INSTANCE_MASTER, FLAG_FORCE_FAILOVER, true, true, "master,force_failover"},
        {INSTANCE_MASTER, FLAG_COORDINATED_FAILOVER, true, true, "master,coordinated_failover"},
        {INSTANCE_MASTER, FLAG_SCRIPT_KILL_SENT, true, true, "master,script_kill_sent"},
        {INSTANCE_MASTER, FLAG_MASTER_REBOOT, true, true, "master,master_reboot"},
        {INSTANCE_REPLICA, ~0U, false, false,
         "s_down,o_down,slave,disconnected,master_down,failover_in_progress,promoted,reconf_sent,"
         "reconf_inprog,reconf_done,force_failover,coordinated_failover,script_kill_sent,"
         "master_reboot"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct address addr = {.ip = "10.0.0.1", .port = 6379};
        struct instance *inst = instance_new(cases[i].kind, &addr, T0);
        assert_non_null(inst);
        inst->flags = cases[i].flags;
        inst->live.cmd_up = cases[i].cmd_up;
        inst->live.pubsub_up = cases[i].pubsub_up;
        char out[INSTANCE_FLAGS_TEXT];
        memset(out, 'x', sizeof(out));
        instance_flags(inst, out);
        assert_string_equal(out, cases[i].text);
        instance_free(inst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_boundary),
        cmocka_unit_test(test_deadline_does_not_overflow),
        cmocka_unit_test(test_pong),
        cmocka_unit_test(test_errors_are_silence),
        cmocka_unit_test(test_cmd_stale),
        cmocka_unit_test(test_pubsub_stale),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
