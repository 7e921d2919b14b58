// SPDX-License-Identifier: Apache-2.0
#include "src/within.h"

#include "src/constants.h"
#include "src/seat.h"

#include <stdlib.h>

static struct sfl_span group_of(const struct sfl_join *join)
{
    return join->group_bytes == 0 ? sfl_span_of_text("default") : sfl_join_group(join);
}

// Whether the call is for a key that `lead` was granted.
static bool is_for_key_of(const struct sfl_join *join, const struct singleflight_call *lead)
{
    return sfl_span_equal(sfl_join_key(join), sfl_join_key(&lead->join)) &&
           sfl_span_equal(group_of(join), group_of(&lead->join));
}

bool sfl_within_allows(struct sfl_join *join, const struct singleflight_client *client,
                       const struct singleflight_call *lead)
{
    for (; lead != NULL; lead = lead->within) {
        if (!is_for_key_of(join, lead))
            continue;
        if (lead->client == client)
            return false;
        join->mergeable = false;
    }
    return true;
}

enum sfl_status sfl_within_write(struct singleflight_call *call)
{
    struct sfl_lead_ref refs[SFL_WITHIN_MAX];
    size_t count = 0;
    const struct singleflight_call *lead = call->within;
    for (; lead != NULL && count < SFL_WITHIN_MAX; lead = lead->within) {
        if (lead->lead.terms.token != 0)
            refs[count++] = (struct sfl_lead_ref){group_of(&lead->join), sfl_join_key(&lead->join),
                                                  lead->lead.terms.token};
    }
    size_t size = sfl_join_within_size(refs, count);
    if (size == 0)
        return SFL_OK;
    uint8_t *wire = malloc(size);
    if (wire == NULL)
        return SFL_NO_MEMORY;
    sfl_join_put_within(wire, refs, count);
    call->within_wire = sfl_span_of(wire, size);
    return SFL_OK;
}

// ----------------------------------------------------------------------------------------- rings

// The call of this client that leads what `join` asks for; NULL: none.
static struct singleflight_call *leader_of(const struct singleflight_client *client,
                                           const struct sfl_join *join)
{
    for (struct sfl_link *at = sfl_list_first(&client->seats); at != NULL;
         at = sfl_list_next(&client->seats, at)) {
        const struct sfl_seat *seat = SFL_CONTAINER_OF(at, struct sfl_seat, client_link);
        if (seat->leader != NULL && is_for_key_of(join, seat->leader->call))
            return seat->leader->call;
    }
    return NULL;
}

static bool is_inside(const struct singleflight_call *call, const struct singleflight_call *lead)
{
    for (; call != NULL; call = call->within) {
        if (call == lead)
            return true;
    }
    return false;
}

// Whether the function that `lead` was granted waits, over blocking calls of its own, for one that
// `call` was made inside of. `depth` bounds it: a ring that is longer is not found.
static bool waits_for(const struct singleflight_call *lead, const struct singleflight_call *call,
                      unsigned depth)
{
    const struct singleflight_client *client = call->client;
    if (is_inside(call->within, lead))
        return true;
    for (struct sfl_link *at = sfl_list_first(&client->calls); at != NULL && depth > 0;
         at = sfl_list_next(&client->calls, at)) {
        struct singleflight_call *inner =
            SFL_CONTAINER_OF(at, struct singleflight_call, client_link);
        bool is_waited_for = inner->within == lead && inner->blocking && inner->seat != NULL;
        if (!is_waited_for || inner == call)
            continue;
        const struct singleflight_call *next = leader_of(client, &inner->join);
        if (next != NULL && next != inner && waits_for(next, call, depth - 1))
            return true;
    }
    return false;
}

bool sfl_within_closes_ring(const struct singleflight_call *call)
{
    bool is_waited_for = call->blocking && call->within != NULL;
    if (!is_waited_for || call->within->client != call->client)
        return false;
    const struct singleflight_call *lead = leader_of(call->client, &call->join);
    return lead != NULL && waits_for(lead, call, SFL_WITHIN_MAX);
}
