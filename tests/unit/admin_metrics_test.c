// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
// docs/metrics.md is what this prints with "--print".
#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char head[] =
    "# Metrics\n"
    "\n"
    "What `/metrics` shows ([operations.md](operations.md#monitoring)). This page is made from "
    "the\n"
    "lists that the daemon itself counts by: `build/tests/admin_metrics_test --print`.\n"
    "\n"
    "Rows with the label `group` have it when `--metrics-groups` names groups; everybody else is\n"
    "`group=\"other\"` then. Metrics of what is not in use are not shown: `store_*` is there with "
    "a\n"
    "data directory, `runs*` unless runs are off, `auth_denied` with tokens or an access file,\n"
    "`tls_*` with TLS, `config_*` with either (`files` is `rights` or `tls`), `traces_*` with "
    "traces.\n"
    "Histograms of times have buckets from 1 ms to 10 minutes, those of sizes from 64 bytes to\n"
    "1 GiB.\n"
    "\n"
    "| name | kind | what it says | labels |\n"
    "| --- | --- | --- | --- |\n";

// Everything that there can be.
static struct sfl_snapshot all_there_is(void)
{
    static const char *const groups[] = {"a"};
    static const struct sfl_stats stats[] = {{.calls_led = 2, .bytes_now = 5}};
    static const struct sfl_method_counts methods[] = {
        {.path = "/singleflight.v1.SingleFlight/Do", .started = 4, .handled = {[0] = 2, [14] = 1}},
        {.path = NULL, .started = 5},
    };
    return (struct sfl_snapshot){
        .version = "1.2.3",
        .revision = "abc",
        .grpc = "1.51",
        .has_store = true,
        .has_runs = true,
        .rights = {.is_in_use = true},
        .tls = {.files = {.is_in_use = true}},
        .traces = {.is_in_use = true},
        .pump_count = 2,
        .pumps = {{.turns = 6}, {.turns = 7}},
        .methods = methods,
        .method_count = 2,
        .limits = &sfl_limits_default,
        .groups = groups,
        .group_stats = stats,
        .group_count = 1,
    };
}

static void write_document(struct sfl_admin_page *page)
{
    struct sfl_snapshot snapshot = all_there_is();
    sfl_admin_page_init(page, SFL_FORMAT_MARKDOWN);
    sfl_metrics_write(page, &snapshot);
    sfl_admin_page_end(page);
    assert_false(page->has_failed);
}

static void the_document_is_what_the_lists_say(void **state)
{
    enum { ROOM = 65536 };
    static char text[ROOM];
    struct sfl_admin_page page;
    (void)state;
    FILE *file = fopen(METRICS_MD, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, ROOM, file);
    fclose(file);
    write_document(&page);
    assert_int_equal(size, sizeof(head) - 1 + page.size);
    assert_memory_equal(text, head, sizeof(head) - 1);
    assert_memory_equal(text + sizeof(head) - 1, page.bytes, page.size);
    sfl_admin_page_deinit(&page);
}

static void assert_says(const struct sfl_snapshot *snapshot, const char *line, bool does)
{
    struct sfl_admin_page page;
    sfl_admin_page_init(&page, SFL_FORMAT_TEXT);
    sfl_metrics_write(&page, snapshot);
    assert_false(page.has_failed);
    bool is_there = memmem(page.bytes, page.size, line, strlen(line)) != NULL;
    if (is_there != does)
        fail_msg("%s: %.*s", line, (int)page.size, page.bytes);
    sfl_admin_page_deinit(&page);
}

static void what_no_named_group_has_is_the_others(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    snapshot.survey.all = (struct sfl_stats){.calls_led = 7, .bytes_now = 3};
    assert_says(&snapshot, "\nsingleflight_calls_total{group=\"a\",role=\"leader\"} 2\n", true);
    assert_says(&snapshot, "\nsingleflight_calls_total{group=\"other\",role=\"leader\"} 5\n", true);
    // Bytes that were given back since the group was asked.
    assert_says(&snapshot, "\nsingleflight_held_bytes{group=\"other\"} 0\n", true);
}

static void without_named_groups_there_is_no_label(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    snapshot.group_count = 0;
    snapshot.survey.all.flights_now = 4;
    assert_says(&snapshot, "\nsingleflight_flights 4\n", true);
    assert_says(&snapshot, "group=", false);
}

static void without_a_data_directory_there_is_no_store(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    assert_says(&snapshot, "singleflight_store_failing 0\n", true);
    snapshot.has_store = false;
    assert_says(&snapshot, "store", false);
}

static void what_is_denied_is_told_by_why(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    snapshot.denied[SFL_AUTH_NOBODY] = 3;
    snapshot.rights.read_unix_ms = 1500;
    assert_says(&snapshot, "\nsingleflight_auth_denied_total{reason=\"nobody\"} 3\n", true);
    assert_says(&snapshot, "\nsingleflight_auth_denied_total{reason=\"revoked\"} 0\n", true);
    assert_says(&snapshot,
                "\nsingleflight_config_last_reload_timestamp_seconds{files=\"rights\"} 1.5\n",
                true);
    snapshot.rights.is_in_use = false;
    assert_says(&snapshot, "auth_denied", false);
    assert_says(&snapshot, "{files=\"rights\"}", false);
    assert_says(&snapshot, "config_reloads_total{files=\"tls\"} 0\n", true);
}

static void without_tls_and_traces_nothing_is_said_of_them(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    snapshot.tls.not_after_unix_s = 1800000000;
    assert_says(&snapshot,
                "\nsingleflight_tls_certificate_not_after_timestamp_seconds 1800000000\n", true);
    snapshot.tls.files.is_in_use = false;
    snapshot.traces.is_in_use = false;
    assert_says(&snapshot, "tls", false);
    assert_says(&snapshot, "traces", false);
}

static void rpcs_are_told_by_method_and_code(void **state)
{
    static const char *const lines[] = {
        "\ngrpc_server_started_total{grpc_service=\"singleflight.v1.SingleFlight\","
        "grpc_method=\"Do\"} 4\n",
        "\ngrpc_server_handled_total{grpc_service=\"singleflight.v1.SingleFlight\","
        "grpc_method=\"Do\",grpc_code=\"OK\"} 2\n",
        "\ngrpc_server_handled_total{grpc_service=\"singleflight.v1.SingleFlight\","
        "grpc_method=\"Do\",grpc_code=\"Unavailable\"} 1\n",
        "\ngrpc_server_started_total{grpc_service=\"unknown\",grpc_method=\"unknown\"} 5\n",
    };
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_says(&snapshot, lines[i], true);
    assert_says(&snapshot, "DataLoss", false); // which has not happened
}

static void each_pump_has_its_line(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    assert_says(&snapshot, "\nsingleflight_pump_turns_total{pump=\"0\"} 6\n", true);
    assert_says(&snapshot, "\nsingleflight_pump_turns_total{pump=\"1\"} 7\n", true);
    assert_says(&snapshot, "pump=\"2\"", false);
}

static void a_limit_and_a_loss_are_named_in_small_letters(void **state)
{
    struct sfl_snapshot snapshot = all_there_is();
    (void)state;
    snapshot.survey.tally.refused[SFL_REASON_FLIGHTS_LIMIT] = 3;
    snapshot.survey.tally.losses[SFL_LOSS_RUN_LIMIT] = 4;
    assert_says(&snapshot, "\nsingleflight_refused_total{limit=\"flights\"} 3\n", true);
    assert_says(&snapshot, "\nsingleflight_refused_total{limit=\"flights_quota\"} 0\n", true);
    assert_says(&snapshot, "\nsingleflight_leader_losses_total{reason=\"run_limit\"} 4\n", true);
}

static int print_document(void)
{
    struct sfl_admin_page page;
    write_document(&page);
    fwrite(head, 1, sizeof(head) - 1, stdout);
    fwrite(page.bytes, 1, page.size, stdout);
    sfl_admin_page_deinit(&page);
    return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_is_what_the_lists_say),
        cmocka_unit_test(what_no_named_group_has_is_the_others),
        cmocka_unit_test(without_named_groups_there_is_no_label),
        cmocka_unit_test(without_a_data_directory_there_is_no_store),
        cmocka_unit_test(without_tls_and_traces_nothing_is_said_of_them),
        cmocka_unit_test(what_is_denied_is_told_by_why),
        cmocka_unit_test(rpcs_are_told_by_method_and_code),
        cmocka_unit_test(each_pump_has_its_line),
        cmocka_unit_test(a_limit_and_a_loss_are_named_in_small_letters),
    };
    if (argc == 2 && strcmp(argv[1], "--print") == 0)
        return print_document();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
