/* What a failure to set io_uring up means. Private to src/io.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>

/* Writes a sentence for the operator: what is refused, by what, and what to change. error: the
 * errno value of the set-up; EOPNOTSUPP stands for a kernel that is too old. */
void uring_explain(int error, char *text, size_t text_len);
