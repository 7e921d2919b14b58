// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: what the files of this folder share about gRPC queues.
#ifndef SFL_RPC_OPERATION_PRIVATE_H
#define SFL_RPC_OPERATION_PRIVATE_H

#include "rpc/pump.h"

#include <grpc/grpc.h>

#if defined(__SANITIZE_THREAD__)
#define SFL_OPERATION_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SFL_OPERATION_TSAN
#endif
#endif
#ifdef SFL_OPERATION_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// The tag of one kind of batch, embedded in the object that the batch belongs to. At most one batch
// with the same tag is under way.
struct sfl_operation {
    // Called on the pump thread when the batch is done; `ok` is gRPC's success flag.
    void (*on_done)(struct sfl_operation *operation, bool ok);
};

// To be called right before a batch with this tag is started. What was written before that is seen
// when it is done, which is gRPC's doing; ThreadSanitizer has to be told, for it does not see into
// gRPC's library.
static inline void sfl_operation_start(struct sfl_operation *operation)
{
#ifdef SFL_OPERATION_TSAN
    __tsan_release(operation);
#else
    (void)operation;
#endif
}

// The counterpart, when a queue has given the tag back.
static inline void sfl_operation_end(struct sfl_operation *operation)
{
#ifdef SFL_OPERATION_TSAN
    __tsan_acquire(operation);
#else
    (void)operation;
#endif
}

// The queue of a pump, for calls and requests whose tags are sfl_operations.
grpc_completion_queue *sfl_pump_queue(struct sfl_pump *pump);

// From our monotonic milliseconds to gRPC's clock and back. gRPC's monotonic clock has an origin of
// its own, so both go by the time that is left. UINT64_MAX stands for never.
gpr_timespec sfl_operation_deadline(uint64_t monotonic_ms);
uint64_t sfl_operation_monotonic_ms(gpr_timespec deadline);

#endif
