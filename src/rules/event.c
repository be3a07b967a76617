#include "rules/event.h"

#include <assert.h>

struct event_row {
    const char *name;
    enum event_level level;
};

#define EVENT_ROW(id, channel, level_of) [EVENT_##id] = {channel, EVENT_##level_of},
static const struct event_row rows[] = {EVENT_TABLE(EVENT_ROW)};
#undef EVENT_ROW

_Static_assert(sizeof(rows) / sizeof(rows[0]) == EVENT_COUNT, "a row for each event");

const char *event_name(enum event_type type)
{
    assert((unsigned)type < EVENT_COUNT);
    return rows[type].name;
}

enum event_level event_level(enum event_type type)
{
    assert((unsigned)type < EVENT_COUNT);
    return rows[type].level;
}

char event_level_mark(enum event_level level)
{
    switch (level) {
    case EVENT_DEBUG:
        return '.';
    case EVENT_VERBOSE:
        return '-';
    case EVENT_NOTICE:
        return '*';
    case EVENT_WARNING:
        return '#';
    }
    assert(false && "an event has one of four levels");
    return '#';
}
