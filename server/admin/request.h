// SPDX-License-Identifier: Apache-2.0
// One request, from its headers to its answer.
#ifndef SFL_ADMIN_REQUEST_H
#define SFL_ADMIN_REQUEST_H

#include "admin/admin_private.h"

// Of a POST: a group, and a key whose every byte is escaped.
enum { SFL_REQUEST_BODY_MAX = 1 << 20 };

struct sfl_admin_asset;
struct sfl_request;

struct sfl_route {
    const char *path;
    bool is_post; // otherwise GET and HEAD
    bool is_api;  // faults are told as JSON
    // When everything has come, and after a wait again.
    enum MHD_Result (*answer)(struct sfl_request *request);
};

struct sfl_request {
    struct sfl_admin *admin;
    struct MHD_Connection *connection;
    const struct sfl_route *route;
    const struct sfl_admin_asset *asset; // of the page; NULL: none is asked for
    struct sfl_viewer viewer;
    // Of those that wait for a walk.
    struct sfl_link link; // in admin->requests, while the connection is suspended
    struct sfl_look look;
    bool has_looked;
    struct sfl_query *query;
    struct sfl_flights_window flights;
    struct sfl_runs_window *runs;
    // Of a POST.
    char *body;
    size_t body_size;
    bool is_body_too_large;
};

// NULL when there is no memory.
struct sfl_request *sfl_request_create(struct sfl_admin *admin, struct MHD_Connection *connection,
                                       const struct sfl_route *route);
void sfl_request_destroy(struct sfl_request *request);

// Takes a part of the body.
void sfl_request_add_body(struct sfl_request *request, const char *bytes, size_t size);

// Finds out who asks, once. False: it has been answered, and that is `*result_out`.
bool sfl_request_open_viewer(struct sfl_request *request, enum MHD_Result *result_out);

// Reads the query, into request->query, once. False: it has been answered, and that is
// `*result_out`.
bool sfl_request_read_query(struct sfl_request *request, enum sfl_query_kind kind,
                            enum MHD_Result *result_out);

// Waits for a walk that sees what `look` asks for. The route's answer is then called again, with
// has_looked.
void sfl_request_wait(struct sfl_request *request);

// Whether its address may have one stream more.
bool sfl_request_may_stream(const struct sfl_request *request);

// Its connection counts as a stream's from now on.
void sfl_request_become_stream(struct sfl_request *request);

// A header of the request; NULL: it has none.
const char *sfl_request_header(const struct sfl_request *request, const char *name);

// From 127.0.0.1 or ::1.
bool sfl_request_is_from_loopback(const struct sfl_request *request);

// A proxy brought it, so its peer's address says nothing of who asks.
bool sfl_request_is_forwarded(const struct sfl_request *request);

#endif
