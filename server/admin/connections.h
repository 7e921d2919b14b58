// SPDX-License-Identifier: Apache-2.0
// The connections of the admin listener: how many there may be, and for how long each may take.
//
// A probe always gets through: when there are too many, one of the address with the most goes, and
// of those rather one that is silent or has had an answer than one that has just come. Streams of
// events are counted apart, and stay.
#ifndef SFL_ADMIN_CONNECTIONS_H
#define SFL_ADMIN_CONNECTIONS_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    SFL_CONNECTIONS_MAX = 48, // beside streams
    SFL_CONNECTIONS_PER_ADDRESS_MAX = 16,
    SFL_STREAMS_MAX = 16,
    SFL_STREAMS_PER_ADDRESS_MAX = 6, // not of loopback: proxies and port forwards come from there
    SFL_NEWCOMER_MS = 1000,          // so long after coming it goes last
    // A request has so long to come, from its connection's beginning or from the answer before.
    SFL_REQUEST_MS_MAX = 5000,
    // And an answer so long to be read.
    SFL_ANSWER_MS_MAX = 30000,
};

// A network of IPv6 counts as one address.
struct sfl_peer_address {
    uint8_t bytes[16];
};

enum sfl_admin_connection_state {
    SFL_CONNECTION_ASKING,
    SFL_CONNECTION_ANSWERED,
    SFL_CONNECTION_STREAM,
    SFL_CONNECTION_ENDED, // it has been shut down, and is not closed yet
};

struct sfl_admin_connection {
    struct sfl_link link; // in the list of its state; none for the last one
    struct sfl_peer_address address;
    int fd; // borrowed
    enum sfl_admin_connection_state state;
    uint64_t since_ms;
    bool has_had_answer; // it has asked before
};

// Everything is private but for `streams`.
struct sfl_admin_connections {
    struct sfl_list asking;   // the longest first
    struct sfl_list answered; // the longest first
    struct sfl_list streaming;
    unsigned count; // of the first two
    unsigned streams;
    void (*end)(struct sfl_admin_connection *connection); // shuts its socket down
};

void sfl_admin_connections_init(struct sfl_admin_connections *connections,
                                void (*end)(struct sfl_admin_connection *connection));

// A new one. Others may be ended for it.
void sfl_admin_connections_add(struct sfl_admin_connections *connections,
                               struct sfl_admin_connection *connection,
                               const struct sockaddr *address, int fd, uint64_t now_ms);

// It is closed.
void sfl_admin_connections_remove(struct sfl_admin_connections *connections,
                                  struct sfl_admin_connection *connection);

// It has asked and is being answered; or it has been answered, and may ask again; or it has become
// a stream. Nothing happens to one that has been ended.
void sfl_admin_connections_set(struct sfl_admin_connections *connections,
                               struct sfl_admin_connection *connection,
                               enum sfl_admin_connection_state state, uint64_t now_ms);

// Whether its address may have one stream more.
bool sfl_admin_connections_may_stream(const struct sfl_admin_connections *connections,
                                      const struct sfl_admin_connection *connection);

// Ends those that took too long. Returns when to call it next; UINT64_MAX: there are none.
uint64_t sfl_admin_connections_tick(struct sfl_admin_connections *connections, uint64_t now_ms);

#endif
