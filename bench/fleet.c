/* fleet: options, the parent process and its workers (see fleet.h). */
#include "fleet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OCTET_VALUES 250 /* of each of the three lower octets */

int64_t fleet_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

uint32_t fleet_group_size(const struct options *options)
{
    return options->replicas + 1;
}

uint32_t fleet_instance_count(const struct options *options)
{
    return options->masters * fleet_group_size(options);
}

in_addr_t fleet_address(uint32_t instance)
{
    uint32_t c = 1 + instance % OCTET_VALUES;
    uint32_t b = instance / OCTET_VALUES % OCTET_VALUES;
    uint32_t a = 1 + instance / (OCTET_VALUES * OCTET_VALUES);
    return htonl(127U << 24 | a << 16 | b << 8 | c);
}

uint16_t fleet_port(const struct options *options, uint32_t instance)
{
    uint32_t group = instance / fleet_group_size(options);
    return (uint16_t)(options->port + group % options->workers);
}

int32_t fleet_find(const struct options *options, in_addr_t ip, uint16_t port)
{
    uint32_t host = ntohl(ip);
    uint32_t a = host >> 16 & 255, b = host >> 8 & 255, c = host & 255;
    if (host >> 24 != 127 || a < 1 || b >= OCTET_VALUES || c < 1 || c > OCTET_VALUES)
        return -1;
    uint32_t instance = ((a - 1) * OCTET_VALUES + b) * OCTET_VALUES + c - 1;
    if (instance >= fleet_instance_count(options) || fleet_port(options, instance) != port)
        return -1;
    return (int32_t)instance;
}

void fleet_group_name(const struct options *options, uint32_t group, char *out, size_t size)
{
    snprintf(out, size, "%s%04u", options->prefix, group + 1);
}

void fleet_address_text(const struct options *options, uint32_t instance, char *out, size_t size)
{
    char ip[INET_ADDRSTRLEN];
    struct in_addr address = {.s_addr = fleet_address(instance)};
    inet_ntop(AF_INET, &address, ip, sizeof ip);
    snprintf(out, size, "%s:%u", ip, fleet_port(options, instance));
}

static void usage(void)
{
    puts("Usage: fleet [options]\n"
         "Simulates a fleet of Redis 7 masters with their replicas on 127.0.0.0/8, for sentinels "
         "to\n"
         "watch: full-size INFO, PUBLISH passed from master to replicas, SLAVEOF, transactions, "
         "and\n"
         "a CLIENT KILL that cuts. A group (a master and its replicas) lives in one worker "
         "process,\n"
         "and each worker has one listening socket on its own port; instances are told apart by "
         "the\n"
         "address that was connected to (127.a.b.c). Only 127.0.0.0/8 is served.\n\n"
         "  --masters N            masters (100)\n"
         "  --replicas N           replicas of each (1)\n"
         "  --workers N            worker processes (chosen so that RLIMIT_NOFILE fits 3 "
         "sentinels,\n"
         "                         at least 2)\n"
         "  --port N               first port; worker k listens on N + k (0: chosen, below 32768)\n"
         "  --control-port N       control port on 127.0.0.1 (0: chosen, below 32768)\n"
         "  --prefix TEXT          names of the groups: TEXT0001, TEXT0002, ... (sim)\n"
         "  --requirepass TEXT     password of every instance (none)\n"
         "  --conf-lines FILE      write the fleet's sentinel.conf lines there (-: standard "
         "output)\n"
         "  --quorum N, --down-after MS, --failover-timeout MS, --parallel-syncs N\n"
         "                         what those lines say (2, 5000, 60000, 1)\n"
         "  --sync-delay MS        from SLAVEOF until the replica's link is up (100)\n"
         "  --retry-delay MS       from a master's return until its replicas reach it (1000)\n"
         "  --offset-rate N        bytes of replication stream a second of each master (200)\n"
         "  --no-serve-stale       replicas without their master answer -MASTERDOWN to PING\n"
         "  --die-with-parent      end when the process that started this one ends\n"
         "  --seed N               of run ids (1)\n"
         "  --help                 this text\n\n"
         "When ready it prints one line `ready control=127.0.0.1:PORT ports=A-B ...`; it runs "
         "until\n"
         "SIGTERM, SIGINT or `shutdown`.\n");
    control_help();
}

static int64_t number(const char *option, const char *text, int64_t low, int64_t high)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || !*text || *end || value < low || value > high) {
        fprintf(stderr, "fleet: --%s: '%s' is not a number between %lld and %lld\n", option, text,
                (long long)low, (long long)high);
        exit(2);
    }
    return value;
}

/* What an option sets: a number within bounds, a text, or a flag. */
enum option_kind { SETS_U32, SETS_U16, SETS_I64, SETS_U64, SETS_TEXT, SETS_TRUE, SETS_FALSE };
struct setting {
    const char *name;
    enum option_kind kind;
    size_t offset; /* in struct options */
    int64_t low, high;
};
#define SETTING(name, kind, field, low, high)                                                      \
    {                                                                                              \
        name, kind, offsetof(struct options, field), low, high                                     \
    }
static const struct setting settings[] = {
    SETTING("masters", SETS_U32, masters, 1, 500000),
    SETTING("replicas", SETS_U32, replicas, 0, 100),
    SETTING("workers", SETS_U32, workers, 1, FLEET_WORKERS_MAX),
    SETTING("port", SETS_U16, port, 0, 65000),
    SETTING("control-port", SETS_U16, control_port, 0, 65535),
    SETTING("prefix", SETS_TEXT, prefix, 0, 0),
    SETTING("requirepass", SETS_TEXT, password, 0, 0),
    SETTING("conf-lines", SETS_TEXT, conf_lines, 0, 0),
    SETTING("quorum", SETS_U32, quorum, 1, 1000),
    SETTING("down-after", SETS_I64, down_after, 1, 86400000),
    SETTING("failover-timeout", SETS_I64, failover_timeout, 1, 86400000),
    SETTING("parallel-syncs", SETS_U32, parallel_syncs, 1, 1000),
    SETTING("sync-delay", SETS_I64, sync_delay, 0, 3600000),
    SETTING("retry-delay", SETS_I64, retry_delay, 0, 3600000),
    SETTING("offset-rate", SETS_I64, offset_rate, 0, 1000000000),
    SETTING("no-serve-stale", SETS_FALSE, serve_stale, 0, 0),
    SETTING("die-with-parent", SETS_TRUE, die_with_parent, 0, 0),
    SETTING("seed", SETS_U64, seed, 0, INT64_MAX),
};
#define SETTING_COUNT (sizeof settings / sizeof *settings)

static void apply_setting(struct options *options, const struct setting *setting, const char *text)
{
    void *field = (char *)options + setting->offset;
    int64_t value = 0;
    if (setting->kind <= SETS_U64)
        value = number(setting->name, text, setting->low, setting->high);
    switch (setting->kind) {
    case SETS_U32:
        *(uint32_t *)field = (uint32_t)value;
        break;
    case SETS_U16:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case SETS_I64:
        *(int64_t *)field = value;
        break;
    case SETS_U64:
        *(uint64_t *)field = (uint64_t)value;
        break;
    case SETS_TEXT:
        *(const char **)field = text;
        break;
    case SETS_TRUE:
    case SETS_FALSE:
        *(bool *)field = setting->kind == SETS_TRUE;
    }
}

static void parse_options(int argc, char **argv, struct options *options)
{
    struct option known[SETTING_COUNT + 2] = {0};
    int option, at = 0;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        bool takes = settings[i].kind <= SETS_TEXT;
        known[i] = (struct option){settings[i].name, takes, NULL, 1};
    }
    known[SETTING_COUNT] = (struct option){"help", 0, NULL, 'h'};
    while ((option = getopt_long(argc, argv, "h", known, &at)) != -1) {
        if (option == 'h') {
            usage();
            exit(0);
        }
        if (option != 1) {
            fprintf(stderr, "fleet: try --help\n");
            exit(2);
        }
        apply_setting(options, &settings[at], optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "fleet: unexpected argument '%s'; try --help\n", argv[optind]);
        exit(2);
    }
    if (fleet_instance_count(options) > FLEET_INSTANCES_MAX) {
        fprintf(stderr, "fleet: more than %d instances\n", FLEET_INSTANCES_MAX);
        exit(2);
    }
}

/* Enough workers that three sentinels' two links to every instance, and some clients, fit the
 * limit of open files of each; and the limit raised as far as it goes. */
static void choose_workers(struct options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = 1024;
    uint64_t sockets = (uint64_t)fleet_instance_count(options) * 8 + 256;
    uint64_t room = limit.rlim_cur > 512 ? limit.rlim_cur - 128 : 384;
    uint64_t needed = (sockets + room - 1) / room;
    if (options->workers == 0)
        options->workers = needed < 2                   ? 2
                           : needed > FLEET_WORKERS_MAX ? FLEET_WORKERS_MAX
                                                        : (uint32_t)needed;
    if (options->workers > options->masters)
        options->workers = options->masters;
    if (needed > options->workers)
        fprintf(stderr,
                "fleet: warning: %u workers with at most %llu open files each will not hold the "
                "links of 3 sentinels\n",
                options->workers, (unsigned long long)limit.rlim_cur);
}

/* A listening socket, or -1. wildcard: on 0.0.0.0 but bound to the loopback device. */
static int listen_on(uint16_t port, bool wildcard)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Refused without privilege on old kernels; every connection's addresses are checked too. */
    if (wildcard)
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = wildcard ? INADDR_ANY : htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 65535) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool listen_range(uint16_t port, uint32_t count, int *out)
{
    for (uint32_t k = 0; k < count; k++) {
        out[k] = listen_on((uint16_t)(port + k), true);
        if (out[k] < 0) {
            int error = errno;
            while (k-- > 0)
                close(out[k]);
            errno = error;
            return false;
        }
    }
    return true;
}

/* Listening sockets of all workers (out) and of the control port (returned). */
static int open_ports(struct options *options, int *out)
{
    srandom((unsigned)(fleet_now() ^ (int64_t)getpid() << 8));
    bool done = false;
    uint16_t asked = options->port;
    for (int tries = 0; !done && tries < (asked ? 1 : 500); tries++) {
        if (!asked)
            options->port = (uint16_t)(12000 + random() % 18000);
        done = listen_range(options->port, options->workers, out);
    }
    if (!done) {
        fprintf(stderr, "fleet: cannot listen on ports %u to %u: %s\n", options->port,
                options->port + options->workers - 1, strerror(errno));
        exit(1);
    }
    int control = -1;
    asked = options->control_port;
    for (int tries = 0; control < 0 && tries < (asked ? 1 : 500); tries++) {
        if (!asked)
            options->control_port = (uint16_t)(12000 + random() % 18000);
        control = listen_on(options->control_port, false);
    }
    if (control < 0) {
        fprintf(stderr, "fleet: cannot listen on control port %u: %s\n", options->control_port,
                strerror(errno));
        exit(1);
    }
    return control;
}

static struct shared *share(const struct options *options)
{
    size_t instances = fleet_instance_count(options);
    size_t size = sizeof(struct shared) + options->masters * sizeof(struct group_record) +
                  instances * sizeof(struct published);
    struct shared *shared =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("fleet: mmap");
        exit(1);
    }
    shared->groups = (struct group_record *)(shared + 1);
    shared->instances = (struct published *)(shared->groups + options->masters);
    for (uint32_t group = 0; group < options->masters; group++) {
        uint32_t first = group * fleet_group_size(options);
        atomic_store(&shared->groups[group].promoted, -1);
        for (uint32_t member = 0; member < fleet_group_size(options); member++)
            atomic_store(&shared->instances[first + member].master,
                         member ? (int32_t)first : MASTER_NONE);
    }
    return shared;
}

/* The life of a worker process. */
static void worker_main(const struct options *options, struct shared *shared, uint32_t number,
                        const int *listeners, int control)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole terminal: the parent decides */
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (uint32_t k = 0; k < options->workers; k++)
        if (k != number)
            close(listeners[k]);
    struct worker worker = {.options = options,
                            .shared = shared,
                            .counters = &shared->counters[number],
                            .number = number,
                            .listener = listeners[number],
                            .control = control};
    worker.instances = calloc(fleet_instance_count(options), sizeof *worker.instances);
    if (!worker.instances)
        abort();
    _exit(worker_run(&worker));
}

int main(int argc, char **argv)
{
    struct options options = {.masters = 100,
                              .replicas = 1,
                              .prefix = "sim",
                              .quorum = 2,
                              .down_after = 5000,
                              .failover_timeout = 60000,
                              .parallel_syncs = 1,
                              .sync_delay = 100,
                              .retry_delay = 1000,
                              .offset_rate = 200,
                              .serve_stale = true,
                              .seed = 1};
    parse_options(argc, argv, &options);
    if (options.die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    choose_workers(&options);
    static int listeners[FLEET_WORKERS_MAX], sockets[FLEET_WORKERS_MAX];
    static pid_t children[FLEET_WORKERS_MAX];
    struct control control = {.options = &options, .workers = sockets};
    control.listener = open_ports(&options, listeners);
    control.shared = share(&options);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    control.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    for (uint32_t k = 0; k < options.workers; k++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
            (children[k] = fork()) < 0) {
            perror("fleet: cannot start a worker");
            return 1; /* those already started die with this process */
        }
        if (children[k] == 0) {
            close(pair[0]);
            for (uint32_t j = 0; j < k; j++)
                close(sockets[j]); /* else an earlier worker would not see the parent's end */
            close(control.listener);
            worker_main(&options, control.shared, k, listeners, pair[1]);
        }
        close(pair[1]);
        sockets[k] = pair[0];
    }
    for (uint32_t k = 0; k < options.workers; k++)
        close(listeners[k]);
    if (options.conf_lines && !control_conf_lines(&options, options.conf_lines))
        return 1;
    printf("ready control=127.0.0.1:%u ports=%u-%u workers=%u masters=%u instances=%u\n",
           options.control_port, options.port, options.port + options.workers - 1, options.workers,
           options.masters, fleet_instance_count(&options));
    fflush(stdout);
    int result = control_run(&control);
    for (uint32_t k = 0; k < options.workers; k++) {
        close(sockets[k]);
        kill(children[k], SIGTERM);
        waitpid(children[k], NULL, 0);
    }
    return result;
}
