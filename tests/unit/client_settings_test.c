// SPDX-License-Identifier: Apache-2.0
#include "src/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum sfl_status read_settings(struct sfl_settings *settings,
                                     const struct singleflight_client_options *options)
{
    const char *problem = NULL;
    return sfl_settings_init(settings, options, &problem);
}

static void without_anything_the_server_is_the_local_one(void **state)
{
    (void)state;
    unsetenv("SINGLEFLIGHT_ADDRESS");
    struct sfl_settings settings;
    assert_int_equal(read_settings(&settings, NULL), SFL_OK);
    assert_int_equal(settings.address_count, 1);
    assert_string_equal(settings.addresses[0], "127.0.0.1:7433");
    assert_int_equal(settings.connect_timeout_ms, 30000);
    assert_int_equal(settings.patience_ms, 5000);
    assert_int_equal(settings.result_bytes_max, 64 * 1024 * 1024);
    sfl_settings_deinit(&settings);
}

static void the_environment_names_several_servers(void **state)
{
    (void)state;
    setenv("SINGLEFLIGHT_ADDRESS", "a:1, unix:/run/s ,b:2", 1);
    struct sfl_settings settings;
    assert_int_equal(read_settings(&settings, NULL), SFL_OK);
    assert_int_equal(settings.address_count, 3);
    assert_string_equal(settings.addresses[0], "a:1");
    assert_string_equal(settings.addresses[1], "unix:/run/s");
    assert_string_equal(settings.addresses[2], "b:2");
    sfl_settings_deinit(&settings);
    unsetenv("SINGLEFLIGHT_ADDRESS");
}

static void an_empty_address_is_a_mistake(void **state)
{
    (void)state;
    setenv("SINGLEFLIGHT_ADDRESS", "a:1,,b:2", 1);
    struct sfl_settings settings;
    assert_int_equal(read_settings(&settings, NULL), SFL_INVALID_ARGUMENT);
    unsetenv("SINGLEFLIGHT_ADDRESS");
}

static void what_cannot_be_dialled_is_no_address(void **state)
{
    (void)state;
    const char *const wrong[] = {"localhost",  "a:0",        "a:00", "a:99999", ":::",
                                 "http://a:1", "dns:///a:1", "a:1x", "unix:",   ":1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
        options.addresses = &wrong[i];
        options.address_count = 1;
        struct sfl_settings settings;
        const char *problem = NULL;
        assert_int_equal(sfl_settings_init(&settings, &options, &problem), SFL_INVALID_ARGUMENT);
        assert_non_null(strstr(problem, wrong[i]));
    }
    const char *const right[] = {"a:65535", "[::1]:1", "unix:/x", "unix:x"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
        options.addresses = &right[i];
        options.address_count = 1;
        struct sfl_settings settings;
        assert_int_equal(read_settings(&settings, &options), SFL_OK);
        sfl_settings_deinit(&settings);
    }
}

static void given_addresses_come_before_the_environment(void **state)
{
    (void)state;
    setenv("SINGLEFLIGHT_ADDRESS", "a:1", 1);
    const char *addresses[] = {"c:3"};
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.addresses = addresses;
    options.address_count = 1;
    struct sfl_settings settings;
    assert_int_equal(read_settings(&settings, &options), SFL_OK);
    assert_int_equal(settings.address_count, 1);
    assert_string_equal(settings.addresses[0], "c:3");
    sfl_settings_deinit(&settings);
    unsetenv("SINGLEFLIGHT_ADDRESS");
}

static void the_caller_is_named_after_program_host_and_process(void **state)
{
    (void)state;
    struct sfl_settings settings;
    assert_int_equal(read_settings(&settings, NULL), SFL_OK);
    char end[32];
    snprintf(end, sizeof(end), ":%ld", (long)getpid());
    assert_non_null(strstr(settings.caller, "client_settings_test@"));
    assert_string_equal(strrchr(settings.caller, ':'), end);
    assert_ptr_equal(settings.join.caller, settings.caller);
    sfl_settings_deinit(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_the_server_is_the_local_one),
        cmocka_unit_test(the_environment_names_several_servers),
        cmocka_unit_test(an_empty_address_is_a_mistake),
        cmocka_unit_test(what_cannot_be_dialled_is_no_address),
        cmocka_unit_test(given_addresses_come_before_the_environment),
        cmocka_unit_test(the_caller_is_named_after_program_host_and_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
