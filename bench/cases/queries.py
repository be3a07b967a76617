"""queries: SENTINEL GET-MASTER-ADDR-BY-NAME by redis-benchmark, idle and while masters fail over."""

import csv
import math
import os
import subprocess
import time

import lab
from cases import harness, plots, report

NAME = "queries"
HELP = "GET-MASTER-ADDR-BY-NAME with many clients, idle and during a mass failure"
PRESETS = {"quick": {"masters": 100, "stock_masters": 100, "clients": [50, 1000],
                     "pipelines": [1, 16], "seconds": 1.5, "down_after": 2000, "rounds": 1},
           "full": {"masters": 4500, "stock_masters": 450, "clients": [50, 5000],
                    "pipelines": [1, 16], "seconds": 4.0, "rounds": 3}}
UNPIPELINED, PIPELINED = 1.3, 1.5  # targets: requests a CPU-second, times those of stock
TRIAL = 20000     # requests of the run that finds how many fit the time
EARLY = 0.5       # s before down-after is over the load of a failover begins


def numbers(text):
    return [int(word) for word in text.split(",")]


def options(parser):
    parser.add_argument("--masters", type=int, metavar="N",
                        help="masters for the first program alone, of which a tenth fails")
    parser.add_argument("--stock-masters", type=int, metavar="N",
                        help="masters for both programs, of which a tenth fails")
    parser.add_argument("--clients", type=numbers, metavar="LIST", help="how many connections")
    parser.add_argument("--pipelines", type=numbers, metavar="LIST", help="requests at once of each")
    parser.add_argument("--seconds", type=float, metavar="S", help="for each measurement")


def check(chosen):
    if min([chosen.masters, chosen.stock_masters] + chosen.clients + chosen.pipelines) < 1:
        raise ValueError("all numbers: at least 1")
    if len(loads(chosen)) * max(1, min(chosen.masters, chosen.stock_masters) // 10) > min(
            chosen.masters, chosen.stock_masters):
        raise ValueError("a tenth of the masters dies for each pair of --clients and --pipelines: "
                         "at most 10 pairs, and as many masters")
    if not chosen.seconds > 0:
        raise ValueError("--seconds: more than 0")


def loads(chosen):
    return [(clients, pipeline) for pipeline in chosen.pipelines for clients in chosen.clients]


def heading(masters):
    return "queries, %s masters" % format(masters, ",")


def key(clients, pipeline, what):
    return "c%d-p%d-%s" % (clients, pipeline, what)


def benchmark(context, sentinel, name, clients, pipeline, requests):
    """One run of redis-benchmark: requests a second, p99 in ms, requests a CPU-second."""
    path = os.path.join(context.lab.subdirectory("load"), "output")
    before, begun = sentinel.cpu_seconds(), time.monotonic()
    with open(path, "w") as output:
        child = subprocess.Popen(
            ["redis-benchmark", "-p", str(sentinel.port), "-c", str(clients), "-P", str(pipeline),
             "-n", str(requests), "--csv", "SENTINEL", "get-master-addr-by-name", name],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            ended = context.wait(lambda: child.poll() is not None, context.options.patience,
                                 tick=0.01)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    took, spent = time.monotonic() - begun, sentinel.cpu_seconds() - before
    with open(path, errors="replace") as file:
        rows = list(csv.reader(file))  # warnings come before the two lines that count
    if not ended:
        return {"rate": None, "p99": None, "per_cpu": None}
    try:
        found = dict(zip(rows[-2], rows[-1]))
        return {"rate": float(found["rps"]), "p99": float(found["p99_latency_ms"]),
                "per_cpu": requests / spent if spent > 0 else math.nan, "took": took}
    except (IndexError, KeyError, ValueError):
        raise lab.LabError("redis-benchmark said:\n%s" % "\n".join(map(",".join, rows[-5:])))


def round_up(requests, clients, pipeline):
    """At least one full pipeline of every client, and a multiple of the pipeline."""
    return max(math.ceil(requests / pipeline) * pipeline, clients * pipeline)


def under_failover(context, session, name, load, requests, first, count):
    """The same load while `count` masters, from number `first` on, fail over."""
    promotions = lab.Promotions(session.fleet, session.sentinels)
    killed = promotions.kill(count, "kill from %d" % first)
    due = killed + context.options.down_after / 1000 - EARLY
    context.wait(lambda: time.monotonic() >= due, 60)
    found = benchmark(context, session.sentinels[0], name, *load, requests)
    ended = time.monotonic() - killed

    def agreed():
        promotions.update()
        return promotions.all_agree()

    context.wait(agreed, context.options.patience, lambda: "%d of %d promoted" % (
        len(promotions.promoted), count), tick=0.2)
    times = promotions.times()
    found["inside"] = sum(1 for at in times if at <= ended)
    found["agreed"] = promotions.agreed_after()
    return found


def queries_round(context, masters):
    chosen = context.options
    session = harness.FleetSession(context, masters)
    session.start_up()
    session.settle()
    server = session.sentinels[0]
    name = sorted(session.fleet.control("masters"))[-1]  # never among those that are killed
    figures, requests = {}, {}
    context.enter("idle")
    for one in session.sentinels:
        one.poll_period = None
    for clients, pipeline in loads(chosen):
        trial = round_up(TRIAL * min(pipeline, 4), clients, pipeline)
        rate = benchmark(context, server, name, clients, pipeline, trial)["rate"]
        requests[clients, pipeline] = round_up((rate or TRIAL) * chosen.seconds, clients, pipeline)
        idle = benchmark(context, server, name, clients, pipeline, requests[clients, pipeline])
        for what in ("rate", "p99", "per_cpu"):
            figures[key(clients, pipeline, what)] = idle[what]
    session.wait_for_votes()
    context.enter("failing over")
    count = max(1, masters // 10)
    for number, load in enumerate(loads(chosen)):
        busy = under_failover(context, session, name, load, requests[load], 1 + number * count,
                              count)
        for what in ("rate", "p99", "per_cpu", "inside", "agreed"):
            figures[key(*load, "busy-" + what)] = busy[what]
    return [context.sample(figures)]


def planned(chosen):
    """(masters, program): first all programs alike, then the first alone with more."""
    made = [(chosen.stock_masters, program) for program in chosen.programs]
    if chosen.masters != chosen.stock_masters:
        made.append((chosen.masters, chosen.programs[0]))
    return made


def rounds(chosen):
    made, number = [], len(loads(chosen))
    for masters, program in planned(chosen):
        stages = harness.stages(program, masters, killed=max(1, masters // 10),
                                down_after=chosen.down_after / 1000, patience=chosen.patience)
        failing = (stages[2][1] + chosen.seconds) * number
        stages[2:3] = [("idle", (1.4 * chosen.seconds + 1) * number), ("failing over", failing)]
        made.append(harness.Round(heading(masters), program, stages,
                                  lambda context, masters=masters: queries_round(context, masters)))
    return made


def sections(chosen, samples):
    made = []
    for masters in dict.fromkeys(masters for masters, _ in planned(chosen)):
        both, figures = masters == chosen.stock_masters, []
        for clients, pipeline in loads(chosen):
            target = None if not both else UNPIPELINED if pipeline == 1 else PIPELINED
            text = "%s clients, pipeline %d: " % (format(clients, ","), pipeline)
            figures += [
                report.Figure(text + "requests a CPU-second", key(clients, pipeline, "per_cpu"),
                              report.count, ratio_at_least=target),
                report.Figure("  requests a second", key(clients, pipeline, "rate"), report.count),
                report.Figure("  p99 idle", key(clients, pipeline, "p99"), report.milliseconds),
                report.Figure("  p99 during the failovers", key(clients, pipeline, "busy-p99"),
                              report.milliseconds),
                report.Figure("  requests a CPU-second during them",
                              key(clients, pipeline, "busy-per_cpu"), report.count),
                report.Figure("  promotions before the load ended, of %d" % max(1, masters // 10),
                              key(clients, pipeline, "busy-inside"), report.count, ratio=False),
                report.Figure("  all sentinels agree after", key(clients, pipeline, "busy-agreed"),
                              report.seconds)]
        made.append(report.Section(heading(masters), figures, [
            "a CPU-second of the server, its watching of the masters included; the load and the "
            "fleet run on the same cores"]))
    return made


def plots_of(chosen, samples):
    title = heading(chosen.stock_masters)
    names = {load: "%d clients, P %d" % load for load in loads(chosen)}

    def bars(section, program, what):
        return {names[load]: plots.bar_of(report.summary(samples, section, program,
                                                         key(*load, what))) for load in names}

    labels = [program["label"] for program in chosen.programs]
    late = [("%s, %s" % (label, text), bars(title, label, what)) for label in labels
            for what, text in (("p99", "idle"), ("busy-p99", "failovers"))]
    if chosen.masters != chosen.stock_masters:
        late += [("%s, %s masters, %s" % (labels[0], format(chosen.masters, ","), text),
                  bars(heading(chosen.masters), labels[0], what))
                 for what, text in (("p99", "idle"), ("busy-p99", "failovers"))]
    return [plots.Bars("queries-cpu", "GET-MASTER-ADDR-BY-NAME, idle: requests a CPU-second, %s"
                       % title.partition(", ")[2], "requests", list(names.values()),
                       [(label, bars(title, label, "per_cpu")) for label in labels]),
            plots.Bars("queries-p99", "GET-MASTER-ADDR-BY-NAME: 99th percentile, idle and failing over",
                       "milliseconds (logarithmic)", list(names.values()), late,
                       logarithmic=True)]
