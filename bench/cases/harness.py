"""What the cases share: the progress line, the round, the simulated fleet with its sentinels."""

import math
import os
import sys
import time

import lab
from cases import report

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(BENCH, "..", "build", "release"))
SENTINELS = 3
# The events that the rounds look at; all others stay unread, so that the watching costs little.
CHANNELS = ("+switch-master", "+slave", "+sentinel", "+elected-leader", "+tilt")
# A vedette without a past keeps its votes to itself for the first 10 s, as it may have forgotten
# some: failures that are measured come later, for all programs alike.
FIRST_FAILURE = 11.0  # s after the start
TILT_PATIENCE = 90  # s: three TILTs in a row are waited out, then it is measured as it is


def built(name):
    """The path of a program of this tree."""
    return lab.find_program(name, os.path.join(BUILD, name))


class Round:
    """One program measured once: `run` gets a Context and returns a list of samples.

    section: the heading its sample has when it fails. stages: [(name, expected seconds)]."""

    def __init__(self, section, program, stages, run):
        self.section, self.program, self.stages, self.run = section, program, stages, run

    @property
    def title(self):
        return "%s, %s" % (self.section, self.program["label"])

    def expected(self):
        return sum(seconds for _, seconds in self.stages)


# --- progress ------------------------------------------------------------------------------------


def span(seconds):
    return "%d min" % round(seconds / 60) if seconds > 90 else "%d s" % seconds


class Progress:
    """One line that says what goes on and how long all of it still takes, by guess."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.ahead = []      # (what, expected seconds), the first is under way
        self.stage_at = self.said_at = time.monotonic()

    def plan(self, what, expected):
        self.ahead.append((what, expected))

    def enter(self, what):
        """The next planned stage begins; stages that were skipped are dropped."""
        if any(planned == what for planned, _ in self.ahead):
            while self.ahead[0][0] != what:
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
        line = "%s: %.0f s%s; about %s left" % (
            self.ahead[0][0] if self.ahead else "", now - self.stage_at,
            ", " + detail if detail else "", span(self.left()))
        if self.live:
            sys.stdout.write("\r" + line[:118] + "\x1b[K")
        else:
            print(line)
        sys.stdout.flush()

    def note(self, line):
        if self.live:
            sys.stdout.write("\r\x1b[K")
        print(line, flush=True)


class Context:
    """What a running round has: the options, a laboratory of its own, the progress line."""

    def __init__(self, chosen, where, progress, round_, number):
        self.options, self.lab, self.progress, self.round = chosen, where, progress, round_
        self.label, self.path = round_.program["label"], round_.program["path"]
        self.number = number  # of the round in the plan: makes the stages' names unique

    def enter(self, stage):
        self.progress.enter(stage_name(self.number, self.round, stage))

    def wait(self, done, patience, detail=lambda: "", tick=0.05):
        """True when done() came within the patience (seconds)."""
        deadline = time.monotonic() + patience
        while not done():
            self.lab.check()
            if time.monotonic() > deadline:
                return False
            self.progress.show(detail())
            time.sleep(tick)
        return True

    def pause(self, seconds):
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, seconds + 10)

    def sentinel(self, name, path, lines, channels=CHANNELS):
        folder = self.lab.subdirectory(name.replace(" ", "-"))
        made = lab.Sentinel("%s %s" % (self.label, name), path, folder, lines, channels)
        made.cores = self.options.pin and self.options.pin[0]
        return made

    def sample(self, figures, series=None):
        return report.Sample(self.round.section, self.label, figures, series)


def stage_name(number, round_, stage):
    return "[%d] %s: %s" % (number, round_.title, stage)


# --- the simulated fleet, watched by sentinels ---------------------------------------------------


def stages(program, masters, calm=0.0, killed=0, down_after=5.0, patience=400.0):
    """What a fleet round is expected to take, from earlier measurements: for the time left only."""
    stock = program["label"] != "vedette"
    scale = masters / 1000
    made = [("starting up", min(patience, 55 * scale ** 1.7 + 3) if stock else 2.5 * scale + 2),
            ("settling", (30 if masters > 600 else 5) if stock else 4)]
    if calm:
        made.append(("calm", calm + 2))
    if killed:
        slow = min(patience, 4 * killed) if killed > 60 else killed / 5 + 2
        made.append(("failing over", down_after + (slow if stock else 2 + killed / 1000)))
    return made + [("stopping", 2)]


class FleetSession:
    """A fleet and its sentinels, for one round."""

    def __init__(self, context, masters, paths=None, sentinels=SENTINELS, failover_timeout=None,
                 extra_lines=""):
        chosen = context.options
        self.context, self.masters = context, masters
        self.fleet = lab.Fleet(built("fleet"), context.lab.subdirectory("fleet"), masters,
                               down_after=chosen.down_after,
                               failover_timeout=failover_timeout or chosen.failover_timeout)
        context.lab.add(self.fleet)
        lines = extra_lines + self.fleet.conf_lines()
        self.sentinels = [context.sentinel("sentinel %d" % (k + 1), path, lines)
                          for k, path in enumerate(paths or [context.path] * sentinels)]
        # An answer of INFO grows with the masters; to ask for it and read it must not disturb.
        self.period = max(0.25, masters / 2500)
        self.begun = None
        self.cpu_history = []  # (time, CPU of each)

    # Start-up.

    def known_count(self):
        return "/".join("%d" % one.snapshot.complete(self.masters, len(self.sentinels))
                        if one.snapshot else "-" for one in self.sentinels) + " fully known"

    def all_known(self):
        self.cpu_history.append((time.monotonic(), [one.cpu_seconds() for one in self.sentinels]))
        return all(one.snapshot and one.snapshot.masters == self.masters and
                   one.snapshot.complete(self.masters, len(self.sentinels)) == self.masters
                   for one in self.sentinels)

    def start_up(self):
        """Starts the sentinels; figures: known, and the CPU until then of the busiest."""
        self.context.enter("starting up")
        self.begun = time.monotonic()
        for one in self.sentinels:
            one.poll_period = self.period
            self.context.lab.add(one)
        known = None
        if self.context.wait(self.all_known, self.context.options.patience, self.known_count):
            # Seen in an answer to INFO, which is not asked for all the time; the last replica or
            # sentinel was found when the last such event before it said so.
            known = max(self.found_at(one) for one in self.sentinels)
        until = known or math.inf
        cpu = next((cpu for at, cpu in self.cpu_history if at >= until), self.cpu_history[-1][1])
        return {"known": None if known is None else known - self.begun,
                "cpu_known": max(cpu) if known else None,
                "cpu_known_per_1000": 1000 * max(cpu) / self.masters if known else None,
                "tilts_start": max(one.count_in_log("+tilt") for one in self.sentinels)}

    @staticmethod
    def found_at(sentinel):
        times = [at for at, kind, _ in list(sentinel.events)
                 if kind in ("+slave", "+sentinel") and at <= sentinel.snapshot.at]
        return max(times) if times else sentinel.snapshot.at

    def settle(self, least=3.0):
        """Waits until nothing happens any more, at least that long (a third with --quick)."""
        self.context.enter("settling")
        least /= 3 if self.context.options.preset == "quick" else 1
        for one in self.sentinels:
            one.poll_period = max(1.0, self.period)
        self.context.pause(least)
        self.context.wait(lambda: not any(one.snapshot and one.snapshot.tilted
                                          for one in self.sentinels), TILT_PATIENCE,
                          lambda: "waiting for the end of TILT")

    # Calm.

    def calm(self, length):
        """CPU (percent of a core) and memory of the sentinels while nothing happens."""
        self.context.enter("calm")
        for one in self.sentinels:
            one.poll_period = None
        self.context.pause(1.5)
        self.fleet.control("stats")
        before, at = [one.cpu_seconds() for one in self.sentinels], time.monotonic()
        self.context.pause(length)
        spent = [100 * (one.cpu_seconds() - earlier) / (time.monotonic() - at)
                 for one, earlier in zip(self.sentinels, before)]
        memory = [one.memory_mb() for one in self.sentinels]
        return {"cpu": sum(spent) / len(spent), "cpu_most": max(spent), "rss": max(memory),
                "fleet_commands": self.fleet.control("stats")["commands_per_second"]}

    # Failing over.

    def wait_for_votes(self):
        self.context.pause(max(0.0, self.begun + FIRST_FAILURE - time.monotonic()))

    def fail(self, count, how="kill", dead=None):
        """Kills (or hangs) masters, and the sentinel `dead` with them; waits for everybody to
        agree. Figures and the promotion times."""
        context, chosen = self.context, self.context.options
        self.wait_for_votes()
        context.enter("failing over")
        watching = [one for one in self.sentinels if one is not dead]
        for one in watching:
            one.poll_period = max(2.0, 2 * self.period)
        tilts = [one.count_in_log("+tilt") for one in watching]
        quarrels = self.quarrels()
        promotions = lab.Promotions(self.fleet, watching)
        promotions.kill(count, how)
        if dead:
            dead.kill()

        def agreed():
            promotions.update()
            return promotions.all_agree()

        context.wait(agreed, chosen.patience + chosen.down_after / 1000, lambda: (
            "%d of %d promoted" % (len(promotions.promoted), count)), tick=0.2)
        times = promotions.times()
        first, median, last = lab.first_median_last(times)
        after = self.quarrels()
        figures = {
            "killed": count, "promoted": len(times), "first": first, "median": median,
            "last": last if len(times) == count else None, "agreed": promotions.agreed_after(),
            "tilts": max(one.count_in_log("+tilt") - earlier
                         for one, earlier in zip(watching, tilts)),
            "twice": sum(1 for record in self.fleet.control("promotions")
                         if record["promotions"] > 1),
            "conflicts": after[0] - quarrels[0], "backwards": after[1] - quarrels[1],
            "wrong": len(promotions.disagreements())}
        return figures, {"promotions": times + [None] * (count - len(times))}

    def quarrels(self):
        heard = self.fleet.control("hellos")
        return heard["conflicts"], heard["backwards"] + heard["strays"]


# --- figures that several cases show -------------------------------------------------------------


def known_figures(limit=None):
    return [report.Figure("everything known after", "known", report.seconds, at_most=limit),
            report.Figure("CPU until then, the busiest", "cpu_known", report.seconds)]


def failover_figures(promoted=None, agreed=None):
    """promoted, agreed: the targets, seconds after the kill."""
    return [
        report.Figure("died at one instant", "killed", report.count, ratio=False),
        report.Figure("promoted within the patience", "promoted", report.count, ratio=False),
        report.Figure("first promotion", "first", report.seconds),
        report.Figure("median", "median", report.seconds),
        report.Figure("last", "last", report.seconds, at_most=promoted),
        report.Figure("all sentinels agree", "agreed", report.seconds, at_most=agreed),
        report.Figure("TILTs, the most", "tilts", report.count, ratio=False,
                      at_most=None if promoted is None else 0),
        report.Figure("masters promoted more than once", "twice", report.count, ratio=False,
                      at_most=None if promoted is None else 0),
        report.Figure("two addresses in one epoch", "conflicts", report.count, ratio=False,
                      at_most=None if promoted is None else 0),
        report.Figure("other quarrels in hellos", "backwards", report.count, ratio=False),
        report.Figure("wrong addresses at the end", "wrong", report.count, ratio=False,
                      at_most=None if promoted is None else 0)]


def calm_figures():
    return [report.Figure("CPU when calm, mean", "cpu", report.percent),
            report.Figure("CPU when calm, the busiest", "cpu_most", report.percent),
            report.Figure("RSS, the largest", "rss", report.megabytes)]
