// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_PROTO_DESCRIPTORS_H
#define SFL_PROTO_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

// A serialized google.protobuf.FileDescriptorSet of every service of the daemon: singleflight.v1,
// grpc.health.v1, grpc.reflection.v1 and grpc.reflection.v1alpha. It is made by protoc at build
// time; it is constant, and any thread may read it. The reflection service unpacks it with
// "google/protobuf/descriptor.pb-c.h".
extern const uint8_t sfl_descriptor_set[];

// Its size in bytes.
extern const size_t sfl_descriptor_set_size;

#endif
