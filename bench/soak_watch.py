"""What bench/soak watches: sentinels that come and go, their logs, the groups, epochs, memory."""

import datetime
import os
import re
import time

import lab

LINE = re.compile(r"^\d+:\S (\d+ \w+ \d+ \d+:\d+:\d+\.\d+) \S (.*)$")
INFO_PATIENCE = 6.0     # s an INFO may take on a busy machine before that is a finding
RSS_MB, RSS_SHARE = 4.0, 0.10  # growth between quiet phases beyond both is a finding


def wall_clock(text):
    """Seconds since the epoch of a log line's time, or None."""
    try:
        return datetime.datetime.strptime(text, "%d %b %Y %H:%M:%S.%f").timestamp()
    except ValueError:
        return None


class Watched(lab.Sentinel):
    """A vedette that is killed, stopped and restarted on purpose."""

    def __init__(self, name, binary, directory, lines, tilt_period):
        super().__init__(name, binary, directory, lines)
        self.tilt_period = tilt_period
        self.state = "down"        # up, stopped, leaving, down
        self.until = 0.0           # when stopped ends, down ends, leaving must have ended
        self.resp = None
        self.known_epochs = {}     # group → greatest config epoch it ever said
        self.current_epoch, self.current_epoch_at = 0, 0.0
        self.leader_epochs = {}
        self.samples = []          # (time, RSS in MB, descriptors, incarnation)
        self.incarnation = 0
        self.log = Log(self.log_path)
        self.slowest = 0.0
        self.clients = 0

    def start(self):
        lab.Process.start(self)
        self.state, self.snapshot = "up", None
        self.answered_at = self.started
        self.incarnation += 1
        self.hang_up()
        return self

    def stop(self, patience=10.0):
        self.hang_up()
        if self.state == "stopped":
            self.child.send_signal(lab.signal.SIGCONT)
        if self.state == "down":
            return None
        return lab.Process.stop(self, patience)

    def hang_up(self):
        if self.resp is not None:
            self.resp.close()
        self.resp = None

    def call(self, *words):
        """A reply, or None when the connection fails."""
        begun = time.monotonic()
        try:
            if self.resp is None:
                self.resp = lab.Resp(self.port, timeout=INFO_PATIENCE)
                self.resp.call("SENTINEL", "DEBUG", "tilt-period", int(self.tilt_period * 1000))
            return self.resp.call(*words)
        except (OSError, ValueError, lab.RespError):
            self.hang_up()
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def poll(self):
        """Takes a new snapshot; false when there was no answer."""
        text = self.call("INFO", "sentinel", "clients")
        if text is None:
            return False
        self.snapshot = lab.Snapshot(text, time.monotonic())
        found = re.search(r"^connected_clients:(\d+)", text, re.M)
        self.clients = int(found.group(1)) if found else 0
        return True

    def masters(self):
        """SENTINEL MASTERS as dictionaries, or None."""
        answer = self.call("SENTINEL", "MASTERS")
        if answer is None:
            return None
        return [dict(zip(one[0::2], one[1::2])) for one in answer]

    def descriptors(self):
        """Open files, and the direct descriptors of links, which are no files of the process."""
        found = re.search(r"^vedette_links_direct:(\d+)", self.call("INFO", "vedette") or "", re.M)
        try:
            return len(os.listdir("/proc/%d/fd" % self.pid)) + (int(found.group(1)) if found else 0)
        except OSError:
            return 0

    def sample(self):
        self.samples.append((time.monotonic(), self.memory_mb(), self.descriptors(),
                             self.incarnation))

    def longest_life(self):
        """The samples of the incarnation that has the most, without its first."""
        lives = {}
        for sample in self.samples:
            lives.setdefault(sample[3], []).append(sample)
        return max(lives.values(), key=len)[1:] if lives else []

    def growth(self):
        """(first MB, last MB, slope in MB an hour, fewest and most descriptors) or None."""
        life = self.longest_life()
        if len(life) < 2:
            return None
        mean_t = sum(one[0] for one in life) / len(life)
        mean_m = sum(one[1] for one in life) / len(life)
        spread = sum((one[0] - mean_t) ** 2 for one in life)
        slope = sum((one[0] - mean_t) * (one[1] - mean_m) for one in life) / spread
        files = [one[2] for one in life]
        return life[0][1], life[-1][1], slope * 3600, min(files), max(files)

    def growth_complaint(self):
        found = self.growth()
        if found is None or len(self.longest_life()) < 3:
            return None
        first, last, _, fewest, most = found
        if last - first > max(RSS_MB, RSS_SHARE * first):
            return "memory of %s grew from %.1f to %.1f MB" % (self.name, first, last)
        if most - fewest > 4:
            return "%s has %d descriptors, it had %d" % (self.name, most, fewest)
        return None


class Log:
    """Follows a log over rotations; counts events, and keeps all files for histories."""

    def __init__(self, path):
        self.path, self.files, self.number = path, [], 0
        self.kept = []        # paths of rotated files
        self.rests = {}
        self.counts = {}
        self.new_epochs = []  # unread

    def rotate(self):
        self.number += 1
        name = "%s.%d" % (self.path, self.number)
        try:
            os.rename(self.path, name)
            self.kept.append(name)
        except OSError:
            pass
        while len(self.kept) > 6:
            os.unlink(self.kept.pop(0))

    def follow(self):
        """Reads what is new; returns its (wall time, text) lines."""
        try:
            inode = os.stat(self.path).st_ino
            if not any(os.fstat(one.fileno()).st_ino == inode for one, _ in self.files):
                self.files.append((open(self.path, errors="replace"), time.monotonic()))
        except OSError:
            pass
        lines = []
        for index, (file, _) in enumerate(list(self.files)):
            text = self.rests.pop(file, "") + file.read()
            head, _, rest = text.rpartition("\n")
            if rest:
                self.rests[file] = rest
            for line in head.split("\n") if head else ():
                found = LINE.match(line)
                if found:
                    lines.append((found.group(1), found.group(2)))
                    event = found.group(2).split(" ", 1)[0]
                    if event[:1] in "+-":
                        self.counts[event] = self.counts.get(event, 0) + 1
        # An old file gets its last lines within a second of the rotation.
        while len(self.files) > 1 and time.monotonic() - self.files[1][1] > 5.0:
            self.files.pop(0)[0].close()
        return lines

    def grep(self, pattern, since):
        """(wall time, text) of lines that match, of all files kept."""
        found = []
        for path in self.kept + [self.path]:
            try:
                with open(path, errors="replace") as file:
                    for line in file:
                        parsed = LINE.match(line)
                        if parsed and pattern.search(parsed.group(2)):
                            at = wall_clock(parsed.group(1))
                            if at is not None and at >= since:
                                found.append((at, parsed.group(2)))
            except OSError:
                pass
        return found


class Group:
    """What is true of one group, and how long it has been without the service it should have."""

    def __init__(self, name, down_after):
        self.name = name
        self.down_after = down_after
        self.members = []          # addresses
        self.mode, self.role, self.master, self.link = {}, {}, {}, {}
        self.touched = [0.0]       # times we did something to it
        self.unserved_since = None
        self.simple = False        # nothing else was wrong when the outage began
        self.reported = False
        self.truth = None          # address of the one living master, if there is exactly one
        self.truth_at = 0.0
        self.served_by = None
        self.forced_at = -1e9      # SENTINEL FAILOVER was accepted

    def touch(self):
        self.touched = self.touched[-3:] + [time.monotonic()]

    def live(self):
        return [address for address in self.members if self.mode[address] == "alive"]

    def well(self):
        return self.truth is not None and len(self.live()) == len(self.members) and all(
            self.link[one] == "up" for one in self.members if one != self.truth)

    def faults(self):
        """What is not as it should be when everything lives, or None."""
        masters = [one for one in self.members if self.role[one] == "master"]
        if len(self.live()) != len(self.members):
            return "%s: not all of it lives" % self.name
        if len(masters) != 1:
            return "%s: %d masters (%s)" % (self.name, len(masters), ", ".join(masters))
        for one in self.members:
            if one != masters[0] and self.master[one] != masters[0]:
                return "%s: %s follows %s, the master is %s" % (
                    self.name, one, self.master[one], masters[0])
            if one != masters[0] and self.link[one] != "up":
                return "%s: the link of %s to its master is down" % (self.name, one)
        return None


class Fleet(lab.Fleet):
    """The simulated fleet with the groups as the soak knows them."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.groups = {}
        self.by_address = {}

    def learn(self, down_after):
        for one in self.control("status"):
            group = self.groups.setdefault(one["group"], Group(one["group"], down_after))
            group.members.append(one["address"])
            self.by_address[one["address"]] = group
        self.look()

    def look(self):
        """Modes, roles and links now. Returns groups whose master changed."""
        now, changed = time.monotonic(), []
        for one in self.control("status"):
            group, address = self.by_address[one["address"]], one["address"]
            group.mode[address], group.role[address] = one["mode"], one["role"]
            group.master[address], group.link[address] = one.get("master"), one.get("link")
        for group in self.groups.values():
            masters = [one for one in group.live() if group.role[one] == "master"]
            truth = masters[0] if len(masters) == 1 else None
            if truth is not None and truth != group.truth:
                changed.append(group)
                group.truth_at = now
            group.truth = truth if truth is not None else None
        return changed

    def apply(self, command, addresses):
        """kill, hang, loading or revive many instances, in requests the fleet takes."""
        for start in range(0, len(addresses), 60):
            self.control("%s %s" % (command, " ".join(addresses[start:start + 60])))
        mode = {"kill": "killed", "hang": "hung", "loading": "loading", "revive": "alive"}[command]
        for address in addresses:
            group = self.by_address[address]
            group.mode[address] = mode
            group.touch()


class Findings:
    """What was wrong, each with the history of its group."""

    def __init__(self, say, directory):
        self.say, self.kept_in, self.file = say, directory, None
        self.list = []
        self.actions = []   # (wall time, text) of what we did
        self.sentinels = []

    def did(self, text):
        """Also written to the file "actions" beside the logs."""
        now = time.time()
        self.actions.append((now, text))
        del self.actions[:-60000]
        if self.file is None:
            self.file = open(os.path.join(self.kept_in, "actions"), "w", 1)
        self.file.write("%s %s\n" % (
            datetime.datetime.fromtimestamp(now).strftime("%H:%M:%S.%f")[:-3], text))

    def history(self, group, seconds=150.0, most=160):
        """Everything known of a group lately, as lines."""
        since = time.time() - seconds
        pattern = re.compile(r"\b%s\b|^[+-]tilt|Sentinel ID is|voted for" % re.escape(group))
        named = re.compile(r"\b%s\b" % re.escape(group))
        events = [(at, "      soak", text) for at, text in self.actions
                  if at >= since and (named.search(text) or
                                      text.startswith("vedette") and "SENTINEL" not in text)]
        for sentinel in self.sentinels:
            events += [(at, "%10s" % sentinel.name, text)
                       for at, text in sentinel.log.grep(pattern, since)
                       if "voted for" not in text or group in text]
        events.sort(key=lambda event: event[0])
        lines = ["%s  %s  %s" % (datetime.datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3],
                                 who, text) for at, who, text in events]
        cut = len(lines) - most
        return (["(%d older lines left out)" % cut] if cut > 0 else []) + lines[-most:]

    def add(self, text, group=None):
        self.list.append(text)
        number = len(self.list)
        if number > 40:
            return
        self.say("VIOLATION %d: %s" % (number, text))
        if group is not None:
            lines = self.history(group)
            for line in lines if number <= 4 else ():
                self.say("    | " + line)
            with open(os.path.join(self.kept_in, "violation-%d" % number), "w") as file:
                file.write("%s\n%s\n" % (text, "\n".join(lines)))
