// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** What calls end with instead of a value, and what the exceptions carry. */
class ErrorsTest extends DaemonTest {
  private static final Codec<String> FAILS =
      new Codec<>() {
        @Override
        public byte[] encode(String value) throws IOException {
          throw new IOException("no bytes for this");
        }

        @Override
        public String decode(byte[] bytes) throws IOException {
          throw new IOException("no value of these");
        }
      };

  private static final Codec<String> CANNOT_DECODE =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          return value.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String decode(byte[] bytes) throws Exception {
          return FAILS.decode(bytes);
        }
      };

  @Test
  void aValueThatCannotBeEncodedEndsTheFlightForAll() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading =
        client.callAsync("encode", PLAIN, FAILS, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following =
        other.callAsync("encode", PLAIN, Codec.UTF_8, leader -> "no");
    work.awaitFollowers(1);
    work.end();
    CodecException led = thrownBy(leading, CodecException.class);
    assertTrue(led.isEncode());
    assertEquals("no bytes for this", led.getCause().getMessage());
    CodecException followed = thrownBy(following, CodecException.class);
    assertTrue(followed.isEncode());
    assertNull(followed.getCause());
    assertTrue(followed.getMessage().contains("no bytes for this"), followed.getMessage());
  }

  @Test
  void aValueThatCannotBeDecodedEndsThatCallAloneForTheLeaderToo() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading =
        client.callAsync("decode", PLAIN, CANNOT_DECODE, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following =
        other.callAsync("decode", PLAIN, Codec.UTF_8, leader -> "no");
    work.awaitFollowers(1);
    work.end();
    assertTrue(thrownBy(leading, CodecException.class).isDecode());
    assertEquals("value", get(following).value());
  }

  @Test
  void aRetainedValueThatCannotBeDecodedIsAsIfItWereNotRetained() throws Exception {
    DoOptions kept = DoOptions.builder().retain(Duration.ofMinutes(1)).build();
    Codec<Integer> numbers =
        new Codec<>() {
          @Override
          public byte[] encode(Integer value) {
            return value.toString().getBytes(StandardCharsets.UTF_8);
          }

          @Override
          public Integer decode(byte[] bytes) {
            return Integer.valueOf(new String(bytes, StandardCharsets.UTF_8));
          }
        };
    client.call("version", kept, Codec.UTF_8, leader -> "of the old version");
    Result<Integer> anew = other.call("version", kept, numbers, leader -> 2);
    assertEquals(2, anew.value());
    assertTrue(anew.led());
    Result<String> again = client.call("version", kept, Codec.UTF_8, leader -> "no");
    assertEquals("2", again.value());
    assertTrue(again.retained());
    CodecException twice =
        thrownBy(client.callAsync("version", kept, CANNOT_DECODE, leader -> "3"),
            CodecException.class);
    assertTrue(twice.isDecode());
  }

  @Test
  void whatTextCannotCarryIsRefused() throws Exception {
    CodecException none =
        thrownBy(client.callAsync("null", PLAIN, Codec.UTF_8, leader -> null),
            CodecException.class);
    assertTrue(none.getMessage().contains("null"), none.getMessage());
    CodecException half =
        thrownBy(client.callAsync("half", PLAIN, Codec.UTF_8, leader -> "\ud83d"),
            CodecException.class);
    assertTrue(half.getCause() instanceof CharacterCodingException);
    byte[] noText = {(byte) 0xff};
    client.call(
        "bytes",
        DoOptions.builder().retain(Duration.ofMinutes(1)).build(),
        Codec.BYTES,
        leader -> noText);
    assertTrue(
        thrownBy(
                client.callAsync(
                    "bytes",
                    DoOptions.builder().role(Role.ANY).build(),
                    Codec.UTF_8,
                    leader -> {
                      leader.write(noText);
                      return null;
                    }),
                CodecException.class)
            .isDecode());
  }

  @Test
  void eachCallerHasAValueOfItsOwn() throws Exception {
    Work gate = new Work("");
    LeaderFunction<byte[]> function =
        leader -> {
          gate.run(leader);
          return new byte[] {1, 2, 3};
        };
    CompletableFuture<Result<byte[]>> first =
        client.callAsync("own", PLAIN, Codec.BYTES, function);
    gate.awaitLead();
    CompletableFuture<Result<byte[]>> second =
        client.callAsync("own", PLAIN, Codec.BYTES, function);
    gate.awaitFollowers(1);
    gate.end();
    assertNotSame(get(first).value(), get(second).value());
    Arrays.fill(get(first).value(), (byte) 9);
    assertArrayEquals(new byte[] {1, 2, 3}, get(second).value());
  }

  @Test
  void theCauseTravelsInTheStack() throws Exception {
    Work gate = new Work("");
    IOException cause = new IOException("the database is down");
    CompletableFuture<Result<String>> leading =
        start(
            client,
            "cause",
            PLAIN,
            leader -> {
              gate.run(leader);
              throw FunctionException.error("no user 7").cause(cause).build();
            });
    gate.awaitLead();
    CompletableFuture<Result<String>> following = start(other, "cause", PLAIN, leader -> "");
    gate.awaitFollowers(1);
    gate.end();
    assertSame(cause, thrownBy(leading, FunctionException.class).getCause().getCause());
    String stack = thrownBy(following, FunctionException.class).stack();
    assertTrue(stack.contains("the database is down"), stack);
  }

  // ---- where the program called ----

  private static boolean isFrom(Throwable thrown, String method) {
    return Arrays.stream(thrown.getStackTrace())
        .anyMatch(
            frame ->
                frame.getClassName().equals(ErrorsTest.class.getName())
                    && frame.getMethodName().equals(method));
  }

  private void asMyHandlerDoes(DoOptions options) throws InterruptedException {
    client.call("stack", options, Codec.UTF_8, null);
  }

  private CompletableFuture<Result<String>> asMyAsyncHandlerDoes(DoOptions options) {
    return client.callAsync("stack", options, Codec.UTF_8, null);
  }

  @Test
  void anExceptionHasTheFramesOfWhoCalled() throws Exception {
    DoOptions follows = DoOptions.builder().role(Role.FOLLOW_ONLY).build();
    StatusException sync =
        assertThrows(StatusException.class, () -> asMyHandlerDoes(follows));
    assertTrue(isFrom(sync, "asMyHandlerDoes"));
    StatusException async = statusOf(asMyAsyncHandlerDoes(follows));
    assertTrue(isFrom(async, "asMyAsyncHandlerDoes"));
    assertFalse(isFrom(async, "asMyHandlerDoes"));
  }
}
