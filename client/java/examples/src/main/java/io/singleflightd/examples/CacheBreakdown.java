// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;

/**
 * Cache breakdown: an entry that everybody wants has just expired, and the database is asked for it
 * once instead of a thousand times. Usage: CacheBreakdown JDBC-URL USER
 */
public final class CacheBreakdown {
  private CacheBreakdown() {}

  /**
   * Prints the profile of a user.
   *
   * @param args JDBC-URL and USER
   * @throws InterruptedException if interrupted
   */
  public static void main(String[] args) throws InterruptedException {
    String url = args[0];
    String user = args[1];
    DoOptions options =
        DoOptions.builder()
            .group("users")
            .retain(Duration.ofSeconds(5)) // for those who looked into the cache just before
            .build();
    try (SingleflightClient client = SingleflightClient.create()) {
      Result<String> result = client.call(user, options, Codec.UTF_8, leader -> load(url, user));
      System.out.println(
          result.value() + (result.led() ? " (from the database)" : " (shared)"));
    } catch (FunctionException failed) {
      System.err.println("CacheBreakdown: " + failed.getMessage());
      System.exit(1);
    }
  }

  /** Runs in one process, on behalf of all that ask for this user at this moment. */
  private static String load(String url, String user) throws SQLException {
    try (Connection database = DriverManager.getConnection(url);
        PreparedStatement query =
            database.prepareStatement("SELECT profile FROM users WHERE name = ?")) {
      query.setString(1, user);
      try (ResultSet rows = query.executeQuery()) {
        if (!rows.next()) {
          throw FunctionException.error("no such user").code(2).build();
        }
        return rows.getString(1);
      }
    }
  }
}
