// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 5 && text[digits] == '\0' && strtoul(text, NULL, 10) <= 65535;
}

bool sfl_address_split(const char *text, struct sfl_address *address_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !is_port(colon + 1))
        return false;
    size_t written = (size_t)(colon - text);
    bool has_brackets = text[0] == '[' && colon[-1] == ']';
    size_t skip = has_brackets ? 1 : 0;
    if (written <= 2 * skip)
        return false;
    const char *host = text + skip;
    size_t size = written - 2 * skip;
    // Without brackets, which colon of an IPv6 address would be the port's?
    if (size >= sizeof(address_out->host) || strcspn(host, has_brackets ? "[]/ " : "[]:/ ") < size)
        return false;
    memset(address_out, 0, sizeof(*address_out));
    memcpy(address_out->host_as_written, text, written);
    memcpy(address_out->host, host, size);
    memcpy(address_out->port, colon + 1, strlen(colon + 1));
    return true;
}

bool sfl_address_is_loopback(const struct sfl_address *address)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, address->host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, address->host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
    return strcasecmp(address->host, "localhost") == 0;
}
