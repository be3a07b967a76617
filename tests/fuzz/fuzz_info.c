/* INFO replies of hostile servers. */
#include "rules/host.h"
#include "rules/info.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_terminated(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

/* Canonical: what address_set() makes of it is the same again. */
static void check_address(const struct address *addr)
{
    assert(is_terminated(addr->ip, sizeof(addr->ip)));
    struct address again;
    const char *host = address_host(addr, true);
    assert(address_set_host(&again, host, strlen(host), addr->port, HOST_HEARD));
    assert(address_same(&again, addr));
    assert(address_equal(&again, addr));
    assert(address_hash(&again) == address_hash(addr));
    char text[ADDRESS_TEXT];
    assert(address_format(addr, text) == strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct info info;
    memset(&info, 0xa5, sizeof(info));
    info_parse(&info, (const char *)data, size, true);

    assert(info.role == ROLE_UNKNOWN || info.role == ROLE_MASTER || info.role == ROLE_REPLICA);
    assert(is_terminated(info.runid.hex, sizeof(info.runid.hex)));
    const size_t runid_len = strlen(info.runid.hex);
    assert(runid_len == 0 || runid_len == LIMIT_RUNID);
    assert(info.replica_count <= LIMIT_REPLICAS);
    for (uint32_t i = 0; i < info.replica_count; i++) {
        assert(info.replicas[i].port != 0);
        check_address(&info.replicas[i]);
    }
    assert(info.master_link_down >= 0);
    assert(info.repl_offset <= INT64_MAX);
    assert(is_terminated(info.master_host, sizeof(info.master_host)));
    assert(is_terminated(info.master.ip, sizeof(info.master.ip)));
    if (info.master.ip[0] != '\0' || info.master.host != NULL) {
        assert(info.master_host[0] != '\0');
        check_address(&info.master);
    }
    return 0;
}
