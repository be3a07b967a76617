"""Scenario D: an old estate, 2.8-style, in the middle of its life: daemons, relative paths, special
characters in a password, and state from earlier years."""

import contextlib
import fcntl
import os
import re
import signal
import threading
import time

import pytest

from lib import conf
from lib.fake import HELLO_CHANNEL, FakeRedis
from lib.ports import free_port, is_free
from lib.sentinel import Recorder
from lib.server import client
from lib.wait import gone, wait_until
from lib.world import leader_of, wait_known, wait_switched

PASSWORD = "0234kz9*1"
EPOCH = 8394
IDS = ["%040x" % (0xd28000 + i) for i in (1, 2, 3)]
GONE = "76ef04d2a9f2bb4d6e4d3ba9b4c1e0c4d9d7a5f1"  # a sentinel of earlier years, long dead


@contextlib.contextmanager
def old_ports():
    """26371-26373 as in the text where they are free, others where they are not."""
    with open("/tmp/vedette-e2e-26371.%d.lock" % os.getuid(), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = all(is_free(port) for port in (26371, 26372, 26373))
        except OSError:
            free = False
        yield [26371, 26372, 26373] if free else [free_port() for _ in range(3)]


class Daemon:
    """What the test needs to end one that left its parent."""

    def __init__(self, sentinel):
        self.sentinel = sentinel
        self.pidfile = os.path.join(sentinel.directory, "sentinel.pid")

    def pid(self):
        with open(self.pidfile) as file:
            return int(file.read())

    def start(self):
        if os.path.exists(self.pidfile):  # of a life that was killed
            os.unlink(self.pidfile)
        assert self.sentinel.spawn().wait_exit() == 0, "the parent of the daemon"
        wait_until(lambda: self.sentinel.call("PING") == "PONG" and self.pid(), 10,
                   "%s answers" % self.sentinel.name)
        self.sentinel.started = time.monotonic()

    def signal(self, number):
        pid = self.pid()
        os.kill(pid, number)
        return wait_until(lambda: gone(pid), 10, "daemon %d has ended" % pid)

    def end(self):
        if self.sentinel.recorder is not None:
            self.sentinel.recorder.stop()
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid(), signal.SIGKILL)


def lines(number, ports, master_port, replica_port):
    others = [(ports[i], IDS[i]) for i in range(3) if i != number]
    return ["port %d" % ports[number], "daemonize yes", 'logfile "./sentinel%d.log"' % (number + 1),
            "pidfile ./sentinel.pid", "dir ./",
            "sentinel monitor TestMaster 127.0.0.1 %d 1" % master_port,
            "sentinel myid " + IDS[number],
            "sentinel down-after-milliseconds TestMaster 1500",
            "sentinel failover-timeout TestMaster 10000",
            "sentinel auth-pass TestMaster " + PASSWORD,
            "sentinel config-epoch TestMaster 15", "sentinel leader-epoch TestMaster %d" % EPOCH,
            "sentinel known-slave TestMaster 127.0.0.1 %d" % replica_port,
            *("sentinel known-sentinel TestMaster 127.0.0.1 %d %s" % other for other in others),
            "sentinel current-epoch %d" % EPOCH]


class Estate:
    def __init__(self, world, ports, kinds):
        self.master, [self.replica] = world.group(replicas=1, password=PASSWORD)
        self.sentinels, self.daemons = [], []
        for i, kind in enumerate(kinds):
            sentinel = world.sentinel("s%d" % (i + 1), kind=kind, port=ports[i], bare=True)
            sentinel.log = os.path.join(sentinel.directory, "sentinel%d.log" % (i + 1))
            sentinel.write_conf(lines(i, ports, self.master.port, self.replica.port))
            sentinel.command[1:] = [os.path.basename(sentinel.conf)]  # from its own folder
            self.sentinels.append(sentinel)
            self.daemons.append(Daemon(sentinel))

    def start(self):

        for daemon in self.daemons:
            daemon.start()
        for sentinel in self.sentinels:
            if sentinel.recorder is None:
                sentinel.recorder = Recorder(sentinel.port)
            wait_until(sentinel.recorder.connected.is_set, 5, "subscribed")


@pytest.fixture
def estate(world):
    with old_ports() as ports:
        made = []

        def make(kinds=(world.kind,) * 3):
            made.append(Estate(world, ports, kinds))
            made[0].start()
            return made[0]
        try:
            yield make
        finally:
            for daemon in made[0].daemons if made else ():
                daemon.end()


class Listener:
    """SUBSCRIBE __sentinel__:hello on a server."""

    def __init__(self, server):
        self.heard = []
        self.subscriber = client(server.port, password=PASSWORD).pubsub()
        self.subscriber.subscribe(HELLO_CHANNEL)
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.leaving.is_set():
            message = self.subscriber.get_message(timeout=0.05)
            if message and message["type"] == "message":
                self.heard.append(message["data"])

    def stop(self):
        self.leaving.set()
        self.thread.join(3)
        self.subscriber.close()


def test_commands_and_hellos(estate):
    estate = estate()
    wait_known(estate.sentinels, replicas=1, name="TestMaster")
    for sentinel in estate.sentinels:
        [flat] = sentinel.sentinel("masters")
        shown = dict(zip(flat[::2], flat[1::2]))
        assert (shown["name"], shown["port"], shown["config-epoch"], shown["quorum"]) == (
            "TestMaster", str(estate.master.port), "15", "1")
        [flat] = sentinel.sentinel("slaves", "TestMaster")
        assert dict(zip(flat[::2], flat[1::2]))["name"] == estate.replica.address
        assert sentinel.sentinel("get-master-addr-by-name", "TestMaster") == [
            "127.0.0.1", str(estate.master.port)]
        assert os.path.exists(sentinel.log)  # ./ is its own folder
    listener = Listener(estate.master)
    try:
        wait_until(lambda: len({hello.split(",")[2] for hello in listener.heard}) == 3, 8,
                   "three sentinels' hellos")
    finally:
        listener.stop()
    for sentinel, myid in zip(estate.sentinels, IDS):
        assert "127.0.0.1,%d,%s,%d,TestMaster,127.0.0.1,%d,15" % (
            sentinel.port, myid, EPOCH, estate.master.port) in listener.heard


def epochs(sentinel):
    """(current, leader, config) of its file."""
    return tuple(int(sentinel.saved(word, name)) for word, name in
                 (("current-epoch", None), ("leader-epoch", "TestMaster"),
                  ("config-epoch", "TestMaster")))


@pytest.mark.vedette_only  # stock forgets whom it voted for
def test_epochs_go_on(estate):
    """Stopped with SIGQUIT: switched, with epochs above those of earlier years; everybody killed
    right after the vote: never below."""
    estate = estate()
    wait_known(estate.sentinels, replicas=1, name="TestMaster")
    marks = [sentinel.mark() for sentinel in estate.sentinels]
    os.kill(estate.master.pid, signal.SIGQUIT)
    estate.master.ended_by_us = True

    # Whoever votes first: nobody lives on.
    def voted():
        return [s.find("+vote-for-leader", since=m) for s, m in zip(estate.sentinels, marks)
                if s.find("+vote-for-leader", since=m)]
    vote = wait_until(voted, 10, "a vote", interval=0.001)[0]
    for daemon in estate.daemons:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid(), signal.SIGKILL)
    for daemon in estate.daemons:
        pid = daemon.pid()
        wait_until(lambda: gone(pid), 5, "it is gone")
    epoch = int(vote.text.split(" ")[1])
    assert epoch > EPOCH
    leader = vote.text.split(" ")[0]

    for daemon in estate.daemons:
        daemon.start()
    # Who gave its vote for that epoch never gives it to another.
    for sentinel in estate.sentinels:
        answer = sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(estate.master.port),
                                   str(EPOCH), "f" * 40)[1:]
        assert answer[1] == 0 or answer[1] >= EPOCH
        if answer[1] == epoch:
            assert answer[0] in (leader, "*")
    wait_until(lambda: {s.master_port("TestMaster") for s in estate.sentinels} ==
               {estate.replica.port}, 30, "everybody names the new master")
    for sentinel in estate.sentinels:
        wait_until(lambda: epochs(sentinel)[2] > 15, 5, "the file has the configuration")
        current, voted_for, config = epochs(sentinel)
        assert current >= epoch and voted_for >= EPOCH and config > EPOCH
        assert not [text for _, text in sentinel.log_lines()
                    if re.match(r"\+new-epoch (\d+)$", text)
                    and int(text.split(" ")[1]) <= EPOCH]


@pytest.mark.vedette_only
@pytest.mark.parametrize("leads", ["vedette", "redis"])
def test_either_kind_leads(estate, leads):
    """vedettes beside redis-sentinels in one quorum, on files of the same years."""
    estate = estate(("vedette", "redis", "vedette") if leads == "vedette"
                    else ("redis", "vedette", "redis"))
    wait_known(estate.sentinels, replicas=1, name="TestMaster")
    chosen = [s for s in estate.sentinels if s.kind == leads]
    marks = [sentinel.mark() for sentinel in estate.sentinels]
    assert chosen[0].sentinel("FAILOVER", "TestMaster") == "OK"
    wait_switched(estate.sentinels, estate.master, name="TestMaster")
    assert leader_of(estate.sentinels, marks) is chosen[0]
    for sentinel in estate.sentinels:
        assert int(sentinel.master("TestMaster")["config-epoch"]) > EPOCH


@pytest.mark.vedette_only  # stock names them in its file a moment later, or not at all
def test_old_forms(world):
    """`known-slave`, known-sentinel without an id, `slave0:<ip>,<port>,<state>` in INFO."""
    master, replica = FakeRedis(), FakeRedis()
    world.others += [master, replica]
    master.info = master.master_info("slave0:127.0.0.1,%d,online" % replica.port)
    replica.info = replica.master_info(
        "master_host:127.0.0.1", "master_port:%d" % master.port, "master_link_status:up",
        role="slave")
    sentinel = world.sentinel("s1", [
        "sentinel monitor TestMaster 127.0.0.1 %d 1" % master.port,
        "sentinel known-slave TestMaster 127.0.0.1 7999",
        "sentinel known-sentinel TestMaster 127.0.0.1 7998",
        "sentinel known-sentinel TestMaster 127.0.0.1 7997 " + GONE]).start()
    wait_until(lambda: {found["port"] for found in sentinel.replicas("TestMaster")} ==
               {"7999", str(replica.port)}, 5, "both replicas are known")
    assert [peer["runid"] for peer in sentinel.sentinels("TestMaster")] == [GONE]
    def in_the_file():
        return sorted(words[1] for word in ("known-replica", "known-slave")
                      for words in conf.sentinel_lines(sentinel.conf, word, "TestMaster"))
    wait_until(lambda: in_the_file() == sorted(["7999", str(replica.port)]), 5,
               "the file names each once")
