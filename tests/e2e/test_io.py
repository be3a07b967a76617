"""How vedette talks to the kernel: io_uring, or epoll where that is refused (by a real seccomp
filter) or asked for. All the other tests run on epoll, too: ctest has them as e2e_epoll_*."""

import errno
import subprocess

import pytest

from lib.fake import FakeRedis
from lib.seccomp import IO_URING_SETUP, refuse
from lib.sentinel import VEDETTE
from lib.wait import stays, wait_until
from lib.wire import Wire
from lib.world import leader_of, monitor_lines, wait_known, wait_switched

pytestmark = pytest.mark.vedette_only

REFUSALS = [pytest.param(errno.EPERM, ("EPERM", "seccomp"), id="eperm"),
            pytest.param(errno.ENOSYS, ("ENOSYS",), id="enosys")]


@pytest.fixture
def sentinel(world):
    """Not started yet; chooses by itself; its start-up is not its first."""
    def make(name, master, quorum=1, io=None):
        made = world.sentinel(name, monitor_lines(master, quorum) + ["sentinel current-epoch 1"])
        made.io = io
        return made
    return make


def fake_master(world):
    master = FakeRedis()
    world.others.append(master)
    return master


def shown(sentinel):
    """What INFO says: (the server section's word, ours)."""
    return (sentinel.info("server")["multiplexing_api"], sentinel.info("vedette")["vedette_io"])


def about_io(sentinel):
    return [(level, text) for level, text in sentinel.log_lines() if "io_uring" in text]


@pytest.mark.parametrize("error, words", REFUSALS)
def test_refused(world, sentinel, error, words):
    """It says so in one line, and does its work on epoll."""
    master, [replica] = world.group(replicas=1)
    one = sentinel("s1", master)
    one.before_exec = refuse(IO_URING_SETUP, error)
    one.start()
    assert one.backend() == "epoll"
    assert shown(one) == ("epoll", "epoll")
    said = about_io(one)
    assert len(said) == 1, said
    level, text = said[0]
    assert level == "#" and "epoll" in text, said
    assert all(word in text for word in words), said
    wait_known([one], replicas=1)
    master.kill()
    assert wait_switched([one], master) == replica.port
    replica.wait_role("master")
    one.terminate()
    one.start()
    assert one.master_port() == replica.port


@pytest.mark.parametrize("error, words", REFUSALS)
def test_refused_what_was_asked_for(world, sentinel, error, words):
    one = sentinel("s1", fake_master(world), io="uring")
    one.before_exec = refuse(IO_URING_SETUP, error)
    code, said = one.start_fails()
    assert code == 1
    assert len(said.splitlines()) == 1, said
    assert "io_uring" in said and all(word in said for word in words), said
    assert len(about_io(one)) == 1  # in the log, too


def uring_works(world, sentinel):
    one = sentinel("probe", fake_master(world), io="uring")
    one.spawn()
    try:
        wait_until(lambda: one.call("PING") == "PONG" or not one.alive(), 10, "it answers or ends")
    except AssertionError:
        assert not one.alive()
    if not one.alive():
        one.wait_exit()
        return False
    one.terminate()
    return True


@pytest.mark.parametrize("io", ["uring", "epoll"])
def test_asked_for(world, sentinel, io):
    if io == "uring" and not uring_works(world, sentinel):
        pytest.skip("io_uring is refused here")
    one = sentinel("s1", fake_master(world), io=io)
    one.start()
    api, ours = shown(one)
    assert api == {"uring": "io_uring", "epoll": "epoll"}[io]
    assert ours.startswith(api)
    assert about_io(one) == []  # nothing to explain


def test_idle_epoll_sleeps(world, sentinel):
    """Clients that come, go, stay and half close cost nothing while nothing happens."""
    one = sentinel("s1", fake_master(world), io="epoll")
    one.command += ["--shards", "1"]
    one.start(record=False)
    kept = [one.client.connection_pool.make_connection() for _ in range(20)]
    for i, connection in enumerate(kept):
        connection.connect()
        if i % 2:
            connection._sock.shutdown(1)

    def ticks():
        with open("/proc/%d/stat" % one.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    stays(one.alive, 2, "it runs")
    assert ticks() - before < 60  # of 200: a thread that spins would use them all
    for connection in kept:
        connection.disconnect()


def test_few_clients_share_a_shard(world, sentinel):
    """One shard takes all clients while they are few; each shard takes its share of many. A channel
    counts once for each shard that has a subscriber."""
    one = sentinel("s1", fake_master(world))
    one.command += ["--shards", "3"]
    one.start(record=False)

    def channels(count, name):
        """Of `count` subscribers, which then go."""
        wires = [Wire(one.port) for _ in range(count)]
        for wire in wires:
            wire.ask("SUBSCRIBE", name)
        found = int(one.info("stats")["pubsub_channels"])
        for wire in wires:
            wire.close()
        wait_until(lambda: one.info("stats")["pubsub_channels"] == "0", 5, "they are gone")
        return found
    # More than once: the shards begin one after the other, and later a burst may have kept the one
    # busy.
    for count, shards in (40, 1), (160, 3), (40, 1):
        wait_until(lambda: channels(count, "c%d" % count) == shards, 5,
                   "%d clients are on %d" % (count, shards))


def test_side_by_side(world, sentinel):
    """One that chose, one refused, one of each kind: they elect and convert alike."""
    master, [replica] = world.group(replicas=1)
    found = world.sentinels(["vedette"] * 3 + ["redis"], master, quorum=2)
    for one, io in zip(found, (None, "epoll", None)):
        one.terminate()
        one.io = io
    found[2].before_exec = refuse(IO_URING_SETUP, errno.EPERM)
    for one in found[:3]:
        one.start()
    assert [one.backend() for one in found[1:3]] == ["epoll", "epoll"]
    wait_known(found, replicas=1)
    master.kill()
    assert wait_switched(found, master, 30) == replica.port
    leader_of(found)


@pytest.mark.parametrize("value", [["--io", "select"], ["--io", ""], ["--io"]])
def test_wrong_word(world, sentinel, value):
    one = sentinel("s1", fake_master(world))
    run = subprocess.run([VEDETTE, one.conf] + value, capture_output=True, text=True, timeout=10)
    assert run.returncode == 1
    assert "--io wants 'uring' or 'epoll'" in run.stderr, run.stderr
    assert len(run.stderr.splitlines()) == 1
