// SPDX-License-Identifier: Apache-2.0
// The page's own files.
#include "admin/answer.h"
#include "admin/assets.h"
#include "admin/routes.h"

#include <string.h>

const struct sfl_admin_asset *sfl_find_asset(const char *path)
{
    for (size_t i = 0; i < sfl_admin_asset_count; i++) {
        if (strcmp(path, sfl_admin_assets[i].path) == 0)
            return &sfl_admin_assets[i];
    }
    return NULL;
}

// The header lists ETags, or is "*".
static bool matches(const char *if_none_match, const char *etag)
{
    return if_none_match != NULL &&
           (strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL);
}

// Asked for each time, and sent when it is another one than before.
enum MHD_Result sfl_answer_asset(struct sfl_request *request)
{
    const struct sfl_admin_asset *asset = request->asset;
    const char *seen = sfl_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    bool is_known = matches(seen, asset->etag);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        is_known ? 0 : asset->size, (void *)asset->bytes, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_NO;
    if (response == NULL)
        return MHD_NO;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, asset->type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, asset->etag) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache") == MHD_YES &&
        sfl_answer_guard(response) == MHD_YES)
        result = MHD_queue_response(request->connection,
                                    is_known ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}
