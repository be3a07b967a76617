"""Real clients find the master through vedette and follow it through a crash and a planned switch;
Prometheus' exporter reads it as it reads redis-sentinel. A client whose library is missing here is
skipped with a word."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from lib.ports import free_port
from lib.process import Process
from lib.sentinel import ROOT, Recorder
from lib.wait import wait_until
from lib.world import World, monitor_lines, wait_known, wait_switched

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
# Where tests/run puts ioredis and node-redis.
MODULES = os.environ.get("VEDETTE_NODE_MODULES", os.path.join(ROOT, "build", "clients",
                                                              "node_modules"))
NAMES = ["redis_py", "hiredis", "ioredis", "node_redis", "ruby_redis", "php_redis"]


def works(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def node_program(package, file):
    if shutil.which("node") is None:
        return "no node here"
    if not os.path.isdir(os.path.join(MODULES, package)):
        return "the npm package %s is not installed (tests/e2e/clients/package.json)" % package
    return ["env", "NODE_PATH=" + MODULES, "node", os.path.join(HERE, file)]


def build_hiredis(directory):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "hiredis"], capture_output=True,
                           text=True, check=False)
    if flags.returncode != 0 or shutil.which("cc") is None:
        return "no C compiler or no hiredis to build with"
    program = os.path.join(directory, "hiredis-client")
    subprocess.run(["cc", "-o", program, os.path.join(HERE, "hiredis.c")] + flags.stdout.split(),
                   check=True)
    return [program]


def program_of(name, directory):
    """Its command; or, a text, why there is none."""
    if name == "redis_py":
        return [sys.executable, os.path.join(HERE, "redis_py.py")]
    if name == "hiredis":
        return build_hiredis(directory)
    if name == "ioredis":
        return node_program("ioredis", "ioredis.js")
    if name == "node_redis":
        return node_program("redis", "node_redis.js")
    if name == "ruby_redis":
        if not works("ruby", "-e", 'require "redis"'):
            return "no ruby with its redis library here"
        return ["ruby", os.path.join(HERE, "ruby_redis.rb")]
    if not works("php", "-r", 'exit(class_exists("RedisSentinel") ? 0 : 1);'):
        return "no php with its redis extension here"
    return ["php", os.path.join(HERE, "php_redis.php")]


class Client(Process):
    """One of the programs in clients/."""

    def __init__(self, name, directory, command):
        super().__init__(name, directory)
        self.command = command

    def spawn(self):
        """With its standard input open as long as we are."""
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=output,
                                          stderr=output, cwd=self.directory)
        self.started = time.monotonic()
        return self

    def end(self):
        if not self.alive():
            return "%s ended by itself" % self.name
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        return None

    def lines(self):
        with open(self.output, errors="replace") as file:
            return file.read().splitlines()

    def last(self):
        """(value, port) of its last line if that tells of a write, else None."""
        lines = self.lines()
        match = re.fullmatch(r"ok (\d+) (\d+)", lines[-1]) if lines else None
        return tuple(map(int, match.groups())) if match else None

    def writes_to(self, server):
        """Writes go to that server: its own counter says so, whatever the client believes."""
        key = "counter-" + self.name
        before = int(server.client.execute_command("GET", key) or 0)
        time.sleep(0.3)
        return int(server.client.execute_command("GET", key) or 0) > before


class Drama:
    """What happened to all clients at once: calm, the master killed, the old one back, a planned
    switch. `trouble` holds what a client did wrong, per name."""

    def __init__(self, world):
        self.world = world
        self.missing, self.clients, self.trouble = {}, {}, {}
        self.listeners = []
        master, replicas = world.group(replicas=2)
        self.servers = {server.port: server for server in [master, *replicas]}
        self.sentinels = world.sentinels(["vedette"] * 3, master, down_after=1000)
        wait_known(self.sentinels, replicas=2)
        # As Jedis does it: a listener on each sentinel, and no question.
        self.listeners = [Recorder(sentinel.port) for sentinel in self.sentinels]
        for listener in self.listeners:
            wait_until(listener.connected.is_set, 5, "the listener is subscribed")
        ports = [str(sentinel.port) for sentinel in self.sentinels]
        for name in NAMES:
            os.makedirs(world.path("client-" + name))
            command = program_of(name, world.path("client-" + name))
            if isinstance(command, str):
                self.missing[name] = command
                continue
            client = Client(name, world.path("client-" + name), command + ["mymaster", *ports])
            world.processes.append(client)
            self.clients[name] = client.spawn()
        self.expect(master, "find the master")

        master.kill()
        second = self.servers[wait_switched(self.sentinels, master)]
        self.expect(second, "follow after the crash")

        master.start()
        master.wait_role("slave", of=second, patience=20)
        wait_known(self.sentinels, replicas=2)
        assert self.sentinels[0].sentinel("FAILOVER", "mymaster") == "OK"
        third = self.servers[wait_switched(self.sentinels, second)]
        second.wait_role("slave", of=third, patience=20)
        self.expect(third, "follow the planned switch")
        self.stragglers(third)
        self.switches = [(master.port, second.port), (second.port, third.port)]

    def expect(self, server, what):
        for name, client in self.clients.items():
            if name in self.trouble:
                continue
            try:
                wait_until(lambda: client.last() and client.writes_to(server), 20,
                           "%s: %s" % (name, what), interval=0.1)
            except AssertionError as error:
                self.trouble[name] = "%s\n%s" % (error, "\n".join(client.lines()[-20:]))

    def stragglers(self, master):
        """Nobody is left on a server that is a replica now."""
        def left():
            found = {}
            for server in self.servers.values():
                if server is not master:
                    listed = server.client.execute_command("CLIENT", "LIST")
                    for name in re.findall(r" name=client-(\w+)", listed):
                        found[name] = server.port
            return found
        deadline = time.monotonic() + 5
        while left() and time.monotonic() < deadline:
            time.sleep(0.1)
        for name, port in left().items():
            self.trouble.setdefault(name, "still connected to the replica at %d" % port)


@pytest.fixture(scope="module")
def drama(request, tmp_path_factory):
    kind = request.config.getoption("--implementation")
    world = World(str(tmp_path_factory.mktemp("clients")), kind)
    request.node.world = world
    try:
        drama = Drama(world)
        yield drama
        for listener in drama.listeners:
            listener.stop()
    finally:
        complaints = world.close()
    assert not complaints, "; ".join(complaints)


@pytest.mark.vedette_only
@pytest.mark.parametrize("name", NAMES)
def test_follows(drama, name):
    if name in drama.missing:
        pytest.skip(drama.missing[name])
    assert name not in drama.trouble, drama.trouble[name]


@pytest.mark.vedette_only
def test_listener_hears_each_switch_once(drama):
    """A Jedis-like pool lives on +switch-master alone, from any of the sentinels."""
    for listener in drama.listeners:
        told = [event.text for event in listener.events if event.channel == "+switch-master"]
        assert told == ["mymaster 127.0.0.1 %d 127.0.0.1 %d" % switch
                        for switch in drama.switches], told


@pytest.mark.vedette_only
def test_death_is_seen_at_once(world):
    """Who sees a server's connection break and asks, is told `disconnected`, although links gather
    for a while: node-redis would else wait for the dead server for ever."""
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", monitor_lines(master, down_after=60000)).start()
    wait_known([sentinel], replicas=1)
    def die(server):
        """Its descriptors are closed in the order of their numbers: the last of ours, last."""
        witnesses = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(16)]
        for witness in witnesses:
            witness.sendall(b"PING\r\n")
            assert witness.recv(100) == b"+PONG\r\n"
        server.kill()
        for witness in witnesses:
            try:
                assert witness.recv(100) == b""
            except ConnectionResetError:
                pass
            witness.close()

    for _ in range(6):
        die(master)
        assert "disconnected" in sentinel.master()["flags"]
        die(replica)
        assert "disconnected" in sentinel.replicas()[0]["flags"]
        master.start()
        replica.start()
        wait_known([sentinel], replicas=1)


# --- Prometheus -----------------------------------------------------------------------------------

EXPORTER = shutil.which("prometheus-redis-exporter") or shutil.which("redis_exporter")


def metrics(world, sentinel):
    """{metric with its labels: value}."""
    port = free_port()
    exporter = Process("exporter of " + sentinel.name, world.path("exporter-" + sentinel.name))
    exporter.command = [EXPORTER, "-redis.addr", "redis://127.0.0.1:%d" % sentinel.port,
                        "-web.listen-address", "127.0.0.1:%d" % port]
    world.processes.append(exporter)
    exporter.spawn()

    def page():
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=5) as answer:
            return answer.read().decode()
    text = wait_until(page, 10, "the exporter answers")
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.vedette_only
@pytest.mark.skipif(EXPORTER is None, reason="prometheus-redis-exporter is not installed")
def test_exporter(world):
    """What it reads from vedette beside what it reads from redis-sentinel."""
    master, _ = world.group(replicas=1)
    pair = world.sentinels(["vedette", "redis"], master)
    wait_known(pair, replicas=1)
    ours, theirs = [metrics(world, sentinel) for sentinel in pair]
    assert ours["redis_up"] == "1"
    label = 'master_name="mymaster"'
    for name in ("redis_sentinel_masters", "redis_sentinel_tilt",
                 "redis_sentinel_running_scripts", "redis_sentinel_scripts_queue_length",
                 "redis_sentinel_simulate_failure_flags"):
        assert ours[name] == theirs[name], name
    wanted = [key for key in theirs if key.startswith("redis_sentinel_master") and label in key]
    assert wanted, sorted(theirs)
    for key in wanted:
        assert ours.get(key) == theirs[key], key
    lost = {key.split("{")[0] for key in theirs if key.startswith("redis_")} - {
        key.split("{")[0] for key in ours}
    assert not lost, lost
