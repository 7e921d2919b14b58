// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.singleflightd.grpc.v1.LeadRef;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What one call asks for, checked and with the client's defaults. Two of them are equal when their
 * calls may be merged.
 */
final class Join {
  private static final long PAST_RETAINED_MS = 1; // what is retained is older soon
  static final int KEY_BYTES_MAX = 64 * 1024; // the server's own limit is a setting of its own
  static final int NAME_BYTES_MAX = 128;
  private static final int FINGERPRINT_BYTES_MAX = 64;
  private static final Pattern GROUP = Pattern.compile("[A-Za-z0-9._-]{0,128}");

  final DoOptions options;
  final String group;
  final ByteString key;
  final ByteString fingerprint;
  final boolean live;
  final String caller;
  final boolean failOpen;
  final boolean mergeable;
  final long connectTimeoutMs;

  /** The call waits for a server even if all of them are known to be down. */

  /** To replace a retained outcome that is served meanwhile: a failure replaces nothing. */
  final boolean isRefresh;

  private final long maxAgeMs;
  private final int hash;
  private final List<LeadRef> within;

  /** Throws an {@link IllegalArgumentException} that says what is wrong. */
  Join(byte[] key, DoOptions options, boolean live, Settings settings, Within within) {
    if (key.length == 0 || key.length > KEY_BYTES_MAX) {
      throw new IllegalArgumentException(
          "the key has " + key.length + " bytes: a key has at least 1, and at most 1,024");
    }
    if (!GROUP.matcher(options.group).matches()) {
      throw new IllegalArgumentException("group is not at most 128 bytes of [A-Za-z0-9._-]");
    }
    if (options.fingerprint.length > FINGERPRINT_BYTES_MAX) {
      throw new IllegalArgumentException("fingerprint is too long: at most 64 bytes");
    }
    this.options = options;
    this.within = Within.toWire(within);
    group = groupOf(options.group);
    this.key = ByteString.copyFrom(key);
    this.fingerprint = ByteString.copyFrom(options.fingerprint);
    this.live = live;
    caller = checkCaller(options.caller == null ? settings.caller() : options.caller);
    boolean canFailOpen = options.role != Role.FOLLOW_ONLY && options.resumeToken == 0;
    boolean wantsFailOpen = options.failOpen == null ? settings.failOpen() : options.failOpen;
    failOpen = wantsFailOpen && canFailOpen;
    mergeable =
        options.localMerge && !live && options.role == Role.ANY && options.resumeToken == 0;
    connectTimeoutMs =
        options.connectTimeoutMs == DoOptions.NOT_GIVEN
            ? settings.connectTimeoutMs()
            : Settings.patienceMs(options.connectTimeoutMs);
    isRefresh = false;
    boolean servesStale = options.staleMs > 0;
    maxAgeMs = servesStale ? Math.max(options.maxAgeMs, options.staleMs) : options.maxAgeMs;
    hash = this.key.hashCode() * 31 + group.hashCode();
  }

  /** The same for another age of what is retained. */
  private Join(Join same, long maxAgeMs, boolean refreshes) {
    options = same.options;
    group = same.group;
    key = same.key;
    fingerprint = same.fingerprint;
    live = same.live && !refreshes;
    caller = same.caller;
    failOpen = same.failOpen && !refreshes;
    mergeable = same.mergeable || refreshes;
    connectTimeoutMs = same.connectTimeoutMs;
    hash = same.hash;
    within = refreshes ? List.of() : same.within;
    isRefresh = refreshes;
    this.maxAgeMs = maxAgeMs;
  }

  /** For whom nothing is retained. */
  Join pastRetained() {
    return new Join(this, PAST_RETAINED_MS, false);
  }

  /** To replace a retained outcome that is served meanwhile. */
  Join toRefresh() {
    return new Join(this, Math.max(options.maxAgeMs, PAST_RETAINED_MS), true);
  }

  /** Whether a retained outcome is served although it is older than the call would like it. */
  boolean isStale(long ageMs) {
    return options.staleMs > 0 && ageMs > options.maxAgeMs;
  }

  /** Whether its function may make a retained outcome anew. */
  boolean canRefresh() {
    return options.role != Role.FOLLOW_ONLY && options.resumeToken == 0;
  }

  private static String groupOf(String group) {
    return group.isEmpty() ? "default" : group;
  }

  static String checkCaller(String caller) {
    if (caller.getBytes(StandardCharsets.UTF_8).length > NAME_BYTES_MAX) {
      throw new IllegalArgumentException("caller is not at most 128 bytes of UTF-8");
    }
    return caller;
  }

  boolean isFor(String otherGroup, ByteString otherKey) {
    return group.equals(groupOf(otherGroup)) && key.equals(otherKey);
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
    return isFor(other.group, other.key)
        && fingerprint.equals(other.fingerprint)
        && caller.equals(other.caller)
        && a.retainMs == b.retainMs
        && a.retainErrorMs == b.retainErrorMs
        && maxAgeMs == other.maxAgeMs
        && isRefresh == other.isRefresh
        && a.fresh == b.fresh
        && a.retainFromLead == b.retainFromLead
        && a.staleMs == b.staleMs
        && a.leaseMs == b.leaseMs
        && a.runLimitMs == b.runLimitMs
        && a.onLeaderLoss == b.onLeaderLoss
        && a.maxAttempts == b.maxAttempts
        && a.audience == b.audience
        && failOpen == other.failOpen;
  }

  /** The wire's form; `resumeToken` 0: that of the options. */
  io.singleflightd.grpc.v1.Join.Builder toWire(long resumeToken) {
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
        .setAudience(true) // a function goes on for as long as somebody waits
        .setDetach(true) // and its caller's time is kept here
        .setRetainMs(options.retainMs)
        .setRetainFromLead(options.retainFromLead)
        .setRetainErrorMs(isRefresh ? 0 : options.retainErrorMs)
        .setMaxAgeMs(maxAgeMs)
        .setFresh(options.fresh)
        .setLeaseMs(options.leaseMs)
        .setRunLimitMs(options.runLimitMs)
        .setOnLeaderLoss(
            switch (options.onLeaderLoss) {
              case PROMOTE -> io.singleflightd.grpc.v1.LeaderLoss.LEADER_LOSS_PROMOTE;
              case FAIL -> io.singleflightd.grpc.v1.LeaderLoss.LEADER_LOSS_FAIL;
              case HOLD -> io.singleflightd.grpc.v1.LeaderLoss.LEADER_LOSS_HOLD;
            })
        .setMaxAttempts(options.maxAttempts)
        .setFingerprint(fingerprint)
        .setResumeToken(resumeToken != 0 ? resumeToken : options.resumeToken)
        .setCaller(caller)
        .addAllWithin(resumeToken != 0 || options.resumeToken != 0 ? List.of() : within);
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
