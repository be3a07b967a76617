"""Scenario A: the how-to of two machines with quorum 1, and the trap it ends with."""

import os
import re
import time

from lib.wait import stays, wait_until
from lib.world import leader_of, settle, wait_known, wait_switched

DOWN_AFTER = 5000


def pair(world, failover_timeout=5000):
    """One master, one replica, a sentinel beside each, as in the text."""
    master, [replica] = world.group(replicas=1)
    found = []
    for i in (1, 2):
        sentinel = world.sentinel("s%d" % i, bare=True)
        sentinel.write_conf([
            "port %d" % sentinel.port, "protected-mode no", "dir " + sentinel.directory,
            "logfile " + sentinel.log,
            "sentinel monitor mymaster 127.0.0.1 %d 1" % master.port,
            "sentinel down-after-milliseconds mymaster %d" % DOWN_AFTER,
            "sentinel parallel-syncs mymaster 1",
            "sentinel failover-timeout mymaster %d" % failover_timeout])
        found.append(sentinel)
    for sentinel in found:
        sentinel.start()
    wait_known(found, replicas=1)
    settle(found)
    return master, replica, found


def test_dir_that_does_not_exist(world):
    """The start fails with the four-line block; created, it starts."""
    sentinel = world.sentinel("s1", bare=True)
    missing = world.path("not-there")
    sentinel.write_conf(["port %d" % sentinel.port, "protected-mode no", "dir " + missing,
                         "sentinel monitor mymaster 127.0.0.1 6399 1"])
    code, said = sentinel.start_fails()
    assert code == 1
    block = re.search(r"\*\*\* FATAL CONFIG FILE ERROR .*\*\*\*\n"
                      r"Reading the configuration file, at line (\d+)\n"
                      r">>> '(.*)'\n(.*)\n", said)
    assert block, said
    assert block.group(1) == "3"
    assert block.group(2) in ("dir " + missing, 'dir "%s"' % missing)
    reason = "No such file or directory"  # all that 7.0.15 says
    if world.kind == "vedette":
        reason = "Can't chdir to '%s': %s" % (missing, reason)
    assert block.group(3) == reason
    os.mkdir(missing)
    sentinel.start()
    assert sentinel.master()["port"] == "6399"


def addresses(sentinel):
    return sentinel.info()["master0"]


def test_failover_and_back(world):
    master, replica, both = pair(world)
    for sentinel in both:
        assert addresses(sentinel) == "name=mymaster,status=ok,address=%s,slaves=1,sentinels=2" % (
            master.address)

    # The master dies.
    starts = [sentinel.log_size() for sentinel in both]
    killed = master.kill()
    assert wait_switched(both, master, patience=20) == replica.port
    leader = leader_of(both)
    other = both[1] if leader is both[0] else both[0]
    of = "mymaster 127.0.0.1 %d" % master.port
    switch = "%s 127.0.0.1 %d" % (of, replica.port)
    slave = "slave %s 127.0.0.1 %d @ mymaster 127.0.0.1 %d" % (
        replica.address, replica.port, master.port)
    old = "slave %s 127.0.0.1 %d @ mymaster 127.0.0.1 %d" % (
        master.address, master.port, replica.port)

    for event in ("+switch-master", "+slave"):
        leader.wait_event(event)
        other.wait_event(event)
    # The other's question, which came before our own verdict, is a second voice for it.
    told = [(event.channel, event.text.replace("#quorum 2/1", "#quorum 1/1"))
            for event in leader.events]
    expected = [("+sdown", "master " + of), ("+odown", "master %s #quorum 1/1" % of),
                ("+new-epoch", "1"), ("+try-failover", "master " + of),
                ("+vote-for-leader", "%s 1" % leader.myid()), ("+elected-leader", "master " + of),
                ("+failover-state-select-slave", "master " + of), ("+selected-slave", slave),
                ("+failover-state-send-slaveof-noone", slave),
                ("+failover-state-wait-promotion", slave), ("+promoted-slave", slave),
                ("+failover-state-reconf-slaves", "master " + of),
                ("+failover-end", "master " + of), ("+switch-master", switch), ("+slave", old)]
    at = [told.index(event) for event in expected]
    assert at == sorted(at), told

    told = [(event.channel, event.text) for event in other.events]
    expected = [("+new-epoch", "1"), ("+vote-for-leader", "%s 1" % leader.myid()),
                ("+config-update-from", "sentinel %s 127.0.0.1 %d @ %s" % (
                    leader.myid(), leader.port, of)),
                ("+switch-master", switch), ("+slave", old)]
    at = [told.index(event) for event in expected]
    assert at == sorted(at), told
    # 5 s without an answer, then a failover of seconds.
    assert 4.0 < leader.find("+sdown").at - killed < 7.5

    # Due after down-after, on both.
    for sentinel in both:
        sentinel.wait_event("+sdown", old, patience=DOWN_AFTER / 1000 + 5)
    for sentinel, start in zip(both, starts):
        assert sentinel.in_log("+switch-master " + switch, since=start)

    # The old master comes back: it becomes a replica.
    master.start()
    back = time.monotonic()
    for sentinel in both:
        sentinel.wait_event("-sdown", old, patience=10)
    wait_until(lambda: any(s.find("+convert-to-slave", old) for s in both), 12,
               "+convert-to-slave")
    master.wait_role("slave", of=replica, patience=12)
    assert time.monotonic() - back < 15
    for sentinel in both:
        wait_until(lambda: sentinel.replicas()[0]["master-link-status"] == "ok"
                   and sentinel.replicas()[0]["flags"] == "slave", 15, "the replica's link is up")

    # The new master dies: it fails back.
    replica.kill()
    assert wait_switched(both, replica, patience=25) == master.port
    master.wait_role("master")
    assert int(both[0].master()["config-epoch"]) > 1


def test_majority_not_reached(world):
    """Quorum 1 of two sentinels, one of them dead: nobody is elected, until the other is back."""
    master, replica, [left, dead] = pair(world, failover_timeout=20000)
    dead.kill()
    start = left.log_size()
    killed = master.kill()
    left.wait_event("+odown", "#quorum 1/1", patience=DOWN_AFTER / 1000 + 4)
    tried = left.wait_event("+try-failover", patience=5)
    left.wait_event("-failover-abort-not-elected", patience=14)
    assert time.monotonic() - killed < 25
    assert left.in_log("-failover-abort-not-elected master mymaster", since=start)
    delay = left.wait_log("Next failover delay: I will not start a failover before ", since=start)
    stays(lambda: replica.role()[0] == "slave" and left.master_port() == master.port, 2,
          "nobody is promoted")
    assert len(delay) == 1, delay
    assert re.search(r"before [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$", delay[0])

    # 2 x failover-timeout would be 40 s after the first attempt.
    dead.start()
    back = time.monotonic()
    assert wait_switched([left, dead], master, patience=18) == replica.port
    assert time.monotonic() - tried.at < 36
    assert time.monotonic() - back < 18
    replica.wait_role("master")
