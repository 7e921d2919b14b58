# A store in a folder of its own, on a disk that can be made to fail.
add_library(sfl_store_world STATIC store_world.c ../support/disk.c)
target_include_directories(sfl_store_world PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(sfl_store_world PUBLIC sfl_store sfl_core PkgConfig::CMOCKA Threads::Threads)

sfl_add_unit_test(store_test sfl_store_world)
sfl_add_unit_test(store_trouble_test sfl_store_world)
sfl_add_unit_test(store_damage_test sfl_store_world sfl_test_support)
target_link_libraries(store_damage_test PRIVATE PkgConfig::LMDB)
