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
/* Holds the request and runs its step again once a name lookup has ended, or a second has passed.
 * Takes it. */
void mainloop_park(struct mainloop *m, struct request *request);
/* Tunables as they stand; change a copy and install it: every thread gets it. */
const struct tunables *mainloop_tunables(const struct mainloop *m);
void mainloop_set_tunables(struct mainloop *m, const struct tunables *t);
/* Orderly stop (SHUTDOWN, TERM, INT): saves first. */
void mainloop_stop(struct mainloop *m, int exit_code);
/* The queue of scripts, for PENDING-SCRIPTS. */
const struct scripts *mainloop_scripts(const struct mainloop *m);

/* --- users (src/acl) ----------------------------------------------------------------------------
 */
struct acl_users;
struct acl_log;
/* As they stand; borrowed until they are set again. */
struct acl_users *mainloop_users(const struct mainloop *m);
/* Replaces them: takes the reference. The next rewrite of sentinel.conf holds them, unless there is
 * an aclfile. */
void mainloop_set_users(struct mainloop *m, struct acl_users *users);
/* Whether there is an aclfile: what ACL LOAD and SAVE are about. */
bool mainloop_has_aclfile(const struct mainloop *m);
/* What the aclfile says now: a new set, not yet installed; NULL with everything that is wrong with
 * the file in *errors (malloc'd). */
struct acl_users *mainloop_read_aclfile(struct mainloop *m, char **errors);
/* Writes the users to it. False: logged. */
bool mainloop_write_aclfile(struct mainloop *m);
struct acl_log *mainloop_acl_log(struct mainloop *m);
