// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import java.io.ByteArrayOutputStream;

/** What has come of a value that somebody else makes, and what a live call was told of it. */
final class Incoming {
  private ByteArrayOutputStream value = new ByteArrayOutputStream(0);
  private long nextSequence;
  private boolean hasTold; // a chunk was told since the last restart
  private boolean isVoid; // what was told is void, and the call does not know yet

  int size() {
    return value.size();
  }

  byte[] value() {
    return value.toByteArray();
  }

  /** On to the chunk with this number. False: another one is missing. */
  boolean advance(long sequence) {
    return sequence == nextSequence++;
  }

  void add(ByteString bytes) {
    value.writeBytes(bytes.toByteArray());
  }

  /** The value begins anew; a live call is to learn it if it was told of another one. */
  void clear() {
    isVoid = isVoid || hasTold;
    hasTold = false;
    value = new ByteArrayOutputStream(0);
    nextSequence = 0;
  }

  // ---- live calls ----

  void setTold() {
    hasTold = true;
  }

  /** The server says so, whatever was told. */
  void setVoid() {
    isVoid = true;
  }

  /** True once for all that became void. */
  boolean takeVoid() {
    boolean was = isVoid;
    isVoid = false;
    return was;
  }
}
