// SPDX-License-Identifier: Apache-2.0
// One run of sfl_settings_load() with flags, environment and file of the test's choice.
#ifndef SFL_SUPPORT_CONFIG_RUN_H
#define SFL_SUPPORT_CONFIG_RUN_H

#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#define CONFIG_RUN_VARIABLES_MAX 16
#define CONFIG_RUN_FLAGS_MAX 32

struct config_run {
    // Given.
    char path[64]; // of the config file
    bool has_file;
    char *environment[CONFIG_RUN_VARIABLES_MAX + 1];
    size_t variables;
    // What came of the last run.
    struct sfl_settings settings;
    bool ready;
    int exit_code;
    char *out;
    char *err;
};

static inline void config_run_clear(struct config_run *run)
{
    sfl_settings_deinit(&run->settings);
    free(run->out);
    free(run->err);
    run->out = NULL;
    run->err = NULL;
}

// NAME=value, which must be static.
static inline void config_run_environment(struct config_run *run, const char *entry)
{
    assert_true(run->variables < CONFIG_RUN_VARIABLES_MAX);
    run->environment[run->variables++] = (char *)(uintptr_t)entry;
}

// Makes the config file; later runs are given --config.
static inline void config_run_file_bytes(struct config_run *run, const char *bytes, size_t size)
{
    FILE *file = fopen(run->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    run->has_file = true;
}

static inline void config_run_file(struct config_run *run, const char *text)
{
    config_run_file_bytes(run, text, strlen(text));
}

// Runs with flags that are parted by blanks, and returns whether settings came of it.
static inline bool config_run_flags(struct config_run *run, const char *flags)
{
    char *argv[CONFIG_RUN_FLAGS_MAX + 1] = {(char *)(uintptr_t) "singleflightd"};
    char config_flag[] = "--config";
    int argc = 1;
    if (run->has_file) {
        argv[argc++] = config_flag;
        argv[argc++] = run->path;
    }
    char *copy = strdup(flags);
    char *rest = NULL;
    assert_non_null(copy);
    for (char *flag = strtok_r(copy, " ", &rest); flag; flag = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < CONFIG_RUN_FLAGS_MAX);
        argv[argc++] = flag;
    }
    config_run_clear(run);
    size_t out_size = 0;
    size_t err_size = 0;
    FILE *out = open_memstream(&run->out, &out_size);
    FILE *err = open_memstream(&run->err, &err_size);
    assert_non_null(out);
    assert_non_null(err);
    run->exit_code = -1;
    run->ready =
        sfl_settings_load(argc, argv, run->environment, out, err, &run->settings, &run->exit_code);
    fclose(out);
    fclose(err);
    free(copy);
    return run->ready;
}

// Runs, and wants it to fail with this code and with `message` in what it says.
static inline void config_run_expect_error(struct config_run *run, const char *flags, int exit_code,
                                           const char *message)
{
    bool ready = config_run_flags(run, flags);
    if (ready || run->exit_code != exit_code || strstr(run->err, message) == NULL)
        fail_msg("flags \"%s\": exit %d, \"%s\"; wanted exit %d, \"%s\"", flags, run->exit_code,
                 run->err, exit_code, message);
    assert_int_equal(strncmp(run->err, "singleflightd: ", strlen("singleflightd: ")), 0);
}

static inline int config_run_setup(void **state)
{
    struct config_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return -1;
    strcpy(run->path, "/tmp/singleflightd-config-XXXXXX");
    int file = mkstemp(run->path);
    if (file < 0)
        return -1;
    close(file);
    *state = run;
    return 0;
}

static inline int config_run_teardown(void **state)
{
    struct config_run *run = *state;
    config_run_clear(run);
    unlink(run->path);
    free(run);
    return 0;
}

#endif
