"""reach: what one process can hold, measured by bench/reach.py, a program of its own."""

import os
import subprocess
import sys

from cases import harness, report

NAME = "reach"
HELP = "ten thousand masters in one process (bench/reach.py)"
PRESETS = {"quick": {"rounds": 1}, "full": {"rounds": 1}}
PROGRAM = os.path.join(harness.BENCH, "reach.py")
HEADING = "reach"
PATIENCE = 1800


def options(parser):
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", default=[],
                        help="handed on to bench/reach.py (after --)")


def reach_round(context):
    context.enter("measuring")
    arguments = context.options.arguments or (["--quick"] if context.options.preset == "quick"
                                              else [])
    arguments = ["--out", context.options.folder] + arguments
    path = os.path.join(context.lab.subdirectory("reach"), "output")
    with open(path, "w") as output:
        child = subprocess.Popen([sys.executable, "-u", "-B", PROGRAM] + arguments, stdout=output,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            ended = context.wait(lambda: child.poll() is not None, PATIENCE)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(30)
    with open(path, errors="replace") as output:
        said = output.read()
    sample = context.sample({"code": child.returncode if ended else None})
    sample.text = said
    if not ended or child.returncode != 0:
        sample.error = "reach.py: " + ("exit code %d" % child.returncode if ended else
                                       "not done after %d s" % PATIENCE)
    return [sample]


def rounds(chosen):
    if not os.path.exists(PROGRAM):
        print("reach: bench/reach.py is not here yet: left out")
        return []
    return [harness.Round(HEADING, chosen.programs[0],
                          [("measuring", 60 if chosen.preset == "quick" else 300)], reach_round)]


def sections(chosen, samples):
    return [report.Section(HEADING, [report.Figure("exit code of bench/reach.py", "code",
                                                   report.count, at_most=0)])]


def plots_of(chosen, samples):
    return []
