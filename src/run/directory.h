/* The directory: what any thread reads of any group at once (design.md §3).
 *
 * A master's name gets an index (gid) when it is first monitored and keeps it for the life of the
 * process: entries are never deleted, only marked removed and revived. Each entry's view is
 * published by the group's owner shard through a sequence lock; names are added by one writer (the
 * main thread, or main() before the threads start); addresses by the owners, under a mutex that no
 * reader takes.
 *
 * Thread: readers any; writers as said at each function.
 */
#pragma once

#include "rules/group.h"

#define DIRECTORY_NONE UINT32_MAX

struct directory;

struct directory *directory_new(unsigned shards);
void directory_free(struct directory *d);

/* Finds a name, also a removed one's: DIRECTORY_NONE when it was never monitored. */
uint32_t directory_find(const struct directory *d, const char *name, size_t len);
/* Finds or makes the entry of a name. DIRECTORY_NONE when LIMIT_GROUPS names are used up.
 * Thread: main. */
uint32_t directory_add(struct directory *d, const char *name);

/* Number of entries ever made: gids are 0 .. count-1, in the order of their first MONITOR. */
uint32_t directory_count(const struct directory *d);
/* Immutable; valid for the directory's life. */
const char *directory_name(const struct directory *d, uint32_t gid);
unsigned directory_owner(const struct directory *d, uint32_t gid); /* shard */
/* The same of any name. */
unsigned directory_owner_of(const char *name, unsigned shards);

/* A consistent copy of what the owner last published; false (view untouched) while the group is
 * not monitored. */
bool directory_read(const struct directory *d, uint32_t gid, struct group_view *view);
/* Of the view only view.current, which clients ask for most. */
bool directory_current(const struct directory *d, uint32_t gid, struct address *current);
bool directory_alive(const struct directory *d, uint32_t gid);

/* The live group whose master (view.master) is at addr; of several the first monitored;
 * DIRECTORY_NONE when there is none (protocol.md §6). */
uint32_t directory_find_address(const struct directory *d, const struct address *addr);

/* Publishes; first of all after MONITOR it makes the group visible. Thread: the owner shard. */
void directory_publish(struct directory *d, uint32_t gid, const struct group_view *view);
/* Marks it removed. Thread: the owner shard. */
void directory_remove(struct directory *d, uint32_t gid);

/* Live groups now. */
uint32_t directory_alive_count(const struct directory *d);
