/* Listening: accepting, second start, running out of descriptors. */
#include "io_test.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

struct taken {
    int fds[64];
    unsigned count;
    struct listener *close_me;
};

static void on_accept(void *ctx, int fd)
{
    struct taken *taken = ctx;
    assert_true(fd >= 0 && taken->count < 64);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    taken->fds[taken->count++] = fd;
    if (taken->close_me != NULL) {
        listener_close(taken->close_me);
        taken->close_me = NULL;
    }
}

static void close_taken(struct taken *taken)
{
    for (unsigned i = 0; i < taken->count; i++) {
        close(taken->fds[i]);
    }
    taken->count = 0;
}

static struct listener *must_listen(struct ring *ring, const struct address *at,
                                    struct taken *taken)
{
    char error[200];
    struct listener *l = listener_open(ring, at, 64, on_accept, taken, error, sizeof error);
    if (l == NULL) {
        fail_msg("%s", error);
    }
    return l;
}

static struct ring_counters counted(const struct ring *ring)
{
    struct ring_counters counters;
    ring_counters(ring, &counters);
    return counters;
}

static void accepts(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct taken taken = {0};
    struct address at = address_of("127.0.0.1", free_port()), where;
    struct listener *l = must_listen(ring, &at, &taken);
    int fds[20];
    listener_address(l, &where);
    assert_string_equal(where.ip, at.ip);
    assert_int_equal(where.port, at.port);
    for (int i = 0; i < 20; i++) {
        fds[i] = plain_connect(at.port);
    }
    turn_until(ring, taken.count == 20);
    assert_int_equal(counted(ring).accepts, 20);
    for (int i = 0; i < 20; i++) {
        close(fds[i]);
    }
    close_taken(&taken);
    listener_close(l);
    turn_for(ring, 10);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(at.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    ring_close(ring);
}

static void closing_in_the_callback(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct taken taken = {0};
    struct address at = address_of("127.0.0.1", free_port());
    taken.close_me = must_listen(ring, &at, &taken);
    int first = plain_connect(at.port), second = plain_connect(at.port);
    turn_until(ring, taken.count == 1);
    turn_for(ring, 20);
    assert_int_equal(taken.count, 1);
    assert_int_equal(counted(ring).objects, 0);
    close(first);
    close(second);
    close_taken(&taken);
    ring_close(ring);
}

/* Accepted after the listener was closed, by a request that had not heard of it yet. */
static void late_accepts_are_closed(void **state)
{
    unsigned before = open_descriptors();
    /* A plain ring accepts while this thread is elsewhere in the kernel. */
    struct ring_options options = {.plain = true};
    struct ring *ring = open_ring(&options);
    struct taken taken = {0};
    struct address at = address_of("127.0.0.1", free_port());
    struct listener *l = must_listen(ring, &at, &taken);
    ring_flush(ring); /* the accept is with the kernel */
    int fd = plain_connect(at.port);
    listener_close(l); /* the cancellation leaves with the next wait */
    turn_for(ring, 30);
    assert_int_equal(taken.count, 0);
    assert_true(counted(ring).late >= 1); /* the connection, and the end of accepting */
    close(fd);
    ring_close(ring);
    assert_int_equal(open_descriptors(), before);
}

static void several_share_a_port(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct taken one = {0}, two = {0};
    struct address at = address_of("127.0.0.1", free_port());
    struct listener *first = must_listen(ring, &at, &one);
    struct listener *second = must_listen(ring, &at, &two);
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = plain_connect(at.port);
    }
    turn_until(ring, one.count + two.count == 40);
    assert_true(one.count > 0 && two.count > 0); /* the kernel spreads by hash: 2^-39 to fail */
    for (int i = 0; i < 40; i++) {
        close(fds[i]);
    }
    close_taken(&one);
    close_taken(&two);
    listener_close(first);
    listener_close(second);
    ring_close(ring);
}

/* Connects `count` times and lets both accept. */
static void crowd(struct ring *ring, uint16_t port, unsigned count, struct taken *one,
                  struct taken *two)
{
    int fds[40];
    close_taken(one);
    close_taken(two);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = plain_connect(port);
    }
    turn_until(ring, one->count + two->count == count);
    for (unsigned i = 0; i < count; i++) {
        close(fds[i]);
    }
}

static void one_of_several_takes_all(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct taken one = {0}, two = {0};
    struct address at = address_of("127.0.0.1", free_port());
    struct listener *first = must_listen(ring, &at, &one);
    assert_true(listener_steer(first, 1)); /* which does not listen yet */
    crowd(ring, at.port, 5, &one, &two);
    assert_int_equal(one.count, 5);
    struct listener *second = must_listen(ring, &at, &two);
    crowd(ring, at.port, 20, &one, &two);
    assert_int_equal(two.count, 20);
    assert_true(listener_steer(second, 0));
    crowd(ring, at.port, 20, &one, &two);
    assert_int_equal(one.count, 20);
    assert_true(listener_steer(first, LISTENER_ALL));
    crowd(ring, at.port, 40, &one, &two);
    assert_true(one.count > 0 && two.count > 0); /* 2^-39 */
    close_taken(&one);
    close_taken(&two);
    listener_close(first);
    listener_close(second);
    ring_close(ring);
}

static void a_second_start_is_noticed(void **state)
{
    struct ring *ring = open_ring(NULL);
    struct taken taken = {0};
    char error[200] = "";
    struct address at = address_of("127.0.0.1", free_port());
    struct address any = address_of("0.0.0.0", at.port);
    struct address other = address_of("127.0.0.2", at.port);
    assert_true(listener_prove_free(&at, error, sizeof error));
    assert_true(listener_prove_free(&at, error, sizeof error)); /* leaves nothing behind */
    struct listener *l = must_listen(ring, &at, &taken);
    assert_false(listener_prove_free(&at, error, sizeof error));
    assert_int_equal(errno, EADDRINUSE);
    assert_non_null(strstr(error, at.ip));
    assert_false(listener_prove_free(&any, error, sizeof error));
    assert_true(listener_prove_free(&other, error, sizeof error));
    /* What an earlier process left in TIME_WAIT is no second start. */
    int fd = plain_connect(at.port);
    turn_until(ring, taken.count == 1);
    close_taken(&taken); /* we close first: the port's side waits */
    close(fd);
    listener_close(l);
    ring_close(ring);
    assert_true(listener_prove_free(&at, error, sizeof error));
}

static void errors_are_explained(void **state)
{
    struct ring *ring = open_ring(NULL);
    char error[200] = "";
    struct address bad = address_of("nonsense", 1);
    struct address foreign = address_of("203.0.113.7", 26379);
    assert_null(listener_open(ring, &bad, 1, on_accept, NULL, error, sizeof error));
    assert_int_equal(errno, EINVAL);
    assert_non_null(strstr(error, "nonsense"));
    assert_null(listener_open(ring, &foreign, 1, on_accept, NULL, error, sizeof error));
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_non_null(strstr(error, "203.0.113.7:26379"));
    assert_int_equal(counted(ring).objects, 0);
    ring_close(ring);
}

/* Without descriptors, connections are turned away one at a time; with them back, all goes on. */
static void out_of_descriptors(void **state)
{
    /* The kernel notes the limit when an accept starts, so it comes first. */
    struct rlimit old, small;
    getrlimit(RLIMIT_NOFILE, &old);
    small = old;
    small.rlim_cur = 40;
    setrlimit(RLIMIT_NOFILE, &small);
    struct ring *ring = open_ring(NULL);
    struct taken taken = {0};
    struct address at = address_of("127.0.0.1", free_port());
    struct listener *l = must_listen(ring, &at, &taken);
    ring_flush(ring);
    int fds[6], filler[64];
    unsigned fillers = 0;
    char byte;
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    }
    while (fillers < 64 && (filler[fillers] = dup(0)) >= 0) {
        fillers++;
    }
    assert_true(fillers > 0 && fillers < 64);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(at.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof to), 0);
    }
    turn_until(ring, counted(ring).refused >= 2);
    assert_int_equal(taken.count, 0);
    uint64_t refused = counted(ring).refused;
    assert_int_equal(read(fds[0], &byte, 1), 0); /* an orderly end, at once */
    while (fillers > 0) {
        close(filler[--fillers]);
    }
    int fd = plain_connect(at.port);
    turn_until(ring, taken.count >= 1);
    assert_true(counted(ring).refused <= refused + 1);
    assert_true(counted(ring).accept_failures >= counted(ring).refused);
    setrlimit(RLIMIT_NOFILE, &old);
    close(fd);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    close_taken(&taken);
    listener_close(l);
    ring_close(ring);
}

/* A socket that a dead process left is replaced, whatever else has the name is not. */
static void unix_sockets(void **state)
{
    char path[64], error[200] = "";
    (void)snprintf(path, sizeof path, "/tmp/vedette-test-%d.sock", (int)getpid());
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, path);
    struct stat st;

    close(listener_unix(path, 0, 5, error, sizeof error)); /* and left */
    int fd = listener_unix(path, 0640, 5, error, sizeof error);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);

    struct ring *ring = open_ring(NULL);
    struct taken taken = {0};
    struct listener *l = listener_adopt(ring, fd, on_accept, &taken);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    turn_until(ring, taken.count == 1);
    listener_close(l);
    close_taken(&taken);
    close(client);
    ring_close(ring);

    assert_int_equal(unlink(path), 0);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(listener_unix(path, 0, 5, error, sizeof error), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_non_null(strstr(error, "bind: "));
    assert_int_equal(access(path, F_OK), 0);
    close(file);
    unlink(path);

    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(listener_unix(longer, 0, 5, error, sizeof error), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(closing_in_the_callback),
        cmocka_unit_test(late_accepts_are_closed),
        cmocka_unit_test(several_share_a_port),
        cmocka_unit_test(one_of_several_takes_all),
        cmocka_unit_test(a_second_start_is_noticed),
        cmocka_unit_test(errors_are_explained),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(out_of_descriptors),
    };
    return run_on_both(tests);
}
