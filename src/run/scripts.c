#include "run/scripts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_AGAIN        1  /* the script's wish to be run again */
#define EXIT_NO_EXEC      2  /* as stock: it could not be executed */
#define SIGNAL_NO_PROCESS 99 /* as stock: there is no process for it */
#define CHILD_STACK       (64 * 1024)

struct script_job {
    unsigned tries; /* runs begun */
    pid_t pid;      /* 0: does not run */
    bool killed;
    ms_t time; /* began then; or not to begin before */
    size_t argc;
    char *argv[LIMIT_SCRIPT_ARGS + 1]; /* NULL-terminated; in the same block of memory */
};

struct scripts {
    struct scripts_options options;
    ms_t max_runtime, retry_delay;
    struct script_job *queue[LIMIT_SCRIPTS + 1]; /* owned; oldest first; one more while it is put */
    size_t count;
    unsigned running;
    uint64_t dropped;
    alignas(16) char stack[CHILD_STACK]; /* of a child until it executes its script */
};

struct script_job *script_job_new(const char *const argv[], size_t count)
{
    size_t size = sizeof(struct script_job);

    assert(count > 0 && count <= LIMIT_SCRIPT_ARGS);
    for (size_t i = 0; i < count; i++) {
        size += strlen(argv[i]) + 1;
    }
    struct script_job *job = calloc(1, size);
    if (job == NULL) {
        abort();
    }
    char *text = (char *)(job + 1);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(argv[i]) + 1;
        job->argv[i] = memcpy(text, argv[i], len);
        text += len;
    }
    job->argc = count;
    return job;
}

void script_job_free(struct script_job *job)
{
    free(job);
}

void script_limits_take(struct script_limits *limits)
{
    (void)getrlimit(RLIMIT_NOFILE, &limits->nofile);
    (void)getrlimit(RLIMIT_MEMLOCK, &limits->memlock);
}

struct scripts *scripts_new(const struct scripts_options *options)
{
    struct periods usual;
    struct scripts *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    s->options = *options;
    periods_default(&usual);
    scripts_periods(s, &usual);
    return s;
}

void scripts_free(struct scripts *s)
{
    for (size_t i = 0; i < s->count; i++) {
        script_job_free(s->queue[i]);
    }
    free(s);
}

void scripts_periods(struct scripts *s, const struct periods *periods)
{
    s->max_runtime = periods->script_max_runtime;
    s->retry_delay = periods->script_retry_delay;
}

static void tell(struct scripts *s, enum event_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(struct scripts *s, enum event_type type, const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->options.event(s->options.ctx, type, text);
}

/* --- the child ----------------------------------------------------------------------------- */

struct launch {
    char *const *argv;
    const struct script_limits *limits;
};

/* Runs in our memory while our thread waits (as vfork's child does): nothing here may allocate,
 * lock or change what is ours. Handlers, mask, limits and descriptors are its own. */
__attribute__((no_sanitize("address", "undefined", "thread"))) static int child(void *arg)
{
    const struct launch *launch = arg;
    struct sigaction plain;
    sigset_t none;

    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    for (int number = 1; number < _NSIG; number++) {
        (void)sigaction(number, &plain, NULL); /* those that cannot be changed stay as they are */
    }
    (void)setrlimit(RLIMIT_NOFILE, &launch->limits->nofile);
    (void)setrlimit(RLIMIT_MEMLOCK, &launch->limits->memlock);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null > STDIN_FILENO) {
        (void)dup2(null, STDIN_FILENO);
    } else if (null == STDIN_FILENO) {
        (void)fcntl(null, F_SETFD, 0);
    }
    /* Ours all close on exec. This is for what we were born with and never knew of. */
    (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(launch->argv[0], launch->argv, environ);
    _exit(EXIT_NO_EXEC);
}

/* posix_spawn() with limits: a fork would copy the page tables of all that we watch, and let every
 * shard pay for its next write to each page. Returns the pid, or -1 with errno. */
static pid_t launch(struct scripts *s, const struct script_job *job)
{
    struct launch how = {.argv = job->argv, .limits = &s->options.limits};
    sigset_t all, before;

    sigfillset(&all); /* no handler may run in a child that shares our memory */
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = clone(child, s->stack + sizeof s->stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &how);
    int cause = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = cause;
    return pid;
}

/* --- the queue ------------------------------------------------------------------------------- */

static void drop(struct scripts *s, size_t at)
{
    script_job_free(s->queue[at]);
    s->count--;
    memmove(&s->queue[at], &s->queue[at + 1], (s->count - at) * sizeof s->queue[0]);
}

/* After run number n the next one waits retry_delay x 2^(n-1). */
static ms_t retry_delay(const struct scripts *s, unsigned tries)
{
    assert(tries > 0 && tries <= LIMIT_SCRIPT_TRIES);
    return s->retry_delay * (1 << (tries - 1)); /* periods are 32 bits wide */
}

/* Job number `at` has ended, or could not begin. Returns whether it is gone from the queue. */
static bool ended(struct scripts *s, size_t at, int code, int signal, ms_t now)
{
    struct script_job *job = s->queue[at];

    if ((signal != 0 || code == EXIT_AGAIN) && job->tries < LIMIT_SCRIPT_TRIES) {
        job->pid = 0;
        job->killed = false;
        job->time = now + retry_delay(s, job->tries);
        return false;
    }
    if (signal != 0 || code != 0) {
        tell(s, EVENT_SCRIPT_ERROR, "%s %d %d", job->argv[0], signal, code);
    }
    drop(s, at);
    return true;
}

/* Returns whether the job is gone from the queue. */
static bool begin(struct scripts *s, size_t at, ms_t now)
{
    struct script_job *job = s->queue[at];

    job->tries++;
    job->pid = launch(s, job);
    if (job->pid < 0) {
        job->pid = 0;
        if (job->tries < LIMIT_SCRIPT_TRIES) { /* else ended() says it */
            tell(s, EVENT_SCRIPT_ERROR, "%s %d %d", job->argv[0], SIGNAL_NO_PROCESS, 0);
        }
        return ended(s, at, 0, SIGNAL_NO_PROCESS, now);
    }
    job->time = now;
    s->running++;
    tell(s, EVENT_SCRIPT_CHILD, "%ld", (long)job->pid);
    return false;
}

static void begin_due(struct scripts *s, ms_t now)
{
    for (size_t i = 0; i < s->count && s->running < LIMIT_SCRIPTS_RUNNING;) {
        bool due = s->queue[i]->pid == 0 && s->queue[i]->time <= now;
        if (!due || !begin(s, i, now)) {
            i++;
        }
    }
}

/* Whether job number `at` has ended and is gone from the queue. */
static bool reap(struct scripts *s, size_t at, ms_t now)
{
    struct script_job *job = s->queue[at];
    int status = 0, code = 0, signal = 0;
    pid_t pid = waitpid(job->pid, &status, WNOHANG);

    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        return false;
    }
    if (pid < 0) {
        code = EXIT_NO_EXEC; /* somebody else has taken its end: nothing is known of it */
    } else if (WIFSIGNALED(status)) {
        signal = WTERMSIG(status);
    } else {
        code = WEXITSTATUS(status);
    }
    s->running--;
    tell(s, EVENT_SCRIPT_CHILD_END, "%ld %d %d", (long)job->pid, code, signal);
    return ended(s, at, code, signal, now);
}

static void kill_late(struct scripts *s, struct script_job *job, ms_t now)
{
    if (!job->killed && now - job->time > s->max_runtime) {
        job->killed = true;
        tell(s, EVENT_SCRIPT_TIMEOUT, "%s %ld", job->argv[0], (long)job->pid);
        (void)kill(job->pid, SIGKILL); /* not reaped yet, so nobody else has its number */
    }
}

void scripts_turn(struct scripts *s, ms_t now)
{
    for (size_t i = 0; s->running > 0 && i < s->count;) {
        if (s->queue[i]->pid == 0 || !reap(s, i, now)) {
            i++;
        }
    }
    for (size_t i = 0; s->running > 0 && i < s->count; i++) {
        if (s->queue[i]->pid != 0) {
            kill_late(s, s->queue[i], now);
        }
    }
    begin_due(s, now);
}

void scripts_add(struct scripts *s, struct script_job *job, ms_t now)
{
    assert(job->pid == 0 && job->tries == 0);
    job->time = now;
    s->queue[s->count++] = job;
    if (s->count > LIMIT_SCRIPTS) {
        size_t oldest = 0;
        while (s->queue[oldest]->pid != 0) {
            oldest++; /* ends at the new one at the latest */
        }
        drop(s, oldest);
        s->dropped++;
    }
    begin_due(s, now);
}

ms_t scripts_next_deadline(const struct scripts *s)
{
    ms_t deadline = MS_NEVER;

    for (size_t i = 0; i < s->count; i++) {
        const struct script_job *job = s->queue[i];
        ms_t at = MS_NEVER;
        if (job->pid == 0 && s->running < LIMIT_SCRIPTS_RUNNING) {
            at = job->time;
        } else if (job->pid != 0 && !job->killed) {
            at = job->time + s->max_runtime + 1;
        }
        deadline = at < deadline ? at : deadline;
    }
    return deadline;
}

void scripts_counts(const struct scripts *s, struct scripts_counts *out)
{
    *out = (struct scripts_counts){
        .running = s->running, .queued = (unsigned)s->count, .dropped = s->dropped};
}

bool scripts_view(const struct scripts *s, size_t at, ms_t now, struct script_view *out)
{
    if (at >= s->count) {
        return false;
    }
    const struct script_job *job = s->queue[at];
    ms_t past = now - job->time;
    bool running = job->pid != 0;
    *out = (struct script_view){.argv = (const char *const *)job->argv,
                                .argc = job->argc,
                                .running = running,
                                .pid = job->pid,
                                .time = running    ? past
                                        : past < 0 ? -past
                                                   : 0,
                                .retries = job->tries};
    return true;
}
