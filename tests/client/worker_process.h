// SPDX-License-Identifier: Apache-2.0
// Callers in processes of their own: see worker.c for what they say and what they are told.
#ifndef SFL_TESTS_CLIENT_WORKER_PROCESS_H
#define SFL_TESTS_CLIENT_WORKER_PROCESS_H

#include "process.h"

#include <stdbool.h>
#include <stdint.h>

// Starts a caller of `key` at `address`; `options` are "name=value" in one text, with spaces.
struct process worker_start(const char *address, const char *key, const char *options);

// Its next line must be this one.
void worker_expect(struct process *worker, const char *line);

// Its next line must begin so; returns what comes after it, valid until the next line.
const char *worker_expect_start(struct process *worker, const char *start);

// Its next line must be a `lead`; returns the token. `attempt` must be right.
uint64_t worker_expect_lead(struct process *worker, unsigned attempt);

// What is told of the end.
struct worker_result {
    char status[32];
    int outcome;
    bool led;
    bool shared;
    unsigned callers;
    unsigned attempt;
    unsigned long long token;
    bool retained;
    bool alone;
    int code;
    size_t bytes;
    char message[PROCESS_LINE_MAX];
    char value[PROCESS_LINE_MAX];
};

// Its next lines must tell the end.
struct worker_result worker_expect_done(struct process *worker);

void worker_tell(struct process *worker, const char *line);

// Has it end, and waits for that; it must end without an error.
void worker_quit(struct process *worker);

// Kills it, and waits for its end.
void worker_kill(struct process *worker);

#endif
