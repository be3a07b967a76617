/* Heartbeats, s_down, o_down, evidence and life of a group (protocol.md §3; design.md §4.7). */
#include "group_world.h"

/* --- s_down ------------------------------------------------------------------------------ */

static void silent_master(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.show |= SHOW_TIME;
    w.servers[0].deaf = true;
    run_for(&w, 1100);
    const ms_t pending = w.g->master->live.ping_pending;
    assert_int_not_equal(pending, 0);
    char line[100];
    run_until(&w, pending + w.set.down_after - w.start);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    snprintf(line, sizeof(line), "[%lld] +sdown master mymaster 127.0.0.1 7000",
             (long long)(pending + w.set.down_after + 1 - w.start));
    EXPECT(&w, line);
    assert_true(group_urgent(w.g));
    /* The first PONG ends it, without a tick. */
    w.servers[0].deaf = false;
    w.now += 3;
    step(&w, (struct group_event){.kind = GROUP_PONG, .inst = w.g->master, .ping = PING_LOADING});
    snprintf(line, sizeof(line), "[%lld] -sdown master mymaster 127.0.0.1 7000",
             (long long)(w.now - w.start));
    EXPECT(&w, line);
    assert_int_equal(w.g->master->sdown_since, 0);
    assert_int_equal(w.g->master->down_until, w.now);
    assert_false(group_urgent(w.g));
    world_end(&w);
}

static void refused_master(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    const ms_t last = w.g->master->live.reply_ok;
    kill_server(&w, 0);
    run_until(&w, last + w.set.down_after - w.start);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    EXPECT(&w, "+sdown master mymaster 127.0.0.1 7000");
    /* It comes back: the next try to connect, at most a ping-period later, ends it. */
    w.servers[0].alive = true;
    run_for(&w, 1000);
    EXPECT(&w, "-sdown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

/* Accepted and reset, over and over: every connection brings a PING, none brings a PONG. */
static void flapping_master(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    const ms_t last = w.g->master->live.reply_ok;
    w.servers[0].deaf = true;
    while (w.now + 100 < last + w.set.down_after) {
        link_down(&w, w.g->master, LINK_CMD);
        step(&w,
             (struct group_event){.kind = GROUP_LINK_UP, .inst = w.g->master, .link = LINK_CMD});
        w.show = SHOW_EVENT;
        run_for(&w, 100);
    }
    EXPECT_NOTHING(&w);
    run_until(&w, last + w.set.down_after - w.start + 1);
    EXPECT(&w, "+sdown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

static void invalid_replies(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.servers[0].deaf = true;
    for (int i = 0; i < 12; i++) {
        run_for(&w, 1000);
        step(&w, (struct group_event){.kind = GROUP_PONG, .inst = w.g->master, .ping = PING_ERROR});
    }
    EXPECT(&w, "+sdown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

static void busy_script_is_killed_once(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 2);
    struct instance *replica = inst_of(&w, 1);
    const struct group_event busy = {.kind = GROUP_PONG, .inst = replica, .ping = PING_BUSY};
    w.servers[1].deaf = true;
    run_for(&w, 3000);
    step(&w, busy); /* not s_down yet */
    EXPECT_NOTHING(&w);
    run_for(&w, 5000);
    step(&w, busy);
    step(&w, busy);
    EXPECT(&w, "+sdown slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000",
           "script-kill 7001");
    w.servers[1].deaf = false;
    run_for(&w, 1000);
    EXPECT(&w, "-sdown slave 127.0.0.1:7001 127.0.0.1 7001 @ mymaster 127.0.0.1 7000");
    assert_false(replica->flags & FLAG_SCRIPT_KILL_SENT);
    world_end(&w);
}

static void master_that_says_slave(void **state)
{
    struct world w;
    world_settled(&w, 0, 0, 2);
    w.show |= SHOW_TIME;
    w.servers[0].role = ROLE_REPLICA;
    give_info(&w, w.g->master);
    run_until(&w, 44999);
    EXPECT(&w, "[20000] -role-change master mymaster 127.0.0.1 7000 new reported role is slave");
    run_until(&w, 46000);
    EXPECT(&w, "[45001] +sdown master mymaster 127.0.0.1 7000"); /* 5 s + 2 x 10 s */
    /* A PONG is no cure. */
    w.servers[0].role = ROLE_MASTER;
    give_info(&w, w.g->master);
    EXPECT(&w, "[46000] +role-change master mymaster 127.0.0.1 7000 new reported role is master",
           "[46000] -sdown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

static void rebooted_master(void **state)
{
    struct world w;
    world_init(&w, 0, 0, 2);
    w.set.reboot_down_after = 2000;
    world_start(&w, NULL);
    run_until(&w, 20000);
    forget_lines(&w);
    w.show |= SHOW_TIME;
    w.servers[0].runid = id_of('f');
    w.servers[0].deaf = true; /* it loads: +LOADING is valid, but no +PONG */
    give_info(&w, w.g->master);
    for (int i = 0; i < 20; i++) {
        run_for(&w, 100);
        step(&w,
             (struct group_event){.kind = GROUP_PONG, .inst = w.g->master, .ping = PING_LOADING});
    }
    EXPECT(&w, "[20000] +reboot master mymaster 127.0.0.1 7000");
    run_for(&w, 1);
    EXPECT(&w, "[22001] +sdown master mymaster 127.0.0.1 7000");
    step(&w, (struct group_event){.kind = GROUP_PONG, .inst = w.g->master, .ping = PING_LOADING});
    EXPECT_NOTHING(&w);
    step(&w, (struct group_event){.kind = GROUP_PONG, .inst = w.g->master, .ping = PING_PONG});
    EXPECT(&w, "[22001] -sdown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

static void sentinel_down(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.show |= SHOW_TIME;
    struct instance *b = sent_of(&w, 0);
    struct liveness live = b->live;
    live.ping_pending = w.now;
    step(&w, (struct group_event){.kind = GROUP_PEER, .inst = b, .live = &live});
    run_until(&w, 25000);
    EXPECT_NOTHING(&w);
    run_until(&w, 26000);
    EXPECT(&w,
           "[25001] +sdown sentinel bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 127.0.0.1 26380 @ "
           "mymaster 127.0.0.1 7000",
           "[25001] ballot member-down b");
    bool quorum, majority;
    assert_int_equal(group_usable(w.g, &quorum, &majority), 1);
    assert_false(quorum);
    assert_false(majority);
    give_peer(&w, 0);
    EXPECT(&w,
           "[26000] -sdown sentinel bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 127.0.0.1 26380 @ "
           "mymaster 127.0.0.1 7000",
           "[26000] ballot member-up b");
    assert_int_equal(group_usable(w.g, &quorum, &majority), 2);
    assert_true(quorum);
    assert_true(majority);
    world_end(&w);
}

static void tilt_changes_nothing(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 1);
    w.env.tilt = true;
    w.servers[0].deaf = w.servers[1].deaf = true;
    w.peers[0].says_down = true;
    run_until(&w, 60000);
    EXPECT_NOTHING(&w);
    /* It goes on listening: links, PING, INFO and hello go out. */
    assert_true(w.now - w.g->master->live.ping_sent <= 1000);
    w.env.tilt = false;
    run_for(&w, 1000);
    assert_true(seen(&w, "+sdown master"));
    assert_true(seen(&w, "+odown master"));
    assert_true(seen(&w, "+sdown slave"));
    /* What ended in TILT ends after it. */
    w.env.tilt = true;
    w.servers[0].deaf = w.servers[1].deaf = false;
    forget_lines(&w);
    run_for(&w, 5000);
    assert_false(seen(&w, "-sdown"));
    w.env.tilt = false;
    run_for(&w, 1000);
    assert_true(seen(&w, "-sdown master"));
    assert_true(seen(&w, "-odown master"));
    world_end(&w);
}

/* --- o_down ------------------------------------------------------------------------------ */

static void quorum_of_answers(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    w.show = SHOW_EVENT | SHOW_ASK | SHOW_BALLOT | SHOW_TIME;
    w.env.current_epoch = 9;
    w.env.muted = true; /* no attempt in this test */
    kill_server(&w, 0);
    w.peers[0].says_down = true;
    const ms_t down = w.g->master->live.reply_ok + 5001 - w.start;
    char line[4][100];
    run_until(&w, down);
    snprintf(line[0], 100, "[%lld] +sdown master mymaster 127.0.0.1 7000", (long long)down);
    snprintf(line[1], 100, "[%lld] ask b 7000 9", (long long)down);
    snprintf(line[2], 100, "[%lld] ask c 7000 9", (long long)down);
    snprintf(line[3], 100, "[%lld] +odown master mymaster 127.0.0.1 7000 #quorum 2/2",
             (long long)down);
    EXPECT(&w, line[0], line[1], line[2], line[3]);
    /* Asked again after an ask-period. */
    run_for(&w, 999);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    snprintf(line[1], 100, "[%lld] ask b 7000 9", (long long)down + 1000);
    snprintf(line[2], 100, "[%lld] ask c 7000 9", (long long)down + 1000);
    EXPECT(&w, line[1], line[2]);
    /* It takes it back. */
    w.peers[0].says_down = false;
    run_for(&w, 1000);
    assert_true(seen(&w, "[2"));
    assert_false(w.g->master->flags & FLAG_O_DOWN);
    world_end(&w);
}

static void evidence_is_forgotten(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.show = SHOW_EVENT | SHOW_TIME;
    w.env.muted = true;
    kill_server(&w, 0);
    w.peers[0].says_down = true;
    run_until(&w, 30000);
    assert_true(w.g->master->flags & FLAG_O_DOWN);
    forget_lines(&w);
    w.peers[0].silent = true;
    const ms_t last = sent_of(&w, 0)->peer->down_reply_at;
    run_until(&w, last + 5000 - w.start);
    EXPECT_NOTHING(&w);
    run_for(&w, 1);
    char line[100];
    snprintf(line, sizeof(line), "[%lld] -odown master mymaster 127.0.0.1 7000",
             (long long)(last + 5001 - w.start));
    EXPECT(&w, line);
    assert_false(sent_of(&w, 0)->flags & FLAG_MASTER_DOWN);
    world_end(&w);
}

static void wish_ends_with_o_down(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    kill_server(&w, 0);
    w.peers[0].says_down = true;
    run_until(&w, 30000);
    EXPECT(&w, "+sdown master mymaster 127.0.0.1 7000",
           "+odown master mymaster 127.0.0.1 7000 #quorum 2/2", "ballot want");
    w.peers[0].says_down = false;
    run_until(&w, 32000);
    EXPECT(&w, "-odown master mymaster 127.0.0.1 7000", "ballot cancel");
    assert_false(w.g->fo.wished);
    /* The attempt had begun meanwhile: it is cancelled again, and nothing shows. */
    outcome(&w, (struct outcome){.kind = OUTCOME_STARTED, .epoch = 1, .round = 1});
    EXPECT(&w, "ballot cancel");
    outcome(&w, (struct outcome){.kind = OUTCOME_ELECTED, .epoch = 1});
    EXPECT(&w, "ballot end");
    outcome(&w, (struct outcome){.kind = OUTCOME_LOST, .epoch = 1, .reason = LOST_CANCELLED});
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void being_asked_is_evidence(void **state)
{
    struct world w;
    world_settled(&w, 0, 2, 2);
    w.show = SHOW_EVENT | SHOW_SEND;
    w.env.muted = true;
    kill_server(&w, 0);
    w.peers[0].silent = w.peers[1].silent = true;
    run_until(&w, 26000);
    assert_true(seen(&w, "+sdown master"));
    forget_lines(&w);
    struct group_event asked = {.kind = GROUP_ASKED, .inst = sent_of(&w, 0)};
    w.env.after_gap = true;
    step(&w, asked);
    w.env.after_gap = false;
    w.env.tilt = true;
    step(&w, asked);
    w.env.tilt = false;
    EXPECT_NOTHING(&w);
    step(&w, asked);
    EXPECT(&w, "+odown master mymaster 127.0.0.1 7000 #quorum 2/2");
    /* Never twice with its own answer. */
    step(&w, (struct group_event){.kind = GROUP_ANSWER, .inst = asked.inst, .down = true});
    EXPECT_NOTHING(&w);
    step(&w, (struct group_event){.kind = GROUP_ANSWER, .inst = asked.inst, .down = false});
    EXPECT(&w, "-odown master mymaster 127.0.0.1 7000");
    /* Nobody knows who asks: no evidence. */
    asked.inst = NULL;
    step(&w, asked);
    EXPECT_NOTHING(&w);
    world_end(&w);
}

static void being_asked_makes_us_probe(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.show = SHOW_SEND;
    const struct group_event asked = {.kind = GROUP_ASKED};
    run_for(&w, 500);
    w.now = w.g->master->live.ping_sent + 200;
    forget_lines(&w);
    step(&w, asked);
    EXPECT(&w, "send 7000 ping");
    step(&w, asked); /* at once again: not even if the PONG is there */
    EXPECT_NOTHING(&w);
    w.servers[0].deaf = true;
    w.now += 200;
    step(&w, asked);
    EXPECT(&w, "send 7000 ping");
    w.now += 200;
    step(&w, asked); /* one is pending */
    EXPECT_NOTHING(&w);
    world_end(&w);
}

/* --- settings, life ---------------------------------------------------------------------- */

static void settings_take_effect_at_once(void **state)
{
    struct world w;
    world_settled(&w, 0, 1, 2);
    w.env.muted = true;
    w.servers[0].deaf = true;
    run_for(&w, 4000);
    EXPECT_NOTHING(&w);
    struct group_settings set = w.set;
    set.down_after = 1000;
    set.quorum = 1;
    step(&w, (struct group_event){.kind = GROUP_SET, .settings = &set});
    EXPECT(&w, "ballot set quorum 1 config-epoch 0", "+sdown master mymaster 127.0.0.1 7000",
           "+odown master mymaster 127.0.0.1 7000 #quorum 1/1");
    set.quorum = 2;
    step(&w, (struct group_event){.kind = GROUP_SET, .settings = &set});
    EXPECT(&w, "ballot set quorum 2 config-epoch 0", "-odown master mymaster 127.0.0.1 7000");
    world_end(&w);
}

static void stop_gives_everything_back(void **state)
{
    struct world w;
    world_settled(&w, 1, 1, 2);
    w.show = SHOW_EVENT | SHOW_BALLOT | SHOW_LINK;
    update_clear(&w.up);
    group_stop(w.g, w.now, &w.up);
    assert_true(w.up.view_changed);
    for (size_t i = 0; i < w.up.count; i++) {
        show_action(&w, &w.up.actions[i]);
        if (w.up.actions[i].kind == ACTION_FORGET)
            instance_free(w.up.actions[i].inst);
    }
    EXPECT(&w, "ballot remove", "-monitor master mymaster 127.0.0.1 7000", "forget 7001",
           "forget b", "forget 7000");
    assert_int_equal(group_next_deadline(w.g), MS_NEVER);
    assert_false(group_urgent(w.g));
    struct group_view view;
    group_view(w.g, &view);
    assert_int_equal(view.replicas + view.sentinels, 0);
    world_end(&w);
}

/* Something happens to a server, to us, or by command. */
static void walk_server(struct world *w, struct prng *p, uint64_t what)
{
    const uint32_t which = (uint32_t)prng_below(p, w->server_count);
    struct server *server = &w->servers[which];
    switch (what) {
    case 0:
        kill_server(w, which);
        break;
    case 1:
        server->alive = true;
        break;
    case 2:
        server->deaf = !server->deaf;
        break;
    case 3:
        server->no_exec = prng_below(p, 3) == 0;
        server->fail_exec = prng_below(p, 3) == 0;
        server->no_promote = prng_below(p, 3) == 0;
        server->sync_slow = prng_below(p, 3) == 0;
        break;
    case 4:
        w->env.tilt = prng_below(p, 4) == 0;
        w->env.muted = prng_below(p, 6) == 0;
        break;
    case 5:
        (void)command_failover(w);
        break;
    case 6:
        if (prng_below(p, 4) == 0)
            step(w, (struct group_event){.kind = GROUP_RESET});
        break;
    default:
        server->role = prng_below(p, 3) == 0 ? ROLE_MASTER : ROLE_REPLICA;
    }
}

/* Something comes from a peer or from the elector. */
static void walk_others(struct world *w, struct prng *p, uint64_t what)
{
    struct server *server = &w->servers[prng_below(p, w->server_count)];
    struct peer *peer = w->peer_count > 0 ? &w->peers[prng_below(p, w->peer_count)] : NULL;
    struct hello hello;
    switch (what) {
    case 7:
        step(w, (struct group_event){.kind = GROUP_RECONNECT});
        break;
    case 8:
    case 9:
        if (peer == NULL)
            break;
        hello = hello_of(w, (uint32_t)(peer - w->peers));
        if (prng_below(p, 3) == 0) {
            hello.master = server->addr;
            hello.config_epoch = w->g->config_epoch + prng_below(p, 3);
        }
        give_hello(w, &hello);
        break;
    case 10:
        if (peer != NULL) {
            peer->says_down = !peer->says_down;
            peer->grants = prng_below(p, 3) != 0;
            peer->alive = prng_below(p, 4) != 0;
            if (group_find_sentinel(w->g, &peer->runid) != NULL)
                give_peer(w, (uint32_t)(peer - w->peers));
        }
        break;
    case 12:
        outcome(w, (struct outcome){.kind = OUTCOME_LOST,
                                    .reason = (enum lost_reason)prng_below(p, 3),
                                    .epoch = w->g->fo.epoch,
                                    .unreachable = prng_below(p, 2) == 0});
        break;
    case 13:
        outcome(w, (struct outcome){.kind = OUTCOME_VOTED,
                                    .leader = id_of('b'),
                                    .epoch = w->env.current_epoch + 1});
        break;
    case 14:
        outcome(w, (struct outcome){.kind = OUTCOME_FRESH, .epoch = w->env.current_epoch + 1});
        break;
    default:
        w->auto_config = prng_below(p, 3) != 0;
        if (w->auto_config && w->g->commit.pending)
            outcome(w, (struct outcome){.kind = OUTCOME_CONFIG,
                                        .epoch = w->g->commit.epoch,
                                        .addr = w->g->commit.addr});
    }
}

/* Anything in any order: no assertion fails, nothing loops, time always goes on. */
static void random_walk(void **state)
{
    struct prng p;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        prng_seed(&p, seed);
        world_init(&w, 1 + (uint32_t)prng_below(&p, 4), (uint32_t)prng_below(&p, 4), 1);
        w.set.quorum = 1 + (uint32_t)prng_below(&p, 2);
        w.set.failover_timeout = 3000 + (ms_t)prng_below(&p, 20000);
        w.set.down_after = 500 + (ms_t)prng_below(&p, 5000);
        w.auto_elect = prng_below(&p, 4) != 0;
        w.show = 0;
        world_start(&w, NULL);
        for (int i = 0; i < 600; i++) {
            uint64_t what = prng_below(&p, 16);
            if (what <= 6 || what == 11) {
                walk_server(&w, &p, what);
            } else {
                walk_others(&w, &p, what);
            }
            run_for(&w, (ms_t)prng_below(&p, 3000));
        }
        world_end(&w);
    }
}

static void the_view_says_it(void **state)
{
    struct world w;
    struct group_view view;
    world_settled(&w, 0, 1, 2);
    w.env.muted = true;
    w.peers[0].says_down = true;
    kill_server(&w, 0);
    run_for(&w, 7000);
    group_view(w.g, &view);
    assert_true(view.s_down);
    assert_true(view.o_down);
    assert_int_not_equal(w.g->master->server->odown_since, 0);
    w.servers[0].alive = true;
    run_for(&w, 1000);
    group_view(w.g, &view);
    assert_false(view.s_down);
    assert_false(view.o_down);
    assert_int_equal(w.g->master->server->odown_since, 0);
    assert_int_equal(w.g->master->down_until, w.g->master->live.reply_ok);
    /* What the peer said is gone with its time. */
    sent_of(&w, 0)->peer->leader = id_of('c');
    run_for(&w, 6000);
    assert_false(sent_of(&w, 0)->flags & FLAG_MASTER_DOWN);
    assert_false(runid_known(&sent_of(&w, 0)->peer->leader));
    assert_string_equal(failover_state_name(FAILOVER_NONE), "none");
    assert_string_equal(failover_state_name(FAILOVER_WAIT_START), "wait_start");
    assert_string_equal(failover_state_name(FAILOVER_SELECT_SLAVE), "select_slave");
    assert_string_equal(failover_state_name(FAILOVER_SEND_SLAVEOF_NOONE), "send_slaveof_noone");
    assert_string_equal(failover_state_name(FAILOVER_WAIT_PROMOTION), "wait_promotion");
    assert_string_equal(failover_state_name(FAILOVER_RECONF_SLAVES), "reconf_slaves");
    assert_string_equal(failover_state_name(FAILOVER_UPDATE_CONFIG), "update_config");
    world_end(&w);
}

/* Periods shorter than the ping-period (SENTINEL DEBUG) are kept too. */

static void times_of_down(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    kill_server(&w, 1);
    run_for(&w, 7000);
    struct instance *replica = inst_of(&w, 1);
    assert_true(replica->flags & FLAG_S_DOWN);
    assert_int_equal(replica->sdown_since, replica->live.reply_ok + 5001);
    /* What INFO says of announcing is kept. */
    static struct info info;
    info = info_of(&w, &w.servers[1]);
    info.announced = false;
    step(&w, (struct group_event){.kind = GROUP_INFO, .inst = replica, .info = &info});
    assert_false(replica->server->announced);
    world_end(&w);
}

static void the_verdict_is_announced(void **state)
{
    struct world w;
    world_settled(&w, 1, 0, 1);
    kill_server(&w, 0);
    run_for(&w, 1500);
    const ms_t at = group_verdict_at(w.g);
    assert_true(at > w.now && at <= w.now + w.g->set.down_after);
    w.env.tilt = true;
    assert_int_equal(group_verdict_at(w.g), MS_NEVER);
    w.env.tilt = false;
    run_until(&w, at - 1 - w.start);
    assert_false(w.g->master->flags & FLAG_S_DOWN);
    run_until(&w, at - w.start);
    assert_true(w.g->master->flags & FLAG_S_DOWN);
    assert_int_equal(group_verdict_at(w.g), MS_NEVER);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_verdict_is_announced),
        cmocka_unit_test(silent_master),
        cmocka_unit_test(refused_master),
        cmocka_unit_test(flapping_master),
        cmocka_unit_test(invalid_replies),
        cmocka_unit_test(busy_script_is_killed_once),
        cmocka_unit_test(master_that_says_slave),
        cmocka_unit_test(rebooted_master),
        cmocka_unit_test(sentinel_down),
        cmocka_unit_test(tilt_changes_nothing),
        cmocka_unit_test(quorum_of_answers),
        cmocka_unit_test(evidence_is_forgotten),
        cmocka_unit_test(wish_ends_with_o_down),
        cmocka_unit_test(being_asked_is_evidence),
        cmocka_unit_test(being_asked_makes_us_probe),
        cmocka_unit_test(settings_take_effect_at_once),
        cmocka_unit_test(stop_gives_everything_back),
        cmocka_unit_test(random_walk),
        cmocka_unit_test(the_view_says_it),
        cmocka_unit_test(times_of_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
