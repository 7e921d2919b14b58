// SPDX-License-Identifier: Apache-2.0
// What OpenTelemetry's variables ask for.
#include "tracing/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ENDPOINT "OTEL_EXPORTER_OTLP_ENDPOINT"
#define HERE "http://here:4317"

struct world {
    const char *variables[8][2]; // names and values, ended by NULL
    const char *warned;          // the last variable that was
};

static const char *get(void *context, const char *name)
{
    const struct world *world = context;
    for (size_t i = 0; world->variables[i][0] != NULL; i++) {
        if (strcmp(world->variables[i][0], name) == 0)
            return world->variables[i][1];
    }
    return NULL;
}

static void warn(void *context, const char *name, const char *problem)
{
    struct world *world = context;
    assert_true(strlen(problem) > 0);
    world->warned = name;
}

static struct sfl_tracing_settings read_world(struct world *world)
{
    const struct sfl_environment environment = {get, warn, world};
    struct sfl_tracing_settings settings;
    assert_int_equal(sfl_tracing_settings_read(&environment, &settings), SFL_OK);
    return settings;
}

static const char *value_in(const struct sfl_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].key, key) == 0)
            return pairs->items[i].value;
    }
    return NULL;
}

static void check_is_on(struct world world, bool is_on, const char *warned)
{
    struct sfl_tracing_settings settings = read_world(&world);
    assert_int_equal(settings.is_on, is_on);
    if (warned == NULL)
        assert_null(world.warned);
    else
        assert_string_equal(world.warned, warned);
    sfl_tracing_settings_deinit(&settings);
}

static void it_is_off_unless_somebody_says_where_to(void **state)
{
    (void)state;
    check_is_on((struct world){.variables = {{NULL}}}, false, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, ""}}}, false, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}}}, true, NULL);
    check_is_on((struct world){.variables = {{"OTEL_TRACES_EXPORTER", "otlp"}}}, true, NULL);
}

static void it_can_be_switched_off(void **state)
{
    (void)state;
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {"OTEL_SDK_DISABLED", "TRUE"}}},
                false, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {"OTEL_SDK_DISABLED", "false"}}},
                true, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {"OTEL_SDK_DISABLED", "yes"}}}, true,
                "OTEL_SDK_DISABLED");
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {"OTEL_TRACES_EXPORTER", "None"}}},
                false, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {"OTEL_TRACES_EXPORTER", "zipkin"}}},
                false, "OTEL_TRACES_EXPORTER");
}

static void only_grpc_is_spoken(void **state)
{
    (void)state;
    const char *all = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const char *of_traces = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {all, "grpc"}}}, true, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {all, "http/protobuf"}}}, false,
                all);
    check_is_on(
        (struct world){.variables = {{ENDPOINT, HERE}, {all, "http/json"}, {of_traces, "grpc"}}},
        true, NULL);
    check_is_on((struct world){.variables = {{ENDPOINT, HERE}, {of_traces, "http/json"}}}, false,
                of_traces);
}

static void an_endpoint_becomes_what_grpc_calls_a_target(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        const char *target; // NULL: it is off
        bool is_tls;
    } rows[] = {
        {"http://collector:4317", "collector:4317", false},
        {"HTTPS://collector:4317/", "collector:4317", true},
        {"http://collector", "collector:4317", false},
        {"https://[::1]/v1/traces", "[::1]:4317", true},
        {"http://[::1]:55", "[::1]:55", false},
        {"collector:4317", "collector:4317", true},
        {"unix:///run/otlp.sock", "unix:///run/otlp.sock", false},
        {"dns:///collector:4317", "dns:///collector:4317", true},
        {"ftp://collector", NULL, false},
        {"http://", NULL, false},
        {"http:///v1/traces", NULL, false},
        {"http://:4317", NULL, false},
        {"https://user:secret@collector:4317", NULL, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world = {.variables = {{ENDPOINT, rows[i].endpoint}}};
        struct sfl_tracing_settings settings = read_world(&world);
        assert_int_equal(settings.is_on, rows[i].target != NULL);
        assert_int_equal(world.warned != NULL, rows[i].target == NULL);
        if (settings.is_on) {
            assert_string_equal(settings.target, rows[i].target);
            assert_int_equal(settings.is_tls, rows[i].is_tls);
        }
        sfl_tracing_settings_deinit(&settings);
    }
}

static void what_is_said_of_traces_comes_first(void **state)
{
    (void)state;
    struct world world = {.variables = {{ENDPOINT, HERE},
                                        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "there:1"},
                                        {"OTEL_EXPORTER_OTLP_INSECURE", "true"},
                                        {"OTEL_EXPORTER_OTLP_TIMEOUT", "1"},
                                        {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"}}};
    struct sfl_tracing_settings settings = read_world(&world);
    assert_string_equal(settings.target, "there:1");
    assert_false(settings.is_tls);
    assert_int_equal(settings.timeout_ms, 250);
    sfl_tracing_settings_deinit(&settings);
}

static void headers_and_attributes_are_lists(void **state)
{
    (void)state;
    struct world world = {
        .variables = {{ENDPOINT, HERE},
                      {"OTEL_EXPORTER_OTLP_HEADERS", " X-Key = a%20b ,,empty=,x-key=c"},
                      {"OTEL_RESOURCE_ATTRIBUTES", "service.name=one,team=%C3%A4"},
                      {"OTEL_SERVICE_NAME", "two"}}};
    struct sfl_tracing_settings settings = read_world(&world);
    assert_null(world.warned);
    assert_int_equal(settings.headers.count, 3);
    assert_string_equal(settings.headers.items[0].key, "x-key");
    assert_string_equal(settings.headers.items[0].value, "a b");
    assert_string_equal(value_in(&settings.headers, "empty"), "");
    assert_string_equal(value_in(&settings.resource, "service.name"), "two");
    assert_string_equal(value_in(&settings.resource, "team"), "\xc3\xa4");
    sfl_tracing_settings_deinit(&settings);
}

static void a_list_with_one_mistake_does_not_count_at_all(void **state)
{
    (void)state;
    static const char *const bad[] = {"good=1,bad",   "good=1,=x",    "good=1,b=%2",
                                      "good=1,b=%zz", "good=1,b=%00", "good=1,b=%ff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world world = {
            .variables = {{ENDPOINT, HERE}, {"OTEL_RESOURCE_ATTRIBUTES", bad[i]}}};
        struct sfl_tracing_settings settings = read_world(&world);
        assert_string_equal(world.warned, "OTEL_RESOURCE_ATTRIBUTES");
        assert_null(value_in(&settings.resource, "good"));
        assert_string_equal(value_in(&settings.resource, "service.name"), "singleflightd");
        sfl_tracing_settings_deinit(&settings);
    }
}

static void a_number_that_is_none_leaves_the_default(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "+1", " 1", "1 ", "1s", "1e3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world world = {.variables = {{ENDPOINT, HERE}, {"OTEL_BSP_SCHEDULE_DELAY", bad[i]}}};
        struct sfl_tracing_settings settings = read_world(&world);
        assert_string_equal(world.warned, "OTEL_BSP_SCHEDULE_DELAY");
        assert_int_equal(settings.delay_ms, 5000);
        sfl_tracing_settings_deinit(&settings);
    }
}

static void a_batch_is_no_larger_than_the_queue(void **state)
{
    (void)state;
    struct world world = {.variables = {{ENDPOINT, HERE}, {"OTEL_BSP_MAX_QUEUE_SIZE", "100"}}};
    struct sfl_tracing_settings settings = read_world(&world);
    assert_int_equal(settings.queue_max, 100);
    assert_int_equal(settings.batch_max, 100);
    sfl_tracing_settings_deinit(&settings);
}

static void check_ratio(const char *argument, double ratio, bool is_warned)
{
    struct world world = {.variables = {{ENDPOINT, HERE},
                                        {"OTEL_TRACES_SAMPLER", "traceidratio"},
                                        {"OTEL_TRACES_SAMPLER_ARG", argument}}};
    struct sfl_tracing_settings settings = read_world(&world);
    assert_int_equal(settings.sampler.kind, SFL_SAMPLER_TRACE_ID_RATIO);
    assert_true(settings.sampler.ratio == ratio);
    assert_int_equal(world.warned != NULL, is_warned);
    sfl_tracing_settings_deinit(&settings);
}

static void a_ratio_is_a_number_from_0_to_1(void **state)
{
    (void)state;
    check_ratio("0.25", 0.25, false);
    check_ratio("0", 0, false);
    check_ratio("", 1, false);
    check_ratio("1.5", 1, true);
    check_ratio("-0.1", 1, true);
    check_ratio("nan", 1, true);
    check_ratio("half", 1, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_off_unless_somebody_says_where_to),
        cmocka_unit_test(it_can_be_switched_off),
        cmocka_unit_test(only_grpc_is_spoken),
        cmocka_unit_test(an_endpoint_becomes_what_grpc_calls_a_target),
        cmocka_unit_test(what_is_said_of_traces_comes_first),
        cmocka_unit_test(headers_and_attributes_are_lists),
        cmocka_unit_test(a_list_with_one_mistake_does_not_count_at_all),
        cmocka_unit_test(a_number_that_is_none_leaves_the_default),
        cmocka_unit_test(a_batch_is_no_larger_than_the_queue),
        cmocka_unit_test(a_ratio_is_a_number_from_0_to_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
