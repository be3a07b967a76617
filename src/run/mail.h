/* What travels in the lanes between threads. Internal to run/.
 *
 * Thread: plain values. A pointer in a letter is owned by the letter: the receiver takes it.
 */
#pragma once

#include "io/journal.h"
#include "io/mailbox.h"
#include "rules/election.h"
#include "rules/group.h"
#include "run/process.h"
#include "run/request.h"
#include "run/scripts.h"

enum letter_kind {
    /* shard -> elector */
    LETTER_BALLOT,
    LETTER_RECORD,
    /* elector -> shard */
    LETTER_OUTCOME,
    LETTER_VOTE,
    /* shard -> owner shard of the group; gossip: may be dropped */
    LETTER_HELLO,
    LETTER_ASKED,
    LETTER_RESOLVED,  /* gid, resolved: to itself: that name stands for that ip now */
    LETTER_LINK_LOST, /* gid, lost: to itself: the host closed a link in the middle of a step */
    /* shard -> shard that owns the link to a peer */
    LETTER_PEER_JOIN,  /* peer, addr: a group of the sender knows it there */
    LETTER_PEER_LEAVE, /* peer: no group of the sender knows it any more */
    LETTER_PEER_HELLO, /* gid, peer: publish the group's hello to it; gossip */
    LETTER_PEER_ASK,   /* gid, peer: ask it about the group's master */
    /* shard that owns a peer's link -> shard(s) */
    LETTER_PEER_STATE,     /* peer: liveness of the link */
    LETTER_PEER_STILLBORN, /* peer: a connection to it failed before it left, epoch: with errno */
    LETTER_PEER_GREET,     /* gid, peer, to itself: a group has joined a link that stands */
    LETTER_PEER_ANSWER,    /* gid, peer: it answered */
    LETTER_PEER_GONE,      /* peer, to itself: no group knows it any more, unless one does again */
    /* shard -> each shard in turn -> home */
    LETTER_MOVED,
    LETTER_INVALID,
    /* any -> shards with subscribers, main (log) */
    LETTER_NOTE,
    /* any -> any */
    LETTER_REQUEST,
    LETTER_TUNABLES, /* main -> all: a copy of its own for each */
    LETTER_STOP,     /* main -> all */
    LETTER_LINES,    /* elector -> main: journal lines for the model, durable or not */
    LETTER_RECOVER,  /* elector -> main: the journal is broken, a full snapshot is needed */
    /* The fold (io/journal.h), in this order. */
    LETTER_ROTATE,    /* main -> elector: begin the next journal file */
    LETTER_ROTATED,   /* elector -> main: fold.ok, fold.upto */
    LETTER_CHECKSUM,  /* main -> elector: note fold.sum */
    LETTER_NOTED,     /* elector -> main: fold.ok */
    LETTER_SNAPSHOT,  /* main -> elector: lines: begin a new file with this whole state */
    LETTER_RESTARTED, /* elector -> main: fold.ok */
    LETTER_SCRIPT,    /* shard -> main: to be run */
    LETTER_CRASH,     /* shard -> main: SIMULATE-FAILURE: exit 99 when the log is out */
};

/* reply_to.host[1] carries the shard of the client in its top bits while it is at the elector. */
#define REPLY_TO_SHARD_SHIFT 48

/* An event or log line on its way; shared by all who get it. */
struct note {
    atomic_uint refs;
    bool publish;           /* else log only */
    enum event_type type;   /* when publish */
    enum event_level level; /* of the log line */
    size_t len;
    int64_t wall_ms;
    char text[];
};
void note_release(struct note *note);

struct letter {
    uint16_t kind; /* enum letter_kind */
    uint16_t from; /* thread, filled in by letter_send */
    uint32_t gid;
    union {
        struct ballot ballot;
        struct record record;
        struct outcome outcome;
        struct vote_reply vote;
        struct { /* the name is the gid's */
            struct address sentinel, master;
            struct runid runid;
            uint64_t current_epoch, config_epoch;
        } hello;
        struct {
            struct runid runid; /* whom the request names, empty: "*" */
            struct address from;
            char tag[9]; /* first 8 digits of the id in the connection's name, or empty */
        } asked;
        struct {
            struct runid runid;
            struct address addr;
            uint64_t epoch;
            bool vote;
            uint32_t groups; /* JOIN: of the sender's, that share the link */
        } peer;              /* JOIN, LEAVE, HELLO, ASK */
        struct {
            struct runid runid;
            struct liveness live;
            uint32_t pending, refcount;
            bool tell_groups; /* the state matters to the groups, not only to displays */
        } state;
        struct {
            struct runid runid, leader;
            uint64_t epoch;
            uint32_t asked; /* tag of the address it was asked about */
            bool down;
        } answer;
        struct address lost;     /* LINK_LOST */
        struct address resolved; /* RESOLVED */
        struct {
            struct runid runid;
            struct address addr;
            uint32_t from_gid, count;
            uint16_t home, visits;
        } moved; /* MOVED, INVALID */
        struct note *note;
        struct request *request;
        struct script_job *script;
        struct tunables *tunables;
        struct {
            char *text;
            size_t len;
        } lines; /* LINES, SNAPSHOT */
        struct {
            bool ok;
            uint64_t upto;
            struct journal_checksum sum;
        } fold;
    } u;
};
_Static_assert(sizeof(struct letter) <= sizeof(struct mail), "a letter fits in a mail");

/* Sends a letter. */
void letter_send(struct process *p, unsigned from, unsigned to, const struct letter *letter,
                 enum post_class class);
/* Reads a mail as a letter. */
void letter_open(const struct mail *mail, struct letter *letter);
/* Frees what is still under way. Thread: main, when the others have ended. */
void letters_drop(struct process *p);

/* Makes a note of text and mails it to main (log) and, when publish, to every shard that has
 * subscribers, behind everything `from` sent them before. Whoever has LIMIT_LANE_SPILL mails from
 * `from` waiting does not get it (process_counters.events_dropped). */
void note_send(struct process *p, unsigned from, bool publish, enum event_type type,
               enum event_level level, const char *text, size_t len);
