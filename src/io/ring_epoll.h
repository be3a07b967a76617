/* The epoll backend of a ring, for where io_uring is refused: containers whose profile forbids it,
 * kernels before 6.0. Private to src/io.
 *
 * Thread: the one that calls owns the ring.
 */
#pragma once

#include "io/ring.h"

/* NULL, and a sentence for the operator in error[0..error_len), on failure (no descriptor left). Of
 * the options only buffer_size and woken mean something here. */
struct ring *epoll_ring_open(const struct ring_options *options, char *error, size_t error_len);
