/* SHA-256 (FIPS 180-4): all that is kept of a password.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

void sha256(const void *bytes, size_t len, uint8_t out[SHA256_BYTES]);
/* In lower-case hex digits, NUL-terminated. */
void sha256_hex(const uint8_t digest[SHA256_BYTES], char out[2 * SHA256_BYTES + 1]);
