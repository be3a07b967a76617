/* File descriptors: what the links get, and what the clients.
 *
 * Thread: main, before the others start.
 */
#pragma once

#include "config/config.h"
#include "run/process.h"

/* Links and clients each have a budget of their own, so that running out of one never starves the
 * other: clients get what they may have at most, but never what the links need or are about to.
 * On io_uring links take direct descriptors first, which RLIMIT_NOFILE bounds for each shard
 * (ring_options.direct); only those beyond, and on epoll all, take normal ones, which it bounds for
 * the process. Raises the soft limit to the hard one; lowers maxclients, with a log line;
 * sets links_direct and links_normal. False: too few for the links alone, with a sentence. */
bool descriptors_take(struct process *p, const struct config *config, char *error,
                      size_t error_len);
