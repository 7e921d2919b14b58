// SPDX-License-Identifier: Apache-2.0
// Servers of common/rpc: taking addresses, and shutting down.
#include "rpc_harness.h"
#include "rpc_relay.h"

#include "base/clock.h"

#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CANCELLED 1
#define UNAVAILABLE 14

// --- a server that only listens, and a directory for sockets ---

struct place {
    struct sfl_pumps *pumps;
    struct sfl_rpc_server *server;
    char directory[64];
    char path[96];
    char text[300];
};

static void ignore_call(void *context, struct sfl_stream *stream,
                        const struct sfl_stream_events **events_out, void **stream_context_out)
{
    (void)context;
    (void)stream;
    (void)events_out;
    (void)stream_context_out;
    abort(); // these servers are never started
}

static struct sfl_rpc_server *create_server(struct sfl_pumps *pumps)
{
    struct sfl_rpc_server_options options = {.pumps = pumps};
    struct sfl_method method = {.path = "/test.Rpc/Never", .on_call = ignore_call};
    struct sfl_rpc_server *server;
    assert_int_equal(sfl_rpc_server_create(&options, &method, 1, &server), SFL_OK);
    return server;
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    assert_int_equal(sfl_pumps_create(1, NULL, &place->pumps), SFL_OK);
    place->server = create_server(place->pumps);
    strcpy(place->directory, "/tmp/sfl rpc XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof(place->path), "%s/socket", place->directory);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    if (place->server != NULL)
        sfl_rpc_server_destroy(place->server);
    sfl_pumps_destroy(place->pumps);
    unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);
    free(place);
    return 0;
}

// --- host and port ---

static void port_0_becomes_a_real_port(void **state)
{
    struct place *place = *state;
    assert_int_equal(sfl_rpc_server_listen(place->server, "127.0.0.1:0", place->text), SFL_OK);
    int port = 0;
    assert_int_equal(sscanf(place->text, "127.0.0.1:%d", &port), 1);
    assert_in_range(port, 1, 65535);
    char second[300];
    assert_int_equal(sfl_rpc_server_listen(place->server, "localhost:0", second), SFL_OK);
    assert_memory_equal(second, "localhost:", 10);
    assert_true(atoi(second + 10) != port);
}

static void a_port_that_is_taken_is_an_error(void **state)
{
    struct place *place = *state;
    assert_int_equal(sfl_rpc_server_listen(place->server, "127.0.0.1:0", place->text), SFL_OK);
    struct sfl_rpc_server *second = create_server(place->pumps);
    char text[300];

    assert_int_equal(sfl_rpc_server_listen(second, place->text, text), SFL_UNAVAILABLE);
    assert_non_null(strstr(text, "in use"));

    char wildcard[32];
    snprintf(wildcard, sizeof(wildcard), "0.0.0.0:%s", strrchr(place->text, ':') + 1);
    assert_int_equal(sfl_rpc_server_listen(second, wildcard, text), SFL_UNAVAILABLE);
    sfl_rpc_server_destroy(second);
}

static void an_address_that_makes_no_sense_is_refused(void **state)
{
    struct place *place = *state;
    static const char *const addresses[] = {
        "",          "127.0.0.1",       "127.0.0.1:",      ":7433",
        "[]:1",      "127.0.0.1:65536", "127.0.0.1:http",  "127.0.0.1:-1",
        "::1:7433",  "300.1.1.1:0",     "127.0.0.1:7433x", "no-such-host.invalid:0",
        "[::1:7433",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        strcpy(place->text, "?");
        assert_int_equal(sfl_rpc_server_listen(place->server, addresses[i], place->text),
                         SFL_INVALID_ARGUMENT);
        assert_true(strlen(place->text) > 1);
    }
}

static void an_address_of_another_machine_cannot_be_taken(void **state)
{
    struct place *place = *state;
    assert_int_equal(sfl_rpc_server_listen(place->server, "192.0.2.1:0", place->text),
                     SFL_UNAVAILABLE);
    assert_non_null(strstr(place->text, "assign"));
}

static void a_path_that_is_there_twice_is_refused(void **state)
{
    struct place *place = *state;
    struct sfl_rpc_server_options options = {.pumps = place->pumps};
    struct sfl_method methods[] = {{.path = "/a.B/C", .on_call = ignore_call},
                                   {.path = "/a.B/C", .on_call = ignore_call}};
    struct sfl_rpc_server *server = NULL;
    assert_int_equal(sfl_rpc_server_create(&options, methods, 2, &server), SFL_INVALID_ARGUMENT);
    assert_null(server);
}

// --- unix sockets ---

static bool exists(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0;
}

static int bind_socket(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, type, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void a_unix_socket_is_served_and_removed_at_the_end(void **state)
{
    struct place *place = *state;
    struct harness *harness = harness_create_unix(place->path);
    assert_memory_equal(harness->address, "unix:/tmp/", 10);
    char target[128]; // a target is a URI: the blanks are escaped
    assert_memory_equal(place->path, "/tmp/sfl rpc ", 13);
    snprintf(target, sizeof(target), "unix:/tmp/sfl%%20rpc%%20%s", place->path + 13);
    struct sfl_channel *channel = harness_channel_to(harness, target);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);

    char *address = sfl_stream_peer(server->stream);
    assert_memory_equal(address, "unix:", 5);
    free(address);
    sfl_stream_finish(server->stream, NULL, 0, 0, "");
    assert_int_equal(peer_wait_closed(client), 0);
    peer_wait_closed(server);

    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
    assert_false(exists(place->path));
}

static void a_live_socket_is_not_taken_over(void **state)
{
    struct place *place = *state;
    struct sfl_rpc_server *second = create_server(place->pumps);
    char text[300];
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text), SFL_OK);

    assert_int_equal(sfl_rpc_server_listen_unix(second, place->path, text), SFL_UNAVAILABLE);
    assert_non_null(strstr(text, "in use"));

    sfl_rpc_server_destroy(second);
    assert_true(exists(place->path));
    sfl_rpc_server_destroy(place->server);
    place->server = NULL;
    assert_false(exists(place->path));
}

static void a_socket_with_a_full_queue_is_alive(void **state)
{
    struct place *place = *state;
    int listener = bind_socket(place->path, SOCK_STREAM);
    assert_int_equal(listen(listener, 0), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, place->path);
    int waiting[8];
    for (int i = 0; i < 8; i++) {
        waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(waiting[i], (struct sockaddr *)&address, sizeof(address));
    }

    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text),
                     SFL_UNAVAILABLE);

    for (int i = 0; i < 8; i++)
        close(waiting[i]);
    close(listener);
}

static void a_stale_socket_is_replaced(void **state)
{
    struct place *place = *state;
    close(bind_socket(place->path, SOCK_STREAM));
    assert_true(exists(place->path));
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text), SFL_OK);
    assert_true(exists(place->path));
}

static void a_live_socket_of_another_kind_is_left_alone(void **state)
{
    struct place *place = *state;
    int fd = bind_socket(place->path, SOCK_DGRAM);
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text),
                     SFL_UNAVAILABLE);
    assert_true(exists(place->path));
    close(fd);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct place *place = *state;
    close(open(place->path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text),
                     SFL_INVALID_ARGUMENT);
    assert_non_null(strstr(place->text, "not a socket"));
    assert_true(exists(place->path));
}

static void a_symbolic_link_is_left_alone(void **state)
{
    struct place *place = *state;
    char other[128];
    snprintf(other, sizeof(other), "%s-other", place->path);
    close(bind_socket(other, SOCK_STREAM));
    assert_int_equal(symlink(other, place->path), 0);
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, place->path, place->text),
                     SFL_INVALID_ARGUMENT);
    assert_true(exists(place->path));
    assert_true(exists(other));
    unlink(other);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
    struct place *place = *state;
    char path[200];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, path, place->text),
                     SFL_INVALID_ARGUMENT);
    assert_int_equal(sfl_rpc_server_listen_unix(place->server, "", place->text),
                     SFL_INVALID_ARGUMENT);
    assert_int_equal(
        sfl_rpc_server_listen_unix(place->server, "/no/such/directory/socket", place->text),
        SFL_UNAVAILABLE);
    assert_non_null(strstr(place->text, "No such file or directory"));
}

static void a_socket_that_another_server_made_since_is_not_removed(void **state)
{
    struct place *place = *state;
    struct harness *harness = harness_create_unix(place->path);
    sfl_rpc_server_shutdown(harness->server, 0);
    assert_false(exists(place->path));
    int fd = bind_socket(place->path, SOCK_STREAM);
    sfl_rpc_server_destroy(harness->server);
    harness->server = NULL;
    harness_destroy(harness);
    assert_true(exists(place->path));
    close(fd);
}

// --- shutting down ---

struct stopper {
    struct harness *harness;
    uint64_t grace_ms;
    uint64_t took_ms;
    bool is_clean;
    pthread_t thread;
};

static void *stop_main(void *argument)
{
    struct stopper *stopper = argument;
    uint64_t began_ms = sfl_clock_now_ms();
    stopper->is_clean = sfl_rpc_server_shutdown(stopper->harness->server, stopper->grace_ms);
    stopper->took_ms = sfl_clock_now_ms() - began_ms;
    return NULL;
}

static void stop_begin(struct stopper *stopper, struct harness *harness, uint64_t grace_ms)
{
    *stopper = (struct stopper){.harness = harness, .grace_ms = grace_ms};
    assert_int_equal(pthread_create(&stopper->thread, NULL, stop_main, stopper), 0);
}

static void stop_end(struct stopper *stopper)
{
    pthread_join(stopper->thread, NULL);
    sfl_rpc_server_destroy(stopper->harness->server);
    stopper->harness->server = NULL;
}

// Connects a raw socket to the server; returns -1 when nobody listens.
static int connect_raw(const struct harness *harness)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(harness->address, ':') + 1)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

// Waits until the listener is closed, which is the first thing that a shutdown does.
static void wait_until_nobody_listens(const struct harness *harness)
{
    uint64_t bound_ms = sfl_clock_now_ms() + 60000;
    int fd;
    while ((fd = connect_raw(harness)) >= 0) {
        close(fd);
        assert_true(sfl_clock_now_ms() < bound_ms);
        sched_yield();
    }
}

static void open_streams_may_end_within_the_grace_time(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    peer_send_and_wait(client, "a", 1);
    peer_wait_messages(server, 1);

    struct stopper stopper;
    stop_begin(&stopper, harness, 60000);
    wait_until_nobody_listens(harness);
    struct peer *late = peer_open(channel, ECHO_PATH, UINT64_MAX);
    // CANCELLED is what gRPC gives to a call that was on its way when the shutdown began.
    int late_code = peer_wait_closed(late);
    assert_true(late_code == UNAVAILABLE || late_code == CANCELLED);
    peer_send_and_wait(client, "b", 1);
    peer_wait_messages(server, 2);
    peer_send_and_wait(server, "c", 1);
    peer_wait_messages(client, 1);
    sfl_stream_finish(server->stream, NULL, 0, 0, "");
    stop_end(&stopper);

    assert_true(stopper.is_clean);
    assert_true(stopper.took_ms < 50000);
    assert_int_equal(peer_wait_closed(client), 0);
    assert_string_equal(client->text, "");
    assert_int_equal(server->closed, 1); // before the shutdown returned
    assert_int_equal(server->code, 0);
    peer_destroy(late);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

struct long_work {
    struct sfl_pump_work work;
    sem_t may_end;
};

static void work_long(struct sfl_pump_work *work)
{
    struct long_work *long_work = SFL_CONTAINER_OF(work, struct long_work, work);
    while (sem_wait(&long_work->may_end) != 0)
        ;
}

static void ends_that_take_long_do_not_hold_a_shutdown_up(void **state)
{
    (void)state;
    const struct harness_options options = {.pumps = 1};
    struct harness *harness = harness_create(&options);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    struct long_work long_work = {.work.run = work_long};
    sem_init(&long_work.may_end, 0, 0);
    sfl_pumps_post(harness->pumps, &long_work.work);

    struct stopper stopper;
    stop_begin(&stopper, harness, 10);
    pthread_join(stopper.thread, NULL);
    assert_false(stopper.is_clean);
    assert_int_equal(server->closed, 0);

    sem_post(&long_work.may_end);
    sfl_rpc_server_destroy(harness->server);
    harness->server = NULL;
    assert_int_equal(server->closed, 1);
    (void)peer_wait_closed(client);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
    sem_destroy(&long_work.may_end);
}

static void what_is_open_after_the_grace_time_is_cancelled(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *clients[20];
    struct peer *servers[20];
    for (int i = 0; i < 20; i++) {
        clients[i] = peer_open(channel, HOLD_PATH, UINT64_MAX);
        servers[i] = harness_take(harness);
    }

    struct stopper stopper;
    stop_begin(&stopper, harness, 200);
    stop_end(&stopper);

    assert_in_range(stopper.took_ms, 199, 30000);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(servers[i]->closed, 1);
        assert_int_equal(servers[i]->code, 1);
        assert_true(peer_wait_closed(clients[i]) != 0);
        peer_destroy(clients[i]);
        peer_destroy(servers[i]);
    }
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

static void idle_and_silent_connections_do_not_hold_a_shutdown_up(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, FIRST_PATH, UINT64_MAX);
    peer_send(peer, "x", 1);
    assert_int_equal(peer_wait_closed(peer), 0);
    peer_destroy(peer);
    int silent = connect_raw(harness);
    assert_true(silent >= 0);
    char settings;
    assert_int_equal(recv(silent, &settings, 1, 0), 1); // the server has taken it

    struct stopper stopper;
    stop_begin(&stopper, harness, 50000);
    stop_end(&stopper);

    assert_true(stopper.is_clean);
    assert_true(stopper.took_ms < 15000); // gRPC alone would wait for 20 s
    close(silent);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

static void a_client_that_reads_nothing_does_not_hold_a_shutdown_up(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct relay *relay = relay_create(atoi(strrchr(harness->address, ':') + 1));
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%d", relay_port(relay));
    struct sfl_channel *channel = harness_channel_to(harness, target);
    static uint8_t bytes[4000000];
    struct peer *clients[16];
    struct peer *servers[16];
    for (int i = 0; i < 16; i++) {
        clients[i] = peer_open(channel, HOLD_PATH, UINT64_MAX);
        servers[i] = harness_take(harness);
    }
    relay_freeze(relay);
    struct sfl_piece piece = {.bytes = sfl_span_of(bytes, sizeof(bytes))};
    for (int i = 0; i < 16; i++)
        sfl_stream_finish(servers[i]->stream, &piece, 1, 0, "");

    struct stopper stopper;
    stop_begin(&stopper, harness, 200);
    pthread_join(stopper.thread, NULL);

    assert_true(stopper.took_ms < 9000); // gRPC gives the connection up after 10 s
    assert_false(stopper.is_clean);
    relay_cut(relay);
    sfl_rpc_server_destroy(harness->server);
    harness->server = NULL;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(servers[i]->closed, 1);
        peer_wait_closed(clients[i]);
        peer_destroy(clients[i]);
        peer_destroy(servers[i]);
    }
    relay_destroy(relay);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

static void a_stream_may_outlive_its_server(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    harness_stop(harness, 0);

    sfl_stream_cancel(server->stream, 1, "late");
    sfl_stream_finish(server->stream, NULL, 0, 0, "");
    char *address = sfl_stream_peer(server->stream);
    assert_non_null(address);
    free(address);

    peer_wait_closed(client);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

// A stream of HOLD_PATH; `server_out` is its other end.
static struct peer *open_held(struct harness *harness, struct sfl_channel *channel,
                              struct peer **server_out)
{
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    *server_out = harness_take(harness);
    return client;
}

// Both ends know that it is over.
static void end_held(struct peer *client, struct peer *server, int client_code)
{
    assert_int_equal(peer_wait_closed(client), client_code);
    peer_wait_closed(server);
    peer_destroy(client);
    peer_destroy(server);
}

// `path` NULL: those of all unknown methods.
static struct sfl_method_counts counts_of(const struct harness *harness, const char *path)
{
    for (size_t i = 0; i < sfl_rpc_server_method_count(harness->server); i++) {
        struct sfl_method_counts counts = sfl_rpc_server_count_method(harness->server, i);
        if (path == NULL ? counts.path == NULL
                         : counts.path != NULL && strcmp(counts.path, path) == 0)
            return counts;
    }
    fail();
    return (struct sfl_method_counts){.path = NULL};
}

static void rpcs_are_counted_by_method_and_status(void **state)
{
    enum { NOT_FOUND = 5, RESOURCE_EXHAUSTED = 8, UNIMPLEMENTED = 12 };
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *server;
    struct peer *client = open_held(harness, channel, &server);
    sfl_stream_finish(server->stream, NULL, 0, 0, "");
    end_held(client, server, 0);
    client = open_held(harness, channel, &server);
    sfl_stream_finish(server->stream, NULL, 0, NOT_FOUND, "");
    end_held(client, server, NOT_FOUND);
    client = open_held(harness, channel, &server);
    sfl_stream_cancel(client->stream, CANCELLED, "");
    end_held(client, server, CANCELLED);
    client = open_held(harness, channel, &server);
    sfl_stream_cancel(server->stream, RESOURCE_EXHAUSTED, "");
    end_held(client, server, RESOURCE_EXHAUSTED);
    client = peer_open(channel, "/test.Rpc/Nothing", UINT64_MAX);
    assert_int_equal(peer_wait_closed(client), UNIMPLEMENTED);
    peer_destroy(client);

    struct sfl_method_counts held = counts_of(harness, HOLD_PATH);
    assert_int_equal(held.started, 4);
    assert_int_equal(held.handled[0], 1);
    assert_int_equal(held.handled[NOT_FOUND], 1);
    assert_int_equal(held.handled[CANCELLED], 1);
    assert_int_equal(held.handled[RESOURCE_EXHAUSTED], 1);
    assert_int_equal(counts_of(harness, ECHO_PATH).started, 0);
    assert_int_equal(counts_of(harness, NULL).started, 1);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(port_0_becomes_a_real_port),
        IN_PLACE(a_port_that_is_taken_is_an_error),
        IN_PLACE(an_address_that_makes_no_sense_is_refused),
        IN_PLACE(an_address_of_another_machine_cannot_be_taken),
        IN_PLACE(a_path_that_is_there_twice_is_refused),
        IN_PLACE(a_unix_socket_is_served_and_removed_at_the_end),
        IN_PLACE(a_live_socket_is_not_taken_over),
        IN_PLACE(a_socket_with_a_full_queue_is_alive),
        IN_PLACE(a_stale_socket_is_replaced),
        IN_PLACE(a_live_socket_of_another_kind_is_left_alone),
        IN_PLACE(a_file_that_is_no_socket_is_left_alone),
        IN_PLACE(a_symbolic_link_is_left_alone),
        IN_PLACE(a_path_that_cannot_be_is_refused),
        IN_PLACE(a_socket_that_another_server_made_since_is_not_removed),
        cmocka_unit_test(open_streams_may_end_within_the_grace_time),
        cmocka_unit_test(what_is_open_after_the_grace_time_is_cancelled),
        cmocka_unit_test(ends_that_take_long_do_not_hold_a_shutdown_up),
        cmocka_unit_test(idle_and_silent_connections_do_not_hold_a_shutdown_up),
        cmocka_unit_test(a_client_that_reads_nothing_does_not_hold_a_shutdown_up),
        cmocka_unit_test(a_stream_may_outlive_its_server),
        cmocka_unit_test(rpcs_are_counted_by_method_and_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
