/* Rules about users, and how they are applied. */
#include "acl/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- life ------------------------------------------------------------------------------------ */

struct acl_user *acl_user_new(const char *name, size_t len, bool open_channels)
{
    struct acl_user *u = acl_alloc(sizeof *u);

    atomic_init(&u->refs, 1);
    u->name = acl_copy(name, len);
    u->open_channels = open_channels;
    selector_init(&u->root, open_channels);
    return u;
}

static void drop_selectors(struct acl_user *u)
{
    for (size_t i = 0; i < u->selector_count; i++) {
        selector_free(&u->selectors[i]);
    }
    u->selector_count = 0;
}

void acl_user_release(struct acl_user *u)
{
    if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    selector_free(&u->root);
    drop_selectors(u);
    free(u->selectors);
    free(u->passwords);
    free(u->name);
    free(u);
}

static struct acl_selector *new_selector(struct acl_user *u)
{
    u->selectors =
        acl_grow(u->selectors, &u->selector_cap, u->selector_count + 1, sizeof *u->selectors);
    return &u->selectors[u->selector_count++];
}

static void add_password(struct acl_user *u, const uint8_t hash[SHA256_BYTES])
{
    u->passwords =
        acl_grow(u->passwords, &u->password_cap, u->password_count + 1, sizeof *u->passwords);
    memcpy(u->passwords[u->password_count++], hash, SHA256_BYTES);
}

struct acl_user *acl_user_copy(const struct acl_user *from)
{
    struct acl_user *u = acl_user_new(from->name, strlen(from->name), from->open_channels);

    u->on = from->on;
    u->nopass = from->nopass;
    u->skip_sanitize = from->skip_sanitize;
    for (size_t i = 0; i < from->password_count; i++) {
        add_password(u, from->passwords[i]);
    }
    selector_copy(&u->root, &from->root);
    for (size_t i = 0; i < from->selector_count; i++) {
        selector_copy(new_selector(u), &from->selectors[i]);
    }
    return u;
}

bool acl_name_valid(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '\0' || isspace((unsigned char)name[i])) {
            return false;
        }
    }
    return len > 0;
}

/* --- passwords ------------------------------------------------------------------------------- */

static size_t find_password(const struct acl_user *u, const uint8_t hash[SHA256_BYTES])
{
    size_t i = 0;

    while (i < u->password_count && memcmp(u->passwords[i], hash, SHA256_BYTES) != 0) {
        i++;
    }
    return i;
}

static bool parse_hash(const char *text, size_t len, uint8_t hash[SHA256_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    if (len != (size_t)2 * SHA256_BYTES) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;
        if (!digit) {
            return false;
        }
        hash[i / 2] = (uint8_t)(hash[i / 2] << 4 | (digit - digits));
    }
    return true;
}

/* ">password", "#hash", "<password", "!hash". */
static const char *apply_password(struct acl_user *u, const char *rule, size_t len)
{
    uint8_t hash[SHA256_BYTES] = {0};

    if (rule[0] == '#' || rule[0] == '!') {
        if (!parse_hash(rule + 1, len - 1, hash)) {
            return "The password hash must be exactly 64 characters and contain only lowercase "
                   "hexadecimal characters";
        }
    } else if (len - 1 > LIMIT_ACL_PASSWORD) {
        return "The password is too long";
    } else {
        sha256(rule + 1, len - 1, hash);
    }
    size_t at = find_password(u, hash);
    if (rule[0] == '>' || rule[0] == '#') {
        if (at == u->password_count) {
            add_password(u, hash);
        }
        u->nopass = false;
        return NULL;
    }
    if (at == u->password_count) {
        return "The password you are trying to remove from the user does not exist";
    }
    u->password_count--;
    memmove(u->passwords + at, u->passwords + at + 1,
            (u->password_count - at) * sizeof *u->passwords);
    return NULL;
}

void acl_user_require(struct acl_user *u, const char *password)
{
    uint8_t hash[SHA256_BYTES];

    u->password_count = 0;
    u->nopass = password[0] == '\0';
    if (!u->nopass) {
        sha256(password, strlen(password), hash);
        add_password(u, hash);
    }
}

/* --- rules ----------------------------------------------------------------------------------- */

static bool is(const char *rule, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(rule, word, len) == 0;
}

/* "(rule rule …)" */
static const char *apply_selector(struct acl_user *u, const char *rule, size_t len)
{
    struct acl_selector s;
    const char *wrong = NULL, *end = rule + len - 1;

    if (len < 2 || *end != ')') {
        return ACL_SYNTAX;
    }
    selector_init(&s, u->open_channels);
    size_t count = 0;
    for (const char *p = rule + 1; p < end && !wrong;) {
        const char *stop = memchr(p, ' ', (size_t)(end - p));
        stop = stop ? stop : end;
        if (count++ == LIMIT_ACL_RULES) {
            wrong = ACL_TOO_MANY;
        } else if (stop > p) {
            /* Behind a parenthesis the selector would end when its line is read again. */
            wrong = stop[-1] == ')' ? ACL_SYNTAX : selector_apply(&s, p, (size_t)(stop - p));
        }
        p = stop + 1;
    }
    if (wrong) {
        selector_free(&s);
    } else {
        *new_selector(u) = s;
    }
    return wrong;
}

static void reset(struct acl_user *u)
{
    u->on = u->nopass = u->skip_sanitize = false;
    u->password_count = 0;
    drop_selectors(u);
    selector_free(&u->root);
    selector_init(&u->root, u->open_channels);
}

const char *acl_user_apply(struct acl_user *u, const char *rule, size_t len)
{
    if (len == 0) {
        return NULL; /* as stock: two blanks in a file are no rule */
    }
    if (is(rule, len, "on") || is(rule, len, "off")) {
        u->on = len == 2;
    } else if (is(rule, len, "nopass") || is(rule, len, "resetpass")) {
        u->nopass = is(rule, len, "nopass");
        u->password_count = 0;
    } else if (is(rule, len, "sanitize-payload") || is(rule, len, "skip-sanitize-payload")) {
        u->skip_sanitize = is(rule, len, "skip-sanitize-payload");
    } else if (is(rule, len, "reset")) {
        reset(u);
    } else if (is(rule, len, "clearselectors")) {
        drop_selectors(u);
    } else if (strchr("><#!", rule[0]) && rule[0] != '\0') {
        return apply_password(u, rule, len);
    } else if (rule[0] == '(') {
        return apply_selector(u, rule, len);
    } else {
        return selector_apply(&u->root, rule, len);
    }
    return NULL;
}

/* --- rules as words -------------------------------------------------------------------------- */

bool acl_rules_join(struct acl_rules *rules, const char *const *words, const size_t *lens,
                    size_t count, size_t *wrong)
{
    bool inside = false;

    *rules = (struct acl_rules){.item = acl_alloc(count * sizeof *rules->item)};
    for (size_t i = 0; i < count; i++) {
        if (inside) {
            acl_text_add(&rules->item[rules->count - 1], " ", 1);
        } else {
            rules->count++;
            inside = lens[i] > 0 && words[i][0] == '(';
            *wrong = i;
        }
        acl_text_add(&rules->item[rules->count - 1], words[i], lens[i]);
        inside = inside && !(lens[i] > 0 && words[i][lens[i] - 1] == ')');
    }
    return !inside;
}

void acl_rules_free(struct acl_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        acl_text_free(&rules->item[i]);
    }
    free(rules->item);
    *rules = (struct acl_rules){0};
}

const char *acl_rules_apply(struct acl_user *u, const struct acl_rules *rules, size_t *wrong)
{
    if (rules->count > LIMIT_ACL_RULES) { /* each is compared with those before it */
        *wrong = LIMIT_ACL_RULES;
        return ACL_TOO_MANY;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const char *why = acl_user_apply(u, rules->item[i].data, rules->item[i].len);
        if (why) {
            *wrong = i;
            return why;
        }
    }
    return NULL;
}
