// SPDX-License-Identifier: Apache-2.0
#include "src/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void add_chunk(struct sfl_frames *frames, uint64_t id, size_t size)
{
    static uint8_t bytes[SFL_FRAMES_CHUNK_BYTES_MAX];
    Singleflight__V1__Chunk chunk = SINGLEFLIGHT__V1__CHUNK__INIT;
    chunk.data = (ProtobufCBinaryData){size, bytes};
    chunk.sequence = id + 1000;
    Singleflight__V1__CallRequest frame = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    frame.id = id;
    frame.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CHUNK;
    frame.chunk = &chunk;
    assert_int_equal(sfl_frames_add(frames, &frame), SFL_OK);
}

static void what_is_gathered_is_one_session_request_in_order(void **state)
{
    (void)state;
    struct sfl_frames frames = {0};
    for (uint64_t id = 1; id <= 100; id++)
        add_chunk(&frames, id, (size_t)id);
    struct sfl_span message = sfl_frames_take(&frames);
    Singleflight__V1__SessionRequest *request =
        singleflight__v1__session_request__unpack(NULL, message.size, message.data);
    assert_non_null(request);
    assert_int_equal(request->n_calls, 100);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(request->calls[i]->id, i + 1);
        assert_int_equal(request->calls[i]->chunk->data.len, i + 1);
        assert_int_equal(request->calls[i]->chunk->sequence, i + 1001);
    }
    singleflight__v1__session_request__free_unpacked(request, NULL);
    free((void *)message.data);
    assert_int_equal(frames.size, 0);
}

static void a_message_of_the_largest_chunks_stays_below_a_mebibyte(void **state)
{
    (void)state;
    struct sfl_frames frames = {0};
    while (sfl_frames_has_room(&frames))
        add_chunk(&frames, 1, SFL_FRAMES_CHUNK_BYTES_MAX);
    assert_true(frames.size >= SFL_FRAMES_FULL_BYTES);
    assert_true(frames.size < 1024 * 1024);
    sfl_frames_deinit(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_gathered_is_one_session_request_in_order),
        cmocka_unit_test(a_message_of_the_largest_chunks_stays_below_a_mebibyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
