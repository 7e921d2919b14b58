# The transport without gRPC: decoding, and streams that are driven by hand.
sfl_add_unit_test(transport_decode_test sfl_transport sfl_proto)

foreach(test transport_do_test transport_session_test transport_turns_test transport_rights_test)
  sfl_add_unit_test(${test} sfl_transport sfl_proto)
  target_sources(${test} PRIVATE transport_fake.c)
endforeach()

sfl_add_unit_test(transport_connection_test sfl_transport sfl_proto Threads::Threads)

sfl_add_unit_test(transport_reply_test sfl_transport sfl_proto)
target_link_options(transport_reply_test PRIVATE LINKER:--wrap=malloc)
