// SPDX-License-Identifier: Apache-2.0
#include "tracing/ids.h"

#include "base/entropy.h"

static _Thread_local uint64_t sequence; // 0: this thread has none yet

// SplitMix64 (https://prng.di.unimi.it/splitmix64.c). Never 0, which names nothing.
static uint64_t next(void)
{
    uint64_t mixed = 0;
    while (mixed == 0) {
        if (sequence == 0)
            sequence = sfl_entropy_u64();
        sequence += UINT64_C(0x9e3779b97f4a7c15);
        mixed = sequence;
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        mixed ^= mixed >> 31;
    }
    return mixed;
}

void sfl_trace_new_id(uint8_t id_out[static SFL_TRACE_ID_BYTES])
{
    sfl_trace_new_span_id(id_out);
    sfl_trace_new_span_id(id_out + SFL_TRACE_SPAN_BYTES);
}

void sfl_trace_new_span_id(uint8_t id_out[static SFL_TRACE_SPAN_BYTES])
{
    uint64_t number = next();
    memcpy(id_out, &number, sizeof(number));
}
