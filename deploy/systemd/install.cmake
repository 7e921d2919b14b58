# SPDX-License-Identifier: Apache-2.0
#
# The unit and /etc/singleflightd.conf. Run by `cmake --install`, which alone knows the prefix that
# the unit has to name. A file in /etc belongs to its machine: it is never written over.
set(prefix ${CMAKE_INSTALL_PREFIX})
set(root $ENV{DESTDIR})
set(etc ${prefix}/etc)
if(prefix MATCHES "^/usr(/local)?/?$")
  set(etc /etc)
endif()

# install_setting FILE: into etc, unless there is one.
function(install_setting file)
  if(NOT EXISTS ${root}${etc}/${file})
    configure_file(${CMAKE_CURRENT_LIST_DIR}/${file} ${root}${etc}/${file} COPYONLY)
  endif()
endfunction()

if(SFL_INSTALL STREQUAL "daemon")
  set(SFL_BINDIR ${prefix}/bin)
  set(SFL_CONFIG ${etc}/singleflightd.conf)
  # From 253 on systemd waits for the end of a reload by itself.
  set(SFL_UNIT_TYPE notify)
  set(SFL_UNIT_RELOAD "ExecReload=/bin/kill -HUP $MAINPID")
  if(SFL_SYSTEMD GREATER_EQUAL 253)
    set(SFL_UNIT_TYPE notify-reload)
    set(SFL_UNIT_RELOAD "# A reload is a SIGHUP, and over when the daemon says so.")
  endif()
  configure_file(${CMAKE_CURRENT_LIST_DIR}/singleflightd.service.in
                 ${root}${prefix}/lib/systemd/system/singleflightd.service @ONLY)
  install_setting(singleflightd.conf)
else()
  install_setting(singleflight.conf)
endif()
