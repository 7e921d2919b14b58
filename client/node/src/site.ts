// SPDX-License-Identifier: Apache-2.0
// Where in the program a call was made: errors come out of the event loop, and would not tell.

/** Frames that are written out only when an error needs them. */
export interface Site {
  stack?: string;
}

/** Of the function that runs and of those that called it. */
export function callSite(): Site {
  const site: Site = {};
  Error.captureStackTrace(site, callSite);
  return site;
}

/** The frames, each on a line of its own that begins with a line break. */
export function framesOf(site: Site): string {
  const stack = site.stack ?? '';
  const begin = stack.indexOf('\n');
  return begin < 0 ? '' : stack.slice(begin);
}
