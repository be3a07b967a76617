#include "rules/info.h"

#include "rules/host.h"

#include <assert.h>
#include <string.h>

/* A piece of the text, not NUL-terminated. */
struct slice {
    const char *text;
    size_t len;
};

static bool slice_is(struct slice s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.text, word, s.len) == 0;
}

/* Cuts the part before the next separator off *rest; all of it where there is none. False when
 * nothing was left. */
static bool slice_cut(struct slice *rest, char separator, struct slice *part)
{
    if (rest->text == NULL)
        return false;
    const char *end = rest->len == 0 ? NULL : memchr(rest->text, separator, rest->len);
    part->text = rest->text;
    if (end == NULL) {
        part->len = rest->len;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    part->len = (size_t)(end - rest->text);
    rest->text = end + 1;
    rest->len -= part->len + 1;
    return true;
}

/* The value of a field "key=value". */
static bool slice_field(struct slice field, const char *key, struct slice *value)
{
    const size_t key_len = strlen(key);
    if (field.len < key_len || memcmp(field.text, key, key_len) != 0)
        return false;
    *value = (struct slice){field.text + key_len, field.len - key_len};
    return true;
}

static bool slice_port(struct slice s, uint16_t *port)
{
    uint64_t number;
    if (!parse_u64(s.text, s.len, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "ip,port,state" or "ip=…,port=…,…" (protocol.md §5). */
static bool parse_replica(struct slice value, bool names, struct address *addr)
{
    struct slice rest = value, field, ip = {NULL, 0}, port = {NULL, 0}, found;
    size_t fields = 0;
    while (slice_cut(&rest, ',', &field)) {
        if (slice_field(field, "ip=", &found)) {
            ip = found;
        } else if (slice_field(field, "port=", &found)) {
            port = found;
        } else if (fields == 0) {
            ip = field;
        } else if (fields == 1 && port.text == NULL) {
            port = field;
        }
        fields++;
    }
    uint16_t number;
    if (ip.text == NULL || port.text == NULL || !slice_port(port, &number) || number == 0)
        return false;
    return address_set_host(addr, ip.text, ip.len, number, names ? HOST_HEARD : HOST_NONE);
}

static void add_replica(struct info *info, struct slice value, bool names)
{
    struct address addr;
    if (info->replica_count == LIMIT_REPLICAS || !parse_replica(value, names, &addr)) {
        info->replicas_ignored++;
        return;
    }
    info->replicas[info->replica_count++] = addr;
}

/* An IP address or a name: printable, no blanks. Events and replies show it. */
static void set_master_host(struct info *info, struct slice value)
{
    if (value.len == 0 || value.len > LIMIT_HOST)
        return;
    for (size_t i = 0; i < value.len; i++) {
        if (value.text[i] <= ' ' || value.text[i] > '~')
            return;
    }
    memcpy(info->master_host, value.text, value.len);
    info->master_host[value.len] = '\0';
}

static bool is_replica_key(struct slice key)
{
    const size_t prefix = strlen("slave");
    if (key.len <= prefix || memcmp(key.text, "slave", prefix) != 0)
        return false;
    for (size_t i = prefix; i < key.len; i++) {
        if (key.text[i] < '0' || key.text[i] > '9')
            return false;
    }
    return true;
}

/* Lines of a master or of any server. */
static bool parse_common(struct info *info, struct slice key, struct slice value, bool names)
{
    if (slice_is(key, "run_id")) {
        struct runid id;
        if (runid_parse(&id, value.text, value.len))
            info->runid = id;
    } else if (slice_is(key, "role")) {
        if (slice_is(value, "master"))
            info->role = ROLE_MASTER;
        else if (slice_is(value, "slave"))
            info->role = ROLE_REPLICA;
    } else if (is_replica_key(key)) {
        add_replica(info, value, names);
    } else if (slice_is(key, "master_failover_state")) {
        info->failover_known = true;
        info->failing_over = !slice_is(value, "no-failover");
    } else {
        return false;
    }
    return true;
}

/* Lines of a replica. */
static void parse_as_replica(struct info *info, struct slice key, struct slice value)
{
    uint64_t number;
    if (slice_is(key, "master_host")) {
        set_master_host(info, value);
    } else if (slice_is(key, "master_port")) {
        slice_port(value, &info->master.port);
    } else if (slice_is(key, "master_link_status")) {
        info->master_link_up = slice_is(value, "up");
    } else if (slice_is(key, "master_link_down_since_seconds")) {
        if (slice_is(value, "-1"))
            info->master_link_down = 0;
        else if (parse_u64(value.text, value.len, INT64_MAX / 1000, &number))
            info->master_link_down = (ms_t)number * 1000;
    } else if (slice_is(key, "slave_priority")) {
        if (parse_u64(value.text, value.len, UINT32_MAX, &number))
            info->priority = (uint32_t)number;
    } else if (slice_is(key, "slave_repl_offset")) {
        if (parse_u64(value.text, value.len, INT64_MAX, &number))
            info->repl_offset = number;
    } else if (slice_is(key, "replica_announced")) {
        if (parse_u64(value.text, value.len, 1, &number))
            info->announced = number == 1;
    }
}

static void parse_line(struct info *info, struct slice line, bool names)
{
    if (line.len > 0 && line.text[line.len - 1] == '\r')
        line.len--;
    /* A full INFO has some 200 lines, of which a dozen matter. */
    if (line.len == 0 || (line.text[0] != 'm' && line.text[0] != 'r' && line.text[0] != 's'))
        return;
    const char *colon = memchr(line.text, ':', line.len);
    if (colon == NULL)
        return;
    const struct slice key = {line.text, (size_t)(colon - line.text)};
    const struct slice value = {colon + 1, line.len - key.len - 1};
    if (!parse_common(info, key, value, names))
        parse_as_replica(info, key, value);
}

void info_parse(struct info *info, const char *text, size_t len, bool names)
{
    assert(info != NULL);
    /* The table of replicas is large and counted: it need not be cleared. */
    memset(info, 0, offsetof(struct info, replicas));
    info->role = ROLE_UNKNOWN;
    info->priority = 100;
    info->announced = true;
    if (len == 0 || len > LIMIT_INFO_TEXT)
        return;

    struct slice rest = {text, len}, line;
    while (slice_cut(&rest, '\n', &line))
        parse_line(info, line, names);

    /* The order of master_host and master_port does not matter. Of a name that is not accepted only
     * the port is known: master stays without an ip. */
    if (info->master_host[0] != '\0')
        (void)address_set_host(&info->master, info->master_host, strlen(info->master_host),
                               info->master.port, names ? HOST_HEARD : HOST_NONE);
    assert(info->replica_count <= LIMIT_REPLICAS);
}
