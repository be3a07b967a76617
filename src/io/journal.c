/* The journal while it runs: append, sync, rotate, note, restart. */
#include "io/journal_internal.h"
#include "rules/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNFOLDED_FILES 16 /* of folds that failed; then the last one is used on */

const struct journal_place *journal_place(const struct journal *j)
{
    return &j->place;
}

enum journal_state journal_state(const struct journal *j)
{
    return j->state;
}

uint64_t journal_size(const struct journal *j)
{
    return j->good + j->pending.len;
}

void journal_append(struct journal *j, const char *text, size_t len)
{
    assert(len > 0 && len < LIMIT_LINE && text[0] != '#' && text[0] != ' ');
    if (j->pending.len + len > JOURNAL_PENDING) {
        buffer_clear(&j->pending, 0);
        j->state = JOURNAL_BROKEN;
        j->overflown = true;
    }
    journal_line(&j->pending, text, len, j->pending.len == 0);
}

/* Makes bytes durable at the end of the file. A failed write is undone, if that is possible. */
static bool extend(struct journal *j, const struct buffer *bytes)
{
    assert(j->fd >= 0);
    if (j->state == JOURNAL_BROKEN) {
        errno = EIO;
        return false;
    }
    if (!file_write(j->fd, bytes->data, bytes->len, j->good)) {
        int error = errno;
        j->state = file_truncate(j->fd, j->good) ? JOURNAL_REFUSED : JOURNAL_BROKEN;
        errno = error;
        return false;
    }
    if (!file_sync(j->fd, true)) {
        /* The kernel may have dropped the pages and called them clean: a second fdatasync would
         * succeed and mean nothing (design.md §5). */
        j->state = JOURNAL_BROKEN;
        return false;
    }
    j->good += bytes->len;
    j->state = JOURNAL_OK;
    return true;
}

bool journal_sync(struct journal *j)
{
    if (j->pending.len == 0) {
        errno = EIO;
        return j->state == JOURNAL_OK;
    }
    if (!extend(j, &j->pending)) {
        return false;
    }
    buffer_clear(&j->pending, 64 * 1024);
    j->lines = true;
    return true;
}

int journal_create(const struct journal_place *place, uint64_t number, const struct buffer *text)
{
    char path[JOURNAL_PATH + 32];
    journal_path(place, number, path);
    int fd = file_open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -1;
    }
    file_like(fd, place->conf);
    if (file_write(fd, text->data, text->len, 0) && file_sync(fd, false) &&
        file_sync_directory(path)) {
        return fd;
    }
    int error = errno;
    if (!file_unlink(path)) {
        (void)file_truncate(fd, 0); /* so that a start does not take it for whole */
    }
    close(fd);
    errno = error;
    return -1;
}

void journal_unlink(const struct journal_place *place, uint64_t upto)
{
    char path[JOURNAL_PATH + 32];
    uint64_t first = upto;

    while (first > 1) {
        journal_path(place, first - 1, path);
        if (access(path, F_OK) != 0) {
            break;
        }
        first--;
    }
    for (; first <= upto && first > 0; first++) {
        journal_path(place, first, path);
        (void)file_unlink(
            path); /* an older file left behind is not read again, and goes at the next start */
    }
}

/* Goes on in a new file that holds text. */
static bool move_to_new(struct journal *j, const struct buffer *text)
{
    int fd = journal_create(&j->place, j->number + 1, text);
    if (fd < 0) {
        return false;
    }
    if (j->fd >= 0) {
        close(j->fd);
    }
    j->fd = fd;
    j->number++;
    j->lines = false;
    j->good = j->fresh = text->len;
    return true;
}

/* Whether main has not finished the fold that the last rotation was for. */
static bool fold_unfinished(const struct journal *j)
{
    char path[JOURNAL_PATH + 32];
    journal_path(&j->place, j->upto, path);
    return j->rotated && access(path, F_OK) == 0;
}

/* A new file begins exactly where main's snapshot ends. After a fold that failed another is begun,
 * unless nothing was written to this one, or too many lie about already. */
static bool rotate_again(const struct journal *j)
{
    return !fold_unfinished(j) || (j->lines && j->number - j->unfolded < UNFOLDED_FILES);
}

bool journal_rotate(struct journal *j, uint64_t *upto)
{
    struct buffer text = {0};

    if (j->state == JOURNAL_BROKEN) {
        errno = EIO;
        return false;
    }
    if (rotate_again(j)) {
        bool unfinished = fold_unfinished(j);
        uint64_t before = j->number;
        journal_header(&text, &j->base, before, NULL, 0);
        bool ok = move_to_new(j, &text);
        int error = errno;
        buffer_free(&text);
        if (!ok) {
            errno = error;
            return false;
        }
        j->unfolded = unfinished ? j->unfolded : before;
        j->rotated = true;
        j->upto = before;
        if (j->state == JOURNAL_REFUSED && j->pending.len == 0) {
            j->state = JOURNAL_OK;
        }
    }
    *upto = j->upto;
    return true;
}

static void note_line(struct buffer *out, const struct journal_checksum *sum, bool first)
{
    char text[64], checksum[CHECKSUM_TEXT];
    checksum_format(sum, checksum);
    int len = snprintf(text, sizeof(text), "# base %s", checksum);
    journal_line(out, text, (size_t)len, first);
}

bool journal_note(struct journal *j, const struct journal_checksum *sum)
{
    struct buffer line = {0};
    note_line(&line, sum, true);
    enum journal_state before = j->state;
    bool ok = extend(j, &line);
    int error = errno;
    buffer_free(&line);
    if (ok) {
        /* Lines that a full disk refused are still waiting for their own success. */
        j->state = j->pending.len > 0 ? before : JOURNAL_OK;
        j->base = j->has_noted ? j->noted : j->base;
        j->noted = *sum;
        j->has_noted = true;
    }
    errno = error;
    return ok;
}

/* The lines of this file that became durable after main made its snapshot, and maybe some that it
 * holds: all that were appended since the last restart. What cannot be read back makes this fail
 * once: the snapshot made after that failure has it. */
static bool carry(struct journal *j, struct buffer *out)
{
    size_t before = out->len;
    for (uint64_t at = j->fresh; j->fd >= 0 && at < j->good;) {
        size_t left = (size_t)(j->good - at);
        ssize_t got = pread(j->fd, buffer_reserve(out, left), left, (off_t)at);
        if (got <= 0 && j->unreadable) {
            out->len = before;
            return true;
        }
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            j->unreadable = true;
            return false;
        }
        out->len += (size_t)got;
        at += (uint64_t)got;
    }
    return true;
}

bool journal_restart(struct journal *j, const char *state_text, size_t state_len)
{
    struct buffer text = {0};

    if (j->overflown) {
        j->overflown = false; /* this snapshot may have been made before lines were dropped */
        errno = EAGAIN;
        return false;
    }
    journal_header(&text, &j->base, 0, state_text, state_len);
    if (j->has_noted) {
        note_line(&text, &j->noted, false);
    }
    bool ok = carry(j, &text);
    buffer_append(&text, j->pending.data, j->pending.len);
    uint64_t before = j->number;
    ok = ok && move_to_new(j, &text);
    int error = errno;
    buffer_free(&text);
    if (!ok) {
        errno = error;
        return false;
    }
    buffer_clear(&j->pending, 64 * 1024);
    journal_unlink(&j->place, before);
    j->rotated = j->unreadable = false;
    j->state = JOURNAL_OK;
    return true;
}
