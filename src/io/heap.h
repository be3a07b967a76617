/* Deadlines in order: an intrusive binary heap (design.md §1.3). The owner allocates the nodes,
 * usually inside its own structs, and keeps them in place while they are in the heap.
 *
 * Thread: its owner's.
 */
#pragma once

#include "rules/types.h"

#include <assert.h>

struct heap_node {
    ms_t deadline;
    uint32_t index; /* place in the heap + 1; 0: not in a heap. Start with a zeroed node. */
};

struct heap {
    struct heap_node **nodes; /* owned array of borrowed nodes; nodes[0] has the least deadline */
    uint32_t count, cap;
};

void heap_init(struct heap *h);
/* Forgets all nodes (they count as not in a heap afterwards) and frees the array. */
void heap_free(struct heap *h);

/* Puts node in, or moves it, to `deadline`. MS_NEVER takes it out. O(log n). Nodes of equal
 * deadlines come in no particular order. Aborts when memory is out. */
void heap_set(struct heap *h, struct heap_node *node, ms_t deadline);
/* Takes it out; nothing happens when it is not in. O(log n). */
void heap_remove(struct heap *h, struct heap_node *node);
/* The node with the least deadline, which stays in; NULL when empty. O(1). */
struct heap_node *heap_min(const struct heap *h);
/* Its deadline; MS_NEVER when empty. O(1). */
ms_t heap_next(const struct heap *h);

static inline bool heap_has(const struct heap_node *node)
{
    return node->index != 0;
}
