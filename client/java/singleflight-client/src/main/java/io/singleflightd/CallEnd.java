// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.time.Duration;

/**
 * How a call has ended.
 *
 * @param last what the last event of the call would say
 * @param duration from the beginning of the call
 * @param role {@code leader}: its function ran as the leader's; {@code follower}; {@code retained}:
 *     nobody ran anything for it; {@code alone}: it failed open
 * @param status the name of a gRPC status code, {@code OK} if there is an outcome
 * @param outcome {@code ok}, {@code error}, {@code panic}, {@code abandoned}, or empty if there is
 *     none
 * @param callers to how many callers the outcome went; 0 if there is none
 */
public record CallEnd(
    CallEvent last, Duration duration, String role, String status, String outcome, int callers) {}
