"""The comparison that bench/compare starts: see there, or --help. The cases are in bench/cases."""

import argparse
import os
import signal
import sys
import time

import cases
import lab
from cases import harness, plots, report

DESCRIPTION = """Measures vedette beside redis-sentinel, both in the same run and in turn: figures
of different runs are not comparable. Results (JSON, tables, plots) go to a folder of their own in
--out. Without a case: all --quick."""
EPILOGUE = """Each case has --help. The tables show the median of the rounds and [least .. most],
and say "never" of what did not come within --patience."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def cores(text):
    """"0,2-3" → {0, 2, 3}; a ValueError for anything else, and for cores that are not ours."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    if not found or not found <= os.sched_getaffinity(0):
        raise ValueError(text)
    return found


def pinning(text):
    """"0/1" → the cores of the sentinels, as taskset wants them, and those of everything else."""
    sentinels, _, others = text.partition("/")
    try:
        cores(sentinels)
        return sentinels, sorted(cores(others))
    except ValueError:
        raise argparse.ArgumentTypeError("two lists of cores that there are, e.g. 0/1 or 0-1/2-3")


def common_options(parser):
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="preset", action="store_const", const="quick",
                      default=None, help="small and short, to see that it works")
    size.add_argument("--full", dest="preset", action="store_const", const="full",
                      help="the real thing (what a case does when neither is given)")
    parser.add_argument("--programs", default="vedette,redis-sentinel", metavar="LIST",
                        help="names or paths, separated by commas; label=path gives it a name "
                        "(vedette,redis-sentinel)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="repetitions of everything, the programs in turn")
    parser.add_argument("--down-after", type=int, metavar="MS",
                        help="down-after-milliseconds (5000; single 1000)")
    parser.add_argument("--failover-timeout", type=int, metavar="MS",
                        help="failover-timeout (60000; single 10000)")
    parser.add_argument("--patience", type=float, metavar="S",
                        help="give up waiting for one thing after this (400; 60 with --quick)")
    parser.add_argument("--pin", type=pinning, metavar="A/B",
                        help="run sentinels on the cores A and everything else on B, e.g. 0/1")
    parser.add_argument("--out", default=os.path.join(harness.BENCH, "results"), metavar="FOLDER",
                        help="where the results' folder is made (bench/results)")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--plan", action="store_true",
                        help="only say what would be done and how long it takes, by guess")
    parser.add_argument("--keep", action="store_true", help="keep logs and configurations")


def program(text):
    label, _, path = text.rpartition("=")
    where = os.path.join(harness.BUILD, "vedette") if path == "vedette" else path
    return {"label": label or os.path.basename(path), "path": lab.find_program(path, where)}


def fill(chosen, module):
    """Puts the preset's values where no option was given; refuses nonsense."""
    for key, value in module.PRESETS[chosen.preset].items():
        if getattr(chosen, key, None) is None:
            setattr(chosen, key, value)
    chosen.down_after = chosen.down_after or 5000
    chosen.failover_timeout = chosen.failover_timeout or 60000
    if chosen.patience is None:
        chosen.patience = 60.0 if chosen.preset == "quick" else 400.0
    if chosen.rounds < 1 or chosen.down_after < 1 or not chosen.patience > 0:
        raise ValueError("--rounds, --down-after and --patience: more than 0")
    if hasattr(module, "check"):
        module.check(chosen)
    return chosen


def options(arguments):
    """[(module, its options)] and the options that hold for all."""
    modules = cases.load()
    parser = argparse.ArgumentParser(prog="bench/compare", description=DESCRIPTION, epilog=EPILOGUE)
    kinds = parser.add_subparsers(dest="what", metavar="CASE")
    parsers = {}
    everything = kinds.add_parser("all", help="all cases but %s" % ", ".join(cases.NOT_IN_ALL),
                                  description="All cases, one after the other.")
    common_options(everything)
    everything.add_argument("--only", metavar="LIST", help="these cases, separated by commas")
    everything.add_argument("--without", default="", metavar="LIST", help="not these")
    for module in modules:
        one = kinds.add_parser(module.NAME, help=module.HELP, description=module.HELP,
                               epilog=EPILOGUE)
        common_options(one)
        module.options(one)
        parsers[module.NAME] = one
    chosen = parser.parse_args(arguments or ["all", "--quick"])
    chosen.what = chosen.what or "all"
    chosen.preset = chosen.preset or "full"
    chosen.programs = [program(text) for text in chosen.programs.split(",")]
    if len({one["label"] for one in chosen.programs}) < len(chosen.programs):
        parser.error("--programs: two have the same name; label=path tells them apart")
    stock = next((one["path"] for one in chosen.programs if "redis" in one["label"]), None)
    chosen.stock_path = stock or lab.find_program("redis-sentinel", "")
    if chosen.what != "all":
        modules = [module for module in modules if module.NAME == chosen.what]
        return [(module, checked(parsers[module.NAME], chosen, module)) for module in modules], chosen
    known = [module.NAME for module in modules]
    only = chosen.only.split(",") if chosen.only else [
        name for name in known if name not in cases.NOT_IN_ALL]
    without = [name for name in chosen.without.split(",") if name]
    for name in only + without:
        if name not in known:
            everything.error("no case '%s' (%s)" % (name, ", ".join(known)))
    return [(module, checked(everything, inherit(parsers[module.NAME], chosen), module))
            for module in modules if module.NAME in only and module.NAME not in without], chosen


def inherit(parser, chosen):
    """The defaults of a case, under the options of `all`."""
    own = parser.parse_args([])
    for key, value in vars(chosen).items():
        if key not in ("only", "without") and value is not None:
            setattr(own, key, value)
    return own


def checked(parser, chosen, module):
    try:
        return fill(chosen, module)
    except ValueError as error:
        return parser.error(str(error))


# --- running -------------------------------------------------------------------------------------


def plan(selected, progress):
    """All rounds, as (module, options, repetition, number, round), told to the progress line."""
    planned = []
    for module, chosen in selected:
        once = module.rounds(chosen)
        for repetition in range(chosen.rounds):
            for each in once:
                number = len(planned) + 1
                planned.append((module, chosen, repetition + 1, number, each))
                for stage, expected in each.stages:
                    progress.plan(harness.stage_name(number, each, stage), expected)
    return planned


def run_round(module, chosen, repetition, number, each, progress):
    """One round, with a laboratory of its own; returns its samples. What fails becomes a sample."""
    where = lab.Lab(keep=chosen.keep)
    try:
        context = harness.Context(chosen, where, progress, each, number)
        samples = each.run(context)
        progress.enter(harness.stage_name(number, each, each.stages[-1][0]))
        samples[0].complaints += where.stop_all()
    except (lab.LabError, OSError, lab.RespError) as error:
        samples = [report.Sample(each.section, each.program["label"], error=str(error))]
        progress.note("FAILED: %s: %s" % (each.title, error))
    finally:
        where.close()
        if chosen.keep:
            progress.note("logs and configurations of %s are in %s" % (each.title, where.directory))
    for sample in samples:
        sample.case, sample.repetition = module.NAME, repetition
        for complaint in sample.complaints:
            progress.note("WRONG: %s: %s" % (each.title, complaint))
    return samples


def show(selected, results, progress):
    """Tables and plots of what there is; returns how many targets were missed."""
    lines, missed, wrong = [], 0, []
    for module, chosen in selected:
        samples = [one for one in results.samples if one.case == module.NAME]
        if not samples:
            continue
        labels = [one["label"] for one in chosen.programs]
        if hasattr(module, "columns"):
            labels = module.columns(chosen)
        found, count = report.tables(module.sections(chosen, samples), samples, labels)
        lines += found + [one.text for one in samples if one.text]
        missed += count
        for word in plots.draw_all(module.plots_of(chosen, samples), results.folder):
            if word not in wrong:
                wrong.append(word)
    if not lines:
        return 0
    results.write("tables.txt", lines)
    progress.note("")
    for line in lines:
        progress.note(line)
    for word in wrong:
        progress.note(word)
    return missed


def interrupt(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the cleaning up is not to be interrupted
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(number)


def main():
    try:
        selected, chosen = options(sys.argv[1:])
    except lab.LabError as error:
        print("compare: %s" % error)
        return 1
    progress = harness.Progress()
    planned = plan(selected, progress)
    print("%d rounds, about %s" % (len(planned), harness.span(progress.left())), flush=True)
    if chosen.plan:
        for module, _, repetition, _, each in planned:
            print("  %-8s %d  %-70s %4d s" % (module.NAME, repetition, each.title, each.expected()))
        return 0
    if not planned:
        return 1
    lab.raise_file_limit()
    if chosen.pin:
        os.sched_setaffinity(0, chosen.pin[1])  # what is started inherits it
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    results = report.Results(chosen.out, chosen.what, chosen.programs, {
        module.NAME: {key: value for key, value in vars(own).items() if key != "programs"}
        for module, own in selected})
    for _, own in selected:
        own.folder = results.folder
    code, begun = 0, time.monotonic()
    try:
        for module, own, repetition, number, each in planned:
            results.add(number, run_round(module, own, repetition, number, each, progress))
    except Interrupted as reason:
        code = 128 + reason.args[0]
        progress.note("interrupted; everything was stopped")
    failed = sum(1 for one in results.samples if one.error)
    if failed or any(one.complaints for one in results.samples):
        code = code or 1
    missed = show(selected, results, progress)
    verdict = ["%d of %d rounds measured" % (len(results.rounds) - failed, len(planned))]
    if failed:
        verdict.append("%d FAILED" % failed)
    if len(results.rounds) > failed:
        verdict.append("%d targets MISSED" % missed if missed else "no target missed")
    progress.note("%s, in %s; all figures and plots: %s" % (
        ", ".join(verdict), harness.span(time.monotonic() - begun),
        os.path.relpath(results.folder)))
    return code or (1 if missed and chosen.strict else 0)


if __name__ == "__main__":
    sys.exit(main())
