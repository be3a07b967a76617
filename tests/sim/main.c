/* Command line of the simulator: ranges of seeds over several processes, one world at a time in
 * each; with mutants built in, the proof that every one of them is caught. */
#include "sim.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX   16
#define EXIT_USAGE 1
/* Distinct, so that a script can tell what kind of failure a seed is. */
#define EXIT_SAFETY   2
#define EXIT_LIVENESS 3
#define EXIT_CRASH    4

struct options {
    uint64_t first, last;
    bool trace, hash, progress, all_mutants, keep_going;
    unsigned jobs;
    enum mutant mutant;
};

struct worker {                 /* shared with the parent */
    atomic_uint_least64_t seed; /* being run, 0: none */
    struct counters count;
    uint64_t seeds;
};

struct board { /* shared memory */
    atomic_uint_least64_t next, done;
    atomic_bool stop;
    atomic_uint failed;            /* seeds */
    atomic_uint verdict;           /* of the lowest failing seed */
    atomic_uint_least64_t failing; /* that seed */
    char invariant[64];
    struct worker workers[JOBS_MAX];
};

static const struct {
    const char *name;
    enum mutant mutant;
} mutant_names[] = {
    {"none", MUTANT_NONE},
    {"vote-twice", MUTANT_VOTE_TWICE},
    {"forget-on-remove", MUTANT_FORGET_ON_REMOVE},
    {"reply-early", MUTANT_REPLY_EARLY},
    {"forget-epoch", MUTANT_FORGET_EPOCH},
    {"count-any-epoch", MUTANT_COUNT_ANY_EPOCH},
    {"count-removed", MUTANT_COUNT_REMOVED},
    {"no-lease", MUTANT_NO_LEASE},
    {"self-lease", MUTANT_SELF_LEASE},
    {"leader-goes-on", MUTANT_LEADER_GOES_ON},
    {"quarrel", MUTANT_QUARREL},
};
_Static_assert(sizeof(mutant_names) / sizeof(mutant_names[0]) == MUTANT_LIMIT,
               "every mutant has its name here");

static void set_mutant(enum mutant mutant)
{
#ifdef VEDETTE_MUTANTS
    mutant_active = mutant;
#else
    (void)mutant;
#endif
}

/* --- one seed
 * --------------------------------------------------------------------------------------- */
static const char *verdict_name(enum verdict v)
{
    switch (v) {
    case VERDICT_CLEAN:
        return "clean";
    case VERDICT_SAFETY:
        return "SAFETY";
    case VERDICT_LIVENESS:
        return "LIVENESS";
    case VERDICT_CRASH:
        return "CRASH";
    }
    return "?";
}

static int verdict_exit(enum verdict v)
{
    switch (v) {
    case VERDICT_CLEAN:
        return EXIT_SUCCESS;
    case VERDICT_SAFETY:
        return EXIT_SAFETY;
    case VERDICT_LIVENESS:
        return EXIT_LIVENESS;
    case VERDICT_CRASH:
        return EXIT_CRASH;
    }
    return EXIT_CRASH;
}

static void add_counters(struct counters *to, const struct counters *from)
{
    uint64_t *t = (uint64_t *)to;
    const uint64_t *f = (const uint64_t *)from;
    for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
        t[i] += f[i];
}

/* The lowest failing seed is the one reported at the end, whatever the order of the workers. */
static void note_failure(struct board *b, uint64_t seed, enum verdict v, const char *invariant)
{
    atomic_fetch_add(&b->failed, 1);
    uint64_t known = atomic_load(&b->failing);
    while (known == 0 || seed < known) {
        if (atomic_compare_exchange_weak(&b->failing, &known, seed)) {
            atomic_store(&b->verdict, (unsigned)v);
            (void)snprintf(b->invariant, sizeof(b->invariant), "%s", invariant);
            break;
        }
    }
}

static void report(const struct options *o, const struct params *p, enum verdict v,
                   const char *invariant, const char *message)
{
    printf("seed %llu: %s %s: %s\n", (unsigned long long)p->seed, verdict_name(v), invariant,
           message);
    params_print(p);
    printf("  reproduce: sim --seeds %llu..%llu --trace", (unsigned long long)p->seed,
           (unsigned long long)p->seed);
    if (o->mutant != MUTANT_NONE)
        printf(" --mutant %s", mutant_names[o->mutant].name);
    printf("\n");
    fflush(stdout);
}

static void run_seed(const struct options *o, struct board *b, struct worker *me, uint64_t seed)
{
    static struct world w;
    atomic_store(&me->seed, seed);
    const enum verdict v = world_run(&w, seed, o->trace);
    add_counters(&me->count, &w.count);
    me->seeds++;
    if (o->hash)
        printf("%llu %016llx\n", (unsigned long long)seed, (unsigned long long)w.hash);
    if (v != VERDICT_CLEAN) {
        if (!o->all_mutants)
            report(o, &w.p, v, w.invariant, w.message);
        note_failure(b, seed, v, w.invariant);
        if (!o->keep_going)
            atomic_store(&b->stop, true);
    }
    world_free(&w);
    atomic_store(&me->seed, 0);
    atomic_fetch_add(&b->done, 1);
}

static void work(const struct options *o, struct board *b, struct worker *me)
{
    set_mutant(o->mutant);
    while (!atomic_load(&b->stop)) {
        const uint64_t seed = atomic_fetch_add(&b->next, 1);
        if (seed > o->last)
            break;
        run_seed(o, b, me, seed);
    }
    fflush(stdout);
}

/* --- workers
 * ------------------------------------------------------------------------------------------ */
static pid_t start_worker(const struct options *o, struct board *b, struct worker *me)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(EXIT_USAGE);
    }
    if (pid == 0) {
        if (o->all_mutants && freopen("/dev/null", "w", stderr) == NULL)
            _exit(EXIT_USAGE); /* a failed assertion is a way to be caught, and noisy */
        work(o, b, me);
        exit(EXIT_SUCCESS); /* not _exit: a sanitizer looks for leaks here */
    }
    return pid;
}

/* A worker died in the middle of a seed: that is the seed's result; another worker takes its place.
 */
static void worker_died(const struct options *o, struct board *b, struct worker *me, int status)
{
    struct params p;
    const uint64_t seed = atomic_load(&me->seed);
    if (seed == 0)
        return;
    char text[64];
    (void)snprintf(text, sizeof(text), "signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    params_draw(&p, seed);
    if (!o->all_mutants)
        report(o, &p, VERDICT_CRASH, "crash", text);
    note_failure(b, seed, VERDICT_CRASH, "assertion");
    if (!o->keep_going)
        atomic_store(&b->stop, true);
    atomic_store(&me->seed, 0);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_progress(const struct options *o, const struct board *b, double since)
{
    static double last;
    const double now = seconds();
    if (!o->progress || now - last < 5.0)
        return;
    last = now;
    fprintf(stderr, "%llu of %llu seeds, %.0f s, %u failed\n",
            (unsigned long long)atomic_load(&b->done), (unsigned long long)(o->last - o->first + 1),
            now - since, atomic_load(&b->failed));
}

static void run_range(const struct options *o, struct board *b)
{
    pid_t pids[JOBS_MAX];
    unsigned running = 0;
    const double since = seconds();
    memset(b, 0, sizeof(*b));
    atomic_store(&b->next, o->first);
    for (unsigned i = 0; i < o->jobs; i++, running++)
        pids[i] = start_worker(o, b, &b->workers[i]);
    while (running > 0) {
        int status;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            (void)usleep(5000);
            show_progress(o, b, since);
            continue;
        }
        for (unsigned i = 0; i < o->jobs; i++) {
            if (pids[i] != pid)
                continue;
            pids[i] = -1;
            running--;
            if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
                continue;
            worker_died(o, b, &b->workers[i], status);
            if (!atomic_load(&b->stop)) {
                pids[i] = start_worker(o, b, &b->workers[i]);
                running++;
            }
        }
    }
}

static void summary(const struct options *o, const struct board *b, double took)
{
    struct counters c = {0};
    uint64_t seeds = 0;
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        add_counters(&c, &b->workers[i].count);
        seeds += b->workers[i].seeds;
    }
    printf("%llu seeds in %.1f s, %llu steps, %.1f h of virtual time\n", (unsigned long long)seeds,
           took, (unsigned long long)c.steps, (double)c.virtual_ms / 3.6e6);
    printf(
        "%llu votes, %llu elections, %llu promotions, %llu switches; %llu messages, %llu fsyncs, "
        "%llu crashes, %llu tilts, %llu hellos dropped, %llu excused\n",
        (unsigned long long)c.votes, (unsigned long long)c.elections,
        (unsigned long long)c.promotions, (unsigned long long)c.failovers,
        (unsigned long long)c.messages, (unsigned long long)c.syncs, (unsigned long long)c.crashes,
        (unsigned long long)c.tilts, (unsigned long long)c.gossip_dropped,
        (unsigned long long)c.excused);
    printf("faults:");
    for (unsigned f = 0; f < FAULT_COUNT; f++)
        if (c.by_fault[f] != 0)
            printf(" %s %llu", fault_names[f], (unsigned long long)c.by_fault[f]);
    printf("\n%u failed\n", atomic_load(&b->failed));
    (void)o;
}

/* --- mutants
 * -------------------------------------------------------------------------------------------- */
#ifdef VEDETTE_MUTANTS
static int run_mutants(struct options *o, struct board *b)
{
    uint64_t furthest = o->first;
    int result = EXIT_SUCCESS;
    for (unsigned i = 1; i < MUTANT_LIMIT; i++) {
        const double since = seconds();
        o->mutant = mutant_names[i].mutant;
        run_range(o, b);
        const uint64_t seed = atomic_load(&b->failing);
        if (seed == 0) {
            printf("%-18s NOT CAUGHT in seeds %llu..%llu (%.1f s)\n", mutant_names[i].name,
                   (unsigned long long)o->first, (unsigned long long)o->last, seconds() - since);
            result = EXIT_SAFETY;
        } else {
            printf("%-18s caught by %s %s in seed %llu, after %llu seeds (%.1f s)\n",
                   mutant_names[i].name, verdict_name((enum verdict)atomic_load(&b->verdict)),
                   b->invariant, (unsigned long long)seed,
                   (unsigned long long)(seed - o->first + 1), seconds() - since);
        }
        if (seed > furthest)
            furthest = seed;
        fflush(stdout);
    }
    o->mutant = MUTANT_NONE;
    o->last = furthest;
    o->all_mutants = false;
    run_range(o, b);
    printf("%-18s seeds %llu..%llu: %u failed\n", "none", (unsigned long long)o->first,
           (unsigned long long)furthest, atomic_load(&b->failed));
    if (atomic_load(&b->failed) != 0)
        result = verdict_exit((enum verdict)atomic_load(&b->verdict));
    return result;
}
#endif

/* --- command line
 * --------------------------------------------------------------------------------------- */
static void usage(FILE *to)
{
    fprintf(to,
            "usage: sim --seeds A..B [--jobs N] [--trace] [--hash] [--keep-going] [--quiet]\n"
#ifdef VEDETTE_MUTANTS
            "           [--mutant NAME | --all-mutants]\n"
#endif
            "Simulates sentinels, servers, network and disks from one seed each, with faults, and\n"
            "checks every step; then all heals and everybody must agree.\n"
            "  --seeds A..B   the seeds, both included\n"
            "  --jobs N       processes (default 1)\n"
            "  --trace        one line for each decision and event\n"
            "  --hash         for each seed the hash of all it did: the same each time\n"
            "  --keep-going   do not stop at the first failing seed\n"
            "  --quiet        no progress on stderr\n"
#ifdef VEDETTE_MUTANTS
            "  --mutant NAME  break one rule:");
    for (unsigned i = 0; i < MUTANT_LIMIT; i++)
        fprintf(to, " %s", mutant_names[i].name);
    fprintf(to, "\n  --all-mutants  show that each is caught within the seeds, and that the rules\n"
                "                 unbroken pass the same seeds\n"
#endif
                "exit: 0 clean, 1 usage, 2 safety violated, 3 liveness violated, 4 crash\n");
}

static bool parse_seeds(const char *text, struct options *o)
{
    char *end;
    errno = 0;
    o->first = strtoull(text, &end, 10);
    o->last = o->first;
    if (end == text)
        return false;
    if (end[0] == '.' && end[1] == '.') {
        const char *second = end + 2;
        o->last = strtoull(second, &end, 10);
        if (end == second)
            return false;
    }
    return *end == '\0' && errno == 0 && o->first >= 1 && o->first <= o->last;
}

static bool parse_mutant(const char *name, struct options *o)
{
    for (unsigned i = 0; i < MUTANT_LIMIT; i++) {
        if (strcmp(name, mutant_names[i].name) == 0) {
            o->mutant = mutant_names[i].mutant;
            return true;
        }
    }
    return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--seeds") == 0 && value != NULL && parse_seeds(value, o))
            i++;
        else if (strcmp(argv[i], "--jobs") == 0 && value != NULL && atoi(value) >= 1 &&
                 atoi(value) <= JOBS_MAX)
            o->jobs = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--trace") == 0)
            o->trace = true;
        else if (strcmp(argv[i], "--hash") == 0)
            o->hash = true;
        else if (strcmp(argv[i], "--keep-going") == 0)
            o->keep_going = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            o->progress = false;
#ifdef VEDETTE_MUTANTS
        else if (strcmp(argv[i], "--all-mutants") == 0)
            o->all_mutants = true;
        else if (strcmp(argv[i], "--mutant") == 0 && value != NULL && parse_mutant(value, o))
            i++;
#endif
        else
            return false;
    }
    (void)parse_mutant;
    return o->first != 0;
}

int main(int argc, char **argv)
{
    struct options o = {.jobs = 1, .progress = true};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (!parse(argc, argv, &o)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    struct board *b =
        mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED) {
        perror("mmap");
        return EXIT_USAGE;
    }
    const double since = seconds();
#ifdef VEDETTE_MUTANTS
    if (o.all_mutants)
        return run_mutants(&o, b);
#endif
    run_range(&o, b);
    if (!o.hash)
        summary(&o, b, seconds() - since);
    return atomic_load(&b->failed) == 0 ? EXIT_SUCCESS
                                        : verdict_exit((enum verdict)atomic_load(&b->verdict));
}
