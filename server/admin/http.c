// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd without threads of its own: its epoll descriptor is watched by the loop.
#include "admin/accept.h"
#include "admin/admin.h"
#include "admin/listener.h"
#include "base/bytes.h"
#include "base/log.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum {
    CONNECTIONS_MAX = 32,         // the settings leave room for so many descriptors
    CONNECTION_BYTES_MAX = 16384, // of a request's line and headers
    CONNECTION_TIMEOUT_S = 5,     // in silence
};

struct sfl_admin {
    struct sfl_admin_sources sources;
    struct MHD_Daemon *server;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned open_handles;
    unsigned connections; // when it ran last
};

// --- answers ---

// MHD_NO lets libmicrohttpd end the connection.
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    bool is_complete =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES;
    if (is_complete && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        is_complete =
            MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES;
    if (is_complete)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

// `text` is static.
static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    return answer(
        connection, status, "text/plain; charset=utf-8",
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result answer_live(struct sfl_admin *admin, struct MHD_Connection *connection)
{
    (void)admin;
    return answer_text(connection, MHD_HTTP_OK, "live\n");
}

static enum MHD_Result answer_ready(struct sfl_admin *admin, struct MHD_Connection *connection)
{
    const char *why_not = admin->sources.why_not_ready(admin->sources.context);
    if (why_not == NULL)
        return answer_text(connection, MHD_HTTP_OK, "ready\n");
    return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why_not);
}

static const char *type_of(enum sfl_admin_format format)
{
    return format == SFL_FORMAT_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

static enum MHD_Result answer_metrics(struct sfl_admin *admin, struct MHD_Connection *connection)
{
    enum sfl_admin_format format = sfl_accepted_format(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
    struct sfl_admin_page page;
    sfl_admin_page_init(&page, format);
    admin->sources.write_metrics(admin->sources.context, &page);
    sfl_admin_page_end(&page);
    if (page.has_failed) {
        sfl_admin_page_deinit(&page);
        return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    }
    return answer(connection, MHD_HTTP_OK, type_of(format),
                  MHD_create_response_from_buffer(page.size, page.bytes, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result answer_index(struct sfl_admin *admin, struct MHD_Connection *connection)
{
    (void)admin;
    return answer_text(connection, MHD_HTTP_OK,
                       "singleflightd\n"
                       "/livez    200 while the daemon's loop runs\n"
                       "/readyz   200 while it takes new calls, 503 otherwise\n"
                       "/metrics  Prometheus and OpenMetrics\n");
}

static const struct place {
    const char *path;
    enum MHD_Result (*answer)(struct sfl_admin *admin, struct MHD_Connection *connection);
} places[] = {
    {"/livez", answer_live},
    {"/readyz", answer_ready},
    {"/metrics", answer_metrics},
    {"/", answer_index},
};

// Answers as soon as the headers are there: what a body would say interests nobody.
// The type is libmicrohttpd's: NOLINTBEGIN(readability-non-const-parameter)
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_size, void **request)
{
    struct sfl_admin *admin = context;
    (void)version;
    (void)body;
    (void)body_size;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD alone\n");
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcmp(path, places[i].path) == 0)
            return places[i].answer(admin, connection);
    }
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "nothing is here; see /\n");
}
// NOLINTEND(readability-non-const-parameter)

// libmicrohttpd tells of everybody who goes too early: that is for those who look for it.
static void on_log(void *context, const char *format, va_list arguments)
{
    char text[300];
    (void)context;
    vsnprintf(text, sizeof(text), format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    sfl_log(SFL_LOG_DEBUG, "admin_http", SFL_STR("text", text));
}

// --- the loop ---

static void on_time(uv_timer_t *timer);

static unsigned count_connections(const struct sfl_admin *admin)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(admin->server, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info == NULL ? 0 : info->num_connections;
}

static void serve(struct sfl_admin *admin)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    unsigned before;
    // At its limit of connections it leaves the listener alone, and takes it up again only when it
    // begins to run: so it runs once more when some have gone.
    do {
        before = admin->connections;
        MHD_run(admin->server);
        admin->connections = count_connections(admin);
    } while (admin->connections < before);
    if (MHD_get_timeout(admin->server, &wait_ms) == MHD_YES)
        uv_timer_start(&admin->timer, on_time, wait_ms, 0);
    else
        uv_timer_stop(&admin->timer);
}

static void on_time(uv_timer_t *timer)
{
    serve(timer->data);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    serve(poll->data);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sfl_admin *admin = handle->data;
    if (--admin->open_handles == 0)
        free(admin);
}

static bool watch(struct sfl_admin *admin, uv_loop_t *loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->server, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(loop, &admin->poll, info->epoll_fd) != 0)
        return false;
    uv_timer_init(loop, &admin->timer);
    admin->poll.data = admin;
    admin->timer.data = admin;
    admin->open_handles = 2;
    return uv_poll_start(&admin->poll, UV_READABLE, on_event) == 0;
}

// Takes the socket on success.
static struct MHD_Daemon *start_server(struct sfl_admin *admin, int fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, admin,
                            MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

enum sfl_status sfl_admin_open(struct uv_loop_s *loop, const char *address,
                               const struct sfl_admin_sources *sources,
                               struct sfl_admin **admin_out,
                               char bound_out[static SFL_ADMIN_TEXT_MAX])
{
    int fd;
    enum sfl_status status = sfl_admin_listen(address, &fd, bound_out);
    if (status != SFL_OK)
        return status;
    struct sfl_admin *admin = calloc(1, sizeof(*admin));
    if (admin != NULL) {
        admin->sources = *sources;
        admin->server = start_server(admin, fd);
    }
    if (admin == NULL || admin->server == NULL) {
        close(fd);
        free(admin);
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "too little memory or too few files");
        return SFL_NO_MEMORY;
    }
    if (!watch(admin, loop)) {
        snprintf(bound_out, SFL_ADMIN_TEXT_MAX, "the loop cannot watch it");
        sfl_admin_close(admin);
        return SFL_NO_MEMORY;
    }
    serve(admin); // arms its timer
    *admin_out = admin;
    return SFL_OK;
}

void sfl_admin_close(struct sfl_admin *admin)
{
    if (admin->open_handles == 0) {
        MHD_stop_daemon(admin->server);
        free(admin);
        return;
    }
    uv_poll_stop(&admin->poll);
    MHD_stop_daemon(admin->server);
    uv_close((uv_handle_t *)&admin->poll, on_handle_closed);
    uv_close((uv_handle_t *)&admin->timer, on_handle_closed);
}
