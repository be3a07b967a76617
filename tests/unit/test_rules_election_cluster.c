/* Elections against each other, many seeds (election_cluster.h). A failing seed prints itself:
 * test_rules_election_cluster <first seed> <last seed> runs others. */
#include "election_cluster.h"

static uint64_t first = 1, last = 500;

static void test_seeds_with_faults(void **state)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        ms_t took;
        const char *wrong = cluster_run(seed, true, &took);
        if (wrong)
            fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    }
}

/* Without faults nobody waits: the delay, a vote, a split or two. */
static void test_seeds_without_faults(void **state)
{
    ms_t longest = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        ms_t took;
        const char *wrong = cluster_run(seed, false, &took);
        if (wrong)
            fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
        if (took > longest)
            longest = took;
    }
    print_message("longest time to lead and agree: %lld ms\n", (long long)longest);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        first = strtoull(argv[1], NULL, 10);
        last = strtoull(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_with_faults),
        cmocka_unit_test(test_seeds_without_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
