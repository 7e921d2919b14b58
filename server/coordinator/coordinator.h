// SPDX-License-Identifier: Apache-2.0
// The one decision in which the deployments differ: is the home of this key here, and if it is,
// which token does the next leader get?
#ifndef SFL_COORDINATOR_COORDINATOR_H
#define SFL_COORDINATOR_COORDINATOR_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_coordinator;

struct sfl_home_question {
    struct sfl_span group; // borrowed for the call
    struct sfl_span key;   // borrowed for the call
    void *ticket;          // given back with a late answer
    unsigned lane;         // the shard: a key always comes by the same one, under its lock
};

struct sfl_home_answer {
    bool found;     // the home is here; otherwise the coordinator cannot be reached
    uint64_t token; // greater than every token granted before for this key, ever
};

struct sfl_coordinator_ops {
    // Asked for each attempt, by any thread, under a shard's lock: must not block and must not call
    // back. True: *answer_out is the answer. False: the answer comes later through on_answer, from
    // a thread that holds no shard's lock.
    bool (*find_home)(struct sfl_coordinator *coordinator, const struct sfl_home_question *question,
                      struct sfl_home_answer *answer_out);
    // The key's flight is over. Same conditions.
    void (*release_home)(struct sfl_coordinator *coordinator, struct sfl_span group,
                         struct sfl_span key);
    void (*destroy)(struct sfl_coordinator *coordinator);
};

// The common head of every implementation.
struct sfl_coordinator {
    const struct sfl_coordinator_ops *ops;
    void (*on_answer)(void *context, void *ticket, const struct sfl_home_answer *answer);
    void *context; // of on_answer; both are set before the first question
};

struct sfl_standalone_options {
    unsigned lanes;       // questions come by lanes below this: as many as there are shards
    uint64_t first_token; // tokens are counted from here (exclusive), unless take_tokens is asked
    // NULL, or gives the first of `count` tokens side by side, which nobody else is given; 0: there
    // are none to be had. Each call's are greater than all before. Any thread, under a shard's
    // lock: must not block.
    uint64_t (*take_tokens)(void *context, uint64_t count);
    void *context;
};

// Flights live in this process.
enum sfl_status sfl_standalone_create(const struct sfl_standalone_options *options,
                                      struct sfl_coordinator **coordinator_out) SFL_MUST_USE;

#endif
