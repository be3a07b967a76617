/* Names: interning, addresses that go by a name, what carries them, and a group that follows one.
 */
#include "group_world.h"

#include "rules/host.h"
#include "rules/record.h"

#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct address named(const char *host, const char *ip, int port)
{
    struct address a;
    assert_true(address_set_host(&a, host, strlen(host), port, HOST_CONFIGURED));
    assert_non_null(a.host);
    snprintf(a.ip, sizeof(a.ip), "%s", ip);
    return a;
}

static void a_name_is_kept_once(void **state)
{
    (void)state;
    const struct host *a = host_intern("db1.Example", 11, HOST_CONFIGURED);
    assert_non_null(a);
    assert_string_equal(a->text, "db1.Example");
    const uint32_t count = host_count();
    assert_ptr_equal(host_intern("DB1.example.", 11, HOST_HEARD), a);
    assert_ptr_equal(host_find("DB1.EXAMPLE", 11), a);
    assert_int_equal(host_count(), count);
    assert_null(host_find("db1.exampl", 10));
    assert_null(host_find("db1.example2", 12));
    const struct host *b = host_intern("db1.exampl", 10, HOST_HEARD);
    assert_ptr_not_equal(a, b);
    assert_int_not_equal(a->index, b->index);
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",    "a b",   "a,b", "a\nb", "::1", "[::1]",   "a/b",
                                        "a%b", "\"a\"", "a@b", "-a",   "a:1", "\xc3\xa4"};
    const uint32_t count = host_count();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_null(host_intern(wrong[i], strlen(wrong[i]), HOST_CONFIGURED));
    assert_null(host_intern("a\0b", 3, HOST_CONFIGURED));
    assert_null(host_intern("fine", 4, HOST_NONE));
    char text[LIMIT_HOST + 1];
    memset(text, 'a', sizeof(text));
    assert_null(host_intern(text, LIMIT_HOST + 1, HOST_CONFIGURED));
    assert_int_equal(host_count(), count);
    assert_non_null(host_intern(text, LIMIT_HOST, HOST_CONFIGURED));
}

/* Last: fills the table for good. */
static void strangers_leave_room_for_the_operator(void **state)
{
    (void)state;
    char text[32];
    uint64_t refused = host_refused();
    for (int i = 0; i < LIMIT_HOSTS_ASKED; i++) {
        const int len = snprintf(text, sizeof(text), "asked-%d", i);
        const bool room = host_count() < LIMIT_HOSTS_ASKED;
        assert_int_equal(host_intern(text, (size_t)len, HOST_ASKED) != NULL, room);
        refused += room ? 0 : 1;
    }
    assert_int_equal(host_count(), LIMIT_HOSTS_ASKED);
    for (int i = 0; i < LIMIT_HOSTS_HEARD; i++) {
        const int len = snprintf(text, sizeof(text), "stranger-%d", i);
        const bool room = host_count() < LIMIT_HOSTS_HEARD;
        assert_int_equal(host_intern(text, (size_t)len, HOST_HEARD) != NULL, room);
        refused += room ? 0 : 1;
    }
    assert_int_equal(host_count(), LIMIT_HOSTS_HEARD);
    assert_int_equal(host_refused(), refused);
    assert_non_null(host_intern("stranger-1", 10, HOST_HEARD)); /* known: costs nothing */
    for (int i = 0; i < LIMIT_HOSTS; i++) {
        const int len = snprintf(text, sizeof(text), "own-%d", i);
        assert_int_equal(host_intern(text, (size_t)len, HOST_CONFIGURED) != NULL,
                         i < LIMIT_HOSTS - LIMIT_HOSTS_HEARD);
    }
    assert_int_equal(host_count(), LIMIT_HOSTS);
    assert_null(host_find("nobody", 6)); /* ends, in a table that is half full */
}

static void addresses_are_equal_by_ip_or_by_name(void **state)
{
    (void)state;
    const struct address unresolved = named("m1", "", 7000), old = named("m1", "10.0.0.1", 7000),
                         moved = named("m1", "10.0.0.2", 7000), other = named("m2", "", 7000),
                         plain = addr_of("10.0.0.1", 7000), port = named("m1", "", 7001),
                         none = {0};
    assert_true(address_equal(&unresolved, &old) && address_equal(&old, &moved));
    assert_true(address_equal(&old, &plain));
    assert_false(address_equal(&moved, &plain));
    assert_false(address_equal(&unresolved, &other)); /* no ip is no common ip */
    assert_false(address_equal(&unresolved, &port));
    assert_false(address_equal(&unresolved, &none));
    assert_false(address_same(&old, &moved) || address_same(&old, &plain));
    assert_true(address_same(&old, &old));
    assert_true(address_known(&unresolved));
    assert_int_equal(address_hash(&old), address_hash(&plain));
    assert_int_equal(address_hash_host(&old), address_hash(&unresolved));
    assert_string_equal(address_host(&old, true), "m1");
    assert_string_equal(address_host(&old, false), "10.0.0.1");
    assert_string_equal(address_host(&unresolved, false), "m1");
    assert_string_equal(address_host(&plain, true), "10.0.0.1");
    char text[ADDRESS_TEXT];
    const struct address six = named("m1", "::1", 7000);
    address_format(&six, text);
    assert_string_equal(text, "[::1]:7000");
    address_format_as(&six, true, text);
    assert_string_equal(text, "m1:7000");
}

static void hellos_carry_names_where_allowed(void **state)
{
    (void)state;
    static const char text[] = "s1.x,26379," ID ",7,m1,db1.x,6379,3";
    struct hello hello;
    assert_false(hello_parse(&hello, text, strlen(text), HOST_NONE));
    assert_null(host_find("s1.x", 4));
    assert_true(hello_parse(&hello, text, strlen(text), HOST_HEARD));
    assert_string_equal(hello.sentinel.host->text, "s1.x");
    assert_string_equal(hello.sentinel.ip, "");
    assert_string_equal(hello.master.host->text, "db1.x");
    char out[LIMIT_HELLO + 1];
    assert_int_equal(hello_format(&hello, out), strlen(text));
    assert_string_equal(out, text);
    /* A message that is wrong elsewhere leaves nothing behind. */
    static const char wrong[] = "s2.x,26379," ID ",7,m1,db2.x,6379,x";
    assert_false(hello_parse(&hello, wrong, strlen(wrong), HOST_HEARD));
    assert_null(host_find("s2.x", 4));
    /* The longest that can be. */
    memset(&hello, 0, sizeof(hello));
    char host[LIMIT_HOST + 1];
    memset(host, 'h', LIMIT_HOST);
    host[LIMIT_HOST] = '\0';
    hello.sentinel = hello.master = named(host, "", 65535);
    hello.runid = id_of('a');
    hello.current_epoch = hello.config_epoch = LIMIT_EPOCH;
    memset(hello.name, 'n', LIMIT_NAME);
    const size_t len = hello_format(&hello, out);
    assert_true(hello_parse(&hello, out, len, HOST_HEARD));
}

static void info_carries_names_where_allowed(void **state)
{
    (void)state;
    static const char text[] = "role:master\r\nslave0:ip=r1.x,port=7001,state=online\r\n"
                               "slave1:r2.x,7002,online\r\nslave2:ip=10.0.0.3,port=7003\r\n"
                               "slave3:ip=r 4,port=7004\r\n";
    static const char replica[] = "role:slave\r\nmaster_host:m.x\r\nmaster_port:7000\r\n";
    static struct info info;
    info_parse(&info, text, strlen(text), false);
    assert_int_equal(info.replica_count, 1);
    assert_int_equal(info.replicas_ignored, 3);
    info_parse(&info, text, strlen(text), true);
    assert_int_equal(info.replica_count, 3);
    assert_int_equal(info.replicas_ignored, 1);
    assert_string_equal(info.replicas[0].host->text, "r1.x");
    assert_string_equal(info.replicas[1].host->text, "r2.x");
    assert_int_equal(info.replicas[1].port, 7002);
    assert_null(info.replicas[2].host);
    info_parse(&info, replica, strlen(replica), false);
    assert_null(info.master.host);
    assert_string_equal(info.master_host, "m.x");
    info_parse(&info, replica, strlen(replica), true);
    assert_string_equal(info.master.host->text, "m.x");
    assert_int_equal(info.master.port, 7000);
}

static void records_keep_ip_and_name(void **state)
{
    (void)state;
    char out[LIMIT_LINE];
    struct record r = {.kind = RECORD_REPLICA, .addr = named("r1.x", "10.0.0.2", 7001)};
    record_format(&r, "m1", out);
    assert_string_equal(out, "sentinel known-replica m1 10.0.0.2 7001 @r1.x");
    r.addr.ip[0] = '\0';
    record_format(&r, "m1", out);
    assert_string_equal(out, "sentinel known-replica m1 r1.x 7001");
    r = (struct record){
        .kind = RECORD_SENTINEL, .addr = named("s1.x", "10.0.0.3", 26379), .runid = id_of('b')};
    record_format(&r, "m1", out);
    assert_string_equal(out, "sentinel known-sentinel m1 10.0.0.3 26379 "
                             "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb @s1.x");
    /* Of a record without an address the name is not written. */
    r.kind = RECORD_NO_SENTINEL;
    record_format(&r, "m1", out);
    assert_null(strchr(out, '@'));
}

/* --- a group ------------------------------------------------------------------------------- */

static void resolved(struct world *w, struct instance *inst, const char *ip)
{
    struct address addr = inst->addr;
    snprintf(addr.ip, sizeof(addr.ip), "%s", ip);
    step(w, (struct group_event){.kind = GROUP_RESOLVED, .inst = inst, .addr = addr});
}

/* Unresolvable from the start, it is down like any other, and its replicas may take over. */
static void an_unresolved_master_is_down_and_failed_over(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, 1, 1);
    w.auto_elect = true;
    w.env.names = true;
    w.servers[0].addr = named("m.x", "", 7000);
    w.servers[0].alive = false;
    w.servers[1].master = w.servers[0].addr;
    static const struct group_saved none;
    w.g = group_new(7, "mymaster", &w.servers[0].addr, &w.set, &none, &w.env, 42, w.now);
    assert_true(group_add_known_replica(w.g, &w.servers[1].addr, w.now));
    update_clear(&w.up);
    group_start(w.g, true, w.now, &w.up);
    carry_out(&w);
    meet(&w, 0);
    run_for(&w, 40000);
    assert_true(seen(&w, "+sdown master mymaster m.x 7000"));
    assert_true(seen(&w, "+switch-master mymaster m.x 7000 127.0.0.1 7001"));
    assert_string_equal(w.g->master->addr.ip, "127.0.0.1");
    world_end(&w);
}

static void a_name_that_moves_is_followed_without_a_switch(void **state)
{
    (void)state;
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.g->master->addr.host = named("m.x", "", 7000).host;
    w.show = SHOW_EVENT | SHOW_LINK | SHOW_RECORD;
    w.servers[0].addr = named("m.x", "10.0.0.7", 7000);
    resolved(&w, w.g->master, "127.0.0.1"); /* as it was: nothing */
    EXPECT_NOTHING(&w);
    resolved(&w, w.g->master, "10.0.0.7");
    EXPECT(&w, "close 7000 cmd", "close 7000 pubsub", "record config 70000", "open 7000 cmd",
           "open 7000 pubsub");
    assert_string_equal(w.g->master->addr.ip, "10.0.0.7");
    assert_true(w.g->master->live.cmd_up);
    struct group_view view;
    group_view(w.g, &view);
    assert_string_equal(view.current.ip, "10.0.0.7");
    run_for(&w, 3000);
    assert_false(seen(&w, "+"));
    /* An answer about another name, or of an instance that goes by its ip, changes nothing. */
    struct address addr = named("n.x", "10.0.0.8", 7000);
    step(&w, (struct group_event){.kind = GROUP_RESOLVED, .inst = w.g->master, .addr = addr});
    assert_string_equal(w.g->master->addr.ip, "10.0.0.7");
    world_end(&w);
}

/* The operator's name for "the master" already points to a replica. */
static void a_masters_name_that_points_to_a_replica(void **state)
{
    (void)state;
    struct world w;
    world_settled(&w, 2, 0, 1);
    const struct host *host = named("m.x", "", 7000).host;
    w.g->master->addr.host = host;
    w.g->master->addr.port = w.servers[1].addr.port; /* one port everywhere, as in containers */
    w.g->master->addr = named("m.x", "127.0.0.9", w.servers[1].addr.port);
    w.show = SHOW_EVENT | SHOW_LINK | SHOW_RECORD;
    /* Not in the middle of something. */
    w.g->fo.wished = true;
    resolved(&w, w.g->master, "127.0.0.1");
    assert_string_equal(w.g->master->addr.ip, "127.0.0.9");
    w.g->fo.wished = false;
    forget_lines(&w);
    resolved(&w, w.g->master, "127.0.0.1");
    assert_string_equal(w.g->master->addr.ip, "127.0.0.1");
    assert_int_equal(w.g->replica_count, 1);
    assert_true(seen(&w, "record no-replica 7001"));
    /* A replica never becomes a second one of another, or of the master. */
    struct instance *replica = w.g->replicas[0];
    replica->addr = named("r.x", "127.0.0.8", w.g->master->addr.port);
    resolved(&w, replica, "127.0.0.1");
    assert_string_equal(replica->addr.ip, "127.0.0.8");
    world_end(&w);
}

static void a_peers_name_that_moves_is_no_address_switch(void **state)
{
    (void)state;
    struct world w;
    world_settled(&w, 0, 1, 1);
    w.show = SHOW_EVENT | SHOW_RECORD | SHOW_LINK;
    w.env.names = true;
    w.peers[0].addr = named("s.x", "127.0.0.1", 26380);
    sent_of(&w, 0)->addr = w.peers[0].addr;
    w.peers[0].addr = named("s.x", "127.0.0.2", 26380);
    meet(&w, 0);
    EXPECT(&w, "record sentinel 26380b");
    assert_string_equal(sent_of(&w, 0)->addr.ip, "127.0.0.2");
    /* Not resolved here and now: what was good stays. */
    w.peers[0].addr = named("s.x", "", 26380);
    meet(&w, 0);
    EXPECT_NOTHING(&w);
    assert_string_equal(sent_of(&w, 0)->addr.ip, "127.0.0.2");
    /* Another name at another place is a move. */
    w.peers[0].addr = named("s2.x", "127.0.0.3", 26380);
    meet(&w, 0);
    assert_true(seen(&w, "+sentinel-address-switch master mymaster 127.0.0.1 7000 ip s2.x port "));
    world_end(&w);
}

static void a_name_we_cannot_resolve_is_no_quarrel(void **state)
{
    (void)state;
    struct world w;
    world_settled(&w, 0, 1, 1);
    w.g->config_epoch = 3;
    w.env.current_epoch = 3;
    w.show = SHOW_BALLOT;
    struct hello hello = hello_of(&w, 0);
    hello.current_epoch = 3;
    hello.master = named("m.x", "", 7000);
    for (int i = 0; i < 20; i++) {
        give_hello(&w, &hello);
        run_for(&w, 2000);
    }
    assert_false(seen(&w, "ballot fresh"));
    world_end(&w);
}

static void a_replica_learns_its_name(void **state)
{
    (void)state;
    struct world w;
    world_settled(&w, 1, 0, 1);
    w.env.names = true;
    w.show = SHOW_EVENT | SHOW_RECORD;
    w.servers[1].addr = named("r.x", "127.0.0.1", 7001);
    give_info(&w, w.g->master);
    EXPECT(&w, "record replica 70011");
    assert_int_equal(w.g->replica_count, 1);
    assert_string_equal(address_host(&w.g->replicas[0]->addr, true), "r.x");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_kept_once),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(addresses_are_equal_by_ip_or_by_name),
        cmocka_unit_test(hellos_carry_names_where_allowed),
        cmocka_unit_test(info_carries_names_where_allowed),
        cmocka_unit_test(records_keep_ip_and_name),
        cmocka_unit_test(an_unresolved_master_is_down_and_failed_over),
        cmocka_unit_test(a_name_that_moves_is_followed_without_a_switch),
        cmocka_unit_test(a_masters_name_that_points_to_a_replica),
        cmocka_unit_test(a_peers_name_that_moves_is_no_address_switch),
        cmocka_unit_test(a_name_we_cannot_resolve_is_no_quarrel),
        cmocka_unit_test(a_replica_learns_its_name),
        cmocka_unit_test(strangers_leave_room_for_the_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
