#include "admin/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NUMBER 24 /* bytes of a sign, 20 digits, and a type or line end */

/* Writes value's digits, returns their number. */
static size_t digits(char *out, int64_t value)
{
    char reverse[NUMBER];
    size_t count = 0, len = 0;
    uint64_t rest = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;

    do {
        reverse[count++] = (char)('0' + rest % 10);
    } while (rest /= 10);
    if (value < 0) {
        out[len++] = '-';
    }
    while (count) {
        out[len++] = reverse[--count];
    }
    return len;
}

static void header(struct reply *r, char type, int64_t value)
{
    char *out = (char *)buffer_reserve(r->out, NUMBER + 3);

    out[0] = type;
    size_t len = 2;
    if (value >= 0 && value <= 9) { /* most */
        out[1] = (char)('0' + value);
    } else {
        len = 1 + digits(out + 1, value);
    }
    out[len++] = '\r';
    out[len++] = '\n';
    r->out->len += len;
}

void reply_simple(struct reply *r, const char *text)
{
    size_t len = strlen(text);
    uint8_t *out = buffer_reserve(r->out, len + 3);

    out[0] = '+';
    memcpy(out + 1, text, len);
    memcpy(out + 1 + len, "\r\n", 2);
    r->out->len += len + 3;
}

void reply_error(struct reply *r, const char *format, ...)
{
    va_list args;

    buffer_append(r->out, "-", 1);
    size_t start = r->out->len;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = (char *)buffer_reserve(r->out, (size_t)len + 1);
    vsnprintf(out, (size_t)len + 1, format, again);
    va_end(again);
    r->out->len = start + (size_t)len;
    for (int i = 0; i < len; i++) {
        if (out[i] == '\r' || out[i] == '\n') {
            out[i] = ' ';
        }
    }
    buffer_append(r->out, "\r\n", 2);
}

void reply_integer(struct reply *r, int64_t value)
{
    header(r, ':', value);
}

void reply_double(struct reply *r, double value)
{
    char text[40];
    int len = snprintf(text, sizeof text, "%.17g", value);

    if (r->proto == 3) {
        buffer_printf(r->out, ",%s\r\n", text);
    } else {
        reply_bulk(r, text, (size_t)len);
    }
}

void reply_bulk(struct reply *r, const void *text, size_t len)
{
    header(r, '$', (int64_t)len);
    uint8_t *out = buffer_reserve(r->out, len + 2);
    if (len) {
        memcpy(out, text, len);
    }
    memcpy(out + len, "\r\n", 2);
    r->out->len += len + 2;
}

void reply_text(struct reply *r, const char *text)
{
    reply_bulk(r, text, strlen(text));
}

void reply_number(struct reply *r, int64_t value)
{
    char text[NUMBER];

    reply_bulk(r, text, digits(text, value));
}

void reply_verbatim(struct reply *r, const void *text, size_t len)
{
    if (r->proto < 3) {
        reply_bulk(r, text, len);
        return;
    }
    header(r, '=', (int64_t)len + 4);
    buffer_append(r->out, "txt:", 4);
    buffer_append(r->out, text, len);
    buffer_append(r->out, "\r\n", 2);
}

void reply_null(struct reply *r)
{
    if (r->proto < 3) {
        buffer_append(r->out, "$-1\r\n", 5);
    } else {
        buffer_append(r->out, "_\r\n", 3);
    }
}

void reply_null_array(struct reply *r)
{
    if (r->proto < 3) {
        buffer_append(r->out, "*-1\r\n", 5);
    } else {
        buffer_append(r->out, "_\r\n", 3);
    }
}

void reply_array(struct reply *r, size_t count)
{
    header(r, '*', (int64_t)count);
}

void reply_map(struct reply *r, size_t pairs)
{
    if (r->proto < 3) {
        header(r, '*', (int64_t)pairs * 2);
    } else {
        header(r, '%', (int64_t)pairs);
    }
}

void reply_set(struct reply *r, size_t count)
{
    header(r, r->proto < 3 ? '*' : '~', (int64_t)count);
}

void reply_push(struct reply *r, size_t count)
{
    header(r, r->proto < 3 ? '*' : '>', (int64_t)count);
}
