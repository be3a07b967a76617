"""State on hard ground (design.md §5): kill -9 at any moment, full disks, files that another sentinel
had in between."""

import os
import random
import shutil
import subprocess
import threading
import time

import pytest
import redis

from lib import conf
from lib.fake import FakeRedis
from lib.sentinel import BINARY, VEDETTE
from lib.wait import stays, wait_until
from lib.world import monitor_lines, wait_known, wait_switched

pytestmark = pytest.mark.vedette_only


def mount_namespaces():
    return os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def namespaces():
    if not mount_namespaces():
        pytest.skip("needs root and mount namespaces")


# --- kill -9 --------------------------------------------------------------------------------------

PEERS = ["%040x" % (0xABC0 + i) for i in range(3)]


class Group:
    """One master of the storm: two servers that take turns, and the most that was ever seen of it
    on the wire."""

    def __init__(self, number, servers):
        self.name, self.servers = "g%d" % number, servers
        self.epoch = 1               # the last we used
        self.at = 0                  # which of the servers our last hello named
        self.vote = (0, "*")         # the greatest answer
        self.config_epoch = 0        # the greatest that was seen
        self.master_port = servers[0].port
        self.timeouts = [10000, 10000]  # the last that was answered, the last that was asked for


class Storm:
    """Votes, newer configurations and SETs, pipelined, until the connection breaks; what was
    answered is noted."""

    def __init__(self, sentinel, groups, rng):
        self.sentinel, self.groups, self.rng = sentinel, groups, rng
        self.answered = 0

    def request(self):
        group = self.rng.choice(self.groups)
        kind = self.rng.choices(["vote", "hello", "set", "look"], [6, 2, 2, 2])[0]
        if kind == "vote":
            group.epoch += self.rng.randrange(0, 3)
            words = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1",
                     group.servers[group.at].port, group.epoch, self.rng.choice(PEERS)]
        elif kind == "hello":
            group.epoch += 1
            group.at = 1 - group.at
            words = ["PUBLISH", "__sentinel__:hello", "127.0.0.1,9,%s,%d,%s,127.0.0.1,%d,%d" % (
                PEERS[0], group.epoch, group.name, group.servers[group.at].port, group.epoch)]
        elif kind == "set":
            group.timeouts[1] += 1
            words = ["SENTINEL", "SET", group.name, "failover-timeout", group.timeouts[1]]
            return kind, group, group.timeouts[1], words
        else:
            words = ["SENTINEL", "MASTER", group.name]
        return kind, group, None, words

    def note(self, kind, group, what, reply):
        self.answered += 1
        if isinstance(reply, redis.exceptions.ResponseError):
            assert "save" in str(reply) or "INPROG" in str(reply), reply
        elif kind == "vote":
            leader, epoch = reply[1].decode(), reply[2]
            if epoch > group.vote[0]:
                group.vote = (epoch, leader)
        elif kind == "set":
            assert reply == b"OK"
            group.timeouts[0] = what
        elif kind == "look":
            see(group, dict(zip(reply[::2], reply[1::2])))

    def run(self):
        connection = redis.Connection("127.0.0.1", self.sentinel.port, socket_timeout=10)
        asked = []
        try:
            while True:
                batch = [self.request() for _ in range(12)]
                connection.send_packed_command(
                    connection.pack_commands([words for *_, words in batch]))
                asked = list(batch)
                while asked:
                    try:
                        reply = connection.read_response()
                    except redis.exceptions.ResponseError as error:
                        reply = error
                    kind, group, what, _ = asked.pop(0)
                    self.note(kind, group, what, reply)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            pass
        finally:
            connection.disconnect()


def see(group, fields):
    epoch, port = int(fields[b"config-epoch"]), int(fields[b"port"])
    if epoch > group.config_epoch:
        group.config_epoch, group.master_port = epoch, port


def heard_on_the_wire(groups):
    """Its own hellos promise config epochs, too; empties what was heard."""
    for group in groups:
        for server in group.servers:
            heard, server.heard = server.heard, []
            for message in heard:
                words = message.split(",")
                if words[4] == group.name and int(words[7]) > group.config_epoch:
                    group.config_epoch, group.master_port = int(words[7]), int(words[6])


def check(sentinel, groups):
    highest = max(group.vote[0] for group in groups)
    for group in groups:
        master = sentinel.master(group.name)
        epoch, port = int(master["config-epoch"]), int(master["port"])
        assert epoch >= group.config_epoch, "config-epoch went back"
        if epoch == group.config_epoch and epoch > 0:
            assert port == group.master_port, "another master in the same epoch"
        assert group.timeouts[0] <= int(master["failover-timeout"]) <= group.timeouts[1]
        known = {peer["runid"] for peer in sentinel.sentinels(group.name)}
        assert set(PEERS[:2]) <= known, "sentinels are forgotten"
        ports = {int(replica["port"]) for replica in sentinel.replicas(group.name)} | {port}
        assert {server.port for server in group.servers} <= ports, "servers are forgotten"
        # Nobody gets what another has: asked for the same epoch it repeats itself.
        stranger = "%040x" % 0xEEE
        if group.vote[0] == 0:
            continue
        leader, voted = sentinel.vote(port, group.vote[0], stranger)
        assert voted >= group.vote[0], "a vote went back"
        if voted == group.vote[0]:
            assert leader == group.vote[1], "voted twice in epoch %d" % voted
    saved = int(sentinel.saved("current-epoch"))
    assert saved >= highest, "current-epoch %d in the file, %d was seen" % (saved, highest)


def start_in_storm(sentinel):
    sentinel.spawn()
    wait_until(lambda: sentinel.call("PING") == "PONG", 10, "it answers", interval=0.005)


@pytest.mark.parametrize("file", ["plain", "bind-mounted"])
def test_kill_9_in_a_storm(world, file):
    if file == "bind-mounted" and not mount_namespaces():
        pytest.skip("needs root and mount namespaces")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    servers = [FakeRedis() for _ in range(6)]
    world.others.extend(servers)
    groups = [Group(i, servers[2 * i:2 * i + 2]) for i in range(3)]
    lines = ["sentinel current-epoch 1"]
    for group in groups:
        lines += monitor_lines(group.servers[0], 2, 60000, name=group.name)
        lines += ["sentinel known-replica %s 127.0.0.1 %d" % (group.name, group.servers[1].port)]
        lines += ["sentinel known-sentinel %s 127.0.0.1 %d %s" % (group.name, 9 + i, runid)
                  for i, runid in enumerate(PEERS[:2])]
    sentinel = world.sentinel("s1", lines)
    if file == "bind-mounted":
        source = world.path("mounted.conf")
        shutil.copy(sentinel.conf, source)
        sentinel.command = ["unshare", "-m", "sh", "-c",
                            'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh", source,
                            sentinel.conf, VEDETTE, sentinel.conf]
        mounted, sentinel.conf = sentinel.conf, source
        assert mounted in sentinel.command
    answered, kills, until = 0, 0, time.monotonic() + 25
    start_in_storm(sentinel)
    while kills < 30 and time.monotonic() < until:
        storms = [Storm(sentinel, groups[i:i + 1], rng) for i in range(3)]
        threads = [threading.Thread(target=storm.run) for storm in storms]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.005, 0.25))
        sentinel.kill()
        kills += 1
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()
        sentinel.client.connection_pool.disconnect()
        heard_on_the_wire(groups)
        answered += sum(storm.answered for storm in storms)
        start_in_storm(sentinel)
        check(sentinel, groups)
    assert kills >= 8 and answered > 20 * kills, (kills, answered)
    assert max(group.vote[0] for group in groups) > 10
    assert all(group.config_epoch > 1 for group in groups)
    assert sentinel.terminate() == 0


# --- full disks -----------------------------------------------------------------------------------


def fill_up(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except OSError:
        os.close(fd)


def test_full_disk_starts_no_attempt(world, namespaces):
    """Down is seen and said; nothing is started until there is room, and then at once."""
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", monitor_lines(master, 1, 1000) + ["sentinel current-epoch 1"])
    place = world.path("disk")
    os.mkdir(place)
    inside = os.path.join(place, "sentinel.conf")
    sentinel.command = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                        'mount -t tmpfs -o size=128k none "$1" && cp "$2" "$3" && shift 3 '
                        '&& exec "$@"', "sh", place, sentinel.conf, inside, VEDETTE, inside]
    sentinel.start()
    wait_known([sentinel], replicas=1)
    seen = "/proc/%d/root%s" % (sentinel.pid, place)
    fill_up(seen + "/fill")

    def journal_is_full():
        # The last page of the journal may still have room: votes for a master nobody cares about.
        for _ in range(50):
            journal_is_full.epoch += 1
            sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", master.port,
                              journal_is_full.epoch, "ab" * 20)
        return sentinel.in_log("The journal cannot be written")
    journal_is_full.epoch = 10
    wait_until(journal_is_full, 20, "the journal is full")
    assert sentinel.info("vedette")["vedette_journal_refused"] == "1"
    with pytest.raises(redis.exceptions.ResponseError, match="Failed to save config file"):
        sentinel.sentinel("SET", "mymaster", "parallel-syncs", "2")
    mark = sentinel.mark()
    master.kill()
    sentinel.wait_event("+odown", since=mark)
    stays(lambda: not sentinel.find("+try-failover", since=mark)
          and sentinel.call("PING") == "PONG", 2, "no attempt")
    assert replica.role()[0] == "slave"

    os.unlink(seen + "/fill")
    sentinel.wait_log("The journal can be written again", patience=15)
    sentinel.wait_event("+switch-master", since=mark, patience=30)
    wait_switched([sentinel], master)
    assert sentinel.info("vedette")["vedette_journal_refused"] == "0"
    wait_until(lambda: "sentinel monitor mymaster 127.0.0.1 %d 1" % replica.port
               in conf.read_lines(seen + "/sentinel.conf"), 10, "the file has it")


# --- there and back again -------------------------------------------------------------------------

FAST = ["info-period", "500", "publish-period", "300", "ping-period", "300"]


class Moves:
    """One sentinel.conf and one port, for redis-sentinel and vedette in turn; beside it a
    redis-sentinel that stays."""

    def __init__(self, world):
        self.master, [self.replica] = world.group(replicas=1)
        self.servers = [self.master, self.replica]
        lines = monitor_lines(self.master, 1, 5000, 5000)
        self.peer = world.sentinel("peer", lines, kind="redis").start(record=False)
        self.peer.sentinel("DEBUG", *FAST)
        wait_until(lambda: self.peer.saved("myid"), 5, "the peer has its id")
        self.it = world.sentinel("it", lines)
        self.epoch, self.myid = 0, None

    def run(self, program):
        """Starts it; everything is as it was left, before anybody could have said it."""
        it = self.it
        it.kind = program
        it.command[0] = BINARY[program]
        it.io = None
        it.spawn()
        it.wait_answers()
        master = it.master()
        if self.myid is not None:
            assert it.myid() == self.myid
            assert master["num-other-sentinels"] == "1" and master["num-slaves"] == "1"
            assert int(master["port"]) == self.now().port
            assert int(master["config-epoch"]) == self.epoch, "config-epoch"
            assert int(it.saved("current-epoch")) >= self.epoch
        it.sentinel("DEBUG", *FAST)
        self.myid = it.myid()
        wait_until(self.all_is_known, 20, "it sees the replica and the peer")

    def all_is_known(self):
        return (self.it.master()["flags"] == "master"
                and [(r["flags"], r["master-link-status"]) for r in self.it.replicas()]
                == [("slave", "ok")]
                and [(s["flags"], s["runid"]) for s in self.it.sentinels()]
                == [("sentinel", self.peer.myid())])

    def now(self):
        (master,) = [server for server in self.servers if server.role()[0] == "master"]
        return master

    def fail_over(self):
        """To the other server; the epoch rises, the peer follows."""
        old = self.now()
        # Whoever last saw the replica as a master would make it a replica again at once.
        wait_until(lambda: all(
            sentinel.master_port() == old.port
            and [r["role-reported"] for r in sentinel.replicas()] == ["slave"]
            for sentinel in (self.it, self.peer)), 15, "both have seen the last one settle")
        (new,) = [server for server in self.servers if server is not old]

        def asked():
            try:
                return self.it.sentinel("FAILOVER", "mymaster") == "OK"
            except redis.exceptions.ResponseError:  # NOGOODSLAVE: its INFO is too old yet
                return False
        wait_until(asked, 10, "FAILOVER is accepted", interval=0.2)
        wait_until(lambda: self.it.master_port() == new.port
                   and self.it.master()["flags"] == "master", 20, "it is done")
        wait_until(lambda: self.peer.master_port() == new.port, 15, "the peer follows")
        old.wait_role("slave", of=new, patience=20)
        epoch = int(self.it.master()["config-epoch"])
        assert epoch > self.epoch
        self.epoch = epoch


def test_upgrade_and_way_back(world):
    """redis-sentinel, vedette and redis-sentinel again on one file, with a failover each; at last
    after a crash, by --fold."""
    moves = Moves(world)
    moves.run("redis")
    moves.fail_over()
    assert moves.it.terminate() == 0
    moves.run("vedette")
    moves.fail_over()
    assert moves.it.terminate() == 0
    moves.run("redis")
    moves.fail_over()
    assert moves.it.terminate() == 0
    moves.run("vedette")
    moves.fail_over()
    moves.it.kill()
    fold = subprocess.run([VEDETTE, "--fold", moves.it.conf], capture_output=True, text=True,
                          timeout=10, check=False)
    assert fold.returncode == 0, fold
    moves.run("redis")


def test_another_sentinel_had_the_file(world):
    """vedette is killed and leaves a journal; redis-sentinel takes the file and fails over; vedette
    comes back: what its old journal says of the master is not true any more."""
    moves = Moves(world)
    moves.run("vedette")
    moves.fail_over()
    moves.it.kill()
    assert conf.journals(moves.it.conf), "a journal is there"
    moves.epoch = int(moves.it.saved("config-epoch", "mymaster"))
    moves.run("redis")
    moves.fail_over()
    moves.it.child.kill()
    moves.it.child.wait()
    moves.run("vedette")
    moves.fail_over()
