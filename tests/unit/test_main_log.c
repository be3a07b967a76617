/* Lines of the log in all their formats: operators' scripts and log shippers parse them. */
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define WHEN 1556177538941 /* 2019-04-25 07:32:18.941 UTC */

static const char *line_of(enum log_format format, enum log_timestamp timestamp,
                           enum event_level level, const char *text)
{
    static char line[LIMIT_EVENT_TEXT + 128];
    const struct log_options options = {.format = format, .timestamp = timestamp};
    size_t len = log_render(&options, 42, level, WHEN, text, line, sizeof line - 1);
    line[len] = '\0';
    return line;
}

static void zone(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

static void formats(void **state)
{
    const enum log_format fmt = LOG_FORMAT_LOGFMT, old = LOG_FORMAT_LEGACY;
    zone("UTC");
    assert_string_equal(line_of(old, LOG_TIMESTAMP_LEGACY, EVENT_WARNING, "+odown x"),
                        "42:X 25 Apr 2019 07:32:18.941 # +odown x\n");
    assert_string_equal(line_of(old, LOG_TIMESTAMP_ISO8601, EVENT_NOTICE, "\"a\\b\""),
                        "42:X 2019-04-25T07:32:18.941+00:00 * \"a\\b\"\n");
    assert_string_equal(line_of(old, LOG_TIMESTAMP_MILLISECONDS, EVENT_VERBOSE, ""),
                        "42:X 1556177538941 - \n");
    assert_string_equal(line_of(fmt, LOG_TIMESTAMP_LEGACY, EVENT_WARNING, "+odown x"),
                        "pid=42 role=sentinel timestamp=\"25 Apr 2019 07:32:18.941\" level=warning "
                        "message=\"+odown x\"\n");
    assert_string_equal(line_of(fmt, LOG_TIMESTAMP_ISO8601, EVENT_NOTICE, "x"),
                        "pid=42 role=sentinel timestamp=\"2019-04-25T07:32:18.941+00:00\" "
                        "level=notice message=\"x\"\n");
    assert_string_equal(line_of(fmt, LOG_TIMESTAMP_MILLISECONDS, EVENT_VERBOSE, "x"),
                        "pid=42 role=sentinel timestamp=\"1556177538941\" level=info "
                        "message=\"x\"\n");
    assert_non_null(strstr(line_of(fmt, LOG_TIMESTAMP_LEGACY, EVENT_DEBUG, "x"), "level=debug "));
}

static void zones(void **state)
{
    zone("<+0530>-5:30");
    assert_non_null(strstr(line_of(LOG_FORMAT_LEGACY, LOG_TIMESTAMP_ISO8601, EVENT_NOTICE, "x"),
                           "2019-04-25T13:02:18.941+05:30 "));
    zone("NST3:30NDT,M3.2.0,M11.1.0"); /* summer */
    assert_non_null(strstr(line_of(LOG_FORMAT_LEGACY, LOG_TIMESTAMP_ISO8601, EVENT_NOTICE, "x"),
                           "2019-04-25T05:02:18.941-02:30 "));
    zone("UTC");
}

/* Whatever a client may put into an event, the value ends where it ends, and so does the line. */
static void hostile_text(void **state)
{
    assert_non_null(strstr(
        line_of(LOG_FORMAT_LOGFMT, LOG_TIMESTAMP_LEGACY, EVENT_NOTICE, "a\"b\\\" c=\"d\r\ne\tf\\"),
        " message=\"a'b/' c='d  e f/\"\n"));
}

static void too_long(void **state)
{
    static char text[2 * LIMIT_EVENT_TEXT];
    memset(text, 'x', sizeof text - 1);
    const char *line = line_of(LOG_FORMAT_LOGFMT, LOG_TIMESTAMP_LEGACY, EVENT_NOTICE, text);
    assert_int_equal(strlen(line), LIMIT_EVENT_TEXT + 127);
    assert_string_equal(line + strlen(line) - 3, "x\"\n");
    line = line_of(LOG_FORMAT_LEGACY, LOG_TIMESTAMP_LEGACY, EVENT_NOTICE, text);
    assert_int_equal(strlen(line), LIMIT_EVENT_TEXT + 127);
    assert_string_equal(line + strlen(line) - 2, "x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(zones),
        cmocka_unit_test(hostile_text),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
