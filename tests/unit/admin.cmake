sfl_add_unit_test(admin_page_test sfl_admin)
sfl_add_unit_test(admin_history_test sfl_admin m)
sfl_add_unit_test(admin_window_test sfl_admin)
sfl_add_unit_test(admin_connections_test sfl_admin)
sfl_add_unit_test(admin_request_test sfl_admin PkgConfig::JSON_C)

# What the daemon's metrics are; docs/metrics.md is what it prints with "--print".
sfl_add_unit_test(admin_metrics_test sfl_admin sfl_transport sfl_engine sfl_security)
target_sources(admin_metrics_test PRIVATE ${CMAKE_SOURCE_DIR}/server/metrics.c)
target_compile_definitions(admin_metrics_test PRIVATE METRICS_MD="${CMAKE_SOURCE_DIR}/docs/metrics.md")
sfl_is_pure(admin_connections_test admin_page_test admin_history_test admin_window_test admin_request_test admin_metrics_test)
