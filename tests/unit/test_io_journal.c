/* The journal: what is durable comes back, what is damaged is told, what fails can be tried again
 * (design.md §5). */
#include "journal_test.h"

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

static unsigned count_files(void)
{
    unsigned count = 0;
    for (unsigned i = 1; i < 20; i++) {
        char path[160];
        journal_file(i, path, sizeof(path));
        count += exists(path) ? 1 : 0;
    }
    return count;
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
                assert_int_equal(count_files(), 1); /* no matter how many folds failed before */
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
