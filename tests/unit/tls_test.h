/* Certificates for the tests of TLS, made by the test itself in a folder of its own. */
#pragma once

#include "io/tls.h"
#include "io_test.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct pki {
    char dir[64];
    char cert[128], key[128], locked[128]; /* locked: the same key behind the password "sesame" */
    char other_cert[128], other_key[128];  /* another certificate of the same CA */
    char ca[128], foreign[128];            /* foreign: another CA */
};

static inline X509 *pki_certificate(const char *name, EVP_PKEY *key, X509 *issuer,
                                    EVP_PKEY *issuer_key, long serial)
{
    X509 *cert = X509_new();
    assert_non_null(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
    if (issuer == NULL) {
        X509_EXTENSION *ca =
            X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(cert, ca, -1);
        X509_EXTENSION_free(ca);
    }
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static inline void pki_write_key(const char *path, EVP_PKEY *key, const char *pass)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, pass != NULL ? EVP_aes_128_cbc() : NULL,
                                          (const unsigned char *)pass,
                                          pass != NULL ? (int)strlen(pass) : 0, NULL, NULL),
                     1);
    fclose(file);
}

static inline void pki_write_cert(const char *path, X509 *cert)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

/* Writes certificate `serial` and its key, signed by a new CA, into the place of the ones there. */
static inline void pki_make(struct pki *p, long serial)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256"),
             *other = EVP_EC_gen("P-256");
    X509 *ca = pki_certificate("ca", ca_key, NULL, ca_key, 1);
    X509 *cert = pki_certificate("node", key, ca, ca_key, serial);
    X509 *second = pki_certificate("other", other, ca, ca_key, serial + 1);
    X509 *foreign = pki_certificate("foreign", other, NULL, other, 2);
    pki_write_cert(p->ca, ca);
    pki_write_cert(p->cert, cert);
    pki_write_cert(p->other_cert, second);
    pki_write_cert(p->foreign, foreign);
    pki_write_key(p->key, key, NULL);
    pki_write_key(p->locked, key, "sesame");
    pki_write_key(p->other_key, other, NULL);
    X509 *certs[] = {ca, cert, second, foreign};
    EVP_PKEY *keys[] = {ca_key, key, other};
    for (size_t i = 0; i < 4; i++) {
        X509_free(certs[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY_free(keys[i]);
    }
}

static inline void pki_new(struct pki *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/vedette-tls.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    struct {
        char *path;
        const char *name;
    } all[] = {{p->cert, "node.crt"},        {p->key, "node.key"},        {p->locked, "locked.key"},
               {p->other_cert, "other.crt"}, {p->other_key, "other.key"}, {p->ca, "ca.crt"},
               {p->foreign, "foreign.crt"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(all[i].path, sizeof p->cert, "%s/%s", p->dir, all[i].name);
    }
    pki_make(p, 100);
}

static inline void pki_remove(struct pki *p)
{
    const char *all[] = {p->cert,      p->key, p->locked, p->other_cert,
                         p->other_key, p->ca,  p->foreign};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        unlink(all[i]);
    }
    rmdir(p->dir);
}

static inline struct tls_settings settings_of(const struct pki *p)
{
    return (struct tls_settings){.cert_file = p->cert,
                                 .key_file = p->key,
                                 .ca_cert_file = p->ca,
                                 .auth_clients = TLS_AUTH_YES,
                                 .outgoing = true,
                                 .session_caching = true,
                                 .session_cache_size = 20480,
                                 .session_cache_timeout = 300};
}

static inline struct tls *must_new(const struct tls_settings *set)
{
    char error[512] = "";
    struct tls *tls = tls_new(set, error, sizeof error);
    if (tls == NULL) {
        fail_msg("%s", error);
    }
    return tls;
}
