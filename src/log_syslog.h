/* syslog that never waits: syslog(3) stops its caller for as long as the daemon does not read, and
 * main's thread has more to do than to log.
 *
 * Thread: main.
 */
#pragma once

#include <stdint.h>

/* ident is borrowed for the life of the process. facility: LOG_USER, LOG_LOCAL0 … */
void syslog_begin(const char *ident, int facility);
/* severity: LOG_DEBUG … LOG_WARNING. What the daemon does not take at once is dropped and counted;
 * while there is none, nothing happens. */
void syslog_line(int severity, int64_t wall_ms, const char *text);
/* Lines dropped since the last call, once the daemon takes lines again; else 0. */
uint64_t syslog_lost(void);
