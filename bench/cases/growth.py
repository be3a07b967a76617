"""growth: what an instance costs as the fleet grows, in one sentinel alone on the machine."""

from cases import harness, plots, report, steady

NAME = "growth"
HELP = "CPU and memory of each instance as the fleet grows (the first program only)"
PRESETS = {"quick": {"masters": [200, 500, 1000], "steady": 6.0, "sentinels": 1, "rounds": 1},
           "full": {"masters": [500, 1000, 2000, 4500, 10000], "steady": 20.0, "sentinels": 1,
                    "rounds": 3}}
FLAT = 0.20  # the most may be this much above the least
KEYS = (("cpu_further", "CPU an instance"), ("rss_instance", "RSS an instance"))  # beyond FEW masters


def options(parser):
    steady.options(parser)
    parser.add_argument("--sentinels", type=int, metavar="N",
                        help="how many watch the fleet (1: more leave less of the machine to each)")


def check(chosen):
    steady.check(chosen)
    if not 1 <= chosen.sentinels <= 16:
        raise ValueError("--sentinels: 1 to 16")


def heading(masters):
    return "growth, %s masters x 1 replica" % format(masters, ",")


def rounds(chosen):
    program = chosen.programs[0]
    return [harness.Round(
        heading(masters), program,
        harness.stages(program, masters, chosen.steady, patience=chosen.patience),
        lambda context, masters=masters: steady.calm_round(context, masters, chosen.sentinels))
        for masters in chosen.masters]


def by_size(chosen, samples, key):
    """[(masters, median)] of the sizes that were measured."""
    label, found = chosen.programs[0]["label"], []
    for masters in chosen.masters:
        one = report.summary(samples, heading(masters), label, key)
        if one:
            found.append((masters, one.median))
    return found


def spread(points):
    """The most of the values divided by the least, less 1."""
    values = [value for _, value in points]
    return max(values) / min(values) - 1 if values and min(values) > 0 else None


def remarks(chosen, samples):
    """What is said of flatness, and how many targets that misses."""
    made, missed = [], 0
    for key, what in KEYS:
        points = by_size(chosen, samples, key)
        if len(points) < 2:
            continue
        grown = spread(points)
        flat = grown is not None and grown <= FLAT
        missed += not flat
        made.append("%s: the most is %s above the least; target <= %.0f %%: %s" % (
            what, "immeasurably far" if grown is None else "%.0f %%" % (100 * grown), 100 * FLAT,
            "reached" if flat else "MISSED"))
    return made, missed


def sections(chosen, samples):
    figures = [report.Figure("CPU", "cpu", report.percent),
               report.Figure("CPU of all divided by the instances, us a second", "cpu_instance",
                             report.number),
               report.Figure("CPU of a process with %d masters" % steady.FEW, "base_cpu",
                             report.percent),
               report.Figure("CPU of an instance beyond these, us a second", "cpu_further",
                             report.number),
               report.Figure("RSS", "rss", report.megabytes),
               report.Figure("RSS of an instance beyond the first %d masters" % steady.FEW,
                             "rss_instance", report.kibibytes),
               report.Figure("everything known after", "known", report.seconds)]
    made = [report.Section(heading(masters), figures) for masters in chosen.masters]
    made[-1].remarks, made[-1].missed = remarks(chosen, samples)
    return made


def plots_of(chosen, samples):
    label = chosen.programs[0]["label"]
    return [plots.Curves("growth-cpu", "CPU an instance as the fleet grows", "masters (x 2 instances)",
                         "us of CPU a second", [(label, by_size(chosen, samples, KEYS[0][0]))]),
            plots.Curves("growth-rss", "Memory an instance as the fleet grows",
                         "masters (x 2 instances)", "KiB", [(label, by_size(chosen, samples,
                                                                            KEYS[1][0]))])]
