// SPDX-License-Identifier: Apache-2.0
// singleflightd: what it is made of, put together in order and taken apart in the opposite one.
//
// The main thread is the loop thread: it ticks the engine when a deadline passes, and carries out
// the drain when a signal asks for it. The pumps do all the rest.
#include "admin_wiring.h"
#include "ask_health.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/standard_files.h"
#include "base/trim.h"
#include "check_files.h"
#include "config/settings.h"
#include "coordinator/coordinator.h"
#include "door.h"
#include "engine/engine.h"
#include "notify.h"
#include "rights.h"
#include "rpc/library.h"
#include "rpc/refused.h"
#include "rpc/server.h"
#include "runs/runs.h"
#include "sockets/guard.h"
#include "start_problem.h"
#include "store/keeper.h"
#include "tracing/tracing.h"
#include "transport/service.h"

#include <assert.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

enum {
    EXIT_CANNOT_START = 1,
    DRAIN_POLL_MS = 20,
    // A clock that is so late has stood still with the whole process (stopped, starved, migrated).
    STANDSTILL_MS = 200,
    // What came meanwhile, such as renewals of leases, has so long to be read before it counts.
    CATCH_UP_MS = 250,
    // What is left after the drain has so long to reach its callers. With what the server needs to
    // cancel the rest, the process ends within the two seconds that are promised.
    STOP_GRACE_MS = 1400,
    // And the disk so long to take what waits for it, beyond the drain time.
    FLUSH_GRACE_MS = 500,
    // And the collector of traces so long to take what is left of them.
    TRACES_GRACE_MS = 300,
    TRIM_LOOK_MS = 2000,
    RUNS_LOOK_MS = 200,
};

extern char **environ;

struct daemon {
    struct sfl_settings settings;
    struct sfl_limits limits;
    struct sfl_pumps *pumps;
    struct sfl_store *store;     // NULL without a data directory
    struct sfl_runs *runs;       // NULL when they are not remembered
    struct sfl_tracing *tracing; // NULL when nobody asked for traces
    uint64_t started_us;         // of the wall clock; every token is greater
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    struct sfl_transport *transport;
    struct sfl_rpc_server *server;
    struct sfl_door door;
    struct sfl_rights rights;
    struct sfl_admin_wiring admin;
    struct sfl_watchdog watchdog;

    uv_loop_t loop;
    bool has_loop;
    uv_async_t earlier_tick;
    uv_async_t store_changed;
    uv_async_t runs_added;
    uv_timer_t runs_look;
    uv_timer_t tick;
    uint64_t tick_due_ms;
    bool catches_up; // the next tick waits until what came during a standstill has been read
    uv_timer_t drain_poll;
    uv_timer_t trim_look;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    uint64_t drain_until_ms; // 0: not draining
    struct sfl_trim trim;
};

// --- the process ---

static void prepare_process(const struct sfl_settings *settings)
{
    struct sfl_log_options log = sfl_log_defaults();
    log.level = settings->log_level;
    log.format = settings->log_format;
    sfl_log_configure(&log);
    sfl_library_take_log();

    // A peer that goes while it is written to is the business of whoever writes, and so is a data
    // file that may not grow any further.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        sfl_log(SFL_LOG_WARN, "file_limit_not_raised", SFL_U64("limit", files.rlim_max));
}

static struct sfl_limits limits_of(const struct sfl_settings *settings)
{
    struct sfl_limits limits = sfl_limits_default;
    limits.value_bytes_max = settings->result_bytes_max;
    limits.held_bytes_max = settings->held_bytes_max;
    limits.retained_bytes_max = settings->retained_bytes_max;
    limits.flights_max = settings->flights_max;
    limits.callers_max = settings->callers_max;
    limits.key_bytes_max = settings->key_bytes_max;
    limits.group_bytes_max = settings->group_bytes_max;
    limits.retain_ms_max = settings->retain_ms_max;
    limits.lease_ms_min = settings->lease_ms_min;
    limits.lease_ms_max = settings->lease_ms_max;
    limits.run_limit_ms_max = settings->run_ms_max;
    return limits;
}

// --- the loop ---

// Called by pumps.
static void on_earlier_tick(void *context)
{
    struct daemon *daemon = context;
    uv_async_send(&daemon->earlier_tick);
}

static void on_tick_due(uv_timer_t *timer);

static void set_tick(struct daemon *daemon, uint64_t now_ms, uint64_t wait_ms)
{
    daemon->tick_due_ms = wait_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + wait_ms;
    uv_update_time(&daemon->loop);
    uv_timer_start(&daemon->tick, on_tick_due, wait_ms, 0);
}

static void tick(struct daemon *daemon)
{
    uint64_t next_ms = sfl_engine_tick(daemon->engine);
    uint64_t transport_ms = sfl_transport_tick(daemon->transport);
    if (transport_ms < next_ms)
        next_ms = transport_ms;
    sfl_log_flush(false); // the counts of suppressed lines, when no other line takes them along
    uint64_t now_ms = sfl_clock_now_ms();
    set_tick(daemon, now_ms, next_ms > now_ms ? next_ms - now_ms : 0);
}

// Time in which the daemon served nobody counts against no lease: when the clock comes late, the
// pumps have come late, too, and read first what waits in the sockets.
static bool waits_to_catch_up(struct daemon *daemon)
{
    uint64_t now_ms = sfl_clock_now_ms();
    if (daemon->catches_up) // until the timer has fired, whatever its clock says
        return uv_is_active((const uv_handle_t *)&daemon->tick);
    if (daemon->tick_due_ms > UINT64_MAX - STANDSTILL_MS ||
        now_ms <= daemon->tick_due_ms + STANDSTILL_MS)
        return false;
    daemon->catches_up = true;
    set_tick(daemon, now_ms, CATCH_UP_MS);
    return true;
}

static void tick_in_time(struct daemon *daemon)
{
    if (waits_to_catch_up(daemon))
        return;
    daemon->catches_up = false;
    tick(daemon);
}

static void on_tick_due(uv_timer_t *timer)
{
    tick_in_time(timer->data);
}

static void on_earlier_tick_here(uv_async_t *async)
{
    tick_in_time(async->data);
}

static void on_store_changed_here(uv_async_t *async)
{
    const struct daemon *daemon = async->data;
    sfl_transport_health_changed(daemon->transport);
}

static void log_runs(struct daemon *daemon);

static void on_runs_look(uv_timer_t *timer)
{
    log_runs(timer->data);
}

// While flights end all the time, nobody has to wake this thread for them.
static void log_runs(struct daemon *daemon)
{
    if (sfl_runs_log(daemon->runs))
        uv_timer_start(&daemon->runs_look, on_runs_look, RUNS_LOOK_MS, 0);
}

static void on_runs_added_here(uv_async_t *async)
{
    log_runs(async->data);
}

static void on_drain_poll(uv_timer_t *timer)
{
    struct daemon *daemon = timer->data;
    uint64_t callers; // of leads whose leaders may come back after a restart
    bool is_idle = sfl_engine_is_at_rest(daemon->engine, &callers) &&
                   sfl_transport_is_idle(daemon->transport, callers);
    if (!is_idle && sfl_clock_now_ms() < daemon->drain_until_ms)
        return;
    sfl_log(SFL_LOG_INFO, "drained", SFL_BOOL("in_time", is_idle));
    uv_stop(&daemon->loop);
}

// 0 when it cannot be known.
static uint64_t resident_bytes(void)
{
    size_t bytes = 0;
    return uv_resident_set_memory(&bytes) == 0 ? bytes : 0;
}

// The allocator keeps what a storm of calls has left, page by page, unless it is asked.
static void on_trim_look(uv_timer_t *timer)
{
    struct daemon *daemon = timer->data;
    struct sfl_stats stats = sfl_engine_stats(daemon->engine, (struct sfl_span){NULL, 0});
    const struct sfl_trim_look look = {
        .open = stats.callers_now + sfl_rpc_server_counts(daemon->server).streams_now,
        .calls = stats.calls,
        .resident_bytes = resident_bytes(),
    };
    if (!sfl_trim_is_due(&daemon->trim, &look))
        return;
    uint64_t begun_ms = sfl_clock_now_ms();
    malloc_trim(0);
    sfl_log(SFL_LOG_DEBUG, "memory_given_back", SFL_U64("took_ms", sfl_clock_now_ms() - begun_ms));
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;
    if (daemon->drain_until_ms != 0) {
        sfl_log(SFL_LOG_WARN, "stopping_at_once", SFL_I64("signal", number));
        uv_stop(&daemon->loop);
        return;
    }
    sfl_log(SFL_LOG_INFO, "draining", SFL_I64("signal", number),
            SFL_U64("drain_time_ms", daemon->settings.drain_time_ms));
    sfl_notify("STOPPING=1");
    daemon->drain_until_ms = sfl_clock_now_ms() + daemon->settings.drain_time_ms;
    sfl_transport_drain(daemon->transport);
    sfl_engine_drain(daemon->engine);
    if (daemon->tracing != NULL)
        sfl_tracing_hurry(daemon->tracing);
    uv_timer_start(&daemon->drain_poll, on_drain_poll, 0, DRAIN_POLL_MS);
}

// Unheard, it would end the process without a drain.
static void on_hangup(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;
    sfl_notify_reloading();
    bool has_rights = sfl_rights_reload(&daemon->rights);
    bool has_certificates = sfl_door_read_again(&daemon->door);
    if (!has_rights && !has_certificates)
        sfl_log(SFL_LOG_INFO, "nothing_to_reload", SFL_I64("signal", number));
    sfl_notify("READY=1");
}

// libuv fails here only for want of file descriptors or memory.
static bool open_loop(struct daemon *daemon)
{
    daemon->has_loop = uv_loop_init(&daemon->loop) == 0;
    if (!daemon->has_loop)
        return false;
    bool is_open =
        uv_async_init(&daemon->loop, &daemon->earlier_tick, on_earlier_tick_here) == 0 &&
        uv_async_init(&daemon->loop, &daemon->store_changed, on_store_changed_here) == 0 &&
        uv_async_init(&daemon->loop, &daemon->runs_added, on_runs_added_here) == 0 &&
        uv_timer_init(&daemon->loop, &daemon->tick) == 0 &&
        uv_timer_init(&daemon->loop, &daemon->drain_poll) == 0 &&
        uv_timer_init(&daemon->loop, &daemon->trim_look) == 0 &&
        uv_timer_init(&daemon->loop, &daemon->runs_look) == 0 &&
        uv_signal_init(&daemon->loop, &daemon->sigterm) == 0 &&
        uv_signal_init(&daemon->loop, &daemon->sigint) == 0 &&
        uv_signal_init(&daemon->loop, &daemon->sighup) == 0 &&
        uv_signal_start(&daemon->sighup, on_hangup, SIGHUP) == 0 &&
        uv_signal_start(&daemon->sigterm, on_signal, SIGTERM) == 0 &&
        uv_signal_start(&daemon->sigint, on_signal, SIGINT) == 0;
    daemon->earlier_tick.data = daemon;
    daemon->store_changed.data = daemon;
    daemon->runs_added.data = daemon;
    daemon->runs_look.data = daemon;
    daemon->tick.data = daemon;
    daemon->drain_poll.data = daemon;
    daemon->trim_look.data = daemon;
    daemon->sigterm.data = daemon;
    daemon->sigint.data = daemon;
    daemon->sighup.data = daemon;
    return is_open;
}

static void close_handle(uv_handle_t *handle, void *argument)
{
    (void)argument;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_loop(struct daemon *daemon)
{
    if (!daemon->has_loop)
        return;
    uv_walk(&daemon->loop, close_handle, NULL);
    while (uv_run(&daemon->loop, UV_RUN_DEFAULT) != 0)
        ;
    int error = uv_loop_close(&daemon->loop);
    assert(error == 0);
    (void)error;
    // A second request to end must not turn a good end into a death by signal.
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
}

// --- the parts, from the bottom up ---

static void on_lost(void *context, struct sfl_span group, struct sfl_span key, uint64_t token)
{
    const struct daemon *daemon = context;
    sfl_store_keeper_lost(daemon->engine, group, key, token);
}

static void on_store_change(void *context)
{
    struct daemon *daemon = context;
    uv_async_send(&daemon->store_changed);
}

static bool open_store(struct daemon *daemon)
{
    const struct sfl_store_options options = {
        .directory = daemon->settings.data_dir,
        .retained_bytes_max = daemon->settings.retained_bytes_max,
        .on_lost = on_lost,
        .on_change = on_store_change,
        .context = daemon,
    };
    char error[SFL_STORE_ERROR_MAX];
    if (options.directory == NULL || sfl_store_open(&options, &daemon->store, error) == SFL_OK)
        return true;
    sfl_start_file_problem(&daemon->settings, error);
    return false;
}

// Puts in what was led and retained before the last end.
static bool load_store(struct daemon *daemon)
{
    if (daemon->store == NULL)
        return true;
    struct sfl_store_loaded loaded;
    if (sfl_store_keeper_load(daemon->store, daemon->engine, daemon->runs, &loaded) != SFL_OK) {
        sfl_start_problem("data-dir", daemon->settings.data_dir, "cannot be read");
        return false;
    }
    sfl_log(SFL_LOG_INFO, "data_loaded", SFL_U64("leads", loaded.leads),
            SFL_U64("retained", loaded.outcomes), SFL_U64("runs", loaded.runs));
    // Of those with another of the same key, the newer one counts; otherwise limits have changed.
    if (loaded.dropped > 0)
        sfl_log(SFL_LOG_WARN, "records_without_room", SFL_U64("dropped", loaded.dropped));
    return true;
}

static void on_run_added(void *context)
{
    struct daemon *daemon = context;
    uv_async_send(&daemon->runs_added);
}

static bool create_runs(struct daemon *daemon)
{
    const struct sfl_runs_options options = {
        .limit = daemon->settings.runs_max,
        .keeper = daemon->store == NULL ? NULL : &sfl_store_keeper,
        .keeper_context = daemon->store,
        .on_added = on_run_added,
        .context = daemon,
    };
    return daemon->settings.runs_kept == SFL_RUNS_KEPT_OFF ||
           sfl_runs_create(&options, &daemon->runs) == SFL_OK;
}

static bool create_coordinator(struct daemon *daemon)
{
    const struct sfl_standalone_options options = {
        .lanes = daemon->settings.shards,
        // Without a data file tokens start from the wall clock, so that they grow over a restart.
        .first_token = sfl_clock_wall_us(),
        .take_tokens = daemon->store == NULL ? NULL : sfl_store_keeper_take_tokens,
        .context = daemon->store,
    };
    return sfl_standalone_create(&options, &daemon->coordinator) == SFL_OK;
}

// Before gRPC opens a socket.
static bool open_guard(const struct sfl_settings *settings)
{
    uint8_t mark[SFL_REFUSED_MARK_BYTES];
    sfl_refused_make_mark(mark);
    const struct sfl_guard_options guard = {
        .connections_max = settings->connections_max,
        .address_connections_max = settings->address_connections_max,
        .message_bytes_max = settings->message_bytes_max,
        .unfinished_bytes_max = settings->connection_bytes_max,
        // gRPC keeps the limit for peers that have read of it; this is for the others.
        .streams_max =
            settings->connection_streams_max + settings->connection_streams_max / 8 + 1000,
        .mark = mark,
        .reason_too_large = SFL_REFUSED_TOO_LARGE,
        .reason_connection_full = SFL_REFUSED_CONNECTION_FULL,
    };
    return sfl_guard_open(&guard) == SFL_OK;
}

static void count_network(void *context, struct sfl_network_counts *counts_out)
{
    const struct daemon *daemon = context;
    sfl_count_network(daemon->server, counts_out);
}

static enum sfl_runs_wanted runs_of(const struct sfl_settings *settings)
{
    switch (settings->runs_kept) {
    case SFL_RUNS_KEPT_JOBS:
        return SFL_RUNS_JOBS;
    case SFL_RUNS_KEPT_ALL:
        return SFL_RUNS_ALL;
    case SFL_RUNS_KEPT_OFF:
        break;
    }
    return SFL_RUNS_NONE;
}

static bool create_parts(struct daemon *daemon)
{
    const struct sfl_settings *settings = &daemon->settings;
    if (!open_guard(settings))
        return false;
    if (sfl_pumps_create(settings->pumps, NULL, &daemon->pumps) != SFL_OK)
        return false;
    if (!create_runs(daemon) || !create_coordinator(daemon))
        return false;
    if (sfl_tracing_open(&daemon->tracing) != SFL_OK)
        return false;
    const struct sfl_engine_options engine = {
        .shards = settings->shards,
        .limits = &daemon->limits,
        .coordinator = daemon->coordinator,
        .sink = sfl_transport_sink,
        .keeper = daemon->store == NULL ? NULL : &sfl_store_keeper,
        .keeper_context = daemon->store,
        .quotas = daemon->rights.quotas,
        .runs = runs_of(settings),
        .describe = sfl_transport_describe,
        .first_token = daemon->started_us,
        .on_earlier_tick = on_earlier_tick,
        .tick_context = daemon,
    };
    if (sfl_engine_create(&engine, &daemon->engine) != SFL_OK)
        return false;
    const struct sfl_transport_options transport = {
        .engine = daemon->engine,
        .pumps = daemon->pumps,
        .limits = &daemon->limits,
        .connection_callers_max = settings->connection_callers_max,
        .runs = daemon->runs,
        .security = daemon->rights.security,
        .tracing = daemon->tracing,
        .silence_ms = settings->keepalive_time_ms + settings->keepalive_timeout_ms,
        .on_earlier_tick = on_earlier_tick,
        .tick_context = daemon,
        .count_network = count_network,
        .network_context = daemon,
    };
    if (sfl_transport_create(&transport, &daemon->transport) != SFL_OK)
        return false;
    const struct sfl_rpc_server_options server = {
        .pumps = daemon->pumps,
        .message_bytes_max = settings->message_bytes_max,
        .keepalive_time_ms = settings->keepalive_time_ms,
        .keepalive_timeout_ms = settings->keepalive_timeout_ms,
        .first_message_ms = settings->first_message_ms,
        .connection_streams_max = settings->connection_streams_max,
        .certificates = daemon->door.certificates,
    };
    struct sfl_method methods[SFL_TRANSPORT_METHODS];
    sfl_transport_get_methods(daemon->transport, methods);
    return sfl_rpc_server_create(&server, methods, SFL_TRANSPORT_METHODS, &daemon->server) ==
           SFL_OK;
}

// A disk that hangs is waited for no longer than the drain was to take.
static uint64_t disk_wait_ms(const struct daemon *daemon)
{
    uint64_t now_ms = sfl_clock_now_ms();
    uint64_t until_ms = daemon->drain_until_ms;
    return FLUSH_GRACE_MS + (until_ms > now_ms ? until_ms - now_ms : 0);
}

static void leave_the_disk(struct daemon *daemon)
{
    sfl_log(SFL_LOG_ERROR, "data_not_flushed",
            SFL_U64("waiting_bytes", sfl_store_state(daemon->store).waiting_bytes));
    sfl_log_flush(true);
    _exit(EXIT_SUCCESS); // nobody was told that it is there
}

// Waits until everything that matters is on disk.
static void flush_store(struct daemon *daemon)
{
    if (daemon->store != NULL && !sfl_store_flush(daemon->store, disk_wait_ms(daemon)))
        leave_the_disk(daemon);
}

static uint64_t hits_of(void *context, const struct sfl_run *run)
{
    return sfl_engine_hits(context, run->group, run->key, run->token);
}

static void count_hits(struct daemon *daemon)
{
    if (daemon->runs != NULL && daemon->engine != NULL)
        sfl_runs_add_hits(daemon->runs, hits_of, daemon->engine);
}

// In the opposite order, but for what is said below; parts that were not made are NULL.
static void destroy_parts(struct daemon *daemon)
{
    sfl_admin_wiring_close(&daemon->admin);
    if (daemon->engine != NULL)
        sfl_engine_shut(daemon->engine); // what was loaded stays on disk when the start failed
    // Answers that wait for the disk refer to streams.
    flush_store(daemon);
    if (daemon->server != NULL)
        sfl_rpc_server_destroy(daemon->server);
    // The server has seen the end of every stream, but the pumps may still be putting away what the
    // last ones left behind; joined, they touch no other part any more.
    if (daemon->pumps != NULL)
        sfl_pumps_destroy(daemon->pumps);
    count_hits(daemon);
    if (daemon->transport != NULL)
        sfl_transport_destroy(daemon->transport);
    if (daemon->tracing != NULL)
        sfl_tracing_destroy(daemon->tracing, TRACES_GRACE_MS);
    if (daemon->coordinator != NULL)
        daemon->coordinator->ops->destroy(daemon->coordinator);
    // Outcomes that wait to be written give their bytes back to the engine, so it goes last.
    if (daemon->store != NULL && !sfl_store_close(daemon->store, disk_wait_ms(daemon)))
        leave_the_disk(daemon);
    if (daemon->engine != NULL)
        sfl_engine_destroy(daemon->engine);
    if (daemon->runs != NULL) {
        (void)sfl_runs_log(daemon->runs);
        sfl_runs_destroy(daemon->runs);
    }
    // gRPC closes a connection of our own in a thread of its own, maybe only now, and asks the
    // guard.
    if (daemon->tracing == NULL)
        sfl_guard_close();
    sfl_door_close(&daemon->door);
}

// --- listening ---

static bool start_admin(struct daemon *daemon)
{
    const struct sfl_admin_parts parts = {
        &daemon->settings,       &daemon->limits,       daemon->engine, daemon->transport,
        daemon->server,          daemon->pumps,         daemon->store,  daemon->runs,
        daemon->rights.security, daemon->rights.quotas, &daemon->door,  daemon->tracing,
        daemon->started_us};
    return sfl_admin_wiring_open(&daemon->admin, &daemon->loop, &parts);
}

static bool start(struct daemon *daemon)
{
    if (!sfl_door_open(&daemon->door, daemon->server) || !start_admin(daemon))
        return false;
    sfl_rpc_server_start(daemon->server);
    sfl_door_announce(&daemon->door);
    sfl_admin_wiring_announce(&daemon->admin);
    return true;
}

static bool watch(struct daemon *daemon)
{
    if (sfl_door_watch(&daemon->door, &daemon->loop) &&
        sfl_rights_watch(&daemon->rights, &daemon->loop, daemon->transport) &&
        sfl_watchdog_start(&daemon->watchdog, &daemon->loop, daemon->pumps))
        return true;
    sfl_start_without_room();
    return false;
}

// --- the end ---

// False when something stays open: a connection whose client does not read, which gRPC would hold
// until its keepalive gives up, or more RPCs than gRPC can end in time.
static bool stop(struct daemon *daemon)
{
    sfl_engine_shut(daemon->engine);
    sfl_transport_close(daemon->transport);
    return sfl_rpc_server_shutdown(daemon->server, STOP_GRACE_MS);
}

// Ends the process beside that, with everything that matters on disk. Whoever was not told yet sees
// its connection end, which gRPC libraries report as UNAVAILABLE, too.
static void leave_at_once(struct daemon *daemon)
{
    sfl_log(SFL_LOG_WARN, "streams_left_open");
    // Not closed: the pumps still run. Who waited for the disk may leave something to be written.
    flush_store(daemon);
    count_hits(daemon);
    flush_store(daemon);
    sfl_log_flush(true);
    _exit(EXIT_SUCCESS);
}

static int run(struct daemon *daemon)
{
    int exit_code = EXIT_CANNOT_START;
    if (!sfl_door_prepare(&daemon->door, &daemon->settings))
        return SFL_EXIT_CONFIG;
    daemon->started_us = sfl_clock_wall_us(); // before the first token can be granted
    if (!open_store(daemon))
        goto out_of_store;
    if (!open_loop(daemon) || !create_parts(daemon)) {
        sfl_start_without_room();
        goto out;
    }
    if (!load_store(daemon) || !start(daemon) || !watch(daemon))
        goto out;
    tick(daemon);
    sfl_notify("READY=1");
    // The first look is now: it says how little the process needs.
    uv_timer_start(&daemon->trim_look, on_trim_look, 0, TRIM_LOOK_MS);
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    if (!stop(daemon))
        leave_at_once(daemon);
    exit_code = EXIT_SUCCESS;
out:
    destroy_parts(daemon);
    close_loop(daemon);
out_of_store:
    sfl_log_flush(true);
    return exit_code;
}

int main(int argc, char *argv[])
{
    static struct daemon daemon;
    int exit_code = EXIT_SUCCESS;
    if (!sfl_standard_files_open())
        return EXIT_CANNOT_START;
    sfl_library_skip_exit_cleanup();
    sfl_settings_set_file_check(sfl_check_files);
    sfl_settings_set_health_question(sfl_ask_health);
    if (!sfl_settings_load(argc, argv, environ, stdout, stderr, &daemon.settings, &exit_code))
        return exit_code;
    prepare_process(&daemon.settings);
    sfl_settings_warn_of_unknown(environ);
    daemon.limits = limits_of(&daemon.settings);
    if (sfl_rights_open(&daemon.rights, &daemon.settings, &exit_code))
        exit_code = run(&daemon);
    sfl_rights_close(&daemon.rights);
    sfl_settings_deinit(&daemon.settings);
    return exit_code;
}
