"""votes: durable votes a second, many asked at once (one fdatasync a batch) against one at a time."""

import os
import selectors
import socket
import tempfile
import time

import lab
from cases import harness, plots, report

NAME = "votes"
HELP = "durable votes a second: one fdatasync for a batch against one for each (vedette only)"
PRESETS = {"quick": {"masters": 200, "connections": 16, "seconds": 3.0, "rounds": 1},
           "full": {"masters": 1000, "connections": 32, "seconds": 10.0, "rounds": 3}}
PIPELINE = 64        # requests of one connection under way: as many as vedette takes at once
SILENCE = 40         # s until the first vote must be given
RECORD = 200         # bytes of a record of the bare disk's measurement
CANDIDATE = "c" * 40
BARE, SINGLE, BATCH = "the disk alone", "one request at a time", "many at once"


def options(parser):
    parser.add_argument("--masters", type=int, metavar="N", help="masters that are voted on")
    parser.add_argument("--connections", type=int, metavar="N", help="askers when many ask at once")
    parser.add_argument("--seconds", type=float, metavar="S", help="for each measurement")


def check(chosen):
    if not chosen.seconds > 0 or not 1 <= chosen.connections <= min(500, chosen.masters):
        raise ValueError("--connections 1 to 500, not more than --masters; --seconds more than 0")


def heading(chosen):
    return "durable votes of one elector, %s masters" % format(chosen.masters, ",")


class Asker:
    """A connection that asks for votes for its masters, again and again, each time a later epoch."""

    def __init__(self, port, addresses, pipeline):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addresses, self.pipeline = addresses, pipeline
        self.next, self.under_way, self.answered, self.granted = 0, 0, 0, 0
        self.rest = b""

    def send(self, base):
        """One pipeline of requests. Every master is asked about once an epoch."""
        words = []
        for _ in range(self.pipeline):
            turn, at = divmod(self.next, len(self.addresses))
            ip, port = self.addresses[at]
            words.append("SENTINEL IS-MASTER-DOWN-BY-ADDR %s %s %d %s\r\n" % (
                ip, port, base + turn, CANDIDATE))
            self.next += 1
        self.under_way += self.pipeline
        self.socket.sendall("".join(words).encode())

    def receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise lab.LabError("vedette closed a connection that asked for votes")
        data = self.rest + data
        # Five lines an answer; what is behind the last whole one waits.
        whole = max(data.rfind(b"*3\r\n"), 0)
        lines = data[whole:].split(b"\r\n", 5)
        if len(lines) == 6:
            whole = len(data) - len(lines[5])
        if data.startswith(b"-"):
            raise lab.LabError("no vote: %r" % data[:80])
        self.rest = data[whole:]
        answers = data.count(b"*3\r\n", 0, whole)
        self.granted += data.count(CANDIDATE.encode(), 0, whole)
        self.answered += answers
        self.under_way -= answers


def counters(port):
    text = lab.ask(port, "INFO", "everything", timeout=5.0) or ""
    return {key: int(value) for key, _, value in (line.partition(":") for line in text.split("\r\n"))
            if value.isdigit()}


def ask_for_votes(context, sentinel, addresses, connections, pipeline, seconds):
    """Figures of one way to ask."""
    base = counters(sentinel.port)["vedette_current_epoch"] + 1
    askers = [Asker(sentinel.port, addresses[k::connections], pipeline)
              for k in range(connections)]
    before, spent = counters(sentinel.port), sentinel.cpu_seconds()
    begun = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for one in askers:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send(base)
        while any(one.under_way for one in askers):
            going_on = time.monotonic() - begun < seconds
            found = selector.select(5.0)
            if not found:
                raise lab.LabError("no vote for 5 s")
            for key, _ in found:
                key.data.receive()
                if going_on and key.data.under_way == 0:
                    key.data.send(base)
            context.progress.show("")
    took = time.monotonic() - begun
    after = counters(sentinel.port)
    for one in askers:
        one.socket.close()
    votes = after["vedette_votes_given"] - before["vedette_votes_given"]
    syncs = after["vedette_journal_batches"] - before["vedette_journal_batches"]
    return {"votes": votes / took, "syncs": syncs / took, "each": votes / syncs if syncs else None,
            "asked": sum(one.answered for one in askers) / took,
            "refused": after["vedette_votes_impatient"] - before["vedette_votes_impatient"],
            "slowest": after["vedette_journal_sync_usec_max"] / 1000,
            "cpu_vote": 1e6 * (sentinel.cpu_seconds() - spent) / votes if votes else None}


def wait_for_votes(context, sentinel, addresses):
    """After its start a sentinel may keep its votes to itself for an election timeout."""
    def voted():
        before = counters(sentinel.port)
        lab.ask(sentinel.port, "SENTINEL", "IS-MASTER-DOWN-BY-ADDR", *addresses[0],
                before["vedette_current_epoch"] + 1, CANDIDATE)
        return counters(sentinel.port)["vedette_votes_given"] > before["vedette_votes_given"]

    if not context.wait(voted, SILENCE, lambda: "waiting for the first vote", tick=0.5):
        raise lab.LabError("no vote is given %d s after the start" % SILENCE)


def bare_disk(context, seconds):
    """What write and fdatasync of one record after the other take, on the same disk."""
    path = os.path.join(context.lab.subdirectory("disk"), "records")
    record, done, slowest = b"r" * RECORD, 0, 0.0
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        begun = at = time.monotonic()
        while at - begun < seconds:
            os.write(fd, record)
            os.fdatasync(fd)
            now = time.monotonic()
            slowest, at, done = max(slowest, now - at), now, done + 1
    finally:
        os.close(fd)
    return {"votes": done / (at - begun), "syncs": done / (at - begun), "each": 1.0,
            "slowest": 1000 * slowest}


def votes_round(context):
    chosen = context.options
    session = harness.FleetSession(context, chosen.masters, sentinels=1)
    session.start_up()
    session.settle()
    sentinel = session.sentinels[0]
    sentinel.poll_period = None
    addresses = [address.split(":") for address in session.fleet.control("masters").values()]
    context.enter("voting")
    wait_for_votes(context, sentinel, addresses)
    section = context.round.section
    return [report.Sample(section, label, figures) for label, figures in (
        (BATCH, ask_for_votes(context, sentinel, addresses, chosen.connections, PIPELINE,
                              chosen.seconds)),
        (SINGLE, ask_for_votes(context, sentinel, addresses, 1, 1, chosen.seconds)),
        (BARE, bare_disk(context, chosen.seconds)))]


def rounds(chosen):
    program = chosen.programs[0]
    stages = harness.stages(program, chosen.masters)
    stages.insert(2, ("voting", 10 + 3 * chosen.seconds))
    return [harness.Round(heading(chosen), program, stages, votes_round)]


def filesystem(folder):
    """The kind of file system that folder is on: on tmpfs nothing is durable, or slow."""
    best = ("", "unknown")
    try:
        with open("/proc/mounts") as file:
            for line in file:
                _, place, kind = line.split()[:3]
                if (folder + "/").startswith(place.rstrip("/") + "/") and len(place) > len(best[0]):
                    best = (place, kind)
    except OSError:
        pass
    return best[1]


def sections(chosen, samples):
    return [report.Section(heading(chosen), [
        report.Figure("votes (or records) a second", "votes", report.count),
        report.Figure("fdatasyncs a second", "syncs", report.count),
        report.Figure("votes with one fdatasync", "each", report.number),
        report.Figure("requests answered a second", "asked", report.count),
        report.Figure("answered with the old vote, the disk being slow", "refused", report.count),
        report.Figure("CPU a vote, us", "cpu_vote", report.number),
        report.Figure("slowest fdatasync since the start", "slowest", report.milliseconds)],
        ["on %s (TMPDIR chooses); the askers are a Python program on the same machine" % filesystem(
            tempfile.gettempdir())])]


def columns(chosen):
    return [BATCH, SINGLE, BARE]


def plots_of(chosen, samples):
    labels = columns(chosen)
    return [plots.Bars("votes", "Durable votes a second", "votes a second (logarithmic)",
                       ["durable votes"], [
                           (label, {"durable votes": plots.bar_of(report.summary(
                               samples, heading(chosen), label, "votes"))}) for label in labels],
                       logarithmic=True)]
