// SPDX-License-Identifier: Apache-2.0
// The door for `import`. There is one copy of the library for both module systems, so that
// `instanceof` holds across them.
export * from './index.js';
