// SPDX-License-Identifier: Apache-2.0
// sim: plays runs of the core, one per seed, and checks each against the model.
#include "run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct run run;
static volatile uint64_t current_seed;
static FILE *record;

static const char usage[] =
    "sim [--seeds N] [--from SEED] [--seed SEED [--trace] [--record FILE]] [--steps N]\n"
    "  --seeds N    how many runs (1000)\n"
    "  --from SEED  the first seed (1)\n"
    "  --seed SEED  this run only\n"
    "  --trace      print what happened in it\n"
    "  --record F   write its choices to F, as core_fuzz reads them\n"
    "  --steps N    how long a run is (the seed says)\n";

// An assertion of the core itself: say which run it was.
static void on_abort(int signal_number)
{
    char line[160];
    int size = snprintf(line, sizeof(line),
                        "sim: the core stopped in seed %" PRIu64 " at step %u; see it with:"
                        " sim --seed %" PRIu64 " --trace\n",
                        (uint64_t)current_seed, run.step, (uint64_t)current_seed);
    ssize_t written = write(STDERR_FILENO, line, (size_t)size);
    (void)written;
    if (run.traces)
        run_print_trace(&run, stderr);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

// True when the run of this seed went well.
static bool play(uint64_t seed, unsigned steps, bool traces)
{
    current_seed = seed;
    run.traces = traces;
    if (setjmp(run.on_failure) != 0)
        return false;
    struct choice choice = choice_of_seed(seed);
    choice.record = record;
    run_play(&run, choice, steps);
    return true;
}

static int report(uint64_t seed, unsigned steps)
{
    // Once more, with the trace on: the same seed is the same run.
    bool went_well = play(seed, steps, true);
    run_print_trace(&run, stderr);
    fprintf(stderr, "sim: seed %" PRIu64 " failed at step %u, %" PRIu64 " ms: %s\n", seed, run.step,
            run.now_ms, went_well ? "(and not again: the run is not deterministic)" : run.message);
    fprintf(stderr, "sim: see it again with: sim --seed %" PRIu64 " --trace\n", seed);
    return EXIT_FAILURE;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || end == text || *end != '\0') {
        fputs(usage, stderr);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint64_t from = 1;
    uint64_t seeds = 1000;
    unsigned steps = 0;
    bool traces = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            traces = true;
            continue;
        }
        if (strcmp(argv[i], "--record") == 0) {
            record = i + 1 < argc ? fopen(argv[++i], "wb") : NULL;
            if (record == NULL)
                return fputs(usage, stderr), 2;
            continue;
        }
        uint64_t value = number(i + 1 < argc ? argv[i + 1] : NULL);
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = value;
        else if (strcmp(argv[i], "--from") == 0)
            from = value;
        else if (strcmp(argv[i], "--steps") == 0)
            steps = (unsigned)value;
        else if (strcmp(argv[i], "--seed") == 0)
            from = value, seeds = 1;
        else
            return fputs(usage, stderr), 2;
        i++;
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    for (uint64_t seed = from; seed < from + seeds; seed++)
        if (!play(seed, steps, traces))
            return report(seed, steps);
    if (traces)
        run_print_trace(&run, stdout);
    if (record != NULL && fclose(record) != 0)
        return perror("sim: the record"), EXIT_FAILURE;
    printf("sim: %" PRIu64 " seeds from %" PRIu64 ": ok\n", seeds, from);
    return EXIT_SUCCESS;
}
