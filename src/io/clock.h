/* The two clocks (design.md §1.7). Only the hosts (run/, main) read them, once a turn; the rules
 * are handed the time.
 *
 * Thread: any.
 */
#pragma once

#include "rules/types.h"

/* Milliseconds of CLOCK_BOOTTIME, which goes on while the machine is suspended. Never 0 or less. */
ms_t clock_now(void);

/* Milliseconds since 1970, which may step: for log lines and texts only. */
int64_t clock_wall_ms(void);
