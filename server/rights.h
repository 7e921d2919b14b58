// SPDX-License-Identifier: Apache-2.0
// The daemon's rights: the token file and the access file, read at start, looked at all the time.
#ifndef SFL_RIGHTS_H
#define SFL_RIGHTS_H

#include "config/settings.h"
#include "engine/quotas.h"
#include "security/security.h"
#include "security/watched_file.h"
#include "transport/service.h"

#include <stdbool.h>
#include <uv.h>

// Zeroed until it is opened; then everything but `security` and `quotas` is private.
struct sfl_rights {
    struct sfl_security *security; // NULL: everybody may do everything
    struct sfl_quotas *quotas;     // NULL: groups have none
    struct sfl_transport *transport;
    struct sfl_watched_files files;
    uv_timer_t look;
};

// Reads the files that the settings name, which are borrowed until it is closed. False when that
// cannot be: a line on standard error says why, and *exit_code_out is set. The
// loop's thread, as for all of this.
bool sfl_rights_open(struct sfl_rights *rights, const struct sfl_settings *settings,
                     int *exit_code_out);

// From now on changes of the files are taken over, and what loses its right ends. The loop must be
// closed before the rights are. False when the loop takes no timer.
bool sfl_rights_watch(struct sfl_rights *rights, uv_loop_t *loop, struct sfl_transport *transport);

// Reads the files again, whether they have changed or not. False: there are none.
bool sfl_rights_reload(struct sfl_rights *rights);

// After the transport and the engine. Harmless on a zeroed one.
void sfl_rights_close(struct sfl_rights *rights);

#endif
