"""The comparison that bench/compare starts: see there, or --help."""

import argparse
import datetime
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import lab

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))
SENTINELS = 3
REAL = "real"
TARGETS = {  # of issue 2, seconds; the promotion targets are added to down-after
    "known": 5.0, "promoted": 1.5, "agreed": 2.5, "switched": 1.0, "returned": 10.0}


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def options():
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Measures vedette beside redis-sentinel in one run.")
    parser.add_argument("what", nargs="?", default="all", choices=("fleet", "single", "all"),
                        help="the simulated fleet, one real pair, or both (all)")
    parser.add_argument("--masters", type=int, default=1000, metavar="N",
                        help="simulated masters, each with a replica (1000)")
    parser.add_argument("--kill", type=int, default=None, metavar="N",
                        help="how many of them die at one instant (a tenth)")
    parser.add_argument("--programs", default="vedette,redis-sentinel", metavar="LIST",
                        help="names or paths, separated by commas; label=path gives it a name "
                        "(vedette,redis-sentinel)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N",
                        help="fleet rounds of each program, in turn (1)")
    parser.add_argument("--single-rounds", type=int, default=3, metavar="N",
                        help="single rounds of each program, in turn (3)")
    parser.add_argument("--down-after", type=int, default=5000, metavar="MS",
                        help="down-after-milliseconds (5000)")
    parser.add_argument("--failover-timeout", type=int, default=60000, metavar="MS",
                        help="failover-timeout (60000)")
    parser.add_argument("--steady", type=float, default=20.0, metavar="S",
                        help="how long the calm is measured (20)")
    parser.add_argument("--patience", type=float, default=400.0, metavar="S",
                        help="give up waiting for one thing after this (400)")
    parser.add_argument("--out", default=os.path.join(HERE, "results"), metavar="FOLDER",
                        help="where the JSON goes (bench/results)")
    parser.add_argument("--strict", action="store_true",
                        help="exit 1 when the first program misses a target")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations")
    chosen = parser.parse_args()
    if chosen.kill is None:
        chosen.kill = max(1, chosen.masters // 10)
    if chosen.masters < 1 or not 1 <= chosen.kill <= chosen.masters:
        parser.error("--masters at least 1, --kill between 1 and --masters")
    chosen.programs = [program(text) for text in chosen.programs.split(",")]
    return chosen


def program(text):
    label, _, path = text.rpartition("=")
    where = os.path.join(BUILD, "vedette") if path == "vedette" else path
    return {"label": label or os.path.basename(path), "path": lab.find_program(path, where)}


# --- progress ------------------------------------------------------------------------------------


class Progress:
    """One line that says what goes on and how long it still takes, by guess."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.ahead = []      # (what, expected seconds), the first is under way
        self.stage_at = self.said_at = time.monotonic()

    def plan(self, what, expected):
        self.ahead.append((what, expected))

    def enter(self, what):
        """The next planned stage begins; stages that were skipped are dropped."""
        while self.ahead and self.ahead[0][0] != what:
            self.ahead.pop(0)
        self.stage_at = time.monotonic()
        self.said_at = 0.0 if not self.live else self.said_at
        self.show("")

    def left(self):
        if not self.ahead:
            return 0
        current = max(0.0, self.ahead[0][1] - (time.monotonic() - self.stage_at))
        return current + sum(expected for _, expected in self.ahead[1:])

    def show(self, detail):
        now = time.monotonic()
        if now - self.said_at < (0.5 if self.live else 15.0):
            return
        self.said_at = now
        left = self.left()
        line = "%s: %.0f s%s; about %s left" % (
            self.ahead[0][0] if self.ahead else "", now - self.stage_at,
            ", " + detail if detail else "",
            "%d min" % round(left / 60) if left > 90 else "%d s" % left)
        if self.live:
            sys.stdout.write("\r" + line[:110] + "\x1b[K")
        else:
            print(line)
        sys.stdout.flush()

    def note(self, line):
        if self.live:
            sys.stdout.write("\r\x1b[K")
        print(line, flush=True)


class Run:
    """What one round needs: the laboratory, the options, the progress line."""

    def __init__(self, chosen, where, progress, label):
        self.options, self.lab, self.progress, self.label = chosen, where, progress, label

    def wait(self, done, patience, detail=lambda: ""):
        """True when done() came within the patience."""
        deadline = time.monotonic() + patience
        while not done():
            self.lab.check()
            if time.monotonic() > deadline:
                return False
            self.progress.show(detail())
            time.sleep(0.05)
        return True

    def pause(self, seconds):
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, seconds + 10)

    def sentinels(self, path, lines):
        """Starts them; returns them and the time just before the first."""
        made = [lab.Sentinel("%s %d" % (self.label, k + 1), path,
                             self.lab.subdirectory("sentinel-%d" % (k + 1)), lines)
                for k in range(SENTINELS)]
        begun = time.monotonic()
        for sentinel in made:
            self.lab.add(sentinel)
        return made, begun

    def known(self, sentinels, masters):
        return all(one.snapshot and one.snapshot.masters == masters
                   and one.snapshot.complete(masters, SENTINELS) == masters for one in sentinels)


# --- the fleet -----------------------------------------------------------------------------------


def fleet_stages(chosen, label):
    """What is expected, from earlier measurements; only for the time left."""
    stock = label != "vedette"
    scale = chosen.masters / 1000
    return {"starting up": 60 * scale ** 1.7 + 2 if stock else 4 * scale + 1,
            "settling": 30 if stock else 5,
            "calm": chosen.steady,
            "failing over": chosen.down_after / 1000 + (40 * scale + 5 if stock else 3),
            "stopping": 3}


def fleet_round(chosen, where, progress, chosen_program):
    run = Run(chosen, where, progress, chosen_program["label"])
    title = "fleet, %s" % run.label
    masters = chosen.masters
    result = {"program": run.label, "masters": masters, "kill": chosen.kill}
    fleet = where.add(lab.Fleet(
        lab.find_program("fleet", os.path.join(BUILD, "fleet")), where.subdirectory("fleet"),
        masters, down_after=chosen.down_after, failover_timeout=chosen.failover_timeout))

    progress.enter(title + ", starting up")
    sentinels, begun = run.sentinels(chosen_program["path"], fleet.conf_lines())

    def known_count():
        return "/".join("%d" % one.snapshot.complete(masters, SENTINELS) if one.snapshot else "-"
                        for one in sentinels) + " fully known"

    result["known"] = None
    if run.wait(lambda: run.known(sentinels, masters), chosen.patience, known_count):
        result["known"] = max(one.snapshot.at for one in sentinels) - begun
    result["cpu_to_know"] = [one.cpu_seconds() for one in sentinels]
    result["tilts_at_start"] = [one.count_in_log("+tilt") for one in sentinels]

    progress.enter(title + ", settling")
    for one in sentinels:
        one.poll_period = 1.0
    run.pause(3)
    run.wait(lambda: not any(one.snapshot and one.snapshot.tilted for one in sentinels), 90,
             lambda: "waiting for the end of TILT")

    progress.enter(title + ", calm")
    for one in sentinels:
        one.poll_period = None
    run.pause(2)
    before, at = [one.cpu_seconds() for one in sentinels], time.monotonic()
    fleet.control("stats")
    run.pause(chosen.steady)
    result["fleet_commands_per_second"] = fleet.control("stats")["commands_per_second"]
    result["cpu_calm"] = [100 * (one.cpu_seconds() - earlier) / (time.monotonic() - at)
                          for one, earlier in zip(sentinels, before)]
    result["memory"] = [one.memory_mb() for one in sentinels]

    progress.enter(title + ", failing over")
    for one in sentinels:
        one.poll_period = 2.0
    tilts = [one.count_in_log("+tilt") for one in sentinels]
    promotions = lab.Promotions(fleet, sentinels)
    promotions.kill(chosen.kill)

    def agreed():
        promotions.update()
        return promotions.all_agree()

    run.wait(agreed, chosen.patience + chosen.down_after / 1000,
             lambda: "%d of %d promoted" % (len(promotions.promoted), chosen.kill))
    times = promotions.times()
    result["promoted_count"] = len(times)
    result["first"], result["median"], result["last"] = lab.first_median_last(times)
    if len(times) < chosen.kill:
        result["last"] = None
    result["agreed"] = promotions.agreed_after()
    result["tilts_in_failover"] = [one.count_in_log("+tilt") - earlier
                                   for one, earlier in zip(sentinels, tilts)]
    result["wrong_addresses"] = len(promotions.disagreements())
    result["promotions"] = times
    progress.enter(title + ", stopping")
    result["complaints"] = where.stop_all()
    return result


# --- one real pair -------------------------------------------------------------------------------

SINGLE_STAGES = {"starting up": 6, "failing over": 8, "old master back": 12, "stopping": 2}


def log_time(sentinel, event, last=False):
    """Seconds since the epoch of the first (or last) log line of an event of the real pair."""
    found = None
    with open(sentinel.log_path, errors="replace") as file:
        for line in file:
            match = re.match(r"\d+:X (\d+ \w+ \d+ [\d:.]+) . (\S+)(?: master)? (\S+)", line)
            if match and match.group(2) == event and match.group(3) == REAL:
                found = datetime.datetime.strptime(match.group(1),
                                                   "%d %b %Y %H:%M:%S.%f").timestamp()
                if not last:
                    break
    return found


def single_round(chosen, where, progress, chosen_program):
    run = Run(chosen, where, progress, chosen_program["label"])
    title = "single, %s" % run.label
    result = {"program": run.label}
    progress.enter(title + ", starting up")
    master = where.add(lab.RedisServer("the master", where.subdirectory("redis-1")))
    replica = where.add(lab.RedisServer("the replica", where.subdirectory("redis-2"),
                                        follows=master.port))
    master.wait_ready()
    replica.wait_ready()
    sentinels, begun = run.sentinels(chosen_program["path"], (
        "sentinel monitor {0} 127.0.0.1 {1} 2\nsentinel down-after-milliseconds {0} {2}\n"
        "sentinel failover-timeout {0} {3}\n").format(REAL, master.port, chosen.down_after,
                                                       chosen.failover_timeout))
    if not run.wait(lambda: run.known(sentinels, 1), 60):
        raise lab.LabError("%s: the pair was not known after 60 s" % run.label)
    result["known"] = max(one.snapshot.at for one in sentinels) - begun
    run.pause(3)

    progress.enter(title + ", failing over")
    switch = lab.SwitchOfOne(sentinels, REAL, master.kill())
    if not run.wait(lambda: switch.update(replica), 120):
        raise lab.LabError("%s: the replica was not promoted within 120 s" % run.label)
    result["promoted"], result["agreed"] = switch.promoted, switch.agreed_after()
    leaders = [one for one in sentinels if one.count_in_log("+elected-leader")]
    odown = [log_time(one, "+odown", last=True) for one in leaders]
    switched = [log_time(one, "+switch-master") for one in sentinels]
    result["leaders"] = len(leaders)
    result["odown_to_switch"] = None
    if odown and all(odown) and all(switched):
        result["odown_to_switch"] = [at - odown[-1] for at in switched]

    progress.enter(title + ", old master back")
    run.pause(2)
    returned = where.add(lab.Process("the old master", master.command, master.directory))
    if not run.wait(lambda: lab.ask(master.port, "PING", timeout=0.5) == "PONG", 20):
        raise lab.LabError("the old master does not start:\n" + returned.last_words())
    answering = time.monotonic()

    def follows():
        role = master.role()
        return role[0] == "slave" and role[2] == replica.port

    result["returned"] = None
    if run.wait(follows, 60):
        result["returned"] = time.monotonic() - answering
    progress.enter(title + ", stopping")
    result["complaints"] = where.stop_all()
    return result


# --- the end -------------------------------------------------------------------------------------


def seconds(value):
    return "never" if value is None else "%.2f s" % value


def each(form, values):
    return " / ".join(form % value for value in values)


def middle(results, pick):
    """The median over rounds of one figure (the worst, when a round has none)."""
    values = [pick(result) for result in results]
    return None if not values or None in values else statistics.median(values)


def row(title, groups, pick, form=seconds, target=None, ratio=True):
    values = [middle(group, pick) for group in groups]
    cells = [title] + [form(value) for value in values]
    if len(groups) == 2:
        usable = ratio and None not in values and values[0] > 0
        cells.append("%.1f x" % (values[1] / values[0]) if usable else "")
    if target is None:
        cells.append("")
    else:
        reached = values[0] is not None and values[0] <= target
        cells.append("%.1f s: %s" % (target, "reached" if reached else "MISSED"))
    return cells


def by_program(chosen, results):
    return [[one for one in results if one["program"] == each_program["label"]]
            for each_program in chosen.programs]


def heading(chosen, title):
    labels = [each_program["label"] for each_program in chosen.programs]
    return [title] + labels + (["ratio"] if len(labels) == 2 else []) + [
        "target of %s" % labels[0]]


def fleet_table(chosen, results):
    groups = by_program(chosen, results)
    down_after = chosen.down_after / 1000

    def percent(value):
        return "%.1f %%" % value

    def worst(key):
        return lambda one: max(one[key])

    def count(value):
        return "-" if value is None else "%d" % value

    return [
        heading(chosen, "%s masters x 1 replica, %d sentinels, %d killed" % (
            format(chosen.masters, ","), SENTINELS, chosen.kill)),
        row("everything known after", groups, lambda one: one["known"],
            target=TARGETS["known"]),
        row("CPU until then, the busiest", groups, worst("cpu_to_know")),
        row("CPU when calm, the busiest", groups, worst("cpu_calm"), percent),
        row("memory, the largest", groups, worst("memory"), lambda mb: "%.0f MB" % mb),
        row("promoted, of %d" % chosen.kill, groups, lambda one: one["promoted_count"], count,
            ratio=False),
        row("first promotion after the kill", groups, lambda one: one["first"]),
        row("median", groups, lambda one: one["median"]),
        row("last", groups, lambda one: one["last"], target=down_after + TARGETS["promoted"]),
        row("all sentinels agree", groups, lambda one: one["agreed"],
            target=down_after + TARGETS["agreed"]),
        row("TILTs at start, the most", groups, worst("tilts_at_start"), count, ratio=False),
        row("TILTs in the failover, the most", groups, worst("tilts_in_failover"), count,
            ratio=False),
        row("wrong addresses at the end", groups, lambda one: one["wrong_addresses"], count,
            ratio=False),
    ]


def single_table(chosen, results):
    groups = by_program(chosen, results)
    return [
        heading(chosen, "one real master with a replica, %d sentinels, killed" % SENTINELS),
        row("everything known after", groups, lambda one: one["known"]),
        row("promoted after the kill", groups, lambda one: one["promoted"]),
        row("all sentinels agree", groups, lambda one: one["agreed"]),
        row("+odown to +switch-master, the slowest", groups,
            lambda one: one["odown_to_switch"] and max(one["odown_to_switch"]),
            target=TARGETS["switched"]),
        row("old master follows after answering", groups, lambda one: one["returned"],
            target=TARGETS["returned"]),
    ]


def version(path):
    try:
        return subprocess.run([path, "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=10).stdout.decode().strip()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def save(chosen, fleet_results, single_results):
    os.makedirs(chosen.out, exist_ok=True)
    path = os.path.join(chosen.out, time.strftime("compare-%Y%m%d-%H%M%S.json"))
    with open(path, "w") as file:
        json.dump({
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "cores": os.cpu_count(), "kernel": os.uname().release,
            "programs": {one["label"]: version(one["path"]) for one in chosen.programs},
            "masters": chosen.masters, "kill": chosen.kill, "down_after_ms": chosen.down_after,
            "failover_timeout_ms": chosen.failover_timeout,
            "fleet": fleet_results, "single": single_results}, file, indent=1)
        file.write("\n")
    return path


def one_round(function, chosen, progress, chosen_program):
    where = lab.Lab(keep=chosen.keep)
    try:
        return function(chosen, where, progress, chosen_program)
    finally:
        where.close()
        if chosen.keep:
            progress.note("logs and configurations of %s are in %s" % (
                chosen_program["label"], where.directory))


def plan(chosen, progress):
    """All rounds, as (function, program), told to the progress line as well."""
    rounds = []
    if chosen.what in ("fleet", "all"):
        rounds += [(fleet_round, one) for _ in range(chosen.rounds) for one in chosen.programs]
    if chosen.what in ("single", "all"):
        rounds += [(single_round, one) for _ in range(chosen.single_rounds)
                   for one in chosen.programs]
    for function, one in rounds:
        kind = "fleet" if function is fleet_round else "single"
        stages = fleet_stages(chosen, one["label"]) if kind == "fleet" else SINGLE_STAGES
        for stage, expected in stages.items():
            progress.plan("%s, %s, %s" % (kind, one["label"], stage), expected)
    return rounds


def interrupt(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the cleaning up is not to be interrupted
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(number)


def main():
    try:
        chosen = options()
    except lab.LabError as error:
        print("compare: %s" % error)
        return 1
    lab.raise_file_limit()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    progress = Progress()
    fleet_results, single_results, code = [], [], 0
    try:
        for function, one in plan(chosen, progress):
            results = fleet_results if function is fleet_round else single_results
            results.append(one_round(function, chosen, progress, one))
            for complaint in results[-1]["complaints"]:
                progress.note("WRONG: " + complaint)
                code = 1
    except Interrupted as reason:
        code = 128 + reason.args[0]
        progress.note("interrupted; everything was stopped")
    except (lab.LabError, OSError) as error:
        code = 1
        progress.note("FAILED: %s" % error)
    tables = []
    if all(by_program(chosen, fleet_results)):
        tables.append(fleet_table(chosen, fleet_results))
    if all(by_program(chosen, single_results)):
        tables.append(single_table(chosen, single_results))
    for rows in tables:
        progress.note("")
        for line in lab.table(rows):
            progress.note(line)
        if chosen.strict and any("MISSED" in cells[-1] for cells in rows):
            code = 1
    if fleet_results or single_results:
        progress.note("\nall figures: %s" % os.path.relpath(
            save(chosen, fleet_results, single_results)))
    return code


if __name__ == "__main__":
    sys.exit(main())
