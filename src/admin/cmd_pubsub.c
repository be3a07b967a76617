/* SUBSCRIBE PSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE PUBLISH. */
#include "admin/command.h"

#include <string.h>

static void confirm(struct call *call, const char *what, const char *name, size_t len)
{
    struct reply *r = &call->reply;

    call->pushes = true;
    reply_push(r, 3);
    reply_text(r, what);
    if (name) {
        reply_bulk(r, name, len);
    } else {
        reply_null(r);
    }
    reply_integer(r, client_subscribed(call->client));
}

static void subscribe(struct call *call, enum topic_kind kind, const char *what)
{
    struct admin *a = call->admin;

    for (size_t i = 1; i < call->count; i++) {
        const struct resp_arg *name = &call->args[i];
        if (pubsub_subscribe(&a->pubsub, call->client, kind, name->text, name->len) ==
            SUBSCRIBE_FULL) {
            reply_error(&call->reply, "ERR too many subscriptions, or the name is too long");
            break;
        }
        confirm(call, what, name->text, name->len);
    }
    /* At once, so that nothing that happens after the confirmation is missed. */
    if (client_subscribed(call->client) > 0) {
        atomic_store_explicit(&a->process->subscribed[a->index], true, memory_order_release);
    }
}

static void unsubscribe(struct call *call, enum topic_kind kind, const char *what)
{
    struct pubsub *p = &call->admin->pubsub;
    struct client *c = call->client;
    const char *name;
    size_t len;

    for (size_t i = 1; i < call->count; i++) {
        const struct resp_arg *arg = &call->args[i];
        pubsub_unsubscribe(p, c, kind, arg->text, arg->len);
        confirm(call, what, arg->text, arg->len);
    }
    if (call->count > 1) {
        return;
    }
    if (!pubsub_first(c, kind, &name, &len)) {
        confirm(call, what, NULL, 0);
        return;
    }
    while (pubsub_first(c, kind, &name, &len)) {
        char copy[LIMIT_EVENT_TEXT]; /* the name goes with its last subscriber */
        memcpy(copy, name, len);
        pubsub_unsubscribe(p, c, kind, copy, len);
        confirm(call, what, copy, len);
    }
}

void command_subscribe(struct call *call)
{
    subscribe(call, TOPIC_CHANNEL, "subscribe");
}

void command_psubscribe(struct call *call)
{
    subscribe(call, TOPIC_PATTERN, "psubscribe");
}

void command_unsubscribe(struct call *call)
{
    unsubscribe(call, TOPIC_CHANNEL, "unsubscribe");
}

void command_punsubscribe(struct call *call)
{
    unsubscribe(call, TOPIC_PATTERN, "punsubscribe");
}

void command_publish(struct call *call)
{
    static const char hello[] = "__sentinel__:hello";
    const struct resp_arg *channel = &call->args[1], *text = &call->args[2];

    if (channel->len != sizeof hello - 1 || memcmp(channel->text, hello, channel->len) != 0) {
        reply_error(&call->reply, "ERR Only HELLO messages are accepted by Sentinel instances.");
        return;
    }
    /* A malformed one is ignored and counted, as one heard from a master would be. */
    (void)shard_hello(call->admin->shard, text->text, text->len);
    reply_integer(&call->reply, 1);
}
