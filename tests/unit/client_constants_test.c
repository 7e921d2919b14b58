// SPDX-License-Identifier: Apache-2.0
// The numbers that the clients of all languages share.
#include "src/constants.h"

#include "singleflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

static struct json_object *field_of(struct json_object *shared, const char *name)
{
    struct json_object *field = NULL;
    if (!json_object_object_get_ex(shared, name, &field))
        fail_msg("client/constants.json has no %s", name);
    return field;
}

static void ours_are_those_of_all(void **state)
{
    (void)state;
    struct json_object *shared = json_object_from_file(SFL_CONSTANTS);
    assert_non_null(shared);
    const struct {
        const char *name;
        uint64_t ours;
    } numbers[] = {
        {"connect_timeout_ms", SFL_CONNECT_TIMEOUT_MS},
        {"answer_timeout_ms", SFL_ANSWER_TIMEOUT_MS},
        {"files_look_ms", SFL_FILES_LOOK_MS},
        {"backoff_min_ms", SFL_BACKOFF_MIN_MS},
        {"backoff_max_ms", SFL_BACKOFF_MAX_MS},
        {"keepalive_time_ms", SFL_KEEPALIVE_TIME_MS},
        {"keepalive_timeout_ms", SFL_KEEPALIVE_TIMEOUT_MS},
        {"close_ms", SFL_CLOSE_MS},
        {"wire_slack_ms_min", SFL_WIRE_SLACK_MS_MIN},
        {"wire_slack_divisor", SFL_WIRE_SLACK_DIVISOR},
        {"renewals_per_hold", SFL_RENEWALS_PER_HOLD},
        {"ask_ms_max", SFL_ASK_MS_MAX},
        {"within_max", SFL_WITHIN_MAX},
        {"result_bytes_max", SFL_RESULT_BYTES_MAX},
        {"message_bytes_max", SFL_MESSAGE_BYTES_MAX},
        {"chunk_bytes_max", SFL_CHUNK_BYTES_MAX},
        {"details_bytes_max", SFL_DETAILS_BYTES_MAX},
        {"key_bytes_max", SFL_KEY_BYTES_MAX},
        {"caller_bytes_max", SFL_CALLER_BYTES_MAX},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_int_equal(numbers[i].ours,
                         json_object_get_uint64(field_of(shared, numbers[i].name)));
    const struct {
        const char *name;
        const char *ours;
    } texts[] = {
        {"address_variable", SFL_ADDRESS_VARIABLE},
        {"address_default", SFL_ADDRESS_DEFAULT},
        {"tls_ca_variable", SFL_TLS_CA_VARIABLE},
        {"tls_cert_variable", SFL_TLS_CERT_VARIABLE},
        {"tls_key_variable", SFL_TLS_KEY_VARIABLE},
        {"tls_server_name_variable", SFL_TLS_SERVER_NAME_VARIABLE},
        {"token_file_variable", SFL_TOKEN_FILE_VARIABLE},
        {"tls_ca_system", SFL_TLS_CA_SYSTEM},
        {"type_encode_error", SINGLEFLIGHT_TYPE_ENCODE_ERROR},
        {"type_limit_exceeded", SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_string_equal(texts[i].ours, json_object_get_string(field_of(shared, texts[i].name)));
    json_object_put(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_those_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
