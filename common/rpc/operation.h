// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: what the files of this folder share about gRPC queues.
#ifndef SFL_RPC_OPERATION_H
#define SFL_RPC_OPERATION_H

#include "rpc/pump.h"

#include <grpc/grpc.h>

// The tag of one kind of batch, embedded in the object that the batch belongs to. At most one batch
// with the same tag is under way.
struct sfl_operation {
    // Called on the pump thread when the batch is done; `ok` is gRPC's success flag.
    void (*on_done)(struct sfl_operation *operation, bool ok);
};

// The queue of a pump, for calls and requests whose tags are sfl_operations.
grpc_completion_queue *sfl_pump_queue(struct sfl_pump *pump);

// From our monotonic milliseconds to gRPC's clock and back. gRPC's monotonic clock has an origin of
// its own, so both go by the time that is left. UINT64_MAX stands for never.
gpr_timespec sfl_operation_deadline(uint64_t monotonic_ms);
uint64_t sfl_operation_monotonic_ms(gpr_timespec deadline);

#endif
