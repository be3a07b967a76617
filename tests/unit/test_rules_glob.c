/* Patterns, as Redis matches them, and at a bounded cost. */
#include "rules/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const struct {
    const char *pattern, *text;
    bool nocase, matches;
} table[] = {
    {"*", "", false, true},
    {"*", "+sdown", false, true},
    {"", "", false, true},
    {"", "a", false, false},
    {"a", "", false, false},
    {"+*down", "+sdown", false, true},
    {"+*down", "+sdowns", false, false},
    {"+?down", "+odown", false, true},
    {"+?down", "+down", false, false},
    {"*a*b*c*", "xxaxxbxxc", false, true},
    {"*a*b*c*", "xxaxxcxxb", false, false},
    {"a**b", "ab", false, true},
    {"+[so]down", "+odown", false, true},
    {"+[so]down", "+xdown", false, false},
    {"+[^so]down", "+xdown", false, true},
    {"+[^so]down", "+sdown", false, false},
    {"[a-c]x", "bx", false, true},
    {"[c-a]x", "bx", false, true},
    {"[a-c]x", "dx", false, false},
    {"[a\\-c]x", "-x", false, true},
    {"[a\\]]x", "]x", false, true},
    {"[abc", "b", false, true},
    {"[abc", "d", false, false},
    {"\\*", "*", false, true},
    {"\\*", "a", false, false},
    {"a\\", "a\\", false, true},
    {"ANNOUNCE*", "announce-ip", true, true},
    {"ANNOUNCE*", "announce-ip", false, false},
    {"[A-C]", "b", true, true},
    {"announce*", "ANNOUNCE-IP", true, true},
};

static void matches(void **state)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool result = glob_match(table[i].pattern, strlen(table[i].pattern), table[i].text,
                                 strlen(table[i].text), table[i].nocase);
        if (result != table[i].matches) {
            fail_msg("'%s' on '%s'", table[i].pattern, table[i].text);
        }
    }
}

/* A pattern made to explode where every star is tried with every other. */
static void hostile_pattern_is_cheap(void **state)
{
    char pattern[1024], text[1024];
    struct timespec before, after;

    for (size_t i = 0; i + 1 < sizeof pattern; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[sizeof pattern - 1] = 'b';
    memset(text, 'a', sizeof text);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 10; i++) {
        assert_false(glob_match(pattern, sizeof pattern, text, sizeof text, false));
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(hostile_pattern_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
