// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client refuses to be made of, and what it reads again. */
class SecurityTest {
  @TempDir static Path folder;
  private static Certificates files;

  private final Map<String, String> environment = new HashMap<>();
  private final AtomicLong nanoTime = new AtomicLong(1);
  private Path token;

  @BeforeAll
  static void makeCertificates() {
    files = new Certificates(folder);
  }

  @BeforeEach
  void writeToken() {
    token = folder.resolve("token");
    Certificates.write(token, "  secret-1\n");
  }

  private Security secure(String address, Security.Options options) {
    return new Security(List.of(address), options.or(environment::get), nanoTime::get);
  }

  private static Security.Options tls(String ca, String cert, String key) {
    return new Security.Options(null, ca, cert, key, null, null);
  }

  private Security.Options onlyToken(ChannelCredentials credentials) {
    return new Security.Options(credentials, null, null, null, null, token.toString());
  }

  private String refusal(Security.Options options) {
    return assertThrows(IllegalArgumentException.class, () -> secure("db.example:7433", options))
        .getMessage();
  }

  private void passASecond() {
    nanoTime.addAndGet(WatchedFiles.LOOK_NANOS);
  }

  @Test
  void halfOfItIsRefused() {
    String cert = files.path("alice.pem");
    String key = files.path("alice.key");
    assertTrue(refusal(tls("system", cert, null)).contains("tlsKey is not"));
    assertTrue(refusal(tls("system", null, key)).contains("tlsCert is not"));
    assertTrue(refusal(tls(null, cert, key)).contains("tlsCa is not"));
    environment.put("SINGLEFLIGHT_TLS_SERVER_NAME", "localhost");
    assertTrue(refusal(tls(null, null, null)).contains("tlsServerName is set"));
  }

  @Test
  void filesThatCannotBeUsedAreRefusedByName() {
    String ca = files.path("ca.pem");
    String alice = files.path("alice.pem");
    assertTrue(refusal(tls("/nowhere/ca.pem", null, null)).contains("/nowhere/ca.pem"));
    assertTrue(refusal(tls(token.toString(), null, null)).contains("tlsCa " + token));
    assertTrue(refusal(tls(ca, token.toString(), files.path("alice.key"))).contains("tlsCert"));
    assertTrue(refusal(tls(ca, alice, ca)).contains("PKCS#8"));
    assertTrue(refusal(tls(ca, alice, files.path("bob.key"))).contains("does not belong"));
    assertTrue(refusal(tls("\0", null, null)).contains("no file"));
  }

  @Test
  void theEnvironmentStandsInForWhatIsNotGiven() {
    environment.put("SINGLEFLIGHT_TLS_CA", files.path("ca.pem"));
    environment.put("SINGLEFLIGHT_TLS_CERT", files.path("alice.pem"));
    environment.put("SINGLEFLIGHT_TLS_KEY", files.path("alice.key"));
    environment.put("SINGLEFLIGHT_TLS_SERVER_NAME", "db");
    Security secure = secure("db.example:7433", tls(null, null, null));
    assertInstanceOf(TlsChannelCredentials.class, secure.credentials("db.example:7433"));
    assertInstanceOf(InsecureChannelCredentials.class, secure.credentials("unix:/run/sfl"));
    assertEquals("db", secure.serverName());
    Security plain =
        secure("db.example:7433", new Security.Options(null, "", "", "", "", ""));
    assertInstanceOf(InsecureChannelCredentials.class, plain.credentials("db.example:7433"));
  }

  @Test
  void credentialsOfTheLanguageWin() {
    environment.put("SINGLEFLIGHT_TLS_CA", "/nowhere/ca.pem");
    ChannelCredentials own = TlsChannelCredentials.create();
    Security secure = secure("db.example:7433", onlyToken(own));
    assertSame(own, secure.credentials("db.example:7433"));
    assertEquals(1, secure.interceptors().size());
  }

  @ParameterizedTest
  @ValueSource(strings = {"10.0.0.1:7433", "db.example:7433", "127.evil.example:7433", "[::2]:1"})
  void aTokenIsNeverSentInTheClear(String address) {
    for (ChannelCredentials plain :
        new ChannelCredentials[] {null, InsecureChannelCredentials.create()}) {
      String why =
          assertThrows(
                  IllegalArgumentException.class, () -> secure(address, onlyToken(plain)))
              .getMessage();
      assertTrue(why.contains(address) && why.contains("in the clear"), why);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1:1", "127.8.9.1:1", "LocalHost:1", "[::1]:1", "unix:/run/s"})
  void aTokenMayStayOnThisMachine(String address) {
    assertDoesNotThrow(() -> secure(address, onlyToken(null)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " \n", "two words", "caf\u00e9"})
  void whatIsNoTokenIsRefused(String text) {
    Certificates.write(token, text);
    assertTrue(refusal(onlyToken(TlsChannelCredentials.create())).contains("holds no token"));
  }

  @Test
  void aTokenIsReadAgainAndABrokenOneKeepsTheOld() throws Exception {
    TokenFile read = new TokenFile(token, nanoTime::get);
    assertEquals("secret-1", read.token());
    Certificates.write(token, "the-second");
    assertEquals("secret-1", read.token()); // within the same second
    passASecond();
    assertEquals("the-second", read.token());
    Certificates.write(token, "no token");
    passASecond();
    assertEquals("the-second", read.token());
    Files.delete(token);
    passASecond();
    assertEquals("the-second", read.token());
    Certificates.write(token, "the-third");
    passASecond();
    assertEquals("the-third", read.token());
  }
}
