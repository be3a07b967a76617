/* The control port of the fleet: a line in, a line of JSON out (RESP arrays are taken too). */
#include "fleet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX     16
#define ACKNOWLEDGE_MAX 10000 /* ms a worker may take to obey */

struct client {
    int fd;
    struct buffer input;
};

void control_help(void)
{
    puts("Control port: one command a line (or a RESP array), one line of JSON as the answer.\n"
         "  kill N [random]         kill the masters of N groups (the first N that have one "
         "alive):\n"
         "                          from one instant on all their connections are reset, and new\n"
         "                          ones are accepted and reset at once. (A dead server's port "
         "would\n"
         "                          refuse; here one socket listens for many instances.)\n"
         "  kill N from M           the same, of the groups from number M on (the first is 1)\n"
         "  kill WHAT...            WHAT: a group's name (its master) or an instance's ip:port\n"
         "  hang, loading ...       the same, but never answer; or answer -LOADING\n"
         "  revive all | WHAT...    back, with another run id and the role that CONFIG REWRITE "
         "saved\n"
         "                          (after hang and loading: as if nothing had been). A group's "
         "name\n"
         "                          means all its instances that are not alive\n"
         "  masters                 which instance is the master of each group\n"
         "  status                  mode, role and link of every instance\n"
         "  promotions              ms from the kill to SLAVEOF NO ONE executed, for every group "
         "killed\n"
         "  hellos                  what was wrong in the sentinels' hellos: two addresses in one\n"
         "                          config epoch, epochs that went back on a connection, names of\n"
         "                          other groups\n"
         "  stats                   counters, commands a second since the last `stats`, CPU "
         "seconds\n"
         "  shutdown                end");
}

bool control_conf_lines(const struct options *options, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!file) {
        fprintf(stderr, "fleet: cannot write '%s': %s\n", path, strerror(errno));
        return false;
    }
    for (uint32_t group = 0; group < options->masters; group++) {
        char name[64], address[64];
        fleet_group_name(options, group, name, sizeof name);
        fleet_address_text(options, group * fleet_group_size(options), address, sizeof address);
        *strchr(address, ':') = ' ';
        fprintf(file,
                "sentinel monitor %s %s %u\n"
                "sentinel down-after-milliseconds %s %lld\n"
                "sentinel failover-timeout %s %lld\n"
                "sentinel parallel-syncs %s %u\n",
                name, address, options->quorum, name, (long long)options->down_after, name,
                (long long)options->failover_timeout, name, options->parallel_syncs);
        if (options->password)
            fprintf(file, "sentinel auth-pass %s %s\n", name, options->password);
    }
    bool written = file == stdout ? fflush(file) == 0 : fclose(file) == 0;
    if (!written)
        fprintf(stderr, "fleet: cannot write '%s': %s\n", path, strerror(errno));
    return written;
}

__attribute__((format(printf, 2, 3))) static void print(struct buffer *out, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buffer_append(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static int mode_of(const struct control *control, uint32_t index)
{
    return atomic_load(&control->shared->instances[index].mode);
}

/* The instance that counts as the group's master: alive and in the role, the one promoted last
 * when an old master is back as a second one; -1 when there is none. */
static int32_t current_master(const struct control *control, uint32_t group)
{
    uint32_t size = fleet_group_size(control->options), first = group * size;
    int32_t promoted = atomic_load(&control->shared->groups[group].promoted), found = -1;
    for (uint32_t index = first; index < first + size; index++) {
        if (mode_of(control, index) == MODE_KILLED ||
            atomic_load(&control->shared->instances[index].master) != MASTER_NONE)
            continue;
        if (found < 0 || (int32_t)index == promoted)
            found = (int32_t)index;
    }
    return found;
}

/* Tells the workers to look, and waits until all have obeyed. */
static bool make_it_so(const struct control *control)
{
    bool all = true;
    for (uint32_t k = 0; k < control->options->workers; k++)
        all = send(control->workers[k], "!", 1, MSG_NOSIGNAL) == 1 && all;
    int64_t until = fleet_now() + ACKNOWLEDGE_MAX;
    for (uint32_t k = 0; k < control->options->workers && all; k++) {
        struct pollfd wait = {.fd = control->workers[k], .events = POLLIN};
        int64_t left = until - fleet_now();
        char byte;
        all = poll(&wait, 1, left > 0 ? (int)left : 0) == 1 &&
              recv(control->workers[k], &byte, 1, 0) == 1;
    }
    return all;
}

/* --- choosing instances --------------------------------------------------------------------- */

struct choice {
    uint32_t *indexes;
    size_t count;
};

static void choose(struct choice *choice, uint32_t index)
{
    for (size_t k = 0; k < choice->count; k++)
        if (choice->indexes[k] == index)
            return;
    choice->indexes[choice->count++] = index;
}

static bool choose_count(const struct control *control, int64_t wanted, bool random_order,
                         uint32_t first, struct choice *choice)
{
    uint32_t groups = control->options->masters;
    uint32_t *order = malloc(groups * sizeof *order);
    if (!order)
        abort();
    for (uint32_t k = 0; k < groups; k++)
        order[k] = k;
    for (uint32_t k = groups - 1; random_order && k > 0; k--) {
        uint32_t other = (uint32_t)random() % (k + 1), kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
    for (uint32_t k = first; k < groups && (int64_t)choice->count < wanted; k++) {
        int32_t master = current_master(control, order[k]);
        if (master >= 0 && mode_of(control, (uint32_t)master) == MODE_ALIVE)
            choice->indexes[choice->count++] = (uint32_t)master;
    }
    free(order);
    return (int64_t)choice->count == wanted;
}

static bool choose_group(const struct control *control, uint32_t group, bool revive,
                         struct choice *choice)
{
    uint32_t size = fleet_group_size(control->options);
    if (!revive) {
        int32_t master = current_master(control, group);
        if (master >= 0)
            choose(choice, (uint32_t)master);
        return master >= 0;
    }
    for (uint32_t index = group * size; index < (group + 1) * size; index++)
        if (mode_of(control, index) != MODE_ALIVE)
            choose(choice, index);
    return true;
}

static bool choose_named(const struct control *control, struct slice what, bool revive,
                         struct choice *choice)
{
    char text[64], *colon;
    if (what.length >= sizeof text)
        return false;
    memcpy(text, what.data, what.length);
    text[what.length] = 0;
    size_t prefix = strlen(control->options->prefix);
    struct in_addr ip;
    if (strncmp(text, control->options->prefix, prefix) == 0) {
        long number = strtol(text + prefix, &colon, 10);
        return *colon == 0 && number >= 1 && number <= (long)control->options->masters &&
               choose_group(control, (uint32_t)number - 1, revive, choice);
    }
    colon = strchr(text, ':');
    if (!colon)
        return false;
    *colon = 0;
    int32_t index = inet_pton(AF_INET, text, &ip) == 1
                        ? fleet_find(control->options, ip.s_addr, (uint16_t)atoi(colon + 1))
                        : -1;
    if (index >= 0)
        choose(choice, (uint32_t)index);
    return index >= 0;
}

/* --- commands ------------------------------------------------------------------------------- */

static void print_instance(const struct control *control, struct buffer *out, uint32_t index)
{
    char name[64], address[64];
    fleet_group_name(control->options, index / fleet_group_size(control->options), name,
                     sizeof name);
    fleet_address_text(control->options, index, address, sizeof address);
    print(out, "{\"group\":\"%s\",\"address\":\"%s\"", name, address);
}

/* Kills, hangs, loads or revives what was chosen, at one instant. */
static void apply(const struct control *control, const struct choice *choice,
                  enum instance_mode mode, struct buffer *out)
{
    int64_t now = fleet_now();
    for (size_t k = 0; k < choice->count; k++) {
        uint32_t index = choice->indexes[k];
        struct group_record *record =
            &control->shared->groups[index / fleet_group_size(control->options)];
        struct published *instance = &control->shared->instances[index];
        if (mode != MODE_ALIVE && atomic_load(&instance->master) == MASTER_NONE &&
            mode_of(control, index) == MODE_ALIVE) {
            atomic_store(&record->promoted_at, 0);
            atomic_store(&record->killed_at, now);
        }
        atomic_store(&instance->wanted, (int)mode);
    }
    bool obeyed = make_it_so(control);
    print(out, "{\"ok\":%s,\"at_monotonic_ms\":%lld,\"took_ms\":%lld,\"instances\":[",
          obeyed ? "true" : "false", (long long)now, (long long)(fleet_now() - now));
    for (size_t k = 0; k < choice->count; k++) {
        print(out, k ? "," : "");
        print_instance(control, out, choice->indexes[k]);
        print(out, "}");
    }
    print(out, "]}");
}

static void command_mode(const struct control *control, const struct request *request,
                         enum instance_mode mode, struct buffer *out)
{
    struct choice choice = {
        .indexes = calloc(fleet_instance_count(control->options), sizeof *choice.indexes)};
    if (!choice.indexes)
        abort();
    bool revive = mode == MODE_ALIVE, good = request->count > 1;
    int64_t wanted;
    if (good && revive && slice_is(request->arguments[1], "all")) {
        for (uint32_t group = 0; group < control->options->masters; group++)
            choose_group(control, group, true, &choice);
    } else if (good && !revive && slice_number(request->arguments[1], &wanted)) {
        bool shuffled = request->count == 3 && slice_is(request->arguments[2], "random");
        int64_t first = 1;
        good = request->count < 3 || shuffled ||
               (request->count == 4 && slice_is(request->arguments[2], "from") &&
                slice_number(request->arguments[3], &first) && first >= 1 &&
                first <= (int64_t)control->options->masters);
        good = good && wanted > 0 &&
               choose_count(control, wanted, shuffled, (uint32_t)first - 1, &choice);
    } else {
        for (size_t k = 1; k < request->count && good; k++)
            good = choose_named(control, request->arguments[k], revive, &choice);
    }
    if (good)
        apply(control, &choice, mode, out);
    else
        print(out, "{\"error\":\"no such instance, or not as many masters alive\"}");
    free(choice.indexes);
}

static void command_masters(const struct control *control, struct buffer *out)
{
    print(out, "{");
    for (uint32_t group = 0; group < control->options->masters; group++) {
        char name[64], address[64];
        int32_t master = current_master(control, group);
        fleet_group_name(control->options, group, name, sizeof name);
        print(out, "%s\"%s\":", group ? "," : "", name);
        if (master >= 0)
            fleet_address_text(control->options, (uint32_t)master, address, sizeof address);
        if (master >= 0)
            print(out, "\"%s\"", address);
        else
            print(out, "null");
    }
    print(out, "}");
}

static void command_status(const struct control *control, struct buffer *out)
{
    static const char *const modes[] = {"alive", "loading", "hung", "killed"};
    print(out, "[");
    for (uint32_t index = 0; index < fleet_instance_count(control->options); index++) {
        struct published *instance = &control->shared->instances[index];
        int32_t master = atomic_load(&instance->master);
        print(out, index ? "," : "");
        print_instance(control, out, index);
        print(out, ",\"mode\":\"%s\",\"role\":\"%s\"", modes[mode_of(control, index)],
              master == MASTER_NONE ? "master" : "slave");
        if (master >= 0) {
            char address[64];
            fleet_address_text(control->options, (uint32_t)master, address, sizeof address);
            print(out, ",\"master\":\"%s\",\"link\":\"%s\"", address,
                  atomic_load(&instance->link_up) ? "up" : "down");
        } else if (master == MASTER_ELSEWHERE) {
            print(out, ",\"master\":null,\"link\":\"down\"");
        }
        print(out, "}");
    }
    print(out, "]");
}

static void command_promotions(const struct control *control, struct buffer *out)
{
    bool first = true;
    print(out, "[");
    for (uint32_t group = 0; group < control->options->masters; group++) {
        struct group_record *record = &control->shared->groups[group];
        int64_t killed = atomic_load(&record->killed_at);
        int64_t promoted = atomic_load(&record->promoted_at);
        char name[64], address[64];
        if (killed == 0)
            continue;
        fleet_group_name(control->options, group, name, sizeof name);
        print(out, "%s{\"group\":\"%s\",\"ms\":", first ? "" : ",", name);
        first = false;
        if (promoted) {
            fleet_address_text(control->options, (uint32_t)atomic_load(&record->promoted), address,
                               sizeof address);
            print(out, "%lld,\"address\":\"%s\",\"promotions\":%u}", (long long)(promoted - killed),
                  address, atomic_load(&record->promotions));
        } else {
            print(out, "null,\"promotions\":%u}", atomic_load(&record->promotions));
        }
    }
    print(out, "]");
}

/* CPU of the workers and of this process, from /proc: the workers are children still alive. */
static double cpu_seconds(void)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    double sum = (double)own.ru_utime.tv_sec + (double)own.ru_stime.tv_sec +
                 (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "r");
    int pid;
    while (children && fscanf(children, "%d", &pid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *stat = fopen(path, "r");
        unsigned long user, system;
        if (stat && fgets(line, sizeof line, stat) && strrchr(line, ')') &&
            sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                   &user, &system) == 2)
            sum += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
        if (stat)
            fclose(stat);
    }
    if (children)
        fclose(children);
    return sum;
}

static void command_hellos(const struct control *control, struct buffer *out)
{
    struct hello_findings *findings = &control->shared->hellos;
    print(out,
          "{\"seen\":%llu,\"conflicts\":%llu,\"backwards\":%llu,\"strays\":%llu,\"findings\":[",
          (unsigned long long)atomic_load(&findings->seen),
          (unsigned long long)atomic_load(&findings->conflicts),
          (unsigned long long)atomic_load(&findings->backwards),
          (unsigned long long)atomic_load(&findings->strays));
    bool first = true;
    for (uint32_t k = 0; k < FLEET_FINDINGS_MAX; k++) {
        if (!atomic_load(&findings->texts[k].ready))
            continue;
        print(out, "%s\"%s\"", first ? "" : ",", findings->texts[k].text);
        first = false;
    }
    print(out, "]}");
}

static void command_stats(const struct control *control, struct buffer *out)
{
    static uint64_t last_commands;
    static int64_t last_at;
    unsigned long long commands = 0, accepted = 0, reset = 0, delivered = 0, errors = 0,
                       failures = 0, connections = 0;
    for (uint32_t k = 0; k < control->options->workers; k++) {
        struct worker_counters *counters = &control->shared->counters[k];
        commands += atomic_load(&counters->commands);
        accepted += atomic_load(&counters->accepted);
        reset += atomic_load(&counters->reset);
        delivered += atomic_load(&counters->delivered);
        errors += atomic_load(&counters->errors);
        failures += atomic_load(&counters->accept_failures);
        connections += atomic_load(&counters->connections);
    }
    unsigned counts[4] = {0};
    for (uint32_t index = 0; index < fleet_instance_count(control->options); index++)
        counts[mode_of(control, index)]++;
    int64_t now = fleet_now();
    double seconds = last_at ? (double)(now - last_at) / 1000 : 0;
    double rate = seconds > 0 ? (double)(commands - last_commands) / seconds : 0;
    last_commands = commands;
    last_at = now;
    print(out,
          "{\"commands\":%llu,\"commands_per_second\":%.0f,\"connections\":%llu,\"accepted\":%llu,"
          "\"reset\":%llu,\"delivered\":%llu,\"errors\":%llu,\"accept_failures\":%llu,"
          "\"alive\":%u,\"loading\":%u,\"hung\":%u,\"killed\":%u,\"cpu_seconds\":%.2f}",
          commands, rate, connections, accepted, reset, delivered, errors, failures,
          counts[MODE_ALIVE], counts[MODE_LOADING], counts[MODE_HUNG], counts[MODE_KILLED],
          cpu_seconds());
}

/* Returns false after `shutdown`. */
static bool command(const struct control *control, const struct request *request,
                    struct buffer *out)
{
    struct slice name = request->arguments[0];
    bool go_on = true;
    if (slice_is(name, "kill"))
        command_mode(control, request, MODE_KILLED, out);
    else if (slice_is(name, "hang"))
        command_mode(control, request, MODE_HUNG, out);
    else if (slice_is(name, "loading"))
        command_mode(control, request, MODE_LOADING, out);
    else if (slice_is(name, "revive"))
        command_mode(control, request, MODE_ALIVE, out);
    else if (slice_is(name, "masters"))
        command_masters(control, out);
    else if (slice_is(name, "status"))
        command_status(control, out);
    else if (slice_is(name, "promotions"))
        command_promotions(control, out);
    else if (slice_is(name, "hellos"))
        command_hellos(control, out);
    else if (slice_is(name, "stats"))
        command_stats(control, out);
    else if (slice_is(name, "shutdown"))
        go_on = false;
    else
        print(out, "{\"error\":\"unknown command; see fleet --help\"}");
    if (!go_on)
        print(out, "{\"ok\":true}");
    print(out, "\n");
    return go_on;
}

/* --- the loop ------------------------------------------------------------------------------- */

/* Sends all of it; a client that does not read for 5 seconds is given up. */
static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static void client_drop(struct client *client)
{
    close(client->fd);
    free(client->input.data);
    *client = (struct client){.fd = -1};
}

/* Reads and answers; returns false after `shutdown`. */
static bool client_serve(const struct control *control, struct client *client)
{
    char data[4096];
    ssize_t got = recv(client->fd, data, sizeof data, 0);
    if (got <= 0) {
        client_drop(client);
        return true;
    }
    buffer_append(&client->input, data, (size_t)got);
    struct request request;
    size_t used, at = 0;
    bool go_on = true;
    enum parse_result result;
    while (go_on && (result = request_parse(client->input.data + at, client->input.length - at,
                                            &request, &used)) == PARSE_REQUEST) {
        struct buffer out = {0};
        if (request.count > 0)
            go_on = command(control, &request, &out);
        at += used;
        bool sent = send_all(client->fd, out.data, out.length);
        free(out.data);
        if (!sent)
            break;
    }
    if (go_on && result == PARSE_ERROR) {
        client_drop(client);
        return true;
    }
    memmove(client->input.data, client->input.data + at, client->input.length - at);
    client->input.length -= at;
    return go_on;
}

static void client_accept(const struct control *control, struct client *clients)
{
    int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (int k = 0; k < CLIENTS_MAX; k++) {
        if (clients[k].fd < 0) {
            clients[k].fd = fd;
            return;
        }
    }
    close(fd);
}

/* One turn: waits, then serves what is ready. 0 to go on, 1 to end, -1 when a worker died. */
static int turn(const struct control *control, struct client *clients)
{
    struct pollfd waits[CLIENTS_MAX + 2];
    for (int k = 0; k < CLIENTS_MAX; k++)
        waits[k] = (struct pollfd){.fd = clients[k].fd, .events = POLLIN};
    waits[CLIENTS_MAX] = (struct pollfd){.fd = control->listener, .events = POLLIN};
    waits[CLIENTS_MAX + 1] = (struct pollfd){.fd = control->signals, .events = POLLIN};
    if (poll(waits, CLIENTS_MAX + 2, -1) < 0)
        return errno == EINTR ? 0 : -1;
    struct signalfd_siginfo signal;
    if (waits[CLIENTS_MAX + 1].revents &&
        read(control->signals, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo != SIGCHLD)
            return 1;
        fprintf(stderr, "fleet: worker process %u ended\n", signal.ssi_pid);
        return -1;
    }
    if (waits[CLIENTS_MAX].revents)
        client_accept(control, clients);
    for (int k = 0; k < CLIENTS_MAX; k++)
        if (waits[k].revents && clients[k].fd >= 0 && !client_serve(control, &clients[k]))
            return 1;
    return 0;
}

int control_run(struct control *control)
{
    struct client clients[CLIENTS_MAX];
    int result = 0;
    for (int k = 0; k < CLIENTS_MAX; k++)
        clients[k] = (struct client){.fd = -1};
    while (result == 0)
        result = turn(control, clients);
    for (int k = 0; k < CLIENTS_MAX; k++)
        if (clients[k].fd >= 0)
            client_drop(&clients[k]);
    return result < 0 ? 1 : 0;
}
