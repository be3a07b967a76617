#include "io/text_pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A packed text is a list of: */
#define COPY 0x00 /* + n - 1, n <= 128: the next n lines of the template */
#define CHANGED                                                                                    \
    0x80 /* + n, n < 64: behind the next n lines, the start of that line (a length byte)           \
            and what follows it instead (a length and bytes) */
#define LITERAL 0xc0 /* a length and bytes */

#define COPY_MOST  128
#define SKIP_MOST  24 /* lines of the template looked through for one with the same key */
#define START_MOST 255

void text_template_init(struct text_template *t, const char *text, size_t len)
{
    assert(len <= TEXT_PACK_MOST);
    uint32_t lines = 0;
    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n' || i + 1 == len;
    }
    t->text = malloc(len + 1);
    t->starts = malloc((lines + 1) * sizeof *t->starts);
    if (t->text == NULL || t->starts == NULL) {
        abort();
    }
    memcpy(t->text, text, len);
    t->lines = 0;
    t->starts[0] = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || i + 1 == len) {
            t->starts[++t->lines] = (uint32_t)i + 1;
        }
    }
    assert(t->lines == lines);
}

void text_template_free(struct text_template *t)
{
    free(t->text);
    free(t->starts);
    *t = (struct text_template){0};
}

static size_t line_length(const struct text_template *t, uint32_t line)
{
    return t->starts[line + 1] - t->starts[line];
}

static size_t common(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t most = a_len < b_len ? a_len : b_len, i = 0;
    for (uint64_t x, y; i + sizeof x <= most; i += sizeof x) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        if (x != y) {
            break;
        }
    }
    while (i < most && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* Lengths below 255 in one byte, others in five. */
static void put_bytes(struct buffer *out, const char *bytes, size_t len)
{
    uint8_t head[5] = {255};
    if (len < 255) {
        head[0] = (uint8_t)len;
        buffer_append(out, head, 1);
    } else {
        for (int i = 0; i < 4; i++) {
            head[1 + i] = (uint8_t)(len >> 8 * i);
        }
        buffer_append(out, head, 5);
    }
    buffer_append(out, bytes, len);
}

static void put_copies(struct buffer *out, uint32_t count)
{
    while (count > 0) {
        uint32_t some = count < COPY_MOST ? count : COPY_MOST;
        buffer_append(out, &(uint8_t){(uint8_t)(COPY + some - 1)}, 1);
        count -= some;
    }
}

/* The line of the template, at or soon after `from`, that has the same key; *same: how many bytes
 * they share. t->lines: none. */
static uint32_t find_line(const struct text_template *t, uint32_t from, const char *line,
                          size_t len, size_t *same)
{
    const char *colon = memchr(line, ':', len);
    size_t key = colon != NULL ? (size_t)(colon - line) + 1 : len;
    uint32_t end = t->lines - from < SKIP_MOST ? t->lines : from + SKIP_MOST;
    for (uint32_t at = from; at < end; at++) {
        *same = common(t->text + t->starts[at], line_length(t, at), line, len);
        if (*same >= key) {
            return at;
        }
    }
    return t->lines;
}

/* How many whole lines of the template, from `from` on, the text begins with; *len: their bytes.
 * Most of an INFO, and not looked at line by line. */
static uint32_t same_lines(const struct text_template *t, uint32_t from, const char *text,
                           size_t text_len, size_t *len)
{
    const uint32_t start = t->starts[from];
    size_t same = common(t->text + start, t->starts[t->lines] - start, text, text_len);
    uint32_t line = from;
    while (line < t->lines && t->starts[line + 1] - start <= same &&
           t->text[t->starts[line + 1] - 1] == '\n') {
        line++;
    }
    *len = t->starts[line] - start;
    return line - from;
}

void text_pack(const struct text_template *t, const char *text, size_t len, struct buffer *out)
{
    uint32_t cursor = 0, copies = 0;
    assert(len <= TEXT_PACK_MOST);
    for (size_t at = 0; at < len;) {
        size_t skipped;
        uint32_t lines = same_lines(t, cursor, text + at, len - at, &skipped);
        copies += lines;
        cursor += lines;
        at += skipped;
        if (at == len) {
            break;
        }
        const char *line = text + at;
        const char *newline = memchr(line, '\n', len - at);
        size_t line_len = newline != NULL ? (size_t)(newline - line) + 1 : len - at;
        size_t same = 0;
        uint32_t found = find_line(t, cursor, line, line_len, &same);
        at += line_len;
        if (found == cursor && found < t->lines && same == line_len &&
            line_length(t, found) == line_len) {
            copies++;
            cursor++;
            continue;
        }
        put_copies(out, copies);
        copies = 0;
        if (found == t->lines) {
            buffer_append(out, &(uint8_t){LITERAL}, 1);
            put_bytes(out, line, line_len);
            continue;
        }
        size_t start = same < START_MOST ? same : START_MOST;
        uint8_t head[2] = {(uint8_t)(CHANGED + (found - cursor)), (uint8_t)start};
        buffer_append(out, head, sizeof head);
        put_bytes(out, line + start, line_len - start);
        cursor = found + 1;
    }
    put_copies(out, copies);
}

/* Reads what put_bytes wrote, from *at on. */
static bool take_bytes(const uint8_t *packed, size_t len, size_t *at, struct buffer *out)
{
    if (*at >= len) {
        return false;
    }
    size_t count = packed[(*at)++];
    if (count == 255) {
        if (len - *at < 4) {
            return false;
        }
        count = 0;
        for (int i = 0; i < 4; i++) {
            count |= (size_t)packed[(*at)++] << 8 * i;
        }
    }
    if (count > len - *at) {
        return false;
    }
    buffer_append(out, packed + *at, count);
    *at += count;
    return true;
}

bool text_unpack(const struct text_template *t, const uint8_t *packed, size_t len,
                 struct buffer *out)
{
    uint32_t cursor = 0;
    for (size_t at = 0; at < len;) {
        uint8_t op = packed[at++];
        if (op < CHANGED) {
            uint32_t count = (uint32_t)op - COPY + 1;
            if (count > t->lines - cursor) {
                return false;
            }
            buffer_append(out, t->text + t->starts[cursor],
                          t->starts[cursor + count] - t->starts[cursor]);
            cursor += count;
            continue;
        }
        if (op < LITERAL) {
            uint32_t skip = (uint32_t)op - CHANGED;
            if (skip >= t->lines - cursor || at >= len ||
                packed[at] > line_length(t, cursor + skip)) {
                return false;
            }
            cursor += skip;
            buffer_append(out, t->text + t->starts[cursor++], packed[at++]);
        } else if (op != LITERAL) {
            return false;
        }
        if (!take_bytes(packed, len, &at, out)) {
            return false;
        }
    }
    return true;
}
