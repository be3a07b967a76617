"""failure: many masters die at one instant, in several ways."""

from cases import harness, plots, report

NAME = "failure"
HELP = "mass failures: killed, half of all, hanging, with a dead sentinel, with stock among them"
PRESETS = {
    "quick": {"masters": 500, "stock_masters": 100, "mixed_masters": 50, "rounds": 1,
              "scenarios": ["killed", "half", "hang", "dead", "mixed"],
              "stock_scenarios": ["killed"]},
    "full": {"masters": 4500, "stock_masters": 1000, "mixed_masters": 200, "rounds": 3,
             "scenarios": ["killed", "half", "hang", "dead", "mixed"],
             "stock_scenarios": ["killed"]}}

# scenario: (what happens, share of the masters, how, targets after down-after: promoted, agreed)
SCENARIOS = {
    "killed": ("connections reset", 10, "kill", 1.5, 2.5),
    "half": ("connections reset", 2, "kill", 4.0, 4.0),
    "hang": ("hang instead", 10, "hang", 1.5, 2.5),
    "dead": ("and one of three sentinels dies with them", 10, "kill", 1.5, 2.5),
    "mixed": ("redis-sentinel is one of the three", 10, "kill", 3.0, 5.0)}
STOCK = "redis-sentinel"


def words(text):
    found = [word for word in text.split(",") if word]
    for word in found:
        if word not in SCENARIOS:
            raise ValueError(word)
    return found


def options(parser):
    names = ",".join(SCENARIOS)
    parser.add_argument("--masters", type=int, metavar="N", help="masters for the first program")
    parser.add_argument("--stock-masters", type=int, metavar="N", help="masters for the others")
    parser.add_argument("--mixed-masters", type=int, metavar="N", help="masters when mixed")
    parser.add_argument("--scenarios", type=words, metavar="LIST", help="of " + names)
    parser.add_argument("--stock-scenarios", type=words, metavar="LIST",
                        help="what the other programs go through")


def check(chosen):
    if min(chosen.masters, chosen.stock_masters, chosen.mixed_masters) < 1:
        raise ValueError("--masters and its like: at least 1")


def victims(scenario, masters):
    return max(1, masters // SCENARIOS[scenario][1])


def heading(scenario, masters):
    return "%s of %s masters, %s" % (format(victims(scenario, masters), ","),
                                     format(masters, ","), SCENARIOS[scenario][0])


def failure_round(context, scenario, masters):
    paths = [context.path] * harness.SENTINELS
    if scenario == "mixed":
        paths[-1] = context.options.stock_path
    session = harness.FleetSession(context, masters, paths)
    figures = session.start_up()
    session.settle(4.0)
    dead = session.sentinels[0] if scenario == "dead" else None
    failed, series = session.fail(victims(scenario, masters), SCENARIOS[scenario][2], dead)
    figures.update(failed)
    return [context.sample(figures, series)]


def planned(chosen):
    """(scenario, masters, program) in order: the programs in turn, scenario by scenario."""
    made = []
    for scenario in chosen.scenarios:
        masters = chosen.mixed_masters if scenario == "mixed" else chosen.masters
        made.append((scenario, masters, chosen.programs[0]))
        if scenario in chosen.stock_scenarios and scenario != "mixed":
            made += [(scenario, chosen.stock_masters, program) for program in chosen.programs[1:]]
    return made


def rounds(chosen):
    return [harness.Round(
        heading(scenario, masters), program,
        harness.stages(program, masters, killed=victims(scenario, masters),
                       down_after=chosen.down_after / 1000, patience=chosen.patience),
        lambda context, scenario=scenario, masters=masters: failure_round(
            context, scenario, masters)) for scenario, masters, program in planned(chosen)]


def headings(chosen):
    """{heading: scenario}, each once, the targets only for the first program's."""
    found = {}
    for scenario, masters, program in planned(chosen):
        found.setdefault(heading(scenario, masters), (scenario, program is chosen.programs[0]))
    return found


def sections(chosen, samples):
    down_after, made = chosen.down_after / 1000, []
    for title, (scenario, own) in headings(chosen).items():
        promoted, agreed = SCENARIOS[scenario][3:]
        figures = harness.failover_figures(
            down_after + promoted if own else None, down_after + agreed if own else None)
        made.append(report.Section(title, figures))
    return made


def plots_of(chosen, samples):
    curves = []
    for title, (scenario, _) in headings(chosen).items():
        for program in chosen.programs:
            times = [value for one in samples
                     if one.section == title and one.program == program["label"]
                     for value in one.series.get("promotions", ())]
            if times:
                curves.append(("%s: %s" % (program["label"], title), plots.cumulative(times)))
    limit = chosen.down_after / 1000 + 10
    near = [(label, [point for point in points if point[0] <= limit]) for label, points in curves]
    return [plots.Curves("failure-promotions", "Promotions after a mass failure, the first %d s"
                         % limit, "seconds after the failure", "percent of the masters", near,
                         steps=True),
            plots.Curves("failure-promotions-all", "Promotions after a mass failure",
                         "seconds after the failure", "percent of the masters", curves, steps=True)]
