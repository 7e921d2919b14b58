# The tests of common/rpc.
function(sfl_add_rpc_test name)
  sfl_add_unit_test(${name} sfl_rpc)
  target_sources(${name} PRIVATE rpc_harness.c rpc_relay.c)
  target_link_libraries(${name} PRIVATE Threads::Threads)
endfunction()

sfl_add_rpc_test(rpc_stream_test)
sfl_add_rpc_test(rpc_fault_test)
sfl_add_rpc_test(rpc_server_test)
sfl_add_rpc_test(rpc_pump_test)
sfl_add_rpc_test(rpc_load_test)
sfl_add_unit_test(rpc_wire_test sfl_rpc)
