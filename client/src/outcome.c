// SPDX-License-Identifier: Apache-2.0
#include "src/outcome.h"

#include "base/list.h"
#include "base/references.h"
#include "base/utf8.h"
#include "src/constants.h"
#include "src/memory.h"

#include <assert.h>
#include <stdlib.h>

// ------------------------------------------------------------------------------------- failures

// The length of the well-formed UTF-8 character at the start of `text`; 0 when there is none.
static size_t character_size(const char *text, size_t size)
{
    for (size_t length = 1; length <= 4 && length <= size; length++)
        if (sfl_utf8_is_valid(sfl_span_of(text, length)))
            return length;
    return 0;
}

// How much of a text is kept: no more than the cap, and no torn character.
static size_t size_kept(struct sfl_span text)
{
    size_t size = text.size;
    if (size <= SFL_FAILURE_TEXT_BYTES_MAX)
        return size;
    size = SFL_FAILURE_TEXT_BYTES_MAX;
    while (size > 0 && (text.data[size] & 0xC0) == 0x80)
        size--;
    return size;
}

// SFL_NO_MEMORY, or a copy; NULL for an empty text.
static enum sfl_status copy_text(struct sfl_span text, char **copy_out)
{
    size_t size = size_kept(text);
    if (size == 0)
        return SFL_OK;
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return SFL_NO_MEMORY;
    memcpy(copy, text.data, size);
    copy[size] = 0;
    if (!sfl_utf8_is_valid(sfl_span_of(copy, size))) {
        for (size_t at = 0; at < size;) {
            size_t length = character_size(copy + at, size - at);
            if (length == 0)
                copy[at] = '?';
            at += length == 0 ? 1 : length;
        }
    }
    *copy_out = copy;
    return SFL_OK;
}

// The parts of an error, from wherever they come.
struct error_parts {
    int32_t code;
    struct sfl_span message;
    struct sfl_span type;
    struct sfl_span stack;
    struct sfl_span details;
};

static enum sfl_status failure_copy(const struct error_parts *error,
                                    struct sfl_failure *failure_out)
{
    struct sfl_failure failure = {.code = error->code};
    enum sfl_status status = copy_text(error->message, &failure.message);
    if (status == SFL_OK)
        status = copy_text(error->type, &failure.type);
    if (status == SFL_OK)
        status = copy_text(error->stack, &failure.stack);
    if (status == SFL_OK && error->details.size > 0) {
        failure.details = sfl_bytes_copy(&sfl_heap, error->details);
        status = failure.details == NULL ? SFL_NO_MEMORY : SFL_OK;
    }
    if (status != SFL_OK) {
        sfl_failure_deinit(&failure);
        return status;
    }
    *failure_out = failure;
    return SFL_OK;
}

// As much of a text as can matter.
static struct sfl_span span_of(const char *text)
{
    return sfl_span_of(text, text == NULL ? 0 : strnlen(text, SFL_FAILURE_TEXT_BYTES_MAX + 1));
}

enum sfl_status sfl_failure_read(const struct singleflight_error *given,
                                 struct sfl_failure *failure_out)
{
    struct singleflight_error error = {0};
    size_t known = given->struct_bytes < sizeof(error) ? given->struct_bytes : sizeof(error);
    memcpy(&error, given, known);
    if (error.details_bytes > SFL_DETAILS_BYTES_MAX)
        return SFL_INVALID_ARGUMENT;
    const struct error_parts parts = {
        .code = error.code,
        .message = span_of(error.message),
        .type = span_of(error.type),
        .stack = span_of(error.stack),
        .details = sfl_span_of(error.details, error.details_bytes),
    };
    return failure_copy(&parts, failure_out);
}

void sfl_failure_deinit(struct sfl_failure *failure)
{
    free(failure->message);
    free(failure->type);
    free(failure->stack);
    sfl_bytes_unref(failure->details);
    *failure = (struct sfl_failure){0};
}

// ------------------------------------------------------------------------------------- outcomes

// What is behind a public result.
struct sfl_result {
    struct singleflight_result facts;
    struct sfl_outcome *outcome; // a reference; NULL without one
};

// Most outcomes are told by one result.
struct outcome_with_result {
    struct sfl_outcome outcome;
    struct sfl_result result;
};

struct sfl_outcome *sfl_outcome_create(enum singleflight_outcome kind, struct sfl_failure *failure,
                                       struct sfl_value *value)
{
    struct outcome_with_result *block = sfl_memory_alloc(sizeof(*block));
    if (block == NULL) {
        sfl_failure_deinit(failure);
        sfl_value_free(value);
        return NULL;
    }
    struct sfl_outcome *outcome = &block->outcome;
    atomic_init(&outcome->references, 1);
    outcome->kind = kind;
    outcome->failure = *failure;
    outcome->value = value;
    outcome->has_result = false;
    *failure = (struct sfl_failure){0};
    return outcome;
}

struct sfl_outcome *sfl_outcome_read(const struct sfl_answer_outcome *wire, struct sfl_value *value)
{
    // The server has held them to its own bounds; ours are wide enough for the contract's.
    size_t details_bytes =
        wire->details.size < SFL_DETAILS_BYTES_MAX ? wire->details.size : SFL_DETAILS_BYTES_MAX;
    const struct error_parts parts = {
        .code = wire->code,
        .message = wire->message,
        .type = wire->type,
        .stack = wire->stack,
        .details = sfl_span_of(wire->details.data, details_bytes),
    };
    struct sfl_failure failure = {0};
    if (failure_copy(&parts, &failure) != SFL_OK) {
        sfl_value_free(value);
        return NULL;
    }
    return sfl_outcome_create((enum singleflight_outcome)wire->kind, &failure, value);
}

static struct sfl_span span_of_text(const char *text)
{
    return text == NULL ? sfl_span_of(NULL, 0) : sfl_span_of_text(text);
}

struct sfl_finish sfl_outcome_to_wire(enum singleflight_outcome kind,
                                      const struct sfl_failure *failure)
{
    return (struct sfl_finish){
        .kind = kind,
        .code = failure->code,
        .message = span_of_text(failure->message),
        .type = span_of_text(failure->type),
        .stack = span_of_text(failure->stack),
        .details = sfl_bytes_span(failure->details),
    };
}

static void outcome_unref(struct sfl_outcome *outcome)
{
    if (!sfl_references_drop(&outcome->references))
        return;
    sfl_failure_deinit(&outcome->failure);
    sfl_value_free(outcome->value);
    struct outcome_with_result *block =
        SFL_CONTAINER_OF(outcome, struct outcome_with_result, outcome);
    sfl_memory_free(block, sizeof(*block));
}

void sfl_outcome_share(struct sfl_outcome *outcome, size_t count)
{
    if (outcome == NULL)
        return;
    assert(sfl_references_is_last(&outcome->references));
    if (count == 0)
        outcome_unref(outcome);
    else
        atomic_store_explicit(&outcome->references, (unsigned)count, memory_order_relaxed);
}

// -------------------------------------------------------------------------------------- results

// For the case that there is no memory for a result; never freed.
static struct sfl_result no_memory = {
    .facts =
        {
            .status = SINGLEFLIGHT_RESOURCE_EXHAUSTED,
            .message = "there is no memory left for the result",
            .value = "",
            .type = "",
            .stack = "",
            .details = "",
        },
};

struct singleflight_result *sfl_result_of_status(enum singleflight_status status,
                                                 const char *message)
{
    size_t size = strlen(message) + 1;
    struct sfl_result *result = malloc(sizeof(*result) + size);
    if (result == NULL)
        return &no_memory.facts;
    *result = no_memory;
    result->facts.status = status;
    result->facts.message = memcpy(result + 1, message, size);
    return &result->facts;
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static struct sfl_result *own_result(struct sfl_outcome *outcome)
{
    return &SFL_CONTAINER_OF(outcome, struct outcome_with_result, outcome)->result;
}

struct singleflight_result *sfl_result_of_outcome(struct sfl_outcome *outcome,
                                                  const struct singleflight_result *facts)
{
    if (outcome == NULL)
        return &no_memory.facts;
    struct sfl_result *result = outcome->has_result ? malloc(sizeof(*result)) : own_result(outcome);
    if (result == NULL) {
        outcome_unref(outcome);
        return &no_memory.facts;
    }
    outcome->has_result = true;
    result->outcome = outcome;
    result->facts = *facts;
    struct singleflight_result *public = &result->facts;
    public->status = SINGLEFLIGHT_OK;
    public->outcome = outcome->kind;
    struct sfl_span value = sfl_value_span(outcome->value);
    public->value = value.data;
    public->value_bytes = value.size;
    const struct sfl_failure *failure = &outcome->failure;
    public->code = failure->code;
    public->message = text_or_empty(failure->message);
    public->type = text_or_empty(failure->type);
    public->stack = text_or_empty(failure->stack);
    struct sfl_span details = sfl_bytes_span(failure->details);
    public->details = details.size == 0 ? (const void *)"" : details.data;
    public->details_bytes = details.size;
    return public;
}

void singleflight_result_free(struct singleflight_result *result)
{
    if (result == NULL || result == &no_memory.facts)
        return;
    struct sfl_result *whole = (struct sfl_result *)(void *)result;
    struct sfl_outcome *outcome = whole->outcome;
    if (outcome == NULL || whole != own_result(outcome))
        free(whole);
    if (outcome != NULL)
        outcome_unref(outcome);
}
