#include "admin/docs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Arguments are written as type:name, blank-separated, then in this order, each if there is one:
 *   =TOKEN       the word before the value, or the word itself of a "token"
 *   @version     since when
 *   !version     since when it should not be used any more
 *   ? * +        optional, several, several with the token before each
 *   (…)          what a oneof or block consists of
 */
struct document {
    const char *name, *summary, *complexity; /* complexity: NULL if nobody says */
    const char *arguments;                   /* NULL: none */
    const char *deprecated, *replaced_by;    /* NULL: in use */
};

#define ON_OFF "token:on=ON token:off=OFF"
#define CLIENT_TYPES                                                                               \
    "token:normal=NORMAL token:master=MASTER token:replica=REPLICA token:pubsub=PUBSUB"
#define BY_USERS   "O(N), N: users"
#define BY_CLIENTS "O(N), N: connections"
#define BY_NAMES   "O(N), N: names"
#define BY_ARGS    "O(N), N: arguments"
#define BY_SUBS    "O(N), N: subscriptions"
#define MASTER     "string:master-name"

#define DOC(of, what, cost, takes)                                                                 \
    {                                                                                              \
        .name = of, .summary = what, .complexity = cost, .arguments = takes                        \
    }
#define PLAIN(of, what, cost) DOC(of, what, cost, NULL) /* without arguments */
/* Sorted by name. */
static const struct document documents[] = {
    PLAIN("acl", "Users and what they may do", "That of the subcommand"),
    DOC("acl|cat", "Categories, or the commands of one", "O(1)", "string:categoryname?"),
    DOC("acl|deluser", "Deletes users", "O(1) for a usual user", "string:username*"),
    DOC("acl|dryrun", "Whether a user may execute a command", "O(1)",
        "string:username string:command string:arg?*"),
    DOC("acl|genpass", "A random password", "O(1)", "integer:bits?"),
    DOC("acl|getuser", "What a user may do", "O(N), N: rules", "string:username"),
    PLAIN("acl|help", "Lists the subcommands", "O(1)"),
    PLAIN("acl|list", "All users as lines of sentinel.conf", BY_USERS),
    PLAIN("acl|load", "Reads the file of users anew", BY_USERS),
    DOC("acl|log", "What was denied lately", "O(N), N: entries",
        "oneof:operation?(integer:count token:reset=RESET)"),
    PLAIN("acl|save", "Writes the file of users", BY_USERS),
    DOC("acl|setuser", "Creates or changes a user", "O(N), N: rules",
        "string:username string:rule?*"),
    PLAIN("acl|users", "The names of all users", BY_USERS),
    PLAIN("acl|whoami", "The user of this connection", "O(1)"),
    DOC("auth", "Shows the password that is asked for", "O(N), N: passwords of the user",
        "string:username@6.0.0? string:password"),
    PLAIN("client", "Connections of clients", "That of the subcommand"),
    DOC("client|caching", "Whether tracking covers the next command", "O(1)",
        "oneof:mode(token:yes=YES token:no=NO)"),
    PLAIN("client|getname", "The name of this connection", "O(1)"),
    PLAIN("client|getredir", "Where messages of tracking go", "O(1)"),
    PLAIN("client|help", "Lists the subcommands", "O(1)"),
    PLAIN("client|id", "The number of this connection", "O(1)"),
    PLAIN("client|info", "What CLIENT LIST says of this connection", "O(1)"),
    DOC("client|kill", "Closes connections", BY_CLIENTS,
        "oneof:filter(string:ip:port!2.8.12 oneof:new-format*(integer:client-id=ID@2.8.12? "
        "oneof:normal_master_slave_pubsub=TYPE@2.8.12?(token:normal=NORMAL "
        "token:master=MASTER@3.2.0 "
        "token:slave=SLAVE token:replica=REPLICA@5.0.0 token:pubsub=PUBSUB) string:username=USER? "
        "string:ip:port=ADDR? string:ip:port=LADDR@6.2.0? string:yes/no=SKIPME? "
        "integer:maxage=MAXAGE@7.4.0?))"),
    DOC("client|list", "Lists connections", BY_CLIENTS,
        "oneof:normal_master_replica_pubsub=TYPE@5.0.0?(" CLIENT_TYPES
        ") block:id=ID@6.2.0?(integer:client-id*)"),
    DOC("client|no-evict", "Keeps this connection where others are closed for memory", "O(1)",
        "oneof:enabled(" ON_OFF ")"),
    DOC("client|no-touch", "Commands of this connection leave the age of keys alone", "O(1)",
        "oneof:enabled(" ON_OFF ")"),
    DOC("client|pause", "Executes no command for a time", "O(1)",
        "integer:timeout oneof:mode@6.2.0?(token:write=WRITE token:all=ALL)"),
    DOC("client|reply", "Whether commands of this connection are answered", "O(1)",
        "oneof:on_off_skip(" ON_OFF " token:skip=SKIP)"),
    DOC("client|setinfo", "Names the library that a client uses", "O(1)",
        "oneof:attr(string:libname=LIB-NAME string:libver=LIB-VER)"),
    DOC("client|setname", "Names this connection", "O(1)", "string:connection-name"),
    DOC("client|tracking", "Whether changed keys are told to this connection", "O(1)",
        "oneof:status(" ON_OFF ") integer:client-id=REDIRECT? string:prefix=PREFIX?*+ "
        "token:bcast=BCAST? token:optin=OPTIN? token:optout=OPTOUT? token:noloop=NOLOOP?"),
    PLAIN("client|trackinginfo", "The state of tracking", "O(1)"),
    DOC("client|unblock", "Ends the waiting of another connection", "O(log N), N: connections",
        "integer:client-id oneof:timeout_error?(token:timeout=TIMEOUT token:error=ERROR)"),
    PLAIN("client|unpause", "Ends CLIENT PAUSE", "O(N), N: paused connections"),
    PLAIN("command", "Describes all commands", "O(N), N: commands"),
    PLAIN("command|count", "How many commands there are", "O(1)"),
    DOC("command|docs", "What commands are for and how they are written", BY_NAMES,
        "string:command-name?*"),
    PLAIN("command|getkeys", "The keys of a command", BY_ARGS),
    PLAIN("command|getkeysandflags", "The keys of a command and what it does to them", BY_ARGS),
    PLAIN("command|help", "Lists the subcommands", "O(1)"),
    DOC("command|info", "Describes some or all commands", BY_NAMES, "string:command-name?*"),
    DOC("command|list", "The names of commands", "O(N), N: commands",
        "oneof:filterby=FILTERBY?(string:module-name=MODULE string:category=ACLCAT "
        "pattern:pattern=PATTERN)"),
    DOC("hello", "Chooses the protocol, with AUTH and SETNAME on the way", "O(1)",
        "block:arguments?(integer:protover block:username_password=AUTH?(string:username "
        "string:password) string:clientname=SETNAME?)"),
    DOC("info", "State and counters of this sentinel, in sections", "O(1)", "string:section?*"),
    DOC("ping", "Answers PONG, or the message", "O(1)", "string:message?"),
    DOC("psubscribe", "Listens to all channels that match patterns", BY_SUBS,
        "block:pattern*(pattern:pattern)"),
    DOC("publish", "Takes the hello of another sentinel", "O(1)", "string:channel string:message"),
    DOC("punsubscribe", "Stops listening to patterns", BY_SUBS, "pattern:pattern?*"),
    PLAIN("quit", "Closes this connection", "O(1)"),
    PLAIN("reset", "Makes this connection as good as new", "O(1)"),
    PLAIN("role", "The role, sentinel, and the names of the masters", "O(1)"),
    PLAIN("sentinel", "Masters, replicas, sentinels and failovers", "That of the subcommand"),
    DOC("sentinel|ckquorum", "Whether enough sentinels are in reach for a failover", NULL, MASTER),
    DOC("sentinel|config", "Shows or changes global settings", "O(1)",
        "oneof:set_or_get(block:set_param_value=SET*(string:parameter string:value) "
        "string:parameter=GET*)"),
    DOC("sentinel|debug", "Shows or changes the periods until the next start", "O(N), N: periods",
        "block:parameter_value*(string:parameter string:value)"),
    DOC("sentinel|failover", "Promotes a replica now", NULL, MASTER),
    PLAIN("sentinel|flushconfig", "Writes sentinel.conf anew", "O(1)"),
    DOC("sentinel|get-master-addr-by-name", "Address and port of a master", "O(1)", MASTER),
    PLAIN("sentinel|help", "Lists the subcommands", "O(1)"),
    DOC("sentinel|info-cache", "The last INFO replies of masters and their replicas",
        "O(N), N: instances", "string:nodename*"),
    DOC("sentinel|is-master-down-by-addr", "Whether a master is down; asks for a vote", "O(1)",
        "string:ip integer:port integer:current-epoch string:runid"),
    DOC("sentinel|master", "State and settings of a master", "O(1)", MASTER),
    PLAIN("sentinel|masters", "State and settings of all masters", "O(N), N: masters"),
    DOC("sentinel|monitor", "Watches another master", "O(1)",
        "string:name string:ip integer:port integer:quorum"),
    PLAIN("sentinel|myid", "The id of this sentinel", "O(1)"),
    PLAIN("sentinel|pending-scripts", "Scripts that run or wait", NULL),
    DOC("sentinel|remove", "Watches a master no longer", "O(1)", MASTER),
    DOC("sentinel|replicas", "State of a master's replicas", "O(N), N: replicas", MASTER),
    DOC("sentinel|reset", "Forgets what was found out about masters", "O(N), N: masters",
        "pattern:pattern"),
    DOC("sentinel|sentinels", "State of the other sentinels of a master", "O(N), N: sentinels",
        MASTER),
    DOC("sentinel|set", "Changes the settings of a master", "O(1)",
        MASTER " block:option_value*(string:option string:value)"),
    DOC("sentinel|simulate-failure", "Ends this process at a chosen moment, for tests", NULL,
        "oneof:mode?*(token:crash-after-election token:crash-after-promotion token:help)"),
    {.name = "sentinel|slaves",
     .summary = "State of a master's replicas",
     .complexity = "O(N), N: replicas",
     .arguments = MASTER,
     .deprecated = "5.0.0",
     .replaced_by = "`SENTINEL REPLICAS`"},
    DOC("shutdown", "Saves sentinel.conf and ends", "O(1)",
        "oneof:nosave_save?(token:nosave=NOSAVE token:save=SAVE) token:now=NOW@7.0.0? "
        "token:force=FORCE@7.0.0? token:abort=ABORT@7.0.0?"),
    DOC("subscribe", "Listens to channels: the names of events", "O(N), N: channels",
        "string:channel*"),
    DOC("unsubscribe", "Stops listening to channels", BY_SUBS, "string:channel?*"),
};

static int compare_names(const void *name, const void *document)
{
    return strcmp(name, ((const struct document *)document)->name);
}

static const struct document *find(const char *name)
{
    return bsearch(name, documents, sizeof documents / sizeof documents[0], sizeof documents[0],
                   compare_names);
}

/* --- arguments ------------------------------------------------------------------------------- */

/* How long the part of an argument is that ends where one of these characters begins another. */
static size_t part_len(const char *text)
{
    return strcspn(text, "=@!?*+() ");
}

/* Behind the argument that begins here, its (…) included. */
static const char *skip_argument(const char *text)
{
    int depth = 0;

    for (; *text != '\0' && (depth > 0 || (*text != ' ' && *text != ')')); text++) {
        depth += (*text == '(') - (*text == ')');
    }
    return text;
}

static size_t count_arguments(const char *text)
{
    size_t count = 0;

    while (*text != '\0' && *text != ')') {
        text = skip_argument(text);
        text += *text == ' ';
        count++;
    }
    return count;
}

/* "name" and the part behind the mark, if the mark is there; moves behind it. */
static size_t put_part(struct reply *r, const char **text, char mark, const char *name)
{
    if (**text != mark) {
        return 0;
    }
    size_t len = part_len(*text + 1);
    reply_text(r, name);
    reply_bulk(r, *text + 1, len);
    *text += 1 + len;
    return 1;
}

static size_t put_flags(struct reply *r, const char **text)
{
    size_t count = strspn(*text, "?*+");

    if (count == 0) {
        return 0;
    }
    reply_text(r, "flags");
    reply_set(r, count);
    for (; count > 0; count--, (*text)++) {
        reply_simple(r, **text == '?' ? "optional" : **text == '*' ? "multiple" : "multiple_token");
    }
    return 1;
}

/* The map of the argument that begins here. Its recursion is as deep as the table's text. */
static const char *put_argument(struct reply *r, const char *text)
{
    struct buffer fields = {0};
    struct reply inner = {&fields, r->proto};
    size_t type = strcspn(text, ":"), count = 2;

    reply_text(&inner, "name");
    reply_bulk(&inner, text + type + 1, part_len(text + type + 1));
    reply_text(&inner, "type");
    if (type == 5 && memcmp(text, "token", 5) == 0) {
        reply_text(&inner, "pure-token");
    } else {
        reply_bulk(&inner, text, type);
    }
    text += type + 1;
    text += part_len(text);
    count += put_part(&inner, &text, '=', "token");
    count += put_part(&inner, &text, '@', "since");
    count += put_part(&inner, &text, '!', "deprecated_since");
    count += put_flags(&inner, &text);
    if (*text == '(') {
        reply_text(&inner, "arguments");
        reply_array(&inner, count_arguments(++text));
        while (*text != ')') {
            text = put_argument(&inner, text);
            text += *text == ' ';
        }
        text++;
        count++;
    }
    assert(*text == '\0' || *text == ' ' || *text == ')');
    reply_map(r, count);
    buffer_append(r->out, fields.data, fields.len);
    buffer_free(&fields);
    return text;
}

static void put_arguments(struct reply *r, const char *text)
{
    reply_array(r, count_arguments(text));
    while (*text != '\0') {
        text = put_argument(r, text);
        text += *text == ' ';
    }
}

/* --- a document ------------------------------------------------------------------------------ */

static void put_text(struct reply *r, const char *name, const char *value)
{
    reply_text(r, name);
    reply_text(r, value);
}

void docs_put(struct reply *r, const struct command *c, size_t subcommands)
{
    const struct document *d = find(c->name);

    assert(d);
    reply_map(r, 3 + (size_t)(d->complexity != NULL) + 3 * (size_t)(d->deprecated != NULL) +
                     (d->arguments != NULL) + (subcommands > 0));
    put_text(r, "summary", d->summary);
    put_text(r, "since", c->since);
    put_text(r, "group", c->group);
    if (d->complexity) {
        put_text(r, "complexity", d->complexity);
    }
    if (d->deprecated) {
        reply_text(r, "doc_flags");
        reply_set(r, 1);
        reply_simple(r, "deprecated");
        put_text(r, "deprecated_since", d->deprecated);
        put_text(r, "replaced_by", d->replaced_by);
    }
    if (d->arguments) {
        reply_text(r, "arguments");
        put_arguments(r, d->arguments);
    }
    if (subcommands > 0) {
        reply_text(r, "subcommands");
    }
}
