/* TLS contexts and sessions, without sockets: what one says is carried to the other by hand. */
#include "tls_test.h"

static struct pki pki;

/* --- what cannot be loaded ----------------------------------------------------------------------
 */
static void assert_refused(const struct tls_settings *set, const char *what)
{
    char error[512] = "";
    struct tls *tls = tls_new(set, error, sizeof error);
    if (tls != NULL) {
        tls_free(tls);
        fail_msg("accepted, in spite of: %s", what);
    }
    if (strstr(error, what) == NULL) {
        fail_msg("'%s' does not say '%s'", error, what);
    }
    assert_int_equal(ERR_peek_error(),
                     0); /* nothing is left for the next operation to stumble on */
}

static void errors_name_the_file(void **ctx)
{
    (void)ctx;
    const struct tls_settings good = settings_of(&pki);
    struct tls_settings set = good;
    char text[256];
    set.cert_file = NULL;
    assert_refused(&set, "No tls-cert-file configured!");
    set = good;
    set.key_file = "";
    assert_refused(&set, "No tls-key-file configured!");
    set = good;
    set.cert_file = "/nonexistent.crt";
    assert_refused(&set, "Failed to load certificate: /nonexistent.crt: ");
    set = good;
    set.key_file = "/nonexistent.key";
    assert_refused(&set, "Failed to load private key: /nonexistent.key: ");
    set = good;
    set.key_file = pki.other_key;
    snprintf(text, sizeof text, "Failed to load private key: %s: ", pki.other_key);
    assert_refused(&set, text);
    set = good;
    set.key_file = pki.cert; /* no key in there */
    assert_refused(&set, "Failed to load private key: ");
    set = good;
    set.key_file = pki.locked; /* no password: must not ask on the terminal */
    assert_refused(&set, "Failed to load private key: ");
    set.key_file_pass = "wrong";
    assert_refused(&set, "Failed to load private key: ");
    set.key_file_pass = "sesame";
    tls_free(must_new(&set));
    set = good;
    set.client_cert_file = pki.other_cert;
    set.client_key_file = pki.key;
    assert_refused(&set, "Failed to load private key: ");
    set = good;
    set.ca_cert_file = "/nonexistent.ca";
    assert_refused(&set, "Failed to configure CA certificate(s) file/directory: /nonexistent.ca: ");
    set.ca_cert_file = NULL;
    assert_refused(&set, "Either tls-ca-cert-file or tls-ca-cert-dir must be specified");
    set.auth_clients = TLS_AUTH_NO;
    assert_refused(&set, "Either tls-ca-cert-file or tls-ca-cert-dir must be specified");
    set.outgoing = false;
    tls_free(must_new(&set));
    set = good;
    set.ca_cert_file = NULL;
    set.ca_cert_dir = pki.dir;
    tls_free(must_new(&set));
}

static void words_are_checked(void **ctx)
{
    (void)ctx;
    const struct tls_settings good = settings_of(&pki);
    struct tls_settings set = good;
    static const char *const wrong[] = {"SSLv3", "TLSv1.2,TLSv1.3", "TLSv1.4", "TLSv"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        set.protocols = wrong[i];
        assert_refused(&set, "Invalid tls-protocols specified.");
    }
    set.protocols = " tlsv1.2  TLSV1.3 ";
    tls_free(must_new(&set));
    set = good;
    set.ciphers = "NONSENSE";
    assert_refused(&set, "Failed to configure ciphers: NONSENSE");
    set = good;
    set.ciphersuites = "NONSENSE";
    assert_refused(&set, "Failed to configure ciphersuites: NONSENSE");
    set = good;
    set.dh_params_file = "/nonexistent.dh";
    assert_refused(&set, "Failed to load /nonexistent.dh: No such file or directory");
    set.dh_params_file = pki.cert;
    assert_refused(&set, "Failed to read DH params from file: ");
    char path[128];
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    EVP_PKEY *params = NULL;
    assert_int_equal(EVP_PKEY_paramgen_init(maker), 1);
    assert_int_equal(EVP_PKEY_CTX_set_group_name(maker, "ffdhe2048"), 1);
    assert_int_equal(EVP_PKEY_paramgen(maker, &params), 1);
    snprintf(path, sizeof path, "%s/params.dh", pki.dir);
    BIO *file = BIO_new_file(path, "w");
    assert_int_equal(PEM_write_bio_Parameters(file, params), 1);
    BIO_free(file);
    EVP_PKEY_free(params);
    EVP_PKEY_CTX_free(maker);
    set.dh_params_file = path;
    tls_free(must_new(&set));
    unlink(path);
}

/* --- two sessions that talk ---------------------------------------------------------------------
 */
struct pair {
    struct tls_session *side[2]; /* server, client */
    struct buffer out[2];        /* what each has said */
    enum tls_result result[2];
    size_t grain; /* bytes carried at once; 0: all */
};

static void pair_new(struct pair *p, struct tls *server, struct tls *client)
{
    *p = (struct pair){.result = {TLS_MORE, TLS_MORE}};
    p->side[0] = tls_session_new(server, TLS_SERVER);
    p->side[1] = tls_session_new(client, TLS_CLIENT);
    assert_non_null(p->side[0]);
    assert_non_null(p->side[1]);
}

static void pair_free(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        tls_session_free(p->side[i]);
        buffer_free(&p->out[i]);
    }
}

/* Both until nothing is said any more. */
static void shake(struct pair *p)
{
    p->result[1] = tls_handshake(p->side[1], &p->out[1]);
    for (int turn = 0; p->out[0].len > 0 || p->out[1].len > 0; turn++) {
        assert_true(turn < 100000);
        for (int to = 0; to < 2; to++) {
            int from = 1 - to;
            size_t len = p->out[from].len;
            len = p->grain > 0 && len > p->grain ? p->grain : len;
            if (len == 0 || p->result[to] == TLS_FAILED) {
                p->out[from].len = p->result[to] == TLS_FAILED ? 0 : p->out[from].len;
                continue;
            }
            tls_input(p->side[to], p->out[from].data, len);
            if (p->result[to] == TLS_MORE) {
                p->result[to] = tls_handshake(p->side[to], &p->out[to]);
            }
            if (p->result[to] == TLS_DONE) { /* tickets, or the refusal of what was sent */
                uint8_t room[64];
                size_t got;
                enum tls_result read = tls_read(p->side[to], room, sizeof room, &got, &p->out[to]);
                assert_true(read == TLS_MORE || read == TLS_FAILED);
                p->result[to] = read == TLS_FAILED ? TLS_FAILED : TLS_DONE;
            }
            tls_input(p->side[to], NULL, 0);
            buffer_consume(&p->out[from], len);
        }
    }
}

static void says(struct pair *p, int from, const void *text, size_t len, size_t grain)
{
    struct buffer got = {0};
    int to = 1 - from;
    assert_true(tls_write(p->side[from], text, len, &p->out[from]));
    assert_true(len == 0 || p->out[from].len > len);
    for (size_t at = 0; at < p->out[from].len;) {
        size_t part = p->out[from].len - at;
        part = grain > 0 && part > grain ? grain : part;
        uint8_t room[1000];
        size_t n;
        enum tls_result result;
        tls_input(p->side[to], p->out[from].data + at, part);
        while ((result = tls_read(p->side[to], room, sizeof room, &n, &p->out[to])) == TLS_DONE) {
            buffer_append(&got, room, n);
        }
        assert_int_equal(result, TLS_MORE);
        at += part;
    }
    p->out[from].len = 0;
    assert_int_equal(got.len, len);
    assert_memory_equal(got.data, text, len);
    buffer_free(&got);
}

static void both_ways_at_any_grain(void **ctx)
{
    (void)ctx;
    static const char *const protocols[] = {"TLSv1.2", "TLSv1.3", NULL};
    static uint8_t large[100000];
    memset(large, 'x', sizeof large);
    for (size_t i = 0; i < 3; i++) {
        struct tls_settings set = settings_of(&pki);
        set.protocols = protocols[i];
        struct tls *tls = must_new(&set);
        for (size_t grain = 0; grain < 3; grain++) {
            struct pair p;
            pair_new(&p, tls, tls);
            p.grain = grain;
            shake(&p);
            assert_int_equal(p.result[0], TLS_DONE);
            assert_int_equal(p.result[1], TLS_DONE);
            says(&p, 1, "PING\r\n", 6, 1);
            says(&p, 0, "+PONG\r\n", 7, 0);
            says(&p, 0, large, sizeof large, 1 + 999 * grain);
            says(&p, 1, "", 0, 0);
            pair_free(&p);
        }
        tls_free(tls);
    }
}

static void goodbye_is_heard(void **ctx)
{
    (void)ctx;
    struct tls_settings set = settings_of(&pki);
    struct tls *tls = must_new(&set);
    struct pair p;
    uint8_t room[64];
    size_t got;
    pair_new(&p, tls, tls);
    tls_shutdown(p.side[0], &p.out[0]); /* before the handshake: says nothing */
    assert_int_equal(p.out[0].len, 0);
    shake(&p);
    assert_true(tls_write(p.side[0], (const uint8_t *)"bye", 3, &p.out[0]));
    tls_shutdown(p.side[0], &p.out[0]);
    tls_input(p.side[1], p.out[0].data, p.out[0].len);
    assert_int_equal(tls_read(p.side[1], room, sizeof room, &got, &p.out[1]), TLS_DONE);
    assert_int_equal(got, 3);
    assert_int_equal(tls_read(p.side[1], room, sizeof room, &got, &p.out[1]), TLS_CLOSED);
    /* The other direction is open: half a close. */
    p.out[0].len = p.out[1].len = 0;
    says(&p, 1, "more", 4, 0);
    pair_free(&p);
    tls_free(tls);
}

static void garbage_fails(void **ctx)
{
    (void)ctx;
    struct tls_settings set = settings_of(&pki);
    struct tls *tls = must_new(&set);
    static const char *const wrong[] = {"PING\r\n", "GET / HTTP/1.1\r\n\r\n",
                                        "\x16\x03\x01\xff\xff....................", "*1\r\n$4\r\n"};
    for (size_t i = 0; i < 4; i++) {
        struct tls_session *s = tls_session_new(tls, TLS_SERVER);
        struct buffer out = {0};
        tls_input(s, (const uint8_t *)wrong[i], strlen(wrong[i]));
        assert_int_equal(tls_handshake(s, &out), TLS_FAILED);
        assert_int_equal(strncmp(tls_why(s), "error:", 6), 0);
        assert_int_equal(ERR_peek_error(), 0);
        assert_false(tls_write(s, (const uint8_t *)"x", 1, &out));
        tls_session_free(s);
        buffer_free(&out);
    }
    /* A record changed on its way. */
    struct pair p;
    uint8_t room[64];
    size_t got;
    pair_new(&p, tls, tls);
    shake(&p);
    assert_true(tls_write(p.side[1], (const uint8_t *)"PING\r\n", 6, &p.out[1]));
    p.out[1].data[p.out[1].len - 1] ^= 1;
    tls_input(p.side[0], p.out[1].data, p.out[1].len);
    assert_int_equal(tls_read(p.side[0], room, sizeof room, &got, &p.out[0]), TLS_FAILED);
    assert_true(p.out[0].len > 0); /* an alert */
    pair_free(&p);
    tls_free(tls);
}

/* --- who is let in ------------------------------------------------------------------------------
 */
static bool meet(struct tls *server, struct tls *client, char *why, size_t size)
{
    struct pair p;
    pair_new(&p, server, client);
    shake(&p);
    bool ok = p.result[0] == TLS_DONE && p.result[1] == TLS_DONE;
    if (why != NULL) {
        snprintf(why, size, "%s", tls_why(p.side[p.result[0] == TLS_FAILED ? 0 : 1]));
    }
    pair_free(&p);
    return ok;
}

static void certificates_are_verified(void **ctx)
{
    (void)ctx;
    char why[200];
    struct tls_settings good = settings_of(&pki), foreign = good;
    foreign.ca_cert_file = pki.foreign;
    struct tls *ours = must_new(&good), *theirs = must_new(&foreign);
    assert_true(meet(ours, ours, NULL, 0));
    assert_false(meet(theirs, ours, why, sizeof why)); /* the server knows another CA */
    assert_non_null(strstr(why, "certificate verify failed: "));
    assert_false(meet(ours, theirs, NULL, 0)); /* the client does */
    good.auth_clients = TLS_AUTH_NO;
    foreign.auth_clients = TLS_AUTH_NO;
    struct tls *any = must_new(&foreign);
    assert_true(meet(any, ours, NULL, 0)); /* this server does not look */
    tls_free(ours);
    tls_free(theirs);
    tls_free(any);
}

static long shown_serial(struct tls *tls, enum tls_role of)
{
    /* Seen from a plain OpenSSL on the other side of memory BIOs. */
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, pki.other_cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, pki.other_key, SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_verify(ctx, of == TLS_CLIENT ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    assert_int_equal(SSL_CTX_load_verify_locations(ctx, pki.ca, NULL), 1);
    SSL *plain = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(plain, in, out);
    if (of == TLS_CLIENT) {
        SSL_set_accept_state(plain);
    } else {
        SSL_set_connect_state(plain);
    }
    struct tls_session *s = tls_session_new(tls, of);
    struct buffer said = {0};
    for (int i = 0; i < 10; i++) {
        char *bytes;
        (void)SSL_do_handshake(plain);
        long len = BIO_get_mem_data(out, &bytes);
        tls_input(s, (const uint8_t *)bytes, (size_t)len);
        (void)tls_handshake(s, &said);
        tls_input(s, NULL, 0);
        (void)BIO_reset(out);
        if (said.len > 0) {
            BIO_write(in, said.data, (int)said.len);
        }
        said.len = 0;
    }
    X509 *cert = SSL_get1_peer_certificate(plain);
    assert_non_null(cert);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(cert));
    X509_free(cert);
    tls_session_free(s);
    buffer_free(&said);
    SSL_free(plain);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return serial;
}

static void a_client_certificate_of_its_own(void **ctx)
{
    (void)ctx;
    struct tls_settings set = settings_of(&pki);
    struct tls *tls = must_new(&set);
    assert_int_equal(shown_serial(tls, TLS_SERVER), 100);
    assert_int_equal(shown_serial(tls, TLS_CLIENT), 100);
    tls_free(tls);
    set.client_cert_file = pki.other_cert;
    set.client_key_file = pki.other_key;
    tls = must_new(&set);
    assert_int_equal(shown_serial(tls, TLS_SERVER), 100);
    assert_int_equal(shown_serial(tls, TLS_CLIENT), 101);
    tls_free(tls);
}

/* --- reloading ----------------------------------------------------------------------------------
 */
static void new_files_serve_new_sessions(void **ctx)
{
    (void)ctx;
    struct pki mine;
    pki_new(&mine);
    struct pki was = pki;
    pki = mine;
    struct tls_settings set = settings_of(&pki);
    struct tls *tls = must_new(&set);
    uint64_t before = tls_fingerprint(tls);
    struct pair old;
    char error[512];
    pair_new(&old, tls, tls);
    shake(&old);
    assert_int_equal(before, tls_fingerprint(tls));

    pki_make(&pki, 200);
    assert_int_not_equal(before, tls_fingerprint(tls));
    assert_true(tls_reload(tls, error, sizeof error));
    assert_int_equal(shown_serial(tls, TLS_SERVER), 200);
    says(&old, 1, "still here", 10, 0); /* what stood goes on */

    /* A key that does not fit: the old ones stay. */
    assert_int_equal(unlink(pki.key), 0);
    assert_int_equal(link(pki.other_key, pki.key), 0);
    assert_false(tls_reload(tls, error, sizeof error));
    assert_non_null(strstr(error, pki.key));
    assert_int_equal(shown_serial(tls, TLS_SERVER), 200);
    before = tls_fingerprint(tls);
    assert_int_equal(unlink(pki.key), 0);
    assert_int_not_equal(before, tls_fingerprint(tls));
    says(&old, 0, "still here", 10, 0);
    pair_free(&old);
    tls_free(tls);
    pki_remove(&pki);
    pki = was;
}

static int make(void **ctx)
{
    (void)ctx;
    pki_new(&pki);
    return 0;
}

static int unmake(void **ctx)
{
    (void)ctx;
    pki_remove(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_the_file),
        cmocka_unit_test(words_are_checked),
        cmocka_unit_test(both_ways_at_any_grain),
        cmocka_unit_test(goodbye_is_heard),
        cmocka_unit_test(garbage_fails),
        cmocka_unit_test(certificates_are_verified),
        cmocka_unit_test(a_client_certificate_of_its_own),
        cmocka_unit_test(new_files_serve_new_sessions),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
