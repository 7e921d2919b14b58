# SPDX-License-Identifier: Apache-2.0
#
# Between installation and packing: what Debian wants in each package beside what was installed.
# cpack runs this with CPACK_TEMPORARY_DIRECTORY, where each component has a folder.
set(here ${CMAKE_CURRENT_LIST_DIR})
set(source ${here}/../..)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# compress FILE: in place; without a name and time of its own, so that two builds agree.
function(compress file)
  run(gzip --best --no-name --force ${file})
  file(CHMOD ${file}.gz PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

# entry OUTPUT: Debian's changelog, whose one entry is this version.
function(entry output)
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH, when it is set
  configure_file(${here}/changelog.in ${output} @ONLY)
  compress(${output})
endfunction()

# example COMPONENT FILE [NAME]: among the documents of its package.
function(example component file)
  get_filename_component(name ${file} NAME)
  if(ARGC GREATER 2)
    set(name ${ARGV2})
  endif()
  set(package ${CPACK_DEBIAN_${component}_PACKAGE_NAME})
  string(TOLOWER ${component} folder)
  configure_file(${file} ${CPACK_TEMPORARY_DIRECTORY}/${folder}/usr/share/doc/${package}/examples/${name}
                 COPYONLY)
endfunction()

example(DAEMON ${source}/deploy/security/access.ini)
example(TOOL ${source}/deploy/systemd/examples/nightly.service)
example(TOOL ${source}/deploy/systemd/examples/nightly.timer)
example(TOOL ${source}/deploy/cron/nightly nightly.cron)

set(daemon ${CPACK_TEMPORARY_DIRECTORY}/daemon/usr)
execute_process(COMMAND ${daemon}/bin/singleflightd --print-sample-config
                OUTPUT_FILE ${daemon}/share/doc/singleflightd/examples/singleflightd.conf
                COMMAND_ERROR_IS_FATAL ANY)
# The settings are the daemon's flags, and stand in its page.
file(MAKE_DIRECTORY ${daemon}/share/man/man5)
file(CREATE_LINK ../man8/singleflightd.8.gz ${daemon}/share/man/man5/singleflightd.conf.5.gz SYMBOLIC)

foreach(component daemon tool library development)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component})
  set(doc ${root}/usr/share/doc/${package})
  file(COPY ${here}/copyright DESTINATION ${doc} FILE_PERMISSIONS
       OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  entry(${doc}/changelog.Debian)
  configure_file(${source}/CHANGELOG.md ${doc}/changelog COPYONLY)
  compress(${doc}/changelog)
  file(GLOB pages ${root}/usr/share/man/man*/*.[1-9])
  foreach(page IN LISTS pages)
    compress(${page})
  endforeach()
  # Debian's zsh looks for them here.
  if(EXISTS ${root}/usr/share/zsh/site-functions)
    file(RENAME ${root}/usr/share/zsh/site-functions ${root}/usr/share/zsh/vendor-completions)
  endif()
  set(overrides "")
  foreach(kind common ${component})
    if(EXISTS ${here}/overrides/${kind})
      file(READ ${here}/overrides/${kind} text)
      string(APPEND overrides "${text}")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${root}/usr/share/lintian/overrides/${package} CONTENT "${overrides}" @ONLY)
  file(GLOB archives ${root}/usr/lib/*/*.a)
  foreach(archive IN LISTS archives)
    run(strip --strip-debug --enable-deterministic-archives ${archive})
  endforeach()
endforeach()
