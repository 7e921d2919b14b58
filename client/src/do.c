// SPDX-License-Identifier: Apache-2.0
// The blocking Do: an asynchronous one whose events wake the thread that waits.
#include "src/call.h"
#include "src/error.h"
#include "src/leader.h"
#include "src/outcome.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

// On the stack of the thread that waits. The client's thread sets a field, then posts: twice at
// most, for the lead and for the end. After a post it touches nothing here until the next event.
struct waiting {
    sem_t events;
    struct singleflight_leader *leader; // its function is to run
    struct singleflight_result *result;
    struct singleflight_call *call;
    int cancel_state; // of the thread, before
};

static void on_lead(void *context, struct singleflight_leader *leader)
{
    struct waiting *waiting = context;
    waiting->leader = leader;
    sem_post(&waiting->events);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct waiting *waiting = context;
    waiting->result = result;
    sem_post(&waiting->events);
}

static void wait_for_event(struct waiting *waiting)
{
    int error;
    do {
        error = sem_wait(&waiting->events);
    } while (error != 0 && errno == EINTR);
    assert(error == 0);
}

// The function has left by pthread_exit(), cancellation or an exception: nobody takes the result.
static void abandon(void *context)
{
    struct waiting *waiting = context;
    singleflight_leader_finish(waiting->leader, SINGLEFLIGHT_OUTCOME_ABANDONED);
    singleflight_call_cancel(waiting->call);
    wait_for_event(waiting);
    singleflight_result_free(waiting->result);
    sfl_call_unref(waiting->call);
    sem_destroy(&waiting->events);
}

// The function may be cancelled as its thread was set to before; this library may not.
static void run(struct waiting *waiting, singleflight_function *function, void *context)
{
    assert(function != NULL); // without one a call can only follow
    struct singleflight_leader *leader = waiting->leader;
    enum singleflight_outcome outcome = SINGLEFLIGHT_OUTCOME_ABANDONED;
    pthread_cleanup_push(abandon, waiting);
    pthread_setcancelstate(waiting->cancel_state, NULL);
    outcome = function(leader, context);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    singleflight_leader_finish(leader, outcome);
}

// A call leads once at most: one that loses the lead ends.
static void wait_and_run(struct waiting *waiting, singleflight_function *function, void *context)
{
    wait_for_event(waiting);
    if (waiting->leader == NULL)
        return;
    run(waiting, function, context);
    wait_for_event(waiting); // the end waits for the function's
}

static enum singleflight_status give(struct singleflight_result *result,
                                     struct singleflight_result **result_out)
{
    enum singleflight_status status = sfl_error_set(result->status, result->message);
    if (result_out != NULL)
        *result_out = result;
    else
        singleflight_result_free(result);
    return status;
}

enum singleflight_status singleflight_do(struct singleflight_client *client,
                                         const struct singleflight_do_options *options,
                                         singleflight_function *function, void *context,
                                         struct singleflight_result **result_out)
{
    if (sfl_pump_is_current())
        return give(sfl_result_of_status(SINGLEFLIGHT_FAILED_PRECONDITION,
                                         "a callback may not block: use singleflight_do_async()"),
                    result_out);
    const struct singleflight_call_events events = {
        .on_lead = function == NULL ? NULL : on_lead,
        .on_done = on_done,
    };
    struct waiting waiting = {.call = NULL};
    const char *problem = NULL;
    enum sfl_status status =
        sfl_call_create(client, options, &events, &waiting, true, &waiting.call, &problem);
    if (status != SFL_OK)
        return give(sfl_result_of_status(sfl_error_of(status), problem), result_out);
    int error = sem_init(&waiting.events, 0, 0);
    assert(error == 0);
    (void)error;
    // The events refer to this stack until the end.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &waiting.cancel_state);
    sfl_call_start(sfl_call_ref(waiting.call));
    wait_and_run(&waiting, function, context);
    pthread_setcancelstate(waiting.cancel_state, NULL);
    sfl_call_unref(waiting.call);
    sem_destroy(&waiting.events);
    return give(waiting.result, result_out);
}
