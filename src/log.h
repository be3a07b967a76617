/* The log: stock's line format (protocol.md §8), to stdout, a file, and syslog.
 *
 * Thread: main only; the others mail their lines (run/mail.h).
 */
#pragma once

#include "rules/event.h"

#include <stdbool.h>
#include <stdint.h>

struct log_options {
    const char *file; /* NULL or "": stdout. Borrowed for the life of the process */
    bool syslog;
    const char *syslog_ident;
    int syslog_facility;
};

/* Opens it. False with errno when the file cannot be written. */
bool log_open(const struct log_options *options);
/* Whether it is open and its lines go to stdout. */
bool log_is_stdout(void);
/* Lines below `least` are dropped. */
void log_level(enum event_level least);
/* Writes one line: "<pid>:X <local time> <mark> <text>". wall_ms: when it happened. */
void log_write(enum event_level level, int64_t wall_ms, const char *text);
/* The same, now, with printf. */
void log_printf(enum event_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One line from a signal handler. text: short. */
void log_from_handler(const char *text);
/* Opens the file anew when its path leads elsewhere than the open one (log rotation), or `force`d
 * by SIGHUP. Called about once a second. */
void log_reopen(bool force);
