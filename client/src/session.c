// SPDX-License-Identifier: Apache-2.0
#include "src/session.h"

#include "src/seat.h"
#include "src/server.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

#define PATH "/singleflight.v1.SingleFlight/Session"

static void on_message(void *context, struct sfl_span message);
static void on_sent(void *context);
static void on_closed(void *context, int code, const char *text);
static void run_flush(struct sfl_pump_work *work);

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

struct sfl_session *sfl_session_open(struct sfl_server *server)
{
    struct sfl_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->server = server;
    session->flush.run = run_flush;
    sfl_map_init(&session->seats_by_id);
    sfl_list_init(&session->seats);
    sfl_list_init(&session->ready);
    session->stream = sfl_channel_open(server->channel, PATH, UINT64_MAX, &events, session);
    if (session->stream == NULL) {
        free(session);
        return NULL;
    }
    server->client->streams_open++;
    sfl_list_append(&server->sessions, &session->link);
    return session;
}

// It is freed when it is over and no flush is queued.
static void free_if_done(struct sfl_session *session)
{
    if (!session->over || session->flush_queued)
        return;
    sfl_map_deinit(&session->seats_by_id);
    sfl_frames_deinit(&session->outbox);
    free(session);
}

// ----------------------------------------------------------------------------------------- seats

static struct sfl_seat *find(const struct sfl_session *session, uint64_t id)
{
    // The ids are their own hashes: each has one node.
    struct sfl_map_node *node = sfl_map_find(&session->seats_by_id, id);
    return node == NULL ? NULL : SFL_CONTAINER_OF(node, struct sfl_seat, id_node);
}

static void queue_flush(struct sfl_session *session)
{
    if (session->sending || session->flush_queued || session->over)
        return;
    session->flush_queued = true;
    sfl_pump_defer(&session->flush);
}

// Before a frame is written.
static void note_message(struct sfl_session *session)
{
    if (session->outbox.size > 0)
        return;
    session->outbox_since_ms = sfl_clock_boot_ms();
}

// Writes the next frame of `seat` if it can be written already. False: the seat has to wait for its
// turn, as it does before the server has answered anything, where it may still look elsewhere.
static bool write_at_once(struct sfl_session *session, struct sfl_seat *seat)
{
    bool more = false;
    bool may_write = session->up && sfl_list_is_empty(&session->ready) &&
                     sfl_frames_has_room(&session->outbox) && sfl_seat_has_final_frame(seat);
    if (!may_write)
        return false;
    note_message(session);
    return sfl_seat_next_frame(seat, &session->outbox, &more) == SFL_OK && !more;
}

void sfl_session_ready(struct sfl_session *session, struct sfl_seat *seat)
{
    bool waits = sfl_link_is_linked(&seat->ready_link);
    if (!waits && !write_at_once(session, seat))
        sfl_list_append(&session->ready, &seat->ready_link);
    queue_flush(session);
}

static void put(struct sfl_session *session, struct sfl_seat *seat, uint64_t id)
{
    seat->session = session;
    seat->server = session->server;
    seat->id = id;
    sfl_map_insert(&session->seats_by_id, &seat->id_node, id);
    sfl_list_append(&session->seats, &seat->session_link);
    sfl_session_ready(session, seat);
}

void sfl_session_add(struct sfl_session *session, struct sfl_seat *seat)
{
    assert(!session->retired && !session->over);
    put(session, seat, ++session->last_id);
}

static void take_off(struct sfl_session *session, struct sfl_seat *seat)
{
    assert(seat->session == session);
    sfl_map_remove(&session->seats_by_id, &seat->id_node);
    sfl_link_remove(&seat->session_link);
    sfl_link_remove(&seat->ready_link);
    seat->session = NULL;
}

// The last seat of a session that retires takes it along.
static void half_close_if_idle(struct sfl_session *session)
{
    bool is_idle =
        sfl_list_is_empty(&session->seats) && !session->sending && session->outbox.size == 0;
    if (!session->retired || !is_idle || session->half_closed || session->over)
        return;
    session->half_closed = true;
    sfl_stream_half_close(session->stream);
}

void sfl_session_remove(struct sfl_session *session, struct sfl_seat *seat)
{
    take_off(session, seat);
    half_close_if_idle(session);
}

void sfl_session_replace(struct sfl_session *session, struct sfl_seat *seat,
                         struct sfl_seat *stand_in)
{
    uint64_t id = seat->id;
    take_off(session, seat);
    put(session, stand_in, id);
}

void sfl_session_renumber(struct sfl_session *session, struct sfl_seat *seat)
{
    take_off(session, seat);
    put(session, seat, ++session->last_id);
}

void sfl_session_retire(struct sfl_session *session)
{
    session->retired = true;
    if (session->server->current == session)
        session->server->current = NULL;
    half_close_if_idle(session);
}

void sfl_session_cut(struct sfl_session *session)
{
    sfl_session_retire(session);
    if (!session->over)
        sfl_stream_cancel(session->stream, SINGLEFLIGHT_CANCELLED, "the client ends the session");
}

// --------------------------------------------------------------------------------------- sending

// Gathers frames of the seats that are ready, one of each in turn, until the message is full.
static enum sfl_status gather(struct sfl_session *session)
{
    struct sfl_link *link;
    while (sfl_frames_has_room(&session->outbox) &&
           (link = sfl_list_pop(&session->ready)) != NULL) {
        struct sfl_seat *seat = SFL_CONTAINER_OF(link, struct sfl_seat, ready_link);
        bool more = false;
        note_message(session);
        enum sfl_status status = sfl_seat_next_frame(seat, &session->outbox, &more);
        if (status != SFL_OK)
            return status;
        if (more)
            sfl_list_append(&session->ready, link);
        if (sfl_seat_is_gone(seat))
            sfl_seat_destroy(seat);
    }
    return SFL_OK;
}

static void flush(struct sfl_session *session)
{
    if (session->sending || session->half_closed)
        return;
    session->sending = true; // so that no half-close overtakes what is gathered
    if (gather(session) != SFL_OK) {
        sfl_session_cut(session); // no memory: to its seats, a broken stream
        return;
    }
    if (session->outbox.size == 0) {
        session->sending = false;
        half_close_if_idle(session);
        return;
    }
    struct sfl_span message = sfl_frames_take(&session->outbox);
    const struct sfl_piece piece = {message, free, (void *)message.data};
    session->messages_handed++;
    // When the stream is over, on_closed is on its way, and nothing is to be done here.
    (void)!sfl_stream_send(session->stream, &piece, 1);
}

static void run_flush(struct sfl_pump_work *work)
{
    struct sfl_session *session = SFL_CONTAINER_OF(work, struct sfl_session, flush);
    session->flush_queued = false;
    if (!session->over)
        flush(session);
    free_if_done(session);
}

static void on_sent(void *context)
{
    struct sfl_session *session = context;
    session->sending = false;
    session->messages_sent++;
    if (session->outbox.size > 0 || !sfl_list_is_empty(&session->ready))
        queue_flush(session);
    half_close_if_idle(session);
}

// ------------------------------------------------------------------------------------- receiving

static void on_message(void *context, struct sfl_span message)
{
    struct sfl_session *session = context;
    struct sfl_answer frame;
    struct sfl_span rest = message;
    while (sfl_answer_next(&rest, &frame)) {
        sfl_client_expect_commands(session->server->client);
        struct sfl_seat *seat = find(session, frame.id);
        if (seat != NULL)
            sfl_seat_on_frame(seat, &frame);
        else if (!sfl_answer_refuses(&frame)) // to one that has left meanwhile
            sfl_server_on_session_up(session->server, session);
        // What callbacks have posted is about what is at hand now.
        sfl_client_run_commands(session->server->client);
    }
    if (rest.size > 0)
        sfl_session_cut(session); // what it says cannot be read
}

static void on_closed(void *context, int code, const char *text)
{
    struct sfl_session *session = context;
    struct sfl_server *server = session->server;
    session->over = true;
    session->retired = true;
    sfl_link_remove(&session->link);
    server->client->streams_open--;
    sfl_stream_unref(session->stream);
    sfl_server_on_session_over(server, session, code, text);

    // What happens to one seat may end or move others, so each time the first that is left.
    struct sfl_link *link;
    while ((link = sfl_list_first(&session->seats)) != NULL) {
        struct sfl_seat *seat = SFL_CONTAINER_OF(link, struct sfl_seat, session_link);
        take_off(session, seat);
        sfl_seat_on_session_over(seat, code, text);
    }
    free_if_done(session);
    sfl_client_on_something_ended(server->client);
}
