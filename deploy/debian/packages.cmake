# SPDX-License-Identifier: Apache-2.0
#
# The Debian packages, by cpack: one for each part of the installation. deploy/debian/build makes
# them, from a build for /usr on Debian's gRPC; a static one ships no library.
if(SFL_GRPC_IS_BUNDLED)
  return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME singleflightd)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The singleflightd authors <singleflightd@users.noreply.github.com>")
set(CPACK_PACKAGE_VENDOR "singleflightd")
# Each package has a first line of its own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_COMPONENTS_ALL daemon tool library development)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/finish.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_HOMEPAGE https://github.com/singleflightd/singleflightd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME singleflightd)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SECTION net)
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "singleflight")
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_LIST_DIR}/singleflightd/conffiles
    ${CMAKE_CURRENT_LIST_DIR}/singleflightd/postinst
    ${CMAKE_CURRENT_LIST_DIR}/singleflightd/prerm
    ${CMAKE_CURRENT_LIST_DIR}/singleflightd/postrm)
set(CPACK_COMPONENT_DAEMON_DESCRIPTION
    "share one execution among processes and machines (daemon)
Callers that ask for the same key at the same time share one execution and its
outcome: one of them leads and runs the function, the others follow and wait.
.
This is the daemon that they meet at, with its systemd unit.")

set(CPACK_DEBIAN_TOOL_PACKAGE_NAME singleflight)
set(CPACK_DEBIAN_TOOL_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOOL_PACKAGE_SUGGESTS "singleflightd")
set(CPACK_DEBIAN_TOOL_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/singleflight/conffiles)
set(CPACK_COMPONENT_TOOL_DESCRIPTION
    "run a command once, however many machines ask for it
Callers that ask for the same key at the same time share one execution and its
outcome: one of them leads and runs the function, the others follow and wait.
.
This is the command-line tool. \\\"singleflight do KEY -- COMMAND\\\", the same on
five nodes, runs the command once; list, top, runs and stats show what a daemon
does.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libsingleflight${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/libsingleflight/triggers)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION
    "share one execution among processes and machines (C library)
Callers that ask for the same key at the same time share one execution and its
outcome: one of them leads and runs the function, the others follow and wait.
.
This is the client for programs in C.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libsingleflight-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
# The libraries are those of Requires.private and Libs.private in singleflight.pc.
string(CONCAT CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
       "libsingleflight${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}-1), "
       "libgrpc-dev, libprotobuf-c-dev, libxxhash-dev, libssl-dev, libunistring-dev, zlib1g-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "share one execution among processes and machines (development)
Callers that ask for the same key at the same time share one execution and its
outcome: one of them leads and runs the function, the others follow and wait.
.
This is what programs in C are built with: headers, the static library, a
pkg-config file and a CMake package.")

include(CPack)
