"""Rows of docs/compatibility.md that no other test shows; and that each row names a test there is."""

import os
import re

import pytest

from lib import conf
from lib.fake import FakeRedis
from lib.names import Names
from lib.sentinel import ROOT
from lib.server import client
from lib.wait import stays, wait_until
from lib.wire import Wire
from lib.world import monitor_lines

MONITOR = ["sentinel monitor mymaster 127.0.0.1 6399 2",
           "sentinel down-after-milliseconds mymaster 600000"]
OK = ("+", "OK")

pytestmark = pytest.mark.vedette_only


# --- the table ------------------------------------------------------------------------------------


def test_every_row_names_a_test():
    """`folder/file` or `folder/file::name`, several apart by commas; – where it takes a machine that
    a test cannot have."""
    with open(os.path.join(ROOT, "docs", "compatibility.md")) as file:
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in file if line.startswith("| ")]
    rows = [[cell.strip() for cell in row] for row in rows]
    assert len(rows) > 50
    wrong = []
    for row in rows:
        if row[0] == "feature":
            continue
        if len(row) != 5:
            wrong.append("%s: %d columns" % (row[0], len(row)))
            continue
        for reference in row[4].split(", ") if row[4] != "–" else []:
            match = re.fullmatch(r"`((?:unit|e2e)/test_\w+\.(?:c|py))(?:::(\w+))?`", reference)
            path = match and os.path.join(ROOT, "tests", match.group(1))
            if match is None or not os.path.exists(path):
                wrong.append("%s: %s is no test" % (row[0], reference))
            elif match.group(2):
                with open(path) as file:
                    if not re.search(r"\b(?:def |static void |cmocka_unit_test\()%s\b"
                                     % match.group(2), file.read()):
                        wrong.append("%s: no %s" % (row[0], reference))
    assert not wrong, "\n".join(wrong)


# --- requests -------------------------------------------------------------------------------------


def test_channels_count_for_each_thread(world):
    """One channel, subscribers on both threads: those beyond the 64 that one thread takes alone are
    dealt out by chance."""
    sentinel = world.sentinel("s", MONITOR)
    sentinel.command += ["--shards", "2"]
    sentinel.start(record=False)
    wires = [Wire(sentinel.port) for _ in range(100)]
    for wire in wires:
        wire.ask("SUBSCRIBE", "one")

    def on_both():
        wires.append(Wire(sentinel.port))
        wires[-1].ask("SUBSCRIBE", "one")
        return sentinel.info("stats")["pubsub_channels"] == "2"
    wait_until(on_both, 5, "it counts twice")
    for wire in wires:
        wire.close()


def test_shutdown_nosave(world):
    """The file holds what the journal held, which redis-sentinel does not read."""
    sentinel = world.sentinel("s", MONITOR + ["sentinel myid " + "a" * 40,
                                              "sentinel current-epoch 0"]).start(record=False)
    assert sentinel.vote(6399, 7, "b" * 40) == ["b" * 40, 7]
    with Wire(sentinel.port) as wire:
        wire.send(b"SHUTDOWN NOSAVE\r\n")
        assert sentinel.wait_exit() == 0
    assert sentinel.saved("current-epoch") == "7"
    assert sentinel.saved("leader-epoch", "mymaster") == "7"


def test_level_nothing_is_for_this_run(world):
    """Set by request; in a file it stays (test_log.py)."""
    sentinel = world.sentinel("s", MONITOR + ["loglevel notice"]).start(record=False)
    assert sentinel.sentinel("CONFIG", "SET", "loglevel", "nothing") == "OK"
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    assert "loglevel notice" in conf.read_lines(sentinel.conf)
    sentinel.terminate()
    sentinel.start(record=False)
    assert sentinel.sentinel("CONFIG", "GET", "loglevel") == ["loglevel", "notice"]


# --- the file -------------------------------------------------------------------------------------


def test_defaults_stay_in_the_file(world):
    lines = ["sentinel parallel-syncs mymaster 1", "maxclients 10000", "tcp-keepalive 300"]
    sentinel = world.sentinel("s", MONITOR + lines).start(record=False)
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    for line in lines:
        assert line in conf.read_lines(sentinel.conf), line


def test_directives_of_a_server(world):
    """One line names them all; their values are not looked at."""
    sentinel = world.sentinel("s", MONITOR + ["appendonly perhaps", "save 900 x", "tls-cluster yes"])
    sentinel.start(record=False)
    [told] = sentinel.in_log("These directives mean nothing to a sentinel and are ignored: ")
    assert "appendonly" in told and "save" in told and "tls-cluster" not in told
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    assert "appendonly perhaps" in conf.read_lines(sentinel.conf)


def test_user_in_an_included_file(world):
    """The file's own line counts."""
    sentinel = world.sentinel("s", MONITOR)
    with open(os.path.join(sentinel.directory, "more.conf"), "w") as file:
        file.write("user a on >included +@all\n")
    sentinel.write_conf(conf.read_lines(sentinel.conf) + ["include more.conf",
                                                          "user a on >own +@all"])
    sentinel.start(record=False)
    with Wire(sentinel.port) as wire:
        assert wire.ask("AUTH", "a", "included")[0] == "-"
        assert wire.ask("AUTH", "a", "own") == OK


@pytest.mark.parametrize("where", ["user default nopass", "aclfile"])
def test_requirepass_is_asked_for(world, where):
    """Whatever a forgotten line or a file without `default` says."""
    sentinel = world.sentinel("s", MONITOR + ["requirepass secret"])
    more = ["user default on nopass ~* &* +@all"]
    if where == "aclfile":
        more = ["aclfile " + os.path.join(sentinel.directory, "users.acl")]
        with open(more[0].split()[1], "w") as file:
            file.write("user other on >x +ping\n")
    sentinel.write_conf(conf.read_lines(sentinel.conf) + more)
    sentinel.use_password("secret")
    sentinel.start(record=False)
    with Wire(sentinel.port) as wire:
        assert wire.ask("PING") == ("-", "NOAUTH Authentication required.")
        assert wire.ask("AUTH", "wrong")[0] == "-"
        assert wire.ask("AUTH", "secret") == OK and wire.ask("PING") == ("+", "PONG")
    assert bool(sentinel.in_log("the password is asked for")) == (where != "aclfile")


def test_half_a_selector_in_an_aclfile(world):
    """A start that fails, with file and line (redis-sentinel crashes)."""
    sentinel = world.sentinel("s", MONITOR)
    path = os.path.join(sentinel.directory, "users.acl")
    with open(path, "w") as file:
        file.write("user default on nopass +@all\nuser a on (+ping ~x\n")
    sentinel.write_conf(conf.read_lines(sentinel.conf) + ["aclfile " + path])
    code, said = sentinel.start_fails()
    assert code == 1 and path + ":2: " in said, said


# --- names ----------------------------------------------------------------------------------------


@pytest.fixture
def watching(world):
    """(names, a master that says what it is told, a vedette that resolves names and watches it)."""
    names = Names(world)
    master = FakeRedis()
    world.others.append(master)
    sentinel = names.sentinel("s", monitor_lines(master, 1, 600000) + ["sentinel current-epoch 0"],
                              "yes").start()
    sentinel.sentinel("DEBUG", "info-period", "300")
    wait_until(lambda: master.subscribers() == 1, 10, "it listens for hellos")
    return names, master, sentinel


def test_replica_whose_name_is_unknown(watching):
    """Added when its name resolves."""
    names, master, sentinel = watching
    master.info = master.master_info("slave0:ip=late.x,port=6391,state=online,offset=1,lag=0",
                                     "slave1:ip=127.0.0.1,port=6392,state=online,offset=1,lag=0")
    def known():
        return sorted((replica["ip"], replica["port"]) for replica in sentinel.replicas())
    wait_until(lambda: known() == [("127.0.0.1", "6392")], 10, "INFO was read")
    stays(lambda: len(known()) == 1, 1, "one alone")
    names.set(late_x="127.0.0.9")
    wait_until(lambda: known() == [("127.0.0.1", "6392"), ("late.x", "6391")], 40, "both")


def test_master_whose_name_is_unknown(watching):
    """A peer's newer configuration is followed all the same."""
    names, master, sentinel = watching
    port = master.port

    def told():  # the first time the name is still looked up
        master.say("127.0.0.1,6401,%s,7,mymaster,new.x,6391,7" % ("a" * 40))
        return sentinel.find("+switch-master")
    event = wait_until(told, 15, "it follows", interval=0.5)
    assert event.text == "mymaster 127.0.0.1 %d new.x 6391" % port
    assert sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster") == ["new.x", "6391"]
    assert "disconnected" in sentinel.master()["flags"]


# --- connections ----------------------------------------------------------------------------------


def test_http(world):
    """Closed, and said so."""
    sentinel = world.sentinel("s", MONITOR).start(record=False)
    for request in (b"POST / HTTP/1.1\r\n", b"Host: x\r\n"):
        mark = sentinel.log_size()
        with Wire(sentinel.port) as wire:
            wire.send(request)
            assert wire.read_until(b"never") == b"<closed>"
        sentinel.wait_log("A client at 127.0.0.1 speaks HTTP", since=mark)
    assert client(sentinel.port).ping()
