// SPDX-License-Identifier: Apache-2.0
// What the variables of OpenTelemetry ask for
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Pure.
#ifndef SFL_TRACING_ENVIRONMENT_H
#define SFL_TRACING_ENVIRONMENT_H

#include "tracing/pairs.h"
#include "tracing/sampler.h"

#include <stdint.h>

struct sfl_tracing_settings {
    bool is_on;
    struct sfl_sampler sampler;
    // Where to, as gRPC names it; never NULL when it is on.
    char *target;
    bool is_tls;
    char *certificate;        // PEM file of the CAs to trust; NULL: the system's
    char *client_certificate; // PEM files; NULL: none
    char *client_key;
    struct sfl_pairs headers;  // metadata of every export
    struct sfl_pairs resource; // attributes
    uint64_t timeout_ms;       // of one export
    uint64_t delay_ms;         // that a span may wait for others
    uint64_t queue_max;        // traced calls that wait
    uint64_t batch_max;        // of them in one export
};

struct sfl_environment {
    // A variable's value, or NULL.
    const char *(*get)(void *context, const char *name);
    // A variable does not count, and why. Both are static. Values may be secrets.
    void (*warn)(void *context, const char *name, const char *problem);
    void *context;
};

// Reads all of them. What is wrong is warned about, and is as if it were not there, as the
// specification says. SFL_NO_MEMORY.
enum sfl_status sfl_tracing_settings_read(const struct sfl_environment *environment,
                                          struct sfl_tracing_settings *settings_out) SFL_MUST_USE;

void sfl_tracing_settings_deinit(struct sfl_tracing_settings *settings);

#endif
