// SPDX-License-Identifier: Apache-2.0
// The daemon's door: the addresses on which it is called.
#ifndef SFL_DOOR_H
#define SFL_DOOR_H

#include "config/settings.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stddef.h>

enum { SFL_DOOR_ADDRESS_MAX = 300 };

struct sfl_door {
    const struct sfl_settings *settings;
    char (*bound)[SFL_DOOR_ADDRESS_MAX]; // each address as it was taken
    size_t count;
};

// Takes every address of the settings, which are borrowed until the door is closed; nobody is
// served yet. False: one cannot be had, and the log says which and why. The loop thread, as for all
// of this.
bool sfl_door_open(struct sfl_door *door, const struct sfl_settings *settings,
                   struct sfl_rpc_server *server);

// Says where it listens, on standard output for whoever started it with port 0, and in the log.
void sfl_door_announce(const struct sfl_door *door);

// Harmless on a zeroed one. The addresses are the server's to close.
void sfl_door_close(struct sfl_door *door);

#endif
