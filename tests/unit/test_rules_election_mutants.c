/* Each mutant of the election breaks a scenario that holds without it: the tests can fail. The
 * election is compiled in here, because the library's has no mutants. */
#define VEDETTE_MUTANTS
#include "election_cluster.h"
#include "election_scenarios.h"
#include "rules/election.c"
#include "rules/election_attempt.c"
#include "rules/election_store.c"
#include "rules/election_update.c"
#include "rules/election_vote.c"
#include "rules/mutant.c"

/* A scenario that a mutant breaks is left in its middle, with all it holds. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static const struct {
    enum mutant mutant;
    const char *(*scenario)(void);
} table[] = {
    {MUTANT_VOTE_TWICE, scenario_one_vote},
    {MUTANT_FORGET_ON_REMOVE, scenario_remove},
    {MUTANT_COUNT_ANY_EPOCH, scenario_other_epoch},
    {MUTANT_COUNT_REMOVED, scenario_removed_member},
    {MUTANT_NO_LEASE, scenario_lease},
    {MUTANT_SELF_LEASE, scenario_self_vote},
};

static void test_each_mutant_breaks_its_scenario(void **state)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mutant_active = MUTANT_NONE;
        const char *wrong = table[i].scenario();
        if (wrong)
            fail_msg("without a mutant: %s", wrong);
        mutant_active = table[i].mutant;
        wrong = table[i].scenario();
        mutant_active = MUTANT_NONE;
        if (!wrong)
            fail_msg("mutant %d is not noticed", (int)table[i].mutant);
        print_message("mutant %d: %s\n", (int)table[i].mutant, wrong);
    }
}

/* The random cluster finds those that break safety often without being told where to look (it takes
 * thousands of seeds for MUTANT_COUNT_ANY_EPOCH). */
static void test_cluster_finds_mutants(void **state)
{
    static const enum mutant unsafe[] = {MUTANT_VOTE_TWICE, MUTANT_FORGET_ON_REMOVE};
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        const char *wrong = NULL;
        uint64_t seed = 0;
        mutant_active = unsafe[i];
        while (!wrong && seed < 300) {
            ms_t took;
            wrong = cluster_run(++seed, true, &took);
        }
        mutant_active = MUTANT_NONE;
        if (!wrong)
            fail_msg("mutant %d is not found", (int)unsafe[i]);
        print_message("mutant %d: seed %llu: %s\n", (int)unsafe[i], (unsigned long long)seed,
                      wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_mutant_breaks_its_scenario),
        cmocka_unit_test(test_cluster_finds_mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
