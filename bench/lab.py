"""What the demo and the benchmarks share: processes with an end, RESP, sentinels that are watched.

Standard library only (Debian 12's python3). Everything a Lab starts, it stops; processes are ended
by their own pid, and die with this one. Times are seconds of time.monotonic(), the clock that the
fleet reports too.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

PROCESS_CLOCK = 2  # of another process: clock_getcpuclockid(3)
PORTS = (12000, 30000)  # below the range that outgoing connections take theirs from
_handed_out = set()
# util-linux; execs the program in its own place, so the pid stays.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


class LabError(Exception):
    """Something that makes going on pointless; its text is for the person who waits."""


def free_port():
    """A port that nothing listens on now, and that this process has not handed out before."""
    for _ in range(1000):
        port = random.randint(*PORTS)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise LabError("no free port between %d and %d" % PORTS)


def raise_file_limit():
    """Thousands of links: take as many files as the hard limit gives (children inherit it)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass


# --- RESP ----------------------------------------------------------------------------------------


class RespError(Exception):
    """An error reply."""


class Resp:
    """A connection that sends requests and reads RESP2 replies, in blocking calls."""

    def __init__(self, port, host="127.0.0.1", timeout=5.0):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *words):
        encoded = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(encoded)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            data = self.file.read(length + 2)
            if len(data) != length + 2:
                raise ConnectionError("connection closed")
            return data[:-2].decode(errors="replace")
        if kind == b"*":
            return None if int(rest) < 0 else [self.read() for _ in range(int(rest))]
        raise ConnectionError("not RESP: %r" % line[:40])

    def call(self, *words):
        self.send(*words)
        return self.read()


def ask(port, *words, timeout=2.0):
    """One request on a connection of its own; None when nobody answers."""
    try:
        resp = Resp(port, timeout=timeout)
    except OSError:
        return None
    try:
        return resp.call(*words)
    except (OSError, ValueError, RespError):
        return None
    finally:
        resp.close()


# --- processes -----------------------------------------------------------------------------------


class Process:
    """A child with its own directory and output file."""

    cores = None   # the list of cores that it may run on, in the words of taskset

    def __init__(self, name, command, directory):
        self.name, self.command, self.directory = name, command, directory
        self.output = os.path.join(directory, "output")
        self.child = None
        self.started = None
        self.killed = False

    def start(self):
        self.started = time.monotonic()
        pinned = ["taskset", "-c", self.cores] if self.cores else []
        with open(self.output, "ab") as output:
            # A session of its own: a Ctrl-C on the terminal is for us, we end it in order.
            self.child = subprocess.Popen(
                _DIE_WITH_PARENT + pinned + self.command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, cwd=self.directory, start_new_session=True)
        self.killed = False
        return self

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """kill -9; returns when it was sent."""
        self.killed = True
        self.child.kill()
        at = time.monotonic()
        self.child.wait()
        return at

    def stop(self, patience=10.0):
        """SIGTERM, then SIGKILL; returns None when it ended well, else what was wrong."""
        if self.child is None or self.killed:
            return None
        if self.child.poll() is not None:
            code = self.child.returncode
            return "%s had ended by itself (%s)" % (
                self.name, "signal %d" % -code if code < 0 else "exit code %d" % code)
        self.child.terminate()
        try:
            code = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return "%s did not stop within %.0f s of SIGTERM" % (self.name, patience)
        return None if code in (0, -signal.SIGTERM) else "%s stopped with exit code %d" % (
            self.name, code)

    def cpu_seconds(self):
        """User and system time of all its threads, exact."""
        try:
            return time.clock_gettime(~self.pid << 3 | PROCESS_CLOCK)
        except OSError:
            return float("nan")

    def memory_mb(self):
        try:
            with open("/proc/%d/status" % self.pid) as file:
                return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024
        except (OSError, AttributeError):
            return float("nan")

    def last_words(self, lines=12):
        """The end of what it wrote, for an error message."""
        words = []
        for path in (self.output, os.path.join(self.directory, "sentinel.log")):
            try:
                with open(path, errors="replace") as file:
                    words += file.read().splitlines()[-lines:]
            except OSError:
                pass
        return "\n".join("  | " + word for word in words if word.strip())


class Fleet(Process):
    """bench/fleet, driven through its control port."""

    def __init__(self, binary, directory, masters, replicas=1, down_after=5000,
                 failover_timeout=60000, quorum=2, prefix="sim", extra=()):
        self.conf_path = os.path.join(directory, "lines.conf")
        super().__init__("the simulated fleet", [
            binary, "--masters", str(masters), "--replicas", str(replicas), "--conf-lines",
            self.conf_path, "--down-after", str(down_after), "--failover-timeout",
            str(failover_timeout), "--quorum", str(quorum), "--prefix", prefix,
            *extra], directory)
        self.connection = None

    def start(self):
        super().start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.alive():
            with open(self.output, errors="replace") as file:
                ready = re.search(r"^ready control=127\.0\.0\.1:(\d+)", file.read(), re.M)
            if ready:
                self.connection = socket.create_connection(("127.0.0.1", int(ready.group(1))), 15)
                self.reader = self.connection.makefile("r")
                return self
            time.sleep(0.02)
        raise LabError("the simulated fleet did not start:\n" + self.last_words())

    def control(self, line):
        self.connection.sendall(line.encode() + b"\n")
        answer = json.loads(self.reader.readline() or '{"error": "the fleet is gone"}')
        if isinstance(answer, dict) and answer.get("error"):
            raise LabError("fleet: `%s`: %s" % (line, answer["error"]))
        return answer

    def conf_lines(self):
        with open(self.conf_path) as file:
            return file.read()


class RedisServer(Process):
    """A real redis-server on 127.0.0.1."""

    def __init__(self, name, directory, follows=None, binary="redis-server"):
        os.makedirs(directory, exist_ok=True)
        self.port = free_port()
        conf = os.path.join(directory, "redis.conf")
        with open(conf, "w") as file:
            file.write("port %d\nbind 127.0.0.1\nsave \"\"\nappendonly no\ndir %s\n"
                       "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
                       % (self.port, directory))
            if follows:
                file.write("replicaof 127.0.0.1 %d\n" % follows)
        super().__init__(name, [binary, conf], directory)

    def role(self):
        answer = ask(self.port, "ROLE", timeout=1.0)
        return answer or [None]

    def wait_ready(self, patience=20.0):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self.alive():
            role = self.role()
            if role[0] == "master" or (role[0] == "slave" and role[3] == "connected"):
                return self
            time.sleep(0.05)
        raise LabError("%s did not become ready:\n%s" % (self.name, self.last_words()))


# --- sentinels -----------------------------------------------------------------------------------

_MASTER = re.compile(
    r"^master\d+:name=([^,]+),status=([a-z]+),address=([^,]*),slaves=(\d+),sentinels=(\d+)", re.M)


class Snapshot:
    """What one INFO sentinel said."""

    def __init__(self, text, at):
        self.at = at
        self.states = {"ok": 0, "sdown": 0, "odown": 0}
        self.address, self.replicas_of, self.sentinels_of = {}, {}, {}
        for name, status, address, replicas, sentinels in _MASTER.findall(text):
            self.states[status] = self.states.get(status, 0) + 1
            self.address[name] = address
            self.replicas_of[name] = int(replicas)
            self.sentinels_of[name] = int(sentinels)
        tilt = re.search(r"^sentinel_tilt:(\d)", text, re.M)
        self.tilted = bool(tilt and tilt.group(1) == "1")

    @property
    def masters(self):
        return len(self.address)

    @property
    def replicas(self):
        return sum(self.replicas_of.values())

    def complete(self, masters, sentinels):
        """How many of the masters have their replica and every sentinel known."""
        return sum(1 for name in self.address
                   if self.replicas_of[name] >= 1 and self.sentinels_of[name] >= sentinels)


class Sentinel(Process):
    """One vedette or redis-sentinel, its events read as they come, its INFO polled."""

    def __init__(self, name, binary, directory, lines, channels=()):
        self.channels = channels    # none: every event there is
        self.port = free_port()
        os.makedirs(directory, exist_ok=True)
        self.log_path = os.path.join(directory, "sentinel.log")
        conf = os.path.join(directory, "sentinel.conf")
        with open(conf, "w") as file:
            file.write("port %d\nbind 127.0.0.1\nprotected-mode no\ndir %s\nlogfile %s\n%s"
                       % (self.port, directory, self.log_path, lines))
        super().__init__(name, [binary, conf], directory)
        self.events = []            # (time, type, text), appended by the thread below
        self.snapshot = None        # the latest
        self.poll_period = 0.25     # None: do not ask
        self.on_snapshot = None     # called in the polling thread with every new one
        self.connected = threading.Event()
        self.leaving = threading.Event()
        self.threads = []

    def start(self):
        super().start()
        for loop in (self._event_loop, self._poll_loop):
            thread = threading.Thread(target=loop, daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def stop(self, patience=10.0):
        self.leaving.set()
        result = super().stop(patience)
        for thread in self.threads:
            thread.join(1.0)
        return result

    def _event_loop(self):
        while not self.leaving.is_set():
            try:
                resp = Resp(self.port, timeout=5.0)
            except OSError:
                self.leaving.wait(0.02)
                continue
            try:
                resp.call(*(("SUBSCRIBE",) + tuple(self.channels) if self.channels
                            else ("PSUBSCRIBE", "*")))
                for _ in self.channels[1:]:
                    resp.read()
                self.connected.set()
                resp.socket.settimeout(None)
                while True:
                    message = resp.read()
                    self.events.append((time.monotonic(), message[-2], message[-1]))
            except (OSError, ValueError, RespError, IndexError, TypeError):
                pass
            resp.close()
            self.leaving.wait(0.1)

    def _poll_loop(self):
        resp = None
        while not self.leaving.is_set():
            period = self.poll_period
            if period is None:
                self.leaving.wait(0.05)
                continue
            begun = time.monotonic()
            try:
                if resp is None:
                    resp = Resp(self.port, timeout=30.0)
                self.snapshot = Snapshot(resp.call("INFO", "sentinel"), time.monotonic())
                if self.on_snapshot:
                    self.on_snapshot(self, self.snapshot)
            except (OSError, ValueError, RespError, TypeError):
                if resp is not None:
                    resp.close()
                resp = None
                self.leaving.wait(0.05)
                continue
            self.leaving.wait(max(0.02, period - (time.monotonic() - begun)))

    def count_in_log(self, event):
        """How many lines of the log announce that event."""
        needle = (" %s " % event).encode()
        try:
            with open(self.log_path, "rb") as file:
                return sum(1 for line in file if needle in line)
        except OSError:
            return 0


# --- the laboratory ------------------------------------------------------------------------------


class Lab:
    """Owns a temporary directory and every process; leaving it stops them all."""

    def __init__(self, keep=False):
        self.directory = tempfile.mkdtemp(prefix="vedette-bench-")
        self.keep = keep
        self.processes = []
        self.complaints = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def subdirectory(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def add(self, process):
        self.processes.append(process)
        return process.start()

    def check(self):
        """Raises when something that should run has ended."""
        for process in self.processes:
            if not process.killed and not process.alive():
                raise LabError("%s ended by itself, exit code %s:\n%s" % (
                    process.name, process.child.returncode, process.last_words()))

    def stop_all(self):
        """Stops everything, newest first, each kind together; returns complaints."""
        processes, self.processes = self.processes[::-1], []
        threads, found = [], []
        for process in processes:
            thread = threading.Thread(
                target=lambda p=process: found.append(p.stop()), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(20.0)
        complaints = [complaint for complaint in found if complaint]
        self.complaints += complaints
        return complaints

    def close(self):
        try:
            self.stop_all()
        finally:
            if not self.keep:
                shutil.rmtree(self.directory, ignore_errors=True)


class Promotions:
    """Who was promoted when after a kill, and when every sentinel had switched."""

    def __init__(self, fleet, sentinels):
        self.fleet, self.sentinels = fleet, sentinels
        self.killed_at = {}    # group → time
        self.promoted = {}     # group → (seconds after its kill, new address)
        self.switched = {}     # (sentinel's name, group) → seconds after its kill
        self._read = {sentinel.name: len(sentinel.events) for sentinel in sentinels}

    def kill(self, count, how="kill"):
        """Kills that many simulated masters at one instant; or hangs them; `how` may be two words:
        kill from 100 (the first of them)."""
        command, _, rest = how.partition(" ")
        answer = self.fleet.control(("%s %d %s" % (command, count, rest)).strip())
        at = answer["at_monotonic_ms"] / 1000
        for instance in answer["instances"]:
            self.killed_at[instance["group"]] = at
        return at

    def killed_other(self, group, at):
        """A master outside the fleet was killed."""
        self.killed_at[group] = at

    def update(self):
        for record in self.fleet.control("promotions"):
            if record["ms"] is not None and record["group"] in self.killed_at:
                self.promoted[record["group"]] = (record["ms"] / 1000, record["address"])
        for sentinel in self.sentinels:
            events, start = sentinel.events, self._read[sentinel.name]
            self._read[sentinel.name] = end = len(events)
            for at, kind, text in events[start:end]:
                if kind == "+switch-master":
                    group = text.split()[0]
                    if group in self.killed_at:
                        self.switched[sentinel.name, group] = at - self.killed_at[group]
        # An event that was missed (a connection was cut) shows in the polled state.
        for sentinel in self.sentinels:
            snapshot = sentinel.snapshot
            for group, (_, address) in self.promoted.items() if snapshot else ():
                key = sentinel.name, group
                if key not in self.switched and snapshot.address.get(group) == address:
                    self.switched[key] = snapshot.at - self.killed_at[group]

    def times(self, groups=None):
        return sorted(seconds for group, (seconds, _) in self.promoted.items()
                      if groups is None or group in groups)

    def all_promoted(self):
        return len(self.promoted) == len(self.killed_at)

    def all_agree(self):
        return self.all_promoted() and len(self.switched) == len(self.killed_at) * len(
            self.sentinels)

    def agreed_after(self):
        return max(self.switched.values()) if self.all_agree() else None

    def disagreements(self):
        """Where a sentinel's address of a master differs from the fleet's, asked now."""
        truth = self.fleet.control("masters")
        wrong = []
        for sentinel in self.sentinels:
            text = ask(sentinel.port, "INFO", "sentinel", timeout=20.0) or ""
            snapshot = Snapshot(text, time.monotonic())
            for group, address in truth.items():
                if snapshot.address.get(group) != address:
                    wrong.append("%s has %s at %s, the fleet at %s" % (
                        sentinel.name, group, snapshot.address.get(group), address))
        return wrong


class SwitchOfOne:
    """The same for one master that is no part of the fleet, with its only replica."""

    def __init__(self, sentinels, group, killed_at):
        self.sentinels, self.group, self.killed_at = sentinels, group, killed_at
        self.promoted = None   # seconds after the kill
        self.switched = {}     # sentinel's name → seconds after the kill

    def update(self, replica):
        """Looks; true when the replica is master and every sentinel has said so."""
        if self.promoted is None and replica.role()[0] == "master":
            self.promoted = time.monotonic() - self.killed_at
        for sentinel in self.sentinels:
            for at, kind, text in sentinel.events:
                if kind == "+switch-master" and text.split()[0] == self.group and (
                        at > self.killed_at):
                    self.switched.setdefault(sentinel.name, at - self.killed_at)
        return self.promoted is not None and len(self.switched) == len(self.sentinels)

    def agreed_after(self):
        return max(self.switched.values())


def first_median_last(times):
    if not times:
        return None, None, None
    return times[0], statistics.median(times), times[-1]


def program_label(binary):
    return os.path.basename(binary)


def find_program(name, where):
    """An executable: a path, a name on PATH, or `where` when that exists."""
    path = name if os.sep in name else where if os.access(where, os.X_OK) else shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        raise LabError("cannot run '%s': build it first (cmake --preset release && "
                       "cmake --build --preset release)" % name)
    return os.path.abspath(path)


def table(rows, aligned="<", gap="  "):
    """Rows of texts as lines with aligned columns; further columns are right-aligned."""
    columns = max(len(row) for row in rows)
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(columns)]
    return [gap.join(("%-*s" if k == 0 else "%*s") % (widths[k], cell)
                     for k, cell in enumerate(row)).rstrip() for row in rows]
