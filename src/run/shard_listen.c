/* Where a shard's clients come from: its listeners, and which shard a new client goes to.
 *
 * Each shard listens at every address, and by itself the kernel deals connections out by a hash. A
 * few clients are better off together: a request that comes alone makes a thread wake up, serve it
 * and go to sleep again, which costs as much as serving it does. One shard that serves all of them
 * is awake already for most. So one of them, the lead, takes every new client, until there are many
 * or it has much to do; what it has, it keeps. Clients of TLS are not steered: their handshakes
 * cost milliseconds each, and come in herds.
 */
#include "run/shard_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Shares of a core, in percent: with more the lead takes no more new clients than others, until it
 * is down to the lesser one. Measured over at least so many ms. */
#define LEAD_BUSY   80
#define LEAD_IDLE   60
#define LEAD_PERIOD 100

/* --- listening -------------------------------------------------------------------------------- */

static void accepted(void *ctx, int fd)
{
    struct shard *s = ctx;
    s->process->admin->accepted(s->admin, fd, false);
    if (s->leads) { /* a herd: not all of it, before the turn is over */
        shard_steer(s);
    }
}

static void accepted_tls(void *ctx, int fd)
{
    struct shard *s = ctx;
    s->process->admin->accepted(s->admin, fd, true);
}

static void take_listener(struct shard *s, struct listener *l, bool tls)
{
    listener_set_refusal(l, tls ? NULL : "-ERR max number of clients reached\r\n");
    s->listeners[s->listener_count++] = l;
}

static bool listen_at(struct shard *s, const char *ip, bool tls, bool optional)
{
    const struct process_options *o = &s->process->options;
    struct address at;
    if (!address_set(&at, ip, strlen(ip), tls ? o->tls_port : o->port)) {
        (void)snprintf(s->error, sizeof s->error, "bind: '%s' is not an IP address", ip);
        return optional;
    }
    struct listener *l = listener_open(s->client_ring, &at, (int)o->tcp_backlog,
                                       tls ? accepted_tls : accepted, s, s->error, sizeof s->error);
    if (l == NULL) {
        /* Stock's default binds "*" and "-::*": no IPv6 is no error. */
        return optional;
    }
    take_listener(s, l, tls);
    return true;
}

static bool listen_all(struct shard *s, bool tls)
{
    const struct process_options *o = &s->process->options;
    unsigned before = s->listener_count;
    if ((tls ? o->tls_port : o->port) == 0) {
        return true;
    }
    for (unsigned i = 0; i < o->bind_count; i++) {
        if (!listen_at(s, o->bind[i], tls, o->bind_optional[i])) {
            return false;
        }
    }
    if (o->bind_count == 0) {
        return listen_at(s, "0.0.0.0", tls, false) && listen_at(s, "::", tls, true);
    }
    return s->listener_count > before;
}

bool shard_listen(struct shard *s)
{
    if (!listen_all(s, false)) {
        return false;
    }
    /* Which one is of no matter; the shards listen one after the other, so that its place at each
     * address is its index. (Where an address is bound twice it is not, and another takes them.) */
    unsigned shards = s->process->options.shards, lead = (unsigned)s->process->pid % shards;
    s->steered_count = s->index == lead && shards > 1 ? s->listener_count : 0;
    if (!listen_all(s, true)) {
        return false;
    }
    if (s->index == 0 && s->process->options.unix_fd >= 0) {
        take_listener(s, listener_adopt(s->client_ring, s->process->options.unix_fd, accepted, s),
                      false);
    }
    return true;
}

/* --- who takes new clients -------------------------------------------------------------------- */

static int64_t thread_cpu_ns(void)
{
    struct timespec used = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static void look_how_busy(struct shard *s)
{
    ms_t passed = s->now - s->lead_looked;
    if (passed < LEAD_PERIOD) {
        return;
    }
    int64_t used = thread_cpu_ns();
    int64_t percent = (used - s->lead_used) / (passed * (1000000 / 100));
    s->lead_busy = percent >= (s->lead_busy ? LEAD_IDLE : LEAD_BUSY);
    s->lead_used = used;
    s->lead_looked = s->now;
}

static bool steer(struct shard *s, uint32_t place)
{
    bool all = true;
    for (unsigned i = 0; i < s->steered_count; i++) {
        all = listener_steer(s->listeners[i], place) && all;
    }
    return all;
}

void shard_steer(struct shard *s)
{
    if (s->steered_count == 0) {
        return;
    }
    look_how_busy(s);
    uint64_t clients = atomic_load_explicit(&s->process->counters.clients, memory_order_relaxed);
    /* Half of them at first: it does not change its mind with every client. */
    bool leads =
        !s->lead_busy && clients < (s->leads ? LIMIT_LEAD_CLIENTS : LIMIT_LEAD_CLIENTS / 2);
    if (leads == s->leads) {
        return;
    }
    if (steer(s, leads ? s->index : LISTENER_ALL)) {
        s->leads = leads;
    } else if (leads) { /* refused here: by the hash for good; the other way is tried again */
        (void)steer(s, LISTENER_ALL);
        s->steered_count = 0;
    }
}
