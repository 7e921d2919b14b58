// SPDX-License-Identifier: Apache-2.0
// What programs look at.
#include "admin/accept.h"
#include "admin/answer.h"
#include "admin/routes.h"

enum MHD_Result sfl_answer_live(struct sfl_request *request)
{
    return sfl_answer_text(request->connection, MHD_HTTP_OK, "live\n");
}

enum MHD_Result sfl_answer_ready(struct sfl_request *request)
{
    const struct sfl_admin_sources *sources = &request->admin->sources;
    const char *why_not = sources->why_not_ready(sources->context);
    if (why_not == NULL)
        return sfl_answer_text(request->connection, MHD_HTTP_OK, "ready\n");
    return sfl_answer_text(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, why_not);
}

static const char *type_of(enum sfl_admin_format format)
{
    return format == SFL_FORMAT_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

enum MHD_Result sfl_answer_metrics(struct sfl_request *request)
{
    const struct sfl_admin_sources *sources = &request->admin->sources;
    enum sfl_admin_format format =
        sfl_accepted_format(sfl_request_header(request, MHD_HTTP_HEADER_ACCEPT));
    struct sfl_admin_page page;
    sfl_admin_page_init(&page, format);
    sources->write_metrics(sources->context, &page);
    sfl_admin_page_end(&page);
    if (page.has_failed) {
        sfl_admin_page_deinit(&page);
        return sfl_answer_text(request->connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                               "out of memory\n");
    }
    return sfl_answer_response(
        request->connection, MHD_HTTP_OK, type_of(format),
        MHD_create_response_from_buffer(page.size, page.bytes, MHD_RESPMEM_MUST_FREE));
}
