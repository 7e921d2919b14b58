// SPDX-License-Identifier: Apache-2.0
#include "src/leader.h"

#include "base/clock.h"
#include "src/call.h"
#include "src/error.h"
#include "src/seat.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

// Sent bytes that are not kept are taken away when there are so many of them.
#define DROP_BYTES_MIN ((size_t)256 * 1024)

static void run_on_changed(struct sfl_command *command)
{
    struct singleflight_leader *leader =
        SFL_CONTAINER_OF(command, struct singleflight_leader, on_changed);
    struct sfl_seat *seat = leader->seat;
    // From now on news are posted anew. A running leader may be gone then, if no seat holds it: the
    // program need not wait for a client that is closed.
    unsigned news = atomic_fetch_and(&leader->news, ~(unsigned)SFL_LEADER_POSTED);
    if ((news & SFL_LEADER_FINISHED) == 0) {
        if (seat != NULL)
            sfl_seat_on_leader_changed(seat, false);
        return;
    }
    sfl_call_on_function_ended(leader->call, leader);
    if (leader->seat != NULL)
        sfl_seat_on_leader_changed(leader->seat, true);
    sfl_call_unref(leader->call); // the program's
}

// Few leaders are ever waited for.
static void make_condition(struct singleflight_leader *leader)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&leader->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    leader->is_awaited = true;
}

// Under the lock. Waits until something has changed, but no longer than until `until_ms` of the
// monotonic clock. False when that time is over.
static bool wait_for_change(struct singleflight_leader *leader, uint64_t until_ms)
{
    if (!leader->is_awaited)
        make_condition(leader);
    if (until_ms == UINT64_MAX)
        return pthread_cond_wait(&leader->changed, &leader->lock) == 0;
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    return pthread_cond_timedwait(&leader->changed, &leader->lock, &until) != ETIMEDOUT;
}

// Under the lock.
static void tell_change(struct singleflight_leader *leader)
{
    if (leader->is_awaited)
        pthread_cond_broadcast(&leader->changed);
}

struct singleflight_leader *sfl_leader_begin(struct sfl_seat *seat, struct singleflight_call *call,
                                             const struct sfl_leader_terms *terms)
{
    struct singleflight_leader *leader = &call->lead;
    assert(leader->call == NULL);
    memset(leader, 0, sizeof(*leader));
    sfl_call_hold(call); // the seat's
    leader->call = sfl_call_ref(call);
    atomic_init(&leader->news, 0);
    atomic_init(&leader->lost, SINGLEFLIGHT_OK);
    atomic_init(&leader->holds_until_ms, UINT64_MAX);
    leader->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    leader->on_changed.run = run_on_changed;
    leader->client = seat->client;
    leader->terms = *terms;
    leader->is_alone = terms->token == 0;
    leader->lost_fd = -1;
    leader->seat = seat;
    return leader;
}

void sfl_leader_deinit(struct singleflight_leader *leader)
{
    if (leader->call == NULL)
        return;
    if (leader->lost_fd >= 0)
        close(leader->lost_fd);
    sfl_value_free(leader->value);
    sfl_failure_deinit(&leader->failure);
    if (leader->is_awaited)
        pthread_cond_destroy(&leader->changed);
    pthread_mutex_destroy(&leader->lock);
}

// ---------------------------------------------------------------------------- the client's thread

static bool has_finished(const struct singleflight_leader *leader)
{
    return (atomic_load(&leader->news) & SFL_LEADER_FINISHED) != 0;
}

// False: the program has finished it, and nobody else looks at it any more.
static bool lock_if_running(struct singleflight_leader *leader)
{
    if (has_finished(leader))
        return false;
    pthread_mutex_lock(&leader->lock);
    return true;
}

static void unlock_if(struct singleflight_leader *leader, bool is_locked)
{
    if (is_locked)
        pthread_mutex_unlock(&leader->lock);
}

void sfl_leader_lose(struct singleflight_leader *leader, enum singleflight_status status)
{
    pthread_mutex_lock(&leader->lock);
    if (atomic_load(&leader->lost) == SINGLEFLIGHT_OK) {
        atomic_store(&leader->lost, (int)status);
        if (leader->lost_fd >= 0)
            (void)!eventfd_write(leader->lost_fd, 1);
        tell_change(leader);
    }
    pthread_mutex_unlock(&leader->lock);
}

bool sfl_leader_go_on_alone(struct singleflight_leader *leader)
{
    bool is_locked = lock_if_running(leader);
    bool has_room = leader->was_full;
    leader->is_alone = true;
    leader->was_full = false;
    atomic_store(&leader->holds_until_ms, UINT64_MAX);
    if (is_locked)
        tell_change(leader);
    unlock_if(leader, is_locked);
    return has_room;
}

void sfl_leader_set_audience(struct singleflight_leader *leader, uint32_t followers,
                             uint64_t latest_deadline_ms)
{
    pthread_mutex_lock(&leader->lock);
    leader->has_audience = true;
    leader->audience = (struct singleflight_audience){followers, latest_deadline_ms};
    pthread_mutex_unlock(&leader->lock);
}

static size_t unsent_bytes(const struct singleflight_leader *leader)
{
    if (leader->is_alone)
        return 0;
    return leader->dropped_bytes + sfl_value_span(leader->value).size - leader->sent_bytes;
}

size_t sfl_leader_peek(struct singleflight_leader *leader)
{
    bool is_locked = lock_if_running(leader);
    size_t unsent = unsent_bytes(leader);
    unlock_if(leader, is_locked);
    return unsent;
}

bool sfl_leader_take(struct singleflight_leader *leader, uint8_t *to, size_t size)
{
    bool is_locked = lock_if_running(leader);
    assert(size <= unsent_bytes(leader));
    size_t at = leader->sent_bytes - leader->dropped_bytes;
    if (size > 0)
        memcpy(to, leader->value->data + at, size);
    leader->sent_bytes += size;
    if (!leader->terms.keeps_value && at + size >= DROP_BYTES_MIN) {
        sfl_value_drop(leader->value, at + size);
        leader->dropped_bytes += at + size;
    }
    bool has_room =
        leader->was_full && unsent_bytes(leader) <= leader->client->settings.unsent_bytes_max / 2;
    if (has_room) {
        leader->was_full = false;
        tell_change(leader);
    }
    unlock_if(leader, is_locked);
    return has_room;
}

void sfl_leader_rewind(struct singleflight_leader *leader, size_t arrived_bytes)
{
    pthread_mutex_lock(&leader->lock);
    assert(arrived_bytes >= leader->dropped_bytes);
    leader->sent_bytes = arrived_bytes;
    pthread_mutex_unlock(&leader->lock);
}

struct sfl_outcome *sfl_leader_outcome(struct singleflight_leader *leader)
{
    assert(has_finished(leader));
    struct sfl_failure failure = leader->failure;
    leader->failure = (struct sfl_failure){0};
    struct sfl_value *value = NULL;
    if (!leader->call->join.options.no_value) {
        value = leader->value;
        leader->value = NULL;
    }
    return sfl_outcome_create(leader->outcome, &failure, value);
}

// --------------------------------------------------------------------------- what programs call

uint64_t singleflight_leader_token(const struct singleflight_leader *leader)
{
    return leader->terms.token;
}

uint32_t singleflight_leader_attempt(const struct singleflight_leader *leader)
{
    return leader->terms.attempt;
}

uint64_t singleflight_leader_lease_ms(const struct singleflight_leader *leader)
{
    return leader->terms.lease_ms;
}

uint64_t singleflight_leader_run_limit_ms(const struct singleflight_leader *leader)
{
    return leader->terms.run_limit_ms;
}

// What the program has been told.
static enum singleflight_status told(const struct singleflight_leader *leader)
{
    return (enum singleflight_status)atomic_load(&leader->lost);
}

uint64_t singleflight_leader_value_bytes_max(const struct singleflight_leader *leader)
{
    uint64_t own = leader->client->settings.result_bytes_max;
    uint64_t of_server = leader->terms.result_limit;
    return of_server != 0 && of_server < own ? of_server : own;
}

enum singleflight_status singleflight_leader_lost(const struct singleflight_leader *leader)
{
    enum singleflight_status status = told(leader);
    uint64_t until_ms = atomic_load(&leader->holds_until_ms);
    if (status == SINGLEFLIGHT_OK && until_ms != UINT64_MAX && sfl_clock_boot_ms() >= until_ms)
        return SINGLEFLIGHT_ABORTED;
    return status;
}

// Tells the client's thread to look, unless it is about to. False: it never will, it is closed.
static bool post_news(struct singleflight_leader *leader, unsigned news)
{
    unsigned before = atomic_fetch_or(&leader->news, news | SFL_LEADER_POSTED);
    if ((before & SFL_LEADER_POSTED) != 0 || sfl_client_post(leader->client, &leader->on_changed))
        return true;
    atomic_fetch_and(&leader->news, ~(unsigned)SFL_LEADER_POSTED);
    return false;
}

// Appends under the lock.
static enum singleflight_status append(struct singleflight_leader *leader, struct sfl_span bytes)
{
    size_t size = leader->dropped_bytes + sfl_value_span(leader->value).size;
    uint64_t bytes_max = singleflight_leader_value_bytes_max(leader);
    if (bytes.size > bytes_max || size > bytes_max - bytes.size) {
        leader->overflowed = true;
        return sfl_error_set(SINGLEFLIGHT_RESOURCE_EXHAUSTED,
                             "the value is larger than the limit on results");
    }
    if (sfl_value_append(&leader->value, bytes) != SFL_OK) {
        leader->overflowed = true;
        return sfl_error_set(SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory for the value");
    }
    if (unsent_bytes(leader) > leader->client->settings.unsent_bytes_max)
        leader->was_full = true;
    return SINGLEFLIGHT_OK;
}

enum singleflight_status singleflight_leader_write(struct singleflight_leader *leader,
                                                   const void *data, size_t data_bytes)
{
    assert(!has_finished(leader));
    enum singleflight_status status = told(leader);
    if (status != SINGLEFLIGHT_OK)
        return sfl_error_set(status, "the lead is lost");
    if (data_bytes == 0)
        return SINGLEFLIGHT_OK;
    pthread_mutex_lock(&leader->lock);
    status = append(leader, sfl_span_of(data, data_bytes));
    bool is_alone = leader->is_alone;
    pthread_mutex_unlock(&leader->lock);
    if (status != SINGLEFLIGHT_OK || is_alone)
        return status;
    (void)post_news(leader, 0);
    if (!leader->call->blocking)
        return SINGLEFLIGHT_OK;

    pthread_mutex_lock(&leader->lock);
    while (leader->was_full && told(leader) == SINGLEFLIGHT_OK)
        (void)wait_for_change(leader, UINT64_MAX);
    pthread_mutex_unlock(&leader->lock);
    status = told(leader);
    return sfl_error_set(status, "the lead is lost");
}

size_t singleflight_leader_unsent(const struct singleflight_leader *leader)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&leader->lock;
    pthread_mutex_lock(lock);
    size_t unsent = unsent_bytes(leader);
    pthread_mutex_unlock(lock);
    return unsent;
}

enum singleflight_status singleflight_leader_set_error(struct singleflight_leader *leader,
                                                       const struct singleflight_error *error)
{
    struct sfl_failure failure = {0};
    enum sfl_status status = sfl_failure_read(error, &failure);
    if (status == SFL_INVALID_ARGUMENT)
        return sfl_error_set(SINGLEFLIGHT_INVALID_ARGUMENT, "details are larger than 64 KiB");
    if (status != SFL_OK)
        return sfl_error_set(SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory for the error");
    pthread_mutex_lock(&leader->lock);
    struct sfl_failure old = leader->failure;
    leader->failure = failure;
    pthread_mutex_unlock(&leader->lock);
    sfl_failure_deinit(&old);
    return SINGLEFLIGHT_OK;
}

enum singleflight_outcome singleflight_leader_error(struct singleflight_leader *leader,
                                                    int32_t code, const char *message)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.code = code;
    error.message = message;
    (void)singleflight_leader_set_error(leader, &error);
    return SINGLEFLIGHT_OUTCOME_ERROR;
}

enum singleflight_outcome singleflight_leader_panic(struct singleflight_leader *leader,
                                                    const char *message, const char *stack)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.message = message;
    error.stack = stack;
    (void)singleflight_leader_set_error(leader, &error);
    return SINGLEFLIGHT_OUTCOME_PANIC;
}

void singleflight_leader_set_retain(struct singleflight_leader *leader, uint64_t retain_ms)
{
    pthread_mutex_lock(&leader->lock);
    leader->has_retain = true;
    leader->retain_ms = retain_ms;
    pthread_mutex_unlock(&leader->lock);
}

void singleflight_leader_pass_on(struct singleflight_leader *leader)
{
    pthread_mutex_lock(&leader->lock);
    leader->passes_on = true;
    pthread_mutex_unlock(&leader->lock);
}

bool singleflight_leader_audience(const struct singleflight_leader *leader,
                                  struct singleflight_audience *audience_out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&leader->lock;
    pthread_mutex_lock(lock);
    bool has_audience = leader->has_audience;
    if (has_audience)
        *audience_out = leader->audience;
    pthread_mutex_unlock(lock);
    return has_audience;
}

enum singleflight_status singleflight_leader_wait_lost(struct singleflight_leader *leader,
                                                       uint64_t timeout_ms)
{
    assert(!sfl_pump_is_current());
    uint64_t now_ms = sfl_clock_now_ms();
    uint64_t until_ms = timeout_ms > UINT64_MAX / 2 ? UINT64_MAX : now_ms + timeout_ms;
    pthread_mutex_lock(&leader->lock);
    while (told(leader) == SINGLEFLIGHT_OK && wait_for_change(leader, until_ms))
        ;
    pthread_mutex_unlock(&leader->lock);
    return singleflight_leader_lost(leader);
}

int singleflight_leader_lost_fd(struct singleflight_leader *leader)
{
    pthread_mutex_lock(&leader->lock);
    if (leader->lost_fd < 0) {
        bool is_lost = told(leader) != SINGLEFLIGHT_OK;
        leader->lost_fd = eventfd(is_lost ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int fd = leader->lost_fd;
    pthread_mutex_unlock(&leader->lock);
    return fd;
}

// A value that is not whole must not look like one.
static void end_overflowed(struct singleflight_leader *leader)
{
    if (!leader->overflowed || leader->outcome != SINGLEFLIGHT_OUTCOME_OK)
        return;
    char message[96];
    snprintf(message, sizeof(message), "the value is over the limit of %llu bytes",
             (unsigned long long)singleflight_leader_value_bytes_max(leader));
    leader->outcome = SINGLEFLIGHT_OUTCOME_ERROR;
    sfl_failure_deinit(&leader->failure);
    leader->failure.code = SINGLEFLIGHT_RESOURCE_EXHAUSTED;
    leader->failure.message = strdup(message);
    leader->failure.type = strdup(SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED);
    leader->passes_on = false;
}

void singleflight_leader_finish(struct singleflight_leader *leader,
                                enum singleflight_outcome outcome)
{
    assert(!has_finished(leader));
    bool is_known = outcome >= SINGLEFLIGHT_OUTCOME_OK && outcome <= SINGLEFLIGHT_OUTCOME_PANIC;
    leader->outcome = is_known ? outcome : SINGLEFLIGHT_OUTCOME_ABANDONED;
    end_overflowed(leader);
    // Without the lock: the client's thread looks at none of these before it is finished, and no
    // other thread of the program looks at the leader any more.
    if (!post_news(leader, SFL_LEADER_FINISHED))
        sfl_call_unref(leader->call); // the program's
}
