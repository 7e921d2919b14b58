// SPDX-License-Identifier: Apache-2.0
// Settings from flags, environment and file, through the one function that main.c calls.
#include "config/settings.h"
#include "support/config_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

static void with_nothing_given_the_defaults_hold(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, ""));
    const struct sfl_settings *settings = &run->settings;
    assert_int_equal(settings->listen.count, 1);
    assert_string_equal(settings->listen.items[0], "127.0.0.1:7433");
    assert_null(settings->unix_socket);
    assert_null(settings->data_dir);
    assert_int_equal(settings->drain_time_ms, 20000);
    assert_int_equal(settings->keepalive_time_ms, 5000);
    assert_int_equal(settings->keepalive_timeout_ms, 5000);
    assert_int_equal(settings->coordinator, SFL_SETTINGS_COORDINATOR_STANDALONE);
    assert_int_equal(settings->result_bytes_max, 64 << 20);
    assert_int_equal(settings->held_bytes_max, 1 << 30);
    assert_int_equal(settings->retained_bytes_max, 768 << 20);
    assert_int_equal(settings->message_bytes_max, 4 << 20);
    assert_int_equal(settings->connection_bytes_max, 256 << 20);
    assert_int_equal(settings->key_bytes_max, 1024);
    assert_int_equal(settings->group_bytes_max, 128);
    assert_int_equal(settings->flights_max, 1000000);
    assert_int_equal(settings->callers_max, 1000000);
    assert_int_equal(settings->connection_callers_max, 100000);
    assert_int_equal(settings->connection_streams_max, 101000);
    assert_int_equal(settings->first_message_ms, 30000);
    assert_true(settings->connections_max > 0);
    assert_int_equal(settings->address_connections_max,
                     (settings->connections_max * (uint64_t)3 + 3) / 4);
    assert_int_equal(settings->retain_ms_max, 7 * 24 * 3600 * 1000);
    assert_int_equal(settings->lease_ms_min, 1000);
    assert_int_equal(settings->lease_ms_max, 600000);
    assert_int_equal(settings->run_ms_max, 24 * 3600 * 1000);
    assert_int_equal(settings->log_level, SFL_LOG_INFO);
    assert_int_equal(settings->log_format, SFL_LOG_LOGFMT);
    assert_string_equal(run->err, "");
    assert_string_equal(run->out, "");
}

static void automatic_values_are_worked_out(void **state)
{
    struct config_run *run = *state;
    long pumps = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    assert_true(config_run_flags(run, ""));
    assert_int_equal(run->settings.pumps, pumps > 4 ? 4 : pumps < 1 ? 1 : pumps);
    assert_true(run->settings.shards >= 16);
    assert_int_equal(run->settings.shards & (run->settings.shards - 1), 0);

    assert_true(config_run_flags(run, "--pumps 5 --held-limit 4GiB"));
    assert_int_equal(run->settings.pumps, 5);
    assert_int_equal(run->settings.shards, 128);
    assert_int_equal(run->settings.retained_bytes_max, (uint64_t)3 << 30);

    assert_true(config_run_flags(run, "--shards 1 --retained-limit 1MiB"));
    assert_int_equal(run->settings.shards, 1);
    assert_int_equal(run->settings.retained_bytes_max, 1 << 20);
}

static void flags_take_both_spellings_and_the_last_one_wins(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, "--drain-time=3s --pumps 2 --drain-time 4s --pumps=3"));
    assert_int_equal(run->settings.drain_time_ms, 4000);
    assert_int_equal(run->settings.pumps, 3);
}

static void listen_is_a_list(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, "--listen 127.0.0.1:1,[::1]:2 --listen=localhost:0"));
    assert_int_equal(run->settings.listen.count, 3);
    assert_string_equal(run->settings.listen.items[0], "127.0.0.1:1");
    assert_string_equal(run->settings.listen.items[1], "[::1]:2");
    assert_string_equal(run->settings.listen.items[2], "localhost:0");
}

static void listen_none_leaves_the_unix_socket_alone(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, "--listen none --unix-socket /run/s.sock"));
    assert_int_equal(run->settings.listen.count, 0);
    assert_string_equal(run->settings.unix_socket, "/run/s.sock");

    config_run_expect_error(run, "--listen none", SFL_EXIT_CONFIG, "unix-socket is not set");
    config_run_expect_error(run, "--listen none,[::]:1 --unix-socket /s", SFL_EXIT_CONFIG,
                            "must stand alone");
}

static void a_switch_is_a_yes_by_itself_or_says_what_it_is(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, ""));
    assert_false(run->settings.insecure_listen);
    assert_true(config_run_flags(run, "--insecure-listen --pumps 1"));
    assert_true(run->settings.insecure_listen);
    assert_true(config_run_flags(run, "--insecure-listen --insecure-listen=no"));
    assert_false(run->settings.insecure_listen);
    config_run_expect_error(run, "--insecure-listen=maybe", SFL_EXIT_USAGE, "takes yes or no");
    config_run_environment(run, "SINGLEFLIGHTD_INSECURE_LISTEN=true");
    assert_true(config_run_flags(run, ""));
    assert_true(run->settings.insecure_listen);
}

static void an_address_for_others_needs_tls_and_a_way_to_know_them(void **state)
{
    struct config_run *run = *state;
    static const char *const refused[] = {
        "--listen 0.0.0.0:1",
        "--listen [::]:1",
        "--listen 127.0.0.1:1,10.0.0.5:1",
        "--listen localhost.example:1",
        "--listen 0.0.0.0:1 --token-file /t",
        "--listen 0.0.0.0:1 --access-file /a --tls-cert /c --tls-key /k",
        ("--listen 0.0.0.0:1 --tls-cert /c --tls-key /k --tls-client-ca /a --tls-client-auth "
         "optional"),
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        config_run_expect_error(run, refused[i], SFL_EXIT_CONFIG, "or give --insecure-listen");
    static const char *const taken[] = {
        "--listen 127.9.9.9:1,[::1]:1,localhost:1,[::ffff:127.0.0.1]:1",
        "--listen 0.0.0.0:1 --insecure-listen",
        "--listen 0.0.0.0:1 --tls-cert /c --tls-key /k --token-file /t",
        "--listen 0.0.0.0:1 --tls-cert /c --tls-key /k --tls-client-ca /a",
        ("--listen 0.0.0.0:1 --tls-cert /c --tls-key /k --tls-client-ca /a --tls-client-auth "
         "optional --access-file /x"),
        "--listen none --unix-socket /run/s.sock",
    };
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        assert_true(config_run_flags(run, taken[i]));
}

static void half_of_tls_is_refused(void **state)
{
    struct config_run *run = *state;
    config_run_expect_error(run, "--tls-cert /c", SFL_EXIT_CONFIG, "without tls-key");
    config_run_expect_error(run, "--tls-key /k", SFL_EXIT_CONFIG, "without tls-cert");
    config_run_expect_error(run, "--tls-client-ca /a", SFL_EXIT_CONFIG, "set all three");
    config_run_expect_error(run, "--tls-cert /c --tls-key /k --tls-client-auth optional",
                            SFL_EXIT_CONFIG, "without tls-client-ca");
    config_run_expect_error(run, "--tls-client-auth no", SFL_EXIT_USAGE, "require or optional");
}

static void groups_with_metrics_of_their_own_are_named_once(void **state)
{
    struct config_run *run = *state;
    assert_true(config_run_flags(run, "--admin-listen 127.0.0.1:0 --metrics-groups a,b-1"));
    assert_string_equal(run->settings.admin_listen, "127.0.0.1:0");
    assert_int_equal(run->settings.metrics_groups.count, 2);
    assert_true(config_run_flags(run, "--metrics-groups="));
    assert_int_equal(run->settings.metrics_groups.count, 0);
    assert_null(run->settings.admin_listen);

    config_run_expect_error(run, "--metrics-groups a,b,a", SFL_EXIT_CONFIG, "names a twice");
    config_run_expect_error(run, "--metrics-groups a,other", SFL_EXIT_USAGE, "not named");
    config_run_expect_error(run, "--metrics-groups {", SFL_EXIT_USAGE, "is no group");
    config_run_expect_error(run, "--admin-listen none", SFL_EXIT_USAGE, "HOST:PORT");
}

static void the_environment_gives_settings(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_DRAIN_TIME=1m");
    config_run_environment(run, "SINGLEFLIGHTD_LISTEN=127.0.0.1:1, 127.0.0.1:2");
    config_run_environment(run, "SINGLEFLIGHTD_LOG_FORMAT=json");
    config_run_environment(run, "SINGLEFLIGHTD_UNIX_SOCKET="); // empty: not set
    assert_true(config_run_flags(run, ""));
    assert_int_equal(run->settings.drain_time_ms, 60000);
    assert_int_equal(run->settings.listen.count, 2);
    assert_string_equal(run->settings.listen.items[1], "127.0.0.1:2");
    assert_int_equal(run->settings.log_format, SFL_LOG_JSON);
    assert_null(run->settings.unix_socket);
}

static void the_file_gives_settings(void **state)
{
    struct config_run *run = *state;
    config_run_file(run, "; a comment\n"
                         "# another\n"
                         "\n"
                         "drain-time = 7s ; why\n"
                         "pumps=3 \t# why\n"
                         "   result-limit=1MiB\r\n"
                         "listen = 127.0.0.1:1, 127.0.0.1:2\n"
                         "\tlisten = 127.0.0.1:3\n"
                         "data-dir = /var/lib/with space\n"
                         "unix-socket =\n"
                         "log-level = debug"); // and no end of line
    assert_true(config_run_flags(run, ""));
    assert_int_equal(run->settings.drain_time_ms, 7000);
    assert_int_equal(run->settings.result_bytes_max, 1 << 20);
    assert_int_equal(run->settings.listen.count, 3);
    assert_string_equal(run->settings.listen.items[2], "127.0.0.1:3");
    assert_string_equal(run->settings.data_dir, "/var/lib/with space");
    assert_int_equal(run->settings.pumps, 3);
    assert_null(run->settings.unix_socket);
    assert_int_equal(run->settings.log_level, SFL_LOG_DEBUG);
}

static void flags_come_before_environment_before_file_before_default(void **state)
{
    struct config_run *run = *state;
    config_run_file(run, "drain-time = 1s\nlease-min = 2s\nrun-limit = 3s\n"
                         "listen = 127.0.0.1:1\nlisten = 127.0.0.1:2\n");
    config_run_environment(run, "SINGLEFLIGHTD_DRAIN_TIME=4s");
    config_run_environment(run, "SINGLEFLIGHTD_LEASE_MIN=5s");
    assert_true(config_run_flags(run, "--drain-time 6s --listen 127.0.0.1:9"));
    assert_int_equal(run->settings.drain_time_ms, 6000);
    assert_int_equal(run->settings.lease_ms_min, 5000);
    assert_int_equal(run->settings.run_ms_max, 3000);
    assert_int_equal(run->settings.lease_ms_max, 600000);
    // A list is replaced as a whole, not added to.
    assert_int_equal(run->settings.listen.count, 1);
    assert_string_equal(run->settings.listen.items[0], "127.0.0.1:9");
}

static void an_empty_flag_takes_a_path_back(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_DATA_DIR=/var/lib/x");
    assert_true(config_run_flags(run, ""));
    assert_string_equal(run->settings.data_dir, "/var/lib/x");
    assert_true(config_run_flags(run, "--data-dir="));
    assert_null(run->settings.data_dir);
}

static void wrong_usage_exits_64_and_says_what_would_be_right(void **state)
{
    struct config_run *run = *state;
    static const struct {
        const char *flags;
        const char *message;
    } cases[] = {
        {"--drain-time 5", "--drain-time \"5\" needs a unit: ms, s, m, h or d"},
        {"--drain-time -5s", "--drain-time \"-5s\" must not be negative"},
        {"--drain-time=", "--drain-time \"\" is empty"},
        {"--drain-time 2d", "--drain-time \"2d\" is out of bounds; it takes 0 to 1d"},
        {"--pumps 65", "--pumps \"65\" is out of bounds; it takes 1 to 64, or 0 (automatic"},
        {"--pumps 2KiB", "--pumps \"2KiB\" must be a whole number without a unit"},
        {"--pumps=-1", "--pumps \"-1\" must be a whole number"},
        {"--pumps=", "--pumps \"\" must be a whole number"},
        {"--callers-limit 4294967297", "it takes 1 to 100000000"},
        {"--callers-limit 0", "it takes 1 to 100000000"},
        {"--result-limit 64MB", "--result-limit \"64MB\" has an unknown unit"},
        {"--message-limit 64KiB", "it takes 256KiB to 1GiB"},
        {"--lease-min 999ms", "it takes 1s to 1d"},
        {"--log-level loud", "--log-level \"loud\" is not known; it takes error, warn, info or"},
        {"--coordinator etcd", "--coordinator \"etcd\" is not known; it takes standalone"},
        {"--listen 7433", "--listen \"7433\" must be HOST:PORT, such as"},
        {"--listen :7433", "must be HOST:PORT"},
        {"--listen host:", "must be HOST:PORT"},
        {"--listen host:65536", "from 0 to 65535"},
        {"--listen host:123456", "from 0 to 65535"},
        {"--listen host:12x", "must be HOST:PORT"},
        {"--listen ::1:7433", "[::1]:7433"},
        {"--listen []:7433", "must be HOST:PORT"},
        {"--listen http://host:1", "must be HOST:PORT"},
        {"--listen a:1,,b:2", "has an empty item"},
        {"--listen a:1,", "has an empty item"},
        {"--no-such 1", "--no-such is not a flag\n"},
        {"--drian-time=5s", "--drian-time is not a flag; is --drain-time meant?"},
        {"--check-confg", "--check-confg is not a flag; is --check-config meant?"},
        {"--drain 5s", "--drain is not a flag; is --drain-time meant?"},
        {"--drain=5s", "--drain is not a flag; is --drain-time meant?"},
        {"--lease 5s", "--lease is not a flag"}, // more than one name begins so
        {"-x", "-x is not a flag"},
        {"--pumps", "--pumps needs a value: NUMBER"},
        {"--config", "--config needs a value: FILE"},
        {"--help=yes", "--help takes no value"},
        {"start", "\"start\" is not expected"},
        {"--pumps 2 start --pumps 3", "\"start\" is not expected"},
        {"-- start", "\"start\" is not expected"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        config_run_expect_error(run, cases[i].flags, SFL_EXIT_USAGE, cases[i].message);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
    struct config_run *run = *state;
    char flags[160] = "--unix-socket /";
    size_t size = strlen(flags);
    memset(flags + size, 'x', 106);
    assert_true(config_run_flags(run, flags));
    assert_int_equal(strlen(run->settings.unix_socket), 107);
    flags[size + 106] = 'x';
    config_run_expect_error(run, flags, SFL_EXIT_USAGE, "longer than the 107 bytes");
}

static void a_wrong_environment_exits_78_and_names_the_variable(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_DRAIN_TIME=soon");
    config_run_expect_error(run, "", SFL_EXIT_CONFIG,
                            "SINGLEFLIGHTD_DRAIN_TIME \"soon\" does not begin with a number");
    // A flag that comes before it does not make it right.
    config_run_expect_error(run, "--drain-time 1s", SFL_EXIT_CONFIG, "SINGLEFLIGHTD_DRAIN_TIME");
}

static void a_wrong_file_exits_78_and_names_the_line(void **state)
{
    struct config_run *run = *state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"\n\ndrain-tim = 5s\n", ":3: \"drain-tim\" is not a setting; is drain-time meant?"},
        {"retained-limt = 5s\n", "\"retained-limt\" is not a setting; is retained-limit meant?"},
        {"help = 1\n", ":1: \"help\" is not a setting"},
        {"Pumps = 1\n", ":1: \"Pumps\" is not a setting"},
        {"pumps = 1\ndrain-time = 5\n", ":2: drain-time \"5\" needs a unit"},
        {"pumps = 1\n\npumps = 2\n", ":3: pumps stands here again; it was set on line 1"},
        {"pumps = 1\njust words\n", ":2: is not \"name = value\""},
        {"[server]\npumps = 1\n", ":2: the file has no [sections], and here is one: [server]"},
        {"pumps = 1\n[server\n", ":2: is not \"name = value\""},
        {"pumps =\n", ":1: pumps \"\" must be a whole number"},
        {"listen = a:1\nlisten = b\n", ":2: listen \"b\" must be HOST:PORT"},
        {"pumps = 1#two\n", ":1: pumps \"1#two\" must be a whole number"},
        {"log-level = \x1b[2Jred\n", ":1: log-level \"\\x1b[2Jred\" is not known"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        config_run_file(run, cases[i].text);
        config_run_expect_error(run, "", SFL_EXIT_CONFIG, cases[i].message);
        assert_non_null(strstr(run->err, run->path));
    }
}

static void a_file_with_bytes_that_are_no_text_is_refused(void **state)
{
    struct config_run *run = *state;
    static const char with_nul[] = "pumps = 1\nlog-level = in\0fo\n";
    config_run_file_bytes(run, with_nul, sizeof(with_nul) - 1);
    config_run_expect_error(run, "", SFL_EXIT_CONFIG, ":2: has a NUL byte");

    char line[400];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    memcpy(line, "data-dir = ", strlen("data-dir = "));
    config_run_file(run, line);
    config_run_expect_error(run, "", SFL_EXIT_CONFIG, ":1: is longer than");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct config_run *run = *state;
    config_run_expect_error(run, "--config /no/such/file", SFL_EXIT_CONFIG,
                            "cannot read the config file /no/such/file: No such file");
    config_run_expect_error(run, "--config /", SFL_EXIT_CONFIG, "cannot read the config file /: ");
}

static void the_environment_may_name_the_file(void **state)
{
    struct config_run *run = *state;
    config_run_environment(run, "SINGLEFLIGHTD_CONFIG=/no/such/file");
    config_run_expect_error(run, "", SFL_EXIT_CONFIG, "/no/such/file");
    config_run_file(run, "pumps = 7\n"); // given by the flag, which comes first
    assert_true(config_run_flags(run, ""));
    assert_int_equal(run->settings.pumps, 7);
}

static void settings_that_clash_exit_78_and_name_both(void **state)
{
    struct config_run *run = *state;
    config_run_expect_error(run, "--result-limit 2GiB", SFL_EXIT_CONFIG,
                            "result-limit 2GiB is more than held-limit 1GiB; lower the one");
    config_run_expect_error(run, "--retained-limit 2GiB", SFL_EXIT_CONFIG,
                            "retained-limit 2GiB is more than held-limit 1GiB");
    config_run_expect_error(run, "--lease-min 11m", SFL_EXIT_CONFIG,
                            "lease-min 11m is more than lease-max 10m");
    config_run_expect_error(run, "--shards 48", SFL_EXIT_CONFIG,
                            "shards 48 is not a power of two; take 32 or 64");
    assert_true(config_run_flags(run, "--result-limit 2GiB --held-limit 2GiB"));
    assert_true(config_run_flags(run, "--lease-min 10m"));
}

static void deinit_of_zeroed_settings_is_harmless(void **state)
{
    (void)state;
    struct sfl_settings settings = {.listen = {NULL, 0}};
    sfl_settings_deinit(&settings);
    sfl_settings_deinit(&settings);
    assert_null(settings.listen.items);
}

#define WITH_RUN(test) cmocka_unit_test_setup_teardown(test, config_run_setup, config_run_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RUN(with_nothing_given_the_defaults_hold),
        WITH_RUN(automatic_values_are_worked_out),
        WITH_RUN(flags_take_both_spellings_and_the_last_one_wins),
        WITH_RUN(listen_is_a_list),
        WITH_RUN(listen_none_leaves_the_unix_socket_alone),
        WITH_RUN(a_switch_is_a_yes_by_itself_or_says_what_it_is),
        WITH_RUN(an_address_for_others_needs_tls_and_a_way_to_know_them),
        WITH_RUN(half_of_tls_is_refused),
        WITH_RUN(groups_with_metrics_of_their_own_are_named_once),
        WITH_RUN(the_environment_gives_settings),
        WITH_RUN(the_file_gives_settings),
        WITH_RUN(flags_come_before_environment_before_file_before_default),
        WITH_RUN(an_empty_flag_takes_a_path_back),
        WITH_RUN(wrong_usage_exits_64_and_says_what_would_be_right),
        WITH_RUN(a_path_that_no_socket_can_have_is_refused),
        WITH_RUN(a_wrong_environment_exits_78_and_names_the_variable),
        WITH_RUN(a_wrong_file_exits_78_and_names_the_line),
        WITH_RUN(a_file_with_bytes_that_are_no_text_is_refused),
        WITH_RUN(a_file_that_cannot_be_read_is_an_error),
        WITH_RUN(the_environment_may_name_the_file),
        WITH_RUN(settings_that_clash_exit_78_and_name_both),
        cmocka_unit_test(deinit_of_zeroed_settings_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
