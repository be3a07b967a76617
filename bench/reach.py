"""The reach of one process, which bench/reach measures: see there, or --help.

measure() is one run; others may call it with a Lab of theirs.
"""

import argparse
import json
import os
import re
import signal
import sys
import time

import lab

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VEDETTE_BUILD", os.path.join(HERE, "..", "build", "release"))
DOWN_AFTER = 5.0
SETTLE = 12.0     # s of calm before the steady figures: an INFO period and the growth of buffers
PATIENCE = 120.0  # s until all are known, or promoted
LINKS = ("links", "links_direct", "links_direct_max", "links_normal", "links_refused")

EPILOG = """
How to read it. "known after" counts from the start of the process until each master has its replica
and all links are up. CPU is the process's, of one core, over --calm seconds in which nothing happens
and nobody asks it anything. Open files are those in /proc/PID/fd. "promoted" are ms after the kill
(down-after, 5 s, is part of it) to the last SLAVEOF NO ONE. False alarms are +sdown events of
instances that nobody touched, and +tilt. --one-core: another run with all threads of vedette on the
last core and the fleet on the others; what one core can hold is the masters of that run if it raised
no false alarm, and by its CPU, scaled, how many would fill the core.
"""


def options(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/reach", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description="10,000 masters with a replica each, 40,000 links, watched by one vedette "
        "within\n20,000 open files, steady and through 200 failovers.")
    parser.add_argument("--masters", type=int, default=10000, metavar="N",
                        help="simulated masters, each with a replica (10000)")
    parser.add_argument("--files", type=int, default=20000, metavar="N",
                        help="RLIMIT_NOFILE of the vedette, soft and hard (20000)")
    parser.add_argument("--shards", default="3,4", metavar="LIST",
                        help="one run for each number of shards (3,4)")
    parser.add_argument("--kill", type=int, default=200, metavar="N",
                        help="masters killed at one instant (200)")
    parser.add_argument("--calm", type=float, default=30.0, metavar="S",
                        help="seconds over which the steady CPU is taken (30)")
    parser.add_argument("--quick", action="store_true",
                        help="2000 masters, 4000 files, 3 shards, 40 killed, 10 s of calm, not on "
                        "one core")
    parser.add_argument("--one-core", action=argparse.BooleanOptionalAction, default=True,
                        help="a run on one core, too (yes)")
    parser.add_argument("--out", default=os.path.join(HERE, "results"), metavar="FOLDER",
                        help="where the JSON goes (bench/results)")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    if "--quick" in arguments:
        parser.set_defaults(masters=2000, files=4000, shards="3", kill=40, calm=10.0,
                            one_core=False)
    chosen = parser.parse_args(arguments)
    try:
        chosen.shards = [int(word) for word in chosen.shards.split(",")]
    except ValueError:
        parser.error("--shards: numbers with commas between them")
    if min(chosen.shards) < 1 or max(chosen.shards) > 64:
        parser.error("--shards: 1 to 64")
    if not 1 <= chosen.kill <= chosen.masters <= 60000:
        parser.error("--masters: 1 to 60000, and --kill no more than that")
    return chosen


def vedette_info(port):
    text = lab.ask(port, "INFO", "vedette", timeout=20.0) or ""
    return {field: int(value)
            for field, value in re.findall(r"^vedette_(\w+):(\d+)\r?$", text, re.M)}


def wait_known(laboratory, sentinel, masters, progress):
    """Seconds from the start until every master has its replica and every link stands."""
    said = 0.0
    while True:
        laboratory.check()
        elapsed = time.monotonic() - sentinel.started
        text = lab.ask(sentinel.port, "INFO", "sentinel", timeout=20.0) or ""
        snapshot = lab.Snapshot(text, time.monotonic())
        info = vedette_info(sentinel.port)
        if snapshot.complete(masters, 1) == masters and info.get("links") == 4 * masters:
            return elapsed
        if elapsed > PATIENCE:
            raise lab.LabError("after %.0f s only %d of %d masters are known with their replica, "
                               "%d links:\n%s" % (elapsed, snapshot.complete(masters, 1), masters,
                                                  info.get("links", 0), sentinel.last_words()))
        if elapsed - said > 5:
            said = elapsed
            progress("%4.0f s  %d masters complete, %d links" % (
                elapsed, snapshot.complete(masters, 1), info.get("links", 0)))
        time.sleep(0.25)


def wait_promoted(laboratory, promotions, killed_at, progress):
    said = 0.0
    while not promotions.all_agree():
        laboratory.check()
        promotions.update()
        elapsed = time.monotonic() - killed_at
        if elapsed > PATIENCE:
            break
        if elapsed - said > 5:
            said = elapsed
            progress("%4.0f s  %d of %d promoted" % (
                elapsed, len(promotions.promoted), len(promotions.killed_at)))
        time.sleep(0.2)


def false_alarms(sentinel, killed):
    """What was said to be down though nobody had touched it, and TILTs."""
    wrong = tilts = 0
    for _, kind, text in sentinel.events:
        tilts += kind == "+tilt"
        if kind == "+sdown":
            words = text.split()
            group = words[words.index("@") + 1] if "@" in words else words[1]
            wrong += group not in killed
    return wrong, tilts


def measure(laboratory, masters=10000, files=20000, shards=3, kill=200, calm=30.0, one_core=False,
            progress=print):
    """One run: a dict of what was seen. Starts and stops its own fleet and vedette."""
    cores = os.cpu_count() or 1
    pinned = one_core and cores > 1
    place = laboratory.subdirectory("reach-%d%s" % (shards, "-one" if one_core else ""))
    fleet = lab.Fleet(os.path.join(BUILD, "fleet"), laboratory.subdirectory(place + "/fleet"),
                      masters, down_after=int(DOWN_AFTER * 1000), quorum=1)
    if pinned:
        fleet.command = ["taskset", "-c", "0-%d" % (cores - 2), *fleet.command]
    laboratory.add(fleet)
    sentinel = lab.Sentinel("vedette", os.path.join(BUILD, "vedette"),
                            os.path.join(place, "vedette"), fleet.conf_lines())
    sentinel.poll_period = None
    sentinel.command = ["sh", "-c", 'ulimit -n %d && exec "$@"' % files, "sh", *(
        ["taskset", "-c", str(cores - 1)] if pinned else []), *sentinel.command,
        "--io", "uring", "--shards", str(shards)]
    laboratory.add(sentinel)
    found = {"masters": masters, "files": files, "shards": shards, "one_core": one_core}
    found["known_s"] = wait_known(laboratory, sentinel, masters, progress)
    found["known_cpu_s"] = sentinel.cpu_seconds()
    progress("all known after %.1f s; calm for %.0f s" % (found["known_s"], SETTLE + calm))

    time.sleep(SETTLE)
    before, at = sentinel.cpu_seconds(), time.monotonic()
    time.sleep(calm)
    found["cpu_percent"] = 100 * (sentinel.cpu_seconds() - before) / (time.monotonic() - at)
    found["rss_mb"] = sentinel.memory_mb()
    found["open_files"] = len(os.listdir("/proc/%d/fd" % sentinel.pid))
    info = vedette_info(sentinel.port)
    found.update({field: info.get(field, 0) for field in LINKS})
    progress("CPU %.1f %%, %.0f MB, %d open files; killing %d masters" % (
        found["cpu_percent"], found["rss_mb"], found["open_files"], kill))

    promotions = lab.Promotions(fleet, [sentinel])
    before = sentinel.cpu_seconds()
    killed_at = promotions.kill(kill)
    wait_promoted(laboratory, promotions, killed_at, progress)
    found["failover_cpu_s"] = sentinel.cpu_seconds() - before
    times = promotions.times()
    found["killed"], found["promoted"] = kill, len(times)
    found["first_s"], found["median_s"], found["last_s"] = lab.first_median_last(times)
    found["agreed_s"] = promotions.agreed_after()
    found["disagreements"] = promotions.disagreements()[:5]
    found["false_sdown"], found["tilts"] = false_alarms(sentinel, promotions.killed_at)
    found["links_refused"] = vedette_info(sentinel.port).get("links_refused", 0)
    found["well"] = (len(times) == kill and not found["disagreements"] and not found["tilts"]
                     and not found["false_sdown"] and not found["links_refused"])
    laboratory.stop_all()
    return found


def seconds(value):
    return "-" if value is None else "%.2f" % value


def rows(results):
    head = ["shards", "masters", "known s", "CPU s", "steady CPU %", "RSS MB", "links", "direct",
            "normal", "open files", "promoted", "first s", "last s", "false", "tilt"]
    return [head] + [[
        "%d%s" % (r["shards"], " on one core" if r["one_core"] else ""), str(r["masters"]),
        "%.1f" % r["known_s"], "%.1f" % r["known_cpu_s"], "%.1f" % r["cpu_percent"],
        "%.0f" % r["rss_mb"], str(r["links"]), str(r["links_direct"]), str(r["links_normal"]),
        str(r["open_files"]), "%d of %d" % (r["promoted"], r["killed"]), seconds(r["first_s"]),
        seconds(r["last_s"]), str(r["false_sdown"]), str(r["tilts"])] for r in results]


def conclude(results):
    lines = []
    for r in results:
        if r["one_core"] and r["well"]:
            lines.append("One core holds %d masters with their replicas through %d failovers; at "
                         "%.1f %% when calm it would be full with some %d." % (
                             r["masters"], r["killed"], r["cpu_percent"],
                             r["masters"] * 100 / max(r["cpu_percent"], 0.1)))
        elif r["one_core"]:
            lines.append("One core did not hold %d masters." % r["masters"])
        for wrong in r["disagreements"]:
            lines.append("wrong: " + wrong)
    return lines


def main():
    chosen = options(sys.argv[1:])
    lab.raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runs = [(shards, False) for shards in chosen.shards]
    if chosen.one_core:
        runs.append((chosen.shards[0], True))
    results, code = [], 0
    with lab.Lab(chosen.keep) as laboratory:
        for number, (shards, one_core) in enumerate(runs, 1):
            def progress(text, at="[reach %d/%d, %d shards%s] " % (
                    number, len(runs), shards, ", one core" if one_core else "")):
                print(at + text, flush=True)
            progress("about %.0f s" % (SETTLE + chosen.calm + 40))
            try:
                results.append(measure(laboratory, chosen.masters, chosen.files, shards,
                                       chosen.kill, chosen.calm, one_core, progress))
            except lab.LabError as error:
                print("reach: %s" % error, file=sys.stderr)
                code = 1
                laboratory.stop_all()
        if laboratory.complaints:
            print("\n".join(laboratory.complaints), file=sys.stderr)
            code = 1
        if chosen.keep:
            print("logs: " + laboratory.directory)
    os.makedirs(chosen.out, exist_ok=True)
    path = os.path.join(chosen.out, "reach-%s.json" % time.strftime("%Y%m%d-%H%M%S"))
    with open(path, "w") as file:
        json.dump({"runs": results, "cores": os.cpu_count()}, file, indent=1)
    print("\n" + "\n".join(lab.table(rows(results))))
    print("\n".join(conclude(results)))
    print("JSON: " + os.path.relpath(path))
    return code or (0 if all(r["well"] for r in results) else 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
