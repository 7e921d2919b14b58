# The parts of server/tracing that know nothing of gRPC.
sfl_add_unit_test(tracing_context_test sfl_tracing)
sfl_add_unit_test(tracing_environment_test sfl_tracing)
sfl_add_unit_test(tracing_spans_test sfl_tracing)
sfl_is_pure(tracing_context_test tracing_environment_test tracing_spans_test)
