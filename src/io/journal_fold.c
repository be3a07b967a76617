/* Replacing sentinel.conf, and mending it when an overwrite was cut short. */
#include "io/journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESCUE_WORD "# vedette overwrite new "

static void rescue_path(const char *stem, char out[JOURNAL_PATH + 32])
{
    snprintf(out, JOURNAL_PATH + 32, "%s.journal.new", stem);
}

/* --- writing
 * -------------------------------------------------------------------------------------------- */

/* A new file with these bytes, durable; nothing is left when it fails. directory: fsync that too.
 */
static bool write_new(const char *path, const void *bytes, size_t len, const char *like,
                      bool directory)
{
    int fd = file_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    file_like(fd, like);
    bool ok = file_write(fd, bytes, len, 0) && file_sync(fd, false) &&
              (!directory || file_sync_directory(path));
    int error = errno;
    close(fd);
    if (!ok) {
        (void)file_unlink(path);
    }
    errno = error;
    return ok;
}

/* The file that rescues a torn overwrite: both texts, the new one first. */
static bool write_rescue(const struct journal_place *place, struct journal_fold *fold,
                         const char *text, size_t len)
{
    char new_sum[CHECKSUM_TEXT], old_sum[CHECKSUM_TEXT], path[JOURNAL_PATH + 32];
    struct buffer old = {0}, all = {0};

    if (!file_read(place->conf, &old)) {
        buffer_free(&old);
        return false;
    }
    fold->old = journal_checksum(old.data, old.len);
    checksum_format(&fold->sum, new_sum);
    checksum_format(&fold->old, old_sum);
    buffer_printf(&all, RESCUE_WORD "%s old %s\n", new_sum, old_sum);
    buffer_append(&all, text, len);
    buffer_append(&all, old.data, old.len);
    rescue_path(place->stem, path);
    bool ok = write_new(path, all.data, all.len, place->conf, true);
    int error = errno;
    buffer_free(&old);
    buffer_free(&all);
    errno = error;
    return ok;
}

bool fold_write(const struct journal_place *place, struct journal_fold *fold, const char *text,
                size_t len)
{
    fold->sum = journal_checksum(text, len);
    fold->overwrite = place->mode == JOURNAL_OVERWRITE;
    fold->temp[0] = '\0';
    if (place->mode == JOURNAL_READ_ONLY) {
        errno = EROFS;
        return false;
    }
    if (fold->overwrite) {
        return write_rescue(place, fold, text, len);
    }
    snprintf(fold->temp, sizeof(fold->temp), "%s.journal.tmp", place->conf);
    return write_new(fold->temp, text, len, place->conf, false);
}

/* --- replacing
 * ------------------------------------------------------------------------------------------ */

static bool overwrite(const char *conf, const void *text, size_t len)
{
    int fd = file_open(conf, O_WRONLY, 0);
    if (fd < 0) {
        return false;
    }
    bool ok = file_write(fd, text, len, 0) && file_truncate(fd, len) && file_sync(fd, false);
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}

static bool rename_refused(int error)
{
    return error == EBUSY || error == EXDEV || error == EACCES || error == EPERM ||
           error == EROFS || error == ETXTBSY;
}

bool fold_commit(const struct journal_place *place, struct journal_fold *fold, const char *text,
                 size_t len)
{
    char path[JOURNAL_PATH + 32];

    if (!fold->overwrite) {
        if (file_rename(fold->temp, place->conf)) {
            return file_sync_directory(place->conf);
        }
        int error = errno;
        (void)file_unlink(fold->temp);
        errno = error;
        if (!rename_refused(error) || !write_rescue(place, fold, text, len)) {
            return false;
        }
        fold->overwrite = true;
    }
    if (!overwrite(place->conf, text, len)) {
        return false; /* the rescue file stays: a start mends what is torn now */
    }
    rescue_path(place->stem, path);
    (void)file_unlink(path);
    return true;
}

void fold_finish(const struct journal_place *place, const struct journal_fold *fold)
{
    if (fold->upto > 0) {
        journal_unlink(place, fold->upto);
    }
}

void fold_abort(const struct journal_place *place, const struct journal_fold *fold)
{
    char path[JOURNAL_PATH + 32];
    if (fold->temp[0] != '\0') {
        (void)file_unlink(fold->temp);
    }
    if (fold->overwrite) {
        rescue_path(place->stem, path);
        (void)file_unlink(path);
    }
}

/* --- mending
 * -----------------------------------------------------------------------------------------------
 */

struct rescue {
    struct buffer file;
    const uint8_t *new_text, *old_text;
    struct journal_checksum new_sum, old_sum;
};

/* False: it is not whole, so that it was being written and nothing overwritten yet. */
static bool rescue_parse(struct rescue *r)
{
    static const char between[] = " old ";
    const char *text = (const char *)r->file.data;
    const char *stop = text != NULL ? memchr(text, '\n', r->file.len) : NULL;
    size_t word = sizeof(RESCUE_WORD) - 1;

    if (stop == NULL || (size_t)(stop - text) <= word || memcmp(text, RESCUE_WORD, word) != 0) {
        return false;
    }
    const char *middle = memmem(text, (size_t)(stop - text), between, sizeof(between) - 1);
    if (middle == NULL || middle < text + word) {
        return false;
    }
    const char *old = middle + sizeof(between) - 1;
    if (!checksum_parse(text + word, (size_t)(middle - text) - word, &r->new_sum) ||
        !checksum_parse(old, (size_t)(stop - old), &r->old_sum)) {
        return false;
    }
    size_t rest = r->file.len - (size_t)(stop + 1 - text);
    if (r->new_sum.len > rest || r->old_sum.len != rest - r->new_sum.len) {
        return false;
    }
    r->new_text = (const uint8_t *)stop + 1;
    r->old_text = r->new_text + r->new_sum.len;
    return journal_crc32c(r->new_text, r->new_sum.len) == r->new_sum.crc &&
           journal_crc32c(r->old_text, r->old_sum.len) == r->old_sum.crc;
}

/* Whether every byte of the text is the old one's, the new one's or a page that was never written.
 */
static bool torn_mix(const struct rescue *r, const struct buffer *conf)
{
    for (size_t i = 0; i < conf->len; i++) {
        bool as_new = i < r->new_sum.len && conf->data[i] == r->new_text[i];
        bool as_old = i < r->old_sum.len && conf->data[i] == r->old_text[i];
        if (!as_new && !as_old && conf->data[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool mend(const struct rescue *r, const char *conf, const char *path,
                 struct journal_report *report)
{
    struct buffer text = {0};
    bool ok = true;

    if (!file_read(conf, &text)) {
        buffer_free(&text);
        return true; /* the loader says why it cannot be read */
    }
    struct journal_checksum sum = journal_checksum(text.data, text.len);
    if (journal_checksum_equal(&sum, &r->new_sum) || journal_checksum_equal(&sum, &r->old_sum)) {
        (void)file_unlink(path);
    } else if (!torn_mix(r, &text)) {
        report_note(report, "%s was changed after an overwrite was cut short: left as it is", conf);
        (void)file_unlink(path);
    } else if (overwrite(conf, r->new_text, r->new_sum.len)) {
        report_note(report, "%s was torn and has been restored from %s", conf, path);
        (void)file_unlink(path);
    } else {
        ok = report_fail(report, "%s is torn and cannot be restored from %s: %s", conf, path,
                         strerror(errno));
    }
    buffer_free(&text);
    return ok;
}

static bool restore_at(const char *conf, const char *stem, struct journal_report *report)
{
    char path[JOURNAL_PATH + 32];
    struct rescue r = {0};

    rescue_path(stem, path);
    if (access(path, F_OK) != 0) {
        return true;
    }
    int lock = journal_lock(stem);
    if (lock < 0) {
        return true; /* somebody's overwrite is on its way; or journal_open() says what is wrong */
    }
    bool ok = true;
    if (!file_read(path, &r.file)) {
        ok = report_fail(report, "Can't read %s: %s", path, strerror(errno));
    } else if (rescue_parse(&r)) {
        ok = mend(&r, conf, path, report);
    } else {
        (void)file_unlink(path);
    }
    buffer_free(&r.file);
    close(lock);
    return ok;
}

bool journal_restore(const char *conf_path, const char *fallback_dir, struct journal_report *report)
{
    char conf[JOURNAL_PATH], beside[JOURNAL_PATH], fallback[JOURNAL_PATH], dir[PATH_MAX];

    *report = (struct journal_report){0};
    const char *real = fallback_dir != NULL ? realpath(fallback_dir, dir) : NULL;
    if (!journal_stems(conf_path, real, conf, beside, fallback)) {
        return true; /* no such file: the loader says so */
    }
    return restore_at(conf, beside, report) &&
           (fallback[0] == '\0' || restore_at(conf, fallback, report));
}
