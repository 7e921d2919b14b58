# SPDX-License-Identifier: Apache-2.0
"""The protocol, without input and output.

One object, :class:`~singleflight._core.core.Core`, is told what happened (a call begins, a message
came, a stream broke, time passed) and answers with effects: things for its shell to do (open a
stream, run a function, end a call). It reads no clock, starts no thread, and calls nobody. The two
shells, :mod:`singleflight.client` with threads and :mod:`singleflight.aio` with asyncio, share it.

Who is who, from the program down to the network:

* call: one Do of the program
* seat: one call on a session, the place in the flight that merged calls share
* lead: what a seat hands to one of its calls when the server tells it to lead
* session: one Session stream, seats are spread over it
* server: one address, its sessions, and whether it can be reached
"""
