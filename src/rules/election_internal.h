/* What the files of the election share; nobody else includes it.
 *
 * election.c          life, ballots, durability, views
 * election_vote.c     epochs, requests, grants, leases (design.md §4.1, 4.6)
 * election_attempt.c  wishes, batches, rounds, tally (design.md §4.2-4.5, 4.9)
 * election_store.c    interned ids, members, the heap of deadlines
 * election_update.c   what goes out
 *
 * Thread: the elector.
 */
#pragma once

#include "rules/election.h"
#include "rules/mutant.h"

#include <assert.h>

/* Run ids are kept once and named by a small number: thousands of groups share the same few
 * sentinels. Counted, so that ids nobody refers to any more leave nothing behind. */
#define NOBODY 0u /* the unknown id */

struct name {
    struct runid id;
    uint32_t refs;
    uint32_t next; /* in its bucket, or in the free list */
};

struct names {
    struct name *list; /* [0] stands for NOBODY */
    uint32_t *buckets;
    size_t count, cap, bucket_count; /* bucket_count: a power of two */
    uint32_t free;
    uint64_t salt; /* ids come from the net: nobody shall choose the bucket */
};
void names_init(struct names *n, uint64_t salt);
void names_free(struct names *n);
uint32_t names_find(const struct names *n, const struct runid *id); /* NOBODY when not known */
uint32_t names_take(struct names *n, const struct runid *id);       /* adds a reference */
void names_hold(struct names *n, uint32_t name);
void names_drop(struct names *n, uint32_t name);
const struct runid *names_id(const struct names *n, uint32_t name);

/* What a member said in the present round. */
enum member_answer {
    ANSWER_NONE,
    ANSWER_GRANT,
    ANSWER_OTHER,   /* voted in this epoch or later, not for us: cannot grant this round any more */
    ANSWER_UNKNOWN, /* an epoch below ours: refused for a reason not told; may still grant */
};

struct member { /* a sentinel of the group other than ourselves */
    uint32_t name;
    uint8_t answer; /* enum member_answer */
    bool down;      /* s_down here */
    bool heard;     /* answered something in this attempt */
};

enum phase {
    PHASE_NONE,
    PHASE_WAIT,    /* a wish that a lease or a new member holds back; in the heap */
    PHASE_READY,   /* a wish that starts with the next batch; in election.ready */
    PHASE_ROUND,   /* asking; in the heap */
    PHASE_BACKOFF, /* between rounds; in the heap */
    PHASE_LEADING, /* elected; waits for END or CANCEL */
};

struct attempt {     /* a wish or an attempt */
    ms_t since;      /* the wish came */
    ms_t not_before; /* no start earlier: a member was added (design.md §4.3) */
    ms_t deadline;   /* of the attempt */
    ms_t forced_at;  /* go on without a majority, MS_NEVER: never */
    ms_t round_at;   /* start of the present round */
    ms_t next_at;    /* BACKOFF: earliest start of the next */
    uint64_t epoch;
    uint32_t round;
    uint32_t members_at_start;
    uint32_t ghosts; /* MUTANT_COUNT_REMOVED only */
    bool forced;
    bool majority; /* forced, but does not go on without one */
    bool leased;   /* BACKOFF: held back by a lease when last looked at */
    bool higher;   /* a voter that refused is known to be at an epoch above ours */
    bool rival;    /* somebody else has a vote in this epoch or above */
    bool go_on;    /* forced: the round about to begin needs no votes */
};

struct seat {                /* one group */
    struct attempt *attempt; /* NULL in PHASE_NONE */
    struct member *members;
    uint32_t member_count, member_cap;
    uint64_t voted_epoch, durable_epoch, config_epoch;
    uint32_t voted, durable; /* names; whom voted_epoch's and durable_epoch's vote is for */
    ms_t voted_at, asked_at; /* our vote; the last time its holder asked for that epoch */
    ms_t suitor_at;          /* a candidate was refused only because of the lease; 0: none */
    ms_t failover_timeout;
    ms_t due;           /* key in the heap */
    uint32_t heap_slot; /* index + 1, 0: not in the heap */
    uint32_t quorum;
    enum phase phase;
    bool present; /* between ADD and REMOVE; a vacant seat keeps its votes */
    bool lease;   /* voted for another, and nothing but time may have ended it */
    bool unsure;  /* the vote could not be made durable and is in no batch */
    bool listed;  /* in election.ready, which is pruned late */
};

struct gid_list {
    uint32_t *gids;
    size_t count, cap;
};

struct election {
    const struct election_env *env;
    struct names names;
    struct prng prng;
    struct seat *seats; /* by gid */
    size_t seat_count, seat_cap;
    uint32_t me;            /* name of env->myid */
    uint64_t current_epoch; /* never goes back */
    uint64_t seen_epoch;    /* the greatest in any hello, request or answer; >= current_epoch */
    uint64_t floor_epoch;   /* no vote up to it (fresh start, design.md §4.1) */
    ms_t silent_until;      /* 0: may vote */
    ms_t now;               /* of the last call */
    bool refused;           /* nothing can be made durable */
    bool epoch_unsure;      /* current_epoch is in no durable batch */
    uint32_t epoch_gid;     /* in whose name it was raised */
    struct gid_list heap;   /* WAIT, ROUND, BACKOFF (and READY to be looked at), by due */
    struct gid_list ready;  /* PHASE_READY, and seats that left it */
    struct gid_list starters, fresh, unsure;
    size_t forced_ready; /* wishes in ready that do not wait for the batch: may be too high */
    ms_t batch_at;       /* the ready start, 0: not drawn */
    ms_t backoff[LIMIT_ROUNDS + 1]; /* drawn in this pass for losers of that round, 0: not yet */
    struct election_counters counters;
};

/* --- election_store.c ----------------------------------------------------------------------- */
/* Makes room for one more of `size` bytes; aborts when there is no memory. */
void *election_grow(void *list, size_t count, size_t *cap, size_t size);
void gid_list_add(struct gid_list *list, uint32_t gid);
/* NULL when not known here or removed. */
struct seat *seat_find(const struct election *e, uint32_t gid);
/* Its place, made when there was none. Moves all seats. */
struct seat *seat_make(struct election *e, uint32_t gid);
struct member *seat_member(const struct seat *s, uint32_t name);
void seat_member_add(struct election *e, struct seat *s, const struct runid *id);
void seat_member_drop(struct election *e, struct seat *s, struct member *m);
void seat_clear_members(struct election *e, struct seat *s);
/* Enters or moves the group in the heap; MS_NEVER takes it out. */
void agenda_set(struct election *e, uint32_t gid, ms_t due);
ms_t agenda_next(const struct election *e);

/* --- election_update.c ---------------------------------------------------------------------- */
struct record *update_record(struct election_update *up, enum record_kind kind, uint32_t gid,
                             uint64_t epoch);
struct outcome *update_outcome(struct election_update *up, enum outcome_kind kind, uint32_t gid,
                               uint64_t epoch);
struct vote_reply *update_reply(struct election_update *up, uint32_t gid,
                                const struct reply_to *to);

/* --- election.c ----------------------------------------------------------------------------- */
/* Time has passed: a fresh start's silence may end. */
void election_advance(struct election *e, ms_t now);

/* --- election_vote.c ------------------------------------------------------------------------ */
/* True, and remembered as seen, when epoch is within protocol.md §11's bounds; else counted. */
bool epoch_see(struct election *e, uint64_t epoch);
/* current_epoch becomes epoch where that is greater: record and outcome in gid's name. */
void epoch_raise(struct election *e, uint32_t gid, uint64_t epoch, struct election_update *up);
bool election_silent(const struct election *e);
/* Our vote for this master goes to name. */
void seat_vote(struct election *e, uint32_t gid, uint32_t name, uint64_t epoch, ms_t now,
               struct election_update *up);
bool seat_vote_durable(const struct seat *s);
/* Another's vote still binds us. */
bool lease_holds(const struct election *e, const struct seat *s, ms_t now);
/* When an own round may begin at the earliest, as far as other candidates are concerned; now or
 * before: at once. Looked at again then. */
ms_t start_after_others(const struct election *e, const struct seat *s, ms_t now);
void election_request(struct election *e, const struct ballot *b, ms_t now,
                      struct election_update *up);

/* --- election_attempt.c --------------------------------------------------------------------- */
void attempt_want(struct election *e, const struct ballot *b, ms_t now, struct election_update *up);
void attempt_answer(struct election *e, const struct ballot *b, ms_t now,
                    struct election_update *up);
/* Ends wish or attempt without a word. */
void attempt_clear(struct election *e, uint32_t gid);
void attempt_lose(struct election *e, uint32_t gid, enum lost_reason reason,
                  struct election_update *up);
/* We have just voted for somebody else. */
void attempt_voted_for_other(struct election *e, uint32_t gid, ms_t now);
/* The pass will look at it. */
void attempt_touch(struct election *e, uint32_t gid, ms_t now);
void attempt_tally(const struct election *e, const struct seat *s, uint32_t *votes,
                   uint32_t *needed);
