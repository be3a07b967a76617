"""One master, two replicas, three sentinels: deaths of every kind, and starts from the files."""

import os
import time

import pytest

from lib import conf
from lib.process import describe_exit
from lib.sentinel import VEDETTE
from lib.wait import stays, wait_until
from lib.world import leader_of, monitor_lines, settle, wait_known, wait_switched

DOWN_AFTER = 1500
# Built with a sanitizer a program is many times slower: what it does counts, not how fast.
SANITIZED = "san" in os.path.basename(os.path.dirname(VEDETTE))


@pytest.fixture
def three(world):
    """(master, replicas, sentinels), everybody knowing everybody."""
    master, replicas = world.group(replicas=2)
    sentinels = world.sentinels([world.kind] * 3, master, down_after=DOWN_AFTER)
    wait_known(sentinels, replicas=2)
    return master, replicas, sentinels


def promoted(replicas, port):
    [new] = [replica for replica in replicas if replica.port == port]
    new.wait_role("master", patience=3)
    for replica in replicas:
        if replica is not new:
            replica.wait_role("slave", of=new, patience=12)
    return new


def expect_swift(world, sentinels, since=None):
    """+switch-master on every one at most 1 s after the leader's +odown."""
    leader = leader_of(sentinels, since)
    start = since[sentinels.index(leader)] if since else 0
    odown = leader.find("+odown", since=start)
    for i, sentinel in enumerate(sentinels):
        switched = sentinel.wait_event("+switch-master", since=since[i] if since else 0)
        if world.kind == "vedette" and not SANITIZED:
            assert switched.at - odown.at < 1.0, "%s switched %.3f s after the leader's +odown" % (
                sentinel.name, switched.at - odown.at)
    return leader


def expect_converted(world, master, new):
    """The old master, back, is a replica within 10 s of answering."""
    back = time.monotonic()
    master.wait_role("slave", of=new, patience=20)
    if world.kind == "vedette":
        assert time.monotonic() - back < 10


@pytest.mark.parametrize("death", ["kill -9", "hang", "shutdown"])
def test_master_lost(world, three, death):
    master, replicas, sentinels = three
    at = time.monotonic()
    {"kill -9": master.kill, "hang": master.pause, "shutdown": master.shutdown}[death]()
    port = wait_switched(sentinels, master)
    new = promoted(replicas, port)
    leader = expect_swift(world, sentinels)
    down = leader.find("+sdown", "master mymaster 127.0.0.1 %d" % master.port)
    assert down.at - at < DOWN_AFTER / 1000 + 1.5
    for sentinel in sentinels:
        shown = sentinel.master()
        assert (shown["config-epoch"], shown["num-slaves"]) == ("1", "2")
    if death == "hang":
        master.resume()
    else:
        master.start()
    expect_converted(world, master, new)
    wait_known(sentinels, replicas=2, patience=15)


@pytest.mark.parametrize("moment", ["crash-after-election", "crash-after-promotion"])
def test_leader_dies(world, three, moment):
    """The leader dies, half-way; the others bring it to an end, and agree."""
    master, replicas, sentinels = three
    leader, rest = sentinels[0], sentinels[1:]
    # It sees the master down first, and that is enough for it to try.
    leader.sentinel("SET", "mymaster", "quorum", "1")
    for sentinel in rest:
        sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", str(DOWN_AFTER + 1500))
    leader.sentinel("SIMULATE-FAILURE", moment)
    master.kill()
    assert leader.wait_exit() == 99, describe_exit(leader.child.returncode)
    died = time.monotonic()
    port = wait_switched(rest, master, patience=35)
    if world.kind == "vedette":  # its votes are leases: they end with its death
        assert time.monotonic() - died < 2 * DOWN_AFTER / 1000 + 5
    new = promoted(replicas, port)
    assert len({s.master()["config-epoch"] for s in rest}) == 1
    leader.start()
    wait_until(lambda: leader.master_port() == port, 10, "the dead leader learns who leads")
    master.start()
    expect_converted(world, master, new)
    # One master in the end.
    assert [r.role()[0] for r in replicas + [master]].count("master") == 1


def test_manual_failover(world, three):
    """SENTINEL FAILOVER on a healthy group: no vote is waited for, everybody follows."""
    master, replicas, sentinels = three
    chosen = sentinels[1]
    for replica in replicas:  # or it would be over before the second command comes
        replica.client.execute_command("CLIENT", "PAUSE", "700")
    assert chosen.sentinel("FAILOVER", "mymaster") == "OK"
    with pytest.raises(Exception, match="^INPROG Failover already in progress"):
        chosen.sentinel("FAILOVER", "mymaster")
    port = wait_switched(sentinels, master, patience=15)
    new = promoted(replicas, port)
    chosen.wait_event("+switch-master", patience=15)
    assert leader_of(sentinels) is chosen
    told = [event.channel for event in chosen.events]
    order = ["+new-epoch", "+try-failover", "+vote-for-leader", "+elected-leader",
             "+failover-state-select-slave", "+selected-slave",
             "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion",
             "+promoted-slave", "+failover-state-reconf-slaves", "+slave-reconf-sent",
             "+slave-reconf-inprog", "+slave-reconf-done", "+failover-end", "+switch-master"]
    at = [told.index(event) for event in order]
    assert at == sorted(at), told
    assert not chosen.find("+odown") and not chosen.find("+sdown", "master mymaster")
    # The old master was never down: it is converted.
    master.wait_role("slave", of=new, patience=15)
    wait_known(sentinels, replicas=2, patience=15)
    assert chosen.in_log("Executing user requested FAILOVER of 'mymaster'")


def test_no_good_replica(world, three):
    """FAILOVER without anybody to promote: the error on the wire, and nothing happens."""
    master, replicas, sentinels = three
    for replica in replicas:
        replica.client.execute_command("CONFIG", "SET", "replica-priority", "0")
    def seen():
        return all(r["slave-priority"] == "0" for r in sentinels[0].replicas())
    wait_until(seen, 15, "the priorities are known")
    with pytest.raises(Exception, match="^NOGOODSLAVE No suitable replica to promote"):
        sentinels[0].sentinel("FAILOVER", "mymaster")
    assert master.role()[0] == "master"


def test_all_killed_and_restarted(world, three):
    """kill -9 of every sentinel at once: epochs, votes and topology are all there, before anybody
    answers."""
    master, replicas, sentinels = three
    master.kill()
    port = wait_switched(sentinels, master)
    promoted(replicas, port)
    master.start()
    master.wait_role("slave", patience=15)
    wait_known(sentinels, replicas=2, patience=15)
    ids = [sentinel.myid() for sentinel in sentinels]
    epochs = [sentinel.master()["config-epoch"] for sentinel in sentinels]
    # A vote and the death of all right after it.
    voter = sentinels[0]
    asked = voter.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(port), "41", ids[1])
    assert asked[1:] == [ids[1], 41]
    for sentinel in sentinels:
        sentinel.kill()
    for server in [master] + replicas:
        server.kill()
    known = sorted(str(server.port) for server in [master] + replicas if server.port != port)
    for i, sentinel in enumerate(sentinels):
        sentinel.start()
        shown = sentinel.master()
        assert shown["config-epoch"] == epochs[i] == "1"
        assert sentinel.master_port() == port
        assert sentinel.myid() == ids[i]
        assert sorted(r["port"] for r in sentinel.replicas()) == known
        assert sorted(p["runid"] for p in sentinel.sentinels()) == sorted(
            other for j, other in enumerate(ids) if j != i)
    assert voter.saved("leader-epoch", "mymaster") == "41" or any(
        "leader-epoch mymaster 41" in text for text in conf.journal_texts(voter.conf))
    # Its vote for that epoch is given: nobody else gets it.
    told = voter.vote(port, 41, ids[2])
    assert told[1] == 41
    assert told[0] in (("*", ids[1]) if world.kind == "redis" else (ids[1],))


@pytest.mark.vedette_only
def test_killed_right_after_its_answer(world):
    """What a vote's answer promised survives kill -9 at that very moment, again and again."""
    master, _ = world.group(replicas=0)
    sentinel = world.sentinel("s1", monitor_lines(master, 2, 60000) + ["sentinel current-epoch 0"])
    sentinel.start(record=False)
    candidates = ["%040x" % (i + 1) for i in range(3)]
    for round_number in range(1, 6):
        epoch, candidate = 100 * round_number, candidates[round_number % 3]
        def voted():
            answer = sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(master.port),
                                       str(epoch), candidate)
            return answer[1:] == [candidate, epoch]
        # In its first milliseconds a vedette may answer with the earlier vote: what counts is what it
        # has answered last, at the moment of its death.
        wait_until(voted, 5, "the vote for epoch %d" % epoch)
        sentinel.kill()
        sentinel.start(record=False)
        other = candidates[(round_number + 1) % 3]
        assert sentinel.vote(master.port, epoch, other) == [candidate, epoch]


@pytest.mark.vedette_only
def test_start_without_state(world):
    """Its disk may have been lost with its votes: none are given for one election-timeout, and
    never one for an epoch heard of in that time."""
    master, _ = world.group(replicas=0)
    sentinel = world.sentinel("s1", monitor_lines(master, 2, 60000)).start(record=False)
    def ask(epoch, candidate):
        return sentinel.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(master.port),
                                 str(epoch), candidate)
    answer = ask(7, "a" * 40)
    assert answer[:2] == [0, "*"] or answer[1] != "a" * 40
    settle([sentinel])
    assert ask(7, "b" * 40)[1] == "*"
    assert ask(8, "c" * 40) == [0, "c" * 40, 8]


def test_replica_lost(world, three):
    """A replica goes and comes: no failover."""
    master, replicas, sentinels = three
    replicas[0].kill()
    text = "slave %s" % replicas[0].address
    for sentinel in sentinels:
        sentinel.wait_event("+sdown", text, patience=6)
    replicas[0].start()
    for sentinel in sentinels:
        sentinel.wait_event("-sdown", text, patience=6)
        assert not sentinel.find("+odown") and not sentinel.find("+try-failover")
        assert sentinel.master_port() == master.port


def test_sentinel_lost(world, three):
    """A sentinel goes: +sdown sentinel; the rest still reach quorum and majority."""
    master, replicas, sentinels = three
    gone = sentinels[2]
    gone.kill()
    rest = sentinels[:2]
    for sentinel in rest:
        sentinel.wait_event("+sdown", "sentinel ", patience=6)
    marks = [sentinel.mark() for sentinel in rest]
    master.kill()
    port = wait_switched(rest, master)
    promoted(replicas, port)
    expect_swift(world, rest, marks)
    gone.start()
    wait_until(lambda: gone.master_port() == port, 10, "the third learns it")


def test_two_dead_no_failover(world, three):
    """One of three left: no majority, nothing is promoted."""
    master, replicas, sentinels = three
    for sentinel in sentinels[1:]:
        sentinel.kill()
    master.kill()
    left = sentinels[0]
    left.wait_event("+sdown", "master mymaster", patience=6)
    stays(lambda: left.master_port() == master.port and all(
        replica.role()[0] == "slave" for replica in replicas), 4, "nobody is promoted")
    assert not left.find("+odown")
    with pytest.raises(Exception, match="^NOQUORUM 1 usable Sentinels"):
        left.sentinel("CKQUORUM", "mymaster")
