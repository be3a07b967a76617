/* The small types that every module shares.
 *
 * Thread: plain values, any thread.
 */
#pragma once

#include "rules/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds, of CLOCK_BOOTTIME where it is a point in time. 0 means "never" or "none": hosts
 * start their clocks above 0. */
typedef int64_t ms_t;

/* No deadline. */
#define MS_NEVER INT64_MAX

/* The two connections to a master or replica (protocol.md §2); a sentinel has the first only. */
enum link_kind { LINK_CMD, LINK_PUBSUB };

/* Id of a Redis server or sentinel: 40 hex digits and a NUL; all NUL when unknown. */
struct runid {
    char hex[LIMIT_RUNID + 1];
};

/* Parses exactly 40 lower- or upper-case hex digits (protocol.md §11). Returns false, *id cleared,
 * for anything else. */
bool runid_parse(struct runid *id, const char *text, size_t len);
bool runid_equal(const struct runid *a, const struct runid *b);
/* Order of the hex text, as strcmp. */
int runid_compare(const struct runid *a, const struct runid *b);
bool runid_known(const struct runid *id); /* not empty */

struct host; /* an interned name: rules/host.h */

/* Where a process listens. Port 0 means "invalid, do not connect" (protocol.md §2). One that goes
 * by a name (resolve-hostnames) keeps the name and the last good ip. */
struct address {
    char ip[LIMIT_IP + 1]; /* textual, canonical as inet_ntop writes it; empty: not resolved yet */
    uint16_t port;
    const struct host *host; /* NULL: known by its ip only */
};

/* Parses a textual IPv4 or IPv6 address (no names, no brackets) and a port 0..65535.
 * Returns false and leaves *a alone when it is neither. */
bool address_set(struct address *a, const char *ip, size_t ip_len, int64_t port);
/* The same place: the port and, as stock has it, the ip or the name are equal. */
bool address_equal(const struct address *a, const struct address *b);
/* Equal in all their parts. */
bool address_same(const struct address *a, const struct address *b);
/* Of ip and port; where there is no ip yet, of name and port. */
uint64_t address_hash(const struct address *a);
/* Of name and port: where a table finds an address that is asked for by its name. */
uint64_t address_hash_host(const struct address *a);
bool address_known(const struct address *a); /* an ip or a name, and a port other than 0 */

/* What the world is shown: the name, if there is one and names (announce-hostnames); else the ip;
 * the name all the same while there is no ip. Empty for an address that is nowhere. Lives as long
 * as *a. */
const char *address_host(const struct address *a, bool names);
/* Writes "host:port" with address_host()'s host ("[ip]:port" for IPv6), NUL-terminated, and returns
 * its length. */
#define ADDRESS_TEXT (LIMIT_HOST + 2 + 6 + 1)
size_t address_format_as(const struct address *a, bool names, char out[ADDRESS_TEXT]);
size_t address_format(const struct address *a, char out[ADDRESS_TEXT]); /* names: no */

/* A small PRNG whose state sits in its owner, so that a seed reproduces everything (xorshift64*).
 * Seed 0 is replaced by a constant. */
struct prng {
    uint64_t state;
};
void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);

/* Decimal number of exactly len bytes, no sign, no blank, at most max. */
bool parse_u64(const char *text, size_t len, uint64_t max, uint64_t *out);

/* The periods of protocol.md §1, settable with SENTINEL DEBUG; milliseconds. */
struct periods {
    ms_t info, ping, publish, ask;
    ms_t default_down_after, default_failover_timeout;
    ms_t tilt_trigger, tilt_period;
    ms_t replica_reconf_timeout, min_link_reconnect, election_timeout;
    ms_t script_max_runtime, script_retry_delay;
};
/* Fills in the defaults of protocol.md §1. */
void periods_default(struct periods *p);
