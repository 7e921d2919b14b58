// SPDX-License-Identifier: Apache-2.0
// Tells the program's observer, if it has one, what happens to a call.
#ifndef SFL_CLIENT_OBSERVE_H
#define SFL_CLIENT_OBSERVE_H

#include "singleflight.h"

#include <stdbool.h>
#include <stdint.h>

struct singleflight_call;
struct sfl_leader_terms;

// The client's thread only, but for the beginning.
//
// A part of each call: what its observer knows.
struct sfl_observed {
    uint64_t begun_ns; // by sfl_clock_now_ns()
    bool has_followed;
    bool has_led;
};

// The call was made. Any thread.
void sfl_observe_begin(struct singleflight_call *call);

// Its function starts with these terms: as the leader's, or `alone`.
void sfl_observe_lead(struct singleflight_call *call, const struct sfl_leader_terms *terms,
                      bool alone);

// Its function goes on without a server.
void sfl_observe_alone(struct singleflight_call *call, const struct sfl_leader_terms *terms);

// Somebody else leads; `attempt` 0: nobody yet. Told once.
void sfl_observe_follow(struct singleflight_call *call, uint32_t attempt);

void sfl_observe_loss(struct singleflight_call *call, const struct sfl_leader_terms *terms);

// Before the program gets `result`.
void sfl_observe_end(struct singleflight_call *call, const struct singleflight_result *result);

// A line for the debug log. `context` is the client.
void sfl_observe_line(void *context, const char *line);

#endif
