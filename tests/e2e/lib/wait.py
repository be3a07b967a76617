"""Waiting with an end."""

import os
import time

from redis.exceptions import RedisError


class Timeout(AssertionError):
    """What was waited for did not happen."""


def wait_until(condition, timeout, what, interval=0.02):
    """Returns the first true value of condition(); its exceptions of the connection kind count as
    false. After timeout seconds fails, with the last value or exception seen."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, RedisError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise Timeout("not within %.1f s: %s (last: %r)" % (timeout, what, last))
        time.sleep(interval)


def stays(condition, seconds, what, interval=0.05):
    """Fails as soon as condition() is false within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), "did not stay so for %.1f s: %s" % (seconds, what)
        time.sleep(interval)


def gone(pid):
    """True: it has ended. A daemon that nobody waits for (in a container, process 1 is no init)
    stays in /proc after that."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"
