#include "admin/async.h"

#include <assert.h>
#include <stdlib.h>

/* The threads have ended: nobody waits for the reply. */
static void drop(struct request *request)
{
    struct admin_request *r = (struct admin_request *)(void *)request;

    if (r->dispose) {
        r->dispose(r);
    }
    buffer_free(&r->out);
    free(r);
}

void *async_new(struct call *call, size_t size, bool changing)
{
    struct admin *a = call->admin;
    struct admin_request *r = calloc(1, size);

    assert(size >= sizeof *r);
    if (!r) {
        abort();
    }
    r->base.drop = drop;
    r->process = a->process;
    r->home = r->at = a->index;
    r->ticket = client_await(call->client);
    r->changing = changing;
    r->proto = call->client->proto;
    r->gid = DIRECTORY_NONE;
    call->client->asked++;
    if (changing) {
        call->client->waiting = true;
    }
    return r;
}

struct reply async_reply(struct admin_request *r)
{
    return (struct reply){&r->out, r->proto};
}

static void travel(struct admin_request *r, unsigned to,
                   void (*step)(struct request *request, void *here))
{
    unsigned from = r->at;

    r->base.step = step;
    r->at = to;
    request_send(r->process, from, to, &r->base);
}

/* The last step of every request. */
static void step_home(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;
    struct admin *a = shard_admin(here);
    struct client *c = client_of(a, &r->ticket);

    assert(r->at == r->home && shard_index(here) == r->home);
    if (c && c->doomed) {
        c = NULL;
    }
    if (r->finish) {
        r->finish(r, a, c);
    }
    if (c) {
        if (r->out.len > 0 && r->out.data[0] == '-') {
            a->total_errors++;
        }
        client_answer(a, &r->ticket, r->out.data, r->out.len);
        assert(c->asked > 0);
        c->asked--;
        if (r->changing) {
            c->waiting = false;
        }
        client_continue(c);
    }
    if (r->dispose) {
        r->dispose(r);
    }
    buffer_free(&r->out);
    free(r);
    admin_settle(a);
}

void async_home(struct admin_request *r)
{
    travel(r, r->home, step_home);
}

static void step_owner(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;

    shard_catch_up(here);
    r->visit(r, here);
}

void async_owner(struct admin_request *r, uint32_t gid)
{
    r->gid = gid;
    travel(r, directory_owner(r->process->directory, gid), step_owner);
}

static void step_chain(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;

    shard_catch_up(here);
    r->visit(r, here);
    if (++r->visited < r->process->options.shards) {
        travel(r, r->visited, step_chain);
    } else {
        async_home(r);
    }
}

void async_chain(struct admin_request *r)
{
    travel(r, 0, step_chain);
}

void async_main(struct admin_request *r, void (*step)(struct request *request, void *here))
{
    travel(r, process_main(r->process), step);
}

void async_elector(struct admin_request *r, void (*step)(struct request *request, void *here))
{
    travel(r, process_elector(r->process), step);
}

/* At home, after main has saved or not. */
static void finish_save(struct admin_request *r, struct admin *a, struct client *c)
{
    struct reply reply = async_reply(r);

    if (r->saved) {
        reply_simple(&reply, "OK");
    } else {
        reply_error(&reply, "ERR Failed to save config file. Check server logs.");
    }
}

void async_save_here(struct admin_request *r, struct mainloop *m)
{
    assert(r->at == process_main(r->process));
    r->finish = finish_save;
    r->base.step = step_home;
    r->at = r->home;
    mainloop_save_then(m, &r->base, &r->saved, r->home);
}

static void step_save(struct request *request, void *here)
{
    async_save_here((struct admin_request *)(void *)request, here);
}

static void step_elector(struct request *request, void *here)
{
    struct admin_request *r = (struct admin_request *)(void *)request;

    r->at = process_main(r->process);
    r->base.step = step_save;
    elector_record_then_main(here, NULL, &r->base);
}

void async_save(struct admin_request *r)
{
    travel(r, process_elector(r->process), step_elector);
}
