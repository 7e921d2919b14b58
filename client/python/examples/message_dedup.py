# SPDX-License-Identifier: Apache-2.0
"""Message deduplication: a broker delivers at least once, and an order is charged once.

Within the window, a message that is delivered again gets the outcome of the first one; two
deliveries at the same time on two machines do, too.  Usage: message_dedup LEDGER MESSAGE_ID AMOUNT
"""

from __future__ import annotations

import sys

from singleflight import Client, Lead, SingleflightError

WINDOW = 60 * 60


def main(ledger: str, message: str, amount: str) -> None:
    """Handles one delivery."""

    def charge(lead: Lead) -> str:
        # A ledger that is a database would also refuse a token smaller than the last one.
        with open(ledger, "a") as file:
            file.write(f"{message} {amount} {lead.token}\n")
        return f"receipt {lead.token} for {message}"

    with Client() as client:
        # An error is not retained: the broker delivers again, and the charge is tried again. The
        # same id with another amount is no redelivery but a mistake, and is refused.
        result = client.do(
            message, charge, group="orders", retain=WINDOW, fingerprint=amount.encode()
        )
    print(f"{result.value} ({'charged' if result.led else 'delivered again'})")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (SingleflightError, OSError) as error:
        sys.exit(f"message_dedup: {error}")
