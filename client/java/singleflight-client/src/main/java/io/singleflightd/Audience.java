// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.time.Duration;
import java.util.Optional;

/**
 * Who waits for a leader's outcome.
 *
 * @param followers how many callers wait, the merged callers of this client included
 * @param latestDeadline when the last of them gives up, from when it was learnt; empty when
 *     somebody waits without a deadline, or nobody waits
 */
public record Audience(int followers, Optional<Duration> latestDeadline) {}
