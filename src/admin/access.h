/* Who the clients of a shard are, and what they may (protocol.md §9, src/acl).
 *
 * Each shard has a reference to the set of users; main makes a new one for every change, and a
 * request brings it to all shards before the change is confirmed.
 *
 * Thread: the shard's.
 */
#pragma once

#include "acl/acl.h"
#include "admin/command.h"

/* With the set that main has when the threads start. */
void access_start(struct admin *a);
void access_stop(struct admin *a);
/* Puts another set in place. Clients whose user is gone, or who listen to what it may not hear any
 * more, are closed; `me` (or NULL) after its replies. Takes the reference. */
void access_install(struct admin *a, struct acl_users *users, const struct client *me);

/* A connection begins, or begins anew: as "default", if that one needs no password. */
void access_greet(struct client *c);
/* Whether it may do anything but say who it is. */
bool access_open(const struct client *c);
/* Whether anybody may come in without a password: what protected mode is about. */
bool access_is_free(const struct admin *a);
/* AUTH and HELLO AUTH. user NULL: "default". False: answered with an error, and logged. */
bool access_login(struct call *call, const struct resp_arg *user, const struct resp_arg *password);
/* Whether its user may do this. False: answered with an error, and logged. */
bool access_check(struct call *call);
/* The same for any user, nothing said. args[0] is the command. *channel: which argument it was,
 * after ACL_NO_CHANNEL_RIGHT. */
enum acl_verdict access_verdict(const struct acl_user *user, const struct command *command,
                                uint16_t place, const struct resp_arg *args, size_t count,
                                size_t *channel);
