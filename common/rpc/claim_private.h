// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: what must be looked at before gRPC is asked to listen, because gRPC says
// only that it failed, or takes over what belongs to another process.
#ifndef SFL_RPC_CLAIM_PRIVATE_H
#define SFL_RPC_CLAIM_PRIVATE_H

#include "base/address.h"
#include "base/status.h"

// Takes "host:port" apart and tries to bind to it for a moment. On failure `problem_out` gets a
// text that says what is wrong, and not where. SFL_INVALID_ARGUMENT for what cannot be read or
// resolved, SFL_UNAVAILABLE for what cannot be bound.
enum sfl_status sfl_address_check(const char *text, struct sfl_address *address_out,
                                  char problem_out[static 300]) SFL_MUST_USE;

// Makes room for a unix socket at `path`: fails when something lives there, removes a stale socket,
// and keeps other processes that ask in the same way out until sfl_unix_socket_settle. gRPC removes
// the file itself when it closes the listener.
// SFL_INVALID_ARGUMENT: too long, or a file of another kind. SFL_UNAVAILABLE: taken, no access.
enum sfl_status sfl_unix_socket_claim(const char *path, int *claim_out,
                                      char problem_out[static 300]) SFL_MUST_USE;

// The socket is bound, or is not going to be: lets others ask.
void sfl_unix_socket_settle(int claim);

#endif
