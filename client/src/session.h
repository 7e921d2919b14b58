// SPDX-License-Identifier: Apache-2.0
// One Session stream. All of this is the client's thread's.
#ifndef SFL_CLIENT_SESSION_H
#define SFL_CLIENT_SESSION_H

#include "rpc/stream.h"
#include "src/client.h"
#include "src/frames.h"

struct sfl_seat;

struct sfl_session {
    struct sfl_link link; // in its server's sessions
    struct sfl_server *server;
    struct sfl_stream *stream;
    struct sfl_map seats_by_id;
    struct sfl_list seats;
    struct sfl_frames outbox; // frames that are written, and go out with the next message
    struct sfl_list ready;    // seats that have frames to write after those, in turn
    uint64_t outbox_since_ms; // by sfl_clock_boot_ms(): not later than its first frame was written
    uint64_t messages_handed; // to the transport; the outbox is the next one
    uint64_t messages_sent;   // of those, the ones that it has taken
    uint64_t last_id;
    struct sfl_pump_work flush; // sends what is ready once the completions at hand are drained
    bool flush_queued;
    bool sending;     // from sfl_stream_send until on_sent
    bool up;          // the server has taken a join on it
    bool retired;     // takes no new seats; ends with its last one
    bool half_closed; // no more frames
    bool over;        // on_closed has been called
};

// Opens a stream to `server`. NULL when there is no memory.
struct sfl_session *sfl_session_open(struct sfl_server *server);

// Seats `seat`, with an id of its own, and has its frames sent.
void sfl_session_add(struct sfl_session *session, struct sfl_seat *seat);

// Puts `stand_in` in the place of `seat`, under the same id, and has its frames sent.
void sfl_session_replace(struct sfl_session *session, struct sfl_seat *seat,
                         struct sfl_seat *stand_in);

// Gives `seat` a new id, and has its frames sent; also on a session that is retired.
void sfl_session_renumber(struct sfl_session *session, struct sfl_seat *seat);

// Takes `seat` off. Frames for its id are ignored from now on.
void sfl_session_remove(struct sfl_session *session, struct sfl_seat *seat);

// `seat` has frames to send. One that cannot change any more is written at once, while all that it
// is made of is at hand; others get their turn when a message is sent.
void sfl_session_ready(struct sfl_session *session, struct sfl_seat *seat);

// No new seats; the stream ends with its last one.
void sfl_session_retire(struct sfl_session *session);

// Ends the stream now, whatever is under way.
void sfl_session_cut(struct sfl_session *session);

#endif
