// SPDX-License-Identifier: Apache-2.0
// What the table of settings prints, and that what it prints can be read back.
#include "config/settings.h"
#include "config/table.h"
#include "support/config_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A run that only prints: exit 0, and nothing said about errors.
static const char *print(struct config_run *run, const char *flags)
{
    assert_false(config_run_flags(run, flags));
    assert_int_equal(run->exit_code, 0);
    assert_string_equal(run->err, "");
    return run->out;
}

static void help_names_every_setting_with_its_default(void **state)
{
    struct config_run *run = *state;
    const char *help = print(run, "--help");
    for (size_t i = 0; i < sfl_setting_count; i++) {
        char expected[128];
        const char *between = sfl_setting_table[i].type == SFL_SETTING_SWITCH ? "[=" : " ";
        snprintf(expected, sizeof(expected), "\n  --%s%s%s", sfl_setting_table[i].name, between,
                 sfl_setting_table[i].argument);
        const char *entry = strstr(help, expected);
        assert_non_null(entry);
        snprintf(expected, sizeof(expected), "Default: %s.",
                 sfl_setting_table[i].fallback[0] ? sfl_setting_table[i].fallback : "none");
        const char *fallback = strstr(entry, expected);
        assert_non_null(fallback);
        assert_true(fallback < strstr(entry + 1, "\n  --")); // its own, not the next one's
    }
}

static void help_fits_a_terminal(void **state)
{
    struct config_run *run = *state;
    for (const char *line = print(run, "-h"); *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
}

static void help_needs_nothing_else_to_be_right(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_PUMPS=wrong");
    print(run, "--pumps wrong --help --no-such-flag");
}

static void version_tells_release_revision_and_library(void **state)
{
    struct config_run *run = *state;
    char release[32] = "";
    char revision[80] = "";
    char library[32] = "";
    int end = 0;
    sscanf(print(run, "--version"),
           "singleflightd %31[0-9.] (git %79[0-9a-z-])\ngRPC %31[a-z0-9., ]\n%n", release, revision,
           library, &end);
    assert_int_equal(end, strlen(run->out));
    assert_true(strlen(release) >= 5 && strlen(revision) >= 7);
    assert_true(strstr(library, ", shared") != NULL || strstr(library, ", static") != NULL);
    char first[256];
    snprintf(first, sizeof(first), "%s", run->out);
    assert_string_equal(print(run, "-V"), first);
}

static void check_config_tells_where_each_setting_comes_from(void **state)
{
    struct config_run *run = *state;
    config_run_file(run, "# one\npumps = 3\nlisten = a:1\nlisten = b:2\n"
                         "insecure-listen = yes\n");
    config_run_environment(run, "SINGLEFLIGHTD_LOG_LEVEL=debug");
    const char *text = print(run, "--drain-time 90s --check-config --result-limit 1048576");
    assert_non_null(strstr(text, "\ndrain-time = 90s ; --drain-time\n"));
    assert_non_null(strstr(text, "\nresult-limit = 1MiB ; --result-limit\n"));
    assert_non_null(strstr(text, "\nlog-level = debug ; SINGLEFLIGHTD_LOG_LEVEL\n"));
    assert_non_null(strstr(text, "\nlease-max = 10m ; default\n"));
    assert_non_null(strstr(text, "\nshards = 0 ; default, automatic: 64\n"));
    char expected[128];
    snprintf(expected, sizeof(expected), "\npumps = 3 ; %s:2\n", run->path);
    assert_non_null(strstr(text, expected));
    snprintf(expected, sizeof(expected), "\nlisten = a:1, b:2 ; %s:4\n", run->path);
    assert_non_null(strstr(text, expected));
}

static void check_config_fails_as_a_start_would(void **state)
{
    struct config_run *run = *state;
    config_run_expect_error(run, "--check-config --result-limit 2GiB", SFL_EXIT_CONFIG,
                            "result-limit 2GiB is more than");
    config_run_expect_error(run, "--check-config --pumps x", SFL_EXIT_USAGE, "--pumps \"x\"");
    config_run_file(run, "nonsense = 1\n");
    config_run_expect_error(run, "--check-config", SFL_EXIT_CONFIG, ":1: \"nonsense\"");
    assert_string_equal(run->out, "");
}

static void check_config_mentions_variables_that_are_no_settings(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_DRIAN_TIME=1s");
    config_run_environment(run, "SINGLEFLIGHTD_PUMPS=2");
    // What Kubernetes adds for a Service called singleflightd.
    config_run_environment(run, "SINGLEFLIGHTD_PORT=tcp://10.0.0.1:7433");
    config_run_environment(run, "SINGLEFLIGHTD_PORT_7433_TCP_ADDR=10.0.0.1");
    config_run_environment(run, "SINGLEFLIGHTD_SERVICE_HOST=10.0.0.1");
    assert_false(config_run_flags(run, "--check-config"));
    assert_int_equal(run->exit_code, 0);
    assert_string_equal(run->err, "singleflightd: SINGLEFLIGHTD_DRIAN_TIME is not a setting and is "
                                  "ignored; is SINGLEFLIGHTD_DRAIN_TIME meant?\n");
    assert_true(config_run_flags(run, ""));
    assert_string_equal(run->err, "");
}

// The text without what stands behind each value.
static void strip_sources(char *text)
{
    char *to = text;
    for (char *from = text; *from != '\0';) {
        bool is_source = strncmp(from, " ; ", 3) == 0;
        if (is_source)
            from += strcspn(from, "\n");
        else
            *to++ = *from++;
    }
    *to = '\0';
}

static void settings_in_force_read_back_as_a_file(void **state)
{
    struct config_run *run = *state;
    char *first = strdup(print(run, "--check-config --listen a:1,b:2 --drain-time 1500ms "
                                    "--insecure-listen "
                                    "--data-dir /d --log-format json --held-limit 3GiB"));
    config_run_file(run, first);
    char *second = strdup(print(run, "--check-config"));
    strip_sources(first);
    strip_sources(second);
    assert_non_null(strstr(first, "\ndata-dir = /d\n"));
    assert_string_equal(second, first);
    free(first);
    free(second);
}

static void the_sample_is_all_comments(void **state)
{
    struct config_run *run = *state;
    for (const char *line = print(run, "--print-sample-config"); *line != '\0';
         line += strcspn(line, "\n") + 1)
        assert_true(line[0] == ';' || line[0] == '\n');
}

static void the_sample_uncommented_is_the_defaults(void **state)
{
    struct config_run *run = *state;
    char *defaults = strdup(print(run, "--check-config"));
    char *sample = strdup(print(run, "--print-sample-config"));
    size_t uncommented = 0;
    for (char *line = sample; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (line[0] == ';' && line[1] >= 'a' && line[1] <= 'z') {
            line[0] = ' ';
            uncommented++;
        }
    }
    assert_int_equal(uncommented, sfl_setting_count);
    config_run_file(run, sample);
    char *read_back = strdup(print(run, "--check-config"));
    assert_null(strstr(read_back, "; default"));
    strip_sources(defaults);
    strip_sources(read_back);
    assert_string_equal(read_back, defaults);
    free(defaults);
    free(sample);
    free(read_back);
}

static void the_man_page_names_every_setting(void **state)
{
    struct config_run *run = *state;
    const char *page = print(run, "--print-man-page");
    for (size_t i = 0; i < sfl_setting_count; i++) {
        char expected[128];
        const char *between = sfl_setting_table[i].type == SFL_SETTING_SWITCH ? "Ns Op = Ns " : "";
        snprintf(expected, sizeof(expected), "\n.It Fl Fl %s %sAr %s\n", sfl_setting_table[i].name,
                 between, sfl_setting_table[i].argument);
        assert_non_null(strstr(page, expected));
    }
}

static void the_man_page_has_nothing_that_mandoc_objects_to(void **state)
{
    struct config_run *run = *state;
    print(run, "--print-man-page");
    config_run_file(run, run->out);
    char command[256];
    // The page of the command-line tool, to which it refers, need not be installed here.
    snprintf(command, sizeof(command),
             "mandoc -Tlint -W style '%s' | grep -v 'referenced manual not found'", run->path);
    FILE *lint = popen(command, "r");
    assert_non_null(lint);
    char findings[4096];
    size_t size = fread(findings, 1, sizeof(findings) - 1, lint);
    findings[size] = '\0';
    pclose(lint);
    assert_string_equal(findings, "");
    // That nothing was found must not be because nothing was looked at.
    snprintf(command, sizeof(command), "mandoc -Tascii '%s' | grep -q -e 'SINGLEFLIGHTD(8)'",
             run->path);
    assert_int_equal(system(command), 0);
}

#define WITH_RUN(test) cmocka_unit_test_setup_teardown(test, config_run_setup, config_run_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RUN(help_names_every_setting_with_its_default),
        WITH_RUN(help_fits_a_terminal),
        WITH_RUN(help_needs_nothing_else_to_be_right),
        WITH_RUN(version_tells_release_revision_and_library),
        WITH_RUN(check_config_tells_where_each_setting_comes_from),
        WITH_RUN(check_config_fails_as_a_start_would),
        WITH_RUN(check_config_mentions_variables_that_are_no_settings),
        WITH_RUN(settings_in_force_read_back_as_a_file),
        WITH_RUN(the_sample_is_all_comments),
        WITH_RUN(the_sample_uncommented_is_the_defaults),
        WITH_RUN(the_man_page_names_every_setting),
        WITH_RUN(the_man_page_has_nothing_that_mandoc_objects_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
