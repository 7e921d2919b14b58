// SPDX-License-Identifier: Apache-2.0
// The quotas of all groups, found by name: of those that some table knows.
#ifndef SFL_ENGINE_QUOTAS_H
#define SFL_ENGINE_QUOTAS_H

#include "base/status.h"
#include "core/quota.h"

struct sfl_quotas;

struct sfl_quotas_options {
    // What a group may use now. Any thread, under a lock of a table: it looks it up and returns.
    struct sfl_quota_limits (*limits_of)(void *context, struct sfl_span group);
    void *context;
};

enum sfl_status sfl_quotas_create(const struct sfl_quotas_options *options,
                                  struct sfl_quotas **quotas_out) SFL_MUST_USE;

// After the engine that uses them. NULL is fine.
void sfl_quotas_destroy(struct sfl_quotas *quotas);

// The quota of a group, made if need be: a reference. NULL when there is no memory. Any thread; for
// tables: `context` is the quotas (see sfl_table_options.quota_of).
struct sfl_quota *sfl_quotas_find(void *context, struct sfl_span group);

// Gives a reference back. With the last one nothing may be in use. Any thread; for tables.
void sfl_quotas_release(void *context, struct sfl_quota *quota);

// Asks anew what each group may use. Holds up nobody for long, however many there are. One thread
// at a time.
void sfl_quotas_reload(struct sfl_quotas *quotas);

// Looks at a bounded number of places and calls `visit` for the groups among them, under a lock;
// `cursor` starts as 0. False at the end. Any thread.
bool sfl_quotas_visit(struct sfl_quotas *quotas, uint64_t *cursor,
                      void (*visit)(void *context, struct sfl_span group, struct sfl_quota *quota),
                      void *context);

#endif
