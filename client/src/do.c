// SPDX-License-Identifier: Apache-2.0
// The blocking Do: an asynchronous one whose events wake the thread that waits. The function runs
// on that thread, or, when the call has a timeout, on one of its own.
#include "base/references.h"
#include "src/call.h"
#include "src/error.h"
#include "src/leader.h"
#include "src/outcome.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

// On the stack of the thread that waits. The client's thread sets a field, then posts: twice at
// most, for the lead and for the end. After a post it touches nothing here until the next event.
struct waiting {
    sem_t events;
    struct singleflight_leader *leader; // its function is to run
    struct singleflight_result *result;
    struct singleflight_call *call;
    int cancel_state; // of the thread, before
};

// The function, while it runs.
struct run {
    singleflight_function *function;
    void *context;
    void (*release_context)(void *context);
    struct singleflight_leader *leader;
    struct singleflight_leader *outer; // the lead of the function that this one runs inside of
    struct waiting *waiting;           // whose thread it is; NULL: it has one of its own
};

static _Thread_local struct singleflight_leader *lead_of_thread;

struct singleflight_leader *sfl_do_lead_of_thread(void)
{
    return lead_of_thread;
}

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

static void wait_for_post(sem_t *semaphore)
{
    int error;
    do {
        error = sem_wait(semaphore);
    } while (error != 0 && errno == EINTR);
    assert(error == 0);
}

static void wait_for_event(struct waiting *waiting)
{
    wait_for_post(&waiting->events);
}

static void release(const struct run *run)
{
    if (run->release_context != NULL)
        run->release_context(run->context);
}

// The function has left by pthread_exit(), cancellation or an exception: nobody takes the result.
static void abandon(void *argument)
{
    struct run *run = argument;
    lead_of_thread = run->outer;
    singleflight_leader_finish(run->leader, SINGLEFLIGHT_OUTCOME_ABANDONED);
    release(run);
    struct waiting *waiting = run->waiting;
    if (waiting == NULL)
        return;
    singleflight_call_cancel(waiting->call);
    wait_for_event(waiting);
    singleflight_result_free(waiting->result);
    sfl_call_unref(waiting->call);
    sem_destroy(&waiting->events);
}

// The function may be cancelled as its thread was set to before; this library may not.
static void run_function(struct run *run, int cancel_state)
{
    assert(run->function != NULL); // without one a call can only follow
    enum singleflight_outcome outcome = SINGLEFLIGHT_OUTCOME_ABANDONED;
    run->outer = lead_of_thread;
    pthread_cleanup_push(abandon, run);
    lead_of_thread = run->leader;
    pthread_setcancelstate(cancel_state, NULL);
    outcome = run->function(run->leader, run->context);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    lead_of_thread = run->outer;
    pthread_cleanup_pop(0);
    singleflight_leader_finish(run->leader, outcome);
}

static void *run_apart(void *argument)
{
    struct run run = *(struct run *)argument;
    free(argument);
    run_function(&run, PTHREAD_CANCEL_ENABLE);
    release(&run);
    return NULL;
}

// Runs it on a thread of its own. False: there is none to be had.
static bool start_apart(const struct run *run)
{
    struct run *moved = malloc(sizeof(*moved));
    if (moved == NULL)
        return false;
    *moved = *run;
    moved->waiting = NULL;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_apart, moved) != 0) {
        free(moved);
        return false;
    }
    pthread_detach(thread);
    return true;
}

// A call leads once at most: one that loses the lead ends. True: a thread of its own has the
// function, and will release the context.
static bool wait_and_run(struct waiting *waiting, struct run *run)
{
    wait_for_event(waiting);
    if (waiting->leader == NULL)
        return false;
    run->leader = waiting->leader;
    bool is_apart = waiting->call->deadline_ms != UINT64_MAX && start_apart(run);
    if (!is_apart)
        run_function(run, waiting->cancel_state);
    wait_for_event(waiting); // the end: the function's, or the timeout's
    return is_apart;
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

// A call that is refused, and never was one.
static enum singleflight_status refuse(const struct run *run, enum singleflight_status status,
                                       const char *why, struct singleflight_result **result_out)
{
    release(run);
    return give(sfl_result_of_status(status, why), result_out);
}

// ---- with stale_ms: the call may go on after it has returned ----

// Of the caller's thread and of the client's, which lets go at the end.
struct background {
    atomic_uint references;
    sem_t has_result;
    bool is_served; // the caller has its result
    bool has_led;   // a thread has the context
    struct singleflight_result *result;
    struct run run;
};

static void background_unref(struct background *background)
{
    if (!sfl_references_drop(&background->references))
        return;
    sem_destroy(&background->has_result);
    free(background);
}

static void serve(struct background *background, struct singleflight_result *result)
{
    background->is_served = true;
    background->result = result;
    sem_post(&background->has_result);
}

static void on_background_stale(void *context, struct singleflight_result *result)
{
    serve(context, result);
}

// Nothing has begun: the next caller may have a thread for it.
static void decline(struct singleflight_leader *leader)
{
    (void)singleflight_leader_error(leader, SINGLEFLIGHT_RESOURCE_EXHAUSTED,
                                    "there is no thread for the function");
    singleflight_leader_pass_on(leader);
    singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_ABANDONED);
}

static void on_background_lead(void *context, struct singleflight_leader *leader)
{
    struct background *background = context;
    background->run.leader = leader;
    background->has_led = start_apart(&background->run);
    if (!background->has_led)
        decline(leader);
}

static void on_background_done(void *context, struct singleflight_result *result)
{
    struct background *background = context;
    if (!background->has_led)
        release(&background->run);
    if (background->is_served)
        singleflight_result_free(result);
    else
        serve(background, result);
    background_unref(background);
}

static enum singleflight_status do_in_background(struct singleflight_client *client,
                                                 const struct singleflight_do_options *options,
                                                 const struct run *run,
                                                 struct singleflight_result **result_out)
{
    const struct singleflight_call_events events = {
        .on_lead = run->function == NULL ? NULL : on_background_lead,
        .on_stale = on_background_stale,
        .on_done = on_background_done,
    };
    struct background *background = calloc(1, sizeof(*background));
    if (background == NULL)
        return refuse(run, SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory left", result_out);
    background->run = *run;
    background->run.waiting = NULL;
    atomic_init(&background->references, 2);
    int error = sem_init(&background->has_result, 0, 0);
    assert(error == 0);
    (void)error;
    struct singleflight_call *call = NULL;
    const char *problem = NULL;
    enum sfl_status status =
        sfl_call_create(client, options, &events, background, true, false, &call, &problem);
    if (status != SFL_OK) {
        background_unref(background);
        background_unref(background);
        return refuse(run, sfl_error_of(status), problem, result_out);
    }
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    sfl_call_start(call);
    wait_for_post(&background->has_result);
    struct singleflight_result *result = background->result;
    background_unref(background);
    pthread_setcancelstate(cancel_state, NULL);
    return give(result, result_out);
}

// ---- all others ----

// What release_context is called for, whatever version of the options it is.
static void (*release_of(const struct singleflight_do_options *options))(void *)
{
    size_t end =
        offsetof(struct singleflight_do_options, release_context) + sizeof(void (*)(void *));
    return options == NULL || options->struct_bytes < end ? NULL : options->release_context;
}

static bool has_stale(const struct singleflight_do_options *options)
{
    size_t end = offsetof(struct singleflight_do_options, stale_ms) + sizeof(uint64_t);
    return options != NULL && options->struct_bytes >= end && options->stale_ms != 0;
}

enum singleflight_status singleflight_do(struct singleflight_client *client,
                                         const struct singleflight_do_options *options,
                                         singleflight_function *function, void *context,
                                         struct singleflight_result **result_out)
{
    struct waiting waiting = {.call = NULL};
    struct run run = {function, context, release_of(options), .waiting = &waiting};
    if (sfl_pump_is_current())
        return refuse(&run, SINGLEFLIGHT_FAILED_PRECONDITION,
                      "a callback may not block: use singleflight_do_async()", result_out);
    if (has_stale(options))
        return do_in_background(client, options, &run, result_out);
    const struct singleflight_call_events events = {
        .on_lead = function == NULL ? NULL : on_lead,
        .on_done = on_done,
    };
    const char *problem = NULL;
    enum sfl_status status =
        sfl_call_create(client, options, &events, &waiting, true, false, &waiting.call, &problem);
    if (status != SFL_OK)
        return refuse(&run, sfl_error_of(status), problem, result_out);
    int error = sem_init(&waiting.events, 0, 0);
    assert(error == 0);
    (void)error;
    // The events refer to this stack until the end.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &waiting.cancel_state);
    sfl_call_start(sfl_call_ref(waiting.call));
    bool is_apart = wait_and_run(&waiting, &run);
    pthread_setcancelstate(waiting.cancel_state, NULL);
    sfl_call_unref(waiting.call);
    sem_destroy(&waiting.events);
    if (!is_apart)
        release(&run);
    return give(waiting.result, result_out);
}
