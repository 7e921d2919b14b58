// SPDX-License-Identifier: Apache-2.0
#include "cli/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 20

static bool is_gone(pid_t group)
{
    return kill(-group, 0) != 0 && errno == ESRCH;
}

static void end_group(pid_t group, uint64_t kill_after_ms)
{
    kill(-group, SIGTERM);
    kill(-group, SIGCONT);
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (uint64_t waited_ms = 0; waited_ms < kill_after_ms && !is_gone(group); waited_ms += POLL_MS)
        nanosleep(&pause, NULL);
    kill(-group, SIGKILL);
}

// It holds nothing of this process open: who reads our output must not wait for the guard. After
// the fork of a process with threads only what may be called in a signal handler is called here.
static void become_guard(int life, pid_t group, uint64_t kill_after_ms)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN);
    setsid();
    prctl(PR_SET_NAME, "singleflight-gd");
    dup2(life, 0);
    closefrom(1);
    char word;
    ssize_t bytes;
    do {
        bytes = read(0, &word, 1);
    } while (bytes < 0 && errno == EINTR);
    if (bytes == 0)
        end_group(group, kill_after_ms);
    _exit(0);
}

void sfl_cli_guard_start(struct sfl_cli_guard *guard, pid_t group, uint64_t kill_after_ms)
{
    guard->pid = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    // A signal must not find our handlers in the child: they write to pipes that are ours.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = _Fork();
    if (pid == 0) {
        close(ends[1]);
        become_guard(ends[0], group, kill_after_ms);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return;
    }
    guard->pid = pid;
    guard->life = ends[1];
}

void sfl_cli_guard_release(struct sfl_cli_guard *guard)
{
    if (guard->pid == 0)
        return;
    ssize_t written = write(guard->life, "", 1);
    (void)written; // SIGPIPE is ignored: somebody may have killed the guard
    close(guard->life);
    waitpid(guard->pid, NULL, 0);
    guard->pid = 0;
}
