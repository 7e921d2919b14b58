// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.Leader;
import io.singleflightd.SingleflightClient;
import io.singleflightd.SingleflightException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/**
 * Merging equal remote calls: however many processes GET the same thing at the same time, the other
 * side sees one request. Usage: MergeRemoteCalls URL
 */
public final class MergeRemoteCalls {
  private static final DoOptions OPTIONS =
      DoOptions.builder()
          .group("http")
          .failOpen(true) // without a daemon, everybody calls for himself, as before
          .timeout(Duration.ofSeconds(30))
          .build();

  private MergeRemoteCalls() {}

  /**
   * Prints what a GET brings.
   *
   * @param args URL
   * @throws InterruptedException if interrupted
   */
  public static void main(String[] args) throws InterruptedException {
    URI uri = URI.create(args[0]);
    try (SingleflightClient client = SingleflightClient.create()) {
      System.out.print(
          client.call("GET " + uri, OPTIONS, Codec.UTF_8, leader -> get(leader, uri)).value());
    } catch (SingleflightException failed) {
      System.err.println("MergeRemoteCalls: " + failed.getMessage());
      System.exit(1);
    }
  }

  private static String get(Leader leader, URI uri) throws IOException, InterruptedException {
    HttpRequest request = HttpRequest.newBuilder(uri).build();
    try {
      return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
    } catch (IOException ours) {
      leader.passOn(); // our trouble need not be everybody's: the next one tries
      throw ours;
    }
  }
}
