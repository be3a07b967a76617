#include "io/link.h"

#include "io/reply_scan.h"
#include "io/ring_port.h"
#include "io/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_CHANNEL "__sentinel__:hello"
#define SIMPLE_MOST   (LIMIT_HELLO + 128) /* bytes of a reply that is parsed by hand */
#define PENDING_INLINE                                                                             \
    4 /* commands that need no memory of their own: PING, PUBLISH, INFO, and one */

struct pending { /* a command unanswered */
    uint64_t arg;
    uint8_t tag;
};

struct partial { /* a reply that has not wholly arrived */
    struct buffer bytes;
    struct reply_scan scan;
};

struct link {
    struct stream *stream;
    const struct link_ops *ops;
    void *owner;
    ms_t opened;
    struct partial *partial; /* NULL: nothing */
    struct pending *pending; /* a ring of pending_cap: `few`, or malloc'd */
    uint32_t pending_first, pending_count, pending_cap, pending_max;
    struct pending few[PENDING_INLINE];
    uint8_t kind; /* enum link_kind */
    bool peer, up;
    bool gone;   /* closed, or down() has been called */
    bool inside; /* on_data runs: it frees */
};

/* --- pending commands ---------------------------------------------------------------------------
 */
static void pending_push(struct link *l, uint8_t tag, uint64_t arg)
{
    if (l->pending_count == l->pending_cap) {
        uint32_t cap = 4 * l->pending_cap;
        struct pending *more = malloc(cap * sizeof *more);
        if (more == NULL) {
            abort();
        }
        for (uint32_t i = 0; i < l->pending_count; i++) {
            more[i] = l->pending[(l->pending_first + i) % l->pending_cap];
        }
        if (l->pending != l->few) {
            free(l->pending);
        }
        l->pending = more;
        l->pending_first = 0;
        l->pending_cap = cap;
    }
    l->pending[(l->pending_first + l->pending_count++) % l->pending_cap] =
        (struct pending){.arg = arg, .tag = tag};
}

static struct pending pending_pop(struct link *l)
{
    assert(l->pending_count > 0);
    struct pending first = l->pending[l->pending_first];
    l->pending_first = (l->pending_first + 1) % l->pending_cap;
    if (--l->pending_count == 0 && l->pending != l->few) {
        free(l->pending);
        l->pending = l->few;
        l->pending_cap = PENDING_INLINE;
        l->pending_first = 0;
    }
    return first;
}

/* --- commands -----------------------------------------------------------------------------------
 */
/* Writes type, number, CRLF. Returns where it ends. (printf would be most of a command's cost.) */
static uint8_t *write_header(uint8_t *at, char type, size_t number)
{
    uint8_t digits[20];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *at++ = (uint8_t)type;
    while (count > 0) {
        *at++ = digits[--count];
    }
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static void write_command(struct link *l, int argc, const char **argv, const size_t *lens)
{
    const size_t header = 1 + 20 + 2;
    struct buffer *out = stream_output(l->stream);
    assert(argc > 0);
    uint8_t *first = buffer_reserve(out, header);
    out->len += (size_t)(write_header(first, '*', (size_t)argc) - first);
    for (int i = 0; i < argc; i++) {
        size_t len = lens != NULL ? lens[i] : strlen(argv[i]);
        uint8_t *start = buffer_reserve(out, header + len + 2);
        uint8_t *at = write_header(start, '$', len);
        memcpy(at, argv[i], len);
        memcpy(at + len, "\r\n", 2);
        out->len += (size_t)(at - start) + len + 2;
    }
}

static const char *renamed(const struct link_options *options, const char *command)
{
    return options->rename != NULL ? options->rename(options->rename_ctx, command) : command;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* What a link says first (protocol.md §2). */
static void greet(struct link *l, const struct link_options *options)
{
    if (given(options->auth_pass)) {
        const char *argv[3] = {renamed(options, "AUTH")};
        int argc = 1;
        if (given(options->auth_user)) {
            argv[argc++] = options->auth_user;
        }
        argv[argc++] = options->auth_pass;
        write_command(l, argc, argv, NULL);
        pending_push(l, LINK_TAG_GREETING_AUTH, 0);
    }
    assert(memchr(options->name, '\0', sizeof options->name) != NULL);
    const char *name[] = {renamed(options, "CLIENT"), "SETNAME", options->name};
    write_command(l, 3, name, NULL);
    pending_push(l, LINK_TAG_GREETING_SETNAME, 0);
    if (options->kind == LINK_PUBSUB) {
        const char *subscribe[] = {renamed(options, "SUBSCRIBE"), HELLO_CHANNEL};
        write_command(l, 2, subscribe, NULL);
        pending_push(l, LINK_TAG_GREETING_SUBSCRIBE, 0);
    } else {
        const char *ping[] = {renamed(options, "PING")};
        write_command(l, 1, ping, NULL);
        pending_push(l, LINK_TAG_GREETING_PING, 0);
    }
}

bool link_command(struct link *l, uint8_t tag, uint64_t arg, int argc, const char **argv,
                  const size_t *lens)
{
    assert(!l->gone && tag < LINK_TAG_RESERVED);
    if (l->kind == LINK_PUBSUB || l->pending_count >= l->pending_max ||
        stream_unsent(l->stream) > LIMIT_LINK_OUTPUT) {
        return false;
    }
    write_command(l, argc, argv, lens);
    pending_push(l, tag, arg);
    return true;
}

/* --- the end ------------------------------------------------------------------------------------
 */
static void drop_partial(struct link *l)
{
    if (l->partial != NULL) {
        buffer_free(&l->partial->bytes);
        free(l->partial);
        l->partial = NULL;
    }
}

static void link_free(struct link *l)
{
    drop_partial(l);
    if (l->pending != l->few) {
        free(l->pending);
    }
    free(l);
}

void link_close(struct link *l)
{
    if (l->gone) {
        return; /* inside down() */
    }
    l->gone = true;
    stream_close(l->stream);
    if (!l->inside) {
        link_free(l);
    }
}

/* Closes because of what the other side did. Inside on_data, which frees. */
static void give_up(struct link *l, const char *why)
{
    assert(!l->gone && l->inside);
    l->gone = true;
    stream_close(l->stream);
    l->ops->down(l->owner, why);
}

/* --- replies ------------------------------------------------------------------------------------
 */
static void reader_free(void *reader)
{
    redisReaderFree(reader);
}

/* One reader serves all links of a ring: it only ever sees whole replies. */
static redisReader *reader_of(struct link *l)
{
    struct ring *ring = stream_ring(l->stream);
    if (ring->reader == NULL) {
        ring->reader = redisReaderCreate();
        ring->reader_free = reader_free;
        if (ring->reader == NULL) {
            abort();
        }
    }
    return ring->reader;
}

static bool element_is(const redisReply *array, size_t i, const char *text)
{
    const redisReply *element = array->element[i];
    return element->type == REDIS_REPLY_STRING && element->len == strlen(text) &&
           memcmp(element->str, text, strlen(text)) == 0;
}

/* A pub/sub message, as push() promises. */
static bool is_message(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return false;
    }
    if (!(reply->elements == 3 && element_is(reply, 0, "message")) &&
        !(reply->elements == 4 && element_is(reply, 0, "pmessage"))) {
        return false;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return false;
        }
    }
    return true;
}

static void on_reply(struct link *l, const redisReply *reply)
{
    if (l->kind == LINK_PUBSUB && is_message(reply)) {
        if (l->ops->push != NULL) {
            l->ops->push(l->owner, reply);
        }
        return;
    }
    if (l->pending_count == 0) {
        give_up(l, "a reply to nothing");
        return;
    }
    struct pending first = pending_pop(l);
    l->ops->reply(l->owner, first.tag, first.arg, reply);
}

/* A bulk string at *at of a scanned reply: NUL-terminated at `text`, in element. Returns where the
 * text ends. */
static char *take_bulk(const uint8_t **at, char *text, redisReply *element)
{
    size_t len = 0;
    const uint8_t *from = *at + 1;
    for (; *from != '\r'; from++) {
        len = 10 * len + (size_t)(*from - '0');
    }
    memcpy(text, from + 2, len);
    text[len] = '\0';
    *element = (redisReply){.type = REDIS_REPLY_STRING, .str = text, .len = len};
    *at = from + 2 + len + 2;
    return text + len + 1;
}

/* A bulk string that was scanned: as large as an INFO, so it stays where it is. */
static void on_bulk(struct link *l, const uint8_t *bytes, size_t len)
{
    const uint8_t *text = memchr(bytes, '\n', len);
    assert(text != NULL && text + 1 + 2 <= bytes + len);
    text++;
    redisReply bulk = {.type = REDIS_REPLY_STRING,
                       .str = (char *)(uintptr_t)text,
                       .len = (size_t)(bytes + len - 2 - text)};
    on_reply(l, &bulk);
}

/* The replies of every day, +PONG, :1, INFO and a hello, without hiredis: its allocations were a
 * third of what a message cost. False: not one of these. */
static bool on_simple(struct link *l, const uint8_t *bytes, size_t len)
{
    char text[SIMPLE_MOST];
    static const char message[] = "*3\r\n$7\r\nmessage\r\n$";
    if (bytes[0] == '$' && bytes[1] >= '0' && bytes[1] <= '9') {
        on_bulk(l, bytes, len);
        return true;
    }
    if (len > sizeof text) {
        return false;
    }
    if (bytes[0] == '+') {
        memcpy(text, bytes + 1, len - 3);
        text[len - 3] = '\0';
        redisReply status = {.type = REDIS_REPLY_STATUS, .str = text, .len = len - 3};
        on_reply(l, &status);
        return true;
    }
    if (bytes[0] == ':' && len == 4 && bytes[1] >= '0' && bytes[1] <= '9') {
        redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = bytes[1] - '0'};
        on_reply(l, &number);
        return true;
    }
    if (len > sizeof message && memcmp(bytes, message, sizeof message - 1) == 0) {
        redisReply parts[3];
        redisReply *pointers[3] = {&parts[0], &parts[1], &parts[2]};
        redisReply array = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = pointers};
        const uint8_t *at = bytes + 4;
        char *room = text;
        for (int i = 0; i < 3; i++) {
            if (*at != '$' || at[1] == '-') {
                return false; /* a null, or no string */
            }
            room = take_bulk(&at, room, &parts[i]);
        }
        assert(at == bytes + len && (size_t)(room - text) <= sizeof text);
        on_reply(l, &array);
        return true;
    }
    return false;
}

/* One whole reply. */
static void on_whole(struct link *l, const uint8_t *bytes, size_t len)
{
    if (on_simple(l, bytes, len)) {
        return;
    }
    redisReader *reader = reader_of(l);
    void *reply = NULL;
    if (redisReaderFeed(reader, (const char *)bytes, len) != REDIS_OK ||
        redisReaderGetReply(reader, &reply) != REDIS_OK || reply == NULL) {
        /* The scanner lets pass what the reader refuses, such as ":x". */
        struct ring *ring = stream_ring(l->stream);
        char why[160];
        snprintf(why, sizeof why, "protocol error: %s", reader->errstr);
        redisReaderFree(reader);
        ring->reader = NULL;
        give_up(l, why);
        return;
    }
    on_reply(l, reply);
    freeReplyObject(reply);
}

/* Takes the whole replies at the start of bytes. Returns the bytes taken; what remains is part of
 * a reply, scanned as far as *scan says. Stops when the link is gone. */
static size_t take_replies(struct link *l, const uint8_t *bytes, size_t len,
                           struct reply_scan *scan)
{
    size_t taken = 0;
    while (taken < len && !l->gone) {
        switch (reply_scan(scan, bytes + taken, len - taken)) {
        case REPLY_MORE:
            return taken;
        case REPLY_BAD:
            give_up(l, "protocol error: no RESP2 reply, or one beyond the bounds");
            return taken;
        case REPLY_WHOLE: {
            size_t whole = scan->at;
            *scan = (struct reply_scan){0};
            on_whole(l, bytes + taken, whole);
            taken += whole;
        }
        }
    }
    return taken;
}

static void keep_partial(struct link *l, const uint8_t *bytes, size_t len,
                         const struct reply_scan *scan)
{
    l->partial = calloc(1, sizeof *l->partial);
    if (l->partial == NULL) {
        abort();
    }
    buffer_append(&l->partial->bytes, bytes, len);
    l->partial->scan = *scan;
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct link *l = owner;
    struct reply_scan scan = {0};
    assert(!l->gone && !l->inside);
    l->inside = true;
    struct partial *partial = l->partial;
    if (partial == NULL) {
        size_t taken = take_replies(l, bytes, len, &scan);
        if (!l->gone && taken < len) {
            keep_partial(l, bytes + taken, len - taken, &scan);
        }
    } else {
        buffer_append(&partial->bytes, bytes, len);
        size_t taken = take_replies(l, partial->bytes.data, partial->bytes.len, &partial->scan);
        if (taken == partial->bytes.len) {
            drop_partial(l);
        } else {
            buffer_consume(&partial->bytes, taken);
        }
    }
    l->inside = false;
    if (l->gone) {
        link_free(l);
    }
}

static void on_up(void *owner)
{
    struct link *l = owner;
    l->up = true;
    l->ops->up(l->owner); /* may close, which frees */
}

static void on_down(void *owner, int error)
{
    struct link *l = owner;
    assert(!l->gone);
    l->gone = true;
    const char *why = stream_why(l->stream);
    l->ops->down(l->owner, why != NULL  ? why
                           : error == 0 ? "closed by the other side"
                                        : strerror(error));
    link_free(l);
}

static void on_abandoned(void *owner)
{
    struct link *l = owner;
    link_free(l);
}

static const struct stream_ops stream_ops = {
    .up = on_up,
    .data = on_data,
    .down = on_down,
    .abandoned = on_abandoned,
};

/* --- opening and looking ------------------------------------------------------------------------
 */
struct link *link_open(struct ring *ring, const struct link_options *options,
                       const struct link_ops *ops, void *owner, ms_t now)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        abort();
    }
    l->ops = ops;
    l->owner = owner;
    l->opened = now;
    l->kind = (uint8_t)options->kind;
    l->peer = options->peer;
    l->pending = l->few;
    l->pending_cap = PENDING_INLINE;
    link_set_pending_max(l, options->pending_max);
    l->stream = stream_connect_tls(ring, &options->to, options->bind, options->tls, &stream_ops, l);
    greet(l, options);
    return l;
}

void link_set_pending_max(struct link *l, unsigned max)
{
    l->pending_max = max > 0 ? max : LIMIT_LINK_PENDING;
}

bool link_is_up(const struct link *l)
{
    return l->up && !l->gone;
}

unsigned link_pending(const struct link *l)
{
    return l->pending_count;
}

ms_t link_age(const struct link *l, ms_t now)
{
    return now - l->opened;
}

bool link_local(const struct link *l, struct address *out)
{
    return stream_local(l->stream, out);
}
