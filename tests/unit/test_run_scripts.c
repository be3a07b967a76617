/* The queue of scripts, with real children: shell scripts in a folder of their own. Time is the
 * test's: it hands scripts_turn() whatever it likes. */
#include "run/scripts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE 60000 /* ms for a child to do a few lines of shell on a loaded machine */

static struct {
    struct scripts *s;
    char dir[64];
    char log[65536]; /* events, one a line */
    struct periods periods;
    ms_t now;
} t;

static void note(void *ctx, enum event_type type, const char *text)
{
    size_t len = strlen(t.log);
    (void)ctx;
    assert_true(len + strlen(text) + 40 < sizeof t.log);
    (void)snprintf(t.log + len, sizeof t.log - len, "%s %s\n", event_name(type), text);
}

static int setup(void **state)
{
    memset(&t, 0, sizeof t);
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/vedette-scripts-XXXXXX");
    if (mkdtemp(t.dir) == NULL) {
        return -1;
    }
    struct scripts_options options = {.event = note};
    script_limits_take(&options.limits);
    t.s = scripts_new(&options);
    t.now = 1000000;
    periods_default(&t.periods);
    t.periods.script_retry_delay = 100;
    t.periods.script_max_runtime = 1000;
    scripts_periods(t.s, &t.periods);
    return 0;
}

/* What a failed test has left running ends now; its folder goes as well. */
static void kill_children(void)
{
    struct script_view view;
    for (size_t i = 0; scripts_view(t.s, i, t.now, &view); i++) {
        if (view.pid > 0) {
            (void)kill(view.pid, SIGKILL);
            (void)waitpid(view.pid, NULL, 0);
        }
    }
}

static int teardown(void **state)
{
    DIR *dir = opendir(t.dir);
    struct dirent *entry;
    char path[512];
    kill_children();
    scripts_free(t.s);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", t.dir, entry->d_name);
        (void)unlink(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return rmdir(t.dir);
}

/* --- scripts and what they leave behind ------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", t.dir, name);
    return path;
}

/* A shell script; $D is the test's folder. */
static void make(const char *name, const char *body)
{
    char partial[160];
    (void)snprintf(partial, sizeof partial, "%s.new", path_of(name));
    FILE *file = fopen(partial, "we");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\nD=%s\n%s\n", t.dir, body);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(partial, 0755), 0);
    assert_int_equal(rename(partial, path_of(name)), 0);
}

static void add(const char *name, const char *event, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s", path_of(name));
    const char *argv[] = {path, event, text};
    scripts_add(t.s, script_job_new(argv, 3), t.now);
}

/* The whole file, "" if there is none. */
static const char *text_of(const char *name)
{
    static char text[65536];
    FILE *file = fopen(path_of(name), "re");
    size_t len = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    text[len] = '\0';
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static struct scripts_counts counts(void)
{
    struct scripts_counts c;
    scripts_counts(t.s, &c);
    return c;
}

/* Turns, without time going by for the queue, until `done`. */
static void turn_until(bool (*done)(void))
{
    for (int waited = 0; !done(); waited++) {
        assert_true(waited < PATIENCE);
        scripts_turn(t.s, t.now);
        (void)poll(NULL, 0, 1);
    }
}

static bool nothing_runs(void)
{
    return counts().running == 0;
}

static bool nothing_left(void)
{
    return counts().queued == 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void runs_with_its_arguments(void **state)
{
    struct script_view view;
    char expected[256];
    make("say", "printf '%s|' \"$#\" \"$@\" >$D/out");
    add("say", "+odown", "master m1 127.0.0.1 6379 #quorum \"1\"/1 $(x)");
    assert_true(scripts_view(t.s, 0, t.now + 7, &view));
    assert_true(view.running);
    assert_int_equal(view.time, 7);
    assert_int_equal(view.retries, 1);
    assert_int_equal(view.argc, 3);
    assert_string_equal(view.argv[1], "+odown");
    assert_false(scripts_view(t.s, 1, t.now, &view));
    (void)snprintf(expected, sizeof expected, "+script-child %ld\n-script-child %ld 0 0\n",
                   (long)view.pid, (long)view.pid);
    turn_until(nothing_left);
    assert_string_equal(text_of("out"), "2|+odown|master m1 127.0.0.1 6379 #quorum \"1\"/1 $(x)|");
    assert_string_equal(t.log, expected);
    assert_int_equal(scripts_next_deadline(t.s), MS_NEVER);
}

/* The file "go" lets them end, and so does the end of a test that fails. */
#define WAIT_FOR_GO                                                                                \
    "echo $2 >>$D/begun; while [ -e $D/wait ] && [ ! -e $D/go ]; do sleep 0.05; done"

static void go(void)
{
    FILE *file = fopen(path_of("go"), "we");
    assert_non_null(file);
    (void)fclose(file);
}

static bool sixteen_begun(void)
{
    return lines_of(text_of("begun")) == 16;
}

static void sixteen_at_once_in_order(void **state)
{
    struct script_view view;
    char text[16];
    make("wait", WAIT_FOR_GO);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        add("wait", "+sdown", text);
    }
    turn_until(sixteen_begun);
    assert_int_equal(counts().running, 16);
    assert_int_equal(counts().queued, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(scripts_view(t.s, i, t.now, &view));
        (void)snprintf(text, sizeof text, "%zu", i);
        assert_string_equal(view.argv[2], text);
        assert_int_equal(view.running, i < 16);
        assert_int_equal(view.retries, i < 16);
        assert_int_equal(view.time, 0);
    }
    go();
    turn_until(nothing_left);
    assert_int_equal(lines_of(text_of("begun")), 20);
    assert_int_equal(counts().dropped, 0);
}

static void full_queue_drops_the_oldest_that_waits(void **state)
{
    struct script_view view;
    char text[16];
    make("wait", WAIT_FOR_GO);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        add("wait", "+sdown", text);
    }
    assert_int_equal(counts().queued, 256);
    assert_int_equal(counts().running, 16);
    assert_int_equal(counts().dropped, 44);
    assert_true(scripts_view(t.s, 15, t.now, &view)); /* the last that runs */
    assert_string_equal(view.argv[2], "15");
    assert_true(scripts_view(t.s, 16, t.now, &view)); /* 16 to 59 are gone */
    assert_string_equal(view.argv[2], "60");
    assert_true(scripts_view(t.s, 255, t.now, &view));
    assert_string_equal(view.argv[2], "299");
    go();
    turn_until(nothing_runs);
    turn_until(nothing_left);
    assert_int_equal(lines_of(text_of("begun")), 256);
}

/* Exit 1: ten runs, the second after the delay, each later one after twice the wait before it. */
static void tried_ten_times(void **state)
{
    struct script_view view;
    ms_t wait = 100;
    make("fail", "echo x >>$D/runs; exit 1");
    add("fail", "+odown", "m1");
    for (unsigned run = 1; run < 10; run++) {
        turn_until(nothing_runs);
        assert_int_equal(lines_of(text_of("runs")), run);
        assert_true(scripts_view(t.s, 0, t.now, &view));
        assert_false(view.running);
        assert_int_equal(view.pid, 0);
        assert_int_equal(view.retries, run);
        assert_int_equal(view.time, wait);
        assert_int_equal(scripts_next_deadline(t.s), t.now + wait);
        t.now += wait - 1;
        scripts_turn(t.s, t.now);
        assert_int_equal(counts().running, 0);
        t.now += 1;
        scripts_turn(t.s, t.now);
        assert_int_equal(counts().running, 1);
        assert_null(strstr(t.log, "-script-error"));
        wait *= 2;
    }
    turn_until(nothing_left);
    assert_int_equal(lines_of(text_of("runs")), 10);
    char expected[256];
    (void)snprintf(expected, sizeof expected, "-script-error %s 0 1\n", path_of("fail"));
    assert_non_null(strstr(t.log, expected));
}

static void death_by_signal_is_tried_again(void **state)
{
    struct script_view view;
    make("die", "if [ -e $D/once ]; then echo y >$D/out; else : >$D/once; kill -SEGV $$; fi");
    add("die", "+odown", "m1");
    turn_until(nothing_runs);
    assert_true(scripts_view(t.s, 0, t.now, &view));
    assert_int_equal(view.time, 100);
    assert_non_null(strstr(t.log, " 0 11\n"));
    t.now += 100;
    scripts_turn(t.s, t.now);
    turn_until(nothing_left);
    assert_string_equal(text_of("out"), "y\n");
    assert_null(strstr(t.log, "-script-error"));
}

/* Other exit codes are final, and so is a file that nothing can execute. */
static void other_codes_are_final(void **state)
{
    char expected[512];
    make("three", "exit 3");
    add("three", "+odown", "m1");
    turn_until(nothing_left);
    (void)snprintf(expected, sizeof expected, "-script-error %s 0 3\n", path_of("three"));
    assert_non_null(strstr(t.log, expected));
    add("missing", "+odown", "m1");
    turn_until(nothing_left);
    (void)snprintf(expected, sizeof expected, "-script-error %s 0 2\n", path_of("missing"));
    assert_non_null(strstr(t.log, expected));
}

static void killed_when_it_runs_too_long(void **state)
{
    struct script_view view;
    char expected[512];
    make("hang", "exec sleep 600");
    add("hang", "+odown", "m1");
    assert_true(scripts_view(t.s, 0, t.now, &view));
    assert_int_equal(scripts_next_deadline(t.s), t.now + 1001);
    t.now += 1000;
    scripts_turn(t.s, t.now);
    assert_null(strstr(t.log, "-script-timeout"));
    t.now += 1;
    scripts_turn(t.s, t.now);
    scripts_turn(t.s, t.now); /* said once */
    turn_until(nothing_runs);
    (void)snprintf(expected, sizeof expected,
                   "+script-child %ld\n-script-timeout %s %ld\n-script-child %ld 0 9\n",
                   (long)view.pid, path_of("hang"), (long)view.pid, (long)view.pid);
    assert_string_equal(t.log, expected);
    assert_true(scripts_view(t.s, 0, t.now, &view)); /* and tried again */
    assert_int_equal(view.time, 100);
}

/* A new runtime holds for those that run already. */
static void periods_may_change(void **state)
{
    make("hang", "exec sleep 600");
    add("hang", "+odown", "m1");
    t.periods.script_max_runtime = 10;
    scripts_periods(t.s, &t.periods);
    t.now += 11;
    scripts_turn(t.s, t.now);
    turn_until(nothing_runs);
    assert_non_null(strstr(t.log, "-script-timeout"));
}

/* What the child gets: no descriptor of ours, even one that does not close by itself; default
 * signals and nothing blocked; the limits from before we raised them; /dev/null for input. */
static void child_starts_clean(void **state)
{
    struct rlimit before, few;
    sigset_t some, mask;
    int leak[40];

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 321;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    scripts_free(t.s);
    struct scripts_options options = {.event = note};
    script_limits_take(&options.limits);
    t.s = scripts_new(&options);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    for (size_t i = 0; i < 40; i++) {
        leak[i] = open("/dev/zero", O_RDONLY); /* without O_CLOEXEC */
        assert_true(leak[i] > 2);
    }
    int input = dup(STDIN_FILENO);
    assert_int_equal(dup2(leak[0], STDIN_FILENO), STDIN_FILENO);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGCHLD);
    assert_int_equal(sigprocmask(SIG_BLOCK, &some, &mask), 0);
    make("look",
         "for f in /proc/$$/fd/*; do readlink $f; done >$D/fds; readlink /proc/$$/fd/0 >$D/stdin\n"
         "grep -E '^Sig(Blk|Ign|Cgt):' /proc/self/status >$D/signals; ulimit -n >$D/nofile\n"
         "pwd >$D/cwd");
    char path[128];
    (void)snprintf(path, sizeof path, "%s", path_of("look"));
    const char *argv[] = {path};
    scripts_add(t.s, script_job_new(argv, 1), t.now);
    turn_until(nothing_left);

    assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
    close(input);

    /* Still ours. */
    sigset_t now;
    struct sigaction action;
    assert_int_equal(sigprocmask(SIG_SETMASK, &mask, &now), 0);
    assert_true(sigismember(&now, SIGTERM));
    assert_false(sigismember(&now, SIGHUP));
    assert_int_equal(sigaction(SIGUSR1, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
    assert_int_equal(fcntl(leak[0], F_GETFD), 0);

    /* (Signals: of the grep, which inherits them; a shell blocks some itself while it waits.)
     * The three, and what a shell keeps: its script and, while it redirects, its output. */
    assert_null(strstr(text_of("fds"), "/dev/zero"));
    assert_in_range(lines_of(text_of("fds")), 3, 5);
    assert_string_equal(text_of("stdin"), "/dev/null\n");
    assert_string_equal(text_of("nofile"), "321\n");
    assert_non_null(strstr(text_of("signals"), "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(text_of("signals"), "SigIgn:\t0000000000000000\n"));
    char cwd[512];
    assert_non_null(getcwd(cwd, sizeof cwd - 1));
    (void)strncat(cwd, "\n", 2);
    assert_string_equal(text_of("cwd"), cwd);
    for (size_t i = 0; i < 40; i++) {
        close(leak[i]);
    }
    (void)signal(SIGUSR1, SIG_DFL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(runs_with_its_arguments),
        TEST(sixteen_at_once_in_order),
        TEST(full_queue_drops_the_oldest_that_waits),
        TEST(tried_ten_times),
        TEST(death_by_signal_is_tried_again),
        TEST(other_codes_are_final),
        TEST(killed_when_it_runs_too_long),
        TEST(periods_may_change),
        TEST(child_starts_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
