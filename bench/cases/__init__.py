"""The cases of bench/compare, one module each. A case module has

  NAME, HELP       its subcommand
  PRESETS          {"quick": {option: value}, "full": {...}}: what --quick and --full mean
  options(parser)  its own options, all with the default None, filled in from the preset
  check(chosen)    refuses nonsense with a ValueError (optional)
  rounds(chosen)   one repetition: a list of harness.Round
  sections(chosen, samples)   the table: a list of report.Section
  columns(chosen)  what the tables compare, where that is not the programs (optional)
  plots_of(chosen, samples)   a list of plots.Bars and plots.Curves

Rounds return samples (report.Sample); figures are compared only within one run.
"""

import importlib

ORDER = ("steady", "startup", "failure", "reach", "queries", "fanout", "votes", "single", "growth",
         "micro", "fleet")
NOT_IN_ALL = ("fleet",)  # its figures are those of steady, startup and failure


def load():
    return [importlib.import_module("cases." + name) for name in ORDER]
