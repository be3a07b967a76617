#include "io/ring.h"
#include "io/ring_port.h"
#include "io/ring_uring.h"
#include "io/stream.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_PATIENCE    2000        /* ms for a byte to cross a socket pair */
#define RING_LEAST        (64 * 1024) /* bytes below which a ring is not worth having */
#define RING_ENTRIES_MOST 32768       /* the kernel's bound */

/* The number in a file of /proc after `key`; -1: not there. */
static long proc_number(const char *path, const char *key)
{
    long value = -1;
    char line[256];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtol(line + strlen(key), NULL, 10);
            break;
        }
    }
    fclose(file);
    return value;
}

static void explain_refusal(char *text, size_t text_len)
{
    long disabled = proc_number("/proc/sys/kernel/io_uring_disabled", "");
    if (disabled == 1 || disabled == 2) {
        snprintf(
            text, text_len,
            "io_uring is forbidden%s: the sysctl kernel.io_uring_disabled is %ld; set it to 0%s",
            disabled == 1 ? " to unprivileged processes" : "", disabled,
            disabled == 1 ? ", or run in the group named by kernel.io_uring_group" : "");
    } else {
        snprintf(
            text, text_len,
            "io_uring is forbidden (EPERM)%s: let the seccomp profile of the container or unit "
            "allow io_uring_setup, io_uring_enter and io_uring_register",
            proc_number("/proc/self/status", "Seccomp:") == 2
                ? " by a seccomp filter"
                : ", by a security module or a filter");
    }
}

static void explain_limit(const char *what, const struct rlimit *limit, const char *name,
                          const char *advice, char *text, size_t text_len)
{
    if (limit->rlim_cur == RLIM_INFINITY) {
        snprintf(text, text_len, "%s; %s is unlimited, so the machine or control group is out",
                 what, name);
    } else {
        snprintf(text, text_len, "%s: %s is %llu; %s", what, name,
                 (unsigned long long)limit->rlim_cur, advice);
    }
}

void uring_explain(int error, char *text, size_t text_len)
{
    struct utsname kernel = {0};
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    uname(&kernel);
    switch (error) {
    case ENOSYS:
        snprintf(text, text_len,
                 "no io_uring here (ENOSYS): this kernel (%s) was built without it or a seccomp "
                 "filter hides it; Linux 6.0 or later with io_uring_setup, io_uring_enter and "
                 "io_uring_register allowed is needed",
                 kernel.release);
        break;
    case EOPNOTSUPP:
        snprintf(text, text_len,
                 "io_uring of this kernel (%s) is too old: Linux 6.0 or later is needed, 6.1 or "
                 "later recommended",
                 kernel.release);
        break;
    case EPERM:
    case EACCES:
        explain_refusal(text, text_len);
        break;
    case EMFILE:
        getrlimit(RLIMIT_NOFILE, &limit);
        explain_limit("no file descriptor left for io_uring", &limit, "RLIMIT_NOFILE",
                      "raise it (ulimit -n, LimitNOFILE=)", text, text_len);
        break;
    case ENOMEM:
        getrlimit(RLIMIT_MEMLOCK, &limit);
        explain_limit("no memory for io_uring", &limit, "RLIMIT_MEMLOCK",
                      "raise it (ulimit -l, LimitMEMLOCK=) or the memory of the control group",
                      text, text_len);
        break;
    default:
        snprintf(text, text_len, "io_uring cannot be set up: %s", strerror(error));
    }
}

/* --- the probe: a byte through a socket pair ---------------------------------------------------
 */
struct probe {
    bool arrived, ended;
    int error;
};

static void probe_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct probe *probe = owner;
    probe->arrived = len == 1 && bytes[0] == '!';
}

static void probe_down(void *owner, int error)
{
    struct probe *probe = owner;
    probe->ended = true;
    probe->error = error;
}

static const struct stream_ops probe_ops = {.data = probe_data, .down = probe_down};

static bool probe_receive(struct ring *ring, char *reason, size_t reason_len)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        uring_explain(errno, reason, reason_len);
        return false;
    }
    struct probe probe = {0};
    struct stream *stream = stream_adopt(ring, pair[0], 0, &probe_ops, &probe);
    bool sent = write(pair[1], "!", 1) == 1;
    for (int i = 0; sent && i < 20 && !probe.arrived && !probe.ended; i++) {
        ring_wait(ring, PROBE_PATIENCE / 20);
    }
    close(pair[1]);
    if (!probe.ended) {
        stream_close(stream);
    }
    if (probe.arrived) {
        return true;
    }
    if (probe.ended && probe.error != 0) {
        /* EINVAL: receives that go on came with 6.0. */
        uring_explain(probe.error == EINVAL ? EOPNOTSUPP : probe.error, reason, reason_len);
    } else {
        snprintf(reason, reason_len, "io_uring did not deliver what was sent through it");
    }
    return false;
}

/* --- filters that kill -------------------------------------------------------------------------
 */
/* Calls that are refused for their arguments, if a filter lets them through. */
static void call_all(void)
{
    (void)syscall(SYS_io_uring_setup, 0, NULL);
    (void)syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0);
    (void)syscall(SYS_io_uring_register, -1, 0, NULL, 0);
}

/* A seccomp filter may kill for a system call (systemd's do) rather than refuse it: where there is
 * one, a child tries. */
static bool killed_for_it(void)
{
    int status = 0;
    if (proc_number("/proc/self/status", "Seccomp:") != 2) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        call_all();
        _exit(0);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

bool ring_probe(char *reason, size_t reason_len)
{
    if (killed_for_it()) {
        (void)snprintf(reason, reason_len,
                       "io_uring is forbidden by a seccomp filter that kills for it: let it (a "
                       "unit's SystemCallFilter=) allow io_uring_setup, io_uring_enter and "
                       "io_uring_register");
        return false;
    }
    struct ring_options options = {
        .submissions = 8, .completions = 16, .buffers = 2, .buffers_first = 2};
    struct ring *ring = uring_open(&options, reason, reason_len);
    if (ring == NULL) {
        return false;
    }
    bool works = probe_receive(ring, reason, reason_len);
    ring_close(ring);
    return works;
}

bool ring_fits(unsigned rings, char *reason, size_t reason_len)
{
    struct rlimit limit;
    struct io_uring_params params = {0};
    unsigned entries = 64;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_max >= (rlim_t)rings * RING_LEAST) {
        return true;
    }
    /* Asks for more than all of it at once: refused only where it counts, and nothing is left of
     * it that would have to be given back. */
    while (entries < RING_ENTRIES_MOST && entries * sizeof(struct io_uring_sqe) <= limit.rlim_max) {
        entries *= 2;
    }
    int fd = (int)syscall(SYS_io_uring_setup, entries, &params);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != ENOMEM) {
        return true; /* another trouble, for ring_probe to tell */
    }
    uring_explain(ENOMEM, reason, reason_len);
    return false;
}
