"""steady: what calm costs: CPU and memory of three sentinels over one fleet."""

import time

from cases import harness, plots, report

NAME = "steady"
HELP = "CPU and memory of three sentinels while nothing happens"
PRESETS = {"quick": {"masters": [200], "steady": 8.0, "rounds": 1},
           "full": {"masters": [1000, 2000], "steady": 30.0, "rounds": 3}}
CPU_RATIO, RSS_RATIO = 0.30, 0.35
FEW = 10  # masters of the process whose memory and CPU are the base
BASE_CALM = 6.0  # s its CPU is measured


def options(parser):
    parser.add_argument("--masters", type=numbers, metavar="LIST",
                        help="how many masters, each with a replica, e.g. 1000,2000")
    parser.add_argument("--steady", type=float, metavar="S", help="how long the calm is measured")


def numbers(text):
    return [int(word) for word in text.split(",")]


def check(chosen):
    if not chosen.masters or min(chosen.masters) < 1:
        raise ValueError("--masters: numbers of at least 1")


def heading(masters):
    return "%s masters x 1 replica, %d sentinels, calm" % (format(masters, ","), harness.SENTINELS)


def base_cost(context, session):
    """Figures of such a process with FEW masters: what it needs whatever it watches."""
    # Of the same fleet, the lines of its first masters.
    lines = "sentinel monitor".join(session.fleet.conf_lines().split("sentinel monitor")[:FEW + 1])
    base = context.sentinel("base", context.path, lines)
    context.lab.add(base)
    context.wait(lambda: base.snapshot and base.snapshot.complete(FEW, 1) == FEW, 20)
    base.poll_period = None
    context.pause(2)
    before, at = base.cpu_seconds(), time.monotonic()
    context.pause(BASE_CALM)
    figures = {"base": base.memory_mb(),
               "base_cpu": 100 * (base.cpu_seconds() - before) / (time.monotonic() - at)}
    context.lab.processes.remove(base)
    complaint = base.stop()
    return figures, [complaint] if complaint else []


def calm_round(context, masters, sentinels):
    session = harness.FleetSession(context, masters, sentinels=sentinels)
    base, complaints = base_cost(context, session) if masters > FEW else ({}, [])
    figures = session.start_up()
    session.settle()
    figures.update(session.calm(context.options.steady))
    figures["cpu_instance"] = 1e4 * figures["cpu"] / (2 * masters)  # us of CPU a second
    if base:
        further = 2 * (masters - FEW)
        figures.update(base)
        figures["cpu_further"] = 1e4 * (figures["cpu"] - base["base_cpu"]) / further
        figures["rss_instance"] = 1024 * (figures["rss"] - base["base"]) / further
    sample = context.sample(figures)
    sample.complaints += complaints
    return [sample]


def rounds(chosen):
    made = []
    for masters in chosen.masters:
        for program in chosen.programs:
            made.append(harness.Round(
                heading(masters), program,
                harness.stages(program, masters, chosen.steady, patience=chosen.patience),
                lambda context, masters=masters: calm_round(context, masters, harness.SENTINELS)))
    return made


FIGURES = [
    report.Figure("CPU of one sentinel, mean of three", "cpu", report.percent,
                  ratio_at_most=CPU_RATIO),
    report.Figure("CPU of the busiest", "cpu_most", report.percent),
    report.Figure("RSS, the largest", "rss", report.megabytes, ratio_at_most=RSS_RATIO),
    report.Figure("RSS of a process with %d masters" % FEW, "base", report.megabytes),
    report.Figure("RSS of each further instance", "rss_instance", report.kibibytes),
    report.Figure("CPU of a process with %d masters" % FEW, "base_cpu", report.percent),
    report.Figure("CPU of each further instance, us a second", "cpu_further", report.number),
    report.Figure("everything known after", "known", report.seconds),
    report.Figure("commands a second that the fleet answers", "fleet_commands", report.count),
]


def sections(chosen, samples):
    return [report.Section(heading(masters), FIGURES) for masters in chosen.masters]


def bars(chosen, samples, key):
    categories = [format(masters, ",") for masters in chosen.masters]
    return categories, [
        (program["label"], {
            category: plots.bar_of(report.summary(samples, heading(masters), program["label"], key))
            for category, masters in zip(categories, chosen.masters)})
        for program in chosen.programs]


def plots_of(chosen, samples):
    return [plots.Bars("steady-cpu", "One of three sentinels, calm: CPU by masters",
                       "percent of a core", *bars(chosen, samples, "cpu")),
            plots.Bars("steady-rss", "One of three sentinels: memory by masters", "RSS, MB",
                       *bars(chosen, samples, "rss"))]
