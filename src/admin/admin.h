/* The RESP port (protocol.md §9): what main gives to run/ (shard.h, struct admin_ops).
 *
 * Each shard has an admin state of its own: its clients, their subscriptions, the votes they wait
 * for. Commands that need another thread travel as requests (request.h) and come home.
 *
 * Thread: its shard's.
 */
#pragma once

#include "run/shard.h"

extern const struct admin_ops admin_ops;

/* Tells src/acl what commands there are: before the configuration, which names them, is read.
 * Thread: main, before the others start; any number of times. */
void admin_prepare(void);

/* rename-command of the configuration file: clients call the command `to` instead of `from`; ""
 * disables it. False: there is no such command, or the name is taken or impossible. Copies the
 * names. Thread: main, before the others start. */
bool admin_rename(const char *from, const char *to);
