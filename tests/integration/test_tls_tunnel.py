# SPDX-License-Identifier: Apache-2.0
"""What test_tunnel.py says of plain connections, said of secured ones on both sides, each of which ends with a close_notify."""
import pytest
from harness.tls import EndingContext, Everywhere
from test_tunnel import *  # noqa: F401,F403  pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_tls(world):
    world.tls = Everywhere(world.folder / "tls", EndingContext)


# Sockets that take no more, a server of another configuration and a library of others know nothing of this TLS.
del test_a_side_that_does_not_read_holds_the_other_back  # noqa: F821  pylint: disable=undefined-variable
del test_a_reload_does_not_touch_tunnels, test_a_real_websocket_client_and_server  # noqa: F821  pylint: disable=undefined-variable
# A server that closes has said that this is its end, whatever it has not read.
del test_what_a_server_said_before_its_reset_arrives  # noqa: F821  pylint: disable=undefined-variable
