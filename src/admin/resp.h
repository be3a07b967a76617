/* Requests as clients send them: RESP arrays of bulk strings, and inline lines with quotes
 * (protocol.md §9). Incremental, linear in the bytes, bounded by limits.h.
 *
 * Thread: its owner's.
 */
#pragma once

#include "io/buffer.h"
#include "rules/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_arg { /* not NUL-terminated */
    const char *text;
    size_t len;
};

struct resp_piece { /* an argument as a place in the request */
    size_t offset, len;
};

enum resp_result {
    RESP_MORE,    /* the request is not complete */
    RESP_REQUEST, /* args, count, consumed are set; count is 0 for an empty line or array */
    RESP_BAD,     /* error is set; nothing after this can be made sense of */
};

struct resp_parser {
    int64_t missing; /* arguments of the array still to come; -1: not in an array */
    int64_t bulk;    /* length of the argument being read; -1: its length line is next */
    size_t position; /* bytes of the request understood */
    size_t scanned;  /* bytes of it searched for the end of a line */
    size_t declared; /* bytes that the lengths read so far promise */
    bool strict;     /* nobody is authenticated: small requests only */
    struct resp_piece *pieces;
    size_t piece_cap;
    struct buffer line; /* unquoted text of an inline request */

    struct resp_arg *args; /* of the complete request; valid until the next resp_parse */
    size_t arg_cap, count, consumed;
    char error[64]; /* "Protocol error: …" */
};

void resp_init(struct resp_parser *p);
void resp_free(struct resp_parser *p);

/* Looks at bytes[0..len), which begin where the request began: the same bytes again, plus what
 * came, after RESP_MORE; what follows `consumed` after RESP_REQUEST. The arguments point into
 * bytes, or into the parser for inline requests. */
enum resp_result resp_parse(struct resp_parser *p, const uint8_t *bytes, size_t len);
/* Gives back memory that a large request took. */
void resp_shrink(struct resp_parser *p);
