// SPDX-License-Identifier: Apache-2.0
// The same flights on Redis, with the fewest commands that do: SET NX GET asks for the lead and for
// what there is already; the leader's SET replaces the mark by the value. Followers are told by us
// when the value is there, and GET it once: no real program could ask at a better moment.
//
// Commands gather and leave as frames of Session do: many in one write, by hand and without a
// client library.
#include "bench/frames.h"
#include "bench/load/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 16,
    BUFFER_BYTES = 4 * 1024 * 1024, // one way of a connection
    EXPECTED_MAX = 64 * 1024,       // a power of two
    KEYS = 64 * 1024,               // a power of two, far more than flights at a time
    NOBODY = UINT32_MAX,
};

// What a reply answers.
struct expected {
    enum { ASKED, STORED, LOOKED } command;
    uint32_t caller;
};

struct connection {
    int fd;
    uint8_t *out;
    size_t out_begin;
    size_t out_end;
    uint8_t *in;
    size_t in_size;
    struct expected *expected; // a ring
    uint32_t first;
    uint32_t next;
};

struct member {
    uint32_t key;
    uint32_t next_waiter; // of those who follow the same key
};

struct redis_state {
    struct connection connections[CONNECTIONS_MAX];
    struct member *members;
    uint32_t *waiters; // of each key, by its low bits: the first caller that waits
    char kept_ms[24];
};

static struct connection *connection_of(struct load_link *link, uint32_t caller)
{
    struct redis_state *state = link->state;
    return &state->connections[caller % link->options.connections];
}

static void put(struct connection *connection, const void *bytes, size_t size)
{
    if (connection->out_begin == connection->out_end)
        connection->out_begin = connection->out_end = 0;
    if (connection->out_end + size > BUFFER_BYTES)
        load_die("too much has gathered on a connection");
    memcpy(connection->out + connection->out_end, bytes, size);
    connection->out_end += size;
}

static void put_text(struct connection *connection, const char *text)
{
    put(connection, text, strlen(text));
}

static void put_key(struct connection *connection, uint32_t key)
{
    uint8_t bytes[BENCH_KEY_BYTES];
    bench_key_write(bytes, key);
    put_text(connection, "$16\r\n");
    put(connection, bytes, sizeof bytes);
    put_text(connection, "\r\n");
}

static void expect(struct connection *connection, int command, uint32_t caller)
{
    if (connection->next - connection->first == EXPECTED_MAX)
        load_die("too many commands on a connection");
    connection->expected[connection->next++ % EXPECTED_MAX] = (struct expected){command, caller};
}

static void redis_join(struct load_link *link, uint32_t caller, uint32_t key)
{
    struct redis_state *state = link->state;
    struct connection *connection = connection_of(link, caller);
    state->members[caller] = (struct member){key, NOBODY};
    put_text(connection, "*7\r\n$3\r\nSET\r\n");
    put_key(connection, key);
    put_text(connection, "$1\r\nL\r\n$2\r\nNX\r\n$3\r\nGET\r\n$2\r\nPX\r\n$5\r\n30000\r\n");
    expect(connection, ASKED, caller);
}

static void redis_finish(struct load_link *link, uint32_t caller)
{
    struct redis_state *state = link->state;
    struct connection *connection = connection_of(link, caller);
    char head[32];
    snprintf(head, sizeof head, "$%zu\r\n", link->options.value_bytes);
    put_text(connection, "*5\r\n$3\r\nSET\r\n");
    put_key(connection, state->members[caller].key);
    put_text(connection, head);
    put(connection, link->value, link->options.value_bytes);
    put_text(connection, "\r\n$2\r\nPX\r\n");
    put_text(connection, state->kept_ms);
    expect(connection, STORED, caller);
}

// The value is there: those who wait for it look.
static void tell_waiters(struct load_link *link, uint32_t key)
{
    struct redis_state *state = link->state;
    uint32_t caller = state->waiters[key % KEYS];
    state->waiters[key % KEYS] = NOBODY;
    for (; caller != NOBODY; caller = state->members[caller].next_waiter) {
        struct connection *connection = connection_of(link, caller);
        put_text(connection, "*2\r\n$3\r\nGET\r\n");
        put_key(connection, key);
        expect(connection, LOOKED, caller);
    }
}

// `bytes` is NULL for Redis' nil and for a simple OK.
static void on_reply(struct load_link *link, struct expected what, const uint8_t *bytes,
                     size_t size)
{
    struct redis_state *state = link->state;
    const struct load_events *events = &link->options.events;
    struct member *member = &state->members[what.caller];
    if (what.command == ASKED && bytes == NULL) {
        events->on_lead(events->context, what.caller);
    } else if (what.command == ASKED && size == 1 && bytes[0] == 'L') {
        member->next_waiter = state->waiters[member->key % KEYS];
        state->waiters[member->key % KEYS] = what.caller;
        events->on_follow(events->context, what.caller);
    } else if (what.command == STORED) {
        // Before the leader goes on, and uses the next key.
        tell_waiters(link, member->key);
        events->on_result(events->context, what.caller, 0);
    } else if (what.command == LOOKED && bytes != NULL) {
        events->on_result(events->context, what.caller, size);
    } else {
        load_die("Redis answered what it should not");
    }
}

// One reply at `at`, of `size` bytes that have come. Returns how many it takes; 0: not all is here.
static size_t take_reply(struct load_link *link, struct connection *connection, const uint8_t *at,
                         size_t size)
{
    const uint8_t *end = memchr(at, '\n', size);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - at) + 1;
    if (at[0] != '+' && at[0] != '$')
        load_die("Redis: %.*s", (int)head, (const char *)at);
    long length = at[0] == '$' ? strtol((const char *)at + 1, NULL, 10) : -1;
    size_t whole = length < 0 ? head : head + (size_t)length + 2;
    if (whole > size)
        return 0;
    struct expected what = connection->expected[connection->first++ % EXPECTED_MAX];
    on_reply(link, what, length < 0 ? NULL : at + head, length < 0 ? 0 : (size_t)length);
    return whole;
}

static bool connection_read(struct load_link *link, struct connection *connection)
{
    ssize_t count = read(connection->fd, connection->in + connection->in_size,
                         BUFFER_BYTES - connection->in_size);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count <= 0)
        load_die("Redis has closed the connection");
    connection->in_size += (size_t)count;
    size_t used = 0;
    for (size_t one = 1; one != 0 && used < connection->in_size; used += one)
        one = take_reply(link, connection, connection->in + used, connection->in_size - used);
    memmove(connection->in, connection->in + used, connection->in_size - used);
    connection->in_size -= used;
    return true;
}

static void connection_write(struct connection *connection)
{
    size_t size = connection->out_end - connection->out_begin;
    if (size == 0)
        return;
    ssize_t count = write(connection->fd, connection->out + connection->out_begin, size);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        load_die("Redis has closed the connection");
    if (count > 0)
        connection->out_begin += (size_t)count;
}

static void redis_flush(struct load_link *link)
{
    struct redis_state *state = link->state;
    for (unsigned i = 0; i < link->options.connections; i++)
        connection_write(&state->connections[i]);
}

static bool redis_poll(struct load_link *link, uint64_t until_ns)
{
    struct redis_state *state = link->state;
    struct pollfd polled[CONNECTIONS_MAX];
    redis_flush(link);
    for (unsigned i = 0; i < link->options.connections; i++) {
        const struct connection *connection = &state->connections[i];
        bool is_full = connection->out_begin != connection->out_end;
        polled[i] =
            (struct pollfd){.fd = connection->fd, .events = is_full ? POLLIN | POLLOUT : POLLIN};
    }
    uint64_t now_ns = load_now_ns();
    int wait_ms = until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / 1000000U) + 1;
    bool has_read = false;
    if (poll(polled, link->options.connections, wait_ms) > 0) {
        for (unsigned i = 0; i < link->options.connections; i++) {
            if (polled[i].revents & (POLLIN | POLLHUP | POLLERR))
                has_read |= connection_read(link, &state->connections[i]);
        }
    }
    redis_flush(link);
    return has_read;
}

static int connect_to(const char *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    int one = 1;
    if (sscanf(target, "%63[^:]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        load_die("%s is not an address", target);
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        load_die("cannot connect to %s", target);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void load_redis_open(struct load_link *link)
{
    static const struct load_wire wire = {
        .join = redis_join, .finish = redis_finish, .flush = redis_flush, .poll = redis_poll};
    const struct load_options *options = &link->options;
    struct redis_state *state = load_calloc(1, sizeof *state);
    char kept[20];
    if (options->connections > CONNECTIONS_MAX || options->retain_ms == 0)
        load_die("Redis wants up to %d connections, and --retain", CONNECTIONS_MAX);
    int size = snprintf(kept, sizeof kept, "%llu", (unsigned long long)options->retain_ms);
    snprintf(state->kept_ms, sizeof state->kept_ms, "$%d\r\n%.8s\r\n", size, kept);
    state->members = load_calloc(options->callers, sizeof *state->members);
    state->waiters = load_calloc(KEYS, sizeof *state->waiters);
    memset(state->waiters, 0xff, KEYS * sizeof *state->waiters);
    for (unsigned i = 0; i < options->connections; i++) {
        struct connection *connection = &state->connections[i];
        connection->fd = connect_to(options->target);
        connection->out = load_calloc(1, BUFFER_BYTES);
        connection->in = load_calloc(1, BUFFER_BYTES);
        connection->expected = load_calloc(EXPECTED_MAX, sizeof *connection->expected);
    }
    link->wire = &wire;
    link->state = state;
}
