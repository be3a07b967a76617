#include "certificates.h"

#include "log.h"

bool certificates_load(struct certificates *c, const struct config_tls *config, char *error,
                       size_t error_len)
{
    static const enum tls_auth auth[] = {[CONFIG_TLS_AUTH_NO] = TLS_AUTH_NO,
                                         [CONFIG_TLS_AUTH_YES] = TLS_AUTH_YES,
                                         [CONFIG_TLS_AUTH_OPTIONAL] = TLS_AUTH_OPTIONAL};
    struct tls_settings set = {
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .key_file_pass = config->key_file_pass,
        .client_cert_file = config->client_cert_file,
        .client_key_file = config->client_key_file,
        .client_key_file_pass = config->client_key_file_pass,
        .ca_cert_file = config->ca_cert_file,
        .ca_cert_dir = config->ca_cert_dir,
        .auth_clients = auth[config->auth_clients],
        .outgoing = config->replication,
        .protocols = config->protocols,
        .ciphers = config->ciphers,
        .ciphersuites = config->ciphersuites,
        .dh_params_file = config->dh_params_file,
        .prefer_server_ciphers = config->prefer_server_ciphers,
        .session_caching = config->session_caching,
        .session_cache_size = config->session_cache_size,
        .session_cache_timeout = config->session_cache_timeout,
    };
    *c = (struct certificates){0};
    if (config->port == 0 && !config->replication) {
        return true;
    }
    c->tls = tls_new(&set, error, error_len);
    if (c->tls == NULL) {
        return false;
    }
    c->loaded = c->seen = tls_fingerprint(c->tls);
    return true;
}

void certificates_reload(struct certificates *c)
{
    char error[1024];
    if (c->tls == NULL) {
        return;
    }
    c->loaded = c->seen = tls_fingerprint(c->tls); /* before: what changes meanwhile is seen */
    if (tls_reload(c->tls, error, sizeof error)) {
        log_printf(EVENT_NOTICE, "TLS certificates reloaded: new connections use them");
    } else {
        log_printf(EVENT_WARNING,
                   "TLS certificates cannot be reloaded, those loaded before stay in use: %s",
                   error);
    }
}

void certificates_watch(struct certificates *c)
{
    if (c->tls == NULL) {
        return;
    }
    uint64_t now = tls_fingerprint(c->tls);
    if (now == c->seen && now != c->loaded) {
        certificates_reload(c);
    }
    c->seen = now;
}

void certificates_free(struct certificates *c)
{
    tls_free(c->tls);
    c->tls = NULL;
}
