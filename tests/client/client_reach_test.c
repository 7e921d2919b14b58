// SPDX-License-Identifier: Apache-2.0
// Servers that are not there, come back, or are several.
#include "asker.h"
#include "base/clock.h"
#include "daemon.h"
#include "src/rendezvous.h"
#include "worker_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// A loopback address on which nobody listens: a port that is taken, but not listened on.
struct nowhere {
    int fd;
    char address[32];
};

static struct nowhere nowhere_open(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);
    struct nowhere nowhere = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(nowhere.fd, (struct sockaddr *)&own, size), 0);
    assert_int_equal(getsockname(nowhere.fd, (struct sockaddr *)&own, &size), 0);
    snprintf(nowhere.address, sizeof(nowhere.address), "127.0.0.1:%d", ntohs(own.sin_port));
    return nowhere;
}

static struct singleflight_client *hasty_client(const char *addresses, bool fail_open)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.connect_timeout_ms = 300;
    options.backoff_min_ms = 5;
    options.backoff_max_ms = 20;
    options.fail_open = fail_open;
    return client_with(addresses, options);
}

static enum singleflight_outcome here(struct singleflight_leader *leader, void *context)
{
    unsigned *runs = context;
    (*runs)++;
    (void)singleflight_leader_write(leader, "here", 4);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void without_a_server_a_do_says_where_it_looked(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct singleflight_client *client = hasty_client(nowhere.address, false);
    struct singleflight_do_options options = options_of("k");
    unsigned runs = 0;
    struct singleflight_result *result;
    for (int i = 0; i < 2; i++) { // the second time it knows
        assert_int_equal(singleflight_do(client, &options, here, &runs, &result),
                         SINGLEFLIGHT_UNAVAILABLE);
        assert_non_null(strstr(result->message, nowhere.address));
        assert_non_null(strstr(result->message, "SINGLEFLIGHT_ADDRESS"));
        singleflight_result_free(result);
    }
    assert_int_equal(runs, 0);
    assert_int_equal(singleflight_forget(client, NULL, "k", 1, false, 50, NULL),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_non_null(strstr(singleflight_last_error(), nowhere.address));
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

static void fail_open_runs_the_function_here(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct singleflight_client *client = hasty_client(nowhere.address, true);
    struct singleflight_do_options options = options_of("k");
    unsigned runs = 0;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
    assert_value(result, "here");
    assert_true(result->failed_open);
    assert_true(result->led);
    assert_int_equal(result->token, 0);
    singleflight_result_free(result);
    options.no_fail_open = true;
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result),
                     SINGLEFLIGHT_UNAVAILABLE);
    singleflight_result_free(result);
    assert_int_equal(runs, 1);
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

// As long as no reader would have.
#define LONG_MS 60000

static struct singleflight_client *patient_client(const char *addresses, bool fail_open)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.connect_timeout_ms = LONG_MS;
    options.fail_open = fail_open;
    return client_with(addresses, options);
}

// A refusal is an answer.
static void fail_open_does_not_wait_for_what_refuses(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    char addresses[128];
    snprintf(addresses, sizeof(addresses), "%s,unix:/nowhere/at/all", nowhere.address);
    struct singleflight_client *client = patient_client(addresses, true);
    struct singleflight_do_options options = options_of("k");
    unsigned runs = 0;
    struct singleflight_result *result;
    uint64_t begun_ms = sfl_clock_now_ms();
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
    assert_in_range(sfl_clock_now_ms() - begun_ms, 0, LONG_MS / 4);
    assert_true(result->failed_open);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

static void a_connect_timeout_of_zero_waits_for_nothing(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct singleflight_client *client = patient_client(nowhere.address, false);
    struct singleflight_do_options options = options_of("k");
    options.connect_timeout_ms = 0;
    unsigned runs = 0;
    struct singleflight_result *result;
    uint64_t begun_ms = sfl_clock_now_ms();
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_in_range(sfl_clock_now_ms() - begun_ms, 0, LONG_MS / 4);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

// Nobody stays long enough to see the connection come: a later call finds it all the same.
static void a_connect_timeout_of_zero_finds_what_an_earlier_call_began(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    struct singleflight_client_options hasty = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    hasty.connect_timeout_ms = 0;
    struct singleflight_client *client = client_with(daemon.address, hasty);
    struct singleflight_do_options options = options_of("k");
    unsigned runs = 0;
    enum singleflight_status status = SINGLEFLIGHT_UNAVAILABLE;
    uint64_t until_ms = sfl_clock_now_ms() + PATIENCE_MS;
    while (status == SINGLEFLIGHT_UNAVAILABLE && sfl_clock_now_ms() < until_ms)
        status = singleflight_do(client, &options, here, &runs, NULL);
    assert_int_equal(status, SINGLEFLIGHT_OK);
    assert_int_equal(runs, 1);
    singleflight_client_destroy(client);
    daemon_end(&daemon, SIGTERM);
}

// The wait of a call that takes only what is there counts as silence like any other.
static void a_frozen_server_is_down_for_who_does_not_wait_too(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    struct singleflight_client *client = hasty_client(daemon.address, false);
    struct singleflight_do_options options = options_of("k");
    unsigned runs = 0;
    assert_int_equal(singleflight_do(client, &options, here, &runs, NULL), SINGLEFLIGHT_OK);
    int stopped = 0;
    kill(daemon.pid, SIGSTOP);
    assert_int_equal(waitpid(daemon.pid, &stopped, WUNTRACED), daemon.pid);
    options.connect_timeout_ms = 0;
    assert_int_equal(singleflight_do(client, &options, here, &runs, NULL),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_non_null(strstr(singleflight_last_error(), "does not answer"));
    options.fail_open = true; // no server is left: at once
    options.connect_timeout_ms = LONG_MS;
    uint64_t begun_ms = sfl_clock_now_ms();
    assert_int_equal(singleflight_do(client, &options, here, &runs, NULL), SINGLEFLIGHT_OK);
    assert_in_range(sfl_clock_now_ms() - begun_ms, 0, LONG_MS / 4);
    kill(daemon.pid, SIGCONT);
    singleflight_client_destroy(client);
    daemon_end(&daemon, SIGTERM);
}

#define THREADS 8

static void calls_that_fail_open_are_still_merged(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct singleflight_client *client = hasty_client(nowhere.address, true);
    struct singleflight_do_options options = options_of("k");
    options.audience = true;
    struct gate gate = GATE_INIT;
    struct asker askers[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        asker_start(&askers[i], client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    struct singleflight_audience audience = {0};
    for (int i = 0; i < PATIENCE_MS && audience.followers < THREADS - 1; i++) {
        (void)singleflight_leader_audience(gate.leader, &audience);
        assert_int_equal(singleflight_leader_wait_lost(gate.leader, 1), SINGLEFLIGHT_OK);
    }
    gate_open(&gate);
    for (size_t i = 0; i < THREADS; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_value(result, "value");
        assert_true(result->shared);
        assert_true(result->failed_open);
        singleflight_result_free(result);
    }
    assert_int_equal(gate.runs, 1);
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

static void a_deadline_holds_also_without_a_server(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct singleflight_client *client = client_of(nowhere.address);
    struct singleflight_do_options options = options_of("k");
    options.timeout_ms = 30;
    unsigned runs = 0;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result),
                     SINGLEFLIGHT_DEADLINE_EXCEEDED);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    close(nowhere.fd);
}

static void a_call_waits_for_a_server_that_comes(void **state)
{
    (void)state;
    struct nowhere nowhere = nowhere_open();
    struct process worker = worker_start(nowhere.address, "comes", "connect_timeout_ms=60000");
    close(nowhere.fd);
    struct test_daemon daemon = daemon_start(nowhere.address);
    worker_expect_lead(&worker, 1);
    worker_tell(&worker, "ok");
    assert_string_equal(worker_expect_done(&worker).status, "OK");
    worker_quit(&worker);
    daemon_end(&daemon, SIGTERM);
}

// A frozen server keeps its connections open and says nothing.
static void a_frozen_server_counts_as_unreachable_until_it_thaws(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    struct singleflight_client *client = hasty_client(daemon.address, true);
    struct singleflight_do_options options = options_of("frozen");
    unsigned runs = 0;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
    assert_false(result->failed_open);
    singleflight_result_free(result);

    int stopped = 0;
    kill(daemon.pid, SIGSTOP);
    assert_int_equal(waitpid(daemon.pid, &stopped, WUNTRACED), daemon.pid);
    assert_true(WIFSTOPPED(stopped));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
        assert_true(result->failed_open);
        singleflight_result_free(result);
    }
    kill(daemon.pid, SIGCONT);
    bool failed_open = true;
    uint64_t until_ms = sfl_clock_now_ms() + PATIENCE_MS;
    while (failed_open && sfl_clock_now_ms() < until_ms) {
        assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
        failed_open = result->failed_open;
        singleflight_result_free(result);
    }
    assert_false(failed_open);
    singleflight_client_destroy(client);
    daemon_end(&daemon, SIGTERM);
}

// The daemon dies and another one takes its port. Followers join there and one of them leads; a
// leader with a lease finds that nobody knows it any more.
static void callers_outlive_a_daemon_that_is_restarted(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    char address[64];
    snprintf(address, sizeof(address), "%s", daemon.address);
    struct process leader = worker_start(address, "restarted", "lease_ms=60000 caller=l");
    uint64_t first_token = worker_expect_lead(&leader, 1);
    struct process follower = worker_start(address, "restarted", "");
    worker_expect(&follower, "follow 1 l");
    daemon_end(&daemon, SIGKILL);
    daemon = daemon_start(address);
    worker_expect(&leader, "lost ABORTED");
    uint64_t second_token = worker_expect_lead(&follower, 1);
    assert_true(second_token > first_token);
    worker_tell(&leader, "ok");
    assert_string_equal(worker_expect_done(&leader).status, "ABORTED");
    worker_tell(&follower, "write again");
    worker_tell(&follower, "ok");
    assert_string_equal(worker_expect_done(&follower).value, "again");
    worker_quit(&leader);
    worker_quit(&follower);
    daemon_end(&daemon, SIGTERM);
}

static void a_draining_daemon_lets_its_flights_end(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    struct process leader = worker_start(daemon.address, "draining", "caller=l");
    worker_expect_lead(&leader, 1);
    struct process follower = worker_start(daemon.address, "draining", "live=1");
    worker_expect(&follower, "follow 1 l");
    kill(daemon.pid, SIGTERM);
    worker_tell(&leader, "write done");
    worker_expect(&follower, "chunk done");
    worker_tell(&leader, "ok");
    assert_string_equal(worker_expect_done(&leader).value, "done");
    assert_string_equal(worker_expect_done(&follower).value, "done");
    worker_quit(&leader);
    worker_quit(&follower);
    assert_int_equal(process_wait(daemon.pid), 0);
}

// ------------------------------------------------------------------------------ several servers

struct pair {
    struct test_daemon daemons[2];
    char addresses[160];
};

static struct pair pair_start(void)
{
    struct pair pair = {.daemons = {daemon_start("127.0.0.1:0"), daemon_start("127.0.0.1:0")}};
    snprintf(pair.addresses, sizeof(pair.addresses), "%s,%s", pair.daemons[0].address,
             pair.daemons[1].address);
    return pair;
}

static size_t home_of(const struct pair *pair, const char *key)
{
    struct sfl_span spans[2] = {sfl_span_of_text(pair->daemons[0].address),
                                sfl_span_of_text(pair->daemons[1].address)};
    uint8_t order[SFL_SERVERS_MAX];
    sfl_rendezvous_order(spans, 2, sfl_span_of_text(""), sfl_span_of_text(key), order);
    return order[0];
}

// A key whose home is the given one.
static void find_key(const struct pair *pair, size_t home, char key_out[32])
{
    for (int i = 0;; i++) {
        snprintf(key_out, 32, "key-%d", i);
        if (home_of(pair, key_out) == home)
            return;
    }
}

static void count_callers(void *context, const struct singleflight_stats *stats)
{
    uint64_t **at = context;
    *(*at)++ = stats->calls;
}

static void each_key_has_its_home_whatever_the_order_of_the_addresses(void **state)
{
    (void)state;
    struct pair pair = pair_start();
    char turned[160];
    snprintf(turned, sizeof(turned), "%s,%s", pair.daemons[1].address, pair.daemons[0].address);
    for (size_t home = 0; home < 2; home++) {
        char key[32];
        find_key(&pair, home, key);
        struct process leader = worker_start(pair.addresses, key, "caller=l");
        worker_expect_lead(&leader, 1);
        struct process follower = worker_start(turned, key, "");
        worker_expect(&follower, "follow 1 l");
        worker_tell(&leader, "ok");
        (void)worker_expect_done(&leader);
        (void)worker_expect_done(&follower);
        worker_quit(&leader);
        worker_quit(&follower);
    }
    struct singleflight_client *client = client_of(pair.addresses);
    uint64_t calls[2] = {0};
    uint64_t *at = calls;
    assert_int_equal(singleflight_get_stats(client, NULL, 0, count_callers, &at), SINGLEFLIGHT_OK);
    assert_int_equal(calls[0], 2);
    assert_int_equal(calls[1], 2);
    singleflight_client_destroy(client);
    daemon_end(&pair.daemons[0], SIGTERM);
    daemon_end(&pair.daemons[1], SIGTERM);
}

static struct singleflight_result *ask(struct singleflight_client *client, const char *key)
{
    struct singleflight_do_options options = options_of(key);
    unsigned runs = 0;
    struct singleflight_result *result = NULL;
    (void)singleflight_do(client, &options, here, &runs, &result);
    assert_value(result, "here");
    assert_false(result->failed_open);
    return result;
}

static void the_next_server_stands_in_until_the_home_is_back(void **state)
{
    (void)state;
    struct pair pair = pair_start();
    char key[32];
    find_key(&pair, 0, key);
    char home[64];
    snprintf(home, sizeof(home), "%s", pair.daemons[0].address);
    daemon_end(&pair.daemons[0], SIGKILL);
    struct singleflight_client *client = hasty_client(pair.addresses, false);
    singleflight_result_free(ask(client, key));
    pair.daemons[0] = daemon_start(home);

    // Sooner or later a call goes home again; only the home has counted one then.
    uint64_t calls[2] = {0};
    uint64_t until_ms = sfl_clock_now_ms() + PATIENCE_MS;
    while (calls[0] == 0 && sfl_clock_now_ms() < until_ms) {
        singleflight_result_free(ask(client, key));
        uint64_t *at = calls;
        assert_int_equal(singleflight_get_stats(client, NULL, 0, count_callers, &at),
                         SINGLEFLIGHT_OK);
    }
    assert_true(calls[0] > 0);
    assert_true(calls[1] > 0);
    singleflight_client_destroy(client);
    daemon_end(&pair.daemons[0], SIGTERM);
    daemon_end(&pair.daemons[1], SIGTERM);
}

static void a_home_that_refuses_costs_nothing(void **state)
{
    (void)state;
    struct pair pair = pair_start();
    char key[32];
    find_key(&pair, 0, key);
    daemon_end(&pair.daemons[0], SIGKILL);
    struct singleflight_client *client = patient_client(pair.addresses, false);
    uint64_t begun_ms = sfl_clock_now_ms();
    singleflight_result_free(ask(client, key));
    assert_in_range(sfl_clock_now_ms() - begun_ms, 0, LONG_MS / 4);
    singleflight_client_destroy(client);
    daemon_end(&pair.daemons[1], SIGTERM);
}

// It is there, and somebody else may lead the key through it: nothing is run beside.
static void a_server_that_drains_is_no_reason_to_fail_open(void **state)
{
    (void)state;
    struct test_daemon daemon = daemon_start("127.0.0.1:0");
    struct process leader = worker_start(daemon.address, "held", "caller=l");
    worker_expect_lead(&leader, 1);
    kill(daemon.pid, SIGTERM);
    struct singleflight_client *client = hasty_client(daemon.address, true);
    struct singleflight_do_options options = options_of("held");
    unsigned runs = 0;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_non_null(strstr(result->message, "no new calls"));
    singleflight_result_free(result);
    worker_tell(&leader, "ok");
    assert_string_equal(worker_expect_done(&leader).status, "OK");
    worker_quit(&leader);
    assert_int_equal(process_wait(daemon.pid), 0);
    assert_int_equal(singleflight_do(client, &options, here, &runs, &result), SINGLEFLIGHT_OK);
    assert_true(result->failed_open); // now there is none
    singleflight_result_free(result);
    singleflight_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_server_a_do_says_where_it_looked),
        cmocka_unit_test(fail_open_runs_the_function_here),
        cmocka_unit_test(fail_open_does_not_wait_for_what_refuses),
        cmocka_unit_test(a_connect_timeout_of_zero_waits_for_nothing),
        cmocka_unit_test(a_connect_timeout_of_zero_finds_what_an_earlier_call_began),
        cmocka_unit_test(a_frozen_server_is_down_for_who_does_not_wait_too),
        cmocka_unit_test(calls_that_fail_open_are_still_merged),
        cmocka_unit_test(a_deadline_holds_also_without_a_server),
        cmocka_unit_test(a_call_waits_for_a_server_that_comes),
        cmocka_unit_test(a_frozen_server_counts_as_unreachable_until_it_thaws),
        cmocka_unit_test(callers_outlive_a_daemon_that_is_restarted),
        cmocka_unit_test(a_draining_daemon_lets_its_flights_end),
        cmocka_unit_test(each_key_has_its_home_whatever_the_order_of_the_addresses),
        cmocka_unit_test(the_next_server_stands_in_until_the_home_is_back),
        cmocka_unit_test(a_home_that_refuses_costs_nothing),
        cmocka_unit_test(a_server_that_drains_is_no_reason_to_fail_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
