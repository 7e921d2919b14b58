// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

/**
 * What one call asks for, checked and with the client's defaults. Two of them are equal when their
 * calls may be merged.
 */
final class Join {
  private static final int KEY_BYTES_MAX = 1024;
  private static final int NAME_BYTES_MAX = 128;
  private static final int FINGERPRINT_BYTES_MAX = 64;
  private static final Pattern GROUP = Pattern.compile("[A-Za-z0-9._-]{0,128}");

  final DoOptions options;
  final ByteString key;
  final ByteString fingerprint;
  final boolean live;
  final String caller;
  final boolean failOpen;
  final boolean mergeable;
  final long connectTimeoutMs;

  /** The call waits for a server even if all of them are known to be down. */
  final boolean waitsWhenDown;

  private final int hash;

  /** Throws a {@link StatusException} that says what is wrong. */
  Join(byte[] key, DoOptions options, boolean live, Settings settings) {
    if (key.length == 0 || key.length > KEY_BYTES_MAX) {
      throw StatusException.invalid(
          "the key has " + key.length + " bytes: a key has 1 to 1,024 bytes");
    }
    if (!GROUP.matcher(options.group).matches()) {
      throw StatusException.invalid("group is not at most 128 bytes of [A-Za-z0-9._-]");
    }
    if (options.fingerprint.length > FINGERPRINT_BYTES_MAX) {
      throw StatusException.invalid("fingerprint is too long: at most 64 bytes");
    }
    this.options = options;
    this.key = ByteString.copyFrom(key);
    this.fingerprint = ByteString.copyFrom(options.fingerprint);
    this.live = live;
    caller = checkCaller(options.caller == null ? settings.caller() : options.caller);
    boolean canFailOpen = options.role != Role.FOLLOW_ONLY && options.resumeToken == 0;
    boolean wantsFailOpen = options.failOpen == null ? settings.failOpen() : options.failOpen;
    failOpen = wantsFailOpen && canFailOpen;
    mergeable =
        options.localMerge && !live && options.role == Role.ANY && options.resumeToken == 0;
    waitsWhenDown = options.connectTimeoutMs != 0;
    connectTimeoutMs = waitsWhenDown ? options.connectTimeoutMs : settings.connectTimeoutMs();
    hash = this.key.hashCode() * 31 + options.group.hashCode();
  }

  static String checkCaller(String caller) {
    if (caller.getBytes(StandardCharsets.UTF_8).length > NAME_BYTES_MAX) {
      throw StatusException.invalid("caller is not at most 128 bytes of UTF-8");
    }
    return caller;
  }

  boolean isFor(String group, ByteString otherKey) {
    return options.group.equals(group) && key.equals(otherKey);
  }

  @Override
  public int hashCode() {
    return hash;
  }

  @Override
  public boolean equals(Object object) {
    if (!(object instanceof Join other) || !mergeable || !other.mergeable) {
      return object == this;
    }
    DoOptions a = options;
    DoOptions b = other.options;
    return isFor(b.group, other.key)
        && fingerprint.equals(other.fingerprint)
        && caller.equals(other.caller)
        && a.retainMs == b.retainMs
        && a.retainErrorMs == b.retainErrorMs
        && a.maxAgeMs == b.maxAgeMs
        && a.leaseMs == b.leaseMs
        && a.runLimitMs == b.runLimitMs
        && a.onLeaderLoss == b.onLeaderLoss
        && a.maxAttempts == b.maxAttempts
        && a.audience == b.audience
        && failOpen == other.failOpen;
  }

  /** The wire's form; `resumeToken` 0: that of the options. */
  io.singleflightd.grpc.v1.Join toWire(long resumeToken) {
    return io.singleflightd.grpc.v1.Join.newBuilder()
        .setGroup(options.group)
        .setKey(key)
        .setRole(
            switch (options.role) {
              case ANY -> io.singleflightd.grpc.v1.Role.ROLE_ANY;
              case LEAD_ONLY -> io.singleflightd.grpc.v1.Role.ROLE_LEAD_ONLY;
              case FOLLOW_ONLY -> io.singleflightd.grpc.v1.Role.ROLE_FOLLOW_ONLY;
            })
        .setLive(live)
        .setAudience(options.audience)
        .setRetainMs(options.retainMs)
        .setRetainErrorMs(options.retainErrorMs)
        .setMaxAgeMs(options.maxAgeMs)
        .setLeaseMs(options.leaseMs)
        .setRunLimitMs(options.runLimitMs)
        .setOnLeaderLoss(
            switch (options.onLeaderLoss) {
              case PROMOTE -> io.singleflightd.grpc.v1.LeaderLoss.LEADER_LOSS_PROMOTE;
              case FAIL -> io.singleflightd.grpc.v1.LeaderLoss.LEADER_LOSS_FAIL;
            })
        .setMaxAttempts(options.maxAttempts)
        .setFingerprint(fingerprint)
        .setResumeToken(resumeToken != 0 ? resumeToken : options.resumeToken)
        .setCaller(caller)
        .build();
  }

  /** The wire's form for one that takes a lead back and asks for nothing else. */
  io.singleflightd.grpc.v1.Join toWireOfResume(long resumeToken) {
    return io.singleflightd.grpc.v1.Join.newBuilder()
        .setGroup(options.group)
        .setKey(key)
        .setResumeToken(resumeToken)
        .setCaller(caller)
        .build();
  }
}
