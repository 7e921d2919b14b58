// SPDX-License-Identifier: Apache-2.0
// The conformance driver in C: one process, any number of clients and calls, told by lines of JSON
// on its standard input what to do, and telling in the same way what happened.
// tests/conformance/README.md has the words.
#ifndef SFL_TESTS_CONFORMANCE_DRIVER_H
#define SFL_TESTS_CONFORMANCE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>
#include <singleflight.h>

// ---- lines (lines.c) ----

// Prints one event and frees it. Any thread.
void line_print(struct json_object *event);

// A new event about `subject` ("call" or "client"); NULL: about nothing. To be printed.
struct json_object *line_new(const char *event, const char *subject, const char *name);
void line_add_text(struct json_object *event, const char *name, const char *text);
void line_add_number(struct json_object *event, const char *name, uint64_t number);
void line_add_flag(struct json_object *event, const char *name, bool flag);
void line_add_token(struct json_object *event, uint64_t token);
void line_add_base64(struct json_object *event, const char *name, const void *data, size_t bytes);
void line_add_sha256(struct json_object *event, const char *name, const void *data, size_t bytes);

// Fields of a command; what is absent is NULL, 0 or false.
const char *line_text(struct json_object *command, const char *name);
uint64_t line_number(struct json_object *command, const char *name);
int32_t line_code(struct json_object *command); // the field "code", which may be below 0
bool line_flag(struct json_object *command, const char *name);
bool line_has(struct json_object *command, const char *name);

// Decoded bytes, to be freed; NULL and 0 when the field is absent.
void *line_base64(struct json_object *command, const char *name, size_t *bytes_out);

// ---- signals (signals.c) ----

// Remembers that `name` was given and wakes who waits for it.
void signal_give(const char *name);

// Waits for `name`, or until the lead is lost; true when it was given.
bool signal_wait(const char *name, struct singleflight_leader *leader);

// ---- calls (calls.c) ----

// Starts the call that `command` describes. Keeps a reference to the command.
void call_start(struct singleflight_client *client, struct json_object *command);
void call_cancel(const char *name);

// Waits until no call is left.
void calls_drain(void);

#endif
