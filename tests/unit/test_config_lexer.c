/* Words, quotes, numbers and sizes of the configuration grammar.
 */
#include "config/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Splits and joins with '|'; "!" where it is refused. */
static void assert_words(const char *line, const char *want)
{
    struct words w;
    struct config_text got = {0};

    if (!words_split(&w, line, strlen(line))) {
        assert_string_equal("!", want);
        return;
    }
    config_text_add(&got, "");
    for (size_t i = 0; i < w.count; i++) {
        config_text_printf(&got, "%s%s", i > 0 ? "|" : "", w.item[i]);
    }
    assert_string_equal(got.data, want);
    free(got.data);
    words_free(&w);
}

static void words_are_split_as_redis_does(void **ctx)
{
    (void)ctx;
    assert_words("", "");
    assert_words("   \t ", "");
    assert_words("a", "a");
    assert_words("  a   b\tc  ", "a|b|c");
    assert_words("a \"b c\" d", "a|b c|d");
    assert_words("a 'b c' d", "a|b c|d");
    assert_words("a \"\" ''", "a||");
    assert_words("\"\\x41\\n\\t\\\\\\\"\"", "A\n\t\\\"");
    assert_words("\"\\q\\x4\\xzz\"", "qx4xzz");
    assert_words("'it\\'s' 'a\\n'", "it's|a\\n");
    assert_words("0234kz9*1#x", "0234kz9*1#x");
    assert_words("a\"b c\"", "ab c");
    assert_words("\"abc", "!");
    assert_words("'abc", "!");
    assert_words("\"abc\"d", "!");
    assert_words("'abc'd", "!");
    assert_words("\"abc\\\"", "!");
    assert_words("\"\\x00\"", "!");
}

static void zero_bytes_are_refused(void **ctx)
{
    (void)ctx;
    struct words w;
    assert_false(words_split(&w, "a\0b", 3));
}

static void quoting_is_undone_by_splitting(void **ctx)
{
    (void)ctx;
    struct prng prng;
    prng_seed(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        char text[20];
        size_t len = prng_below(&prng, sizeof(text));
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)(1 + prng_below(&prng, 255));
        }
        text[len] = '\0';
        struct config_text line = {0};
        struct words w;
        words_quote(&line, text);
        config_text_append(&line, " ", 1);
        words_quote_always(&line, text);
        assert_true(words_split(&w, line.data, line.len));
        assert_int_equal(w.count, 2);
        assert_string_equal(w.item[0], text);
        assert_string_equal(w.item[1], text);
        words_free(&w);
        free(line.data);
    }
}

static void numbers_and_sizes(void **ctx)
{
    (void)ctx;
    int64_t n;
    uint64_t bytes;
    bool yes;
    assert_true(words_number("-5", &n) && n == -5);
    assert_true(words_number("9223372036854775807", &n) && n == INT64_MAX);
    assert_false(words_number("9223372036854775808", &n));
    assert_false(words_number("5x", &n));
    assert_false(words_number("", &n));
    assert_false(words_number("-", &n));
    assert_true(words_memory("1k", &bytes) && bytes == 1000);
    assert_true(words_memory("1KB", &bytes) && bytes == 1024);
    assert_true(words_memory("2gb", &bytes) && bytes == UINT64_C(2) << 30);
    assert_true(words_memory("0", &bytes) && bytes == 0);
    assert_false(words_memory("1xb", &bytes));
    assert_false(words_memory("9999999999gb", &bytes));
    assert_false(words_memory("", &bytes));
    assert_true(words_yes_no("YES", &yes) && yes);
    assert_true(words_yes_no("no", &yes) && !yes);
    assert_false(words_yes_no("maybe", &yes));
    assert_true(words_epoch("4611686018427387904", &bytes));
    assert_false(words_epoch("4611686018427387905", &bytes));
}

static void known_words(void **ctx)
{
    (void)ctx;
    static const char *const known[] = {
        "save",      "appendonly",     "repl-diskless-sync-delay", "enable-debug-command",
        "replicaof", "slave-priority", "active-defrag-cycle-max",  "zset-max-ziplist-value"};
    bool quiet;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_true(known_directive(known[i], &quiet));
        assert_false(quiet);
    }
    assert_true(known_directive("latency-tracking-info-percentiles", &quiet) && quiet);
    assert_false(known_directive("foo", &quiet));
    assert_false(known_directive("", &quiet));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split_as_redis_does),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(quoting_is_undone_by_splitting),
        cmocka_unit_test(numbers_and_sizes),
        cmocka_unit_test(known_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
