/* Deliberate faults, so that the simulator can show that it would find them (tests/sim).
 *
 * Thread: set once by the simulator before it starts.
 */
#pragma once

#include <stdbool.h>

/* Mutants for the simulator (tests/sim): built in only with VEDETTE_MUTANTS. Each breaks one rule
 * and must be caught. */
enum mutant {
    MUTANT_NONE,
    MUTANT_VOTE_TWICE,       /* a second vote in an epoch */
    MUTANT_FORGET_ON_REMOVE, /* REMOVE and MONITOR lowers the last-voted epoch */
    MUTANT_REPLY_EARLY,      /* reply before durable (the host's) */
    MUTANT_FORGET_EPOCH,     /* current_epoch is not restored (the host's) */
    MUTANT_COUNT_ANY_EPOCH,  /* votes of another epoch count */
    MUTANT_COUNT_REMOVED,    /* a removed sentinel's vote counts */
    MUTANT_NO_LEASE,         /* a vote is no lease */
    MUTANT_SELF_LEASE,       /* a self-vote is a lease */
    MUTANT_LEADER_GOES_ON,   /* past a newer config epoch (group) */
    MUTANT_QUARREL,          /* equal config epochs are left alone (group) */
    MUTANT_LIMIT
};
#ifdef VEDETTE_MUTANTS
extern enum mutant mutant_active;
#define MUTANT(m) (mutant_active == (m))
#else
#define MUTANT(m) false
#endif
