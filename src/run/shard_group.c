/* Groups of a shard: their life, and the carrying out of what the rules decide. */
#include "io/clock.h"
#include "run/shard_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URGENT_MOST 60000 /* ms a master without a failover keeps its shard in a hurry */
#define EPOCH_AGAIN 1000  /* ms before the elector is told of an epoch not greater than the last */

/* --- texts of a group ------------------------------------------------------------------------ */

void group_texts_free(struct group_texts *texts)
{
    free(texts->auth_user);
    free(texts->auth_pass);
    free(texts->notification_script);
    free(texts->reconfig_script);
    for (size_t i = 0; i < texts->rename_count; i++) {
        free(texts->renames[i].from);
        free(texts->renames[i].to);
    }
    free(texts->renames);
    *texts = (struct group_texts){0};
}

const char *group_texts_command(const struct group_texts *texts, const char *command)
{
    for (size_t i = 0; i < texts->rename_count; i++) {
        if (strcasecmp(texts->renames[i].from, command) == 0) {
            return texts->renames[i].to;
        }
    }
    return command;
}

/* --- events and log -------------------------------------------------------------------------- */

void shard_event(struct shard *s, enum event_type type, const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len >= 0);
    size_t fits = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    note_send(s->process, s->index, true, type, event_level(type), text, fits);
}

/* Hands a script to main. While main is tens of thousands of letters behind us it is dropped and
 * counted: its queue would drop it as well. */
static void run_script(struct shard *s, const char *const argv[], size_t count)
{
    struct process *p = s->process;
    struct letter letter = {.kind = LETTER_SCRIPT};

    if (post_spilled(p->post, s->index, process_main(p)) >= LIMIT_LANE_SPILL) {
        atomic_fetch_add_explicit(&p->counters.scripts_dropped, 1, memory_order_relaxed);
        return;
    }
    letter.u.script = script_job_new(argv, count);
    letter_send(p, s->index, process_main(p), &letter, POST_MUST);
}

/* An event of a group: told, and for the operator's script if it is a warning. */
static void group_told(struct shard *s, const struct shard_group *sg, enum event_type type,
                       const char *text, size_t len)
{
    const char *path = sg->texts.notification_script;

    note_send(s->process, s->index, true, type, event_level(type), text, len);
    if (event_level(type) == EVENT_WARNING && path != NULL) {
        const char *const argv[] = {path, event_name(type), text};
        run_script(s, argv, sizeof argv / sizeof argv[0]);
    }
}

void shard_group_event(struct shard *s, const struct shard_group *sg, enum event_type type,
                       const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len >= 0);
    size_t fits = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    group_told(s, sg, type, text, fits);
}

void shard_log(struct shard *s, enum event_level level, const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len >= 0);
    size_t fits = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    note_send(s->process, s->index, false, EVENT_COUNT, level, text, fits);
}

/* The rules have no wall clock: they write %T<ms from now>% where stock writes a ctime. */
static void log_with_time(struct shard *s, enum event_level level, const char *text)
{
    const char *mark = strstr(text, "%T");
    const char *end = mark != NULL ? strchr(mark + 2, '%') : NULL;
    if (end == NULL) {
        shard_log(s, level, "%s", text);
        return;
    }
    time_t when = (time_t)((clock_wall_ms() + strtoll(mark + 2, NULL, 10)) / 1000);
    char date[64];
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm);
    shard_log(s, level, "%.*s%s%s", (int)(mark - text), text, date, end + 1);
}

/* --- carrying out actions -------------------------------------------------------------------- */

/* What is due in calm waits for the next turn of the links, so that hundreds of groups wake the
 * shard once (baseline.md: that is half of what a sentinel costs). */
ms_t shard_on_grid(const struct shard *s, ms_t deadline)
{
    return deadline == MS_NEVER
               ? deadline
               : (deadline - s->grid + TURN_CALM - 1) / TURN_CALM * TURN_CALM + s->grid;
}

void shard_timer_set(struct shard *s, struct timer *timer, ms_t deadline)
{
    if (timer->node.deadline != deadline || !heap_has(&timer->node)) {
        heap_set(&s->heap, &timer->node, deadline);
    }
}

static void act_send(struct shard *s, struct group_host *gh, const struct action *a)
{
    if (a->inst->kind == INSTANCE_SENTINEL) {
        if ((a->send & SEND_HELLO) != 0) {
            peer_hello(s, gh, a->inst);
        }
        return;
    }
    server_send(s, gh, a->inst, a->send);
}

static void act_forget(struct shard *s, struct action *a)
{
    if (a->inst->kind == INSTANCE_SENTINEL) {
        peer_leave(s, a->inst);
    } else {
        server_forget(a->inst);
    }
    instance_free(a->inst);
}

static void act_link(struct shard *s, struct group_host *gh, const struct action *a)
{
    bool open = a->kind == ACTION_LINK_OPEN;
    if (a->inst->kind == INSTANCE_SENTINEL) {
        if (open) {
            peer_join(s, gh, a->inst);
        } else {
            peer_leave(s, a->inst);
        }
    } else if (open) {
        server_open(s, gh, a->inst, a->link);
    } else {
        server_close(a->inst, a->link);
    }
}

static void act_mail(struct shard *s, struct group_host *gh, const struct action *a)
{
    struct letter letter = {.gid = gh->sg.group->gid};
    if (a->kind == ACTION_BALLOT && a->u.ballot.kind == BALLOT_EPOCH) {
        /* Every group's hellos carry it until it is durable; while a disk hangs that is long. */
        if (a->u.ballot.epoch <= s->epoch_told && s->now - s->epoch_told_at < EPOCH_AGAIN) {
            return;
        }
        s->epoch_told = a->u.ballot.epoch;
        s->epoch_told_at = s->now;
    }
    if (a->kind == ACTION_BALLOT) {
        letter.kind = LETTER_BALLOT;
        letter.u.ballot = a->u.ballot;
    } else {
        letter.kind = LETTER_RECORD;
        letter.u.record = a->u.record;
    }
    letter_send(s->process, s->index, process_elector(s->process), &letter, POST_MUST);
}

/* SIMULATE-FAILURE: stock exits with 99 on the spot. Main does, once it has written the log. */
static void act_crash_point(struct shard *s, const struct action *a)
{
    const struct tunables *t = s->tunables;
    if (a->leader ? t->crash_after_election : t->crash_after_promotion) {
        shard_log(s, EVENT_WARNING, "Failure simulation: this Sentinel exits after %s",
                  a->leader ? "being elected as failover leader"
                            : "promoting the selected replica to master");
        struct letter letter = {.kind = LETTER_CRASH};
        letter_send(s->process, s->index, process_main(s->process), &letter, POST_MUST);
        for (;;) {
            /* Nothing more is done here: main ends the process when it has written what we sent. */
            post_flush(s->process->post, s->index);
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}

static void act_script(struct shard *s, const struct group_host *gh, const struct action *a)
{
    const char *path = gh->sg.texts.reconfig_script;
    char from_port[8], to_port[8];

    if (path == NULL) {
        return;
    }
    (void)snprintf(from_port, sizeof from_port, "%u", (unsigned)a->addr.port);
    (void)snprintf(to_port, sizeof to_port, "%u", (unsigned)a->addr2.port);
    const char *const argv[] = {path,
                                gh->sg.group->name,
                                a->leader ? "leader" : "observer",
                                "start",
                                address_host(&a->addr, s->env.names),
                                from_port,
                                address_host(&a->addr2, s->env.names),
                                to_port};
    run_script(s, argv, sizeof argv / sizeof argv[0]);
}

static void act(struct shard *s, struct group_host *gh, struct action *a)
{
    switch (a->kind) {
    case ACTION_LINK_OPEN:
    case ACTION_LINK_CLOSE:
        act_link(s, gh, a);
        break;
    case ACTION_FORGET:
        act_forget(s, a);
        break;
    case ACTION_SEND:
        act_send(s, gh, a);
        break;
    case ACTION_SLAVEOF:
        server_slaveof(s, gh, a->inst, &a->addr, a->failing);
        break;
    case ACTION_HANDOVER:
        server_handover(s, gh, a->inst, &a->addr, a->timeout);
        break;
    case ACTION_HANDOVER_ABORT:
        server_handover_abort(s, gh, a->inst);
        break;
    case ACTION_SETTLE:
        server_settle(s, gh, a->inst);
        break;
    case ACTION_SCRIPT_KILL:
        server_script_kill(gh, a->inst);
        break;
    case ACTION_ASK:
        peer_ask(s, gh, a);
        break;
    case ACTION_EVENT:
        group_told(s, &gh->sg, a->type, a->u.text, strlen(a->u.text));
        break;
    case ACTION_LOG:
        log_with_time(s, a->level, a->u.text);
        break;
    case ACTION_BALLOT:
    case ACTION_RECORD:
        act_mail(s, gh, a);
        break;
    case ACTION_MOVED:
    case ACTION_INVALID:
        route_moved(s, gh, a);
        break;
    case ACTION_SCRIPT:
        act_script(s, gh, a);
        break;
    case ACTION_CRASH_POINT:
        act_crash_point(s, a);
        break;
    }
}

/* What the group's state means for the shard: published view, timer, urgency. */
static void settle(struct shard *s, struct group_host *gh)
{
    const struct group *g = gh->sg.group;
    bool urgent = group_urgent(g);
    if (g->fo.state == FAILOVER_NONE && g->outage_since != 0 &&
        s->now - g->outage_since > URGENT_MOST) {
        urgent = false; /* a master nobody brings back must not cost a thousand turns a second */
    }
    bool same = urgent == gh->urgent;
    if (!same) {
        gh->urgent = urgent;
        s->urgent = urgent ? s->urgent + 1 : s->urgent - 1;
        if (urgent) {
            atomic_fetch_add_explicit(&s->process->urgent, 1, memory_order_relaxed);
        } else {
            atomic_fetch_sub_explicit(&s->process->urgent, 1, memory_order_relaxed);
        }
    }
    ms_t deadline = group_next_deadline(gh->sg.group);
    if (same && deadline == gh->settled && heap_has(&gh->timer.node)) {
        return; /* as after most messages */
    }
    gh->settled = deadline;
    if (!urgent) { /* a verdict is not rounded up: for those who died at once it would come apart */
        ms_t verdict = group_verdict_at(g), turn = shard_on_grid(s, deadline);
        deadline = verdict < turn ? verdict : turn;
    }
    shard_timer_set(s, &gh->timer, deadline);
}

void shard_act(struct shard *s, struct group_host *gh, struct update *up)
{
    if (up->view_changed) {
        struct group_view view;
        group_view(gh->sg.group, &view);
        directory_publish(s->process->directory, gh->sg.group->gid, &view);
    }
    if (up->view_changed || up->count > 0) {
        memset(gh->heard, 0, sizeof gh->heard);
    }
    for (size_t i = 0; i < up->count; i++) {
        act(s, gh, &up->actions[i]);
    }
}

void shard_step(struct shard *s, struct group_host *gh, const struct group_event *ev)
{
    /* Links never call back from inside a call, so steps do not nest. */
    assert(!s->stepping);
    s->stepping = true;
    update_clear(&s->update);
    const uint64_t dropped = gh->sg.group->dropped;
    group_step(gh->sg.group, ev, &s->update);
    if (gh->sg.group->dropped != dropped) {
        atomic_fetch_add_explicit(&s->process->counters.hostile_ignored,
                                  gh->sg.group->dropped - dropped, memory_order_relaxed);
    }
    shard_act(s, gh, &s->update);
    settle(s, gh);
    s->stepping = false;
}

/* --- life of groups -------------------------------------------------------------------------- */

struct group_host *shard_group_host(const struct shard *s, uint32_t gid)
{
    return gid < s->group_cap ? s->groups[gid] : NULL;
}

struct shard_group *shard_group(const struct shard *s, uint32_t gid)
{
    struct group_host *gh = shard_group_host(s, gid);
    return gh != NULL ? &gh->sg : NULL;
}

struct shard_group *shard_group_next(const struct shard *s, uint32_t *cursor)
{
    while (*cursor < s->group_cap) {
        struct group_host *gh = s->groups[(*cursor)++];
        if (gh != NULL) {
            return &gh->sg;
        }
    }
    return NULL;
}

static struct group_host *host_new(struct shard *s, uint32_t gid, const struct address *addr,
                                   const struct group_settings *set,
                                   const struct group_saved *saved, struct group_texts *texts)
{
    if (gid >= s->group_cap) {
        uint32_t cap = s->group_cap > 0 ? s->group_cap : 64;
        while (cap <= gid) {
            cap *= 2;
        }
        struct group_host **groups = realloc(s->groups, cap * sizeof *groups);
        if (groups == NULL) {
            abort();
        }
        memset(groups + s->group_cap, 0, (cap - s->group_cap) * sizeof *groups);
        s->groups = groups;
        s->group_cap = cap;
    }
    assert(s->groups[gid] == NULL);
    struct group_host *gh = calloc(1, sizeof *gh);
    if (gh == NULL) {
        abort();
    }
    gh->timer.kind = TIMER_GROUP;
    gh->sg.group = group_new(gid, directory_name(s->process->directory, gid), addr, set, saved,
                             &s->env, prng_next(&s->prng), s->now);
    gh->sg.group->host = gh;
    gh->sg.host = gh;
    gh->sg.texts = *texts;
    *texts = (struct group_texts){0};
    s->groups[gid] = gh;
    s->group_count++;
    return gh;
}

static void host_start(struct shard *s, struct group_host *gh, bool announce)
{
    struct group_view view;
    group_view(gh->sg.group, &view);
    directory_publish(s->process->directory, gh->sg.group->gid, &view);
    update_clear(&s->update);
    group_start(gh->sg.group, announce, s->now, &s->update);
    shard_act(s, gh, &s->update);
    settle(s, gh);
}

bool shard_group_add(struct shard *s, uint32_t gid, const struct address *addr,
                     const struct group_settings *set, struct group_texts *texts)
{
    if (shard_group_host(s, gid) != NULL) {
        return false;
    }
    struct group_saved saved = {0};
    struct letter letter = {.kind = LETTER_RECORD, .gid = gid};
    letter.u.record =
        (struct record){.kind = RECORD_MONITOR, .gid = gid, .addr = *addr, .quorum = set->quorum};
    letter_send(s->process, s->index, process_elector(s->process), &letter, POST_MUST);
    host_start(s, host_new(s, gid, addr, set, &saved, texts), true);
    return true;
}

static void host_free(struct shard *s, struct group_host *gh)
{
    heap_remove(&s->heap, &gh->timer.node);
    if (gh->urgent) {
        s->urgent--;
        atomic_fetch_sub_explicit(&s->process->urgent, 1, memory_order_relaxed);
    }
    s->groups[gh->sg.group->gid] = NULL;
    s->group_count--;
    group_texts_free(&gh->sg.texts);
    group_free(gh->sg.group);
    free(gh);
}

bool shard_group_remove(struct shard *s, uint32_t gid)
{
    struct group_host *gh = shard_group_host(s, gid);
    if (gh == NULL) {
        return false;
    }
    update_clear(&s->update);
    directory_remove(s->process->directory, gid);
    group_stop(gh->sg.group, s->now, &s->update);
    s->update.view_changed = false;
    shard_act(s, gh, &s->update);
    struct letter letter = {.kind = LETTER_RECORD, .gid = gid};
    letter.u.record = (struct record){.kind = RECORD_REMOVE, .gid = gid};
    letter_send(s->process, s->index, process_elector(s->process), &letter, POST_MUST);
    host_free(s, gh);
    return true;
}

enum group_reply shard_group_step(struct shard *s, struct shard_group *sg, struct group_event *ev)
{
    ev->now = s->now;
    shard_step(s, sg->host, ev);
    return s->update.reply;
}

void shard_record_text(struct shard *s, uint32_t gid, const char *line)
{
    struct letter letter = {.kind = LETTER_RECORD, .gid = gid};
    letter.u.record = (struct record){.kind = RECORD_TEXT, .gid = gid, .text = strdup(line)};
    if (letter.u.record.text == NULL) {
        abort();
    }
    letter_send(s->process, s->index, process_elector(s->process), &letter, POST_MUST);
}

void shard_seed(struct shard *s, struct shard_seed *seed)
{
    s->now = clock_now();
    struct group_host *gh =
        host_new(s, seed->gid, &seed->addr, &seed->set, &seed->saved, &seed->texts);
    for (size_t i = 0; i < seed->replica_count; i++) {
        (void)group_add_known_replica(gh->sg.group, &seed->replicas[i], s->now);
    }
    for (size_t i = 0; i < seed->sentinel_count; i++) {
        (void)group_add_known_sentinel(gh->sg.group, &seed->sentinels[i], &seed->sentinel_ids[i],
                                       s->now);
    }
    /* Another shard may listen before this one has started its groups. */
    struct group_view view;
    group_view(gh->sg.group, &view);
    directory_publish(s->process->directory, seed->gid, &view);
}

/* Thread: the shard's, once its rings stand. */
void shard_groups_start(struct shard *s)
{
    for (uint32_t gid = 0; gid < s->group_cap; gid++) {
        if (s->groups[gid] != NULL) {
            host_start(s, s->groups[gid], true);
        }
    }
}

void shard_groups_free(struct shard *s)
{
    for (uint32_t gid = 0; gid < s->group_cap; gid++) {
        struct group_host *gh = s->groups[gid];
        if (gh == NULL) {
            continue;
        }
        struct group *g = gh->sg.group;
        server_forget(g->master);
        for (uint32_t i = 0; i < g->replica_count; i++) {
            server_forget(g->replicas[i]);
        }
        for (uint32_t i = 0; i < g->sentinel_count; i++) {
            free(g->sentinels[i]->host); /* its place in the peer's list: peers_free() follows */
            g->sentinels[i]->host = NULL;
        }
        host_free(s, gh);
    }
    free(s->groups);
}
