// SPDX-License-Identifier: Apache-2.0
// The quotas of all groups, found by name. They are made when a group is first seen, and stay.
#ifndef SFL_ENGINE_QUOTAS_H
#define SFL_ENGINE_QUOTAS_H

#include "base/status.h"
#include "core/quota.h"

struct sfl_quotas;

struct sfl_quotas_options {
    // What a group may use now. Any thread, under a lock: it looks it up and returns.
    struct sfl_quota_limits (*limits_of)(void *context, struct sfl_span group);
    void *context;
};

enum sfl_status sfl_quotas_create(const struct sfl_quotas_options *options,
                                  struct sfl_quotas **quotas_out) SFL_MUST_USE;

// After the engine that uses them. NULL is fine.
void sfl_quotas_destroy(struct sfl_quotas *quotas);

// The quota of a group, made if need be; it stays until the quotas are destroyed. NULL when there
// is no memory. Any thread; for tables: `context` is the quotas (see sfl_table_options.quota_of).
struct sfl_quota *sfl_quotas_find(void *context, struct sfl_span group);

// Asks anew what each group may use. Any thread.
void sfl_quotas_reload(struct sfl_quotas *quotas);

#endif
