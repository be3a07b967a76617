/* Keeps texts that resemble each other small: INFO replies, of which every instance's last one is
 * kept for SENTINEL INFO-CACHE. A packed text says where it differs, line by line, from a template
 * (another such text): about a fifth of it remains, for a few microseconds.
 *
 * Thread: plain values; a template may be read by any number of threads.
 */
#pragma once

#include "io/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* At most this many bytes in a template or a text. */
#define TEXT_PACK_MOST ((size_t)1 << 20)

struct text_template {
    char *text;
    uint32_t *starts; /* [lines + 1]: where each line begins, and the end */
    uint32_t lines;
};

/* Makes a template of a copy of text. Aborts when memory is out. */
void text_template_init(struct text_template *t, const char *text, size_t len);
void text_template_free(struct text_template *t);

/* Appends the packed form of text to out. Any bytes are a text. */
void text_pack(const struct text_template *t, const char *text, size_t len, struct buffer *out);
/* Appends the text. False: packed is not what text_pack made with this template (out has part of
 * it). */
bool text_unpack(const struct text_template *t, const uint8_t *packed, size_t len,
                 struct buffer *out);
