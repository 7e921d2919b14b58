// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.net.httpserver.HttpServer;
import io.singleflightd.Daemon;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Each example does what it says, as a process of its own. */
@Timeout(120)
class ExamplesTest {
  private static Daemon daemon;

  @TempDir Path folder;

  /** What a program printed, and how it ended. */
  private record Ended(String output, int exit) {}

  @BeforeAll
  static void setUp() {
    daemon = Daemon.start();
  }

  @AfterAll
  static void tearDown() {
    daemon.close();
  }

  private static Ended run(Class<?> example, String... args) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                example.getName()));
    command.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("SINGLEFLIGHT_ADDRESS", daemon.address());
    Process process = builder.start();
    String output =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    assertTrue(process.waitFor(20, TimeUnit.SECONDS));
    return new Ended(output, process.exitValue());
  }

  @Test
  void cacheBreakdownAsksTheDatabaseOnce() throws Exception {
    String url = "jdbc:sqlite:" + folder.resolve("users");
    try (Connection database = DriverManager.getConnection(url);
        Statement statement = database.createStatement()) {
      statement.execute("CREATE TABLE users (name TEXT, profile TEXT)");
      statement.execute("INSERT INTO users VALUES ('ann', 'Ann of Oslo')");
    }
    assertEquals(
        new Ended("Ann of Oslo (from the database)", 0), run(CacheBreakdown.class, url, "ann"));
    assertEquals(new Ended("Ann of Oslo (shared)", 0), run(CacheBreakdown.class, url, "ann"));
    assertEquals(
        new Ended("CacheBreakdown: no such user", 1), run(CacheBreakdown.class, url, "bob"));
  }

  @Test
  void mergeRemoteCallsPrintsWhatTheOtherSideSays() throws Exception {
    HttpServer server =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          exchange.sendResponseHeaders(200, 5);
          exchange.getResponseBody().write("hello".getBytes(StandardCharsets.UTF_8));
          exchange.close();
        });
    server.start();
    String url = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    assertEquals(new Ended("hello", 0), run(MergeRemoteCalls.class, url));
    server.stop(0);
    assertEquals(1, run(MergeRemoteCalls.class, url).exit());
  }

  @Test
  void scheduledTaskRunsTheCommandOnce() throws Exception {
    Path runs = folder.resolve("runs");
    String[] task = {"task", "sh", "-c", "echo x >> " + runs + "; echo done; exit 3"};
    assertEquals(new Ended("done", 3), run(ScheduledTask.class, task));
    assertEquals(new Ended("done", 3), run(ScheduledTask.class, task));
    assertEquals(List.of("x"), Files.readAllLines(runs));
  }

  @Test
  void messageDedupChargesOnce() throws Exception {
    String ledger = folder.resolve("ledger").toString();
    Ended first = run(MessageDedup.class, ledger, "m1", "12.50");
    assertTrue(first.output().endsWith("for m1 (charged)"), first.output());
    Ended second = run(MessageDedup.class, ledger, "m1", "12.50");
    assertTrue(second.output().endsWith("for m1 (delivered again)"), second.output());
    assertEquals(1, run(MessageDedup.class, ledger, "m1", "99.00").exit());
    assertEquals(1, Files.readAllLines(Path.of(ledger)).size());
  }

  @Test
  void lockReliefRunsTheJobUnderTheLock() throws Exception {
    boolean hasRedis =
        Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .anyMatch(path -> new File(path, "redis-server").canExecute());
    assumeTrue(hasRedis, "there is no redis-server");
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    Process redis =
        new ProcessBuilder(
                "redis-server", "--bind", "127.0.0.1", "--port", "" + port, "--save", "")
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start();
    try {
      awaitPort(port);
      String url = "redis://127.0.0.1:" + port;
      assertEquals(new Ended("run 1", 0), run(LockRelief.class, url, "job"));
      assertEquals(new Ended("run 1", 0), run(LockRelief.class, url, "job"));
      assertEquals(new Ended("run 1", 0), run(LockRelief.class, url, "another"));
    } finally {
      redis.destroy();
      redis.waitFor();
    }
  }

  private static void awaitPort(int port) throws InterruptedException {
    for (int tries = 0; tries < 1000; tries++) {
      try (Socket socket = new Socket("127.0.0.1", port)) {
        assertTrue(socket.isConnected());
        return;
      } catch (IOException notYet) {
        TimeUnit.MILLISECONDS.sleep(10);
      }
    }
    throw new AssertionError("redis-server does not listen");
  }
}
