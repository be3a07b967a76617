/* The C client's way: ask one sentinel after the other, connect, check ROLE, use it until it fails.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static redisContext *open_at(const char *host, int port)
{
    struct timeval patience = {.tv_sec = 1};
    redisContext *c = redisConnectWithTimeout(host, port, patience);
    if (c != NULL && c->err == 0) {
        redisSetTimeout(c, patience);
        return c;
    }
    if (c != NULL) {
        redisFree(c);
    }
    return NULL;
}

/* The address that a sentinel names. */
static redisContext *master_by(int sentinel, const char *name, int *port)
{
    redisContext *found = NULL, *c = open_at("127.0.0.1", sentinel);
    if (c == NULL) {
        return NULL;
    }
    redisReply *r = redisCommand(c, "SENTINEL get-master-addr-by-name %s", name);
    if (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2) {
        *port = (int)strtol(r->element[1]->str, NULL, 10);
        found = open_at(r->element[0]->str, *port);
    }
    freeReplyObject(r);
    redisFree(c);
    return found;
}

static redisContext *find_master(int argc, char **argv, int *port)
{
    for (int i = 2; i < argc; i++) {
        redisContext *c = master_by((int)strtol(argv[i], NULL, 10), argv[1], port);
        if (c == NULL) {
            continue;
        }
        redisReply *r = redisCommand(c, "ROLE");
        int right = r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements > 0 &&
                    strcmp(r->element[0]->str, "master") == 0;
        freeReplyObject(r);
        if (right) {
            freeReplyObject(redisCommand(c, "CLIENT SETNAME client-hiredis"));
            return c;
        }
        redisFree(c);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    redisContext *c = NULL;
    int port = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (poll(&input, 1, 50) == 0) {
        if (c == NULL) {
            c = find_master(argc, argv, &port);
        }
        redisReply *r = c != NULL ? redisCommand(c, "INCR counter-hiredis") : NULL;
        if (r != NULL && r->type == REDIS_REPLY_INTEGER) {
            printf("ok %lld %d\n", r->integer, port);
        } else {
            printf("error %s\n", r != NULL ? r->str : c != NULL ? c->errstr : "no master found");
            if (c != NULL) {
                redisFree(c);
                c = NULL;
            }
        }
        freeReplyObject(r);
    }
    if (c != NULL) {
        redisFree(c);
    }
    return 0;
}
