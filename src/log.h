/* The log: stock's line format (protocol.md §8), to stdout, a file, and syslog.
 *
 * Thread: main only; the others mail their lines (run/mail.h).
 */
#pragma once

#include "rules/event.h"

#include <stdbool.h>
#include <stdint.h>

/* Valkey's log-format and log-timestamp-format. */
enum log_format {
    LOG_FORMAT_LEGACY, /* <pid>:X <time> <mark> <text> */
    LOG_FORMAT_LOGFMT, /* pid=<pid> role=sentinel timestamp="<time>" level=<name> message="<text>"
                        */
};
enum log_timestamp {
    LOG_TIMESTAMP_LEGACY,       /* 25 Apr 2019 09:22:18.941, local time */
    LOG_TIMESTAMP_ISO8601,      /* 2019-04-25T09:22:18.941+02:00 */
    LOG_TIMESTAMP_MILLISECONDS, /* since 1970 */
};

struct log_options {
    const char *file; /* NULL or "": stdout. Borrowed for the life of the process */
    bool syslog;
    const char *syslog_ident;
    int syslog_facility;
    enum log_format format;
    enum log_timestamp timestamp;
};

/* Opens it. False with errno when the file cannot be written. */
bool log_open(const struct log_options *options);
/* Whether it is open and its warnings go to stdout. */
bool log_is_stdout(void);
/* Lines below `least` are dropped. */
void log_level(enum event_level least);
/* Writes one line. wall_ms: when it happened. */
void log_write(enum event_level level, int64_t wall_ms, const char *text);
/* The line as it is written, its end included. In logfmt, what would end or escape the value is
 * replaced ('"' by "'", as Valkey does; '\\' by '/'; control characters by blanks). What does not
 * fit is left out of text. size: 256 at least. Returns the length; out is not terminated. Thread:
 * any. */
size_t log_render(const struct log_options *options, int pid, enum event_level level,
                  int64_t wall_ms, const char *text, char *out, size_t size);
/* The same, now, with printf. */
void log_printf(enum event_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One line from a signal handler. text: short. */
void log_from_handler(const char *text);
/* Opens the file anew when its path leads elsewhere than the open one (log rotation), or `force`d
 * by SIGHUP. Called about once a second. */
void log_reopen(bool force);
