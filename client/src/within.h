// SPDX-License-Identifier: Apache-2.0
// Calls that are made inside the functions of others: none may wait for itself.
#ifndef SFL_CLIENT_WITHIN_H
#define SFL_CLIENT_WITHIN_H

#include "src/call.h"

// Looks through the leads inside which a call of `client` is made; `lead` is the innermost, NULL:
// none. False: it would wait for itself. One for a key that is led through another client is not
// merged from now on: the server knows. Any thread.
bool sfl_within_allows(struct sfl_join *join, const struct singleflight_client *client,
                       const struct singleflight_call *lead);

// Writes what the server is told of them: the innermost, but for those that it has not granted.
// Any thread.
enum sfl_status sfl_within_write(struct singleflight_call *call) SFL_MUST_USE;

// Whether the function of this client that leads the key of a blocking call waits, over others
// perhaps, for one that the call is made inside of. (Of asynchronous calls nobody knows whether
// somebody waits.) Client's thread.
bool sfl_within_closes_ring(const struct singleflight_call *call);

#endif
