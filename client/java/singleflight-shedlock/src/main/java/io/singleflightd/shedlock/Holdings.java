// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Leader;
import io.singleflightd.LeaderFunction;
import io.singleflightd.OutcomeKind;
import io.singleflightd.Result;
import io.singleflightd.Role;
import io.singleflightd.SingleflightClient;
import io.singleflightd.SingleflightException;
import io.singleflightd.StatusException;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import net.javacrumbs.shedlock.core.ClockProvider;
import net.javacrumbs.shedlock.core.LockConfiguration;
import net.javacrumbs.shedlock.support.LockException;

/**
 * Locks as retained outcomes: who leads the flight of a name for a moment decides how long its
 * outcome is retained, and whoever asks in that time gets the outcome and knows that it is locked.
 * The token of the flight is the proof of who holds it.
 *
 * <p>To change a lock, its holder leads another flight of the name, past its own retained outcome
 * ({@code maxAge}), which keeps out everybody else meanwhile. Then it asks whether the outcome of
 * its token is still retained, as only the resume of a token can tell; if so the new outcome takes
 * the place of the old one.
 */
final class Holdings {
  private static final Duration PAST_RETAINED = Duration.ofMillis(1);
  private static final Duration LEAST = Duration.ofMillis(1);
  private static final long RETRY_MS = 2; // more than PAST_RETAINED

  private final SingleflightClient client;
  private final String group;
  private final DoOptions takes;
  private final DoOptions changes;

  Holdings(SingleflightClient client, String group) {
    this.client = client;
    this.group = group;
    takes = leads().build();
    changes = leads().maxAge(PAST_RETAINED).build();
  }

  // The lease is for the moment that it takes: a connection that breaks in it is made again, and
  // what has become of the lock is known.
  private DoOptions.Builder leads() {
    return DoOptions.builder()
        .group(group)
        .role(Role.LEAD_ONLY)
        .lease(Duration.ofSeconds(10))
        .failOpen(false);
  }

  /** A function that leads, and whether it has begun. */
  private static final class Step implements LeaderFunction<byte[]> {
    private final LeaderFunction<byte[]> function;
    private volatile boolean began;

    Step(LeaderFunction<byte[]> function) {
      this.function = function;
    }

    @Override
    public byte[] run(Leader leader) throws Exception {
      began = true;
      return function.run(leader);
    }
  }

  /** The token of the lock; empty: somebody else holds it. */
  Optional<Long> take(LockConfiguration lock) {
    return lead(lock, takes, leader -> retainUntil(leader, lock.getLockAtMostUntil()))
        .filter(Result::led)
        .map(Holdings::tokenOf);
  }

  /** The new token; empty: the lock has ended. */
  Optional<Long> extend(LockConfiguration lock, LockConfiguration extended, long token) {
    return change(lock, token, leader -> retainUntil(leader, extended.getLockAtMostUntil()))
        .map(Holdings::tokenOf);
  }

  /** Nothing happens when the lock has ended already. */
  void release(LockConfiguration lock, long token) {
    change(
        lock,
        token,
        leader -> {
          if (lock.getLockAtLeastUntil().isAfter(ClockProvider.now())) {
            return retainUntil(leader, lock.getLockAtLeastUntil());
          }
          // Drops the outcome, which is its own; and the next one need not wait for this flight.
          client.forget(group, lock.getName(), false);
          return null;
        });
  }

  // ---- how ----

  private static byte[] retainUntil(Leader leader, Instant until) {
    Duration left = Duration.between(ClockProvider.now(), until);
    leader.retain(left.compareTo(LEAST) < 0 ? LEAST : left);
    return null;
  }

  /** Leads past a lock that is held with this token. Empty: it is not, and nothing was changed. */
  private Optional<Result<byte[]>> change(
      LockConfiguration lock, long token, LeaderFunction<byte[]> function) {
    LeaderFunction<byte[]> ifHeld =
        leader -> {
          if (!isHeld(lock, token)) {
            throw FunctionException.abandoned("the lock has ended");
          }
          return function.run(leader);
        };
    while (lock.getLockAtMostUntil().isAfter(ClockProvider.now())) {
      Optional<Result<byte[]>> changed;
      try {
        changed = lead(lock, changes, ifHeld);
      } catch (FunctionException notHeld) {
        if (notHeld.kind() == OutcomeKind.ABANDONED) {
          return Optional.empty();
        }
        throw new LockException("the lock " + lock.getName() + " cannot be changed", notHeld);
      }
      if (changed.isPresent() && changed.get().led()) {
        return changed;
      }
      // Its outcome is too young to be passed, or somebody else looks at it for a moment.
      if (!isHeldIn(lock, token)) {
        return Optional.empty();
      }
      pause(lock);
    }
    return Optional.empty();
  }

  private static void pause(LockConfiguration lock) {
    try {
      TimeUnit.MILLISECONDS.sleep(RETRY_MS);
    } catch (InterruptedException interrupted) {
      throw interruptedIn(lock, interrupted);
    }
  }

  /** Calls as leader. Empty: somebody else leads. A result that was not led is somebody's lock. */
  private Optional<Result<byte[]>> lead(
      LockConfiguration lock, DoOptions options, LeaderFunction<byte[]> function) {
    Step step = new Step(function);
    try {
      return Optional.of(client.call(lock.getName(), options, Codec.BYTES, step));
    } catch (StatusException status) {
      if (status.isAborted() && !step.began) {
        return Optional.empty();
      }
      throw failed(lock, status);
    } catch (InterruptedException interrupted) {
      throw interruptedIn(lock, interrupted);
    }
  }

  private boolean isHeldIn(LockConfiguration lock, long token) {
    try {
      return isHeld(lock, token);
    } catch (StatusException status) {
      throw failed(lock, status);
    } catch (InterruptedException interrupted) {
      throw interruptedIn(lock, interrupted);
    }
  }

  private boolean isHeld(LockConfiguration lock, long token) throws InterruptedException {
    DoOptions asks = DoOptions.builder().group(group).resumeToken(token).build();
    try {
      client.call(
          lock.getName(),
          asks,
          Codec.BYTES,
          leader -> {
            throw FunctionException.abandoned("a flight that had ended is led");
          });
      return true;
    } catch (StatusException status) {
      if (status.isAborted()) {
        return false;
      }
      throw status;
    }
  }

  private static long tokenOf(Result<byte[]> result) {
    if (result.retainRefused()) {
      throw new LockException("the server has no room to retain the lock");
    }
    return result.token();
  }

  private static LockException failed(LockConfiguration lock, SingleflightException why) {
    return new LockException("the lock " + lock.getName() + ": " + why.getMessage(), why);
  }

  private static LockException interruptedIn(LockConfiguration lock, InterruptedException why) {
    Thread.currentThread().interrupt();
    return new LockException("interrupted at the lock " + lock.getName(), why);
  }
}
