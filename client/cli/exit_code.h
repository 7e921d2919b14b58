// SPDX-License-Identifier: Apache-2.0
// The codes that the tool itself exits with, outside the command's own; from sysexits.h.
#ifndef SFL_CLI_EXIT_CODE_H
#define SFL_CLI_EXIT_CODE_H

#include "singleflight.h"

#include <stdbool.h>

// name, code, what the help says about it
#define SFL_CLI_EXIT_LIST(X)                                                                       \
    X(OK, 0, "The command (or this subcommand) succeeded.")                                        \
    X(USAGE, 64, "The command line is wrong, or an option is out of the server's bounds.")         \
    X(OTHER_ARGUMENTS, 65, "The key is in use by another command line (see --fingerprint).")       \
    X(NOTHING_TO_FOLLOW, 66,                                                                       \
      "--follow-only, and nothing runs or is retained; or stop, and nothing runs.")                \
    X(UNAVAILABLE, 69, "No server could be reached, or it shuts down.")                            \
    X(SOFTWARE, 70,                                                                                \
      "An error inside the tool or the server; or the work was done by another program and "       \
      "failed without an exit code.")                                                              \
    X(OS_ERROR, 71, "The system refused something, such as memory.")                               \
    X(OUTPUT, 74, "Standard output could not be written.")                                         \
    X(TRY_LATER, 75,                                                                               \
      "Try again later: the leader was lost and nobody took over, this invocation lost the "       \
      "lead and there is nobody to follow, --timeout or --wait is over, a limit of the server is " \
      "reached, or --skip-if-running and it runs.")                                                \
    X(NOT_ALLOWED, 77,                                                                             \
      "The server does not know this caller (see --token-file and --tls-cert), or does not allow " \
      "it. Nothing was run, and --fail-open changes nothing.")                                     \
    X(CONFIG, 78, "The settings file is wrong (/etc/singleflight.conf, or SINGLEFLIGHT_CONFIG).")  \
    X(NOT_EXECUTABLE, 126, "The command was found but could not be run.")                          \
    X(NOT_FOUND, 127, "The command was not found.")

enum sfl_cli_exit {
#define SFL_CLI_EXIT_ENUM(name, code, text) SFL_CLI_EXIT_##name = (code),
    SFL_CLI_EXIT_LIST(SFL_CLI_EXIT_ENUM)
#undef SFL_CLI_EXIT_ENUM
};

// A command, or this tool, that was ended by signal n exits with this plus n, as in a shell.
#define SFL_CLI_EXIT_SIGNAL 128

// The code for a call to the service that ended so.
int sfl_cli_exit_of_status(enum singleflight_status status);

// The same for a question that a server should answer at once: no answer in time is no server.
int sfl_cli_exit_of_silence(enum singleflight_status status);

// The code for a Do whose status is OK: the command's own.
int sfl_cli_exit_of_outcome(const struct singleflight_result *result);

// True when a limit of the server took the place of what the function made.
bool sfl_cli_is_over_limit(const struct singleflight_result *result);

#endif
