// SPDX-License-Identifier: Apache-2.0
// What the proto files of the services declare, for reflection. Never changed once made.
#ifndef SFL_TRANSPORT_DESCRIPTORS_H
#define SFL_TRANSPORT_DESCRIPTORS_H

#include "base/bytes.h"
#include "base/status.h"

struct sfl_descriptors;

// Reads the descriptor set that is part of the program.
enum sfl_status sfl_descriptors_create(struct sfl_descriptors **descriptors_out) SFL_MUST_USE;
void sfl_descriptors_destroy(struct sfl_descriptors *descriptors);

size_t sfl_descriptors_count(const struct sfl_descriptors *descriptors);

// A serialized FileDescriptorProto; static storage.
struct sfl_span sfl_descriptors_bytes(const struct sfl_descriptors *descriptors, size_t file);

// The file of this name, or the one that declares this full name (with or without a dot before it);
// sfl_descriptors_count when there is none.
size_t sfl_descriptors_find_file(const struct sfl_descriptors *descriptors, struct sfl_span name);
size_t sfl_descriptors_find_symbol(const struct sfl_descriptors *descriptors,
                                   struct sfl_span symbol);

// True when this is the full name of a message.
bool sfl_descriptors_is_message(const struct sfl_descriptors *descriptors, struct sfl_span name);

// Marks the file and all that it imports, one after the other, in an array of
// sfl_descriptors_count.
void sfl_descriptors_mark(const struct sfl_descriptors *descriptors, size_t file, bool *marks);

// Calls `visit` with the full name of every service.
enum { SFL_SERVICE_NAME_MAX = 256 };
void sfl_descriptors_visit_services(const struct sfl_descriptors *descriptors,
                                    void (*visit)(void *context, const char *name), void *context);

#endif
