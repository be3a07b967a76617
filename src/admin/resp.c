#include "admin/resp.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRICT_ARGS 10    /* as Redis, for those who have not authenticated */
#define STRICT_BULK 16384 /* bytes */
#define SMALL       64    /* arguments a parser keeps room for */

void resp_init(struct resp_parser *p)
{
    memset(p, 0, sizeof *p);
    p->missing = -1;
    p->bulk = -1;
}

void resp_free(struct resp_parser *p)
{
    free(p->pieces);
    free(p->args);
    buffer_free(&p->line);
    resp_init(p);
}

void resp_shrink(struct resp_parser *p)
{
    assert(p->missing < 0);
    if (p->piece_cap > SMALL) {
        free(p->pieces);
        p->pieces = NULL;
        p->piece_cap = 0;
    }
    if (p->arg_cap > SMALL) {
        free(p->args);
        p->args = NULL;
        p->arg_cap = 0;
    }
    buffer_clear(&p->line, 1024);
}

static enum resp_result bad(struct resp_parser *p, const char *what)
{
    snprintf(p->error, sizeof p->error, "Protocol error: %s", what);
    return RESP_BAD;
}

static void *grown(void *old, size_t *cap, size_t size)
{
    *cap = *cap ? *cap * 2 : 8;
    void *block = realloc(old, *cap * size);
    if (!block) {
        abort();
    }
    return block;
}

static void add_piece(struct resp_parser *p, size_t offset, size_t len)
{
    if (p->count == p->piece_cap) {
        p->pieces = grown(p->pieces, &p->piece_cap, sizeof *p->pieces);
    }
    p->pieces[p->count++] = (struct resp_piece){offset, len};
}

/* Turns the pieces into arguments and gets ready for the next request. */
static enum resp_result complete(struct resp_parser *p, const uint8_t *base, size_t consumed)
{
    while (p->arg_cap < p->count) {
        p->args = grown(p->args, &p->arg_cap, sizeof *p->args);
    }
    for (size_t i = 0; i < p->count; i++) {
        p->args[i] = (struct resp_arg){(const char *)base + p->pieces[i].offset, p->pieces[i].len};
    }
    p->consumed = consumed;
    p->missing = -1;
    p->bulk = -1;
    p->position = p->scanned = p->declared = 0;
    return RESP_REQUEST;
}

/* A decimal number of exactly these bytes in its only spelling: no blank, no plus, no leading
 * zero. */
static bool parse_number(const uint8_t *text, size_t len, int64_t *out)
{
    bool negative = len && text[0] == '-';
    size_t i = negative;
    int64_t value = 0;

    if (i == len || len - i > 18 || (text[i] == '0' && (negative || len > 1))) {
        return false;
    }
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *out = negative ? -value : value;
    return true;
}

/* Finds the '\r' of the line that starts at position, searching nothing twice. Returns its length
 * in *line, or false when it is not there with the byte that follows it. */
static bool find_line(struct resp_parser *p, const uint8_t *bytes, size_t len, size_t *line)
{
    if (p->scanned < p->position) {
        p->scanned = p->position;
    }
    const uint8_t *end = memchr(bytes + p->scanned, '\r', len - p->scanned);
    p->scanned = end ? (size_t)(end - bytes) : len;
    if (!end || p->scanned + 1 >= len) {
        return false;
    }
    *line = p->scanned - p->position;
    return true;
}

/* Reads a whole line of a type and a number of one or two digits: nearly all are. Returns the
 * line's length without its end, or 0 and no value: it is not such a line. */
static size_t short_line(const uint8_t *line, size_t len, uint8_t type, int64_t *value)
{
    if (len < 5 || line[0] != type || line[1] < '1' || line[1] > '9') {
        return 0;
    }
    if (line[2] == '\r') {
        *value = line[1] - '0';
        return 2;
    }
    if (line[2] < '0' || line[2] > '9' || line[3] != '\r') {
        return 0;
    }
    *value = (line[1] - '0') * 10 + (line[2] - '0');
    return 3;
}

/* --- inline requests ------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

static void put(struct resp_parser *p, uint8_t c)
{
    *buffer_reserve(&p->line, 1) = c;
    p->line.len++;
}

/* Reads an escape of a double-quoted text at text[at] == '\\'; returns what follows it. */
static size_t unescape(struct resp_parser *p, const uint8_t *text, size_t len, size_t at)
{
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";

    if (at + 3 < len && text[at + 1] == 'x' && hex_digit(text[at + 2]) >= 0 &&
        hex_digit(text[at + 3]) >= 0) {
        put(p, (uint8_t)(hex_digit(text[at + 2]) << 4 | hex_digit(text[at + 3])));
        return at + 4;
    }
    const char *known = memchr(from, text[at + 1], sizeof from - 1);
    put(p, known ? (uint8_t)to[known - from] : text[at + 1]);
    return at + 2;
}

/* Reads one argument at text[at]; returns what follows it, or 0 when its quotes are wrong. */
static size_t read_word(struct resp_parser *p, const uint8_t *text, size_t len, size_t at)
{
    while (at < len && !isspace(text[at])) {
        uint8_t quote = text[at];
        if (quote != '"' && quote != '\'') {
            put(p, text[at++]);
            continue;
        }
        for (at++; at < len && text[at] != quote;) {
            if (text[at] != '\\' || at + 1 >= len) {
                put(p, text[at++]);
            } else if (quote == '"') {
                at = unescape(p, text, len, at);
            } else if (text[at + 1] == '\'') {
                put(p, '\'');
                at += 2;
            } else {
                put(p, text[at++]);
            }
        }
        /* A closing quote ends the argument. */
        if (at == len || (at + 1 < len && !isspace(text[at + 1]))) {
            return 0;
        }
        return at + 1;
    }
    return at;
}

static enum resp_result parse_inline(struct resp_parser *p, const uint8_t *bytes, size_t len)
{
    const uint8_t *newline = memchr(bytes + p->scanned, '\n', len - p->scanned);
    size_t line = newline ? (size_t)(newline - bytes) : len;

    p->scanned = line;
    if (line > LIMIT_REQUEST_INLINE) {
        return bad(p, "too big inline request");
    }
    if (!newline) {
        return RESP_MORE;
    }
    p->line.len = 0;
    p->count = 0;
    if (line && bytes[line - 1] == '\r') {
        line--;
    }
    for (size_t at = 0;;) {
        while (at < line && isspace(bytes[at])) {
            at++;
        }
        if (at == line) {
            break;
        }
        size_t offset = p->line.len;
        at = read_word(p, bytes, line, at);
        if (at == 0) {
            return bad(p, "unbalanced quotes in request");
        }
        add_piece(p, offset, p->line.len - offset);
    }
    /* Empty arguments must have an address too. */
    buffer_reserve(&p->line, 1);
    return complete(p, p->line.data, (size_t)(newline - bytes) + 1);
}

/* --- arrays ---------------------------------------------------------------------------------- */

static enum resp_result parse_header(struct resp_parser *p, const uint8_t *bytes, size_t len)
{
    int64_t count;
    size_t line = short_line(bytes, len, '*', &count);

    if (line == 0) {
        if (!find_line(p, bytes, len, &line)) {
            return len - p->position > LIMIT_REQUEST_INLINE ? bad(p, "too big mbulk count string")
                                                            : RESP_MORE;
        }
        if (!parse_number(bytes + 1, line - 1, &count) || count > LIMIT_REQUEST_ARGS) {
            return bad(p, "invalid multibulk length");
        }
    }
    if (p->strict && count > STRICT_ARGS) {
        return bad(p, "unauthenticated multibulk length");
    }
    p->position += line + 2;
    p->count = 0;
    p->declared = p->position;
    p->missing = count > 0 ? count : 0;
    p->bulk = -1;
    return RESP_REQUEST;
}

static enum resp_result read_length(struct resp_parser *p, const uint8_t *bytes, size_t len,
                                    size_t *line)
{
    if (!find_line(p, bytes, len, line)) {
        return len - p->position > LIMIT_REQUEST_INLINE ? bad(p, "too big bulk count string")
                                                        : RESP_MORE;
    }
    if (bytes[p->position] != '$') {
        char what[32];
        uint8_t got = bytes[p->position];
        snprintf(what, sizeof what, "expected '$', got '%c'", got < ' ' ? ' ' : got);
        return bad(p, what);
    }
    if (!parse_number(bytes + p->position + 1, *line - 1, &p->bulk) || p->bulk < 0 ||
        p->bulk > LIMIT_REQUEST_BULK) {
        p->bulk = -1;
        return bad(p, "invalid bulk length");
    }
    return RESP_REQUEST;
}

static enum resp_result parse_length(struct resp_parser *p, const uint8_t *bytes, size_t len)
{
    size_t line = short_line(bytes + p->position, len - p->position, '$', &p->bulk);

    if (line == 0) {
        enum resp_result result = read_length(p, bytes, len, &line);
        if (result != RESP_REQUEST) {
            return result;
        }
    }
    if (p->strict && p->bulk > STRICT_BULK) {
        return bad(p, "unauthenticated bulk length");
    }
    p->position += line + 2;
    p->declared = p->position + (size_t)p->bulk + 2;
    return RESP_REQUEST;
}

enum resp_result resp_parse(struct resp_parser *p, const uint8_t *bytes, size_t len)
{
    enum resp_result result;

    assert(p->position <= len && p->scanned <= len);
    if (len == 0) {
        return RESP_MORE;
    }
    if (p->missing < 0) {
        if (bytes[0] != '*') {
            return parse_inline(p, bytes, len);
        }
        result = parse_header(p, bytes, len);
        if (result != RESP_REQUEST) {
            return result;
        }
    }
    while (p->missing > 0) {
        if (p->bulk < 0) {
            if (p->position >= len) {
                return RESP_MORE;
            }
            result = parse_length(p, bytes, len);
            if (result != RESP_REQUEST) {
                return result;
            }
        }
        if (p->declared > LIMIT_REQUEST_BYTES) {
            return bad(p, "too big request");
        }
        if (len - p->position < (size_t)p->bulk + 2) {
            return RESP_MORE;
        }
        add_piece(p, p->position, (size_t)p->bulk);
        p->position += (size_t)p->bulk + 2;
        p->bulk = -1;
        p->missing--;
    }
    return complete(p, bytes, p->position);
}
