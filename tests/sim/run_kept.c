// SPDX-License-Identifier: Apache-2.0
// Leads that somebody keeps beyond the process: what the core says of them must fit what runs.
#include "run.h"

#include <inttypes.h>
#include <string.h>

static bool is_kept(const struct run *run, uint64_t token)
{
    unsigned i = 0;
    while (i < run->kept_count && run->kept[i] != token)
        i++;
    return i < run->kept_count;
}

bool run_keep_lead(struct run *run, int f, uint64_t token)
{
    // Some keepers refuse.
    if (run->model.flight[f].wish.lease_ms == 0 || token % 2 == 0)
        return false;
    if (run->kept_count == RUN_KEPT)
        model_fail(&run->model, "%d leads are kept, so many cannot run", RUN_KEPT);
    run->kept[run->kept_count++] = token;
    return true;
}

static void unlead(struct run *run, uint64_t token)
{
    if (!is_kept(run, token))
        model_fail(&run->model, "the lead %" PRIu64 " is over, but it is not kept", token);
    for (unsigned i = 0; i < run->kept_count; i++) {
        if (run->kept[i] == token)
            run->kept[i] = run->kept[--run->kept_count];
    }
}

void run_observe_kept(struct run *run, const struct sfl_effects *effects)
{
    for (unsigned i = 0; i < effects->count; i++) {
        const struct sfl_effect *effect = &effects->items[i];
        if (effect->type == SFL_EFFECT_UNLEAD)
            unlead(run, effect->token);
        if (effect->type == SFL_EFFECT_RESULT && effect->result.led && !effect->result.retained &&
            is_kept(run, effect->result.outcome->token))
            model_fail(&run->model, "a leader has its result before its lead is over");
        if (effect->type != SFL_EFFECT_KEEP_LEAD)
            continue;
        if (!is_kept(run, effect->flight->token) || effect->flight->place != SFL_PLACE_FORGOTTEN)
            model_fail(&run->model, "a lead is kept anew that is none, or not forgotten");
    }
}

void run_check_kept(struct run *run)
{
    unsigned right = 0;
    for (int f = 0; f < run->model.flights_top; f++) {
        const struct model_flight *flight = &run->model.flight[f];
        if (flight->state == MODEL_LED || flight->state == MODEL_ORPHANED)
            right += is_kept(run, flight->token);
    }
    // The drain ends those that are overdue, and they outlive it.
    bool is_right = run->model.draining ? right <= run->kept_count : right == run->kept_count;
    if (!is_right)
        model_fail(&run->model, "%u leads are kept, but %u of those run", run->kept_count, right);
}
