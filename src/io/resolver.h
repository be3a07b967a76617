/* What host names stand for, asked in threads that nobody waits for.
 *
 * A question is answered at once with what is known; if that is old, or nothing, a lookup is begun
 * in a small pool of threads, one for each name at a time. Whoever asked asks again (a link that
 * cannot connect does so once a second). An answer is good for LIMIT_RESOLVER_FRESH; a lookup that
 * fails leaves the last good answer as it is and is tried again after a growing while. Memory: an
 * entry for each interned name (LIMIT_HOSTS).
 *
 * Thread: any; nobody is kept waiting but by resolver_wait().
 */
#pragma once

#include "rules/host.h"

struct resolver; /* opaque */

enum resolver_answer {
    RESOLVER_PENDING, /* not known yet, a lookup is under way or waits for its turn */
    RESOLVER_FAILED,  /* not known: the last lookup has failed */
    RESOLVER_KNOWN,   /* ip is what it stands for */
    RESOLVER_STALE,   /* ip is what it stood for; the last lookup has failed */
};

/* Looks text up, however long that takes; writes the canonical ip. False: it cannot be resolved. */
typedef bool (*resolver_lookup)(void *ctx, const char *text, char ip[LIMIT_IP + 1]);

/* lookup NULL: getaddrinfo()'s first address, as stock. NULL with errno set when there are no
 * descriptors. Threads start when there is something to look up; at most `threads` of them. */
struct resolver *resolver_new(resolver_lookup lookup, void *ctx, unsigned threads);
/* Ends it. A lookup that hangs is left to itself, with the memory it needs until it returns. */
void resolver_free(struct resolver *r);

/* What host stands for at `now` (milliseconds of any steady clock). ip is written with KNOWN and
 * STALE only. Costs a lock that nobody holds for long. */
enum resolver_answer resolver_ask(struct resolver *r, const struct host *host, ms_t now,
                                  char ip[LIMIT_IP + 1]);
/* The same for an address with a name: fills in its ip. True: it has an ip now. */
bool resolver_fill(struct resolver *r, struct address *a, ms_t now);
/* Waits until no lookup is under way or waiting, `patience` milliseconds at most. True: none is. */
bool resolver_wait(struct resolver *r, ms_t patience);
/* Readable after a lookup has ended; read it to arm it again. */
int resolver_doorbell(const struct resolver *r);

struct resolver_counters {
    uint64_t lookups, failures; /* ended */
    uint32_t waiting, running, threads;
};
void resolver_counters(struct resolver *r, struct resolver_counters *out);
