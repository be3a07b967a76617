/* TLS (RFC 8446, RFC 5246) with OpenSSL: contexts and sessions, without sockets.
 *
 * A `struct tls` holds what new connections are made with: certificates, keys, CAs, protocols.
 * It is made once; tls_reload puts new files in the place of the old ones at once and as a whole,
 * and sessions that exist go on with what they began with. A session turns bytes into bytes: what
 * arrived goes in, what is to be sent comes out in a buffer. io/stream.h puts it on a connection.
 *
 * Thread: a struct tls may be used by any thread (one short lock for each new session); a session
 * belongs to its stream's.
 */
#pragma once

#include "io/buffer.h"
#include "rules/limits.h"

#include <stdbool.h>

struct tls;
struct tls_session;

enum tls_auth { TLS_AUTH_NO, TLS_AUTH_YES, TLS_AUTH_OPTIONAL };

/* As configured (protocol.md §10); NULL or "" where not given. Borrowed until tls_new returns. */
struct tls_settings {
    const char *cert_file, *key_file, *key_file_pass;
    /* What outgoing connections show; without these: the certificate above. */
    const char *client_cert_file, *client_key_file, *client_key_file_pass;
    const char *ca_cert_file, *ca_cert_dir;
    enum tls_auth auth_clients;
    bool outgoing; /* connections will be made, too: CAs are a must */
    const char *protocols, *ciphers, *ciphersuites, *dh_params_file;
    bool prefer_server_ciphers;
    bool session_caching;
    unsigned session_cache_size, session_cache_timeout; /* sessions, seconds */
};

/* Loads everything. NULL on failure, with a sentence that names the file in error. */
struct tls *tls_new(const struct tls_settings *settings, char *error, size_t error_len);
/* Loads everything anew from the same paths. False: nothing has changed, error says why. */
bool tls_reload(struct tls *tls, char *error, size_t error_len);
/* No session may be made any more; those that exist may live on. NULL is fine. */
void tls_free(struct tls *tls);

/* A number that changes when one of the files, or the folder of CAs, was replaced or written. */
uint64_t tls_fingerprint(const struct tls *tls);

/* --- sessions -----------------------------------------------------------------------------------
 */
enum tls_role { TLS_SERVER, TLS_CLIENT };

enum tls_result {
    TLS_MORE,   /* everything that came in is used up; more must arrive */
    TLS_DONE,   /* the handshake is complete; or: something was read */
    TLS_CLOSED, /* the other side has said that nothing more will come */
    TLS_FAILED, /* see tls_why; the session is good for nothing but tls_session_free */
};

/* NULL: out of memory. */
struct tls_session *tls_session_new(struct tls *tls, enum tls_role role);
void tls_session_free(struct tls_session *session); /* NULL is fine */

/* What has arrived, in the place of what came before and should be used up; borrowed until one of
 * the next two has returned TLS_MORE or worse, or this is called with nothing. */
void tls_input(struct tls_session *session, const uint8_t *bytes, size_t len);
/* One step of the handshake: costs up to some milliseconds. What is to be sent, a fatal alert
 * included, is appended to out. */
enum tls_result tls_handshake(struct tls_session *session, struct buffer *out);
/* Decrypts up to `size` bytes. TLS_DONE: *got > 0. out: answers the protocol itself gives. */
enum tls_result tls_read(struct tls_session *session, uint8_t *room, size_t size, size_t *got,
                         struct buffer *out);
/* Encrypts. After TLS_DONE of the handshake only. False: failed, see tls_why. */
bool tls_write(struct tls_session *session, const uint8_t *bytes, size_t len, struct buffer *out);
/* Appends the notice that we send nothing more. */
void tls_shutdown(struct tls_session *session, struct buffer *out);
/* Why it failed, in OpenSSL's words, as stock logs it: "error:0A000086:SSL routines::certificate
 * verify failed", and for that one what was wrong with the certificate. Lives as long as the
 * session. */
const char *tls_why(const struct tls_session *session);
