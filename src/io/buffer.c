#include "io/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_grow(struct buffer *b, size_t len)
{
    size_t cap = b->cap > 0 ? b->cap : 256;
    while (cap - b->len < len) {
        assert(cap <= SIZE_MAX / 2);
        cap *= 2;
    }
    uint8_t *data = realloc(b->data, cap);
    if (data == NULL) {
        abort();
    }
    b->data = data;
    b->cap = cap;
}

void buffer_append(struct buffer *b, const void *bytes, size_t len)
{
    if (len > 0) {
        memcpy(buffer_reserve(b, len), bytes, len);
        b->len += len;
    }
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    (void)vsnprintf((char *)buffer_reserve(b, (size_t)len + 1), (size_t)len + 1, format, again);
    va_end(again);
    b->len += (size_t)len;
}

void buffer_consume(struct buffer *b, size_t len)
{
    assert(len <= b->len);
    b->len -= len;
    if (b->len > 0) {
        memmove(b->data, b->data + len, b->len);
    }
}

void buffer_clear(struct buffer *b, size_t keep)
{
    b->len = 0;
    if (b->cap > keep) {
        buffer_free(b);
    }
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}
