/* Folds where sentinel.conf cannot be renamed over or written, and deaths at every step of a fold
 * (design.md §5). */
#include "journal_test.h"

/* --- other places
 * -------------------------------------------------------------------------------------- */

static void a_refused_rename_overwrites_in_place(void **ctx)
{
    (void)ctx;
    struct state s, t = {0};
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_faults[CALL_RENAME] = (struct journal_fault){0, 1000, EBUSY};
    assert_true(fold(j, &s));
    read_conf(&t);
    assert_state(&t, "0 1");
    add(j, &s, 2);
    journal_close(j);
    j = start(&s);
    assert_state(&s, "0 1 2");
    journal_close(j);
}

static void a_torn_overwrite_is_mended(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal_fold f = {0};
    struct buffer text = {0};
    char rescue[160];

    write_file(conf, "# a comment\nadd 0\nadd 1\nadd 2\n# much longer than what comes\nadd 3\n");
    struct journal *j = start(&s);
    add(j, &s, 20);
    journal_faults[CALL_RENAME] = (struct journal_fault){0, 1, EBUSY};
    s.in[2] = s.in[3] = false; /* shorter */
    render(&s, &text);
    assert_true(journal_rotate(j, &f.upto));
    assert_true(fold_write(journal_place(j), &f, (char *)text.data, text.len));
    assert_true(journal_note(j, &f.sum));
    journal_faults[CALL_TRUNCATE] = (struct journal_fault){0, 1, EIO}; /* half-way */
    assert_false(fold_commit(journal_place(j), &f, (char *)text.data, text.len));
    buffer_free(&text);
    journal_close(j);
    snprintf(rescue, sizeof(rescue), "%s.journal.new", conf);
    assert_true(exists(rescue));
    j = start(&s);
    assert_non_null(j);
    assert_false(s.maxima);
    assert_false(exists(rescue));
    assert_state(&s, "0 1 20");
    journal_close(j);
}

/* In a child with a mount namespace of its own: 0 when all is well, 1 when it cannot be had. */
static int in_mount_namespace(int (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(conf, conf, NULL, MS_BIND, NULL) != 0) {
            _exit(1);
        }
        _exit(body());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int mounted_body(void)
{
    struct state s;
    struct journal *j = start(&s);
    if (j == NULL || !journal_place(j)->fallback || journal_place(j)->mode != JOURNAL_OVERWRITE ||
        strncmp(journal_place(j)->stem, other, strlen(other)) != 0) {
        return 2;
    }
    add(j, &s, 1);
    if (!fold(j, &s)) {
        return 3;
    }
    add(j, &s, 2);
    journal_close(j);
    j = start(&s);
    if (j == NULL || !s.in[1] || !s.in[2] || s.maxima) {
        return 4;
    }
    return 0;
}

static void a_mounted_file_keeps_its_journal_in_dir(void **ctx)
{
    (void)ctx;
    int status = in_mount_namespace(mounted_body);
    if (status == 1) {
        print_message("no mount namespace here: skipped\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static int read_only_body(void)
{
    struct state s;
    struct buffer snapshot = {0};
    if (mount(NULL, conf, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        return 1;
    }
    struct journal *j = start(&s);
    if (j == NULL || journal_place(j)->mode != JOURNAL_READ_ONLY) {
        return 2;
    }
    add(j, &s, 1);
    journal_close(j);
    j = start(&s);
    if (j == NULL || !s.in[0] || !s.in[1] || s.maxima) {
        return 3;
    }
    add(j, &s, 2);
    s.in[0] = false; /* sentinel.conf says otherwise, and cannot be changed */
    render_snapshot(&s, &snapshot);
    if (!journal_restart(j, (char *)snapshot.data, snapshot.len)) {
        return 4;
    }
    add(j, &s, 3);
    journal_close(j);
    j = start(&s);
    return j != NULL && !s.in[0] && s.in[1] && s.in[2] && s.in[3] ? 0 : 5;
}

static void a_read_only_file_lives_in_its_journal(void **ctx)
{
    (void)ctx;
    int status = in_mount_namespace(read_only_body);
    if (status == 1) {
        print_message("no mount namespace here: skipped\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* --- dying anywhere
 * ------------------------------------------------------------------------------------- */

/* What the child has promised, shared with its parent. */
struct promises {
    bool made[MOST];
};

static void promise(struct promises *p, struct journal *j, struct state *s, int n)
{
    append(j, n);
    s->in[n] = true;
    if (journal_sync(j)) {
        p->made[n] = true;
    }
}

/* A life with folds, and promises between all their steps. */
static void life(struct promises *p)
{
    struct state s;
    struct journal *j = start(&s);
    int n = 1;

    if (j == NULL) {
        _exit(3);
    }
    promise(p, j, &s, n++);
    for (int round = 0; round < 3; round++) {
        struct journal_fold f = {0};
        struct buffer text = {0};
        promise(p, j, &s, n++);
        if (!journal_rotate(j, &f.upto)) {
            _exit(4);
        }
        promise(p, j, &s, n++);
        render(&s, &text);
        promise(p, j, &s, n++); /* not in the text */
        if (!fold_write(journal_place(j), &f, (char *)text.data, text.len)) {
            _exit(5);
        }
        promise(p, j, &s, n++);
        if (!journal_note(j, &f.sum)) {
            _exit(6);
        }
        promise(p, j, &s, n++);
        if (!fold_commit(journal_place(j), &f, (char *)text.data, text.len)) {
            _exit(7);
        }
        promise(p, j, &s, n++);
        fold_finish(journal_place(j), &f);
        promise(p, j, &s, n++);
        buffer_free(&text);
    }
    struct buffer snapshot = {0};
    render_snapshot(&s, &snapshot);
    promise(p, j, &s, n++);
    if (!journal_restart(j, (char *)snapshot.data, snapshot.len)) {
        _exit(8);
    }
    promise(p, j, &s, n++);
    buffer_free(&snapshot);
    journal_close(j);
}

/* Lives (or only starts) in a child that dies at call number `at`. Returns its exit code. */
static int die_at(unsigned at, bool busy, struct promises *p)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct state s;
        if (busy) {
            journal_faults[CALL_RENAME] = (struct journal_fault){0, UINT32_MAX, EBUSY};
        }
        journal_crash = at;
        if (p != NULL) {
            life(p);
        } else if (start(&s) == NULL) {
            _exit(3);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_promises(const struct promises *p, unsigned at, unsigned again)
{
    struct state s;
    struct journal *j = start(&s);
    if (j == NULL) {
        fail_msg("death at call %u, then %u: %s", at, again, report.reason);
    }
    if (s.maxima) {
        fail_msg("death at call %u, then %u: sentinel.conf was not recognised", at, again);
    }
    for (int i = 0; i < MOST; i++) {
        if (p->made[i] && !s.in[i]) {
            fail_msg("death at call %u, then %u: %d was promised and is forgotten", at, again, i);
        }
    }
    journal_close(j);
}

static void die_everywhere(bool busy)
{
    struct promises *p =
        mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    int code = JOURNAL_CRASHED;
    unsigned at = 0;
    while (code == JOURNAL_CRASHED) {
        at++;
        int second = JOURNAL_CRASHED;
        /* And the start that follows dies as well, at each of its calls. */
        for (unsigned again = 0; second == JOURNAL_CRASHED; again++) {
            memset(p, 0, sizeof(*p));
            code = die_at(at, busy, p);
            assert_true(code == JOURNAL_CRASHED || code == 0);
            second = again > 0 ? die_at(again, busy, NULL) : JOURNAL_CRASHED;
            assert_true(second == JOURNAL_CRASHED || second == 0);
            check_promises(p, at, again);
            remove_all();
            assert_int_equal(mkdir(directory, 0755), 0);
            assert_int_equal(mkdir(other, 0755), 0);
            write_file(conf, "# a comment\nadd 0\n");
            if (at % 8 != 0 && again == 0) {
                break; /* twice for every eighth is enough */
            }
        }
    }
    print_message("%u places to die\n", at - 1);
    assert_true(at > 60);
    munmap(p, sizeof(*p));
}

static void death_at_any_step_loses_nothing(void **ctx)
{
    (void)ctx;
    die_everywhere(false);
}

static void death_at_any_step_of_an_overwrite_loses_nothing(void **ctx)
{
    (void)ctx;
    die_everywhere(true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, clean)
    const struct CMUnitTest tests[] = {
        TEST(a_refused_rename_overwrites_in_place),
        TEST(a_torn_overwrite_is_mended),
        TEST(a_mounted_file_keeps_its_journal_in_dir),
        TEST(a_read_only_file_lives_in_its_journal),
        TEST(death_at_any_step_loses_nothing),
        TEST(death_at_any_step_of_an_overwrite_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
