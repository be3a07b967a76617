/* The hello message (protocol.md §4). Pure.
 *
 * Thread: any; works on what it is given.
 */
#pragma once

#include "rules/host.h"

struct hello {
    struct address sentinel; /* where the sender listens */
    struct runid runid;
    uint64_t current_epoch;
    struct address master;
    uint64_t config_epoch;
    char name[LIMIT_NAME + 1];
};

/* Parses the 8 comma-separated fields. False, with *hello undefined, for a wrong field count, a
 * runid that is not 40 hex digits, an address that is no IP address (nor, unless names is
 * HOST_NONE, a host name, which is then interned; its ip stays empty), a number out of range, an
 * epoch above LIMIT_EPOCH, an empty or over-long name, more than LIMIT_HELLO bytes. Sentinel port 0
 * and master port 0 are refused. */
bool hello_parse(struct hello *hello, const char *text, size_t len, enum host_source names);

/* Writes the message, an address by its name where it has one, NUL-terminated, and returns its
 * length. */
size_t hello_format(const struct hello *hello, char out[LIMIT_HELLO + 1]);
