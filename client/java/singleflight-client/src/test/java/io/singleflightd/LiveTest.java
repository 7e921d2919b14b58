// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Values that arrive while they are made. */
class LiveTest extends DaemonTest {
  private static final class Log implements ChunkListener {
    final BlockingQueue<String> events = new LinkedBlockingQueue<>();

    @Override
    public void onChunk(byte[] bytes) {
      events.add(new String(bytes, StandardCharsets.UTF_8));
    }

    @Override
    public void onRestart(int attempt) {
      events.add("restart " + attempt);
    }

    String next() throws InterruptedException {
      return events.poll(15, TimeUnit.SECONDS);
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @Test
  void aLiveFollowerReadsWhatIsWrittenAndStartsOverWithAnotherLeader() throws Exception {
    Work first = new Work("");
    CompletableFuture<Result<String>> leading = start(client, "live", PLAIN, first);
    first.awaitLead().write(bytes("void "));
    Log log = new Log();
    CompletableFuture<Result<String>> live =
        other.callLive(
            "live",
            DoOptions.builder().role(Role.FOLLOW_ONLY).build(),
            Codec.UTF_8,
            null,
            log);
    assertEquals("void ", log.next());
    try (SingleflightClient third = clientOf(daemon.address())) {
      Work second = new Work("end");
      CompletableFuture<Result<String>> taking = start(third, "live", PLAIN, second);
      first.awaitFollowers(2);
      client.close();
      assertTrue(statusOf(leading).isCancelled());
      second.awaitLead().write(bytes("good "));
      assertEquals("restart 2", log.next());
      assertEquals("good ", log.next());
      second.end();
      assertEquals("good end", get(live).value());
      assertEquals("end", log.next());
      assertTrue(log.events.isEmpty());
      assertEquals("good end", get(taking).value());
    }
  }

  @Test
  void aLiveFollowerThatMustLeadIsToldThatItsChunksAreVoid() throws Exception {
    Work first = new Work("");
    CompletableFuture<Result<String>> leading = start(client, "promoted", PLAIN, first);
    first.awaitLead().write(bytes("void"));
    Log log = new Log();
    Work second = new Work("mine");
    CompletableFuture<Result<String>> live =
        other.callLive("promoted", PLAIN, Codec.UTF_8, second, log);
    assertEquals("void", log.next());
    client.close();
    assertTrue(statusOf(leading).isCancelled());
    second.awaitLead();
    assertEquals("restart 2", log.next());
    second.end();
    assertEquals("mine", get(live).value());
    assertTrue(get(live).led());
  }
}
