#include "io/reply_scan.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define LINE_NUMBER_MOST 24 /* bytes of a line that holds a number, its type included */

/* The line that starts at bytes[at], type included, CRLF excluded. MORE: its end is lacking. */
static enum reply_scan_result find_line(const uint8_t *bytes, size_t len, size_t at, size_t most,
                                        size_t *line_len)
{
    size_t window = len - at < most + 2 ? len - at : most + 2;
    const uint8_t *start = bytes + at;
    const uint8_t *from = start;
    for (;;) {
        const uint8_t *cr = memchr(from, '\r', window - (size_t)(from - start));
        if (cr == NULL) {
            return len - at > most + 1 ? REPLY_BAD : REPLY_MORE;
        }
        size_t end = (size_t)(cr - start);
        if (end + 1 == window) { /* whether a '\n' follows is not known yet, or it is too long */
            return end + 1 < most + 2 ? REPLY_MORE : REPLY_BAD;
        }
        if (cr[1] == '\n') {
            *line_len = end;
            return REPLY_WHOLE;
        }
        from = cr + 1;
    }
}

/* A length: -1 (null) or a decimal number up to max. */
static bool parse_length(const uint8_t *text, size_t len, long max, long *out)
{
    if (len == 2 && text[0] == '-' && text[1] == '1') {
        *out = -1;
        return true;
    }
    if (len == 0 || len > 10) {
        return false;
    }
    long value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return value <= max;
}

/* One element, from scan->at on: a whole one moves scan->at behind it and sets *children to the
 * elements of an array (0: none). */
static enum reply_scan_result scan_element(struct reply_scan *scan, const uint8_t *bytes,
                                           size_t len, long *children)
{
    size_t line = 0;
    const uint8_t *start = bytes + scan->at;
    uint8_t type = *start;
    bool number = type == '$' || type == '*' || type == ':';
    if (!number && type != '+' && type != '-') {
        return REPLY_BAD;
    }
    enum reply_scan_result found =
        find_line(bytes, len, scan->at, number ? LINE_NUMBER_MOST : LIMIT_REPLY_BYTES, &line);
    if (found != REPLY_WHOLE) {
        return found;
    }
    *children = 0;
    size_t taken = line + 2;
    if (type == '$') {
        long size;
        if (!parse_length(start + 1, line - 1, LIMIT_REPLY_BYTES, &size)) {
            return REPLY_BAD;
        }
        if (size >= 0) {
            taken += (size_t)size + 2;
            if (len - scan->at < taken) {
                return scan->at + taken > LIMIT_REPLY_BYTES ? REPLY_BAD : REPLY_MORE;
            }
            if (start[taken - 2] != '\r' || start[taken - 1] != '\n') {
                return REPLY_BAD;
            }
        }
    } else if (type == '*') {
        if (!parse_length(start + 1, line - 1, LIMIT_REPLY_ELEMENTS - (long)scan->elements,
                          children)) {
            return REPLY_BAD;
        }
        if (*children < 0) {
            *children = 0;
        }
        scan->elements += (uint32_t)*children;
    }
    scan->at += taken;
    return REPLY_WHOLE;
}

enum reply_scan_result reply_scan(struct reply_scan *scan, const uint8_t *bytes, size_t len)
{
    assert(scan->at <= len);
    for (;;) {
        long children;
        if (scan->at == len) {
            return len < LIMIT_REPLY_BYTES ? REPLY_MORE : REPLY_BAD;
        }
        enum reply_scan_result found = scan_element(scan, bytes, len, &children);
        if (found == REPLY_MORE && len >= LIMIT_REPLY_BYTES) {
            return REPLY_BAD;
        }
        if (found != REPLY_WHOLE) {
            return found;
        }
        if (children > 0) {
            if (scan->depth == LIMIT_REPLY_DEPTH) {
                return REPLY_BAD;
            }
            scan->left[scan->depth++] = (uint32_t)children;
            continue;
        }
        /* An element is complete, and with it every array whose last one it was. */
        while (scan->depth > 0 && --scan->left[scan->depth - 1] == 0) {
            scan->depth--;
        }
        if (scan->depth == 0) {
            return scan->at <= LIMIT_REPLY_BYTES ? REPLY_WHOLE : REPLY_BAD;
        }
    }
}
