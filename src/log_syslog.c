#include "log_syslog.h"

#include "rules/limits.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* As the log itself: one a process. */
static struct {
    const char *ident;
    int facility, fd;
    bool stream; /* an old daemon's: the C library knows how to talk to it */
    bool stuck;  /* the last line was not taken */
    uint64_t lost;
} out = {.fd = -1};

static bool connect_daemon(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

    out.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (out.fd < 0) {
        return false;
    }
    if (connect(out.fd, (const struct sockaddr *)&at, sizeof at) == 0) {
        return true;
    }
    if (errno == EPROTOTYPE) {
        out.stream = true;
        openlog(out.ident, LOG_PID | LOG_NDELAY | LOG_NOWAIT, out.facility);
    }
    close(out.fd);
    out.fd = -1;
    return false;
}

void syslog_begin(const char *ident, int facility)
{
    out.ident = ident;
    out.facility = facility;
    (void)connect_daemon();
}

void syslog_line(int severity, int64_t wall_ms, const char *text)
{
    char line[LIMIT_EVENT_TEXT + 256], date[32];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (!out.stream && out.fd < 0 && !connect_daemon() && !out.stream) {
        return;
    }
    if (out.stream) {
        syslog(severity, "%s", text);
        return;
    }
    localtime_r(&seconds, &tm);
    (void)strftime(date, sizeof date, "%b %e %H:%M:%S", &tm);
    int len = snprintf(line, sizeof line, "<%d>%s %.128s[%d]: %s", out.facility | severity, date,
                       out.ident, (int)getpid(), text);
    size_t size = (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    for (int tries = 0; tries < 2; tries++) {
        if (send(out.fd, line, size, MSG_NOSIGNAL) >= 0) {
            out.stuck = false;
            return;
        }
        if (errno == EAGAIN || errno == ENOBUFS) {
            break;
        }
        close(out.fd); /* the daemon was started anew */
        if (!connect_daemon()) {
            break;
        }
    }
    out.stuck = true;
    out.lost++;
}

uint64_t syslog_lost(void)
{
    uint64_t lost = out.stuck ? 0 : out.lost;
    out.lost -= lost;
    return lost;
}
