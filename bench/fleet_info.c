/* INFO of a simulated instance: every section and field of Redis 7.0, about 5 KB, with the fields
 * a sentinel reads computed and the rest plausible. */
#include "fleet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

struct text {
    char *out;
    size_t length, size;
};

/* A text that would not fit is a mistake in FLEET_INFO_MAX: everything in it is ours. */
__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(text->out + text->length, text->size - text->length, format, arguments);
    va_end(arguments);
    assert(wrote >= 0 && (size_t)wrote < text->size - text->length);
    text->length += (size_t)wrote;
}

static void add_fixed(struct text *text, const char *fixed, size_t length)
{
    assert(length < text->size - text->length);
    memcpy(text->out + text->length, fixed, length);
    text->length += length;
}
#define ADD_FIXED(text, fixed) add_fixed(text, fixed, sizeof(fixed) - 1)

static void server(struct worker *worker, uint32_t index, struct text *text)
{
    char run_id[FLEET_RUN_ID + 1];
    struct timeval wall;
    instance_run_id(worker, index, run_id);
    gettimeofday(&wall, NULL);
    long long up = (worker->now - worker->instances[index].started_at) / 1000;
    ADD_FIXED(text, "# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:00000000\r\n"
                    "redis_git_dirty:0\r\nredis_build_id:5f1eec0000000001\r\n"
                    "redis_mode:standalone\r\nos:Linux 6.1.0-18-amd64 x86_64\r\narch_bits:64\r\n"
                    "monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\n"
                    "atomicvar_api:c11-builtin\r\ngcc_version:12.2.0\r\n");
    add(text,
        "process_id:%u\r\nprocess_supervised:systemd\r\nrun_id:%s\r\ntcp_port:%u\r\n"
        "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n",
        1000 + index, run_id, fleet_port(worker->options, index),
        (long long)wall.tv_sec * 1000000 + wall.tv_usec, up, up / 86400);
    ADD_FIXED(text, "hz:10\r\nconfigured_hz:10\r\nlru_clock:1234567\r\n"
                    "executable:/usr/bin/redis-server\r\nconfig_file:/etc/redis/redis.conf\r\n"
                    "io_threads_active:0\r\n");
}

static void clients(struct worker *worker, uint32_t index, struct text *text)
{
    unsigned count = 0;
    for (struct connection *one = worker->instances[index].connections; one; one = one->next)
        count++;
    add(text, "# Clients\r\nconnected_clients:%u\r\n", count);
    ADD_FIXED(text, "cluster_connections:0\r\nmaxclients:10000\r\n"
                    "client_recent_max_input_buffer:20480\r\n"
                    "client_recent_max_output_buffer:20504\r\nblocked_clients:0\r\n"
                    "tracking_clients:0\r\nclients_in_timeout_table:0\r\n");
}

static void memory(struct worker *worker, uint32_t index, struct text *text)
{
    ADD_FIXED(text,
              "# Memory\r\nused_memory:2513704\r\nused_memory_human:2.40M\r\n"
              "used_memory_rss:12804096\r\nused_memory_rss_human:12.21M\r\n"
              "used_memory_peak:2643808\r\nused_memory_peak_human:2.52M\r\n"
              "used_memory_peak_perc:95.08%\r\nused_memory_overhead:2097568\r\n"
              "used_memory_startup:862232\r\nused_memory_dataset:416136\r\n"
              "used_memory_dataset_perc:25.20%\r\nallocator_allocated:2808408\r\n"
              "allocator_active:3190784\r\nallocator_resident:6475776\r\n"
              "total_system_memory:16777216000\r\ntotal_system_memory_human:15.63G\r\n"
              "used_memory_lua:31744\r\nused_memory_vm_eval:31744\r\n"
              "used_memory_lua_human:31.00K\r\nused_memory_scripts_eval:0\r\n"
              "number_of_cached_scripts:0\r\nnumber_of_functions:0\r\nnumber_of_libraries:0\r\n"
              "used_memory_vm_functions:32768\r\nused_memory_vm_total:64512\r\n"
              "used_memory_vm_total_human:63.00K\r\nused_memory_functions:184\r\n"
              "used_memory_scripts:184\r\nused_memory_scripts_human:184B\r\nmaxmemory:0\r\n"
              "maxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n"
              "allocator_frag_ratio:1.14\r\nallocator_frag_bytes:382376\r\n"
              "allocator_rss_ratio:2.03\r\nallocator_rss_bytes:3284992\r\n"
              "rss_overhead_ratio:1.98\r\nrss_overhead_bytes:6328320\r\n"
              "mem_fragmentation_ratio:5.18\r\nmem_fragmentation_bytes:10331336\r\n"
              "mem_not_counted_for_evict:0\r\nmem_replication_backlog:1048592\r\n"
              "mem_total_replication_buffers:20680\r\nmem_clients_slaves:20680\r\n"
              "mem_clients_normal:112600\r\nmem_cluster_links:0\r\nmem_aof_buffer:0\r\n"
              "mem_allocator:jemalloc-5.3.0\r\nactive_defrag_running:0\r\n"
              "lazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n");
}

static void persistence(struct worker *worker, uint32_t index, struct text *text)
{
    int mode = atomic_load(&worker->shared->instances[index].mode);
    add(text, "# Persistence\r\nloading:%d\r\n", mode == MODE_LOADING);
    ADD_FIXED(text,
              "async_loading:0\r\ncurrent_cow_peak:0\r\ncurrent_cow_size:0\r\n"
              "current_cow_size_age:0\r\ncurrent_fork_perc:0.00\r\n"
              "current_save_keys_processed:0\r\ncurrent_save_keys_total:0\r\n"
              "rdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
              "rdb_last_save_time:1700000000\r\nrdb_last_bgsave_status:ok\r\n"
              "rdb_last_bgsave_time_sec:0\r\nrdb_current_bgsave_time_sec:-1\r\nrdb_saves:1\r\n"
              "rdb_last_cow_size:368640\r\nrdb_last_load_keys_expired:0\r\n"
              "rdb_last_load_keys_loaded:0\r\naof_enabled:0\r\naof_rewrite_in_progress:0\r\n"
              "aof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\n"
              "aof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\n"
              "aof_rewrites:0\r\naof_rewrites_consecutive_failures:0\r\n"
              "aof_last_write_status:ok\r\naof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\n"
              "module_fork_last_cow_size:0\r\n");
}

static void stats(struct worker *worker, uint32_t index, struct text *text)
{
    unsigned long long commands = worker->instances[index].commands;
    add(text,
        "# Stats\r\ntotal_connections_received:12\r\ntotal_commands_processed:%llu\r\n"
        "instantaneous_ops_per_sec:5\r\ntotal_net_input_bytes:%llu\r\n"
        "total_net_output_bytes:%llu\r\n",
        commands, commands * 87, commands * 254);
    ADD_FIXED(text, "total_net_repl_input_bytes:0\r\ntotal_net_repl_output_bytes:84912\r\n"
                    "instantaneous_input_kbps:0.42\r\ninstantaneous_output_kbps:1.27\r\n"
                    "instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.21\r\n"
                    "rejected_connections:0\r\nsync_full:1\r\nsync_partial_ok:0\r\n"
                    "sync_partial_err:1\r\nexpired_keys:0\r\nexpired_stale_perc:0.00\r\n"
                    "expired_time_cap_reached_count:0\r\nexpire_cycle_cpu_milliseconds:3\r\n"
                    "evicted_keys:0\r\nevicted_clients:0\r\ntotal_eviction_exceeded_time:0\r\n"
                    "current_eviction_exceeded_time:0\r\nkeyspace_hits:0\r\nkeyspace_misses:0\r\n"
                    "pubsub_channels:1\r\npubsub_patterns:0\r\npubsubshard_channels:0\r\n"
                    "latest_fork_usec:434\r\ntotal_forks:1\r\nmigrate_cached_sockets:0\r\n"
                    "slave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\n"
                    "active_defrag_misses:0\r\nactive_defrag_key_hits:0\r\n"
                    "active_defrag_key_misses:0\r\ntotal_active_defrag_time:0\r\n"
                    "current_active_defrag_time:0\r\ntracking_total_keys:0\r\n"
                    "tracking_total_items:0\r\ntracking_total_prefixes:0\r\n"
                    "unexpected_error_replies:0\r\ntotal_error_replies:0\r\n"
                    "dump_payload_sanitizations:0\r\ntotal_reads_processed:4127\r\n"
                    "total_writes_processed:8230\r\nio_threaded_reads_processed:0\r\n"
                    "io_threaded_writes_processed:0\r\nreply_buffer_shrinks:9\r\n"
                    "reply_buffer_expands:4\r\n");
}

static void add_replicas(struct worker *worker, uint32_t index, int64_t offset, struct text *text)
{
    uint32_t size = fleet_group_size(worker->options), first = index - index % size;
    struct text lines = {.out = text->out, .length = text->length, .size = text->size};
    unsigned count = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            add(&lines, "connected_slaves:%u\r\n", count);
        count = 0;
        for (uint32_t member = first; member < first + size; member++) {
            struct published *other = &worker->shared->instances[member];
            if (atomic_load(&other->master) != (int32_t)index ||
                atomic_load(&other->mode) == MODE_KILLED || !instance_link_up(worker, member))
                continue;
            if (pass == 1) {
                struct in_addr address = {.s_addr = fleet_address(member)};
                char ip[INET_ADDRSTRLEN];
                inet_ntop(AF_INET, &address, ip, sizeof ip);
                add(&lines, "slave%u:ip=%s,port=%u,state=online,offset=%lld,lag=0\r\n", count, ip,
                    fleet_port(worker->options, member), (long long)offset);
            }
            count++;
        }
    }
    text->length = lines.length;
}

static void replication(struct worker *worker, uint32_t index, struct text *text)
{
    struct instance *instance = &worker->instances[index];
    bool master = instance_is_master(worker, index);
    int64_t offset = instance_offset(worker, index);
    char replid[FLEET_RUN_ID + 1], second[FLEET_RUN_ID + 1];
    add(text, "# Replication\r\nrole:%s\r\n", master ? "master" : "slave");
    if (!master) {
        struct in_addr address = {.s_addr = instance->master_ip};
        char ip[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &address, ip, sizeof ip);
        bool up = instance_link_up(worker, index);
        add(text,
            "master_host:%s\r\nmaster_port:%u\r\nmaster_link_status:%s\r\n"
            "master_last_io_seconds_ago:%d\r\nmaster_sync_in_progress:0\r\n"
            "slave_read_repl_offset:%lld\r\nslave_repl_offset:%lld\r\n",
            ip, instance->master_port, up ? "up" : "down", up ? 1 : -1, (long long)offset,
            (long long)offset);
        if (!up)
            add(text, "master_link_down_since_seconds:%lld\r\n",
                (long long)(worker->now - instance->link_down_since) / 1000);
        ADD_FIXED(text, "slave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n");
    }
    add_replicas(worker, index, offset, text);
    instance_replication_id(worker, index - index % fleet_group_size(worker->options),
                            instance->identity, replid);
    memset(second, '0', FLEET_RUN_ID);
    second[FLEET_RUN_ID] = 0;
    add(text,
        "master_failover_state:no-failover\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n"
        "master_repl_offset:%lld\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:1\r\n"
        "repl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:1\r\n"
        "repl_backlog_histlen:%lld\r\n",
        replid, second, (long long)offset, (long long)(offset > 1048576 ? 1048576 : offset));
}

static void cpu(struct worker *worker, uint32_t index, struct text *text)
{
    unsigned long long used = worker->instances[index].commands * 11;
    add(text,
        "# CPU\r\nused_cpu_sys:%llu.%06llu\r\nused_cpu_user:%llu.%06llu\r\n"
        "used_cpu_sys_children:0.000831\r\nused_cpu_user_children:0.001508\r\n"
        "used_cpu_sys_main_thread:%llu.%06llu\r\nused_cpu_user_main_thread:%llu.%06llu\r\n",
        used / 1000000, used % 1000000, used / 1000000, used % 1000000, used / 1000000,
        used % 1000000, used / 1000000, used % 1000000);
}

static void modules(struct worker *worker, uint32_t index, struct text *text)
{
    ADD_FIXED(text, "# Modules\r\n");
}

static void errors(struct worker *worker, uint32_t index, struct text *text)
{
    ADD_FIXED(text, "# Errorstats\r\nerrorstat_ERR:count=1\r\n");
}

static void cluster(struct worker *worker, uint32_t index, struct text *text)
{
    ADD_FIXED(text, "# Cluster\r\ncluster_enabled:0\r\n");
}

static void keyspace(struct worker *worker, uint32_t index, struct text *text)
{
    ADD_FIXED(text, "# Keyspace\r\ndb0:keys=1048,expires=17,avg_ttl=3600000\r\n");
}

static const struct section {
    const char *name;
    void (*render)(struct worker *worker, uint32_t index, struct text *text);
} sections_known[] = {{"server", server},     {"clients", clients},
                      {"memory", memory},     {"persistence", persistence},
                      {"stats", stats},       {"replication", replication},
                      {"cpu", cpu},           {"modules", modules},
                      {"errorstats", errors}, {"cluster", cluster},
                      {"keyspace", keyspace}};

size_t info_render(struct worker *worker, uint32_t index, const struct slice *sections,
                   size_t count, char *out, size_t size)
{
    struct text text = {.out = out, .size = size};
    for (size_t k = 0; k < sizeof sections_known / sizeof *sections_known; k++) {
        bool wanted = count == 0;
        for (size_t asked = 0; asked < count && !wanted; asked++)
            wanted = slice_is(sections[asked], sections_known[k].name) ||
                     slice_is(sections[asked], "all") || slice_is(sections[asked], "default") ||
                     slice_is(sections[asked], "everything");
        if (!wanted)
            continue;
        if (text.length)
            ADD_FIXED(&text, "\r\n");
        sections_known[k].render(worker, index, &text);
    }
    return text.length;
}
