#include "io/tls.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* The files of one load. Immutable once made. */
struct context {
    SSL_CTX *server;
    SSL_CTX *client; /* may be the same one */
};

struct tls {
    struct tls_settings set; /* own copies of the texts */
    pthread_mutex_t lock;    /* of `now`: held for the time of counting a reference */
    struct context now;
};

struct tls_session {
    SSL *ssl;
    const uint8_t *in; /* borrowed */
    size_t in_len;
    struct buffer *out; /* where what SSL writes goes; NULL outside of the calls */
    bool broken;        /* failed: no alert may follow */
    char why[256];
};

/* --- words --------------------------------------------------------------------------------------
 */
static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* The last error of OpenSSL's queue, as stock writes it. Empties the queue. */
static void reason_of(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    if (code == 0) {
        (void)snprintf(out, size, "unknown error");
    } else {
        ERR_error_string_n(code, out, size);
    }
    ERR_clear_error();
}

static bool failed(char *error, size_t len, const char *what, const char *file)
{
    char reason[256];
    reason_of(reason, sizeof reason);
    (void)snprintf(error, len, "%s: %s: %s", what, file, reason);
    return false;
}

/* --- contexts -----------------------------------------------------------------------------------
 */
/* Never asks on the terminal: without a password a key that needs one is an error. */
static int give_password(char *out, int size, int writing, void *pass)
{
    (void)writing;
    size_t len = pass != NULL ? strlen(pass) : 0;
    if (len > (size_t)size) {
        return -1;
    }
    if (len > 0) {
        memcpy(out, pass, len);
    }
    return (int)len;
}

static bool set_protocols(SSL_CTX *ctx, const char *words, char *error, size_t error_len)
{
    static const struct {
        const char *name;
        uint64_t without;
    } known[] = {{"TLSv1", SSL_OP_NO_TLSv1},
                 {"TLSv1.1", SSL_OP_NO_TLSv1_1},
                 {"TLSv1.2", SSL_OP_NO_TLSv1_2},
                 {"TLSv1.3", SSL_OP_NO_TLSv1_3}};
    const size_t count = sizeof known / sizeof known[0];
    uint64_t without = SSL_OP_NO_SSLv3;
    for (size_t i = 0; i < count; i++) {
        without |= known[i].without;
    }
    for (const char *at = given(words) ? words : "TLSv1.2 TLSv1.3"; *at != '\0';) {
        size_t len = strcspn(at, " "), i = 0;
        while (i < count &&
               (strlen(known[i].name) != len || strncasecmp(known[i].name, at, len) != 0)) {
            i++;
        }
        if (len > 0 && i == count) {
            (void)snprintf(error, error_len,
                           "Invalid tls-protocols specified. Use a combination of 'TLSv1', "
                           "'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
            return false;
        }
        if (len > 0) {
            without &= ~known[i].without;
        }
        at += len + (at[len] == ' ');
    }
    SSL_CTX_set_options(ctx, without);
    return true;
}

static bool set_certificate(SSL_CTX *ctx, const char *cert, const char *key, const char *pass,
                            char *error, size_t error_len)
{
    SSL_CTX_set_default_passwd_cb(ctx, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)(uintptr_t)pass);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        return failed(error, error_len, "Failed to load certificate", cert);
    }
    /* Says no to a key of another certificate, too. */
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        return failed(error, error_len, "Failed to load private key", key);
    }
    return true;
}

static bool set_dh_params(SSL_CTX *ctx, const char *file, char *error, size_t error_len)
{
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL) {
        (void)snprintf(error, error_len, "Failed to load %s: %s", file, strerror(errno));
        ERR_clear_error();
        return false;
    }
    EVP_PKEY *params = PEM_read_bio_Parameters(bio, NULL);
    BIO_free(bio);
    if (params == NULL) {
        return failed(error, error_len, "Failed to read DH params from file", file);
    }
    if (SSL_CTX_set0_tmp_dh_pkey(ctx, params) != 1) { /* takes it only on success */
        EVP_PKEY_free(params);
        return failed(error, error_len, "Failed to use DH params of file", file);
    }
    return true;
}

static bool set_ciphers(SSL_CTX *ctx, const struct tls_settings *set, char *error, size_t error_len)
{
    if (given(set->ciphers) && SSL_CTX_set_cipher_list(ctx, set->ciphers) != 1) {
        (void)snprintf(error, error_len, "Failed to configure ciphers: %s", set->ciphers);
        return false;
    }
    if (given(set->ciphersuites) && SSL_CTX_set_ciphersuites(ctx, set->ciphersuites) != 1) {
        (void)snprintf(error, error_len, "Failed to configure ciphersuites: %s", set->ciphersuites);
        return false;
    }
    return true;
}

static bool set_authorities(SSL_CTX *ctx, const struct tls_settings *set, char *error,
                            size_t error_len)
{
    const char *file = given(set->ca_cert_file) ? set->ca_cert_file : NULL;
    const char *dir = given(set->ca_cert_dir) ? set->ca_cert_dir : NULL;
    if (file == NULL && dir == NULL) {
        if (set->outgoing || set->auth_clients != TLS_AUTH_NO) {
            (void)snprintf(error, error_len,
                           "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when "
                           "tls-cluster, tls-replication or tls-auth-clients are enabled!");
            return false;
        }
        return true;
    }
    return SSL_CTX_load_verify_locations(ctx, file, dir) == 1 ||
           failed(error, error_len, "Failed to configure CA certificate(s) file/directory",
                  file != NULL ? file : dir);
}

static void set_sessions(SSL_CTX *ctx, const struct tls_settings *set)
{
    static const unsigned char id[] = "vedette";
    if (!set->session_caching) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, (long)set->session_cache_size);
    (void)SSL_CTX_set_timeout(ctx, (long)set->session_cache_timeout);
    /* Without it a client with a certificate could not resume. */
    (void)SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
}

static SSL_CTX *context_new(const struct tls_settings *set, bool client, char *error,
                            size_t error_len)
{
    const char *cert = client ? set->client_cert_file : set->cert_file;
    const char *key = client ? set->client_key_file : set->key_file;
    const char *pass = client ? set->client_key_file_pass : set->key_file_pass;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (ctx == NULL) {
        (void)failed(error, error_len, "Failed to configure TLS", "no context");
        return NULL;
    }
    uint64_t options = SSL_OP_SINGLE_DH_USE | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                       SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS;
    if (set->prefer_server_ciphers) {
        options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
    }
    SSL_CTX_set_options(ctx, options);
    /* Thousands of idle connections: each gives its two buffers of 17 KiB back. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    set_sessions(ctx, set);
    if (set_protocols(ctx, set->protocols, error, error_len) &&
        set_certificate(ctx, cert, key, given(pass) ? pass : NULL, error, error_len) &&
        set_authorities(ctx, set, error, error_len) &&
        (!given(set->dh_params_file) ||
         set_dh_params(ctx, set->dh_params_file, error, error_len)) &&
        set_ciphers(ctx, set, error, error_len)) {
        /* The texts it names are the struct tls', which a session may outlive. */
        SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
        ERR_clear_error();
        return ctx;
    }
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

static bool load(const struct tls_settings *set, struct context *out, char *error, size_t error_len)
{
    if (!given(set->cert_file) || !given(set->key_file)) {
        (void)snprintf(error, error_len, "No %s configured!",
                       given(set->cert_file) ? "tls-key-file" : "tls-cert-file");
        return false;
    }
    out->server = context_new(set, false, error, error_len);
    if (out->server == NULL) {
        return false;
    }
    out->client = out->server;
    if (given(set->client_cert_file) && given(set->client_key_file)) {
        out->client = context_new(set, true, error, error_len);
        if (out->client == NULL) {
            SSL_CTX_free(out->server);
            return false;
        }
    } else {
        (void)SSL_CTX_up_ref(out->server);
    }
    return true;
}

static void context_free(struct context *context)
{
    SSL_CTX_free(context->server);
    SSL_CTX_free(context->client);
}

/* All texts of the settings. */
#define TEXTS 12
static void texts_of(struct tls_settings *set, const char ***out)
{
    const char **all[TEXTS] = {
        &set->cert_file,        &set->key_file,        &set->key_file_pass,
        &set->client_cert_file, &set->client_key_file, &set->client_key_file_pass,
        &set->ca_cert_file,     &set->ca_cert_dir,     &set->protocols,
        &set->ciphers,          &set->ciphersuites,    &set->dh_params_file};
    memcpy(out, all, sizeof all);
}

struct tls *tls_new(const struct tls_settings *settings, char *error, size_t error_len)
{
    struct context context;
    const char **texts[TEXTS];
    if (!load(settings, &context, error, error_len)) {
        return NULL;
    }
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        abort();
    }
    tls->set = *settings;
    tls->now = context;
    texts_of(&tls->set, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        *texts[i] = strdup(*texts[i] != NULL ? *texts[i] : "");
        if (*texts[i] == NULL) {
            abort();
        }
    }
    pthread_mutex_init(&tls->lock, NULL);
    return tls;
}

bool tls_reload(struct tls *tls, char *error, size_t error_len)
{
    struct context fresh, old;
    if (!load(&tls->set, &fresh, error, error_len)) {
        return false;
    }
    pthread_mutex_lock(&tls->lock);
    old = tls->now;
    tls->now = fresh;
    pthread_mutex_unlock(&tls->lock);
    context_free(&old);
    return true;
}

void tls_free(struct tls *tls)
{
    const char **texts[TEXTS];
    if (tls == NULL) {
        return;
    }
    context_free(&tls->now);
    texts_of(&tls->set, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        free((void *)(uintptr_t)*texts[i]);
    }
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3u;
}

uint64_t tls_fingerprint(const struct tls *tls)
{
    const struct tls_settings *set = &tls->set;
    const char *files[] = {set->cert_file,       set->key_file,     set->client_cert_file,
                           set->client_key_file, set->ca_cert_file, set->ca_cert_dir,
                           set->dh_params_file};
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct stat is;
        if (!given(files[i]) || stat(files[i], &is) != 0) {
            hash = mix(hash, i);
            continue;
        }
        hash = mix(mix(hash, (uint64_t)is.st_dev), (uint64_t)is.st_ino);
        hash = mix(mix(hash, (uint64_t)is.st_size), (uint64_t)is.st_mtim.tv_sec);
        hash = mix(mix(hash, (uint64_t)is.st_mtim.tv_nsec), (uint64_t)is.st_ctim.tv_nsec);
    }
    return hash;
}

/* --- bytes in and out ---------------------------------------------------------------------------
 * A BIO over a borrowed span and a growing buffer: OpenSSL's own memory BIOs would copy everything
 * once more and keep their memory for the life of the connection. */
static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0 || session->out == NULL) {
        return 0;
    }
    buffer_append(session->out, bytes, (size_t)len);
    return len;
}

static int bio_read(BIO *bio, char *room, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = session->in_len < (size_t)size ? session->in_len : (size_t)size;
    memcpy(room, session->in, len);
    session->in += len;
    session->in_len -= len;
    return (int)len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void bio_free_method(void)
{
    BIO_meth_free(bio_method);
}

static void bio_make_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "vedette stream");
    if (bio_method == NULL || BIO_meth_set_write(bio_method, bio_write) != 1 ||
        BIO_meth_set_read(bio_method, bio_read) != 1 ||
        BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1 || atexit(bio_free_method) != 0) {
        abort();
    }
}

/* --- sessions -----------------------------------------------------------------------------------
 */
struct tls_session *tls_session_new(struct tls *tls, enum tls_role role)
{
    static const int verify[] = {
        [TLS_AUTH_NO] = SSL_VERIFY_NONE,
        [TLS_AUTH_YES] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [TLS_AUTH_OPTIONAL] = SSL_VERIFY_PEER,
    };
    (void)pthread_once(&bio_once, bio_make_method);
    ERR_clear_error();
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *ctx = role == TLS_SERVER ? tls->now.server : tls->now.client;
    (void)SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->lock);
    SSL *ssl = SSL_new(ctx); /* has a reference of its own */
    SSL_CTX_free(ctx);
    BIO *bio = BIO_new(bio_method);
    struct tls_session *session = calloc(1, sizeof *session);
    if (ssl == NULL || bio == NULL || session == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        free(session);
        ERR_clear_error();
        return NULL;
    }
    session->ssl = ssl;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); /* takes it */
    if (role == TLS_SERVER) {
        SSL_set_verify(ssl, verify[tls->set.auth_clients], NULL);
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (session != NULL) {
        SSL_free(session->ssl);
        free(session);
    }
}

void tls_input(struct tls_session *session, const uint8_t *bytes, size_t len)
{
    session->in = bytes;
    session->in_len = len;
}

/* After an operation that did not go through: what it was. */
static enum tls_result result_of(struct tls_session *session, int rc)
{
    int error = SSL_get_error(session->ssl, rc);
    session->out = NULL;
    if (error == SSL_ERROR_WANT_READ) {
        assert(session->in_len == 0);
        return TLS_MORE;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        session->in_len = 0;
        return TLS_CLOSED;
    }
    char reason[128] = "error: TLS failed";
    unsigned long code = ERR_peek_error();
    if (code != 0) {
        ERR_error_string_n(code, reason, sizeof reason);
    }
    long verified = SSL_get_verify_result(session->ssl);
    (void)snprintf(session->why, sizeof session->why, "%s%s%s", reason,
                   verified != X509_V_OK ? ": " : "",
                   verified != X509_V_OK ? X509_verify_cert_error_string(verified) : "");
    ERR_clear_error();
    session->in_len = 0;
    session->broken = true;
    return TLS_FAILED;
}

enum tls_result tls_handshake(struct tls_session *session, struct buffer *out)
{
    ERR_clear_error();
    session->out = out;
    int rc = SSL_do_handshake(session->ssl);
    if (rc == 1) {
        session->out = NULL;
        return TLS_DONE;
    }
    return result_of(session, rc);
}

enum tls_result tls_read(struct tls_session *session, uint8_t *room, size_t size, size_t *got,
                         struct buffer *out)
{
    ERR_clear_error();
    session->out = out;
    int rc = SSL_read_ex(session->ssl, room, size, got);
    if (rc == 1) {
        session->out = NULL;
        return TLS_DONE;
    }
    return result_of(session, rc);
}

bool tls_write(struct tls_session *session, const uint8_t *bytes, size_t len, struct buffer *out)
{
    size_t written = 0;
    if (len == 0) {
        return true;
    }
    if (session->broken) {
        return false;
    }
    ERR_clear_error();
    session->out = out;
    int rc = SSL_write_ex(session->ssl, bytes, len, &written);
    if (rc != 1) {
        (void)result_of(session, rc);
        session->broken = true;
        return false;
    }
    session->out = NULL;
    assert(written == len); /* without SSL_MODE_ENABLE_PARTIAL_WRITE, to a BIO that takes all */
    return true;
}

void tls_shutdown(struct tls_session *session, struct buffer *out)
{
    if (session->broken || !SSL_is_init_finished(session->ssl)) {
        return;
    }
    ERR_clear_error();
    session->out = out;
    (void)SSL_shutdown(session->ssl);
    session->out = NULL;
    ERR_clear_error();
}

const char *tls_why(const struct tls_session *session)
{
    return session->why;
}
