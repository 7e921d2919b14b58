# The pure parts of the guard of the sockets. Not sfl_sockets itself: that one replaces functions of
# libc in whatever links it.
function(sfl_add_sockets_test name)
  sfl_add_unit_test(${name} sfl_base)
  target_sources(${name} PRIVATE ${ARGN})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/server)
endfunction()

sfl_add_sockets_test(sockets_addresses_test ${CMAKE_SOURCE_DIR}/server/sockets/addresses.c)
sfl_add_sockets_test(sockets_http2_test ${CMAKE_SOURCE_DIR}/server/sockets/http2.c
                     ${CMAKE_SOURCE_DIR}/server/sockets/streams.c)
sfl_add_sockets_test(sockets_guard_test ${CMAKE_SOURCE_DIR}/server/sockets/guard.c
                     ${CMAKE_SOURCE_DIR}/server/sockets/socket.c
                     ${CMAKE_SOURCE_DIR}/server/sockets/addresses.c
                     ${CMAKE_SOURCE_DIR}/server/sockets/http2.c
                     ${CMAKE_SOURCE_DIR}/server/sockets/streams.c)
target_link_libraries(sockets_guard_test PRIVATE Threads::Threads)
target_link_options(sockets_guard_test PRIVATE LINKER:--wrap=syscall)
