"""A vedette and a redis-sentinel that watch the same real servers and know each other: the same
replies to every request of lib/requests.py, however they are sent. Other situations are in
test_compare_states.py."""

import re

import pytest

from lib.differ import Side, compare, compare_stream, told
from lib.requests import COMMON
from lib.world import wait_known

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


@pytest.mark.parametrize("how", ["single", "pipeline", "inline", "bytes"])
@pytest.mark.parametrize("proto", ["2", "3"])
@pytest.mark.parametrize("topic", list(COMMON))
def test_replies(two, topic, proto, how):
    master, replica, vedette, redis = two
    sides = [Side(sentinel, {master.port: "<master>", replica.port: "<replica>"})
             for sentinel in (vedette, redis)]
    values = [{"name": "mymaster", "master": master.port, "quorum": 2}] * 2
    if how == "single":
        complaints = compare(*sides, COMMON[topic], values, proto)
    else:
        complaints = compare_stream(*sides, COMMON[topic], values, how, proto)
    assert not complaints, told(complaints)


# What later versions and Valkey added to the lists.
NEW_IN_HELP = {"NO-TOUCH (ON|OFF)", "SETINFO (LIB-NAME|LIB-VER) <value>"}
OLD_IN_HELP = {"FAILOVER <master-name>": "FAILOVER <master-name> [COORDINATED]",
               "CONFIG SET <param> <value>": "CONFIG SET <param> <value> [<param> <value> ...]",
               "CONFIG GET <param>": "CONFIG GET <param> [<param> <param> ...]"}


@pytest.mark.parametrize("command", ["SENTINEL", "CLIENT", "COMMAND", "ACL"])
def test_help(two, command):
    """The same subcommands with the same arguments; the words between are our own."""
    _, _, vedette, redis = two
    def syntax(sentinel):
        return [line for line in sentinel.call(command, "HELP") if not line.startswith(" ")]
    ours, theirs = syntax(vedette), syntax(redis)
    assert [line for line in ours if line not in NEW_IN_HELP] == [
        OLD_IN_HELP.get(line, line) for line in theirs]


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
