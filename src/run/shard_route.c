/* What arrives at a shard from elsewhere: hellos of other shards' groups, evidence, the elector's
 * outcomes, moved sentinels, requests. */
#include "io/clock.h"
#include "run/shard_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- hellos ---------------------------------------------------------------------------------- */

/* A hello with our id: ours, come back over pub/sub, or another process with a copied file
 * (design.md §4.11). */
static void own_hello(struct shard *s, const struct hello *hello)
{
    struct process *p = s->process;
    if (process_is_own(p, &hello->sentinel)) {
        return;
    }
    ms_t before = atomic_exchange_explicit(&p->twin_seen, s->now, memory_order_acq_rel);
    pthread_mutex_lock(&p->twin_lock);
    p->twin_address = hello->sentinel;
    pthread_mutex_unlock(&p->twin_lock);
    if (before == 0 || s->now - before > 3 * s->env.periods.publish) {
        char at[ADDRESS_TEXT];
        address_format(&hello->sentinel, at);
        shard_log(s, EVENT_WARNING,
                  "another sentinel uses my id %s, at %s: no vote is given and no failover started "
                  "until one of the two has another 'sentinel myid'",
                  p->myid.hex, at);
    }
}

/* As process_is_own(), but no when that list is full: nobody's hello may get lost for that. */
static bool announces_ours(const struct process *p, const struct address *addr)
{
    unsigned count = atomic_load_explicit(&p->own_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        if (address_equal(&p->own[i], addr)) {
            return true;
        }
    }
    return false;
}

static void deliver_hello(struct shard *s, struct group_host *gh, const struct hello *hello)
{
    if (group_find_sentinel(gh->sg.group, &hello->runid) == NULL &&
        !peer_has_room(s, &hello->runid)) {
        atomic_fetch_add_explicit(&s->process->counters.hostile_ignored, 1, memory_order_relaxed);
        return;
    }
    struct hello resolved = *hello;
    if (!names_hello(s, gh->sg.group, &resolved)) {
        return;
    }
    struct group_event ev = {.kind = GROUP_HELLO, .now = s->now, .hello = &resolved};
    shard_step(s, gh, &ev);
}

void route_hello(struct shard *s, const struct hello *hello, struct group_host *from)
{
    struct process *p = s->process;
    struct group_host *gh = from;

    if (runid_equal(&hello->runid, &p->myid)) {
        own_hello(s, hello);
        return;
    }
    if (announces_ours(p, &hello->sentinel)) {
        return; /* a former life of ours, from before its disk was lost: it is no peer */
    }
    if (gh == NULL || strcmp(gh->sg.group->name, hello->name) != 0) {
        uint32_t gid = directory_find(p->directory, hello->name, strlen(hello->name));
        if (gid == DIRECTORY_NONE || !directory_alive(p->directory, gid)) {
            return; /* not a master of ours: not an error (protocol.md §4.1) */
        }
        unsigned owner = directory_owner(p->directory, gid);
        if (owner != s->index) {
            struct letter letter = {.kind = LETTER_HELLO, .gid = gid};
            letter.u.hello.sentinel = hello->sentinel;
            letter.u.hello.master = hello->master;
            letter.u.hello.runid = hello->runid;
            letter.u.hello.current_epoch = hello->current_epoch;
            letter.u.hello.config_epoch = hello->config_epoch;
            letter_send(p, s->index, owner, &letter, POST_LAZY);
            return;
        }
        gh = shard_group_host(s, gid);
    }
    if (gh != NULL) {
        deliver_hello(s, gh, hello);
    }
}

bool shard_hello(struct shard *s, const char *text, size_t len)
{
    struct hello hello;
    s->counters.hellos++;
    if (!hello_parse(&hello, text, len, s->tunables->resolve_hostnames ? HOST_ASKED : HOST_NONE)) {
        atomic_fetch_add_explicit(&s->process->counters.hellos_ignored, 1, memory_order_relaxed);
        return false;
    }
    route_hello(s, &hello, NULL);
    return true;
}

static void hello_letter(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh == NULL) {
        return;
    }
    struct hello hello = {.sentinel = letter->u.hello.sentinel,
                          .runid = letter->u.hello.runid,
                          .current_epoch = letter->u.hello.current_epoch,
                          .master = letter->u.hello.master,
                          .config_epoch = letter->u.hello.config_epoch};
    memcpy(hello.name, gh->sg.group->name, strlen(gh->sg.group->name) + 1);
    deliver_hello(s, gh, &hello);
}

/* --- being asked ------------------------------------------------------------------------------ */

bool shard_asked(struct shard *s, const struct address *addr, uint64_t epoch,
                 const struct runid *runid, const char *client_name, const struct address *from,
                 struct reply_to to, bool *down, struct runid *leader, uint64_t *leader_epoch)
{
    struct process *p = s->process;
    struct group_view view;
    struct address asked_about = *addr;
    uint32_t gid = directory_find_address(p->directory, addr);
    if (gid == DIRECTORY_NONE && addr->host != NULL) {
        names_asked(s, &asked_about); /* the asker knows by a name what we know by its ip */
        gid = directory_find_address(p->directory, &asked_about);
    }

    *down = false;
    *leader = (struct runid){0};
    *leader_epoch = 0;
    if (gid == DIRECTORY_NONE || !directory_read(p->directory, gid, &view)) {
        return false;
    }
    *down = view.s_down && !atomic_load_explicit(&p->tilt, memory_order_acquire);
    *leader = view.leader;
    *leader_epoch = view.leader_epoch;

    struct letter asked = {.kind = LETTER_ASKED, .gid = gid};
    asked.u.asked.from = *from;
    /* After a gap it may be old: not named, it only makes the owner probe. Decided here, as the
     * owner may have had its first turn after the gap already. */
    if (!s->env.after_gap && !s->env.tilt) {
        if (runid != NULL) {
            asked.u.asked.runid = *runid;
        }
        if (strlen(client_name) == 21 && strncmp(client_name, "sentinel-", 9) == 0 &&
            strcmp(client_name + 17, "-cmd") == 0) {
            memcpy(asked.u.asked.tag, client_name + 9, 8);
        }
    }
    letter_send(p, s->index, directory_owner(p->directory, gid), &asked, POST_GOSSIP);
    if (runid == NULL || runid_equal(runid, &p->myid)) { /* our own vote is never another's */
        *leader = (struct runid){0};
        *leader_epoch = 0;
        return false;
    }
    if (post_spilled(p->post, s->index, process_elector(p)) >= LIMIT_LANE_SPILL) {
        return false; /* the elector's disk hangs: more questions would only wait in memory */
    }
    assert(to.host[1] >> REPLY_TO_SHARD_SHIFT == 0);
    struct letter letter = {.kind = LETTER_BALLOT, .gid = gid};
    letter.u.ballot = (struct ballot){
        .kind = BALLOT_REQUEST, .gid = gid, .epoch = epoch, .runid = *runid, .u.reply_to = to};
    letter.u.ballot.u.reply_to.host[1] |= (uint64_t)s->index << REPLY_TO_SHARD_SHIFT;
    letter_send(p, s->index, process_elector(p), &letter, POST_MUST);
    return true;
}

/* Who asked: the id in the request, or the connection's name if it fits exactly one sentinel that
 * lives where the connection comes from (design.md §4.7). */
static struct instance *asker(const struct group *g, const struct letter *letter)
{
    if (runid_known(&letter->u.asked.runid)) {
        return group_find_sentinel(g, &letter->u.asked.runid);
    }
    struct instance *found = NULL;
    if (letter->u.asked.tag[0] == '\0') {
        return NULL;
    }
    for (uint32_t i = 0; i < g->sentinel_count; i++) {
        struct instance *inst = g->sentinels[i];
        if (strncmp(inst->runid.hex, letter->u.asked.tag, 8) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = inst;
        }
    }
    return found != NULL && strcmp(found->addr.ip, letter->u.asked.from.ip) == 0 ? found : NULL;
}

static void asked_letter(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh != NULL) {
        struct group_event ev = {
            .kind = GROUP_ASKED, .now = s->now, .inst = asker(gh->sg.group, letter)};
        shard_step(s, gh, &ev);
    }
}

/* --- moved and replaced sentinels ------------------------------------------------------------- */

/* Sends it to the next shard, and home after the last. */
static void pass_on(struct shard *s, struct letter *letter)
{
    unsigned next = (s->index + 1) % s->process->options.shards;
    letter_send(s->process, s->index, next, letter, POST_MUST);
}

void route_moved(struct shard *s, struct group_host *gh, const struct action *a)
{
    struct letter letter = {
        .kind = a->kind == ACTION_MOVED ? LETTER_MOVED : LETTER_INVALID,
        .gid = gh->sg.group->gid,
    };
    letter.u.moved.runid = a->u.runid;
    letter.u.moved.addr = a->addr;
    letter.u.moved.from_gid = gh->sg.group->gid;
    letter.u.moved.home = (uint16_t)s->index;
    letter.u.moved.visits = 0;
    /* By mail also to itself: a step is being carried out. */
    letter_send(s->process, s->index, s->index, &letter, POST_MUST);
}

static void moved_letter(struct shard *s, const struct letter *in)
{
    struct letter letter = *in;
    if (letter.u.moved.visits < s->process->options.shards) {
        letter.u.moved.visits++;
        letter.u.moved.count += peer_moved(s, &letter);
        pass_on(s, &letter);
        return;
    }
    assert(letter.u.moved.home == s->index);
    struct group_host *gh = shard_group_host(s, letter.gid);
    if (letter.kind == LETTER_MOVED && letter.u.moved.count > 0 && gh != NULL) {
        const struct group *g = gh->sg.group;
        shard_event(s, EVENT_SENTINEL_ADDRESS_UPDATE,
                    "sentinel %s %s %u @ %s %s %u %u additional matching instances",
                    letter.u.moved.runid.hex, address_host(&letter.u.moved.addr, s->env.names),
                    (unsigned)letter.u.moved.addr.port, g->name,
                    address_host(&g->master->addr, s->env.names), (unsigned)g->master->addr.port,
                    (unsigned)letter.u.moved.count);
    }
}

/* --- everything ------------------------------------------------------------------------------- */

static void outcome_letter(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh == NULL) {
        return;
    }
    /* The elector published it before it sent the outcome. */
    s->env.current_epoch = atomic_load_explicit(&s->process->current_epoch, memory_order_acquire);
    struct group_event ev = {.kind = GROUP_OUTCOME, .now = s->now, .outcome = &letter->u.outcome};
    shard_step(s, gh, &ev);
}

static void note_letter(struct shard *s, const struct letter *letter)
{
    const struct note *note = letter->u.note;
    const struct event_note shown = {
        .channel = event_name(note->type), .text = note->text, .text_len = note->len};
    s->process->admin->event(s->admin, &shown);
    note_release(letter->u.note);
}

static void tunables_letter(struct shard *s, const struct letter *letter)
{
    struct tunables *old = s->tunables;
    s->tunables = letter->u.tunables;
    s->env.periods = s->tunables->periods;
    s->env.names = s->tunables->announce_hostnames;
    if (strcmp(old->sentinel_user, s->tunables->sentinel_user) != 0 ||
        strcmp(old->sentinel_pass, s->tunables->sentinel_pass) != 0) {
        peer_reconnect_all(s);
    }
    free(old);
}

static void vote_letter(struct shard *s, const struct letter *letter)
{
    struct vote_reply reply = letter->u.vote;
    reply.to.host[1] &= ((uint64_t)1 << REPLY_TO_SHARD_SHIFT) - 1;
    s->process->admin->vote(s->admin, &reply);
}

void shard_letter(struct shard *s, const struct letter *letter)
{
    if (peer_letter(s, letter)) {
        return;
    }
    switch (letter->kind) {
    case LETTER_OUTCOME:
        outcome_letter(s, letter);
        break;
    case LETTER_VOTE:
        vote_letter(s, letter);
        break;
    case LETTER_HELLO:
        hello_letter(s, letter);
        break;
    case LETTER_ASKED:
        asked_letter(s, letter);
        break;
    case LETTER_RESOLVED:
        names_letter(s, letter);
        break;
    case LETTER_LINK_LOST:
        server_lost(s, letter);
        break;
    case LETTER_MOVED:
    case LETTER_INVALID:
        moved_letter(s, letter);
        break;
    case LETTER_NOTE:
        note_letter(s, letter);
        break;
    case LETTER_REQUEST:
        letter->u.request->step(letter->u.request, s);
        break;
    case LETTER_TUNABLES:
        tunables_letter(s, letter);
        break;
    case LETTER_STOP:
        s->stopping = true;
        break;
    default:
        assert(false && "a letter that no shard takes");
    }
}
