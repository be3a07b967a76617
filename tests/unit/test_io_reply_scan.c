/* Where a reply ends: every split, every bound, and agreement with hiredis. */
#include "io/reply_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

static enum reply_scan_result scan_all(const void *bytes, size_t len, size_t *at)
{
    struct reply_scan scan = {0};
    enum reply_scan_result result = reply_scan(&scan, bytes, len);
    *at = scan.at;
    return result;
}

static void whole_at_every_split(void **state)
{
    static const char *const replies[] = {
        "+OK\r\n",
        "+\r\n",
        "-ERR no\rt really\r\n",
        ":-12345\r\n",
        "$0\r\n\r\n",
        "$5\r\nab\r\nc\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\nabc\r\n",
        "*3\r\n:0\r\n$1\r\n*\r\n:0\r\n",
        "*2\r\n*2\r\n*0\r\n+a\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        size_t len = strlen(replies[i]);
        char both[256];
        snprintf(both, sizeof both, "%s+next\r\n", replies[i]);
        for (size_t split = 0; split <= len; split++) {
            struct reply_scan scan = {0};
            if (split < len) {
                assert_int_equal(reply_scan(&scan, (uint8_t *)both, split), REPLY_MORE);
            }
            assert_int_equal(reply_scan(&scan, (uint8_t *)both, strlen(both)), REPLY_WHOLE);
            assert_int_equal(scan.at, len);
        }
        struct reply_scan drip = {0}; /* a byte at a time */
        for (size_t have = 0; have < len; have++) {
            assert_int_equal(reply_scan(&drip, (uint8_t *)both, have), REPLY_MORE);
        }
        assert_int_equal(reply_scan(&drip, (uint8_t *)both, len), REPLY_WHOLE);
        assert_int_equal(drip.at, len);
    }
}

static void bad_ones(void **state)
{
    static const char *const replies[] = {
        "x\r\n",
        "HTTP/1.1 400 Bad\r\n",
        "\r\n",
        "\n",
        "$\r\n",
        "$x\r\n",
        "$-2\r\n",
        "$-\r\n",
        "$ 5\r\n",
        "$5 \r\nabcde\r\n",
        "$5\r\nabcdefg",
        "$5\r\nabcde\n\n",
        "$262145\r\n",
        "$99999999999999999999999999\r\n",
        "$00000000000000000000000000000001\r\n",
        "*1025\r\n",
        "*1000000000\r\n",
        "*-2\r\n",
        "*4294967297\r\n",
        "%1\r\n+a\r\n+b\r\n",
        "_\r\n",
        ":123456789012345678901234567890\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", /* depth */
    };
    size_t at;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (scan_all(replies[i], strlen(replies[i]), &at) != REPLY_BAD) {
            fail_msg("%s", replies[i]);
        }
    }
    assert_int_equal(scan_all("*1000\r\n*24\r\n", 12, &at), REPLY_MORE);
    assert_int_equal(scan_all("*1000\r\n*25\r\n", 12, &at), REPLY_BAD); /* elements of all */
}

static void bounds(void **state)
{
    size_t cap = LIMIT_REPLY_BYTES + 1000, at;
    uint8_t *bytes = malloc(cap);
    memset(bytes, 'x', cap);
    /* The longest string that fits, and one byte more. */
    size_t body = LIMIT_REPLY_BYTES - 9 - 2;
    int head = snprintf((char *)bytes, 32, "$%zu\r\n", body);
    assert_int_equal(head, 9);
    bytes[head] = 'x';
    memcpy(bytes + LIMIT_REPLY_BYTES - 2, "\r\n", 2);
    assert_int_equal(scan_all(bytes, LIMIT_REPLY_BYTES, &at), REPLY_WHOLE);
    assert_int_equal(at, LIMIT_REPLY_BYTES);
    assert_int_equal(scan_all(bytes, LIMIT_REPLY_BYTES - 1, &at), REPLY_MORE);
    snprintf((char *)bytes, 32, "$%zu\r\n", body + 1);
    assert_int_equal(scan_all(bytes, 9, &at), REPLY_BAD); /* before it arrives */
    /* A line without an end. */
    memset(bytes, 'x', cap);
    bytes[0] = '+';
    assert_int_equal(scan_all(bytes, LIMIT_REPLY_BYTES - 1, &at), REPLY_MORE);
    assert_int_equal(scan_all(bytes, LIMIT_REPLY_BYTES, &at), REPLY_BAD);
    assert_int_equal(scan_all(bytes, cap, &at), REPLY_BAD);
    bytes[0] = ':';
    assert_int_equal(scan_all(bytes, 20, &at), REPLY_MORE);
    assert_int_equal(scan_all(bytes, 40, &at), REPLY_BAD);
    /* As many elements as may be. */
    size_t len = (size_t)snprintf((char *)bytes, 32, "*%d\r\n", LIMIT_REPLY_ELEMENTS);
    for (int i = 0; i < LIMIT_REPLY_ELEMENTS; i++) {
        memcpy(bytes + len, "$-1\r\n", 5);
        len += 5;
    }
    assert_int_equal(scan_all(bytes, len, &at), REPLY_WHOLE);
    assert_int_equal(at, len);
    free(bytes);
}

/* Random bytes of RESP's alphabet: what is whole here must be exactly one reply, or an error, to
 * hiredis; and the result must not depend on how the bytes come in. */
static void agrees_with_hiredis(void **state)
{
    static const char *const words[] = {
        "+", "-", ":", "$", "*",  "\r\n", "\r\n", "\r\n", "\r",     "\n",      "-1",
        "0", "1", "2", "3", "12", "a",    "x ",   "*2",   "$3\r\n", "abc\r\n", ":7\r\n"};
    uint64_t random = 7;
    unsigned whole = 0, refused = 0;
    for (int round = 0; round < 200000; round++) {
        char bytes[128];
        size_t len = 0;
        for (int i = 0; i < 12; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            const char *word = words[(random >> 33) % (sizeof words / sizeof *words)];
            memcpy(bytes + len, word, strlen(word));
            len += strlen(word);
        }
        size_t at;
        enum reply_scan_result result = scan_all(bytes, len, &at);
        struct reply_scan drip = {0};
        enum reply_scan_result dripped = REPLY_MORE;
        for (size_t have = 0; have <= len && dripped == REPLY_MORE; have++) {
            dripped = reply_scan(&drip, (uint8_t *)bytes, have);
        }
        assert_int_equal(result, dripped);
        if (result != REPLY_WHOLE) {
            continue;
        }
        assert_int_equal(drip.at, at);
        redisReader *reader = redisReaderCreate();
        void *reply = NULL;
        assert_int_equal(redisReaderFeed(reader, bytes, at), REDIS_OK);
        if (redisReaderGetReply(reader, &reply) == REDIS_OK) {
            assert_non_null(reply);
            freeReplyObject(reply);
            reply = NULL;
            assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
            assert_null(reply);
            assert_int_equal(reader->pos, reader->len);
            whole++;
        } else {
            refused++;
        }
        redisReaderFree(reader);
    }
    print_message("%u whole, %u refused by hiredis\n", whole, refused);
    assert_true(whole > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_at_every_split),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(bounds),
        cmocka_unit_test(agrees_with_hiredis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
