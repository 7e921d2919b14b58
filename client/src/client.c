// SPDX-License-Identifier: Apache-2.0
#include "src/client.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "base/references.h"
#include "src/call.h"
#include "src/constants.h"
#include "src/error.h"
#include "src/seat.h"
#include "src/server.h"
#include "src/unary.h"

#include <assert.h>
#include <stdlib.h>

// gRPC begins a wait that was interrupted anew, for the whole of its time: when the process was
// stopped and goes on, or was frozen with its container. No timer is later than this for it.
#define WAIT_MS_MAX 250

// A thread that wakes so much too late has been stopped, with its process or its machine.
#define PAUSE_MS_MIN 1000

// -------------------------------------------------------------------------------------- commands

// The client whose thread this is; NULL on any other thread.
static _Thread_local struct singleflight_client *own_client;

// Takes the commands, and puts `left` in their place; the oldest comes first.
static struct sfl_command *take_commands(struct singleflight_client *client,
                                         struct sfl_command *left)
{
    struct sfl_command *at = atomic_exchange(&client->commands, left);
    struct sfl_command *oldest = NULL;
    while (at != NULL) {
        struct sfl_command *before = at->next;
        at->next = oldest;
        oldest = at;
        at = before;
    }
    return oldest;
}

static void run_all(struct sfl_command *at)
{
    while (at != NULL) {
        struct sfl_command *next = at->next;
        at->run(at);
        at = next;
    }
}

static bool has_commands_of_others(struct singleflight_client *client)
{
    struct sfl_command *newest = atomic_load(&client->commands);
    return newest != NULL && newest != &client->no_commands;
}

static bool has_commands(struct singleflight_client *client)
{
    return client->own_commands != NULL || has_commands_of_others(client);
}

static struct sfl_command *take_own_commands(struct singleflight_client *client)
{
    struct sfl_command *oldest = client->own_commands;
    client->own_commands = NULL;
    client->own_commands_end = &client->own_commands;
    return oldest;
}

void sfl_client_run_commands(struct singleflight_client *client)
{
    client->runs_commands_next = false;
    // Those that are posted from now on are seen before the thread sleeps again.
    atomic_store_explicit(&client->is_asleep, false, memory_order_relaxed);
    // Its own are older than all others that are there: else they would be among them.
    struct sfl_command *own = take_own_commands(client);
    struct sfl_command *others =
        has_commands_of_others(client) ? take_commands(client, NULL) : NULL;
    run_all(own);
    run_all(others);
}

void sfl_client_expect_commands(struct singleflight_client *client)
{
    client->runs_commands_next = true;
}

static void run_next_turn(struct sfl_pump_work *work)
{
    sfl_client_run_commands(SFL_CONTAINER_OF(work, struct singleflight_client, next_turn));
}

// The command may have run by now, and the client may have been closed since: then nobody sleeps.
static void wake(struct singleflight_client *client)
{
    if (!atomic_exchange(&client->is_asleep, false))
        return;
    pthread_mutex_lock(&client->lock);
    if (!client->closed)
        sfl_pump_wake(client->pump);
    pthread_mutex_unlock(&client->lock);
}

// Puts it in the queue that any thread may add to.
static bool push(struct singleflight_client *client, struct sfl_command *command)
{
    struct sfl_command *newest = atomic_load(&client->commands);
    do {
        if (newest == &client->no_commands)
            return false;
        command->next = newest;
    } while (!atomic_compare_exchange_weak(&client->commands, &newest, command));
    // Whoever finds others there relies on the wake of who came first.
    if (newest == NULL)
        wake(client);
    return true;
}

static bool post_here(struct singleflight_client *client, struct sfl_command *command)
{
    if (atomic_load(&client->commands) != NULL)
        return push(client, command);
    command->next = NULL;
    *client->own_commands_end = command;
    client->own_commands_end = &command->next;
    if (!client->runs_commands_next)
        sfl_pump_defer(&client->next_turn);
    return true;
}

bool sfl_client_post(struct singleflight_client *client, struct sfl_command *command)
{
    if (own_client == client)
        return post_here(client, command);
    // Until after the wake: the command may have taken the last other reference along by then.
    sfl_client_ref(client);
    bool is_queued = push(client, command);
    sfl_client_unref(client);
    return is_queued;
}

// ------------------------------------------------------------------------------ the pump's hooks

static void note_pause(struct singleflight_client *client, uint64_t now_ms)
{
    bool is_late = client->wakes_by_ms != UINT64_MAX && now_ms > client->wakes_by_ms + PAUSE_MS_MIN;
    if (is_late) {
        client->pause_from_ms = client->awake_ms;
        client->pause_to_ms = now_ms;
    }
    client->awake_ms = now_ms;
}

// Asked before each wait. The order matters: first the sign that a wake is needed, then the look.
static uint64_t next_tick_ms(void *context)
{
    struct singleflight_client *client = context;
    own_client = client;
    atomic_store(&client->is_asleep, true);
    uint64_t next_ms = sfl_timers_next_ms(&client->timers);
    if (next_ms == UINT64_MAX) {
        client->wakes_by_ms = UINT64_MAX;
        return has_commands(client) ? 0 : UINT64_MAX;
    }
    uint64_t now_ms = sfl_clock_boot_ms();
    note_pause(client, now_ms);
    uint64_t wait_ms = next_ms <= now_ms ? 0 : next_ms - now_ms;
    if (wait_ms > WAIT_MS_MAX)
        wait_ms = WAIT_MS_MAX;
    client->wakes_by_ms = now_ms + wait_ms;
    return has_commands(client) ? 0 : sfl_clock_now_ms() + wait_ms;
}

static void on_tick(void *context)
{
    struct singleflight_client *client = context;
    sfl_client_run_commands(client);
    uint64_t now_ms = sfl_clock_boot_ms();
    note_pause(client, now_ms);
    sfl_timers_fire(&client->timers, now_ms);
}

// --------------------------------------------------------------------------------------- closing

// When the last stream is over the client's thread takes no more commands, and has nothing to do.
static void close_if_done(struct singleflight_client *client)
{
    bool is_done =
        client->closing && client->streams_open == 0 && sfl_list_is_empty(&client->unaries);
    if (!is_done || client->closed) // (only this thread closes it)
        return;
    struct sfl_command *others = take_commands(client, &client->no_commands);
    *client->own_commands_end = others;
    client->late = take_own_commands(client);
    pthread_mutex_lock(&client->lock);
    client->closed = true;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

void sfl_client_on_something_ended(struct singleflight_client *client)
{
    if (!client->closing)
        return;
    close_if_done(client);
}

static void on_close_timer(struct sfl_timer *timer)
{
    struct singleflight_client *client =
        SFL_CONTAINER_OF(timer, struct singleflight_client, close_timer);
    for (size_t i = 0; i < client->server_count; i++)
        sfl_server_cut(&client->servers[i]);
}

// Calls end at once. What is left goes out in its time: leaves, and outcomes of ended functions.
static void run_close(struct sfl_command *command)
{
    struct singleflight_client *client =
        SFL_CONTAINER_OF(command, struct singleflight_client, close);
    struct sfl_link *next = NULL;
    for (struct sfl_link *at = sfl_list_first(&client->seats); at != NULL; at = next) {
        next = sfl_list_next(&client->seats, at);
        sfl_seat_close(SFL_CONTAINER_OF(at, struct sfl_seat, client_link));
    }
    struct sfl_link *link;
    while ((link = sfl_list_first(&client->calls)) != NULL)
        sfl_call_abort(SFL_CONTAINER_OF(link, struct singleflight_call, client_link));
    while ((link = sfl_list_first(&client->unaries)) != NULL) {
        sfl_link_remove(link); // cancelling may or may not take it out
        sfl_unary_cancel(SFL_CONTAINER_OF(link, struct sfl_unary, link));
    }
    client->closing = true;
    for (size_t i = 0; i < client->server_count; i++)
        sfl_server_close(&client->servers[i]);
    sfl_timers_arm(&client->timers, &client->close_timer, sfl_clock_boot_ms() + SFL_CLOSE_MS);
    close_if_done(client);
}

// Drops what was posted too late. The client's thread has ended.
static void drop_commands(struct singleflight_client *client)
{
    client->closing = true;
    run_all(client->late);
}

void singleflight_client_destroy(struct singleflight_client *client)
{
    if (client == NULL)
        return;
    assert(!sfl_pump_is_current());
    (void)sfl_client_post(client, &client->close);
    pthread_mutex_lock(&client->lock);
    while (!client->closed)
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);

    for (size_t i = 0; i < client->server_count; i++)
        sfl_server_deinit(&client->servers[i]);
    sfl_pumps_destroy(client->pumps);
    client->pumps = NULL;
    drop_commands(client);
    struct sfl_link *link;
    while ((link = sfl_list_first(&client->seats)) != NULL)
        sfl_seat_destroy(SFL_CONTAINER_OF(link, struct sfl_seat, client_link));
    sfl_client_unref(client);
}

// ------------------------------------------------------------------------------------------ life

struct singleflight_client *sfl_client_ref(struct singleflight_client *client)
{
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
    return client;
}

void sfl_client_unref(struct singleflight_client *client)
{
    if (!sfl_references_drop(&client->references))
        return;
    sfl_map_deinit(&client->merging);
    free(client->servers);
    sfl_settings_deinit(&client->settings);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

static void init(struct singleflight_client *client)
{
    atomic_init(&client->references, 1);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->changed, NULL);
    atomic_init(&client->commands, NULL);
    atomic_init(&client->is_asleep, false);
    client->own_commands_end = &client->own_commands;
    client->next_turn.run = run_next_turn;
    sfl_list_init(&client->calls);
    sfl_list_init(&client->seats);
    sfl_list_init(&client->holds);
    sfl_list_init(&client->unaries);
    sfl_map_init(&client->merging);
    client->merging_seed = sfl_entropy_u64();
    client->close.run = run_close;
    client->close_timer.fire = on_close_timer;
    client->hold_timer.fire = sfl_seat_on_hold_timer;
    client->wakes_by_ms = UINT64_MAX;
}

// Starts the thread, and makes the channels. On failure what was made is undone.
static enum sfl_status start(struct singleflight_client *client, const char **problem_out)
{
    client->servers = calloc(client->settings.address_count, sizeof(struct sfl_server));
    if (client->servers == NULL)
        return SFL_NO_MEMORY;
    const struct sfl_pump_hooks hooks = {
        .next_tick_ms = next_tick_ms,
        .on_tick = on_tick,
        .context = client,
    };
    *problem_out = "the client's thread could not be started";
    enum sfl_status status = sfl_pumps_create(1, &hooks, &client->pumps);
    if (status != SFL_OK)
        return status;
    client->pump = sfl_pumps_get(client->pumps, 0);
    for (size_t i = 0; i < client->settings.address_count && status == SFL_OK; i++) {
        status = sfl_server_init(&client->servers[i], client, client->settings.addresses[i]);
        client->server_count++;
    }
    if (status == SFL_OK)
        return SFL_OK;
    *problem_out = "an address cannot be read: \"host:port\" or \"unix:/path\" is wanted";
    for (size_t i = 0; i < client->server_count; i++)
        sfl_server_deinit(&client->servers[i]);
    sfl_pumps_destroy(client->pumps);
    return status;
}

enum singleflight_status
singleflight_client_create(const struct singleflight_client_options *options,
                           struct singleflight_client **client_out)
{
    const char *problem = "there is no memory left";
    struct singleflight_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return sfl_error_set(SINGLEFLIGHT_RESOURCE_EXHAUSTED, problem);
    init(client);
    enum sfl_status status = sfl_settings_init(&client->settings, options, &problem);
    if (status == SFL_OK)
        status = start(client, &problem);
    if (status != SFL_OK) {
        sfl_client_unref(client);
        return sfl_error_set(sfl_error_of(status), problem);
    }
    *client_out = client;
    return SINGLEFLIGHT_OK;
}
