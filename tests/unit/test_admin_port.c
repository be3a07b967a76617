/* The port as clients see it: order of replies, votes, subscribers, bounds, and the commands that
 * travel between threads. */
#include <poll.h>

#include "admin/command.h"
#include "admin_fake.h"

#define RUNID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define RUNID_E "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define VOTE    "sentinel is-master-down-by-addr 127.0.0.1 6379 7 " RUNID_B "\r\n"
#define VOTED_B "*3\r\n:1\r\n$40\r\n" RUNID_B "\r\n:7\r\n"
#define EARLIER "*3\r\n:1\r\n$40\r\n" RUNID_E "\r\n:3\r\n"

/* The elector answers the request number n. */
static void elector_answers(size_t n)
{
    struct vote_reply reply = {.to = fake.asked[n].to, .epoch = fake.asked[n].epoch};

    reply.leader = fake.asked[n].candidate;
    admin_ops.vote(fake.shard[fake.asked[n].shard].admin, &reply);
}

/* --- connection ------------------------------------------------------------------------------ */

static void simple_commands(void **state)
{
    int fd = fake_connect(0);

    ask(fd, "PING\r\n", "+PONG\r\n");
    ask(fd, "*2\r\n$4\r\nping\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n");
    ask(fd, "ping a b\r\n", "-ERR wrong number of arguments for 'ping' command\r\n");
    ask(fd, "keys *\r\n", "-ERR unknown command 'keys', with args beginning with: '*' \r\n");
    ask(fd, "sentinel|master x\r\n",
        "-ERR unknown command 'sentinel|master', with args beginning with: 'x' \r\n");
    ask(fd, "sentinel foo\r\n", "-ERR unknown subcommand 'foo'. Try SENTINEL HELP.\r\n");
    ask(fd, "sentinel\r\n", "-ERR wrong number of arguments for 'sentinel' command\r\n");
    ask(fd, "SENTINEL Master\r\n",
        "-ERR wrong number of arguments for 'sentinel|master' command\r\n");
    ask(fd, "client setname bob\r\nclient getname\r\n", "+OK\r\n$3\r\nbob\r\n");
    ask(fd, "reset\r\nclient getname\r\n", "+RESET\r\n$-1\r\n");
    ask(fd, "client reply skip\r\nping\r\nping b\r\n", "$1\r\nb\r\n");
    ask(fd, "client reply off\r\nping\r\nclient reply on\r\nping c\r\n", "+OK\r\n$1\r\nc\r\n");
    ask(fd, "quit\r\nping\r\n", "+OK\r\n<closed>");
    close(fd);
}

static void pipelined(void **state)
{
    int fd = fake_connect(0);
    struct buffer requests = {0};
    char expected[4096] = "";

    for (int i = 0; i < 300; i++) {
        buffer_printf(&requests, "*2\r\n$4\r\nPING\r\n$3\r\n%03d\r\n", i);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "$3\r\n%03d\r\n",
                 i);
    }
    say_bytes(fd, requests.data, requests.len);
    expect(fd, expected);
    /* The same in pieces of 7 bytes. */
    for (size_t at = 0; at < requests.len; at += 7) {
        say_bytes(fd, requests.data + at, requests.len - at < 7 ? requests.len - at : 7);
        ring_flush(fake.ring);
        ring_wait(fake.ring, 0);
    }
    expect(fd, expected);
    buffer_free(&requests);
    close(fd);
}

static void protocol_error_closes_only_that_client(void **state)
{
    int bad = fake_connect(0), good = fake_connect(0);

    ask(bad, "ping\r\n*1\r\n:1\r\n",
        "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n<closed>");
    ask(good, "ping\r\n", "+PONG\r\n");
    assert_int_equal(atomic_load(&fake.process.counters.protocol_errors), 1);
    assert_int_equal(atomic_load(&fake.process.counters.clients), 1);
    int http = fake_connect(0);
    ask(http, "POST / HTTP/1.1\r\n", "<closed>");
    close(bad);
    close(good);
    close(http);
    turns();
    assert_int_equal(atomic_load(&fake.process.counters.clients), 0);
}

static void passwords(void **state)
{
    int root = fake_connect(1), fd;
    ask(root, "acl setuser default resetpass >sec\r\n", "+OK\r\n");
    close(root);
    fd = fake_connect(0);

    ask(fd, "ping\r\n", "-NOAUTH Authentication required.\r\n");
    ask(fd, "auth se\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    ask(fd, "auth secc\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    ask(fd, "auth bob sec\r\n",
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    ask(fd, "auth default sec\r\nping\r\n", "+OK\r\n+PONG\r\n");
    ask(fd, "reset\r\nping\r\n", "+RESET\r\n-NOAUTH Authentication required.\r\n");
    ask(fd, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n<closed>");
    close(fd);
}

static void too_many_clients(void **state)
{
    fake.process.options.maxclients = 2;
    int a = fake_connect(0), b = fake_connect(1), c = fake_connect(0);

    expect(c, "-ERR max number of clients reached\r\n<closed>");
    ask(a, "ping\r\n", "+PONG\r\n");
    close(b);
    turns();
    int d = fake_connect(0);
    ask(d, "ping\r\n", "+PONG\r\n");
    close(a);
    close(c);
    close(d);
}

static void idle_clients(void **state)
{
    fake.process.options.timeout = 10;
    int idle = fake_connect(0), listening = fake_connect(0), busy = fake_connect(0);

    say(listening, "subscribe a\r\n");
    heard(listening);
    fake.now += 9000;
    ask(busy, "ping\r\n", "+PONG\r\n");
    fake.now += 1001;
    expect(idle, "<closed>");
    ask(busy, "ping\r\n", "+PONG\r\n");
    ask(listening, "ping\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    close(idle);
    close(listening);
    close(busy);
}

/* --- votes ----------------------------------------------------------------------------------- */

static void votes_do_not_block_and_keep_their_order(void **state)
{
    int fd = fake_connect(0);

    say(fd, VOTE VOTE "ping\r\n" VOTE "ping x\r\n");
    assert_int_equal(fake.asked_count, 3);
    expect(fd, "");
    elector_answers(1);
    expect(fd, "");
    elector_answers(2);
    expect(fd, "");
    elector_answers(0);
    expect(fd, VOTED_B VOTED_B "+PONG\r\n" VOTED_B "$1\r\nx\r\n");
    /* Twice answered is once answered. */
    elector_answers(0);
    ask(fd, "ping\r\n", "+PONG\r\n");
    ask(fd, "sentinel is-master-down-by-addr 127.0.0.1 6379 7 *\r\n", EARLIER);
    ask(fd, "sentinel is-master-down-by-addr 127.0.0.1 6379 7 foo\r\n",
        "-ERR Invalid runid 'foo'\r\n");
    ask(fd, "sentinel is-master-down-by-addr somewhere 6379 7 " RUNID_B "\r\n",
        "*3\r\n:0\r\n$1\r\n*\r\n:0\r\n");
    close(fd);
}

static void votes_that_take_too_long_get_the_earlier_one(void **state)
{
    int fd = fake_connect(0);

    say(fd, VOTE);
    fake.now += 100;
    say(fd, VOTE);
    assert_int_equal(fake.turn_next, fake.now - 100 + LIMIT_VOTE_PATIENCE);
    fake.now += LIMIT_VOTE_PATIENCE - 101;
    expect(fd, "");
    fake.now += 1;
    expect(fd, EARLIER);
    assert_int_equal(fake.turn_next, fake.now + 100);
    elector_answers(1);
    expect(fd, VOTED_B);
    elector_answers(0);
    expect(fd, "");
    assert_int_equal(fake.turn_next, MS_NEVER);
    assert_int_equal(atomic_load(&fake.process.counters.votes_impatient), 1);
    atomic_store(&fake.process.journal_refused, true);
    ask(fd, VOTE, EARLIER);
    close(fd);
}

static void votes_of_a_client_that_left(void **state)
{
    int fd = fake_connect(0);

    say(fd, VOTE VOTE);
    close(fd);
    turns();
    /* Its place is taken by another, whom these answers do not concern. */
    int other = fake_connect(0);
    say(other, VOTE);
    assert_int_equal(fake.asked_count, 3);
    elector_answers(0);
    expect(other, "");
    elector_answers(2);
    expect(other, VOTED_B);
    fake.now += LIMIT_VOTE_PATIENCE;
    ask(other, "ping\r\n", "+PONG\r\n");
    close(other);
}

static void only_so_many_votes_wait(void **state)
{
    int fd = fake_connect(0);
    struct buffer requests = {0};
    size_t replies = 0;

    for (int i = 0; i < 5000; i++) {
        buffer_append(&requests, VOTE, sizeof VOTE - 1);
    }
    say_bytes(fd, requests.data, requests.len);
    turns();
    turns();
    assert_in_range(fake.asked_count, LIMIT_CLIENT_SLOTS - 2, LIMIT_CLIENT_SLOTS);
    for (size_t i = 0; i < 5000; i++) {
        if (i == fake.asked_count) {
            turns();
        }
        assert_true(i < fake.asked_count);
        elector_answers(i);
    }
    for (const char *p = heard(fd); (p = strstr(p, "*3\r\n")); p++) {
        replies++;
    }
    assert_int_equal(replies, 5000);
    assert_int_equal(fake.asked_count, 5000);
    buffer_free(&requests);
    close(fd);
}

/* --- commands that travel -------------------------------------------------------------------- */

static void changing_commands_hold_up_their_client_only(void **state)
{
    add_group("m1", 6379);
    int fd = fake_connect(0), other = fake_connect(0);

    fake.hold_saves = true;
    say(fd, "sentinel set m1 quorum 3\r\nclient setname late\r\n");
    expect(fd, "");
    ask(other, "ping\r\n", "+PONG\r\n");
    assert_non_null(strstr(fake.log, "record sentinel quorum m1 3\n"));
    assert_non_null(strstr(fake.log, "event +set master m1 127.0.0.1 6379 quorum 3\n"));
    say(other, "client list\r\n");
    assert_null(strstr(heard(other), "name=late"));
    fake_saved(true);
    expect(fd, "+OK\r\n+OK\r\n");
    say(fd, "sentinel set m1 auth-pass secret\r\n");
    fake_saved(false);
    expect(fd, "-ERR Failed to save config file. Check server logs.\r\n");
    assert_non_null(strstr(fake.log, "record sentinel auth-pass m1 secret\n"));
    assert_non_null(strstr(fake.log, "auth-pass ******\n"));
    /* Gone before it is saved. */
    say(fd, "sentinel set m1 quorum 4\r\n");
    close(fd);
    turns();
    fake_saved(true);
    turns();
    ask(other, "ping\r\n", "+PONG\r\n");
    close(other);
}

static void set_checks_all_before_it_changes_any(void **state)
{
    add_group("m1", 6379);
    int fd = fake_connect(1);

    ask(fd, "sentinel set m1 quorum 5 parallel-syncs x\r\n",
        "-ERR Invalid argument 'x' for SENTINEL SET 'parallel-syncs'\r\n");
    ask(fd, "sentinel set m1 quorum 5 foo\r\n",
        "-ERR Unknown option or number of arguments for SENTINEL SET 'foo'\r\n");
    ask(fd, "sentinel set m1 rename-command a\r\n",
        "-ERR Unknown option or number of arguments for SENTINEL SET 'rename-command'\r\n");
    ask(fd, "sentinel set nope quorum 5\r\n", "-ERR No such master with that name\r\n");
    assert_string_equal(fake.log, "");
    ask(fd, "sentinel set m1 QUORUM 1 rename-command config 'a b'\r\n", "+OK\r\n");
    assert_non_null(strstr(fake.log, "record sentinel quorum m1 1\n"));
    assert_non_null(strstr(fake.log, "record sentinel rename-command m1 config \"a b\"\n"));
    assert_non_null(strstr(fake.log, "event +set master m1 127.0.0.1 6379 QUORUM 1\n"));
    close(fd);
}

static void monitor_and_remove(void **state)
{
    int fd = fake_connect(0);

    ask(fd, "sentinel monitor m1 127.0.0.1 6379 2\r\n", "+OK\r\n");
    ask(fd, "sentinel monitor m2 127.0.0.1 6380 1\r\n", "+OK\r\n");
    ask(fd, "sentinel monitor m1 127.0.0.1 6379 2\r\n", "-ERR Duplicate master name.\r\n");
    ask(fd, "sentinel monitor m3 nowhere 6379 2\r\n",
        "-ERR Invalid IP address or hostname specified\r\n");
    ask(fd, "sentinel monitor m,3 127.0.0.1 6379 2\r\n", "-ERR Invalid master name.\r\n");
    ask(fd, "sentinel get-master-addr-by-name m2\r\n", "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n");
    ask(fd, "role\r\n", "*2\r\n$8\r\nsentinel\r\n*2\r\n$2\r\nm1\r\n$2\r\nm2\r\n");
    ask(fd, "sentinel reset m*\r\n", ":2\r\n");
    ask(fd, "sentinel remove m1\r\n", "+OK\r\n");
    ask(fd, "sentinel remove m1\r\n", "-ERR No such master with that name\r\n");
    ask(fd, "sentinel get-master-addr-by-name m1\r\n", "*-1\r\n");
    ask(fd, "sentinel master m1\r\n", "-ERR No such master with that name\r\n");
    say(fd, "sentinel masters\r\n");
    static const char only_m2[] = "*1\r\n*40\r\n$4\r\nname\r\n$2\r\nm2\r\n";
    assert_memory_equal(heard(fd), only_m2, sizeof only_m2 - 1);
    close(fd);
}

static void masters_come_in_the_order_of_monitor(void **state)
{
    int fd = fake_connect(1);
    char name[16];

    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "m%d", i);
        add_group(name, (uint16_t)(7000 + i));
    }
    say(fd, "sentinel masters\r\nping\r\n");
    const char *reply = heard(fd);
    assert_memory_equal(reply, "*10\r\n", 5);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "\r\nm%d\r\n", i);
        reply = strstr(reply, name);
        assert_non_null(reply);
    }
    assert_non_null(strstr(reply, "+PONG\r\n"));
    close(fd);
}

static void failover_errors(void **state)
{
    add_group("m1", 6379);
    int fd = fake_connect(0);

    ask(fd, "sentinel failover m1\r\n", "+OK\r\n");
    fake.failover = GROUP_INPROG;
    ask(fd, "sentinel failover m1\r\n", "-INPROG Failover already in progress\r\n");
    fake.failover = GROUP_NOGOODSLAVE;
    ask(fd, "sentinel failover m1\r\n", "-NOGOODSLAVE No suitable replica to promote\r\n");
    fake.failover = GROUP_TWIN;
    strcpy(fake.process.twin_address.ip, "10.0.0.1");
    fake.process.twin_address.port = 26379;
    ask(fd, "sentinel failover m1\r\n", "-ERR another sentinel uses my id, at 10.0.0.1:26379\r\n");
    close(fd);
}

static void settings(void **state)
{
    int fd = fake_connect(0);

    ask(fd, "sentinel config set announce-port 5000 announce-ip 127.0.0.1\r\n", "+OK\r\n");
    assert_non_null(strstr(fake.log, "record sentinel announce-port 5000\n"));
    ask(fd, "sentinel config get announce-port\r\n",
        "*2\r\n$13\r\nannounce-port\r\n$4\r\n5000\r\n");
    ask(fd, "sentinel config set announce-port 6000 announce-ip\r\n",
        "-ERR Missing argument 'announce-ip' value\r\n");
    ask(fd, "sentinel config set announce-port 6000 announce-port 1\r\n",
        "-ERR Duplicate argument 'announce-port' to SENTINEL CONFIG SET\r\n");
    ask(fd, "sentinel config set announce-port 6000 foo 1\r\n",
        "-ERR Invalid argument 'foo' to SENTINEL CONFIG SET\r\n");
    ask(fd, "sentinel config set announce-port 6000 loglevel loud\r\n",
        "-ERR Invalid value 'loud' to SENTINEL CONFIG SET 'loglevel'\r\n");
    assert_int_equal(fake.tunables.announce_port, 5000);
    ask(fd, "sentinel debug ping-period 250 ask-period 300\r\n", "+OK\r\n");
    assert_int_equal(fake.tunables.periods.ping, 250);
    assert_int_equal(fake.tunables.periods.ask, 300);
    ask(fd, "sentinel debug ping-period 0\r\n",
        "-ERR Invalid argument '0' for SENTINEL DEBUG 'ping-period'\r\n");
    ask(fd, "sentinel simulate-failure crash-after-promotion\r\n", "+OK\r\n");
    assert_true(fake.tunables.crash_after_promotion && !fake.tunables.crash_after_election);
    ask(fd, "sentinel simulate-failure help\r\n",
        "*2\r\n$20\r\ncrash-after-election\r\n$21\r\ncrash-after-promotion\r\n");
    assert_false(fake.tunables.crash_after_promotion);
    say(fd, "shutdown\r\n");
    assert_int_equal(fake.stopped, 1);
    close(fd);
}

/* A script that failed long ago: its time has come, but nobody turns the queue. */
static void pending_scripts(void **state)
{
    int fd = fake_connect(0);
    struct scripts_counts counts = {.running = 1};
    ms_t then = clock_now() - 10000000;

    ask(fd, "sentinel pending-scripts\r\n", "*0\r\n");
    const char *argv[] = {"/bin/false", "+odown", "a b"};
    scripts_add(fake.scripts, script_job_new(argv, 3), then);
    for (int i = 0; i < 60000 && counts.running > 0; i++) {
        (void)poll(NULL, 0, 1);
        scripts_turn(fake.scripts, then);
        scripts_counts(fake.scripts, &counts);
    }
    assert_int_equal(counts.queued, 1);
#define REST                                                                                       \
    "$4\r\nargv\r\n*3\r\n$10\r\n/bin/false\r\n$6\r\n+odown\r\n$3\r\na b\r\n"                       \
    "$5\r\nflags\r\n$9\r\nscheduled\r\n$3\r\npid\r\n$1\r\n0\r\n"                                   \
    "$9\r\nrun-delay\r\n$1\r\n0\r\n$9\r\nretry-num\r\n$1\r\n1\r\n"
    ask(fd, "sentinel pending-scripts\r\n", "*1\r\n*10\r\n" REST);
    say(fd, "hello 3\r\n");
    (void)heard(fd);
    ask(fd, "sentinel pending-scripts\r\n", "*1\r\n%5\r\n" REST);
#undef REST
    close(fd);
}

static void scripts_are_set_where_allowed(void **state)
{
    int fd = fake_connect(0);

    add_group("m1", 6379);
    ask(fd, "sentinel set m1 notification-script /bin/true\r\n",
        "-ERR Reconfiguration of scripts path is denied for security reasons. Check the "
        "deny-scripts-reconfig configuration directive in your Sentinel configuration\r\n");
    fake.process.options.deny_scripts_reconfig = false;
    ask(fd, "sentinel set m1 client-reconfig-script /no/such\r\n",
        "-ERR Client reconfiguration script seems non existing or non executable\r\n");
    ask(fd, "sentinel set m1 notification-script /bin/true client-reconfig-script /bin/sh\r\n",
        "+OK\r\n");
    assert_non_null(strstr(fake.log, "record sentinel notification-script m1 /bin/true\n"));
    assert_non_null(strstr(fake.log, "record sentinel client-reconfig-script m1 /bin/sh\n"));
    say(fd, "sentinel master m1\r\n");
    assert_non_null(strstr(heard(fd), "$19\r\nnotification-script\r\n$9\r\n/bin/true\r\n"
                                      "$22\r\nclient-reconfig-script\r\n$7\r\n/bin/sh\r\n"));
    ask(fd, "sentinel set m1 notification-script \"\"\r\n", "+OK\r\n");
    assert_non_null(strstr(fake.log, "record sentinel notification-script m1 \"\"\n"));
    say(fd, "sentinel master m1\r\n");
    assert_null(strstr(heard(fd), "notification-script"));
    close(fd);
}

static void kill_and_list(void **state)
{
    int a = fake_connect(0), b = fake_connect(1), c = fake_connect(1);

    say(b, "subscribe x\r\n");
    heard(b);
    say(a, "client list\r\n");
    const char *list = heard(a);
    const char *first = strstr(list, "id=1 "), *second = strstr(list, "id=2 ");
    assert_true(first && second && first < second && strstr(second, "id=3 "));
    ask(a, "client list type master\r\n", "$0\r\n\r\n");
    ask(a, "sentinel masters\r\n", "*0\r\n");
    ask(a, "client kill type pubsub\r\n", ":1\r\n");
    expect(b, "<closed>");
    ask(a, "client kill id 99\r\n", ":0\r\n");
    ask(a, "client kill 1.2.3.4:5\r\n", "-ERR No such client\r\n");
    ask(c, "client kill type normal skipme no\r\n", ":2\r\n<closed>");
    expect(a, "<closed>");
    close(a);
    close(b);
    close(c);
}

static void pause_stops_everybody_for_a_while(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);

    ask(a, "client pause 1000\r\nping\r\n", "+OK\r\n");
    ask(b, "ping\r\n", "");
    fake.now += 999;
    expect(b, "");
    fake.now += 1;
    expect(b, "+PONG\r\n");
    expect(a, "+PONG\r\n");
    close(a);
    close(b);
}

/* --- pub/sub --------------------------------------------------------------------------------- */

static void publish(const char *channel, const char *text)
{
    struct event_note note = {.channel = channel, .text = text, .text_len = strlen(text)};

    for (unsigned s = 0; s < SHARDS; s++) {
        admin_ops.event(fake.shard[s].admin, &note);
    }
}

static void subscribers(void **state)
{
    int a = fake_connect(0), b = fake_connect(1), c = fake_connect(0);

    assert_false(admin_ops.subscribed(fake.shard[0].admin));
    ask(a, "subscribe +sdown +odown +sdown\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$6\r\n+odown\r\n:2\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:2\r\n");
    assert_true(atomic_load(&fake.process.subscribed[0]));
    assert_true(admin_ops.subscribed(fake.shard[0].admin));
    ask(b, "psubscribe *\r\n", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    ask(c, "hello 3\r\n",
        "%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n8.0.0\r\n$5\r\nproto\r\n:3\r\n"
        "$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n");
    ask(c, "psubscribe +*down\r\nping\r\n",
        ">3\r\n$10\r\npsubscribe\r\n$6\r\n+*down\r\n:1\r\n+PONG\r\n");
    publish("+sdown", "one");
    publish("+tilt", "two");
    publish("+odown", "three");
    expect(a, "*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$3\r\none\r\n"
              "*3\r\n$7\r\nmessage\r\n$6\r\n+odown\r\n$5\r\nthree\r\n");
    expect(b, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$6\r\n+sdown\r\n$3\r\none\r\n"
              "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$5\r\n+tilt\r\n$3\r\ntwo\r\n"
              "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$6\r\n+odown\r\n$5\r\nthree\r\n");
    expect(c, ">4\r\n$8\r\npmessage\r\n$6\r\n+*down\r\n$6\r\n+sdown\r\n$3\r\none\r\n"
              ">4\r\n$8\r\npmessage\r\n$6\r\n+*down\r\n$6\r\n+odown\r\n$5\r\nthree\r\n");
    ask(a, "info\r\n",
        "-ERR Can't execute 'info': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
        "QUIT / RESET are allowed in this context\r\n");
    ask(a, "unsubscribe\r\nping\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$6\r\n+sdown\r\n:1\r\n"
        "*3\r\n$11\r\nunsubscribe\r\n$6\r\n+odown\r\n:0\r\n+PONG\r\n");
    publish("+sdown", "four");
    expect(a, "");
    close(a);
    close(b);
    close(c);
    turns();
    assert_false(admin_ops.subscribed(fake.shard[0].admin));
}

/* What is pushed while an answer is awaited does not overtake the confirmation. */
static void messages_come_after_the_confirmation(void **state)
{
    int fd = fake_connect(0);

    say(fd, VOTE "subscribe +sdown\r\n");
    publish("+sdown", "one");
    expect(fd, "");
    elector_answers(0);
    expect(fd, VOTED_B "*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n"
                       "*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$3\r\none\r\n");
    close(fd);
}

static void a_subscriber_that_does_not_read_is_closed(void **state)
{
    int lazy = fake_connect(0), keen = fake_connect(0);
    static char text[65536];

    memset(text, 'x', sizeof text - 1);
    say(lazy, "subscribe c\r\n");
    say(keen, "subscribe d\r\n");
    heard(keen);
    for (int i = 0; i < 600; i++) {
        publish("c", text);
        if (i % 16 == 0) {
            turns();
        }
    }
    turns();
    assert_int_equal(atomic_load(&fake.process.counters.output_closed), 1);
    assert_int_equal(atomic_load(&fake.process.counters.clients), 1);
    publish("d", "still");
    expect(keen, "*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$5\r\nstill\r\n");
    close(lazy);
    close(keen);
}

/* Above the soft limit it may stay for a while, and starts anew once it was below. */
static void a_subscriber_that_reads_too_slowly(void **state)
{
    int lazy = fake_connect(0);
    static char text[65536];

    memset(text, 'x', sizeof text - 1);
    say(lazy, "subscribe c\r\n");
    for (unsigned round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            publish("c", text);
        }
        fake.now += 60000;
        turns();
        assert_int_equal(atomic_load(&fake.process.counters.clients), 1);
        while (round == 0 && heard(lazy)[0] != '\0') {
        }
    }
    fake.now += 1000;
    turns();
    turns();
    assert_int_equal(atomic_load(&fake.process.counters.output_closed), 1);
    assert_int_equal(atomic_load(&fake.process.counters.clients), 0);
    close(lazy);
}

/* Its requests wait instead: nothing is lost, nothing grows. */
static void a_client_that_pipelines_and_does_not_read(void **state)
{
    int fd = fake_connect(0), other = fake_connect(0);
    struct buffer request = {0};
    size_t sent = 0, received = 0;

    buffer_printf(&request, "*2\r\n$4\r\nPING\r\n$10000\r\n%010000d\r\n", 0);
    for (int stuck = 0; stuck < 3 && sent < 100000000;) {
        size_t from = sent % request.len;
        ssize_t wrote = write(fd, request.data + from, request.len - from);
        stuck = wrote < 0 ? stuck + 1 : 0;
        sent += wrote > 0 ? (size_t)wrote : 0;
        turns();
    }
    assert_in_range(sent, 1000000, 10000000); /* the peer feels it */
    ask(other, "ping\r\n", "+PONG\r\n");
    for (const char *text = heard(fd); *text; text = heard(fd)) {
        received += strlen(text);
    }
    assert_int_equal(received, sent / request.len * (sizeof "$10000\r\n\r\n" - 1 + 10000));
    assert_int_equal(atomic_load(&fake.process.counters.clients), 2);
    buffer_free(&request);
    close(fd);
    close(other);
}

static void bounded_subscriptions(void **state)
{
    int fd = fake_connect(0);
    char request[64];

    for (int i = 0; i < LIMIT_SUBSCRIPTIONS; i++) {
        snprintf(request, sizeof request, "subscribe c%d\r\n", i);
        say_bytes(fd, request, strlen(request));
        if (i % 100 == 0) {
            turns();
        }
    }
    heard(fd);
    ask(fd, "psubscribe one-more\r\n", "-ERR too many subscriptions, or the name is too long\r\n");
    say(fd, "unsubscribe\r\n");
    heard(fd);
    ask(fd, "ping\r\n", "+PONG\r\n");
    close(fd);
}

static void hello_is_taken(void **state)
{
    int fd = fake_connect(0);

    ask(fd, "publish __sentinel__:hello x\r\n", ":1\r\n");
    assert_int_equal(fake.hellos, 1);
    ask(fd, "publish other x\r\n",
        "-ERR Only HELLO messages are accepted by Sentinel instances.\r\n");
    close(fd);
}

/* Anything a client may send: never a crash, never a client more or less. */
static void garbage(void **state)
{
    static const char *const words[] = {
        "sentinel",   "client",      "command",
        "info",       "set",         "m1",
        "quorum",     "1",           "*",
        "config",     "get",         "debug",
        "master",     "monitor",     "127.0.0.1",
        "6379",       "kill",        "list",
        "reply",      "skip",        "hello",
        "3",          "2",           "subscribe",
        "psubscribe", "unsubscribe", "reset",
        "x",          "failover",    "masters",
        "docs",       "pause",       "is-master-down-by-addr",
        RUNID_B,      "info-cache",  "remove",
        "tracking",   "on",
    };
    struct prng p;
    char request[512];

    add_group("m1", 6379);
    prng_seed(&p, 11);
    for (int round = 0; round < 300; round++) {
        int fd = fake_connect((unsigned)prng_below(&p, SHARDS));
        for (int i = 0; i < 20; i++) {
            size_t len = 0;
            for (size_t n = 1 + prng_below(&p, 7); n > 0; n--) {
                len += (size_t)snprintf(request + len, sizeof request - len, "%s ",
                                        words[prng_below(&p, sizeof words / sizeof words[0])]);
            }
            request[len - 1] = '\n';
            if (write(fd, request, len) < 0) {
                break;
            }
        }
        fake.log[0] = '\0';
        turns();
        fake.now += (ms_t)prng_below(&p, 1000);
        fake.asked_count = 0;
        if (prng_below(&p, 2)) {
            heard(fd);
        }
        close(fd);
        turns();
    }
    assert_int_equal(atomic_load(&fake.process.counters.clients), 0);
}

/* Last: names stay changed. */
static void renamed_commands(void **state)
{
    int fd = fake_connect(0);

    assert_true(admin_rename("SENTINEL", "Guard"));
    assert_true(admin_rename("shutdown", ""));
    assert_true(admin_rename("role", "shutdown"));
    assert_false(admin_rename("nope", "x"));
    assert_false(admin_rename("sentinel|master", "x"));
    assert_false(admin_rename("info", "PING"));
    ask(fd, "sentinel myid\r\n",
        "-ERR unknown command 'sentinel', with args beginning with: 'myid' \r\n");
    ask(fd, "guard MASTER nope\r\n", "-ERR No such master with that name\r\n");
    ask(fd, "shutdown\r\n", "*2\r\n$8\r\nsentinel\r\n*0\r\n");
    ask(fd, "ping\r\n", "+PONG\r\n");
    assert_non_null(command_find("info", 4, NULL, 0));
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(simple_commands),
        TEST(pipelined),
        TEST(protocol_error_closes_only_that_client),
        TEST(passwords),
        TEST(too_many_clients),
        TEST(idle_clients),
        TEST(votes_do_not_block_and_keep_their_order),
        TEST(votes_that_take_too_long_get_the_earlier_one),
        TEST(votes_of_a_client_that_left),
        TEST(only_so_many_votes_wait),
        TEST(changing_commands_hold_up_their_client_only),
        TEST(set_checks_all_before_it_changes_any),
        TEST(monitor_and_remove),
        TEST(masters_come_in_the_order_of_monitor),
        TEST(failover_errors),
        TEST(settings),
        TEST(pending_scripts),
        TEST(scripts_are_set_where_allowed),
        TEST(kill_and_list),
        TEST(pause_stops_everybody_for_a_while),
        TEST(subscribers),
        TEST(messages_come_after_the_confirmation),
        TEST(a_subscriber_that_does_not_read_is_closed),
        TEST(a_subscriber_that_reads_too_slowly),
        TEST(a_client_that_pipelines_and_does_not_read),
        TEST(bounded_subscriptions),
        TEST(hello_is_taken),
        TEST(garbage),
    };
    const struct CMUnitTest last[] = {
        TEST(renamed_commands), /* for the rest of the process */
    };
    int failed = run_on_both(tests);
    return failed + cmocka_run_group_tests(last, NULL, NULL);
}
