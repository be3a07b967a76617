/* Run ids, addresses, the PRNG, numbers, default periods. */
#include "rules/types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX40       "0123456789abcdef0123456789abcdef01234567"
#define HEX40_UPPER "0123456789ABCDEF0123456789ABCDEF01234567"

/* A copy with not one byte behind it, so that the sanitizers see a read beyond the end. */
static char *exact_copy(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

/* --- run ids --------------------------------------------------------------------------------- */

static void test_runid_parse(void **state)
{
    struct runid id;
    assert_true(runid_parse(&id, HEX40, 40));
    assert_string_equal(id.hex, HEX40);
    assert_true(runid_known(&id));
    assert_true(runid_parse(&id, HEX40_UPPER, 40));
    assert_string_equal(id.hex, HEX40_UPPER);
    assert_true(runid_parse(&id, HEX40 "garbage behind", 40));
    assert_string_equal(id.hex, HEX40);
}

static void test_runid_refuses(void **state)
{
    for (size_t len = 0; len < 40; len++) {
        struct runid id;
        memset(&id, 'x', sizeof(id));
        char *cut = exact_copy(HEX40, len);
        assert_false(runid_parse(&id, cut, len));
        free(cut);
        for (size_t i = 0; i < sizeof(id.hex); i++)
            assert_int_equal(id.hex[i], 0);
        assert_false(runid_known(&id));
    }
    struct runid id;
    assert_false(runid_parse(&id, HEX40 "0", 41));
    assert_false(runid_parse(&id, "*", 1));
    /* Every byte that is no hex digit, at every place. */
    for (size_t place = 0; place < 40; place++) {
        for (int c = 0; c < 256; c++) {
            const bool hex =
                (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            char text[] = HEX40;
            text[place] = (char)c;
            assert_int_equal(runid_parse(&id, text, 40), hex);
            assert_int_equal(runid_known(&id), hex);
        }
    }
}

static void test_runid_compare(void **state)
{
    struct runid a, b, none = {{0}};
    assert_true(runid_parse(&a, HEX40, 40));
    assert_true(runid_parse(&b, HEX40, 40));
    assert_true(runid_equal(&a, &b));
    assert_int_equal(runid_compare(&a, &b), 0);
    b.hex[39] = '8';
    assert_false(runid_equal(&a, &b));
    assert_true(runid_compare(&a, &b) < 0);
    assert_true(runid_compare(&b, &a) > 0);
    assert_false(runid_equal(&a, &none));
    assert_true(runid_compare(&none, &a) < 0);
    assert_true(runid_equal(&none, &none));
}

/* --- addresses ------------------------------------------------------------------------------- */

static void test_address_set(void **state)
{
    static const struct {
        const char *ip;
        int64_t port;
        const char *canonical, *text; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1", 6379, "127.0.0.1", "127.0.0.1:6379"},
        {"0.0.0.0", 0, "0.0.0.0", "0.0.0.0:0"},
        {"255.255.255.255", 65535, "255.255.255.255", "255.255.255.255:65535"},
        {"::1", 1, "::1", "[::1]:1"},
        {"::", 5, "::", "[::]:5"},
        {"0:0:0:0:0:0:0:1", 26379, "::1", "[::1]:26379"},
        {"2001:DB8::00Ff", 6379, "2001:db8::ff", "[2001:db8::ff]:6379"},
        {"::ffff:10.0.0.1", 6379, "::ffff:10.0.0.1", "[::ffff:10.0.0.1]:6379"},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.255", 65535, "::ffff:255.255.255.255",
         "[::ffff:255.255.255.255]:65535"}, /* 45 bytes: the longest there is */
        {"1111:2222:3333:4444:5555:6666:7777:8888", 65535,
         "1111:2222:3333:4444:5555:6666:7777:8888",
         "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"},
        {"127.0.0.1", -1, NULL, NULL},
        {"127.0.0.1", 65536, NULL, NULL},
        {"127.0.0.1", INT64_MAX, NULL, NULL},
        {"127.0.0.1", INT64_MIN, NULL, NULL},
        {"", 6379, NULL, NULL},
        {"localhost", 6379, NULL, NULL},
        {"127.1", 6379, NULL, NULL},
        {"127.0.0.256", 6379, NULL, NULL},
        {"127.0.0.1.1", 6379, NULL, NULL},
        {"0x7f.0.0.1", 6379, NULL, NULL},
        {" 127.0.0.1", 6379, NULL, NULL},
        {"127.0.0.1 ", 6379, NULL, NULL},
        {"127.0.0.1\n", 6379, NULL, NULL},
        {"[::1]", 6379, NULL, NULL},
        {":::1", 6379, NULL, NULL},
        {"fe80::1%eth0", 6379, NULL, NULL},
        {"1:2:3:4:5:6:7:8:9", 6379, NULL, NULL},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.2555", 6379, NULL, NULL},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 6379, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address before, a;
        memset(&before, 0x5a, sizeof(before));
        a = before;
        const size_t len = strlen(cases[i].ip);
        char *ip = exact_copy(cases[i].ip, len);
        const bool ok = address_set(&a, ip, len, cases[i].port);
        free(ip);
        if (cases[i].canonical == NULL) {
            assert_false(ok);
            assert_memory_equal(&a, &before, sizeof(a)); /* left alone */
            continue;
        }
        assert_true(ok);
        assert_string_equal(a.ip, cases[i].canonical);
        assert_int_equal(a.port, cases[i].port);
        char out[ADDRESS_TEXT];
        assert_int_equal(address_format(&a, out), strlen(cases[i].text));
        assert_string_equal(out, cases[i].text);
        assert_int_equal(address_known(&a), cases[i].port != 0);
    }
}

static void test_address_embedded_nul(void **state)
{
    struct address a;
    assert_false(address_set(&a, "127.0.0.1\0", 10, 6379));
    assert_false(address_set(&a, "127.0.0.1\0.example", 18, 6379));
    assert_false(address_set(&a, "::1\0:", 5, 6379));
    assert_false(address_set(&a, "\0", 1, 6379));
    assert_true(address_set(&a, "127.0.0.1,6379", 9, 6379)); /* only ip_len bytes count */
    assert_string_equal(a.ip, "127.0.0.1");
}

static void test_address_compare(void **state)
{
    struct address a, b, none = {.port = 0};
    assert_true(address_set(&a, "10.0.0.1", 8, 6379));
    memset(&b, 0xff, sizeof(b));
    assert_true(address_set(&b, "10.0.0.1", 8, 6379));
    assert_true(address_equal(&a, &b));
    assert_true(address_hash(&a) == address_hash(&b));
    assert_memory_equal(&a, &b, sizeof(a)); /* every byte is defined */

    assert_true(address_set(&b, "10.0.0.1", 8, 6380));
    assert_false(address_equal(&a, &b));
    assert_true(address_hash(&a) != address_hash(&b));
    assert_true(address_set(&b, "10.0.0.2", 8, 6379));
    assert_false(address_equal(&a, &b));
    assert_true(address_hash(&a) != address_hash(&b));

    /* One IPv6 address in two spellings is one address. */
    assert_true(address_set(&a, "::1", 3, 6379));
    assert_true(address_set(&b, "0:0::0:1", 8, 6379));
    assert_true(address_equal(&a, &b));

    assert_false(address_known(&none));
    none.port = 6379;
    assert_false(address_known(&none));
}

/* A fleet's addresses spread over the low bits and over the high bits alike. */
static void test_address_hash_spreads(void **state)
{
    enum { BUCKETS = 256, COUNT = 256 * 64 };
    unsigned low[BUCKETS] = {0}, high[BUCKETS] = {0};
    for (int i = 0; i < COUNT; i++) {
        char ip[LIMIT_IP + 1];
        const int len = snprintf(ip, sizeof(ip), "127.1.%d.%d", i / 250, i % 250 + 1);
        struct address a;
        assert_true(address_set(&a, ip, (size_t)len, 6379));
        low[address_hash(&a) % BUCKETS]++;
        high[address_hash(&a) >> 56]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
        assert_in_range(low[i], 20, 128);
        assert_in_range(high[i], 20, 128);
    }
}

/* --- random numbers -------------------------------------------------------------------------- */

static void test_prng_reproduces(void **state)
{
    struct prng a, b;
    for (uint64_t seed = 0; seed < 100; seed++) {
        prng_seed(&a, seed);
        prng_seed(&b, seed);
        assert_true(a.state != 0);
        for (int i = 0; i < 100; i++)
            assert_true(prng_next(&a) == prng_next(&b));
    }
    prng_seed(&a, 1);
    prng_seed(&b, 2);
    int same_top = 0;
    for (int i = 0; i < 1000; i++)
        same_top += prng_next(&a) >> 60 == prng_next(&b) >> 60;
    assert_in_range(same_top, 20, 120); /* about 1 in 16 */
    prng_seed(&a, UINT64_MAX);
    assert_true(a.state != 0);
}

/* The sequence is part of what a seed means: a change here changes what every seed shows. */
static void test_prng_is_xorshift64star(void **state)
{
    struct prng p;
    static const uint64_t seeds[][2] = {{0, UINT64_C(0x6e789e6aa1b965f4)},
                                        {1, UINT64_C(0x910a2dec89025cc1)},
                                        {UINT64_MAX, UINT64_C(0xe4d971771b652c20)}};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        prng_seed(&p, seeds[i][0]);
        assert_true(p.state == seeds[i][1]);
    }
    p.state = 1;
    assert_true(prng_next(&p) == UINT64_C(0x47e4ce4b896cdd1d));
    assert_true(prng_next(&p) == UINT64_C(0xabcfa6a8e079651d));
}

static void test_prng_below(void **state)
{
    static const uint64_t bounds[] = {
        1, 2, 3, 7, 100, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX, (UINT64_C(1) << 63) + 1};
    struct prng p;
    prng_seed(&p, 42);
    for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
        for (int i = 0; i < 2000; i++)
            assert_true(prng_below(&p, bounds[b]) < bounds[b]);
    }
    unsigned seen[10] = {0};
    for (int i = 0; i < 10000; i++)
        seen[prng_below(&p, 10)]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 850, 1150);
}

/* --- numbers --------------------------------------------------------------------------------- */

static void test_parse_u64(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        uint64_t max;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", 1, UINT64_MAX, true, 0},
        {"0", 1, 0, true, 0},
        {"1", 1, 0, false, 0},
        {"9", 1, 9, true, 9},
        {"9", 1, 8, false, 0},
        {"10", 2, 9, false, 0},
        {"65535", 5, 65535, true, 65535},
        {"65536", 5, 65535, false, 0},
        {"007", 3, 7, true, 7},
        {"0000000000000000000000000000000000000001", 40, 1, true, 1},
        {"18446744073709551615", 20, UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", 20, UINT64_MAX, false, 0},
        {"18446744073709551620", 20, UINT64_MAX, false, 0},
        {"28446744073709551615", 20, UINT64_MAX, false, 0},
        {"99999999999999999999999999", 26, UINT64_MAX, false, 0},
        {"4611686018427387904", 19, LIMIT_EPOCH, true, LIMIT_EPOCH},
        {"4611686018427387905", 19, LIMIT_EPOCH, false, 0},
        {"", 0, UINT64_MAX, false, 0},
        {"-1", 2, UINT64_MAX, false, 0},
        {"+1", 2, UINT64_MAX, false, 0},
        {" 1", 2, UINT64_MAX, false, 0},
        {"1 ", 2, UINT64_MAX, false, 0},
        {"1\n", 2, UINT64_MAX, false, 0},
        {"1\0", 2, UINT64_MAX, false, 0},
        {"\0", 1, UINT64_MAX, false, 0},
        {"1e3", 3, UINT64_MAX, false, 0},
        {"0x1", 3, UINT64_MAX, false, 0},
        {"12x", 2, UINT64_MAX, true, 12}, /* exactly len bytes */
        {"/", 1, UINT64_MAX, false, 0},
        {":", 1, UINT64_MAX, false, 0},
        {"\xb2", 1, UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 12345;
        char *text = exact_copy(cases[i].text, cases[i].len);
        const bool ok = parse_u64(text, cases[i].len, cases[i].max, &value);
        free(text);
        assert_int_equal(ok, cases[i].ok);
        assert_true(value == (cases[i].ok ? cases[i].value : 12345));
    }
}

static void test_periods_default(void **state)
{
    struct periods p;
    memset(&p, 0xff, sizeof(p));
    periods_default(&p);
    assert_int_equal(p.info, 10000);
    assert_int_equal(p.ping, 1000);
    assert_int_equal(p.publish, 2000);
    assert_int_equal(p.ask, 1000);
    assert_int_equal(p.default_down_after, 30000);
    assert_int_equal(p.default_failover_timeout, 180000);
    assert_int_equal(p.tilt_trigger, 2000);
    assert_int_equal(p.tilt_period, 30000);
    assert_int_equal(p.replica_reconf_timeout, 10000);
    assert_int_equal(p.min_link_reconnect, 15000);
    assert_int_equal(p.election_timeout, 10000);
    assert_int_equal(p.script_max_runtime, 60000);
    assert_int_equal(p.script_retry_delay, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runid_parse),
        cmocka_unit_test(test_runid_refuses),
        cmocka_unit_test(test_runid_compare),
        cmocka_unit_test(test_address_set),
        cmocka_unit_test(test_address_embedded_nul),
        cmocka_unit_test(test_address_compare),
        cmocka_unit_test(test_address_hash_spreads),
        cmocka_unit_test(test_prng_reproduces),
        cmocka_unit_test(test_prng_is_xorshift64star),
        cmocka_unit_test(test_prng_below),
        cmocka_unit_test(test_parse_u64),
        cmocka_unit_test(test_periods_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
