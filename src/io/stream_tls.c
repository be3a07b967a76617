/* TLS on a stream: between what the ring receives and sends and what the owner reads and writes.
 *
 * A handshake costs milliseconds (RSA), and thousands of clients come back at once after a
 * failover. So no step of one is made where its bytes arrive: they wait in the stream, the stream
 * waits in the ring's queue of work, and a turn does LIMIT_TLS_WORK ms worth of it. Records of
 * established connections are decrypted at once: that costs microseconds. */
#include "io/clock.h"
#include "io/stream_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define RECORD 16384 /* bytes of a record's content at most (RFC 8446 5.1) */

struct stream_tls {
    struct tls *tls;
    struct tls_session *session; /* from the first step on: what only connects costs little */
    struct buffer input;         /* arrived, waits for the handshake's turn */
    struct buffer output;        /* ciphertext, not with the kernel yet */
    ms_t patience;               /* ms that the other side may still take for the handshake */
    ms_t since;                  /* it has been waited for since then */
    enum tls_role role;
    bool queued : 1;      /* in the ring's work */
    bool counted : 1;     /* in ring.shaking */
    bool established : 1; /* the handshake is complete */
    bool failed : 1;
    bool closed : 1; /* the other side has said goodbye */
    bool told : 1;   /* we have */
};

void stream_tls_attach(struct stream *s, struct tls *tls, enum tls_role role)
{
    if (tls == NULL) {
        return;
    }
    s->tls = calloc(1, sizeof *s->tls);
    if (s->tls == NULL) {
        abort();
    }
    s->tls->tls = tls;
    s->tls->role = role;
}

/* No handshake under way any more. */
static void uncount(struct stream *s)
{
    if (s->tls->counted) {
        s->tls->counted = false;
        s->object.ring->shaking--;
    }
}

void stream_tls_shut(struct stream *s)
{
    if (s->tls != NULL) {
        uncount(s);
        buffer_free(&s->tls->input);
        buffer_free(&s->tls->output);
    }
}

void stream_tls_free(struct stream *s)
{
    if (s->tls != NULL) {
        stream_tls_shut(s);
        tls_session_free(s->tls->session);
        free(s->tls);
        s->tls = NULL;
    }
}

static void fail(struct stream *s, int error)
{
    s->tls->failed = true;
    if (s->state == STREAM_SHAKING) {
        s->object.ring->counters.handshake_failures++;
    }
    /* Still counted while it lingers over the alert: who fails on purpose, again and again, does
     * not use up the descriptors. */
    stream_end(s, error);
}

/* --- the handshake ------------------------------------------------------------------------------
 */
static void queue(struct stream *s)
{
    if (!s->tls->queued) {
        s->tls->queued = true;
        ring_set_timer(&s->object, MS_NEVER); /* from now on it is we who are slow */
        ring_call_work(&s->object);
    }
}

static void wait_for_other_side(struct stream *s)
{
    s->tls->since = clock_now();
    ring_set_timer(&s->object, s->tls->since + s->tls->patience);
}

void stream_tls_begin(struct stream *s)
{
    struct stream_tls *t = s->tls;
    s->state = STREAM_SHAKING;
    t->patience = LIMIT_TLS_HANDSHAKE;
    if (t->role == TLS_CLIENT) {
        queue(s); /* to speak first */
    } else {
        t->counted = true;
        s->object.ring->shaking++;
        wait_for_other_side(s);
    }
    stream_receive_on(s);
}

bool stream_tls_takes_more(const struct stream *s)
{
    return s->tls->input.len < LIMIT_TLS_INPUT;
}

void stream_tls_receive_ended(struct stream *s, int error)
{
    struct stream_tls *t = s->tls;
    if (error == 0 && t->queued && t->input.len > 0) {
        s->ended = true; /* what it said before comes first: an alert, or all it had to say */
        s->error = 0;
    } else {
        fail(s, error != 0 ? error : ECONNRESET);
    }
}

/* Decrypts all there is. */
static void decrypt(struct stream *s)
{
    struct stream_tls *t = s->tls;
    uint8_t room[RECORD];
    enum tls_result result;
    size_t got = 0;
    while ((result = tls_read(t->session, room, sizeof room, &got, &t->output)) == TLS_DONE) {
        stream_deliver(s, room, got);
        if (s->state != STREAM_UP) {
            return;
        }
    }
    if (t->output.len > 0) {
        stream_mark_dirty(s);
    }
    if (result == TLS_FAILED) {
        fail(s, EPROTO);
    } else if (result == TLS_CLOSED) {
        t->closed = true;
        stream_receive_ended(s, 0);
    } else if (t->output.len > LIMIT_TLS_CONTROL) {
        fail(s, EPROTO); /* makes us answer without end and does not read it */
    }
}

static void established(struct stream *s)
{
    struct stream_tls *t = s->tls;
    t->established = true;
    uncount(s);
    s->object.ring->counters.handshakes++;
    stream_is_up(s, t->role == TLS_CLIENT);
    if (s->state == STREAM_UP) {
        decrypt(s);
    }
    /* The end that arrived behind it. */
    if (s->state == STREAM_UP && s->ended) {
        stream_mark_later(s);
    }
}

static void step(struct stream *s)
{
    struct stream_tls *t = s->tls;
    if (t->session == NULL) {
        t->session = tls_session_new(t->tls, t->role);
        if (t->session == NULL) {
            fail(s, ENOMEM);
            return;
        }
    }
    struct buffer input = t->input;
    t->input = (struct buffer){0};
    tls_input(t->session, input.data, input.len);
    enum tls_result result = tls_handshake(t->session, &t->output);
    if (t->output.len > 0) {
        stream_mark_dirty(s);
    }
    if (result == TLS_DONE) {
        established(s);
    } else if (result == TLS_MORE && !s->ended) {
        wait_for_other_side(s);
        stream_receive_on(s);
    } else {
        fail(s, result == TLS_FAILED ? EPROTO : ECONNRESET);
    }
    tls_input(t->session, NULL, 0);
    buffer_free(&input);
}

void stream_tls_work(struct ring_object *object)
{
    struct stream *s = (struct stream *)object;
    s->tls->queued = false;
    if (s->state == STREAM_SHAKING) {
        stream_enter(s);
        step(s);
        stream_leave(s);
    }
}

/* --- bytes --------------------------------------------------------------------------------------
 */
void stream_tls_arrived(struct stream *s, const uint8_t *bytes, size_t len)
{
    struct stream_tls *t = s->tls;
    if (s->state == STREAM_SHAKING) {
        if (!t->queued) {
            ms_t waited = clock_now() - t->since;
            t->patience = t->patience > waited ? t->patience - waited : 0;
        }
        buffer_append(&t->input, bytes, len);
        if (!stream_tls_takes_more(s)) {
            stream_cancel_receive(s);
        }
        queue(s);
    } else if (s->state == STREAM_UP && !t->closed) {
        tls_input(t->session, bytes, len);
        decrypt(s);
        tls_input(t->session, NULL, 0);
    }
}

void stream_tls_flush(struct stream *s)
{
    struct stream_tls *t = s->tls;
    if (t->established && s->output.len > 0) {
        if (!t->failed && !tls_write(t->session, s->output.data, s->output.len, &t->output)) {
            t->failed = true;
            s->ended = true; /* no callback may run in a flush */
            s->error = EPROTO;
            stream_mark_later(s);
        }
        stream_keep_buffer(s, &s->output);
    }
    s->sending = t->output;
    t->output = (struct buffer){0};
}

size_t stream_tls_unsent(const struct stream *s)
{
    return s->tls != NULL ? s->tls->output.len : 0;
}

bool stream_tls_farewell(struct stream *s)
{
    struct stream_tls *t = s->tls;
    if (t == NULL || t->told || t->failed || !t->established) {
        return false;
    }
    t->told = true;
    tls_shutdown(t->session, &t->output);
    return t->output.len > 0;
}

bool stream_tls_has_alert(const struct stream *s)
{
    return s->tls != NULL && s->tls->failed && s->tls->output.len > 0;
}

const char *stream_why(const struct stream *s)
{
    bool any = s->tls != NULL && s->tls->failed && s->tls->session != NULL;
    return any && tls_why(s->tls->session)[0] != '\0' ? tls_why(s->tls->session) : NULL;
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}
