// SPDX-License-Identifier: Apache-2.0
#include "cli/exec_child.h"

#include "cli/exit_code.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int sfl_cli_exec_child(int argc, char *argv[])
{
    if (argc < 5)
        return SFL_CLI_EXIT_USAGE;
    pid_t parent = (pid_t)strtol(argv[2], NULL, 10);
    int report = (int)strtol(argv[3], NULL, 10);
    fcntl(report, F_SETFD, FD_CLOEXEC);
    // A group of its own, so that signals reach whatever the command has started.
    setpgid(0, 0);
    // The terminal's foreground group is this tool's: who reads from it or sets it is to get an
    // error, and not to be stopped where nobody can make it go on.
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    // A tool that is killed cannot end its command any more, and somebody else will take over.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        raise(SIGTERM);
    execvp(argv[4], argv + 4);
    int error = errno;
    ssize_t written = write(report, &error, sizeof(error));
    (void)written; // without a reader there is nobody left to tell
    return error == ENOENT ? SFL_CLI_EXIT_NOT_FOUND : SFL_CLI_EXIT_NOT_EXECUTABLE;
}
