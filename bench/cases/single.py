"""single: one failover at a time, of real servers, many times over several groups."""

import random
import threading
import time

import lab
from cases import harness, plots, report

NAME = "single"
HELP = "real servers, one master killed at a time: from +sdown to the first write accepted"
PRESETS = {"quick": {"groups": 3, "repetitions": 6, "down_after": 1000, "failover_timeout": 10000,
                     "rounds": 1},
           "full": {"groups": 10, "repetitions": 50, "down_after": 1000, "failover_timeout": 10000,
                    "rounds": 1}}
CHANNELS = ("+sdown", "+odown", "+elected-leader", "+switch-master")
REST = 12.0       # s that a group rests after its old master follows: INFO comes every 10 s
READY = 60.0      # s until a group must be whole again
SWITCHED, RETURNED = 1.0, 10.0  # targets, s


def options(parser):
    parser.add_argument("--groups", type=int, metavar="N", help="masters, each with a replica")
    parser.add_argument("--repetitions", type=int, metavar="N", help="failovers, one at a time")


def check(chosen):
    if not 1 <= chosen.groups <= 50 or chosen.repetitions < 1:
        raise ValueError("--groups 1 to 50, --repetitions at least 1")


def heading(chosen):
    return "one failover at a time, %d over %d real groups" % (chosen.repetitions, chosen.groups)


class Group:
    """A real master and its replica, and which of them is which."""

    def __init__(self, context, number):
        self.context, self.name = context, "real%02d" % number
        where = context.lab
        self.master = where.add(lab.RedisServer(
            self.name + " a", where.subdirectory(self.name + "-a")))
        self.replica = where.add(lab.RedisServer(
            self.name + " b", where.subdirectory(self.name + "-b"), follows=self.master.port))
        self.answering = None  # when the old master first answered after its return
        self.whole_at = 0.0    # since when the old master follows

    def look(self, returned):
        """Notes in `returned` how long the old master took to follow, once it does. Called by one
        thread only."""
        if self.answering is None:
            return
        if self.answering == 0:
            if lab.ask(self.replica.port, "PING", timeout=0.2) == "PONG":
                self.answering = time.monotonic()
            return
        role = self.replica.role()
        if role[0] == "slave" and role[2] == self.master.port:
            self.whole_at = time.monotonic()
            returned.append(self.whole_at - self.answering)
            self.answering = None

    def ready(self, sentinels):
        role = self.replica.role()
        address = "127.0.0.1:%d" % self.master.port
        return (self.answering is None and time.monotonic() - self.whole_at > REST and
                role[0] == "slave" and role[3] == "connected" and
                all(one.snapshot and one.snapshot.address.get(self.name) == address
                    for one in sentinels))


class Watcher(threading.Thread):
    """Looks at the old masters all the time: `returned` has the s that each took to follow."""

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.groups, self.returned, self.leaving = groups, [], threading.Event()
        self.start()

    def run(self):
        while not self.leaving.wait(0.05):
            for each in self.groups:
                each.look(self.returned)

    def stop(self):
        self.leaving.set()
        self.join()


def first_write(context, group, patience):
    """When the replica first took a write, or None."""
    resp, deadline = None, time.monotonic() + patience
    try:
        while time.monotonic() < deadline:
            try:
                resp = resp or lab.Resp(group.replica.port, timeout=2.0)
                if resp.call("SET", "compare", "1") == "OK":
                    return time.monotonic()
            except lab.RespError:
                pass
            except OSError:
                if resp:
                    resp.close()
                resp = None
            context.progress.show("")
            time.sleep(0.002)
        return None
    finally:
        if resp:
            resp.close()


def event_times(sentinel, group, kind, since):
    name = group.name
    return [at for at, event, text in list(sentinel.events)
            if event == kind and at >= since and
            (text.split()[0] == name or text.startswith("master %s " % name))]


def failover(context, group, sentinels, found):
    """One failover of a group; adds to the lists of `found`."""
    patience = min(context.options.patience, 60 + context.options.down_after / 1000)
    killed = group.master.kill()
    written = first_write(context, group, patience)

    def switches():
        return [event_times(one, group, "+switch-master", killed)[:1] for one in sentinels]

    agreed = context.wait(lambda: all(switches()), patience, tick=0.01)
    group.master, group.replica = group.replica, group.master
    group.replica.start()
    group.answering = 0
    downs = [at for one in sentinels for at in event_times(one, group, "+sdown", killed)]
    leaders = [one for one in sentinels if event_times(one, group, "+elected-leader", killed)]
    orders = [at for one in leaders[-1:] for at in event_times(one, group, "+odown", killed)]
    found["write"].append(written - min(downs) if written and downs else None)
    found["killed_write"].append(written - killed if written else None)
    found["odown_write"].append(written - orders[-1] if written and orders else None)
    last = max(at[0] for at in switches()) if agreed else None
    found["odown_switch"].append(last - orders[-1] if last and orders else None)
    found["agreed"].append(last - killed if last else None)
    found["leaders"].append(len(leaders))


def single_round(context):
    chosen = context.options
    context.enter("starting up")
    groups = [Group(context, k + 1) for k in range(chosen.groups)]
    for group in groups:
        group.master.wait_ready()
        group.replica.wait_ready()
    lines = "".join(
        "sentinel monitor {0} 127.0.0.1 {1} 2\nsentinel down-after-milliseconds {0} {2}\n"
        "sentinel failover-timeout {0} {3}\n".format(
            group.name, group.master.port, chosen.down_after, chosen.failover_timeout)
        for group in groups)
    begun = time.monotonic()
    sentinels = [context.lab.add(context.sentinel("sentinel %d" % (k + 1), context.path, lines,
                                                  CHANNELS)) for k in range(harness.SENTINELS)]
    if not context.wait(lambda: all(
            one.snapshot and one.snapshot.complete(len(groups), len(sentinels)) == len(groups)
            for one in sentinels), READY):
        raise lab.LabError("the groups were not known after %d s" % READY)
    context.pause(max(2.0, begun + harness.FIRST_FAILURE - time.monotonic()))

    context.enter("failing over")
    dice = random.Random(1)
    found = {key: [] for key in ("write", "killed_write", "odown_write", "odown_switch", "agreed",
                                 "leaders")}
    watcher, left_out = Watcher(groups), set()
    try:
        for number in range(chosen.repetitions):
            group = next_group(context, groups, sentinels, left_out, number)
            if group is None:
                break
            context.pause(dice.random())  # anywhere between two pings
            failover(context, group, sentinels, found)
        context.wait(lambda: not any(each.answering is not None for each in groups), 20, tick=0.2)
    finally:
        watcher.stop()
    figures = figures_of(found, watcher.returned, chosen.repetitions)
    figures["left_out"] = len(left_out)
    return [context.sample(figures, dict(found, returned=watcher.returned))]


def next_group(context, groups, sentinels, left_out, number):
    """The next one in turn that is whole, or None. One that is not in time gets no further turn."""
    turn = number % len(groups)
    for group in groups[turn:] + groups[:turn]:
        if group in left_out:
            continue
        if context.wait(lambda: group.ready(sentinels), READY, lambda: "%d of %d done" % (
                number, context.options.repetitions), tick=0.2):
            return group
        left_out.add(group)
    return None


def figures_of(found, returned, repetitions):
    whole = {key: [report.NEVER if value is None else value for value in values]
             for key, values in found.items()}

    def share(key, part):
        value = report.percentile(whole[key], part)
        return None if value == report.NEVER else value

    figures = {"failovers": sum(1 for value in found["write"] if value is not None),
               "leaders": max(found["leaders"], default=None), "repetitions": repetitions}
    for key in ("write", "killed_write", "odown_write", "odown_switch", "agreed"):
        figures[key], figures[key + "_p99"] = share(key, 0.5), share(key, 0.99)
    if returned:
        figures["returned"], figures["returned_most"] = report.median(returned), max(returned)
    return figures


def rounds(chosen):
    each = 2.0 + chosen.down_after / 1000
    wait = max(each * chosen.repetitions,
               (chosen.repetitions / chosen.groups - 1) * (REST + 14 + each))
    return [harness.Round(heading(chosen), program, [
        ("starting up", 6 + REST), ("failing over", wait + 10), ("stopping", 3)], single_round)
        for program in chosen.programs]


def sections(chosen, samples):
    second = report.seconds
    return [report.Section(heading(chosen), [
        report.Figure("failovers that came to a write", "failovers", report.count, ratio=False,
                      at_least=chosen.repetitions),
        report.Figure("first +sdown to the first write accepted, median", "write", second),
        report.Figure("  99th percentile", "write_p99", second),
        report.Figure("kill to that write, median", "killed_write", second),
        report.Figure("leader's +odown to that write, median", "odown_write", second),
        report.Figure("leader's +odown to the slowest +switch-master, median", "odown_switch",
                      second, at_most=SWITCHED),
        report.Figure("  99th percentile", "odown_switch_p99", second),
        report.Figure("kill until all sentinels agree, median", "agreed", second),
        report.Figure("  99th percentile", "agreed_p99", second),
        report.Figure("old master follows after its first answer, median", "returned", second),
        report.Figure("  the slowest", "returned_most", second, at_most=RETURNED),
        report.Figure("groups not whole again after %.0f s, left out from then on" % READY,
                      "left_out", report.count, ratio=False, at_most=0),
        report.Figure("sentinels that were elected for one failover, the most", "leaders",
                      report.count, ratio=False)])]


def plots_of(chosen, samples):
    return [plots.Curves("single-write", "One failover alone: from +sdown to the first write",
                         "seconds", "percent of the failovers", [
                             (program["label"], plots.cumulative(
                                 [value for one in samples if one.program == program["label"]
                                  for value in one.series.get("write", ())]))
                             for program in chosen.programs], steps=True)]
