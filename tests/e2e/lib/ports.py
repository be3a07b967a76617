"""Ports for tests that run side by side.

A test process owns whole blocks of ports: it proves its ownership by listening on the first port
of the block, so that two processes never take the same one. All are below 32768, where the kernel
does not pick the local ports of outgoing connections.
"""

import os
import random
import socket
import threading

FIRST, LAST, BLOCK = 13000, 32600, 40
_guards = []  # listening sockets, held to the end of the process
_unused = []
_lock = threading.Lock()
_random = random.Random(os.getpid() * 7919 + random.SystemRandom().randrange(1 << 30))


def _take_block():
    bases = list(range(FIRST, LAST - BLOCK, BLOCK))
    _random.shuffle(bases)
    for base in bases:
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", base))
            guard.listen(1)
        except OSError:
            guard.close()
            continue
        _guards.append(guard)
        _unused.extend(range(base + BLOCK - 1, base, -1))
        return
    raise RuntimeError("no block of %d free ports between %d and %d" % (BLOCK, FIRST, LAST))


def is_free(port):
    with socket.socket() as probe:
        # What old connections left behind does not count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port():
    """A port that nobody listens on, never given out twice by this process."""
    with _lock:
        while True:
            if not _unused:
                _take_block()
            port = _unused.pop()
            if is_free(port):
                return port
