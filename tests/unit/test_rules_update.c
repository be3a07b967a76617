/* The list of actions and the texts of events (protocol.md §8). */
#include "group_world.h"

static void grows_and_clears(void **state)
{
    struct update up;
    update_init(&up);
    for (uint64_t i = 0; i < 1000; i++) {
        struct action *a = update_add(&up, ACTION_ASK);
        assert_null(a->inst);
        assert_int_equal(a->epoch, 0);
        a->epoch = i;
    }
    assert_int_equal(up.count, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(up.actions[i].epoch, i);
    up.view_changed = true;
    up.reply = GROUP_INPROG;
    const size_t cap = up.cap;
    update_clear(&up);
    assert_int_equal(up.count, 0);
    assert_int_equal(up.cap, cap);
    assert_false(up.view_changed);
    assert_int_equal(up.reply, GROUP_OK);
    /* What was there before does not shine through. */
    assert_int_equal(update_add(&up, ACTION_SEND)->epoch, 0);
    update_free(&up);
    assert_null(up.actions);
    update_free(&up);
}

static void texts(void **state)
{
    struct update up;
    update_init(&up);
    update_event(&up, EVENT_NEW_EPOCH, "%d", 42);
    update_log(&up, EVENT_NOTICE, "%s and %s", "this", "that");
    assert_int_equal(up.actions[0].kind, ACTION_EVENT);
    assert_int_equal(up.actions[0].type, EVENT_NEW_EPOCH);
    assert_int_equal(up.actions[0].level, EVENT_WARNING);
    assert_string_equal(up.actions[0].u.text, "42");
    assert_int_equal(up.actions[1].kind, ACTION_LOG);
    assert_int_equal(up.actions[1].level, EVENT_NOTICE);
    assert_string_equal(up.actions[1].u.text, "this and that");
    char longest[2 * LIMIT_EVENT_TEXT];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    update_log(&up, EVENT_NOTICE, "%s", longest);
    assert_int_equal(strlen(up.actions[2].u.text), LIMIT_EVENT_TEXT - 1);
    update_free(&up);
}

static void instance_texts(void **state)
{
    struct world w;
    world_init(&w, 0, 1, 1);
    w.servers[0].addr = addr_of("fe80::1", 6379);
    world_start(&w, NULL);
    const struct address addr = addr_of("fe80::2", 6380);
    assert_true(group_add_known_replica(w.g, &addr, w.now));
    assert_true(group_add_known_sentinel(w.g, &w.peers[0].addr, &w.peers[0].runid, w.now));
    forget_lines(&w);
    update_clear(&w.up);
    update_event_instance(&w.up, EVENT_SDOWN, w.g, w.g->master, NULL);
    update_event_instance(&w.up, EVENT_ODOWN, w.g, w.g->master, "#quorum 2/2");
    update_event_instance(&w.up, EVENT_SDOWN, w.g, w.g->replicas[0], NULL);
    update_event_instance(&w.up, EVENT_ROLE_CHANGE, w.g, w.g->replicas[0], "tail");
    update_event_instance(&w.up, EVENT_SDOWN, w.g, w.g->sentinels[0], NULL);
    assert_string_equal(w.up.actions[0].u.text, "master mymaster fe80::1 6379");
    assert_string_equal(w.up.actions[1].u.text, "master mymaster fe80::1 6379 #quorum 2/2");
    assert_string_equal(w.up.actions[2].u.text,
                        "slave [fe80::2]:6380 fe80::2 6380 @ mymaster fe80::1 6379");
    assert_string_equal(w.up.actions[3].u.text,
                        "slave [fe80::2]:6380 fe80::2 6380 @ mymaster fe80::1 6379 tail");
    assert_string_equal(w.up.actions[4].u.text, "sentinel bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
                                                "127.0.0.1 26380 @ mymaster fe80::1 6379");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_clears),
        cmocka_unit_test(texts),
        cmocka_unit_test(instance_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
