"""The demonstration that bench/demo starts: see there, or --help."""

import argparse
import collections
import os
import shutil
import signal
import sys
import time

import lab

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))
SENTINELS = 3
REAL = "real"
KNOWN_WITHIN, PROMOTED_WITHIN, AGREED_WITHIN = 5.0, 1.5, 2.5  # seconds; the last two + down-after
CALM = (4, 6)  # seconds: to settle, then to measure
BOLD, DIM, RED, GREEN, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def options():
    parser = argparse.ArgumentParser(
        prog="bench/demo",
        description="Shows vedette at work: a simulated fleet and one real redis-server pair, "
        "watched by three vedettes; many masters die at once and are failed over. Exit code 0 only "
        "if all went right.")
    parser.add_argument("--masters", type=int, default=1000, metavar="N",
                        help="simulated masters, each with a replica (1000)")
    parser.add_argument("--kill", type=int, default=None, metavar="N",
                        help="how many of them die (a tenth)")
    parser.add_argument("--down-after", type=int, default=5000, metavar="MS",
                        help="down-after-milliseconds (5000)")
    parser.add_argument("--binary", default="vedette", metavar="PROGRAM",
                        help="the sentinel: a path, or redis-sentinel to see what is replaced "
                        "(the vedette just built)")
    parser.add_argument("--patience", type=float, default=240.0, metavar="S",
                        help="give up waiting for discovery or failovers after this (240)")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations")
    chosen = parser.parse_args()
    if chosen.kill is None:
        chosen.kill = max(1, chosen.masters // 10)
    if chosen.masters < 1 or not 1 <= chosen.kill <= chosen.masters:
        parser.error("--masters at least 1, --kill between 1 and --masters")
    return chosen


def seconds(value):
    return "-" if value is None else "%.2f s" % value


# --- what is shown -------------------------------------------------------------------------------


class Screen:
    """A block of lines refreshed in place on a terminal, or plain lines anywhere else."""

    def __init__(self):
        self.live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.drawn = 0

    def note(self, line):
        """A line that stays."""
        self.erase()
        print(line, flush=True)

    def erase(self):
        if self.live and self.drawn:
            sys.stdout.write("\x1b[%dF\x1b[J" % self.drawn)
        self.drawn = 0

    def draw(self, lines):
        columns, rows = shutil.get_terminal_size()
        text = "\x1b[?25l" + ("\x1b[%dF" % self.drawn if self.drawn else "")
        lines = lines[:max(1, rows - 1)]
        for style, line in lines:
            text += style + line[:columns - 1] + (PLAIN if style else "") + "\x1b[K\n"
        sys.stdout.write(text + "\x1b[J")
        sys.stdout.flush()
        self.drawn = len(lines)

    def done(self):
        if self.live:
            sys.stdout.write("\x1b[?25h")
            sys.stdout.flush()


class Rate:
    """How fast a growing figure grows, per second, over the last second or more."""

    def __init__(self, read):
        self.figure = read
        self.last = (time.monotonic(), read())
        self.rate = 0.0

    def read(self):
        now = time.monotonic()
        then, before = self.last
        if now - then >= 1.0:
            figure = self.figure()
            self.rate = (figure - before) / (now - then)
            self.last = now, figure
        return self.rate


class Demo:
    def __init__(self, chosen, where, screen):
        self.options, self.lab, self.screen = chosen, where, screen
        self.began = time.monotonic()
        self.phase = "starting"
        self.sentinels, self.usages = [], {}
        self.fleet = self.master = self.replica = self.promotions = None
        self.read = {}
        self.counts = collections.Counter()
        self.latest = collections.deque(maxlen=10)
        self.latest_real = collections.deque(maxlen=8)
        self.plain_at = 0.0
        self.real_promoted = None
        self.known_after = self.fleet_usage = self.fleet_commands = None
        self.cpu_to_know = []
        self.label = lab.program_label(chosen.binary)

    @property
    def masters(self):
        return self.options.masters + 1

    # --- start -----------------------------------------------------------------------------------

    def start(self):
        chosen = self.options
        self.screen.note("[3/6] starting %s simulated masters with a replica each, one real "
                         "redis-server pair, %d x %s" % (format(chosen.masters, ","), SENTINELS,
                                                         self.label))
        binary = lab.find_program(chosen.binary, os.path.join(BUILD, "vedette")
                                  if chosen.binary == "vedette" else chosen.binary)
        fleet_binary = lab.find_program("fleet", os.path.join(BUILD, "fleet"))
        if not shutil.which("redis-server"):
            raise lab.LabError("redis-server is missing: bench/install-deps demo")
        self.fleet = self.lab.add(lab.Fleet(fleet_binary, self.lab.subdirectory("fleet"),
                                            chosen.masters, down_after=chosen.down_after))
        self.master = self.lab.add(lab.RedisServer("the real master",
                                                   self.lab.subdirectory("redis-1")))
        self.replica = self.lab.add(lab.RedisServer(
            "the real replica", self.lab.subdirectory("redis-2"), follows=self.master.port))
        self.master.wait_ready()
        self.replica.wait_ready()
        lines = self.fleet.conf_lines() + (
            "sentinel monitor %s 127.0.0.1 %d 2\nsentinel down-after-milliseconds %s %d\n"
            "sentinel failover-timeout %s 60000\n" % (REAL, self.master.port, REAL,
                                                      chosen.down_after, REAL))
        self.sentinels = [
            lab.Sentinel("%s %d" % (self.label, k + 1), binary,
                         self.lab.subdirectory("sentinel-%d" % (k + 1)), lines)
            for k in range(SENTINELS)]
        begun = time.monotonic()
        for sentinel in self.sentinels:
            self.read[sentinel.name] = 0
            self.lab.add(sentinel)
        for sentinel in self.sentinels:
            self.usages[sentinel.name] = Rate(sentinel.cpu_seconds)
        self.fleet_usage = Rate(lambda: self.fleet.control("stats")["cpu_seconds"])
        self.fleet_commands = Rate(lambda: self.fleet.control("stats")["commands"])
        return begun

    def wait(self, done, patience, what):
        """Shows and listens until done() or the patience ends."""
        deadline = time.monotonic() + patience
        while True:
            self.lab.check()
            self.take_events()
            if done():
                return
            if time.monotonic() > deadline:
                raise lab.LabError("gave up after %.0f s: %s" % (patience, what))
            self.show()
            time.sleep(0.1)

    def everything_known(self):
        return all(sentinel.snapshot and sentinel.snapshot.masters == self.masters
                   and sentinel.snapshot.complete(self.masters, SENTINELS) == self.masters
                   for sentinel in self.sentinels)

    # --- events ----------------------------------------------------------------------------------

    def take_events(self):
        fresh = []
        for sentinel in self.sentinels:
            events, start = sentinel.events, self.read[sentinel.name]
            self.read[sentinel.name] = end = len(events)
            fresh += [(at, sentinel.name, kind, text) for at, kind, text in events[start:end]]
        for at, name, kind, text in sorted(fresh):
            self.counts[kind] += 1
            line = "%6.2f  %s  %s %s" % (at - self.began, name, kind, text)
            words = text.split()
            # `<name> ip port` for a master, `… @ <name> ip port` for a replica or sentinel.
            real = words[:1] == [REAL] or words[1:2] == [REAL] or "@ %s " % REAL in text
            (self.latest_real if real else self.latest).append(line)
            if not self.screen.live and self.killed() and (
                    real or kind in ("+tilt", "-tilt") or kind.startswith("-failover-abort")):
                self.screen.note("      " + line)

    def killed(self):
        return self.promotions is not None

    # --- show ------------------------------------------------------------------------------------

    def show(self):
        if self.screen.live:
            if time.monotonic() - self.plain_at >= 0.2:
                self.plain_at = time.monotonic()
                self.screen.draw(self.panel())
        elif time.monotonic() - self.plain_at >= 2.0:
            self.plain_at = time.monotonic()
            print(self.plain_line(), flush=True)

    def row(self, sentinel):
        usage = self.usages[sentinel.name]
        cells = [sentinel.name]
        shot = sentinel.snapshot
        if shot is None:
            cells += ["-"] * 6
        else:
            cells += [format(shot.masters, ","), format(shot.replicas, ","),
                      format(shot.complete(self.masters, SENTINELS), ","),
                      format(shot.states["ok"], ","), format(shot.states["sdown"], ","),
                      format(shot.states["odown"], ",")]
        cells += ["%.1f %%" % (100 * usage.read()), "%.0f MB" % sentinel.memory_mb()]
        return cells

    def panel(self):
        stats = self.fleet.control("stats")
        rows = [["", "masters", "replicas", "fully known", "ok", "s_down", "o_down", "CPU",
                 "memory"]] + [self.row(sentinel) for sentinel in self.sentinels]
        lines = [(BOLD, "%s demo: %s simulated masters with a replica each, one real pair; %.0f s"
                  % (self.label, format(self.options.masters, ","),
                     time.monotonic() - self.began)),
                 (BOLD, self.phase), ("", "")]
        lines += [("", line) for line in lab.table(rows)]
        lines += [("", "fleet: %s alive, %s killed; %s commands/s on %s connections; CPU %.1f %%" % (
            format(stats["alive"], ","), format(stats["killed"], ","),
            format(int(self.fleet_commands.read()), ","), format(stats["connections"], ","),
            100 * self.fleet_usage.read())), ("", "")]
        if self.killed():
            lines += [("", line) for line in self.progress()] + [("", "")]
        lines += [("", "events so far: " + ("  ".join(
            "%s %d" % pair for pair in sorted(self.counts.items(), key=lambda pair: -pair[1]))
            or "none"))]
        lines += [(BOLD, "the real pair")] + self.tail(self.latest_real)
        lines += [(BOLD, "the simulated ones")] + self.tail(self.latest)
        return lines

    @staticmethod
    def tail(events):
        filled = list(events) + [""] * (events.maxlen - len(events))
        return [(RED if "down " in line or "abort" in line or "+tilt" in line else
                 GREEN if "switch-master" in line or "promoted" in line else DIM, line)
                for line in filled]

    def progress(self):
        total, times = len(self.promotions.killed_at), self.promotions.times()
        first, median, last = lab.first_median_last(times)
        filled = 40 * len(times) // total
        agreed = len(self.promotions.switched)
        return ["promoted  [%s%s] %d of %d   first %s  median %s  last %s" % (
            "#" * filled, "." * (40 - filled), len(times), total, seconds(first), seconds(median),
            seconds(last)), "told by   [%s%s] %d of %d switches, counting all %d" % (
                "#" * (40 * agreed // (total * SENTINELS)),
                "." * (40 - 40 * agreed // (total * SENTINELS)), agreed, total * SENTINELS,
                SENTINELS)]

    def plain_line(self):
        """Each figure of the sentinels in turn, separated by slashes."""
        shots = [sentinel.snapshot for sentinel in self.sentinels]

        def each(figure):
            return "/".join("-" if shot is None else str(figure(shot)) for shot in shots)

        line = ("%6.2f  masters %s  replicas %s  fully known %s  s_down %s  o_down %s  CPU %s %%  "
                "memory %s MB" % (
                    time.monotonic() - self.began, each(lambda shot: shot.masters),
                    each(lambda shot: shot.replicas),
                    each(lambda shot: shot.complete(self.masters, SENTINELS)),
                    each(lambda shot: shot.states["sdown"]),
                    each(lambda shot: shot.states["odown"]),
                    "/".join("%.0f" % (100 * self.usages[one.name].read())
                             for one in self.sentinels),
                    "/".join("%.0f" % one.memory_mb() for one in self.sentinels)))
        if self.killed():
            line += "  promoted %d of %d" % (len(self.promotions.promoted),
                                             len(self.promotions.killed_at))
        return line

    # --- the story -------------------------------------------------------------------------------

    def enter(self, phase):
        self.phase = phase
        if not self.screen.live:
            print(phase, flush=True)

    def calm(self):
        """CPU in percent of a core of each sentinel while nothing happens."""
        for sentinel in self.sentinels:
            sentinel.poll_period = 1.0
        settled = time.monotonic() + CALM[0]
        self.wait(lambda: time.monotonic() > settled, 60, "")
        meters = [Rate(sentinel.cpu_seconds) for sentinel in self.sentinels]
        enough = time.monotonic() + CALM[1]
        self.wait(lambda: time.monotonic() > enough, 60, "")
        return [100 * meter.read() for meter in meters]

    def watch_real_pair(self):
        if self.real_promoted is None and self.replica.role()[0] == "master":
            self.real_promoted = time.monotonic()
            self.promotions.promoted[REAL] = (
                self.real_promoted - self.promotions.killed_at[REAL],
                "127.0.0.1:%d" % self.replica.port)

    def failovers_done(self):
        self.watch_real_pair()
        self.promotions.update()
        return self.promotions.all_agree()

    def run(self):
        begun = self.start()
        self.enter("[4/6] finding every replica and every other sentinel")
        self.wait(self.everything_known, self.options.patience, "not everything is known")
        # The moment of the snapshot that was complete, not of our looking at it.
        self.known_after = max(sentinel.snapshot.at for sentinel in self.sentinels) - begun
        self.cpu_to_know = [sentinel.cpu_seconds() for sentinel in self.sentinels]
        self.screen.note("      everything known after %.2f s: %s masters, their replicas, "
                         "%d sentinels each" % (self.known_after, format(self.masters, ","),
                                                SENTINELS))
        self.enter("[5/6] calm; in %d seconds %d simulated masters and the real one die" % (
            CALM[0] + CALM[1], self.options.kill))
        steady = self.calm()
        for sentinel in self.sentinels:
            sentinel.poll_period = 0.5
        self.promotions = lab.Promotions(self.fleet, self.sentinels)
        at = self.promotions.kill(self.options.kill)
        self.promotions.killed_other(REAL, self.master.kill())
        self.enter("[5/6] killed %d simulated masters and the real one at %.2f s" % (
            self.options.kill, at - self.began))
        self.wait(self.failovers_done, self.options.patience + self.options.down_after / 1000,
                  "not every killed master was promoted and agreed on")
        if self.screen.live:
            self.screen.draw(self.panel())
            self.screen.drawn = 0  # it stays
        return self.closing(steady)

    def closing(self, steady):
        """The closing table; returns whether everything is right."""
        simulated = self.promotions.times(set(self.promotions.killed_at) - {REAL})
        first, median, last = lab.first_median_last(simulated)
        real = self.promotions.promoted[REAL][0]
        agreed = self.promotions.agreed_after()
        down_after = self.options.down_after / 1000
        wrong = self.promotions.disagreements()
        for sentinel in self.sentinels:
            address = lab.ask(sentinel.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", REAL)
            if address != ["127.0.0.1", str(self.replica.port)]:
                wrong.append("%s has %s at %s" % (sentinel.name, REAL, address))
        tilts = [sentinel.count_in_log("+tilt") for sentinel in self.sentinels]

        def against(value, target):
            return "within %.1f s: %s" % (target, "yes" if value <= target else "no")

        each = ", ".join
        rows = [
            ["everything known after start", seconds(self.known_after),
             against(self.known_after, KNOWN_WITHIN)],
            ["CPU until then, each", each("%.2f s" % cpu for cpu in self.cpu_to_know), ""],
            ["CPU when calm, each", each("%.1f %%" % cpu for cpu in steady), ""],
            ["memory, each", each("%.0f MB" % one.memory_mb() for one in self.sentinels), ""],
            ["simulated masters killed", "%d of %d" % (self.options.kill, self.options.masters),
             ""],
            ["  first promotion after the kill", seconds(first), ""],
            ["  median", seconds(median), ""],
            ["  last", seconds(last), against(last, down_after + PROMOTED_WITHIN)],
            ["the real replica promoted after", seconds(real),
             against(real, down_after + PROMOTED_WITHIN)],
            ["all %d agree on all of them after" % SENTINELS, seconds(agreed),
             against(agreed, down_after + AGREED_WITHIN)],
            ["TILTs, each", each(str(tilt) for tilt in tilts),
             "none: " + ("yes" if not any(tilts) else "no")],
            ["addresses that differ from the truth", str(len(wrong)), ""],
        ]
        print("[6/6] %s, %s masters, down-after %.1f s" % (self.label, format(self.masters, ","),
                                                          down_after))
        for line in lab.table(rows):
            print("      " + line)
        for line in wrong[:10]:
            print("      WRONG: " + line)
        sys.stdout.flush()
        return not wrong


def interrupt(number, frame):
    raise Interrupted(number)


def main():
    chosen = options()
    lab.raise_file_limit()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    screen = Screen()
    code = 1
    where = lab.Lab(keep=chosen.keep)
    try:
        code = 0 if Demo(chosen, where, screen).run() else 1
    except Interrupted as reason:
        code = 128 + reason.args[0]
        screen.drawn = 0
        print("\ninterrupted; stopping everything")
    except (lab.LabError, OSError) as error:
        screen.drawn = 0
        print("FAILED: %s" % error)
    finally:
        # A second Ctrl-C must not leave anything running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        screen.done()
        complaints = where.stop_all()
        where.close()
        for complaint in complaints:
            print("      WRONG: " + complaint)
        if complaints and code == 0:
            code = 1
        if chosen.keep:
            print("logs and configurations are in %s" % where.directory)
        print("      everything stopped; " + ("all went right" if code == 0 else
                                             "exit code %d" % code))
    return code


if __name__ == "__main__":
    sys.exit(main())
