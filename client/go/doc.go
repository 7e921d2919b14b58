// SPDX-License-Identifier: Apache-2.0

// Package singleflight is golang.org/x/sync/singleflight across processes, machines and languages:
// many callers ask for the same piece of work at the same time, one of them does it, and all of
// them get what it made. It needs a singleflightd daemon to talk to.
//
// There are two interfaces over one [Client]:
//
//   - [Do] takes a context and a typed function, and tells everything about the flight in a
//     [Result]: who ran it, the fencing token, how many callers there were.
//   - [Group] has Do, DoChan and Forget as in golang.org/x/sync/singleflight. A zero Group works
//     with the client of [SetDefault], or one that is made from the environment.
//
// Below them, [Client.Do] and [Client.Start] have bytes for values, which can be handed out while
// they are still being made.
//
// The words are those of the service. A flight is one unit of work for a group and key; the one
// caller that runs the function is its leader, the others are followers. The token of a leader is
// greater than every token granted before for that key: hand it to what the function writes to, so
// that a leader that was paused and has been replaced is refused there ([TokenFromContext]).
//
// An error of the function reaches the callers of its own process as it is, and all others as a
// [*FunctionError]. What the service refuses, or cannot do, is a [*StatusError]. What the codec cannot
// carry is a [*CodecError].
//
// [ClientOptions] secures the connection (TLS, mutual TLS, tokens) and lets an [Observer] see what
// happens. Package singleflighttest has a server in the process for tests of what uses this package.
package singleflight

// Version is the version of this package.
const Version = "0.1.0"
