// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import java.util.Optional;
import net.javacrumbs.shedlock.core.AbstractSimpleLock;
import net.javacrumbs.shedlock.core.LockConfiguration;
import net.javacrumbs.shedlock.core.SimpleLock;

/** A lock that this process holds, or has held. */
final class SingleflightLock extends AbstractSimpleLock {
  private final Holdings holdings;
  private final long token;

  SingleflightLock(Holdings holdings, LockConfiguration configuration, long token) {
    super(configuration);
    this.holdings = holdings;
    this.token = token;
  }

  @Override
  protected void doUnlock() {
    holdings.release(lockConfiguration, token);
  }

  @Override
  protected Optional<SimpleLock> doExtend(LockConfiguration extended) {
    return holdings
        .extend(lockConfiguration, extended, token)
        .map(newToken -> new SingleflightLock(holdings, extended, newToken));
  }
}
