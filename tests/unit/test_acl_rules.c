/* Rules of users: what they allow, how they are shown (the words of redis-sentinel where it has the
 * error), and the log of what was refused. */
#include "acl/acl.h"
#include "acl/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- a port of a few commands ------------------------------------------------------------------
 */

#define BIT(category) ((uint32_t)1 << (category))
enum { PING, AUTH, SENTINEL, SUBSCRIBE, PSUBSCRIBE, INFO, MASTER, MASTERS, HELP, PRIMARY };
static const struct acl_command commands[] = {
    {"ping", BIT(ACL_FAST) | BIT(ACL_CONNECTION), ACL_NO_COMMAND, PING, false, false},
    {"auth", BIT(ACL_FAST) | BIT(ACL_CONNECTION), ACL_NO_COMMAND, AUTH, false, true},
    {"sentinel", BIT(ACL_ADMIN) | BIT(ACL_SLOW), ACL_NO_COMMAND, SENTINEL, true, false},
    {"subscribe", BIT(ACL_PUBSUB) | BIT(ACL_SLOW), ACL_NO_COMMAND, SUBSCRIBE, false, false},
    {"psubscribe", BIT(ACL_PUBSUB) | BIT(ACL_SLOW), ACL_NO_COMMAND, PSUBSCRIBE, false, false},
    {"info", BIT(ACL_DANGEROUS) | BIT(ACL_SLOW), ACL_NO_COMMAND, INFO, false, false},
    {"sentinel|master", BIT(ACL_ADMIN) | BIT(ACL_SLOW), SENTINEL, MASTER, false, false},
    {"sentinel|masters", BIT(ACL_ADMIN) | BIT(ACL_SLOW), SENTINEL, MASTERS, false, false},
    {"sentinel|help", BIT(ACL_SLOW), SENTINEL, HELP, false, false},
    {"sentinel|primary", BIT(ACL_ADMIN) | BIT(ACL_SLOW), SENTINEL, MASTER, false, false},
};

static int setup(void **state)
{
    acl_catalogue_set(commands, sizeof commands / sizeof commands[0]);
    return 0;
}

/* Applies rules given as one line. Returns what was wrong. */
static const char *apply(struct acl_user *user, const char *line)
{
    const char *words[64];
    size_t lens[64], count = 0, wrong;
    struct acl_rules rules;

    for (const char *p = line; *p;) {
        size_t len = strcspn(p, " ");
        words[count] = p;
        lens[count++] = len;
        p += len + (p[len] == ' ');
    }
    bool joined = acl_rules_join(&rules, words, lens, count, &wrong);
    const char *why = joined ? acl_rules_apply(user, &rules, &wrong) : "unmatched";
    acl_rules_free(&rules);
    return why;
}

static struct acl_user *made(const char *rules)
{
    struct acl_user *user = acl_user_new("u", 1, false);
    const char *why = apply(user, rules);

    if (why) {
        fail_msg("%s: %s", rules, why);
    }
    return user;
}

/* --- as text -----------------------------------------------------------------------------------
 */

#define FOO "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
#define BAR "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"

static const struct {
    const char *rules, *line; /* behind "user u " */
} shown[] = {
    {"", "off sanitize-payload resetchannels -@all"},
    {"on nopass ~* &* +@all", "on nopass sanitize-payload ~* &* +@all"},
    {"ON NOPASS ALLKEYS ALLCHANNELS ALLCOMMANDS", "on nopass sanitize-payload ~* &* +@all"},
    {"on >foo >bar >foo", "on sanitize-payload #" FOO " #" BAR " resetchannels -@all"},
    {"#" FOO " >bar <foo", "off sanitize-payload #" BAR " resetchannels -@all"},
    {">foo nopass", "off nopass sanitize-payload resetchannels -@all"},
    {"nopass >foo", "off sanitize-payload #" FOO " resetchannels -@all"},
    {"nopass resetpass", "off sanitize-payload resetchannels -@all"},
    {"skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"},
    {"~a ~b %R~c %W~d %RW~e %W~c", "off sanitize-payload ~a ~b ~c %W~d ~e resetchannels -@all"},
    {"%R", "off sanitize-payload %R~ resetchannels -@all"},
    {"~a resetkeys ~b", "off sanitize-payload ~b resetchannels -@all"},
    {"&a &b &a", "off sanitize-payload resetchannels &a &b -@all"},
    {"&a allchannels", "off sanitize-payload &* -@all"},
    {"allchannels resetchannels &x", "off sanitize-payload resetchannels &x -@all"},
    {"+PING +Sentinel|Master", "off sanitize-payload resetchannels -@all +ping +sentinel|master"},
    {"+@all -@admin +sentinel|master",
     "off sanitize-payload resetchannels +@all -@admin +sentinel|master"},
    {"+ping -ping", "off sanitize-payload resetchannels -@all -ping"},
    {"+sentinel|master +ping -sentinel",
     "off sanitize-payload resetchannels -@all +ping -sentinel"},
    {"+@admin +ping -@admin", "off sanitize-payload resetchannels -@all +ping -@admin"},
    {"+ping +@all", "off sanitize-payload resetchannels +@all"},
    {"+@all nocommands +info", "off sanitize-payload resetchannels -@all +info"},
    {"+info|server +info|cpu", "off sanitize-payload resetchannels -@all +info|server +info|cpu"},
    {"+info|server +info", "off sanitize-payload resetchannels -@all +info"},
    {"(+ping ~x) ( +info &c )",
     "off sanitize-payload resetchannels -@all (~x resetchannels -@all +ping) "
     "(resetchannels &c -@all +info)"},
    {"(+ping) clearselectors", "off sanitize-payload resetchannels -@all"},
    {"on nopass reset", "off sanitize-payload resetchannels -@all"},
    {"on >foo ~* &* +@all (+ping) skip-sanitize-payload reset",
     "off sanitize-payload resetchannels -@all"},
};

static void users_are_shown_in_canonical_form(void **state)
{
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        struct acl_user *user = made(shown[i].rules), *copy = acl_user_copy(user);
        struct acl_text line = {0}, copied = {0}, again = {0};
        acl_user_line(user, &line);
        assert_true(strncmp(line.data, "user u ", 7) == 0);
        assert_string_equal(line.data + 7, shown[i].line);
        acl_user_line(copy, &copied);
        assert_string_equal(copied.data, line.data);
        /* What is shown makes the same user again. */
        struct acl_user *twin = made(line.data + 7);
        acl_user_line(twin, &again);
        assert_string_equal(again.data, line.data);
        assert_memory_equal(twin->root.allowed, user->root.allowed, sizeof user->root.allowed);
        acl_text_free(&line);
        acl_text_free(&copied);
        acl_text_free(&again);
        acl_user_release(user);
        acl_user_release(copy);
        acl_user_release(twin);
    }
}

#define KEYS_AFTER_ALL                                                                             \
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have " \
    "any effect. Try 'resetkeys' to start with an empty list of patterns"
#define CHANNELS_AFTER_ALL                                                                         \
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not "  \
    "have any effect. Try 'resetchannels' to start with an empty list of channels"
#define HASH                                                                                       \
    "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "      \
    "characters"
#define UNKNOWN "Unknown command or category name in ACL"

static const struct {
    const char *rules, *why;
} wrong_rules[] = {
    {"foo", "Syntax error"},
    {"+", UNKNOWN},
    {"+foo", UNKNOWN},
    {"-foo", UNKNOWN},
    {"+@foo", UNKNOWN},
    {"+sentinel|foo", UNKNOWN},
    {"-sentinel|foo", UNKNOWN},
    {"-ping|foo", UNKNOWN},
    {"+|x", UNKNOWN},
    {"+ping|", "Syntax error"},
    {"+sentinel|master|x", "Allowing first-arg of a subcommand is not supported"},
    {"%X~x", "Syntax error"},
    {"%~x", "Syntax error"},
    {"~* ~x", KEYS_AFTER_ALL},
    {"&* &x", CHANNELS_AFTER_ALL},
    {"#zz", HASH},
    {"!zz", HASH},
    {"#2C26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", HASH},
    {"<foo", "The password you are trying to remove from the user does not exist"},
    {"(on)", "Syntax error"},
    {"(>foo)", "Syntax error"},
    {"(+ping ~x))", "Syntax error"},
    {"(~x &y) +ping)", UNKNOWN},
    {"(+foo)", UNKNOWN},
    {"(+ping", "unmatched"},
    {"+ping)", UNKNOWN},
};

static void wrong_rules_are_named(void **state)
{
    for (size_t i = 0; i < sizeof wrong_rules / sizeof wrong_rules[0]; i++) {
        struct acl_user *user = acl_user_new("u", 1, false);
        const char *why = apply(user, wrong_rules[i].rules);
        assert_non_null(why);
        assert_string_equal(why, wrong_rules[i].why);
        acl_user_release(user);
    }
    struct acl_user *user = acl_user_new("u", 1, false);
    assert_string_equal(acl_user_apply(user, "~a b", 4), "Syntax error");
    assert_string_equal(acl_user_apply(user, "&a\0b", 4), "Syntax error");
    /* In a file it would be two rules. */
    assert_string_equal(acl_user_apply(user, "+ping|x allcommands", 19), "Syntax error");
    assert_null(acl_user_apply(user, "", 0));
    char *huge = calloc(1, LIMIT_ACL_PASSWORD + 2);
    memset(huge, '>', LIMIT_ACL_PASSWORD + 2);
    assert_null(acl_user_apply(user, huge, LIMIT_ACL_PASSWORD + 1));
    assert_string_equal(acl_user_apply(user, huge, LIMIT_ACL_PASSWORD + 2),
                        "The password is too long");
    free(huge);
    acl_user_release(user);
    assert_false(acl_name_valid("a b", 3));
    assert_false(acl_name_valid("a\0b", 3));
    assert_false(acl_name_valid("", 0));
    assert_true(acl_name_valid("a|'\"b", 5));
}

/* --- what is allowed ---------------------------------------------------------------------------
 */

struct channels {
    const char *name[4];
};

static void channel(const void *context, size_t i, const char **text, size_t *len)
{
    *text = ((const struct channels *)context)->name[i];
    *len = strlen(*text);
}

static enum acl_verdict ask(const struct acl_user *user, uint16_t command, const char *first,
                            size_t *at)
{
    struct acl_request r = {
        .command = command, .first = first, .first_len = first ? strlen(first) : 0};

    return acl_check(user, &r, at);
}

static const struct {
    const char *rules, *commands; /* "1" for each that is allowed, in the order of the enum */
} granted[] = {
    {"", "0100000000"}, /* AUTH is for everybody */
    {"+@all", "1111111111"},
    {"+@all -@all", "0100000000"},
    {"+ping", "1100000000"},
    {"+sentinel", "0110001111"},
    {"+sentinel|master", "0100001001"}, /* SENTINEL PRIMARY is another name of it */
    {"+sentinel|primary", "0100001001"},
    {"+sentinel -sentinel|masters", "0110001011"},
    {"+@admin", "0110001111"}, /* with the container come its subcommands */
    {"+@all -sentinel", "1101110000"},
    {"+@all -@dangerous", "1111101111"},
    {"+@fast", "1100000000"},
    {"+@all -@slow +sentinel|help", "1100000010"},
    {"-auth", "0100000000"},
    {"+ping|x", "0100000000"},
    {"(+ping) (+info)", "1100010000"},
    {"+@all (+ping)", "1111111111"},
};

static void commands_are_allowed_or_not(void **state)
{
    for (size_t i = 0; i < sizeof granted / sizeof granted[0]; i++) {
        struct acl_user *user = made(granted[i].rules);
        char got[11] = {0};
        size_t at;
        for (uint16_t c = 0; c < 10; c++) {
            got[c] = ask(user, c, NULL, &at) == ACL_GRANTED ? '1' : '0';
        }
        if (strcmp(got, granted[i].commands) != 0) {
            fail_msg("%s: %s, not %s", granted[i].rules, got, granted[i].commands);
        }
        acl_user_release(user);
    }
}

static void first_arguments_may_be_allowed(void **state)
{
    struct acl_user *user = made("+info|Server");
    size_t at;

    assert_int_equal(ask(user, INFO, "server", &at), ACL_GRANTED);
    assert_int_equal(ask(user, INFO, "serverx", &at), ACL_NO_COMMAND_RIGHT);
    assert_int_equal(ask(user, INFO, NULL, &at), ACL_NO_COMMAND_RIGHT);
    assert_null(apply(user, "-info"));
    assert_int_equal(ask(user, INFO, "server", &at), ACL_NO_COMMAND_RIGHT);
    acl_user_release(user);
}

static enum acl_verdict listen(const struct acl_user *user, uint16_t command, const char *one,
                               const char *two, size_t *at)
{
    struct channels names = {{one, two}};
    struct acl_request r = {.command = command,
                            .channels = two ? 2 : 1,
                            .patterns = command == PSUBSCRIBE,
                            .channel = channel,
                            .context = &names};

    return acl_check(user, &r, at);
}

static void channels_are_allowed_or_not(void **state)
{
    struct acl_user *user = made("+subscribe +psubscribe &+switch-master &a*");
    size_t at;

    assert_int_equal(listen(user, SUBSCRIBE, "+switch-master", "abc", &at), ACL_GRANTED);
    assert_int_equal(listen(user, SUBSCRIBE, "abc", "bc", &at), ACL_NO_CHANNEL_RIGHT);
    assert_int_equal(at, 1);
    /* A pattern must be one of the allowed to the letter. */
    assert_int_equal(listen(user, PSUBSCRIBE, "a*", NULL, &at), ACL_GRANTED);
    assert_int_equal(listen(user, PSUBSCRIBE, "ab*", NULL, &at), ACL_NO_CHANNEL_RIGHT);
    assert_int_equal(listen(user, PSUBSCRIBE, "*", NULL, &at), ACL_NO_CHANNEL_RIGHT);
    assert_true(acl_channel_allowed(user, "abc", 3, false));
    assert_false(acl_channel_allowed(user, "abc", 3, true));
    acl_user_release(user);

    /* Rights of two selectors do not add up. */
    user = made("&a (+subscribe &b)");
    assert_int_equal(listen(user, SUBSCRIBE, "a", NULL, &at), ACL_NO_CHANNEL_RIGHT);
    assert_int_equal(listen(user, SUBSCRIBE, "b", NULL, &at), ACL_GRANTED);
    assert_int_equal(listen(user, SUBSCRIBE, "b", "a", &at), ACL_NO_CHANNEL_RIGHT);
    assert_int_equal(at, 1);
    assert_int_equal(listen(user, PSUBSCRIBE, "b", NULL, &at), ACL_NO_COMMAND_RIGHT);
    assert_true(acl_channel_allowed(user, "a", 1, false) &&
                acl_channel_allowed(user, "b", 1, false));
    acl_user_release(user);

    user = acl_user_new("u", 1, true); /* acl-pubsub-default allchannels */
    assert_null(apply(user, "+subscribe (+psubscribe)"));
    assert_int_equal(listen(user, SUBSCRIBE, "x", NULL, &at), ACL_GRANTED);
    assert_int_equal(listen(user, PSUBSCRIBE, "*", NULL, &at), ACL_GRANTED);
    assert_null(apply(user, "reset +subscribe"));
    assert_int_equal(listen(user, SUBSCRIBE, "x", NULL, &at), ACL_GRANTED);
    acl_user_release(user);
}

static void passwords(void **state)
{
    struct acl_user *user = made("on >foo #" BAR);

    assert_true(acl_authenticate(user, "foo", 3));
    assert_true(acl_authenticate(user, "bar", 3));
    assert_false(acl_authenticate(user, "fo", 2));
    assert_false(acl_authenticate(user, FOO, 64)); /* the hash is no password */
    assert_false(acl_authenticate(user, "", 0));
    assert_false(acl_authenticate(NULL, "foo", 3));
    assert_null(apply(user, "off"));
    assert_false(acl_authenticate(user, "foo", 3));
    assert_null(apply(user, "on nopass"));
    assert_true(acl_authenticate(user, "whatever", 8));
    assert_null(apply(user, "resetpass"));
    assert_false(acl_authenticate(user, "foo", 3));
    acl_user_require(user, "x");
    assert_true(acl_authenticate(user, "x", 1));
    acl_user_require(user, "");
    assert_true(user->nopass);

    /* One byte more than the longest password is not that password. */
    char *longest = malloc(LIMIT_ACL_PASSWORD + 2);
    memset(longest, '>', LIMIT_ACL_PASSWORD + 2);
    assert_null(acl_user_apply(user, longest, LIMIT_ACL_PASSWORD + 1));
    assert_true(acl_authenticate(user, longest, LIMIT_ACL_PASSWORD));
    assert_false(acl_authenticate(user, longest, LIMIT_ACL_PASSWORD + 1));
    free(longest);
    acl_user_release(user);
}

static void sha256_of_known_texts(void **state)
{
    static const struct {
        const char *text;
        size_t times;
        const char *hex;
    } known[] = {
        {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"foo", 1, FOO},
        /* 56 bytes: the length just does not fit in the first block. */
        {"a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {"a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = strlen(known[i].text);
        char *text = malloc(len * known[i].times + 1);
        for (size_t k = 0; k < known[i].times; k++) {
            memcpy(text + k * len, known[i].text, len);
        }
        sha256(text, len * known[i].times, digest);
        sha256_hex(digest, hex);
        assert_string_equal(hex, known[i].hex);
        free(text);
    }
}

/* --- sets --------------------------------------------------------------------------------------
 */

static void sets_share_what_did_not_change(void **state)
{
    struct acl_users *one = acl_users_new(false);
    assert_null(acl_users_put(one, acl_user_new("b", 1, false)));
    assert_null(acl_users_put(one, acl_user_new("a", 1, false)));
    assert_null(acl_users_put(one, acl_user_new("ab", 2, false)));
    assert_string_equal(one->user[0]->name, "a");
    assert_string_equal(one->user[1]->name, "ab");
    assert_string_equal(one->user[3]->name, "default");

    struct acl_users *two = acl_users_copy(one);
    assert_true(acl_users_drop(two, "a", 1));
    assert_false(acl_users_drop(two, "a", 1));
    assert_false(acl_users_drop(two, "default", 7));
    struct acl_user *changed = acl_user_copy(acl_users_find(two, "b", 1));
    assert_null(apply(changed, "on"));
    assert_null(acl_users_put(two, changed));
    assert_non_null(acl_users_find(one, "a", 1));
    assert_false(acl_users_find(one, "b", 1)->on);
    assert_true(acl_users_find(two, "b", 1)->on);
    assert_ptr_equal(acl_users_find(one, "ab", 2), acl_users_find(two, "ab", 2));
    acl_users_release(one);
    assert_string_equal(acl_users_find(two, "ab", 2)->name, "ab");
    acl_users_release(acl_users_ref(two));
    acl_users_release(two);
}

static void sets_and_users_are_bounded(void **state)
{
    struct acl_users *users = acl_users_new(false);
    char rule[64];

    for (int i = 1; i < LIMIT_ACL_USERS; i++) {
        int len = snprintf(rule, sizeof rule, "user%d", i);
        assert_null(acl_users_put(users, acl_user_new(rule, (size_t)len, false)));
    }
    assert_string_equal(acl_users_put(users, acl_user_new("x", 1, false)),
                        "There are too many users");
    assert_null(acl_users_put(users, acl_user_new("user1", 5, false))); /* replaced */

    struct acl_user *user = acl_user_new("user1", 5, false);
    for (int i = 0; i < 80; i++) {
        int len = snprintf(rule, sizeof rule, ">password%d", i);
        assert_null(acl_user_apply(user, rule, (size_t)len));
    }
    assert_null(acl_users_put(users, acl_user_copy(user))); /* 80 passwords are no problem */
    for (int i = 80; i < 200; i++) {
        int len = snprintf(rule, sizeof rule, ">password%d", i);
        assert_null(acl_user_apply(user, rule, (size_t)len));
    }
    assert_string_equal(acl_users_put(users, user), "The user has too many rules");
    assert_int_equal(acl_users_find(users, "user1", 5)->password_count, 80);
    acl_users_release(users);
}

/* --- the log -----------------------------------------------------------------------------------
 */

static void add(struct acl_log *log, enum acl_reason reason, const char *object, int64_t now)
{
    struct acl_log_entry e = {.reason = reason, .username = "u", .client = strdup("id=1")};

    (void)snprintf(e.object, sizeof e.object, "%s", object);
    acl_log_add(log, &e, now);
}

/* Each rule is compared with those before it: a request of a megabyte kept main busy for half a
 * minute.
 */
static void rules_given_at_once_are_bounded(void **state)
{
    enum { COUNT = LIMIT_ACL_RULES + 1, ROOM = 8 };
    static char text[COUNT][ROOM], selector[COUNT * (ROOM + 1) + 3] = "(";
    static const char *words[COUNT];
    static size_t lens[COUNT];
    size_t wrong, at = 1;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        lens[i] = (size_t)snprintf(text[i], ROOM, "~%zu", i);
        words[i] = text[i];
        at += (size_t)snprintf(selector + at, ROOM + 1, "%s ", text[i]);
    }
    selector[at - 1] = ')';
    for (size_t more = 0; more < 2; more++) {
        struct acl_user *user = acl_user_new("alice", 5, false);
        struct acl_rules rules;
        assert_true(acl_rules_join(&rules, words, lens, LIMIT_ACL_RULES + more, &wrong));
        const char *why = acl_rules_apply(user, &rules, &wrong);
        acl_rules_free(&rules);
        if (more > 0) {
            assert_string_equal(why, "The user has too many rules");
            assert_string_equal(acl_user_apply(user, selector, at), "The user has too many rules");
        } else {
            assert_null(why);
        }
        acl_user_release(user);
    }
}

static void the_log_groups_and_is_bounded(void **state)
{
    struct acl_log *log = acl_log_new(3);

    add(log, ACL_LOG_COMMAND, "a", 1000);
    add(log, ACL_LOG_COMMAND, "b", 2000);
    add(log, ACL_LOG_COMMAND, "a", 3000);
    assert_int_equal(acl_log_count(log), 2);
    const struct acl_log_entry *e = acl_log_at(log, 0); /* to the front */
    assert_string_equal(e->object, "a");
    assert_int_equal(e->count, 2);
    assert_int_equal(e->id, 0);
    assert_int_equal(e->created, 1000);
    assert_int_equal(e->updated, 3000);
    add(log, ACL_LOG_AUTH, "a", 3000); /* another reason */
    add(log, ACL_LOG_COMMAND, "a", 63001);
    assert_int_equal(acl_log_count(log), 3); /* too late for the old one; b went */
    assert_int_equal(acl_log_at(log, 0)->count, 1);
    assert_int_equal(acl_log_at(log, 0)->id, 3);
    assert_string_equal(acl_log_at(log, 2)->object, "a");
    acl_log_reset(log);
    assert_int_equal(acl_log_count(log), 0);
    acl_log_free(log);
    log = acl_log_new(0);
    add(log, ACL_LOG_COMMAND, "a", 1);
    assert_int_equal(acl_log_count(log), 0);
    acl_log_free(log);
    log = acl_log_new(UINT64_MAX);
    for (int i = 0; i < LIMIT_ACL_LOG + 5; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        add(log, ACL_LOG_COMMAND, name, 1);
    }
    assert_int_equal(acl_log_count(log), LIMIT_ACL_LOG);
    acl_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_shown_in_canonical_form),
        cmocka_unit_test(wrong_rules_are_named),
        cmocka_unit_test(commands_are_allowed_or_not),
        cmocka_unit_test(first_arguments_may_be_allowed),
        cmocka_unit_test(channels_are_allowed_or_not),
        cmocka_unit_test(passwords),
        cmocka_unit_test(sha256_of_known_texts),
        cmocka_unit_test(sets_share_what_did_not_change),
        cmocka_unit_test(sets_and_users_are_bounded),
        cmocka_unit_test(rules_given_at_once_are_bounded),
        cmocka_unit_test(the_log_groups_and_is_bounded),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
