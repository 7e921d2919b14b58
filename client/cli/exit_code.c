// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_code.h"

#include <string.h>

int sfl_cli_exit_of_status(enum singleflight_status status)
{
    switch (status) {
    case SINGLEFLIGHT_OK:
        return SFL_CLI_EXIT_OK;
    case SINGLEFLIGHT_INVALID_ARGUMENT:
        return SFL_CLI_EXIT_USAGE;
    case SINGLEFLIGHT_FAILED_PRECONDITION:
        return SFL_CLI_EXIT_OTHER_ARGUMENTS;
    case SINGLEFLIGHT_NOT_FOUND:
        return SFL_CLI_EXIT_NOTHING_TO_FOLLOW;
    case SINGLEFLIGHT_UNAVAILABLE:
        return SFL_CLI_EXIT_UNAVAILABLE;
    case SINGLEFLIGHT_CANCELLED:
    case SINGLEFLIGHT_DEADLINE_EXCEEDED:
    case SINGLEFLIGHT_RESOURCE_EXHAUSTED:
    case SINGLEFLIGHT_ABORTED:
        return SFL_CLI_EXIT_TRY_LATER;
    case SINGLEFLIGHT_PERMISSION_DENIED:
    case SINGLEFLIGHT_UNAUTHENTICATED:
        return SFL_CLI_EXIT_NOT_ALLOWED;
    case SINGLEFLIGHT_UNKNOWN:
    case SINGLEFLIGHT_UNIMPLEMENTED:
    case SINGLEFLIGHT_INTERNAL:
        return SFL_CLI_EXIT_SOFTWARE;
    }
    return SFL_CLI_EXIT_SOFTWARE;
}

int sfl_cli_exit_of_silence(enum singleflight_status status)
{
    return status == SINGLEFLIGHT_DEADLINE_EXCEEDED ? SFL_CLI_EXIT_UNAVAILABLE
                                                    : sfl_cli_exit_of_status(status);
}

bool sfl_cli_is_over_limit(const struct singleflight_result *result)
{
    return result->outcome == SINGLEFLIGHT_OUTCOME_ERROR &&
           strcmp(result->type, SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED) == 0;
}

int sfl_cli_exit_of_outcome(const struct singleflight_result *result)
{
    if (result->outcome == SINGLEFLIGHT_OUTCOME_OK)
        return SFL_CLI_EXIT_OK;
    // Its leader was lost and may not be replaced (--hold), or gave up.
    if (result->outcome == SINGLEFLIGHT_OUTCOME_ABANDONED && result->code == 0)
        return SFL_CLI_EXIT_TRY_LATER;
    // The value met a limit of the server: that is no word of the command's.
    if (sfl_cli_is_over_limit(result))
        return SFL_CLI_EXIT_TRY_LATER;
    // Other programs may lead, too, and their error codes need not be exit codes.
    bool is_exit_code = result->code >= 1 && result->code <= 255;
    return is_exit_code ? result->code : SFL_CLI_EXIT_SOFTWARE;
}
