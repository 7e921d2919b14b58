// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.singleflightd.grpc.v1.LeadRef;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;

/**
 * The leads inside which a thread runs, the innermost first: a call for the key of one of them
 * would wait for itself. Immutable.
 */
final class Within {
  static final int REFERENCES_MAX = 32;
  private static final ThreadLocal<Within> CURRENT = new ThreadLocal<>();

  private final Settings settings;
  private final Join join;
  private final Leader leader;
  private final Within outer; // null: none

  Within(Settings settings, Join join, Leader leader, Within outer) {
    this.settings = settings;
    this.join = join;
    this.leader = leader;
    this.outer = outer;
  }

  /** Of this thread; null: none. */
  static Within current() {
    return CURRENT.get();
  }

  /** Does it as if it were done there. */
  static <V> V call(Within within, Callable<V> work) throws Exception {
    Within before = CURRENT.get();
    set(within);
    try {
      return work.call();
    } finally {
      set(before);
    }
  }

  static void run(Within within, Runnable work) {
    Within before = CURRENT.get();
    set(within);
    try {
      work.run();
    } finally {
      set(before);
    }
  }

  private static void set(Within within) {
    if (within == null) {
      CURRENT.remove();
    } else {
      CURRENT.set(within);
    }
  }

  /** Whether a call that is made inside `within` would wait for a lead that it is inside of. */
  static boolean isCircular(Within within, Join asked, Settings settings) {
    if (asked.options.resumeToken != 0) { // takes a lead back, and waits for nobody
      return false;
    }
    for (Within held = within; held != null; held = held.outer) {
      boolean isSame =
          held.join.isFor(asked.group, asked.key)
              && held.settings.addresses().equals(settings.addresses());
      if (isSame && held.leader.isJoinable()) {
        return true;
      }
    }
    return false;
  }

  /** For the server, which sees what other processes lead. */
  static List<LeadRef> toWire(Within within) {
    if (within == null) {
      return List.of();
    }
    List<LeadRef> references = new ArrayList<>();
    for (Within held = within; held != null; held = held.outer) {
      boolean isKnown = held.leader.token() != 0 && !held.leader.isFinished();
      if (isKnown && references.size() < REFERENCES_MAX) {
        references.add(held.toWire());
      }
    }
    return references;
  }

  private LeadRef toWire() {
    ByteString key = join.key;
    return LeadRef.newBuilder()
        .setGroup(join.group)
        .setKey(key)
        .setToken(leader.token())
        .build();
  }
}
