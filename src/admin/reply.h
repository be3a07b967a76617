/* Replies in RESP2 and RESP3. A writer appends to a buffer; what differs between the two is
 * decided here.
 *
 * Thread: its owner's.
 */
#pragma once

#include "io/buffer.h"
#include "rules/types.h"

struct reply {
    struct buffer *out; /* borrowed */
    int proto;          /* 2 or 3 */
};

void reply_simple(struct reply *r, const char *text);
/* The error's code first: "ERR …". Line breaks in it become blanks. */
void reply_error(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(struct reply *r, int64_t value);
void reply_double(struct reply *r, double value); /* a bulk string in RESP2 */
void reply_bulk(struct reply *r, const void *text, size_t len);
void reply_text(struct reply *r, const char *text); /* a bulk string */
void reply_number(struct reply *r, int64_t value);  /* a bulk string of digits */
void reply_verbatim(struct reply *r, const void *text, size_t len);
void reply_null(struct reply *r);
void reply_null_array(struct reply *r);
/* Headers: the elements follow. A map's count is of pairs; it is a flat array in RESP2. A push is
 * an array in RESP2. */
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs);
void reply_set(struct reply *r, size_t count);
void reply_push(struct reply *r, size_t count);
