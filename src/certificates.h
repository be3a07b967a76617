/* TLS certificates: loaded at start, and again when their files have changed.
 *
 * Thread: main.
 */
#pragma once

#include "config/config.h"
#include "io/tls.h"

#include <stdint.h>

struct certificates {
    struct tls *tls; /* NULL: TLS is not in use */
    uint64_t loaded; /* the files as they were when they were loaded, or tried */
    uint64_t seen;   /* as they were a second ago */
};

/* Loads what a configuration with a tls-port or tls-replication asks for. False: error says what
 * is wrong with which file. */
bool certificates_load(struct certificates *c, const struct config_tls *config, char *error,
                       size_t error_len);
/* Once a second: loads the files again when they have changed, and have then been left alone for a
 * second: a certificate and its key are two writes. New connections use the new ones. If they
 * cannot be loaded, the log says so once, and the old ones stay in use. */
void certificates_watch(struct certificates *c);
/* The same at once and in any case (SIGHUP). */
void certificates_reload(struct certificates *c);
void certificates_free(struct certificates *c);
