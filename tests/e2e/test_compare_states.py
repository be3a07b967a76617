"""Every request of lib/requests.py to a vedette and to a redis-sentinel in the same situation,
whatever the state of the master: the same replies, but for what lib/accepted.py lists."""

import os
import time

import pytest

from lib.accepted import ACCEPTED
from lib.differ import told
from lib.requests import COMMON, lines
from lib.sentinel import ROOT
from lib.situations import Pair
from lib.wait import wait_until

pytestmark = pytest.mark.vedette_only


def flags(scene):
    return set(scene.sentinel.master()["flags"].split(","))


def nothing_monitored(scene):
    scene.start(monitor=False)


def just_monitored(scene):
    """By the command: nobody answers there, and it has not been long."""
    sentinel = scene.start(monitor=False, quorum=2)
    assert sentinel.sentinel("MONITOR", "mymaster", "127.0.0.1", str(scene.master), "2") == "OK"
    sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", "600000")
    return lambda: flags(scene) == {"master", "disconnected"}


def s_down(scene):
    scene.replica()
    scene.start(quorum=5, ghosts=2)
    return lambda: flags(scene) == {"s_down", "master", "disconnected"} and \
        scene.sentinel.replicas()[0]["flags"] == "slave" and \
        all("s_down" in peer["flags"] for peer in scene.sentinel.sentinels())


def o_down(scene):
    """Nothing can be promoted, and the next attempt is far away."""
    scene.start()
    return lambda: scene.sentinel.find("-failover-abort-no-good-slave") and \
        flags(scene) == {"s_down", "o_down", "master", "disconnected"}


def electing(scene):
    """The majority cannot be reached."""
    scene.replica()
    sentinel = scene.start(ghosts=2, down_after=3000)
    sentinel.sentinel("DEBUG", "election-timeout", "600000")
    return lambda: sentinel.master().get("failover-state") == "wait_start" and \
        all("s_down" in peer["flags"] for peer in sentinel.sentinels())


def promoting(scene):
    """The replica does not obey."""
    scene.replica()
    scene.start(down_after=3000)
    return lambda: scene.sentinel.master().get("failover-state") == "wait_promotion"


def reconfiguring(scene):
    """The promoted one obeys, the other one does not."""
    scene.replica(priority=10, obeys=True)
    scene.replica()
    scene.start(down_after=3000)
    scene.sentinel.sentinel("DEBUG", "slave-reconf-timeout", "600000")
    return lambda: scene.sentinel.master().get("failover-state") == "reconf_slaves" and \
        any("reconf_sent" in replica["flags"] for replica in scene.sentinel.replicas())


def failed_over(scene):
    """All obey; the old master is gone."""
    scene.replica(priority=10, obeys=True)
    other = scene.replica(obeys=True)
    scene.start(down_after=3000)
    def over():
        found = {replica["port"]: replica["flags"] for replica in scene.sentinel.replicas()}
        return scene.sentinel.find("+switch-master") and flags(scene) == {"master"} and \
            found == {str(other.port): "slave",
                      str(scene.master): "s_down,slave,disconnected"}
    return over


def tilted(scene):
    """Its process stood still for a while, the master down: it does not act."""
    sentinel = scene.start(quorum=5, down_after=2000)
    sentinel.sentinel("DEBUG", "tilt-period", "600000")
    wait_until(lambda: "s_down" in flags(scene), 10, "it is down")
    sentinel.pause()
    time.sleep(3)
    sentinel.resume()
    return lambda: sentinel.info()["sentinel_tilt"] == "1"


SITUATIONS = [nothing_monitored, just_monitored, s_down, o_down, electing, promoting,
              reconfiguring, failed_over, tilted]


@pytest.fixture(scope="module", params=SITUATIONS, ids=lambda situation: situation.__name__)
def pair(request, tmp_path_factory):
    from lib.world import World
    world = World(str(tmp_path_factory.mktemp("states")), "vedette")
    request.node.world = world
    try:
        yield Pair(world, request.param)
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


@pytest.mark.parametrize("proto", ["2", "3"])
@pytest.mark.parametrize("topic", list(COMMON))
def test_replies(pair, topic, proto):
    complaints = pair.complaints(topic, proto)
    assert not complaints, told(complaints)


def test_accepted_differences_are_documented():
    """Each has its row in docs/compatibility.md, and is asked for."""
    with open(os.path.join(ROOT, "docs", "compatibility.md")) as file:
        rows = [line for line in file if line.startswith("| ")]
    asked = {line for text in COMMON.values() for line in lines(text)}
    for entry in ACCEPTED:
        assert any(row.startswith("| " + entry.row) for row in rows), entry.row
        assert set(entry.requests) <= asked, set(entry.requests) - asked
