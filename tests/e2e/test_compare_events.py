"""The story that events (PSUBSCRIBE *) and the log tell: the same events, in the same order, with the
same texts, and the same lines with the same marks, from a vedette and from a redis-sentinel. As
leader each has servers of its own that do the test's word; as observers both watch one failover."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.differ import Side
from lib.sentinel import ROOT
from lib.situations import Scene
from lib.wait import wait_until
from lib.world import wait_known

pytestmark = pytest.mark.vedette_only

# Lines that are not compared, each with what its row in docs/compatibility.md begins with.
UNTOLD = {"Sentinel new configuration saved on disk": "`Sentinel new configuration saved",
          "another sentinel uses my id": "`another sentinel uses my id"}
# 7.0 says these at the level of warnings.
NOTICE_SINCE_8 = {"Sentinel ID is": "`Sentinel ID is",
                  "Executing user requested FAILOVER of": "`Sentinel ID is"}
# When a peer that never was is noticed to be silent is chance.
CHANCE = ("+sdown sentinel",)


def story(scene, until):
    """[(channel, text)], up to and with the last, and [(mark, text)] of the log up to the same."""
    channel, text = until
    side = scene.side() if isinstance(scene, Scene) else scene
    sentinel = side.sentinel
    sentinel.wait_event(channel, text, patience=25)
    events = []
    for event in sentinel.events[getattr(scene, "begin", 0):]:
        if " ".join((event.channel, event.text)).startswith(CHANCE):
            continue
        if event.channel == "+monitor" and not events:
            continue  # of the start: the subscription may have come before it; the log has it
        events.append((event.channel, side.mask(event.text)))
        if event.channel == channel and text in event.text:
            break
    def logged():
        return [line for line in sentinel.in_log(channel + " ") if text in line]
    wait_until(logged, 5, "%s is in the log" % channel)
    last = logged()[0]
    lines, begun = [], False
    for mark, line in sentinel.log_lines():
        begun = begun or line.startswith("Sentinel ID is")
        # Of verbose lines only events are compared: clients come and go.
        if begun and not line.startswith((*UNTOLD, *CHANCE)) and (mark != "-" or line[0] in "+-"):
            mark = "*" if line.startswith(tuple(NOTICE_SINCE_8)) else mark
            line = re.sub(r"(before|until) [A-Z][a-z]{2} .*", r"\1 <time>", line)
            lines.append((mark, side.mask(line)))
        if line == last:
            break
    return events, lines


def in_order(told):
    """Neighbours of the same kind come in the order of a hash table: sorted."""
    out, run = [], []
    for entry in told + [None]:
        key = entry and (entry[0] if entry[0][:1] in "+-" and len(entry[0]) > 1
                         else entry[1].split(" ")[0])
        if run and run[0] != key:
            out += sorted(run[1])
            run = []
        if entry:
            run = run or [key, []]
            run[1].append(entry)
    return out


def compare(ours, theirs):
    for what, a, b in (("events", ours[0], theirs[0]), ("log", ours[1], theirs[1])):
        a, b = in_order(a), in_order(b)
        assert a == b, "%s:\n  vedette\n    %s\n  stock\n    %s" % (
            what, "\n    ".join(map(repr, a)), "\n    ".join(map(repr, b)))


# --- as leader, and alone -------------------------------------------------------------------------


def failover(scene):
    scene.replica(priority=10, obeys=True)
    scene.replica(obeys=True)
    scene.start(down_after=3000)
    return "+sdown", "slave 127.0.0.1:%d" % scene.master


def no_good_replica(scene):
    scene.replica(priority=0)
    scene.start(down_after=3000)
    return "-failover-abort-no-good-slave", ""


def not_elected(scene):
    sentinel = scene.start(down_after=3000, ghosts=1)
    sentinel.sentinel("DEBUG", "election-timeout", "2000")
    return "-failover-abort-not-elected", ""


def never_promoted(scene):
    scene.replica()
    scene.start(down_after=3000, failover_timeout=4000)
    return "-failover-abort-slave-timeout", ""


def never_reconfigured(scene):
    scene.replica(priority=10, obeys=True)
    scene.replica()
    scene.start(down_after=3000, failover_timeout=4000)
    return "+switch-master", ""


def reconfigured_late(scene):
    scene.replica(priority=10, obeys=True)
    scene.replica()
    sentinel = scene.start(down_after=3000, parallel_syncs=2)
    sentinel.sentinel("DEBUG", "slave-reconf-timeout", "1500")
    return "+switch-master", ""


def forced(scene):
    replica = scene.replica(obeys=True)
    sentinel = scene.start(down_after=600000)
    wait_until(lambda: sentinel.replicas()[0]["runid"] == replica.run_id, 10, "its INFO is known")
    time.sleep(1.2)  # stock asks a good replica to have been asked twice
    assert sentinel.sentinel("FAILOVER", "mymaster") == "OK"
    return "+switch-master", ""


def rebooted(scene):
    replica = scene.replica()
    sentinel = scene.start(down_after=600000)
    sentinel.sentinel("DEBUG", "info-period", "300")
    wait_until(lambda: sentinel.replicas()[0]["runid"] == replica.run_id, 10, "its INFO is known")
    replica.run_id = "f" * 40
    replica.follow(scene.master, link="down")
    return "+reboot", ""


def role_changes(scene):
    """A replica says master, and a replica again."""
    replica = scene.replica()
    sentinel = scene.start(down_after=600000, extra=["loglevel verbose"])
    sentinel.sentinel("DEBUG", "info-period", "300")
    wait_until(lambda: sentinel.replicas()[0]["runid"] == replica.run_id, 10, "its INFO is known")
    replica.info = replica.master_info()
    sentinel.wait_event("-role-change")
    replica.follow(scene.master)
    return "+role-change", ""


def quorum_changes(scene):
    """o_down comes and goes with the quorum."""
    sentinel = scene.start(quorum=2, down_after=2000)
    sentinel.wait_event("+sdown", "master")
    sentinel.sentinel("SET", "mymaster", "quorum", "1")
    sentinel.wait_event("-failover-abort-no-good-slave", patience=20)
    sentinel.wait_log("Next failover delay")
    sentinel.sentinel("SET", "mymaster", "quorum", "2")
    return "-odown", ""


def tilt(scene):
    sentinel = scene.start(quorum=2, down_after=600000)
    sentinel.sentinel("DEBUG", "tilt-period", "2000")
    sentinel.pause()
    time.sleep(3)
    sentinel.resume()
    return "-tilt", ""


def listed(scene, *replicas):
    """The lines of a master's INFO about them."""
    return ["slave%d:ip=127.0.0.1,port=%d,state=online,offset=1,lag=0" % (i, replica.port)
            for i, replica in enumerate(replicas)]


def with_replica(scene, **arrangement):
    """A master that lives, with a replica: (master, replica, sentinel), all known."""
    replica = scene.replica(obeys=True)
    replica.follow(scene.master)
    master = scene.serve(*listed(scene, replica))
    arrangement = {"quorum": 2, "down_after": 600000, **arrangement}
    sentinel = scene.start(**arrangement, known=False)
    sentinel.sentinel("DEBUG", "info-period", "300", "publish-period", "500")
    wait_until(lambda: [found["runid"] for found in sentinel.replicas()] == [replica.run_id] and
               master.subscribers() == 1, 15, "all is known")
    scene.begin = sentinel.mark()  # the subscription may have come after the first events
    return master, replica, sentinel


def master_dies_and_lives(scene):
    master, _, sentinel = with_replica(scene, down_after=1500)
    master.close()
    sentinel.wait_event("+sdown", "master")
    scene.serve(*listed(scene, *scene.replicas))
    return "-sdown", "master"


def master_reboots(scene):
    master, _, _ = with_replica(scene)
    master.run_id = "e" * 40
    master.info = master.master_info(*listed(scene, *scene.replicas))
    return "+reboot", ""


def master_says_replica(scene):
    """It counts as down after a while."""
    master, replica, _ = with_replica(scene, down_after=1500)
    master.follow(replica.port)
    return "+sdown", "master"


def replica_is_converted(scene):
    """It says master for 4 publish-periods."""
    _, replica, _ = with_replica(scene, extra=["loglevel verbose"])
    replica.info = replica.master_info()
    return "+role-change", ""


def replica_is_fixed(scene):
    """It follows somebody else for failover-timeout."""
    _, replica, _ = with_replica(scene, failover_timeout=2000)
    replica.follow(scene.master + 1)
    return "+fix-slave-config", ""


def hello(scene, ip, port, runid, epoch=0, name="mymaster", master=None, config_epoch=0):
    return "%s,%d,%s,%d,%s,127.0.0.1,%d,%d" % (ip, port, runid, epoch, name,
                                                master or scene.master, config_epoch)


def peers_come_and_move(scene):
    """Hellos: new ones, one that moves, one that takes another's place; rubbish."""
    master, _, sentinel = with_replica(scene)
    a, b = "a" * 40, "b" * 40
    for message, event in ((hello(scene, "127.0.0.1", 6401, a), "+sentinel"),
                           (hello(scene, "127.0.0.1", 6402, a), "+sentinel-address-switch"),
                           (hello(scene, "127.0.0.1", 6402, b), "+sentinel"),
                           ("rubbish", None), (hello(scene, "127.0.0.1", 6409, a, name="no"), None),
                           (hello(scene, "127.0.0.1", 6409, sentinel.myid(), 9), None),
                           (hello(scene, "127.0.0.1", 6402, b, epoch=5), "+new-epoch")):
        mark = sentinel.mark()
        master.say(message)
        if event:
            sentinel.wait_event(event, since=mark)
    return "+new-epoch", "5"


def told_of_a_new_master(scene):
    """A peer's hello has a greater configuration epoch."""
    master, replica, sentinel = with_replica(scene)
    replica.info = replica.master_info()
    master.say(hello(scene, "127.0.0.1", 6401, "a" * 40, 7, master=replica.port, config_epoch=7))
    return "+slave", "slave 127.0.0.1:%d" % scene.master


ALONE = [failover, no_good_replica, not_elected, never_promoted, never_reconfigured,
         reconfigured_late, forced, rebooted, role_changes, quorum_changes, tilt,
         master_dies_and_lives, master_reboots, master_says_replica, replica_is_converted,
         replica_is_fixed, peers_come_and_move, told_of_a_new_master]


# Never shut down: processes die with the thread that started them.
POOL = ThreadPoolExecutor(2)


@pytest.mark.parametrize("play", ALONE, ids=lambda play: play.__name__)
def test_alone(world, play):
    scenes = [Scene(world, kind) for kind in ("vedette", "redis")]
    told = [POOL.submit(lambda s: story(s, play(s)), scene) for scene in scenes]
    compare(*[future.result() for future in told])


# --- as observers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("leader", ["vedette", "redis"])
def test_observers(world, leader):
    """Two watch how a third fails over: they vote, and learn of the new master."""
    master, replicas = world.group(replicas=2)
    chosen, vedette, redis = sentinels = world.sentinels(
        [leader, "vedette", "redis"], master, down_after=60000, failover_timeout=60000)
    wait_known(sentinels, replicas=2)
    names = {server.port: name for server, name in zip([master, *replicas],
                                                       ["<master>", "<replica>", "<replica>"])}
    names.update({chosen.port: "<leader>", vedette.port: "<observer>", redis.port: "<observer>"})
    chosen.sentinel("SET", "mymaster", "quorum", "1", "down-after-milliseconds", "1500")
    master.kill()
    told = []
    for sentinel in (vedette, redis):
        sentinel.wait_event("+switch-master", patience=20)
        time.sleep(0.5)
        sentinel.sentinel("SET", "mymaster", "parallel-syncs", "1")
        told.append(story(Side(sentinel, dict(names)), ("+set", "parallel-syncs 1")))
    # Who found whom first before all began is chance.
    def from_the_vote(entries):
        begin = [i for i, entry in enumerate(entries) if "+new-epoch" in " ".join(entry)]
        assert begin, entries
        # When a replica's INFO is read is chance too.
        return [entry for entry in entries[begin[0]:] if "role-change" not in " ".join(entry)]
    compare(*[tuple(map(from_the_vote, part)) for part in told])


def test_accepted_differences_are_documented():
    with open(os.path.join(ROOT, "docs", "compatibility.md")) as file:
        rows = [line for line in file if line.startswith("| ")]
    for row in (*UNTOLD.values(), *NOTICE_SINCE_8.values()):
        assert any(line.startswith("| " + row) for line in rows), row
