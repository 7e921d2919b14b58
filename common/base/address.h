// SPDX-License-Identifier: Apache-2.0
// What an address to listen on may look like. Pure: nothing is looked up, nothing is bound.
#ifndef SFL_BASE_ADDRESS_H
#define SFL_BASE_ADDRESS_H

#include <stdbool.h>

struct sfl_address {
    char host_as_written[260]; // with the brackets of an IPv6 address
    char host[256];            // without
    char port[6];              // 1 to 5 digits, at most 65535
};

// Takes "HOST:PORT" or "[IPV6]:PORT" apart. False when the text has another form, and nothing is
// touched then; a host that does not exist is found out by whoever looks it up.
bool sfl_address_split(const char *text, struct sfl_address *address_out)
    __attribute__((warn_unused_result));

// Whether it names this machine and no other can reach it: 127.0.0.0/8, ::1, localhost.
bool sfl_address_is_loopback(const struct sfl_address *address);

#endif
