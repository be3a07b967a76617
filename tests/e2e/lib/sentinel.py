"""A sentinel under test: a vedette or a redis-sentinel, started alike, watched alike."""

import os
import re
import threading
import time

import redis

from lib import conf
from lib.ports import free_port
from lib.process import Process
from lib.server import client, port_lines, tls_options
from lib.wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
VEDETTE = os.environ.get("VEDETTE_BIN", os.path.join(ROOT, "build", "release", "vedette"))
BINARY = {"vedette": VEDETTE, "redis": "redis-sentinel"}
IO = os.environ.get("VEDETTE_IO")  # "uring", "epoll"; unset: vedette chooses

LOG_LINE = re.compile(r"^(\d+):X (\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) ([.*#-]) (.*)$")


class Event:
    def __init__(self, at, channel, text):
        self.at, self.channel, self.text = at, channel, text

    def __repr__(self):
        return "%.3f %s %s" % (self.at, self.channel, self.text)


class Recorder:
    """PSUBSCRIBE * on a sentinel, in a thread; reconnects as long as it is not stopped."""

    def __init__(self, port, password=None, tls=None):
        self.port, self.password, self.tls = port, password, tls
        self.events = []
        self.connected = threading.Event()
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.leaving.is_set():
            try:
                subscriber = redis.Redis("127.0.0.1", self.port, decode_responses=True,
                                         password=self.password, socket_connect_timeout=2,
                                         **tls_options(self.tls)).pubsub()
                subscriber.psubscribe("*")
                while not self.leaving.is_set():
                    message = subscriber.get_message(timeout=0.05)
                    if message is None:
                        continue
                    if message["type"] == "psubscribe":
                        self.connected.set()
                    elif message["type"] == "pmessage":
                        self.events.append(
                            Event(time.monotonic(), message["channel"], message["data"]))
            except (redis.exceptions.RedisError, OSError):
                self.leaving.wait(0.05)
            self.connected.clear()

    def stop(self):
        self.leaving.set()
        self.thread.join(3)


class Sentinel(Process):
    """lines: what stands in sentinel.conf besides port, bind, dir and logfile (none of these when
    bare). Start it with start(), which returns once it answers. tls: a lib.tls.Identity, its port is
    a tls-port then."""

    def __init__(self, kind, name, directory, lines=(), port=None, bare=False, tls=None):
        super().__init__(name, directory)
        self.kind = kind
        self.port = port if port is not None else free_port()
        self.conf = os.path.join(directory, "sentinel.conf")
        self.log = os.path.join(directory, "sentinel.log")
        self.tls = tls
        self.head = [] if bare else port_lines(self.port, tls) + [
            "bind 127.0.0.1", "dir " + directory, "logfile " + self.log]
        self.write_conf(self.head + list(lines))
        self.command = [BINARY[kind], self.conf]
        self.io = IO
        self.client = client(self.port, **tls_options(tls))
        self.password = None
        self.recorder = None

    def use_password(self, password):
        self.password = password
        self.client = client(self.port, password=password, **tls_options(self.tls))

    def write_conf(self, lines):
        with open(self.conf, "w") as file:
            file.write("".join(line + "\n" for line in lines))

    def logs(self):
        shown = super().logs()
        if os.path.exists(self.log):
            shown.append(("%s (%s, port %d): log" % (self.name, self.kind, self.port), self.log))
        return shown

    # --- life -------------------------------------------------------------------------------------

    def spawn(self):
        """--io comes last, whatever starts the program in between hands it on."""
        before = self.command
        self.command = before + (["--io", self.io] if self._io_is_forced() else [])
        try:
            return super().spawn()
        finally:
            self.command = before

    def _io_is_forced(self):
        return self.io is not None and any(
            word == VEDETTE or os.path.basename(word) == "vedette" for word in self.command)

    def backend(self):
        """What it has open to talk to the kernel: "uring" or "epoll"."""
        kinds = {"anon_inode:[io_uring]": "uring", "anon_inode:[eventpoll]": "epoll"}
        found = set()
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            try:
                found.add(kinds.get(os.readlink("/proc/%d/fd/%s" % (self.pid, fd))))
            except OSError:
                pass  # closed meanwhile
        found.discard(None)
        assert len(found) == 1, "%s talks through %s" % (self.name, found or "nothing")
        return found.pop()

    def start(self, record=True):
        self.spawn()
        self.wait_answers()
        if self._io_is_forced():
            assert self.backend() == self.io
        if record:
            if self.recorder is None:
                self.recorder = Recorder(self.port, self.password, self.tls)
            wait_until(self.recorder.connected.is_set, 5, "subscribed to %s" % self.name)
        return self

    def wait_answers(self, patience=10.0):
        def answers():
            assert self.alive(), "%s ended: %s" % (self.name, self.child.returncode)
            return self.call("PING") == "PONG"
        wait_until(answers, patience, "%s answers" % self.name)

    def start_fails(self, patience=10.0):
        """It ends by itself; (exit code, what it said on its output during this start)."""
        before = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        self.spawn()
        code = self.wait_exit(patience)
        with open(self.output, errors="replace") as file:
            file.seek(before)
            return code, file.read()

    def end(self):
        if self.recorder is not None:
            self.recorder.stop()
        return super().end()

    # --- asking -----------------------------------------------------------------------------------

    def call(self, *words):
        return self.client.execute_command(*words)

    def sentinel(self, *words):
        return self.call("SENTINEL", *words)

    def pairs(self, *words):
        """A flat reply as a dict."""
        flat = self.sentinel(*words)
        return dict(zip(flat[::2], flat[1::2]))

    def master(self, name="mymaster"):
        return self.pairs("MASTER", name)

    def replicas(self, name="mymaster"):
        return [dict(zip(flat[::2], flat[1::2])) for flat in self.sentinel("REPLICAS", name)]

    def sentinels(self, name="mymaster"):
        return [dict(zip(flat[::2], flat[1::2])) for flat in self.sentinel("SENTINELS", name)]

    def master_port(self, name="mymaster"):
        address = self.sentinel("GET-MASTER-ADDR-BY-NAME", name)
        return int(address[1]) if address else None

    def info(self, section="sentinel"):
        text = self.call("INFO", section)
        return dict(line.split(":", 1) for line in text.split("\r\n")
                    if line and not line.startswith("#"))

    def vote(self, port, epoch, candidate):
        """[whom, epoch] it answers to a request for a vote. In its first moments a sentinel may
        not yet know the master, and promise nothing: then it is asked again."""
        def answer():
            told = self.sentinel("IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", str(port), str(epoch),
                                 candidate)[1:]
            return told if told != ["*", 0] else None
        return wait_until(answer, 3, "%s answers for the master" % self.name)

    def myid(self):
        return self.sentinel("MYID")

    # --- events and log ---------------------------------------------------------------------------

    @property
    def events(self):
        return self.recorder.events

    def mark(self):
        """A place in the events, for `since`."""
        return len(self.events)

    def find(self, channel, text="", since=0):
        """The first such event whose text contains text."""
        for event in self.events[since:]:
            if event.channel == channel and text in event.text:
                return event
        return None

    def wait_event(self, channel, text="", patience=10.0, since=0):
        return wait_until(lambda: self.find(channel, text, since), patience,
                          "%s: event %s %s" % (self.name, channel, text))

    def log_size(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    def log_lines(self, since=0):
        """[(level, text)]; lines that are not in the log's format (a banner) have level None."""
        found = []
        if os.path.exists(self.log):
            with open(self.log, "rb") as file:
                file.seek(since)
                for line in file.read().decode(errors="replace").splitlines():
                    match = LOG_LINE.match(line)
                    found.append((match.group(3), match.group(4)) if match else (None, line))
        return found

    def in_log(self, text, since=0):
        return [line for _, line in self.log_lines(since) if text in line]

    def wait_log(self, text, patience=10.0, since=0):
        return wait_until(lambda: self.in_log(text, since), patience,
                          "%s: log line with %r" % (self.name, text))

    # --- its file ---------------------------------------------------------------------------------

    def saved(self, word, name=None):
        """Value of a `sentinel` line of its file."""
        return conf.sentinel_value(self.conf, word, name)
