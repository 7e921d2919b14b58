// SPDX-License-Identifier: Apache-2.0
// The daemon's door: the addresses on which it is called, and the certificates that it shows and
// believes there. All of this is for the loop thread.
#ifndef SFL_DOOR_H
#define SFL_DOOR_H

#include "config/settings.h"
#include "rpc/certificates.h"
#include "rpc/server.h"
#include "security/tls_watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum { SFL_DOOR_ADDRESS_MAX = 300 };

struct sfl_door {
    const struct sfl_settings *settings;
    char (*bound)[SFL_DOOR_ADDRESS_MAX]; // each address as it was taken
    size_t count;
    struct sfl_certificates *certificates;  // NULL: no TLS
    struct sfl_tls_watch watch;             // with certificates only
    char problem[SFL_SECURITY_PROBLEM_MAX]; // of the newest files; empty: they have none
    uv_timer_t look;
};

// Reads the certificates, if the settings name any; they are borrowed until the door is closed.
// False: they are not good, and standard error has the reason.
bool sfl_door_prepare(struct sfl_door *door, const struct sfl_settings *settings);

// Takes every address of the settings; nobody is served yet. False: one cannot be had, and the log
// says which and why.
bool sfl_door_open(struct sfl_door *door, struct sfl_rpc_server *server);

// Looks at the certificates from now on, for as long as the loop runs.
bool sfl_door_watch(struct sfl_door *door, uv_loop_t *loop);

// Reads them again now. False: there are none.
bool sfl_door_read_again(struct sfl_door *door);

// What the admin page shows. NULL without TLS.
const struct sfl_tls_counts *sfl_door_tls_counts(const struct sfl_door *door);

// Says where it listens, on standard output for whoever started it with port 0, and in the log.
void sfl_door_announce(const struct sfl_door *door);

// After the server, whose the addresses are to close, and before the loop. Harmless on a zeroed
// one.
void sfl_door_close(struct sfl_door *door);

#endif
