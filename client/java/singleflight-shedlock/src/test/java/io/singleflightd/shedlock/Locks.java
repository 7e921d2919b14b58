// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.Role;
import io.singleflightd.SingleflightClient;
import io.singleflightd.StatusException;

/** Looks at locks without touching them. */
final class Locks {
  private static final DoOptions LOOK =
      DoOptions.builder().group("shedlock").role(Role.FOLLOW_ONLY).build();

  private Locks() {}

  static boolean isHeld(SingleflightClient client, String name) {
    try {
      return client.call(name, LOOK, Codec.BYTES, null).retained();
    } catch (StatusException status) {
      if (status.isNotFound()) {
        return false;
      }
      throw status;
    } catch (InterruptedException impossible) {
      throw new AssertionError(impossible);
    }
  }
}
