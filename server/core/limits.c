// SPDX-License-Identifier: Apache-2.0
#include "core/limits.h"

#include "core/caller.h"

// What a table draws at once. So many flights or callers, or bytes of small values, come between
// two visits to the budget that all tables share.
enum { COUNT_ADVANCE = 64, BYTES_ADVANCE = 256 * 1024 };

const struct sfl_limits sfl_limits_default = {
    .value_bytes_max = UINT64_C(64) << 20,
    .texts_bytes_max = (UINT64_C(4) << 20) - 4096,
    .held_bytes_max = UINT64_C(1) << 30,
    .retained_bytes_max = UINT64_C(768) << 20,
    .flights_max = 1000000,
    .callers_max = 1000000,
    .key_bytes_max = 1024,
    .group_bytes_max = 128,
    .retain_ms_max = UINT64_C(7) * 24 * 3600 * 1000,
    .lease_ms_min = 1000,
    .lease_ms_max = 600 * 1000,
    .run_limit_ms_max = UINT64_C(24) * 3600 * 1000,
};

void sfl_usage_init(struct sfl_usage *usage)
{
    sfl_budget_init(&usage->flights, COUNT_ADVANCE);
    sfl_budget_init(&usage->callers, COUNT_ADVANCE);
    sfl_budget_init(&usage->retained, COUNT_ADVANCE);
    sfl_budget_init(&usage->held_bytes, BYTES_ADVANCE);
    sfl_budget_init(&usage->retained_bytes, BYTES_ADVANCE);
    atomic_init(&usage->overdue, 0);
}

void sfl_usage_deinit(struct sfl_usage *usage)
{
    sfl_budget_deinit(&usage->flights);
    sfl_budget_deinit(&usage->callers);
    sfl_budget_deinit(&usage->retained);
    sfl_budget_deinit(&usage->held_bytes);
    sfl_budget_deinit(&usage->retained_bytes);
}

void sfl_shares_init(struct sfl_shares *shares, struct sfl_usage *usage)
{
    sfl_share_init(&shares->flights, &usage->flights);
    sfl_share_init(&shares->callers, &usage->callers);
    sfl_share_init(&shares->retained, &usage->retained);
    sfl_share_init(&shares->held_bytes, &usage->held_bytes);
    sfl_share_init(&shares->retained_bytes, &usage->retained_bytes);
}

void sfl_shares_deinit(struct sfl_shares *shares)
{
    sfl_share_deinit(&shares->flights);
    sfl_share_deinit(&shares->callers);
    sfl_share_deinit(&shares->retained);
    sfl_share_deinit(&shares->held_bytes);
    sfl_share_deinit(&shares->retained_bytes);
}

// By byte.
static const bool may_be_in_group[256] = {
    ['-'] = true,         ['.'] = true, ['0' ... '9'] = true,
    ['A' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true,
};

static struct sfl_refusal bounds(enum sfl_reason reason, uint64_t value, uint64_t bound)
{
    return (struct sfl_refusal){.reason = reason, .a = value, .b = bound};
}

struct sfl_refusal sfl_limits_check_key(const struct sfl_limits *limits, struct sfl_span group,
                                        struct sfl_span key)
{
    if (key.size == 0 || key.size > limits->key_bytes_max)
        return bounds(SFL_REASON_KEY_SIZE, key.size, limits->key_bytes_max);
    if (group.size > limits->group_bytes_max)
        return bounds(SFL_REASON_GROUP_SIZE, group.size, limits->group_bytes_max);
    for (size_t i = 0; i < group.size; i++) {
        if (!may_be_in_group[group.data[i]])
            return (struct sfl_refusal){.reason = SFL_REASON_GROUP_BYTES};
    }
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

struct sfl_refusal sfl_limits_check_name(struct sfl_span name)
{
    if (name.size > SFL_CALLER_NAME_MAX)
        return bounds(SFL_REASON_CALLER_SIZE, name.size, SFL_CALLER_NAME_MAX);
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

static struct sfl_refusal check_within(const struct sfl_limits *limits, const struct sfl_join *join)
{
    for (uint32_t i = 0; i < join->within_count; i++) {
        const struct sfl_lead_ref *lead = &join->within[i];
        if (sfl_limits_check_key(limits, lead->group, lead->key).reason != SFL_REASON_NONE)
            return bounds(SFL_REASON_WITHIN, i, 0);
    }
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

static struct sfl_refusal check_options(const struct sfl_limits *limits,
                                        const struct sfl_join *join)
{
    if (join->fingerprint.size > SFL_FINGERPRINT_MAX)
        return bounds(SFL_REASON_FINGERPRINT_SIZE, join->fingerprint.size, SFL_FINGERPRINT_MAX);
    if (join->name.size > SFL_CALLER_NAME_MAX)
        return sfl_limits_check_name(join->name);
    if (join->retain_ms > limits->retain_ms_max)
        return bounds(SFL_REASON_RETAIN, join->retain_ms, limits->retain_ms_max);
    if (join->retain_error_ms > limits->retain_ms_max)
        return bounds(SFL_REASON_RETAIN_ERROR, join->retain_error_ms, limits->retain_ms_max);
    if (join->lease_ms > 0 && join->lease_ms < limits->lease_ms_min)
        return bounds(SFL_REASON_LEASE_SHORT, join->lease_ms, limits->lease_ms_min);
    if (join->lease_ms > limits->lease_ms_max)
        return bounds(SFL_REASON_LEASE_LONG, join->lease_ms, limits->lease_ms_max);
    if (join->run_limit_ms > limits->run_limit_ms_max)
        return bounds(SFL_REASON_RUN_LIMIT_LONG, join->run_limit_ms, limits->run_limit_ms_max);
    if (join->within_count > 0)
        return check_within(limits, join);
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

struct sfl_refusal sfl_limits_check_join(const struct sfl_limits *limits,
                                         const struct sfl_join *join, bool is_known)
{
    if (!is_known) {
        struct sfl_refusal of_key = sfl_limits_check_key(limits, join->group, join->key);
        if (of_key.reason != SFL_REASON_NONE)
            return of_key;
    }
    return check_options(limits, join);
}
