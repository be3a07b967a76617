"""Scenario E: the source reader's five scenes, seen on the wire and in the events; and a wall clock
that jumps. (TILT itself: test_protocol.py.)

Every server and every sentinel is reached through a proxy, so that a scene's cut is the network's:
nobody dies."""

import os
import shutil
import subprocess
import time

import pytest

from lib.ports import free_port
from lib.proxy import Proxy
from lib.sentinel import VEDETTE
from lib.wait import stays, wait_until
from lib.world import leader_of, wait_known

DOWN_AFTER = 2000
PUBLISH_PERIOD = 2
PASSWORD = "a-password-on-the-wire"


class Stage:
    """A master, a replica, three sentinels, each behind its proxy."""

    def __init__(self, world):
        self.world = world
        self.master = self._server("master", None)
        self.replica = self._server("replica", self.master)
        self.replica.wait_role("slave", of=self.master.proxy)
        self.sentinels = []
        for i in (1, 2, 3):
            sentinel = world.sentinel("s%d" % i)
            sentinel.proxy = self._proxy(sentinel.port)
            sentinel.write_conf(sentinel.head + [
                "sentinel monitor mymaster 127.0.0.1 %d 2" % self.master.proxy.port,
                "sentinel down-after-milliseconds mymaster %d" % DOWN_AFTER,
                "sentinel failover-timeout mymaster 10000",
                "sentinel auth-pass mymaster " + PASSWORD,
                "sentinel announce-ip 127.0.0.1",
                "sentinel announce-port %d" % sentinel.proxy.port,
                "sentinel current-epoch 0"])
            self.sentinels.append(sentinel)
        for sentinel in self.sentinels:
            sentinel.start()
        wait_known(self.sentinels, replicas=1)
        time.sleep(2 * PUBLISH_PERIOD + 0.3)  # no attempt so shortly after a sentinel was added

    def _proxy(self, to, port=None):
        proxy = Proxy(to, port)
        self.world.others.append(proxy)
        return proxy

    def _server(self, name, follows):
        port = free_port()
        server = self.world.server(name, follows.proxy if follows else None,
                                   ["replica-announce-port %d" % port], PASSWORD)
        server.proxy = self._proxy(server.port, port)
        server.proxy.name = "the proxy of " + name
        return server

    def channels(self, sentinel, mark):
        return [event.channel for event in sentinel.events[mark:]]

    def marks(self):
        return [sentinel.mark() for sentinel in self.sentinels]


@pytest.fixture
def stage(world):
    return Stage(world)


def kinds(words):
    """What a request is: its name, with the subcommand where it has one."""
    name = words[0].upper()
    return name + " " + words[1].upper() if name in ("CLIENT", "SENTINEL", "CONFIG") else name


def test_first_scene_start(stage):
    """AUTH, SETNAME, PING on the command link, AUTH, SETNAME, SUBSCRIBE on the other; then INFO and
    PUBLISH at their periods. To a sentinel: one link, hellos and no INFO."""
    for server in (stage.master, stage.replica):
        links = [words for words in server.proxy.of_connections().values()
                 if ["sentinel-"] == [w[2][:9] for w in words[:2] if kinds(w) == "CLIENT SETNAME"]]
        command = [words for words in links if words[1][2].endswith("-cmd")]
        pubsub = [words for words in links if words[1][2].endswith("-pubsub")]
        assert len(command) >= 3 and len(pubsub) >= 3
        ids = {sentinel.myid()[:8] for sentinel in stage.sentinels}
        assert {words[1][2][9:17] for words in command} == ids
        for words in command:
            assert words[0] == ["AUTH", PASSWORD]
            assert [kinds(w) for w in words[:3]] == ["AUTH", "CLIENT SETNAME", "PING"]
            rest = [kinds(w) for w in words[3:]]
            assert {"PING", "INFO", "PUBLISH"} <= set(rest), rest
            assert set(rest) <= {"PING", "INFO", "PUBLISH"}
            assert all(w == ["INFO"] for w in words if kinds(w) == "INFO")
            hello = next(w for w in words if kinds(w) == "PUBLISH")
            assert hello[1] == "__sentinel__:hello"
            fields = hello[2].split(",")
            assert len(fields) == 8 and " " not in hello[2]
            by = {s.myid(): s for s in stage.sentinels}[fields[2]]
            assert fields == ["127.0.0.1", str(by.proxy.port), by.myid(), "0", "mymaster",
                              "127.0.0.1", str(stage.master.proxy.port), "0"]
        for words in pubsub:
            assert words == [["AUTH", PASSWORD], words[1], ["SUBSCRIBE", "__sentinel__:hello"]]
            assert kinds(words[1]) == "CLIENT SETNAME"
    for sentinel in stage.sentinels:
        links = [words for words in sentinel.proxy.of_connections().values()
                 if kinds(words[0]) == "CLIENT SETNAME"]
        peers = {other.myid()[:8] for other in stage.sentinels if other is not sentinel}
        assert {words[0][2] for words in links} == {"sentinel-%s-cmd" % p for p in peers}
        for words in links:
            assert kinds(words[1]) == "PING"
            assert "INFO" not in {kinds(w) for w in words}
        wait_until(lambda: any(kinds(w) == "PUBLISH" for w in sentinel.proxy.words()), 5,
                   "a hello comes over the sentinels' own links")


def test_second_scene_master_cut(stage):
    """s_down, the question with '*', o_down, the question with an id, SLAVEOF NO ONE in one
    transaction; (5) leader and the others side by side."""
    marks = stage.marks()
    heard = [len(s.proxy.requests) for s in stage.sentinels]
    before = len(stage.replica.proxy.requests)
    stage.master.proxy.cut()
    for sentinel, mark in zip(stage.sentinels, marks):
        sentinel.wait_event("+switch-master", patience=15, since=mark)
    leader = leader_of(stage.sentinels, marks)
    others = [s for s in stage.sentinels if s is not leader]

    # The wire: what the sentinels were asked.
    asked = [w for s, since in zip(stage.sentinels, heard) for w in s.proxy.words(since)
             if kinds(w) == "SENTINEL IS-MASTER-DOWN-BY-ADDR"]
    assert all(w[2:4] == ["127.0.0.1", str(stage.master.proxy.port)] for w in asked)
    votes = [w for w in asked if w[5] == leader.myid() and w[4] == "1"]
    assert len(votes) >= 2, asked
    # To the replica: one transaction, on the leader's command link only.
    sent = stage.replica.proxy.of_connections(before)
    transactions = [words for words in sent.values() if any(kinds(w) == "MULTI" for w in words)]
    assert len(transactions) == 1, sent
    names = [kinds(w) for w in transactions[0]]
    start = names.index("MULTI")
    assert transactions[0][start:start + 6] == [
        ["MULTI"], ["SLAVEOF", "NO", "ONE"], ["CONFIG", "REWRITE"],
        ["CLIENT", "KILL", "TYPE", "normal"], ["CLIENT", "KILL", "TYPE", "pubsub"], ["EXEC"]]

    # The events.
    mark = marks[stage.sentinels.index(leader)]
    told = stage.channels(leader, mark)
    wanted = ["+sdown", "+odown", "+new-epoch", "+try-failover", "+vote-for-leader",
              "+elected-leader", "+failover-state-select-slave", "+selected-slave",
              "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion",
              "+promoted-slave", "+failover-state-reconf-slaves", "+failover-end",
              "+switch-master", "+slave"]
    at = [told.index(channel) for channel in wanted]
    assert at == sorted(at), told
    for other in others:
        mark = marks[stage.sentinels.index(other)]
        told = stage.channels(other, mark)
        assert "+promoted-slave" not in told and "+elected-leader" not in told
        at = [told.index(c) for c in ("+vote-for-leader", "+config-update-from", "+switch-master")]
        assert at == sorted(at), told
        vote = other.find("+vote-for-leader", since=mark)
        assert vote.text == "%s 1" % leader.myid()
        if other.find("+odown", since=mark):
            assert other.in_log("Next failover delay: I will not start a failover before ")
    # The hello carries the new address and epoch at once.
    def announced():
        return any(kinds(w) == "PUBLISH" and w[2].split(",")[2:] == [
            leader.myid(), "1", "mymaster", "127.0.0.1", str(stage.replica.proxy.port), "1"]
            for w in stage.replica.proxy.words(before))
    wait_until(announced, 5, "the leader's hello with the new master")


def test_third_scene_replica_cut(stage):
    """+sdown slave on all, and nothing else; mended: -sdown."""
    marks = stage.marks()
    stage.replica.proxy.cut()
    for sentinel, mark in zip(stage.sentinels, marks):
        down = sentinel.wait_event("+sdown", patience=DOWN_AFTER / 1000 + 8, since=mark)
        assert down.text == "slave 127.0.0.1:%d 127.0.0.1 %d @ mymaster 127.0.0.1 %d" % (
            stage.replica.proxy.port, stage.replica.proxy.port, stage.master.proxy.port)
        assert "s_down,slave" in sentinel.replicas()[0]["flags"]
    stays(lambda: not any(s.find(channel, since=m) for s, m in zip(stage.sentinels, marks)
                          for channel in ("+odown", "+try-failover", "+switch-master")), 2,
          "no failover")
    stage.replica.proxy.mend()
    for sentinel, mark in zip(stage.sentinels, marks):
        sentinel.wait_event("-sdown", patience=8, since=mark)


def test_fourth_scene_sentinel_cut(stage):
    """+sdown sentinel on the others; the quorum is still reached by the rest."""
    lost, *rest = stage.sentinels
    marks = stage.marks()
    lost.proxy.cut()
    for sentinel in rest:
        mark = marks[stage.sentinels.index(sentinel)]
        down = sentinel.wait_event("+sdown", patience=DOWN_AFTER / 1000 + 8, since=mark)
        assert down.text == "sentinel %s 127.0.0.1 %d @ mymaster 127.0.0.1 %d" % (
            lost.myid(), lost.proxy.port, stage.master.proxy.port)
        assert sentinel.sentinel("CKQUORUM", "mymaster").startswith("OK 2 usable Sentinels.")
    marks = stage.marks()
    stage.master.proxy.cut()
    for sentinel in rest:
        sentinel.wait_event("+switch-master", patience=15,
                            since=marks[stage.sentinels.index(sentinel)])
    # It hears of it from the others' hellos: its own links to the servers still stand.
    lost.wait_event("+switch-master", patience=8, since=marks[0])


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
/* CLOCK_REALTIME is off by as many seconds as the file WALL_SHIFT says. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, ts);
    if (rc == 0 && id == CLOCK_REALTIME) {
        char text[32] = {0};
        int fd = open(getenv("WALL_SHIFT"), O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (read(fd, text, sizeof text - 1) > 0)
                ts->tv_sec += atol(text);
            close(fd);
        }
    }
    return rc;
}
"""


@pytest.mark.vedette_only
@pytest.mark.parametrize("jump", [3600, -3600], ids=["forward", "backward"])
def test_wall_clock_jumps(world, jump):
    """A change of the wall clock alone never causes TILT, nor a verdict."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a clock that jumps")
    with open(VEDETTE, "rb") as file:
        if b"__asan_init" in file.read():
            pytest.skip("a sanitizer wants to be the first library")
    source, shim, shift = world.path("shim.c"), world.path("shim.so"), world.path("shift")
    with open(source, "w") as file:
        file.write(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    with open(shift, "w") as file:
        file.write("0")
    master, _ = world.group(replicas=1)
    sentinel = world.sentinel("s1", [
        "sentinel monitor mymaster 127.0.0.1 %d 1" % master.port,
        "sentinel down-after-milliseconds mymaster 1500"])
    sentinel.command = ["env", "LD_PRELOAD=" + shim, "WALL_SHIFT=" + shift] + sentinel.command
    sentinel.start()
    wait_known([sentinel], replicas=1)

    def wall(line):
        return time.mktime(time.strptime(line[:20], "%d %b %Y %H:%M:%S"))

    def last_wall():
        with open(sentinel.log) as file:
            lines = [line for line in file.read().splitlines() if ":X " in line]
        return wall(lines[-1].split(":X ", 1)[1])

    before = last_wall()
    mark = sentinel.mark()
    with open(shift + ".new", "w") as file:
        file.write(str(jump))
    os.rename(shift + ".new", shift)
    stays(lambda: sentinel.info()["sentinel_tilt"] == "0" and sentinel.mark() == mark, 4,
          "neither +tilt nor any other event")
    # The jump was real for it: its log tells the new time.
    sentinel.sentinel("SET", "mymaster", "quorum", "1")
    wait_until(lambda: abs(last_wall() - before - jump) < 120, 5, "the log's clock has jumped")
