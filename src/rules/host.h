/* Host names, interned: one immutable copy of each name for the life of the process, so that an
 * address holds a name as one pointer and two names are compared as two pointers. The first
 * spelling of a name stays (they differ in case only).
 *
 * The table only grows and never locks. It is bounded: names from the network must leave room for
 * those of the operator (LIMIT_HOSTS_HEARD), and those of clients for both (LIMIT_HOSTS_ASKED).
 * Nothing is resolved here; that is the host's matter
 * (io/resolver.h).
 *
 * Thread: any.
 */
#pragma once

#include "rules/types.h"

struct host {
    uint32_t index; /* 0 .. LIMIT_HOSTS - 1, no other host has it */
    char text[];    /* NUL-terminated */
};

/* Who named it. */
enum host_source {
    HOST_NONE,       /* names are not accepted (resolve-hostnames no) */
    HOST_CONFIGURED, /* configuration, journal, an operator's command */
    HOST_HEARD,      /* INFO, a hello of a server: hostile until proved otherwise */
    HOST_ASKED,      /* a client's request, a hello among them: anybody may be that */
};

/* The interned name, or NULL: source HOST_NONE, no host name (1 to LIMIT_HOST letters, digits,
 * dots, hyphens and underscores), or the table is full (counted by host_refused()). */
const struct host *host_intern(const char *text, size_t len, enum host_source source);
/* The same, but NULL when nobody has interned it yet. */
const struct host *host_find(const char *text, size_t len);
uint32_t host_count(void);   /* interned so far */
uint64_t host_refused(void); /* names refused because of a bound */

/* address_set(), and where host is no IP address: the name, unresolved (ip empty). False: neither.
 */
bool address_set_host(struct address *a, const char *host, size_t len, int64_t port,
                      enum host_source source);
