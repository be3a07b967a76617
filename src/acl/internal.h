/* What the files of src/acl share. */
#pragma once

#include "acl/acl.h"

/* All of these abort when there is no memory. */
void *acl_alloc(size_t size); /* zeroed */
void *acl_grow(void *array, size_t *cap, size_t need, size_t item);
char *acl_copy(const char *text, size_t len); /* NUL-terminated */

static inline bool acl_bit(const struct acl_selector *s, size_t place)
{
    return s->allowed[place / 64] >> place % 64 & 1;
}

void selector_init(struct acl_selector *s, bool open_channels);
void selector_copy(struct acl_selector *to, const struct acl_selector *from);
void selector_free(struct acl_selector *s);
void selector_all_commands(struct acl_selector *s, bool allow);
/* One rule about commands, keys or channels; as acl_user_apply. open_channels: what resetchannels
 * is not about, only where a selector begins. */
const char *selector_apply(struct acl_selector *s, const char *rule, size_t len);

/* The words of stock. */
#define ACL_SYNTAX  "Syntax error"
#define ACL_UNKNOWN "Unknown command or category name in ACL"
/* Ours. */
#define ACL_TOO_MANY "The user has too many rules"
