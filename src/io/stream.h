/* A TCP connection on a ring (design.md §3).
 *
 * Life: stream_connect or stream_adopt make it; it ends with the one down() callback, after which
 * it must not be touched, or with stream_close, after which no callback comes. Output gathers
 * while the turn runs and leaves with the ring's next ring_flush in one send; the bytes of a send
 * in flight are kept apart from what is appended meanwhile. Memory: about 300 bytes when idle
 * (with TLS some 20 KiB, OpenSSL's), output buffers exist only while there is output.
 *
 * Thread: its ring's. Callbacks: from ring_wait/ring_gather only (ring.h).
 */
#pragma once

#include "io/buffer.h"
#include "io/ring.h"
#include "io/tls.h"
#include "rules/types.h"

struct stream;

/* The owner's side; static, outlives the stream. All of these may close the stream. */
struct stream_ops {
    /* Connected (only after stream_connect). Its local and peer addresses are known. */
    void (*up)(void *owner);
    /* Bytes arrived, len > 0, borrowed until return. */
    void (*data)(void *owner, const uint8_t *bytes, size_t len);
    /* All output of a paused stream has been handed to the kernel: for an owner that stopped
     * reading until there is room. Others are not told: it would cost a turn after each turn that
     * sent something. May be NULL. */
    void (*drained)(void *owner);
    /* The last callback: the peer closed (error 0), or an errno value: connect failed (ETIMEDOUT
     * after LIMIT_CONNECT ms), reset, … After an error unsent output is lost; after 0, the peer may
     * only have closed its sending half, what is in the output still goes out as after
     * stream_close_after_flush. The stream is not the owner's any more after return; calling
     * stream_close in here is allowed (and drops the output). */
    void (*down)(void *owner, int error);
    /* ring_close dropped the stream (no down() then): for an owner to free itself. May be NULL.
     * Calls nothing of io/. */
    void (*abandoned)(void *owner);
};

/* Starts connecting, at most LIMIT_CONNECT ms. bind_or_null: the source address (its port is
 * usually 0). TCP_NODELAY and SO_KEEPALIVE are set. Never fails in the call: down() tells later. A
 * malformed address or port 0 gives down(EINVAL), descriptors that have run out (also
 * ring_options.budget) down(EMFILE). Output may be written at once; it leaves when
 * connected. */
struct stream *stream_connect(struct ring *ring, const struct address *to,
                              const struct address *bind_or_null, const struct stream_ops *ops,
                              void *owner);

/* Takes a connected stream socket in blocking mode (TCP; others have no addresses) and starts
 * reading. up() is
 * not called. keepalive: idle seconds before probing, 0: none. */
struct stream *stream_adopt(struct ring *ring, int fd, unsigned keepalive,
                            const struct stream_ops *ops, void *owner);

/* The same over TLS; tls NULL: plain. Above this line the only differences are: up(), and data()
 * of an adopted stream, come after the handshake, of which a turn does LIMIT_TLS_WORK ms worth and
 * the rest in its order; one that is not complete gives down(): ETIMEDOUT when the other side took
 * LIMIT_TLS_HANDSHAKE ms, ECONNREFUSED for an adopted one beyond LIMIT_TLS_PENDING, ECONNRESET
 * when the other side went, EPROTO with stream_why otherwise. tls is borrowed as long as the ring
 * lives. */
struct stream *stream_connect_tls(struct ring *ring, const struct address *to,
                                  const struct address *bind_or_null, struct tls *tls,
                                  const struct stream_ops *ops, void *owner);
struct stream *stream_adopt_tls(struct ring *ring, int fd, unsigned keepalive, struct tls *tls,
                                const struct stream_ops *ops, void *owner);
/* In down(): what TLS failed of (tls_why: "error:…"), borrowed until return. NULL: it did not. */
const char *stream_why(const struct stream *s);

/* Appends a copy of the bytes to the output; they leave with the next ring_flush. */
void stream_write(struct stream *s, const void *bytes, size_t len);
/* The same in place: append to the returned buffer, with buffer_* functions only, before the next
 * call of any function of io/. It may hold earlier output: never shorten it. */
struct buffer *stream_output(struct stream *s);
/* Bytes not yet handed to the kernel, those of a send in flight included. */
size_t stream_unsent(const struct stream *s);

/* Stops data() (bytes already on their way are kept) and with it, soon, reading, so that the peer
 * feels back-pressure. The end of the connection is noticed only after stream_resume. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s); /* data() again, from the next ring_wait or ring_gather on */
bool stream_paused(const struct stream *s);

/* An adopted stream goes on on another ring of the same thread, as soon as the kernel holds nothing
 * of it on the present one. Nothing is lost, order is kept. Until then callbacks come from the old
 * ring. */
void stream_move(struct stream *s, struct ring *ring);

/* Closes; no callback afterwards. Safe in every callback of this or another stream. Unsent output
 * is lost. Takes the stream: its memory goes when the kernel is done with it. */
void stream_close(struct stream *s);
/* Takes the stream: sends what is in the output (from the next ring_flush on), closes its sending
 * half, drops what still arrives, closes when the peer does (closing before would reset the
 * connection and could cost the peer the last output); after LIMIT_LINGER ms it closes in any case.
 * Beyond LIMIT_LINGERERS of the ring it does not wait for the peer. No callback afterwards. */
void stream_close_after_flush(struct stream *s);

/* The addresses, known from up() or stream_adopt on (IPv4-mapped ones as IPv4). False: unknown. */
bool stream_local(const struct stream *s, struct address *out);
bool stream_peer(const struct stream *s, struct address *out);
bool stream_is_tls(const struct stream *s);
/* The ring it lives on. */
struct ring *stream_ring(const struct stream *s);
