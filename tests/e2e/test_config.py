"""The configuration file: what is refused and how, what is rewritten, what a restart finds."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from lib import conf
from lib.ports import free_port
from lib.sentinel import BINARY, VEDETTE
from lib.wait import stays, wait_until
from lib.world import monitor_lines, wait_known, wait_switched

MONITOR = "sentinel monitor mymaster 127.0.0.1 6399 2"
WRONG = {
    "quorum 0": (["sentinel monitor mymaster 127.0.0.1 6399 0"], "Quorum must be 1 or greater."),
    "no such master": ([MONITOR, "sentinel down-after-milliseconds nosuch 5000"],
                       "No such master with specified name."),
    "negative time": ([MONITOR, "sentinel down-after-milliseconds mymaster -1"],
                      "negative or zero time parameter."),
    "zero time": ([MONITOR, "sentinel failover-timeout mymaster 0"],
                  "negative or zero time parameter."),
    "port is no number": ([MONITOR, "port abc"],
                          "argument couldn't be parsed into an integer"),
    "port too large": ([MONITOR, "port 70000"],
                       "argument must be between 0 and 65535 inclusive"),
    "sentinel word": ([MONITOR, "sentinel bogus x"],
                      "Unrecognized sentinel configuration statement."),
    "too few words": ([MONITOR, "sentinel monitor two"],
                      "Unrecognized sentinel configuration statement."),
    "directive": ([MONITOR, "nonsense yes"], "Bad directive or wrong number of arguments"),
    "master's port": (["sentinel monitor mymaster 127.0.0.1 99999 2"], "Invalid port number."),
    "host name": (["sentinel monitor mymaster no.such.host.invalid 6399 2"],
                  "Can't resolve instance hostname."),
    "quotes": ([MONITOR, 'dir "unbalanced'], "Unbalanced quotes in configuration line"),
    "twice the same": ([MONITOR, MONITOR], "Duplicate master name."),
    "id": ([MONITOR, "sentinel myid 123"], "Malformed Sentinel id in myid option."),
    "replica's port": ([MONITOR, "sentinel known-replica mymaster 127.0.0.1 70000"],
                       "Invalid port number."),
    "yes or no": ([MONITOR, "sentinel deny-scripts-reconfig maybe"],
                  "Please specify yes or no for the deny-scripts-reconfig options."),
    "level": ([MONITOR, "loglevel loud"],
              "argument(s) must be one of the following: debug, verbose, notice, warning, "
              "nothing"),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_wrong_line(world, what):
    """Stock's block: line, text and reason; exit code 1; the file untouched."""
    lines, reason = WRONG[what]
    sentinel = world.sentinel("s1", bare=True)
    sentinel.write_conf(["# one comment", "port %d" % sentinel.port] + lines)
    before = conf.read_lines(sentinel.conf)
    code, said = sentinel.start_fails()
    assert code == 1
    block = re.search(r"\n\*\*\* FATAL CONFIG FILE ERROR \(Redis [\d.]+\) \*\*\*\n"
                      r"Reading the configuration file, at line (\d+)\n"
                      r">>> '(.*)'\n(.*)\n", said)
    assert block, said
    assert int(block.group(1)) == 2 + len(lines)
    assert block.group(2) == lines[-1]
    if world.kind == "redis":
        reason = reason.replace(", nothing", "")  # later than 7.0
    assert block.group(3) == reason
    if sentinel.kind == "vedette":  # which file it was, stock does not say
        assert "%s, line %d\n" % (sentinel.conf, 2 + len(lines)) in said
    assert conf.read_lines(sentinel.conf) == before


def test_log_that_cannot_be_written(world):
    sentinel = world.sentinel("s1", bare=True)
    sentinel.write_conf([MONITOR, "logfile /no/such/folder/log"])
    code, said = sentinel.start_fails()
    assert code == 1 and "Can't open the log file: No such file or directory" in said


def run(*arguments):
    return subprocess.run([VEDETTE, *arguments], capture_output=True, text=True, timeout=10)


@pytest.mark.vedette_only
def test_command_line():
    for option in ("-v", "--version"):
        done = run(option)
        assert done.returncode == 0
        assert re.match(r"vedette \d+\.\d+\.\d+ \(Redis Sentinel [\d.]+ compatible\)\n$",
                        done.stdout)
    for option in ("-h", "--help"):
        done = run(option)
        assert done.returncode == 0 and "Usage: vedette /path/to/sentinel.conf" in done.stdout
    done = run()
    assert done.returncode == 1
    assert "Sentinel needs config file on disk to save state" in done.stderr
    assert len(done.stderr.strip().split("\n")) == 1
    done = run("/no/such/file.conf")
    assert done.returncode == 1
    assert "can't open config file '/no/such/file.conf': No such file or directory" in done.stderr


def test_options_on_the_command_line(world):
    """--sentinel and directives behind the file's name."""
    sentinel = world.sentinel("s1", bare=True)
    sentinel.write_conf([MONITOR, "dir " + sentinel.directory, "logfile " + sentinel.log])
    program = "redis-server" if world.kind == "redis" else BINARY["vedette"]
    sentinel.command = [program, sentinel.conf, "--sentinel", "--port", str(sentinel.port)]
    if world.kind == "vedette":
        sentinel.command += ["--loglevel", "debug"]
    sentinel.start()
    assert sentinel.master()["port"] == "6399"


def test_port_in_use(world):
    sentinel = world.sentinel("s1", [MONITOR])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", sentinel.port))
        taken.listen(1)
        code, said = sentinel.start_fails()
    assert code == 1
    said += "".join(text + "\n" for _, text in sentinel.log_lines())
    assert "Failed listening on port %d" % sentinel.port in said


@pytest.mark.vedette_only
def test_second_start_on_the_same_file(world):
    """One line, exit code 1, whatever port it would have had; the first is not disturbed."""
    first = world.sentinel("s1", [MONITOR]).start()
    start = first.log_size()
    done = run(first.conf, "--port", str(free_port()), "--logfile", "")
    assert done.returncode == 1
    said = [line for line in (done.stderr + done.stdout).strip().split("\n")]
    assert len(set(said)) <= 2, said  # the log line and the one on stderr
    assert "another" in said[-1].lower() or "lock" in said[-1].lower(), said
    stays(first.alive, 0.3, "the first runs")
    assert first.call("PING") == "PONG" and not first.log_lines(start)


# --- rewriting ------------------------------------------------------------------------------------


def test_rewrite_keeps_the_users_lines(world):
    """Comments, order and spelling stay; what changed is changed in place, the rest appended."""
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", bare=True)
    lines = ["# my comment", "port %d" % sentinel.port, "", "bind 127.0.0.1",
             "dir " + sentinel.directory, "logfile " + sentinel.log, "# about the master",
             "sentinel monitor mymaster 127.0.0.1 %d 2" % master.port,
             "sentinel down-after-milliseconds mymaster 5000", "# the end"]
    sentinel.write_conf(lines)
    sentinel.start()
    wait_until(lambda: sentinel.saved("known-replica", "mymaster"), 5, "the file has the replica")
    assert sentinel.sentinel("SET", "mymaster", "down-after-milliseconds", "7000") == "OK"
    lines[8] = "sentinel down-after-milliseconds mymaster 7000"
    def rewritten():
        now = [line.replace('"', "") for line in conf.read_lines(sentinel.conf)]
        return now[:len(lines)] == lines and now
    now = wait_until(rewritten, 3, "the user's lines stand as they stood")
    assert any(line.startswith("# Generated by CONFIG REWRITE") for line in now[len(lines):])
    # SET is answered when it is saved: nothing is lost by a kill -9 at once.
    assert sentinel.sentinel("SET", "mymaster", "quorum", "1") == "OK"
    sentinel.kill()
    assert conf.sentinel_lines(sentinel.conf, "monitor", "mymaster")[0][2] == "1"
    sentinel.start()
    assert sentinel.master()["quorum"] == "1"
    assert sentinel.master()["down-after-milliseconds"] == "7000"


def topology(sentinel):
    return (sentinel.myid(), sentinel.master_port(), sentinel.master()["config-epoch"],
            sorted(replica["port"] for replica in sentinel.replicas()),
            sorted(peer["runid"] for peer in sentinel.sentinels()))


@pytest.mark.vedette_only
@pytest.mark.parametrize("end", ["orderly", "kill -9, then --fold"])
def test_downgrade_and_back(world, end):
    """redis-sentinel starts from vedette's file, works, and vedette from what it left."""
    master, [replica] = world.group(replicas=1)
    vedette, peer = world.sentinels(["vedette", "redis"], master, quorum=1)
    wait_known([vedette, peer], replicas=1)
    assert vedette.sentinel("FAILOVER", "mymaster") == "OK"
    wait_switched([vedette, peer], master)
    master.wait_role("slave", of=replica, patience=15)
    before = topology(vedette)
    assert before[2] == "1"
    if end == "orderly":
        assert vedette.terminate() == 0
    else:
        vedette.kill()
        done = run("--fold", vedette.conf)
        assert done.returncode == 0, done.stderr
    vedette.command[0], vedette.kind = BINARY["redis"], "redis"
    vedette.start()
    assert topology(vedette) == before
    # It leads a failover of its own: the epoch is 2.
    wait_known([vedette, peer], replicas=1)
    mark = vedette.mark()
    assert vedette.sentinel("FAILOVER", "mymaster") == "OK"
    wait_until(lambda: vedette.find("+switch-master", since=mark), 15, "redis-sentinel led")
    after = topology(vedette)
    assert after[:3] == (before[0], master.port, "2")
    vedette.terminate()
    vedette.command[0], vedette.kind = BINARY["vedette"], "vedette"
    start = vedette.log_size()
    vedette.start()
    assert topology(vedette) == after
    assert vedette.saved("config-epoch", "mymaster") == "2"
    assert not vedette.in_log("refuse", since=start)


OLD_FILE = """port {port}
bind 127.0.0.1
logfile "./sentinel1.log"
dir {directory}
SENTINEL Monitor TestMaster 127.0.0.1 {master} 1
sentinel down-after-milliseconds TestMaster 1500
sentinel failover-timeout TestMaster 10000
sentinel auth-pass TestMaster 0234kz9*1
sentinel config-epoch TestMaster 15
sentinel leader-epoch TestMaster 8394
sentinel known-slave TestMaster 127.0.0.1 {replica}
sentinel known-sentinel TestMaster 127.0.0.1 26371 {one}
sentinel known-sentinel TestMaster 127.0.0.1 26372
sentinel current-epoch 8394
"""


def test_old_forms(world):
    """known-slave, known-sentinel without runid, any case, special characters; epochs go on."""
    master, [replica] = world.group(replicas=1, password="0234kz9*1")
    sentinel = world.sentinel("s1", bare=True)
    sentinel.log = os.path.join(sentinel.directory, "sentinel1.log")
    sentinel.write_conf(OLD_FILE.format(
        port=sentinel.port, directory=sentinel.directory, master=master.port,
        replica=replica.port, one="d" * 40).split("\n"))
    sentinel.start()
    shown = sentinel.master("TestMaster")
    assert (shown["config-epoch"], shown["num-slaves"], shown["num-other-sentinels"]) == (
        "15", "1", "1")
    def linked():
        [seen] = sentinel.replicas("TestMaster")
        return seen["master-link-status"] == "ok" and seen["flags"] == "slave"
    wait_until(linked, 5, "the replica is known, with the password")
    assert sentinel.sentinel("FAILOVER", "TestMaster") == "OK"
    epoch = sentinel.wait_event("+new-epoch")
    assert int(epoch.text) == 8395
    if world.kind == "redis":
        return  # 7.0.15 does not start from what it makes of known-slave
    sentinel.kill()
    sentinel.start()
    assert int(sentinel.saved("current-epoch") or 0) >= 8395 or any(
        "current-epoch 8395" in text for text in conf.journal_texts(sentinel.conf))


# --- places that cannot be written ----------------------------------------------------------------


@pytest.fixture
def nobody_place():
    """A folder that `nobody` can reach, with the program in it; tests need root for it."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to start a process as nobody")
    folder = tempfile.mkdtemp(prefix="vedette-e2e-")
    os.chmod(folder, 0o755)
    shutil.copy(VEDETTE, os.path.join(folder, "vedette"))
    yield folder
    shutil.rmtree(folder)


def as_nobody(place, sentinel):
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig",
            "KILL", os.path.join(place, "vedette"), sentinel.conf]


def unwritable(world, place, master, state_dir):
    sentinel = world.sentinel("s1", bare=True)
    sentinel.conf = os.path.join(place, "sentinel.conf")
    sentinel.write_conf(["port %d" % sentinel.port, "bind 127.0.0.1", "dir " + state_dir]
                        + monitor_lines(master, 1))
    sentinel.command = as_nobody(place, sentinel)
    return sentinel


@pytest.mark.vedette_only
def test_file_that_cannot_be_written(world, nobody_place):
    """With a `dir` that can be: one warning, and the state is in the journal there."""
    master, [replica] = world.group(replicas=1)
    state = os.path.join(nobody_place, "state")
    os.mkdir(state)
    os.chown(state, 65534, 65534)
    sentinel = unwritable(world, nobody_place, master, state)
    before = conf.read_lines(sentinel.conf)
    sentinel.start()
    wait_known([sentinel], replicas=1)
    assert sentinel.sentinel("FAILOVER", "mymaster") == "OK"
    wait_switched([sentinel], master)
    known = topology(sentinel)
    with open(sentinel.output) as file:
        warnings = [line for line in file if " # " in line and sentinel.conf in line]
    assert len(warnings) == 1, warnings
    sentinel.kill()
    sentinel.start()
    assert topology(sentinel) == known
    sentinel.terminate()
    sentinel.start()
    assert topology(sentinel) == known
    assert conf.read_lines(sentinel.conf) == before
    assert os.listdir(state)


@pytest.mark.vedette_only
def test_nothing_can_be_written(world, nobody_place):
    master, _ = world.group(replicas=0)
    sentinel = unwritable(world, nobody_place, master, nobody_place)
    code, said = sentinel.start_fails()
    assert code == 1 and sentinel.conf in said, said


@pytest.mark.vedette_only
def test_single_file_bind_mount(world):
    """Nothing can be renamed over the file: it is overwritten, and a kill -9 loses nothing."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    master, [replica] = world.group(replicas=1)
    sentinel = world.sentinel("s1", monitor_lines(master, 1))
    source = world.path("mounted.conf")
    shutil.copy(sentinel.conf, source)
    binary = sentinel.command[0]
    sentinel.command = ["unshare", "-m", "sh", "-c",
                        'mount --bind "$1" "$2" && shift && exec "$0" "$@"', binary, source,
                        sentinel.conf]
    sentinel.start()
    wait_known([sentinel], replicas=1)
    assert sentinel.sentinel("FAILOVER", "mymaster") == "OK"
    wait_switched([sentinel], master)
    known = topology(sentinel)
    wait_until(lambda: conf.sentinel_value(source, "config-epoch", "mymaster") == "1", 5,
               "the mounted file has the state")
    for i in range(4):
        for value in range(3):
            assert sentinel.sentinel("SET", "mymaster", "down-after-milliseconds",
                                     str(1000 + 10 * i + value)) == "OK"
        sentinel.kill()
        sentinel.start()
        assert topology(sentinel) == known
        assert sentinel.master()["down-after-milliseconds"] == str(1000 + 10 * i + 2)


# --- the journal ----------------------------------------------------------------------------------

QUIET = [MONITOR, "sentinel down-after-milliseconds mymaster 60000",
         "sentinel failover-timeout mymaster 10000"]


def with_journal(world):
    """A sentinel that was killed while its journal held something; (it, its last journal file)."""
    sentinel = world.sentinel("s1", QUIET).start(record=False)
    wait_until(lambda: sentinel.saved("current-epoch") is not None, 3, "the first save")
    sentinel.kill()
    return sentinel, conf.journals(sentinel.conf)[-1]


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


@pytest.mark.vedette_only
def test_journal_is_replayed(world):
    sentinel, journal = with_journal(world)
    append(journal, conf.journal_line(" sentinel current-epoch 41")
           + conf.journal_line("sentinel leader-epoch mymaster 41 " + "e" * 40))
    sentinel.start(record=False)
    assert sentinel.vote(6399, 41, "f" * 40) == ["e" * 40, 41]
    assert sentinel.saved("current-epoch") == "41"
    assert sentinel.saved("leader-epoch", "mymaster") == "41"


@pytest.mark.vedette_only
@pytest.mark.parametrize("tear", ["half a line", "no newline", "wrong checksum", "zeros"])
def test_torn_tail(world, tear):
    """Replayed up to it, and said so in the log."""
    sentinel, journal = with_journal(world)
    whole = conf.journal_line(" sentinel current-epoch 41")
    torn = conf.journal_line(" sentinel current-epoch 42")
    append(journal, whole + {"half a line": torn[:20], "no newline": torn[:-1],
                             "wrong checksum": "0" + torn[1:] if torn[0] != "0" else "1" + torn[1:],
                             "zeros": "\0" * 30}[tear])
    start = sentinel.log_size()
    sentinel.start(record=False)
    assert sentinel.saved("current-epoch") in (("41", "42") if tear == "no newline" else ("41",))
    said = [text for _, text in sentinel.log_lines(start) if os.path.basename(journal) in text]
    assert said, "the log names the journal"


@pytest.mark.vedette_only
def test_damage_in_the_middle(world):
    """Refused, naming file and line and how to go on; nothing is touched."""
    sentinel, journal = with_journal(world)
    number = len(conf.read_lines(journal)) + 1
    damaged = conf.journal_line(" sentinel current-epoch 41").replace("41", "51")
    append(journal, damaged + conf.journal_line(" sentinel current-epoch 42")
           + conf.journal_line(" sentinel current-epoch 43"))
    with open(journal) as file:
        before = file.read()
    code, said = sentinel.start_fails()
    said += "\n".join(text for _, text in sentinel.log_lines())
    assert code == 1
    assert journal in said and re.search(r"line %d\b|:%d\b" % (number, number), said), said
    with open(journal) as file:
        assert file.read() == before


@pytest.mark.vedette_only
def test_file_edited_by_hand(world):
    """Of the journal only what may not go back is taken, and the log says so."""
    sentinel, journal = with_journal(world)
    append(journal, conf.journal_line(" sentinel current-epoch 41")
           + conf.journal_line(" sentinel failover-timeout mymaster 1234"))
    append(sentinel.conf, "# by hand\n")
    start = sentinel.log_size()
    sentinel.start(record=False)
    assert sentinel.saved("current-epoch") == "41"
    assert sentinel.master()["failover-timeout"] == "10000"
    assert "# by hand" in conf.read_lines(sentinel.conf)
    assert [text for _, text in sentinel.log_lines(start) if sentinel.conf in text]


# --- the log --------------------------------------------------------------------------------------


def test_log_format(world):
    """Every line in stock's form, local time; the id and the masters at the start."""
    sentinel = world.sentinel("s1", [MONITOR]).start()
    sentinel.wait_log("+monitor master mymaster 127.0.0.1 6399 quorum 2")
    lines = sentinel.log_lines()
    texts = [text for level, text in lines if level]
    assert "Sentinel ID is " + sentinel.myid() in texts
    if world.kind == "vedette":
        assert [text for level, text in lines if level is None] == []
    with open(sentinel.log) as file:
        last = [line for line in file if ":X " in line][-1]
    stamp = " ".join(last.split(" ")[1:5])
    written = time.mktime(time.strptime(stamp.split(".")[0], "%d %b %Y %H:%M:%S"))
    assert abs(written - time.time()) < 30
    assert last.startswith("%d:X " % sentinel.pid)


@pytest.mark.vedette_only
@pytest.mark.parametrize("how", ["rename", "rename and HUP"])
def test_log_rotation(world, how):
    """The path leads elsewhere: opened anew within a second, or at once on HUP."""
    sentinel = world.sentinel("s1", [MONITOR, "sentinel down-after-milliseconds mymaster 60000"])
    sentinel.start()
    os.rename(sentinel.log, sentinel.log + ".1")
    if how == "rename":
        time.sleep(1.3)
    else:
        os.kill(sentinel.pid, signal.SIGHUP)
        wait_until(lambda: os.path.exists(sentinel.log), 2, "opened anew")
    assert sentinel.sentinel("MONITOR", "other", "127.0.0.1", "6398", "1") == "OK"
    sentinel.wait_log("+monitor master other 127.0.0.1 6398 quorum 1", patience=3)
    with open(sentinel.log + ".1") as file:
        assert "master other" not in file.read()
