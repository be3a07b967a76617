/* The shard's thread: its loop, its start and stop. */
#include "run/shard.h"

#include "io/clock.h"
#include "run/shard_internal.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest a shard sleeps: so often it looks at its clock, and a gap is noticed (§4.12). */
#define LONGEST_SLEEP 100

/* A turn later than this first takes what has arrived, so that no verdict is passed on silence that
 * was ours. */
#define LATE_TURN (TURN_CALM + 60)
/* Letters read at once: whoever sends without end does not keep a turn from its own. */
#define TURN_MAIL 8192

/* --- access for admin/ ------------------------------------------------------------------------ */

struct process *shard_process(const struct shard *s)
{
    return s->process;
}

unsigned shard_index(const struct shard *s)
{
    return s->index;
}

ms_t shard_now(const struct shard *s)
{
    return s->now;
}

struct ring *shard_client_ring(const struct shard *s)
{
    return s->client_ring;
}

struct ring *shard_link_ring(const struct shard *s)
{
    return s->link_ring;
}

const struct tunables *shard_tunables(const struct shard *s)
{
    return s->tunables;
}

void *shard_admin(const struct shard *s)
{
    return s->admin;
}

void shard_counters(const struct shard *s, struct shard_counters *out)
{
    struct post_counters post;
    *out = s->counters;
    post_counters(s->process->post, s->index, &post);
    out->gossip_dropped = post.dropped;
    out->letters_spilled = post.spilled;
    out->receives_short = out->cqes_overflown = out->sqes_waited = 0;
    out->receive_buffers = 0;
    out->handshakes = out->handshakes_failed = out->handshakes_refused = 0;
    struct ring *rings[] = {s->client_ring, s->link_ring};
    for (size_t i = 0; i < 2; i++) {
        struct ring_counters ring;
        ring_counters(rings[i], &ring);
        out->handshakes += ring.handshakes;
        out->handshakes_failed += ring.handshake_failures;
        out->handshakes_refused += ring.handshakes_refused;
        out->receives_short += ring.no_buffers;
        out->cqes_overflown += ring.cq_overflows;
        out->sqes_waited += ring.sq_full;
        out->receive_buffers += ring.buffers;
        out->links_direct = ring.direct; /* of the last, the links' */
        out->links_direct_most = ring.direct_most;
        out->links_refused = ring.refused;
    }
    out->groups = s->group_count;
    out->replicas = out->sentinels = 0;
    for (uint32_t gid = 0; gid < s->group_cap; gid++) {
        if (s->groups[gid] != NULL) {
            out->replicas += s->groups[gid]->sg.group->replica_count;
            out->sentinels += s->groups[gid]->sg.group->sentinel_count;
        }
    }
}

/* --- time and TILT ---------------------------------------------------------------------------- */

/* Tilts the whole process when this turn comes too late: the first thread that notices says so.
 * Called before anything that arrived meanwhile is dispatched. */
static void watch_gap(struct shard *s, ms_t gap)
{
    /* Until the end of the turn: the ring may look at the clock more than once before it. */
    s->env.after_gap = s->env.after_gap || gap > s->env.periods.ask;
    s->late = s->late || gap > LATE_TURN;
    if (gap > s->env.periods.tilt_trigger && process_tilt(s->process, s->now)) {
        shard_event(s, EVENT_TILT, "#tilt mode entered");
    }
}

static void end_tilt(struct shard *s)
{
    struct process *p = s->process;
    if (s->index != 0 || !atomic_load_explicit(&p->tilt, memory_order_acquire)) {
        return;
    }
    ms_t since = atomic_load_explicit(&p->tilt_since, memory_order_acquire);
    bool was = true;
    if (s->now - since > s->env.periods.tilt_period &&
        atomic_compare_exchange_strong(&p->tilt, &was, false)) {
        atomic_fetch_add_explicit(&p->tilt_total_ms, (unsigned long long)(s->now - since),
                                  memory_order_relaxed);
        shard_event(s, EVENT_TILT_END, "#tilt mode exited");
    }
}

static void new_turn(struct shard *s)
{
    struct process *p = s->process;
    s->now = clock_now();
    watch_gap(s, s->now - s->last_turn);
    s->last_turn = s->now;
    end_tilt(s);
    s->env.tilt = atomic_load_explicit(&p->tilt, memory_order_acquire);
    s->env.current_epoch = atomic_load_explicit(&p->current_epoch, memory_order_acquire);
    ms_t twin = atomic_load_explicit(&p->twin_seen, memory_order_acquire);
    s->env.muted = twin != 0 && s->now - twin <= 3 * s->env.periods.publish;
}

static void woken(void *ctx)
{
    new_turn(ctx);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void doorbell(void *ctx)
{
    (void)ctx; /* the mail is read in the turn */
}

/* One system call sends what has become due on the links and takes what has arrived. When that is
 * more than a turn takes, as when ten thousand masters answer a process that gets a tenth of a
 * core, verdicts wait for the rest. Somebody who floods us must not put them off for ever. */
static void gather(struct shard *s)
{
    ring_prepare(s->link_ring);
    s->behind_taken += (uint64_t)ring_gather(s->link_ring);
    if (!ring_behind(s->link_ring)) {
        s->behind_taken = 0;
    }
    s->behind =
        s->behind_taken > 0 && s->behind_taken <= LIMIT_BEHIND * (uint64_t)s->counters.links;
    if (s->behind) {
        s->next_gather = s->now; /* also when a request asked for this one */
    }
}

/* A client that saw a server die asks at once, and must not be told that all is well because the
 * links gather: node-redis then connects to the dead server and never asks again. */
void shard_catch_up(struct shard *s)
{
    if (!s->caught_up) {
        s->caught_up = true;
        gather(s);
    }
}

static void read_mail(struct shard *s)
{
    struct mail mail;
    struct letter letter;
    for (unsigned taken = 0; taken < TURN_MAIL; taken++) {
        if (!post_receive(s->process->post, s->index, &mail)) {
            break;
        }
        letter_open(&mail, &letter);
        shard_letter(s, &letter);
    }
}

static void run_timers(struct shard *s)
{
    struct heap_node *node;
    while ((node = heap_min(&s->heap)) != NULL && node->deadline <= s->now) {
        struct timer *timer = (struct timer *)(void *)node;
        if (timer->kind == TIMER_PEER) {
            peer_tick(s, (struct peer_link *)(void *)timer);
        } else {
            struct group_event ev = {.kind = GROUP_TICK, .now = s->now};
            shard_step(s, (struct group_host *)(void *)timer, &ev);
            /* A rule that asks for the present again would spin: it gets the next millisecond. */
            if (node->index != 0 && node->deadline <= s->now) {
                shard_timer_set(s, timer, s->now + 1);
            }
        }
    }
}

static ms_t sleep_time(struct shard *s)
{
    ms_t until = s->now + LONGEST_SLEEP;
    ms_t others[] = {heap_next(&s->heap), s->next_gather, s->admin_deadline,
                     ring_next_deadline(s->client_ring)};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        until = others[i] < until ? others[i] : until;
    }
    return until > s->now ? until - s->now : 0;
}

static void turn(struct shard *s)
{
    struct process *p = s->process;

    s->counters.turns++;
    s->caught_up = false;
    shard_steer(s);
    read_mail(s);
    bool due = s->now >= s->next_gather;
    bool before = due && (s->late || s->behind || s->urgent > 0);
    /* Between two turns a verdict may be due: not before what has arrived is known. */
    if (before || (!due && heap_next(&s->heap) <= s->now)) {
        gather(s);
    }
    if (!s->behind) {
        run_timers(s);
    }
    read_mail(s);
    if (due && !before) {
        gather(s);
    }
    if (due && !s->behind) {
        s->late = false;
    }
    ms_t soon = s->now + TURN_URGENT;
    bool urgent = atomic_load_explicit(&p->urgent, memory_order_relaxed) > 0;
    if (due) {
        /* TLS handshakes of links that had no turn yet go on at once, with clients in between. */
        bool work = s->behind || ring_next_deadline(s->link_ring) <= s->now;
        s->next_gather = work ? s->now : urgent ? soon : shard_on_grid(s, s->now + 1);
    } else if (urgent && s->next_gather > soon) {
        s->next_gather = soon;
    }
    s->admin_deadline = p->admin->turn(s->admin, s->now);
    /* Before SUBSCRIBE's reply leaves: what happens after it is for the new subscriber. */
    atomic_store_explicit(&p->subscribed[s->index], p->admin->subscribed(s->admin),
                          memory_order_release);
    if (urgent || s->stopping) {
        ring_flush(s->link_ring); /* else: answers to what arrived leave with the next turn */
    }
    if (s->stopping) {
        ring_flush(s->client_ring);
    } else {
        ring_prepare(
            s->client_ring); /* replies leave with the wait that follows: one system call */
    }
    post_flush(p->post, s->index);
    s->env.after_gap = false;
}

static void loop(struct shard *s)
{
    struct post *post = s->process->post;
    while (!s->stopping) {
        turn(s);
        if (s->stopping) {
            break;
        }
        if (post_sleep(post, s->index)) {
            (void)ring_wait(s->client_ring, sleep_time(s));
            post_awake(post, s->index);
        } else {
            (void)ring_wait(s->client_ring, 0);
        }
    }
}

/* --- start ------------------------------------------------------------------------------------ */

static bool stand_up(struct shard *s)
{
    struct ring_options options = {.woken = woken, .woken_ctx = s};
    struct ring_options link_options = {.direct = s->process->options.links_direct,
                                        .budget = &s->process->links_normal};
    s->now = s->last_turn = clock_now();
    s->client_ring = ring_open(&options, s->error, sizeof s->error);
    if (s->client_ring == NULL) {
        return false;
    }
    s->link_ring = ring_open(&link_options, s->error, sizeof s->error);
    if (s->link_ring == NULL || !shard_listen(s)) {
        return false;
    }
    if (ring_watch(s->client_ring, post_doorbell(s->process->post, s->index), doorbell, s) ==
        NULL) {
        (void)snprintf(s->error, sizeof s->error, "cannot watch the doorbell");
        return false;
    }
    s->admin = s->process->admin->start(s);
    return true;
}

static void take_down(struct shard *s)
{
    if (s->admin != NULL) {
        s->process->admin->stop(s->admin);
    }
    shard_groups_free(s);
    peers_free(s);
    if (s->link_ring != NULL) {
        ring_close(s->link_ring);
    }
    if (s->client_ring != NULL) {
        for (unsigned i = 0; i < s->listener_count; i++) {
            listener_close(s->listeners[i]);
        }
        ring_close(s->client_ring);
    }
    heap_free(&s->heap);
}

/* What was decided must reach the elector and main, which make room until they have it all. Other
 * shards may have ended: what waits for them goes with the process. */
static void send_rest(struct shard *s)
{
    struct process *p = s->process;
    while (post_spilled(p->post, s->index, process_elector(p)) > 0 ||
           post_spilled(p->post, s->index, process_main(p)) > 0) {
        post_flush(p->post, s->index);
        (void)poll(NULL, 0, 1);
    }
}

static void *thread(void *arg)
{
    struct shard *s = arg;
    bool ok = stand_up(s);

    pthread_mutex_lock(&s->lock);
    s->started = ok ? 1 : -1;
    pthread_cond_signal(&s->ready);
    pthread_mutex_unlock(&s->lock);
    if (ok) {
        shard_groups_start(s);
        s->last_turn = clock_now(); /* thousands of groups take time: no gap */
        loop(s);
        send_rest(s);
    }
    atomic_store(&s->ended, true);
    take_down(s);
    return NULL;
}

struct shard *shard_new(struct process *p, unsigned index, const struct tunables *tunables)
{
    struct shard *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->process = p;
    s->index = index;
    s->tunables = malloc(sizeof *s->tunables);
    s->info = malloc(sizeof *s->info);
    if (s->tunables == NULL || s->info == NULL) {
        shard_free(s);
        return NULL;
    }
    *s->tunables = *tunables;
    s->env.common = p->started_wall_ms - p->started;
    s->grid = TURN_CALM * index / p->options.shards + TURN_CALM - s->env.common % TURN_CALM;
    s->env.periods = tunables->periods;
    s->env.names = tunables->announce_hostnames;
    s->env.myid = p->myid;
    s->env.current_epoch = atomic_load(&p->current_epoch);
    heap_init(&s->heap);
    update_init(&s->update);
    prng_seed(&s->prng, (uint64_t)clock_now() * 2654435761u + (uint64_t)p->pid * 40503u + index);
    s->hash_key = prng_next(&s->prng);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ready, NULL);
    return s;
}

bool shard_start(struct shard *s, char *error, size_t error_len)
{
    int rc = pthread_create(&s->thread, NULL, thread, s);
    if (rc != 0) {
        (void)snprintf(error, error_len, "cannot start a thread: %s", strerror(rc));
        return false;
    }
    char name[16];
    (void)snprintf(name, sizeof name, "shard-%u", s->index);
    (void)pthread_setname_np(s->thread, name);
    pthread_mutex_lock(&s->lock);
    while (s->started == 0) {
        pthread_cond_wait(&s->ready, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    if (s->started < 0) {
        (void)snprintf(error, error_len, "%s", s->error);
        pthread_join(s->thread, NULL);
        return false;
    }
    return true;
}

bool shard_ended(const struct shard *s)
{
    return atomic_load(&s->ended);
}

void shard_join(struct shard *s)
{
    if (s->started > 0) {
        pthread_join(s->thread, NULL);
    }
}

void shard_free(struct shard *s)
{
    if (s == NULL) {
        return;
    }
    update_free(&s->update);
    text_template_free(&s->info_template);
    buffer_free(&s->packing);
    free(s->tunables);
    free(s->info);
    free(s);
}
