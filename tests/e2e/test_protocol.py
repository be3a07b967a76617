"""The RESP port and the links: bounds, garbage, hostile neighbours, TILT, order of commands."""

import os
import re
import socket
import time

import pytest
import redis

from lib.fake import FakeRedis
from lib.wait import stays, wait_until
from lib.world import monitor_lines


class Raw:
    """A socket that sends bytes and reads what comes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # closed meanwhile: what it said can still be read

    def read_to_end(self, patience=5.0):
        """Everything until the other side closes; fails if it does not."""
        self.socket.settimeout(patience)
        data = b""
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return data
                data += more
        except ConnectionResetError:
            return data

    def read_exactly(self, size, patience=5.0):
        self.socket.settimeout(patience)
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "closed after %r" % data
            data += more
        return data


@pytest.fixture
def fake(world):
    fake = FakeRedis()
    world.others.append(fake)
    return fake


@pytest.fixture
def alone(world, fake):
    """A sentinel that watches a master which is nothing but what the test says."""
    sentinel = world.sentinel("s1", monitor_lines(fake, 2, down_after=2000))
    sentinel.start()
    wait_until(lambda: fake.subscribers() == 1, 5, "the sentinel listens to hellos")
    return sentinel


# --- requests beyond the bounds -------------------------------------------------------------------

WRONG_REQUESTS = {
    "letters for a count": (b"*abc\r\n", b"invalid multibulk length"),
    "count too large": (b"*99999999999\r\n", b"invalid multibulk length"),
    "letters for a length": (b"*1\r\n$abc\r\n", b"invalid bulk length"),
    "negative length": (b"*1\r\n$-5\r\n", b"invalid bulk length"),
    "length too large": (b"*1\r\n$99999999999\r\n", b"invalid bulk length"),
    "no bulk": (b"*1\r\n+PING\r\n", rb"expected '$', got '+'"),
    "endless inline": (b"x" * 70000, b"too big inline request"),
    "endless count": (b"*" + b"1" * 70000, b"too big mbulk count string"),
    "endless length": (b"*1\r\n$" + b"1" * 70000, b"too big bulk count string"),
    "quotes": (b'SENTINEL "masters\r\n', b"unbalanced quotes in request"),
}


def test_wrong_requests(world, alone):
    """The error, and that client is closed; only that one."""
    with Raw(alone.port) as bystander:
        for what, (request, reason) in WRONG_REQUESTS.items():
            with Raw(alone.port) as raw:
                raw.send(b"PING\r\n" + request)
                assert raw.read_to_end() == b"+PONG\r\n-ERR Protocol error: %s\r\n" % reason, what
            bystander.send(b"PING\r\n")
            assert bystander.read_exactly(7) == b"+PONG\r\n"


@pytest.mark.vedette_only
def test_request_too_large(alone):
    """A request that is well-formed, but larger than any that makes sense here."""
    argument = b"$500000\r\n" + b"x" * 500000 + b"\r\n"
    for request in (b"*1\r\n$600000\r\n" + b"x" * 600000 + b"\r\n", b"*4\r\n" + 4 * argument,
                    b"*2000000\r\n"):
        with Raw(alone.port) as raw:
            raw.send(request)
            assert raw.read_to_end().startswith(b"-ERR Protocol error: ")
    assert int(alone.info("stats")["vedette_protocol_errors"]) == 3


@pytest.mark.vedette_only
def test_long_prefixes(alone):
    """What a client leaves with us for later is bounded, as names of channels are."""
    def track(prefix):
        return alone.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix)

    assert track("a" * 2048) in (True, "OK", b"OK")
    with pytest.raises(redis.exceptions.ResponseError, match="^the prefix is too long"):
        track("b" * 2049)


def test_garbage(alone):
    """Bytes that are no request at all, also those of other protocols."""
    random = os.urandom(20000)
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random,
                    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 1000 + b"\r\n",
                    b"\r\n" * 1000, b"*0\r\n" * 1000, b"*-1\r\n" * 10, random + b"\r\n",
                    b"*1\r\n$4\r\nPI", b"*3\r\n$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$0\r\n\r\n"):
        with Raw(alone.port) as raw:
            raw.send(garbage)
            raw.socket.settimeout(0.1)
            try:
                raw.socket.recv(65536)
            except OSError:
                pass
        assert alone.call("PING") == "PONG"


def test_pieces_and_pipelines(alone):
    """Requests byte by byte, and a thousand in one go, inline and as arrays; answers in order."""
    request = (b"*3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n$8\r\nmymaster\r\n"
               b"PING\r\n*2\r\n$4\r\nPING\r\n$3\r\na\nb\r\n")
    answer = b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%s\r\n+PONG\r\n$3\r\na\nb\r\n"
    answer %= alone.master()["port"].encode()
    with Raw(alone.port) as raw:
        for i in range(len(request)):
            raw.send(request[i:i + 1])
            if i % 7 == 0:
                time.sleep(0.001)
        assert raw.read_exactly(len(answer)) == answer
        raw.send(request * 1000)
        assert raw.read_exactly(1000 * len(answer)) == 1000 * answer
        # What other threads answer keeps its place among what is answered at once.
        raw.send(b"PING 1\r\nSENTINEL CKQUORUM nosuch\r\nPING 2\r\nSENTINEL MASTER nosuch\r\n"
                 b"SENTINEL FLUSHCONFIG\r\nPING 3\r\n")
        error = b"-ERR No such master with that name\r\n"
        expected = (b"$1\r\n1\r\n" + error + b"$1\r\n2\r\n" + error + b"+OK\r\n" + b"$1\r\n3\r\n")
        assert raw.read_exactly(len(expected)) == expected


def test_password(world, fake):
    """requirepass: nothing without it, but saying who one is."""
    sentinel = world.sentinel("s1", ["requirepass secret"] + monitor_lines(fake))
    sentinel.use_password("secret")
    sentinel.start(record=False)
    with Raw(sentinel.port) as raw:
        raw.send(b"PING\r\nSENTINEL MASTERS\r\nAUTH wrong\r\nAUTH secret\r\nPING\r\n")
        noauth = b"-NOAUTH Authentication required.\r\n"
        expected = (2 * noauth + b"-WRONGPASS invalid username-password pair or user is disabled."
                    b"\r\n+OK\r\n+PONG\r\n")
        assert raw.read_exactly(len(expected)) == expected


def test_subscribed_mode(alone):
    """What a RESP2 subscriber may ask, and what it hears."""
    with Raw(alone.port) as raw:
        raw.send(b"SUBSCRIBE +monitor\r\nPSUBSCRIBE *\r\n")
        said = (b"*3\r\n$9\r\nsubscribe\r\n$8\r\n+monitor\r\n:1\r\n"
                b"*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:2\r\n")
        assert raw.read_exactly(len(said)) == said
        raw.send(b"SENTINEL MASTERS\r\nPING\r\n")
        error = (b"-ERR Can't execute 'sentinel|masters': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / "
                 b"PING / QUIT / RESET are allowed in this context\r\n")
        said = error + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        assert raw.read_exactly(len(said)) == said
        assert alone.sentinel("MONITOR", "other", "127.0.0.1", "6398", "1") == "OK"
        text = b"master other 127.0.0.1 6398 quorum 1"
        said = (b"*3\r\n$7\r\nmessage\r\n$8\r\n+monitor\r\n$%d\r\n%s\r\n"
                b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$8\r\n+monitor\r\n$%d\r\n%s\r\n"
                % (len(text), text, len(text), text))
        assert raw.read_exactly(len(said)) == said


# --- links ----------------------------------------------------------------------------------------


def test_order_of_commands(world, fake):
    """What each connection begins with, and hellos going out."""
    sentinel = world.sentinel("s1", monitor_lines(fake) + ["sentinel auth-pass mymaster pass*1"])
    sentinel.start(record=False)
    wait_until(lambda: fake.heard and fake.subscribers(), 6, "a hello")
    name = "sentinel-" + sentinel.myid()[:8]
    first = {}
    for _, number, words in fake.commands:
        first.setdefault(number, []).append([words[0].upper()] + words[1:])
    begins = sorted(first.values(), key=lambda sent: sent[2][0])
    assert begins[0][:3] == [["AUTH", "pass*1"], ["CLIENT", "SETNAME", name + "-cmd"], ["PING"]]
    assert begins[1][:3] == [["AUTH", "pass*1"], ["CLIENT", "SETNAME", name + "-pubsub"],
                             ["SUBSCRIBE", "__sentinel__:hello"]]
    assert ["INFO"] in begins[0][3:6]
    assert fake.heard[0] == "127.0.0.1,%d,%s,0,mymaster,127.0.0.1,%d,0" % (
        sentinel.port, sentinel.myid(), fake.port)


OTHER = "ab" * 20


def hello(fake, ip="127.0.0.1", port="26999", runid=OTHER, epoch="0", name="mymaster",
          master_ip="127.0.0.1", master_port=None, config_epoch="0"):
    return ",".join([ip, port, runid, epoch, name, master_ip,
                     str(fake.port) if master_port is None else master_port, config_epoch])


def hostile_hellos(fake):
    return [
        "", ",", "," * 7, ",,,,,,,,,,,", "x", "\0", "\xff\xfe" * 100, "a" * 5000,
        hello(fake) + ",0", hello(fake).rsplit(",", 1)[0],
        hello(fake, ip=""), hello(fake, ip="999.1.1.1"), hello(fake, ip="not-an-address"),
        hello(fake, ip="127.0.0.1\0"), hello(fake, ip="1" * 600),
        hello(fake, port="0"), hello(fake, port="65536"), hello(fake, port="-1"),
        hello(fake, port="26999x"), hello(fake, port=""), hello(fake, port="9" * 30),
        hello(fake, runid=OTHER[:39]), hello(fake, runid=OTHER + "a"), hello(fake, runid="g" * 40),
        hello(fake, runid=""), hello(fake, runid=OTHER[:20] + " " + OTHER[:19]),
        hello(fake, epoch="-1"), hello(fake, epoch="x"), hello(fake, epoch=""),
        hello(fake, epoch=str(2 ** 62 + 1)), hello(fake, epoch=str(2 ** 64 - 1)),
        hello(fake, epoch=str(2 ** 64 + 5)), hello(fake, epoch=str(2 ** 33)),
        hello(fake, epoch="5" * 400),
        hello(fake, name=""), hello(fake, name="n" * 300),
        hello(fake, master_ip="nowhere", config_epoch="5"),
        hello(fake, master_port="0", config_epoch="5"),
        hello(fake, master_port="70000", config_epoch="5"),
        hello(fake, config_epoch=str(2 ** 64 - 1), master_port="6398"),
        hello(fake, config_epoch=str(2 ** 33), master_port="6398"),
        hello(fake, config_epoch="-7", master_port="6398"),
        " " + hello(fake), hello(fake) + " ",
    ]


def ignored(sentinel):
    stats = sentinel.info("stats")
    return (int(stats["vedette_hellos_ignored"]) + int(stats["vedette_hostile_ignored"])
            + int(sentinel.info("vedette")["vedette_epochs_refused"]))


@pytest.mark.vedette_only
@pytest.mark.parametrize("way", ["pub/sub", "PUBLISH"])
def test_hostile_hellos(fake, alone, way):
    """Ignored and counted; nothing of them is adopted. A good one is."""
    def say(message):
        if way == "pub/sub":
            fake.say(message.encode("latin-1"))
        else:
            try:
                alone.call("PUBLISH", "__sentinel__:hello", message.encode("latin-1"))
            except Exception as error:  # refusing is fine, closing is not
                assert str(error), message
    for message in hostile_hellos(fake):
        before = ignored(alone)
        say(message)
        wait_until(lambda: ignored(alone) > before, 2, "counted: %r" % message[:100])
        shown = alone.master()
        assert (shown["num-other-sentinels"], shown["port"], shown["config-epoch"]) == (
            "0", str(fake.port), "0"), message
    say(hello(fake, name="another"))  # of a master that is others' business
    assert alone.saved("current-epoch") == "0"
    assert not alone.find("+new-epoch") and not alone.find("+switch-master")
    assert not alone.find("+sentinel")
    say(hello(fake, epoch="3"))
    alone.wait_event("+sentinel", OTHER)
    alone.wait_event("+new-epoch", "3")
    alone.wait_log("+sentinel sentinel %s 127.0.0.1 26999 @ mymaster" % OTHER)


@pytest.mark.vedette_only
def test_garbage_on_links(fake, alone):
    """Pushes that are none, and endless replies: the link goes, the process stays."""
    for raw in (b":1\r\n", b"$-1\r\n", b"*1\r\n" * 100, b"garbage\r\n", b"*3\r\n$7\r\nmessage\r\n",
                b"*1000000000\r\n", b"$1000000000\r\nxxxx", b"$5\r\n" + b"x" * 400000,
                b"*3\r\n:1\r\n:2\r\n:3\r\n", b"*0\r\n", b"%1\r\n+a\r\n+b\r\n",
                b"*3\r\n$7\r\nmessage\r\n$18\r\n__sentinel__:hello\r\n:5\r\n",
                b"*3\r\n$7\r\nmessage\r\n$-1\r\n$-1\r\n"):
        wait_until(fake.subscribers, 10, "the sentinel listens again")
        fake.send_to_subscribers(raw)
        time.sleep(0.05)
        assert alone.call("PING") == "PONG", raw
    assert alone.master()["num-other-sentinels"] == "0"
    # A link that carries nothing of sense is given up for a new one, and that works.
    def heard():
        fake.say(hello(fake))
        return alone.find("+sentinel", OTHER)
    wait_until(heard, 12, "a good hello is heard again", interval=0.5)


def hostile_infos(fake):
    base = fake.master_info
    return [
        b"", b"\0" * 1000, os.urandom(3000), b"\r\n" * 3000, b"role", b"role:", b":::::",
        base("slave0:ip=,port=6398,state=online"), base("slave0:ip=127.0.0.1,port=,state=online"),
        base("slave0:ip=127.0.0.1,port=99999,state=online"),
        base("slave0:ip=127.0.0.1,port=-6398,state=online"),
        base("slave0:ip=nowhere.invalid,port=6398,state=online"),
        base("slave0:ip=127.0.0.1"), base("slave0:"), base("slave0:127.0.0.1"),
        base("slave0:" + "9" * 1000), base("slave99999999999999999999:ip=1,port=2"),
        base("slave0:ip=" + "1" * 500 + ",port=6398,state=online"),
        base("slave0:ip=127.0.0.1,port=0,state=online"),
        base(role="slave\r\nmaster_host:\r\nmaster_port:-1\r\nslave_priority:"
             "99999999999999999999\r\nslave_repl_offset:-5"),
        base("x" * 100000), base("slave0:ip=127.0.0.1,port=6398,state=online\r\n" + "y" * 100000),
        base().replace(fake.run_id, "z" * 40), base().replace(fake.run_id, "a" * 5000),
    ]


@pytest.mark.vedette_only
def test_hostile_info(fake, alone):
    """Ignored, and where it was too long counted; no replica comes out of it. A good one is."""
    alone.sentinel("DEBUG", "info-period", "50")
    def asked():
        return sum(1 for _, _, words in list(fake.commands) if words[0].upper() == "INFO")
    def several_more():
        before = asked()
        wait_until(lambda: asked() >= before + 2 and alone.call("PING"), 15, "INFO is asked for")
    for text in hostile_infos(fake):
        fake.info = text
        several_more()
        assert alone.replicas() == [], text[:200]
    assert int(alone.info("vedette")["vedette_infos_refused"]) >= 2
    for raw in (b":5\r\n", b"$-1\r\n", b"*2\r\n:1\r\n:2\r\n", b"-ERR no\r\n", b"+OK\r\n", b"*0\r\n",
                b"$9999999999\r\n", b"$300000\r\n" + b"x" * 300002, b"nonsense\r\n"):
        fake.raw_info = raw
        several_more()
        assert alone.replicas() == [], raw[:50]
    fake.raw_info = None
    # More replicas than any master has: as many as the bound allows.
    fake.info = fake.master_info(*("slave%d:ip=127.9.%d.%d,port=6398,state=online" % (
        i, i // 250, i % 250 + 1) for i in range(400)))
    wait_until(lambda: alone.master()["num-slaves"] == "256", 10, "256 replicas")
    stays(lambda: alone.master()["num-slaves"] == "256", 0.5, "no more than that")


# --- TILT -----------------------------------------------------------------------------------------


def test_tilt(world):
    """Stopped for 3 s: +tilt, no action, 0 to is-master-down, -tilt after its period."""
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", monitor_lines(master, quorum=2, down_after=1500))
    sentinel.start()
    sentinel.sentinel("DEBUG", "tilt-period", "4000")
    wait_until(lambda: sentinel.replicas(), 5, "the replica is known")
    def down():
        return sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(master.port), "0",
                                 "*")[0]
    assert down() == 0 and sentinel.info()["sentinel_tilt"] == "0"
    master.kill()
    sentinel.wait_event("+sdown", "master mymaster", patience=5)
    assert down() == 1
    sentinel.pause()
    time.sleep(3)
    sentinel.resume()
    tilted = sentinel.wait_event("+tilt", patience=3)
    assert tilted.text == "#tilt mode entered"
    assert down() == 0
    info = sentinel.info()
    assert info["sentinel_tilt"] == "1" and 0 <= int(info["sentinel_tilt_since_seconds"]) <= 4
    mark = sentinel.mark()
    master.start()
    stays(lambda: down() == 0 and not sentinel.find("-sdown"), 2.5, "watching without acting")
    left = sentinel.wait_event("-tilt", patience=5)
    assert left.text == "#tilt mode exited"
    assert 3.5 < left.at - tilted.at < 6
    if sentinel.kind == "vedette":  # since Valkey 9 and Redis 8.2
        times = len([event for event in sentinel.events if event.channel == "+tilt"])
        assert sentinel.info()["sentinel_total_tilt"] == str(times)
    sentinel.wait_event("-sdown", "master mymaster", patience=4)
    assert [event for event in sentinel.events[mark:] if event.channel == "+tilt"] == []
    assert sentinel.in_log("+tilt #tilt mode entered")


def test_no_tilt_in_peace(world, alone, fake):
    """Two seconds less a bit are no reason."""
    alone.pause()
    time.sleep(1.2)
    alone.resume()
    stays(lambda: not alone.find("+tilt"), 1.0, "no +tilt")
    assert re.fullmatch("-1", alone.info()["sentinel_tilt_since_seconds"])
