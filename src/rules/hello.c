#include "rules/hello.h"

#include <assert.h>
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
                          enum host_source names, struct address *out)
{
    uint64_t number;
    if (!parse_u64(fields->text[port], fields->len[port], UINT16_MAX, &number) || number == 0)
        return false;
    return address_set_host(out, fields->text[ip], fields->len[ip], (int64_t)number, names);
}

static bool parse_epoch(const struct fields *fields, enum field field, uint64_t *out)
{
    return parse_u64(fields->text[field], fields->len[field], LIMIT_EPOCH, out);
}

bool hello_parse(struct hello *hello, const char *text, size_t len, enum host_source names)
{
    assert(hello != NULL);
    struct fields fields;
    if (len == 0 || len > LIMIT_HELLO || !split(&fields, text, len))
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
    /* Last, so that only a message that is whole brings in a name. */
    if (!parse_address(&fields, FIELD_IP, FIELD_PORT, names, &hello->sentinel) ||
        !parse_address(&fields, FIELD_MASTER_IP, FIELD_MASTER_PORT, names, &hello->master))
        return false;
    memcpy(hello->name, fields.text[FIELD_NAME], name_len);
    hello->name[name_len] = '\0';
    return true;
}

/* A field and its comma. By hand: thousands a second are written. */
static char *put_text(char *at, const char *text)
{
    const size_t len = strlen(text);
    memcpy(at, text, len);
    at[len] = ',';
    return at + len + 1;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0)
        *at++ = digits[--count];
    *at++ = ',';
    return at;
}

size_t hello_format(const struct hello *hello, char out[LIMIT_HELLO + 1])
{
    assert(runid_known(&hello->runid) && hello->name[0] != '\0');
    char *at = out; /* LIMIT_HELLO has room for the longest (limits.h) */
    at = put_text(at, address_host(&hello->sentinel, true));
    at = put_number(at, hello->sentinel.port);
    at = put_text(at, hello->runid.hex);
    at = put_number(at, hello->current_epoch);
    at = put_text(at, hello->name);
    at = put_text(at, address_host(&hello->master, true));
    at = put_number(at, hello->master.port);
    at = put_number(at, hello->config_epoch);
    *--at = '\0'; /* instead of the last comma */
    assert(at - out <= LIMIT_HELLO);
    return (size_t)(at - out);
}
