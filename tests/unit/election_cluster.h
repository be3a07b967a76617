/* A few elections wired to each other through a bad network, with crashes, failing disks and
 * REMOVE/MONITOR, all from one seed; the owners of the groups are played in a few lines. It looks
 * for two votes in an epoch, two leaders of an epoch, epochs that go back, and groups that nobody
 * ever comes to lead. The simulator (tests/sim) does this with everything real around it; this one
 * is small enough to debug an election with. */
#pragma once

#include "election_fixture.h"

#define NODES    5
#define GROUPS   4
#define EPOCHS   4096
#define MESSAGES 8192
#define FAULTS   20000  /* ms of faults, */
#define PATIENCE 120000 /* and of peace, after which every group must have been led */

enum message_kind { MESSAGE_REQUEST, MESSAGE_ANSWER, MESSAGE_HELLO };

struct message {
    enum message_kind kind;
    ms_t at;
    uint32_t from, to, gid;
    uint64_t epoch, config, heard;
    struct runid leader;
};

struct group_state { /* what a node's shard and disk know of a group */
    bool wished, asking, leading;
    ms_t next_ask, next_wish, promotes;
    uint64_t attempt_epoch;
    uint64_t config;                  /* adopted */
    uint64_t disk_voted, disk_config; /* journalled */
    struct runid disk_leader;
    bool disk_has_votes;
};

struct node {
    struct bench b;
    bool up;
    ms_t back_at, next_hello;
    uint64_t disk_epoch, shown_epoch;
    bool down[NODES]; /* told to the election: that peer is s_down */
    ms_t heard_at[NODES];
    struct group_state groups[GROUPS];
};

struct cluster {
    struct prng prng;
    uint32_t nodes;
    ms_t now;
    bool faulty;                          /* still in the time of faults */
    uint64_t loss, crash, refuse, remove; /* per 10,000 */
    bool cut[NODES][NODES];
    struct node node[NODES];
    struct message queue[MESSAGES];
    size_t queued;
    char votes[NODES][GROUPS][EPOCHS]; /* whom a released vote named */
    char leaders[GROUPS][EPOCHS];
    const char *wrong;
    uint64_t seed;
};

#define COMPLAIN(c, what)                                                                          \
    do {                                                                                           \
        if (!(c)->wrong)                                                                           \
            (c)->wrong = __FILE__ ":" LINE_OF(__LINE__) ": " what;                                 \
    } while (0)

static inline bool chance(struct cluster *c, uint64_t per_10000)
{
    return prng_below(&c->prng, 10000) < per_10000;
}

static inline ms_t draw(struct cluster *c, ms_t from, ms_t to)
{
    return from + (ms_t)prng_below(&c->prng, (uint64_t)(to - from) + 1);
}

static inline char name_of(uint32_t node)
{
    return (char)('a' + node);
}

static inline void post(struct cluster *c, struct message m)
{
    if (c->cut[m.from][m.to] || (c->faulty && chance(c, c->loss)))
        return;
    int copies = c->faulty && chance(c, c->loss / 2) ? 2 : 1;
    for (; copies > 0 && c->queued < MESSAGES; copies--) {
        m.at = c->now + draw(c, 1, c->faulty ? 30 : 5);
        c->queue[c->queued++] = m;
    }
}

static inline void note_vote(struct cluster *c, uint32_t voter, uint32_t gid,
                             const struct runid *leader, uint64_t epoch)
{
    if (!runid_known(leader) || epoch >= EPOCHS)
        return;
    char *known = &c->votes[voter][gid][epoch];
    if (*known && *known != leader->hex[0])
        COMPLAIN(c, "two votes of one sentinel for one master in one epoch");
    *known = leader->hex[0];
}

static inline void ask_around(struct cluster *c, uint32_t n, uint32_t gid)
{
    struct group_state *g = &c->node[n].groups[gid];
    for (uint32_t to = 0; to < c->nodes; to++) {
        if (to != n)
            post(c, (struct message){.kind = MESSAGE_REQUEST,
                                     .from = n,
                                     .to = to,
                                     .gid = gid,
                                     .epoch = g->attempt_epoch});
    }
    g->next_ask = c->now + c->node[n].b.env.periods.ask;
}

static inline void hello(struct cluster *c, uint32_t n)
{
    struct node *node = &c->node[n];
    node->next_hello = c->now + node->b.env.periods.publish;
    for (uint32_t to = 0; to < c->nodes; to++) {
        for (uint32_t gid = 0; to != n && gid < GROUPS; gid++)
            post(c, (struct message){.kind = MESSAGE_HELLO,
                                     .from = n,
                                     .to = to,
                                     .gid = gid,
                                     .epoch = node->shown_epoch,
                                     .config = node->groups[gid].config});
    }
}

static inline void release_outcome(struct cluster *c, uint32_t n, const struct outcome *o)
{
    struct node *node = &c->node[n];
    struct group_state *g = &node->groups[o->gid];
    switch (o->kind) {
    case OUTCOME_NEW_EPOCH:
        if (o->epoch <= node->shown_epoch)
            COMPLAIN(c, "current_epoch did not grow");
        node->shown_epoch = o->epoch;
        break;
    case OUTCOME_STARTED:
        g->wished = false;
        g->asking = true;
        g->attempt_epoch = o->epoch;
        note_vote(c, n, o->gid, &o->leader, o->epoch);
        ask_around(c, n, o->gid);
        break;
    case OUTCOME_ELECTED:
        if (o->epoch >= EPOCHS)
            break;
        if (c->leaders[o->gid][o->epoch] && c->leaders[o->gid][o->epoch] != name_of(n))
            COMPLAIN(c, "two leaders of one master in one epoch");
        c->leaders[o->gid][o->epoch] = name_of(n);
        g->leading = true;
        g->promotes = c->now + draw(c, 20, 800);
        break;
    case OUTCOME_LOST:
        g->asking = g->leading = g->wished = false;
        g->next_wish = c->now + draw(c, 200, 2000);
        break;
    case OUTCOME_VOTED:
        if (!g->leading)
            g->asking = false; /* our round is dropped, and those we asked must be let go */
        note_vote(c, n, o->gid, &o->leader, o->epoch);
        break;
    case OUTCOME_CONFIG:
        if (o->epoch < g->config)
            COMPLAIN(c, "a config epoch went back");
        g->config = o->epoch;
        g->wished = g->asking = g->leading = false;
        say(&node->b, BALLOT_CANCEL, o->gid);
        say(&node->b, BALLOT_END, o->gid);
        hello(c, n);
        break;
    case OUTCOME_FRESH:
        break;
    }
}

static inline void to_disk(struct node *node)
{
    for (size_t i = 0; i < node->b.up.record_count; i++) {
        const struct record *r = &node->b.up.records[i];
        struct group_state *g = &node->groups[r->gid];
        if (r->kind == RECORD_CURRENT_EPOCH) {
            node->disk_epoch = r->epoch;
        } else if (r->kind == RECORD_VOTE) {
            g->disk_has_votes = true;
            g->disk_voted = r->epoch;
            g->disk_leader = r->runid;
        } else if (r->kind == RECORD_CONFIG) {
            g->disk_config = r->epoch;
        }
    }
}

static inline void add_members(struct cluster *c, uint32_t n, uint32_t gid)
{
    for (uint32_t peer = 0; peer < c->nodes; peer++) {
        if (peer != n)
            member(&c->node[n].b, BALLOT_MEMBER_ADD, gid, name_of(peer));
        if (peer != n && c->node[n].down[peer])
            member(&c->node[n].b, BALLOT_MEMBER_DOWN, gid, name_of(peer));
    }
}

static inline void boot(struct cluster *c, uint32_t n)
{
    struct node *node = &c->node[n];
    bench_open_with(&node->b, node->disk_epoch, false, prng_next(&c->prng));
    node->b.env.myid = id_of(name_of(n));
    election_free(node->b.election);
    node->b.election =
        election_new(&node->b.env, node->disk_epoch, false, prng_next(&c->prng), c->now);
    node->b.now = c->now;
    node->up = true;
    node->next_hello = c->now + draw(c, 0, 2000);
    if (node->disk_epoch < node->shown_epoch)
        COMPLAIN(c, "an epoch was shown that a crash could take back");
    for (uint32_t peer = 0; peer < c->nodes; peer++) {
        node->heard_at[peer] = c->now;
        node->down[peer] = false;
    }
    for (uint32_t gid = 0; gid < GROUPS; gid++) {
        struct group_state *g = &node->groups[gid];
        *g = (struct group_state){.config = g->disk_config,
                                  .disk_config = g->disk_config,
                                  .disk_voted = g->disk_voted,
                                  .disk_leader = g->disk_leader,
                                  .disk_has_votes = g->disk_has_votes,
                                  .next_wish = c->now + draw(c, 0, 300)};
        put(&node->b, (struct ballot){.kind = BALLOT_ADD,
                                      .gid = gid,
                                      .epoch = g->disk_voted,
                                      .leader = g->disk_leader,
                                      .u.terms = {.quorum = 2,
                                                  .has_votes = g->disk_has_votes,
                                                  .failover_timeout = FAILOVER_TIMEOUT,
                                                  .config_epoch = g->disk_config}});
        add_members(c, n, gid);
    }
}

static inline void crash(struct cluster *c, uint32_t n)
{
    bench_close(&c->node[n].b);
    c->node[n].up = false;
    c->node[n].back_at = c->now + draw(c, 500, 8000);
}

/* The end of a pass: made durable or not, released; or the process dies in between. */
static inline void finish(struct cluster *c, uint32_t n)
{
    struct node *node = &c->node[n];
    struct bench *b = &node->b;
    for (int again = 0; again < 3; again++) { /* outcomes make ballots */
        uint64_t before = election_current_epoch(b->election);
        pass(b);
        if (election_current_epoch(b->election) < before)
            COMPLAIN(c, "current_epoch went back");
        if (c->faulty && chance(c, c->crash)) {
            if (chance(c, 5000))
                to_disk(node); /* durable, but nobody was told */
            crash(c, n);
            return;
        }
        bool ok = !(c->faulty && chance(c, c->refuse));
        if (ok)
            to_disk(node);
        durable(b, ok);
        struct election_update up = b->up;
        election_update_init(&b->up);
        for (size_t i = 0; i < up.outcome_count; i++)
            release_outcome(c, n, &up.outcomes[i]);
        for (size_t i = 0; i < up.reply_count; i++) {
            const struct vote_reply *r = &up.replies[i];
            note_vote(c, n, r->gid, &r->leader, r->epoch);
            post(c, (struct message){.kind = MESSAGE_ANSWER,
                                     .from = n,
                                     .to = (uint32_t)r->to.host[0],
                                     .gid = r->gid,
                                     .epoch = r->epoch,
                                     .heard = node->shown_epoch,
                                     .leader = r->leader});
        }
        election_update_free(&up);
    }
}

static inline void deliver(struct cluster *c, const struct message *m)
{
    struct node *node = &c->node[m->to];
    if (!node->up)
        return;
    struct ballot ballot = {.gid = m->gid, .epoch = m->epoch, .runid = id_of(name_of(m->from))};
    node->b.now = c->now;
    node->heard_at[m->from] = c->now;
    if (m->kind == MESSAGE_REQUEST) {
        ballot.kind = BALLOT_REQUEST;
        ballot.u.reply_to.host[0] = m->from;
    } else if (m->kind == MESSAGE_ANSWER) {
        ballot.kind = BALLOT_ANSWER;
        ballot.leader = m->leader;
        ballot.u.heard = m->heard;
    } else {
        ballot.kind = BALLOT_EPOCH;
        if (m->config > node->groups[m->gid].config)
            config(&node->b, m->gid, m->config, "10.0.0.1");
    }
    put(&node->b, ballot);
    finish(c, m->to);
}

/* What a node's shard does by itself at its time. */
static inline void tend(struct cluster *c, uint32_t n)
{
    struct node *node = &c->node[n];
    struct bench *b = &node->b;
    if (!node->up) {
        if (c->now >= node->back_at)
            boot(c, n);
        return;
    }
    b->now = c->now;
    if (c->now >= node->next_hello)
        hello(c, n);
    for (uint32_t peer = 0; peer < c->nodes; peer++) {
        bool down = c->now - node->heard_at[peer] > 5000;
        for (uint32_t gid = 0; peer != n && down != node->down[peer] && gid < GROUPS; gid++)
            member(b, down ? BALLOT_MEMBER_DOWN : BALLOT_MEMBER_UP, gid, name_of(peer));
        node->down[peer] = down;
    }
    for (uint32_t gid = 0; gid < GROUPS; gid++) {
        struct group_state *g = &node->groups[gid];
        if (g->asking && c->now >= g->next_ask)
            ask_around(c, n, gid);
        if (g->config == 0 && !g->wished && !g->asking && c->now >= g->next_wish) {
            g->wished = true;
            want(b, gid, false);
        }
        if (g->leading && c->now >= g->promotes) {
            g->leading = false;
            config(b, gid, g->attempt_epoch, "10.0.0.1");
        }
        if (c->faulty && chance(c, c->remove)) {
            g->wished = g->asking = g->leading = false;
            g->config = g->disk_config = 0;
            say(b, BALLOT_REMOVE, gid);
            add_group(b, gid, "");
            add_members(c, n, gid);
        }
    }
    finish(c, n);
}

static inline bool everybody_agrees(const struct cluster *c)
{
    for (uint32_t n = 0; n < c->nodes; n++) {
        for (uint32_t gid = 0; gid < GROUPS; gid++) {
            if (!c->node[n].up || c->node[n].groups[gid].config == 0 ||
                c->node[n].groups[gid].config != c->node[0].groups[gid].config)
                return false;
        }
    }
    return true;
}

static inline void cut_links(struct cluster *c)
{
    for (uint32_t from = 0; from < c->nodes; from++) {
        for (uint32_t to = 0; to < c->nodes; to++)
            c->cut[from][to] = c->faulty && chance(c, 1500); /* one way */
    }
}

static inline void deliver_due(struct cluster *c)
{
    for (size_t i = 0; i < c->queued;) {
        if (c->queue[i].at > c->now) {
            i++;
            continue;
        }
        struct message m = c->queue[i];
        c->queue[i] = c->queue[--c->queued];
        deliver(c, &m);
    }
}

/* NULL, or what went wrong. *took: ms from the end of the faults until all agreed. */
static inline const char *cluster_run(uint64_t seed, bool faults, ms_t *took)
{
    struct cluster *c = calloc(1, sizeof *c);
    assert_non_null(c);
    prng_seed(&c->prng, seed);
    c->seed = seed;
    c->nodes = (uint32_t)draw(c, 2, NODES);
    c->now = START;
    c->loss = chance(c, 5000) ? prng_below(&c->prng, 2000) : 0;
    c->crash = chance(c, 5000) ? prng_below(&c->prng, 30) : 0;
    c->refuse = chance(c, 3000) ? prng_below(&c->prng, 3000) : 0;
    c->remove = chance(c, 3000) ? prng_below(&c->prng, 100) : 0;
    bool cuts = chance(c, 3000);
    for (uint32_t n = 0; n < c->nodes; n++)
        boot(c, n);
    ms_t quiet = START + (faults ? FAULTS : 0);
    for (; c->now < quiet + PATIENCE && !c->wrong; c->now++) {
        c->faulty = c->now < quiet;
        if (cuts && (c->now - START) % 2000 == 0)
            cut_links(c);
        deliver_due(c);
        for (uint32_t n = 0; n < c->nodes; n++) {
            if (!c->node[n].up || (c->now - START) % 10 == n ||
                election_next_deadline(c->node[n].b.election) <= c->now)
                tend(c, n);
        }
        if (!c->faulty && everybody_agrees(c))
            break;
    }
    if (!c->wrong && !everybody_agrees(c))
        COMPLAIN(c, "a group was never led");
    *took = c->now - quiet;
    const char *wrong = c->wrong;
    for (uint32_t n = 0; n < c->nodes; n++) {
        if (c->node[n].up)
            bench_close(&c->node[n].b);
    }
    free(c);
    return wrong;
}
