# SPDX-License-Identifier: Apache-2.0
"""Everything that test_streaming.py says of plain connections, said of secured ones on both sides."""
import pytest
from test_streaming import *  # noqa: F401,F403  pylint: disable=wildcard-import,unused-wildcard-import

pytestmark = pytest.mark.usefixtures("over_tls")

del test_slow_server_holds_the_client_back  # noqa: F821  pylint: disable=undefined-variable  # its client knows no blocked TLS
