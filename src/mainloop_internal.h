/* Main's thread between start and stop: mail, signals, the model of sentinel.conf and its
 * rewriting.
 *
 * Thread: main.
 */
#pragma once

#include "acl/log.h"
#include "certificates.h"
#include "config/config.h"
#include "io/journal.h"
#include "run/mainloop.h"

#include <signal.h>

struct request_list {
    struct saver {
        struct request *request;
        bool *saved;
        unsigned to;
    } * savers;
    size_t count, cap;
};

struct mainloop {
    struct process *process;
    struct config *config;
    struct journal *journal; /* the elector's while the threads run */
    struct tunables tunables;
    struct acl_log *acl_log;
    struct certificates certificates;
    int signals;         /* signalfd */
    const char *pidfile; /* removed at the end; NULL: none */
    bool stopping;
    int exit_code;
    bool dirty; /* the model holds what sentinel.conf does not */
    ms_t next_save;
    unsigned failures; /* saves in a row that failed */
    ms_t next_second;
    enum { FOLD_IDLE, FOLD_ROTATING, FOLD_NOTING, FOLD_RESTARTING } fold_state;
    bool recover; /* the elector waits for a snapshot */
    struct journal_fold fold;
    struct config_text text;     /* of the fold under way */
    struct request_list waiting; /* for the next save */
    struct request_list serving; /* the save under way */
    struct request_list parked;  /* for a name to be resolved */
    struct script_limits limits; /* as this process was started with */
    struct scripts *scripts;     /* owned while the loop runs */
};

/* Finds out what announce-ip is: an address, or a name where resolve-hostnames allows it, which is
 * announced as it is, for the others to look up. */
void tunables_resolve(struct tunables *t);

/* Runs until it is stopped. Returns the exit code; the threads have ended and everything that could
 * be saved is. */
int mainloop_run(struct mainloop *m);
