/* Links against a small fake Redis on the same ring: greeting, pipelining, pub/sub, bounds, and
 * everything hostile that a server can send. */
#include "io/link.h"

#include "io_test.h"

#include <malloc.h>

/* --- the fake Redis ------------------------------------------------------------------------------
 */
#define CONNECTIONS 600
#define REQUESTS    64

struct connection {
    struct stream *stream;
    struct fake *fake;
    redisReader *reader;
};

struct fake {
    struct ring *ring;
    struct listener *listener;
    struct address at;
    struct connection connections[CONNECTIONS];
    unsigned count, downs, datas;
    unsigned requests;       /* in all */
    char last[REQUESTS][96]; /* the requests, words joined by blanks */
    bool silent;             /* answers nothing */
    bool deny;               /* answers with errors */
};

static void answer(struct connection *c, const redisReply *request)
{
    static const char info[] = "role:master\r\nrun_id:0123\r\n";
    const char *name = request->element[0]->str;
    struct buffer *out = stream_output(c->stream);
    if (c->fake->silent) {
        return;
    }
    if (c->fake->deny) {
        buffer_printf(out, "-NOAUTH Authentication required.\r\n");
    } else if (strcmp(name, "PING") == 0) {
        buffer_printf(out, "+PONG\r\n");
    } else if (strcmp(name, "SUBSCRIBE") == 0) {
        buffer_printf(out, "*3\r\n$9\r\nsubscribe\r\n$18\r\n%s\r\n:1\r\n",
                      request->element[1]->str);
    } else if (strcmp(name, "INFO") == 0) {
        buffer_printf(out, "$%zu\r\n%s\r\n", strlen(info), info);
    } else if (strcmp(name, "COUNT") == 0) {
        buffer_printf(out, ":%s\r\n", request->element[1]->str);
    } else if (strcmp(name, "BIG") == 0) {
        int len = atoi(request->element[1]->str);
        buffer_printf(out, "$%d\r\n", len);
        memset(buffer_reserve(out, (size_t)len), 'b', (size_t)len);
        out->len += (size_t)len;
        buffer_printf(out, "\r\n");
    } else {
        buffer_printf(out, "+OK\r\n");
    }
}

static void fake_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct connection *c = owner;
    void *request = NULL;
    c->fake->datas++;
    assert_int_equal(redisReaderFeed(c->reader, (const char *)bytes, len), REDIS_OK);
    while (redisReaderGetReply(c->reader, &request) == REDIS_OK && request != NULL) {
        redisReply *r = request;
        assert_int_equal(r->type, REDIS_REPLY_ARRAY);
        char *last = c->fake->last[c->fake->requests++ % REQUESTS];
        size_t at = 0;
        for (size_t i = 0; i < r->elements && at < 90; i++) {
            at += (size_t)snprintf(last + at, 96 - at, "%s%s", i ? " " : "", r->element[i]->str);
        }
        answer(c, r);
        freeReplyObject(r);
        request = NULL;
    }
    assert_int_equal(c->reader->err, 0);
}

static void fake_down(void *owner, int error)
{
    struct connection *c = owner;
    c->fake->downs++;
    c->stream = NULL;
    redisReaderFree(c->reader);
    c->reader = NULL;
}

static const struct stream_ops fake_ops = {.data = fake_data, .down = fake_down};

static void fake_accept(void *ctx, int fd)
{
    struct fake *fake = ctx;
    assert_true(fake->count < CONNECTIONS);
    struct connection *c = &fake->connections[fake->count++];
    c->fake = fake;
    c->reader = redisReaderCreate();
    c->stream = stream_adopt(fake->ring, fd, 0, &fake_ops, c);
}

static struct fake *fake_new(struct ring *ring)
{
    char error[200];
    struct fake *fake = calloc(1, sizeof *fake);
    fake->ring = ring;
    fake->at = address_of("127.0.0.1", free_port());
    fake->listener = listener_open(ring, &fake->at, 511, fake_accept, fake, error, sizeof error);
    assert_non_null(fake->listener);
    return fake;
}

static void fake_say(struct fake *fake, unsigned connection, const void *bytes, size_t len)
{
    stream_write(fake->connections[connection].stream, bytes, len);
    ring_flush(fake->ring);
}

static void finish(struct fake *fake)
{
    struct ring *ring = fake->ring;
    ring_close(ring);
    for (unsigned i = 0; i < fake->count; i++) {
        if (fake->connections[i].reader != NULL) {
            redisReaderFree(fake->connections[i].reader);
        }
    }
    free(fake);
}

/* --- the link's owner ----------------------------------------------------------------------------
 */
struct seen {
    uint8_t tag;
    uint64_t arg;
    int type;
    long long integer;
    size_t len, elements;
    char text[64];
};

struct owner {
    struct link *link;
    unsigned ups, downs, replies, pushes;
    struct seen seen[64];
    char why[160], pushed[64];
    unsigned close_at_reply; /* closes in that reply; 0: never */
    bool close_in_up, close_in_push, close_in_down, command_in_reply;
};

static void owner_close(struct owner *o)
{
    link_close(o->link);
    o->link = NULL;
}

static void on_up(void *owner)
{
    struct owner *o = owner;
    o->ups++;
    assert_true(link_is_up(o->link));
    if (o->close_in_up) {
        owner_close(o);
    }
}

static void on_reply(void *owner, uint8_t tag, uint64_t arg, const redisReply *reply)
{
    struct owner *o = owner;
    assert_non_null(o->link);
    struct seen *seen = &o->seen[o->replies++ % 64];
    *seen = (struct seen){.tag = tag,
                          .arg = arg,
                          .type = reply->type,
                          .integer = reply->integer,
                          .len = reply->str != NULL ? (size_t)reply->len : 0,
                          .elements = reply->elements};
    if (reply->str != NULL) {
        snprintf(seen->text, sizeof seen->text, "%.60s", reply->str);
    }
    if (o->command_in_reply) {
        const char *argv[] = {"PING"};
        link_command(o->link, 1, 0, 1, argv, NULL);
    }
    if (o->replies == o->close_at_reply) {
        owner_close(o);
    }
}

static void on_push(void *owner, const redisReply *message)
{
    struct owner *o = owner;
    assert_non_null(o->link);
    o->pushes++;
    snprintf(o->pushed, sizeof o->pushed, "%s|%s|%s", message->element[0]->str,
             message->element[1]->str, message->element[message->elements - 1]->str);
    if (o->close_in_push) {
        owner_close(o);
    }
}

static void on_down(void *owner, const char *why)
{
    struct owner *o = owner;
    assert_non_null(o->link);
    o->downs++;
    snprintf(o->why, sizeof o->why, "%s", why);
    if (o->close_in_down) {
        link_close(o->link);
    }
    o->link = NULL;
}

static const struct link_ops ops = {
    .up = on_up, .reply = on_reply, .push = on_push, .down = on_down};

static void open_link(struct owner *o, struct fake *fake, enum link_kind kind)
{
    struct link_options options = {.to = fake->at, .kind = kind};
    snprintf(options.name, sizeof options.name, "sentinel-01234567-%s",
             kind == LINK_PUBSUB ? "pubsub" : "cmd");
    o->link = link_open(fake->ring, &options, &ops, o, 1000);
}

static bool command(struct owner *o, uint8_t tag, uint64_t arg, const char *one, const char *two)
{
    const char *argv[] = {one, two};
    return link_command(o->link, tag, arg, two != NULL ? 2 : 1, argv, NULL);
}

static struct ring_counters counted(const struct ring *ring)
{
    struct ring_counters counters;
    ring_counters(ring, &counters);
    return counters;
}

/* --- tests --------------------------------------------------------------------------------------
 */
static void greets(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    struct address local;
    open_link(&o, fake, LINK_CMD);
    assert_false(link_is_up(o.link));
    assert_int_equal(link_pending(o.link), 2);
    turn_until(fake->ring, o.replies == 2);
    assert_int_equal(o.ups, 1);
    assert_string_equal(fake->last[0], "CLIENT SETNAME sentinel-01234567-cmd");
    assert_string_equal(fake->last[1], "PING");
    assert_int_equal(fake->datas, 1); /* in one write */
    assert_int_equal(o.seen[0].tag, LINK_TAG_GREETING_SETNAME);
    assert_int_equal(o.seen[1].tag, LINK_TAG_GREETING_PING);
    assert_int_equal(o.seen[1].type, REDIS_REPLY_STATUS);
    assert_string_equal(o.seen[1].text, "PONG");
    assert_int_equal(link_pending(o.link), 0);
    assert_int_equal(link_age(o.link, 1234), 234);
    assert_true(link_local(o.link, &local));
    assert_string_equal(local.ip, "127.0.0.1");
    owner_close(&o);
    turn_until(fake->ring, fake->downs == 1);
    assert_int_equal(o.downs, 0);
    finish(fake);
}

static const char *rename_some(void *ctx, const char *name)
{
    ++*(int *)ctx;
    return strcmp(name, "CLIENT") == 0 ? "KUNDE" : strcmp(name, "AUTH") == 0 ? "WHO" : name;
}

static void greets_with_password_and_names(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner plain = {0}, user = {0};
    int asked = 0;
    struct link_options options = {.to = fake->at, .kind = LINK_CMD, .auth_pass = "s3 cret"};
    snprintf(options.name, sizeof options.name, "sentinel-x-cmd");
    plain.link = link_open(fake->ring, &options, &ops, &plain, 0);
    turn_until(fake->ring, plain.replies == 3);
    assert_string_equal(fake->last[0], "AUTH s3 cret");
    assert_int_equal(plain.seen[0].tag, LINK_TAG_GREETING_AUTH);
    options.auth_user = "bob";
    options.rename = rename_some;
    options.rename_ctx = &asked;
    options.kind = LINK_PUBSUB;
    fake->requests = 0;
    user.link = link_open(fake->ring, &options, &ops, &user, 0);
    turn_until(fake->ring, user.replies == 3);
    assert_int_equal(asked, 3);
    assert_string_equal(fake->last[0], "WHO bob s3 cret");
    assert_string_equal(fake->last[1], "KUNDE SETNAME sentinel-x-cmd");
    assert_string_equal(fake->last[2], "SUBSCRIBE __sentinel__:hello");
    assert_int_equal(user.seen[2].tag, LINK_TAG_GREETING_SUBSCRIBE);
    assert_int_equal(user.seen[2].type, REDIS_REPLY_ARRAY);
    owner_close(&plain);
    owner_close(&user);
    finish(fake);
}

static void refusals_reach_the_owner(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    fake->deny = true;
    open_link(&o, fake, LINK_PUBSUB);
    turn_until(fake->ring, o.replies == 2);
    assert_int_equal(o.seen[1].tag, LINK_TAG_GREETING_SUBSCRIBE);
    assert_int_equal(o.seen[1].type, REDIS_REPLY_ERROR);
    assert_int_equal(o.downs, 0);
    owner_close(&o);
    finish(fake);
}

static void commands_in_order_in_one_write(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    open_link(&o, fake, LINK_CMD);
    turn_until(fake->ring, o.replies == 2);
    unsigned datas = fake->datas;
    const char *binary[] = {"SET", "a\0b"};
    size_t lens[] = {3, 3};
    assert_true(command(&o, 3, 30, "PING", NULL));
    assert_true(command(&o, 4, UINT64_MAX, "INFO", NULL));
    for (unsigned i = 0; i < 10; i++) {
        char number[8];
        snprintf(number, sizeof number, "%u", i);
        assert_true(command(&o, 5, i, "COUNT", number));
    }
    assert_true(link_command(o.link, 6, 0, 2, binary, lens));
    assert_int_equal(link_pending(o.link), 13);
    ring_flush(fake->ring);
    turn_until(fake->ring, o.replies == 15);
    assert_int_equal(fake->datas, datas + 1);
    assert_int_equal(o.seen[2].tag, 3);
    assert_int_equal(o.seen[2].arg, 30);
    assert_int_equal(o.seen[3].tag, 4);
    assert_true(o.seen[3].arg == UINT64_MAX);
    assert_int_equal(o.seen[3].type, REDIS_REPLY_STRING);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(o.seen[4 + i].arg, i);
        assert_int_equal(o.seen[4 + i].integer, i);
    }
    assert_int_equal(o.seen[14].tag, 6);
    assert_int_equal(link_pending(o.link), 0);
    owner_close(&o);
    finish(fake);
}

static void pending_is_bounded(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    fake->silent = true;
    open_link(&o, fake, LINK_CMD);
    unsigned taken = 0;
    while (command(&o, 1, taken, "PING", NULL)) {
        taken++;
        assert_true(taken <= LIMIT_LINK_PENDING);
    }
    assert_int_equal(taken, LIMIT_LINK_PENDING - 2); /* the greeting counts */
    link_set_pending_max(o.link, LIMIT_LINK_PENDING + 5);
    for (int i = 0; i < 5; i++) {
        assert_true(command(&o, 1, taken++, "PING", NULL));
    }
    assert_false(command(&o, 1, 0, "PING", NULL));
    turn_until(fake->ring, fake->requests == LIMIT_LINK_PENDING + 5);
    for (unsigned i = 0; i < LIMIT_LINK_PENDING + 5; i++) {
        fake_say(fake, 0, "+PONG\r\n", 7);
    }
    turn_until(fake->ring, o.replies == LIMIT_LINK_PENDING + 5);
    assert_int_equal(link_pending(o.link), 0);
    assert_int_equal(o.seen[(o.replies - 1) % 64].arg, taken - 1);
    /* Unsent bytes are bounded too. */
    link_set_pending_max(o.link, 1000000);
    char *big = calloc(1, 10001);
    memset(big, 'x', 10000);
    unsigned bytes = 0;
    while (command(&o, 1, 0, "SET", big)) {
        bytes += 10000;
        assert_true(bytes < 2 * LIMIT_LINK_OUTPUT);
    }
    assert_true(bytes >= LIMIT_LINK_OUTPUT);
    free(big);
    owner_close(&o);
    finish(fake);
}

static void pub_sub(void **state)
{
    static const char message[] =
        "*3\r\n$7\r\nmessage\r\n$18\r\n__sentinel__:hello\r\n$5\r\nhello\r\n";
    static const char pattern[] = "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$2\r\nhi\r\n";
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    open_link(&o, fake, LINK_PUBSUB);
    turn_until(fake->ring, o.replies == 2);
    assert_false(command(&o, 1, 0, "PING", NULL));
    fake_say(fake, 0, message, sizeof message - 1);
    fake_say(fake, 0, pattern, sizeof pattern - 1);
    turn_until(fake->ring, o.pushes == 2);
    assert_string_equal(o.pushed, "pmessage|*|hi");
    assert_int_equal(o.replies, 2);
    /* In pieces. */
    for (size_t i = 0; i < sizeof message - 1; i++) {
        fake_say(fake, 0, message + i, 1);
        turn_for(fake->ring, 1);
    }
    turn_until(fake->ring, o.pushes == 3);
    assert_string_equal(o.pushed, "message|__sentinel__:hello|hello");
    owner_close(&o);
    finish(fake);
}

static void replies_in_pieces(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {0};
    open_link(&o, fake, LINK_CMD);
    turn_until(fake->ring, o.replies == 2);
    static const int sizes[] = {0, 1, 4000, 4096, 5000, 65536, 262000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", sizes[i]);
        unsigned before = o.replies;
        assert_true(command(&o, 1, 0, "PING", NULL));
        assert_true(command(&o, 2, 0, "BIG", number));
        assert_true(command(&o, 3, 0, "PING", NULL));
        turn_until(fake->ring, o.replies == before + 3);
        assert_int_equal(o.seen[(before + 1) % 64].len, sizes[i]);
        assert_int_equal(o.seen[(before + 2) % 64].tag, 3);
    }
    assert_int_equal(o.downs, 0);
    owner_close(&o);
    finish(fake);
}

static void hostile_replies(void **state)
{
    static const struct {
        const char *bytes;
        const char *why;
    } attacks[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol error"},
        {"*1000000000\r\n", "protocol error"},
        {"*2147483647\r\n", "protocol error"},
        {"*-5\r\n", "protocol error"},
        {"$1000000000\r\n", "protocol error"},
        {"$9223372036854775807\r\n", "protocol error"},
        {"$3\r\nabcd\r\n", "protocol error"},
        {":12x\r\n", "protocol error"},
        {":\r\n", "protocol error"},
        {"\x16\x03\x01\x02", "protocol error"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "protocol error"},
        {"+OK\r\n", "reply to nothing"},
        {"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", "reply to nothing"},
    };
    struct fake *fake = fake_new(open_ring(NULL));
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        struct owner o = {.close_in_down = i % 2};
        open_link(&o, fake, LINK_CMD);
        turn_until(fake->ring, o.replies == 2);
        fake_say(fake, fake->count - 1, attacks[i].bytes, strlen(attacks[i].bytes));
        turn_until(fake->ring, o.downs == 1);
        assert_non_null(strstr(o.why, attacks[i].why));
        assert_int_equal(o.replies, 2);
        turn_until(fake->ring, fake->downs == i + 1); /* the link was closed */
    }
    /* A line that never ends, and one that is never finished but harmless. */
    struct owner endless = {0};
    open_link(&endless, fake, LINK_CMD);
    turn_until(fake->ring, endless.replies == 2);
    char *line = malloc(65536);
    memset(line, 'x', 65536);
    line[0] = '-';
    unsigned n = fake->count - 1;
    for (int i = 0; i < 4 && endless.downs == 0; i++) {
        fake_say(fake, n, line, 65536);
        line[0] = 'x';
        turn_for(fake->ring, 20);
    }
    turn_until(fake->ring, endless.downs == 1);
    assert_non_null(strstr(endless.why, "protocol error"));
    free(line);
    finish(fake);
}

static void goes_down(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct fake *fake = fake_new(ring);
    struct owner o = {0}, refused = {.close_in_down = true}, zero = {0};
    open_link(&o, fake, LINK_CMD);
    turn_until(ring, o.replies == 2);
    fake->silent = true;
    command(&o, 1, 0, "PING", NULL);
    turn_until(ring, fake->requests == 3);
    stream_close(fake->connections[0].stream);
    redisReaderFree(fake->connections[0].reader);
    fake->connections[0].reader = NULL;
    turn_until(ring, o.downs == 1);
    assert_string_equal(o.why, "closed by the other side");
    assert_int_equal(o.replies, 2);
    listener_close(fake->listener);
    turn_for(ring, 5);
    open_link(&refused, fake, LINK_CMD);
    fake->at.port = 0;
    open_link(&zero, fake, LINK_CMD);
    assert_int_equal(refused.downs + zero.downs, 0);
    turn_until(ring, refused.downs == 1 && zero.downs == 1);
    assert_non_null(strstr(refused.why, "refused"));
    assert_int_equal(counted(ring).objects, 0);
    finish(fake);
}

static void closing_in_callbacks(void **state)
{
    static const char two[] = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"
                              "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nc\r\n";
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner in_up = {.close_in_up = true}, in_first = {.close_at_reply = 1};
    struct owner in_second = {.close_at_reply = 2}, in_push = {.close_in_push = true};
    struct owner in_piece = {.close_at_reply = 3};
    open_link(&in_up, fake, LINK_CMD);
    turn_until(fake->ring, in_up.ups == 1);
    open_link(&in_first, fake, LINK_CMD);
    turn_until(fake->ring, in_first.replies == 1);
    open_link(&in_second, fake, LINK_CMD);
    turn_until(fake->ring, in_second.replies == 2);
    open_link(&in_push, fake, LINK_PUBSUB);
    turn_until(fake->ring, in_push.replies == 2);
    fake_say(fake, fake->count - 1, two, sizeof two - 1);
    turn_until(fake->ring, in_push.pushes == 1);
    open_link(&in_piece, fake, LINK_CMD);
    turn_until(fake->ring, in_piece.replies == 2);
    fake->silent = true;
    command(&in_piece, 1, 0, "PING", NULL);
    fake_say(fake, fake->count - 1, "+PO", 3);
    turn_for(fake->ring, 10);
    fake_say(fake, fake->count - 1, "NG\r\n+PONG\r\n+PO", 14);
    turn_until(fake->ring, in_piece.replies == 3);
    turn_for(fake->ring, 10);
    assert_int_equal(in_first.replies, 1);
    assert_int_equal(in_push.pushes, 1);
    assert_int_equal(
        in_up.downs + in_first.downs + in_second.downs + in_push.downs + in_piece.downs, 0);
    finish(fake);
}

/* A reply that makes the owner send the next command, for a while. */
static void commands_in_replies(void **state)
{
    struct fake *fake = fake_new(open_ring(NULL));
    struct owner o = {.command_in_reply = true};
    open_link(&o, fake, LINK_CMD);
    turn_until(fake->ring, o.replies > 500);
    owner_close(&o);
    finish(fake);
}

static void idle_links_are_small(void **state)
{
    enum { LINKS = 500 };
    struct ring *ring = open_ring(NULL);
    struct fake *fake = fake_new(ring);
    struct owner *owners = calloc(LINKS, sizeof *owners);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < LINKS; i++) {
        open_link(&owners[i], fake, LINK_CMD);
    }
    for (int i = 0; i < LINKS; i++) {
        turn_until(ring, owners[i].replies == 2);
    }
    for (int round = 0; round < 3; round++) {
        unsigned wanted = owners[0].replies + 6;
        for (int i = 0; i < LINKS; i++) {
            for (int k = 0; k < 5; k++) { /* more than a link keeps in itself */
                assert_true(command(&owners[i], 1, 0, "INFO", NULL));
            }
            assert_true(command(&owners[i], 1, 0, "BIG", "5000"));
        }
        for (int i = 0; i < LINKS; i++) {
            turn_until(ring, owners[i].replies == wanted);
        }
    }
    for (int i = 0; i < LINKS; i++) {
        struct connection *c = &fake->connections[i];
        stream_close(c->stream);
        redisReaderFree(c->reader);
        c->reader = NULL;
        c->stream = NULL;
    }
    /* The fake's side is closed and not yet noticed by ours: what is left is the links. */
    struct mallinfo2 after = mallinfo2();
    size_t each = after.uordblks > before.uordblks ? (after.uordblks - before.uordblks) / LINKS : 0;
    print_message("%zu bytes a link\n", each);
    assert_true(each < 1024);
    for (int i = 0; i < LINKS; i++) {
        link_close(owners[i].link);
    }
    free(owners);
    finish(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets),
        cmocka_unit_test(greets_with_password_and_names),
        cmocka_unit_test(refusals_reach_the_owner),
        cmocka_unit_test(commands_in_order_in_one_write),
        cmocka_unit_test(pending_is_bounded),
        cmocka_unit_test(pub_sub),
        cmocka_unit_test(replies_in_pieces),
        cmocka_unit_test(hostile_replies),
        cmocka_unit_test(goes_down),
        cmocka_unit_test(closing_in_callbacks),
        cmocka_unit_test(commands_in_replies),
        cmocka_unit_test(idle_links_are_small),
    };
    return run_on_both(tests) + run_on_direct(tests);
}
