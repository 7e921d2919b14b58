# The tests of common/rpc.
function(sfl_add_rpc_test name)
  sfl_add_unit_test(${name} sfl_rpc)
  target_sources(${name} PRIVATE rpc_harness.c)
  target_link_libraries(${name} PRIVATE Threads::Threads)
endfunction()

sfl_add_rpc_test(rpc_stream_test)
