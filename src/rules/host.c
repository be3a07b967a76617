#include "rules/host.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * LIMIT_HOSTS) /* open addressing, a power of two */

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "a mask works");
_Static_assert(LIMIT_HOSTS_HEARD < LIMIT_HOSTS, "there is room for the operator's names");
_Static_assert(LIMIT_HOSTS_ASKED < LIMIT_HOSTS_HEARD, "there is room for those of servers");

/* Filled once, by compare-and-swap; never emptied. */
static struct host *_Atomic slots[SLOTS];
static _Atomic uint32_t count; /* indices given out; a lost race wastes one */
static _Atomic uint64_t refused;

/* Not tolower(): that depends on the locale. */
static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_host_name(const char *text, size_t len)
{
    if (len == 0 || len > LIMIT_HOST)
        return false;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = lower(text[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
            return false;
    }
    return text[0] != '-'; /* it would pass for an option of whatever is given it */
}

static bool same(const struct host *host, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(host->text[i]) != lower(text[i])) /* its NUL differs from every byte of a name */
            return false;
    }
    return host->text[len] == '\0';
}

static uint64_t hash_of(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ lower(text[i])) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 29);
}

static struct host *make(const char *text, size_t len, enum host_source source)
{
    const uint32_t bound = source == HOST_ASKED   ? LIMIT_HOSTS_ASKED
                           : source == HOST_HEARD ? LIMIT_HOSTS_HEARD
                                                  : LIMIT_HOSTS;
    uint32_t index = atomic_load_explicit(&count, memory_order_relaxed);
    do {
        if (index >= bound) {
            atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&count, &index, index + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    struct host *host = malloc(sizeof(*host) + len + 1);
    if (host == NULL)
        abort();
    host->index = index;
    memcpy(host->text, text, len);
    host->text[len] = '\0';
    return host;
}

const struct host *host_find(const char *text, size_t len)
{
    if (!is_host_name(text, len))
        return NULL;
    for (uint64_t h = hash_of(text, len);; h++) {
        struct host *host = atomic_load_explicit(&slots[h & (SLOTS - 1)], memory_order_acquire);
        if (host == NULL || same(host, text, len))
            return host;
    }
}

const struct host *host_intern(const char *text, size_t len, enum host_source source)
{
    if (source == HOST_NONE || !is_host_name(text, len))
        return NULL;
    struct host *made = NULL;
    for (uint64_t h = hash_of(text, len);; h++) {
        struct host *_Atomic *slot = &slots[h & (SLOTS - 1)];
        struct host *host = atomic_load_explicit(slot, memory_order_acquire);
        if (host == NULL) {
            if (made == NULL)
                made = make(text, len, source);
            if (made == NULL || atomic_compare_exchange_strong_explicit(
                                    slot, &host, made, memory_order_release, memory_order_acquire))
                return made;
        }
        /* Somebody's, perhaps put here a moment ago. */
        if (same(host, text, len)) {
            free(made);
            return host;
        }
    }
}

uint32_t host_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

uint64_t host_refused(void)
{
    return atomic_load_explicit(&refused, memory_order_relaxed);
}

bool address_set_host(struct address *a, const char *host, size_t len, int64_t port,
                      enum host_source source)
{
    if (address_set(a, host, len, port))
        return true;
    if (port < 0 || port > UINT16_MAX)
        return false;
    const struct host *name = host_intern(host, len, source);
    if (name == NULL)
        return false;
    *a = (struct address){.port = (uint16_t)port, .host = name};
    return true;
}
