# SPDX-License-Identifier: Apache-2.0
#
# cmake -DINPUT=file.proto -DOUTPUT=file.proto -P messages.cmake: a proto file without its services.
# The daemon and the client speak gRPC through common/rpc and have no use for protobuf-c's own
# service stubs, and for an rpc that is called Do those stubs hold a struct member that is called
# `do`.
file(READ ${INPUT} text)
string(REGEX REPLACE "\nservice [A-Za-z]+ {[^}]*}\n" "\n" text "${text}")
if(text MATCHES "\n *rpc ")
  message(FATAL_ERROR "${INPUT}: a service that cannot be taken out (a brace in a comment?)")
endif()
file(WRITE ${OUTPUT} "${text}")
