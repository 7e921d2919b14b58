// SPDX-License-Identifier: Apache-2.0
#include "rpc/library.h"

#include "base/log.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static _Atomic uint64_t handshake_failures;

// There is no other word of it: how a handshake ends gRPC tells only its log.
static bool tells_of_handshake(struct sfl_span text)
{
    static const char words[] = "Handshake failed";
    size_t size = sizeof(words) - 1;
    return text.size >= size && memcmp(text.data, words, size) == 0;
}

static void write_line(enum sfl_log_level level, const char *file, int line, struct sfl_span text)
{
    if (tells_of_handshake(text))
        atomic_fetch_add_explicit(&handshake_failures, 1, memory_order_relaxed);
    sfl_log_foreign(level, "grpc", file, line, text);
}

#ifdef SFL_GRPC_IS_BUNDLED

#include <singleflightd_grpc.h>

static void on_line(enum singleflightd_grpc_level level, const char *file, int line,
                    const char *text, size_t size)
{
    static const enum sfl_log_level levels[] = {
        [SINGLEFLIGHTD_GRPC_INFO] = SFL_LOG_INFO,
        [SINGLEFLIGHTD_GRPC_WARNING] = SFL_LOG_WARN,
        [SINGLEFLIGHTD_GRPC_ERROR] = SFL_LOG_ERROR,
    };
    write_line(levels[level], file, line, sfl_span_of(text, size));
}

void sfl_library_take_log(void)
{
    singleflightd_grpc_log_to(on_line);
}

static void prepare(void)
{
    singleflightd_grpc_prepare();
}

#else

static void on_line(gpr_log_func_args *args)
{
    static const enum sfl_log_level levels[] = {
        [GPR_LOG_SEVERITY_DEBUG] = SFL_LOG_DEBUG,
        [GPR_LOG_SEVERITY_INFO] = SFL_LOG_INFO,
        [GPR_LOG_SEVERITY_ERROR] = SFL_LOG_ERROR,
    };
    const char *slash = strrchr(args->file, '/');
    write_line(levels[args->severity], slash == NULL ? args->file : slash + 1, args->line,
               sfl_span_of_text(args->message));
}

void sfl_library_take_log(void)
{
    gpr_set_log_function(on_line);
}

static void prepare(void)
{
}

#endif

void sfl_library_skip_exit_cleanup(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

uint64_t sfl_library_handshake_failures(void)
{
    return atomic_load_explicit(&handshake_failures, memory_order_relaxed);
}

void sfl_library_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
    grpc_init();
}

void sfl_library_stop(void)
{
    grpc_shutdown();
}
