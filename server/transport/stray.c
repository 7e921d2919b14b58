// SPDX-License-Identifier: Apache-2.0
#include "transport/stray.h"

#include <stdlib.h>

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

void sfl_strays_init(struct sfl_strays *strays)
{
    sfl_list_init(&strays->list);
    strays->count = 0;
}

void sfl_strays_deinit(struct sfl_strays *strays)
{
    struct sfl_reply ignored;
    while (sfl_strays_take(strays, &ignored))
        ;
}

bool sfl_strays_add(struct sfl_strays *strays, uint64_t id, const struct sfl_reply_end *end)
{
    struct sfl_stray *stray = malloc(sizeof(*stray));
    if (stray == NULL)
        return false;
    stray->id = id;
    stray->end = *end;
    sfl_list_append(&strays->list, &stray->link);
    strays->count++;
    return true;
}

bool sfl_strays_take(struct sfl_strays *strays, struct sfl_reply *reply_out)
{
    struct sfl_link *link = sfl_list_pop(&strays->list);
    if (link == NULL)
        return false;
    struct sfl_stray *stray = SFL_CONTAINER_OF(link, struct sfl_stray, link);
    reply_out->type = SFL_REPLY_END;
    reply_out->id = stray->id;
    reply_out->end = stray->end;
    strays->count--;
    free(stray);
    return true;
}
