// SPDX-License-Identifier: Apache-2.0
// Streams without an end of their own (Session, Watch, reflection): what becomes of them when the
// server drains and when it stops.
#include "base/status.h"
#include "transport/service.h"
#include "transport/transport.h"

static void end_resident(struct sfl_outbox *outbox)
{
    static const struct sfl_fault stopped = {NULL,
                                             "the server stops; try another replica or again"};
    sfl_outbox_end(outbox, sfl_status_code(SFL_UNAVAILABLE), &stopped, false);
}

void sfl_transport_add_resident(struct sfl_transport *transport, struct sfl_outbox *outbox)
{
    pthread_mutex_lock(&transport->lock);
    sfl_list_append(&transport->residents, &outbox->in_residents);
    bool is_closing = transport->is_closing;
    pthread_mutex_unlock(&transport->lock);
    if (is_closing)
        end_resident(outbox);
}

void sfl_transport_remove_resident(struct sfl_transport *transport, struct sfl_outbox *outbox)
{
    pthread_mutex_lock(&transport->lock);
    sfl_link_remove(&outbox->in_residents);
    pthread_mutex_unlock(&transport->lock);
}

// Calls `act` for every resident, which does not go meanwhile: going takes the transport's lock.
// Lock order: the transport's, then an outbox's.
static void for_each_resident_locked(struct sfl_transport *transport,
                                     void (*act)(struct sfl_outbox *outbox))
{
    struct sfl_link *link = sfl_list_first(&transport->residents);
    for (; link != NULL; link = sfl_list_next(&transport->residents, link))
        act(SFL_CONTAINER_OF(link, struct sfl_outbox, in_residents));
}

void sfl_transport_health_changed(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    for_each_resident_locked(transport, sfl_outbox_wake);
    pthread_mutex_unlock(&transport->lock);
}

void sfl_transport_drain(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    transport->is_draining = true;
    for_each_resident_locked(transport, sfl_outbox_wake);
    pthread_mutex_unlock(&transport->lock);
}

void sfl_transport_close(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    transport->is_closing = true;
    for_each_resident_locked(transport, end_resident);
    pthread_mutex_unlock(&transport->lock);
}

bool sfl_transport_is_draining(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    bool is_draining = transport->is_draining;
    pthread_mutex_unlock(&transport->lock);
    return is_draining;
}
