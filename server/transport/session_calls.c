// SPDX-License-Identifier: Apache-2.0
// The calls of a Session, by id.
#include "base/local_heap.h"
#include "transport/session_private.h"

// Ids are the client's choice, so they are hashed with a secret: both halves of a product.
static uint64_t hash_id(const struct sfl_session *session, uint64_t id)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t secret = session->outbox.transport->hash_seed;
    wide product = (wide)(id ^ secret) * (secret | 1);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static void free_call(struct sfl_call *call)
{
    sfl_free(&sfl_local_heap, call, sizeof(*call));
}

struct sfl_call *sfl_session_find(const struct sfl_session *session, uint64_t id)
{
    struct sfl_index_walk walk = {0};
    uint64_t hash = hash_id(session, id);
    struct sfl_call *call = NULL;
    while ((call = sfl_index_next(&session->index, hash, &walk)) != NULL) {
        if (call->id == id)
            return call;
    }
    return NULL;
}

struct sfl_call *sfl_session_add(struct sfl_session *session, uint64_t id)
{
    if (!sfl_index_reserve(&session->index))
        return NULL;
    struct sfl_call *call = sfl_alloc(&sfl_local_heap, sizeof(*call));
    if (call == NULL)
        return NULL;
    sfl_call_init(call, &session->outbox, id, free_call);
    sfl_index_insert(&session->index, hash_id(session, id), call);
    sfl_list_append(&session->calls, &call->in_stream);
    session->joined_count++;
    return call;
}

void sfl_session_put_away(struct sfl_session *session, struct sfl_call *call)
{
    sfl_index_remove(&session->index, hash_id(session, call->id), call);
    sfl_link_remove(&call->in_stream);
    sfl_link_remove(&call->relying);
    if (sfl_call_let_go(call))
        free_call(call);
}

void sfl_session_count(struct sfl_session *session, uint64_t count)
{
    // When they are fewer than before, the sum wraps around as it should.
    uint64_t more = count - session->counted;
    session->counted = count;
    sfl_under_way_add(&session->outbox.transport->calls, session->part, more);
}

uint64_t sfl_session_calls_now(const struct sfl_session *session)
{
    return session->index.count + (session->held != NULL);
}

void sfl_session_put_ended_away(struct sfl_session *session)
{
    struct sfl_list ended;
    struct sfl_link *link = NULL;
    sfl_list_init(&ended);
    sfl_outbox_lock(&session->outbox);
    sfl_list_append_all(&ended, &session->ended);
    sfl_outbox_unlock(&session->outbox);
    uint64_t before = session->index.count;
    while ((link = sfl_list_pop(&ended)) != NULL)
        sfl_session_put_away(session, SFL_CONTAINER_OF(link, struct sfl_call, in_ready));
    sfl_connection_give(session->connection, before - session->index.count);
    sfl_session_count(session, sfl_session_calls_now(session));
}
