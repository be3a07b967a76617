#include "admin/command.h"

#include "acl/catalogue.h"
#include "admin/access.h"
#include "admin/admin.h"

#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 255 /* of "command|subcommand"; anything longer is unknown */
#define BUCKETS      512

#define FLAGS_BASIC     (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)
#define FLAGS_SUBSCRIBE (FLAGS_BASIC | COMMAND_PUBSUB | COMMAND_SUBSCRIBED)
#define FLAGS_GREETING  (FLAGS_BASIC | COMMAND_FAST | COMMAND_NO_AUTH | COMMAND_ALLOW_BUSY)

const struct command command_table[] = {
    {.name = "acl",
     .arity = -2,
     .subcommands = acl_subcommands,
     .since = "6.0.0",
     .group = "server"},
    {.name = "auth",
     .arity = -2,
     .flags = FLAGS_GREETING | COMMAND_CONNECTION,
     .run = command_auth,
     .since = "1.0.0",
     .group = "connection"},
    {.name = "client",
     .arity = -2,
     .subcommands = client_subcommands,
     .since = "2.4.0",
     .group = "connection"},
    {.name = "command",
     .arity = -1,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_CONNECTION,
     .run = command_command,
     .subcommands = command_subcommands,
     .since = "2.8.13",
     .group = "server",
     .tips = "nondeterministic_output_order"},
    {.name = "hello",
     .arity = -1,
     .flags = FLAGS_GREETING | COMMAND_CONNECTION,
     .run = command_hello,
     .since = "6.0.0",
     .group = "connection"},
    {.name = "info",
     .arity = -1,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_DANGEROUS,
     .run = command_info,
     .since = "1.0.0",
     .group = "server",
     .tips = "nondeterministic_output request_policy:all_shards response_policy:special"},
    {.name = "ping",
     .arity = -1,
     .flags = COMMAND_FAST | COMMAND_CONNECTION | COMMAND_SUBSCRIBED,
     .run = command_ping,
     .since = "1.0.0",
     .group = "connection",
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "psubscribe",
     .arity = -2,
     .flags = FLAGS_SUBSCRIBE | COMMAND_PATTERNS,
     .run = command_psubscribe,
     .since = "2.0.0",
     .group = "pubsub"},
    {.name = "publish",
     .arity = 3,
     .flags = COMMAND_PUBSUB | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_CHANNEL,
     .run = command_publish,
     .since = "2.0.0",
     .group = "pubsub"},
    {.name = "punsubscribe",
     .arity = -1,
     .flags = FLAGS_SUBSCRIBE,
     .run = command_punsubscribe,
     .since = "2.0.0",
     .group = "pubsub"},
    {.name = "quit",
     .arity = -1,
     .flags = FLAGS_GREETING | COMMAND_CONNECTION | COMMAND_SUBSCRIBED,
     .run = command_quit,
     .since = "1.0.0",
     .group = "connection"},
    {.name = "reset",
     .arity = 1,
     .flags = FLAGS_GREETING | COMMAND_CONNECTION | COMMAND_SUBSCRIBED,
     .run = command_reset,
     .since = "6.2.0",
     .group = "connection"},
    {.name = "role",
     .arity = 1,
     .flags = FLAGS_BASIC | COMMAND_FAST | COMMAND_ADMIN_ONLY | COMMAND_DANGEROUS,
     .run = command_role,
     .since = "2.8.12",
     .group = "server"},
    {.name = "sentinel",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_DANGEROUS,
     .subcommands = sentinel_subcommands,
     .since = "2.8.4",
     .group = "sentinel"},
    {.name = "shutdown",
     .arity = -1,
     .flags =
         FLAGS_BASIC | COMMAND_ADMIN | COMMAND_DANGEROUS | COMMAND_NO_MULTI | COMMAND_ALLOW_BUSY,
     .run = command_shutdown,
     .since = "1.0.0",
     .group = "server"},
    {.name = "subscribe",
     .arity = -2,
     .flags = FLAGS_SUBSCRIBE | COMMAND_CHANNELS,
     .run = command_subscribe,
     .since = "2.0.0",
     .group = "pubsub"},
    {.name = "unsubscribe",
     .arity = -1,
     .flags = FLAGS_SUBSCRIBE,
     .run = command_unsubscribe,
     .since = "2.0.0",
     .group = "pubsub"},
};
const size_t command_count = sizeof command_table / sizeof command_table[0];

/* --- finding --------------------------------------------------------------------------------- */

struct bucket {
    const char *name; /* lower case; what clients call it: rename-command may have changed it */
    size_t len;
    const struct command *command;
};
static struct bucket buckets[BUCKETS]; /* written before the threads start */

/* Every request has two looked up: eight bytes a step. */
static unsigned hash_name(const char *name, size_t len)
{
    uint64_t hash = len, word;

    for (; len >= sizeof word; name += sizeof word, len -= sizeof word) {
        memcpy(&word, name, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, name, len);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return (unsigned)(hash >> 32) & (BUCKETS - 1);
}

static void insert(const char *name, const struct command *command)
{
    size_t len = strlen(name);
    unsigned at = hash_name(name, len);

    assert(len <= NAME_MAX_LEN);
    while (buckets[at].name) {
        at = (at + 1) & (BUCKETS - 1);
    }
    buckets[at] = (struct bucket){name, len, command};
}

static size_t subcommand_count(const struct command *command)
{
    if (command->subcommands == client_subcommands) {
        return client_subcommand_count;
    }
    if (command->subcommands == command_subcommands) {
        return command_subcommand_count;
    }
    if (command->subcommands == sentinel_subcommands) {
        return sentinel_subcommand_count;
    }
    if (command->subcommands == acl_subcommands) {
        return acl_subcommand_count;
    }
    return 0;
}

/* What permissions are about: all commands, then the subcommands of the first, … */
static struct acl_command catalogue[LIMIT_ACL_COMMANDS];
static uint16_t first_subcommand[LIMIT_ACL_COMMANDS]; /* by the command's place */
static size_t catalogue_count;

uint32_t command_categories(const struct command *c)
{
    static const struct {
        unsigned flag;
        enum acl_category category;
    } table[] = {{COMMAND_PUBSUB, ACL_PUBSUB},
                 {COMMAND_ADMIN | COMMAND_ADMIN_ONLY, ACL_ADMIN},
                 {COMMAND_FAST, ACL_FAST},
                 {COMMAND_DANGEROUS, ACL_DANGEROUS},
                 {COMMAND_CONNECTION, ACL_CONNECTION}};
    uint32_t categories = c->flags & COMMAND_FAST ? 0 : (uint32_t)1 << ACL_SLOW;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        categories |= c->flags & table[i].flag ? (uint32_t)1 << table[i].category : 0;
    }
    return categories;
}

static void list(const struct command *c, uint16_t parent)
{
    assert(catalogue_count < LIMIT_ACL_COMMANDS);
    catalogue[catalogue_count] = (struct acl_command){.name = c->name,
                                                      .categories = command_categories(c),
                                                      .parent = parent,
                                                      .same = (uint16_t)catalogue_count,
                                                      .container = subcommand_count(c) > 0,
                                                      .always = c->flags & COMMAND_NO_AUTH};
    catalogue_count++;
}

/* A command has one permission, whatever it is called. */
static void join_names(const struct command *c, size_t first)
{
    for (size_t i = 0; i < subcommand_count(c); i++) {
        for (size_t j = 0; c->subcommands[i].same && j < subcommand_count(c); j++) {
            if (strcmp(c->subcommands[j].name, c->subcommands[i].same) == 0) {
                catalogue[first + i].same = (uint16_t)(first + j);
            }
        }
        assert(!(c->subcommands[i].flags & COMMAND_HIDDEN) ||
               catalogue[first + i].same != first + i);
    }
}

static void fill(void)
{
    for (size_t i = 0; i < command_count; i++) {
        insert(command_table[i].name, &command_table[i]);
        list(&command_table[i], ACL_NO_COMMAND);
    }
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        first_subcommand[i] = (uint16_t)catalogue_count;
        for (size_t j = 0; j < subcommand_count(c); j++) {
            insert(c->subcommands[j].name, &c->subcommands[j]);
            list(&c->subcommands[j], (uint16_t)i);
        }
        join_names(c, first_subcommand[i]);
    }
    assert(catalogue_count < BUCKETS / 2);
    acl_catalogue_set(catalogue, catalogue_count);
}

uint16_t command_place(const struct command *c, const struct command *sub)
{
    size_t place = (size_t)(c - command_table);

    assert(place < command_count);
    return (uint16_t)(sub ? first_subcommand[place] + (size_t)(sub - c->subcommands) : place);
}

void command_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, fill);
}

size_t command_subcommands_of(const struct command *command)
{
    return subcommand_count(command);
}

/* Capital letters of ASCII become small ones in all eight bytes. */
static uint64_t fold_word(uint64_t word)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t low = word & 0x7f * each; /* so that no sum reaches the next byte */
    uint64_t from_a = low + (0x80 - 'A') * each, beyond_z = low + (0x80 - 'Z' - 1) * each;
    uint64_t capital = from_a & ~beyond_z & ~word & 0x80 * each;

    return word | capital >> 2;
}

static void fold_eight(char *out, const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    word = fold_word(word);
    memcpy(out, &word, sizeof word);
}

static size_t fold(char *out, const char *text, size_t len)
{
    if (len < 8) {
        for (size_t i = 0; i < len; i++) {
            bool capital = text[i] >= 'A' && text[i] <= 'Z';
            out[i] = (char)(capital ? text[i] + ('a' - 'A') : text[i]);
        }
        return len;
    }
    for (size_t at = 0; at + 8 < len; at += 8) {
        fold_eight(out + at, text + at);
    }
    fold_eight(out + len - 8, text + len - 8); /* some of them a second time */
    return len;
}

static struct bucket *find_bucket(const char *key, size_t len)
{
    for (unsigned at = hash_name(key, len); buckets[at].name; at = (at + 1) & (BUCKETS - 1)) {
        if (buckets[at].len == len && memcmp(buckets[at].name, key, len) == 0) {
            return &buckets[at];
        }
    }
    return NULL;
}

const struct command *command_find(const char *name, size_t len, const char *sub, size_t sub_len)
{
    char key[NAME_MAX_LEN + 1];

    if (len > NAME_MAX_LEN ||
        (sub && (sub_len > NAME_MAX_LEN || len + 1 + sub_len > NAME_MAX_LEN))) {
        return NULL;
    }
    size_t key_len = fold(key, name, len);
    if (sub) {
        key[key_len++] = '|';
        key_len += fold(key + key_len, sub, sub_len);
    }
    const struct bucket *bucket = find_bucket(key, key_len);
    return bucket ? bucket->command : NULL;
}

void admin_prepare(void)
{
    command_init();
}

bool admin_rename(const char *from, const char *to)
{
    char key[NAME_MAX_LEN + 1];
    size_t len = strlen(from), to_len = strlen(to);

    command_init();
    if (len > NAME_MAX_LEN || to_len > NAME_MAX_LEN || strchr(to, '|')) {
        return false;
    }
    struct bucket *bucket = find_bucket(key, fold(key, from, len));
    if (!bucket || !bucket->command || strchr(bucket->command->name, '|')) {
        return false;
    }
    /* The old name stays in its place, so that what lies behind it is still found. */
    const struct command *command = bucket->command;
    bucket->command = NULL;
    if (to_len == 0) {
        return true;
    }
    fold(key, to, to_len);
    struct bucket *taken = find_bucket(key, to_len);
    if (taken) {
        bool free_place = taken->command == NULL;
        taken->command = free_place ? command : taken->command;
        bucket->command = free_place ? bucket->command : command;
        return free_place;
    }
    key[to_len] = '\0';
    char *name = strdup(key); /* for the life of the process */
    if (!name) {
        abort();
    }
    insert(name, command);
    return true;
}

/* --- helpers --------------------------------------------------------------------------------- */

bool arg_is(const struct resp_arg *arg, const char *word)
{
    return arg->len == strlen(word) && strncasecmp(arg->text, word, arg->len) == 0;
}

bool arg_integer(const struct resp_arg *arg, int64_t *out)
{
    bool negative = arg->len > 0 && arg->text[0] == '-';
    uint64_t value;

    if (!parse_u64(arg->text + negative, arg->len - negative, INT64_MAX, &value)) {
        return false;
    }
    if (arg->text[negative] == '0' && arg->len > 1) { /* numbers have one spelling */
        return false;
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

bool arg_yes_no(const struct resp_arg *arg, bool *out)
{
    *out = arg_is(arg, "yes");
    return *out || arg_is(arg, "no");
}

char *arg_copy(const struct resp_arg *arg)
{
    char *copy = malloc(arg->len + 1);

    if (!copy) {
        abort();
    }
    memcpy(copy, arg->text, arg->len);
    copy[arg->len] = '\0';
    return copy;
}

void reply_wrong_arity(struct call *call)
{
    reply_error(&call->reply, "ERR wrong number of arguments for '%s' command",
                call->command->name);
}

void reply_syntax_error(struct call *call)
{
    reply_error(&call->reply, "ERR syntax error");
}

void reply_lines(struct call *call, const char *const *lines, size_t count)
{
    reply_array(&call->reply, count);
    for (size_t i = 0; i < count; i++) {
        reply_simple(&call->reply, lines[i]);
    }
}

/* --- executing ------------------------------------------------------------------------------- */

static void reply_unknown(struct call *call)
{
    char shown[160];
    size_t len = 0;

    for (size_t i = 1; i < call->count && len < 128; i++) {
        int room = 128 - (int)len;
        int size = call->args[i].len < (size_t)room ? (int)call->args[i].len : room;
        len +=
            (size_t)snprintf(shown + len, sizeof shown - len, "'%.*s' ", size, call->args[i].text);
    }
    shown[len] = '\0';
    reply_error(&call->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                ARG_SHOWN(&call->args[0]), shown);
}

static void reply_unknown_subcommand(struct call *call)
{
    char upper[NAME_MAX_LEN + 1];
    size_t len = strlen(call->command->name);

    for (size_t i = 0; i <= len; i++) {
        upper[i] = (char)toupper((unsigned char)call->command->name[i]);
    }
    reply_error(&call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                ARG_SHOWN(&call->args[1]), upper);
}

/* A browser that was tricked into talking to this port begins like this. */
static bool is_http(const struct resp_arg *word)
{
    return arg_is(word, "post") || arg_is(word, "host:");
}

/* Finds the command and checks all that does not depend on it alone. False: answered. */
static bool admit(struct call *call)
{
    const struct resp_arg *args = call->args;
    struct client *c = call->client;

    if (is_http(&args[0])) {
        shard_log(call->admin->shard, EVENT_WARNING,
                  "A client at %s speaks HTTP: somebody may be attacking through a browser. "
                  "Connection closed.",
                  c->peer.ip);
        client_close(c);
        return false;
    }
    call->command = command_find(args[0].text, args[0].len, NULL, 0);
    if (!call->command || memchr(args[0].text, '|', args[0].len)) {
        reply_unknown(call);
        return false;
    }
    call->place = command_place(call->command, NULL);
    if (call->command->subcommands && call->count > 1) {
        const struct command *sub = command_find(call->command->name, strlen(call->command->name),
                                                 args[1].text, args[1].len);
        if (!sub) {
            reply_unknown_subcommand(call);
            return false;
        }
        call->place = command_place(call->command, sub);
        call->command = sub;
    }
    int64_t count = (int64_t)call->count, arity = call->command->arity;
    if (arity >= 0 ? count != arity : count < -arity) {
        reply_wrong_arity(call);
        return false;
    }
    if (!access_open(c) && !(call->command->flags & COMMAND_NO_AUTH)) {
        reply_error(&call->reply, "NOAUTH Authentication required.");
        return false;
    }
    if (!access_check(call)) {
        return false;
    }
    if (c->proto == 2 && client_subscribed(c) > 0 && !(call->command->flags & COMMAND_SUBSCRIBED)) {
        reply_error(&call->reply,
                    "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT "
                    "/ RESET are allowed in this context",
                    call->command->name);
        return false;
    }
    return true;
}

void command_execute(struct client *c, const struct resp_arg *args, size_t count)
{
    struct admin *a = c->admin;
    struct call call = {.admin = a, .client = c, .args = args, .count = count};
    size_t start = a->scratch.len;

    assert(count > 0 && a->current == c);
    call.reply = (struct reply){&a->scratch, c->proto};
    a->commands++;
    if (admit(&call)) {
        c->last = call.command;
        call.command->run(&call);
        if (c->tracking.caching && strncmp(call.command->name, "client|", 7) != 0) {
            c->tracking.caching = false;
        }
    }
    if (a->scratch.len > start) {
        a->total_errors += a->scratch.data[start] == '-';
        if ((c->mode == REPLY_OFF || c->mode == REPLY_SKIP) && !call.pushes) {
            a->scratch.len = start;
        }
    }
    if (c->mode == REPLY_SKIP) {
        c->mode = REPLY_ON;
    } else if (c->mode == REPLY_SKIP_NEXT) {
        c->mode = REPLY_SKIP;
    }
}
