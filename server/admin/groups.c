// SPDX-License-Identifier: Apache-2.0
#include "admin/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RATE_MS = 10000,
    PARTS_MAX = 2 * SFL_GROUPS_SEEN_MAX, // that wait to be put together
};

static void free_rows(struct sfl_group_row **rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(rows[i]);
    free(rows);
}

void sfl_groups_deinit(struct sfl_groups *groups)
{
    free_rows(groups->rows, groups->count);
    free_rows(groups->next, groups->next_count);
    *groups = (struct sfl_groups){.total = 0};
}

// --- parts of groups ---

static int compare_names(struct sfl_span a, struct sfl_span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    if (order != 0)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static int by_name(const void *a, const void *b)
{
    const struct sfl_group_row *const *row_a = a;
    const struct sfl_group_row *const *row_b = b;
    return compare_names((*row_a)->group.name, (*row_b)->group.name);
}

static uint64_t add_known(uint64_t a, uint64_t b)
{
    if (a == SFL_ADMIN_NONE)
        return b;
    return b == SFL_ADMIN_NONE ? a : a + b;
}

static void add(struct sfl_admin_group *sum, const struct sfl_admin_group *part)
{
    sum->flights += part->flights;
    sum->callers += part->callers;
    sum->held_bytes += part->held_bytes;
    sum->calls += part->calls;
    sum->retained_bytes = add_known(sum->retained_bytes, part->retained_bytes);
#define ADD(name)                                                                                  \
    if (sum->limits.name == SFL_ADMIN_NONE)                                                        \
        sum->limits.name = part->limits.name;
    SFL_ADMIN_GROUP_LIMITS_LIST(ADD)
#undef ADD
}

// Puts the parts of each group together.
static void merge(struct sfl_groups *groups)
{
    size_t count = 0;
    if (groups->next_count > 0)
        qsort(groups->next, groups->next_count, sizeof(struct sfl_group_row *), by_name);
    for (size_t i = 0; i < groups->next_count; i++) {
        struct sfl_group_row *row = groups->next[i];
        if (count == 0 || !sfl_span_equal(groups->next[count - 1]->group.name, row->group.name)) {
            groups->next[count++] = row;
            continue;
        }
        add(&groups->next[count - 1]->group, &row->group);
        free(row);
    }
    groups->next_count = count;
}

static bool has_limits(const struct sfl_admin_group *group)
{
    bool has = false;
#define LOOK(name) has |= group->limits.name != SFL_ADMIN_NONE;
    SFL_ADMIN_GROUP_LIMITS_LIST(LOOK)
#undef LOOK
    return has;
}

// Those with a quota first, then those with the most callers.
static int by_weight(const void *a, const void *b)
{
    const struct sfl_admin_group *group_a = &(*(const struct sfl_group_row *const *)a)->group;
    const struct sfl_admin_group *group_b = &(*(const struct sfl_group_row *const *)b)->group;
    if (has_limits(group_a) != has_limits(group_b))
        return has_limits(group_a) ? -1 : 1;
    if (group_a->callers != group_b->callers)
        return group_a->callers > group_b->callers ? -1 : 1;
    return by_name(a, b);
}

// Leaves as many groups as may be, by name.
static void shrink(struct sfl_groups *groups)
{
    merge(groups);
    if (groups->next_count <= SFL_GROUPS_SEEN_MAX)
        return;
    qsort(groups->next, groups->next_count, sizeof(struct sfl_group_row *), by_weight);
    while (groups->next_count > SFL_GROUPS_SEEN_MAX)
        free(groups->next[--groups->next_count]);
    qsort(groups->next, groups->next_count, sizeof(struct sfl_group_row *), by_name);
}

// --- a look ---

static bool reserve(struct sfl_groups *groups)
{
    if (groups->next_count >= PARTS_MAX)
        shrink(groups);
    if (groups->next_count < groups->next_capacity)
        return true;
    size_t capacity = groups->next_capacity == 0 ? 64 : groups->next_capacity * 2;
    struct sfl_group_row **rows = realloc(groups->next, capacity * sizeof(struct sfl_group_row *));
    if (rows == NULL)
        return false;
    groups->next = rows;
    groups->next_capacity = capacity;
    return true;
}

void sfl_groups_offer(struct sfl_groups *groups, const struct sfl_admin_group *group)
{
    struct sfl_group_row *row = reserve(groups) ? malloc(sizeof(*row) + group->name.size) : NULL;
    if (row == NULL)
        return;
    row->group = *group;
    row->joins_per_s = 0;
    if (group->name.size > 0)
        memcpy(row->bytes, group->name.data, group->name.size);
    row->group.name = sfl_span_of(row->bytes, group->name.size);
    groups->next[groups->next_count++] = row;
}

// --- its end ---

// What lies further back counts for less.
static void set_rate(struct sfl_group_row *row, const struct sfl_group_row *before,
                     uint64_t elapsed_ms)
{
    uint64_t calls_before = before == NULL ? 0 : before->group.calls;
    double rate_before = before == NULL ? 0 : before->joins_per_s;
    if (elapsed_ms == 0 || row->group.calls < calls_before) {
        row->joins_per_s = rate_before;
        return;
    }
    double rate = (double)(row->group.calls - calls_before) * 1000 / (double)elapsed_ms;
    double weight = exp(-(double)elapsed_ms / RATE_MS);
    row->joins_per_s = rate_before * weight + rate * (1 - weight);
}

static void set_rates(struct sfl_groups *groups, uint64_t elapsed_ms)
{
    size_t before = 0;
    for (size_t i = 0; i < groups->next_count; i++) {
        struct sfl_group_row *row = groups->next[i];
        while (before < groups->count &&
               compare_names(groups->rows[before]->group.name, row->group.name) < 0)
            before++;
        bool is_known = before < groups->count &&
                        sfl_span_equal(groups->rows[before]->group.name, row->group.name);
        set_rate(row, is_known ? groups->rows[before] : NULL, elapsed_ms);
    }
}

static bool is_before(const struct sfl_group_row *a, const struct sfl_group_row *b)
{
    if (a->group.callers != b->group.callers)
        return a->group.callers > b->group.callers;
    if (a->joins_per_s != b->joins_per_s)
        return a->joins_per_s > b->joins_per_s;
    return compare_names(a->group.name, b->group.name) < 0;
}

static void choose_top(struct sfl_groups *groups)
{
    groups->top_count = 0;
    for (size_t i = 0; i < groups->count; i++) {
        const struct sfl_group_row *row = groups->rows[i];
        size_t place = groups->top_count;
        while (place > 0 && is_before(row, groups->top[place - 1]))
            place--;
        if (place >= SFL_GROUPS_TOP)
            continue;
        if (groups->top_count < SFL_GROUPS_TOP)
            groups->top_count++;
        memmove(&groups->top[place + 1], &groups->top[place],
                (groups->top_count - place - 1) * sizeof(struct sfl_group_row *));
        groups->top[place] = row;
    }
}

void sfl_groups_finish(struct sfl_groups *groups, uint64_t now_ms)
{
    shrink(groups);
    if (groups->looked_ms != 0)
        set_rates(groups, now_ms - groups->looked_ms);
    free_rows(groups->rows, groups->count);
    groups->rows = groups->next;
    groups->count = groups->next_count;
    groups->total = groups->count;
    groups->next = NULL;
    groups->next_count = 0;
    groups->next_capacity = 0;
    groups->looked_ms = now_ms;
    choose_top(groups);
}
