// SPDX-License-Identifier: Apache-2.0
// A world for the transport without gRPC: streams that are driven by hand, an engine below, and
// time that does not matter. Everything happens on the test's thread.
#ifndef SFL_TESTS_TRANSPORT_FAKE_H
#define SFL_TESTS_TRANSPORT_FAKE_H

#include "engine/engine.h"
#include "transport/service.h"

#include "singleflight/v1/singleflight.pb-c.h"

enum { FAKE_WAITING_MAX = 4 };

struct fake_world {
    bool keeps;           // what is retained is kept somewhere: see fake_keep
    bool refuses_to_keep; // whoever keeps takes nothing now
    struct {
        void (*on_kept)(void *argument, bool is_kept);
        void *argument;
    } waiting[FAKE_WAITING_MAX];
    unsigned waiting_count;
    struct sfl_limits limits;
    uint64_t connection_callers_max;
    struct sfl_security *security; // borrowed; NULL: everybody may do everything
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    struct sfl_transport *transport;
    struct sfl_list streams;
};

// Makes a world with the contract's limits that keeps nothing; all that may be changed before
// fake_world_start.
void fake_world_init(struct fake_world *world);
void fake_world_start(struct fake_world *world);

// Every stream must be over. Asserts that nothing is held any more.
void fake_world_deinit(struct fake_world *world);

// Lets everything happen that can: sends, ends, the next sends.
void fake_run(struct fake_world *world);

// Everything that was retained and forgotten is safe now: tells those who wait for it.
void fake_keep(struct fake_world *world);

// Nothing of it could be kept: tells them that.
void fake_do_not_keep(struct fake_world *world);

// From here on, to the end of the world, the test's thread is a pump: what is deferred runs when
// the world runs.
void fake_be_pump(void);

// From here on a turn is over when something has been asked so often whether it is; 0: never.
void fake_turns_of(unsigned things);

// From here on the pump has completions left whenever works run.
void fake_be_never_drained(void);

// One work that was deferred or posted runs, and nothing else happens. False when there is none.
bool fake_run_turn(void);

// How many works have been deferred behind those of others since fake_be_pump.
unsigned fake_crowd_count(void);

// The streams that are opened from here on bring this token; NULL: none.
void fake_show_token(const char *text);

// A new RPC of this method from this peer.
struct sfl_stream *fake_open(struct fake_world *world, const char *path, const char *peer);

// What the peer does.
void fake_send(struct fake_world *world, struct sfl_stream *stream, const void *data, size_t size);
void fake_half_close(struct fake_world *world, struct sfl_stream *stream);
void fake_break(struct fake_world *world, struct sfl_stream *stream);

// The same, and nothing else happens; see fake_run_turn.
void fake_send_without_turns(struct sfl_stream *stream, const void *data, size_t size);
void fake_break_without_turns(struct sfl_stream *stream);

// The ends of these streams come one after the other, before anything else happens.
void fake_break_many(struct fake_world *world, struct sfl_stream *const *streams, unsigned count);

// A peer that is frozen takes one more message, and none after it.
void fake_freeze(struct fake_world *world, struct sfl_stream *stream, bool frozen);

// True while the transport reads nothing of the stream; nothing may be sent to it then.
bool fake_is_paused(const struct sfl_stream *stream);

// The messages that the peer has received, oldest first; the stream keeps them.
size_t fake_count(const struct sfl_stream *stream);
struct sfl_span fake_message(const struct sfl_stream *stream, size_t index);

// How the stream ended: -1 while it has not.
int fake_code(const struct sfl_stream *stream);
const char *fake_text(const struct sfl_stream *stream);

// The test has seen enough of a stream that is over.
void fake_release(struct sfl_stream *stream);

// --- one caller on a Do stream ---

void fake_do_send(struct fake_world *world, struct sfl_stream *stream,
                  const Singleflight__V1__DoRequest *request);

// The message with this index; to be freed by the caller.
Singleflight__V1__DoResponse *fake_do_response(const struct sfl_stream *stream, size_t index);

// --- many callers on a Session ---

void fake_session_send(struct fake_world *world, struct sfl_stream *stream,
                       const Singleflight__V1__CallRequest *call);
Singleflight__V1__SessionResponse *fake_session_response(const struct sfl_stream *stream,
                                                         size_t index);

// The frames of all messages so far, in order, copied flat: id and step, and a chunk's size.
struct fake_frame {
    uint64_t id;
    Singleflight__V1__CallResponse__StepCase step;
    size_t message;    // in which it came
    uint64_t bytes;    // of a chunk's data, or of a result's value
    uint64_t sequence; // of a chunk
    uint64_t attempt;  // of a chunk, restart, lead, follow or result
    int code;          // of an end
    char text[512];    // of an end
};
enum { FAKE_FRAMES_MAX = 4096 };
size_t fake_frames(const struct sfl_stream *stream, struct fake_frame frames[FAKE_FRAMES_MAX]);

#endif
