/* PING AUTH HELLO QUIT RESET ROLE SHUTDOWN. */
#include "acl/acl.h"
#include "admin/access.h"
#include "admin/async.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

void command_ping(struct call *call)
{
    struct reply *r = &call->reply;

    if (call->count > 2) {
        reply_wrong_arity(call);
    } else if (r->proto == 2 && client_subscribed(call->client) > 0) {
        reply_array(r, 2);
        reply_text(r, "pong");
        if (call->count == 2) {
            reply_bulk(r, call->args[1].text, call->args[1].len);
        } else {
            reply_text(r, "");
        }
    } else if (call->count == 2) {
        reply_bulk(r, call->args[1].text, call->args[1].len);
    } else {
        reply_simple(r, "PONG");
    }
}

/* --- AUTH ------------------------------------------------------------------------------------ */

void command_auth(struct call *call)
{
    if (call->count > 3) {
        reply_syntax_error(call);
        return;
    }
    if (call->count == 2 && acl_users_default(call->admin->users)->nopass) {
        reply_error(&call->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
        return;
    }
    if (access_login(call, call->count == 3 ? &call->args[1] : NULL,
                     &call->args[call->count - 1])) {
        reply_simple(&call->reply, "OK");
    }
}

/* --- HELLO ----------------------------------------------------------------------------------- */

struct greeting {
    int proto;
    const struct resp_arg *user, *password, *name;
};

/* Reads HELLO's arguments. False: answered with an error. */
static bool parse_hello(struct call *call, struct greeting *g)
{
    int64_t version;

    if (call->count > 1) {
        if (!arg_integer(&call->args[1], &version)) {
            reply_error(&call->reply, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (version < 2 || version > 3) {
            reply_error(&call->reply, "NOPROTO unsupported protocol version");
            return false;
        }
        g->proto = (int)version;
    }
    for (size_t i = 2; i < call->count; i++) {
        const struct resp_arg *option = &call->args[i];
        size_t more = call->count - 1 - i;
        if (arg_is(option, "auth") && more >= 2) {
            g->user = &call->args[++i];
            g->password = &call->args[++i];
        } else if (arg_is(option, "setname") && more >= 1) {
            g->name = &call->args[++i];
            if (!client_name_valid(g->name)) {
                reply_error(
                    &call->reply,
                    "ERR Client names cannot contain spaces, newlines or special characters.");
                return false;
            }
        } else {
            reply_error(&call->reply, "ERR Syntax error in HELLO option '%.*s'", ARG_WHOLE(option));
            return false;
        }
    }
    return true;
}

void command_hello(struct call *call)
{
    struct client *c = call->client;
    struct reply *r = &call->reply;
    struct greeting g = {.proto = c->proto};

    if (!parse_hello(call, &g)) {
        return;
    }
    if (g.user && !access_login(call, g.user, g.password)) {
        return;
    }
    if (!access_open(c)) {
        reply_error(r, "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO AUTH <user> <pass> option can be used to authenticate "
                       "the client and select the RESP protocol version at the same time");
        return;
    }
    if (g.name) {
        client_set_text(&c->name, g.name);
    }
    c->proto = r->proto = g.proto;
    reply_map(r, 6);
    reply_text(r, "server");
    reply_text(r, "redis");
    reply_text(r, "version");
    reply_text(r, VEDETTE_REDIS_VERSION);
    reply_text(r, "proto");
    reply_integer(r, c->proto);
    reply_text(r, "id");
    reply_integer(r, (int64_t)c->id);
    reply_text(r, "mode");
    reply_text(r, "sentinel");
    reply_text(r, "modules");
    reply_array(r, 0);
}

/* --- the rest -------------------------------------------------------------------------------- */

void command_quit(struct call *call)
{
    reply_simple(&call->reply, "OK");
    client_goodbye(call->client);
}

void command_reset(struct call *call)
{
    struct client *c = call->client;

    pubsub_forget(&call->admin->pubsub, c);
    client_set_text(&c->name, NULL);
    c->proto = call->reply.proto = 2;
    c->mode = REPLY_ON;
    c->no_evict = c->no_touch = false;
    tracking_off(&c->tracking);
    access_greet(c);
    reply_simple(&call->reply, "RESET");
}

void command_role(struct call *call)
{
    const struct directory *d = call->admin->process->directory;
    uint32_t count = directory_count(d), alive = 0;
    struct buffer names = {0};
    struct reply inner = {&names, call->reply.proto};

    /* Groups come and go on other threads: counted as they are rendered. */
    for (uint32_t gid = 0; gid < count; gid++) {
        if (directory_alive(d, gid)) {
            reply_text(&inner, directory_name(d, gid));
            alive++;
        }
    }
    reply_array(&call->reply, 2);
    reply_text(&call->reply, "sentinel");
    reply_array(&call->reply, alive);
    buffer_append(call->reply.out, names.data, names.len);
    buffer_free(&names);
}

static void step_shutdown(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;

    mainloop_stop(here, 0);
    buffer_free(&r->out);
    free(r);
}

void command_shutdown(struct call *call)
{
    bool save = false, nosave = false, abort = false;

    for (size_t i = 1; i < call->count; i++) {
        const struct resp_arg *option = &call->args[i];
        if (arg_is(option, "save") && !nosave) {
            save = true;
        } else if (arg_is(option, "nosave") && !save) {
            nosave = true;
        } else if (arg_is(option, "abort")) {
            abort = true;
        } else if (!arg_is(option, "now") && !arg_is(option, "force")) {
            reply_syntax_error(call);
            return;
        }
    }
    if (abort && call->count > 2) {
        reply_syntax_error(call);
        return;
    }
    if (abort) {
        reply_error(&call->reply, "ERR No shutdown in progress.");
        return;
    }
    /* No reply: the connection ends with the process. */
    async_main(async_new(call, sizeof(struct admin_request), true), step_shutdown);
}
