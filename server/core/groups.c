// SPDX-License-Identifier: Apache-2.0
// The counters of groups and their quotas, found by name.
#include "core/step_private.h"

enum { EVICTION_LOOKS = 32 };

static bool has_name(const struct sfl_group *group, struct sfl_span name)
{
    return sfl_span_equal(sfl_span_of(group->name, group->name_size), name);
}

struct sfl_group *sfl_table_find_group(const struct sfl_table *table, struct sfl_span name)
{
    uint64_t hash = sfl_hash_stable(name, table->hash_seed);
    struct sfl_index_walk walk = {0};
    struct sfl_group *group;
    while ((group = sfl_index_next(&table->groups, hash, &walk)) != NULL) {
        if (has_name(group, name))
            return group;
    }
    return NULL;
}

// The table's shares of the group's quota. False when there is no memory.
static bool open_quota(struct sfl_table *table, struct sfl_group *group)
{
    struct sfl_span name = sfl_span_of(group->name, group->name_size);
    if (table->quota_of == NULL)
        return true;
    struct sfl_quota *quota = table->quota_of(table->quota_context, name);
    if (quota == NULL)
        return false;
    struct sfl_quota_shares *shares = sfl_alloc(table->allocator, sizeof(*shares));
    if (shares == NULL) {
        table->quota_done(table->quota_context, quota);
        return false;
    }
    sfl_quota_shares_init(shares, quota);
    group->quota = shares;
    group->held.quota = shares;
    return true;
}

static void free_group(struct sfl_table *table, struct sfl_group *group)
{
    if (group->quota != NULL) {
        struct sfl_quota *quota = group->quota->quota;
        sfl_quota_shares_deinit(group->quota);
        sfl_free(table->allocator, group->quota, sizeof(*group->quota));
        table->quota_done(table->quota_context, quota);
    }
    sfl_free(table->allocator, group, sizeof(*group) + group->name_size);
}

// Nothing points to it, and nobody could tell it from one that was never there.
static bool has_nothing(const struct sfl_table *table, const struct sfl_group *group)
{
    return group->flights == 0 &&
           (group->quota == NULL || sfl_quota_has_nothing(group->quota->quota, table->now_ms));
}

// Makes room for a group. Of some that have nothing the one goes that was called least: names that
// somebody makes up are not used again. False when none was found; the next search goes on there.
static bool evict_group(struct sfl_table *table)
{
    struct sfl_group *found = NULL;
    for (unsigned looks = 0; looks < EVICTION_LOOKS; looks++) {
        struct sfl_group *group = sfl_index_any(&table->groups, &table->evict_at);
        bool is_better = found == NULL || group->stats.calls < found->stats.calls;
        if (is_better && has_nothing(table, group))
            found = group;
    }
    if (found == NULL)
        return false;
    if (table->last_group == found)
        table->last_group = NULL;
    sfl_index_remove(&table->groups, found->hash, found);
    free_group(table, found);
    return true;
}

static struct sfl_group *create_group(struct sfl_table *table, struct sfl_span name)
{
    if (table->groups.count >= SFL_GROUPS_MAX && !evict_group(table))
        return NULL;
    if (!sfl_index_reserve(&table->groups))
        return NULL;
    struct sfl_group *group = sfl_alloc(table->allocator, sizeof(*group) + name.size);
    if (group == NULL)
        return NULL;
    *group = (struct sfl_group){
        .hash = sfl_hash_stable(name, table->hash_seed),
        .name_size = (uint16_t)name.size,
        .held.all = &table->shares.held_bytes,
    };
    memcpy(group->name, name.data, name.size);
    if (!open_quota(table, group)) {
        free_group(table, group);
        return NULL;
    }
    sfl_index_insert(&table->groups, group->hash, group);
    return group;
}

struct sfl_group *sfl_table_group(struct sfl_table *table, struct sfl_span name)
{
    // Callers of one group come in rows, and most tables have only one.
    if (table->last_group != NULL && has_name(table->last_group, name))
        return table->last_group;
    struct sfl_group *group = sfl_table_find_group(table, name);
    if (group == NULL)
        group = create_group(table, name);
    if (group != NULL)
        table->last_group = group;
    return group;
}

uint64_t sfl_limit_of(const struct sfl_table *table, const struct sfl_group *group,
                      enum sfl_reason reason)
{
    const struct sfl_limits *limits = table->limits;
    struct sfl_quota_limits quota = {0};
    if (group != NULL && group->quota != NULL)
        quota = sfl_quota_get(group->quota->quota);
    const struct {
        enum sfl_reason reason;
        uint64_t value;
    } rows[] = {
        {SFL_REASON_FLIGHTS_LIMIT, limits->flights_max},
        {SFL_REASON_CALLERS_LIMIT, limits->callers_max},
        {SFL_REASON_VALUE_LIMIT, limits->value_bytes_max},
        {SFL_REASON_HELD_LIMIT, limits->held_bytes_max},
        {SFL_REASON_TEXTS_LIMIT, limits->texts_bytes_max},
        {SFL_REASON_GROUPS_LIMIT, SFL_GROUPS_MAX},
        {SFL_REASON_FLIGHTS_QUOTA, quota.flights_max},
        {SFL_REASON_CALLERS_QUOTA, quota.callers_max},
        {SFL_REASON_HELD_QUOTA, quota.held_bytes_max},
        {SFL_REASON_JOINS_QUOTA, quota.joins_per_second},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].reason == reason)
            return rows[i].value;
    }
    return 0;
}

struct sfl_held *sfl_table_held(struct sfl_table *table, struct sfl_span name)
{
    struct sfl_group *group = sfl_table_group(table, name);
    return group == NULL || group->quota == NULL ? &table->held : &group->held;
}

void sfl_table_free_groups(struct sfl_table *table)
{
    for (uint64_t i = 0; i < sfl_index_slots(&table->groups); i++) {
        struct sfl_group *group = sfl_index_at(&table->groups, i);
        if (group != NULL)
            free_group(table, group);
    }
    sfl_index_deinit(&table->groups);
}
