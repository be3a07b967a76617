/* The journal: what is durable comes back, what is damaged is told, and a fold may die anywhere
 * (design.md §5). The state here is a set of numbers: a journal line "add 7" puts one in, and the
 * text of sentinel.conf lists them. */
#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MOST 64

struct state {
    bool in[MOST];
    bool maxima;
};

static char directory[64], conf[128], other[128];
static struct journal_report report;

/* --- the model
 * -------------------------------------------------------------------------------------- */

static void render(const struct state *s, struct buffer *out)
{
    buffer_printf(out, "# a comment\n");
    for (int i = 0; i < MOST; i++) {
        if (s->in[i]) {
            buffer_printf(out, "add %d\n", i);
        }
    }
}

static void render_snapshot(const struct state *s, struct buffer *out)
{
    buffer_printf(out, "forget\n");
    for (int i = 0; i < MOST; i++) {
        if (s->in[i]) {
            buffer_printf(out, "add %d\n", i);
        }
    }
}

static bool apply(void *ctx, const char *text, size_t len, bool maxima, char *why, size_t why_size)
{
    struct state *s = ctx;
    char line[64];
    int n;

    assert_true(len < sizeof(line));
    memcpy(line, text, len);
    line[len] = '\0';
    s->maxima = s->maxima || maxima;
    if (strcmp(line, "forget") == 0) {
        memset(s->in, 0, sizeof(s->in));
        return true;
    }
    if (sscanf(line, "add %d", &n) != 1 || n < 0 || n >= MOST) {
        snprintf(why, why_size, "no such line");
        return false;
    }
    s->in[n] = true;
    return true;
}

static void read_conf(struct state *s)
{
    char line[64];
    int n;
    FILE *f = fopen(conf, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "add %d", &n) == 1 && n >= 0 && n < MOST) {
            s->in[n] = true;
        }
    }
    fclose(f);
}

/* --- files
 * ------------------------------------------------------------------------------------------ */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_all(void)
{
    assert_int_equal(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static int fresh(void **ctx)
{
    (void)ctx;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(directory, sizeof(directory), "%s/vedette-journal.XXXXXX", base);
    assert_non_null(mkdtemp(directory));
    snprintf(conf, sizeof(conf), "%s/s.conf", directory);
    snprintf(other, sizeof(other), "%s/other", directory);
    assert_int_equal(mkdir(other, 0755), 0);
    write_file(conf, "# a comment\nadd 0\n");
    memset(journal_faults, 0, sizeof(journal_faults));
    journal_crash = 0;
    return 0;
}

static int clean(void **ctx)
{
    (void)ctx;
    remove_all();
    return 0;
}

static void journal_file(unsigned number, char *out, size_t size)
{
    snprintf(out, size, "%s/s.conf.journal.%u", directory, number);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static struct journal *try_open(void)
{
    struct journal_options options = {.conf_path = conf, .fallback_dir = other};
    assert_true(journal_restore(conf, other, &report));
    assert_true(journal_checksum_file(conf, &options.loaded));
    return journal_open(&options, &report);
}

/* A whole start; NULL when the journal refuses. */
static struct journal *start(struct state *s)
{
    *s = (struct state){0};
    struct journal *j = try_open();
    if (j == NULL) {
        return NULL;
    }
    read_conf(s);
    if (!journal_replay(j, apply, s, &report)) {
        journal_close(j);
        return NULL;
    }
    struct buffer text = {0}, snapshot = {0};
    render(s, &text);
    render_snapshot(s, &snapshot);
    bool ok =
        journal_begin(j, (char *)text.data, text.len, (char *)snapshot.data, snapshot.len, &report);
    buffer_free(&text);
    buffer_free(&snapshot);
    if (!ok) {
        journal_close(j);
        return NULL;
    }
    return j;
}

static void append(struct journal *j, int n)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "add %d", n);
    journal_append(j, line, (size_t)len);
}

static void add(struct journal *j, struct state *s, int n)
{
    append(j, n);
    s->in[n] = true;
    assert_true(journal_sync(j));
}

static bool fold(struct journal *j, const struct state *s)
{
    struct journal_fold f = {0};
    struct buffer text = {0};
    render(s, &text);
    bool ok = journal_rotate(j, &f.upto) &&
              fold_write(journal_place(j), &f, (char *)text.data, text.len) &&
              journal_note(j, &f.sum) &&
              fold_commit(journal_place(j), &f, (char *)text.data, text.len);
    if (ok) {
        fold_finish(journal_place(j), &f);
    }
    buffer_free(&text);
    return ok;
}

static void assert_state(const struct state *s, const char *numbers)
{
    struct state want = {0};
    for (const char *p = numbers; *p != '\0'; p += strspn(p, " ")) {
        want.in[strtol(p, (char **)&p, 10)] = true;
    }
    for (int i = 0; i < MOST; i++) {
        if (want.in[i] != s->in[i]) {
            fail_msg("%d is %s", i, s->in[i] ? "there" : "missing");
        }
    }
}

/* --- the ordinary life
 * ------------------------------------------------------------------------------ */

static void checksums_are_crc32c(void **ctx)
{
    (void)ctx;
    assert_int_equal(journal_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(journal_crc32c("", 0), 0);
}

static void what_was_synced_comes_back(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal *j = start(&s);
    assert_non_null(j);
    assert_false(journal_replayed_any(j));
    add(j, &s, 1);
    append(j, 2);
    append(j, 3);
    assert_true(journal_sync(j));
    append(j, 4); /* never synced */
    journal_close(j);

    j = start(&s);
    assert_non_null(j);
    assert_state(&s, "0 1 2 3");
    assert_false(s.maxima);
    journal_close(j);
}

static void a_fold_moves_it_into_the_conf(void **ctx)
{
    (void)ctx;
    char path[160];
    struct state s, t = {0};
    struct journal *j = start(&s);
    add(j, &s, 1);
    assert_true(fold(j, &s));
    read_conf(&t);
    assert_state(&t, "0 1");
    add(j, &s, 2);
    assert_true(fold(j, &s));
    add(j, &s, 3);
    journal_file(1, path, sizeof(path));
    assert_false(exists(path));
    journal_file(3, path, sizeof(path));
    assert_true(exists(path));
    journal_close(j);
    j = start(&s);
    assert_state(&s, "0 1 2 3");
    journal_close(j);
}

static void the_second_process_is_told(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal *j = start(&s);
    assert_null(try_open());
    assert_true(report.locked);
    journal_close(j);
    j = start(&s);
    assert_non_null(j);
    journal_close(j);
}

static void a_conf_that_changed_while_it_was_read_is_refused(void **ctx)
{
    (void)ctx;
    struct journal_options options = {.conf_path = conf, .fallback_dir = other};
    assert_null(journal_open(&options, &report));
    assert_non_null(strstr(report.reason, "changed while"));
}

static void a_conf_edited_by_hand_takes_maxima_only(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_close(j);
    write_file(conf, "add 9\n");
    j = start(&s);
    assert_non_null(j);
    assert_true(s.maxima);
    assert_int_equal(report.note_count, 1);
    assert_non_null(strstr(report.notes[0], "changed by somebody else"));
    journal_close(j);
    j = start(&s); /* folded: from now on the edited file is the base */
    assert_false(s.maxima);
    journal_close(j);
}

static void a_line_that_means_nothing_is_named(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_append(j, "gibberish", 9);
    assert_true(journal_sync(j));
    journal_close(j);
    assert_null(start(&s));
    assert_non_null(strstr(report.reason, "line 4: 'gibberish': no such line"));
}

/* --- damage
 * ----------------------------------------------------------------------------------------- */

static size_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void a_torn_tail_is_dropped(void **ctx)
{
    (void)ctx;
    char path[160];
    struct state s;
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_file(1, path, sizeof(path));
    size_t whole = size_of(path);
    append(j, 2);
    append(j, 3);
    assert_true(journal_sync(j));
    size_t end = size_of(path);
    journal_close(j);
    struct buffer saved = {0};
    buffer_reserve(&saved, end);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, saved.data, end), end);
    close(fd);

    for (size_t cut = whole; cut < end; cut++) {
        for (int garbage = 0; garbage < 2; garbage++) {
            remove_all();
            assert_int_equal(mkdir(directory, 0755), 0);
            assert_int_equal(mkdir(other, 0755), 0);
            write_file(conf, "# a comment\nadd 0\n");
            fd = open(path, O_WRONLY | O_CREAT, 0600);
            assert_int_equal(write(fd, saved.data, cut), cut);
            if (garbage) { /* the rest of the batch never reached the disk */
                assert_int_equal(ftruncate(fd, (off_t)end + 100), 0);
            }
            close(fd);
            j = start(&s);
            assert_non_null(j);
            assert_true(s.in[0] && s.in[1] && !s.in[3]);
            journal_close(j);
        }
    }
    buffer_free(&saved);
}

static void damage_in_the_middle_is_refused(void **ctx)
{
    (void)ctx;
    char path[160];
    struct state s;
    struct journal *j = start(&s);
    for (int i = 1; i < 6; i++) {
        add(j, &s, i);
    }
    journal_close(j);
    journal_file(1, path, sizeof(path));
    int fd = open(path, O_RDWR);
    char text[2048];
    ssize_t len = read(fd, text, sizeof(text) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    char *at = strstr(text, "add 2");
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "add 7", 5, at - text), 5);
    close(fd);
    assert_null(start(&s));
    assert_non_null(strstr(report.reason, "line 4"));
    assert_non_null(strstr(report.reason, path));
    assert_non_null(strstr(report.reason, "To go on"));
    assert_int_equal(truncate(path, at - text - 10), 0); /* as it says: cut off before that line */
    j = start(&s);
    assert_non_null(j);
    assert_state(&s, "0 1");
    journal_close(j);
}

static void garbage_is_never_trusted(void **ctx)
{
    (void)ctx;
    static const char *const texts[] = {
        "",
        "\n",
        "garbage",
        "garbage\nmore\n",
        "00000001 \n",
        "00000000",
        "00000000  # vedette journal 1 base x after 0 snapshot 0\n"};
    char path[160];
    struct state s;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        journal_file(1, path, sizeof(path));
        write_file(path, texts[i]);
        struct journal *j = start(&s);
        assert_non_null(j);
        assert_state(&s, "0");
        journal_close(j);
        remove_all();
        assert_int_equal(mkdir(directory, 0755), 0);
        assert_int_equal(mkdir(other, 0755), 0);
        write_file(conf, "# a comment\nadd 0\n");
    }
}

/* --- disks that fail
 * --------------------------------------------------------------------------------- */

static void a_full_disk_keeps_the_lines(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_faults[CALL_WRITE] = (struct journal_fault){0, 2, ENOSPC};
    append(j, 2);
    assert_false(journal_sync(j));
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(journal_state(j), JOURNAL_REFUSED);
    append(j, 3);
    assert_false(journal_sync(j));
    assert_true(journal_sync(j));
    assert_int_equal(journal_state(j), JOURNAL_OK);
    journal_close(j);
    j = start(&s);
    assert_state(&s, "0 1 2 3");
    journal_close(j);
}

static void a_failed_sync_is_never_trusted_again(void **ctx)
{
    (void)ctx;
    struct state s;
    struct journal_fold f = {0};
    struct journal_checksum sum = {0};
    struct journal *j = start(&s);
    add(j, &s, 1);
    journal_faults[CALL_FSYNC] = (struct journal_fault){0, 1, EIO};
    append(j, 2);
    assert_false(journal_sync(j));
    assert_int_equal(journal_state(j), JOURNAL_BROKEN);
    assert_false(journal_sync(j)); /* a retry would "succeed" */
    assert_false(journal_rotate(j, &f.upto));
    assert_false(journal_note(j, &sum));
    struct buffer snapshot = {0};
    s.in[2] = true;
    render_snapshot(&s, &snapshot);
    append(j, 3); /* after the snapshot was made */
    journal_faults[CALL_FSYNC] = (struct journal_fault){0, 1, EIO};
    assert_false(journal_restart(j, (char *)snapshot.data, snapshot.len));
    assert_int_equal(journal_state(j), JOURNAL_BROKEN);
    assert_true(journal_restart(j, (char *)snapshot.data, snapshot.len));
    assert_int_equal(journal_state(j), JOURNAL_OK);
    buffer_free(&snapshot);
    add(j, &s, 4);
    journal_close(j);
    j = start(&s);
    assert_state(&s, "0 1 2 3 4");
    add(j, &s, 5);
    assert_true(fold(j, &s));
    journal_close(j);
}

/* A restart that falls between the note and the rename of a fold. */
static void a_restart_in_the_middle_of_a_fold_loses_nothing(void **ctx)
{
    (void)ctx;
    for (int renamed = 0; renamed < 2; renamed++) {
        struct state s;
        struct journal_fold f = {0};
        struct buffer text = {0}, snapshot = {0};
        struct journal *j = start(&s);
        add(j, &s, 1);
        render(&s, &text);
        assert_true(journal_rotate(j, &f.upto));
        assert_true(fold_write(journal_place(j), &f, (char *)text.data, text.len));
        assert_true(journal_note(j, &f.sum));
        journal_faults[CALL_FSYNC] = (struct journal_fault){0, 1, EIO};
        append(j, 2);
        s.in[2] = true;
        assert_false(journal_sync(j));
        render_snapshot(&s, &snapshot);
        assert_true(journal_restart(j, (char *)snapshot.data, snapshot.len));
        if (renamed) {
            assert_true(fold_commit(journal_place(j), &f, (char *)text.data, text.len));
            fold_finish(journal_place(j), &f);
        }
        add(j, &s, 3);
        journal_close(j);
        buffer_free(&text);
        buffer_free(&snapshot);
        j = start(&s);
        assert_non_null(j);
        assert_false(s.maxima);
        assert_state(&s, "0 1 2 3");
        journal_close(j);
        remove_all();
        assert_int_equal(mkdir(directory, 0755), 0);
        assert_int_equal(mkdir(other, 0755), 0);
        write_file(conf, "# a comment\nadd 0\n");
    }
}

/* Every call of a fold fails once, then it is tried again. */
static void a_fold_that_fails_can_be_tried_again(void **ctx)
{
    (void)ctx;
    for (int call = 0; call < CALL_COUNT; call++) {
        bool failed = true;
        for (unsigned after = 0; failed && after < 20; after++) {
            struct state s;
            struct journal *j = start(&s);
            assert_non_null(j);
            add(j, &s, 1);
            journal_faults[call] = (struct journal_fault){after, 1, EIO};
            failed = !fold(j, &s);
            append(j, 2);
            s.in[2] = true;
            if (!journal_sync(j)) { /* the fold's note broke it */
                struct buffer snapshot = {0};
                render_snapshot(&s, &snapshot);
                assert_true(journal_restart(j, (char *)snapshot.data, snapshot.len));
                buffer_free(&snapshot);
            }
            journal_faults[call] = (struct journal_fault){0};
            struct journal *probe = NULL;
            if (after % 2 == 0) {
                assert_true(fold(j, &s));
            }
            journal_close(j);
            probe = start(&s);
            assert_non_null(probe);
            assert_false(s.maxima);
            assert_state(&s, "0 1 2");
            journal_close(probe);
            remove_all();
            assert_int_equal(mkdir(directory, 0755), 0);
            assert_int_equal(mkdir(other, 0755), 0);
            write_file(conf, "# a comment\nadd 0\n");
        }
        assert_false(failed);
    }
}

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
        TEST(checksums_are_crc32c),
        TEST(what_was_synced_comes_back),
        TEST(a_fold_moves_it_into_the_conf),
        TEST(the_second_process_is_told),
        TEST(a_conf_that_changed_while_it_was_read_is_refused),
        TEST(a_conf_edited_by_hand_takes_maxima_only),
        TEST(a_line_that_means_nothing_is_named),
        TEST(a_torn_tail_is_dropped),
        TEST(damage_in_the_middle_is_refused),
        TEST(garbage_is_never_trusted),
        TEST(a_full_disk_keeps_the_lines),
        TEST(a_failed_sync_is_never_trusted_again),
        TEST(a_restart_in_the_middle_of_a_fold_loses_nothing),
        TEST(a_fold_that_fails_can_be_tried_again),
        TEST(a_refused_rename_overwrites_in_place),
        TEST(a_torn_overwrite_is_mended),
        TEST(a_mounted_file_keeps_its_journal_in_dir),
        TEST(a_read_only_file_lives_in_its_journal),
        TEST(death_at_any_step_loses_nothing),
        TEST(death_at_any_step_of_an_overwrite_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
