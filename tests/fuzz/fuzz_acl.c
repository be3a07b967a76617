/* Rules of users, one a line, as a client's ACL SETUSER might give them. What a user is shown as,
 * read again as a file's line, must be the same user with the same rights. */
#include "acl/acl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct acl_command commands[] = {
    {"ping", (uint32_t)1 << ACL_FAST, ACL_NO_COMMAND, 0, false, false},
    {"auth", (uint32_t)1 << ACL_FAST, ACL_NO_COMMAND, 1, false, true},
    {"subscribe", (uint32_t)1 << ACL_PUBSUB, ACL_NO_COMMAND, 2, false, false},
    {"sentinel", (uint32_t)1 << ACL_ADMIN, ACL_NO_COMMAND, 3, true, false},
    {"sentinel|master", (uint32_t)1 << ACL_ADMIN, 3, 4, false, false},
    {"sentinel|primary", (uint32_t)1 << ACL_ADMIN, 3, 4, false, false},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void channel(const void *context, size_t i, const char **text, size_t *len)
{
    *text = context;
    *len = strlen(*text);
    (void)i;
}

/* What it may, as bits: commands alone, with a first argument, and of a channel and a pattern. */
static uint64_t rights(const struct acl_user *user)
{
    static const char *const channels[] = {"a", "+switch-master"};
    uint64_t bits = 0;
    size_t at;

    for (uint16_t c = 0; c < COMMANDS; c++) {
        for (unsigned variant = 0; variant < 6; variant++) {
            struct acl_request r = {.command = c,
                                    .first = variant == 1 ? "x" : NULL,
                                    .first_len = variant == 1,
                                    .channels = variant > 1,
                                    .patterns = variant > 3,
                                    .channel = channel,
                                    .context = channels[variant % 2]};
            bits = bits << 1 | (acl_check(user, &r, &at) == ACL_GRANTED);
        }
    }
    return bits;
}

/* The user of a line, read as the files are: words apart by blanks. */
static struct acl_user *reread(const struct acl_user *user, const struct acl_text *line)
{
    struct acl_user *twin = acl_user_new(user->name, strlen(user->name), user->open_channels);
    const char **word = calloc(line->len, sizeof *word);
    size_t *len = calloc(line->len, sizeof *len), count = 0, wrong;
    struct acl_rules rules;

    for (const char *p = line->data + strlen("user u "); *p != '\0';) {
        word[count] = p;
        len[count] = strcspn(p, " ");
        p += len[count];
        p += *p == ' ';
        count++;
    }
    assert(acl_rules_join(&rules, word, len, count, &wrong));
    assert(acl_rules_apply(twin, &rules, &wrong) == NULL);
    acl_rules_free(&rules);
    free(word);
    free(len);
    return twin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acl_user *user = acl_user_new("u", 1, size % 2 == 1);
    struct acl_text line = {0}, again = {0};

    acl_catalogue_set(commands, COMMANDS);
    for (const char *p = (const char *)data, *end = p + size; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        uint64_t before = rights(user);
        if (acl_user_apply(user, p, (size_t)(stop - p))) {
            assert(rights(user) == before); /* what is wrong changes nothing */
        }
        p = stop + 1;
    }
    acl_user_line(user, &line);
    struct acl_user *twin = reread(user, &line), *copy = acl_user_copy(user);
    acl_user_line(twin, &again);
    assert(strcmp(line.data, again.data) == 0);
    assert(rights(twin) == rights(user) && rights(copy) == rights(user));
    assert(!acl_authenticate(user, data, size) || user->on);
    acl_text_free(&line);
    acl_text_free(&again);
    acl_user_release(user);
    acl_user_release(twin);
    acl_user_release(copy);
    return 0;
}
