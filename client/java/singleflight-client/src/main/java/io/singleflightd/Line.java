// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;

/** One id on a session: who speaks and listens there. The loop's alone. */
abstract class Line {
  // The session's, which sets them.
  Session session; // null: it is on none
  long id;
  boolean isReady; // its turn to send comes

  /** Whether a call waits for what the server says. */
  abstract boolean isWanted();

  /** The next frame; null: none now. `hasMore` tells whether another one may follow. */
  abstract CallRequest nextFrame();

  abstract boolean hasMore();

  abstract void onFrame(CallResponse frame);

  /** The session is over; this is off it already. */
  abstract void onSessionOver(Status status);
}
