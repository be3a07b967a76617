"""The differences between vedette's replies and those of redis-sentinel 7.0.15 that are meant, with
their row in docs/compatibility.md. What differs and is not here fails the tests; so does what is
here and does not differ."""

import re


class Accepted:
    def __init__(self, row, requests, protos=("2", "3")):
        """row: what a row of docs/compatibility.md begins with. requests: {request: pattern of the
        masked tree that vedette answers}."""
        self.row, self.requests, self.protos = row, requests, protos


def error(text):
    return re.escape(repr(("-", text)))


OK = re.escape(repr(("+", "OK")))
USAGE = error("ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> "
              "[<param> <value> ...] are supported.")

ACCEPTED = [
    Accepted("QUIT", {"QUIT x": OK}),
    # The connection is closed behind QUIT's answer.
    Accepted("QUIT", {"AUTH": re.escape(repr(("closed", None)))}),
    Accepted("HELLO with AUTH and an option that is wrong", {
        "HELLO 2 AUTH nobody x SETNAME": error("ERR Syntax error in HELLO option 'SETNAME'"),
        r"HELLO 2 AUTH nobody x SETNAME a\x20b": error(
            "ERR Client names cannot contain spaces, newlines or special characters.")}),
    Accepted("CLIENT NO-TOUCH, SETINFO, KILL MAXAGE", {
        "CLIENT SETINFO": error("ERR wrong number of arguments for 'client|setinfo' command"),
        "CLIENT SETINFO lib-name": error(
            "ERR wrong number of arguments for 'client|setinfo' command"),
        "CLIENT SETINFO lib-name name": OK,
        "CLIENT SETINFO LIB-VER 1.2.3": OK,
        "CLIENT SETINFO nosuch x": error("ERR Unrecognized option 'nosuch'"),
        r"CLIENT SETINFO lib-name a\x20b": error(
            "ERR lib-name cannot contain spaces, newlines or special characters."),
        'CLIENT SETINFO lib-ver ""': OK,
        'CLIENT SETINFO lib-name ""': OK,
        "CLIENT NO-TOUCH": error("ERR wrong number of arguments for 'client|no-touch' command"),
        "CLIENT NO-TOUCH on": OK,
        "CLIENT NO-TOUCH OFF": OK,
        "CLIENT NO-TOUCH x": error("ERR syntax error"),
        "CLIENT KILL MAXAGE 999999": re.escape(repr((":", "0"))),
        "CLIENT KILL MAXAGE x": error("ERR maxage is not an integer or out of range"),
        "CLIENT KILL MAXAGE 0": error("ERR maxage should be greater than 0")}),
    Accepted("ACL DRYRUN, refused", {
        "ACL DRYRUN bob ping": re.escape(repr(
            ("$", "User bob has no permissions to run the 'ping' command")))}),
    Accepted("ACL LIST, GETUSER: sanitize-payload", {
        "ACL GETUSER default": r"\('.', \[.*'nopass'\), \('.', 'sanitize-payload'\)\]\).*",
        "ACL GETUSER bob": r"\('.', \[.*'on'\), \('.', 'sanitize-payload'\)\]\).*"}),
    Accepted("COMMAND, COMMAND INFO", {"COMMAND COUNT": re.escape(repr((":", "17")))}),
    Accepted("SENTINEL CONFIG GET, SET", {
        "SENTINEL CONFIG GET": USAGE,
        "SENTINEL CONFIG SET": USAGE,
        "SENTINEL CONFIG SET announce-ip": USAGE,
        "SENTINEL CONFIG NOSUCH x": USAGE,
        "SENTINEL CONFIG NOSUCH x y": USAGE,
        "SENTINEL CONFIG GET *": r".*'resolve-hostnames'\), .*'loglevel'\), .*",
        "SENTINEL CONFIG GET announce-ip announce-port": r"\('.', \[\('\$', 'announce-ip'\), "
                                                         r"\('\$', ''\), \('\$', 'announce-port'\), "
                                                         r"\('\$', '0'\)\]\)",
        "SENTINEL CONFIG SET announce-ip a announce-ip b": error(
            "ERR Duplicate argument 'announce-ip' to SENTINEL CONFIG SET"),
        "SENTINEL CONFIG SET announce-port 0 announce-ip": error(
            "ERR Missing argument 'announce-ip' value"),
        "SENTINEL CONFIG SET announce-port 0 resolve-hostnames maybe": error(
            "ERR Invalid value 'maybe' to SENTINEL CONFIG SET 'resolve-hostnames'")}),
]
