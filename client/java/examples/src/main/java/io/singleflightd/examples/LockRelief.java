// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.examples;

import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.SingleflightClient;
import io.singleflightd.SingleflightException;
import java.net.URI;
import java.time.Duration;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.params.SetParams;

/**
 * Relief for a distributed lock: a thousand processes want the job done under a lock in Redis. Only
 * one of them tries for the lock, the others wait here, where waiting is cheap. Usage: LockRelief
 * REDIS-URL JOB
 */
public final class LockRelief {
  private static final String UNLOCK =
      "if redis.call('get', KEYS[1]) == ARGV[1] then "
          + "return redis.call('del', KEYS[1]) else return 0 end";
  private static final DoOptions OPTIONS =
      DoOptions.builder().group("jobs").retain(Duration.ofSeconds(5)).build();

  private LockRelief() {}

  /**
   * Has the job done.
   *
   * @param args REDIS-URL JOB
   * @throws InterruptedException if interrupted
   */
  public static void main(String[] args) throws InterruptedException {
    URI redis = URI.create(args[0]);
    String job = args[1];
    try (SingleflightClient client = SingleflightClient.create()) {
      System.out.println(
          client
              .call(job, OPTIONS, Codec.UTF_8, leader -> run(redis, job, leader.token()))
              .value());
    } catch (SingleflightException failed) {
      System.err.println("LockRelief: " + failed.getMessage());
      System.exit(1);
    }
  }

  /** Counts its runs, under the lock, which those who do not use singleflight respect, too. */
  private static String run(URI address, String job, long token) {
    String lock = "lock:" + job;
    String mine = Long.toUnsignedString(token); // no other holder has the same
    try (Jedis redis = new Jedis(address)) {
      if (redis.set(lock, mine, SetParams.setParams().nx().px(30_000)) == null) {
        throw FunctionException.error("somebody else has the lock").code(2).build();
      }
      try {
        return "run " + redis.incr("runs:" + job);
      } finally {
        redis.eval(UNLOCK, 1, lock, mine);
      }
    }
  }
}
