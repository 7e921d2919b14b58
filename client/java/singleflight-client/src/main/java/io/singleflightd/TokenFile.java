// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.regex.Pattern;

/** Says with every stream who the caller is, by the token that a file holds. */
final class TokenFile implements ClientInterceptor {
  private static final System.Logger LOGGER = System.getLogger("io.singleflightd");
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Pattern TOKEN = Pattern.compile("[!-~]+");

  private final Path path;
  private final WatchedFiles file;
  private String token;

  /** Throws an {@link IllegalArgumentException} if there is no token. */
  TokenFile(Path path, LongSupplier nanoTime) {
    this.path = path;
    file = new WatchedFiles(List.of(path), nanoTime);
    token = read();
  }

  /** What the file holds, or held a second ago. Any thread. */
  synchronized String token() {
    if (file.haveChanged()) {
      try {
        token = read();
      } catch (IllegalArgumentException broken) {
        LOGGER.log(
            System.Logger.Level.WARNING, "the token stays as it was: {0}", broken.getMessage());
      }
    }
    return token;
  }

  private String read() {
    byte[] bytes = WatchedFiles.read("tokenFile", path);
    String text = new String(bytes, StandardCharsets.ISO_8859_1).strip();
    if (!TOKEN.matcher(text).matches()) {
      throw new IllegalArgumentException("tokenFile " + path + " holds no token");
    }
    return text;
  }

  @Override
  public <ReqT, RespT> ClientCall<ReqT, RespT> interceptCall(
      MethodDescriptor<ReqT, RespT> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<RespT> listener, Metadata headers) {
        headers.put(AUTHORIZATION, "Bearer " + token());
        super.start(listener, headers);
      }
    };
  }
}
