// SPDX-License-Identifier: Apache-2.0
// Answers over HTTP, with the headers that all of them have. Each returns what libmicrohttpd's
// handler is to return: MHD_NO ends the connection.
#ifndef SFL_ADMIN_ANSWER_H
#define SFL_ADMIN_ANSWER_H

#include <microhttpd.h>

// Takes the response, NULL too: there was no memory for it.
enum MHD_Result sfl_answer_response(struct MHD_Connection *connection, unsigned status,
                                    const char *type, struct MHD_Response *response);

// `text` is static.
enum MHD_Result sfl_answer_text(struct MHD_Connection *connection, unsigned status,
                                const char *text);

// Takes `json`, of malloc(); NULL: there was no memory for it.
enum MHD_Result sfl_answer_json(struct MHD_Connection *connection, unsigned status, char *json);

// {"error": TEXT}
enum MHD_Result sfl_answer_error(struct MHD_Connection *connection, unsigned status,
                                 const char *text);

// 405, as JSON or text; `allowed` is the header Allow.
enum MHD_Result sfl_answer_not_allowed(struct MHD_Connection *connection, const char *allowed,
                                       const char *text, int is_json);

// Adds the headers that keep a browser from doing harm. MHD_NO: there was no memory.
enum MHD_Result sfl_answer_guard(struct MHD_Response *response);

#endif
