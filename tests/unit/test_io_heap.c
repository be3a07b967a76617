#include "io/clock.h"
#include "io/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define NODES 2000

static uint64_t random_state = 42;

static uint64_t draw(uint64_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % bound;
}

/* The parent is never later than its children, and every node knows its place. */
static void check(const struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        assert_int_equal(h->nodes[i]->index, i + 1);
        if (i > 0) {
            assert_true(h->nodes[(i - 1) / 2]->deadline <= h->nodes[i]->deadline);
        }
    }
}

static void comes_in_order(void **state)
{
    static struct heap_node nodes[NODES];
    struct heap h;
    heap_init(&h);
    assert_null(heap_min(&h));
    assert_true(heap_next(&h) == MS_NEVER);
    for (int i = 0; i < NODES; i++) {
        heap_set(&h, &nodes[i], (ms_t)draw(500) + 1);
    }
    check(&h);
    ms_t last = 0;
    for (int i = 0; i < NODES; i++) {
        struct heap_node *first = heap_min(&h);
        assert_true(first->deadline >= last);
        assert_true(heap_next(&h) == first->deadline);
        last = first->deadline;
        heap_remove(&h, first);
        assert_false(heap_has(first));
    }
    assert_null(heap_min(&h));
    heap_free(&h);
}

/* Against the plain truth: an array that is searched. */
static void random_moves(void **state)
{
    static struct heap_node nodes[NODES];
    static ms_t truth[NODES]; /* 0: not in */
    struct heap h;
    heap_init(&h);
    for (int step = 0; step < 200000; step++) {
        size_t i = (size_t)draw(NODES);
        switch (draw(4)) {
        case 0:
            heap_remove(&h, &nodes[i]);
            truth[i] = 0;
            break;
        case 1:
            heap_set(&h, &nodes[i], MS_NEVER);
            truth[i] = 0;
            break;
        default:
            truth[i] = (ms_t)draw(100000) + 1;
            heap_set(&h, &nodes[i], truth[i]);
        }
        assert_int_equal(heap_has(&nodes[i]), truth[i] != 0);
        if (step % 1000 == 0) {
            ms_t least = MS_NEVER;
            uint32_t count = 0;
            for (size_t k = 0; k < NODES; k++) {
                if (truth[k] != 0) {
                    count++;
                    least = truth[k] < least ? truth[k] : least;
                }
            }
            check(&h);
            assert_int_equal(h.count, count);
            assert_true(heap_next(&h) == least);
        }
    }
    heap_free(&h);
    for (size_t k = 0; k < NODES; k++) {
        assert_false(heap_has(&nodes[k]));
    }
}

static void removing_what_is_not_in_does_nothing(void **state)
{
    struct heap h;
    struct heap_node node = {0}, other = {0};
    heap_init(&h);
    heap_remove(&h, &node);
    heap_set(&h, &node, MS_NEVER);
    assert_int_equal(h.count, 0);
    heap_set(&h, &other, 7);
    heap_remove(&h, &node);
    assert_ptr_equal(heap_min(&h), &other);
    heap_free(&h);
}

static void clocks_run(void **state)
{
    ms_t before = clock_now();
    int64_t wall = clock_wall_ms();
    assert_true(before > 0);
    assert_true(wall / 1000 >= (int64_t)time(NULL) - 1);
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    ms_t after = clock_now();
    assert_true(after - before >= 19 && after - before < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_in_order),
        cmocka_unit_test(random_moves),
        cmocka_unit_test(removing_what_is_not_in_does_nothing),
        cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
