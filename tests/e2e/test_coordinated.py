"""SENTINEL FAILOVER … COORDINATED: the master hands over, and no write that it acknowledged is
lost; when it cannot, everything stays as it was."""

import threading
import time

import pytest
import redis

from lib.world import leader_of, wait_known, wait_switched
from lib.wait import stays, wait_until

pytestmark = pytest.mark.vedette_only

DOWN_AFTER = 4000  # the master may take half of it to hand over
WRITERS = 4
SWITCHES = 6


class Writer:
    """A connection that appends its own numbers to its own list, asks a sentinel for the master
    when it loses it, and remembers what was acknowledged."""

    def __init__(self, number, sentinel):
        self.key = "writer:%d" % number
        self.sentinel = sentinel
        self.acknowledged, self.refused, self.lost = [], 0, 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        sequence, connection = 0, None
        while not self.stopping.is_set():
            sequence += 1
            try:
                if connection is None:
                    asked = redis.Redis("127.0.0.1", self.sentinel.port, decode_responses=True,
                                        socket_timeout=5)
                    address = asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                                                    "mymaster")
                    asked.close()
                    connection = redis.Redis(address[0], int(address[1]), socket_timeout=20)
                connection.rpush(self.key, sequence)
                self.acknowledged.append(sequence)
            except redis.exceptions.ReadOnlyError:
                self.refused += 1
                connection = None
                time.sleep(0.01)
            except (redis.exceptions.RedisError, OSError):
                self.lost += 1  # perhaps done, perhaps not: it was not acknowledged
                connection = None
                time.sleep(0.01)
            time.sleep(0.001)

    def stop(self):
        self.stopping.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), "a write hangs"


@pytest.fixture(params=["vedette", "mixed"])
def group(request, world):
    """(master, replicas, sentinels); mixed: with stock sentinels as the majority."""
    master, replicas = world.group(replicas=2)
    kinds = ["vedette"] * 3 if request.param == "vedette" else ["vedette", "redis", "redis"]
    sentinels = world.sentinels(kinds, master, down_after=DOWN_AFTER, failover_timeout=20000)
    wait_known(sentinels, replicas=2)
    return master, replicas, sentinels


@pytest.fixture
def alone(world):
    """(master, replica, sentinel): one sentinel, one replica."""
    master, [replica] = world.group(replicas=1)
    [sentinel] = world.sentinels(["vedette"], master, quorum=1, down_after=DOWN_AFTER,
                                 failover_timeout=20000)
    wait_known([sentinel], replicas=1)
    return master, replica, sentinel


def coordinated(sentinel):
    """The order, given again while there is no replica to take it."""
    def given():
        try:
            return sentinel.sentinel("FAILOVER", "mymaster", "COORDINATED") == "OK"
        except redis.exceptions.ResponseError as error:
            assert str(error).startswith(("NOGOODSLAVE", "INPROG")), error
            return False
    wait_until(given, 15, "%s takes the order" % sentinel.name)


def written(server):
    return {key: [int(n) for n in server.client.execute_command("LRANGE", key, 0, -1)]
            for key in server.client.execute_command("KEYS", "writer:*")}


def expect_all(writers, server):
    found = written(server)
    for writer in writers:
        missing = set(writer.acknowledged) - set(found.get(writer.key, []))
        assert not missing, "%s lost %d acknowledged writes: %s…" % (
            writer.key, len(missing), sorted(missing)[:5])


def test_no_acknowledged_write_is_lost(world, group):
    master, replicas, sentinels = group
    servers = [master] + replicas
    writers = [Writer(i, sentinels[0]) for i in range(WRITERS)]
    began = time.monotonic()
    try:
        for turn in range(SWITCHES):
            since = [sentinel.mark() for sentinel in sentinels]
            before = [len(writer.acknowledged) for writer in writers]
            coordinated(sentinels[0])
            port = wait_switched(sentinels, master, patience=20)
            [new] = [server for server in servers if server.port == port]
            # The old master follows at once, converted by nobody.
            for server in servers:
                if server is not new:
                    server.wait_role("slave", of=new, patience=15)
            assert not any(sentinel.find("+convert-to-slave", since=since[i])
                           for i, sentinel in enumerate(sentinels))
            # Nobody took anything for down, however its PUBLISH had to wait.
            for i, sentinel in enumerate(sentinels):
                assert not sentinel.find("+sdown", since=since[i]), sentinel.events[since[i]:]
                assert int(sentinel.master()["config-epoch"]) == turn + 1
            assert leader_of(sentinels, since) is sentinels[0]
            master = new
            wait_until(lambda: all(len(writer.acknowledged) > had + 20
                                   for writer, had in zip(writers, before)),
                       20, "all writers write on")
            wait_until(lambda: all(r["master-link-status"] == "ok" and r["flags"] == "slave"
                                   for r in sentinels[0].replicas()), 15, "replicas are linked up")
    finally:
        for writer in writers:
            writer.stop()
    print("%d switches in %.1f s; acknowledged %d, refused as read-only %d, cut %d" % (
        SWITCHES, time.monotonic() - began, sum(len(w.acknowledged) for w in writers),
        sum(w.refused for w in writers), sum(w.lost for w in writers)))
    expect_all(writers, master)
    for server in servers:
        if server is not master:
            wait_until(lambda s=server: written(s) == written(master), 15, "the replicas have all")
    assert [server.role()[0] for server in servers].count("master") == 1


def test_events(world, alone):
    master, replica, sentinel = alone
    coordinated(sentinel)
    wait_switched([sentinel], master)
    sentinel.wait_event("+switch-master")
    told = [event.channel for event in sentinel.events]
    order = ["+new-epoch", "+try-failover", "+vote-for-leader", "+elected-leader",
             "+failover-state-select-slave", "+selected-slave",
             "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion",
             "+promoted-slave", "+failover-state-reconf-slaves", "+failover-end", "+switch-master"]
    assert [channel for channel in told if channel in order] == order
    replica.wait_role("master")  # our own connection may just be closed with all others
    master.wait_role("slave", of=replica)
    # Its file says so too: the role survives a restart.
    with open(master.conf) as file:
        assert "replicaof 127.0.0.1 %d" % replica.port in file.read()


def test_refusals(world, alone):
    master, replica, sentinel = alone
    for words, error in ((("mymaster", "SLOWLY"),
                          "wrong number of arguments for 'sentinel|failover' command"),
                         (("nobody", "COORDINATED"), "No such master with that name"),
                         (("mymaster", "COORDINATED", "x"),
                          "wrong number of arguments for 'sentinel|failover' command")):
        with pytest.raises(redis.exceptions.ResponseError, match="^" + error.replace("|", "[|]")):
            sentinel.sentinel("FAILOVER", *words)
    # More votes than there are: it stays down, and no failover of its own begins.
    assert sentinel.sentinel("SET", "mymaster", "quorum", "2") == "OK"
    master.pause()
    sentinel.wait_event("+sdown", "master mymaster", patience=20)
    with pytest.raises(redis.exceptions.ResponseError, match="^NOGOODPRIMARY "):
        sentinel.sentinel("FAILOVER", "mymaster", "COORDINATED")
    master.resume()


def test_master_refuses(world, alone):
    """It does not know FAILOVER under that name: the reason is in the log, writes go on."""
    master, replica, sentinel = alone
    sentinel.sentinel("SET", "mymaster", "rename-command", "FAILOVER", "NO-SUCH-THING")
    coordinated(sentinel)
    sentinel.wait_event("-failover-abort-master-timeout", patience=5)
    assert sentinel.in_log("The master of 'mymaster' refuses to hand over: ERR unknown command")
    assert master.client.execute_command("SET", "k", "v") == "OK"
    # FAILOVER itself is refused, after the pause of writes was taken: that must be lifted.
    sentinel.sentinel("SET", "mymaster", "rename-command", "FAILOVER", "FAILOVER")
    master.client.execute_command("CONFIG", "SET", "min-replicas-max-lag", "10")
    since = sentinel.mark()
    replica.client.execute_command("REPLICAOF", "127.0.0.1", "1")  # no replica any more
    coordinated_now = sentinel.sentinel("FAILOVER", "mymaster", "COORDINATED")
    assert coordinated_now == "OK"
    wait_until(lambda: any(e.channel.startswith("-failover-abort") for e in sentinel.events[since:]),
               10, "it is given up")
    assert master.client.execute_command("SET", "k", "w") == "OK"
    assert master.role()[0] == "master"
    replica.client.execute_command("REPLICAOF", "127.0.0.1", master.port)
    replica.wait_role("slave", of=master)
    # And nothing stands in the way of the next one.
    coordinated(sentinel)
    wait_switched([sentinel], master)


@pytest.mark.parametrize("group,behind", [("vedette", True), ("mixed", False)],
                         indirect=["group"])
def test_paused_replica(world, group, behind):
    """The replica stops answering: the master takes writes again, as master. behind: it has not
    even got everything, so the master waits; else it has made itself a replica already."""
    master, replicas, sentinels = group
    chosen = replicas[0]
    replicas[1].client.execute_command("CONFIG", "SET", "replica-priority", "0")
    wait_until(lambda: any(r["slave-priority"] == "0" for r in sentinels[0].replicas()), 15,
               "the other is no candidate")
    chosen.pause()
    try:
        if behind:
            master.client.execute_command("SET", "not", "there")
        since = [sentinel.mark() for sentinel in sentinels]
        at = time.monotonic()
        assert sentinels[0].sentinel("FAILOVER", "mymaster", "COORDINATED") == "OK"
        sentinels[0].wait_event("+failover-state-wait-promotion")
        assert sentinels[0].master()["flags"] == "master,failover_in_progress,coordinated_failover"
        writer = Writer(0, sentinels[0])
        sentinels[0].wait_event("-failover-abort-slave-timeout", patience=10, since=since[0])
        took = time.monotonic() - at
        assert took > DOWN_AFTER / 2000 - 0.5
        wait_until(lambda: writer.acknowledged, 5, "it takes writes again")
        writer.stop()
        assert master.role()[0] == "master"
        assert all(sentinel.master_port() == master.port for sentinel in sentinels)
        shown = sentinels[0].master()
        assert shown["config-epoch"] == "0" and shown["flags"] == "master"
        for i, sentinel in enumerate(sentinels):
            assert not sentinel.find("+sdown", "master mymaster", since=since[i])
    finally:
        chosen.resume()
    # What the replica finds when it wakes: a promotion whose time is over. It becomes a replica.
    chosen.wait_role("slave", of=master, patience=30)
    expect_all([writer], master)
    stays(lambda: all(sentinel.master_port() == master.port for sentinel in sentinels), 2,
          "the master stays master")


@pytest.mark.parametrize("group", ["mixed"], indirect=True)
def test_master_dies_meanwhile(world, group):
    """The ordinary failover takes over, without a delay imposed by the one that was ordered."""
    master, replicas, sentinels = group
    for replica in replicas:
        replica.pause()
    master.client.execute_command("SET", "not", "there")
    assert sentinels[0].sentinel("FAILOVER", "mymaster", "COORDINATED") == "OK"
    sentinels[0].wait_event("+failover-state-wait-promotion")
    master.kill()
    for replica in replicas:
        replica.resume()
    port = wait_switched(sentinels, master, patience=DOWN_AFTER / 1000 + 15)
    [new] = [replica for replica in replicas if replica.port == port]
    new.wait_role("master")
    for replica in replicas:
        if replica is not new:
            replica.wait_role("slave", of=new, patience=15)
    master.start()
    master.wait_role("slave", of=new, patience=25)
