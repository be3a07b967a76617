/* Which replica becomes master: each condition at its boundary, the order, half-done failovers. */
#include "rules/select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW         ((ms_t)10000000)
#define DOWN_AFTER  ((ms_t)5000)
#define SDOWN_SINCE (NOW - 2000)

enum { COUNT = 4 };

static struct periods periods;
static struct instance storage[COUNT];
static struct server_state servers[COUNT];
static struct instance *replicas[COUNT];
static struct select_input in;

/* Alike and fit, but for their run ids: aaaa…, bbbb…, cccc…, dddd…. */
static int setup(void **state)
{
    periods_default(&periods);
    for (int i = 0; i < COUNT; i++) {
        servers[i] = (struct server_state){
            .info_at = NOW - 500, .role = ROLE_REPLICA, .priority = 100, .repl_offset = 1000};
        storage[i] = (struct instance){.kind = INSTANCE_REPLICA,
                                       .addr = {.ip = "10.0.0.1", .port = (uint16_t)(6380 + i)},
                                       .live = {.cmd_up = true,
                                                .pubsub_up = true,
                                                .reply_ok = NOW - 100,
                                                .reply_any = NOW - 100},
                                       .server = &servers[i]};
        memset(storage[i].runid.hex, 'a' + i, LIMIT_RUNID);
        replicas[i] = &storage[i];
    }
    in = (struct select_input){.replicas = replicas,
                               .count = COUNT,
                               .periods = &periods,
                               .now = NOW,
                               .master_sdown_since = SDOWN_SINCE,
                               .down_after = DOWN_AFTER,
                               .outage_since = SDOWN_SINCE};
    return 0;
}

static void assert_selected(int index)
{
    assert_ptr_equal(select_replica(&in), &storage[index]);
}

/* --- conditions ------------------------------------------------------------------------------ */

static void assert_fit(bool fit)
{
    assert_int_equal(select_fit(&in, &storage[0]), fit);
    assert_selected(fit ? 0 : 1); /* the unfit one is passed over */
}

static void test_fit(void **state)
{
    assert_fit(true);
}

static void test_down(void **state)
{
    storage[0].flags = FLAG_S_DOWN;
    assert_fit(false);
    storage[0].flags = FLAG_O_DOWN;
    assert_fit(false);
    storage[0].flags = ~(unsigned)(FLAG_S_DOWN | FLAG_O_DOWN); /* no other flag matters */
    assert_fit(true);
}

static void test_disconnected(void **state)
{
    storage[0].live.cmd_up = false;
    assert_fit(false);
    storage[0].live.cmd_up = true;
    storage[0].live.pubsub_up = false;
    assert_fit(true);
}

static void test_ping_age(void **state)
{
    storage[0].live.reply_ok = NOW - 5 * periods.ping;
    assert_fit(true);
    storage[0].live.reply_ok--;
    assert_fit(false);
    storage[0].live.reply_any = NOW; /* an error is no answer here */
    assert_fit(false);
    periods.ping++;
    assert_fit(true);
}

static void test_priority_zero(void **state)
{
    storage[0].server->priority = 0;
    assert_fit(false);
    storage[0].server->priority = 1;
    assert_fit(true);
}

static void test_info_age(void **state)
{
    storage[0].server->info_at = 0; /* never */
    assert_fit(false);
    storage[0].server->info_at = NOW - 5000;
    assert_fit(true);
    storage[0].server->info_at--;
    assert_fit(false);

    in.master_sdown_since = 0; /* manual failover: INFO comes at its usual pace */
    assert_fit(true);
    storage[0].server->info_at = NOW - 3 * periods.info;
    assert_fit(true);
    storage[0].server->info_at--;
    assert_fit(false);
    periods.info++;
    assert_fit(true);
    storage[0].server->info_at = 0;
    assert_fit(false);
}

static void test_master_link_down(void **state)
{
    storage[0].server->master_link_down = 2000 + 10 * DOWN_AFTER;
    assert_fit(true);
    storage[0].server->master_link_down++;
    assert_fit(false);

    in.master_sdown_since = 0;
    storage[0].server->master_link_down = 10 * DOWN_AFTER;
    assert_fit(true);
    storage[0].server->master_link_down++;
    assert_fit(false);

    in.down_after = MS_NEVER; /* the sum must not wrap */
    storage[0].server->master_link_down = MS_NEVER;
    assert_fit(true);
    in.down_after = 0;
    storage[0].server->master_link_down = 1;
    assert_fit(false);
    storage[0].server->master_link_down = 0;
    assert_fit(true);
}

static void test_none(void **state)
{
    for (int i = 0; i < COUNT; i++)
        storage[i].flags = FLAG_S_DOWN;
    assert_null(select_replica(&in));
    in.count = 0;
    assert_null(select_replica(&in));
    in.replicas = NULL;
    assert_null(select_replica(&in));
}

static void test_only_one_fit(void **state)
{
    storage[0].flags = FLAG_S_DOWN;
    storage[1].live.cmd_up = false;
    storage[2].server->priority = 0;
    storage[3].server->priority = 4000;
    storage[3].server->repl_offset = 0;
    assert_selected(3);
}

/* --- order ----------------------------------------------------------------------------------- */

/* The verdict must not depend on the order the replicas come in. */
static void assert_selected_in_any_order(int index)
{
    for (int turn = 0; turn < COUNT; turn++) {
        assert_selected(index);
        struct instance *first = replicas[0];
        memmove(&replicas[0], &replicas[1], (COUNT - 1) * sizeof(replicas[0]));
        replicas[COUNT - 1] = first;
    }
    for (int i = 0; i < COUNT / 2; i++) {
        struct instance *swap = replicas[i];
        replicas[i] = replicas[COUNT - 1 - i];
        replicas[COUNT - 1 - i] = swap;
    }
    assert_selected(index);
}

static void test_lower_priority_first(void **state)
{
    storage[2].server->priority = 99;
    storage[2].server->repl_offset = 0;
    storage[1].server->repl_offset = 5000;
    assert_selected_in_any_order(2);
}

static void test_greater_offset_first(void **state)
{
    storage[3].server->repl_offset = 1001;
    assert_selected_in_any_order(3);
    storage[1].server->repl_offset = UINT64_MAX;
    assert_selected_in_any_order(1);
}

static void test_smaller_runid_first(void **state)
{
    assert_selected_in_any_order(0);
    memset(storage[3].runid.hex, '0', LIMIT_RUNID);
    assert_selected_in_any_order(3);
}

static void test_unknown_runid_last(void **state)
{
    memset(&storage[0].runid, 0, sizeof(storage[0].runid));
    assert_selected_in_any_order(1);
}

static void test_equal_keeps_the_first(void **state)
{
    for (int i = 0; i < COUNT; i++)
        memset(&storage[i].runid, 0, sizeof(storage[i].runid));
    assert_selected(0);
}

/* --- a leader that died half-way (design.md §4.8) -------------------------------------------- */

static void turn_master(int index, ms_t at)
{
    storage[index].server->role = ROLE_MASTER;
    storage[index].server->turned_master_at = at;
    storage[index].server->priority = 200; /* everything else speaks against it */
    storage[index].server->repl_offset = 0;
}

static void test_turned_master_first(void **state)
{
    turn_master(3, SDOWN_SINCE + 1);
    assert_selected_in_any_order(3);
    storage[3].server->turned_master_at = SDOWN_SINCE;
    assert_selected_in_any_order(3);
}

static void test_turned_master_of_another_outage(void **state)
{
    turn_master(3, SDOWN_SINCE - 1);
    assert_selected_in_any_order(0);
    storage[3].server->turned_master_at = 0;
    assert_selected_in_any_order(0);
    storage[3].server->turned_master_at = SDOWN_SINCE + 1;
    in.outage_since = 0; /* no outage at all */
    assert_selected_in_any_order(0);
}

static void test_turned_back(void **state)
{
    turn_master(3, SDOWN_SINCE + 1);
    storage[3].server->role = ROLE_REPLICA;
    assert_selected_in_any_order(0);
}

static void test_turned_master_must_be_fit(void **state)
{
    turn_master(3, SDOWN_SINCE + 1);
    storage[3].server->info_at = NOW - 5001;
    assert_selected_in_any_order(0);
    storage[3].server->info_at = NOW;
    storage[3].flags = FLAG_S_DOWN;
    assert_selected_in_any_order(0);
    storage[3].flags = 0;
    storage[3].live.cmd_up = false;
    assert_selected_in_any_order(0);
}

static void test_two_turned_masters(void **state)
{
    turn_master(2, SDOWN_SINCE + 1);
    turn_master(3, SDOWN_SINCE + 2);
    storage[3].server->repl_offset = 1; /* among themselves the usual order */
    assert_selected_in_any_order(3);
    storage[2].server->priority = 199;
    assert_selected_in_any_order(2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_fit),
        TEST(test_down),
        TEST(test_disconnected),
        TEST(test_ping_age),
        TEST(test_priority_zero),
        TEST(test_info_age),
        TEST(test_master_link_down),
        TEST(test_none),
        TEST(test_only_one_fit),
        TEST(test_lower_priority_first),
        TEST(test_greater_offset_first),
        TEST(test_smaller_runid_first),
        TEST(test_unknown_runid_last),
        TEST(test_equal_keeps_the_first),
        TEST(test_turned_master_first),
        TEST(test_turned_master_of_another_outage),
        TEST(test_turned_back),
        TEST(test_turned_master_must_be_fit),
        TEST(test_two_turned_masters),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
