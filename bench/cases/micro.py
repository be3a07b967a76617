"""micro: the pieces of a turn, by build/release/micro_io: texts, lanes, deadlines, directory."""

import subprocess

from cases import harness, report

NAME = "micro"
HELP = "micro-benchmarks of what is hot (build/release/micro_io)"
PRESETS = {"quick": {"seconds": 0.1, "rounds": 1}, "full": {"seconds": 1.0, "rounds": 1}}
HEADING = "micro-benchmarks of vedette's pieces"


def options(parser):
    parser.add_argument("--seconds", type=float, metavar="S", help="for each measurement")


def check(chosen):
    if not 0 < chosen.seconds < 100:
        raise ValueError("--seconds: between 0 and 100")


def micro_round(context):
    context.enter("measuring")
    path = context.lab.subdirectory("micro") + "/output"
    with open(path, "w") as output:
        child = subprocess.Popen([harness.built("micro_io"), "%g" % context.options.seconds],
                                 stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            context.wait(lambda: child.poll() is not None, 60 + 200 * context.options.seconds)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    with open(path) as file:
        said = file.read()
    sample = context.sample({"code": child.returncode})
    sample.text = said
    if child.returncode != 0:
        sample.error = "micro_io: exit code %d" % child.returncode
    return [sample]


def rounds(chosen):
    # The rounds of one kind take a quarter of that, nine times, for each of four kinds.
    program = {"label": "vedette", "path": ""}
    return [harness.Round(HEADING, program, [("measuring", 2 + 35 * chosen.seconds)], micro_round)]


def sections(chosen, samples):
    return []


def plots_of(chosen, samples):
    return []
