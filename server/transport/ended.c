// SPDX-License-Identifier: Apache-2.0
// A flight that has ended becomes a run.
#include "base/clock.h"
#include "base/utf8.h"
#include "transport/decode.h"
#include "transport/transport.h"

// What the status of its followers says, without the token of its leader.
static struct sfl_span text_of(const struct sfl_refusal *refusal, char *text)
{
    struct sfl_refusal plain = *refusal;
    if (plain.reason == SFL_REASON_FENCED_FOR)
        plain.reason = SFL_REASON_ENDED;
    sfl_refusal_text(&plain, text);
    return sfl_span_of_text(text);
}

uint64_t sfl_runs_on_ended(void *context, const struct sfl_flight *flight,
                           const struct sfl_ended *ended, uint64_t now_ms)
{
    const struct sfl_transport *transport = context;
    uint64_t now_unix_ms = sfl_clock_wall_us() / 1000;
    char text[SFL_REFUSAL_TEXT_MAX];
    if (transport->runs == NULL)
        return 0;
    struct sfl_run run = {
        .group = sfl_flight_group(flight),
        .key = sfl_flight_key(flight),
        .leader = sfl_bytes_span(flight->leader_name),
        .token = ended->token,
        .begun_unix_ms = now_unix_ms - (now_ms - ended->begun_ms),
        .led_unix_ms = now_unix_ms - (now_ms - ended->led_ms),
        .ended_unix_ms = now_unix_ms,
        .attempts = ended->attempts,
        .callers = ended->callers,
    };
    if (ended->outcome == NULL) {
        run.message = text_of(ended->refusal, text);
    } else {
        run.kind = (int)ended->outcome->kind;
        run.value_bytes = ended->outcome->value_bytes;
        sfl_read_texts(ended->outcome->texts, &run.code, &run.message);
    }
    run.message = sfl_utf8_beginning(run.message, SFL_RUN_MESSAGE_MAX);
    return sfl_runs_add(transport->runs, &run);
}

void sfl_runs_on_dropped(void *context, uint64_t run, uint64_t hits)
{
    const struct sfl_transport *transport = context;
    if (transport->runs != NULL)
        sfl_runs_set_hits(transport->runs, run, hits);
}
