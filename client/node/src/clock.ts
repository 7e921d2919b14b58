// SPDX-License-Identifier: Apache-2.0
// The clock by which leads are held: it goes on while the process and the machine sleep.
//
// performance.now() does so on macOS and Windows, but stands still while Linux is suspended.
// /proc/uptime does not (it is CLOCK_BOOTTIME), but only counts hundredths of a second. Together
// they are exact, and miss no sleep.
import { openSync, readSync } from 'node:fs';

const UPTIME_FILE = '/proc/uptime';

export class Clock {
  /** By how much the machine's time is ahead of the running one. */
  #ahead = 0;

  constructor(
    private readonly running: () => number = () => performance.now(),
    private readonly uptime: () => number = readUptime,
  ) {}

  /** In milliseconds, since some time in the past. Never goes back. */
  now(): number {
    const running = this.running();
    this.#ahead = Math.max(this.#ahead, this.uptime() - running);
    return running + this.#ahead;
  }
}

export const clock = new Clock();

/** Whether there is such a file; undefined: nobody has asked yet. */
let file: number | null | undefined;
const text = Buffer.alloc(32);

// In milliseconds; 0 where there is no such file.
function readUptime(): number {
  if (file === null) return 0;
  try {
    file ??= openSync(UPTIME_FILE, 'r');
    const length = readSync(file, text, 0, text.length, 0);
    return Number.parseFloat(text.toString('latin1', 0, length)) * 1000 || 0;
  } catch {
    file = null;
    return 0;
  }
}
