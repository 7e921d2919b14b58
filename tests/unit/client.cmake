# The pure parts of libsingleflight.
foreach(test
    client_timer_test client_map_test client_backoff_test client_rendezvous_test client_value_test
    client_frames_test client_answer_test client_join_test client_outcome_test client_settings_test)
  sfl_add_unit_test(${test} sfl_client sfl_proto sfl_rpc sfl_base)
  target_include_directories(${test} PRIVATE ${CMAKE_SOURCE_DIR}/client)
  sfl_is_pure(${test})
endforeach()

# The only one that reads a file.
pkg_check_modules(CONSTANTS_JSON REQUIRED IMPORTED_TARGET json-c)
sfl_add_unit_test(client_constants_test PkgConfig::CONSTANTS_JSON)
target_include_directories(client_constants_test
  PRIVATE ${CMAKE_SOURCE_DIR}/client ${CMAKE_SOURCE_DIR}/client/include)
target_compile_definitions(client_constants_test
  PRIVATE SFL_CONSTANTS="${CMAKE_SOURCE_DIR}/client/constants.json")

sfl_add_unit_test(client_security_test sfl_client sfl_proto sfl_rpc sfl_base)
target_include_directories(client_security_test PRIVATE ${CMAKE_SOURCE_DIR}/client)
target_compile_definitions(client_security_test
  PRIVATE SFL_CERTIFICATES="${CMAKE_SOURCE_DIR}/tests/support/certificates")
