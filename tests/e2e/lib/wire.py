"""A connection that gives replies as they came: (type, value) trees, nothing interpreted."""

import socket


class Closed(Exception):
    """The other side closed the connection."""


def encode(words):
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Wire:
    def __init__(self, port, patience=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return "%s:%d" % self.socket.getsockname()[:2]

    def send(self, data, piece=None):
        """piece: so many bytes at a time."""
        if piece is None:
            self.socket.sendall(data)
            return
        for i in range(0, len(data), piece):
            self.socket.sendall(data[i:i + piece])

    def ask(self, *words):
        self.send(encode(words))
        return self.read()

    def read(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise Closed()
        kind, rest = line[:1].decode("latin-1"), line[1:-2].decode("latin-1")
        if kind in "+-:_,#(":
            return (kind, rest)
        assert kind in "$=*~>%", "no reply: %r" % line
        size = int(rest)
        if size < 0:
            return (kind, None)
        if kind in "$=":
            return (kind, self.reader.read(size + 2)[:-2].decode("latin-1"))
        return (kind, [self.read() for _ in range(size * (2 if kind == "%" else 1))])

    def read_until(self, marker, silence=2.0):
        """The bytes up to and with the marker; or up to the end of the connection: then "<closed>"
        is appended; or until so many seconds pass without a byte: "<silence>"."""
        data = b""
        self.socket.settimeout(silence)
        while not data.endswith(marker):
            try:
                more = self.reader.read1(65536)
            except socket.timeout:
                return data + b"<silence>"
            except ConnectionResetError:
                more = b""
            if not more:
                return data + b"<closed>"
            data += more
        return data

    def closed(self, patience=5.0):
        """Whether the other side has closed, or does so within that time; what still comes is
        thrown away."""
        self.socket.settimeout(patience)
        try:
            while self.reader.read1(65536):
                pass
            return True
        except socket.timeout:
            return False
        except ConnectionResetError:
            return True

    def close(self):
        self.reader.close()
        self.socket.close()
