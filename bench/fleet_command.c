/* The commands of a simulated instance, answered as Redis 7.0 answers them. */
#include "fleet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void handler(struct worker *worker, struct connection *connection,
                     const struct request *request);

enum {
    FLAG_LOADING = 1,    /* also while loading */
    FLAG_STALE = 2,      /* also on a replica without its master that does not serve stale data */
    FLAG_SUBSCRIBED = 4, /* also by a client that subscribed */
    FLAG_NO_AUTH = 8,    /* before AUTH */
    FLAG_NO_QUEUE = 16,  /* at once, even in a transaction */
    FLAG_ALWAYS = FLAG_LOADING | FLAG_STALE
};

struct command {
    const char *name;
    size_t arguments_min; /* the name included */
    unsigned flags;
    handler *handle;
};

static const struct command *command_find(struct slice name);

#define SAY(worker, connection, text) connection_write(worker, connection, text, sizeof(text) - 1)

__attribute__((format(printf, 3, 4))) static void
say(struct worker *worker, struct connection *connection, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < sizeof line);
    connection_write(worker, connection, line, (size_t)length);
}

static void say_bulk(struct worker *worker, struct connection *connection, const char *data,
                     size_t length)
{
    say(worker, connection, "$%zu\r\n", length);
    connection_write(worker, connection, data, length);
    SAY(worker, connection, "\r\n");
}

static void say_error(struct worker *worker, struct connection *connection, const char *text)
{
    atomic_fetch_add_explicit(&worker->counters->errors, 1, memory_order_relaxed);
    say(worker, connection, "-%s\r\n", text);
}

/* --- connection ----------------------------------------------------------------------------- */

static void command_ping(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    bool subscribed = connection->channels + connection->patterns > 0;
    const struct slice *given = request->count > 1 ? &request->arguments[1] : NULL;
    if (subscribed) {
        SAY(worker, connection, "*2\r\n$4\r\npong\r\n");
        say_bulk(worker, connection, given ? given->data : "", given ? given->length : 0);
    } else if (given) {
        say_bulk(worker, connection, given->data, given->length);
    } else {
        SAY(worker, connection, "+PONG\r\n");
    }
}

static void command_auth(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    const char *password = worker->options->password;
    struct slice given = request->arguments[request->count - 1];
    bool user = request->count < 3 || slice_is(request->arguments[1], "default");
    if (!password && request->count < 3) {
        say_error(worker, connection,
                  "ERR AUTH <password> called without any password configured for the default "
                  "user. Are you sure your configuration is correct?");
    } else if (!user || (password && (given.length != strlen(password) ||
                                      memcmp(given.data, password, given.length) != 0))) {
        say_error(worker, connection,
                  "WRONGPASS invalid username-password pair or user is disabled.");
    } else {
        connection->authenticated = true;
        SAY(worker, connection, "+OK\r\n");
    }
}

static void command_quit(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    SAY(worker, connection, "+OK\r\n");
    connection->close_after_reply = true;
}

static const char *client_type(const struct connection *connection)
{
    return connection->channels + connection->patterns > 0 ? "pubsub" : "normal";
}

static void client_kill(struct worker *worker, struct connection *connection,
                        const struct request *request)
{
    const struct slice *arguments = request->arguments;
    bool pubsub = request->count == 4 && slice_is(arguments[3], "pubsub");
    bool replica = request->count == 4 &&
                   (slice_is(arguments[3], "replica") || slice_is(arguments[3], "slave") ||
                    slice_is(arguments[3], "master"));
    if (request->count != 4 || !slice_is(arguments[2], "TYPE")) {
        say_error(worker, connection, "ERR syntax error");
        return;
    }
    if (!(pubsub || replica || slice_is(arguments[3], "normal"))) {
        say_error(worker, connection, "ERR Unknown client type");
        return;
    }
    unsigned killed = 0;
    struct connection *next;
    for (struct connection *one = worker->instances[connection->instance].connections;
         one && !replica; one = next) {
        next = one->next;
        if (one == connection || (strcmp(client_type(one), "pubsub") == 0) != pubsub)
            continue;
        connection_close(worker, one, false);
        killed++;
    }
    say(worker, connection, ":%u\r\n", killed);
}

static void client_list(struct worker *worker, struct connection *connection)
{
    struct buffer text = {0};
    for (struct connection *one = worker->instances[connection->instance].connections; one;
         one = one->next) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof peer;
        char line[512], ip[INET_ADDRSTRLEN], local[64];
        getpeername(one->fd, (struct sockaddr *)&peer, &size);
        inet_ntop(AF_INET, &peer.sin_addr, ip, sizeof ip);
        fleet_address_text(worker->options, one->instance, local, sizeof local);
        int length = snprintf(line, sizeof line,
                              "id=%llu addr=%s:%u laddr=%s fd=%d name=%s type=%s sub=%u psub=%u "
                              "multi=%d cmd=client|list user=default\n",
                              (unsigned long long)one->id, ip, ntohs(peer.sin_port), local, one->fd,
                              one->name, client_type(one), one->channels, one->patterns,
                              one->in_transaction ? (int)one->queued_count : -1);
        buffer_append(&text, line, (size_t)length);
    }
    say_bulk(worker, connection, text.data, text.length);
    free(text.data);
}

static void command_client(struct worker *worker, struct connection *connection,
                           const struct request *request)
{
    const struct slice *arguments = request->arguments;
    if (slice_is(arguments[1], "SETNAME") && request->count == 3) {
        size_t length = arguments[2].length;
        if (length >= sizeof connection->name) {
            say_error(worker, connection, "ERR name too long for the simulated instance");
            return;
        }
        memcpy(connection->name, arguments[2].data, length);
        connection->name[length] = 0;
        SAY(worker, connection, "+OK\r\n");
    } else if (slice_is(arguments[1], "GETNAME") && request->count == 2) {
        if (connection->name[0])
            say_bulk(worker, connection, connection->name, strlen(connection->name));
        else
            SAY(worker, connection, "$-1\r\n");
    } else if (slice_is(arguments[1], "ID") && request->count == 2) {
        say(worker, connection, ":%llu\r\n", (unsigned long long)connection->id);
    } else if (slice_is(arguments[1], "KILL")) {
        client_kill(worker, connection, request);
    } else if (slice_is(arguments[1], "LIST")) {
        client_list(worker, connection);
    } else {
        say_error(worker, connection, "ERR unknown subcommand or wrong number of arguments");
    }
}

/* --- state ---------------------------------------------------------------------------------- */

static void command_info(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    static char text[FLEET_INFO_MAX];
    size_t length = info_render(worker, connection->instance, request->arguments + 1,
                                request->count - 1, text, sizeof text);
    say_bulk(worker, connection, text, length);
}

static void role_of_master(struct worker *worker, struct connection *connection, int64_t offset)
{
    uint32_t index = connection->instance, size = fleet_group_size(worker->options);
    uint32_t first = index - index % size;
    unsigned count = 0;
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)offset);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            say(worker, connection, "*3\r\n$6\r\nmaster\r\n:%lld\r\n*%u\r\n", (long long)offset,
                count);
        for (uint32_t member = first; member < first + size; member++) {
            struct published *other = &worker->shared->instances[member];
            if (atomic_load(&other->master) != (int32_t)index ||
                atomic_load(&other->mode) == MODE_KILLED || !instance_link_up(worker, member))
                continue;
            if (pass == 0) {
                count++;
                continue;
            }
            char address[64];
            fleet_address_text(worker->options, member, address, sizeof address);
            size_t ip = strcspn(address, ":");
            SAY(worker, connection, "*3\r\n");
            say_bulk(worker, connection, address, ip);
            say_bulk(worker, connection, address + ip + 1, strlen(address) - ip - 1);
            say_bulk(worker, connection, digits, (size_t)length);
        }
    }
}

static void command_role(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    uint32_t index = connection->instance;
    int64_t offset = instance_offset(worker, index);
    if (instance_is_master(worker, index)) {
        role_of_master(worker, connection, offset);
        return;
    }
    struct instance *instance = &worker->instances[index];
    struct in_addr address = {.s_addr = instance->master_ip};
    char ip[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, ip, sizeof ip);
    SAY(worker, connection, "*5\r\n$5\r\nslave\r\n");
    say_bulk(worker, connection, ip, strlen(ip));
    say(worker, connection, ":%u\r\n", instance->master_port);
    if (instance_link_up(worker, index))
        SAY(worker, connection, "$9\r\nconnected\r\n");
    else
        SAY(worker, connection, "$7\r\nconnect\r\n");
    say(worker, connection, ":%lld\r\n", (long long)offset);
}

static void command_slaveof(struct worker *worker, struct connection *connection,
                            const struct request *request)
{
    struct slice host = request->arguments[1];
    int64_t port;
    if (slice_is(host, "NO") && slice_is(request->arguments[2], "ONE")) {
        instance_promote(worker, connection->instance);
        SAY(worker, connection, "+OK\r\n");
        return;
    }
    char ip[INET_ADDRSTRLEN];
    struct in_addr address;
    if (!slice_number(request->arguments[2], &port) || port < 1 || port > 65535) {
        say_error(worker, connection, "ERR Invalid master port");
        return;
    }
    snprintf(ip, sizeof ip, "%.*s", (int)(host.length < sizeof ip ? host.length : sizeof ip - 1),
             host.data);
    if (host.length >= sizeof ip || inet_pton(AF_INET, ip, &address) != 1) {
        say_error(worker, connection, "ERR a simulated instance follows IPv4 addresses only");
        return;
    }
    instance_follow(worker, connection->instance, address.s_addr, (uint16_t)port);
    SAY(worker, connection, "+OK\r\n");
}

static void command_config(struct worker *worker, struct connection *connection,
                           const struct request *request)
{
    if (slice_is(request->arguments[1], "REWRITE")) {
        instance_save(worker, connection->instance);
        SAY(worker, connection, "+OK\r\n");
    } else if (slice_is(request->arguments[1], "GET")) {
        SAY(worker, connection, "*0\r\n");
    } else {
        say_error(worker, connection, "ERR unknown subcommand or wrong number of arguments");
    }
}

static void command_script(struct worker *worker, struct connection *connection,
                           const struct request *request)
{
    if (slice_is(request->arguments[1], "KILL"))
        say_error(worker, connection, "NOTBUSY No scripts in execution right now.");
    else
        say_error(worker, connection, "ERR unknown subcommand or wrong number of arguments");
}

static void command_command(struct worker *worker, struct connection *connection,
                            const struct request *request)
{
    SAY(worker, connection, "*0\r\n");
}

/* --- publish and subscribe ------------------------------------------------------------------ */

static struct subscription **subscription_find(struct connection *connection, bool pattern,
                                               struct slice text)
{
    struct subscription **at = &connection->subscriptions;
    while (*at && ((*at)->pattern != pattern || (*at)->length != text.length ||
                   memcmp((*at)->text, text.data, text.length) != 0))
        at = &(*at)->next;
    return at;
}

static void say_subscription(struct worker *worker, struct connection *connection, const char *kind,
                             const char *text, size_t length)
{
    SAY(worker, connection, "*3\r\n");
    say_bulk(worker, connection, kind, strlen(kind));
    if (text)
        say_bulk(worker, connection, text, length);
    else
        SAY(worker, connection, "$-1\r\n");
    say(worker, connection, ":%u\r\n", connection->channels + connection->patterns);
}

static void subscribe(struct worker *worker, struct connection *connection,
                      const struct request *request, bool pattern)
{
    for (size_t k = 1; k < request->count; k++) {
        struct slice text = request->arguments[k];
        struct subscription **at = subscription_find(connection, pattern, text);
        if (!*at) {
            struct subscription *new = malloc(sizeof *new + text.length);
            if (!new)
                abort();
            *new = (struct subscription){.pattern = pattern, .length = text.length};
            memcpy(new->text, text.data, text.length);
            *at = new;
            if (pattern)
                connection->patterns++;
            else
                connection->channels++;
        }
        say_subscription(worker, connection, pattern ? "psubscribe" : "subscribe", text.data,
                         text.length);
    }
}

static void unsubscribe_one(struct worker *worker, struct connection *connection, bool pattern,
                            struct slice text)
{
    struct subscription **at = subscription_find(connection, pattern, text);
    struct subscription *old = *at;
    if (old) {
        *at = old->next;
        if (pattern)
            connection->patterns--;
        else
            connection->channels--;
    }
    say_subscription(worker, connection, pattern ? "punsubscribe" : "unsubscribe", text.data,
                     text.length);
    free(old);
}

static void unsubscribe(struct worker *worker, struct connection *connection,
                        const struct request *request, bool pattern)
{
    for (size_t k = 1; k < request->count; k++)
        unsubscribe_one(worker, connection, pattern, request->arguments[k]);
    if (request->count > 1)
        return;
    bool any = false;
    for (struct subscription *one = connection->subscriptions, *next; one; one = next) {
        next = one->next;
        if (one->pattern != pattern)
            continue;
        any = true;
        unsubscribe_one(worker, connection, pattern, (struct slice){one->text, one->length});
    }
    if (!any)
        say_subscription(worker, connection, pattern ? "punsubscribe" : "unsubscribe", NULL, 0);
}

static void command_subscribe(struct worker *worker, struct connection *connection,
                              const struct request *request)
{
    subscribe(worker, connection, request, false);
}

static void command_psubscribe(struct worker *worker, struct connection *connection,
                               const struct request *request)
{
    subscribe(worker, connection, request, true);
}

static void command_unsubscribe(struct worker *worker, struct connection *connection,
                                const struct request *request)
{
    unsubscribe(worker, connection, request, false);
}

static void command_punsubscribe(struct worker *worker, struct connection *connection,
                                 const struct request *request)
{
    unsubscribe(worker, connection, request, true);
}

/* To the subscribers of one instance; returns how many. */
static unsigned deliver(struct worker *worker, uint32_t index, struct slice channel,
                        struct slice message)
{
    unsigned count = 0;
    for (struct connection *one = worker->instances[index].connections; one; one = one->next) {
        for (struct subscription *each = one->subscriptions; each; each = each->next) {
            struct slice text = {each->text, each->length};
            bool equal =
                text.length == channel.length && memcmp(text.data, channel.data, text.length) == 0;
            if (each->pattern ? !glob_match(text, channel) : !equal)
                continue;
            if (each->pattern) {
                SAY(worker, one, "*4\r\n$8\r\npmessage\r\n");
                say_bulk(worker, one, text.data, text.length);
            } else {
                SAY(worker, one, "*3\r\n$7\r\nmessage\r\n");
            }
            say_bulk(worker, one, channel.data, channel.length);
            say_bulk(worker, one, message.data, message.length);
            count++;
        }
    }
    atomic_fetch_add_explicit(&worker->counters->delivered, count, memory_order_relaxed);
    return count;
}

/* What a PUBLISH on `index` sends down the replication stream. */
static void propagate(struct worker *worker, uint32_t index, struct slice channel,
                      struct slice message, int depth)
{
    uint32_t size = fleet_group_size(worker->options), first = index - index % size;
    for (uint32_t member = first; member < first + size && depth < 4; member++) {
        struct published *other = &worker->shared->instances[member];
        if (atomic_load_explicit(&other->master, memory_order_relaxed) != (int32_t)index ||
            atomic_load_explicit(&other->mode, memory_order_relaxed) != MODE_ALIVE ||
            !instance_link_up(worker, member))
            continue;
        deliver(worker, member, channel, message);
        propagate(worker, member, channel, message, depth + 1);
    }
}

static void command_publish(struct worker *worker, struct connection *connection,
                            const struct request *request)
{
    struct slice channel = request->arguments[1], message = request->arguments[2];
    uint32_t index = connection->instance;
    if (slice_is(channel, "__sentinel__:hello"))
        hello_notice(worker, connection, message);
    unsigned count = deliver(worker, index, channel, message);
    say(worker, connection, ":%u\r\n", count);
    propagate(worker, index, channel, message, 0);
    if (instance_is_master(worker, index))
        worker->instances[index].offset += (int64_t)(channel.length + message.length) + 32;
}

/* --- transactions --------------------------------------------------------------------------- */

static void transaction_end(struct connection *connection)
{
    free(connection->queued.data);
    connection->queued = (struct buffer){0};
    connection->queued_count = 0;
    connection->in_transaction = connection->transaction_failed = false;
}

static void command_multi(struct worker *worker, struct connection *connection,
                          const struct request *request)
{
    if (connection->in_transaction) {
        say_error(worker, connection, "ERR MULTI calls can not be nested");
        return;
    }
    connection->in_transaction = true;
    SAY(worker, connection, "+OK\r\n");
}

static void command_discard(struct worker *worker, struct connection *connection,
                            const struct request *request)
{
    if (!connection->in_transaction) {
        say_error(worker, connection, "ERR DISCARD without MULTI");
        return;
    }
    transaction_end(connection);
    SAY(worker, connection, "+OK\r\n");
}

static void command_exec(struct worker *worker, struct connection *connection,
                         const struct request *request)
{
    if (!connection->in_transaction) {
        say_error(worker, connection, "ERR EXEC without MULTI");
        return;
    }
    if (connection->transaction_failed) {
        transaction_end(connection);
        say_error(worker, connection,
                  "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    struct buffer queued = connection->queued;
    uint32_t count = connection->queued_count;
    connection->queued = (struct buffer){0};
    transaction_end(connection);
    say(worker, connection, "*%u\r\n", count);
    size_t at = 0, used = 0;
    struct request one;
    while (at < queued.length &&
           request_parse(queued.data + at, queued.length - at, &one, &used) == PARSE_REQUEST) {
        command_find(one.arguments[0])->handle(worker, connection, &one);
        at += used;
    }
    assert(at == queued.length);
    free(queued.data);
}

static void queue(struct worker *worker, struct connection *connection, struct slice raw)
{
    if (connection->queued_count == FLEET_QUEUED_MAX) {
        connection->transaction_failed = true;
        say_error(worker, connection, "ERR too many commands in one transaction");
        return;
    }
    buffer_append(&connection->queued, raw.data, raw.length);
    connection->queued_count++;
    SAY(worker, connection, "+QUEUED\r\n");
}

/* --- the table ------------------------------------------------------------------------------ */

static const struct command commands[] = {
    {"ping", 1, FLAG_SUBSCRIBED, command_ping},
    {"publish", 3, FLAG_ALWAYS, command_publish},
    {"info", 1, FLAG_ALWAYS, command_info},
    {"subscribe", 2, FLAG_ALWAYS | FLAG_SUBSCRIBED, command_subscribe},
    {"psubscribe", 2, FLAG_ALWAYS | FLAG_SUBSCRIBED, command_psubscribe},
    {"unsubscribe", 1, FLAG_ALWAYS | FLAG_SUBSCRIBED, command_unsubscribe},
    {"punsubscribe", 1, FLAG_ALWAYS | FLAG_SUBSCRIBED, command_punsubscribe},
    {"auth", 2, FLAG_ALWAYS | FLAG_NO_AUTH, command_auth},
    {"quit", 1, FLAG_ALWAYS | FLAG_NO_AUTH | FLAG_SUBSCRIBED | FLAG_NO_QUEUE, command_quit},
    {"client", 2, FLAG_ALWAYS, command_client},
    {"slaveof", 3, FLAG_STALE, command_slaveof},
    {"replicaof", 3, FLAG_STALE, command_slaveof},
    {"config", 2, FLAG_ALWAYS, command_config},
    {"multi", 1, FLAG_ALWAYS | FLAG_NO_QUEUE, command_multi},
    {"exec", 1, FLAG_ALWAYS | FLAG_NO_QUEUE, command_exec},
    {"discard", 1, FLAG_ALWAYS | FLAG_NO_QUEUE, command_discard},
    {"role", 1, FLAG_ALWAYS, command_role},
    {"script", 2, FLAG_STALE, command_script},
    {"command", 1, FLAG_ALWAYS, command_command},
};

static const struct command *command_find(struct slice name)
{
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++)
        if (slice_is(name, commands[k].name))
            return &commands[k];
    return NULL;
}

static void say_unknown(struct worker *worker, struct connection *connection,
                        const struct request *request)
{
    char text[512];
    int length =
        snprintf(text, sizeof text, "ERR unknown command '%.*s', with args beginning with: ",
                 (int)(request->arguments[0].length < 128 ? request->arguments[0].length : 128),
                 request->arguments[0].data);
    for (size_t k = 1; k < request->count && k < 4; k++) {
        size_t room = request->arguments[k].length < 64 ? request->arguments[k].length : 64;
        length += snprintf(text + length, sizeof text - (size_t)length, "'%.*s' ", (int)room,
                           request->arguments[k].data);
    }
    for (char *at = text; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = ' ';
    say_error(worker, connection, text);
}

/* Says why the command may not run now; false when it may. */
static bool refuse(struct worker *worker, struct connection *connection,
                   const struct request *request, const struct command *command)
{
    int mode = atomic_load_explicit(&worker->shared->instances[connection->instance].mode,
                                    memory_order_relaxed);
    if (!command) {
        say_unknown(worker, connection, request);
    } else if (request->count < command->arguments_min) {
        say(worker, connection, "-ERR wrong number of arguments for '%.32s' command\r\n",
            command->name);
    } else if (worker->options->password && !connection->authenticated &&
               !(command->flags & FLAG_NO_AUTH)) {
        say_error(worker, connection, "NOAUTH Authentication required.");
    } else if (connection->channels + connection->patterns > 0 &&
               !(command->flags & FLAG_SUBSCRIBED)) {
        say(worker, connection,
            "-ERR Can't execute '%.32s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
            "RESET are allowed in this context\r\n",
            command->name);
    } else if (mode == MODE_LOADING && !(command->flags & FLAG_LOADING)) {
        say_error(worker, connection, "LOADING Redis is loading the dataset in memory");
    } else if (!worker->options->serve_stale && !(command->flags & FLAG_STALE) &&
               !instance_is_master(worker, connection->instance) &&
               !instance_link_up(worker, connection->instance)) {
        say_error(worker, connection,
                  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to "
                  "'no'.");
    } else {
        return false;
    }
    return true;
}

void command_execute(struct worker *worker, struct connection *connection,
                     const struct request *request, struct slice raw)
{
    atomic_fetch_add_explicit(&worker->counters->commands, 1, memory_order_relaxed);
    worker->instances[connection->instance].commands++;
    const struct command *command = command_find(request->arguments[0]);
    if (refuse(worker, connection, request, command))
        connection->transaction_failed = connection->in_transaction;
    else if (connection->in_transaction && !(command->flags & FLAG_NO_QUEUE))
        queue(worker, connection, raw);
    else
        command->handle(worker, connection, request);
}
