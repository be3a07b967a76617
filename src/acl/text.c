/* Users and rights as text. */
#include "acl/internal.h"

#include <stdlib.h>
#include <string.h>

void acl_text_add(struct acl_text *out, const char *text, size_t len)
{
    out->data = acl_grow(out->data, &out->cap, out->len + len + 1, 1);
    memcpy(out->data + out->len, text, len);
    out->len += len;
    out->data[out->len] = '\0';
}

void acl_text_free(struct acl_text *out)
{
    free(out->data);
    *out = (struct acl_text){0};
}

static void add(struct acl_text *out, const char *text)
{
    acl_text_add(out, text, strlen(text));
}

/* Words are apart by one blank, whatever is written first. */
static void word(struct acl_text *out, size_t start, const char *sign, const char *text)
{
    if (out->len > start) {
        add(out, " ");
    }
    add(out, sign);
    add(out, text);
}

void acl_selector_commands(const struct acl_selector *s, struct acl_text *out)
{
    add(out, s->all_commands ? "+@all" : "-@all");
    for (size_t i = 0; i < s->rule_count; i++) {
        add(out, " ");
        add(out, s->rules[i]);
    }
}

void acl_selector_keys(const struct acl_selector *s, struct acl_text *out)
{
    static const char *const signs[] = {"", "%R~", "%W~", "~"};
    size_t start = out->len;

    add(out, s->all_keys ? "~*" : "");
    for (size_t i = 0; i < s->key_count; i++) {
        word(out, start, signs[s->keys[i].flags], s->keys[i].pattern);
    }
}

void acl_selector_channels(const struct acl_selector *s, struct acl_text *out)
{
    size_t start = out->len;

    add(out, s->all_channels ? "&*" : "");
    for (size_t i = 0; i < s->channel_count; i++) {
        word(out, start, "&", s->channels[i]);
    }
}

static void selector_line(const struct acl_selector *s, struct acl_text *out)
{
    size_t start = out->len;

    acl_selector_keys(s, out);
    add(out, out->len > start ? " " : "");
    if (!s->all_channels) {
        add(out, "resetchannels ");
    }
    start = out->len;
    acl_selector_channels(s, out);
    add(out, out->len > start ? " " : "");
    acl_selector_commands(s, out);
}

void acl_user_line(const struct acl_user *u, struct acl_text *out)
{
    char hex[2 * SHA256_BYTES + 1];

    add(out, "user ");
    add(out, u->name);
    add(out, u->on ? " on" : " off");
    add(out, u->nopass ? " nopass" : "");
    add(out, u->skip_sanitize ? " skip-sanitize-payload" : " sanitize-payload");
    for (size_t i = 0; i < u->password_count; i++) {
        sha256_hex(u->passwords[i], hex);
        add(out, " #");
        add(out, hex);
    }
    add(out, " ");
    selector_line(&u->root, out);
    for (size_t i = 0; i < u->selector_count; i++) {
        add(out, " (");
        selector_line(&u->selectors[i], out);
        add(out, ")");
    }
}
