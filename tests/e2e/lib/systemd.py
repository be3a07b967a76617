"""What systemd does to a service, for as much of it as can be had without systemd: the system call
filter of Debian's redis-sentinel.service, its limits and its user."""

import ctypes
import os
import platform
import re
import resource
import struct

NOBODY = 65534
HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"

# SystemCallFilter=@system-service, then ~@privileged @resources, as
# `systemd-analyze syscall-filter` of systemd 252 lists them.
ALLOWED = """
accept accept4 access add_key alarm arch_prctl bind brk capget chdir chmod clock_getres
clock_gettime clock_nanosleep clone clone3 close close_range connect copy_file_range creat dup
dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fallocate fchdir fchmod fchmodat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr
fsetxattr fstat fstatfs fsync ftruncate futex futex_waitv futimesat get_mempolicy
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_setup io_submit io_uring_enter io_uring_register io_uring_setup ioctl
ioprio_get kcmp keyctl kill lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek
lsetxattr lstat madvise membarrier memfd_create mkdir mkdirat mknod mknodat mlock mlock2
mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
newfstatat open openat openat2 pause personality pidfd_open pidfd_send_signal pipe pipe2 poll
ppoll prctl pread64 preadv preadv2 prlimit64 process_madvise process_vm_readv process_vm_writev
pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg
recvmsg remap_file_pages removexattr rename renameat renameat2 request_key restart_syscall rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_yield select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto
set_robust_list set_thread_area set_tid_address setfsgid setgid setitimer setns setpgid setregid
setresgid setsid setsockopt setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd
signalfd4 socket socketpair splice stat statfs statx symlink symlinkat sync sync_file_range
syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname
unlink unlinkat unshare userfaultfd utime utimensat utimes vfork vmsplice wait4 waitid write
writev""".split()

IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")

_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _THIRD = 0, 4, 16, 32  # of struct seccomp_data
_X86_64 = 0xC000003E
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_WRITE, _EXEC = 2, 4  # PROT_

_libc = ctypes.CDLL(None, use_errno=True)


def available():
    return platform.machine() == "x86_64" and os.path.exists(HEADER)


def _numbers():
    with open(HEADER) as header:
        return {name: int(number) for name, number in
                re.findall(r"^#define __NR_(\w+) (\d+)", header.read(), re.M)}


def _when(number, body):
    """body runs for this call only, with the call's number loaded before and after."""
    return [(_EQUAL, 0, len(body), number)] + body


def _program(allowed):
    """The unit's filter, its MemoryDenyWriteExecute, RestrictAddressFamilies, RestrictNamespaces
    (clone3 cannot be looked into, so it is not there) and SystemCallArchitectures."""
    number = _numbers()
    load = (_LOAD, 0, 0, _NUMBER)
    lines = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL), load]
    lines += _when(number["clone3"], [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])
    lines += _when(number["mprotect"], [(_LOAD, 0, 0, _THIRD), (_SET, 0, 1, _EXEC),
                                        (_RETURN, 0, 0, _ERRNO | _EPERM), load])
    lines += _when(number["mmap"], [(_LOAD, 0, 0, _THIRD), (_SET, 0, 2, _EXEC), (_SET, 0, 1, _WRITE),
                                    (_RETURN, 0, 0, _ERRNO | _EPERM), load])
    lines += _when(number["socket"], [(_LOAD, 0, 0, _FIRST), (_EQUAL, 3, 0, 1), (_EQUAL, 2, 0, 2),
                                      (_EQUAL, 1, 0, 10), (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
                                      load])
    for name in allowed:
        if name in number:
            lines += _when(number[name], [(_RETURN, 0, 0, _ALLOW)])
    return lines + [(_RETURN, 0, 0, _KILL)]


def confine(user=None, without=(), memlock=8 << 20):
    """A function for Process.before_exec: NoNewPrivileges, UMask, a small LimitMEMLOCK, the user
    (a number) when we may change to it, and the filter, which kills whatever does anything else.
    without: calls that are taken out of it besides."""
    program = _program([name for name in ALLOWED if name not in without])
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))

    def prctl(option, *arguments):
        if _libc.prctl(option, *arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl %d" % option)

    def install():
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
        if user is not None and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, which changing the user has unset
        prctl(38, 1, 0, 0, 0)     # PR_SET_NO_NEW_PRIVS
        prctl(22, 2, head, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    install.code = code  # head points to it
    return install
