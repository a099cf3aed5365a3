# SPDX-License-Identifier: Apache-2.0
"""What the integration tests stand on: a proxy under test, raw clients, programmable servers, a Redis."""
