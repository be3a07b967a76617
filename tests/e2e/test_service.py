"""Under the restrictions of Debian's redis-sentinel.service (conf/redis-sentinel.service.d): a whole
life, from READY=1 over a failover to STOPPING=1, with a filter that kills for any other system
call."""

import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile

import pytest

from lib import conf, systemd
from lib.sentinel import VEDETTE
from lib.wait import wait_until
from lib.world import monitor_lines, wait_known, wait_switched

pytestmark = [
    pytest.mark.vedette_only,
    pytest.mark.skipif(not systemd.available(), reason="the filter is written for x86-64, and "
                       "needs linux-libc-dev"),
    pytest.mark.skipif("asan" in VEDETTE or "tsan" in VEDETTE, reason="sanitizers do more"),
]


@pytest.fixture
def place():
    """A folder that nobody can reach, as a service's is; with the program, which may be built
    where nobody can."""
    path = tempfile.mkdtemp(prefix="vedette-service-")
    os.chmod(path, 0o755)
    shutil.copy(VEDETTE, os.path.join(path, "vedette"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Notified:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.socket.settimeout(15)

    def line(self, wanted):
        while wanted not in self.socket.recv(4096).decode().splitlines():
            pass


def confined(world, place, monkeypatch, lines, **filter):
    """(sentinel, its NOTIFY_SOCKET), not started."""
    etc = os.path.join(place, "etc")
    os.mkdir(etc)
    sentinel = world.sentinel("s1")
    sentinel.conf, sentinel.log = os.path.join(etc, "sentinel.conf"), os.path.join(etc, "log")
    sentinel.write_conf(["port %d" % sentinel.port, "bind 127.0.0.1", "dir " + etc,
                         "logfile " + sentinel.log, "daemonize yes",
                         "pidfile " + os.path.join(etc, "pid")] + lines)
    if os.geteuid() == 0:
        for path in (etc, sentinel.conf):
            os.chown(path, systemd.NOBODY, systemd.NOBODY)
    notify = os.path.join(place, "notify")
    notified = Notified(notify)
    monkeypatch.setenv("NOTIFY_SOCKET", notify)
    sentinel.command = [os.path.join(place, "vedette"), sentinel.conf, "--supervised", "systemd",
                        "--daemonize", "no"]
    sentinel.before_exec = systemd.confine(systemd.NOBODY, **filter)
    return sentinel, notified


@pytest.mark.parametrize("io", ["io_uring", "--io epoll", "io_uring kills", "little memory"])
def test_whole_life(world, place, monkeypatch, io):
    master, [replica] = world.group(replicas=1)
    script, told = os.path.join(place, "script"), os.path.join(place, "etc", "told")
    with open(script, "w") as file:
        file.write('#!/bin/sh\necho "$1" >> "%s"\n' % told)
    os.chmod(script, 0o755)
    lines = monitor_lines(master, 1, 700) + ["sentinel current-epoch 1",
                                             "sentinel notification-script mymaster " + script,
                                             "sentinel resolve-hostnames yes",
                                             "sentinel announce-ip localhost"]
    sentinel, notified = confined(
        world, place, monkeypatch, lines,
        without=systemd.IO_URING if io in ("--io epoll", "io_uring kills") else (),
        memlock=64 << 10 if io == "little memory" else 8 << 20)
    if io == "--io epoll":
        sentinel.command += ["--io", "epoll"]
    sentinel.io = None
    sentinel.start()
    # Locked memory is what rings count as since Linux 6.14.
    counted = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 14)
    if os.environ.get("VEDETTE_IO") is None:
        assert sentinel.backend() == (
            "epoll" if "epoll" in io or "kills" in io or (io == "little memory" and counted)
            else "uring")
    said = sentinel.in_log("Using epoll instead")
    assert len(said) == (io == "io_uring kills" or (io == "little memory" and counted)), said
    notified.line("READY=1")
    wait_known([sentinel], replicas=1)
    assert os.stat("/proc/%d" % sentinel.pid).st_uid in (systemd.NOBODY, os.getuid())
    with open("/proc/%d/status" % sentinel.pid) as status:
        text = status.read()
    assert "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text
    with open("/proc/%d/limits" % sentinel.pid) as limits:
        files = re.search(r"Max open files\s+(\S+)\s+(\S+)", limits.read())
    assert files.group(1) == files.group(2), "the soft limit was not raised"
    master.kill()
    sentinel.wait_event("+switch-master")
    wait_switched([sentinel], master)

    def heard():
        with open(told) as file:
            return {"+sdown", "+odown", "+switch-master"} <= set(file.read().split())
    wait_until(heard, 10, "scripts run")
    # What an operator does, and a file that is written by it.
    assert sentinel.sentinel("SET", "mymaster", "auth-pass", "x") == "OK"
    assert sentinel.sentinel("SET", "mymaster", "auth-pass", "") == "OK"
    assert sentinel.sentinel("CONFIG", "SET", "announce-ip", "localhost") == "OK"
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    assert sentinel.sentinel("MONITOR", "other", "localhost", "6399", "1") == "OK"
    assert sentinel.sentinel("REMOVE", "other") == "OK"
    sentinel.call("INFO", "everything")
    sentinel.call("CLIENT", "LIST")
    os.rename(sentinel.log, sentinel.log + ".1")  # logrotate
    wait_until(lambda: os.path.exists(sentinel.log), 5, "the log is opened anew")
    assert sentinel.alive()
    sentinel.child.terminate()
    notified.line("STOPPING=1")
    assert sentinel.wait_exit() == 0
    assert conf.sentinel_lines(sentinel.conf, "monitor", "mymaster")[0][1] == str(replica.port)
    assert stat.S_IMODE(os.stat(sentinel.conf).st_mode) == 0o644 & 0o777


def test_filter_bites(place):
    """The filter of the test above kills for what the unit forbids, and for nothing less."""
    confine = systemd.confine(None)
    for command, ends_well in ((["true"], True), (["nice", "-n", "1", "true"], False),
                               (["chown", str(os.getuid()), place], False)):
        done = subprocess.run(command, preexec_fn=confine, check=False, capture_output=True)
        assert (done.returncode == 0) == ends_well, (command, done)
        assert ends_well or done.returncode == -31, (command, done)  # SIGSYS
