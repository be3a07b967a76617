/* The model of everything durable, and the file it comes from: the user's lines, the server's
 * options, the global sentinel options, and every group with its settings, addresses, epochs and
 * votes (protocol.md §10, design.md §5).
 *
 * config_load() fills it from sentinel.conf and the command line, config_apply_line() brings it up
 * to date with the journal's lines (at start: replay; later: what the elector made durable), and
 * config_render() writes sentinel.conf from it.
 *
 * Thread: main's only. Build the groups of the shards from it before they start.
 */
#pragma once

#include "acl/acl.h"
#include "rules/group.h"
#include "rules/types.h"

/* --- errors --------------------------------------------------------------------------------- */
enum config_error_kind {
    CONFIG_ERROR_LINE,  /* a line is wrong */
    CONFIG_ERROR_FATAL, /* no line is to blame: `reason` says all (a log file that cannot be
                           written) */
    CONFIG_ERROR_OPEN,  /* a file cannot be read: `file` and `reason` (strerror) */
};

struct config_error {
    enum config_error_kind kind;
    bool included;    /* `file` is not sentinel.conf itself but included by it */
    unsigned line;    /* from 1; of the file named; command-line overrides count on after its end */
    char file[1024];  /* as opened; the journal's callers overwrite it */
    char text[512];   /* the line (cut where longer), without passwords cut out: as stock */
    char reason[512]; /* stock's words where stock has the error */
};

/* Writes what goes to stderr, as stock: the four-line block, led by an empty line, for a wrong
 * line; one line for a file that cannot be opened. version: "7.0.15" or whatever INFO reports as
 * redis_version. NUL-terminated, cut at size. Returns the length. */
size_t config_error_format(const struct config_error *err, const char *version, char *out,
                           size_t size);

/* --- the server's options ----------------------------------------------------------------------
 */
enum config_loglevel {
    LOGLEVEL_DEBUG,
    LOGLEVEL_VERBOSE,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARNING,
    LOGLEVEL_NOTHING,
};
const char *config_loglevel_name(enum config_loglevel level);              /* "debug" … */
bool config_loglevel_parse(const char *name, enum config_loglevel *level); /* any case */

enum config_supervised { SUPERVISED_NO, SUPERVISED_SYSTEMD, SUPERVISED_UPSTART, SUPERVISED_AUTO };

struct config_output_limit { /* client-output-buffer-limit; 0: none */
    uint64_t hard, soft;     /* bytes */
    uint64_t soft_seconds;
};

struct config_rename {
    char *from, *to; /* to: "" disables the command */
};

struct config_bind {
    char *address; /* "*" , "::*", an address or a name */
    bool optional; /* was written with a leading '-': no error when it is absent */
};

enum config_tls_auth { CONFIG_TLS_AUTH_NO, CONFIG_TLS_AUTH_YES, CONFIG_TLS_AUTH_OPTIONAL };

/* tls-…: all texts are owned; NULL where the option is not set. The files are not looked at here.
 */
struct config_tls {
    uint16_t port;    /* 0: none */
    bool replication; /* outgoing links speak TLS */
    bool cluster;     /* means nothing to a sentinel */
    char *cert_file, *key_file, *key_file_pass;
    char *client_cert_file, *client_key_file, *client_key_file_pass;
    char *ca_cert_file, *ca_cert_dir;
    enum config_tls_auth auth_clients; /* default yes */
    char *protocols, *ciphers, *ciphersuites, *dh_params_file;
    bool prefer_server_ciphers;
    bool session_caching;                               /* default yes */
    unsigned session_cache_size, session_cache_timeout; /* 20480 sessions, 300 seconds */
};

/* All texts are owned; NULL where the option is not set. */
struct config_server {
    uint16_t port;             /* 26379; 0: no TCP port */
    struct config_bind *binds; /* bind; none: every address */
    size_t bind_count;
    bool bind_nothing;      /* bind "": no TCP port is listened on */
    char *bind_source_addr; /* of outgoing links */
    bool protected_mode;    /* default no (protocol.md §9) */
    char *dir;              /* as written; config_load() has already changed there */
    bool daemonize;
    char *pidfile;
    char *logfile; /* NULL or "": stdout. Proved writable by config_load(). */
    enum config_loglevel loglevel;
    /* Valkey's, as written in any case; only ever written by the user. */
    enum config_log_format { CONFIG_LOG_LEGACY, CONFIG_LOG_LOGFMT } log_format;
    enum config_log_timestamp {
        CONFIG_TIMESTAMP_LEGACY,
        CONFIG_TIMESTAMP_ISO8601,
        CONFIG_TIMESTAMP_MILLISECONDS,
    } log_timestamp;
    bool syslog_enabled;
    char *syslog_ident;
    int syslog_facility; /* LOG_LOCAL0 … LOG_LOCAL7, LOG_USER */
    enum config_supervised supervised;
    unsigned maxclients;
    unsigned timeout;       /* seconds of idleness, 0: never */
    unsigned tcp_keepalive; /* seconds, 0: off */
    int tcp_backlog;
    char *requirepass;
    char *aclfile;                 /* NULL: users are in sentinel.conf */
    uint64_t acllog_max_len;       /* entries of ACL LOG */
    bool acl_open_channels;        /* acl-pubsub-default allchannels */
    struct config_rename *renames; /* rename-command, top level: commands of our own port */
    size_t rename_count;
    struct config_output_limit normal_limit, pubsub_limit;
    uint64_t client_query_buffer_limit, proto_max_bulk_len; /* bytes */
    struct config_tls tls;
    uint64_t maxmemory;         /* only what a per cent below is of */
    uint64_t maxmemory_clients; /* bytes of all clients together, 0: no limit */
    unsigned maxmemory_percent; /* maxmemory-clients as written, while it is read; 0: in bytes */
    char *unixsocket;
    unsigned unixsocketperm; /* 0: as umask leaves it */
};

/* --- sentinel options --------------------------------------------------------------------------
 */
struct config_peer { /* a known sentinel of a group */
    struct address addr;
    struct runid runid;
};

struct config_group {
    struct address addr; /* of the master; of the promoted replica once that is durable */
    struct group_settings set;
    char *auth_user, *auth_pass; /* NULL: none */
    char *notification_script, *client_reconfig_script;
    struct config_rename *renames; /* sentinel rename-command */
    size_t rename_count;
    uint64_t config_epoch;
    uint64_t leader_epoch;
    bool has_leader_epoch; /* saved; without: starts at current_epoch (design.md §4.1) */
    struct runid leader;   /* whom leader_epoch went to; empty: not known */
    struct address *replicas;
    size_t replica_count, replica_cap;
    struct config_peer *sentinels;
    size_t sentinel_count, sentinel_cap;
    unsigned mark; /* the renderer's */
    char name[];   /* at most LIMIT_NAME bytes; as long as it needs to be: there are thousands */
};

struct config {
    char *path; /* of sentinel.conf, absolute (made so before `dir` took effect), links not resolved
                 */
    char *cwd;  /* working directory after `dir`: the journal's fallback directory */
    struct config_server server;

    struct runid myid; /* empty: none saved; make one, apply "sentinel myid …" and journal it */
    uint64_t current_epoch; /* at least every config- and leader-epoch */
    bool has_state;         /* a current-epoch was saved: not a fresh start (design.md §4.1) */
    char *announce_ip;      /* NULL: none. An address, or a name when resolve-hostnames */
    uint16_t announce_port; /* 0: none */
    bool resolve_hostnames, announce_hostnames, deny_scripts_reconfig;
    char *sentinel_user, *sentinel_pass; /* NULL: none */

    struct config_group **groups; /* owned, in the order they came */
    size_t group_count, group_cap;

    /* Who may do what. Those of `user` lines and requirepass; with an aclfile config_set_users()
     * brings those of it. */
    struct acl_users *users;
    struct config_user *user_lines; /* config's own: what the files said */
    size_t user_count, user_cap;
    bool users_changed; /* since the file was read */

    char **notes; /* one log line each: what config_load() accepted and ignores, or wants said */
    size_t note_count;

    struct config_layout *layout; /* the user's lines: config's own */
};

/* Reads the file and then the overrides ("--directive", "value", …; "--sentinel"
 * alone is skipped). Changes the
 * working directory where `dir` says so, at its place among the lines as stock does; include and
 * logfile paths are relative to what is then the working directory. Host names in addresses,
 * taken when resolve-hostnames is on, stay unresolved (no ip): look them up before use.
 * Returns NULL with *err filled in when anything is wrong. Give back with config_free(). */
struct config *config_load(const char *path, int argc, char **overrides, struct config_error *err);
/* The same from memory: no file is read for the main text (path is only noted, and may be NULL).
 * For tests and fuzzing; `dir` and `include` still act unless inert. */
struct config *config_load_text(const char *path, const char *text, size_t len, int argc,
                                char **overrides, bool inert, struct config_error *err);
void config_free(struct config *cfg); /* NULL is allowed */

/* The value of the last `dir` line of a file that may be torn, or of a "--dir" override: where to
 * look for the file that restores it (journal_restore). Relative as written. Returns false when
 * there is none. Never fails on bad lines. */
bool config_peek_dir(const char *path, int argc, char **overrides, char *out, size_t size);

/* --- users --------------------------------------------------------------------------------------
 */
/* Replaces the users; takes the reference. What is rendered from now on holds them. */
void config_set_users(struct config *cfg, struct acl_users *users);
/* The users of server.aclfile: a new set, or NULL with all errors, each with its line, in *errors
 * (malloc'd). cfg's own users are not touched. Where the file has no "default", requirepass counts.
 */
struct acl_users *config_read_aclfile(const struct config *cfg, char **errors);
/* Writes the users to server.aclfile: all of it or nothing. False with errno. */
bool config_write_aclfile(const struct config *cfg);

/* --- groups -------------------------------------------------------------------------------------
 */
/* By name, O(1). NULL: none. */
struct config_group *config_find(const struct config *cfg, const char *name, size_t len);

/* --- the journal's lines ------------------------------------------------------------------------
 */
/* Applies one line, without its newline, in the grammar of rules/record.h and of sentinel.conf:
 *   sentinel current-epoch|leader-epoch (4 or 5 words)|config-epoch (4 or 6 words)|known-replica|
 *     known-sentinel|monitor|myid and every option of protocol.md §10,
 *   sentinel forget-replica|forget-sentinel|reset|remove|quorum <name> <n>|forget-all (journal
 * only), loglevel <level>, user <name> <rules>, forget-users (journal only); empty lines and lines
 * that start with '#' do nothing. `monitor` of a group that exists sets its quorum only. An empty
 * value ("") unsets a text option. A rename-command to the same name unsets it. Script options are
 * not checked against deny-scripts-reconfig. Lines for a group that does not exist are ignored (its
 * REMOVE follows). Epochs only rise; config-epoch with an older epoch than the group's does nothing
 * at all. Replaying a whole sequence over any later state of it ends in the same state; only an
 * address that was forgotten (RESET, forget-replica) and then promoted and deposed, all within the
 * sequence, may be missing among the replicas. Returns false with *err (text, reason; line 0) when
 * the line is malformed: nothing was changed.
 */
bool config_apply_line(struct config *cfg, const char *line, size_t len, struct config_error *err);
/* For a journal whose sentinel.conf was changed by somebody else (design.md §5): takes only a
 * higher current-epoch, higher leader-epochs with their vote, and a master's address together with
 * a higher config-epoch, for groups that exist; ignores every other well-formed line. */
bool config_apply_maxima(struct config *cfg, const char *line, size_t len,
                         struct config_error *err);

/* --- rendering ----------------------------------------------------------------------------------
 */
/* A growing text. Free .data with free(). */
struct config_text {
    char *data; /* NUL-terminated once anything was written */
    size_t len, cap;
};

/* The whole new text of sentinel.conf, appended to *out: the user's lines, comments and order kept,
 * what changed in place, what is new under "# Generated by CONFIG REWRITE", what is gone dropped.
 * Stock starts from it; whom a vote went to is kept in a comment ("# vedette: leader …"). Costs
 * time in proportion to the text, once; does not change cfg but for marks. */
void config_render(struct config *cfg, struct config_text *out);
/* The state only, as lines for config_apply_line(), first "sentinel forget-all": a snapshot for a
 * new journal (journal_restart). Applied to any config loaded from the same file it gives *cfg's
 * sentinel state. */
void config_render_state(const struct config *cfg, struct config_text *out);
