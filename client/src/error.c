// SPDX-License-Identifier: Apache-2.0
#include "src/error.h"

#include <stdio.h>

#define LAST_ERROR_SIZE 1024

static _Thread_local char last_error[LAST_ERROR_SIZE];

enum singleflight_status sfl_error_set(enum singleflight_status status, const char *text)
{
    if (status != SINGLEFLIGHT_OK)
        snprintf(last_error, sizeof(last_error), "%s", text);
    return status;
}

const char *singleflight_last_error(void)
{
    return last_error;
}

enum singleflight_status sfl_error_of_code(int code)
{
    switch (code) {
    case SINGLEFLIGHT_OK:
    case SINGLEFLIGHT_CANCELLED:
    case SINGLEFLIGHT_INVALID_ARGUMENT:
    case SINGLEFLIGHT_DEADLINE_EXCEEDED:
    case SINGLEFLIGHT_NOT_FOUND:
    case SINGLEFLIGHT_PERMISSION_DENIED:
    case SINGLEFLIGHT_RESOURCE_EXHAUSTED:
    case SINGLEFLIGHT_FAILED_PRECONDITION:
    case SINGLEFLIGHT_ABORTED:
    case SINGLEFLIGHT_UNIMPLEMENTED:
    case SINGLEFLIGHT_INTERNAL:
    case SINGLEFLIGHT_UNAVAILABLE:
    case SINGLEFLIGHT_UNAUTHENTICATED:
        return (enum singleflight_status)code;
    default: // a number from the network
        return SINGLEFLIGHT_UNKNOWN;
    }
}

enum singleflight_status sfl_error_of(enum sfl_status status)
{
    return sfl_error_of_code(sfl_status_code(status));
}

const char *singleflight_status_name(enum singleflight_status status)
{
    switch (status) {
    case SINGLEFLIGHT_OK:
        return "OK";
    case SINGLEFLIGHT_CANCELLED:
        return "CANCELLED";
    case SINGLEFLIGHT_UNKNOWN:
        return "UNKNOWN";
    case SINGLEFLIGHT_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case SINGLEFLIGHT_DEADLINE_EXCEEDED:
        return "DEADLINE_EXCEEDED";
    case SINGLEFLIGHT_NOT_FOUND:
        return "NOT_FOUND";
    case SINGLEFLIGHT_PERMISSION_DENIED:
        return "PERMISSION_DENIED";
    case SINGLEFLIGHT_RESOURCE_EXHAUSTED:
        return "RESOURCE_EXHAUSTED";
    case SINGLEFLIGHT_FAILED_PRECONDITION:
        return "FAILED_PRECONDITION";
    case SINGLEFLIGHT_ABORTED:
        return "ABORTED";
    case SINGLEFLIGHT_UNIMPLEMENTED:
        return "UNIMPLEMENTED";
    case SINGLEFLIGHT_INTERNAL:
        return "INTERNAL";
    case SINGLEFLIGHT_UNAVAILABLE:
        return "UNAVAILABLE";
    case SINGLEFLIGHT_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    }
    return "UNKNOWN";
}

#define SFL_TEXT_OF(x) SFL_TEXT_OF_(x)
#define SFL_TEXT_OF_(x) #x

const char *singleflight_version(void)
{
    return SFL_TEXT_OF(SINGLEFLIGHT_VERSION_MAJOR) "." SFL_TEXT_OF(
        SINGLEFLIGHT_VERSION_MINOR) "." SFL_TEXT_OF(SINGLEFLIGHT_VERSION_PATCH);
}
