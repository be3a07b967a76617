/* What the tests of src/io share: rings, free ports, plain blocking sockets as the other side. */
#pragma once

#include "both_rings.h"

#include "io/clock.h"
#include "io/listener.h"
#include "io/ring.h"
#include "io/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE 10000 /* ms a test waits for what must happen */

static inline struct address address_of(const char *ip, unsigned port)
{
    struct address address = {.port = (uint16_t)port};
    snprintf(address.ip, sizeof address.ip, "%s", ip);
    return address;
}

/* A port of 127.0.0.1 that nobody listens on, below the ephemeral ones. */
static inline uint16_t free_port(void)
{
    static unsigned next;
    char error[200];
    if (next == 0) {
        next = 20000 + (unsigned)getpid() % 10000;
    }
    for (int tries = 0; tries < 1000; tries++) {
        struct address at = address_of("127.0.0.1", next);
        next = next < 32000 ? next + 1 : 20000;
        if (listener_prove_free(&at, error, sizeof error)) {
            return at.port;
        }
    }
    fail_msg("no free port");
    return 0;
}

/* Places for direct descriptors on every ring that is opened without options. */
static unsigned direct_places;

static inline int choose_direct(void **state)
{
    direct_places = 1024;
    return choose_uring(state);
}

/* The same tests once more, for main, with outgoing streams on direct descriptors. */
#define run_on_direct(tests)                                                                       \
    (uring_here() ? cmocka_run_group_tests_name("direct", tests, choose_direct, NULL) : 0)

static inline struct ring *open_ring(const struct ring_options *options)
{
    char error[300] = "";
    const struct ring_options direct = {.direct = direct_places};
    struct ring *ring = ring_open(options != NULL ? options : &direct, error, sizeof error);
    if (ring == NULL) {
        fail_msg("%s", error);
    }
    return ring;
}

/* Turns the ring until `condition`; fails the test when that takes too long. */
#define turn_until(ring, condition)                                                                \
    do {                                                                                           \
        ms_t until_ = clock_now() + PATIENCE;                                                      \
        while (!(condition)) {                                                                     \
            ring_flush(ring);                                                                      \
            ring_wait(ring, 20);                                                                   \
            if (clock_now() > until_) {                                                            \
                fail_msg("waited too long for: %s", #condition);                                   \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* Turns the ring for a while. */
static inline void turn_for(struct ring *ring, ms_t ms)
{
    for (ms_t until = clock_now() + ms; clock_now() < until;) {
        ring_flush(ring);
        ring_wait(ring, 5);
    }
}

static inline int plain_listen(uint16_t port, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static inline int plain_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE / 1000};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Closes with a reset. */
static inline void plain_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

/* Descriptors this process has open. */
static inline unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}
