/* What the fleet notices in the sentinels' hellos: two masters in one config epoch, epochs that go
 * back on one connection, a hello about another group's master. */
#include "fleet.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_FIELDS 8
#define HELLO_EPOCHS 8 /* of one group that are remembered */

/* Which address a config epoch of a group belongs to, as first heard. */
struct hello_epoch {
    uint64_t epoch; /* 0: no entry */
    char address[24], speaker[FLEET_RUN_ID + 1];
    bool told;
};

struct hello_book {
    struct hello_epoch epochs[HELLO_EPOCHS];
    uint32_t next;
};

struct hello {
    struct slice field[HELLO_FIELDS];
    int64_t current_epoch, config_epoch;
};

enum { HELLO_RUNID = 2, HELLO_CURRENT = 3, HELLO_NAME = 4, HELLO_IP = 5, HELLO_CONFIG = 7 };

static bool hello_parse(struct slice text, struct hello *out)
{
    const char *at = text.data, *end = text.data + text.length;
    for (int k = 0; k < HELLO_FIELDS; k++) {
        const char *comma = k + 1 < HELLO_FIELDS ? memchr(at, ',', (size_t)(end - at)) : end;
        if (!comma)
            return false;
        out->field[k] = (struct slice){at, (size_t)(comma - at)};
        at = comma + 1;
    }
    return slice_number(out->field[HELLO_CURRENT], &out->current_epoch) &&
           slice_number(out->field[HELLO_CONFIG], &out->config_epoch);
}

__attribute__((format(printf, 3, 4))) static void
note(struct worker *worker, _Atomic uint64_t *counter, const char *format, ...)
{
    struct hello_findings *findings = &worker->shared->hellos;
    atomic_fetch_add(counter, 1);
    uint32_t place = atomic_fetch_add(&findings->count, 1);
    if (place >= FLEET_FINDINGS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(findings->texts[place].text, sizeof findings->texts[place].text, format, arguments);
    va_end(arguments);
    for (char *at = findings->texts[place].text; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = '?'; /* the text goes into JSON */
    atomic_store(&findings->texts[place].ready, true);
}

static struct hello_epoch *remember(struct hello_book *book, const struct hello *hello,
                                    const char *address)
{
    for (int k = 0; k < HELLO_EPOCHS; k++)
        if (book->epochs[k].epoch == (uint64_t)hello->config_epoch)
            return &book->epochs[k];
    struct hello_epoch *made = &book->epochs[book->next++ % HELLO_EPOCHS];
    *made = (struct hello_epoch){.epoch = (uint64_t)hello->config_epoch};
    snprintf(made->address, sizeof made->address, "%s", address);
    snprintf(made->speaker, sizeof made->speaker, "%.*s", (int)hello->field[HELLO_RUNID].length,
             hello->field[HELLO_RUNID].data);
    return made;
}

/* Config epoch 0 means that nothing was decided yet: two addresses there are no conflict. */
static void compare_addresses(struct worker *worker, uint32_t group, const char *name,
                              const struct hello *hello)
{
    char address[24];
    struct slice ip = hello->field[HELLO_IP], port = hello->field[HELLO_IP + 1];
    snprintf(address, sizeof address, "%.*s:%.*s", (int)ip.length, ip.data, (int)port.length,
             port.data);
    if (!worker->hello_books) {
        worker->hello_books = calloc(worker->options->masters, sizeof *worker->hello_books);
        if (!worker->hello_books)
            abort();
    }
    struct hello_epoch *known = remember(&worker->hello_books[group], hello, address);
    if (known->told || strcmp(known->address, address) == 0)
        return;
    known->told = true;
    note(worker, &worker->shared->hellos.conflicts,
         "%s: config epoch %lld is %s for %.8s and %s for %.8s", name,
         (long long)hello->config_epoch, known->address, known->speaker, address,
         hello->field[HELLO_RUNID].data);
}

void hello_notice(struct worker *worker, struct connection *connection, struct slice message)
{
    struct hello hello;
    if (!hello_parse(message, &hello) || hello.field[HELLO_RUNID].length != FLEET_RUN_ID)
        return;
    struct hello_findings *findings = &worker->shared->hellos;
    atomic_fetch_add_explicit(&findings->seen, 1, memory_order_relaxed);
    uint32_t group = connection->instance / fleet_group_size(worker->options);
    char name[64];
    fleet_group_name(worker->options, group, name, sizeof name);
    struct slice heard = hello.field[HELLO_NAME];
    if (heard.length != strlen(name) || memcmp(heard.data, name, heard.length) != 0) {
        note(worker, &findings->strays, "%s: hello about %.*s from %.8s", name,
             heard.length < 64 ? (int)heard.length : 64, heard.data, hello.field[HELLO_RUNID].data);
        return;
    }
    if (hello.current_epoch < connection->hello_current)
        note(worker, &findings->backwards, "%s: current epoch of %.8s went back from %lld to %lld",
             name, hello.field[HELLO_RUNID].data, (long long)connection->hello_current,
             (long long)hello.current_epoch);
    if (hello.config_epoch < connection->hello_config)
        note(worker, &findings->backwards, "%s: config epoch of %.8s went back from %lld to %lld",
             name, hello.field[HELLO_RUNID].data, (long long)connection->hello_config,
             (long long)hello.config_epoch);
    connection->hello_current = hello.current_epoch;
    connection->hello_config = hello.config_epoch;
    if (hello.config_epoch > 0)
        compare_addresses(worker, group, name, &hello);
}
