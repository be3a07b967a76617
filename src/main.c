/* vedette: options, configuration, threads, orderly stop. */
#include "acl/log.h"
#include "admin/admin.h"
#include "command_line.h"
#include "config/config.h"
#include "daemon.h"
#include "descriptors.h"
#include "io/clock.h"
#include "io/journal.h"
#include "io/listener.h"
#include "io/ring.h"
#include "log.h"
#include "mainloop_internal.h"
#include "run/elector.h"
#include "run/mail.h"
#include "run/shard.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char *absolute(const char *path)
{
    char cwd[PATH_MAX], *out;
    if (path[0] == '/') {
        out = strdup(path);
    } else if (getcwd(cwd, sizeof cwd) == NULL || asprintf(&out, "%s/%s", cwd, path) < 0) {
        (void)fprintf(stderr, "vedette: the working directory is gone: %s\n", strerror(errno));
        exit(1);
    }
    if (out == NULL) {
        abort();
    }
    return out;
}

/* --- configuration and journal ---------------------------------------------------------------- */

static bool replay_line(void *ctx, const char *text, size_t len, bool maxima, char *why,
                        size_t why_size)
{
    struct config_error error = {0};
    bool ok = maxima ? config_apply_maxima(ctx, text, len, &error)
                     : config_apply_line(ctx, text, len, &error);
    if (!ok) {
        (void)snprintf(why, why_size, "%s", error.reason);
    }
    return ok;
}

/* One line for the operator: in the log, and where that is a file (or not open yet) on stderr. */
static void die(const char *what)
{
    log_printf(EVENT_WARNING, "%s", what);
    if (!log_is_stdout()) {
        (void)fprintf(stderr, "vedette: %s\n", what);
    }
    exit(1);
}

static struct config *load(const struct command_line *cl, const char *path,
                           struct journal_checksum *loaded)
{
    char dir[PATH_MAX];
    bool has_dir = config_peek_dir(path, cl->override_count, cl->overrides, dir, sizeof dir);
    static struct journal_report report;
    if (!journal_restore(path, has_dir ? dir : NULL, &report)) {
        (void)fprintf(stderr, "vedette: %s\n", report.reason);
        exit(1);
    }
    for (unsigned i = 0; i < report.note_count; i++) {
        (void)fprintf(stderr, "vedette: %s\n", report.notes[i]);
    }
    (void)journal_checksum_file(path, loaded); /* what cannot be read, config_load reports */
    struct config_error error;
    struct config *config = config_load(path, cl->override_count, cl->overrides, &error);
    if (config == NULL) {
        char text[4096];
        (void)config_error_format(&error, VEDETTE_REDIS_VERSION, text, sizeof text);
        (void)fputs(text, stderr);
        if (error.kind == CONFIG_ERROR_LINE) {
            /* After stock's block, which scripts may know by heart, what it does not say. */
            (void)fprintf(stderr, "vedette: %s, line %u\n",
                          error.file[0] != '\0' ? error.file : path, error.line);
        }
        exit(1);
    }
    return config;
}

static struct journal *open_journal(struct config *config, const char *path,
                                    const struct journal_checksum *loaded, bool *fresh)
{
    static struct journal_report report;
    char cwd[PATH_MAX];
    struct journal_options options = {.conf_path = path, .loaded = *loaded};
    options.fallback_dir = getcwd(cwd, sizeof cwd);
    struct journal *journal = journal_open(&options, &report);
    for (unsigned i = 0; i < report.note_count; i++) {
        log_printf(EVENT_WARNING, "%s", report.notes[i]);
    }
    if (journal == NULL) {
        die(report.reason);
    }
    report.note_count = 0;
    if (!journal_replay(journal, replay_line, config, &report)) {
        die(report.reason);
    }
    *fresh = !config->has_state && !journal_replayed_any(journal);
    return journal;
}

/* Users are in sentinel.conf or in an aclfile, never in both: nobody could say which count. */
static void load_users(struct mainloop *m)
{
    char *errors = NULL;
    m->acl_log = acl_log_new(m->config->server.acllog_max_len);
    if (m->config->server.aclfile == NULL) {
        return;
    }
    if (m->config->user_count > 0) {
        die("Configuring Redis with users defined in redis.conf and at the same setting an ACL "
            "file path is invalid. This setup is very likely to lead to configuration errors and "
            "security holes, please define either an ACL file or declare users directly in your "
            "redis.conf, but not both.");
    }
    struct acl_users *users = config_read_aclfile(m->config, &errors);
    if (users == NULL) {
        char *message = NULL;
        if (asprintf(&message, "Aborting Redis startup because of ACL errors: %s", errors) < 0) {
            abort();
        }
        die(message);
    }
    config_set_users(m->config, users);
}

/* Ids are 40 random hex digits, made once and kept in sentinel.conf. */
static void make_myid(struct config *config)
{
    unsigned char random[LIMIT_RUNID / 2];
    char line[64];
    struct config_error error;
    if (runid_known(&config->myid)) {
        return;
    }
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        die("the kernel gives no random bytes for a sentinel id");
    }
    int len = snprintf(line, sizeof line, "sentinel myid ");
    for (size_t i = 0; i < sizeof random; i++) {
        len += snprintf(line + len, sizeof line - (size_t)len, "%02x", random[i]);
    }
    if (!config_apply_line(config, line, (size_t)len, &error)) {
        die(error.reason);
    }
}

/* Folds once at start, so that the threads begin with a whole file and an empty journal. */
static void begin_journal(struct journal *journal, struct config *config)
{
    static struct journal_report report;
    struct config_text text = {0}, state = {0};
    config_render(config, &text);
    config_render_state(config, &state);
    bool ok = journal_begin(journal, text.data, text.len, state.data, state.len, &report);
    for (unsigned i = 0; i < report.note_count; i++) {
        log_printf(EVENT_WARNING, "%s", report.notes[i]);
    }
    free(text.data);
    free(state.data);
    if (!ok) {
        die(report.reason);
    }
}

static int fold_by_hand(const struct command_line *cl)
{
    struct journal_checksum loaded = {0};
    bool fresh;
    char *path = absolute(cl->fold);
    struct config *config = load(cl, path, &loaded);
    struct journal *journal = open_journal(config, path, &loaded, &fresh);
    begin_journal(journal, config);
    enum journal_mode mode = journal_place(journal)->mode;
    journal_close(journal);
    config_free(config);
    bool folded = mode != JOURNAL_READ_ONLY;
    if (folded) {
        (void)printf("%s holds everything now\n", path);
    } else {
        (void)fprintf(stderr, "vedette: %s cannot be written: nothing was folded into it\n", path);
    }
    free(path);
    return folded ? 0 : 1;
}

/* --- what the threads share ------------------------------------------------------------------- */

static unsigned cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > LIMIT_SHARDS ? LIMIT_SHARDS : (unsigned)count;
}

static void copy_text(char *to, size_t size, const char *from, const char *what)
{
    if (from != NULL && strlen(from) >= size) {
        char message[128];
        (void)snprintf(message, sizeof message, "%s is longer than %zu bytes", what, size - 1);
        die(message);
    }
    (void)snprintf(to, size, "%s", from != NULL ? from : "");
}

/* bind takes host names, too: the first IPv4 address of each, as it is now. As stock: on a Debian
 * "localhost" is ::1 first, and clients of `bind localhost` expect 127.0.0.1. */
static void fill_bind(char out[LIMIT_HOST + 1], const char *name)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct address at;
    char message[LIMIT_HOST + 128];

    if (address_set(&at, name, strlen(name), 0)) {
        (void)snprintf(out, LIMIT_HOST + 1, "%s", name);
        return;
    }
    int rc = getaddrinfo(name, NULL, &hints, &found);
    if (rc == 0) {
        rc = getnameinfo(found->ai_addr, found->ai_addrlen, out, LIMIT_HOST + 1, NULL, 0,
                         NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    if (rc != 0) {
        (void)snprintf(message, sizeof message,
                       "bind: '%.*s' is no IP address and cannot be "
                       "resolved: %s",
                       LIMIT_HOST, name, gai_strerror(rc));
        die(message);
    }
}

static void fill_binds(struct process_options *o, const struct config_server *server)
{
    size_t most = sizeof o->bind / sizeof o->bind[0];
    if (server->bind_count > most) {
        die("bind: too many addresses (16 at most)");
    }
    for (size_t i = 0; i < server->bind_count; i++) {
        const char *address = server->binds[i].address;
        if (strcmp(address, "*") == 0) {
            address = "0.0.0.0";
        } else if (strcmp(address, "::*") == 0) {
            address = "::";
        }
        fill_bind(o->bind[i], address);
        o->bind_optional[i] = server->binds[i].optional;
    }
    o->bind_count = (unsigned)server->bind_count;
}

static struct output_limit output_limit(const struct config_output_limit *limit)
{
    return (struct output_limit){
        .hard = limit->hard, .soft = limit->soft, .soft_seconds = (uint32_t)limit->soft_seconds};
}

static void fill_options(struct process_options *o, const struct command_line *cl,
                         const struct config *config, const char *path)
{
    static char executable[PATH_MAX];
    const struct config_server *server = &config->server;
    ssize_t len = readlink("/proc/self/exe", executable, sizeof executable - 1);
    executable[len > 0 ? len : 0] = '\0';

    *o = (struct process_options){
        .shards = cl->shards != 0 ? cl->shards : cores(),
        .port = server->bind_nothing ? 0 : server->port,
        .tls_port = server->bind_nothing ? 0 : server->tls.port,
        .tls_replication = server->tls.replication,
        .protected_mode = server->protected_mode,
        .deny_scripts_reconfig = config->deny_scripts_reconfig,
        .maxclients = server->maxclients,
        .normal_output = output_limit(&server->normal_limit),
        .pubsub_output = output_limit(&server->pubsub_limit),
        .clients_memory = server->maxmemory_clients,
        .timeout = server->timeout,
        .tcp_keepalive = server->tcp_keepalive,
        .tcp_backlog = server->tcp_backlog > 0 ? (uint32_t)server->tcp_backlog : 511,
        .config_file = path,
        .executable = executable,
    };
    fill_binds(o, server);
    copy_text(o->requirepass, sizeof o->requirepass, server->requirepass, "requirepass");
    if (server->bind_source_addr != NULL && server->bind_source_addr[0] != '\0' &&
        !address_set(&o->bind_source, server->bind_source_addr, strlen(server->bind_source_addr),
                     0)) {
        die("bind-source-addr is not an IP address");
    }
}

static void fill_tunables(struct tunables *t, const struct config *config)
{
    static const enum event_level levels[] = {
        [LOGLEVEL_DEBUG] = EVENT_DEBUG,     [LOGLEVEL_VERBOSE] = EVENT_VERBOSE,
        [LOGLEVEL_NOTICE] = EVENT_NOTICE,   [LOGLEVEL_WARNING] = EVENT_WARNING,
        [LOGLEVEL_NOTHING] = EVENT_WARNING,
    };
    *t = (struct tunables){0};
    periods_default(&t->periods);
    copy_text(t->announce_ip, sizeof t->announce_ip, config->announce_ip, "sentinel announce-ip");
    t->announce_port = config->announce_port;
    t->resolve_hostnames = config->resolve_hostnames;
    t->announce_hostnames = config->announce_hostnames;
    copy_text(t->sentinel_user, sizeof t->sentinel_user, config->sentinel_user,
              "sentinel sentinel-user");
    copy_text(t->sentinel_pass, sizeof t->sentinel_pass, config->sentinel_pass,
              "sentinel sentinel-pass");
    t->loglevel = levels[config->server.loglevel];
    t->log_nothing = config->server.loglevel == LOGLEVEL_NOTHING;
    tunables_resolve(t);
}

static char *copy_or_null(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL) {
        abort();
    }
    return copy;
}

static void fill_texts(struct group_texts *texts, const struct config_group *group)
{
    *texts = (struct group_texts){
        .auth_user = copy_or_null(group->auth_user),
        .auth_pass = copy_or_null(group->auth_pass),
        .notification_script = copy_or_null(group->notification_script),
        .reconfig_script = copy_or_null(group->client_reconfig_script),
    };
    if (group->rename_count > 0) {
        texts->renames = calloc(group->rename_count, sizeof *texts->renames);
        if (texts->renames == NULL) {
            abort();
        }
        for (size_t i = 0; i < group->rename_count; i++) {
            texts->renames[i].from = copy_or_null(group->renames[i].from);
            texts->renames[i].to = copy_or_null(group->renames[i].to);
        }
        texts->rename_count = group->rename_count;
    }
}

static void seed_group(struct process *p, const struct config_group *group)
{
    struct shard_seed seed = {
        .gid = directory_add(p->directory, group->name),
        .addr = group->addr,
        .set = group->set,
        .saved = {.config_epoch = group->config_epoch,
                  .leader_epoch = group->leader_epoch,
                  .has_leader_epoch = group->has_leader_epoch,
                  .leader = group->leader},
        .replicas = group->replicas,
        .replica_count = group->replica_count,
        .sentinel_count = group->sentinel_count,
    };
    if (seed.gid == DIRECTORY_NONE) {
        die("more masters than this build can hold (65536)");
    }
    struct address *sentinels = calloc(group->sentinel_count + 1, sizeof *sentinels);
    struct runid *ids = calloc(group->sentinel_count + 1, sizeof *ids);
    if (sentinels == NULL || ids == NULL) {
        abort();
    }
    for (size_t i = 0; i < group->sentinel_count; i++) {
        sentinels[i] = group->sentinels[i].addr;
        ids[i] = group->sentinels[i].runid;
    }
    seed.sentinels = sentinels;
    seed.sentinel_ids = ids;
    fill_texts(&seed.texts, group);
    shard_seed(p->shard[directory_owner(p->directory, seed.gid)], &seed);
    free(sentinels);
    free(ids);
}

/* --- start ------------------------------------------------------------------------------------ */

static int take_signals(void)
{
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD,
                 SIG_DFL); /* whoever started us may ignore it: nothing could be waited for */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before the threads, which inherit it */
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* After a kill -9 the kernel gives back what rings held a moment after the process is gone: a start
 * that follows at once waits for that. */
static bool port_free(const struct address *at, char *error, size_t error_len)
{
    ms_t until = clock_now() + 2000;
    while (!listener_prove_free(at, error, error_len)) {
        int cause = errno;
        if (cause != EADDRINUSE || clock_now() >= until) {
            errno = cause;
            return false;
        }
        (void)usleep(10000);
    }
    return true;
}

static void prove_port_free(const struct process_options *o, uint16_t port, const char *kind)
{
    char error[256], message[512];
    if (port != 0 && o->port == o->tls_port) {
        log_printf(EVENT_WARNING, "port and tls-port are both %u", (unsigned)port);
        (void)snprintf(message, sizeof message, "Failed listening on port %u (TLS), aborting.",
                       (unsigned)port);
        die(message);
    }
    unsigned count = o->bind_count > 0 ? o->bind_count : 1;
    for (unsigned i = 0; port != 0 && i < count; i++) {
        const char *ip = o->bind_count > 0 ? o->bind[i] : "0.0.0.0";
        struct address at;
        if (!address_set(&at, ip, strlen(ip), port)) {
            (void)snprintf(message, sizeof message, "bind: '%s' is not an IP address", ip);
            die(message);
        }
        if (!port_free(&at, error, sizeof error) &&
            !(o->bind_count > 0 && o->bind_optional[i] && errno != EADDRINUSE)) {
            log_printf(EVENT_WARNING, "Could not create server TCP listening socket %s:%u: %s", ip,
                       (unsigned)port, error);
            (void)snprintf(message, sizeof message, "Failed listening on port %u (%s), aborting.",
                           (unsigned)port, kind);
            die(message);
        }
    }
}

static void load_certificates(struct mainloop *m)
{
    const struct config_tls *config = &m->config->server.tls;
    char error[1024];
    if (!certificates_load(&m->certificates, config, error, sizeof error)) {
        log_printf(EVENT_WARNING, "%s", error);
        die("Failed to configure TLS. Check logs for more info.");
    }
    bool lone = (config->client_cert_file == NULL) != (config->client_key_file == NULL);
    if (m->certificates.tls != NULL && lone) {
        log_printf(EVENT_WARNING, "tls-client-cert-file and tls-client-key-file go together: only "
                                  "one of them is given, so both are ignored");
    }
    if (config->port != 0 && m->config->server.port == 0 && !config->replication &&
        m->config->announce_port == 0) {
        log_printf(EVENT_WARNING,
                   "Other sentinels cannot find this one: port is 0, and the tls-port is announced "
                   "with tls-replication only. Set tls-replication yes, or sentinel announce-port");
    }
    m->process->tls = m->certificates.tls;
}

static void write_pidfile(const struct config_server *server, bool background)
{
    const char *path = pidfile_path(server, background);
    if (path != NULL && !pidfile_write(path) && server->pidfile != NULL) {
        char message[PATH_MAX + 128];
        (void)snprintf(message, sizeof message, "Can't write the pid file '%s': %s", path,
                       strerror(errno));
        die(message);
    }
}

/* The one socket of `unixsocket`, before the threads start: the first shard serves it. */
static void open_unix_socket(struct process_options *o, const struct config_server *server)
{
    char error[512], message[640];
    o->unix_fd = -1;
    if (server->unixsocket == NULL || server->unixsocket[0] == '\0') {
        return;
    }
    o->unix_socket = server->unixsocket;
    o->unix_fd = listener_unix(server->unixsocket, server->unixsocketperm, (int)o->tcp_backlog,
                               error, sizeof error);
    if (o->unix_fd < 0) {
        (void)snprintf(message, sizeof message, "Failed opening Unix socket: %s", error);
        die(message);
    }
}

static void start_threads(struct process *p, struct mainloop *m, bool fresh)
{
    char error[512], message[768];
    p->shard = calloc(p->options.shards, sizeof(struct shard *));
    p->elector = elector_new(p, m->journal, &m->tunables, m->config->current_epoch, fresh);
    if (p->shard == NULL || p->elector == NULL) {
        abort();
    }
    for (unsigned i = 0; i < p->options.shards; i++) {
        p->shard[i] = shard_new(p, i, &m->tunables);
        if (p->shard[i] == NULL) {
            abort();
        }
    }
    for (size_t i = 0; i < m->config->group_count; i++) {
        seed_group(p, m->config->groups[i]);
    }
    if (!elector_start(p->elector, error, sizeof error)) {
        die(error);
    }
    for (unsigned i = 0; i < p->options.shards; i++) {
        if (!shard_start(p->shard[i], error, sizeof error)) {
            (void)snprintf(message, sizeof message, "Cannot start: %s", error);
            die(message);
        }
    }
}

typedef void (*visit_address)(struct process *p, struct address *addr);

static void each_address(struct process *p, struct config *config, visit_address visit)
{
    for (size_t i = 0; i < config->group_count; i++) {
        struct config_group *group = config->groups[i];
        visit(p, &group->addr);
        for (size_t k = 0; k < group->replica_count; k++) {
            visit(p, &group->replicas[k]);
        }
        for (size_t k = 0; k < group->sentinel_count; k++) {
            visit(p, &group->sentinels[k].addr);
        }
    }
}

static void resolve(struct process *p, struct address *addr)
{
    if (addr->host != NULL) {
        (void)resolver_fill(p->resolver, addr, clock_now());
    }
}

/* All at once, and not for long: who cannot be resolved now is watched as unreachable until it can.
 */
static void resolve_names(struct process *p, struct config *config)
{
    if (!config->resolve_hostnames) {
        return;
    }
    each_address(p, config, resolve);
    (void)resolver_wait(p->resolver, LIMIT_RESOLVER_START);
    each_address(p, config, resolve);
}

static struct process *make_process(const struct command_line *cl, const struct config *config,
                                    const char *path)
{
    struct process *p = calloc(1, sizeof *p);
    if (p == NULL) {
        abort();
    }
    fill_options(&p->options, cl, config, path);
    p->myid = config->myid;
    p->pid = (int)getpid();
    p->started = clock_now();
    p->started_wall_ms = clock_wall_ms();
    p->admin = &admin_ops;
    p->users = acl_users_ref(config->users);
    for (size_t i = 0; i < config->server.rename_count; i++) {
        const struct config_rename *rename = &config->server.renames[i];
        if (!admin_rename(rename->from, rename->to)) {
            die("rename-command: no such command, or the new name cannot be used");
        }
    }
    atomic_store(&p->current_epoch, config->current_epoch);
    pthread_mutex_init(&p->twin_lock, NULL);
    p->post = post_new(process_threads(p));
    p->directory = directory_new(p->options.shards);
    p->resolver = resolver_new(NULL, NULL, LIMIT_RESOLVER_THREADS);
    if (p->post == NULL || p->directory == NULL || p->resolver == NULL) {
        die("not enough memory or descriptors to start");
    }
    return p;
}

static void end(struct process *p, struct mainloop *m)
{
    if (p->options.unix_fd >= 0) {
        (void)unlink(p->options.unix_socket);
    }
    for (unsigned i = 0; i < p->options.shards; i++) {
        shard_free(p->shard[i]);
    }
    free(p->shard);
    elector_free(p->elector);
    letters_drop(p);
    post_free(p->post);
    directory_free(p->directory);
    resolver_free(p->resolver);
    pthread_mutex_destroy(&p->twin_lock);
    acl_users_release(p->users);
    free(p);
    acl_log_free(m->acl_log);
    if (m->pidfile != NULL) {
        (void)unlink(m->pidfile);
    }
    journal_close(m->journal);
    certificates_free(&m->certificates);
    config_free(m->config);
    close(m->signals);
}

/* io_uring if it is there or asked for; else epoll, which can do all of it with more system calls.
 */
static void choose_io(const struct command_line *cl)
{
    char reason[1024];
    unsigned rings = 2 * (cl->shards != 0 ? cl->shards : cores());
    if (cl->io != NULL && strcmp(cl->io, "epoll") == 0) {
        ring_choose(RING_EPOLL);
    } else if (!ring_probe(reason, sizeof reason) || !ring_fits(rings, reason, sizeof reason)) {
        if (cl->io != NULL) {
            die(reason);
        }
        log_printf(EVENT_WARNING, "%s. Using epoll instead (--io epoll asks for it)", reason);
        ring_choose(RING_EPOLL);
    }
}

static void greet(const struct process *p, const struct config *config)
{
    log_printf(EVENT_WARNING, "vedette %s is starting, compatible with Redis Sentinel %s",
               VEDETTE_VERSION, VEDETTE_REDIS_VERSION);
    log_printf(EVENT_NOTICE, "Running mode=sentinel, port=%u, %u shards.",
               (unsigned)process_shown_port(p), p->options.shards);
    for (size_t i = 0; i < config->note_count; i++) {
        log_printf(EVENT_WARNING, "%s", config->notes[i]);
    }
    backlog_check(p->options.tcp_backlog);
    log_printf(EVENT_NOTICE, "Sentinel ID is %s", p->myid.hex);
}

int main(int argc, char **argv)
{
    struct command_line cl;
    struct journal_checksum loaded = {0};
    bool fresh = false;
    struct mainloop m = {0};
    char reason[512];

    script_limits_take(&m.limits);
    command_line_parse(argc, argv, &cl);
    admin_prepare();
    if (cl.fold != NULL) {
        int code = fold_by_hand(&cl);
        free(cl.overrides);
        return code;
    }
    char *path = absolute(cl.config);
    m.config = load(&cl, path, &loaded);
    const struct config_server *server = &m.config->server;
    bool background;
    struct log_options log = {.file = server->logfile,
                              .syslog = server->syslog_enabled,
                              .syslog_ident = server->syslog_ident,
                              .syslog_facility = server->syslog_facility,
                              .format = (enum log_format)server->log_format,
                              .timestamp = (enum log_timestamp)server->log_timestamp};
    if (!log_open(&log)) {
        (void)fprintf(stderr, "vedette: Can't open the log file '%s': %s\n", server->logfile,
                      strerror(errno));
        return 1;
    }
    choose_io(&cl);
    enum config_supervised supervisor = supervisor_find(server->supervised);
    background = server->daemonize && supervisor == SUPERVISED_NO;
    if (background && !daemonize()) {
        die("cannot fork to become a daemon");
    }
    m.journal = open_journal(m.config, path, &loaded, &fresh);
    load_users(&m);
    make_myid(m.config);
    fill_tunables(&m.tunables, m.config);
    log_level(m.tunables.log_nothing ? EVENT_WARNING + 1 : m.tunables.loglevel);
    m.process = make_process(&cl, m.config, path);
    m.process->options.supervised = supervisor == SUPERVISED_SYSTEMD   ? "systemd"
                                    : supervisor == SUPERVISED_UPSTART ? "upstart"
                                                                       : "no";
    if (!descriptors_take(m.process, m.config, reason, sizeof reason)) {
        die(reason);
    }
    load_certificates(&m);
    open_unix_socket(&m.process->options, server);
    if (m.process->options.port == 0 && m.process->options.tls_port == 0 &&
        m.process->options.unix_fd < 0) {
        die("Configured to not listen anywhere, exiting.");
    }
    prove_port_free(&m.process->options, m.process->options.port, "tcp");
    prove_port_free(&m.process->options, m.process->options.tls_port, "TLS");
    resolve_names(m.process, m.config);
    begin_journal(m.journal, m.config);
    write_pidfile(server, background);
    m.pidfile = pidfile_path(server, background);
    greet(m.process, m.config);
    m.signals = take_signals();
    start_threads(m.process, &m, fresh);
    supervisor_tell("STATUS=Ready to accept connections\nREADY=1\n");
    int code = mainloop_run(&m);
    end(m.process, &m);
    free(cl.overrides);
    free(path);
    return code;
}
