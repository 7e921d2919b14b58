# The engine: shards, threads and ticks. Meant to be run under ThreadSanitizer too.
sfl_add_unit_test(coordinator_standalone_test sfl_coordinator)
sfl_add_unit_test(engine_test sfl_engine sfl_coordinator Threads::Threads)
sfl_add_unit_test(engine_limits_test sfl_engine sfl_coordinator Threads::Threads)
sfl_add_unit_test(engine_stress_test sfl_engine sfl_coordinator sfl_test_support Threads::Threads)
sfl_add_unit_test(engine_keep_test sfl_engine sfl_coordinator Threads::Threads)
target_link_options(engine_keep_test PRIVATE LINKER:--wrap=pthread_mutex_unlock)
sfl_add_unit_test(engine_restart_test sfl_engine sfl_coordinator sfl_test_support Threads::Threads)
set_tests_properties(engine_test engine_limits_test engine_stress_test PROPERTIES TIMEOUT 300)

# Counts what flights have in common: these calls come by the test.
sfl_add_unit_test(engine_sharing_test sfl_engine sfl_coordinator Threads::Threads)
target_link_options(engine_sharing_test PRIVATE
  LINKER:--wrap=pthread_mutex_lock
  LINKER:--wrap=sfl_share_take_from_budget,--wrap=sfl_share_give_to_budget)
