/* A listening TCP socket on a ring (design.md §3): each shard has its own, with SO_REUSEPORT.
 *
 * When the process has no file descriptor left, one waiting connection is turned away at a time
 * (a spare descriptor is kept for that), ring_counters.refused counts them, and accepting goes on
 * after LIMIT_ACCEPT_PAUSE ms.
 *
 * Thread: its ring's.
 */
#pragma once

#include "io/ring.h"
#include "rules/types.h"

struct listener;

/* Listens at `at` (port 0: the kernel chooses, see listener_address). on_accept(ctx, fd) takes fd,
 * a blocking-mode socket with FD_CLOEXEC, to be given to stream_adopt. NULL on failure: errno is
 * set and error holds a sentence. An IPv6 address takes IPv6 connections only. */
struct listener *listener_open(struct ring *ring, const struct address *at, int backlog,
                               void (*on_accept)(void *ctx, int fd), void *ctx, char *error,
                               size_t error_len);
/* Makes the listening socket of a path: what an earlier socket there left behind is replaced, a
 * file of another kind is not. mode: permissions, 0: as umask leaves them. Returns it, for
 * listener_adopt, or -1: errno is set and error holds a sentence. Thread: any, needs no ring. */
int listener_unix(const char *path, unsigned mode, int backlog, char *error, size_t error_len);
/* As listener_open with a listening socket that is there; takes fd. */
struct listener *listener_adopt(struct ring *ring, int fd, void (*on_accept)(void *ctx, int fd),
                                void *ctx);
/* What a connection is told that is turned away for want of descriptors; static. NULL: nothing. */
void listener_set_refusal(struct listener *l, const char *text);
/* No callback afterwards; takes the listener. Safe in its callback. */
void listener_close(struct listener *l);
/* Where it listens. */
void listener_address(const struct listener *l, struct address *out);

/* Of all listeners at this one's address: the one opened as number `place` (from 0) takes all new
 * connections from now on; LISTENER_ALL: each takes its share, as at first. Those that wait to be
 * accepted stay where they are. False: the kernel refuses, and nothing has changed. */
#define LISTENER_ALL UINT32_MAX
bool listener_steer(struct listener *l, uint32_t place);

/* Proves that nobody listens at `at`, another process of ours with SO_REUSEPORT included: binds
 * and listens without it, and closes. False: errno is set and error holds a sentence. Needs no
 * ring. To be called before the first listener_open of this process at that address. */
bool listener_prove_free(const struct address *at, char *error, size_t error_len);
