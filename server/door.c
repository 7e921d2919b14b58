// SPDX-License-Identifier: Apache-2.0
#include "door.h"

#include "base/log.h"
#include "base/version.h"
#include "sockets/guard.h"

#include <stdio.h>
#include <stdlib.h>

static bool note_listener(enum sfl_status status, const char *asked, const char *bound)
{
    if (status == SFL_OK)
        return true;
    sfl_log(SFL_LOG_ERROR, "cannot_listen", SFL_STR("address", asked), SFL_STR("reason", bound));
    return false;
}

static bool take_unix_socket(struct sfl_door *door, struct sfl_rpc_server *server)
{
    const char *asked = door->settings->unix_socket;
    char path[SFL_DOOR_ADDRESS_MAX];
    enum sfl_status status = sfl_rpc_server_listen_unix(server, asked, path);
    if (!note_listener(status, asked, path))
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
        if (!note_listener(sfl_rpc_server_listen(server, asked, bound), asked, bound))
            return false;
        door->count++;
    }
    return settings->unix_socket == NULL || take_unix_socket(door, server);
}

bool sfl_door_open(struct sfl_door *door, const struct sfl_settings *settings,
                   struct sfl_rpc_server *server)
{
    door->settings = settings;
    door->bound = calloc(settings->listen.count + 1, sizeof(door->bound[0]));
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

void sfl_door_announce(const struct sfl_door *door)
{
    for (size_t i = 0; i < door->count; i++) {
        printf("singleflightd listening on %s\n", door->bound[i]);
        sfl_log(SFL_LOG_INFO, "listening", SFL_STR("address", door->bound[i]),
                SFL_STR("version", sfl_version()), SFL_STR("revision", sfl_revision()),
                SFL_STR("grpc", sfl_grpc_version()));
    }
    fflush(stdout);
    warn_of_open_door(door->settings);
}

void sfl_door_close(struct sfl_door *door)
{
    free(door->bound);
    *door = (struct sfl_door){.bound = NULL};
}
