/* Micro-benchmarks of what every turn of a shard consists of: a doorbell (which kind?), the lanes,
 * the deadline heap, the directory that every query reads, and the texts that are parsed most.
 *
 *     micro_io [seconds for each measurement, default 1]
 *
 * Times are wall-clock of whatever machine this is; compare rows, not runs. "cpu" is of the whole
 * process: both threads and the kernel for them. */
#include "io/clock.h"
#include "io/heap.h"
#include "io/mailbox.h"
#include "io/reply_scan.h"
#include "io/ring.h"
#include "rules/hello.h"
#include "rules/info.h"
#include "run/directory.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds = 1;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double cpu(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/* --- doorbells: two threads that wake each other in turn
 * ------------------------------------------ Each has a ring as a shard has; the four ways differ
 * in how the ring learns of the bell. */
enum bell { BELL_POLL, BELL_READ, BELL_MSG, BELL_PLAIN };

struct side {
    enum bell bell;
    struct io_uring ring;
    int event;
    struct side *other;
    atomic_bool ready;
    uint64_t value;
    uint64_t hops;
    atomic_bool *stop;
};

static void side_open(struct side *s)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL};
    int result = io_uring_queue_init_params(64, &s->ring, &params);
    if (result == -EINVAL) { /* before 6.1 */
        params = (struct io_uring_params){0};
        result = io_uring_queue_init_params(64, &s->ring, &params);
    }
    errno = -result;
    must(result == 0, "io_uring");
    (void)io_uring_register_ring_fd(&s->ring);
}

static void side_listen(struct side *s, bool first)
{
    struct io_uring_sqe *sqe;
    if (s->bell == BELL_POLL && first) {
        sqe = io_uring_get_sqe(&s->ring);
        io_uring_prep_poll_multishot(sqe, s->event, POLLIN);
        sqe->user_data = 1;
    } else if (s->bell == BELL_READ) {
        sqe = io_uring_get_sqe(&s->ring);
        io_uring_prep_read(sqe, s->event, &s->value, sizeof s->value, 0);
        sqe->user_data = 1;
    }
}

static void side_ring(struct side *s)
{
    if (s->bell == BELL_MSG) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
        io_uring_prep_msg_ring(sqe, s->other->ring.ring_fd, 0, 1, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = 2;
        io_uring_submit(&s->ring);
    } else {
        uint64_t one = 1;
        must(write(s->other->event, &one, sizeof one) == sizeof one, "write");
    }
}

/* Waits for one ring of the bell, at most 100 ms. */
static bool side_wait(struct side *s)
{
    if (s->bell == BELL_PLAIN) {
        struct pollfd fd = {.fd = s->event, .events = POLLIN};
        return poll(&fd, 1, 100) == 1 && read(s->event, &s->value, sizeof s->value) > 0;
    }
    struct __kernel_timespec ts = {.tv_nsec = 100000000};
    struct io_uring_cqe *cqe;
    io_uring_submit_and_wait_timeout(&s->ring, &cqe, 1, &ts, NULL);
    unsigned head, taken = 0;
    bool rang = false;
    io_uring_for_each_cqe(&s->ring, head, cqe)
    {
        taken++;
        rang = rang || cqe->user_data == 1;
    }
    io_uring_cq_advance(&s->ring, taken);
    if (rang) {
        if (s->bell == BELL_POLL) {
            (void)!read(s->event, &s->value, sizeof s->value);
        }
        side_listen(s, false);
    }
    return rang;
}

static void *side_run(void *arg)
{
    struct side *s = arg;
    side_open(s);
    side_listen(s, true);
    atomic_store(&s->ready, true);
    while (!atomic_load(&s->other->ready)) {
        usleep(100);
    }
    while (!atomic_load_explicit(s->stop, memory_order_relaxed)) {
        if (side_wait(s)) {
            s->hops++;
            side_ring(s);
        }
    }
    return NULL;
}

/* One measurement: microseconds a hop, of the clock and of the processor. */
static void bell_round(enum bell bell, double length, double *wall_us, double *cpu_us)
{
    atomic_bool stop = false;
    struct side *sides = calloc(2, sizeof *sides);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        sides[i].bell = bell;
        sides[i].other = &sides[1 - i];
        sides[i].stop = &stop;
        /* A ring that reads must find it in blocking mode. */
        sides[i].event = eventfd(0, EFD_CLOEXEC | (bell == BELL_READ ? 0 : EFD_NONBLOCK));
        pthread_create(&threads[i], NULL, side_run, &sides[i]);
    }
    while (!atomic_load(&sides[0].ready) || !atomic_load(&sides[1].ready)) {
        usleep(100);
    }
    if (bell == BELL_MSG) { /* somebody has to start, from a ring of his own */
        struct side starter = {.bell = bell, .other = &sides[0]};
        side_open(&starter);
        side_ring(&starter);
        io_uring_queue_exit(&starter.ring);
    } else {
        struct side starter = {.bell = bell, .other = &sides[0]};
        side_ring(&starter);
    }
    double wall = now(), used = cpu();
    usleep((useconds_t)(length * 1e6));
    atomic_store(&stop, true);
    wall = now() - wall;
    used = cpu() - used;
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    double hops = (double)(sides[0].hops + sides[1].hops);
    *wall_us = wall / hops * 1e6;
    *cpu_us = used / hops * 1e6;
    for (int i = 0; i < 2; i++) {
        io_uring_queue_exit(&sides[i].ring);
        close(sides[i].event);
    }
    free(sides);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* In rounds that take turns: where the threads happen to run changes a hop tenfold (to wake an idle
 * virtual processor is slow), so only least and median of several rounds say anything. */
static void bench_bells(void)
{
    enum { ROUNDS = 9, KINDS = 4 };
    static const char *const names[KINDS] = {
        [BELL_POLL] = "eventfd, multishot poll and a read",
        [BELL_READ] = "eventfd, read by the ring",
        [BELL_MSG] = "IORING_OP_MSG_RING",
        [BELL_PLAIN] = "eventfd, poll(2), no ring",
    };
    double wall[KINDS][ROUNDS], used[KINDS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 0; kind < KINDS; kind++) {
            bell_round((enum bell)kind, seconds / 4, &wall[kind][round], &used[kind][round]);
        }
    }
    printf("%-40s us/hop: least  median    cpu: least  median\n", "");
    for (int kind = 0; kind < KINDS; kind++) {
        qsort(wall[kind], ROUNDS, sizeof(double), compare);
        qsort(used[kind], ROUNDS, sizeof(double), compare);
        printf("%-46s %7.2f %7.2f         %7.2f %7.2f\n", names[kind], wall[kind][0],
               wall[kind][ROUNDS / 2], used[kind][0], used[kind][ROUNDS / 2]);
    }
}

/* The sender's side alone: what one bell costs a thread that has other things to do. The other ring
 * takes in what has gathered after every 16. */
static void bench_bell_cost(enum bell bell, const char *name)
{
    enum { BELLS = 16 };
    struct side from = {.bell = bell}, to = {.bell = bell};
    from.other = &to;
    to.event = eventfd(0, EFD_CLOEXEC | (bell == BELL_READ ? 0 : EFD_NONBLOCK));
    side_open(&from);
    side_open(&to);
    side_listen(&to, true);
    io_uring_submit(&to.ring);
    double spent = 0, taken = 0;
    uint64_t bells = 0;
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i < BELLS; i++) {
            double start = now();
            side_ring(&from);
            double middle = now();
            (void)side_wait(&to);
            spent += middle - start;
            taken += now() - middle;
            bells++;
        }
    }
    printf("%-44s %10.2f us to ring %9.2f us to hear (one thread)\n", name,
           spent / (double)bells * 1e6, taken / (double)bells * 1e6);
    io_uring_queue_exit(&from.ring);
    io_uring_queue_exit(&to.ring);
    close(to.event);
}

/* --- the post office as the shards use it
 * ---------------------------------------------------------
 */
struct seat {
    struct post *post;
    unsigned self;
    uint64_t hops;
    atomic_bool *stop;
};

static void rang(void *ctx) {}

static void *seat_run(void *arg)
{
    struct seat *s = arg;
    char error[200];
    struct ring *ring = ring_open(NULL, error, sizeof error);
    must(ring != NULL, error);
    ring_watch(ring, post_doorbell(s->post, s->self), rang, NULL);
    while (!atomic_load_explicit(s->stop, memory_order_relaxed)) {
        struct mail mail;
        while (post_receive(s->post, s->self, &mail)) {
            s->hops++;
            post_send(s->post, s->self, 1 - s->self, &mail, POST_MUST);
        }
        post_flush(s->post, s->self);
        ring_wait(ring, post_sleep(s->post, s->self) ? 100 : 0);
        post_awake(s->post, s->self);
    }
    ring_close(ring);
    return NULL;
}

static void bench_post(unsigned in_flight)
{
    atomic_bool stop = false;
    struct post *post = post_new(3);
    struct seat seats[2] = {{.post = post, .self = 0, .stop = &stop},
                            {.post = post, .self = 1, .stop = &stop}};
    pthread_t threads[2];
    struct mail mail = {0};
    for (unsigned i = 0; i < in_flight; i++) {
        post_send(post, 2, 0, &mail, POST_MUST);
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, seat_run, &seats[i]);
    }
    usleep(50000);
    uint64_t before = seats[0].hops + seats[1].hops;
    double wall = now(), used = cpu();
    usleep((useconds_t)(seconds * 1e6));
    double hops = (double)(seats[0].hops + seats[1].hops - before);
    wall = now() - wall;
    used = cpu() - used;
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    char name[64];
    snprintf(name, sizeof name, "mail to and fro, %u on the way", in_flight);
    printf("%-44s %10.2f us/hop %10.2f us cpu/hop\n", name, wall / hops * 1e6, used / hops * 1e6);
    post_free(post);
}

/* --- lanes alone
 * ----------------------------------------------------------------------------------
 */
static void *lane_reader(void *arg)
{
    struct seat *s = arg;
    struct mail mail;
    while (!atomic_load_explicit(s->stop, memory_order_relaxed)) {
        while (post_receive(s->post, 1, &mail)) {
            s->hops++;
        }
    }
    return NULL;
}

static void bench_lane(void)
{
    atomic_bool stop = false;
    struct post *post = post_new(2);
    struct seat reader = {.post = post, .stop = &stop};
    struct mail mail = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, lane_reader, &reader);
    double wall = now(), end = wall + seconds;
    uint64_t sent = 0;
    while (now() < end) {
        for (int i = 0; i < 1000; i++) {
            if (post_send(post, 0, 1, &mail, POST_GOSSIP)) {
                sent++;
            }
        }
        post_flush(post, 0);
    }
    wall = now() - wall;
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    printf("%-44s %10.1f ns/mail\n", "a lane between two busy threads", wall / (double)sent * 1e9);
    post_free(post);
    post = post_new(1);
    sent = 0;
    wall = now();
    for (end = wall + seconds; now() < end;) {
        for (int i = 0; i < 1000; i++) {
            post_send(post, 0, 0, &mail, POST_MUST);
            post_receive(post, 0, &mail);
            sent++;
        }
    }
    printf("%-44s %10.1f ns/mail\n", "a lane to oneself, send and receive",
           (now() - wall) / (double)sent * 1e9);
    post_free(post);
}

/* --- plain functions
 * ------------------------------------------------------------------------------
 */
#define MEASURE_INTO(ns, body)                                                                     \
    do {                                                                                           \
        uint64_t done_ = 0;                                                                        \
        double start_ = now();                                                                     \
        while (now() - start_ < seconds) {                                                         \
            for (int k_ = 0; k_ < 100; k_++) {                                                     \
                body;                                                                              \
                done_++;                                                                           \
            }                                                                                      \
        }                                                                                          \
        (ns) = (now() - start_) / (double)done_ * 1e9;                                             \
    } while (0)

#define MEASURE(name, unit, body)                                                                  \
    do {                                                                                           \
        double ns_ = 0;                                                                            \
        MEASURE_INTO(ns_, body);                                                                   \
        printf("%-44s %10.1f ns/" unit "\n", name, ns_);                                           \
    } while (0)

static void bench_heap(uint32_t count)
{
    struct heap_node *nodes = calloc(count, sizeof *nodes);
    struct heap heap;
    uint64_t random = 1;
    char name[64];
    heap_init(&heap);
    for (uint32_t i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        heap_set(&heap, &nodes[i], (ms_t)(random >> 40) + 1);
    }
    snprintf(name, sizeof name, "heap of %u: first one moved to later", count);
    MEASURE(name, "move", {
        struct heap_node *first = heap_min(&heap);
        random = random * 6364136223846793005u + 1442695040888963407u;
        heap_set(&heap, first, first->deadline + (ms_t)(random >> 40));
    });
    heap_free(&heap);
    free(nodes);
}

/* --- the directory: found and read, while its owner publishes */
struct publisher {
    struct directory *directory;
    atomic_bool stop;
    bool one; /* the entry that is read, always; else each in turn */
    uint64_t published;
};

static struct group_view some_view(unsigned number)
{
    struct group_view view = {.config_epoch = number, .quorum = 2, .replicas = 1, .sentinels = 2};
    char ip[32];
    int len = snprintf(ip, sizeof ip, "10.1.%u.%u", number / 250 % 250, number % 250);
    must(address_set(&view.master, ip, (size_t)len, 6379), "address");
    view.current = view.master;
    return view;
}

static void *publish(void *arg)
{
    struct publisher *p = arg;
    uint32_t count = directory_count(p->directory);
    struct group_view view = some_view(7);
    while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        for (uint32_t k = 0; k < 100; k++) {
            view.config_epoch++;
            directory_publish(p->directory, p->one ? count / 2 : (uint32_t)(p->published % count),
                              &view);
            p->published++;
        }
    }
    return NULL;
}

/* What GET-MASTER-ADDR-BY-NAME does of it: a name found, its view read. */
static void bench_directory(uint32_t count)
{
    struct publisher publisher = {.directory = directory_new(1)};
    struct directory *d = publisher.directory;
    char(*names)[LIMIT_NAME + 1] = calloc(count, sizeof *names);
    must(names != NULL, "calloc");
    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "master-%06u", i);
        struct group_view view = some_view(i);
        directory_publish(d, directory_add(d, names[i]), &view);
    }
    static const char *const writers[] = {"no writer", "all are published", "it is published"};
    for (int writer = 0; writer < 3; writer++) {
        pthread_t thread;
        char name[64];
        struct group_view view;
        uint32_t at = count / 2;
        atomic_store(&publisher.stop, false);
        publisher.one = writer == 2;
        publisher.published = 0;
        double begun = now();
        if (writer > 0) {
            must(pthread_create(&thread, NULL, publish, &publisher) == 0, "thread");
        }
        snprintf(name, sizeof name, "%u names: find, read, %s", count, writers[writer]);
        MEASURE(name, "read", {
            at = publisher.one ? at : (at + 7919) % count;
            uint32_t gid = directory_find(d, names[at], strlen(names[at]));
            must(gid != DIRECTORY_NONE && directory_read(d, gid, &view), names[at]);
        });
        if (writer > 0) {
            atomic_store(&publisher.stop, true);
            pthread_join(thread, NULL);
            printf("%-44s %10.1f ns/publication\n", "  the other thread",
                   (now() - begun) / (double)publisher.published * 1e9);
        }
    }
    struct group_view view = some_view(1);
    MEASURE("a view published, no reader", "publication", directory_publish(d, 0, &view));
    free(names);
    directory_free(d);
}

/* The same as MEASURE, and how many MB a second that is. */
#define MEASURE_TEXT(name, unit, bytes, body)                                                      \
    do {                                                                                           \
        double ns_ = 0;                                                                            \
        MEASURE_INTO(ns_, body);                                                                   \
        printf("%-44s %10.1f ns/" unit ", %.0f MB/s\n", name, ns_, (double)(bytes) / ns_ * 1e3);   \
    } while (0)

static void bench_texts(void)
{
    static const char hello_text[] =
        "10.20.30.40,26379,0123456789abcdef0123456789abcdef01234567,1234,master-000123,"
        "10.20.30.41,6379,1200";
    struct hello hello;
    static struct info info;
    char out[LIMIT_HELLO + 1];
    must(hello_parse(&hello, hello_text, strlen(hello_text), false), "hello");
    MEASURE_TEXT("hello, parsed", "hello", strlen(hello_text),
                 hello_parse(&hello, hello_text, strlen(hello_text), false));
    MEASURE("hello, written", "hello", hello_format(&hello, out));
    /* An INFO as long as a real one, what matters near its end. */
    static char text[8192];
    size_t len = 0;
    for (int i = 0; len < 4600; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "used_something_%d:%d%d\r\n", i, i,
                                i * 7919);
    }
    len += (size_t)snprintf(text + len, sizeof text - len,
                            "run_id:0123456789abcdef0123456789abcdef01234567\r\nrole:master\r\n"
                            "connected_slaves:2\r\n"
                            "slave0:ip=10.0.0.1,port=6379,state=online,offset=123456,lag=1\r\n"
                            "slave1:ip=10.0.0.2,port=6379,state=online,offset=123456,lag=0\r\n");
    MEASURE_TEXT("INFO of 5 KB, parsed", "INFO", len, info_parse(&info, text, len, false));
    must(info.role == ROLE_MASTER && info.replica_count == 2, "info");
    static char reply[8300];
    int reply_len = snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", len, text);
    MEASURE("reply of 5 KB, bounds checked", "reply", {
        struct reply_scan scan = {0};
        must(reply_scan(&scan, (uint8_t *)reply, (size_t)reply_len) == REPLY_WHOLE, "scan");
    });
    redisReader *reader = redisReaderCreate();
    MEASURE("reply of 5 KB, made a redisReply", "reply", {
        void *object = NULL;
        redisReaderFeed(reader, reply, (size_t)reply_len);
        redisReaderGetReply(reader, &object);
        freeReplyObject(object);
    });
    MEASURE("+PONG, checked and made a redisReply", "reply", {
        void *object = NULL;
        struct reply_scan scan = {0};
        reply_scan(&scan, (const uint8_t *)"+PONG\r\n", 7);
        redisReaderFeed(reader, "+PONG\r\n", 7);
        redisReaderGetReply(reader, &object);
        freeReplyObject(object);
    });
    redisReaderFree(reader);
}

int main(int argc, char **argv)
{
    char reason[400];
    if (argc > 1) {
        seconds = strtod(argv[1], NULL);
    }
    if (!(seconds > 0 && seconds < 100)) {
        fprintf(stderr, "usage: micro_io [seconds for each measurement]\n");
        return 1;
    }
    if (!ring_probe(reason, sizeof reason)) {
        fprintf(stderr, "%s\n", reason);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("doorbells between two threads that wait in their rings\n");
    bench_bells();
    bench_bell_cost(BELL_POLL, "eventfd, multishot poll and a read");
    bench_bell_cost(BELL_READ, "eventfd, read by the ring");
    bench_bell_cost(BELL_MSG, "IORING_OP_MSG_RING");
    printf("the post office\n");
    bench_post(1);
    bench_post(32);
    bench_post(1000);
    bench_lane();
    printf("deadlines\n");
    bench_heap(1000);
    bench_heap(100000);
    printf("the directory\n");
    bench_directory(1000);
    bench_directory(50000);
    printf("texts\n");
    bench_texts();
    return 0;
}
