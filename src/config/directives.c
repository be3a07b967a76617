/* The server's directives (protocol.md §10): which are honoured, which only kept. Words that belong
 * to a full redis.conf and mean nothing to a sentinel are in known.c. */
#include "config/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

bool fail(struct config_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->reason, sizeof(err->reason), format, args);
    va_end(args);
    return false;
}

static bool fatal(struct config_error *err, const char *what)
{
    err->kind = CONFIG_ERROR_FATAL;
    return fail(err, "%s: %s", what, strerror(errno));
}

struct directive {
    const char *name;
    enum { D_BOOL, D_UNSIGNED, D_LONG, D_PORT, D_TEXT, D_MEMORY, D_SPECIAL } type;
    size_t offset; /* in struct config_server */
    uint64_t least, most;
    bool (*apply)(struct load *load, const struct words *w); /* D_SPECIAL */
};

/* --- single values
 * --------------------------------------------------------------------------------- */

static bool value_number(const struct directive *d, const char *text, uint64_t *out,
                         struct config_error *err)
{
    int64_t value;
    if (!words_number(text, &value)) {
        return fail(err, "argument couldn't be parsed into an integer");
    }
    if (value < 0 || (uint64_t)value < d->least || (uint64_t)value > d->most) {
        return fail(err, "argument must be between %llu and %llu inclusive",
                    (unsigned long long)d->least, (unsigned long long)d->most);
    }
    *out = (uint64_t)value;
    return true;
}

static bool value_memory(const struct directive *d, const char *text, uint64_t *out,
                         struct config_error *err)
{
    if (!words_memory(text, out)) {
        return fail(err, "argument must be a memory value");
    }
    if (*out < d->least) {
        return fail(err, "argument must be between %llu and %llu inclusive",
                    (unsigned long long)d->least, (unsigned long long)INT64_MAX);
    }
    return true;
}

static bool value_apply(struct load *load, const struct directive *d, const char *text)
{
    uint8_t *at = (uint8_t *)&load->cfg->server + d->offset;
    uint64_t number;

    switch (d->type) {
    case D_BOOL:
        return words_yes_no(text, (bool *)at) || fail(load->err, "argument must be 'yes' or 'no'");
    case D_UNSIGNED:
        if (!value_number(d, text, &number, load->err)) {
            return false;
        }
        *(unsigned *)at = (unsigned)number;
        return true;
    case D_LONG:
        return value_number(d, text, (uint64_t *)at, load->err);
    case D_PORT:
        if (!value_number(d, text, &number, load->err)) {
            return false;
        }
        *(uint16_t *)at = (uint16_t)number;
        return true;
    case D_TEXT:
        config_text_set((char **)at, text);
        return true;
    case D_MEMORY:
        return value_memory(d, text, (uint64_t *)at, load->err);
    case D_SPECIAL:
        break;
    }
    abort();
}

struct choice {
    const char *name;
    int value;
};

static bool choose(struct load *load, const char *text, const struct choice *choices, size_t count,
                   int *value)
{
    struct config_text names = {0};
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(text, choices[i].name) == 0) {
            *value = choices[i].value;
            free(names.data);
            return true;
        }
        config_text_printf(&names, "%s%s", i > 0 ? ", " : "", choices[i].name);
    }
    fail(load->err, "argument(s) must be one of the following: %s", names.data);
    free(names.data);
    return false;
}

static bool one_argument(struct load *load, const struct words *w)
{
    return w->count == 2 || fail(load->err, "wrong number of arguments");
}

/* --- directives of their own kind
 * ---------------------------------------------------------------------- */

/* "--bind 'a b'": one argument that holds several. Such arguments are split again. Borrows w's
 * words when there is nothing to split. */
static bool spread(struct load *load, const struct words *w, struct words *out)
{
    if (w->count != 2 || strchr(w->item[1], ' ') == NULL) {
        return false;
    }
    struct config_text line = {0};
    config_text_printf(&line, "%s %s", w->item[0], w->item[1]);
    bool ok = words_split(out, line.data, line.len);
    free(line.data);
    return ok;
}

static void binds_free(struct config_server *server)
{
    for (size_t i = 0; i < server->bind_count; i++) {
        free(server->binds[i].address);
    }
    free(server->binds);
    server->binds = NULL;
    server->bind_count = 0;
}

static bool apply_bind(struct load *load, const struct words *w)
{
    struct config_server *server = &load->cfg->server;
    struct words more;
    if (spread(load, w, &more)) {
        bool ok = apply_bind(load, &more);
        words_free(&more);
        return ok;
    }
    if (w->count > 16 + 1) {
        return fail(load->err, "Too many bind addresses specified.");
    }
    if (w->count == 1 || (w->count == 2 && w->item[1][0] == '\0')) {
        binds_free(server);
        server->bind_nothing = true; /* good with a unixsocket only: seen at start */
        return true;
    }
    binds_free(server);
    server->bind_nothing = false;
    server->binds = config_alloc((w->count - 1) * sizeof(*server->binds));
    for (size_t i = 1; i < w->count; i++) {
        const char *text = w->item[i];
        struct config_bind *bind = &server->binds[server->bind_count++];
        bind->optional = text[0] == '-';
        text += bind->optional ? 1 : 0;
        bind->address = config_copy(text, strlen(text));
    }
    return true;
}

static bool apply_dir(struct load *load, const struct words *w)
{
    if (!one_argument(load, w)) {
        return false;
    }
    if (!load->inert && chdir(w->item[1]) != 0) {
        return fail(load->err, "Can't chdir to '%s': %s", w->item[1], strerror(errno));
    }
    config_text_set(&load->cfg->server.dir, w->item[1]);
    return true;
}

static bool apply_logfile(struct load *load, const struct words *w)
{
    if (!one_argument(load, w)) {
        return false;
    }
    if (!load->inert && w->item[1][0] != '\0') {
        int fd = open(w->item[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            return fatal(load->err, "Can't open the log file");
        }
        close(fd);
    }
    config_text_set(&load->cfg->server.logfile, w->item[1]);
    return true;
}

static const char *const level_names[] = {"debug", "verbose", "notice", "warning", "nothing"};

const char *config_loglevel_name(enum config_loglevel level)
{
    return level_names[level];
}

bool config_loglevel_parse(const char *name, enum config_loglevel *level)
{
    for (int i = LOGLEVEL_DEBUG; i <= LOGLEVEL_NOTHING; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *level = (enum config_loglevel)i;
            return true;
        }
    }
    return false;
}

static bool apply_loglevel(struct load *load, const struct words *w)
{
    if (!one_argument(load, w)) {
        return false;
    }
    return config_loglevel_parse(w->item[1], &load->cfg->server.loglevel) ||
           fail(load->err,
                "argument(s) must be one of the following: debug, verbose, notice, warning, "
                "nothing");
}

static bool apply_log_format(struct load *load, const struct words *w)
{
    static const struct choice formats[] = {{"legacy", CONFIG_LOG_LEGACY},
                                            {"logfmt", CONFIG_LOG_LOGFMT}};
    int format = CONFIG_LOG_LEGACY;
    if (!one_argument(load, w) || !choose(load, w->item[1], formats, 2, &format)) {
        return false;
    }
    load->cfg->server.log_format = (enum config_log_format)format;
    return true;
}

static bool apply_log_timestamp(struct load *load, const struct words *w)
{
    static const struct choice formats[] = {{"legacy", CONFIG_TIMESTAMP_LEGACY},
                                            {"iso8601", CONFIG_TIMESTAMP_ISO8601},
                                            {"milliseconds", CONFIG_TIMESTAMP_MILLISECONDS}};
    int format = CONFIG_TIMESTAMP_LEGACY;
    if (!one_argument(load, w) || !choose(load, w->item[1], formats, 3, &format)) {
        return false;
    }
    load->cfg->server.log_timestamp = (enum config_log_timestamp)format;
    return true;
}

static bool apply_syslog_facility(struct load *load, const struct words *w)
{
    static const struct choice facilities[] = {
        {"user", LOG_USER},     {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},
        {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
        {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
    };
    return one_argument(load, w) &&
           choose(load, w->item[1], facilities, sizeof(facilities) / sizeof(facilities[0]),
                  &load->cfg->server.syslog_facility);
}

static bool apply_supervised(struct load *load, const struct words *w)
{
    static const struct choice kinds[] = {
        {"upstart", SUPERVISED_UPSTART},
        {"systemd", SUPERVISED_SYSTEMD},
        {"auto", SUPERVISED_AUTO},
        {"no", SUPERVISED_NO},
    };
    int kind = SUPERVISED_NO;
    if (!one_argument(load, w) || !choose(load, w->item[1], kinds, 4, &kind)) {
        return false;
    }
    load->cfg->server.supervised = (enum config_supervised)kind;
    return true;
}

static bool apply_tls_auth(struct load *load, const struct words *w)
{
    static const struct choice kinds[] = {{"no", CONFIG_TLS_AUTH_NO},
                                          {"yes", CONFIG_TLS_AUTH_YES},
                                          {"optional", CONFIG_TLS_AUTH_OPTIONAL}};
    int kind = CONFIG_TLS_AUTH_YES;
    if (!one_argument(load, w) || !choose(load, w->item[1], kinds, 3, &kind)) {
        return false;
    }
    load->cfg->server.tls.auth_clients = (enum config_tls_auth)kind;
    return true;
}

static bool apply_unixsocketperm(struct load *load, const struct words *w)
{
    if (!one_argument(load, w)) {
        return false;
    }
    const char *text = w->item[1];
    if (*text == '\0' || strspn(text, "01234567") != strlen(text) || strlen(text) > 4) {
        return fail(load->err, "argument couldn't be parsed as an octal number");
    }
    unsigned long mode = strtoul(text, NULL, 8);
    if (mode > 0777) {
        return fail(load->err, "argument must be between 0 and 777 inclusive");
    }
    load->cfg->server.unixsocketperm = (unsigned)mode;
    return true;
}

static bool output_limit(struct load *load, char *const *word)
{
    struct config_server *server = &load->cfg->server;
    struct config_output_limit limit = {0};
    bool normal = strcasecmp(word[0], "normal") == 0, pubsub = strcasecmp(word[0], "pubsub") == 0;

    if (!normal && !pubsub && strcasecmp(word[0], "replica") != 0 &&
        strcasecmp(word[0], "slave") != 0 && strcasecmp(word[0], "primary") != 0) {
        return fail(load->err, "Invalid client class specified in buffer limit configuration.");
    }
    if (!words_memory(word[1], &limit.hard) || !words_memory(word[2], &limit.soft) ||
        !parse_u64(word[3], strlen(word[3]), INT32_MAX, &limit.soft_seconds)) {
        return fail(load->err,
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    }
    if (normal) {
        server->normal_limit = limit;
    } else if (pubsub) {
        server->pubsub_limit = limit;
    }
    return true;
}

static bool apply_output_limit(struct load *load, const struct words *w)
{
    struct words more;
    if (spread(load, w, &more)) {
        bool ok = apply_output_limit(load, &more);
        words_free(&more);
        return ok;
    }
    if (w->count < 5 || (w->count - 1) % 4 != 0) {
        return fail(load->err, "Wrong number of arguments in buffer limit configuration.");
    }
    for (size_t i = 1; i < w->count; i += 4) {
        if (!output_limit(load, w->item + i)) {
            return false;
        }
    }
    return true;
}

static bool apply_rename(struct load *load, const struct words *w)
{
    static const char *const commands[] = {"acl",      "auth",      "client",     "command",
                                           "hello",    "info",      "ping",       "psubscribe",
                                           "publish",  "role",      "sentinel",   "punsubscribe",
                                           "shutdown", "subscribe", "unsubscribe"};
    struct config_server *server = &load->cfg->server;
    bool known = false, taken = false;

    if (w->count != 3) {
        return fail(load->err, "Bad directive or wrong number of arguments");
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        known = known || strcasecmp(w->item[1], commands[i]) == 0;
        taken = taken || strcasecmp(w->item[2], commands[i]) == 0;
    }
    for (size_t i = 0; i < server->rename_count; i++) {
        taken = taken || strcasecmp(server->renames[i].to, w->item[2]) == 0;
    }
    if (!known || rename_find(server->renames, server->rename_count, w->item[1]) != NULL) {
        return fail(load->err, "No such command in rename-command");
    }
    if (taken && w->item[2][0] != '\0') {
        return fail(load->err, "Target command name already exists");
    }
    rename_put(&server->renames, &server->rename_count, w->item[1], w->item[2]);
    return true;
}

static bool apply_pubsub_default(struct load *load, const struct words *w)
{
    static const struct choice kinds[] = {{"allchannels", true}, {"resetchannels", false}};
    int kind = false;
    if (!one_argument(load, w) || !choose(load, w->item[1], kinds, 2, &kind)) {
        return false;
    }
    load->cfg->server.acl_open_channels = kind;
    return true;
}

/* Of a full redis.conf: bytes for data, which we have none of. */
static bool apply_maxmemory(struct load *load, const struct words *w)
{
    if (!one_argument(load, w)) {
        return false;
    }
    config_text_printf(&load->ignored, "%s%s", load->ignored.len > 0 ? ", " : "", w->item[0]);
    return words_memory(w->item[1], &load->cfg->server.maxmemory) ||
           fail(load->err, "argument must be a memory value");
}

/* Bytes, or "5%" of maxmemory. */
static bool apply_maxmemory_clients(struct load *load, const struct words *w)
{
    struct config_server *server = &load->cfg->server;
    uint64_t percent;

    if (!one_argument(load, w)) {
        return false;
    }
    size_t len = strlen(w->item[1]);
    server->maxmemory_percent = 0;
    if (len > 1 && w->item[1][len - 1] == '%') {
        if (!parse_u64(w->item[1], len - 1, 100, &percent)) {
            return fail(load->err, "argument must be a memory or percent value");
        }
        server->maxmemory_percent = (unsigned)percent;
        server->maxmemory_clients = 0;
        return true;
    }
    return words_memory(w->item[1], &server->maxmemory_clients) ||
           fail(load->err, "argument must be a memory or percent value");
}

/* Which user a client's certificate stands for: without it clients would be somebody else. */
static bool apply_certificate_user(struct load *load, const struct words *w)
{
    return (w->count == 2 && strcasecmp(w->item[1], "off") == 0) ||
           fail(load->err, "'%s' is not supported yet", w->item[0]);
}

/* --- the table
 * --------------------------------------------------------------------------------------------- */

#define AT(field) offsetof(struct config_server, field)
#define FLAG(name, field)                                                                          \
    {                                                                                              \
        name, D_BOOL, AT(field), 0, 0, NULL                                                        \
    }
#define NUMBER(name, field, least, most)                                                           \
    {                                                                                              \
        name, D_UNSIGNED, AT(field), least, most, NULL                                             \
    }
#define TEXT(name, field)                                                                          \
    {                                                                                              \
        name, D_TEXT, AT(field), 0, 0, NULL                                                        \
    }
#define SPECIAL(name, apply)                                                                       \
    {                                                                                              \
        name, D_SPECIAL, 0, 0, 0, apply                                                            \
    }

static const struct directive directives[] = {
    {"port", D_PORT, AT(port), 0, 65535, NULL},
    SPECIAL("bind", apply_bind),
    TEXT("bind-source-addr", bind_source_addr),
    FLAG("protected-mode", protected_mode),
    SPECIAL("dir", apply_dir),
    FLAG("daemonize", daemonize),
    TEXT("pidfile", pidfile),
    SPECIAL("logfile", apply_logfile),
    SPECIAL("loglevel", apply_loglevel),
    SPECIAL("log-format", apply_log_format),
    SPECIAL("log-timestamp-format", apply_log_timestamp),
    FLAG("syslog-enabled", syslog_enabled),
    TEXT("syslog-ident", syslog_ident),
    SPECIAL("syslog-facility", apply_syslog_facility),
    SPECIAL("supervised", apply_supervised),
    NUMBER("maxclients", maxclients, 1, UINT32_MAX),
    NUMBER("timeout", timeout, 0, INT32_MAX),
    NUMBER("tcp-keepalive", tcp_keepalive, 0, INT32_MAX),
    NUMBER("tcp-backlog", tcp_backlog, 0, INT32_MAX),
    TEXT("requirepass", requirepass),
    SPECIAL("rename-command", apply_rename),
    SPECIAL("client-output-buffer-limit", apply_output_limit),
    {"client-query-buffer-limit", D_MEMORY, AT(client_query_buffer_limit), 1 << 20, 0, NULL},
    {"proto-max-bulk-len", D_MEMORY, AT(proto_max_bulk_len), 1 << 20, 0, NULL},
    SPECIAL("maxmemory", apply_maxmemory),
    SPECIAL("maxmemory-clients", apply_maxmemory_clients),
    SPECIAL("tls-auth-clients-user", apply_certificate_user),
    TEXT("unixsocket", unixsocket),
    SPECIAL("unixsocketperm", apply_unixsocketperm),
    SPECIAL("user", users_line),
    TEXT("aclfile", aclfile),
    {"acllog-max-len", D_LONG, AT(acllog_max_len), 0, INT64_MAX, NULL},
    SPECIAL("acl-pubsub-default", apply_pubsub_default),
    {"tls-port", D_PORT, AT(tls.port), 0, 65535, NULL},
    FLAG("tls-replication", tls.replication),
    FLAG("tls-cluster", tls.cluster),
    TEXT("tls-cert-file", tls.cert_file),
    TEXT("tls-key-file", tls.key_file),
    TEXT("tls-key-file-pass", tls.key_file_pass),
    TEXT("tls-client-cert-file", tls.client_cert_file),
    TEXT("tls-client-key-file", tls.client_key_file),
    TEXT("tls-client-key-file-pass", tls.client_key_file_pass),
    TEXT("tls-ca-cert-file", tls.ca_cert_file),
    TEXT("tls-ca-cert-dir", tls.ca_cert_dir),
    SPECIAL("tls-auth-clients", apply_tls_auth),
    TEXT("tls-protocols", tls.protocols),
    TEXT("tls-ciphers", tls.ciphers),
    TEXT("tls-ciphersuites", tls.ciphersuites),
    TEXT("tls-dh-params-file", tls.dh_params_file),
    FLAG("tls-prefer-server-ciphers", tls.prefer_server_ciphers),
    FLAG("tls-session-caching", tls.session_caching),
    NUMBER("tls-session-cache-size", tls.session_cache_size, 0, INT32_MAX),
    NUMBER("tls-session-cache-timeout", tls.session_cache_timeout, 0, INT32_MAX),
};

_Static_assert(sizeof(int) == sizeof(unsigned), "tcp-backlog is stored as an unsigned");

bool directive_many(const char *name)
{
    static const char *const many[] = {"rename-command", "user",       "client-output-buffer-limit",
                                       "include",        "loadmodule", "save"};
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        if (strcmp(name, many[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool directive_apply(struct load *load, const struct words *w)
{
    const char *name = w->item[0];
    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        const struct directive *d = &directives[i];
        if (strcmp(d->name, name) != 0) {
            continue;
        }
        if (d->type == D_SPECIAL) {
            return d->apply(load, w);
        }
        return one_argument(load, w) && value_apply(load, d, w->item[1]);
    }
    bool quiet;
    if (!known_directive(name, &quiet)) {
        return fail(load->err, "Bad directive or wrong number of arguments");
    }
    if (!quiet) {
        config_text_printf(&load->ignored, "%s%s", load->ignored.len > 0 ? ", " : "", name);
    }
    return true;
}

/* A pid file that cannot be written is an error too. Leaves nothing behind. */
static bool prove_pidfile(struct load *load)
{
    const char *path = load->cfg->server.pidfile;
    if (load->inert || path == NULL) {
        return true;
    }
    bool there = access(path, F_OK) == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return fatal(load->err, "Can't open the pid file");
    }
    close(fd);
    if (!there) {
        unlink(path);
    }
    return true;
}

bool directive_finish(struct load *load)
{
    struct config *cfg = load->cfg;
    struct config_server *server = &cfg->server;

    if (server->maxmemory_percent > 0) {
        server->maxmemory_clients = server->maxmemory / 100 * server->maxmemory_percent;
    }
    if (load->ignored.len > 0) {
        config_note(cfg, "These directives mean nothing to a sentinel and are ignored: %s",
                    load->ignored.data);
    }
    return users_finish(load) && prove_pidfile(load);
}

void directive_defaults(struct config_server *server)
{
    *server = (struct config_server){
        .port = 26379,
        .loglevel = LOGLEVEL_NOTICE,
        .syslog_facility = LOG_LOCAL0,
        .maxclients = LIMIT_CLIENTS,
        .tcp_keepalive = 300,
        .tcp_backlog = 511,
        .acllog_max_len = 128,
        .tls = {.auth_clients = CONFIG_TLS_AUTH_YES,
                .session_caching = true,
                .session_cache_size = 20480,
                .session_cache_timeout = 300},
        .pubsub_limit = {32u << 20, 8u << 20, 60},
        .client_query_buffer_limit = 1u << 30,
        .proto_max_bulk_len = 512u << 20,
    };
    config_text_set(&server->syslog_ident, "redis");
}

void directive_free(struct config_server *server)
{
    binds_free(server);
    while (server->rename_count > 0) {
        rename_drop(&server->renames, &server->rename_count, server->renames[0].from);
    }
    free(server->renames);
    const struct config_tls *tls = &server->tls;
    char *texts[] = {server->bind_source_addr,
                     server->dir,
                     server->pidfile,
                     server->logfile,
                     server->syslog_ident,
                     server->requirepass,
                     server->unixsocket,
                     tls->cert_file,
                     tls->key_file,
                     tls->key_file_pass,
                     tls->client_cert_file,
                     tls->client_key_file,
                     tls->client_key_file_pass,
                     tls->ca_cert_file,
                     tls->ca_cert_dir,
                     tls->protocols,
                     tls->ciphers,
                     tls->ciphersuites,
                     tls->dh_params_file,
                     server->aclfile};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(texts[i]);
    }
}
