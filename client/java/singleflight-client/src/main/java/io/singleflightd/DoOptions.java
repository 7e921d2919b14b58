// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.time.Duration;
import java.util.Objects;

/**
 * What one call asks for, beside its key. Immutable; usually kept in a constant.
 *
 * <p>Those marked (opener) hold for the flight as its first caller gave them; the others are each
 * caller's own.
 */
public final class DoOptions {
  /** A time that was not given. */
  static final long NOT_GIVEN = -1;

  private static final DoOptions DEFAULTS = builder().build();

  final String group;
  final long timeoutMs;
  final long retainMs;
  final long retainErrorMs;
  final long maxAgeMs;
  final long leaseMs;
  final long runLimitMs;
  final LeaderLoss onLeaderLoss;
  final int maxAttempts;
  final Role role;
  final boolean audience;
  final byte[] fingerprint;
  final String caller;
  final long resumeToken;
  final long connectTimeoutMs;
  final Boolean failOpen;
  final boolean localMerge;
  final boolean fresh;
  final boolean retainFromLead;
  final long staleMs;

  private DoOptions(Builder builder) {
    group = builder.group;
    timeoutMs = builder.timeoutMs;
    retainMs = builder.retainMs;
    retainErrorMs = builder.retainErrorMs;
    maxAgeMs = builder.maxAgeMs;
    leaseMs = builder.leaseMs;
    runLimitMs = builder.runLimitMs;
    onLeaderLoss = builder.onLeaderLoss;
    maxAttempts = builder.maxAttempts;
    role = builder.role;
    audience = builder.audience;
    fingerprint = builder.fingerprint;
    caller = builder.caller;
    resumeToken = builder.resumeToken;
    connectTimeoutMs = builder.connectTimeoutMs;
    failOpen = builder.failOpen;
    localMerge = builder.localMerge;
    fresh = builder.fresh;
    retainFromLead = builder.retainFromLead;
    staleMs = builder.staleMs;
  }

  /**
   * Nothing but defaults.
   *
   * @return the same object each time
   */
  public static DoOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Starts from the defaults.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Collects options. What is wrong in itself is an {@link IllegalArgumentException} here; bounds
   * are checked by the call, which throws the same before anything is sent, or by the server.
   */
  public static final class Builder {
    private String group = "";
    private long timeoutMs = NOT_GIVEN;
    private long retainMs;
    private long retainErrorMs;
    private long maxAgeMs;
    private long leaseMs;
    private long runLimitMs;
    private LeaderLoss onLeaderLoss = LeaderLoss.PROMOTE;
    private int maxAttempts;
    private Role role = Role.ANY;
    private boolean audience;
    private byte[] fingerprint = {};
    private String caller;
    private long resumeToken;
    private long connectTimeoutMs = NOT_GIVEN;
    private Boolean failOpen;
    private boolean localMerge = true;
    private boolean fresh;
    private boolean retainFromLead;
    private long staleMs;

    private Builder() {}

    /**
     * The namespace of the key.
     *
     * @param group at most 128 bytes of {@code [A-Za-z0-9._-]}; empty: {@code default}
     * @return this
     */
    public Builder group(String group) {
      this.group = Objects.requireNonNull(group, "group");
      return this;
    }

    /**
     * The call ends with DEADLINE_EXCEEDED after that; without one it waits for as long as it
     * takes. If it leads, its function goes on for as long as somebody else waits.
     *
     * @param timeout zero or less: the call ends at once
     * @return this
     */
    public Builder timeout(Duration timeout) {
      timeoutMs = Millis.ofAny(timeout);
      return this;
    }

    /**
     * (opener) Keep an OK outcome so long after the flight.
     *
     * @param retain at most 7 days; zero: not at all
     * @return this
     */
    public Builder retain(Duration retain) {
      retainMs = Millis.of(retain, "retain");
      return this;
    }

    /**
     * (opener) Keep every other outcome so long.
     *
     * @param retainError at most 7 days; zero: not at all
     * @return this
     */
    public Builder retainError(Duration retainError) {
      retainErrorMs = Millis.of(retainError, "retainError");
      return this;
    }

    /**
     * (opener) Count {@link #retain} and {@link #retainError} from the moment when the leader began
     * to lead, and not from the end: for "at most once in an hour". When the function takes longer
     * than that, nothing is retained.
     *
     * @param retainFromLead false by default
     * @return this
     */
    public Builder retainFromLead(boolean retainFromLead) {
      this.retainFromLead = retainFromLead;
      return this;
    }

    /**
     * Take no retained outcome, and join no flight that was led before this call: wait for the next
     * one, together with all that ask for the same. For who has just written.
     *
     * @param fresh false by default
     * @return this
     */
    public Builder fresh(boolean fresh) {
      this.fresh = fresh;
      return this;
    }

    /**
     * Serve a retained outcome up to so old at once. If it is older than {@link #maxAge}, a new one
     * is made in the background, once for all that ask: by the function of one of them, without its
     * timeout. If that fails, the old one is served on.
     *
     * @param stale not above {@link #retain}, which drops what is older; zero: off
     * @return this
     */
    public Builder stale(Duration stale) {
      staleMs = Millis.of(stale, "stale");
      return this;
    }

    /**
     * Take a retained outcome only if it is not older.
     *
     * @param maxAge zero: any age
     * @return this
     */
    public Builder maxAge(Duration maxAge) {
      maxAgeMs = Millis.of(maxAge, "maxAge");
      return this;
    }

    /**
     * (opener) Without a lease, who leads does so as long as its connection holds. With one, as
     * long as its process renews it in time, which the client does, also over a broken connection.
     *
     * @param lease 1 second to 10 minutes; zero: none
     * @return this
     */
    public Builder lease(Duration lease) {
      leaseMs = Millis.of(lease, "lease");
      return this;
    }

    /**
     * (opener) A leader that runs longer is replaced.
     *
     * @param runLimit at most 24 hours; zero: the server's limit
     * @return this
     */
    public Builder runLimit(Duration runLimit) {
      runLimitMs = Millis.of(runLimit, "runLimit");
      return this;
    }

    /**
     * (opener) What happens when the leader is lost.
     *
     * @param onLeaderLoss PROMOTE by default
     * @return this
     */
    public Builder onLeaderLoss(LeaderLoss onLeaderLoss) {
      this.onLeaderLoss = Objects.requireNonNull(onLeaderLoss, "onLeaderLoss");
      return this;
    }

    /**
     * (opener) How many leaders may try, in all.
     *
     * @param maxAttempts 0: no limit
     * @return this
     */
    public Builder maxAttempts(int maxAttempts) {
      if (maxAttempts < 0) {
        throw new IllegalArgumentException("maxAttempts is negative");
      }
      this.maxAttempts = maxAttempts;
      return this;
    }

    /**
     * What this caller may become.
     *
     * @param role ANY by default
     * @return this
     */
    public Builder role(Role role) {
      this.role = Objects.requireNonNull(role, "role");
      return this;
    }

    /**
     * While leading, learn who waits: {@link Leader#audience}.
     *
     * @param audience whether to
     * @return this
     */
    public Builder audience(boolean audience) {
      this.audience = audience;
      return this;
    }

    /**
     * (opener) A hash of the function's arguments: the same key with another one is refused with
     * FAILED_PRECONDITION.
     *
     * @param fingerprint at most 64 bytes; empty: not compared
     * @return this
     */
    public Builder fingerprint(byte[] fingerprint) {
      this.fingerprint = fingerprint.clone();
      return this;
    }

    /**
     * The caller's name in listings, instead of the client's.
     *
     * @param caller at most 128 bytes of UTF-8
     * @return this
     */
    public Builder caller(String caller) {
      this.caller = Objects.requireNonNull(caller, "caller");
      return this;
    }

    /**
     * Take back the lead that this token was granted, with a lease, to a process that has ended
     * since. What it had written stays, and what is written now comes after it; the value in this
     * call's own result is only what is written now.
     *
     * @param resumeToken 0: no
     * @return this
     */
    public Builder resumeToken(long resumeToken) {
      this.resumeToken = resumeToken;
      return this;
    }

    /**
     * How long to look for a server, instead of the client's setting. A call with one of its own
     * waits so long even if all servers are known to be down.
     *
     * @param connectTimeout zero: do not wait, take a server that is there or none
     * @return this
     */
    public Builder connectTimeout(Duration connectTimeout) {
      connectTimeoutMs = Millis.of(connectTimeout, "connectTimeout");
      return this;
    }

    /**
     * Whether to run the function here when no server can be reached, instead of the client's
     * setting.
     *
     * @param failOpen whether to
     * @return this
     */
    public Builder failOpen(boolean failOpen) {
      this.failOpen = failOpen;
      return this;
    }

    /**
     * Whether equal calls of this client are merged before they go to the network. Calls are equal
     * when everything here is, except the timeouts. Live calls, and those of another role than ANY
     * or with a resume token, are never merged; fresh ones only until they have been sent.
     *
     * @param localMerge true by default
     * @return this
     */
    public Builder localMerge(boolean localMerge) {
      this.localMerge = localMerge;
      return this;
    }

    /**
     * Makes the options.
     *
     * @return them
     */
    public DoOptions build() {
      return new DoOptions(this);
    }
  }
}
