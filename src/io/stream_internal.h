/* The inside of a stream, shared by stream.c and stream_tls.c.
 *
 * Thread: its ring's.
 */
#pragma once

#include "io/ring_port.h"
#include "io/stream.h"

enum stream_state {
    STREAM_CONNECTING,
    STREAM_SHAKING, /* a TLS handshake is under way: to its owner, still connecting */
    STREAM_UP,
    STREAM_LINGERING, /* the owner is gone; output, then the peer's end, are waited for */
    STREAM_CLOSED,    /* the kernel still holds what we lent it, or a callback is running */
};

struct stream {
    struct ring_object object; /* first */
    const struct stream_ops *ops;
    void *owner;
    struct buffer output;            /* gathers */
    struct buffer sending;           /* lent to the kernel while `sends` */
    size_t sent;                     /* of sending */
    struct buffer *held;             /* arrived while paused; NULL: nothing */
    struct sockaddr_storage *target; /* lent to the kernel while `connects` */
    struct ring *moves_to;           /* NULL: stays */
    struct stream_tls *tls;          /* NULL: plain */
    int fd;
    int error;          /* with `ended` */
    uint8_t state;      /* enum stream_state */
    uint8_t depth;      /* running callbacks and handlers: not to be freed */
    bool receives : 1;  /* a receive is with the kernel */
    bool cancelled : 1; /* that one was told to end */
    bool sends : 1;     /* a send is with the kernel */
    bool connects : 1;  /* a connect is with the kernel */
    bool paused : 1;
    bool stranger : 1;          /* it came to us: what it may send at a time is bounded */
    bool dirty : 1;             /* in the ring's flush list */
    bool later : 1;             /* in the ring's list for later */
    bool ended : 1;             /* down() is due, once what is held has been delivered */
    bool peer_ended : 1;        /* lingering: nothing more will arrive */
    bool half_closed : 1;       /* lingering: our sending half is closed */
    bool counted : 1;           /* in ring.budget */
    struct address local, peer; /* ip empty: unknown */
};

/* --- stream.c -----------------------------------------------------------------------------------
 */
/* Callbacks of the stream run between these two: it is freed at the end at the earliest. */
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);
void stream_mark_dirty(struct stream *s);
void stream_mark_later(struct stream *s);
/* Starts receiving, if that is wanted now and not under way. */
void stream_receive_on(struct stream *s);
void stream_cancel_receive(struct stream *s);
/* Bytes for the owner. In STREAM_UP. */
void stream_deliver(struct stream *s, const uint8_t *bytes, size_t len);
/* The peer's end, or an error of the receiving side. */
void stream_receive_ended(struct stream *s, int error);
/* Connected: the owner may be told. Its receive goes on, its output leaves. */
void stream_is_up(struct stream *s, bool tell);
/* Tells the owner that it is over. Between enter and leave. */
void stream_end(struct stream *s, int error);
/* Memory of output that was dealt with serves the next output of any stream. */
void stream_keep_buffer(struct stream *s, struct buffer *b);

/* --- stream_tls.c -------------------------------------------------------------------------------
 */
/* It will speak TLS; NULL: it will not. */
void stream_tls_attach(struct stream *s, struct tls *tls, enum tls_role role);
/* Begins the handshake on a connected stream. */
void stream_tls_begin(struct stream *s);
/* Ciphertext has arrived. Between enter and leave. */
void stream_tls_arrived(struct stream *s, const uint8_t *bytes, size_t len);
/* The peer's end, or an error, while shaking. Between enter and leave. */
void stream_tls_receive_ended(struct stream *s, int error);
/* Whether a handshake that waits for its turn can take more. */
bool stream_tls_takes_more(const struct stream *s);
/* ring_object_ops.work: a step of the handshake. */
void stream_tls_work(struct ring_object *object);
/* Moves the output, encrypted, to s->sending. */
void stream_tls_flush(struct stream *s);
/* Ciphertext that waits to be sent. */
size_t stream_tls_unsent(const struct stream *s);
/* Says goodbye, once: true when that must be sent first. */
bool stream_tls_farewell(struct stream *s);
/* Whether it failed and the peer is yet to hear why. */
bool stream_tls_has_alert(const struct stream *s);
void stream_tls_shut(struct stream *s); /* closed: nothing more in or out */
void stream_tls_free(struct stream *s);
