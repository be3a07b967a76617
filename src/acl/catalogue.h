/* What permissions are about: the commands of the port and their categories (protocol.md §9). The
 * port says once what commands it has; rules name them, and a permission is a bit at a command's
 * place in the list.
 *
 * Thread: set by main before the others start, constant from then on.
 */
#pragma once

#include "rules/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which ACL CAT lists them. */
enum acl_category {
    ACL_KEYSPACE,
    ACL_READ,
    ACL_WRITE,
    ACL_SET,
    ACL_SORTEDSET,
    ACL_LIST,
    ACL_HASH,
    ACL_STRING,
    ACL_BITMAP,
    ACL_HYPERLOGLOG,
    ACL_GEO,
    ACL_STREAM,
    ACL_PUBSUB,
    ACL_ADMIN,
    ACL_FAST,
    ACL_SLOW,
    ACL_BLOCKING,
    ACL_DANGEROUS,
    ACL_CONNECTION,
    ACL_TRANSACTION,
    ACL_SCRIPTING,
    ACL_CATEGORIES
};

#define ACL_NO_COMMAND UINT16_MAX

struct acl_command {
    const char *name;    /* lower case; of a subcommand "sentinel|master" */
    uint32_t categories; /* 1 << enum acl_category */
    uint16_t parent;     /* the command it is a subcommand of; ACL_NO_COMMAND: none */
    uint16_t same;       /* another name of the command at this place; its own place: none */
    bool container;      /* has subcommands */
    bool always;         /* for everybody: AUTH and the like */
};

/* The list, in which every command comes before its subcommands; borrowed for good. At most
 * LIMIT_ACL_COMMANDS. */
void acl_catalogue_set(const struct acl_command *commands, size_t count);
size_t acl_catalogue_count(void);
const struct acl_command *acl_catalogue_at(size_t place);
/* By its name in any case. ACL_NO_COMMAND: there is none. */
uint16_t acl_catalogue_find(const char *name, size_t len);

const char *acl_category_name(enum acl_category category);
/* In any case. False: there is none. */
bool acl_category_find(const char *name, size_t len, enum acl_category *out);
