# SPDX-License-Identifier: Apache-2.0
"""Cache breakdown: the database is asked once instead of a thousand times.

An entry that everybody wants has just expired.  Usage: cache_breakdown DATABASE USER
"""

from __future__ import annotations

import sqlite3
import sys

from singleflight import SingleflightError, coalesce


# The outcome stays for those who looked into the cache just before it was filled.
@coalesce(key="{user}", group="users", retain=5)
def load(database: str, user: str) -> str:
    """Runs in one process, on behalf of all that ask for this user at this moment."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        query = "SELECT profile FROM users WHERE name = ?"
        row = connection.execute(query, (user,)).fetchone()
    finally:
        connection.close()
    if row is None:
        raise LookupError("no such user")
    return str(row[0])


if __name__ == "__main__":
    try:
        print(load(*sys.argv[1:]))
    except (SingleflightError, LookupError, sqlite3.Error) as error:
        sys.exit(f"cache_breakdown: {error}")
