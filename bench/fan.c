/* Many subscribers of one channel in one process, for bench/compare fanout:
 *
 *     fan PORT CLIENTS CHANNEL
 *
 * Connects to 127.0.0.1, subscribes, prints `ready N`. Then, for each line on standard input, it
 * prints a line of JSON: how many messages came, and for each event (the first word of a message)
 * how many subscribers have heard it, when the first and when the last (us of CLOCK_REALTIME). Ends
 * at the end of its input. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CARRY = 2048,      /* bytes of a message that is not whole yet; longer ones: given up */
    EVENTS = 8192,     /* slots of the table of events, a power of two */
    EVENTS_MAX = 6000, /* in it; further ones are counted as messages only */
    NAME = 64,
    CONNECTING = 100, /* subscribed before the next are connected: no backlog overflows */
    READ = 256 * 1024,
    TURN = 512,
};

struct subscriber {
    int fd;
    bool subscribed;
    uint32_t messages;
    size_t carried;
    char *carry;
};

struct event {
    char name[NAME];
    uint64_t count;
    int64_t first, last;
};

static struct subscriber *subscribers;
static unsigned count, closed;
static uint64_t messages;
static struct event events[EVENTS];
static unsigned event_count;
static int epoll;

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "fan: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void note(const char *text, size_t length, int64_t now)
{
    size_t end = 0;
    uint32_t hash = 2166136261u;
    while (end < length && end < NAME - 1 && text[end] != ' ') {
        hash = (hash ^ (unsigned char)text[end++]) * 16777619u;
    }
    struct event *event = &events[hash & (EVENTS - 1)];
    while (event->count && (strncmp(event->name, text, end) != 0 || event->name[end])) {
        event = event == &events[EVENTS - 1] ? events : event + 1;
    }
    if (event->count == 0) {
        if (event_count == EVENTS_MAX) {
            return;
        }
        event_count++;
        memcpy(event->name, text, end);
        event->first = now;
    }
    event->count++;
    event->last = now;
}

/* Reads "$12\r\n" or "*3\r\n" or ":1\r\n": the number, or -1 when it is not whole; *at moves on. */
static long number(const char *data, size_t length, size_t *at, char kind)
{
    size_t end = *at + 1;
    long value = 0;
    if (*at < length && data[*at] != kind) {
        fprintf(stderr, "fan: '%c' where '%c' should be\n", data[*at], kind);
        exit(1);
    }
    while (end < length && data[end] >= '0' && data[end] <= '9' && value < 1000000) {
        value = 10 * value + (data[end++] - '0');
    }
    if (end + 2 > length) {
        return -1;
    }
    *at = end + 2;
    return value;
}

/* Takes one message off the data: its bytes, 0 when it is not whole. The first of each subscriber
 * is the confirmation: a number is its third part. */
static size_t take(struct subscriber *s, const char *data, size_t length, int64_t now)
{
    size_t at = 0;
    if (number(data, length, &at, '*') < 0) {
        return 0;
    }
    long size = 0;
    for (int part = 0; part < 3; part++) {
        if (part == 2 && !s->subscribed) {
            if (number(data, length, &at, ':') < 0) {
                return 0;
            }
            s->subscribed = true;
            return at;
        }
        size = number(data, length, &at, '$');
        if (size < 0 || at + (size_t)size + 2 > length) {
            return 0;
        }
        at += (size_t)size + 2;
    }
    s->messages++;
    messages++;
    note(data + at - (size_t)size - 2, (size_t)size, now);
    return at;
}

static void drop(struct subscriber *s)
{
    close(s->fd);
    s->fd = -1;
    closed++;
}

static void hear(struct subscriber *s)
{
    static char data[CARRY + READ];
    memcpy(data, s->carry, s->carried);
    ssize_t got = recv(s->fd, data + s->carried, READ, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            drop(s);
        }
        return;
    }
    size_t length = s->carried + (size_t)got, at = 0, used;
    int64_t now = now_us();
    while (at < length && (used = take(s, data + at, length - at, now)) > 0) {
        at += used;
    }
    s->carried = length - at;
    if (s->carried > CARRY) {
        drop(s);
        return;
    }
    memcpy(s->carry, data + at, s->carried);
}

/* Waits at most `wait` ms and takes what came; returns whether standard input has something. */
static bool turn(int wait)
{
    struct epoll_event found[TURN];
    bool input = false;
    int some = epoll_wait(epoll, found, TURN, wait);
    for (int k = 0; k < some; k++) {
        if (found[k].data.u32 == UINT32_MAX) {
            input = true;
        } else {
            hear(&subscribers[found[k].data.u32]);
        }
    }
    return input;
}

static void subscribe(unsigned k, uint16_t port, const char *request)
{
    struct subscriber *s = &subscribers[k];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->carry = malloc(CARRY);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!s->carry || s->fd < 0) {
        fail("socket");
    }
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("connect");
    }
    if (send(s->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        fail("send");
    }
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = k};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &wanted) != 0) {
        fail("epoll");
    }
}

static unsigned subscribed(unsigned from, unsigned to)
{
    unsigned sum = 0;
    for (unsigned k = from; k < to; k++) {
        sum += subscribers[k].subscribed;
    }
    return sum;
}

static void report(void)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (unsigned k = 0; k < count; k++) {
        least = subscribers[k].messages < least ? subscribers[k].messages : least;
        most = subscribers[k].messages > most ? subscribers[k].messages : most;
    }
    printf("{\"subscribers\":%u,\"closed\":%u,\"messages\":%llu,\"least\":%u,\"most\":%u,"
           "\"events\":{",
           count, closed, (unsigned long long)messages, least, most);
    const char *comma = "";
    for (unsigned k = 0; k < EVENTS; k++) {
        if (events[k].count) {
            printf("%s\"%s\":[%llu,%lld,%lld]", comma, events[k].name,
                   (unsigned long long)events[k].count, (long long)events[k].first,
                   (long long)events[k].last);
            comma = ",";
        }
    }
    printf("}}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    long port = argc == 4 ? strtol(argv[1], NULL, 10) : 0;
    long wanted = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    if (port < 1 || port > 65535 || wanted < 1 || wanted > 1000000) {
        fprintf(stderr, "usage: fan PORT CLIENTS CHANNEL\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    count = (unsigned)wanted;
    subscribers = calloc(count, sizeof *subscribers);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!subscribers || epoll < 0) {
        fail("start");
    }
    char request[256];
    snprintf(request, sizeof request, "SUBSCRIBE %s\r\n", argv[3]);
    for (unsigned k = 0; k < count; k++) {
        subscribe(k, (uint16_t)port, request);
        unsigned from = k / CONNECTING * CONNECTING;
        int64_t deadline = now_us() + 10000000;
        while ((k + 1 == count || k + 1 == from + CONNECTING) &&
               subscribed(from, k + 1) < k + 1 - from) {
            turn(100);
            if (closed || now_us() > deadline) {
                fprintf(stderr, "fan: %u of %u subscribed, then %s\n", subscribed(0, k + 1), count,
                        closed ? "a connection was closed" : "nothing for 10 s");
                return 1;
            }
        }
    }
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0) {
        fail("standard input");
    }
    printf("ready %u\n", count);
    fflush(stdout);
    for (;;) {
        char line[256];
        if (turn(-1)) {
            if (read(STDIN_FILENO, line, sizeof line) <= 0) {
                return 0;
            }
            report();
        }
    }
}
