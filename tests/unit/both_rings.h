/* For tests of what runs on a ring: the group is run on epoll and on io_uring. */
#pragma once

#include "io/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static inline int choose_uring(void **state)
{
    ring_choose(RING_URING);
    return 0;
}

static inline int choose_epoll(void **state)
{
    ring_choose(RING_EPOLL);
    return 0;
}

static inline bool uring_here(void)
{
    char reason[400];
    bool here = ring_probe(reason, sizeof reason);
    if (!here) {
        print_message("skipped on io_uring: %s\n", reason);
    }
    return here;
}

/* Runs the tests on both backends; for main to return. epoll comes first: an io_uring that was
 * closed interrupts its thread's system calls for a while as the kernel takes it apart. */
#define run_on_both(tests)                                                                         \
    (cmocka_run_group_tests_name("epoll", tests, choose_epoll, NULL) +                             \
     (uring_here() ? cmocka_run_group_tests_name("io_uring", tests, choose_uring, NULL) : 0))
