/* Who of a shard's clients is subscribed to what (protocol.md §9).
 *
 * Thread: its shard's.
 */
#pragma once

#include "io/buffer.h"
#include "rules/types.h"

struct client;
struct admin;
struct event_note;

enum topic_kind { TOPIC_CHANNEL, TOPIC_PATTERN };

struct topic;
struct subscription { /* a client's side */
    struct topic *topic;
    uint32_t place; /* in the topic's list */
};
struct subscriptions {
    struct subscription *items; /* owned; in the order of subscribing */
    uint32_t count, cap;
};

struct pubsub {
    struct topic **buckets[2]; /* hash tables of channels and patterns */
    uint32_t bucket_count[2];  /* powers of two */
    uint32_t topic_count[2];
    struct topic *first_pattern, *last_pattern; /* in the order of their first subscription */
    struct buffer message[2];                   /* the rendered one, RESP2 and RESP3 */
};

void pubsub_init(struct pubsub *p);
void pubsub_free(struct pubsub *p);

enum subscribe_result { SUBSCRIBED, SUBSCRIBED_ALREADY, SUBSCRIBE_FULL };
enum subscribe_result pubsub_subscribe(struct pubsub *p, struct client *c, enum topic_kind kind,
                                       const char *name, size_t len);
/* False: it was not subscribed. */
bool pubsub_unsubscribe(struct pubsub *p, struct client *c, enum topic_kind kind, const char *name,
                        size_t len);
/* From everything. */
void pubsub_forget(struct pubsub *p, struct client *c);
/* The name of c's first subscription of this kind; false: it has none. */
bool pubsub_first(const struct client *c, enum topic_kind kind, const char **name, size_t *len);
/* The name of a subscription; borrowed as long as it lasts. */
void subscription_name(const struct subscription *s, const char **name, size_t *len);
/* Gives the message to every subscriber. */
void pubsub_deliver(struct pubsub *p, const struct event_note *note);
