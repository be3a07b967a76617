"""Everything that one test starts."""

import os
import random
import time

from lib.process import tail
from lib.sentinel import Sentinel
from lib.server import RedisServer
from lib.wait import wait_until


class World:
    def __init__(self, directory, kind):
        self.directory, self.kind = directory, kind
        self.processes, self.others = [], []

    def path(self, name):
        return os.path.join(self.directory, name)

    def _own(self, process):
        self.processes.append(process)
        return process

    # --- servers ----------------------------------------------------------------------------------

    def server(self, name, follows=None, lines=(), password=None, tls=None):
        return self._own(RedisServer(name, self.path(name), follows, lines, password, tls)).start()

    def group(self, replicas=1, lines=(), password=None, tls=None):
        """(master, [replicas]), linked up."""
        master = self.server("master", None, lines, password, tls)
        found = [self.server("replica%d" % (i + 1), master, lines, password, tls)
                 for i in range(replicas)]
        for replica in found:
            replica.wait_role("slave", of=master)
        return master, found

    # --- sentinels --------------------------------------------------------------------------------

    def sentinel(self, name, lines=(), kind=None, port=None, bare=False, tls=None):
        """Not started yet. kind: the one under test if not given."""
        return self._own(Sentinel(kind or self.kind, name, self.path(name), lines, port, bare,
                                  tls))

    def sentinels(self, kinds, master, quorum=2, down_after=1000, failover_timeout=10000,
                  name="mymaster", lines=(), password=None, tls=None):
        """Started, not for the first time: their files hold an epoch and each other (see
        settle)."""
        found = [self.sentinel("s%d" % (i + 1), (), kind, tls=tls)
                 for i, kind in enumerate(kinds)]
        ids = ["%040x" % random.getrandbits(160) for _ in found]
        for sentinel, myid in zip(found, ids):
            text = monitor_lines(master, quorum, down_after, failover_timeout, name) + list(lines)
            text += ["sentinel myid " + myid, "sentinel current-epoch 0"]
            text += ["sentinel known-sentinel %s 127.0.0.1 %d %s" % (name, peer.port, peer_id)
                     for peer, peer_id in zip(found, ids) if peer is not sentinel]
            sentinel.write_conf(sentinel.head + text)
            if password is not None:
                sentinel.use_password(password)
        for sentinel in found:
            sentinel.start()
        return found

    # --- the end ----------------------------------------------------------------------------------

    def close(self):
        """Stops everything; what was wrong with how it ended."""
        complaints = [process.end() for process in reversed(self.processes)]
        for other in self.others:
            other.close()
        return [complaint for complaint in complaints if complaint]

    def report(self):
        """[(title, text)] for a failed test."""
        shown = []
        for process in self.processes:
            for title, path in process.logs():
                text = tail(path, 15 if isinstance(process, RedisServer) else 80)
                if text.strip():
                    shown.append((title, text))
        return shown


def monitor_lines(master, quorum=2, down_after=1000, failover_timeout=10000, name="mymaster",
                  parallel_syncs=1):
    return ["sentinel monitor %s 127.0.0.1 %d %d" % (name, master.port, quorum),
            "sentinel down-after-milliseconds %s %d" % (name, down_after),
            "sentinel failover-timeout %s %d" % (name, failover_timeout),
            "sentinel parallel-syncs %s %d" % (name, parallel_syncs)]


def wait_known(sentinels, replicas, name="mymaster", patience=15.0):
    """Every one knows so many replicas, with fresh INFO, and all the other sentinels."""
    def ready(sentinel):
        master = sentinel.master(name)
        return (int(master["num-slaves"]) == replicas
                and int(master["num-other-sentinels"]) == len(sentinels) - 1
                and master["flags"] == "master"
                and all(replica["flags"] == "slave" and replica["master-link-status"] == "ok"
                        for replica in sentinel.replicas(name))
                and all(peer["flags"] == "sentinel" for peer in sentinel.sentinels(name)))
    for sentinel in sentinels:
        wait_until(lambda: ready(sentinel), patience,
                   "%s knows %d replicas and %d other sentinels" % (
                       sentinel.name, replicas, len(sentinels) - 1))


def settle(sentinels):
    """A vedette that starts without saved state gives no vote and starts no attempt for one
    election-timeout (10 s), and none for 2 publish-periods after a sentinel was added: waits until
    that is over."""
    over = max(sentinel.started for sentinel in sentinels if sentinel.kind == "vedette") + 10.3 \
        if any(sentinel.kind == "vedette" for sentinel in sentinels) else 0
    time.sleep(max(0, over - time.monotonic()))


def wait_switched(sentinels, old, patience=15.0, name="mymaster"):
    """Every one names one and the same new master; its port."""
    def agreed():
        ports = {sentinel.master_port(name) for sentinel in sentinels}
        return ports.pop() if len(ports) == 1 and old.port not in ports else None
    return wait_until(agreed, patience, "all sentinels name the same new master")


def leader_of(sentinels, since=None):
    """The sentinel that promoted: the only one that said +promoted-slave."""
    def found():
        return [s for i, s in enumerate(sentinels)
                if s.find("+promoted-slave", since=since[i] if since else 0)]

    # The new address is published before the events leave: they may be a moment later.
    leaders = wait_until(found, 5, "+promoted-slave on one of %s" % [s.name for s in sentinels])
    assert len(leaders) == 1, "leaders: %s" % [s.name for s in leaders]
    return leaders[0]
