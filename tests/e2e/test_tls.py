"""TLS: the port, the links, certificates that change (protocol.md §2, §4, §10)."""

import os
import socket
import ssl
import threading
import time

import pytest
import redis

from lib.ports import free_port
from lib.server import client
from lib.tls import Authority, Identity
from lib.wait import stays, wait_until
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
    with pytest.raises((redis.exceptions.ConnectionError, OSError)):
        ping(port, **options)
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
        text = file.read()
    assert "tls-port %d\n" % tls_port in text.replace('"', "")
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
        # A client does not take a server of another CA either.
        refused(sentinel.port, **stranger.options())
        assert sentinel.call("PING") == "PONG"


def test_protocols_are_enforced(world, identity):
    sentinel = world.sentinel("s1", [NOBODY, "tls-protocols TLSv1.2"], tls=identity)
    sentinel.start(record=False)

    def version(most):
        context = ssl.create_default_context(cafile=identity.ca)
        context.check_hostname = False
        context.load_cert_chain(identity.cert, identity.key)
        context.minimum_version = most
        with socket.create_connection(("127.0.0.1", sentinel.port), timeout=5) as plain:
            with context.wrap_socket(plain) as connection:
                return connection.version()

    assert version(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        version(ssl.TLSVersion.TLSv1_3)
