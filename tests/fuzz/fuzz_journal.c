/* Journal files: whatever lies there, only whole lines are replayed, and a journal that was opened
 * can be begun anew. The input is cut at bytes 0xff into files; a leading '!' asks for right
 * checksums to be put on its lines. */
#include "io/journal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES 3

static char directory[64], conf[96];

static void prepare(void)
{
    if (directory[0] == '\0') {
        snprintf(directory, sizeof(directory), "%s/vedette-fuzz.XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (mkdtemp(directory) == NULL) {
            abort();
        }
        snprintf(conf, sizeof(conf), "%s/s.conf", directory);
    }
}

static void put(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "we");
    if (f == NULL || (len > 0 && fwrite(bytes, 1, len, f) != len)) {
        abort();
    }
    fclose(f);
}

/* Puts the right checksum before every line. */
static void sign(const char *text, size_t len, struct buffer *out)
{
    while (len > 0) {
        const char *stop = memchr(text, '\n', len);
        size_t n = stop != NULL ? (size_t)(stop - text) : len;
        buffer_printf(out, "%08x ", journal_crc32c(text, n));
        buffer_append(out, text, n);
        buffer_append(out, "\n", 1);
        n += stop != NULL ? 1 : 0;
        text += n;
        len -= n;
    }
}

static void put_journal(unsigned number, const uint8_t *data, size_t len)
{
    char path[128];
    struct buffer text = {0};
    snprintf(path, sizeof(path), "%s.journal.%u", conf, number);
    if (len > 0 && data[0] == '!') {
        sign((const char *)data + 1, len - 1, &text);
    } else {
        buffer_append(&text, data, len);
    }
    put(path, text.data, text.len);
    buffer_free(&text);
}

static void remove_journals(void)
{
    char path[128];
    for (unsigned i = 1; i <= FILES + 2; i++) {
        snprintf(path, sizeof(path), "%s.journal.%u", conf, i);
        unlink(path);
    }
}

static bool count_line(void *ctx, const char *text, size_t len, bool maxima, char *why,
                       size_t why_size)
{
    (void)maxima, (void)why, (void)why_size;
    assert(len > 0 && text[0] != '#' && memchr(text, '\n', len) == NULL);
    ++*(unsigned *)ctx;
    return true;
}

static struct journal *open_it(struct journal_report *report)
{
    struct journal_options options = {.conf_path = conf};
    if (!journal_checksum_file(conf, &options.loaded)) {
        abort();
    }
    return journal_open(&options, report);
}

static void live(struct journal *j, struct journal_report *report)
{
    static const char text[] = "port 2\n";
    unsigned lines = 0;
    assert(journal_replay(j, count_line, &lines, report));
    assert(journal_replayed_any(j) == (lines > 0));
    assert(journal_begin(j, text, sizeof(text) - 1, "", 0, report));
    journal_append(j, "sentinel current-epoch 1", 24);
    assert(journal_sync(j));
    journal_close(j);
    j = open_it(report);
    assert(j != NULL);
    lines = 0;
    assert(journal_replay(j, count_line, &lines, report) && lines == 1);
    journal_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct journal_report report;
    prepare();
    put(conf, "port 1\n", 7);
    remove_journals();
    for (unsigned i = 1; i <= FILES; i++) {
        const uint8_t *stop = size > 0 ? memchr(data, 0xff, size) : NULL;
        size_t len = stop != NULL ? (size_t)(stop - data) : size;
        put_journal(i, data, len);
        if (stop == NULL) {
            break;
        }
        data += len + 1;
        size -= len + 1;
    }
    struct journal *j = open_it(&report);
    if (j == NULL) {
        assert(report.reason[0] != '\0' && !report.locked);
    } else {
        live(j, &report);
    }
    remove_journals();
    return 0;
}
