/* The operator's scripts: notification-script and client-reconfig-script (protocol.md §1, §8).
 *
 * Shards pack what is to be run into a script_job and mail it to main, which owns the queue: so
 * many run at once, the others wait in the order they came, a full queue drops the oldest that
 * waits. A script that exits with 1 or dies by a signal is tried again, each time after twice the
 * delay; any other end is its end. One that runs too long is killed.
 *
 * Children have /dev/null for input, our standard output and error, no other descriptor, default
 * signals, and the limits this process was started with. They are left alone when we stop.
 *
 * Thread: main, but for script_job_new() and script_job_free(): any.
 */
#pragma once

#include "rules/event.h"

#include <sys/resource.h>
#include <sys/types.h>

struct scripts;
struct script_job;

/* A run of argv[0] with these arguments; copied, count of them. At most LIMIT_SCRIPT_ARGS. */
struct script_job *script_job_new(const char *const argv[], size_t count);
void script_job_free(struct script_job *job);

/* What a child gets back of what we raise for ourselves. */
struct script_limits {
    struct rlimit nofile, memlock;
};
/* To be called before anything raises them. */
void script_limits_take(struct script_limits *limits);

struct scripts_options {
    struct script_limits limits;
    /* -script-error, -script-timeout, +script-child, -script-child: text is borrowed. */
    void (*event)(void *ctx, enum event_type type, const char *text);
    void *ctx;
};

struct scripts *scripts_new(const struct scripts_options *options);
/* Forgets what waits; what runs goes on without us. */
void scripts_free(struct scripts *s);

/* script-max-runtime and script-retry-delay, in ms: of the runs and failures from now on, and the
 * runtime of those that run. Until then the defaults of periods_default(). */
void scripts_periods(struct scripts *s, const struct periods *periods);
/* Takes job and starts it at once when there is room. */
void scripts_add(struct scripts *s, struct script_job *job, ms_t now);
/* Sees who has ended, kills who is too late, starts whose time has come. Call it after SIGCHLD and
 * at scripts_next_deadline(). */
void scripts_turn(struct scripts *s, ms_t now);
/* MS_NEVER: nothing but SIGCHLD will change anything. */
ms_t scripts_next_deadline(const struct scripts *s);

struct scripts_counts {
    unsigned running, queued; /* queued: those that run are in the queue, as stock counts */
    uint64_t dropped;         /* by a full queue */
};
void scripts_counts(const struct scripts *s, struct scripts_counts *out);

/* SENTINEL PENDING-SCRIPTS: job number `at` of the queue, oldest first; false behind the last. */
struct script_view {
    const char *const *argv; /* borrowed until the next call that changes the queue */
    size_t argc;
    bool running;
    pid_t pid;        /* 0: waits */
    ms_t time;        /* has run so long, or waits so long still */
    unsigned retries; /* runs so far, this one included */
};
bool scripts_view(const struct scripts *s, size_t at, ms_t now, struct script_view *out);
