// SPDX-License-Identifier: Apache-2.0
#include "src/fake_private.h"

#include <stdio.h>
#include <stdlib.h>

void *sfl_fake_allocate(size_t size)
{
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL) {
        fputs("singleflight/testing.h: there is no memory left\n", stderr);
        abort();
    }
    return memory;
}

struct sfl_span sfl_fake_copy_bytes(struct sfl_span bytes)
{
    uint8_t *copy = sfl_fake_allocate(bytes.size + 1);
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    return sfl_span_of(copy, bytes.size);
}

char *sfl_fake_copy_text(const char *text)
{
    return (char *)sfl_fake_copy_bytes(sfl_span_of_text(text == NULL ? "" : text)).data;
}

static void free_bytes(struct sfl_span *bytes)
{
    free((void *)bytes->data);
    *bytes = sfl_span_of(NULL, 0);
}

static const char *group_name(const char *group)
{
    return group == NULL || group[0] == 0 ? "default" : group;
}

// --------------------------------------------------------------------------------------- scripts

struct sfl_fake_script *sfl_fake_find_script(struct singleflight_fake *fake, const char *group,
                                             struct sfl_span key, bool makes)
{
    for (struct sfl_link *at = sfl_list_first(&fake->scripts); at != NULL;
         at = sfl_list_next(&fake->scripts, at)) {
        struct sfl_fake_script *script = SFL_CONTAINER_OF(at, struct sfl_fake_script, link);
        if (strcmp(script->group, group_name(group)) == 0 && sfl_span_equal(script->key, key))
            return script;
    }
    if (!makes)
        return NULL;
    struct sfl_fake_script *script = sfl_fake_allocate(sizeof(*script));
    script->group = sfl_fake_copy_text(group_name(group));
    script->key = sfl_fake_copy_bytes(key);
    sfl_list_append(&fake->scripts, &script->link);
    return script;
}

void sfl_fake_reset_script(struct sfl_fake_script *script, enum sfl_fake_action action)
{
    free_bytes(&script->value);
    free(script->message);
    free(script->type);
    script->message = sfl_fake_copy_text("");
    script->type = sfl_fake_copy_text("");
    script->code = 0;
    script->action = action;
}

// --------------------------------------------------------------------------------------- records

struct sfl_fake_record *sfl_fake_record(struct singleflight_fake *fake,
                                        const Singleflight__V1__Join *join)
{
    struct sfl_fake_record *record = sfl_fake_allocate(sizeof(*record));
    record->call = (struct singleflight_fake_call){
        .group = sfl_fake_copy_text(group_name(join->group)),
        .key = sfl_fake_copy_bytes(sfl_span_of(join->key.data, join->key.len)).data,
        .key_bytes = join->key.len,
        .caller = sfl_fake_copy_text(join->caller),
        .role = (enum singleflight_role)join->role,
        .retain_ms = join->retain_ms,
        .retain_error_ms = join->retain_error_ms,
        .max_age_ms = join->max_age_ms,
        .lease_ms = join->lease_ms,
        .fresh = join->fresh,
        .traceparent = sfl_fake_copy_text(join->traceparent),
        .message = sfl_fake_copy_text(""),
    };
    sfl_list_init(&record->looks);
    sfl_list_append(&fake->records, &record->link);
    fake->record_count++;
    return record;
}

void sfl_fake_record_bytes(struct sfl_fake_record *record, struct sfl_span bytes)
{
    uint8_t *value = sfl_fake_allocate(record->value.size + bytes.size + 1);
    if (record->value.size > 0)
        memcpy(value, record->value.data, record->value.size);
    if (bytes.size > 0)
        memcpy(value + record->value.size, bytes.data, bytes.size);
    size_t size = record->value.size + bytes.size;
    free_bytes(&record->value);
    record->value = sfl_span_of(value, size);
}

void sfl_fake_record_outcome(struct sfl_fake_record *record,
                             const Singleflight__V1__Outcome *outcome)
{
    free((void *)record->call.message);
    record->call.message = sfl_fake_copy_text(outcome->message);
    record->call.outcome = (enum singleflight_outcome)outcome->kind;
    record->call.code = outcome->code;
}

// What the program has, with all that it points to but the record's own.
struct look {
    struct sfl_link link;
    struct singleflight_fake_call call;
    struct sfl_span value;
    char *message;
};

const struct singleflight_fake_call *sfl_fake_look(struct sfl_fake_record *record)
{
    struct look *look = sfl_fake_allocate(sizeof(*look));
    look->value = sfl_fake_copy_bytes(record->value);
    look->message = sfl_fake_copy_text(record->call.message);
    look->call = record->call;
    look->call.value = look->value.data;
    look->call.value_bytes = look->value.size;
    look->call.message = look->message;
    sfl_list_append(&record->looks, &look->link);
    return &look->call;
}

// ------------------------------------------------------------------------------------------- end

static void free_record(struct sfl_fake_record *record)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&record->looks)) != NULL) {
        struct look *look = SFL_CONTAINER_OF(link, struct look, link);
        free_bytes(&look->value);
        free(look->message);
        free(look);
    }
    free_bytes(&record->value);
    free((void *)record->call.group);
    free((void *)record->call.key);
    free((void *)record->call.caller);
    free((void *)record->call.traceparent);
    free((void *)record->call.message);
    free(record);
}

void sfl_fake_free_all(struct singleflight_fake *fake)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&fake->records)) != NULL)
        free_record(SFL_CONTAINER_OF(link, struct sfl_fake_record, link));
    while ((link = sfl_list_pop(&fake->scripts)) != NULL) {
        struct sfl_fake_script *script = SFL_CONTAINER_OF(link, struct sfl_fake_script, link);
        sfl_fake_reset_script(script, SFL_FAKE_LEAD);
        free(script->message);
        free(script->type);
        free(script->group);
        free_bytes(&script->key);
        free(script);
    }
}
