// SPDX-License-Identifier: Apache-2.0
#include "transport/stray.h"

#include "transport/connection.h"

#include <stdlib.h>

void sfl_strays_init(struct sfl_strays *strays, struct sfl_connection *connection)
{
    sfl_list_init(&strays->list);
    strays->count = 0;
    strays->connection = connection;
}

bool sfl_strays_are_many(const struct sfl_strays *strays)
{
    return strays->count > SFL_STRAYS_FREE && sfl_connection_is_full_of_strays(strays->connection);
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
    if (++strays->count > SFL_STRAYS_FREE)
        sfl_connection_add_strays(strays->connection, sizeof(*stray));
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
    if (strays->count-- > SFL_STRAYS_FREE)
        sfl_connection_add_strays(strays->connection, -(int64_t)sizeof(*stray));
    free(stray);
    return true;
}
