// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Leader;
import io.singleflightd.SingleflightClient;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;

/**
 * A scheduled task, once across all nodes. Every node's scheduler runs it at about the same time.
 * Whoever comes first runs the command; who comes while it runs waits for it; who comes within the
 * RETAIN time after it has ended gets the same output at once, and nothing runs. So RETAIN is
 * longer than the clocks of the nodes may differ, and shorter than the time from one run to the
 * next. A node that dies at it is replaced by the next that waits.
 *
 * <p>Programs that use ShedLock take singleflight-shedlock instead. Usage: [RETAIN=PT10M]
 * ScheduledTask NAME COMMAND [ARG...]
 */
public final class ScheduledTask {
  private ScheduledTask() {}

  /**
   * Prints the command's output, and exits with its code.
   *
   * @param args NAME COMMAND [ARG...]
   * @throws InterruptedException if interrupted
   */
  public static void main(String[] args) throws InterruptedException {
    Duration retain = Duration.parse(System.getenv().getOrDefault("RETAIN", "PT10M"));
    DoOptions options =
        DoOptions.builder()
            .group("cron")
            .retain(retain)
            .retainError(retain) // is not to be run again by the node whose clock is slow
            .build();
    List<String> command = Arrays.asList(args).subList(1, args.length);
    byte[] output;
    int exit = 0;
    try (SingleflightClient client = SingleflightClient.create()) {
      output = client.call(args[0], options, Codec.BYTES, leader -> run(leader, command)).value();
    } catch (FunctionException failed) {
      output = failed.value(); // stands beside the error
      exit = failed.code() == 0 ? 1 : failed.code();
    }
    System.out.writeBytes(output);
    System.out.flush();
    System.exit(exit);
  }

  private static byte[] run(Leader leader, List<String> command)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    leader.onLost(reason -> process.destroy());
    leader.write(process.getInputStream().readAllBytes());
    int exit = process.waitFor();
    if (exit != 0) {
      throw FunctionException.error("the command ended with " + exit).code(exit).build();
    }
    return null;
  }
}
