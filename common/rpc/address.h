// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: what must be looked at before gRPC is asked to listen, because gRPC says
// only that it failed, or takes over what belongs to another process.
#ifndef SFL_RPC_ADDRESS_H
#define SFL_RPC_ADDRESS_H

#include "base/status.h"

#include <stddef.h>
#include <sys/types.h>

struct sfl_address {
    char host_as_written[260]; // with the brackets of an IPv6 address
    char host[256];            // without
    char port[6];
};

// Takes "host:port" apart and tries to bind to it for a moment. On failure `problem_out` gets a text
// that says what is wrong. SFL_INVALID_ARGUMENT for what cannot be read or resolved,
// SFL_UNAVAILABLE for what cannot be bound.
enum sfl_status sfl_address_check(const char *text, struct sfl_address *address_out,
                                  char problem_out[static 300]) SFL_MUST_USE;

// A unix socket's place in the file system that is ours.
struct sfl_unix_socket {
    struct sfl_unix_socket *next;
    int directory; // locked until the socket is settled; -1: not at all
    dev_t device;
    ino_t inode;
    char path[];
};

// Makes room for a socket at `path`: fails when something lives there, removes a stale socket, and
// keeps other processes that ask in the same way out until settle or give_up.
// SFL_INVALID_ARGUMENT: too long, or a file of another kind. SFL_UNAVAILABLE: taken, no access.
enum sfl_status sfl_unix_socket_claim(const char *path, struct sfl_unix_socket **socket_out,
                                      char problem_out[static 300]) SFL_MUST_USE;

// The socket is bound: remembers which file it is, lets others ask.
void sfl_unix_socket_settle(struct sfl_unix_socket *socket);

// The socket could not be bound. Frees `socket`.
void sfl_unix_socket_give_up(struct sfl_unix_socket *socket);

// Removes the file if it is still the one that was bound. Frees `socket`.
void sfl_unix_socket_remove(struct sfl_unix_socket *socket);

#endif
