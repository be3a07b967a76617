"""A world with its own host names: every process sees one private /etc/hosts (a mount namespace
each), which the test may change while they run."""

import os
import shutil
import subprocess

import pytest

from lib.ports import free_port
from lib.sentinel import Sentinel
from lib.server import RedisServer, client

# A name server nobody runs: what /etc/hosts lacks is refused at once.
NOWHERE = "127.0.0.77"


class Names:
    """hosts: name -> address; set() changes them for everybody."""

    def __init__(self, world, nameserver=NOWHERE):
        if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(
                ["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("needs root and mount namespaces")
        self.world = world
        self.known = {}
        self.folder = world.path("etc")
        os.makedirs(self.folder, exist_ok=True)
        self._write("resolv.conf", "nameserver %s\noptions timeout:5 attempts:2\n" % nameserver)
        self._write("nsswitch.conf", "hosts: files dns\n")
        self.set()

    def _write(self, name, text):
        # In place: the file is mounted elsewhere.
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def set(self, **hosts):
        """name=address (_ for .), several with blanks between, or None to take the name away."""
        for name, address in hosts.items():
            self.known[name.replace("_", ".")] = address
        self._write("hosts", "127.0.0.1 localhost\n" + "".join(
            "%s %s\n" % (address, name) for name, addresses in self.known.items()
            for address in (addresses or "").split()))

    def inside(self, command):
        """The command, to be run where these names hold."""
        mounts = " && ".join('mount --bind "%s/%s" /etc/%s' % (self.folder, name, name)
                             for name in ("hosts", "resolv.conf", "nsswitch.conf"))
        return ["unshare", "-m", "--propagation", "private", "sh", "-c",
                mounts + ' && exec "$0" "$@"'] + command

    # --- processes --------------------------------------------------------------------------------

    def server(self, name, ip, follows=None, port=None, announce=None):
        """A redis-server at ip; follows: (host, port); announce: the name it goes by."""
        lines = ["bind %s" % ip, "protected-mode no"]
        if follows is not None:
            lines.append("replicaof %s %d" % follows)
            lines.append("bind-source-addr %s" % ip)
        if announce is not None:
            lines.append("replica-announce-ip " + announce)
        server = RedisServer(name, self.world.path(name), None, lines)
        if port is not None:
            with open(server.conf) as file:
                text = file.read()
            with open(server.conf, "w") as file:
                file.write(text.replace("port %d" % server.port, "port %d" % port, 1))
            server.port = port
        server.ip = ip
        server.client = client(server.port, host=ip)
        server.command = self.inside(server.command)
        return self.world._own(server).start()

    def sentinel(self, name, lines, announce="no", ip="127.0.0.1", kind=None, port=None):
        sentinel = Sentinel(kind or self.world.kind, name, self.world.path(name), [
            "sentinel resolve-hostnames yes", "sentinel announce-hostnames " + announce] +
            list(lines), port)
        if ip != "127.0.0.1":
            text = open(sentinel.conf).read().replace("bind 127.0.0.1", "bind 127.0.0.1 " + ip)
            sentinel.write_conf(text.splitlines())
        sentinel.command = self.inside(sentinel.command)
        return self.world._own(sentinel)


def one_port():
    """A port that is free on every loopback address."""
    return free_port()
