// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import static org.assertj.core.api.Assertions.assertThat;

import io.singleflightd.SingleflightClient;
import io.singleflightd.Daemon;
import net.javacrumbs.shedlock.core.ExtensibleLockProvider;
import net.javacrumbs.shedlock.test.support.AbstractExtensibleLockProviderIntegrationTest;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** ShedLock's own tests of extensible lock providers, against a live daemon. */
class KitTest extends AbstractExtensibleLockProviderIntegrationTest {
  private static Daemon daemon;
  private static SingleflightClient client;
  private static SingleflightClient onlooker;

  @BeforeAll
  static void setUp() {
    daemon = Daemon.start();
    client = SingleflightClient.builder().addresses(daemon.address()).build();
    onlooker = SingleflightClient.builder().addresses(daemon.address()).build();
  }

  @AfterAll
  static void tearDown() {
    client.close();
    onlooker.close();
    daemon.close();
  }

  @Override
  protected ExtensibleLockProvider getLockProvider() {
    return new SingleflightLockProvider(client);
  }

  @Override
  protected void assertLocked(String lockName) {
    assertThat(Locks.isHeld(onlooker, lockName)).isTrue();
  }

  @Override
  protected void assertUnlocked(String lockName) {
    assertThat(Locks.isHeld(onlooker, lockName)).isFalse();
  }
}
