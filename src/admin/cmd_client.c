/* CLIENT and its subcommands. */
#include "acl/acl.h"
#include "admin/async.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_NAME_ERROR "ERR Client names cannot contain spaces, newlines or special characters."

/* --- the connection itself ------------------------------------------------------------------- */

static bool text_valid(const struct resp_arg *text)
{
    for (size_t i = 0; i < text->len; i++) {
        if (text->text[i] < '!' || text->text[i] > '~') {
            return false;
        }
    }
    return true;
}

bool client_name_valid(const struct resp_arg *name)
{
    return name->len <= 1024 && text_valid(name);
}

void client_set_text(char **field, const struct resp_arg *value)
{
    free(*field);
    *field = value && value->len > 0 ? arg_copy(value) : NULL;
}

static void client_id(struct call *call)
{
    reply_integer(&call->reply, (int64_t)call->client->id);
}

static void client_getname(struct call *call)
{
    if (call->client->name) {
        reply_text(&call->reply, call->client->name);
    } else {
        reply_null(&call->reply);
    }
}

static void client_setname(struct call *call)
{
    if (!client_name_valid(&call->args[2])) {
        reply_error(&call->reply, REPLY_NAME_ERROR);
        return;
    }
    client_set_text(&call->client->name, &call->args[2]);
    client_named(call->client);
    reply_simple(&call->reply, "OK");
}

static void client_setinfo(struct call *call)
{
    const struct resp_arg *what = &call->args[2], *value = &call->args[3];
    bool version = arg_is(what, "lib-ver");

    if (!version && !arg_is(what, "lib-name")) {
        reply_error(&call->reply, "ERR Unrecognized option '%.*s'", ARG_WHOLE(what));
    } else if (!client_name_valid(value)) {
        reply_error(&call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                    version ? "lib-ver" : "lib-name");
    } else {
        struct client *c = call->client;
        client_set_text(version ? &c->library_version : &c->library, value);
        reply_simple(&call->reply, "OK");
    }
}

static void client_reply(struct call *call)
{
    struct client *c = call->client;
    const struct resp_arg *mode = &call->args[2];

    if (arg_is(mode, "on")) {
        c->mode = REPLY_ON;
        reply_simple(&call->reply, "OK");
    } else if (arg_is(mode, "off")) {
        c->mode = REPLY_OFF;
    } else if (arg_is(mode, "skip")) {
        if (c->mode != REPLY_OFF) {
            c->mode = REPLY_SKIP_NEXT;
        }
    } else {
        reply_syntax_error(call);
    }
}

/* ON or OFF. False: answered with an error. */
static bool parse_on_off(struct call *call, bool *on)
{
    *on = arg_is(&call->args[2], "on");
    if (*on || arg_is(&call->args[2], "off")) {
        return true;
    }
    reply_syntax_error(call);
    return false;
}

static void client_no_evict(struct call *call)
{
    bool on;

    if (!parse_on_off(call, &on)) {
        return;
    }
    call->client->no_evict = on;
    reply_simple(&call->reply, "OK");
}

static void client_no_touch(struct call *call)
{
    bool on;

    if (!parse_on_off(call, &on)) {
        return;
    }
    call->client->no_touch = on;
    reply_simple(&call->reply, "OK");
}

/* Of some subcommands, more arguments than they take are told like this. */
static void reply_wrong_form(struct call *call)
{
    reply_error(&call->reply,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                ARG_SHOWN(&call->args[1]));
}

static void client_unblock(struct call *call)
{
    int64_t id;

    if (call->count > 4) {
        reply_wrong_form(call);
    } else if (call->count == 4 && !arg_is(&call->args[3], "timeout") &&
               !arg_is(&call->args[3], "error")) {
        reply_error(&call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    } else if (!arg_integer(&call->args[2], &id)) {
        reply_error(&call->reply, "ERR value is not an integer or out of range");
    } else {
        reply_integer(&call->reply, 0); /* nobody blocks here */
    }
}

/* --- LIST and INFO --------------------------------------------------------------------------- */

#define ENDPOINT_TEXT (ADDRESS_TEXT + 128) /* holds the path of a unix socket, too */

/* As stock: an address, or the path of unixsocket with port 0. */
static void endpoint(const struct client *c, const struct address *at, char out[ENDPOINT_TEXT])
{
    if (c->unix_socket) {
        (void)snprintf(out, ENDPOINT_TEXT, "%s:0", c->admin->process->options.unix_socket);
    } else {
        address_format(at, out);
    }
}

void client_describe(const struct client *c, struct buffer *out)
{
    char peer[ENDPOINT_TEXT], local[ENDPOINT_TEXT], flags[16];
    ms_t now = shard_now(c->admin->shard);
    size_t unsent = c->doomed ? 0 : stream_unsent(c->stream), flag = 0;

    endpoint(c, &c->peer, peer);
    endpoint(c, &c->local, local);
    if (client_subscribed(c) > 0) {
        flags[flag++] = 'P';
    }
    if (c->tracking.on) {
        flags[flag++] = 't';
    }
    if (c->tracking.bcast) {
        flags[flag++] = 'B';
    }
    if (c->goodbye) {
        flags[flag++] = 'c';
    }
    if (c->unix_socket) {
        flags[flag++] = 'U';
    }
    if (c->no_evict) {
        flags[flag++] = 'e';
    }
    if (c->no_touch) {
        flags[flag++] = 'T';
    }
    if (flag == 0) {
        flags[flag++] = 'N';
    }
    flags[flag] = '\0';
    buffer_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s",
                  (unsigned long long)c->id, peer, local, c->fd, c->name ? c->name : "",
                  (long long)(now - c->created) / 1000, (long long)(now - c->active) / 1000, flags);
    buffer_printf(out, " db=0 sub=%u psub=%u ssub=0 multi=-1 watch=0",
                  (unsigned)c->subscriptions[TOPIC_CHANNEL].count,
                  (unsigned)c->subscriptions[TOPIC_PATTERN].count);
    buffer_printf(out, " qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=0 rbs=0 rbp=0",
                  c->input.len - c->input_used, c->input.cap - c->input.len,
                  c->parser.arg_cap * sizeof(struct resp_arg));
    buffer_printf(out, " obl=%zu oll=%llu omem=%zu tot-mem=%zu events=%s cmd=%s", unsent,
                  (unsigned long long)(c->after - c->first), unsent + c->held, client_memory(c),
                  unsent ? "rw" : "r", c->last ? c->last->name : "NULL");
    buffer_printf(out, " user=%s redir=%lld resp=%d lib-name=%s lib-ver=%s\n", c->user->name,
                  c->tracking.on ? (long long)c->tracking.redirect : -1, c->proto,
                  c->library ? c->library : "", c->library_version ? c->library_version : "");
}

static void client_info(struct call *call)
{
    struct buffer text = {0};

    client_describe(call->client, &text);
    reply_verbatim(&call->reply, text.data, text.len);
    buffer_free(&text);
}

enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_PUBSUB, TYPE_OTHER /* masters, replicas: none */ };

/* False: answered with an error. */
static bool parse_type(struct call *call, const struct resp_arg *arg, enum client_type *type)
{
    if (arg_is(arg, "normal")) {
        *type = TYPE_NORMAL;
    } else if (arg_is(arg, "pubsub")) {
        *type = TYPE_PUBSUB;
    } else if (arg_is(arg, "master") || arg_is(arg, "primary") || arg_is(arg, "replica") ||
               arg_is(arg, "slave")) {
        *type = TYPE_OTHER;
    } else {
        reply_error(&call->reply, "ERR Unknown client type '%.*s'", ARG_WHOLE(arg));
        return false;
    }
    return true;
}

static bool has_type(const struct client *c, enum client_type type)
{
    bool pubsub = client_subscribed(c) > 0;

    return type == TYPE_ANY || (type == TYPE_NORMAL && !pubsub) || (type == TYPE_PUBSUB && pubsub);
}

#define LIST_IDS 16384 /* of one CLIENT LIST: each may give a line; more: an error */

struct list_entry {
    uint64_t id;
    size_t offset, len;
};

struct list_request {
    struct admin_request r;
    enum client_type type;
    uint64_t *given; /* ids as they were asked for; NULL: all clients */
    uint64_t *ids;   /* the same, sorted */
    size_t id_count;
    struct buffer lines;
    struct list_entry *entries;
    size_t count, cap;
};

static void list_add(struct list_request *list, const struct client *c)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->entries = realloc(list->entries, list->cap * sizeof *list->entries);
        if (!list->entries) {
            abort();
        }
    }
    size_t offset = list->lines.len;
    client_describe(c, &list->lines);
    list->entries[list->count++] = (struct list_entry){c->id, offset, list->lines.len - offset};
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void list_visit(struct admin_request *r, struct shard *shard)
{
    struct list_request *list = (struct list_request *)(void *)r;
    uint32_t cursor = 0;
    struct client *c;

    while ((c = client_next(shard_admin(shard), &cursor))) {
        bool wanted = !list->ids ||
                      bsearch(&c->id, list->ids, list->id_count, sizeof *list->ids, compare_ids);
        if (wanted && has_type(c, list->type)) {
            list_add(list, c);
        }
    }
}

static void list_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct list_request *list = (struct list_request *)(void *)r;
    struct buffer text = {0};
    struct reply reply = async_reply(r);

    /* An entry begins with its id. */
    if (list->count > 0) {
        qsort(list->entries, list->count, sizeof *list->entries, compare_ids);
    }
    for (size_t i = 0; i < (list->given ? list->id_count : list->count); i++) {
        const struct list_entry *entry = !list->given ? &list->entries[i]
                                         : list->count > 0
                                             ? bsearch(&list->given[i], list->entries, list->count,
                                                       sizeof *list->entries, compare_ids)
                                             : NULL;
        if (entry) {
            buffer_append(&text, list->lines.data + entry->offset, entry->len);
        }
    }
    reply_verbatim(&reply, text.data, text.len);
    buffer_free(&text);
}

static void list_dispose(struct admin_request *r)
{
    struct list_request *list = (struct list_request *)(void *)r;

    free(list->given);
    free(list->ids);
    free(list->entries);
    buffer_free(&list->lines);
}

/* The ids from args[3] on; NULL: answered with an error. */
static uint64_t *parse_ids(struct call *call)
{
    size_t count = call->count - 3;
    if (count > LIST_IDS) {
        reply_error(&call->reply, "ERR too many client IDs");
        return NULL;
    }
    uint64_t *ids = calloc(count, sizeof *ids);

    if (!ids) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        int64_t id;
        if (!arg_integer(&call->args[3 + i], &id)) {
            reply_error(&call->reply, "ERR Invalid client ID");
            free(ids);
            return NULL;
        }
        ids[i] = (uint64_t)id;
    }
    return ids;
}

static uint64_t *sorted_copy(const uint64_t *ids, size_t count)
{
    uint64_t *copy = malloc(count * sizeof *copy);

    if (!copy) {
        abort();
    }
    memcpy(copy, ids, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, compare_ids);
    return copy;
}

static void client_list(struct call *call)
{
    enum client_type type = TYPE_ANY;
    uint64_t *given = NULL;

    if (call->count == 4 && arg_is(&call->args[2], "type")) {
        if (!parse_type(call, &call->args[3], &type)) {
            return;
        }
    } else if (call->count > 3 && arg_is(&call->args[2], "id")) {
        given = parse_ids(call);
        if (!given) {
            return;
        }
    } else if (call->count != 2) {
        reply_syntax_error(call);
        return;
    }
    /* The client waits: the list says nothing of requests behind it. */
    struct list_request *list = async_new(call, sizeof *list, true);
    list->type = type;
    list->given = given;
    if (given) {
        list->id_count = call->count - 3;
        list->ids = sorted_copy(given, list->id_count);
    }
    list->r.visit = list_visit;
    list->r.finish = list_finish;
    list->r.dispose = list_dispose;
    async_chain(&list->r);
}

/* --- KILL ------------------------------------------------------------------------------------ */

struct kill_request {
    struct admin_request r;
    uint64_t id;                                            /* 0: any */
    char addr[ENDPOINT_TEXT + 8], laddr[ENDPOINT_TEXT + 8]; /* "": any */
    enum client_type type;
    int64_t max_age;  /* seconds; -1: any */
    const char *user; /* of `users`; NULL: any */
    struct acl_users *users;
    bool skip_me, old_form;
    bool me; /* the caller is among them: it goes after its reply */
    uint32_t killed;
};

static bool address_is(const struct client *c, const struct address *a, const char *text)
{
    char own[ENDPOINT_TEXT];

    endpoint(c, a, own);
    return text[0] == '\0' || strcmp(own, text) == 0;
}

static bool to_be_killed(const struct kill_request *k, const struct client *c)
{
    ms_t age = shard_now(c->admin->shard) - c->created;

    return (k->id == 0 || k->id == c->id) && address_is(c, &c->peer, k->addr) &&
           address_is(c, &c->local, k->laddr) && has_type(c, k->type) &&
           (k->max_age < 0 || age / 1000 >= k->max_age) &&
           (!k->user || strcmp(c->user->name, k->user) == 0);
}

static void kill_visit(struct admin_request *r, struct shard *shard)
{
    struct kill_request *k = (struct kill_request *)(void *)r;
    struct admin *a = shard_admin(shard);
    const struct client *me = a->index == r->home ? client_of(a, &r->ticket) : NULL;
    uint32_t cursor = 0;
    struct client *c;

    while ((c = client_next(a, &cursor))) {
        if (!to_be_killed(k, c) || (c == me && k->skip_me)) {
            continue;
        }
        k->killed++;
        if (c == me) {
            k->me = true;
        } else {
            client_close(c);
        }
    }
    admin_settle(a);
}

static void kill_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct kill_request *k = (struct kill_request *)(void *)r;
    struct reply reply = async_reply(r);

    if (!k->old_form) {
        reply_integer(&reply, k->killed);
    } else if (k->killed > 0) {
        reply_simple(&reply, "OK");
    } else {
        reply_error(&reply, "ERR No such client");
    }
    if (c && k->me) {
        client_goodbye(c);
    }
}

static void kill_dispose(struct admin_request *r)
{
    acl_users_release(((struct kill_request *)(void *)r)->users);
}

static void copy_address(char *out, size_t size, const struct resp_arg *arg)
{
    /* Longer than any address: matches none. */
    size_t len = arg->len < size ? arg->len : size - 1;

    memcpy(out, arg->text, len);
    out[len] = '\0';
    if (len == 0) {
        memcpy(out, "-", 2);
    }
}

/* One option and its value. False: answered with an error. */
static bool parse_kill(struct call *call, struct kill_request *k, const struct resp_arg *option,
                       const struct resp_arg *value)
{
    int64_t number;

    if (arg_is(option, "id")) {
        if (!arg_integer(value, &number) || number < 1) {
            reply_error(&call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        k->id = (uint64_t)number;
    } else if (arg_is(option, "maxage")) {
        if (!arg_integer(value, &number)) {
            reply_error(&call->reply, "ERR maxage is not an integer or out of range");
            return false;
        }
        if (number < 1) {
            reply_error(&call->reply, "ERR maxage should be greater than 0");
            return false;
        }
        k->max_age = number;
    } else if (arg_is(option, "type")) {
        return parse_type(call, value, &k->type);
    } else if (arg_is(option, "addr")) {
        copy_address(k->addr, sizeof k->addr, value);
    } else if (arg_is(option, "laddr")) {
        copy_address(k->laddr, sizeof k->laddr, value);
    } else if (arg_is(option, "user")) {
        const struct acl_user *user = acl_users_find(call->admin->users, value->text, value->len);
        if (!user) {
            reply_error(&call->reply, "ERR No such user '%.*s'", ARG_WHOLE(value));
            return false;
        }
        k->user = user->name;
    } else if (!arg_is(option, "skipme") || !arg_yes_no(value, &k->skip_me)) {
        reply_syntax_error(call);
        return false;
    }
    return true;
}

static void client_kill(struct call *call)
{
    struct kill_request parsed = {.skip_me = true, .max_age = -1};

    if (call->count == 3) {
        parsed.old_form = true;
        parsed.skip_me = false;
        copy_address(parsed.addr, sizeof parsed.addr, &call->args[2]);
    } else {
        for (size_t i = 2; i < call->count; i += 2) {
            if (i + 1 == call->count) {
                reply_syntax_error(call);
                return;
            }
            if (!parse_kill(call, &parsed, &call->args[i], &call->args[i + 1])) {
                return;
            }
        }
    }
    struct kill_request *k = async_new(call, sizeof *k, true);
    parsed.r = k->r;
    *k = parsed;
    k->users = acl_users_ref(call->admin->users); /* holds the name */
    k->r.dispose = kill_dispose;
    k->r.visit = kill_visit;
    k->r.finish = kill_finish;
    async_chain(&k->r);
}

/* --- PAUSE and UNPAUSE ----------------------------------------------------------------------- */

struct pause_request {
    struct admin_request r;
    ms_t period; /* 0: UNPAUSE */
};

static void pause_visit(struct admin_request *r, struct shard *shard)
{
    struct pause_request *p = (struct pause_request *)(void *)r;
    struct admin *a = shard_admin(shard);
    ms_t until = shard_now(shard) + p->period;

    if (p->period == 0) {
        /* The turn lets everybody go on. */
        if (a->pause_until > 0) {
            a->pause_until = shard_now(shard);
        }
    } else if (until > a->pause_until) {
        a->pause_until = until;
    }
}

static void pause_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct reply reply = async_reply(r);

    reply_simple(&reply, "OK");
}

static void pause_everybody(struct call *call, ms_t period)
{
    struct pause_request *p = async_new(call, sizeof *p, true);

    p->period = period;
    p->r.visit = pause_visit;
    p->r.finish = pause_finish;
    async_chain(&p->r);
}

static void client_pause(struct call *call)
{
    int64_t period;
    bool all = true;

    if (call->count > 4) {
        reply_wrong_form(call);
        return;
    }
    if (call->count == 4) {
        all = arg_is(&call->args[3], "all");
        if (!all && !arg_is(&call->args[3], "write")) {
            reply_error(&call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!arg_integer(&call->args[2], &period) || period > INT64_MAX / 2) {
        reply_error(&call->reply, "ERR timeout is not an integer or out of range");
    } else if (period < 0) {
        reply_error(&call->reply, "ERR timeout is negative");
    } else if (!all || period == 0) {
        reply_simple(&call->reply, "OK"); /* nothing here is a write */
    } else {
        pause_everybody(call, period);
    }
}

static void client_unpause(struct call *call)
{
    pause_everybody(call, 0);
}

/* --- HELP and the table ---------------------------------------------------------------------- */

static void client_help(struct call *call)
{
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CACHING (YES|NO)",
        "    For key tracking, which has nothing to tell here.",
        "GETREDIR",
        "    Where tracking messages go: nowhere.",
        "GETNAME",
        "    The name of this connection.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    What CLIENT LIST says of this connection.",
        "KILL <ip:port>",
        "    Closes the connection from there.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Closes all connections that fit every option:",
        "    * ADDR <ip:port>, LADDR <ip:port>: from there, to there",
        "    * ID <client-id>, MAXAGE <seconds>, TYPE (NORMAL|PUBSUB), USER <username>",
        "    * SKIPME (YES|NO): leave this connection out (default: yes)",
        "LIST [options ...]",
        "    One line for each connection, or with TYPE (NORMAL|PUBSUB) or ID <client-id> [...]",
        "    for some.",
        "UNPAUSE",
        "    Ends PAUSE.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Executes no request for that many milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether requests of this connection are answered.",
        "SETNAME <name>",
        "    Names this connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Names the client library, for CLIENT LIST.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Accepted; no command blocks here.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Accepted; there are no keys here.",
        "TRACKINGINFO",
        "    Whether tracking is on.",
        "NO-EVICT (ON|OFF)",
        "    Accepted; no client is evicted here.",
        "NO-TOUCH (ON|OFF)",
        "    Accepted; there are no keys here.",
        "HELP",
        "    This text.",
    };
    reply_lines(call, lines, sizeof lines / sizeof lines[0]);
}

#define BASIC (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_CONNECTION)
#define ADMIN (BASIC | COMMAND_ADMIN | COMMAND_DANGEROUS)
#define CLIENT(sub, count, bits, what, version, hints)                                             \
    {                                                                                              \
        .name = "client|" sub, .arity = count, .flags = bits, .run = what, .since = version,       \
        .group = "connection", .tips = hints                                                       \
    }
const struct command client_subcommands[] = {
    CLIENT("caching", 3, BASIC, client_caching, "6.0.0", NULL),
    CLIENT("getname", 2, BASIC, client_getname, "2.6.9", NULL),
    CLIENT("getredir", 2, BASIC, client_getredir, "6.0.0", NULL),
    CLIENT("help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_CONNECTION, client_help, "5.0.0",
           NULL),
    CLIENT("id", 2, BASIC, client_id, "5.0.0", NULL),
    CLIENT("info", 2, BASIC, client_info, "6.2.0", "nondeterministic_output"),
    CLIENT("kill", -3, ADMIN, client_kill, "2.4.0", NULL),
    CLIENT("list", -2, ADMIN, client_list, "2.4.0", "nondeterministic_output"),
    CLIENT("no-evict", 3, ADMIN, client_no_evict, "7.0.0", NULL),
    CLIENT("no-touch", 3, BASIC, client_no_touch, "7.2.0", NULL),
    CLIENT("pause", -3, ADMIN, client_pause, "2.9.50", NULL),
    CLIENT("reply", 3, BASIC, client_reply, "3.2.0", NULL),
    CLIENT("setinfo", 4, BASIC, client_setinfo, "7.2.0", NULL),
    CLIENT("setname", 3, BASIC, client_setname, "2.6.9", NULL),
    CLIENT("tracking", -3, BASIC, client_tracking, "6.0.0", NULL),
    CLIENT("trackinginfo", 2, BASIC, client_trackinginfo, "6.2.0", NULL),
    CLIENT("unblock", -3, ADMIN, client_unblock, "5.0.0", NULL),
    CLIENT("unpause", 2, ADMIN, client_unpause, "6.2.0", NULL),
};
const size_t client_subcommand_count = sizeof client_subcommands / sizeof client_subcommands[0];
