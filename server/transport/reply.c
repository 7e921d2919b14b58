// SPDX-License-Identifier: Apache-2.0
#include "transport/reply.h"

#include "base/local_heap.h"
#include "base/references.h"
#include "base/status.h"
#include "rpc/wire_writer.h"

#include <assert.h>

// The numbers of the steps in DoResponse. In CallResponse each is greater by one, the call's id
// comes first, and `end` is the step after `result`. DoResponse has no `end`, so `renewed` has its
// number there.
enum {
    FIELD_CALLS = 1,
    FIELD_ID = 1,
    FIELD_LEAD = 1,
    FIELD_FOLLOW = 2,
    FIELD_CHUNK = 3,
    FIELD_RESTART = 4,
    FIELD_AUDIENCE = 5,
    FIELD_RESULT = 6,
    FIELD_END = 7,
    FIELD_RENEWED = 8,
};

enum {
    HEAD_MAX = 640,        // the largest head is a status text
    RESULT_HEAD_MAX = 128, // the numbers of a Result
    PREFIX_MAX = 64,       // tags, lengths and the id before a head
    // An inline value, 64 KiB at most, and the texts. A leader that posts a byte more than the last
    // block has room for, again and again, makes a value grow as the Fibonacci numbers: 24 blocks.
    PARTS_MAX = 32,
};

// A step while it is encoded: the head is copied, the parts follow it.
struct body {
    unsigned field;
    size_t head_size;
    size_t part_count;
    uint64_t parts_bytes;
    struct sfl_piece parts[PARTS_MAX];
    uint8_t head[HEAD_MAX];
};

static void release_bytes(void *owner)
{
    sfl_bytes_unref(owner);
}

static void release_value(void *owner)
{
    sfl_value_unref(owner);
}

// Takes the reference to `owner`.
static void add_part(struct body *body, struct sfl_span bytes, void (*release)(void *owner),
                     void *owner)
{
    assert(body->part_count < PARTS_MAX);
    body->parts[body->part_count++] =
        (struct sfl_piece){.bytes = bytes, .release = release, .owner = owner};
    body->parts_bytes += bytes.size;
}

static void encode_lead(struct body *body, const struct sfl_reply_lead *told)
{
    const struct sfl_lead *lead = &told->lead;
    uint8_t *at = sfl_wire_put_number(body->head, 1, lead->token);
    at = sfl_wire_put_number(at, 2, lead->attempt);
    at = sfl_wire_put_number(at, 3, lead->lease_ms);
    at = sfl_wire_put_number(at, 4, lead->run_limit_ms);
    at = sfl_wire_put_number(at, 5, lead->next_sequence);
    at = sfl_wire_put_number(at, 6, told->silence_ms);
    at = sfl_wire_put_number(at, 7, told->result_limit);
    body->field = FIELD_LEAD;
    body->head_size = (size_t)(at - body->head);
}

static void encode_follow(struct body *body, struct sfl_reply_follow *follow)
{
    uint8_t *at = sfl_wire_put_number(body->head, 1, follow->attempt);
    at = sfl_wire_put_bytes(at, 2, sfl_bytes_span(follow->leader));
    at = sfl_wire_put_number(at, 3, follow->running_ms);
    sfl_bytes_unref(follow->leader);
    body->field = FIELD_FOLLOW;
    body->head_size = (size_t)(at - body->head);
}

static void encode_restart(struct body *body, struct sfl_reply_restart *restart)
{
    uint8_t *at = sfl_wire_put_number(body->head, 1, restart->attempt);
    at = sfl_wire_put_bytes(at, 2, sfl_bytes_span(restart->leader));
    sfl_bytes_unref(restart->leader);
    body->field = FIELD_RESTART;
    body->head_size = (size_t)(at - body->head);
}

static void encode_audience(struct body *body, const struct sfl_audience *audience)
{
    uint8_t *at = sfl_wire_put_number(body->head, 1, audience->followers);
    at = sfl_wire_put_number(at, 2, audience->latest_deadline_ms);
    body->field = FIELD_AUDIENCE;
    body->head_size = (size_t)(at - body->head);
}

static void encode_renewed(struct body *body, uint64_t id)
{
    body->field = FIELD_RENEWED;
    body->head_size = (size_t)(sfl_wire_put_number(body->head, 1, id) - body->head);
}

static void encode_chunk(struct body *body, struct sfl_reply_chunk *chunk)
{
    uint8_t *at = sfl_wire_put_number(body->head, 2, chunk->sequence);
    at = sfl_wire_put_number(at, 3, chunk->attempt);
    at = sfl_wire_put_length(at, 1, chunk->data.size);
    add_part(body, chunk->data, release_value, chunk->value);
    body->field = FIELD_CHUNK;
    body->head_size = (size_t)(at - body->head);
}

static size_t texts_size(const struct sfl_outcome *outcome)
{
    return outcome->texts == NULL ? 0 : outcome->texts->size;
}

// Writes a Result up to and including the header of its value; the value's bytes and the texts are
// to follow. The order of fields does not matter on the wire, and this one keeps large parts last.
static size_t put_result_head(uint8_t *head, const struct sfl_result *result, uint64_t inline_bytes)
{
    const struct sfl_outcome *outcome = result->outcome;
    uint8_t *at = sfl_wire_put_number(head, 2, result->led);
    at = sfl_wire_put_number(at, 3, result->shared);
    at = sfl_wire_put_number(at, 4, result->callers);
    at = sfl_wire_put_number(at, 5, outcome->attempt);
    at = sfl_wire_put_number(at, 6, outcome->token);
    at = sfl_wire_put_number(at, 7, result->retained);
    at = sfl_wire_put_number(at, 8, result->age_ms);
    at = sfl_wire_put_number(at, 9, result->retain_ms);
    at = sfl_wire_put_number(at, 10, outcome->value_bytes);
    at = sfl_wire_put_number(at, 11, result->retain_refused);
    uint64_t kind_bytes = 2; // it is never 0
    at = sfl_wire_put_length(at, 1,
                             kind_bytes + sfl_wire_bytes_size(inline_bytes) + texts_size(outcome));
    at = sfl_wire_put_number(at, 1, (uint64_t)outcome->kind);
    if (inline_bytes > 0)
        at = sfl_wire_put_length(at, 2, inline_bytes);
    return (size_t)(at - head);
}

// Copies the value from the cursor up to `end`, and returns the place after it.
static uint8_t *copy_value(uint8_t *at, const struct sfl_value *value,
                           struct sfl_value_cursor *cursor, uint64_t end)
{
    while (cursor->position < end) {
        struct sfl_span bytes = sfl_value_read(value, end, cursor, SFL_INLINE_VALUE_MAX);
        memcpy(at, bytes.data, bytes.size);
        at += bytes.size;
    }
    return at;
}

// Adds the part of the value that travels inside the result. It is copied, so that a stream that
// goes quiet after it holds no value (see session.c); without memory for that, it is referred to.
static void add_value(struct body *body, struct sfl_reply_result *result)
{
    struct sfl_value *value = result->told.result.outcome->value;
    uint64_t end = result->cursor.position + result->inline_bytes;
    struct sfl_bytes *copy = NULL;
    if (result->inline_bytes > SFL_MESSAGE_COPY_MAX)
        copy = sfl_bytes_create(&sfl_heap, result->inline_bytes);
    if (copy != NULL) {
        copy_value(copy->data, value, &result->cursor, end);
        add_part(body, sfl_bytes_span(copy), release_bytes, copy);
        return;
    }
    while (result->cursor.position < end) {
        struct sfl_span bytes = sfl_value_read(value, end, &result->cursor, SFL_INLINE_VALUE_MAX);
        add_part(body, bytes, release_value, sfl_value_ref(value));
    }
}

// The shared one holds a whole value or none: a caller that has read a part of a value that would
// be whole in it gets a result of its own, with the rest.
static bool is_shared_for(const struct sfl_reply_result *result)
{
    return result->told.shared != NULL && (result->cursor.position == 0 ||
                                           !sfl_reply_value_is_inline(result->told.result.outcome));
}

static void encode_result(struct body *body, struct sfl_reply_result *result)
{
    struct sfl_outcome *outcome = result->told.result.outcome;
    body->field = FIELD_RESULT;
    if (is_shared_for(result)) {
        struct sfl_bytes *encoded = result->told.shared->encoded;
        add_part(body, sfl_bytes_span(encoded), release_bytes, sfl_bytes_ref(encoded));
        return;
    }
    body->head_size = put_result_head(body->head, &result->told.result, result->inline_bytes);
    if (result->inline_bytes > 0)
        add_value(body, result);
    if (outcome->texts != NULL)
        add_part(body, sfl_bytes_span(outcome->texts), release_bytes,
                 sfl_bytes_ref(outcome->texts));
}

// The bytes of a reply that is there already and short; NULL when it has to be encoded.
static const struct sfl_bytes *ready_body(const struct sfl_reply *reply)
{
    if (reply->type != SFL_REPLY_RESULT || !is_shared_for(&reply->result))
        return NULL;
    const struct sfl_bytes *encoded = reply->result.told.shared->encoded;
    return encoded->size <= SFL_MESSAGE_COPY_MAX ? encoded : NULL;
}

int sfl_reply_end_describe(const struct sfl_reply_end *end,
                           char text_out[static SFL_REFUSAL_TEXT_MAX])
{
    static_assert((int)SFL_FAULT_TEXT_MAX <= (int)SFL_REFUSAL_TEXT_MAX, "one buffer for both");
    static_assert((int)SFL_REFUSAL_TEXT_MAX + 16 <= (int)HEAD_MAX, "a text fits a head");
    if (end->refusal.reason == SFL_REASON_NONE) {
        sfl_fault_text(&end->fault, text_out);
        return sfl_status_code(SFL_INVALID_ARGUMENT);
    }
    sfl_refusal_text(&end->refusal, text_out);
    return sfl_status_code(sfl_reason_status(end->refusal.reason));
}

void sfl_reply_end_release(struct sfl_reply_end *end)
{
    if (end->refusal.reason != SFL_REASON_NONE)
        sfl_bytes_unref(end->refusal.name);
    end->refusal.name = NULL;
}

static void encode_end(struct body *body, struct sfl_reply_end *end)
{
    char text[SFL_REFUSAL_TEXT_MAX];
    int code = sfl_reply_end_describe(end, text);
    uint8_t *at = sfl_wire_put_number(body->head, 1, (uint64_t)code);
    at = sfl_wire_put_bytes(at, 2, sfl_span_of_text(text));
    sfl_reply_end_release(end);
    body->field = FIELD_END;
    body->head_size = (size_t)(at - body->head);
}

void sfl_reply_end_status(struct sfl_message *message, struct sfl_reply_end *end)
{
    char text[SFL_REFUSAL_TEXT_MAX];
    int code = sfl_reply_end_describe(end, text);
    sfl_message_set_status(message, code, text);
    sfl_reply_end_release(end);
}

static void encode(struct body *body, struct sfl_reply *reply)
{
    body->head_size = 0;
    body->part_count = 0;
    body->parts_bytes = 0;
    switch (reply->type) {
    case SFL_REPLY_LEAD:
        encode_lead(body, &reply->lead);
        break;
    case SFL_REPLY_RENEWED:
        encode_renewed(body, reply->renewed_id);
        break;
    case SFL_REPLY_FOLLOW:
        encode_follow(body, &reply->follow);
        break;
    case SFL_REPLY_CHUNK:
        encode_chunk(body, &reply->chunk);
        break;
    case SFL_REPLY_RESTART:
        encode_restart(body, &reply->restart);
        break;
    case SFL_REPLY_AUDIENCE:
        encode_audience(body, &reply->audience);
        break;
    case SFL_REPLY_RESULT:
        encode_result(body, &reply->result);
        break;
    case SFL_REPLY_END:
        encode_end(body, &reply->end);
        break;
    }
}

// Writes what comes before the body of a step, in either kind of stream.
typedef uint8_t *put_prefix(uint8_t *at, uint64_t id, unsigned field, uint64_t body_bytes);

static uint8_t *put_do_prefix(uint8_t *at, uint64_t id, unsigned field, uint64_t body_bytes)
{
    (void)id;
    return sfl_wire_put_length(at, field == FIELD_RENEWED ? FIELD_RENEWED - 1 : field, body_bytes);
}

static uint8_t *put_session_prefix(uint8_t *at, uint64_t id, unsigned field, uint64_t body_bytes)
{
    size_t id_bytes = id == 0 ? 0 : 1 + sfl_wire_varint_size(id);
    uint64_t step_bytes = 1 + sfl_wire_varint_size(body_bytes) + body_bytes;
    at = sfl_wire_put_length(at, FIELD_CALLS, id_bytes + step_bytes);
    at = sfl_wire_put_number(at, FIELD_ID, id);
    return sfl_wire_put_length(at, field + 1, body_bytes);
}

static void put_ready(struct sfl_message *message, const struct sfl_reply *reply,
                      const struct sfl_bytes *body, put_prefix *prefix)
{
    uint8_t *at = sfl_message_room(message, PREFIX_MAX + body->size);
    at = prefix(at, reply->id, FIELD_RESULT, body->size);
    memcpy(at, body->data, body->size);
    sfl_message_commit(message, at + body->size);
}

static void put_encoded(struct sfl_message *message, struct sfl_reply *reply, put_prefix *prefix)
{
    struct body body;
    encode(&body, reply);
    uint8_t *at = sfl_message_room(message, PREFIX_MAX + body.head_size);
    at = prefix(at, reply->id, body.field, body.head_size + body.parts_bytes);
    memcpy(at, body.head, body.head_size);
    sfl_message_commit(message, at + body.head_size);
    for (size_t i = 0; i < body.part_count; i++) {
        const struct sfl_piece *part = &body.parts[i];
        sfl_message_refer(message, part->bytes, part->release, part->owner);
    }
}

// In line, so that each kind of stream has its own.
static inline void put(struct sfl_message *message, struct sfl_reply *reply, put_prefix *prefix)
{
    const struct sfl_bytes *ready = ready_body(reply);
    if (ready != NULL)
        put_ready(message, reply, ready, prefix);
    else
        put_encoded(message, reply, prefix);
    if (reply->type == SFL_REPLY_RESULT)
        sfl_told_result_release(&reply->result.told);
}

void sfl_reply_put_do(struct sfl_message *message, struct sfl_reply *reply)
{
    assert(reply->type != SFL_REPLY_END);
    put(message, reply, put_do_prefix);
}

void sfl_reply_put_session(struct sfl_message *message, struct sfl_reply *reply)
{
    put(message, reply, put_session_prefix);
}

uint64_t sfl_reply_texts_bytes(const struct sfl_outcome *outcome)
{
    return texts_size(outcome) + RESULT_HEAD_MAX;
}

bool sfl_reply_value_is_inline(const struct sfl_outcome *outcome)
{
    return outcome->value_bytes <= SFL_INLINE_VALUE_MAX &&
           sfl_reply_texts_bytes(outcome) + PREFIX_MAX + outcome->value_bytes <=
               SFL_MESSAGE_BYTES_MAX;
}

// The whole Result in one piece; NULL when there is no memory.
static struct sfl_bytes *encode_whole_result(const struct sfl_result *result)
{
    const struct sfl_outcome *outcome = result->outcome;
    uint64_t inline_bytes = sfl_reply_value_is_inline(outcome) ? outcome->value_bytes : 0;
    uint8_t head[HEAD_MAX];
    size_t head_size = put_result_head(head, result, inline_bytes);
    struct sfl_bytes *encoded =
        sfl_bytes_create(&sfl_local_heap, head_size + inline_bytes + texts_size(outcome));
    if (encoded == NULL)
        return NULL;
    memcpy(encoded->data, head, head_size);
    struct sfl_value_cursor cursor = {0};
    uint8_t *at = copy_value(encoded->data + head_size, outcome->value, &cursor, inline_bytes);
    if (outcome->texts != NULL)
        memcpy(at, outcome->texts->data, outcome->texts->size);
    return encoded;
}

struct sfl_shared_result *sfl_shared_result_create(const struct sfl_result *result)
{
    struct sfl_shared_result *shared = sfl_alloc(&sfl_local_heap, sizeof(*shared));
    struct sfl_bytes *encoded = shared == NULL ? NULL : encode_whole_result(result);
    if (encoded == NULL) {
        if (shared != NULL)
            sfl_free(&sfl_local_heap, shared, sizeof(*shared));
        return NULL;
    }
    atomic_init(&shared->references, 1);
    shared->outcome = result->outcome;
    shared->encoded = encoded;
    return shared;
}

void sfl_told_result_share(const struct sfl_told_result *told, unsigned count)
{
    if (told->shared != NULL) {
        atomic_fetch_add_explicit(&told->shared->references, count, memory_order_relaxed);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        sfl_outcome_ref(told->result.outcome);
}

void sfl_told_result_release(struct sfl_told_result *told)
{
    struct sfl_shared_result *shared = told->shared;
    if (shared == NULL) {
        sfl_outcome_unref(told->result.outcome);
    } else if (sfl_references_drop(&shared->references)) {
        sfl_outcome_unref(shared->outcome);
        sfl_bytes_unref(shared->encoded);
        sfl_free(&sfl_local_heap, shared, sizeof(*shared));
    }
}
