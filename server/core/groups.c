// SPDX-License-Identifier: Apache-2.0
// The counters of groups, found by name.
#include "core/step_private.h"

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

static struct sfl_group *create_group(struct sfl_table *table, struct sfl_span name)
{
    if (table->groups.count >= SFL_GROUPS_MAX || !sfl_index_reserve(&table->groups))
        return NULL;
    struct sfl_group *group = sfl_alloc(table->allocator, sizeof(*group) + name.size);
    if (group == NULL)
        return NULL;
    *group = (struct sfl_group){
        .hash = sfl_hash_stable(name, table->hash_seed),
        .name_size = (uint16_t)name.size,
    };
    memcpy(group->name, name.data, name.size);
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

static void free_group(struct sfl_table *table, struct sfl_group *group)
{
    sfl_free(table->allocator, group, sizeof(*group) + group->name_size);
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
