// SPDX-License-Identifier: Apache-2.0
#include "core/quota.h"

// What a table draws at once, as in limits.c; smaller, for groups are many.
enum { COUNT_ADVANCE = 64, BYTES_ADVANCE = 256 * 1024 };

#define NS_IN_MS UINT64_C(1000000)
#define NS_IN_SECOND UINT64_C(1000000000)

const struct sfl_quota_limits sfl_quota_unlimited = {
    .flights_max = SFL_QUOTA_NONE,
    .callers_max = SFL_QUOTA_NONE,
    .held_bytes_max = SFL_QUOTA_NONE,
    .retained_bytes_max = SFL_QUOTA_NONE,
    .joins_per_second = SFL_QUOTA_NONE,
};

static void set(_Atomic uint64_t *limit, uint64_t value)
{
    atomic_store_explicit(limit, value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *limit)
{
    return atomic_load_explicit(limit, memory_order_relaxed);
}

static void set_limits(struct sfl_quota *quota, const struct sfl_quota_limits *limits)
{
    set(&quota->flights_max, limits->flights_max);
    set(&quota->callers_max, limits->callers_max);
    set(&quota->held_bytes_max, limits->held_bytes_max);
    set(&quota->retained_bytes_max, limits->retained_bytes_max);
    set(&quota->joins_per_second, limits->joins_per_second);
}

struct sfl_quota_limits sfl_quota_get(const struct sfl_quota *quota)
{
    return (struct sfl_quota_limits){
        .flights_max = get(&quota->flights_max),
        .callers_max = get(&quota->callers_max),
        .held_bytes_max = get(&quota->held_bytes_max),
        .retained_bytes_max = get(&quota->retained_bytes_max),
        .joins_per_second = get(&quota->joins_per_second),
    };
}

void sfl_quota_set(struct sfl_quota *quota, const struct sfl_quota_limits *limits)
{
    set_limits(quota, limits);
    sfl_budget_recall(&quota->flights);
    sfl_budget_recall(&quota->callers);
    sfl_budget_recall(&quota->held_bytes);
    sfl_budget_recall(&quota->retained_bytes);
}

void sfl_quota_init(struct sfl_quota *quota, const struct sfl_quota_limits *limits)
{
    set_limits(quota, limits);
    sfl_budget_init(&quota->flights, COUNT_ADVANCE);
    sfl_budget_init(&quota->callers, COUNT_ADVANCE);
    sfl_budget_init(&quota->held_bytes, BYTES_ADVANCE);
    sfl_budget_init(&quota->retained_bytes, BYTES_ADVANCE);
    set(&quota->joins_due_ns, 0);
}

void sfl_quota_deinit(struct sfl_quota *quota)
{
    sfl_budget_deinit(&quota->flights);
    sfl_budget_deinit(&quota->callers);
    sfl_budget_deinit(&quota->held_bytes);
    sfl_budget_deinit(&quota->retained_bytes);
}

bool sfl_quota_take_join(struct sfl_quota *quota, uint64_t now_ms)
{
    uint64_t rate = get(&quota->joins_per_second);
    if (rate == SFL_QUOTA_NONE)
        return true;
    if (rate == 0)
        return false;
    uint64_t now_ns = now_ms * NS_IN_MS;
    uint64_t due_ns = get(&quota->joins_due_ns);
    for (;;) {
        uint64_t from_ns = due_ns > now_ns ? due_ns : now_ns;
        uint64_t next_ns = from_ns + NS_IN_SECOND / rate;
        if (next_ns > now_ns + NS_IN_SECOND)
            return false;
        if (atomic_compare_exchange_weak_explicit(&quota->joins_due_ns, &due_ns, next_ns,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

bool sfl_quota_has_nothing(struct sfl_quota *quota, uint64_t now_ms)
{
    return get(&quota->joins_due_ns) <= now_ms * NS_IN_MS &&
           sfl_budget_used(&quota->held_bytes) == 0;
}

void sfl_quota_shares_init(struct sfl_quota_shares *shares, struct sfl_quota *quota)
{
    shares->quota = quota;
    sfl_share_init(&shares->flights, &quota->flights);
    sfl_share_init(&shares->callers, &quota->callers);
    sfl_share_init(&shares->held_bytes, &quota->held_bytes);
    sfl_share_init(&shares->retained_bytes, &quota->retained_bytes);
}

void sfl_quota_shares_deinit(struct sfl_quota_shares *shares)
{
    sfl_share_deinit(&shares->flights);
    sfl_share_deinit(&shares->callers);
    sfl_share_deinit(&shares->held_bytes);
    sfl_share_deinit(&shares->retained_bytes);
}

bool sfl_quota_take_flight(struct sfl_quota_shares *shares)
{
    return shares == NULL || sfl_share_take(&shares->flights, 1, get(&shares->quota->flights_max));
}

void sfl_quota_add_flight(struct sfl_quota_shares *shares)
{
    if (shares == NULL)
        return;
    (void)sfl_share_take(&shares->flights, 1, SFL_QUOTA_NONE);
    sfl_budget_recall(&shares->quota->flights); // nothing was to be drawn in advance beside it
}

bool sfl_quota_take_caller(struct sfl_quota_shares *shares)
{
    return shares == NULL || sfl_share_take(&shares->callers, 1, get(&shares->quota->callers_max));
}

bool sfl_quota_take_retained(struct sfl_quota_shares *shares, uint64_t bytes)
{
    return shares == NULL ||
           sfl_share_take(&shares->retained_bytes, bytes, get(&shares->quota->retained_bytes_max));
}

bool sfl_quota_take_held(struct sfl_quota_shares *shares, uint64_t bytes)
{
    return shares == NULL ||
           sfl_share_take(&shares->held_bytes, bytes, get(&shares->quota->held_bytes_max));
}

void sfl_quota_give_flight(struct sfl_quota_shares *shares)
{
    if (shares != NULL)
        sfl_share_give(&shares->flights, 1);
}

void sfl_quota_give_caller(struct sfl_quota_shares *shares)
{
    if (shares != NULL)
        sfl_share_give(&shares->callers, 1);
}

void sfl_quota_give_retained(struct sfl_quota_shares *shares, uint64_t bytes)
{
    if (shares != NULL)
        sfl_share_give(&shares->retained_bytes, bytes);
}

void sfl_quota_give_held(struct sfl_quota_shares *shares, uint64_t bytes)
{
    if (shares != NULL)
        sfl_share_give(&shares->held_bytes, bytes);
}
