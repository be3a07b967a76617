/* Time: the heap of events, ordered by (time, order of scheduling); the random source; the trace.
 */
#include "sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

void event_push(struct world *w, ms_t at, enum event_kind kind, uint32_t a, uint32_t b,
                uint64_t stamp, void *ptr)
{
    assert(at >= w->now);
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 1024 : w->heap_cap * 2;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(*w->heap));
        assert(w->heap != NULL);
    }
    const struct event ev = {at, ++w->sequence, kind, a, b, stamp, ptr};
    uint32_t i = w->heap_count++;
    while (i > 0 && earlier(&ev, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = ev;
}

bool event_pop(struct world *w, struct event *ev)
{
    if (w->heap_count == 0)
        return false;
    *ev = w->heap[0];
    const struct event last = w->heap[--w->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return true;
}

void trace_number(struct world *w, uint64_t number)
{
    w->hash = (w->hash ^ number) * 0x100000001B3ULL;
    w->hash ^= w->hash >> 29;
}

void trace(struct world *w, int who, const char *format, ...)
{
    trace_number(w, (uint64_t)w->now * 16 + (uint64_t)(who + 1));
    for (const char *c = format; *c != '\0'; c++)
        w->hash = (w->hash ^ (unsigned char)*c) * 0x100000001B3ULL;
    if (!w->trace_on)
        return;
    va_list args;
    va_start(args, format);
    if (who >= 0)
        printf("[%8lld] s%d ", (long long)(w->now - SIM_START), who);
    else
        printf("[%8lld] -- ", (long long)(w->now - SIM_START));
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

uint64_t draw(struct world *w, uint64_t bound)
{
    return bound == 0 ? 0 : prng_below(&w->prng, bound);
}

ms_t draw_between(struct world *w, ms_t least, ms_t most)
{
    assert(least <= most);
    return least + (ms_t)prng_below(&w->prng, (uint64_t)(most - least) + 1);
}

bool chance(struct world *w, uint32_t permille)
{
    return permille != 0 && prng_below(&w->prng, 1000) < permille;
}

bool calm(const struct world *w)
{
    return w->phase != PHASE_TROUBLE;
}
