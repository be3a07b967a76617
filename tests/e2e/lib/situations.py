"""A vedette and a redis-sentinel, each with a master of its own, both in the same situation: what
the servers do is the test's word, so that a situation stays as long as it is asked about."""

import random

from lib.differ import Side, compare
from lib.fake import FakeRedis
from lib.ports import free_port
from lib.requests import COMMON
from lib.wait import wait_until

GHOSTS = ["%040x" % (0xabc + i) for i in range(2)]  # sentinels that are known and do not exist


class Scene:
    """One sentinel and what it watches. nobody listens at the master's port, unless something is
    started there."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.master = free_port()
        self.replicas = []
        self.sentinel = None

    def serve(self, *replica_lines):
        """A master that lives."""
        fake = FakeRedis(port=self.master)
        fake.info = fake.master_info(*replica_lines)
        self.world.others.append(fake)
        return fake

    def replica(self, priority=100, obeys=False):
        fake = FakeRedis(obeys)
        self.world.others.append(fake)
        fake.follow(self.master, link="down", priority=priority)
        self.replicas.append(fake)
        return fake

    def start(self, quorum=1, down_after=1000, ghosts=0, monitor=True, name="mymaster",
              failover_timeout=600000, parallel_syncs=1, extra=(), known=True,
              password=None):
        lines = ["sentinel myid %040x" % random.getrandbits(160), "sentinel current-epoch 0", *extra]
        if monitor:
            lines += ["sentinel monitor %s 127.0.0.1 %d %d" % (name, self.master, quorum),
                      "sentinel down-after-milliseconds %s %d" % (name, down_after),
                      "sentinel failover-timeout %s %d" % (name, failover_timeout),
                      "sentinel parallel-syncs %s %d" % (name, parallel_syncs)]
            lines += ["sentinel known-replica %s 127.0.0.1 %d" % (name, fake.port)
                      for fake in self.replicas if known]
            lines += ["sentinel known-sentinel %s 127.0.0.1 %d %s" % (name, free_port(), ghost)
                      for ghost in GHOSTS[:ghosts]]
        if password:
            lines.append("requirepass " + password)
        self.sentinel = self.world.sentinel(self.kind, lines, self.kind)
        if password:
            self.sentinel.use_password(password)
        self.sentinel.start()
        self.quorum = quorum
        return self.sentinel

    def side(self):
        ports = {self.master: "<master>"}
        ports.update({fake.port: "<replica%d>" % (i + 1) for i, fake in enumerate(self.replicas)})
        return Side(self.sentinel, ports)

    def values(self, name="mymaster"):
        return {"name": name, "master": self.master, "quorum": self.quorum}


class Pair:
    def __init__(self, world, arrange):
        """arrange(scene) starts its sentinel; then until(scene) is waited for in both."""
        self.scenes = [Scene(world, kind) for kind in ("vedette", "redis")]
        self.until = [arrange(scene) for scene in self.scenes]
        for scene, condition in zip(self.scenes, self.until):
            if condition:
                wait_until(condition, 15, "%s is in the situation" % scene.kind)

    def complaints(self, topic, proto, name="mymaster"):
        ours, theirs = self.scenes
        return compare(ours.side(), theirs.side(), COMMON[topic],
                       [scene.values(name) for scene in self.scenes], proto)
