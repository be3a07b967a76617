/* Peers: one link for each other sentinel in the whole process (protocol.md §2), owned by one
 * shard, used by the groups of all. */
#include "run/shard_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t runid_hash(const struct runid *id)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *p = id->hex; *p != '\0'; p++) {
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    }
    return h ^ (h >> 31);
}

/* --- as this shard's groups see it ----------------------------------------------------------- */

static struct peer_view *view_find(struct shard *s, const struct runid *id)
{
    struct peer_view *v = s->peers[runid_hash(id) % PEER_BUCKETS];
    while (v != NULL && !runid_equal(&v->runid, id)) {
        v = v->next;
    }
    return v;
}

static struct peer_view *view_make(struct shard *s, const struct runid *id)
{
    struct peer_view *v = view_find(s, id);
    if (v != NULL) {
        return v;
    }
    uint64_t hash = runid_hash(id);
    v = calloc(1, sizeof *v);
    if (v == NULL) {
        abort();
    }
    v->runid = *id;
    v->owner = (unsigned)((hash >> 8) % s->process->options.shards);
    v->live.reply_ok = v->live.reply_any = s->now;
    v->next = s->peers[hash % PEER_BUCKETS];
    s->peers[hash % PEER_BUCKETS] = v;
    s->peer_count++;
    return v;
}

/* The last group has left, and none has come back. By mail, as the view may be in use when its last
 * member goes. */
static void view_gone(struct shard *s, const struct runid *id)
{
    struct peer_view **at = &s->peers[runid_hash(id) % PEER_BUCKETS];
    while (*at != NULL && !runid_equal(&(*at)->runid, id)) {
        at = &(*at)->next;
    }
    struct peer_view *v = *at;
    if (v != NULL && v->member_count == 0) {
        *at = v->next;
        s->peer_count--;
        free(v->members);
        free(v);
    }
}

bool peer_has_room(struct shard *s, const struct runid *id)
{
    return view_find(s, id) != NULL ||
           (s->peer_count < LIMIT_PEERS &&
            atomic_load_explicit(&s->process->peers, memory_order_relaxed) < LIMIT_PEERS);
}

static void send_peer(struct shard *s, uint16_t kind, uint32_t gid, const struct peer_view *v,
                      enum post_class class)
{
    struct letter letter = {.kind = kind, .gid = gid};
    letter.u.peer.runid = v->runid;
    letter.u.peer.addr = v->addr;
    letter.u.peer.groups = v->member_count;
    letter_send(s->process, s->index, v->owner, &letter, class);
}

void peer_join(struct shard *s, struct group_host *gh, struct instance *inst)
{
    struct member *member = inst->host;
    struct peer_view *v = view_make(s, &inst->runid);

    if (member == NULL) {
        member = calloc(1, sizeof *member);
        if (member == NULL) {
            abort();
        }
        member->gh = gh;
        member->inst = inst;
        member->peer = v;
        if (v->member_count == v->member_cap) {
            uint32_t cap = v->member_cap > 0 ? 2 * v->member_cap : 8;
            struct member **members = realloc(v->members, cap * sizeof(struct member *));
            if (members == NULL) {
                abort();
            }
            v->members = members;
            v->member_cap = cap;
        }
        member->index = v->member_count;
        v->members[v->member_count++] = member;
        inst->host = member;
    }
    assert(member->peer == v);
    v->addr = inst->addr;
    send_peer(s, LETTER_PEER_JOIN, 0, v, POST_MUST);
    /* The link stands already: the group is told by mail, as its step is still being carried out.
     */
    if (v->live.cmd_up) {
        struct letter letter = {.kind = LETTER_PEER_GREET, .gid = gh->sg.group->gid};
        letter.u.peer.runid = v->runid;
        letter_send(s->process, s->index, s->index, &letter, POST_MUST);
    }
}

void peer_leave(struct shard *s, struct instance *inst)
{
    struct member *member = inst->host;
    if (member == NULL) {
        return;
    }
    struct peer_view *v = member->peer;
    struct member *last = v->members[--v->member_count];
    v->members[member->index] = last;
    last->index = member->index;
    free(member);
    inst->host = NULL;
    if (v->member_count == 0) {
        v->live.cmd_up = false;
        send_peer(s, LETTER_PEER_LEAVE, 0, v, POST_MUST);
        struct letter letter = {.kind = LETTER_PEER_GONE};
        letter.u.peer.runid = v->runid;
        letter_send(s->process, s->index, s->index, &letter, POST_MUST);
    } else {
        send_peer(s, LETTER_PEER_JOIN, 0, v, POST_MUST);
    }
}

void peer_hello(struct shard *s, struct group_host *gh, struct instance *inst)
{
    const struct member *member = inst->host;
    if (member != NULL && member->peer->live.cmd_up) {
        send_peer(s, LETTER_PEER_HELLO, gh->sg.group->gid, member->peer, POST_LAZY);
    }
}

void peer_ask(struct shard *s, struct group_host *gh, const struct action *a)
{
    const struct member *member = a->inst->host;
    if (member == NULL) {
        return;
    }
    struct letter letter = {.kind = LETTER_PEER_ASK, .gid = gh->sg.group->gid};
    letter.u.peer.runid = member->peer->runid;
    letter.u.peer.addr = a->addr;
    letter.u.peer.epoch = a->epoch;
    letter.u.peer.vote = a->vote;
    letter_send(s->process, s->index, member->peer->owner, &letter, POST_MUST);
}

/* Tells a group how the link to its sentinel is. */
static void tell_group(struct shard *s, uint32_t gid, const struct runid *id)
{
    struct group_host *gh = shard_group_host(s, gid);
    struct instance *inst = gh != NULL ? group_find_sentinel(gh->sg.group, id) : NULL;
    if (inst != NULL && inst->host != NULL) {
        const struct member *member = inst->host;
        struct group_event ev = {
            .kind = GROUP_PEER, .now = s->now, .inst = inst, .live = &member->peer->live};
        shard_step(s, gh, &ev);
    }
}

/* The gids of a peer's groups, so that stepping them may change the list of members. Malloc'd. */
static uint32_t *view_gids(const struct peer_view *v)
{
    uint32_t *gids = malloc((v->member_count + 1) * sizeof *gids);
    if (gids == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < v->member_count; i++) {
        gids[i] = v->members[i]->gh->sg.group->gid;
    }
    return gids;
}

/* The owner of the link tells how it is. Groups hear of it only when it matters to them: their
 * number must not make a PONG expensive. */
static void view_state(struct shard *s, const struct letter *letter)
{
    struct peer_view *v = view_find(s, &letter->u.state.runid);
    if (v == NULL) {
        return;
    }
    bool tell = letter->u.state.tell_groups || v->live.cmd_up != letter->u.state.live.cmd_up;
    v->live = letter->u.state.live;
    v->pending = letter->u.state.pending;
    v->refcount = letter->u.state.refcount;
    if (tell) {
        uint32_t count = v->member_count, *gids = view_gids(v);
        for (uint32_t i = 0; i < count; i++) {
            tell_group(s, gids[i], &letter->u.state.runid);
        }
        free(gids);
    }
}

/* --- moved and replaced sentinels ------------------------------------------------------------- */

static void step_moved(struct shard *s, const struct letter *letter, uint32_t gid)
{
    struct group_event ev = {.kind = letter->kind == LETTER_MOVED ? GROUP_SENTINEL_MOVED
                                                                  : GROUP_SENTINEL_INVALID,
                             .now = s->now,
                             .runid = letter->u.moved.runid,
                             .addr = letter->u.moved.addr};
    shard_step(s, shard_group_host(s, gid), &ev);
}

/* Tells the groups that know v and are concerned; returns how many. MOVED: v is the sentinel that
 * moved; INVALID: v is another than the one that is at addr now. */
static uint32_t tell_moved(struct shard *s, const struct letter *letter, const struct peer_view *v)
{
    bool moved = letter->kind == LETTER_MOVED;
    uint32_t count = 0, members = v->member_count, *gids = view_gids(v);
    const struct runid id = v->runid;

    for (uint32_t i = 0; i < members; i++) {
        const struct group_host *gh = shard_group_host(s, gids[i]);
        const struct instance *inst = group_find_sentinel(gh->sg.group, &id);
        if (gids[i] != letter->u.moved.from_gid && inst != NULL &&
            address_equal(&inst->addr, &letter->u.moved.addr) != moved) {
            step_moved(s, letter, gids[i]);
            count++;
        }
    }
    free(gids);
    return count;
}

uint32_t peer_moved(struct shard *s, const struct letter *letter)
{
    if (letter->kind == LETTER_MOVED) {
        const struct peer_view *v = view_find(s, &letter->u.moved.runid);
        return v != NULL ? tell_moved(s, letter, v) : 0;
    }
    uint32_t count = 0;
    for (unsigned b = 0; b < PEER_BUCKETS; b++) {
        /* No view comes or goes meanwhile: what leaves is freed by mail, and nobody joins. */
        for (const struct peer_view *v = s->peers[b]; v != NULL; v = v->next) {
            if (!runid_equal(&v->runid, &letter->u.moved.runid)) {
                count += tell_moved(s, letter, v);
            }
        }
    }
    return count;
}

/* --- what it answers -------------------------------------------------------------------------- */

/* Of the address a peer was asked about: an answer about another than the group's present master
 * says nothing about that one. */
static uint32_t asked_tag(const struct address *addr)
{
    uint64_t hash = address_hash(addr);
    return (uint32_t)(hash ^ hash >> 32);
}

static void view_answer(struct shard *s, const struct letter *letter)
{
    struct group_host *gh = shard_group_host(s, letter->gid);
    if (gh == NULL) {
        return;
    }
    struct instance *inst = group_find_sentinel(gh->sg.group, &letter->u.answer.runid);
    if (inst == NULL || letter->u.answer.asked != asked_tag(&gh->sg.group->master->addr)) {
        return;
    }
    struct group_event ev = {.kind = GROUP_ANSWER,
                             .now = s->now,
                             .inst = inst,
                             .down = letter->u.answer.down,
                             .runid = letter->u.answer.leader,
                             .epoch = letter->u.answer.epoch};
    shard_step(s, gh, &ev);
}

/* --- the link, on the shard that owns it ------------------------------------------------------ */

static struct peer_link *link_find(struct shard *s, const struct runid *id)
{
    struct peer_link *p = s->peer_links[runid_hash(id) % PEER_BUCKETS];
    while (p != NULL && !runid_equal(&p->runid, id)) {
        p = p->next;
    }
    return p;
}

static uint32_t link_refcount(const struct peer_link *p)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < p->shard->process->options.shards; i++) {
        sum += p->groups[i];
    }
    return sum;
}

/* Each group may have its LIMIT_LINK_PENDING commands on the shared link. */
static unsigned pending_max(const struct peer_link *p)
{
    uint32_t groups = link_refcount(p);
    return LIMIT_LINK_PENDING * (groups > 0 ? groups : 1);
}

static void tell_some(struct peer_link *p, uint64_t whom, bool tell_groups)
{
    struct shard *s = p->shard;
    struct letter letter = {.kind = LETTER_PEER_STATE};
    letter.u.state.runid = p->runid;
    letter.u.state.live = p->live;
    letter.u.state.pending = p->link != NULL ? link_pending(p->link) : 0;
    letter.u.state.refcount = link_refcount(p);
    letter.u.state.tell_groups = tell_groups;
    for (unsigned i = 0; i < s->process->options.shards; i++) {
        if ((whom & ((uint64_t)1 << i)) != 0) {
            letter_send(s->process, s->index, i, &letter, POST_MUST);
        }
    }
}

static void tell_shards(struct peer_link *p, bool tell_groups)
{
    tell_some(p, p->joined, tell_groups);
}

/* When the link must be looked at again: next PING, suspicion, silence, or a reconnection. */
static void peer_schedule(struct peer_link *p)
{
    struct shard *s = p->shard;
    const struct periods *periods = &s->env.periods;
    ms_t at = MS_NEVER;

    if (p->link == NULL) {
        at = p->live.cmd_tried + periods->ping;
    } else if (p->live.cmd_up) {
        at = p->next_ping;
        if (p->live.ping_pending != 0 && !p->told_suspect) {
            ms_t suspect = p->live.ping_pending + PEER_SUSPECT + 1;
            at = suspect < at ? suspect : at;
        }
    }
    shard_timer_set(s, &p->timer, at > s->now ? at : s->now + 1);
}

/* Whether this process itself listens where the link has led. */
static bool listens_at(const struct process_options *o, const struct address *at)
{
    bool found = o->bind_count == 0;
    for (unsigned i = 0; i < o->bind_count; i++) {
        found |= strcmp(o->bind[i], at->ip) == 0 || strcmp(o->bind[i], "0.0.0.0") == 0 ||
                 strcmp(o->bind[i], "::") == 0;
    }
    return found && at->port != 0 && (at->port == o->port || at->port == o->tls_port);
}

/* A peer that announces our own address, by mistake or malice: we would give ourselves its vote. */
static bool leads_to_ourselves(const struct peer_link *p)
{
    struct address local;
    return link_local(p->link, &local) && strcmp(local.ip, p->addr.ip) == 0 &&
           listens_at(&p->shard->process->options, &p->addr);
}

static void peer_close(struct peer_link *p)
{
    if (p->link != NULL) {
        link_close(p->link);
        p->link = NULL;
        shard_link_gone(p->shard);
    }
    p->live.cmd_up = p->live.cmd_opening = false;
}

static void peer_up(void *owner)
{
    struct peer_link *p = owner;
    struct shard *s = p->shard;
    if (leads_to_ourselves(p)) {
        if (!p->told_ours) {
            p->told_ours = true;
            shard_log(s, EVENT_WARNING,
                      "the sentinel %s announces my own address %s:%u: it counts as unreachable",
                      p->runid.hex, address_host(&p->addr, s->env.names), (unsigned)p->addr.port);
        }
        peer_close(p);
        peer_schedule(p);
        return;
    }
    p->live.cmd_up = true;
    p->live.cmd_opening = false;
    p->live.cmd_since = p->live.link_activity = s->now;
    p->live.ping_sent = s->now; /* the greeting's */
    if (p->live.ping_pending == 0) {
        p->live.ping_pending = p->live.reply_ok; /* as of masters: rules/down.c */
    }
    p->next_ping = s->now + s->env.periods.ping;
    p->told_suspect = true; /* the groups see a PING pending: they must hear of its answer */
    (void)link_command(p->link, TAG_MYID, 0, 2, (const char *[]){"SENTINEL", "MYID"}, NULL);
    tell_shards(p, true);
    peer_schedule(p);
}

/* -cmd-link-reconnection is told in the name of one group that knows the peer, on whatever shard.
 */
static void tell_stillborn(struct peer_link *p, const char *why)
{
    struct shard *s = p->shard;
    struct letter letter = {.kind = LETTER_PEER_STILLBORN};
    int error = s->tunables->loglevel == EVENT_DEBUG ? link_stillborn(why) : 0;
    if (error == 0 || p->joined == 0) {
        return;
    }
    letter.u.peer.runid = p->runid;
    letter.u.peer.epoch = (uint64_t)error;
    letter_send(s->process, s->index, (unsigned)__builtin_ctzll(p->joined), &letter, POST_GOSSIP);
}

static void view_stillborn(struct shard *s, const struct letter *letter)
{
    const struct peer_view *v = view_find(s, &letter->u.peer.runid);
    if (v != NULL && v->member_count > 0) {
        const struct member *member = v->members[0];
        link_stillborn_event(s, member->gh, member->inst, LINK_CMD, (int)letter->u.peer.epoch);
    }
}

static void peer_down(void *owner, const char *why)
{
    struct peer_link *p = owner;
    bool was_up = p->live.cmd_up;
    link_failed(p->shard, why);
    if (!was_up) {
        tell_stillborn(p, why);
    }
    p->link = NULL;
    p->live.cmd_up = p->live.cmd_opening = false;
    shard_link_gone(p->shard);
    if (was_up) {
        p->told_suspect = true;
        tell_shards(p, true);
        /* A peer that restarts is back soon: one try at once, then once a ping-period. */
        p->live.cmd_tried = p->shard->now - p->shard->env.periods.ping;
    }
    peer_schedule(p);
}

static void ask_answered(struct peer_link *p, uint64_t arg, const redisReply *reply)
{
    struct shard *s = p->shard;
    uint32_t gid = (uint32_t)arg;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_INTEGER) {
        return;
    }
    struct letter letter = {.kind = LETTER_PEER_ANSWER, .gid = gid};
    letter.u.answer.runid = p->runid;
    letter.u.answer.asked = (uint32_t)(arg >> 32);
    letter.u.answer.down = reply->element[0]->integer == 1;
    if (reply->element[2]->integer >= 0 &&
        runid_parse(&letter.u.answer.leader, reply->element[1]->str,
                    (size_t)reply->element[1]->len)) {
        letter.u.answer.epoch = (uint64_t)reply->element[2]->integer;
    } else if (reply->element[2]->integer > 0) {
        /* "*" with an epoch: a voter that does not know any more whom it voted for */
        letter.u.answer.epoch = (uint64_t)reply->element[2]->integer;
    }
    if (gid < directory_count(s->process->directory)) {
        letter_send(s->process, s->index, directory_owner(s->process->directory, gid), &letter,
                    POST_MUST);
    }
}

/* Addresses change hands. Whoever lives there now must not answer in this peer's name: one process
 * would give two votes, or we one to ourselves. Replies keep their order, so this one comes before
 * any answer. An error (an old server does not know the command) proves nothing. */
static void id_answered(struct peer_link *p, const redisReply *reply)
{
    struct shard *s = p->shard;
    struct runid id;
    if (reply->type != REDIS_REPLY_STRING || !runid_parse(&id, reply->str, (size_t)reply->len) ||
        runid_equal(&id, &p->runid)) {
        return;
    }
    char at[ADDRESS_TEXT];
    address_format(&p->addr, at);
    shard_log(s, EVENT_VERBOSE, "%s is at %s now, not %s: link closed", id.hex, at, p->runid.hex);
    link_close(p->link);
    p->link = NULL;
    shard_link_gone(s);
    p->live.cmd_up = p->live.cmd_opening = false;
    p->live.cmd_tried = s->now; /* again in a ping-period; a hello may bring its address before */
    p->told_suspect = true;
    tell_shards(p, true);
    peer_schedule(p);
}

static void peer_reply(void *owner, uint8_t tag, uint64_t arg, const redisReply *reply)
{
    struct peer_link *p = owner;
    struct shard *s = p->shard;

    s->counters.link_replies++;
    p->live.link_activity = s->now;
    if (tag == TAG_MYID) {
        id_answered(p, reply);
        return;
    }
    if (tag == TAG_PING || tag == LINK_TAG_GREETING_PING) {
        bool valid = liveness_pong(&p->live, ping_reply_of(reply), s->now);
        bool relief = valid && p->told_suspect;
        if (relief) {
            p->told_suspect = false;
        }
        tell_shards(p, relief);
        peer_schedule(p);
    } else if (tag == TAG_ASK) {
        ask_answered(p, arg, reply);
    }
}

static const struct link_ops peer_ops = {.up = peer_up, .reply = peer_reply, .down = peer_down};

static void peer_open(struct peer_link *p)
{
    struct shard *s = p->shard;
    const struct tunables *t = s->tunables;
    struct link_options options;

    assert(p->link == NULL);
    if (p->addr.host != NULL && t->resolve_hostnames) {
        (void)resolver_fill(s->process->resolver, &p->addr, s->now);
    }
    link_options_fill(s, &options, &p->addr, LINK_CMD);
    options.peer = true;
    options.pending_max = pending_max(p);
    if (t->sentinel_pass[0] != '\0') {
        options.auth_user = t->sentinel_user;
        options.auth_pass = t->sentinel_pass;
    } else if (s->process->options.requirepass[0] != '\0') {
        options.auth_pass = s->process->options.requirepass;
    }
    p->live.cmd_tried = s->now;
    p->live.cmd_opening = true;
    p->link = shard_link_open(s, &options, &peer_ops, p);
}

void peer_tick(struct shard *s, struct peer_link *p)
{
    const struct periods *periods = &s->env.periods;

    if (p->link == NULL) {
        if (p->addr.port != 0 && s->now - p->live.cmd_tried >= periods->ping) {
            peer_open(p);
        }
    } else if (p->live.cmd_up) {
        /* The least of the groups' down-after is not known here: the default serves, silence of a
         * shared link is judged by min-link-reconnect-period anyway. */
        if (liveness_cmd_stale(&p->live, periods, periods->default_down_after, s->now)) {
            peer_close(p);
            p->told_suspect = true;
            tell_shards(p, true);
            peer_open(p);
        } else if (p->live.ping_pending != 0 && !p->told_suspect &&
                   s->now - p->live.ping_pending > PEER_SUSPECT) {
            p->told_suspect = true;
            tell_shards(p, true);
        }
        if (p->live.cmd_up && s->now >= p->next_ping) {
            p->next_ping = s->now + periods->ping;
            if (link_command(p->link, TAG_PING, 0, 1, (const char *[]){"PING"}, NULL)) {
                p->live.ping_sent = s->now;
                if (p->live.ping_pending == 0) {
                    p->live.ping_pending = s->now;
                }
            }
        }
    }
    peer_schedule(p);
}

/* Closes the link and forgets the peer. */
static void peer_free(struct peer_link *p)
{
    struct shard *s = p->shard;
    struct peer_link **at = &s->peer_links[runid_hash(&p->runid) % PEER_BUCKETS];
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    peer_close(p);
    heap_remove(&s->heap, &p->timer.node);
    atomic_fetch_sub_explicit(&s->process->peers, 1, memory_order_relaxed);
    free(p);
}

static void link_join(struct shard *s, const struct letter *letter, unsigned from)
{
    struct peer_link *p = link_find(s, &letter->u.peer.runid);
    if (p == NULL) {
        uint64_t hash = runid_hash(&letter->u.peer.runid);
        p = calloc(1, sizeof *p);
        if (p == NULL) {
            abort();
        }
        p->timer.kind = TIMER_PEER;
        p->shard = s;
        p->runid = letter->u.peer.runid;
        p->addr = letter->u.peer.addr;
        p->live.reply_ok = p->live.reply_any = s->now;
        p->live.cmd_tried = s->now - s->env.periods.ping;
        p->next = s->peer_links[hash % PEER_BUCKETS];
        s->peer_links[hash % PEER_BUCKETS] = p;
        atomic_fetch_add_explicit(&s->process->peers, 1, memory_order_relaxed);
    }
    /* Who joins learns how the link is, also that it is down: what it knew may be of a link that
     * ended unseen. */
    const uint64_t joining = (uint64_t)1 << from;
    uint64_t news = ~p->joined & joining;
    p->joined |= joining;
    p->groups[from] = letter->u.peer.groups;
    if (p->link != NULL) {
        link_set_pending_max(p->link, pending_max(p));
    }
    /* Of one name the link itself knows best what it stands for. */
    if (!address_equal(&p->addr, &letter->u.peer.addr)) {
        peer_close(p);
        p->addr = letter->u.peer.addr;
        p->live.cmd_tried = s->now - s->env.periods.ping;
        p->told_suspect = true;
        news = p->joined;
        p->told_ours = false;
    }
    if (news != 0) {
        tell_some(p, news, true);
    }
    peer_tick(s, p);
}

static void link_leave(struct shard *s, const struct letter *letter, unsigned from)
{
    struct peer_link *p = link_find(s, &letter->u.peer.runid);
    if (p != NULL) {
        p->joined &= ~((uint64_t)1 << from);
        p->groups[from] = 0;
        if (p->joined == 0) {
            peer_free(p);
        }
    }
}

static void link_hello(struct shard *s, const struct letter *letter)
{
    struct peer_link *p = link_find(s, &letter->u.peer.runid);
    char text[LIMIT_HELLO + 1];
    if (p != NULL && p->live.cmd_up && hello_render(s, letter->gid, p->link, text) > 0) {
        s->counters.link_commands++;
        (void)link_command(p->link, TAG_PUBLISH, letter->gid, 3,
                           (const char *[]){"PUBLISH", "__sentinel__:hello", text}, NULL);
    }
}

static void link_ask(struct shard *s, const struct letter *letter)
{
    struct peer_link *p = link_find(s, &letter->u.peer.runid);
    if (p == NULL || !p->live.cmd_up) {
        return;
    }
    char port[8], epoch[24];
    (void)snprintf(port, sizeof port, "%u", (unsigned)letter->u.peer.addr.port);
    (void)snprintf(epoch, sizeof epoch, "%" PRIu64, letter->u.peer.epoch);
    const char *argv[] = {"SENTINEL",
                          "is-master-down-by-addr",
                          address_host(&letter->u.peer.addr, s->env.names),
                          port,
                          epoch,
                          letter->u.peer.vote ? s->process->myid.hex : "*"};
    s->counters.link_commands++;
    uint64_t arg = letter->gid | (uint64_t)asked_tag(&letter->u.peer.addr) << 32;
    (void)link_command(p->link, TAG_ASK, arg, 6, argv, NULL);
}

bool peer_letter(struct shard *s, const struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_PEER_JOIN:
        link_join(s, letter, letter->from);
        return true;
    case LETTER_PEER_LEAVE:
        link_leave(s, letter, letter->from);
        return true;
    case LETTER_PEER_HELLO:
        link_hello(s, letter);
        return true;
    case LETTER_PEER_ASK:
        link_ask(s, letter);
        return true;
    case LETTER_PEER_STATE:
        view_state(s, letter);
        return true;
    case LETTER_PEER_STILLBORN:
        view_stillborn(s, letter);
        return true;
    case LETTER_PEER_GREET:
        tell_group(s, letter->gid, &letter->u.peer.runid);
        return true;
    case LETTER_PEER_GONE:
        view_gone(s, &letter->u.peer.runid);
        return true;
    case LETTER_PEER_ANSWER:
        view_answer(s, letter);
        return true;
    default:
        return false;
    }
}

void peer_reconnect_all(struct shard *s)
{
    for (unsigned b = 0; b < PEER_BUCKETS; b++) {
        for (struct peer_link *p = s->peer_links[b]; p != NULL; p = p->next) {
            if (p->link != NULL) {
                peer_close(p);
                tell_shards(p, true);
                peer_open(p);
                peer_schedule(p);
            }
        }
    }
}

void peers_free(struct shard *s)
{
    for (unsigned b = 0; b < PEER_BUCKETS; b++) {
        while (s->peers[b] != NULL) {
            struct peer_view *v = s->peers[b];
            s->peers[b] = v->next;
            free(v->members);
            free(v);
        }
        while (s->peer_links[b] != NULL) {
            peer_free(s->peer_links[b]);
        }
    }
}
