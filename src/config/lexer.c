#include "config/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void *config_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    if (p == NULL) {
        abort();
    }
    return p;
}

void *config_grow(void *array, size_t *cap, size_t need, size_t item)
{
    assert(item > 0 && need <= SIZE_MAX / 2 / item);
    if (need <= *cap) {
        return array;
    }
    /* Of large items, such as a group's replicas, there are mostly one or two. */
    size_t more = *cap > 0 ? *cap * 2 : item < 32 ? 8 : 1;
    while (more < need) {
        more *= 2;
    }
    void *p = realloc(array, more * item);
    if (p == NULL) {
        abort();
    }
    *cap = more;
    return p;
}

char *config_copy(const char *text, size_t len)
{
    char *copy = config_alloc(len + 1);
    if (len > 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

void config_text_append(struct config_text *out, const char *bytes, size_t len)
{
    out->data = config_grow(out->data, &out->cap, out->len + len + 1, 1);
    if (len > 0) {
        memcpy(out->data + out->len, bytes, len);
    }
    out->len += len;
    out->data[out->len] = '\0';
}

void config_text_add(struct config_text *out, const char *text)
{
    config_text_append(out, text, strlen(text));
}

void config_text_printf(struct config_text *out, const char *format, ...)
{
    for (size_t room = 128;;) {
        va_list args;
        va_start(args, format);
        out->data = config_grow(out->data, &out->cap, out->len + room, 1);
        int len = vsnprintf(out->data + out->len, room, format, args);
        va_end(args);
        assert(len >= 0);
        if ((size_t)len < room) {
            out->len += (size_t)len;
            return;
        }
        room = (size_t)len + 1;
    }
}

/* Value of two hex digits, or -1. */
static int hex_pair(const char *p)
{
    int value = 0;
    for (int i = 0; i < 2; i++) {
        int c = (unsigned char)p[i];
        if (!isxdigit(c)) {
            return -1;
        }
        value = value * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    return value;
}

/* One escape of a double-quoted text at p, just past the backslash. Returns how much it took. */
static size_t unescape(const char *p, const char *end, struct config_text *out)
{
    if (*p == 'x' && end - p >= 3 && hex_pair(p + 1) >= 0) {
        char byte = (char)hex_pair(p + 1);
        config_text_append(out, &byte, 1);
        return 3;
    }
    static const char letters[] = "nrtba", bytes[] = "\n\r\t\b\a";
    const char *at = strchr(letters, *p);
    config_text_append(out, at != NULL && *at != '\0' ? &bytes[at - letters] : p, 1);
    return 1;
}

/* Reads one quoted part at p, just past its opening quote. Returns the place after the closing one,
 * or NULL: it is missing, or something other than a blank follows it. */
static const char *quoted(const char *p, const char *end, char quote, struct config_text *out)
{
    while (p < end) {
        if (*p == quote) {
            p++;
            return p == end || isspace((unsigned char)*p) ? p : NULL;
        }
        if (*p == '\\' && p + 1 < end && quote == '"') {
            p += 1 + unescape(p + 1, end, out);
        } else if (*p == '\\' && p + 1 < end && p[1] == '\'') {
            config_text_append(out, "'", 1);
            p += 2;
        } else {
            config_text_append(out, p++, 1);
        }
    }
    return NULL;
}

static const char *word(const char *p, const char *end, struct config_text *out)
{
    config_text_append(out, "", 0);
    while (p < end && !isspace((unsigned char)*p)) {
        if (*p == '"' || *p == '\'') {
            return quoted(p + 1, end, *p, out);
        }
        config_text_append(out, p++, 1);
    }
    return p;
}

bool words_split(struct words *w, const char *line, size_t len)
{
    const char *p = line, *end = line + len;

    *w = (struct words){0};
    for (;;) {
        while (p < end && isspace((unsigned char)*p)) {
            p++;
        }
        if (p == end) {
            return true;
        }
        struct config_text out = {0};
        p = word(p, end, &out);
        if (p == NULL || memchr(out.data, '\0', out.len) != NULL) {
            free(out.data);
            words_free(w);
            return false;
        }
        w->item = config_grow(w->item, &w->cap, w->count + 1, sizeof(*w->item));
        w->item[w->count++] = out.data;
    }
}

void words_free(struct words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(w->item[i]);
    }
    free(w->item);
    *w = (struct words){0};
}

void words_quote_always(struct config_text *out, const char *text)
{
    config_text_append(out, "\"", 1);
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            config_text_printf(out, "\\%c", c);
        } else if (c < ' ' || c == 0x7f) {
            config_text_printf(out, "\\x%02x", c);
        } else {
            config_text_append(out, p, 1);
        }
    }
    config_text_append(out, "\"", 1);
}

void words_quote(struct config_text *out, const char *text)
{
    bool plain = *text != '\0';
    for (const char *p = text; *p != '\0' && plain; p++) {
        unsigned char c = (unsigned char)*p;
        plain = c > ' ' && c != 0x7f && c != '"' && c != '\'' && c != '\\';
    }
    if (plain) {
        config_text_add(out, text);
    } else {
        words_quote_always(out, text);
    }
}

bool words_number(const char *text, int64_t *value)
{
    bool negative = *text == '-';
    uint64_t digits;
    text += negative ? 1 : 0;
    if (!parse_u64(text, strlen(text), INT64_MAX, &digits)) {
        return false;
    }
    *value = negative ? -(int64_t)digits : (int64_t)digits;
    return true;
}

bool words_memory(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {
        {"", 1},        {"b", 1},         {"k", 1000},       {"kb", 1024},
        {"m", 1000000}, {"mb", 1u << 20}, {"g", 1000000000}, {"gb", 1u << 30},
    };
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    if (!parse_u64(text, digits, INT64_MAX, &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcasecmp(text + digits, units[i].unit) == 0) {
            *bytes = number * units[i].factor;
            return number <= INT64_MAX / units[i].factor;
        }
    }
    return false;
}

bool words_yes_no(const char *text, bool *value)
{
    *value = strcasecmp(text, "yes") == 0;
    return *value || strcasecmp(text, "no") == 0;
}

bool words_epoch(const char *text, uint64_t *epoch)
{
    return parse_u64(text, strlen(text), LIMIT_EPOCH, epoch);
}

struct words words_copy(const struct words *w)
{
    struct words copy = {0};

    copy.item = config_grow(NULL, &copy.cap, w->count, sizeof(*copy.item));
    for (; copy.count < w->count; copy.count++) {
        copy.item[copy.count] = config_copy(w->item[copy.count], strlen(w->item[copy.count]));
    }
    return copy;
}
