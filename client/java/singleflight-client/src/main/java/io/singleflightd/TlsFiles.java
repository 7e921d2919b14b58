// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import io.grpc.util.AdvancedTlsX509KeyManager;
import io.grpc.util.AdvancedTlsX509TrustManager;
import io.grpc.util.CertificateUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * The certificates of a client, read anew when their files change. Connections that are there keep
 * what they began with.
 */
final class TlsFiles implements ClientInterceptor {
  static final String SYSTEM = "system";

  private static final System.Logger LOGGER = System.getLogger("io.singleflightd");

  private final Path ca; // null: the system's
  private final Path cert; // null: none, nor a key
  private final Path key;
  private final AdvancedTlsX509TrustManager trust;
  private final AdvancedTlsX509KeyManager identity = new AdvancedTlsX509KeyManager();
  private final WatchedFiles files;
  private final ChannelCredentials credentials;

  /** Throws an {@link IllegalArgumentException} if they cannot be used. */
  TlsFiles(String ca, String cert, String key, LongSupplier nanoTime) {
    this.ca = ca.equals(SYSTEM) ? null : Path.of(ca);
    this.cert = cert.isEmpty() ? null : Path.of(cert);
    this.key = key.isEmpty() ? null : Path.of(key);
    List<Path> all = new ArrayList<>();
    for (Path path : new Path[] {this.ca, this.cert, this.key}) {
      if (path != null) {
        all.add(path);
      }
    }
    files = new WatchedFiles(all, nanoTime);
    try {
      trust = AdvancedTlsX509TrustManager.newBuilder().build();
    } catch (CertificateException impossible) {
      throw new IllegalStateException(impossible);
    }
    load();
    credentials = newCredentials();
  }

  private ChannelCredentials newCredentials() {
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    if (ca != null) {
      builder.trustManager(trust);
    }
    if (cert != null) {
      builder.keyManager(identity);
    }
    return builder.build();
  }

  /** They stay the same when files change. */
  ChannelCredentials credentials() {
    return credentials;
  }

  /** Whatever opens a stream may make a connection for it. */
  @Override
  public <ReqT, RespT> ClientCall<ReqT, RespT> interceptCall(
      MethodDescriptor<ReqT, RespT> method, CallOptions options, Channel next) {
    refresh();
    return next.newCall(method, options);
  }

  private synchronized void refresh() {
    if (!files.haveChanged()) {
      return;
    }
    try {
      load();
    } catch (IllegalArgumentException broken) {
      LOGGER.log(
          System.Logger.Level.WARNING,
          "the TLS files are taken as they were before: {0}",
          broken.getMessage());
    }
  }

  // All are read before any of them is used.
  private void load() {
    X509Certificate[] roots = ca == null ? null : certificates("tlsCa", ca);
    X509Certificate[] chain = cert == null ? null : certificates("tlsCert", cert);
    PrivateKey own = key == null ? null : privateKey();
    try {
      if (chain != null) {
        checkPair(chain[0], own);
        identity.updateIdentityCredentials(chain, own);
      }
      if (roots != null) {
        trust.updateTrustCredentials(roots);
      }
    } catch (GeneralSecurityException | IOException failed) {
      throw new IllegalArgumentException("the TLS files cannot be used: " + failed, failed);
    }
  }

  private static X509Certificate[] certificates(String option, Path path) {
    byte[] pem = WatchedFiles.read(option, path);
    X509Certificate[] found;
    try {
      found = CertificateUtils.getX509Certificates(new ByteArrayInputStream(pem));
    } catch (CertificateException broken) {
      throw new IllegalArgumentException(
          option + " " + path + " holds a certificate that cannot be read: " + broken, broken);
    }
    if (found.length == 0) {
      throw new IllegalArgumentException(option + " " + path + " holds no certificate");
    }
    return found;
  }

  private PrivateKey privateKey() {
    byte[] pem = WatchedFiles.read("tlsKey", key);
    try {
      return CertificateUtils.getPrivateKey(new ByteArrayInputStream(pem));
    } catch (IOException | GeneralSecurityException | RuntimeException broken) {
      throw new IllegalArgumentException(
          "tlsKey " + key + " holds no private key in PKCS#8 PEM (BEGIN PRIVATE KEY)", broken);
    }
  }

  private void checkPair(X509Certificate leaf, PrivateKey own) throws GeneralSecurityException {
    String algorithm = own.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA";
    byte[] sample = {1};
    boolean fits = leaf.getPublicKey().getAlgorithm().equals(own.getAlgorithm());
    if (fits) {
      Signature signer = Signature.getInstance(algorithm);
      signer.initSign(own);
      signer.update(sample);
      byte[] signature = signer.sign();
      Signature verifier = Signature.getInstance(algorithm);
      verifier.initVerify(leaf.getPublicKey());
      verifier.update(sample);
      fits = verifier.verify(signature);
    }
    if (!fits) {
      throw new IllegalArgumentException(
          "tlsKey " + key + " does not belong to the certificate of tlsCert " + cert);
    }
  }
}
