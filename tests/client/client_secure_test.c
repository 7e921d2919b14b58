// SPDX-License-Identifier: Apache-2.0
// The client over mutual TLS with a token, while the files change on either side.
#include "asker.h"
#include "base/clock.h"
#include "daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// SHA-256 of "first" and "second".
#define FIRST "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
#define SECOND "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4"

static char folder[64];
static struct test_daemon daemon_;

static const char *in_folder(const char *name)
{
    static char paths[32][128];
    static unsigned next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder("new"), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(in_folder("new"), in_folder(name)), 0);
}

static void start_daemon(const char *address)
{
    const char *const flags[] = {
        "--tls-cert",
        in_folder("server.pem"),
        "--tls-key",
        in_folder("server.key"),
        "--tls-client-ca",
        in_folder("ca.pem"),
        "--token-file",
        in_folder("tokens"),
        "--access-file",
        in_folder("access"),
        "--drain-time",
        "1s",
        NULL,
    };
    daemon_ = daemon_start_with(address, flags);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/client_secure_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    char line[256];
    snprintf(line, sizeof(line), "%s %s", SFL_CERTIFICATES, folder);
    assert_int_equal(system(line), 0);
    write_file("token", "first\n");
    write_file("tokens", "ops " FIRST "\n");
    write_file("access", "[who]\nops = token:ops\nbob = dns:bob.example\n"
                         "[group default]\nall = ops\n[group of-bob]\nall = bob\n");
    start_daemon("127.0.0.1:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    daemon_end(&daemon_, SIGTERM);
    char line[128];
    snprintf(line, sizeof(line), "rm -rf %s", folder);
    return system(line);
}

static struct singleflight_client *make_client(const char *token)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.tls_ca = in_folder("ca.pem");
    options.tls_cert = in_folder("alice.pem");
    options.tls_key = in_folder("alice.key");
    options.token_file = in_folder(token);
    options.fail_open = true;
    options.connect_timeout_ms = 20000;
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 20;
    return client_with(daemon_.address, options);
}

static enum singleflight_status ask(struct singleflight_client *client, const char *group)
{
    struct gate gate = GATE_INIT;
    gate.open = true;
    struct singleflight_do_options options = options_of("k");
    options.group = group;
    options.no_fail_open = true;
    return singleflight_do(client, &options, gate_function, &gate, NULL);
}

static void a_call_gets_through(void **state)
{
    (void)state;
    struct singleflight_client *client = make_client("token");
    assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    assert_int_equal(ask(client, "of-bob"), SINGLEFLIGHT_PERMISSION_DENIED);
    assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    singleflight_client_destroy(client);
}

static void a_token_that_is_taken_away_is_refused_on_an_open_session(void **state)
{
    (void)state;
    struct singleflight_client *client = make_client("token");
    assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    write_file("tokens", "ops " SECOND "\n");
    enum singleflight_status status = SINGLEFLIGHT_OK;
    while (status == SINGLEFLIGHT_OK) // the daemon looks every 500 ms
        status = ask(client, NULL);
    assert_int_equal(status, SINGLEFLIGHT_UNAUTHENTICATED);
    write_file("token", "second\n");
    while (status == SINGLEFLIGHT_UNAUTHENTICATED) // and the client every second
        status = ask(client, NULL);
    assert_int_equal(status, SINGLEFLIGHT_OK);
    singleflight_client_destroy(client);
}

static void a_rotation_of_tokens_loses_no_call(void **state)
{
    (void)state;
    struct singleflight_client *client = make_client("token");
    assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    write_file("tokens", "ops " FIRST "\nops " SECOND "\n");
    write_file("token2", "second\n");
    struct singleflight_client *newer = make_client("token2");
    while (ask(newer, NULL) != SINGLEFLIGHT_OK)
        continue; // until the daemon has looked
    write_file("token", "second\n");
    uint64_t until_ms = sfl_clock_now_ms() + 1500; // the client looks once a second
    while (sfl_clock_now_ms() < until_ms)
        assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    write_file("tokens", "ops " SECOND "\n");
    until_ms = sfl_clock_now_ms() + 1500;
    while (sfl_clock_now_ms() < until_ms)
        assert_int_equal(ask(client, NULL), SINGLEFLIGHT_OK);
    singleflight_client_destroy(newer);
    singleflight_client_destroy(client);
}

static void a_new_certificate_is_shown_by_the_next_connection(void **state)
{
    (void)state;
    struct singleflight_client *client = make_client("token");
    assert_int_equal(ask(client, "of-bob"), SINGLEFLIGHT_PERMISSION_DENIED);
    assert_int_equal(rename(in_folder("bob.key"), in_folder("alice.key")), 0);
    assert_int_equal(rename(in_folder("bob.pem"), in_folder("alice.pem")), 0);
    enum singleflight_status status = SINGLEFLIGHT_PERMISSION_DENIED;
    while (status == SINGLEFLIGHT_PERMISSION_DENIED) {
        char address[sizeof(daemon_.address)];
        snprintf(address, sizeof(address), "%s", daemon_.address);
        daemon_end(&daemon_, SIGKILL);
        start_daemon(address);
        status = ask(client, "of-bob");
    }
    assert_int_equal(status, SINGLEFLIGHT_OK);
    singleflight_client_destroy(client);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_call_gets_through),
        ROW(a_token_that_is_taken_away_is_refused_on_an_open_session),
        ROW(a_rotation_of_tokens_loses_no_call),
        ROW(a_new_certificate_is_shown_by_the_next_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
