/* ACL on the port: who may do what, changes that reach all shards, and the log. */
#include "admin_fake.h"

static void add_users(int fd)
{
    ask(fd,
        "acl setuser ro on >pw +sentinel|get-master-addr-by-name +subscribe +ping "
        "&+switch-master\r\n",
        "+OK\r\n");
    ask(fd, "acl setuser boss on nopass ~* &* +@all\r\n", "+OK\r\n");
}

static void a_reader_can_do_nothing_else(void **state)
{
    int root = fake_connect(0), fd = fake_connect(1);

    add_users(root);
    add_group("m1", 7001);
    ask(fd, "auth ro no\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    ask(fd, "auth ro pw\r\nping\r\n", "+OK\r\n+PONG\r\n");
    ask(fd, "sentinel get-master-addr-by-name m1\r\n", "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n");
    ask(fd, "sentinel get-primary-addr-by-name m1\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n"); /* another name of the same */
    ask(fd, "SENTINEL Masters\r\n",
        "-NOPERM User ro has no permissions to run the 'sentinel|masters' command\r\n");
    ask(fd, "acl whoami\r\n",
        "-NOPERM User ro has no permissions to run the 'acl|whoami' command\r\n");
    ask(fd, "command\r\n", "-NOPERM User ro has no permissions to run the 'command' command\r\n");
    ask(fd, "psubscribe *\r\n",
        "-NOPERM User ro has no permissions to run the 'psubscribe' command\r\n");
    ask(fd, "subscribe +switch-master +sdown\r\n",
        "-NOPERM No permissions to access a channel\r\n");
    ask(fd, "subscribe +switch-master\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    ask(fd, "sentinel masters\r\n",
        "-NOPERM User ro has no permissions to run the 'sentinel|masters' command\r\n");
    /* RESET makes it "default" again, who may do everything here. */
    ask(fd, "reset\r\nacl whoami\r\n", "+RESET\r\n$7\r\ndefault\r\n");
    close(root);
    close(fd);
}

static void a_change_is_everywhere_before_it_is_confirmed(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);

    add_users(a);
    for (unsigned s = 0; s < SHARDS; s++) {
        const struct admin *admin = fake.shard[s].admin;
        assert_ptr_equal(admin->users, fake.process.users);
    }
    ask(b, "auth boss x\r\nping\r\n", "+OK\r\n+PONG\r\n");
    ask(a, "acl setuser boss -ping\r\n", "+OK\r\n");
    ask(b, "ping\r\n", "-NOPERM User boss has no permissions to run the 'ping' command\r\n");
    ask(a, "acl setuser boss off\r\n", "+OK\r\n");
    ask(b, "acl whoami\r\n", "$4\r\nboss\r\n"); /* who is in stays in */
    ask(b, "auth boss x\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    /* Nothing of a wrong change stays. */
    ask(a, "acl setuser boss on +ping bogus\r\n",
        "-ERR Error in ACL SETUSER modifier 'bogus': Syntax error\r\n");
    ask(a, "acl setuser boss (+ping\r\n",
        "-ERR Unmatched parenthesis in acl selector starting at '(+ping'.\r\n");
    ask(b, "ping\r\n", "-NOPERM User boss has no permissions to run the 'ping' command\r\n");
    close(a);
    close(b);
}

static void who_is_deleted_is_closed(void **state)
{
    int a = fake_connect(0), b = fake_connect(1), c = fake_connect(0);

    add_users(a);
    ask(b, "auth ro pw\r\n", "+OK\r\n");
    ask(c, "auth boss x\r\n", "+OK\r\n");
    ask(a, "acl deluser default\r\n", "-ERR The 'default' user cannot be removed\r\n");
    ask(a, "acl deluser nobody ro\r\n", ":1\r\n");
    expect(b, "<closed>");
    ask(a, "acl deluser ro\r\n", ":0\r\n");
    ask(c, "acl deluser boss\r\nping\r\n", ":1\r\n<closed>"); /* itself, after its reply */
    ask(a, "acl users\r\n", "*1\r\n$7\r\ndefault\r\n");
    close(a);
    close(b);
    close(c);
}

static void who_may_not_listen_any_more_is_closed(void **state)
{
    int a = fake_connect(0), one = fake_connect(1), two = fake_connect(1);

    add_users(a);
    ask(a, "acl setuser boss resetchannels &+s* &+o*\r\n", "+OK\r\n");
    ask(one, "auth boss x\r\n", "+OK\r\n");
    say(one, "subscribe +sdown\r\n");
    say(two, "auth boss x\r\npsubscribe +o*\r\n");
    (void)heard(one);
    (void)heard(two);
    ask(a, "acl setuser boss resetchannels &+sdown &+od*\r\n", "+OK\r\n");
    expect(one, ""); /* +sdown is still allowed */
    expect(two, "<closed>");
    close(a);
    close(one);
    close(two);
}

static void the_default_user_guards_the_door(void **state)
{
    int a = fake_connect(0);
    ask(a, "acl setuser default resetpass >sec\r\nping\r\n", "+OK\r\n+PONG\r\n");
    int b = fake_connect(1);
    ask(b, "ping\r\n", "-NOAUTH Authentication required.\r\n");
    ask(b, "acl whoami\r\n", "-NOAUTH Authentication required.\r\n");
    ask(b, "hello 3 auth default no\r\n",
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    ask(b, "auth sec\r\nping\r\n", "+OK\r\n+PONG\r\n");
    ask(a, "acl setuser default nopass\r\n", "+OK\r\n");
    ask(b, "auth sec\r\n",
        "-ERR AUTH <password> called without any password configured for the default user. Are "
        "you sure your configuration is correct?\r\n");
    int c = fake_connect(1);
    ask(a, "acl setuser default off\r\n", "+OK\r\n");
    ask(c, "ping\r\n", "+PONG\r\n"); /* it was let in */
    int d = fake_connect(0);
    ask(d, "ping\r\n", "-NOAUTH Authentication required.\r\n");
    ask(a, "acl setuser default on\r\n", "+OK\r\n");
    ask(d, "ping\r\n", "+PONG\r\n");
    close(a);
    close(b);
    close(c);
    close(d);
}

static void the_log_tells_what_was_refused(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);

    add_users(a);
    say(b, "auth ro no\r\nAUTH ro no\r\nauth ro pw\r\ninfo\r\ninfo\r\nsubscribe x\r\n");
    (void)heard(b);
    say(a, "acl log\r\n");
    const char *text = heard(a);
    assert_non_null(
        strstr(text, "*4\r\n*20\r\n$5\r\ncount\r\n:1\r\n$6\r\nreason\r\n$7\r\nchannel"));
    assert_non_null(strstr(text, "$5\r\ncount\r\n:2\r\n$6\r\nreason\r\n$7\r\ncommand\r\n$7\r\n"
                                 "context\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$4\r\ninfo\r\n"));
    assert_non_null(strstr(text, "object\r\n$4\r\nAUTH\r\n$8\r\nusername\r\n$2\r\nro\r\n"));
    assert_non_null(strstr(text, " user=ro "));
    ask(a, "acl log reset\r\nacl log\r\n", "+OK\r\n*0\r\n");
    ask(a, "acl log x\r\n", "-ERR value is not an integer or out of range\r\n");
    assert_int_equal(atomic_load(&fake.process.counters.denied_auth), 2);
    assert_int_equal(atomic_load(&fake.process.counters.denied_command), 2);
    assert_int_equal(atomic_load(&fake.process.counters.denied_channel), 1);
    close(a);
    close(b);
}

/* Guesses that come faster than main takes them are counted, and not piled up. */
static void a_flood_of_guesses_is_bounded(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);
    char guesses[LIMIT_ACL_MAIL * 20], *p = guesses;

    atomic_store(&fake.process.counters.denials_mailed, LIMIT_ACL_MAIL - 3);
    for (int i = 0; i < 10; i++)
        p += sprintf(p, "auth nobody%d x\r\n", i);
    say_bytes(b, guesses, (size_t)(p - guesses));
    (void)heard(b);
    assert_int_equal(atomic_load(&fake.process.counters.denied_auth), 10);
    assert_int_equal(atomic_load(&fake.process.counters.denials_unlogged), 7);
    assert_int_equal(acl_log_count(fake.acl_log), 3);
    assert_int_equal(atomic_load(&fake.process.counters.denials_mailed), LIMIT_ACL_MAIL - 3);
    close(a);
    close(b);
}

static void the_file_is_all_or_nothing(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);

    say(a, "acl load\r\n");
    assert_non_null(strstr(heard(a), "-ERR This Redis instance is not configured to use an ACL"));
    add_users(a);
    ask(b, "auth ro pw\r\n", "+OK\r\n");
    fake.acl_loaded = acl_users_new(false);
    fake.acl_broken = true;
    ask(a, "acl load\r\n", "-ERR nothing in it is right\r\n");
    say(a, "acl save\r\n");
    assert_non_null(strstr(heard(a), "-ERR There was an error trying to save the ACLs."));
    ask(b, "ping\r\n", "+PONG\r\n");
    fake.acl_broken = false;
    ask(a, "acl save\r\nacl load\r\n", "+OK\r\n+OK\r\n");
    expect(b, "<closed>");
    ask(a, "acl users\r\n", "*1\r\n$7\r\ndefault\r\n");
    close(a);
    close(b);
}

static void clients_can_be_killed_by_user(void **state)
{
    int a = fake_connect(0), b = fake_connect(1);

    add_users(a);
    ask(b, "auth ro pw\r\n", "+OK\r\n");
    ask(a, "client kill user nobody\r\n", "-ERR No such user 'nobody'\r\n");
    ask(a, "client kill user boss\r\n", ":0\r\n");
    ask(a, "client kill user ro\r\n", ":1\r\n");
    expect(b, "<closed>");
    close(a);
    close(b);
}

/* The fake's clients come from no address at all, so from none of this machine. */
static void protected_mode_asks_for_a_password(void **state)
{
    int a = fake_connect(0), b, c;

    fake.process.options.protected_mode = true;
    b = fake_connect(1);
    assert_true(strncmp(heard(b), "-DENIED vedette is in protected mode", 36) == 0);
    ask(a, "acl setuser default resetpass >pw\r\n", "+OK\r\n");
    c = fake_connect(1);
    ask(c, "auth pw\r\nping\r\n", "+OK\r\n+PONG\r\n");
    close(a);
    close(b);
    close(c);
}

/* CLIENT REPLY OFF hides what is refused as well. */
static void silence_stays_silence(void **state)
{
    int a = fake_connect(0);

    ask(a, "client reply off\r\nacl setuser x on\r\nauth x y\r\nclient reply on\r\n", "+OK\r\n");
    close(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_can_do_nothing_else),
        TEST(a_change_is_everywhere_before_it_is_confirmed),
        TEST(who_is_deleted_is_closed),
        TEST(who_may_not_listen_any_more_is_closed),
        TEST(the_default_user_guards_the_door),
        TEST(the_log_tells_what_was_refused),
        TEST(a_flood_of_guesses_is_bounded),
        TEST(the_file_is_all_or_nothing),
        TEST(clients_can_be_killed_by_user),
        TEST(protected_mode_asks_for_a_password),
        TEST(silence_stays_silence),
    };
    return run_on_both(tests);
}
