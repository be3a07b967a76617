"""Access lists: the same replies as redis-sentinel, permissions that hold on every thread, users that
outlive a restart, and peers that log in as somebody who may little."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
import redis

from lib import conf
from lib.fake import FakeRedis
from lib.server import client
from lib.wait import wait_until
from lib.wire import Wire
from lib.world import monitor_lines, settle, wait_known, wait_switched

pytestmark = pytest.mark.vedette_only

HASH = {text: hashlib.sha256(text.encode()).hexdigest() for text in ("foo", "bar", "pw")}
READER = ["on", ">pw", "-@all", "+sentinel|get-master-addr-by-name", "+subscribe", "+ping",
          "&+switch-master"]


@pytest.fixture
def alone(world, fake):
    return world.sentinel("s1", monitor_lines(fake)).start(record=False)


@pytest.fixture
def fake(world):
    server = FakeRedis()
    world.others.append(server)
    return server


def login(sentinel, user, password):
    """A connection of its own."""
    return redis.Redis("127.0.0.1", sentinel.port, username=user, password=password,
                       decode_responses=True, single_connection_client=True, socket_timeout=5)


def refused(connection, *words):
    with pytest.raises(redis.exceptions.RedisError) as error:
        connection.execute_command(*words)
    return str(error.value)


# --- beside redis-sentinel ------------------------------------------------------------------------

# %h: a hash. Texts that differ since 7.2 are brought to one form by same().
REQUESTS = r"""
ACL WHOAMI|ACL LIST|ACL USERS|ACL CAT|ACL CAT nosuch|ACL CAT read|ACL CAT scripting|ACL CAT a b
ACL GETUSER default|ACL GETUSER nobody|ACL GETUSER|ACL GETUSER a b|ACL SETUSER|ACL SETUSER a
ACL GETUSER a|ACL LIST|ACL SETUSER a on >foo >bar #%h|ACL LIST|ACL GETUSER a
ACL SETUSER a <bar|ACL SETUSER a <bar|ACL SETUSER a !%h|ACL SETUSER a !%h|ACL SETUSER a #zz
ACL SETUSER a !zz|ACL SETUSER a #2C26|ACL SETUSER a foo|ACL SETUSER a +foo|ACL SETUSER a -foo
ACL SETUSER a +@foo|ACL SETUSER a -@foo|ACL SETUSER a +|ACL SETUSER a -|ACL SETUSER a ""
ACL SETUSER a ~|ACL SETUSER a %R~x|ACL SETUSER a %W~y|ACL SETUSER a %rw~z|ACL SETUSER a %X~x
ACL SETUSER a %~x|ACL SETUSER a %R|ACL LIST|ACL GETUSER a|ACL SETUSER a allkeys|ACL SETUSER a ~x
ACL SETUSER a resetkeys ~x|ACL SETUSER a &x &y &x|ACL LIST|ACL SETUSER a allchannels
ACL SETUSER a &x|ACL SETUSER a resetchannels &x|ACL LIST|ACL SETUSER a reset|ACL LIST
ACL SETUSER a nopass|ACL LIST|ACL SETUSER a >x|ACL LIST|ACL SETUSER a resetpass|ACL GETUSER a
ACL SETUSER a skip-sanitize-payload|ACL LIST|ACL SETUSER a sanitize-payload
ACL SETUSER a (+ping ~x) (+info &foo)|ACL LIST|ACL GETUSER a|ACL SETUSER a (+ping
ACL SETUSER a ( +ping ~x )|ACL SETUSER a (on)|ACL SETUSER a ()|ACL SETUSER a (+foo)|ACL LIST
ACL SETUSER a clearselectors|ACL LIST|ACL SETUSER a +ping +foo +info|ACL GETUSER a
ACL DELUSER default|ACL DELUSER a b c|ACL DELUSER a|ACL DELUSER|ACL USERS
ACL DRYRUN|ACL DRYRUN nobody ping|ACL DRYRUN default foo|ACL DRYRUN default ping
ACL DRYRUN default sentinel|ACL DRYRUN default sentinel foo|ACL DRYRUN default sentinel masters
ACL DRYRUN default acl|list|ACL DRYRUN default subscribe|ACL SETUSER b on nopass|ACL DRYRUN b ping
ACL DRYRUN b SENTINEL Masters|ACL DRYRUN b auth x|ACL DRYRUN b hello
ACL SETUSER b +subscribe +psubscribe +publish &a*|ACL DRYRUN b subscribe x
ACL DRYRUN b subscribe ab ac|ACL DRYRUN b subscribe ab b|ACL DRYRUN b psubscribe a*
ACL DRYRUN b psubscribe ab|ACL DRYRUN b publish x y|ACL DRYRUN b publish a y
ACL GENPASS 0|ACL GENPASS 4097|ACL GENPASS x|ACL GENPASS 5 5|ACL LOG RESET|ACL LOG|ACL LOG x
ACL LOG -1|ACL LOG 1 2|ACL LOG RESET 1|ACL SAVE|ACL LOAD|ACL SAVE x|ACL FOO|ACL|ACL HELP x
AUTH x|AUTH a b c|AUTH nobody x|AUTH default x|AUTH|AUTH b y|ACL WHOAMI|PING|SENTINEL MASTERS
SENTINEL NOSUCH|SENTINEL|NOSUCH|INFO|SUBSCRIBE|SUBSCRIBE b|PSUBSCRIBE *|PUBLISH b x|CLIENT LIST
CLIENT ID x|COMMAND|HELLO 2 AUTH nobody z|HELLO 9|AUTH b z|SUBSCRIBE ab|UNSUBSCRIBE ab
""".replace("%h", HASH["foo"])


def words(request):
    return [b"" if word == '""' else word.encode() for word in request.split(" ")]


def same(reply):
    """What 7.2 and later say otherwise (docs/compatibility.md), as 7.0 says it."""
    if isinstance(reply, (list, tuple)):
        return [same(item) for item in reply if item != ("$", "sanitize-payload")]
    if isinstance(reply, str):
        reply = re.sub(r"^(?:User \S+|[Tt]his user) has no permissions", "<user> may not", reply)
        reply = re.sub(r"^NOPERM (?:User \S+|this user) has no permissions to run",
                       "NOPERM <user> may not run", reply)
        reply = re.sub(r"^NOPERM (?:No|this user has no) permissions to access .*channel.*",
                       "NOPERM <channel>", reply)
        return reply.replace(" sanitize-payload", "")
    return reply


@pytest.mark.parametrize("proto", ["2", "3"])
def test_same_replies(world, fake, proto):
    pair = [world.sentinel(kind, monitor_lines(fake), kind=kind).start(record=False)
            for kind in ("vedette", "redis")]
    wires = [Wire(sentinel.port) for sentinel in pair]
    for wire in wires:
        wire.ask("HELLO", proto)
    different = []
    for request in re.split(r"[|\n](?=[A-Z])", REQUESTS.strip()):
        ours, theirs = [same(wire.ask(*words(request))) for wire in wires]
        if ours != theirs:
            different.append("%s\n  vedette %r\n  stock   %r" % (request, ours, theirs))
    assert not different, "\n".join(different)


# Rules, and what they allow: asked with DRYRUN of every command and subcommand that both have.
RULES = ["", "+@all", "-@all", "+ping", "+sentinel", "+@all -sentinel", "+sentinel|master",
         "+sentinel -sentinel|masters", "+@all -sentinel|masters -client|list", "+@admin",
         "+@all -@admin", "+@dangerous", "+@all -@dangerous", "+@all -@dangerous +info",
         "+@connection", "+@all -@connection", "+@fast", "+@slow", "+@pubsub -subscribe", "+@read",
         "+@all -@slow +sentinel|help", "+client +client|id -client", "+acl|whoami +acl -acl|list",
         "+command", "+command|count", "-auth -hello +@all -auth", "allcommands -ping",
         "nocommands +ping", "(+ping) (+@admin)", "+@all -@all +role +shutdown",
         "+sentinel|slaves -sentinel|replicas", "+ping|x +info|server"]


def both_have(sentinels):
    """Names and how many arguments DRYRUN has to give."""
    lists = []
    for sentinel in sentinels:
        found = {}
        for entry in sentinel.call("COMMAND"):
            for name, arity in [(entry[0], entry[1])] + [(sub[0], sub[1]) for sub in entry[9]]:
                found[name] = abs(arity) - 1 - name.count("|")
        lists.append(found)
    return {name: more for name, more in lists[0].items()
            if name in lists[1] and (name.count("|") or name not in ("acl", "client", "sentinel"))}


def test_same_permissions(world, fake):
    pair = [world.sentinel(kind, monitor_lines(fake), kind=kind).start(record=False)
            for kind in ("vedette", "redis")]
    commands = both_have(pair)
    assert len(commands) > 60
    for rules in RULES:
        allowed = []
        for sentinel in pair:
            assert sentinel.call("ACL", "SETUSER", "u", "reset", "&*", *rules.split()) == "OK"
            pipe = sentinel.client.pipeline(transaction=False)
            for name, more in commands.items():
                pipe.execute_command("ACL", "DRYRUN", "u", *name.split("|"), *["x"] * more)
            allowed.append({name for name, reply in zip(commands, pipe.execute(False))
                            if reply == "OK"})
        assert allowed[0] == allowed[1], rules
    # What one shows, the other understands alike.
    for rules in RULES:
        assert pair[0].call("ACL", "SETUSER", "u", "reset", "&*", *rules.split()) == "OK"
        shown = [line for line in pair[0].call("ACL", "LIST") if line.startswith("user u ")][0]
        assert pair[1].call("ACL", "SETUSER", "v", "reset", *shown.split()[2:]) == "OK"


def test_same_categories(world, fake):
    pair = [world.sentinel(kind, monitor_lines(fake), kind=kind).start(record=False)
            for kind in ("vedette", "redis")]
    ours_alone = {"quit", "reset", "client|setinfo", "client|no-touch"}
    for category in pair[1].call("ACL", "CAT"):
        ours, theirs = [set(sentinel.call("ACL", "CAT", category)) for sentinel in pair]
        assert ours - (ours_alone - theirs) == theirs, category


# --- who may what ---------------------------------------------------------------------------------


def test_reader(alone):
    """A user who may only ask for the master's address and hear of a change."""
    assert alone.call("ACL", "SETUSER", "reader", *READER) == "OK"
    reader = login(alone, "reader", "pw")
    assert reader.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[0] == \
        "127.0.0.1"
    assert reader.ping()
    for entry in alone.call("COMMAND"):
        for name in [entry[0]] + [sub[0] for sub in entry[9]]:
            allowed = name in ("ping", "subscribe", "auth", "hello", "quit", "reset",
                               "sentinel|get-master-addr-by-name")
            if allowed or name in ("acl", "client", "sentinel"):
                continue
            arity = dict([(entry[0], entry[1])] + [(sub[0], sub[1]) for sub in entry[9]])[name]
            more = ["x"] * (abs(arity) - 1 - name.count("|"))
            said = refused(reader, *name.split("|"), *more)
            assert said.endswith("no permissions to run the '%s' command" % name), said
    assert "No permissions to access a channel" in refused(reader, "SUBSCRIBE", "+sdown")
    listener = login(alone, "reader", "pw").pubsub()
    listener.subscribe("+switch-master")
    assert wait_until(lambda: listener.get_message(timeout=0.2), 5, "confirmed")["type"] == \
        "subscribe"
    info = alone.call("INFO", "stats")
    assert int(re.search(r"acl_access_denied_cmd:(\d+)", info).group(1)) > 60


def test_change_is_everywhere_before_ok(world, fake):
    """Connections on all shards (the first 64 are on one): none may do after the OK what it may
    not."""
    sentinel = world.sentinel("s1", monitor_lines(fake))
    sentinel.command += ["--shards", "3"]
    sentinel.start(record=False)
    assert sentinel.call("ACL", "SETUSER", "u", "on", "nopass", "+@all") == "OK"
    many = [login(sentinel, "u", "x") for _ in range(100)]
    for connection in many:
        assert connection.ping()
    for _ in range(20):
        assert sentinel.call("ACL", "SETUSER", "u", "-ping") == "OK"
        for connection in many:
            assert "has no permissions to run the 'ping' command" in refused(connection, "PING")
        assert sentinel.call("ACL", "SETUSER", "u", "+ping") == "OK"
        for connection in many:
            assert connection.execute_command("PING")
    # Whoever is deleted is gone, wherever it is.
    assert "user=u" in sentinel.call("CLIENT", "LIST")
    assert sentinel.call("ACL", "DELUSER", "u") == 1
    wait_until(lambda: "user=u " not in sentinel.call("CLIENT", "LIST"), 5, "they are gone")
    for connection in many:
        with pytest.raises(redis.exceptions.RedisError):
            connection.connection.send_command("PING")
            connection.connection.read_response()


def test_who_may_not_listen_any_more(alone):
    assert alone.call("ACL", "SETUSER", "u", "on", "nopass", "+@all", "&+s*") == "OK"
    kept, lost = login(alone, "u", "x").pubsub(), login(alone, "u", "x").pubsub()
    kept.subscribe("+sdown")
    lost.psubscribe("+s*")
    wait_until(lambda: kept.get_message(timeout=0.1) and lost.get_message(timeout=0.1), 5, "there")
    assert alone.call("ACL", "SETUSER", "u", "resetchannels", "&+sdown") == "OK"
    wait_until(lambda: "psub=1" not in alone.call("CLIENT", "LIST"), 5, "the pattern is gone")
    assert "sub=1" in alone.call("CLIENT", "LIST")


def test_log(alone):
    assert alone.call("ACL", "SETUSER", "reader", *READER) == "OK"
    reader = login(alone, "reader", "pw")
    for _ in range(3):
        refused(reader, "INFO")
    with pytest.raises(redis.exceptions.RedisError):
        login(alone, "reader", "guess").ping()

    def logged():  # newer redis-py says CLIENT SETINFO first, which this user may not either
        return [entry for entry in alone.call("ACL", "LOG") if "client|setinfo" not in entry]
    entries = wait_until(lambda: len(logged()) == 2 and logged(), 5, "two entries")
    by_reason = {entry[3]: dict(zip(entry[::2], entry[1::2])) for entry in entries}
    assert by_reason["command"]["count"] == 3 and by_reason["command"]["object"] == "info"
    assert by_reason["command"]["username"] == "reader"
    assert " user=reader " in by_reason["command"]["client-info"]
    assert by_reason["auth"]["username"] == "reader" and by_reason["auth"]["object"] == "AUTH"
    assert float(by_reason["auth"]["age-seconds"]) < 60
    assert abs(by_reason["auth"]["timestamp-created"] / 1000 - time.time()) < 60
    assert len(alone.call("ACL", "LOG", "1")) == 1
    assert alone.call("ACL", "LOG", "RESET") == "OK" and alone.call("ACL", "LOG") == []


def test_guesses_do_not_hold_up_others(alone):
    """Thousands of wrong passwords in pipelines: others are served, and the log stays bounded."""
    guess = b"".join(b"AUTH user%d wrong\r\n" % i for i in range(2000))
    sockets = [socket.create_connection(("127.0.0.1", alone.port)) for _ in range(4)]
    for connection in sockets:
        connection.sendall(guess)
    assert alone.call("PING") == "PONG"
    for connection in sockets:
        reader = connection.makefile("rb")
        for _ in range(2000):
            assert reader.readline().startswith(b"-WRONGPASS")
        connection.close()
    assert len(alone.call("ACL", "LOG", "100000")) <= 128
    assert "acl_access_denied_auth:8000" in alone.call("INFO", "stats")


def test_renamed_command(world, fake):
    """Rules go by the names that commands have in the book."""
    sentinel = world.sentinel("s1", monitor_lines(fake) + [
        "rename-command INFO SHOW", "user a on nopass +info", "user b on nopass +@all -info"])
    sentinel.start(record=False)
    assert "redis_version" in login(sentinel, "a", "x").execute_command("SHOW", "server")
    assert "run the 'info' command" in refused(login(sentinel, "b", "x"), "SHOW")
    assert "Unknown command or category name in ACL" in refused(
        sentinel.client, "ACL", "SETUSER", "a", "+show")


# --- the file -------------------------------------------------------------------------------------


def user_lines(sentinel):
    return sorted(line for line in conf.read_lines(sentinel.conf) if line.startswith("user "))


def test_users_outlive_a_restart(world, fake):
    """Also when it is stopped at once; and redis-sentinel takes the file, and gives it back."""
    sentinel = world.sentinel("s1", monitor_lines(fake) + [
        "user clear on >foo +@all -@dangerous ~* &*", "user gone on"])
    sentinel.start(record=False)
    assert sentinel.call("ACL", "SETUSER", "reader", *READER) == "OK"
    assert sentinel.call("ACL", "DELUSER", "gone") == 1
    assert sentinel.call("ACL", "SETUSER", "clear", "+info") == "OK"
    sentinel.terminate()
    expected = [
        "user clear on sanitize-payload #%s ~* &* +@all -@dangerous +info" % HASH["foo"],
        "user default on nopass sanitize-payload ~* &* +@all",
        "user reader on sanitize-payload #%s resetchannels &+switch-master -@all "
        "+sentinel|get-master-addr-by-name +subscribe +ping" % HASH["pw"]]
    assert user_lines(sentinel) == expected
    sentinel.start(record=False)
    assert sorted(sentinel.call("ACL", "LIST")) == expected
    assert login(sentinel, "reader", "pw").ping()
    sentinel.terminate()

    other = world.sentinel("s2", kind="redis", bare=True)
    other.write_conf(conf.read_lines(sentinel.conf))
    other.port, other.client = sentinel.port, sentinel.client
    other.start(record=False)
    assert login(other, "reader", "pw").ping()
    assert "no permissions to run the 'info'" in refused(login(other, "reader", "pw"), "INFO")
    assert other.call("ACL", "SETUSER", "late", "on", ">bar", "+@all") == "OK"
    assert other.sentinel("FLUSHCONFIG") == "OK"
    other.terminate()
    sentinel.write_conf(conf.read_lines(other.conf))
    sentinel.start(record=False)
    assert login(sentinel, "late", "bar").ping() and login(sentinel, "reader", "pw").ping()
    assert "no permissions to run the 'info'" in refused(login(sentinel, "reader", "pw"), "INFO")


def test_users_beside_a_file_that_cannot_be_written(world, fake):
    """The journal keeps them."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True,
                                           check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    sentinel = world.sentinel("s1", monitor_lines(fake) + ["user gone on"])
    source = world.path("mounted.conf")
    shutil.copy(sentinel.conf, source)
    before = conf.read_lines(source)
    sentinel.command = ["unshare", "-m", "sh", "-c",
                        'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && shift && '
                        'exec "$0" "$@"', sentinel.command[0], source, sentinel.conf]
    sentinel.start(record=False)
    assert sentinel.call("ACL", "SETUSER", "reader", *READER) == "OK"
    assert sentinel.call("ACL", "DELUSER", "gone") == 1
    expected = sentinel.call("ACL", "LIST")
    sentinel.terminate()
    sentinel.start(record=False)
    assert sentinel.call("ACL", "LIST") == expected and len(expected) == 2
    assert sentinel.call("ACL", "DELUSER", "reader") == 1
    sentinel.terminate()
    sentinel.start(record=False)
    assert sentinel.call("ACL", "USERS") == ["default"]
    assert conf.read_lines(source) == before


WRONG_USERS = {
    "command": (["user a on +nosuch"],
                "Error in user declaration '+nosuch': Unknown command or category name in ACL"),
    "subcommand": (["user a on +sentinel|nosuch"],
                   "Error in user declaration '+sentinel|nosuch': Unknown command or category "
                   "name in ACL"),
    "rule": (["user a on (+ping ~x) bogus"], "Error in user declaration 'bogus': Syntax error"),
    "hash": (["user a on #xyz"],
             "Error in user declaration '#xyz': The password hash must be exactly 64 characters "
             "and contain only lowercase hexadecimal characters"),
    "twice": (["user a on", "user a off"],
              "Error in user declaration 'a': Duplicate user found. A user can only be defined "
              "once in config files"),
}


@pytest.mark.parametrize("what", list(WRONG_USERS))
def test_wrong_user_lines(world, fake, what):
    lines, reason = WRONG_USERS[what]
    sentinel = world.sentinel("s1", monitor_lines(fake) + lines)
    code, said = sentinel.start_fails()
    assert code == 1
    assert ">>> '%s'\n%s\n" % (lines[-1], reason) in said
    assert "%s, line %d\n" % (sentinel.conf, len(conf.read_lines(sentinel.conf))) in said


def write(path, *lines):
    with open(path, "w") as file:
        file.write("".join(line + "\n" for line in lines))


def test_aclfile(world, fake):
    sentinel = world.sentinel("s1", monitor_lines(fake))
    path = os.path.join(sentinel.directory, "users.acl")
    sentinel.write_conf(conf.read_lines(sentinel.conf) + ["aclfile users.acl"])
    code, said = sentinel.start_fails()
    assert code == 1 and ("Aborting Redis startup because of ACL errors: Error loading ACLs, opening "
                          "file 'users.acl': No such file or directory") in said
    write(path, "user default on nopass +@all &* ~*", "  user  reader  %s  " % " ".join(READER), "")
    os.chmod(path, 0o640)
    sentinel.start(record=False)
    reader = login(sentinel, "reader", "pw")
    assert reader.ping()
    assert sentinel.call("ACL", "SETUSER", "new", "on", ">foo", "(+ping ~x)") == "OK"
    assert sentinel.call("ACL", "SAVE") == "OK"
    assert conf.read_lines(path) == sentinel.call("ACL", "LIST")
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert os.listdir(sentinel.directory).count("users.acl") == 1
    assert not [name for name in os.listdir(sentinel.directory) if ".tmp" in name]
    assert sentinel.sentinel("FLUSHCONFIG") == "OK" and user_lines(sentinel) == []

    # All or nothing, with every line that is wrong.
    write(path, "user default on nopass +@all", "user x on +nosuch", "user y on +ping", "what is it",
          "user y off", "user z (+ping")
    said = refused(sentinel.client, "ACL", "LOAD")
    for part in ("users.acl:2: Error in applying operation '+nosuch': Unknown command or category "
                 "name in ACL. ", "users.acl:4 should start with user keyword followed by the "
                 "username. ", "WARNING: Duplicate user 'y' found on line 5. ", "users.acl:6: ",
                 "WARNING: ACL errors detected, no change to the previously active ACL rules was "
                 "performed"):
        assert part in said, said
    assert sentinel.call("ACL", "USERS") == ["default", "new", "reader"] and reader.ping()

    # A good file replaces everything; who is not in it any more is closed.
    write(path, "user other on >bar +@all")
    assert sentinel.call("ACL", "LOAD") == "OK"
    assert sentinel.call("ACL", "USERS") == ["default", "other"]
    with pytest.raises(redis.exceptions.RedisError):
        reader.connection.send_command("PING")
        reader.connection.read_response()
    sentinel.terminate()
    sentinel.start(record=False)
    assert login(sentinel, "other", "bar").ping()
    sentinel.terminate()
    sentinel.write_conf(conf.read_lines(sentinel.conf) + ["user a on"])
    code, said = sentinel.start_fails()
    assert code == 1 and "define either an ACL file or declare users directly" in said


def test_aclfile_that_cannot_be_written(world, fake):
    sentinel = world.sentinel("s1", monitor_lines(fake))
    folder = os.path.join(sentinel.directory, "acl")
    os.mkdir(folder)
    path = os.path.join(folder, "users.acl")
    write(path, "user default on nopass +@all")
    sentinel.write_conf(conf.read_lines(sentinel.conf) + ["aclfile " + path])
    sentinel.start(record=False)
    shutil.rmtree(folder)
    assert "There was an error trying to save the ACLs. Please check the server logs" in refused(
        sentinel.client, "ACL", "SAVE")
    assert "Error loading ACLs, opening file" in refused(sentinel.client, "ACL", "LOAD")
    with open(sentinel.log) as file:
        assert "No such file or directory" in file.read()


def test_requirepass(world, fake):
    """The password of the user default: in the file with its hash, and to be changed with it."""
    sentinel = world.sentinel("s1", monitor_lines(fake) + ["requirepass foo"])
    sentinel.use_password("foo")
    sentinel.start(record=False)
    plain = client(sentinel.port)
    assert "Authentication required" in refused(plain, "ACL", "WHOAMI")
    assert sentinel.call("ACL", "WHOAMI") == "default"
    assert login(sentinel, "default", "foo").ping()
    assert sentinel.call("ACL", "SETUSER", "default", ">bar") == "OK"
    assert login(sentinel, None, "bar").ping() and login(sentinel, None, "foo").ping()
    sentinel.terminate()
    assert user_lines(sentinel) == ["user default on sanitize-payload #%s #%s ~* &* +@all" % (
        HASH["foo"], HASH["bar"])]
    sentinel.start(record=False)
    assert login(sentinel, None, "bar").ping() and login(sentinel, None, "foo").ping()
    assert sentinel.call("ACL", "SETUSER", "default", "<foo") == "OK"
    sentinel.terminate()
    sentinel.use_password("bar")
    sentinel.start(record=False)
    with pytest.raises(redis.exceptions.RedisError):
        login(sentinel, None, "foo").ping()
    with open(sentinel.log) as file:
        assert "requirepass is no password of 'user default'" in file.read()


def test_protected_mode(world, fake):
    """From another address than loopback: refused while "default" has no password."""
    if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(
            ["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root, ip and a network namespace")
    sentinel = world.sentinel("s1", bare=True)
    sentinel.write_conf(["port %d" % sentinel.port, "protected-mode yes",
                         "dir " + sentinel.directory, "logfile " + sentinel.log])
    script = """
ip link set lo up && ip addr add 192.0.2.1/32 dev lo || exit 9
"$0" "$1" & pid=$!
say() { redis-cli -p %d "$@" 2>&1; }
i=0; until say PING >/dev/null; do i=$((i+1)); [ $i -lt 100 ] || exit 8; sleep 0.1; done
echo "near: $(say PING)"; echo "far: $(say -h 192.0.2.1 PING)"
say ACL SETUSER default resetpass '>foo' >/dev/null
echo "password: $(say -h 192.0.2.1 --no-auth-warning -a foo PING)"
kill $pid; wait $pid
""" % sentinel.port
    done = subprocess.run(["unshare", "-n", "sh", "-c", script, *sentinel.command],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "near: PONG" in done.stdout and "password: PONG" in done.stdout
    assert re.search(r"far: .*DENIED", done.stdout), done.stdout


# --- peers ----------------------------------------------------------------------------------------


def test_peers_of_few_rights(world):
    """Sentinels of both kinds whose only open door is a user made for peers: they find each other
    and fail over."""
    master, replicas = world.group(replicas=1)
    sentinels = world.sentinels(["vedette", "redis", "vedette"], master, lines=[
        "requirepass bar", "user default on >bar ~* &* +@all",
        "user peer on >foo -@all +ping +publish +client|setname +sentinel|myid "
        "+sentinel|is-master-down-by-addr &__sentinel__:hello",
        "sentinel sentinel-user peer", "sentinel sentinel-pass foo"], password="bar")
    settle(sentinels)
    wait_known(sentinels, replicas=1)
    for sentinel in sentinels:
        names = {re.search(r" name=(\S*)", line).group(1): re.search(r" user=(\S*)", line).group(1)
                 for line in sentinel.call("CLIENT", "LIST").splitlines()}
        peers = [user for name, user in names.items() if name.startswith("sentinel-")]
        assert peers == ["peer", "peer"], names
    master.kill()
    wait_switched(sentinels, master)
    for sentinel in sentinels:
        log = sentinel.call("ACL", "LOG")
        assert log == [], log
