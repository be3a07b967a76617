"""Masters, replicas, sentinels and clients on ::1, alone and mixed with IPv4; and the source address
of outgoing links (bind-source-addr)."""

import re
import socket
import time

import pytest

from lib.server import RedisServer, client
from lib.sentinel import Sentinel
from lib.wait import wait_until


@pytest.fixture(autouse=True)
def loopback6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        pytest.skip("no ::1 here: %s" % error)


def server(world, name, bind="::1", follows=None):
    """follows: (host, port)"""
    lines = ["bind " + bind, "protected-mode no"]
    if follows is not None:
        lines.append("replicaof %s %d" % follows)
    made = RedisServer(name, world.path(name), None, lines)
    made.client = client(made.port, host=bind.split()[0])
    return world._own(made).start()


def linked(replica):
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 15,
               "%s is linked up" % replica.name)
    return replica


def sentinel(world, name, host, port, lines=(), bind="127.0.0.1 ::1", quorum=1, kind=None):
    made = Sentinel(kind or world.kind, name, world.path(name), [
        "sentinel current-epoch 0", "sentinel monitor mymaster %s %d %d" % (host, port, quorum),
        "sentinel down-after-milliseconds mymaster 1000",
        "sentinel failover-timeout mymaster 10000"] + list(lines))
    with open(made.conf) as file:
        text = file.read()
    made.write_conf(text.replace("bind 127.0.0.1", "bind " + bind).splitlines())
    return world._own(made)


def ready(watcher, replicas, sentinels):
    def known():
        master = watcher.master()
        return (int(master["num-slaves"]) == replicas and master["flags"] == "master"
                and int(master["num-other-sentinels"]) == sentinels
                and all(r["flags"] == "slave" and r["master-link-status"] == "ok"
                        for r in watcher.replicas())
                and all(s["flags"] == "sentinel" for s in watcher.sentinels()))
    wait_until(known, 20, "%s knows them all" % watcher.name)


def shown(watcher):
    master = watcher.master()
    return {
        "master": (master["name"], master["ip"], master["port"]),
        "replicas": sorted((r["name"], r["ip"], r["port"]) for r in watcher.replicas()),
        "sentinels": sorted(s["ip"] for s in watcher.sentinels()),
        "address": watcher.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster"),
        "info": watcher.info()["master0"],
        "asked": watcher.sentinel("IS-MASTER-DOWN-BY-ADDR", "::1", master["port"], "0", "*"),
        "other form": watcher.sentinel("IS-MASTER-DOWN-BY-ADDR", "0:0:0:0:0:0:0:1", master["port"],
                                       "0", "*"),
    }


@pytest.mark.vedette_only
def test_as_stock(world):
    """A redis-sentinel beside us: the same replies, events and lines, brackets where it has them."""
    master = server(world, "master")
    replica = linked(server(world, "replica", follows=("::1", master.port)))
    ours = sentinel(world, "ours", "::1", master.port).start()
    stock = sentinel(world, "stock", "::1", master.port, kind="redis").start()
    for one in (ours, stock):
        ready(one, 1, 1)
    assert shown(ours) == shown(stock)
    name = "[::1]:%d" % replica.port
    assert shown(ours)["replicas"] == [(name, "::1", str(replica.port))]
    assert shown(ours)["sentinels"] == ["::1"]
    time.sleep(4.5)  # no attempt within 2 publish-periods after a sentinel was added
    marks = ours.mark(), stock.mark()
    assert ours.sentinel("FAILOVER", "mymaster") == "OK"
    text = "mymaster ::1 %d ::1 %d" % (master.port, replica.port)
    for one, mark in zip((ours, stock), marks):
        assert one.wait_event("+switch-master", patience=20, since=mark).text == text
        one.wait_event("+slave", "slave [::1]:%d ::1 %d @ mymaster ::1 %d" % (
            master.port, master.port, replica.port), 10, mark)
    wait_until(lambda: shown(ours)["replicas"] == shown(stock)["replicas"], 15, "both show the same")
    wait_until(lambda: master.info("replication").get("master_host") == "::1", 20,
               "the old master follows")
    for word in ("monitor", "known-replica", "known-sentinel"):
        def lines(one, at=word):
            found = [line.split()[3:5] for line in open(one.conf)
                     if line.startswith("sentinel %s " % at)]
            return [line if at != "known-sentinel" else line[:1] for line in found]
        wait_until(lambda: lines(ours) == lines(stock) and lines(ours), 5, "both write the same")


@pytest.mark.parametrize("places", [("::1", "::1", "::1"), ("::1", "127.0.0.1", "::1")],
                         ids=["ipv6", "mixed"])
def test_failover(world, places):
    """Three sentinels that announce addresses of one family, or of both."""
    master = server(world, "master", "::1 127.0.0.1")
    replica = linked(server(world, "replica", "::1 127.0.0.1", ("::1", master.port)))
    watchers = [sentinel(world, "s%d" % i, "::1", master.port, ["sentinel announce-ip " + place],
                         quorum=2).start() for i, place in enumerate(places, 1)]
    for watcher in watchers:
        ready(watcher, 1, 2)
    for i, watcher in enumerate(watchers):
        assert sorted(peer["ip"] for peer in watcher.sentinels()) == sorted(
            place for k, place in enumerate(places) if k != i)
    time.sleep(4.5)
    master.kill()
    for watcher in watchers:
        wait_until(lambda: watcher.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
                   == ["::1", str(replica.port)], 20, "%s has the new master" % watcher.name)
    assert replica.role()[0] == "master"
    # Back with the same file.
    watchers[0].kill()
    watchers[0].start()
    wait_until(lambda: watchers[0].sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
               == ["::1", str(replica.port)], 10, "it remembers")


def test_clients(world):
    """A client on ::1: protected mode lets it in, CLIENT LIST shows it in brackets."""
    master = server(world, "master")
    watcher = sentinel(world, "s1", "::1", master.port, ["protected-mode yes"]).start()
    six = client(watcher.port, host="::1")
    assert six.execute_command("PING") == "PONG"
    me = six.execute_command("CLIENT", "INFO")
    match = re.search(r"addr=(\[::1\]:\d+) laddr=(\[::1\]:\d+) ", me)
    assert match and match.group(2) == "[::1]:%d" % watcher.port
    # By its address it can be found and closed.
    other = client(watcher.port, host="::1")
    found = re.search(r"addr=(\S+)", other.execute_command("CLIENT", "INFO")).group(1)
    assert six.execute_command("CLIENT", "KILL", "ADDR", found) == 1


def test_announce_ip(world):
    master = server(world, "master")
    watcher = sentinel(world, "s1", "::1", master.port).start()
    ready(watcher, 0, 0)
    listener = master.client.pubsub()
    listener.subscribe("__sentinel__:hello")
    assert watcher.sentinel("CONFIG", "SET", "announce-ip", "2001:db8::7") == "OK"
    assert watcher.sentinel("CONFIG", "SET", "announce-port", "777") == "OK"

    def heard():
        message = listener.get_message(ignore_subscribe_messages=True, timeout=0.5)
        return message is not None and message["data"].startswith("2001:db8::7,777,") and \
            message["data"]
    assert wait_until(heard, 10, "a hello with it").split(",")[5] == "::1"


# --- bind-source-addr -------------------------------------------------------------------------------


def sources(of, name):
    """Where the connections of sentinels come from: {address} by their name's kind."""
    found = {}
    for line in of.client.execute_command("CLIENT", "LIST").splitlines():
        match = re.search(r"\baddr=(\S+):\d+ .*\bname=sentinel-(\w+)-(cmd|pubsub)", line)
        if match and name.startswith(match.group(2)):
            found.setdefault(match.group(3), set()).add(match.group(1))
    return found


def test_source_of_links(world):
    """Links to masters, replicas and peers come from there."""
    master = server(world, "master", "127.0.0.1")
    replica = linked(server(world, "replica", "127.0.0.1", ("127.0.0.1", master.port)))
    ours = sentinel(world, "s1", "127.0.0.1", master.port, ["bind-source-addr 127.0.2.2"], "127.0.0.1 127.0.2.2")
    peer = sentinel(world, "s2", "127.0.0.1", master.port).start()
    ours.start()
    for one in (ours, peer):
        ready(one, 1, 1)
    me = ours.myid()
    for of in (master, replica):
        assert sources(of, me) == {"cmd": {"127.0.2.2"}, "pubsub": {"127.0.2.2"}}
        assert "127.0.2.2" not in sources(of, peer.myid())["cmd"]
    wait_until(lambda: sources(peer, me) == {"cmd": {"127.0.2.2"}}, 10, "and so to the peer")
    # It is announced too: what others see of us is the link's own address.
    assert peer.sentinels()[0]["ip"] == "127.0.2.2"


@pytest.mark.vedette_only
@pytest.mark.parametrize("source, place", [("127.0.2.2", "::1"), ("::1", "127.0.0.1")],
                         ids=["ipv4-to-ipv6", "ipv6-to-ipv4"])
def test_source_of_the_other_family(world, source, place):
    """It does not count where it cannot be used (redis-sentinel never connects)."""
    master = server(world, "master", place)
    watcher = sentinel(world, "s1", place, master.port, ["bind-source-addr " + source]).start()
    ready(watcher, 0, 0)
    seen = "[::1]" if place == "::1" else "127.0.0.1"
    wait_until(lambda: sources(master, watcher.myid()).get("cmd") == {seen}, 10, "it has a link")


@pytest.mark.vedette_only
def test_source_that_is_no_address(world):
    watcher = sentinel(world, "s1", "127.0.0.1", 6379, ["bind-source-addr nowhere"])
    code, said = watcher.start_fails()
    assert code == 1 and "bind-source-addr" in said + open(watcher.log).read()
