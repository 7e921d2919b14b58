# SPDX-License-Identifier: Apache-2.0
"""Generated from proto/singleflight/v1: the messages and stubs of the service."""
