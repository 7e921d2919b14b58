// SPDX-License-Identifier: Apache-2.0
#include "support/world_words.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 64 }; // a longer value is shown as its size

__attribute__((format(printf, 2, 3))) static void add(char line[WORLD_LINE_MAX], const char *format,
                                                      ...)
{
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, WORLD_LINE_MAX - used, format, arguments);
    va_end(arguments);
}

static void add_bytes(char line[WORLD_LINE_MAX], struct sfl_span bytes)
{
    if (bytes.size > SHOWN_MAX)
        add(line, "(%zu bytes)", bytes.size);
    else
        add(line, "\"%.*s\"", (int)bytes.size, (const char *)bytes.data);
}

void words_of_lead(const struct sfl_lead *lead, uint64_t run_limit_max,
                   char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out, "lead token=%" PRIu64 " attempt=%" PRIu32, lead->token, lead->attempt);
    if (lead->lease_ms != 0)
        add(line_out, " lease=%" PRIu64, lead->lease_ms);
    if (lead->run_limit_ms != run_limit_max)
        add(line_out, " run_limit=%" PRIu64, lead->run_limit_ms);
    if (lead->next_sequence != 0)
        add(line_out, " next=%" PRIu64, lead->next_sequence);
}

void words_of_follow(const struct sfl_follow *follow, char line_out[WORLD_LINE_MAX])
{
    struct sfl_span leader = sfl_bytes_span(follow->leader);
    line_out[0] = '\0';
    add(line_out, "follow attempt=%" PRIu32 " leader=%.*s running=%" PRIu64, follow->attempt,
        (int)leader.size, (const char *)leader.data, follow->running_ms);
}

void words_of_chunk(struct sfl_span bytes, char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out, "chunk ");
    add_bytes(line_out, bytes);
}

void words_of_restart(uint32_t attempt, struct sfl_span leader, char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out, "restart attempt=%" PRIu32 " leader=%.*s", attempt, (int)leader.size,
        (const char *)leader.data);
}

void words_of_audience(const struct sfl_audience *audience, char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out, "audience %" PRIu32, audience->followers);
    if (audience->followers > 0) // without followers, the other figure means nothing
        add(line_out, " latest=%" PRIu64, audience->latest_deadline_ms);
}

void words_of_renewed(uint64_t id, char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out, "renewed %" PRIu64, id);
}

static const char *word_of_kind(enum sfl_outcome_kind kind)
{
    switch (kind) {
    case SFL_OUTCOME_OK:
        return "OK";
    case SFL_OUTCOME_ERROR:
        return "ERROR";
    case SFL_OUTCOME_PANIC:
        return "PANIC";
    case SFL_OUTCOME_ABANDONED:
        return "ABANDONED";
    }
    return "(no kind)";
}

void words_of_result(const struct sfl_result *result, struct sfl_span rest,
                     char line_out[WORLD_LINE_MAX])
{
    const struct sfl_outcome *outcome = result->outcome;
    line_out[0] = '\0';
    add(line_out, "result %s ", word_of_kind(outcome->kind));
    add_bytes(line_out, rest);
    add(line_out, " callers=%" PRIu32 " attempt=%" PRIu32 " token=%" PRIu64, result->callers,
        outcome->attempt, outcome->token);
    if (result->shared)
        add(line_out, " shared");
    if (result->led)
        add(line_out, " led");
    if (result->retained)
        add(line_out, " retained age=%" PRIu64, result->age_ms);
    if (result->retain_ms != 0)
        add(line_out, " retain=%" PRIu64, result->retain_ms);
    if (result->retain_refused)
        add(line_out, " retain_refused");
    struct sfl_span texts = sfl_bytes_span(outcome->texts);
    if (outcome->texts != NULL)
        add(line_out, " texts=\"%.*s\"", (int)texts.size, (const char *)texts.data);
}

static const char *word_of_status(enum sfl_status status)
{
    switch (status) {
#define WORD(name, code, text)                                                                     \
    case SFL_##name:                                                                               \
        return #name;
        SFL_STATUS_LIST(WORD)
#undef WORD
    }
    return "(no status)";
}

void words_of_refusal(const struct sfl_refusal *refusal, char line_out[WORLD_LINE_MAX])
{
    char text[SFL_REFUSAL_TEXT_MAX];
    sfl_refusal_text(refusal, text);
    line_out[0] = '\0';
    add(line_out, "%s: %s", word_of_status(sfl_reason_status(refusal->reason)), text);
}

static const char *word_of_state(enum sfl_flight_state state)
{
    switch (state) {
    case SFL_FLIGHT_NEXT:
        return "NEXT";
    case SFL_FLIGHT_FINDING_HOME:
        return "FINDING_HOME";
    case SFL_FLIGHT_LED:
        return "LED";
    case SFL_FLIGHT_ORPHANED:
        return "ORPHANED";
    case SFL_FLIGHT_RETAINED:
        return "RETAINED";
    case SFL_FLIGHT_SETTLED:
        return "SETTLED";
    }
    return "(no state)";
}

void words_of_view(const struct sfl_flight_view *view, char line_out[WORLD_LINE_MAX])
{
    line_out[0] = '\0';
    add(line_out,
        "%s attempt=%" PRIu32 " token=%" PRIu64 " leader=%.*s callers=%" PRIu32 " running=%" PRIu64
        " value=%" PRIu64,
        word_of_state(view->state), view->attempt, view->token, (int)view->leader.size,
        (const char *)view->leader.data, view->callers, view->running_ms, view->value_bytes);
    if (view->expires_ms != 0)
        add(line_out, " expires=%" PRIu64, view->expires_ms);
    if (view->overdue)
        add(line_out, " overdue");
    if (view->forgotten)
        add(line_out, " forgotten");
}

int kind_of_words(const char *outcome, const char **rest_out)
{
    static const struct {
        const char *word;
        int kind;
    } kinds[] = {
        {"OK", SFL_OUTCOME_OK},
        {"ERROR", SFL_OUTCOME_ERROR},
        {"PANIC", SFL_OUTCOME_PANIC},
        {"ABANDONED", SFL_OUTCOME_ABANDONED},
    };
    size_t length = strcspn(outcome, " ");
    *rest_out = outcome[length] == ' ' ? outcome + length + 1 : "";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strlen(kinds[i].word) == length && memcmp(outcome, kinds[i].word, length) == 0)
            return kinds[i].kind;
    assert(!"an outcome begins with OK, ERROR, PANIC or ABANDONED");
    return 0;
}
