# SPDX-License-Identifier: Apache-2.0
#
# cmake "-DINPUTS=file;file" -DOUTPUT=file.c -P embed.cmake: the files become the table of
# server/admin/assets.h.
set(type_of_html "text/html")
set(type_of_css "text/css")
set(type_of_js "text/javascript")
set(type_of_svg "image/svg+xml")

set(arrays "")
set(rows "")
set(count 0)
foreach(file IN LISTS INPUTS)
  file(READ ${file} bytes HEX)
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 20 hash)
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REPEAT "0x..," 16 line)
  string(REGEX REPLACE "(${line})" "\\1\n    " bytes "${bytes}")
  cmake_path(GET file FILENAME name)
  string(REGEX REPLACE ".*\\." "" extension ${name})
  if(NOT DEFINED type_of_${extension})
    message(FATAL_ERROR "${name}: no type is known for .${extension}")
  endif()
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  string(APPEND arrays "static const unsigned char asset_${count}[] = {\n    ${bytes}\n};\n\n")
  set(type "${type_of_${extension}}; charset=utf-8")
  string(APPEND rows "    {\"${path}\", \"${type}\", asset_${count}, ${size}, \"\\\"${hash}\\\"\"},\n")
  math(EXPR count "${count} + 1")
endforeach()

file(WRITE ${OUTPUT} "// Made by server/admin/cmake/embed.cmake.
#include \"admin/assets.h\"

${arrays}const struct sfl_admin_asset sfl_admin_assets[] = {
${rows}};
const size_t sfl_admin_asset_count = ${count};
")
