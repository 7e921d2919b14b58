// SPDX-License-Identifier: Apache-2.0
// The coordinator of a single process: every key's home is here, and tokens are counted.
#include "coordinator/coordinator.h"

#include <stdatomic.h>
#include <stdlib.h>

struct standalone {
    struct sfl_coordinator head;
    _Atomic uint64_t last_token;
    uint64_t (*next_token)(void *context); // NULL: last_token is counted up
    void *context;
};

static bool find_home(struct sfl_coordinator *coordinator, const struct sfl_home_question *question,
                      struct sfl_home_answer *answer_out)
{
    struct standalone *standalone = (struct standalone *)coordinator;
    (void)question;
    if (standalone->next_token != NULL)
        answer_out->token = standalone->next_token(standalone->context);
    else
        answer_out->token =
            atomic_fetch_add_explicit(&standalone->last_token, 1, memory_order_relaxed) + 1;
    answer_out->found = answer_out->token > 0;
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
    free(coordinator);
}

static const struct sfl_coordinator_ops standalone_ops = {find_home, release_home, destroy};

enum sfl_status sfl_standalone_create(uint64_t first_token, uint64_t (*next_token)(void *context),
                                      void *context, struct sfl_coordinator **coordinator_out)
{
    struct standalone *standalone = calloc(1, sizeof(*standalone));
    if (standalone == NULL)
        return SFL_NO_MEMORY;
    standalone->head.ops = &standalone_ops;
    atomic_init(&standalone->last_token, first_token);
    standalone->next_token = next_token;
    standalone->context = context;
    *coordinator_out = &standalone->head;
    return SFL_OK;
}
