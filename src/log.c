#include "log.h"

#include "io/clock.h"
#include "log_syslog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* One process, one log: the only state that is not somebody's struct. */
static struct {
    struct log_options options;
    int fd;
    enum event_level least;
    bool open;
} sink = {.fd = STDOUT_FILENO, .least = EVENT_NOTICE};

static int open_file(void)
{
    return open(sink.options.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

bool log_open(const struct log_options *options)
{
    sink.options = *options;
    sink.open = true;
    if (options->file != NULL && options->file[0] != '\0') {
        int fd = open_file();
        if (fd < 0) {
            return false;
        }
        sink.fd = fd;
    }
    if (options->syslog) {
        syslog_begin(options->syslog_ident, options->syslog_facility);
    }
    return true;
}

bool log_is_stdout(void)
{
    return sink.open && sink.fd == STDOUT_FILENO && sink.least <= EVENT_WARNING;
}

void log_level(enum event_level least)
{
    sink.least = least;
}

void log_reopen(bool force)
{
    struct stat at_path, open_now;
    if (sink.options.file == NULL || sink.options.file[0] == '\0') {
        return;
    }
    bool same = stat(sink.options.file, &at_path) == 0 && fstat(sink.fd, &open_now) == 0 &&
                at_path.st_ino == open_now.st_ino && at_path.st_dev == open_now.st_dev;
    if (same && !force) {
        return;
    }
    int fd = open_file();
    if (fd >= 0) { /* else the old one is still better than none */
        close(sink.fd);
        sink.fd = fd;
    }
}

static void write_all(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t n = write(sink.fd, line, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* a full disk must not stop a sentinel */
        }
        line += n;
        len -= (size_t)n;
    }
}

static void render_time(enum log_timestamp kind, int64_t wall_ms, char *out, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    int ms = (int)(wall_ms % 1000);
    struct tm tm;
    char date[32];

    if (kind == LOG_TIMESTAMP_MILLISECONDS) {
        (void)snprintf(out, size, "%lld", (long long)wall_ms);
        return;
    }
    localtime_r(&seconds, &tm);
    if (kind == LOG_TIMESTAMP_ISO8601) {
        int east = (int)(tm.tm_gmtoff / 60), minutes = abs(east);
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(out, size, "%s.%03d%c%02d:%02d", date, ms, east < 0 ? '-' : '+',
                       minutes / 60, minutes % 60);
    } else {
        (void)strftime(date, sizeof date, "%d %b %Y %H:%M:%S", &tm);
        (void)snprintf(out, size, "%s.%03d", date, ms);
    }
}

size_t log_render(const struct log_options *options, int pid, enum event_level level,
                  int64_t wall_ms, const char *text, char *out, size_t size)
{
    static const char *const levels[] = {"debug", "info", "notice", "warning"};
    bool logfmt = options->format == LOG_FORMAT_LOGFMT;
    const char *end = logfmt ? "\"\n" : "\n";
    char when[80];
    int len;

    render_time(options->timestamp, wall_ms, when, sizeof when);
    if (logfmt) {
        len = snprintf(out, size, "pid=%d role=sentinel timestamp=\"%s\" level=%s message=\"", pid,
                       when, levels[level]);
    } else {
        len = snprintf(out, size, "%d:X %s %c ", pid, when, event_level_mark(level));
    }
    size_t at = (size_t)len, room = size - strlen(end);
    assert(len > 0 && at < room);
    for (; *text != '\0' && at < room; text++) {
        char c = *text;
        if (logfmt && (unsigned char)c < ' ') {
            c = ' ';
        } else if (logfmt && (c == '"' || c == '\\')) {
            /* Valkey does so to quotes, so that the value ends where it ends; a backslash would
             * begin an escape for whoever reads the line. */
            c = c == '"' ? '\'' : '/';
        }
        out[at++] = c;
    }
    memcpy(out + at, end, strlen(end));
    return at + strlen(end);
}

void log_write(enum event_level level, int64_t wall_ms, const char *text)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING};
    char line[LIMIT_EVENT_TEXT + 128];

    if (level < sink.least || !sink.open) {
        return;
    }
    write_all(line,
              log_render(&sink.options, (int)getpid(), level, wall_ms, text, line, sizeof line));
    if (!sink.options.syslog) {
        return;
    }
    syslog_line(priorities[level], wall_ms, text);
    uint64_t lost = syslog_lost();
    if (lost > 0) {
        log_printf(EVENT_WARNING, "syslog was not ready: %llu lines were not given to it",
                   (unsigned long long)lost);
    }
}

/* Appends a number without what a signal handler must not call. */
static size_t put_number(char *at, uint64_t number)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++) {
        at[i] = digits[count - 1 - i];
    }
    return count;
}

void log_from_handler(const char *text)
{
    char line[256];
    static const char middle[] = ":signal-handler (";
    struct timespec now;
    size_t rest = strlen(text), len = put_number(line, (uint64_t)getpid());

    (void)clock_gettime(CLOCK_REALTIME, &now);
    memcpy(line + len, middle, sizeof middle - 1);
    len += sizeof middle - 1;
    len += put_number(line + len, (uint64_t)now.tv_sec);
    line[len++] = ')';
    line[len++] = ' ';
    rest = rest < sizeof line - len - 1 ? rest : sizeof line - len - 1;
    memcpy(line + len, text, rest);
    len += rest;
    line[len++] = '\n';
    struct pollfd room = {.fd = sink.fd, .events = POLLOUT};
    if (poll(&room, 1, 0) == 1) { /* whatever hangs, this does not */
        write_all(line, len);
    }
}

void log_printf(enum event_level level, const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_write(level, clock_wall_ms(), text);
}
