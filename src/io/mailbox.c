#include "io/mailbox.h"

#include "io/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Beyond this a thread has stopped reading altogether: better to stop than to eat all memory. */
#define SPILL_MOST ((uint32_t)64 * LIMIT_LANE_SPILL)

#define TARGET_WORDS ((POST_THREADS + 63) / 64)

/* What waits privately behind a full lane: a ring that grows. Producer only. */
struct spill {
    struct mail *mails;
    uint32_t first, count, cap; /* cap is 0 or a power of two */
};

struct pair {
    struct lane lane;
    struct spill spill;
    /* The producer has something in the spill: the consumer rings it when it has made room. */
    _Alignas(LANE_LINE) atomic_bool starving;
};

struct tally { /* relaxed: written by one thread, read by any */
    atomic_ullong sent, received, spilled, dropped, doorbells;
};

struct seat {                               /* of a thread */
    _Alignas(LANE_LINE) atomic_bool asleep; /* or about to be; whoever clears it rings */
    int doorbell;
    _Alignas(LANE_LINE) unsigned cursor; /* lane to read next */
    unsigned run;                        /* mails taken from it in a row */
    uint64_t sent_to[TARGET_WORDS];      /* targets with news since the last flush */
    unsigned spills;                     /* lanes of mine with something in the spill */
    struct tally tally;
};

struct post {
    unsigned threads;
    struct mail *slots; /* of all lanes, one mapping, touched as they are used */
    size_t slots_bytes;
    struct pair *pairs; /* [from * threads + to] */
    struct seat *seats;
};

/* Mails taken from one lane before the next lane's turn: keeps its cache lines warm, and is short
 * enough that no lane waits long. */
#define RUN_MOST 32

static struct pair *pair_of(const struct post *p, unsigned from, unsigned to)
{
    assert(from < p->threads && to < p->threads);
    return &p->pairs[(size_t)from * p->threads + to];
}

static void bump(atomic_ullong *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void *lines(size_t bytes)
{
    bytes = (bytes + LANE_LINE - 1) / LANE_LINE * LANE_LINE;
    void *memory = aligned_alloc(LANE_LINE, bytes);
    if (memory == NULL) {
        abort();
    }
    memset(memory, 0, bytes);
    return memory;
}

struct post *post_new(unsigned threads)
{
    assert(threads >= 1 && threads <= POST_THREADS);
    struct post *p = lines(sizeof *p);
    size_t pairs = (size_t)threads * threads;
    p->threads = threads;
    p->slots_bytes = pairs * LIMIT_LANE * sizeof(struct mail);
    p->slots = mmap(NULL, p->slots_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->slots == MAP_FAILED) {
        abort();
    }
    p->pairs = lines(pairs * sizeof *p->pairs);
    p->seats = lines(threads * sizeof *p->seats);
    for (size_t i = 0; i < pairs; i++) {
        lane_init(&p->pairs[i].lane, p->slots + i * LIMIT_LANE);
    }
    for (unsigned i = 0; i < threads; i++) {
        p->seats[i].doorbell = -1;
    }
    for (unsigned i = 0; i < threads; i++) {
        p->seats[i].doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (p->seats[i].doorbell < 0) {
            int error = errno;
            post_free(p);
            errno = error;
            return NULL;
        }
    }
    return p;
}

void post_free(struct post *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < p->threads; i++) {
        if (p->seats[i].doorbell >= 0) {
            close(p->seats[i].doorbell);
        }
    }
    for (size_t i = 0; i < (size_t)p->threads * p->threads; i++) {
        free(p->pairs[i].spill.mails);
    }
    munmap(p->slots, p->slots_bytes);
    free(p->pairs);
    free(p->seats);
    free(p);
}

static void spill_put(struct spill *s, const struct mail *mail)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap > 0 ? 2 * s->cap : 64;
        struct mail *mails = malloc(cap * sizeof *mails);
        if (mails == NULL) {
            abort();
        }
        for (uint32_t i = 0; i < s->count; i++) {
            mails[i] = s->mails[(s->first + i) & (s->cap - 1)];
        }
        free(s->mails);
        s->mails = mails;
        s->first = 0;
        s->cap = cap;
    }
    s->mails[(s->first + s->count++) & (s->cap - 1)] = *mail;
}

/* Moves what fits from the spill into the lane. */
static void spill_drain(struct seat *seat, struct pair *pair)
{
    struct spill *s = &pair->spill;
    while (s->count > 0 && lane_put(&pair->lane, &s->mails[s->first])) {
        s->first = (s->first + 1) & (s->cap - 1);
        if (--s->count == 0) {
            free(s->mails);
            *s = (struct spill){0};
            seat->spills--;
            atomic_store_explicit(&pair->starving, false, memory_order_relaxed);
        }
    }
}

bool post_send(struct post *p, unsigned from, unsigned to, const struct mail *mail,
               enum post_class class)
{
    struct pair *pair = pair_of(p, from, to);
    struct seat *seat = &p->seats[from];
    if (pair->spill.count > 0) {
        spill_drain(seat, pair); /* also keeps the order */
    }
    if (pair->spill.count > 0 || !lane_put(&pair->lane, mail)) {
        if (class != POST_MUST && pair->spill.count >= LIMIT_LANE_SPILL) {
            bump(&seat->tally.dropped);
            return false;
        }
        assert(pair->spill.count < SPILL_MOST);
        if (pair->spill.count == 0) {
            seat->spills++;
            /* Seen by the consumer at the latest when we go to sleep: post_sleep fences. */
            atomic_store_explicit(&pair->starving, true, memory_order_relaxed);
        }
        spill_put(&pair->spill, mail);
        bump(&seat->tally.spilled);
    }
    if (class != POST_LAZY) {
        seat->sent_to[to / 64] |= (uint64_t)1 << (to % 64);
    }
    bump(&seat->tally.sent);
    return true;
}

/* Rings if `to` sleeps or is about to; at most one ringer for each of its sleeps. The caller's
 * writes to lanes are ordered before by a full fence. */
static void ring_doorbell(struct post *p, struct seat *seat, unsigned to)
{
    struct seat *target = &p->seats[to];
    if (atomic_load_explicit(&target->asleep, memory_order_relaxed) &&
        atomic_exchange_explicit(&target->asleep, false, memory_order_relaxed)) {
        uint64_t one = 1;
        ssize_t wrote;
        do {
            wrote = write(target->doorbell, &one, sizeof one);
        } while (wrote < 0 && errno == EINTR);
        /* EAGAIN: the counter is at its maximum, so the doorbell rings already. */
        assert(wrote == (ssize_t)sizeof one || errno == EAGAIN);
        bump(&seat->tally.doorbells);
    }
}

void post_flush(struct post *p, unsigned self)
{
    struct seat *seat = &p->seats[self];
    if (seat->spills > 0) {
        for (unsigned to = 0; to < p->threads; to++) {
            struct pair *pair = pair_of(p, self, to);
            if (pair->spill.count > 0) {
                spill_drain(seat, pair);
                seat->sent_to[to / 64] |= (uint64_t)1 << (to % 64);
            }
        }
    }
    uint64_t any = 0;
    for (unsigned i = 0; i < TARGET_WORDS; i++) {
        any |= seat->sent_to[i];
    }
    if (any == 0) {
        return;
    }
    /* Mail before the look at asleep; post_sleep has asleep before the look for mail. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < TARGET_WORDS; i++) {
        while (seat->sent_to[i] != 0) {
            unsigned to = 64 * i + (unsigned)__builtin_ctzll(seat->sent_to[i]);
            seat->sent_to[i] &= seat->sent_to[i] - 1;
            if (to != self) {
                ring_doorbell(p, seat, to);
            }
        }
    }
}

/* A lane was read empty: its producer may be asleep with more in its spill. */
static void relieve(struct post *p, unsigned self, unsigned from)
{
    if (from != self &&
        atomic_load_explicit(&pair_of(p, from, self)->starving, memory_order_relaxed)) {
        ring_doorbell(p, &p->seats[self], from);
    }
}

bool post_receive(struct post *p, unsigned self, struct mail *out)
{
    struct seat *seat = &p->seats[self];
    for (unsigned tried = 0; tried <= p->threads; tried++) {
        struct pair *pair = pair_of(p, seat->cursor, self);
        if (seat->run < RUN_MOST && lane_take(&pair->lane, out)) {
            seat->run++;
            bump(&seat->tally.received);
            return true;
        }
        if (seat->run > 0 && lane_size(&pair->lane) == 0) {
            atomic_thread_fence(memory_order_seq_cst); /* room before the look at starving */
            relieve(p, self, seat->cursor);
        }
        seat->run = 0;
        seat->cursor = seat->cursor + 1 < p->threads ? seat->cursor + 1 : 0;
    }
    return false;
}

int post_doorbell(const struct post *p, unsigned self)
{
    assert(self < p->threads);
    return p->seats[self].doorbell;
}

/* Whether self has something to do: mail to read, or room for what it has spilled. */
static bool waits(const struct post *p, unsigned self)
{
    for (unsigned other = 0; other < p->threads; other++) {
        if (lane_size(&pair_of(p, other, self)->lane) > 0) {
            return true;
        }
        if (p->seats[self].spills > 0) {
            const struct pair *pair = pair_of(p, self, other);
            if (pair->spill.count > 0 && lane_size(&pair->lane) < LIMIT_LANE / 2) {
                return true;
            }
        }
    }
    return false;
}

bool post_sleep(struct post *p, unsigned self)
{
    struct seat *seat = &p->seats[self];
    atomic_store_explicit(&seat->asleep, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (waits(p, self)) {
        post_awake(p, self);
        return false;
    }
    return true;
}

void post_awake(struct post *p, unsigned self)
{
    atomic_store_explicit(&p->seats[self].asleep, false, memory_order_relaxed);
}

uint32_t post_spilled(const struct post *p, unsigned self, unsigned to)
{
    return pair_of(p, self, to)->spill.count;
}

bool post_spilling(const struct post *p, unsigned self)
{
    assert(self < p->threads);
    return p->seats[self].spills > 0;
}

void post_counters(const struct post *p, unsigned self, struct post_counters *out)
{
    assert(self < p->threads);
    const struct tally *t = &p->seats[self].tally;
    out->sent = atomic_load_explicit(&t->sent, memory_order_relaxed);
    out->received = atomic_load_explicit(&t->received, memory_order_relaxed);
    out->spilled = atomic_load_explicit(&t->spilled, memory_order_relaxed);
    out->dropped = atomic_load_explicit(&t->dropped, memory_order_relaxed);
    out->doorbells = atomic_load_explicit(&t->doorbells, memory_order_relaxed);
}
