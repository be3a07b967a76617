"""Scenario B: one master, two replicas, three sentinels in containers, with a password, and clients
that follow. (Its puzzle `#quorum 4/2`: test_hardening.py; its clients: test_clients.py.)

A container is a mount namespace here in which sentinel.conf is a file mounted by itself, so that
nothing can be renamed over it."""

import os
import shutil
import subprocess
import threading
import time

import pytest
import redis
from redis.sentinel import Sentinel as RedisPySentinel

from lib import conf
from lib.sentinel import Recorder
from lib.wait import wait_until
from lib.world import leader_of, wait_known, wait_switched

PASSWORD = "str0ng&passw0rd"
DOWN_AFTER, FAILOVER_TIMEOUT = 2000, 10000  # 30000 and 180000 in the text


def can_mount():
    return os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


class Estate:
    def __init__(self, world, mounted):
        self.master, self.replicas = world.group(replicas=2, password=PASSWORD)
        self.servers = {server.port: server for server in [self.master, *self.replicas]}
        self.sentinels = []
        for i in (1, 2, 3):
            sentinel = world.sentinel("sentinel%d" % i, bare=True)
            sentinel.pidfile = os.path.join(sentinel.directory, "sentinel.pid")
            # Each container has a /tmp of its own; the journal goes there when the file is mounted.
            folder = world.path("tmp%d" % i)
            os.makedirs(folder)
            sentinel.write_conf([
                "port %d" % sentinel.port, "daemonize no", "pidfile " + sentinel.pidfile,
                "logfile " + sentinel.log, "dir " + folder,
                "sentinel monitor mymaster 127.0.0.1 %d 2" % self.master.port,
                "sentinel auth-pass mymaster " + PASSWORD,
                "sentinel down-after-milliseconds mymaster %d" % DOWN_AFTER,
                "sentinel parallel-syncs mymaster 1",
                "sentinel failover-timeout mymaster %d" % FAILOVER_TIMEOUT,
                "sentinel deny-scripts-reconfig yes", "sentinel current-epoch 0"])
            sentinel.file = sentinel.conf
            if mounted:
                sentinel.file = world.path("mounted%d.conf" % i)
                shutil.copy(sentinel.conf, sentinel.file)
                sentinel.command = [
                    "unshare", "-m", "sh", "-c",
                    'mount --bind "$1" "$2" && shift && exec "$0" "$@"',
                    sentinel.command[0], sentinel.file, sentinel.conf]
            self.sentinels.append(sentinel)
        for sentinel in self.sentinels:
            sentinel.start()
        wait_known(self.sentinels, replicas=2)

    def known(self, sentinel):
        return (sorted(words[1] for words in conf.sentinel_lines(sentinel.file, "known-replica",
                                                                 "mymaster")),
                sorted(words[2] for words in conf.sentinel_lines(sentinel.file, "known-sentinel",
                                                                 "mymaster")))

    def told(self, sentinel):
        return (sorted(replica["port"] for replica in sentinel.replicas()),
                sorted(peer["runid"] for peer in sentinel.sentinels()))


@pytest.fixture(params=["mounted", "plain"])
def estate(request, world):
    if request.param == "mounted" and (not can_mount() or world.kind == "redis"):
        pytest.skip("needs root and mount namespaces, and a sentinel that copes with EBUSY")
    return Estate(world, request.param == "mounted")


def test_known_before_anyone_answers(estate):
    """The file names replicas and sentinels after the first run; at the next start they are known
    though nobody answers."""
    first, *others = estate.sentinels
    ports = sorted(str(replica.port) for replica in estate.replicas)
    ids = sorted(other.myid() for other in others)
    wait_until(lambda: estate.known(first) == (ports, ids), 5, "the file names everybody")
    first.kill()
    for process in others + list(estate.servers.values()):
        process.kill()
    first.start()
    assert estate.told(first) == (ports, ids)
    assert conf.sentinel_value(first.file, "auth-pass", "mymaster") in (
        PASSWORD, '"%s"' % PASSWORD)


class Writer:
    """A pool over the three sentinels, writing in a loop: what was written, and when."""

    def __init__(self, sentinels):
        source = RedisPySentinel([("127.0.0.1", s.port) for s in sentinels], socket_timeout=1)
        self.master = source.master_for("mymaster", socket_timeout=1, password=PASSWORD)
        self.written = []  # (time, port)
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.leaving.wait(0.02):
            try:
                self.master.incr("written")
                self.written.append((time.monotonic(),
                                     self.master.connection_pool.master_address[1]))
            except redis.RedisError:
                pass

    def stop(self):
        self.leaving.set()
        self.thread.join(3)


def test_failover(estate):
    """INFO on every sentinel shows the new address; the leader's log shows it all; the clients
    write on; after a kill -9 of everybody nothing of it is forgotten."""
    writer = Writer(estate.sentinels)
    listeners = [Recorder(sentinel.port) for sentinel in estate.sentinels]
    try:
        wait_until(lambda: len(writer.written) > 5 and all(
            listener.connected.is_set() for listener in listeners), 5, "writes go on")
        time.sleep(4.5)  # no attempt so shortly after a sentinel was added
        starts = [sentinel.log_size() for sentinel in estate.sentinels]
        estate.master.kill()
        port = wait_switched(estate.sentinels, estate.master)
        for sentinel in estate.sentinels:
            wait_until(lambda: "address=127.0.0.1:%d,slaves=2,sentinels=3" % port
                       in sentinel.info()["master0"], 10, "INFO shows the new address")
        wait_until(lambda: writer.written[-1][1] == port, 10, "writes go to the new master")
        for listener in listeners:
            wait_until(lambda: [e for e in listener.events if e.channel == "+switch-master"], 5,
                       "the listener hears of the switch")
    finally:
        writer.stop()
        for listener in listeners:
            listener.stop()
    leader = leader_of(estate.sentinels)
    lines = [text for _, text in leader.log_lines(starts[estate.sentinels.index(leader)])]

    def at(begins):
        found = [i for i, line in enumerate(lines) if line.startswith(begins)]
        assert found, "%s is not in %s" % (begins, lines)
        return found[0]
    others = [s for s in estate.sentinels if s is not leader]
    order = [at("+sdown master"), at("+odown master"), at("+vote-for-leader " + leader.myid()),
             at("+elected-leader"), at("+selected-slave"), at("+promoted-slave"),
             at("+switch-master")]
    assert order == sorted(order), lines
    # The second may come when one was enough, or have gone to another who asked at that moment.
    epoch = leader.find("+vote-for-leader", leader.myid()).text.split(" ")[1]
    votes = ["%s voted for %s %s" % (other.myid(), leader.myid(), epoch) for other in others]
    assert any(vote in lines for vote in votes), lines
    # Who did neither heard of it from the other follower: a failover takes 15 ms here.
    for other in others:
        wait_until(lambda: other.find("+vote-for-leader", leader.myid()) or
                   other.find("+config-update-from"), 5,
                   "%s voted for the leader, or followed" % other.name)
    # Replicas follow the new master, with its password.
    for server in estate.servers.values():
        if server.port not in (port, estate.master.port):
            server.wait_role("slave", of=estate.servers[port], patience=15)

    before = [estate.told(sentinel) for sentinel in estate.sentinels]
    for sentinel in estate.sentinels:
        sentinel.kill()
    for sentinel, told in zip(estate.sentinels, before):
        sentinel.start()
        assert sentinel.master_port() == port
        assert int(sentinel.master()["config-epoch"]) >= 1
        assert estate.told(sentinel) == told
