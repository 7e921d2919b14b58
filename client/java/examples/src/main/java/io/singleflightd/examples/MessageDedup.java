// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import io.singleflightd.SingleflightException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;

/**
 * Message deduplication: a broker delivers at least once, and an order must be charged once. Within
 * the window, a message that is delivered again gets the outcome of the first one; two deliveries
 * at the same time on two machines do, too. Usage: MessageDedup LEDGER MESSAGE-ID AMOUNT
 */
public final class MessageDedup {
  private MessageDedup() {}

  /**
   * Charges an order, unless that was done.
   *
   * @param args LEDGER MESSAGE-ID AMOUNT
   * @throws InterruptedException if interrupted
   */
  public static void main(String[] args) throws InterruptedException {
    Path ledger = Path.of(args[0]);
    String id = args[1];
    String amount = args[2];
    DoOptions options =
        DoOptions.builder()
            .group("orders")
            // The window. An error is not retained: the broker delivers again, and the charge is
            // tried again.
            .retain(Duration.ofHours(1))
            // The same id with another amount is no redelivery but a mistake, and is refused.
            .fingerprint(amount.getBytes(StandardCharsets.UTF_8))
            .build();
    try (SingleflightClient client = SingleflightClient.create()) {
      Result<String> result =
          client.call(
              id, options, Codec.UTF_8, leader -> charge(ledger, id, amount, leader.token()));
      System.out.println(result.value() + (result.led() ? " (charged)" : " (delivered again)"));
    } catch (SingleflightException failed) {
      System.err.println("MessageDedup: " + failed.getMessage());
      System.exit(1);
    }
  }

  /**
   * Charges the order: a line in the ledger. A ledger that is a database would also refuse a token
   * smaller than the last one.
   */
  private static String charge(Path ledger, String id, String amount, long token)
      throws IOException {
    String fence = Long.toUnsignedString(token);
    Files.writeString(
        ledger,
        id + " " + amount + " " + fence + "\n",
        StandardOpenOption.CREATE,
        StandardOpenOption.APPEND);
    return "receipt " + fence + " for " + id;
  }
}
