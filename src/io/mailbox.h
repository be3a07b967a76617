/* The post office: lanes between threads (design.md §3).
 *
 * One single-producer single-consumer lane (ck_ring, LIMIT_LANE entries; a C11-atomics twin in
 * ThreadSanitizer builds, which cannot see ck's assembly) for each ordered pair of threads. A
 * thread that is also its own target has a lane to itself. Messages of one pair arrive in the
 * order they were sent, whatever their class.
 *
 * A full lane is back-pressure, never a lost promise: behind it the producer keeps a private FIFO.
 * POST_MUST messages always enter it; POST_GOSSIP ones are refused and counted once
 * LIMIT_LANE_SPILL messages wait there.
 *
 * Waking: each thread has one eventfd. A thread's turn is
 *
 *     work; post_flush(); if (post_sleep()) wait for events, the doorbell among them;
 *     post_awake(); while (post_receive()) ...
 *
 * A doorbell is written only for a thread that announced its sleep, by one sender per sleep. So a
 * thread must never block for long without post_sleep(), and must not ignore its `false`. A thread
 * whose private FIFO waits for room is woken through its doorbell when its reader has made room.
 */
#pragma once

#include "rules/types.h"

/* One message, copied by value. The sender and the receiver agree on the words (run/ puts a kind
 * into words[0]). Pointers in it give away what they point to. */
struct mail {
    uint64_t words[24];
};

enum post_class {
    POST_MUST,   /* votes, outcomes, commands: never lost */
    POST_GOSSIP, /* may be dropped and is counted */
    POST_LAZY,   /* hellos: as POST_GOSSIP, and wakes nobody: read when the target next wakes */
};

struct post;

/* Room for threads 0 .. threads-1, 1 <= threads <= POST_THREADS. Lanes take memory only as they
 * are used. Aborts when memory is out; NULL with errno when an eventfd cannot be had. Thread: any,
 * before the others. */
#define POST_THREADS (LIMIT_SHARDS + 2)
struct post *post_new(unsigned threads);
/* After all threads are joined. Mail that is still inside is forgotten: receive it first if it
 * carries pointers. */
void post_free(struct post *p);

/* Sends a copy of *mail. Does not wake the target: post_flush does. True: it will arrive. False
 * (gossip only): dropped and counted, what it points to is still the caller's. Thread: `from`. */
bool post_send(struct post *p, unsigned from, unsigned to, const struct mail *mail,
               enum post_class class);

/* Moves spilled messages into lanes that have room again and rings one doorbell for each target
 * that was sent something since the last flush and sleeps, or is about to. Once a turn, after the
 * work and before post_sleep. Thread: `self`. */
void post_flush(struct post *p, unsigned self);

/* Takes the next message for `self`, lane after lane in turn. False: nothing there now. Thread:
 * `self`. */
bool post_receive(struct post *p, unsigned self, struct mail *out);

/* The eventfd (EFD_NONBLOCK | EFD_CLOEXEC) that becomes readable when `self` must wake; for
 * ring_watch(), which reads it, or poll(). Owned by the post office. Thread: any. */
int post_doorbell(const struct post *p, unsigned self);

/* Announces that `self` is about to block. False: mail is waiting, or room has appeared for
 * spilled mail; the announcement is taken back, do not block. Thread: `self`. */
bool post_sleep(struct post *p, unsigned self);
/* Takes the announcement back after blocking, so that nobody rings for a thread that is awake. */
void post_awake(struct post *p, unsigned self);

/* Whether messages of `self` wait privately behind full lanes. Thread: `self`. */
bool post_spilling(const struct post *p, unsigned self);
/* How many wait behind the lane to `to`. Thread: `self`. */
uint32_t post_spilled(const struct post *p, unsigned self, unsigned to);

struct post_counters {
    uint64_t sent;      /* accepted by post_send, spilled ones included */
    uint64_t received;  /* handed out by post_receive */
    uint64_t spilled;   /* took the way through the private FIFO */
    uint64_t dropped;   /* gossip refused */
    uint64_t doorbells; /* eventfds written */
};
/* What `self` did so far. Thread: any (relaxed reads). */
void post_counters(const struct post *p, unsigned self, struct post_counters *out);
