#include "run/process.h"

#include "io/clock.h"
#include "run/mail.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void letter_send(struct process *p, unsigned from, unsigned to, const struct letter *letter,
                 enum post_class class)
{
    struct mail mail = {0};
    struct letter copy = *letter;
    copy.from = (uint16_t)from;
    memcpy(&mail, &copy, sizeof copy);
    (void)post_send(p->post, from, to, &mail, class);
}

void letter_open(const struct mail *mail, struct letter *letter)
{
    memcpy(letter, mail, sizeof *letter);
}

void request_send(struct process *p, unsigned from, unsigned to, struct request *request)
{
    struct letter letter = {.kind = LETTER_REQUEST, .u.request = request};
    letter_send(p, from, to, &letter, POST_MUST);
}

static bool is_noted(const struct process *p, const struct address *addr)
{
    unsigned count = atomic_load_explicit(&p->own_count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        if (address_equal(&p->own[i], addr)) {
            return true;
        }
    }
    return false;
}

void process_note_own(struct process *p, const struct address *addr)
{
    if (is_noted(p, addr)) {
        return;
    }
    pthread_mutex_lock(&p->twin_lock);
    unsigned count = atomic_load_explicit(&p->own_count, memory_order_relaxed);
    /* Once more: the links of all shards come up together, and there is not room for one each. */
    if (count < sizeof p->own / sizeof p->own[0] && !is_noted(p, addr)) {
        p->own[count] = *addr;
        atomic_store_explicit(&p->own_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&p->twin_lock);
}

bool process_is_own(const struct process *p, const struct address *addr)
{
    return is_noted(p, addr) || atomic_load_explicit(&p->own_count, memory_order_acquire) ==
                                    sizeof p->own / sizeof p->own[0];
}

bool process_tilt(struct process *p, ms_t now)
{
    bool was = false;
    atomic_store_explicit(&p->tilt_since, now, memory_order_release);
    if (!atomic_compare_exchange_strong(&p->tilt, &was, true)) {
        return false;
    }
    atomic_fetch_add_explicit(&p->tilts, 1, memory_order_relaxed);
    return true;
}

static void letter_drop(struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_RECORD:
        free(letter->u.record.text);
        break;
    case LETTER_NOTE:
        note_release(letter->u.note);
        break;
    case LETTER_REQUEST:
        letter->u.request->drop(letter->u.request);
        break;
    case LETTER_SCRIPT:
        script_job_free(letter->u.script);
        break;
    case LETTER_TUNABLES:
        free(letter->u.tunables);
        break;
    case LETTER_LINES:
    case LETTER_SNAPSHOT:
        free(letter->u.lines.text);
        break;
    default: /* the others own nothing */
        break;
    }
}

void letters_drop(struct process *p)
{
    struct mail mail;
    struct letter letter;
    bool any = true;

    /* Again while there are some: behind a full lane more may wait. */
    while (any) {
        any = false;
        for (unsigned thread = 0; thread < process_threads(p); thread++) {
            post_flush(p->post, thread);
        }
        for (unsigned thread = 0; thread < process_threads(p); thread++) {
            while (post_receive(p->post, thread, &mail)) {
                letter_open(&mail, &letter);
                letter_drop(&letter);
                any = true;
            }
        }
    }
}

void note_release(struct note *note)
{
    if (atomic_fetch_sub_explicit(&note->refs, 1, memory_order_acq_rel) == 1) {
        free(note);
    }
}

/* One more reader of the note. One that is tens of thousands behind does without, and that is
 * counted: somebody floods us with what makes events. */
static void note_mail(struct process *p, unsigned from, unsigned to, struct note *note)
{
    struct letter letter = {.kind = LETTER_NOTE, .u.note = note};
    if (post_spilled(p->post, from, to) >= LIMIT_LANE_SPILL) {
        atomic_fetch_add_explicit(&p->counters.events_dropped, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&note->refs, 1, memory_order_relaxed);
    letter_send(p, from, to, &letter, POST_MUST);
}

void note_send(struct process *p, unsigned from, bool publish, enum event_type type,
               enum event_level level, const char *text, size_t len)
{
    struct note *note = malloc(sizeof *note + len + 1);
    if (note == NULL) {
        abort();
    }
    note->publish = publish;
    note->type = type;
    note->level = level;
    note->len = len;
    note->wall_ms = clock_wall_ms();
    memcpy(note->text, text, len);
    note->text[len] = '\0';

    /* The sender holds a reference while it mails, so that a quick receiver cannot free it. */
    atomic_init(&note->refs, 1);
    if (publish && level != EVENT_DEBUG) {
        for (unsigned i = 0; i < p->options.shards; i++) {
            if (atomic_load_explicit(&p->subscribed[i], memory_order_acquire)) {
                note_mail(p, from, i, note);
            }
        }
        atomic_fetch_add_explicit(&p->counters.events_published, 1, memory_order_relaxed);
    }
    note_mail(p, from, process_main(p), note);
    note_release(note);
}
