/* Requests of the simulated instances: RESP arrays and inline commands, within bounds. */
#include "fleet.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool slice_is(struct slice slice, const char *word)
{
    return slice.length == strlen(word) && strncasecmp(slice.data, word, slice.length) == 0;
}

bool slice_number(struct slice slice, int64_t *out)
{
    size_t at = 0;
    bool negative = slice.length > 0 && slice.data[0] == '-';
    at += negative;
    if (at == slice.length || slice.length > 18)
        return false;
    int64_t value = 0;
    for (; at < slice.length; at++) {
        if (!isdigit((unsigned char)slice.data[at]))
            return false;
        value = value * 10 + (slice.data[at] - '0');
    }
    *out = negative ? -value : value;
    return true;
}

/* Glob with * ? and \; sets in [] are matched literally, as no sentinel uses them. */
bool glob_match(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.length) {
        bool escaped = p + 1 < pattern.length && pattern.data[p] == '\\';
        if (!escaped && p < pattern.length && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.length && !escaped &&
                   (pattern.data[p] == '?' || pattern.data[p] == text.data[t])) {
            p++;
            t++;
        } else if (escaped && pattern.data[p + 1] == text.data[t]) {
            p += 2;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.length && pattern.data[p] == '*')
        p++;
    return p == pattern.length;
}

/* The line at data[*at]: up to CRLF (or LF alone, as telnet sends), without it. */
static bool take_line(const char *data, size_t length, size_t *at, struct slice *line)
{
    const char *end = memchr(data + *at, '\n', length - *at);
    if (!end)
        return false;
    line->data = data + *at;
    line->length = (size_t)(end - line->data);
    *at += line->length + 1;
    if (line->length > 0 && line->data[line->length - 1] == '\r')
        line->length--;
    return true;
}

static enum parse_result parse_inline(const char *data, size_t length, struct request *out,
                                      size_t *used)
{
    struct slice line;
    size_t at = 0;
    out->count = 0;
    if (!take_line(data, length, &at, &line))
        return length > FLEET_REQUEST_MAX ? PARSE_ERROR : PARSE_MORE;
    size_t place = 0;
    while (place < line.length) {
        while (place < line.length && isspace((unsigned char)line.data[place]))
            place++;
        size_t start = place;
        while (place < line.length && !isspace((unsigned char)line.data[place]))
            place++;
        if (place == start)
            break;
        if (out->count == FLEET_ARGUMENTS_MAX)
            return PARSE_ERROR;
        out->arguments[out->count++] = (struct slice){line.data + start, place - start};
    }
    *used = at;
    return PARSE_REQUEST;
}

enum parse_result request_parse(const char *data, size_t length, struct request *out, size_t *used)
{
    if (length == 0)
        return PARSE_MORE;
    if (data[0] != '*')
        return parse_inline(data, length, out, used);
    enum parse_result more = length > FLEET_REQUEST_MAX ? PARSE_ERROR : PARSE_MORE;
    struct slice line;
    size_t at = 0;
    int64_t count, bytes;
    if (!take_line(data, length, &at, &line))
        return more;
    if (!slice_number((struct slice){line.data + 1, line.length - 1}, &count) ||
        count > FLEET_ARGUMENTS_MAX)
        return PARSE_ERROR;
    out->count = 0;
    for (int64_t k = 0; k < count; k++) {
        if (at < length && data[at] != '$')
            return PARSE_ERROR;
        if (at == length || !take_line(data, length, &at, &line))
            return more;
        if (!slice_number((struct slice){line.data + 1, line.length - 1}, &bytes) || bytes < 0 ||
            bytes > FLEET_REQUEST_MAX)
            return PARSE_ERROR;
        if (length - at < (size_t)bytes + 2)
            return more;
        if (data[at + (size_t)bytes] != '\r' || data[at + (size_t)bytes + 1] != '\n')
            return PARSE_ERROR;
        out->arguments[out->count++] = (struct slice){data + at, (size_t)bytes};
        at += (size_t)bytes + 2;
    }
    *used = at;
    return PARSE_REQUEST;
}
