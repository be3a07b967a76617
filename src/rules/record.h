/* Text form of the journal's records: lines in the grammar of sentinel.conf (design.md §5), which
 * the configuration parser replays. Pure.
 *
 *   sentinel current-epoch 42
 *   sentinel leader-epoch m1 42 <runid>          whom we voted for, a fourth word stock lacks
 *   sentinel config-epoch m1 42 10.0.0.1 6379    with the master's address: a switch when it
 * differs sentinel known-replica m1 10.0.0.2 6379 sentinel forget-replica m1 10.0.0.2 6379 journal
 * only sentinel known-sentinel m1 10.0.0.3 26379 <runid> sentinel forget-sentinel m1 <runid>
 * journal only sentinel reset m1                            journal only sentinel monitor
 * m1 10.0.0.1 6379 2 sentinel remove m1                           journal only
 *
 * An address that goes by a name is written with its ip, if it has one, and the line ends in
 * " @<name>"; without an ip the name stands in its place.
 *
 * Thread: any.
 */
#pragma once

#include "rules/message.h"

/* Writes the line for r, without a newline but NUL-terminated, and returns its length. name is the
 * master's name of r->gid (quoted where it must be); ignored for records without a group.
 * RECORD_TEXT is copied as it is. Returns 0 when it does not fit. */
size_t record_format(const struct record *r, const char *name, char out[LIMIT_LINE]);
