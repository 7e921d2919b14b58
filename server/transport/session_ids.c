// SPDX-License-Identifier: Apache-2.0
#include "transport/session_ids.h"

bool sfl_ids_may_join(const struct sfl_ids *ids, uint64_t id)
{
    return !ids->any || id > ids->greatest;
}

void sfl_ids_join(struct sfl_ids *ids, uint64_t id)
{
    uint64_t first_free = ids->any ? ids->greatest + 1 : 0;
    if (id > first_free) {
        unsigned at = ids->gap_count++ % SFL_GAPS_MAX;
        ids->gaps[at].first = first_free;
        ids->gaps[at].last = id - 1;
    }
    ids->any = true;
    ids->greatest = id;
}

bool sfl_ids_have_joined(const struct sfl_ids *ids, uint64_t id)
{
    if (!ids->any || id > ids->greatest)
        return false;
    unsigned known = ids->gap_count < SFL_GAPS_MAX ? ids->gap_count : SFL_GAPS_MAX;
    for (unsigned i = 0; i < known; i++) {
        if (id >= ids->gaps[i].first && id <= ids->gaps[i].last)
            return false;
    }
    return true;
}
