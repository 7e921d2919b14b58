// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Notes what it is told, in words. */
final class Recorder implements SingleflightObserver {
  private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();
  final BlockingQueue<CallEnd> ends = new LinkedBlockingQueue<>();

  private void note(String name, CallEvent call) {
    lines.add(name + " " + call.group() + "/" + call.keyText() + " " + call.attempt());
  }

  @Override
  public CallScope started(CallEvent call) {
    note("started", call);
    return null;
  }

  @Override
  public void led(CallEvent call) {
    note("led", call);
  }

  @Override
  public void followed(CallEvent call) {
    note("followed", call);
  }

  @Override
  public void takeover(CallEvent call) {
    note("takeover", call);
  }

  @Override
  public void failedOpen(CallEvent call) {
    note("failed open", call);
  }

  @Override
  public void lost(CallEvent call) {
    note("lost", call);
  }

  @Override
  public void ended(CallEnd end) {
    ends.add(end);
    note("ended " + end.role() + " " + end.status() + " " + end.outcome(), end.last());
  }

  /** Waits for one that begins so. */
  String await(String beginning) throws InterruptedException {
    for (String line = next(); line != null; line = next()) {
      if (line.startsWith(beginning)) {
        return line;
      }
    }
    throw new AssertionError("nothing has come that begins with " + beginning);
  }

  private String next() throws InterruptedException {
    return lines.poll(20, TimeUnit.SECONDS);
  }

  List<String> lines() {
    return List.copyOf(lines);
  }
}
