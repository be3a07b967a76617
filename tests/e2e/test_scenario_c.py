"""Scenario C: two sentinels by hand, both ways to start, the second made from a copy of the first."""

import fcntl
import os
import re
import shutil
import subprocess

import pytest

from lib import conf
from lib.ports import is_free
from lib.sentinel import BINARY
from lib.server import client
from lib.wait import stays, wait_until
from lib.world import leader_of, monitor_lines, settle, wait_known, wait_switched

TIMES = {"down_after": 3000, "failover_timeout": 10000}
OTHER_ID = "4bda5e1b7ecbf0b2ed2ecc26e1d4b5c86f5cdd6a"


def four_lines(master):
    return monitor_lines(master, 2, **TIMES)


def expect_rewritten(sentinel, master, replicas):
    """What the file holds after the start."""
    path = sentinel.conf
    def complete():
        known = [words[0] + ":" + words[1]
                 for words in conf.sentinel_lines(path, "known-replica", "mymaster")]
        return sorted(known) == sorted(replica.address for replica in replicas)
    wait_until(complete, 5, "the file names the replicas")
    words = conf.directives(path)
    assert ["protected-mode", "no"] in words
    assert ["port", str(sentinel.port)] in words
    assert [word for word in words if word[:4] == ["user", "default", "on", "nopass"]]
    assert [word for word in words if word[0] == "dir"]
    assert conf.sentinel_value(path, "myid") == sentinel.myid()
    assert re.fullmatch("[0-9a-f]{40}", sentinel.myid())
    assert conf.sentinel_value(path, "config-epoch", "mymaster") == "0"
    assert conf.sentinel_value(path, "leader-epoch", "mymaster") == "0"
    assert conf.sentinel_value(path, "current-epoch") == "0"
    monitor = conf.sentinel_lines(path, "monitor", "mymaster")
    assert monitor == [["127.0.0.1", str(master.port), "2"]]


def copy_of(world, first, name, myid=None):
    """Another sentinel from a copy of the first's file, with a port of its own and, unless
    forgotten, an id of its own."""
    second = world.sentinel(name, bare=True)
    shutil.copy(first.conf, second.conf)
    with open(second.conf) as file:
        text = file.read()
    text = re.sub(r"(?m)^port \d+$", "port %d" % second.port, text)
    assert "port %d" % second.port in text
    text = text.replace(first.directory, second.directory)
    if myid:
        text = text.replace(first.myid(), myid)
        assert myid in text
    with open(second.conf, "w") as file:
        file.write(text)
    return second


def pair(world):
    master, replicas = world.group(replicas=1)
    first = world.sentinel("s1", four_lines(master)).start()
    expect_rewritten(first, master, replicas)
    second = copy_of(world, first, "s2", OTHER_ID).start()
    for one, peer in ((first, second), (second, first)):
        one.wait_event("+sentinel", "sentinel %s 127.0.0.1 %d @ mymaster 127.0.0.1 %d" % (
            peer.myid(), peer.port, master.port), patience=8)
    wait_known([first, second], replicas=1)
    return master, replicas[0], first, second


@pytest.mark.parametrize("way", ["sentinel0.conf", "redis.conf --sentinel"])
def test_four_lines_and_the_default_port(world, way):
    """A file of four lines only; its port is 26379."""
    with open("/tmp/vedette-e2e-26379.%d.lock" % os.getuid(), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_free(26379):
            pytest.skip("another program listens on 26379")
        master, replicas = world.group(replicas=1)
        sentinel = world.sentinel("s1", port=26379, bare=True)
        lines = four_lines(master)
        if way != "sentinel0.conf":
            sentinel.command = [("redis-server" if world.kind == "redis" else BINARY["vedette"]),
                                sentinel.conf, "--sentinel"]
            with open(master.conf) as file:
                server_lines = [line for line in file.read().splitlines()
                                if not line.startswith(("port", "dir"))]
            lines = FULL_SERVER_CONF + server_lines + ["dir " + sentinel.directory] + lines
        sentinel.write_conf(lines)
        sentinel.start()
        expect_rewritten_default(sentinel, replicas)
        kept = [line.replace('"', "") for line in conf.read_lines(sentinel.conf)]
        for line in lines[:-4]:
            if line and not line.startswith(("#", "dir", "save")):
                assert line in kept, line
        said = subprocess.run(["redis-cli", "-p", "26379", "keys", "*"], capture_output=True,
                              text=True, timeout=5).stdout
        assert re.match(r"(\(error\) )?ERR unknown command 'keys', with args beginning with: '\*'",
                        said), said
        sentinel.terminate()
        # The rewritten file starts again; redis-sentinel starts from it as well.
        sentinel.start()
        assert sentinel.master()["num-slaves"] == "1"
        sentinel.terminate()


FULL_SERVER_CONF = """# A server's file to which the lines of a sentinel were added.
timeout 0
tcp-keepalive 300
databases 16
always-show-logo no
stop-writes-on-bgsave-error yes
rdbcompression yes
dbfilename dump.rdb
replica-serve-stale-data yes
repl-disable-tcp-nodelay no
appendfilename appendonly.aof
appendfsync everysec
lazyfree-lazy-eviction no
slowlog-log-slower-than 10000
hash-max-listpack-entries 128
activerehashing yes
hz 10""".split("\n")


def expect_rewritten_default(sentinel, replicas):
    def complete():
        return len(conf.sentinel_lines(sentinel.conf, "known-replica", "mymaster")) == len(replicas)
    wait_until(complete, 5, "the file names the replica")
    words = conf.directives(sentinel.conf)
    assert ["port", "26379"] in words
    assert ["protected-mode", "no"] in words
    assert conf.sentinel_value(sentinel.conf, "myid") == sentinel.myid()


def steps(sentinel, since=0):
    """The log lines of the election and failover: events and the lines about votes and delays."""
    wanted = []
    for _, text in sentinel.log_lines(since):
        word = text.split(" ")[0]
        if word[:1] in "+-" and word not in ("+convert-to-slave", "-role-change", "+role-change",
                                             "-sdown", "-odown", "+reboot"):
            wanted.append(word)
        elif " voted for " in text:
            wanted.append("voted")
        elif text.startswith("Next failover delay"):
            wanted.append("delay")
    return wanted


def test_failover_log(world):
    """The leader's log in 14 steps and the other's; the old master is a replica again."""
    master, replica, first, second = pair(world)
    both = [first, second]
    settle(both)
    starts = [sentinel.log_size() for sentinel in both]
    master.shutdown()
    assert wait_switched(both, master, patience=15) == replica.port
    leader = leader_of(both)
    other = second if leader is first else first
    for sentinel in both:
        sentinel.wait_event("+slave", "%s 127.0.0.1 %d @" % (master.address, master.port))
    of = "mymaster 127.0.0.1 %d" % master.port
    assert leader.find("+odown").text == "master %s #quorum 2/2" % of
    assert leader.in_log("%s voted for %s 1" % (other.myid(), leader.myid()))
    log = steps(leader, starts[both.index(leader)])
    expected = ["+sdown", "+odown", "+new-epoch", "+try-failover", "+vote-for-leader", "voted",
                "+elected-leader", "+failover-state-select-slave", "+selected-slave",
                "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion",
                "+promoted-slave", "+failover-state-reconf-slaves", "+failover-end",
                "+switch-master", "+slave"]
    assert log[:len(expected)] == expected
    log = steps(other, starts[both.index(other)])
    core = [step for step in log if step not in ("+odown", "-odown", "+sdown")]
    assert core[:6] == ["+new-epoch", "+vote-for-leader", "delay", "+config-update-from",
                        "+switch-master", "+slave"] or \
        core[:6] == ["delay", "+new-epoch", "+vote-for-leader", "+config-update-from",
                     "+switch-master", "+slave"], log
    assert other.find("+sdown", "master " + of), "the other saw it down too"

    master.start()
    # Eight seconds as a master that should be none, and what it takes to hear that.
    master.wait_role("slave", of=replica, patience=15)
    writer = client(master.port)
    with pytest.raises(Exception, match="READONLY|read only replica"):
        writer.execute_command("SET", "key", "value")


def test_as_published(world):
    """`info sentinel` and `sentinel masters`, field for field."""
    master, replica, first, _ = pair(world)
    info = first.info("sentinel")
    assert list(info)[:7] == [
        "sentinel_masters", "sentinel_tilt", "sentinel_tilt_since_seconds",
        "sentinel_running_scripts", "sentinel_scripts_queue_length",
        "sentinel_simulate_failure_flags", "master0"] or world.kind == "vedette"
    assert [field for field in info if field.startswith("master")] == ["master0"]
    assert info["sentinel_masters"] == "1" and info["sentinel_tilt"] == "0"
    assert info["sentinel_tilt_since_seconds"] == "-1"
    assert info["sentinel_running_scripts"] == "0"
    assert info["sentinel_scripts_queue_length"] == "0"
    assert info["sentinel_simulate_failure_flags"] == "0"
    assert info["master0"] == "name=mymaster,status=ok,address=%s,slaves=1,sentinels=2" % (
        master.address)
    [flat] = first.sentinel("MASTERS")
    fields = dict(zip(flat[::2], flat[1::2]))
    assert flat[::2] == [
        "name", "ip", "port", "runid", "flags", "link-pending-commands", "link-refcount",
        "last-ping-sent", "last-ok-ping-reply", "last-ping-reply", "down-after-milliseconds",
        "info-refresh", "role-reported", "role-reported-time", "config-epoch", "num-slaves",
        "num-other-sentinels", "quorum", "failover-timeout", "parallel-syncs"]
    fixed = {"name": "mymaster", "ip": "127.0.0.1", "port": str(master.port), "flags": "master",
             "runid": master.info("server")["run_id"], "link-refcount": "1",
             "down-after-milliseconds": "3000", "role-reported": "master", "config-epoch": "0",
             "num-slaves": "1", "num-other-sentinels": "1", "quorum": "2",
             "failover-timeout": "10000", "parallel-syncs": "1"}
    assert {field: fields[field] for field in fixed} == fixed
    for field in set(fields) - set(fixed):
        assert fields[field].isdigit(), field
    said = subprocess.run(["redis-cli", "-p", str(first.port), "keys", "*"], capture_output=True,
                          text=True, timeout=5).stdout
    assert "unknown command 'keys', with args beginning with: '*'" in said
    assert replica.role()[0] == "slave"


@pytest.mark.vedette_only
def test_same_id_left_in(world):
    """The id was forgotten in the copy: each says so, naming the other's address; neither counts
    the other, neither starts a failover."""
    master, replicas = world.group(replicas=1)
    first = world.sentinel("s1", four_lines(master)).start()
    expect_rewritten(first, master, replicas)
    second = copy_of(world, first, "s2").start()
    assert first.myid() == second.myid()
    for one, peer in ((first, second), (second, first)):
        one.wait_log("127.0.0.1:%d" % peer.port, patience=8)
        def named():
            return [value for value in one.info("sentinel").values()
                    if "127.0.0.1:%d" % peer.port in value]
        wait_until(named, 5, "INFO of %s names the other's address" % one.name)
        assert one.master()["num-other-sentinels"] == "0"
        with pytest.raises(Exception, match="another sentinel uses my id, at 127.0.0.1:%d"
                           % peer.port):
            one.sentinel("FAILOVER", "mymaster")
    # The other goes: after 3 publish-periods all is well again.
    second.kill()
    def again():
        assert first.sentinel("FAILOVER", "mymaster") == "OK"
        return True
    wait_until(again, 12, "the failover is accepted")
    wait_switched([first], master, patience=10)


SIX_TWO = """# Example sentinel.conf
port {port}
daemonize no
pidfile "{directory}/redis-sentinel.pid"
logfile ""
dir "{directory}"
sentinel myid {myid}
sentinel deny-scripts-reconfig yes
sentinel monitor mymaster 127.0.0.1 {master} 2
sentinel down-after-milliseconds mymaster 3000
sentinel failover-timeout mymaster 10000
sentinel config-epoch mymaster 7
sentinel leader-epoch mymaster 7
# Generated by CONFIG REWRITE
protected-mode no
user default on nopass ~* &* +@all
sentinel known-replica mymaster 127.0.0.1 {replica}
sentinel known-sentinel mymaster 127.0.0.1 {peer} {peer_id}
sentinel current-epoch 7
"""


def test_file_of_an_older_sentinel(world):
    """A file as redis-sentinel 6.2 rewrites it."""
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", bare=True)
    sentinel.write_conf(SIX_TWO.format(
        port=sentinel.port, directory=sentinel.directory, myid="a" * 40, master=master.port,
        replica=replica.port, peer=sentinel.port + 1, peer_id=OTHER_ID).split("\n"))
    sentinel.start()
    shown = sentinel.master()
    assert (shown["config-epoch"], shown["num-slaves"], shown["num-other-sentinels"]) == (
        "7", "1", "1")
    assert sentinel.myid() == "a" * 40
    assert [peer["runid"] for peer in sentinel.sentinels()] == [OTHER_ID]


@pytest.mark.parametrize("writer", ["redis", "vedette"])
def test_rewritten_file_loads(world, writer):
    """What redis-sentinel 7 and vedette wrote, the sentinel under test starts from."""
    if world.kind == "redis" and writer == "vedette":
        pytest.skip("needs vedette")
    master, [replica] = world.group(replicas=1)
    one = world.sentinel("s1", four_lines(master), kind=writer).start()
    myid = one.myid()
    expect_rewritten(one, master, [replica])
    one.terminate()
    one.command[0] = BINARY[world.kind]
    master.kill()
    replica.kill()  # nobody answers: what it knows is out of the file
    one.start()
    assert one.myid() == myid
    assert [found["port"] for found in one.replicas()] == [str(replica.port)]
    stays(one.alive, 0.5, "it runs")
