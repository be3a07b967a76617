/* What the threads of one vedette share: options, the post office, the directory, counters.
 *
 * Thread indices: shards are 0 .. shards-1, then the elector, then main.
 */
#pragma once

#include "io/mailbox.h"
#include "io/resolver.h"
#include "io/ring.h"
#include "io/tls.h"
#include "rules/event.h"
#include "run/directory.h"

#include <pthread.h>
#include <stdatomic.h>

/* What may change while running: SENTINEL CONFIG SET, SENTINEL DEBUG, SIMULATE-FAILURE. Every
 * thread has a copy of its own; main owns the truth and mails a new copy to each (MAIL_TUNABLES).
 */
struct tunables {
    struct periods periods;
    char announce_ip[LIMIT_HOST + 1]; /* as configured; empty: the link's local address */
    struct address announce;          /* the same; neither ip nor host: none */
    uint32_t announce_port;           /* 0: port */
    bool resolve_hostnames, announce_hostnames;
    char sentinel_user[256], sentinel_pass[512];
    enum event_level loglevel; /* lines below it are not logged */
    bool log_nothing;          /* loglevel nothing */
    bool crash_after_election, crash_after_promotion;
};

/* client-output-buffer-limit of one class: unsent bytes at which a client is closed at once, or
 * after so many seconds above. 0: none. */
struct output_limit {
    uint64_t hard, soft;
    uint32_t soft_seconds;
};

/* Fixed after start. */
struct process_options {
    unsigned shards;
    uint16_t port, tls_port;       /* 0: does not listen there */
    bool tls_replication;          /* outgoing links speak TLS */
    char bind[16][LIMIT_HOST + 1]; /* listeners; none: all addresses */
    bool bind_optional[16];        /* written with a leading '-' */
    unsigned bind_count;
    struct address bind_source; /* bind-source-addr of outgoing links; port 0; ip empty: none */
    char requirepass[512];      /* empty: none */
    bool protected_mode;
    bool deny_scripts_reconfig;
    uint32_t maxclients;     /* clients, all shards together; links_normal is for the links */
    uint32_t links_direct;   /* direct descriptors of each shard's links (ring_options.direct) */
    int unix_fd;             /* listening unixsocket, the first shard's; -1: none */
    const char *unix_socket; /* its path; NULL: none */
    struct output_limit normal_output, pubsub_output;
    uint64_t clients_memory; /* maxmemory-clients: bytes of all clients together; 0: no limit */
    uint32_t timeout, tcp_keepalive, tcp_backlog; /* seconds, seconds, entries */
    const char *config_file;                      /* absolute */
    const char *executable;
    const char *supervised; /* who supervises us, for INFO: "no", "systemd", "upstart" */
};

struct acl_users;

/* Counters any thread bumps (relaxed) and INFO sums: only for what happens rarely; per-message
 * counters live in the shards. */
struct process_counters {
    atomic_ullong connections_received, connections_refused, commands, protocol_errors;
    atomic_ullong hellos_ignored, hostile_ignored, events_published, events_dropped;
    atomic_ullong output_closed, net_input, net_output, votes_impatient;
    atomic_ullong scripts_dropped; /* by a shard that main is too far behind */
    atomic_ullong denied_auth, denied_command, denied_channel; /* what ACL LOG is about */
    atomic_ullong denials_unlogged;                            /* LIMIT_ACL_MAIL was reached */
    atomic_uint denials_mailed;                                /* on their way to main */
    atomic_uint clients;
    atomic_ullong evicted; /* clients closed for clients_memory */
    atomic_uint links;     /* open or opening */
};

struct process {
    struct process_options options;
    struct tls *tls; /* NULL: none is configured. Reloaded by main, used by all */
    struct runid myid;
    int pid;
    ms_t started; /* clock_now() */
    int64_t started_wall_ms;
    struct ring_budget links_normal; /* links with a normal descriptor, all shards together */
    struct post *post;
    struct directory *directory;
    struct resolver *resolver;
    struct process_counters counters;

    _Atomic uint64_t current_epoch; /* durable; written by the elector */
    atomic_bool journal_refused;    /* by the elector: nothing can be made durable */
    atomic_bool tilt;               /* set by the first thread that notices (design.md §4.12) */
    _Atomic ms_t tilt_since;
    _Atomic ms_t twin_seen; /* last hello with our runid from elsewhere, 0: none */
    atomic_ullong tilt_total_ms;
    atomic_uint tilts;  /* times TILT was entered */
    atomic_uint urgent; /* groups of all shards that cannot wait for a turn: their votes come
                           through any shard */
    /* Where the twin said it listens; under twin_lock. */
    pthread_mutex_t twin_lock;
    struct address twin_address;

    /* Local addresses our hellos carried: a hello with our id from elsewhere is a twin's
     * (design.md §4.11). Under twin_lock; own_count only grows. */
    struct address own[64];
    atomic_uint own_count;
    /* By main, for INFO. */
    atomic_uint scripts_running, scripts_queued;
    atomic_ullong scripts_pushed_out; /* of a full queue */

    atomic_uint peers; /* links to other sentinels; LIMIT_PEERS at most where hellos add them */

    struct shard **shard; /* [shards] */
    struct elector *elector;
    struct acl_users *users;                       /* at start; main's, only admin/ looks inside */
    const struct admin_ops *admin;                 /* given by main: run/ never includes admin/ */
    _Atomic uint64_t clients_memory[LIMIT_SHARDS]; /* bytes of the shard's; kept only for a limit */
    atomic_bool subscribed[LIMIT_SHARDS]; /* a client of this shard is subscribed to something */
};

/* An address our hellos carry: noted before one is rendered or heard, asked when one has our id
 * (design.md §4.11). Thread: any. */
void process_note_own(struct process *p, const struct address *addr);
/* True also once there is no room to note more: a sentinel that cannot tell its own hellos must not
 * silence itself. */
bool process_is_own(const struct process *p, const struct address *addr);

/* A thread was late by more than tilt-trigger: the whole process enters TILT, or stays in it for
 * another tilt-period (design.md §4.12). True for the one call that began it: its thread emits
 * +tilt. Thread: any. */
bool process_tilt(struct process *p, ms_t now);

/* The port that other sentinels and clients find in hellos (protocol.md §4). */
static inline uint16_t process_announced_port(const struct process *p)
{
    const struct process_options *o = &p->options;
    return o->tls_replication && o->tls_port != 0 ? o->tls_port : o->port;
}
/* As INFO and the log show it: the plain one where there is one. */
static inline uint16_t process_shown_port(const struct process *p)
{
    return p->options.port != 0 ? p->options.port : p->options.tls_port;
}

static inline unsigned process_elector(const struct process *p)
{
    return p->options.shards;
}
static inline unsigned process_main(const struct process *p)
{
    return p->options.shards + 1;
}
static inline unsigned process_threads(const struct process *p)
{
    return p->options.shards + 2;
}
