"""At the edge: sentinels that are starved of the processor, or stopped for a while, in the middle of
a failover. They may be late; they promise nothing twice and agree in the end."""

import os
import re
import subprocess
import sys
import time

import pytest

from lib.sentinel import IO, ROOT, VEDETTE
from lib.wait import stays, wait_until
from lib.world import wait_known, wait_switched

pytestmark = pytest.mark.vedette_only

BUSY = "import time\nend = time.monotonic() + %d\nwhile time.monotonic() < end: pass"
DOWN_AFTER = 1500


class Promises:
    """What was ever seen of each sentinel's epochs must not go back, and no epoch has two leaders."""

    def __init__(self, sentinels):
        self.sentinels = sentinels
        self.seen = {sentinel.name: (0, 0) for sentinel in sentinels}

    def look(self):
        for sentinel in self.sentinels:
            master = sentinel.master()
            epoch = int(sentinel.info("vedette")["vedette_current_epoch"])
            now = (int(master["config-epoch"]), epoch)
            before = self.seen[sentinel.name]
            assert now[0] >= before[0] and now[1] >= before[1], (sentinel.name, before, now)
            self.seen[sentinel.name] = now

    def leaders(self):
        """{epoch: {sentinels that were elected with it}}."""
        found = {}
        for sentinel in self.sentinels:
            epoch = None
            for event in sentinel.events:
                if event.channel == "+vote-for-leader":
                    epoch = int(event.text.split(" ")[1])
                elif event.channel == "+elected-leader":
                    found.setdefault(epoch, set()).add(sentinel.name)
        return found


@pytest.fixture
def three(world):
    master, [replica] = world.group(replicas=1)
    sentinels = world.sentinels(["vedette"] * 3, master, down_after=DOWN_AFTER)
    wait_known(sentinels, replicas=1)
    time.sleep(4.3)  # no attempt so shortly after a sentinel was added
    return master, replica, sentinels


def settled(three, patience):
    master, replica, sentinels = three
    promises = Promises(sentinels)

    def agreed():
        promises.look()
        return {sentinel.master_port() for sentinel in sentinels} == {replica.port}
    wait_until(agreed, patience, "all three name the replica")
    replica.wait_role("master")
    for epoch, leaders in promises.leaders().items():
        assert len(leaders) == 1, "epoch %s: %s" % (epoch, leaders)
    # Nothing of it is undone afterwards, and the old master is taken in.
    master.start()
    master.wait_role("slave", of=replica, patience=20)
    stays(lambda: agreed() and replica.role()[0] == "master", 1.5, "it stays so")
    for sentinel in sentinels:
        counters = sentinel.info("everything")
        # What may be dropped is counted; votes and epochs are not among it.
        assert int(counters["vedette_events_dropped"]) == 0
        assert int(counters["vedette_gossip_dropped"]) >= 0
        assert counters["vedette_journal_refused"] == "0"


def test_starved(three):
    """At the lowest priority beside busy loops on every core."""
    master, _, sentinels = three
    for sentinel in sentinels:
        for thread in os.listdir("/proc/%d/task" % sentinel.pid):
            os.setpriority(os.PRIO_PROCESS, int(thread), 19)
    loops = [subprocess.Popen([sys.executable, "-c", BUSY % 8])
             for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        master.kill()
        settled(three, 30)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_stopped_in_the_middle(three):
    """The one that asks first is stopped for 3 s right then: another leads, or it does in the end;
    what it says when it wakes does no harm."""
    master, _, sentinels = three
    marks = [sentinel.mark() for sentinel in sentinels]
    master.kill()

    def begun():
        return [s for s, mark in zip(sentinels, marks) if s.find("+try-failover", since=mark)]
    first = wait_until(begun, 10, "somebody begins", interval=0.001)[0]
    first.pause()
    time.sleep(3)
    first.resume()
    settled(three, 45)
    # It noticed that it had been away.
    assert first.find("+tilt")


sys.path.insert(0, os.path.join(ROOT, "bench"))
import lab  # noqa: E402

MANY = 1000


@pytest.fixture
def fleet_of(tmp_path):
    """fleet_of(masters, down_after): bench/fleet and the lines of a sentinel that is enough alone,
    and does not start for the first time: it elects at once."""
    started = []

    def start(masters, down_after):
        fleet = lab.Fleet(os.path.join(os.path.dirname(VEDETTE), "fleet"), str(tmp_path), masters,
                          down_after=down_after, failover_timeout=20000)
        started.append(fleet)
        fleet.start()
        return fleet, [re.sub(r"^(sentinel monitor .* )\d+$", r"\g<1>1", line)
                       for line in fleet.conf_lines().splitlines()] + ["sentinel current-epoch 0"]
    yield start
    for fleet in started:
        assert fleet.stop() is None


def test_bounds_are_met_at_once(world, fleet_of):
    """A thousand masters that answer in one instant, and half of them die in one: more than there
    are receive buffers for, or places in a lane. It is counted, and nothing comes of it."""
    fleet, lines = fleet_of(MANY, 3000)
    sentinel = world.sentinel("vedette", lines).start()
    wait_until(lambda: int(sentinel.info("vedette")["vedette_replicas"]) == MANY, 10,
               "every replica is known")
    time.sleep(2.5)
    assert not sentinel.find("+sdown")
    fleet.control("kill %d" % (MANY // 2))
    wait_until(lambda: all(one["promotions"] for one in fleet.control("promotions")), 15,
               "all are promoted")
    records = fleet.control("promotions")
    assert len(records) == MANY // 2
    for record in records:
        assert record["promotions"] == 1, record
    counters = sentinel.info("everything")
    if IO != "epoll":
        assert int(counters["vedette_receive_buffers_short"]) > 0
    for name in ("vedette_events_dropped", "vedette_gossip_dropped", "vedette_journal_refused"):
        assert counters[name] == "0", name


def test_a_start_that_is_starved(world, fleet_of):
    """It gets an eighth of a core at the start, when everybody answers: whose answer waits, because we
    have not come to it, is not down."""
    _, lines = fleet_of(3 * MANY, 2000)
    sentinel = world.sentinel("vedette", lines)
    sentinel.command += ["--shards", "1"]
    sentinel.spawn()
    begun = time.monotonic()
    while time.monotonic() < begun + 10:
        sentinel.pause()
        time.sleep(0.15)
        sentinel.resume()
        time.sleep(0.02)
    wait_until(lambda: int(sentinel.info("vedette")["vedette_replicas"]) == 3 * MANY, 10,
               "every replica is known")
    assert not sentinel.in_log("+tilt")
    assert not sentinel.in_log("+sdown")
