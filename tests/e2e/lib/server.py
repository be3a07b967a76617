"""A real redis-server."""

import os

import redis

from lib.ports import free_port
from lib.process import Process
from lib.wait import wait_until


def client(port, timeout=5.0, host="127.0.0.1", **options):
    """A redis-py client that gives replies as they came: no parsing, text not bytes."""
    connection = redis.Redis(host, port, socket_timeout=timeout, decode_responses=True,
                             single_connection_client=False, **options)
    connection.response_callbacks.clear()
    return connection


def port_lines(port, tls):
    """The port's lines of a redis.conf or sentinel.conf; tls: a lib.tls.Identity, and TLS only."""
    return ["port %d" % port] if tls is None else ["port 0", "tls-port %d" % port] + tls.lines()


def tls_options(tls):
    return {} if tls is None else tls.options()


class RedisServer(Process):
    def __init__(self, name, directory, follows=None, lines=(), password=None, tls=None):
        super().__init__(name, directory)
        self.port = free_port()
        self.conf = os.path.join(directory, "redis.conf")
        with open(self.conf, "w") as file:
            file.write("%s\nbind 127.0.0.1\nsave \"\"\nappendonly no\ndir %s\n"
                       "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-timeout 10\n"
                       % ("\n".join(port_lines(self.port, tls)), directory))
            if follows is not None:
                file.write("replicaof 127.0.0.1 %d\n" % follows.port)
            if password is not None:
                file.write("requirepass %s\nmasterauth %s\n" % (password, password))
            file.write("".join(line + "\n" for line in lines))
        self.command = ["redis-server", self.conf]
        self.client = client(self.port, password=password, **tls_options(tls))

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        self.spawn()
        wait_until(lambda: self.alive() and self.info("server"), 10, "%s answers" % self.name)
        return self

    def info(self, section):
        text = self.client.execute_command("INFO", section)
        return dict(line.split(":", 1) for line in text.split("\r\n")
                    if line and not line.startswith("#"))

    def role(self):
        """("master", None, None) or ("slave", port of its master, link up)."""
        info = self.info("replication")
        if info["role"] == "master":
            return ("master", None, None)
        return ("slave", int(info["master_port"]), info["master_link_status"] == "up")

    def wait_role(self, role, patience=10.0, of=None):
        """of: the server it follows, link up."""
        def reached():
            now = self.role()
            return now[0] == role and (of is None or now[1:] == (of.port, True))
        wait_until(reached, patience, "%s is %s%s" % (
            self.name, role, " of " + of.name if of is not None else ""))
        return self

    def shutdown(self):
        """The clean way."""
        self.ended_by_us = True
        try:
            self.client.execute_command("SHUTDOWN", "NOSAVE")
        except redis.exceptions.ConnectionError:
            pass
        self.child.wait(10)
