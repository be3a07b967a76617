/* One lane: a bounded queue of mail with one producer and one consumer thread. Private to
 * mailbox.c.
 *
 * ck_ring in every build but ThreadSanitizer's: ck's loads and stores are inline assembly there,
 * which it cannot see, so those builds have a twin in C11 atomics with the same bounds. (ck 0.7.1:
 * only the spsc calls are used; its mpsc ones make a producer spin behind a preempted one.)
 */
#pragma once

#include "io/mailbox.h"

#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define LANE_TWIN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LANE_TWIN 1
#endif
#endif
#ifndef LANE_TWIN
#define LANE_TWIN 0
#endif

#define LANE_LINE 64 /* bytes of a cache line */

#if LANE_TWIN

struct lane {
    _Alignas(LANE_LINE) atomic_uint head; /* next to take; written by the consumer */
    _Alignas(LANE_LINE) atomic_uint tail; /* next to fill; written by the producer */
    struct mail *slots;
};

static inline void lane_init(struct lane *lane, struct mail *slots)
{
    atomic_init(&lane->head, 0);
    atomic_init(&lane->tail, 0);
    lane->slots = slots;
}

/* Producer. False: full (it holds LIMIT_LANE - 1, as a ck_ring does). */
static inline bool lane_put(struct lane *lane, const struct mail *mail)
{
    unsigned tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    unsigned head = atomic_load_explicit(&lane->head, memory_order_acquire);
    if (tail - head >= LIMIT_LANE - 1) {
        return false;
    }
    lane->slots[tail % LIMIT_LANE] = *mail;
    atomic_store_explicit(&lane->tail, tail + 1, memory_order_release);
    return true;
}

/* Consumer. False: empty. */
static inline bool lane_take(struct lane *lane, struct mail *out)
{
    unsigned head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&lane->tail, memory_order_acquire)) {
        return false;
    }
    *out = lane->slots[head % LIMIT_LANE];
    atomic_store_explicit(&lane->head, head + 1, memory_order_release);
    return true;
}

/* Either side. */
static inline unsigned lane_size(const struct lane *lane)
{
    unsigned head = atomic_load_explicit(&lane->head, memory_order_acquire);
    return atomic_load_explicit(&lane->tail, memory_order_acquire) - head;
}

#else

#include <ck_ring.h>

CK_RING_PROTOTYPE(lane, mail)

struct lane {
    _Alignas(LANE_LINE) ck_ring_t ring;
    struct mail *slots;
};

static inline void lane_init(struct lane *lane, struct mail *slots)
{
    ck_ring_init(&lane->ring, LIMIT_LANE);
    lane->slots = slots;
}

static inline bool lane_put(struct lane *lane, const struct mail *mail)
{
    /* ck takes a pointer to non-const but only copies from it. */
    return CK_RING_ENQUEUE_SPSC(lane, &lane->ring, lane->slots, (struct mail *)(uintptr_t)mail);
}

static inline bool lane_take(struct lane *lane, struct mail *out)
{
    return CK_RING_DEQUEUE_SPSC(lane, &lane->ring, lane->slots, out);
}

static inline unsigned lane_size(const struct lane *lane)
{
    return ck_ring_size(&lane->ring);
}

#endif
