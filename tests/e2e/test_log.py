"""The log: Valkey's formats, levels, syslog, and what is said at debug level about links."""

import datetime
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from lib.ports import free_port
from lib.wait import stays, wait_until

TIMES = {
    "legacy": r"\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}",
    "iso8601": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d",
    "milliseconds": r"\d{13}",
}


def monitor():
    return "sentinel monitor mymaster 127.0.0.1 %d 1" % free_port()


def raw(sentinel):
    with open(sentinel.log) as file:
        return file.read().splitlines()


def logfmt(line):
    """A parser as log shippers have it: bare or quoted values, backslash escapes in quotes."""
    found, rest = {}, line
    while rest:
        match = re.match(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)(?: |$)', rest)
        assert match, "no logfmt: %r in %r" % (rest, line)
        key, value = match.groups()
        found[key] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
        rest = rest[match.end():]
    return found


# --- Valkey's formats -----------------------------------------------------------------------------


@pytest.mark.vedette_only
@pytest.mark.parametrize("stamp", list(TIMES))
@pytest.mark.parametrize("form", ["legacy", "logfmt"])
def test_formats(world, form, stamp):
    """Every line has the form that is asked for; a rewrite keeps both words."""
    sentinel = world.sentinel("s", ["Log-Format " + form, "log-timestamp-format " + stamp,
                                    "loglevel debug", monitor()]).start()
    sentinel.sentinel("SET", "mymaster", "auth-user", 'a"b\\ c="d\n')
    wait_until(lambda: [line for line in raw(sentinel) if "+set" in line], 5, "+set is logged")
    now = time.time()
    for line in raw(sentinel):
        if form == "legacy":
            match = re.fullmatch("%d:X (%s) [.*#-] .+" % (sentinel.pid, TIMES[stamp]), line)
            if match is None and line == "":
                continue  # the event's text holds a line break, as stock's would
            assert match, line
            when = match.group(1)
        else:
            fields = logfmt(line)
            assert list(fields) == ["pid", "role", "timestamp", "level", "message"]
            assert fields["pid"] == str(sentinel.pid) and fields["role"] == "sentinel"
            assert fields["level"] in ("debug", "info", "notice", "warning")
            assert re.fullmatch(TIMES[stamp], fields["timestamp"])
            when = fields["timestamp"]
        if stamp == "milliseconds":
            assert now - 60 < int(when) / 1000 < now + 1
        elif stamp == "iso8601":
            assert now - 60 < datetime.datetime.fromisoformat(when).timestamp() < now + 1
    if form == "logfmt":
        [told] = [fields for fields in map(logfmt, raw(sentinel)) if "+set" in fields["message"]]
        assert told["level"] == "warning"
        assert told["message"].endswith("auth-user a'b/ c='d ")
    with open(sentinel.conf) as file:
        lines = file.read().splitlines()
    assert "Log-Format " + form in lines or "log-format " + form in lines
    assert "log-timestamp-format " + stamp in lines


@pytest.mark.vedette_only
def test_formats_unset(world):
    """Nothing of Valkey's is written where nobody asked for it."""
    sentinel = world.sentinel("s", [monitor()]).start()
    sentinel.sentinel("SET", "mymaster", "quorum", "3")
    assert sentinel.terminate() == 0
    with open(sentinel.conf) as file:
        assert "log-" not in file.read()


@pytest.mark.vedette_only
def test_format_that_nobody_knows(world):
    sentinel = world.sentinel("s", [monitor(), "log-format json"])
    code, output = sentinel.start_fails()
    assert code == 1 and ">>> 'log-format json'" in output
    assert "argument(s) must be one of the following: legacy, logfmt" in output


# --- levels ---------------------------------------------------------------------------------------


@pytest.mark.vedette_only
def test_level_nothing(world):
    """Since Redis 7.2: not a line, but a start that fails says so; SET may raise it again."""
    sentinel = world.sentinel("s", [monitor(), "loglevel nothing"]).start()
    assert sentinel.sentinel("CONFIG", "GET", "loglevel") == ["loglevel", "nothing"]
    sentinel.sentinel("SET", "mymaster", "quorum", "2")
    stays(lambda: not any("+set" in line or "+monitor" in line for line in raw(sentinel)), 0.5,
          "nothing is logged")
    assert sentinel.find("+set"), "events are told all the same"
    with open(sentinel.conf) as file:
        assert "loglevel nothing" in file.read().splitlines()
    second = world.sentinel("t", [monitor(), "loglevel nothing"], port=sentinel.port)
    code, output = second.start_fails()
    assert code == 1 and "Failed listening on port %d" % sentinel.port in output
    assert sentinel.sentinel("CONFIG", "SET", "loglevel", "notice") == "OK"
    sentinel.sentinel("SET", "mymaster", "quorum", "3")
    sentinel.wait_log("+set master mymaster")


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.vedette_only
def test_connections_that_never_leave(world):
    """-cmd-link-reconnection and -pubsub-link-reconnection: the same lines as redis-sentinel's, of
    masters, replicas and sentinels. A refusal is not among them."""
    peer = "c" * 40
    lines = ["loglevel debug", "sentinel myid " + "d" * 40,
             "sentinel monitor refused 127.0.0.1 %d 1" % free_port(),
             "sentinel monitor nowhere 255.255.255.255 6379 1",
             "sentinel monitor local fe80::1 6379 1",
             "sentinel known-replica refused 255.255.255.255 6380",
             "sentinel known-replica refused fe80::1 6380",
             "sentinel known-sentinel refused 255.255.255.255 26379 " + peer]
    sentinels = [world.sentinel(kind, lines, kind).start() for kind in ("redis", "vedette")]

    def told(sentinel):
        return {line for level, line in sentinel.log_lines() if level == "." and "reconn" in line}
    stock = sentinels[0]
    stock.wait_log("-cmd-link-reconnection master nowhere")
    time.sleep(2.5)
    expected = told(stock)
    assert [line for line in expected if line.startswith("-cmd-link-reconnection sentinel " + peer)]
    assert [line for line in expected if line.startswith("-pubsub-link-reconnection slave")]
    wait_until(lambda: told(sentinels[1]) == expected, 10, "the same as %s" % expected)
    assert not sentinels[1].find("-cmd-link-reconnection"), "debug events are not published"


# --- syslog ---------------------------------------------------------------------------------------


@pytest.fixture
def dev_log(world):
    """A folder to be /dev, with a socket /dev/log that we read."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    dev = world.path("dev")
    os.mkdir(dev)
    for name in ("null", "zero", "random", "urandom"):
        open(os.path.join(dev, name), "w").close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(os.path.join(dev, "log"))
        server.setblocking(False)
        yield dev, server


def in_namespace(sentinel, dev):
    sentinel.command = ["unshare", "-m", "--propagation", "private", "sh", "-c", """
        for name in null zero random urandom; do mount --bind /dev/$name "$0/$name" || exit 9; done
        mount --rbind "$0" /dev && exec "$@" """, dev, *sentinel.command]
    return sentinel


@pytest.mark.vedette_only
def test_syslog_that_hangs(world, dev_log):
    """A daemon that does not read holds nothing up; when it reads again the log says what it has
    missed. One that is started anew is found again."""
    dev, server = dev_log
    sentinel = in_namespace(world.sentinel("s", ["syslog-enabled yes", monitor()]), dev).start()
    with open("/proc/sys/net/unix/max_dgram_qlen") as file:
        room = int(file.read())
    for i in range(room + 50):  # each is one line at least
        assert sentinel.sentinel("SET", "mymaster", "quorum", str(i % 9 + 1)) == "OK"
    heard = []

    def receive():
        try:
            while True:
                heard.append(server.recv(65536).decode())
        except BlockingIOError:
            return heard
    assert 0 < len(receive()) < room + 50
    sentinel.sentinel("SET", "mymaster", "quorum", "3")
    sentinel.wait_log("syslog was not ready: ")
    lost = int(re.search(r"ready: (\d+) lines", sentinel.in_log("syslog was not")[0]).group(1))
    logged = [text for _, text in sentinel.log_lines()]
    assert len(heard) + lost <= len(logged)
    assert lost >= 40
    server.close()
    os.unlink(os.path.join(dev, "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(os.path.join(dev, "log"))
        again.settimeout(10)
        sentinel.sentinel("SET", "mymaster", "quorum", "4")
        assert "+set master mymaster" in again.recv(65536).decode()


@pytest.mark.parametrize("which", ["vedette", "redis"])
def test_syslog(world, dev_log, which):
    """Every line of the log, with its level as severity, the facility and the name asked for."""
    dev, server = dev_log
    sentinel = world.sentinel("s", ["syslog-enabled yes", "syslog-ident watcher",
                                    "syslog-facility local3", "loglevel debug", monitor(),
                                    "sentinel down-after-milliseconds mymaster 500"], which)
    in_namespace(sentinel, dev).start()
    sentinel.wait_log("+sdown")
    heard = []

    def received():
        while True:
            try:
                heard.append(server.recv(65536).decode())
            except BlockingIOError:
                return heard
    wait_until(lambda: any("+sdown" in line for line in received()), 5, "+sdown is in the syslog")
    severity = {"#": 4, "*": 5, "-": 6, ".": 7}
    logged = [(severity[level], text) for level, text in sentinel.log_lines() if level]
    found = []
    for line in received():
        if which == "redis" and not found and " redis-sentinel: " in line:
            continue  # before it has read its configuration
        match = re.fullmatch(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d watcher\[(\d+)\]: (.*)",
                             line, re.S)
        assert match, line
        priority, pid, text = match.groups()
        assert int(pid) == sentinel.pid
        assert int(priority) >> 3 == 19, "local3"
        found.append((int(priority) & 7, text))
    assert {level for level, _ in found} >= {4, 5}
    assert (4, "+sdown master mymaster 127.0.0.1 %d" % sentinel.master_port()) in found
    behind = logged[logged.index(found[0]):] if which == "redis" else logged
    common = min(len(found), len(behind))
    assert found[:common] == behind[:common]
