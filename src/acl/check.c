/* What every request asks. */
#include "acl/internal.h"

#include "rules/glob.h"

#include <string.h>
#include <strings.h>

static bool command_allowed(const struct acl_selector *s, const struct acl_request *r,
                            uint16_t same)
{
    if (acl_bit(s, same)) {
        return true;
    }
    for (size_t i = 0; i < s->first_count; i++) {
        if (s->firsts[i].command == same && r->first && strlen(s->firsts[i].word) == r->first_len &&
            strncasecmp(s->firsts[i].word, r->first, r->first_len) == 0) {
            return true;
        }
    }
    return false;
}

static bool channel_allowed(const struct acl_selector *s, const char *text, size_t len,
                            bool pattern)
{
    for (size_t i = 0; i < s->channel_count; i++) {
        const char *allowed = s->channels[i];
        size_t allowed_len = strlen(allowed);
        if (pattern ? allowed_len == len && memcmp(allowed, text, len) == 0
                    : glob_match(allowed, allowed_len, text, len, false)) {
            return true;
        }
    }
    return s->all_channels;
}

static enum acl_verdict check_selector(const struct acl_selector *s, const struct acl_request *r,
                                       bool always, uint16_t same, size_t *channel)
{
    if (!always && !command_allowed(s, r, same)) {
        return ACL_NO_COMMAND_RIGHT;
    }
    for (size_t i = 0; i < r->channels && !s->all_channels; i++) {
        const char *text;
        size_t len;
        r->channel(r->context, i, &text, &len);
        if (!channel_allowed(s, text, len, r->patterns)) {
            *channel = i;
            return ACL_NO_CHANNEL_RIGHT;
        }
    }
    return ACL_GRANTED;
}

enum acl_verdict acl_check(const struct acl_user *u, const struct acl_request *r, size_t *channel)
{
    const struct acl_command *command = acl_catalogue_at(r->command);
    enum acl_verdict worst;

    *channel = 0;
    worst = check_selector(&u->root, r, command->always, command->same, channel);
    for (size_t i = 0; i < u->selector_count && worst != ACL_GRANTED; i++) {
        size_t at = 0;
        enum acl_verdict verdict =
            check_selector(&u->selectors[i], r, command->always, command->same, &at);
        if (verdict == ACL_GRANTED) {
            return ACL_GRANTED;
        }
        /* Who comes furthest says what is missing. */
        if (verdict > worst || (verdict == worst && at > *channel)) {
            worst = verdict;
            *channel = at;
        }
    }
    return worst;
}

bool acl_channel_allowed(const struct acl_user *u, const char *text, size_t len, bool pattern)
{
    if (channel_allowed(&u->root, text, len, pattern)) {
        return true;
    }
    for (size_t i = 0; i < u->selector_count; i++) {
        if (channel_allowed(&u->selectors[i], text, len, pattern)) {
            return true;
        }
    }
    return false;
}

bool acl_authenticate(const struct acl_user *u, const void *password, size_t len)
{
    uint8_t hash[SHA256_BYTES];
    unsigned right = 0;

    sha256(password, len < LIMIT_ACL_PASSWORD ? len : LIMIT_ACL_PASSWORD, hash);
    for (size_t i = 0; u && i < u->password_count; i++) {
        unsigned difference = 0;
        for (size_t k = 0; k < SHA256_BYTES; k++) {
            difference |= (unsigned)(hash[k] ^ u->passwords[i][k]);
        }
        right |= difference == 0;
    }
    right &= len <= LIMIT_ACL_PASSWORD;
    return u && u->on && (u->nopass || right);
}
