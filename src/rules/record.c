#include "rules/record.h"

#include "rules/host.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A name is written as it is while it needs no quotes in the grammar of redis.conf. */
static bool plain(const char *name)
{
    if (*name == '\0') {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\'' || *p == '\\') {
            return false;
        }
    }
    return true;
}

/* Quotes name as redis.conf reads it: each unusual byte as \xHH. */
static void quote(const char *name, char out[4 * LIMIT_NAME + 3])
{
    if (plain(name)) {
        memcpy(out, name, strlen(name) + 1);
        return;
    }
    char *p = out;
    *p++ = '"';
    for (; *name != '\0'; name++) {
        if (*name >= ' ' && *name < 0x7f && *name != '"' && *name != '\\') {
            *p++ = *name;
        } else {
            p += snprintf(p, 5, "\\x%02x", (unsigned)(unsigned char)*name);
        }
    }
    *p++ = '"';
    *p = '\0';
}

static bool has_address(enum record_kind kind)
{
    return kind == RECORD_CONFIG || kind == RECORD_REPLICA || kind == RECORD_NO_REPLICA ||
           kind == RECORD_SENTINEL || kind == RECORD_MONITOR;
}

size_t record_format(const struct record *r, const char *name, char out[LIMIT_LINE])
{
    char n[4 * LIMIT_NAME + 3] = "";
    const char *host = address_host(&r->addr, false);
    int len = 0;

    if (r->kind != RECORD_CURRENT_EPOCH && r->kind != RECORD_TEXT) {
        assert(name != NULL && strlen(name) <= LIMIT_NAME);
        quote(name, n);
    }
    switch (r->kind) {
    case RECORD_CURRENT_EPOCH:
        len = snprintf(out, LIMIT_LINE, "sentinel current-epoch %" PRIu64, r->epoch);
        break;
    case RECORD_VOTE:
        len = snprintf(out, LIMIT_LINE, "sentinel leader-epoch %s %" PRIu64 "%s%s", n, r->epoch,
                       runid_known(&r->runid) ? " " : "", r->runid.hex);
        break;
    case RECORD_CONFIG:
        len = snprintf(out, LIMIT_LINE, "sentinel config-epoch %s %" PRIu64 " %s %u", n, r->epoch,
                       host, (unsigned)r->addr.port);
        break;
    case RECORD_REPLICA:
        len = snprintf(out, LIMIT_LINE, "sentinel known-replica %s %s %u", n, host,
                       (unsigned)r->addr.port);
        break;
    case RECORD_NO_REPLICA:
        len = snprintf(out, LIMIT_LINE, "sentinel forget-replica %s %s %u", n, host,
                       (unsigned)r->addr.port);
        break;
    case RECORD_SENTINEL:
        len = snprintf(out, LIMIT_LINE, "sentinel known-sentinel %s %s %u %s", n, host,
                       (unsigned)r->addr.port, r->runid.hex);
        break;
    case RECORD_NO_SENTINEL:
        len = snprintf(out, LIMIT_LINE, "sentinel forget-sentinel %s %s", n, r->runid.hex);
        break;
    case RECORD_RESET:
        len = snprintf(out, LIMIT_LINE, "sentinel reset %s", n);
        break;
    case RECORD_MONITOR:
        len = snprintf(out, LIMIT_LINE, "sentinel monitor %s %s %u %u", n, host,
                       (unsigned)r->addr.port, (unsigned)r->quorum);
        break;
    case RECORD_REMOVE:
        len = snprintf(out, LIMIT_LINE, "sentinel remove %s", n);
        break;
    case RECORD_TEXT:
        assert(r->text != NULL);
        len = snprintf(out, LIMIT_LINE, "%s", r->text);
        break;
    }
    if (len > 0 && len < LIMIT_LINE && has_address(r->kind) && r->addr.host != NULL &&
        r->addr.ip[0] != '\0') {
        len += snprintf(out + len, LIMIT_LINE - (size_t)len, " @%s", r->addr.host->text);
    }
    return len > 0 && len < LIMIT_LINE ? (size_t)len : 0;
}
