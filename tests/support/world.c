// SPDX-License-Identifier: Apache-2.0
#include "support/world.h"

#include "support/carry.h"
#include "support/world_words.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALLERS_MAX = 64,
    LINES_MAX = 64,
    HOMES_MAX = 32,
    VALUE_MAX = 1 << 20,
    EFFECT_TYPES = SFL_EFFECT_DROP + 1,
    KEPT_MAX = 8 * SFL_EFFECTS_MAX,
};

struct person {
    char name[16];
    struct sfl_caller caller;
    char lines[LINES_MAX][WORLD_LINE_MAX];
    unsigned heard;            // lines that the story asked about
    unsigned told;             // lines that are there
    struct sfl_value *reading; // a reference; live followers read it as it grows
    struct sfl_value_cursor cursor;
    char value[VALUE_MAX + 1];
    size_t value_size;
    bool live;
};

struct world {
    struct memory memory;
    struct sfl_limits limits;
    struct sfl_usage usage;
    struct sfl_quota quota;    // of the group "g", in a world with quotas
    struct sfl_quota no_quota; // and of every other
    bool has_quotas;
    int quota_references;
    struct sfl_table table;
    struct carry_sink sink;
    uint64_t now_ms;
    uint64_t last_token;
    bool homes_late;
    bool live_late;
    bool settled_late;
    struct sfl_flight *homes[HOMES_MAX];
    unsigned homes_open;
    char kept[KEPT_MAX]; // what the last step has said to a keeper
    unsigned counts[EFFECT_TYPES];
    struct sfl_forgotten forgotten;
    unsigned people_count;
    struct person *people[CALLERS_MAX];
};

static struct person *person_of_name(struct world *w, const char *name)
{
    for (unsigned i = 0; i < w->people_count; i++)
        if (strcmp(w->people[i]->name, name) == 0)
            return w->people[i];
    assert_true(w->people_count < CALLERS_MAX);
    struct person *person = calloc(1, sizeof(*person));
    assert_non_null(person);
    snprintf(person->name, sizeof(person->name), "%s", name);
    sfl_caller_init(&person->caller);
    w->people[w->people_count++] = person;
    return person;
}

static struct person *person_of_caller(struct sfl_caller *caller)
{
    return SFL_CONTAINER_OF(caller, struct person, caller);
}

static char *next_line(struct person *person)
{
    assert_true(person->told < LINES_MAX);
    return person->lines[person->told++];
}

// Reads what is new, keeps it with the value, and returns it.
static struct sfl_span read_on(struct person *person, const struct sfl_value *value, uint64_t size)
{
    size_t before = person->value_size;
    for (;;) {
        struct sfl_span part = sfl_value_read(value, size, &person->cursor, SIZE_MAX);
        if (part.size == 0)
            break;
        assert_true(person->value_size + part.size <= VALUE_MAX);
        memcpy(person->value + person->value_size, part.data, part.size);
        person->value_size += part.size;
    }
    person->value[person->value_size] = '\0';
    return sfl_span_of(person->value + before, person->value_size - before);
}

static void start_over(struct person *person)
{
    sfl_value_unref(person->reading);
    person->reading = NULL;
    person->cursor = (struct sfl_value_cursor){0};
    person->value_size = 0;
    person->value[0] = '\0';
}

static void on_lead(void *context, struct sfl_caller *caller, const struct sfl_lead *lead)
{
    struct world *w = context;
    start_over(person_of_caller(caller));
    words_of_lead(lead, w->limits.run_limit_ms_max, next_line(person_of_caller(caller)));
}

static void on_chunk(void *context, struct sfl_caller *caller, struct sfl_value *value,
                     uint64_t value_bytes)
{
    (void)context;
    struct person *person = person_of_caller(caller);
    assert_true(person->live);
    if (person->reading != value) {
        assert_null(person->reading); // another value comes only after `restart`
        person->reading = sfl_value_ref(value);
    }
    words_of_chunk(read_on(person, value, value_bytes), next_line(person));
}

static void on_follow(void *context, struct sfl_caller *caller, const struct sfl_follow *follow)
{
    struct person *person = person_of_caller(caller);
    start_over(person);
    words_of_follow(follow, next_line(person));
    if (person->live && follow->value != NULL && follow->value_bytes > 0)
        on_chunk(context, caller, follow->value, follow->value_bytes);
}

static void on_restart(void *context, struct sfl_caller *caller, uint32_t attempt,
                       struct sfl_span leader)
{
    (void)context;
    start_over(person_of_caller(caller));
    words_of_restart(attempt, leader, next_line(person_of_caller(caller)));
}

static void on_audience(void *context, struct sfl_caller *caller,
                        const struct sfl_audience *audience)
{
    (void)context;
    words_of_audience(audience, next_line(person_of_caller(caller)));
}

static void on_renewed(void *context, struct sfl_caller *caller, uint64_t id)
{
    (void)context;
    words_of_renewed(id, next_line(person_of_caller(caller)));
}

static void on_result(void *context, struct sfl_caller *caller, const struct sfl_result *result)
{
    (void)context;
    struct person *person = person_of_caller(caller);
    assert_false(sfl_caller_is_joined(caller));
    const struct sfl_outcome *outcome = result->outcome;
    struct sfl_span rest = {0};
    if (result->led)
        start_over(person);
    else if (outcome->value != NULL) {
        assert_true(person->reading == NULL || person->reading == outcome->value);
        rest = read_on(person, outcome->value, outcome->value_bytes);
        assert_int_equal(person->value_size, outcome->value_bytes);
    }
    words_of_result(result, rest, next_line(person));
}

static void on_refuse(void *context, struct sfl_caller *caller, const struct sfl_refusal *refusal)
{
    (void)context;
    assert_false(sfl_caller_is_joined(caller));
    words_of_refusal(refusal, next_line(person_of_caller(caller)));
}

static void on_forgotten(void *context, const struct sfl_forgotten *forgotten)
{
    struct world *w = context;
    w->forgotten = *forgotten;
}

static void on_flight(void *context, enum sfl_effect_type type, struct sfl_flight *flight)
{
    struct world *w = context;
    w->counts[type]++;
    if (type != SFL_EFFECT_FIND_HOME)
        return;
    assert_true(w->homes_open < HOMES_MAX);
    w->homes[w->homes_open++] = flight;
}

// "8 type: message"
static struct sfl_bytes *describe(int32_t code, struct sfl_span message, struct sfl_span type)
{
    char text[WORLD_LINE_MAX];
    int size = snprintf(text, sizeof(text), "%d %.*s: %.*s", (int)code, (int)type.size,
                        (const char *)type.data, (int)message.size, (const char *)message.data);
    return sfl_bytes_copy(&sfl_heap, sfl_span_of(text, (size_t)size));
}

static void step(struct world *w, struct sfl_event *event);

static void check_table(const struct world *w)
{
    const char *broken = sfl_table_check(&w->table);
    if (broken != NULL)
        fail_msg("after a step: %s", broken);
}

// What is said to nobody but a keeper is counted here.
static void count_kept(struct world *w, const struct sfl_effects *effects)
{
    w->kept[0] = '\0';
    for (unsigned i = 0; i < effects->count; i++) {
        enum sfl_effect_type type = effects->items[i].type;
        if (type == SFL_EFFECT_KEEP_LEAD || type == SFL_EFFECT_UNLEAD)
            w->counts[type]++;
        if (type == SFL_EFFECT_RETAIN)
            strcat(w->kept, "retain ");
        if (type == SFL_EFFECT_UNLEAD)
            strcat(w->kept, "unlead ");
    }
}

// As the engine does, in this one table.
static void make_room(struct world *w, struct sfl_event *event, const struct sfl_effects *effects)
{
    const struct sfl_group *of = effects->needs_of;
    struct sfl_span group =
        of == NULL ? sfl_span_of(NULL, 0) : sfl_span_of(of->name, of->name_size);
    event->is_again = true;
    if (sfl_table_overdue_since_ms(&w->table, effects->needs, group, event->caller) == UINT64_MAX)
        event->may_ask_for_room = false;
    else
        step(w, &(struct sfl_event){.type = SFL_EVENT_MAKE_ROOM,
                                    .caller = event->caller,
                                    .group = group,
                                    .room = effects->needs});
}

static void step(struct world *w, struct sfl_event *event)
{
    struct sfl_effects effects;
    bool is_change = event->type == SFL_EVENT_JOIN || event->type == SFL_EVENT_CHUNK ||
                     event->type == SFL_EVENT_FINISH;
    event->now_ms = w->now_ms;
    event->may_ask_for_room = is_change;
    do {
        sfl_table_step(&w->table, event, &effects);
        check_table(w);
        count_kept(w, &effects);
        carry_out(&effects, &w->sink);
        if (!w->live_late)
            world_take_live(w);
        if (!w->settled_late)
            world_take_settled(w);
        while (!w->homes_late && w->homes_open > 0)
            world_home(w, true);
        if (effects.needs != SFL_ROOM_NONE)
            make_room(w, event, &effects);
    } while (effects.more || effects.needs != SFL_ROOM_NONE);
}

static struct sfl_quota *quota_of(void *context, struct sfl_span group)
{
    struct world *w = context;
    w->quota_references++;
    return sfl_span_equal(group, sfl_span_of_text("g")) ? &w->quota : &w->no_quota;
}

static void quota_done(void *context, struct sfl_quota *quota)
{
    (void)quota;
    ((struct world *)context)->quota_references--;
}

static struct world *open_world(uint64_t first_token, const struct sfl_quota_limits *quota)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    memory_init(&w->memory);
    w->limits = sfl_limits_default;
    w->sink =
        (struct carry_sink){w,          on_lead,   on_follow, on_chunk,     on_restart, on_audience,
                            on_renewed, on_result, on_refuse, on_forgotten, on_flight};
    w->last_token = first_token;
    sfl_usage_init(&w->usage);
    w->has_quotas = quota != NULL;
    sfl_quota_init(&w->quota, quota != NULL ? quota : &sfl_quota_unlimited);
    sfl_quota_init(&w->no_quota, &sfl_quota_unlimited);
    sfl_table_init(&w->table,
                   &(struct sfl_table_options){.allocator = &w->memory.allocator,
                                               .limits = &w->limits,
                                               .usage = &w->usage,
                                               .first_token = first_token,
                                               .describe = describe,
                                               .quota_of = w->has_quotas ? quota_of : NULL,
                                               .quota_done = quota_done,
                                               .quota_context = w});
    return w;
}

struct world *world_open(void)
{
    return world_open_from(0);
}

struct world *world_open_from(uint64_t first_token)
{
    return open_world(first_token, NULL);
}

struct world *world_open_with_quota(const struct sfl_quota_limits *quota)
{
    return open_world(0, quota);
}

struct sfl_quota *world_quota(struct world *w)
{
    return &w->quota;
}

static void check_all_heard(struct world *w)
{
    for (unsigned i = 0; i < w->people_count; i++) {
        struct person *person = w->people[i];
        if (person->heard < person->told)
            fail_msg("%s also heard: %s", person->name, person->lines[person->heard]);
    }
}

static void check_nothing_left(struct world *w)
{
    assert_int_equal(sfl_budget_used(&w->usage.flights), 0);
    assert_int_equal(sfl_budget_used(&w->usage.callers), 0);
    assert_int_equal(sfl_budget_used(&w->usage.retained), 0);
    assert_int_equal(sfl_budget_used(&w->usage.held_bytes), 0);
    assert_int_equal(sfl_budget_used(&w->usage.retained_bytes), 0);
    assert_int_equal(w->memory.blocks, 0);
    assert_int_equal(w->memory.bytes, 0);
}

void world_close(struct world *w)
{
    check_all_heard(w);
    memory_fail_never(&w->memory);
    world_settled_late(w, false);
    for (unsigned i = 0; i < w->people_count; i++)
        world_fail(w, w->people[i]->name, SFL_REASON_CANCELLED);
    while (w->homes_open > 0)
        world_home(w, true);
    world_shut(w); // what is orphaned
    for (unsigned i = 0; i < w->people_count; i++) {
        assert_false(sfl_caller_is_joined(&w->people[i]->caller));
        start_over(w->people[i]);
        free(w->people[i]);
    }
    sfl_table_deinit(&w->table);
    check_nothing_left(w);
    sfl_usage_deinit(&w->usage);
    assert_int_equal(w->quota_references, 0);
    sfl_quota_deinit(&w->quota); // which finds out what is still in use
    sfl_quota_deinit(&w->no_quota);
    free(w);
}

struct sfl_limits *world_limits(struct world *w)
{
    return &w->limits;
}

struct memory *world_memory(struct world *w)
{
    return &w->memory;
}

struct sfl_table *world_table(struct world *w)
{
    return &w->table;
}

struct sfl_usage *world_usage(struct world *w)
{
    return &w->usage;
}

static uint64_t hash_of(struct sfl_span group, struct sfl_span key)
{
    static const struct sfl_hash_secret secret = {{7}};
    return sfl_hash(&secret, group, key);
}

uint64_t world_hash(const char *group, const char *key)
{
    return hash_of(sfl_span_of_text(group), sfl_span_of_text(key));
}

void world_join(struct world *w, const char *name, const char *key, const struct sfl_join *wish)
{
    struct person *person = person_of_name(w, name);
    struct sfl_join join = *wish;
    assert_false(sfl_caller_is_joined(&person->caller));
    start_over(person);
    sfl_caller_init(&person->caller);
    person->live = join.live;
    if (join.group.data == NULL)
        join.group = sfl_span_of_text("g");
    if (join.key.data == NULL)
        join.key = sfl_span_of_text(key);
    if (join.name.data == NULL)
        join.name = sfl_span_of_text(person->name);
    join.ends_at_deadline = join.deadline_ms != 0;
    join.deadline_ms = join.deadline_ms == 0 ? UINT64_MAX : w->now_ms + join.deadline_ms;
    struct sfl_event event = {.type = SFL_EVENT_JOIN,
                              .caller = &person->caller,
                              .hash = hash_of(join.group, join.key),
                              .join = &join};
    step(w, &event);
}

static void step_of(struct world *w, const char *name, struct sfl_event event)
{
    event.caller = &person_of_name(w, name)->caller;
    step(w, &event);
}

void world_chunk_bytes(struct world *w, const char *name, uint64_t sequence, const void *data,
                       size_t size)
{
    step_of(w, name,
            (struct sfl_event){.type = SFL_EVENT_CHUNK,
                               .chunk = {.data = sfl_span_of(data, size), .sequence = sequence}});
}

void world_chunk(struct world *w, const char *name, uint64_t sequence, const char *data)
{
    world_chunk_bytes(w, name, sequence, data, strlen(data));
}

void world_renew(struct world *w, const char *name)
{
    world_renew_id(w, name, 0);
}

void world_renew_id(struct world *w, const char *name, uint64_t id)
{
    step_of(w, name, (struct sfl_event){.type = SFL_EVENT_RENEW, .renew = {id}});
}

void world_half_close(struct world *w, const char *name)
{
    step_of(w, name, (struct sfl_event){.type = SFL_EVENT_HALF_CLOSE});
}

void world_finish_with(struct world *w, const char *name, const struct sfl_finish *finish)
{
    step_of(w, name, (struct sfl_event){.type = SFL_EVENT_FINISH, .finish = *finish});
}

static struct sfl_finish finish_of_words(const char *outcome)
{
    const char *rest;
    int kind = kind_of_words(outcome, &rest);
    return (struct sfl_finish){.kind = kind, .value = sfl_span_of_text(rest)};
}

void world_finish(struct world *w, const char *name, const char *outcome)
{
    struct sfl_finish finish = finish_of_words(outcome);
    world_finish_with(w, name, &finish);
}

void world_pass_on(struct world *w, const char *name, const char *outcome)
{
    struct sfl_finish finish = finish_of_words(outcome);
    finish.pass_on = true;
    world_finish_with(w, name, &finish);
}

void world_finish_retain(struct world *w, const char *name, const char *outcome,
                         uint64_t retention_ms)
{
    struct sfl_finish finish = finish_of_words(outcome);
    finish.has_retention = true;
    finish.retention_ms = retention_ms;
    world_finish_with(w, name, &finish);
}

void world_leave(struct world *w, const char *name)
{
    step_of(
        w, name,
        (struct sfl_event){.type = SFL_EVENT_LEAVE,
                           .leave = {.refusal = {.reason = SFL_REASON_BROKEN}, .broken = true}});
}

void world_fail(struct world *w, const char *name, enum sfl_reason reason)
{
    step_of(w, name,
            (struct sfl_event){.type = SFL_EVENT_LEAVE,
                               .leave = {.refusal = {.reason = reason}, .broken = false}});
}

const char *world_forget_with(struct world *w, const char *key, bool if_unshared, const char *end,
                              uint64_t token)
{
    struct sfl_span group = sfl_span_of_text("g");
    struct sfl_span key_span = sfl_span_of_text(key);
    struct sfl_event event = {.type = SFL_EVENT_FORGET,
                              .hash = hash_of(group, key_span),
                              .forget = {.group = group,
                                         .key = key_span,
                                         .if_unshared = if_unshared,
                                         .end = end != NULL,
                                         .token = token,
                                         .name = sfl_span_of_text(end == NULL ? "" : end)}};
    step(w, &event);
    if (w->forgotten.ended)
        return w->forgotten.retained ? "flight retained ended" : "flight ended";
    if (w->forgotten.flight)
        return w->forgotten.retained ? "flight retained" : "flight";
    return w->forgotten.retained ? "retained" : "nothing";
}

void world_unkeep(struct world *w, const char *key, uint64_t token)
{
    struct sfl_span group = sfl_span_of_text("g");
    struct sfl_span key_span = sfl_span_of_text(key);
    step(w, &(struct sfl_event){.type = SFL_EVENT_UNKEPT,
                                .hash = hash_of(group, key_span),
                                .unkept = {group, key_span, token}});
}

void world_drain(struct world *w)
{
    step(w, &(struct sfl_event){.type = SFL_EVENT_DRAIN});
}

void world_shut(struct world *w)
{
    step(w, &(struct sfl_event){.type = SFL_EVENT_SHUT});
}

static void tick(struct world *w)
{
    step(w, &(struct sfl_event){.type = SFL_EVENT_TICK});
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    for (;;) {
        uint64_t next = sfl_table_next_deadline_ms(&w->table);
        if (next >= until)
            break;
        if (next > w->now_ms)
            w->now_ms = next;
        tick(w);
        assert_true(sfl_table_next_deadline_ms(&w->table) > w->now_ms);
    }
    w->now_ms = until;
    tick(w);
}

void world_pass_without_tick(struct world *w, uint64_t ms)
{
    w->now_ms += ms;
}

uint64_t world_now(const struct world *w)
{
    return w->now_ms;
}

const char *world_kept(const struct world *w)
{
    return w->kept;
}

void world_homes_late(struct world *w, bool late)
{
    w->homes_late = late;
}

void world_home(struct world *w, bool found)
{
    assert_true(w->homes_open > 0);
    struct sfl_event event = {.type = SFL_EVENT_HOME_FOUND,
                              .home = {.flight = w->homes[0], .found = found}};
    if (found)
        event.home.token = ++w->last_token;
    w->homes_open--;
    memmove(w->homes, w->homes + 1, w->homes_open * sizeof(w->homes[0]));
    step(w, &event);
}

unsigned world_homes_open(const struct world *w)
{
    return w->homes_open;
}

void world_live_late(struct world *w, bool late)
{
    w->live_late = late;
    if (!late)
        world_take_live(w);
}

void world_take_live(struct world *w)
{
    while (carry_live(&w->table, &w->sink))
        continue;
}

void world_settled_late(struct world *w, bool late)
{
    w->settled_late = late;
    if (!late)
        world_take_settled(w);
}

void world_take_settled(struct world *w)
{
    while (carry_settled(&w->table, &w->sink))
        continue;
}

unsigned world_count(const struct world *w, enum sfl_effect_type type)
{
    return w->counts[type];
}

void world_hear(struct world *w, const char *name, const char *line, const char *file, int at)
{
    struct person *person = person_of_name(w, name);
    const char *heard = person->heard < person->told ? person->lines[person->heard] : "(silence)";
    if (strcmp(heard, line) != 0) {
        print_error("%s should hear: %s\n%*s but heard: %s\n", name, line, (int)strlen(name), "",
                    heard);
        _fail(file, at);
    }
    person->heard++;
}

void world_silence(struct world *w, const char *name, const char *file, int at)
{
    struct person *person = person_of_name(w, name);
    if (person->heard < person->told) {
        print_error("%s should hear nothing, but heard: %s\n", name, person->lines[person->heard]);
        _fail(file, at);
    }
}

void world_skip(struct world *w, const char *name)
{
    struct person *person = person_of_name(w, name);
    person->heard = person->told;
}

bool world_is_joined(struct world *w, const char *name)
{
    return sfl_caller_is_joined(&person_of_name(w, name)->caller);
}

const char *world_value(struct world *w, const char *name)
{
    return person_of_name(w, name)->value;
}

struct sfl_stats world_stats(const struct world *w)
{
    return sfl_table_stats(&w->table, sfl_span_of(NULL, 0));
}
