// SPDX-License-Identifier: Apache-2.0
#include "engine/left.h"

#include "base/clock.h"

static struct sfl_kept_lead describe_options(const struct sfl_flight *flight)
{
    return (struct sfl_kept_lead){
        .group = sfl_flight_group(flight),
        .key = sfl_flight_key(flight),
        .fingerprint = sfl_flight_fingerprint(flight),
        .max_attempts = flight->max_attempts,
        .on_leader_loss = flight->on_leader_loss,
        .forgotten = flight->place == SFL_PLACE_FORGOTTEN,
        .retain_ms = flight->retain_ms,
        .retain_error_ms = flight->retain_error_ms,
        .lease_ms = flight->lease_ms,
        .run_limit_ms = flight->run_limit_ms,
        .retain_from_lead = flight->retain_from_lead,
        .error = flight->past == NULL ? NULL : flight->past->kept,
    };
}

struct sfl_kept_lead sfl_left_describe(const struct sfl_flight *flight, uint64_t token,
                                       uint64_t now_ms)
{
    struct sfl_kept_lead lead = describe_options(flight);
    uint64_t now_unix_ms = sfl_clock_wall_us() / 1000;
    if (token > 0) {
        const struct sfl_caller *candidate = sfl_flight_candidate(flight);
        lead.token = token;
        lead.attempt = flight->attempt + 1;
        lead.leader = sfl_bytes_span(candidate == NULL ? NULL : candidate->name);
        lead.led_unix_ms = now_unix_ms;
    } else {
        lead.token = flight->token;
        lead.attempt = flight->attempt;
        lead.leader = sfl_bytes_span(flight->leader_name);
        lead.led_unix_ms = now_unix_ms - (now_ms - flight->led_since_ms);
    }
    lead.begun_unix_ms = lead.led_unix_ms;
    const struct sfl_past *past = flight->past;
    if (past != NULL) {
        lead.begun_unix_ms = now_unix_ms - (now_ms - past->first_led_ms);
        lead.error_led_unix_ms = now_unix_ms - (now_ms - past->kept_led_ms);
    }
    return lead;
}

struct sfl_join sfl_left_join(const struct sfl_kept_lead *lead)
{
    return (struct sfl_join){
        .group = lead->group,
        .key = lead->key,
        .fingerprint = lead->fingerprint,
        .name = lead->leader,
        .on_leader_loss = lead->on_leader_loss,
        .retain_from_lead = lead->retain_from_lead,
        .max_attempts = lead->max_attempts,
        .retain_ms = lead->retain_ms,
        .retain_error_ms = lead->retain_error_ms,
        .lease_ms = lead->lease_ms,
        .run_limit_ms = lead->run_limit_ms,
        .deadline_ms = UINT64_MAX,
    };
}

uint64_t sfl_left_ms_since(uint64_t unix_ms)
{
    uint64_t now_unix_ms = sfl_clock_wall_us() / 1000;
    return now_unix_ms > unix_ms ? now_unix_ms - unix_ms : 0;
}
