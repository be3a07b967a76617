"""A TCP proxy in front of a server that notes every request that crosses it, and that can be cut:
what a look at the wire with a packet capture would show, and a cable that is pulled."""

import socket
import threading
import time

from lib.ports import free_port


class Request:
    def __init__(self, at, connection, words):
        self.at, self.connection, self.words = at, connection, words

    def __repr__(self):
        return "%.3f #%d %s" % (self.at, self.connection, " ".join(self.words))


class Proxy:
    """Listens on 127.0.0.1:port and passes everything on to 127.0.0.1:to. cut() resets what is
    open and refuses what comes; mend() ends that."""

    def __init__(self, to, port=None):
        self.to = to
        self.port = port if port is not None else free_port()
        self.requests = []
        self._lock = threading.Lock()
        self._open = set()
        self._count = 0
        self._listener = None
        self._closing = False
        self.mend()

    def mend(self):
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self):
        listener, self._listener = self._listener, None
        # Waking accept() closes the port at once.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            doomed, self._open = self._open, set()
        for one in doomed:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        return time.monotonic()

    def close(self):
        if self._listener is not None:
            self.cut()

    def words(self, since=0):
        """The requests, as lists of words, in the order they came."""
        return [request.words for request in self.requests[since:]]

    def of_connections(self, since=0):
        """{connection: [words, …]}, in the order the connections were opened."""
        found = {}
        for request in self.requests[since:]:
            found.setdefault(request.connection, []).append(request.words)
        return found

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listener is not listener:  # cut meanwhile
                    client.close()
                    server.close()
                    return
                self._open.update((client, server))
                self._count += 1
                number = self._count
            threading.Thread(target=self._requests, args=(client, server, number),
                             daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()

    def _end(self, *sockets):
        with self._lock:
            self._open.difference_update(sockets)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def _pump(self, source, target):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        self._end(source, target)

    def _requests(self, client, server, number):
        pending = b""
        try:
            while True:
                data = client.recv(65536)
                if not data:
                    break
                pending = self._note(pending + data, number)
                server.sendall(data)
        except OSError:
            pass
        self._end(client, server)

    def _note(self, data, number):
        """Notes the whole requests in data; returns the rest."""
        while data.startswith(b"*"):
            words, rest = _take(data)
            if words is None:
                return data
            self.requests.append(Request(time.monotonic(), number, words))
            data = rest
        return b""  # a replica's stream, an inline request: of no interest


def _take(data):
    """(words, rest) of the first request; (None, data) while it is not whole."""
    head, found, rest = data.partition(b"\r\n")
    if not found:
        return None, data
    words = []
    for _ in range(int(head[1:])):
        head, found, rest = rest.partition(b"\r\n")
        size = int(head[1:]) if found else 0
        if not found or len(rest) < size + 2:
            return None, data
        words.append(rest[:size].decode(errors="replace"))
        rest = rest[size + 2:]
    return words, rest
