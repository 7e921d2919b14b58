// SPDX-License-Identifier: Apache-2.0
#include "admin/answer.h"

#include "admin/json.h"

#include <stdlib.h>
#include <string.h>

static const char json_type[] = "application/json; charset=utf-8";
static const char text_type[] = "text/plain; charset=utf-8";

enum MHD_Result sfl_answer_guard(struct MHD_Response *response)
{
    static const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {"Content-Security-Policy",
         "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Frame-Options", "DENY"},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
            return MHD_NO;
    }
    return MHD_YES;
}

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

enum MHD_Result sfl_answer_response(struct MHD_Connection *connection, unsigned status,
                                    const char *type, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_NO;
    if (response == NULL)
        return MHD_NO;
    if (add(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) &&
        add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
        sfl_answer_guard(response) == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *respond_with_text(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
}

enum MHD_Result sfl_answer_text(struct MHD_Connection *connection, unsigned status,
                                const char *text)
{
    return sfl_answer_response(connection, status, text_type, respond_with_text(text));
}

static struct MHD_Response *respond_with_json(char *json)
{
    if (json == NULL)
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(json), json, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(json);
    return response;
}

enum MHD_Result sfl_answer_json(struct MHD_Connection *connection, unsigned status, char *json)
{
    return sfl_answer_response(connection, status, json_type, respond_with_json(json));
}

enum MHD_Result sfl_answer_error(struct MHD_Connection *connection, unsigned status,
                                 const char *text)
{
    struct MHD_Response *response = respond_with_json(sfl_json_error(text));
    if (response != NULL && status == MHD_HTTP_UNAUTHORIZED &&
        !add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer")) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    return sfl_answer_response(connection, status, json_type, response);
}

enum MHD_Result sfl_answer_not_allowed(struct MHD_Connection *connection, const char *allowed,
                                       const char *text, int is_json)
{
    struct MHD_Response *response =
        is_json ? respond_with_json(sfl_json_error(text)) : respond_with_text(text);
    if (response != NULL && !add(response, MHD_HTTP_HEADER_ALLOW, allowed)) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    return sfl_answer_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                               is_json ? json_type : text_type, response);
}
