// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include "cli/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void append(struct sfl_cli_buffer *buffer, const void *data, size_t data_bytes)
{
    if (data_bytes == 0)
        return;
    if (buffer->room - buffer->used < data_bytes) {
        size_t room = buffer->room * 2 > buffer->used + data_bytes ? buffer->room * 2
                                                                   : buffer->used + data_bytes;
        buffer->data = sfl_cli_reallocate(buffer->data, room);
        buffer->room = room;
    }
    memcpy(buffer->data + buffer->used, data, data_bytes);
    buffer->used += data_bytes;
}

static void drop_front(struct sfl_cli_buffer *buffer, size_t bytes)
{
    memmove(buffer->data, buffer->data + bytes, buffer->used - bytes);
    buffer->used -= bytes;
}

int sfl_cli_output_init(struct sfl_cli_output *output, uv_loop_t *loop, int fd,
                        const struct sfl_cli_output_events *events, void *context)
{
    *output = (struct sfl_cli_output){.loop = loop, .fd = fd, .events = events, .context = context};
    output->printed_hash = XXH3_createState();
    if (output->printed_hash == NULL)
        return UV_ENOMEM;
    XXH3_128bits_reset(output->printed_hash);
    output->work.data = output;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    bool appends = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
    output->file_begin = appends ? status.st_size : lseek(fd, 0, SEEK_CUR);
    output->is_file = output->file_begin >= 0;
    return 0;
}

void sfl_cli_output_deinit(struct sfl_cli_output *output)
{
    assert(!output->busy);
    free(output->waiting.data);
    free(output->flying.data);
    XXH3_freeState(output->printed_hash);
}

// On a thread of the pool: any kind of descriptor may block, and a descriptor that we share with
// others must not be made non-blocking.
static void write_flying(uv_work_t *work)
{
    struct sfl_cli_output *output = work->data;
    size_t done = 0;
    while (done < output->flying.used) {
        ssize_t written = write(output->fd, output->flying.data + done, output->flying.used - done);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = output->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            output->error = errno;
            return;
        }
    }
}

// Cuts the file back to where we began. False when it is not ours alone.
static bool take_back(struct sfl_cli_output *output)
{
    if (!output->is_file)
        return false;
    struct stat status;
    off_t end = output->file_begin + (off_t)output->printed_bytes;
    if (fstat(output->fd, &status) != 0 || status.st_size != end)
        return false;
    if (ftruncate(output->fd, output->file_begin) != 0)
        return false;
    return lseek(output->fd, output->file_begin, SEEK_SET) == output->file_begin;
}

static void forget_printed(struct sfl_cli_output *output)
{
    output->printed_bytes = 0;
    XXH3_128bits_reset(output->printed_hash);
}

static void restart_now(struct sfl_cli_output *output)
{
    output->restarting = false;
    if (output->printed_bytes == 0 || output->error != 0)
        return;
    if (take_back(output))
        forget_printed(output);
    else
        output->comparing = true;
}

// True when the new bytes begin as what was printed.
static bool is_same(const struct sfl_cli_output *output)
{
    if (output->waiting.used < output->printed_bytes)
        return false;
    XXH128_hash_t now = XXH3_128bits(output->waiting.data, output->printed_bytes);
    return XXH128_isEqual(now, XXH3_128bits_digest(output->printed_hash)) != 0;
}

static void compare(struct sfl_cli_output *output)
{
    if (output->waiting.used < output->printed_bytes && !output->ending)
        return;
    output->comparing = false;
    if (is_same(output)) {
        drop_front(&output->waiting, output->printed_bytes);
    } else {
        forget_printed(output);
        output->events->on_printed_again(output->context);
    }
}

static void on_flown(uv_work_t *work, int status);

// Does the next thing that can be done.
static void pump(struct sfl_cli_output *output)
{
    if (output->busy || output->held)
        return;
    if (output->error != 0)
        output->waiting.used = 0;
    // What stands there is only taken back when something comes in its place.
    if (output->restarting && (output->waiting.used != 0 || output->ending))
        restart_now(output);
    if (output->comparing)
        compare(output);
    if (output->comparing)
        return;
    if (output->waiting.used != 0) {
        struct sfl_cli_buffer empty = output->flying;
        empty.used = 0;
        output->flying = output->waiting;
        output->waiting = empty;
        output->busy = true;
        int error = uv_queue_work(output->loop, &output->work, write_flying, on_flown);
        assert(error == 0); // it fails for a missing function only
        (void)error;
    } else if (output->ending) {
        output->ending = false;
        output->events->on_ended(output->context);
    }
}

static void on_flown(uv_work_t *work, int status)
{
    (void)status; // the work is never cancelled
    struct sfl_cli_output *output = work->data;
    output->busy = false;
    if (output->error == 0) {
        output->printed_bytes += output->flying.used;
        XXH3_128bits_update(output->printed_hash, output->flying.data, output->flying.used);
    }
    output->flying.used = 0;
    output->events->on_written(output->context);
    pump(output);
}

void sfl_cli_output_write(struct sfl_cli_output *output, const void *data, size_t data_bytes)
{
    if (output->error != 0)
        return;
    append(&output->waiting, data, data_bytes);
    pump(output);
}

void sfl_cli_output_hold(struct sfl_cli_output *output, bool held)
{
    output->held = held;
    pump(output);
}

void sfl_cli_output_restart(struct sfl_cli_output *output)
{
    output->waiting.used = 0;
    output->restarting = true;
    pump(output);
}

void sfl_cli_output_discard(struct sfl_cli_output *output)
{
    output->waiting.used = 0;
    output->restarting = false;
    output->comparing = false;
}

size_t sfl_cli_output_pending(const struct sfl_cli_output *output)
{
    bool kept = output->held || output->comparing || output->restarting;
    return output->flying.used + (kept ? 0 : output->waiting.used);
}

void sfl_cli_output_end(struct sfl_cli_output *output)
{
    output->ending = true;
    pump(output);
}
