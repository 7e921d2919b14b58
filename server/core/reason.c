// SPDX-License-Identifier: Apache-2.0
#include "core/reason.h"

#include <inttypes.h>
#include <stdio.h>

struct reason_row {
    enum sfl_status status;
    const char *text;
};

static const struct reason_row reasons[] = {
#define SFL_REASON_ROW(name, status, text) [SFL_REASON_##name] = {SFL_##status, text},
    SFL_REASON_LIST(SFL_REASON_ROW)
#undef SFL_REASON_ROW
};

static const char *const losses[] = {
#define SFL_LOSS_ROW(name, text) [SFL_LOSS_##name] = text,
    SFL_LOSS_LIST(SFL_LOSS_ROW)
#undef SFL_LOSS_ROW
};

enum sfl_status sfl_reason_status(enum sfl_reason reason)
{
    return reason == SFL_REASON_NONE ? SFL_OK : reasons[reason].status;
}

bool sfl_reason_is_limit(enum sfl_reason reason)
{
    return sfl_reason_status(reason) == SFL_RESOURCE_EXHAUSTED;
}

// Writes what `%letter` stands for; returns how many bytes it would take, as snprintf does.
static int write_part(const struct sfl_refusal *refusal, char letter, char *at, size_t room)
{
    struct sfl_span name = sfl_bytes_span(refusal->name);
    if (letter == 'a')
        return snprintf(at, room, "%" PRIu64, refusal->a);
    if (letter == 'b')
        return snprintf(at, room, "%" PRIu64, refusal->b);
    if (letter == 'n')
        return snprintf(at, room, "%.*s", (int)name.size, (const char *)name.data);
    return snprintf(at, room, "%s", losses[refusal->loss]);
}

void sfl_refusal_text(const struct sfl_refusal *refusal, char text_out[static SFL_REFUSAL_TEXT_MAX])
{
    const char *from = refusal->reason == SFL_REASON_NONE ? "" : reasons[refusal->reason].text;
    size_t used = 0;
    for (; *from != '\0' && used + 1 < SFL_REFUSAL_TEXT_MAX; from++) {
        if (*from != '%') {
            text_out[used++] = *from;
            continue;
        }
        size_t room = SFL_REFUSAL_TEXT_MAX - used;
        int wrote = write_part(refusal, *++from, text_out + used, room);
        used += wrote < (int)room ? (size_t)wrote : room - 1;
    }
    text_out[used] = '\0';
}
