// SPDX-License-Identifier: Apache-2.0
#include "bench/load/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static FILE *open_of(int pid, const char *name, const char *mode)
{
    char path[128];
    if (pid == 0)
        return NULL;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return fopen(path, mode);
}

uint64_t process_cpu_us(int pid)
{
    char line[1024];
    FILE *file = open_of(pid, "stat", "r");
    if (file == NULL)
        return 0;
    uint64_t ticks = 0;
    if (fgets(line, sizeof line, file) != NULL) {
        // The name in parentheses may contain anything; utime and stime are 12 and 13 after it.
        char *rest = strrchr(line, ')');
        uint64_t user;
        uint64_t system;
        if (rest != NULL &&
            sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                   &user, &system) == 2)
            ticks = user + system;
    }
    fclose(file);
    return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

// The number behind `name` in a file such as /proc/1/status.
static uint64_t number_in(int pid, const char *path, const char *name)
{
    char line[256];
    uint64_t number = 0;
    FILE *file = open_of(pid, path, "r");
    if (file == NULL)
        return 0;
    size_t size = strlen(name);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, size) == 0 && sscanf(line + size, ": %" SCNu64, &number) == 1)
            break;
    }
    fclose(file);
    return number;
}

static uint64_t status_bytes(int pid, const char *name)
{
    return number_in(pid, "status", name) * 1024;
}

uint64_t process_rss_bytes(int pid)
{
    return status_bytes(pid, "VmRSS");
}

uint64_t process_rss_peak_bytes(int pid)
{
    return status_bytes(pid, "VmHWM");
}

void process_rss_peak_reset(int pid)
{
    FILE *file = open_of(pid, "clear_refs", "w");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}

uint64_t process_switches(int pid)
{
    char path[64];
    uint64_t switches = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = pid == 0 ? NULL : opendir(path);
    if (tasks == NULL)
        return 0;
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "task/%.20s/status", task->d_name);
        switches += number_in(pid, path, "voluntary_ctxt_switches");
    }
    closedir(tasks);
    return switches;
}

uint64_t process_own_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}
