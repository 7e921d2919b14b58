# SPDX-License-Identifier: Apache-2.0
#
# cmake -DINPUT=file -DOUTPUT=file.c -P embed.cmake: a file becomes sfl_descriptor_set of
# proto/descriptors.h.
file(READ ${INPUT} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REPEAT "0x..," 16 line)
string(REGEX REPLACE "(${line})" "\\1\n    " bytes "${bytes}")
file(WRITE ${OUTPUT} "// Made by proto/cmake/embed.cmake.
#include \"proto/descriptors.h\"

const uint8_t sfl_descriptor_set[] = {
    ${bytes}
};
const size_t sfl_descriptor_set_size = ${size};
")
