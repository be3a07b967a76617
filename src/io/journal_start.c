/* The journal at start: which files to replay, and the first fold. */
#include "io/journal_internal.h"
#include "rules/types.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- which files
 * ------------------------------------------------------------------------------------ */

static bool read_files(struct journal *j, struct journal_report *report)
{
    uint64_t *numbers = NULL;
    size_t count = 0;

    if (!journal_numbers(&j->place, &numbers, &count)) {
        return report_fail(report, "Can't look for journals beside %s: %s", j->place.stem,
                           strerror(errno));
    }
    j->files = calloc(count > 0 ? count : 1, sizeof(*j->files));
    if (j->files == NULL) {
        abort();
    }
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        struct journal_file *file = &j->files[j->file_count++];
        file->number = numbers[i];
        journal_path(&j->place, numbers[i], file->path);
        ok = journal_file_read(file, report);
        j->number = numbers[i];
    }
    j->oldest = count > 0 ? numbers[0] : 0;
    free(numbers);
    return ok;
}

/* A file that was being begun when the process died holds nothing that was relied on; it can only
 * be the last. */
static bool drop_unfinished(struct journal *j, struct journal_report *report)
{
    if (j->file_count > 0 && !j->files[j->file_count - 1].whole) {
        struct journal_file *last = &j->files[--j->file_count];
        report_note(report, "%s: removed, it was only being begun", last->path);
        if (!file_unlink(last->path)) {
            return report_fail(report, "Can't remove %s, which is not a whole journal: %s",
                               last->path, strerror(errno));
        }
        journal_file_free(last);
        j->number = j->file_count > 0 ? j->files[j->file_count - 1].number : 0;
    }
    for (size_t i = 0; i < j->file_count; i++) {
        if (!j->files[i].whole) {
            return report_fail(report,
                               "%s: its beginning is missing, and later journals follow. To go on, "
                               "move all journals away (the state is then that of sentinel.conf: "
                               "votes given since may be forgotten)",
                               j->files[i].path);
        }
    }
    return true;
}

/* Whether this file and those after it are all that sentinel.conf with this checksum needs. */
static bool extends(const struct journal_file *file, const struct journal_checksum *conf)
{
    if (file->after == 0 && journal_checksum_equal(&file->base, conf)) {
        return true;
    }
    for (size_t i = 0; i < file->note_count; i++) {
        if (journal_checksum_equal(&file->notes[i], conf)) {
            return true;
        }
    }
    return false;
}

static bool decide(struct journal *j, struct journal_report *report)
{
    size_t i = j->file_count;
    while (i > 0 && !extends(&j->files[i - 1], &j->base)) {
        i--;
    }
    j->maxima = i == 0 && j->file_count > 0;
    j->first = i > 0 ? i - 1 : 0;
    if (j->maxima) {
        report_note(report,
                    "%s was changed by somebody else since its journal %s was written: of the "
                    "journal only epochs, votes and newer master addresses are taken",
                    j->place.conf, j->files[j->file_count - 1].path);
        return true;
    }
    for (size_t k = j->first + 1; k < j->file_count; k++) {
        if (j->files[k].number != j->files[k - 1].number + 1) {
            return report_fail(report,
                               "The journal %s.journal.%" PRIu64
                               " is missing, and later ones are there. To go on, put it back or "
                               "move all journals away (the state is then that of sentinel.conf)",
                               j->place.stem, j->files[k - 1].number + 1);
        }
    }
    return true;
}

static bool check_conf(struct journal *j, const struct journal_options *options,
                       struct journal_report *report)
{
    if (!journal_checksum_file(j->place.conf, &j->base)) {
        return report_fail(report, "Can't read %s: %s", j->place.conf, strerror(errno));
    }
    if (!journal_checksum_equal(&j->base, &options->loaded)) {
        return report_fail(report, "%s changed while it was being read: start again",
                           j->place.conf);
    }
    return true;
}

struct journal *journal_open(const struct journal_options *options, struct journal_report *report)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        abort();
    }
    j->fd = -1;
    j->lock = -1;
    *report = (struct journal_report){0};
    if (journal_settle(options, &j->place, &j->lock, report) && check_conf(j, options, report) &&
        read_files(j, report) && drop_unfinished(j, report) && decide(j, report)) {
        return j;
    }
    journal_close(j);
    return NULL;
}

static void forget_files(struct journal *j)
{
    for (size_t i = 0; i < j->file_count; i++) {
        journal_file_free(&j->files[i]);
    }
    free(j->files);
    j->files = NULL;
    j->file_count = 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    forget_files(j);
    buffer_free(&j->pending);
    if (j->fd >= 0) {
        close(j->fd);
    }
    if (j->lock >= 0) {
        close(j->lock);
    }
    free(j);
}

/* --- replay
 * ------------------------------------------------------------------------------------------ */

static bool replay_file(const struct journal *j, const struct journal_file *file,
                        journal_line_fn line, void *ctx, struct journal_report *report)
{
    const char *text;
    size_t at = 0, len;
    unsigned number = 0;
    char why[512] = "";

    while (journal_file_next(file, &at, &number, &text, &len)) {
        if (len > 0 && text[0] != '#' && !line(ctx, text, len, j->maxima, why, sizeof(why))) {
            return report_fail(report, "%s, line %u: '%.*s': %s", file->path, number,
                               (int)(len < 256 ? len : 256), text, why);
        }
    }
    return true;
}

bool journal_replay(struct journal *j, journal_line_fn line, void *ctx,
                    struct journal_report *report)
{
    for (size_t i = j->first; i < j->file_count; i++) {
        if (!replay_file(j, &j->files[i], line, ctx, report)) {
            return false;
        }
    }
    return true;
}

bool journal_replayed_any(const struct journal *j)
{
    for (size_t i = j->first; i < j->file_count; i++) {
        const char *text;
        size_t at = 0, len;
        unsigned number = 0;
        while (journal_file_next(&j->files[i], &at, &number, &text, &len)) {
            if (len > 0 && text[0] != '#') {
                return true;
            }
        }
    }
    return false;
}

/* --- the first fold
 * ------------------------------------------------------------------------------------ */

static bool begin_failed(const struct journal *j, const char *what, struct journal_report *report)
{
    int error = errno; /* before anything else can change it */
    return report_fail(report, "Can't %s %s: %s", what,
                       strcmp(what, "write") == 0 ? j->place.conf : j->place.stem, strerror(error));
}

/* Steps as in journal.h; nothing is appended before all are done. */
static bool begin_fold(struct journal *j, const char *text, size_t len,
                       struct journal_report *report)
{
    struct journal_fold fold = {.upto = j->number};
    struct journal_checksum sum = journal_checksum(text, len);
    struct buffer header = {0};

    journal_header(&header, &j->base, j->file_count > 0 ? j->number : 0, NULL, 0);
    j->fd = journal_create(&j->place, j->number + 1, &header);
    j->good = j->fresh = header.len;
    buffer_free(&header);
    if (j->fd < 0) {
        return begin_failed(j, "begin a journal beside", report);
    }
    j->number++;
    bool same = journal_checksum_equal(&sum, &j->base); /* then it need not be written again */
    if (!same && !fold_write(&j->place, &fold, text, len)) {
        return begin_failed(j, "write", report);
    }
    if (!journal_note(j, &sum)) {
        return begin_failed(j, "write the journal beside", report);
    }
    if (!same && !fold_commit(&j->place, &fold, text, len)) {
        return begin_failed(j, "write", report);
    }
    fold_finish(&j->place, &fold);
    return true;
}

static void unlink_all(const struct journal *j, uint64_t below)
{
    uint64_t *numbers = NULL;
    size_t count = 0;
    char path[JOURNAL_PATH + 32];

    if (!journal_numbers(&j->place, &numbers, &count)) {
        return;
    }
    for (size_t i = 0; i < count && numbers[i] < below; i++) {
        journal_path(&j->place, numbers[i], path);
        (void)file_unlink(path);
    }
    free(numbers);
}

bool journal_begin(struct journal *j, const char *conf_text, size_t conf_len,
                   const char *state_text, size_t state_len, struct journal_report *report)
{
    bool ok;
    assert(j->fd < 0);
    if (j->place.mode == JOURNAL_READ_ONLY) {
        ok = journal_restart(j, state_text, state_len) ||
             begin_failed(j, "begin a journal beside", report);
    } else {
        ok = begin_fold(j, conf_text, conf_len, report);
    }
    if (ok) {
        unlink_all(j, j->number);
        forget_files(j);
    }
    return ok;
}
