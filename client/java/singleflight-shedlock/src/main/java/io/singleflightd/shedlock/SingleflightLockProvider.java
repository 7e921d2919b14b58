// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import io.singleflightd.SingleflightClient;
import java.util.Objects;
import java.util.Optional;
import net.javacrumbs.shedlock.core.ExtensibleLockProvider;
import net.javacrumbs.shedlock.core.LockConfiguration;
import net.javacrumbs.shedlock.core.SimpleLock;

/**
 * Locks of ShedLock in a singleflightd: {@code new SingleflightLockProvider(client)}.
 *
 * <p>A lock is a retained outcome of the lock's name that expires at {@code lockAtMostUntil}. The
 * daemon keeps it, so it needs no connection and no thread here while the task runs, and it lasts
 * exactly as long as ShedLock says: until it is unlocked, at least for {@code lockAtLeastFor}, and
 * at most for {@code lockAtMostFor}, whether the process lives or dies, is paused or cut off. Wrap
 * it in ShedLock's {@code KeepAliveLockProvider} to have the lock of a dead process end sooner.
 *
 * <p>A daemon with a data directory, or with etcd, keeps locks over a restart; one without forgets
 * them. A lock never fails open. Calls end with a {@link
 * net.javacrumbs.shedlock.support.LockException} when no server can be reached, or when it has no
 * room to retain the lock.
 */
public final class SingleflightLockProvider implements ExtensibleLockProvider {
  private static final String GROUP_DEFAULT = "shedlock";

  private final Holdings holdings;

  /**
   * Locks in the group {@code shedlock}.
   *
   * @param client stays the caller's, to be closed after the last lock was used
   */
  public SingleflightLockProvider(SingleflightClient client) {
    this(client, GROUP_DEFAULT);
  }

  /**
   * Locks in a group of one's own.
   *
   * @param client stays the caller's, to be closed after the last lock was used
   * @param group at most 128 bytes of {@code [A-Za-z0-9._-]}
   */
  public SingleflightLockProvider(SingleflightClient client, String group) {
    holdings =
        new Holdings(
            Objects.requireNonNull(client, "client"), Objects.requireNonNull(group, "group"));
  }

  @Override
  public Optional<SimpleLock> lock(LockConfiguration configuration) {
    return holdings
        .take(configuration)
        .map(token -> new SingleflightLock(holdings, configuration, token));
  }
}
