"""startup: from the start of three sentinels until all of them know everything."""

from cases import harness, plots, report

NAME = "startup"
HELP = "how long and how much CPU until everything is known"
PRESETS = {"quick": {"masters": 1000, "stock_masters": 200, "rounds": 1},
           "full": {"masters": 4500, "stock_masters": 1000, "rounds": 3}}
KNOWN, CPU_RATIO = 12.0, 1 / 20


def options(parser):
    parser.add_argument("--masters", type=int, metavar="N", help="masters for the first program")
    parser.add_argument("--stock-masters", type=int, metavar="N",
                        help="masters for the others; their CPU is scaled")


def check(chosen):
    if chosen.masters < 1 or chosen.stock_masters < 1:
        raise ValueError("--masters and --stock-masters: at least 1")


def heading(chosen):
    return "start-up, %s masters x 1 replica" % format(chosen.masters, ",") + (
        " (others %s)" % format(chosen.stock_masters, ",") if len(chosen.programs) > 1 else "")


def start_round(context, masters):
    session = harness.FleetSession(context, masters)
    figures = session.start_up()
    figures["masters"] = masters
    return [context.sample(figures)]


def rounds(chosen):
    made = []
    for k, program in enumerate(chosen.programs):
        masters = chosen.stock_masters if k else chosen.masters
        stages = harness.stages(program, masters, patience=chosen.patience)
        made.append(harness.Round(heading(chosen), program, [stages[0], stages[-1]],
                                  lambda context, masters=masters: start_round(context, masters)))
    return made


def sections(chosen, samples):
    return [report.Section(heading(chosen), [
        report.Figure("masters", "masters", report.count, ratio=False),
        report.Figure("everything known after", "known", report.seconds, ratio=False,
                      at_most=KNOWN),
        report.Figure("CPU until then, the busiest", "cpu_known", report.seconds, ratio=False),
        report.Figure("that, for each 1,000 masters", "cpu_known_per_1000", report.seconds,
                      ratio_at_most=CPU_RATIO),
        report.Figure("TILTs at start, the most", "tilts_start", report.count, ratio=False)])]


def plots_of(chosen, samples):
    key = "cpu_known_per_1000"
    return [plots.Bars("startup-cpu", "CPU until everything is known, for each 1,000 masters",
                       "seconds (logarithmic)", ["start-up"],
                       [(program["label"], {"start-up": plots.bar_of(report.summary(
                           samples, heading(chosen), program["label"], key))})
                        for program in chosen.programs], logarithmic=True)]
