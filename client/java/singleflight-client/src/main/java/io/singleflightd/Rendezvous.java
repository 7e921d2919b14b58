// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Which server a key lives at, and which ones stand in while it is down. */
final class Rendezvous {
  private Rendezvous() {}

  /** The places of the addresses in the order of the key, its home first. */
  static int[] order(List<String> addresses, String group, ByteString key) {
    if (addresses.size() == 1) {
      return new int[] {0};
    }
    long[] scores =
        addresses.stream().mapToLong(address -> score(address, group, key)).toArray();
    Comparator<Integer> greatestFirst = (a, b) -> Long.compareUnsigned(scores[b], scores[a]);
    return IntStream.range(0, scores.length)
        .boxed()
        .sorted(greatestFirst)
        .mapToInt(Integer::intValue)
        .toArray();
  }

  private static long score(String address, String group, ByteString key) {
    ByteArrayOutputStream scored = new ByteArrayOutputStream();
    scored.writeBytes(address.getBytes(StandardCharsets.UTF_8));
    scored.write(0);
    scored.writeBytes((group.isEmpty() ? "default" : group).getBytes(StandardCharsets.UTF_8));
    scored.write(0);
    scored.writeBytes(key.toByteArray());
    return XxHash64.hash(scored.toByteArray());
  }
}
