sfl_add_unit_test(base_budget_test sfl_base Threads::Threads)
sfl_add_unit_test(base_duration_test sfl_base)
sfl_add_unit_test(base_local_heap_test sfl_base Threads::Threads)
sfl_add_unit_test(base_log_test sfl_base Threads::Threads)
