// SPDX-License-Identifier: Apache-2.0
// One server address. All of this is the client's thread's.
#ifndef SFL_CLIENT_SERVER_H
#define SFL_CLIENT_SERVER_H

#include "rpc/channel.h"
#include "src/backoff.h"
#include "src/client.h"
#include "src/unary.h"

struct sfl_seat;
struct sfl_session;

#define SFL_SERVER_ERROR_SIZE 512

// Reachable as far as known; or failing: silent, since when; or down: silent for so long, or not to
// be connected to, or it takes no joins. A server that is down gets health checks instead of
// sessions, until it serves. Its seats look elsewhere, or wait there.
struct sfl_server {
    struct singleflight_client *client;
    const char *address; // borrowed from the settings
    struct sfl_channel *channel;
    unsigned certificates;       // which edition of them the channel has
    unsigned token;              // and of the token
    struct sfl_list sessions;    // open streams, those that retire included
    struct sfl_session *current; // the one that new seats go to; NULL: none
    struct sfl_list waiting;     // seats that wait for the next session
    struct sfl_backoff backoff;
    struct sfl_timer retry_timer; // armed: nothing is tried before
    struct sfl_timer down_timer;  // armed while failing
    bool down;
    bool failing;
    bool refuses;            // down, but there: it drains, or its coordinator is away
    struct sfl_unary *probe; // the health check under way; NULL: none
    bool probe_serves;       // what it has said
    char last_error[SFL_SERVER_ERROR_SIZE]; // why it could not be reached; ""
};

// Makes the channel. Any thread, before the client's thread knows the server.
enum sfl_status sfl_server_init(struct sfl_server *server, struct singleflight_client *client,
                                const char *address) SFL_MUST_USE;

// Any thread, after the client's thread has ended.
void sfl_server_deinit(struct sfl_server *server);

// The channel for the next RPC: with the token that holds now and, for its next connection, the
// certificates. When the token has changed, calls that come from now on get another session.
struct sfl_channel *sfl_server_channel(struct sfl_server *server);

// Writes the places of the client's servers in the order of the key, its home first.
// `order_out` has room for SFL_SERVERS_MAX.
void sfl_server_order(const struct singleflight_client *client, struct sfl_span group,
                      struct sfl_span key, uint8_t *order_out);

// Puts a seat that is to join on the current session, or lets it wait for the next one. What comes
// of it is told to the seat: sfl_seat_on_*().
void sfl_server_seat(struct sfl_server *server, struct sfl_seat *seat);

// Whether a connection is there, though the server may have answered nothing yet.
bool sfl_server_is_connected(const struct sfl_server *server);

// From a session: it works; it turned a join away with UNAVAILABLE; it is over, with that status.
void sfl_server_on_session_up(struct sfl_server *server, struct sfl_session *session);
void sfl_server_on_session_refuses(struct sfl_server *server, struct sfl_session *session,
                                   const char *text);
void sfl_server_on_session_over(struct sfl_server *server, struct sfl_session *session, int code,
                                const char *text);

// Whether one of the servers is there, though it takes no joins.
bool sfl_server_one_refuses(const struct singleflight_client *client);

// From a seat: its join has not been answered for so long.
void sfl_server_on_silence(struct sfl_server *server, uint64_t waited_ms);

// Ends what runs by itself (timers, probes), and lets the sessions end when their frames are out.
void sfl_server_close(struct sfl_server *server);

// Ends the sessions at once.
void sfl_server_cut(struct sfl_server *server);

#endif
