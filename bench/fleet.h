/* The simulated fleet: thousands of Redis 7 masters with their replicas on 127.0.0.0/8, as heavy
 * for a sentinel as the real ones (design.md §8). Contracts between the files of bench/fleet*.c.
 *
 * Processes: one parent (options, control port) and `workers` children, each a single thread with
 * one epoll loop and one listening socket. A group (a master and its replicas) lives in one worker;
 * group g belongs to worker g % workers. The parent and the children share `struct shared` only:
 * an instance's published state is written by its worker and read by the parent, its wanted mode
 * is written by the parent; a byte on the worker's socket pair says "look at the wanted modes".
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_INSTANCES_MAX 1000000
#define FLEET_WORKERS_MAX   64
#define FLEET_ARGUMENTS_MAX 64
#define FLEET_REQUEST_MAX   (64 * 1024) /* bytes of one request; more: protocol error and close */
#define FLEET_QUEUED_MAX    64          /* commands of one transaction; more: error */
#define FLEET_RUN_ID        40
#define FLEET_INFO_MAX      (32 * 1024)
#define FLEET_NAME_MAX      48
#define FLEET_FINDINGS_MAX  64 /* about hellos that are kept as texts; all are counted */

enum {
    MASTER_NONE = -1,     /* is a master itself */
    MASTER_ELSEWHERE = -2 /* follows an address outside the fleet: its link never comes up */
};

enum instance_mode {
    MODE_ALIVE,
    MODE_LOADING, /* answers -LOADING, as after a restart with a large data set */
    MODE_HUNG,    /* connections stay and are accepted, nothing is read (as after SIGSTOP) */
    MODE_KILLED   /* every connection reset, new ones accepted and reset at once */
};

struct options {
    uint32_t masters, replicas, workers;
    uint16_t port, control_port;
    const char *prefix, *password, *conf_lines;
    uint32_t quorum;
    int64_t down_after, failover_timeout;
    int64_t sync_delay;  /* ms from SLAVEOF to link up */
    int64_t retry_delay; /* ms from a master's return until its replicas reach it */
    int64_t offset_rate; /* bytes of replication stream a second */
    uint32_t parallel_syncs;
    bool serve_stale; /* false: a replica without its master answers -MASTERDOWN to PING */
    bool die_with_parent;
    uint64_t seed;
};

/* What a worker publishes of an instance; `wanted` alone is written by the parent. */
struct published {
    _Atomic int wanted;     /* enum instance_mode */
    _Atomic int mode;       /* enum instance_mode */
    _Atomic int32_t master; /* index, or MASTER_NONE, MASTER_ELSEWHERE */
    _Atomic bool link_up;   /* as last computed; exact when the instance was last asked */
};

struct group_record {
    _Atomic int64_t killed_at;   /* ms, CLOCK_MONOTONIC; 0: its master was never killed */
    _Atomic int64_t promoted_at; /* first SLAVEOF NO ONE executed after killed_at; 0: none */
    _Atomic int32_t promoted;    /* the instance of the last promotion, or -1 */
    _Atomic uint32_t promotions; /* in the life of the fleet */
};

struct worker_counters {
    _Atomic uint64_t commands, accepted, reset, delivered, errors, accept_failures;
    _Atomic uint64_t connections; /* now */
};

/* What was wrong with the sentinels' hellos, written by the workers. */
struct hello_findings {
    _Atomic uint64_t seen, conflicts, backwards, strays;
    _Atomic uint32_t count;
    struct {
        _Atomic bool ready;
        char text[256];
    } texts[FLEET_FINDINGS_MAX];
};

struct shared {
    struct hello_findings hellos;
    struct worker_counters counters[FLEET_WORKERS_MAX];
    struct group_record *groups;
    struct published *instances;
};

struct subscription {
    struct subscription *next;
    bool pattern;
    size_t length;
    char text[];
};

struct buffer {
    char *data;
    size_t length, capacity;
};

struct connection {
    int fd; /* -1 once closed; the memory lives until the end of the turn */
    uint32_t instance;
    uint64_t id;
    struct connection *previous, *next; /* of its instance */
    struct connection *next_dirty, *next_dead;
    bool dirty, authenticated, close_after_reply, in_transaction, transaction_failed, awaits_write;
    char name[FLEET_NAME_MAX];
    struct buffer input, output, queued;
    size_t sent; /* bytes of output that left */
    uint32_t queued_count, channels, patterns;
    int64_t hello_current, hello_config; /* epochs of the last hello published here */
    struct subscription *subscriptions;
};

/* A worker's own view of an instance. */
struct instance {
    struct connection *connections;
    uint32_t incarnation, identity; /* restarts; times it became a master */
    in_addr_t master_ip;            /* network order, with master_port: what SLAVEOF said */
    uint16_t master_port;
    int32_t saved_master; /* what CONFIG REWRITE saved: the role after a revival */
    in_addr_t saved_ip;
    uint16_t saved_port;
    int64_t link_ready_at; /* the link to the master is up from here on, while that lives */
    int64_t link_down_since;
    int64_t offset, offset_at; /* a master's offset at that time; a replica's when its link broke */
    int64_t started_at;
    uint64_t commands;
};

struct worker {
    const struct options *options;
    struct shared *shared;
    struct worker_counters *counters;
    struct instance *instances; /* all of the fleet; only this worker's groups are touched */
    uint32_t number;
    int epoll, listener, control, reserve;
    int64_t now; /* ms, read once per turn */
    uint64_t next_id;
    struct connection *dirty, *dead;
    struct hello_book *hello_books; /* of every group; fleet_hello.c */
};

struct slice {
    const char *data;
    size_t length;
};

struct request {
    size_t count;
    struct slice arguments[FLEET_ARGUMENTS_MAX];
};

/* --- fleet.c: addresses and time (any process) --- */
int64_t fleet_now(void);
uint32_t fleet_group_size(const struct options *options);
uint32_t fleet_instance_count(const struct options *options);
/* 127.a.b.c of an instance, network order; never 127.0.x.x. */
in_addr_t fleet_address(uint32_t instance);
uint16_t fleet_port(const struct options *options, uint32_t instance);
/* The instance at that address, or -1. */
int32_t fleet_find(const struct options *options, in_addr_t ip, uint16_t port);
/* Writes "prefix0001" of a group. */
void fleet_group_name(const struct options *options, uint32_t group, char *out, size_t size);
/* Writes "127.1.0.1:21000". */
void fleet_address_text(const struct options *options, uint32_t instance, char *out, size_t size);

/* --- fleet_worker.c --- */
/* The loop of one worker process; returns its exit code when the control socket closes. */
int worker_run(struct worker *worker);
/* Appends to what leaves at the end of the turn. */
void connection_write(struct worker *worker, struct connection *connection, const void *data,
                      size_t length);
/* Closes now (`reset`: with RST); the memory is freed at the end of the turn. */
void connection_close(struct worker *worker, struct connection *connection, bool reset);
void buffer_append(struct buffer *buffer, const void *data, size_t length);

/* --- fleet_request.c --- */
enum parse_result { PARSE_MORE, PARSE_REQUEST, PARSE_ERROR };
/* Takes one request (RESP array or inline) off the front of data; *used says how many bytes. The
 * slices point into data. A request of no arguments is to be skipped. */
enum parse_result request_parse(const char *data, size_t length, struct request *out, size_t *used);
bool slice_is(struct slice slice, const char *word); /* case does not matter */
bool slice_number(struct slice slice, int64_t *out);
bool glob_match(struct slice pattern, struct slice text);

/* --- fleet_command.c --- */
/* Executes one request; raw is its bytes, kept when it is queued in a transaction. */
void command_execute(struct worker *worker, struct connection *connection,
                     const struct request *request, struct slice raw);

/* --- fleet_instance.c: roles, links, offsets --- */
void instance_setup(struct worker *worker, uint32_t index);
bool instance_is_master(const struct worker *worker, uint32_t index);
bool instance_link_up(struct worker *worker, uint32_t index);
int64_t instance_offset(struct worker *worker, uint32_t index);
/* SLAVEOF ip port, at once; the link comes up sync_delay later. */
void instance_follow(struct worker *worker, uint32_t index, in_addr_t ip, uint16_t port);
/* SLAVEOF NO ONE; records the time when it changed anything. */
void instance_promote(struct worker *worker, uint32_t index);
/* CONFIG REWRITE: the role now is the role after the next start. */
void instance_save(struct worker *worker, uint32_t index);
/* Applies a mode: kill resets every connection, revive starts anew with another run id. */
void instance_set_mode(struct worker *worker, uint32_t index, enum instance_mode mode);
void instance_run_id(const struct worker *worker, uint32_t index, char out[FLEET_RUN_ID + 1]);
void instance_replication_id(const struct worker *worker, uint32_t index, uint32_t identity,
                             char out[FLEET_RUN_ID + 1]);

/* --- fleet_hello.c --- */
/* A message published on the hello channel through this connection: notes what no sound set of
 * sentinels says. */
void hello_notice(struct worker *worker, struct connection *connection, struct slice message);

/* --- fleet_info.c --- */
/* The INFO text of the sections asked (none: all that Redis gives); returns its length. */
size_t info_render(struct worker *worker, uint32_t index, const struct slice *sections,
                   size_t count, char *out, size_t size);

/* --- fleet_control.c --- */
struct control {
    const struct options *options;
    struct shared *shared;
    const int *workers; /* socket pairs */
    int listener, signals;
};
/* Serves the control port until a signal or `shutdown`; 0, or 1 when a worker died. */
int control_run(struct control *control);
void control_help(void);
/* Writes the sentinel.conf lines of the fleet. */
bool control_conf_lines(const struct options *options, const char *path);
