// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.bench;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.SingleflightClient;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Distinct keys through the client and through bare grpc-java, 64 and 1 in flight. */
public final class Bench {
  private static final int MANY = 64;
  private static final double WARM_UP_SECONDS = 8; // what the compiler takes until it rests

  /** Begins one flight; calls `onEnd` once when it has ended. */
  interface Flights extends AutoCloseable {
    void begin(String key, Runnable onEnd);

    @Override
    void close();
  }

  private Bench() {}

  /**
   * Prints one JSON object a line.
   *
   * @param args --address HOST:PORT [--seconds S]
   * @throws InterruptedException never
   */
  public static void main(String[] args) throws InterruptedException {
    String address = null;
    double seconds = 3;
    for (int i = 0; i + 1 < args.length; i += 2) {
      switch (args[i]) {
        case "--address" -> address = args[i + 1];
        case "--seconds" -> seconds = Double.parseDouble(args[i + 1]);
        default -> address = null;
      }
    }
    if (address == null) {
      System.err.println("usage: bench --address HOST:PORT [--seconds S]");
      System.exit(64);
    }
    try (Flights client = new Client(address)) {
      measure("distinct", client, seconds);
    }
    try (Flights bare = new Bare(address)) {
      measure("bare", bare, seconds);
    }
  }

  private static void measure(String what, Flights flights, double seconds)
      throws InterruptedException {
    run(flights, MANY, WARM_UP_SECONDS);
    measure("client.java." + what + MANY, flights, MANY, seconds);
    measure("client.java." + what + 1, flights, 1, seconds);
  }

  private static void measure(String name, Flights flights, int inFlight, double seconds)
      throws InterruptedException {
    long cpuBefore = cpuMicros();
    long[] micros = run(flights, inFlight, seconds);
    long cpu = cpuMicros() - cpuBefore;
    Arrays.sort(micros);
    System.out.println(
        String.format(
            Locale.ROOT,
            "{\"name\":\"%s\",\"flights_per_s\":%.0f,\"p50_us\":%d,\"cpu_us\":%.1f}",
            name,
            micros.length / seconds,
            micros.length == 0 ? 0 : micros[micros.length / 2],
            (double) cpu / micros.length));
  }

  /** Of this process so far: a figure that does not depend on who else is busy. */
  private static long cpuMicros() {
    return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos() / 1000;
  }

  /** Keeps so many in flight for so long; how long each took, in microseconds. */
  private static long[] run(Flights flights, int inFlight, double seconds)
      throws InterruptedException {
    Run run = new Run(flights, inFlight, System.nanoTime() + (long) (seconds * 1e9));
    for (int i = 0; i < inFlight; i++) {
      run.begin();
    }
    run.ended.await();
    return run.micros();
  }

  private static final class Run {
    private static final AtomicLong KEYS = new AtomicLong();

    private final Flights flights;
    private final long endNanos;
    private final CountDownLatch ended;
    private long[] micros = new long[1 << 16];
    private int count;

    Run(Flights flights, int inFlight, long endNanos) {
      this.flights = flights;
      this.endNanos = endNanos;
      ended = new CountDownLatch(inFlight);
    }

    void begin() {
      long start = System.nanoTime();
      flights.begin("bench-" + KEYS.incrementAndGet(), () -> onEnd(start));
    }

    private void onEnd(long start) {
      long now = System.nanoTime();
      if (now >= endNanos) {
        ended.countDown();
        return;
      }
      synchronized (this) {
        if (count == micros.length) {
          micros = Arrays.copyOf(micros, 2 * count);
        }
        micros[count++] = (now - start) / 1000;
      }
      begin();
    }

    synchronized long[] micros() {
      return Arrays.copyOf(micros, count);
    }
  }

  private static final class Client implements Flights {
    private static final byte[] VALUE = new byte[100];

    private final SingleflightClient client;

    Client(String address) {
      client = SingleflightClient.builder().addresses(address).build();
    }

    @Override
    public void begin(String key, Runnable onEnd) {
      client
          .callAsync(key, DoOptions.defaults(), Codec.BYTES, leader -> VALUE)
          .whenComplete(
              (result, thrown) -> {
                if (thrown != null) {
                  throw new IllegalStateException(thrown);
                }
                onEnd.run();
              });
    }

    @Override
    public void close() {
      client.close();
    }
  }
}
