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

const char *sfl_reason_text(enum sfl_reason reason)
{
    return reason == SFL_REASON_NONE ? "" : reasons[reason].text;
}

bool sfl_reason_is_limit(enum sfl_reason reason)
{
    return sfl_reason_status(reason) == SFL_RESOURCE_EXHAUSTED;
}

// In seconds where they are whole.
static int write_time(uint32_t ms, char *at, size_t room)
{
    bool is_whole = ms % 1000 == 0;
    return snprintf(at, room, "%" PRIu32 " %s", is_whole ? ms / 1000 : ms, is_whole ? "s" : "ms");
}

// Writes what `%letter` stands for; returns how many bytes it would take, as snprintf does.
static int write_part(const struct sfl_refusal *refusal, char letter, char *at, size_t room)
{
    struct sfl_span name = sfl_bytes_span(refusal->name);
    if (letter == 'a')
        return snprintf(at, room, "%" PRIu64, refusal->a);
    if (letter == 'b')
        return snprintf(at, room, "%" PRIu64, refusal->b);
    if (letter == 'd')
        return write_time(refusal->loss_ms, at, room);
    return snprintf(at, room, "%.*s", (int)name.size, (const char *)name.data);
}

// Writes the text `from` in the `room` that there is, NUL included; returns how many bytes it took.
static size_t write_text(const struct sfl_refusal *refusal, const char *from, char *to, size_t room)
{
    size_t used = 0;
    for (; *from != '\0' && used + 1 < room; from++) {
        if (*from != '%') {
            to[used++] = *from;
            continue;
        }
        from++;
        size_t left = room - used;
        if (*from == 'c') {
            used += write_text(refusal, losses[refusal->loss], to + used, left);
            continue;
        }
        int wrote = write_part(refusal, *from, to + used, left);
        used += wrote < (int)left ? (size_t)wrote : left - 1;
    }
    to[used] = '\0';
    return used;
}

void sfl_refusal_text(const struct sfl_refusal *refusal, char text_out[static SFL_REFUSAL_TEXT_MAX])
{
    write_text(refusal, sfl_reason_text(refusal->reason), text_out, SFL_REFUSAL_TEXT_MAX);
}
