// SPDX-License-Identifier: Apache-2.0
// What a function ended with, and the results that tell the callers so.
#ifndef SFL_CLIENT_OUTCOME_H
#define SFL_CLIENT_OUTCOME_H

#include "base/bytes.h"
#include "base/status.h"
#include "singleflight.h"
#include "src/answer.h"
#include "src/frames.h"
#include "src/value.h"

// Texts that a function gives are cut here, so that a message has a bound.
#define SFL_FAILURE_TEXT_BYTES_MAX ((size_t)64 * 1024)

// The error of a function. All zero is none; the texts are owned, and may be NULL.
struct sfl_failure {
    int32_t code;
    char *message;
    char *type;
    char *stack;
    struct sfl_bytes *details;
};

// Copies an error as a program gives it; cuts long texts, and puts "?" for what is no UTF-8.
// SFL_NO_MEMORY; SFL_INVALID_ARGUMENT when the details are too large.
enum sfl_status sfl_failure_read(const struct singleflight_error *given,
                                 struct sfl_failure *failure_out) SFL_MUST_USE;

void sfl_failure_deinit(struct sfl_failure *failure);

// Shared by all results of this process that tell of it; never changed once it is made.
struct sfl_outcome {
    atomic_uint references;
    enum singleflight_outcome kind;
    struct sfl_failure failure;
    struct sfl_value *value; // may be NULL
    bool has_result;         // client's thread: the result that it has room for is given away
};

// Takes `failure` and `value` (which may be NULL), on failure too; NULL when there is no memory.
struct sfl_outcome *sfl_outcome_create(enum singleflight_outcome kind, struct sfl_failure *failure,
                                       struct sfl_value *value);

// The same from the wire, whose own last part of the value the caller has appended already.
// NULL when there is no memory.
struct sfl_outcome *sfl_outcome_read(const struct sfl_answer_outcome *wire,
                                     struct sfl_value *value);

// What the server is told of a function's end, but for its value; borrows from `failure`.
struct sfl_finish sfl_outcome_to_wire(enum singleflight_outcome kind,
                                      const struct sfl_failure *failure);

// The caller's one reference becomes `count` ones, to be used up by as many results; with none of
// them the outcome is freed. Nobody else has a reference yet. NULL is fine.
void sfl_outcome_share(struct sfl_outcome *outcome, size_t count);

// A result with a status other than OK, never NULL: without memory it is one that says so.
struct singleflight_result *sfl_result_of_status(enum singleflight_status status,
                                                 const char *message);

// A result that tells an outcome, of which it takes a reference. From `facts` come all fields but
// those that `outcome` holds. Client's thread. Never NULL.
struct singleflight_result *sfl_result_of_outcome(struct sfl_outcome *outcome,
                                                  const struct singleflight_result *facts);

#endif
