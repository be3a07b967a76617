#include "io/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    assert(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

ms_t clock_now(void)
{
    ms_t now = read_clock(CLOCK_BOOTTIME);
    return now > 0 ? now : 1; /* 0 means "never" everywhere; a namespace may start at 0 */
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}
