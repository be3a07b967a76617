/* CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: there are no keys here whose change could be
 * told, but a client library that switches tracking on finds everything as it expects it. */
#include "admin/async.h"

#include <stdlib.h>
#include <string.h>

#define SWITCH_ERROR(what)                                                                         \
    "ERR You can't switch " what " mode%s before disabling tracking for this client, and then "    \
    "re-enabling it with a different mode."

struct tracking_options {
    bool bcast, optin, optout, noloop;
    int64_t redirect; /* 0: none */
    size_t prefix_count;
};

enum parse_result { PARSED, PARSE_ERROR /* answered */, PARSE_LOOKUP /* is there that client? */ };

void tracking_off(struct tracking *t)
{
    for (size_t i = 0; i < t->prefix_count; i++) {
        free(t->prefixes[i].text);
    }
    free(t->prefixes);
    *t = (struct tracking){0};
}

static bool is_prefix(const struct resp_arg *option, size_t more)
{
    return more > 0 && arg_is(option, "prefix");
}

static bool parse_flag(const struct resp_arg *option, struct tracking_options *o)
{
    bool *flag = arg_is(option, "bcast")    ? &o->bcast
                 : arg_is(option, "optin")  ? &o->optin
                 : arg_is(option, "optout") ? &o->optout
                 : arg_is(option, "noloop") ? &o->noloop
                                            : NULL;
    if (flag) {
        *flag = true;
    }
    return flag != NULL;
}

/* Reads the options from args[3] on; known is the id of a client that is there, 0: none yet. */
static enum parse_result parse(struct call *call, int64_t known, struct tracking_options *o)
{
    for (size_t i = 3; i < call->count; i++) {
        const struct resp_arg *option = &call->args[i];
        size_t more = call->count - 1 - i;
        if (more > 0 && arg_is(option, "redirect")) {
            if (o->redirect != 0) {
                reply_error(&call->reply,
                            "ERR A client can only redirect to a single other client");
                return PARSE_ERROR;
            }
            if (!arg_integer(&call->args[++i], &o->redirect)) {
                reply_error(&call->reply, "ERR value is not an integer or out of range");
                return PARSE_ERROR;
            }
            if (o->redirect != known || known == 0) {
                return PARSE_LOOKUP;
            }
        } else if (is_prefix(option, more)) {
            o->prefix_count++;
            i++;
        } else if (!parse_flag(option, o)) {
            reply_syntax_error(call);
            return PARSE_ERROR;
        }
    }
    return PARSED;
}

/* Whether one begins with the other. */
static bool overlap(const struct resp_arg *a, const char *text, size_t len)
{
    size_t shorter = a->len < len ? a->len : len;

    return memcmp(a->text, text, shorter) == 0;
}

/* The prefix behind the PREFIX at or after *at; *at moves behind it. */
static const struct resp_arg *next_prefix(const struct call *call, size_t *at)
{
    while (!is_prefix(&call->args[*at], call->count - 1 - *at)) {
        *at += arg_is(&call->args[*at], "redirect") ? 2 : 1;
    }
    *at += 2;
    return &call->args[*at - 1];
}

static bool prefixes_fit(struct call *call, const struct tracking_options *o)
{
    const struct tracking *t = &call->client->tracking;
    size_t at = 3;

    if (t->prefix_count + o->prefix_count > LIMIT_TRACKING_PREFIXES) {
        reply_error(&call->reply, "ERR too many prefixes");
        return false;
    }
    for (size_t i = 0; i < o->prefix_count; i++) {
        const struct resp_arg *prefix = next_prefix(call, &at);
        if (prefix->len > LIMIT_EVENT_TEXT) { /* as names of channels */
            reply_error(&call->reply, "ERR the prefix is too long");
            return false;
        }
        for (size_t j = 0; j < t->prefix_count; j++) {
            const struct tracking_prefix *old = &t->prefixes[j];
            if (overlap(prefix, old->text, old->len)) {
                reply_error(&call->reply,
                            "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes "
                            "for a single client must not overlap.",
                            ARG_WHOLE(prefix), (int)old->len, old->text);
                return false;
            }
        }
        for (size_t j = i + 1, behind = at; j < o->prefix_count; j++) {
            const struct resp_arg *other = next_prefix(call, &behind);
            if (overlap(prefix, other->text, other->len)) {
                reply_error(&call->reply,
                            "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. "
                            "Prefixes for a single client must not overlap.",
                            ARG_WHOLE(prefix), ARG_WHOLE(other));
                return false;
            }
        }
    }
    return true;
}

/* Whether the options fit each other and what is on already. False: answered with an error. */
static bool options_fit(struct call *call, const struct tracking_options *o)
{
    const struct tracking *t = &call->client->tracking;
    struct reply *r = &call->reply;

    if (!o->bcast && o->prefix_count > 0) {
        reply_error(r, "ERR PREFIX option requires BCAST mode to be enabled");
    } else if (t->on && t->bcast != o->bcast) {
        reply_error(r, SWITCH_ERROR("BCAST"), " on/off");
    } else if (o->bcast && (o->optin || o->optout)) {
        reply_error(r, "ERR OPTIN and OPTOUT are not compatible with BCAST");
    } else if (o->optin && o->optout) {
        reply_error(r, "ERR You can't specify both OPTIN mode and OPTOUT mode");
    } else if ((o->optin && t->optout) || (o->optout && t->optin)) {
        reply_error(r, SWITCH_ERROR("OPTIN/OPTOUT"), "");
    } else {
        return !o->bcast || prefixes_fit(call, o);
    }
    return false;
}

static void add_prefix(struct tracking *t, const char *text, size_t len)
{
    t->prefixes = realloc(t->prefixes, (t->prefix_count + 1) * sizeof *t->prefixes);
    char *copy = malloc(len + 1);
    if (!t->prefixes || !copy) {
        abort();
    }
    memcpy(copy, text, len);
    t->prefixes[t->prefix_count++] = (struct tracking_prefix){copy, len};
}

static void tracking_on(struct call *call, const struct tracking_options *o)
{
    struct tracking *t = &call->client->tracking;
    size_t at = 3;

    t->on = true;
    t->bcast = o->bcast;
    t->optin = o->optin;
    t->optout = o->optout;
    t->noloop = o->noloop;
    t->redirect = (uint64_t)o->redirect;
    for (size_t i = 0; i < o->prefix_count; i++) {
        const struct resp_arg *prefix = next_prefix(call, &at);
        add_prefix(t, prefix->text, prefix->len);
    }
    if (o->bcast && t->prefix_count == 0) {
        add_prefix(t, "", 0); /* every key */
    }
}

static void apply(struct call *call, const struct tracking_options *o)
{
    const struct resp_arg *state = &call->args[2];

    if (arg_is(state, "on")) {
        if (!options_fit(call, o)) {
            return;
        }
        tracking_on(call, o);
    } else if (arg_is(state, "off")) {
        tracking_off(&call->client->tracking);
    } else {
        reply_syntax_error(call);
        return;
    }
    reply_simple(&call->reply, "OK");
}

/* --- REDIRECT: the client it names may be on any shard --------------------------------------- */

struct tracking_request {
    struct admin_request r;
    struct resp_arg *args; /* with their texts behind them */
    size_t count;
    uint64_t id;
    bool found;
};

static void tracking_visit(struct admin_request *r, struct shard *shard)
{
    struct tracking_request *t = (struct tracking_request *)(void *)r;
    uint32_t cursor = 0;
    struct client *c;

    while (!t->found && (c = client_next(shard_admin(shard), &cursor))) {
        t->found = c->id == t->id;
    }
}

static void tracking_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct tracking_request *t = (struct tracking_request *)(void *)r;
    struct tracking_options options = {0};
    struct call call = {.admin = a, .client = c, .args = t->args, .count = t->count};

    call.reply = async_reply(r);
    if (!c) {
        return;
    }
    switch (parse(&call, t->found ? (int64_t)t->id : 0, &options)) {
    case PARSED:
        apply(&call, &options);
        break;
    case PARSE_LOOKUP:
        reply_error(&call.reply, "ERR The client ID you want redirect to does not exist");
        break;
    case PARSE_ERROR:
        break;
    }
}

static void tracking_dispose(struct admin_request *r)
{
    free(((struct tracking_request *)(void *)r)->args);
}

/* The arguments in one block of their own. */
static struct resp_arg *copy_args(const struct call *call)
{
    size_t bytes = 0;

    for (size_t i = 0; i < call->count; i++) {
        bytes += call->args[i].len;
    }
    struct resp_arg *copy = malloc(call->count * sizeof *copy + bytes);
    if (!copy) {
        abort();
    }
    char *text = (char *)(copy + call->count);
    for (size_t i = 0; i < call->count; i++) {
        memcpy(text, call->args[i].text, call->args[i].len);
        copy[i] = (struct resp_arg){text, call->args[i].len};
        text += call->args[i].len;
    }
    return copy;
}

void client_tracking(struct call *call)
{
    struct tracking_options options = {0};

    switch (parse(call, 0, &options)) {
    case PARSED:
        apply(call, &options);
        return;
    case PARSE_ERROR:
        return;
    case PARSE_LOOKUP:
        break;
    }
    struct tracking_request *t = async_new(call, sizeof *t, true);
    t->args = copy_args(call);
    t->count = call->count;
    t->id = (uint64_t)options.redirect;
    t->r.visit = tracking_visit;
    t->r.finish = tracking_finish;
    t->r.dispose = tracking_dispose;
    async_chain(&t->r);
}

/* --- the others ------------------------------------------------------------------------------ */

void client_caching(struct call *call)
{
    struct tracking *t = &call->client->tracking;
    bool yes;

    if (!t->on || (!t->optin && !t->optout)) {
        reply_error(&call->reply, "ERR CLIENT CACHING can be called only when the client is in "
                                  "tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (!arg_yes_no(&call->args[2], &yes)) {
        reply_syntax_error(call);
    } else if (yes ? !t->optin : !t->optout) {
        reply_error(&call->reply,
                    "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.",
                    yes ? "YES" : "NO", yes ? "OPTIN" : "OPTOUT");
    } else {
        t->caching = true;
        reply_simple(&call->reply, "OK");
    }
}

static int64_t redirect_of(const struct tracking *t)
{
    return t->on ? (int64_t)t->redirect : -1;
}

void client_getredir(struct call *call)
{
    reply_integer(&call->reply, redirect_of(&call->client->tracking));
}

void client_trackinginfo(struct call *call)
{
    const struct tracking *t = &call->client->tracking;
    const char *flags[] = {
        t->on ? "on" : "off",        t->bcast ? "bcast" : NULL,
        t->optin ? "optin" : NULL,   t->optin && t->caching ? "caching-yes" : NULL,
        t->optout ? "optout" : NULL, t->optout && t->caching ? "caching-no" : NULL,
        t->noloop ? "noloop" : NULL};
    size_t all = sizeof flags / sizeof flags[0], count = 0;
    struct reply *r = &call->reply;

    for (size_t i = 0; i < all; i++) {
        count += flags[i] != NULL;
    }
    reply_map(r, 3);
    reply_text(r, "flags");
    reply_set(r, count);
    for (size_t i = 0; i < all; i++) {
        if (flags[i]) {
            reply_text(r, flags[i]);
        }
    }
    reply_text(r, "redirect");
    reply_integer(r, redirect_of(t));
    reply_text(r, "prefixes");
    reply_array(r, t->prefix_count);
    for (size_t i = 0; i < t->prefix_count; i++) {
        reply_bulk(r, t->prefixes[i].text, t->prefixes[i].len);
    }
}
