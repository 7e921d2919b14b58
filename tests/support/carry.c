// SPDX-License-Identifier: Apache-2.0
#include "support/carry.h"

static void carry_to_live(struct sfl_caller *caller, bool follows, bool restarts,
                          const struct carry_sink *sink)
{
    const struct sfl_flight *flight = caller->flight;
    const struct sfl_follow follow = {.attempt = flight->attempt, .leader = flight->leader_name};
    if (follows)
        sink->follow(sink->context, caller, &follow);
    if (restarts)
        sink->restart(sink->context, caller, flight->attempt, sfl_bytes_span(flight->leader_name));
    if (flight->value != NULL && caller->live)
        sink->chunk(sink->context, caller, flight->value, flight->value->size);
}

bool carry_live(struct sfl_table *table, const struct carry_sink *sink)
{
    struct sfl_live live;
    if (!sfl_table_take_live(table, &live))
        return false;
    for (unsigned i = 0; i < live.count; i++)
        carry_to_live(live.items[i].caller, live.items[i].follows, live.items[i].restarts, sink);
    return true;
}

static void carry_one(const struct sfl_effect *effect, const struct carry_sink *sink)
{
    switch (effect->type) {
    case SFL_EFFECT_LEAD:
        sink->lead(sink->context, effect->caller, &effect->lead);
        break;
    case SFL_EFFECT_FOLLOW:
        sink->follow(sink->context, effect->caller, &effect->follow);
        break;
    case SFL_EFFECT_AUDIENCE:
        sink->audience(sink->context, effect->caller, &effect->audience);
        break;
    case SFL_EFFECT_RENEWED:
        sink->renewed(sink->context, effect->caller, effect->renewed_id);
        break;
    case SFL_EFFECT_RESULT:
        sink->result(sink->context, effect->caller, &effect->result);
        sfl_outcome_unref(effect->result.outcome);
        break;
    case SFL_EFFECT_REFUSE:
        sink->refuse(sink->context, effect->caller, &effect->refusal);
        sfl_bytes_unref(effect->refusal.name);
        break;
    case SFL_EFFECT_FORGOTTEN:
        sink->forgotten(sink->context, &effect->forgotten);
        break;
    case SFL_EFFECT_KEEP_LEAD: // nobody in here hears of it
    case SFL_EFFECT_UNLEAD:
    case SFL_EFFECT_ENDED:
        break;
    case SFL_EFFECT_CHUNK:
    case SFL_EFFECT_RESTART:
    case SFL_EFFECT_SETTLED:
    case SFL_EFFECT_FIND_HOME:
    case SFL_EFFECT_RELEASE_HOME:
    case SFL_EFFECT_RETAIN:
    case SFL_EFFECT_DROP:
        sink->flight(sink->context, effect->type, effect->flight);
        break;
    }
}

void carry_out(const struct sfl_effects *effects, const struct carry_sink *sink)
{
    for (unsigned i = 0; i < effects->count; i++)
        carry_one(&effects->items[i], sink);
}

bool carry_settled(struct sfl_table *table, const struct carry_sink *sink)
{
    struct sfl_settled settled;
    if (!sfl_table_take_settled(table, &settled))
        return false;
    for (unsigned i = 0; i < settled.count; i++) {
        const struct sfl_follow follow = {.attempt =
                                              settled.refused ? 0 : settled.result.outcome->attempt,
                                          .leader = settled.leader};
        if (settled.follows & 1U << i)
            sink->follow(sink->context, settled.callers[i], &follow);
        if (settled.restarts & 1U << i)
            sink->restart(sink->context, settled.callers[i], settled.result.outcome->attempt,
                          sfl_bytes_span(settled.leader));
        if (settled.refused)
            sink->refuse(sink->context, settled.callers[i], &settled.refusal);
        else
            sink->result(sink->context, settled.callers[i], &settled.result);
    }
    sfl_bytes_unref(settled.leader);
    if (settled.refused)
        sfl_bytes_unref(settled.refusal.name);
    else
        sfl_outcome_unref(settled.result.outcome);
    return true;
}
