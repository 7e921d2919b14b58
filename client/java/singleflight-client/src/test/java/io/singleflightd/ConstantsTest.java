// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The numbers that the clients of all languages share. */
class ConstantsTest {
  private static final Path SHARED = Path.of("../../constants.json");
  private static final Pattern ENTRY = Pattern.compile("\"(\\w+)\":\\s*(\\d+|\"[^\"]*\")");

  private static Map<String, String> shared() throws Exception {
    Map<String, String> all = new HashMap<>();
    Matcher entries = ENTRY.matcher(Files.readString(SHARED));
    while (entries.find()) {
      all.put(entries.group(1), entries.group(2).replace("\"", ""));
    }
    return all;
  }

  @Test
  void theyAreTheSameHere() throws Exception {
    SingleflightClient.Builder client = SingleflightClient.builder();
    Map<String, Object> here =
        Map.ofEntries(
            Map.entry("address_variable", SingleflightClient.Builder.ADDRESS_VARIABLE),
            Map.entry("address_default", SingleflightClient.Builder.ADDRESS_DEFAULT),
            Map.entry("tls_ca_variable", Security.TLS_CA_VARIABLE),
            Map.entry("tls_cert_variable", Security.TLS_CERT_VARIABLE),
            Map.entry("tls_key_variable", Security.TLS_KEY_VARIABLE),
            Map.entry("tls_server_name_variable", Security.TLS_SERVER_NAME_VARIABLE),
            Map.entry("token_file_variable", Security.TOKEN_FILE_VARIABLE),
            Map.entry("tls_ca_system", TlsFiles.SYSTEM),
            Map.entry("files_look_ms", TimeUnit.NANOSECONDS.toMillis(WatchedFiles.LOOK_NANOS)),
            Map.entry("connect_timeout_ms", client.connectTimeoutMs),
            Map.entry("answer_timeout_ms", Settings.ANSWER_TIMEOUT_MS),
            Map.entry("backoff_min_ms", client.backoffMinMs),
            Map.entry("backoff_max_ms", client.backoffMaxMs),
            Map.entry("keepalive_time_ms", client.keepaliveTimeMs),
            Map.entry("keepalive_timeout_ms", client.keepaliveTimeoutMs),
            Map.entry("close_ms", Engine.CLOSE_WAIT_MS),
            Map.entry("wire_slack_ms_min", Seat.WIRE_SLACK_MS_MIN),
            Map.entry("wire_slack_divisor", Seat.WIRE_SLACK_DIVISOR),
            Map.entry("renewals_per_hold", Hold.RENEWALS),
            Map.entry("ask_ms_max", Hold.ASK_MS_MAX),
            Map.entry("within_max", Within.REFERENCES_MAX),
            Map.entry("result_bytes_max", client.resultLimit),
            Map.entry("message_bytes_max", Transport.MESSAGE_BYTES_MAX),
            Map.entry("chunk_bytes_max", SeatLead.CHUNK_BYTES_MAX),
            Map.entry("details_bytes_max", Outcome.DETAILS_BYTES_MAX),
            Map.entry("key_bytes_max", Join.KEY_BYTES_MAX),
            Map.entry("caller_bytes_max", Join.NAME_BYTES_MAX),
            Map.entry("type_encode_error", CodecException.ENCODE_TYPE),
            Map.entry("type_limit_exceeded", Outcome.LIMIT_TYPE));
    Map<String, String> shared = shared();
    assertTrue(Loop.WATCH_MS <= Long.parseLong(shared.remove("lost_told_within_ms")));
    Map<String, String> texts = new HashMap<>();
    here.forEach((name, value) -> texts.put(name, String.valueOf(value)));
    assertEquals(shared, texts);
  }
}
