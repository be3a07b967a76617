"""The same commands to a vedette and to a redis-sentinel in the same situation: the same replies,
byte for byte but for what differs between any two sentinels (ids, ports, ages)."""

import re
import socket

import pytest

from lib.wait import wait_until
from lib.world import monitor_lines, wait_known

pytestmark = pytest.mark.vedette_only


@pytest.fixture(scope="module")
def two(request, tmp_path_factory):
    """(master, replica, vedette, redis-sentinel) watching the same group, peers of each other."""
    from lib.world import World
    world = World(str(tmp_path_factory.mktemp("compare")), "vedette")
    request.node.world = world
    try:
        master, [replica] = world.group(replicas=1)
        sentinels = world.sentinels(["vedette", "redis"], master, quorum=2, down_after=30000,
                                    failover_timeout=60000)
        wait_known(sentinels, replicas=1)
        yield (master, replica, *sentinels)
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


class Wire:
    """A connection that gives replies as (type, value) trees."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.reader = self.socket.makefile("rb")

    def ask(self, *words):
        encoded = [word if isinstance(word, bytes) else word.encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(encoded)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
        return self.read()

    def read(self):
        line = self.reader.readline()
        assert line.endswith(b"\r\n"), "closed"
        kind, rest = line[:1].decode(), line[1:-2].decode()
        if kind in "+-:_,#":
            return (kind, rest)
        size = int(rest)
        if size < 0:
            return (kind, None)
        if kind in "$=":
            return (kind, self.reader.read(size + 2)[:-2].decode(errors="replace"))
        return (kind, [self.read() for _ in range(size * (2 if kind == "%" else 1))])

    def close(self):
        self.socket.close()


# Fields whose values are ages, counters or the other side's own.
VOLATILE = {"link-pending-commands", "last-ping-sent", "last-ok-ping-reply", "last-ping-reply",
            "info-refresh", "role-reported-time", "last-hello-message", "slave-repl-offset"}
PEER = {"name", "port", "runid"}  # of a sentinel, as the other one sees it


def masked(tree, peer=False):
    """Values of volatile fields become their kind (number or text)."""
    kind, value = tree
    if not isinstance(value, list):
        return tree
    out, hide = [], False
    for item in value:
        if hide:
            text = item[1]
            item = (item[0], "<number>" if re.fullmatch("-?[0-9]+", text or "") else "<text>")
            hide = False
        elif item[0] == "$" and (item[1] in VOLATILE or (peer and item[1] in PEER)):
            hide = True
        out.append(masked(item, peer))
    return (kind, out)


@pytest.mark.parametrize("proto", ["2", "3"])
@pytest.mark.parametrize("words", [("MASTER", "mymaster"), ("MASTERS",), ("REPLICAS", "mymaster"),
                                   ("SLAVES", "mymaster"), ("SENTINELS", "mymaster")], ids=" ".join)
def test_fields(two, words, proto):
    master, replica, vedette, redis = two
    seen = []
    for sentinel in (vedette, redis):
        wire = Wire(sentinel.port)
        if proto == "3":
            wire.ask("HELLO", "3")
        seen.append(masked(wire.ask("SENTINEL", *words), peer=words[0] == "SENTINELS"))
        wire.close()
    assert seen[0] == seen[1]


# %(master)s and so on are filled in.
COMMANDS = """
PING
PING hello
PING a b
ping
nosuch
nosuch a b c
KEYS *
GET key
SET key value
EVAL return 0
CONFIG GET port
SAVE
ROLE
ROLE x
SENTINEL
SENTINEL nosuch
SENTINEL NOSUCH a b
SENTINEL MASTER
SENTINEL MASTER nosuch
SENTINEL MASTER a b
SENTINEL MASTERS x
SENTINEL REPLICAS
SENTINEL REPLICAS nosuch
SENTINEL SLAVES nosuch
SENTINEL SENTINELS nosuch
SENTINEL GET-MASTER-ADDR-BY-NAME mymaster
SENTINEL GET-MASTER-ADDR-BY-NAME nosuch
SENTINEL GET-MASTER-ADDR-BY-NAME
SENTINEL get-master-addr-by-name mymaster x
SENTINEL CKQUORUM mymaster
SENTINEL CKQUORUM nosuch
SENTINEL CKQUORUM
SENTINEL FAILOVER nosuch
SENTINEL FAILOVER
SENTINEL RESET
SENTINEL RESET nosuch*
SENTINEL RESET [
SENTINEL PENDING-SCRIPTS
SENTINEL PENDING-SCRIPTS x
SENTINEL MYID x
SENTINEL FLUSHCONFIG
SENTINEL FLUSHCONFIG x
SENTINEL REMOVE
SENTINEL REMOVE nosuch
SENTINEL MONITOR
SENTINEL MONITOR a b c
SENTINEL MONITOR mymaster 127.0.0.1 6398 2
SENTINEL MONITOR other 127.0.0.1 notaport 2
SENTINEL MONITOR other 127.0.0.1 6398 0
SENTINEL MONITOR other 127.0.0.1 6398 x
SENTINEL MONITOR other 127.0.0.1 99999 2
SENTINEL MONITOR other nowhere.invalid 6398 2
SENTINEL SET
SENTINEL SET mymaster
SENTINEL SET nosuch quorum 2
SENTINEL SET mymaster quorum
SENTINEL SET mymaster quorum 0
SENTINEL SET mymaster quorum x
SENTINEL SET mymaster nosuch 1
SENTINEL SET mymaster down-after-milliseconds 0
SENTINEL SET mymaster down-after-milliseconds -1
SENTINEL SET mymaster down-after-milliseconds abc
SENTINEL SET mymaster failover-timeout 0
SENTINEL SET mymaster parallel-syncs -1
SENTINEL SET mymaster parallel-syncs 2
SENTINEL SET mymaster notification-script /bin/true
SENTINEL SET mymaster client-reconfig-script /bin/true
SENTINEL SET mymaster auth-pass secret auth-user
SENTINEL SET mymaster down-after-milliseconds 20000 quorum 2
SENTINEL SET mymaster rename-command CONFIG
SENTINEL SET mymaster parallel-syncs 1
SENTINEL SET mymaster down-after-milliseconds 30000
SENTINEL CONFIG
SENTINEL CONFIG GET
SENTINEL CONFIG GET nosuch
SENTINEL CONFIG GET *
SENTINEL CONFIG GET announce-*
SENTINEL CONFIG GET resolve-hostnames
SENTINEL CONFIG SET
SENTINEL CONFIG SET announce-ip
SENTINEL CONFIG SET nosuch 1
SENTINEL CONFIG SET announce-port x
SENTINEL CONFIG SET announce-port 70000
SENTINEL CONFIG SET resolve-hostnames maybe
SENTINEL CONFIG SET announce-hostnames maybe
SENTINEL CONFIG NOSUCH x
SENTINEL INFO-CACHE
SENTINEL INFO-CACHE nosuch
SENTINEL IS-MASTER-DOWN-BY-ADDR
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s x *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s
SENTINEL DEBUG
SENTINEL DEBUG nosuch 1
SENTINEL DEBUG info-period
SENTINEL DEBUG info-period x
SENTINEL DEBUG info-period 0
SENTINEL DEBUG info-period -5
SENTINEL SIMULATE-FAILURE nosuch
SENTINEL SIMULATE-FAILURE help
SENTINEL HELP x
PUBLISH
PUBLISH nosuch message
PUBLISH __sentinel__:hello rubbish
SUBSCRIBE
PSUBSCRIBE
UNSUBSCRIBE
PUNSUBSCRIBE
UNSUBSCRIBE a b
AUTH
AUTH x
AUTH default x
AUTH nobody x
CLIENT
CLIENT NOSUCH
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT SETNAME a\x20b
CLIENT SETNAME
CLIENT ID x
CLIENT KILL
CLIENT KILL 1.2.3.4:5
CLIENT KILL ID nosuch
CLIENT KILL NOSUCH x
CLIENT KILL ADDR 1.2.3.4:5
CLIENT LIST NOSUCH
CLIENT LIST TYPE nosuch
CLIENT LIST ID x
CLIENT REPLY nosuch
CLIENT NO-EVICT nosuch
CLIENT PAUSE
CLIENT PAUSE x
CLIENT PAUSE -1
CLIENT UNPAUSE
COMMAND COUNT x
COMMAND INFO auth subscribe
COMMAND INFO nosuch
COMMAND GETKEYS
COMMAND NOSUCH
HELLO x
HELLO 4
HELLO 2 NOSUCH
HELLO 2 SETNAME
HELLO 2 AUTH a
INFO nosuch
SHUTDOWN NOSUCH
"""

# Where redis-sentinel 8 differs from 7.0.15, and vedette follows it (protocol.md §9), or where
# vedette is stricter. Command: what vedette says, as a pattern.
CONFIG_USAGE = re.escape(repr((
    "-", "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> "
    "[<param> <value> ...] are supported.")))
DIFFERENT = {
    "SENTINEL CONFIG GET": CONFIG_USAGE,
    "SENTINEL CONFIG SET": CONFIG_USAGE,
    "SENTINEL CONFIG SET announce-ip": CONFIG_USAGE,
    "SENTINEL CONFIG NOSUCH x": CONFIG_USAGE,
    "SENTINEL CONFIG GET *": r".*'resolve-hostnames'\), .*'loglevel'\), .*",  # the last is later's
}


def commands():
    return [line for line in COMMANDS.strip().split("\n")]


@pytest.mark.parametrize("group", range(4))
def test_replies(two, group):
    """Every command of the table, in order, on one connection to each."""
    master, _, vedette, redis = two
    everything = commands()
    size = (len(everything) + 3) // 4
    wires = Wire(vedette.port), Wire(redis.port)
    wrong = []
    for line in everything[group * size:(group + 1) * size]:
        words = [word.replace("\\x20", " ") for word in
                 (line % {"master": master.port}).split(" ")]
        seen = [wire.ask(*words) for wire in wires]
        if words[0] in ("UNSUBSCRIBE",) and len(words) > 2:
            for i, wire in enumerate(wires):
                seen[i] = [seen[i], wire.read()]
        if line in DIFFERENT:
            if not re.fullmatch(DIFFERENT[line], repr(seen[0])):
                wrong.append("%s\n    vedette %r\n    expected %s" % (line, seen[0],
                                                                   DIFFERENT[line]))
        elif seen[0] != seen[1]:
            wrong.append("%s\n    vedette %r\n    stock   %r" % (line, seen[0], seen[1]))
    for wire in wires:
        wire.close()
    assert not wrong, "%d replies differ:\n%s" % (len(wrong), "\n".join(wrong))


def test_ids_and_help(two):
    _, _, vedette, redis = two
    for sentinel in (vedette, redis):
        assert re.fullmatch("[0-9a-f]{40}", sentinel.myid())
        help_lines = sentinel.sentinel("HELP")
        assert help_lines[0].startswith("SENTINEL <subcommand>")
        assert isinstance(sentinel.call("COMMAND", "COUNT"), int)
        assert isinstance(sentinel.call("CLIENT", "ID"), int)
        assert "name=" in sentinel.call("CLIENT", "LIST")
    assert set(line.split(" ")[0] for line in redis.sentinel("HELP") if line[:1] != " ") <= set(
        line.split(" ")[0] for line in vedette.sentinel("HELP"))


def test_debug_parameters(two):
    """The same names, in the same order, with the same defaults."""
    _, _, vedette, redis = two
    assert vedette.sentinel("DEBUG") == redis.sentinel("DEBUG")


def test_info(two):
    """Sections and fields: all of stock's, in its order."""
    _, _, vedette, redis = two
    for section in ("server", "clients", "cpu", "stats", "sentinel"):
        ours, theirs = list(vedette.info(section)), list(redis.info(section))
        missing = [field for field in theirs if field not in ours]
        assert not missing, "%s lacks %s" % (section, missing)
        assert [field for field in ours if field in theirs] == theirs, section
    heads = [[line for line in sentinel.call("INFO").split("\r\n") if line.startswith("#")]
             for sentinel in (vedette, redis)]
    assert heads[0] == heads[1]
    info = [sentinel.info("sentinel") for sentinel in (vedette, redis)]
    assert info[0]["master0"] == info[1]["master0"]
    assert vedette.info("server")["redis_mode"] == "sentinel"


def test_info_cache(two):
    master, replica, vedette, redis = two
    shapes = []
    for sentinel in (vedette, redis):
        [name, entries] = sentinel.sentinel("INFO-CACHE", "mymaster")
        assert name == "mymaster"
        shapes.append([[isinstance(age, int), re.findall("(?m)^run_id:(.*)$", text)]
                       for age, text in entries])
    assert shapes[0] == shapes[1]


def test_life_of_a_group(two):
    """MONITOR, SET, RESET, REMOVE: replies and events of both."""
    _, replica, vedette, redis = two
    told = []
    for sentinel in (vedette, redis):
        mark = sentinel.mark()
        replies = [sentinel.sentinel("MONITOR", "extra", "127.0.0.1", str(replica.port), "1"),
                   sentinel.sentinel("SET", "extra", "down-after-milliseconds", "9000",
                                     "parallel-syncs", "3"),
                   sentinel.sentinel("SET", "extra", "auth-pass", "secret", "auth-pass", ""),
                   sentinel.sentinel("RESET", "ext*"),
                   sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "extra"),
                   sentinel.sentinel("REMOVE", "extra"),
                   sentinel.sentinel("GET-MASTER-ADDR-BY-NAME", "extra")]
        sentinel.wait_event("-monitor", "extra", since=mark)
        told.append((replies, [(event.channel, event.text) for event in sentinel.events[mark:]
                               if event.channel in ("+monitor", "-monitor", "+set",
                                                    "+reset-master")]))
    assert told[0] == told[1]


def test_lines_of_the_log(two):
    """What both said until now, kind by kind: the same words for the same things."""
    _, _, vedette, redis = two
    def shapes(sentinel):
        found = set()
        for level, text in sentinel.log_lines():
            if level and re.match(r"[+-][a-z]|Sentinel ID is|Sentinel new configuration", text):
                text = re.sub(r"\b[0-9a-f]{40}\b", "<id>", text)
                text = text.replace(str(vedette.port), "<peer>").replace(str(redis.port), "<peer>")
                # What fails half-way changes nothing here, and stock's first half.
                if not re.search("sdown|role-change|auth-pass", text):
                    found.add((level, text))
        return found
    ours, theirs = shapes(vedette), shapes(redis)
    ids = {text for level, text in theirs if text.startswith("Sentinel ID is")}
    assert ids == {"Sentinel ID is <id>"}
    levels = lambda found: {(level, text.split(" ")[0]) for level, text in found}  # noqa: E731
    assert {text for level, text in theirs} - {text for level, text in ours} == set()
    assert {entry for entry in levels(theirs) if entry[1][0] in "+-"} <= levels(ours)


def test_unequal_master_names(two):
    """Names with spaces and of any byte are answered alike."""
    _, _, vedette, redis = two
    wires = Wire(vedette.port), Wire(redis.port)
    for name in (b"", b" ", b"a\0b", b"\xff\xfe", b"m" * 190):
        seen = [wire.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name) for wire in wires]
        assert seen[0] == seen[1] == ("*", None), name
    for wire in wires:
        wire.close()
    wait_until(lambda: vedette.call("PING") == "PONG", 1, "it answers")


def test_ckquorum_without_peers(world):
    """Alone: no quorum, in the same words."""
    master, _ = world.group(replicas=0)
    said = []
    for kind in ("vedette", "redis"):
        sentinel = world.sentinel(kind, monitor_lines(master, 2), kind=kind).start(record=False)
        if kind == "redis":
            sentinel.sentinel("RESET", "*")
        wire = Wire(sentinel.port)
        said.append(wire.ask("SENTINEL", "CKQUORUM", "mymaster"))
        wire.close()
        sentinel.kill()
    assert said[0] == said[1]
