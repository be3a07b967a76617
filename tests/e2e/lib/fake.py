"""A Redis that says what the test wants: enough of one for a sentinel to watch it."""

import socket
import threading
import time

from lib.ports import free_port

HELLO_CHANNEL = "__sentinel__:hello"


def bulk(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items):
    return b"*%d\r\n" % len(items) + b"".join(items)


class FakeRedis:
    """info: text or bytes of the INFO reply. raw_info: sent instead, as it is. Subscribers of the
    hello channel get what say() is given. obeys: SLAVEOF changes its INFO."""

    def __init__(self, obeys=False, port=None):
        self.obeys = obeys
        self.port = port or free_port()
        self.run_id = "%040x" % self.port
        self.info = self.master_info()
        self.raw_info = None
        self.commands = []       # (time, connection number, [words])
        self.heard = []          # hellos published by sentinels
        self._subscribers = []
        self._open = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def follow(self, port, link="up", priority=100):
        """INFO of a replica of the server at that port."""
        self.info = self.master_info(
            "master_host:127.0.0.1", "master_port:%d" % port, "master_link_status:" + link,
            "master_link_down_since_seconds:%d" % (-1 if link == "up" else 1),
            "slave_priority:%d" % priority, "slave_repl_offset:100", role="slave")

    def master_info(self, *replica_lines, role="master"):
        return "\r\n".join(["# Server", "redis_version:7.0.15", "run_id:" + self.run_id,
                            "# Replication", "role:" + role,
                            "connected_slaves:%d" % len(replica_lines), *replica_lines, ""])

    def say(self, message):
        """A hello to every subscriber; message: text or bytes."""
        push = array(bulk("message"), bulk(HELLO_CHANNEL), bulk(message))
        self.send_to_subscribers(push)

    def send_to_subscribers(self, raw):
        with self._lock:
            targets = list(self._subscribers)
        for target in targets:
            try:
                target.sendall(raw)
            except OSError:
                pass
        return len(targets)

    def subscribers(self):
        with self._lock:
            return len(self._subscribers)

    def close(self):
        self._closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)  # wakes its thread
                except OSError:
                    pass
                connection.close()

    def _accept(self):
        number = 0
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            with self._lock:
                self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        reader = connection.makefile("rb")
        try:
            while True:
                words = self._request(reader)
                if words is None:
                    break
                self.commands.append((time.monotonic(), number, words))
                connection.sendall(self._answer(connection, words))
        except (OSError, ValueError):
            pass
        with self._lock:
            if connection in self._subscribers:
                self._subscribers.remove(connection)
        connection.close()

    @staticmethod
    def _request(reader):
        head = reader.readline()
        if not head.startswith(b"*"):
            return None
        words = []
        for _ in range(int(head[1:])):
            size = int(reader.readline()[1:])
            words.append(reader.read(size + 2)[:-2].decode(errors="replace"))
        return words

    def _answer(self, connection, words):
        command = words[0].upper()
        if command == "PING":
            return b"+PONG\r\n"
        if command == "INFO":
            return self.raw_info if self.raw_info is not None else bulk(self.info)
        if command == "SUBSCRIBE":
            with self._lock:
                self._subscribers.append(connection)
            return array(bulk("subscribe"), bulk(words[1]), b":1\r\n")
        if command == "PUBLISH":
            self.heard.append(words[2])
            self.say(words[2])
            return b":1\r\n"
        if command == "SLAVEOF" and self.obeys:
            if words[1].upper() == "NO":
                self.info = self.master_info()
            else:
                self.follow(int(words[2]))
        if command in ("CLIENT", "AUTH", "SCRIPT", "CONFIG", "SLAVEOF", "MULTI", "EXEC"):
            return b"+OK\r\n"
        return b"-ERR unknown command\r\n"
