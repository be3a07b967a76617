#include "acl/catalogue.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const struct acl_command *catalogue;
static size_t catalogue_count;

static const char *const category_names[ACL_CATEGORIES] = {
    [ACL_KEYSPACE] = "keyspace",
    [ACL_READ] = "read",
    [ACL_WRITE] = "write",
    [ACL_SET] = "set",
    [ACL_SORTEDSET] = "sortedset",
    [ACL_LIST] = "list",
    [ACL_HASH] = "hash",
    [ACL_STRING] = "string",
    [ACL_BITMAP] = "bitmap",
    [ACL_HYPERLOGLOG] = "hyperloglog",
    [ACL_GEO] = "geo",
    [ACL_STREAM] = "stream",
    [ACL_PUBSUB] = "pubsub",
    [ACL_ADMIN] = "admin",
    [ACL_FAST] = "fast",
    [ACL_SLOW] = "slow",
    [ACL_BLOCKING] = "blocking",
    [ACL_DANGEROUS] = "dangerous",
    [ACL_CONNECTION] = "connection",
    [ACL_TRANSACTION] = "transaction",
    [ACL_SCRIPTING] = "scripting",
};

void acl_catalogue_set(const struct acl_command *commands, size_t count)
{
    assert(count <= LIMIT_ACL_COMMANDS);
    for (size_t i = 0; i < count; i++) {
        assert(commands[i].same < count);
        assert(commands[i].parent == ACL_NO_COMMAND || commands[i].parent < i);
    }
    catalogue = commands;
    catalogue_count = count;
}

size_t acl_catalogue_count(void)
{
    return catalogue_count;
}

const struct acl_command *acl_catalogue_at(size_t place)
{
    assert(place < catalogue_count);
    return &catalogue[place];
}

/* Only rules look for names, never requests: a walk is good enough. */
uint16_t acl_catalogue_find(const char *name, size_t len)
{
    for (size_t i = 0; i < catalogue_count; i++) {
        if (strlen(catalogue[i].name) == len && strncasecmp(catalogue[i].name, name, len) == 0) {
            return (uint16_t)i;
        }
    }
    return ACL_NO_COMMAND;
}

const char *acl_category_name(enum acl_category category)
{
    return category_names[category];
}

bool acl_category_find(const char *name, size_t len, enum acl_category *out)
{
    for (int i = 0; i < ACL_CATEGORIES; i++) {
        if (strlen(category_names[i]) == len && strncasecmp(category_names[i], name, len) == 0) {
            *out = (enum acl_category)i;
            return true;
        }
    }
    return false;
}
