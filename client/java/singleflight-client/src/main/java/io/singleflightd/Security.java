// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.InsecureChannelCredentials;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

/** How a client connects, and how it says who it is. Any thread. */
final class Security {
  static final String TLS_CA_VARIABLE = "SINGLEFLIGHT_TLS_CA";
  static final String TLS_CERT_VARIABLE = "SINGLEFLIGHT_TLS_CERT";
  static final String TLS_KEY_VARIABLE = "SINGLEFLIGHT_TLS_KEY";
  static final String TLS_SERVER_NAME_VARIABLE = "SINGLEFLIGHT_TLS_SERVER_NAME";
  static final String TOKEN_FILE_VARIABLE = "SINGLEFLIGHT_TOKEN_FILE";

  /** The options; null: what the environment says. */
  record Options(
      ChannelCredentials credentials,
      String tlsCa,
      String tlsCert,
      String tlsKey,
      String tlsServerName,
      String tokenFile) {

    /** "" is none. */
    Options or(UnaryOperator<String> environment) {
      return new Options(
          credentials,
          or(tlsCa, environment.apply(TLS_CA_VARIABLE)),
          or(tlsCert, environment.apply(TLS_CERT_VARIABLE)),
          or(tlsKey, environment.apply(TLS_KEY_VARIABLE)),
          or(tlsServerName, environment.apply(TLS_SERVER_NAME_VARIABLE)),
          or(tokenFile, environment.apply(TOKEN_FILE_VARIABLE)));
    }

    private static String or(String option, String variable) {
      if (option != null) {
        return option;
      }
      return variable == null ? "" : variable;
    }

    private void checkTls() {
      if (tlsCert.isEmpty() != tlsKey.isEmpty()) {
        boolean isKeyMissing = tlsKey.isEmpty();
        throw new IllegalArgumentException(
            isKeyMissing
                ? "tlsCert is set, but tlsKey is not: both are needed"
                : "tlsKey is set, but tlsCert is not: both are needed");
      }
      boolean isHalf = !tlsCert.isEmpty() || !tlsServerName.isEmpty();
      if (tlsCa.isEmpty() && isHalf) {
        throw new IllegalArgumentException(
            (tlsCert.isEmpty() ? "tlsServerName" : "tlsCert")
                + " is set, but tlsCa is not: TLS needs the CA that the server's certificate is"
                + " of, or \"system\"");
      }
    }
  }

  private static final Pattern LOOPBACK =
      Pattern.compile("(?i:localhost)|127(\\.[0-9]{1,3}){3}");

  private final ChannelCredentials given; // null: none
  private final TlsFiles tls; // null: plain, unless given
  private final TokenFile token; // null: none
  private final String serverName; // "": the address's

  /** Throws an {@link IllegalArgumentException} if it cannot work; of options without nulls. */
  Security(List<String> addresses, Options options, LongSupplier nanoTime) {
    given = options.credentials;
    if (given == null) {
      options.checkTls();
    }
    boolean hasTls = given == null && !options.tlsCa.isEmpty();
    try {
      tls =
          hasTls ? new TlsFiles(options.tlsCa, options.tlsCert, options.tlsKey, nanoTime) : null;
      serverName = hasTls ? options.tlsServerName : "";
      if (options.tokenFile.isEmpty()) {
        token = null;
      } else {
        addresses.forEach(this::checkHidesToken);
        token = new TokenFile(Path.of(options.tokenFile), nanoTime);
      }
    } catch (InvalidPathException odd) {
      throw new IllegalArgumentException("no file has such a name: " + odd.getMessage(), odd);
    }
  }

  private void checkHidesToken(String address) {
    boolean isPlain = credentials(address) instanceof InsecureChannelCredentials;
    if (isPlain && !Transport.isUnix(address) && !isLoopback(address)) {
      throw new IllegalArgumentException(
          "tokenFile is set, and "
              + address
              + " would get the token in the clear: set tlsCa, or use a loopback address or a unix"
              + " socket");
    }
  }

  static boolean isLoopback(String address) {
    String host = address.substring(0, address.lastIndexOf(':'));
    if (!host.startsWith("[")) {
      return LOOPBACK.matcher(host).matches();
    }
    try {
      return InetAddress.getByName(host).isLoopbackAddress(); // a literal: nothing is looked up
    } catch (UnknownHostException odd) {
      return false;
    }
  }

  ChannelCredentials credentials(String address) {
    if (given != null) {
      return given;
    }
    return tls == null || Transport.isUnix(address)
        ? InsecureChannelCredentials.create()
        : tls.credentials();
  }

  /** The name that the server's certificate is to have instead of the address's; "": none. */
  String serverName() {
    return serverName;
  }

  /** The token that streams are opened with now; "": none. */
  String token() {
    return token == null ? "" : token.token();
  }

  /** For every channel, in this order. */
  List<ClientInterceptor> interceptors() {
    List<ClientInterceptor> all = new ArrayList<>();
    if (tls != null) {
      all.add(tls);
    }
    if (token != null) {
      all.add(token);
    }
    return all;
  }
}
