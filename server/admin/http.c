// SPDX-License-Identifier: Apache-2.0
// libmicrohttpd without threads of its own: its epoll descriptor is watched by the loop.
#include "admin/answer.h"
#include "admin/listener.h"
#include "admin/routes.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum {
    // Those that were ended are gone a moment later; the settings leave room for so many
    // descriptors.
    CONNECTIONS_MAX = SFL_CONNECTIONS_MAX + SFL_STREAMS_MAX + 32,
    CONNECTION_BYTES_MAX = 16384, // of a request's line and headers
    CONNECTION_TIMEOUT_S = 5,     // in silence
};

static const struct sfl_route routes[] = {
    {"/livez", false, false, sfl_answer_live},
    {"/readyz", false, false, sfl_answer_ready},
    {"/metrics", false, false, sfl_answer_metrics},
    {"/api/v1/status", false, true, sfl_answer_status},
    {"/api/v1/history", false, true, sfl_answer_history},
    {"/api/v1/flights", false, true, sfl_answer_flights},
    {"/api/v1/runs", false, true, sfl_answer_runs},
    {"/api/v1/events", false, true, sfl_answer_events},
    {"/api/v1/forget", true, true, sfl_answer_forget},
    {"/api/v1/end", true, true, sfl_answer_end},
};

static const struct sfl_route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    }
    return NULL;
}

static enum MHD_Result answer_unknown(struct MHD_Connection *connection, const char *path)
{
    if (strncmp(path, "/api/", 5) == 0)
        return sfl_answer_error(connection, MHD_HTTP_NOT_FOUND, "there is nothing here");
    return sfl_answer_text(connection, MHD_HTTP_NOT_FOUND, "nothing is here; see /\n");
}

static bool is_get(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection, bool is_post, bool is_api)
{
    if (is_post)
        return sfl_answer_not_allowed(connection, "POST", "POST alone", is_api);
    return sfl_answer_not_allowed(connection, "GET, HEAD", "GET and HEAD alone", is_api);
}

static enum MHD_Result begin_request(struct sfl_admin *admin, struct MHD_Connection *connection,
                                     const char *path, const char *method, void **request_out)
{
    static const struct sfl_route asset_route = {NULL, false, false, sfl_answer_asset};
    const struct sfl_admin_asset *asset = sfl_find_asset(path);
    const struct sfl_route *route = asset == NULL ? find_route(path) : &asset_route;
    if (route == NULL)
        return answer_unknown(connection, path);
    bool is_allowed = route->is_post ? strcmp(method, MHD_HTTP_METHOD_POST) == 0 : is_get(method);
    if (!is_allowed)
        return refuse_method(connection, route->is_post, route->is_api);
    struct sfl_request *request = sfl_request_create(admin, connection, route);
    if (request == NULL)
        return MHD_NO;
    request->asset = asset;
    *request_out = request;
    enum MHD_Result result = MHD_YES;
    if (route->is_post)
        (void)sfl_check_post(request, &result);
    return result;
}

// Called when the headers are there, for each part of the body, and at the end.
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_size, void **request_out)
{
    struct sfl_request *request = *request_out;
    (void)version;
    if (request == NULL)
        return begin_request(context, connection, path, method, request_out);
    if (*body_size > 0) {
        sfl_request_add_body(request, body, *body_size);
        *body_size = 0;
        return MHD_YES;
    }
    sfl_admin_set_connection(context, connection, SFL_CONNECTION_ANSWERED);
    return request->route->answer(request);
}

static void on_request_over(void *context, struct MHD_Connection *connection, void **request,
                            enum MHD_RequestTerminationCode code)
{
    (void)code;
    if (*request != NULL)
        sfl_request_destroy(*request);
    *request = NULL;
    sfl_admin_set_connection(context, connection, SFL_CONNECTION_ASKING);
}

// --- connections ---

static void end_connection(struct sfl_admin_connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR); // libmicrohttpd sees it, and closes it
}

void sfl_admin_set_connection(struct sfl_admin *admin, struct MHD_Connection *connection,
                              enum sfl_admin_connection_state state)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info != NULL && info->socket_context != NULL)
        sfl_admin_connections_set(&admin->connections, info->socket_context, state,
                                  sfl_clock_now_ms());
}

static void add_connection(struct sfl_admin *admin, struct MHD_Connection *connection,
                           void **context_out)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sfl_admin_connection *added = malloc(sizeof(*added));
    *context_out = added;
    if (added == NULL)
        shutdown(fd->connect_fd, SHUT_RDWR);
    else
        sfl_admin_connections_add(&admin->connections, added, address->client_addr, fd->connect_fd,
                                  sfl_clock_now_ms());
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct sfl_admin *admin = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add_connection(admin, connection, socket_context);
        return;
    }
    if (*socket_context != NULL)
        sfl_admin_connections_remove(&admin->connections, *socket_context);
    free(*socket_context);
    *socket_context = NULL;
}

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
        before = admin->connection_count;
        MHD_run(admin->server);
        admin->connection_count = count_connections(admin);
    } while (admin->connection_count < before);
    if (MHD_get_timeout(admin->server, &wait_ms) != MHD_YES)
        wait_ms = UINT64_MAX;
    uint64_t now_ms = sfl_clock_now_ms();
    uint64_t due_ms = sfl_admin_connections_tick(&admin->connections, now_ms);
    if (due_ms != UINT64_MAX && due_ms - now_ms < wait_ms)
        wait_ms = due_ms - now_ms;
    if (wait_ms != UINT64_MAX)
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

void sfl_admin_kick(struct sfl_admin *admin)
{
    uv_timer_start(&admin->timer, on_time, 0, 0);
}

static void on_idle_look(struct sfl_look *look)
{
    (void)look; // the groups have been counted, which is all
}

// Rates of groups need a look before.
static void on_second(void *context, const struct sfl_history_point *point)
{
    struct sfl_admin *admin = context;
    sfl_streams_tick(admin);
    if (point != NULL && !sfl_link_is_linked(&admin->idle_look.link))
        sfl_walk_add(&admin->walk, &admin->idle_look);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sfl_admin *admin = handle->data;
    if (--admin->open_handles == 0)
        free(admin);
}

static void close_handle(struct sfl_admin *admin, uv_handle_t *handle)
{
    if (handle->loop == NULL) // it was never opened
        return;
    handle->data = admin;
    admin->open_handles++;
    uv_close(handle, on_handle_closed);
}

static bool watch(struct sfl_admin *admin, uv_loop_t *loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->server, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(loop, &admin->poll, info->epoll_fd) != 0)
        return false;
    admin->poll.data = admin;
    if (uv_timer_init(loop, &admin->timer) != 0)
        return false;
    admin->timer.data = admin;
    return sfl_walk_init(&admin->walk, loop, &admin->sources) &&
           sfl_sampler_init(&admin->sampler, loop, &admin->sources, on_second, admin) &&
           uv_poll_start(&admin->poll, UV_READABLE, on_event) == 0;
}

// Takes the socket on success.
static struct MHD_Daemon *start_server(struct sfl_admin *admin, int fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
                            NULL, on_request, admin, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                            on_request_over, admin, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                            admin, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static struct sfl_admin *create(const char *address, const struct sfl_admin_sources *sources)
{
    struct sfl_address parts;
    struct sfl_admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL)
        return NULL;
    admin->sources = *sources;
    admin->idle_look.on_done = on_idle_look;
    if (sfl_address_split(address, &parts))
        snprintf(admin->host, sizeof(admin->host), "%s", parts.host);
    sfl_admin_connections_init(&admin->connections, end_connection);
    sfl_list_init(&admin->requests);
    sfl_list_init(&admin->streams);
    return admin;
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
    struct sfl_admin *admin = create(address, sources);
    if (admin != NULL)
        admin->server = start_server(admin, fd);
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

// libmicrohttpd ends no connection that is suspended.
static void resume_all(struct sfl_admin *admin)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&admin->requests)) != NULL) {
        struct sfl_request *request = SFL_CONTAINER_OF(link, struct sfl_request, link);
        sfl_walk_cancel(&request->look);
        MHD_resume_connection(request->connection);
    }
    sfl_streams_wake(admin);
}

void sfl_admin_close(struct sfl_admin *admin)
{
    resume_all(admin);
    if (admin->poll.loop != NULL)
        uv_poll_stop(&admin->poll);
    MHD_stop_daemon(admin->server);
    sfl_walk_deinit(&admin->walk);
    admin->open_handles = 1;
    close_handle(admin, (uv_handle_t *)&admin->poll);
    close_handle(admin, (uv_handle_t *)&admin->timer);
    close_handle(admin, (uv_handle_t *)&admin->walk.timer);
    close_handle(admin, (uv_handle_t *)&admin->sampler.timer);
    if (--admin->open_handles == 0)
        free(admin);
}
