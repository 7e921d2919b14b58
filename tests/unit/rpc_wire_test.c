// SPDX-License-Identifier: Apache-2.0
// The writer of protobuf's wire format, against encodings taken from its documentation.
#include "rpc/wire_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void varints_have_the_documented_bytes_and_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t size;
        uint8_t bytes[SFL_WIRE_VARINT_MAX];
    } rows[] = {
        {0, 1, {0}},
        {1, 1, {1}},
        {127, 1, {0x7f}},
        {128, 2, {0x80, 1}},
        {150, 2, {0x96, 1}},
        {300, 2, {0xac, 2}},
        {16383, 2, {0xff, 0x7f}},
        {16384, 3, {0x80, 0x80, 1}},
        {UINT32_MAX, 5, {0xff, 0xff, 0xff, 0xff, 0xf}},
        {UINT64_MAX, 10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[SFL_WIRE_VARINT_MAX];
        uint8_t *end = sfl_wire_put_varint(bytes, rows[i].value);
        assert_int_equal(end - bytes, rows[i].size);
        assert_int_equal(sfl_wire_varint_size(rows[i].value), rows[i].size);
        assert_memory_equal(bytes, rows[i].bytes, rows[i].size);
    }
}

static void a_number_field_is_tag_and_value_and_zero_is_left_out(void **state)
{
    (void)state;
    uint8_t bytes[2 * SFL_WIRE_VARINT_MAX];
    assert_ptr_equal(sfl_wire_put_number(bytes, 1, 0), bytes);
    assert_int_equal(sfl_wire_put_number(bytes, 1, 150) - bytes, 3);
    assert_memory_equal(bytes, "\x08\x96\x01", 3);
    assert_int_equal(sfl_wire_put_number(bytes, 16, 1) - bytes, 3);
    assert_memory_equal(bytes, "\x80\x01\x01", 3);
}

static void a_length_field_is_tag_and_length(void **state)
{
    (void)state;
    uint8_t bytes[2 * SFL_WIRE_VARINT_MAX];
    assert_int_equal(sfl_wire_put_length(bytes, 2, 7) - bytes, 2);
    assert_memory_equal(bytes, "\x12\x07", 2);
    assert_int_equal(sfl_wire_put_length(bytes, 2, 0) - bytes, 2);
    assert_memory_equal(bytes, "\x12\x00", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_have_the_documented_bytes_and_sizes),
        cmocka_unit_test(a_number_field_is_tag_and_value_and_zero_is_left_out),
        cmocka_unit_test(a_length_field_is_tag_and_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
