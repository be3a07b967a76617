/* The journal: what a restart must not forget, and how it is folded into sentinel.conf
 * (design.md §5). Deals in lines of text; what they mean is the caller's.
 *
 * Files, beside the real path of sentinel.conf ("stem" = that path), or in the fallback directory
 * (`dir`) when that place is on another mount than the file, or cannot be written ("stem" =
 * <dir>/<file name>.<8 hex of the path>):
 *   <stem>.journal.<N>   lines "<crc32c of the rest, 8 hex> <text>\n"; N counts up from 1
 *   <stem>.journal.lock  locked for life: one process a journal
 *   <stem>.journal.new   whole new text of sentinel.conf while it is overwritten in place
 * A text that starts with '#' is the journal's own: the first line of a file is
 * "# vedette journal 1 base <checksum> after <N, 0: none> snapshot <number of lines>", and
 * "# base <checksum>" notes a sentinel.conf that holds everything up to this file's start. A blank
 * before a text marks the first line of what was made durable together, so that a tail torn by a
 * crash (within the last such batch) can be told from damage.
 *
 * Threads: before the threads start everything is main's. Afterwards struct journal is the
 * elector's: journal_append, _sync, _rotate, _note, _restart. struct journal_place never changes
 * after journal_open() and is read by both. struct journal_fold is main's: fold_write, _commit,
 * _finish. One fold, step by step, each a message between the two (order: design.md §5):
 *   main:    asks for a fold
 *   elector: journal_rotate()           opens N+1, appends there from now on; sends main every line
 *                                       of N before it sends "rotated"
 *   main:    applies those lines, renders the text, fold_write()
 *   elector: journal_note(checksum)     durable in N+1
 *   main:    fold_commit()              rename and fsync of the directory, or overwrite in place
 *   main:    fold_finish()              unlinks N and older
 * A fold that fails at any step leaves a state that a start understands; the next fold tries again
 * from the first step.
 */
#pragma once

#include "io/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_PATH    4096
#define JOURNAL_PENDING (64 * 1024 * 1024) /* unsynced bytes; more: only a snapshot helps */

/* crc32c and length of a text. */
struct journal_checksum {
    uint32_t crc;
    uint64_t len;
};
uint32_t journal_crc32c(const void *bytes, size_t len);
struct journal_checksum journal_checksum(const void *bytes, size_t len);
bool journal_checksum_equal(const struct journal_checksum *a, const struct journal_checksum *b);
/* Of a file. Returns false with errno. */
bool journal_checksum_file(const char *path, struct journal_checksum *sum);

/* How sentinel.conf can be replaced; found out by journal_open() and by fold_commit(). */
enum journal_mode {
    JOURNAL_RENAME,    /* temporary file beside it, renamed over it */
    JOURNAL_OVERWRITE, /* rename is refused (a bind-mounted file): overwritten in place */
    JOURNAL_READ_ONLY, /* cannot be written at all: state lives in the journal only, which is folded
                          into itself with journal_restart() */
};

struct journal_place {
    char conf[JOURNAL_PATH]; /* real path of sentinel.conf */
    char stem[JOURNAL_PATH];
    bool fallback;          /* the stem is in the fallback directory */
    enum journal_mode mode; /* as found at start */
};

struct journal;

/* What a caller should log or print; reason is a whole sentence fragment without newline. */
struct journal_report {
    char reason[2 * JOURNAL_PATH + 512];   /* why it failed; "" otherwise */
    char notes[8][2 * JOURNAL_PATH + 256]; /* warnings to log, in order */
    unsigned note_count;
    bool locked; /* failed because another process holds the journal: one line, exit 1 */
};

/* --- start (main, before the threads) ------------------------------------------------------------
 */
/* Step 1, before sentinel.conf is parsed: where an overwrite in place was cut short, puts the whole
 * new text back. fallback_dir: what config_peek_dir() found, or NULL. Returns false only when a
 * torn file was found and could not be mended (report->reason). A file that is whole is left alone.
 */
bool journal_restore(const char *conf_path, const char *fallback_dir,
                     struct journal_report *report);

struct journal_options {
    const char *conf_path;          /* as opened, before any chdir: absolute */
    const char *fallback_dir;       /* absolute; usually getcwd() after config_load(). NULL: none */
    struct journal_checksum loaded; /* of the text config_load() was given: journal_checksum_file()
                                       before it. If the file differs by now: refused */
};
/* Step 2: finds the place, takes the lock, reads and checks the journals there, decides which are
 * to be replayed (design.md §5, Start). Returns NULL with report->reason: locked by another
 * process; damage in the middle (file, line, how to go on); no place can be written; conf changed
 * meanwhile. The report's notes name the fallback place, a torn tail dropped, a changed
 * sentinel.conf. */
struct journal *journal_open(const struct journal_options *options, struct journal_report *report);

/* Step 3: hands every line to be replayed to `line`, in order. maxima: sentinel.conf was changed by
 * somebody else; see config_apply_maxima(). When it returns false the replay stops:
 * journal_replay() returns false with file and line number in report->reason, ended by what `line`
 * left in `why`. */
typedef bool (*journal_line_fn)(void *ctx, const char *text, size_t len, bool maxima, char *why,
                                size_t why_size);
bool journal_replay(struct journal *j, journal_line_fn line, void *ctx,
                    struct journal_report *report);
/* Whether there was anything to replay, so that a start is not a fresh one. */
bool journal_replayed_any(const struct journal *j);

/* Step 4: begins a new journal file and folds once, all steps in turn: conf_text is the whole new
 * sentinel.conf, state_text the snapshot used instead where that cannot be written
 * (config_render(), config_render_state()). Afterwards the journal can be appended to and is the
 * elector's. Returns false with report->reason when nothing durable can be had. */
bool journal_begin(struct journal *j, const char *conf_text, size_t conf_len,
                   const char *state_text, size_t state_len, struct journal_report *report);

const struct journal_place *journal_place(const struct journal *j);
/* Closes and gives the lock back; leaves the files. NULL is allowed. */
void journal_close(struct journal *j);

/* --- while it runs (elector)
 * ---------------------------------------------------------------------- */
enum journal_state {
    JOURNAL_OK,
    JOURNAL_REFUSED, /* the last write failed and was undone (disk full): journal_sync() again
                        later; the lines are kept */
    JOURNAL_BROKEN,  /* a sync failed or the file cannot be mended: it is never trusted again;
                        nothing is durable until journal_restart() */
};
enum journal_state journal_state(const struct journal *j);
/* Adds a line (no newline, not starting with '#' or a blank, shorter than LIMIT_LINE) to the batch.
 * No system call. */
void journal_append(struct journal *j, const char *text, size_t len);
/* Writes the batch with one write and fdatasyncs it. True: every line ever appended is durable
 * (at once when there are none). False: none of the lines since the last success can be relied on;
 * they are kept and go out with the next success. errno says why. */
bool journal_sync(struct journal *j);
/* Bytes in the current file: when to fold. */
uint64_t journal_size(const struct journal *j);

/* Opens the next file; waiting lines go there, later ones too. upto: number of the file before it,
 * for fold_write(). When an earlier fold did not finish the files stay a chain, and upto covers
 * all. Returns false with errno, the old file staying in use; also false while BROKEN. Does not
 * sync waiting lines. */
bool journal_rotate(struct journal *j, uint64_t *upto);
/* Notes, durably, that a sentinel.conf with this checksum holds all up to the rotation. */
bool journal_note(struct journal *j, const struct journal_checksum *sum);
/* Opens the next file with a whole snapshot and everything waiting, durable, and deletes the older
 * ones: after BROKEN, and in place of a fold in JOURNAL_READ_ONLY. state_text: lines that end in
 * newlines, of a model that has every line appended before main learned of the last restart, or of
 * BROKEN (what came later the journal carries over itself). False with errno: state unchanged;
 * EAGAIN: so much was waiting that lines had to be dropped, make another snapshot and come again.
 */
bool journal_restart(struct journal *j, const char *state_text, size_t state_len);

/* --- while it runs (main)
 * ------------------------------------------------------------------------- */
struct journal_fold {
    uint64_t upto;               /* in: from journal_rotate() */
    struct journal_checksum sum; /* out of fold_write(): for journal_note() */
    struct journal_checksum old; /* of the sentinel.conf that is replaced */
    bool overwrite;              /* this one overwrites in place */
    char temp[JOURNAL_PATH + 32];
};
/* Writes the temporary file and fsyncs it. False with errno; nothing is left behind. */
bool fold_write(const struct journal_place *place, struct journal_fold *fold, const char *text,
                size_t len);
/* Replaces sentinel.conf by it, durably. Where rename is refused (EBUSY, EXDEV, EACCES, EPERM,
 * EROFS) it overwrites in place. False with errno. text: the same again (for overwriting). */
bool fold_commit(const struct journal_place *place, struct journal_fold *fold, const char *text,
                 size_t len);
/* Unlinks what the fold made superfluous. */
void fold_finish(const struct journal_place *place, const struct journal_fold *fold);
/* Removes the temporary file of a fold that is given up between fold_write() and fold_commit(). */
void fold_abort(const struct journal_place *place, const struct journal_fold *fold);

/* --- deliberate faults (tests)
 * -------------------------------------------------------------------- */
enum journal_call {
    CALL_WRITE,
    CALL_FSYNC,
    CALL_RENAME,
    CALL_OPEN,
    CALL_UNLINK,
    CALL_TRUNCATE,
    CALL_COUNT
};
struct journal_fault {
    unsigned after; /* calls that still succeed */
    unsigned times; /* calls that then fail */
    int error;      /* errno they fail with; CALL_WRITE: half is written first */
};
/* Set by tests only, before threads start; indexed by enum journal_call. Counts down as it goes. */
extern struct journal_fault journal_faults[CALL_COUNT];
/* The process dies with exit code JOURNAL_CRASHED at the call with this number, counted from 1, of
 * whatever kind; a write is half done before. 0: never. Counts down. */
#define JOURNAL_CRASHED 77
extern unsigned journal_crash;
