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
