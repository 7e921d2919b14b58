// SPDX-License-Identifier: Apache-2.0
// The page: the files of server/admin/web/, which the build puts into the program.
#ifndef SFL_ADMIN_ASSETS_H
#define SFL_ADMIN_ASSETS_H

#include <stddef.h>

struct sfl_admin_asset {
    const char *path; // of the request: "/", "/page.css"
    const char *type; // for Content-Type
    const unsigned char *bytes;
    size_t size;
    const char *etag; // with its quotes; another one when the bytes are others
};

extern const struct sfl_admin_asset sfl_admin_assets[];
extern const size_t sfl_admin_asset_count;

#endif
