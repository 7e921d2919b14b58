// SPDX-License-Identifier: Apache-2.0
// A relay between clients and a server, whose connections a test can cut.
#ifndef SFL_TESTS_CLIENT_RELAY_H
#define SFL_TESTS_CLIENT_RELAY_H

#include <stdbool.h>

struct relay;

// Listens on a loopback port of its own and passes connections on to `address`.
struct relay *relay_create(const char *address);

// "127.0.0.1:port"
const char *relay_address(const struct relay *relay);

// Closes every connection towards both ends, and returns when that is done. With `refuses`, those
// that come later are closed at once, until relay_accept().
void relay_cut(struct relay *relay, bool refuses);
void relay_accept(struct relay *relay);

// From now on nothing gets through in either direction, until relay_accept(): what comes is held
// back and arrives late, or, with `swallows`, is lost, and the connections with it. To both ends it
// looks like silence.
void relay_silence(struct relay *relay, bool swallows);

void relay_destroy(struct relay *relay);

#endif
