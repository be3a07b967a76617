#include "rules/types.h"

#include "rules/host.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

_Static_assert(LIMIT_IP + 1 >= INET6_ADDRSTRLEN, "whatever inet_ntop writes fits in an address");
_Static_assert(sizeof(struct address) == LIMIT_IP + 1 + sizeof(uint16_t) + sizeof(void *),
               "no padding");

/* --- run ids --------------------------------------------------------------------------------- */

/* Not isxdigit(): that depends on the locale. */
static bool is_hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool runid_parse(struct runid *id, const char *text, size_t len)
{
    assert(id != NULL);
    memset(id, 0, sizeof(*id));
    if (len != LIMIT_RUNID)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_hex_digit(text[i]))
            return false;
    }
    memcpy(id->hex, text, len);
    return true;
}

bool runid_equal(const struct runid *a, const struct runid *b)
{
    /* All bytes are defined: NUL behind the digits, or all NUL. */
    return memcmp(a->hex, b->hex, sizeof(a->hex)) == 0;
}

int runid_compare(const struct runid *a, const struct runid *b)
{
    return strcmp(a->hex, b->hex);
}

bool runid_known(const struct runid *id)
{
    return id->hex[0] != '\0';
}

/* --- addresses ------------------------------------------------------------------------------- */

/* Four decimal numbers without leading zeros, as inet_pton takes them: such a text is canonical as
 * it is. By hand, as inet_ntop prints and that is most of what a hello costs. */
static bool ipv4_text(const char *text, size_t len)
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        const size_t start = at;
        while (at < len && text[at] >= '0' && text[at] <= '9' && at - start < 3)
            value = value * 10 + (unsigned)(text[at++] - '0');
        if (at == start || value > 255 || (text[start] == '0' && at - start > 1))
            return false;
        if (part < 3 && (at == len || text[at++] != '.'))
            return false;
    }
    return at == len;
}

bool address_set(struct address *a, const char *ip, size_t ip_len, int64_t port)
{
    assert(a != NULL);
    if (ip_len == 0 || ip_len > LIMIT_IP || port < 0 || port > UINT16_MAX)
        return false;
    if (memchr(ip, '\0', ip_len) != NULL)
        return false; /* inet_pton would look at the part before it only */
    char text[LIMIT_IP + 1];
    memcpy(text, ip, ip_len);
    text[ip_len] = '\0';

    /* All bytes of an address are defined, so that it may be copied and hashed whole. */
    struct address canonical = {.port = (uint16_t)port};
    unsigned char binary[sizeof(struct in6_addr)];
    if (memchr(text, ':', ip_len) == NULL) {
        if (!ipv4_text(text, ip_len))
            return false;
        memcpy(canonical.ip, text, ip_len);
    } else if (inet_pton(AF_INET6, text, binary) != 1 ||
               inet_ntop(AF_INET6, binary, canonical.ip, sizeof(canonical.ip)) == NULL) {
        return false;
    }
    *a = canonical;
    return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
    if (a->port != b->port)
        return false;
    if (a->host != NULL && a->host == b->host)
        return true;
    /* Two without an ip are equal only where neither has a name: no address at all. */
    return strcmp(a->ip, b->ip) == 0 && (a->ip[0] != '\0' || a->host == b->host);
}

bool address_same(const struct address *a, const struct address *b)
{
    return a->port == b->port && a->host == b->host && strcmp(a->ip, b->ip) == 0;
}

/* FNV-1a, with a final mix so that tables may use any bits of it. */
static uint64_t hash_text(const char *text, uint16_t port)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *c = text; *c != '\0'; c++) {
        hash ^= (unsigned char)*c;
        hash *= UINT64_C(0x100000001b3);
    }
    hash ^= port;
    hash *= UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

uint64_t address_hash(const struct address *a)
{
    return hash_text(address_host(a, false), a->port);
}

uint64_t address_hash_host(const struct address *a)
{
    return hash_text(address_host(a, true), a->port);
}

bool address_known(const struct address *a)
{
    return (a->ip[0] != '\0' || a->host != NULL) && a->port != 0;
}

const char *address_host(const struct address *a, bool names)
{
    return a->host != NULL && (names || a->ip[0] == '\0') ? a->host->text : a->ip;
}

size_t address_format_as(const struct address *a, bool names, char out[ADDRESS_TEXT])
{
    const char *host = address_host(a, names);
    const char *form = strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u";
    const int len = snprintf(out, ADDRESS_TEXT, form, host, (unsigned)a->port);
    assert(len > 0 && len < ADDRESS_TEXT);
    return (size_t)len;
}

size_t address_format(const struct address *a, char out[ADDRESS_TEXT])
{
    return address_format_as(a, false, out);
}

/* --- random numbers -------------------------------------------------------------------------- */

#define PRNG_SEED_DEFAULT UINT64_C(0x9e3779b97f4a7c15)

void prng_seed(struct prng *p, uint64_t seed)
{
    /* Neighbouring seeds (1, 2, 3 …) must not give neighbouring sequences: one round of splitmix,
     * which maps different seeds to different states. */
    uint64_t mixed = (seed == 0 ? PRNG_SEED_DEFAULT : seed) + UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    mixed ^= mixed >> 31;
    p->state = mixed == 0 ? PRNG_SEED_DEFAULT : mixed; /* 0 is the one state that never moves */
}

uint64_t prng_next(struct prng *p)
{
    assert(p->state != 0);
    p->state ^= p->state >> 12;
    p->state ^= p->state << 25;
    p->state ^= p->state >> 27;
    return p->state * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
    assert(bound > 0);
    /* The lowest 2^64 mod bound numbers would make small results more likely: drawn again. Less
     * than half of all draws are, whatever the bound. */
    const uint64_t skip = (0 - bound) % bound;
    uint64_t drawn;
    do {
        drawn = prng_next(p);
    } while (drawn < skip);
    return drawn % bound;
}

/* --- numbers and periods --------------------------------------------------------------------- */

bool parse_u64(const char *text, size_t len, uint64_t max, uint64_t *out)
{
    assert(out != NULL);
    if (len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

void periods_default(struct periods *p)
{
    *p = (struct periods){
        .info = 10000,
        .ping = 1000,
        .publish = 2000,
        .ask = 1000,
        .default_down_after = 30000,
        .default_failover_timeout = 180000,
        .tilt_trigger = 2000,
        .tilt_period = 30000,
        .replica_reconf_timeout = 10000,
        .min_link_reconnect = 15000,
        .election_timeout = 10000,
        .script_max_runtime = 60000,
        .script_retry_delay = 30000,
    };
}
