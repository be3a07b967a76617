"""The server's directives (protocol.md §10): each does what it says, or the start says why not."""

import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest
import redis

from lib import conf
from lib.fake import FakeRedis
from lib.ports import free_port
from lib.sentinel import BINARY
from lib.wait import gone, stays, wait_until
from lib.world import monitor_lines, wait_known, wait_switched

MONITOR = ["sentinel monitor mymaster 127.0.0.1 6399 2",
           "sentinel down-after-milliseconds mymaster 60000"]
PING = b"*1\r\n$4\r\nPING\r\n"


def connect(port, patience=5.0):
    connection = socket.create_connection(("127.0.0.1", port), timeout=patience)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection):
    """All it says until it closes."""
    said = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return said
        if not more:
            return said
        said += more


@pytest.fixture
def fake(world):
    made = FakeRedis()
    world.others.append(made)
    return made


# --- supervisors ----------------------------------------------------------------------------------


class Notified:
    """The socket that systemd would listen on."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(10)
        self.address = address

    def line(self, wanted):
        while True:
            lines = self.socket.recv(4096).decode().splitlines()
            if wanted in lines:
                return lines


@pytest.mark.parametrize("kind_of_socket", ["path", "abstract"])
@pytest.mark.parametrize("supervised", ["systemd", "auto"])
def test_systemd(world, monkeypatch, kind_of_socket, supervised):
    """READY=1 once it listens, STOPPING=1 when it stops; and no daemon, whatever the file says."""
    if world.kind == "redis":
        pytest.skip("the same socket, but its messages come one by one")
    notified = Notified("@vedette-test-%d-%s" % (os.getpid(), supervised) if kind_of_socket == "abstract"
                        else world.path("notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", notified.address)
    pidfile = world.path("pid")
    sentinel = world.sentinel("s1", MONITOR + ["daemonize yes", "supervised " + supervised,
                                               "pidfile " + pidfile])
    sentinel.spawn()
    assert "STATUS=Ready to accept connections" in notified.line("READY=1")
    connect(sentinel.port).close()  # at once: it does listen
    sentinel.wait_answers()
    assert sentinel.info("server")["process_supervised"] == "systemd"
    with open(pidfile) as file:
        assert int(file.read()) == sentinel.pid
    sentinel.child.terminate()
    notified.line("STOPPING=1")
    assert sentinel.wait_exit() == 0
    assert not os.path.exists(pidfile)


def test_supervisor_that_is_not_there(world, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    sentinel = world.sentinel("s1", MONITOR + ["supervised systemd"]).start(record=False)
    sentinel.wait_log("systemd supervision error: NOTIFY_SOCKET not found!")
    sentinel.wait_answers()
    assert sentinel.info("server")["process_supervised"] == "no"


def test_upstart(world, monkeypatch):
    """Stops itself to say that it is there, and goes on when it is continued."""
    monkeypatch.setenv("UPSTART_JOB", "sentinel")
    sentinel = world.sentinel("s1", MONITOR + ["supervised upstart"])
    sentinel.spawn()
    wait_until(lambda: os.waitpid(sentinel.pid, os.WUNTRACED | os.WNOHANG)[0] == sentinel.pid, 5,
               "it has stopped itself")
    sentinel.resume()
    sentinel.wait_answers()
    assert sentinel.info("server")["process_supervised"] == "upstart"


@pytest.mark.vedette_only
def test_default_pid_file(world):
    """A daemon without `pidfile` writes stock's. On a /run of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    sentinel = world.sentinel("s1", MONITOR + ["daemonize yes"])
    sentinel.command = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                        'mount -t tmpfs none /run && exec "$@"', "sh"] + sentinel.command
    assert sentinel.spawn().wait_exit() == 0
    wait_until(lambda: sentinel.call("PING") == "PONG", 10, "it answers")
    pid = sentinel.info("server")["process_id"]
    pidfile = "/proc/%s/root/run/redis.pid" % pid
    try:
        with open(pidfile) as file:
            assert file.read() == pid + "\n"
    finally:
        os.kill(int(pid), signal.SIGTERM)
    wait_until(lambda: gone(int(pid)), 10, "it ends")


# --- the unix socket ------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", ["beside TCP", "port 0", 'bind ""'])
def test_unixsocket(world, tcp):
    path = world.path("sock")
    sentinel = world.sentinel("s1", MONITOR + ["unixsocket " + path, "unixsocketperm 700"])
    if tcp != "beside TCP":
        sentinel.write_conf([tcp if line.split()[0] == tcp.split()[0] else line
                             for line in conf.read_lines(sentinel.conf)])
    local = redis.Redis(unix_socket_path=path, decode_responses=True)
    local.response_callbacks.clear()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)  # of one that was killed
    for _ in range(2):
        sentinel.spawn()
        wait_until(lambda: local.execute_command("PING") == "PONG", 10, "it answers there")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        assert local.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster") == [
            "127.0.0.1", "6399"]
        # Nothing before: a connection that a kill -9 left behind is no client.
        lines = [line for line in local.execute_command("CLIENT", "LIST").splitlines()
                 if " addr=%s:0 laddr=%s:0 " % (path, path) in line]
        assert len(lines) == 1 and " flags=U " in lines[0], lines
        if tcp == "beside TCP":
            sentinel.wait_answers()
        sentinel.kill()
        assert os.path.exists(path)
        local.connection_pool.disconnect()
    sentinel.spawn()
    wait_until(lambda: local.execute_command("PING") == "PONG", 10, "it answers there")
    assert sentinel.terminate() == 0
    assert not os.path.exists(path)


@pytest.mark.vedette_only
def test_unixsocket_leaves_files_alone(world):
    path = world.path("precious")
    with open(path, "w") as file:
        file.write("data")
    code, said = world.sentinel("s1", MONITOR + ["unixsocket " + path]).start_fails()
    assert code == 1 and "Failed opening Unix socket: bind: Address already in use" in said, said
    with open(path) as file:
        assert file.read() == "data"


@pytest.mark.parametrize("tcp", ["port 0", 'bind ""'])
def test_nowhere_to_listen(world, tcp):
    sentinel = world.sentinel("s1", MONITOR)
    sentinel.write_conf([tcp if line.split()[0] == tcp.split()[0] else line
                         for line in conf.read_lines(sentinel.conf)])
    code, said = sentinel.start_fails()
    said += "".join(text for _, text in sentinel.log_lines())
    assert code == 1 and "Configured to not listen anywhere, exiting." in said


# --- clients --------------------------------------------------------------------------------------


def test_maxclients(world):
    """Those beyond are told, the rest is served, and a place that is given up is had again."""
    sentinel = world.sentinel("s1", MONITOR + ["maxclients 5"]).start(record=False)
    sentinel.client.connection_pool.disconnect()
    wait_until(lambda: connect_and_ping(sentinel) == b"+PONG\r\n", 5, "alone")
    crowd = []

    def full():
        while len(crowd) < 5:
            connection = connect(sentinel.port)
            connection.sendall(PING)
            if connection.recv(100) != b"+PONG\r\n":
                return False
            crowd.append(connection)
        return True
    wait_until(full, 5, "five clients are served")
    for _ in range(3):
        assert read_all(connect(sentinel.port)) == b"-ERR max number of clients reached\r\n"
    crowd[0].sendall(PING)
    assert crowd[0].recv(100) == b"+PONG\r\n"
    crowd.pop().close()
    wait_until(lambda: connect_and_ping(sentinel) == b"+PONG\r\n", 5, "the place is free again")
    for connection in crowd:
        connection.close()
    wait_until(lambda: int(sentinel.info("stats")["rejected_connections"]) >= 3, 5, "counted")


def connect_and_ping(sentinel):
    with connect(sentinel.port) as connection:
        connection.sendall(PING)
        return connection.recv(100)


@pytest.mark.vedette_only
def test_links_and_clients_have_their_own_descriptors(world, fake):
    """As many clients as there may be, and as many links as there may be: neither takes the
    other's."""
    sentinel = world.sentinel("s1", monitor_lines(fake, 2, 60000, name="m0"))
    sentinel.command = ["sh", "-c", 'ulimit -n 200 && exec "$@"', "sh"] + sentinel.command \
        + ["--shards", "2"]
    sentinel.start(record=False)
    most = int(sentinel.info("clients")["maxclients"])
    assert sentinel.in_log("maxclients has been reduced from 10000 to %d" % most)
    assert 32 <= most < 150
    sentinel.client.connection_pool.disconnect()
    first = connect(sentinel.port)
    assert sentinel_over(first, "INFO clients")
    crowd = [connect(sentinel.port) for _ in range(most + 60)]
    wait_until(lambda: int_of(sentinel_over(first, "INFO stats"), "rejected_connections") >= 60, 10,
               "all have come")
    assert int_of(sentinel_over(first, "INFO clients"), "connected_clients") == most
    # Two shards accept them, so not in the order in which they came.
    refused = [connection for connection in crowd if closed(connection)]
    assert 60 <= len(refused) <= 62
    assert read_all(refused[-1]) == b"-ERR max number of clients reached\r\n"

    # Links to the full of what is left: every one that fits stands, then it is said.
    port = free_port()
    fake.info = fake.master_info(*["slave%d:ip=127.0.2.%d,port=%d,state=online,offset=1,lag=1"
                                   % (i, i + 1, port) for i in range(250)])
    sentinel.wait_log("No file descriptors are left for links", patience=20)
    for connection in refused + [c for c in crowd if c not in refused][:most // 2]:
        connection.close()

    def place():
        with connect(sentinel.port) as connection:
            connection.sendall(PING)
            return connection.recv(100) == b"+PONG\r\n"
    wait_until(place, 5, "a client finds its place")
    stays(place, 1, "and goes on to, while links want more")
    assert fake.subscribers() == 1
    for connection in crowd:
        connection.close()


def closed(connection):
    """It has said something, which is read later, or has closed."""
    return bool(select.select([connection], [], [], 0)[0])


def test_clients_that_never_close(world):
    """Whoever says QUIT and holds the connection open keeps a descriptor for some seconds, but only
    so many do at once (256 a shard); each has its answer."""
    if world.kind == "redis":
        pytest.skip("does not know QUIT")
    sentinel = world.sentinel("s1", MONITOR)
    sentinel.command += ["--shards", "1"]
    sentinel.start(record=False)

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % sentinel.pid))
    before = descriptors()
    crowd = [connect(sentinel.port) for _ in range(400)]
    for connection in crowd:
        connection.sendall(b"QUIT\r\n")
    for connection in crowd:
        assert read_all(connection) == b"+OK\r\n"
    wait_until(lambda: descriptors() <= before + 257, 3, "those beyond are closed")
    wait_until(lambda: descriptors() <= before + 1, 15, "and all of them after a while")
    for connection in crowd:
        connection.close()


def sentinel_over(connection, request):
    connection.sendall(request.encode() + b"\r\n")
    head = b""
    while b"\r\n" not in head:
        head += connection.recv(4096)
    line, rest = head.split(b"\r\n", 1)
    while len(rest) < int(line[1:]) + 2:
        rest += connection.recv(4096)
    return rest.decode()


def int_of(info, name):
    return int(info.split(name + ":")[1].split()[0])


def test_timeout(world):
    """An idle client is closed, a subscriber is not."""
    sentinel = world.sentinel("s1", MONITOR + ["timeout 1"]).start(record=False)
    with connect(sentinel.port, 10) as idle, connect(sentinel.port, 0.5) as listener:
        listener.sendall(b"PSUBSCRIBE *\r\n")
        assert listener.recv(100).startswith(b"*3\r\n$10\r\npsubscribe")
        at = time.monotonic()
        assert idle.recv(100) == b""
        assert time.monotonic() - at > 0.9
        time.sleep(1)
        with pytest.raises(socket.timeout):
            listener.recv(100)


def test_tcp_keepalive(world):
    """Asked of the kernel through /proc/net/tcp: a timer of kind 02 on the established side."""
    sentinel = world.sentinel("s1", MONITOR + ["tcp-keepalive 100"]).start(record=False)
    with connect(sentinel.port) as connection:
        connection.sendall(PING)
        assert connection.recv(100) == b"+PONG\r\n"
        mine = connection.getsockname()[1]

        def timer():
            with open("/proc/net/tcp") as table:
                for line in table:
                    words = line.split()
                    if words[1].endswith(":%04X" % sentinel.port) \
                            and words[2].endswith(":%04X" % mine):
                        kind, jiffies = words[5].split(":")
                        return (kind, int(jiffies, 16) / os.sysconf("SC_CLK_TCK"))
            return None
        kind, left = wait_until(timer, 2, "the connection is in the table")
        assert kind == "02" and 50 < left <= 101, (kind, left)


# --- output ---------------------------------------------------------------------------------------


def stuffed(sentinel, request, count):
    """A client that asks and never reads; its receive buffer is as small as can be."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    connection.connect(("127.0.0.1", sentinel.port))
    connection.sendall(request * count)
    return connection


def clients(sentinel):
    return len(sentinel.call("CLIENT", "LIST").splitlines())


BIG = 30  # masters: SENTINEL MASTERS answers about 27 KB


def big_lines():
    return [line for i in range(BIG)
            for line in ("sentinel monitor m%02d 127.0.0.1 6399 2" % i,
                         "sentinel down-after-milliseconds m%02d 60000" % i)]


def test_normal_output_hard(world):
    sentinel = world.sentinel("s1", big_lines() + ["client-output-buffer-limit normal 200kb 0 0"])
    sentinel.start(record=False)
    before = clients(sentinel)
    greedy = stuffed(sentinel, b"SENTINEL MASTERS\r\n", 400)  # 10 MB
    wait_until(lambda: sentinel.in_log("overcoming of output buffer limits"), 5, "said so")
    wait_until(lambda: clients(sentinel) == before, 5, "closed")
    greedy.close()


def test_normal_output_soft(world):
    """Above the soft limit for its seconds, below the hard one."""
    sentinel = world.sentinel("s1", big_lines()
                              + ["client-output-buffer-limit normal 0 200kb 1"])
    sentinel.start(record=False)
    before = clients(sentinel)
    greedy = stuffed(sentinel, b"SENTINEL MASTERS\r\n", 400)
    wait_until(lambda: clients(sentinel) == before + 1, 2, "it is in")
    at = time.monotonic()
    wait_until(lambda: clients(sentinel) == before, 10, "closed")
    assert time.monotonic() - at > 0.8
    assert sentinel.in_log("overcoming of output buffer limits")
    greedy.close()


def test_normal_output_without_limit(world):
    """The default: whoever pipelines without reading is served when it reads."""
    sentinel = world.sentinel("s1", big_lines()).start(record=False)
    greedy = stuffed(sentinel, b"SENTINEL MASTERS\r\n", 300)
    time.sleep(0.5)
    greedy.sendall(b"SENTINEL MYID\r\n")
    end = ("$40\r\n" + sentinel.myid() + "\r\n").encode()
    got, tail = 0, b""
    while not tail.endswith(end):
        more = greedy.recv(1 << 20)
        assert more, "closed after %d bytes" % got
        got += len(more)
        tail = (tail + more)[-100:]
    assert got > 300 * 10000
    greedy.close()


@pytest.mark.vedette_only
@pytest.mark.parametrize("limit, slow", [("300kb 0 0", False), ("0 300kb 1", True)])
def test_pubsub_output(world, limit, slow):
    """Of the class pubsub only: one who does not read its events, while normal ones have no
    limit. The events: +set of a long name, 64 to a request."""
    sentinel = world.sentinel("s1", MONITOR + ["client-output-buffer-limit pubsub " + limit])
    sentinel.start(record=False)
    deaf = stuffed(sentinel, b"PSUBSCRIBE *\r\n", 1)
    wait_until(lambda: sentinel.info("stats")["pubsub_patterns"] == "1", 5, "subscribed")
    name = "n" * 200
    assert sentinel.sentinel("MONITOR", name, "127.0.0.1", "6399", "2") == "OK"
    at = time.monotonic()

    def told():
        # One +set for each option; the kernel's buffers take the first megabytes.
        pipe = sentinel.client.pipeline(transaction=False)
        for _ in range(20):
            pipe.execute_command("SENTINEL", "SET", name,
                                 *["auth-user", "u" * 200] * 100)
        pipe.execute(raise_on_error=False)
        return sentinel.in_log("overcoming of output buffer limits")
    wait_until(told, 40, "closed")
    assert not slow or time.monotonic() - at > 1
    assert sentinel.info("stats")["pubsub_patterns"] == "0"
    deaf.close()


def test_maxmemory_clients(world):
    """All clients together: the largest go, those that asked to stay (NO-EVICT) do not."""
    sentinel = world.sentinel("s1", big_lines() + ["maxmemory 100mb", "maxmemory-clients 3%"])
    sentinel.start(record=False)
    assert sentinel.call("CLIENT", "NO-EVICT", "ON") == "OK"
    staying = stuffed(sentinel, b"CLIENT NO-EVICT ON\r\n" + b"SENTINEL MASTERS\r\n" * 600, 1)
    crowd = []

    def evicted():
        crowd.append(stuffed(sentinel, b"SENTINEL MASTERS\r\n", 600))
        time.sleep(0.2)
        return sentinel.info("stats")["evicted_clients"] != "0"
    wait_until(evicted, 20, "somebody had to go")
    assert sentinel.call("PING") == "PONG"
    assert staying.recv(5) == b"+OK\r\n"
    assert " flags=e " in sentinel.call("CLIENT", "LIST")
    for connection in crowd + [staying]:
        connection.close()


@pytest.mark.vedette_only
def test_request_bounds(world):
    """Ours are below the least that client-query-buffer-limit and proto-max-bulk-len can be."""
    sentinel = world.sentinel("s1", MONITOR + ["client-query-buffer-limit 1mb",
                                               "proto-max-bulk-len 1mb"]).start(record=False)
    with connect(sentinel.port) as connection:
        connection.sendall(b"*2\r\n$4\r\nPING\r\n$600000\r\n")
        assert read_all(connection) == b"-ERR Protocol error: invalid bulk length\r\n"
    with connect(sentinel.port) as connection:
        part = b"$500000\r\n" + b"x" * 500000 + b"\r\n"
        try:
            connection.sendall(b"*4\r\n$4\r\nPING\r\n" + part * 3)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert read_all(connection) in (b"-ERR Protocol error: too big request\r\n", b"")
    assert sentinel.call("PING") == "PONG"


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_orderly_stop(world, which):
    sentinel = world.sentinel("s1", MONITOR).start(record=False)
    os.kill(sentinel.pid, which)
    assert sentinel.wait_exit() == 0
    assert sentinel.in_log("Received %s scheduling shutdown..." % which.name)
    assert sentinel.in_log("is now ready to exit, bye bye...")


@pytest.mark.parametrize("hangs", ["the log", "nothing"])
@pytest.mark.vedette_only
def test_second_interrupt(world, hangs):
    """Exit code 1 at once, also while the first one's stop hangs (here: in a log that takes
    nothing any more)."""
    sentinel = world.sentinel("s1", MONITOR)
    fifo = world.path("fifo")  # not sentinel.log: whoever reports a failure would wait for its end
    os.mkfifo(fifo)
    sentinel.write_conf(["logfile " + fifo if line.startswith("logfile ") else line
                         for line in conf.read_lines(sentinel.conf)])
    log = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    sentinel.start(record=False)
    assert sentinel.sentinel("FLUSHCONFIG") == "OK"
    said = b""

    def quiet_now():
        nonlocal said
        try:
            said += os.read(log, 65536)
        except BlockingIOError:
            pass
        return b"configuration saved on disk" in said
    wait_until(quiet_now, 10, "it has said what there is to say")
    if hangs == "the log":
        for size in (65536, 4096, 1):
            try:
                while True:
                    os.write(log, b"x" * size)
            except BlockingIOError:
                pass
    os.kill(sentinel.pid, signal.SIGINT)
    if hangs == "the log":
        stays(sentinel.alive, 0.5, "the stop hangs")
        os.kill(sentinel.pid, signal.SIGINT)
        assert sentinel.wait_exit() == 1
    else:
        assert sentinel.wait_exit() == 0
    os.close(log)


def test_signals_that_do_nothing(world):
    sentinel = world.sentinel("s1", MONITOR).start(record=False)
    for which in (signal.SIGPIPE, signal.SIGHUP):
        os.kill(sentinel.pid, which)
    stays(lambda: sentinel.call("PING") == "PONG", 0.5, "it answers")


# --- files ----------------------------------------------------------------------------------------


def test_include(world):
    """Nested, relative to the working directory, by pattern; the state goes into the file itself."""
    sentinel = world.sentinel("s1", ["include first.conf", "include parts/*.conf"])
    os.mkdir(os.path.join(sentinel.directory, "parts"))
    for name, lines in {"first.conf": ["include second.conf", "timeout 55"],
                        "second.conf": MONITOR,
                        "parts/a.conf": ["sentinel monitor other 127.0.0.1 6398 1"],
                        "parts/b.conf": ["sentinel failover-timeout mymaster 4321"]}.items():
        with open(os.path.join(sentinel.directory, name), "w") as file:
            file.write("\n".join(lines) + "\n")
    sentinel.start(record=False)
    assert sentinel.master("other")["port"] == "6398"
    assert sentinel.master()["failover-timeout"] == "4321"
    if world.kind == "vedette":
        assert sentinel.sentinel("FLUSHCONFIG") == "OK"
        assert "include first.conf" in conf.read_lines(sentinel.conf)
        sentinel.terminate()
        sentinel.start(record=False)
        assert sentinel.master()["failover-timeout"] == "4321"


@pytest.mark.vedette_only
def test_include_of_nothing_and_of_itself(world):
    sentinel = world.sentinel("s1", MONITOR + ["include nowhere.conf"])
    code, said = sentinel.start_fails()
    assert code == 1 and "can't open config file 'nowhere.conf': No such file" in said, said
    sentinel = world.sentinel("s2", MONITOR + ["include sentinel.conf"])
    code, said = sentinel.start_fails()
    assert code == 1 and "Too many nested include directives" in said, said


@pytest.mark.parametrize("lines", [["rename-command PING P1NG", 'rename-command SHUTDOWN ""']])
def test_rename_command(world, lines):
    sentinel = world.sentinel("s1", MONITOR + lines)
    sentinel.spawn()
    wait_until(lambda: sentinel.call("P1NG") == "PONG", 10, "the new name works")
    for gone in ("PING", "SHUTDOWN"):
        with pytest.raises(redis.exceptions.ResponseError, match="unknown command '%s'" % gone):
            sentinel.call(gone)


def adapted(source, sentinel, more=()):
    """A file of Debian's with what a test must change; everything else as it is."""
    changes = {"port": str(sentinel.port), "bind": "127.0.0.1", "dir": sentinel.directory,
               "logfile": sentinel.log, "pidfile": os.path.join(sentinel.directory, "pid"),
               "daemonize": "no", "sentinel monitor": "mymaster 127.0.0.1 6399 2"}
    lines = []
    for line in conf.read_lines(source):
        for name, value in changes.items():
            if line.startswith(name + " "):
                line = name + " " + value
        lines.append(line)
    sentinel.write_conf(lines + list(more))
    return lines


@pytest.mark.parametrize("source", ["/etc/redis/sentinel.conf", "/etc/redis/redis.conf"])
def test_files_of_the_distribution(world, source):
    """Debian's own, whole; redis.conf as `redis.conf --sentinel`. What the user wrote stays."""
    if not os.path.exists(source):
        pytest.skip("no " + source)
    sentinel = world.sentinel("s1", bare=True)
    lines = adapted(source, sentinel, [] if "sentinel" in source else MONITOR)
    program = "redis-server" if world.kind == "redis" else BINARY["vedette"]
    sentinel.command = [program, sentinel.conf, "--sentinel"]
    sentinel.start(record=False)
    assert sentinel.master()["port"] == "6399"
    assert sentinel.sentinel("SET", "mymaster", "quorum", "3") == "OK"
    if world.kind == "vedette":
        comments = [line for line in lines if line.startswith("#")]
        assert [line for line in conf.read_lines(sentinel.conf)
                if line.startswith("#")][:len(comments)] == comments
    assert sentinel.terminate() == 0
    sentinel.start(record=False)
    assert sentinel.master()["quorum"] == "3"
    if shutil.which("redis-server") is not None:  # and the way back
        sentinel.terminate()
        sentinel.command[0] = "redis-server"
        sentinel.start(record=False)
        assert sentinel.master()["quorum"] == "3"


def test_reboot_down_after(world, fake):
    """A master that comes back with another run_id and does not answer +PONG within the period is
    down, though it answers something."""
    sentinel = world.sentinel("s1", monitor_lines(fake, 1, 60000)
                              + ["sentinel master-reboot-down-after-period mymaster 1500"]).start()
    wait_until(lambda: sentinel.master()["runid"] == fake.run_id, 10, "its INFO is there")
    answer = fake._answer
    fake._answer = lambda connection, words: (
        b"-LOADING Redis is loading the dataset in memory\r\n" if words[0].upper() == "PING"
        else answer(connection, words))
    fake.info = fake.info.replace(fake.run_id, "e" * 40)
    sentinel.wait_event("+reboot", "master mymaster", patience=15)
    sentinel.wait_event("+sdown", "master mymaster", patience=10)
