"""System calls that a process is refused, as containers do it: a seccomp filter."""

import ctypes
import struct

IO_URING_SETUP = 425  # on every architecture

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

_libc = ctypes.CDLL(None, use_errno=True)


def refuse(call, error):
    """A function that makes `call` fail with `error` for this process and those it starts: for
    Process.before_exec."""
    program = [(_LOAD_WORD, 0, 0, 0),           # the number of the call
               (_JUMP_IF_EQUAL, 0, 1, call),
               (_RETURN, 0, 0, _ERRNO | error),
               (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))

    def install():
        for option, *arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0), (_PR_SET_SECCOMP, _MODE_FILTER, head)):
            if _libc.prctl(option, *arguments, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl %d" % option)
    install.code = code  # head points to it
    return install
