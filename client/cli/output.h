// SPDX-License-Identifier: Apache-2.0
// Standard output, written in the background, of which an attempt's bytes can be taken back.
//
// When a leader is lost, what it wrote is void, but it may be on the user's screen already. It
// stays there until something comes in its place. Then, after sfl_cli_output_restart(), there are
// three ways to make the output right again:
//   - nothing was printed: nothing to do;
//   - a regular file that nobody else wrote to: it is cut back to where this tool began;
//   - anything else: the new bytes are held back until there are as many as were printed. When they
//     are the same, as with any command that always prints the same, the output goes on after them
//     and no reader notices. Otherwise they are printed from the beginning, and the owner is told.
#ifndef SFL_CLI_OUTPUT_H
#define SFL_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>
#include <xxhash.h>

struct sfl_cli_buffer {
    char *data;
    size_t used;
    size_t room;
};

struct sfl_cli_output_events {
    void (*on_written)(void *context);       // fewer bytes are pending than before
    void (*on_printed_again)(void *context); // what was printed before could not be taken back
    void (*on_ended)(void *context);         // after sfl_cli_output_end(): all is written
};

struct sfl_cli_output {
    uv_loop_t *loop;
    int fd;
    const struct sfl_cli_output_events *events;
    void *context;

    struct sfl_cli_buffer waiting; // not given to the system yet
    struct sfl_cli_buffer flying;  // being written by a thread of the pool, while `busy`
    uv_work_t work;
    bool busy;
    bool ending;
    int error; // errno of the first write that failed; nothing is written after it

    // What stands on the output of the attempt that counts, and its hash.
    uint64_t printed_bytes;
    XXH3_state_t *printed_hash;

    bool restarting; // a restart waits until there are other bytes, and `busy` is over
    bool held;       // sfl_cli_output_hold()
    bool comparing;  // `waiting` is held back until it can be compared with what was printed

    bool is_file;
    off_t file_begin;
};

// `events` are borrowed and called on the loop's thread. UV_ENOMEM is the only error.
__attribute__((warn_unused_result)) int
sfl_cli_output_init(struct sfl_cli_output *output, uv_loop_t *loop, int fd,
                    const struct sfl_cli_output_events *events, void *context);

// Appends bytes; copies them. Ends the process when there is no memory for them.
void sfl_cli_output_write(struct sfl_cli_output *output, const void *data, size_t data_bytes);

// What is written from now on is kept back, until it is held no longer.
void sfl_cli_output_hold(struct sfl_cli_output *output, bool held);

// What was written until now is void: what is not printed yet never will be, and what is printed is
// taken back when other bytes come, or the end.
void sfl_cli_output_restart(struct sfl_cli_output *output);

// What is not printed yet never will be, and what is printed stays.
void sfl_cli_output_discard(struct sfl_cli_output *output);

// How many bytes wait for whoever reads the output. Bytes that are kept back do not count: to wait
// would not set them free.
size_t sfl_cli_output_pending(const struct sfl_cli_output *output);

// No more bytes come: on_ended follows, perhaps at once.
void sfl_cli_output_end(struct sfl_cli_output *output);

// Not while a write is under way, so after on_ended.
void sfl_cli_output_deinit(struct sfl_cli_output *output);

#endif
