// SPDX-License-Identifier: Apache-2.0
#include "notify.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_SECONDS_MAX 1
// A fourth of the time that is allowed: an answer may take one, and the loop may be late.
#define PINGS_PER_TIME 4

// The size of the address; 0: it is none. "@" begins an abstract one.
static socklen_t make_address(const char *path, struct sockaddr_un *address)
{
    size_t size = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || size >= sizeof(address->sun_path))
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, size);
    if (path[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static bool send_lines(const char *path, const char *lines)
{
    struct sockaddr_un address;
    const struct timeval bound = {.tv_sec = SEND_SECONDS_MAX};
    socklen_t size = make_address(path, &address);
    errno = EINVAL;
    if (size == 0)
        return false;
    int out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (out < 0)
        return false;
    bool is_sent = setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound)) == 0 &&
                   sendto(out, lines, strlen(lines), MSG_NOSIGNAL,
                          (const struct sockaddr *)&address, size) >= 0;
    int error = errno;
    close(out);
    errno = error;
    return is_sent;
}

void sfl_notify(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || path[0] == '\0' || send_lines(path, lines))
        return;
    sfl_log(SFL_LOG_WARN, "manager_not_notified", SFL_STR("socket", path),
            SFL_STR("reason", strerror(errno)));
}

void sfl_notify_reloading(void)
{
    char lines[64];
    snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             sfl_clock_now_ns() / 1000);
    sfl_notify(lines);
}

// --- the watchdog ---

// 0: nobody asks, or asks another process.
static uint64_t ping_ms(void)
{
    const char *time = getenv("WATCHDOG_USEC");
    const char *process = getenv("WATCHDOG_PID");
    if (time == NULL || (process != NULL && strtoll(process, NULL, 10) != getpid()))
        return 0;
    uint64_t all_us = strtoull(time, NULL, 10);
    uint64_t ms = all_us / 1000 / PINGS_PER_TIME;
    return ms == 0 && all_us > 0 ? 1 : ms;
}

static void on_answer(struct sfl_pump_work *work)
{
    struct sfl_watchdog_ping *ping = SFL_CONTAINER_OF(work, struct sfl_watchdog_ping, work);
    atomic_fetch_sub(ping->missing, 1);
}

static void on_timer(uv_timer_t *timer)
{
    struct sfl_watchdog *watchdog = timer->data;
    if (atomic_load(&watchdog->missing) > 0)
        return;
    sfl_notify("WATCHDOG=1");
    unsigned count = sfl_pumps_count(watchdog->pumps);
    atomic_store(&watchdog->missing, count);
    for (unsigned i = 0; i < count; i++)
        sfl_pump_post(sfl_pumps_get(watchdog->pumps, i), &watchdog->pings[i].work);
}

bool sfl_watchdog_start(struct sfl_watchdog *watchdog, uv_loop_t *loop, struct sfl_pumps *pumps)
{
    uint64_t ms = ping_ms();
    if (ms == 0)
        return true;
    watchdog->pumps = pumps;
    for (unsigned i = 0; i < SFL_PUMPS_MAX; i++) {
        watchdog->pings[i].work.run = on_answer;
        watchdog->pings[i].missing = &watchdog->missing;
    }
    if (uv_timer_init(loop, &watchdog->timer) != 0)
        return false;
    watchdog->timer.data = watchdog;
    return uv_timer_start(&watchdog->timer, on_timer, ms, ms) == 0;
}
