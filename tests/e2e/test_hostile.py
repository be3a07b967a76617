"""Clients that mean no good: memory stays bounded, the others are served, and masters that die
meanwhile are failed over as fast as without them. The abusers (lib/abuse.py) are processes of their
own; what they cost is measured beside a run without them."""

import os
import resource
import select
import socket
import subprocess
import sys
import time

import pytest
import redis

from lib.abuse import request
from lib.process import Process, _die_with_parent
from lib.sentinel import VEDETTE
from lib.wait import wait_until
from lib.world import monitor_lines, wait_known

pytestmark = pytest.mark.vedette_only

SANITIZED = "san" in os.path.basename(os.path.dirname(VEDETTE))
HERE = os.path.dirname(os.path.abspath(__file__))
DOWN_AFTER = 1000
# vedette takes as many descriptors as there are, some for itself; so does each abuser.
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
MANY = 10000 if DESCRIPTORS >= 12000 and not SANITIZED else 800
MEGABYTE = 1 << 20


class Abuser(Process):
    def __init__(self, world, kind, port, number, **environment):
        super().__init__(kind, world.path("abuser-%s-%d" % (kind, len(world.processes))))
        world.processes.append(self)
        self.command = [sys.executable, "-B", os.path.join(HERE, "lib", "abuse.py"), kind,
                        str(port), str(number)]
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=_die_with_parent,
                env=dict(os.environ, **environment))
        self.started = time.monotonic()

    def said(self):
        with open(self.output) as file:
            return file.read()

    def wait_ready(self, patience=60.0):
        def ready():
            assert self.alive(), self.said()
            return self.said().startswith("ready")
        wait_until(ready, patience, "abuser %s is ready" % self.name)
        return self

    def stop(self):
        """What it did."""
        self.ended_by_us = True
        self.child.stdin.close()
        self.child.wait(20)
        return "%s: %s" % (self.name, self.said().split("\n", 1)[1].strip())


def rss(process):
    with open("/proc/%d/status" % process.pid) as file:
        [line] = [line for line in file if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def latency(sentinel, count=100):
    """Of a client that behaves: median and worst of so many questions, seconds."""
    taken = []
    for _ in range(count):
        at = time.monotonic()
        sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
        taken.append(time.monotonic() - at)
        time.sleep(0.005)
    return sorted(taken)[count // 2], max(taken)


def count(sentinel, field):
    return int(sentinel.info("stats")[field])


@pytest.fixture
def alone(world):
    """A sentinel of a master that does not exist: what it does is serve clients."""
    lines = monitor_lines(type("Nobody", (), {"port": 1}), 1, 60000)
    return world.sentinel("s1", lines + ["maxclients %d" % (MANY + 20),
                                         "client-output-buffer-limit pubsub 2mb 1mb 3"]).start()


def test_ten_thousand_idle(world, alone):
    """They cost little, one more is told so, and the others do not notice."""
    before, calm = rss(alone), latency(alone)
    abusers = [Abuser(world, "idle", alone.port, MANY // 2),
               Abuser(world, "half", alone.port, MANY - MANY // 2)]
    for abuser in abusers:
        abuser.wait_ready()
    wait_until(lambda: int(alone.info("clients")["connected_clients"]) >= MANY, 30, "all are there")
    held, crowded = rss(alone) - before, latency(alone)
    print("%d clients: %.1f KB each; question %.2f ms, worst %.2f ms; without them %.2f and %.2f" % (
        MANY, held / MANY / 1024, crowded[0] * 1e3, crowded[1] * 1e3, calm[0] * 1e3, calm[1] * 1e3))
    assert held / MANY < 4096 or SANITIZED
    assert crowded[0] < 10 * calm[0] + 0.02
    # The list of all of them, and a place for nobody more.
    assert alone.call("CLIENT", "LIST").count("\n") >= MANY
    refused, extra = count(alone, "rejected_connections"), []
    for _ in range(30):
        extra.append(socket.create_connection(("127.0.0.1", alone.port), 5))
    # Not the last ones: each thread accepts in its own time.
    said, _, _ = select.select(extra, [], [], 5)
    assert said and said[0].recv(100).startswith(b"-ERR max number of clients reached")
    assert count(alone, "rejected_connections") > refused
    for connection in extra:
        connection.close()
    # Whoever held them dies: they are gone, and what they took serves the next ones.
    for abuser in abusers:
        abuser.kill()
    wait_until(lambda: int(alone.info("clients")["connected_clients"]) < 10, 30, "all are gone")
    assert rss(alone) - before < 64 * MEGABYTE or SANITIZED


def test_idle_are_closed(world):
    """timeout: half a request does not keep a connection, a subscription does."""
    lines = monitor_lines(type("Nobody", (), {"port": 1}), 1, 60000) + ["timeout 1"]
    sentinel = world.sentinel("s1", lines).start()
    abusers = [Abuser(world, "idle", sentinel.port, 50).wait_ready(),
               Abuser(world, "half", sentinel.port, 50).wait_ready(),
               Abuser(world, "slow", sentinel.port, 5).wait_ready()]
    def left():
        return [c for c in sentinel.call("CLIENT", "LIST").split("\n") if "name= " in c]
    wait_until(lambda: len(left()) < 50, 10, "those who say nothing are closed")
    assert sum("psub=1" in c for c in left()) >= 5
    for abuser in abusers:
        abuser.stop()


def test_slow_subscribers(world, alone):
    """What they do not read is bounded, then they are closed and counted; who reads misses
    nothing."""
    slow = Abuser(world, "slow", alone.port, 40).wait_ready()
    wait_until(lambda: int(alone.info("stats")["pubsub_patterns"]) >= 1, 10, "subscribed")
    before = rss(alone)
    closed = count(alone, "vedette_clients_closed_for_output")
    mark, resets, worst = alone.mark(), 0, 0
    writer = socket.create_connection(("127.0.0.1", alone.port), 10)
    writer.settimeout(10)
    storm = request("SENTINEL", "RESET", "*") * 500
    deadline = time.monotonic() + 60
    while count(alone, "vedette_clients_closed_for_output") < closed + 40:
        assert time.monotonic() < deadline, "they are not closed"
        writer.sendall(storm)
        got = 0
        while got < 500:
            got += writer.recv(65536).count(b":1\r\n")
        resets += 500
        worst = max(worst, rss(alone) - before)
    asked = latency(alone)
    print("%d events; 40 slow subscribers closed; memory at most %.1f MB more; question %.2f ms, "
          "worst %.2f ms" % (resets, worst / MEGABYTE, asked[0] * 1e3, asked[1] * 1e3))
    # Twice 40 x 2 MB at most, and what the events themselves need on their way.
    assert worst < 250 * MEGABYTE or SANITIZED
    wait_until(lambda: sum(e.channel == "+reset-master" for e in alone.events[mark:]) == resets, 30,
               "the one that reads has all events")
    slow.stop()


def test_pipelines(world, alone):
    """100,000 commands in one go, many times: answered as they are read, no faster."""
    before, calm = rss(alone), latency(alone)
    abusers = [Abuser(world, "pipeline", alone.port, 100000).wait_ready() for _ in range(2)]
    # And one that never reads at all.
    deaf = socket.create_connection(("127.0.0.1", alone.port), 5)
    deaf.setblocking(False)
    text = request("SENTINEL", "MASTER", "mymaster") * 1000
    worst = 0
    for _ in range(30):
        try:
            deaf.send(text)
        except BlockingIOError:
            pass
        worst = max(worst, rss(alone) - before)
        time.sleep(0.05)
    busy = latency(alone)
    print("memory %.1f MB more; question %.2f ms, worst %.2f ms; without them %.2f ms" % (
        worst / MEGABYTE, busy[0] * 1e3, busy[1] * 1e3, calm[0] * 1e3))
    assert worst < 64 * MEGABYTE or SANITIZED
    assert busy[0] < 20 * calm[0] + 0.1
    print("; ".join(abuser.stop() for abuser in abusers))
    deaf.close()


def failover(sentinel, servers):
    """Kills the master; seconds until the sentinel names another one. It is back as a replica when
    this returns."""
    port = sentinel.master_port()
    [master] = [server for server in servers if server.port == port]
    at = master.kill()
    wait_until(lambda: sentinel.master_port() != port, 30, "a new master")
    took = time.monotonic() - at
    [new] = [server for server in servers if server.port == sentinel.master_port()]
    new.wait_role("master")
    master.start()
    master.wait_role("slave", of=new, patience=30)
    wait_until(lambda: sentinel.master()["flags"] == "master" and all(
        r["flags"] == "slave" and r["master-link-status"] == "ok" for r in sentinel.replicas()),
        30, "all is well again")
    return took


def test_failover_meanwhile(world):
    """A master dies while they all are at work at once."""
    master, [replica] = world.group(replicas=1)
    [sentinel] = world.sentinels(["vedette"], master, quorum=1, down_after=DOWN_AFTER,
                                 failover_timeout=3000)
    wait_known([sentinel], replicas=1)
    servers = [master, replica]
    calm = sorted(failover(sentinel, servers) for _ in range(2))
    before = rss(sentinel)
    abusers = [Abuser(world, kind, sentinel.port, number).wait_ready() for kind, number in (
        ("idle", MANY // 4), ("half", MANY // 8), ("slow", 20), ("announced", 1), ("drip", 50),
        ("pipeline", 100000), ("churn", 500))]
    abused = sorted(failover(sentinel, servers) for _ in range(2))
    asked, more = latency(sentinel), rss(sentinel) - before
    print("failover %s s, abused %s s; question %.2f ms, worst %.2f ms; %.0f MB more" % (
        " ".join("%.2f" % t for t in calm), " ".join("%.2f" % t for t in abused), asked[0] * 1e3,
        asked[1] * 1e3, more / MEGABYTE))
    print("; ".join(abuser.stop() for abuser in abusers))
    assert more < 128 * MEGABYTE or SANITIZED
    assert abused[1] < 2 * calm[1] + 1 or SANITIZED
    assert count(sentinel, "vedette_protocol_errors") > 0


def test_flood_of_hellos(world):
    """Sentinels that do not exist are taken in up to a bound, and forgotten by RESET."""
    master, [replica] = world.group(replicas=1)
    [sentinel] = world.sentinels(["vedette"], master, quorum=1, down_after=DOWN_AFTER,
                                 failover_timeout=3000)
    wait_known([sentinel], replicas=1)
    before = rss(sentinel)
    flood = Abuser(world, "hellos", sentinel.port, 3000).wait_ready()
    wait_until(lambda: int(sentinel.master()["num-other-sentinels"]) >= 128, 20, "no more are taken")
    time.sleep(1)
    assert int(sentinel.master()["num-other-sentinels"]) == 128
    asked = latency(sentinel)
    print("%s; %.1f MB more; question %.2f ms" % (flood.stop(), (rss(sentinel) - before) / MEGABYTE,
                                                  asked[0] * 1e3))
    assert rss(sentinel) - before < 32 * MEGABYTE or SANITIZED
    assert count(sentinel, "vedette_hostile_ignored") > 1000
    assert asked[0] < 0.1
    assert sentinel.sentinel("RESET", "mymaster") == 1
    wait_until(lambda: sentinel.master()["num-slaves"] == "1", 15, "it begins anew")
    assert sentinel.master()["num-other-sentinels"] == "0"


def test_flood_of_votes(world):
    """A stranger asks one of three for votes with ever greater epochs: a leader is elected all the
    same."""
    master, [replica] = world.group(replicas=1)
    sentinels = world.sentinels(["vedette"] * 3, master, down_after=DOWN_AFTER,
                                failover_timeout=10000)
    wait_known(sentinels, replicas=1)
    stranger = Abuser(world, "votes", sentinels[0].port, 100,
                      MASTER_PORT=str(sentinels[0].master_port())).wait_ready()
    abused = failover(sentinels[0], [master, replica])
    print("failover with a stranger at one of three %.2f s; %s" % (abused, stranger.stop()))
    assert abused < DOWN_AFTER / 1000 + 8
