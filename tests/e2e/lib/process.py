"""Child processes with their own directory, ended by their own pid, and dying with this process."""

import ctypes
import os
import signal
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """Subclasses set `command`. The output of all its lives goes to one file."""

    def __init__(self, name, directory):
        os.makedirs(directory, exist_ok=True)
        self.name, self.directory = name, directory
        self.command = []
        self.output = os.path.join(directory, "output")
        self.child = None
        self.started = None
        self.ended_by_us = False
        self.expected_exit = None  # of one that may end by itself
        self.before_exec = None  # called in the child

    def spawn(self):
        assert not self.alive(), "%s runs already" % self.name
        with open(self.output, "ab") as output:
            # A session of its own: Ctrl-C on the terminal is for us, we end it in order.
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.directory, start_new_session=True, preexec_fn=self._prepare)
        self.started = time.monotonic()
        self.ended_by_us = False
        self.expected_exit = None
        return self

    def _prepare(self):
        _die_with_parent()
        if self.before_exec is not None:
            self.before_exec()

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """kill -9, and gone when this returns; the time just before it."""
        self.ended_by_us = True
        at = time.monotonic()
        self.child.kill()
        self.child.wait()
        return at

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self, patience=10.0):
        """Orderly; the exit code."""
        self.ended_by_us = True
        self.child.send_signal(signal.SIGCONT)
        self.child.terminate()
        try:
            return self.child.wait(patience)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError("%s did not end within %.0f s of SIGTERM"
                                 % (self.name, patience)) from None

    def wait_exit(self, patience=10.0):
        """It ends by itself; the exit code."""
        try:
            code = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s still runs after %.0f s" % (self.name, patience)) from None
        self.expected_exit = code
        return code

    def end(self):
        """For the end of a test: stops it, says what was wrong with it, if anything."""
        if self.child is None or self.ended_by_us:
            return None
        code = self.child.poll()
        if code is not None:
            return None if code == self.expected_exit else (
                "%s ended by itself, %s" % (self.name, describe_exit(code)))
        try:
            code = self.terminate()
        except AssertionError as error:
            return str(error)
        return None if code in (0, -signal.SIGTERM) else (
            "%s ended after SIGTERM, %s" % (self.name, describe_exit(code)))

    def logs(self):
        """[(title, path)] of what to show when a test fails."""
        return [("%s: output" % self.name, self.output)]


def describe_exit(code):
    return "by signal %d" % -code if code < 0 else "exit code %d" % code


def tail(path, lines=60):
    try:
        with open(path, errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError as error:
        return "(%s)\n" % error
