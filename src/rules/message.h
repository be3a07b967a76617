/* What the owner of a group and the elector tell each other, and what the journal keeps. Plain
 * values: the daemon sends them through lanes, the simulator through its queues.
 *
 * Thread: plain values, any thread.
 */
#pragma once

#include "rules/types.h"

/* Whom a vote's answer goes to: opaque to the rules, the host fills it in and gets it back. */
struct reply_to {
    uint64_t host[2];
};

/* --- owner shard (or the shard that heard it) -> elector ----------------------------------- */
enum ballot_kind {
    BALLOT_ADD,         /* a group exists now; see struct ballot_terms */
    BALLOT_REMOVE,      /* it is gone; its votes are kept (design.md §4.1) */
    BALLOT_SET,         /* terms changed: quorum, failover_timeout */
    BALLOT_MEMBER_ADD,  /* runid: a sentinel was added to the group */
    BALLOT_MEMBER_DROP, /* runid: it was removed (RESET, replaced id) */
    BALLOT_MEMBER_DOWN, /* runid: it is s_down here */
    BALLOT_MEMBER_UP,   /* runid: it is no longer */
    BALLOT_WANT,        /* the group wants an attempt; forced: SENTINEL FAILOVER; majority:
                           COORDINATED, which does not go on without one */
    BALLOT_CANCEL,  /* wish or attempt is off: RESET, REMOVE, newer configuration, o_down over */
    BALLOT_END,     /* the failover ended here, or the new master was adopted: leases end */
    BALLOT_REQUEST, /* a peer asks: runid = candidate, epoch; answered to reply_to */
    BALLOT_ANSWER,  /* a peer answered: runid = voter, leader, epoch = leader_epoch,
                       heard = the voter's current_epoch as known from its hellos */
    BALLOT_EPOCH,   /* runid's hello carries current_epoch epoch */
    BALLOT_FRESH,   /* the group needs a new config epoch for its own view (design.md §4.10) */
    BALLOT_CONFIG,  /* make durable: config epoch = epoch, master at addr */
};

struct ballot {
    enum ballot_kind kind;
    uint32_t gid;
    uint64_t epoch;
    struct runid runid, leader;
    union {
        struct { /* ADD, SET */
            uint32_t quorum;
            bool has_votes; /* ADD: leader-epoch was saved: `epoch`, given to `leader`, which is
                               empty when not known. Without: starts at current_epoch. */
            ms_t failover_timeout;
            uint64_t config_epoch;
        } terms;
        struct { /* WANT */
            bool forced, majority;
        } want;
        struct reply_to reply_to; /* REQUEST */
        uint64_t heard;           /* ANSWER, 0: not known */
        struct address addr;      /* CONFIG */
    } u;
};

/* --- elector -> owner shard ---------------------------------------------------------------- */
enum outcome_kind {
    OUTCOME_NEW_EPOCH, /* current_epoch became epoch in this group's name: +new-epoch */
    OUTCOME_STARTED,   /* a round of the attempt began with epoch; self-vote is durable: ask now.
                          round 1 is the attempt's first (+try-failover), later ones are retries */
    OUTCOME_ELECTED,   /* won with epoch (forced: may be without a majority) */
    OUTCOME_LOST,      /* the attempt is over; reason */
    OUTCOME_VOTED,  /* we voted for leader (not us) with epoch: +vote-for-leader. An attempt of ours
                       that is not elected has dropped its round: ask for no vote until the next
                       STARTED, or those who gave us theirs stay bound (design.md §4.6) */
    OUTCOME_CONFIG, /* BALLOT_CONFIG (epoch, addr) is durable, or could not be and we go on */
    OUTCOME_FRESH,  /* BALLOT_FRESH: epoch is the new config epoch to use, durable */
};

enum lost_reason {
    LOST_TIMEOUT,   /* election-timeout (or failover-timeout) passed, or rounds used up */
    LOST_CANCELLED, /* BALLOT_CANCEL */
    LOST_JOURNAL,   /* nothing can be made durable */
};

struct outcome {
    enum outcome_kind kind;
    uint32_t gid;
    uint64_t epoch;
    struct runid leader;
    uint32_t round;          /* STARTED */
    enum lost_reason reason; /* LOST */
    bool unreachable;        /* LOST: never enough answers for a majority, whoever they named */
    struct address addr;     /* CONFIG */
};

/* --- what the journal keeps (design.md §5) -------------------------------------------------- */
enum record_kind {
    RECORD_CURRENT_EPOCH, /* epoch */
    RECORD_VOTE,          /* gid, epoch, runid = whom */
    RECORD_CONFIG,        /* gid, epoch, addr: where addr differs from the master's, old master and
                             that replica change places */
    RECORD_REPLICA,       /* gid, addr */
    RECORD_NO_REPLICA,    /* gid, addr */
    RECORD_SENTINEL,      /* gid, addr, runid: added or moved */
    RECORD_NO_SENTINEL,   /* gid, runid */
    RECORD_RESET,         /* gid: all replicas and sentinels forgotten */
    RECORD_MONITOR,       /* gid, addr, quorum; default terms follow as RECORD_TEXT */
    RECORD_REMOVE,        /* gid */
    RECORD_TEXT,          /* text: one line in sentinel.conf grammar (SET, CONFIG SET, myid) */
};

struct record {
    enum record_kind kind;
    uint32_t gid;
    uint32_t quorum;
    uint64_t epoch;
    struct runid runid;
    struct address addr;
    char *text; /* RECORD_TEXT: owned by whoever holds the record, malloc'd; else NULL */
};
