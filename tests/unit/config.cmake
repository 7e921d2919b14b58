foreach(test config_test config_print_test)
  sfl_add_unit_test(${test} sfl_config)
  target_include_directories(${test} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
endforeach()
