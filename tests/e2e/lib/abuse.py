"""Clients that mean no good, each kind in a process of its own, so that what they cost is not
counted as the latency of those who measure:

    python3 abuse.py <kind> <port> <number>

It writes "ready" when its connections stand, and goes on until its standard input ends. At the end
it writes one line of figures. All of them rest now and then: the machine is shared."""

import os
import select
import socket
import sys
import threading
import time

ended = threading.Event()


def connect(port, receive=None):
    s = socket.socket()
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    s.settimeout(20)
    s.connect(("127.0.0.1", port))
    return s


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(word).encode() for word in words))


def ready():
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def idle(port, number):
    """Never say a word."""
    held = [connect(port) for _ in range(number)]
    ready()
    ended.wait()
    return "%d held" % len(held)


def half(port, number):
    """Stop in the middle of a request, each at another byte."""
    text = request("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
    held = []
    for i in range(number):
        s = connect(port)
        s.sendall(text[:1 + i % (len(text) - 1)])
        held.append(s)
    ready()
    ended.wait()
    return "%d held" % len(held)


def slow(port, number):
    """Subscribe to everything and read nothing."""
    held = []
    for _ in range(number):
        s = connect(port, receive=2048)
        s.sendall(request("PSUBSCRIBE", "*"))
        held.append(s)
    ready()
    ended.wait()
    return "%d held" % len(held)


def announced(port, number):
    """Promise gigabytes, arrays in arrays, lines without an end."""
    texts = [b"*1\r\n$1073741824\r\n", b"*1073741824\r\n", b"*1\r\n" * 10000, b"x" * 70000,
             b"*1\r\n$524288\r\n" + b"y" * 500000, b"*1048576\r\n" + b"$1\r\nz\r\n" * 20000]
    done = 0
    ready()
    while not ended.is_set():
        s = connect(port)
        try:
            s.sendall(texts[done % len(texts)])
            s.settimeout(0.05)
            s.recv(4096)
        except OSError:
            pass
        s.close()
        done += 1
        time.sleep(0.002)
    return "%d promises" % done


def drip(port, number):
    """One byte at a time, on many connections."""
    text = request("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
    held = [connect(port) for _ in range(number)]
    done = 0
    ready()
    while not ended.is_set():
        for s in held:
            s.send(text[done % len(text):][:1])
            if done % len(text) == 0 and done > 0:
                s.recv(4096)
        done += 1
        time.sleep(0.002)
    return "%d bytes on each of %d" % (done, number)


def pipeline(port, number):
    """So many commands in one go, the answers read now and then."""
    text = (request("PING") + request("SENTINEL", "MASTER", "mymaster")) * (number // 2)
    s = connect(port)
    s.setblocking(False)
    sent = received = 0
    ready()
    while not ended.is_set():
        _, writable, _ = select.select([], [s], [], 0.01)
        if writable:
            sent += s.send(text[sent % len(text):][:262144])
        else:
            try:
                received += len(s.recv(1 << 20))
            except BlockingIOError:
                pass
            time.sleep(0.005)
    return "%d bytes in, %d out" % (sent, received)


def churn(port, number):
    """Come and go, so many a second; every other without a word, or with a reset."""
    done = 0
    began = time.monotonic()
    ready()
    while not ended.is_set():
        try:
            s = connect(port)
        except OSError:
            time.sleep(0.1)
            continue
        if done % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if done % 3 == 0:
            s.sendall(request("PING"))
        s.close()
        done += 1
        ahead = began + done / number - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    return "%.0f a second" % (done / (time.monotonic() - began))


def hellos(port, number):
    """Sentinels that do not exist, of masters that exist and others, so many a second."""
    s = connect(port)
    done = 0
    began = time.monotonic()
    ready()
    while not ended.is_set():
        batch = b""
        for _ in range(20):
            done += 1
            name = ("mymaster", "nobody", "n" * 190)[done % 3]
            batch += request("PUBLISH", "__sentinel__:hello", "127.9.%d.%d,%d,%040x,1,%s,127.0.0.1,1,0" % (
                done >> 8 & 255, done & 255, 1024 + done % 60000, done, name))
        s.sendall(batch)
        s.recv(65536)
        ahead = began + done / number - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    return "%d hellos" % done


def votes(port, number):
    """A stranger that asks for votes with ever greater epochs, so many a second."""
    s = connect(port)
    master = int(os.environ["MASTER_PORT"])
    epoch, given = 100, 0
    began = time.monotonic()
    ready()
    while not ended.is_set():
        epoch += 1
        s.sendall(request("SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", master, epoch,
                          "f" * 39 + "%x" % (epoch % 16)))
        given += b"\r\n:%d\r\n" % epoch in s.recv(4096)
        ahead = began + (epoch - 100) / number - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    return "%d asked, %d given" % (epoch - 100, given)


def main():
    kind, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    def watch():
        sys.stdin.read()
        ended.set()
    threading.Thread(target=watch, daemon=True).start()
    print(globals()[kind](port, number), flush=True)
    os._exit(0)


if __name__ == "__main__":
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    main()
