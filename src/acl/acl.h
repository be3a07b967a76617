/* Users and what they may do, as stock's ACLs (protocol.md §9): rules in, permissions out. Nothing
 * here reads a clock, a file or a socket.
 *
 * A user is built by its maker, then put into a set and never changed again; sets share the users
 * that did not change. A set, too, is constant once other threads have it: main makes a new one for
 * every change, and each shard looks at the one it was given last.
 *
 * Thread: references may be taken and given back on any; everything else: the maker's, or any once
 * the set is shared.
 */
#pragma once

#include "acl/catalogue.h"
#include "acl/sha256.h"

#include <stdatomic.h>

#define ACL_WORDS (LIMIT_ACL_COMMANDS / 64)

/* --- texts ----------------------------------------------------------------------------------- */
struct acl_text { /* owned, grows; NUL-terminated once anything was written */
    char *data;
    size_t len, cap;
};
void acl_text_add(struct acl_text *out, const char *text, size_t len);
void acl_text_free(struct acl_text *out);

/* --- users ----------------------------------------------------------------------------------- */
enum { ACL_KEY_READ = 1, ACL_KEY_WRITE = 2 };
struct acl_key { /* shown, and without meaning here: no command has keys */
    char *pattern;
    unsigned flags;
};
struct acl_first { /* +command|word: the command, if its first argument is the word */
    uint16_t command;
    char *word;
};

/* Rights that are valid together. */
struct acl_selector {
    uint64_t allowed[ACL_WORDS]; /* a bit a command (catalogue.h) */
    bool all_commands;           /* +@all was the base, so that commands not yet known are in it */
    bool all_keys, all_channels;
    char **rules; /* what changed commands since +@all or -@all, in order, in lower case */
    size_t rule_count, rule_cap;
    struct acl_first *firsts;
    size_t first_count, first_cap;
    struct acl_key *keys;
    size_t key_count, key_cap;
    char **channels; /* patterns */
    size_t channel_count, channel_cap;
};

struct acl_user {
    atomic_uint refs;
    char *name;
    bool on, nopass, skip_sanitize;
    bool open_channels; /* acl-pubsub-default allchannels: where its selectors begin */
    uint8_t (*passwords)[SHA256_BYTES];
    size_t password_count, password_cap;
    struct acl_selector root;
    struct acl_selector *selectors;
    size_t selector_count, selector_cap;
};

/* A user that is off and may do nothing, to be given to acl_user_release. */
struct acl_user *acl_user_new(const char *name, size_t len, bool open_channels);
struct acl_user *acl_user_copy(const struct acl_user *user);
void acl_user_release(struct acl_user *user); /* NULL is allowed */
/* Whether a name may be a user's. */
bool acl_name_valid(const char *name, size_t len);

/* Applies one rule: "on", ">password", "+@all", "(+ping ~x)", … Returns NULL, or stock's words for
 * what is wrong with it; nothing was changed then. */
const char *acl_user_apply(struct acl_user *user, const char *rule, size_t len);

/* Rules as a line's words, those of a selector in parentheses joined to one. */
struct acl_rules {
    struct acl_text *item;
    size_t count;
};
/* words: [count], lens: their lengths. False: *wrong is the word whose parenthesis is not closed.
 * Free with acl_rules_free in either case. */
bool acl_rules_join(struct acl_rules *rules, const char *const *words, const size_t *lens,
                    size_t count, size_t *wrong);
void acl_rules_free(struct acl_rules *rules);
/* Applies them all. Returns NULL, or what is wrong with rule number *wrong; the user is half
 * changed then, and is to be thrown away. */
const char *acl_rules_apply(struct acl_user *user, const struct acl_rules *rules, size_t *wrong);

/* Replaces all passwords by this one; "" by none, with nopass (requirepass). */
void acl_user_require(struct acl_user *user, const char *password);

/* --- as text: what ACL LIST and GETUSER show (canonical form of 7.2 and later) -----------------
 */
/* "user alice on …", words apart by one blank. */
void acl_user_line(const struct acl_user *user, struct acl_text *out);
void acl_selector_commands(const struct acl_selector *s, struct acl_text *out); /* "-@all +ping" */
void acl_selector_keys(const struct acl_selector *s, struct acl_text *out);     /* "~a %R~b" */
void acl_selector_channels(const struct acl_selector *s, struct acl_text *out); /* "&a &b" */

/* --- sets of users -----------------------------------------------------------------------------
 */
struct acl_users {
    atomic_uint refs;
    uint64_t version; /* the owner counts */
    bool open_channels;
    struct acl_user **user; /* by name, as bytes */
    size_t count, cap;
};

/* With the user "default", who may do everything without a password. */
struct acl_users *acl_users_new(bool open_channels);
struct acl_users *acl_users_copy(const struct acl_users *users);
struct acl_users *acl_users_ref(struct acl_users *users);
void acl_users_release(struct acl_users *users); /* NULL is allowed */
struct acl_user *acl_users_find(const struct acl_users *users, const char *name, size_t len);
struct acl_user *acl_users_default(const struct acl_users *users);
/* Adds the user, or replaces the one of its name. Takes it. Returns NULL, or why not (it is
 * released then): LIMIT_ACL_USERS, LIMIT_ACL_USER. */
const char *acl_users_put(struct acl_users *users, struct acl_user *user);
/* False: there is none, or it is "default". */
bool acl_users_drop(struct acl_users *users, const char *name, size_t len);

/* --- checking ----------------------------------------------------------------------------------
 */
enum acl_verdict { ACL_GRANTED, ACL_NO_COMMAND_RIGHT, ACL_NO_CHANNEL_RIGHT };

struct acl_request {
    uint16_t command;  /* place in the catalogue */
    const char *first; /* its first argument; NULL: none */
    size_t first_len;
    size_t channels; /* how many channels or patterns it names */
    bool patterns;   /* patterns, which must be allowed to the letter */
    void (*channel)(const void *context, size_t i, const char **text, size_t *len);
    const void *context;
};

/* Whether the user may. Some words of bits and a few comparisons; no allocation. *channel: which
 * one it was, after ACL_NO_CHANNEL_RIGHT. */
enum acl_verdict acl_check(const struct acl_user *user, const struct acl_request *request,
                           size_t *channel);
/* Whether any of the user's selectors allows the channel, or the pattern. */
bool acl_channel_allowed(const struct acl_user *user, const char *text, size_t len, bool pattern);
/* Whether the password opens the user (NULL: nobody of that name), who is on. Takes as long for
 * each: the hash is made in any case, and all of the user's are compared to the end. */
bool acl_authenticate(const struct acl_user *user, const void *password, size_t len);
