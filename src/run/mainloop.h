/* What main's thread does for commands: the model of sentinel.conf and its rewriting. The
 * functions are called in request steps that run on main's thread (process_main()).
 *
 * Thread: main.
 */
#pragma once

#include "run/process.h"
#include "run/request.h"
#include "run/scripts.h"

#include <stdbool.h>

struct mainloop; /* `here` of a request step on main's thread */

struct process *mainloop_process(struct mainloop *m);
/* Holds the request until sentinel.conf has been rewritten with everything the journal held when
 * it arrived (several share one rewrite), sets *saved, and sends it on to thread `to`. Takes it. */
void mainloop_save_then(struct mainloop *m, struct request *request, bool *saved, unsigned to);
/* Tunables as they stand; change a copy and install it: every thread gets it. */
const struct tunables *mainloop_tunables(const struct mainloop *m);
void mainloop_set_tunables(struct mainloop *m, const struct tunables *t);
/* Orderly stop (SHUTDOWN, TERM, INT): saves first. */
void mainloop_stop(struct mainloop *m, int exit_code);
/* The queue of scripts, for PENDING-SCRIPTS. */
const struct scripts *mainloop_scripts(const struct mainloop *m);
