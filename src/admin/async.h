/* Requests of commands that other threads answer (request.h).
 *
 * A command embeds struct admin_request at the start of its own; async_new opens the slot of its
 * reply. On its way each step renders into `out`, and async_home sends it home, where the reply is
 * given to the client, if it still lives, and the request freed.
 *
 * Thread: async_new and the finish function: the client's shard; other steps: where they run.
 */
#pragma once

#include "admin/command.h"
#include "run/elector.h"
#include "run/mainloop.h"

struct admin_request {
    struct request base; /* first: run/ carries it as struct request */
    struct process *process;
    unsigned home; /* shard of the client */
    unsigned at;   /* thread it is on now */
    struct ticket ticket;
    bool changing; /* the client waits for it */
    int proto;
    struct buffer out; /* the reply */
    uint32_t gid;
    bool saved;       /* see async_save */
    unsigned visited; /* shards, of a chain */
    /* Owner's and chain's work: on each shard it comes to. */
    void (*visit)(struct admin_request *r, struct shard *shard);
    /* At home, before the reply is given; the client may be gone: NULL. */
    void (*finish)(struct admin_request *r, struct admin *a, struct client *c);
    void (*dispose)(struct admin_request *r); /* frees what the command's own part holds */
};

/* A request for the command being executed, zeroed, size bytes in all, its first member struct
 * admin_request. changing: the client's next requests wait until it is home. */
void *async_new(struct call *call, size_t size, bool changing);
/* Its reply, to be written on whatever thread it is on. */
struct reply async_reply(struct admin_request *r);

/* All of these take the request. */
/* To the group's owner, where visit runs; then home. */
void async_owner(struct admin_request *r, uint32_t gid);
/* To every shard in order, where visit runs; then home. */
void async_chain(struct admin_request *r);
/* To main's thread. */
void async_main(struct admin_request *r, void (*step)(struct request *request, void *here));
/* To the elector's thread. */
void async_elector(struct admin_request *r, void (*step)(struct request *request, void *here));
/* From the owner shard: through the elector, behind all it was given by this shard, and main, where
 * sentinel.conf is saved; then home, with the error if it could not be saved, else +OK. */
void async_save(struct admin_request *r);
/* The last part of it, from main. */
void async_save_here(struct admin_request *r, struct mainloop *m);
void async_home(struct admin_request *r);
