"""What takes several connections, changes or ends something: each play is given once with a vedette
and once with a redis-sentinel, and must go the same way, replies, events and all."""

import os
import re
import time

import pytest

from lib.conf import directives
from lib.differ import client_shape, shape
from lib.requests import words
from lib.sentinel import ROOT
from lib.situations import Scene
from lib.wait import wait_until
from lib.wire import Closed, Wire, encode

pytestmark = pytest.mark.vedette_only


class Stage:
    """One sentinel, its connections by name, and what was told."""

    def __init__(self, scene):
        self.scene, self.told, self.wires, self.ids = scene, [], {}, {}

    @property
    def side(self):
        return self.scene.side()

    def connect(self, *names):
        for name in names:
            wire = self.wires[name] = Wire(self.scene.sentinel.port)
            self.ids[name] = wire.ask("CLIENT", "ID")[1]

    def fill(self, line):
        """@name is a connection's id, &name its address."""
        line = re.sub(r"@(\w+)", lambda m: self.ids[m.group(1)], line)
        return re.sub(r"&(\w+)", lambda m: self.wires[m.group(1)].address, line)

    def send(self, name, line):
        self.wires[name].send(encode(words(self.fill(line), **self.scene.values())))

    def hear(self, name, line=""):
        try:
            self.told.append((name, line, shape(self.side, line, self.wires[name].read())))
        except Closed:
            self.told.append((name, line, "closed"))

    def ask(self, name, line):
        self.send(name, line)
        self.hear(name, line)

    def note(self, what):
        self.told.append(what)

    def closed(self, *names):
        """Which of them the sentinel has closed."""
        self.note(("closed", [(name, self.wires[name].closed(0.3)) for name in names]))

    def events(self, last, text=""):
        """All of them, up to the last one that is waited for."""
        self.scene.sentinel.wait_event(last, text)
        for event in self.scene.sentinel.events:
            self.note((event.channel, self.side.mask(event.text)))
            if event.channel == last and text in event.text:
                break

    def close(self):
        for wire in self.wires.values():
            wire.close()


# --- clients --------------------------------------------------------------------------------------


def kill_by_id(stage):
    stage.connect("a", "b", "c")
    stage.ask("a", "CLIENT KILL ID @b")
    stage.ask("a", "CLIENT KILL ID @b")
    stage.ask("a", "CLIENT KILL ID @a")            # not itself
    stage.ask("a", "CLIENT KILL ID @c ADDR &a")    # fits nobody
    stage.ask("a", "CLIENT KILL ADDR &c ID @c TYPE normal USER default SKIPME yes")
    stage.closed("b", "c")
    stage.ask("a", "CLIENT KILL ID @a SKIPME no")
    stage.closed("a")


def kill_the_old_way(stage):
    stage.connect("a", "b")
    stage.ask("a", "CLIENT KILL &b")
    stage.closed("b")
    stage.ask("a", "CLIENT KILL &b")
    stage.ask("a", "CLIENT KILL &a")
    stage.closed("a")


def kill_in_a_pipeline(stage):
    stage.connect("a", "b")
    stage.wires["a"].send(encode(["PING", "1"]) + encode(["CLIENT", "KILL", "ID", stage.ids["a"],
                                                          "SKIPME", "no"]) + encode(["PING", "2"]))
    for _ in range(3):
        stage.hear("a")
    stage.ask("b", "PING")


def kill_by_type(stage):
    stage.connect("a", "b", "c")
    stage.ask("b", "SUBSCRIBE x")
    stage.ask("c", "HELLO 3")
    stage.ask("c", "PSUBSCRIBE y*")
    stage.ask("a", "CLIENT KILL TYPE pubsub ID @c")
    stage.ask("a", "CLIENT KILL TYPE normal ID @b")
    stage.ask("a", "CLIENT KILL TYPE master ID @b")
    stage.ask("a", "CLIENT KILL TYPE PubSub ID @b SKIPME no")
    stage.closed("b", "c")


def lists(stage):
    stage.connect("a", "b", "c")
    stage.ask("a", "CLIENT SETNAME one")
    stage.ask("b", "HELLO 3 SETNAME two")
    stage.ask("b", "SUBSCRIBE x y")
    stage.hear("b")
    stage.ask("b", "PSUBSCRIBE z*")
    stage.ask("c", "CLIENT NO-EVICT on")
    stage.ask("c", "CLIENT TRACKING on BCAST PREFIX k")
    for line in ("CLIENT LIST ID @a @b", "CLIENT LIST ID @b @a @a 99999", "CLIENT LIST ID @c",
                 "CLIENT LIST TYPE pubsub"):
        stage.send("a", line)
        kind, text = stage.wires["a"].read()
        # The test's own subscriber is there too.
        text = "\n".join(entry for entry in text.split("\n") if "psub=1" not in entry or
                         "name=two" in entry)
        stage.note((line, client_shape(stage.side, (kind, text))))
    stage.ask("b", "CLIENT INFO")
    stage.ask("b", "CLIENT LIST ID @b")
    stage.ask("c", "CLIENT INFO")
    stage.ask("c", "CLIENT NO-EVICT off")
    stage.ask("c", "CLIENT TRACKING off")
    stage.ask("c", "CLIENT INFO")
    stage.ask("a", "CLIENT TRACKING on REDIRECT @b NOLOOP")
    stage.ask("a", "CLIENT UNBLOCK @b")
    stage.send("a", "CLIENT GETREDIR")
    stage.note(stage.wires["a"].read() == (":", stage.ids["b"]))


def pauses(stage):
    stage.connect("a", "b")
    stage.ask("a", "CLIENT PAUSE 700")
    begin = time.monotonic()
    stage.ask("b", "PING")
    stage.note(time.monotonic() - begin > 0.4)
    stage.ask("a", "CLIENT PAUSE 60000 WRITE")
    stage.ask("b", "PING")
    stage.ask("b", "SENTINEL MYID")
    stage.ask("b", "CLIENT UNPAUSE")
    stage.ask("a", "PING")


def messages(stage):
    """RESP2 and RESP3, by channel and by pattern, and commands in between."""
    stage.connect("a", "b", "c")
    stage.ask("b", "SUBSCRIBE +set")
    stage.ask("b", "PSUBSCRIBE +s?t")
    stage.ask("c", "HELLO 3")
    stage.ask("c", "SUBSCRIBE +set")
    stage.ask("c", "PSUBSCRIBE *set")
    stage.ask("c", "PING")
    stage.ask("a", "SENTINEL SET %(name)s parallel-syncs 4")
    for name in ("b", "b", "c", "c"):
        stage.hear(name)
    stage.ask("c", "SENTINEL GET-MASTER-ADDR-BY-NAME %(name)s")
    stage.send("c", "SENTINEL SET %(name)s parallel-syncs 1")
    # The messages and the reply, in whatever order.
    heard = [shape(stage.side, "", stage.wires["c"].read()) for _ in range(3)]
    stage.note(sorted(heard, key=repr))
    for _ in range(2):
        stage.hear("b")
    stage.ask("b", "UNSUBSCRIBE +set")
    stage.ask("b", "PUNSUBSCRIBE")
    stage.ask("b", "SENTINEL MYID")


# --- what changes ---------------------------------------------------------------------------------


def settings(stage):
    stage.connect("a")
    for line in ("SENTINEL SET %(name)s down-after-milliseconds 700000 failover-timeout 500000 "
                 "parallel-syncs 3 quorum 9 master-reboot-down-after-period 60000",
                 "SENTINEL MASTER %(name)s", "SENTINEL CKQUORUM %(name)s",
                 "SENTINEL SET %(name)s auth-user me auth-pass secret",
                 "SENTINEL SET %(name)s rename-command CONFIG GUESSED rename-command SLAVEOF x",
                 "SENTINEL SET %(name)s auth-pass \"\" auth-user \"\"",
                 "SENTINEL SET %(name)s quorum 2 QUORUM 3",
                 "SENTINEL MASTER %(name)s",
                 "SENTINEL CONFIG SET announce-port 7777", "SENTINEL CONFIG GET announce-port",
                 "SENTINEL CONFIG SET announce-ip 10.1.2.3", "SENTINEL CONFIG GET announce-ip",
                 "SENTINEL CONFIG SET resolve-hostnames YES",
                 "SENTINEL CONFIG GET resolve-hostnames",
                 "SENTINEL CONFIG SET announce-hostnames yes",
                 "SENTINEL CONFIG GET announce-hostnames",
                 "SENTINEL CONFIG SET sentinel-user joe", "SENTINEL CONFIG GET sentinel-user",
                 "SENTINEL CONFIG SET sentinel-pass secret", "SENTINEL CONFIG GET sentinel-pass",
                 "SENTINEL DEBUG ping-period 500 tilt-period 20000", "SENTINEL DEBUG",
                 "SENTINEL SIMULATE-FAILURE crash-after-election CRASH-AFTER-PROMOTION",
                 "INFO sentinel", "SENTINEL SIMULATE-FAILURE", "INFO sentinel",
                 "SENTINEL FLUSHCONFIG"):
        stage.ask("a", line)
    stage.ask("a", "SENTINEL SET %(name)s parallel-syncs 1")
    stage.events("+set", "parallel-syncs 1")


def groups(stage):
    """They come, are reset, and go."""
    stage.connect("a")
    for line in ("SENTINEL MONITOR one 127.0.0.1 6391 1", "SENTINEL MONITOR one 127.0.0.1 6392 1",
                 "SENTINEL MONITOR two 127.0.0.1 6391 1", "SENTINEL MONITOR three ::1 6393 2",
                 "SENTINEL MONITOR four 127.0.0.1 6394 2147483647",
                 "SENTINEL MASTER two", "SENTINEL MASTER three", "SENTINEL MASTERS",
                 "SENTINEL GET-MASTER-ADDR-BY-NAME three", "SENTINEL REPLICAS one",
                 "SENTINEL SENTINELS one", "SENTINEL CKQUORUM one", "SENTINEL CKQUORUM two",
                 "SENTINEL RESET t*", "SENTINEL RESET T*", "SENTINEL RESET *", "SENTINEL RESET",
                 "SENTINEL RESET o[a-n]e", "SENTINEL RESET [^o]*",
                 "SENTINEL SET two down-after-milliseconds 12345", "SENTINEL MASTER two",
                 "SENTINEL REMOVE two", "SENTINEL MASTER two", "SENTINEL REMOVE two",
                 "SENTINEL SET two quorum 1", "SENTINEL RESET two", "SENTINEL FAILOVER two",
                 "SENTINEL MONITOR two 127.0.0.1 6392 3", "SENTINEL MASTER two",
                 "SENTINEL REMOVE one", "SENTINEL REMOVE two", "SENTINEL REMOVE three",
                 "SENTINEL REMOVE four", "SENTINEL REMOVE %(name)s", "SENTINEL MASTERS", "ROLE",
                 "INFO sentinel"):
        stage.ask("a", line)
    # RESET's events come in the order of a hash table.
    stage.scene.sentinel.wait_event("-monitor", "mymaster")
    events = [(event.channel, stage.side.mask(event.text))
              for event in stage.scene.sentinel.events]
    stage.note([event for event in events if event[0] != "+reset-master"])
    stage.note(sorted(event for event in events if event[0] == "+reset-master"))


def votes(stage):
    """One candidate after the other: two at once are told apart differently (docs/compatibility.md,
    "a request for a vote soon after another candidate was voted for")."""
    stage.connect("a")
    asked = None
    for epoch, candidate in ((3, "a" * 40), (3, "b" * 40), (2, "b" * 40), (5, "b" * 40),
                             (5, "a" * 40), (0, "a" * 40)):
        if candidate != asked:
            time.sleep(2.5)  # its round is over
        asked = candidate
        stage.ask("a", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %%(master)s %d %s" % (epoch,
                                                                                      candidate))
        stage.ask("a", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 9 *")
    time.sleep(2.5)
    stage.ask("a", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 12 " + "c" * 40)
    stage.ask("a", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 11 " + "c" * 40)
    stage.ask("a", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 13 " + "c" * 40)
    stage.ask("a", "SENTINEL MASTER %(name)s")
    stage.ask("a", "SENTINEL SET %(name)s parallel-syncs 1")
    stage.events("+set", "parallel-syncs 1")


# --- the stage ------------------------------------------------------------------------------------

PLAYS = [kill_by_id, kill_the_old_way, kill_in_a_pipeline, kill_by_type, lists, pauses, messages,
         settings, groups, votes]


def give(world, play, **arrangement):
    told = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        scene.start(**{"quorum": 2, "down_after": 600000, **arrangement})
        stage = Stage(scene)
        try:
            play(stage)
        finally:
            stage.close()
        told.append(stage.told)
    return told


def expect_same(ours, theirs):
    for a, b in zip(ours, theirs):
        assert a == b
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_play(world, play):
    expect_same(*give(world, play))


@pytest.mark.parametrize("how", ["", "NOW", "FORCE", "SAVE", "NOSAVE", "nosave now force"])
def test_shutdown(world, how):
    """No reply, the connection closes, the exit code says all is well."""
    told = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        sentinel = scene.start(quorum=2, down_after=600000)
        with Wire(sentinel.port) as wire:
            wire.send(encode(["SHUTDOWN", *how.split()]))
            told.append((wire.read_until(b"\r\n", 10), sentinel.wait_exit()))
    assert told[0] == told[1] == (b"<closed>", 0)


# What stock takes and vedette refuses, or takes in another way: (what a row of
# docs/compatibility.md begins with, request, vedette's answer, stock's).
OK = ("+", "OK")
NO = "ERR Invalid argument '%s' for SENTINEL SET '%s'"
STRICTER = [
    ("SENTINEL SET quorum, parallel-syncs", "SENTINEL SET %(name)s quorum 99999999999999",
     ("-", NO % ("99999999999999", "quorum")), OK),
    ("SENTINEL SET quorum, parallel-syncs", "SENTINEL SET %(name)s parallel-syncs 99999999999999",
     ("-", NO % ("99999999999999", "parallel-syncs")), OK),
    ("SENTINEL MONITOR with port 0", "SENTINEL MONITOR zero 127.0.0.1 0 1",
     ("-", "ERR Invalid port number."), OK),
    ("SENTINEL MONITOR, names", "SENTINEL MONITOR a,b 127.0.0.1 6391 1",
     ("-", "ERR Invalid master name."), OK),
    ("SENTINEL MONITOR, names", 'SENTINEL MONITOR "" 127.0.0.1 6391 1',
     ("-", "ERR Invalid master name."), OK),
    ("SENTINEL MONITOR, names", "SENTINEL MONITOR " + "n" * 201 + " 127.0.0.1 6391 1",
     ("-", "ERR Invalid master name."), OK),
    ("SENTINEL IS-MASTER-DOWN-BY-ADDR, runid",
     "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 1 me",
     ("-", "ERR Invalid runid 'me'"), ("*", [(":", "0"), ("$", "me"), (":", "1")])),
    ("SENTINEL CONFIG SET announce-ip", "SENTINEL CONFIG SET announce-ip not,an,address",
     ("-", "ERR Invalid value 'not,an,address' to SENTINEL CONFIG SET 'announce-ip'"), OK),
    ("SENTINEL PRIMARY, PRIMARIES", "SENTINEL GET-PRIMARY-ADDR-BY-NAME nosuch", ("*", None),
     ("-", "ERR unknown subcommand 'GET-PRIMARY-ADDR-BY-NAME'. Try SENTINEL HELP.")),
    ("SENTINEL PRIMARY, PRIMARIES", "SENTINEL PRIMARY nosuch",
     ("-", "ERR No such master with that name"),
     ("-", "ERR unknown subcommand 'PRIMARY'. Try SENTINEL HELP.")),
    ("SENTINEL PRIMARY, PRIMARIES",
     "SENTINEL SET %(name)s primary-reboot-down-after-period 1000", OK,
     ("-", "ERR Unknown option or number of arguments for SENTINEL SET "
           "'primary-reboot-down-after-period'")),
    ("CLIENT LIST ID", "CLIENT LIST ID" + " 900000" * 16385, ("-", "ERR too many client IDs"),
     ("$", "")),
    ("CLIENT TRACKING", "CLIENT TRACKING ON BCAST" + "".join(" PREFIX p%d:" % i for i in range(65)),
     ("-", "ERR too many prefixes"), OK),
    ("ACL SETUSER", 'ACL SETUSER "" on',
     ("-", "ERR Usernames can't contain spaces or null characters"), OK),
    ("ACL SETUSER", "ACL SETUSER u (+ping\\x20~a))",
     ("-", "ERR Error in ACL SETUSER modifier '(+ping ~a))': Syntax error"), OK),
]


def test_stricter(world):
    """Each answer, and that its row is there."""
    with open(os.path.join(ROOT, "docs", "compatibility.md")) as file:
        rows = [line for line in file if line.startswith("| ")]
    for place, kind in enumerate(("vedette", "redis")):
        scene = Scene(world, kind)
        scene.start(quorum=2, down_after=600000)
        with Wire(scene.sentinel.port) as wire:
            for row, line, *answers in STRICTER:
                assert any(text.startswith("| " + row) for text in rows), row
                assert wire.ask(*words(line, **scene.values())) == answers[place], (kind, line)


def test_half_a_change(world):
    """SENTINEL SET and SIMULATE-FAILURE with something wrong behind something right: stock has done
    the first half, vedette nothing."""
    halves = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        sentinel = scene.start(quorum=2, down_after=600000)
        with Wire(sentinel.port) as wire:
            replies = [wire.ask("SENTINEL", "SET", "mymaster", "parallel-syncs", "7", "quorum", "x"),
                       wire.ask("SENTINEL", "SIMULATE-FAILURE", "crash-after-election", "nosuch")]
        halves.append((replies, sentinel.master()["parallel-syncs"],
                       sentinel.info()["sentinel_simulate_failure_flags"]))
    assert halves[0][0] == halves[1][0]
    assert halves[0][1:] == ("1", "0") and halves[1][1:] == ("7", "1")


def test_pause_of_writes(world):
    """PUBLISH waits in stock, and does not in vedette."""
    waited = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        sentinel = scene.start(quorum=2, down_after=600000)
        with Wire(sentinel.port) as wire, Wire(sentinel.port) as other:
            assert wire.ask("CLIENT", "PAUSE", "1500", "WRITE") == OK
            begin = time.monotonic()
            assert other.ask("PUBLISH", "__sentinel__:hello", "x") == (":", "1")
            waited.append(time.monotonic() - begin > 1)
    assert waited == [False, True]


def test_file(world):
    """What stands in sentinel.conf after a failover and many changes, in whatever order."""
    written = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        scene.replica(priority=10, obeys=True)
        scene.replica(obeys=True)
        sentinel = scene.start(down_after=3000)
        sentinel.wait_event("+switch-master", patience=20)
        with Wire(sentinel.port) as wire:
            for line in ("SENTINEL SET %(name)s down-after-milliseconds 700000 parallel-syncs 3 "
                         "failover-timeout 500000 quorum 9 master-reboot-down-after-period 60000",
                         "SENTINEL SET %(name)s auth-user me auth-pass secret",
                         "SENTINEL SET %(name)s rename-command CONFIG GUESSED",
                         "SENTINEL MONITOR two 127.0.0.1 6391 2",
                         "SENTINEL MONITOR three 127.0.0.1 6391 2", "SENTINEL REMOVE three",
                         "SENTINEL CONFIG SET announce-ip 10.1.2.3",
                         "SENTINEL CONFIG SET announce-port 77",
                         "SENTINEL CONFIG SET sentinel-user joe", "SENTINEL FLUSHCONFIG"):
                assert wire.ask(*words(line, **scene.values())) == OK, line
        written.append(sorted(scene.side().mask(" ".join(line).replace('"', ""))
                              for line in directives(sentinel.conf) if line[0] == "sentinel"))
    # Of a master that nobody was voted for yet (docs/compatibility.md, "`leader-epoch` …").
    written[0].remove("sentinel leader-epoch two 1")
    written[1].remove("sentinel leader-epoch two 0")
    assert written[0] == written[1]


def test_too_many_clients(world):
    """Those refused are told why. Which they are, two shards that accept beside each other leave to
    chance."""
    told = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        scene.start(monitor=False, extra=["maxclients 6"])
        wires = [Wire(scene.sentinel.port) for _ in range(10)]
        answers = [wire.read_until(b"never", silence=0.7) for wire in wires]
        for wire in wires:
            wire.close()
        refused = [answer for answer in answers if answer != b"<silence>"]
        assert len(refused) >= 4, answers
        told.append(set(refused))
    assert told[0] == told[1] == {b"-ERR max number of clients reached\r\n<closed>"}



def forced(stage):
    """SENTINEL FAILOVER with a replica that does not obey."""
    replica = stage.scene.replicas[0]
    sentinel = stage.scene.sentinel
    stage.connect("a")
    wait_until(lambda: sentinel.replicas()[0]["flags"] == "slave" and replica.commands and
               sentinel.replicas()[0]["runid"], 10, "the replica is known")
    stage.ask("a", "SENTINEL FAILOVER %(name)s")
    wait_until(lambda: sentinel.master().get("failover-state") == "wait_promotion", 10,
               "the replica is told")
    stage.ask("a", "SENTINEL FAILOVER %(name)s")
    stage.ask("a", "SENTINEL MASTER %(name)s")
    stage.ask("a", "SENTINEL REPLICAS %(name)s")
    stage.ask("a", "SENTINEL RESET *")
    stage.ask("a", "SENTINEL MASTER %(name)s")
    stage.ask("a", "SENTINEL REPLICAS %(name)s")
    stage.ask("a", "SENTINEL FAILOVER %(name)s")
    stage.events("+reset-master")


def test_forced_failover(world):
    told = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        scene.replica()
        scene.start(quorum=2, down_after=600000)
        stage = Stage(scene)
        try:
            forced(stage)
        finally:
            stage.close()
        told.append(stage.told)
    expect_same(*told)


@pytest.mark.parametrize("when", ["crash-after-election", "crash-after-promotion"])
def test_simulated_failure(world, when):
    """The exit code, and how far it comes."""
    told = []
    for kind in ("vedette", "redis"):
        scene = Scene(world, kind)
        scene.replica(obeys=True)
        sentinel = scene.start(down_after=3000)
        assert sentinel.sentinel("SIMULATE-FAILURE", when) == "OK"
        told.append(sentinel.wait_exit(20))
    assert told == [99, 99]
