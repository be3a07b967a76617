#include "admin/client.h"

#include "admin/access.h"
#include "admin/command.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_PAUSE   (1024 * 1024) /* unsent bytes at which a client's requests wait */
#define EVICT_PERIOD   100           /* ms between looks at what all clients take */
#define EVICT_MOST     32            /* clients closed at one look */
#define INPUT_KEEP     4096          /* bytes of room an idle client keeps */
#define TLS_TOLD_AGAIN 1000          /* ms between complaints about handshakes */

static void *allocated(void *block)
{
    if (!block) {
        abort();
    }
    return block;
}

/* --- the table ------------------------------------------------------------------------------- */

static void grow_clients(struct admin *a)
{
    uint32_t old = a->client_cap, cap = old ? old * 2 : 64;

    a->clients = allocated(realloc(a->clients, cap * sizeof *a->clients));
    a->generations = allocated(realloc(a->generations, cap * sizeof *a->generations));
    a->unused = allocated(realloc(a->unused, cap * sizeof *a->unused));
    for (uint32_t i = cap; i-- > old;) {
        a->clients[i] = NULL;
        a->generations[i] = 1;
        a->unused[a->unused_count++] = i;
    }
    a->client_cap = cap;
}

struct client *client_of(struct admin *a, const struct ticket *t)
{
    if (t->index >= a->client_cap || a->generations[t->index] != t->generation) {
        return NULL;
    }
    return a->clients[t->index];
}

struct client *client_next(struct admin *a, uint32_t *cursor)
{
    while (*cursor < a->client_cap) {
        struct client *c = a->clients[(*cursor)++];
        if (c && !c->doomed) {
            return c;
        }
    }
    return NULL;
}

uint32_t client_subscribed(const struct client *c)
{
    return c->subscriptions[TOPIC_CHANNEL].count + c->subscriptions[TOPIC_PATTERN].count;
}

static void unlink_activity(struct client *c)
{
    struct admin *a = c->admin;

    *(c->older ? &c->older->newer : &a->oldest) = c->newer;
    *(c->newer ? &c->newer->older : &a->newest) = c->older;
    c->older = c->newer = NULL;
}

static void link_newest(struct client *c)
{
    struct admin *a = c->admin;

    c->older = a->newest;
    *(a->newest ? &a->newest->newer : &a->oldest) = c;
    a->newest = c;
}

static void touch(struct client *c)
{
    c->active = shard_now(c->admin->shard);
    unlink_activity(c);
    link_newest(c);
}

ms_t client_timeouts(struct admin *a, ms_t now)
{
    ms_t idle = (ms_t)a->process->options.timeout * 1000;

    if (idle == 0) {
        return MS_NEVER;
    }
    while (a->oldest && now - a->oldest->active > idle) {
        struct client *c = a->oldest;
        /* As in Redis, whoever waits or listens is not idle: looked at again later. */
        if (!c->waiting && c->first == c->after && client_subscribed(c) == 0) {
            client_close(c);
        }
        touch(c);
    }
    return a->oldest ? a->oldest->active + idle + 1 : MS_NEVER;
}

/* --- output limits ---------------------------------------------------------------------------- */

static void not_long(struct client *c)
{
    if (c->long_since == 0) {
        return;
    }
    *(c->long_back ? &c->long_back->long_next : &c->admin->long_first) = c->long_next;
    if (c->long_next) {
        c->long_next->long_back = c->long_back;
    }
    c->long_next = c->long_back = NULL;
    c->long_since = 0;
}

static void is_long(struct client *c)
{
    struct admin *a = c->admin;

    c->long_since = shard_now(a->shard);
    c->long_next = a->long_first;
    if (a->long_first) {
        a->long_first->long_back = c;
    }
    a->long_first = c;
}

static const struct output_limit *output_limit(const struct client *c)
{
    const struct process_options *o = &c->admin->process->options;

    return client_subscribed(c) > 0 ? &o->pubsub_output : &o->normal_output;
}

static void close_long(struct client *c)
{
    struct admin *a = c->admin;
    char at[ADDRESS_TEXT];

    address_format(&c->peer, at);
    shard_log(a->shard, EVENT_WARNING,
              "Client id=%llu addr=%s name=%s closed for overcoming of output buffer limits.",
              (unsigned long long)c->id, c->unix_socket ? "unixsocket" : at,
              c->name ? c->name : "");
    atomic_fetch_add_explicit(&a->process->counters.output_closed, 1, memory_order_relaxed);
    client_close(c);
}

/* After its output grew or shrank. */
static void watch_output(struct client *c)
{
    if (c->doomed || !c->stream) {
        return;
    }
    const struct output_limit *limit = output_limit(c);
    size_t size = stream_unsent(c->stream) + c->held;

    if ((limit->hard > 0 && size > limit->hard) ||
        (client_subscribed(c) > 0 && size > LIMIT_CLIENT_OUTPUT)) {
        close_long(c);
    } else if (limit->soft == 0 || size <= limit->soft) {
        not_long(c);
    } else if (c->long_since == 0) {
        is_long(c);
    }
}

ms_t client_outputs(struct admin *a, ms_t now)
{
    ms_t next = MS_NEVER;
    struct client *following;

    for (struct client *c = a->long_first; c; c = following) {
        following = c->long_next;
        if (!c->doomed) {
            watch_output(c); /* it may have read meanwhile */
        }
        if (c->doomed || c->long_since == 0) {
            continue;
        }
        /* As in Redis: more than so many whole seconds. */
        ms_t until = c->long_since + ((ms_t)output_limit(c)->soft_seconds + 1) * 1000;
        if (now >= until) {
            close_long(c);
        } else if (until < next) {
            next = until;
        }
    }
    return next;
}

/* --- memory of all clients ---------------------------------------------------------------------
 */

size_t client_memory(const struct client *c)
{
    size_t unsent = c->doomed || !c->stream ? 0 : stream_unsent(c->stream);

    return sizeof *c + c->input.cap + c->parser.arg_cap * sizeof(struct resp_arg) + c->held +
           c->slot_cap * sizeof *c->slots + unsent;
}

/* Adds up the shard's clients; the largest that may be closed in *largest, NULL: none. */
static uint64_t count_memory(struct admin *a, struct client **largest)
{
    uint32_t cursor = 0;
    uint64_t sum = 0, most = 0;
    struct client *c;

    *largest = NULL;
    while ((c = client_next(a, &cursor))) {
        size_t own = client_memory(c);
        sum += own;
        if (own > most && !c->no_evict) {
            most = own;
            *largest = c;
        }
    }
    atomic_store_explicit(&a->process->clients_memory[a->index], sum, memory_order_relaxed);
    return sum;
}

/* Whether the clients of all shards take too much, and none more than those of this one. */
static bool must_evict(const struct admin *a, uint64_t own)
{
    const struct process *p = a->process;
    uint64_t total = 0;

    for (unsigned i = 0; i < p->options.shards; i++) {
        uint64_t other = atomic_load_explicit(&p->clients_memory[i], memory_order_relaxed);
        total += other;
        if (other > own || (other == own && i < a->index)) {
            return false;
        }
    }
    return total > p->options.clients_memory;
}

ms_t client_evict(struct admin *a, ms_t now)
{
    struct client *largest;

    if (a->process->options.clients_memory == 0) {
        return MS_NEVER;
    }
    if (now < a->next_evict) {
        return a->next_evict;
    }
    a->next_evict = now + EVICT_PERIOD;
    for (unsigned i = 0; i < EVICT_MOST; i++) {
        uint64_t own = count_memory(a, &largest);
        if (!largest || !must_evict(a, own)) {
            break;
        }
        shard_log(a->shard, EVENT_NOTICE, "Evicting client: id=%llu name=%s tot-mem=%zu",
                  (unsigned long long)largest->id, largest->name ? largest->name : "",
                  client_memory(largest));
        atomic_fetch_add_explicit(&a->process->counters.evicted, 1, memory_order_relaxed);
        client_close(largest);
    }
    return a->next_evict;
}

/* --- life ------------------------------------------------------------------------------------ */

void client_close(struct client *c)
{
    if (c->doomed) {
        return;
    }
    c->doomed = true;
    c->next_doomed = c->admin->doomed;
    c->admin->doomed = c;
}

void client_goodbye(struct client *c)
{
    c->goodbye = true;
}

void client_named(struct client *c)
{
    size_t len = c->name ? strlen(c->name) : 0;
    if (c->stream && len == 21 && strncmp(c->name, "sentinel-", 9) == 0 &&
        strcmp(c->name + 17, "-cmd") == 0) {
        stream_move(c->stream, shard_link_ring(c->admin->shard));
    }
}

static void free_client(struct client *c)
{
    struct admin *a = c->admin;

    assert(a->current != c);
    pubsub_forget(&a->pubsub, c);
    if (c->stream) {
        if (c->goodbye) {
            stream_close_after_flush(c->stream);
        } else {
            stream_close(c->stream);
        }
    }
    unlink_activity(c);
    not_long(c);
    a->clients[c->index] = NULL;
    a->generations[c->index]++;
    a->unused[a->unused_count++] = c->index;
    atomic_fetch_sub_explicit(&a->process->counters.clients, 1, memory_order_relaxed);
    for (; c->first != c->after; c->first++) {
        buffer_free(&c->slots[c->first % c->slot_cap].text);
    }
    free(c->slots);
    resp_free(&c->parser);
    buffer_free(&c->input);
    free(c->name);
    free(c->library);
    free(c->library_version);
    tracking_off(&c->tracking);
    free(c);
}

void admin_settle(struct admin *a)
{
    while (a->doomed) {
        struct client *c = a->doomed;
        a->doomed = c->next_doomed;
        free_client(c);
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static struct slot *slot_at(struct client *c, uint64_t sequence)
{
    assert(sequence >= c->first && sequence < c->after);
    return &c->slots[sequence & (c->slot_cap - 1)];
}

static struct slot *open_slot(struct client *c)
{
    if (c->after - c->first == c->slot_cap) {
        uint32_t cap = c->slot_cap ? c->slot_cap * 2 : 8;
        struct slot *slots = allocated(calloc(cap, sizeof *slots));
        for (uint64_t s = c->first; s != c->after; s++) {
            slots[s & (cap - 1)] = c->slots[s & (c->slot_cap - 1)];
        }
        free(c->slots);
        c->slots = slots;
        c->slot_cap = cap;
    }
    struct slot *s = &c->slots[c->after++ & (c->slot_cap - 1)];
    *s = (struct slot){0};
    return s;
}

/* Gives bytes to the client behind everything before them. */
static void emit(struct client *c, const void *text, size_t len)
{
    if (len == 0 || c->doomed) {
        return;
    }
    if (c->first == c->after) {
        c->admin->net_output += len;
        stream_write(c->stream, text, len);
        watch_output(c);
        return;
    }
    struct slot *last = slot_at(c, c->after - 1);
    if (!last->done) {
        last = open_slot(c);
        last->done = true;
    }
    buffer_append(&last->text, text, len);
    c->held += len;
    watch_output(c);
}

/* Hands over what the requests executed so far had answered at once. */
static void commit(struct client *c)
{
    struct admin *a = c->admin;

    emit(c, a->scratch.data, a->scratch.len);
    buffer_clear(&a->scratch, 64 * 1024);
}

struct ticket client_await(struct client *c)
{
    struct admin *a = c->admin;

    assert(a->current == c);
    commit(c);
    struct slot *s = open_slot(c);
    s->silent = c->mode == REPLY_OFF || c->mode == REPLY_SKIP;
    return (struct ticket){c->index, a->generations[c->index], c->after - 1};
}

static void release(struct client *c)
{
    struct admin *a = c->admin;

    while (c->first != c->after) {
        struct slot *s = slot_at(c, c->first);
        if (!s->done) {
            return;
        }
        c->held -= s->text.len;
        a->net_output += s->text.len;
        stream_write(c->stream, s->text.data, s->text.len);
        buffer_free(&s->text);
        c->first++;
    }
    if (c->slot_cap > 64) {
        free(c->slots);
        c->slots = NULL;
        c->slot_cap = 0;
    }
    watch_output(c);
}

bool client_answer(struct admin *a, const struct ticket *t, const void *text, size_t len)
{
    struct client *c = client_of(a, t);

    if (!c || c->doomed || t->sequence < c->first || t->sequence >= c->after) {
        return false;
    }
    struct slot *s = slot_at(c, t->sequence);
    if (s->done) {
        return false;
    }
    s->done = true;
    if (!s->silent) {
        buffer_append(&s->text, text, len);
        c->held += len;
    }
    release(c);
    return true;
}

void client_push(struct client *c, const void *text, size_t len)
{
    if (c->doomed || c->goodbye) {
        return;
    }
    assert(c->admin->current != c);
    emit(c, text, len);
}

/* --- requests -------------------------------------------------------------------------------- */

static bool ready(const struct client *c)
{
    return !c->doomed && !c->goodbye && !c->waiting && c->admin->pause_until == 0 &&
           c->asked < LIMIT_CLIENT_ASKED && c->after - c->first + 2 <= LIMIT_CLIENT_SLOTS &&
           stream_unsent(c->stream) + c->held + c->admin->scratch.len < OUTPUT_PAUSE;
}

static void protocol_error(struct client *c)
{
    struct admin *a = c->admin;
    struct reply r = {&a->scratch, c->proto};

    reply_error(&r, "ERR %s", c->parser.error);
    a->total_errors++;
    atomic_fetch_add_explicit(&a->process->counters.protocol_errors, 1, memory_order_relaxed);
    client_goodbye(c);
}

/* Executes what is whole in bytes[0..len), as far as it may; returns how much was used. */
static size_t execute(struct client *c, const uint8_t *bytes, size_t len)
{
    struct admin *a = c->admin;
    size_t used = 0;

    assert(!a->current && a->scratch.len == 0);
    a->current = c;
    while (ready(c)) {
        c->parser.strict = !access_open(c);
        enum resp_result result = resp_parse(&c->parser, bytes + used, len - used);
        if (result == RESP_MORE) {
            break;
        }
        if (result == RESP_BAD) {
            protocol_error(c);
            break;
        }
        if (c->parser.count > 0) {
            command_execute(c, c->parser.args, c->parser.count);
        }
        used += c->parser.consumed;
        resp_shrink(&c->parser);
    }
    commit(c);
    a->current = NULL;
    return used;
}

/* After requests were executed or answered: stops or goes on reading, or says goodbye. */
static void after_work(struct client *c)
{
    if (c->doomed) {
        return;
    }
    if (c->goodbye) {
        if (c->first == c->after) {
            client_close(c);
        } else if (!stream_paused(c->stream)) {
            stream_pause(c->stream);
        }
        return;
    }
    bool go = ready(c);
    if (go && stream_paused(c->stream)) {
        stream_resume(c->stream);
    } else if (!go && !stream_paused(c->stream)) {
        stream_pause(c->stream);
    }
}

/* What is left moves to the front only when it is the smaller part: a pipeline whose answers come
 * one by one would otherwise move all of it for each. */
static void use_input(struct client *c, size_t used)
{
    c->input_used += used;
    if (c->input_used == c->input.len) {
        buffer_clear(&c->input, INPUT_KEEP);
        c->input_used = 0;
    } else if (c->input_used > c->input.len / 2) {
        buffer_consume(&c->input, c->input_used);
        c->input_used = 0;
    }
}

void client_continue(struct client *c)
{
    if (ready(c) && c->input.len > 0) {
        use_input(c, execute(c, c->input.data + c->input_used, c->input.len - c->input_used));
    }
    after_work(c);
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
    struct client *c = owner;
    struct admin *a = c->admin;

    a->net_input += len;
    touch(c);
    if (c->goodbye || c->doomed) {
        return;
    }
    if (c->input.len > 0) {
        buffer_append(&c->input, bytes, len);
        client_continue(c);
    } else {
        size_t used = execute(c, bytes, len);
        buffer_append(&c->input, bytes + used, len - used);
        after_work(c);
    }
    admin_settle(a);
}

static void on_drained(void *owner)
{
    struct client *c = owner;

    client_continue(c);
    admin_settle(c->admin);
}

/* As stock says it, but a client that comes back again and again does not fill the disk. */
static void tell_of_tls(struct client *c)
{
    struct admin *a = c->admin;
    const char *why = stream_why(c->stream);
    ms_t now = shard_now(a->shard);
    char peer[ADDRESS_TEXT], local[ADDRESS_TEXT];

    if (why && (a->tls_told == 0 || now - a->tls_told >= TLS_TOLD_AGAIN)) {
        a->tls_told = now;
        address_format(&c->peer, peer);
        address_format(&c->local, local);
        shard_log(a->shard, EVENT_WARNING,
                  "Error accepting a client connection: %s (addr=%s laddr=%s)", why, peer, local);
    }
}

static void on_down(void *owner, int error)
{
    struct client *c = owner;
    struct admin *a = c->admin;

    tell_of_tls(c);
    c->stream = NULL;
    client_close(c);
    admin_settle(a);
}

static const struct stream_ops client_stream = {
    .data = on_data, .drained = on_drained, .down = on_down};

/* --- connections ----------------------------------------------------------------------------- */

static bool is_loopback(const struct address *peer)
{
    return strncmp(peer->ip, "127.", 4) == 0 || strcmp(peer->ip, "::1") == 0;
}

/* Why a connection is not wanted; NULL: it is. */
static const char *refusal(const struct client *c)
{
    const struct process_options *o = &c->admin->process->options;

    if (o->protected_mode && access_is_free(c->admin) && !c->unix_socket &&
        !is_loopback(&c->peer)) {
        return "-DENIED vedette is in protected mode: it has no password, so that only clients on "
               "this machine are served. Set requirepass, or 'protected-mode no' where the network "
               "is safe, and restart it.\r\n";
    }
    return NULL;
}

/* Takes a place among maxclients. Where there is none the client is told and let go at once: it
 * must not hold a descriptor. */
static bool admit(struct process *p, int fd, bool tls)
{
    static const char full[] = "-ERR max number of clients reached\r\n";

    if (atomic_fetch_add_explicit(&p->counters.clients, 1, memory_order_relaxed) <
        p->options.maxclients) {
        return true;
    }
    atomic_fetch_sub_explicit(&p->counters.clients, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->counters.connections_refused, 1, memory_order_relaxed);
    if (!tls) {
        (void)!send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    close(fd);
    return false;
}

static bool is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

void client_accept(struct admin *a, int fd, bool tls)
{
    struct process *p = a->process;

    if (!admit(p, fd, tls)) {
        return;
    }
    struct client *c = allocated(calloc(1, sizeof *c));
    if (a->unused_count == 0) {
        grow_clients(a);
    }
    c->admin = a;
    c->index = a->unused[--a->unused_count];
    a->clients[c->index] = c;
    c->fd = fd;
    c->proto = 2;
    c->created = c->active = shard_now(a->shard);
    access_greet(c);
    resp_init(&c->parser);
    link_newest(c);
    c->id =
        1 + atomic_fetch_add_explicit(&p->counters.connections_received, 1, memory_order_relaxed);
    c->stream = stream_adopt_tls(shard_client_ring(a->shard), fd, p->options.tcp_keepalive,
                                 tls ? p->tls : NULL, &client_stream, c);
    if (!stream_peer(c->stream, &c->peer)) {
        c->peer = (struct address){.ip = "?"};
        c->unix_socket = p->options.unix_socket && is_unix(fd);
    }
    if (!stream_local(c->stream, &c->local)) {
        c->local = (struct address){.ip = "?"};
    }
    const char *why = refusal(c);
    if (why) {
        atomic_fetch_add_explicit(&p->counters.connections_refused, 1, memory_order_relaxed);
        stream_write(c->stream, why, strlen(why));
        client_goodbye(c);
        client_close(c);
    }
    admin_settle(a);
}
