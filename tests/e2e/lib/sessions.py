r"""Conversations in raw bytes, each on a connection of its own: what is sent, and both sentinels say
the same bytes, up to the answer of a last PING, or up to closing."""

from lib.wire import encode

END = b"PING the-end\r\n"
LOGIN = b"AUTH sesame\r\n"


def array(*lines):
    """Requests, one a text, blank-separated."""
    return b"".join(encode(line.split(" ")) for line in lines)


HELLO3 = array("HELLO 3")

SESSIONS = {
    # --- framing ---
    "empty lines": b"\r\n\n  \r\n\t\r\nPING\r\n",
    "empty arrays": b"*0\r\n*-1\r\n*-5\r\nPING\r\n",
    "empty array, then array": b"*0\r\n*1\r\n$4\r\nPING\r\n",
    "newline without return": b"PING\nPING a\n",
    "return within a line": b"PING a\rb\r\nPING\r\n",
    "blanks around": b"  PING   a  \r\n",
    "tabs": b"PING\ta\r\n",
    "double quotes": b'PING "a b"\r\nPING "\\x41\\n\\r\\t\\a\\b\\"\\\\\\q"\r\nPING ""\r\nPING "\\xzz"\r\n',
    "single quotes": b"PING 'a b'\r\nPING 'a\\'b'\r\nPING 'a\\nb'\r\nPING ''\r\nPING '\"'\r\n",
    "quotes within a word": b'PI"NG"\r\nPING a"b c"\r\n',
    "quoted command": b'"PING"\r\n\'ping\' x\r\n',
    "unbalanced double": b'PING\r\nPING "a\r\nPING\r\n',
    "unbalanced single": b"PING 'a\r\n",
    "behind a quote": b'PING "a"b\r\n',
    "backslash at the end": b'PING "a\\\r\n',
    "null in a line": b"PING a\0b\r\nPING\r\n",
    "null command": b"\0\r\n",
    "high bytes": b"\xff\xfe \x80\r\n",
    "count with plus": b"*+1\r\n$4\r\nPING\r\n",
    "count with zero before": b"*01\r\n$4\r\nPING\r\n",
    "count with blank": b"* 1\r\n$4\r\nPING\r\n",
    "count with blank behind": b"*1 \r\n$4\r\nPING\r\n",
    "count of letters": b"*x\r\n",
    "count of nothing": b"*\r\n",
    "count minus": b"*-\r\n",
    "count too large": b"*1048577000\r\n",
    "count out of range": b"*99999999999999999999\r\n",
    "count minus out of range": b"*-99999999999999999999\r\nPING\r\n",
    "length negative": b"*1\r\n$-1\r\n",
    "length negative two": b"*2\r\n$4\r\nPING\r\n$-5\r\n",
    "length with plus": b"*1\r\n$+4\r\nPING\r\n",
    "length with zero before": b"*1\r\n$04\r\nPING\r\n",
    "length of letters": b"*1\r\n$x\r\n",
    "length of nothing": b"*1\r\n$\r\n",
    "length too large": b"*1\r\n$536870913\r\n",
    "length zero": b"*1\r\n$0\r\n\r\nPING\r\n",
    "length too short": b"*1\r\n$3\r\nPING\r\n",
    "no dollar": b"*1\r\n+PING\r\n",
    "no dollar but null": b"*1\r\n\0\r\n",
    "no dollar but high": b"*1\r\n\xff\r\n",
    "no dollar but line": b"*2\r\n$4\r\nPING\r\nPING\r\n",
    "array in array": b"*1\r\n*1\r\n$4\r\nPING\r\n",
    "behind a protocol error nothing": b"*x\r\nPING\r\n",
    "binary argument": b"*2\r\n$4\r\nPING\r\n$6\r\n\r\n\0\r\n\xff\r\n",
    "replies as requests": b"+OK\r\n:1\r\n-ERR x\r\n$-1\r\n_\r\n",
    "HTTP": b"GET / HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
    "HTTP with a host": b"GET / HTTP/1.1\r\nHost: x\r\nPING\r\n",
    "HTTP post": b"POST / HTTP/1.1\r\n\r\n",
    "large count of arguments": b"*100\r\n" + b"$4\r\nping\r\n" * 100,
    "long inline": b"PING " + b"x" * 60000 + b"\r\n",
    "long argument": b"*2\r\n$4\r\nPING\r\n$100000\r\n" + b"x" * 100000 + b"\r\n",
    # --- HELLO ---
    "HELLO in a pipeline": array("PING", "CLIENT GETNAME", "HELLO 3 SETNAME me", "CLIENT GETNAME",
                                 "SENTINEL GET-MASTER-ADDR-BY-NAME nosuch", "SENTINEL DEBUG",
                                 "HELLO 2", "SENTINEL GET-MASTER-ADDR-BY-NAME nosuch"),
    "HELLO without a version": array("HELLO", "HELLO 3", "HELLO"),
    "HELLO refused changes nothing": array("HELLO 3", "HELLO 4", "HELLO 2 NOSUCH",
                                           "CLIENT GETNAME"),
    "HELLO with a wrong password": array("HELLO 3 AUTH default x", "CLIENT GETNAME"),
    "HELLO with the default user": array("HELLO 3 SETNAME one", "HELLO 3 SETNAME two",
                                         "CLIENT GETNAME"),
    "AUTH without a password": array("AUTH default x", "AUTH default", "AUTH nobody x"),
    # --- publish and subscribe ---
    "subscribed in RESP2": array(
        "SUBSCRIBE a", "PING", "PING x", "GET k", "INFO", "SENTINEL MASTERS", "CLIENT ID",
        "PUBLISH a b", "HELLO 3", "nosuch", "PSUBSCRIBE x*", "UNSUBSCRIBE", "PING", "PUNSUBSCRIBE",
        "PING"),
    "subscribed in RESP3": HELLO3 + array(
        "SUBSCRIBE a", "PING", "PING x", "GET k", "CLIENT GETNAME", "SENTINEL MYID x",
        "PSUBSCRIBE x*", "UNSUBSCRIBE", "PING", "PUNSUBSCRIBE", "PUNSUBSCRIBE", "PING"),
    "two, and one less": array("SUBSCRIBE a b", "UNSUBSCRIBE b", "PSUBSCRIBE c", "UNSUBSCRIBE a",
                               "PING", "PUNSUBSCRIBE c", "PING"),
    "the same twice": array("SUBSCRIBE a a", "SUBSCRIBE a", "PSUBSCRIBE a a", "UNSUBSCRIBE a a no",
                            "PUNSUBSCRIBE a no"),
    "nothing to unsubscribe": array("UNSUBSCRIBE", "PUNSUBSCRIBE", "UNSUBSCRIBE a b",
                                    "PUNSUBSCRIBE a b"),
    "nothing to unsubscribe in RESP3": HELLO3 + array("UNSUBSCRIBE", "PUNSUBSCRIBE",
                                                      "UNSUBSCRIBE a b"),
    "odd names": b'SUBSCRIBE "" "\\x00" "a b" "\\xff"\r\nUNSUBSCRIBE "\\x00" ""\r\n'
                 b'PSUBSCRIBE "" [\r\nPUNSUBSCRIBE "" [\r\n',
    "protocol changed while subscribed": HELLO3 + array("SUBSCRIBE a", "HELLO 2", "INFO", "PING",
                                                        "UNSUBSCRIBE", "PING"),
    "arity while subscribed": array("SUBSCRIBE a", "SUBSCRIBE", "PING a b", "ECHO", "CLIENT",
                                    "SENTINEL", "SENTINEL nosuch", "UNSUBSCRIBE"),
    # --- CLIENT REPLY ---
    "reply off": array("CLIENT REPLY OFF", "PING a", "SENTINEL MASTERS", "CLIENT REPLY ON",
                       "PING b"),
    "reply skip": array("CLIENT REPLY SKIP", "PING a", "PING b", "CLIENT REPLY SKIP",
                        "SENTINEL MASTERS", "PING c"),
    "reply skip twice": array("CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING a", "PING b"),
    "reply skip before an error": array("CLIENT REPLY SKIP", "nosuch", "PING b"),
    "reply skip before off": array("CLIENT REPLY SKIP", "CLIENT REPLY OFF", "PING a",
                                   "CLIENT REPLY ON", "PING b"),
    "reply off, then skip": array("CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING a",
                                  "CLIENT REPLY ON", "PING b"),
    "reply off, then nonsense": array("CLIENT REPLY OFF", "CLIENT REPLY nosuch",
                                      "CLIENT REPLY ON", "PING b"),
    "reply off, then subscribed": array("CLIENT REPLY OFF", "SUBSCRIBE a", "UNSUBSCRIBE",
                                        "CLIENT REPLY ON", "PING b"),
    "reply skip, then subscribed": array("CLIENT REPLY SKIP", "SUBSCRIBE a", "PING b"),
    "reply off, then too few": array("CLIENT REPLY OFF", "SUBSCRIBE", "CLIENT REPLY ON", "PING b"),
    "reply off in RESP3": HELLO3 + array("CLIENT REPLY OFF", "PING a", "SUBSCRIBE a",
                                         "CLIENT REPLY ON", "PING b"),
    # --- QUIT, RESET ---
    "quit": array("PING a", "QUIT", "PING b"),
    "reset": array("CLIENT SETNAME a", "HELLO 3", "RESET", "CLIENT GETNAME", "PING b"),
    # --- names and states ---
    "name": array("CLIENT SETNAME a", "CLIENT GETNAME", "HELLO 3", "CLIENT GETNAME",
                  "CLIENT SETNAME b"),
    "pause ends": array("CLIENT PAUSE 100", "PING a", "CLIENT PAUSE 50 WRITE", "PING b"),
    "kill oneself, not": array("CLIENT KILL TYPE pubsub", "CLIENT KILL USER default TYPE master",
                               "CLIENT KILL LADDR 1.2.3.4:5 SKIPME no"),
}

# Answered in another way on purpose: {session: (what a row of docs/compatibility.md begins with, what
# vedette says)}.
NUL = "NUL bytes in an inline request"
DIFFERENT = {
    "null in a line": (NUL, "$3\r\na\0b\r\n+PONG\r\n$7\r\nthe-end\r\n"),
    "null command": (NUL, "-ERR unknown command '', with args beginning with: \r\n"
                          "$7\r\nthe-end\r\n"),
    "no dollar but null": (NUL, "-ERR Protocol error: expected '$', got ' '\r\n<closed>"),
    "quit": ("QUIT", "$1\r\na\r\n+OK\r\n<closed>"),
    "reset": ("RESET", "+OK\r\n%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n<version>$5\r\nproto\r\n:3\r\n<id>"
                       "$4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n+RESET\r\n$-1\r\n"
                       "$1\r\nb\r\n$7\r\nthe-end\r\n"),
    "count too large": ("array of more than 1,048,576 arguments",
                        "-ERR Protocol error: invalid multibulk length\r\n<closed>"),
}

# The same for a sentinel that asks for a password, "sesame".
WITH_PASSWORD = {
    "nothing is told": array("PING", "SENTINEL MASTERS", "INFO", "SUBSCRIBE a", "CLIENT SETNAME a",
                             "nosuch", "SENTINEL", "SENTINEL nosuch", "COMMAND COUNT",
                             "PUBLISH a b", "ROLE", "ACL WHOAMI", "CLIENT LIST", "SHUTDOWN NOSUCH"),
    "AUTH": array("AUTH", "AUTH wrong", "PING a", "AUTH default wrong", "AUTH nobody sesame",
                  "AUTH sesame", "PING a", "AUTH wrong", "PING b", "AUTH default sesame"),
    "HELLO needs it": array("HELLO", "HELLO 3", "HELLO 4", "HELLO 3 SETNAME a",
                            "HELLO 3 AUTH default wrong", "HELLO 3 AUTH nobody sesame", "PING a"),
    "HELLO brings it": array("HELLO 3 AUTH default sesame SETNAME me", "CLIENT GETNAME",
                             "SENTINEL GET-MASTER-ADDR-BY-NAME nosuch"),
    "HELLO brings it in another order": array("HELLO 2 SETNAME me AUTH default sesame",
                                              "CLIENT GETNAME", "ACL WHOAMI"),
    "large before it": b"*11\r\n" + b"$4\r\nping\r\n" * 11,
    "long before it": b"*2\r\n$4\r\nPING\r\n$16385\r\n" + b"x" * 16385 + b"\r\n",
    "not so large before it": b"*10\r\n" + b"$4\r\nping\r\n" * 10,
    "not so long before it": b"*2\r\n$4\r\nPING\r\n$16384\r\n" + b"x" * 16384 + b"\r\n",
    "large after it": array("AUTH sesame") + b"*11\r\n" + b"$4\r\nping\r\n" * 11,
    "reply modes before it": array("CLIENT REPLY OFF", "PING", "AUTH sesame", "PING a"),
}
