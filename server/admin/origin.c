// SPDX-License-Identifier: Apache-2.0
#include "admin/origin.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 256 };

// Takes "HOST", "HOST:PORT", "[IPV6]" or "[IPV6]:PORT" apart. False when it is none.
static bool split(const char *host, char name_out[static HOST_MAX])
{
    bool has_brackets = host[0] == '[';
    const char *begin = host + has_brackets;
    size_t size = strcspn(begin, has_brackets ? "]" : ":");
    const char *rest = begin + size;
    if (size == 0 || size >= HOST_MAX || (has_brackets && *rest++ != ']'))
        return false;
    if (strspn(begin, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") < size)
        return false;
    size_t digits = *rest == ':' ? strspn(rest + 1, "0123456789") : 0;
    if (*rest == ':' && (digits == 0 || digits > 5 || rest[1 + digits] != '\0'))
        return false;
    memcpy(name_out, begin, size);
    name_out[size] = '\0';
    return *rest == ':' || *rest == '\0';
}

static bool is_address(const char *name)
{
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

const char *sfl_origin_check_host(const char *host, bool has_rights_on, const char *listen_host)
{
    char name[HOST_MAX];
    if (host == NULL || !split(host, name))
        return "the header Host must be HOST or HOST:PORT";
    if (has_rights_on || is_address(name) || strcasecmp(name, "localhost") == 0 ||
        strcasecmp(name, listen_host) == 0)
        return NULL;
    return "without --token-file or --access-file, call this server by its address, by localhost "
           "or by the name in --admin-listen";
}

const char *sfl_origin_check(const char *origin, const char *host)
{
    if (origin == NULL)
        return NULL;
    const char *name = strstr(origin, "://");
    bool is_http =
        strncasecmp(origin, "http://", 7) == 0 || strncasecmp(origin, "https://", 8) == 0;
    if (is_http && name != NULL && strcasecmp(name + 3, host) == 0)
        return NULL;
    return "the request comes from another site";
}
