// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * A process that asks for one key by several clients. Prints a line when a function begins and one
 * for each result. Arguments: address, key, clients, file that each run adds a line to, how many
 * followers the function waits for.
 */
final class WorkerMain {
  private WorkerMain() {}

  public static void main(String[] args) throws Exception {
    String key = args[1];
    Path runs = Path.of(args[3]);
    int awaited = Integer.parseInt(args[4]);
    DoOptions options = DoOptions.builder().audience(true).build();
    List<SingleflightClient> clients = new ArrayList<>();
    List<CompletableFuture<Result<String>>> calls = new ArrayList<>();
    for (int i = 0; i < Integer.parseInt(args[2]); i++) {
      SingleflightClient client =
          SingleflightClient.builder()
              .addresses(args[0])
              .connectTimeout(Duration.ofMinutes(1)) // many JVMs that start share few cores
              .build();
      clients.add(client);
      LeaderFunction<String> function = leader -> run(leader, runs, awaited);
      calls.add(client.callAsync(key, options, Codec.UTF_8, function));
    }
    for (CompletableFuture<Result<String>> call : calls) {
      Result<String> result = call.get();
      System.out.println(
          String.join(
              " ",
              result.led() ? "led" : "followed",
              result.value(),
              String.valueOf(result.callers()),
              String.valueOf(result.attempt())));
    }
    clients.forEach(SingleflightClient::close);
  }

  private static String run(Leader leader, Path runs, int awaited) throws Exception {
    System.out.println("begins " + leader.attempt());
    leader.write("value-".getBytes(StandardCharsets.UTF_8)); // live followers see that it leads
    Eventually.isTrue(
        awaited + " followers",
        () -> leader.audience().map(Audience::followers).orElse(0) >= awaited);
    Files.writeString(runs, leader.attempt() + "\n", StandardOpenOption.APPEND);
    return "of-" + leader.attempt();
  }
}
