/* Reading journal files: which there are, what of them is whole. */
#include "io/journal_internal.h"
#include "rules/limits.h"
#include "rules/types.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void journal_path(const struct journal_place *place, uint64_t number, char out[JOURNAL_PATH + 32])
{
    snprintf(out, JOURNAL_PATH + 32, "%s.journal.%" PRIu64, place->stem, number);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool journal_numbers(const struct journal_place *place, uint64_t **numbers, size_t *count)
{
    char directory[JOURNAL_PATH], prefix[JOURNAL_PATH + 16];
    struct buffer found = {0};

    file_directory(place->stem, directory);
    const char *slash = strrchr(place->stem, '/');
    snprintf(prefix, sizeof(prefix), "%s.journal.", slash != NULL ? slash + 1 : place->stem);
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *rest = entry->d_name + strlen(prefix);
        uint64_t number;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && *rest != '0' &&
            parse_u64(rest, strlen(rest), UINT64_MAX / 2, &number)) {
            buffer_append(&found, &number, sizeof(number));
        }
    }
    closedir(dir);
    *numbers = (uint64_t *)(void *)found.data;
    *count = found.len / sizeof(**numbers);
    if (*count > 0) {
        qsort(*numbers, *count, sizeof(**numbers), compare_numbers);
    }
    return true;
}

/* Whether a line (without newline) carries its right checksum. */
static bool line_whole(const char *line, size_t len)
{
    char crc[9];
    if (len < JOURNAL_CRC || line[JOURNAL_CRC - 1] != ' ') {
        return false;
    }
    snprintf(crc, sizeof(crc), "%08" PRIx32, journal_crc32c(line + JOURNAL_CRC, len - JOURNAL_CRC));
    return memcmp(crc, line, 8) == 0;
}

/* The line at *at, newline excluded; false at the end. An unfinished last line has *ended false. */
static bool next_line(const struct buffer *text, size_t limit, size_t *at, const char **line,
                      size_t *len, bool *ended)
{
    if (*at >= limit) {
        return false;
    }
    const char *start = (const char *)text->data + *at;
    const char *stop = memchr(start, '\n', limit - *at);
    *line = start;
    *len = stop != NULL ? (size_t)(stop - start) : limit - *at;
    *ended = stop != NULL;
    *at += *len + (*ended ? 1 : 0);
    return true;
}

bool journal_file_next(const struct journal_file *file, size_t *at, unsigned *number,
                       const char **text, size_t *len)
{
    bool ended;
    if (!next_line(&file->text, file->good, at, text, len, &ended)) {
        return false;
    }
    (*number)++;
    *text += JOURNAL_CRC;
    *len -= JOURNAL_CRC;
    if (*len > 0 && **text == ' ') {
        (*text)++;
        (*len)--;
    }
    return true;
}

/* Finds the end of what is whole. A tail is torn when no later batch begins behind it: only the
 * last batch can have been on its way to the disk. */
static bool check_lines(struct journal_file *file, struct journal_report *report)
{
    const char *line;
    size_t at = 0, len;
    unsigned number = 0;
    bool ended;

    while (next_line(&file->text, file->text.len, &at, &line, &len, &ended) && ended &&
           line_whole(line, len)) {
        file->good = at;
        number++;
    }
    if (file->good == file->text.len) {
        return true;
    }
    at = file->good;
    while (next_line(&file->text, file->text.len, &at, &line, &len, &ended)) {
        if (ended && line_whole(line, len) && len > JOURNAL_CRC && line[JOURNAL_CRC] == ' ') {
            return report_fail(report,
                               "%s, line %u: the checksum is wrong, and whole lines follow: the "
                               "file is damaged. To go on, keep a copy and either cut the file "
                               "off before that line or move it away (the state is then what "
                               "sentinel.conf and the rest of the journal hold: votes given since "
                               "may be forgotten)",
                               file->path, number + 1);
        }
    }
    report_note(report, "%s: dropped a torn tail of %zu bytes from line %u on", file->path,
                file->text.len - file->good, number + 1);
    return true;
}

/* One word of the header: its name and then its value, which is given back. */
static const char *header_word(const char **p, const char *end, const char *name, size_t *len)
{
    size_t n = strlen(name);
    if ((size_t)(end - *p) < n || memcmp(*p, name, n) != 0) {
        return NULL;
    }
    const char *value = *p + n;
    const char *stop = memchr(value, ' ', (size_t)(end - value));
    stop = stop != NULL ? stop : end;
    *len = (size_t)(stop - value);
    *p = stop;
    return value;
}

static bool read_header(struct journal_file *file, const char *text, size_t len)
{
    const char *end = text + len, *base, *after, *snapshot;
    size_t base_len, after_len, snapshot_len;

    return (base = header_word(&text, end, "# vedette journal 1 base ", &base_len)) != NULL &&
           (after = header_word(&text, end, " after ", &after_len)) != NULL &&
           (snapshot = header_word(&text, end, " snapshot ", &snapshot_len)) != NULL &&
           text == end && checksum_parse(base, base_len, &file->base) &&
           parse_u64(after, after_len, UINT64_MAX, &file->after) &&
           parse_u64(snapshot, snapshot_len, UINT64_MAX, &file->snapshot);
}

static void read_note(struct journal_file *file, const char *text, size_t len)
{
    static const char word[] = "# base ";
    struct journal_checksum sum;
    if (len <= sizeof(word) - 1 || memcmp(text, word, sizeof(word) - 1) != 0 ||
        !checksum_parse(text + sizeof(word) - 1, len - (sizeof(word) - 1), &sum)) {
        return;
    }
    void *more = realloc(file->notes, (file->note_count + 1) * sizeof(*file->notes));
    if (more == NULL) {
        abort();
    }
    file->notes = more;
    file->notes[file->note_count++] = sum;
}

bool journal_file_read(struct journal_file *file, struct journal_report *report)
{
    const char *text;
    size_t at = 0, len;
    unsigned number = 0;

    if (!file_read(file->path, &file->text)) {
        return report_fail(report, "Can't read the journal %s: %s", file->path, strerror(errno));
    }
    if (!check_lines(file, report)) {
        return false;
    }
    bool header = journal_file_next(file, &at, &number, &text, &len);
    if (header && !read_header(file, text, len)) {
        return report_fail(report, "%s, line 1: not a journal of this version", file->path);
    }
    while (journal_file_next(file, &at, &number, &text, &len)) {
        read_note(file, text, len);
    }
    file->whole = header && number - 1 >= file->snapshot;
    return true;
}

void journal_file_free(struct journal_file *file)
{
    buffer_free(&file->text);
    free(file->notes);
    file->notes = NULL;
}
