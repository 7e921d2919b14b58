// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * What a Forget has forgotten.
 *
 * @param flight whether a flight was: new callers start another one
 * @param retained whether a retained outcome was
 * @param ended whether a running flight was ended
 */
public record Forgotten(boolean flight, boolean retained, boolean ended) {}
