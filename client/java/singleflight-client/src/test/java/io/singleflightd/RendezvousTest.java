// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The hash that clients of all languages agree on. */
class RendezvousTest {
  private static long hash(String text) {
    return XxHash64.hash(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void theHashIsXxh64() {
    assertEquals(0xEF46DB3751D8E999L, hash(""));
    assertEquals(0xD24EC4F1A98C6E5BL, hash("a"));
    assertEquals(0x44BC2CF5AD770999L, hash("abc"));
    assertEquals(
        0xA76190C3ACF08A1CL, hash("0123456789abcdef0123456789abcdef0123456789"));
  }

  @Test
  void equalScoresKeepTheOrderOfTheAddresses() {
    ByteString key = ByteString.copyFromUtf8("key");
    int[] order = Rendezvous.order(List.of("same:1", "same:1", "same:1"), "", key);
    assertArrayEquals(new int[] {0, 1, 2}, order);
  }

  @Test
  void theEmptyGroupIsTheDefaultOne() {
    List<String> addresses = List.of("a:1", "b:2", "c:3", "d:4", "e:5");
    for (int i = 0; i < 50; i++) {
      ByteString key = ByteString.copyFromUtf8("key" + i);
      assertArrayEquals(
          Rendezvous.order(addresses, "", key), Rendezvous.order(addresses, "default", key));
    }
  }
}
