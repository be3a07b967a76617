"""vedette and redis-sentinel in one quorum; each kind leads."""

import re
import time

import pytest

from lib.server import client
from lib.wait import wait_until
from lib.world import leader_of, wait_known, wait_switched

pytestmark = pytest.mark.vedette_only
DOWN_AFTER = 1500
QUORUMS = {"one vedette": ["vedette", "redis", "redis"],
           "two vedettes": ["vedette", "vedette", "redis"]}


@pytest.fixture(params=list(QUORUMS))
def mixed(request, world):
    master, replicas = world.group(replicas=2)
    sentinels = world.sentinels(QUORUMS[request.param], master, down_after=DOWN_AFTER)
    wait_known(sentinels, replicas=2)
    return master, replicas, sentinels


def make_lead(sentinels, kind):
    """The first of that kind sees the master down first, and that is enough for it to try."""
    chosen = [sentinel for sentinel in sentinels if sentinel.kind == kind][0]
    chosen.sentinel("SET", "mymaster", "quorum", "1")
    for sentinel in sentinels:
        if sentinel is not chosen:
            sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", str(DOWN_AFTER + 1000))
    return chosen


def expect_agreement(sentinels, replicas, old):
    port = wait_switched(sentinels, old)
    for sentinel in sentinels:
        sentinel.wait_event("+switch-master")
    [new] = [replica for replica in replicas if replica.port == port]
    new.wait_role("master")
    for replica in replicas:
        if replica is not new:
            replica.wait_role("slave", of=new, patience=15)
    assert len({sentinel.master()["config-epoch"] for sentinel in sentinels}) == 1
    return new


@pytest.mark.parametrize("kind_that_leads", ["vedette", "redis"])
def test_leads(mixed, kind_that_leads):
    master, replicas, sentinels = mixed
    chosen = make_lead(sentinels, kind_that_leads)
    master.kill()
    new = expect_agreement(sentinels, replicas, master)
    assert leader_of(sentinels) is chosen
    assert chosen.find("+elected-leader")
    voters = [sentinel for sentinel in sentinels if sentinel is not chosen
              and sentinel.find("+vote-for-leader", chosen.myid() + " 1")]
    assert voters, "nobody else voted for the leader"
    for sentinel in sentinels:
        if sentinel is not chosen:
            assert sentinel.find("+config-update-from", "sentinel " + chosen.myid())
    # The old master comes back, everybody sees it as a replica.
    for sentinel in sentinels:
        sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", str(DOWN_AFTER))
    master.start()
    master.wait_role("slave", of=new, patience=20)


@pytest.mark.parametrize("kind_that_leads", ["vedette", "redis"])
def test_failover_command(mixed, kind_that_leads):
    """SENTINEL FAILOVER on one of that kind: the others follow, whatever they are."""
    master, replicas, sentinels = mixed
    chosen = [sentinel for sentinel in sentinels if sentinel.kind == kind_that_leads][0]
    assert chosen.sentinel("FAILOVER", "mymaster") == "OK"
    new = expect_agreement(sentinels, replicas, master)
    assert leader_of(sentinels) is chosen
    master.wait_role("slave", of=new, patience=15)


def test_unsteered(mixed):
    """Nobody is favoured: one leader, one new master, whoever it is, twice in a row."""
    master, replicas, sentinels = mixed
    marks = [0, 0, 0]
    for _ in range(2):
        master.kill()
        new = expect_agreement(sentinels, replicas, master)
        leader_of(sentinels, marks)
        master.start()
        master.wait_role("slave", of=new, patience=25)
        replicas = [replica for replica in replicas if replica is not new] + [master]
        master = new
        wait_known(sentinels, replicas=2, patience=20)
        marks = [sentinel.mark() for sentinel in sentinels]


def test_passwords(world):
    """Servers and sentinels with passwords: everybody gets in, and the failover goes through."""
    master, replicas = world.group(replicas=1, password="server*1")
    sentinels = world.sentinels(
        ["vedette", "redis", "vedette"], master, down_after=DOWN_AFTER, lines=[
            "requirepass sentinel#2", "sentinel sentinel-pass sentinel#2",
            "sentinel auth-pass mymaster server*1"], password="sentinel#2")
    wait_known(sentinels, replicas=1)
    with pytest.raises(Exception, match="Authentication required"):
        client(sentinels[0].port).execute_command("SENTINEL", "MASTERS")
    master.kill()
    new = expect_agreement(sentinels, replicas, master)
    master.start()
    master.wait_role("slave", of=new, patience=20)


def test_hello_form(mixed):
    """What everybody publishes on the master: 8 fields, each naming its sender."""
    master, _, sentinels = mixed
    heard = {}
    listener = client(master.port).pubsub()
    listener.subscribe("__sentinel__:hello")
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and len(heard) < 3:
        message = listener.get_message(timeout=0.2)
        if message and message["type"] == "message":
            fields = message["data"].split(",")
            heard[fields[2]] = fields
    listener.close()
    for sentinel in sentinels:
        assert heard[sentinel.myid()] == [
            "127.0.0.1", str(sentinel.port), sentinel.myid(), "0", "mymaster", "127.0.0.1",
            str(master.port), "0"]


def test_votes_as_asked(mixed):
    """IS-MASTER-DOWN-BY-ADDR: the same answers from both kinds."""
    master, _, sentinels = mixed
    candidate = "c" * 40
    for sentinel in sentinels:
        def ask(epoch, runid, port=master.port):
            return sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(port), str(epoch),
                                     runid)
        wait_until(lambda: ask(7, candidate) == [0, candidate, 7], 12, "%s votes" % sentinel.name)
        assert ask(7, "d" * 40) == [0, candidate, 7]  # one vote an epoch
        assert ask(6, "d" * 40) == [0, candidate, 7]
        assert ask(0, "*") == [0, "*", 0]
        assert ask(0, "*", port=1) == [0, "*", 0]
        assert ask(9, "d" * 40, port=1) == [0, "*", 0]
        assert re.fullmatch("[0-9]+", sentinel.master()["config-epoch"])
