// SPDX-License-Identifier: Apache-2.0
// Unpacking compressed messages under a limit.
#include "rpc/inflate_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PLAIN_SIZE 100000
#define PACKED_MAX 110000

// A text that can be compressed a little, and what zlib makes of it.
static uint8_t plain[PLAIN_SIZE];
static uint8_t packed[PACKED_MAX];

static size_t pack(bool is_gzip, size_t size)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        plain[i] = (uint8_t)("abcdefghijklmnop"[seed >> 28]);
    }
    z_stream stream = {
        .next_in = plain, .avail_in = (uInt)size, .next_out = packed, .avail_out = sizeof(packed)};
    int bits = is_gzip ? 15 + 16 : 15;
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t packed_size = sizeof(packed) - stream.avail_out;
    deflateEnd(&stream);
    return packed_size;
}

// Unpacks `size` bytes of `packed` in parts. On success the result is compared with `plain`.
static enum sfl_status unpack(bool is_gzip, size_t size, size_t part_size, uint64_t bytes_max,
                              size_t expected)
{
    struct sfl_inflater inflater;
    assert_int_equal(sfl_inflater_init(&inflater, is_gzip, bytes_max), SFL_OK);
    enum sfl_status status = SFL_OK;
    for (size_t at = 0; at < size && status == SFL_OK; at += part_size) {
        size_t left = size - at;
        status = sfl_inflater_add(&inflater,
                                  sfl_span_of(packed + at, left < part_size ? left : part_size));
    }
    uint8_t *bytes;
    size_t unpacked;
    if (status == SFL_OK)
        status = sfl_inflater_take(&inflater, &bytes, &unpacked);
    if (status == SFL_OK) {
        assert_int_equal(unpacked, expected);
        assert_memory_equal(bytes, plain, expected);
        free(bytes);
    }
    sfl_inflater_deinit(&inflater);
    return status;
}

static void both_wrappings_unpack_in_parts_of_any_size(void **state)
{
    (void)state;
    static const size_t part_sizes[] = {1, 7, 4096, PACKED_MAX};
    for (int is_gzip = 0; is_gzip < 2; is_gzip++) {
        size_t size = pack(is_gzip, PLAIN_SIZE);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(unpack(is_gzip, size, part_sizes[i], 0, PLAIN_SIZE), SFL_OK);
    }
}

static void an_empty_message_unpacks(void **state)
{
    (void)state;
    assert_int_equal(unpack(true, pack(true, 0), 10, 100, 0), SFL_OK);
}

static void the_limit_itself_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    size_t size = pack(true, PLAIN_SIZE);
    assert_int_equal(unpack(true, size, 1000, PLAIN_SIZE, PLAIN_SIZE), SFL_OK);
    assert_int_equal(unpack(true, size, 1000, PLAIN_SIZE - 1, 0), SFL_RESOURCE_EXHAUSTED);
    assert_int_equal(unpack(true, size, 1000, 1, 0), SFL_RESOURCE_EXHAUSTED);
    size = pack(false, 4096); // what the first room holds
    assert_int_equal(unpack(false, size, 1, 4096, 4096), SFL_OK);
    assert_int_equal(unpack(false, size, 1, 4095, 0), SFL_RESOURCE_EXHAUSTED);
}

static void damaged_bytes_are_an_error_at_every_place(void **state)
{
    (void)state;
    size_t size = pack(true, 300);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(unpack(true, cut, 16, 0, 0), SFL_INTERNAL);
    // The header's bytes 4 to 9 (time, extra flags, system) mean nothing for the content.
    for (size_t at = 10; at < size; at++) {
        packed[at] ^= 0x55;
        assert_int_equal(unpack(true, size, 16, 1000, 0) != SFL_OK, true);
        packed[at] ^= 0x55;
    }
    packed[size] = 0;
    assert_int_equal(unpack(true, size + 1, 16, 0, 0), SFL_INTERNAL); // more than the message
    assert_int_equal(unpack(true, size + 1, PACKED_MAX, 0, 0), SFL_INTERNAL);
    assert_int_equal(unpack(false, size, 16, 0, 0), SFL_INTERNAL); // the other wrapping
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_wrappings_unpack_in_parts_of_any_size),
        cmocka_unit_test(an_empty_message_unpacks),
        cmocka_unit_test(the_limit_itself_passes_and_one_byte_more_does_not),
        cmocka_unit_test(damaged_bytes_are_an_error_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
