/* The port on a fake of run/: two shards, an elector and main that live in one thread, a queue for
 * what they mail each other, and clients over socket pairs. Time stands until a test moves it. */
#pragma once

#include "acl/acl.h"
#include "acl/log.h"
#include "admin/admin.h"
#include "admin/client.h"
#include "both_rings.h"
#include "io/clock.h"
#include "io/ring.h"
#include "run/elector.h"
#include "run/mainloop.h"
#include "run/shard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SHARDS      2
#define FAKE_GROUPS 16

struct shard {
    unsigned index;
    void *admin;
    struct shard_group *groups[FAKE_GROUPS];
};

static struct {
    struct process process;
    struct shard shard[SHARDS];
    struct tunables tunables;
    struct group_env env;
    struct ring *ring;
    ms_t now, turn_next;
    struct {
        unsigned to;
        struct request *request;
    } mail[256];
    size_t mail_count;
    struct {
        struct reply_to to;
        unsigned shard;
        uint64_t epoch;
        struct runid candidate;
    } asked[8192];
    size_t asked_count;
    char log[16384];            /* records and events, one a line */
    struct request *saving[16]; /* held by main until fake_saved() */
    bool *saved[16];
    unsigned save_to[16];
    size_t saving_count;
    bool hold_saves;
    struct scripts *scripts;      /* of PENDING-SCRIPTS */
    struct acl_users *acl_loaded; /* what the aclfile says; NULL: there is none */
    bool acl_broken;
    struct acl_log *acl_log;
    enum group_reply failover;
    unsigned hellos;
    int stopped;
} fake;

static void fake_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void fake_note(const char *format, ...)
{
    size_t len = strlen(fake.log);
    va_list args;

    va_start(args, format);
    vsnprintf(fake.log + len, sizeof fake.log - len, format, args);
    va_end(args);
}

/* --- run/shard.h ----------------------------------------------------------------------------- */
struct process *shard_process(const struct shard *s)
{
    return &fake.process;
}
unsigned shard_index(const struct shard *s)
{
    return s->index;
}
ms_t shard_now(const struct shard *s)
{
    return fake.now;
}
struct ring *shard_link_ring(const struct shard *s)
{
    return shard_client_ring(s);
}

struct ring *shard_client_ring(const struct shard *s)
{
    return fake.ring;
}
const struct tunables *shard_tunables(const struct shard *s)
{
    return &fake.tunables;
}
void *shard_admin(const struct shard *s)
{
    return s->admin;
}
struct shard_group *shard_group(const struct shard *s, uint32_t gid)
{
    return gid < FAKE_GROUPS ? s->groups[gid] : NULL;
}
void shard_catch_up(struct shard *s)
{
    (void)s; /* no links here */
}
struct shard_group *shard_group_next(const struct shard *s, uint32_t *cursor)
{
    while (*cursor < FAKE_GROUPS) {
        struct shard_group *sg = s->groups[(*cursor)++];
        if (sg)
            return sg;
    }
    return NULL;
}
static void fake_publish(struct shard_group *sg)
{
    struct group_view view;
    group_view(sg->group, &view);
    directory_publish(fake.process.directory, sg->group->gid, &view);
}
bool shard_group_add(struct shard *s, uint32_t gid, const struct address *addr,
                     const struct group_settings *set, struct group_texts *texts)
{
    struct group_saved saved = {0};
    if (s->groups[gid])
        return false;
    struct shard_group *sg = calloc(1, sizeof *sg);
    sg->group = group_new(gid, directory_name(fake.process.directory, gid), addr, set, &saved,
                          &fake.env, 1, fake.now);
    sg->texts = *texts;
    s->groups[gid] = sg;
    fake_publish(sg);
    return true;
}
static void fake_texts_free(struct group_texts *t)
{
    free(t->auth_user);
    free(t->auth_pass);
    free(t->notification_script);
    free(t->reconfig_script);
    for (size_t i = 0; i < t->rename_count; i++) {
        free(t->renames[i].from);
        free(t->renames[i].to);
    }
    free(t->renames);
}
bool shard_group_remove(struct shard *s, uint32_t gid)
{
    struct shard_group *sg = s->groups[gid];
    if (!sg)
        return false;
    directory_remove(fake.process.directory, gid);
    fake_texts_free(&sg->texts);
    group_free(sg->group);
    free(sg);
    s->groups[gid] = NULL;
    return true;
}
enum group_reply shard_group_step(struct shard *s, struct shard_group *sg, struct group_event *ev)
{
    fake_note("step %d\n", (int)ev->kind);
    if (ev->kind == GROUP_SET)
        sg->group->set = *ev->settings;
    fake_publish(sg);
    return fake.failover;
}
void shard_record_text(struct shard *s, uint32_t gid, const char *line)
{
    fake_note("record %s\n", line);
}
void shard_instance_view(const struct shard *s, const struct instance *inst,
                         struct instance_host_view *view)
{
    *view = (struct instance_host_view){.refcount = 1, .live = inst->live};
}
bool shard_info_text(const struct shard *s, const struct instance *inst, struct buffer *out)
{
    return false;
}
void shard_event(struct shard *s, enum event_type type, const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fake_note("event %s %s\n", event_name(type), text);
}
void shard_group_event(struct shard *s, const struct shard_group *sg, enum event_type type,
                       const char *format, ...)
{
    char text[LIMIT_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fake_note("event %s %s\n", event_name(type), text);
}
void shard_log(struct shard *s, enum event_level level, const char *format, ...)
{
    fake_note("log\n");
}
bool shard_hello(struct shard *s, const char *text, size_t len)
{
    fake.hellos++;
    return true;
}
bool shard_asked(struct shard *s, const struct address *addr, uint64_t epoch,
                 const struct runid *runid, const char *client_name, const struct address *from,
                 struct reply_to to, bool *down, struct runid *leader, uint64_t *leader_epoch)
{
    *down = true;
    *leader_epoch = 3;
    memset(leader, 0, sizeof *leader);
    memset(leader->hex, 'e', LIMIT_RUNID);
    if (!runid)
        return false;
    assert(to.host[1] >> 48 == 0);
    fake.asked[fake.asked_count].to = to;
    fake.asked[fake.asked_count].shard = s->index;
    fake.asked[fake.asked_count].epoch = epoch;
    fake.asked[fake.asked_count++].candidate = *runid;
    return true;
}
void shard_counters(const struct shard *s, struct shard_counters *out)
{
    memset(out, 0, sizeof *out);
    out->groups = 1;
}

/* --- the others ------------------------------------------------------------------------------ */
void request_send(struct process *p, unsigned from, unsigned to, struct request *request)
{
    assert(fake.mail_count < 256);
    fake.mail[fake.mail_count].to = to;
    fake.mail[fake.mail_count++].request = request;
}
void elector_record_then_main(struct elector *e, const char *line, struct request *request)
{
    if (line)
        fake_note("record %s\n", line);
    request_send(&fake.process, process_elector(&fake.process), process_main(&fake.process),
                 request);
}
void elector_counters(const struct elector *e, struct elector_counters *out)
{
    memset(out, 0, sizeof *out);
}
struct process *mainloop_process(struct mainloop *m)
{
    return &fake.process;
}
static inline void fake_saved(bool ok)
{
    for (size_t i = 0; i < fake.saving_count; i++) {
        *fake.saved[i] = ok;
        request_send(&fake.process, process_main(&fake.process), fake.save_to[i], fake.saving[i]);
    }
    fake.saving_count = 0;
}
void mainloop_save_then(struct mainloop *m, struct request *request, bool *saved, unsigned to)
{
    fake.saving[fake.saving_count] = request;
    fake.saved[fake.saving_count] = saved;
    fake.save_to[fake.saving_count++] = to;
    if (!fake.hold_saves)
        fake_saved(true);
}
void mainloop_park(struct mainloop *m, struct request *request)
{
    fail_msg("nothing here waits for a name");
}
const struct tunables *mainloop_tunables(const struct mainloop *m)
{
    return &fake.tunables;
}
void mainloop_set_tunables(struct mainloop *m, const struct tunables *t)
{
    fake.tunables = *t;
}
const struct scripts *mainloop_scripts(const struct mainloop *m)
{
    return fake.scripts;
}
struct acl_users *mainloop_users(const struct mainloop *m)
{
    return fake.process.users;
}
void mainloop_set_users(struct mainloop *m, struct acl_users *users)
{
    acl_users_release(fake.process.users);
    fake.process.users = users;
}
bool mainloop_has_aclfile(const struct mainloop *m)
{
    return fake.acl_loaded != NULL;
}
struct acl_users *mainloop_read_aclfile(struct mainloop *m, char **errors)
{
    if (fake.acl_broken) {
        *errors = strdup("nothing in it is right");
        return NULL;
    }
    return acl_users_copy(fake.acl_loaded);
}
bool mainloop_write_aclfile(struct mainloop *m)
{
    return !fake.acl_broken;
}
struct acl_log *mainloop_acl_log(struct mainloop *m)
{
    return fake.acl_log;
}
void mainloop_stop(struct mainloop *m, int exit_code)
{
    fake.stopped++;
}

/* --- driving it ------------------------------------------------------------------------------ */
static void deliver_mail(void)
{
    for (size_t i = 0; i < fake.mail_count; i++) {
        unsigned to = fake.mail[i].to;
        struct request *request = fake.mail[i].request;
        request->step(request, to < SHARDS ? (void *)&fake.shard[to] : (void *)&fake);
    }
    fake.mail_count = 0;
}

/* Turns until nothing has happened for two of them. */
static void turns(void)
{
    for (int idle = 0, turn = 0; idle < 2 && turn < 1000; turn++) {
        ring_flush(fake.ring);
        bool busy = ring_wait(fake.ring, 1) > 0 || fake.mail_count > 0;
        deliver_mail();
        fake.turn_next = MS_NEVER;
        for (unsigned s = 0; s < SHARDS; s++) {
            ms_t next = admin_ops.turn(fake.shard[s].admin, fake.now);
            fake.turn_next = next < fake.turn_next ? next : fake.turn_next;
        }
        idle = busy ? 0 : idle + 1;
    }
}

static inline int fake_connect(unsigned shard)
{
    int pair[2], size = 1 << 20;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    admin_ops.accepted(fake.shard[shard].admin, pair[1], false);
    turns();
    return pair[0];
}

static void say_bytes(int fd, const void *bytes, size_t len)
{
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

/* Inline requests, one a line. */
static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
    turns();
}

/* What has come; static. "<closed>" at its end when the connection is. */
static const char *heard(int fd)
{
    static char text[1 << 20];
    size_t len = 0;

    turns();
    while (len + 16 < sizeof text) {
        ssize_t got = read(fd, text + len, sizeof text - len - 16);
        if (got > 0) {
            len += (size_t)got;
            turns();
            continue;
        }
        if (got == 0 || errno != EAGAIN)
            memcpy(text + len, "<closed>", 9), len += 8;
        break;
    }
    text[len] = '\0';
    return text;
}

#define expect(fd, text) assert_string_equal(heard(fd), text)

static inline void ask(int fd, const char *request, const char *reply)
{
    say(fd, request);
    expect(fd, reply);
}

static inline void add_group(const char *name, uint16_t port)
{
    struct process *p = &fake.process;
    uint32_t gid = directory_add(p->directory, name);
    struct address addr = {.ip = "127.0.0.1", .port = port};
    struct group_settings set = {
        .quorum = 2, .parallel_syncs = 1, .down_after = 30000, .failover_timeout = 180000};
    struct group_texts texts = {0};

    assert_true(
        shard_group_add(&fake.shard[directory_owner(p->directory, gid)], gid, &addr, &set, &texts));
}

static void fake_script_event(void *ctx, enum event_type type, const char *text)
{
    fake_note("event %s %s\n", event_name(type), text);
}

static inline int fake_setup(void **state)
{
    char error[256];

    memset(&fake, 0, sizeof fake);
    fake.now = 1000000;
    fake.ring = ring_open(NULL, error, sizeof error);
    if (!fake.ring)
        return -1;
    struct process *p = &fake.process;
    p->options.shards = SHARDS;
    p->options.port = 26379;
    p->options.maxclients = 100;
    p->options.unix_fd = -1;
    p->options.pubsub_output = (struct output_limit){32u << 20, 8u << 20, 60};
    p->options.deny_scripts_reconfig = true;
    p->started = 1;
    pthread_mutex_init(&p->twin_lock, NULL);
    memset(p->myid.hex, 'a', LIMIT_RUNID);
    periods_default(&fake.tunables.periods);
    periods_default(&fake.env.periods);
    fake.tunables.loglevel = EVENT_NOTICE;
    fake.env.myid = p->myid;
    p->directory = directory_new(SHARDS);
    struct scripts_options options = {.event = fake_script_event};
    script_limits_take(&options.limits);
    fake.scripts = scripts_new(&options);
    p->users = acl_users_new(false);
    fake.acl_log = acl_log_new(128);
    for (unsigned s = 0; s < SHARDS; s++) {
        fake.shard[s].index = s;
        fake.shard[s].admin = admin_ops.start(&fake.shard[s]);
    }
    return 0;
}

static inline int fake_teardown(void **state)
{
    for (unsigned s = 0; s < SHARDS; s++) {
        for (uint32_t gid = 0; gid < FAKE_GROUPS; gid++)
            (void)shard_group_remove(&fake.shard[s], gid);
        admin_ops.stop(fake.shard[s].admin);
    }
    scripts_free(fake.scripts);
    ring_close(fake.ring);
    directory_free(fake.process.directory);
    acl_users_release(fake.process.users);
    acl_users_release(fake.acl_loaded);
    acl_log_free(fake.acl_log);
    return 0;
}
