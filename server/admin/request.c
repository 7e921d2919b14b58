// SPDX-License-Identifier: Apache-2.0
#include "admin/request.h"

#include "admin/answer.h"
#include "admin/origin.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct sfl_request *sfl_request_create(struct sfl_admin *admin, struct MHD_Connection *connection,
                                       const struct sfl_route *route)
{
    struct sfl_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->admin = admin;
    request->connection = connection;
    request->route = route;
    return request;
}

void sfl_request_destroy(struct sfl_request *request)
{
    sfl_walk_cancel(&request->look);
    sfl_link_remove(&request->link);
    sfl_flights_window_deinit(&request->flights);
    if (request->runs != NULL)
        sfl_runs_window_deinit(request->runs);
    sfl_viewer_deinit(&request->viewer);
    free(request->runs);
    free(request->query);
    free(request->body);
    free(request);
}

void sfl_request_add_body(struct sfl_request *request, const char *bytes, size_t size)
{
    if (request->is_body_too_large || size > SFL_REQUEST_BODY_MAX - request->body_size) {
        request->is_body_too_large = true;
        return;
    }
    char *body = realloc(request->body, request->body_size + size + 1);
    request->is_body_too_large = body == NULL;
    if (body == NULL)
        return;
    memcpy(body + request->body_size, bytes, size);
    request->body = body;
    request->body_size += size;
    body[request->body_size] = '\0';
}

// --- who asks ---

const char *sfl_request_header(const struct sfl_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bool sfl_request_is_from_loopback(const struct sfl_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info == NULL)
        return false;
    if (info->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *address = (const struct sockaddr_in *)info->client_addr;
        return ntohl(address->sin_addr.s_addr) == INADDR_LOOPBACK;
    }
    if (info->client_addr->sa_family != AF_INET6)
        return false;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr;
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    return IN6_IS_ADDR_LOOPBACK(address) || memcmp(address, mapped, sizeof(mapped)) == 0;
}

// The type is libmicrohttpd's: NOLINTNEXTLINE(readability-non-const-parameter)
static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    bool *is_forwarded = context;
    (void)kind;
    (void)value;
    if (strcasecmp(name, "Forwarded") == 0 || strcasecmp(name, "Via") == 0 ||
        strcasecmp(name, "X-Real-IP") == 0 || strncasecmp(name, "X-Forwarded-", 12) == 0)
        *is_forwarded = true;
    return MHD_YES;
}

bool sfl_request_is_forwarded(const struct sfl_request *request)
{
    bool is_forwarded = false;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_header, &is_forwarded);
    return is_forwarded;
}

static enum MHD_Result answer_problem(struct sfl_request *request, enum sfl_viewer_problem problem)
{
    struct MHD_Connection *connection = request->connection;
    switch (problem) {
    case SFL_VIEWER_BAD_TOKEN:
        return sfl_answer_error(connection, MHD_HTTP_UNAUTHORIZED, "the token is not known");
    case SFL_VIEWER_OPEN_TOKEN:
        return sfl_answer_error(connection, MHD_HTTP_FORBIDDEN,
                                "a token is taken over loopback only: use kubectl port-forward, "
                                "an SSH tunnel or a TLS proxy on this machine");
    case SFL_VIEWER_DENIED:
        return sfl_answer_error(connection, MHD_HTTP_FORBIDDEN, "you are on the deny list");
    case SFL_VIEWER_FINE:
    case SFL_VIEWER_NO_MEMORY:
        break;
    }
    return sfl_answer_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
}

bool sfl_request_open_viewer(struct sfl_request *request, enum MHD_Result *result_out)
{
    struct sfl_admin *admin = request->admin;
    const char *host = sfl_request_header(request, MHD_HTTP_HEADER_HOST);
    const char *why_not = sfl_origin_check_host(host, admin->sources.security != NULL, admin->host);
    if (why_not == NULL && request->route->is_post)
        why_not = sfl_origin_check(sfl_request_header(request, MHD_HTTP_HEADER_ORIGIN), host);
    if (why_not != NULL) {
        *result_out = sfl_answer_error(request->connection, MHD_HTTP_FORBIDDEN, why_not);
        return false;
    }
    // With rights a token tells who asks, and a proxy on this machine is where it is to come from.
    bool is_near = sfl_request_is_from_loopback(request) &&
                   (admin->sources.security != NULL || !sfl_request_is_forwarded(request));
    enum sfl_viewer_problem problem =
        sfl_viewer_init(&request->viewer, &admin->sources,
                        sfl_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION), is_near);
    if (problem == SFL_VIEWER_FINE)
        return true;
    *result_out = answer_problem(request, problem);
    return false;
}

// --- what it asks for ---

struct reading {
    struct sfl_query *query;
    enum sfl_query_kind kind;
    bool is_wrong;
    char problem[SFL_QUERY_PROBLEM_MAX];
};

// The type is libmicrohttpd's: NOLINTNEXTLINE(readability-non-const-parameter)
static enum MHD_Result on_parameter(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_size, const char *value, size_t value_size)
{
    struct reading *reading = context;
    (void)kind;
    if (strlen(name) != name_size) {
        snprintf(reading->problem, sizeof(reading->problem),
                 "a parameter's name holds a zero byte");
        reading->is_wrong = true;
    } else if (!sfl_query_set(reading->query, reading->kind, name, sfl_span_of(value, value_size),
                              reading->problem))
        reading->is_wrong = true;
    return reading->is_wrong ? MHD_NO : MHD_YES;
}

bool sfl_request_read_query(struct sfl_request *request, enum sfl_query_kind kind,
                            enum MHD_Result *result_out)
{
    struct MHD_Connection *connection = request->connection;
    request->query = malloc(sizeof(*request->query));
    if (request->query == NULL) {
        *result_out = MHD_NO;
        return false;
    }
    sfl_query_init(request->query);
    struct reading reading = {.query = request->query, .kind = kind};
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, on_parameter, &reading);
    if (!reading.is_wrong)
        return true;
    *result_out = sfl_answer_error(connection, MHD_HTTP_BAD_REQUEST, reading.problem);
    return false;
}

bool sfl_request_may_stream(const struct sfl_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL && info->socket_context != NULL &&
           sfl_admin_connections_may_stream(&request->admin->connections, info->socket_context);
}

void sfl_request_become_stream(struct sfl_request *request)
{
    sfl_admin_set_connection(request->admin, request->connection, SFL_CONNECTION_STREAM);
}

// --- waiting ---

static void on_looked(struct sfl_look *look)
{
    struct sfl_request *request = SFL_CONTAINER_OF(look, struct sfl_request, look);
    request->has_looked = true;
    sfl_link_remove(&request->link);
    MHD_resume_connection(request->connection);
    sfl_admin_kick(request->admin);
}

void sfl_request_wait(struct sfl_request *request)
{
    request->look.viewer = &request->viewer;
    request->look.on_done = on_looked;
    sfl_list_append(&request->admin->requests, &request->link);
    MHD_suspend_connection(request->connection);
    sfl_walk_add(&request->admin->walk, &request->look);
}
