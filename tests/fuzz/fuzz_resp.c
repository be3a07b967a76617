/* Requests of hostile clients: the same requests whatever the pieces they come in, no look behind
 * what has come, bounds kept. */
#include "admin/resp.h"
#include "rules/glob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the stream gave, folded into a number. */
struct sum {
    uint64_t hash, requests;
    bool bad;
};

static void add(struct sum *sum, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum->hash = (sum->hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    }
    sum->hash = (sum->hash ^ len) * 1099511628211u;
}

static void take(struct sum *sum, struct resp_parser *p, const uint8_t *base, size_t len)
{
    sum->requests++;
    assert(p->consumed > 0 && p->consumed <= len);
    for (size_t i = 0; i < p->count; i++) {
        const uint8_t *text = (const uint8_t *)p->args[i].text;
        assert(p->args[i].len <= LIMIT_REQUEST_BYTES);
        /* Inside what was given, or unquoted inside the parser. */
        assert((text >= base && text + p->args[i].len <= base + len) ||
               (text >= p->line.data && text + p->args[i].len <= p->line.data + p->line.cap));
        add(sum, text, p->args[i].len);
    }
    if (p->count >= 2) {
        (void)glob_match(p->args[0].text, p->args[0].len, p->args[1].text, p->args[1].len, true);
    }
}

static struct sum feed(const uint8_t *data, size_t size, size_t piece, bool strict)
{
    struct resp_parser p;
    struct sum sum = {0};
    size_t start = 0;

    resp_init(&p);
    for (size_t end = piece; !sum.bad; end += piece) {
        end = end < size ? end : size;
        enum resp_result result;
        for (;;) {
            size_t len = end - start;
            uint8_t *exact = malloc(len ? len : 1);
            assert(exact);
            memcpy(exact, data + start, len);
            p.strict = strict;
            result = resp_parse(&p, exact, len);
            if (result == RESP_REQUEST) {
                take(&sum, &p, exact, len);
                start += p.consumed;
                resp_shrink(&p);
            }
            free(exact);
            if (result != RESP_REQUEST) {
                break;
            }
        }
        sum.bad = result == RESP_BAD;
        if (end == size) {
            break;
        }
    }
    if (sum.bad) {
        assert(strncmp(p.error, "Protocol error: ", 16) == 0 && strlen(p.error) < sizeof p.error);
    }
    resp_free(&p);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536) {
        return 0;
    }
    bool strict = data[0] & 1;
    struct sum whole = feed(data + 1, size - 1, size, strict);
    struct sum pieces = feed(data + 1, size - 1, 1 + data[0] / 2 % 16, strict);
    assert(whole.hash == pieces.hash && whole.requests == pieces.requests &&
           whole.bad == pieces.bad);
    return 0;
}
