r"""What is asked of both sentinels, in every situation.

One request a line; blanks separate its words, \xNN is a byte, "" an empty word. %(master)s is the
port of the master, %(name)s its name. The requests of COMMON leave everything as it was: they can
be asked again and again, whatever the state of the master. What starts or ends something
(FAILOVER, RESET, REMOVE, MONITOR that works, SHUTDOWN, votes) is tested with worlds of its own.
"""

import re

CONNECTION = r"""
PING
PING hello
PING ""
PING \xff\x00\xfe
PING a b
ping
PiNg
PING\x20
ECHO a
QUIT x
AUTH
AUTH x
AUTH ""
AUTH default x
AUTH default ""
AUTH nobody x
AUTH Default x
AUTH a b c
HELLO x
HELLO ""
HELLO 1
HELLO 4
HELLO 02
HELLO -1
HELLO 2.0
HELLO 99999999999999999999
HELLO 2 NOSUCH
HELLO 2 SETNAME
HELLO 2 SETNAME a\x20b
HELLO 2 AUTH
HELLO 2 AUTH a
HELLO 2 AUTH nobody x
HELLO 2 AUTH nobody x SETNAME
HELLO 2 AUTH nobody x SETNAME a\x20b
HELLO x AUTH nobody x
HELLO 4 AUTH nobody x
HELLO 2 SETNAME one two
INFO nosuch
INFO nosuch nosuch
INFO ""
INFO server nosuch
ROLE
ROLE x
SHUTDOWN NOSUCH
SHUTDOWN SAVE NOSAVE
SHUTDOWN NOSAVE SAVE
SHUTDOWN ABORT NOW
SHUTDOWN NOW ABORT
SHUTDOWN ABORT
SHUTDOWN abort x
SHUTDOWN NOW NOSUCH
""" + "".join("INFO %s\n" % " ".join(sections) for sections in (
    [], ["server"], ["SERVER"], ["Clients"], ["stats"], ["cpu"], ["sentinel"], ["default"],
    ["all"], ["everything"], ["server", "sentinel"], ["sentinel", "server"],
    ["server", "server"], ["default", "cpu"], ["all", "server"], ["nosuch", "cpu"],
    ["replication"], ["keyspace"], ["memory"], ["persistence"], ["commandstats"], ["errorstats"],
    ["latencystats"], ["modules"], ["cluster"], ["cpu", "nosuch", "clients"]))

UNKNOWN = r"""
nosuch
NOSUCH a b c
"" a
nosuch ""
nosuch 'quoted' "double" a\x20b
nosuch a\x0d\x0ab
nosuch \x00 \xff
no\x0d\x0asuch
no\x00such a
ping|x
client|id
sentinel|masters
""" + "nosuch %s\nnosuch %s %s c\nnosuch %s\n%s x\nnosuch%s\nnosuch %s\n" % (
    "a" * 128, "b" * 60, "c" * 70, " ".join("arg%d" % i for i in range(60)), "n" * 200, "m" * 128,
    "d" * 1000) + r"""
KEYS *
GET key
SET key value
DEL key
EVAL return\x200 0
CONFIG GET port
CONFIG
SAVE
BGSAVE
MULTI
EXEC
DISCARD
WATCH a
MONITOR
SYNC
PSYNC ? -1
REPLICAOF NO ONE
SLAVEOF NO ONE
FAILOVER
DEBUG SLEEP 0
SLOWLOG GET
LATENCY DOCTOR
MEMORY USAGE a
MODULE LIST
OBJECT HELP
CLUSTER INFO
SELECT 0
DBSIZE
TIME
WAIT 0 0
LOLWUT
SPUBLISH a b
SSUBSCRIBE a
PUBSUB CHANNELS
SCRIPT KILL
FUNCTION LIST
"""

SENTINEL = r"""
SENTINEL
SENTINEL ""
SENTINEL nosuch
SENTINEL NOSUCH a b
SENTINEL nosuch\x00
SENTINEL a\x0d\x0ab
SENTINEL master|x
SENTINEL HELP x
SENTINEL MASTER
SENTINEL MASTER %(name)s
SENTINEL master %(name)s
SENTINEL MASTER nosuch
SENTINEL MASTER ""
SENTINEL MASTER %(name)s\x00
SENTINEL MASTER \xff\xfe
SENTINEL MASTER a b
SENTINEL MASTERS
SENTINEL MASTERS x
SENTINEL REPLICAS
SENTINEL REPLICAS %(name)s
SENTINEL REPLICAS nosuch
SENTINEL REPLICAS a b
SENTINEL SLAVES
SENTINEL SLAVES %(name)s
SENTINEL SLAVES nosuch
SENTINEL SENTINELS
SENTINEL SENTINELS %(name)s
SENTINEL SENTINELS nosuch
SENTINEL SENTINELS a b
SENTINEL GET-MASTER-ADDR-BY-NAME
SENTINEL GET-MASTER-ADDR-BY-NAME %(name)s
SENTINEL get-master-addr-by-name %(name)s
SENTINEL get-master-addr-by-name %(name)s x
SENTINEL GET-MASTER-ADDR-BY-NAME nosuch
SENTINEL GET-MASTER-ADDR-BY-NAME ""
SENTINEL GET-MASTER-ADDR-BY-NAME \x20
SENTINEL GET-MASTER-ADDR-BY-NAME a\x00b
SENTINEL GET-MASTER-ADDR-BY-NAME \xff\xfe
SENTINEL CKQUORUM
SENTINEL CKQUORUM %(name)s
SENTINEL CKQUORUM nosuch
SENTINEL CKQUORUM a b
SENTINEL FAILOVER
SENTINEL FAILOVER nosuch
SENTINEL FAILOVER a b
SENTINEL RESET
SENTINEL RESET nosuch*
SENTINEL RESET [
SENTINEL RESET ""
SENTINEL RESET a b
SENTINEL PENDING-SCRIPTS
SENTINEL PENDING-SCRIPTS x
SENTINEL MYID
SENTINEL MYID x
SENTINEL FLUSHCONFIG
SENTINEL FLUSHCONFIG x
SENTINEL REMOVE
SENTINEL REMOVE nosuch
SENTINEL REMOVE ""
SENTINEL REMOVE a b
SENTINEL MONITOR
SENTINEL MONITOR a b c
SENTINEL MONITOR a b c d e
SENTINEL MONITOR %(name)s 127.0.0.1 6398 2
SENTINEL MONITOR other 127.0.0.1 notaport 2
SENTINEL MONITOR other 127.0.0.1 "" 2
SENTINEL MONITOR other 127.0.0.1 6398x 2
SENTINEL MONITOR other 127.0.0.1 -1 2
SENTINEL MONITOR other 127.0.0.1 +6398 2
SENTINEL MONITOR other 127.0.0.1 06398 2
SENTINEL MONITOR other 127.0.0.1 \x206398 2
SENTINEL MONITOR other 127.0.0.1 65536 2
SENTINEL MONITOR other 127.0.0.1 99999 2
SENTINEL MONITOR other 127.0.0.1 6398 0
SENTINEL MONITOR other 127.0.0.1 6398 -1
SENTINEL MONITOR other 127.0.0.1 6398 x
SENTINEL MONITOR other 127.0.0.1 6398 +1
SENTINEL MONITOR other 127.0.0.1 6398 01
SENTINEL MONITOR other 127.0.0.1 6398 ""
SENTINEL MONITOR other 127.0.0.1 x y
SENTINEL MONITOR other 127.0.0.1 99999 0
SENTINEL MONITOR other "" 6398 2
SENTINEL MONITOR other nowhere.invalid 6398 2
SENTINEL MONITOR other nowhere.invalid 99999 2
SENTINEL MONITOR other 127.0.0.256 6398 2
SENTINEL MONITOR other 127.0.0 x 2
SENTINEL INFO-CACHE
SENTINEL INFO-CACHE nosuch
SENTINEL INFO-CACHE nosuch other
SENTINEL INFO-CACHE %(name)s
SENTINEL INFO-CACHE %(name)s nosuch %(name)s
SENTINEL IS-MASTER-DOWN-BY-ADDR
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 0 *
SENTINEL is-master-down-by-addr 127.0.0.1 %(master)s 5 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 10.9.8.7 %(master)s 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 "" 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 -1 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 99999 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s x *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s "" *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s -1 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 99999999999999999999 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s +0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 00 *
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 0
SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 %(master)s 0 * x
SENTINEL IS-MASTER-DOWN-BY-ADDR nowhere.invalid %(master)s 0 *
SENTINEL IS-MASTER-DOWN-BY-ADDR "" %(master)s 0 *
SENTINEL DEBUG
SENTINEL DEBUG nosuch
SENTINEL DEBUG nosuch 1
SENTINEL DEBUG info-period
SENTINEL DEBUG info-period x
SENTINEL DEBUG info-period ""
SENTINEL DEBUG info-period 0
SENTINEL DEBUG info-period -5
SENTINEL DEBUG info-period 010000
SENTINEL DEBUG info-period +10000
SENTINEL DEBUG info-period 10000 nosuch 1
SENTINEL DEBUG info-period 10000 ping-period
SENTINEL DEBUG info-period 10000 INFO-PERIOD 10000
SENTINEL DEBUG info-period 10000
SENTINEL SIMULATE-FAILURE nosuch
SENTINEL SIMULATE-FAILURE help
SENTINEL SIMULATE-FAILURE HELP x
SENTINEL SIMULATE-FAILURE
"""

SENTINEL_SET = r"""
SENTINEL SET
SENTINEL SET %(name)s
SENTINEL SET nosuch
SENTINEL SET nosuch quorum
SENTINEL SET nosuch quorum 2
SENTINEL SET %(name)s quorum
SENTINEL SET %(name)s quorum 0
SENTINEL SET %(name)s quorum -1
SENTINEL SET %(name)s quorum x
SENTINEL SET %(name)s quorum ""
SENTINEL SET %(name)s quorum +%(quorum)s
SENTINEL SET %(name)s quorum 0%(quorum)s
SENTINEL SET %(name)s quorum \x20%(quorum)s
SENTINEL SET %(name)s quorum %(quorum)s\x20
SENTINEL SET %(name)s quorum 99999999999999999999
SENTINEL SET %(name)s nosuch
SENTINEL SET %(name)s nosuch 1
SENTINEL SET %(name)s nosuch 1 2
SENTINEL SET %(name)s "" 1
SENTINEL SET %(name)s no\x0d\x0asuch 1
SENTINEL SET %(name)s parallel-syncs 1 nosuch
SENTINEL SET %(name)s parallel-syncs 1 nosuch 1
SENTINEL SET %(name)s parallel-syncs 1 quorum x
SENTINEL SET %(name)s parallel-syncs 1 quorum
SENTINEL SET %(name)s down-after-milliseconds 0
SENTINEL SET %(name)s down-after-milliseconds -1
SENTINEL SET %(name)s down-after-milliseconds abc
SENTINEL SET %(name)s DOWN-AFTER-MILLISECONDS abc
SENTINEL SET %(name)s failover-timeout 0
SENTINEL SET %(name)s failover-timeout -1
SENTINEL SET %(name)s failover-timeout ""
SENTINEL SET %(name)s parallel-syncs 0
SENTINEL SET %(name)s parallel-syncs -1
SENTINEL SET %(name)s parallel-syncs 2
SENTINEL SET %(name)s Parallel-Syncs 3 parallel-syncs 1
SENTINEL SET %(name)s notification-script /bin/true
SENTINEL SET %(name)s client-reconfig-script /bin/true
SENTINEL SET %(name)s notification-script
SENTINEL SET %(name)s auth-pass
SENTINEL SET %(name)s auth-pass "" auth-user ""
SENTINEL SET %(name)s auth-pass secret auth-user
SENTINEL SET %(name)s auth-pass ""
SENTINEL SET %(name)s auth-user ""
SENTINEL SET %(name)s rename-command CONFIG
SENTINEL SET %(name)s rename-command
SENTINEL SET %(name)s rename-command "" x
SENTINEL SET %(name)s rename-command x ""
SENTINEL SET %(name)s rename-command CONFIG GUESSED rename-command CONFIG CONFIG
SENTINEL SET %(name)s master-reboot-down-after-period
SENTINEL SET %(name)s master-reboot-down-after-period -1
SENTINEL SET %(name)s master-reboot-down-after-period x
SENTINEL SET %(name)s master-reboot-down-after-period 0
SENTINEL SET %(name)s parallel-syncs 1
"""

SENTINEL_CONFIG = r"""
SENTINEL CONFIG
SENTINEL CONFIG GET
SENTINEL CONFIG get nosuch
SENTINEL CONFIG GET ""
SENTINEL CONFIG GET *
SENTINEL CONFIG GET announce-*
SENTINEL CONFIG GET ANNOUNCE-IP
SENTINEL CONFIG GET resolve-hostnames
SENTINEL CONFIG GET [
SENTINEL CONFIG GET sentinel-????
SENTINEL CONFIG GET announce-ip announce-port
SENTINEL CONFIG SET
SENTINEL CONFIG SET announce-ip
SENTINEL CONFIG SET nosuch 1
SENTINEL CONFIG SET "" 1
SENTINEL CONFIG SET announce-port x
SENTINEL CONFIG SET announce-port -1
SENTINEL CONFIG SET announce-port 70000
SENTINEL CONFIG SET announce-port +0
SENTINEL CONFIG SET announce-port 00
SENTINEL CONFIG SET announce-port ""
SENTINEL CONFIG SET announce-port 0
SENTINEL CONFIG SET announce-ip ""
SENTINEL CONFIG SET resolve-hostnames maybe
SENTINEL CONFIG SET resolve-hostnames ""
SENTINEL CONFIG SET resolve-hostnames no
SENTINEL CONFIG SET announce-hostnames maybe
SENTINEL CONFIG SET announce-hostnames NO
SENTINEL CONFIG SET sentinel-user ""
SENTINEL CONFIG SET sentinel-pass ""
SENTINEL CONFIG SET announce-ip a announce-ip b
SENTINEL CONFIG SET announce-port 0 announce-ip
SENTINEL CONFIG SET announce-port 0 resolve-hostnames maybe
SENTINEL CONFIG NOSUCH x
SENTINEL CONFIG NOSUCH x y
"""

PUBSUB = r"""
PUBLISH
PUBLISH a
PUBLISH nosuch message
PUBLISH "" message
PUBLISH +sdown message
PUBLISH __SENTINEL__:HELLO x
PUBLISH __sentinel__:hello rubbish
PUBLISH __sentinel__:hello ""
PUBLISH __sentinel__:hello 1,2,3,4,5,6,7
PUBLISH a b c
SUBSCRIBE
PSUBSCRIBE
UNSUBSCRIBE
PUNSUBSCRIBE
UNSUBSCRIBE a
PUNSUBSCRIBE ""
"""

CLIENT = r"""
CLIENT
CLIENT ""
CLIENT NOSUCH
CLIENT HELP x
CLIENT GETNAME
CLIENT GETNAME x
CLIENT SETNAME me
CLIENT GETNAME
CLIENT INFO
CLIENT INFO x
CLIENT SETNAME ""
CLIENT GETNAME
CLIENT SETNAME a\x20b
CLIENT SETNAME a\x0ab
CLIENT SETNAME a\x00b
CLIENT SETNAME \xff
CLIENT SETNAME a\x7fb
CLIENT SETNAME ~!
CLIENT SETNAME
CLIENT SETNAME a b
CLIENT SETNAME ""
CLIENT ID
CLIENT ID x
CLIENT LIST
CLIENT LIST NOSUCH
CLIENT LIST TYPE
CLIENT LIST TYPE nosuch
CLIENT LIST TYPE ""
CLIENT LIST TYPE normal x
CLIENT LIST TYPE master
CLIENT LIST TYPE replica
CLIENT LIST TYPE SLAVE
CLIENT LIST TYPE Pubsub2
CLIENT LIST ID
CLIENT LIST ID x
CLIENT LIST ID 0
CLIENT LIST ID -1
CLIENT LIST ID 999999
CLIENT LIST ID 999999 x
CLIENT LIST ID 999998 999999
CLIENT LIST ID 99999999999999999999
CLIENT KILL
CLIENT KILL ""
CLIENT KILL nosuch
CLIENT KILL 1.2.3.4:5
CLIENT KILL ID
CLIENT KILL ID nosuch
CLIENT KILL ID 0
CLIENT KILL ID -1
CLIENT KILL ID 999999
CLIENT KILL ID 999999 ID 999998
CLIENT KILL ID 999999 TYPE
CLIENT KILL NOSUCH x
CLIENT KILL TYPE nosuch
CLIENT KILL TYPE replica
CLIENT KILL TYPE master
CLIENT KILL ADDR 1.2.3.4:5
CLIENT KILL LADDR 1.2.3.4:5
CLIENT KILL ADDR ""
CLIENT KILL USER nosuch
CLIENT KILL USER ""
CLIENT KILL SKIPME maybe
CLIENT KILL SKIPME
CLIENT KILL ID 999999 SKIPME no
CLIENT KILL ID 999999 SKIPME NO USER default TYPE normal ADDR 1.2.3.4:5 LADDR 1.2.3.4:5
CLIENT REPLY
CLIENT REPLY nosuch
CLIENT REPLY ON
CLIENT REPLY on x
CLIENT NO-EVICT
CLIENT NO-EVICT nosuch
CLIENT NO-EVICT ON
CLIENT NO-EVICT off
CLIENT PAUSE
CLIENT PAUSE x
CLIENT PAUSE ""
CLIENT PAUSE -1
CLIENT PAUSE 0
CLIENT PAUSE 1.5
CLIENT PAUSE 0 ALL
CLIENT PAUSE 0 write
CLIENT PAUSE 0 nosuch
CLIENT PAUSE x nosuch
CLIENT PAUSE 0 ALL x
CLIENT PAUSE 99999999999999999999
CLIENT UNPAUSE
CLIENT UNPAUSE x
CLIENT CACHING
CLIENT CACHING YES
CLIENT CACHING nosuch
CLIENT GETREDIR
CLIENT GETREDIR x
CLIENT TRACKING
CLIENT TRACKING nosuch
CLIENT TRACKING ON nosuch
CLIENT TRACKING ON REDIRECT
CLIENT TRACKING ON REDIRECT x
CLIENT TRACKING ON REDIRECT 999999
CLIENT TRACKING ON REDIRECT 0 REDIRECT 0
CLIENT TRACKING ON PREFIX a
CLIENT TRACKING ON PREFIX
CLIENT TRACKING ON OPTIN OPTOUT
CLIENT TRACKING ON BCAST OPTIN
CLIENT TRACKING ON BCAST OPTOUT
CLIENT TRACKINGINFO
CLIENT TRACKING ON OPTIN
CLIENT TRACKINGINFO
CLIENT GETREDIR
CLIENT CACHING nosuch
CLIENT CACHING NO
CLIENT TRACKINGINFO
CLIENT CACHING YES
CLIENT TRACKING ON OPTOUT
CLIENT TRACKING ON BCAST
CLIENT TRACKING OFF
CLIENT TRACKING ON OPTOUT NOLOOP
CLIENT CACHING YES
CLIENT CACHING NO
CLIENT TRACKINGINFO
CLIENT TRACKING OFF
CLIENT TRACKING ON BCAST PREFIX a PREFIX a
CLIENT TRACKING ON BCAST PREFIX ab PREFIX a
CLIENT TRACKING ON BCAST PREFIX a PREFIX b
CLIENT TRACKINGINFO
CLIENT TRACKING ON BCAST PREFIX bc
CLIENT TRACKING ON
CLIENT TRACKING OFF
CLIENT TRACKINGINFO
CLIENT TRACKING ON
CLIENT TRACKINGINFO
CLIENT INFO
CLIENT TRACKING OFF BCAST
CLIENT TRACKING OFF OPTIN OPTOUT
CLIENT TRACKINGINFO
CLIENT TRACKINGINFO x
CLIENT UNBLOCK
CLIENT UNBLOCK x
CLIENT UNBLOCK 999999
CLIENT UNBLOCK 999999 TIMEOUT
CLIENT UNBLOCK 999999 error
CLIENT UNBLOCK 999999 nosuch
CLIENT UNBLOCK x nosuch
CLIENT UNBLOCK 999999 ERROR x
CLIENT SETINFO
CLIENT SETINFO lib-name
CLIENT SETINFO lib-name name
CLIENT SETINFO LIB-VER 1.2.3
CLIENT SETINFO nosuch x
CLIENT SETINFO lib-name a\x20b
CLIENT SETINFO lib-ver ""
CLIENT SETINFO lib-name ""
CLIENT NO-TOUCH
CLIENT NO-TOUCH on
CLIENT NO-TOUCH OFF
CLIENT NO-TOUCH x
CLIENT KILL MAXAGE 999999
CLIENT KILL MAXAGE x
CLIENT KILL MAXAGE 0
"""

COMMANDS = r"""
COMMAND
COMMAND COUNT
COMMAND COUNT x
COMMAND NOSUCH
COMMAND HELP x
COMMAND INFO
COMMAND INFO nosuch
COMMAND INFO auth subscribe
COMMAND INFO AUTH nosuch PING
COMMAND INFO client|id
COMMAND INFO CLIENT|LIST
COMMAND INFO client|nosuch
COMMAND INFO nosuch|id
COMMAND INFO ping|x
COMMAND INFO ""
COMMAND INFO client
COMMAND INFO sentinel
COMMAND INFO command
COMMAND INFO role info shutdown publish hello
COMMAND DOCS nosuch
COMMAND DOCS ping nosuch
COMMAND DOCS auth
COMMAND DOCS AUTH|x
COMMAND DOCS client|list
COMMAND DOCS sentinel
COMMAND DOCS client
COMMAND DOCS command
COMMAND DOCS
COMMAND DOCS ping ping
COMMAND LIST
COMMAND LIST x
COMMAND LIST FILTERBY
COMMAND LIST FILTERBY x
COMMAND LIST FILTERBY nosuch x
COMMAND LIST FILTERBY MODULE
COMMAND LIST FILTERBY MODULE nosuch
COMMAND LIST FILTERBY ACLCAT nosuch
COMMAND LIST FILTERBY ACLCAT pubsub
COMMAND LIST FILTERBY ACLCAT @pubsub
COMMAND LIST FILTERBY aclcat CONNECTION
COMMAND LIST FILTERBY ACLCAT read
COMMAND LIST FILTERBY ACLCAT fast
COMMAND LIST FILTERBY ACLCAT dangerous
COMMAND LIST FILTERBY PATTERN nosuch*
COMMAND LIST FILTERBY PATTERN *sub*
COMMAND LIST FILTERBY PATTERN *SUB*
COMMAND LIST FILTERBY PATTERN client*
COMMAND LIST FILTERBY PATTERN client|*
COMMAND LIST FILTERBY PATTERN sentinel|[m-r]*
COMMAND LIST FILTERBY PATTERN ""
COMMAND LIST FILTERBY PATTERN a b
COMMAND LIST filterby pattern p?ng
COMMAND GETKEYS
COMMAND GETKEYS ping
COMMAND GETKEYS ping a
COMMAND GETKEYS nosuch a
COMMAND GETKEYS ping a b
COMMAND GETKEYS get key
COMMAND GETKEYS publish a
COMMAND GETKEYS publish a b
COMMAND GETKEYS client id
COMMAND GETKEYS client nosuch x
COMMAND GETKEYS client|id x
COMMAND GETKEYS sentinel masters x
COMMAND GETKEYS role a
COMMAND GETKEYSANDFLAGS
COMMAND GETKEYSANDFLAGS ping a
COMMAND GETKEYSANDFLAGS nosuch a
COMMAND GETKEYSANDFLAGS role a
"""

# Some errors are cut at 128 bytes, others are not.
LONG = "".join(line % ("l" * 200) + "\n" for line in (
    "%s", "nosuch %s", "SENTINEL %s", "SENTINEL MASTER %s", "SENTINEL CKQUORUM %s",
    "SENTINEL SET %%(name)s quorum %s", "SENTINEL SET %%(name)s %s 1",
    "SENTINEL SET %%(name)s %s", "SENTINEL SET %%(name)s rename-command %s",
    "SENTINEL CONFIG SET announce-port %s", "SENTINEL CONFIG SET %s 1",
    "SENTINEL DEBUG info-period %s", "SENTINEL DEBUG %s 1", "SENTINEL SIMULATE-FAILURE %s",
    "SENTINEL MONITOR other %s 6398 2", "CLIENT %s", "CLIENT LIST TYPE %s", "CLIENT LIST ID %s",
    "CLIENT KILL %s", "CLIENT KILL USER %s", "CLIENT KILL TYPE %s", "CLIENT UNBLOCK 1 ERROR %s",
    "CLIENT REPLY %s", "HELLO %s", "HELLO 2 %s", "HELLO 2 AUTH %s x", "AUTH default %s",
    "COMMAND INFO %s", "COMMAND %s", "COMMAND GETKEYS %s x", "PUBLISH %s x", "INFO %s",
    "CLIENT TRACKING ON BCAST PREFIX %s PREFIX l", "ACL CAT %s", "ACL GETUSER %s",
    "ACL DRYRUN %s ping", "ACL DRYRUN default %s", "ACL SETUSER bob +%s", "ACL DELUSER %s",
    "PING %s", "UNSUBSCRIBE %s"))

# A few; test_acl.py has the rest.
ACL = r"""
ACL
ACL NOSUCH
ACL LOG RESET
ACL HELP x
ACL WHOAMI
ACL WHOAMI x
ACL USERS
ACL USERS x
ACL LIST x
ACL CAT
ACL CAT nosuch
ACL CAT pubsub
ACL CAT PUBSUB
ACL CAT connection
ACL CAT a b
ACL GETUSER
ACL GETUSER nosuch
ACL GETUSER default
ACL GETUSER Default
ACL DELUSER
ACL DELUSER nosuch
ACL DELUSER default
ACL SETUSER
ACL SETUSER bob nosuch
ACL SETUSER bob +nosuch
ACL SETUSER bob +@nosuch
ACL SETUSER bob >
ACL SETUSER bob #12
ACL SETUSER bob on >secret ~* &* +@all
ACL GETUSER bob
ACL USERS
ACL DRYRUN bob sentinel masters
ACL DRYRUN nosuch ping
ACL DRYRUN bob nosuch
ACL SETUSER bob reset
ACL DRYRUN bob ping
ACL DELUSER bob
ACL LOG
ACL LOG x
ACL LOG -1
ACL LOG RESET
ACL LOG reset x
ACL LOAD
ACL SAVE
ACL LOAD x
ACL GENPASS x
ACL GENPASS 0
ACL GENPASS 4097
ACL GENPASS 1 2
"""

COMMON = {"connection": CONNECTION, "unknown": UNKNOWN, "sentinel": SENTINEL, "set": SENTINEL_SET,
          "config": SENTINEL_CONFIG, "pubsub": PUBSUB, "client": CLIENT, "command": COMMANDS,
          "acl": ACL, "long": LONG}


def lines(text):
    return [line for line in text.split("\n") if line]


def words(line, **values):
    """The words of a request, as bytes."""
    found = []
    for word in line.split(" "):
        word = "" if word == '""' else word
        for name, value in values.items():
            word = word.replace("%%(%s)s" % name, str(value))
        found.append(re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]),
                            word.encode()))
    return found


# --- at random ------------------------------------------------------------------------------------

# Left out: what changes something, what is answered several times, and what lib/accepted.py lists.
COMMAND_WORDS = {
    "SENTINEL": "MASTER MASTERS REPLICAS SLAVES SENTINELS GET-MASTER-ADDR-BY-NAME CKQUORUM MYID "
                "PENDING-SCRIPTS INFO-CACHE DEBUG SIMULATE-FAILURE SET "
                "REMOVE RESET FLUSHCONFIG nosuch",
    "CLIENT": "CACHING GETNAME GETREDIR ID INFO NO-EVICT SETNAME TRACKING TRACKINGINFO UNBLOCK "
              "UNPAUSE nosuch",
    "COMMAND": "DOCS INFO LIST GETKEYS GETKEYSANDFLAGS nosuch", "ACL": "CAT GETUSER WHOAMI USERS",
    "HELLO": "", "AUTH": "", "PING": "", "INFO": "", "ROLE": "", "PUBLISH": "", "SUBSCRIBE": "",
    "nosuch": ""}
ARGUMENTS = ["", "0", "1", "-1", "2", "3", "*", "mymaster", "nosuch", "x" * 130, "a b", "127.0.0.1",
             "6398", "GET", "SET", "on", "off", "ON", "yes", "no", "parallel-syncs",
             "down-after-milliseconds", "announce-ip", "FILTERBY", "PATTERN", "MODULE", "ping",
             "bob", "TYPE", "ID", "normal", "BCAST", "PREFIX", "OPTIN", "OPTOUT", "+1",
             "007", "99999999999999999999", "\0", "\xff", "help", "sentinel", "server",
             "SETNAME", "rename-command", "info-period", "ping-period", "a\r\nb"]


def random_requests(random, count):
    """[[words as bytes]]"""
    found = []
    while len(found) < count:
        name = random.choice(list(COMMAND_WORDS))
        words = [name] + ([random.choice(COMMAND_WORDS[name].split())] if COMMAND_WORDS[name]
                          else [])
        words += [random.choice(ARGUMENTS) for _ in range(random.randrange(0, 5))]
        # Half a change is stock's way, RESET and REMOVE are for other tests.
        if words[1:2] == ["SET"] and len(words) > 5 or words[1:2] == ["DEBUG"] and len(words) > 4 or words[1:3] == ["REMOVE", "mymaster"] or \
                words[:2] == ["SENTINEL", "RESET"] and "*" in words or \
                words[0] == "SUBSCRIBE" and len(words) > 1:
            continue
        found.append([word.encode("latin-1") for word in words])
    return found
