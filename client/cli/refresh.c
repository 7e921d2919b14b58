// SPDX-License-Identifier: Apache-2.0
#include "cli/refresh.h"

#include "cli/memory.h"
#include "cli/own_program.h"
#include "cli/run.h"

#include <stdlib.h>
#include <string.h>

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

void sfl_cli_refresh(struct sfl_cli_run *run)
{
    char *const *words = run->options->words;
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    char **arguments = sfl_cli_allocate((count + 2) * sizeof(*arguments));
    arguments[0] = words[0];
    arguments[1] = SFL_CLI_REFRESH_WORD;
    memcpy(arguments + 2, words + 1, (count - 1) * sizeof(*arguments));
    uv_stdio_container_t nothing[] = {
        {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    uv_process_options_t options = {
        .file = sfl_cli_own_program(),
        .args = arguments,
        .flags = UV_PROCESS_DETACHED, // a session of its own: no terminal ends it
        .stdio = nothing,
        .stdio_count = 3,
    };
    uv_process_t *process = sfl_cli_allocate(sizeof(*process));
    int error = uv_spawn(&run->loop, process, &options);
    if (error != 0)
        sfl_cli_run_say(run, "cannot renew the outcome: %s", uv_strerror(error));
    uv_close((uv_handle_t *)process, on_close);
    free(arguments);
}

void sfl_cli_become_refresh(struct sfl_cli_options *options)
{
    options->stale_ms = 0;
    options->retain_error_ms = 0; // one that fails replaces nothing
    options->skip_if_running = true;
    options->quiet = true;
}
