/* Files, checksums and lines of the journal. */
#include "io/journal_internal.h"
#include "rules/types.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct journal_fault journal_faults[CALL_COUNT];
unsigned journal_crash;

/* Whether this call is the one to die at. */
static bool crashing(void)
{
    return journal_crash > 0 && --journal_crash == 0;
}

static bool faulty(enum journal_call call)
{
    if (call != CALL_WRITE && crashing()) {
        _exit(JOURNAL_CRASHED);
    }
    struct journal_fault *fault = &journal_faults[call];
    if (fault->times == 0) {
        return false;
    }
    if (fault->after > 0) {
        fault->after--;
        return false;
    }
    fault->times--;
    errno = fault->error;
    return true;
}

int file_open(const char *path, int flags, mode_t mode)
{
    return faulty(CALL_OPEN) ? -1 : open(path, flags | O_CLOEXEC, mode);
}

bool file_write(int fd, const void *bytes, size_t len, uint64_t offset)
{
    const char *p = bytes;
    bool crash = crashing(), fault = len > 0 && faulty(CALL_WRITE);
    int error = errno;
    size_t left = fault || crash ? len / 2 : len;

    while (left > 0) {
        ssize_t wrote = pwrite(fd, p, left, (off_t)offset);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            errno = wrote == 0 ? EIO : errno;
            return false;
        }
        p += wrote;
        left -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    if (crash) {
        _exit(JOURNAL_CRASHED);
    }
    errno = error;
    return !fault;
}

bool file_sync(int fd, bool data_only)
{
    if (faulty(CALL_FSYNC)) {
        return false;
    }
    return (data_only ? fdatasync(fd) : fsync(fd)) == 0;
}

bool file_rename(const char *from, const char *to)
{
    return !faulty(CALL_RENAME) && rename(from, to) == 0;
}

bool file_unlink(const char *path)
{
    return !faulty(CALL_UNLINK) && unlink(path) == 0;
}

bool file_truncate(int fd, uint64_t len)
{
    return !faulty(CALL_TRUNCATE) && ftruncate(fd, (off_t)len) == 0;
}

bool file_read(const char *path, struct buffer *out)
{
    int fd = file_open(path, O_RDONLY, 0);
    size_t before = out->len;
    ssize_t got = 0;

    if (fd < 0) {
        return false;
    }
    do {
        got = read(fd, buffer_reserve(out, 65536), 65536);
        out->len += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && out->len - before <= LIMIT_CONFIG_FILE) || (got < 0 && errno == EINTR));
    int error = got < 0 ? errno : got > 0 ? EFBIG : 0;
    close(fd);
    errno = error;
    return error == 0;
}

void file_directory(const char *path, char out[JOURNAL_PATH])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    assert(len < JOURNAL_PATH);
    memcpy(out, slash == NULL ? "." : path, len);
    out[len] = '\0';
}

bool file_sync_directory(const char *path)
{
    char directory[JOURNAL_PATH];
    file_directory(path, directory);
    int fd = file_open(directory, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return false;
    }
    bool ok = file_sync(fd, false);
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}

void file_like(int fd, const char *like)
{
    struct stat st, own;
    if (stat(like, &st) == 0 && fstat(fd, &own) == 0) {
        /* Only where it changes something: the system call filters of services kill for it. */
        bool other = st.st_uid != own.st_uid || st.st_gid != own.st_gid;
        if (other && (geteuid() == 0 || prctl(PR_GET_SECCOMP) == 0)) {
            (void)!fchown(fd, st.st_uid, st.st_gid);
        }
        (void)!fchmod(fd, st.st_mode & 07777);
    }
}

/* --- checksums
 * ----------------------------------------------------------------------------------------- */

uint32_t journal_crc32c(const void *bytes, size_t len)
{
    static _Thread_local uint32_t table[256]; /* filled by each thread on its first use */
    const uint8_t *p = bytes;
    uint32_t crc = UINT32_MAX;

    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t entry = i;
            for (int k = 0; k < 8; k++) {
                entry = entry >> 1 ^ (entry & 1 ? UINT32_C(0x82f63b78) : 0);
            }
            table[i] = entry;
        }
    }
    for (size_t i = 0; i < len; i++) {
        crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
    }
    return ~crc;
}

struct journal_checksum journal_checksum(const void *bytes, size_t len)
{
    return (struct journal_checksum){journal_crc32c(bytes, len), len};
}

bool journal_checksum_equal(const struct journal_checksum *a, const struct journal_checksum *b)
{
    return a->crc == b->crc && a->len == b->len;
}

bool journal_checksum_file(const char *path, struct journal_checksum *sum)
{
    struct buffer text = {0};
    bool ok = file_read(path, &text);
    int error = errno;
    *sum = journal_checksum(text.data, text.len);
    buffer_free(&text);
    errno = error;
    return ok;
}

void checksum_format(const struct journal_checksum *sum, char out[CHECKSUM_TEXT])
{
    snprintf(out, CHECKSUM_TEXT, "%08" PRIx32 ":%" PRIu64, sum->crc, sum->len);
}

static bool hex8(const char *text, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 8; i++) {
        char c = text[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a') + 10;
        } else {
            return false;
        }
        *value = *value << 4 | digit;
    }
    return true;
}

bool checksum_parse(const char *text, size_t len, struct journal_checksum *sum)
{
    return len > 9 && hex8(text, &sum->crc) && text[8] == ':' &&
           parse_u64(text + 9, len - 9, UINT64_MAX, &sum->len);
}

/* --- lines
 * ---------------------------------------------------------------------------------------------- */

void journal_line(struct buffer *out, const char *text, size_t len, bool first)
{
    size_t start = out->len;
    assert(memchr(text, '\n', len) == NULL);
    buffer_append(out, "00000000 ", JOURNAL_CRC);
    buffer_append(out, " ", first ? 1 : 0);
    buffer_append(out, text, len);
    char crc[9];
    snprintf(crc, sizeof(crc), "%08" PRIx32,
             journal_crc32c(out->data + start + JOURNAL_CRC, out->len - start - JOURNAL_CRC));
    memcpy(out->data + start, crc, 8);
    buffer_append(out, "\n", 1);
}

void journal_header(struct buffer *out, const struct journal_checksum *base, uint64_t after,
                    const char *snapshot, size_t snapshot_len)
{
    const char *end = snapshot_len > 0 ? snapshot + snapshot_len : snapshot;
    char text[160], sum[CHECKSUM_TEXT];
    uint64_t lines = 0;

    for (const char *p = snapshot; p < end; lines++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        p = stop != NULL ? stop + 1 : end;
    }
    checksum_format(base, sum);
    int len = snprintf(text, sizeof(text),
                       "# vedette journal 1 base %s after %" PRIu64 " snapshot %" PRIu64, sum,
                       after, lines);
    journal_line(out, text, (size_t)len, true);
    for (const char *p = snapshot; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        journal_line(out, p, (size_t)((stop != NULL ? stop : end) - p), false);
        p = stop != NULL ? stop + 1 : end;
    }
}

/* --- reports
 * ---------------------------------------------------------------------------------------------- */

void report_note(struct journal_report *report, const char *format, ...)
{
    const unsigned most = sizeof(report->notes) / sizeof(report->notes[0]);
    if (report->note_count < most) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(report->notes[report->note_count], sizeof(report->notes[0]), format, args);
        va_end(args);
        report->note_count++;
    }
}

bool report_fail(struct journal_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->reason, sizeof(report->reason), format, args);
    va_end(args);
    return false;
}
