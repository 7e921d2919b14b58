sfl_add_unit_test(notify_test sfl_rpc)
target_sources(notify_test PRIVATE ${CMAKE_SOURCE_DIR}/server/notify.c)
target_include_directories(notify_test PRIVATE ${CMAKE_SOURCE_DIR}/server)
target_link_libraries(notify_test PRIVATE PkgConfig::UV Threads::Threads)
