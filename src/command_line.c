#include "command_line.h"

#include "rules/limits.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
    "Usage: vedette /path/to/sentinel.conf [--directive value ...] [--shards N]\n"
    "               [--io uring|epoll]\n"
    "       vedette --fold /path/to/sentinel.conf   fold the journal into the file and exit\n"
    "       vedette -v | --version\n"
    "       vedette -h | --help\n"
    "\n"
    "A drop-in replacement for redis-sentinel: the same configuration file, port and clients.\n"
    "'--sentinel' is accepted and ignored, as in 'redis-server redis.conf --sentinel'.\n"
    "--shards N   worker threads (default: one per core)\n"
    "--io KIND    talk to the kernel by uring or epoll (default: uring; epoll where io_uring is\n"
    "             refused, with a line in the log)\n";

static unsigned parse_shards(const char *text)
{
    char *end;
    unsigned long n = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text == NULL || *text == '\0' || *end != '\0' || n < 1 || n > LIMIT_SHARDS) {
        (void)fprintf(stderr, "vedette: --shards wants a number from 1 to %d, not '%s'\n",
                      LIMIT_SHARDS, text != NULL ? text : "");
        exit(1);
    }
    return (unsigned)n;
}

static const char *parse_io(const char *text)
{
    if (text == NULL || (strcmp(text, "uring") != 0 && strcmp(text, "epoll") != 0)) {
        (void)fprintf(stderr, "vedette: --io wants 'uring' or 'epoll', not '%s'\n",
                      text != NULL ? text : "");
        exit(1);
    }
    return text;
}

void command_line_parse(int argc, char **argv, struct command_line *cl)
{
    *cl = (struct command_line){0};
    cl->overrides = calloc((size_t)argc + 1, sizeof *cl->overrides);
    if (cl->overrides == NULL) {
        abort();
    }
    for (int i = 1; i < argc; i++) {
        if (i == 1 && (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--version") == 0)) {
            (void)printf("vedette %s (Redis Sentinel %s compatible)\n", VEDETTE_VERSION,
                         VEDETTE_REDIS_VERSION);
            exit(0);
        }
        if (i == 1 && (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)) {
            (void)fputs(usage_text, stdout);
            exit(0);
        }
        if (strcmp(argv[i], "--fold") == 0 && i == 1) {
            cl->fold = i + 1 < argc ? argv[++i] : "";
        } else if (strcmp(argv[i], "--shards") == 0) {
            cl->shards = parse_shards(i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        } else if (strcmp(argv[i], "--io") == 0) {
            cl->io = parse_io(i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        } else if (strcmp(argv[i], "--sentinel") == 0) {
            continue;
        } else if (cl->config == NULL && i == 1 && strncmp(argv[i], "--", 2) != 0) {
            cl->config = argv[i];
        } else {
            cl->overrides[cl->override_count++] = argv[i];
        }
    }
    if (cl->config == NULL && cl->fold == NULL) {
        (void)fprintf(stderr,
                      "vedette: Sentinel needs config file on disk to save state.  Give its path: "
                      "vedette /path/to/sentinel.conf\n");
        exit(1);
    }
}
