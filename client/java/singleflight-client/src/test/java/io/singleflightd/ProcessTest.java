// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Callers in processes of their own. */
@Timeout(120)
class ProcessTest {
  private static final int PROCESSES = 8; // a JVM is heavy: each has several clients
  private static final int CLIENTS_EACH = 5;

  @TempDir Path folder;

  private Process start(Daemon daemon, int clients, Path runs, int followers) throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx48m",
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            System.getProperty("java.class.path"),
            WorkerMain.class.getName(),
            daemon.address(),
            "one key",
            String.valueOf(clients),
            runs.toString(),
            String.valueOf(followers))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
  }

  private static List<String> outputOf(Process process) throws Exception {
    try (BufferedReader out = process.inputReader()) {
      List<String> lines = out.lines().collect(Collectors.toList());
      assertTrue(process.waitFor(20, TimeUnit.SECONDS));
      assertEquals(0, process.exitValue());
      return lines;
    }
  }

  @Test
  void fortyCallersInManyProcessesRunItOnce() throws Exception {
    int callers = PROCESSES * CLIENTS_EACH;
    Path runs = Files.createFile(folder.resolve("runs"));
    List<String> results = new ArrayList<>();
    try (Daemon daemon = Daemon.start()) {
      List<Process> processes = new ArrayList<>();
      for (int i = 0; i < PROCESSES; i++) {
        processes.add(start(daemon, CLIENTS_EACH, runs, callers - 1));
      }
      for (Process process : processes) {
        results.addAll(outputOf(process));
      }
    }
    assertEquals(List.of("1"), Files.readAllLines(runs));
    assertTrue(results.remove("begins 1"));
    assertTrue(results.remove("led value-of-1 " + callers + " 1"));
    String followed = "followed value-of-1 " + callers + " 1";
    assertEquals(callers - 1, results.stream().filter(followed::equals).count());
  }

  @Test
  void whenTheLeadersProcessIsKilledAnotherTakesOver() throws Exception {
    Path runs = Files.createFile(folder.resolve("runs"));
    try (Daemon daemon = Daemon.start()) {
      Process first = start(daemon, 1, runs, Integer.MAX_VALUE); // waits for ever
      assertEquals("begins 1", first.inputReader().readLine());
      Work work = new Work("never");
      SingleflightClient client = DaemonTest.clientOf(daemon.address());
      CountDownLatch follows = new CountDownLatch(1);
      CompletableFuture<Result<String>> second =
          client.callLive(
              "one key", DaemonTest.PLAIN, Codec.UTF_8, work, bytes -> follows.countDown());
      assertTrue(follows.await(20, TimeUnit.SECONDS));
      Process third = start(daemon, 1, runs, 0);
      first.destroyForcibly();
      assertEquals(2, work.awaitLead().attempt());
      work.awaitFollowers(1);
      client.close();
      assertTrue(DaemonTest.statusOf(second).isCancelled());
      assertEquals(List.of("begins 3", "led value-of-3 1 3"), outputOf(third));
      assertEquals(List.of("3"), Files.readAllLines(runs));
    }
  }
}
