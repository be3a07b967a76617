"""The same requests to two sentinels in the same situation: what is masked, and how replies are
compared."""

import os
import re

from lib.accepted import ACCEPTED
from lib.requests import lines, words
from lib.wire import Closed, Wire, encode

# Fields whose values are ages or counters: only their kind is compared.
VOLATILE = {"link-pending-commands", "last-ping-sent", "last-ok-ping-reply", "last-ping-reply",
            "info-refresh", "role-reported-time", "last-hello-message", "slave-repl-offset",
            "s-down-time", "o-down-time", "master-link-down-time", "id", "version"}
PEER = {"name", "port", "runid"}  # of a sentinel, as the other one sees it


class Side:
    """One of the two; ports: {port: what it is called in replies}."""

    def __init__(self, sentinel, ports=None):
        self.sentinel = sentinel
        self.ports = dict(ports or {})
        self.ports.setdefault(sentinel.port, "<me>")

    def mask(self, text):
        """Ids and ports by name."""
        text = re.sub(r"\b[0-9a-f]{40}\b", "<runid>", text)
        return re.sub(r"(?<![0-9.])[0-9]{4,5}(?![0-9.])",
                      lambda m: self.ports.get(int(m.group()), m.group()), text)


def kind_of(text):
    return "<number>" if re.fullmatch("-?[0-9]+", text or "") else "<text>"


def masked(side, tree, hidden=VOLATILE):
    """Values of volatile fields become their kind; ids and ports their names."""
    kind, value = tree
    if isinstance(value, str):
        return (kind, side.mask(value))
    if not isinstance(value, list):
        return tree
    out, hide = [], False
    for item in value:
        if hide:
            item, hide = (item[0], kind_of(item[1])), False
        elif item[0] == "$" and item[1] in hidden:
            hide = True
        out.append(masked(side, item, hidden))
    return (kind, out)


# --- replies that are compared in parts -----------------------------------------------------------


# What INFO of later versions has, and 7.0's has not (docs/compatibility.md, "INFO").
NEW_INFO_FIELDS = {"pubsub_clients", "watching_clients", "total_watched_keys",
                   "total_blocking_keys", "total_blocking_keys_on_nokey", "acl_access_denied_auth",
                   "acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel",
                   "sentinel_total_tilt"}


def info_shape(_, tree):
    """Sections and fields in order; the values of those that are not figures. The CPU section's
    values are all figures."""
    kind, text = tree
    if kind not in "$=":
        return tree
    shape = []
    # Our own section is the last one.
    for line in text.split("\r\n# Vedette")[0].split("\r\n"):
        name, _, value = line.partition(":")
        if name in ("redis_mode", "sentinel_masters", "sentinel_tilt", "sentinel_running_scripts",
                    "sentinel_scripts_queue_length", "sentinel_simulate_failure_flags",
                    "redis_git_dirty", "arch_bits",
                    "connected_clients", "blocked_clients", "cluster_connections"):
            shape.append(line)
        elif name == "sentinel_tilt_since_seconds":
            shape.append(name + ":" + ("-1" if value == "-1" else "<number>"))
        elif name.startswith("master"):
            shape.append(line)
        elif name.startswith("vedette_") or name in NEW_INFO_FIELDS:
            continue
        else:
            shape.append(name)
    return (kind, shape)


# What CLIENT LIST of 7.4 has and that of 7.0 has not.
NEW_CLIENT_FIELDS = {"watch", "lib-name", "lib-ver"}
STABLE_CLIENT_FIELDS = {"name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user",
                        "redir", "resp"}


def client_shape(side, tree):
    """Fields in order; the values of those that are the connection's state."""
    kind, text = tree
    if kind not in "$=":
        return tree
    shape = []
    for line in text.split("\n"):
        if " name=sentinel-" in line or re.search(r" cmd=(NULL|auth|client\|setname) ", line):
            continue  # links of the other sentinel, with or before their name: they come and go
        pairs = [field.partition("=")[::2] for field in line.split(" ")]
        shape.append([(name, value if name in STABLE_CLIENT_FIELDS else "")
                      for name, value in pairs if name not in NEW_CLIENT_FIELDS])
    return (kind, shape if len(shape) < 3 else sorted(map(repr, shape)))


# Of COMMAND, COMMAND LIST and COMMAND DOCS: what one of the two has alone. Compared for all others.
OURS_ALONE = {"quit", "reset", "client|setinfo", "client|no-touch"}
# Takes a word more than stock (Valkey's COORDINATED): its arity is 3 there and -3 here.
WIDER = {"sentinel|failover": {"3", "-3"}}


def command_shape(_, tree):
    """Sorted by name, subcommands too, without those that one of the two has alone."""
    kind, value = tree
    if not isinstance(value, list):
        return tree
    entries = []
    for entry in value:
        if entry[0] == "*" and len(entry[1] or []) == 10:
            entry = (entry[0], entry[1][:9] + [command_shape(_, entry[1][9])])
            name = entry[1][0][1]
            if entry[1][1][1] in WIDER.get(name, ()):
                entry = (entry[0], [entry[1][0], (":", "3")] + entry[1][2:])
        else:
            name = entry[1]
        if name not in OURS_ALONE:
            entries.append(entry)
    return (kind, sorted(entries, key=repr))


def without_new_arguments(tree):
    """Without those that came after 7.0."""
    kind, value = tree
    if not isinstance(value, list):
        return tree
    return (kind, [without_new_arguments(item) for item in value
                   if not isinstance(item[1], list) or ("$", "7.4.0") not in item[1]])


def docs_shape(_, tree):
    """Maps by name; texts are their author's own."""
    kind, value = tree
    if not isinstance(value, list):
        return tree
    pairs = []
    for name, doc in zip(value[::2], value[1::2]):
        if name[1] in OURS_ALONE:
            continue
        fields = []
        for field, content in zip(doc[1][::2], doc[1][1::2]):
            if field[1] == "subcommands":
                content = docs_shape(_, content)
            elif field[1] == "arguments":
                content = without_new_arguments(content)
            elif field[1] == "history":
                continue
            elif field[1] in ("summary", "complexity"):
                content = "<text>"
            fields.append((field[1], content))
        pairs.append((name, doc[0], fields))
    return (kind, sorted(pairs, key=repr))


SHAPES = [("INFO", info_shape), ("ACL CAT", command_shape), ("CLIENT LIST", client_shape), ("CLIENT INFO", client_shape),
          ("COMMAND LIST", command_shape), ("COMMAND DOCS", docs_shape),
          ("COMMAND INFO", command_shape), ("CLIENT ID", lambda _, tree: (tree[0], kind_of(tree[1]))),
          ("SENTINEL INFO-CACHE", lambda _, tree: cache_shape(tree))]


def cache_shape(tree):
    """INFO texts are the servers': whether there is one, and how old it is, as kinds. The order of
    replicas is no order."""
    kind, value = tree
    if not isinstance(value, list):
        return (kind, "<number>" if kind == ":" else "<info>" if value and "\n" in value else value)
    value = [cache_shape(item) for item in value]
    if value and isinstance(value[0][1], list):
        value = value[:1] + sorted(value[1:], key=repr)
    return (kind, value)


# Stock gives these in the order of a hash table (docs/compatibility.md, "SENTINEL MASTERS").
UNORDERED = ("SENTINEL REPLICAS", "SENTINEL SLAVES", "SENTINEL SENTINELS", "SENTINEL MASTERS")


def shape(side, line, tree):
    if line == "COMMAND" and tree[0] == "*":
        return command_shape(side, tree)
    for begin, function in SHAPES:
        if line.upper() == begin or line.upper().startswith(begin + " "):
            tree = function(side, tree)
            break
    else:
        hidden = VOLATILE | PEER if line.upper().startswith("SENTINEL SENTINELS") else VOLATILE
        tree = masked(side, tree, hidden)
        if line.upper().startswith(UNORDERED) and isinstance(tree[1], list):
            tree = (tree[0], sorted(tree[1], key=repr))
        return tree
    return masked_any(side, tree)


def masked_any(side, thing):
    if isinstance(thing, str):
        return side.mask(thing)
    if isinstance(thing, (tuple, list)):
        return type(thing)(masked_any(side, item) for item in thing)
    return thing


# --- comparing ------------------------------------------------------------------------------------


def accepted_for(line, proto):
    for entry in ACCEPTED:
        if line in entry.requests and proto in entry.protos:
            return entry
    return None


def around(ours, theirs):
    """Both as texts; of long ones only what is around the first difference."""
    texts = [repr(ours), repr(theirs)]
    if max(map(len, texts)) < 400:
        return texts
    at = len(os.path.commonprefix(texts))
    return ["… %s … (at %d)" % (text[max(0, at - 150):at + 250], at) for text in texts]


def judge(line, proto, ours, theirs):
    """A complaint, or None."""
    entry = accepted_for(line, proto)
    if entry is None:
        if ours == theirs:
            return None
        return "%s\n    vedette %s\n    stock   %s" % (line, *around(ours, theirs))
    if ours == theirs:
        return "%s\n    is listed as different (%s), and is not: %r" % (line, entry.row, ours)
    if not re.fullmatch(entry.requests[line] or ".*", repr(ours), re.S):
        return "%s\n    vedette  %r\n    accepted %s\n    stock    %r" % (
            line, ours, entry.requests[line], theirs)
    return None


class Talk:
    """A connection that is opened anew when the other side has closed it."""

    def __init__(self, side, proto):
        self.side, self.proto, self.wire = side, proto, None

    def ask(self, line, values):
        if self.wire is None:
            self.wire = Wire(self.side.sentinel.port)
            if self.proto == "3":
                self.wire.ask("HELLO", "3")
        try:
            return shape(self.side, line, self.wire.ask(*words(line, **values)))
        except Closed:
            self.close()
            return ("closed", None)

    def close(self):
        if self.wire is not None:
            self.wire.close()
            self.wire = None


def compare(vedette, stock, text, values, proto="2"):
    """Every request of the text, in order, on one connection to each. values: of the placeholders,
    [for vedette, for stock]. Returns complaints."""
    complaints = []
    talks = [Talk(side, proto) for side in (vedette, stock)]
    try:
        for line in lines(text):
            seen = [talk.ask(line, value) for talk, value in zip(talks, values)]
            complaint = judge(line, proto, *seen)
            if complaint:
                complaints.append(complaint)
    finally:
        for talk in talks:
            talk.close()
    return complaints


def inline(request):
    """The request as a line, every word in quotes."""
    return b" ".join(b'"' + b"".join(b"%c" % c if 0x20 <= c < 0x7f and c not in b'"\\'
                                     else b"\\x%02x" % c for c in word) + b'"'
                     for word in request) + b"\r\n"


def compare_stream(vedette, stock, text, values, how, proto="2"):
    """The same, all requests at once. how: "pipeline", "inline" or "bytes"."""
    asked = [line for line in lines(text) if not line.startswith(("QUIT", "AUTH"))]
    seen = []
    for side, value in zip((vedette, stock), values):
        requests = [words(line, **value) for line in asked]
        data = b"".join((inline if how == "inline" else encode)(request) for request in requests)
        with Wire(side.sentinel.port) as wire:
            if proto == "3":
                wire.ask("HELLO", "3")
            wire.send(data, 1 if how == "bytes" else None)
            seen.append([shape(side, line, wire.read()) for line in asked])
    found = [judge(line, proto, *pair) for line, *pair in zip(asked, *seen)]
    return [complaint for complaint in found if complaint]


def told(complaints):
    return "%d differ:\n%s" % (len(complaints), "\n".join(complaints))
