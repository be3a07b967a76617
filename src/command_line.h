/* The command line of vedette.
 *
 * Thread: main, at start.
 */
#pragma once

struct command_line {   /* everything is borrowed from argv, but the array overrides */
    const char *config; /* as given */
    const char *fold;   /* --fold <conf> */
    unsigned shards;    /* 0: as many as cores */
    const char *io;     /* "uring", "epoll"; NULL: the first that works */
    char **overrides;   /* "--directive", "value", … */
    int override_count;
};

/* Answers --version and --help and ends the process; ends it with 1 and a line on standard error
 * when the command line is wrong. The caller frees overrides. */
void command_line_parse(int argc, char **argv, struct command_line *cl);
