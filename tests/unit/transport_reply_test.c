// SPDX-License-Identifier: Apache-2.0
// A result that is encoded while memory is short: malloc is the test's own.
#define _GNU_SOURCE // memmem
#include "transport/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t refused_from; // malloc refuses sizes from here on; 0: none
static unsigned refused;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    if (refused_from == 0 || size < refused_from)
        return __real_malloc(size);
    refused++;
    return NULL;
}

struct world {
    struct sfl_budget budget;
    struct sfl_share share;
    struct sfl_held held;
    struct sfl_value *value;
    unsigned blocks;
};

static void append(struct world *world, size_t size)
{
    static uint8_t bytes[SFL_INLINE_VALUE_MAX];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((world->value == NULL ? 0 : world->value->size) + i);
    struct sfl_span span = sfl_span_of(bytes, size);
    enum sfl_reason reason =
        world->value == NULL
            ? sfl_value_create(&sfl_heap, &world->held, &sfl_limits_default, span, &world->value)
            : sfl_value_append(world->value, &sfl_limits_default, span);
    assert_int_equal(reason, SFL_REASON_NONE);
}

// A value whose leader posts a byte more than the last block has room for, again and again: no
// other way makes so many blocks of so few bytes.
static void make_value_of_most_blocks(struct world *world)
{
    append(world, 1);
    for (;;) {
        const struct sfl_block *last = world->value->last;
        size_t room = (size_t)(last->start + last->capacity - world->value->size);
        if (world->value->size + room + 1 > SFL_INLINE_VALUE_MAX)
            break;
        append(world, room + 1);
    }
    append(world, (size_t)(SFL_INLINE_VALUE_MAX - world->value->size));
    for (const struct sfl_block *block = &world->value->first; block != NULL; block = block->next)
        world->blocks++;
}

static void a_value_in_most_blocks_is_referred_to_when_it_cannot_be_copied(void **state)
{
    (void)state;
    struct world world = {.blocks = 0};
    static struct sfl_message message;
    sfl_budget_init(&world.budget, 64);
    sfl_share_init(&world.share, &world.budget);
    world.held = (struct sfl_held){.all = &world.share};
    make_value_of_most_blocks(&world);
    assert_in_range(world.blocks, 20, 31);
    struct sfl_bytes *texts = sfl_bytes_create(&sfl_heap, 1000);
    memset(texts->data, 't', 1000);
    struct sfl_outcome *outcome;
    assert_int_equal(sfl_outcome_create(&sfl_heap, &world.held, &sfl_limits_default, world.value,
                                        texts, &outcome),
                     SFL_REASON_NONE);
    sfl_bytes_unref(texts);
    outcome->kind = SFL_OUTCOME_ERROR;
    struct sfl_reply reply = {.type = SFL_REPLY_RESULT, .id = 1};
    reply.result.told.result.outcome = outcome;
    reply.result.inline_bytes = outcome->value_bytes;

    sfl_message_init(&message);
    refused_from = SFL_INLINE_VALUE_MAX;
    sfl_reply_put_session(&message, &reply);
    refused_from = 0;
    assert_int_equal(refused, 1);
    sfl_message_close(&message);

    // All of the value is there, in one row.
    static uint8_t whole[2 * SFL_INLINE_VALUE_MAX];
    static uint8_t value[SFL_INLINE_VALUE_MAX];
    size_t size = 0;
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)i;
    for (size_t i = 0; i < message.piece_count; i++) {
        const struct sfl_piece *piece = &message.pieces[i];
        memcpy(whole + size, piece->bytes.data, piece->bytes.size);
        size += piece->bytes.size;
        if (piece->release != NULL)
            piece->release(piece->owner);
    }
    assert_non_null(memmem(whole, size, value, sizeof(value)));
    sfl_share_deinit(&world.share);
    assert_int_equal(sfl_budget_used(&world.budget), 0);
    sfl_budget_deinit(&world.budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_in_most_blocks_is_referred_to_when_it_cannot_be_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
