/* Rules about commands, keys and channels. */
#include "acl/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- memory ---------------------------------------------------------------------------------- */

void *acl_alloc(size_t size)
{
    void *block = calloc(1, size > 0 ? size : 1);

    if (!block) {
        abort();
    }
    return block;
}

void *acl_grow(void *array, size_t *cap, size_t need, size_t item)
{
    if (need <= *cap) {
        return array;
    }
    size_t more = *cap > 0 ? 2 * *cap : 4;
    *cap = more > need ? more : need;
    array = realloc(array, *cap * item);
    if (!array) {
        abort();
    }
    return array;
}

char *acl_copy(const char *text, size_t len)
{
    char *copy = acl_alloc(len + 1);

    memcpy(copy, text, len);
    return copy;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(texts[i]);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void selector_init(struct acl_selector *s, bool open_channels)
{
    *s = (struct acl_selector){.all_channels = open_channels};
}

static void drop_firsts(struct acl_selector *s)
{
    for (size_t i = 0; i < s->first_count; i++) {
        free(s->firsts[i].word);
    }
    s->first_count = 0;
}

static void drop_keys(struct acl_selector *s)
{
    for (size_t i = 0; i < s->key_count; i++) {
        free(s->keys[i].pattern);
    }
    s->key_count = 0;
}

static void drop_channels(struct acl_selector *s)
{
    free_texts(s->channels, s->channel_count);
    s->channel_count = 0;
}

static void drop_rules(struct acl_selector *s)
{
    free_texts(s->rules, s->rule_count);
    s->rule_count = 0;
}

void selector_free(struct acl_selector *s)
{
    drop_firsts(s);
    drop_keys(s);
    drop_channels(s);
    drop_rules(s);
    free(s->firsts);
    free(s->keys);
    free(s->channels);
    free(s->rules);
}

static void add_text(char ***texts, size_t *count, size_t *cap, const char *text, size_t len)
{
    *texts = acl_grow(*texts, cap, *count + 1, sizeof **texts);
    (*texts)[(*count)++] = acl_copy(text, len);
}

static void add_first(struct acl_selector *s, uint16_t command, const char *word, size_t len)
{
    s->firsts = acl_grow(s->firsts, &s->first_cap, s->first_count + 1, sizeof *s->firsts);
    s->firsts[s->first_count++] = (struct acl_first){command, acl_copy(word, len)};
}

static void add_key(struct acl_selector *s, const char *pattern, size_t len, unsigned flags)
{
    s->keys = acl_grow(s->keys, &s->key_cap, s->key_count + 1, sizeof *s->keys);
    s->keys[s->key_count++] = (struct acl_key){acl_copy(pattern, len), flags};
}

void selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    selector_init(to, from->all_channels);
    memcpy(to->allowed, from->allowed, sizeof to->allowed);
    to->all_commands = from->all_commands;
    to->all_keys = from->all_keys;
    for (size_t i = 0; i < from->rule_count; i++) {
        add_text(&to->rules, &to->rule_count, &to->rule_cap, from->rules[i],
                 strlen(from->rules[i]));
    }
    for (size_t i = 0; i < from->first_count; i++) {
        add_first(to, from->firsts[i].command, from->firsts[i].word, strlen(from->firsts[i].word));
    }
    for (size_t i = 0; i < from->key_count; i++) {
        add_key(to, from->keys[i].pattern, strlen(from->keys[i].pattern), from->keys[i].flags);
    }
    for (size_t i = 0; i < from->channel_count; i++) {
        add_text(&to->channels, &to->channel_count, &to->channel_cap, from->channels[i],
                 strlen(from->channels[i]));
    }
}

/* A pattern, or a first argument, is a part of one word of a line. */
static bool word_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || isspace((unsigned char)text[i])) {
            return false;
        }
    }
    return true;
}

/* --- commands -------------------------------------------------------------------------------- */

void selector_all_commands(struct acl_selector *s, bool allow)
{
    memset(s->allowed, allow ? 0xff : 0, sizeof s->allowed);
    s->all_commands = allow;
    drop_rules(s);
    drop_firsts(s);
}

/* One command, without its subcommands. */
static void permit_one(struct acl_selector *s, size_t place, bool allow)
{
    uint16_t same = acl_catalogue_at(place)->same;
    uint64_t bit = (uint64_t)1 << same % 64;
    size_t kept = 0;

    if (allow) {
        s->allowed[same / 64] |= bit;
    } else {
        s->allowed[same / 64] &= ~bit;
    }
    for (size_t i = 0; i < s->first_count; i++) {
        if (s->firsts[i].command == same) {
            free(s->firsts[i].word);
        } else {
            s->firsts[kept++] = s->firsts[i];
        }
    }
    s->first_count = kept;
}

static void permit(struct acl_selector *s, size_t place, bool allow)
{
    permit_one(s, place, allow);
    for (size_t i = place + 1; acl_catalogue_at(place)->container && i < acl_catalogue_count();
         i++) {
        if (acl_catalogue_at(i)->parent == place) {
            permit_one(s, i, allow);
        }
    }
}

/* Notes what was said of a command or category, in place of what was said of it, and of its
 * subcommands, before. word: behind the sign. */
static void note_rule(struct acl_selector *s, bool allow, const char *word, size_t len)
{
    char *rule = acl_alloc(len + 2);
    size_t kept = 0;

    rule[0] = allow ? '+' : '-';
    for (size_t i = 0; i < len; i++) {
        rule[1 + i] = (char)tolower((unsigned char)word[i]);
    }
    for (size_t i = 0; i < s->rule_count; i++) {
        const char *old = s->rules[i] + 1;
        bool over = strncmp(old, rule + 1, len) == 0 && (old[len] == '\0' || old[len] == '|');
        if (over) {
            free(s->rules[i]);
        } else {
            s->rules[kept++] = s->rules[i];
        }
    }
    s->rules = acl_grow(s->rules, &s->rule_cap, kept + 1, sizeof *s->rules);
    s->rules[kept] = rule;
    s->rule_count = kept + 1;
}

static const char *apply_category(struct acl_selector *s, bool allow, const char *word, size_t len)
{
    enum acl_category category;

    if (!acl_category_find(word + 1, len - 1, &category)) {
        return ACL_UNKNOWN;
    }
    for (size_t i = 0; i < acl_catalogue_count(); i++) {
        if (acl_catalogue_at(i)->categories >> category & 1) {
            permit(s, i, allow);
        }
    }
    note_rule(s, allow, word, len);
    return NULL;
}

/* +command|word where the word is no subcommand: allowed with it as its first argument. */
static const char *apply_first(struct acl_selector *s, const char *word, size_t len)
{
    const char *bar = memchr(word, '|', len);
    const char *last = bar ? memrchr(word, '|', len) : NULL;

    if (!bar) {
        return ACL_UNKNOWN;
    }
    if (last != bar && acl_catalogue_find(word, (size_t)(last - word)) != ACL_NO_COMMAND) {
        return "Allowing first-arg of a subcommand is not supported";
    }
    uint16_t command = acl_catalogue_find(word, (size_t)(bar - word));
    if (command == ACL_NO_COMMAND || acl_catalogue_at(command)->container) {
        return ACL_UNKNOWN;
    }
    size_t rest = len - (size_t)(bar + 1 - word);
    if (rest == 0 || !word_valid(bar + 1, rest)) {
        return ACL_SYNTAX;
    }
    command = acl_catalogue_at(command)->same;
    for (size_t i = 0; i < s->first_count; i++) {
        if (s->firsts[i].command == command && strlen(s->firsts[i].word) == rest &&
            strncasecmp(s->firsts[i].word, bar + 1, rest) == 0) {
            note_rule(s, true, word, len);
            return NULL;
        }
    }
    add_first(s, command, bar + 1, rest);
    note_rule(s, true, word, len);
    return NULL;
}

static const char *apply_command(struct acl_selector *s, bool allow, const char *word, size_t len)
{
    if (len > 0 && word[0] == '@') {
        return apply_category(s, allow, word, len);
    }
    uint16_t place = acl_catalogue_find(word, len);
    if (place != ACL_NO_COMMAND) {
        permit(s, place, allow);
        note_rule(s, allow, word, len);
        return NULL;
    }
    return allow ? apply_first(s, word, len) : ACL_UNKNOWN;
}

/* --- keys and channels ----------------------------------------------------------------------- */

/* "~pattern" or "%R~pattern", "%W~", "%RW~". */
static const char *apply_key(struct acl_selector *s, const char *rule, size_t len)
{
    unsigned flags = 0;
    size_t at = 1;

    if (s->all_keys) {
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
               "not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    }
    for (; rule[0] == '%' && at < len && rule[at] != '~'; at++) {
        char right = (char)toupper((unsigned char)rule[at]);
        if (right != 'R' && right != 'W') {
            return ACL_SYNTAX;
        }
        flags |= right == 'R' ? ACL_KEY_READ : ACL_KEY_WRITE;
    }
    if (rule[0] == '%' && flags == 0) {
        return ACL_SYNTAX;
    }
    at += rule[0] == '%' && at < len; /* stock takes "%R" for "%R~" */
    flags = rule[0] == '~' ? ACL_KEY_READ | ACL_KEY_WRITE : flags;
    if (!word_valid(rule + at, len - at)) {
        return ACL_SYNTAX;
    }
    for (size_t i = 0; i < s->key_count; i++) {
        const char *pattern = s->keys[i].pattern;
        if (strlen(pattern) == len - at && memcmp(pattern, rule + at, len - at) == 0) {
            s->keys[i].flags |= flags;
            return NULL;
        }
    }
    add_key(s, rule + at, len - at, flags);
    return NULL;
}

static const char *apply_channel(struct acl_selector *s, const char *pattern, size_t len)
{
    if (s->all_channels) {
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
               "does not have any effect. Try 'resetchannels' to start with an empty list of "
               "channels";
    }
    if (!word_valid(pattern, len)) {
        return ACL_SYNTAX;
    }
    for (size_t i = 0; i < s->channel_count; i++) {
        if (strlen(s->channels[i]) == len && memcmp(s->channels[i], pattern, len) == 0) {
            return NULL;
        }
    }
    add_text(&s->channels, &s->channel_count, &s->channel_cap, pattern, len);
    return NULL;
}

/* --- one rule -------------------------------------------------------------------------------- */

static bool is(const char *rule, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(rule, word, len) == 0;
}

const char *selector_apply(struct acl_selector *s, const char *rule, size_t len)
{
    bool all_keys = is(rule, len, "allkeys") || is(rule, len, "~*");
    bool all_channels = is(rule, len, "allchannels") || is(rule, len, "&*");

    if (all_keys || is(rule, len, "resetkeys")) {
        s->all_keys = all_keys;
        drop_keys(s);
    } else if (all_channels || is(rule, len, "resetchannels")) {
        s->all_channels = all_channels;
        drop_channels(s);
    } else if (is(rule, len, "allcommands") || is(rule, len, "+@all")) {
        selector_all_commands(s, true);
    } else if (is(rule, len, "nocommands") || is(rule, len, "-@all")) {
        selector_all_commands(s, false);
    } else if (len > 0 && (rule[0] == '~' || rule[0] == '%')) {
        return apply_key(s, rule, len);
    } else if (len > 0 && rule[0] == '&') {
        return apply_channel(s, rule + 1, len - 1);
    } else if (len > 0 && (rule[0] == '+' || rule[0] == '-')) {
        return apply_command(s, rule[0] == '+', rule + 1, len - 1);
    } else {
        return ACL_SYNTAX;
    }
    return NULL;
}
