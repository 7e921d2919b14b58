// SPDX-License-Identifier: Apache-2.0
#include "door.h"

#include "base/log.h"
#include "base/version.h"
#include "sockets/guard.h"
#include "start_problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// --- certificates ---

static struct sfl_certificate_texts lend(const struct sfl_tls_texts *texts)
{
    return (struct sfl_certificate_texts){texts->cert, texts->key, texts->client_ca};
}

static enum sfl_client_auth client_auth_of(const struct sfl_settings *settings)
{
    if (settings->tls_client_ca == NULL)
        return SFL_CLIENT_AUTH_NONE;
    return settings->tls_client_auth == SFL_TLS_CLIENT_AUTH_OPTIONAL ? SFL_CLIENT_AUTH_OPTIONAL
                                                                     : SFL_CLIENT_AUTH_REQUIRED;
}

static void describe_end(const struct sfl_tls_watch *watch, char text_out[static 32])
{
    time_t not_after = watch->counts.not_after_unix_s;
    struct tm parts;
    gmtime_r(&not_after, &parts);
    strftime(text_out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static enum sfl_status read_certificates(struct sfl_door *door, const struct sfl_tls_paths *paths,
                                         char *problem)
{
    struct sfl_tls_texts texts = {.cert = NULL};
    enum sfl_status status = sfl_tls_watch_open(&door->watch, paths, &texts, problem);
    if (status != SFL_OK)
        return status;
    const struct sfl_certificate_texts lent = lend(&texts);
    status = sfl_certificates_create(client_auth_of(door->settings), &lent, &door->certificates);
    if (status != SFL_OK)
        snprintf(problem, SFL_SECURITY_PROBLEM_MAX, "%s", sfl_status_text(status));
    sfl_tls_texts_deinit(&texts);
    return status;
}

bool sfl_door_prepare(struct sfl_door *door, const struct sfl_settings *settings)
{
    door->settings = settings;
    const struct sfl_tls_paths paths = {settings->tls_cert, settings->tls_key,
                                        settings->tls_client_ca};
    char problem[SFL_SECURITY_PROBLEM_MAX];
    if (paths.cert == NULL || read_certificates(door, &paths, problem) == SFL_OK)
        return true;
    sfl_start_file_problem(settings, problem);
    return false;
}

static void look(struct sfl_door *door, bool is_asked_for)
{
    struct sfl_tls_texts texts = {.cert = NULL};
    char problem[SFL_SECURITY_PROBLEM_MAX];
    switch (sfl_tls_watch_look(&door->watch, is_asked_for, &texts, problem)) {
    case SFL_TLS_SAME:
        return;
    case SFL_TLS_BROKEN:
        snprintf(door->problem, sizeof(door->problem), "%s", problem);
        sfl_log(SFL_LOG_ERROR, "certificates_not_reloaded", SFL_STR("reason", problem),
                SFL_STR("in_force", "the old ones"));
        return;
    case SFL_TLS_NEW:
        door->problem[0] = '\0';
        break;
    }
    char end[32];
    describe_end(&door->watch, end);
    const struct sfl_certificate_texts lent = lend(&texts);
    if (sfl_certificates_set(door->certificates, &lent) == SFL_OK)
        sfl_log(SFL_LOG_INFO, "certificates_reloaded", SFL_STR("hold_until", end));
    else
        sfl_log(SFL_LOG_ERROR, "certificates_not_reloaded", SFL_STR("reason", "no memory"));
    sfl_tls_texts_deinit(&texts);
}

static void on_look(uv_timer_t *timer)
{
    look(timer->data, false);
}

bool sfl_door_watch(struct sfl_door *door, uv_loop_t *loop)
{
    if (door->certificates == NULL)
        return true;
    if (uv_timer_init(loop, &door->look) != 0)
        return false;
    door->look.data = door;
    return uv_timer_start(&door->look, on_look, SFL_WATCH_LOOK_MS, SFL_WATCH_LOOK_MS) == 0;
}

bool sfl_door_read_again(struct sfl_door *door)
{
    if (door->certificates == NULL)
        return false;
    look(door, true);
    return true;
}

const struct sfl_tls_counts *sfl_door_tls_counts(const struct sfl_door *door)
{
    return door->certificates == NULL ? NULL : &door->watch.counts;
}

// --- addresses ---

static bool note_listener(enum sfl_status status, const char *setting, const char *asked,
                          const char *bound)
{
    if (status != SFL_OK)
        sfl_start_problem(setting, asked, bound);
    return status == SFL_OK;
}

static bool take_unix_socket(struct sfl_door *door, struct sfl_rpc_server *server)
{
    const char *asked = door->settings->unix_socket;
    char path[SFL_DOOR_ADDRESS_MAX];
    enum sfl_status status = sfl_rpc_server_listen_unix(server, asked, path);
    if (!note_listener(status, "unix-socket", asked, path))
        return false;
    snprintf(door->bound[door->count++], SFL_DOOR_ADDRESS_MAX, "unix:%s", asked);
    return true;
}

static bool take_addresses(struct sfl_door *door, struct sfl_rpc_server *server)
{
    const struct sfl_settings *settings = door->settings;
    for (size_t i = 0; i < settings->listen.count; i++) {
        const char *asked = settings->listen.items[i];
        char *bound = door->bound[door->count];
        if (!note_listener(sfl_rpc_server_listen(server, asked, bound), "listen", asked, bound))
            return false;
        door->count++;
    }
    return settings->unix_socket == NULL || take_unix_socket(door, server);
}

bool sfl_door_open(struct sfl_door *door, struct sfl_rpc_server *server)
{
    door->bound = calloc(door->settings->listen.count + 1, sizeof(door->bound[0]));
    if (door->bound == NULL)
        return false;
    sfl_guard_listeners(true);
    bool is_open = take_addresses(door, server);
    sfl_guard_listeners(false);
    return is_open;
}

// Whoever wants it so has said so; it is to stand where somebody looks later.
static void warn_of_open_door(const struct sfl_settings *settings)
{
    if (sfl_settings_are_open(settings))
        sfl_log(SFL_LOG_WARN, "insecure_listen",
                SFL_STR("address", sfl_settings_open_address(settings)),
                SFL_STR("who_may_call", "whoever reaches it"));
}

static void announce_tls(const struct sfl_door *door)
{
    static const char *const words[] = {
        [SFL_CLIENT_AUTH_NONE] = "not asked for",
        [SFL_CLIENT_AUTH_OPTIONAL] = "optional",
        [SFL_CLIENT_AUTH_REQUIRED] = "required",
    };
    char end[32];
    describe_end(&door->watch, end);
    sfl_log(SFL_LOG_INFO, "tls",
            SFL_STR("client_certificates", words[client_auth_of(door->settings)]),
            SFL_STR("certificate_holds_until", end));
}

void sfl_door_announce(const struct sfl_door *door)
{
    for (size_t i = 0; i < door->count; i++) {
        printf("singleflightd listening on %s\n", door->bound[i]);
        sfl_log(SFL_LOG_INFO, "listening", SFL_STR("address", door->bound[i]),
                SFL_STR("version", sfl_version()), SFL_STR("revision", sfl_revision()),
                SFL_STR("grpc", sfl_grpc_version()));
    }
    fflush(stdout);
    if (door->certificates != NULL)
        announce_tls(door);
    warn_of_open_door(door->settings);
}

void sfl_door_close(struct sfl_door *door)
{
    if (door->look.data != NULL)
        uv_timer_stop(&door->look); // the loop closes it
    sfl_certificates_destroy(door->certificates);
    door->certificates = NULL;
    free(door->bound);
    door->bound = NULL;
}
