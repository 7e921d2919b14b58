// SPDX-License-Identifier: Apache-2.0
// A string of bytes becomes a run of the simulator: every decision is made by the bytes, and the
// model checks every step. So the fuzzer looks for what no seed happens to reach.
#include "run.h"

#include <stdlib.h>

enum { STEPS_MAX = 2000 };

static struct run run;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t nothing[1];
    run.traces = false;
    if (setjmp(run.on_failure) != 0) {
        // Once more, for the trace.
        if (!run.traces) {
            run.traces = true;
            run_play(&run, choice_of_bytes(size == 0 ? nothing : bytes, size), STEPS_MAX);
        }
        run_print_trace(&run, stderr);
        fprintf(stderr, "core_fuzz: at step %u: %s\n", run.step, run.message);
        abort();
    }
    run_play(&run, choice_of_bytes(size == 0 ? nothing : bytes, size), STEPS_MAX);
    return 0;
}
