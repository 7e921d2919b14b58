// SPDX-License-Identifier: Apache-2.0
#include "transport_fake.h"

#include "rpc/identity.h"
#include "rpc/pump.h"
#include "rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct received {
    size_t size;
    uint8_t *data;
};

struct sfl_stream {
    struct sfl_link link;
    unsigned references;
    const struct sfl_stream_events *events;
    void *context;
    const char *peer;
    size_t count;
    struct received messages[1024];
    bool is_sending;
    bool is_frozen;
    bool is_over;
    bool is_paused;
    int code;
    char text[512];
};

// --- what the transport sees instead of common/rpc ---

// Works that wait for their turn. Until the test's thread plays a pump, all of them are posted.
static struct {
    bool is_current;
    struct sfl_list fresh;
    struct sfl_list crowd;
    unsigned crowd_count; // ever
    bool has_more;        // completions are always left
    unsigned turn;        // so many things are done in one; 0: without end
    unsigned done;        // in this turn
} pump;

bool sfl_pump_is_current(void)
{
    return pump.is_current;
}

unsigned sfl_pump_index(void)
{
    return 0;
}

bool sfl_pump_is_drained(void)
{
    return !pump.has_more;
}

bool sfl_pump_should_yield(void)
{
    return pump.is_current && pump.turn > 0 && ++pump.done >= pump.turn;
}

static bool defer(struct sfl_list *works, struct sfl_pump_work *work)
{
    bool is_new = !atomic_exchange(&work->is_queued, true);
    if (is_new)
        sfl_list_append(works, &work->link);
    return is_new;
}

void sfl_pumps_post(struct sfl_pumps *pumps, struct sfl_pump_work *work)
{
    assert_null(pumps);
    assert_false(pump.is_current);
    (void)defer(&pump.crowd, work);
}

void sfl_pump_post(struct sfl_pump *on, struct sfl_pump_work *work)
{
    assert_null(on);
    (void)defer(&pump.crowd, work);
}

// There is one, and nobody sees it.
unsigned sfl_pumps_count(const struct sfl_pumps *pumps)
{
    assert_null(pumps);
    return 1;
}

struct sfl_pump *sfl_pumps_get(struct sfl_pumps *pumps, unsigned index)
{
    assert_null(pumps);
    assert_int_equal(index, 0);
    return NULL;
}

static const char *shown_token; // that the next streams show

void fake_show_token(const char *text)
{
    shown_token = text;
}

bool sfl_stream_identify(struct sfl_stream *stream, struct sfl_stream_identity *identity_out)
{
    (void)stream;
    *identity_out = (struct sfl_stream_identity){.is_loopback = true, .are_names_whole = true};
    identity_out->has_bearer = identity_out->is_bearer_readable = shown_token != NULL;
    identity_out->bearer = sfl_span_of_text(shown_token == NULL ? "" : shown_token);
    return true;
}

void sfl_pump_defer(struct sfl_pump_work *work)
{
    assert_true(pump.is_current);
    (void)defer(&pump.fresh, work);
}

void sfl_pump_defer_crowd(struct sfl_pump_work *work)
{
    assert_true(pump.is_current);
    if (defer(&pump.crowd, work))
        pump.crowd_count++;
}

static bool run_work(void)
{
    struct sfl_link *link = sfl_list_pop(&pump.fresh);
    if (link == NULL)
        link = sfl_list_pop(&pump.crowd);
    if (link == NULL)
        return false;
    struct sfl_pump_work *work = SFL_CONTAINER_OF(link, struct sfl_pump_work, link);
    atomic_store(&work->is_queued, false);
    pump.done = 0;
    work->run(work);
    pump.done = 0;
    return true;
}

void fake_be_pump(void)
{
    pump.is_current = true;
    pump.crowd_count = 0;
}

void fake_be_never_drained(void)
{
    pump.has_more = true;
}

void fake_turns_of(unsigned things)
{
    pump.turn = things;
}

bool fake_run_turn(void)
{
    bool was_pump = pump.is_current;
    pump.is_current = true;
    bool has_run = run_work();
    pump.is_current = was_pump;
    return has_run;
}

unsigned fake_crowd_count(void)
{
    return pump.crowd_count;
}

static void receive(struct sfl_stream *stream, const struct sfl_piece *pieces, size_t count)
{
    size_t size = 0;
    assert_true(stream->count < sizeof(stream->messages) / sizeof(stream->messages[0]));
    for (size_t i = 0; i < count; i++)
        size += pieces[i].bytes.size;
    assert_true(size <= 4 * 1024 * 1024);
    struct received *received = &stream->messages[stream->count++];
    received->size = 0;
    received->data = malloc(size + 1);
    assert_non_null(received->data);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].bytes.size > 0)
            memcpy(received->data + received->size, pieces[i].bytes.data, pieces[i].bytes.size);
        received->size += pieces[i].bytes.size;
        if (pieces[i].release != NULL)
            pieces[i].release(pieces[i].owner);
    }
}

enum sfl_status sfl_stream_send(struct sfl_stream *stream, const struct sfl_piece *pieces,
                                size_t count)
{
    assert_false(stream->is_sending);
    assert_int_equal(stream->code, -1);
    assert_true(count > 0);
    receive(stream, pieces, count);
    if (stream->is_over)
        return SFL_UNAVAILABLE;
    stream->is_sending = true;
    return SFL_OK;
}

void sfl_stream_finish(struct sfl_stream *stream, const struct sfl_piece *pieces, size_t count,
                       int code, const char *text)
{
    assert_false(stream->is_sending);
    assert_int_equal(stream->code, -1);
    if (count > 0)
        receive(stream, pieces, count);
    stream->code = code;
    snprintf(stream->text, sizeof(stream->text), "%s", text);
}

void sfl_stream_pause(struct sfl_stream *stream)
{
    stream->is_paused = true;
}

void sfl_stream_resume(struct sfl_stream *stream)
{
    stream->is_paused = false;
}

bool fake_is_paused(const struct sfl_stream *stream)
{
    return stream->is_paused;
}

uint64_t sfl_stream_deadline_ms(const struct sfl_stream *stream)
{
    (void)stream;
    return UINT64_MAX;
}

struct sfl_span sfl_stream_metadata(const struct sfl_stream *stream, const char *key)
{
    (void)stream;
    (void)key;
    return sfl_span_of(NULL, 0);
}

char *sfl_stream_peer(struct sfl_stream *stream)
{
    return strdup(stream->peer);
}

struct sfl_stream *sfl_stream_ref(struct sfl_stream *stream)
{
    stream->references++;
    return stream;
}

void sfl_stream_unref(struct sfl_stream *stream)
{
    assert_true(stream->references > 0);
    if (--stream->references > 0)
        return;
    for (size_t i = 0; i < stream->count; i++)
        free(stream->messages[i].data);
    free(stream);
}

// --- the world ---

static void on_earlier_tick(void *context)
{
    (void)context; // nothing in these tests waits for a deadline
}

// Nothing in these tests asks what becomes of leads.
static bool on_keep_lead(void *context, const struct sfl_kept_lead *lead,
                         void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    (void)context;
    (void)lead;
    (void)on_kept;
    (void)argument;
    return false;
}

static void on_unlead(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

static bool on_retain(void *context, const struct sfl_kept *kept)
{
    const struct fake_world *world = context;
    (void)kept;
    return !world->refuses_to_keep;
}

static void on_drop(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

static bool await(void *context, uint64_t token, void (*on_kept)(void *argument, bool is_kept),
                  void *argument)
{
    struct fake_world *world = context;
    (void)token;
    if (world->refuses_to_keep)
        return false;
    assert_true(world->waiting_count < FAKE_WAITING_MAX);
    world->waiting[world->waiting_count].on_kept = on_kept;
    world->waiting[world->waiting_count++].argument = argument;
    return true;
}

static struct sfl_keeper_state state(void *context)
{
    const struct fake_world *world = context;
    return (struct sfl_keeper_state){.failing = world->refuses_to_keep};
}

static const struct sfl_keeper keeper = {.lead = on_keep_lead,
                                         .unlead = on_unlead,
                                         .retain = on_retain,
                                         .drop = on_drop,
                                         .await = await,
                                         .state = state};

static void tell_waiting(struct fake_world *world, bool is_kept)
{
    for (unsigned i = 0; i < world->waiting_count; i++)
        world->waiting[i].on_kept(world->waiting[i].argument, is_kept);
    world->waiting_count = 0;
    fake_run(world);
}

void fake_keep(struct fake_world *world)
{
    tell_waiting(world, true);
}

void fake_do_not_keep(struct fake_world *world)
{
    tell_waiting(world, false);
}

void fake_world_init(struct fake_world *world)
{
    *world = (struct fake_world){.limits = sfl_limits_default, .connection_callers_max = 1000};
    sfl_list_init(&world->streams);
    pump.turn = 0;
    pump.has_more = false;
    sfl_list_init(&pump.fresh);
    sfl_list_init(&pump.crowd);
}

void fake_world_start(struct fake_world *world)
{
    const struct sfl_standalone_options standalone = {.lanes = 1, .first_token = 100};
    assert_int_equal(sfl_standalone_create(&standalone, &world->coordinator), SFL_OK);
    const struct sfl_engine_options engine = {
        .shards = 1,
        .limits = &world->limits,
        .coordinator = world->coordinator,
        .sink = sfl_transport_sink,
        .keeper = world->keeps ? &keeper : NULL,
        .keeper_context = world,
        .on_earlier_tick = on_earlier_tick,
    };
    assert_int_equal(sfl_engine_create(&engine, &world->engine), SFL_OK);
    const struct sfl_transport_options transport = {
        .engine = world->engine,
        .limits = &world->limits,
        .connection_callers_max = world->connection_callers_max,
        .security = world->security,
        .on_earlier_tick = on_earlier_tick,
    };
    assert_int_equal(sfl_transport_create(&transport, &world->transport), SFL_OK);
}

void fake_world_deinit(struct fake_world *world)
{
    fake_run(world);
    pump.is_current = false;
    assert_true(sfl_list_is_empty(&world->streams));
    assert_true(sfl_transport_is_idle(world->transport, 0));
    assert_true(sfl_engine_is_idle(world->engine));
    sfl_transport_destroy(world->transport);
    sfl_engine_destroy(world->engine);
    world->coordinator->ops->destroy(world->coordinator);
}

// A stream's events come on a pump.
static bool begin_event(void)
{
    bool was_pump = pump.is_current;
    pump.is_current = true;
    return was_pump;
}

static void end_event(bool was_pump)
{
    pump.is_current = was_pump;
}

static void close_stream(struct sfl_stream *stream, int code)
{
    stream->is_over = true;
    sfl_link_remove(&stream->link);
    bool was_pump = begin_event();
    stream->events->on_closed(stream->context, code, "");
    end_event(was_pump);
}

// One thing that can happen to one stream. False when there is none.
static bool run_one(struct fake_world *world)
{
    struct sfl_link *link = sfl_list_first(&world->streams);
    for (; link != NULL; link = sfl_list_next(&world->streams, link)) {
        struct sfl_stream *stream = SFL_CONTAINER_OF(link, struct sfl_stream, link);
        if (stream->is_sending && !stream->is_frozen) {
            stream->is_sending = false;
            stream->events->on_sent(stream->context);
            return true;
        }
        if (stream->code >= 0 && !stream->is_frozen) {
            close_stream(stream, 0);
            return true;
        }
    }
    return false;
}

void fake_run(struct fake_world *world)
{
    bool was_pump = pump.is_current;
    pump.is_current = true; // what is posted runs on a pump, and so do the events of streams
    while (run_work() || run_one(world))
        ;
    pump.is_current = was_pump;
}

struct sfl_stream *fake_open(struct fake_world *world, const char *path, const char *peer)
{
    struct sfl_method methods[SFL_TRANSPORT_METHODS];
    struct sfl_stream *stream = calloc(1, sizeof(*stream));
    assert_non_null(stream);
    stream->references = 2; // the transport's and the test's
    stream->peer = peer;
    stream->code = -1;
    sfl_transport_get_methods(world->transport, methods);
    for (size_t i = 0; i < SFL_TRANSPORT_METHODS; i++) {
        if (strcmp(methods[i].path, path) == 0)
            methods[i].on_call(methods[i].context, stream, &stream->events, &stream->context);
    }
    assert_non_null(stream->events);
    sfl_list_append(&world->streams, &stream->link);
    fake_run(world);
    return stream;
}

void fake_send_without_turns(struct sfl_stream *stream, const void *data, size_t size)
{
    // The transport may look at no byte beyond the message.
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    if (size > 0)
        memcpy(exact, data, size);
    bool was_pump = begin_event();
    assert_false(stream->is_paused);
    if (!stream->is_over)
        stream->events->on_message(stream->context, sfl_span_of(exact, size));
    end_event(was_pump);
    free(exact);
}

void fake_send(struct fake_world *world, struct sfl_stream *stream, const void *data, size_t size)
{
    fake_send_without_turns(stream, data, size);
    fake_run(world);
}

void fake_half_close(struct fake_world *world, struct sfl_stream *stream)
{
    bool was_pump = begin_event();
    stream->events->on_half_close(stream->context);
    end_event(was_pump);
    fake_run(world);
}

void fake_break(struct fake_world *world, struct sfl_stream *stream)
{
    if (!stream->is_over)
        close_stream(stream, 1);
    fake_run(world);
}

void fake_break_without_turns(struct sfl_stream *stream)
{
    close_stream(stream, 1);
}

void fake_break_many(struct fake_world *world, struct sfl_stream *const *streams, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close_stream(streams[i], 1);
    fake_run(world);
}

void fake_freeze(struct fake_world *world, struct sfl_stream *stream, bool frozen)
{
    stream->is_frozen = frozen;
    fake_run(world);
}

size_t fake_count(const struct sfl_stream *stream)
{
    return stream->count;
}

struct sfl_span fake_message(const struct sfl_stream *stream, size_t index)
{
    assert_true(index < stream->count);
    return sfl_span_of(stream->messages[index].data, stream->messages[index].size);
}

int fake_code(const struct sfl_stream *stream)
{
    return stream->code;
}

const char *fake_text(const struct sfl_stream *stream)
{
    return stream->text;
}

void fake_release(struct sfl_stream *stream)
{
    assert_true(stream->is_over);
    assert_int_equal(stream->references, 1);
    sfl_stream_unref(stream);
}

// --- messages ---

void fake_do_send(struct fake_world *world, struct sfl_stream *stream,
                  const Singleflight__V1__DoRequest *request)
{
    size_t size = singleflight__v1__do_request__get_packed_size(request);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    singleflight__v1__do_request__pack(request, packed);
    fake_send(world, stream, packed, size);
    free(packed);
}

Singleflight__V1__DoResponse *fake_do_response(const struct sfl_stream *stream, size_t index)
{
    struct sfl_span message = fake_message(stream, index);
    Singleflight__V1__DoResponse *response =
        singleflight__v1__do_response__unpack(NULL, message.size, message.data);
    assert_non_null(response);
    return response;
}

void fake_session_send(struct fake_world *world, struct sfl_stream *stream,
                       const Singleflight__V1__CallRequest *call)
{
    Singleflight__V1__SessionRequest request = SINGLEFLIGHT__V1__SESSION_REQUEST__INIT;
    Singleflight__V1__CallRequest copy = *call;
    Singleflight__V1__CallRequest *calls[] = {&copy};
    request.n_calls = 1;
    request.calls = calls;
    size_t size = singleflight__v1__session_request__get_packed_size(&request);
    uint8_t *packed = malloc(size + 1);
    assert_non_null(packed);
    singleflight__v1__session_request__pack(&request, packed);
    fake_send(world, stream, packed, size);
    free(packed);
}

Singleflight__V1__SessionResponse *fake_session_response(const struct sfl_stream *stream,
                                                         size_t index)
{
    struct sfl_span message = fake_message(stream, index);
    Singleflight__V1__SessionResponse *response =
        singleflight__v1__session_response__unpack(NULL, message.size, message.data);
    assert_non_null(response);
    return response;
}

static struct fake_frame flatten(const Singleflight__V1__CallResponse *call, size_t message)
{
    struct fake_frame frame = {.id = call->id, .step = call->step_case, .message = message};
    switch (call->step_case) {
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD:
        frame.attempt = call->lead->attempt;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_FOLLOW:
        frame.attempt = call->follow->attempt;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_CHUNK:
        frame.attempt = call->chunk->attempt;
        frame.sequence = call->chunk->sequence;
        frame.bytes = call->chunk->data.len;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESTART:
        frame.attempt = call->restart->attempt;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT:
        frame.attempt = call->result->attempt;
        frame.bytes = call->result->outcome->value.len;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END:
        frame.code = call->end->code;
        snprintf(frame.text, sizeof(frame.text), "%s", call->end->message);
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RENEWED:
        frame.bytes = call->renewed->id;
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_AUDIENCE:
        break;
    case SINGLEFLIGHT__V1__CALL_RESPONSE__STEP__NOT_SET:
    case _SINGLEFLIGHT__V1__CALL_RESPONSE__STEP__CASE_IS_INT_SIZE:
        fail_msg("a frame without a step");
    }
    return frame;
}

size_t fake_frames(const struct sfl_stream *stream, struct fake_frame frames[FAKE_FRAMES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < fake_count(stream); i++) {
        Singleflight__V1__SessionResponse *response = fake_session_response(stream, i);
        for (size_t j = 0; j < response->n_calls; j++) {
            assert_true(count < FAKE_FRAMES_MAX);
            frames[count++] = flatten(response->calls[j], i);
        }
        singleflight__v1__session_response__free_unpacked(response, NULL);
    }
    return count;
}
