# SPDX-License-Identifier: Apache-2.0
"""The logger of the package.

It has no handler of its own: where the program has configured no logging, Python itself writes
warnings (an observer that failed, files that are broken) to standard error, and nothing else.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("singleflight")
