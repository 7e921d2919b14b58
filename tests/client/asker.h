// SPDX-License-Identifier: Apache-2.0
// A thread of the test that asks with a blocking Do, and a function that stands still until told.
#ifndef SFL_TESTS_CLIENT_ASKER_H
#define SFL_TESTS_CLIENT_ASKER_H

#include "singleflight.h"

#include <pthread.h>

// A client of one address, or of several with commas.
struct singleflight_client *client_of(const char *addresses);
struct singleflight_client *client_with(const char *addresses,
                                        struct singleflight_client_options options);

// Options for a key, which must outlive them.
struct singleflight_do_options options_of(const char *key);

// What a function waits for.
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned runs; // how often the function was entered
    bool open;
    bool released;                      // gate_release() was called
    struct singleflight_leader *leader; // of the last run
    enum singleflight_outcome outcome;  // what it returns
    const char *value;                  // what it writes before
    enum singleflight_status lost;      // lost_function: how the lead was lost
};

#define GATE_INIT                                                                                  \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,                    \
        .outcome = SINGLEFLIGHT_OUTCOME_OK, .value = "value"                                       \
    }

// Functions whose context is a gate: one waits until it is open, one until the lead is lost.
enum singleflight_outcome gate_function(struct singleflight_leader *leader, void *context);
enum singleflight_outcome lost_function(struct singleflight_leader *leader, void *context);

// What both begin with: counts the run, and tells gate_wait_entered().
void gate_enter(struct gate *gate, struct singleflight_leader *leader);

// Waits until the function has been entered `runs` times in all.
void gate_wait_entered(struct gate *gate, unsigned runs);

void gate_open(struct gate *gate);

// A release_context, and waiting for it: nobody uses the gate any more.
void gate_release(void *context);
void gate_wait_released(struct gate *gate);

// A thread that is inside singleflight_do().
struct asker {
    pthread_t thread;
    struct singleflight_client *client;
    struct singleflight_do_options options;
    singleflight_function *function;
    void *context;
    struct singleflight_result *result;
};

// Starts it. The struct must stay until asker_join().
void asker_start(struct asker *asker, struct singleflight_client *client,
                 const struct singleflight_do_options *options, singleflight_function *function,
                 void *context);

// Waits for the result, which the caller frees.
struct singleflight_result *asker_join(struct asker *asker);

// An outcome of OK with this value.
void assert_value(const struct singleflight_result *result, const char *value);

#endif
