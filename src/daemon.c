#include "daemon.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the background --------------------------------------------------------------------------- */

bool daemonize(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        return false;
    }
    if (pid > 0) {
        _exit(0);
    }
    (void)setsid();
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO) {
            close(null);
        }
    }
    return true;
}

const char *pidfile_path(const struct config_server *server, bool background)
{
    if (server->pidfile != NULL) {
        return server->pidfile[0] != '\0' ? server->pidfile : NULL;
    }
    return background ? "/var/run/redis.pid" : NULL;
}

bool pidfile_write(const char *path)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return false;
    }
    bool ok = fprintf(file, "%d\n", (int)getpid()) > 0;
    return fclose(file) == 0 && ok;
}

void backlog_check(unsigned backlog)
{
    unsigned most = 0;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    if (file == NULL) {
        return;
    }
    if (fscanf(file, "%u", &most) == 1 && most > 0 && most < backlog) {
        log_printf(EVENT_WARNING,
                   "WARNING: The TCP backlog setting of %u cannot be enforced because "
                   "/proc/sys/net/core/somaxconn is set to the lower value of %u.",
                   backlog, most);
    }
    (void)fclose(file);
}

/* --- supervisors ------------------------------------------------------------------------------ */

static const char *notify_socket; /* systemd's; NULL: it is not there */

static bool under_upstart(bool asked)
{
    if (getenv("UPSTART_JOB") == NULL) {
        if (asked) {
            log_printf(EVENT_WARNING, "upstart supervision requested, but UPSTART_JOB not found!");
        }
        return false;
    }
    log_printf(EVENT_NOTICE, "supervised by upstart, will stop to signal readiness");
    (void)raise(SIGSTOP);
    (void)unsetenv("UPSTART_JOB");
    return true;
}

static bool under_systemd(bool asked)
{
    notify_socket = getenv("NOTIFY_SOCKET");
    if (notify_socket != NULL && notify_socket[0] != '\0') {
        log_printf(EVENT_NOTICE, "Supervised by systemd. Please make sure you set appropriate "
                                 "values for TimeoutStartSec and TimeoutStopSec in your service "
                                 "unit.");
        return true;
    }
    notify_socket = NULL;
    if (asked) {
        log_printf(EVENT_WARNING, "systemd supervision error: NOTIFY_SOCKET not found!");
    }
    return false;
}

enum config_supervised supervisor_find(enum config_supervised wanted)
{
    switch (wanted) {
    case SUPERVISED_UPSTART:
        return under_upstart(true) ? SUPERVISED_UPSTART : SUPERVISED_NO;
    case SUPERVISED_SYSTEMD:
        return under_systemd(true) ? SUPERVISED_SYSTEMD : SUPERVISED_NO;
    case SUPERVISED_AUTO:
        if (under_upstart(false)) {
            return SUPERVISED_UPSTART;
        }
        return under_systemd(false) ? SUPERVISED_SYSTEMD : SUPERVISED_NO;
    case SUPERVISED_NO:
        break;
    }
    return SUPERVISED_NO;
}

void supervisor_tell(const char *lines)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = notify_socket != NULL ? strlen(notify_socket) : 0;

    if (len == 0) {
        return;
    }
    if (len >= sizeof to.sun_path || (notify_socket[0] != '/' && notify_socket[0] != '@')) {
        log_printf(EVENT_WARNING, "Cannot tell systemd: NOTIFY_SOCKET '%s' is no address I know",
                   notify_socket);
        return;
    }
    memcpy(to.sun_path, notify_socket, len);
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0'; /* an abstract one */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd < 0 ||
        sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0) {
        log_printf(EVENT_WARNING, "Cannot tell systemd at %s: %s", notify_socket, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}
