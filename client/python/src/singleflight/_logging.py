# SPDX-License-Identifier: Apache-2.0
"""The logger of the package. It says nothing until the program wants to hear it."""

from __future__ import annotations

import logging

logger = logging.getLogger("singleflight")
logger.addHandler(logging.NullHandler())
