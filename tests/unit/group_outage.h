/* A group in the middle of an outage: how the tests of attempts and failovers begin. */
#pragma once

#include "group_world.h"

#define ID_A     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C     "cccccccccccccccccccccccccccccccccccccccc"
#define MASTER   "master mymaster 127.0.0.1 7000"
#define REPLICA1 "slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000"
#define REPLICA2 "slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7000"
#define REPLICA3 "slave 127.0.0.1:7003 127.0.0.1 7003 @ mymaster 127.0.0.1 7000"

/* Everybody says the master is down; the elector is the test's, unless auto_elect. */
static inline void outage(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    world_settled(w, replicas, peers, quorum);
    for (uint32_t i = 0; i < peers; i++)
        w->peers[i].says_down = true;
    kill_server(w, 0);
}

/* ... and the wish is out. */
static inline void wished(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    outage(w, replicas, peers, quorum);
    run_until(w, 27000);
    assert_true(w->g->fo.wished);
    forget_lines(w);
}

/* ... and we are asking for votes, with epoch 1. */
static inline void attempting(struct world *w, uint32_t replicas, uint32_t peers, uint32_t quorum)
{
    wished(w, replicas, peers, quorum);
    outcome(w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    assert_int_equal(w->g->fo.state, FAILOVER_WAIT_START);
    forget_lines(w);
}

/* ... and the promoted replica 1 or 2 has not become master yet. */
static inline void promoting(struct world *w, uint32_t replicas)
{
    attempting(w, replicas, 1, 2);
    for (uint32_t i = 1; i <= replicas; i++)
        w->servers[i].no_promote = true;
    outcome(w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    assert_int_equal(w->g->fo.state, FAILOVER_WAIT_PROMOTION);
    assert_ptr_equal(w->g->fo.promoted, inst_of(w, 1));
    forget_lines(w);
}

/* ... and it is master, the others follow `slowly`. */
static inline void reconfiguring(struct world *w, uint32_t replicas)
{
    promoting(w, replicas);
    for (uint32_t i = 1; i <= replicas; i++) {
        w->servers[i].no_promote = false;
        w->servers[i].no_exec = i != 1;
    }
    w->servers[1].role = ROLE_MASTER;
    give_info(w, inst_of(w, 1));
    assert_int_equal(w->g->fo.state, FAILOVER_RECONF_SLAVES);
    forget_lines(w);
}

static inline uint32_t count(const struct world *w, const char *start)
{
    uint32_t n = 0;
    for (size_t i = 0; i < w->line_count; i++)
        n += strncmp(w->lines[i], start, strlen(start)) == 0;
    return n;
}
