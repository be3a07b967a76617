/* What the files of struct group share; nobody else includes it.
 *
 * Thread: the shard that owns the group.
 */
#pragma once

#include "rules/group.h"
#include "rules/mutant.h"

#include <assert.h>

/* Our own pace where protocol.md leaves it open (design.md §4.8), milliseconds. */
#define POLL_FIRST   50   /* INFO of a replica we wait for: the first distance ... */
#define POLL_LAST    1000 /* ... and the last, as the waiting grows long */
#define REFRESH_WAIT 1000 /* for the replicas' INFO right before selection */
#define RECONNECT    50   /* a link this old that is cut during a failover is reopened at once */
#define PROBE_GAP    100  /* between PINGs that evidence alone makes us send */
#define INFO_FAST    1000 /* INFO of replicas while their master is in trouble */

/* One call of group_step() or its like: what everything below works on. */
struct step {
    struct group *g;
    ms_t now;
    struct update *up;
};

/* --- group.c: members -------------------------------------------------------------------- */
/* Adds an instance of that kind, timers spread over their periods. NULL at its limit (counted). */
struct instance *group_add_replica(struct group *g, const struct address *addr, ms_t now);
struct instance *group_add_sentinel(struct group *g, const struct address *addr,
                                    const struct runid *id, ms_t now);
/* Takes it off its list; it is the caller's. */
void group_take_replica(struct group *g, const struct instance *inst);
void group_take_sentinel(struct group *g, const struct instance *inst);
/* Appends inst, which has come from elsewhere in the group. False at the limit. */
bool group_put_replica(struct group *g, struct instance *inst);
struct instance *group_make_instance(struct group *g, enum instance_kind kind,
                                     const struct address *addr, ms_t now);
/* Where the world is told that the master is (struct group_view, current). */
const struct address *group_current(const struct group *g);
void group_ballot(struct step *s, enum ballot_kind kind, uint64_t epoch, const struct runid *id);
void group_record(struct step *s, enum record_kind kind, const struct instance *inst);
void group_forget(struct step *s, struct instance *inst);

/* --- down.c: links, schedule, liveness --------------------------------------------------- */
ms_t group_ping_period(const struct group *g);
/* The next point of the group's beat that is `period` or a little less from now. */
ms_t group_due_after(const struct group *g, ms_t now, ms_t period);
/* When the next hello after one at `now` is due: at the moment that all sentinels of the group have
 * in common, half a publish-period to one and a half away. */
ms_t group_hello_after(const struct group *g, ms_t now);
/* Sends at once, if the command link is up, and moves the next time of each. */
void group_send(struct step *s, struct instance *inst, unsigned send);
/* The same to every instance: INFO never goes to sentinels. */
void group_send_all(struct step *s, unsigned send);
void group_open_links(struct step *s, struct instance *inst);
void group_close_links(struct step *s, struct instance *inst);
void group_ask(struct step *s, struct instance *sentinel);
void group_ask_all(struct step *s);
void group_poll(struct step *s, struct instance *inst);

void down_tick(struct step *s);
void down_link_up(struct step *s, struct instance *inst, enum link_kind link);
void down_link_down(struct step *s, struct instance *inst, enum link_kind link);
/* Whether more than the heartbeat changed. */
bool down_pong(struct step *s, struct instance *inst, enum ping_reply reply);
void down_peer(struct step *s, struct instance *sentinel, const struct liveness *live);
void down_answer(struct step *s, const struct group_event *ev);
void down_asked(struct step *s, struct instance *sentinel);
/* s_down of one instance, o_down of the master. Do nothing in TILT. */
void down_judge(struct step *s, struct instance *inst);
ms_t down_verdict_at(const struct group *g);
void down_judge_quorum(struct step *s);
/* Asks that are due. */
void down_ask(struct step *s);
ms_t down_deadline(const struct group *g, ms_t now);

/* --- discovery.c ------------------------------------------------------------------------- */
void discovery_info(struct step *s, struct instance *inst, const struct info *info);
/* Whether anything but times changed. */
bool discovery_hello(struct step *s, const struct hello *hello);
/* Heard in another group of the process. */
void discovery_moved(struct step *s, const struct runid *id, const struct address *addr);
void discovery_invalid(struct step *s, const struct runid *id, const struct address *addr);
/* inst's name stands for another ip now: links are opened there. Not where that would make two
 * instances one in the middle of a failover, or two replicas one. */
void discovery_resolved(struct step *s, struct instance *inst, const struct address *addr);
/* Removes a sentinel for good: journal, elector, host. */
void discovery_drop(struct step *s, struct instance *sentinel);

/* --- failover.c -------------------------------------------------------------------------- */
void failover_command(struct step *s, bool coordinated); /* SENTINEL FAILOVER */
/* Wishes for an attempt when it is time, and logs the delay when it is not. */
void failover_want(struct step *s);
/* Takes all the steps that can be taken now. */
void failover_run(struct step *s);
void failover_outcome(struct step *s, const struct outcome *o); /* NEW_EPOCH .. VOTED */
void failover_exec(struct step *s, struct instance *inst, bool ok);
void failover_link_cut(struct step *s, const struct instance *inst);
/* INFO of a replica has just been stored: the promotion, and those who follow it. */
void failover_info(struct step *s, struct instance *replica);
/* A sentinel came up, or is reachable again: ends the delay of an attempt nobody heard. */
void failover_sentinel_up(struct step *s);
/* Own promotion is durable. */
void failover_promoted(struct step *s);
/* Gives up what is on, and tells the elector. */
void failover_abort(struct step *s);
/* Takes back the wish and the attempt, without an event. */
void failover_cancel(struct step *s);
/* Forgets it; the elector knows already. Delays stay. */
void failover_clear(struct group *g, ms_t now);
/* The replica to promote. linked: of those whose replication link is up. */
struct instance *failover_select(const struct group *g, ms_t now, bool linked);
ms_t failover_deadline(const struct group *g, ms_t now);
void failover_enter(struct step *s, enum failover_state state);
void failover_begin_select(struct step *s);
/* Whether the present state has lasted for failover-timeout. */
bool failover_timed_out(const struct step *s);
/* The event, and failover_abort(). */
void failover_give_up(struct step *s, enum event_type type);
/* Distance of the next look at something that began `since`. */
ms_t failover_poll_gap(ms_t since, ms_t now);

/* --- coordinated.c: SENTINEL FAILOVER … COORDINATED ----------------------------------------- */
/* Whether the master can be asked to hand over. */
bool coordinated_possible(const struct group *g);
/* Whether the attempt is one, and the master not o_down: then it goes on as any other. */
bool coordinated_on(const struct group *g);
/* In send_slaveof_noone. False: the attempt is an ordinary one. */
bool coordinated_send(struct step *s);
void coordinated_wait(struct step *s); /* in wait_promotion */
void coordinated_answer(struct step *s, struct instance *inst, bool ok);
void coordinated_link_cut(struct step *s, const struct instance *inst);
/* INFO of the master has just been stored. */
void coordinated_info(struct step *s);
/* The promotion is durable: clients of both must look for the master anew. */
void coordinated_settle(struct step *s);
/* Takes the hand-over back, if one was asked for and has not come to its end. */
void coordinated_undo(struct step *s);
/* Whether inst holds back writes, PUBLISH among them, on our behalf: a hello sent to it now would
 * block the link it goes through. */
bool coordinated_pauses(const struct group *g, const struct instance *inst);
ms_t coordinated_deadline(const struct group *g);

/* --- adopt.c ----------------------------------------------------------------------------- */
/* Has it made durable: nothing shows before adopt_config(). sentinel NULL: our own promotion. */
void adopt_propose(struct step *s, uint64_t epoch, const struct address *addr,
                   const struct instance *sentinel);
void adopt_config(struct step *s, const struct outcome *o); /* OUTCOME_CONFIG */
void adopt_fresh(struct step *s, const struct outcome *o);  /* OUTCOME_FRESH */
/* A known peer has our config epoch and another address (design.md §4.10). */
void adopt_quarrel(struct step *s, const struct instance *sentinel);
/* Says +switch-master. */
void adopt_announce(struct step *s, const struct address *from, const struct address *to);
/* +switch-master is out: the group begins anew around addr. */
void adopt_switch(struct step *s, const struct address *addr);
void adopt_reset(struct step *s); /* SENTINEL RESET */
