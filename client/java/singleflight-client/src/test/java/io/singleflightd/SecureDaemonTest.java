// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A daemon that lets nobody in without a certificate, and does nothing without a token. */
@Timeout(60)
class SecureDaemonTest {
  private static final String ACCESS =
      """
      [who]
      web = token:web
      [group mine]
      all = web
      [group joined]
      do = web
      """;

  @TempDir Path folder;
  private Certificates files;
  private Daemon daemon;

  @BeforeEach
  void start() throws Exception {
    files = new Certificates(folder);
    write("token", "secret\n");
    write("tokens", "web " + digest("secret") + "\n");
    write("access", ACCESS);
    daemon =
        Daemon.start(
            "--tls-cert", files.path("server.pem"),
            "--tls-key", files.path("server.key"),
            "--tls-client-ca", files.path("ca.pem"),
            "--token-file", files.path("tokens"),
            "--access-file", files.path("access"));
  }

  @AfterEach
  void end() {
    daemon.close();
  }

  private void write(String name, String text) {
    Certificates.write(folder.resolve(name), text);
  }

  private static String digest(String token) throws Exception {
    byte[] bytes = token.getBytes(StandardCharsets.UTF_8);
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }

  private SingleflightClient.Builder builder() {
    return SingleflightClient.builder()
        .addresses(daemon.address())
        .failOpen(true)
        .tlsCa(files.path("ca.pem"))
        .tokenFile(files.path("token"));
  }

  private SingleflightClient.Builder alice() {
    return builder().tlsCert(files.path("alice.pem")).tlsKey(files.path("alice.key"));
  }

  private static DoOptions group(String name) {
    return DoOptions.builder().group(name).build();
  }

  private static Result<String> call(SingleflightClient client, String group)
      throws InterruptedException {
    return client.call("key", group(group), Codec.UTF_8, leader -> "value");
  }

  private static Status.Code refusal(SingleflightClient client, String group) {
    return assertThrows(StatusException.class, () -> call(client, group)).code();
  }

  @Test
  void whoHasACertificateAndATokenMayDoWhatItMay() throws Exception {
    try (SingleflightClient client = alice().build()) {
      assertTrue(call(client, "mine").led());
      assertEquals(Status.Code.PERMISSION_DENIED, refusal(client, "theirs"));
      assertEquals(Status.Code.NOT_FOUND, refusal(client, "joined"));
      assertEquals(
          Status.Code.PERMISSION_DENIED,
          assertThrows(StatusException.class, () -> client.forget("theirs", "key", false)).code());
      assertTrue(call(client, "mine").led());
    }
  }

  @Test
  void whoHasNoCertificateFindsNobodyThere() throws Exception {
    try (SingleflightClient client =
        builder().failOpen(false).connectTimeout(Duration.ofMillis(500)).build()) {
      assertEquals(Status.Code.UNAVAILABLE, refusal(client, "mine"));
    }
  }

  @Test
  void aWrongTokenIsRefusedAtOnce() throws Exception {
    write("token", "guess\n");
    try (SingleflightClient client = alice().build()) {
      assertEquals(Status.Code.UNAUTHENTICATED, refusal(client, "mine"));
      assertEquals(Status.Code.UNAUTHENTICATED, refusal(client, "mine"));
    }
  }

  @Test
  void whoseTokenIsTakenAwayLosesItsLeadAndComesBackWithAnother() throws Exception {
    DoOptions leased =
        DoOptions.builder().group("mine").lease(Duration.ofMinutes(1)).build();
    try (SingleflightClient client = alice().build()) {
      Work work = new Work("value");
      CompletableFuture<Result<String>> leading =
          client.callAsync("held", leased, Codec.UTF_8, work);
      work.awaitLead();
      write("tokens", "web " + digest("another") + "\n");
      work.awaitLost();
      assertEquals(Status.Code.UNAUTHENTICATED, DaemonTest.statusOf(leading).code());
      write("token", "another\n");
      Eventually.isTrue("the new token counts", () -> isLetIn(client));
    }
  }

  private static boolean isLetIn(SingleflightClient client) {
    try {
      return call(client, "mine").value().equals("value");
    } catch (StatusException refused) {
      assertEquals(Status.Code.UNAUTHENTICATED, refused.code());
      return false;
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }
}
