/* INFO: what is read out of a good one, and that no text can do harm. */
#include "rules/info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef01234567"

static struct info info; /* large */

/* From a copy with not one byte behind it, so that the sanitizers see a read beyond the end; into
 * a struct full of rubbish, so that whatever stays unset shows. */
static void parse_bytes(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(&info, 0x5a, sizeof(info));
    info_parse(&info, copy, len, false);
    free(copy);
}

static void parse(const char *text)
{
    parse_bytes(text, strlen(text));
}

static void assert_empty(void)
{
    assert_false(runid_known(&info.runid));
    assert_int_equal(info.role, ROLE_UNKNOWN);
    assert_string_equal(info.master.ip, "");
    assert_int_equal(info.master.port, 0);
    assert_string_equal(info.master_host, "");
    assert_false(info.master_link_up);
    assert_int_equal(info.master_link_down, 0);
    assert_true(info.repl_offset == 0);
    assert_int_equal(info.priority, 100);
    assert_true(info.announced);
    assert_int_equal(info.replica_count, 0);
    assert_int_equal(info.replicas_ignored, 0);
}

/* Whatever the text was. */
static void assert_bounded(void)
{
    assert_in_range(info.replica_count, 0, LIMIT_REPLICAS);
    for (uint32_t i = 0; i < info.replica_count; i++)
        assert_true(address_known(&info.replicas[i]));
    assert_true(info.master_link_down >= 0);
    assert_true(memchr(info.master_host, '\0', sizeof(info.master_host)) != NULL);
    assert_true(memchr(info.master.ip, '\0', sizeof(info.master.ip)) != NULL);
    const size_t runid_len = strlen(info.runid.hex);
    assert_true(runid_len == 0 || runid_len == LIMIT_RUNID);
    assert_true(info.role == ROLE_UNKNOWN || info.role == ROLE_MASTER || info.role == ROLE_REPLICA);
}

static const char master_text[] =
    "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:" ID "\r\n"
    "tcp_port:6379\r\nuptime_in_seconds:12\r\n\r\n# Replication\r\nrole:master\r\n"
    "connected_slaves:3\r\n"
    "slave0:ip=127.0.0.1,port=6380,state=online,offset=154,lag=1\r\n"
    "slave1:127.0.0.2,6381,online\r\n"
    "slave2:ip=2001:db8::2,port=6382,state=wait_bgsave,offset=0,lag=0\r\n"
    "master_failover_state:no-failover\r\nmaster_replid:" ID "\r\nmaster_repl_offset:154\r\n"
    "repl_backlog_active:1\r\n\r\n# CPU\r\nused_cpu_sys:0.1\r\n";

static const char replica_text[] =
    "# Server\r\nrun_id:" ID "\r\n# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\n"
    "master_port:6379\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n"
    "master_sync_in_progress:0\r\nslave_read_repl_offset:988\r\nslave_repl_offset:987\r\n"
    "master_link_down_since_seconds:42\r\nslave_priority:25\r\nslave_read_only:1\r\n"
    "replica_announced:0\r\nconnected_slaves:0\r\nmaster_replid:" ID "\r\n";

static void test_master(void **state)
{
    parse(master_text);
    assert_string_equal(info.runid.hex, ID);
    assert_int_equal(info.role, ROLE_MASTER);
    assert_int_equal(info.master.port, 0);
    assert_string_equal(info.master_host, "");
    assert_int_equal(info.replica_count, 3);
    assert_int_equal(info.replicas_ignored, 0);
    static const char *const expected[] = {"127.0.0.1:6380", "127.0.0.2:6381",
                                           "[2001:db8::2]:6382"};
    for (int i = 0; i < 3; i++) {
        char out[ADDRESS_TEXT];
        address_format(&info.replicas[i], out);
        assert_string_equal(out, expected[i]);
    }
}

static void test_replica(void **state)
{
    parse(replica_text);
    assert_string_equal(info.runid.hex, ID);
    assert_int_equal(info.role, ROLE_REPLICA);
    assert_string_equal(info.master.ip, "10.0.0.1");
    assert_int_equal(info.master.port, 6379);
    assert_string_equal(info.master_host, "10.0.0.1");
    assert_false(info.master_link_up);
    assert_int_equal(info.master_link_down, 42000);
    assert_true(info.repl_offset == 987);
    assert_int_equal(info.priority, 25);
    assert_false(info.announced);
    assert_int_equal(info.replica_count, 0);
}

static void test_failover_state(void **state)
{
    static const struct {
        const char *text;
        bool known, on;
    } cases[] = {
        {"role:master\r\n", false, false},
        {"role:master\r\nmaster_failover_state:no-failover\r\n", true, false},
        {"role:master\r\nmaster_failover_state:waiting-for-sync\r\n", true, true},
        {"role:slave\r\nmaster_failover_state:failover-in-progress\r\n", true, true},
        {"role:slave\r\nmaster_failover_state:something-new\r\n", true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        info_parse(&info, cases[i].text, strlen(cases[i].text), false);
        assert_int_equal(info.failover_known, cases[i].known);
        assert_int_equal(info.failing_over, cases[i].on);
    }
}

static void test_line_ends(void **state)
{
    parse("role:master\nrun_id:" ID "\nslave0:127.0.0.1,6380,online");
    assert_int_equal(info.role, ROLE_MASTER);
    assert_string_equal(info.runid.hex, ID);
    assert_int_equal(info.replica_count, 1);
    parse("\n\r\n\n\r\nrole:slave\r");
    assert_int_equal(info.role, ROLE_REPLICA);
    parse("role:master\r\r\n"); /* one \r belongs to the line end, the other to the value */
    assert_int_equal(info.role, ROLE_UNKNOWN);
    parse("role:master\rrun_id:" ID "\r\n");
    assert_empty();
}

/* slaveN lines, one a text: the address read, or NULL for "ignored and counted", or "" for "no
 * slaveN line at all". */
static void test_replica_lines(void **state)
{
    static const struct {
        const char *line, *address;
    } cases[] = {
        {"slave0:ip=10.0.0.1,port=6380,state=online,offset=1,lag=0", "10.0.0.1:6380"},
        {"slave0:ip=10.0.0.1,port=6380", "10.0.0.1:6380"},
        {"slave12345678901234567890:ip=10.0.0.1,port=6380", "10.0.0.1:6380"},
        {"slave0:port=6380,state=online,ip=10.0.0.1", "10.0.0.1:6380"},
        {"slave0:ip=::1,port=6380,state=online", "[::1]:6380"},
        {"slave0:ip=10.0.0.1,port=65535,state=online", "10.0.0.1:65535"},
        {"slave0:10.0.0.1,6380,online", "10.0.0.1:6380"},
        {"slave0:10.0.0.1,6380", "10.0.0.1:6380"},
        {"slave9:2001:DB8::1,6380,online", "[2001:db8::1]:6380"},
        {"slave0:ip=10.0.0.1,port=0,state=online", NULL},
        {"slave0:10.0.0.1,0,online", NULL},
        {"slave0:ip=10.0.0.1,port=65536,state=online", NULL},
        {"slave0:ip=10.0.0.1,port=4294973676,state=online", NULL},
        {"slave0:ip=10.0.0.1,port=99999999999999999999999,state=online", NULL},
        {"slave0:ip=10.0.0.1,port=-1,state=online", NULL},
        {"slave0:ip=10.0.0.1,port=,state=online", NULL},
        {"slave0:ip=10.0.0.1,port=6380x,state=online", NULL},
        {"slave0:ip=10.0.0.1,state=online", NULL},
        {"slave0:port=6380,state=online", NULL},
        {"slave0:ip=,port=6380,state=online", NULL},
        {"slave0:ip=host.example,port=6380,state=online", NULL},
        {"slave0:ip=10.0.0.1 ,port=6380,state=online", NULL},
        {"slave0:10.0.0.1", NULL},
        {"slave0:10.0.0.1,", NULL},
        {"slave0:,6380,online", NULL},
        {"slave0:,,,,,,,,,,", NULL},
        {"slave0:", NULL},
        {"slave0:=", NULL},
        {"slave0:ip=ip=10.0.0.1,port=6380", NULL},
        {"slave0", ""},
        {"slave:10.0.0.1,6380,online", ""},
        {"slaveX:10.0.0.1,6380,online", ""},
        {"slave0x:10.0.0.1,6380,online", ""},
        {"slave-1:10.0.0.1,6380,online", ""},
        {" slave0:10.0.0.1,6380,online", ""},
        {"SLAVE0:10.0.0.1,6380,online", ""},
        {"xslave0:10.0.0.1,6380,online", ""},
        {"slaves0:10.0.0.1,6380,online", ""},
        {"slave_repl_offset:10.0.0.1,6380,online", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse(cases[i].line);
        if (cases[i].address == NULL) {
            if (info.replicas_ignored != 1 || info.replica_count != 0)
                fail_msg("not ignored: %s", cases[i].line);
        } else if (cases[i].address[0] == '\0') {
            assert_empty();
        } else {
            if (info.replicas_ignored != 0 || info.replica_count != 1)
                fail_msg("ignored: %s", cases[i].line);
            char out[ADDRESS_TEXT];
            address_format(&info.replicas[0], out);
            assert_string_equal(out, cases[i].address);
        }
    }
}

static void test_too_many_replicas(void **state)
{
    char *text = malloc(LIMIT_INFO_TEXT);
    assert_non_null(text);
    size_t len = 0;
    for (int i = 0; i < LIMIT_REPLICAS + 10; i++)
        len += (size_t)sprintf(text + len, "slave%d:ip=10.0.%d.%d,port=6380,state=online\r\n", i,
                               i / 250, i % 250 + 1);
    len += (size_t)sprintf(text + len, "role:master\r\n");
    parse_bytes(text, len);
    assert_int_equal(info.replica_count, LIMIT_REPLICAS);
    assert_int_equal(info.replicas_ignored, 10);
    assert_int_equal(info.role, ROLE_MASTER); /* what follows is still read */
    assert_string_equal(info.replicas[0].ip, "10.0.0.1");
    assert_string_equal(info.replicas[LIMIT_REPLICAS - 1].ip, "10.0.1.6");
    free(text);
}

/* A malformed value counts as absent. */
static void test_malformed_values(void **state)
{
    static const char *const lines[] = {
        "run_id:",
        "run_id:0123456789abcdef0123456789abcdef0123456",
        "run_id:" ID "8",
        "run_id:g123456789abcdef0123456789abcdef01234567",
        "run_id: " ID,
        "run_id:" ID " ",
        "run_id",
        "role:",
        "role:masterful",
        "role:maste",
        "role: master",
        "role:sentinel",
        "role:MASTER",
        "role master",
        "master_host:",
        "master_host:a b",
        "master_host:caf\xc3\xa9",
        "master_host:a\tb",
        "master_host:\x1b[31m",
        "master_port:",
        "master_port:65536",
        "master_port:-1",
        "master_port:99999999999999999999",
        "master_link_status:",
        "master_link_status:UP",
        "master_link_status:up ",
        "master_link_status:upper",
        "master_link_down_since_seconds:",
        "master_link_down_since_seconds:-1",
        "master_link_down_since_seconds:-9223372036854775808",
        "master_link_down_since_seconds:9223372036854776", /* in ms it overflows */
        "master_link_down_since_seconds:99999999999999999999999",
        "master_link_down_since_seconds:1.5",
        "slave_priority:",
        "slave_priority:-1",
        "slave_priority:4294967296",
        "slave_priority:1O",
        "slave_repl_offset:",
        "slave_repl_offset:-1",
        "slave_repl_offset:9223372036854775808",
        "slave_repl_offset:18446744073709551616",
        "replica_announced:",
        "replica_announced:2",
        "replica_announced:no",
        "replica_announced:-1",
        "xrole:master",
        "rol:master",
        "role_:master",
        ":",
        "::",
        "r:",
        "#role:master",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        parse(lines[i]);
        assert_empty();
        char text[256]; /* also between lines that are in order, which it must not disturb */
        snprintf(text, sizeof(text), "role:slave\r\n%s\r\nslave_priority:7\r\n", lines[i]);
        parse(text);
        assert_int_equal(info.role, ROLE_REPLICA);
        assert_int_equal(info.priority, 7);
    }
}

static void test_boundary_values(void **state)
{
    parse("slave_priority:0\nslave_repl_offset:0\nreplica_announced:1\n");
    assert_int_equal(info.priority, 0);
    assert_true(info.announced);
    parse("slave_priority:4294967295\nslave_repl_offset:9223372036854775807\n"
          "master_link_down_since_seconds:9223372036854775\nmaster_port:65535\n"
          "master_link_status:up\n");
    assert_true(info.priority == UINT32_MAX);
    assert_true(info.repl_offset == INT64_MAX);
    assert_true(info.master_link_down == INT64_C(9223372036854775000));
    assert_int_equal(info.master.port, 65535);
    assert_true(info.master_link_up);
}

static void test_master_address(void **state)
{
    parse("master_host:10.0.0.1\nmaster_port:6379\n");
    assert_string_equal(info.master.ip, "10.0.0.1");
    assert_int_equal(info.master.port, 6379);
    parse("master_port:6379\nmaster_host:10.0.0.1\n"); /* the order does not matter */
    assert_string_equal(info.master.ip, "10.0.0.1");
    assert_int_equal(info.master.port, 6379);
    parse("master_host:0:0::1\nmaster_port:6379\n");
    assert_string_equal(info.master.ip, "::1");
    assert_string_equal(info.master_host, "0:0::1"); /* as given */
    parse("master_host:redis-1.example.com\nmaster_port:6379\n");
    assert_string_equal(info.master.ip, "");
    assert_false(address_known(&info.master));
    assert_int_equal(info.master.port, 6379); /* who resolves the name needs it */
    assert_string_equal(info.master_host, "redis-1.example.com");
    parse("master_host:!a~\n"); /* the first and the last of the printable ones */
    assert_string_equal(info.master_host, "!a~");
    parse("master_host:10.0.0.1\n");
    assert_false(address_known(&info.master));

    char text[LIMIT_HOST + 64], host[LIMIT_HOST + 2];
    memset(host, 'h', LIMIT_HOST + 1);
    host[LIMIT_HOST + 1] = '\0';
    snprintf(text, sizeof(text), "master_host:%s\n", host);
    parse(text);
    assert_string_equal(info.master_host, "");
    snprintf(text, sizeof(text), "master_host:%s\n", host + 1);
    parse(text);
    assert_string_equal(info.master_host, host + 1);
}

/* As stock: the later of two lines wins, but not with a malformed value. */
static void test_repeated_lines(void **state)
{
    parse("role:master\nrole:slave\nslave_priority:1\nslave_priority:2\nslave_priority:x\n");
    assert_int_equal(info.role, ROLE_REPLICA);
    assert_int_equal(info.priority, 2);
}

static void test_empty_and_rubbish(void **state)
{
    memset(&info, 0x5a, sizeof(info));
    info_parse(&info, NULL, 0, false);
    assert_empty();
    parse("");
    assert_empty();
    parse_bytes("\0", 1);
    assert_empty();
    parse_bytes("role\0:master\n", 13);
    assert_empty();
    parse_bytes("role:mas\0ter\n", 13);
    assert_empty();
    parse_bytes("role:master\0\n", 13);
    assert_empty();
    parse_bytes("master_host:10.0.0.1\0\nmaster_port:1\0\n", 38);
    assert_empty();
    parse_bytes("slave0:ip=10.0.0.1\0,port=6380\n", 31);
    assert_int_equal(info.replicas_ignored, 1);
    parse_bytes("\0\0\0\nrole:master\n", 16); /* a NUL ends nothing */
    assert_int_equal(info.role, ROLE_MASTER);
}

static void test_too_long(void **state)
{
    char *text = malloc(LIMIT_INFO_TEXT + 1);
    assert_non_null(text);
    memset(text, '\n', LIMIT_INFO_TEXT + 1);
    memcpy(text, "role:master\n", 12);
    parse_bytes(text, LIMIT_INFO_TEXT);
    assert_int_equal(info.role, ROLE_MASTER);
    parse_bytes(text, LIMIT_INFO_TEXT + 1);
    assert_empty();
    memset(text, 's', LIMIT_INFO_TEXT);
    parse_bytes(text, LIMIT_INFO_TEXT);
    assert_empty();
    free(text);
}

static void test_truncated_anywhere(void **state)
{
    for (size_t len = 0; len <= strlen(master_text); len++) {
        parse_bytes(master_text, len);
        assert_bounded();
    }
    assert_int_equal(info.replica_count, 3);
    for (size_t len = 0; len <= strlen(replica_text); len++) {
        parse_bytes(replica_text, len);
        assert_bounded();
    }
    assert_int_equal(info.role, ROLE_REPLICA);
}

static void test_any_byte_anywhere(void **state)
{
    static const unsigned char bytes[] = {0,   1,   '\n', '\r', ' ',  ',',  ':', '=',
                                          '0', '9', 'a',  's',  0x7f, 0x80, 0xff};
    char text[sizeof(master_text) + sizeof(replica_text)];
    snprintf(text, sizeof(text), "%s%s", master_text, replica_text);
    const size_t len = strlen(text);
    for (size_t place = 0; place < len; place++) {
        const char kept = text[place];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            text[place] = (char)bytes[i];
            parse_bytes(text, len);
            assert_bounded();
        }
        text[place] = kept;
    }
}

static void test_random_bytes(void **state)
{
    struct prng prng;
    prng_seed(&prng, 1);
    static const char *const pieces[] = {
        "slave0:",  "ip=",     "port=", ",",       "6380",
        "10.0.0.1", "\r\n",    "\n",    ":",       "role:",
        "slave",    "run_id:", ID,      "-1",      "9999999999999999999999",
        "master_",  "host",    "link_", "status:", "up",
        "\xff"};
    for (int round = 0; round < 20000; round++) {
        char text[512];
        size_t len = 0;
        const uint64_t count = prng_below(&prng, 24);
        for (uint64_t i = 0; i < count && len + LIMIT_RUNID < sizeof(text); i++) {
            const char *piece = pieces[prng_below(&prng, sizeof(pieces) / sizeof(pieces[0]))];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        parse_bytes(text, len);
        assert_bounded();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_master),
        cmocka_unit_test(test_replica),
        cmocka_unit_test(test_failover_state),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_replica_lines),
        cmocka_unit_test(test_too_many_replicas),
        cmocka_unit_test(test_malformed_values),
        cmocka_unit_test(test_boundary_values),
        cmocka_unit_test(test_master_address),
        cmocka_unit_test(test_repeated_lines),
        cmocka_unit_test(test_empty_and_rubbish),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_any_byte_anywhere),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
