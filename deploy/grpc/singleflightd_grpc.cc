// SPDX-License-Identifier: Apache-2.0
#include "singleflightd_grpc.h"

#include "src/core/lib/experiments/config.h"

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"

namespace {

using write_function = void (*)(singleflightd_grpc_level, const char *, int, const char *, size_t);

class sink : public absl::LogSink {
  public:
    explicit sink(write_function write) : write_(write) {}

    void Send(const absl::LogEntry &entry) override
    {
        // The end of a literal, so it ends with a zero and stays.
        const char *file = entry.source_basename().data();
        absl::string_view text = entry.text_message();
        write_(level_of(entry.log_severity()), file, entry.source_line(), text.data(), text.size());
    }

  private:
    static singleflightd_grpc_level level_of(absl::LogSeverity severity)
    {
        if (severity == absl::LogSeverity::kInfo)
            return SINGLEFLIGHTD_GRPC_INFO;
        if (severity == absl::LogSeverity::kWarning)
            return SINGLEFLIGHTD_GRPC_WARNING;
        return SINGLEFLIGHTD_GRPC_ERROR;
    }

    write_function write_;
};

} // namespace

void singleflightd_grpc_prepare(void)
{
    // Until Abseil is initialised it writes everything to standard error, whatever the level.
    absl::InitializeLog();
    absl::SetMinLogLevel(absl::LogSeverityAtLeast::kError);
    // In this order each needs none that comes after it. A name that this release no longer has is
    // a line in the log, and a reason to measure again.
    for (const char *name : {"event_engine_client", "event_engine_listener",
                             "event_engine_callback_cq", "event_engine_for_all_other_endpoints"})
        grpc_core::ForceEnableExperiment(name, false);
}

void singleflightd_grpc_log_to(write_function write)
{
    absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfinity);
    // Lives as long as the process: a log line may come at its very end.
    absl::AddLogSink(new sink(write));
}
