/* How the process stands among others: in the background, with a pid file, under a supervisor
 * (protocol.md §10).
 *
 * Thread: main, before the others start and after they have ended; supervisor_tell at any time.
 */
#pragma once

#include "config/config.h"

#include <stdbool.h>

/* Goes on in a child with a session of its own and no terminal; the parent exits with 0. False with
 * errno: it stayed as it was. */
bool daemonize(void);

/* Where the pid goes: what `pidfile` says, or stock's default in the background; NULL: nowhere. */
const char *pidfile_path(const struct config_server *server, bool background);
/* Writes it. False with errno. */
bool pidfile_write(const char *path);

/* Warns where the kernel does not grant tcp-backlog. */
void backlog_check(unsigned backlog);

/* Finds out who supervises us, when `supervised` asks for it: by NOTIFY_SOCKET (systemd) or
 * UPSTART_JOB. Upstart is told at once, as it wants it: by stopping until it continues us. Logs
 * what is asked for and not there. Returns SUPERVISED_NO, _SYSTEMD or _UPSTART. */
enum config_supervised supervisor_find(enum config_supervised wanted);
/* Tells systemd (sd_notify(3)), lines such as "READY=1"; nothing is done under another one. */
void supervisor_tell(const char *lines);
