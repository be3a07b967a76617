"""What goes wrong around a vedette: peers that move, die and multiply, limits that are too low,
disks that are full, stops in the middle of everything."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
import redis

from lib import conf
from lib.fake import FakeRedis, array, bulk
from lib.ports import free_port
from lib.sentinel import IO, VEDETTE
from lib.wait import stays, wait_until
from lib.world import monitor_lines, settle, wait_known

pytestmark = pytest.mark.vedette_only


def hello(at, runid, name, master, epoch=0, config_epoch=0):
    ip, port = at if isinstance(at, tuple) else ("127.0.0.1", at.port)
    return "%s,%d,%s,%d,%s,127.0.0.1,%d,%d" % (ip, port, runid, epoch, name, master.port,
                                              config_epoch)


@pytest.fixture
def fakes(world):
    def make(count):
        made = [FakeRedis() for _ in range(count)]
        world.others.extend(made)
        return made
    return make


@pytest.fixture
def watching(world, fakes):
    """(sentinel, [fake masters]): groups g0, g1, … on two shards."""
    def make(count, down_after=1000, lines=()):
        masters = fakes(count)
        text = [line for i, master in enumerate(masters)
                for line in monitor_lines(master, 2, down_after, name="g%d" % i)]
        sentinel = world.sentinel("s1", text + list(lines))
        sentinel.command += ["--shards", "2"]
        sentinel.start()
        wait_until(lambda: all(m.subscribers() == 1 for m in masters), 10, "hellos are heard")
        return sentinel, masters
    return make


# --- peers ----------------------------------------------------------------------------------------


def peer_flags(sentinel, name, runid):
    return [peer["flags"] for peer in sentinel.sentinels(name) if peer["runid"] == runid]


def test_peer_moves_to_where_nobody_is(watching, fakes):
    """Every group that shares the link must find out that nobody answers at the new address."""
    sentinel, masters = watching(4)
    (peer,) = fakes(1)
    runid = "ab" * 20
    names = ["g%d" % i for i in range(4)]
    for name, master in zip(names, masters):
        master.say(hello(peer, runid, name, master))
    wait_until(lambda: all(peer_flags(sentinel, name, runid) == ["sentinel"] for name in names), 5,
               "the peer is there")
    wait_until(lambda: sum(words == ["PING"] for _, _, words in peer.commands) >= 3, 5,
               "it has answered a few times")
    link_count = len({number for _, number, _ in peer.commands})
    assert link_count == 1, "one link for the peer, not %d" % link_count

    nowhere = ("127.0.0.1", free_port())
    masters[0].say(hello(nowhere, runid, "g0", masters[0]))
    for name in names:
        sentinel.wait_event("+sdown", "sentinel %s 127.0.0.1 %d @ %s " % (runid, nowhere[1], name))
    assert len([e for e in sentinel.events if e.channel == "+sentinel-address-switch"]) == 1
    (update,) = [e for e in sentinel.events if e.channel == "+sentinel-address-update"]
    assert update.text.endswith("3 additional matching instances"), update.text

    # And back: it answers again.
    masters[3].say(hello(peer, runid, "g3", masters[3]))
    for name in names:
        wait_until(lambda: peer_flags(sentinel, name, runid) == ["sentinel"], 5,
                   "%s sees the peer again" % name)


def test_the_same_hello_again(watching, fakes):
    """Copies of a hello within half a publish-period are passed over, but not once something has
    happened to the group."""
    sentinel, (master,) = watching(1)
    assert sentinel.sentinel("DEBUG", "publish-period", "20000") == "OK"
    (peer,) = fakes(1)
    runid = "ac" * 20
    text = hello(peer, runid, "g0", master)
    moved = hello(("127.0.0.1", free_port()), runid, "g0", master)

    def said(what, done):
        """Until its link is back after a RESET, nobody hears it."""
        def again():
            master.say(what)
            return done()
        wait_until(again, 5, "it hears %s" % what)
    for _ in range(3):
        said(text, lambda: peer_flags(sentinel, "g0", runid))
        assert sentinel.sentinel("RESET", "g0") == 1
        assert not peer_flags(sentinel, "g0", runid)
    said(text, lambda: peer_flags(sentinel, "g0", runid))
    for says in (moved, text, moved, text):
        port = says.split(",")[1]
        said(says, lambda: sentinel.sentinels("g0")[0]["port"] == port)


def test_new_id_at_the_old_address(watching, fakes):
    """A sentinel reborn without its file is one sentinel, in every group."""
    sentinel, masters = watching(4)
    (peer,) = fakes(1)
    for i, master in enumerate(masters):
        master.say(hello(peer, "ab" * 20, "g%d" % i, master))
    wait_until(lambda: all(len(sentinel.sentinels("g%d" % i)) == 1 for i in range(4)), 5,
               "the peer is known")
    masters[0].say(hello(peer, "cd" * 20, "g0", masters[0]))
    wait_until(lambda: [p["runid"] for p in sentinel.sentinels("g0")] == ["cd" * 20], 5,
               "the new id took the old one's place")
    for i in range(1, 4):
        wait_until(lambda: sentinel.sentinels("g%d" % i) == [], 5, "the old id is gone everywhere")
    wait_until(lambda: "sentinel forget" not in "".join(conf.read_lines(sentinel.conf))
               and conf.sentinel_lines(sentinel.conf, "known-sentinel")
               == [["g0", "127.0.0.1", str(peer.port), "cd" * 20]], 5, "and in the file")


def test_peer_that_announces_our_address(watching):
    """Asked for its vote we would answer ourselves, and count our own vote twice. What is heard of it
    is passed over; what the file says of it is found out."""
    sentinel, (master,) = watching(1, down_after=500)
    impostor = "ab" * 20
    master.say(hello(sentinel, impostor, "g0", master))
    stays(lambda: sentinel.master("g0")["num-other-sentinels"] == "0", 1, "it is no peer")
    sentinel.terminate()
    with open(sentinel.conf, "a") as file:
        file.write("sentinel known-sentinel g0 127.0.0.1 %d %s\n" % (sentinel.port, impostor))
    sentinel.start()
    sentinel.wait_event("+sdown", "sentinel " + impostor)
    assert len(sentinel.in_log("%s announces my own address" % impostor)) == 1
    settle([sentinel])
    master._answer = lambda connection, words: b""  # it has fallen silent
    sentinel.wait_event("+sdown", "master g0")
    time.sleep(2)
    assert not sentinel.find("+odown") and not sentinel.find("+elected-leader")
    assert sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", master.port, 0, "*")[0] == 1


class Slow(FakeRedis):
    """Whoever subscribes hears at once what came to it late: `late`."""

    def _answer(self, connection, words):
        answer = super()._answer(connection, words)
        if words[0].upper() == "SUBSCRIBE":
            answer += array(bulk("message"), bulk(words[1]), bulk(self.late))
        return answer


def test_hello_of_a_former_life(world):
    """kill -9 and a quick start: what the former life said is still on its way through a slow
    server, and comes before the new one has said anything. That is no twin."""
    master, myid = Slow(), "7" * 40
    world.others.append(master)
    sentinel = world.sentinel("s1", monitor_lines(master, 1) + ["sentinel myid " + myid])
    master.late = hello(("127.0.0.1", sentinel.port), myid, "mymaster", master)
    sentinel.start()
    wait_until(lambda: master.heard, 5, "it has said something itself")
    assert master.subscribers() == 1 and sentinel.myid() == myid
    assert not sentinel.in_log("uses my id")
    # Who listens elsewhere is one.
    master.say(hello(("127.0.0.1", sentinel.port + 1), myid, "mymaster", master))
    sentinel.wait_log("another sentinel uses my id %s, at 127.0.0.1:%d" % (
        myid, sentinel.port + 1))


def test_quorum_never_exceeds_the_sentinels(world):
    """The puzzle of scenario B, `#quorum 4/2` with three sentinels: one restarted with a new id,
    one moved to a new address."""
    master, _ = world.group(1)
    sentinels = world.sentinels(["vedette"] * 3, master, down_after=700)
    wait_known(sentinels, 1)

    sentinels[1].terminate()
    lines = [line for line in conf.read_lines(sentinels[1].conf) if "myid" not in line]
    sentinels[1].write_conf(lines)
    sentinels[1].start()

    sentinels[2].terminate()
    port = free_port()
    sentinels[2].write_conf(["port %d" % port if line.startswith("port ") else line
                             for line in conf.read_lines(sentinels[2].conf)])
    moved = world.sentinel("moved", port=port)
    moved.conf, moved.log = sentinels[2].conf, sentinels[2].log
    moved.command = [VEDETTE, moved.conf]
    moved.start()
    now = [sentinels[0], sentinels[1], moved]
    wait_known(now, 1)
    assert sentinels[0].find("+sentinel-invalid-addr")
    assert sentinels[0].find("+sentinel-address-switch")

    settle(now)
    master.kill()
    for sentinel in now:
        sentinel.wait_event("+switch-master", patience=10)
        for event in sentinel.events:
            if event.channel == "+odown":
                count = int(re.search(r"#quorum (\d+)/2$", event.text).group(1))
                assert 2 <= count <= 3, event.text


def test_peers_are_bounded_and_forgotten(watching):
    """Hellos of any number of invented sentinels leave no more than LIMIT_PEERS, and RESET frees
    their places."""
    sentinel, masters = watching(10, down_after=60000)

    def flood(start):
        for i, master in enumerate(masters):
            for n in range(128):
                number = start + i * 128 + n
                at = ("127.%d.%d.%d" % (1 + start // 10000, number // 250, 1 + number % 250), 9)
                master.say(hello(at, "%040x" % (number + 1), "g%d" % i, master))

    def total():
        return sum(int(master["num-other-sentinels"])
                   for master in map(sentinel.master, ["g%d" % i for i in range(10)]))

    def settled():
        before = total()
        time.sleep(0.5)
        return before == total() and before > 900
    flood(0)
    wait_until(settled, 15, "the flood is over")
    assert total() <= 1024 + 64, total()
    assert int(sentinel.call("INFO", "stats").split("vedette_hostile_ignored:")[1].split()[0]) > 100
    assert sentinel.sentinel("RESET", "*") == 10
    wait_until(lambda: total() == 0, 5, "all are forgotten")

    def flooded_again():
        flood(10000)  # RESET opens the links anew: what is said meanwhile nobody hears
        time.sleep(0.5)
        return total() > 900
    wait_until(flooded_again, 15, "there is room again")
    assert sentinel.sentinel("RESET", "*") == 10


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolve", ["yes", "no"])
def test_announced_name(watching, resolve):
    sentinel, (master,) = watching(1, lines=["sentinel resolve-hostnames " + resolve,
                                             "sentinel announce-ip localhost",
                                             "sentinel announce-port 4444"])
    wait_until(lambda: master.heard, 5, "a hello")
    announced = "localhost" if resolve == "yes" else "127.0.0.1"
    assert master.heard[0].split(",")[:2] == [announced, "4444"]
    warned = sentinel.in_log("announce-ip 'localhost' is no IP address and resolve-hostnames is off")
    assert len(warned) == (resolve == "no")


def test_bind_to_a_name_and_several_addresses(world, fakes):
    (master,) = fakes(1)
    sentinel = world.sentinel("s1", monitor_lines(master))
    sentinel.write_conf(["bind localhost 127.0.0.2 -127.0.0.3 -192.0.2.1" if l.startswith("bind ")
                         else l for l in conf.read_lines(sentinel.conf)])
    sentinel.start()
    for ip in ("127.0.0.2", "127.0.0.3"):
        out = subprocess.run(["redis-cli", "-h", ip, "-p", str(sentinel.port), "ping"],
                             capture_output=True, text=True, timeout=5, check=True)
        assert out.stdout == "PONG\n"
    sentinel.terminate()
    wrong = world.sentinel("s2", monitor_lines(master))
    wrong.write_conf(["bind no.such.name.invalid" if l.startswith("bind ") else l
                      for l in conf.read_lines(wrong.conf)])
    code, said = wrong.start_fails()
    said += "".join(text for _, text in wrong.log_lines())
    assert code == 1 and "bind: 'no.such.name.invalid' is no IP address and cannot be" in said


# --- names ------------------------------------------------------------------------------------------

ODD_NAMES = ['"', "'a'", "back\\slash", "#hash", "%T99%s%n", "gr\u00fcn", "x" * 200, "[", "{}*?"]


def test_odd_names(world, fakes):
    """Every name that can be monitored is kept over a kill -9, survives a rewrite and works in
    hellos."""
    masters = fakes(len(ODD_NAMES))
    sentinels = [world.sentinel("s%d" % i).start() for i in (1, 2)]

    def odd(sentinel):
        return {m["name"]: m for m in ({flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}
                                       for flat in sentinel.sentinel("MASTERS"))}
    for sentinel in sentinels:
        for name, master in zip(ODD_NAMES, masters):
            assert sentinel.sentinel("MONITOR", name, "127.0.0.1", master.port, 2) in (True, "OK")
            assert sentinel.sentinel("SET", name, "auth-pass", name) in (True, "OK")
    for sentinel in sentinels:
        wait_until(lambda: sorted(odd(sentinel)) == sorted(ODD_NAMES) and all(
            m["num-other-sentinels"] == "1" for m in odd(sentinel).values()), 10, "all are known")
    time.sleep(0.5)  # what was discovered last is in the journal
    for death in ("kill", "terminate"):
        getattr(sentinels[0], death)()
        sentinels[0].start()
        found = odd(sentinels[0])
        assert {name: int(m["port"]) for name, m in found.items()} == {
            name: master.port for name, master in zip(ODD_NAMES, masters)}
        assert all(m["num-other-sentinels"] == "1" for m in found.values())
    for wrong in ("a,b", "a b", "a\nb", "", "y" * 201):
        with pytest.raises(redis.exceptions.ResponseError, match="Invalid master name"):
            sentinels[0].sentinel("MONITOR", wrong, "127.0.0.1", 6379, 2)


# --- limits ---------------------------------------------------------------------------------------


def limited(sentinel, files, shards=1, io=None):
    """io: whatever the suite asks for, unless the program itself says otherwise."""
    sentinel.command = ["sh", "-c", 'ulimit -n %d && exec "$@"' % files, "sh"] + sentinel.command \
        + ["--shards", str(shards)]
    sentinel.io = io or sentinel.io
    return sentinel


def info_field(sentinel, field):
    return int(sentinel.info("vedette")["vedette_" + field])


def refused_for_descriptors(sentinel):
    code, said = sentinel.start_fails()
    assert code == 1
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1, said
    assert "RLIMIT_NOFILE" in lines[0] and "50 masters" in lines[0], said
    return lines[0]


def test_too_few_descriptors(world, fakes):
    (master,) = fakes(1)
    text = [line for i in range(50) for line in monitor_lines(master, name="m%d" % i)]
    said = refused_for_descriptors(limited(world.sentinel("s1", text), 100, io="epoll"))
    needed = int(re.search(r"need (\d+)", said).group(1))

    enough = limited(world.sentinel("s2", text), needed, io="epoll")
    enough.start()
    assert enough.in_log("maxclients has been reduced from 10000 to 32")
    wait_until(lambda: master.subscribers() == 50, 10, "all links stand")


@pytest.mark.skipif(IO == "epoll", reason="direct descriptors are io_uring's")
def test_too_few_direct_descriptors(world, fakes):
    """Links do not count as open files, but each shard holds only so many of them."""
    (master,) = fakes(1)
    text = [line for i in range(50) for line in monitor_lines(master, name="m%d" % i)]
    said = refused_for_descriptors(limited(world.sentinel("s1", text), 75, io="uring"))
    assert "make 100 links, and 1 shards hold 75 each" in said
    assert "--shards" in said
    needed = int(re.search(r"need (\d+) open files", said).group(1))
    assert needed > 75

    # With as many open files as that the table is larger, too.
    enough = limited(world.sentinel("s2", text), needed, io="uring")
    enough.start()
    wait_until(lambda: master.subscribers() == 50, 10, "all links stand")
    assert info_field(enough, "links") == 100
    assert info_field(enough, "links_direct_max") == needed
    assert (info_field(enough, "links_direct") + info_field(enough, "links_normal")) == 100


@pytest.mark.skipif(IO == "epoll", reason="direct descriptors are io_uring's")
def test_more_links_than_descriptors(world, fakes):
    """120 masters on two shards, each with a replica: 480 links and 300 open files."""
    files = 300
    masters = fakes(3)
    text = [line for i in range(120)
            for line in monitor_lines(masters[i % 3], name="m%d" % i)]
    with socket.create_server(("0.0.0.0", free_port()), backlog=512) as replicas:
        port = replicas.getsockname()[1]
        for i, master in enumerate(masters):
            master.info = master.master_info(
                "slave0:ip=127.0.2.%d,port=%d,state=online,offset=1,lag=1" % (i + 1, port))
        sentinel = limited(world.sentinel("s1", text), files, shards=2, io="uring")
        sentinel.start()
        wait_until(lambda: info_field(sentinel, "links") == 480
                   and info_field(sentinel, "links_direct") >= 470, 20, "all links stand")
        assert sum(master.subscribers() for master in masters) == 120
        assert len(os.listdir("/proc/%d/fd" % sentinel.pid)) < 60
        assert info_field(sentinel, "links_refused") == 0
        with open("/proc/%d/limits" % sentinel.pid) as file:
            assert re.search(r"Max open files\s+300\s+300\s", file.read()), "none was taken"
        stays(lambda: sentinel.master("m7")["flags"] == "master", 2, "all are watched")


def test_descriptors_run_out(world, fakes):
    """By replicas that a master invents: said in the log, and nothing that stands is lost."""
    good, bad = fakes(2)
    text = monitor_lines(good, name="good") + monitor_lines(bad, name="bad")
    with socket.create_server(("0.0.0.0", free_port()), backlog=512) as crowd:
        port = crowd.getsockname()[1]
        sentinel = limited(world.sentinel("s1", text), 150)
        sentinel.start()
        wait_until(lambda: good.subscribers() == 1, 5, "the good master is watched")
        bad.info = bad.master_info(*["slave%d:ip=127.0.2.%d,port=%d,state=online,offset=1,lag=1"
                                     % (i, i + 1, port) for i in range(200)])
        sentinel.wait_log("No file descriptors are left for links", patience=20)
        stays(lambda: sentinel.call("PING") == "PONG"
              and sentinel.master("good")["flags"] == "master", 3, "all goes on")
        assert len(sentinel.in_log("No file descriptors are left")) == 1


# --- stops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment, said", [("crash-after-election", "+elected-leader"),
                                          ("crash-after-promotion", "+promoted-slave")])
def test_simulated_failure(world, moment, said):
    master, _ = world.group(1)
    (sentinel,) = world.sentinels(["vedette"], master, quorum=1, down_after=500)
    wait_known([sentinel], 1)
    assert sentinel.sentinel("SIMULATE-FAILURE", moment) in ("OK", True)
    settle([sentinel])
    master.kill()
    assert sentinel.wait_exit() == 99
    lines = [text for _, text in sentinel.log_lines()]
    assert any(line.startswith(said) for line in lines[-6:]), lines[-6:]
    assert "Failure simulation" in lines[-1]


def test_daemon(world, fakes):
    (master,) = fakes(1)
    pidfile = world.path("pid")
    sentinel = world.sentinel("s1", monitor_lines(master) + ["daemonize yes", "pidfile " + pidfile])
    assert sentinel.spawn().wait_exit() == 0
    wait_until(lambda: sentinel.call("PING") == "PONG", 5, "it answers")
    with open(pidfile) as file:
        pid = int(file.read())
    try:
        assert str(pid) in sentinel.log_lines()[0][1] or open(sentinel.log).read().startswith(
            "%d:X " % pid)
        assert sentinel.info("server")["process_id"] == str(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(pidfile), 5, "the pid file is gone")


def test_stops_at_once_with_clients(watching):
    """Clients that wait for answers, subscribers and half a request do not hold a stop up."""
    sentinel, masters = watching(2)
    busy = [sentinel.client.connection_pool.make_connection() for _ in range(20)]
    for i, connection in enumerate(busy):
        connection.connect()
        connection._sock.sendall(b"PSUBSCRIBE *\r\n" if i % 2 else
                                 b"SENTINEL FLUSHCONFIG\r\nSENTINEL MASTERS\r\n" * 5 + b"*2\r\n$4")
    at = time.monotonic()
    assert sentinel.terminate() == 0
    took = time.monotonic() - at
    for connection in busy:
        connection.disconnect()
    slow = 4 if "asan" in VEDETTE or "tsan" in VEDETTE else 1
    assert took < 0.3 * slow, "the stop took %.2f s" % took


# --- disks ----------------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(world):
    """A folder on a file system of its own that can be filled, in a mount namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    place = world.path("disk")
    os.makedirs(place)
    return place


def fill_up(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except OSError:
        os.close(fd)


def vote(sentinel, master, epoch, runid):
    at = time.monotonic()
    reply = sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", master.port, epoch, runid)
    assert time.monotonic() - at < 0.8, "a slow answer"
    return reply[1:]


def test_full_disk(world, fakes, tiny_disk):
    """No vote while nothing can be made durable, told at once; everything else goes on; votes again
    when there is room."""
    (master,) = fakes(1)
    sentinel = world.sentinel("s1", monitor_lines(master) + ["sentinel current-epoch 1"])
    inside = os.path.join(tiny_disk, "sentinel.conf")
    sentinel.command = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                        'mount -t tmpfs -o size=128k none "$0" && cp "$1" "$3" && shift && exec "$@"',
                        tiny_disk, sentinel.conf, VEDETTE, inside]
    sentinel.start()
    seen = "/proc/%d/root%s" % (sentinel.pid, tiny_disk)
    assert vote(sentinel, master, 5, "ab" * 20) == ["ab" * 20, 5]
    wait_until(lambda: "sentinel leader-epoch mymaster 5" in conf.read_lines(
        seen + "/sentinel.conf"), 5, "the vote is in the file")

    fill_up(seen + "/fill")
    # The last page of the journal may still have room.
    for epoch in range(100, 400):
        if sentinel.in_log("The journal cannot be written"):
            break
        vote(sentinel, master, epoch, "cd" * 20)
    sentinel.wait_log("The journal cannot be written")
    known = vote(sentinel, master, 2 * 10 ** 9, "ef" * 20)
    assert known[0] != "ef" * 20 and known[1] < 2 * 10 ** 9
    assert sentinel.call("PING") == "PONG" and sentinel.master_port() == master.port
    heard = len(master.heard)
    wait_until(lambda: len(master.heard) > heard + 1, 5, "hellos go on")
    assert hello_epoch(master) < 2 * 10 ** 9

    os.unlink(seen + "/fill")
    sentinel.wait_log("The journal can be written again")
    assert vote(sentinel, master, 2 * 10 ** 9, "ef" * 20) == ["ef" * 20, 2 * 10 ** 9]
    assert vote(sentinel, master, 2 * 10 ** 9, "ab" * 20) == ["ef" * 20, 2 * 10 ** 9]
    wait_until(lambda: "sentinel leader-epoch mymaster 2000000000" in conf.read_lines(
        seen + "/sentinel.conf"), 10, "the file is whole again")


def hello_epoch(master):
    return int(master.heard[-1].split(",")[3])
