/* INFO's sections.
 *
 * Thread: any.
 */
#pragma once

#include "admin/resp.h"

/* The set of sections that the arguments name; unknown ones are ignored; none: the default. */
unsigned info_sections(const struct resp_arg *args, size_t count);
