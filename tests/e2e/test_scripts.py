"""notification-script and client-reconfig-script: what runs, with which arguments, what it gets,
and what happens when it fails, hangs, or when there are too many. Passes with --implementation
redis too, where not marked."""

import collections
import os
import re
import resource
import time

import pytest
from redis.exceptions import ResponseError

from lib.ports import free_port
from lib.sentinel import BINARY
from lib.wait import wait_until
from lib.world import leader_of, monitor_lines, wait_known, wait_switched

DOWN_AFTER = 1500
DENIED = ("Reconfiguration of scripts path is denied for security reasons. Check the "
          "deny-scripts-reconfig configuration directive in your Sentinel configuration")


class Script:
    """A shell script that notes its arguments, then does what body says. $D is its folder."""

    def __init__(self, directory, name, body="exit 0"):
        self.path = os.path.join(directory, name)
        self.noted = self.path + ".calls"
        with open(self.path, "w") as file:
            file.write("#!/bin/sh\nD=%s\n(IFS='|'; printf '%%s\\n' \"$*\" >>%s)\n%s\n"
                       % (directory, self.noted, body))
        os.chmod(self.path, 0o755)

    def calls(self):
        """[[arguments]], in the order they were noted."""
        if not os.path.exists(self.noted):
            return []
        with open(self.noted) as file:
            return [line.rstrip("\n").split("|") for line in file if line.endswith("\n")]


def warnings(sentinel, since):
    """[[event, text]] of the log's warning lines that run a notification-script."""
    return [text.split(" ", 1) for level, text in sentinel.log_lines(since)
            if level == "#" and re.match(r"[+-](?!tilt|script)[a-z]", text)]


def tally(calls):
    return collections.Counter(map(tuple, calls))


def pending(sentinel):
    found = []
    for flat in sentinel.sentinel("PENDING-SCRIPTS"):
        job = dict(zip(flat[::2], flat[1::2]))
        assert list(job) == ["argv", "flags", "pid",
                             "run-time" if job["flags"] == "running" else "run-delay", "retry-num"]
        found.append(job)
    return found


def lone(world, lines=()):
    """A sentinel on its own, of a master that does not answer and is not missed yet."""
    return world.sentinel("s", [
        "loglevel debug", "sentinel deny-scripts-reconfig no", "sentinel current-epoch 0",
        "sentinel monitor mymaster 127.0.0.1 %d 1" % free_port(),
        "sentinel down-after-milliseconds mymaster 60000", *lines])


def poke(sentinel):
    """One warning event in the group's name: +set."""
    assert sentinel.sentinel("SET", "mymaster", "parallel-syncs", "1") == "OK"
    return ["+set", "master mymaster 127.0.0.1 %d parallel-syncs 1" % sentinel.master_port()]


# --- what runs ------------------------------------------------------------------------------------


@pytest.mark.vedette_only
@pytest.mark.parametrize("kind_that_leads", ["vedette", "redis"])
def test_failover_runs_both(world, kind_that_leads):
    """Each member of a mixed quorum runs its own scripts: every warning event with its text, and
    one reconfiguration, as leader or as observer."""
    master, replicas = world.group(replicas=2)
    sentinels = world.sentinels(["vedette", "vedette", "redis"], master, down_after=DOWN_AFTER,
                                lines=["sentinel deny-scripts-reconfig no"])
    wait_known(sentinels, replicas=2)
    leader = [sentinel for sentinel in sentinels if sentinel.kind == kind_that_leads][0]
    leader.sentinel("SET", "mymaster", "quorum", "1")
    scripts, marks = {}, {}
    for sentinel in sentinels:
        if sentinel is not leader:
            sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", str(DOWN_AFTER + 1000))
        notify = Script(sentinel.directory, "notify")
        reconfigure = Script(sentinel.directory, "reconfigure")
        scripts[sentinel] = notify, reconfigure
        assert sentinel.sentinel("SET", "mymaster", "client-reconfig-script",
                                 reconfigure.path) == "OK"
        marks[sentinel] = sentinel.log_size()
        assert sentinel.sentinel("SET", "mymaster", "notification-script", notify.path) == "OK"
        shown = sentinel.master()
        assert shown["notification-script"] == notify.path
        assert shown["client-reconfig-script"] == reconfigure.path
    master.kill()
    new = wait_switched(sentinels, master)
    assert leader_of(sentinels) is leader
    for sentinel in sentinels:
        sentinel.wait_event("+switch-master")
        notify, reconfigure = scripts[sentinel]
        role = "leader" if sentinel is leader else "observer"
        wait_until(reconfigure.calls, 15, "%s runs its reconfig script" % sentinel.name)
        assert reconfigure.calls() == [["mymaster", role, "start", "127.0.0.1", str(master.port),
                                        "127.0.0.1", str(new)]], sentinel.name

        def same():
            expected = tally(warnings(sentinel, marks[sentinel]))
            assert expected[("+set", "master mymaster 127.0.0.1 %d notification-script %s" % (
                master.port, notify.path))] == 1
            return tally(notify.calls()) == expected
        wait_until(same, 15, "%s runs a script for each warning of its log" % sentinel.name)
        names = {name for name, _ in notify.calls()}
        assert names >= {"+set", "+switch-master"}
        assert ("+promoted-slave" in names) == (sentinel is leader)
        assert wait_until(lambda: sentinel.info()["sentinel_scripts_queue_length"] == "0", 10,
                          "all scripts have ended")


def test_group_of_the_event(world):
    """Only the group that has a script runs it, from +monitor at start to -monitor, and what runs
    is what is set when it happens."""
    directory = world.path("scripts")
    os.makedirs(directory)
    first, second = Script(directory, "first"), Script(directory, "second")
    port = free_port()
    sentinel = lone(world, ["sentinel notification-script mymaster " + first.path,
                            "sentinel monitor silent 127.0.0.1 %d 1" % port]).start()
    there = "master mymaster 127.0.0.1 %d" % sentinel.master_port()
    monitored = ["+monitor", there + " quorum 1"]
    wait_until(lambda: first.calls() == [monitored], 10, "+monitor runs the script")
    sentinel.sentinel("SET", "silent", "parallel-syncs", "2")
    poked = poke(sentinel)
    wait_until(lambda: first.calls() == [monitored, poked], 10, "+set runs the script")
    sentinel.sentinel("SET", "mymaster", "notification-script", second.path)
    wait_until(second.calls, 10, "the new script runs")
    assert second.calls() == [["+set", there + " notification-script " + second.path]]
    sentinel.sentinel("SET", "mymaster", "notification-script", "")
    assert "notification-script" not in sentinel.master()
    poke(sentinel)
    sentinel.sentinel("SET", "mymaster", "notification-script", first.path)
    sentinel.sentinel("REMOVE", "mymaster")
    # The last two run at the same time.
    expected = [monitored, poked, ["+set", there + " notification-script " + first.path],
                ["-monitor", there]]
    wait_until(lambda: tally(first.calls()) == tally(expected), 10, "-monitor runs it")
    assert len(second.calls()) == 1


# --- failing, hanging -----------------------------------------------------------------------------


def test_retries(world):
    """Exit 1 and death by signal: again, after a doubled delay; PENDING-SCRIPTS shows it."""
    directory = world.path("scripts")
    os.makedirs(directory)
    script = Script(directory, "fail", "[ -e $D/well ] && exit 0; [ -e $D/die ] && kill -9 $$; "
                                       "exit 1")
    sentinel = lone(world).start()
    sentinel.sentinel("DEBUG", "script-retry-delay", "2000")
    sentinel.sentinel("SET", "mymaster", "notification-script", script.path)
    wait_until(lambda: len(script.calls()) == 1, 10, "the script runs")
    [job] = wait_until(lambda: [job for job in pending(sentinel) if job["flags"] == "scheduled"],
                       10, "it waits for its second run")
    assert job["argv"] == [script.path, *script.calls()[0]]
    assert job["pid"] == "0" and job["retry-num"] == "1" and int(job["run-delay"]) <= 2000
    assert sentinel.info()["sentinel_scripts_queue_length"] == "1"
    assert sentinel.info()["sentinel_running_scripts"] == "0"
    open(os.path.join(directory, "die"), "w").close()
    wait_until(lambda: len(script.calls()) == 2, 10, "the second run")
    second = time.monotonic()
    sentinel.wait_log(" 0 9")
    open(os.path.join(directory, "well"), "w").close()
    wait_until(lambda: len(script.calls()) == 3, 10, "the third run")
    assert time.monotonic() - second > 3
    wait_until(lambda: not pending(sentinel), 10, "it is done")
    assert len(set(map(tuple, script.calls()))) == 1
    ends = [line.split() for _, line in sentinel.log_lines() if line.startswith("-script-child")]
    begins = [line.split() for _, line in sentinel.log_lines() if line.startswith("+script-child")]
    assert [end[2:] for end in ends] == [["1", "0"], ["0", "9"], ["0", "0"]]
    assert [end[1] for end in ends] == [begin[1] for begin in begins]
    assert {level for level, line in sentinel.log_lines() if "script-child" in line} == {"."}
    assert not sentinel.find("-script-error")
    assert not sentinel.find("+script-child"), "debug events are not published"


def test_error_and_timeout(world):
    """Any other exit code is final; a script that hangs is killed and tried again."""
    directory = world.path("scripts")
    os.makedirs(directory)
    wrong = Script(directory, "wrong", "exit 7")
    hang = Script(directory, "hang", "[ -e $D/well ] || exec sleep 100")
    broken = os.path.join(directory, "broken")
    with open(broken, "w") as file:
        file.write("no program\n")
    os.chmod(broken, 0o755)
    sentinel = lone(world).start()
    sentinel.sentinel("DEBUG", "script-retry-delay", "500", "script-max-runtime", "3000")
    sentinel.sentinel("SET", "mymaster", "notification-script", wrong.path)
    assert sentinel.wait_event("-script-error").text == wrong.path + " 0 7"
    sentinel.sentinel("SET", "mymaster", "notification-script", broken)
    sentinel.wait_event("-script-error", broken + " 0 2")
    sentinel.sentinel("SET", "mymaster", "notification-script", hang.path)
    wait_until(hang.calls, 10, "the script runs")
    [job] = pending(sentinel)
    assert job["flags"] == "running" and job["retry-num"] == "1" and int(job["run-time"]) < 60000
    assert sentinel.info()["sentinel_running_scripts"] == "1"
    event = sentinel.wait_event("-script-timeout")
    assert event.text == "%s %s" % (hang.path, job["pid"])
    sentinel.wait_log("-script-child %s 0 9" % job["pid"])
    open(os.path.join(directory, "well"), "w").close()
    wait_until(lambda: len(hang.calls()) == 2 and not pending(sentinel), 10, "it is tried again")
    assert {level for level, line in sentinel.log_lines()
            if re.match("-script-(error|timeout) ", line)} == {"#"}
    assert len(wrong.calls()) == 1, "exit 7 is not tried again"


# --- configuration --------------------------------------------------------------------------------


def test_denied(world):
    script = Script(world.directory, "script")
    sentinel = world.sentinel("s", [
        "sentinel monitor mymaster 127.0.0.1 %d 1" % free_port(),
        "sentinel client-reconfig-script mymaster " + script.path]).start()
    for option in ("notification-script", "client-reconfig-script"):
        for value in (script.path, "/no/such", ""):
            with pytest.raises(ResponseError, match=DENIED):
                sentinel.sentinel("SET", "mymaster", option, value)
    assert sentinel.master()["client-reconfig-script"] == script.path
    assert "notification-script" not in sentinel.master()


def test_kept(world):
    """SET survives a restart and the other implementation's; what cannot be run is refused."""
    notify, reconfigure = (Script(world.directory, name) for name in ("notify", "reconfigure"))
    sentinel = lone(world).start()
    for value in ("/no/such", sentinel.conf):
        with pytest.raises(ResponseError,
                           match="^Notification script seems non existing or non executable$"):
            sentinel.sentinel("SET", "mymaster", "notification-script", value)
        with pytest.raises(ResponseError, match="^Client reconfiguration script seems non "
                                                "existing or non executable$"):
            sentinel.sentinel("SET", "mymaster", "client-reconfig-script", value)
    sentinel.sentinel("SET", "mymaster", "notification-script", notify.path)
    sentinel.sentinel("SET", "mymaster", "client-reconfig-script", reconfigure.path)
    assert sentinel.saved("notification-script", "mymaster") == notify.path
    assert sentinel.saved("client-reconfig-script", "mymaster") == reconfigure.path
    for kind in ("redis", "vedette"):
        assert sentinel.terminate() == 0
        sentinel.kind, sentinel.command[0] = kind, BINARY[kind]
        sentinel.start()
        shown = sentinel.master()
        assert shown["notification-script"] == notify.path
        assert shown["client-reconfig-script"] == reconfigure.path
    sentinel.sentinel("SET", "mymaster", "client-reconfig-script", "")
    assert sentinel.saved("client-reconfig-script", "mymaster") is None
    sentinel.terminate()
    os.chmod(notify.path, 0o644)
    os.rename(notify.path, notify.path + ".away")
    code, output = sentinel.start_fails()
    assert code == 1 and "Notification script seems non existing or non executable." in output


# --- what a child gets ----------------------------------------------------------------------------


@pytest.mark.vedette_only
def test_child_starts_clean(world):
    """No descriptor but 0, 1 and 2, the limits vedette was started with, default signals; and it
    is waited for even if who started vedette ignores SIGCHLD."""
    script = Script(world.directory, "look", """
ls -l /proc/$$/fd >$D/fds
grep -E '^Sig(Ign|Blk):' /proc/self/status >$D/signals
(ulimit -S -n; ulimit -S -l; pwd; cut -d' ' -f5 /proc/$$/stat) >$D/rest""")
    sentinel = lone(world, ["sentinel notification-script mymaster " + script.path])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard > 700
    sentinel.command = ["/bin/bash", "-c", "trap '' CHLD USR1; ulimit -S -n 700; ulimit -S -l 80; "
                        "exec 77</dev/zero; exec \"$@\"", "bash", *sentinel.command]
    sentinel.start()
    wait_until(lambda: "-script-child" in str(sentinel.log_lines()), 10, "the script has ended")
    assert sentinel.in_log("-script-child")[0].endswith(" 0 0")

    def seen(name):
        with open(os.path.join(world.directory, name)) as file:
            return file.read().split("\n")[:-1]
    fds = dict(line.split()[-3::2] for line in seen("fds") if " -> " in line)
    assert fds["0"] == "/dev/null"
    assert os.path.samefile(fds["2"], sentinel.output)
    ours = {fd: to for fd, to in fds.items() if fd not in "012"}
    # What a shell keeps for itself: the script, and its output while it is redirected.
    assert all(to in (script.path, sentinel.output) for to in ours.values()), ours
    assert seen("rest") == ["700", "80", sentinel.directory, str(sentinel.pid)]
    with open("/proc/%d/limits" % sentinel.pid) as file:
        assert "Max open files            %d " % hard in file.read(), "vedette took all it may"
    assert len(seen("signals")) == 2
    for line in seen("signals"):
        assert int(line.split()[1], 16) == 0, line
    # Besides: nothing of its own would be inherited by whatever way a process is made.
    for fd in os.listdir("/proc/%d/fd" % sentinel.pid):
        with open("/proc/%d/fdinfo/%s" % (sentinel.pid, fd)) as file:
            flags = int(re.search(r"flags:\s*(\d+)", file.read()).group(1), 8)
        to = os.readlink("/proc/%d/fd/%s" % (sentinel.pid, fd))
        if fd not in "012" and fd != "77":
            assert flags & os.O_CLOEXEC, "%s: %s" % (fd, to)


def test_stop_leaves_it_alone(world):
    """SIGTERM: the sentinel is gone at once, the script goes on."""
    script = Script(world.directory, "slow", "sleep 5; echo done >$D/done")
    sentinel = lone(world, ["sentinel notification-script mymaster " + script.path]).start()
    wait_until(script.calls, 10, "the script runs")
    assert sentinel.terminate(patience=10) == 0
    assert not os.path.exists(os.path.join(world.directory, "done"))
    wait_until(lambda: os.path.exists(os.path.join(world.directory, "done")), 10,
               "the script ends by itself")


# --- too many -------------------------------------------------------------------------------------


@pytest.mark.vedette_only
def test_burst(world):
    """Thousands of events at once with a script that hangs: 16 run, 256 are kept, and neither the
    failover of another master nor a client notices."""
    groups = 300
    slow = Script(world.directory, "slow", "for i in $(seq 200); do [ -e $D/go ] && break; sleep 0.3; "
                                            "done")
    dead = free_port()
    master, replicas = world.group(replicas=1)
    lines = ["sentinel myid " + "5" * 40, "sentinel current-epoch 0",
             "sentinel deny-scripts-reconfig no"]
    lines += monitor_lines(master, 1, DOWN_AFTER, 10000)
    for i in range(groups):
        lines += ["sentinel monitor dead%d 127.0.0.1 %d 1" % (i, dead),
                  "sentinel down-after-milliseconds dead%d 4000" % i,
                  "sentinel notification-script dead%d %s" % (i, slow.path)]
    sentinel = world.sentinel("s", lines).start()
    wait_known([sentinel], replicas=1)
    wait_until(lambda: len([e for e in sentinel.events if e.channel == "+odown"]) > groups / 2, 20,
               "the dead masters are o_down")
    master.kill()
    wait_switched([sentinel], master, patience=10)
    told = [e for e in sentinel.events if e.channel in ("+monitor", "+sdown", "+odown")]
    assert len(told) > groups
    info = sentinel.info()
    assert info["sentinel_running_scripts"] == "16"
    assert info["sentinel_scripts_queue_length"] == "256"
    assert len(pending(sentinel)) == 256
    events = wait_until(
        lambda: sum(1 for level, line in sentinel.log_lines() if level == "#"
                    and re.match(r"[+-](?!script)[a-z-]+ ", line)) > 2000 or None, 20,
        "2,000 warnings")
    assert events
    assert int(sentinel.info("vedette")["vedette_scripts_dropped"]) > 1000
    open(os.path.join(world.directory, "go"), "w").close()
    wait_until(lambda: sentinel.info()["sentinel_scripts_queue_length"] == "0", 60,
               "the queue is worked off")
    assert len(slow.calls()) >= 256
