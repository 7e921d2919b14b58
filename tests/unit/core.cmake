# The core alone: stories in virtual time, and its parts against naive models.
foreach(test
    core_index_test core_deadlines_test core_pages_test core_value_test
    core_join_test core_outcome_test core_lead_test core_lease_test core_pass_on_test
    core_quota_test core_groups_test
    core_retain_test core_forget_test core_audience_test core_drain_test core_limits_test
    core_stats_test core_golang_test core_restore_test
    core_overdue_test core_hold_test core_next_test core_end_test)
  sfl_add_unit_test(${test} sfl_test_support)
  sfl_is_pure(${test})
endforeach()

# The names in tests/CONTRACT_ROWS.md.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME contract_rows
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/contract_rows)
  sfl_is_pure(contract_rows)
endif()
