#!/usr/bin/env python3
"""Style as a test: what the compiler does not hold, this does (docs/architecture.md).

Usage: tidy.py [--self-test] [ROOT]

Looks at the tracked files of ROOT (default: the tree this file is in) and prints one finding a
line, `file:line: what`. Exit 0: none; 1: some; 2: the tool itself is broken. Before it looks at
the tree it feeds itself bad snippets and insists on finding them; --self-test does only that.

Rules:
  format     clang-format 14 agrees with every .c and .h (left out, with a word, where it is not)
  include    the direction of dependencies; src/rules uses only its own headers and the C library
  length     files of at most 800 lines, functions of at most 90 (warned of beyond 70)
  call       unsafe calls nowhere in src; clocks, randomness, output and stray allocation not in
             src/rules
  path       no absolute path into somebody's home or work directory
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FILE_LINES = 800
FUNCTION_LINES = 90
FUNCTION_LINES_WARN = 70

# Folder of src: folders whose headers it may include. A string with a slash is one header.
MAY_INCLUDE = {
    "rules": ["rules"],
    "io": ["io", "rules/host.h", "rules/limits.h", "rules/types.h"],
    "acl": ["acl", "rules/limits.h", "rules/glob.h"],
    "config": ["config", "acl", "rules"],
    "run": ["run", "rules", "io"],
    "admin": ["admin", "run", "acl", "rules", "io"],
}
# src/version.h is made by CMake and says nothing but numbers; the rules do not depend on them.
VERSION_HEADER = "version.h"

# All that pure code needs. No clock, socket, thread or file.
RULES_SYSTEM_HEADERS = {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "stdnoreturn.h", "string.h",
}
RULES_SYSTEM_EXTRA = {
    "src/rules/types.c": {"arpa/inet.h"},  # inet_pton, inet_ntop
    "src/rules/host.c": {"stdatomic.h"},  # one table for all threads
}

BANNED_IN_SRC = {
    "strcpy": "unbounded", "strcat": "unbounded", "stpcpy": "unbounded", "sprintf": "unbounded",
    "vsprintf": "unbounded", "gets": "unbounded", "strtok": "hidden state",
    "atoi": "hides errors", "atol": "hides errors", "atoll": "hides errors",
    "system": "a shell", "popen": "a shell",
}
BANNED_IN_RULES = {
    "a clock": ["time", "clock_gettime", "gettimeofday", "clock", "localtime", "localtime_r",
                "nanosleep", "sleep", "usleep"],
    "a random source": ["rand", "srand", "rand_r", "random", "srandom", "drand48", "getrandom",
                        "arc4random"],
    "output": ["printf", "fprintf", "vprintf", "vfprintf", "puts", "putchar", "fputs", "perror"],
    "the outside": ["getenv", "fopen", "open", "read", "write", "exit"],
}
ALLOCATION = ["malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup", "aligned_alloc"]
MAY_ALLOCATE = re.compile(r"src/rules/(host|instance|group|update|election\w*|discovery)\.c")

HOME_PATH = re.compile(r"(?<![\w.:-])/(?:home|root|Users|work)/[\w.]")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]*)"|<([^>\n]*)>)', re.M)


# --- reading C ------------------------------------------------------------------------------------

C_TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.S)


def blank(text):
    """Same length in lines, nothing to be seen."""
    return re.sub(r"[^\n]", " ", text)


def strip_c(text, strings):
    """Without comments and, if asked, without the contents of strings; line numbers stay."""
    def replace(match):
        if match.group("comment") is not None or strings:
            return blank(match.group(0))
        return match.group(0)
    return C_TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(code):
    """(name, first line, number of lines) of every function, in a text that .clang-format shaped:
    only a function's body begins and ends with a brace in column 0."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines):
        if line.startswith("{") and start is None:
            start = number
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(
                    ("}", "#")) and not lines[start - 1].rstrip().endswith(";"):
                start -= 1
        elif line.startswith("}") and start is not None:
            head = " ".join(lines[start:number + 1])
            name = re.search(r"(\w+)\s*\(", head)
            yield (name.group(1) if name else "?", start + 1, number - start + 1)
            start = None


# --- the rules ------------------------------------------------------------------------------------

def check_includes(path, text):
    match = re.fullmatch(r"src/(?:(\w+)/)?[\w.]+", path)
    if match is None:
        return
    folder = match.group(1)  # None: main.c may include everything
    code = strip_c(text, strings=False)
    for found in INCLUDE.finditer(code):
        own, system = found.groups()
        line = line_of(code, found.start())
        if own is not None:
            parts = own.split("/")
            if own == VERSION_HEADER:
                if folder in ("rules", "io"):
                    yield line, f"include: {folder}/ does not depend on {own}"
            elif folder is None and len(parts) == 1:
                pass  # main's own headers lie beside it
            elif len(parts) != 2 or parts[0] not in MAY_INCLUDE:
                yield line, f'include: "{own}" is not written as folder/header.h'
            elif folder is None:
                continue
            elif folder not in MAY_INCLUDE:
                yield line, f"include: src/{folder} has no place in the order of dependencies"
            elif parts[0] not in MAY_INCLUDE[folder] and own not in MAY_INCLUDE[folder]:
                yield line, f"include: {folder}/ must not depend on {own}"
        elif folder == "rules":
            if system not in RULES_SYSTEM_HEADERS | RULES_SYSTEM_EXTRA.get(path, set()):
                yield line, f"include: rules/ is pure, <{system}> is not for it"


def check_lengths(path, text):
    """The third value says whether it is a warning only."""
    lines = text.count("\n") + (not text.endswith("\n"))
    if lines > FILE_LINES:
        yield FILE_LINES + 1, f"length: {lines} lines, at most {FILE_LINES} in a file", False
    if not path.endswith((".c", ".h")):
        return
    for name, line, count in functions(strip_c(text, strings=True)):
        if count > FUNCTION_LINES:
            yield line, f"length: {name}() has {count} lines, at most {FUNCTION_LINES}", False
        elif count > FUNCTION_LINES_WARN:
            yield line, f"length: {name}() has {count} lines, {FUNCTION_LINES_WARN} are better", True


def calls(code, names):
    """Calls of plain functions, not of members of the same name."""
    pattern = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(names) + r")\s*\(")
    for found in pattern.finditer(code):
        yield line_of(code, found.start()), found.group(1)


def check_calls(path, text):
    if not path.startswith("src/"):
        return
    code = strip_c(text, strings=True)
    for line, name in calls(code, BANNED_IN_SRC):
        yield line, f"call: {name}() is banned: {BANNED_IN_SRC[name]}"
    if not path.startswith("src/rules/"):
        return
    for what, names in BANNED_IN_RULES.items():
        for line, name in calls(code, names):
            yield line, f"call: rules/ is pure, {name}() is {what}"
    if not MAY_ALLOCATE.fullmatch(path):
        for line, name in calls(code, ALLOCATION):
            yield line, f"call: {name}() in a part of rules/ that does not allocate"


def check_paths(path, text):
    for found in HOME_PATH.finditer(text):
        yield line_of(text, found.start()), f"path: {found.group(0)}… exists on one machine only"


def check_text(path, text):
    """[(line, what, warning only)] of one file."""
    findings = [(line, what, False) for line, what in check_paths(path, text)]
    if path.endswith((".c", ".h")):
        findings += [(line, what, False) for line, what in check_includes(path, text)]
        findings += [(line, what, False) for line, what in check_calls(path, text)]
    if path.endswith((".c", ".h", ".py")):
        findings += check_lengths(path, text)
    return sorted(findings)


# --- clang-format ---------------------------------------------------------------------------------

def find_clang_format():
    for name in ("clang-format-14", "clang-format"):
        tool = shutil.which(name)
        if tool is not None:
            version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
            if re.search(r"version 14\.", version):
                return tool
    return None


def check_format(tool, root, paths):
    """[(path, line, what)], one a file: the first line that differs."""
    findings = {}
    for i in range(0, len(paths), 50):
        done = subprocess.run([tool, "--dry-run", "-Werror", "--style=file", *paths[i:i + 50]],
                              cwd=root, capture_output=True, text=True)
        for line in done.stderr.split("\n"):
            found = re.match(r"(.+?):(\d+):\d+: (?:error|warning): (.*)", line)
            if found is not None and found.group(1) not in findings:
                findings[found.group(1)] = (int(found.group(2)), "format: " + found.group(3))
        if done.returncode != 0 and not findings:
            sys.exit(f"tidy: {tool} failed: {done.stderr.strip()}")
    return [(path, *finding) for path, finding in findings.items()]


# --- the tree -------------------------------------------------------------------------------------

def tracked_files(root):
    if shutil.which("git") is not None:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout:
            return [p for p in done.stdout.split("\0")
                    if p and os.path.isfile(os.path.join(root, p))]
    print("tidy: no git, or not a checkout of this user: looking at all files but build/")
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in ("build", ".git", "__pycache__")]
        paths += [os.path.relpath(os.path.join(folder, name), root) for name in names
                  if name != ".git"]  # a worktree's
    return sorted(paths)


def check_tree(root):
    findings, warnings = [], []
    paths = tracked_files(root)
    for path in paths:
        with open(os.path.join(root, path), "rb") as file:
            text = file.read().decode("utf-8", "replace")
        for line, what, warning in check_text(path, text):
            (warnings if warning else findings).append((path, line, what))
    sources = [path for path in paths if path.endswith((".c", ".h"))]
    tool = find_clang_format()
    if tool is None:
        print("tidy: clang-format 14 is not here: format not checked")
    else:
        findings += check_format(tool, root, sources)
    for path, line, what in warnings:
        print(f"{path}:{line}: warning: {what}")
    for path, line, what in sorted(findings):
        print(f"{path}:{line}: {what}")
    print(f"tidy: {len(paths)} files, {len(findings)} findings, {len(warnings)} warnings")
    return not findings


# --- the test of the test -------------------------------------------------------------------------

def body(lines):
    return "static int long_one(void)\n{\n" + "    x();\n" * (lines - 3) + "}\n"


# (path, text, [(line, beginning of the finding)]).
SNIPPETS = [
    ("src/rules/a.c", '#include "rules/a.h"\n#include <string.h>\n#include <assert.h>\n', []),
    ("src/rules/a.c", "#include <time.h>\n", [(1, "include:")]),
    ("src/rules/a.c", "\n#  include <sys/socket.h>\n", [(2, "include:")]),
    ("src/rules/a.h", "#include <pthread.h>\n", [(1, "include:")]),
    ("src/rules/a.c", "#include <stdatomic.h>\n", [(1, "include:")]),
    ("src/rules/a.c", "#include <arpa/inet.h>\n", [(1, "include:")]),
    ("src/rules/types.c", "#include <arpa/inet.h>\n", []),
    ("src/rules/a.c", '#include "io/ring.h"\n', [(1, "include:")]),
    ("src/rules/a.c", '#include "a.h"\n', [(1, "include:")]),
    ("src/rules/a.c", '#include "version.h"\n', [(1, "include:")]),
    ("src/rules/a.c", "/* #include <time.h> */\n// #include <time.h>\n", []),
    ("src/io/a.c", '#include "rules/limits.h"\n#include "rules/types.h"\n#include <time.h>\n', []),
    ("src/io/a.c", '#include "io/a.h"\n#include "rules/group.h"\n', [(2, "include:")]),
    ("src/io/a.h", '#include "run/shard.h"\n', [(1, "include:")]),
    ("src/run/a.c", '#include "rules/group.h"\n#include "io/ring.h"\n#include "run/a.h"\n', []),
    ("src/run/a.c", '#include "admin/resp.h"\n', [(1, "include:")]),
    ("src/run/a.c", '#include "config/config.h"\n', [(1, "include:")]),
    ("src/config/a.c", '#include "rules/group.h"\n#include "io/ring.h"\n', [(2, "include:")]),
    ("src/admin/a.c", '#include "config/config.h"\n', [(1, "include:")]),
    ("src/admin/a.c", '#include "version.h"\n#include "run/a.h"\n#include "../x.h"\n',
     [(3, "include:")]),
    ("src/other/a.c", '#include "rules/a.h"\n', [(1, "include:")]),
    ("src/main.c", '#include "admin/a.h"\n#include "config/a.h"\n#include "run/a.h"\n', []),
    ("src/io/a.c", "a = 1;\n" * 800, []),
    ("src/io/a.c", "a = 1;\n" * 801, [(801, "length:")]),
    ("tests/a.py", "a = 1\n" * 801, [(801, "length:")]),
    ("src/io/a.c", body(70), []),
    ("src/io/a.c", body(71), [(1, "warning: length: long_one() has 71")]),
    ("src/io/a.c", body(90), [(1, "warning: length:")]),
    ("src/io/a.c", "int a;\n\n" + body(91), [(3, "length: long_one() has 91")]),
    ("tests/unit/a.c", body(10) + "\n" + body(91) + body(10), [(12, "length:")]),
    ("src/io/a.c", "static const int a[] = {\n" + "    1,\n" * 200 + "};\n", []),
    ("src/io/a.c", "void f(void)\n{\n    strcpy(a, b);\n}\n", [(3, "call: strcpy()")]),
    ("src/io/a.c", "x = strcat (a, b);\n", [(1, "call: strcat()")]),
    ("src/io/a.c", "sprintf(a, b);\nsnprintf(a, 1, b);\n", [(1, "call: sprintf()")]),
    ("src/run/a.c", "gets(a);\nfgets(a, 1, b);\n", [(1, "call: gets()")]),
    ("src/admin/a.c", "strtok(a, b);\nstrtok_r(a, b, c);\n", [(1, "call: strtok()")]),
    ("src/config/a.c", "if (atoi(a))\n", [(1, "call: atoi()")]),
    ("src/main.c", "system(a);\npopen(a, b);\n", [(1, "call: system()"), (2, "call: popen()")]),
    ("tests/unit/a.c", "strcpy(a, b);\n", []),
    ("src/io/a.c", 'puts("strcpy(a, b)"); /* strcpy(a, b) */ // atoi(x)\n', []),
    ("src/io/a.c", "char c = '\"'; strcpy(a, b); char d = '\"';\n", [(1, "call: strcpy()")]),
    ("src/io/a.c", "now = time(NULL);\nprintf(x);\np = malloc(1);\n", []),
    ("src/rules/a.c", "now = time(NULL);\n", [(1, "call: rules/")]),
    ("src/rules/a.c", "clock_gettime(a, b);\n", [(1, "call: rules/")]),
    ("src/rules/a.c", "a = rand();\nb = random();\n", [(1, "call: rules/"), (2, "call: rules/")]),
    ("src/rules/a.c", 'printf("x");\nsnprintf(a, 1, "x");\n', [(1, "call: rules/")]),
    ("src/rules/a.c", "fprintf(stderr, x);\n", [(1, "call: rules/")]),
    ("src/rules/a.c", "a->time(x);\nb.read(x);\nuptime(x);\ntime_out(x);\n", []),
    ("src/rules/a.c", "p = malloc(1);\n", [(1, "call: malloc()")]),
    ("src/rules/info.c", "\n\np = strdup(q);\n", [(3, "call: strdup()")]),
    ("src/rules/group.c", "p = malloc(1);\nq = realloc(p, 2);\n", []),
    ("src/rules/election_store.c", "p = calloc(1, 1);\n", []),
    ("src/rules/group.c", "now = time(NULL);\n", [(1, "call: rules/")]),
    ("docs/a.md", "see\n/ho" + "me/someone/x\n", [(2, "path:")]),
    ("src/io/a.c", "/* /wo" + "rk/main/x */\n", [(1, "path:")]),
    ("conf/a.service", "ProtectHome=yes\nExecStart=/usr/bin/vedette /etc/x\n", []),
    ("docs/a.md", "home/root and src/home/x and http://h/home/x are no such paths\n", []),
]


def self_test_format(tool):
    """With the tree's own .clang-format."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(ROOT, ".clang-format"), folder)
        for name, text in (("good.c", "int main(void)\n{\n    return 0;\n}\n"),
                           ("bad.c", "int a;\nint main(void) {\n  return 0;\n}\n")):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        found = check_format(tool, folder, ["good.c", "bad.c"])
    if len(found) == 1 and found[0][:2] == ("bad.c", 2):
        return True
    print(f"tidy: self-test: {tool} should find bad.c:2, found {found}")
    return False


def self_test():
    broken = 0
    for path, text, expected in SNIPPETS:
        found = [(line, ("warning: " if warning else "") + what)
                 for line, what, warning in check_text(path, text)]
        if len(found) != len(expected) or not all(
                f[0] == e[0] and f[1].startswith(e[1]) for f, e in zip(found, expected)):
            print(f"tidy: self-test: {path}: {text[:60]!r}: expected {expected}, found {found}")
            broken += 1
    tool = find_clang_format()
    if tool is not None:
        broken += not self_test_format(tool)
    print(f"tidy: self-test: {len(SNIPPETS)} snippets, {broken} judged wrongly")
    return broken == 0


def main(arguments):
    only_self = "--self-test" in arguments
    rest = [a for a in arguments if a != "--self-test"]
    if len(rest) > 1 or any(a.startswith("-") for a in rest):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    if not self_test():
        return 2
    if only_self:
        return 0
    root = rest[0] if rest else ROOT
    return 0 if check_tree(root) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
