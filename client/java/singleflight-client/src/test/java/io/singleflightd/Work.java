// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A function that a test watches: it says when it began, and ends when it is told. */
final class Work implements LeaderFunction<String> {
  final AtomicInteger runs = new AtomicInteger();
  final CountDownLatch lost = new CountDownLatch(1);
  volatile Leader leader;
  private final CountDownLatch began = new CountDownLatch(1);
  private final CountDownLatch go = new CountDownLatch(1);
  private final String value;

  Work(String value) {
    this.value = value;
  }

  @Override
  public String run(Leader begun) throws Exception {
    runs.incrementAndGet();
    leader = begun;
    begun.onLost(reason -> lost.countDown());
    began.countDown();
    go.await();
    return value;
  }

  Leader awaitLead() throws InterruptedException {
    return awaitLead(15);
  }

  Leader awaitLead(int seconds) throws InterruptedException {
    if (!began.await(seconds, TimeUnit.SECONDS)) {
      throw new AssertionError("it does not lead within " + seconds + " s");
    }
    return leader;
  }

  void awaitLost() throws InterruptedException {
    if (!lost.await(15, TimeUnit.SECONDS)) {
      throw new AssertionError("the lead is not lost");
    }
  }

  void awaitFollowers(int count) throws InterruptedException {
    Leader leading = awaitLead();
    Eventually.isTrue(
        count + " followers",
        () -> leading.audience().map(Audience::followers).orElse(0) == count);
  }

  void end() {
    go.countDown();
  }
}
