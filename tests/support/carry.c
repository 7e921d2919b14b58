// SPDX-License-Identifier: Apache-2.0
#include "support/carry.h"

static void carry_to_live(const struct sfl_effect *effect, const struct carry_sink *sink)
{
    struct sfl_flight *flight = effect->flight;
    sink->flight(sink->context, effect->type, flight);
    struct sfl_link *link = sfl_list_first(&flight->live);
    for (; link != NULL; link = sfl_list_next(&flight->live, link)) {
        struct sfl_caller *caller = SFL_CONTAINER_OF(link, struct sfl_caller, in_live);
        if (effect->type == SFL_EFFECT_CHUNK)
            sink->chunk(sink->context, caller, flight->value, flight->value->size);
        else
            sink->restart(sink->context, caller, flight->attempt,
                          sfl_bytes_span(flight->leader_name));
    }
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
    case SFL_EFFECT_CHUNK:
    case SFL_EFFECT_RESTART:
        carry_to_live(effect, sink);
        break;
    case SFL_EFFECT_AUDIENCE:
        sink->audience(sink->context, effect->caller, &effect->audience);
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
        if (settled.refused)
            sink->refuse(sink->context, settled.callers[i], &settled.refusal);
        else
            sink->result(sink->context, settled.callers[i], &settled.result);
    }
    if (settled.refused)
        sfl_bytes_unref(settled.refusal.name);
    else
        sfl_outcome_unref(settled.result.outcome);
    return true;
}
