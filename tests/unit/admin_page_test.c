// SPDX-License-Identifier: Apache-2.0
#include "admin/accept.h"
#include "admin/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void assert_page(struct sfl_admin_page *page, const char *wanted)
{
    sfl_admin_page_end(page);
    assert_false(page->has_failed);
    assert_int_equal(page->size, strlen(wanted));
    assert_memory_equal(page->bytes, wanted, page->size);
    sfl_admin_page_deinit(page);
}

static void write_some(struct sfl_admin_page *page)
{
    struct sfl_labels labels = sfl_labels_with(NULL, "group", "a");
    labels = sfl_labels_with(&labels, "role", "leader");
    sfl_admin_page_family(page, SFL_METRIC_COUNTER, "calls", "Calls.");
    sfl_admin_page_sample(page, &labels, 3);
    sfl_admin_page_family(page, SFL_METRIC_GAUGE, "flights", "Flights.");
    sfl_admin_page_sample(page, NULL, 0.25);
}

static void a_counter_has_its_suffix_everywhere_in_the_text_format(void **state)
{
    struct sfl_admin_page page;
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_TEXT);
    write_some(&page);
    assert_page(&page, "# HELP calls_total Calls.\n"
                       "# TYPE calls_total counter\n"
                       "calls_total{group=\"a\",role=\"leader\"} 3\n"
                       "# HELP flights Flights.\n"
                       "# TYPE flights gauge\n"
                       "flights 0.25\n");
}

static void openmetrics_names_the_family_without_it_and_ends_with_eof(void **state)
{
    struct sfl_admin_page page;
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_OPENMETRICS);
    write_some(&page);
    assert_page(&page, "# HELP calls Calls.\n"
                       "# TYPE calls counter\n"
                       "calls_total{group=\"a\",role=\"leader\"} 3\n"
                       "# HELP flights Flights.\n"
                       "# TYPE flights gauge\n"
                       "flights 0.25\n"
                       "# EOF\n");
}

static void markdown_has_a_row_for_each_family(void **state)
{
    struct sfl_admin_page page;
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_MARKDOWN);
    write_some(&page);
    assert_page(&page, "| `calls_total` | counter | Calls. | `group`, `role` |\n"
                       "| `flights` | gauge | Flights. | |\n");
}

static void write_histogram(struct sfl_admin_page *page)
{
    const uint64_t bounds[] = {1, 1000};
    const uint64_t counts[] = {2, 0, 5};
    const struct sfl_admin_page_histogram histogram = {
        .bounds = bounds, .counts = counts, .bound_count = 2, .sum = 10001, .scale = 0.001};
    sfl_admin_page_family(page, SFL_METRIC_HISTOGRAM, "wait_seconds", "Waits.");
    sfl_admin_page_histogram(page, NULL, &histogram);
}

static void a_histograms_buckets_include_those_below(void **state)
{
    struct sfl_admin_page page;
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_TEXT);
    write_histogram(&page);
    assert_page(&page, "# HELP wait_seconds Waits.\n"
                       "# TYPE wait_seconds histogram\n"
                       "wait_seconds_bucket{le=\"0.001\"} 2\n"
                       "wait_seconds_bucket{le=\"1\"} 2\n"
                       "wait_seconds_bucket{le=\"+Inf\"} 7\n"
                       "wait_seconds_sum 10.001\n"
                       "wait_seconds_count 7\n");
}

static void openmetrics_writes_bounds_as_no_integers(void **state)
{
    struct sfl_admin_page page;
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_OPENMETRICS);
    write_histogram(&page);
    assert_page(&page, "# HELP wait_seconds Waits.\n"
                       "# TYPE wait_seconds histogram\n"
                       "wait_seconds_bucket{le=\"0.001\"} 2\n"
                       "wait_seconds_bucket{le=\"1.0\"} 2\n"
                       "wait_seconds_bucket{le=\"+Inf\"} 7\n"
                       "wait_seconds_sum 10.001\n"
                       "wait_seconds_count 7\n"
                       "# EOF\n");
}

static void what_a_label_may_not_hold_is_escaped(void **state)
{
    struct sfl_admin_page page;
    struct sfl_labels labels = sfl_labels_with(NULL, "group", "a\"b\\c\nd");
    (void)state;
    sfl_admin_page_init(&page, SFL_FORMAT_TEXT);
    sfl_admin_page_family(&page, SFL_METRIC_GAUGE, "flights", "Flights.");
    sfl_admin_page_sample(&page, &labels, 9007199254740991.0);
    assert_page(&page, "# HELP flights Flights.\n"
                       "# TYPE flights gauge\n"
                       "flights{group=\"a\\\"b\\\\c\\nd\"} 9007199254740991\n");
}

static void openmetrics_is_for_who_asks_for_it(void **state)
{
    (void)state;
    assert_int_equal(sfl_accepted_format(NULL), SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format(""), SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format("*/*"), SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format("text/plain"), SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format("application/openmetrics-text"), SFL_FORMAT_OPENMETRICS);
    // What Prometheus 2.42 sends.
    assert_int_equal(sfl_accepted_format("application/openmetrics-text;version=1.0.0,"
                                         "application/openmetrics-text;version=0.0.1;q=0.75,"
                                         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
                     SFL_FORMAT_OPENMETRICS);
}

static void the_greater_weight_wins(void **state)
{
    (void)state;
    assert_int_equal(sfl_accepted_format("text/plain;q=0.9, application/openmetrics-text; q=0.5"),
                     SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format("application/openmetrics-text;q=0, text/html"),
                     SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format("application/openmetrics-text-x"), SFL_FORMAT_TEXT);
    assert_int_equal(sfl_accepted_format(",;q=,;;,application/openmetrics-text;"),
                     SFL_FORMAT_OPENMETRICS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_has_its_suffix_everywhere_in_the_text_format),
        cmocka_unit_test(openmetrics_names_the_family_without_it_and_ends_with_eof),
        cmocka_unit_test(markdown_has_a_row_for_each_family),
        cmocka_unit_test(a_histograms_buckets_include_those_below),
        cmocka_unit_test(openmetrics_writes_bounds_as_no_integers),
        cmocka_unit_test(what_a_label_may_not_hold_is_escaped),
        cmocka_unit_test(openmetrics_is_for_who_asks_for_it),
        cmocka_unit_test(the_greater_weight_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
