// SPDX-License-Identifier: Apache-2.0
// What the service manager is told: sd_notify(3), which is a datagram to $NOTIFY_SOCKET.
#ifndef SFL_NOTIFY_H
#define SFL_NOTIFY_H

#include "rpc/pump.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

// Sends lines such as "READY=1". Nothing happens when nobody has asked; a manager that does not
// take it is waited for a second, and the log says so. Any thread.
void sfl_notify(const char *lines);

// Says that settings are read again; "READY=1" says that they have been.
void sfl_notify_reloading(void);

// Says that the daemon lives, as often as $WATCHDOG_USEC asks for: when the loop runs, and every
// pump has answered since it was said last.
struct sfl_watchdog {
    uv_timer_t timer;
    struct sfl_pumps *pumps;
    struct sfl_watchdog_ping {
        struct sfl_pump_work work;
        atomic_uint *missing;
    } pings[SFL_PUMPS_MAX];
    atomic_uint missing; // answers
};

// From the loop's thread, for as long as the loop runs; the pumps are borrowed so long. Harmless
// when nobody has asked. False: libuv has no memory.
bool sfl_watchdog_start(struct sfl_watchdog *watchdog, uv_loop_t *loop, struct sfl_pumps *pumps);

#endif
