#include "admin/admin.h"

#include "admin/access.h"
#include "admin/command.h"

#include <assert.h>
#include <stdlib.h>

#define SAMPLE 1000 /* ms over which INFO's rates are taken, at least */

/* --- votes (design.md §4.13) ----------------------------------------------------------------- */

static void answer_vote(struct admin *a, const struct ticket *t, const struct runid *leader,
                        uint64_t epoch)
{
    struct client *c = client_of(a, t);

    if (!c || t->sequence < c->first || t->sequence >= c->after) {
        return;
    }
    struct slot *s = &c->slots[t->sequence & (c->slot_cap - 1)];
    struct buffer text = {0};
    struct reply r = {&text, c->proto};
    if (!s->done) {
        reply_array(&r, 3);
        reply_integer(&r, s->down);
        reply_text(&r, runid_known(leader) ? leader->hex : "*");
        reply_integer(&r, (int64_t)epoch);
        client_answer(a, t, text.data, text.len);
        client_continue(c);
    }
    buffer_free(&text);
}

static void admin_vote(void *admin, const struct vote_reply *reply)
{
    struct admin *a = admin;
    struct ticket t = {.index = (uint32_t)(reply->to.host[0] >> 32),
                       .generation = (uint32_t)reply->to.host[0],
                       .sequence = reply->to.host[1]};

    answer_vote(a, &t, &reply->leader, reply->epoch);
    admin_settle(a);
}

static bool vote_is_open(struct admin *a, const struct vote_wait *wait)
{
    const struct client *c = client_of(a, &wait->ticket);
    uint64_t sequence = wait->ticket.sequence;

    return c && !c->doomed && sequence >= c->first && sequence < c->after &&
           !c->slots[sequence & (c->slot_cap - 1)].done;
}

/* Answers what has waited long enough; returns when the next is due. All wait equally long, so the
 * first is always the next. */
static ms_t run_votes(struct admin *a, ms_t now)
{
    while (a->vote_first != a->vote_after) {
        struct vote_wait *wait = &a->votes[a->vote_first & (a->vote_cap - 1)];
        if (vote_is_open(a, wait)) {
            if (wait->deadline > now) {
                return wait->deadline;
            }
            struct vote_wait due = *wait;
            a->vote_first++;
            atomic_fetch_add_explicit(&a->process->counters.votes_impatient, 1,
                                      memory_order_relaxed);
            answer_vote(a, &due.ticket, &due.leader, due.epoch);
        } else {
            a->vote_first++;
        }
    }
    if (a->vote_cap > 1024) {
        free(a->votes);
        a->votes = NULL;
        a->vote_cap = 0;
    }
    return MS_NEVER;
}

void admin_await_vote(struct admin *a, const struct vote_wait *wait)
{
    if (a->vote_after - a->vote_first == a->vote_cap) {
        uint32_t cap = a->vote_cap ? a->vote_cap * 2 : 64;
        struct vote_wait *votes = calloc(cap, sizeof *votes);
        if (!votes) {
            abort();
        }
        for (uint64_t i = a->vote_first; i != a->vote_after; i++) {
            votes[i & (cap - 1)] = a->votes[i & (a->vote_cap - 1)];
        }
        free(a->votes);
        a->votes = votes;
        a->vote_cap = cap;
    }
    a->votes[a->vote_after++ & (a->vote_cap - 1)] = *wait;
}

/* --- turns ----------------------------------------------------------------------------------- */

static void take_sample(struct admin *a, ms_t now)
{
    ms_t elapsed = now - a->sampled;

    if (elapsed < SAMPLE) {
        return;
    }
    a->rate_commands = a->sample_commands * 1000 / (uint64_t)elapsed;
    a->rate_input = a->sample_input * 1000 / (uint64_t)elapsed;
    a->rate_output = a->sample_output * 1000 / (uint64_t)elapsed;
    a->sample_commands = a->sample_input = a->sample_output = 0;
    a->sampled = now;
}

static void add(atomic_ullong *total, uint64_t *delta, uint64_t *sample)
{
    if (*delta == 0) {
        return;
    }
    atomic_fetch_add_explicit(total, *delta, memory_order_relaxed);
    *sample += *delta;
    *delta = 0;
}

/* Brings this shard's counts to the process'; INFO does it too before it looks. */
void admin_count(struct admin *a, ms_t now)
{
    struct process_counters *total = &a->process->counters;

    add(&total->commands, &a->commands, &a->sample_commands);
    add(&total->net_input, &a->net_input, &a->sample_input);
    add(&total->net_output, &a->net_output, &a->sample_output);
    take_sample(a, now);
}

static ms_t earlier(ms_t a, ms_t b)
{
    return a < b ? a : b;
}

/* Ends CLIENT PAUSE. Returns when it will. */
static ms_t run_pause(struct admin *a, ms_t now)
{
    uint32_t cursor = 0;
    struct client *c;

    if (a->pause_until == 0) {
        return MS_NEVER;
    }
    if (a->pause_until > now) {
        return a->pause_until;
    }
    a->pause_until = 0;
    while ((c = client_next(a, &cursor))) {
        client_continue(c);
    }
    /* One of them may have paused all again: through a request, so not yet. */
    return MS_NEVER;
}

static ms_t admin_turn(void *admin, ms_t now)
{
    struct admin *a = admin;
    ms_t next = run_votes(a, now);

    next = earlier(next, run_pause(a, now));
    next = earlier(next, client_timeouts(a, now));
    next = earlier(next, client_outputs(a, now));
    next = earlier(next, client_evict(a, now));
    admin_count(a, now);
    admin_settle(a);
    return next;
}

/* --- life ------------------------------------------------------------------------------------ */

static void *admin_start(struct shard *shard)
{
    struct admin *a = calloc(1, sizeof *a);

    if (!a) {
        abort();
    }
    command_init();
    a->shard = shard;
    a->process = shard_process(shard);
    a->index = shard_index(shard);
    a->sampled = shard_now(shard);
    pubsub_init(&a->pubsub);
    access_start(a);
    return a;
}

static void admin_stop(void *admin)
{
    struct admin *a = admin;
    uint32_t cursor = 0;
    struct client *c;

    while ((c = client_next(a, &cursor))) {
        client_goodbye(c); /* what it was answered may still go out */
        client_close(c);
    }
    admin_settle(a);
    pubsub_free(&a->pubsub);
    access_stop(a);
    buffer_free(&a->scratch);
    free(a->votes);
    free(a->clients);
    free(a->generations);
    free(a->unused);
    free(a);
}

static void admin_accepted(void *admin, int fd, bool tls)
{
    client_accept(admin, fd, tls);
}

static void admin_event(void *admin, const struct event_note *note)
{
    struct admin *a = admin;

    assert(!a->current);
    pubsub_deliver(&a->pubsub, note);
    admin_settle(a);
}

static bool admin_subscribed(void *admin)
{
    const struct admin *a = admin;

    return a->pubsub.topic_count[TOPIC_CHANNEL] + a->pubsub.topic_count[TOPIC_PATTERN] > 0;
}

const struct admin_ops admin_ops = {.start = admin_start,
                                    .accepted = admin_accepted,
                                    .event = admin_event,
                                    .vote = admin_vote,
                                    .turn = admin_turn,
                                    .subscribed = admin_subscribed,
                                    .stop = admin_stop};
