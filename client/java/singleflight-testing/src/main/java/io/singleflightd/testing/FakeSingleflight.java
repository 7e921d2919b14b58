// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.singleflightd.CallEnd;
import io.singleflightd.Codec;
import io.singleflightd.FunctionException;
import io.singleflightd.SingleflightClient;
import io.singleflightd.SingleflightObserver;
import io.singleflightd.grpc.v1.ForgetRequest;
import io.singleflightd.grpc.v1.Join;
import io.singleflightd.grpc.v1.Outcome;
import io.singleflightd.grpc.v1.OutcomeKind;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * For tests of programs that use singleflight: a real client, and beside it in the same process a
 * server that does what the test says. No daemon is needed, and no network.
 *
 * <p>Unless the test says otherwise, whoever asks for a key is told to lead, so the function runs.
 * Nothing is retained. What is said of a key holds in every group, for the calls that come after
 * it, until something else is said. All methods may be called from any thread.
 */
public final class FakeSingleflight implements AutoCloseable {
  private static final Duration CONNECT_TIMEOUT = Duration.ofMillis(500);
  private static final Duration BACKOFF_MIN = Duration.ofMillis(1);
  private static final Duration BACKOFF_MAX = Duration.ofMillis(20);

  private final String name = InProcessServerBuilder.generateName();
  private final FakeServer server = new FakeServer(name);
  private final List<CallEnd> calls = new CopyOnWriteArrayList<>();
  private SingleflightClient client;

  /** Makes a fake, to be closed. */
  public FakeSingleflight() {}

  /**
   * A client with the default options. It is closed with the fake.
   *
   * @return the same one each time
   */
  public synchronized SingleflightClient client() {
    if (client == null) {
      client = clientBuilder().build();
    }
    return client;
  }

  /**
   * For a client with options of its own, such as {@code failOpen}. Who makes it closes it.
   *
   * @return a builder that has the address of the fake, and little patience: a connectTimeout of
   *     half a second
   */
  public SingleflightClient.Builder clientBuilder() {
    return SingleflightClient.builder()
        .addresses("127.0.0.1:1") // stands for the fake
        .tlsCa("")
        .tlsCert("")
        .tlsKey("")
        .tlsServerName("")
        .tokenFile("")
        .channels(any -> InProcessChannelBuilder.forName(name).propagateCauseWithStatus(true))
        .connectTimeout(CONNECT_TIMEOUT)
        .backoff(BACKOFF_MIN, BACKOFF_MAX)
        .observer(
            new SingleflightObserver() {
              @Override
              public void ended(CallEnd end) {
                calls.add(end);
              }
            });
  }

  // ---- what becomes of calls ----

  /**
   * Callers of the key lead, as they do unless anything else is said.
   *
   * @param key the key
   */
  public void lead(String key) {
    server.set(utf8(key), Script.LEAD);
  }

  /**
   * Callers of the key follow, and get what somebody else has made.
   *
   * @param <T> the type of the value
   * @param key the key
   * @param codec makes the bytes
   * @param value the value
   * @throws IllegalArgumentException the codec cannot encode the value
   */
  public <T> void outcome(String key, Codec<T> codec, T value) {
    try {
      outcome(key, codec.encode(value));
    } catch (Exception failed) {
      throw new IllegalArgumentException("the value cannot be encoded", failed);
    }
  }

  /**
   * Callers of the key follow, and get what somebody else has made.
   *
   * @param key the key
   * @param value the bytes of the value
   */
  public void outcome(String key, byte[] value) {
    Outcome.Builder outcome = Outcome.newBuilder().setKind(OutcomeKind.OUTCOME_KIND_OK);
    server.set(utf8(key), Script.of(outcome.setValue(ByteString.copyFrom(value)).build()));
  }

  /**
   * Callers of the key follow, and the function of somebody else fails.
   *
   * @param key the key
   * @param failure such as {@code FunctionException.error("no such user").build()}
   */
  public void outcome(String key, FunctionException failure) {
    OutcomeKind kind =
        switch (failure.kind()) {
          case PANIC -> OutcomeKind.OUTCOME_KIND_PANIC;
          case ABANDONED -> OutcomeKind.OUTCOME_KIND_ABANDONED;
          default -> OutcomeKind.OUTCOME_KIND_ERROR;
        };
    Outcome outcome =
        Outcome.newBuilder()
            .setKind(kind)
            .setMessage(failure.getMessage())
            .setType(failure.type())
            .setCode(failure.code())
            .setStack(failure.stack())
            .setDetails(ByteString.copyFrom(failure.details()))
            .setValue(ByteString.copyFrom(failure.value()))
            .build();
    server.set(utf8(key), Script.of(outcome));
  }

  /**
   * Callers of the key are refused by the server.
   *
   * @param key the key
   * @param code such as RESOURCE_EXHAUSTED or PERMISSION_DENIED
   * @param message the text of the status
   */
  public void refuse(String key, Status.Code code, String message) {
    server.set(utf8(key), Script.of(code.toStatus().withDescription(message)));
  }

  /**
   * Callers of the key follow first, and lead then, with attempt 2.
   *
   * @param key the key
   */
  public void takeover(String key) {
    server.set(utf8(key), Script.of(Script.Kind.TAKEOVER));
  }

  /**
   * Callers of the key that lead have lost the lead now, and those that come lose it as they begin:
   * their functions run, and find it out.
   *
   * @param key the key
   */
  public void lose(String key) {
    server.lose(utf8(key));
  }

  /** No server is there from now on, and connections are broken. */
  public void unavailable() {
    server.setAway(true);
  }

  /** Takes back {@link #unavailable()}. */
  public void available() {
    server.setAway(false);
  }

  // ---- what was seen ----

  /**
   * The calls of all clients that have ended, in this order.
   *
   * @return a copy
   */
  public List<CallEnd> calls() {
    return List.copyOf(calls);
  }

  /**
   * What the server was asked for, with all options, in this order. Equal calls of a client at the
   * same time are one.
   *
   * @return a copy
   */
  public List<Join> joins() {
    return server.joins();
  }

  /**
   * What was to be forgotten, or ended, in this order.
   *
   * @return a copy
   */
  public List<ForgetRequest> forgets() {
    return server.forgets();
  }

  /** Ends the server, and the client of {@link #client()}. */
  @Override
  public synchronized void close() {
    if (client != null) {
      client.close();
    }
    server.close();
  }

  private static ByteString utf8(String text) {
    return ByteString.copyFromUtf8(text);
  }
}
