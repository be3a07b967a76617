/* What the tests of the journal share: a state that is a set of numbers. A journal line "add 7"
 * puts one in, and the text of sentinel.conf lists them. */
#pragma once

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

static inline void render(const struct state *s, struct buffer *out)
{
    buffer_printf(out, "# a comment\n");
    for (int i = 0; i < MOST; i++) {
        if (s->in[i]) {
            buffer_printf(out, "add %d\n", i);
        }
    }
}

static inline void render_snapshot(const struct state *s, struct buffer *out)
{
    buffer_printf(out, "forget\n");
    for (int i = 0; i < MOST; i++) {
        if (s->in[i]) {
            buffer_printf(out, "add %d\n", i);
        }
    }
}

static inline bool apply(void *ctx, const char *text, size_t len, bool maxima, char *why,
                         size_t why_size)
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

static inline void read_conf(struct state *s)
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

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void remove_all(void)
{
    assert_int_equal(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline int fresh(void **ctx)
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

static inline int clean(void **ctx)
{
    (void)ctx;
    remove_all();
    return 0;
}

static inline void journal_file(unsigned number, char *out, size_t size)
{
    snprintf(out, size, "%s/s.conf.journal.%u", directory, number);
}

static inline bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline struct journal *try_open(void)
{
    struct journal_options options = {.conf_path = conf, .fallback_dir = other};
    assert_true(journal_restore(conf, other, &report));
    assert_true(journal_checksum_file(conf, &options.loaded));
    return journal_open(&options, &report);
}

/* A whole start; NULL when the journal refuses. */
static inline struct journal *start(struct state *s)
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

static inline void append(struct journal *j, int n)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "add %d", n);
    journal_append(j, line, (size_t)len);
}

static inline void add(struct journal *j, struct state *s, int n)
{
    append(j, n);
    s->in[n] = true;
    assert_true(journal_sync(j));
}

static inline bool fold(struct journal *j, const struct state *s)
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

static inline void assert_state(const struct state *s, const char *numbers)
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
