// SPDX-License-Identifier: Apache-2.0
// singleflight top: looks again and again. The looks block, so a thread of the pool takes them,
// one at a time; the loop keeps the time, the keys and the signals.
#include "cli/connect.h"
#include "cli/exit_code.h"
#include "cli/memory.h"
#include "cli/snapshot.h"
#include "cli/subcommands.h"
#include "cli/text.h"

#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define RUNS_MAX 50 // more than any screen has room for

struct view {
    const struct sfl_cli_options *options;
    struct singleflight_client *client;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t interrupt;
    uv_signal_t terminate;
    uv_tty_t screen;
    uv_tty_t keyboard;
    uv_work_t work;
    struct sfl_cli_snapshot snapshot; // of the thread of the pool while `looking`
    struct sfl_cli_snapshot ended;    // the runs; as above
    struct sfl_cli_snapshot before;   // the look before
    char *problem;                    // of the last look, or NULL; as above
    bool has_screen;
    bool has_keyboard;
    bool looking;
    bool ending;
    uint64_t looks;
    int exit_code;
};

// What has ended is for the screen; whoever reads lines has `singleflight runs`. A server that is
// too old for that, or does not tell, leaves the place empty.
static void look_at_runs(struct view *view)
{
    struct sfl_cli_options few = *view->options;
    few.limit = RUNS_MAX;
    few.key = NULL;
    (void)sfl_cli_snapshot_runs(&view->ended, view->client, &few);
}

static void look(uv_work_t *work)
{
    struct view *view = work->data;
    view->snapshot.before = &view->before;
    enum singleflight_status status =
        sfl_cli_snapshot_stats(&view->snapshot, view->client, view->options);
    if (status == SINGLEFLIGHT_OK)
        status = sfl_cli_snapshot_flights(&view->snapshot, view->client, view->options);
    view->exit_code = sfl_cli_exit_of_silence(status);
    if (status != SINGLEFLIGHT_OK)
        view->problem = sfl_cli_copy_text(singleflight_last_error());
    else if (view->has_screen)
        look_at_runs(view);
}

// A third of the rows is theirs, where that leaves enough.
static size_t runs_to_show(const struct view *view, size_t rows_left)
{
    size_t share = rows_left < 12 ? 0 : rows_left / 3 - 2;
    return view->ended.run_count < share ? view->ended.run_count : share;
}

static void draw_screen(struct view *view)
{
    int columns = 80;
    int rows = 24;
    uv_tty_get_winsize(&view->screen, &columns, &rows);
    printf("\033[H\033[J"); // home, and clear to the end
    size_t taken = sfl_cli_print_stats_densely(stdout, &view->snapshot, (size_t)columns);
    taken += 5; // empty lines, the heading, a problem, the last line
    size_t rows_left = (size_t)rows > taken + 4 ? (size_t)rows - taken : 4;
    size_t runs = runs_to_show(view, rows_left);
    printf("\n");
    sfl_cli_print_flights(stdout, &view->snapshot, runs == 0 ? rows_left : rows_left - runs - 2,
                          (size_t)columns);
    if (runs != 0) {
        printf("\n");
        sfl_cli_print_runs(stdout, &view->ended, runs, (size_t)columns);
    }
    if (view->problem != NULL) {
        char *problem = sfl_cli_readable(view->problem, strlen(view->problem));
        printf("\nsingleflight: %s\n", problem);
        free(problem);
    }
    printf("q ends");
}

static void print_plain(const struct view *view)
{
    if (view->options->json) {
        sfl_cli_print_stats_json(stdout, &view->snapshot);
        sfl_cli_print_flights_json(stdout, &view->snapshot);
        return;
    }
    sfl_cli_print_stats(stdout, &view->snapshot);
    if (view->problem != NULL && view->snapshot.flight_count == 0)
        return;
    printf("\n");
    sfl_cli_print_flights(stdout, &view->snapshot, SIZE_MAX, SIZE_MAX);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void end(struct view *view)
{
    view->ending = true;
    if (view->looking)
        return;
    if (view->has_keyboard && !uv_is_closing((uv_handle_t *)&view->keyboard))
        uv_tty_set_mode(&view->keyboard, UV_TTY_MODE_NORMAL);
    uv_walk(&view->loop, close_handle, NULL);
}

// How many looks there are; 0: without end.
static uint64_t looks_wanted(const struct view *view)
{
    if (view->options->count != 0)
        return view->options->count;
    return view->has_screen ? 0 : 1;
}

static void remember(struct view *view)
{
    sfl_cli_snapshot_deinit(&view->ended);
    sfl_cli_snapshot_deinit(&view->before);
    view->before = view->snapshot;
    view->before.before = NULL;
    view->snapshot = (struct sfl_cli_snapshot){0};
}

static void on_looked(uv_work_t *work, int status)
{
    (void)status; // the work is never cancelled
    struct view *view = work->data;
    view->looking = false;
    sfl_cli_snapshot_sort(&view->snapshot);
    if (view->has_screen)
        draw_screen(view);
    else
        print_plain(view);
    if (view->problem != NULL && !view->has_screen && !view->options->quiet)
        sfl_cli_say("%s", view->problem);
    bool is_written = fflush(stdout) == 0;
    if (!is_written)
        view->exit_code = SFL_CLI_EXIT_OUTPUT;
    remember(view);
    free(view->problem);
    view->problem = NULL;
    view->looks++;
    if (view->ending || !is_written || view->looks == looks_wanted(view))
        end(view);
}

static void on_timer(uv_timer_t *timer)
{
    struct view *view = timer->data;
    if (view->looking || view->ending)
        return;
    view->looking = true;
    view->work.data = view;
    int error = uv_queue_work(&view->loop, &view->work, look, on_looked);
    assert(error == 0); // it fails for a missing function only
    (void)error;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct view *view = handle->data;
    (void)number;
    end(view);
}

static void on_allocate(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested_bytes;
    static char keys[64];
    *buffer = uv_buf_init(keys, sizeof(keys));
}

// In raw mode Ctrl-C is a key, too.
static void on_key(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct view *view = stream->data;
    for (ssize_t i = 0; i < bytes; i++) {
        if (buffer->base[i] == 'q' || buffer->base[i] == 3)
            end(view);
    }
    if (bytes < 0)
        uv_read_stop(stream);
}

static void open_terminal(struct view *view)
{
    bool wanted = isatty(STDOUT_FILENO) && !view->options->json;
    view->has_screen = wanted && uv_tty_init(&view->loop, &view->screen, STDOUT_FILENO, 0) == 0;
    if (!view->has_screen || !isatty(STDIN_FILENO))
        return;
    view->has_keyboard = uv_tty_init(&view->loop, &view->keyboard, STDIN_FILENO, 0) == 0;
    if (!view->has_keyboard)
        return;
    view->keyboard.data = view;
    // Output keeps its line ends with this mode; plain raw mode would take them.
    uv_tty_set_mode(&view->keyboard, UV_TTY_MODE_RAW);
    uv_read_start((uv_stream_t *)&view->keyboard, on_allocate, on_key);
}

static void listen_to(struct view *view, uv_signal_t *handle, int number)
{
    uv_signal_init(&view->loop, handle);
    handle->data = view;
    uv_signal_start(handle, on_signal, number);
}

int sfl_cli_top(const struct sfl_cli_options *options)
{
    struct view *view = sfl_cli_allocate(sizeof(*view));
    view->options = options;
    view->client = sfl_cli_connect(options, &view->exit_code);
    if (view->client != NULL) {
        int error = uv_loop_init(&view->loop);
        assert(error == 0);
        open_terminal(view);
        listen_to(view, &view->interrupt, SIGINT);
        listen_to(view, &view->terminate, SIGTERM);
        uv_timer_init(&view->loop, &view->timer);
        view->timer.data = view;
        uv_timer_start(&view->timer, on_timer, 0, options->interval_ms);
        uv_run(&view->loop, UV_RUN_DEFAULT);
        if (view->has_screen)
            printf("\n");
        error = uv_loop_close(&view->loop);
        assert(error == 0);
        (void)error;
        singleflight_client_destroy(view->client);
    }
    int exit_code = view->exit_code;
    sfl_cli_snapshot_deinit(&view->before);
    free(view);
    return exit_code;
}
