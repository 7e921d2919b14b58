// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * Singleflight across processes, machines and languages: many callers ask for the same piece of
 * work at the same time, one of them does it, and all of them get what it made. Needs a
 * singleflightd.
 *
 * <pre>{@code
 * DoOptions options = DoOptions.builder().group("users").retain(Duration.ofSeconds(5)).build();
 * try (SingleflightClient client = SingleflightClient.create()) {
 *   Result<String> result =
 *       client.call("user_123", options, Codec.UTF_8, leader -> database.load("user_123"));
 *   use(result.value());
 * }
 * }</pre>
 *
 * <p>One client per process is the usual number: equal calls are merged inside of one client only.
 * All methods may be called from any thread. Functions and listeners run on the client's executor,
 * never on the thread that calls.
 *
 * <p>A call ends with a {@link Result}; with a {@link FunctionException} when the function failed,
 * here or elsewhere; with a {@link StatusException} when the service did not do it; or with a
 * {@link CodecException}. A call that makes no sense is refused at once, before anything is sent,
 * with an {@link IllegalArgumentException} that names the option.
 */
public final class SingleflightClient implements AutoCloseable {
  final Engine engine;
  private final FunctionExecutor executor;

  private SingleflightClient(Settings settings, Executor given) {
    executor = new FunctionExecutor(given);
    engine = new Engine(settings, executor);
  }

  /**
   * A client with nothing but defaults.
   *
   * @return a new client
   */
  public static SingleflightClient create() {
    return builder().build();
  }

  /**
   * Starts from the defaults.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder(System::getenv);
  }

  // ---- calls ----

  /**
   * Asks for the work and waits for it.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes of UTF-8
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @return the result
   * @throws FunctionException the function failed, here or elsewhere
   * @throws StatusException the service did not do it
   * @throws CodecException the codec could not encode or decode the value
   * @throws InterruptedException the thread was interrupted; the call has left the flight
   */
  public <T> Result<T> call(
      String key, DoOptions options, Codec<T> codec, LeaderFunction<? extends T> function)
      throws InterruptedException {
    return call(utf8(key), options, codec, function);
  }

  /**
   * Asks for the work and waits for it.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @return the result
   * @throws FunctionException the function failed, here or elsewhere
   * @throws StatusException the service did not do it
   * @throws CodecException the codec could not encode or decode the value
   * @throws InterruptedException the thread was interrupted; the call has left the flight
   */
  public <T> Result<T> call(
      byte[] key, DoOptions options, Codec<T> codec, LeaderFunction<? extends T> function)
      throws InterruptedException {
    TypedCall<T> call = start(key, options, codec, function, null, Runnable::run);
    return call.await();
  }

  /**
   * Asks for the work without waiting. Cancelling the future leaves the flight, which goes on for
   * its other callers.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes of UTF-8
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @return completes on the client's executor, with the result or as {@link #call} throws
   */
  public <T> CompletableFuture<Result<T>> callAsync(
      String key, DoOptions options, Codec<T> codec, LeaderFunction<? extends T> function) {
    return callAsync(utf8(key), options, codec, function);
  }

  /**
   * Asks for the work without waiting. Cancelling the future leaves the flight, which goes on for
   * its other callers.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @return completes on the client's executor, with the result or as {@link #call} throws
   */
  public <T> CompletableFuture<Result<T>> callAsync(
      byte[] key, DoOptions options, Codec<T> codec, LeaderFunction<? extends T> function) {
    return start(key, options, codec, function, null, executor::executeOrRun).future();
  }

  /**
   * Asks for the work without waiting, and gets the value while its leader still makes it.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes of UTF-8
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @param listener gets the chunks, while this caller follows
   * @return completes after the last chunk
   */
  public <T> CompletableFuture<Result<T>> callLive(
      String key,
      DoOptions options,
      Codec<T> codec,
      LeaderFunction<? extends T> function,
      ChunkListener listener) {
    return callLive(utf8(key), options, codec, function, listener);
  }

  /**
   * Asks for the work without waiting, and gets the value while its leader still makes it.
   *
   * @param <T> the type of the value
   * @param key 1 to 1,024 bytes
   * @param options what else is asked for
   * @param codec turns the value into bytes and back
   * @param function the work, run if this caller leads; may be {@code null} for FOLLOW_ONLY
   * @param listener gets the chunks, while this caller follows
   * @return completes after the last chunk
   */
  public <T> CompletableFuture<Result<T>> callLive(
      byte[] key,
      DoOptions options,
      Codec<T> codec,
      LeaderFunction<? extends T> function,
      ChunkListener listener) {
    Objects.requireNonNull(listener, "listener");
    return start(key, options, codec, function, listener, new Serial(executor)::execute).future();
  }

  private <T> TypedCall<T> start(
      byte[] key,
      DoOptions options,
      Codec<T> codec,
      LeaderFunction<? extends T> function,
      ChunkListener listener,
      Executor callbacks) {
    if (function == null && options.role != Role.FOLLOW_ONLY) {
      throw new IllegalArgumentException(
          "the function is missing: only FOLLOW_ONLY calls can do without one");
    }
    Objects.requireNonNull(codec, "codec");
    Within within = Within.current();
    Join join = new Join(key, options, listener != null, engine.settings, within);
    TypedCall<T> call = new TypedCall<>(engine, join, codec, function, listener, callbacks);
    call.start();
    return call;
  }

  // ---- forget ----

  /**
   * Makes the next caller of the key start anew. Those who wait already get their outcome as usual.
   *
   * @param group the namespace; empty: {@code default}
   * @param key the key
   * @param ifUnshared only if the flight has no followers
   * @return what was forgotten
   * @throws StatusException it could not be done
   * @throws InterruptedException the thread was interrupted
   */
  public Forgotten forget(String group, String key, boolean ifUnshared)
      throws InterruptedException {
    return forget(group, utf8(key), ifUnshared);
  }

  /**
   * Makes the next caller of the key start anew. Those who wait already get their outcome as usual.
   *
   * @param group the namespace; empty: {@code default}
   * @param key the key
   * @param ifUnshared only if the flight has no followers
   * @return what was forgotten
   * @throws StatusException it could not be done
   * @throws InterruptedException the thread was interrupted
   */
  public Forgotten forget(String group, byte[] key, boolean ifUnshared)
      throws InterruptedException {
    return forget(group, key, ForgetOptions.builder().ifUnshared(ifUnshared).build());
  }

  /**
   * Makes the next caller of the key start anew, and perhaps ends the flight that runs.
   *
   * @param group the namespace; empty: {@code default}
   * @param key the key
   * @param options how
   * @return what was forgotten
   * @throws StatusException it could not be done
   * @throws InterruptedException the thread was interrupted
   */
  public Forgotten forget(String group, byte[] key, ForgetOptions options)
      throws InterruptedException {
    try {
      return engine.forget(group, ByteString.copyFrom(key), options).get();
    } catch (ExecutionException failed) {
      throw ((StatusException) failed.getCause()).here();
    }
  }

  /**
   * Ends every call that is left with CANCELLED, tells functions that they lost the lead, and ends
   * all threads of this client. Waits a moment for what is under way. Idempotent.
   */
  @Override
  public void close() {
    engine.close();
    executor.close();
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** Collects the options of a client. */
  public static final class Builder {
    static final String ADDRESS_VARIABLE = "SINGLEFLIGHT_ADDRESS";
    static final String ADDRESS_DEFAULT = "127.0.0.1:7433";
    private static final int ADDRESSES_MAX = 64;

    private List<String> addresses;
    private String caller;
    private boolean failOpen;
    long connectTimeoutMs = Settings.CONNECT_TIMEOUT_MS;
    long backoffMinMs = 50;
    long backoffMaxMs = 2000;
    long keepaliveTimeMs = 20_000;
    long keepaliveTimeoutMs = 5000;
    int resultLimit = 64 * 1024 * 1024;
    private ChannelCredentials credentials;
    private String tlsCa;
    private String tlsCert;
    private String tlsKey;
    private String tlsServerName;
    private String tokenFile;
    private Executor executor;
    private final List<SingleflightObserver> observers = new ArrayList<>();
    private Supplier<String> traceparent = () -> null;
    private Function<String, ManagedChannelBuilder<?>> channels;
    private final UnaryOperator<String> environment;

    Builder(UnaryOperator<String> environment) {
      this.environment = environment;
    }

    /**
     * The servers. With several, each key has one home among them by rendezvous hashing, so all
     * programs must write the addresses in the same way. A server that refuses connections is
     * passed over at once, one that leaves a call without an answer after 5 seconds ({@link
     * #connectTimeout}, if that is shorter), both until they answer a health check again.
     *
     * @param addresses {@code host:port} or, on Linux, {@code unix:/path}; none: the environment
     *     variable SINGLEFLIGHT_ADDRESS, comma separated; without that, {@code 127.0.0.1:7433}
     * @return this
     */
    public Builder addresses(String... addresses) {
      this.addresses = addresses.length == 0 ? null : List.of(addresses);
      return this;
    }

    /**
     * The caller's name in listings.
     *
     * @param caller at most 128 bytes of UTF-8; by default {@code program@host:pid}
     * @return this
     */
    public Builder caller(String caller) {
      this.caller = Join.checkCaller(caller);
      return this;
    }

    /**
     * When no server can be reached: run the function here, alone, and say so in the result. Also a
     * function that runs already when the server goes away goes on to its end, for the callers of
     * this client.
     *
     * @param failOpen false by default: such calls end with UNAVAILABLE
     * @return this
     */
    public Builder failOpen(boolean failOpen) {
      this.failOpen = failOpen;
      return this;
    }

    /**
     * How long a call looks for a server that takes it, at first or after the connection broke,
     * before it ends with UNAVAILABLE: longer than a server is away that is restarted. With {@link
     * #failOpen} it is no longer than it takes to know that none is there.
     *
     * @param connectTimeout 30 seconds by default; zero: do not wait, take a server that is there
     *     or none
     * @return this
     */
    public Builder connectTimeout(Duration connectTimeout) {
      connectTimeoutMs = Settings.patienceMs(Millis.of(connectTimeout, "connectTimeout"));
      return this;
    }

    /**
     * The wait between two tries to connect is random, between 0 and a bound that doubles.
     *
     * @param min the first bound, 50 ms by default
     * @param max the last bound, 2 seconds by default
     * @return this
     */
    public Builder backoff(Duration min, Duration max) {
      backoffMinMs = positive(min, "backoff min");
      backoffMaxMs = Math.max(backoffMinMs, positive(max, "backoff max"));
      return this;
    }

    /**
     * A ping goes out after so much silence, and the connection is given up when nothing answers
     * it.
     *
     * @param time the silence, 20 seconds by default
     * @param timeout the wait for the answer, 5 seconds by default
     * @return this
     */
    public Builder keepalive(Duration time, Duration timeout) {
      keepaliveTimeMs = positive(time, "keepalive time");
      keepaliveTimeoutMs = positive(timeout, "keepalive timeout");
      return this;
    }

    /**
     * The largest value that this client makes or takes.
     *
     * @param bytes 64 MiB by default
     * @return this
     */
    public Builder resultLimit(int bytes) {
      if (bytes < 1) {
        throw new IllegalArgumentException("resultLimit is not positive");
      }
      resultLimit = bytes;
      return this;
    }

    /**
     * Switches TLS on, for all addresses but {@code unix:} ones: servers must have a certificate of
     * this CA. Files of certificates are read again when they change, for new connections; while a
     * new file cannot be used, the old one counts.
     *
     * @param path a PEM file, or {@code system} for the roots of the system, which are those of the
     *     JVM; by default that of the environment variable SINGLEFLIGHT_TLS_CA; "": no TLS
     * @return this
     */
    public Builder tlsCa(String path) {
      tlsCa = Objects.requireNonNull(path, "tlsCa");
      return this;
    }

    /**
     * The certificate that shows a server who this is. Needs {@link #tlsKey} and {@link #tlsCa}.
     *
     * @param path a PEM file, with the chain; by default that of SINGLEFLIGHT_TLS_CERT
     * @return this
     */
    public Builder tlsCert(String path) {
      tlsCert = Objects.requireNonNull(path, "tlsCert");
      return this;
    }

    /**
     * The key of that certificate.
     *
     * @param path a PEM file, PKCS#8 (BEGIN PRIVATE KEY); by default that of SINGLEFLIGHT_TLS_KEY
     * @return this
     */
    public Builder tlsKey(String path) {
      tlsKey = Objects.requireNonNull(path, "tlsKey");
      return this;
    }

    /**
     * The name that servers' certificates must have, instead of the one in the address.
     *
     * @param name a host name; by default that of SINGLEFLIGHT_TLS_SERVER_NAME
     * @return this
     */
    public Builder tlsServerName(String name) {
      tlsServerName = Objects.requireNonNull(name, "tlsServerName");
      return this;
    }

    /**
     * The file with the token that shows a server who this is. It is read again when it changes; a
     * new one that cannot be used keeps the old one. A token is never sent in the clear to another
     * machine.
     *
     * @param path a file with one token, blanks around it do not count; by default that of
     *     SINGLEFLIGHT_TOKEN_FILE
     * @return this
     */
    public Builder tokenFile(String path) {
      tokenFile = Objects.requireNonNull(path, "tokenFile");
      return this;
    }

    /**
     * How to talk to the servers, instead of the {@code tls} options and variables, which do not
     * count then. A {@link #tokenFile} goes with them.
     *
     * @param credentials any of grpc's
     * @return this
     */
    public Builder credentials(ChannelCredentials credentials) {
      this.credentials = Objects.requireNonNull(credentials, "credentials");
      return this;
    }

    /**
     * What functions and listeners run on. It must not run them on the thread that gives them, and
     * is not shut down by the client.
     *
     * <p>A function that waits for another call holds its thread meanwhile. So a pool of N threads
     * starves when N functions wait for calls whose functions then get no thread. Bound the threads
     * only of functions that make no calls.
     *
     * @param executor by default virtual threads where there are any, otherwise daemon threads that
     *     are kept for a while
     * @return this
     */
    public Builder executor(Executor executor) {
      this.executor = Objects.requireNonNull(executor, "executor");
      return this;
    }

    /**
     * Adds one that is told what happens to calls.
     *
     * @param observer is called inside of the client, and must not wait
     * @return this
     */
    public Builder observer(SingleflightObserver observer) {
      observers.add(Objects.requireNonNull(observer, "observer"));
      return this;
    }

    /**
     * The trace that a call belongs to, for the server's spans. Who uses an {@link #observer} for
     * traces needs none.
     *
     * @param traceparent is asked by each call, on the thread that makes it, for a {@code
     *     traceparent} as W3C defines it, or {@code null}
     * @return this
     */
    public Builder traceparent(Supplier<String> traceparent) {
      this.traceparent = Objects.requireNonNull(traceparent, "traceparent");
      return this;
    }

    /**
     * Lets the channels be made elsewhere, such as for a server inside of this process. What is
     * said of {@link #credentials}, {@link #keepalive} and TLS does not count then.
     *
     * @param channels makes one for an address, each time that the client wants to connect anew
     * @return this
     */
    public Builder channels(Function<String, ManagedChannelBuilder<?>> channels) {
      this.channels = Objects.requireNonNull(channels, "channels");
      return this;
    }

    /**
     * Makes a client, which begins to connect in the background.
     *
     * @return a new client, to be closed
     * @throws IllegalArgumentException an address is none, a file cannot be used, or options do not
     *     fit together
     */
    public SingleflightClient build() {
      List<String> all = addresses == null ? addressesOfEnvironment() : addresses;
      if (all.size() > ADDRESSES_MAX) {
        throw new IllegalArgumentException("there are more than 64 addresses");
      }
      all.forEach(Transport::checkAddress);
      Security.Options secure =
          new Security.Options(credentials, tlsCa, tlsCert, tlsKey, tlsServerName, tokenFile);
      Settings settings =
          new Settings(
              all,
              caller == null ? DefaultCaller.name() : caller,
              failOpen,
              connectTimeoutMs,
              backoffMinMs,
              backoffMaxMs,
              keepaliveTimeMs,
              keepaliveTimeoutMs,
              resultLimit,
              new Security(all, secure.or(environment), System::nanoTime),
              List.copyOf(observers),
              traceparent,
              channels);
      return new SingleflightClient(settings, executor);
    }

    private List<String> addressesOfEnvironment() {
      String text = environment.apply(ADDRESS_VARIABLE);
      String list = text == null || text.isEmpty() ? ADDRESS_DEFAULT : text;
      return Arrays.stream(list.split(",", -1)).map(String::strip).toList();
    }

    private static long positive(Duration duration, String name) {
      long ms = Millis.of(duration, name);
      if (ms == 0) {
        throw new IllegalArgumentException(name + " is zero");
      }
      return ms;
    }
  }
}
