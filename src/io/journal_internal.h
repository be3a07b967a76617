/* What the files of the journal share (journal.h says what each is for).
 *
 * Thread: as the callers'.
 */
#pragma once

#include "io/journal.h"

#include <sys/stat.h>
#include <sys/types.h>

/* --- calls that can be made to fail (journal_file.c); all as the system's, with errno -----------
 */
int file_open(const char *path, int flags, mode_t mode);
bool file_write(int fd, const void *bytes, size_t len, uint64_t offset); /* all or false */
bool file_sync(int fd, bool data_only);
bool file_rename(const char *from, const char *to);
bool file_unlink(const char *path);
bool file_truncate(int fd, uint64_t len);

/* The whole file into out (appended); false with errno; EFBIG over LIMIT_CONFIG_FILE. */
bool file_read(const char *path, struct buffer *out);
/* fsyncs the directory that holds path. */
bool file_sync_directory(const char *path);
/* The part before the last '/', or "." */
void file_directory(const char *path, char out[JOURNAL_PATH]);
/* Gives fd the mode and, as far as allowed, the owner of the file like. */
void file_like(int fd, const char *like);

/* "1a2b3c4d:512" */
#define CHECKSUM_TEXT 32
void checksum_format(const struct journal_checksum *sum, char out[CHECKSUM_TEXT]);
bool checksum_parse(const char *text, size_t len, struct journal_checksum *sum);

/* --- lines
 * ------------------------------------------------------------------------------------------ */
#define JOURNAL_CRC 9 /* eight hex digits and a blank, before each text */
/* Appends "<crc> [ ]<text>\n". first: the first of what becomes durable together. */
void journal_line(struct buffer *out, const char *text, size_t len, bool first);
/* The header and, where snapshot is not NULL, its lines. */
void journal_header(struct buffer *out, const struct journal_checksum *base, uint64_t after,
                    const char *snapshot, size_t snapshot_len);

/* --- one file, read and checked (journal_scan.c)
 * ------------------------------------------------------ */
struct journal_file {
    uint64_t number;
    char path[JOURNAL_PATH + 32];
    struct buffer text;
    size_t good;    /* bytes up to a torn tail */
    bool whole;     /* header and snapshot are complete; otherwise the file counts as not written */
    uint64_t after; /* from the header */
    uint64_t snapshot;
    struct journal_checksum base;
    struct journal_checksum *notes; /* owned */
    size_t note_count;
};
void journal_path(const struct journal_place *place, uint64_t number, char out[JOURNAL_PATH + 32]);
/* Reads and checks one. False with report->reason: unreadable, or damaged in the middle. */
bool journal_file_read(struct journal_file *file, struct journal_report *report);
void journal_file_free(struct journal_file *file);
/* The next line from *at: text without checksum, blank and newline; number counts up from 0 at the
 * start. False at the end. */
bool journal_file_next(const struct journal_file *file, size_t *at, unsigned *number,
                       const char **text, size_t *len);
/* The numbers of all journal files at the place, ascending; free with free(). False with errno. */
bool journal_numbers(const struct journal_place *place, uint64_t **numbers, size_t *count);

/* --- the journal
 * -------------------------------------------------------------------------------------- */
struct journal {
    struct journal_place place;
    int lock; /* descriptor */
    int fd;   /* of the current file, -1 before journal_begin() */
    uint64_t number, oldest;
    uint64_t good;  /* bytes of it that are durable, or that a failed write left */
    uint64_t fresh; /* where its lines begin that no snapshot is known to hold */
    struct buffer pending;
    enum journal_state state;
    bool lines;        /* the current file has some of its own */
    uint64_t unfolded; /* the oldest file that waits for a fold */
    bool rotated;      /* `upto` and older wait for a fold */
    bool unreadable;   /* journal_restart() could not read its own lines back */
    bool overflown;    /* lines were dropped: snapshots made before do not hold them */
    uint64_t upto;
    struct journal_checksum base, noted; /* of sentinel.conf: last known, and noted for a fold */
    bool has_noted;

    /* Start. */
    struct journal_file *files;
    size_t file_count, first; /* files[first] … are replayed */
    bool maxima;
};

void report_note(struct journal_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Returns false, so that it can be returned. */
bool report_fail(struct journal_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Opens file `number` with `text` in it, durable, the directory too. -1 with errno: none is left.
 */
int journal_create(const struct journal_place *place, uint64_t number, const struct buffer *text);
/* Unlinks `upto` and older ones, the oldest first. */
void journal_unlink(const struct journal_place *place, uint64_t upto);

/* --- places (journal_place.c)
 * ---------------------------------------------------------------------------- */
/* Locks stem's lock file for as long as the descriptor lives. -1 with errno; EWOULDBLOCK: another
 * process has it. */
int journal_lock(const char *stem);
bool journal_stems(const char *conf_path, const char *fallback_dir, char conf[JOURNAL_PATH],
                   char beside[JOURNAL_PATH], char fallback[JOURNAL_PATH]);
/* Decides place and mode and takes the lock. False with report->reason. */
bool journal_settle(const struct journal_options *options, struct journal_place *place, int *lock,
                    struct journal_report *report);
