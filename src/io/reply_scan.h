/* Finds where a RESP2 reply ends, within bounds, before anything is allocated for it. Private to
 * src/io.
 *
 * hiredis 0.14.1 allocates as many elements as an array announces and knows no bound for it; so
 * replies from the network pass here first, and only whole, bounded ones reach its reader.
 *
 * Thread: any; pure.
 */
#pragma once

#include "rules/limits.h"

#include <stddef.h>
#include <stdint.h>

/* Where the scan of one reply stands. Zeroed: at its start. */
struct reply_scan {
    size_t at;                        /* bytes of the reply that are understood */
    uint32_t elements;                /* announced by all its arrays */
    uint32_t depth;                   /* open arrays */
    uint32_t left[LIMIT_REPLY_DEPTH]; /* elements each of them still lacks */
};

enum reply_scan_result {
    REPLY_MORE,  /* bytes are lacking */
    REPLY_WHOLE, /* the reply ends at scan->at */
    REPLY_BAD,   /* not RESP2, or a bound of limits.h is broken */
};

/* bytes[0..len) is what there is of the reply from its start on; a later call has the same bytes
 * and more. After REPLY_WHOLE start the next reply with a zeroed scan. Takes time for what is new
 * only, but for a line or string that is still incomplete. */
enum reply_scan_result reply_scan(struct reply_scan *scan, const uint8_t *bytes, size_t len);
