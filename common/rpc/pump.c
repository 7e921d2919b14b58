// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // pthread_setname_np
#include "rpc/pump.h"

#include "base/clock.h"
#include "base/counter.h"
#include "rpc/library.h"
#include "rpc/operation_private.h"

#include <grpc/support/time.h>

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

// So many completions are handled before deferred work has its turn.
#define DRAIN_MAX 128

// When so much work has been deferred, it is a turn's: it may be a send each.
#define FRESH_MAX 32

// A turn of deferred work lasts so long. What is left over goes to the backlog.
#define TURN_NS 125000

// gRPC looks at one socket at a time, and at none when a completion has come while nobody waited; a
// send that is done at once is enough for that. So a pump that has something else to do looks so
// many times: between two turns while there is a backlog, otherwise once in a turn's time.
#define LOOKS_MAX 4

// Cleanup waits so long for the backlog to be worked off. What has ended holds memory meanwhile.
#define CLEANUP_WAIT_NS 200000000

// How much later waits end while completions never cease.
#define WAIT_GRACE_MS 1000

// Above so many, one goes for each that comes: a call takes 12 KiB until it is freed.
#define CLEANUP_MAX 10000

// Who waited so long for a completion has looked at the sockets.
#define WAIT_NS 10000

// To wake a thread that waits on a queue, an empty batch is started on a call that goes nowhere:
// it completes at once.
struct waker {
    grpc_channel *channel;
    grpc_call *call;
    struct sfl_operation operation;
    atomic_bool is_pending;
    bool has_rung; // pump thread only: a wake came in since the last on_tick
};

struct sfl_pump {
    const struct sfl_pump_hooks *hooks;
    grpc_completion_queue *queue;
    struct waker waker;
    pthread_mutex_t posted_lock;
    struct sfl_list posted; // by other threads; under the lock
    // Pump thread only.
    struct sfl_list fresh;   // deferred since the last turn
    struct sfl_list backlog; // what was left over in earlier turns, and what a crowd needs
    struct sfl_list cleanup; // what nobody waits for
    size_t cleanup_count;
    size_t fresh_count;
    size_t backlog_count;
    uint64_t cleanup_due_ns;                    // of the first one
    bool is_in_backlog;                         // its works run
    struct sfl_list waits[SFL_PUMP_WAIT_KINDS]; // in the order of due_ms
    uint64_t now_ns;                            // when the completions at hand began to be handled
    bool is_drained;                            // nothing was left before the works that run
    uint64_t turn_end_ns;
    uint64_t looked_ns; // when all sockets have had their look, at the latest
    unsigned index;
    // Others read these.
    struct {
#define SFL_PUMP_COUNTER(field, kind, metric, help) sfl_counter field;
        SFL_PUMP_COUNTS_LIST(SFL_PUMP_COUNTER)
#undef SFL_PUMP_COUNTER
    } counts;
    pthread_t thread;
};

struct sfl_pumps {
    struct sfl_pump_hooks hooks;
    atomic_uint next_posted; // the pump for what is posted next, modulo `count`
    unsigned count;
    struct sfl_pump pumps[];
};

static _Thread_local struct sfl_pump *current;

grpc_completion_queue *sfl_pump_queue(struct sfl_pump *pump)
{
    return pump->queue;
}

gpr_timespec sfl_operation_deadline(uint64_t monotonic_ms)
{
    if (monotonic_ms == UINT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    int64_t left_ns = 0;
    uint64_t now_ns = sfl_clock_now_ns();
    if (monotonic_ms > INT64_MAX / 1000000)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (monotonic_ms * 1000000 > now_ns)
        left_ns = (int64_t)(monotonic_ms * 1000000 - now_ns);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left_ns, GPR_TIMESPAN));
}

uint64_t sfl_operation_monotonic_ms(gpr_timespec deadline)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return UINT64_MAX;
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    int64_t left_ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    uint64_t now_ms = sfl_clock_now_ms();
    if (left_ms >= 0)
        return now_ms + (uint64_t)left_ms;
    return (uint64_t)-left_ms < now_ms ? now_ms - (uint64_t)-left_ms : 0;
}

// What others have posted is the backlog's from here on.
static void take_posted(struct sfl_pump *pump)
{
    struct sfl_link *link;
    pthread_mutex_lock(&pump->posted_lock);
    while ((link = sfl_list_pop(&pump->posted)) != NULL) {
        sfl_list_append(&pump->backlog, link);
        pump->backlog_count++;
    }
    pthread_mutex_unlock(&pump->posted_lock);
}

static void on_woken(struct sfl_operation *operation, bool ok)
{
    struct waker *waker = SFL_CONTAINER_OF(operation, struct waker, operation);
    (void)ok;
    waker->has_rung = true;
    // From here on a wake is a new one: what follows sees what came before it, and so does on_tick.
    atomic_store(&waker->is_pending, false);
    take_posted(SFL_CONTAINER_OF(waker, struct sfl_pump, waker));
}

void sfl_pump_wake(struct sfl_pump *pump)
{
    struct waker *waker = &pump->waker;
    if (atomic_exchange(&waker->is_pending, true))
        return;
    sfl_operation_start(&waker->operation);
    grpc_call_error error = grpc_call_start_batch(waker->call, NULL, 0, &waker->operation, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

void sfl_pump_post(struct sfl_pump *pump, struct sfl_pump_work *work)
{
    if (atomic_exchange(&work->is_queued, true))
        return;
    pthread_mutex_lock(&pump->posted_lock);
    sfl_list_append(&pump->posted, &work->link);
    pthread_mutex_unlock(&pump->posted_lock);
    sfl_pump_wake(pump);
}

void sfl_pumps_post(struct sfl_pumps *pumps, struct sfl_pump_work *work)
{
    unsigned turn = atomic_fetch_add_explicit(&pumps->next_posted, 1, memory_order_relaxed);
    sfl_pump_post(&pumps->pumps[turn % pumps->count], work);
}

bool sfl_pump_is_current(void)
{
    return current != NULL;
}

// --- waits ---

void sfl_pump_wait_begin(struct sfl_pump_wait *wait, enum sfl_pump_wait_kind kind, uint64_t ms)
{
    assert(current != NULL);
    wait->due_ms = current->now_ns / 1000000 + ms;
    sfl_list_append(&current->waits[kind], &wait->link);
}

void sfl_pump_wait_end(struct sfl_pump_wait *wait)
{
    sfl_link_remove(&wait->link);
}

static struct sfl_pump_wait *first_wait(const struct sfl_pump *pump, unsigned kind)
{
    struct sfl_link *link = sfl_list_first(&pump->waits[kind]);
    return link == NULL ? NULL : SFL_CONTAINER_OF(link, struct sfl_pump_wait, link);
}

// When the first wait is over; UINT64_MAX when there is none.
static uint64_t next_wait_ms(const struct sfl_pump *pump)
{
    uint64_t next_ms = UINT64_MAX;
    for (unsigned kind = 0; kind < SFL_PUMP_WAIT_KINDS; kind++) {
        const struct sfl_pump_wait *wait = first_wait(pump, kind);
        if (wait != NULL && wait->due_ms < next_ms)
            next_ms = wait->due_ms;
    }
    return next_ms;
}

// --- turns ---

// Returns the time.
static uint64_t begin_turn(struct sfl_pump *pump, uint64_t length_ns)
{
    uint64_t now_ns = sfl_clock_now_ns();
    pump->turn_end_ns = now_ns + length_ns;
    return now_ns;
}

static bool is_turn_over(const struct sfl_pump *pump)
{
    return pump->fresh_count >= FRESH_MAX || sfl_clock_now_ns() >= pump->turn_end_ns;
}

bool sfl_pump_should_yield(void)
{
    return current != NULL && is_turn_over(current);
}

bool sfl_pump_is_drained(void)
{
    assert(current != NULL);
    return current->is_drained;
}

void sfl_pump_defer_crowd(struct sfl_pump_work *work)
{
    assert(current != NULL);
    if (atomic_exchange(&work->is_queued, true))
        return;
    sfl_list_append(&current->backlog, &work->link);
    current->backlog_count++;
}

void sfl_pump_defer(struct sfl_pump_work *work)
{
    if (current == NULL) {
        if (!atomic_load(&work->is_queued))
            work->run(work);
        return;
    }
    // What the backlog brings is as urgent as the backlog.
    if (current->is_in_backlog) {
        sfl_pump_defer_crowd(work);
        return;
    }
    if (atomic_exchange(&work->is_queued, true))
        return;
    sfl_list_append(&current->fresh, &work->link);
    current->fresh_count++;
}

static void run_cleanup(struct sfl_pump *pump, size_t count_max)
{
    struct sfl_link *link;
    for (size_t i = 0; i < count_max && (link = sfl_list_pop(&pump->cleanup)) != NULL; i++) {
        pump->cleanup_count--;
        struct sfl_pump_work *work = SFL_CONTAINER_OF(link, struct sfl_pump_work, link);
        work->run(work);
        if (is_turn_over(pump))
            return;
    }
}

void sfl_pump_defer_cleanup(struct sfl_pump_work *work)
{
    if (current == NULL) {
        work->run(work);
        return;
    }
    if (sfl_list_is_empty(&current->cleanup))
        current->cleanup_due_ns = sfl_clock_now_ns() + CLEANUP_WAIT_NS;
    sfl_list_append(&current->cleanup, &work->link);
    // A peer that begins and resets calls without end brings more than the quiet times take away.
    if (++current->cleanup_count > CLEANUP_MAX)
        run_cleanup(current, 1);
}

// Runs one at least, then until the turn is over. Returns how many have run.
static size_t run_some(struct sfl_pump *pump, struct sfl_list *works)
{
    size_t count = 0;
    struct sfl_link *link;
    while ((count == 0 || !is_turn_over(pump)) && (link = sfl_list_pop(works)) != NULL) {
        struct sfl_pump_work *work = SFL_CONTAINER_OF(link, struct sfl_pump_work, link);
        // Before the run: whoever finds the work queued relies on a run that is yet to come.
        atomic_store(&work->is_queued, false);
        work->run(work);
        count++;
    }
    sfl_counter_add(&pump->counts.works, count);
    return count;
}

// What is new has a turn first, then what was left over: so a crowd (ten thousand callers that get
// their result at once) does not hold up those that come after it. gRPC looks at the sockets only
// when no completion is at hand, and each send brings up to two; so while there are more of them,
// the backlog has a short turn. What is deferred meanwhile waits for the next completions.
static void run_works(struct sfl_pump *pump, bool has_completions)
{
    struct sfl_list fresh;
    sfl_list_init(&fresh);
    sfl_list_append_all(&fresh, &pump->fresh);
    size_t count = pump->fresh_count;
    pump->fresh_count = 0;
    begin_turn(pump, TURN_NS);
    pump->backlog_count += count - run_some(pump, &fresh);
    sfl_list_append_all(&pump->backlog, &fresh);
    begin_turn(pump, has_completions ? TURN_NS / 4 : TURN_NS);
    pump->is_in_backlog = true;
    pump->backlog_count -= run_some(pump, &pump->backlog);
    pump->is_in_backlog = false;
    if (sfl_list_is_empty(&pump->cleanup))
        return;
    if (pump->backlog_count == 0 || sfl_clock_now_ns() >= pump->cleanup_due_ns) {
        begin_turn(pump, TURN_NS / 4);
        run_cleanup(pump, SIZE_MAX);
    }
}

// Ends waits that are due. What has been read but not handled may yet end one in time, so while
// there is more of that, only those go that would never go otherwise.
static void end_waits(struct sfl_pump *pump, bool has_completions)
{
    uint64_t next_ms = next_wait_ms(pump);
    if (next_ms == UINT64_MAX)
        return;
    uint64_t due_ms = begin_turn(pump, TURN_NS) / 1000000;
    if (has_completions)
        due_ms -= WAIT_GRACE_MS;
    for (unsigned kind = 0; kind < SFL_PUMP_WAIT_KINDS; kind++) {
        struct sfl_pump_wait *wait;
        while ((wait = first_wait(pump, kind)) != NULL && wait->due_ms <= due_ms &&
               sfl_clock_now_ns() < pump->turn_end_ns) {
            sfl_link_remove(&wait->link);
            wait->on_due(wait);
        }
    }
}

static bool has_works(const struct sfl_pump *pump)
{
    return pump->fresh_count > 0 || pump->backlog_count > 0 || !sfl_list_is_empty(&pump->cleanup);
}

static uint64_t next_tick_ms(const struct sfl_pump *pump)
{
    const struct sfl_pump_hooks *hooks = pump->hooks;
    return hooks->next_tick_ms == NULL ? UINT64_MAX : hooks->next_tick_ms(hooks->context);
}

static void tick_if_due(struct sfl_pump *pump, uint64_t due_ms)
{
    const struct sfl_pump_hooks *hooks = pump->hooks;
    bool has_rung = pump->waker.has_rung;
    pump->waker.has_rung = false;
    if (hooks->on_tick == NULL)
        return;
    if (has_rung || (due_ms != UINT64_MAX && sfl_clock_now_ms() >= due_ms))
        hooks->on_tick(hooks->context);
}

enum drained {
    DRAINED,     // no completion is left
    HAS_MORE,    // maybe there are more
    IS_SHUT_DOWN // and empty
};

// Waits for a completion until `deadline`, then handles all that are at hand, up to a bound, or
// until they have brought a turn's work: so a crowd comes after the work of those before it.
static enum drained drain(struct sfl_pump *pump, gpr_timespec deadline)
{
    uint64_t begun_ns = sfl_clock_now_ns();
    pump->now_ns = begun_ns;
    bool must_look = pump->backlog_count > 0 || begun_ns >= pump->looked_ns + TURN_NS;
    unsigned looks = must_look ? LOOKS_MAX : 1;
    for (unsigned handled = 0; handled < DRAIN_MAX;) {
        grpc_event event = grpc_completion_queue_next(pump->queue, deadline, NULL);
        deadline = gpr_inf_past(GPR_CLOCK_MONOTONIC);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return IS_SHUT_DOWN;
        if (event.type == GRPC_QUEUE_TIMEOUT) {
            if (--looks > 0)
                continue;
            if (must_look)
                pump->looked_ns = begun_ns;
            return DRAINED;
        }
        if (handled++ == 0) {
            pump->now_ns = begin_turn(pump, TURN_NS);
            if (pump->now_ns >= begun_ns + WAIT_NS)
                pump->looked_ns = pump->now_ns;
        }
        sfl_counter_add(&pump->counts.completions, 1);
        struct sfl_operation *operation = event.tag;
        sfl_operation_end(operation);
        operation->on_done(operation, event.success != 0);
        if (pump->fresh_count >= FRESH_MAX)
            return HAS_MORE;
    }
    return HAS_MORE;
}

static void *pump_main(void *argument)
{
    struct sfl_pump *pump = argument;
    current = pump;
    for (;;) {
        uint64_t due_ms = next_tick_ms(pump);
        uint64_t wait_ms = next_wait_ms(pump);
        gpr_timespec deadline = has_works(pump)
                                    ? gpr_inf_past(GPR_CLOCK_MONOTONIC)
                                    : sfl_operation_deadline(wait_ms < due_ms ? wait_ms : due_ms);
        enum drained drained = drain(pump, deadline);
        pump->is_drained = drained == DRAINED;
        tick_if_due(pump, due_ms);
        end_waits(pump, drained == HAS_MORE);
        run_works(pump, drained == HAS_MORE);
        sfl_counter_add(&pump->counts.turns, 1);
        sfl_counter_set(&pump->counts.backlog, pump->backlog_count);
        if (drained == IS_SHUT_DOWN && !has_works(pump))
            return NULL;
    }
}

static void pump_init(struct sfl_pump *pump, const struct sfl_pump_hooks *hooks)
{
    pump->hooks = hooks;
    sfl_list_init(&pump->fresh);
    sfl_list_init(&pump->backlog);
    sfl_list_init(&pump->cleanup);
    for (unsigned kind = 0; kind < SFL_PUMP_WAIT_KINDS; kind++)
        sfl_list_init(&pump->waits[kind]);
    sfl_list_init(&pump->posted);
    pthread_mutex_init(&pump->posted_lock, NULL);
    pump->queue = grpc_completion_queue_create_for_next(NULL);
    struct waker *waker = &pump->waker;
    waker->operation.on_done = on_woken;
    atomic_init(&waker->is_pending, false);
    waker->has_rung = false;
    waker->channel = grpc_lame_client_channel_create("wake", GRPC_STATUS_UNAVAILABLE, "wake");
    waker->call = grpc_channel_create_call(waker->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                           pump->queue, grpc_slice_from_static_string("/wake"),
                                           NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void pump_deinit(struct sfl_pump *pump)
{
    grpc_call_unref(pump->waker.call);
    grpc_channel_destroy(pump->waker.channel);
    grpc_completion_queue_destroy(pump->queue);
    pthread_mutex_destroy(&pump->posted_lock);
}

// Takes a queue without a thread to its end.
static void pump_close_unstarted(struct sfl_pump *pump)
{
    grpc_completion_queue_shutdown(pump->queue);
    enum drained drained = drain(pump, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    assert(drained == IS_SHUT_DOWN);
    (void)drained;
    pump_deinit(pump);
}

static void pump_join(struct sfl_pump *pump)
{
    grpc_completion_queue_shutdown(pump->queue);
    pthread_join(pump->thread, NULL);
    pump_deinit(pump);
}

static bool pump_start(struct sfl_pump *pump, unsigned index)
{
    pump->index = index;
    if (pthread_create(&pump->thread, NULL, pump_main, pump) != 0)
        return false;
    char name[16];
    snprintf(name, sizeof(name), "sfl-pump-%u", index);
    pthread_setname_np(pump->thread, name);
    return true;
}

// Our threads and gRPC's own take no signals that are meant for the program; those that tell of a
// fault in the thread itself stay.
static void block_signals(sigset_t *before_out)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before_out);
}

enum sfl_status sfl_pumps_create(unsigned count, const struct sfl_pump_hooks *hooks,
                                 struct sfl_pumps **pumps_out)
{
    assert(count >= 1 && count <= SFL_PUMPS_MAX);
    struct sfl_pumps *pumps = calloc(1, sizeof(*pumps) + count * sizeof(pumps->pumps[0]));
    if (pumps == NULL)
        return SFL_NO_MEMORY;
    pumps->count = count;
    if (hooks != NULL)
        pumps->hooks = *hooks;

    sigset_t before;
    block_signals(&before);
    sfl_library_start();
    unsigned started = 0;
    for (; started < count; started++) {
        struct sfl_pump *pump = &pumps->pumps[started];
        pump_init(pump, &pumps->hooks);
        if (!pump_start(pump, started)) {
            pump_close_unstarted(pump);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (started < count) {
        pumps->count = started;
        sfl_pumps_destroy(pumps);
        return SFL_NO_MEMORY;
    }
    *pumps_out = pumps;
    return SFL_OK;
}

void sfl_pumps_destroy(struct sfl_pumps *pumps)
{
    assert(!sfl_pump_is_current());
    for (unsigned i = 0; i < pumps->count; i++)
        pump_join(&pumps->pumps[i]);
    sfl_library_stop();
    free(pumps);
}

struct sfl_pump_counts sfl_pump_counts(const struct sfl_pump *pump)
{
    return (struct sfl_pump_counts){
#define SFL_PUMP_COUNT(field, kind, metric, help) .field = sfl_counter_get(&pump->counts.field),
        SFL_PUMP_COUNTS_LIST(SFL_PUMP_COUNT)
#undef SFL_PUMP_COUNT
    };
}

unsigned sfl_pump_index(void)
{
    return current == NULL ? SFL_PUMPS_MAX : current->index;
}

unsigned sfl_pumps_count(const struct sfl_pumps *pumps)
{
    return pumps->count;
}

struct sfl_pump *sfl_pumps_get(struct sfl_pumps *pumps, unsigned index)
{
    assert(index < pumps->count);
    return &pumps->pumps[index];
}
