/* Names, levels and marks of events: operators' scripts parse them, so they are written out. */
#include "rules/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* protocol.md §8, by level. */
static const struct {
    char mark;
    const char *names;
} expected[] = {
    {'#', "+monitor -monitor +set +reset-master +sdown -sdown +odown -odown +new-epoch "
          "+try-failover +vote-for-leader +elected-leader +failover-state-select-slave "
          "+selected-slave -failover-abort-not-elected -failover-abort-no-good-slave "
          "-failover-abort-slave-timeout -failover-abort-master-timeout +promoted-slave "
          "+failover-state-reconf-slaves "
          "+failover-end +failover-end-for-timeout +switch-master +config-update-from +tilt -tilt "
          "-script-error -script-timeout"},
    {'*', "+slave +sentinel +sentinel-address-switch +sentinel-address-update "
          "+sentinel-invalid-addr +reboot +convert-to-slave +fix-slave-config "
          "+failover-state-send-slaveof-noone +failover-state-wait-promotion +slave-reconf-sent "
          "+slave-reconf-inprog +slave-reconf-done -slave-reconf-sent-timeout "
          "+slave-reconf-sent-be"},
    {'-', "+role-change -role-change"},
    {'.', "-cmd-link-reconnection -pubsub-link-reconnection +script-child -script-child"},
};

static void test_every_event(void **state)
{
    int count = 0;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        char *names = strdup(expected[i].names), *save = NULL;
        assert_non_null(names);
        for (char *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
            int found = 0;
            for (int type = 0; type < EVENT_COUNT; type++) {
                if (strcmp(event_name((enum event_type)type), name) != 0)
                    continue;
                const enum event_level level = event_level((enum event_type)type);
                assert_int_equal(event_level_mark(level), expected[i].mark);
                found++;
            }
            if (found != 1)
                fail_msg("%s is there %d times", name, found);
            count++;
        }
        free(names);
    }
    assert_int_equal(count, EVENT_COUNT);
}

static void test_identifiers(void **state)
{
    assert_string_equal(event_name(EVENT_MONITOR), "+monitor");
    assert_string_equal(event_name(EVENT_UNMONITOR), "-monitor");
    assert_string_equal(event_name(EVENT_SDOWN), "+sdown");
    assert_string_equal(event_name(EVENT_SDOWN_END), "-sdown");
    assert_string_equal(event_name(EVENT_ODOWN), "+odown");
    assert_string_equal(event_name(EVENT_ODOWN_END), "-odown");
    assert_string_equal(event_name(EVENT_TILT), "+tilt");
    assert_string_equal(event_name(EVENT_TILT_END), "-tilt");
    assert_string_equal(event_name(EVENT_SWITCH_MASTER), "+switch-master");
    assert_string_equal(event_name(EVENT_SCRIPT_CHILD_END), "-script-child");
}

static void test_marks_by_level(void **state)
{
    assert_int_equal(event_level_mark(EVENT_DEBUG), '.');
    assert_int_equal(event_level_mark(EVENT_VERBOSE), '-');
    assert_int_equal(event_level_mark(EVENT_NOTICE), '*');
    assert_int_equal(event_level_mark(EVENT_WARNING), '#');
    /* Hosts compare levels to decide what is logged. */
    assert_true(EVENT_DEBUG < EVENT_VERBOSE && EVENT_VERBOSE < EVENT_NOTICE);
    assert_true(EVENT_NOTICE < EVENT_WARNING);
}

static void test_names_are_channels(void **state)
{
    for (int type = 0; type < EVENT_COUNT; type++) {
        const char *name = event_name((enum event_type)type);
        assert_true(name[0] == '+' || name[0] == '-');
        assert_true(strlen(name) > 1 && strlen(name) < 64);
        for (const char *c = name + 1; *c != '\0'; c++)
            assert_true((*c >= 'a' && *c <= 'z') || *c == '-');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_event),
        cmocka_unit_test(test_identifiers),
        cmocka_unit_test(test_marks_by_level),
        cmocka_unit_test(test_names_are_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
