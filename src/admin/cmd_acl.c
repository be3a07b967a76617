/* ACL and its subcommands. What only looks is answered from the shard's set of users; what changes
 * it is decided on main, and is with every shard before it is confirmed. */
#include "acl/log.h"
#include "admin/access.h"
#include "admin/async.h"
#include "io/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define GENPASS_BITS 4096 /* at most */

/* --- looking --------------------------------------------------------------------------------- */

static void reply_too_many(struct call *call, const char *what)
{
    reply_error(&call->reply,
                "ERR unknown subcommand or wrong number of arguments for '%s'. Try ACL HELP.",
                what);
}

static void acl_whoami(struct call *call)
{
    reply_text(&call->reply, call->client->user->name);
}

static void acl_names(struct call *call)
{
    const struct acl_users *users = call->admin->users;

    reply_array(&call->reply, users->count);
    for (size_t i = 0; i < users->count; i++) {
        reply_text(&call->reply, users->user[i]->name);
    }
}

static void acl_lines(struct call *call)
{
    const struct acl_users *users = call->admin->users;

    reply_array(&call->reply, users->count);
    for (size_t i = 0; i < users->count; i++) {
        struct acl_text line = {0};
        acl_user_line(users->user[i], &line);
        reply_bulk(&call->reply, line.data, line.len);
        acl_text_free(&line);
    }
}

static void put_text(struct reply *r, const char *name,
                     void (*write)(const struct acl_selector *s, struct acl_text *out),
                     const struct acl_selector *s)
{
    struct acl_text text = {0};

    write(s, &text);
    reply_text(r, name);
    reply_bulk(r, text.data, text.len);
    acl_text_free(&text);
}

static void put_selector(struct reply *r, const struct acl_selector *s)
{
    put_text(r, "commands", acl_selector_commands, s);
    put_text(r, "keys", acl_selector_keys, s);
    put_text(r, "channels", acl_selector_channels, s);
}

static void acl_getuser(struct call *call)
{
    struct reply *r = &call->reply;
    const struct resp_arg *name = &call->args[2];
    const struct acl_user *u = acl_users_find(call->admin->users, name->text, name->len);

    if (!u) {
        reply_null(r);
        return;
    }
    reply_map(r, 6);
    reply_text(r, "flags");
    reply_set(r, u->nopass ? 3 : 2);
    reply_text(r, u->on ? "on" : "off");
    if (u->nopass) {
        reply_text(r, "nopass");
    }
    reply_text(r, u->skip_sanitize ? "skip-sanitize-payload" : "sanitize-payload");
    reply_text(r, "passwords");
    reply_array(r, u->password_count);
    for (size_t i = 0; i < u->password_count; i++) {
        char hex[2 * SHA256_BYTES + 1];
        sha256_hex(u->passwords[i], hex);
        reply_text(r, hex);
    }
    put_selector(r, &u->root);
    reply_text(r, "selectors");
    reply_array(r, u->selector_count);
    for (size_t i = 0; i < u->selector_count; i++) {
        reply_map(r, 3);
        put_selector(r, &u->selectors[i]);
    }
}

static bool in_category(const struct acl_command *c, size_t place, enum acl_category category)
{
    return (c->categories >> category & 1) && c->same == place;
}

static void acl_cat(struct call *call)
{
    struct reply *r = &call->reply;
    enum acl_category category;
    size_t count = 0;

    if (call->count > 3) {
        reply_too_many(call, "CAT");
        return;
    }
    if (call->count == 2) {
        reply_array(r, ACL_CATEGORIES);
        for (int i = 0; i < ACL_CATEGORIES; i++) {
            reply_text(r, acl_category_name((enum acl_category)i));
        }
        return;
    }
    if (!acl_category_find(call->args[2].text, call->args[2].len, &category)) {
        reply_error(r, "ERR Unknown category '%.*s'", ARG_SHOWN(&call->args[2]));
        return;
    }
    for (size_t i = 0; i < acl_catalogue_count(); i++) {
        count += in_category(acl_catalogue_at(i), i, category);
    }
    reply_array(r, count);
    for (size_t i = 0; i < acl_catalogue_count(); i++) {
        if (in_category(acl_catalogue_at(i), i, category)) {
            reply_text(r, acl_catalogue_at(i)->name);
        }
    }
}

static void acl_genpass(struct call *call)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[GENPASS_BITS / 8];
    char text[GENPASS_BITS / 4];
    int64_t bits = 256;

    if (call->count > 3) {
        reply_too_many(call, "GENPASS");
        return;
    }
    if (call->count == 3 && !arg_integer(&call->args[2], &bits)) {
        reply_error(&call->reply, "ERR value is not an integer or out of range");
        return;
    }
    if (bits <= 0 || bits > GENPASS_BITS) {
        reply_error(&call->reply, "ERR ACL GENPASS argument must be the number of bits for the "
                                  "output password, a positive number up to 4096");
        return;
    }
    size_t len = (size_t)(bits + 3) / 4, got = 0, need = (len + 1) / 2;
    while (got < need) {
        ssize_t n = getrandom(random + got, need - got, 0);
        assert(n > 0); /* no signal comes to a shard, and the pool is ready */
        got += (size_t)n;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = digits[i % 2 ? random[i / 2] & 15 : random[i / 2] >> 4];
    }
    reply_bulk(&call->reply, text, len);
}

/* What command a request is, and its place. NULL: answered with an error. */
static const struct command *dryrun_command(struct call *call, uint16_t *place)
{
    const struct resp_arg *args = &call->args[3];
    size_t count = call->count - 3;
    const struct command *c = memchr(args[0].text, '|', args[0].len)
                                  ? NULL
                                  : command_find(args[0].text, args[0].len, NULL, 0),
                         *sub = NULL;

    if (c && c->subcommands && count > 1) {
        sub = command_find(c->name, strlen(c->name), args[1].text, args[1].len);
        c = sub ? c : NULL;
    }
    if (!c) {
        reply_error(&call->reply, "ERR Command '%.*s' not found", ARG_WHOLE(&args[0]));
        return NULL;
    }
    *place = command_place(c, sub);
    c = sub ? sub : c;
    if (c->arity >= 0 ? (int64_t)count != c->arity : (int64_t)count < -c->arity) {
        reply_error(&call->reply, "ERR wrong number of arguments for '%s' command", c->name);
        return NULL;
    }
    return c;
}

static void acl_dryrun(struct call *call)
{
    const struct resp_arg *name = &call->args[2], *args = &call->args[3];
    const struct acl_user *user = acl_users_find(call->admin->users, name->text, name->len);
    struct buffer text = {0};
    uint16_t place;
    size_t at;

    if (!user) {
        reply_error(&call->reply, "ERR User '%.*s' not found", ARG_WHOLE(name));
        return;
    }
    const struct command *c = dryrun_command(call, &place);
    if (!c) {
        return;
    }
    switch (access_verdict(user, c, place, args, call->count - 3, &at)) {
    case ACL_GRANTED:
        reply_simple(&call->reply, "OK");
        return;
    case ACL_NO_COMMAND_RIGHT:
        buffer_printf(&text, "User %s has no permissions to run the '%s' command", user->name,
                      c->name);
        break;
    case ACL_NO_CHANNEL_RIGHT:
        buffer_printf(&text, "User %s has no permissions to access the '%.*s' channel", user->name,
                      ARG_WHOLE(&args[at]));
        break;
    }
    reply_bulk(&call->reply, text.data, text.len);
    buffer_free(&text);
}

/* --- changing -------------------------------------------------------------------------------- */

struct acl_change {
    struct admin_request r;
    char **words; /* the arguments behind the subcommand */
    size_t *lens;
    size_t count;
    struct acl_users *users; /* what the shards get */
};

static void change_dispose(struct admin_request *r)
{
    struct acl_change *change = (struct acl_change *)(void *)r;

    for (size_t i = 0; i < change->count; i++) {
        free(change->words[i]);
    }
    free(change->words);
    free(change->lens);
    acl_users_release(change->users);
}

static void change_visit(struct admin_request *r, struct shard *shard)
{
    struct acl_change *change = (struct acl_change *)(void *)r;
    struct admin *a = shard_admin(shard);

    access_install(a, acl_users_ref(change->users),
                   a->index == r->home ? client_of(a, &r->ticket) : NULL);
}

/* On main: the new set is in force here, and goes to the shards. Takes users. */
static void change_carry(struct acl_change *change, struct acl_users *users, struct mainloop *m)
{
    users->version = mainloop_users(m)->version + 1;
    change->users = acl_users_ref(users);
    mainloop_set_users(m, users);
    change->r.visit = change_visit;
    async_chain(&change->r);
}

static void change_start(struct call *call, void (*step)(struct request *request, void *here))
{
    struct acl_change *change = async_new(call, sizeof *change, true);

    change->r.dispose = change_dispose;
    change->words = calloc(call->count, sizeof *change->words);
    change->lens = calloc(call->count, sizeof *change->lens);
    if (!change->words || !change->lens) {
        abort();
    }
    for (size_t i = 2; i < call->count; i++) {
        change->words[change->count] = arg_copy(&call->args[i]);
        change->lens[change->count++] = call->args[i].len;
    }
    async_main(&change->r, step);
}

/* The user as it will be. NULL: answered with an error. */
static struct acl_user *changed_user(struct acl_change *change, const struct acl_users *users)
{
    struct reply reply = async_reply(&change->r);
    const struct acl_user *old = acl_users_find(users, change->words[0], change->lens[0]);
    struct acl_user *user =
        old ? acl_user_copy(old)
            : acl_user_new(change->words[0], change->lens[0], users->open_channels);
    struct acl_rules rules;
    size_t wrong = 0;
    bool joined = acl_rules_join(&rules, (const char *const *)change->words + 1, change->lens + 1,
                                 change->count - 1, &wrong);
    const char *why = joined ? acl_rules_apply(user, &rules, &wrong) : "";

    if (!joined) {
        reply_error(&reply, "ERR Unmatched parenthesis in acl selector starting at '%s'.",
                    change->words[1 + wrong]);
    } else if (why) {
        reply_error(&reply, "ERR Error in ACL SETUSER modifier '%s': %s", rules.item[wrong].data,
                    why);
    }
    acl_rules_free(&rules);
    if (why) {
        acl_user_release(user);
        return NULL;
    }
    return user;
}

static void setuser_main(struct request *request, void *here)
{
    struct acl_change *change = (struct acl_change *)(void *)request;
    struct reply reply = async_reply(&change->r);
    struct acl_user *user = changed_user(change, mainloop_users(here));

    if (!user) {
        async_home(&change->r);
        return;
    }
    struct acl_users *users = acl_users_copy(mainloop_users(here));
    const char *why = acl_users_put(users, user);
    if (why) {
        acl_users_release(users);
        reply_error(&reply, "ERR %s", why);
        async_home(&change->r);
        return;
    }
    reply_simple(&reply, "OK");
    change_carry(change, users, here);
}

static void acl_setuser(struct call *call)
{
    const struct resp_arg *name = &call->args[2];

    if (!acl_name_valid(name->text, name->len)) {
        reply_error(&call->reply, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    change_start(call, setuser_main);
}

static void deluser_main(struct request *request, void *here)
{
    struct acl_change *change = (struct acl_change *)(void *)request;
    struct reply reply = async_reply(&change->r);
    struct acl_users *users = acl_users_copy(mainloop_users(here));
    int64_t dropped = 0;

    for (size_t i = 0; i < change->count; i++) {
        dropped += acl_users_drop(users, change->words[i], change->lens[i]);
    }
    reply_integer(&reply, dropped);
    if (dropped > 0) {
        change_carry(change, users, here);
    } else {
        acl_users_release(users);
        async_home(&change->r);
    }
}

static void acl_deluser(struct call *call)
{
    for (size_t i = 2; i < call->count; i++) {
        if (call->args[i].len == 7 && memcmp(call->args[i].text, "default", 7) == 0) {
            reply_error(&call->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    change_start(call, deluser_main);
}

/* --- the file -------------------------------------------------------------------------------- */

/* False: answered with an error. */
static bool needs_file(struct acl_change *change, struct mainloop *m)
{
    struct reply reply = async_reply(&change->r);

    if (mainloop_has_aclfile(m)) {
        return true;
    }
    reply_error(&reply, "ERR This Redis instance is not configured to use an ACL file. You may "
                        "want to specify users via the ACL SETUSER command and then issue a CONFIG "
                        "REWRITE (assuming you have a Redis configuration file set) in order to "
                        "store users in the Redis configuration.");
    async_home(&change->r);
    return false;
}

static void load_main(struct request *request, void *here)
{
    struct acl_change *change = (struct acl_change *)(void *)request;
    struct reply reply = async_reply(&change->r);
    char *errors = NULL;

    if (!needs_file(change, here)) {
        return;
    }
    struct acl_users *users = mainloop_read_aclfile(here, &errors);
    if (!users) {
        reply_error(&reply, "ERR %s", errors);
        free(errors);
        async_home(&change->r);
        return;
    }
    reply_simple(&reply, "OK");
    change_carry(change, users, here);
}

static void save_main(struct request *request, void *here)
{
    struct acl_change *change = (struct acl_change *)(void *)request;
    struct reply reply = async_reply(&change->r);

    if (!needs_file(change, here)) {
        return;
    }
    if (mainloop_write_aclfile(here)) {
        reply_simple(&reply, "OK");
    } else {
        reply_error(&reply, "ERR There was an error trying to save the ACLs. Please check the "
                            "server logs for more information");
    }
    async_home(&change->r);
}

static void acl_load(struct call *call)
{
    change_start(call, load_main);
}

static void acl_save(struct call *call)
{
    change_start(call, save_main);
}

/* --- LOG ------------------------------------------------------------------------------------- */

struct log_request {
    struct admin_request r;
    bool reset;
    size_t count;
};

static void put_entry(struct reply *r, const struct acl_log_entry *e, int64_t now)
{
    reply_map(r, 10);
    reply_text(r, "count");
    reply_integer(r, (int64_t)e->count);
    reply_text(r, "reason");
    reply_text(r, acl_reason_name(e->reason));
    reply_text(r, "context");
    reply_text(r, "toplevel");
    reply_text(r, "object");
    reply_text(r, e->object);
    reply_text(r, "username");
    reply_text(r, e->username);
    reply_text(r, "age-seconds");
    reply_double(r, (double)(now - e->updated) / 1000);
    reply_text(r, "client-info");
    reply_text(r, e->client);
    reply_text(r, "entry-id");
    reply_integer(r, (int64_t)e->id);
    reply_text(r, "timestamp-created");
    reply_integer(r, e->created);
    reply_text(r, "timestamp-last-updated");
    reply_integer(r, e->updated);
}

static void log_main(struct request *request, void *here)
{
    struct log_request *l = (struct log_request *)(void *)request;
    struct acl_log *log = mainloop_acl_log(here);
    struct reply reply = async_reply(&l->r);

    if (l->reset) {
        acl_log_reset(log);
        reply_simple(&reply, "OK");
    } else {
        size_t count = l->count < acl_log_count(log) ? l->count : acl_log_count(log);
        int64_t now = clock_wall_ms();
        reply_array(&reply, count);
        for (size_t i = 0; i < count; i++) {
            put_entry(&reply, acl_log_at(log, i), now);
        }
    }
    async_home(&l->r);
}

static void acl_log(struct call *call)
{
    int64_t count = 10;
    bool reset = call->count == 3 && arg_is(&call->args[2], "reset");

    if (call->count > 3) {
        reply_too_many(call, "LOG");
        return;
    }
    if (call->count == 3 && !reset && !arg_integer(&call->args[2], &count)) {
        reply_error(&call->reply, "ERR value is not an integer or out of range");
        return;
    }
    struct log_request *l = async_new(call, sizeof *l, true);
    l->reset = reset;
    l->count = count > 0 ? (size_t)count : 0;
    async_main(&l->r, log_main);
}

/* --- the table ------------------------------------------------------------------------------- */

static void acl_help(struct call *call)
{
    static const char *const lines[] = {
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CAT [<category>]",
        "    All categories, or the commands of one.",
        "DELUSER <username> [<username> ...]",
        "    Removes users and closes their connections.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Whether the user could run the command.",
        "GETUSER <username>",
        "    What a user may do.",
        "GENPASS [<bits>]",
        "    A random password, of 256 bits unless told otherwise.",
        "LIST",
        "    All users as lines of a file.",
        "LOAD",
        "    Reads the ACL file again.",
        "LOG [<count> | RESET]",
        "    What was refused lately, newest first.",
        "SAVE",
        "    Writes the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Makes or changes a user.",
        "USERS",
        "    All user names.",
        "WHOAMI",
        "    The user of this connection.",
        "HELP",
        "    This text.",
    };
    reply_lines(call, lines, sizeof lines / sizeof lines[0]);
}

#define BASIC      (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)
#define RESTRICTED (BASIC | COMMAND_ADMIN | COMMAND_DANGEROUS)
#define ACL(sub, count, bits, what, version)                                                       \
    {                                                                                              \
        .name = "acl|" sub, .arity = count, .flags = bits, .run = what, .since = version,          \
        .group = "server"                                                                          \
    }
const struct command acl_subcommands[] = {
    ACL("cat", -2, BASIC, acl_cat, "6.0.0"),
    ACL("deluser", -3, RESTRICTED, acl_deluser, "6.0.0"),
    ACL("dryrun", -4, RESTRICTED, acl_dryrun, "7.0.0"),
    ACL("genpass", -2, BASIC, acl_genpass, "6.0.0"),
    ACL("getuser", 3, RESTRICTED, acl_getuser, "6.0.0"),
    ACL("help", 2, COMMAND_LOADING | COMMAND_STALE, acl_help, "6.0.0"),
    ACL("list", 2, RESTRICTED, acl_lines, "6.0.0"),
    ACL("load", 2, RESTRICTED, acl_load, "6.0.0"),
    ACL("log", -2, RESTRICTED, acl_log, "6.0.0"),
    ACL("save", 2, RESTRICTED, acl_save, "6.0.0"),
    ACL("setuser", -3, RESTRICTED, acl_setuser, "6.0.0"),
    ACL("users", 2, RESTRICTED, acl_names, "6.0.0"),
    ACL("whoami", 2, BASIC, acl_whoami, "6.0.0"),
};
const size_t acl_subcommand_count = sizeof acl_subcommands / sizeof acl_subcommands[0];
