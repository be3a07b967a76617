#include "rules/hello.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* In the order of the message. */
enum field {
    FIELD_IP,
    FIELD_PORT,
    FIELD_RUNID,
    FIELD_CURRENT_EPOCH,
    FIELD_NAME,
    FIELD_MASTER_IP,
    FIELD_MASTER_PORT,
    FIELD_CONFIG_EPOCH,
    FIELD_COUNT
};

struct fields {
    const char *text[FIELD_COUNT];
    size_t len[FIELD_COUNT];
};

/* True when there are exactly FIELD_COUNT. */
static bool split(struct fields *fields, const char *text, size_t len)
{
    const char *end = text + len;
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        if ((comma == NULL) != (i == FIELD_COUNT - 1))
            return false;
        fields->text[i] = text;
        fields->len[i] = (size_t)((comma != NULL ? comma : end) - text);
        text = comma != NULL ? comma + 1 : end;
    }
    return true;
}

static bool parse_address(const struct fields *fields, enum field ip, enum field port,
                          struct address *out)
{
    uint64_t number;
    if (!parse_u64(fields->text[port], fields->len[port], UINT16_MAX, &number) || number == 0)
        return false;
    return address_set(out, fields->text[ip], fields->len[ip], (int64_t)number);
}

static bool parse_epoch(const struct fields *fields, enum field field, uint64_t *out)
{
    return parse_u64(fields->text[field], fields->len[field], LIMIT_EPOCH, out);
}

bool hello_parse(struct hello *hello, const char *text, size_t len)
{
    assert(hello != NULL);
    struct fields fields;
    if (len == 0 || len > LIMIT_HELLO || !split(&fields, text, len))
        return false;
    if (!parse_address(&fields, FIELD_IP, FIELD_PORT, &hello->sentinel) ||
        !parse_address(&fields, FIELD_MASTER_IP, FIELD_MASTER_PORT, &hello->master))
        return false;
    if (!runid_parse(&hello->runid, fields.text[FIELD_RUNID], fields.len[FIELD_RUNID]))
        return false;
    if (!parse_epoch(&fields, FIELD_CURRENT_EPOCH, &hello->current_epoch) ||
        !parse_epoch(&fields, FIELD_CONFIG_EPOCH, &hello->config_epoch))
        return false;

    const size_t name_len = fields.len[FIELD_NAME];
    if (name_len == 0 || name_len > LIMIT_NAME)
        return false;
    if (memchr(fields.text[FIELD_NAME], '\0', name_len) != NULL)
        return false; /* it would pass for the shorter name before the NUL */
    memcpy(hello->name, fields.text[FIELD_NAME], name_len);
    hello->name[name_len] = '\0';
    return true;
}

size_t hello_format(const struct hello *hello, char out[LIMIT_HELLO + 1])
{
    assert(runid_known(&hello->runid) && hello->name[0] != '\0');
    const int len =
        snprintf(out, LIMIT_HELLO + 1, "%s,%u,%s,%" PRIu64 ",%s,%s,%u,%" PRIu64, hello->sentinel.ip,
                 (unsigned)hello->sentinel.port, hello->runid.hex, hello->current_epoch,
                 hello->name, hello->master.ip, (unsigned)hello->master.port, hello->config_epoch);
    assert(len > 0 && len <= LIMIT_HELLO);
    return (size_t)len;
}
