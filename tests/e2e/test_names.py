"""resolve-hostnames and announce-hostnames: masters, replicas and sentinels that go by names. Every
process sees a private /etc/hosts (lib/names.py). Needs root for that."""

import os
import socket
import time

import pytest

from lib import conf
from lib.names import Names, one_port
from lib.server import client
from lib.wait import stays, wait_until

ME, ONE, TWO, THREE, FOUR = "127.0.0.1", "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"


@pytest.fixture
def names(world):
    return Names(world)


def terms(name="mymaster", down_after=1000):
    return ["sentinel down-after-milliseconds %s %d" % (name, down_after),
            "sentinel failover-timeout %s 10000" % name]


def pair(names):
    """A master and its replica, who go by names; (master, replica, port)."""
    port = one_port()
    names.set(m_x=ONE, r_x=TWO)
    master = names.server("master", ONE, port=port, announce="m.x")
    replica = names.server("replica", TWO, ("m.x", port), port, "r.x")
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 15, "linked")
    return master, replica, port


def ready(sentinel, replicas=1, sentinels=0, name="mymaster"):
    def known():
        master = sentinel.master(name)
        return (int(master["num-slaves"]) == replicas and master["flags"] == "master"
                and int(master["num-other-sentinels"]) == sentinels
                and all(r["flags"] == "slave" and r["master-link-status"] == "ok"
                        for r in sentinel.replicas(name))
                and all(s["flags"] == "sentinel" for s in sentinel.sentinels(name)))
    wait_until(known, 20, "%s knows them all" % sentinel.name)


def shown(sentinel, name="mymaster"):
    """Where an address is shown."""
    master = sentinel.master(name)
    info = sentinel.info()
    return {
        "master": (master["name"], master["ip"], master["port"]),
        "replicas": sorted((r["name"], r["ip"], r["port"], r["master-host"])
                           for r in sentinel.replicas(name)),
        "sentinels": sorted((s["ip"], s["port"]) for s in sentinel.sentinels(name)),
        "address": sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", name),
        "info": sorted(value for key, value in info.items() if key.startswith("master0")),
        "by name": sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "m.x", master["port"], "0", "*"),
        "by ip": sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", ONE, master["port"], "0", "*"),
    }


def file_shows(sentinel, name="mymaster"):
    return {word: sorted(line[:2] for line in conf.sentinel_lines(sentinel.conf, word, name))
            for word in ("monitor", "known-replica", "known-sentinel")}


# --- as stock, side by side -----------------------------------------------------------------------


@pytest.mark.vedette_only
@pytest.mark.parametrize("announce", ["yes", "no"])
def test_as_stock(names, announce):
    """A vedette and a redis-sentinel watch one master by its name, show the same, write the same,
    and each goes on with the other's file."""
    master, replica, port = pair(names)
    names.set(s1_x="127.0.1.5", s2_x="127.0.1.6")
    lines = ["sentinel current-epoch 0", "sentinel monitor mymaster m.x %d 1" % port] + terms()
    ours = names.sentinel("ours", lines + ["sentinel announce-ip s1.x"], announce, "127.0.1.5",
                          "vedette").start()
    stock = names.sentinel("stock", lines + ["sentinel announce-ip s2.x"], announce, "127.0.1.6",
                           "redis").start()
    both = (ours, stock)
    for sentinel in both:
        ready(sentinel, 1, 1)
        assert sentinel.sentinel("DEBUG", "info-period", "1000") == "OK"

    def same():
        seen = [shown(s) for s in both]
        peers = [seen[0].pop("sentinels"), seen[1].pop("sentinels")]
        assert seen[0] == seen[1]
        assert peers == ([[("s2.x", str(stock.port))], [("s1.x", str(ours.port))]]
                         if announce == "yes" else
                         [[("127.0.1.6", str(stock.port))], [("127.0.1.5", str(ours.port))]])
        return seen[0]

    def same_files():
        found = [file_shows(s) for s in both]
        for one in found:
            one.pop("known-sentinel")
        return found[0] == found[1] and found[0]

    host = {"yes": ("m.x", "r.x"), "no": (ONE, TWO)}[announce]
    # Stock shows "?" until the replica's second INFO.
    wait_until(lambda: stock.replicas()[0]["master-host"] == "m.x", 25, "INFO has come")
    seen = same()
    assert seen["address"] == [host[0], str(port)]
    assert seen["replicas"] == [("%s:%d" % (host[1], port), host[1], str(port), "m.x")]
    assert wait_until(same_files, 5, "both files say the same")["monitor"] == [
        [host[0], str(port)]]

    # A failover, ours or theirs: events and commands carry what is announced.
    time.sleep(4.5)  # no attempt within 2 publish-periods after a sentinel was added
    marks = [s.mark() for s in both]
    assert ours.sentinel("FAILOVER", "mymaster") == "OK"
    text = "mymaster %s %d %s %d" % (host[0], port, host[1], port)
    for sentinel, mark in zip(both, marks):
        event = sentinel.wait_event("+switch-master", patience=20, since=mark)
        assert event.text == text
    # The old master is told to follow what the new one is called here.
    wait_until(lambda: master.info("replication").get("master_host") == host[1], 25, "it follows")
    assert replica.role()[0] == "master"
    for sentinel in both:
        wait_until(lambda: sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
                   == [host[1], str(port)], 5, "%s has switched" % sentinel.name)
    wait_until(same_files, 10, "both files say the same")

    # Each with the file of the other.
    for sentinel in both:
        assert sentinel.terminate() in (0, -15)
    texts = [open(s.conf).read() for s in both]
    for sentinel, other, text in ((ours, stock, texts[1]), (stock, ours, texts[0])):
        text = text.replace(other.directory, sentinel.directory).replace(
            "port %d" % other.port, "port %d" % sentinel.port)
        text = text.replace("127.0.1.%d" % (6 if other is stock else 5),
                            "127.0.1.%d" % (5 if other is stock else 6)).replace(
            "s2.x" if other is stock else "s1.x", "s1.x" if other is stock else "s2.x")
        lines = [line for line in text.splitlines() if "known-sentinel" not in line]
        for path in conf.journals(sentinel.conf):
            os.unlink(path)
        sentinel.write_conf(lines)
        sentinel.start()
    for sentinel in both:
        wait_until(lambda: sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
                   == [host[1], str(port)], 10, "%s goes on" % sentinel.name)


# --- names that move ------------------------------------------------------------------------------


@pytest.mark.parametrize("announce", ["yes", "no"])
def test_a_name_that_moves_is_followed(names, announce):
    """m.x is somewhere else: the same master, no failover, no +switch-master."""
    port = one_port()
    names.set(m_x=ONE)
    master = names.server("master", ONE, port=port)
    sentinel = names.sentinel("s1", ["sentinel monitor mymaster m.x %d 1" % port]
                              + terms(down_after=8000), announce).start()
    ready(sentinel, 0)
    other = names.server("other", THREE, port=port)
    names.set(m_x=THREE)
    master.shutdown()
    run_id = other.info("server")["run_id"]
    wait_until(lambda: sentinel.master()["runid"] == run_id
               and sentinel.master()["flags"] == "master", 20, "it watches the new place")
    assert sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster") == [
        "m.x" if announce == "yes" else THREE, str(port)]
    assert sentinel.find("+switch-master") is None and sentinel.find("+odown") is None
    assert sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", THREE, str(port), "0", "*")[0] == 0
    if sentinel.kind == "vedette":
        assert sentinel.sentinel("FLUSHCONFIG") == "OK"
        assert conf.sentinel_lines(sentinel.conf, "monitor", "mymaster")[0][0] == (
            "m.x" if announce == "yes" else THREE)
        assert not conf.sentinel_lines(sentinel.conf, "known-replica", "mymaster")
        # What the journal alone has survives, too.
        sentinel.kill()
        sentinel.start()
        wait_until(lambda: sentinel.master()["runid"] == run_id, 10, "it is still there")


@pytest.mark.vedette_only
def test_the_last_good_address_is_kept(names):
    """The name is gone from the world, the master is not."""
    port = one_port()
    names.set(m_x=ONE)
    names.server("master", ONE, port=port)
    sentinel = names.sentinel("s1", ["sentinel monitor mymaster m.x %d 1" % port]
                              + terms(down_after=5000), "yes").start()
    ready(sentinel, 0)
    names.set(m_x=None)
    log = sentinel.log_size()
    # Links are cut; they come back to where it was.
    assert client(port, host=ONE).execute_command("CLIENT", "KILL", "TYPE", "normal") >= 1
    wait_until(lambda: sentinel.master()["flags"] == "master", 10, "reconnected")
    stays(lambda: "down" not in sentinel.master()["flags"], 7, "still watched")
    assert len(sentinel.in_log("Failed to resolve hostname 'm.x'", log)) <= 1


def test_unresolvable_at_the_start(names):
    """Down until it resolves; said once; the group beside it does not suffer."""
    port = one_port()
    names.set(m_x=ONE, late_x=None)
    names.server("master", ONE, port=port)
    lines = ["sentinel monitor mymaster m.x %d 1" % port] + terms() + [
        "sentinel monitor late late.x %d 1" % port] + terms("late")
    sentinel = names.sentinel("s1", lines, "yes").start()
    ready(sentinel, 0)
    sentinel.wait_event("+sdown", "master late late.x %d" % port, 10)
    assert sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "late") == ["late.x", str(port)]
    assert sentinel.in_log("Failed to resolve hostname 'late.x'")
    if sentinel.kind == "vedette":
        assert len(sentinel.in_log("Failed to resolve hostname 'late.x'")) <= 2
    names.set(late_x=TWO)
    server = names.server("late", TWO, port=port)
    wait_until(lambda: sentinel.master("late")["flags"] == "master", 30, "it is watched")
    assert sentinel.master("late")["runid"] == server.info("server")["run_id"]


def test_names_are_refused_without_resolve_hostnames(names):
    names.set(m_x=ONE)
    sentinel = names.sentinel("s1", ["sentinel monitor mymaster m.x 6379 1",
                                     "sentinel resolve-hostnames no"])
    sentinel.write_conf([line for line in open(sentinel.conf).read().splitlines()
                         if "hostnames" not in line])
    code, said = sentinel.start_fails()
    assert code == 1 and "Can't resolve instance hostname." in said


def test_bind_is_ipv4(names):
    """As "localhost" is in Debian's /etc/hosts: both, IPv6 first."""
    names.set(both_x="::1 127.0.0.1")
    sentinel = names.sentinel("s1", [])
    sentinel.write_conf(["bind both.x" if line.startswith("bind ") else line
                         for line in open(sentinel.conf).read().splitlines()])
    sentinel.start()
    assert sentinel.call("PING") == "PONG"


# --- requests ---------------------------------------------------------------------------------------


def test_monitor_by_name(names):
    port = one_port()
    names.set(m_x=ONE)
    names.server("master", ONE, port=port)
    sentinel = names.sentinel("s1", [], "yes").start()
    assert sentinel.sentinel("MONITOR", "mymaster", "m.x", str(port), "1") == "OK"
    ready(sentinel, 0)
    assert sentinel.master()["ip"] == "m.x"
    with pytest.raises(Exception, match="Invalid IP address or hostname specified"):
        sentinel.sentinel("MONITOR", "other", "nosuch.x", str(port), "1")
    assert sentinel.sentinel("CONFIG", "SET", "announce-hostnames", "no") == "OK"
    wait_until(lambda: sentinel.master()["ip"] == ONE, 3, "the ip is shown")
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    assert conf.sentinel_lines(sentinel.conf, "monitor", "mymaster")[0][0] == ONE


def test_announce_ip_by_name(names):
    """CONFIG SET announce-ip <name>: hellos carry it as it is."""
    port = one_port()
    names.set(m_x=ONE, me_x=ME)
    master = names.server("master", ONE, port=port)
    sentinel = names.sentinel("s1", ["sentinel monitor mymaster m.x %d 1" % port], "yes").start()
    ready(sentinel, 0)
    listener = master.client.pubsub()
    listener.subscribe("__sentinel__:hello")
    assert sentinel.sentinel("CONFIG", "SET", "announce-ip", "me.x") == "OK"

    def heard():
        message = listener.get_message(ignore_subscribe_messages=True, timeout=0.5)
        return message is not None and message["data"].startswith("me.x,") and message["data"]
    hello = wait_until(heard, 10, "a hello with the name").split(",")
    assert hello[1] == str(sentinel.port) and hello[5:7] == ["m.x", str(port)]


# --- peers by name, failover ------------------------------------------------------------------------


@pytest.mark.parametrize("announce", ["yes", "no"])
def test_failover_by_names(names, announce):
    """Three sentinels that know each other, master and replica by name only; the master dies."""
    master, replica, port = pair(names)
    names.set(s1_x="127.0.1.11", s2_x="127.0.1.12", s3_x="127.0.1.13")
    sentinels = [names.sentinel("s%d" % i, [
        "sentinel monitor mymaster m.x %d 2" % port, "sentinel announce-ip s%d.x" % i,
        "sentinel current-epoch 0"] + terms(), announce, "127.0.1.%d" % (10 + i))
        for i in (1, 2, 3)]
    for sentinel in sentinels:
        sentinel.start()
    for sentinel in sentinels:
        ready(sentinel, 1, 2)
        assert sorted(peer["ip"] for peer in sentinel.sentinels()) == sorted(
            ("s%d.x" % i if announce == "yes" else "127.0.1.%d" % (10 + i))
            for i in (1, 2, 3) if sentinel.name != "s%d" % i)
    time.sleep(4.5)  # no attempt within 2 publish-periods after a sentinel was added
    master.kill()
    new = ["r.x" if announce == "yes" else TWO, str(port)]
    for sentinel in sentinels:
        wait_until(lambda: sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster") == new, 20,
                   "%s has the new master" % sentinel.name)
    assert replica.role()[0] == "master"


@pytest.mark.vedette_only
@pytest.mark.parametrize("announce", ["yes", "no"])
def test_a_master_hands_over_to_a_name(names, announce):
    """FAILOVER TO wants what the master calls its replica, whatever we show."""
    _, replica, port = pair(names)
    sentinel = names.sentinel("s1", ["sentinel monitor mymaster m.x %d 1" % port,
                                     "sentinel current-epoch 0"] + terms(), announce).start()
    ready(sentinel, 1)
    def switched():
        if sentinel.find("+switch-master"):
            return True
        if sentinel.master()["flags"] == "master":  # an attempt may be given up on a busy machine
            sentinel.sentinel("FAILOVER", "mymaster", "COORDINATED")
        # Before it is asked for again: it takes some milliseconds, and would go back.
        time.sleep(1)
        return sentinel.find("+switch-master")
    wait_until(switched, 30, "the hand-over", interval=1)
    assert not sentinel.in_log("refuses to hand over")
    replica.wait_role("master")
    assert sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")[0] == (
        "r.x" if announce == "yes" else TWO)


# --- lookups that hang ------------------------------------------------------------------------------


@pytest.mark.vedette_only
def test_hanging_lookups_delay_nobody(world):
    """A name server that never answers, and masters whose names only it could know: the group with
    addresses is failed over as ever, requests are answered."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        silent.bind(("127.0.0.78", 53))
    except OSError as error:
        pytest.skip("cannot play a name server: %s" % error)
    world.others.append(silent)
    names = Names(world, "127.0.0.78")
    port = one_port()
    master = names.server("master", ONE, port=port)
    replica = names.server("replica", TWO, (ONE, port), port)
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 15, "linked")
    lines = ["sentinel monitor mymaster %s %d 1" % (ONE, port), "sentinel current-epoch 0"] + terms()
    for i in range(60):
        lines += ["sentinel monitor hang%d h%d.test 6379 1" % (i, i)] + terms("hang%d" % i)
    sentinel = names.sentinel("s1", lines, "yes")
    begun = time.monotonic()
    sentinel.start()
    assert time.monotonic() - begun < 12  # LIMIT_RESOLVER_START and a slow machine
    ready(sentinel, 1)
    mark = sentinel.mark()
    before = master.kill()
    # MONITOR of a name that hangs is told so in its time; others are answered meanwhile.
    asked = sentinel.client.connection_pool.get_connection("SENTINEL")
    asked.send_command("SENTINEL", "MONITOR", "more", "more.test", "6379", "1")
    slowest, event = 0, None
    while event is None and time.monotonic() - before < 20:
        start = time.monotonic()
        sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "mymaster")
        sentinel.sentinel("MASTER", "hang7")
        sentinel.sentinel("SET", "mymaster", "quorum", "1")
        slowest = max(slowest, time.monotonic() - start)
        event = sentinel.find("+switch-master", "mymaster", mark)
        time.sleep(0.05)
    assert event is not None
    assert event.at - before < 8, "failover took %.1f s" % (event.at - before)
    assert slowest < 3, "an answer took %.1f s" % slowest
    asked._sock.settimeout(15)
    with pytest.raises(Exception, match="Invalid IP address or hostname"):
        answer = asked.read_response()
        raise answer if isinstance(answer, Exception) else AssertionError(answer)
    asked.disconnect()
    ended = time.monotonic()
    assert sentinel.terminate() == 0
    assert time.monotonic() - ended < 5
