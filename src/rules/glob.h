/* Patterns as PSUBSCRIBE, SENTINEL RESET and CONFIG GET take them: `*`, `?`, `[a-z]`, `[^a]`, `\`.
 *
 * Thread: any; works on what it is given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the whole text matches. Bytes, not characters; nocase folds ASCII letters. At most
 * pattern_len * text_len steps and no recursion, whatever the pattern. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len,
                bool nocase);
