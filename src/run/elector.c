#include "run/elector.h"

#include "io/clock.h"
#include "rules/record.h"
#include "run/mail.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_SLEEP 1000 /* ms */
#define PASS_MOST     8192 /* letters: whoever floods us does not keep a pass from its end */
#define RETRY_REFUSED 1000 /* ms between tries to write a journal that refused */
#define RECORD_DELAY  50   /* ms a record that nobody waits for may gather company (discovery) */

struct elector {
    struct process *process;
    unsigned self;
    pthread_t thread;
    bool started, stopping;
    struct journal *journal; /* borrowed from main while the thread runs */
    struct tunables *tunables;
    struct election_env env;
    struct election *election;
    struct election_update update;
    size_t formatted;    /* records of the update that are in the batch already */
    struct buffer lines; /* the batch, for main's model */
    bool refused;        /* the last batch could not be made durable */
    bool recovering;     /* main was asked for a snapshot */
    ms_t now;
    ms_t retry;   /* while refused: when to try again; recovering: not before main has answered */
    ms_t sync_by; /* when the lines in the batch must go to the disk, 0: there are none */
    struct request **waiting; /* to be sent to main behind the batch */
    size_t waiting_count, waiting_cap;
    struct elector_counters tally;
    pthread_mutex_t counters_lock;    /* once a pass */
    struct elector_counters counters; /* what others may read */
};

static void log_line(struct elector *e, enum event_level level, const char *text)
{
    note_send(e->process, e->self, false, EVENT_COUNT, level, text, strlen(text));
}

/* --- the batch -------------------------------------------------------------------------------- */

static void add_line(struct elector *e, const char *text, size_t len)
{
    journal_append(e->journal, text, len);
    buffer_append(&e->lines, text, len);
    buffer_append(&e->lines, "\n", 1);
    if (e->sync_by == 0) {
        e->sync_by = e->now + RECORD_DELAY;
    }
    e->tally.records++;
}

static void add_record(struct elector *e, const struct record *record)
{
    char text[LIMIT_LINE];
    const char *name = NULL;
    if (record->kind != RECORD_CURRENT_EPOCH && record->kind != RECORD_TEXT) {
        name = directory_name(e->process->directory, record->gid);
    }
    size_t len = record_format(record, name, text);
    assert(len > 0);
    add_line(e, text, len);
}

/* What the election wants kept joins the batch in the order in which it was decided, so that it
 * stays in order with the shards' own records. */
static void format_new(struct elector *e)
{
    while (e->formatted < e->update.record_count) {
        add_record(e, &e->update.records[e->formatted++]);
    }
}

void elector_record_then_main(struct elector *e, const char *line, struct request *request)
{
    if (line != NULL) {
        add_line(e, line, strlen(line));
    }
    if (e->waiting_count == e->waiting_cap) {
        size_t cap = e->waiting_cap > 0 ? 2 * e->waiting_cap : 16;
        struct request **waiting = realloc(e->waiting, cap * sizeof(struct request *));
        if (waiting == NULL) {
            abort();
        }
        e->waiting = waiting;
        e->waiting_cap = cap;
    }
    e->waiting[e->waiting_count++] = request;
}

/* --- letters ---------------------------------------------------------------------------------- */

static void tell_main(struct elector *e, uint16_t kind, bool ok, uint64_t upto)
{
    struct letter letter = {.kind = kind};
    letter.u.fold.ok = ok;
    letter.u.fold.upto = upto;
    letter_send(e->process, e->self, process_main(e->process), &letter, POST_MUST);
}

/* Gives main's model everything that was decided so far. */
static void send_lines(struct elector *e)
{
    if (e->lines.len == 0) {
        return;
    }
    struct letter letter = {.kind = LETTER_LINES};
    letter.u.lines.text = (char *)e->lines.data;
    letter.u.lines.len = e->lines.len;
    letter_send(e->process, e->self, process_main(e->process), &letter, POST_MUST);
    e->lines = (struct buffer){0};
}

static void journal_works(struct elector *e, bool ok)
{
    if (ok == !e->refused) {
        return;
    }
    e->refused = !ok;
    atomic_store(&e->process->journal_refused, !ok);
    log_line(e, EVENT_WARNING,
             ok ? "The journal can be written again: votes are given and failovers started as usual"
                : "The journal cannot be written: no vote is given and no failover started until "
                  "it can; everything else goes on");
}

static void snapshot_letter(struct elector *e, const struct letter *letter)
{
    bool ok = journal_restart(e->journal, letter->u.lines.text, letter->u.lines.len);
    free(letter->u.lines.text);
    e->recovering = false;
    if (ok) {
        journal_works(e, true);
        election_durable(e->election, true, e->now, &e->update);
    } else {
        e->retry = e->now + RETRY_REFUSED;
    }
    tell_main(e, LETTER_RESTARTED, ok, 0);
}

static void rotate_letter(struct elector *e)
{
    uint64_t upto = 0;
    format_new(e);
    bool ok = journal_rotate(e->journal, &upto);
    send_lines(e);
    tell_main(e, LETTER_ROTATED, ok, upto);
}

static void record_letter(struct elector *e, const struct letter *letter)
{
    add_record(e, &letter->u.record);
    free(letter->u.record.text);
}

static void take_letter(struct elector *e, struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_BALLOT:
        election_ballot(e->election, &letter->u.ballot, e->now, &e->update);
        format_new(e);
        break;
    case LETTER_RECORD:
        record_letter(e, letter);
        break;
    case LETTER_REQUEST:
        letter->u.request->step(letter->u.request, e);
        break;
    case LETTER_TUNABLES:
        free(e->tunables);
        e->tunables = letter->u.tunables;
        e->env.periods = e->tunables->periods;
        break;
    case LETTER_ROTATE:
        rotate_letter(e);
        break;
    case LETTER_CHECKSUM:
        tell_main(e, LETTER_NOTED, journal_note(e->journal, &letter->u.fold.sum), 0);
        break;
    case LETTER_SNAPSHOT:
        snapshot_letter(e, letter);
        break;
    case LETTER_STOP:
        e->stopping = true;
        break;
    default:
        assert(false && "a letter that the elector does not take");
    }
}

/* --- a pass ----------------------------------------------------------------------------------- */

static int64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Makes the batch durable. False: nothing of it may be promised. */
static bool make_durable(struct elector *e)
{
    int64_t before = clock_us();
    bool ok = journal_sync(e->journal);
    uint64_t took = (uint64_t)(clock_us() - before);
    e->tally.sync_us_max = took > e->tally.sync_us_max ? took : e->tally.sync_us_max;
    e->tally.batches++;
    if (!ok) {
        e->tally.refused++;
        e->retry = e->now + RETRY_REFUSED;
        if (!e->refused) {
            char text[256];
            (void)snprintf(text, sizeof text, "Writing the journal failed: %s", strerror(errno));
            log_line(e, EVENT_WARNING, text);
        }
    }
    journal_works(e, ok);
    return ok;
}

/* Only a new file with everything in it makes a broken journal good. What main is to put there
 * reaches it before the question does. */
static void recover(struct elector *e)
{
    send_lines(e);
    e->recovering = true;
    tell_main(e, LETTER_RECOVER, false, 0);
}

static void release(struct elector *e)
{
    struct process *p = e->process;
    struct election_update *up = &e->update;

    if (!e->refused) { /* else it may not be durable: our hellos go on with the last that is */
        atomic_store_explicit(&p->current_epoch, election_current_epoch(e->election),
                              memory_order_release);
    }
    for (size_t i = 0; i < up->outcome_count; i++) {
        struct letter letter = {.kind = LETTER_OUTCOME, .gid = up->outcomes[i].gid};
        letter.u.outcome = up->outcomes[i];
        letter_send(p, e->self, directory_owner(p->directory, letter.gid), &letter, POST_MUST);
    }
    for (size_t i = 0; i < up->reply_count; i++) {
        struct letter letter = {.kind = LETTER_VOTE, .gid = up->replies[i].gid};
        letter.u.vote = up->replies[i];
        unsigned home = (unsigned)(letter.u.vote.to.host[1] >> REPLY_TO_SHARD_SHIFT);
        letter_send(p, e->self, home, &letter, POST_MUST);
    }
    for (size_t i = 0; i < e->waiting_count; i++) {
        request_send(p, e->self, process_main(p), e->waiting[i]);
    }
    e->waiting_count = 0;
}

/* Whether the batch goes to the disk in this pass: at once when the election made records or
 * somebody waits; a replica or sentinel found may wait for others. */
static bool batch_is_due(struct elector *e)
{
    if (e->sync_by == 0) {
        return false;
    }
    return e->update.record_count > 0 || e->update.promises || e->waiting_count > 0 ||
           e->stopping || e->now >= e->sync_by;
}

static void pass(struct elector *e)
{
    struct process *p = e->process;
    struct mail mail;
    struct letter letter;

    e->now = clock_now();
    e->env.tilt = atomic_load_explicit(&p->tilt, memory_order_acquire);
    ms_t twin = atomic_load_explicit(&p->twin_seen, memory_order_acquire);
    e->env.muted = twin != 0 && e->now - twin <= 3 * e->env.periods.publish;
    election_update_clear(&e->update);
    e->formatted = 0;
    /* At the stop nobody else runs, and all that was said counts. */
    for (unsigned taken = 0; taken < PASS_MOST || e->stopping; taken++) {
        if (!post_receive(p->post, e->self, &mail)) {
            break;
        }
        letter_open(&mail, &letter);
        take_letter(e, &letter);
    }
    election_pass(e->election, e->now, &e->update);
    format_new(e);
    bool retry = e->refused && e->now >= e->retry && !e->recovering;
    bool broken = journal_state(e->journal) == JOURNAL_BROKEN;
    if (batch_is_due(e) || (retry && !broken)) {
        bool ok = make_durable(e);
        election_durable(e->election, ok, e->now, &e->update);
        e->sync_by = 0;
        send_lines(e);
        retry = !ok && !e->recovering;
        broken = journal_state(e->journal) == JOURNAL_BROKEN;
    }
    if (retry && broken) {
        recover(e);
    }
    release(e);
    post_flush(p->post, e->self);
    e->tally.passes++;
    election_counters(e->election, &e->tally.election);
    pthread_mutex_lock(&e->counters_lock);
    e->counters = e->tally;
    pthread_mutex_unlock(&e->counters_lock);
}

/* When the next pass is due though no mail comes. */
static ms_t next_pass(const struct elector *e)
{
    ms_t until = election_next_deadline(e->election);
    if (e->refused && !e->recovering && e->retry < until) {
        until = e->retry;
    }
    if (e->sync_by != 0 && e->sync_by < until) {
        until = e->sync_by;
    }
    return until;
}

/* The elector's own turn is tested, too: attempts whose time came while the process stood still
 * must not start before a shard has noticed (design.md §4.12). Its disk may be slow: only sleep
 * counts. */
static void watch_gap(struct elector *e, ms_t due)
{
    ms_t now = clock_now();
    if (now - due > e->env.periods.tilt_trigger && process_tilt(e->process, now)) {
        static const char text[] = "#tilt mode entered";
        note_send(e->process, e->self, true, EVENT_TILT, event_level(EVENT_TILT), text,
                  sizeof text - 1);
    }
}

static void *thread(void *arg)
{
    struct elector *e = arg;
    struct post *post = e->process->post;
    struct pollfd doorbell = {.fd = post_doorbell(post, e->self), .events = POLLIN};

    while (!e->stopping) {
        pass(e);
        if (e->stopping || !post_sleep(post, e->self)) {
            continue;
        }
        ms_t until = next_pass(e), now = clock_now();
        ms_t wait = until > now ? until - now : 0;
        wait = wait > LONGEST_SLEEP ? LONGEST_SLEEP : wait;
        if (poll(&doorbell, 1, (int)wait) > 0) {
            uint64_t count;
            (void)!read(doorbell.fd, &count, sizeof count);
        }
        post_awake(post, e->self);
        watch_gap(e, now + wait);
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

struct elector *elector_new(struct process *p, struct journal *journal,
                            const struct tunables *tunables, uint64_t current_epoch, bool fresh)
{
    struct elector *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->process = p;
    e->self = process_elector(p);
    e->journal = journal;
    e->tunables = malloc(sizeof *e->tunables);
    if (e->tunables == NULL) {
        free(e);
        return NULL;
    }
    *e->tunables = *tunables;
    e->env.periods = tunables->periods;
    e->env.myid = p->myid;
    e->now = clock_now();
    uint64_t seed = (uint64_t)e->now * 0x9e3779b97f4a7c15u ^ (uint64_t)p->pid;
    for (const char *c = p->myid.hex; *c != '\0'; c++) {
        seed = seed * 31 + (unsigned char)*c; /* peers started in one second must differ */
    }
    e->election = election_new(&e->env, current_epoch, fresh, seed, e->now);
    election_update_init(&e->update);
    pthread_mutex_init(&e->counters_lock, NULL);
    return e;
}

bool elector_start(struct elector *e, char *error, size_t error_len)
{
    int rc = pthread_create(&e->thread, NULL, thread, e);
    if (rc != 0) {
        (void)snprintf(error, error_len, "cannot start the election thread: %s", strerror(rc));
        return false;
    }
    (void)pthread_setname_np(e->thread, "elector");
    e->started = true;
    return true;
}

void elector_join(struct elector *e)
{
    if (e->started) {
        pthread_join(e->thread, NULL);
        e->started = false;
    }
}

void elector_free(struct elector *e)
{
    if (e == NULL) {
        return;
    }
    election_free(e->election);
    election_update_free(&e->update);
    buffer_free(&e->lines);
    free(e->waiting);
    free(e->tunables);
    pthread_mutex_destroy(&e->counters_lock);
    free(e);
}

void elector_counters(const struct elector *e, struct elector_counters *out)
{
    struct elector *writable = (struct elector *)e; /* only its lock is written */
    pthread_mutex_lock(&writable->counters_lock);
    *out = e->counters;
    pthread_mutex_unlock(&writable->counters_lock);
}
