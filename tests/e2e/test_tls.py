"""TLS: the port, the links, certificates that change (protocol.md §2, §4, §10)."""

import os
import selectors
import socket
import ssl
import subprocess
import sys
import time

import pytest
import redis

from lib.ports import free_port
from lib.server import client
from lib.tls import Authority
from lib.wait import wait_until
from lib.world import monitor_lines, settle, wait_known, wait_switched

NOBODY = "sentinel monitor nobody 127.0.0.1 1 2"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="module")
def identity(ca):
    return ca.issue("node")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Of another CA."""
    return Authority(str(tmp_path_factory.mktemp("foreign")), "foreign").issue("stranger")


def serial(port, identity):
    """Of the certificate that the port shows now."""
    context = ssl.create_default_context(cafile=identity.ca)
    context.check_hostname = False
    context.load_cert_chain(identity.cert, identity.key)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with context.wrap_socket(plain) as connection:
            return int(connection.getpeercert()["serialNumber"], 16)


def ping(port, **options):
    connection = client(port, **options)
    try:
        return connection.execute_command("PING")
    finally:
        connection.close()


def refused(port, **options):
    with pytest.raises((redis.exceptions.RedisError, OSError)):
        ping(port, timeout=2, **options)
    return True


# --- the port -------------------------------------------------------------------------------------


def test_both_ports_serve_at_once(world, identity):
    """--tls-port on the command line; the file keeps it."""
    sentinel = world.sentinel("s1", [NOBODY] + identity.lines())
    tls_port = free_port()
    sentinel.command += ["--tls-port", str(tls_port)]
    sentinel.start()
    assert sentinel.call("PING") == "PONG"
    assert ping(tls_port, **identity.options()) == "PONG"
    assert sentinel.info("server")["tcp_port"] == str(sentinel.port)
    # Speaking the wrong language on either port hurts nobody.
    refused(tls_port)
    refused(sentinel.port, **identity.options())
    assert sentinel.call("PING") == "PONG"
    assert ping(tls_port, **identity.options()) == "PONG"
    sentinel.sentinel("FLUSHCONFIG")
    with open(sentinel.conf) as file:
        text = file.read().replace('"', "")
    assert "tls-port %d\n" % tls_port in text
    for line in identity.lines():
        assert line in text.split("\n")


def test_clients_without_a_certificate(world, identity, stranger, ca):
    """tls-auth-clients: yes refuses them, optional and no take them; a wrong one is refused."""
    without = {"ssl": True, "ssl_ca_certs": ca.cert, "ssl_check_hostname": False}
    foreign = dict(stranger.options(), ssl_ca_certs=ca.cert)
    for auth, bare_ok, foreign_ok in (("yes", False, False), ("optional", True, False),
                                      ("no", True, True)):
        sentinel = world.sentinel("auth-" + auth, [NOBODY, "tls-auth-clients " + auth],
                                  tls=identity).start(record=False)
        assert sentinel.call("PING") == "PONG"
        assert sentinel.info("server")["tcp_port"] == str(sentinel.port)
        for options, ok in ((without, bare_ok), (foreign, foreign_ok)):
            if ok:
                assert ping(sentinel.port, **options) == "PONG"
            else:
                refused(sentinel.port, **options)
        if auth == "yes":
            sentinel.wait_log("Error accepting a client connection: error:0A0000C7:SSL routines::"
                              "peer did not return a certificate")
            if sentinel.kind == "vedette":
                assert int(sentinel.info("vedette")["vedette_tls_handshakes_failed"]) >= 2
        # A client does not take a server of another CA either.
        refused(sentinel.port, **stranger.options())
        assert sentinel.call("PING") == "PONG"


def test_protocols_and_ciphers_are_enforced(world, identity):
    sentinel = world.sentinel("s1", [
        NOBODY, "tls-protocols TLSv1.2", "tls-ciphers ECDHE-ECDSA-AES128-GCM-SHA256"], tls=identity)
    other = world.sentinel("s2", [
        NOBODY, "tls-protocols TLSv1.3", "tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256"],
        tls=identity)

    def spoken(to, version=None, ciphers=None):
        context = ssl.create_default_context(cafile=identity.ca)
        context.check_hostname = False
        context.load_cert_chain(identity.cert, identity.key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if ciphers is not None:
            context.set_ciphers(ciphers)
        with socket.create_connection(("127.0.0.1", to.port), timeout=5) as plain:
            with context.wrap_socket(plain) as connection:
                return connection.version(), connection.cipher()[0]

    sentinel.start(record=False)
    other.start(record=False)
    assert spoken(sentinel) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert spoken(other) == ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256")
    for to, version, ciphers in ((sentinel, ssl.TLSVersion.TLSv1_3, None),
                                 (sentinel, None, "ECDHE-ECDSA-AES256-GCM-SHA384"),
                                 (other, ssl.TLSVersion.TLSv1_2, None)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            spoken(to, version, ciphers)


def test_sessions_go_on(world, ca, identity):
    """A client that comes back goes on with its session, its certificate included; CAs from a
    folder."""
    folder = world.path("authorities")
    os.mkdir(folder)
    digest = subprocess.run(["openssl", "x509", "-subject_hash", "-noout", "-in", ca.cert],
                            stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    os.symlink(ca.cert, os.path.join(folder, digest + ".0"))
    port = free_port()
    lines = [line for line in identity.lines(tls_ca_cert_dir=folder)
             if not line.startswith("tls-ca-cert-file")]
    sentinel = world.sentinel("s1", [NOBODY, "tls-port %d" % port] + lines).start(record=False)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=identity.ca)
        context.check_hostname = False
        context.load_cert_chain(identity.cert, identity.key)
        context.minimum_version = context.maximum_version = version
        session, reused = None, []
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
                with context.wrap_socket(plain, session=session) as connection:
                    connection.sendall(b"PING\r\n")
                    assert connection.recv(64) == b"+PONG\r\n"
                    reused.append(connection.session_reused)
                    session = connection.session
        assert reused == [False, True], version
    refused(port, ssl=True, ssl_ca_certs=ca.cert, ssl_check_hostname=False)
    assert sentinel.call("PING") == "PONG"


@pytest.mark.vedette_only
def test_what_cannot_be_loaded_is_said(world, ca, identity):
    """At start: the words of redis-sentinel, then exit 1."""
    other, locked = ca.issue("other"), ca.encrypt(identity, "sesame")
    nowhere = os.path.join(ca.directory, "nowhere")
    cases = [
        (identity.lines(tls_key_file=nowhere), "Failed to load private key: " + nowhere),
        (identity.lines(tls_key_file=other.key), "Failed to load private key: " + other.key),
        (identity.lines(tls_cert_file=nowhere), "Failed to load certificate: " + nowhere),
        (identity.lines(tls_ca_cert_file=nowhere), "Failed to configure CA certificate(s)"),
        (locked.lines(), "Failed to load private key: " + locked.key),
        (locked.lines(tls_key_file_pass="wrong"), "Failed to load private key: " + locked.key),
        (identity.lines(tls_protocols="SSLv3"), "Invalid tls-protocols specified."),
        (["tls-replication yes"], "No tls-cert-file configured!"),
    ]
    for number, (lines, reason) in enumerate(cases):
        sentinel = world.sentinel("bad%d" % number, [NOBODY] + lines)
        code, said = sentinel.start_fails()
        assert code == 1
        assert "Failed to configure TLS. Check logs for more info." in said
        assert sentinel.in_log(reason), (reason, sentinel.log_lines())
    good = world.sentinel("good", [NOBODY] + locked.lines(tls_key_file_pass="sesame"))
    good.start(record=False)
    # Half a pair is no client certificate: said, and the other one is shown.
    lone = world.sentinel("lone", [NOBODY] + identity.lines(tls_client_cert_file=other.cert))
    lone.start(record=False)
    assert lone.in_log("tls-client-cert-file and tls-client-key-file go together")
    both = world.sentinel("both", [NOBODY, "tls-port %d" % good.port] + identity.lines(),
                          port=good.port)
    code, said = both.start_fails()
    assert code == 1
    assert "Failed listening on port %d (TLS), aborting." % good.port in said


# --- many at once ---------------------------------------------------------------------------------

# Prints the milliseconds each PING of plain clients took, round about, until its input ends.
PINGER = r"""
import select, socket, sys, time
clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(8)]
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for client in clients:
        begun = time.monotonic()
        client.sendall(b"PING\r\n")
        assert client.recv(64) == b"+PONG\r\n"
        print("%.3f" % (1000 * (time.monotonic() - begun)), flush=True)
        time.sleep(0.001)
"""


class Greeting:
    """A TLS client whose first words are ready to be sent."""

    def __init__(self, port, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing)
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.done = self._step()
        self.words = self.outgoing.read()

    def _step(self):
        try:
            self.session.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def send(self):
        self.connection.sendall(self.words)

    def hear(self):
        """Goes on with what has arrived; the answer to PING once that is there."""
        words = self.connection.recv(65536)
        assert words, "closed by the server"
        self.incoming.write(words)
        if not self.done:
            self.done = self._step()
            if self.done:
                self.session.write(b"PING\r\n")
            self.connection.sendall(self.outgoing.read())
        if self.done:
            try:
                return self.session.read(64)
            except ssl.SSLWantReadError:
                pass
        return None


def greet_all(crowd):
    """All say hello, then each goes on when it hears something."""
    waiting = selectors.DefaultSelector()
    for one in crowd:
        one.send()
        waiting.register(one.connection, selectors.EVENT_READ, one)
    deadline = time.monotonic() + 60
    while waiting.get_map():
        assert time.monotonic() < deadline, "%d wait" % len(waiting.get_map())
        for key, _ in waiting.select(1):
            answer = key.data.hear()
            if answer is not None:
                assert answer == b"+PONG\r\n"
                waiting.unregister(key.fileobj)


@pytest.mark.vedette_only
def test_handshakes_do_not_stall_clients(world, ca):
    """500 clients greet at the same moment, with a certificate that takes milliseconds to sign:
    plain ones are served in between, and every one of the 500 gets through."""
    costly = ca.issue("costly", rsa=4096)
    sentinel = world.sentinel("s1", [NOBODY, "tls-auth-clients no"] + costly.lines())
    port = free_port()
    sentinel.command += ["--tls-port", str(port)]
    sentinel.start(record=False)
    context = ssl.create_default_context(cafile=ca.cert)
    context.check_hostname = False
    crowd = [Greeting(port, context) for _ in range(500)]
    pinger = subprocess.Popen([sys.executable, "-c", PINGER, str(sentinel.port)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert pinger.stdout.readline() == "ready\n"
        begun = time.monotonic()
        greet_all(crowd)
        took = time.monotonic() - begun
        pings = sorted(float(line) for line in pinger.communicate("")[0].split())
    finally:
        pinger.kill()
        pinger.wait()
        for one in crowd:
            one.connection.close()
    p50, p99 = pings[len(pings) // 2], pings[int(len(pings) * 0.99)]
    print("500 handshakes in %.2f s; meanwhile %d plain PINGs: median %.2f ms, p99 %.2f ms, "
          "longest %.2f ms" % (took, len(pings), p50, p99, pings[-1]))
    # Without turns the longest is as long as all the handshakes of a shard: seconds.
    assert pings[-1] < 1000, "a PING took %.0f ms" % pings[-1]
    info = sentinel.info("vedette")
    assert int(info["vedette_tls_handshakes"]) == len(crowd)
    assert int(info["vedette_tls_handshakes_refused"]) == 0


# --- certificates that change ---------------------------------------------------------------------


@pytest.mark.vedette_only
def test_new_certificates_without_a_restart(world, ca):
    mine = ca.issue("changing")
    first = ca.serial
    sentinel = world.sentinel("s1", [NOBODY], tls=mine).start(record=False)
    old = client(sentinel.port, **mine.options())
    subscriber = redis.Redis("127.0.0.1", sentinel.port, decode_responses=True,
                             **mine.options()).pubsub()
    subscriber.subscribe("+reset-master")
    assert old.execute_command("PING") == "PONG"
    assert serial(sentinel.port, mine) == first
    pid_of_connection = old.execute_command("CLIENT", "ID")

    ca.issue("changing")
    wait_until(lambda: serial(sentinel.port, mine) == first + 1, 15, "the new certificate is shown")
    sentinel.wait_log("TLS certificates reloaded")
    assert old.execute_command("CLIENT", "ID") == pid_of_connection  # the connection lives on

    # A key that does not fit: said once, and the last good one stays.
    other = ca.issue("unfitting")
    os.rename(other.key, mine.key + ".tmp")
    os.rename(mine.key, mine.key + ".good")
    os.rename(mine.key + ".tmp", mine.key)
    sentinel.wait_log("TLS certificates cannot be reloaded", 15)
    time.sleep(2.5)
    assert len(sentinel.in_log("TLS certificates cannot be reloaded")) == 1
    os.rename(mine.key + ".good", mine.key)
    seen = sentinel.log_size()
    sentinel.wait_log("TLS certificates reloaded", 15, seen)

    # On SIGHUP at once.
    seen = sentinel.log_size()
    os.kill(sentinel.pid, 1)
    sentinel.wait_log("TLS certificates reloaded", 10, seen)
    assert serial(sentinel.port, mine) == first + 1
    sentinel.sentinel("RESET", "*")
    message = wait_until(lambda: subscriber.get_message(timeout=0.2), 5, "a message")
    while message and message["type"] != "message":
        message = wait_until(lambda: subscriber.get_message(timeout=0.2), 5, "a message")
    assert message["data"].startswith("master nobody")


# --- links ----------------------------------------------------------------------------------------


def all_links(kinds, world, identity):
    master, replicas = world.group(1, tls=identity)
    sentinels = world.sentinels(kinds, master, tls=identity)
    wait_known(sentinels, 1)
    return master, replicas, sentinels


def test_failover_with_tls_everywhere(world, kind, identity):
    """port 0: nothing here listens in plain. The hellos carry the tls-port."""
    master, replicas, sentinels = all_links([kind] * 3, world, identity)
    ports = {sentinel.port for sentinel in sentinels}
    for sentinel in sentinels:
        assert {int(peer["port"]) for peer in sentinel.sentinels()} == ports - {sentinel.port}
    settle(sentinels)
    master.kill()
    assert wait_switched(sentinels, master, 30) == replicas[0].port
    replicas[0].wait_role("master")
    master.start()
    master.wait_role("slave", 30, of=replicas[0])
    wait_known(sentinels, 1, patience=30)


@pytest.mark.vedette_only
def test_mixed_quorum_over_tls(world, identity):
    """A vedette and two redis-sentinels: they find each other, and any of them can lead."""
    master, replicas, sentinels = all_links(["vedette", "redis", "redis"], world, identity)
    for sentinel in sentinels:
        assert sentinel.sentinel("CKQUORUM", "mymaster").startswith("OK 3 usable")
    settle(sentinels)
    master.kill()
    assert wait_switched(sentinels, master, 30) == replicas[0].port
    replicas[0].wait_role("master")


@pytest.mark.vedette_only
def test_links_take_no_strangers(world, identity, stranger):
    """A master of another CA: no link, and the log says why. Without tls-replication links are
    plain though there is a tls-port."""
    master = world.server("master", tls=stranger)
    sentinel = world.sentinel("s1", monitor_lines(master, 1), tls=identity).start(record=False)
    sentinel.wait_log("A link with tls-replication cannot be made: ")
    sentinel.wait_log("certificate verify failed: ", 1)
    assert "disconnected" in sentinel.master()["flags"]

    plain = world.server("plain")
    lines = [line for line in identity.lines() if not line.startswith("tls-replication")]
    port = free_port()
    sentinel = world.sentinel("s2", monitor_lines(plain, 1) + lines + ["tls-port %d" % port])
    sentinel.start(record=False)
    wait_until(lambda: sentinel.master()["flags"] == "master", 10, "a plain link")
    assert ping(port, **identity.options()) == "PONG"


@pytest.mark.vedette_only
def test_outgoing_only(world, identity, ca):
    """tls-replication without a tls-port is legal; the client certificate is what servers see."""
    shown = ca.issue("shown")
    master = world.server("master", tls=identity)
    sentinel = world.sentinel("s1", monitor_lines(master, 1) + identity.lines(
        tls_client_cert_file=shown.cert, tls_client_key_file=shown.key))
    sentinel.start(record=False)
    wait_until(lambda: sentinel.master()["flags"] == "master", 10, "a link over TLS")
    assert sentinel.call("PING") == "PONG"
    # The hello announces the plain port, where there is no other.
    heard = redis.Redis("127.0.0.1", master.port, decode_responses=True,
                        **identity.options()).pubsub()
    heard.subscribe("__sentinel__:hello")
    message = wait_until(lambda: next((m for m in [heard.get_message(timeout=0.5)]
                                       if m and m["type"] == "message"), None), 10, "a hello")
    assert message["data"].split(",")[1] == str(sentinel.port)
