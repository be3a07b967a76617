/* Where the journal lies, and who has it. */
#include "io/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int journal_lock(const char *stem)
{
    char path[JOURNAL_PATH + 32];
    snprintf(path, sizeof(path), "%s.journal.lock", stem);
    int fd = file_open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0 && errno == EACCES) {
        fd = file_open(path, O_RDONLY, 0); /* made by another user: can be locked all the same */
    }
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bool journal_stems(const char *conf_path, const char *fallback_dir, char conf[JOURNAL_PATH],
                   char beside[JOURNAL_PATH], char fallback[JOURNAL_PATH])
{
    char real[PATH_MAX];
    if (realpath(conf_path, real) == NULL) {
        return false;
    }
    const char *slash = strrchr(real, '/');
    int n = snprintf(conf, JOURNAL_PATH, "%s", real);
    int m = snprintf(beside, JOURNAL_PATH, "%s", real);
    int k = 0;
    fallback[0] = '\0';
    if (fallback_dir != NULL) {
        k = snprintf(fallback, JOURNAL_PATH, "%s%s%s.%08" PRIx32, fallback_dir,
                     fallback_dir[strlen(fallback_dir) - 1] == '/' ? "" : "/",
                     slash != NULL ? slash + 1 : real, journal_crc32c(real, strlen(real)));
    }
    errno = ENAMETOOLONG;
    return n < JOURNAL_PATH && m < JOURNAL_PATH && k < JOURNAL_PATH;
}

/* Whether the file is on the same mount as the directory it is in: a file mounted over a name
 * cannot be renamed over. */
static bool same_mount(const char *conf)
{
    char directory[JOURNAL_PATH];
    struct statx file, dir;
    file_directory(conf, directory);
    if (statx(AT_FDCWD, conf, 0, STATX_MNT_ID, &file) != 0 ||
        statx(AT_FDCWD, directory, 0, STATX_MNT_ID, &dir) != 0 ||
        (file.stx_mask & dir.stx_mask & STATX_MNT_ID) == 0) {
        return true; /* not told: a refused rename will tell */
    }
    return file.stx_mnt_id == dir.stx_mnt_id;
}

static bool refuses_writes(int error)
{
    return error == EACCES || error == EPERM || error == EROFS;
}

/* Journals left at the other place by a start under other circumstances are not read. */
static void note_others(const char *stem, struct journal_report *report)
{
    struct journal_place other = {0};
    uint64_t *numbers = NULL;
    size_t count = 0;

    snprintf(other.stem, sizeof(other.stem), "%s", stem);
    if (stem[0] != '\0' && journal_numbers(&other, &numbers, &count) && count > 0) {
        report_note(report,
                    "A journal at another place is not read: %s.journal.%" PRIu64
                    " (remove it when it is not needed)",
                    stem, numbers[count - 1]);
    }
    free(numbers);
}

static bool locked(const char *stem, struct journal_report *report)
{
    report->locked = true;
    return report_fail(report, "Another process uses this configuration (it holds %s.journal.lock)",
                       stem);
}

bool journal_settle(const struct journal_options *options, struct journal_place *place, int *lock,
                    struct journal_report *report)
{
    char beside[JOURNAL_PATH], fallback[JOURNAL_PATH];
    if (!journal_stems(options->conf_path, options->fallback_dir, place->conf, beside, fallback)) {
        return report_fail(report, "Can't find the configuration file '%s': %s", options->conf_path,
                           strerror(errno));
    }
    bool mounted = !same_mount(place->conf), writable = access(place->conf, W_OK) == 0;
    char directory[JOURNAL_PATH];
    int refused = 0;

    *lock = -1;
    file_directory(beside, directory);
    if (!mounted) {
        snprintf(place->stem, sizeof(place->stem), "%s", beside);
        *lock = access(directory, W_OK | X_OK) == 0 ? journal_lock(beside) : -1;
        refused = *lock < 0 ? errno : 0;
    }
    if (refused == EWOULDBLOCK) {
        return locked(beside, report);
    }
    if (refused != 0 && !refuses_writes(refused)) {
        return report_fail(report, "Can't open %s.journal.lock: %s", beside, strerror(refused));
    }
    if (*lock < 0) {
        place->fallback = true;
        snprintf(place->stem, sizeof(place->stem), "%s", fallback);
        *lock = fallback[0] != '\0' ? journal_lock(fallback) : -1;
        if (*lock < 0 && errno == EWOULDBLOCK) {
            return locked(fallback, report);
        }
        if (*lock < 0) {
            return report_fail(report,
                               "The directory of %s cannot be written%s%s, nor can 'dir' (%s): "
                               "there is no place for the journal",
                               place->conf, refused != 0 ? ": " : "",
                               refused != 0 ? strerror(refused) : "", strerror(errno));
        }
        report_note(report, "The journal is kept in 'dir' (%s.journal.*) because %s", fallback,
                    mounted ? "sentinel.conf is mounted by itself"
                            : "the directory of sentinel.conf cannot be written");
    }
    note_others(place->fallback ? (mounted ? "" : beside) : fallback, report);
    place->mode = !writable         ? JOURNAL_READ_ONLY
                  : place->fallback ? JOURNAL_OVERWRITE
                                    : JOURNAL_RENAME;
    if (place->mode == JOURNAL_READ_ONLY) {
        report_note(report, "%s cannot be written (%s): all changes are kept in the journal only",
                    place->conf, strerror(EACCES));
    }
    return true;
}
