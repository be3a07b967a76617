"""What goes over the wire, byte for byte: conversations that no client library would have, and the
same requests in pipelines, in lines, in single bytes."""

import os
import random
import re

import pytest

from lib.differ import around, shape, told
from lib.requests import random_requests
from lib.sentinel import ROOT
from lib.sessions import DIFFERENT, END, LOGIN, SESSIONS, WITH_PASSWORD
from lib.situations import Pair
from lib.wire import Wire

pytestmark = pytest.mark.vedette_only


@pytest.fixture(scope="module")
def pair(request, tmp_path_factory):
    from lib.world import World
    world = World(str(tmp_path_factory.mktemp("wire")), "vedette")
    request.node.world = world
    try:
        yield Pair(world, lambda scene: scene.start(quorum=2, down_after=600000) and None)
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


UNSURE_IN_PIECES = {"HTTP with a host"}


def masked(side, data):
    """Bytes as text, ids and the version masked."""
    text = data.decode("latin-1")
    text = re.sub(r"\$7\r\nversion\r\n\$[0-9]+\r\n[0-9.]+\r\n", "<version>", text)
    text = re.sub(r"\$2\r\nid\r\n:[0-9]+\r\n", "<id>", text)
    return side.mask(text)


def listen(side, sent, piece=None, end=END):
    with Wire(side.sentinel.port) as wire:
        try:
            wire.send(sent, piece)
            wire.send(end)
        except OSError:
            pass  # closed already; what it said is still there
        return masked(side, wire.read_until(b"the-end\r\n"))


@pytest.mark.parametrize("piece", [None, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", list(SESSIONS))
def test_session(pair, name, piece):
    sent = SESSIONS[name]
    if piece and (len(sent) > 5000 or name in UNSURE_IN_PIECES):
        pytest.skip("too long, or whether a reply is out before the end is chance")
    ours, theirs = [listen(scene.side(), sent, piece) for scene in pair.scenes]
    if name in DIFFERENT:
        assert ours != theirs and ours == DIFFERENT[name][1]
    else:
        assert ours == theirs


@pytest.fixture(scope="module")
def locked(request, tmp_path_factory):
    """Both ask for a password."""
    from lib.world import World
    world = World(str(tmp_path_factory.mktemp("locked")), "vedette")
    request.node.world = world
    try:
        yield Pair(world, lambda scene: scene.start(monitor=False, password="sesame") and None)
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


@pytest.mark.parametrize("name", list(WITH_PASSWORD))
def test_with_password(locked, name):
    ours, theirs = [listen(scene.side(), WITH_PASSWORD[name], end=LOGIN + END)
                    for scene in locked.scenes]
    assert ours == theirs


def test_accepted_differences_are_documented():
    with open(os.path.join(ROOT, "docs", "compatibility.md")) as file:
        rows = [line for line in file if line.startswith("| ")]
    for name, (row, _) in DIFFERENT.items():
        assert name in SESSIONS and any(line.startswith("| " + row) for line in rows), row


@pytest.mark.parametrize("proto", ["2", "3"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_at_random(pair, seed, proto):
    """Words thrown together."""
    sides = [scene.side() for scene in pair.scenes]
    complaints = []
    everything = random_requests(random.Random(seed), 1500)
    for begin in range(0, len(everything), 50):
        with Wire(sides[0].sentinel.port) as ours, Wire(sides[1].sentinel.port) as theirs:
            for wire in (ours, theirs):
                wire.ask("HELLO", proto)
            for words in everything[begin:begin + 50]:
                line = b" ".join(words).decode("latin-1")
                seen = [shape(side, line, wire.ask(*words))
                        for side, wire in zip(sides, (ours, theirs))]
                if seen[0] != seen[1]:
                    complaints.append("%r\n    vedette %s\n    stock   %s" % (line,
                                                                            *around(*seen)))
    assert not complaints, told(complaints)
