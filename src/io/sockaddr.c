#include "io/ring_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool sockaddr_make(const struct address *address, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, address->ip, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        *len = sizeof v4;
        return true;
    }
    if (inet_pton(AF_INET6, address->ip, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        *len = sizeof v6;
        return true;
    }
    return false;
}

bool sockaddr_read(const struct sockaddr_storage *from, struct address *out)
{
    struct address address = {0};
    if (from->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, address.ip, sizeof address.ip);
        address.port = ntohs(v4.sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof v6);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], address.ip, sizeof address.ip);
        } else {
            inet_ntop(AF_INET6, &v6.sin6_addr, address.ip, sizeof address.ip);
        }
        address.port = ntohs(v6.sin6_port);
    } else {
        return false;
    }
    *out = address;
    return true;
}
