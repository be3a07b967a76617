"""fleet: start-up, calm and a mass failure of one simulated fleet, in one round."""

from cases import harness, plots, report

NAME = "fleet"
HELP = "start-up, calm and a mass failure of one fleet, for all programs alike"
PRESETS = {"quick": {"masters": 200, "kill": 0, "steady": 8.0, "rounds": 1},
           "full": {"masters": 1000, "kill": 0, "steady": 20.0, "rounds": 1}}


def options(parser):
    parser.add_argument("--masters", type=int, metavar="N", help="simulated masters")
    parser.add_argument("--kill", type=int, metavar="N",
                        help="how many of them die at one instant (0: a tenth)")
    parser.add_argument("--steady", type=float, metavar="S", help="how long the calm is measured")


def check(chosen):
    chosen.kill = chosen.kill or max(1, chosen.masters // 10)
    if chosen.masters < 1 or not 1 <= chosen.kill <= chosen.masters:
        raise ValueError("--masters at least 1, --kill between 1 and --masters")


def heading(chosen):
    return "%s masters x 1 replica, %d sentinels, %d killed" % (
        format(chosen.masters, ","), harness.SENTINELS, chosen.kill)


def fleet_round(context):
    session = harness.FleetSession(context, context.options.masters)
    figures = session.start_up()
    session.settle()
    figures.update(session.calm(context.options.steady))
    failed, series = session.fail(context.options.kill)
    figures.update(failed)
    return [context.sample(figures, series)]


def rounds(chosen):
    return [harness.Round(heading(chosen), program, harness.stages(
        program, chosen.masters, chosen.steady, chosen.kill, chosen.down_after / 1000,
        chosen.patience), fleet_round) for program in chosen.programs]


def sections(chosen, samples):
    down_after = chosen.down_after / 1000
    return [report.Section(heading(chosen), harness.known_figures(5.0) + harness.calm_figures() +
                           harness.failover_figures(down_after + 1.5, down_after + 2.5))]


def plots_of(chosen, samples):
    return [plots.Curves("fleet-promotions", "Promotions, " + heading(chosen),
                         "seconds after the failure", "percent of the masters",
                         [(program["label"], plots.cumulative(
                             [value for one in samples if one.program == program["label"]
                              for value in one.series.get("promotions", ())]))
                          for program in chosen.programs], steps=True)]
