#include "rules/glob.h"

static unsigned char fold(unsigned char c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

/* Matches c against the class that begins at pattern[at] == '['; *end is set behind it. A class
 * that is not closed ends with the pattern. */
static bool match_class(const unsigned char *pattern, size_t len, size_t at, unsigned char c,
                        bool nocase, size_t *end)
{
    bool negated = false, matched = false;

    at++;
    if (at < len && pattern[at] == '^') {
        negated = true;
        at++;
    }
    while (at < len && pattern[at] != ']') {
        if (pattern[at] == '\\' && at + 1 < len) {
            at++;
            matched |= fold(pattern[at], nocase) == c;
            at++;
        } else if (at + 2 < len && pattern[at + 1] == '-') {
            unsigned char low = fold(pattern[at], nocase), high = fold(pattern[at + 2], nocase);
            if (low > high) {
                unsigned char swap = low;
                low = high;
                high = swap;
            }
            matched |= c >= low && c <= high;
            at += 3;
        } else {
            matched |= fold(pattern[at], nocase) == c;
            at++;
        }
    }
    *end = at < len ? at + 1 : len;
    return matched != negated;
}

/* Matches one character; *end is set behind the element of the pattern that was used. */
static bool match_one(const unsigned char *pattern, size_t len, size_t at, unsigned char c,
                      bool nocase, size_t *end)
{
    switch (pattern[at]) {
    case '?':
        *end = at + 1;
        return true;
    case '[':
        return match_class(pattern, len, at, fold(c, nocase), nocase, end);
    case '\\':
        if (at + 1 < len) {
            at++;
        }
        break;
    default:
        break;
    }
    *end = at + 1;
    return fold(pattern[at], nocase) == fold(c, nocase);
}

bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len,
                bool nocase)
{
    const unsigned char *p = (const unsigned char *)pattern;
    const unsigned char *t = (const unsigned char *)text;
    size_t at = 0, from = 0;
    size_t star = pattern_len, star_from = 0; /* behind the last star, and what it ends before */
    bool starred = false;

    /* Every element but the star takes exactly one character, so only the last star needs to be
     * tried again: the earlier ones can keep the shortest match they found. */
    for (;;) {
        size_t next;
        if (at < pattern_len && p[at] == '*') {
            while (at < pattern_len && p[at] == '*') {
                at++;
            }
            if (at == pattern_len) {
                return true;
            }
            starred = true;
            star = at;
            star_from = from;
        } else if (from == text_len) {
            return at == pattern_len;
        } else if (at < pattern_len && match_one(p, pattern_len, at, t[from], nocase, &next)) {
            at = next;
            from++;
        } else if (starred) {
            at = star;
            from = ++star_from;
        } else {
            return false;
        }
    }
}
