// SPDX-License-Identifier: Apache-2.0
// A relay between a client and a server that a test can cut, so that both ends lose their peer.
#ifndef SFL_TESTS_RPC_RELAY_H
#define SFL_TESTS_RPC_RELAY_H

struct relay;

// Listens on a port of its own and passes one connection on to 127.0.0.1:`port`.
struct relay *relay_create(int port);
int relay_port(const struct relay *relay);

// Closes the connection towards both ends at once, as when a machine goes down.
void relay_cut(struct relay *relay);

// Passes nothing on any more and reads nothing, as when the client's machine is frozen. Returns
// when that is so.
void relay_freeze(struct relay *relay);

void relay_destroy(struct relay *relay);

#endif
