// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.jackson;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.singleflightd.Codec;
import io.singleflightd.CodecException;
import io.singleflightd.Daemon;
import io.singleflightd.DoOptions;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Values as JSON. */
@Timeout(60)
class JacksonCodecTest {
  record User(String fullName, int age) {}

  record Older(String name) {}

  private static final User ANN = new User("Ann of Oslo", 41);

  private static String text(byte[] json) {
    return new String(json, StandardCharsets.UTF_8);
  }

  @Test
  void recordsListsAndNullTravel() throws Exception {
    Codec<User> user = JacksonCodec.of(User.class);
    assertEquals("{\"fullName\":\"Ann of Oslo\",\"age\":41}", text(user.encode(ANN)));
    assertEquals(ANN, user.decode(user.encode(ANN)));
    assertNull(user.decode(user.encode(null)));
    Codec<List<User>> users = JacksonCodec.of(new TypeReference<List<User>>() {});
    assertEquals(List.of(ANN), users.decode(users.encode(List.of(ANN))));
  }

  @Test
  void aMapperOfTheProgramIsTaken() throws Exception {
    JsonMapper snakes =
        JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();
    assertTrue(text(JacksonCodec.of(snakes, User.class).encode(ANN)).contains("full_name"));
  }

  @Test
  void whatJsonWouldLoseIsRefused() {
    for (Object odd :
        List.of(
            Double.NaN,
            Float.POSITIVE_INFINITY,
            new double[] {1, Double.NEGATIVE_INFINITY},
            new float[] {Float.NaN},
            Map.of("number", Double.NaN))) {
      IOException thrown =
          assertThrows(
              IOException.class, () -> JacksonCodec.of(Object.class).encode(odd));
      assertTrue(thrown.getMessage().contains("JSON"), thrown.getMessage());
    }
  }

  @Test
  void whatIsNotTheWholeOfAValueIsRefused() {
    for (String odd : List.of("", "{\"age\":1} {}", "{\"height\":3}", "[", "text")) {
      assertThrows(
          IOException.class,
          () -> JacksonCodec.of(User.class).decode(odd.getBytes(StandardCharsets.UTF_8)),
          odd);
    }
  }

  @Test
  void callersOfTwoVersionsGoOnBesideEachOther() throws Exception {
    DoOptions kept = DoOptions.builder().retain(Duration.ofMinutes(1)).build();
    try (Daemon daemon = Daemon.start();
        SingleflightClient client =
            SingleflightClient.builder().addresses(daemon.address()).build()) {
      client.call("user", kept, JacksonCodec.of(Older.class), leader -> new Older("Ann"));
      Result<User> anew = client.call("user", kept, JacksonCodec.of(User.class), leader -> ANN);
      assertEquals(ANN, anew.value());
      assertTrue(anew.led());
      CodecException thrown =
          assertThrows(
              CodecException.class,
              () ->
                  client.call(
                      "nan",
                      DoOptions.defaults(),
                      JacksonCodec.of(Double.class),
                      leader -> Double.NaN));
      assertTrue(thrown.isEncode());
    }
  }
}
