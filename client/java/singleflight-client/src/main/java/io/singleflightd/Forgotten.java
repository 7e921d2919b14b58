// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * What was forgotten.
 *
 * @param flight a flight that new callers would have joined
 * @param retained a retained outcome
 */
public record Forgotten(boolean flight, boolean retained) {}
