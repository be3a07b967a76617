/* The request parser: a table of requests, each whole, byte by byte, and in random pieces; garbage
 * must never get past its bounds. */
#include "admin/resp.h"
#include "rules/types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) literal, sizeof literal - 1

/* What a stream of bytes gives, in one text: "[PING][a][b];" for each request, "!error" at a bad
 * one, "..." when something is left over. */
struct outcome {
    struct buffer text;
};

static void note(struct outcome *o, const char *bytes, size_t len)
{
    buffer_append(&o->text, bytes, len);
}

/* Feeds the bytes in pieces of at most `piece` (0: random ones drawn from p), as a client's
 * connection does. */
static void feed(struct outcome *o, const char *bytes, size_t len, size_t piece, struct prng *p,
                 bool strict)
{
    struct resp_parser parser;
    struct buffer input = {0};
    size_t given = 0;

    resp_init(&parser);
    parser.strict = strict;
    o->text.len = 0;
    while (given < len) {
        size_t take = piece ? piece : 1 + prng_below(p, 9);
        take = take < len - given ? take : len - given;
        buffer_append(&input, bytes + given, take);
        given += take;
        /* An exact copy, so that a sanitizer sees any look behind the end. */
        for (;;) {
            uint8_t *exact = malloc(input.len ? input.len : 1);
            memcpy(exact, input.data, input.len);
            enum resp_result result = resp_parse(&parser, exact, input.len);
            if (result == RESP_REQUEST) {
                for (size_t i = 0; i < parser.count; i++) {
                    note(o, TEXT("["));
                    note(o, parser.args[i].text, parser.args[i].len);
                    note(o, TEXT("]"));
                }
                note(o, TEXT(";"));
                buffer_consume(&input, parser.consumed);
                resp_shrink(&parser);
            } else if (result == RESP_BAD) {
                note(o, TEXT("!"));
                note(o, parser.error, strlen(parser.error));
            }
            free(exact);
            if (result == RESP_BAD) {
                goto out;
            }
            if (result == RESP_MORE) {
                break;
            }
        }
    }
    if (input.len > 0) {
        note(o, TEXT("..."));
    }
out:
    buffer_append(&o->text, "", 1);
    buffer_free(&input);
    resp_free(&parser);
}

static const struct {
    const char *bytes;
    size_t len;
    const char *expected;
    bool strict;
} table[] = {
    {TEXT("*1\r\n$4\r\nPING\r\n"), "[PING];", false},
    {TEXT("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n"), "[SET][a][];", false},
    {TEXT("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPONG\r\n"), "[PING];[PONG];", false},
    {TEXT("*1\r\n$4\r\nPINGxx*1\r\n$1\r\na\r\n"), "[PING];[a];", false},
    {TEXT("*1\r\n$6\r\na\r\n$1\r\r\n"), "[a\r\n$1\r];", false},
    {TEXT("*0\r\nPING\r\n"), ";[PING];", false},
    {TEXT("*-1\r\nPING\r\n"), ";[PING];", false},
    {TEXT("*2\r\n$4\r\nPING"), "...", false},
    {TEXT("*"), "...", false},
    {TEXT("*1\r"), "...", false},
    {TEXT("*1\r\n$4\r\nPIN"), "...", false},
    {TEXT("PING\r\n"), "[PING];", false},
    {TEXT("PING\n"), "[PING];", false},
    {TEXT("\r\n\nPING\r\n"), ";;[PING];", false},
    {TEXT("   \t  \r\nPING a  b\r\n"), ";[PING][a][b];", false},
    {TEXT("  PING  \r\n"), "[PING];", false},
    {TEXT("ping 'a b'\r\n"), "[ping][a b];", false},
    {TEXT("ping \"a\\x41\\n\\\"\\q\\\\\"\r\n"), "[ping][aA\n\"q\\];", false},
    {TEXT("ping '\\'\\n'\r\n"), "[ping]['\\n];", false},
    {TEXT("ping \"\" ''\r\n"), "[ping][][];", false},
    {TEXT("ping a\"b\"\r\n"), "[ping][ab];", false},
    {TEXT("ping \"\\x4\"\r\n"), "[ping][x4];", false},
    {TEXT("ping \"a\r\n"), "!Protocol error: unbalanced quotes in request", false},
    {TEXT("ping 'a\r\n"), "!Protocol error: unbalanced quotes in request", false},
    {TEXT("ping 'a'b\r\n"), "!Protocol error: unbalanced quotes in request", false},
    {TEXT("ping \"a\\\r\n"), "!Protocol error: unbalanced quotes in request", false},
    {TEXT("*abc\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*+1\r\n$4\r\nPING\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*01\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*-0\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*99999999999999999999999\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*1048577\r\n"), "!Protocol error: invalid multibulk length", false},
    {TEXT("*1048576\r\n"), "...", false}, /* only declared: takes no memory */
    {TEXT("*1\r\n$-5\r\n"), "!Protocol error: invalid bulk length", false},
    {TEXT("*1\r\n$abc\r\n"), "!Protocol error: invalid bulk length", false},
    {TEXT("*1\r\n$04\r\nPING\r\n"), "!Protocol error: invalid bulk length", false},
    {TEXT("*1\r\n$524289\r\n"), "!Protocol error: invalid bulk length", false},
    {TEXT("*1\r\nPING\r\n"), "!Protocol error: expected '$', got 'P'", false},
    {TEXT("*1\r\n:1\r\n"), "!Protocol error: expected '$', got ':'", false},
    {TEXT("*1\r\n\r\n"), "!Protocol error: expected '$', got ' '", false},
    {TEXT("*10\r\n"), "...", true},
    {TEXT("*11\r\n"), "!Protocol error: unauthenticated multibulk length", true},
    {TEXT("*1\r\n$16384\r\n"), "...", true},
    {TEXT("*1\r\n$16385\r\n"), "!Protocol error: unauthenticated bulk length", true},
};

static void check(const char *bytes, size_t len, const char *expected, bool strict)
{
    struct outcome o = {0};
    struct prng p;

    prng_seed(&p, 7);
    feed(&o, bytes, len, len, &p, strict);
    assert_string_equal((char *)o.text.data, expected);
    feed(&o, bytes, len, 1, &p, strict);
    assert_string_equal((char *)o.text.data, expected);
    for (int i = 0; i < 20; i++) {
        feed(&o, bytes, len, 0, &p, strict);
        assert_string_equal((char *)o.text.data, expected);
    }
    buffer_free(&o.text);
}

static void whole_and_in_pieces(void **state)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        check(table[i].bytes, table[i].len, table[i].expected, table[i].strict);
    }
}

static char *repeated(const char *head, char c, size_t count, const char *tail, size_t *len)
{
    size_t head_len = strlen(head), tail_len = strlen(tail);
    char *text = malloc(head_len + count + tail_len + 1);

    memcpy(text, head, head_len);
    memset(text + head_len, c, count);
    memcpy(text + head_len + count, tail, tail_len + 1);
    *len = head_len + count + tail_len;
    return text;
}

static void expect_long(const char *head, char c, size_t count, const char *tail,
                        const char *expected)
{
    size_t len;
    char *text = repeated(head, c, count, tail, &len);
    struct outcome o = {0};

    feed(&o, text, len, 4096, NULL, false);
    if (expected) {
        assert_string_equal((char *)o.text.data, expected);
    } else {
        assert_int_equal(o.text.len, count + sizeof "[];");
    }
    buffer_free(&o.text);
    free(text);
}

static void bounds(void **state)
{
    expect_long("", 'a', 70000, "", "!Protocol error: too big inline request");
    expect_long("", 'a', 70000, "\r\n", "!Protocol error: too big inline request");
    expect_long("*", '1', 70000, "", "!Protocol error: too big mbulk count string");
    expect_long("*1\r\n$", '1', 70000, "", "!Protocol error: too big bulk count string");
    expect_long("*1\r\n$524288\r\n", 'x', 524288, "\r\n", NULL);
    expect_long("", 'a', 60000, "\r\n", NULL);
}

/* Many arguments, each within bounds, together beyond: refused before they are all there. */
static void too_big_in_sum(void **state)
{
    struct buffer text = {0};
    struct outcome o = {0};

    buffer_append(&text, TEXT("*3\r\n"));
    for (int i = 0; i < 3; i++) {
        buffer_append(&text, TEXT("$400000\r\n"));
        memset(buffer_reserve(&text, 400000), 'x', 400000);
        text.len += 400000;
        buffer_append(&text, TEXT("\r\n"));
    }
    feed(&o, (char *)text.data, text.len, 65536, NULL, false);
    assert_string_equal((char *)o.text.data, "!Protocol error: too big request");
    buffer_free(&text);
    buffer_free(&o.text);
}

/* A request that trickles in costs time in proportion to its bytes. */
static void trickle_is_linear(void **state)
{
    struct resp_parser parser;
    size_t len;
    char *text = repeated("*1\r\n$500000\r\n", 'y', 500000, "\r\n", &len);

    resp_init(&parser);
    for (size_t i = 1; i < len; i++) {
        assert_int_equal(resp_parse(&parser, (uint8_t *)text, i), RESP_MORE);
    }
    assert_int_equal(resp_parse(&parser, (uint8_t *)text, len), RESP_REQUEST);
    assert_int_equal(parser.count, 1);
    assert_int_equal(parser.args[0].len, 500000);
    resp_free(&parser);
    free(text);
}

static void garbage(void **state)
{
    static const char alphabet[] = "*$:-+0123456789\r\n\r\n\"'\\ xab";
    struct prng p;
    struct outcome whole = {0}, pieces = {0};
    char text[300];

    prng_seed(&p, 42);
    for (int round = 0; round < 20000; round++) {
        size_t len = 1 + prng_below(&p, sizeof text - 1);
        bool any = prng_below(&p, 4) == 0;
        for (size_t i = 0; i < len; i++) {
            text[i] = any ? (char)prng_next(&p) : alphabet[prng_below(&p, sizeof alphabet - 1)];
        }
        feed(&whole, text, len, len, &p, false);
        feed(&pieces, text, len, 0, &p, false);
        assert_int_equal(whole.text.len, pieces.text.len);
        assert_memory_equal(whole.text.data, pieces.text.data, whole.text.len);
    }
    buffer_free(&whole.text);
    buffer_free(&pieces.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_and_in_pieces),
        cmocka_unit_test(bounds),
        cmocka_unit_test(too_big_in_sum),
        cmocka_unit_test(trickle_is_linear),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
