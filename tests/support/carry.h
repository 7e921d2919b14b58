// SPDX-License-Identifier: Apache-2.0
// Carries effects out, one call per thing that somebody is told, as the daemon's engine does.
#ifndef SFL_TESTS_SUPPORT_CARRY_H
#define SFL_TESTS_SUPPORT_CARRY_H

#include "core/flight_table.h"

// Pointers are borrowed until the call returns. `result` and `refuse` are told about every caller's
// last word, those of a settled flight included; references are dropped by carry_*.
struct carry_sink {
    void *context;
    void (*lead)(void *context, struct sfl_caller *caller, const struct sfl_lead *lead);
    void (*follow)(void *context, struct sfl_caller *caller, const struct sfl_follow *follow);
    void (*chunk)(void *context, struct sfl_caller *caller, struct sfl_value *value,
                  uint64_t value_bytes);
    void (*restart)(void *context, struct sfl_caller *caller, uint32_t attempt,
                    struct sfl_span leader);
    void (*audience)(void *context, struct sfl_caller *caller, const struct sfl_audience *audience);
    void (*renewed)(void *context, struct sfl_caller *caller, uint64_t id);
    void (*result)(void *context, struct sfl_caller *caller, const struct sfl_result *result);
    void (*refuse)(void *context, struct sfl_caller *caller, const struct sfl_refusal *refusal);
    void (*forgotten)(void *context, const struct sfl_forgotten *forgotten);
    // SETTLED, FIND_HOME, RELEASE_HOME, RETAIN and DROP; and CHUNK and RESTART,
    // whose callers hear of it in carry_live.
    void (*flight)(void *context, enum sfl_effect_type type, struct sfl_flight *flight);
};

void carry_out(const struct sfl_effects *effects, const struct carry_sink *sink);

// Takes one batch of live followers who are behind and tells each what is new. False when nobody
// is.
bool carry_live(struct sfl_table *table, const struct carry_sink *sink);

// Takes one batch of followers of a settled flight and gives each its last word. False when nobody
// waits for that.
bool carry_settled(struct sfl_table *table, const struct carry_sink *sink);

#endif
