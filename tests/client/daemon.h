// SPDX-License-Identifier: Apache-2.0
// A singleflightd of the test's own, on loopback.
#ifndef SFL_TESTS_CLIENT_DAEMON_H
#define SFL_TESTS_CLIENT_DAEMON_H

#include <sys/types.h>

// How long a test waits for what must happen, before it fails.
#define PATIENCE_MS 20000

struct test_daemon {
    pid_t pid;
    char address[64]; // "127.0.0.1:port"
};

// Starts one on `address`, "127.0.0.1:0" for a port of the system's choice, and returns when it
// listens. The program is that of the environment variable SFL_DAEMON.
struct test_daemon daemon_start(const char *address);

// The same with more flags, ended by NULL; at most 16.
struct test_daemon daemon_start_with(const char *address, const char *const *flags);

// Sends `signal` to it and waits for its end.
void daemon_end(struct test_daemon *daemon, int signal);

#endif
