#include "io/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        h->nodes[i]->index = 0;
    }
    free(h->nodes);
    *h = (struct heap){0};
}

static void place(struct heap *h, uint32_t at, struct heap_node *node)
{
    h->nodes[at] = node;
    node->index = at + 1;
}

/* Moves the hole at `at` towards the root until node fits in. Returns where that is. */
static uint32_t sift_up(struct heap *h, uint32_t at, const struct heap_node *node)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (h->nodes[parent]->deadline <= node->deadline) {
            break;
        }
        place(h, at, h->nodes[parent]);
        at = parent;
    }
    return at;
}

/* Moves the hole at `at` away from the root until node fits in. Returns where that is. */
static uint32_t sift_down(struct heap *h, uint32_t at, const struct heap_node *node)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;
        if (child >= h->count) {
            return at;
        }
        if (child + 1 < h->count && h->nodes[child + 1]->deadline < h->nodes[child]->deadline) {
            child++;
        }
        if (h->nodes[child]->deadline >= node->deadline) {
            return at;
        }
        place(h, at, h->nodes[child]);
        at = (uint32_t)child;
    }
}

static void settle(struct heap *h, uint32_t hole, struct heap_node *node)
{
    uint32_t at = sift_up(h, hole, node);
    if (at == hole) {
        at = sift_down(h, hole, node);
    }
    place(h, at, node);
}

void heap_set(struct heap *h, struct heap_node *node, ms_t deadline)
{
    if (deadline == MS_NEVER) {
        heap_remove(h, node);
        node->deadline = deadline;
        return;
    }
    node->deadline = deadline;
    if (node->index != 0) {
        assert(node->index <= h->count && h->nodes[node->index - 1] == node);
        settle(h, node->index - 1, node);
        return;
    }
    if (h->count == h->cap) {
        uint32_t cap = h->cap > 0 ? 2 * h->cap : 64;
        assert(cap > h->cap);
        struct heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
        if (nodes == NULL) {
            abort();
        }
        h->nodes = nodes;
        h->cap = cap;
    }
    settle(h, h->count++, node);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->index == 0) {
        return;
    }
    uint32_t hole = node->index - 1;
    assert(hole < h->count && h->nodes[hole] == node);
    node->index = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last != node) {
        settle(h, hole, last);
    }
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}

ms_t heap_next(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0]->deadline : MS_NEVER;
}
