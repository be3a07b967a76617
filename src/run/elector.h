/* The election thread: epochs, votes, attempts, the journal (design.md §3-5). It works in passes:
 * drain all lanes, decide for all, append one batch, one fdatasync, release.
 *
 * Thread: the elector's own but for elector_new/start/join.
 */
#pragma once

#include "rules/election.h"
#include "run/process.h"
#include "run/request.h"

struct elector;

/* What the journal needs done, so that run/ does not know config/: main gives it. All are called
 * on the elector's thread. */
struct elector_disk {
    void *ctx;
    /* Appends lines ('\n'-separated, len bytes) and makes them durable. False: failed; nothing of
     * this file may be trusted any more. */
    bool (*append)(void *ctx, const char *lines, size_t len);
    /* Opens a new journal file that everything from now on goes to. False: not possible now. */
    bool (*rotate)(void *ctx);
    /* Notes the checksum of the sentinel.conf that is about to be renamed into place. */
    bool (*note)(void *ctx, uint32_t checksum);
    /* A fold is complete: the older journal can go. */
    void (*drop_old)(void *ctx);
};

struct elector *elector_new(struct process *p, const struct elector_disk *disk,
                            const struct tunables *tunables, uint64_t current_epoch, bool fresh,
                            uint64_t seed);
bool elector_start(struct elector *e, char *error, size_t error_len);
void elector_join(struct elector *e);
void elector_free(struct elector *e);
/* For INFO; read racily by any thread (relaxed atomics). */
struct elector_counters {
    uint64_t passes, batches, records, sync_us_max, refused;
    struct election_counters election;
};
void elector_counters(const struct elector *e, struct elector_counters *out);
/* Thread of the elector, in a request step: journals a line (RECORD_TEXT; copied) in the next
 * batch and sends the request on to main after it is durable, behind the LETTER_LINES of that
 * batch, so that main's model holds them. line NULL: journals nothing, only waits for what was
 * recorded before. When nothing can be made durable the request goes on to main all the same (the
 * rewrite of sentinel.conf decides). Takes the request. */
void elector_record_then_main(struct elector *e, const char *line, struct request *request);
