/* A growing byte buffer, the common currency of streams, replies and lanes.
 *
 * Thread: its owner's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data; /* owned, malloc'd */
    size_t len, cap;
};

/* All of these abort when memory is out: a sentinel without memory cannot keep a promise. */
void buffer_append(struct buffer *b, const void *bytes, size_t len);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_grow(struct buffer *b, size_t len); /* of buffer_reserve: room for len more bytes */
/* Makes room for len more bytes and returns where they go; the caller adds what it wrote to len. */
static inline uint8_t *buffer_reserve(struct buffer *b, size_t len)
{
    if (b->cap - b->len < len) {
        buffer_grow(b, len);
    }
    return b->data + b->len;
}
/* Drops the first len bytes. */
void buffer_consume(struct buffer *b, size_t len);
/* Empties it; gives back its memory when it is larger than keep bytes. */
void buffer_clear(struct buffer *b, size_t keep);
void buffer_free(struct buffer *b);
