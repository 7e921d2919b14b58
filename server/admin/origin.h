// SPDX-License-Identifier: Apache-2.0
// Whether a request comes from where it says: browsers bring requests that other sites have made.
#ifndef SFL_ADMIN_ORIGIN_H
#define SFL_ADMIN_ORIGIN_H

#include <stdbool.h>

// `host` is the header, NULL without one. It must be HOST or HOST:PORT. With the rights off, a name
// that somebody else's DNS made lead here must not open what is inside: then it has to be an
// address, localhost, or `listen_host`. NULL: it is fine; otherwise why not, in one line.
const char *sfl_origin_check_host(const char *host, bool has_rights_on, const char *listen_host);

// `origin` is the header, NULL without one: no browser sends such a request across sites without
// it. It must be that of `host`, which is fine.
const char *sfl_origin_check(const char *origin, const char *host);

#endif
