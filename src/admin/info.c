/* INFO (protocol.md §9): stock's sections, and one of vedette's own. */
#include "admin/info.h"
#include "admin/async.h"
#include "rules/host.h"
#include "version.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

enum info_section {
    INFO_SERVER = 1 << 0,
    INFO_CLIENTS = 1 << 1,
    INFO_STATS = 1 << 2,
    INFO_CPU = 1 << 3,
    INFO_SENTINEL = 1 << 4,
    INFO_VEDETTE = 1 << 5,
};
#define INFO_DEFAULT (INFO_SERVER | INFO_CLIENTS | INFO_STATS | INFO_CPU | INFO_SENTINEL)
#define INFO_ALL     (INFO_DEFAULT | INFO_VEDETTE)
/* Sections with figures that each shard has its part of. */
#define INFO_SUMMED (INFO_CLIENTS | INFO_STATS | INFO_VEDETTE)

struct info_sums {
    struct shard_counters shard;
    uint64_t channels, patterns, pubsub_clients, tracking_clients, errors;
    uint64_t commands_rate, input_rate, output_rate;
};

struct info_request {
    struct admin_request r;
    unsigned sections;
    struct info_sums sums;
};

/* --- sections -------------------------------------------------------------------------------- */

static uint64_t count_of(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void put_count(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "%s:%" PRIu64 "\r\n", name, value);
}

static void server_section(const struct process *p, ms_t now, struct buffer *out)
{
    struct utsname os;
    struct timespec wall;
    ms_t uptime = (now - p->started) / 1000;

    if (uname(&os) != 0) {
        memset(&os, 0, sizeof os);
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    buffer_printf(out, "# Server\r\nredis_version:%s\r\nvedette_version:%s\r\n",
                  VEDETTE_REDIS_VERSION, VEDETTE_VERSION);
    buffer_printf(out, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\n"
                       "redis_mode:sentinel\r\n");
    buffer_printf(out, "os:%s %s %s\r\narch_bits:%zu\r\n", os.sysname, os.release, os.machine,
                  8 * sizeof(void *));
    buffer_printf(out,
                  "monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:%s\r\n"
                  "atomicvar_api:c11-builtin\r\n",
                  ring_chosen());
#if defined(__GNUC__) && !defined(__clang__)
    buffer_printf(out, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    buffer_printf(out, "gcc_version:0.0.0\r\n");
#endif
    buffer_printf(out, "process_id:%d\r\nprocess_supervised:%s\r\nrun_id:%s\r\ntcp_port:%u\r\n",
                  p->pid, p->options.supervised ? p->options.supervised : "no", p->myid.hex,
                  (unsigned)process_shown_port(p));
    put_count(out, "server_time_usec",
              (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000);
    put_count(out, "uptime_in_seconds", (uint64_t)uptime);
    put_count(out, "uptime_in_days", (uint64_t)uptime / 86400);
    buffer_printf(out, "hz:10\r\nconfigured_hz:10\r\n");
    put_count(out, "lru_clock", (uint64_t)wall.tv_sec & 0xffffff);
    buffer_printf(out, "executable:%s\r\nconfig_file:%s\r\nio_threads_active:0\r\n",
                  p->options.executable ? p->options.executable : "",
                  p->options.config_file ? p->options.config_file : "");
}

/* Blank-separated fields that stock lists and a sentinel has none of: dashboards look for some. */
static void put_zeros(struct buffer *out, const char *names)
{
    while (*names != '\0') {
        int len = (int)strcspn(names, " ");
        buffer_printf(out, "%.*s:0\r\n", len, names);
        names += len;
        names += strspn(names, " ");
    }
}

static void clients_section(const struct process *p, const struct info_sums *sums,
                            struct buffer *out)
{
    buffer_printf(out, "# Clients\r\n");
    put_count(out, "connected_clients",
              atomic_load_explicit(&p->counters.clients, memory_order_relaxed));
    put_count(out, "cluster_connections", 0);
    put_count(out, "maxclients", p->options.maxclients);
    put_count(out, "client_recent_max_input_buffer", 0);
    put_count(out, "client_recent_max_output_buffer", 0);
    put_count(out, "blocked_clients", 0);
    put_count(out, "tracking_clients", sums->tracking_clients);
    put_count(out, "pubsub_clients", sums->pubsub_clients);
    put_zeros(out, "watching_clients clients_in_timeout_table total_watched_keys "
                   "total_blocking_keys total_blocking_keys_on_nokey");
}

static void put_rate(struct buffer *out, const char *name, uint64_t bytes)
{
    buffer_printf(out, "%s:%.2f\r\n", name, (double)bytes / 1024);
}

/* In stock's order; ours behind. */
static void stats_section(const struct process *p, const struct info_sums *sums, struct buffer *out)
{
    const struct process_counters *c = &p->counters;

    buffer_printf(out, "# Stats\r\n");
    put_count(out, "total_connections_received", count_of(&c->connections_received));
    put_count(out, "total_commands_processed", count_of(&c->commands));
    put_count(out, "instantaneous_ops_per_sec", sums->commands_rate);
    put_count(out, "total_net_input_bytes", count_of(&c->net_input));
    put_count(out, "total_net_output_bytes", count_of(&c->net_output));
    put_zeros(out, "total_net_repl_input_bytes total_net_repl_output_bytes");
    put_rate(out, "instantaneous_input_kbps", sums->input_rate);
    put_rate(out, "instantaneous_output_kbps", sums->output_rate);
    put_rate(out, "instantaneous_input_repl_kbps", 0);
    put_rate(out, "instantaneous_output_repl_kbps", 0);
    put_count(out, "rejected_connections", count_of(&c->connections_refused));
    put_zeros(out, "sync_full sync_partial_ok sync_partial_err expired_keys");
    buffer_printf(out, "expired_stale_perc:0.00\r\n");
    put_zeros(out, "expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys");
    put_count(out, "evicted_clients", count_of(&c->evicted));
    put_zeros(out, "total_eviction_exceeded_time current_eviction_exceeded_time "
                   "keyspace_hits keyspace_misses");
    put_count(out, "pubsub_channels", sums->channels);
    put_count(out, "pubsub_patterns", sums->patterns);
    put_zeros(out, "pubsubshard_channels latest_fork_usec total_forks migrate_cached_sockets "
                   "slave_expires_tracked_keys active_defrag_hits active_defrag_misses "
                   "active_defrag_key_hits active_defrag_key_misses total_active_defrag_time "
                   "current_active_defrag_time tracking_total_keys tracking_total_items "
                   "tracking_total_prefixes unexpected_error_replies");
    put_count(out, "total_error_replies", sums->errors);
    put_zeros(out, "dump_payload_sanitizations total_reads_processed total_writes_processed "
                   "io_threaded_reads_processed io_threaded_writes_processed "
                   "reply_buffer_shrinks reply_buffer_expands");
    put_count(out, "acl_access_denied_auth", count_of(&c->denied_auth));
    put_count(out, "acl_access_denied_cmd", count_of(&c->denied_command));
    put_zeros(out, "acl_access_denied_key");
    put_count(out, "acl_access_denied_channel", count_of(&c->denied_channel));
    put_count(out, "vedette_protocol_errors", count_of(&c->protocol_errors));
    put_count(out, "vedette_clients_closed_for_output", count_of(&c->output_closed));
    put_count(out, "vedette_events_published", count_of(&c->events_published));
    put_count(out, "vedette_events_dropped", count_of(&c->events_dropped));
    put_count(out, "vedette_votes_impatient", count_of(&c->votes_impatient));
    put_count(out, "vedette_hellos_ignored", count_of(&c->hellos_ignored));
    put_count(out, "vedette_hostile_ignored", count_of(&c->hostile_ignored));
    put_count(out, "vedette_denials_unlogged", count_of(&c->denials_unlogged));
}

static void put_time(struct buffer *out, const char *name, const struct timeval *t)
{
    buffer_printf(out, "used_cpu_%s:%lld.%06lld\r\n", name, (long long)t->tv_sec,
                  (long long)t->tv_usec);
}

static void cpu_section(struct buffer *out)
{
    struct rusage self, children, thread;

    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    getrusage(RUSAGE_THREAD, &thread);
    buffer_printf(out, "# CPU\r\n");
    put_time(out, "sys", &self.ru_stime);
    put_time(out, "user", &self.ru_utime);
    put_time(out, "sys_children", &children.ru_stime);
    put_time(out, "user_children", &children.ru_utime);
    put_time(out, "sys_main_thread", &thread.ru_stime);
    put_time(out, "user_main_thread", &thread.ru_utime);
}

static const char *status_name(const struct group_view *view)
{
    return view->o_down ? "odown" : view->s_down ? "sdown" : "ok";
}

/* master0:… of every group, into out. Returns their number. */
static uint32_t master_lines(const struct directory *d, bool names, struct buffer *out)
{
    uint32_t count = directory_count(d), shown = 0;
    struct group_view view;
    char line[LIMIT_NAME + ADDRESS_TEXT + 128];

    for (uint32_t gid = 0; gid < count; gid++) {
        if (!directory_read(d, gid, &view)) {
            continue;
        }
        int len = snprintf(line, sizeof line,
                           "master%u:name=%s,status=%s,address=%s:%u,slaves=%u,sentinels=%u\r\n",
                           (unsigned)shown++, directory_name(d, gid), status_name(&view),
                           address_host(&view.master, names), (unsigned)view.master.port,
                           (unsigned)view.replicas, (unsigned)view.sentinels + 1);
        assert(len > 0 && (size_t)len < sizeof line);
        buffer_append(out, line, (size_t)len);
    }
    return shown;
}

/* Host names and their lookups; all 0 where names are not used. */
static void name_lines(const struct process *p, struct buffer *out)
{
    struct resolver_counters c = {0};
    if (p->resolver != NULL) {
        resolver_counters(p->resolver, &c);
    }
    put_count(out, "vedette_names", host_count());
    put_count(out, "vedette_names_refused", host_refused());
    put_count(out, "vedette_lookups", c.lookups);
    put_count(out, "vedette_lookups_failed", c.failures);
    put_count(out, "vedette_lookups_waiting", c.waiting);
    put_count(out, "vedette_lookups_running", c.running);
}

static void put_twin(const struct process *p, ms_t now, struct buffer *out)
{
    struct process *shared = (struct process *)(uintptr_t)p; /* for its lock */
    ms_t seen = atomic_load_explicit(&p->twin_seen, memory_order_acquire);
    char address[ADDRESS_TEXT] = "";

    if (seen) {
        pthread_mutex_lock(&shared->twin_lock);
        address_format(&p->twin_address, address);
        pthread_mutex_unlock(&shared->twin_lock);
    }
    buffer_printf(out, "vedette_twin:%s\r\nvedette_twin_seen_seconds:%lld\r\n", address,
                  seen ? (long long)(now - seen) / 1000 : -1);
}

static void sentinel_section(const struct process *p, const struct tunables *t, ms_t now,
                             struct buffer *out)
{
    struct buffer masters = {0};
    bool tilt = atomic_load_explicit(&p->tilt, memory_order_acquire);
    ms_t since = atomic_load_explicit(&p->tilt_since, memory_order_acquire);
    /* Counted as they are rendered: groups come and go on other threads. */
    uint32_t count = master_lines(p->directory, t->announce_hostnames, &masters);

    buffer_printf(out, "# Sentinel\r\n");
    put_count(out, "sentinel_masters", count);
    put_count(out, "sentinel_tilt", tilt);
    buffer_printf(out, "sentinel_tilt_since_seconds:%lld\r\n",
                  tilt ? (long long)(now - since) / 1000 : -1);
    put_count(out, "sentinel_total_tilt", atomic_load_explicit(&p->tilts, memory_order_relaxed));
    put_count(out, "sentinel_running_scripts",
              atomic_load_explicit(&p->scripts_running, memory_order_relaxed));
    put_count(out, "sentinel_scripts_queue_length",
              atomic_load_explicit(&p->scripts_queued, memory_order_relaxed));
    put_count(out, "sentinel_simulate_failure_flags",
              (uint64_t)t->crash_after_election | (uint64_t)t->crash_after_promotion << 1);
    /* While another sentinel uses our id, everybody who looks here is told (design.md §4.11). */
    ms_t twin = atomic_load_explicit(&p->twin_seen, memory_order_acquire);
    if (twin != 0 && now - twin <= 3 * t->periods.publish)
        put_twin(p, now, out);
    buffer_append(out, masters.data, masters.len);
    buffer_free(&masters);
}

static void elector_lines(const struct process *p, struct buffer *out)
{
    struct elector_counters e;

    elector_counters(p->elector, &e);
    put_count(out, "vedette_elector_passes", e.passes);
    put_count(out, "vedette_journal_batches", e.batches);
    put_count(out, "vedette_journal_records", e.records);
    put_count(out, "vedette_journal_sync_usec_max", e.sync_us_max);
    put_count(out, "vedette_journal_refusals", e.refused);
    put_count(out, "vedette_votes_given", e.election.votes_given);
    put_count(out, "vedette_votes_refused", e.election.votes_refused);
    put_count(out, "vedette_attempts", e.election.attempts);
    put_count(out, "vedette_rounds", e.election.rounds);
    put_count(out, "vedette_elected", e.election.elected);
    put_count(out, "vedette_lost", e.election.lost);
    put_count(out, "vedette_epochs_refused", e.election.epochs_refused);
}

static void vedette_section(const struct admin *a, const struct info_sums *sums, ms_t now,
                            struct buffer *out)
{
    const struct process *p = a->process;
    const struct shard_counters *s = &sums->shard;

    buffer_printf(out, "# Vedette\r\nvedette_shards:%u\r\nvedette_io:%s\r\n", p->options.shards,
                  ring_backend(shard_client_ring(a->shard)));
    put_count(out, "vedette_current_epoch",
              atomic_load_explicit(&p->current_epoch, memory_order_acquire));
    put_count(out, "vedette_journal_refused",
              atomic_load_explicit(&p->journal_refused, memory_order_acquire));
    put_twin(p, now, out);
    put_count(out, "vedette_tilt_total_ms", count_of(&p->tilt_total_ms));
    put_count(out, "vedette_groups", s->groups);
    put_count(out, "vedette_replicas", s->replicas);
    put_count(out, "vedette_sentinels", s->sentinels);
    put_count(out, "vedette_links", s->links);
    put_count(out, "vedette_links_direct", s->links_direct);
    put_count(out, "vedette_links_direct_max", s->links_direct_most);
    put_count(out, "vedette_links_normal",
              atomic_load_explicit(&p->links_normal.used, memory_order_relaxed));
    put_count(out, "vedette_links_normal_max", p->links_normal.most);
    put_count(out, "vedette_links_refused", s->links_refused);
    put_count(out, "vedette_turns", s->turns);
    put_count(out, "vedette_link_commands", s->link_commands);
    put_count(out, "vedette_link_replies", s->link_replies);
    put_count(out, "vedette_hellos", s->hellos);
    put_count(out, "vedette_infos", s->infos);
    put_count(out, "vedette_infos_refused", s->infos_refused);
    put_count(out, "vedette_gossip_dropped", s->gossip_dropped);
    put_count(out, "vedette_letters_spilled", s->letters_spilled);
    put_count(out, "vedette_receive_buffers", s->receive_buffers);
    put_count(out, "vedette_receive_buffers_short", s->receives_short);
    put_count(out, "vedette_completions_held_back", s->cqes_overflown);
    put_count(out, "vedette_submissions_full", s->sqes_waited);
    put_count(out, "vedette_tls_handshakes", s->handshakes);
    put_count(out, "vedette_tls_handshakes_failed", s->handshakes_failed);
    put_count(out, "vedette_tls_handshakes_refused", s->handshakes_refused);
    put_count(out, "vedette_scripts_dropped",
              count_of(&p->scripts_pushed_out) + count_of(&p->counters.scripts_dropped));
    name_lines(p, out);
    elector_lines(p, out);
}

static void render(const struct admin *a, unsigned sections, const struct info_sums *sums,
                   struct reply *r)
{
    const struct process *p = a->process;
    ms_t now = shard_now(a->shard);
    struct buffer text = {0};

    for (unsigned section = 1; section <= INFO_VEDETTE; section <<= 1) {
        if (!(sections & section)) {
            continue;
        }
        if (text.len > 0) {
            buffer_append(&text, "\r\n", 2);
        }
        if (section == INFO_SERVER) {
            server_section(p, now, &text);
        } else if (section == INFO_CLIENTS) {
            clients_section(p, sums, &text);
        } else if (section == INFO_STATS) {
            stats_section(p, sums, &text);
        } else if (section == INFO_CPU) {
            cpu_section(&text);
        } else if (section == INFO_SENTINEL) {
            sentinel_section(p, shard_tunables(a->shard), now, &text);
        } else {
            vedette_section(a, sums, now, &text);
        }
    }
    reply_bulk(r, text.data, text.len);
    buffer_free(&text);
}

/* --- the command ----------------------------------------------------------------------------- */

static void add_counters(struct shard_counters *to, const struct shard_counters *from)
{
    to->turns += from->turns;
    to->link_commands += from->link_commands;
    to->link_replies += from->link_replies;
    to->hellos += from->hellos;
    to->infos += from->infos;
    to->gossip_dropped += from->gossip_dropped;
    to->infos_refused += from->infos_refused;
    to->letters_spilled += from->letters_spilled;
    to->receives_short += from->receives_short;
    to->cqes_overflown += from->cqes_overflown;
    to->sqes_waited += from->sqes_waited;
    to->receive_buffers += from->receive_buffers;
    to->handshakes += from->handshakes;
    to->handshakes_failed += from->handshakes_failed;
    to->handshakes_refused += from->handshakes_refused;
    to->links += from->links;
    to->links_direct += from->links_direct;
    to->links_direct_most += from->links_direct_most;
    to->links_refused += from->links_refused;
    to->groups += from->groups;
    to->replicas += from->replicas;
    to->sentinels += from->sentinels;
}

static void sum_shard(struct info_sums *sums, struct shard *shard)
{
    struct admin *a = shard_admin(shard);
    struct shard_counters counters;
    uint32_t cursor = 0;
    struct client *c;

    admin_count(a, shard_now(shard));
    shard_counters(shard, &counters);
    add_counters(&sums->shard, &counters);
    sums->channels += a->pubsub.topic_count[TOPIC_CHANNEL];
    sums->patterns += a->pubsub.topic_count[TOPIC_PATTERN];
    sums->errors += a->total_errors;
    sums->commands_rate += a->rate_commands;
    sums->input_rate += a->rate_input;
    sums->output_rate += a->rate_output;
    while ((c = client_next(a, &cursor))) {
        sums->pubsub_clients += client_subscribed(c) > 0;
        sums->tracking_clients += c->tracking.on;
    }
}

static void info_visit(struct admin_request *r, struct shard *shard)
{
    sum_shard(&((struct info_request *)(void *)r)->sums, shard);
}

static void info_finish(struct admin_request *r, struct admin *a, struct client *c)
{
    struct info_request *info = (struct info_request *)(void *)r;
    struct reply reply = async_reply(r);

    render(a, info->sections, &info->sums, &reply);
}

unsigned info_sections(const struct resp_arg *args, size_t count)
{
    static const struct {
        const char *name;
        unsigned sections;
    } known[] = {{"server", INFO_SERVER},   {"clients", INFO_CLIENTS},   {"stats", INFO_STATS},
                 {"cpu", INFO_CPU},         {"sentinel", INFO_SENTINEL}, {"vedette", INFO_VEDETTE},
                 {"default", INFO_DEFAULT}, {"all", INFO_ALL},           {"everything", INFO_ALL}};
    unsigned sections = count == 0 ? INFO_DEFAULT : 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) {
            if (arg_is(&args[i], known[j].name)) {
                sections |= known[j].sections;
            }
        }
    }
    return sections;
}

void command_info(struct call *call)
{
    struct admin *a = call->admin;
    unsigned sections = info_sections(call->args + 1, call->count - 1);
    struct info_sums sums = {0};

    if (a->process->options.shards == 1 || !(sections & INFO_SUMMED)) {
        if (sections & INFO_SUMMED) {
            sum_shard(&sums, a->shard);
        }
        render(a, sections, &sums, &call->reply);
        return;
    }
    struct info_request *info = async_new(call, sizeof *info, false);
    info->sections = sections;
    info->r.visit = info_visit;
    info->r.finish = info_finish;
    async_chain(&info->r);
}
