// SPDX-License-Identifier: Apache-2.0
// The coordinator of a single process: every key's home is here, and tokens are counted.
//
// Each lane takes tokens in blocks, so that no memory is written by all of them with each flight.
// A key always comes by the same lane, and every block is above all that were taken before it: so
// the tokens of a key grow, if not by one.
#include "coordinator/coordinator.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    BLOCK_MAX = 64,
};

struct lane {
    _Alignas(CACHE_LINE) uint64_t next;
    uint64_t left;  // of the block: so many from `next` on
    uint64_t block; // the size of the last one
};

struct standalone {
    struct sfl_coordinator head;
    uint64_t (*take_tokens)(void *context, uint64_t count); // NULL: last_token is counted up
    void *context;
    unsigned lane_count;
    struct lane *lanes;
    _Alignas(CACHE_LINE) _Atomic uint64_t last_token;
};

// Takes the next block. False when there is none to be had. A lane begins with one token and
// doubles: so at most as many lie unused as were granted, and tokens that are counted from the wall
// clock do not run ahead of it for a restart to fall behind.
static bool take_block(struct standalone *standalone, struct lane *lane)
{
    uint64_t block = lane->block == 0 ? 1 : lane->block * 2;
    if (block > BLOCK_MAX)
        block = BLOCK_MAX;
    uint64_t first;
    if (standalone->take_tokens != NULL)
        first = standalone->take_tokens(standalone->context, block);
    else
        first = atomic_fetch_add_explicit(&standalone->last_token, block, memory_order_relaxed) + 1;
    if (first == 0)
        return false;
    assert(first >= lane->next);
    lane->next = first;
    lane->left = block;
    lane->block = block;
    return true;
}

static bool find_home(struct sfl_coordinator *coordinator, const struct sfl_home_question *question,
                      struct sfl_home_answer *answer_out)
{
    struct standalone *standalone = (struct standalone *)coordinator;
    assert(question->lane < standalone->lane_count);
    struct lane *lane = &standalone->lanes[question->lane];
    answer_out->found = lane->left > 0 || take_block(standalone, lane);
    answer_out->token = 0;
    if (answer_out->found) {
        answer_out->token = lane->next++;
        lane->left--;
    }
    return true;
}

static void release_home(struct sfl_coordinator *coordinator, struct sfl_span group,
                         struct sfl_span key)
{
    (void)coordinator;
    (void)group;
    (void)key;
}

static void destroy(struct sfl_coordinator *coordinator)
{
    struct standalone *standalone = (struct standalone *)coordinator;
    free(standalone->lanes);
    free(standalone);
}

static const struct sfl_coordinator_ops standalone_ops = {find_home, release_home, destroy};

enum sfl_status sfl_standalone_create(const struct sfl_standalone_options *options,
                                      struct sfl_coordinator **coordinator_out)
{
    struct standalone *standalone = aligned_alloc(CACHE_LINE, sizeof(*standalone));
    if (standalone == NULL)
        return SFL_NO_MEMORY;
    *standalone = (struct standalone){
        .head = {.ops = &standalone_ops},
        .take_tokens = options->take_tokens,
        .context = options->context,
        .lane_count = options->lanes,
        .lanes = aligned_alloc(CACHE_LINE, options->lanes * sizeof(struct lane)),
    };
    if (standalone->lanes == NULL) {
        free(standalone);
        return SFL_NO_MEMORY;
    }
    for (unsigned i = 0; i < options->lanes; i++)
        standalone->lanes[i] = (struct lane){0};
    atomic_init(&standalone->last_token, options->first_token);
    *coordinator_out = &standalone->head;
    return SFL_OK;
}
