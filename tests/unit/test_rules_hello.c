/* The hello codec: what is accepted, and every way to be refused. */
#include "rules/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID   "0123456789abcdef0123456789abcdef01234567"
#define GOOD "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,3"
#define N50  "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define N200 N50 N50 N50 N50

/* From a copy with not one byte behind it, so that the sanitizers see a read beyond the end. */
static bool parse(struct hello *hello, const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    const bool ok = hello_parse(hello, copy, len, HOST_NONE);
    free(copy);
    return ok;
}

static bool accepted(const char *text)
{
    struct hello hello;
    return parse(&hello, text, strlen(text));
}

static void test_fields(void **state)
{
    struct hello h;
    assert_true(parse(&h, GOOD, strlen(GOOD)));
    assert_string_equal(h.sentinel.ip, "10.0.0.1");
    assert_int_equal(h.sentinel.port, 26379);
    assert_string_equal(h.runid.hex, ID);
    assert_true(h.current_epoch == 7);
    assert_string_equal(h.name, "mymaster");
    assert_string_equal(h.master.ip, "10.0.0.9");
    assert_int_equal(h.master.port, 6379);
    assert_true(h.config_epoch == 3);
}

static void test_accepts(void **state)
{
    static const char *const texts[] = {
        GOOD,
        "::1,26379," ID ",0,m,2001:db8::7,6379,0",
        "10.0.0.1,1," ID ",0,m,10.0.0.9,65535,0",
        "10.0.0.1,26379," ID ",4611686018427387904,m,10.0.0.9,6379,4611686018427387904",
        "10.0.0.1,26379," ID ",0,name with spaces and \xc3\xa4,10.0.0.9,6379,0",
        "10.0.0.1,26379," ID ",0," N200 ",10.0.0.9,6379,0",
        "0000:0000:0000:0000:0000:ffff:255.255.255.255,65535," ID ",4611686018427387904," N200
        ",0000:0000:0000:0000:0000:ffff:255.255.255.255,65535,4611686018427387904",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!accepted(texts[i]))
            fail_msg("refused: %s", texts[i]);
    }
}

static void test_refuses(void **state)
{
    static const char *const texts[] = {
        "",
        ",",
        ",,,,,,,",
        ",,,,,,,,",
        "hello",
        /* 7 and 9 fields */
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379",
        GOOD ",",
        GOOD ",9",
        "," GOOD,
        /* each field empty */
        ",26379," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379,,7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,",
        /* addresses */
        "localhost,26379," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,redis.example,6379,3",
        "10.0.0,26379," ID ",7,mymaster,10.0.0.9,6379,3",
        "[::1],26379," ID ",7,mymaster,10.0.0.9,6379,3",
        " 10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,3",
        /* ports */
        "10.0.0.1,0," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,0,3",
        "10.0.0.1,65536," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,65536,3",
        "10.0.0.1,-1," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,4294967297," ID ",7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9, 6379,3",
        /* run ids */
        "10.0.0.1,26379,*,7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID "8,7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379,0123456789abcdef0123456789abcdef0123456,7,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379,g123456789abcdef0123456789abcdef01234567,7,mymaster,10.0.0.9,6379,3",
        /* epochs */
        "10.0.0.1,26379," ID ",4611686018427387905,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,4611686018427387905",
        "10.0.0.1,26379," ID ",18446744073709551615,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",18446744073709551616,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",-1,mymaster,10.0.0.9,6379,3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,+3",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,3\r\n",
        "10.0.0.1,26379," ID ",7,mymaster,10.0.0.9,6379,3 ",
        "10.0.0.1,26379," ID ",7x,mymaster,10.0.0.9,6379,3",
        /* 201 bytes of name */
        "10.0.0.1,26379," ID ",0," N200 "n,10.0.0.9,6379,0",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (accepted(texts[i]))
            fail_msg("accepted: %s", texts[i]);
    }
}

/* The last field is a single digit, so no proper prefix is a hello. */
static void test_truncated_anywhere(void **state)
{
    struct hello h;
    for (size_t len = 0; len < strlen(GOOD); len++)
        assert_false(parse(&h, GOOD, len));
    assert_true(parse(&h, GOOD, strlen(GOOD)));
}

static void test_nul_anywhere(void **state)
{
    struct hello h;
    for (size_t place = 0; place < strlen(GOOD); place++) {
        char text[] = GOOD;
        text[place] = '\0';
        assert_false(parse(&h, text, strlen(GOOD)));
    }
    assert_false(parse(&h, GOOD "\0", sizeof(GOOD)));
}

/* Whatever one byte is changed to, the result is refused or is a hello with bounded fields. */
static void test_any_byte_anywhere(void **state)
{
    for (size_t place = 0; place < strlen(GOOD); place++) {
        for (int c = 0; c < 256; c++) {
            char text[] = GOOD, out[LIMIT_HELLO + 1];
            text[place] = (char)c;
            struct hello h;
            if (parse(&h, text, strlen(GOOD))) {
                assert_true(address_known(&h.sentinel) && address_known(&h.master));
                assert_true(h.name[0] != '\0' && runid_known(&h.runid));
                assert_true(hello_format(&h, out) <= strlen(GOOD));
            }
        }
    }
}

static void test_too_long(void **state)
{
    char *text = malloc(LIMIT_HELLO + 1);
    assert_non_null(text);
    /* Leading zeros are allowed in a number, so a well-formed hello of any length exists. */
    memset(text, '0', LIMIT_HELLO + 1);
    memcpy(text, GOOD, strlen(GOOD));
    text[strlen(GOOD) - 1] = '0';
    struct hello h;
    assert_true(parse(&h, text, LIMIT_HELLO));
    assert_true(h.config_epoch == 0);
    assert_false(parse(&h, text, LIMIT_HELLO + 1));
    memset(text, ',', LIMIT_HELLO + 1);
    assert_false(parse(&h, text, LIMIT_HELLO));
    free(text);
}

static void test_format(void **state)
{
    struct hello h = {.sentinel = {.ip = "10.0.0.1", .port = 26379},
                      .runid = {ID},
                      .current_epoch = 7,
                      .master = {.ip = "10.0.0.9", .port = 6379},
                      .config_epoch = 3,
                      .name = "mymaster"};
    char out[LIMIT_HELLO + 1];
    assert_int_equal(hello_format(&h, out), strlen(GOOD));
    assert_string_equal(out, GOOD);
}

static void test_format_longest(void **state)
{
    static const char longest_ip[] = "1111:2222:3333:4444:5555:6666:7777:8888";
    struct hello h = {.runid = {ID}, .current_epoch = LIMIT_EPOCH, .config_epoch = LIMIT_EPOCH};
    assert_true(address_set(&h.sentinel, longest_ip, strlen(longest_ip), 65535));
    assert_true(address_set(&h.master, longest_ip, strlen(longest_ip), 65535));
    strcpy(h.name, N200);
    char out[LIMIT_HELLO + 1];
    const size_t len = hello_format(&h, out);
    assert_int_equal(len, strlen(out));
    struct hello back;
    assert_true(parse(&back, out, len));
    assert_true(address_equal(&back.sentinel, &h.sentinel));
    assert_true(address_equal(&back.master, &h.master));
    assert_true(runid_equal(&back.runid, &h.runid));
    assert_true(back.current_epoch == LIMIT_EPOCH && back.config_epoch == LIMIT_EPOCH);
    assert_string_equal(back.name, h.name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),         cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_nul_anywhere),   cmocka_unit_test(test_any_byte_anywhere),
        cmocka_unit_test(test_too_long),       cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
