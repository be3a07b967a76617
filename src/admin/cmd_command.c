/* COMMAND: the table, described. */
#include "admin/docs.h"

#include "acl/catalogue.h"
#include "rules/glob.h"

#include <string.h>

struct flag_name {
    unsigned flag;
    const char *name;
};

/* In the order in which they are shown. */
static const struct flag_name flag_names[] = {
    {COMMAND_ADMIN, "admin"},           {COMMAND_PUBSUB, "pubsub"},
    {COMMAND_NOSCRIPT, "noscript"},     {COMMAND_LOADING, "loading"},
    {COMMAND_STALE, "stale"},           {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},       {COMMAND_NO_MULTI, "no_multi"},
    {COMMAND_ALLOW_BUSY, "allow_busy"},
};
#define COUNT(array) (sizeof array / sizeof array[0])

static bool hidden(const struct command *c)
{
    return c->flags & COMMAND_HIDDEN;
}

static void put_flags(struct reply *r, unsigned flags)
{
    size_t present = 0;

    for (size_t i = 0; i < COUNT(flag_names); i++) {
        present += (flags & flag_names[i].flag) != 0;
    }
    reply_set(r, present);
    for (size_t i = 0; i < COUNT(flag_names); i++) {
        if (flags & flag_names[i].flag) {
            reply_simple(r, flag_names[i].name);
        }
    }
}

static void put_categories(struct reply *r, uint32_t categories)
{
    char text[32] = "@";

    reply_set(r, (size_t)__builtin_popcount(categories));
    for (int i = 0; i < ACL_CATEGORIES; i++) {
        if (categories >> i & 1) {
            const char *name = acl_category_name((enum acl_category)i);
            memcpy(text + 1, name, strlen(name) + 1);
            reply_simple(r, text);
        }
    }
}

static void put_tips(struct reply *r, const char *tips)
{
    size_t count = tips != NULL;

    for (const char *p = tips; p && *p; p++) {
        count += *p == ' ';
    }
    reply_set(r, count);
    for (const char *p = tips; p && *p;) {
        size_t len = strcspn(p, " ");
        reply_bulk(r, p, len);
        p += len + (p[len] == ' ');
    }
}

static size_t listed_subcommands(const struct command *c)
{
    size_t count = 0;

    for (size_t i = 0; i < command_subcommands_of(c); i++) {
        count += !hidden(&c->subcommands[i]);
    }
    return count;
}

static void put_info(struct reply *r, const struct command *c)
{
    reply_array(r, 10);
    reply_text(r, c->name);
    reply_integer(r, c->arity);
    put_flags(r, c->flags);
    for (int i = 0; i < 3; i++) { /* no keys */
        reply_integer(r, 0);
    }
    put_categories(r, command_categories(c));
    put_tips(r, c->tips);
    reply_set(r, 0); /* key specifications */
    if (listed_subcommands(c) == 0) {
        reply_set(r, 0);
        return;
    }
    reply_array(r, listed_subcommands(c));
    for (size_t i = 0; i < command_subcommands_of(c); i++) {
        if (!hidden(&c->subcommands[i])) {
            put_info(r, &c->subcommands[i]);
        }
    }
}

/* A name as arguments give it: "ping", "client|id". */
static const struct command *find(const struct resp_arg *arg)
{
    return command_find(arg->text, arg->len, NULL, 0);
}

void command_command(struct call *call)
{
    reply_array(&call->reply, command_count);
    for (size_t i = 0; i < command_count; i++) {
        put_info(&call->reply, &command_table[i]);
    }
}

static void command_sub_info(struct call *call)
{
    if (call->count == 2) {
        command_command(call);
        return;
    }
    reply_array(&call->reply, call->count - 2);
    for (size_t i = 2; i < call->count; i++) {
        const struct command *c = find(&call->args[i]);
        if (c) {
            put_info(&call->reply, c);
        } else {
            reply_null(&call->reply);
        }
    }
}

static void command_sub_count(struct call *call)
{
    reply_integer(&call->reply, (int64_t)command_count);
}

static void put_docs(struct reply *r, const struct command *c)
{
    size_t subcommands = listed_subcommands(c);

    reply_text(r, c->name);
    docs_put(r, c, subcommands);
    if (subcommands == 0) {
        return;
    }
    reply_map(r, subcommands);
    for (size_t i = 0; i < command_subcommands_of(c); i++) {
        if (!hidden(&c->subcommands[i])) {
            put_docs(r, &c->subcommands[i]);
        }
    }
}

static void command_sub_docs(struct call *call)
{
    struct reply *r = &call->reply;
    size_t known = 0;

    if (call->count == 2) {
        reply_map(r, command_count);
        for (size_t i = 0; i < command_count; i++) {
            put_docs(r, &command_table[i]);
        }
        return;
    }
    for (size_t i = 2; i < call->count; i++) {
        known += find(&call->args[i]) != NULL;
    }
    reply_map(r, known);
    for (size_t i = 2; i < call->count; i++) {
        const struct command *c = find(&call->args[i]);
        if (c) {
            put_docs(r, c);
        }
    }
}

/* --- LIST ------------------------------------------------------------------------------------ */

enum list_filter { LIST_ALL, LIST_PATTERN, LIST_CATEGORY, LIST_MODULE };

static bool listed(const struct command *c, enum list_filter by, const struct resp_arg *value)
{
    enum acl_category category;

    switch (by) {
    case LIST_PATTERN:
        return glob_match(value->text, value->len, c->name, strlen(c->name), true);
    case LIST_CATEGORY:
        return acl_category_find(value->text, value->len, &category) &&
               (command_categories(c) >> category & 1);
    case LIST_MODULE:
        return false;
    case LIST_ALL:
        break;
    }
    return true;
}

static size_t list_one(const struct command *c, enum list_filter by, const struct resp_arg *value,
                       struct reply *r)
{
    size_t count = 0;

    if (!hidden(c) && listed(c, by, value)) {
        reply_text(r, c->name);
        count++;
    }
    for (size_t i = 0; i < command_subcommands_of(c); i++) {
        count += list_one(&c->subcommands[i], by, value, r);
    }
    return count;
}

static void command_sub_list(struct call *call)
{
    enum list_filter by = LIST_ALL;
    const struct resp_arg *args = call->args, *value = NULL;
    struct buffer names = {0};
    struct reply inner = {&names, call->reply.proto};
    size_t count = 0;

    if (call->count == 5 && arg_is(&args[2], "filterby")) {
        value = &args[4];
        by = arg_is(&args[3], "pattern")  ? LIST_PATTERN
             : arg_is(&args[3], "aclcat") ? LIST_CATEGORY
             : arg_is(&args[3], "module") ? LIST_MODULE
                                          : LIST_ALL;
    }
    if (call->count != 2 && by == LIST_ALL) {
        reply_syntax_error(call);
        return;
    }
    for (size_t i = 0; i < command_count; i++) {
        count += list_one(&command_table[i], by, value, &inner);
    }
    reply_array(&call->reply, count);
    buffer_append(call->reply.out, names.data, names.len);
    buffer_free(&names);
}

/* No command here has keys. */
static void command_sub_getkeys(struct call *call)
{
    const struct resp_arg *name = &call->args[2];
    const struct command *c = memchr(name->text, '|', name->len) ? NULL : find(name);

    if (c && c->subcommands && call->count > 3) {
        c = command_find(c->name, strlen(c->name), name[1].text, name[1].len);
    }
    if (!c) {
        reply_error(&call->reply, "ERR Invalid command specified");
    } else {
        reply_error(&call->reply, "ERR The command has no key arguments");
    }
}

static void command_sub_help(struct call *call)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Describes all commands.",
        "COUNT",
        "    How many commands there are.",
        "LIST",
        "    Names of all commands; of some with FILTERBY (MODULE|ACLCAT|PATTERN) <value>.",
        "INFO [<command-name> ...]",
        "    Describes all or some commands.",
        "DOCS [<command-name> ...]",
        "    Summaries of all or some commands.",
        "GETKEYS <full-command>",
        "    The keys of a command: none has any here.",
        "GETKEYSANDFLAGS <full-command>",
        "    The same.",
        "HELP",
        "    This text.",
    };
    reply_lines(call, lines, COUNT(lines));
}

#define BASIC (COMMAND_LOADING | COMMAND_STALE | COMMAND_CONNECTION)
#define SUBCOMMAND(sub, count, what, version, hints)                                               \
    {                                                                                              \
        .name = "command|" sub, .arity = count, .flags = BASIC, .run = what, .since = version,     \
        .group = "server", .tips = hints                                                           \
    }
const struct command command_subcommands[] = {
    SUBCOMMAND("count", 2, command_sub_count, "2.8.13", NULL),
    SUBCOMMAND("docs", -2, command_sub_docs, "7.0.0", "nondeterministic_output_order"),
    SUBCOMMAND("getkeys", -4, command_sub_getkeys, "2.8.13", NULL),
    SUBCOMMAND("getkeysandflags", -4, command_sub_getkeys, "7.0.0", NULL),
    SUBCOMMAND("help", 2, command_sub_help, "5.0.0", NULL),
    SUBCOMMAND("info", -2, command_sub_info, "2.8.13", "nondeterministic_output_order"),
    SUBCOMMAND("list", -2, command_sub_list, "7.0.0", "nondeterministic_output_order"),
};
const size_t command_subcommand_count = COUNT(command_subcommands);
