#include "rules/group.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void update_init(struct update *up)
{
    *up = (struct update){0};
}

void update_clear(struct update *up)
{
    for (size_t i = 0; i < up->count; i++) {
        if (up->actions[i].kind == ACTION_EVENT || up->actions[i].kind == ACTION_LOG)
            free(up->actions[i].u.text);
    }
    up->count = 0;
    up->view_changed = false;
    up->reply = GROUP_OK;
}

void update_free(struct update *up)
{
    update_clear(up);
    free(up->actions);
    *up = (struct update){0};
}

struct action *update_add(struct update *up, enum action_kind kind)
{
    if (up->count == up->cap) {
        const size_t cap = up->cap == 0 ? 16 : 2 * up->cap;
        struct action *actions = realloc(up->actions, cap * sizeof(*actions));
        if (actions == NULL)
            abort(); /* a decision must not be lost */
        up->actions = actions;
        up->cap = cap;
    }
    struct action *a = &up->actions[up->count++];
    memset(a, 0, sizeof(*a));
    a->kind = kind;
    return a;
}

static char *text_of(const char *format, va_list args)
{
    char text[LIMIT_EVENT_TEXT];
    const int len = vsnprintf(text, sizeof(text), format, args);
    assert(len >= 0);
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

void update_event(struct update *up, enum event_type type, const char *format, ...)
{
    assert(type < EVENT_COUNT);
    va_list args;
    va_start(args, format);
    char *text = text_of(format, args);
    va_end(args);
    struct action *a = update_add(up, ACTION_EVENT);
    a->type = type;
    a->level = event_level(type);
    a->u.text = text;
}

void update_log(struct update *up, enum event_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = text_of(format, args);
    va_end(args);
    struct action *a = update_add(up, ACTION_LOG);
    a->level = level;
    a->u.text = text;
}

void update_event_instance(struct update *up, enum event_type type, const struct group *g,
                           const struct instance *inst, const char *extra)
{
    const char *gap = extra == NULL ? "" : " ";
    if (extra == NULL)
        extra = "";
    const bool names = g->env->names;
    const char *host = address_host(&inst->addr, names);
    const char *master = address_host(&g->master->addr, names);
    const unsigned port = g->master->addr.port;
    switch (inst->kind) {
    case INSTANCE_MASTER:
        update_event(up, type, "master %s %s %u%s%s", g->name, host, inst->addr.port, gap, extra);
        return;
    case INSTANCE_REPLICA: {
        char name[ADDRESS_TEXT];
        address_format_as(&inst->addr, names, name);
        update_event(up, type, "slave %s %s %u @ %s %s %u%s%s", name, host, inst->addr.port,
                     g->name, master, port, gap, extra);
        return;
    }
    case INSTANCE_SENTINEL:
        update_event(up, type, "sentinel %s %s %u @ %s %s %u%s%s", inst->runid.hex, host,
                     inst->addr.port, g->name, master, port, gap, extra);
        return;
    }
    assert(false && "an instance is of one of three kinds");
}
