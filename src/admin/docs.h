/* COMMAND DOCS: what a command is for and how it is written, for the help and completion of
 * redis-cli and its like.
 *
 * Thread: the table is constant.
 */
#pragma once

#include "admin/command.h"

/* The map of one command: "summary", "since", "group" and what else is known of it. The number of
 * its subcommands' documents comes as a last field, whose map the caller writes, if there are
 * any. */
void docs_put(struct reply *r, const struct command *c, size_t subcommands);
