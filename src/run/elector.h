/* The election thread: epochs, votes, attempts, the journal (design.md §3-5). It works in passes:
 * drain all lanes, decide for all, append one batch, one fdatasync, release.
 *
 * Thread: the elector's own but for elector_new/start/join.
 */
#pragma once

#include "io/journal.h"
#include "rules/election.h"
#include "run/process.h"
#include "run/request.h"

struct elector;

/* Takes over the journal (io/journal.h) until elector_join(); main closes it. fresh: see
 * election_new(). */
struct elector *elector_new(struct process *p, struct journal *journal,
                            const struct tunables *tunables, uint64_t current_epoch, bool fresh);
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
