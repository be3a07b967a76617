#include "io/resolver.h"

#include "io/clock.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK       1024         /* entries allocated at once */
#define STACK       (512 * 1024) /* bytes; getaddrinfo() keeps whole answers on it */
#define END_WAIT_MS 200          /* what resolver_free() waits for lookups under way */

struct entry {
    struct entry *next; /* in its queue */
    const struct host *host;
    bool queued; /* in a queue, or being looked up */
    bool known, failed;
    unsigned failures; /* in a row */
    ms_t again;        /* not looked up before */
    ms_t asked;        /* the caller's time at the last beginning */
    char ip[LIMIT_IP + 1];
};

struct queue {
    struct entry *first, **last;
};

struct resolver {
    resolver_lookup lookup;
    void *ctx;
    int doorbell;
    unsigned most; /* threads */
    pthread_mutex_t lock;
    pthread_cond_t work; /* a queue is not empty, or stopping */
    pthread_cond_t done; /* a lookup has ended, or a thread */
    /* Everything below under lock. */
    bool stopping;
    bool abandoned; /* its owner has left: the last thread frees it */
    unsigned threads, idle;
    /* In the order in which they are served. Names that have just failed wait behind all others:
     * where a name server is gone, each of its names holds a thread for ten seconds. Those that
     * were looked up before are served LIMIT_RESOLVER_RATE a second: when thousands of links break
     * at once, all of them want to know where their names point now. */
    struct queue fresh, known, failed;
    ms_t window;     /* the second in which ... */
    unsigned served; /* ... so many of known and failed were served */
    uint32_t waiting, running;
    uint64_t lookups, failures;
    struct entry *chunks[LIMIT_HOSTS / CHUNK];
};

/* So many milliseconds from now, for pthread_cond_timedwait(). */
static struct timespec time_after(ms_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ms = ms > 0 ? ms : 0;
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

/* --- queues ---------------------------------------------------------------------------------- */

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_put(struct queue *q, struct entry *e)
{
    e->next = NULL;
    *q->last = e;
    q->last = &e->next;
}

static struct entry *queue_take(struct queue *q)
{
    struct entry *e = q->first;
    if (e != NULL) {
        q->first = e->next;
        if (q->first == NULL) {
            q->last = &q->first;
        }
    }
    return e;
}

/* --- looking up ------------------------------------------------------------------------------ */

static bool system_lookup(void *ctx, const char *text, char ip[LIMIT_IP + 1])
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct address canonical;
    char raw[LIMIT_IP + 1];
    bool ok = false;

    (void)ctx;
    if (getaddrinfo(text, NULL, &hints, &found) != 0) {
        return false;
    }
    for (const struct addrinfo *at = found; at != NULL && !ok; at = at->ai_next) {
        ok = getnameinfo(at->ai_addr, at->ai_addrlen, raw, sizeof raw, NULL, 0, NI_NUMERICHOST) ==
                 0 &&
             address_set(&canonical, raw, strlen(raw), 1);
    }
    freeaddrinfo(found);
    if (ok) {
        memcpy(ip, canonical.ip, sizeof canonical.ip);
    }
    return ok;
}

/* Under lock. Times are the callers', who may count in whatever way they like. */
static void settle(struct resolver *r, struct entry *e, bool ok, const char *ip, ms_t took)
{
    e->queued = false;
    e->failed = !ok;
    r->lookups++;
    if (ok) {
        e->known = true;
        e->failures = 0;
        e->again = e->asked + took + LIMIT_RESOLVER_FRESH;
        memcpy(e->ip, ip, sizeof e->ip);
        return;
    }
    ms_t wait = LIMIT_RESOLVER_AGAIN;
    for (unsigned i = 0; i < e->failures && wait < LIMIT_RESOLVER_BACKOFF; i++) {
        wait *= 2;
    }
    e->failures++;
    e->again = e->asked + took + (wait < LIMIT_RESOLVER_BACKOFF ? wait : LIMIT_RESOLVER_BACKOFF);
    r->failures++;
}

static void destroy(struct resolver *r)
{
    close(r->doorbell);
    for (size_t i = 0; i < LIMIT_HOSTS / CHUNK; i++) {
        free(r->chunks[i]);
    }
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void thread_start(struct resolver *r); /* the threads start one another */

/* Under lock. NULL: nothing may be served now. */
static struct entry *next_entry(struct resolver *r)
{
    struct entry *e = queue_take(&r->fresh);
    if (e != NULL || r->waiting == 0) {
        return e;
    }
    ms_t now = clock_now();
    if (now - r->window >= 1000) {
        r->window = now;
        r->served = 0;
    }
    if (r->served >= LIMIT_RESOLVER_RATE) {
        return NULL;
    }
    r->served++;
    e = queue_take(&r->known);
    return e != NULL ? e : queue_take(&r->failed);
}

/* Under lock. NULL: the threads are to end. */
static struct entry *wait_entry(struct resolver *r)
{
    struct entry *e = NULL;
    r->idle++;
    while (!r->stopping && (e = next_entry(r)) == NULL) {
        if (r->waiting == 0) {
            pthread_cond_wait(&r->work, &r->lock);
        } else {
            struct timespec until = time_after(r->window + 1000 - clock_now());
            (void)pthread_cond_timedwait(&r->work, &r->lock, &until);
        }
    }
    r->idle--;
    return e;
}

static void *thread_main(void *arg)
{
    struct resolver *r = arg;
    struct entry *e;
    pthread_mutex_lock(&r->lock);
    while ((e = wait_entry(r)) != NULL) {
        r->waiting--;
        r->running++;
        if (r->waiting > 0 && r->idle == 0 && r->threads < r->most) {
            thread_start(r);
        }
        pthread_mutex_unlock(&r->lock);

        char ip[LIMIT_IP + 1] = "";
        ms_t begun = clock_now();
        bool ok = r->lookup(r->ctx, e->host->text, ip);
        ms_t took = clock_now() - begun;

        pthread_mutex_lock(&r->lock);
        settle(r, e, ok, ip, took);
        r->running--;
        (void)!write(r->doorbell, &(uint64_t){1}, sizeof(uint64_t));
        pthread_cond_broadcast(&r->done);
    }
    r->threads--;
    bool last = r->abandoned && r->threads == 0;
    pthread_cond_broadcast(&r->done);
    pthread_mutex_unlock(&r->lock);
    if (last) {
        destroy(r);
    }
    return NULL;
}

/* Under lock. Without memory for a thread the others, or a later call, do the work. */
static void thread_start(struct resolver *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;

    if (pthread_attr_init(&attr) != 0) {
        return;
    }
    (void)pthread_attr_setstacksize(&attr, STACK);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&thread, &attr, thread_main, r) == 0) {
        r->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Under lock. */
static struct entry *entry_of(struct resolver *r, const struct host *host)
{
    assert(host->index < LIMIT_HOSTS);
    struct entry **chunk = &r->chunks[host->index / CHUNK];
    if (*chunk == NULL) {
        *chunk = calloc(CHUNK, sizeof **chunk);
        if (*chunk == NULL) {
            abort();
        }
    }
    struct entry *e = &(*chunk)[host->index % CHUNK];
    if (e->host == NULL) { /* a thread that looks it up reads it without the lock */
        e->host = host;
    }
    return e;
}

enum resolver_answer resolver_ask(struct resolver *r, const struct host *host, ms_t now,
                                  char ip[LIMIT_IP + 1])
{
    enum resolver_answer answer = RESOLVER_PENDING;
    pthread_mutex_lock(&r->lock);
    struct entry *e = entry_of(r, host);
    if (!e->queued && (e->again == 0 || now >= e->again) && !r->stopping) {
        e->queued = true;
        e->asked = now > 0 ? now : 1;
        e->again = e->asked;
        queue_put(e->failed ? &r->failed : e->known ? &r->known : &r->fresh, e);
        r->waiting++;
        /* All others may be at names that hang. */
        if (r->idle == 0 && r->threads < r->most) {
            thread_start(r);
        }
        pthread_cond_signal(&r->work);
    }
    if (r->waiting > 0 && r->threads == 0) {
        thread_start(r); /* none could be started before */
    }
    if (e->known) {
        memcpy(ip, e->ip, sizeof e->ip);
        answer = e->failed ? RESOLVER_STALE : RESOLVER_KNOWN;
    } else if (e->failed) {
        answer = RESOLVER_FAILED;
    }
    pthread_mutex_unlock(&r->lock);
    return answer;
}

bool resolver_fill(struct resolver *r, struct address *a, ms_t now)
{
    assert(a->host != NULL);
    (void)resolver_ask(r, a->host, now, a->ip);
    return a->ip[0] != '\0';
}

bool resolver_wait(struct resolver *r, ms_t patience)
{
    struct timespec until = time_after(patience);
    pthread_mutex_lock(&r->lock);
    bool late = false;
    while (r->waiting + r->running > 0 && !late) {
        late = pthread_cond_timedwait(&r->done, &r->lock, &until) == ETIMEDOUT;
    }
    bool ok = r->waiting + r->running == 0;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

int resolver_doorbell(const struct resolver *r)
{
    return r->doorbell;
}

void resolver_counters(struct resolver *r, struct resolver_counters *out)
{
    pthread_mutex_lock(&r->lock);
    *out = (struct resolver_counters){.lookups = r->lookups,
                                      .failures = r->failures,
                                      .waiting = r->waiting,
                                      .running = r->running,
                                      .threads = r->threads};
    pthread_mutex_unlock(&r->lock);
}

/* --- life ------------------------------------------------------------------------------------ */

struct resolver *resolver_new(resolver_lookup lookup, void *ctx, unsigned threads)
{
    assert(threads > 0);
    struct resolver *r = calloc(1, sizeof *r);
    if (r == NULL) {
        abort();
    }
    r->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->doorbell < 0) {
        free(r);
        return NULL;
    }
    r->lookup = lookup != NULL ? lookup : system_lookup;
    r->ctx = ctx;
    r->most = threads;
    queue_init(&r->fresh);
    queue_init(&r->known);
    queue_init(&r->failed);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, &attr);
    pthread_cond_init(&r->done, &attr);
    pthread_condattr_destroy(&attr);
    return r;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL) {
        return;
    }
    struct timespec until = time_after(END_WAIT_MS);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    bool late = false;
    while (r->threads > 0 && !late) {
        late = pthread_cond_timedwait(&r->done, &r->lock, &until) == ETIMEDOUT;
    }
    r->abandoned = r->threads > 0; /* a hanging lookup may come back at any time */
    bool ended = !r->abandoned;
    pthread_mutex_unlock(&r->lock);
    if (ended) {
        destroy(r);
    }
}
