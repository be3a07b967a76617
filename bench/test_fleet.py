"""Tests of the simulated fleet (pytest; VEDETTE_BUILD names the build folder to test)."""

import os
import socket
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))
GROUPS = 6


class Instance:
    """A connection to one simulated instance."""

    def __init__(self, address):
        self.host, _, port = address.partition(":")
        self.port = int(port)
        self.resp = lab.Resp(self.port, self.host, timeout=3.0)

    def __call__(self, *words):
        return self.resp.call(*words)

    def info(self):
        return dict(line.split(":", 1) for line in self("INFO").split("\r\n") if ":" in line)


def until(condition, patience=3.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "did not happen within %.1f s" % patience
        time.sleep(0.01)


def launch(tmp_path, *extra):
    return lab.Fleet(lab.find_program("fleet", os.path.join(BUILD, "fleet")), str(tmp_path), GROUPS,
                     replicas=2, extra=("--workers", "2", "--retry-delay", "100", *extra)).start()


@pytest.fixture
def fleet(tmp_path):
    made = launch(tmp_path)
    yield made
    assert made.stop() is None


def members(fleet, group="sim0001"):
    return [one["address"] for one in fleet.control("status") if one["group"] == group]


TRANSACTION = (("SLAVEOF", "NO", "ONE"), ("CONFIG", "REWRITE"), ("CLIENT", "KILL", "TYPE", "normal"),
               ("CLIENT", "KILL", "TYPE", "pubsub"))


def promote(instance):
    assert instance("MULTI") == "OK"
    for command in TRANSACTION:
        assert instance(*command) == "QUEUED"
    return instance("EXEC")


def test_info_is_full_size_and_consistent(fleet):
    master, first, second = map(Instance, members(fleet))
    text = master("INFO")
    assert 4500 < len(text) < 6500
    info, other = master.info(), first.info()
    assert info["role"] == "master" and info["connected_slaves"] == "2"
    assert info["slave0"].startswith("ip=%s,port=%d,state=online," % (first.host, first.port))
    assert len(info["run_id"]) == 40 and info["run_id"] != other["run_id"]
    assert other["role"] == "slave" and other["master_link_status"] == "up"
    assert (other["master_host"], other["master_port"]) == (master.host, str(master.port))
    assert second("ROLE")[:4] == ["slave", master.host, master.port, "connected"]
    only = second("INFO", "replication")
    assert only.startswith("# Replication") and "redis_version" not in only


def test_offsets_advance_together(fleet):
    master, replica, _ = map(Instance, members(fleet))
    before = int(master.info()["master_repl_offset"])
    time.sleep(0.2)
    after = int(replica.info()["slave_repl_offset"])
    assert before < after <= int(master.info()["master_repl_offset"])


def test_publish_reaches_subscribers_of_master_and_replicas(fleet):
    addresses = members(fleet)
    listeners = [Instance(address) for address in addresses]
    for listener in listeners:
        assert listener("SUBSCRIBE", "news") == ["subscribe", "news", 1]
    pattern = Instance(addresses[0])
    assert pattern("PSUBSCRIBE", "n*") == ["psubscribe", "n*", 1]
    assert Instance(addresses[0])("PUBLISH", "news", "one") == 2
    for listener in listeners:
        assert listener.resp.read() == ["message", "news", "one"]
    assert pattern.resp.read() == ["pmessage", "n*", "news", "one"]
    # A replica's own publication stays there.
    assert Instance(addresses[1])("PUBLISH", "news", "two") == 1
    assert listeners[1].resp.read() == ["message", "news", "two"]
    listeners[0].resp.socket.settimeout(0.2)
    with pytest.raises(OSError):
        listeners[0].resp.read()
    with pytest.raises(lab.RespError, match="Can't execute 'info'"):
        listeners[1]("INFO")
    assert listeners[1]("PING") == ["pong", ""]


def test_transaction_promotes_and_cuts_the_others(fleet):
    addresses = members(fleet)
    caller, other, listener = (Instance(addresses[1]) for _ in range(3))
    listener("SUBSCRIBE", "x")
    assert promote(caller) == ["OK", "OK", 1, 1]
    for cut in (other, listener):
        with pytest.raises(ConnectionError):
            cut("PING")
    assert caller("ROLE")[0] == "master"
    assert fleet.control("promotions") == []  # nothing was killed


def test_client_kill_leaves_other_kinds_and_instances_alone(fleet):
    addresses = members(fleet)
    caller, listener, elsewhere = Instance(addresses[0]), Instance(addresses[0]), Instance(
        addresses[1])
    listener("SUBSCRIBE", "x")
    assert caller("CLIENT", "KILL", "TYPE", "normal") == 0
    assert listener("PING") == ["pong", ""] and elsewhere("PING") == "PONG"


def test_follow_goes_through_down_to_up(fleet):
    _, first, second = map(Instance, members(fleet))
    promote(first)
    assert second("SLAVEOF", first.host, first.port) == "OK"
    assert second.info()["master_link_status"] == "down"
    assert int(second.info()["master_link_down_since_seconds"]) >= 0
    until(lambda: second.info()["master_link_status"] == "up")
    assert first.info()["connected_slaves"] == "1"


def test_following_nobody_stays_down(fleet):
    _, first, _ = map(Instance, members(fleet))
    first("REPLICAOF", "127.0.0.1", "1")
    time.sleep(0.3)
    assert first.info()["master_link_status"] == "down"


def test_kill_promotion_revival(fleet):
    addresses = members(fleet)
    master, first, second = map(Instance, addresses)
    run_id = master.info()["run_id"]
    killed = fleet.control("kill 2")
    assert [one["group"] for one in killed["instances"]] == ["sim0001", "sim0002"]
    assert fleet.control("stats")["killed"] == 2
    with pytest.raises(OSError):
        master("PING")
    with pytest.raises(OSError):
        Instance(addresses[0])("PING")
    assert first.info()["master_link_status"] == "down"
    time.sleep(0.1)
    promote(first)
    second("SLAVEOF", first.host, first.port)
    record = fleet.control("promotions")
    assert 100 <= record[0]["ms"] < 1500 and record[0]["address"] == addresses[1]
    assert record[1]["ms"] is None
    assert fleet.control("masters")["sim0001"] == addresses[1]
    assert fleet.control("masters")["sim0002"] is None
    fleet.control("revive sim0001")
    old = Instance(addresses[0])
    assert old("ROLE")[0] == "master" and old.info()["run_id"] != run_id
    assert fleet.control("masters")["sim0001"] == addresses[1]
    old("SLAVEOF", first.host, first.port)
    until(lambda: old.info()["master_link_status"] == "up")
    until(lambda: first.info()["connected_slaves"] == "2")


def test_hang_answers_everything_after_revival(fleet):
    address = members(fleet)[0]
    instance = Instance(address)
    fleet.control("hang " + address)
    late = Instance(address)
    for one in (instance, late):
        one.resp.send("PING")
        one.resp.socket.settimeout(0.2)
        with pytest.raises(OSError):
            one.resp.socket.recv(1)
    fleet.control("revive all")
    for one in (instance, late):
        one.resp.socket.settimeout(3)
        assert one.resp.socket.recv(100) == b"+PONG\r\n"


def test_loading_and_unknown_commands(fleet):
    address = members(fleet)[0]
    instance = Instance(address)
    fleet.control("loading " + address)
    with pytest.raises(lab.RespError, match="^LOADING "):
        instance("PING")
    assert instance.info()["loading"] == "1"
    fleet.control("revive " + address)
    assert instance("PING") == "PONG"
    with pytest.raises(lab.RespError, match="^ERR unknown command 'FOO', with args beginning with"):
        instance("FOO", "bar")
    instance("MULTI")
    with pytest.raises(lab.RespError, match="unknown command"):
        instance("FOO")
    with pytest.raises(lab.RespError, match="^EXECABORT"):
        instance("EXEC")


def test_garbage_closes_that_client_only(fleet):
    address = members(fleet)[0]
    good, bad = Instance(address), Instance(address)
    bad.resp.socket.sendall(b"*1\r\n$99999999\r\n")
    with pytest.raises(lab.RespError, match="Protocol error"):
        bad.resp.read()
    assert bad.resp.socket.recv(1) == b""
    assert good("PING") == "PONG"


def test_split_requests_and_pipelines(fleet):
    instance = Instance(members(fleet)[0])
    for byte in b"*2\r\n$4\r\nPING\r\n$3\r\nabc\r\nPING\r\n":
        instance.resp.socket.sendall(bytes([byte]))
    assert instance.resp.read() == "abc"
    assert instance.resp.read() == "PONG"
    instance.resp.socket.sendall(b"PING\r\n" * 2000)
    assert [instance.resp.read() for _ in range(2000)] == ["PONG"] * 2000


def test_no_instance_at_other_addresses(fleet):
    port = int(members(fleet)[0].partition(":")[2])
    for host in ("127.0.0.1", "127.200.0.1"):
        with pytest.raises(OSError):
            with socket.create_connection((host, port), 3) as stranger:
                stranger.sendall(b"PING\r\n")
                stranger.settimeout(3)
                if not stranger.recv(10):
                    raise ConnectionError("closed")


def test_password_and_masterdown(tmp_path):
    fleet = launch(tmp_path, "--requirepass", "secret", "--no-serve-stale")
    try:
        assert "sentinel auth-pass sim0001 secret" in fleet.conf_lines()
        addresses = members(fleet)
        replica = Instance(addresses[1])
        with pytest.raises(lab.RespError, match="^NOAUTH"):
            replica("PING")
        with pytest.raises(lab.RespError, match="^WRONGPASS"):
            replica("AUTH", "wrong")
        assert replica("AUTH", "secret") == "OK" and replica("PING") == "PONG"
        fleet.control("kill " + addresses[0])
        with pytest.raises(lab.RespError, match="^MASTERDOWN"):
            replica("PING")
    finally:
        assert fleet.stop() is None


def test_bad_options(tmp_path):
    for arguments in (["--masters", "0"], ["--nonsense"], ["--down-after", "x"], ["extra"]):
        process = lab.Process("fleet", [lab.find_program("fleet", os.path.join(BUILD, "fleet")),
                                        *arguments], str(tmp_path)).start()
        assert process.child.wait(5) == 2


def test_what_is_wrong_in_hellos_is_noted(fleet):
    master, replica = (Instance(address) for address in members(fleet)[:2])
    first, second = "a" * 40, "b" * 40

    def say(current, port, config, where=master, runid=first, name="sim0001"):
        where("PUBLISH", "__sentinel__:hello", "127.0.0.1,26379,%s,%d,%s,127.1.0.1,%d,%d" % (
            runid, current, name, port, config))
        return fleet.control("hellos")

    assert say(5, 1000, 4)["findings"] == []
    assert say(5, 1001, 0, where=replica)["findings"] == []  # nothing decided: no conflict
    assert say(5, 1000, 4, where=replica, runid=second)["findings"] == []
    assert say(6, 1001, 6)["findings"] == []
    heard = say(6, 1002, 6, where=replica, runid=second)
    assert (heard["conflicts"], heard["backwards"], heard["strays"]) == (1, 0, 0)
    assert "config epoch 6 is 127.1.0.1:1001" in heard["findings"][0]
    assert say(6, 1001, 5)["backwards"] == 1   # the config epoch of this connection
    assert say(5, 1001, 6)["backwards"] == 2   # its current epoch
    assert say(6, 1001, 6, name="sim0002")["strays"] == 1
    assert fleet.control("hellos")["seen"] == 8
    master("PUBLISH", "__sentinel__:hello", "rubbish")
    assert fleet.control("hellos")["seen"] == 8
