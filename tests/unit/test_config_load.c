/* Loading sentinel.conf: what is accepted and what it means, what is refused and in which words
 * (protocol.md §10). The reasons are redis-sentinel's where it has the error. */
#include "config/config.h"
#include "rules/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct config_error err;

static struct config *load(const char *text)
{
    return config_load_text("/x/s.conf", text, strlen(text), 0, NULL, true, &err);
}

static struct config *must_load(const char *text)
{
    struct config *cfg = load(text);
    if (cfg == NULL) {
        fail_msg("'%s' at line %u: %s", err.text, err.line, err.reason);
    }
    return cfg;
}

static struct config_group *group(const struct config *cfg, const char *name)
{
    struct config_group *g = config_find(cfg, name, strlen(name));
    assert_non_null(g);
    return g;
}

/* --- what is refused
 * --------------------------------------------------------------------------------- */

static const struct {
    const char *line, *reason;
} wrong_lines[] = {
    {"foo bar", "Bad directive or wrong number of arguments"},
    {"port", "wrong number of arguments"},
    {"port abc", "argument couldn't be parsed into an integer"},
    {"port 70000", "argument must be between 0 and 65535 inclusive"},
    {"port \"70", "Unbalanced quotes in configuration line"},
    {"port \"7914\"x", "Unbalanced quotes in configuration line"},
    {"loglevel foo",
     "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"},
    {"log-format json", "argument(s) must be one of the following: legacy, logfmt"},
    {"log-format", "wrong number of arguments"},
    {"log-timestamp-format unix",
     "argument(s) must be one of the following: legacy, iso8601, milliseconds"},
    {"protected-mode maybe", "argument must be 'yes' or 'no'"},
    {"maxclients 0", "argument must be between 1 and 4294967295 inclusive"},
    {"timeout -1", "argument must be between 0 and 2147483647 inclusive"},
    {"supervised foo", "argument(s) must be one of the following: upstart, systemd, auto, no"},
    {"unixsocketperm 999", "argument couldn't be parsed as an octal number"},
    {"client-output-buffer-limit pubsub 1 2",
     "Wrong number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit foo 1 2 3",
     "Invalid client class specified in buffer limit configuration."},
    {"client-output-buffer-limit pubsub x 2 3",
     "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
    {"maxmemory-clients 101%", "argument must be a memory or percent value"},
    {"maxmemory-clients 5x", "argument must be a memory or percent value"},
    {"maxmemory lots", "argument must be a memory value"},
    {"tls-auth-clients-user CN", "'tls-auth-clients-user' is not supported yet"},
    {"rename-command foo bar", "No such command in rename-command"},
    {"rename-command PING", "Bad directive or wrong number of arguments"},
    {"rename-command PING info", "Target command name already exists"},
    {"proto-max-bulk-len 10", "argument must be between 1048576 and 9223372036854775807 inclusive"},
    {"include", "Bad directive or wrong number of arguments"},
    {"tls-port 70000", "argument must be between 0 and 65535 inclusive"},
    {"tls-replication maybe", "argument must be 'yes' or 'no'"},
    {"tls-auth-clients maybe", "argument(s) must be one of the following: no, yes, optional"},
    {"tls-session-cache-size -1", "argument must be between 0 and 2147483647 inclusive"},
    {"tls-cert-file a b", "wrong number of arguments"},
    {"user", "Bad directive or wrong number of arguments"},
    {"user 'a b' on", "Spaces not allowed in ACL usernames"},
    {"user a on +foo", "Error in user declaration '+foo': Unknown command or category name in ACL"},
    {"user a on ~* ~x",
     "Error in user declaration '~x': Adding a pattern after the * pattern (or the 'allkeys' flag) "
     "is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of "
     "patterns"},
    {"user a (+@all ~x) (+@all", "Error in user declaration '(+@all': Unmatched parenthesis in "
                                 "selector"},
    {"acl-pubsub-default foo",
     "argument(s) must be one of the following: allchannels, resetchannels"},
    {"acllog-max-len -1", "argument must be between 0 and 9223372036854775807 inclusive"},
    {"sentinel foo", "Unrecognized sentinel configuration statement."},
    {"sentinel monitor m1 127.0.0.1 7902 2", "Duplicate master name."},
    {"sentinel monitor m2 127.0.0.1 7902 0", "Quorum must be 1 or greater."},
    {"sentinel monitor m2 127.0.0.1 79020 1", "Invalid port number."},
    {"sentinel monitor m2 localhost 7902 1", "Can't resolve instance hostname."},
    {"sentinel monitor m2 127.0.0.1 7902", "Unrecognized sentinel configuration statement."},
    {"sentinel down-after-milliseconds m1 0", "negative or zero time parameter."},
    {"sentinel down-after-milliseconds m9 9", "No such master with specified name."},
    {"sentinel failover-timeout m1 x", "negative or zero time parameter."},
    {"sentinel parallel-syncs m9 1", "No such master with specified name."},
    {"sentinel notification-script m1 /no/such",
     "Notification script seems non existing or non executable."},
    {"sentinel notification-script m1 \"\"",
     "Notification script seems non existing or non executable."},
    {"sentinel notification-script m9 /bin/sh", "No such master with specified name."},
    {"sentinel client-reconfig-script m1 /no/such",
     "Client reconfiguration script seems non existing or non executable."},
    {"sentinel auth-pass m9 x", "No such master with specified name."},
    {"sentinel myid abc", "Malformed Sentinel id in myid option."},
    {"sentinel leader-epoch m1 1 2", "Unrecognized sentinel configuration statement."},
    {"sentinel config-epoch m1 1 127.0.0.1 7", "Unrecognized sentinel configuration statement."},
    {"sentinel current-epoch 99999999999999999999", "Invalid epoch."},
    {"sentinel known-replica m1 127.0.0.1 100000", "Invalid port number."},
    {"sentinel known-sentinel m1 127.0.0.1", "Unrecognized sentinel configuration statement."},
    {"sentinel rename-command m1 A B\nsentinel rename-command m1 A C",
     "Same command renamed multiple times with rename-command."},
    {"sentinel known-replica m1 ::2 1\nsentinel known-replica m1 ::2 1",
     "Duplicate hostname and port for replica."},
    {"sentinel known-sentinel m1 ::2 1 " ID_A "\nsentinel known-sentinel m1 ::2 2 " ID_A,
     "Duplicate runid for sentinel."},
    {"sentinel resolve-hostnames maybe",
     "Please specify yes or no for the resolve-hostnames option."},
    {"sentinel deny-scripts-reconfig maybe",
     "Please specify yes or no for the deny-scripts-reconfig options."},
    {"sentinel master-reboot-down-after-period m1 -1", "negative time parameter."},
    {"sentinel forget-replica m1 127.0.0.1 1", "Unrecognized sentinel configuration statement."},
};

static void wrong_lines_are_refused_in_the_words_of_stock(void **ctx)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof(wrong_lines) / sizeof(wrong_lines[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), "port 7913\nsentinel monitor m1 127.0.0.1 7901 2\n%s\n",
                 wrong_lines[i].line);
        struct config *cfg = load(text);
        if (cfg != NULL) {
            config_free(cfg);
            fail_msg("accepted: %s", wrong_lines[i].line);
        }
        assert_int_equal(err.kind, CONFIG_ERROR_LINE);
        assert_string_equal(err.reason, wrong_lines[i].reason);
        const char *last = strrchr(wrong_lines[i].line, '\n');
        assert_int_equal(err.line, last != NULL ? 4 : 3);
        assert_string_equal(err.text, last != NULL ? last + 1 : wrong_lines[i].line);
    }
}

static void the_error_block_is_that_of_stock(void **ctx)
{
    (void)ctx;
    char text[1024];
    assert_null(load("port 1\nfoo bar\n"));
    config_error_format(&err, "7.0.15", text, sizeof(text));
    assert_string_equal(text, "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\n"
                              "Reading the configuration file, at line 2\n>>> 'foo bar'\n"
                              "Bad directive or wrong number of arguments\n");
    assert_null(config_load("/nonexistent.conf", 0, NULL, &err));
    config_error_format(&err, "7.0.15", text, sizeof(text));
    assert_string_equal(text, "Fatal error, can't open config file '/nonexistent.conf': "
                              "No such file or directory\n");
    assert_int_equal(config_error_format(&err, "7.0.15", text, 10), 9);
}

/* --- what is accepted
 * ---------------------------------------------------------------------------------- */

static void an_old_estate_loads(void **ctx)
{
    (void)ctx;
    struct config *cfg =
        must_load("sentinel known-slave TestMaster 127.0.0.1 7004\n" /* before its master */
                  "PORT 26371\n"
                  "daemonize yes\n"
                  "logfile \"./sentinel1.log\"\n"
                  "dir ./\n"
                  "  # a comment\n"
                  "SENTINEL Monitor TestMaster 127.0.0.1 7003 1\n"
                  "sentinel down-after-milliseconds TestMaster 1500\n"
                  "sentinel failover-timeout TestMaster 10000\n"
                  "sentinel auth-pass TestMaster 0234kz9*1#a\n"
                  "sentinel config-epoch TestMaster 15\n"
                  "sentinel leader-epoch TestMaster 8394\n"
                  "sentinel known-sentinel TestMaster 127.0.0.1 26372 " ID_A "\n"
                  "sentinel known-sentinel TestMaster 127.0.0.1 26373 " ID_B "\n"
                  "sentinel known-sentinel TestMaster 127.0.0.1 26374\n"
                  "sentinel current-epoch 17\n");
    const struct config_group *g = group(cfg, "TestMaster");
    assert_int_equal(cfg->server.port, 26371);
    assert_true(cfg->server.daemonize);
    assert_string_equal(cfg->server.logfile, "./sentinel1.log");
    assert_string_equal(g->addr.ip, "127.0.0.1");
    assert_int_equal(g->addr.port, 7003);
    assert_int_equal(g->set.quorum, 1);
    assert_int_equal(g->set.down_after, 1500);
    assert_int_equal(g->set.failover_timeout, 10000);
    assert_int_equal(g->set.parallel_syncs, 1);
    assert_string_equal(g->auth_pass, "0234kz9*1#a");
    assert_int_equal(g->replica_count, 1);
    assert_int_equal(g->sentinel_count, 2);
    assert_int_equal(g->config_epoch, 15);
    assert_true(g->has_leader_epoch);
    assert_int_equal(g->leader_epoch, 8394);
    assert_int_equal(cfg->current_epoch, 8394); /* raised by the vote (protocol.md §11) */
    assert_true(cfg->has_state);
    config_free(cfg);
}

static void memory_of_clients(void **ctx)
{
    (void)ctx;
    static const struct {
        const char *lines;
        uint64_t bytes;
    } cases[] = {
        {"maxmemory-clients 5%\nmaxmemory 200mb\n", 10u << 20},
        {"maxmemory 1gb\nmaxmemory-clients 64mb\n", 64u << 20},
        {"maxmemory-clients 5%\n", 0},
        {"maxmemory-clients 5%\nmaxmemory 200mb\nmaxmemory-clients 0\n", 0},
        {"tls-auth-clients-user off\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *cfg = must_load(cases[i].lines);
        assert_int_equal(cfg->server.maxmemory_clients, cases[i].bytes);
        config_free(cfg);
    }
}

static void tls_directives_are_read(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("port 0\ntls-port 7911\nTLS-Replication yes\n"
                                   "tls-cert-file a.crt\ntls-key-file \"a b.key\"\n"
                                   "tls-key-file-pass \"p # q\"\ntls-client-cert-file c.crt\n"
                                   "tls-client-key-file c.key\ntls-client-key-file-pass r\n"
                                   "tls-ca-cert-file ca.crt\ntls-ca-cert-dir /etc/ca\n"
                                   "tls-auth-clients optional\ntls-cluster no\n"
                                   "tls-protocols \"TLSv1.2 TLSv1.3\"\ntls-ciphers HIGH\n"
                                   "tls-ciphersuites TLS_AES_128_GCM_SHA256\n"
                                   "tls-dh-params-file a.dh\ntls-prefer-server-ciphers yes\n"
                                   "tls-session-caching no\ntls-session-cache-size 5\n"
                                   "tls-session-cache-timeout 60\n"
                                   "sentinel monitor m1 127.0.0.1 7901 2\n");
    const struct config_tls *tls = &cfg->server.tls;
    assert_int_equal(cfg->server.port, 0);
    assert_int_equal(tls->port, 7911);
    assert_true(tls->replication);
    assert_string_equal(tls->cert_file, "a.crt");
    assert_string_equal(tls->key_file, "a b.key");
    assert_string_equal(tls->key_file_pass, "p # q");
    assert_string_equal(tls->client_cert_file, "c.crt");
    assert_string_equal(tls->client_key_file, "c.key");
    assert_string_equal(tls->client_key_file_pass, "r");
    assert_string_equal(tls->ca_cert_file, "ca.crt");
    assert_string_equal(tls->ca_cert_dir, "/etc/ca");
    assert_int_equal(tls->auth_clients, CONFIG_TLS_AUTH_OPTIONAL);
    assert_string_equal(tls->protocols, "TLSv1.2 TLSv1.3");
    assert_string_equal(tls->ciphers, "HIGH");
    assert_string_equal(tls->ciphersuites, "TLS_AES_128_GCM_SHA256");
    assert_string_equal(tls->dh_params_file, "a.dh");
    assert_true(tls->prefer_server_ciphers);
    assert_false(tls->session_caching);
    assert_int_equal(tls->session_cache_size, 5);
    assert_int_equal(tls->session_cache_timeout, 60);
    assert_int_equal(cfg->note_count, 0);
    config_free(cfg);

    cfg = must_load("sentinel monitor m1 127.0.0.1 7901 2\n");
    tls = &cfg->server.tls;
    assert_int_equal(tls->port, 0);
    assert_false(tls->replication);
    assert_int_equal(tls->auth_clients, CONFIG_TLS_AUTH_YES);
    assert_true(tls->session_caching);
    assert_int_equal(tls->session_cache_size, 20480);
    assert_int_equal(tls->session_cache_timeout, 300);
    config_free(cfg);
}

static void everything_has_its_default(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("sentinel monitor m1 ::1 7901 2\nsentinel\n");
    const struct config_group *g = group(cfg, "m1");
    assert_int_equal(cfg->server.port, 26379);
    assert_false(cfg->server.protected_mode);
    assert_int_equal(cfg->server.loglevel, LOGLEVEL_NOTICE);
    assert_int_equal(cfg->server.maxclients, 10000);
    assert_null(cfg->server.requirepass);
    assert_int_equal(g->set.down_after, 30000);
    assert_int_equal(g->set.failover_timeout, 180000);
    assert_true(cfg->deny_scripts_reconfig);
    assert_false(cfg->has_state);
    assert_false(runid_known(&cfg->myid));
    assert_false(g->has_leader_epoch);
    assert_null(config_find(cfg, "m", 1));
    assert_null(config_find(cfg, "m12", 3));
    config_free(cfg);
}

static void server_options_are_understood(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load(
        "bind 127.0.0.1 -::1 *\nbind-source-addr 127.0.0.5\nprotected-mode yes\nmaxclients 77\n"
        "timeout 5\ntcp-keepalive 0\ntcp-backlog 9\nrequirepass \"a b\"\nsyslog-enabled yes\n"
        "syslog-ident me\nsyslog-facility local7\nsupervised systemd\nunixsocket /tmp/s\n"
        "unixsocketperm 700\nclient-output-buffer-limit normal 1mb 2mb 3 pubsub 4mb 5mb 6\n"
        "rename-command PING \"\"\nrename-command SHUTDOWN xyz\nloglevel DEBUG\n"
        "log-format LOGFMT\nlog-timestamp-format iso8601\n");
    const struct config_server *s = &cfg->server;
    assert_int_equal(s->bind_count, 3);
    assert_string_equal(s->binds[0].address, "127.0.0.1");
    assert_false(s->binds[0].optional);
    assert_string_equal(s->binds[1].address, "::1");
    assert_true(s->binds[1].optional);
    assert_string_equal(s->bind_source_addr, "127.0.0.5");
    assert_true(s->protected_mode);
    assert_int_equal(s->maxclients, 77);
    assert_int_equal(s->timeout, 5);
    assert_int_equal(s->tcp_keepalive, 0);
    assert_int_equal(s->tcp_backlog, 9);
    assert_string_equal(s->requirepass, "a b");
    assert_true(s->syslog_enabled);
    assert_int_equal(s->supervised, SUPERVISED_SYSTEMD);
    assert_int_equal(s->unixsocketperm, 0700);
    assert_int_equal(s->normal_limit.hard, 1 << 20);
    assert_int_equal(s->pubsub_limit.soft_seconds, 6);
    assert_int_equal(s->rename_count, 2);
    assert_string_equal(s->renames[0].to, "");
    assert_string_equal(s->renames[1].to, "xyz");
    assert_int_equal(s->loglevel, LOGLEVEL_DEBUG);
    assert_int_equal(s->log_format, CONFIG_LOG_LOGFMT);
    assert_int_equal(s->log_timestamp, CONFIG_TIMESTAMP_ISO8601);
    config_free(cfg);
}

static void a_full_redis_conf_is_kept_and_noted_once(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("save 900 1\nsave 300 10\nappendonly no\nreplicaof ::1 7\n"
                                   "latency-tracking-info-percentiles 50 99\n"
                                   "sentinel monitor m1 ::1 7901 2\n");
    assert_int_equal(cfg->note_count, 1);
    assert_non_null(strstr(cfg->notes[0], "save, save, appendonly, replicaof"));
    assert_null(strstr(cfg->notes[0], "latency"));
    config_free(cfg);
}

static void the_default_user_as_stock_writes_it(void **ctx)
{
    (void)ctx;
    config_free(must_load("user default on nopass ~* &* +@all\n"));
    config_free(must_load("user default on nopass sanitize-payload ~* &* +@all\n"));
    config_free(must_load("requirepass foo\nuser default on #2c26b46b68ffc68ff99b453c1d30413413422"
                          "d706483bfa0f98a5e886266e7ae ~* &* +@all\n"));
    struct config *cfg = must_load("requirepass foo\nuser default on nopass ~* &* +@all\n");
    assert_string_equal(cfg->server.requirepass, "foo");
    assert_int_equal(cfg->note_count, 1);
    assert_true(acl_authenticate(acl_users_default(cfg->users), "foo", 3));
    assert_false(acl_authenticate(acl_users_default(cfg->users), "x", 1));
    config_free(cfg);
}

static void users_are_taken_from_the_file(void **ctx)
{
    (void)ctx;
    struct config *cfg =
        must_load("user alice on >foo ~a* &b* -@all +@admin (+@all %R~x)\nuser bob off\n");
    assert_int_equal(cfg->users->count, 3);
    const struct acl_user *alice = acl_users_find(cfg->users, "alice", 5);
    struct acl_text line = {0};
    acl_user_line(alice, &line);
    assert_string_equal(line.data,
                        "user alice on sanitize-payload #2c26b46b68ffc68ff99b453c1d30413413422"
                        "d706483bfa0f98a5e886266e7ae ~a* resetchannels &b* -@all +@admin "
                        "(%R~x resetchannels +@all)");
    acl_text_free(&line);
    assert_true(acl_users_default(cfg->users)->nopass);
    config_free(cfg);
    /* requirepass and the line of "default": the line counts. */
    cfg = must_load("requirepass bar\nuser default on #2c26b46b68ffc68ff99b453c1d30413413422"
                    "d706483bfa0f98a5e886266e7ae ~* &* +@all\n");
    assert_true(acl_authenticate(acl_users_default(cfg->users), "foo", 3));
    assert_false(acl_authenticate(acl_users_default(cfg->users), "bar", 3));
    assert_int_equal(cfg->note_count, 1);
    config_free(cfg);
    cfg = must_load("requirepass foo\nuser bob on nopass\n");
    assert_true(acl_authenticate(acl_users_default(cfg->users), "foo", 3));
    config_free(cfg);
    assert_null(load("user a on\nport 7\nuser a off\n"));
    assert_int_equal(err.line, 3);
    assert_string_equal(err.reason, "Error in user declaration 'a': Duplicate user found. A user "
                                    "can only be defined once in config files");
    /* Wherever the option stands. */
    cfg = must_load("user a on\nacl-pubsub-default allchannels\nacllog-max-len 5\n");
    assert_true(acl_users_find(cfg->users, "a", 1)->root.all_channels);
    assert_int_equal(cfg->server.acllog_max_len, 5);
    config_free(cfg);
}

static void the_command_line_has_the_last_word(void **ctx)
{
    (void)ctx;
    static const char text[] = "port 1\nsentinel monitor m1 ::1 7901 2\n";
    char *args[] = {"--port",     "7",       "--sentinel", "--requirepass", "a b",
                    "--sentinel", "monitor", "m2",         "::2",           "9",
                    "3",          "--bind",  "::1 ::2"};
    struct config *cfg = config_load_text("/x", text, strlen(text), 13, args, true, &err);
    assert_non_null(cfg);
    assert_int_equal(cfg->server.port, 7);
    assert_string_equal(cfg->server.requirepass, "a b");
    assert_int_equal(cfg->server.bind_count, 2);
    assert_int_equal(group(cfg, "m2")->set.quorum, 3);
    config_free(cfg);

    char *wrong[] = {"--port", "abc"};
    assert_null(config_load_text("/x", text, strlen(text), 2, wrong, true, &err));
    assert_int_equal(err.line, 4); /* as stock counts */
    assert_string_equal(err.text, "port \"abc\"");
}

static void names_are_taken_when_allowed_and_left_to_be_resolved(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("sentinel monitor m1 db1.example 7901 2\n"
                                   "sentinel known-replica m1 db2.example 7902\n"
                                   "sentinel known-sentinel m1 s2.example 26379 " ID_A "\n"
                                   "sentinel resolve-hostnames yes\n");
    const struct config_group *g = group(cfg, "m1");
    assert_string_equal(g->addr.ip, "");
    assert_int_equal(g->addr.port, 7901);
    assert_string_equal(g->addr.host->text, "db1.example");
    assert_string_equal(g->replicas[0].host->text, "db2.example");
    assert_string_equal(g->sentinels[0].addr.host->text, "s2.example");
    config_free(cfg);
    assert_null(load("sentinel monitor m1 no/name 7901 2\n"
                     "sentinel resolve-hostnames yes\n"));
    assert_null(load("sentinel monitor m1 db1.example 7901 2\n"
                     "sentinel known-replica m1 DB2.example 7902\n"
                     "sentinel known-replica m1 db2.EXAMPLE 7902\n"
                     "sentinel resolve-hostnames yes\n"));
}

static void whom_the_vote_went_to_comes_from_the_comment(void **ctx)
{
    (void)ctx;
    struct config *cfg = must_load("# vedette: leader m1 5 " ID_A "\n"
                                   "# vedette: leader m2 5 " ID_A "\n"
                                   "# vedette: leader nobody x y\n"
                                   "sentinel monitor m1 ::1 1 2\nsentinel leader-epoch m1 5\n"
                                   "sentinel monitor m2 ::1 2 2\nsentinel leader-epoch m2 6\n");
    assert_string_equal(group(cfg, "m1")->leader.hex, ID_A);
    assert_false(runid_known(&group(cfg, "m2")->leader)); /* redis-sentinel voted meanwhile */
    config_free(cfg);
}

/* --- files
 * ------------------------------------------------------------------------------------------------
 */

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void files_directories_and_includes(void **ctx)
{
    (void)ctx;
    char base[] = "/tmp/vedette-config.XXXXXX", before[512], cwd[512], dir[64];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_non_null(mkdtemp(base));
    assert_int_equal(chdir(base), 0);
    assert_int_equal(mkdir("sub", 0755), 0);
    put("s.conf", "dir sub\nlogfile here.log\npidfile here.pid\ninclude more.conf\n"
                  "sentinel monitor m1 ::2 2 2\n");
    put("sub/more.conf", "port 99\nsentinel monitor m1 ::1 1 1\nsentinel monitor m3 ::3 3 3\n"
                         "sentinel down-after-milliseconds m1 1000\n");
    assert_true(config_peek_dir("s.conf", 0, NULL, dir, sizeof(dir)));
    assert_string_equal(dir, "sub");
    struct config *cfg = config_load("s.conf", 0, NULL, &err);
    if (cfg == NULL) {
        fail_msg("%s: %s", err.text, err.reason);
    }
    snprintf(cwd, sizeof(cwd), "%s/sub", base);
    assert_string_equal(cfg->cwd, cwd);
    snprintf(cwd, sizeof(cwd), "%s/s.conf", base);
    assert_string_equal(cfg->path, cwd); /* made absolute before dir */
    assert_int_equal(access("here.log", F_OK), 0);
    assert_int_not_equal(access("here.pid", F_OK), 0); /* proved, not left behind */
    assert_int_equal(cfg->server.port, 99);
    assert_int_equal(group(cfg, "m1")->addr.port, 2); /* the file itself has the word */
    assert_int_equal(group(cfg, "m1")->set.down_after, 1000);
    assert_int_equal(group(cfg, "m3")->set.quorum, 3);
    config_free(cfg);

    static const struct {
        const char *text, *reason;
        enum config_error_kind kind;
    } wrong[] = {
        {"dir /nonexistent/x\n", "Can't chdir to '/nonexistent/x': No such file or directory",
         CONFIG_ERROR_LINE},
        {"logfile /nonexistent/x\n", "Can't open the log file: No such file or directory",
         CONFIG_ERROR_FATAL},
        {"pidfile /nonexistent/x\n", "Can't open the pid file: No such file or directory",
         CONFIG_ERROR_FATAL},
        {"include /nonexistent/x\n", "No such file or directory", CONFIG_ERROR_OPEN},
        {"include w.conf\n", "Too many nested include directives", CONFIG_ERROR_LINE},
    };
    assert_int_equal(chdir(base), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        put("w.conf", wrong[i].text);
        assert_null(config_load("w.conf", 0, NULL, &err));
        assert_string_equal(err.reason, wrong[i].reason);
        assert_int_equal(err.kind, wrong[i].kind);
    }
    unlink("w.conf");
    unlink("s.conf");
    unlink("sub/more.conf");
    unlink("sub/here.log");
    rmdir("sub");
    assert_int_equal(chdir(before), 0);
    rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_lines_are_refused_in_the_words_of_stock),
        cmocka_unit_test(the_error_block_is_that_of_stock),
        cmocka_unit_test(an_old_estate_loads),
        cmocka_unit_test(tls_directives_are_read),
        cmocka_unit_test(memory_of_clients),
        cmocka_unit_test(everything_has_its_default),
        cmocka_unit_test(server_options_are_understood),
        cmocka_unit_test(a_full_redis_conf_is_kept_and_noted_once),
        cmocka_unit_test(the_default_user_as_stock_writes_it),
        cmocka_unit_test(users_are_taken_from_the_file),
        cmocka_unit_test(the_command_line_has_the_last_word),
        cmocka_unit_test(names_are_taken_when_allowed_and_left_to_be_resolved),
        cmocka_unit_test(whom_the_vote_went_to_comes_from_the_comment),
        cmocka_unit_test(files_directories_and_includes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
