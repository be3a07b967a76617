"""The soak that bench/soak starts: see there, or --help."""

import argparse
import concurrent.futures
import os
import random
import re
import shutil
import signal
import sys
import time

import lab
from soak_watch import Findings, Fleet, Watched, wall_clock

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))
ELECTION_TIMEOUT = 10.0
INFO_PERIOD = 10.0
PUBLISH_PERIOD = 2.0
STORM = (45.0, 70.0)     # seconds, drawn
ROUND = 85.0             # seconds that a round takes, as a guess
DISTURBED = 0.6          # the part of a storm in which sentinels are disturbed
CALM_BEFORE = 25.0       # a group untouched so long makes an outage a simple one
ANSWER_WITHIN = 10.0     # s a started vedette may take to answer
EXPLAINED = 90.0         # s after our last act on it in which a group may change its master

EPILOG = """
A run is a chain of rounds until the time is over. A round:
  storm   45 to 70 s. Masters and replicas are killed, hang or load, one by one and many at once,
          and come back, some at once, some late. Sentinels get SIGTERM, SIGKILL, or SIGSTOP for
          0.5 to 4 s; the first one only SIGSTOP, so that its memory tells of the whole run.
          An operator uses SENTINEL FAILOVER, RESET and SET.
  settle  nobody touches anything and the dead stay dead.
  heal    everything is revived; all have to agree.
What is checked, all the time:
  - no vedette ends by itself, none is silent for long, SIGTERM ends it with code 0;
  - a group with a living instance gets a living master that all sentinels name: within down-after
    + 1 s + --margin in the simple case (the group was left alone for 25 s, no sentinel was
    disturbed), else within down-after + 2 x failover-timeout + 10 s + --margin of the last thing
    that was done to it or to a sentinel (an attempt that found no good replica, or lost its leader,
    may only be followed by another after that time);
  - a group that nobody touched keeps its master;
  - epochs never go back: of each connection's hellos, of SENTINEL MASTERS and sentinel.conf of each
    vedette over all its lives; a config epoch means one address (hellos, SENTINEL MASTERS);
and after each heal, within failover-timeout + 45 s:
  - one master a group, its replicas follow it with their links up; all sentinels name that master,
    with the same config epoch, all replicas and all sentinels, nothing down, no failover;
  - sentinel.conf says the same; links and descriptors are as many as they should be; memory that
    grows from round to round (beyond 4 MB and a tenth) is a finding at the end.
The seed decides what is drawn; when it happens depends on the machine too. A finding is shown with
everything that the logs say of its group, and the logs are kept. Exit code: 0, or 1 with findings.
"""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def options():
    parser = argparse.ArgumentParser(
        prog="bench/soak", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description="Random faults on a simulated fleet that vedettes watch, for as long as you "
        "like;\neverything that must hold is checked meanwhile.")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N",
                        help="how long; the last round is finished (30)")
    parser.add_argument("--masters", type=int, default=3000, metavar="M",
                        help="simulated masters, each with a replica (3000)")
    parser.add_argument("--sentinels", type=int, default=3, metavar="K", help="vedettes (3)")
    parser.add_argument("--seed", type=int, default=None, metavar="S",
                        help="of everything drawn (by the clock; it is printed)")
    parser.add_argument("--rate", type=float, default=None, metavar="R",
                        help="faults a second in a storm (masters / 150)")
    parser.add_argument("--down-after", type=int, default=3000, metavar="MS",
                        help="down-after-milliseconds (3000)")
    parser.add_argument("--failover-timeout", type=int, default=10000, metavar="MS",
                        help="failover-timeout (10000)")
    parser.add_argument("--tilt-period", type=float, default=8.0, metavar="S",
                        help="how long a TILT lasts, as set with SENTINEL DEBUG (8)")
    parser.add_argument("--margin", type=float, default=4.0, metavar="S",
                        help="added to every bound; more on a machine that is shared (4)")
    parser.add_argument("--program", default="vedette", metavar="PATH",
                        help="the vedette to run (that of the release build)")
    parser.add_argument("--stop", action="store_true", help="stop at the first finding")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations")
    chosen = parser.parse_args()
    if chosen.masters < 1 or not 2 <= chosen.sentinels <= 16 or chosen.minutes <= 0:
        parser.error("--masters at least 1, --sentinels 2 to 16, --minutes above 0")
    chosen.rate = chosen.rate or chosen.masters / 150
    chosen.seed = chosen.seed if chosen.seed is not None else int(time.time()) % 1000000
    chosen.quorum = chosen.sentinels // 2 + 1
    return chosen


class Soak:
    """One run."""

    def __init__(self, chosen, where):
        self.options, self.where = chosen, where
        self.live = sys.stdout.isatty()
        self.findings = Findings(self.say, where.directory)
        self.began = time.monotonic()
        self.ends = self.began + 60 * chosen.minutes
        self.said_at = 0.0
        self.phase = "start"
        self.round, self.round_began = 0, self.began
        self.sentinels = []
        self.fleet = None
        self.queue = []              # (time, action, arguments), sorted
        self.disturbed_at = -1e9     # a sentinel's state changed
        self.looked_at, self.widest = 0.0, 0.0  # the last look; the longest time without one
        self.counts = {}
        self.simple_times, self.complex_times = [], []
        self.after_last = []          # of all, since the last thing that was done
        self.slowest = (0.0, "", "")  # of the simple ones: seconds, group, when it was over
        self.addresses = {}          # (group, config epoch) → address
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.operations = []         # (future, group, what)
        self.heal_times = []
        self.tilts = set()

    # --- words -----------------------------------------------------------------------------------

    def say(self, text):
        if self.live:
            sys.stdout.write("\r\x1b[K")
        print(text, flush=True)

    def progress(self):
        now = time.monotonic()
        if now - self.said_at < (0.5 if self.live else 15.0):
            return
        self.said_at = now
        left = max(1.0, max(self.ends, self.round_began + ROUND) - now)
        dead = sum(1 for group in self.fleet.groups.values() if group.unserved_since)
        line = "%6.1f min  round %d %s: %d faults, %d outages over, %d now, %d findings; " \
            "about %s left" % (
                (now - self.began) / 60, self.round, self.phase, sum(self.counts.values()),
                len(self.simple_times) + len(self.complex_times), dead, len(self.findings.list),
                "%d min" % round(left / 60) if left > 90 else "%d s" % left)
        if self.live:
            sys.stdout.write("\r" + line[:118] + "\x1b[K")
            sys.stdout.flush()
        else:
            print(line, flush=True)

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    # --- start -----------------------------------------------------------------------------------

    def start(self):
        chosen = self.options
        links = 2 * 2 * chosen.masters * chosen.sentinels
        workers = max(2, -(-links // 15000))
        self.fleet = self.where.add(Fleet(
            lab.find_program("fleet", os.path.join(BUILD, "fleet")),
            self.where.subdirectory("fleet"), chosen.masters, down_after=chosen.down_after,
            quorum=chosen.quorum, failover_timeout=chosen.failover_timeout,
            extra=("--seed", str(chosen.seed), "--workers", str(workers))))
        self.fleet.learn(chosen.down_after / 1000)
        # A copy: whoever builds meanwhile does not change what is restarted here.
        binary = os.path.join(self.where.directory, "vedette")
        shutil.copy2(lab.find_program(chosen.program, os.path.join(BUILD, "vedette")), binary)
        for k in range(chosen.sentinels):
            name = "vedette %d" % (k + 1)
            self.sentinels.append(self.where.add(Watched(
                name, binary, self.where.subdirectory("v%d" % (k + 1)), self.fleet.conf_lines(),
                chosen.tilt_period)))
        self.findings.sentinels = self.sentinels
        self.phase = "discovery"
        patience = time.monotonic() + 60 + chosen.masters / 50
        while self.cheap_faults(1):
            if time.monotonic() > patience:
                raise lab.LabError("not everything is known: %s" % "; ".join(self.cheap_faults(3)))
            self.tick()
        self.say("%d masters with a replica each and %d vedettes know each other after %.1f s" % (
            chosen.masters, chosen.sentinels, time.monotonic() - self.began))

    # --- one tick --------------------------------------------------------------------------------

    def tick(self):
        """Whatever is due now: actions, sentinels' lives, a look at everything."""
        now = time.monotonic()
        # On a busy machine each may take long; what is looked at must not wait for all of them.
        while self.queue and self.queue[0][0] <= now and time.monotonic() - now < 0.5:
            _, action, arguments = self.queue.pop(0)
            action(*arguments)
        self.drive_sentinels()
        self.collect_operations()
        if now - self.looked_at >= (0.5 if self.options.masters <= 1000 else 1.0):
            if self.looked_at:
                self.widest = max(self.widest, now - self.looked_at)
            self.looked_at = now
            self.look()
            self.progress()
        ahead = self.queue[0][0] - time.monotonic() if self.queue else 0.1
        time.sleep(min(0.1, max(0.005, ahead)))
        if self.options.stop and self.findings.list:
            raise lab.LabError("stopped at the first finding")

    def schedule(self, delay, action, *arguments):
        at = time.monotonic() + delay
        place = len(self.queue)
        while place > 0 and self.queue[place - 1][0] > at:
            place -= 1
        self.queue.insert(place, (at, action, arguments))

    def look(self):
        for sentinel in self.sentinels:
            self.read_log(sentinel)
            if sentinel.state != "up":
                continue
            if sentinel.poll():
                sentinel.answered_at = time.monotonic()
                if sentinel.snapshot.tilted != (sentinel in self.tilts):
                    self.disturbed_at = time.monotonic()
                    (self.tilts.add if sentinel.snapshot.tilted else self.tilts.discard)(sentinel)
            elif time.monotonic() - sentinel.answered_at > ANSWER_WITHIN:
                self.findings.add("%s does not answer INFO for %.0f s" % (
                    sentinel.name, time.monotonic() - sentinel.answered_at))
                sentinel.answered_at = time.monotonic()
        for group in self.fleet.look():
            now = time.monotonic()
            if now - max(group.touched) > EXPLAINED and now - self.disturbed_at > EXPLAINED:
                self.findings.add("%s: its master is now %s, and nobody had touched it" % (
                    group.name, group.truth), group.name)
        if self.phase != "discovery":
            self.judge_groups()
        if not self.fleet.alive():
            raise lab.LabError("the fleet ended by itself:\n" + self.fleet.last_words())

    def read_log(self, sentinel):
        """Two shards' lines of one moment may come in either order: a second decides."""
        for at, text in sentinel.log.follow():
            if text.startswith("+new-epoch "):
                epoch, at = int(text.split()[1]), wall_clock(at)
                if epoch < sentinel.current_epoch and at - sentinel.current_epoch_at > 1.0:
                    self.findings.add("%s: +new-epoch %d after %d" % (
                        sentinel.name, epoch, sentinel.current_epoch))
                if epoch > sentinel.current_epoch:
                    sentinel.current_epoch, sentinel.current_epoch_at = epoch, at

    def judge_groups(self):
        """Which groups have no master that all running sentinels name, and for how long."""
        now = time.monotonic()
        views = [one.snapshot.address for one in self.sentinels
                 if one.state == "up" and one.snapshot]
        if not views:
            return
        all_well = len(views) == len(self.sentinels) and not self.tilts
        for group in self.fleet.groups.values():
            named = {view.get(group.name) for view in views}
            address = named.pop() if len(named) == 1 else None
            # A master that loads its data is no dead one: -LOADING is a valid answer.
            served = (address is not None and group.mode.get(address) in ("alive", "loading") and
                      group.role.get(address) == "master")
            if served or not group.live():
                if group.unserved_since and served:
                    took = now - group.unserved_since
                    (self.simple_times if group.simple else self.complex_times).append(took)
                    self.after_last.append(now - max(group.unserved_since, group.touched[-1],
                                                     self.disturbed_at))
                    if group.simple:
                        self.slowest = max(self.slowest, (took, group.name, time.strftime("%X")))
                group.unserved_since, group.reported = None, False
                continue
            if group.unserved_since is None:
                group.unserved_since = now
                group.simple = all_well and now - self.disturbed_at > CALM_BEFORE and (
                    len(group.touched) < 2 or now - group.touched[-2] > CALM_BEFORE)
                continue
            if group.touched[-1] > group.unserved_since or self.disturbed_at > group.unserved_since:
                group.simple = False
            if group.simple:
                over = now - group.unserved_since - (group.down_after + 1 + self.options.margin)
            else:
                over = now - max(group.unserved_since, group.touched[-1], self.disturbed_at) - (
                    group.down_after + 2 * self.options.failover_timeout / 1000 + INFO_PERIOD +
                    self.options.margin)
            if over > 0 and not group.reported:
                group.reported = True
                self.findings.add("%s: no master since %.1f s (%s case); alive: %s; named: %s" % (
                    group.name, now - group.unserved_since,
                    "simple" if group.simple else "hard", ", ".join(group.live()), ", ".join(
                        str(view.get(group.name)) for view in views)), group.name)

    # --- sentinels' lives ------------------------------------------------------------------------

    def drive_sentinels(self):
        now = time.monotonic()
        for sentinel in self.sentinels:
            code = sentinel.child.poll()
            if sentinel.state in ("up", "stopped") and code is not None:
                self.findings.add("%s ended by itself, exit code %d:\n%s" % (
                    sentinel.name, code, sentinel.last_words(40)))
                self.goes_down(sentinel, 1.0)
            elif sentinel.state == "stopped" and now >= sentinel.until:
                sentinel.child.send_signal(signal.SIGCONT)
                self.turns(sentinel, "up", "goes on")
                sentinel.answered_at = now
            elif sentinel.state == "leaving" and code is not None:
                if code != 0:
                    self.findings.add("%s: SIGTERM ended it with code %d:\n%s" % (
                        sentinel.name, code, sentinel.last_words(40)))
                self.goes_down(sentinel, sentinel.absence)
            elif sentinel.state == "leaving" and now >= sentinel.until:
                self.findings.add("%s did not stop within 10 s of SIGTERM" % sentinel.name)
                sentinel.child.kill()
                sentinel.until = now + 10
            elif sentinel.state == "down" and now >= sentinel.until:
                sentinel.start()
                self.turns(sentinel, "up", "starts")
                self.check_rebirth(sentinel)

    def turns(self, sentinel, state, word):
        sentinel.state = state
        self.disturbed_at = time.monotonic()
        self.findings.did("%s %s" % (sentinel.name, word))

    def goes_down(self, sentinel, absence):
        sentinel.child.wait()
        sentinel.hang_up()
        self.turns(sentinel, "down", "is down")
        self.tilts.discard(sentinel)
        sentinel.until = time.monotonic() + absence

    def check_rebirth(self, sentinel):
        """What it knew before it died must be there at once."""
        patience = time.monotonic() + ANSWER_WITHIN
        while time.monotonic() < patience and sentinel.alive():
            masters = sentinel.masters()
            if masters is not None:
                self.check_epochs(sentinel, masters)
                return
            time.sleep(0.05)
        if sentinel.alive():
            self.findings.add("%s did not answer within %.0f s of its start" % (
                sentinel.name, ANSWER_WITHIN))

    def check_epochs(self, sentinel, masters):
        if len(masters) != len(self.fleet.groups):
            self.findings.add("%s knows %d masters instead of %d" % (
                sentinel.name, len(masters), len(self.fleet.groups)))
        for one in masters:
            name, epoch = one["name"], int(one["config-epoch"])
            if epoch < sentinel.known_epochs.get(name, 0):
                self.findings.add("%s: config epoch of %s is %d, it was %d" % (
                    sentinel.name, name, epoch, sentinel.known_epochs[name]), name)
            sentinel.known_epochs[name] = epoch

    # --- actions ---------------------------------------------------------------------------------

    def disturb(self, number, kind, length, alone=False):
        """kind: term, kill, stop. alone: waits until no other one is disturbed."""
        sentinel = self.sentinels[number]
        another = any(one.state != "up" for one in self.sentinels) or self.tilts
        if sentinel.state != "up" or (alone and another):
            if time.monotonic() < self.calm_from:
                self.schedule(0.5, self.disturb, number, kind, length, alone)
            return
        self.count("sentinel %s" % kind)
        if kind == "stop":
            sentinel.child.send_signal(signal.SIGSTOP)
            self.turns(sentinel, "stopped", "stopped for %.1f s" % min(length, 4.0))
            sentinel.until = time.monotonic() + min(length, 4.0)
            return
        masters = sentinel.masters()
        if masters is not None:
            self.check_epochs(sentinel, masters)
        if kind == "kill":
            sentinel.child.kill()
            self.findings.did("%s killed" % sentinel.name)
            self.goes_down(sentinel, length)
        else:
            sentinel.child.terminate()
            self.turns(sentinel, "leaving", "gets SIGTERM")
            sentinel.hang_up()
            sentinel.until, sentinel.absence = time.monotonic() + 10, length

    def fault(self, names, command, master, back_after):
        """Master or replica of these groups is killed, hangs or loads, and revives later."""
        chosen = []
        for name in names:
            group = self.fleet.groups[name]
            candidates = [one for one in group.live() if (one == group.truth) == master]
            if candidates:
                chosen.append(candidates[0])
        if not chosen:
            return
        for address in chosen:
            self.findings.did("%s %s, %s of %s" % (command, address, "master" if master else
                              "replica", self.fleet.by_address[address].name))
        self.fleet.apply(command, chosen)
        self.count("%s %s" % (command, "master" if master else "replica"), len(chosen))
        for address, delay in zip(chosen, back_after):
            if delay is not None:
                self.schedule(delay, self.revive, [address])

    def revive(self, addresses):
        dead = [one for one in addresses if self.fleet.by_address[one].mode[one] != "alive"]
        for address in dead:
            self.findings.did("revive %s of %s" % (address, self.fleet.by_address[address].name))
        self.fleet.apply("revive", dead)

    def operate(self, name, number, kind, value):
        """kind: failover, reset, set."""
        group = self.fleet.groups[name]
        sentinel = self.sentinels[number]
        if sentinel.state != "up" or sentinel in self.tilts:
            return
        if kind == "failover" and not group.well():
            return
        group.touch()
        group.simple = False
        self.count("operator %s" % kind)
        self.findings.did("%s: SENTINEL %s %s" % (sentinel.name, kind, name))
        if kind == "set":
            group.down_after = max(group.down_after, value / 1000)
            targets = [one for one in self.sentinels if one.state == "up"]
            words = ("SENTINEL", "SET", name, "down-after-milliseconds", value)
        else:
            targets = [sentinel]
            words = ("SENTINEL", kind.upper(), name)
        for one in targets:
            future = self.pool.submit(operation, one.port, words)
            self.operations.append((future, group, one, kind))

    def collect_operations(self):
        waiting, self.operations = self.operations, []
        for entry in waiting:
            future, group, sentinel, kind = entry
            if not future.done():
                self.operations.append(entry)
                continue
            answer = future.result()
            self.findings.did("%s: SENTINEL %s %s answered %s" % (
                sentinel.name, kind, group.name, answer))
            group.touch()
            good = answer in ("OK", 1) or answer is None or (
                kind == "failover" and str(answer).startswith(("INPROG", "NOGOODSLAVE")))
            if not good:
                self.findings.add("%s: SENTINEL %s %s answered %s" % (
                    sentinel.name, kind, group.name, answer), group.name)

    # --- a round ---------------------------------------------------------------------------------

    def plan_storm(self, rng, length):
        names = sorted(self.fleet.groups)
        chosen, at = self.options, 0.0
        down_after = chosen.down_after / 1000

        def back():
            return rng.choice((rng.uniform(0.1, down_after), rng.uniform(down_after, 40.0),
                               rng.uniform(down_after + 2, 15.0), None))

        while True:
            at += rng.expovariate(chosen.rate)
            if at > length:
                break
            command = rng.choices(("kill", "hang", "loading"), (6, 3, 1))[0]
            name, master, delay = rng.choice(names), rng.random() < 0.75, back()
            self.schedule(at, self.fault, [name], command, master, [delay])
        for _ in range(rng.choice((0, 1, 1, 2))):
            many = rng.sample(names, max(1, int(len(names) * rng.uniform(0.05, 0.3))))
            at, command = rng.uniform(2, length), rng.choice(("kill", "kill", "hang"))
            self.schedule(at, self.fault, many, command, True, [back() for _ in many])
            if rng.random() < 0.4 and at < DISTURBED * length:
                self.schedule(at, self.disturb, rng.randrange(1, chosen.sentinels), "kill",
                              rng.uniform(0.5, 12))
        at = 0.0
        while True:
            at += rng.expovariate(1 / 6.0)
            if at > DISTURBED * length:
                break
            kind = rng.choice(("term", "kill", "stop", "stop"))
            number = rng.randrange(0 if kind == "stop" else 1, chosen.sentinels)
            length_of = rng.uniform(0.5, 4.0) if kind == "stop" else rng.uniform(0.1, 12.0)
            self.schedule(at, self.disturb, number, kind, length_of, rng.random() < 0.85)
        at = 0.0
        while True:
            at += rng.expovariate(chosen.rate / 12)
            if at > length:
                break
            kind = rng.choices(("failover", "reset", "set"), (5, 2, 2))[0]
            value = int(chosen.down_after * rng.choice((0.8, 1.0, 1.2)))
            self.schedule(at, self.operate, rng.choice(names), rng.randrange(chosen.sentinels),
                          kind, value)

    def storm(self, rng):
        self.phase, self.round_began = "storm", time.monotonic()
        length = rng.uniform(*STORM)
        self.findings.did("vedettes: round %d, a storm of %.0f s" % (self.round, length))
        self.plan_storm(rng, length)
        over = time.monotonic() + length
        self.calm_from = time.monotonic() + DISTURBED * length
        while time.monotonic() < over:
            self.tick()
        self.queue = []

    def settle(self):
        """Nobody touches anything; whoever lives must be served in the bound of judge_groups."""
        self.phase = "settle"
        while any(one.state != "up" for one in self.sentinels) or self.tilts or self.operations or (
                any(one.unserved_since and not one.reported
                    for one in self.fleet.groups.values())):
            self.tick()

    def heal(self):
        """Everything lives again; everybody has to agree in time."""
        self.phase = "heal"
        self.revive([one for group in self.fleet.groups.values() for one in group.members])
        begun = time.monotonic()
        bound = self.options.failover_timeout / 1000 + 45 + self.options.margin
        while True:
            self.tick()
            faults = self.cheap_faults(40)
            if not faults:
                faults = self.careful_faults()
            took = time.monotonic() - begun
            if not faults:
                self.heal_times.append(took)
                break
            if took > bound:
                self.findings.add("%.0f s after everything was revived: %s%s" % (
                    took, "; ".join(faults[:8]), " ..." if len(faults) > 8 else ""),
                    next((name for text in faults for name in re.findall(r"\bsim\d+\b", text)),
                         None))
                break
        self.phase = "quiet"
        self.flush_and_read()
        self.check_hellos()
        rested = time.monotonic() + 3
        while time.monotonic() < rested:
            self.tick()
        for sentinel in self.sentinels:
            sentinel.sample()
            sentinel.log.rotate()
        self.say("round %d: %s; memory %s MB" % (
            self.round, "all agree %.1f s after everything was revived" % took if not faults else
            "no agreement", " / ".join("%.1f" % one.samples[-1][1] for one in self.sentinels)))

    # --- agreement -------------------------------------------------------------------------------

    def cheap_faults(self, most):
        """What is wrong, from the last looks; empty when all seems well."""
        found = []
        for sentinel in self.sentinels:
            shot = sentinel.snapshot
            if sentinel.state != "up" or shot is None:
                return ["%s is not up" % sentinel.name]
            if shot.tilted:
                return ["%s is in TILT" % sentinel.name]
        for group in self.fleet.groups.values():
            fault = group.faults()
            if fault:
                found.append(fault)
            for sentinel in self.sentinels:
                shot, name = sentinel.snapshot, group.name
                if fault is None and shot.address.get(name) != group.truth:
                    found.append("%s: %s names %s, the master is %s" % (
                        name, sentinel.name, shot.address.get(name), group.truth))
                elif shot.replicas_of.get(name) != len(group.members) - 1:
                    found.append("%s: %s knows %s replicas" % (
                        name, sentinel.name, shot.replicas_of.get(name)))
                elif shot.sentinels_of.get(name) != len(self.sentinels):
                    found.append("%s: %s knows %s sentinels" % (
                        name, sentinel.name, shot.sentinels_of.get(name)))
            if len(found) >= most:
                return found
        return found

    def careful_faults(self):
        """The same from SENTINEL MASTERS and the fleet's connections."""
        found, epochs = [], {}
        for sentinel in self.sentinels:
            masters = sentinel.masters()
            if masters is None:
                return ["%s does not answer SENTINEL MASTERS" % sentinel.name]
            self.check_epochs(sentinel, masters)
            for one in masters:
                name, epoch = one["name"], int(one["config-epoch"])
                if one["flags"] != "master" or "failover-state" in one:
                    found.append("%s: flags %s %s at %s" % (
                        name, one["flags"], one.get("failover-state", ""), sentinel.name))
                if epochs.setdefault(name, epoch) != epoch:
                    found.append("%s: config epochs %d and %d" % (name, epochs[name], epoch))
                self.check_address(name, epoch, "%s:%s" % (one["ip"], one["port"]), sentinel)
            if sentinel.clients > len(self.sentinels):
                found.append("%s has %d clients; %d sentinels and we make %d" % (
                    sentinel.name, sentinel.clients, len(self.sentinels) - 1,
                    len(self.sentinels)))
        links = self.fleet.control("stats")["connections"]
        expected = 2 * len(self.fleet.by_address) * len(self.sentinels)
        if links != expected:
            found.append("the fleet holds %d links instead of %d" % (links, expected))
        return found

    def check_address(self, name, epoch, address, sentinel):
        known = self.addresses.setdefault((name, epoch), address)
        if epoch > 0 and known != address:
            self.addresses[name, epoch] = address
            self.findings.add("%s: config epoch %d was %s, %s says %s" % (
                name, epoch, known, sentinel.name, address), name)

    def flush_and_read(self):
        """sentinel.conf of each: epochs that never go back, and that fit."""
        for sentinel in self.sentinels:
            if operation(sentinel.port, ("SENTINEL", "FLUSHCONFIG")) != "OK":
                self.findings.add("%s: FLUSHCONFIG failed" % sentinel.name)
                continue
            with open(os.path.join(sentinel.directory, "sentinel.conf")) as file:
                lines = [line.split() for line in file if line.startswith("sentinel ")]
            current, replicas, peers = 0, {}, {}
            for words in lines:
                if words[1] == "current-epoch":
                    current = int(words[2])
                elif words[1] == "known-replica":
                    replicas[words[2]] = replicas.get(words[2], 0) + 1
                elif words[1] == "known-sentinel":
                    peers[words[2]] = peers.get(words[2], 0) + 1
            if current < sentinel.current_epoch:
                self.findings.add("%s: current-epoch %d in sentinel.conf, it announced %d" % (
                    sentinel.name, current, sentinel.current_epoch))
            sentinel.current_epoch = max(current, sentinel.current_epoch)
            for words in lines:
                if words[1] == "leader-epoch":
                    self.check_leader_epoch(sentinel, words[2], int(words[3]), current)
                elif words[1] == "config-epoch" and (
                        int(words[3]) < sentinel.known_epochs.get(words[2], 0)):
                    self.findings.add("%s: config-epoch %s of %s in sentinel.conf, it was %d" % (
                        sentinel.name, words[3], words[2], sentinel.known_epochs[words[2]]))
            for name, group in self.fleet.groups.items():
                counts = replicas.get(name, 0), peers.get(name, 0)
                if counts != (len(group.members) - 1, len(self.sentinels) - 1):
                    self.findings.add("%s: sentinel.conf of %s has %d replicas and %d sentinels" % (
                        name, sentinel.name, *counts), name)

    def check_leader_epoch(self, sentinel, name, epoch, current):
        if epoch < sentinel.leader_epochs.get(name, 0) or epoch > current:
            self.findings.add("%s: leader-epoch of %s is %d, it was %d; current-epoch is %d" % (
                sentinel.name, name, epoch, sentinel.leader_epochs.get(name, 0), current), name)
        sentinel.leader_epochs[name] = epoch

    def check_hellos(self):
        answer = self.fleet.control("hellos")
        for text in answer["findings"][getattr(self, "hellos_read", 0):]:
            self.findings.add("hello: " + text, text.split(":")[0])
        self.hellos_read = len(answer["findings"])
        self.hellos = answer

    # --- all -------------------------------------------------------------------------------------

    def run(self):
        self.start()
        while time.monotonic() < self.ends:
            self.round += 1
            rng = random.Random("%d:%d" % (self.options.seed, self.round))
            self.storm(rng)
            self.settle()
            self.heal()
        for sentinel in self.sentinels:
            complaint = sentinel.growth_complaint()
            if complaint:
                self.findings.add(complaint)

    def summary(self):
        def spread(times):
            times = sorted(times)
            if not times:
                return ["0", "", "", ""]
            return ["%d" % len(times)] + ["%.1f s" % times[int(q * (len(times) - 1))]
                                         for q in (0.5, 0.99, 1.0)]

        rows = [["outages (looks were up to %.1f s apart)" % self.widest, "count", "median",
                 "99 %", "worst"],
                ["  simple", *spread(self.simple_times)],
                ["  while something else was wrong, too", *spread(self.complex_times)],
                ["  of all, since the last thing that was done", *spread(self.after_last)],
                ["agreement after everything was revived", *spread(self.heal_times)]]
        for line in lab.table(rows):
            print(line)
        if self.simple_times:
            print("the slowest simple one: %s, %.1f s, over at %s" % (
                self.slowest[1], self.slowest[0], self.slowest[2]))
        rows = [["", "lives", "memory, first", "last", "MB an hour", "descriptors",
                 "slowest answer", "failovers led", "TILTs"]]
        for one in self.sentinels:
            growth = one.growth()
            grown = ["%.1f MB" % growth[0], "%.1f MB" % growth[1], "%+.1f" % growth[2],
                     "%d to %d" % growth[3:]] if growth else ["", "", "", ""]
            rows.append([one.name, str(one.incarnation), *grown, "%.2f s" % one.slowest,
                         str(one.log.counts.get("+promoted-slave", 0)),
                         str(one.log.counts.get("+tilt", 0))])
        for line in lab.table(rows):
            print(line)
        print("done to it: " + ", ".join("%d x %s" % (number, what)
                                         for what, number in sorted(self.counts.items())))
        total = {}
        for one in self.sentinels:
            for event, number in one.log.counts.items():
                total[event] = total.get(event, 0) + number
        print("events: " + ", ".join("%s %d" % (event, number) for event, number in
                                     sorted(total.items(), key=lambda item: -item[1])))
        if hasattr(self, "hellos"):
            print("hellos seen by the fleet: %d" % self.hellos["seen"])


def operation(port, words):
    """An operator's command; the reply, its error as text, or None without any."""
    try:
        resp = lab.Resp(port, timeout=20.0)
    except OSError:
        return None
    try:
        return resp.call(*words)
    except lab.RespError as error:
        return str(error)
    except (OSError, ValueError):
        return None
    finally:
        resp.close()


def interrupt(number, frame):
    raise Interrupted(number)


def main():
    chosen = options()
    lab.raise_file_limit()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    where = lab.Lab(keep=True)
    soak, code = Soak(chosen, where), 1
    print("seed %d, %d masters, %d vedettes, %.1f faults a second in a storm" % (
        chosen.seed, chosen.masters, chosen.sentinels, chosen.rate), flush=True)
    try:
        soak.run()
        code = 0
    except Interrupted as reason:
        code = 128 + reason.args[0]
        soak.say("interrupted; stopping everything")
    except (lab.LabError, OSError) as error:
        soak.say("FAILED: %s" % error)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if soak.live:
            sys.stdout.write("\r\x1b[K")
        soak.summary()
        complaints = where.stop_all()
        for complaint in complaints:
            soak.findings.add(complaint)
        where.keep = chosen.keep or bool(soak.findings.list) or code == 1
        where.close()
        if where.keep:
            print("logs and configurations are in %s" % where.directory)
        if soak.findings.list and code == 0:
            code = 1
        print("%d rounds in %.1f min, seed %d: %s" % (
            soak.round, (time.monotonic() - soak.began) / 60, chosen.seed,
            "%d findings" % len(soak.findings.list) if soak.findings.list else
            "all went right" if code == 0 else "exit code %d" % code), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
