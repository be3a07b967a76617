#include "admin/pubsub.h"

#include "admin/client.h"
#include "admin/reply.h"
#include "rules/glob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS 65536 /* distinct channels, and patterns, of a shard; more are refused */

struct subscriber { /* a topic's side */
    struct client *client;
    uint32_t place; /* in the client's list */
};

struct topic {
    struct topic *next_in_bucket;
    struct topic *previous, *next; /* patterns only */
    enum topic_kind kind;
    uint64_t hash;
    struct subscriber *subscribers;
    uint32_t count, cap;
    uint32_t len;
    char name[];
};

static uint64_t hash_of(const char *name, size_t len)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    }
    return hash ^ hash >> 29;
}

static void *allocated(void *block)
{
    if (!block) {
        abort();
    }
    return block;
}

void pubsub_init(struct pubsub *p)
{
    memset(p, 0, sizeof *p);
    for (int kind = 0; kind < 2; kind++) {
        p->bucket_count[kind] = 64;
        p->buckets[kind] = allocated(calloc(p->bucket_count[kind], sizeof(struct topic *)));
    }
}

void pubsub_free(struct pubsub *p)
{
    for (int kind = 0; kind < 2; kind++) {
        assert(p->topic_count[kind] == 0);
        free(p->buckets[kind]);
        buffer_free(&p->message[kind]);
    }
}

static struct topic **bucket(const struct pubsub *p, enum topic_kind kind, uint64_t hash)
{
    return &p->buckets[kind][hash & (p->bucket_count[kind] - 1)];
}

static struct topic *find(const struct pubsub *p, enum topic_kind kind, const char *name,
                          size_t len)
{
    uint64_t hash = hash_of(name, len);

    for (struct topic *t = *bucket(p, kind, hash); t; t = t->next_in_bucket) {
        if (t->hash == hash && t->len == len && memcmp(t->name, name, len) == 0) {
            return t;
        }
    }
    return NULL;
}

static void grow_table(struct pubsub *p, enum topic_kind kind)
{
    struct topic **old = p->buckets[kind];
    uint32_t count = p->bucket_count[kind];

    p->bucket_count[kind] = count * 2;
    p->buckets[kind] = allocated(calloc(p->bucket_count[kind], sizeof(struct topic *)));
    for (uint32_t i = 0; i < count; i++) {
        for (struct topic *t = old[i], *next; t; t = next) {
            next = t->next_in_bucket;
            struct topic **to = bucket(p, kind, t->hash);
            t->next_in_bucket = *to;
            *to = t;
        }
    }
    free(old);
}

static struct topic *add_topic(struct pubsub *p, enum topic_kind kind, const char *name, size_t len)
{
    if (p->topic_count[kind] >= p->bucket_count[kind]) {
        grow_table(p, kind);
    }
    struct topic *t = allocated(calloc(1, sizeof *t + len));
    t->kind = kind;
    t->hash = hash_of(name, len);
    t->len = (uint32_t)len;
    memcpy(t->name, name, len);
    struct topic **to = bucket(p, kind, t->hash);
    t->next_in_bucket = *to;
    *to = t;
    p->topic_count[kind]++;
    if (kind == TOPIC_PATTERN) {
        t->previous = p->last_pattern;
        if (p->last_pattern) {
            p->last_pattern->next = t;
        } else {
            p->first_pattern = t;
        }
        p->last_pattern = t;
    }
    return t;
}

static void remove_topic(struct pubsub *p, struct topic *t)
{
    struct topic **link = bucket(p, t->kind, t->hash);

    while (*link != t) {
        link = &(*link)->next_in_bucket;
    }
    *link = t->next_in_bucket;
    p->topic_count[t->kind]--;
    if (t->kind == TOPIC_PATTERN) {
        *(t->previous ? &t->previous->next : &p->first_pattern) = t->next;
        *(t->next ? &t->next->previous : &p->last_pattern) = t->previous;
    }
    free(t->subscribers);
    free(t);
}

static struct subscription *find_subscription(struct client *c, const struct topic *t)
{
    struct subscriptions *s = &c->subscriptions[t->kind];

    for (uint32_t i = 0; i < s->count; i++) {
        if (s->items[i].topic == t) {
            return &s->items[i];
        }
    }
    return NULL;
}

enum subscribe_result pubsub_subscribe(struct pubsub *p, struct client *c, enum topic_kind kind,
                                       const char *name, size_t len)
{
    struct subscriptions *s = &c->subscriptions[kind];
    struct topic *t = find(p, kind, name, len);

    if (t && find_subscription(c, t)) {
        return SUBSCRIBED_ALREADY;
    }
    if (client_subscribed(c) >= LIMIT_SUBSCRIPTIONS || len > LIMIT_EVENT_TEXT ||
        (!t && p->topic_count[kind] >= TOPICS)) {
        return SUBSCRIBE_FULL;
    }
    if (!t) {
        t = add_topic(p, kind, name, len);
    }
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->items = allocated(realloc(s->items, s->cap * sizeof *s->items));
    }
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 4;
        t->subscribers = allocated(realloc(t->subscribers, t->cap * sizeof *t->subscribers));
    }
    s->items[s->count] = (struct subscription){t, t->count};
    t->subscribers[t->count++] = (struct subscriber){c, s->count++};
    return SUBSCRIBED;
}

/* Takes subscription number `at` of c away. The client's list keeps its order, the topic's does
 * not. */
static void remove_at(struct pubsub *p, struct client *c, enum topic_kind kind, uint32_t at)
{
    struct subscriptions *s = &c->subscriptions[kind];
    struct topic *t = s->items[at].topic;
    uint32_t place = s->items[at].place;

    assert(t->subscribers[place].client == c && t->subscribers[place].place == at);
    t->subscribers[place] = t->subscribers[--t->count];
    if (place < t->count) {
        struct subscriber *moved = &t->subscribers[place];
        moved->client->subscriptions[kind].items[moved->place].place = place;
    }
    if (t->count == 0) {
        remove_topic(p, t);
    }
    s->count--;
    for (uint32_t i = at; i < s->count; i++) {
        s->items[i] = s->items[i + 1];
        s->items[i].topic->subscribers[s->items[i].place].place = i;
    }
    if (s->count == 0) {
        free(s->items);
        *s = (struct subscriptions){0};
    }
}

bool pubsub_unsubscribe(struct pubsub *p, struct client *c, enum topic_kind kind, const char *name,
                        size_t len)
{
    struct topic *t = find(p, kind, name, len);
    struct subscription *s = t ? find_subscription(c, t) : NULL;

    if (!s) {
        return false;
    }
    remove_at(p, c, kind, (uint32_t)(s - c->subscriptions[kind].items));
    return true;
}

void pubsub_forget(struct pubsub *p, struct client *c)
{
    /* From the end: nothing behind has to move up. */
    for (int kind = 0; kind < 2; kind++) {
        while (c->subscriptions[kind].count > 0) {
            remove_at(p, c, (enum topic_kind)kind, c->subscriptions[kind].count - 1);
        }
    }
}

bool pubsub_first(const struct client *c, enum topic_kind kind, const char **name, size_t *len)
{
    const struct subscriptions *s = &c->subscriptions[kind];

    if (s->count == 0) {
        return false;
    }
    *name = s->items[0].topic->name;
    *len = s->items[0].topic->len;
    return true;
}

/* Renders the message for one protocol, or finds it rendered. */
static const struct buffer *rendered(struct pubsub *p, const struct topic *t, int proto,
                                     const struct event_note *note)
{
    struct buffer *out = &p->message[proto == 3];
    struct reply r = {out, proto};

    if (out->len > 0) {
        return out;
    }
    reply_push(&r, t->kind == TOPIC_PATTERN ? 4 : 3);
    reply_text(&r, t->kind == TOPIC_PATTERN ? "pmessage" : "message");
    if (t->kind == TOPIC_PATTERN) {
        reply_bulk(&r, t->name, t->len);
    }
    reply_text(&r, note->channel);
    reply_bulk(&r, note->text, note->text_len);
    return out;
}

static void deliver_topic(struct pubsub *p, const struct topic *t, const struct event_note *note)
{
    p->message[0].len = p->message[1].len = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        struct client *c = t->subscribers[i].client;
        const struct buffer *message = rendered(p, t, c->proto, note);
        client_push(c, message->data, message->len);
    }
}

void pubsub_deliver(struct pubsub *p, const struct event_note *note)
{
    size_t len = strlen(note->channel);
    const struct topic *channel = find(p, TOPIC_CHANNEL, note->channel, len);

    if (channel) {
        deliver_topic(p, channel, note);
    }
    for (const struct topic *t = p->first_pattern; t; t = t->next) {
        if (glob_match(t->name, t->len, note->channel, len, false)) {
            deliver_topic(p, t, note);
        }
    }
}

void subscription_name(const struct subscription *s, const char **name, size_t *len)
{
    *name = s->topic->name;
    *len = s->topic->len;
}
