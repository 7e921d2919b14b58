// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static io.singleflightd.FakeServer.ok;
import static io.singleflightd.FakeServer.send;
import static io.singleflightd.FakeServer.session;
import static io.singleflightd.FakeServer.to;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.TlsServerCredentials.ClientAuth;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLSession;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A client and a server that knows it by its certificate. */
@Timeout(60)
class TlsTest {
  /** Notes who opens streams. */
  private static final class Guard implements ServerInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    volatile String wanted; // null: anybody
    final BlockingQueue<String> seen = new LinkedBlockingQueue<>();

    @Override
    public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(
        ServerCall<ReqT, RespT> call,
        Metadata headers,
        ServerCallHandler<ReqT, RespT> next) {
      String name = nameOf(call);
      seen.add(name + " " + headers.get(AUTHORIZATION));
      if (wanted != null && !wanted.equals(name)) {
        call.close(
            Status.UNAUTHENTICATED.withDescription("who is " + name + "?"), new Metadata());
        return new ServerCall.Listener<>() {};
      }
      return next.startCall(call, headers);
    }

    private static String nameOf(ServerCall<?, ?> call) {
      try {
        SSLSession session = call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
        X509Certificate peer = (X509Certificate) session.getPeerCertificates()[0];
        return peer.getSubjectX500Principal().getName();
      } catch (IOException anonymous) {
        return "nobody";
      }
    }

    String next() throws InterruptedException {
      return seen.poll(20, TimeUnit.SECONDS);
    }
  }

  @TempDir Path folder;
  private Certificates files;
  private Guard guard;
  private FakeServer server;

  @BeforeEach
  void start() throws IOException {
    files = new Certificates(folder);
    guard = new Guard();
    server = serve(session((frame, out) -> send(out, to(frame).setResult(ok("value", 5)))));
  }

  private FakeServer serve(BindableService service) throws IOException {
    return new FakeServer(
        TlsServerCredentials.newBuilder()
            .keyManager(new File(files.path("server.pem")), new File(files.path("server.key")))
            .trustManager(new File(files.path("ca.pem")))
            .clientAuth(ClientAuth.OPTIONAL)
            .build(),
        new Guarded(service, guard));
  }

  private record Guarded(BindableService service, Guard guard) implements BindableService {
    @Override
    public ServerServiceDefinition bindService() {
      return ServerInterceptors.intercept(service, guard);
    }
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private SingleflightClient.Builder builder() {
    return SingleflightClient.builder()
        .addresses(server.address())
        .tlsCa(files.path("ca.pem"))
        .connectTimeout(Duration.ofSeconds(20));
  }

  private SingleflightClient.Builder as(String name) {
    return builder().tlsCert(files.path(name + ".pem")).tlsKey(files.path(name + ".key"));
  }

  private static String call(SingleflightClient client) throws InterruptedException {
    return client.call("key", DoOptions.defaults(), Codec.UTF_8, leader -> "mine").value();
  }

  private static StatusException refused(SingleflightClient client) {
    return assertThrows(StatusException.class, () -> call(client));
  }

  @Test
  void theServerLearnsWhoCalls() throws Exception {
    Certificates.write(folder.resolve("token"), "secret");
    try (SingleflightClient client = as("alice").tokenFile(files.path("token")).build()) {
      assertEquals("value", call(client));
      assertEquals("CN=alice Bearer secret", guard.next());
    }
  }

  @Test
  void aServerOfAnotherCaIsNobody() throws Exception {
    Certificates.makeIn(folder.resolve("other"));
    try (SingleflightClient client =
        builder()
            .tlsCa(files.path("other/ca.pem"))
            .connectTimeout(Duration.ofMillis(300))
            .build()) {
      StatusException status = refused(client);
      assertTrue(status.isUnavailable());
      assertTrue(status.getMessage().contains("PKIX path"), status.getMessage());
    }
  }

  @Test
  void theNameInTheCertificateCounts() throws Exception {
    try (SingleflightClient client = as("alice").tlsServerName("localhost").build()) {
      assertEquals("value", call(client));
    }
    try (SingleflightClient client =
        as("alice").tlsServerName("db.example").connectTimeout(Duration.ofMillis(300)).build()) {
      StatusException status = refused(client);
      assertTrue(status.getMessage().contains("db.example"), status.getMessage());
    }
  }

  @Test
  void aNewCertificateIsShownOnNewConnections() throws Exception {
    copy("alice");
    guard.wanted = "CN=bob";
    try (SingleflightClient client = as("me").failOpen(true).build()) {
      assertTrue(refused(client).getMessage().contains("who is CN=alice?"));
      copy("bob");
      Eventually.isTrue("bob is let in", () -> isLetIn(client));
    }
  }

  @Test
  void aNewCaIsTrustedOnNewConnections() throws Exception {
    Certificates.makeIn(folder.resolve("other"));
    Path trusted = folder.resolve("trusted.pem");
    Certificates.write(trusted, Files.readString(folder.resolve("other/ca.pem")));
    try (SingleflightClient client =
        builder()
            .tlsCa(trusted.toString())
            .connectTimeout(Duration.ofMillis(300))
            .backoff(Duration.ofMillis(1), Duration.ofMillis(20))
            .build()) {
      assertTrue(refused(client).isUnavailable());
      Certificates.write(trusted, Files.readString(folder.resolve("ca.pem")));
      Eventually.isTrue("the server is trusted", () -> isThere(client));
    }
  }

  private static boolean isThere(SingleflightClient client) {
    try {
      return call(client).equals("value");
    } catch (StatusException away) {
      assertTrue(away.isUnavailable());
      return false;
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @Test
  void anotherTokenTakesAnotherSession() throws Exception {
    Path token = folder.resolve("token");
    Certificates.write(token, "first");
    try (SingleflightClient client = builder().tokenFile(token.toString()).build()) {
      assertEquals("value", call(client));
      assertEquals("value", call(client));
      assertEquals("nobody Bearer first", guard.next());
      Certificates.write(token, "second");
      Eventually.isTrue("the second is sent", () -> calls(client, "nobody Bearer second"));
    }
  }

  private void copy(String name) throws IOException {
    for (String suffix : new String[] {".key", ".pem"}) {
      String text = Files.readString(folder.resolve(name + suffix));
      Certificates.write(folder.resolve("me" + suffix), text);
    }
  }

  private static boolean isLetIn(SingleflightClient client) {
    try {
      return call(client).equals("value");
    } catch (StatusException refused) {
      assertEquals(Status.Code.UNAUTHENTICATED, refused.code());
      return false;
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  private boolean calls(SingleflightClient client, String who) {
    assertTrue(isLetIn(client));
    return who.equals(guard.seen.poll());
  }
}
