#include "mainloop_internal.h"

#include "daemon.h"
#include "io/clock.h"
#include "log.h"
#include "rules/host.h"
#include "run/elector.h"
#include "run/mail.h"
#include "run/shard.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SAVE_PERIOD       1000 /* ms between background rewrites (design.md §5) */
#define MAIL_A_TURN       4096 /* letters */
#define SAVE_PERIOD_WORST 5    /* it doubles so often at most while they fail */

struct process *mainloop_process(struct mainloop *m)
{
    return m->process;
}

const struct tunables *mainloop_tunables(const struct mainloop *m)
{
    return &m->tunables;
}

const struct scripts *mainloop_scripts(const struct mainloop *m)
{
    return m->scripts;
}

void tunables_resolve(struct tunables *t)
{
    const char *name = t->announce_ip;

    t->announce = (struct address){0};
    if (name[0] == '\0' || address_set(&t->announce, name, strlen(name), 0)) {
        return;
    }
    if (!t->resolve_hostnames) {
        log_printf(EVENT_WARNING,
                   "sentinel announce-ip '%s' is no IP address and resolve-hostnames is off: each "
                   "link's own address is announced instead",
                   name);
        return;
    }
    if (!address_set_host(&t->announce, name, strlen(name), 0, HOST_CONFIGURED)) {
        log_printf(
            EVENT_WARNING,
            "sentinel announce-ip '%s' is neither an IP address nor a host name: each link's "
            "own address is announced instead",
            name);
    }
}

void mainloop_set_tunables(struct mainloop *m, const struct tunables *new)
{
    struct process *p = m->process;
    struct tunables now = *new, *t = &now;
    if (strcmp(now.announce_ip, m->tunables.announce_ip) != 0 ||
        now.resolve_hostnames != m->tunables.resolve_hostnames) {
        tunables_resolve(t);
    }
    m->tunables = *t;
    scripts_periods(m->scripts, &t->periods);
    log_level(t->log_nothing ? EVENT_WARNING + 1 : t->loglevel);
    for (unsigned thread = 0; thread < process_main(p); thread++) {
        struct letter letter = {.kind = LETTER_TUNABLES};
        letter.u.tunables = malloc(sizeof *t);
        if (letter.u.tunables == NULL) {
            abort();
        }
        *letter.u.tunables = *t;
        letter_send(p, process_main(p), thread, &letter, POST_MUST);
    }
}

void mainloop_stop(struct mainloop *m, int exit_code)
{
    m->stopping = true;
    m->exit_code = exit_code;
}

/* --- saving: the fold's main side (io/journal.h) ---------------------------------------------- */

static void list_add(struct request_list *list, const struct saver *saver)
{
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? 2 * list->cap : 16;
        struct saver *savers = realloc(list->savers, cap * sizeof *savers);
        if (savers == NULL) {
            abort();
        }
        list->savers = savers;
        list->cap = cap;
    }
    list->savers[list->count++] = *saver;
}

void mainloop_save_then(struct mainloop *m, struct request *request, bool *saved, unsigned to)
{
    list_add(&m->waiting, &(struct saver){.request = request, .saved = saved, .to = to});
}

void mainloop_park(struct mainloop *m, struct request *request)
{
    list_add(&m->parked, &(struct saver){.request = request});
}

/* Those whose name is still being looked up park again. */
static void unpark(struct mainloop *m)
{
    struct request_list list = m->parked;
    m->parked = (struct request_list){0};
    for (size_t i = 0; i < list.count; i++) {
        list.savers[i].request->step(list.savers[i].request, m);
    }
    free(list.savers);
}

static void to_elector(struct mainloop *m, struct letter *letter)
{
    letter_send(m->process, process_main(m->process), process_elector(m->process), letter,
                POST_MUST);
}

static void send_snapshot(struct mainloop *m)
{
    struct config_text state = {0};
    config_render_state(m->config, &state);
    struct letter letter = {.kind = LETTER_SNAPSHOT};
    letter.u.lines.text = state.data;
    letter.u.lines.len = state.len;
    m->fold_state = FOLD_RESTARTING;
    to_elector(m, &letter);
}

static void save_begin(struct mainloop *m)
{
    assert(m->fold_state == FOLD_IDLE && m->serving.count == 0);
    struct request_list empty = m->serving;
    m->serving = m->waiting;
    m->waiting = empty;
    m->dirty = false;
    if (journal_place(m->journal)->mode == JOURNAL_READ_ONLY) {
        send_snapshot(m);
        return;
    }
    struct letter letter = {.kind = LETTER_ROTATE};
    m->fold_state = FOLD_ROTATING;
    to_elector(m, &letter);
}

static void save_end(struct mainloop *m, bool ok, const char *what)
{
    if (ok) {
        m->failures = 0;
        log_printf(EVENT_NOTICE, "Sentinel new configuration saved on disk");
    } else {
        m->failures += m->failures < SAVE_PERIOD_WORST;
        m->dirty = true;
        log_printf(EVENT_WARNING,
                   "WARNING: Sentinel was not able to save the new configuration on disk!!!: %s",
                   what);
    }
    for (size_t i = 0; i < m->serving.count; i++) {
        struct saver *saver = &m->serving.savers[i];
        *saver->saved = ok;
        request_send(m->process, process_main(m->process), saver->to, saver->request);
    }
    m->serving.count = 0;
    m->fold_state = FOLD_IDLE;
    m->next_save = clock_now() + ((ms_t)SAVE_PERIOD << m->failures);
    free(m->text.data);
    m->text = (struct config_text){0};
}

static void rotated(struct mainloop *m, const struct letter *letter)
{
    if (!letter->u.fold.ok) {
        save_end(m, false, "the journal cannot be rotated");
        return;
    }
    m->fold = (struct journal_fold){.upto = letter->u.fold.upto};
    config_render(m->config, &m->text);
    if (!fold_write(journal_place(m->journal), &m->fold, m->text.data, m->text.len)) {
        save_end(m, false, strerror(errno));
        return;
    }
    struct letter note = {.kind = LETTER_CHECKSUM};
    note.u.fold.sum = m->fold.sum;
    m->fold_state = FOLD_NOTING;
    to_elector(m, &note);
}

static void noted(struct mainloop *m, const struct letter *letter)
{
    const struct journal_place *place = journal_place(m->journal);
    if (!letter->u.fold.ok) {
        fold_abort(place, &m->fold);
        save_end(m, false, "the journal cannot be written");
        return;
    }
    if (!fold_commit(place, &m->fold, m->text.data, m->text.len)) {
        save_end(m, false, strerror(errno));
        return;
    }
    fold_finish(place, &m->fold);
    save_end(m, true, NULL);
}

/* The file's lines are the model's new state, durable or not: sentinel.conf gets what is true. */
static void apply_lines(struct mainloop *m, const struct letter *letter)
{
    const char *line = letter->u.lines.text;
    const char *end = line + letter->u.lines.len;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        struct config_error error;
        assert(newline != NULL);
        if (!config_apply_line(m->config, line, (size_t)(newline - line), &error)) {
            log_printf(EVENT_WARNING, "Cannot keep '%s' for sentinel.conf: %s", error.text,
                       error.reason);
        }
        line = newline + 1;
    }
    m->dirty = true;
    free(letter->u.lines.text);
}

/* --- mail ------------------------------------------------------------------------------------- */

static void note_letter(struct letter *letter)
{
    struct note *note = letter->u.note;
    if (note->publish) {
        char line[LIMIT_EVENT_TEXT + 64];
        const char *name = event_name(note->type);
        /* "+tilt" carries its text with a leading '#', and stock prints both. */
        (void)snprintf(line, sizeof line, "%s %s", name, note->text);
        log_write(note->level, note->wall_ms, line);
    } else {
        log_write(note->level, note->wall_ms, note->text);
    }
    note_release(note);
}

static void take_script(struct mainloop *m, struct script_job *job)
{
    if (m->stopping) {
        script_job_free(job); /* as those that wait */
    } else {
        scripts_add(m->scripts, job, clock_now());
    }
}

static void take_letter(struct mainloop *m, struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_NOTE:
        note_letter(letter);
        break;
    case LETTER_LINES:
        apply_lines(m, letter);
        break;
    case LETTER_REQUEST:
        letter->u.request->step(letter->u.request, m);
        break;
    case LETTER_ROTATED:
        rotated(m, letter);
        break;
    case LETTER_NOTED:
        noted(m, letter);
        break;
    case LETTER_RESTARTED:
        save_end(m, letter->u.fold.ok, "the journal cannot be begun anew");
        break;
    case LETTER_RECOVER:
        m->recover = true;
        break;
    case LETTER_SCRIPT:
        take_script(m, letter->u.script);
        break;
    case LETTER_CRASH:
        _exit(99); /* as stock's SIMULATE-FAILURE; the notes before it are written */
    default:
        assert(false && "a letter that main does not take");
    }
}

/* So many letters at most: while shards flood the log, signals, saves and scripts have their turn.
 */
static void read_some_mail(struct mainloop *m, size_t most)
{
    struct mail mail;
    struct letter letter;
    while (most-- > 0 && post_receive(m->process->post, process_main(m->process), &mail)) {
        letter_open(&mail, &letter);
        take_letter(m, &letter);
    }
}

static void read_mail(struct mainloop *m)
{
    read_some_mail(m, SIZE_MAX);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void insisted(int signal)
{
    (void)signal;
    log_from_handler("You insist... exiting now.");
    _exit(1);
}

/* From here on a SIGINT ends the process whatever it is doing: as in Redis, the second Ctrl-C does,
 * also when a disk hangs. What was promised is in the journal. */
static void heed_insistence(void)
{
    struct sigaction action = {.sa_handler = insisted};
    sigset_t set;

    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void read_signals(struct mainloop *m)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            continue; /* the turn that follows looks after the scripts */
        }
        if (info.ssi_signo == SIGHUP) {
            log_reopen(true);
            log_printf(EVENT_NOTICE, "Log reopened (SIGHUP)");
            certificates_reload(&m->certificates);
        } else {
            heed_insistence();
            log_printf(EVENT_WARNING, "Received %s scheduling shutdown...",
                       info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
            mainloop_stop(m, 0);
        }
    }
}

static void script_event(void *ctx, enum event_type type, const char *text)
{
    struct process *p = ((struct mainloop *)ctx)->process;
    note_send(p, process_main(p), true, type, event_level(type), text, strlen(text));
}

static void run_scripts(struct mainloop *m)
{
    struct process *p = m->process;
    struct scripts_counts counts;

    scripts_turn(m->scripts, clock_now());
    scripts_counts(m->scripts, &counts);
    atomic_store_explicit(&p->scripts_running, counts.running, memory_order_relaxed);
    atomic_store_explicit(&p->scripts_queued, counts.queued, memory_order_relaxed);
    atomic_store_explicit(&p->scripts_pushed_out, counts.dropped, memory_order_relaxed);
}

static void turn(struct mainloop *m)
{
    ms_t now = clock_now();
    read_some_mail(m, MAIL_A_TURN); /* what is left keeps post_sleep() from sleeping */
    if (m->fold_state == FOLD_IDLE) {
        if (m->recover) {
            m->recover = false;
            send_snapshot(m);
        } else if (m->waiting.count > 0 || (m->dirty && now >= m->next_save)) {
            save_begin(m);
        }
    }
    run_scripts(m);
    if (now >= m->next_second) {
        log_reopen(false);
        certificates_watch(&m->certificates);
        unpark(m);
        m->next_second = now + 1000;
    }
    post_flush(m->process->post, process_main(m->process));
}

static int sleep_time(const struct mainloop *m)
{
    ms_t now = clock_now(), until = m->next_second;
    if (m->dirty && m->fold_state == FOLD_IDLE && m->next_save < until) {
        until = m->next_save;
    }
    ms_t script = scripts_next_deadline(m->scripts);
    until = script < until ? script : until;
    return until > now ? (int)(until - now) : 0;
}

/* Ends the threads: first the shards, so that everything they decided is with the elector; then the
 * elector, so that everything it decided is in the journal and with main. */
static void end_threads(struct mainloop *m)
{
    struct process *p = m->process;
    struct letter stop = {.kind = LETTER_STOP};
    for (unsigned i = 0; i < p->options.shards; i++) {
        letter_send(p, process_main(p), i, &stop, POST_MUST);
    }
    post_flush(p->post, process_main(p));
    for (unsigned i = 0; i < p->options.shards; i++) {
        while (!shard_ended(p->shard[i])) {
            read_mail(m); /* what it still has to say needs room in the lane */
            post_flush(p->post, process_main(p));
            (void)poll(NULL, 0, 1);
        }
        shard_join(p->shard[i]);
    }
    read_mail(m);
    letter_send(p, process_main(p), process_elector(p), &stop, POST_MUST);
    post_flush(p->post, process_main(p));
    elector_join(p->elector);
    read_mail(m);
    while (post_spilled(p->post, process_elector(p), process_main(p)) > 0) {
        post_flush(p->post, process_elector(p)); /* in the place of its thread, which has ended */
        read_mail(m);
    }
}

/* The last save: nobody else runs, so main does the elector's part as well. */
static bool last_save(struct mainloop *m)
{
    const struct journal_place *place = journal_place(m->journal);
    struct config_text text = {0};
    bool ok;

    if (m->fold_state == FOLD_NOTING) {
        fold_abort(place, &m->fold);
    }
    if (place->mode == JOURNAL_READ_ONLY || journal_state(m->journal) == JOURNAL_BROKEN) {
        config_render_state(m->config, &text);
        ok = journal_restart(m->journal, text.data, text.len);
        free(text.data);
        text = (struct config_text){0};
        if (!ok || place->mode == JOURNAL_READ_ONLY) {
            return ok;
        }
    }
    struct journal_fold fold = {0};
    config_render(m->config, &text);
    ok = journal_rotate(m->journal, &fold.upto) && fold_write(place, &fold, text.data, text.len) &&
         journal_note(m->journal, &fold.sum) && fold_commit(place, &fold, text.data, text.len);
    if (ok) {
        fold_finish(place, &fold);
    }
    free(text.data);
    return ok;
}

/* Clients are gone: nobody waits for these. */
static void list_drop(struct request_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        list->savers[i].request->drop(list->savers[i].request);
    }
    free(list->savers);
}

int mainloop_run(struct mainloop *m)
{
    struct process *p = m->process;
    unsigned self = process_main(p);
    struct pollfd fds[] = {{.fd = m->signals, .events = POLLIN},
                           {.fd = post_doorbell(p->post, self), .events = POLLIN},
                           {.events = POLLIN}};

    m->scripts = scripts_new(
        &(struct scripts_options){.limits = m->limits, .event = script_event, .ctx = m});
    scripts_periods(m->scripts, &m->tunables.periods);
    m->next_second = clock_now() + 1000;
    while (!m->stopping) {
        turn(m);
        if (!m->stopping && post_sleep(p->post, self)) {
            /* Lookups matter here only while somebody waits for one. */
            fds[2].fd = m->parked.count > 0 ? resolver_doorbell(p->resolver) : -1;
            fds[1].revents = fds[2].revents = 0;
            (void)poll(fds, 3, sleep_time(m));
            for (unsigned i = 1; i <= 2; i++) {
                uint64_t count;
                if ((fds[i].revents & POLLIN) != 0) {
                    (void)!read(fds[i].fd, &count, sizeof count);
                }
            }
            post_awake(p->post, self);
            if ((fds[2].revents & POLLIN) != 0) {
                unpark(m);
            }
        }
        read_signals(m);
    }
    heed_insistence();
    supervisor_tell("STOPPING=1\n");
    log_printf(EVENT_WARNING, "User requested shutdown...");
    end_threads(m);
    if (!last_save(m)) {
        log_printf(EVENT_WARNING,
                   "WARNING: Sentinel was not able to save the new configuration on disk!!!: %s. "
                   "The journal beside it holds what it lacks",
                   strerror(errno));
    }
    scripts_free(m->scripts);
    list_drop(&m->waiting);
    list_drop(&m->serving);
    list_drop(&m->parked);
    free(m->text.data);
    log_printf(EVENT_WARNING, "Sentinel is now ready to exit, bye bye...");
    return m->exit_code;
}
