/* Rings where the kernel refuses: the probe and its explanations, epoll without its latest call.
 * Each attempt runs in a child, behind a filter of system calls. */
#include "io_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void probe_works(void **state)
{
    unsigned before = open_descriptors();
    char reason[400] = "";
    if (!ring_probe(reason, sizeof reason)) {
        fail_msg("%s", reason);
    }
    assert_int_equal(open_descriptors(), before);
}

/* Runs `attempt`, which says what came of it, in a child that `hamper` has changed; fails unless it
 * says `text`. */
static void hampered(void (*hamper)(void), void (*attempt)(char *said, size_t size),
                     const char *text)
{
    int pipe_fds[2];
    char said[400] = "";
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hamper();
        attempt(said, sizeof said);
        _exit(write(pipe_fds[1], said, strlen(said)) < 0);
    }
    close(pipe_fds[1]);
    ssize_t len = read(pipe_fds[0], said, sizeof said - 1);
    assert_true(len > 0);
    said[len] = '\0';
    close(pipe_fds[0]);
    waitpid(child, NULL, 0);
    print_message("%s\n", said);
    if (strstr(said, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", said, text);
    }
}

static void probing(char *said, size_t size)
{
    if (ring_probe(said, size)) {
        snprintf(said, size, "it works");
    }
}

static void forbid(uint32_t call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void forbid_eperm(void)
{
    forbid(SYS_io_uring_setup, EPERM);
}

static void forbid_enosys(void)
{
    forbid(SYS_io_uring_setup, ENOSYS);
}

static void no_descriptors(void)
{
    struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void probe_explains(void **state)
{
    hampered(forbid_eperm, probing, "seccomp");
    hampered(forbid_enosys, probing, "ENOSYS");
    hampered(no_descriptors, probing, "RLIMIT_NOFILE is 0");
}

/* --- epoll where even epoll is hampered ---------------------------------------------------------
 */

static void opening(char *said, size_t size)
{
    struct ring *ring = ring_open(NULL, said, size);
    if (ring != NULL) {
        snprintf(said, size, "it works");
    }
}

static void forbid_pwait2(void)
{
    forbid(SYS_epoll_pwait2, EPERM);
}

static void waiting(char *said, size_t size)
{
    char error[200];
    struct ring *ring = ring_open(NULL, error, sizeof error);
    int64_t start = now_us();
    ring_wait_ns(ring, 2500000);
    int64_t took = now_us() - start;
    start = now_us();
    ring_wait_ns(ring, 100000);
    int64_t least = now_us() - start;
    ring_wait(ring, 0);
    snprintf(said, size, "%s", took >= 2500 && least >= 100 ? "it waits" : "it is early");
    ring_close(ring);
}

static void epoll_explains(void **state)
{
    hampered(no_descriptors, opening, "epoll cannot be set up");
    hampered(no_descriptors, opening, "RLIMIT_NOFILE");
    hampered(forbid_eperm, opening, "it works");
    hampered(forbid_pwait2, waiting, "it waits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_explains),
        cmocka_unit_test(epoll_explains),
    };
    const struct CMUnitTest uring[] = {
        cmocka_unit_test(probe_works),
    };
    int failed = cmocka_run_group_tests_name("refusals", tests, choose_epoll, NULL);
    if (uring_here()) {
        failed += cmocka_run_group_tests_name("io_uring", uring, choose_uring, NULL);
    }
    return failed;
}
