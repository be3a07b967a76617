/* Elections: current_epoch, votes, attempts, config epochs (protocol.md §6, design.md §4). Pure:
 * ballots and time go in; records, outcomes and replies come out.
 *
 * The host works in passes: it feeds all waiting ballots (election_ballot), then election_pass(),
 * then makes every record durable in one batch, and only then releases outcomes and replies
 * ("persist before send": election_update.promises says whether anything waits). Then it calls
 * election_durable(true). If the batch cannot be made durable it calls election_durable(false)
 * before it releases: the update's promises are turned into refusals in place.
 *
 * Thread: the elector.
 */
#pragma once

#include "rules/message.h"

struct election_env { /* what the host keeps up to date */
    struct periods periods;
    struct runid myid;
    bool tilt;  /* no attempt starts; votes are given */
    bool muted; /* another process uses our runid: no vote, no attempt */
};

/* Answer to a BALLOT_REQUEST. */
struct vote_reply {
    struct reply_to to;
    uint32_t gid;
    struct runid leader; /* empty: "*" */
    uint64_t epoch;
    bool promise;         /* a grant of this pass */
    struct runid earlier; /* what to say if it cannot be made durable */
    uint64_t earlier_epoch;
};

struct election_update {
    struct record *records; /* in order; none has text */
    size_t record_count, record_cap;
    struct outcome *outcomes;
    size_t outcome_count, outcome_cap;
    struct vote_reply *replies;
    size_t reply_count, reply_cap;
    bool promises; /* something here may be released only after the records are durable */
};
void election_update_init(struct election_update *up);
void election_update_clear(struct election_update *up);
void election_update_free(struct election_update *up);

struct election; /* opaque: the elector's only */

/* fresh: the process starts without saved state: no vote and no attempt for one election-timeout
 * (design.md §4.1). env is borrowed for life. */
struct election *election_new(const struct election_env *env, uint64_t current_epoch, bool fresh,
                              uint64_t seed, ms_t now);
void election_free(struct election *e);

/* One ballot. Appends to up. */
void election_ballot(struct election *e, const struct ballot *b, ms_t now,
                     struct election_update *up);
/* Ends a pass: starts the attempts whose time has come (one new epoch for all, design.md §4.2),
 * drops rounds that cannot be won, gives up what timed out. Appends to up. */
void election_pass(struct election *e, ms_t now, struct election_update *up);
/* The pass's records are durable, or could not be made so. With false, up's promises become
 * refusals, attempts begun in it are lost (LOST_JOURNAL), and until election_durable(true) no vote
 * is given and no attempt starts (design.md §5). A grant stays recorded either way (§4.13). */
void election_durable(struct election *e, bool ok, ms_t now, struct election_update *up);
/* When election_pass() must run again at the latest. */
ms_t election_next_deadline(const struct election *e);

uint64_t election_current_epoch(const struct election *e);

/* For INFO, SENTINEL and the simulator's invariants. False: no such group. */
struct election_view {
    uint64_t voted_epoch; /* last vote for this master */
    struct runid voted;   /* whom, empty: not known */
    uint64_t config_epoch;
    bool attempt; /* ours is on */
    uint64_t attempt_epoch;
    uint32_t round, votes, needed;
    bool leading; /* elected */
};
bool election_view(const struct election *e, uint32_t gid, struct election_view *view);

/* Counters for INFO. */
struct election_counters {
    uint64_t votes_given, votes_refused, attempts, rounds, elected, lost, epochs_refused;
};
void election_counters(const struct election *e, struct election_counters *out);
