"""fanout: thousands of subscribers of +switch-master while many masters fail over at once."""

import datetime
import json
import math
import re
import resource
import subprocess

import lab
from cases import harness, plots, report

NAME = "fanout"
HELP = "10,000 subscribers of +switch-master, 100 switches at once"
PRESETS = {"quick": {"subscribers": 1000, "switches": 20, "masters": 100, "rounds": 1},
           "full": {"subscribers": 10000, "switches": 100, "masters": 200, "rounds": 3}}
LAST = 500.0    # ms, target
SPARE = 200     # descriptors that a process needs besides its subscribers
GRACE = 10.0    # s after everybody agrees for the last messages


def options(parser):
    parser.add_argument("--subscribers", type=int, metavar="N", help="clients that listen")
    parser.add_argument("--switches", type=int, metavar="N", help="masters killed at one instant")
    parser.add_argument("--masters", type=int, metavar="N", help="masters of the fleet")


def check(chosen):
    if chosen.subscribers < 1 or not 1 <= chosen.switches <= chosen.masters:
        raise ValueError("--subscribers at least 1, --switches between 1 and --masters")


def heading(chosen):
    return "%s subscribers, %d of %d masters switched at once" % (
        format(chosen.subscribers, ","), chosen.switches, chosen.masters)


class Listeners(lab.Process):
    """A program with many subscribers (bench/fan.c), asked through its standard input."""

    def __init__(self, port, clients, folder):
        super().__init__("the subscribers", [harness.built("fan"), str(port), str(clients),
                                             "+switch-master"], folder)

    def start(self):
        with open(self.output, "ab") as errors:
            self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=errors, cwd=self.directory,
                                          start_new_session=True)
        if not self.child.stdout.readline().startswith(b"ready"):
            raise lab.LabError("the subscribers did not all get through:\n" + self.last_words())
        return self

    def ask(self):
        self.child.stdin.write(b"?\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


def shares(subscribers):
    """How many subscribers each process gets: as few processes as descriptors allow."""
    room = max(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)
    count = math.ceil(subscribers / room)
    return [subscribers // count + (k < subscribers % count) for k in range(count)]


def switch_times(path):
    """{group: us since the epoch} of the +switch-master lines of a log."""
    found = {}
    with open(path, errors="replace") as file:
        for line in file:
            match = re.match(r"\d+:X (\d+ \w+ \d+ [\d:.]+) . \+switch-master (\S+)", line)
            if match:
                at = datetime.datetime.strptime(match.group(1), "%d %b %Y %H:%M:%S.%f")
                found.setdefault(match.group(2), round(at.timestamp() * 1e6))
    return found


def delays(heard, logged):
    """{group: ms from its log line until the last subscriber heard of it}."""
    last = {}
    for one in heard:
        for group, (_, _, at) in one["events"].items():
            last[group] = max(at, last.get(group, 0))
    return {group: (at - logged[group]) / 1000 for group, at in last.items() if group in logged}


def fanout_round(context):
    chosen = context.options
    # redis-sentinel's event loop has room for maxclients and its links together.
    limits = "maxclients %d\n" % (chosen.subscribers + 8 * chosen.masters + 200)
    session = harness.FleetSession(context, chosen.masters, extra_lines=limits)
    session.start_up()
    session.settle()
    context.enter("subscribing")
    watched = session.sentinels[0]
    watched.poll_period = None
    listeners = [context.lab.add(Listeners(watched.port, clients, context.lab.subdirectory(
        "subscribers-%d" % k))) for k, clients in enumerate(shares(chosen.subscribers))]
    watched.poll_period = 1.0
    context.pause(1)
    before = watched.cpu_seconds()
    failed, _ = session.fail(chosen.switches)
    promoted = failed["promoted"] if failed["agreed"] is None else chosen.switches
    expected = promoted * chosen.subscribers
    context.wait(lambda: sum(one.ask()["messages"] for one in listeners) >= expected, GRACE,
                 lambda: "waiting for the last messages", tick=0.2)
    spent = watched.cpu_seconds() - before
    heard = [one.ask() for one in listeners]
    waited = delays(heard, switch_times(watched.log_path))
    messages = sum(one["messages"] for one in heard)
    whole = sum(1 for group in waited if sum(
        one["events"].get(group, [0])[0] for one in heard) == chosen.subscribers)
    return [context.sample({
        "switches": len(waited), "messages": messages,
        "missing": chosen.switches * chosen.subscribers - messages, "whole": whole,
        "closed": sum(one["closed"] for one in heard),
        "worst": max(waited.values()) if len(waited) == chosen.switches else None,
        "median": report.percentile(waited.values(), 0.5), "cpu": spent,
        "last": failed["last"], "agreed": failed["agreed"]},
        {"delays": sorted(waited.values()) + [None] * (chosen.switches - len(waited))})]


def rounds(chosen):
    made = []
    for program in chosen.programs:
        stages = harness.stages(program, chosen.masters, killed=chosen.switches,
                                down_after=chosen.down_after / 1000, patience=chosen.patience)
        stages.insert(2, ("subscribing", 2 + chosen.subscribers / 5000))
        made.append(harness.Round(heading(chosen), program, stages, fanout_round))
    return made


def sections(chosen, samples):
    return [report.Section(heading(chosen), [
        report.Figure("switches that were heard of", "switches", report.count, ratio=False,
                      at_least=chosen.switches),
        report.Figure("messages received", "messages", report.count, ratio=False),
        report.Figure("messages missing", "missing", report.count, ratio=False, at_most=0),
        report.Figure("subscribers cut off", "closed", report.count, ratio=False, at_most=0),
        report.Figure("event to its last subscriber, the slowest event", "worst",
                      report.milliseconds, at_most=LAST),
        report.Figure("  the median event", "median", report.milliseconds),
        report.Figure("CPU of that sentinel for all of it", "cpu", report.seconds),
        report.Figure("last promotion after the kill", "last", report.seconds),
        report.Figure("all sentinels agree", "agreed", report.seconds)])]


def plots_of(chosen, samples):
    return [plots.Curves("fanout-delay", "+switch-master: from the event to its last subscriber",
                         "milliseconds", "percent of the switches", [
                             (program["label"], plots.cumulative(
                                 [value for one in samples if one.program == program["label"]
                                  for value in one.series.get("delays", ())]))
                             for program in chosen.programs], steps=True)]
