// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A singleflightd of a test's own, on a port that was free. */
public final class Daemon implements AutoCloseable {
  private static final String LISTENING = "singleflightd listening on ";

  private final Process process;
  private final String address;

  private Daemon(Process process, String address) {
    this.process = process;
    this.address = address;
  }

  public static Daemon start(String... options) {
    return startAt("127.0.0.1:0", options);
  }

  static Daemon startAt(String address, String... options) {
    List<String> command = new ArrayList<>(List.of(program(), "--listen", address));
    command.addAll(List.of(options));
    try {
      Process process =
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
      BufferedReader out =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
      String line = out.readLine();
      if (line == null || !line.startsWith(LISTENING)) {
        process.destroyForcibly();
        throw new IllegalStateException("the daemon said: " + line);
      }
      return new Daemon(process, line.substring(LISTENING.length()));
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  private static String program() {
    String named = System.getenv("SINGLEFLIGHTD");
    if (named != null) {
      return named;
    }
    for (String root : List.of("../../../build", "../../build")) {
      File built = new File(root, "bin/singleflightd");
      if (built.canExecute()) {
        return built.getPath();
      }
    }
    throw new IllegalStateException("SINGLEFLIGHTD does not name the daemon");
  }

  public String address() {
    return address;
  }

  /** Begins to drain. */
  void terminate() {
    process.destroy();
  }

  void kill() {
    process.destroyForcibly();
    await();
  }

  void await() {
    try {
      if (!process.waitFor(20, TimeUnit.SECONDS)) {
        process.destroyForcibly();
        throw new IllegalStateException("the daemon does not end");
      }
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @Override
  public void close() {
    terminate();
    await();
  }
}
